"""The quick-look: one picture that shows how the ground moved, and where that is not known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.pictures.legend import (
    FOOT,
    HEAD,
    INK,
    MARGIN,
    NARROWEST,
    Legend,
    View,
    bare_axes,
    colours,
    draw_arrow,
    draw_legend,
    draw_titles,
    drawing,
    drawn,
    hatching,
    print_dots,
)
from sensetrack.pictures.ramps import COVERED, round_up

if TYPE_CHECKING:
    from os import PathLike

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from sensetrack.ot.fields import Displacement, OffsetField

    Array = NDArray[Any]

_PAPER = (0.90, 0.89, 0.87)
"""Colour of what the image does not cover."""
_MAX_SIDE = 1400
"""Rasters are drawn with at most this many cells along each side: more would not be seen."""
_ARROWS = 28
"""Arrows along the longer side of the map."""


@dataclass(frozen=True, eq=False)
class Posts:
    """What is drawn, one value per post; NaN = no good post there."""

    size: Array
    """Length of the motion, in the unit of the legend."""
    right: Array
    """The motion along the columns, down the rows for `down`; as long as `size` where pixels are square."""
    down: Array
    bad: Array
    """True = hatched."""
    box: tuple[float, float, float, float]
    """Left, right, bottom and top of the posts, px of the image."""
    limit: float
    """Length at the end of the colours."""
    highest: float
    """Largest length; NaN = no good post."""

    @classmethod
    def of(
        cls, size: Array, right: Array, down: Array, *, step: tuple[float, float], first: tuple[float, float]
    ) -> Posts:
        """Thin posts out to what can be seen: of `step` px, the first one at `first` (rows, cols); NaN = hatched."""
        good = np.isfinite(size)
        every = max(1, -(-max(size.shape) // _MAX_SIDE))
        shown = _thinned(size, every)
        top, left = first[0] - step[0] / 2, first[1] - step[1] / 2
        # Thinned cells are wider, and the last one may reach beyond the last post.
        box = (left, left + shown.shape[1] * every * step[1], top + shown.shape[0] * every * step[0], top)
        high, highest = np.percentile(size[good], [COVERED, 100]) if good.any() else (0.0, np.nan)
        bad = _thinned((~good).astype(np.float32), every) > 0.5
        moved = _thinned(right, every), _thinned(down, every)
        return cls(shown, *moved, bad, box, round_up(float(high)), float(highest))


def draw_quicklook(
    path: str | PathLike[str],
    offsets: OffsetField,
    displacement: Displacement | None,
    backdrop: Array,
    extent: tuple[int, int],
    *,
    first_post: tuple[float, float],
    title: str,
    subtitle: str = "",
    dpi: int = 130,
) -> None:
    """Draw the motion over the reference image and write it as a PNG.

    Rows run down as in the array; colours show the length of the motion where it is good, arrows point where
    the ground went, hatching covers posts with a flag.

    Parameters
    ----------
    path : path-like
        The PNG; replaced where it exists.
    offsets : OffsetField
        Gives positions, flags and the direction of the arrows.
    displacement : Displacement or None
        Gives lengths in metres (and its flags); None: lengths are in px.
    backdrop : ndarray
        (rows, cols) grey reference image on any scale, possibly decimated; NaN = nodata.
    extent : (int, int)
        Rows and columns of the full image that `backdrop` spans, px.
    first_post : (float, float)
        (row, col) of post [0, 0] in pixel corners of the full image.
    title, subtitle : str
        Headings; shortened where they do not fit.
    dpi : int
        Pixels per inch; pictures are 6 to 14 inches wide.
    """
    metres = None
    if offsets.grid.georeferenced:
        rows, cols = offsets.grid.pixel_size
        metres = (rows / offsets.step[0], cols / offsets.step[1])
    posts = _posts(offsets, displacement, first_post)
    unit, flags = ("px", offsets.flags) if displacement is None else ("m", displacement.flags)
    legend = Legend(unit, posts.limit, posts.highest, 0.0, flags, offsets.grid)
    with drawing:
        figure, _ = compose(
            posts, legend, plan(extent, metres), backdrop, extent, title=title, subtitle=subtitle, dpi=dpi
        )
        dots = drawn(figure)
    print_dots(dots, path, dpi)


def compose(
    posts: Posts,
    legend: Legend,
    view: View,
    backdrop: Array,
    extent: tuple[int, int],
    *,
    title: str,
    subtitle: str,
    dpi: int,
) -> tuple[Figure, Axes]:
    """Put a map of motion together: backdrop, colours, hatching, arrows, legend and headings.

    Returns
    -------
    figure, axes : Figure, Axes
        The picture, and its map, which counts px of the image.
    """
    from matplotlib.figure import Figure

    size = (view.width + 2 * MARGIN, view.map_size[0] + HEAD + FOOT)
    figure = Figure(size, dpi=dpi, facecolor="white")
    ax = bare_axes(figure, (MARGIN + view.left, FOOT), (view.map_size[1], view.map_size[0]))
    ax.set(xlim=(0, extent[1]), ylim=(extent[0], 0), autoscale_on=False)
    _draw_backdrop(ax, backdrop, extent)
    share = np.minimum(posts.size / posts.limit, 1)
    ax.imshow(colours(share), extent=posts.box, interpolation="nearest", aspect="auto", zorder=2)
    _draw_hatching(ax, posts, extent, (view.map_size[0] * dpi, view.map_size[1] * dpi))
    per_inch = _draw_arrows(ax, posts, view)
    for spine in ax.spines.values():
        spine.set(visible=True, linewidth=0.7, color=INK)
    draw_legend(figure, view, replace(legend, per_inch=per_inch))
    draw_titles(figure, view, title, subtitle)
    return figure, ax


def plan(extent: tuple[int, int], metres: tuple[float, float] | None) -> View:
    """Choose the size of the map from the shape of the image on the ground; `metres` per pixel, None = unknown."""
    ground = metres or (1.0, 1.0)
    tall, wide = extent[0] * ground[0], extent[1] * ground[1]
    # Nearly square maps get 7.6 inches; slender ones grow longer so that their short side stays readable.
    longer = float(np.clip(7.6 * np.sqrt(max(tall, wide) / min(tall, wide) / 1.4), 7.6, 13))
    inch = longer / max(tall, wide)
    size = (max(tall * inch, 0.3), max(wide * inch, 0.3))
    return View(size, max(size[1], NARROWEST), (size[0] / extent[0], size[1] / extent[1]), metres)


def _posts(offsets: OffsetField, displacement: Displacement | None, first: tuple[float, float]) -> Posts:
    """Collect what is drawn."""
    size = np.asarray(offsets.magnitude if displacement is None else displacement.magnitude, np.float64)
    flags = (displacement or offsets).flags
    good = (flags == 0) & np.isfinite(size) & np.isfinite(offsets.magnitude)
    length = np.where(offsets.magnitude > 0, offsets.magnitude, 1)
    right, down = (np.where(good, d / length * size, np.nan) for d in (offsets.d_col, offsets.d_row))
    return Posts.of(np.where(good, size, np.nan), right, down, step=offsets.step, first=first)


def _thinned(values: Array, every: int) -> Array:
    """Average over blocks of `every` cells, NaN left out."""
    if every == 1:
        return values
    rows, cols = (-(-n // every) for n in values.shape)
    padding = [(0, rows * every - values.shape[0]), (0, cols * every - values.shape[1])]
    blocks = np.pad(np.asarray(values, np.float64), padding, constant_values=np.nan)
    blocks = blocks.reshape(rows, every, cols, every)
    there = np.isfinite(blocks)
    count = there.sum(axis=(1, 3))
    total = np.where(there, blocks, 0).sum(axis=(1, 3))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _draw_backdrop(ax: Axes, backdrop: Array, extent: tuple[int, int]) -> None:
    grey = _thinned(np.asarray(backdrop, np.float64), max(1, -(-max(backdrop.shape) // (2 * _MAX_SIDE))))
    there = np.isfinite(grey)
    low, high = np.percentile(grey[there], [2, 98]) if there.any() else (0.0, 1.0)
    level = np.clip((np.where(there, grey, low) - low) / (high - low if high > low else 1.0), 0, 1)
    picture = np.repeat(np.round(255 * (0.06 + 0.90 * level)).astype(np.uint8)[..., None], 4, axis=2)
    picture[~there, :3] = np.round(255 * np.array(_PAPER))
    picture[..., 3] = 255
    ax.imshow(picture, extent=(0, extent[1], extent[0], 0), aspect="auto", zorder=1)


def _draw_hatching(ax: Axes, posts: Posts, extent: tuple[int, int], dots: tuple[float, float]) -> None:
    # Lines are drawn dot by dot of the picture: their spacing stays the same whatever the size of the posts.
    row = (np.arange(round(dots[0])) + 0.5) * extent[0] / round(dots[0])
    col = (np.arange(round(dots[1])) + 0.5) * extent[1] / round(dots[1])
    left, right, bottom, top = posts.box
    i = np.floor((row - top) / (bottom - top) * posts.bad.shape[0]).astype(int)
    j = np.floor((col - left) / (right - left) * posts.bad.shape[1]).astype(int)
    inside = ((i >= 0) & (i < posts.bad.shape[0]))[:, None] & ((j >= 0) & (j < posts.bad.shape[1]))
    bad = posts.bad[np.ix_(i.clip(0, posts.bad.shape[0] - 1), j.clip(0, posts.bad.shape[1] - 1))] & inside
    box = (0, extent[1], extent[0], 0)
    ax.imshow(hatching(bad), extent=box, interpolation="nearest", aspect="auto", zorder=3)


def _draw_arrows(ax: Axes, posts: Posts, view: View) -> float:
    """Draw arrows where something moves; return how much motion an inch of arrow means, 0 = no arrows."""
    import cv2

    left, right, bottom, top = posts.box
    shape = posts.size.shape
    cell = (bottom - top) / shape[0], (right - left) / shape[1]
    inches = cell[0] * view.scale[0], cell[1] * view.scale[1]
    spacing = max(view.map_size) / _ARROWS
    every = tuple(max(1, round(spacing / inch)) for inch in inches)
    row, col = (np.arange(min(e // 2, n - 1), n, e) for e, n in zip(every, shape, strict=True))
    picked = np.ix_(row, col)
    length = np.minimum(np.nan_to_num(posts.size), posts.limit)
    moving = length > max(0.18 * posts.limit, 4 * _roughness(posts))
    # A lone post that moves is rather a mismatch than a landslide: it keeps its colour but gets no arrow.
    moving &= cv2.blur(moving.astype(np.float32), (3, 3), borderType=cv2.BORDER_REPLICATE) > 0.5
    moving = moving[picked]
    if not moving.any():
        return 0.0
    place = np.meshgrid(left + (col + 0.5) * cell[1], top + (row + 0.5) * cell[0])
    # On the picture an arrow points where the ground goes: unequal pixels turn it.
    step = np.stack([posts.right[picked] * view.scale[1], -posts.down[picked] * view.scale[0]])
    step *= length[picked] / np.maximum(np.hypot(*step), 1e-30)
    per_inch = posts.limit / float(np.clip(1.5 * max(spacing, *inches), 0.3, 0.6))
    draw_arrow(ax, np.stack(place)[:, moving], step[:, moving], per_inch)
    return per_inch


def _roughness(posts: Posts) -> float:
    """Estimate the noise of the motion from differences between neighbouring posts."""
    steps = np.concatenate([np.diff(part, axis=1).ravel() for part in (posts.right, posts.down)])
    steps = steps[np.isfinite(steps)]
    return 1.4826 * float(np.median(np.abs(steps))) / np.sqrt(2) if steps.size else 0.0
