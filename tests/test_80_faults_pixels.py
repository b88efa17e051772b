"""Bands, types and values of pixels that nobody expects, and what must come out all the same.

The numbers in the docstrings are those of the project's list of faults.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from conftest import SMALL, write_tif
from sensetrack import Image
from sensetrack.ot.algorithms import get_algorithm
from sensetrack.ot.filters import flag_low_score
from test_80_faults import follow, no_picture, real_picture, refuse  # noqa: F401
from test_80_faults_rasters import strip, write_pair
from truth import TALL, UTM, arrays, uniform

FLOW = ("--algorithm", "farneback")
TOLERANCE = {SMALL: {"within": 0.05, "tail": 0.1}, FLOW: {"within": 0.1, "tail": 0.4}}
"""A flow is coarser at the rim."""
WORST = {SMALL: 0.5, FLOW: 2}
BOTH = pytest.mark.parametrize("options", [SMALL, FLOW], ids=["ncc", "farneback"])


@pytest.fixture
def ground(scene) -> np.ndarray:
    """Both images, standardised: mean 0, standard deviation 1."""
    return np.stack([(part - part.mean()) / part.std() for part in scene]).astype(np.float32)


def far_from(hole: np.ndarray, product, distance: int) -> np.ndarray:
    """True at posts further than `distance` px from a hole in the images."""
    step, start = (16, 16) if product.flags.shape != hole.shape else (1, 0)
    away = ndimage.distance_transform_edt(~hole) > distance
    return away[start::step, start::step][: product.flags.shape[0], : product.flags.shape[1]]


def test_a_band_is_chosen_and_must_be_there(cli, tmp_path, scene):
    """48, 49."""
    first, second = (part.astype(np.float32) for part in scene)
    other = np.random.default_rng(1).normal(size=first.shape).astype(np.float32)
    many = write_tif(tmp_path / "many.tif", np.stack([other, first, other]))
    two = write_tif(tmp_path / "two.tif", np.stack([other, second]))
    one = write_tif(tmp_path / "one.tif", second)
    follow(cli, many, two, "--band", 2).require()
    refuse(
        cli, tmp_path, many, one, "--band", 2, "-o", tmp_path / "b", code=3, words=("has 1 band, no band 2",), path=one
    )
    refuse(
        cli, tmp_path, one, many, "--band", 2, "-o", tmp_path / "b", code=3, words=("has 1 band, no band 2",), path=one
    )
    refuse(
        cli, tmp_path, many, two, "--band", 9, "-o", tmp_path / "b", code=2, words=("no band 9", "3 and 2"), path=many
    )


@pytest.mark.parametrize("band", [0, -1, -3])
def test_bands_are_counted_from_one(cli, pair_files, tmp_path, band):
    """49."""
    refuse(cli, tmp_path, *pair_files, "--band", band, code=2, words=("counted from 1", str(band)))


@pytest.mark.parametrize("band", ["x", "1.5", "99999999999999999999"])
def test_a_band_is_a_number(cli, pair_files, tmp_path, band):
    """49."""
    refuse(cli, tmp_path, *pair_files, "--band", band, code=2, words=(band,))


def test_an_alpha_channel_masks_and_is_no_picture(cli, tmp_path, ground):
    """48."""
    grey = np.clip(128 + 30 * ground, 1, 255).astype(np.uint8)
    alpha = np.full(grey.shape[1:], 255, np.uint8)
    alpha[:60, :70] = 0
    grey[:, :60, :70] = 200
    files = write_pair(
        tmp_path, *(np.stack([part, part, part, alpha]) for part in grey), photometric="RGB", alpha="yes"
    )
    product = follow(cli, *files).require(share=0.5)
    assert not product.good[:1, :2].any()
    refuse(cli, tmp_path, *files, "--band", 4, "-o", tmp_path / "b", code=3, words=("alpha",), path=files[0])


KINDS = ("int8", "uint8", "uint16", "int16", "int32", "uint32", "float64", "complex64")


@pytest.mark.parametrize(
    ("dtype", "options"),
    [(kind, SMALL) for kind in KINDS] + [(kind, FLOW) for kind in ("uint8", "int16", "float64")],
    ids=lambda part: None if isinstance(part, str) else "ncc" if part == SMALL else "farneback",
)
def test_the_type_of_the_pixels_does_not_matter(cli, tmp_path, ground, dtype, options):
    """50, 66: the whole range of a type is used, so that any arithmetic in it would overflow."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        pixels = ground.astype(kind)
    elif kind.kind == "c":
        pixels = (np.exp(ground / 2) * np.exp(1j * np.random.default_rng(0).uniform(0, 7, ground.shape))).astype(kind)
    else:
        limits = np.iinfo(kind)
        middle, half = (limits.max + limits.min) / 2, (limits.max - limits.min) / 2
        pixels = (
            np.clip(middle + ground.astype(float) / 2.5 * half, limits.min + 1, limits.max - 1).round().astype(kind)
        )
    follow(cli, *write_pair(tmp_path, *pixels), small=options).require(share=0.6, **TOLERANCE[options])


