"""Preprocessing: THE CONTRACT over every registered filter, then what each promises by itself."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import ClassVar

import cv2
import numpy as np
import pytest
from pydantic import Field
from skimage import exposure
from threadpoolctl import threadpool_info

from sensetrack import Image, ImagePair
from sensetrack.errors import ConfigError, InputError
from sensetrack.ot.algorithms import NCC
from sensetrack.ot.image_processing import (
    PREPROCESSORS,
    Equalize,
    Preprocessor,
    get_preprocessor,
    preprocess,
    register,
)
from sensetrack.ot.image_processing.dispatcher import dispatcher
from sensetrack.ot.image_processing.local import gaussian, local_mean
from sensetrack.ot.image_processing.svd import automatic_patch, low_rank
from truth import TALL, UTM, arrays, make_pair, uniform

NAMES = sorted(PREPROCESSORS)
PLAIN = {
    "none", "equalize", "minmax", "zscore", "lognorm", "clahe", "svd_denoise", "naof", "orientation", "highpass",
    "dog", "wallis", "local_zscore", "db",
}  # fmt: skip
FIRST_RELEASE = {
    *(f"opencv_{name}" for name in ("equalize", "minmax", "zscore", "lognorm", "clahe", "svd_denoise")),
    *(f"skimage_{name}" for name in ("equalize", "minmax", "zscore", "lognorm", "clahe")),
}
IN_UNITS = {"none", "highpass", "dog", "svd_denoise"}
"""Filters whose result has the unit of the image; that of all others (but dB) does not depend on it."""

each = pytest.mark.parametrize("name", NAMES)
pytestmark = pytest.mark.filterwarnings("error")


@cache
def scene() -> np.ndarray:
    """Texture of a few grey levels around 100, not square, wider than two cells of any default."""
    pixels = arrays((140, 171), seed=1)[0]
    pixels = 100 + 20 * pixels / pixels.std()
    pixels.flags.writeable = False
    return pixels


def with_holes(fill: float = np.nan) -> np.ndarray:
    """The scene with a corner, a strip, a single pixel missing, and a lonely pixel in the middle of nothing."""
    pixels = scene().copy()
    pixels[:30, :41] = fill
    pixels[70:75] = fill
    pixels[100, 120] = fill
    pixels[12, 17] = 90.0
    return pixels


def filtered(name: str, pixels, **parameters) -> np.ndarray:
    image = pixels if isinstance(pixels, Image) else Image(pixels)
    return get_preprocessor(name)(**parameters)(image).image


def alike(first, second) -> float:
    return float(np.corrcoef(np.ravel(first), np.ravel(second))[0, 1])


@pytest.fixture
def registry():
    """A registry that is put back afterwards."""
    before = dict(PREPROCESSORS)
    yield PREPROCESSORS
    PREPROCESSORS.clear()
    PREPROCESSORS.update(before)


def test_every_filter_is_there():
    assert set(NAMES) == PLAIN | FIRST_RELEASE
    for name, filter_ in PREPROCESSORS.items():
        assert filter_.name == name == name.lower()
        assert get_preprocessor(name.upper()) is filter_
    assert get_preprocessor("OpenCV_clahe") is PREPROCESSORS["opencv_clahe"]
    with pytest.raises(ConfigError, match=r"no preprocessing 'sharpen'; there are clahe, .*, none, .*, zscore"):
        get_preprocessor("sharpen")


# --- the contract --------------------------------------------------------------------------------------------------


@each
def test_validity_is_untouched_and_what_is_valid_is_finite(name):
    pixels = with_holes(-9999.0)
    pixels[50, 60] = np.nan
    before = pixels.copy()
    image = Image(pixels, TALL, UTM, nodata=-9999)
    out = get_preprocessor(name)()(image)
    assert out.image.dtype == np.float32
    np.testing.assert_array_equal(np.isfinite(out.image), image.valid)
    np.testing.assert_array_equal(out.valid, image.valid)
    assert out.grid.same_as(image.grid)
    np.testing.assert_array_equal(pixels, before)


@each
def test_inputs_may_be_read_only_and_of_any_order(name):
    pixels = np.asfortranarray(np.rint(scene()).astype(np.int16))
    pixels.flags.writeable = False
    np.testing.assert_array_equal(filtered(name, pixels), filtered(name, np.ascontiguousarray(pixels)))


@each
def test_what_is_not_valid_does_not_leak(name):
    results = [filtered(name, Image(with_holes(fill), nodata=fill)) for fill in (-9999.0, 1e6, np.nan)]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    masked = filtered(name, Image(with_holes(3e19), valid=np.isfinite(with_holes())))
    np.testing.assert_array_equal(results[0], masked)


@each
@pytest.mark.parametrize(
    "pixels",
    [
        np.full((40, 53), 0.1),
        np.full((40, 53), -3e5 / 7, np.float32),
        np.full((9, 70), 7, np.uint8),
        np.zeros((30, 31)),
    ],
    ids=["small", "below zero", "grey", "zero"],
)
def test_constant_images_survive(name, pixels):
    out = filtered(name, pixels)
    assert np.isfinite(out).all()
    assert np.ptp(out) == 0
    holes = pixels.astype(float)
    holes[3:8, 11:40] = np.nan
    out = filtered(name, holes)
    assert np.ptp(out[np.isfinite(holes)]) == 0


@each
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 2)])
def test_tiny_images_survive(name, shape):
    pixels = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    assert np.isfinite(filtered(name, pixels)).all()
    assert np.isnan(filtered(name, np.full(shape, np.nan))).all()
    lonely = np.where(pixels == 1, 1.0, np.nan)
    np.testing.assert_array_equal(np.isfinite(filtered(name, lonely)), np.isfinite(lonely))


@each
def test_extreme_pixels_stay_valid(name):
    pixels = scene().copy()
    pixels[20, 30], pixels[90, 100], pixels[60, 61] = 9.9e19, -9.9e19, 1e-300
    assert np.isfinite(filtered(name, pixels)).all()
    out = get_preprocessor(name)()(Image(pixels))
    assert out.valid.all()


@each
def test_a_window_is_cut_from_the_filtered_image(name):
    out = get_preprocessor(name)()(Image(with_holes()))
    whole = out.image
    spread = np.nanmax(whole) - np.nanmin(whole)
    for rows, cols in (
        ((0, 140), (0, 171)), ((10, 31), (5, 44)), ((67, 140), (129, 171)), ((1, 2), (170, 171)), ((63, 66), (0, 171)),
        ((99, 131), (77, 78)), ((28, 93), (39, 130)),
    ):  # fmt: skip
        window = slice(*rows), slice(*cols)
        np.testing.assert_allclose(out.read(*window)[0], whole[window], rtol=0, atol=1e-5 * spread)
    assert out.data[5:5, 3:9].shape == (0, 6)
    np.testing.assert_array_equal(out.data[3:140:7, :-1:5], whole[3:140:7, :-1:5])


@each
def test_parameters_are_described_and_come_back(name, tmp_path):
    filter_ = get_preprocessor(name)
    assert (vars(filter_).get("__doc__") or "").strip()
    for key, field in filter_.model_fields.items():
        assert (field.description or "").strip(), key
    changes = {"gain": 2.5, "cut": 1.5, "sigma": 2.25, "kernel_size": 5, "k": 2, "quantity": "amplitude", "window": 9}
    made = filter_(**{key: value for key, value in changes.items() if key in filter_.model_fields})
    for kind in ("json", "yaml"):
        path = tmp_path / f"filter.{kind}"
        getattr(made, f"to_{kind}")(path)
        assert getattr(filter_, f"from_{kind}")(path) == made
    with pytest.raises(ConfigError, match=r"has no parameter '?colour"):
        filter_(colour=3)


KINDS = {
    "uint16": lambda grey: (grey * 100).astype(np.uint16),
    "int16": lambda grey: (grey * 50 - 5000).astype(np.int16),
    "float32": lambda grey: grey.astype(np.float32),
    "0 to 1": lambda grey: grey / 255,
    "sigma0": lambda grey: (grey * 1e-8).astype(np.float32),
    "offset": lambda grey: 1e5 + grey * 1e-3,
    "offset of float32": lambda grey: (1e5 + grey).astype(np.float32),
}


@each
@pytest.mark.parametrize("kind", KINDS)
def test_the_unit_of_the_pixels_does_not_matter(name, kind):
    grey = np.clip(np.rint(scene()), 1, 255)
    pixels = KINDS[kind](grey)
    base = filtered(name, grey.astype(np.uint8)).astype(float)
    out = filtered(name, pixels).astype(float)
    gain = float(np.ptp(pixels.astype(float)) / np.ptp(grey))
    level = pixels[0, 0].astype(float) - gain * grey[0, 0]
    spread = np.ptp(base)
    if name == "db":
        if kind in ("int16", "offset", "offset of float32"):  # decibels of something else
            return
        base += 10 * np.log10(gain)
    elif name in IN_UNITS:
        out = (out - (level if name in ("none", "svd_denoise") else 0)) / gain
    # float32 keeps 1/128 of the unit at 1e5. At the edge of a bin, and where there is no slope, rounding may decide.
    rounding = 5e-2 if kind == "offset" and name in ("none", "svd_denoise") else 1e-4
    if name.startswith("opencv"):
        assert np.abs(out - base).max() <= 1
    assert np.quantile(np.abs(out - base), 0.995) <= rounding * spread


@cache
def moved_pair() -> ImagePair:
    """Ground that moved 3 rows down and 5 columns right, as a bright image with some nodata."""
    images = []
    for pixels in arrays((160, 190), uniform(3, 5), seed=4):
        bright = 100 + 20 * pixels / pixels.std()
        bright[:20, :60] = np.nan
        images.append(Image(bright, TALL, UTM))
    return ImagePair(*images)


COARSE = {"skimage_clahe": 0.15, "svd_denoise": 0.12, "opencv_svd_denoise": 0.12}
"""Cells and patches stay where they are while the ground moves, and pull a little."""


@each
def test_motion_is_still_found(name):
    pair = preprocess(moved_pair(), get_preprocessor(name)())
    field = NCC(chip=32, step=16, search=8)(pair.reference, pair.secondary)
    error = np.hypot(field.d_row - 3, field.d_col - 5)[field.good]
    assert field.good.mean() > 0.9
    assert np.quantile(error, 0.95) < COARSE.get(name, 0.1)
    assert np.median(error) < COARSE.get(name, 0.05)
    assert np.median(field.score[field.good]) > 0.75


# --- contrast ------------------------------------------------------------------------------------------------------


def test_minmax_zscore_and_lognorm_are_what_they_say():
    pixels = np.random.default_rng(2).gamma(1.0, 3.0, (60, 70)) - 2
    unit = filtered("minmax", pixels)
    np.testing.assert_allclose(unit, (pixels - pixels.min()) / np.ptp(pixels), atol=1e-6)
    score = filtered("zscore", pixels)
    np.testing.assert_allclose(score, (pixels - pixels.mean()) / pixels.std(), atol=1e-5)
    assert score.min() < -0.5
    np.testing.assert_allclose(filtered("lognorm", pixels, gain=3), 3 * np.log2(1 + unit.astype(float)), atol=1e-5)
    ends = np.percentile(pixels, (5, 95))
    np.testing.assert_allclose(
        filtered("minmax", pixels, cut=5), np.clip((pixels - ends[0]) / np.ptp(ends), 0, 1), atol=1e-6
    )


def test_decibels():
    power = np.array([[10.0, 1.0, 0.1, 0.0, -5.0, 100.0]])
    out = filtered("db", power, floor=-30)
    np.testing.assert_allclose(out, [[10, 0, -10, -30, -30, 20]], atol=1e-6)
    np.testing.assert_allclose(filtered("db", power[:, :3], quantity="amplitude"), [[20, 0, -20]], atol=1e-6)
    # The floor is fitted to what is above zero, and a stray speck of power does not stretch it.
    scene = np.random.default_rng(3).exponential(0.05, (90, 80))
    scene[4, 4], scene[5, 5] = 0.0, 1e-30
    out = filtered("db", scene)
    assert out[4, 4] == out[5, 5] == out.min() > -60
    assert out.max() == pytest.approx(10 * np.log10(scene.max()), abs=1e-4)
    assert (filtered("db", -scene) == 0).all()
    with pytest.raises(ConfigError, match="quantity"):
        get_preprocessor("db")(quantity="voltage")


# --- neighbourhoods ------------------------------------------------------------------------------------------------


def test_normalised_convolution_is_the_weighted_mean_of_what_is_valid():
    rng = np.random.default_rng(5)
    pixels, valid = rng.normal(size=(17, 23)), rng.random((17, 23)) > 0.4
    kernel = gaussian(1.3)
    mean, _ = local_mean(np.where(valid, pixels, 0.0), valid, kernel)
    half = kernel.size // 2
    for row, col in ((0, 0), (8, 11), (16, 3), (5, 22)):
        weights = np.zeros(pixels.shape)
        for i in range(17):
            for j in range(23):
                if abs(i - row) <= half and abs(j - col) <= half:
                    weights[i, j] = kernel[half + i - row] * kernel[half + j - col] * valid[i, j]
        assert mean[row, col] == pytest.approx((weights * pixels).sum() / weights.sum(), rel=1e-12)


def test_highpass_and_dog_drop_what_is_broad():
    row, col = np.indices((120, 130), float)
    broad = 1e5 + 3 * row - 2 * col
    fine = np.sin(2 * np.pi * (row / 3.7 + col / 4.3))
    inside = slice(15, -15), slice(15, -15)
    for name, kept in (("highpass", 0.95), ("dog", 0.3)):
        assert np.abs(filtered(name, broad)[inside]).max() < 1e-3
        out = filtered(name, broad + fine)[inside]
        assert alike(out, fine[inside]) > 0.99
        assert out.std() > kept * fine.std()
    noise = np.random.default_rng(6).normal(size=(120, 130))
    assert filtered("dog", noise, narrow=1.5, wide=3).std() < 0.3 * filtered("highpass", noise).std()
    with pytest.raises(ConfigError, match=r"narrow must be smaller than wide, instead got 2 and 1\.5"):
        get_preprocessor("dog")(narrow=2, wide=1.5)


@pytest.mark.parametrize("name", ["wallis", "local_zscore"])
def test_local_contrast_becomes_one_but_flat_ground_stays_flat(name):
    texture = np.random.default_rng(7).normal(size=(120, 160))
    contrast = np.where(np.arange(160) < 80, 1.0, 20.0)
    out = filtered(name, 300 + contrast * texture, floor=0.001)
    for part in (out[:, 5:45], out[:, 115:155]):
        assert part.mean() == pytest.approx(0, abs=0.05)
        assert part.std() == pytest.approx(1, abs=0.05)
    flat = filtered(name, 300 + np.where(np.arange(160) < 80, 1e-4, 20.0) * texture)
    assert np.abs(flat[:, 5:45]).max() < 0.01


def test_wallis_is_exact_in_its_window():
    pixels = scene()
    out = filtered("wallis", pixels, window=9, floor=1e-6)
    for row, col in ((40, 50), (4, 4), (135, 160)):
        window = pixels[row - 4 : row + 5, col - 4 : col + 5]
        assert out[row, col] == pytest.approx((pixels[row, col] - window.mean()) / window.std(), abs=1e-5)
    np.testing.assert_array_equal(out, filtered("wallis", pixels, window=8, floor=1e-6))


@pytest.mark.parametrize(("d_row", "d_col"), [(2.0, 0.0), (0.0, -3.0), (1.0, 4.0), (-5.0, 1.5)])
def test_orientation_is_the_direction_of_a_slope(d_row, d_col):
    row, col = np.indices((40, 50), float)
    out = filtered("orientation", 7 + d_row * row + d_col * col)
    size = np.hypot(d_row, d_col)
    np.testing.assert_allclose(out[6:-6, 6:-6], (d_row + d_col) / size, atol=1e-5)
    np.testing.assert_allclose(
        filtered("orientation", 7 + d_row * row + d_col * col, sigma=0), (d_row + d_col) / size, atol=1e-5
    )


def test_naof_as_published():
    """Second differences at 0, 90, 45 and 135 degrees: f1, f2, f3, f4; cos + sin of atan2(f1, f2) and atan2(f3, f4)."""
    pixels = scene()
    middle = 2 * pixels[1:-1, 1:-1]
    f1 = middle - pixels[1:-1, 2:] - pixels[1:-1, :-2]
    f2 = middle - pixels[2:, 1:-1] - pixels[:-2, 1:-1]
    f3 = middle - pixels[2:, 2:] - pixels[:-2, :-2]
    f4 = middle - pixels[2:, :-2] - pixels[:-2, 2:]
    angles = np.arctan2(f1, f2), np.arctan2(f3, f4)
    expected = sum(np.cos(angle) + np.sin(angle) for angle in angles)
    out = filtered("naof", pixels, sigma=0)
    np.testing.assert_allclose(out[1:-1, 1:-1], expected, atol=1e-4)
    assert np.abs(out).max() <= 2 * np.sqrt(2) + 1e-6
    # A missing neighbour is taken to be as the one across; where both are missing there is no difference.
    pixels = pixels.copy()
    pixels[59:62, 81] = pixels[59, 79] = pixels[61, 79] = np.nan
    c, west, north, south = pixels[60, 80], pixels[60, 79], pixels[59, 80], pixels[61, 80]
    angle = np.arctan2(2 * (c - west), 2 * c - north - south)
    assert filtered("naof", pixels, sigma=0)[60, 80] == pytest.approx(np.cos(angle) + np.sin(angle), abs=1e-5)


@pytest.mark.parametrize("name", ["naof", "orientation"])
def test_directions_do_not_depend_on_light(name):
    row, col = np.indices(scene().shape, float)
    light = np.exp(np.sin(row / 50) + np.cos(col / 40))
    lit = light * (scene() - 100)
    assert alike(lit, scene()) < 0.9
    assert alike(filtered(name, lit), filtered(name, scene())) > 0.99
    flat = scene().copy()
    flat[40:80, 50:100] = 123.4  # rounding in the smoothing must not look like directions
    assert np.abs(filtered(name, flat)[48:72, 58:92]).max() < 1e-3


# --- CLAHE ---------------------------------------------------------------------------------------------------------


@cache
def grey_scene(shape=(150, 182)) -> np.ndarray:
    pixels = arrays(shape, seed=1)[0]
    return np.clip(np.rint(120 + 35 * pixels / pixels.std()), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("clip_limit", "cells"), [(0.05, 3), (2.0, 3), (4.0, 5), (0.0, 3)])
@pytest.mark.parametrize("shape", [(150, 182), (151, 200)])
def test_clahe_of_opencv(clip_limit, cells, shape):
    grey = grey_scene(shape)
    theirs = cv2.createCLAHE(clip_limit, (cells, cells)).apply(grey)
    ours = filtered("OpenCV_clahe", grey, clip_limit=clip_limit, kernel_size=cells)
    assert alike(ours, theirs) > 0.997
    assert np.abs(ours - theirs).mean() < 6  # OpenCV gives the remainder of what it clips to dark levels


@pytest.mark.parametrize(
    # scikit-image blends cells of 3 px as if they lay one pixel further up and left than they do.
    ("size", "clip_limit", "least"),
    [(3, 0.05, 0.8), (8, 0.05, 0.99), (16, 0.01, 0.9), (32, 0.02, 0.995), (32, 0.0, 0.995)],
)
def test_clahe_of_skimage(size, clip_limit, least):
    unit = (scene() - scene().min()) / np.ptp(scene())
    theirs = exposure.equalize_adapthist(unit, kernel_size=size, clip_limit=clip_limit)
    assert alike(filtered("skimage_clahe", unit, kernel_size=size, clip_limit=clip_limit), theirs) > least


def test_clahe_lifts_dark_and_bright_ground_alike_and_missing_pixels_have_no_say():
    texture = np.random.default_rng(8).normal(size=(256, 256))
    light = np.where(np.arange(256) < 128, 50.0, 200.0)
    lit = light + np.where(np.arange(256) < 128, 1.0, 5.0) * texture
    out = filtered("clahe", lit, clip_limit=0)
    dark, bright = out[:, 8:56].std(), out[:, 200:248].std()
    assert dark / bright == pytest.approx(1, abs=0.25)
    holes = lit.copy()
    holes[64:128, 64:128] = np.nan
    out = filtered("clahe", holes, clip_limit=0)
    beside, far = out[64:128, 50:64], out[150:250, 10:50]
    assert beside.mean() == pytest.approx(far.mean(), abs=0.03)
    assert beside.std() == pytest.approx(far.std(), rel=0.1)


def test_a_clip_limit_keeps_noise_on_flat_ground_down():
    rng = np.random.default_rng(9)
    pixels = 100 + rng.normal(0, 0.5, (192, 192))
    pixels[:64] += rng.normal(0, 40, (64, 192))
    spread = [filtered("clahe", pixels, clip_limit=limit)[130:].std() for limit in (0.005, 0.02, 0.1, 0)]
    assert spread == sorted(spread)
    assert spread[-1] > 3 * spread[0]


def test_small_cells_of_a_wide_image_are_worked_on_in_bands(monkeypatch):
    from sensetrack.ot.image_processing import clahe

    whole = filtered("skimage_clahe", with_holes())
    monkeypatch.setattr(clahe, "_AT_ONCE", 1)
    np.testing.assert_array_equal(filtered("skimage_clahe", with_holes()), whole)


def test_the_grid_of_opencv_clahe_is_fitted_on_every_pixel_whatever_it_is_read_in(monkeypatch):
    from sensetrack.ot.image_processing import flavours

    whole = filtered("opencv_clahe", with_holes(), clip_limit=4)
    monkeypatch.setattr(flavours, "_SIDE", 37)
    np.testing.assert_array_equal(filtered("opencv_clahe", with_holes(), clip_limit=4), whole)


@pytest.mark.parametrize("name", ["equalize", "minmax", "opencv_minmax", "opencv_clahe", "clahe", "db"])
def test_what_a_sample_has_not_seen_counts_as_its_end(name):
    """Statistics of a large image are those of about a megapixel of it; the rest may hold more than they say."""
    pixels = np.random.default_rng(14).uniform(10, 20, (1500, 1200)).astype(np.float32)
    pixels[66, 70] = 1e6  # between two windows of the sample
    out = get_preprocessor(name)()(Image(pixels))
    window = out.read(slice(40, 100), slice(30, 101))[0]
    assert np.isfinite(window).all()
    assert window[26, 40] >= np.quantile(window, 0.99)
    assert window.std() > 0.1 * np.ptp(np.delete(window.ravel(), 26 * 71 + 40))


# --- patches -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "patch"), [(7, 8), (50, 8), (140, 10), (300, 30), (999, 100), (1000, 100), (2600, 200), (20_000, 200)]
)
def test_automatic_patches(side, patch):
    assert automatic_patch((side, side + 900)) == patch


@pytest.mark.parametrize("side", [9, 40])
def test_low_rank_is_the_truncated_singular_value_decomposition(side):
    patches = np.random.default_rng(10).normal(size=(3, side, side))
    for patch, ours in zip(patches, low_rank(patches, 3), strict=True):
        u, s, vt = np.linalg.svd(patch)
        np.testing.assert_allclose(ours, (u[:, :3] * s[:3]) @ vt[:3], atol=1e-10)
    np.testing.assert_array_equal(low_rank(patches, side), patches)


def test_svd_removes_noise_and_keeps_lines():
    row, col = np.indices((120, 150))
    clean = 1e5 + 10 * np.sin(row / 4.0) + 6 * (np.abs(col - 70) < 4) + 3 * col
    noise = np.random.default_rng(11).normal(size=clean.shape)
    out = filtered("svd_denoise", clean + noise, patch_size=30)
    assert np.sqrt(np.mean((out - clean) ** 2)) < 0.5
    np.testing.assert_allclose(filtered("svd_denoise", clean, patch_size=30), clean, atol=0.02)


def test_missing_pixels_count_as_the_mean_of_their_patch():
    pixels = 7.0 + np.random.default_rng(15).exponential(4.0, (30, 30))
    pixels[3:9, 11:20] = np.nan
    level = np.nanmean(pixels)
    u, s, vt = np.linalg.svd(np.where(np.isnan(pixels), level, pixels) - level)
    expected = np.where(np.isnan(pixels), np.nan, level + (u[:, :2] * s[:2]) @ vt[:2])
    np.testing.assert_allclose(filtered("svd_denoise", pixels, patch_size=30, k=2), expected, atol=1e-5)


def test_opencv_svd_is_that_of_the_first_release_without_its_rounding_first():
    pixels = scene()[:30, :30]
    unit = (pixels - pixels.min()) / np.ptp(pixels)
    u, s, vt = np.linalg.svd(unit)
    expected = np.rint(255 * np.clip((u[:, :3] * s[:3]) @ vt[:3], 0, 1))
    np.testing.assert_allclose(filtered("OpenCV_svd_denoise", pixels, patch_size=30), expected, atol=1)


def test_patches_are_decomposed_on_one_thread_and_the_others_come_back():
    filter_ = get_preprocessor("svd_denoise")(patch_size=20)
    image = filter_(Image(scene()))
    whole = image.image  # loads the libraries
    before = [pool["num_threads"] for pool in threadpool_info()]
    with ThreadPoolExecutor(3) as pool:
        bands = pool.map(lambda row: image.data[row : row + 20, :], range(0, 140, 20))
        np.testing.assert_array_equal(np.concatenate(list(bands)), whole)
    assert [pool["num_threads"] for pool in threadpool_info()] == before


def test_patches_must_overlap():
    with pytest.raises(ConfigError, match="stride must be at most patch_size, instead got 20 and 10"):
        get_preprocessor("svd_denoise")(patch_size=10, stride=20)
    assert np.isfinite(filtered("svd_denoise", scene(), stride=150)).all()


def test_patches_of_a_bare_window_are_chosen_by_its_size():
    filter_ = get_preprocessor("svd_denoise")()
    window = scene()[:100, :120]
    direct = filter_.apply(window, np.ones(window.shape, bool), filter_.fit(Image(window)))
    np.testing.assert_allclose(direct, filter_(Image(window)).image, rtol=1e-6)


# --- flavours of the first release ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("opencv")])
def test_opencv_gives_whole_grey_levels(name):
    for pixels in (scene(), np.random.default_rng(12).gamma(0.5, 1.0, (80, 90))):
        out = filtered(name, pixels)
        np.testing.assert_array_equal(out, np.rint(out))
        assert out.min() >= 0
        assert out.max() <= 255
        assert np.unique(out).size > 20


def test_opencv_agrees_with_opencv():
    grey, pixels = grey_scene(), scene()
    assert np.abs(filtered("OpenCV_equalize", grey) - cv2.equalizeHist(grey)).max() <= 1
    theirs = cv2.normalize(pixels, None, 0, 255, cv2.NORM_MINMAX)
    np.testing.assert_allclose(filtered("OpenCV_minmax", pixels), theirs, atol=0.501)
    logarithm = cv2.normalize(cv2.log(1 + theirs / 255), None, 0, 255, cv2.NORM_MINMAX)
    np.testing.assert_allclose(filtered("OpenCV_lognorm", pixels, gain=4), logarithm, atol=0.501)
    mean, deviation = (float(part.item()) for part in cv2.meanStdDev(pixels))
    score = np.clip((pixels - mean) / deviation, -3, 3)
    np.testing.assert_allclose(filtered("OpenCV_zscore", pixels), (score + 3) / 6 * 255, atol=0.501)


def test_skimage_agrees_with_skimage():
    grey, pixels = grey_scene(), scene()
    np.testing.assert_allclose(filtered("skimage_equalize", grey), exposure.equalize_hist(grey), atol=1e-6)
    np.testing.assert_allclose(filtered("skimage_equalize", pixels), exposure.equalize_hist(pixels, 4096), atol=2e-3)
    unit = exposure.rescale_intensity(pixels, out_range=(0, 1))
    np.testing.assert_allclose(filtered("skimage_minmax", pixels), unit, atol=1e-6)
    np.testing.assert_allclose(filtered("skimage_lognorm", pixels, gain=2), exposure.adjust_log(unit, 2), atol=1e-6)
    np.testing.assert_allclose(filtered("skimage_zscore", pixels), (pixels - pixels.mean()) / pixels.std(), atol=1e-5)


def test_rounding_comes_last():
    """Rounded first, the long tail of linear backscatter leaves a few grey levels for nearly all of the ground."""
    power = np.random.default_rng(13).exponential(1.0, (150, 160))
    power[70, 80] = 400.0
    first = cv2.normalize(power, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    assert np.unique(first).size < 15
    assert np.unique(filtered("OpenCV_equalize", power)).size > 250
    assert np.unique(cv2.equalizeHist(first)).size < 15
    assert np.unique(filtered("OpenCV_zscore", power)).size > 60
    decibel = 10 * np.log10(power)  # all of it may be below zero: still ground, not nodata
    for name in ("OpenCV_minmax", "skimage_zscore", "skimage_equalize"):
        assert alike(filtered(name, decibel - 100), decibel) > 0.7


# --- one registry, several doors -----------------------------------------------------------------------------------


def test_a_filter_from_outside(registry):
    @register
    class Median(Preprocessor):
        """Median of the valid pixels around."""

        name: ClassVar[str] = "Median-Around"
        radius: int = Field(1, ge=1, description="half of the window", json_schema_extra={"unit": "px"})

        @property
        def halo(self):
            return self.radius

        def apply(self, values, valid, fitted):
            size = 2 * self.radius + 1
            padded = np.pad(np.where(valid, values, np.nan), self.radius, constant_values=np.nan)
            windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                return np.nanmedian(windows, axis=(2, 3))

    assert registry["median-around"] is get_preprocessor("MEDIAN-around") is Median
    out = Median(radius=2)(Image(with_holes()))
    np.testing.assert_array_equal(out.read(slice(60, 80), slice(33, 60))[0], out.image[60:80, 33:60])
    assert out.image[40, 60] == pytest.approx(np.median(scene()[38:43, 58:63]), rel=1e-6)


def test_lattices_are_anchored_at_the_image(registry):
    @register
    class Corner(Preprocessor):
        """Each cell of 7 px becomes its first pixel."""

        name: ClassVar[str] = "corner"
        align: ClassVar[int] = 7

        def apply(self, values, valid, fitted):
            rows, cols = (np.arange(n) // 7 * 7 for n in values.shape)
            return values[np.ix_(rows, cols)]

        def apply_at(self, values, valid, fitted, origin):
            assert origin[0] % 7 == origin[1] % 7 == 0
            assert all(n % 7 == 0 or o + n == size for o, n, size in zip(origin, values.shape, (140, 171), strict=True))
            return self.apply(values, valid, fitted)

    out = Corner()(Image(scene()))
    np.testing.assert_array_equal(out.read(slice(9, 23), slice(100, 171))[0], out.image[9:23, 100:171])


def test_the_dispatcher_of_the_first_release(registry):
    image = Image(with_holes(-1.0), TALL, UTM, nodata=-1)
    out = dispatcher.dispatch_process("OpenCV_lognorm", array=image, gain=2)
    np.testing.assert_array_equal(out.image, get_preprocessor("opencv_lognorm")(gain=2)(image).image)
    np.testing.assert_array_equal(out.valid, image.valid)
    assert out.grid.same_as(image.grid)
    assert (out.affine, out.crs) == (image.affine, image.crs)
    assert isinstance(out.data, np.ndarray)
    assert dispatcher.processes == registry
    with pytest.raises(ConfigError, match=r"no preprocessing 'OpenCV_blur'; there are .*opencv_clahe"):
        dispatcher.dispatch_process("OpenCV_blur", array=image)
    with pytest.raises(ConfigError, match=r"has no parameter '?colour'?; it has gain"):
        dispatcher.dispatch_process("skimage_lognorm", array=image, colour=1)


def test_functions_become_filters(registry):
    def root(pixels, power=0.5, *, sign=1):
        """Roots of the pixels."""
        pixels -= np.nanmin(pixels)  # a copy: nobody's image changes
        return sign * pixels**power

    def flip(*, array: Image) -> Image:
        return array.with_data(array.image[::-1].copy())

    dispatcher.register("Lab_Root", root)
    dispatcher.register("lab_flip", flip)
    image = Image(with_holes(-9999.0), TALL, UTM, nodata=-9999)
    before = image.image.copy()
    out = dispatcher.dispatch_process("lab_root", array=image, power=2, sign=-1)
    pixels = np.where(image.valid, before, np.nan)
    np.testing.assert_allclose(out.image, -((pixels - np.nanmin(pixels)) ** 2), rtol=1e-6)
    np.testing.assert_array_equal(image.image, before)
    filter_ = get_preprocessor("LAB_ROOT")
    assert filter_.__doc__ == "Roots of the pixels."
    assert {key: field.description for key, field in filter_.model_fields.items()} == {
        "power": "power of root", "sign": "sign of root"
    }  # fmt: skip
    lazy = filter_(power=2)(image)
    np.testing.assert_array_equal(lazy.read(slice(31, 90), slice(7, 60))[0], lazy.image[31:90, 7:60])
    whole = Image(scene())
    np.testing.assert_array_equal(
        dispatcher.dispatch_process("lab_flip", array=whole).image, scene()[::-1].astype(np.float32)
    )
    with pytest.raises(ConfigError, match=r"has no parameter '?gain'?; it has power, sign"):
        filter_(gain=1)


def test_functions_that_cannot_be_filters(registry):
    image = Image(scene())
    dispatcher.register("smaller", lambda pixels: pixels[1:])
    with pytest.raises(
        InputError, match=r"smaller must return an array of shape \(140, 171\), instead got \(139, 171\)"
    ):
        dispatcher.dispatch_process("smaller", array=image)
    dispatcher.register("holes", lambda pixels: np.where(pixels > 150, np.nan, pixels))
    with pytest.raises(InputError, match=f"got none for {np.count_nonzero(scene() > 150)} of them"):
        dispatcher.dispatch_process("holes", array=image)
    for wrong in (3, "median", dict, lambda: 0):
        with pytest.raises(ConfigError, match="must be a"):
            dispatcher.register("wrong", wrong)
    with pytest.raises(ConfigError, match="cannot be called halo"):
        dispatcher.register("wrong", lambda pixels, halo=3: pixels)
    assert "wrong" not in registry


def test_a_filter_under_another_name(registry):
    dispatcher.register("Lab_Ranks", Equalize)
    alias = get_preprocessor("lab_ranks")
    assert issubclass(alias, Equalize)
    assert (alias.name, Equalize.name, registry["equalize"]) == ("lab_ranks", "equalize", Equalize)
    np.testing.assert_array_equal(alias()(Image(scene())).image, filtered("equalize", scene()))
    dispatcher.register("Equalize", Equalize)
    assert registry["equalize"] is Equalize


def test_filters_stand_on_each_other():
    image = Image(with_holes(), TALL, UTM)
    both = get_preprocessor("wallis")(window=11)(Equalize()(image))
    np.testing.assert_array_equal(both.valid, image.valid)
    np.testing.assert_array_equal(both.read(slice(20, 51), slice(30, 99))[0], both.image[20:51, 30:99])


def test_both_images_of_a_pair_are_fitted_on_themselves():
    reference, secondary = make_pair((60, 70), seed=2)
    pair = preprocess(ImagePair(reference, Image(1000 + 7 * secondary.image, TALL, UTM)), get_preprocessor("zscore")())
    for image in (pair.reference, pair.secondary):
        assert image.image.std() == pytest.approx(1, abs=1e-4)
