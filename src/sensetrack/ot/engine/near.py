"""Surfaces close to single peaks: where they reach beyond the search, and where missing pixels blur them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.ot.correlation import FLAT
from sensetrack.ot.engine import framed, kernels, masked, peaks, surfaces
from sensetrack.ot.engine.scratch import take

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sensetrack.ot.engine.panel import Work
    from sensetrack.ot.engine.rows import Found

    Array = NDArray[Any]

_AT_ONCE = 2**18
"""Pixels of the chips that are worked on together: enough to be quick, few enough for a cache."""
_SIDE, _LANES, _REACH = peaks.SIDE, peaks.LANES, peaks.REACH
_PITCH = _LANES + 1


class _Spots:
    """Some posts of a panel, each with the sample of its surface that a patch is wanted around."""

    def __init__(self, work: Work, posts: tuple[Array, Array], middle: Array) -> None:
        self.work, self.posts, self.middle = work, posts, middle
        task = work.task
        self.row, self.col = (each * step for each, step in zip(posts, task.step, strict=True))
        # The middle of an area lies search + margin from its first pixel; a patch starts its reach, the margin, before.
        self.top = self.row + task.search[0] + middle[:, 0].astype(np.int64)
        self.left = self.col + task.search[1] + middle[:, 1].astype(np.int64)
        starts = [window.start for window in work.area_window]
        self.in_tile = self.top + starts[0], self.left + starts[1]
        """First partner of each chip, in the secondary of the whole tile."""
        self.every = np.ones(len(middle), np.uint8)

    def only(self, which: Array) -> _Spots:
        """Return some of them."""
        return _Spots(self.work, (self.posts[0][which], self.posts[1][which]), self.middle[which])

    def correlate(self, a: Array, b: Array, out: Array) -> None:
        """Sum products of each chip, where it lies in `a`, with `b`."""
        self._sum(a, b, self.row, self.col, out)

    def correlate_own(self, chips: Array, b: Array, out: Array) -> None:
        """Sum products of chips (n, h, w) with `b`."""
        each = np.arange(len(chips))
        self._sum(chips.reshape(-1, chips.shape[2]), b, each * chips.shape[1], 0 * each, out)

    def _sum(self, a: Array, b: Array, row: Array, col: Array, out: Array) -> None:
        (h, w), at = self.work.task.chip, np.arange(len(row)) * _SIDE * _PITCH
        places = np.stack([row, col, self.top, self.left, np.full(len(row), w), at], axis=1)
        sums = kernels.sums(self.work.kernel, _SIDE, _LANES, h, w)
        sums(a, b, places, self.every, h, _SIDE, _LANES, _PITCH, out.reshape(-1))


def _groups(work: Work, which: Array, found: Found, fields: list[int]) -> Iterator[_Spots]:
    """Yield a few posts at a time, and the samples that `fields` of their peaks are nearest to."""
    rows, cols = np.nonzero(which)
    number = max(_AT_ONCE // (work.task.chip[0] * work.task.chip[1]), 1)
    for start in range(0, rows.size, number):
        posts = rows[start : start + number], cols[start : start + number]
        yield _Spots(work, posts, np.round(found.peaks[posts][:, fields]))


def complete(work: Work, found: Found) -> None:
    """Fill the patches of peaks whose surroundings reach beyond the search."""
    still_open = work.wanted & (found.states == peaks.OPEN)
    for which, patches in ((still_open & work.clean, _clean), (still_open & work.partial, _partial)):
        for spots in _groups(work, which, found, [peaks.AT_ROW, peaks.AT_COL]):
            found.patches[(*spots.posts, slice(None), slice(_SIDE))] = patches(spots)
            found.states[spots.posts] = peaks.FOUND


def _room(planes: int, number: int) -> Array:
    return take("near", (planes, number, _SIDE * _PITCH))


def _squares(lines: Array) -> Array:
    """(..., SIDE * pitch) -> (..., SIDE, SIDE)."""
    return np.asarray(lines.reshape(*lines.shape[:-1], _SIDE, _PITCH)[..., :_SIDE])


def _clean(spots: _Spots) -> Array:
    work, out = spots.work, _room(1, spots.every.size)[0]
    spots.correlate(work.a, work.b, out)
    mean, inverse = work.mean[spots.posts], work.inverse[spots.posts]
    tables, room = (work.total, work.scale, spots.top, spots.left), take("surface", (_SIDE * _PITCH,))
    surfaces.normalise(out, mean, inverse, *tables, _SIDE, _SIDE, _PITCH, room)
    return _squares(out)


def _partial(spots: _Spots) -> Array:
    work, out = spots.work, _room(masked.PLANES, spots.every.size)
    if work.frame is not None:
        spots.correlate(work.a, work.b, out[0])
        framed.normalise(
            out[0], spots.every, work.a, spots.row, spots.col, spots.top, spots.left, work.corners, *work.task.chip,
            work.total, work.scale, _SIDE, _SIDE, _PITCH, work.least, *framed.room(work.task.chip, _SIDE),
        )  # fmt: skip
        return _squares(out[0])
    for plane, (a, b) in enumerate(work.pairs):
        spots.correlate(a, b, out[plane])
    torn = work.torn[spots.posts].view(np.uint8)
    tables = work.count, work.total, work.scale, spots.top, spots.left
    masked.normalise(out, spots.every, torn, *tables, _SIDE, _SIDE, _PITCH, work.least)
    return _squares(out[masked.CROSS])


def settle(work: Work, found: Found) -> None:
    """Measure peaks of partly valid chips again, on pixels that stay valid for every shift around the peak.

    As in `sensetrack.ot.matching`: between its samples the masked surface is not smooth, as every sample compares
    other pixels. Where none is missing near the peak there is nothing to be done.
    """
    which = work.partial & (found.states == peaks.FOUND)
    for spots in _groups(work, which, found, [peaks.ROW, peaks.COL]):
        if work.frame is not None:
            _settle_framed(spots, found)
            continue
        touched = _touched(spots)
        if touched.any():
            _settle(spots.only(touched), found)


def _touched(spots: _Spots) -> Array:
    """Tell chips that miss a pixel, or meet a missing one at a shift around the peak."""
    gone, (top, left) = spots.work.gone, spots.in_tile
    bottom, right = (at + size + _SIDE - 1 for at, size in zip((top, left), spots.work.task.chip, strict=True))
    count = gone[bottom, right] - gone[top, right] - gone[bottom, left] + gone[top, left]
    return np.asarray(spots.work.torn[spots.posts] | (count > 0))


def _settle(spots: _Spots, found: Found) -> None:
    work = spots.work
    number, sum_a, square_a, (cross, sum_b, square_b) = _kept(spots)
    safe = np.maximum(number, 1)
    power_a, power_b = square_a - sum_a**2 / safe, square_b - sum_b**2 / safe
    textured = (power_a > FLAT * safe) & (power_b > FLAT * safe)
    surface = np.clip((cross - sum_a * sum_b / safe) / np.sqrt(np.where(textured, power_a * power_b, 1)), -1, 1)
    enough = (number[:, 0, 0] >= work.least / 2) & textured.all(axis=(1, 2))
    _write(spots, surface, enough, found)


_Sums = tuple[Any, Any, Any, Any]
"""Number of the pixels that are kept, sum of a and of a^2 over them, (n, 1, 1), and the sums of a b, b and b^2,
(3, n, SIDE, SIDE)."""


def _kept(spots: _Spots) -> _Sums:
    """Sum over what lasts of chips: pixels valid with all their partners around the peak."""
    work, shape = spots.work, (spots.every.size, *spots.work.task.chip)
    lasting, chips = take("lasting", shape), take("chips", shape)
    masked.cut(work.a, work.mask_a, work.gone, spots.row, spots.col, *spots.in_tile, _SIDE, chips, lasting)
    out = _room(3, spots.every.size)
    for a, b, plane in ((chips, work.b, 0), (lasting, work.b, 1), (lasting, work.square_b, 2)):
        spots.correlate_own(a, b, out[plane])
    number, sum_a = (part.sum(axis=(1, 2), dtype=float)[:, None, None] for part in (lasting, chips))
    square_a = np.einsum("kyx,kyx->k", chips, chips, dtype=float)[:, None, None]
    return number, sum_a, square_a, _squares(out.astype(float))


def _settle_framed(spots: _Spots, found: Found) -> None:
    """Do so where all that is missing lies outside a rectangle of the area."""
    work, (height, width) = spots.work, spots.work.task.chip
    (top, bottom, first, last), more = work.corners.tolist(), _SIDE - 1
    kept = np.empty((spots.every.size, 4), np.int64)
    kept[:, 0], kept[:, 2] = np.clip(top - spots.top, 0, height), np.clip(first - spots.left, 0, width)
    kept[:, 1] = np.clip(bottom - more - spots.top, kept[:, 0], height)
    kept[:, 3] = np.clip(last - more - spots.left, kept[:, 2], width)
    touched = (kept != np.array([0, height, 0, width])).any(axis=1)
    if not touched.any():
        return
    spots, kept = spots.only(touched), kept[touched]
    patches = found.patches[spots.posts]
    # The patch of a peak tells most of it where none is missing of it, and the top is nearest to the highest sample.
    known = patches.min(axis=(1, 2)) >= -1
    known &= (found.peaks[spots.posts][:, [peaks.AT_ROW, peaks.AT_COL]] == spots.middle).all(axis=1)
    for which, strips in ((known, True), (~known, False)):
        if which.any():
            part, some = spots.only(which), patches[which]
            enough = _lasting(part, kept[which], some, strips=strips)
            _write(part, some[:, :, :_SIDE], enough, found)


def _lasting(spots: _Spots, kept: Array, patches: Array, *, strips: bool) -> Array:
    """Make the correlations of what lasts of chips, by its own products or by those of the strips around it.

    They are written over the masked ones; returned is where they are to be trusted.
    """
    work, n, (height, width) = spots.work, spots.every.size, spots.work.task.chip
    line, at, out = _SIDE * _PITCH, (spots.row, spots.col, spots.top, spots.left), _room(4, n).reshape(n, 4, -1)
    if strips:
        pieces, some = _strips(spots, kept, line)
    else:
        chips, some = take("chips", (n, height, width)), np.zeros((4, 0), np.uint8)
        framed.cut(work.a, *at[:2], kept, chips)
        each = np.arange(n)
        places = np.stack([each * height, 0 * each, *at[2:], 0 * each + width, 4 * line * each], axis=1)
        pieces = [(chips.reshape(-1, width), places, spots.every, height)]
    sums = kernels.sums(work.kernel, _SIDE, _LANES, height, width)
    for pixels, places, wanted, rows in pieces:
        sums(pixels, work.b, places, wanted, rows, _SIDE, _LANES, _PITCH, out.reshape(-1))
    enough, room = np.zeros(n, np.uint8), framed.room(work.task.chip, _SIDE)
    framed.settled(
        work.a, work.b, *at, work.corners, height, width, work.total, work.scale, work.least / 2, kept, out, _PITCH,
        some, patches, enough, *room, take("area", (2, _SIDE, _SIDE), np.float64),
    )  # fmt: skip
    return enough.view(bool)


def _strips(spots: _Spots, kept: Array, line: int) -> tuple[list[tuple[Array, Array, Array, int]], Array]:
    """Lay out the strips around what lasts of chips.

    Returned is what to correlate, with places and which are wanted (see `kernels.Sums`), and rows: strips above and
    below are copied, with 0 around them up to a certain height; those left and right, over the whole height of a
    chip, are not. And where there is a strip: above, below, left, right.
    """
    work, n, (height, width) = spots.work, spots.every.size, spots.work.task.chip
    high, two = min(_SIDE - 1, height), (2, spots.every.size)
    each, (row, col, top, left) = np.arange(n), (spots.row, spots.col, spots.top, spots.left)
    lying, upright, across = np.empty((*two, 6), np.int64), np.empty((*two, 6), np.int64), kept[:, 3] - kept[:, 2]
    (first, last), (start, end) = (
        framed.strips(kept, axis, size, _SIDE - 1) for axis, size in ((0, height), (1, width))
    )
    begin = np.minimum(first, height - high)
    chips, inside = take("chips", (2 * n, high, width)), np.empty((*two, 4), np.int64)
    for at, values in enumerate((first - begin, last - begin, kept[:, 2], kept[:, 3])):
        inside[..., at] = values
    framed.cut(work.a, (row + begin).ravel(), np.tile(col, 2), inside.reshape(-1, 4), chips)
    at_out = 4 * line * each + line * np.arange(4)[:, None]
    copied = np.arange(2 * n).reshape(two) * high
    for at, values in enumerate((copied, kept[:, 2], top + begin, left + kept[:, 2], across, at_out[:2])):
        lying[..., at] = values
    for at, values in enumerate((row, col + start, top, left + start, end - start, at_out[2:])):
        upright[..., at] = values
    some = np.concatenate([(last > first) & (across > 0), end > start]).view(np.uint8)
    return [
        (chips.reshape(-1, width), lying.reshape(-1, 6), some[:2].ravel(), high),
        (work.a, upright.reshape(-1, 6), some[2:].ravel(), height),
    ], some


def _write(spots: _Spots, surface: Array, enough: Array, found: Found) -> None:
    """Refine the peaks of surfaces that still have their highest sample in the middle."""
    middle = surface[:, _REACH - 1 : _REACH + 2, _REACH - 1 : _REACH + 2]
    enough &= middle.max(axis=(1, 2)) == middle[:, 1, 1]
    if not enough.any():
        return
    spots, surface = spots.only(enough), surface[enough]
    number = len(surface)
    patches, new = np.zeros((number, _SIDE, _LANES), np.float32), np.zeros((number, peaks.FIELDS))
    patches[:, :, :_SIDE] = surface
    new[:, [peaks.AT_ROW, peaks.AT_COL]] = spots.middle
    peaks.refine(patches, np.full(number, peaks.FOUND, np.uint8), peaks.table(), np.empty(peaks.ROOM), new)
    # Height, noise and second peak stay those of the masked surface: they are compared with each other.
    for field in (peaks.ROW, peaks.COL, peaks.SCORE, peaks.BY_ROW, peaks.BY_COL, peaks.MIXED):
        found.peaks[(*spots.posts, field)] = new[:, field]


def load() -> None:
    """Load or compile what comes last and takes longest, peaks and borders, without anything to match."""
    peaks.load()
    framed.load()
