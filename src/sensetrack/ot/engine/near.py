"""Surfaces close to single peaks: where they reach beyond the search, and where missing pixels blur them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.ot.correlation import FLAT
from sensetrack.ot.engine import kernels, masked, peaks, surfaces
from sensetrack.ot.engine.panel import running
from sensetrack.ot.engine.scratch import take

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sensetrack.ot.engine.panel import Work
    from sensetrack.ot.engine.rows import Found
    from sensetrack.ot.engine.valid import Frame

    Array = NDArray[Any]

_AT_ONCE = 32
"""Chips that are worked on together: enough to be quick, few enough for a cache."""
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
    for start in range(0, rows.size, _AT_ONCE):
        posts = rows[start : start + _AT_ONCE], cols[start : start + _AT_ONCE]
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
    surfaces.normalise(out, mean, inverse, work.total, work.scale, spots.top, spots.left, _SIDE, _SIDE, _PITCH)
    return _squares(out)


def _partial(spots: _Spots) -> Array:
    work, out = spots.work, _room(masked.PLANES, spots.every.size)
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
    kept = _kept(spots) if work.frame is None else _kept_in_frame(spots, work.frame)
    number, sum_a, square_a, (cross, sum_b, square_b) = kept
    safe = np.maximum(number, 1)
    power_a, power_b = square_a - sum_a**2 / safe, square_b - sum_b**2 / safe
    textured = (power_a > FLAT * safe) & (power_b > FLAT * safe)
    surface = np.clip((cross - sum_a * sum_b / safe) / np.sqrt(np.where(textured, power_a * power_b, 1)), -1, 1)
    middle = surface[:, _REACH - 1 : _REACH + 2, _REACH - 1 : _REACH + 2]
    enough = (number[:, 0, 0] >= work.least / 2) & textured.all(axis=(1, 2))
    enough &= middle.max(axis=(1, 2)) == middle[:, 1, 1]
    if enough.any():
        _write(spots.only(enough), surface[enough], found)


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


def _kept_in_frame(spots: _Spots, frame: Frame) -> _Sums:
    """Sum over what lasts of chips whose area is valid in a rectangle: a rectangle of each."""
    work, n = spots.work, spots.every.size
    places = list(zip((spots.row, spots.col), (spots.top, spots.left), work.task.chip, frame, strict=True))
    first = [np.clip(within.start - there, 0, size) for _, there, size, within in places]
    last = [
        np.clip(within.stop - (_SIDE - 1) - there, at, size)
        for at, (_, there, size, within) in zip(first, places, strict=True)
    ]
    chips = take("chips", (n, *work.task.chip))
    chips[:] = 0
    for k, (y, yy, x, xx) in enumerate(np.stack([first[0], last[0], first[1], last[1]], axis=1).tolist()):
        row, col = spots.row[k], spots.col[k]
        chips[k, y:yy, x:xx] = work.a[row + y : row + yy, col + x : col + xx]
    out = _room(1, n)[0]
    spots.correlate_own(chips, work.b, out)
    own = [
        [(at + here)[:, None] for at in (low, high)] for (here, *_), low, high in zip(places, first, last, strict=True)
    ]
    sums_a = [_rectangles(one, *own) for one in work.running_a]
    around = [slice(there.min(), there.max() + size + _SIDE - 1) for _, there, size, _ in places]
    shifts = np.arange(_SIDE)
    other = [
        [(at + there - part.start)[:, None] + shifts for at in (low, high)]
        for (_, there, *_), part, low, high in zip(places, around, first, last, strict=True)
    ]  # fmt: skip
    sums_b = [_rectangles(one, *other) for one in running(work.b[*around], "b")]
    number = ((last[0] - first[0]) * (last[1] - first[1]))[:, None, None]
    return number, *sums_a, np.stack([_squares(out.astype(float)), *sums_b])


def _rectangles(sums: Array, rows: list[Array], cols: list[Array]) -> Array:
    """Take sums over rectangles from running sums; first and last (n, k) along both axes -> (n, k, k)."""
    (top, bottom), (left, right) = ([at[:, :, None] for at in rows], [at[:, None] for at in cols])
    return np.asarray((sums[bottom, right] - sums[top, right]) - (sums[bottom, left] - sums[top, left]))


def _write(spots: _Spots, surface: Array, found: Found) -> None:
    number = len(surface)
    patches, new = np.zeros((number, _SIDE, _LANES)), np.zeros((number, peaks.FIELDS))
    patches[:, :, :_SIDE] = surface
    new[:, [peaks.AT_ROW, peaks.AT_COL]] = spots.middle
    peaks.refine(patches, np.full(number, peaks.FOUND, np.uint8), peaks.table(), np.empty(peaks.ROOM), new)
    # Height, noise and second peak stay those of the masked surface: they are compared with each other.
    for field in (peaks.ROW, peaks.COL, peaks.SCORE, peaks.BY_ROW, peaks.BY_COL, peaks.MIXED):
        found.peaks[(*spots.posts, field)] = new[:, field]
