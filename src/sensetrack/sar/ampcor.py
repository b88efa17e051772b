"""Offsets by ISCE2's ampcor, from its written description: the same windows, the same numbers, none of its lost cells.

What each step computes is said in `sensetrack.sar.ampcor_stages`. Its bias (offsets of amplitude are drawn to whole
and half pixels) belongs to the method; `sensetrack.sar.offsets` measures without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from sensetrack import blocks
from sensetrack.errors import ConfigError, InputError
from sensetrack.grid import Grid
from sensetrack.ot.fields import Flag, OffsetField
from sensetrack.sar import ampcor_stages as stages
from sensetrack.sar.ampcor_grid import Pair, require_settings
from sensetrack.sar.lazy import require_plane

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from sensetrack.blocks import Block, Mapper
    from sensetrack.ot.interfaces import Source

    Ints = NDArray[np.int64]

Kind = Literal["mag", "cpx"]
"""``mag``: amplitudes, as topsApp asks for; ``cpx``: complex numbers, oversampled before their amplitude is taken."""

_LEAST_SNR = 1e-6
_MOST_VARIANCE = 999.999998
_TOO_LARGE = 1e15
"""Amplitudes from which a pixel is no measurement: their squares would leave single precision."""
_BATCH = 8
"""Windows that are worked on at once: few enough for the processor's cache."""
_SIDE = 2048
"""Pixels that the windows of a block may start apart, so that what is read for a block stays small."""
_MOST_WINDOWS = 64
"""Windows along each side of a block."""
_MOST_PIXELS = 1 << 25
"""Pixels that are read at once; where gross offsets differ so much that it would be more, each window is read alone."""