@BOTH
@pytest.mark.parametrize(
    "values",
    [
        lambda v: 0.1 + 0.02 * v,  # reflectance
        lambda v: 0.05 * np.exp(1.2 * v),  # linear backscatter, long tail
        lambda v: 0.05 * np.exp(1.2 * v) * np.where(v > 3, 1e4, 1),  # with point targets
        lambda v: -18 + 4 * v,  # decibel
        lambda v: 1e-30 * (v + 5),
        lambda v: 1e15 * (v + 5),
        lambda v: 1e6 + 0.5 * v,
    ],
    ids=["reflectance", "sigma0", "targets", "decibel", "tiny", "huge", "offset"],
)
def test_the_unit_of_the_pixels_does_not_matter(cli, tmp_path, ground, values, options):
    """51, 57: the offsets are not zero, they are right."""
    files = write_pair(tmp_path, *values(ground.astype(float)).astype(np.float32))
    follow(cli, *files, small=options, gross="auto").require(share=0.6, **TOLERANCE[options])


@pytest.mark.parametrize(
    "values", [lambda v: 0.1 + 0.02 * v, lambda v: 0.05 * np.exp(0.7 * v)], ids=["reflectance", "sigma0"]
)
@BOTH
def test_nor_does_it_without_preprocessing(cli, tmp_path, ground, values, options):
    """51."""
    files = write_pair(tmp_path, *values(ground.astype(float)).astype(np.float32))
    follow(cli, *files, "--preprocess", "none", small=options).require(share=0.6, **TOLERANCE[options])


def one_pixel(hole: np.ndarray) -> None:
    hole[70, 90] = True


def border(hole: np.ndarray) -> None:
    hole[:9], hole[-7:], hole[:, :11], hole[:, -5:] = True, True, True, True


def stripes(hole: np.ndarray) -> None:
    hole[::23], hole[1::23], hole[2::23] = True, True, True


def corner(hole: np.ndarray) -> None:
    hole[:70, :80] = True


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """What comes out where nothing is missing."""
    return {}


@pytest.mark.parametrize(
    ("which", "options"),
    [("both", SMALL), ("reference", SMALL), ("secondary", SMALL), ("secondary", FLOW)],
    ids=["both", "reference", "secondary", "farneback"],
)
@pytest.mark.parametrize("where", [one_pixel, border, stripes, corner])
def test_missing_pixels_cost_only_what_is_beside_them(cli, tmp_path, ground, clean, where, which, options):
    """54."""
    guess = ("--gross", "3,5")
    if options not in clean:
        clean[options] = follow(cli, *write_pair(tmp_path, *ground), *guess, small=options, out=tmp_path / "clean")
    hole = np.zeros(ground.shape[1:], bool)
    where(hole)
    for image, name in zip(ground, ("reference", "secondary"), strict=True):
        if which in ("both", name):
            image[hole] = np.nan
    product = follow(cli, *write_pair(tmp_path, *ground), *guess, small=options)
    error = product.error(3, 5)
    assert np.nanpercentile(error, 95) < TOLERANCE[options]["tail"]
    assert np.nanmax(error) < WORST[options]
    if where is not stripes:
        away = far_from(hole, product, 40) & clean[options].good
        assert product.good[away].mean() > 0.98
        both = away & product.good
        change = np.hypot(product.d_row - clean[options].d_row, product.d_col - clean[options].d_col)[both]
        assert np.percentile(change, 99) < 0.02
    if options is SMALL and where is not corner:
        assert product.good.mean() > 0.8


