"""Early warning: velocity from date to date, acceleration, inverse velocity and a table of thresholds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, field_validator

from sensetrack.errors import ConfigError, InputError
from sensetrack.ot.parameters import Parameters
from sensetrack.stack.quality import speed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from sensetrack.stack.invert import TimeSeries


_FAR = 30.0
"""Standard errors from which on the noise of a length is that of one component."""


@dataclass(frozen=True, eq=False)
class IntervalVelocity:
    """Velocity between neighbouring dates; arrays are (n_intervals, ...), NaN where one date is missing."""

    begin: NDArray[np.datetime64]
    """(n_intervals,)."""
    end: NDArray[np.datetime64]
    value: NDArray[np.float32]
    """Per day."""
    sigma: NDArray[np.float32]
    """Standard error of `value`. Neighbouring intervals share a date, and its noise with opposite sign."""
    components: int = 1
    """How many components `value` is the length of; 1 = it has a sign."""

    @property
    def middle(self) -> NDArray[np.datetime64]:
        """(n_intervals,) the time in the middle."""
        return self.begin + (self.end - self.begin) // 2

    @property
    def days(self) -> NDArray[np.float64]:
        """(n_intervals,) length of the intervals."""
        return np.asarray((self.end - self.begin) / np.timedelta64(1, "D"), np.float64)


def interval_velocity(series: TimeSeries) -> IntervalVelocity:
    """Return the velocity from each date to the next one along one direction."""
    days = np.diff(series.network.days)[:, None, None].astype(np.float32)
    steps = np.diff(series.displacement, axis=0)
    steps = np.where(np.isfinite(series.step_sigma), steps, np.float32(np.nan))
    dates = series.network.dates
    return IntervalVelocity(dates[:-1], dates[1:], steps / days, series.step_sigma / days)


def interval_speed(components: Sequence[IntervalVelocity]) -> IntervalVelocity:
    """Return the speed of several components without the bias of noise; see `sensetrack.stack.quality.speed`."""
    first = components[0]
    value, sigma = speed([one.value for one in components], [one.sigma for one in components])
    return IntervalVelocity(first.begin, first.end, value, sigma, len(components))


@dataclass(frozen=True, eq=False)
class InverseVelocity:
    """1 / speed, which goes straight down to 0 before many failures; (n_intervals, ...), days per unit."""

    value: NDArray[np.float64]
    """NaN where the speed is not known, infinite where it is 0."""
    low: NDArray[np.float64]
    """Lower end of the confidence interval."""
    high: NDArray[np.float64]
    """Upper end; infinite where the ground may stand still."""


def inverse_velocity(speeds: IntervalVelocity, confidence: float = 0.95) -> InverseVelocity:
    """Return the inverse velocity with its confidence interval, which is not symmetric.

    Parameters
    ----------
    speeds : IntervalVelocity
        Of a speed, or of a component in the direction of the motion.
    confidence : float
        Between 0 and 1.
    """
    z = _quantile(confidence)
    v, s = speeds.value.astype(np.float64), speeds.sigma.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        slow, fast = v - z * s, v + z * s
        unknown = ~np.isfinite(v + s)
        low = np.where(fast > 0, 1 / fast, np.inf)
        high = np.where(slow > 0, 1 / slow, np.inf)
        value = np.where(v > 0, 1 / v, np.inf)
    return InverseVelocity(*(np.where(unknown, np.nan, one) for one in (value, low, high)))


@dataclass(frozen=True)
class Failure:
    """When a straight line through the inverse velocity of a point meets 0."""

    moment: np.datetime64 | None
    """None: it does not go down."""
    earliest: np.datetime64 | None
    """Of the confidence interval. None: none, because it may not go down at all."""
    latest: np.datetime64 | None
    """None: open, it may never meet 0."""
    slope: float
    """Change of the inverse velocity per day; below 0 = it speeds up."""
    slope_sigma: float
    intervals: int
    """Intervals that the line goes through."""

    @property
    def significant(self) -> bool:
        """Whether the whole confidence interval is known: it speeds up for certain."""
        return self.latest is not None


def time_of_failure(speeds: IntervalVelocity, *, since: Any = None, confidence: float = 0.95) -> Failure:
    """Extend the inverse velocity of one point in a straight line to 0, by weighted least squares.

    Parameters
    ----------
    speeds : IntervalVelocity
        Of one point: (n_intervals,). Intervals in which it does not move by its standard error are left out, because
        their inverse says nothing.
    since : datetime, optional
        Intervals that begin earlier are left out: the line holds for the last phase only.
    confidence : float
        Of the interval, by Fieller's theorem: the line may meet 0 far later than it may do earlier.

    Raises
    ------
    InputError
        More than one point, or fewer than three intervals.
    """
    if speeds.value.ndim != 1:
        raise InputError(f"the time of failure is that of one point, (n_intervals,), instead got {speeds.value.shape}")
    v, s = speeds.value.astype(np.float64), speeds.sigma.astype(np.float64)
    with np.errstate(invalid="ignore"):
        used = np.isfinite(v + s) & (v > s) & (s > 0)
    if since is not None:
        used &= speeds.begin >= np.datetime64(since, "ms")
    if used.sum() < 3:
        raise InputError(f"a time of failure needs 3 intervals with motion above its noise, instead got {used.sum()}")
    zero = speeds.middle[used][-1]
    t = np.asarray((speeds.middle[used] - zero) / np.timedelta64(1, "D"), np.float64)
    y, w = 1 / v[used], (v[used] ** 2 / s[used]) ** 2
    design = np.column_stack([np.ones_like(t), t])
    covariance = np.linalg.inv(design.T @ (w[:, None] * design))
    (level, slope) = covariance @ design.T @ (w * y)
    rest = (w * (y - level - slope * t) ** 2).sum() / (t.size - 2)
    covariance *= max(float(rest), 1.0)  # a line that fits badly is no better than it looks
    ends = _fieller(level, slope, covariance, _quantile(confidence))
    at = [None if not np.isfinite(x) else zero + np.timedelta64(round(x * 86_400_000), "ms") for x in ends]
    moment = zero + np.timedelta64(round(-level / slope * 86_400_000), "ms") if slope < 0 else None
    return Failure(moment, at[0], at[1], float(slope), float(np.sqrt(covariance[1, 1])), int(used.sum()))


def _fieller(level: float, slope: float, covariance: NDArray[Any], z: float) -> tuple[float, float]:
    """Return the ends of the interval of -level / slope, days; NaN, NaN where the slope may be 0."""
    a = slope**2 - z**2 * covariance[1, 1]
    b = 2 * (level * slope - z**2 * covariance[0, 1])
    c = level**2 - z**2 * covariance[0, 0]
    if a <= 0 or slope >= 0:
        return np.nan, np.nan
    root = np.sqrt(max(b * b - 4 * a * c, 0.0))
    first, second = sorted(((-b - root) / (2 * a), (-b + root) / (2 * a)))
    return float(first), float(second)


class ThresholdParameters(Parameters):
    """Velocities at which something is to be done."""

    limits: dict[str, float] = Field(
        default={"attention": 0.001, "pre-alarm": 0.01, "alarm": 0.1},
        description="names and velocities in m/day, growing",
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="with which a limit is passed for certain")
    repeats: int = Field(default=1, ge=1, description="intervals in a row that must pass a limit")

    @field_validator("limits")
    @classmethod
    def _growing(cls, limits: dict[str, float]) -> dict[str, float]:
        values = list(limits.values())
        if not values or not values[0] > 0 or not all(a < b for a, b in pairwise(values)):
            raise ConfigError(f"limits must be above 0 and grow, instead got {values}")
        return limits


@dataclass(frozen=True)
class Passing:
    """One line of the table: when a point passed one limit."""

    point: str
    limit: str
    velocity: float
    """The limit, per day."""
    likely: np.datetime64 | None
    """End of the first interval that is above it; None = never."""
    certain: np.datetime64 | None
    """End of the first interval that is above it by the confidence asked for."""
    now: bool
    """Whether the last interval that is known is above it for certain."""


def threshold_table(
    speeds: IntervalVelocity, points: Sequence[str], parameters: ThresholdParameters | None = None
) -> list[Passing]:
    """Say for each point and limit since when it is passed.

    Parameters
    ----------
    speeds : IntervalVelocity
        (n_intervals, n_points).
    points : sequence of str
        Their names.
    parameters : ThresholdParameters, optional
    """
    parameters = parameters or ThresholdParameters()
    if speeds.value.shape[1:] != (len(points),):
        raise InputError(f"speeds must be (n_intervals, {len(points)}), instead got {speeds.value.shape}")
    rows = []
    for place, point in enumerate(points):
        v, s = speeds.value[:, place].astype(np.float64), speeds.sigma[:, place].astype(np.float64)
        known = np.isfinite(v + s)
        when, v, s = speeds.end[known], v[known], s[known]
        for name, limit in parameters.limits.items():
            certain = _above(v, s, limit, parameters.confidence, speeds.components)
            likely, sure = (_in_a_row(one, parameters.repeats) for one in (v > limit, certain))
            rows.append(Passing(point, name, limit, _first(likely, when), _first(sure, when), bool(sure[-1:].any())))
    return rows


def at_points(speeds: IntervalVelocity, posts: ArrayLike) -> IntervalVelocity:
    """Take some posts out of (n_intervals, rows, cols): (n_intervals, n_points) of (row, col) positions."""
    rows, cols = np.asarray(posts, int).reshape(-1, 2).T
    value, sigma = (one[:, rows, cols] for one in (speeds.value, speeds.sigma))
    return replace(speeds, value=value, sigma=sigma)


def _above(
    v: NDArray[np.float64], s: NDArray[np.float64], limit: float, confidence: float, components: int
) -> NDArray[np.bool_]:
    """Tell which velocities are above a limit for certain.

    The square of a length that carries noise follows a noncentral chi-square distribution: where the limit is far below
    the noise, the length of nothing passes it often.
    """
    plain = v - _quantile(2 * confidence - 1) * s > limit  # one side
    near = limit < _FAR * s
    if components == 1 or not near.any():
        return np.asarray(plain)
    from scipy.special import chndtrix

    v, s = v[near], s[near]
    measured = np.where(v > 0, v**2 + (components - 1) * s**2, 0.0)  # `speed` takes that off
    plain[near] = measured > s**2 * chndtrix(confidence, components, (limit / s) ** 2)
    return np.asarray(plain)


def _in_a_row(passed: NDArray[np.bool_], repeats: int) -> NDArray[np.bool_]:
    """Tell at which intervals a limit has been passed for some in a row."""
    out = passed.copy()
    for back in range(1, repeats):
        out[back:] &= passed[:-back]
        out[:back] = False
    return out


def _first(passed: NDArray[np.bool_], when: NDArray[np.datetime64]) -> np.datetime64 | None:
    return when[int(passed.argmax())] if passed.any() else None


def _quantile(confidence: float) -> float:
    """Return how many standard errors on each side hold so much of a normal distribution."""
    from scipy.special import ndtri

    if not 0 < confidence < 1:
        raise ConfigError(f"confidence must be between 0 and 1, instead got {confidence}")
    return float(ndtri((1 + confidence) / 2))
