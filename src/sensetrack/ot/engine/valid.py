"""Where pixels are missing, counted once for all chips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from sensetrack.ot.peak import MARGIN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.ot.engine.task import Task

Frame = tuple[slice, slice]
"""Rows and columns of a rectangle."""
Ends = tuple[Any, Any]
"""Where windows start and where they end, along one axis: index arrays."""


class Validity(NamedTuple):
    """What is missing of each chip and its area; arrays (posts down, posts across) but for the last."""

    number: NDArray[np.int64]
    """Valid pixels of the chip."""
    clean: NDArray[np.bool_]
    """True where no pixel of the chip nor of its area is missing."""
    share: NDArray[np.float64]
    """Valid share of the chip, or of the place it covers in the secondary where that is less."""
    gone: NDArray[np.int32]
    """Running sums of the missing pixels of the secondary (`missing`); empty where neither image misses any, and where
    there is a frame."""
    frame: Frame | None
    """Where all that is missing lies outside a rectangle of the secondary, as at the border of an image: that."""


def missing(valid: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return running sums of what is not valid, (rows + 1, cols + 1): `within` reads them."""
    return np.asarray(cv2.integral((~valid).view(np.uint8)))


def within(sums: NDArray[Any], rows: Ends, cols: Ends) -> NDArray[Any]:
    """Return the sums over rectangles: every run of rows with every run of columns."""
    (top, bottom), (left, right) = rows, cols
    total = sums[np.ix_(bottom, right)] - sums[np.ix_(top, right)] - sums[np.ix_(bottom, left)]
    return np.asarray(total + sums[np.ix_(top, left)])


def framed(valid: NDArray[np.bool_]) -> Frame | None:
    """Return the rectangle that is valid where nothing else is, and all of it; None otherwise."""
    number = np.count_nonzero(valid)
    if not number:
        return None
    # Corner to corner, and as many pixels as are valid at all: so there is no other way than that it is all of them.
    top, left = (int(at) for at in np.unravel_index(int(valid.argmax()), valid.shape))
    height, width = np.count_nonzero(valid[:, left]), np.count_nonzero(valid[top])
    frame = slice(top, top + height), slice(left, left + width)
    return frame if height * width == number == np.count_nonzero(valid[frame]) else None


def covered(stretch: slice, start: Any, end: Any) -> NDArray[np.int64]:
    """Count the pixels of windows along an axis that lie within a stretch of it."""
    return np.asarray(np.maximum(np.minimum(end, stretch.stop) - np.maximum(start, stretch.start), 0))


def _in_frame(task: Task, frame: Frame) -> Validity:
    """Count what is missing where all of the reference is valid, and a rectangle of the secondary."""
    pixels, shape = task.chip[0] * task.chip[1], tuple(task.posts)
    clean, share = np.ones(shape, bool), np.ones(shape)
    for axis, stretch in enumerate(frame):
        margin, size = task.search[axis] + MARGIN, task.chip[axis]
        start = (np.arange(shape[axis]) * task.step[axis]).reshape((-1, 1) if axis == 0 else (1, -1))
        clean &= covered(stretch, start, start + size + 2 * margin) == size + 2 * margin
        share *= covered(stretch, start + margin, start + margin + size) / size
    return Validity(np.full(shape, pixels), clean, share, np.zeros((0, 0), np.int32), frame)


def validity(task: Task) -> Validity:
    """Count what is missing of every chip and area of a tile."""
    if task.reference_valid is None and task.secondary_valid is not None:
        frame = framed(task.secondary_valid)
        if frame is not None:
            return _in_frame(task, frame)
    halo = task.search[0] + MARGIN, task.search[1] + MARGIN
    starts = [np.arange(n) * step for n, step in zip(task.posts, task.step, strict=True)]
    chips = [(at, at + size) for at, size in zip(starts, task.chip, strict=True)]
    pixels = task.chip[0] * task.chip[1]
    number, gone = np.full(task.posts, pixels), np.zeros((0, 0), np.int32)
    if task.reference_valid is not None:
        number = pixels - within(missing(task.reference_valid), *chips)
        gone = np.zeros((task.secondary.shape[0] + 1, task.secondary.shape[1] + 1), np.int32)
    share, clean = number / pixels, number == pixels
    if task.secondary_valid is not None:
        gone = missing(task.secondary_valid)
        areas = [(start, end + 2 * more) for (start, end), more in zip(chips, halo, strict=True)]
        under = [(start + more, end + more) for (start, end), more in zip(chips, halo, strict=True)]
        clean &= within(gone, *areas) == 0
        share = np.minimum(share, 1 - within(gone, *under) / pixels)
    return Validity(number, clean, share, gone, None)
