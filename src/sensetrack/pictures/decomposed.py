"""The quick-look of a decomposition: east, north and up side by side, arrows where the ground went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sensetrack.pictures.legend import INK, bare_axes, draw_arrow, fitted, printable
from sensetrack.pictures.ramps import COVERED, SIGNED, colour_range, ramp, round_up

if TYPE_CHECKING:
    from os import PathLike

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sensetrack.grid import Grid

    Array = NDArray[Any]

_MARGIN, _GAP, _HEAD, _FOOT, _BAR = 0.35, 0.4, 1.0, 0.75, 0.62
"""White space around, between maps, heights of the titles, of what stands below, and of a colour bar with its numbers;
inches."""
_LONGER, _LEAST = (6.4, 4.4), 2.2
"""Longer side of a map, one below the other and side by side, and least width, inches."""
_FLAT = 2.4
"""Times as wide as tall from which maps stand one below the other."""
_MAX_SIDE = 900
"""Most cells along a side that are drawn."""
_ARROWS = 16
_PAPER = (0.86, 0.85, 0.83)
"""Colour of what is not known."""
_SIGNS = {"east": ("to the west", "to the east"), "north": ("to the south", "to the north"), "up": ("down", "up")}


class Horizontal(NamedTuple):
    """Horizontal motion as it is seen on the picture; (rows, cols) each, NaN = not known."""

    right: Array
    """Along the columns."""
    upward: Array
    """Against the rows."""


def draw_decomposed(
    path: str | PathLike[str],
    axes: dict[str, Array],
    arrows: Horizontal,
    grid: Grid,
    *,
    unit: str,
    title: str,
    subtitle: str = "",
    dpi: int = 130,
) -> None:
    """Draw three maps, each with colours of its own that are white at 0, and write them as a PNG.

    Parameters
    ----------
    path : path-like
        The PNG; replaced where it exists.
    axes : dict
        east, north, up: (rows, cols), NaN = not known, which is grey.
    arrows : Horizontal
        Drawn over up, where the ground moves sideways.
    grid : Grid
        Of the maps.
    unit : str
        m or m/day.
    title, subtitle : str
        Headings; shortened where they do not fit.
    dpi : int
        Pixels per inch.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, cols = grid.pixel_size
    tall, wide = grid.shape[0] * rows, grid.shape[1] * cols
    beside = wide < _FLAT * tall
    inch = _LONGER[beside] / max(tall, wide)
    size = max(tall * inch, 0.3), max(wide * inch, 0.3)
    cell = max(size[1], _LEAST), size[0] + _BAR
    across, down = (3, 1) if beside else (1, 3)
    width = max(2 * _MARGIN + across * cell[0] + (across - 1) * _GAP, 6.0)
    height = _HEAD + down * cell[1] + (down - 1) * _GAP + _FOOT
    figure = Figure((width, height), dpi=dpi, facecolor="white")
    canvas: Any = FigureCanvasAgg(figure)
    fitted(figure, (_MARGIN, height - 0.36), title, width - 2 * _MARGIN, fontsize=13, weight="bold", color=INK)
    fitted(figure, (_MARGIN, height - 0.60), subtitle, width - 2 * _MARGIN, fontsize=9.5, color="#555555")
    per_inch = 0.0
    for place, (name, values) in enumerate(axes.items()):
        left = _MARGIN + (place * (cell[0] + _GAP) if beside else 0) + (cell[0] - size[1]) / 2
        top = height - _HEAD - (0 if beside else place * (cell[1] + _GAP))
        ax = bare_axes(figure, (left, top - size[0]), (size[1], size[0]))
        limit = _draw_map(ax, values, size)
        _draw_bar(figure, (left + size[1] / 2, top - size[0]), limit, (name, unit), values)
        if name == "up":
            per_inch = _draw_arrows(ax, arrows, size)
    _draw_foot(
        figure, (inch, per_inch), size[1], unit, np.mean([np.isfinite(part) for part in axes.values()], axis=(1, 2))
    )
    canvas.print_png(path, metadata={"Software": None}, pil_kwargs={"compress_level": 2})


