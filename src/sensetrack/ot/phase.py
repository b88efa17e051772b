"""Phase correlation of many windows at once, with sub-pixel peaks by an upsampled Fourier transform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COARSE = 10
"""Upsampling of the first look where more is asked for: a second look around its peak costs far less than one whole."""


def phase_correlate(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    *,
    normalise: bool = True,
    upsample: int = 1,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Find the circular shift between windows.

    The peak of the inverse transform of the cross-power spectrum (Kuglin and Hines 1975), and around it, where
    `upsample` is above 1, of that transform at a finer spacing by matrix products (Guizar-Sicairos, Thurman and
    Fienup 2008, "Efficient subpixel image registration algorithms").

    Parameters
    ----------
    first, second : ndarray of float32
        (n, h, w), finite, of mean 0.
    normalise : bool
        Divide the spectrum by its magnitude: every frequency counts alike.
    upsample : int
        Shifts are found to 1 / `upsample` px. The highest frequency, whose sign nobody knows, counts half for each:
        scikit-image's shifts differ by up to some hundredths of a pixel.

    Returns
    -------
    d_row, d_col, snr : ndarray
        (n,): what is at first[r, c] is found at second[r + d_row, c + d_col], |d| <= half the window (beyond
        that a shift comes out short by a whole window); peak over the mean magnitude of the surface.
    """
    n, h, w = first.shape
    spectrum = np.conj(fft.rfft2(first)) * fft.rfft2(second)
    if normalise:
        spectrum *= 1 / np.maximum(np.abs(spectrum), 100 * np.finfo(np.float32).eps)
    surface = fft.irfft2(spectrum, s=(h, w))
    best = surface.reshape(n, h * w).argmax(axis=1)
    peak = np.take_along_axis(surface.reshape(n, h * w), best[:, None], axis=1)[:, 0]
    snr = peak / np.maximum(np.abs(surface, out=surface).mean(axis=(1, 2)), 1e-12)
    d_row, d_col = (part.astype(float) for part in np.unravel_index(best, (h, w)))
    d_row[d_row > h // 2] -= h
    d_col[d_col > w // 2] -= w
    if upsample > 1:
        # Real input: the columns that are not transformed mirror those that are.
        spectrum[..., 1 : (w + 1) // 2] *= 2
        for factor in [_COARSE, upsample] if upsample > 2 * _COARSE else [upsample]:
            d_row, d_col = _refine(spectrum, (h, w), d_row, d_col, factor)
    return d_row, d_col, snr


def _refine(
    spectrum: NDArray[Any], shape: tuple[int, int], d_row: NDArray[Any], d_col: NDArray[Any], factor: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Look for the peak at multiples of 1 / factor px within 0.7 px (0.75 first steps) of where it was seen."""
    d_row, d_col = (np.round(part * factor) / factor for part in (d_row, d_col))
    reach = int(np.ceil(1.5 * (factor if factor <= 2 * _COARSE else factor / _COARSE)) // 2)
    steps = np.arange(-reach, reach + 1) / factor
    rows, cols = fft.fftfreq(shape[0]), fft.rfftfreq(shape[1])
    # Each spectrum is turned to its own peak; then the products are the same for all.
    here = spectrum * _waves(d_row, rows)[:, :, None]
    here *= _waves(d_col, cols)[:, None, :]
    near = _near_peak(here, _waves(steps, rows), _waves(steps, cols))
    i, j = np.unravel_index(near.reshape(len(near), -1).argmax(axis=1), near.shape[1:])
    return d_row + steps[i], d_col + steps[j]


def _waves(shift: NDArray[Any], frequency: NDArray[Any]) -> NDArray[np.complex64]:
    return np.asarray(np.exp(2j * np.pi * np.multiply.outer(shift, frequency)), np.complex64)


def _near_peak(
    spectrum: NDArray[np.complex64], by_row: NDArray[np.complex64], by_col: NDArray[np.complex64]
) -> NDArray[np.float32]:
    """Real part of by_row @ spectrum @ by_col.T for every spectrum, (n, steps, steps).

    As two products of real matrices, each for all windows at once: stacks of small complex ones are many times
    slower in some builds of BLAS.
    """
    n, h, _ = spectrum.shape
    size = len(by_col)
    turn = np.stack(
        [
            np.concatenate([by_col.real, by_col.imag]),  # what a real part gives to real and imaginary part
            np.concatenate([-by_col.imag, by_col.real]),
        ],
        axis=-1,
    )  # (2 steps, frequencies, 2), as the memory of a complex array
    across = spectrum.view(np.float32).reshape(n * h, -1) @ turn.reshape(2 * size, -1).T
    lines = np.ascontiguousarray(across.reshape(n, h, 2 * size).transpose(1, 0, 2)).reshape(h, -1)
    down = (np.concatenate([by_row.real, by_row.imag]) @ lines).reshape(2 * size, n, 2 * size)
    near = down[:size, :, :size] - down[size:, :, size:]
    return np.ascontiguousarray(near.transpose(1, 0, 2))
