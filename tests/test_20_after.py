"""Before and after matching: contrast, whole-image shift, flags, bias."""

from __future__ import annotations

import numpy as np
import pytest

from sensetrack import Flag, Grid, Image, ImagePair, OffsetField
from sensetrack.errors import ConfigError, InputError
from sensetrack.ot.bias import nmad, unbias
from sensetrack.ot.filters import flag_low_score, flag_outliers
from sensetrack.ot.gross import gross_shift
from sensetrack.ot.image_processing import PREPROCESSORS, get_preprocessor, preprocess
from truth import TALL, UTM, arrays, make_pair, uniform


def field_of(d_row, d_col, **layers):
    shape = d_row.shape
    return OffsetField(
        d_row.astype(np.float32), d_col.astype(np.float32), np.zeros(shape, np.uint16), Grid(shape), **layers
    )


# --- preprocessing -----------------------------------------------------------------------------------------------


@pytest.fixture(params=sorted(PREPROCESSORS))
def preprocessor(request):
    return get_preprocessor(request.param)()


def test_validity_is_untouched(preprocessor):
    pixels = arrays((60, 70), seed=1)[0]
    pixels[:9, :9] = -9999
    pixels[30, 40] = np.nan
    before = pixels.copy()
    image = Image(pixels, TALL, UTM, nodata=-9999)
    out = preprocessor(image)
    np.testing.assert_array_equal(out.valid, image.valid)
    np.testing.assert_array_equal(pixels, before)
    assert out.grid.same_as(image.grid)
    assert np.isfinite(out.image[image.valid]).all()


def test_what_is_not_valid_does_not_leak(preprocessor):
    results = []
    for fill in (-9999.0, 1e6):
        pixels = arrays((60, 70), seed=1)[0]
        pixels[20:30, 20:30] = fill
        results.append(preprocessor(Image(pixels, nodata=fill)).image)
    np.testing.assert_array_equal(*results)


def test_constant_and_empty_images_survive(preprocessor):
    assert np.isfinite(preprocessor(Image(np.full((20, 30), 5.0))).image).all()
    assert not preprocessor(Image(np.full((20, 30), np.nan))).valid.any()


def test_filtering_a_tile_is_cutting_the_filtered_image(preprocessor):
    out = preprocessor(Image(arrays((60, 70), seed=1)[0]))
    np.testing.assert_array_equal(out.read(slice(10, 30), slice(5, 44))[0], out.image[10:30, 5:44])


def test_equalize_ranks_whatever_the_distribution():
    values = np.random.default_rng(0).uniform(size=(80, 90))
    for pixels in (values, np.exp(20 * values), -np.exp(-20 * values)):
        ranks = get_preprocessor("equalize")()(Image(pixels)).image
        assert np.abs(ranks - values).max() < 0.02
    few = get_preprocessor("equalize")()(Image(np.repeat([[0, 10, 255]], 4, axis=0).astype(np.uint8))).image
    assert few[0] == pytest.approx([1 / 6, 0.5, 5 / 6])


def test_unknown_preprocessing_names_the_known():
    with pytest.raises(ConfigError, match="there is no preprocessing 'sharpen'; there are clahe, "):
        get_preprocessor("sharpen")


# --- whole-image shift -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "shift"), [((400, 330), (61, -43)), ((180, 160), (-20, 11)), ((150, 190), (0, 0))])
def test_gross_shift_is_exact_to_the_pixel(shape, shift):
    pair = preprocess(ImagePair(*make_pair(shape, uniform(*shift), seed=6)), get_preprocessor("equalize")())
    found = gross_shift(pair)
    assert found.shift == shift


def test_no_shift_is_believed_between_unrelated_images():
    rng = np.random.default_rng(0)
    found = gross_shift(ImagePair(*(Image(rng.normal(size=(300, 280))) for _ in range(2))))
    assert found.shift == (0, 0)
    assert found.score < 0.25


# --- flags -------------------------------------------------------------------------------------------------------


def test_low_scores_and_ratios():
    score = np.array([[0.2, 0.5, np.nan]], np.float32)
    ratio = np.array([[3.0, 1.1, 3.0]], np.float32)
    field = field_of(np.ones((1, 3)), np.ones((1, 3)), score=score, peak_ratio=ratio)
    assert flag_low_score(field, 0.3).flags.tolist() == [[Flag.LOW_SCORE, 0, 0]]
    assert flag_low_score(field, 0.3, 1.2).flags.tolist() == [[Flag.LOW_SCORE, Flag.LOW_SCORE, 0]]


def smooth(shape=(20, 26)):
    row, col = np.indices(shape)
    return 5 + 0.2 * row + 0.05 * col, -3 + 0.1 * row - 0.3 * col


