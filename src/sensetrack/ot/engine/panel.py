"""The images under a panel of posts, and what is known of every chip and every place in them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from sensetrack.ot.correlation import FLAT
from sensetrack.ot.engine import peaks, surfaces
from sensetrack.ot.engine.layout import Axis, Panel, axis
from sensetrack.ot.engine.scratch import take
from sensetrack.ot.engine.valid import Validity, covered, validity, within
from sensetrack.ot.peak import MARGIN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.ot.engine.task import Task
    from sensetrack.ot.engine.valid import Frame

    Floats = NDArray[np.float32]

_EXTRA = peaks.LANES - peaks.SIDE
"""Columns right of an area that vectors may read."""


class Chips(NamedTuple):
    """What is known of the chips of a tile before anything is correlated; all (posts down, posts across)."""

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    """Standard deviation of the valid pixels."""
    whole: NDArray[np.bool_]
    """True where no pixel of the chip is missing."""
    worth: NDArray[np.bool_]
    """True where the post is wanted, enough pixels of the chip are valid, and they are not all alike."""
    validity: Validity


def survey(task: Task) -> Chips:
    """Look at every chip of a tile."""
    valid, pixels = validity(task), task.chip[0] * task.chip[1]
    down, across = (axis(*each) for each in zip(task.posts, task.chip, task.step, strict=True))
    total, square = _chip_sums(_block_sums(np.ascontiguousarray(task.reference), down, across), down, across)
    number = np.maximum(valid.number, 1)
    mean = total / number
    variance = np.maximum(square / number - mean**2, 0)
    worth = (valid.number >= task.min_valid * pixels) & (variance > FLAT)
    if task.wanted is not None:
        worth &= task.wanted
    return Chips(mean, np.sqrt(variance), valid.number == pixels, worth, valid)


def _block_sums(image: Floats, down: Axis, across: Axis) -> NDArray[np.float64]:
    """(2, blocks down, blocks across): sums of the pixels of each block and of their squares."""
    out = np.empty((2, len(down.edges) - 1, len(across.edges) - 1))
    surfaces.block_statistics(image, down.edges, across.edges, out)
    return out


def _chip_sums(blocks: NDArray[np.float64], down: Axis, across: Axis) -> NDArray[np.float64]:
    """(..., blocks down, blocks across) -> (..., posts down, posts across): sums over the blocks of each chip."""
    running = np.zeros((*blocks.shape[:-2], blocks.shape[-2] + 1, blocks.shape[-1] + 1))
    running[..., 1:, 1:] = blocks.cumsum(axis=-2).cumsum(axis=-1)
    rows = running[..., down.first + down.number, :] - running[..., down.first, :]
    return np.asarray(rows[..., across.first + across.number] - rows[..., across.first])


def _within_frame(frame: Frame | None, window: tuple[slice, ...]) -> Frame | None:
    """Count the rectangle from the start of a window."""
    if frame is None:
        return None
    rows, cols = (slice(f.start - w.start, f.stop - w.start) for f, w in zip(frame, window, strict=True))
    return rows, cols


class Work:
    """A panel: both images with a level taken off, so that sums keep their digits, and tables of every place."""

    def __init__(self, task: Task, kernel: str, chips: Chips, part: Part) -> None:
        here, self.wanted = (part.box.rows, part.box.cols), part.wanted
        self.task, self.kernel, self.level, self.gone = task, kernel, part.level, chips.validity.gone
        every = np.array([[0, 2 * task.search[0], 0, 2 * task.search[1]]])
        self.within = np.repeat(every[None], self.wanted.shape[0], axis=0)
        """(posts down, posts across or 1, 4): samples of a surface among which a peak is looked for."""
        if task.within is not None:
            middle = np.repeat(task.search, 2)
            self.within = np.ascontiguousarray(np.moveaxis(task.within[:, *here], 0, -1) + middle, np.int64)
        self.torn = self.wanted & ~chips.whole[here]
        """(posts down, posts across): pixels of the chip are missing."""
        self.clean = self.wanted & chips.validity.clean[here]
        """Nothing is missing, neither of the chip nor of its area."""
        self.partial = self.wanted & ~self.clean
        self.down, self.across = (axis(*each) for each in zip(self.wanted.shape, task.chip, task.step, strict=True))
        self.least = task.min_valid * task.chip[0] * task.chip[1]
        """Number of pixels that must be valid in both."""
        self.mean = np.asarray(chips.mean[here] - self.level, np.float32)
        deviation = chips.spread[here] * np.sqrt(task.chip[0] * task.chip[1])
        self.inverse = np.asarray(1 / np.maximum(deviation, 1e-30), np.float32)
        starts = [where.start * step for where, step in zip(here, task.step, strict=True)]
        sizes = int(self.down.edges[-1]), int(self.across.edges[-1])
        self.chip_window = tuple(slice(at, at + size) for at, size in zip(starts, sizes, strict=True))
        """Rows and columns of the reference under the panel."""
        self.area_window = tuple(
            slice(at, at + size + 2 * (search + MARGIN))
            for at, size, search in zip(starts, sizes, task.search, strict=True)
        )
        """Rows and columns of the secondary."""
        self.frame = _within_frame(chips.validity.frame, self.area_window)
        """Rows and columns of `b` outside which all is missing, and nothing else is; None where it is not so."""
        self.corners = np.array([end for part in self.frame or () for end in (part.start, part.stop)], np.int64)
        """First row, row after the last, first column and column after the last of these."""
        self.a = self._levelled("a", task.reference, task.reference_valid, self.chip_window, 0)
        self.b = self._levelled("b", task.secondary, task.secondary_valid, self.area_window, _EXTRA)
        self.count, self.total, self.scale = self._tables()

    def _levelled(self, name: str, image: Floats, valid: Any, window: Any, extra: int) -> Floats:
        pixels = image[window]
        out = take(name, (pixels.shape[0], pixels.shape[1] + extra))
        out[:, pixels.shape[1] :] = 0
        if valid is None:
            np.subtract(pixels, self.level, out=out[:, : pixels.shape[1]])
        else:
            surfaces.level_off(pixels, valid[window], self.level, out)
        return out

    def _tables(self) -> tuple[Floats, Floats, Floats]:
        """Count, sum and 1 / root of the summed square deviation of the area under a chip at every place."""
        h, w = self.task.chip
        shape = self.b.shape[0] - h + 1, self.b.shape[1] - _EXTRA - w + 1
        rows, count = np.full(shape[0], h, np.float32), np.full((1, shape[1]), w, np.float32)
        if self.frame is not None:
            for number, stretch, size in zip((rows, count[0]), self.frame, (h, w), strict=True):
                first = np.arange(number.size)
                number[:] = np.maximum(covered(stretch, first, first + size), 1)
        elif self.partial.any() and self.task.secondary_valid is not None:
            valid = self.task.secondary_valid[self.area_window].view(np.uint8)
            sums = cv2.boxFilter(valid, cv2.CV_32F, (w, h), anchor=(0, 0), normalize=False)
            count = take("count", shape)
            np.maximum(sums[: shape[0], : shape[1]], 1, out=count)
            rows[:] = 1
        total, scale = take("total", shape), take("scale", shape)
        surfaces.tabulate(self.b, h, w, rows, count, total, scale, take("lines", (5, self.b.shape[1] + 1), np.float64))
        return count, total, scale

    @cached_property
    def pairs(self) -> list[tuple[Floats, Floats]]:
        """What is multiplied for each of the sums of `masked`."""
        return [
            (self.a, self.b),
            (self.a, self.mask_b),
            (self.square_a, self.mask_b),
            (self.mask_a, self.mask_b),
            (self.mask_a, self.b),
            (self.mask_a, self.square_b),
        ]

    @cached_property
    def square_a(self) -> Floats:
        """Squares of the reference."""
        return np.square(self.a, out=take("square_a", self.a.shape))

    @cached_property
    def square_b(self) -> Floats:
        """Squares of the secondary."""
        return np.square(self.b, out=take("square_b", self.b.shape))

    @cached_property
    def mask_a(self) -> Floats:
        """1 where a pixel of the reference is valid."""
        out, valid = take("mask_a", self.a.shape), self.task.reference_valid
        out[:] = 1 if valid is None else valid[self.chip_window]
        return out

    @cached_property
    def mask_b(self) -> Floats:
        """1 where a pixel of the secondary is valid."""
        out, valid = take("mask_b", self.b.shape), self.task.secondary_valid
        out[:, :-_EXTRA] = 1 if valid is None else valid[self.area_window]
        out[:, -_EXTRA:] = 0
        return out

    def constant(self, extra: int) -> NDArray[np.uint8]:
        """(blocks down, blocks across): 1 where the partners of all pixels of a block are valid at every shift.

        Shifts reach `extra` px beyond the search.
        """
        axes = list(zip((self.down, self.across), self.area_window, self.task.search, strict=True))
        if self.task.secondary_valid is None:
            return np.ones(tuple(each.edges.size - 1 for each, _, _ in axes), np.uint8)
        ends = []
        for each, window, search in axes:
            first = window.start + MARGIN - extra
            ends.append((first + each.edges[:-1], first + each.edges[1:] + 2 * (search + extra)))
        return np.asarray(within(self.gone, *ends) == 0, np.uint8)

    @cached_property
    def block_sums(self) -> Floats:
        """(3, blocks down, blocks across): sum of a, of a^2, and number of valid pixels of each block."""
        sums = _block_sums(self.a, self.down, self.across)
        number: NDArray[Any] = np.multiply.outer(self.down.sizes, self.across.sizes)
        if self.task.reference_valid is not None:
            number = _block_sums(self.mask_a, self.down, self.across)[0]
        return np.stack([*sums, number]).astype(np.float32)


class Part(NamedTuple):
    """Posts of a panel whose chips have about one level."""

    level: np.float32
    box: Panel
    wanted: NDArray[np.bool_]
    """(posts down, posts across) of the panel."""
