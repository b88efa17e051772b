"""An elevation model in ISCE2's form: float heights above the WGS 84 ellipsoid on parallels and meridians."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from affine import Affine

from sensetrack.errors import ConfigError, NoOverlapError
from sensetrack.files.isce_raw import write_raw

if TYPE_CHECKING:
    import os

    from sensetrack.isce2.settings import Box
    from sensetrack.sar.heights import Surface

_LARGEST = 1 << 29
"""Posts of a model."""


def write_isce_dem(path: str | os.PathLike[str], surface: Surface, box: Box) -> tuple[Path, Path, Path]:
    """Write the heights of an area as ``NAME.wgs84`` with ISCE2's and GDAL's headers, and return the three paths.

    ISCE2 takes a header that says WGS84 as it is, where it would take off the geoid otherwise. It reads the place in
    its own header as that of the middle of the first post, and so it is written there; GDAL's header has the corner.

    Parameters
    ----------
    path : path-like
        Ends in ``.wgs84``, as ISCE2 calls such files.
    surface : Surface
        Such as `sensetrack.files.dem.open_dem` returns.
    box : (south, north, west, east)
        Degrees.

    Raises
    ------
    ConfigError
        Another ending, or an area that is too large.
    NoOverlapError
        There are no heights in it, or not everywhere: ISCE2 knows no missing heights.
    """
    file = Path(path)
    if file.suffix != ".wgs84":
        raise ConfigError("must end in .wgs84: ISCE2 tells by it that heights are above the ellipsoid", path=file)
    south, north, west, east = (float(one) for one in np.radians(box))
    size = (north - south) * (east - west) * (6.37e6 / surface.posting) ** 2
    if size > _LARGEST:
        raise ConfigError(f"an elevation model may have {_LARGEST} posts, instead got {size:.3g}", path=file)
    found = surface.field(west, south, east, north)
    missing = np.isnan(found.heights)
    if missing.any():
        message = (
            f"the elevation model has no heights in {missing.mean():.1%} of {box}, and ISCE2 knows no missing ones"
        )
        raise NoOverlapError(message, path=file, advice="use one that covers the area, or a smaller area")
    d_lon, d_lat = np.degrees(found.d_lon), np.degrees(found.d_lat)
    corner = Affine(d_lon, 0, np.degrees(found.lon) - d_lon / 2, 0, d_lat, np.degrees(found.lat) - d_lat / 2)
    return write_raw(file, [found.heights], ["height (m)"], null=None, geo=corner, elevation=True)
