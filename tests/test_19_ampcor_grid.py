"""Windows and filter of ISCE2's dense offsets."""

from __future__ import annotations

import numpy as np
import pytest

from sensetrack.errors import ConfigError, NoMatchError
from sensetrack.sar.ampcor import ampcor
from sensetrack.sar.ampcor_filter import filter_offsets
from sensetrack.sar.ampcor_grid import posts, require_settings


@pytest.mark.parametrize(
    ("shape", "window", "search", "skip", "windows", "first"),
    [
        ((13000, 25000), (64, 64), (20, 20), (32, 32), (393, 768), (275, 224)),
        ((6000, 25000), (64, 256), (10, 30), (8, 44), (706, 545), (217, 528)),
    ],
)
def test_windows_are_where_isce2_has_them(shape, window, search, skip, windows, first):
    """Numbers and first centres (down, across; px from 1) as the program gives them for these sizes."""
    found = posts(shape, shape, window=window, search=search, skip=skip)
    assert (found.shape, found.reported) == (windows, first)
    assert set(np.diff(found.rows)) == {skip[0]}
    assert set(np.diff(found.cols)) == {skip[1]}
    # Where a window says it is: half a row after its centre and half a column before, px from 1.
    centre = found.rows[0] + window[0] / 2 + 0.5, found.cols[0] + window[1] / 2 + 0.5
    assert (first[0] - centre[0], first[1] - centre[1]) == (0.5, -0.5)


def test_windows_and_results_agree_on_where_they_are():
    shape = (420, 520)
    found = posts(shape, shape, window=(32, 48), search=(8, 10), skip=(30, 50))
    assert min(found.shape) > 1
    image = np.random.default_rng(1).gamma(2, 1, shape)
    result = ampcor(image, image, window=(32, 48), search=(8, 10), starts=found.starts)
    assert tuple(int(part[0]) for part in result.reported) == found.reported
    assert (result.flags == 0).all()
    # All search areas lie inside, away from the rim.
    assert found.rows[0] - 8 >= 50
    assert found.rows[-1] + 32 + 8 <= shape[0] - 50
    assert found.cols[0] - 10 >= 50
    assert found.cols[-1] + 48 + 10 <= shape[1] - 50


def test_gross_offsets_and_smaller_secondaries_leave_windows_out():
    settings = {"window": (64, 64), "search": (20, 20), "skip": (32, 32)}
    usual = posts((1500, 1500), (1500, 1500), **settings)
    ahead = posts((1500, 1500), (1500, 1500), **settings, gross=(-200, 150))
    assert ahead.rows[0] >= usual.rows[0] + 150 - 32
    assert ahead.cols[0] == usual.cols[0]
    assert usual.cols[-1] - ahead.cols[-1] in range(150 - 32, 150 + 32)
    smaller = posts((1500, 1500), (1500, 1300), **settings)
    assert usual.cols[-1] - smaller.cols[-1] in range(200 - 32, 200 + 32)
    np.testing.assert_array_equal(smaller.rows, usual.rows)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        # Widths and heights of a published notebook, whose search and window were swapped with the step.
        ({"window": (16, 64), "search": (32, 128)}, "less than twice the window along the rows, instead got 32 for 16"),
        ({"window": (63, 64)}, "even number of rows, instead got 63"),
        ({"search": (20, 7)}, "at least 8 px along the columns, instead got 7"),
        ({"skip": (0, 32)}, "skip must be at least 1 px along the rows"),
    ],
)
def test_settings_that_isce2_refuses(change, said):
    settings = {"window": (64, 64), "search": (20, 20), "skip": (32, 32)} | change
    with pytest.raises(ConfigError, match=said):
        posts((5000, 5000), (5000, 5000), **settings)


def test_a_small_search_is_refused_by_dense_offsets_only():
    require_settings((16, 16), (4, 4))
    with pytest.raises(ConfigError, match="at least 8 px"):
        require_settings((16, 16), (4, 4), dense=True)


def test_images_without_room_are_named():
    with pytest.raises(NoMatchError, match=r"no room along the rows for a window of \(64, 64\) px"):
        posts((350, 5000), (350, 5000), window=(64, 64), search=(20, 20), skip=(32, 32))


def offsets():
    rng = np.random.default_rng(4)
    d_row, d_col = (rng.normal(level, 1, (23, 31)).astype(np.float32) for level in (3, -5))
    snr = rng.gamma(3, 2, d_row.shape).astype(np.float32)
    missing = rng.random(d_row.shape) < 0.2
    missing[5:12, 8:17] = True
    for part in (d_row, d_col, snr):
        part[missing] = np.nan
    d_row[0, 0] = 400
    return d_row, d_col, snr


def test_the_median_of_isce2_counts_the_null_value():
    d_row, d_col, snr = offsets()
    before = d_row.copy()
    kept = [np.where(snr >= 2.5, part, -10000) for part in (d_row, d_col)]
    got = filter_offsets(d_row, d_col, snr, least_snr=2.5)
    np.testing.assert_array_equal(d_row, before)
    for values, found in zip(kept, got, strict=True):
        mirrored = np.pad(values, 2, mode="symmetric")
        expected = np.array(
            [[sorted(mirrored[i : i + 5, j : j + 5].ravel())[12] for j in range(31)] for i in range(23)]
        )
        np.testing.assert_array_equal(np.isnan(found), expected == -10000)
        known = ~np.isnan(found)
        np.testing.assert_array_equal(found[known], expected[known].astype(np.float32))
        assert np.isnan(found[8, 12])
        assert known[values == -10000].any(), "lonely gaps are filled"


def test_the_masked_median_leaves_out_what_was_not_measured():
    d_row, d_col, snr = offsets()
    left_out = np.isnan(d_row) | ~(snr >= 2.5)
    got = filter_offsets(d_row, d_col, snr, least_snr=2.5, size=3, how="masked")
    for values, found in zip((d_row, d_col), got, strict=True):
        np.testing.assert_array_equal(np.isnan(found), left_out)
        masked = np.pad(np.where(left_out, np.nan, values), 1, constant_values=np.nan)
        for i, j in zip(*np.nonzero(~left_out), strict=True):
            assert found[i, j] == pytest.approx(np.nanmedian(masked[i : i + 3, j : j + 3]), abs=1e-6)
    assert got[0][0, 0] < 10, "the blunder in the corner is gone"


def test_without_a_limit_the_snr_is_not_asked_for():
    d_row, d_col, _ = offsets()
    got = filter_offsets(d_row, d_col, size=1)
    np.testing.assert_array_equal(got[0], d_row)
    np.testing.assert_array_equal(got[1], d_col)
    with pytest.raises(ConfigError, match="needs the SNR"):
        filter_offsets(d_row, d_col, least_snr=2)
    with pytest.raises(ConfigError, match="odd"):
        filter_offsets(d_row, d_col, size=4)
    with pytest.raises(ConfigError, match="how must be one of isce2, masked"):
        filter_offsets(d_row, d_col, how="mean")