EMPTY = {
    "nan": np.float32(np.nan), "inf": np.float32(np.inf), "1e30": np.float32(1e30), "-9999": np.float32(-9999),
    "lowest": np.finfo(np.float32).min, "zero": np.float32(0), "one": np.float32(1), "uint8 255": np.uint8(255),
}  # fmt: skip


@pytest.mark.usefixtures("real_picture")
@pytest.mark.parametrize(
    ("value", "which", "options"),
    [(value, which, SMALL) for value in EMPTY for which in ("reference", "both")]
    + [(value, "secondary", FLOW) for value in ("nan", "zero", "one")],
    ids=lambda part: None if isinstance(part, str) else "ncc" if part == SMALL else "farneback",
)
def test_empty_and_constant_images_measure_nothing(cli, tmp_path, ground, value, which, options):
    """55, 58: neither 0 nor any other number."""
    empty = np.full(ground.shape[1:], EMPTY[value])
    images = (ground[0] if which == "secondary" else empty, ground[1] if which == "reference" else empty)
    files = write_pair(tmp_path, *images)
    if value in ("one", "uint8 255"):
        product = follow(cli, *files, small=options)
        product.require_nothing()
        assert np.isnan(product.d_row).all()
    else:
        refuse(cli, tmp_path, *files, code=3, words=("no ground that is measured in both",), options=options)


@pytest.mark.parametrize(
    ("kind", "fill", "declared", "option", "options"),
    [
        ("float32", -9999, None, (), SMALL),
        ("float32", -9999, -9999, (), SMALL),
        ("int16", -9999, None, (), SMALL),
        ("int16", -32768, None, (), SMALL),
        ("uint16", 0, None, (), SMALL),
        ("uint8", 0, None, (), SMALL),
        ("uint16", 0, 0, (), SMALL),
        ("uint16", 777, None, ("--nodata", 777), SMALL),
        ("float32", -777.25, -1, ("--nodata", -777.25), SMALL),
        ("float64", -3.4028234663852886e38, None, (), SMALL),
        ("float32", -np.inf, None, (), SMALL),
        ("float32", -9999, None, (), FLOW),
        ("uint8", 0, None, (), FLOW),
    ],
)
def test_what_was_not_measured_makes_no_motion(cli, tmp_path, ground, kind, fill, declared, option, options):
    """56, 57: the same polygon is empty in both images, so its rim stands still while the ground moves."""
    pixels = np.clip(120 + 30 * ground, 1, 254)
    rows, cols = np.indices(pixels.shape[1:])
    outside = (rows + 0.6 * cols < 75) | (cols > 165)
    pixels[:, outside] = 1
    pixels = pixels.astype(kind)
    pixels[:, outside] = fill
    files = write_pair(tmp_path, *pixels, nodata=declared)
    product = follow(cli, *files, *option, small=options).require(share=0.4, **TOLERANCE[options])
    assert np.nanmax(product.error(3, 5)) < WORST[options]


def test_nodata_of_nan_leaves_fill_values_as_they_are(cli, tmp_path, ground):
    """56: `--nodata nan` turns the rules for undeclared values off, and a recorded run repeats that."""
    pixels = np.clip(120 + 30 * ground, 1, 254)
    pixels[:, 20:60, 20:60] = 0
    files = write_pair(tmp_path, *pixels)
    product = follow(cli, *files, "--nodata", "nan")
    again = follow(cli, *files, "--config", product.folder / "run.json", out=tmp_path / "out2")
    np.testing.assert_array_equal(product.d_row, again.d_row)


