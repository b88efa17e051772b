"""Write JPEG 2000 without loss, tiled as Sentinel-2 images are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rasterio
from rasterio.errors import RasterioError
from rasterio.shutil import copy

from sensetrack.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from sensetrack.grid import Grid

TILE = 1024
"""Side of a tile, px."""


def write_jp2(path: Path, bands: NDArray[Any], grid: Grid) -> None:
    """Write bands, (bands, rows, cols) of whole numbers, as a JPEG 2000 file."""
    profile = {
        "driver": "GTiff", "width": grid.shape[1], "height": grid.shape[0], "count": len(bands),
        "dtype": bands.dtype.name, "crs": None if grid.crs is None else grid.crs.to_wkt(), "transform": grid.transform,
    }  # fmt: skip
    # The driver only copies.
    options = {"QUALITY": "100", "REVERSIBLE": "YES", "BLOCKXSIZE": TILE, "BLOCKYSIZE": TILE}
    try:
        with rasterio.Env(GDAL_PAM_ENABLED="NO"), rasterio.MemoryFile() as memory:
            with memory.open(**profile) as dataset:
                dataset.write(bands)
            with memory.open() as dataset:
                copy(dataset, path, driver="JP2OpenJPEG", **options)
    except (RasterioError, OSError) as error:
        raise OutputError("cannot be written", path=path, advice="check space and permission of the disk") from error
