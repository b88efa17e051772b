"""Pairs of complex speckle images whose offset, coherence, band and fringes are known exactly."""

from __future__ import annotations

import numpy as np
from scipy import fft


def gains(shape, bands, hamming=1.0):
    """Gain of the band along rows and columns at the frequencies of an FFT."""
    out = []
    for size, band in zip(shape, bands, strict=True):
        at = fft.fftfreq(size)
        out.append(np.where(np.abs(at) <= band / 2, hamming + (1 - hamming) * np.cos(2 * np.pi * at / band), 0))
    return out


def speckle_pair(shape, bands, coherence, offset, *, hamming=1.0, seed=0, fringes=(0.0, 0.0)):
    """Return reference and secondary, complex64, of mean power 1.

    What is at ``reference[row, col]`` is at ``secondary[row + offset[0], col + offset[1]]``; both are periodic.
    `fringes` are cycles a pixel of the phase of the secondary against the reference.
    """
    rng = np.random.default_rng(seed)
    down, across = gains(shape, bands, hamming)

    def draw():
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) * down[:, None] * across

    common, other = draw(), draw()
    at = fft.fftfreq(shape[0])[:, None] * offset[0] + fft.fftfreq(shape[1]) * offset[1]
    both = coherence * common + np.sqrt(1 - coherence**2) * other
    reference, secondary = fft.ifft2(common), fft.ifft2(both * np.exp(-2j * np.pi * at))
    ramp = np.arange(shape[0])[:, None] * fringes[0] + np.arange(shape[1]) * fringes[1]
    scale = 1 / np.sqrt(np.mean(np.abs(reference) ** 2))
    return (
        (reference * scale).astype(np.complex64),
        (secondary * scale * np.exp(2j * np.pi * ramp)).astype(np.complex64),
    )


def oversampled(image):
    """Twice the samples of a periodic image in both directions, exactly."""
    rows, cols = image.shape
    out = np.zeros((2 * rows, 2 * cols), complex)
    out[rows // 2 : rows // 2 + rows, cols // 2 : cols // 2 + cols] = fft.fftshift(fft.fft2(image))
    return fft.ifft2(fft.ifftshift(out)) * 4


def nmad(errors):
    """Spread of errors about the truth, robustly."""
    return float(1.4826 * np.median(np.abs(errors)))
