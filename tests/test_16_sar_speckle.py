"""Speckle filters and texture, on speckle whose mean and looks are known."""

from __future__ import annotations

import numpy as np
import pytest

from sensetrack.errors import ConfigError, InputError
from sensetrack.sar import speckle as speckle_module
from sensetrack.sar.features import MEASURES, Texture, Textured, normalised_difference, ratio
from sensetrack.sar.half_windows import half_windows, sub_windows
from sensetrack.sar.sigma_range import sigma_range
from sensetrack.sar.speckle import METHODS, Despeckled, SpeckleFilter, equivalent_looks

MEAN = 0.08


def speckled(looks: float = 1.0, shape=(300, 420), mean: float = MEAN, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(looks, mean / looks, shape).astype(np.float32)


def enl(image: np.ndarray) -> float:
    return float(np.nanmean(image) ** 2 / np.nanvar(image))


def test_refined_lee_keeps_the_mean_and_quiets_one_look_speckle():
    image = speckled()
    filtered = SpeckleFilter("refined_lee", window=7, looks=1)(image)
    assert enl(image) == pytest.approx(1, abs=0.03)
    assert filtered.mean() == pytest.approx(image.mean(), rel=0.01)
    assert enl(filtered) > 4 * enl(image)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("looks", [1.0, 4.4])
def test_each_filter_quiets_speckle_and_keeps_the_mean(method, looks):
    image = speckled(looks, (200, 260))
    filtered = SpeckleFilter(method, looks=looks)(image)
    assert enl(filtered) > 2.5 * enl(image)
    # The most likely intensity lies below the mean one, by nature of that estimate.
    assert filtered.mean() == pytest.approx(image.mean(), rel=0.045 if method == "gamma_map" else 0.02)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("window", [(7, 7), (3, 9), (11, 5)])
def test_a_constant_stays(method, window):
    image = np.full((24, 31), 0.037, np.float32)
    image[3:5, 8] = np.nan
    filtered = SpeckleFilter(method, window=window, looks=3)(image)
    np.testing.assert_allclose(filtered, image, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("window", [(7, 7), (3, 9), (11, 5)])
def test_nan_does_not_leak_and_is_not_filled(method, window):
    image = speckled(2, (60, 83))
    holes = image.copy()
    holes[20:26, 30:41] = np.nan
    holes[-1, 0] = np.inf
    before = holes.copy()
    speckle = SpeckleFilter(method, window=window, looks=2)
    filtered, whole = speckle(holes), speckle(image)
    missing = ~np.isfinite(holes)
    np.testing.assert_array_equal(np.isnan(filtered), missing)
    np.testing.assert_array_equal(holes, before)
    # What is further away than half a window has not noticed.
    down, across = speckle.halo
    near = np.zeros(missing.shape, bool)
    for row, col in np.argwhere(missing):
        near[max(row - down, 0) : row + down + 1, max(col - across, 0) : col + across + 1] = True
    np.testing.assert_array_equal(filtered[~near], whole[~near])
    assert (filtered[near & ~missing] != whole[near & ~missing]).any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("window", [(7, 7), (5, 11)])
def test_windows_of_a_filtered_image_are_those_of_the_whole(method, window):
    image = speckled(1, (71, 94))
    image[40:44, 50:60] = np.nan
    image[30:33, 20:23] = 9.0
    speckle = SpeckleFilter(method, window=window, bright=5.0)
    whole, lazy = speckle(image), Despeckled(image, speckle)
    assert lazy.shape == image.shape
    for rows, cols in [(slice(0, 20), slice(0, 17)), (slice(33, 64), slice(45, 94)), (slice(28, 29), slice(21, 22))]:
        np.testing.assert_array_equal(lazy[rows, cols], whole[rows, cols])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("window", [(7, 7), (3, 9)])
def test_the_numpy_way_gives_the_same(method, window, monkeypatch):
    image = speckled(1, (50, 63)) - np.float32(0.01)  # negative where noise was taken off
    image[10:14, 20:29] = np.nan
    image[40:43, 5:8] = 3.0
    speckle = SpeckleFilter(method, window=window, bright=2.0)
    compiled = speckle(image)
    monkeypatch.setattr(speckle_module, "WORKS", False)
    np.testing.assert_allclose(speckle(image), compiled, rtol=1e-5, atol=1e-9)


def test_a_boxcar_is_the_mean_of_its_window():
    image = speckled(1, (20, 30))
    filtered = SpeckleFilter("boxcar", window=(3, 5))(image)
    assert filtered[7, 11] == pytest.approx(image[6:9, 9:14].mean(), rel=1e-6)
    assert filtered[0, 29] == pytest.approx(image[:2, 27:].mean(), rel=1e-6)


@pytest.mark.parametrize("turned", [False, True])
def test_refined_lee_keeps_an_edge_that_a_boxcar_blurs(turned):
    image = speckled(4, (200, 121))
    image[:, 61:] *= 8
    image = image.T if turned else image
    sharp, blurred = (SpeckleFilter(method, looks=4)(image) for method in ("refined_lee", "boxcar"))
    sharp, blurred = (part.T if turned else part for part in (sharp, blurred))
    # The column beside the edge, on its darker side.
    assert sharp[:, 60].mean() < 1.35 * MEAN
    assert blurred[:, 60].mean() > 3 * MEAN
    assert sharp[:, 61].mean() > 6.5 * MEAN


def test_lee_sigma_keeps_targets_and_the_others_weigh_them():
    image = speckled(2, (41, 52))
    image[20:23, 30:33] = 50.0
    kept = SpeckleFilter("lee_sigma", looks=2, bright=10.0)(image)
    assert kept[21, 31] == 50.0
    assert kept[21, 27] < 3 * MEAN
    assert SpeckleFilter("boxcar")(image)[21, 27] > 30 * MEAN
    assert SpeckleFilter("gamma_map", looks=2)(image)[21, 31] > 40


def test_half_windows_are_those_of_lee():
    first, last = half_windows((3, 3))
    assert (last - first + 1).clip(0).sum(axis=1).tolist() == [28] * 8
    assert sub_windows(3) == (1, 2)
    # Towards the right, from the middle column; towards the upper right, from the diagonal.
    assert first[0].tolist() == [0] * 7
    assert last[0].tolist() == [3] * 7
    assert first[4].tolist() == [-3, -2, -1, 0, 1, 2, 3]


@pytest.mark.parametrize(
    ("looks", "share", "low", "high", "deviation"),
    # Lee et al. (2009), intensity of one, two and four looks.
    [(1, 0.9, 0.084, 3.941, 0.8191), (1, 0.5, 0.436, 1.920, 0.4057), (2, 0.9, 0.221, 2.744, 0.5699),
     (4, 0.9, 0.378, 2.094, 0.3987)],
)  # fmt: skip
def test_sigma_range_is_that_of_the_published_tables(looks, share, low, high, deviation):
    found = sigma_range(looks, share)
    assert found[0] == pytest.approx(low, abs=2e-3)
    assert found[1] == pytest.approx(high, abs=1e-2)
    assert np.sqrt(found[2]) == pytest.approx(deviation, abs=2e-3)


@pytest.mark.parametrize("looks", [1.0, 4.4, 20.0])
def test_looks_are_estimated_beside_texture_and_holes(looks):
    image = speckled(looks, (640, 960), seed=3)
    image[:, 700:] *= np.linspace(1, 30, 260, dtype=np.float32)
    image[:200, :150] = np.nan
    assert equivalent_looks(image) == pytest.approx(looks, rel=0.12)
    assert np.isnan(equivalent_looks(image[:30, :40]))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"window": (7, 4)}, "odd"), ({"window": 1}, "odd"), ({"looks": 0}, "greater than 0"),
     ({"method": "kuan"}, "boxcar")],
)  # fmt: skip
def test_a_filter_that_cannot_be_is_refused(wrong, words):
    with pytest.raises(ConfigError, match=words):
        SpeckleFilter(**wrong)


