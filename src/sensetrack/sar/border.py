"""Where a detected image ends: zeros and thermal noise along its edges are no measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from sensetrack.errors import ConfigError, InputError
from sensetrack.sar.calibration import intensity
from sensetrack.sar.lazy import Lazy, require_plane

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sensetrack.ot.interfaces import Source
    from sensetrack.sar.noise import NoiseLut

    Ints = NDArray[np.int64]
    Read = Callable[[slice, slice], NDArray[Any]]
    """Says for a window which pixels were measured."""

_STRIP = 512
"""Pixels that are read at once from an edge inwards."""
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
        line, sample = np.arange(rows.start, rows.stop)[:, None], np.arange(cols.start, cols.stop)
        inside = (sample >= self.first_sample[rows, None]) & (sample < self.stop_sample[rows, None])
        return np.asarray(inside & (line >= self.first_line[cols]) & (line < self.stop_line[cols]))


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
    shape = require_plane("a measurement", source)
    if not factor >= 0 or depth < 0:
        raise ConfigError(f"factor and depth must be at least 0, instead got {factor}, {depth}")

    def not_zero(rows: slice, cols: slice) -> NDArray[np.bool_]:
        return np.asarray(intensity(source[rows, cols]) > 0)  # False for NaN

    found = _from_all_sides(not_zero, shape, limit=None)
    if noise is None or not noise.known:
        return found

    def above_noise(rows: slice, cols: slice) -> NDArray[np.bool_]:
        wide = slice(max(cols.start - _REACH, 0), min(cols.stop + _REACH, shape[1]))
        power = intensity(source[rows, wide]).astype(np.float64)
        power -= factor * noise.window(rows, wide)
        inside = found.measured(rows, wide)
        smooth = _mean_along_line(np.where(inside, power, 0), inside)
        return np.asarray(smooth[:, cols.start - wide.start :][:, : cols.stop - cols.start] > 0)

    inner = _from_all_sides(above_noise, shape, limit=depth)
    # A mean is more than noise as soon as it reaches into the image.
    first = inner.first_sample + np.where(inner.first_sample > found.first_sample, _REACH, 0)
    stop = inner.stop_sample - np.where(inner.stop_sample < found.stop_sample, _REACH, 0)
    return Border(
        np.maximum(found.first_sample, first),
        np.minimum(found.stop_sample, stop),
        np.maximum(found.first_line, inner.first_line),
        np.minimum(found.stop_line, inner.stop_line),
    )


class Trimmed(Lazy):
    """A measurement without what lies outside its border: NaN there, float32 or the type of `source` if it is inexact.

    Parameters
    ----------
    source : Source
        (rows, cols) digital numbers.
    border : Border
    """

    def __init__(self, source: Source, border: Border) -> None:
        self.shape = require_plane("a measurement", source)
        if border.shape != self.shape:
            raise InputError(f"a border must be that of the image {self.shape}, instead got one of {border.shape}")
        self.dtype = np.dtype(source.dtype) if np.dtype(source.dtype).kind in "fc" else np.dtype(np.float32)
        self._source, self._border = source, border

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Read a window."""
        values = np.array(self._source[rows, cols], self.dtype)
        missing = np.nan if self.dtype.kind == "f" else complex(np.nan, np.nan)
        values[~self._border.measured(rows, cols)] = missing
        return values


def _from_all_sides(read: Read, shape: tuple[int, int], limit: int | None) -> Border:
    lines, samples = shape

    def from_right(rows: slice, cols: slice) -> NDArray[np.bool_]:
        return read(rows, _mirrored(cols, samples))[:, ::-1]

    def from_top(rows: slice, cols: slice) -> NDArray[np.bool_]:
        return read(cols, rows).T

    def from_bottom(rows: slice, cols: slice) -> NDArray[np.bool_]:
        return read(_mirrored(cols, lines), rows)[::-1].T

    return Border(
        _first_measured(read, lines, samples, limit),
        samples - _first_measured(from_right, lines, samples, limit),
        _first_measured(from_top, samples, lines, limit),
        lines - _first_measured(from_bottom, samples, lines, limit),
    )


def _first_measured(read: Read, lines: int, samples: int, limit: int | None) -> Ints:
    """Return for each line where its first run of measured pixels begins.

    Where none does: all samples, or 0 if only those before `limit` were looked at.
    """
    run, end = min(_RUN, samples), samples if limit is None else min(limit, samples)
    first = np.full(lines, samples if limit is None else 0, np.int64)
    for top in range(0, lines, _BLOCK):
        rows = slice(top, min(top + _BLOCK, lines))
        waiting = np.ones(rows.stop - rows.start, bool)
        for left in range(0, end, _STRIP):
            # Runs that begin in this strip, and reach into the next one.
            good = read(rows, slice(left, min(left + _STRIP + run - 1, samples)))
            if good.shape[1] < run:
                break
            begins: NDArray[np.bool_] = np.lib.stride_tricks.sliding_window_view(good, run, axis=1)[:, : end - left]
            begins = np.asarray(np.all(begins, axis=2))
            here = waiting & np.any(begins, axis=1)
            first[rows][here] = left + begins.argmax(axis=1)[here]
            waiting &= ~here
            if not waiting.any():
                break
    return first


def _mirrored(part: slice, size: int) -> slice:
    return slice(size - part.stop, size - part.start)


def _mean_along_line(values: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean of each pixel and its neighbours to both sides, of those that are inside; NaN without any."""
    kernel = np.ones(2 * _REACH + 1)
    total = ndimage.correlate1d(values, kernel, axis=1, mode="constant")
    count = ndimage.correlate1d(inside.astype(np.float64), kernel, axis=1, mode="constant")
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
