"""Amplitude of complex images at twice the samples: detection doubles the band, which their own samples fold back."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from sensetrack.sar.lazy import Lazy, around, inner, require_plane

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.ot.interfaces import Source

HALO = 16
"""Pixels on each side that a sample between pixels is made of."""
_BETA = 3.0
"""Kaiser window of the kernel: flat up to 0.95 of the band, as the images may fill all of it."""


class Oversampled(Lazy):
    """Amplitude (float32) of a complex image at twice the samples in both directions, computed where it is read.

    Pixel [2 i, 2 j] is the amplitude of pixel [i, j]. NaN where the image is, and between pixels of which one is NaN;
    what is missing counts as 0 for the samples around it.

    Parameters
    ----------
    image : Source
        (rows, cols) complex, its spectrum centred at zero (deramped); NaN = not valid.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, image: Source) -> None:
        rows, cols = require_plane("a complex image", image)
        self.shape = 2 * rows, 2 * cols
        self._image = image

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Compute a window."""
        whole = [slice(part.start // 2, -(-part.stop // 2)) for part in (rows, cols)]
        size = self.shape[0] // 2, self.shape[1] // 2
        outer = around(whole[0], whole[1], (HALO, HALO), size)
        pixels = np.asarray(self._image[outer], np.complex64)
        twice = tuple(slice(2 * part.start, 2 * part.stop) for part in outer)
        return inner(amplitude(pixels), (twice[0], twice[1]), rows, cols)


@cache
def kernel() -> NDArray[np.float32]:
    """Weights of the 2 `HALO` pixels around the middle between two of them: a windowed sinc."""
    x = np.arange(2 * HALO) - HALO + 0.5
    weight = np.sinc(x) * np.i0(_BETA * np.sqrt(1 - (x / HALO) ** 2))
    return np.asarray(weight / weight.sum(), np.float32)


def amplitude(pixels: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Amplitude of (rows, cols) pixels, NaN where missing, at (2 rows, 2 cols) samples; see `Oversampled`.

    Beyond the window all counts as 0, and the last row and column between pixels are NaN.
    """
    rows, cols = pixels.shape
    out = np.empty((2 * rows, 2 * cols), np.float32)
    missing = np.isnan(pixels)
    whole = np.where(missing, np.complex64(0), pixels) if missing.any() else np.ascontiguousarray(pixels)
    parts = whole.view(np.float32).reshape(rows, cols, 2)
    down = _between(parts, 0)
    _detect(parts, out[0::2, 0::2])
    _detect(_between(parts, 1), out[0::2, 1::2])
    _detect(down, out[1::2, 0::2])
    _detect(_between(down, 1), out[1::2, 1::2])
    if missing.any():
        _blank(missing, out)
    out[-1], out[:, -1] = np.nan, np.nan
    return out


def _between(parts: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """(rows, cols, 2) half a pixel further along an axis; beyond the rim all is 0."""
    taps, one = kernel()[:, None], np.ones((1, 1), np.float32)
    # The tap at HALO - 1 is the pixel itself, the next one its neighbour.
    x, y, anchor = (taps, one, (HALO - 1, 0)) if axis else (one, taps, (0, HALO - 1))
    return np.asarray(cv2.sepFilter2D(parts, -1, x, y, anchor=anchor, borderType=cv2.BORDER_CONSTANT), np.float32)


def _detect(parts: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    real, imaginary = parts[..., 0], parts[..., 1]
    power = real * real
    power += imaginary * imaginary
    np.sqrt(power, out=out)


def _blank(missing: NDArray[np.bool_], out: NDArray[np.float32]) -> None:
    """Write NaN at missing pixels and at the samples beside them."""
    right, below = missing.copy(), missing.copy()
    right[:, :-1] |= missing[:, 1:]
    below[:-1] |= missing[1:]
    both = right.copy()
    both[:-1] |= right[1:]
    for where, part in ((missing, out[0::2, 0::2]), (right, out[0::2, 1::2]), (below, out[1::2, 0::2])):
        part[where] = np.nan
    out[1::2, 1::2][both] = np.nan