def test_complex_pixels_are_refused():
    for what in (SpeckleFilter(), Texture()):
        with pytest.raises(InputError, match="complex64"):
            what(np.ones((9, 9), np.complex64))


def test_ratios_are_nan_where_one_is_not_measured():
    co = np.array([[0.2, 0.3, np.nan, 0.1, -0.1]], np.float32)
    cross = np.array([[0.05, 0.0, 0.1, np.nan, 0.1]], np.float32)
    np.testing.assert_allclose(ratio(co, cross), [[4, np.nan, np.nan, np.nan, np.nan]], rtol=1e-6)
    found = normalised_difference(co, cross)
    np.testing.assert_allclose(found, [[0.6, 1, np.nan, np.nan, np.nan]], rtol=1e-6)
    with pytest.raises(InputError, match="one shape"):
        ratio(co, cross[:, :2])


def test_textures_of_speckle_are_what_they_should_be():
    image = speckled(4, (200, 240))
    deviation = 10 / np.log(10) * np.sqrt(0.283823)  # of the logarithm of 4 looks: trigamma(4)
    inside = slice(10, -10), slice(10, -10)
    assert Texture("variation")(image)[inside].mean() == pytest.approx(0.5, rel=0.03)
    assert Texture("deviation")(image)[inside].mean() == pytest.approx(deviation, rel=0.03)
    assert Texture("contrast")(image)[inside].mean() == pytest.approx(2 * deviation**2, rel=0.03)
    assert abs(Texture("correlation", window=21)(image)[inside].mean()) < 0.02


def test_contrast_is_that_of_all_neighbours_in_the_window():
    image = speckled(2, (9, 12))
    image[4, 6] = np.nan
    decibels = 10 * np.log10(image.astype(float))[2:7, 3:8]
    pairs = np.concatenate([np.diff(decibels, axis=axis).ravel() for axis in (0, 1)])
    assert Texture("contrast", window=5)(image)[4, 5] == pytest.approx(np.nanmean(pairs**2), rel=1e-5)


def test_correlation_rises_with_what_neighbours_share():
    rng = np.random.default_rng(2)
    log = rng.normal(size=(120, 141))
    smooth = log[:-1, :-1] + log[1:, :-1] + log[:-1, 1:] + log[1:, 1:]  # neighbours share a half
    found = Texture("correlation", window=25)(10 ** (smooth / 10))
    assert found[15:-15, 15:-15].mean() == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("window", [(9, 9), (3, 7)])
def test_texture_of_constants_of_holes_and_of_windows(measure, window):
    texture = Texture(measure, window=window)
    flat = texture(np.full((20, 33), 0.2))
    expected = np.nan if measure == "correlation" else 0
    np.testing.assert_allclose(flat, np.full((20, 33), expected), atol=1e-6)
    image = speckled(1, (40, 53))
    image[12:15, 20:22] = np.nan
    image[30, 40] = -0.01
    whole = texture(image)
    np.testing.assert_array_equal(np.isnan(whole), np.isnan(image))
    lazy = Textured(image, texture)
    for rows, cols in [(slice(0, 9), slice(0, 53)), (slice(10, 23), slice(15, 30)), (slice(38, 40), slice(50, 53))]:
        np.testing.assert_array_equal(lazy[rows, cols], whole[rows, cols])
