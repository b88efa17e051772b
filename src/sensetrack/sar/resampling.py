"""Complex images between their pixels: kernels that fit the band the processor kept, and their use in two dimensions.

A kernel is the least-squares answer for a known spectrum: of all weights of so many pixels, those whose response
misses a delay least over the band, weighted by the power that is there. What is outside the band costs nothing.
"""
# ruff: noqa: PLR0917  compiled functions take their arguments by position

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import ConfigError
from sensetrack.sar.carrier import _sine as sine_of_turns
from sensetrack.sar.compiling import WORKS, compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PHASES = 2048
"""Places between two pixels for which weights are kept; the nearest is taken."""
ALONG, ACROSS = 8, 12
"""Pixels of a kernel in azimuth and in range."""
_NODES = 128
"""Frequencies at which the band is integrated."""


@dataclass(frozen=True)
class Spectrum:
    """The band that a processor kept along one axis, centred at zero."""

    width: float
    """Share of the sampling rate, above 0 and at most 1."""
    hamming: float = 1.0
    """Coefficient a of the window a + (1 - a) cos(2 pi f / width): 1 is no window."""

    def __post_init__(self) -> None:
        if not 0 < self.width <= 1:
            raise ConfigError(f"width of a band must be above 0 and at most 1, instead got {self.width}")

    def correlation(self, one: Floats, other: Floats) -> Floats:
        """Return the correlation, (n, m), of the signal at places (n,) with that at others (m,), pixels; 1 at 0."""
        nodes, weights = np.polynomial.legendre.leggauss(_NODES)
        power = weights * (self.hamming + (1 - self.hamming) * np.cos(np.pi * nodes)) ** 2
        power /= power.sum()
        here, there = (np.exp(1j * np.pi * self.width * np.outer(at, nodes)) for at in (one, other))
        return np.asarray(((here * power) @ there.conj().T).real)


@dataclass(frozen=True, eq=False)
class Kernel:
    """Weights of pixels for places between them."""

    weights: NDArray[np.float32]
    """(PHASES + 1, taps): row p is for a place p / PHASES after the pixel at tap `taps` // 2 - 1."""
    error: float
    """Rms of what is missed, as a share of the rms of the signal, midway between pixels, where it is worst."""

    @property
    def taps(self) -> int:
        """Pixels that make a value."""
        return int(self.weights.shape[1])

    @property
    def before(self) -> int:
        """Pixels of them before the one that a place follows."""
        return self.taps // 2 - 1


