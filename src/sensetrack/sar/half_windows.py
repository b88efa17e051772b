"""The half windows of the refined Lee filter: a window cut in two along its middle, in four directions."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDES = ((0, 1), (0, -1), (-1, 0), (1, 0), (-1, 1), (1, -1), (-1, -1), (1, 1))
"""Rows and columns that each half lies towards: two and two are the halves of one cut."""

SURE = 0.5
"""Standard errors by which a window must vary more than speckle before an edge is looked for: among the sides of
speckle alone, to choose the one more like the middle is to choose the darker."""


def sub_windows(half: int) -> tuple[int, int]:
    """Return half the size of the sub-windows whose means show an edge, and the distance between their centres.

    Three fit into a window of 2 `half` + 1 pixels: for 7 pixels they have 3, every 2 pixels, as Lee (1981) has it.
    """
    size = half // 2
    return size, half - size


@lru_cache(maxsize=16)
def half_windows(halo: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first and last column, from the middle, of each row of the eight half windows; each (8, rows) int64.

    The line through the middle belongs to both halves.
    """
    down, across = halo
    rows = np.arange(-down, down + 1)
    cols = np.arange(-across, across + 1)
    first, last = np.empty((8, rows.size), np.int64), np.empty((8, rows.size), np.int64)
    for side, (to_row, to_col) in enumerate(SIDES):
        # Scaled to a square, so that a diagonal cut goes from corner to corner.
        inside = to_row * rows[:, None] * across + to_col * cols * down >= 0
        first[side] = cols[inside.argmax(axis=1)]
        last[side] = cols[::-1][inside[:, ::-1].argmax(axis=1)]
        none = ~inside.any(axis=1)
        first[side, none], last[side, none] = 1, 0
    first.flags.writeable = last.flags.writeable = False
    return first, last
