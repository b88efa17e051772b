"""Surfaces and peaks, against definitions written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensetrack.ot.correlation import zncc
from sensetrack.ot.matching import match_chips
from sensetrack.ot.peak import MARGIN, find_peaks
from truth import arrays, uniform


def by_definition(chip, chip_valid, area, area_valid, min_valid):
    """Pearson's correlation of the pixels valid in both, shift by shift."""
    h, w = chip.shape
    out = np.full((area.shape[0] - h + 1, area.shape[1] - w + 1), np.nan)
    for i, j in np.ndindex(out.shape):
        both = chip_valid & area_valid[i : i + h, j : j + w]
        a, b = chip[both], area[i : i + h, j : j + w][both]
        if both.sum() >= min_valid * both.size and a.std() > 1e-2 and b.std() > 1e-2:
            out[i, j] = np.corrcoef(a, b)[0, 1]
    return out


@settings(max_examples=25, deadline=None)
@given(
    st.integers(3, 9), st.integers(3, 9), st.integers(0, 4), st.integers(0, 4),
    st.floats(0, 0.5), st.floats(0, 0.5), st.integers(0, 2**31), st.floats(-1e3, 1e3),
)  # fmt: skip
def test_the_surface_is_the_correlation_of_what_is_valid(h, w, p, q, holes_a, holes_b, seed, level):
    rng = np.random.default_rng(seed)
    chips = rng.normal(size=(3, h, w)) + level
    areas = rng.normal(size=(3, h + 2 * p, w + 2 * q)) + level
    chips_valid = rng.uniform(size=chips.shape) >= holes_a
    areas_valid = rng.uniform(size=areas.shape) >= holes_b
    chips[~chips_valid], areas[~areas_valid] = 0, 0
    found = zncc(chips, chips_valid, areas, areas_valid, 0.5)
    for n in range(3):
        expected = by_definition(chips[n], chips_valid[n], areas[n], areas_valid[n], 0.5)
        known = np.isfinite(expected)
        assert (np.isfinite(found[n]) >= known).all()
        np.testing.assert_allclose(found[n][known], expected[known], atol=1e-4)


def test_non_square_chips_and_searches():
    reference, secondary = arrays((80, 120), uniform(4, -7), seed=2)
    m, n = 20, 36
    chip = reference[None, 24 : 24 + m, 40 : 40 + n]
    area = secondary[None, 24 - 6 - MARGIN : 24 + m + 6 + MARGIN, 40 - 9 - MARGIN : 40 + n + 9 + MARGIN]
    peaks = match_chips(chip, np.ones_like(chip, bool), area, np.ones_like(area, bool), search=(6, 9))
    assert peaks.row[0] == pytest.approx(4, abs=0.05)
    assert peaks.col[0] == pytest.approx(-7, abs=0.05)
    assert not peaks.at_edge[0]


def surface(row, col, shape=(31, 35), width=2.0, height=0.8):
    """A Gaussian peak with exactly known place, and a lower, narrower one too far off to move it."""
    r, c = np.indices(shape)
    r, c = r - shape[0] // 2, c - shape[1] // 2
    first = height * np.exp(-((r - row) ** 2 + (c - col) ** 2) / (2 * width**2))
    return first + 0.25 * np.exp(-((r - 7) ** 2 + (c + 8) ** 2) / (2 * 1.2**2))


@settings(max_examples=50, deadline=None)
@given(st.floats(-3.5, 3.5), st.floats(-3.5, 3.5))
def test_a_peak_between_samples_is_found(row, col):
    peaks = find_peaks(surface(row, col)[None], (9, 10))
    assert peaks.row[0] == pytest.approx(row, abs=0.02)
    assert peaks.col[0] == pytest.approx(col, abs=0.02)
    assert peaks.score[0] == pytest.approx(0.8, abs=0.01)
    assert peaks.curvature[0, 0] == pytest.approx(-0.8 / 4, rel=0.06)
    assert peaks.curvature[0, 2] == pytest.approx(0, abs=0.01)
    assert peaks.peak_ratio[0] == pytest.approx(0.8 / 0.25, rel=0.06)


def test_a_peak_on_the_edge_of_the_search_is_said_to_be():
    peaks = find_peaks(np.stack([surface(9, 0), surface(-12, 2), surface(2, 10), surface(2, 3)]), (9, 10))
    assert peaks.at_edge.tolist() == [True, True, True, False]


def test_surfaces_with_nothing_in_them():
    empty = np.full((1, 31, 35), np.nan)
    peaks = find_peaks(empty, (9, 10))
    assert peaks.missing[0]
    assert np.isnan([peaks.row[0], peaks.col[0], peaks.score[0]]).all()
    beside = surface(1, 2)
    beside[:, :19] = np.nan  # the peak's left neighbour is unknown
    assert find_peaks(beside[None], (9, 10)).at_edge[0]


def test_noise_has_a_low_snr_and_peak_ratio():
    rng = np.random.default_rng(0)
    noise = find_peaks(rng.normal(scale=0.1, size=(50, 31, 35)), (9, 10))
    clear = find_peaks(surface(1.3, -2.4)[None] + rng.normal(scale=0.02, size=(50, 31, 35)), (9, 10))
    assert np.median(clear.snr) > 2 * np.median(noise.snr)
    assert np.percentile(noise.peak_ratio, 95) < np.percentile(clear.peak_ratio, 5)


@pytest.mark.parametrize("d", [0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9])
def test_there_is_little_locking_to_whole_pixels(d):
    reference, secondary = arrays((140, 150), uniform(d, -d), seed=8)
    chip = np.stack([reference[i : i + 32, j : j + 32] for i in (30, 50, 70) for j in (30, 50, 70, 80)])
    reach = 3 + MARGIN
    area = np.stack(
        [
            secondary[i - reach : i + 32 + reach, j - reach : j + 32 + reach]
            for i in (30, 50, 70)
            for j in (30, 50, 70, 80)
        ]
    )
    peaks = match_chips(chip, np.ones_like(chip, bool), area, np.ones_like(area, bool), search=(3, 3))
    assert np.mean(peaks.row) == pytest.approx(d, abs=0.008)
    assert np.mean(peaks.col) == pytest.approx(-d, abs=0.008)
