"""Places whose series are told one by one: which, how fast they were, and when they passed a limit."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import InputError
from sensetrack.products.timeseries_points import posts_near, read_places
from sensetrack.stack.warning import (
    Failure,
    IntervalVelocity,
    Passing,
    interval_speed,
    interval_velocity,
    inverse_velocity,
    threshold_table,
    time_of_failure,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.grid import Grid
    from sensetrack.stack.invert import TimeSeries
    from sensetrack.stack.motion import Motion
    from sensetrack.stack.warning import ThresholdParameters
    from sensetrack.workflow.stack_config import StackConfig
    from sensetrack.workflow.stacking import Stacked

_CERTAIN = 3.0
"""Standard errors by which a post that is chosen must move."""
_MOVING = 3
"""Moving posts that are chosen, at most."""
_APART = 0.2
"""Of the diagonal of the map: how far apart chosen posts are."""
_DATES = 0.8
"""Share of the dates that a chosen post must have, relative to the best ones."""


@dataclass(frozen=True, eq=False)
class Told:
    """What is told of some points."""

    names: tuple[str, ...]
    posts: NDArray[np.int64]
    """(n_points, 2) row and column."""
    series: list[TimeSeries]
    """Of both components; (n_dates, n_points, 1)."""
    motion: list[Motion]
    speeds: IntervalVelocity
    """(n_intervals, n_points), without the bias of noise."""
    passings: list[Passing]
    """Empty where there are no metres."""
    failures: list[Failure | None]
    """Of each point; None where fewer than three intervals move."""
    why: list[str]
    """Why there is no failure; empty where there is one."""

    def speed_of(self, point: int) -> IntervalVelocity:
        """Return the speeds of one point, (n_intervals,)."""
        return _one(self.speeds, point)


def told_of(stacked: Stacked, config: StackConfig) -> Told | None:
    """Choose points, or take those that are given, and tell their series; None where there is nothing to choose from.

    Raises
    ------
    InputError
        A point lies outside.
    """
    names, posts = places_of(config, stacked.pairs.grid)
    if not names:
        names, posts = chosen(stacked)
    if not names:
        return None
    series, motion = stacked.at(posts)
    speeds = interval_speed([interval_velocity(one) for one in series])
    speeds = replace(speeds, value=speeds.value[:, :, 0], sigma=speeds.sigma[:, :, 0])
    metres = stacked.pairs.unit == "m"
    passings = threshold_table(speeds, names, config.thresholds) if metres else []
    failures, why = zip(*(_failure(_one(speeds, k)) for k in range(len(names))), strict=True)
    return Told(names, posts, series, motion, speeds, passings, list(failures), list(why))


def places_of(config: StackConfig, grid: Grid) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return names and posts of the points that are given; none where there are none."""
    if config.points is None:
        return (), np.empty((0, 2), np.int64)
    if isinstance(config.points, tuple):
        names = tuple(one.name for one in config.points)
        return names, posts_near(grid, [one.x for one in config.points], [one.y for one in config.points])
    places = read_places(config.points)
    if places.crs is not None and not grid.georeferenced:
        message = "has points in longitude and latitude or another CRS, and the pairs have none"
        raise InputError(message, path=config.points, advice="give columns x and y: columns and rows of posts")
    try:
        posts = posts_near(grid, places.x, places.y, places.crs)
    except InputError as error:
        error.path = error.path or config.points
        raise
    if len(set(places.names)) < len(places.names):
        twice = next(name for name in places.names if places.names.count(name) > 1)
        raise InputError(f"points must have names of their own, instead got {twice[:60]!r} twice", path=config.points)
    return places.names, posts


def chosen(stacked: Stacked) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Choose the fastest post that moves for certain, up to two more far from it, and one that stands still."""
    vx, vy = (_smoothed(one) for one in stacked.velocity)
    speed, sigma = np.hypot(vx, vy), np.hypot(*stacked.velocity_sigma)
    dates = np.isfinite(stacked.components[0].displacement).sum(axis=0)
    usable = np.isfinite(speed) & np.isfinite(sigma) & (dates >= _DATES * max(int(dates.max()), 1))
    with np.errstate(invalid="ignore"):
        moving = usable & (speed > _CERTAIN * sigma)
    row, col = np.indices(stacked.pairs.shape)
    reach = _APART * float(np.hypot(*stacked.pairs.shape))
    names: list[str] = []
    posts: list[tuple[int, int]] = []

    def add(name: str, score: NDArray[Any], among: NDArray[np.bool_]) -> None:
        far = among.copy()
        for i, j in posts:
            far &= np.hypot(row - i, col - j) >= reach
        if far.any():
            place = np.unravel_index(int(np.where(far, score, -np.inf).argmax()), far.shape)
            names.append(name)
            posts.append((int(place[0]), int(place[1])))

    for number in range(_MOVING):
        add(f"moving {number + 1}", speed, moving)
    still = usable & ~moving
    add("still", -sigma - speed, still if still.any() else usable)
    return tuple(names), np.array(posts, np.int64).reshape(-1, 2)


def _smoothed(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return medians of 3 x 3 posts: one wild post is not the fastest."""
    if min(values.shape) < 3:
        return values
    rows, cols = values.shape
    wide = np.pad(values, 1, constant_values=np.nan)
    around = np.stack([wide[i : i + rows, j : j + cols] for i in range(3) for j in range(3)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where there is nothing around
        middle = np.nanmedian(around, axis=0)
    return np.where(np.isfinite(values), middle, np.float32(np.nan)).astype(np.float32)


def _one(speeds: IntervalVelocity, point: int) -> IntervalVelocity:
    return replace(speeds, value=speeds.value[:, point], sigma=speeds.sigma[:, point])


def _failure(speeds: IntervalVelocity) -> tuple[Failure | None, str]:
    """Return the time of failure of one point, or why there is none."""
    try:
        return time_of_failure(speeds), ""
    except InputError as error:
        return None, error.cause


def inverse_velocity_table(told: Told, unit: str, thresholds: ThresholdParameters) -> tuple[list[str], list[list[Any]]]:
    """Return head and rows: speed and inverse velocity of every point and interval, with the confidence interval."""
    inverse = inverse_velocity(told.speeds, thresholds.confidence)
    head = ["point", "begin", "end", f"speed_{unit}_per_day", f"sigma_{unit}_per_day",
            f"inverse_days_per_{unit}", "inverse_low", "inverse_high"]  # fmt: skip
    rows = [
        [name, begin, end, *(one[k, place] for one in (
            told.speeds.value, told.speeds.sigma, inverse.value, inverse.low, inverse.high))]
        for place, name in enumerate(told.names)
        for k, (begin, end) in enumerate(zip(told.speeds.begin, told.speeds.end, strict=True))
    ]  # fmt: skip
    return head, rows


def passing_table(told: Told) -> tuple[list[str], list[list[Any]]]:
    """Return head and rows: since when each point passes each limit."""
    head = ["point", "limit", "velocity_m_per_day", "likely_since", "certain_since", "now"]
    return head, [[one.point, one.limit, one.velocity, one.likely, one.certain, one.now] for one in told.passings]
