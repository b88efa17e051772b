"""How a point moved: displacement by date with its errors, the fitted motion and the velocity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import InputError
from sensetrack.pictures.charts import (
    COLOURS,
    GREY,
    HEAD,
    LEFT,
    RIGHT,
    WIDTH,
    as_numbers,
    chart,
    date_axis,
    key,
    limits_of,
    name_axes,
    panel,
    rate_in_words,
    save,
    say,
    shortened,
    span_of,
)
from sensetrack.pictures.legend import INK, fitted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[Any]

_TALL, _GAP, _FOOT = 2.1, 0.62, 0.95
"""Height of a panel, of the space above it, and of the space below them all, inches."""
_DOTS, _LINE = COLOURS[:2]
"""Colours of what was measured and of the fitted motion."""
_MANY = 100
"""Dates from which on their marks are plain."""


@dataclass(frozen=True, eq=False)
class Trace:
    """The series of one component at one point."""

    name: str
    """Such as dx, or "east"."""
    values: ArrayLike
    """(n_dates,) displacement; NaN = no value at this date."""
    sigma: ArrayLike | None = None
    """(n_dates,) standard errors."""
    part: ArrayLike | None = None
    """(n_dates,) number of the sub-network of each date: no pair joins different ones, so that the level of each is
    free. -1 = none."""
    velocity: float = np.nan
    """Of the fitted motion, per day."""
    velocity_sigma: float = np.nan
    model: ArrayLike | None = None
    """(n_model,) fitted motion at `model_dates`, up to a constant."""
    note: str = ""
    """What else is to be said, such as the size of a season."""


def draw_series(
    path: str | PathLike[str],
    dates: ArrayLike,
    traces: Sequence[Trace],
    *,
    name: str,
    unit: str = "m",
    model_dates: ArrayLike = (),
    events: ArrayLike = (),
    subtitle: str = "",
    dpi: int = 130,
) -> None:
    """Draw the series of one point, a panel for each component, and write a PNG, whole or not at all.

    Parts of a series that no pair joins have no common level: all but the longest are shifted to the fitted motion and
    drawn hollow. Without a fitted motion each keeps its own level.

    Parameters
    ----------
    path : path-like
        The PNG; replaced where it exists.
    dates : (n_dates,) datetime64
        UTC.
    traces : sequence of Trace
        The components.
    name : str
        Of the point.
    unit : str
        Of the displacement.
    model_dates : (n_model,) datetime64
        Of the fitted motion, close enough for its bends.
    events : (n,) datetime64
        Moments that get an upright line, such as steps of the model.
    subtitle : str
        Second heading, such as where the point is.
    dpi : int
        Pixels per inch.

    Raises
    ------
    InputError
        Numbers of dates and values do not agree.
    """
    when, fitted_at = as_numbers(dates), as_numbers(model_dates)
    head = HEAD - 0.15 - (0.0 if subtitle else 0.25)
    height = head + max(len(traces), 1) * (_TALL + _GAP) + _FOOT - 0.1
    figure = chart(height, name, subtitle, dpi)
    bottom = height - head + 0.1
    rows: dict[str, Any] = {}
    for number, trace in enumerate(traces):
        bottom -= _TALL + _GAP
        ax = panel(figure, bottom, _TALL)
        rows |= _draw_trace(ax, when, fitted_at, trace)
        for moment in as_numbers(events):
            ax.axvline(moment, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        last = number == len(traces) - 1
        date_axis(ax, *span_of(dates), labels=last)
        name_axes(ax, f"{shortened(trace.name, 24)} ({unit})", "Date (UTC)" if last else "")
        said = f"{shortened(trace.name, 24)}:  {rate_in_words(trace.velocity, trace.velocity_sigma, unit)}"
        said += f"   ·   {trace.note}" if trace.note else ""
        fitted(figure, (LEFT, bottom + _TALL + 0.1), said, WIDTH - LEFT - RIGHT, fontsize=9.5, color=INK)
    key(figure, [(handle, said) for said, handle in rows.items()], top=0.42)
    save(figure, path)


def _draw_trace(ax: Axes, when: Array, fitted_at: Array, trace: Trace) -> dict[str, Any]:
    """Draw one component; return what the key has to explain."""
    values, part = np.asarray(trace.values, np.float64), _parts(trace, when.size)
    sigma = np.full(when.size, np.nan) if trace.sigma is None else np.asarray(trace.sigma, np.float64)
    model = np.zeros(0) if trace.model is None else np.asarray(trace.model, np.float64)
    if {values.shape, part.shape, sigma.shape} != {when.shape} or (model.size and model.shape != fitted_at.shape):
        message = f"there are {when.size} dates and {fitted_at.size} of the model, instead got {values.size} values"
        raise InputError(f"{message}, {sigma.size} errors and {model.size} of the model")
    seen = np.isfinite(values)
    if not seen.any():
        say(ax, "no displacement is known here")
        ax.set_yticks([])
        return {}
    shown, model, main = _on_one_level(when, values, part, fitted_at, model)
    low, high = limits_of(np.concatenate([shown, model]), np.concatenate([np.nan_to_num(sigma), np.zeros(model.size)]))
    ax.set_ylim(low, high)
    rows: dict[str, Any] = {}
    measured = "measured, ± 1 standard error" if np.isfinite(sigma).any() else "measured"
    rows[measured] = _draw_points(ax, when, np.where(main, shown, np.nan), sigma)
    for number in np.unique(part[seen & ~main]):
        mine = np.where(part == number, shown, np.nan)
        rows["not joined to the others by a pair"] = _draw_points(ax, when, mine, sigma, hollow=True)
    if np.isfinite(model).any():
        (rows["fitted motion"],) = ax.plot(fitted_at, model, color=_LINE, linewidth=1.6, zorder=2)
    if (~seen).any():
        style: dict[str, Any] = {"linestyle": "", "marker": "x", "markersize": 5, "color": GREY}
        where = ax.get_xaxis_transform()
        (mark,) = ax.plot(when[~seen], np.zeros((~seen).sum()), transform=where, clip_on=False, zorder=5, **style)
        rows["date without a value"] = mark
    return rows


def _parts(trace: Trace, count: int) -> Array:
    return np.zeros(count, int) if trace.part is None else np.asarray(trace.part, int)


def _on_one_level(
    when: Array, values: Array, part: Array, fitted_at: Array, model: Array
) -> tuple[Array, Array, Array]:
    """Bring the model to the longest part of a series, and the other parts to the model.

    Returns
    -------
    values, model : ndarray
        As they are drawn.
    main : ndarray of bool
        (n_dates,) True in the longest part.
    """
    seen = np.isfinite(values)
    numbers, counts = np.unique(part[seen], return_counts=True)
    main = part == numbers[counts.argmax()]
    if not np.isfinite(model).all() or model.size < 2:
        return values, model[:0] if model.size < 2 else model, main
    rest = values - np.interp(when, fitted_at, model)
    level = float(rest[main & seen].mean())
    shown = values.copy()
    for number in numbers:
        mine = part == number
        if not (mine & main).any():
            shown[mine] += level - rest[mine & seen].mean()
    return shown, model + level, main


def _draw_points(ax: Axes, when: Array, values: Array, sigma: Array, *, hollow: bool = False) -> Any:
    """Draw values with their errors; a thin line joins neighbouring dates, and breaks at a gap."""
    size = float(np.clip(60 / max(when.size, 1) ** 0.6, 2.2, 5.5))
    rim = 0.4 if when.size < _MANY else 0.0
    ax.plot(when, values, color=_DOTS, linewidth=0.8, alpha=0.45, zorder=3)
    return ax.errorbar(
        when, values, np.nan_to_num(sigma), linestyle="", marker="o", markersize=size, color=_DOTS,
        markerfacecolor="white" if hollow else _DOTS, markeredgecolor=_DOTS if hollow else "white",
        markeredgewidth=0.9 if hollow else rim, elinewidth=max(size / 5, 0.5), capsize=size * 0.45 if rim else 0,
        zorder=4,
    )  # fmt: skip
