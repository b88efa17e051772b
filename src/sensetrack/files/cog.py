"""Write rasters that are held in memory as cloud-optimised GeoTIFFs; larger ones are for `tiled`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import rasterio
from rasterio._err import CPLE_BaseError  # rasterio lets some of GDAL's own errors through
from rasterio.errors import RasterioError

from sensetrack.errors import OutputError
from sensetrack.files.raster import quiet_gdal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sensetrack.grid import Grid


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
    }
    if grid.crs is not None and grid.affine is not None:
        profile |= {"crs": grid.crs.to_wkt(), "transform": grid.affine}
    try:
        with quiet_gdal(), rasterio.open(path, "w", **profile) as dataset:
            for i, (description, unit, values) in enumerate(bands, start=1):
                dataset.write(values, i)
                dataset.set_band_description(i, description)
                dataset.set_band_unit(i, unit)
            dataset.update_tags(**{k: v if isinstance(v, str) else json.dumps(v) for k, v in tags.items()})
        with quiet_gdal(), rasterio.open(path, driver="GTiff") as check:
            if check.count != len(bands) or check.shape != grid.shape:
                raise OutputError("is not what was written", path=path)
    except (RasterioError, CPLE_BaseError, OSError) as error:
        raise OutputError("cannot be written", path=path, advice="check space and permission of the disk") from error
