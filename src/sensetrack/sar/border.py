"""Where a detected image ends: zeros and thermal noise along its edges are no measurements."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import ConfigError, InputError
from sensetrack.sar.calibration import intensity
from sensetrack.sar.lazy import Lazy, require_plane

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sensetrack.ot.interfaces import Source
    from sensetrack.sar.noise import NoiseLut

    Ints = NDArray[np.int64]
    Limits = tuple[Ints, Ints, Ints, Ints]
    Read = Callable[[slice, slice], NDArray[Any]]
    """Says for a window which pixels were measured."""

_FIRST, _STRIP = 64, 512
"""Pixels that are read at once from an edge inwards: at first, as most images begin there, and from there on."""
_BLOCK = 1024
"""Lines that are read at once."""
_REACH = 4
"""Pixels to both sides with which one is compared with the noise."""
_RUN = 8
"""Measured pixels, one after the other, that end a border: a bright speck in it does not."""


@dataclass(frozen=True, eq=False)
class Border:
    """The part of an image that was measured, seen from its four sides.

    Parameters
    ----------
    first_sample, stop_sample : (lines,) int64
        First measured sample of each line, and the one after the last; the second is not larger where there is none.
    first_line, stop_line : (samples,) int64
        Likewise along each sample.
    """

    first_sample: Ints
    stop_sample: Ints
    first_line: Ints
    stop_line: Ints

    @property
    def shape(self) -> tuple[int, int]:
        """Lines, samples of the image."""
        return self.first_sample.size, self.first_line.size

    def measured(self, rows: slice, cols: slice) -> NDArray[np.bool_]:
        """Tell which pixels of a window lie inside, (rows, cols), True = measured."""
        return _inside(rows, cols, self._limits(rows, cols))

    def whole_inside(self, rows: slice, cols: slice) -> bool:
        """Whether all of a window was measured."""
        return _all_inside(rows, cols, self._limits(rows, cols))

    def _limits(self, rows: slice, cols: slice) -> Limits:
        return self.first_sample[rows], self.stop_sample[rows], self.first_line[cols], self.stop_line[cols]


def find_border(source: Source, noise: NoiseLut | None = None, *, factor: float = 2.0, depth: int = 1000) -> Border:
    """Find where the measurement begins, from each side of each line and each sample.

    A pixel of the border is 0 (or NaN); with `noise`, one that is no more than thermal noise counts too: before IPF
    2.9 (2018) borders of Sentinel-1 GRD are noise with zeros in between, later ones are zero. What is no more than
    noise for `depth` pixels is dark ground and is kept; less dark water than that, at the edge of an old image, is
    lost with its border. Zeros inside an image are measurements.

    Parameters
    ----------
    source : Source
        (rows, cols) digital numbers.
    noise : NoiseLut, optional
        Of products whose borders are not zero; leave it out for others.
    factor : float
        A pixel is more than noise if the mean intensity of itself and its neighbours (1 x 9, along the line) is more
        than `factor` times that of the noise.
    depth : int
        Pixels from each edge within which noise counts as border.
    """
    return LateBorder(source, noise, factor=factor, depth=depth).whole()


class LateBorder:
    """The border of an image, each part of which is looked for when it is first asked for; see `find_border`.

    What is measured in a window depends on the lines and samples through it only: a map of a part of an image needs
    no more than those.

    Parameters
    ----------
    source, noise, factor, depth
        As for `find_border`.
    """

    def __init__(
        self, source: Source, noise: NoiseLut | None = None, *, factor: float = 2.0, depth: int = 1000
    ) -> None:
        self.shape = require_plane("a measurement", source)
        if not factor >= 0 or depth < 0:
            raise ConfigError(f"factor and depth must be at least 0, instead got {factor}, {depth}")
        self._source, self._noise, self._factor = source, noise, factor
        self._lock = threading.RLock()
        self._outer = _Sides(self._not_zero, self.shape, None)
        self._inner = None if noise is None or not noise.known else _Sides(self._above_noise, self.shape, depth)

    def whole(self) -> Border:
        """Look for all of it."""
        return Border(*self._limits(slice(0, self.shape[0]), slice(0, self.shape[1])))

    def measured(self, rows: slice, cols: slice) -> NDArray[np.bool_]:
        """Tell which pixels of a window lie inside, (rows, cols), True = measured."""
        return _inside(rows, cols, self._limits(rows, cols))

    def whole_inside(self, rows: slice, cols: slice) -> bool:
        """Whether all of a window was measured."""
        return _all_inside(rows, cols, self._limits(rows, cols))

    def _limits(self, rows: slice, cols: slice) -> Limits:
        """Return what `Border` has, of the lines and the samples of a window."""
        with self._lock:
            found = self._outer.limits(rows, cols)
            if self._inner is None:
                return found
            inner = self._inner.limits(rows, cols)
        # A mean is more than noise as soon as it reaches into the image.
        first = inner[0] + np.where(inner[0] > found[0], _REACH, 0)
        stop = inner[1] - np.where(inner[1] < found[1], _REACH, 0)
        ends = np.maximum(found[2], inner[2]), np.minimum(found[3], inner[3])
        return np.maximum(found[0], first), np.minimum(found[1], stop), *ends

    def _not_zero(self, rows: slice, cols: slice) -> NDArray[np.bool_]:
        numbers = np.asarray(self._source[rows, cols])
        return np.asarray(np.abs(numbers) > 0)  # False for NaN

    def _above_noise(self, rows: slice, cols: slice) -> NDArray[np.bool_]:
        wide = slice(max(cols.start - _REACH, 0), min(cols.stop + _REACH, self.shape[1]))
        power = intensity(self._source[rows, wide]).astype(np.float64)
        if self._noise is not None:
            power -= self._factor * self._noise.window(rows, wide)
        inside = _inside(rows, wide, self._outer.limits(rows, wide))
        smooth = _mean_along_line(np.where(inside, power, 0), inside)
        return np.asarray(smooth[:, cols.start - wide.start :][:, : cols.stop - cols.start] > 0)


class Trimmed(Lazy):
    """A measurement without what lies outside its border: NaN there, float32 or the type of `source` if it is inexact.

    Parameters
    ----------
    source : Source
        (rows, cols) digital numbers.
    border : Border or LateBorder
    """

    def __init__(self, source: Source, border: Border | LateBorder) -> None:
        self.shape = require_plane("a measurement", source)
        if border.shape != self.shape:
            raise InputError(f"a border must be that of the image {self.shape}, instead got one of {border.shape}")
        self.dtype = np.dtype(source.dtype) if np.dtype(source.dtype).kind in "fc" else np.dtype(np.float32)
        self._source, self._border = source, border

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Read a window."""
        values: NDArray[Any] = np.asarray(self._source[rows, cols], self.dtype)
        if values.base is not None:  # perhaps of the source itself
            values = values.copy()
        if self._border.whole_inside(rows, cols):
            return values
        missing = np.nan if self.dtype.kind == "f" else complex(np.nan, np.nan)
        values[~self._border.measured(rows, cols)] = missing
        return values


