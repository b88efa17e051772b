"""Early warning in pictures: the inverse velocity with the time of failure, and velocities against thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import InputError
from sensetrack.pictures.charts import (
    ALARM,
    COLOURS,
    FONT,
    GREY,
    HEAD,
    LEFT,
    RIGHT,
    WIDTH,
    as_numbers,
    chart,
    date_axis,
    day_of,
    key,
    name_axes,
    panel,
    per_cent,
    plus_minus,
    save,
    say,
    shortened,
    span_of,
)
from sensetrack.pictures.legend import INK, bare_axes, fitted, printable
from sensetrack.pictures.speeds import MARGIN, check, draw_many, draw_one

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sensetrack.pictures.speeds import FailureLine, Inverse, Line, Rates

    Array = NDArray[Any]

_BESIDE = 0.9
"""How far a time of failure may lie beyond the last date and still be on the picture, as a share of all dates."""
_MOST_ROWS, _ROW = 24, 0.2
"""Rows of the table, and the height of one, inches."""
_COLUMNS = 4
"""Of the key."""


def draw_inverse_velocity(
    path: str | PathLike[str],
    speeds: Rates,
    inverse: Inverse,
    failure: FailureLine | None = None,
    *,
    name: str,
    unit: str = "m",
    confidence: float = 0.95,
    since: Any = None,
    limits: Mapping[str, float] | None = None,
    why: str = "",
    subtitle: str = "",
    dpi: int = 130,
) -> None:
    """Draw the speed of one point and its inverse, with the line to failure, and write a PNG, whole or not at all.

    Parameters
    ----------
    path : path-like
        The PNG; replaced where it exists.
    speeds : Rates
        (n_intervals,) speeds of the point.
    inverse : Inverse
        What `sensetrack.stack.warning.inverse_velocity` makes of them.
    failure : FailureLine, optional
        What `sensetrack.stack.warning.time_of_failure` finds. None: there is no line, and `why` says so.
    name : str
        Of the point.
    unit : str
        Of the displacement.
    confidence : float
        Of the bars and of the time of failure.
    since : datetime, optional
        When the last phase begins: the line goes through intervals from then on.
    limits : dict, optional
        Names and thresholds, per day, growing.
    why : str
        Why there is no time of failure.
    subtitle : str
        Second heading.
    dpi : int
        Pixels per inch.
    """
    check(speeds, 1)
    height, foot = 6.6, 1.35
    tall = (height - HEAD - foot - 0.35) / 2
    figure = chart(height, name, subtitle, dpi)
    right = MARGIN if limits else RIGHT
    upper, lower = (panel(figure, bottom, tall, right=right) for bottom in (foot + tall + 0.35, foot))
    low, high = _ends(speeds, failure)
    rows = draw_one(upper, speeds, limits or {})
    rows |= _draw_inverse(lower, speeds, inverse, since, f"{per_cent(confidence)} interval")
    if failure is not None and failure.moment is not None:
        first = low if since is None else max(low, float(as_numbers(since)))
        rows |= _draw_line(lower, failure, (first, high))
        rows |= _draw_failure((upper, lower), failure, 2 * high)
    date_axis(upper, low, high, labels=False)
    date_axis(lower, low, high)
    name_axes(upper, f"Speed ({unit}/day)")
    name_axes(lower, f"Inverse velocity (day/{unit})", "Date (UTC)")
    key(figure, [(handle, said) for said, handle in rows.items()], top=0.46)
    said = _failure_in_words(failure, unit, confidence, why)
    fitted(figure, (LEFT, 0.64), said, WIDTH - LEFT - RIGHT, fontsize=9.5, color=INK)
    save(figure, path)


def draw_thresholds(
    path: str | PathLike[str],
    speeds: Rates,
    points: Sequence[str],
    limits: Mapping[str, float],
    table: Sequence[Line],
    *,
    unit: str = "m",
    confidence: float = 0.95,
    title: str = "Velocities and thresholds",
    subtitle: str = "",
    dpi: int = 130,
) -> None:
    """Draw the speeds of some points against thresholds, and below them who passed which one when.

    Parameters
    ----------
    path : path-like
        The PNG, written whole or not at all; replaced where it exists.
    speeds : Rates
        (n_intervals, n_points).
    points : sequence of str
        Their names.
    limits : dict
        Names and thresholds, per day, growing.
    table : sequence of Line
        What `sensetrack.stack.warning.threshold_table` says of them.
    unit : str
        Of the displacement.
    confidence : float
        With which a threshold is passed for certain.
    title, subtitle : str
        Headings; shortened where they do not fit.
    dpi : int
        Pixels per inch.
    """
    check(speeds, 2)
    if speeds.value.shape[1] != len(points):
        raise InputError(f"speeds must be of {len(points)} points, instead got {speeds.value.shape[1]}")
    lines, left_out = _rows_of(table)
    key_rows = -(-min(len(points) + 1, len(COLOURS) + 2) // _COLUMNS)
    below = _ROW * (len(lines) + 1 + bool(left_out)) + 0.2
    foot = below + 0.75 + 0.18 * key_rows
    height = HEAD + 3.1 + foot
    figure = chart(height, title, subtitle, dpi)
    ax = panel(figure, foot, 3.1, right=MARGIN)
    rows = draw_many(ax, speeds, points, limits)
    date_axis(ax, *span_of(speeds.begin, speeds.end))
    name_axes(ax, f"Speed ({unit}/day)", "Date (UTC)")
    key(figure, rows, top=foot - 0.52, columns=_COLUMNS)
    _draw_table(figure, lines, left_out, (below, unit, per_cent(confidence)))
    save(figure, path)


# --- inverse velocity --------------------------------------------------------------------------------------------


def _ends(speeds: Rates, failure: FailureLine | None) -> tuple[float, float]:
    """Return the first and the last time that is shown: a failure too, and its interval, unless it is far off."""
    low, high = span_of(speeds.begin, speeds.end)
    if failure is None or failure.moment is None:
        return low, high
    furthest = high + _BESIDE * (high - low)
    found = [failure.moment] if failure.latest is None else [failure.moment, failure.latest]
    return low, max([high, *(at for at in map(float, as_numbers(found)) if at <= furthest)])


def _draw_inverse(ax: Axes, speeds: Rates, inverse: Inverse, since: Any, interval: str) -> dict[str, Any]:
    """Draw the inverse velocity with its confidence interval, whose upper end may be open."""
    middle = as_numbers(speeds.begin) / 2 + as_numbers(speeds.end) / 2
    value, low, high = (np.asarray(part, np.float64) for part in (inverse.value, inverse.low, inverse.high))
    finite = np.isfinite(value)
    if not finite.any():
        say(ax, "it does not move by more than its error" if np.isinf(value).any() else "no speed is known here")
        ax.set_yticks([])
        return {}
    top = _top(value[finite], high[finite])
    ax.set_ylim(0, top)
    rows: dict[str, Any] = {}
    known = np.isfinite(low)
    closed = np.where(np.isfinite(high), np.minimum(high, 1.5 * top), 1.5 * top)
    rows[interval] = ax.fill_between(
        middle, np.where(known, low, np.nan), np.where(known, closed, np.nan), color=COLOURS[0], alpha=0.16,
        linewidth=0, zorder=1,
    )  # fmt: skip
    begun = np.ones(middle.shape, bool) if since is None else speeds.begin >= np.datetime64(since, "ms")
    size = float(np.clip(50 / max(middle.size, 1) ** 0.6, 1.8, 5.5))
    style: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": size, "zorder": 4}
    below = np.minimum(low, top)
    ax.vlines(middle[known], below[known], closed[known], color=COLOURS[0], linewidth=0.9, zorder=3)
    shown = np.where(finite & (value <= top), value, np.nan)
    (rows["inverse velocity"],) = ax.plot(middle, np.where(begun, shown, np.nan), color=COLOURS[0], **style)
    if not begun.all():
        hollow: dict[str, Any] = {"markerfacecolor": "white", "markeredgecolor": COLOURS[0]}
        (rows["before the last phase"],) = ax.plot(middle, np.where(begun, np.nan, shown), **style, **hollow)
    beyond = np.isfinite(middle) & ~np.isnan(value) & ~(value <= top)
    if beyond.any():
        where = ax.get_xaxis_transform()
        (rows["higher, or infinite"],) = ax.plot(
            middle[beyond],
            np.full(beyond.sum(), 0.975),
            linestyle="",
            marker="^",
            markersize=5,
            color=GREY,
            transform=where,
        )
    return rows


def _top(value: Array, high: Array) -> float:
    """Return the end of the axis: what is nearly still has an inverse beyond all others."""
    usual = 4 * float(np.median(value))
    fine = value[value <= usual]
    closed = high[np.isfinite(high) & (high <= 1.5 * usual)]
    return 1.12 * max(float(fine.max()), float(closed.max()) if closed.size else 0.0)


def _draw_line(ax: Axes, failure: FailureLine, ends: tuple[float, float]) -> dict[str, Any]:
    """Draw the line down to 0, which it meets in the picture or beyond."""
    x = np.array([ends[0], float(as_numbers(failure.moment))])
    (line,) = ax.plot(x, failure.slope * (x - x[1]), color=COLOURS[1], linewidth=1.8, zorder=5)
    ax.plot(x[1], 0, marker="D", color=COLOURS[1], markersize=7, clip_on=x[1] > ends[1], zorder=6)
    return {"line to failure": line}


def _draw_failure(panels: tuple[Axes, ...], failure: FailureLine, beyond: float) -> dict[str, Any]:
    """Draw the time of failure and its interval, which may be open, into all panels."""
    at = float(as_numbers(failure.moment))
    rows: dict[str, Any] = {}
    for ax in panels:
        ax.axvline(at, color=COLOURS[1], linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
        if failure.earliest is not None:
            late = beyond if failure.latest is None else float(as_numbers(failure.latest))
            early = float(as_numbers(failure.earliest))
            rows["interval of the time of failure"] = ax.axvspan(
                early, late, color=COLOURS[1], alpha=0.13, linewidth=0, zorder=0
            )
    return rows


def _failure_in_words(failure: FailureLine | None, unit: str, confidence: float, why: str) -> str:
    if failure is None:
        return f"No time of failure: {why}" if why else "No time of failure"
    slope = plus_minus(failure.slope, failure.slope_sigma, f"1/{unit}")
    through = f"line through {failure.intervals} intervals, slope {slope}"
    if failure.moment is None:
        return f"No time of failure: the inverse velocity does not go down; {through}"
    if failure.earliest is None:
        return f"Failure about {day_of(failure.moment)}, but it may as well not speed up; {through}"
    late = "open" if failure.latest is None else day_of(failure.latest)
    interval = f"{per_cent(confidence)}: {day_of(failure.earliest)} to {late}"
    return f"Failure about {day_of(failure.moment)} ({interval}); {through}"


# --- table -------------------------------------------------------------------------------------------------------


def _rows_of(table: Sequence[Line]) -> tuple[list[Line], int]:
    """Return the lines that are shown, rather those of high thresholds that are passed, and how many are not."""
    if len(table) <= _MOST_ROWS:
        return list(table), 0
    worst = np.array([(not row.now, row.certain is None, row.likely is None, -row.velocity) for row in table], float)
    order = np.lexsort(worst.T[::-1]).tolist()
    kept = sorted(order[: _MOST_ROWS - 1])
    return [table[k] for k in kept], len(table) - len(kept)


def _draw_table(figure: Figure, lines: Sequence[Line], left_out: int, about: tuple[float, str, str]) -> None:
    """Write the table as text in columns."""
    top, unit, confidence = about
    ax = bare_axes(figure, (RIGHT, 0), (WIDTH - 2 * RIGHT, top))
    ax.set(xlim=(0, WIDTH - 2 * RIGHT), ylim=(0, top), autoscale_on=False)
    heads = ("Point", "Threshold", f"{unit}/day", "Passed since", f"For certain ({confidence})", "Now")
    at = (0.0, 2.5, 4.35, 5.15, 6.25, 7.7)
    y = top - _ROW / 2
    _write_row(ax, at, heads, y, weight="bold")
    ax.plot([0, WIDTH - 2 * RIGHT], [y - _ROW / 2] * 2, color=INK, linewidth=0.7)
    previous = None
    for line in lines:
        y -= _ROW
        now = "above" if line.now else "-"
        name = shortened(line.point, 30) if line.point != previous else ""
        passed = _when(line.likely), _when(line.certain)
        cells = (name, shortened(line.limit, 24), f"{line.velocity:g}", *passed, now)
        if line.point != previous and previous is not None:
            ax.plot([0, WIDTH - 2 * RIGHT], [y + _ROW / 2] * 2, color="#dddddd", linewidth=0.6)
        colour = ALARM if line.now else INK if line.likely is not None else GREY
        _write_row(ax, at, cells, y, color=colour)
        previous = line.point
    if left_out:
        _write_row(ax, at, (f"and {left_out:,} lines more",), y - _ROW, color=GREY)


def _write_row(ax: Axes, at: tuple[float, ...], cells: Sequence[str], y: float, **style: Any) -> None:
    for number, (x, text) in enumerate(zip(at, cells, strict=False)):
        right = number == 2
        style = {"color": INK, **style}
        ax.text(
            x + (0.35 if right else 0),
            y,
            printable(text),
            fontsize=8.5,
            va="center",
            ha="right" if right else "left",
            **FONT,
            **style,
        )


def _when(moment: np.datetime64 | None) -> str:
    return "never" if moment is None else day_of(moment)
