"""Flags and medians of radar fields: what is missing takes no part, and nothing is deleted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from radar_posts import posts_of
from sar_truth import radar_grid
from sensetrack.errors import ConfigError
from sensetrack.ot.fields import Flag
from sensetrack.sar.radar_filters import RadarFilters, filtered, flag_low_snr, median_filtered


def noisy(shape=(30, 41), seed=4):
    rng = np.random.default_rng(seed)
    row, col = np.mgrid[: shape[0], : shape[1]]
    d_row = (3 + 0.01 * row - 0.02 * col + rng.normal(0, 0.02, shape)).astype(np.float32)
    d_col = (-5 + 0.03 * row + 0.01 * col + rng.normal(0, 0.03, shape)).astype(np.float32)
    covariance = np.full((*shape, 3), 1e-3, np.float32)
    posts = posts_of(radar_grid(), shape=shape, d_row=d_row, d_col=d_col, covariance=covariance)
    snr, score = rng.uniform(4, 9, shape).astype(np.float32), rng.uniform(0.3, 0.9, shape).astype(np.float32)
    return posts.with_field(replace(posts.field, snr=snr, score=score))


def test_a_median_is_that_of_what_is_known():
    posts = noisy()
    d_row, d_col, flags = (getattr(posts.field, name).copy() for name in ("d_row", "d_col", "flags"))
    d_row[3:6, 7:9] = d_col[3:6, 7:9] = np.nan
    flags[3:6, 7:9] = Flag.LOW_TEXTURE
    flags[12, 20], d_row[12, 20] = Flag.OUTLIER, -10_000.0
    d_row[20:27, 30:37] = d_col[20:27, 30:37] = np.nan
    flags[20:27, 30:37] = Flag.NO_DATA
    before = posts.with_field(replace(posts.field, d_row=d_row, d_col=d_col, flags=flags))
    after = median_filtered(before, (5, 3))
    good = flags == 0
    known = np.where(good, d_row, np.nan)
    for row, col in ((0, 0), (4, 6), (12, 21), (29, 40), (19, 31), (14, 3)):
        window = known[max(row - 2, 0) : row + 3, max(col - 1, 0) : col + 2]
        assert after.field.d_row[row, col] == pytest.approx(np.nanmedian(window), abs=1e-6)
    np.testing.assert_array_equal(after.field.flags, flags)
    np.testing.assert_array_equal(after.field.d_row[~good], d_row[~good])
    np.testing.assert_array_equal(after.field.covariance, before.field.covariance)
    row, col = np.mgrid[:30, :41]
    rest = [np.std((field.d_row - (3 + 0.01 * row - 0.02 * col))[good]) for field in (before.field, after.field)]
    assert rest[1] < 0.5 * rest[0]
    # the input is as it was
    assert before.field.d_row[12, 20] == -10_000
    assert np.isnan(before.field.d_row[3, 7])


def test_small_holes_are_filled_where_asked():
    posts = noisy()
    d_row, d_col, flags = (getattr(posts.field, name).copy() for name in ("d_row", "d_col", "flags"))
    for hole, flag in ((np.s_[3:5, 7:9], Flag.LOW_TEXTURE), (np.s_[20:27, 30:37], Flag.NO_DATA)):
        d_row[hole] = d_col[hole] = np.nan
        flags[hole] = flag
    before = posts.with_field(replace(posts.field, d_row=d_row, d_col=d_col, flags=flags))
    after = median_filtered(before, (5, 5), fill=True)
    assert (after.field.flags[3:5, 7:9] == Flag.FILLED).all()
    row, col = np.mgrid[3:5, 7:9]
    np.testing.assert_allclose(after.field.d_row[3:5, 7:9], 3 + 0.01 * row - 0.02 * col, atol=0.05)
    assert np.isnan(after.field.covariance[3:5, 7:9]).all()
    # the middle of a large hole stays one
    assert np.isnan(after.field.d_row[22:25, 32:35]).all()
    assert (after.field.flags[22:25, 32:35] == Flag.NO_DATA).all()
    assert not (after.field.flags & Flag.FILLED)[~(flags > 0)].any()


def test_low_ratios_are_flagged():
    posts = noisy()
    snr = posts.field.snr.copy()
    snr[2, 3] = np.nan
    posts = posts.with_field(replace(posts.field, snr=snr))
    found = flag_low_snr(posts, 6.0)
    np.testing.assert_array_equal((found.field.flags & Flag.LOW_SCORE) > 0, snr < 6)
    assert 0.2 < found.field.good.mean() < 0.8
    np.testing.assert_array_equal(found.field.d_row, posts.field.d_row)
    bare = posts.with_field(replace(posts.field, snr=None))
    assert flag_low_snr(bare, 6.0) is bare


def test_steps_in_their_order():
    posts = noisy()
    d_row, d_col = posts.field.d_row.copy(), posts.field.d_col.copy()
    d_row[10, 11] += 4
    d_col[22, 5] -= 3
    posts = posts.with_field(replace(posts.field, d_row=d_row, d_col=d_col))
    found = filtered(posts, RadarFilters())
    assert np.argwhere(found.field.flags == Flag.OUTLIER).tolist() == [[10, 11], [22, 5]]
    np.testing.assert_array_equal(found.field.d_row, d_row)
    assert filtered(posts, RadarFilters(outliers=False)).field.good.all()
    low = filtered(posts, RadarFilters(min_score=0.4, outliers=False)).field.flags
    np.testing.assert_array_equal(low > 0, posts.field.score < 0.4)
    # outliers are no part of the medians
    smooth = filtered(posts, RadarFilters(median=5))
    assert smooth.field.d_row[10, 11] == d_row[10, 11]
    assert abs(smooth.field.d_row[10, 12] - (3 + 0.1 - 0.24)) < 0.03
    filled = filtered(posts, RadarFilters(median="5x3", fill=True))
    assert filled.field.flags[10, 11] == Flag.FILLED
    assert abs(filled.field.d_row[10, 11] - (3 + 0.1 - 0.22)) < 0.05
    snr = posts.field.snr.copy()
    snr[:, 20] = snr[14, :20] = 1.0
    cut = filtered(
        posts.with_field(replace(posts.field, snr=snr)), RadarFilters(min_snr=2, smallest=300, outliers=False)
    )
    assert (cut.field.flags[:14, :20] == Flag.OUTLIER).all()
    assert (cut.field.flags[15:, :20] == 0).all()


def test_windows_are_odd():
    with pytest.raises(ConfigError, match="median must be odd, instead got 4 x 5"):
        RadarFilters(median=(4, 5))
    with pytest.raises(ConfigError, match="size of a median must be odd, instead got 3 x 2"):
        median_filtered(noisy(), (3, 2))