class _Sides:
    """Where the first run of measured pixels begins, seen from each of four sides; found block by block.

    Parameters
    ----------
    read : callable
        Says for a window which pixels were measured.
    shape : (int, int)
        Lines, samples.
    limit : int, optional
        Pixels from the sides within which it is looked for.
    """

    def __init__(self, read: Read, shape: tuple[int, int], limit: int | None) -> None:
        lines, samples = self.shape = shape

        def from_right(rows: slice, cols: slice) -> NDArray[np.bool_]:
            return read(rows, _mirrored(cols, samples))[:, ::-1]

        def from_top(rows: slice, cols: slice) -> NDArray[np.bool_]:
            return read(cols, rows).T

        def from_bottom(rows: slice, cols: slice) -> NDArray[np.bool_]:
            return read(_mirrored(cols, lines), rows)[::-1].T

        sides = ((read, shape), (from_right, shape), (from_top, shape[::-1]), (from_bottom, shape[::-1]))
        self._sides = [_Side(way, size, limit) for way, size in sides]

    def limits(self, rows: slice, cols: slice) -> Limits:
        """Return what `Border` has, of the lines and the samples of a window."""
        left, right, top, bottom = self._sides
        lines, samples = self.shape
        return left.first(rows), samples - right.first(rows), top.first(cols), lines - bottom.first(cols)


