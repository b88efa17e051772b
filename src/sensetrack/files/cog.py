"""Write rasters that are held in memory as cloud-optimised GeoTIFFs; larger ones are for `tiled`."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import rasterio
from rasterio._err import CPLE_BaseError  # rasterio lets some of GDAL's own errors through
from rasterio.crs import CRS
from rasterio.errors import RasterioError

from sensetrack.errors import InputError, OutputError
from sensetrack.files.damage import require_complete
from sensetrack.files.raster import quiet_gdal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sensetrack.grid import Grid

_BLOCK = 512
"""Side of a block, px; a multiple of 16, as TIFF demands."""
_SMALL = 2**24
"""Bytes of rasters that are made in memory: GDAL does not tell of every full disk, the system does."""


def write_cog(
    path: Path,
    bands: Sequence[tuple[str, str, NDArray[Any]]],
    grid: Grid,
    *,
    tags: dict[str, Any],
    nodata: float | None,
) -> None:
    """Write a cloud-optimised GeoTIFF.

    Parameters
    ----------
    bands : sequence of (description, unit, array)
        Arrays of the grid's shape and one dtype.
    tags : dict
        Written to the default domain (others are lost in a copy); values that are not text become JSON.
    nodata : float or None
        Never 0.
    """
    first = bands[0][2]
    profile: dict[str, Any] = {
        "driver": "COG",
        "width": grid.shape[1],
        "height": grid.shape[0],
        "count": len(bands),
        "dtype": first.dtype.name,
        "nodata": nodata,
        "compress": "deflate",
        "predictor": "yes",
        "overview_resampling": "nearest",
        # What a block has beyond the raster is compressed with it: small rasters get one block of their size.
        "blocksize": min(_BLOCK, -(-max(grid.shape) // 16) * 16),
    }
    if grid.crs is not None and grid.affine is not None:
        profile |= {"crs": _rasterio_crs(grid.crs.srs), "transform": grid.affine}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in tags.items()}
    try:
        with quiet_gdal():
            if first.nbytes * len(bands) > _SMALL:
                with rasterio.open(path, "w", **profile) as dataset:
                    _fill(dataset, bands, texts)
                with rasterio.open(path, driver="GTiff") as check:
                    require_complete(check, path)
                return
            with rasterio.MemoryFile() as memory:
                with memory.open(**profile) as dataset:
                    _fill(dataset, bands, texts)
                path.write_bytes(memory.getbuffer())
    except (RasterioError, CPLE_BaseError, OSError, InputError) as error:
        raise OutputError("cannot be written", path=path, advice="check space and permission of the disk") from error


def _fill(dataset: Any, bands: Sequence[tuple[str, str, NDArray[Any]]], texts: dict[str, str]) -> None:
    for i, (description, unit, values) in enumerate(bands, start=1):
        dataset.write(values, i)
        dataset.set_band_description(i, description)
        dataset.set_band_unit(i, unit)
    dataset.update_tags(**texts)


@lru_cache(maxsize=8)
def _rasterio_crs(text: str) -> CRS:
    """Turn the text of a CRS of pyproj into one of rasterio; a product has many files on one grid."""
    import pyproj

    return CRS.from_wkt(pyproj.CRS(text).to_wkt())