def test_outliers_are_found_and_gradients_are_not():
    d_row, d_col = smooth()
    d_row[7, 9] += 4
    d_col[15, 3] -= 2
    d_row[0, 0] += 3
    flags = flag_outliers(field_of(d_row, d_col)).flags
    wrong = np.zeros_like(flags, bool)
    wrong[[7, 15, 0], [9, 3, 0]] = True
    assert (flags[wrong] == Flag.OUTLIER).all()
    assert (flags[~wrong] == 0).all()


def test_an_edge_of_motion_is_kept():
    d_row, d_col = np.zeros((20, 26)), np.zeros((20, 26))
    d_row[:, 12:] = 8
    assert flag_outliers(field_of(d_row, d_col)).good.mean() > 0.97


def test_chance_matches_do_not_support_each_other():
    rng = np.random.default_rng(1)
    field = field_of(*rng.uniform(-12, 12, size=(2, 40, 40)))
    assert flag_outliers(field).good.mean() < 0.01


def test_a_cluster_of_chance_matches_in_noise_is_flagged():
    rng = np.random.default_rng(1)
    d_row, d_col = rng.uniform(-12, 12, size=(2, 40, 40))
    d_row[20:22, 20:22], d_col[20:22, 20:22] = 9, 9
    assert not flag_outliers(field_of(d_row, d_col)).good[20:22, 20:22].any()


def test_flagged_posts_are_no_neighbours():
    d_row, d_col = smooth()
    bad = np.zeros(d_row.shape, bool)
    bad[5:12, 5:8] = True
    d_row[bad] += 50
    flags = flag_outliers(field_of(d_row, d_col).flagged(bad, Flag.LOW_SCORE)).flags
    assert (flags[~bad] == 0).mean() > 0.98
    assert (flags[bad] == Flag.LOW_SCORE).all()


# --- bias --------------------------------------------------------------------------------------------------------


def ramped(seed=0, noise=0.05):
    rng = np.random.default_rng(seed)
    shape = (30, 40)
    row, col = np.indices(shape)
    d_row = 0.8 + 0.01 * row - 0.02 * col + rng.normal(scale=noise, size=shape)
    d_col = -0.4 + 0.03 * row + 0.005 * col + rng.normal(scale=2 * noise, size=shape)
    moving = np.zeros(shape, bool)
    moving[8:16, 10:20] = True
    d_row[moving] += 5
    d_col[moving] -= 3
    return field_of(d_row, d_col), moving


def test_a_plane_over_stable_ground_is_removed():
    field, moving = ramped()
    clean, report = unbias(field, ~moving, "plane")
    assert np.median(clean.d_row[moving]) == pytest.approx(5, abs=0.03)
    assert np.median(clean.d_col[moving]) == pytest.approx(-3, abs=0.06)
    assert report.nmad_after == pytest.approx((0.05, 0.10), rel=0.1)
    assert report.nmad_before[0] > 3 * report.nmad_after[0]
    assert report.coefficients[0][1:] == pytest.approx((0.01, -0.02), abs=1e-3)
    assert report.coefficients[1][1:] == pytest.approx((0.03, 0.005), abs=1e-3)
    assert report.posts == (~moving).sum()


def test_the_median_is_removed_and_blunders_do_not_matter():
    field, moving = ramped()
    flat = field_of(field.d_row * 0 + 0.7, field.d_col * 0 - 1.2)
    flat.d_row[:3] = 40  # forgotten in the mask of what moves
    clean, report = unbias(flat, ~moving, "median")
    assert report.median_before == pytest.approx((0.7, -1.2))
    assert np.abs(clean.d_col).max() < 1e-6
    assert clean.d_row[20, 20] == pytest.approx(0, abs=1e-6)


def test_without_formal_errors_the_scatter_is_the_error():
    field, moving = ramped()
    clean, report = unbias(field, ~moving, "plane")
    np.testing.assert_allclose(np.sqrt(clean.covariance[..., 0]), report.nmad_after[0], rtol=1e-5)


def test_formal_errors_are_scaled_to_the_scatter():
    field, moving = ramped(noise=0.1)
    formal = np.zeros((*field.grid.shape, 3), np.float32)
    formal[..., 0], formal[..., 1] = 0.02**2, 0.02**2
    clean, report = unbias(field_of(field.d_row, field.d_col, covariance=formal), ~moving, "plane")
    assert report.sigma_scale == pytest.approx((5, 10), rel=0.1)
    share = np.abs(clean.d_row / np.sqrt(clean.covariance[..., 0]))[~moving] < 1
    assert share.mean() == pytest.approx(0.68, abs=0.05)


def test_too_little_stable_ground():
    field, moving = ramped()
    few = np.zeros_like(moving)
    few[0, :4] = True
    with pytest.raises(InputError, match="at least 10 good posts, instead got 4"):
        unbias(field, few)


def test_nmad_is_a_standard_deviation_blind_to_outliers():
    values = np.random.default_rng(0).normal(3, 2, 100_000)
    values[:1000] = 1e6
    assert nmad(values) == pytest.approx(2, rel=0.03)
    assert np.isnan(nmad(np.array([])))
