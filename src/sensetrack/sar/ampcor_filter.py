"""ISCE2's filter of dense offsets, and one that leaves out what was not measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from scipy import ndimage

from sensetrack.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

How = Literal["isce2", "masked"]
"""``isce2``: the null value takes part in the median like any other; ``masked``: only what was measured does."""

_ROWS_AT_ONCE = 256
"""Rows whose neighbourhoods are held in memory together."""


def filter_offsets(
    d_row: NDArray[np.floating],
    d_col: NDArray[np.floating],
    snr: ArrayLike | None = None,
    *,
    least_snr: float | None = None,
    size: int = 5,
    how: How = "isce2",
    null: float = -10000.0,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Leave out what has little SNR and take the median of square neighbourhoods.

    Parameters
    ----------
    d_row, d_col : (rows, cols)
        Offsets, px; NaN = not measured.
    snr : (rows, cols), optional
        Needed where `least_snr` is given; NaN is less than any limit.
    least_snr : float, optional
        Offsets with a smaller SNR are left out first; by default none is.
    size : int
        Side of the neighbourhood, odd.
    how : {"isce2", "masked"}
        "isce2": what is left out is `null` while medians are taken, and the image goes on as its mirror image: a
        post becomes NaN where most of its neighbourhood was not measured, and gets a value where most of it was.
        "masked": the median of those that were measured and lie in the image; what was left out stays NaN.
    null : float
        Far below every offset.

    Returns
    -------
    (d_row, d_col), (rows, cols) float32
        NaN where nothing is known.
    """
    if how not in get_args(How):
        raise ConfigError(f"how must be one of {', '.join(get_args(How))}, instead got {how!r}")
    if size < 1 or size % 2 == 0:
        raise ConfigError(f"size must be odd and at least 1, instead got {size}")
    left_out = np.isnan(d_row) | np.isnan(d_col)
    if least_snr is not None:
        if snr is None:
            raise ConfigError("a limit of the SNR needs the SNR")
        left_out |= ~(np.asarray(snr) >= least_snr)
    row, col = (np.where(left_out, np.nan, part).astype(np.float32) for part in (d_row, d_col))
    if how == "masked":
        return _masked_median(row, size), _masked_median(col, size)
    return _median_with_null(row, size, null), _median_with_null(col, size, null)


def _median_with_null(values: NDArray[np.float32], size: int, null: float) -> NDArray[np.float32]:
    filled = np.where(np.isnan(values), np.float32(null), values)
    median = ndimage.median_filter(filled, size=size)
    return np.where(median == np.float32(null), np.float32(np.nan), median)


def _masked_median(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    half = size // 2
    wide = np.pad(values, half, constant_values=np.nan)
    out = np.full(values.shape, np.nan, np.float32)
    for top in range(0, values.shape[0], _ROWS_AT_ONCE):
        strip = values[top : top + _ROWS_AT_ONCE]
        around = np.lib.stride_tricks.sliding_window_view(wide[top : top + len(strip) + 2 * half], (size, size))
        known = ~np.isnan(strip)
        ordered = np.sort(around[known].reshape(-1, size * size), axis=1)  # NaN last
        number = np.count_nonzero(~np.isnan(ordered), axis=1)
        i = np.arange(len(ordered))
        out[top : top + len(strip)][known] = (ordered[i, (number - 1) // 2] + ordered[i, number // 2]) / 2
    return out
