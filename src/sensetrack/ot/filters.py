"""Say which posts are not to be trusted, and why. Nothing is ever deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import ndimage

from sensetrack.ot.interfaces import Flag, OffsetField

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROWS_AT_ONCE = 256
"""Rows of posts whose neighbourhoods are held in memory together."""


def flag_low_score(field: OffsetField, min_score: float, min_peak_ratio: float = 1.0) -> OffsetField:
    """Raise LOW_SCORE where the score, or the ratio of highest to second highest peak, is below its limit."""
    low = np.zeros(field.flags.shape, bool)
    for layer, limit in ((field.score, min_score), (field.peak_ratio, min_peak_ratio)):
        if layer is not None:
            low |= layer < limit
    return field.flagged(low, Flag.LOW_SCORE)


def flag_outliers(
    field: OffsetField,
    *,
    threshold: float = 2.0,
    noise: float = 0.2,
    agreement: float = 2.0,
    min_support: float = 0.3,
    passes: int = 2,
    spacing: tuple[int, int] = (1, 1),
) -> OffsetField:
    """Raise OUTLIER where a post disagrees with its neighbours.

    The normalised median test (Westerweel and Scarano 2005, "Universal outlier detection for PIV data") on the
    24 neighbours in a 5 x 5 square, each component apart: an outlier is further from their median than
    `threshold` times (their median absolute deviation + `noise`). Where chance matches abound, that deviation is
    large and lets them pass; hence a post is an outlier as well where too few of its measured neighbours are good
    and agree with it.

    Parameters
    ----------
    threshold : float
        Unitless.
    noise : float
        Scatter that is always accepted, px.
    agreement : float
        Neighbours agree that differ by less, px.
    min_support : float
        Share of the measured neighbours that must be good and agree.
    passes : int
        How often the test is made; what fell in one is no neighbour in the next.
    spacing : (int, int)
        Posts between the neighbours that are looked at: offsets of a dense flow say nothing about each other
        within one window.
    """
    limits = _Limits(threshold, noise, agreement, min_support)
    for _ in range(passes):
        field = field.flagged(_disagreeing(field, limits, spacing), Flag.OUTLIER)
    return field


class _Limits(NamedTuple):
    threshold: float
    noise: float
    agreement: float
    min_support: float


def _disagreeing(field: OffsetField, limits: _Limits, spacing: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell good posts that fail the test once."""
    good = field.good
    wrong = np.zeros(good.shape, bool)
    components = [np.where(good, part, np.nan).astype(np.float32) for part in (field.d_row, field.d_col)]
    for start in range(0, good.shape[0], _ROWS_AT_ONCE):
        rows = slice(start, min(start + _ROWS_AT_ONCE, good.shape[0]))
        agree: NDArray[np.bool_] | bool = True
        for values in components:
            near = _neighbours(values, rows, spacing)
            number = np.isfinite(near).sum(axis=0)
            middle = _median(near, number)
            spread = _median(np.abs(near - middle), number)
            wrong[rows] |= np.abs(values[rows] - middle) > limits.threshold * (spread + limits.noise)
            agree = agree & (np.abs(near - values[rows]) < limits.agreement)
        measured = np.isfinite(_neighbours(field.d_row, rows, spacing)).sum(axis=0)
        wrong[rows] |= np.sum(agree, axis=0) < limits.min_support * measured
    return wrong & good


def _neighbours(values: NDArray[Any], rows: slice, spacing: tuple[int, int]) -> NDArray[Any]:
    """Values of the 24 neighbours of some rows, (24, rows, cols), NaN = unknown."""
    reach = 2 * spacing[0], 2 * spacing[1]
    height, width = values.shape
    padded = np.pad(
        values[max(rows.start - reach[0], 0) : rows.stop + reach[0]],
        (
            (max(reach[0] - rows.start, 0), max(rows.stop + reach[0] - height, 0)),
            (reach[1], reach[1]),
        ),
        constant_values=np.nan,
    )
    number = rows.stop - rows.start
    return np.stack(
        [
            padded[i : i + number, j : j + width]
            for i in range(0, 2 * reach[0] + 1, spacing[0])
            for j in range(0, 2 * reach[1] + 1, spacing[1])
            if (i, j) != reach
        ]
    )


def _median(values: NDArray[Any], number: NDArray[Any]) -> NDArray[Any]:
    """Median along axis 0 of the `number` values that are not NaN; much faster than `numpy.nanmedian`."""
    values = np.sort(values, axis=0)
    low, high = np.maximum((number - 1) // 2, 0), np.minimum(number // 2, len(values) - 1)
    pick = (np.take_along_axis(values, place[None], axis=0)[0] for place in (low, high))
    return np.asarray(sum(pick) / np.float32(2))


def flag_islands(field: OffsetField, smallest: int) -> OffsetField:
    """Raise OUTLIER on good posts that hang together in groups of fewer than `smallest`.

    Within its smoothing window a dense flow agrees with itself: where it lost the ground, it leaves islands of one
    opinion in a sea of flags.
    """
    groups, _ = ndimage.label(field.good)
    return field.flagged(field.good & (np.bincount(groups.ravel())[groups] < smallest), Flag.OUTLIER)


def flag_area(field: OffsetField, inside: NDArray[np.bool_]) -> OffsetField:
    """Raise OUT_OF_AOI outside an area of interest."""
    return field.flagged(~inside, Flag.OUT_OF_AOI)
