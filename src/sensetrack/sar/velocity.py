"""From offsets in radar geometry to metres: along range and flight, and east and north.

A post is seen at a time and a range in the reference, and at others in the secondary. Both are places on the ground, by
the orbit; the motion leads from one to the other. Two numbers do not make three: what the height does is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from sensetrack.blocks import Block, plan, run
from sensetrack.errors import ConfigError, InputError
from sensetrack.ot.fields import Flag
from sensetrack.sar.ellipsoid import axes, to_ecef
from sensetrack.sar.geometry import ground_axes, look_vector, rdr2geo
from sensetrack.sar.ground_motion import moved_along, moved_along_track, moved_level, slope_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sensetrack.blocks import Mapper
    from sensetrack.sar.geometry import Places, Slope
    from sensetrack.sar.heights import Surface
    from sensetrack.sar.radar_field import RadarField
    from sensetrack.sar.radargrid import RadarGrid

    Floats = NDArray[np.float64]
    Layers = dict[str, NDArray[Any]]

Assumption = Literal["level", "surface"]
"""What the ground is taken to do: stay at its height, or move parallel to its slope."""

STATED: dict[str, str] = {
    "level": "east and north are those of ground that stays at its height; vertical motion leaks into them: what rises "
    "by 1 m comes nearer by the cosine of the incidence angle and reads as a motion towards the radar",
    "surface": "east and north are those of ground that moves parallel to the slope of the elevation model; motion "
    "across the surface, such as thinning, leaks into them through the range",
}
"""What the assumptions mean, for metadata."""

_POSTS_AT_ONCE = 1 << 16
"""Posts whose geometry is held in memory together."""
_YEAR = timedelta(days=365.25)
_DAY = timedelta(days=1)


@dataclass(frozen=True, eq=False)
class RadarDisplacement:
    """How far the ground moved, one value per post of a radar image.

    All arrays have the shape of the posts, (rows, cols), or as said; NaN where nothing was measured, or where it is not
    known what place a post is.
    """

    posts: RadarField
    """What was measured."""
    assumption: Assumption
    """What `dx` and `dy` rest on; `stated` says it in words."""
    slant_range: NDArray[np.float32]
    """Metres away from the radar."""
    along_track: NDArray[np.float32]
    """Metres on the ground in the direction of the flight, at unchanged range and height."""
    dx: NDArray[np.float32]
    """Ground metres to the east."""
    dy: NDArray[np.float32]
    """Ground metres to the north."""
    up: NDArray[np.float32]
    """Metres up: not measured, but what goes with `dx` and `dy` by assumption."""
    sigma_slant_range: NDArray[np.float32]
    """Standard error, m; NaN where unknown."""
    sigma_along_track: NDArray[np.float32]
    """Standard error, m; NaN where unknown."""
    covariance: NDArray[np.float32]
    """(rows, cols, 3): variance of dx, variance of dy and their covariance, m2; NaN where unknown."""
    incidence: NDArray[np.float32]
    """Angle between the way to the satellite and the vertical, degrees."""
    local_incidence: NDArray[np.float32]
    """Angle between the way to the satellite and the normal of the ground, degrees."""
    heading: NDArray[np.float32]
    """Direction of `along_track` on the ground, degrees clockwise from north, -180 to 180."""
    flight_heading: NDArray[np.float32]
    """Direction of the satellite's own motion, over the turning earth, in the axes of the post, degrees clockwise from
    north; up to half a degree from `heading`. A motion changes `along_track` by its part along that direction."""
    flight_climb: NDArray[np.float32]
    """How far that direction points up, degrees."""
    lon: Floats
    """Longitude of the posts, degrees."""
    lat: Floats
    """Latitude of the posts, degrees."""
    height: NDArray[np.float32]
    """Metres above the ellipsoid."""
    flags: NDArray[np.uint16]
    """Bits of `Flag`: those of the offsets, NO_DATA where the place is not known, LAYOVER and SHADOW; 0 = good."""

    @property
    def dt(self) -> timedelta | None:
        """Secondary minus reference time."""
        return self.posts.dt

    @property
    def good(self) -> NDArray[np.bool_]:
        """True where no flag is raised."""
        return np.asarray(self.flags == 0)

    @property
    def sigma_dx(self) -> NDArray[np.float32]:
        """Standard error of dx, m; NaN where unknown."""
        return np.sqrt(self.covariance[..., 0])

    @property
    def sigma_dy(self) -> NDArray[np.float32]:
        """Standard error of dy, m; NaN where unknown."""
        return np.sqrt(self.covariance[..., 1])

    @property
    def magnitude(self) -> NDArray[np.float32]:
        """Length of the horizontal displacement, m."""
        return np.hypot(self.dx, self.dy)

    @property
    def stated(self) -> str:
        """What is assumed about the height, and what leaks into dx and dy by that."""
        return STATED[self.assumption]

    @property
    def velocity(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(vx, vy), east and north, in m/day."""
        return self.per_day(self.dx), self.per_day(self.dy)

    def per_day(self, metres: NDArray[Any]) -> NDArray[np.float32]:
        """Turn metres, such as `slant_range`, into m/day."""
        return np.asarray(metres / self._time(_DAY), np.float32)

    def per_year(self, metres: NDArray[Any]) -> NDArray[np.float32]:
        """Turn metres into m/yr of 365.25 days."""
        return np.asarray(metres / self._time(_YEAR), np.float32)

    def _time(self, unit: timedelta) -> float:
        if not self.dt:
            found = "an unknown time" if self.dt is None else "no time"
            raise InputError(f"velocity needs two different acquisition times, instead got {found} between them")
        return self.dt / unit


