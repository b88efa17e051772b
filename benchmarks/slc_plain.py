"""Offsets of complex chips as one would write them with scipy: what the others are held against."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import fft

PAD = 8
"""Pixels around what is oversampled: the transform takes it for periodic."""
ZOOM = 16


def oversampled(chip: Any, factor: int = 2) -> Any:
    """Return the amplitude of complex pixels at `factor` times as many samples along each axis."""
    if factor == 1:
        return np.abs(chip)
    shape = [size * factor for size in chip.shape]
    spectrum = fft.fftshift(fft.fft2(chip))
    wide = np.zeros(shape, spectrum.dtype)
    top, left = ((big - size) // 2 for big, size in zip(shape, chip.shape, strict=True))
    wide[top : top + chip.shape[0], left : left + chip.shape[1]] = spectrum
    return np.abs(fft.ifft2(fft.ifftshift(wide))) * factor**2


def shifted(chip: Any, down: float, right: float) -> Any:
    """Return complex pixels at places `down` rows and `right` columns further."""
    rows, cols = (fft.fftfreq(size) for size in chip.shape)
    turn = np.exp(2j * np.pi * (rows[:, None] * down + cols * right)).astype(np.complex64)
    return fft.ifft2(fft.fft2(chip) * turn)


def likeness(chip: Any, area: Any) -> Any:
    """Return the zero-mean normalised cross-correlation of a chip at all its places in an area."""
    shape = [fft.next_fast_len(size, real=True) for size in area.shape]
    own = chip - chip.mean()
    own /= np.sqrt((own**2).sum())
    places = tuple(slice(0, big - small + 1) for big, small in zip(area.shape, chip.shape, strict=True))
    cross = fft.irfft2(fft.rfft2(area, shape) * fft.rfft2(own, shape).conj(), shape)[places]
    sums = [np.pad(part.astype(np.float64), ((1, 0), (1, 0))).cumsum(0).cumsum(1) for part in (area, area**2)]
    h, w = chip.shape
    total, squares = (s[h:, w:] - s[:-h, w:] - s[h:, :-w] + s[:-h, :-w] for s in sums)
    return cross / np.sqrt(np.maximum(squares - total**2 / chip.size, 1e-20))


def peak(surface: Any, reach: int = 8) -> tuple[float, float]:
    """Return row and column of the highest place: of a piece ZOOM times finer, and between by parabolas."""
    row, col = (int(at) for at in np.unravel_index(np.argmax(surface), surface.shape))
    top, left = (min(max(at - reach, 0), size - 2 * reach) for at, size in zip((row, col), surface.shape, strict=True))
    piece = surface[top : top + 2 * reach, left : left + 2 * reach]
    level = piece.mean()
    window = np.hanning(2 * reach + 2)[1:-1]
    spectrum = fft.fft2(piece - level)
    fine = np.arange(-1, 1 + 0.5 / ZOOM, 1 / ZOOM)
    waves = fft.fftfreq(2 * reach)
    del window
    down, right = (np.exp(2j * np.pi * np.outer(at + fine, waves)) for at in (row - top, col - left))
    zoomed = (down @ spectrum @ right.T).real
    i, j = (int(at) for at in np.unravel_index(np.argmax(zoomed), zoomed.shape))
    i, j = min(max(i, 1), fine.size - 2), min(max(j, 1), fine.size - 2)
    return row + fine[i] + _vertex(zoomed[i - 1 : i + 2, j]) / ZOOM, col + fine[j] + _vertex(
        zoomed[i, j - 1 : j + 2]
    ) / ZOOM


def _vertex(three: Any) -> float:
    bend = three[0] - 2 * three[1] + three[2]
    return float(np.clip(0.5 * (three[0] - three[2]) / bend, -1, 1)) if bend < 0 else 0.0


def match(reference: Any, secondary: Any, chip: tuple[int, int], search: tuple[int, int], factor: int = 2) -> Any:
    """Return how far the middle of one complex piece is moved in another, (rows, columns), px.

    Both are chip + 2 (search + PAD) pixels large; the amplitude is taken at `factor` times as many samples.
    """
    edge = [reach + PAD for reach in search]
    own = reference[edge[0] - PAD : edge[0] + chip[0] + PAD, edge[1] - PAD : edge[1] + chip[1] + PAD]
    own = oversampled(own, factor)
    near = factor * PAD
    own = own[near : near + factor * chip[0], near : near + factor * chip[1]]
    area = oversampled(secondary, factor)[near:-near, near:-near]
    row, col = peak(likeness(own, area[: area.shape[0] - factor + 1, : area.shape[1] - factor + 1]))
    return row / factor - search[0], col / factor - search[1]
