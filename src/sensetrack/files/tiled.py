"""Write rasters tile by tile, so that memory does not grow with them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError  # rasterio lets GDAL's own errors through when closing a file
from rasterio.errors import RasterioError
from rasterio.windows import Window

from sensetrack import blocks
from sensetrack.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sensetrack.grid import Grid

_TILE = 512
_AT_ONCE = (2 * _TILE, 2 * _TILE)
"""Rows and columns that are computed at a time."""
_CACHE = 32
"""MB of finished tiles that wait to be compressed."""
_FEW = 8
"""Bands beyond which fewer pixels are computed at a time."""
_SPECTRAL = {"WAVELENGTH_NM": "CENTRAL_WAVELENGTH_UM", "FWHM_NM": "FWHM_UM"}
"""Tags of a band, and the names under which GDAL has them."""


def write_tiled(
    path: Path,
    bands: Sequence[tuple[str, str, Any]],
    grid: Grid,
    *,
    tags: dict[str, Any],
    band_tags: Sequence[dict[str, Any]] = (),
    mapper: blocks.Mapper = map,
    advance: Callable[[int, int], None] | None = None,
) -> int:
    """Write a tiled GeoTIFF of 32 bit floating numbers, NaN = nodata, and return how many pixels are not NaN.

    Parameters
    ----------
    bands : sequence of (description, unit, source)
        Sources of the grid's shape, read window by window.
    grid : Grid
    tags : dict
        Written to the default domain; values that are not text become JSON.
    band_tags : sequence of dict, optional
        The same for each band; WAVELENGTH_NM and FWHM_NM also become the ones that GDAL knows.
    mapper, advance
        See `sensetrack.blocks.run`.
    """
    profile = {
        "driver": "GTiff", "width": grid.shape[1], "height": grid.shape[0], "count": len(bands), "dtype": "float32",
        "nodata": np.nan, "crs": None if grid.crs is None else grid.crs.to_wkt(), "transform": grid.transform,
        "tiled": True, "blockxsize": _TILE, "blockysize": _TILE, "compress": "deflate", "predictor": 3,
        "zlevel": 1,  # of noise and speckle, higher levels save 1 % for twice the time
        "interleave": "band", "BIGTIFF": "IF_SAFER",
    }  # fmt: skip

    def job(block: blocks.Block) -> NDArray[np.float32]:
        return np.stack([np.asarray(source[block.rows, block.cols], np.float32) for _, _, source in bands])

    measured = 0
    try:
        with rasterio.Env(GDAL_PAM_ENABLED="NO", GDAL_CACHEMAX=_CACHE), rasterio.open(path, "w", **profile) as dataset:
            plan = blocks.plan(grid.shape, _AT_ONCE if len(bands) <= _FEW else (_TILE, _TILE))
            for block, values in blocks.run(job, plan, mapper=mapper, advance=advance):
                window = Window(block.cols.start, block.rows.start, block.shape[1], block.shape[0])
                dataset.write(values, window=window)
                measured += int(np.isfinite(values).sum())
            for i, (description, unit, _) in enumerate(bands, start=1):
                dataset.set_band_description(i, description)
                dataset.set_band_unit(i, unit)
            dataset.update_tags(**_texts(tags))
            for i, found in enumerate(band_tags, start=1):
                dataset.update_tags(i, **_texts(found))
                known = {name: found[key] / 1000 for key, name in _SPECTRAL.items() if key in found}
                dataset.update_tags(i, ns="IMAGERY", **_texts(known))
    except (RasterioError, CPLE_BaseError, OSError) as error:
        raise OutputError("cannot be written", path=path, advice="check space and permission of the disk") from error
    return measured


def _texts(tags: dict[str, Any]) -> dict[str, str]:
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in tags.items()}
