"""The network of pairs: which dates hang together, how good each pair is, what was left out, failed or is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import InputError
from sensetrack.pictures.charts import (
    ALARM,
    FONT,
    GREY,
    as_numbers,
    chart,
    date_axis,
    key,
    name_axes,
    panel,
    save,
    say,
    span_of,
)
from sensetrack.pictures.legend import INK, printable
from sensetrack.pictures.ramps import SHARE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[Any]
    _Key = list[tuple[dict[str, Any], str]]
    """Lines of the key: how they look and what they say."""

USED, LEFT_OUT, FAILED = "used", "left out", "failed"
_HEIGHT, _FOOT = 5.4, 1.2
_POINTS = 25, 97
"""Of an arc, where there are many and where there are few."""
_MANY = 400
_LIGHTEST = 0.86
"""Share of the ramp that is used: its last colours cannot be seen on white."""


def draw_network(
    path: str | PathLike[str],
    dates: ArrayLike,
    pairs: ArrayLike,
    *,
    state: Sequence[str] | None = None,
    quality: ArrayLike | None = None,
    quality_name: str = "Measured posts",
    quality_unit: str = "%",
    quality_limits: tuple[float, float] | None = None,
    perpendicular: ArrayLike | None = None,
    missing: ArrayLike = (),
    failed: ArrayLike = (),
    title: str = "Network of pairs",
    subtitle: str = "",
    dpi: int = 130,
) -> None:
    """Draw dates and the pairs between them and write a PNG, whole or not at all.

    Where the perpendicular baseline of every date is known, pairs are lines from date to date and y is the baseline.
    Otherwise they are arcs whose height says how many days they span.

    Parameters
    ----------
    path : path-like
        The PNG; replaced where it exists.
    dates : (n_dates,) datetime64
        UTC.
    pairs : (n_pairs, 2) int
        Positions of both dates of each pair in `dates`.
    state : sequence of str, optional
        Of each pair: "used", "left out" (dashed) or "failed" (dotted, red); all used by default.
    quality : (n_pairs,), optional
        What colours the pairs, in `quality_unit`; NaN = not known, grey.
    quality_name, quality_unit : str
        What it is.
    quality_limits : (float, float), optional
        Ends of the colours; by default 0 to 100 for %, else from 0 to the largest.
    perpendicular : (n_dates,), optional
        Perpendicular baselines to any one date, m; NaN = not known.
    missing, failed : (n,) datetime64
        Dates of scenes that should be there and are not, and of scenes that could not be used.
    title, subtitle : str
        Headings; shortened where they do not fit.
    dpi : int
        Pixels per inch.

    Raises
    ------
    InputError
        Numbers of pairs, states or qualities do not agree.
    """
    from matplotlib.colors import Normalize
    from matplotlib.lines import Line2D

    when, ends = as_numbers(dates), np.asarray(pairs, int).reshape(-1, 2)
    states = np.array([USED] * len(ends) if state is None else list(state), object)
    good = np.full(len(ends), np.nan) if quality is None else np.asarray(quality, np.float64)
    _check(when, ends, states, good)
    heights = _baselines(when, ends, perpendicular)
    figure = chart(_HEIGHT, title, subtitle, dpi)
    ax = panel(figure, _FOOT, _HEIGHT - _FOOT - 0.85)
    norm = Normalize(*(quality_limits or _limits(good, quality_unit)))
    curves = _arcs(when, ends) if heights is None else _lines(when, heights, ends)
    _draw_pairs(ax, curves, states, good, norm)
    in_pairs = np.isin(np.arange(when.size), ends[states == USED])
    rows = _draw_dates(ax, when, in_pairs, heights, (as_numbers(missing), as_numbers(failed)))
    rows += _pairs_in_words(states)
    key(figure, [(Line2D([], [], **style), text) for style, text in rows], top=_FOOT - 0.45, columns=2)
    date_axis(ax, *span_of(dates, missing, failed))
    _draw_y(ax, when, ends, heights)
    if not when.size:
        say(ax, "no scene can be used")
    elif not len(ends):
        say(ax, "no two scenes make a pair")
    if np.isfinite(good).any():
        _draw_ramp(figure, norm, f"{quality_name} ({quality_unit})")
    save(figure, path)


def _check(when: Array, ends: Array, states: Array, good: Array) -> None:
    if len(states) != len(ends) or good.shape != (len(ends),):
        raise InputError(f"there are {len(ends)} pairs, instead got {len(states)} states and {good.size} qualities")
    if ends.size and not (ends.min() >= 0 and ends.max() < when.size):
        raise InputError(f"pairs must be positions in {when.size} dates, instead got {ends.min()} to {ends.max()}")
    if unknown := set(states) - {USED, LEFT_OUT, FAILED}:
        raise InputError(f"the state of a pair must be {USED}, {LEFT_OUT} or {FAILED}, instead got {min(unknown)}")


def _baselines(when: Array, ends: Array, perpendicular: ArrayLike | None) -> Array | None:
    """Return the baselines where those of all dates that have a pair are known."""
    if perpendicular is None:
        return None
    known = np.asarray(perpendicular, np.float64)
    if known.shape != when.shape:
        raise InputError(f"there are {when.size} dates, instead got {known.size} perpendicular baselines")
    return known if len(ends) and np.isfinite(known[ends]).all() else None


def _limits(good: Array, unit: str) -> tuple[float, float]:
    if unit == "%":
        return 0.0, 100.0
    highest = float(np.nanmax(good)) if np.isfinite(good).any() else 1.0
    return 0.0, highest if highest > 0 else 1.0


def _arcs(when: Array, ends: Array) -> Array:
    """Return (n_pairs, points, 2) half ellipses whose height is the root of the days they span."""
    turn = np.linspace(0, np.pi, _POINTS[len(ends) < _MANY])
    first, second = when[ends].min(axis=1), when[ends].max(axis=1)
    x = (first + second)[:, None] / 2 - np.cos(turn) * (second - first)[:, None] / 2
    return np.stack([x, np.sin(turn) * np.sqrt(second - first)[:, None]], axis=2)


def _lines(when: Array, heights: Array, ends: Array) -> Array:
    return np.stack([when[ends], heights[ends]], axis=2)


def _draw_pairs(ax: Axes, curves: Array, states: Array, good: Array, norm: Any) -> None:
    """Draw the pairs: those that do not count on top, because they are few; the good ones last of the others."""
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection

    width = float(np.clip(60 / max(len(curves), 1) ** 0.7, 0.35, 1.6))
    looks = {USED: ("-", 2, width), LEFT_OUT: ((0, (4, 2.5)), 3, max(width, 0.8)), FAILED: (":", 4, max(width, 1.2))}
    for what, (dashes, order, wide) in looks.items():
        chosen = np.flatnonzero(states == what)
        chosen = chosen[np.argsort(np.nan_to_num(good[chosen], nan=-np.inf), kind="stable")]
        colours = np.asarray(colormaps[SHARE](np.clip(norm(np.nan_to_num(good[chosen])), 0, 1) * _LIGHTEST))
        colours[~np.isfinite(good[chosen])] = (0.55, 0.55, 0.55, 1)
        shade: Any = ALARM if what == FAILED else colours
        ax.add_collection(
            LineCollection(
                list(curves[chosen]), colors=shade, linestyles=[dashes], linewidths=wide, zorder=order,
                alpha=0.9, capstyle="butt",
            ),
            autolim=False,
        )  # fmt: skip


def _draw_dates(ax: Axes, when: Array, in_pairs: Array, heights: Array | None, gone: tuple[Array, Array]) -> _Key:
    """Mark the scenes: those in pairs that are used, all others, and those missing or failed."""
    level = np.zeros_like(when) if heights is None else heights
    size = float(np.clip(60 / max(when.size, 1) ** 0.6, 2.2, 6.5))
    dots: dict[str, Any] = {"linestyle": "", "marker": "o", "markeredgewidth": 0.8}
    rows: _Key = []
    rims: tuple[tuple[Array, dict[str, Any], str], ...] = (
        (in_pairs, {"color": INK, "markeredgecolor": "white"}, "in a pair"),
        (~in_pairs, {"color": "white", "markeredgecolor": INK}, "in no pair that is used"),
    )
    for chosen, rim, what in rims:
        ax.plot(when[chosen], level[chosen], zorder=6, markersize=size, **dots, **rim)
        if chosen.any():
            rows.append(({"markersize": 6.5, **dots, **rim}, _counted(int(chosen.sum()), "scene", what)))
    # Scenes that are not there lie on the line of dates, which with baselines is the lower edge.
    where = ax.transData if heights is None else ax.get_xaxis_transform()
    for x, marker, edge, what in ((gone[0], "|", GREY, "missing"), (gone[1], "X", "white", "that failed")):
        if x.size:
            style: dict[str, Any] = {
                "linestyle": "",
                "marker": marker,
                "color": ALARM,
                "markersize": 8,
                "markeredgecolor": edge,
            }
            style["markeredgewidth"] = 1.8 if marker == "|" else 0.6
            ax.plot(x, np.zeros(x.size), transform=where, clip_on=False, zorder=7, **style)
            rows.append((style, _counted(x.size, "scene", what)))
    return rows


def _pairs_in_words(states: Array) -> _Key:
    styles = {USED: ("-", "#3b6b86"), LEFT_OUT: ((0, (3, 2)), "#3b6b86"), FAILED: (":", ALARM)}
    return [
        ({"linestyle": dashes, "color": colour, "linewidth": 1.4}, _counted(count, "pair", what))
        for what, (dashes, colour) in styles.items()
        if (count := int((states == what).sum()))
    ]


def _counted(count: int, thing: str, what: str) -> str:
    return f"{count:,} {thing}{'s' * (count != 1)} {what}"


def _draw_y(ax: Axes, when: Array, ends: Array, heights: Array | None) -> None:
    """Let y say what the height of lines or arcs means."""
    if heights is not None:
        low, high = float(np.nanmin(heights)), float(np.nanmax(heights))
        room = max(0.08 * (high - low), 1.0)
        ax.set_ylim(low - room, high + room)
        name_axes(ax, "Perpendicular baseline (m)")
        return
    longest = float(np.abs(np.diff(when[ends], axis=1)).max()) if len(ends) else 1.0
    ax.set_ylim(-0.035 * np.sqrt(longest), 1.06 * np.sqrt(longest))
    days = _round_days(longest)
    ax.set_yticks(np.sqrt(days), [f"{day:g}" for day in days])
    name_axes(ax, "Time between both images (days)")


def _round_days(longest: float) -> list[float]:
    """Return days that read well and, as roots, do not crowd."""
    chosen = [0.0]
    for wanted in (0.05 * longest, 0.2 * longest, 0.5 * longest, longest):
        step = 10.0 ** np.floor(np.log10(wanted))
        value = float(max(n for n in (1, 2, 3, 4, 5, 6, 8) if n * step <= wanted * 1.001) * step)
        if value >= 1 or longest < 5:
            chosen.append(value)
    return chosen


def _draw_ramp(figure: Figure, norm: Any, text: str) -> None:
    """Draw the colour bar at the lower right."""
    from matplotlib import colormaps

    wide, tall = figure.get_size_inches()
    bar = figure.add_axes(((wide - 2.9) / wide, 0.42 / tall, 2.5 / wide, 0.15 / tall))
    shades = np.asarray(colormaps[SHARE](np.linspace(0, _LIGHTEST, 256)))[None]
    bar.imshow(shades, extent=(norm.vmin, norm.vmax, 0, 1), aspect="auto")
    bar.set_yticks([])
    bar.tick_params(labelsize=8.5, width=0.7, length=3, color=INK, labelcolor=INK)
    bar.locator_params(axis="x", nbins=5)
    for spine in bar.spines.values():
        spine.set(linewidth=0.6, color=INK)
    bar.set_title(printable(text), fontsize=8.5, loc="left", pad=4, color=INK, **FONT)
