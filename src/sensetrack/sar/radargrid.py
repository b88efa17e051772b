"""Where the pixels of a radar image are: azimuth time and slant range."""
# ruff: noqa: PLR0917  compiled functions take their arguments by position

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sensetrack.errors import InputError
from sensetrack.sar.compiling import WORKS, compiled
from sensetrack.sar.orbit import Orbit, as_utc, constant

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import ArrayLike, NDArray

SPEED_OF_LIGHT = 299_792_458.0
"""Metres per second."""
_AROUND = 60.0
"""Seconds before and after an image in which places are looked for."""


@dataclass(frozen=True, eq=False)
class GroundRange:
    """How slant range and distance along the ground go together, at some azimuth times.

    Between two times the values of the two polynomials are interpolated linearly; before the first and after the last
    those of the nearest are taken.

    Parameters
    ----------
    times : (n,) float64
        Azimuth times of the records, seconds since the epoch of the radar grid, increasing.
    origins : (n,) float64
        Slant range, metres, at which each polynomial of `slant_to_ground` begins.
    slant_to_ground : (n, k) float64
        Ground range, metres, in ascending powers of slant range - origin.
    ground_to_slant : (n, k) float64, optional
        Slant range, metres, in ascending powers of ground range - ground origin; where it is missing the other
        polynomial is inverted.
    spacing : float
        Metres of ground range between samples; sample 0 is at 0.
    ground_origins : (n,) float64, optional
        Ground range, metres, at which each polynomial of `ground_to_slant` begins; zero by default.
    """

    times: NDArray[np.float64]
    origins: NDArray[np.float64]
    slant_to_ground: NDArray[np.float64]
    ground_to_slant: NDArray[np.float64] | None
    spacing: float
    ground_origins: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        count = np.size(self.times)
        for name in ("times", "origins", "ground_origins", "slant_to_ground", "ground_to_slant"):
            value = getattr(self, name)
            if value is None:
                continue
            value = constant(value)
            flat = name.endswith(("times", "origins"))
            if count < 1 or value.shape[:1] != (count,) or value.ndim != (1 if flat else 2):
                message = f"{name} of a ground range must have one entry per time ({count}), instead got {value.shape}"
                raise InputError(message)
            if not np.isfinite(value).all():
                raise InputError(f"{name} of a ground range must be finite numbers")
            object.__setattr__(self, name, value)
        if not (np.diff(self.times) > 0).all():
            raise InputError("times of a ground range must increase")
        if not self.spacing > 0:
            raise InputError(f"spacing of a ground range must be above 0, instead got {self.spacing}")

    def to_ground(self, slant_range: ArrayLike, time: ArrayLike) -> NDArray[np.float64]:
        """Return the ground range, metres, of a slant range at an azimuth time (NaN where either is)."""
        return interpolated(slant_range, time, self.times, self.origins, self.slant_to_ground)

    def to_slant(self, ground_range: ArrayLike, time: ArrayLike) -> NDArray[np.float64]:
        """Return the slant range, metres, of a ground range at an azimuth time (NaN where either is)."""
        if self.ground_to_slant is None:
            return self._inverted(ground_range, time)
        origins = np.zeros_like(self.times) if self.ground_origins is None else self.ground_origins
        return interpolated(ground_range, time, self.times, origins, self.ground_to_slant)

    def _inverted(self, ground_range: ArrayLike, time: ArrayLike) -> NDArray[np.float64]:
        """Find the slant range of a ground range by Newton's method."""
        ground, time = np.broadcast_arrays(np.asarray(ground_range, np.float64), np.asarray(time, np.float64))
        slant = np.full(ground.shape, self.origins.mean())
        for _ in range(30):
            here = self.to_ground(slant, time)
            step = (here - ground) / (self.to_ground(slant + 1, time) - here)
            # The curve is steepest at the near end: half of what would lead before it stays on the curve.
            slant = np.maximum(slant - step, self.origins.mean() - 1000)
            if not (np.abs(step) > 1e-6).any():
                break
        return np.asarray(slant)


