"""Chips of a complex image found in another by their complex correlation, fringes taken away.

What the engine of `sensetrack.ot.engine` does for real images is done here for complex ones, from the same sums of
blocks: for each shift the products of neighbouring chips are mostly the same, so they are summed over small blocks
once. Of a chip's blocks the fringes between the two images can be seen, and taken away, before they are added up.
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from math import log
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from sensetrack.ot.engine import best_kernel, kernels
from sensetrack.ot.engine.scratch import take
from sensetrack.sar import coherent_kernels as loops
from sensetrack.sar import coherent_peaks as tops
from sensetrack.sar.coherent_kernels import REACH

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.sar.spectrum import Axis

    Floats = NDArray[np.float32]
    Pair = tuple[int, int]

_IN_CACHE = 2**23
"""Bytes of sums that the rows of blocks of a panel may keep."""
_PIECES = 7
"""Blocks of a chip along an axis, at least: half as many fringes can be told apart."""
_EXTRA = 3
"""Columns right of an area that vectors may read."""
_PLANES = 3


class Chips(NamedTuple):
    """What is to be found; pairs are rows and columns, px."""

    reference: NDArray[np.complex64]
    """(rows, cols): chip [i, j] starts at (i step, j step); NaN = missing."""
    secondary: NDArray[np.complex64]
    """The same with search + `REACH` more on every side."""
    chip: Pair
    step: Pair
    posts: Pair
    search: Pair
    min_valid: float


class Found(NamedTuple):
    """Where the chips went, (posts down, posts across); NaN where there is nothing to say."""

    d_row: NDArray[np.float64]
    d_col: NDArray[np.float64]
    """px."""
    score: NDArray[np.float64]
    """Coherence."""
    snr: NDArray[np.float64]
    """Coherence over the mean magnitude of the surface away from the peak."""
    peak_ratio: NDArray[np.float64]
    variance: NDArray[np.float64]
    """(..., 2): of d_row and of d_col, px^2."""
    fringes: NDArray[np.float64]
    """(..., 2): frequency of the fringes between the images, cycles a pixel, down and across."""
    excess: NDArray[np.float64]
    """Minus the natural logarithm of the chance that noise has such a peak; below 0 where it is nothing special."""
    state: NDArray[np.uint8]
    """0: nothing; 1: found; 2: on the edge of the search."""


class Blocks(NamedTuple):
    """The blocks along one axis; see `sensetrack.ot.engine.layout.Axis`."""

    edges: NDArray[np.int64]
    first: NDArray[np.int64]
    number: int

    @property
    def middles(self) -> Floats:
        """Middles of a chip's blocks against its own, px."""
        edges = self.edges[: self.number + 1] - self.edges[self.number] / 2
        return np.asarray((edges[1:] + edges[:-1]) / 2, np.float32)


