"""Where the pixels of one map lie in a raster on another: computed at nodes, straight between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sensetrack.sar.compiling import WORKS
from sensetrack.sar.heights import bilinear, bilinear_at_nodes

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sensetrack.files.warp import ToPixels
    from sensetrack.grid import Grid

STRAIGHT = 300.0
"""Metres within which the coordinates of one map are straight in those of another to a few millimetres."""


def on_map(
    read: Callable[[slice, slice], NDArray[np.float32]],
    shape: tuple[int, int],
    to_pixels: ToPixels,
    grid: Grid,
    window: tuple[slice, slice],
) -> NDArray[np.float64]:
    """Return values of a raster at the pixels of a window of a map, which may reach beyond it; NaN where unknown.

    Parameters
    ----------
    read : callable
        (rows, cols) -> pixels of the raster, NaN where unknown.
    shape : (int, int)
        Of the raster.
    to_pixels : callable
        (x, y) on the map -> (row, col) of the raster, in pixel corners.
    grid : Grid
        The map.
    window : (slice, slice)
    """
    step = int(np.clip(STRAIGHT / float(np.mean(grid.pixel_size)), 1, 32))
    row, col = np.meshgrid(*(nodes(part, step) for part in window), indexing="ij")
    row, col = (np.asarray(part) - 0.5 for part in to_pixels(*grid.xy(row, col)))
    size = window[0].stop - window[0].start, window[1].stop - window[1].start
    return at_nodes(read, shape, (row, col), step, size)


def at_nodes(
    read: Callable[[slice, slice], NDArray[np.float32]],
    shape: tuple[int, int],
    places: tuple[NDArray[np.float64], NDArray[np.float64]],
    step: int,
    size: tuple[int, int],
) -> NDArray[np.float64]:
    """Return values of a raster, bilinear, at places (in pixel centres) of every `step`-th of `size` pixels.

    NaN where one of the four pixels around is unknown.
    """
    row, col = places
    rows, cols = window_at(row, shape[0]), window_at(col, shape[1])
    if rows is None or cols is None:
        return np.full(size, np.nan)
    row, col = row - rows.start, col - cols.start
    if WORKS:
        return bilinear_at_nodes(read(rows, cols), row, col, step, size)
    return bilinear(read(rows, cols), spread(row, step, size), spread(col, step, size))


def window_at(places: NDArray[np.float64], size: int) -> slice | None:
    """Return the pixels that decide values at places in pixel centres, two at least; None where there are none."""
    if np.isnan(places).all():
        return None
    low, high = np.nanmin(places), np.nanmax(places)
    if not (np.isfinite(low) and np.isfinite(high)):
        return None
    start, stop = max(int(np.floor(low)) - 1, 0), min(int(np.ceil(high)) + 2, size)
    return slice(start, stop) if stop - start >= 2 else None


def nodes(window: slice, step: int) -> NDArray[np.float64]:
    """Return every `step`-th place from the first of a window to beyond its last."""
    count = max(-(-(window.stop - 1 - window.start) // step), 1) + 1
    return np.asarray(window.start + step * np.arange(count, dtype=np.float64))


def spread(values: NDArray[np.float64], step: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Interpolate values at nodes, `step` apart, linearly for every pixel."""
    i, j = np.arange(shape[0]) // step, np.arange(shape[1]) // step
    u, v = (np.arange(shape[0]) - i * step) / step, (np.arange(shape[1]) - j * step) / step
    across = values[:, j] + v * (values[:, np.minimum(j + 1, values.shape[1] - 1)] - values[:, j])
    below = across[np.minimum(i + 1, values.shape[0] - 1)]
    return np.asarray(across[i] + u[:, None] * (below - across[i]))