def _thinned(values: Array, most: int = _MAX_SIDE) -> Array:
    """Take every n-th cell, so that there are at most so many along a side."""
    every = max(1, -(-max(values.shape) // most))
    return np.asarray(values[every // 2 :: every, every // 2 :: every] if every > 1 else values, np.float64)


def _draw_map(ax: Axes, values: Array, size: tuple[float, float]) -> float:
    """Draw one axis, and return the value at the end of its colours."""
    low, high = colour_range(values, np.isfinite(values), signed=True)
    shown = _thinned(values)
    known = np.isfinite(shown)
    share = np.clip((np.where(known, shown, 0.0) - low) / (high - low), 0, 1)
    picture = ramp(SIGNED)[np.minimum((share * 256).astype(int), 255)] / 255.0
    picture[~known] = _PAPER
    ax.imshow(picture, extent=(0, size[1], 0, size[0]), interpolation="nearest", aspect="auto")
    ax.set(xlim=(0, size[1]), ylim=(0, size[0]), autoscale_on=False)
    for spine in ax.spines.values():
        spine.set(visible=True, linewidth=0.7, color=INK)
    return high


def _draw_bar(figure: Figure, place: tuple[float, float], limit: float, what: tuple[str, str], values: Array) -> None:
    """Draw a colour bar whose middle is below `place`; `what` is a name and a unit."""
    long = 2.0
    ax = bare_axes(figure, (place[0] - long / 2, place[1] - _BAR), (long, _BAR))
    ax.set(xlim=(0, long), ylim=(0, _BAR), autoscale_on=False)
    ax.imshow(ramp(SIGNED)[None] / 255.0, extent=(0, long, _BAR - 0.34, _BAR - 0.22), aspect="auto")
    style: dict[str, Any] = {"fontsize": 8, "color": INK, "va": "center", "family": "DejaVu Sans", "parse_math": False}
    ax.text(
        long / 2,
        _BAR - 0.11,
        printable("{} ({})".format(*what)),
        ha="center",
        **style | {"fontsize": 9, "weight": "bold"},
    )
    beyond = np.abs(values[np.isfinite(values)])
    more = "+" if beyond.size and beyond.max() > limit * 1.001 else ""
    for at, value, side in ((0.0, -limit, "left"), (0.5, 0.0, "center"), (1.0, limit, "right")):
        sign = "\N{MINUS SIGN}" if value < 0 else ""
        ax.text(at * long, _BAR - 0.44, f"{sign}{abs(value):g}{more if value else ''}", ha=side, **style)
    words = _SIGNS.get(what[0], ("", ""))
    for at, word, side in ((0.0, words[0], "left"), (1.0, words[1], "right")):
        ax.text(at * long, _BAR - 0.57, word, ha=side, **style | {"fontsize": 7, "color": "#666666"})


def _draw_arrows(ax: Axes, moved: Horizontal, size: tuple[float, float]) -> float:
    """Draw arrows where something moves sideways; return how much motion an inch of arrow means, 0 = none."""
    speed = np.hypot(moved.right, moved.upward)
    if not np.isfinite(speed).any():
        return 0.0
    limit = round_up(float(np.nanpercentile(speed, COVERED)))
    spacing = max(size) / _ARROWS
    every = [max(1, round(spacing * n / long)) for n, long in zip(speed.shape, size, strict=True)]
    row, col = (np.arange(min(e // 2, n - 1), n, e) for e, n in zip(every, speed.shape, strict=True))
    picked = np.ix_(row, col)
    moving = np.nan_to_num(speed[picked]) > 0.15 * limit
    if not moving.any():
        return 0.0
    x, y = np.meshgrid((col + 0.5) * size[1] / speed.shape[1], size[0] - (row + 0.5) * size[0] / speed.shape[0])
    shorter = np.minimum(1, limit / np.where(moving, speed[picked], 1))
    step = np.stack([moved.right[picked], moved.upward[picked]]) * shorter
    per_inch = limit / float(np.clip(1.5 * spacing, 0.3, 0.6))
    draw_arrow(ax, np.stack([x, y])[:, moving], step[:, moving], per_inch)
    return per_inch


def _draw_foot(figure: Figure, scale: tuple[float, float], room: float, unit: str, shares: NDArray[np.float64]) -> None:
    """Write how long things are, and how much is known."""
    inch, per_inch = scale
    wide = float(figure.get_size_inches()[0])
    ax = bare_axes(figure, (_MARGIN, 0.1), (wide - 2 * _MARGIN, 0.5))
    ax.set(xlim=(0, wide - 2 * _MARGIN), ylim=(0, 0.5), autoscale_on=False)
    style: dict[str, Any] = {"fontsize": 8, "color": INK, "va": "center", "family": "DejaVu Sans", "parse_math": False}
    length = _round_down(min(1.2, room) / inch)
    for k, colour in enumerate((INK, "white")):
        half = length * inch / 2
        ax.barh(0.36, half, 0.08, k * half, color=colour, edgecolor=INK, linewidth=0.6)
    ax.text(0, 0.16, f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m", **style)
    at = 1.6
    if per_inch > 0:
        arrow = _round_down(0.6 * per_inch)
        draw_arrow(ax, np.array([[at], [0.36]]), np.array([[arrow], [0.0]]), per_inch)
        ax.text(at, 0.16, f"{arrow:g} {unit} sideways", **style)
        at += 1.5
    ax.fill_between([at, at + 0.25], 0.29, 0.43, color=_PAPER, linewidth=0)
    words = ", ".join(f"{name} {100 * share:.3g} %" for name, share in zip(_SIGNS, shares, strict=True))
    ax.text(at + 0.35, 0.36, "not known", **style)
    ax.text(at, 0.16, f"known: {words}", **style)


def _round_down(value: float) -> float:
    """Return the 1, 2 or 5 of its power of ten at or below a positive number."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(max(n * power for n in (1, 2, 5) if n * power <= value * 1.001))