@dataclass(frozen=True, eq=False)
class AmpcorResult:
    """What ampcor found, one value per window; arrays are (windows down, windows across)."""

    d_row: NDArray[np.float32]
    """Offset down the rows (azimuth), px: a multiple of 1 / (2 * oversampling); NaN where the window was rejected."""
    d_col: NDArray[np.float32]
    """Offset along the columns (range), px; NaN where rejected."""
    snr: NDArray[np.float32]
    """Squared peak over the mean square around it, at whole pixels; NaN where rejected."""
    covariance: NDArray[np.float32]
    """(..., 3): variance of d_row, variance of d_col, their covariance, px^2, as in `OffsetField`; NaN where rejected.

    ISCE2 writes (range, azimuth, cross) = [1, 0, 2] of these.
    """
    score: NDArray[np.float32]
    """Correlation at the whole-pixel peak, at most 1; NaN where rejected."""
    flags: NDArray[np.uint16]
    """Why a window was rejected, 0 = measured. ``NO_DATA``: less than 90 % of its pixels or of its search area are
    there; ``LOW_TEXTURE``: nothing correlates, or the peak is flat; ``PEAK_AT_EDGE``: the peak is on the rim."""
    rows: Ints
    """(windows down,) first row of each window in the reference, from 0."""
    cols: Ints
    """(windows across,) first column of each window in the reference, from 0."""
    window: Pair
    """Rows and columns of a window."""

    @property
    def centre(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """True centres of the windows, (rows, cols) in pixel corners, as `OffsetField.start` counts."""
        return np.asarray(self.rows + self.window[0] / 2), np.asarray(self.cols + self.window[1] / 2)

    @property
    def reported(self) -> tuple[Ints, Ints]:
        """(rows, cols) that ampcor itself reports, px from 1: half a row after and half a column before the centre."""
        return self.rows + self.window[0] // 2 + 1, self.cols + self.window[1] // 2

    def field(self) -> OffsetField:
        """Return the offsets as posts in the images' pixels, without georeference.

        Raises
        ------
        InputError
            Windows are not at even distances.
        """
        step = _distance("rows", self.rows), _distance("columns", self.cols)
        start = float(self.centre[0][0]), float(self.centre[1][0])
        return OffsetField(
            self.d_row, self.d_col, self.flags, Grid(self.d_row.shape), step, start,
            score=self.score, snr=self.snr, covariance=self.covariance,
        )  # fmt: skip


def _distance(name: str, starts: Ints) -> int:
    apart = np.diff(starts)
    if not starts.size or (apart.size and (apart.min() != apart.max() or apart[0] < 1)):
        raise InputError(f"a field needs {name} of windows at even distances, instead got {starts[:5].tolist()} ...")
    return int(apart[0]) if apart.size else 1


class _Job(NamedTuple):
    """What is the same for all windows."""

    reference: Any
    secondary: Any
    window: Pair
    search: Pair
    kind: Kind
    oversampling: int


class _Found(NamedTuple):
    """What is known about some windows; NaN and a flag where one is rejected."""

    d_row: NDArray[Any]
    d_col: NDArray[Any]
    snr: NDArray[Any]
    covariance: NDArray[Any]
    score: NDArray[Any]
    flags: NDArray[Any]

    @classmethod
    def nothing(cls, n: int) -> _Found:
        """Return `n` windows of which nothing is known."""
        d_row, d_col, snr, score = np.full((4, n), np.nan)
        return cls(d_row, d_col, snr, np.full((n, 3), np.nan), score, np.zeros(n, np.uint16))


def ampcor(
    reference: Source | NDArray[Any],
    secondary: Source | NDArray[Any],
    *,
    window: Pair,
    search: Pair,
    starts: tuple[ArrayLike, ArrayLike],
    gross: tuple[ArrayLike, ArrayLike] = (0, 0),
    kind: Kind = "mag",
    oversampling: int = 32,
    mapper: Mapper = map,
    advance: Callable[[int, int], None] | None = None,
) -> AmpcorResult:
    """Measure offsets as ISCE2's ampcor does.

    Parameters
    ----------
    reference, secondary : array or source
        (rows, cols), real or complex; NaN, zero and what lies outside count as missing, as zeros do in ampcor. The two
        need not have the same shape.
    window : (int, int)
        Rows and columns of a window, px; even.
    search : (int, int)
        Half width of the search, rows and columns, px.
    starts : (array of int, array of int)
        First row of every row of windows, and first column of every column of them, px from 0: from
        `sensetrack.sar.ampcor_grid.posts` or your own. Windows may reach beyond the image: those with too little are
        flagged.
    gross : (int, int), or two arrays of int
        Whole-pixel shift (rows, cols) that the search is centred on, part of the offsets; arrays have the shape of
        the result.
    kind : {"mag", "cpx"}
        See `Kind`; "cpx" needs complex images.
    oversampling : int
        Steps per half pixel in which the peak is looked for, a power of two.
    mapper, advance
        As in `sensetrack.blocks.run`.

    Raises
    ------
    ConfigError
        A setting that ampcor itself refuses; see `sensetrack.sar.ampcor_grid.require_settings`.
    """
    job = _Job(reference, secondary, window, search, kind, oversampling)
    rows, cols, shifts = _checked(job, starts, gross)
    shape = rows.size, cols.size
    layers = _Found(*(x.reshape(*shape, *x.shape[1:]) for x in _Found.nothing(rows.size * cols.size)))
    plan = blocks.plan(shape, (_per_block(rows), _per_block(cols))) if min(shape) else []
    for block, found in blocks.run(partial(_block, job, rows, cols, shifts), plan, mapper=mapper, advance=advance):
        for layer, part in zip(layers, found, strict=True):
            layer[block.rows, block.cols] = part.reshape(*block.shape, *part.shape[1:])
    d_row, d_col, snr, covariance, score = (layer.astype(np.float32) for layer in layers[:5])
    return AmpcorResult(d_row, d_col, snr, covariance, score, layers.flags, rows, cols, window)


def _checked(
    job: _Job, starts: tuple[ArrayLike, ArrayLike], gross: tuple[ArrayLike, ArrayLike]
) -> tuple[Ints, Ints, list[Ints]]:
    """Return first rows and columns, and the gross offsets of every window."""
    require_settings(job.window, job.search, oversampling=job.oversampling)
    if job.kind not in get_args(Kind):
        raise ConfigError(f"kind must be one of {', '.join(get_args(Kind))}, instead got {job.kind!r}")
    for name, image in (("the reference", job.reference), ("the secondary", job.secondary)):
        require_plane(name, image)
        if job.kind == "cpx" and np.dtype(image.dtype).kind != "c":
            raise InputError(f'{name} must be complex for the kind "cpx", instead got {image.dtype}')
    rows, cols = (_whole(name, part) for name, part in zip(("rows", "columns"), starts, strict=True))
    if rows.ndim != 1 or cols.ndim != 1:
        raise ConfigError("starts must be one row of numbers for rows and one for columns")
    shifts, shape = [_whole("gross", part) for part in gross], (rows.size, cols.size)
    wrong = next((part.shape for part in shifts if part.shape not in {(), shape}), None)
    if wrong is not None:
        raise ConfigError(f"gross must be two numbers or have the shape {shape} of the result, instead got {wrong}")
    return rows, cols, [np.broadcast_to(part, shape) for part in shifts]


def _whole(name: str, values: ArrayLike) -> Ints:
    numbers = np.asarray(values)
    if numbers.size and numbers.dtype.kind not in "iu":
        raise ConfigError(f"{name} must be whole numbers of pixels, instead got {numbers.dtype}")
    return numbers.astype(np.int64)


def _per_block(starts: Ints) -> int:
    """Return how many windows along one side go into a block."""
    apart = int(np.abs(np.diff(starts)).max(initial=1))
    return min(max(_SIDE // apart, 1), _MOST_WINDOWS)


def _block(job: _Job, rows: Ints, cols: Ints, gross: list[Ints], block: Block) -> _Found:
    """Measure the windows of a block."""
    top, left = (x.ravel() for x in np.meshgrid(rows[block.rows], cols[block.cols], indexing="ij"))
    down, right = (shift[block.rows, block.cols].ravel() for shift in gross)
    found = _Found.nothing(top.size)
    margin = tuple(search + min(stages.REACH, *job.search) for search in job.search)
    chips = _Chips(job.reference, top, left, job.window, complex_numbers=job.kind == "cpx")
    area = tuple(size + 2 * more for size, more in zip(job.window, margin, strict=True))
    areas = _Chips(
        job.secondary, top + down - margin[0], left + right - margin[1], area, complex_numbers=job.kind == "cpx"
    )  # fmt: skip
    for first in range(0, top.size, _BATCH):
        part = slice(first, min(first + _BATCH, top.size))
        for layer, values in zip(found, _measured(job, chips.cut(part), areas.cut(part)), strict=True):
            layer[part] = values
    found.d_row[:] += down
    found.d_col[:] += right
    return found


class _Chips:
    """Pieces of one size of an image; 0 where a pixel is missing."""

    def __init__(self, image: Any, top: Ints, left: Ints, size: tuple[int, ...], *, complex_numbers: bool) -> None:
        self.image, self.top, self.left, self.size, self.complex = image, top, left, size, complex_numbers
        self.corner = int(top.min()), int(left.min())
        whole = int(top.max()) - self.corner[0] + size[0], int(left.max()) - self.corner[1] + size[1]
        self.region = self._read(self.corner, whole) if whole[0] * whole[1] <= _MOST_PIXELS else None

    def cut(self, part: slice) -> NDArray[Any]:
        """Return some of the pieces, (n, h, w)."""
        top, left = self.top[part], self.left[part]
        h, w = self.size
        if self.region is None:
            return np.stack([self._read((int(y), int(x)), (h, w)) for y, x in zip(top, left, strict=True)])
        corners = zip(top - self.corner[0], left - self.corner[1], strict=True)
        return np.stack([self.region[y : y + h, x : x + w] for y, x in corners])

    def _read(self, corner: tuple[int, int], size: tuple[int, int]) -> NDArray[Any]:
        """Read a window that may reach beyond the image: complex64, or float32 amplitudes."""
        out = np.zeros(size, np.complex64 if self.complex else np.float32)
        inside = [
            slice(min(max(at, 0), end), min(max(at + length, 0), end))
            for at, length, end in zip(corner, size, self.image.shape, strict=True)
        ]
        if any(part.start == part.stop for part in inside):
            return out
        pixels = np.asarray(self.image[inside[0], inside[1]])
        with np.errstate(over="ignore"):  # infinite then, and missing
            pixels = pixels.astype(out.dtype) if self.complex else np.abs(pixels).astype(np.float32)
        y, x = (part.start - at for part, at in zip(inside, corner, strict=True))
        out[y : y + pixels.shape[0], x : x + pixels.shape[1]] = np.where(np.abs(pixels) < _TOO_LARGE, pixels, 0)
        return out


def _measured(job: _Job, chips: NDArray[Any], wide: NDArray[Any]) -> _Found:
    """Measure a few windows; offsets without the gross ones.

    Parameters
    ----------
    chips : (n, h, w)
    wide : (n, H, W)
        Their search areas with a margin, as the piece around a peak may reach beyond.
    """
    n, reach = len(chips), min(stages.REACH, *job.search)
    found = _Found.nothing(n)
    amplitude, areas = np.abs(chips), np.abs(wide[:, reach:-reach, reach:-reach])
    there = np.minimum((amplitude != 0).mean(axis=(1, 2)), (areas != 0).mean(axis=(1, 2))) >= stages.SHARE
    found.flags[~there] |= Flag.NO_DATA.bit
    left = np.flatnonzero(there)
    if not left.size:
        return found
    surface = stages.surfaces(amplitude[left], areas[left], holes=True)
    row, col, peak = stages.first_peaks(surface)
    lost = peak <= 0
    rim = ~lost & ((row % (2 * job.search[0]) == 0) | (col % (2 * job.search[1]) == 0))
    found.flags[left[lost]] |= Flag.LOW_TEXTURE.bit
    found.flags[left[rim]] |= Flag.PEAK_AT_EDGE.bit
    left, surface, row, col, peak = (x[~lost & ~rim] for x in (left, surface, row, col, peak))
    snr = stages.signal_to_noise(surface, row, col)
    covariance = stages.covariances(surface, row, col, job.window[0] * job.window[1])
    good = (snr > _LEAST_SNR) & (covariance[:, 0] < _MOST_VARIANCE) & (covariance[:, 1] < _MOST_VARIANCE)
    found.flags[left[~good]] |= Flag.LOW_TEXTURE.bit
    left, row, col = (x[good] for x in (left, row, col))
    if left.size:
        d_row, d_col = _refined(job, chips[left], wide[left], row, col)
        values = d_row, d_col, snr[good], covariance[good], peak[good]
        lost = np.isnan(d_row)
        found.flags[left[lost]] |= Flag.LOW_TEXTURE.bit
        for layer, part in zip(found[:5], values, strict=True):
            layer[left[~lost]] = part[~lost]
    return found


def _refined(job: _Job, chips: NDArray[Any], wide: NDArray[Any], row: Ints, col: Ints) -> tuple[Any, Any]:
    """Return offsets (rows, cols) from peaks at whole pixels, at twice the samples and between; NaN: none there."""
    (h, w), reach = job.window, min(stages.REACH, *job.search)
    places = zip(wide, row, col, strict=True)
    pieces = np.stack([area[y : y + h + 2 * reach, x : x + w + 2 * reach] for area, y, x in places])
    if job.kind == "cpx":
        chips, pieces = stages.deramped(chips), stages.deramped(pieces)
    surface = stages.surfaces(stages.doubled(chips), stages.doubled(pieces), holes=False)
    half_row, half_col, peak = stages.first_peaks(surface)
    down, right = stages.fine_peaks(surface, half_row, half_col, job.oversampling)
    steps = 2 * job.oversampling
    lost = np.where(peak > 0, 0.0, np.nan)
    return (
        down / steps + half_row / 2 - reach + row - job.search[0] + lost,
        right / steps + half_col / 2 - reach + col - job.search[1] + lost,
    )
