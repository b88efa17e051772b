"""Which posts of a radar field are not to be trusted, and a median that does not mind what is missing.

ISCE2's own filter, which writes a number where nothing was measured and lets it into its medians, is in
`sensetrack.sar.ampcor_filter`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field, field_validator

from sensetrack.errors import ConfigError
from sensetrack.ot.fields import Flag
from sensetrack.ot.filters import flag_islands, flag_low_score, flag_outliers
from sensetrack.ot.parameters import Parameters, PxPair, both

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.sar.radar_field import RadarField

_ROWS_AT_ONCE = 128
"""Rows of posts whose windows are held in memory together."""


class RadarFilters(Parameters):
    """Steps after the measurement, in this order; each can be left out."""

    min_score: Annotated[float, Field(ge=-1, le=1)] = 0.0
    """Posts with a lower likeness are flagged LOW_SCORE."""
    min_snr: Annotated[float, Field(ge=0)] = 0.0
    """Posts with a lower signal-to-noise ratio are flagged LOW_SCORE."""
    outliers: bool = True
    """Whether posts that disagree with their neighbours are flagged OUTLIER."""
    threshold: Annotated[float, Field(gt=0)] = 2.0
    """An outlier is further from the median of its 24 neighbours than this many times (their scatter + `noise`)."""
    noise: Annotated[float, Field(gt=0)] = 0.2
    """Scatter that is always accepted, px."""
    agreement: Annotated[float, Field(gt=0)] = 2.0
    """Neighbours agree that differ by less, px."""
    min_support: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Share of the measured neighbours that must be good and agree."""
    spacing: Annotated[PxPair, BeforeValidator(both)] = (1, 1)
    """Posts between the neighbours that are looked at: chips that share pixels err together."""
    smallest: Annotated[int, Field(ge=0)] = 0
    """Groups of fewer good posts that hang together are flagged OUTLIER; 0: none are."""
    median: Annotated[PxPair | None, BeforeValidator(both)] = None
    """Rows and columns of posts that medians are taken over, odd; None: no median."""
    fill: bool = False
    """Whether holes get the median of the posts around them, flagged FILLED."""

    @field_validator("median")
    @classmethod
    def _odd(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and not all(size % 2 for size in value):
            raise ConfigError(f"RadarFilters.median must be odd, instead got {value[0]} x {value[1]}")
        return value


def filtered(posts: RadarField, filters: RadarFilters) -> RadarField:
    """Return a copy with flags raised and, with `median`, offsets smoothed."""
    field = flag_low_score(posts.field, filters.min_score)
    posts = flag_low_snr(posts.with_field(field), filters.min_snr)
    if filters.outliers:
        posts = posts.with_field(
            flag_outliers(
                posts.field,
                threshold=filters.threshold,
                noise=filters.noise,
                agreement=filters.agreement,
                min_support=filters.min_support,
                spacing=filters.spacing,
            )
        )
    if filters.smallest:
        posts = posts.with_field(flag_islands(posts.field, filters.smallest))
    return posts if filters.median is None else median_filtered(posts, filters.median, fill=filters.fill)


def flag_low_snr(posts: RadarField, min_snr: float) -> RadarField:
    """Raise LOW_SCORE where the signal-to-noise ratio is below a limit; NaN is not."""
    if posts.field.snr is None:
        return posts
    return posts.with_field(posts.field.flagged(posts.field.snr < min_snr, Flag.LOW_SCORE))


def median_filtered(
    posts: RadarField, size: tuple[int, int] = (5, 5), *, fill: bool = False, min_share: float = 0.5
) -> RadarField:
    """Return a copy in which the offsets of good posts are medians of the good posts around them.

    Parameters
    ----------
    posts : RadarField
    size : (int, int)
        Rows and columns of the window, odd; at the edges it is what is left of it.
    fill : bool
        Whether posts that are not good get the median too, where at least `min_share` of their window is good: their
        only flag then is FILLED, and their standard errors are not known.
    min_share : float
        Share of good posts that a hole needs.

    Returns
    -------
    RadarField
        Standard errors of good posts stay: chips overlap, so that medians of neighbours are hardly better. Posts that
        are not good keep value and flags.
    """
    if min(size) < 1 or not all(part % 2 for part in size):
        raise ConfigError(f"size of a median must be odd, instead got {size[0]} x {size[1]}")
    field, good = posts.field, posts.field.good
    known = [np.where(good, part, np.float32(np.nan)) for part in (field.d_row, field.d_col)]
    middles = [_median(part, size) for part in known]
    holes = np.zeros(good.shape, np.bool_)
    covariance, flags = field.covariance, field.flags
    if fill:
        number, places = _counts(good, size), _counts(np.ones_like(good), size)
        holes = ~good & (number >= min_share * places) & (number > 0)
        flags = np.where(holes, Flag.FILLED.bit, flags)
        if covariance is not None:
            covariance = np.where(holes[..., None], np.float32(np.nan), covariance)
    d_row, d_col = (
        np.where(good | holes, middle, part) for middle, part in zip(middles, (field.d_row, field.d_col), strict=True)
    )
    return posts.with_field(replace(field, d_row=d_row, d_col=d_col, flags=flags, covariance=covariance))


def _windows(values: NDArray[Any], size: tuple[int, int], outside: Any) -> NDArray[Any]:
    half = size[0] // 2, size[1] // 2
    padded = np.pad(values, [(half[0], half[0]), (half[1], half[1])], constant_values=outside)
    return np.lib.stride_tricks.sliding_window_view(padded, size)


def _counts(where: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.intp]:
    """How many posts of each window are True."""
    return np.asarray(_windows(where, size, False).sum(axis=(-2, -1), dtype=np.intp))  # noqa: FBT003  a filler


def _median(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Median of what is not NaN in each window; NaN where all is."""
    out = np.full(values.shape, np.nan, np.float32)
    windows = _windows(values, size, np.float32(np.nan))
    for first in range(0, values.shape[0], _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        near = np.sort(windows[rows].reshape(*out[rows].shape, -1), axis=-1)  # NaN last
        number = np.isfinite(near).sum(axis=-1, keepdims=True)
        low, high = np.maximum((number - 1) // 2, 0), np.minimum(number // 2, near.shape[-1] - 1)
        pair = (np.take_along_axis(near, place, axis=-1)[..., 0] for place in (low, high))
        out[rows] = sum(pair) / np.float32(2)
    return out
