"""Where the pixels of a PRISMA product on a map are: fitted to its own latitudes and longitudes.

The product names the corners of the cubes, but not whether it means the corners or the centres of the corner pixels,
and readers disagree. Its latitudes and longitudes say where every pixel centre is, in 32 bits: 0.4 m and worse each,
and much better than a centimetre all together. The size of a pixel is what the format says, 30 and 5 m: taken from the
extent and the number of pixels, as others do, it would depend on the size of the scene, and two scenes would seem to
stretch against each other.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import MetadataError, PlaceWarning
from sensetrack.grid import Grid, as_crs
from sensetrack.notices import warn
from sensetrack.prisma.layout import root_number, root_text

if TYPE_CHECKING:
    import pyproj
    from numpy.typing import NDArray

    from sensetrack.files.hdf5 import Hdf5
    from sensetrack.prisma.bands import Cube

log = logging.getLogger(__name__)

SIZES = {"PAN": 5.0, "VNIR": 30.0, "SWIR": 30.0}
"""Pixel size of the cubes, m."""
_SLOPE = 0.25
"""Pixels by which the fit may stretch over the whole scene against the pixel size of the format."""
_SCATTER = 0.2
"""Pixels, root mean square, by which pixel centres may lie off the grid."""
_SAME = 0.05
"""Metres within which the corner of the metadata is that of the fit, and then counts: it has no noise."""
_PER_SIDE = 400
"""Rows and columns at which latitudes and longitudes of a large cube are looked at."""
_LEAST = 12


@dataclass(frozen=True)
class Place:
    """A grid and how it was found."""

    grid: Grid
    source: str
    """What the grid was taken from, in words."""
    scatter: float | None
    """Root mean square distance of the latitudes and longitudes from the grid, m; None where there are none."""


def crs_of(file: Hdf5) -> pyproj.CRS:
    """Return the CRS of a product on a map.

    Raises
    ------
    MetadataError
        It does not say, or says something unknown.
    """
    code = root_number(file, "Epsg_Code")
    if code is None:
        raise MetadataError("attribute Epsg_Code is missing", path=file.path)
    try:
        crs = as_crs(f"EPSG:{int(code)}")
    except ValueError as error:
        raise MetadataError(
            f"attribute Epsg_Code must be one that PROJ knows, instead got {code:g}", path=file.path
        ) from error
    if crs is None or not crs.is_projected:
        raise MetadataError(
            f"attribute Epsg_Code must be that of a projected CRS, instead got {code:g}", path=file.path
        )
    return crs


def fit_grid(file: Hdf5, cube: Cube, shape: tuple[int, int], places: tuple[NDArray[Any], NDArray[Any]] | None) -> Place:
    """Return the grid of a cube on a map.

    Parameters
    ----------
    file : Hdf5
    cube : {"PAN", "VNIR", "SWIR"}
    shape : (int, int)
        Rows and columns of the image.
    places : (ndarray, ndarray) or None
        Latitude and longitude of pixel centres, degrees, (rows, cols); where both are 0 or not finite they say nothing.

    Raises
    ------
    MetadataError
        They do not lie on a grid of the pixel size of the cube, or there is neither them nor a corner.
    """
    crs, size = crs_of(file), SIZES[cube]
    corners = _corners(file, cube)
    if places is None:
        return _by_corner(file, corners, crs, size, shape)
    row, col, x, y = _centres(places, crs)
    if row.size < _LEAST or np.ptp(row) == 0 or np.ptp(col) == 0:
        warn(f"{file.path}: its latitudes and longitudes are empty", PlaceWarning, stacklevel=2)
        return _by_corner(file, corners, crs, size, shape)
    (left, step_x), (top, step_y) = _line(col, x), _line(row, y)
    stretch = max(abs(step_x - size) * shape[1], abs(step_y + size) * shape[0])
    scatter = float(np.sqrt(np.mean((x - left - step_x * col) ** 2 + (y - top - step_y * row) ** 2)))
    if scatter > _SCATTER * size or stretch > _SLOPE * size:
        message = (
            f"the latitudes and longitudes of {cube} do not lie on a grid of {size:g} m in EPSG:{crs.to_epsg()} (steps "
            f"of {step_x:.4f} and {step_y:.4f} m, {scatter:.2f} m off)"
        )
        raise MetadataError(message, path=file.path)
    # Means with the true step: noise of the slopes does not reach the corner.
    origin = float(np.mean(x - size * col)) - size / 2, float(np.mean(y + size * row)) + size / 2
    source = "latitudes and longitudes"
    for meaning, corner in corners.items():
        if max(abs(a - b) for a, b in zip(corner, origin, strict=True)) < _SAME:
            origin, source = corner, f"latitudes and longitudes; the upper left corner of the metadata is {meaning}"
    away = [max(abs(a - b) for a, b in zip(corner, origin, strict=True)) for corner in corners.values()]
    if away and min(away) > size:
        text = f"{file.path}: the upper left corner of the metadata is {min(away):.1f} m from its {source}, which count"
        warn(text, PlaceWarning, stacklevel=2)
    log.info("%s: %s placed by its %s", file.path, cube, source)
    return Place(Grid(shape, (size, 0, origin[0], 0, -size, origin[1]), crs), source, round(scatter, 3))  # type: ignore[arg-type]


def _by_corner(
    file: Hdf5, corners: dict[str, tuple[float, float]], crs: pyproj.CRS, size: float, shape: tuple[int, int]
) -> Place:
    if not corners:
        message = "has neither latitudes and longitudes nor Product_ULcorner_easting and Product_ULcorner_northing"
        raise MetadataError(message, path=file.path)
    meaning, origin = next(iter(corners.items()))
    text = (
        f"{file.path}: without latitudes and longitudes its upper left corner is taken as {meaning}; if that is wrong, "
        "all of it is half a pixel of the cubes, 15 m, off"
    )
    warn(text, PlaceWarning, stacklevel=3)
    grid = Grid(shape, (size, 0, origin[0], 0, -size, origin[1]), crs)  # type: ignore[arg-type]
    return Place(grid, f"upper left corner of the metadata, taken as {meaning}", None)


def _corners(file: Hdf5, cube: Cube) -> dict[str, tuple[float, float]]:
    """Outer corner of the upper left pixel by each reading of the corner in the metadata, the likeliest first."""
    found = [root_number(file, f"Product_ULcorner_{axis}") for axis in ("easting", "northing")]
    if found[0] is None or found[1] is None:
        return {}
    easting, northing = found[0], found[1]
    coarse, size = SIZES["VNIR"], SIZES[cube]
    readings = {"the centre of a pixel of the cubes": coarse / 2, "the corner of a pixel": 0.0}
    if cube == "PAN":
        readings["the centre of a pixel of the panchromatic image"] = size / 2
    return {meaning: (easting - half, northing + half) for meaning, half in readings.items()}


def _line(at: NDArray[Any], values: NDArray[Any]) -> tuple[float, float]:
    """Least-squares (value at 0, step)."""
    middle = at.mean()
    step = float(np.sum((at - middle) * (values - values.mean())) / np.sum((at - middle) ** 2))
    return float(values.mean() - step * middle), step


def _centres(
    places: tuple[NDArray[Any], NDArray[Any]], crs: pyproj.CRS
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """(row, col, x, y) of the pixel centres that say where they are."""
    import pyproj

    every = [max(1, -(-n // _PER_SIDE)) for n in places[0].shape]
    lat, lon = (part[:: every[0], :: every[1]].astype(np.float64) for part in places)
    known = known_places(lat, lon)
    row, col = np.nonzero(known)
    project = pyproj.Transformer.from_crs(4326, crs, always_xy=True)
    x, y = project.transform(lon[known], lat[known])
    sane = np.isfinite(x) & np.isfinite(y)
    return row[sane] * float(every[0]), col[sane] * float(every[1]), x[sane], y[sane]


def known_places(lat: NDArray[Any], lon: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which latitudes and longitudes are places: finite, in their ranges, and not both 0."""
    with np.errstate(invalid="ignore"):
        return np.asarray((np.abs(lat) <= 90) & (np.abs(lon) <= 180) & ((lat != 0) | (lon != 0)))


def epsg_text(file: Hdf5) -> str | None:
    """Return the EPSG code of a product as it is written there; None where it has none."""
    return root_text(file, "Epsg_Code", "") or None