@pytest.mark.parametrize("spike", [-np.inf, 1e-30, -1e4, 1e19])
@pytest.mark.parametrize(("filter_", "options"), [("equalize", SMALL), ("none", SMALL), ("none", FLOW)])
def test_a_few_absurd_pixels_do_no_harm(cli, tmp_path, ground, spike, filter_, options):
    """57."""
    rng = np.random.default_rng(3)
    for image in ground:
        image[rng.integers(0, 140, 6), rng.integers(0, 60, 6)] = spike
    files = write_pair(tmp_path, *ground)
    product = follow(cli, *files, "--preprocess", filter_, small=options, gross="auto")
    assert np.nanmax(product.error(3, 5), initial=0) < WORST[options]
    right = product.good[:, -product.good.shape[1] // 3 :]
    assert right.mean() > 0.6


@BOTH
@pytest.mark.parametrize("same", [True, False])
def test_identical_images_stand_still(cli, tmp_path, ground, same, options):
    """59."""
    files = write_pair(tmp_path, ground[0], ground[0])
    product = follow(cli, files[0], files[0] if same else files[1], small=options).require(
        0, 0, within=0.01, share=0.95
    )
    assert np.nanmedian(product.score) > 0.99


def test_motion_beyond_the_search_is_never_a_wrong_answer(cli, tmp_path):
    """63."""
    files = write_pair(tmp_path, *arrays((200, 220), uniform(20, -14), seed=2))
    product = follow(cli, *files)
    assert product.good.mean() < 0.02
    assert "warning: not one of" in product.err or product.good.any()
    follow(cli, *files, "--overwrite", gross="auto").require(20, -14, share=0.6)
    follow(cli, *files, "--overwrite", "--gross", "18,-12").require(20, -14, share=0.6)
    flow = follow(cli, *files, *FLOW, "--gross", "none", "--overwrite", small=())
    assert (flow.error(20, -14) > 2).mean() < 0.02
    follow(cli, *files, *FLOW, "--overwrite", small=(), gross="auto").require(20, -14, share=0.5, within=0.1)


@pytest.mark.parametrize("motion", [(9, 0), (0, -11), (16, 16), (8, -8)])
def test_motion_at_the_end_of_the_search_is_flagged_or_right(cli, tmp_path, motion):
    """63."""
    files = write_pair(tmp_path, *arrays((140, 180), uniform(*motion), seed=4))
    product = follow(cli, *files)
    assert (product.error(*motion) > 1).sum() <= 1


@pytest.mark.parametrize("by", ["1000000,0", "0,-139", "60,60"])
def test_a_wrong_first_guess_is_never_a_wrong_answer(cli, pair_files, tmp_path, by):
    """63."""
    result = cli("track", *pair_files, "-o", tmp_path / "out", *SMALL, "--gross", by)
    if result.code == 3:
        assert "no ground that is measured" in result.error
    else:
        product = follow(cli, *pair_files, "--gross", by, "--overwrite")
        assert product.good.sum() <= 1


def test_a_strip_longer_than_opencv_can_remap_is_tracked(cli, tmp_path):
    """67."""
    product = follow(cli, *write_pair(tmp_path, *strip(40, 33_000))).require(share=0.6)
    assert np.nanmedian(product.d_col[:, -50:]) == pytest.approx(5, abs=0.05)


def test_so_is_it_by_a_flow():
    """67: in memory, since writing a million posts takes longer than finding them."""
    reference, secondary = (Image(part, TALL, UTM) for part in strip(40, 33_000))
    field = get_algorithm("farneback")(levels=2)(reference, secondary)
    field = flag_low_score(field, 0.6)
    tail = field.good & (np.arange(33_000) > 32_800)
    for good in (field.good, tail):
        assert good[:, -190:].mean() > 0.6
        assert (np.median(field.d_row[good]), np.median(field.d_col[good])) == pytest.approx((3, 5), abs=0.1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 180), (140, 1), (31, 180), (20, 20)])
def test_an_image_smaller_than_a_chip_is_said(cli, tmp_path, ground, shape):
    """68."""
    files = write_pair(tmp_path, *ground[:, : shape[0], : shape[1]])
    refuse(cli, tmp_path, *files, code=3, words=("{} x {} px".format(*shape), "one chip of 32 x 32"))


@pytest.mark.parametrize("shape", [(1, 1), (1, 180), (140, 1), (5, 5), (20, 20)])
def test_a_flow_of_a_tiny_image_is_no_accident(cli, tmp_path, ground, shape):
    """68."""
    files = write_pair(tmp_path, *ground[:, : shape[0], : shape[1]])
    result = cli("track", *files, "-o", tmp_path / "out", *FLOW)
    assert result.code in (0, 3), result.err
    if result.code == 0:
        product = follow(cli, *files, "--overwrite", small=FLOW)
        assert np.nanmax(product.error(3, 5), initial=0) < 1