def blocks(posts: int, chip: int, step: int) -> Blocks:
    """Lay blocks between all places where a chip starts or ends, and cut long ones."""
    starts = np.arange(posts) * step
    places = np.union1d(starts, starts + chip)
    if step < chip:  # every step alike, so that all chips have the same blocks
        whole = np.arange(0, starts[-1] + chip, step)
        places = np.union1d(places, np.concatenate([whole, whole + chip % step]))
        places = places[places <= starts[-1] + chip]
    most = -(-chip // _PIECES)
    edges = np.array([edge for a, b in pairwise(places.tolist()) for edge in _cut(a, b, most)] + [places[-1]])
    first = np.searchsorted(edges, starts)
    return Blocks(edges, first, int(np.searchsorted(edges, chip)))


def _cut(start: int, stop: int, most: int) -> list[int]:
    """Return the starts of the pieces of a block, each of at most `most` px."""
    pieces = -(-(stop - start) // most)
    return [start + (stop - start) * i // pieces for i in range(pieces)]


class Tones(NamedTuple):
    """The frequencies of fringes that are tried along one axis."""

    tones: NDArray[np.float64]
    """Cycles a pixel; 0 is in the middle."""
    cos: Floats
    sin: Floats
    """(frequencies, blocks): of exp(-2 pi i f x)."""


def tones(layout: Blocks) -> Tones:
    """Choose frequencies half a cycle a chip apart, up to what its blocks can tell."""
    middles, chip = layout.middles, float(layout.edges[layout.number])
    most = layout.number // 2 + 1
    widest = float(np.diff(layout.edges).max())
    most = min(most, int(chip / (2 * widest)) + 1)
    each = np.arange(-2 * most, 2 * most + 1) / (2 * chip)
    angle = -2 * np.pi * each[:, None] * middles
    return Tones(each, np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32))


def match(chips: Chips, near: NDArray[np.int64], texture: NDArray[np.float64], axes: tuple[Axis, Axis]) -> Found:
    """Find every chip, in one thread.

    Parameters
    ----------
    chips : Chips
    near : ndarray of int
        (2, posts down, posts across): whole-pixel offset at which each may be as well, such as that of the amplitude;
        what lies beyond the search counts for nothing.
    texture : ndarray
        (posts down, posts across): by how much fewer pixels count, see `sensetrack.sar.chip_statistics.Worth`.
    axes : (Axis, Axis)
        Spectra, rows and columns.
    """
    table = np.full((*chips.posts, loops.FIELDS), np.nan)
    states = np.zeros(chips.posts, np.uint8)
    number = np.zeros(chips.posts)
    for columns in _panels(chips):
        panel = Panel(chips, columns, texture[:, columns], near[:, :, columns], axes)
        panel.run(table[:, columns], states[:, columns])
        number[:, columns] = panel.number / texture[:, columns]
    return _told(table, states, number, axes)


def _panels(chips: Chips) -> list[slice]:
    """Cut the posts of a tile into runs of columns whose sums fit a cache."""
    down, across = (blocks(*each) for each in zip(chips.posts, chips.chip, chips.step, strict=True))
    line = 4 * (2 * (chips.search[0] + REACH) + 1) * (2 * (chips.search[1] + REACH) + 2)
    per_step = max((across.edges.size - 1) / chips.posts[1], 1)
    most = _IN_CACHE / (_PLANES * down.number * line * per_step) - across.number / per_step
    most = max(int(most), across.number // int(per_step) + 1, 4)
    pieces = -(-chips.posts[1] // most)
    wide = -(-chips.posts[1] // pieces)
    return [slice(j, min(j + wide, chips.posts[1])) for j in range(0, chips.posts[1], wide)]


def _told(table: NDArray[Any], states: NDArray[np.uint8], number: NDArray[Any], axes: tuple[Axis, Axis]) -> Found:
    """Turn tables of peaks into what is reported."""
    height = table[..., loops.HEIGHT]
    (high_down, place_down), (high_across, place_across) = axes[0].information, axes[1].information
    samples = np.maximum(number, 1) * high_down * high_across
    # The noise is worth one independent sample: so much of the coherence comes of itself.
    share = np.clip((height**2 - (1 - height**2) / np.maximum(samples, 1)), 1e-6, 1)
    spread = (1 - share + 1e-6) / (2 * share * np.maximum(number, 1))
    variance = np.stack([spread / (place_down * high_across), spread / (high_down * place_across)], axis=-1)
    ratio = height / np.maximum(table[..., loops.SECOND], 1e-3 * np.maximum(height, 1e-3))
    fringes = table[..., loops.ROW_FRINGE : loops.COL_FRINGE + 1]
    snr = height / np.maximum(table[..., loops.NOISE], 1e-3)
    row, col = table[..., loops.ROW], table[..., loops.COL]
    return Found(row, col, height, snr, ratio, variance, fringes, table[..., loops.EXCESS], states)


class Panel:
    """Some columns of the posts of a tile."""

    def __init__(
        self,
        chips: Chips,
        columns: slice,
        texture: NDArray[np.float64],
        near: NDArray[np.int64],
        axes: tuple[Axis, Axis],
    ) -> None:
        self.chips, self.axes, self.texture = chips, axes, texture
        self.posts = chips.posts[0], columns.stop - columns.start
        self.down, self.across = (blocks(*each) for each in zip(self.posts, chips.chip, chips.step, strict=True))
        self.tones = tones(self.down), tones(self.across)
        left, right = columns.start * chips.step[1], (columns.stop - 1) * chips.step[1] + chips.chip[1]
        high = (chips.posts[0] - 1) * chips.step[0] + chips.chip[0]
        more = [2 * (search + REACH) for search in chips.search]
        own, good_a = _whole(chips.reference[:high, left:right])
        area, good_b = _whole(chips.secondary[: high + more[0], left : right + more[1]])
        self.a, self.b = _parts("chip", own, (1, 1)), _parts("area", area, (-1, _EXTRA))
        self.rows, self.cols = (2 * (search + REACH) + 1 for search in chips.search)
        self.pitch = self.cols + 1
        self.spread, count = _energies(area, good_b, chips.chip)
        energies, number = _energies(own, good_a, chips.chip)
        at = np.ix_(np.arange(self.posts[0]) * chips.step[0], np.arange(self.posts[1]) * chips.step[1])
        self.own, own_number = np.ascontiguousarray(energies[at]), number[at]
        middle = np.ix_(at[0].ravel() + more[0] // 2, at[1].ravel() + more[1] // 2)
        self.number: NDArray[Any] = np.minimum(own_number, count[middle])
        """Pixels of each chip that are valid in both images where nothing moves."""
        if good_a is not None or good_b is not None:
            # Roots of the mean energies of both, times the pixels they share: the fewer of the two.
            pixels = chips.chip[0] * chips.chip[1]
            self.own *= (np.sqrt(own_number * pixels) / np.maximum(self.number, 1)).astype(np.float32)
            self.spread *= np.sqrt(count / pixels).astype(np.float32)
        enough = self.number >= chips.min_valid * chips.chip[0] * chips.chip[1]
        self.wanted = enough & (self.own > 0) & (self.spread[middle] > 0)
        self.near = self._within(near)
        self.valid = good_a, good_b

    def _within(self, near: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return samples of the surfaces at offsets within the search; -1 elsewhere."""
        search = np.array(self.chips.search)[:, None, None]
        inside = (np.abs(near) <= search).all(axis=0)
        return np.ascontiguousarray(np.where(inside, near + search + REACH, -1).transpose(1, 2, 0))

    def run(self, table: NDArray[np.float64], states: NDArray[np.uint8]) -> None:
        """Go through the rows of blocks; write the peaks of each row of posts once its last block is there."""
        line, blocks_across = self.rows * self.pitch, self.across.edges.size - 1
        ring = take("complex ring", (_PLANES, blocks_across, self.down.number, line))
        done = {int(first) + self.down.number - 1: i for i, first in enumerate(self.down.first)}
        for b in range(self.down.edges.size - 1):
            blocks_wanted = self._needed(b)
            if blocks_wanted.any():
                self._add(b, blocks_wanted, ring)
            i = done.get(b)
            if i is not None and self.wanted[i].any():
                self._finish(i, ring, table, states)

    def _needed(self, b: int) -> NDArray[np.uint8]:
        """Tell which blocks of a row lie under wanted chips."""
        under = (self.down.first <= b) & (b < self.down.first + self.down.number)
        posts = self.wanted[under].any(axis=0)
        out = np.zeros(self.across.edges.size - 1, np.uint8)
        for first in self.across.first[posts]:
            out[first : first + self.across.number] = 1
        return out

    def _add(self, b: int, wanted: NDArray[np.uint8], ring: Floats) -> None:
        """Sum the products of a row of blocks."""
        start, height = int(self.down.edges[b]), int(self.down.edges[b + 1] - self.down.edges[b])
        slots, line = self.down.number, self.rows * self.pitch
        widths = np.diff(self.across.edges)
        places = np.empty((widths.size, 6), np.int64)
        places[:, 0], places[:, 2] = start, start
        places[:, 1] = places[:, 3] = self.across.edges[:-1]
        places[:, 4] = widths
        places[:, 5] = (np.arange(widths.size) * slots + b % slots) * line
        sums = kernels.sums(best_kernel(), self.rows, self.cols, height, int(widths.max()))
        for a, area, out in zip(self.a, self.b, ring, strict=True):
            sums(a, area, places, wanted, height, self.rows, self.cols, self.pitch, out.reshape(-1))
        loops.combine(ring, wanted, b % slots)

    def _finish(self, i: int, ring: Floats, table: NDArray[np.float64], states: NDArray[np.uint8]) -> None:
        """Make the surfaces of a row of posts, and find their peaks."""
        line, wanted = self.rows * self.pitch, self.wanted[i].view(np.uint8)
        planes = [take(f"complex {name}", (self.posts[1], line)) for name in ("real", "imaginary")]
        columns = take("complex columns", (self.across.number, line))
        for plane, out in zip(ring[:2], planes, strict=True):
            loops.add_up(plane, self.across.first, wanted, columns, out)
        power = take("complex power", (self.posts[1], self.rows, self.cols))
        peaks, found = np.full((self.posts[1], loops.FIELDS), np.nan), np.zeros(self.posts[1], np.uint8)
        first, own = int(self.down.first[i]), np.ascontiguousarray(self.own[i])
        top, left = int(self.down.edges[first]), self.across.edges[self.across.first]
        searched = 2 * self.chips.search[0] + 1, 2 * self.chips.search[1] + 1, self.pitch
        loops.judge(planes[0], planes[1], power, wanted, own, self.spread, top, left, searched, peaks)
        slots = np.arange(first, first + self.down.number) % self.down.number
        tops.refine(
            (ring[0], ring[1]), (planes[0], planes[1]), wanted, np.ascontiguousarray(self.near[i]),
            (own, self.spread), slots, self.across.first, self._layout, (*searched, top, left),
            self._chances(i), self._shared(i), self._room, peaks, found,
        )  # fmt: skip
        table[i], states[i] = peaks, found

    @cached_property
    def _layout(self) -> tuple[Any, ...]:
        """What `tops.refine` takes by this name."""
        down, across = self.tones
        return (
            (down.cos, down.sin, across.cos, across.sin),
            (self.down.middles, self.across.middles),
            (down.tones, across.tones),
            (self.axes[0].table, self.axes[1].table),
            (self.axes[0].centre, self.axes[1].centre),
        )

    @cached_property
    def _room(self) -> tuple[Any, ...]:
        return (
            np.empty((2, self.tones[0].tones.size, self.across.number), np.float32),
            np.empty((2, tops.SIDE, tops.SIDE)),
            np.empty((2, 4, tops.SIDE)),
        )

    def _shared(self, i: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixels that each chip of a row has in both images, by shift down and across; 1 where nothing is missing.

        What is missing is taken to be lines or columns, as at the borders of bursts, or to lie anywhere.
        """
        (h, w), top = self.chips.chip, i * self.chips.step[0]
        number, high, wide = self.posts[1], self.rows - 1, self.cols - 1
        down, across = np.ones((number, self.rows)), np.ones((number, self.cols))
        if self._counts is None:
            return down, across
        own, area = self._counts
        for j, left in enumerate((np.arange(number) * self.chips.step[1]).tolist()):
            missing = _inside(own, top, left, (h, w)) < h * w
            if not missing and _inside(area, top, left, (h + high, w + wide)) == (h + high) * (w + wide):
                continue
            at = left + wide // 2  # where nothing moves across; and then where nothing moves down
            by_row = np.diff(own[top : top + h + 1, left + w] - own[top : top + h + 1, left])
            under = np.diff(area[top : top + h + high + 1, at + w] - area[top : top + h + high + 1, at])
            down[j] = np.correlate(under, by_row)
            at, columns = top + high // 2, slice(left, left + w + wide + 1)
            by_col = np.diff(own[top + h, left : left + w + 1] - own[top, left : left + w + 1])
            across[j] = np.correlate(np.diff(area[at + h, columns] - area[at, columns]), by_col)
        return np.maximum(down, 1), np.maximum(across, 1)

    @cached_property
    def _counts(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Valid pixels above and left of every pixel of the chips and of the area; None: none is missing."""
        if self.valid[0] is None and self.valid[1] is None:
            return None
        shapes = self.a[0].shape, (self.b[0].shape[0], self.b[0].shape[1] - _EXTRA)
        layers = (np.ones(shape, bool) if good is None else good
                  for good, shape in zip(self.valid, shapes, strict=True))  # fmt: skip
        own, area = (np.asarray(cv2.integral(layer.view(np.uint8), sdepth=cv2.CV_64F), float) for layer in layers)
        return own, area

    def _chances(self, i: int) -> tuple[Any, ...]:
        """Independent samples of the chips of a row; logarithms of the numbers of shifts and fringes tried."""
        shifts = (2 * self.chips.search[0] + 1) * (2 * self.chips.search[1] + 1)
        fringes = self.tones[0].tones.size * self.tones[1].tones.size / 4
        samples = self.number[i] / self.texture[i] * self.axes[0].looks * self.axes[1].looks
        return samples, log(shifts), log(fringes)


def _whole(pixels: NDArray[np.complex64]) -> tuple[NDArray[np.complex64], NDArray[np.bool_] | None]:
    """Return pixels with 0 where they are missing, and where they are there; None: everywhere."""
    good = np.isfinite(pixels)
    if good.all():
        return pixels, None
    return np.where(good, pixels, np.complex64(0)), good


def _inside(total: NDArray[np.float64], top: int, left: int, size: Pair) -> float:
    """Sum over a window, from sums above and left."""
    bottom, right = top + size[0], left + size[1]
    return float(total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left])


def _parts(name: str, pixels: NDArray[np.complex64], shape: tuple[int, int]) -> list[Floats]:
    """Real part, imaginary part, and their sum or difference: what the three products are made of."""
    sign, extra = shape
    out = [take(f"{name} {k}", (pixels.shape[0], pixels.shape[1] + max(extra, 0))) for k in range(_PLANES)]
    wide = pixels.shape[1]
    for part in out:
        part[:, wide:] = 0
    out[0][:, :wide], out[1][:, :wide] = pixels.real, pixels.imag
    np.add(out[1], sign * out[0] if sign < 0 else out[0], out=out[2])
    return out


def _energies(
    pixels: NDArray[np.complex64], good: NDArray[np.bool_] | None, chip: Pair
) -> tuple[Floats, NDArray[np.float64]]:
    """1 / root of the energy under a chip (0: none), and the number of valid pixels, at every place that holds one."""
    h, w = chip

    def under(image: Any) -> NDArray[np.float64]:
        total = np.asarray(cv2.integral(image, sdepth=cv2.CV_64F))
        return np.asarray(total[h:, w:] - total[:-h, w:] - total[h:, :-w] + total[:-h, :-w])

    power = pixels.real**2
    power += pixels.imag**2
    energy = under(power)
    count = np.full(energy.shape, float(h * w)) if good is None else under(good.view(np.uint8))
    enough = energy > 1e-9 * max(float(power.mean()), 1e-30) * h * w
    return np.where(enough, 1 / np.sqrt(np.where(enough, energy, 1)), 0).astype(np.float32), count