def interpolated(
    value: ArrayLike,
    time: ArrayLike,
    times: NDArray[np.float64],
    origins: NDArray[np.float64],
    coefficients: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Evaluate polynomials that hold at some times, and interpolate their values linearly in time.

    Parameters
    ----------
    value, time : array-like
        Broadcast against each other.
    times, origins : (n,) float64
        When each polynomial holds, and what is taken off `value` first.
    coefficients : (n, k) float64
        Ascending powers.

    Returns
    -------
    ndarray of float64
        Beyond the first and the last time, what the nearest polynomial gives; NaN where an argument is NaN.
    """
    x, t = np.broadcast_arrays(np.asarray(value, np.float64), np.asarray(time, np.float64))
    if WORKS:
        out = np.empty(x.shape)
        interpolate(np.ravel(x), np.ravel(t), times, origins, coefficients, out.reshape(-1))
        return out
    place = np.clip(np.interp(t, times, np.arange(times.size)), 0, times.size - 1)
    low = np.minimum(np.nan_to_num(place).astype(int), max(times.size - 2, 0))
    high = np.minimum(low + 1, times.size - 1)
    weight = place - low
    first, second = (_horner(x, record, origins, coefficients) for record in (low, high))
    return np.asarray(first + weight * (second - first))


def _horner(
    x: NDArray[np.float64], record: NDArray[np.intp], origins: NDArray[np.float64], coefficients: NDArray[np.float64]
) -> NDArray[np.float64]:
    offset, out = x - origins[record], np.zeros(x.shape)
    for power in range(coefficients.shape[1] - 1, -1, -1):
        out = out * offset + coefficients[record, power]
    return out


@compiled
def interpolate(value: Any, time: Any, times: Any, origins: Any, coefficients: Any, out: Any) -> None:
    """Do what `interpolated` does, for flat arrays."""
    count, terms = coefficients.shape
    low = 0
    for i in range(value.size):
        t = time[i]
        if np.isnan(t + value[i]):
            out[i] = np.nan
            continue
        while low < count - 2 and t >= times[low + 1]:
            low += 1
        while low > 0 and t < times[low]:
            low -= 1
        high = min(low + 1, count - 1)
        weight = 0.0
        if high > low:
            weight = min(max((t - times[low]) / (times[high] - times[low]), 0.0), 1.0)
        first, second = value[i] - origins[low], value[i] - origins[high]
        a, b = 0.0, 0.0
        for power in range(terms - 1, -1, -1):
            a = a * first + coefficients[low, power]
            b = b * second + coefficients[high, power]
        out[i] = a + weight * (b - a)


@dataclass(frozen=True, eq=False)
class RadarGrid:
    """Rows and columns of a radar image: lines in azimuth time, samples in slant or ground range.

    Times are seconds since `epoch`; the orbit is brought to the same epoch. Line and sample numbers are those of pixel
    *centres*: line 0 is the first line.

    Parameters
    ----------
    lines, samples : int
        Rows and columns.
    epoch : datetime
        With a time zone.
    first_time : float
        Zero-Doppler azimuth time of line 0, s since `epoch`.
    line_interval : float
        Seconds between lines; above 0.
    near_range : float
        Slant range of sample 0, m (of a product in ground range too).
    range_spacing : float
        Metres of slant range between samples; NaN for a product in ground range.
    look : int
        +1 looks to the right of the flight, -1 to the left.
    wavelength : float
        Metres.
    orbit : Orbit
    ground : GroundRange, optional
        Of a product in ground range.
    """

    lines: int
    samples: int
    epoch: datetime
    first_time: float
    line_interval: float
    near_range: float
    range_spacing: float
    look: Literal[1, -1]
    wavelength: float
    orbit: Orbit
    ground: GroundRange | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "epoch", as_utc(self.epoch))
        if self.orbit.epoch != self.epoch:
            object.__setattr__(self, "orbit", self.orbit.since(self.epoch))
        for name in ("lines", "samples", "line_interval", "near_range", "wavelength"):
            if not 0 < getattr(self, name) < np.inf:
                raise InputError(f"{name} of a radar grid must be above 0, instead got {getattr(self, name)}")
        if self.ground is None and not 0 < self.range_spacing < np.inf:
            raise InputError(f"range_spacing of a radar grid must be above 0, instead got {self.range_spacing}")
        if self.look not in (1, -1):
            raise InputError(f"look of a radar grid must be 1 (right) or -1 (left), instead got {self.look}")

    @property
    def shape(self) -> tuple[int, int]:
        """Lines, samples."""
        return self.lines, self.samples

    @cached_property
    def near_orbit(self) -> Orbit:
        """The part of the orbit within a minute of the image, and a few vectors more: where places are looked for."""
        return self.orbit.around(self.first_time - _AROUND, self.last_time + _AROUND)

    @property
    def last_time(self) -> float:
        """Azimuth time of the last line, s since the epoch."""
        return self.first_time + (self.lines - 1) * self.line_interval

    @property
    def middle_time(self) -> float:
        """Azimuth time of the middle of the image, s since the epoch."""
        return 0.5 * (self.first_time + self.last_time)

    def time(self, line: ArrayLike) -> NDArray[np.float64]:
        """Return the azimuth time of a line (may be fractional), s since the epoch."""
        return self.first_time + np.asarray(line, np.float64) * self.line_interval

    def line(self, time: ArrayLike) -> NDArray[np.float64]:
        """Return the fractional line of an azimuth time (s since the epoch)."""
        return np.asarray((np.asarray(time, np.float64) - self.first_time) / self.line_interval)

    def slant_range(self, sample: ArrayLike, time: ArrayLike = 0.0) -> NDArray[np.float64]:
        """Return the slant range, m, of a sample (may be fractional); `time` matters in ground range only."""
        sample = np.asarray(sample, np.float64)
        if self.ground is None:
            return np.asarray(self.near_range + sample * self.range_spacing)
        return self.ground.to_slant(sample * self.ground.spacing, time)

    def sample(self, slant_range: ArrayLike, time: ArrayLike = 0.0) -> NDArray[np.float64]:
        """Return the fractional sample of a slant range, m; `time` matters in ground range only."""
        slant_range = np.asarray(slant_range, np.float64)
        if self.ground is None:
            return np.asarray((slant_range - self.near_range) / self.range_spacing)
        return self.ground.to_ground(slant_range, time) / self.ground.spacing

    def contains(self, line: ArrayLike, sample: ArrayLike) -> NDArray[np.bool_]:
        """Tell which places lie between the centres of the outermost pixels, half a pixel more included."""
        line, sample = np.asarray(line), np.asarray(sample)
        inside = (line >= -0.5) & (line <= self.lines - 0.5) & (sample >= -0.5) & (sample <= self.samples - 0.5)
        return np.asarray(inside)

    def with_orbit(self, orbit: Orbit) -> RadarGrid:
        """Return the same grid with another orbit, such as a precise one.

        Raises
        ------
        InputError
            It has no states at some times of the image.
        """
        found = replace(self, orbit=orbit)
        if not found.orbit.covers(self.first_time, self.last_time):
            message = f"an orbit must cover the times of the image, instead got one from {orbit.source} that does not"
            raise InputError(message, advice="use the orbit file of the day of the image")
        return found

    def crop(self, rows: slice, cols: slice) -> RadarGrid:
        """Return the grid of a window of a product in slant range."""
        if self.ground is not None:
            raise InputError("only grids in slant range are cut, instead got one in ground range")
        return replace(
            self,
            lines=rows.stop - rows.start,
            samples=cols.stop - cols.start,
            first_time=float(self.time(rows.start)),
            near_range=float(self.slant_range(cols.start)),
        )

    @cached_property
    def pass_direction(self) -> Literal["ascending", "descending"]:
        """Whether the satellite flies north or south at the middle of the image."""
        _, velocity = self.orbit.state(self.middle_time)
        return "ascending" if velocity[2] > 0 else "descending"

    @cached_property
    def heading(self) -> float:
        """Direction of the ground track at the middle of the image, degrees clockwise from north, -180 to 180."""
        position, velocity = self.orbit.state(self.middle_time)
        lon, lat = np.arctan2(position[1], position[0]), np.arctan2(position[2], np.hypot(position[0], position[1]))
        east = -np.sin(lon) * velocity[0] + np.cos(lon) * velocity[1]
        north = -np.sin(lat) * (np.cos(lon) * velocity[0] + np.sin(lon) * velocity[1]) + np.cos(lat) * velocity[2]
        return float(np.degrees(np.arctan2(east, north)))
