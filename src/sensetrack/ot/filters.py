"""Say which posts are not to be trusted, and why. Nothing is ever deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

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
    min_support: float = 0.4,
    passes: int = 2,
    spacing: tuple[int, int] = (1, 1),
) -> OffsetField:
    """Raise OUTLIER where a post disagrees with its neighbours.

    The normalised median test (Westerweel and Scarano 2005, "Universal outlier detection for PIV data") on the
    24 neighbours in a 5 x 5 square, each component apart: an outlier is further from their median than
    `threshold` times (their median absolute deviation + `noise`). A post most of whose measured neighbours are
    not good is one as well: chance agreements are few and apart.

    Parameters
    ----------
    threshold : float
        Unitless.
    noise : float
        Scatter that is always accepted, px.
    min_support : float
        Share of the measured neighbours that must be good.
    passes : int
        How often the test is made; what fell in one is no neighbour in the next.
    spacing : (int, int)
        Posts between the neighbours that are looked at: offsets of a dense flow say nothing about each other
        within one window.
    """
    for _ in range(passes):
        field = field.flagged(_disagreeing(field, threshold, noise, min_support, spacing), Flag.OUTLIER)
    return field


def _disagreeing(
    field: OffsetField, threshold: float, noise: float, min_support: float, spacing: tuple[int, int]
) -> NDArray[np.bool_]:
    """Tell good posts that fail the normalised median test once."""
    good = field.good
    wrong = np.zeros(good.shape, bool)
    for component in (field.d_row, field.d_col):
        values = np.where(good, component, np.nan).astype(np.float32)
        for start in range(0, good.shape[0], _ROWS_AT_ONCE):
            rows = slice(start, min(start + _ROWS_AT_ONCE, good.shape[0]))
            near, number = _neighbours(values, rows, spacing)
            measured = _neighbours(component, rows, spacing)[1]
            middle = _median(near, number)
            spread = _median(np.abs(near - middle), number)
            far = np.abs(values[rows] - middle) > threshold * (spread + noise)
            wrong[rows] |= far | (number < min_support * measured)
    return wrong & good


def _neighbours(values: NDArray[Any], rows: slice, spacing: tuple[int, int]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Values of the 24 neighbours of some rows, (24, rows, cols), NaN = unknown; and how many are known."""
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
    near = np.stack(
        [
            padded[i : i + number, j : j + width]
            for i in range(0, 2 * reach[0] + 1, spacing[0])
            for j in range(0, 2 * reach[1] + 1, spacing[1])
            if (i, j) != reach
        ]
    )
    return near, np.isfinite(near).sum(axis=0)


def _median(values: NDArray[Any], number: NDArray[Any]) -> NDArray[Any]:
    """Median along axis 0 of the `number` values that are not NaN; much faster than `numpy.nanmedian`."""
    values = np.sort(values, axis=0)
    low, high = np.maximum((number - 1) // 2, 0), np.minimum(number // 2, len(values) - 1)
    pick = (np.take_along_axis(values, place[None], axis=0)[0] for place in (low, high))
    return np.asarray(sum(pick) / np.float32(2))


def flag_area(field: OffsetField, inside: NDArray[np.bool_]) -> OffsetField:
    """Raise OUT_OF_AOI outside an area of interest."""
    return field.flagged(~inside, Flag.OUT_OF_AOI)
