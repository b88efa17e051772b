"""A panel correlated row by row: sums of blocks become surfaces, surfaces become peaks, and nothing else is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sensetrack.ot.engine import framed, kernels, masked, peaks, surfaces
from sensetrack.ot.engine.scratch import lines, take
from sensetrack.ot.peak import MARGIN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.ot.engine.panel import Work


_SAMPLE = 32
"""Posts after which it is decided how far surfaces reach."""
_PER_SAMPLE = 100
"""What it costs to make and search a sample of a surface, in multiply-adds."""


class Found(NamedTuple):
    """The peaks of a panel; (posts down, posts across, ...)."""

    peaks: NDArray[np.float64]
    """(..., `peaks.FIELDS`)"""
    states: NDArray[np.uint8]
    patches: NDArray[np.float32]
    """(..., `peaks.SIDE`, `peaks.LANES`): the surface around each peak."""


class _Needs:
    """Which sums each row of blocks must give for some of the posts."""

    def __init__(self, work: Work, posts: NDArray[np.bool_]) -> None:
        down, across = work.down, work.across
        row = np.arange(down.edges.size - 1)
        counts = np.zeros((posts.shape[0] + 1, posts.shape[1]), np.int64)
        np.cumsum(posts, axis=0, out=counts[1:])
        first, last = (np.searchsorted(down.first, at) for at in (row - down.number + 1, row + 1))
        under = counts[last] > counts[first]
        change = np.zeros((row.size, across.edges.size), np.int64)
        change[:, across.first] += under
        change[:, across.first + across.number] -= under
        self.any: NDArray[np.bool_] = np.asarray(under.any(axis=1))
        """(rows of blocks)"""
        self.posts = under.view(np.uint8)
        """(rows of blocks, posts across): 1 where a post has blocks in this row."""
        self.blocks = (np.cumsum(change[:, :-1], axis=1) > 0).view(np.uint8)
        """(rows of blocks, blocks across): 1 where a block lies under such a post."""


class Rows:
    """The sums of a panel while its rows of blocks are gone through.

    Its surfaces reach `extra` samples beyond the search on every side.
    """

    def __init__(self, work: Work, found: Found, extra: int) -> None:
        self.work, self.found, self.extra = work, found, extra
        self.has_partial = bool(work.partial.any())
        self.rows, self.cols = (2 * (search + extra) + 1 for search in work.task.search)
        self.pitch = self.cols + 1
        down, across, posts, line = work.down, work.across, work.wanted.shape, lines(self.rows * self.pitch)
        self.with_partial = list(np.asarray(work.partial.any(axis=1)))
        """(posts down): whether there are such posts."""
        self.has_holes = self.has_partial and work.frame is None
        number, blocks = masked.PLANES if self.has_holes else 1, across.edges.size - 1
        self.ring = take("ring", (number, blocks, down.number, line))
        """Sums of the last rows of blocks, as many as a chip has."""
        self.columns = take("columns", (across.number + 1, line))
        self.surfaces = take("surfaces", (number, posts[1], line))
        searched = (2 * work.task.search[0] + 1) * (2 * work.task.search[1] + 2)
        summits = take("summits", (searched,))
        columns, inner = take("highest", (searched + 2 * peaks.BESIDE,)), take("inner", (searched,))
        self.spare = columns, summits, summits.view(np.int32), inner
        self.wanted, self.clean = work.wanted.view(np.uint8), work.clean.view(np.uint8)
        self.needs = _Needs(work, work.wanted)
        self.needed = list(self.needs.any)
        if self.has_partial:
            self.partial, self.torn = work.partial.view(np.uint8), work.torn.view(np.uint8)
            self.room = framed.room(work.task.chip, self.cols)
        if self.has_holes:
            self.needs_partial, self.needs_torn = _Needs(work, work.partial), _Needs(work, work.torn)
            self.constant = work.constant(extra)
        self.places = np.empty((blocks, 6), np.int64)
        self.places[:, 1], self.places[:, 3] = across.edges[:-1], across.edges[:-1] + MARGIN - extra
        self.places[:, 4] = across.sizes
        self.starts = np.arange(blocks) * down.number * line
        self.none = np.zeros(posts[1], np.uint8)
        self.row, self.col = np.repeat(down.edges[down.first][:, None], posts[1], axis=1), across.edges[across.first]
        self.top, self.left = self.row + MARGIN - extra, self.col + MARGIN - extra
        width = int(across.sizes.max())
        self.heights = down.sizes.tolist()
        self.sums = {
            height: kernels.sums(work.kernel, self.rows, self.cols, height, width) for height in set(self.heights)
        }
        self.quarters = kernels.quarters(work, MARGIN - extra, self.rows, self.cols)

    def add(self, b: int) -> None:
        """Sum the blocks of row b that lie under wanted posts."""
        if not self.needed[b]:
            return
        start, line, slots = self.work.down.edges[b], self.ring.shape[-1], self.work.down.number
        self.places[:, 0], self.places[:, 2] = start, start + MARGIN - self.extra
        np.add(self.starts, b % slots * line, out=self.places[:, 5])
        self._correlate(masked.CROSS, self.needs.blocks[b], b)
        if self.has_holes and self.needs_partial.any[b]:
            self._add_masked(b)

    def _correlate(self, plane: int, blocks: NDArray[np.uint8], row: int) -> None:
        work, height = self.work, self.heights[row]
        a, b = work.pairs[plane] if plane else (work.a, work.b)
        out = self.ring[plane].reshape(-1)
        if plane == masked.CROSS and self.quarters is not None:
            self.quarters(self.places, blocks, height, self.pitch, out)
        else:
            self.sums[height](a, b, self.places, blocks, height, self.rows, self.cols, self.pitch, out)

    def _add_masked(self, b: int) -> None:
        work = self.work
        for plane in range(1, masked.PLANES):
            needs = self.needs_partial if plane <= masked.SQUARE_A else self.needs_torn
            if not needs.any[b]:
                continue
            blocks = needs.blocks[b]
            if plane <= masked.COUNT:
                slot, same = b % work.down.number, self.constant[b]
                masked.fill(blocks & same, work.block_sums[plane - 1, b], self.ring[plane], slot)
                blocks = blocks & ~same
            self._correlate(plane, blocks, b)

    def finish(self, i: int) -> None:
        """Make the surfaces of row i of the posts, and find their peaks."""
        work, out = self.work, self.surfaces[masked.CROSS]
        self._make(masked.CROSS, i, self.wanted[i], self.clean[i])
        if self.with_partial[i]:
            self._normalise_partial(i)
        rows, cols = self.rows - 2 * self.extra, self.cols - 2 * self.extra
        found = self.found.peaks[i], self.found.states[i], self.found.patches[i]
        peaks.locate(out, self.wanted[i], work.within[i], rows, cols, self.extra, *self.spare, *found)

    def _normalise_partial(self, i: int) -> None:
        """Turn the sums of chips of which pixels or partners are missing into correlations."""
        work, shape = self.work, (self.rows, self.cols, self.pitch)
        if work.frame is not None:
            framed.normalise(
                self.surfaces[0], self.partial[i], work.a, self.row[i], self.col, self.top[i], self.left, work.corners,
                *work.task.chip, work.total, work.scale, *shape, work.least, *self.room,
            )  # fmt: skip
            return
        last = masked.SQUARE_B if self.torn[i].any() else masked.SQUARE_A
        for plane in range(masked.SUM_A, last + 1):
            self._make(plane, i, self.partial[i] if plane <= masked.SQUARE_A else self.torn[i], self.none)
        place = work.total, work.scale, self.top[i], self.left
        masked.normalise(self.surfaces, self.partial[i], self.torn[i], work.count, *place, *shape, work.least)

    def _make(self, plane: int, i: int, wanted: NDArray[np.uint8], clean: NDArray[np.uint8]) -> None:
        work = self.work
        surfaces.make(
            self.ring[plane], work.across.first, wanted, clean, work.mean[i], work.inverse[i], work.total, work.scale,
            self.top[i], self.left, self.rows, self.cols, self.pitch, self.columns, self.surfaces[plane],
        )  # fmt: skip


def correlate(work: Work, found: Found) -> None:
    """Find the peaks of all wanted posts of a panel.

    A peak is interpolated on samples that reach `MARGIN` beyond it. Where peaks lie in the middle of the search
    these are there. Where more of the first ones lie towards its end than are worth a surface of their own
    (`near.complete`), the surfaces of all posts reach so far.
    """
    if not _correlate(work, found, 0):
        _correlate(work, found, MARGIN)


def _correlate(work: Work, found: Found, extra: int) -> bool:
    """Go through the rows of a panel; False where it was given up because too many peaks lie far out."""
    rows, down = Rows(work, found, extra), work.down
    done = {int(first) + down.number - 1: i for i, first in enumerate(down.first)}
    wanted = list(np.asarray(work.wanted.any(axis=1)))
    seen, far = 0, 0
    for b in range(down.edges.size - 1):
        rows.add(b)
        i = done.get(b)
        if i is None or not wanted[i]:
            continue
        rows.finish(i)
        if extra == 0 and seen < _SAMPLE:
            seen += int(work.wanted[i].sum())
            far += int((found.states[i][work.wanted[i]] == peaks.OPEN).sum())
            if seen >= _SAMPLE and far > _bearable(work) * seen:
                return False
    return True


def _bearable(work: Work) -> float:
    """Share of peaks with patches of their own that costs as much as larger surfaces for all."""
    plain, large = (np.prod([2 * (search + extra) + 1 for search in work.task.search]) for extra in (0, MARGIN))
    pixels = float(work.down.edges[-1] * work.across.edges[-1]) / work.wanted.size
    patch = peaks.SIDE * peaks.LANES * work.task.chip[0] * work.task.chip[1]
    return float((large - plain) * (pixels + _PER_SAMPLE) / patch)
