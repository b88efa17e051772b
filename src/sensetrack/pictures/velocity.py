"""The map of mean velocity, in the style of the quick-look."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import InputError
from sensetrack.pictures.charts import FONT, save, shortened
from sensetrack.pictures.legend import INK, Legend, count_of, percent, printable
from sensetrack.pictures.quicklook import Posts, compose, plan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from sensetrack.grid import Grid

    Array = NDArray[Any]

_CERTAIN = 2.0
"""Standard errors above which a speed is motion."""
_MOST_NAMES = 12


def draw_velocity_map(
    path: str | PathLike[str],
    vx: Array,
    vy: Array,
    speed: Array,
    grid: Grid,
    *,
    sigma: Array | None = None,
    backdrop: Array | None = None,
    unit: str = "m/day",
    what: str = "Ground speed",
    points: Sequence[tuple[str, int, int]] = (),
    title: str,
    subtitle: str = "",
    dpi: int = 130,
) -> None:
    """Draw a map of velocity, or of any other vector on the ground, and write a PNG, whole or not at all.

    Colours show the speed, arrows point where the ground goes, hatching covers posts of which nothing is known.

    Parameters
    ----------
    path : path-like
        The PNG; replaced where it exists.
    vx, vy : ndarray
        (rows, cols), along +x and +y of the CRS; without georeference along the columns and down the rows.
    speed : ndarray
        (rows, cols) length, without the bias of noise where possible; NaN = not known.
    grid : Grid
        Of the posts.
    sigma : ndarray, optional
        (rows, cols) standard error of the speed.
    backdrop : ndarray, optional
        Grey image of any size and scale over exactly the area of the grid; NaN = nodata.
    unit, what : str
        What the colours show.
    points : sequence of (name, row, col)
        Posts that get a mark.
    title, subtitle : str
        Headings; shortened where they do not fit.
    dpi : int
        Pixels per inch; pictures are 6 to 14 inches wide.

    Raises
    ------
    InputError
        Arrays are not of the shape of the grid.
    """
    given = [vx, vy, speed] if sigma is None else [vx, vy, speed, sigma]
    if shapes := {part.shape for part in given} - {grid.shape}:
        raise InputError(f"the map has posts of shape {grid.shape}, instead got {min(shapes)}")
    length, right, down = _on_the_picture(vx, vy, speed, grid)
    posts = Posts.of(length, right, down, step=(1.0, 1.0), first=(0.5, 0.5))
    notes = _in_words(length, sigma, unit)
    legend = Legend(unit, posts.limit, posts.highest, 0.0, np.zeros((1, 1), np.uint16), grid, what, notes)
    view = replace(plan(grid.shape, grid.pixel_size if grid.georeferenced else None), pixel="posts")
    grey = np.full((1, 1), np.nan) if backdrop is None else backdrop
    figure, ax = compose(posts, legend, view, grey, grid.shape, title=title, subtitle=subtitle, dpi=dpi)
    if points:
        _draw_points(ax, points, grid.shape)
    save(figure, path)


def _on_the_picture(vx: Array, vy: Array, speed: Array, grid: Grid) -> tuple[Array, Array, Array]:
    """Return the speed and its direction along columns and down rows; NaN where one of them is not known."""
    known = np.isfinite(vx) & np.isfinite(vy) & np.isfinite(speed)
    down, right = grid.from_map(vx, vy) if grid.georeferenced else (vy, vx)
    size = np.hypot(right, down)
    scale = np.where(known, speed, np.nan) / np.where(size > 0, size, 1.0)
    return np.where(known, speed, np.nan), right * scale, down * scale


def _in_words(speed: Array, sigma: Array | None, unit: str) -> tuple[str, str]:
    """Return how much is known, and how well."""
    known = np.isfinite(speed)
    first = f"Not known: {percent(1 - float(known.mean()))} of {count_of(speed.size)}"
    if not known.any():
        return first, ""
    second = f"median {np.median(speed[known]):.3g}, largest {speed[known].max():.3g} {unit}"
    if sigma is None or not np.isfinite(sigma[known]).any():
        return first, second
    with np.errstate(invalid="ignore"):
        moving = float((speed > _CERTAIN * sigma)[known].mean())
    second += f" · median standard error {np.nanmedian(sigma[known]):.2g} {unit}"
    return f"{first}; {percent(moving)} of the others move by more than {_CERTAIN:g} standard errors", second


def _draw_points(ax: Axes, points: Sequence[tuple[str, int, int]], shape: tuple[int, int]) -> None:
    """Mark posts; names stay inside the map, and are left out where there are too many to be read."""
    from matplotlib.patheffects import withStroke

    for name, row, col in points:
        x, y = col + 0.5, row + 0.5
        ax.plot(x, y, marker="o", markersize=6, color="white", markeredgecolor=INK, markeredgewidth=1.2, zorder=6)
        if len(points) > _MOST_NAMES:
            continue
        left = x > 0.75 * shape[1]
        ax.annotate(
            printable(shortened(name, 18)), (x, y), (-7 if left else 7, 0), textcoords="offset points",
            ha="right" if left else "left", va="center", fontsize=8.5, color=INK, zorder=7,
            path_effects=[withStroke(linewidth=2.5, foreground="white")], **FONT,
        )  # fmt: skip