def displacement(
    posts: RadarField,
    surface: Surface,
    assumption: Assumption = "level",
    *,
    reach: float = 300.0,
    mapper: Mapper = map,
    advance: Callable[[int, int], None] | None = None,
) -> RadarDisplacement:
    """Turn offsets into metres.

    Parameters
    ----------
    posts : RadarField
    surface : Surface
        Heights of the ground above the ellipsoid.
    assumption : {"level", "surface"}
        What goes into east and north, which are three unknowns with the vertical.
    reach : float
        Metres to all sides over which the slope of the ground is taken: what a chip shows is no single pixel of the
        elevation model.
    mapper : Mapper
        The executor's `map`.
    advance : callable, optional
        Called with (done, total).
    """
    if assumption not in get_args(Assumption):
        raise ConfigError(f"assumption must be one of {', '.join(get_args(Assumption))}, instead got {assumption!r}")
    if not min(posts.shape):
        raise InputError("there are no posts: the chips are larger than what they are cut from")
    blocks = plan(posts.shape, (max(1, _POSTS_AT_ONCE // posts.shape[1]), posts.shape[1]))
    layers: Layers = {}

    def work(block: Block) -> Layers:
        return _displaced(posts.crop(block.rows, block.cols), surface, assumption, reach)

    for block, found in run(work, blocks, mapper=mapper, advance=advance):
        for name, values in found.items():
            kept = layers.setdefault(name, np.empty((*posts.shape, *values.shape[2:]), values.dtype))
            kept[block.rows, block.cols] = values
    return RadarDisplacement(posts, assumption, **layers)


def _displaced(posts: RadarField, surface: Surface, assumption: Assumption, reach: float) -> Layers:
    """Return all layers of some rows of posts."""
    radar, field = posts.radar, posts.field
    time, far = np.broadcast_arrays(radar.time(posts.lines)[:, None], radar.slant_range(posts.samples)[None])
    places = rdr2geo(radar, time, far, surface)
    slope = slope_at(surface, places, reach)
    later = np.asarray(field.d_row, np.float64) * radar.line_interval
    farther = np.asarray(field.d_col, np.float64) * radar.range_spacing
    if assumption == "level":
        moved = moved_level(radar, places, time + later, far + farther)
    else:
        moved = moved_along(radar, places, time + later, far + farther, slope)
    layers: Layers = {
        "slant_range": farther,
        "along_track": moved_along_track(radar, places, time, far, later),
        "dx": moved.east,
        "dy": moved.north,
        "up": moved.up,
        "height": places.height,
        **_errors(posts, places, time, slope if assumption == "surface" else None),
        **_views(radar, places, time, slope),
    }
    out: Layers = {name: values.astype(np.float32) for name, values in layers.items()}
    out["lon"], out["lat"] = np.degrees(places.lon), np.degrees(places.lat)
    out["flags"] = field.flags | _flags(radar, places, time, layers["local_incidence"])
    return out


def _errors(posts: RadarField, places: Places, time: Floats, slope: Slope | None) -> Layers:
    """Carry the variances of the offsets through the geometry, which is straight over a pixel; and the heading."""
    radar, field = posts.radar, posts.field
    here = places.lon, places.lat, places.height
    on = ground_axes(radar, *here, time=time, slope=slope)
    level = on if slope is None else ground_axes(radar, *here, time=time)
    heading = np.degrees(np.arctan2(level.azimuth_east, level.azimuth_north))
    nothing = np.full(posts.shape, np.nan)
    variance = (nothing,) * 3 if field.covariance is None else np.moveaxis(field.covariance.astype(float), -1, 0)
    row, col, both = variance
    along, away = radar.line_interval, radar.range_spacing
    east, north = (
        (on.speed * along * by_time, away * by_range)
        for by_time, by_range in ((on.azimuth_east, on.range_east), (on.azimuth_north, on.range_north))
    )
    covariance = [
        a[0] * b[0] * row + a[1] * b[1] * col + (a[0] * b[1] + a[1] * b[0]) * both
        for a, b in ((east, east), (north, north), (east, north))
    ]
    return {
        "sigma_slant_range": away * np.sqrt(col),
        "sigma_along_track": level.speed * along * np.sqrt(row),
        "covariance": np.stack(covariance, axis=-1),
        "heading": heading,
    }


def _views(radar: RadarGrid, places: Places, time: Floats, slope: tuple[Floats, Floats]) -> Layers:
    """Return the angles between the way to the satellite and the vertical, and the normal of the ground, degrees.

    And those of its flight.
    """
    _, velocity = radar.orbit.state(time)
    flight = np.moveaxis(np.einsum("...ij,...j->...i", axes(places.lon, places.lat), velocity), -1, 0)
    sight = look_vector(radar, places.lon, places.lat, places.height, time=time)
    east, north = slope
    across = (east * sight[..., 0] + north * sight[..., 1] - sight[..., 2]) / np.sqrt(1 + east**2 + north**2)
    return {
        "incidence": np.degrees(np.arccos(np.clip(-sight[..., 2], -1, 1))),
        "local_incidence": np.degrees(np.arccos(np.clip(across, -1, 1))),
        "flight_heading": np.degrees(np.arctan2(flight[0], flight[1])),
        "flight_climb": np.degrees(np.arctan2(flight[2], np.hypot(flight[0], flight[1]))),
    }


def _flags(radar: RadarGrid, places: Places, time: Floats, local_incidence: Floats) -> NDArray[np.uint16]:
    """Tell where there is no place, or no single one, or one that the radar does not see."""
    position, _ = radar.orbit.state(time)
    sight = to_ecef(places.lon, places.lat, places.height) - position
    # The cosine of the look angle falls with the range; ground that does not get below what is nearer is hidden.
    down = -(sight * position).sum(-1) / np.linalg.norm(sight, axis=-1) / np.linalg.norm(position, axis=-1)
    with np.errstate(invalid="ignore"):
        hidden = (down > np.fmin.accumulate(down, axis=1)) | (local_incidence > 90)
    flags = np.where(np.isnan(places.lon), Flag.NO_DATA.bit, np.uint16(0))
    flags |= np.where(places.layover, Flag.LAYOVER.bit, np.uint16(0))
    return np.asarray(flags | np.where(hidden, Flag.SHADOW.bit, np.uint16(0)), np.uint16)
