"""Speeds from date to date as they are drawn: steps with their errors, and thresholds; and what is drawn of them.

The protocols say what of the results of `sensetrack.stack.warning` the pictures need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sensetrack.errors import InputError
from sensetrack.pictures.charts import ALARM, COLOURS, FONT, as_numbers, say, shortened
from sensetrack.pictures.legend import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Array = NDArray[Any]

MARGIN = 1.3
"""White space right of the axes for the names of thresholds, inches."""
_SHADES = "#e3a008", "#d9660b", ALARM
_PALE = "#bbbbbb"
_LOWER = "lower, or no motion"
_DECADES = 20
"""Range, in lowest thresholds, from which on powers of ten are evenly spaced."""
_FAR = 6
"""A threshold that is so many times the highest speed would make all speeds look like 0."""
_APART = 0.06
"""Least distance of the names of thresholds, as a share of the height of the axes."""


class Rates(Protocol):
    """Velocities from date to date, as `sensetrack.stack.warning.IntervalVelocity` has them."""

    @property
    def begin(self) -> NDArray[np.datetime64]:
        """(n_intervals,)."""

    @property
    def end(self) -> NDArray[np.datetime64]:
        """(n_intervals,)."""

    @property
    def value(self) -> NDArray[Any]:
        """(n_intervals,) or (n_intervals, n_points), per day; NaN = not known."""

    @property
    def sigma(self) -> NDArray[Any]:
        """Standard errors."""


class Inverse(Protocol):
    """1 / speed of one point, as `sensetrack.stack.warning.InverseVelocity` has it; (n_intervals,)."""

    @property
    def value(self) -> NDArray[Any]:
        """NaN = not known, infinite = it stands still."""

    @property
    def low(self) -> NDArray[Any]:
        """Lower end of the confidence interval."""

    @property
    def high(self) -> NDArray[Any]:
        """Upper end."""


class FailureLine(Protocol):
    """A straight line down to 0, as `sensetrack.stack.warning.Failure` has it."""

    @property
    def moment(self) -> np.datetime64 | None:
        """Where it meets 0."""

    @property
    def earliest(self) -> np.datetime64 | None:
        """Of the confidence interval."""

    @property
    def latest(self) -> np.datetime64 | None:
        """None = open."""

    @property
    def slope(self) -> float:
        """Change of the inverse velocity per day."""

    @property
    def slope_sigma(self) -> float:
        """Standard error of it."""

    @property
    def intervals(self) -> int:
        """Intervals that the line goes through."""


class Line(Protocol):
    """One line of the table of thresholds, as `sensetrack.stack.warning.Passing`."""

    @property
    def point(self) -> str:
        """Name of the point."""

    @property
    def limit(self) -> str:
        """Name of the threshold."""

    @property
    def velocity(self) -> float:
        """The threshold, per day."""

    @property
    def likely(self) -> np.datetime64 | None:
        """When it is first passed."""

    @property
    def certain(self) -> np.datetime64 | None:
        """When it is first passed for certain."""

    @property
    def now(self) -> bool:
        """Whether it is passed for certain at the end."""


def check(speeds: Rates, axes: int) -> None:
    """Refuse speeds that are not of one point (1) or of several ones (2)."""
    if speeds.value.ndim != axes or speeds.value.shape != speeds.sigma.shape or len(speeds.begin) != len(speeds.value):
        shape = "(n_intervals,)" if axes == 1 else "(n_intervals, n_points)"
        raise InputError(f"speeds must be {shape}, instead got {speeds.value.shape} for {len(speeds.begin)} intervals")


def draw_one(ax: Axes, speeds: Rates, limits: Mapping[str, float]) -> dict[str, Any]:
    """Draw the speeds of one point, (n_intervals,); return what the key has to explain."""
    value, sigma = np.asarray(speeds.value, np.float64), np.asarray(speeds.sigma, np.float64)
    if not np.isfinite(value).any():
        _nothing(ax, "no speed is known here")
        return {}
    _choose_range(ax, value, sigma, limits)
    _draw_limits(ax, limits)
    _draw_steps(ax, speeds, value, COLOURS[0])
    rows = {"speed, ± 1 standard error": _draw_errors(ax, speeds, value, sigma, COLOURS[0])}
    if (mark := _draw_lower(ax, speeds, value, COLOURS[0])) is not None:
        rows[_LOWER] = mark
    return rows


def draw_many(ax: Axes, speeds: Rates, points: Sequence[str], limits: Mapping[str, float]) -> list[tuple[Any, str]]:
    """Draw the speeds of several points, (n_intervals, n_points): the fastest in colours, the others in grey."""
    value, sigma = np.asarray(speeds.value, np.float64), np.asarray(speeds.sigma, np.float64)
    if not np.isfinite(value).any():
        _nothing(ax, "no speed is known at any point")
        return []
    _choose_range(ax, value, sigma, limits)
    _draw_limits(ax, limits)
    highest = np.where(np.isfinite(value), value, -np.inf).max(axis=0)
    fast = np.sort(np.argsort(-highest, kind="stable")[: len(COLOURS)])
    slow = np.setdiff1d(np.arange(len(points)), fast)
    pale = [_draw_steps(ax, speeds, value[:, place], _PALE) for place in slow]
    rows: list[tuple[Any, str]] = []
    lower = None
    for number, (colour, place) in enumerate(zip(COLOURS, fast, strict=False)):
        one, at = value[:, place], (number + 1) / (fast.size + 1)
        _draw_steps(ax, speeds, one, colour)
        lower = _draw_lower(ax, speeds, one, colour, at=at) or lower
        # Errors of what is below the range would be upright lines through everything.
        inside = np.where(one >= ax.get_ylim()[0], one, np.nan)
        drawn = _draw_errors(ax, speeds, inside, sigma[:, place], colour, at=at)
        rows.append((drawn, shortened(points[place], 24)))
    if lower is not None:
        rows.append((lower, _LOWER))
    if pale:
        rows.append((pale[0], f"{slow.size:,} slower point{'s' * (slow.size != 1)}"))
    return rows


def _nothing(ax: Axes, why: str) -> None:
    say(ax, why)
    ax.set_yticks([])


def _choose_range(ax: Axes, value: Array, sigma: Array, limits: Mapping[str, float]) -> None:
    """Choose the range of y: powers of ten where speeds and thresholds differ much, for else the slow ones look like 0.

    The next threshold above all speeds is in it, unless it is far.
    """
    known, steps = value[np.isfinite(value)], sorted(limits.values())
    errors = sigma[np.isfinite(sigma) & (sigma > 0)]
    # Ground that stands still moves by less than its error.
    top = max(float(known.max()), float(np.median(errors)) if errors.size else 0.0) or 1.0
    ahead = next((step for step in steps if step > top), top)
    if steps and max(top, ahead) >= _DECADES * steps[0]:
        least = max(float(errors.min()) if errors.size else top / 100, top * 1e-4)
        ax.set_yscale("log")
        ax.set_ylim(min(least, steps[0]) / 2, 1.6 * max(top, ahead))
        ax.yaxis.set_major_formatter(lambda at, _: f"{at:g}")
        ax.yaxis.set_minor_formatter(lambda *_: "")
        ax.tick_params(axis="y", which="minor", width=0.5, length=2)
        return
    ahead = ahead if ahead < _FAR * top else top
    ends = known + np.minimum(np.nan_to_num(sigma[np.isfinite(value)]), top / 2)
    ax.set_ylim(min(0.0, float(known.min())) - 0.03 * top, 1.08 * max(float(ends.max()), ahead))


def _draw_limits(ax: Axes, limits: Mapping[str, float]) -> None:
    """Draw the thresholds in the range, with their names on the right; the highest of all in the strongest red."""
    low, high = ax.get_ylim()
    names = list(limits.items())
    before = -np.inf
    for number, (name, limit) in enumerate(names):
        if not low < limit < high:
            continue
        colour = _SHADES[max(0, len(_SHADES) - len(names) + number)]
        ax.axhline(limit, color=colour, linewidth=1.1, linestyle=(0, (6, 3)), zorder=2)
        share = np.log(limit / low) / np.log(high / low) if ax.get_yscale() == "log" else (limit - low) / (high - low)
        before = max(float(share), before + _APART)
        text = printable(f"{shortened(name, 13)} {limit:g}")
        ax.text(1.008, before, text, transform=ax.transAxes, fontsize=8, color=colour, va="center", **FONT)


def _draw_steps(ax: Axes, speeds: Rates, value: Array, colour: str) -> Any:
    """Draw the speed of a point as a bar over each interval."""
    from matplotlib.collections import LineCollection

    shown = _shown(ax, value)
    x = np.stack([as_numbers(speeds.begin), as_numbers(speeds.end)], axis=1)
    bars = np.stack([x, np.stack([shown, shown], axis=1)], axis=2)[np.isfinite(shown)]
    width = 0.8 if colour == _PALE else 1.6
    lines = LineCollection(list(bars), colors=colour, linewidths=width, capstyle="butt", zorder=3)
    return ax.add_collection(lines, autolim=False)


def _draw_errors(ax: Axes, speeds: Rates, value: Array, sigma: Array, colour: str, *, at: float = 0.5) -> Any:
    """Draw standard errors at a share of each interval, so that those of several points lie beside each other."""
    floor, log, shown = ax.get_ylim()[0], ax.get_yscale() == "log", _shown(ax, value)
    size = float(np.clip(40 / max(value.size, 1) ** 0.6, 1.6, 4.5))
    error = np.where(np.isfinite(shown), np.nan_to_num(sigma), 0.0)
    below = np.clip(np.nan_to_num(shown - floor), 0, error) if log else error
    return ax.errorbar(
        _moments(speeds, at), shown, np.stack([below, error]), linestyle="", marker="o", markersize=size, color=colour,
        elinewidth=0.9, capsize=size * 0.4, zorder=4,
    )  # fmt: skip


def _draw_lower(ax: Axes, speeds: Rates, value: Array, colour: str, *, at: float = 0.5) -> Any:
    """Mark speeds below the range of powers of ten; None where there are none."""
    lower = np.isfinite(value) & (value < _shown(ax, value))
    if not lower.any():
        return None
    x, y = _moments(speeds, at)[lower], _shown(ax, value)[lower]
    return ax.plot(x, y, linestyle="", marker="v", markersize=5.5, color=colour, zorder=4)[0]


def _moments(speeds: Rates, share: float) -> Array:
    """Return a moment in each interval."""
    begin = as_numbers(speeds.begin)
    return np.asarray(begin + share * (as_numbers(speeds.end) - begin))


def _shown(ax: Axes, value: Array) -> Array:
    """Return a speed as it is drawn: no power of ten is 0."""
    if ax.get_yscale() != "log":
        return value
    return np.where(np.isfinite(value), np.maximum(value, ax.get_ylim()[0] * 1.15), np.nan)
