"""Chips on ground that did not move and that was measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sensetrack.errors import InputError, NoMatchError
from sensetrack.ot.chips import ChipGrid
from sensetrack.ot.fields import OffsetField
from sensetrack.ot.tiles import overview

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.blocks import Mapper
    from sensetrack.grid import Grid
    from sensetrack.ot.tiles import Scaled

    Area = Callable[[OffsetField], NDArray[Any]]
    StableGround = Area | NDArray[np.bool_] | None
    """Share (0..1) of stable ground at the posts of an offset field, or an array of the images' shape, or all."""

STABLE = 0.9
"""Share of a chip that must be on stable ground."""
MIN_POSTS = 8
"""Posts that are needed for a fit, and as many again to test it."""
_VALID = 0.5
"""Share of a chip that must be valid."""
_LAYOUTS = ((64, 64), (48, 48), (32, 32), (32, 16), (32, 8))
"""Chip sizes and steps, px: the first that gives `_ENOUGH` chips is used; they overlap where room is scarce."""
_ENOUGH, _MOST = 120, 600
"""Chips that are aimed at, and the most that are chosen."""


class StableChips(NamedTuple):
    """Square chips on stable ground."""

    size: int
    """Side, px."""
    starts: NDArray[np.intp]
    """(n, 2) row, col of their first pixels."""
    held: NDArray[np.bool_]
    """(n,) True = for tests only, never fitted: every second one, as on a chessboard whose squares are chips."""

    @property
    def posts(self) -> NDArray[np.float64]:
        """(n, 2) row, col of their middles, in pixel centres."""
        return np.asarray(self.starts + (self.size - 1) / 2, np.float64)


def chips_on_stable_ground(reference: Scaled, stable: StableGround, *, mapper: Mapper = map) -> StableChips:
    """Choose chips on stable ground: large ones if there are enough, spread evenly, at most 600.

    Raises
    ------
    InputError
        Less than 16 chips; NoMatchError where all ground may be stable.
    """
    grid = reference.image.grid
    cell = max(4, max(grid.shape) // 1024)  # fine enough for any chip, and few for any image
    valid = _shares(overview(reference, cell, mapper=mapper)[1], cell)
    still = _shares(_stable_cells(grid, stable, cell), cell)

    def choose(size: int, step: int) -> StableChips:
        chips = ChipGrid(grid.shape, (size, size), (step, step))
        starts = np.argwhere(np.ones(chips.shape, bool)) * step
        starts = starts[(still(starts, size) >= STABLE) & (valid(starts, size) >= _VALID)]
        return StableChips(size, starts, (starts // max(size, step)).sum(axis=1) % 2 == 1)

    for size, step in _LAYOUTS:
        chips = choose(size, step)
        if len(chips.starts) >= _ENOUGH:
            break
    while len(chips.starts) > _MOST:
        step += size // 4
        chips = choose(size, step)
    if min(chips.held.sum(), (~chips.held).sum()) < MIN_POSTS:
        what = "the reference" if stable is None else "stable ground"
        kind = NoMatchError if stable is None else InputError
        message = (
            f"{what} must hold at least {2 * MIN_POSTS} chips of {size} x {size} px, instead got {len(chips.starts)}"
        )
        raise kind(message, advice="use larger images" if stable is None else "draw more of it")
    return chips


def _stable_cells(grid: Grid, stable: StableGround, cell: int) -> NDArray[np.float64]:
    """Share of stable ground in cells of `cell` px."""
    shape = -(-grid.shape[0] // cell), -(-grid.shape[1] // cell)
    if stable is None:
        return np.ones(shape)
    if callable(stable):
        # Posts must lie inside the image: a cell that sticks out is told by its neighbour.
        inside = max(1, grid.shape[0] // cell), max(1, grid.shape[1] // cell)
        start = cell / 2, cell / 2
        nothing = np.full(inside, np.float32("nan"))
        flags = np.zeros(inside, np.uint16)
        posts = grid.posts(start, (cell, cell), inside)
        share = np.asarray(stable(OffsetField(nothing, nothing, flags, posts, step=(cell, cell), start=start)))
    else:
        inside, share = grid.shape, np.asarray(stable)
    if share.shape != inside:
        message = f"stable ground must have the shape {inside}, instead got {share.shape}"
        raise InputError(message)
    if not callable(stable):
        share = share[::cell, ::cell]
    pad = [(0, whole - part) for whole, part in zip(shape, share.shape, strict=True)]
    return np.pad(np.nan_to_num(share.astype(float)), pad, mode="edge")


def _shares(cells: NDArray[Any], cell: int) -> Callable[[NDArray[np.intp], int], NDArray[Any]]:
    """Return a function from the starts and the size of chips to the means of the cells they touch."""
    total = np.zeros((cells.shape[0] + 1, cells.shape[1] + 1))
    total[1:, 1:] = cells.cumsum(axis=0, dtype=float).cumsum(axis=1)

    def share(starts: NDArray[np.intp], size: int) -> NDArray[Any]:
        (top, left), (bottom, right) = (starts // cell).T, (-(-(starts + size) // cell)).T
        inside = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
        return np.asarray(inside / ((bottom - top) * (right - left)))

    return share