class _Side:
    """The same, seen from one side: for each line (or sample) how far away the measurement begins."""

    def __init__(self, read: Read, shape: tuple[int, int], limit: int | None) -> None:
        self._read, self._shape, self._limit = read, shape, limit
        self._found: dict[int, Ints] = {}

    def first(self, part: slice) -> Ints:
        """Return it for some lines."""
        blocks = range(part.start // _BLOCK, -(-part.stop // _BLOCK))
        for block in blocks:
            if block not in self._found:
                rows = slice(block * _BLOCK, min((block + 1) * _BLOCK, self._shape[0]))
                self._found[block] = _first_measured(self._read, rows, self._shape[1], self._limit)
        known = [self._found[block] for block in blocks]
        if not known:
            return np.empty(0, np.int64)
        start = part.start - blocks[0] * _BLOCK
        return np.concatenate(known)[start : start + part.stop - part.start]


def _first_measured(read: Read, rows: slice, samples: int, limit: int | None) -> Ints:
    """Return for some lines where their first run of measured pixels begins.

    Where none does: all samples, or 0 if only those before `limit` were looked at.
    """
    run, end = min(_RUN, samples), samples if limit is None else min(limit, samples)
    first = np.full(rows.stop - rows.start, samples if limit is None else 0, np.int64)
    waiting = np.arange(rows.start, rows.stop)
    left, strip = 0, _FIRST
    while left < end and waiting.size:
        # Runs that begin in this strip, and reach into the next one. Few lines wait for long: along a slanted edge.
        near = slice(int(waiting[0]), int(waiting[-1]) + 1)
        good = read(near, slice(left, min(left + strip + run - 1, samples)))
        if good.shape[1] < run:
            break
        begins = good[:, : good.shape[1] - run + 1].copy()
        for k in range(1, run):
            begins &= good[:, k : good.shape[1] - run + 1 + k]
        begins = begins[waiting - near.start, : end - left]
        here = np.any(begins, axis=1)
        first[waiting[here] - rows.start] = left + begins.argmax(axis=1)[here]
        waiting = waiting[~here]
        left, strip = left + strip, _STRIP
    return first


def _inside(rows: slice, cols: slice, limits: Limits) -> NDArray[np.bool_]:
    """Tell which pixels of a window lie within limits."""
    line, sample = np.arange(rows.start, rows.stop)[:, None], np.arange(cols.start, cols.stop)
    first_sample, stop_sample, first_line, stop_line = limits
    inside = (sample >= first_sample[:, None]) & (sample < stop_sample[:, None])
    return np.asarray(inside & (line >= first_line) & (line < stop_line))


def _all_inside(rows: slice, cols: slice, limits: Limits) -> bool:
    """Whether all pixels of a window lie within limits."""
    first_sample, stop_sample, first_line, stop_line = limits
    across = first_sample.max(initial=0) <= cols.start and stop_sample.min(initial=cols.stop) >= cols.stop
    return bool(across and first_line.max(initial=0) <= rows.start and stop_line.min(initial=rows.stop) >= rows.stop)


def _mirrored(part: slice, size: int) -> slice:
    return slice(size - part.stop, size - part.start)


def _mean_along_line(values: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean of each pixel and its neighbours to both sides, of those that are inside; NaN without any."""
    total, count = _sum_along_line(values), _sum_along_line(inside.astype(np.float64))
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def _sum_along_line(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of each pixel and its neighbours to both sides; what lies beyond the ends counts nothing."""
    wide = np.pad(values, ((0, 0), (_REACH, _REACH)))
    total = wide[:, : values.shape[1]].copy()
    for k in range(1, 2 * _REACH + 1):
        total += wide[:, k : k + values.shape[1]]
    return total
