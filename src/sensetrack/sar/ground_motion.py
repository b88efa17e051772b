"""Where ground has moved to that is seen at another time and range, when something is assumed about its height.

All functions take places (radians, metres) and return metres in the axes east and north of the place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sensetrack.sar.ellipsoid import E2, SEMI_MAJOR, axes, to_ecef
from sensetrack.sar.geometry import rdr2geo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.sar.geometry import Places
    from sensetrack.sar.heights import Surface
    from sensetrack.sar.radargrid import RadarGrid

    Floats = NDArray[np.float64]

_LARGEST_FIELD = 16 << 20
"""Values of a surface that are held at a time."""
_RISE = 10.0
"""Metres by which a place is raised to see where it goes."""
_FACING = 0.05
"""Ground is known to move only where its rise differs by this share from that of ground that faces the radar squarely:
there any motion up or down the slope keeps its range."""


class Motion(NamedTuple):
    """How far places moved, m; NaN where it is not known."""

    east: Floats
    north: Floats
    up: Floats


def moved_level(radar: RadarGrid, places: Places, time: Floats, slant_range: Floats) -> Motion:
    """Return the motion of places that are now seen at a time and range, at the height that they had."""
    east, north = _east_north(places, *rdr2geo(radar, time, slant_range, places.height)[:3])
    return Motion(east, north, np.where(np.isnan(east), np.nan, 0.0))


def moved_along(
    radar: RadarGrid, places: Places, time: Floats, slant_range: Floats, slope: tuple[Floats, Floats]
) -> Motion:
    """Return the motion of places that are now seen at a time and range, parallel to the ground.

    Parameters
    ----------
    slope : (ndarray, ndarray)
        Rise of the ground per metre to the east and to the north.

    Returns
    -------
    Motion
        NaN also where the ground faces the radar squarely.
    """

    def seen(height: Floats) -> tuple[Floats, Floats, Floats]:
        east, north = _east_north(places, *rdr2geo(radar, time, slant_range, height)[:3])
        return east, north, places.height + slope[0] * east + slope[1] * north - height

    # What is missing to the ground, as a function of the height, is straight but for micrometres.
    height = places.height
    _, _, missing = seen(height)
    _, _, raised = seen(height + _RISE)
    rate = (raised - missing) / _RISE
    rate = np.where(np.abs(rate) < _FACING, np.nan, rate)
    for _ in range(2):
        height = height - missing / rate
        east, north, missing = seen(height)
    return Motion(east, north, height - places.height)


def moved_along_track(radar: RadarGrid, places: Places, time: Floats, slant_range: Floats, later: Floats) -> Floats:
    """Return how far along the flight, m, a place at the same range and height is that is seen `later` s later."""
    east, north = _east_north(places, *rdr2geo(radar, time + later, slant_range, places.height)[:3])
    return np.copysign(np.hypot(east, north), later)


def _east_north(places: Places, lon: Floats, lat: Floats, height: Floats) -> tuple[Floats, Floats]:
    step = to_ecef(lon, lat, height) - to_ecef(places.lon, places.lat, places.height)
    east, north, _ = np.moveaxis(np.einsum("...ij,...j->...i", axes(places.lon, places.lat), step), -1, 0)
    return np.asarray(east), np.asarray(north)


def slope_at(surface: Surface, places: Places, reach: float) -> tuple[Floats, Floats]:
    """Return the rise of the ground per metre to the east and to the north, over `reach` m to both sides.

    Where the heights end on one side, that of the other side is taken; NaN where both do.
    """
    if not np.isfinite(surface.posting):
        flat = np.where(np.isnan(places.lon), np.nan, 0.0)
        return flat, flat
    east, north = (reach / metres for metres in metres_per_radian(places.lat, places.height))
    here = heights_at(surface, places.lon, places.lat)
    still = np.zeros(1)
    rise_east, rise_north = (
        _rise(
            heights_at(surface, places.lon - d_lon, places.lat - d_lat),
            here,
            heights_at(surface, places.lon + d_lon, places.lat + d_lat),
            reach,
        )
        for d_lon, d_lat in ((east, still), (still, north))
    )
    return rise_east, rise_north


def metres_per_radian(lat: Floats, height: Floats | float) -> tuple[Floats, Floats]:
    """Return the metres of a radian of longitude, and of latitude, at latitudes (radians) and heights (m)."""
    square = 1 - E2 * np.sin(lat) ** 2
    prime = SEMI_MAJOR / np.sqrt(square)
    return np.asarray((prime + height) * np.cos(lat)), np.asarray(prime * (1 - E2) / square + height)


def _rise(before: Floats, here: Floats, after: Floats, reach: float) -> Floats:
    both = (after - before) / (2 * reach)
    one = np.where(np.isnan(before), after - here, here - before) / reach
    return np.where(np.isnan(both), one, both)


def heights_at(surface: Surface, lon: Floats, lat: Floats) -> Floats:
    """Return heights above the ellipsoid, m, at places in radians; a surface is asked for pieces of 16 million."""
    out = np.full(np.shape(lon), np.nan)
    _fill(surface, lon.reshape(-1), lat.reshape(-1), out.reshape(-1))
    return out


def _fill(surface: Surface, lon: Floats, lat: Floats, out: Floats) -> None:
    known = np.flatnonzero(np.isfinite(lon) & np.isfinite(lat))
    if not known.size:
        return
    near = lon[known[0]] + np.angle(np.exp(1j * (lon[known] - lon[known[0]])))
    south, north = float(lat[known].min()), float(lat[known].max())
    west, east = float(near.min()), float(near.max())
    values = (east - west) * np.cos(0.5 * (south + north)) * (north - south) * (SEMI_MAJOR / surface.posting) ** 2
    if values > _LARGEST_FIELD and known.size > 1:
        half = known[known.size // 2]
        _fill(surface, lon[:half], lat[:half], out[:half])
        _fill(surface, lon[half:], lat[half:], out[half:])
        return
    room = 1e-6
    field = surface.field(west - room, max(south - room, -np.pi / 2), east + room, min(north + room, np.pi / 2))
    out[known] = field.heights_at(near, lat[known])
