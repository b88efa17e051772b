"""Large rasters in zip archives: read where they are, a window at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rasterio
from rasterio._err import CPLE_BaseError  # rasterio lets some of GDAL's own errors through
from rasterio.errors import RasterioIOError

from sensetrack.errors import InputError
from sensetrack.files.damage import require_complete
from sensetrack.files.raster import described, quiet_gdal
from sensetrack.files.safe import driver_of

if TYPE_CHECKING:
    from sensetrack.files.archive import Zip
    from sensetrack.files.raster import RasterFile

_HEAD = 512
"""Bytes that tell what a file is."""


def open_raster_in_zip(members: Zip, name: str) -> RasterFile:
    """Open a GeoTIFF that lies in an archive whose members have been looked at; it is not unpacked.

    Parameters
    ----------
    members : Zip
    name : str
        One of its members.

    Raises
    ------
    InputError
        Not a GeoTIFF, damaged, truncated, or packed in a way that cannot be read in place.
    """
    path = members.where(name)
    head = next(members.pieces(name), b"")[:_HEAD]
    driver = driver_of(head, path, {"TIFF": "GTiff"})
    # The braces say where the name of the archive ends, whatever it is.
    inner = f"/vsizip/{{{members.path}}}/{members.prefix}{name}"
    try:
        with quiet_gdal():
            dataset = rasterio.open(inner, driver=driver)
            require_complete(dataset, path, members.sizes[name])
            return described(dataset, path, driver, memory=members)
    except (RasterioIOError, CPLE_BaseError) as error:
        advice = "unzip it, or download it again"
        raise InputError("is damaged (its header cannot be read)", path=path, advice=advice) from error
