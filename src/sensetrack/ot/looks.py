"""Where posts are looked for: around what, how far, and in how many looks at a tile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sensetrack.blocks import Block
from sensetrack.errors import InputError
from sensetrack.ot.chips import ChipGrid
from sensetrack.ot.fields import Flag
from sensetrack.ot.tiles import shifted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sensetrack.ot.fields import Match
    from sensetrack.ot.tiles import Scaled, Tile

    Boxes = NDArray[np.int64]
    """(4, posts down, posts across): first row, last row, first column and last column of the whole-pixel offsets at
    which each post is looked for, both included."""

    Posts = NDArray[np.int64]
    """(6, n): row and column of posts in a block, and their boxes."""

    Pair = tuple[int, int]

LEAST = 1.0
"""Half width of the search that every post is left with, px, whatever its limit."""
_FUZZ = 1e-3
"""Pixels that are rounding, not a distance."""
_VECTOR = 4
"""Half widths of looks that cover several boxes are multiples of this, px: searches that fill vectors."""
_FIRST, _LAST = slice(2, None, 2), slice(3, None, 2)
"""First row and column of the boxes of posts, and the last."""
_PER_SAMPLE = 1000
"""What a pixel of a look costs besides its shifts, in shifts: peaks, and reading."""
_PER_LOOK = 2e7
"""What a look costs whatever its size, in pixels times shifts."""
_WORTH = 0.9
"""Share of the cost that two looks may have of that of one, to be taken instead."""


class Scene:
    """Two images, their chips, and what is known beforehand about where these went.

    Parameters
    ----------
    images : (Scaled, Scaled)
        Reference and secondary.
    chips : ChipGrid
    gross : (int, int)
        Whole-pixel shift (rows, cols) to look around where nothing else is known.
    prior, limits : ndarray, optional
        (2, rows, cols), one value per post, px: offsets to look around, and half widths around these (or around
        `gross`) within which the offsets lie; see `OTAlgorithm`.

    Raises
    ------
    InputError
        One of them has not the shape of the posts, or a limit is negative.
    """

    def __init__(
        self,
        images: tuple[Scaled, Scaled],
        chips: ChipGrid,
        gross: Pair,
        prior: NDArray[Any] | None = None,
        limits: NDArray[Any] | None = None,
    ) -> None:
        for name, layer in (("prior", prior), ("limits", limits)):
            if layer is not None and layer.shape != (2, *chips.shape):
                raise InputError(f"{name} must be {(2, *chips.shape)}, one value per post, instead got {layer.shape}")
        if limits is not None and (limits < 0).any():
            raise InputError(f"limits must be at least 0 px, instead got {np.nanmin(limits):g}")
        self.images, self.chips, self.gross, self.prior, self.limits = images, chips, gross, prior, limits

    def reference(self, block: Block, halo: Pair) -> Tile:
        """Read the chips of a block of posts, with a halo."""
        return self.images[0].tile(*self.chips.window(block), halo)

    def secondary(self, block: Block, shift: Pair, halo: Pair) -> Tile:
        """Read the same window of the secondary, moved by whole pixels."""
        rows, cols = self.chips.window(block)
        return self.images[1].tile(shifted(rows, shift[0]), shifted(cols, shift[1]), halo)

    def chips_of(self, block: Block) -> ChipGrid:
        """Return the chips of a block of posts as a grid of their own."""
        rows, cols = self.chips.window(block)
        return ChipGrid((rows.stop - rows.start, cols.stop - cols.start), self.chips.chip, self.chips.step)

    def middle(self, block: Block) -> Pair:
        """Whole-pixel shift in the middle of what is known beforehand about a block, or else of the whole image."""
        if self.prior is None:
            return self.gross
        near = self.prior[:, block.rows, block.cols].reshape(2, -1)
        known = np.isfinite(near).all(axis=0)
        if not known.any():
            return self.gross
        d_row, d_col = np.round(np.median(near[:, known], axis=1)).astype(int).tolist()
        return d_row, d_col

    def centre(self, block: Block) -> NDArray[np.float64]:
        """(2, rows, cols): what each post of a block is looked for around, px."""
        whole = np.broadcast_to(np.array(self.gross, float)[:, None, None], (2, *block.shape))
        if self.prior is None:
            return whole
        near = self.prior[:, block.rows, block.cols]
        return np.where(np.isfinite(near).all(axis=0), near, whole)

    def boxes(self, block: Block, search: Pair) -> Boxes:
        """Offsets at which each post of a block is looked for: `search` around its centre, cut by its limit.

        Whole pixels within the limit lie inside the box, the next one is its rim.
        """
        centre, out = self.centre(block), np.empty((4, *block.shape), np.int64)
        half = None if self.limits is None else np.maximum(self.limits[:, block.rows, block.cols], LEAST)
        for axis in (0, 1):
            middle = np.round(centre[axis]).astype(np.int64)
            first, last = middle - search[axis], middle + search[axis]
            if half is not None:
                known = np.isfinite(half[axis])
                by = np.where(known, half[axis], 0) + _FUZZ
                first = np.where(known, np.maximum(first, np.ceil(centre[axis] - by) - 1), first)
                last = np.where(known, np.minimum(last, np.floor(centre[axis] + by) + 1), last)
            out[2 * axis], out[2 * axis + 1] = first, last
        return out

    def widest(self, search: Pair) -> Pair:
        """Half width of the widest search of any post."""
        if self.limits is None:
            return search
        most = [np.max(np.where(np.isfinite(part), np.maximum(part, LEAST), np.inf)) for part in self.limits]
        rows, cols = (int(min(size, np.ceil(by) + 1)) for size, by in zip(search, most, strict=True))
        return rows, cols

    def limited(self, block: Block, found: Match) -> Match:
        """Flag the posts of a block whose offset is further from what it was looked for around than its limit."""
        if self.limits is None:
            return found
        limits, centre = np.maximum(self.limits[:, block.rows, block.cols], LEAST), self.centre(block)
        away = np.abs(np.stack([found.d_row, found.d_col]) - centre)
        beyond = (away > limits + _FUZZ).any(axis=0)  # False where one of them is NaN
        return found._replace(flags=np.where(beyond, found.flags | Flag.PEAK_AT_EDGE.bit, found.flags))


class Look(NamedTuple):
    """One search for some posts of a block."""

    block: Block
    """The posts around them."""
    wanted: NDArray[np.bool_]
    """Which of these are meant."""
    shift: Pair
    """Whole pixels (rows, cols) that the search is centred on."""
    search: Pair
    """Half width (rows, cols), px."""


def looks(block: Block, boxes: Boxes, wanted: NDArray[np.bool_], chips: ChipGrid) -> Iterator[Look]:
    """Cover the boxes of the wanted posts of a block by searches, several where that is less work than one."""
    if wanted.any():
        posts = np.concatenate([np.stack(np.nonzero(wanted)), boxes[:, wanted]])
        for group in _groups(posts, chips):
            yield _look(block, group)


def _look(block: Block, posts: Posts) -> Look:
    """Return the search that covers some posts of a block."""
    low, high = posts.min(axis=1), posts.max(axis=1)
    (top, left), (bottom, right) = low[:2].tolist(), high[:2].tolist()
    wanted = np.zeros((bottom - top + 1, right - left + 1), bool)
    wanted[posts[0] - top, posts[1] - left] = True
    row, col = block.rows.start, block.cols.start
    part = Block(slice(row + top, row + bottom + 1), slice(col + left, col + right + 1))
    shift = (low[_FIRST] + high[_LAST]) // 2
    half = high[_LAST] - shift
    if (low[2:] != high[2:]).any():  # a search that is the same for all is made as it is
        half = -(-half // _VECTOR) * _VECTOR
    rows, cols = shift.tolist()
    return Look(part, wanted, (rows, cols), (int(half[0]), int(half[1])))


def _groups(posts: Posts, chips: ChipGrid) -> list[Posts]:
    """Part posts into groups to be looked for together."""
    waiting, out = [posts], []
    while waiting:
        group = waiting.pop()
        parts = _parted(group, chips)
        if parts is None:
            out.append(group)
        else:
            waiting += parts
    return out


def _parted(posts: Posts, chips: ChipGrid) -> tuple[Posts, Posts] | None:
    """Find the cheapest way to part posts in two, by place or by box; None where one look is as good."""
    low, high = posts.min(axis=1), posts.max(axis=1)
    least = float(_WORTH * _cost(low, high, chips))
    each = np.prod(posts[_LAST] - posts[_FIRST] + 1.0, axis=0) + _PER_SAMPLE
    if least < max(2 * _PER_LOOK, _pixels(low, high, chips) * each.min()):
        return None
    best = None
    for values in posts[high > low]:
        order = np.argsort(values, kind="stable")
        ordered = posts[:, order]
        before = np.minimum.accumulate(ordered, axis=1), np.maximum.accumulate(ordered, axis=1)
        back = ordered[:, ::-1]
        after = (np.minimum.accumulate(part, axis=1)[:, ::-1] for part in (back, -back))
        lowest, highest = after
        cost = _cost(before[0][:, :-1], before[1][:, :-1], chips) + _cost(lowest[:, 1:], -highest[:, 1:], chips)
        cost[values[order[:-1]] == values[order[1:]]] = np.inf
        cut = int(np.argmin(cost))
        if cost[cut] < least:
            least, best = float(cost[cut]), (ordered[:, : cut + 1], ordered[:, cut + 1 :])
    return best


def _cost(low: Posts, high: Posts, chips: ChipGrid) -> Any:
    """Estimate the work of one look, in pixels times shifts, from the least and the largest of its posts' numbers."""
    shifts = np.prod(high[_LAST] - low[_FIRST] + 1.0, axis=0)
    return _pixels(low, high, chips) * (shifts + _PER_SAMPLE) + _PER_LOOK


def _pixels(low: Posts, high: Posts, chips: ChipGrid) -> Any:
    """Pixels that the chips of some posts cover."""
    down, across = high[:2] - low[:2]
    return (down * float(chips.step[0]) + chips.chip[0]) * (across * float(chips.step[1]) + chips.chip[1])
