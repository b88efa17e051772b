"""Zero-mean normalised cross-correlation of chips inside search areas, exact where pixels are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLAT = 1e-5
"""Variance, relative to the (2nd to 98th percentile) spread of the image squared, below which pixels are flat."""


def zncc(
    chips: NDArray[Any],
    chips_valid: NDArray[np.bool_],
    areas: NDArray[Any],
    areas_valid: NDArray[np.bool_],
    min_valid: float = 0.5,
) -> NDArray[np.float32]:
    """Correlate chips with every place of their search areas that holds a whole chip.

    At each shift only pixels that are valid in both are counted, and means and variances are those of exactly
    these pixels (Padfield 2012, "Masked object registration in the Fourier domain"); with nothing missing that
    is the ordinary zero-mean normalised cross-correlation.

    Parameters
    ----------
    chips : ndarray
        (n, h, w), scaled to a spread near 1.
    chips_valid : ndarray of bool
        (n, h, w), True = usable.
    areas, areas_valid : ndarray
        (n, h + 2 p, w + 2 q): what the chips are looked for in.
    min_valid : float
        Share of a chip's pixels that must be valid in both at a shift.

    Returns
    -------
    ndarray of float32
        (n, 2 p + 1, 2 q + 1), -1..1; entry [:, p, q] is no shift. NaN where too few pixels are valid or one
        side is flat.
    """
    out = np.full(
        (len(chips), areas.shape[1] - chips.shape[1] + 1, areas.shape[2] - chips.shape[2] + 1),
        np.nan,
        np.float32,
    )
    whole = chips_valid.all(axis=(1, 2)) & areas_valid.all(axis=(1, 2))
    enough = chips_valid.mean(axis=(1, 2)) >= min_valid
    for subset, kernel in ((whole, _whole), (enough & ~whole, _masked)):
        if subset.any():
            out[subset] = kernel(chips[subset], chips_valid[subset], areas[subset], areas_valid[subset], min_valid)
    return out


def _correlator(shape: tuple[int, int], chip: tuple[int, int]) -> tuple[Any, Any]:
    """Return a forward transform and the inverse of a product, cut to the shifts that hold a whole chip."""
    size = [fft.next_fast_len(length, real=True) for length in shape]
    rows, cols = shape[0] - chip[0] + 1, shape[1] - chip[1] + 1

    def forward(values: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(fft.rfft2(values, s=size))

    def inverse(chip_spectrum: NDArray[Any], area_spectrum: NDArray[Any]) -> NDArray[Any]:
        both = fft.irfft2(np.conj(chip_spectrum) * area_spectrum, s=size)
        return np.asarray(both[:, :rows, :cols])

    return forward, inverse


def _box_sums(values: NDArray[Any], chip: tuple[int, int]) -> NDArray[Any]:
    """Sum of `values` under a chip at every place that holds a whole one."""
    total = np.zeros((len(values), values.shape[1] + 1, values.shape[2] + 1))
    np.cumsum(values, axis=1, out=total[:, 1:, 1:])
    np.cumsum(total[:, 1:, 1:], axis=2, out=total[:, 1:, 1:])
    h, w = chip
    return np.asarray(total[:, h:, w:] - total[:, :-h, w:] - total[:, h:, :-w] + total[:, :-h, :-w])


def _whole(
    chips: NDArray[Any],
    _chips_valid: NDArray[np.bool_],
    areas: NDArray[Any],
    _areas_valid: NDArray[np.bool_],
    _min_valid: float,
) -> NDArray[Any]:
    chip = chips.shape[1], chips.shape[2]
    count = chip[0] * chip[1]
    # One level taken off both keeps the sums of squares small; the correlation does not see it.
    level = chips.mean(axis=(1, 2), keepdims=True, dtype=float)
    centred, areas = (np.asarray(part - level, np.float32) for part in (chips, areas))
    forward, inverse = _correlator(areas.shape[1:], chip)
    cross = inverse(forward(centred), forward(areas))
    chip_power = (centred**2).sum(axis=(1, 2))[:, None, None]
    sums = _box_sums(areas, chip)
    area_power = _box_sums(np.square(areas, dtype=float), chip) - sums**2 / count
    return _ratio(cross, chip_power, area_power, count)


def _masked(
    chips: NDArray[Any],
    chips_valid: NDArray[np.bool_],
    areas: NDArray[Any],
    areas_valid: NDArray[np.bool_],
    min_valid: float,
) -> NDArray[Any]:
    chip = chips.shape[1], chips.shape[2]
    used = chips_valid.astype(float)
    number = np.maximum(used.sum(axis=(1, 2), keepdims=True), 1)
    level = (chips * used).sum(axis=(1, 2), keepdims=True) / number
    a, b = (chips - level) * used, (areas - level) * areas_valid
    forward, inverse = _correlator(areas.shape[1:], chip)
    mask_a, mask_b = forward(used), forward(areas_valid.astype(float))
    spectrum_a, spectrum_b = forward(a), forward(b)
    count = np.round(inverse(mask_a, mask_b))
    safe = np.maximum(count, 1)
    sum_a, sum_b = inverse(spectrum_a, mask_b), inverse(mask_a, spectrum_b)
    cross = inverse(spectrum_a, spectrum_b) - sum_a * sum_b / safe
    power_a = inverse(forward(a**2), mask_b) - sum_a**2 / safe
    power_b = inverse(mask_a, forward(b**2)) - sum_b**2 / safe
    surface = _ratio(cross, power_a, power_b, safe)
    surface[count < min_valid * chip[0] * chip[1]] = np.nan
    return surface


def _ratio(cross: NDArray[Any], power_a: NDArray[Any], power_b: NDArray[Any], count: Any) -> NDArray[Any]:
    textured = (power_a > FLAT * count) & (power_b > FLAT * count)
    scale = np.sqrt(np.where(textured, power_a * power_b, 1.0))
    return np.where(textured, np.clip(cross / scale, -1, 1), np.nan)
