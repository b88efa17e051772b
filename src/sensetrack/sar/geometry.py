"""From the ground to the radar image and back: zero-Doppler range and time, places, and directions.

Angles are radians, lengths metres, times seconds since the epoch of the orbit; heights are above the ellipsoid of
WGS84. Everything is in double precision. Where something is not known (outside the orbit, on the other side of the
track, no height) it is NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from sensetrack.errors import InputError
from sensetrack.sar import kernels, plain
from sensetrack.sar.compiling import WORKS
from sensetrack.sar.ellipsoid import SEMI_MAJOR, axes, doubles, from_ecef, to_ecef
from sensetrack.sar.heights import HeightField
from sensetrack.sar.orbit import Orbit

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from sensetrack.sar.heights import Surface
    from sensetrack.sar.radargrid import RadarGrid

    Array = NDArray[np.float64]
    Slope = tuple[ArrayLike, ArrayLike]
    """Rise of the ground per metre to the east and per metre to the north."""

__all__ = [
    "GroundAxes", "Places", "Radar", "apparent_motion", "from_ecef", "geo2rdr", "geo2rdr_xyz", "ground_axes",
    "incidence", "look_vector", "rdr2geo", "to_ecef",
]  # fmt: skip

_LARGEST_FIELD = 16 << 20
"""Values of a surface that are held at a time."""
_RELIEF = (-500.0, 9000.0)
"""Metres between which the ground lies, the geoid included."""


class Radar(NamedTuple):
    """When places are seen, and how far away they are."""

    time: NDArray[np.float64]
    """Zero-Doppler azimuth time, s since the epoch; NaN where a place is not seen."""
    slant_range: NDArray[np.float64]
    """Metres; NaN where a place is not seen."""


class Places(NamedTuple):
    """Where something is that is seen at a time and a range."""

    lon: NDArray[np.float64]
    """Radians; NaN where there is no such place."""
    lat: NDArray[np.float64]
    """Radians; NaN likewise."""
    height: NDArray[np.float64]
    """Metres above the ellipsoid; NaN likewise."""
    layover: NDArray[np.bool_]
    """True where the surface has several such places; the one nearest to the track is given."""


class GroundAxes(NamedTuple):
    """Where a place moves to on the ground that is seen a metre farther away, or a metre later along the track."""

    range_east: NDArray[np.float64]
    """Metres to the east per metre of slant range, at the same azimuth time."""
    range_north: NDArray[np.float64]
    """Metres to the north per metre of slant range."""
    azimuth_east: NDArray[np.float64]
    """Metres to the east per metre in the direction of the flight, at the same slant range."""
    azimuth_north: NDArray[np.float64]
    """Metres to the north per metre in the direction of the flight."""
    speed: NDArray[np.float64]
    """Metres on the ground per second of azimuth time, at the same slant range."""


def geo2rdr(
    source: RadarGrid | Orbit, lon: ArrayLike, lat: ArrayLike, height: ArrayLike, *, start: float | None = None
) -> Radar:
    """Find when places are seen at zero Doppler, and how far away.

    Parameters
    ----------
    source : RadarGrid or Orbit
        With a grid, only places on the side that the radar looks to, and within a minute of the image, are seen.
        With an orbit, both sides and all of its times.
    lon, lat : array-like
        Radians; broadcast against each other and against `height`.
    height : array-like
        Metres above the ellipsoid.
    start : float, optional
        Time at which the search begins, s; by default the middle of the image or the orbit. An orbit that passes
        a place several times needs it.

    Raises
    ------
    InputError
        A latitude beyond 90 degrees: the numbers are degrees, perhaps.
    """
    lon, lat, height = doubles(lon, lat, height)
    if lat.size and np.fmax.reduce(np.abs(lat), axis=None) > np.pi / 2 + 1e-9:
        message = f"latitudes must be radians, instead got up to {np.fmax.reduce(np.abs(lat), axis=None):.4g}"
        raise InputError(message)
    return _located(source, (lon, lat, height), start, geodetic=True)


def geo2rdr_xyz(source: RadarGrid | Orbit, xyz: ArrayLike, *, start: float | None = None) -> Radar:
    """Do what `geo2rdr` does for places (..., 3) on axes fixed to the Earth, metres."""
    x, y, z = (np.asarray(part, order="C") for part in np.moveaxis(np.asarray(xyz, np.float64), -1, 0))
    return _located(source, (x, y, z), start, geodetic=False)


def _located(
    source: RadarGrid | Orbit, places: tuple[Array, Array, Array], start: float | None, *, geodetic: bool
) -> Radar:
    orbit, look, middle = _parts(source)
    begin = min(max(middle if start is None else start, orbit.start), orbit.stop)
    a, b, c = (part.reshape(-1) for part in places)
    if not WORKS:
        found = plain.locate((a, b, c), orbit, begin, look, geodetic=geodetic)
        return Radar(*(part.reshape(places[0].shape) for part in found))
    time, slant = np.empty(places[0].shape), np.empty(places[0].shape)
    kernels.locate(a, b, c, geodetic, orbit.times, orbit.pieces, begin, look, time.reshape(-1), slant.reshape(-1))
    return Radar(time, slant)


def _parts(source: RadarGrid | Orbit) -> tuple[Orbit, int, float]:
    """Return the orbit to search, the side that is seen (0: both) and where to begin."""
    if isinstance(source, Orbit):
        return source, 0, 0.5 * (source.start + source.stop)
    return source.near_orbit, source.look, source.middle_time


def rdr2geo(
    grid: RadarGrid, time: ArrayLike, slant_range: ArrayLike, surface: ArrayLike | HeightField | Surface
) -> Places:
    """Find the places that are seen at a time and a range: on given heights, or on a surface.

    Parameters
    ----------
    grid : RadarGrid
        Its orbit and look side.
    time : array-like
        Azimuth time, s since the epoch, at most a minute before or after the image; broadcast against `slant_range`.
    slant_range : array-like
        Metres.
    surface : array-like, HeightField or Surface
        Heights above the ellipsoid of the places, metres, broadcast too; or the surface that they lie on. A surface is
        asked for pieces of at most 16 million values.

    Returns
    -------
    Places
        On a surface that is steeper than the look, several places have the same time and range: `layover` says where.
    """
    if not (isinstance(surface, HeightField) or hasattr(surface, "field")):
        time, slant, height = doubles(time, slant_range, surface)
        lon, lat = _placed(grid, time, slant, height)
        return Places(lon, lat, np.where(np.isnan(lon), np.nan, height), np.zeros(lon.shape, np.bool_))
    time, slant = doubles(time, slant_range)
    lon, lat, height = (np.full(time.shape, np.nan) for _ in range(3))
    layover = np.zeros(time.shape, np.bool_)
    flat = [part.reshape(-1) for part in (time, slant, lon, lat, height, layover)]
    _meet(grid, cast("HeightField | Surface", surface), flat)
    return Places(lon, lat, height, layover)


def _placed(grid: RadarGrid, time: Array, slant: Array, height: Array) -> tuple[Array, Array]:
    orbit, look, _ = _parts(grid)
    t, far, up = (part.reshape(-1) for part in (time, slant, height))
    if not WORKS:
        lon, lat = plain.place(t, far, up, orbit, look)
        return lon.reshape(time.shape), lat.reshape(time.shape)
    lon, lat = np.empty(time.shape), np.empty(time.shape)
    kernels.place(t, far, up, orbit.times, orbit.pieces, look, lon.reshape(-1), lat.reshape(-1))
    return lon, lat


def _meet(grid: RadarGrid, surface: HeightField | Surface, flat: list[Any]) -> None:
    """Write the places of flat arrays (time, range; longitude, latitude, height, layover) on a surface."""
    time, slant = flat[:2]
    if isinstance(surface, HeightField):
        _meet_field(grid, surface, flat)
        return
    box = _box(grid, time, slant)
    if box is None:
        return
    west, south, east, north = box
    values = (east - west) * np.cos(0.5 * (south + north)) * (north - south) * (SEMI_MAJOR / surface.posting) ** 2
    if values > _LARGEST_FIELD and time.size > 1:
        half = time.size // 2
        _meet(grid, surface, [part[:half] for part in flat])
        _meet(grid, surface, [part[half:] for part in flat])
        return
    _meet_field(grid, surface.field(west, south, east, north), flat)


def _meet_field(grid: RadarGrid, field: HeightField, flat: list[Any]) -> None:
    relief = field.relief
    if relief is None:
        return
    time, slant, *places, layover = flat
    orbit, look, _ = _parts(grid)
    low, high = relief[0] - 1, relief[1] + 1
    posting = SEMI_MAJOR * max(min(abs(field.d_lat), abs(field.d_lon) * np.cos(field.lat)), 1e-9)
    count: NDArray[np.int32] = np.zeros(time.size, np.int32)
    if WORKS:
        corner = (field.lon, field.lat, field.d_lon, field.d_lat)
        kernels.meet(
            time, slant, orbit.times, orbit.pieces, look, field.heights, corner, low, high, posting,
            places[0], places[1], places[2], count,
        )  # fmt: skip
    else:
        *found, count = plain.meet(time, slant, orbit, look, field, low, high, posting)
        for kept, value in zip(places, found, strict=True):
            kept[:] = value
    layover[:] = count > 1


def _box(grid: RadarGrid, time: Array, slant: Array) -> tuple[float, float, float, float] | None:
    """Return west, south, east and north of all places that times and ranges can have; None where there are none."""
    known = np.isfinite(time) & np.isfinite(slant)
    if not known.any():
        return None
    # Lines of one time or range are curved: not only their ends count.
    t = np.linspace(time[known].min(), time[known].max(), 5)[:, None, None]
    far = np.linspace(slant[known].min(), slant[known].max(), 9)[None, :, None]
    lon, lat = _placed(grid, *doubles(t, far, np.array(_RELIEF)))
    found = ~np.isnan(lon)
    if not found.any():
        return None
    lon, lat = lon[found], lat[found]
    near = lon[0] + np.angle(np.exp(1j * (lon - lon[0])))
    south, north = float(lat.min()), float(lat.max())
    margin = 0.01 * (north - south) + 1e-4
    wide = margin / max(np.cos(max(abs(south), abs(north))), 0.01)
    half = np.pi / 2
    return float(near.min() - wide), max(south - margin, -half), float(near.max() + wide), min(north + margin, half)


def look_vector(
    source: RadarGrid | Orbit, lon: ArrayLike, lat: ArrayLike, height: ArrayLike, *, time: ArrayLike | None = None
) -> Array:
    """Return unit vectors from the satellite to places, (..., 3): east, north, up.

    The up part is negative, and the dot product with a motion is how much farther away the place gets.
    """
    return _View.of(source, lon, lat, height, time).look


def incidence(
    source: RadarGrid | Orbit, lon: ArrayLike, lat: ArrayLike, height: ArrayLike, *,
    time: ArrayLike | None = None, slope: Slope | None = None,
) -> Array:  # fmt: skip
    """Return the angle between the way to the satellite and the vertical, or the normal of the ground, radians.

    Parameters
    ----------
    source, lon, lat, height
        As for `geo2rdr`.
    time : array-like, optional
        Azimuth times, where they are known already.
    slope : (array-like, array-like), optional
        Rise of the ground per metre to the east and to the north: then it is the local incidence angle.
    """
    look = look_vector(source, lon, lat, height, time=time)
    return np.asarray(np.arccos(np.clip(-(look * _normal(slope)).sum(-1), -1, 1)))


def ground_axes(
    source: RadarGrid | Orbit, lon: ArrayLike, lat: ArrayLike, height: ArrayLike, *,
    time: ArrayLike | None = None, slope: Slope | None = None,
) -> GroundAxes:  # fmt: skip
    """Return the motion on the ground, in metres to the east and north, per metre of range and of azimuth.

    What is seen does not say how high a place has moved. It is taken to stay at its height or, with `slope` (see
    `incidence`), to move along the ground.
    """
    view = _View.of(source, lon, lat, height, time)
    per_range, per_second = view.motion(1.0, 0.0, slope), view.motion(0.0, 1.0, slope)
    speed = np.hypot(per_second[..., 0], per_second[..., 1])
    along = per_second / speed[..., None]
    return GroundAxes(per_range[..., 0], per_range[..., 1], along[..., 0], along[..., 1], speed)


def apparent_motion(
    source: RadarGrid | Orbit, lon: ArrayLike, lat: ArrayLike, height: ArrayLike,
    motion: tuple[ArrayLike, ArrayLike, ArrayLike],
) -> tuple[Array, Array]:  # fmt: skip
    """Return the motion to the east and north, m, that a map made at unchanged heights shows for a true motion.

    Parameters
    ----------
    source, lon, lat, height
        As for `geo2rdr`.
    motion : (array-like, array-like, array-like)
        True motion east, north and up, m. The vertical part leaks into range: what rises comes nearer.
    """
    view = _View.of(source, lon, lat, height, None)
    moved = np.stack(np.broadcast_arrays(*(np.asarray(part, np.float64) for part in motion)), axis=-1)
    later = -(view.flight * moved).sum(-1) / view.doppler
    seen = view.motion((view.look * moved).sum(-1), later, None)
    return seen[..., 0], seen[..., 1]


class _View(NamedTuple):
    """How places are seen, in axes east, north and up."""

    look: Array
    """(..., 3) unit vector from the satellite."""
    flight: Array
    """(..., 3) velocity of the satellite, m/s."""
    doppler: Array
    """(...) change of (place - satellite) . velocity per second, m2/s2; below 0."""

    @classmethod
    def of(
        cls, source: RadarGrid | Orbit, lon: ArrayLike, lat: ArrayLike, height: ArrayLike, time: ArrayLike | None
    ) -> _View:
        """See places at the times at which they are passed."""
        lon, lat, height = doubles(lon, lat, height)
        t = geo2rdr(source, lon, lat, height).time if time is None else np.asarray(time, np.float64)
        orbit = _parts(source)[0]
        position, velocity = orbit.state(t)
        to = to_ecef(lon, lat, height) - position
        doppler = (to * orbit.acceleration(t)).sum(-1) - (velocity * velocity).sum(-1)
        to /= np.sqrt((to * to).sum(-1, keepdims=True))
        frame = axes(lon, lat)
        look, flight = (np.einsum("...ij,...j->...i", frame, part) for part in (to, velocity))
        return cls(look, flight, doppler)

    def motion(self, farther: ArrayLike, later: ArrayLike, slope: Slope | None) -> Array:
        """Return the motion east, north, up along the ground of what is seen so much farther away (m) and later (s).

        It solves motion . look = farther, motion . flight = -doppler * later, motion . normal = 0.
        """
        normal = _normal(slope)
        across = np.cross(self.flight, normal)
        volume = (self.look * across).sum(-1)
        of_range = np.asarray(np.asarray(farther) / volume)[..., None] * across
        of_time = np.asarray(-self.doppler * np.asarray(later) / volume)[..., None] * np.cross(normal, self.look)
        return np.asarray(of_range + of_time)


def _normal(slope: Slope | None) -> Array:
    """Return unit normals of the ground, (..., 3) east, north, up."""
    if slope is None:
        return np.array([0.0, 0.0, 1.0])
    rise_east, rise_north = np.broadcast_arrays(*(np.asarray(part, np.float64) for part in slope))
    normal = np.stack([-rise_east, -rise_north, np.ones(rise_east.shape)], axis=-1)
    return np.asarray(normal / np.sqrt((normal**2).sum(-1, keepdims=True)))
