"""The map of posts of a radar image, and what is shown on it: metres along the axes of its CRS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine

from sensetrack.errors import ConfigError, InputError, NoOverlapError
from sensetrack.grid import Grid, as_crs, crs_name
from sensetrack.sar.geometry import ground_axes, rdr2geo
from sensetrack.sar.ground_motion import metres_per_radian

if TYPE_CHECKING:
    import pyproj
    from numpy.typing import NDArray

    from sensetrack.sar.heights import Surface
    from sensetrack.sar.radar_field import RadarField
    from sensetrack.sar.velocity import RadarDisplacement

    Floats = NDArray[np.float64]

_DEGREE = 111_319.5
"""Metres of a degree along the equator."""
_STEP = 1e-6
"""Radians over which the axes of a CRS are straight: 6 m."""
_TURN = 1e-3
"""Radians of longitude over which they are, near a pole too."""
_INSIDE = 24
"""Posts per row and column by which the inside of a field is looked at."""

UNITS: dict[str, tuple[str, str]] = {
    "dx": ("m", "ground displacement along +x of the CRS"),
    "dy": ("m", "ground displacement along +y of the CRS"),
    "sigma_dx": ("m", "standard error of dx"),
    "sigma_dy": ("m", "standard error of dy"),
    "slant_range": ("m", "displacement away from the radar"),
    "along_track": ("m", "displacement on the ground in the direction of the flight"),
    "sigma_slant_range": ("m", "standard error of slant_range"),
    "sigma_along_track": ("m", "standard error of along_track"),
    "vx": ("m/day", "velocity along +x of the CRS"),
    "vy": ("m/day", "velocity along +y of the CRS"),
    "v": ("m/day", "horizontal speed"),
    "vx_year": ("m/yr", "velocity along +x of the CRS, years of 365.25 days"),
    "vy_year": ("m/yr", "velocity along +y of the CRS, years of 365.25 days"),
    "v_year": ("m/yr", "horizontal speed, years of 365.25 days"),
    "score": ("1", "likeness at the offset, at most 1, larger is better"),
    "snr": ("1", "correlation peak over the mean magnitude of the rest"),
    "incidence": ("degree", "angle between the way to the satellite and the vertical"),
    "local_incidence": ("degree", "angle between the way to the satellite and the normal of the ground"),
    "heading": ("degree", "direction of along_track, clockwise from north; within half a turn of its mean"),
    "flight_heading": ("degree", "direction of the satellite's own motion over the ground, clockwise from north"),
    "flight_climb": ("degree", "how far that direction points up"),
}
"""Unit and meaning of each layer."""


def map_layers(displacement: RadarDisplacement, crs: Any) -> dict[str, NDArray[np.float32]]:
    """Return what is shown of a displacement on a map: float32 at the posts, NaN where nothing is known.

    Parameters
    ----------
    displacement : RadarDisplacement
    crs : anything that PROJ knows
        Of the map. ``dx, dy`` and what comes from them are ground metres along its axes; in polar stereographic
        these are east and north on one meridian only.

    Returns
    -------
    dict
        Layers of `UNITS`; velocities where the two dates are known and differ, ``score`` and ``snr`` where they were
        measured. What was measured is NaN where any flag is raised.
    """
    moved, field = displacement, displacement.posts.field
    dx, dy, sigma_dx, sigma_dy = _along_axes(moved, _crs(crs))
    layers: dict[str, NDArray[Any] | None] = {
        "dx": dx, "dy": dy, "sigma_dx": sigma_dx, "sigma_dy": sigma_dy,
        "slant_range": moved.slant_range, "along_track": moved.along_track,
        "sigma_slant_range": moved.sigma_slant_range, "sigma_along_track": moved.sigma_along_track,
    }  # fmt: skip
    if moved.dt:
        # The axes of a CRS that keeps no angles are not square to each other: the length is that of east and north.
        for name, metres in (("vx", dx), ("vy", dy), ("v", moved.magnitude)):
            layers[name], layers[f"{name}_year"] = moved.per_day(metres), moved.per_year(metres)
    layers |= {"score": field.score, "snr": field.snr}
    shown = {
        name: np.where(moved.good, values, np.float32(np.nan)).astype(np.float32)
        for name, values in layers.items()
        if values is not None
    }
    angles = {name: getattr(moved, name) for name in ("incidence", "local_incidence", "flight_climb")}
    return shown | angles | {name: _steady(getattr(moved, name)) for name in ("heading", "flight_heading")}


def _steady(heading: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return headings without a jump from 180 to -180 degrees, between which nothing could be interpolated."""
    angle = np.radians(heading[np.isfinite(heading)].astype(np.float64))
    middle = np.degrees(np.arctan2(np.sin(angle).sum(), np.cos(angle).sum()))
    return np.asarray(lon_near(heading, middle), np.float32)


