"""Windowed phase correlation: windows, agreement with scikit-image, what the score is worth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.registration import phase_cross_correlation

from sensetrack import Flag, Image
from sensetrack.errors import InputError
from sensetrack.ot.algorithms import SkiPCC_Vector, stepped_rolling_window
from sensetrack.ot.phase import phase_correlate
from truth import arrays, bump, make_pair, rmse, truth_at, uniform

SIZES = st.integers(1, 9)


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(9, 40), st.integers(9, 40)), st.tuples(SIZES, SIZES), st.tuples(SIZES, SIZES))
def test_windows_are_counted_and_centred_as_the_formula_says(shape, window, step):
    array = np.arange(shape[0] * shape[1]).reshape(shape)
    windows, centres = stepped_rolling_window(array, window, step)
    rows, cols = ((n - w) // s + 1 for n, w, s in zip(shape, window, step, strict=True))
    assert windows.shape == (rows * cols, *window)
    assert len(windows) == len(centres) == rows * cols
    k = (rows * cols) // 2
    i, j = divmod(k, cols)
    assert tuple(centres[k]) == (i * step[0] + window[0] // 2, j * step[1] + window[1] // 2)
    corner = array[i * step[0] : i * step[0] + window[0], j * step[1] : j * step[1] + window[1]]
    np.testing.assert_array_equal(windows[k], corner)
    np.testing.assert_array_equal(np.asarray(windows)[k], corner)
    np.testing.assert_array_equal(windows[k : k + 1][0], corner)


def test_windows_are_views_that_end():
    array = np.zeros((300, 400), np.float32)
    windows, _ = stepped_rolling_window(array, 32, 4)
    assert np.shares_memory(windows.view, array)
    assert np.shares_memory(windows[5], array)
    assert sum(1 for _ in windows) == len(windows)
    with pytest.raises(IndexError, match="no window 6324"):
        windows[len(windows)]
    with pytest.raises(InputError, match="32 x 500"):
        stepped_rolling_window(array, (32, 500), 4)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize(("shape", "upsample"), [((48, 64), 1), ((48, 64), 10), ((33, 47), 4), ((40, 40), 100)])
def test_shifts_are_those_of_scikit_image(normalise, shape, upsample):
    """Without taper, in one pass; scikit-image returns the correction, hence the sign."""
    motion = bump((150, 190), peak=(4, -3), sigma=60)
    first, second = (part.astype(np.float32) for part in arrays((150, 190), motion, seed=2))
    a, b = (np.asarray(stepped_rolling_window(part, shape, 23)[0]) for part in (first, second))
    a, b = (part - part.mean(axis=(1, 2), keepdims=True) for part in (a, b))
    d_row, d_col, _ = phase_correlate(a, b, normalise=normalise, upsample=upsample)
    norm = "phase" if normalise else None
    pairs = zip(a, b, strict=True)
    theirs = -np.array([phase_cross_correlation(*p, normalization=norm, upsample_factor=upsample)[0] for p in pairs])
    apart = np.abs(np.stack([d_row, d_col], -1) - theirs).max(axis=1)
    assert len(apart) > 15
    # The highest frequency has no sign: scikit-image gives it one, here it is shared out; that is some hundredths.
    assert (apart <= max(1 / upsample, 0.08) + 1e-6).mean() > 0.97  # where two peaks are as high, either may win


def test_the_class_gives_these_shifts_at_the_right_windows():
    first, second = arrays((150, 190), uniform(3, 5), seed=3)
    field = SkiPCC_Vector((40, 48), (16, 24), True, 10, taper=False)(Image(first), Image(second))
    windows, other = (stepped_rolling_window(part, (40, 48), (16, 24))[0] for part in (first, second))
    k = 2 * field.d_row.shape[1] + 3
    shift = -phase_cross_correlation(windows[k], other[k], upsample_factor=10)[0]
    assert (field.d_row[2, 3], field.d_col[2, 3]) == pytest.approx(tuple(shift), abs=0.11)
    assert field.start == (20, 24)
    assert field.step == (16, 24)


def test_what_moves_out_of_the_window_pulls_to_zero_until_it_is_followed():
    images = make_pair((150, 190), uniform(3, 5), seed=3)
    one = SkiPCC_Vector(32, 8, upsmp_fac=20)(*images)
    two = SkiPCC_Vector(32, 8, upsmp_fac=20, passes=2)(*images)
    assert np.median(one.d_col[one.good]) < 4.97
    assert np.median(two.d_col[two.good]) == pytest.approx(5, abs=0.01)
    assert np.median(two.d_row[two.good]) == pytest.approx(3, abs=0.01)


def test_accuracy_on_a_gaussian_bump():
    motion = bump((320, 360), sigma=70)
    images = make_pair((320, 360), motion, seed=1)
    for options, limit in (({"passes": 2}, 0.06), ({"phase_norm": False, "passes": 2}, 0.05)):
        field = SkiPCC_Vector(64, 16, upsmp_fac=20, **options)(*images)
        assert field.good.mean() > 0.95
        assert rmse(field, truth_at(field, motion, (64, 64))) < limit


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("window", [32, 64])
def test_nrms_separates_a_match_from_noise(normalise, window):
    """As the table of points says it: below 0.2 on a match, above 0.9 on noise, whatever the normalisation."""
    matcher = SkiPCC_Vector(window, 16, normalise, 10)
    images = make_pair((200, 240), uniform(3.3, -2.7), seed=6)
    match = matcher(*images).to_geodataframe()
    assert (match.NRMS < 0.2).mean() > 0.97
    assert np.median(match.RSHIFT) == pytest.approx(66, abs=4)  # 20 m rows, moved down
    assert np.median(match.CSHIFT) == pytest.approx(-27, abs=2)
    assert match.L2.to_numpy() == pytest.approx(np.hypot(match.RSHIFT, match.CSHIFT).to_numpy(), rel=1e-3)
    rng = np.random.default_rng(0)
    noise = matcher(*(Image(rng.normal(size=(200, 240))) for _ in "ab")).to_geodataframe()
    assert (noise.NRMS > 0.9).all()


def test_without_taper_the_rim_makes_a_false_peak_at_zero():
    """A gradient of light that stays while the ground moves: the wrap-around of a window is an edge that stays too."""
    first, second = arrays((200, 240), uniform(4, 6), seed=5)
    light = 12 * first.std() * np.indices(first.shape).sum(axis=0) / 200
    images = Image(first + light), Image(second + light)
    still = {}
    for taper in (False, True):
        field = SkiPCC_Vector(32, 8, upsmp_fac=10, taper=taper)(*images)
        still[taper] = np.mean(field.magnitude < 1)
    assert still[False] > 0.01
    assert still[True] == 0


def test_windows_without_texture_or_data_are_flagged():
    first, second = (part.copy() for part in arrays((150, 190), seed=3))
    first[:60, :70] = 5.0
    second[90:, 120:] = np.nan
    field = SkiPCC_Vector(32, 8)(Image(first), Image(second))
    assert field.flags[0, 0] == Flag.LOW_TEXTURE
    assert field.flags[-1, -1] == Flag.NO_DATA
    assert np.isnan(field.d_row[[0, -1], [0, -1]]).all()
    assert np.median(field.d_row[field.good]) == 3