@lru_cache(maxsize=32)
def design(spectrum: Spectrum, taps: int) -> Kernel:
    """Return the kernel of an even number of taps that misses the least of a signal with this spectrum."""
    if taps < 2 or taps % 2:
        raise ConfigError(f"a kernel must have an even number of taps, instead got {taps}")
    place = np.arange(taps, dtype=np.float64) - (taps // 2 - 1)
    among = spectrum.correlation(place, place)
    wanted = spectrum.correlation(np.linspace(0, 1, PHASES + 1), place)
    # What rounding of the pixels adds is white: a little of that keeps the weights small where the band is narrow.
    weights = np.linalg.solve(among + 1e-9 * np.eye(taps), wanted.T).T
    missed = 1 - 2 * (weights * wanted).sum(1) + np.einsum("pi,ij,pj->p", weights, among, weights)
    kept = weights.astype(np.float32)
    kept.flags.writeable = False
    return Kernel(kept, float(np.sqrt(max(missed.max(), 0.0))))


def reach(offset: tuple[float, float], window: slice, kernel: Kernel, size: int) -> slice:
    """Return the pixels, of an axis of so many, that a window needs whose offsets lie between two values."""
    start = int(np.floor(window.start + offset[0])) - kernel.before
    stop = int(np.ceil(window.stop - 1 + offset[1])) + kernel.taps - kernel.before + 1
    start = min(max(start, 0), size)
    return slice(start, min(max(stop, start), size))


def resample(
    image: NDArray[np.complex64],
    corner: tuple[int, int],
    nodes: Floats,
    spacing: tuple[int, int],
    kernels: tuple[Kernel, Kernel],
    window: tuple[slice, slice],
) -> NDArray[np.complex64]:
    """Resample a complex image at smoothly varying offsets, and turn its phase.

    Parameters
    ----------
    image : (rows, cols) complex64
        A part of the secondary; NaN is not valid.
    corner : (int, int)
        Row and column of the secondary at which it begins.
    nodes : (3, node rows, node columns) float64
        Rows and columns to add, and turns (of 2 pi) to add to the phase, at nodes of the reference.
    spacing : (int, int)
        Rows and columns of the reference between nodes; the first is at pixel 0.
    kernels : (Kernel, Kernel)
        For rows and for columns.
    window : (slice, slice)
        Of the reference.

    Returns
    -------
    ndarray of complex64
        NaN where a pixel that the kernels need is not in `image` or not valid, and where a node around is NaN.
    """
    rows, cols = window
    out = np.empty((rows.stop - rows.start, cols.stop - cols.start), np.complex64)
    run = resample_kernel if WORKS else _resample_plainly
    run(
        np.ascontiguousarray(image, np.complex64), corner[0], corner[1], nodes, spacing[0], spacing[1],
        kernels[0].weights, kernels[1].weights, rows.start, cols.start, out,
    )  # fmt: skip
    return out


@compiled
def resample_kernel(
    image: Any, top: int, left: int, nodes: Floats, node_rows: int, node_cols: int, along: Any, across: Any,
    first_row: int, first_col: int, out: Any,
) -> None:  # fmt: skip
    """Do what `resample` does."""
    rows, cols = image.shape
    taps, wide = along.shape[1], across.shape[1]
    phases = along.shape[0] - 1
    void = np.complex64(complex(np.nan, np.nan))
    line = np.empty(3)
    step = np.empty(3)
    mixed = np.empty(2 * wide, np.float32)
    flat = image.view(np.float32)
    for i in range(out.shape[0]):
        row = first_row + i
        up = row // node_rows
        f = (row - up * node_rows) / node_rows
        j = 0
        while j < out.shape[1]:
            cell = (first_col + j) // node_cols
            begin = cell * node_cols
            end = min(begin + node_cols - first_col, out.shape[1])
            for q in range(3):
                line[q] = nodes[q, up, cell] * (1 - f) + nodes[q, up + 1, cell] * f
                step[q] = nodes[q, up, cell + 1] * (1 - f) + nodes[q, up + 1, cell + 1] * f - line[q]
            if np.isnan(line[0] + step[0] + line[1] + step[1] + line[2] + step[2]):
                while j < end:
                    out[i, j] = void
                    j += 1
                continue
            while j < end:
                g = (first_col + j - begin) / node_cols
                y = row + line[0] + g * step[0] - top
                x = first_col + j + line[1] + g * step[1] - left
                r, c = math.floor(y), math.floor(x)
                a, b = int((y - r) * phases + 0.5), int((x - c) * phases + 0.5)
                r, c = int(r) - (taps // 2 - 1), int(c) - (wide // 2 - 1)
                if r < 0 or c < 0 or r + taps > rows or c + wide > cols:
                    out[i, j] = void
                    j += 1
                    continue
                for m in range(2 * wide):
                    mixed[m] = along[a, 0] * flat[r, 2 * c + m]
                for k in range(1, taps):
                    for m in range(2 * wide):
                        mixed[m] += along[a, k] * flat[r + k, 2 * c + m]
                real, imaginary = np.float32(0), np.float32(0)
                for m in range(wide):
                    real += across[b, m] * mixed[2 * m]
                    imaginary += across[b, m] * mixed[2 * m + 1]
                turns = line[2] + g * step[2]
                turns -= math.floor(turns + 0.5)
                sine = np.float32(sine_of_turns(turns))
                quarter = turns + 0.25
                cosine = np.float32(sine_of_turns(quarter - math.floor(quarter + 0.5)))
                out[i, j] = complex(real * cosine - imaginary * sine, real * sine + imaginary * cosine)
                j += 1


def _resample_plainly(
    image: Any, top: int, left: int, nodes: Floats, node_rows: int, node_cols: int, along: Any, across: Any,
    first_row: int, first_col: int, out: Any,
) -> None:  # fmt: skip
    """Do what `resample_kernel` does, in NumPy, row by row."""
    taps, wide, phases = along.shape[1], across.shape[1], along.shape[0] - 1
    col = first_col + np.arange(out.shape[1])
    cell = col // node_cols
    g = (col - cell * node_cols) / node_cols
    for i in range(out.shape[0]):
        row = first_row + i
        up = row // node_rows
        f = (row - up * node_rows) / node_rows
        between = nodes[:, up] * (1 - f) + nodes[:, up + 1] * f
        d_row, d_col, turns = between[:, cell] + g * (between[:, cell + 1] - between[:, cell])
        known = np.isfinite(d_row + d_col + turns)
        y, x = row + np.where(known, d_row, 0) - top, col + np.where(known, d_col, 0) - left
        r, c = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
        a, b = ((part - whole) * phases + 0.5 for part, whole in ((y, r), (x, c)))
        r, c = r - (taps // 2 - 1), c - (wide // 2 - 1)
        known &= (r >= 0) & (c >= 0) & (r + taps <= image.shape[0]) & (c + wide <= image.shape[1])
        r, c, a, b = (part[known].astype(np.intp) for part in (r, c, a, b))
        pixels = image[r[:, None, None] + np.arange(taps)[:, None], c[:, None, None] + np.arange(wide)]
        values = np.einsum("pkm,pk,pm->p", pixels, along[a], across[b])
        out[i] = complex(np.nan, np.nan)
        out[i, known] = values * np.exp(2j * np.pi * (turns - np.floor(turns + 0.5))[known])