def _along_axes(moved: RadarDisplacement, crs: pyproj.CRS) -> tuple[NDArray[Any], ...]:
    """Return dx and dy, and their standard errors, in ground metres along the axes of a CRS."""
    out = np.full((4, *moved.posts.shape), np.nan, np.float32)
    at = np.isfinite(moved.dx) & np.isfinite(moved.lon)
    (xe, xn), (ye, yn) = turn_to_axes(crs, np.radians(moved.lon[at]), np.radians(moved.lat[at]))
    east, north = moved.dx[at], moved.dy[at]
    var_east, var_north, both = (moved.covariance[..., k][at] for k in range(3))
    out[0, at], out[1, at] = xe * east + xn * north, ye * east + yn * north
    for k, (e, n) in ((2, (xe, xn)), (3, (ye, yn))):
        out[k, at] = np.sqrt(np.maximum(e**2 * var_east + n**2 * var_north + 2 * e * n * both, 0))
    return tuple(out)


def turn_to_axes(crs: pyproj.CRS, lon: Floats, lat: Floats) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Return what turns metres to the east and north into ground metres along the axes of a CRS.

    Parameters
    ----------
    crs : pyproj.CRS
    lon, lat : ndarray
        Radians.

    Returns
    -------
    (x of east, x of north), (y of east, y of north)
        As `Grid.to_map` has it: steps along an axis in units of the CRS, times the ground length of a unit there.
    """
    import pyproj

    transformer = pyproj.Transformer.from_crs(4326, crs, always_xy=True)

    def to(lon: Floats, lat: Floats) -> Floats:
        x, y = transformer.transform(np.degrees(lon), np.degrees(lat))
        if crs.is_geographic:
            x = lon_near(x, np.degrees(lon))
        return np.stack([x, y])

    per_lon, per_lat = metres_per_radian(lat, 0.0)
    # Near a pole a step to the east is a larger angle.
    d_lon = np.minimum(_STEP / np.maximum(np.cos(lat), _STEP), _TURN)
    by_east = (to(lon + d_lon, lat) - to(lon - d_lon, lat)) / (2 * d_lon * per_lon)
    by_north = (to(lon, lat + _STEP) - to(lon, lat - _STEP)) / (2 * _STEP * per_lat)
    (xe, ye), (xn, yn) = by_east, by_north
    area = np.abs(xe * yn - xn * ye)
    # Metres of a unit along x: a step along x is (yn, -ye) over the area, in metres east and north.
    along_x, along_y = np.hypot(yn, ye) / area, np.hypot(xn, xe) / area
    return (xe * along_x, xn * along_x), (ye * along_y, yn * along_y)


def lon_near(lon: Any, middle: Any) -> Floats:
    """Return longitudes, degrees, within half a turn of others."""
    return np.asarray(middle + (lon - middle + 180) % 360 - 180)


def true_posting(posts: RadarField, surface: Surface) -> tuple[float, float]:
    """Return the ground metres between posts in the middle of what was measured, along the flight and across it."""
    radar, step = posts.radar, posts.field.step
    height = float(np.median(_some(posts, surface)[2]))
    line, sample = (np.mean(ends) for ends in _ends(posts))
    time = radar.time(line)
    place = rdr2geo(radar, time, radar.slant_range(sample), height)
    on = ground_axes(radar, place.lon, place.lat, height, time=time)
    across = float(np.hypot(on.range_east, on.range_north))
    return step[0] * radar.line_interval * float(on.speed), step[1] * radar.range_spacing * across


def map_grid(posts: RadarField, surface: Surface, crs: Any, *, posting: float | None = None, area: Any = None) -> Grid:
    """Return the map that holds all posts with a measurement, or the part of them in an area.

    Its pixels lie on whole multiples of their size, so that maps of one CRS and posting share a lattice.

    Parameters
    ----------
    posts : RadarField
    surface : Surface
        Heights of the ground above the ellipsoid.
    crs : anything that PROJ knows
    posting : float, optional
        Ground metres of a pixel; by default the shorter distance between posts, in whole metres from 10 m on.
    area : shapely geometry, optional
        Longitude and latitude, degrees.

    Raises
    ------
    NoOverlapError
        No post lies in the area.
    InputError
        Nothing was measured, heights are not known, or the CRS has no places there.
    """
    import pyproj

    found = _crs(crs)
    lon, lat, _ = _some(posts, surface)
    near = lon_near(np.degrees(lon), np.degrees(lon[0]))
    x, y = pyproj.Transformer.from_crs(4326, found, always_xy=True).transform(near, np.degrees(lat))
    if found.is_geographic:
        x = lon_near(x, near)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError(f"{crs_name(found)} has no places for what was measured", advice="choose another CRS")
    if posting is None:
        shorter = min(true_posting(posts, surface))
        posting = float(round(shorter)) if shorter >= 10 else float(f"{shorter:.2g}")
    width, height = _pixel(found, posting, float(np.median(lat)))
    west, south, east, north = (float(v) for v in (x.min(), y.min(), x.max(), y.max()))
    if area is not None:
        west, south, east, north = _cut((west, south, east, north), area_on(area, found, (west + east) / 2))
    left, top = np.floor(west / width), np.ceil(north / height)
    shape = int(top - np.floor(south / height)), int(np.ceil(east / width) - left)
    return Grid(shape, Affine(width, 0, left * width, 0, -height, top * height), found)


def area_on(area: Any, crs: Any, middle: float | None = None) -> Any:
    """Return an area (shapely geometry, longitude and latitude in degrees) in a CRS.

    Parameters
    ----------
    middle : float, optional
        Where the CRS is one of longitudes: the longitude near which it is wanted, degrees.
    """
    import pyproj
    import shapely

    found = _crs(crs)
    # Straight on a globe of longitudes and latitudes is not straight on other maps.
    fine = shapely.segmentize(area, 0.02)
    if found.is_geographic:
        if middle is None:
            return fine
        turns = 360 * round((middle - (fine.bounds[0] + fine.bounds[2]) / 2) / 360)
        return shapely.transform(fine, lambda at: at + np.array([turns, 0]))
    transformer = pyproj.Transformer.from_crs(4326, found, always_xy=True)
    on = shapely.transform(fine, lambda at: np.stack(transformer.transform(*at.T), axis=-1))
    if not np.isfinite(shapely.get_coordinates(on)).all():
        raise InputError(f"{crs_name(found)} has no places for the area", advice="choose another CRS")
    return on


def _cut(bounds: tuple[float, float, float, float], area: Any) -> tuple[float, float, float, float]:
    import shapely

    if not shapely.box(*bounds).intersects(area):
        raise NoOverlapError("the area lies outside what was measured")
    west, south, east, north = area.bounds
    return max(bounds[0], west), max(bounds[1], south), min(bounds[2], east), min(bounds[3], north)


def _crs(crs: Any) -> pyproj.CRS:
    found = as_crs(crs)
    if found is None:
        raise ConfigError("a map needs a CRS")
    return found


def _pixel(crs: pyproj.CRS, posting: float, lat: float) -> tuple[float, float]:
    """Width and height of a pixel in units of a CRS; in degrees both are so long on the ground."""
    if crs.is_geographic:
        high = float(f"{posting / _DEGREE:.3g}")
        return float(f"{posting / _DEGREE / max(np.cos(lat), 1e-3):.3g}"), high
    size = posting / crs.axis_info[0].unit_conversion_factor
    return size, size


def _ends(posts: RadarField) -> tuple[Floats, Floats]:
    """Return the first and last line, and sample, of posts with a measurement, and half a post more."""
    measured = np.isfinite(posts.field.d_row) & np.isfinite(posts.field.d_col)
    if not measured.any():
        raise InputError("there is nothing to put on a map: no post has a measurement")
    lines, samples = posts.lines[measured.any(axis=1)], posts.samples[measured.any(axis=0)]
    half = np.array([-0.5, 0.5])
    step = posts.field.step
    return lines[[0, -1]] + half * step[0], samples[[0, -1]] + half * step[1]


def _some(posts: RadarField, surface: Surface) -> tuple[Floats, Floats, Floats]:
    """Return longitude, latitude (radians) and height around what was measured, post by post, and of some of it."""
    sides = [
        np.linspace(ends[0], ends[1], round(float(np.ptp(ends)) / step) + 1)
        for ends, step in zip(_ends(posts), posts.field.step, strict=True)
    ]
    line, sample = sides
    inside = np.meshgrid(*(side[:: -(-side.size // _INSIDE)] for side in sides), indexing="ij")
    lines = [*(np.full(sample.size, end) for end in line[[0, -1]]), line, line, inside[0].ravel()]
    samples = [sample, sample, *(np.full(line.size, end) for end in sample[[0, -1]]), inside[1].ravel()]
    time, far = posts.radar.time(np.concatenate(lines)), posts.radar.slant_range(np.concatenate(samples))
    found = rdr2geo(posts.radar, time, far, surface)
    known = np.isfinite(found.lon)
    if not known.any():
        raise InputError("heights must be known where something was measured, instead got none there")
    return found.lon[known], found.lat[known], found.height[known]
