"""What a synthetic Sentinel-1 product measures: times, bursts, bands and orbit, made up or as in a real product."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from sensetrack.errors import ConfigError
from sensetrack.sar.scatterers import Path as Track
from sensetrack.sar.scatterers import axes, from_earth
from sensetrack.sar.simulate import Band, Carrier, Frame
from sensetrack.sar.simulated_orbit import CircularOrbit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.sar.orbit import Orbit

    Floats = NDArray[np.float64]

LIGHT = 299_792_458.0
FREQUENCY = 5.40500045433435e9
"""Of the radar, Hz."""
SAMPLING = 64.34523812571428e6
"""Of the echo in range, Hz."""
_LINE = 2.055556299999998e-3
"""Seconds between lines of an SLC."""
_CYCLE = 1342
"""Lines from one burst to the next."""
_SPACING = 10.0
"""Of a GRD, m."""
_ORBIT = 12 * 86400 / 175
"""Seconds."""


class _Mode(NamedTuple):
    """What the instrument does in a subswath."""

    steering: float
    """Degrees per second."""
    lines: int
    samples: int
    range_time: float
    """Two-way, of sample 0, s."""
    range_band: tuple[float, float]
    """Hz, coefficient of the window."""
    azimuth_band: tuple[float, float]
    """Hz, coefficient of the window."""
    prf: float
    start: float
    """Of the first burst, in cycles."""
    look: tuple[float, float]
    """Band of a look of a GRD and overlap of two, Hz."""


_MODES = {
    "IW1": _Mode(
        1.590368784, 1507, 23055, 5.334431164884956e-03, (56.5e6, 0.75), (327.0, 0.70), 1717.128973878037, 0.0,
        (14.1e6, 3.500262045520706e6),
    ),
    "IW2": _Mode(
        0.979863325, 1519, 26818, 5.644353088882477e-03, (48.3e6, 0.75), (313.0, 0.75), 1451.627112193990, 0.343,
        (12.1e6, 3.050937626911310e6),
    ),
    "IW3": _Mode(
        1.397440818, 1524, 25769, 6.015320711278467e-03, (42.78991840322842e6, 0.75), (314.0, 0.75), 1685.817302492702,
        -0.311, (10.7e6, 2.678569324196341e6),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class S1Recipe:
    """What a synthetic product is; the defaults are small enough for a test.

    A product of a real size has ``lines=None, samples=None`` and nine bursts.
    """

    product: Literal["SLC", "GRD"] = "SLC"
    platform: str = "A"
    """Letter of the satellite."""
    start: datetime = datetime(2024, 6, 1, 5, 26, 23, tzinfo=UTC)
    """When the first line was seen."""
    ascending: bool = False
    place: tuple[float, float] = (8.0, 46.4)
    """Longitude and latitude, degrees, that lie in the middle."""
    swaths: tuple[str, ...] = ("IW1", "IW2", "IW3")
    """Of an SLC; a GRD always has one image."""
    bursts: int = 2
    lines: int | None = 160
    """Of each burst, or of a GRD."""
    samples: int | None = 320
    polarisations: tuple[str, ...] = ("VV",)
    noise: float = -22.0
    """Backscatter (beta0) that is as strong as the thermal noise at mid swath, dB; -inf: there is none."""
    calibration: float = 237.0
    """Digital number of beta0 = 1."""
    ipf: str = "003.71"
    """Of the processor: noise before 002.90, bursts before 003.40, FM rates before 002.43 are annotated otherwise."""
    absolute_orbit: int = 54130
    relative_orbit: int = 66
    datatake: int = 0x069545
    east: float = 0.0
    """Metres by which the orbit lies further east, in the equator."""
    late: float = 0.0
    """Seconds by which bursts begin later than those of a scene to the second."""


@dataclass(frozen=True, eq=False)
class SwathPlan:
    """Numbers of one image of a product; times in s since the epoch of the plan."""

    name: str
    times: tuple[float, ...]
    """First line of each burst; of the image where there are none."""
    line_interval: float
    lines: int
    """Of each burst, or of the image."""
    range_time: float
    """Two-way, of sample 0, s."""
    samples: int
    azimuth: Band
    range: Band
    looks: tuple[Band, ...] = ()
    steering: float = 0.0
    """Degrees per second."""
    doppler: tuple[tuple[float, float, tuple[float, ...]], ...] = ()
    """Records of azimuth time, range time that the polynomial counts from, and coefficients, Hz."""
    fm_rates: tuple[tuple[float, float, tuple[float, ...]], ...] = ()
    """Likewise, Hz/s."""
    valid: tuple[tuple[int, int, int, int], ...] = ()
    """First and last line, first and last sample of each burst that are measured."""
    burst_ids: tuple[int, ...] = ()
    prf: float = 1700.0

    @property
    def middle(self) -> float:
        """Time of the middle, s."""
        return (self.times[0] + self.times[-1] + (self.lines - 1) * self.line_interval) / 2

    @property
    def rows(self) -> int:
        """Lines of the measurement."""
        return len(self.times) * self.lines


@dataclass(frozen=True, eq=False)
class S1Plan:
    """Everything that a synthetic product has in common with a real one, as numbers."""

    recipe: S1Recipe
    epoch: datetime
    orbit: Orbit
    node_time: datetime
    swaths: tuple[SwathPlan, ...]
    ground_spacing: float = _SPACING
    """Of a GRD, m, in both directions."""

    @cached_property
    def track(self) -> Track:
        """The orbit over the product."""
        first = min(swath.times[0] for swath in self.swaths)
        last = max(swath.times[-1] + swath.lines * swath.line_interval for swath in self.swaths)
        return Track.of(self.orbit, first - 3, last + 3)

    def frame(self, swath: SwathPlan, burst: int = 0) -> Frame:
        """Return where the pixels of a burst are; of a GRD, in slant range."""
        wavelength, spacing = LIGHT / FREQUENCY, LIGHT / 2 / swath.range.rate
        near, samples = LIGHT / 2 * swath.range_time, swath.samples
        carrier = None
        if swath.steering:
            middle = swath.times[burst] + (swath.lines - 1) / 2 * swath.line_interval
            speed = float(np.linalg.norm(self.track(middle, 1)))
            rate = 2 * speed / LIGHT * FREQUENCY * np.radians(swath.steering)
            mid_range = swath.range_time + (swath.samples // 2) / swath.range.rate
            nearest = (min(part, key=lambda one: abs(one[0] - middle)) for part in (swath.doppler, swath.fm_rates))
            carrier = Carrier(middle, mid_range, rate, *(one[1:] for one in nearest))
        if self.recipe.product == "GRD":
            far = self.slant_ranges(swath)[:, -1].max()
            samples = int((far - near) / spacing) + 2
        return Frame(
            self.orbit, wavelength, swath.times[burst], swath.line_interval, swath.lines, near, spacing, samples,
            swath.azimuth, swath.range, swath.looks, carrier,
        )  # fmt: skip

    def slant_ranges(self, swath: SwathPlan) -> Floats:
        """Return the slant range of the pixels of a GRD, (lines, samples), m."""
        ground = np.arange(swath.samples) * self.ground_spacing
        time = swath.times[0] + np.arange(swath.lines) * swath.line_interval
        records = self.conversions(swath)
        values = np.stack([np.polynomial.polynomial.polyval(ground, record.to_slant) for record in records])
        place = (time - records[0].time) / (records[1].time - records[0].time)
        low = np.clip(place.astype(int), 0, len(records) - 2)
        share = (place - low)[:, None]
        return np.asarray(values[low] * (1 - share) + values[low + 1] * share)

    def conversions(self, swath: SwathPlan) -> list[Conversion]:
        """Return how slant and ground range go together, each second."""
        first, last = swath.times[0], swath.times[0] + swath.lines * swath.line_interval
        near = LIGHT / 2 * swath.range_time
        out = []
        for time in np.arange(np.floor(first) - 1, np.ceil(last) + 2):
            slant = near + np.linspace(0, swath.samples * self.ground_spacing, 400)  # further than the last
            places = self.track.ground(time, slant, 0.0)
            step = np.linalg.norm(np.diff(places, axis=0), axis=-1)
            along = np.concatenate([[0], np.cumsum(step)])
            keep = along <= (swath.samples + 20) * self.ground_spacing
            terms = 9 if along[keep][-1] > 50_000 else 6
            to_ground, to_slant = (_fitted(x[keep], y[keep], terms) for x, y in ((slant - near, along), (along, slant)))
            out.append(Conversion(float(time), near, to_ground, to_slant))
        return out


class Conversion(NamedTuple):
    """How slant and ground range go together at an azimuth time."""

    time: float
    origin: float
    to_ground: Floats
    """Coefficients of slant range - origin."""
    to_slant: Floats
    """Coefficients of ground range."""


def _fitted(x: Floats, y: Floats, terms: int) -> Floats:
    scale = float(np.abs(x).max())
    c = np.linalg.lstsq(np.vander(x / scale, terms, increasing=True), y)[0]
    return np.asarray(c / scale ** np.arange(terms))


def plan(recipe: S1Recipe | None = None) -> S1Plan:
    """Make up the numbers of a product: a circular orbit and the constants of the mode."""
    recipe = recipe or S1Recipe()
    unknown = [name for name in recipe.swaths if name not in _MODES]
    if unknown or recipe.bursts < 1 or not recipe.swaths:
        raise ConfigError(
            f"swaths must be some of {', '.join(_MODES)}, instead got {', '.join(recipe.swaths) or 'none'}"
        )
    grd = recipe.product == "GRD"
    swaths = (_image(recipe),) if grd else tuple(_swath(recipe, name) for name in recipe.swaths)
    first = min(swath.times[0] for swath in swaths)
    # Times of all parts are multiples of a microsecond, as they are annotated.
    swaths = tuple(
        replace(swath, times=tuple(round(time - first + recipe.late, 6) for time in swath.times)) for swath in swaths
    )
    circle = _aimed(recipe, swaths)
    if grd:  # lines are as far apart as samples
        swaths = (_squared(recipe, swaths[0], circle),)
        circle = _aimed(recipe, swaths)
    orbit = circle.vectors(recipe.start, -70.0, swaths[0].times[-1] + 80.0)
    node = recipe.start - timedelta(seconds=circle.since_node)
    made = S1Plan(recipe, recipe.start, orbit, node, swaths)
    if grd:
        return made
    return replace(made, swaths=tuple(_with_records(made, swath) for swath in swaths))


def _swath(recipe: S1Recipe, name: str) -> SwathPlan:
    mode = _MODES[name]
    lines, samples = recipe.lines or mode.lines, recipe.samples or mode.samples
    cycle = _CYCLE if recipe.lines is None else round(0.89 * lines)
    times = tuple((round(mode.start * cycle) + burst * cycle) * _LINE for burst in range(recipe.bursts))
    near = mode.range_time
    if recipe.samples is not None:
        # Small swaths overlap as real ones do.
        near = _MODES["IW1"].range_time + list(_MODES).index(name) * round(0.9 * samples) / SAMPLING
    edge_line, edge = max(round(0.016 * lines), 1), max(round(0.01 * samples), 1)
    # The last lines and samples differ a little from burst to burst.
    valid = tuple(
        (edge_line + burst % 2, lines - 1 - edge_line, edge, samples - 1 - edge - burst % 2)
        for burst in range(recipe.bursts)
    )
    return SwathPlan(
        name, times, _LINE, lines, near, samples, Band(1 / _LINE, *mode.azimuth_band), Band(SAMPLING, *mode.range_band),
        steering=mode.steering, valid=valid, prf=mode.prf,
    )  # fmt: skip


def _image(recipe: S1Recipe) -> SwathPlan:
    """Return the one image of a GRD, with the bands of IW1."""
    mode = _MODES["IW1"]
    lines, samples = recipe.lines or 16685, recipe.samples or 25788
    interval = 1.498376640333055e-03
    width, overlap = mode.look
    looks = tuple(Band(SAMPLING, width, 0.70, (k - 2) * (width - overlap)) for k in range(5))
    return SwathPlan(
        "IW", (0.0,), interval, lines, mode.range_time, samples, Band(1 / interval, *mode.azimuth_band),
        Band(SAMPLING, mode.range_band[0], 0.70), looks, prf=mode.prf,
    )  # fmt: skip


def _squared(recipe: S1Recipe, swath: SwathPlan, circle: CircularOrbit) -> SwathPlan:
    """Return the image with lines 10 m apart in its middle."""
    track = Track.of(circle.vectors(recipe.start, -40, 60), 0, 2)
    place = track.ground(1.0, LIGHT / 2 * swath.range_time + 3.0 * swath.samples, 0.0)
    lon, lat, _ = from_earth(place)
    interval = _SPACING / float(track.ground_speed(place, np.array(1.0), axes(lon, lat)[2]))
    return replace(swath, line_interval=interval, azimuth=replace(swath.azimuth, rate=1 / interval))


def _aimed(recipe: S1Recipe, swaths: tuple[SwathPlan, ...]) -> CircularOrbit:
    """Return the orbit that has the place in the middle of the product."""
    lon, lat = recipe.place
    middle = float(np.mean([swath.middle for swath in swaths])) - recipe.late
    near = np.mean([swath.range_time for swath in swaths]) * LIGHT / 2
    half = swaths[0].samples / 2 * (6.0 if recipe.product == "GRD" else LIGHT / 2 / SAMPLING)
    aim = [lon, lat]
    for _ in range(8):
        circle = CircularOrbit(aim[0], aim[1], ascending=recipe.ascending, period=_ORBIT)
        track = Track.of(circle.vectors(recipe.start, -40, middle + 60), middle - 2, middle + 2)
        x, y, _ = from_earth(track.ground(middle, near + half, 0.0))
        aim = [aim[0] + lon - float(x), aim[1] + lat - float(y)]
    return replace(circle, east=recipe.east)


def _with_records(made: S1Plan, swath: SwathPlan) -> SwathPlan:
    """Add records of Doppler and FM rate, and numbers of the bursts."""
    near = LIGHT / 2 * swath.range_time
    r = near + np.linspace(0, swath.samples * LIGHT / 2 / swath.range.rate, 30)
    spacing = (swath.times[1] - swath.times[0]) if len(swath.times) > 1 else swath.lines * swath.line_interval
    doppler, rates = [], []
    for number in range(-1, len(swath.times) + 1):
        middle = swath.times[0] + number * spacing + swath.lines / 2 * swath.line_interval
        time = round(middle + 0.1 * spacing, 6)
        place = made.track.ground(time, r, 0.0)
        line, velocity = place - made.track(time), made.track(time, 1)
        rate = -2 * FREQUENCY / LIGHT * (np.sum(velocity**2) - line @ made.track(time, 2)) / r
        rates.append((time, swath.range_time, tuple(map(float, _fitted(2 / LIGHT * (r - near), rate, 3)))))
        # The two kinds of records have times and origins of their own.
        origin = swath.range_time + 4e-6
        doppler.append((round(time - 0.05 * spacing, 6), origin, (-9.0 + 4.0 * (number % 3), 9e3, -1.5e7)))
    anx = made.recipe.start - made.node_time
    first = (swath.times[0] + swath.lines / 2 * swath.line_interval) + anx.total_seconds()
    turns = (made.recipe.relative_orbit - 1) * _ORBIT
    number = 1 + int((first + turns - 2.299849) // 2.758273)
    ids = tuple(range(number, number + len(swath.times)))
    return replace(swath, doppler=tuple(doppler), fm_rates=tuple(rates), burst_ids=ids)


def heading(track: Track, time: float) -> float:
    """Return the direction of flight, degrees clockwise from north."""
    lon, lat, _ = from_earth(track(time))
    east, north, _ = axes(lon, lat)
    velocity = track(time, 1)
    return float(np.degrees(np.arctan2(velocity @ east, velocity @ north)))
