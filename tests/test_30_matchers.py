"""THE CONTRACT: what every registered algorithm promises. A new one is picked up by being registered."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine

from sensetrack import Flag, Image, ImagePair
from sensetrack.errors import ConfigError, GridMismatchError, NoMatchError
from sensetrack.ot.algorithms import ALGORITHMS, NCC, OpenCVOpticalFlow, SkiOpticalFlowILK, SkiOpticalFlowTVL1
from sensetrack.ot.image_processing import get_preprocessor, preprocess
from sensetrack.workflow.executors import threads
from truth import TALL, UTM, arrays, bump, make_pair, rmse, truth_at, uniform

SHAPE = (150, 190)
SMALL = {
    "ncc": {"chip": 32, "step": 8, "search": 9},
    "pcc": {"winsize": 32, "step_size": 8, "phase_norm": False, "upsmp_fac": 50, "passes": 2, "taper": True},
}
"""Parameters that suit the small scenes; what is not named here runs with its defaults."""


def tolerance(algorithm, limit):
    """TV-L1 ties every pixel to all others, and its pyramid is laid over the tile: what is far away shows a little."""
    return 1.6 * limit if algorithm.name == "tvl1" else limit


@pytest.fixture(params=sorted(ALGORITHMS))
def algorithm(request):
    return ALGORITHMS[request.param](**SMALL.get(request.param, {}))


@pytest.fixture(scope="module")
def pixels():
    """3 rows down, 5 columns right."""
    return arrays(SHAPE, seed=3)


@pytest.fixture(scope="module")
def images(pixels):
    return Image(pixels[0], TALL, UTM), Image(pixels[1], TALL, UTM)


@pytest.fixture
def field(algorithm, images):
    return algorithm(*images)


def inner(field):
    """Good posts."""
    assert field.good.mean() > 0.7
    return field.good


def test_finds_three_rows_down_and_five_columns_right(field):
    good = inner(field)
    assert np.median(field.d_row[good]) == pytest.approx(3, abs=0.03)
    assert np.median(field.d_col[good]) == pytest.approx(5, abs=0.03)
    assert np.percentile(np.hypot(field.d_row - 3, field.d_col - 5)[good], 90) < 0.15


def test_on_the_map_that_is_east_and_south_in_metres(field):
    good = inner(field)
    k = 0.999723  # scale factor of UTM at the scene: metres of the map per metre on the ground
    assert np.median(field["dxx"][good]) == pytest.approx(50 / k, abs=0.4)
    assert np.median(field["dyy"][good]) == pytest.approx(-60 / k, abs=0.8)
    assert np.median(field["res"][good]) == pytest.approx(np.hypot(50, 60) / k, abs=0.8)
    moved = field.to_displacement()
    assert moved["dxx"] == pytest.approx(field["dxx"], nan_ok=True)
    assert moved.magnitude == pytest.approx(field["res"], nan_ok=True)


def test_swapping_the_pair_flips_every_sign(algorithm, images):
    field = algorithm(images[1], images[0])
    good = inner(field)
    assert np.median(field.d_row[good]) == pytest.approx(-3, abs=0.03)
    assert np.median(field.d_col[good]) == pytest.approx(-5, abs=0.03)


def test_zero_motion_is_valid_data(algorithm, images):
    field = algorithm(images[0], images[0])
    assert field.good.all()
    size = np.hypot(field.d_row, field.d_col)
    assert np.percentile(size, 95) < 0.01
    assert size.max() < 0.02
    assert np.nanmin(field.score) > 0.99
    moved = field.to_displacement()
    assert np.isfinite(moved.magnitude).all()


def test_inputs_are_never_changed(algorithm, pixels):
    copies = [part.copy() for part in pixels]
    copies[0][40:44, 50] = np.nan
    kept = [part.copy() for part in copies]
    algorithm(Image(copies[0], TALL, UTM, nodata=-9999), Image(copies[1], TALL, UTM, nodata=-9999))
    for part, before in zip(copies, kept, strict=True):
        np.testing.assert_array_equal(part, before)


@pytest.mark.parametrize("which", [0, 1])
def test_one_nan_costs_one_neighbourhood(algorithm, field, pixels, which):
    holed = [part.copy() for part in pixels]
    holed[which][70, 100] = np.nan
    again = algorithm(*(Image(part, TALL, UTM) for part in holed))
    i, j = np.indices(field.grid.shape)
    row = field.start[0] + i * field.step[0] - 0.5
    col = field.start[1] + j * field.step[1] - 0.5
    near = (np.abs(row - 70) <= algorithm.support[0] + 6) & (np.abs(col - 100) <= algorithm.support[1] + 6)
    lost = field.good & ~again.good
    assert not lost[~near].any()
    both = field.good & again.good & ~near
    # A pixel here and there of TV-L1 sits between two answers.
    most = 99.9 if algorithm.name == "tvl1" else 100
    for before, after in ((field.d_row, again.d_row), (field.d_col, again.d_col)):
        assert np.percentile(np.abs(before - after)[both], most) < tolerance(algorithm, 0.02)


def test_a_hole_is_flagged_and_changes_nothing_else(algorithm, field, pixels):
    reference = pixels[0].copy()
    hole = (slice(50, 110), slice(60, 120))
    reference[hole] = -9999
    again = algorithm(Image(reference, TALL, UTM, nodata=-9999), Image(pixels[1], TALL, UTM))
    i, j = np.indices(field.grid.shape)
    row, col = field.start[0] + i * field.step[0], field.start[1] + j * field.step[1]
    inside = (row > 70) & (row < 90) & (col > 80) & (col < 100)
    assert inside.any()
    assert (again.flags[inside] & Flag.NO_DATA).all()
    assert np.isnan(again.d_row[inside]).all()
    assert np.isnan(again.d_col[inside]).all()
    # A fill value of -9999 must not show: what is still good is still right.
    good = again.good
    assert np.percentile(np.hypot(again.d_row - 3, again.d_col - 5)[good & (again.score > 0.8)], 95) < 0.3


def test_the_fill_value_itself_has_no_influence(algorithm, pixels):
    results = []
    for fill in (-9999.0, 1e6, np.nan):
        reference = pixels[0].copy()
        reference[:40, :50] = fill
        results.append(algorithm(Image(reference, TALL, UTM, nodata=fill), Image(pixels[1], TALL, UTM)))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0].flags, other.flags)
        np.testing.assert_allclose(results[0].d_row, other.d_row, atol=1e-5)


GRIDS = {
    "north-up": (TALL, UTM, (1, -1)),
    "south-up": (Affine(10, 0, 600_000, 0, 20, 4_950_000), UTM, (1, 1)),
    "mirrored": (Affine(-10, 0, 600_000, 0, -20, 4_950_000), UTM, (-1, -1)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_signs_on_straight_grids(algorithm, pixels, name):
    affine, crs, (east, north) = GRIDS[name]
    field = algorithm(*(Image(part, affine, crs) for part in pixels))
    assert np.median(field["dxx"][field.good]) == pytest.approx(east * 50.0, abs=0.5)
    assert np.median(field["dyy"][field.good]) == pytest.approx(north * 60.0, abs=1.0)


def test_rotated_pixels(algorithm, pixels):
    affine = Affine.translation(600_000, 4_950_000) @ Affine.rotation(30) @ Affine.scale(10, -20)
    field = algorithm(*(Image(part, affine, UTM) for part in pixels))
    turn = np.radians(30)
    expected = 50 * np.cos(turn) + 60 * np.sin(turn), 50 * np.sin(turn) - 60 * np.cos(turn)
    assert np.median(field["dxx"][field.good]) == pytest.approx(expected[0], abs=0.8)
    assert np.median(field["dyy"][field.good]) == pytest.approx(expected[1], abs=0.8)


def test_degrees_become_metres(algorithm, pixels):
    field = algorithm(*(Image(part, Affine(2e-4, 0, 10, 0, -1e-4, 60), "EPSG:4326") for part in pixels))
    # At 60 N a degree of longitude is 55 800 m, one of latitude 111 412 m.
    assert np.median(field["dxx"][field.good]) == pytest.approx(5 * 2e-4 * 55_800, abs=0.6)
    assert np.median(field["dyy"][field.good]) == pytest.approx(-3 * 1e-4 * 111_412, abs=0.6)


def test_web_mercator_gives_ground_metres(algorithm, pixels):
    field = algorithm(*(Image(part, Affine(10, 0, 1e6, 0, -10, 8.4e6), "EPSG:3857") for part in pixels))
    # Near 60 N the map is twice as large as the ground.
    assert np.median(field["dxx"][field.good]) == pytest.approx(50 / 1.995, abs=0.3)
    assert np.median(field["dyy"][field.good]) == pytest.approx(-30 / 1.998, abs=0.3)


def test_without_georeference_there_are_only_pixels(algorithm, pixels):
    field = algorithm(*(Image(part) for part in pixels))
    assert np.median(field.d_row[field.good]) == pytest.approx(3, abs=0.03)
    with pytest.raises(ValueError, match="no georeference"):
        field["dxx"]


def test_the_score_separates_a_match_from_noise(algorithm, field):
    rng = np.random.default_rng(5)
    noise = algorithm(*(Image(rng.normal(size=SHAPE), TALL, UTM) for _ in range(2)))
    assert np.nanmedian(field.score) > np.nanpercentile(noise.score, 99) + 0.1
    assert np.nanmean(noise.score >= algorithm.min_score) < 0.05
    assert np.nanmedian(field.score) > algorithm.min_score


def test_posts_are_chip_centres(algorithm, field, images):
    chips = algorithm.chips(SHAPE)
    assert field.grid.shape == chips.shape
    i, j = chips.shape[0] - 1, chips.shape[1] - 2
    row = i * chips.step[0] + chips.chip[0] / 2 - 0.5
    col = j * chips.step[1] + chips.chip[1] / 2 - 0.5
    np.testing.assert_allclose(field.grid.xy(i, j), images[0].grid.xy(row, col))


def test_posts_are_where_the_motion_is(algorithm):
    """A bump off the middle: a field that is misplaced by a few pixels misses its slopes."""
    motion = bump((130, 250), peak=(4, -3), sigma=35)
    field = algorithm(*make_pair(SHAPE, motion, seed=9))
    truth = truth_at(field, motion, algorithm.chips(SHAPE).chip)
    assert rmse(field, truth) < 0.1


def test_tiles_do_not_show(algorithm, field, images, monkeypatch):
    small = (3, 5) if algorithm.block[0] < 200 else (64, 80)
    monkeypatch.setattr(type(algorithm), "block", small)
    tiled = algorithm(*images)
    difference = np.hypot(tiled.d_row - field.d_row, tiled.d_col - field.d_col)[field.good & tiled.good]
    assert (field.good == tiled.good).mean() > 0.99
    dense = algorithm.chips(SHAPE).chip == (1, 1)
    assert np.percentile(difference, 99 if dense else 100) <= (tolerance(algorithm, 0.05) if dense else 1e-4)


def test_workers_change_nothing(algorithm, field, images, monkeypatch):
    monkeypatch.setattr(type(algorithm), "block", (4, 6) if algorithm.block[0] < 200 else (64, 80))
    one = algorithm(*images)
    with threads(3) as mapper:
        three = algorithm(*images, mapper=mapper)
    for name in ("d_row", "d_col", "score", "flags"):
        np.testing.assert_array_equal(getattr(one, name), getattr(three, name))


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "float32", "0..1", "1e-6", "large offset"])
def test_the_type_of_the_pixels_does_not_matter(algorithm, field, pixels, kind):
    low, high = min(p.min() for p in pixels), max(p.max() for p in pixels)
    convert = {
        "uint8": lambda u: (u * 255).astype(np.uint8),
        "uint16": lambda u: (u * 60_000).astype(np.uint16),
        "int16": lambda u: (u * 60_000 - 30_000).astype(np.int16),
        "float32": lambda u: u.astype(np.float32) * 100,
        "0..1": lambda u: u,
        "1e-6": lambda u: u * 1e-6,
        "large offset": lambda u: u + 1e5,
    }[kind]
    other = algorithm(*(Image(convert((p - low) / (high - low)), TALL, UTM) for p in pixels))
    both = field.good & other.good
    assert both.mean() > 0.7
    assert np.percentile(np.hypot(other.d_row - field.d_row, other.d_col - field.d_col)[both], 99) < tolerance(
        algorithm, 0.05
    )


def test_a_whole_image_shift_is_part_of_the_offsets(algorithm):
    images = make_pair(SHAPE, uniform(23, -31), seed=4)
    field = algorithm(*images, gross=(21, -29))
    good = field.good & (field.score > 0.9)
    assert good.mean() > 0.4
    assert np.median(field.d_row[good]) == pytest.approx(23, abs=0.05)
    assert np.median(field.d_col[good]) == pytest.approx(-31, abs=0.05)


@pytest.mark.parametrize("which", [0, 1])
def test_a_constant_image_is_flagged_everywhere(algorithm, pixels, which):
    flat = [pixels[0], pixels[1]]
    flat[which] = np.full(SHAPE, 7.0)
    field = algorithm(*(Image(part, TALL, UTM) for part in flat))
    assert not field.good.any()
    assert (field.flags & (Flag.LOW_TEXTURE | Flag.NO_DATA) > 0).all()
    assert np.isnan(field.d_row).all()


def test_nothing_but_nodata_is_no_data(algorithm, pixels):
    field = algorithm(Image(np.full(SHAPE, np.nan), TALL, UTM), Image(pixels[1], TALL, UTM))
    assert (field.flags & Flag.NO_DATA > 0).all()


def test_grids_must_agree(algorithm, pixels):
    with pytest.raises(GridMismatchError, match="transform"):
        algorithm(Image(pixels[0], TALL, UTM), Image(pixels[1], TALL @ Affine.translation(1, 0), UTM))
    with pytest.raises(GridMismatchError, match="EPSG:32633"):
        algorithm(Image(pixels[0], TALL, UTM), Image(pixels[1], TALL, "EPSG:32633"))
    with pytest.raises(GridMismatchError, match="shape"):
        algorithm(Image(pixels[0], TALL, UTM), Image(pixels[1][:-1], TALL, UTM))


def test_parameters_round_trip(algorithm, tmp_path):
    cls = type(algorithm)
    assert cls.from_dict(algorithm.to_dict()) == algorithm
    algorithm.to_json(tmp_path / "a.json")
    algorithm.to_yaml(tmp_path / "a.yaml")
    assert cls.from_json(tmp_path / "a.json") == algorithm == cls.from_JSON(tmp_path / "a.json")
    assert cls.from_yaml(tmp_path / "a.yaml") == algorithm == cls.from_YAML(tmp_path / "a.yaml")
    for name, field in cls.model_fields.items():  # null is a value where it is one, else the default
        changed = cls.from_dict({name: None})
        assert getattr(changed, name) in (None, field.default)
        assert cls.from_dict(changed.to_dict()) == changed
    first = next(iter(cls.model_fields))
    assert cls(getattr(algorithm, first)).to_dict()[first] == algorithm.to_dict()[first]


def test_unknown_parameters_are_refused_by_name(algorithm):
    known = next(iter(type(algorithm).model_fields))
    with pytest.raises(ConfigError, match=f"no parameter 'winsze'; it has {known}"):
        type(algorithm).from_dict({"winsze": 99})


def test_parameters_are_described(algorithm):
    for name, field in type(algorithm).model_fields.items():
        assert field.description, name


BUMP = [
    (OpenCVOpticalFlow(), 0.04),
    (SkiOpticalFlowILK(), 0.045),
    (SkiOpticalFlowTVL1(), 0.13),
    (SkiOpticalFlowTVL1(attachment=10, num_warp=3), 0.105),
    (NCC(chip=64, step=16), 0.07),
]


@pytest.mark.parametrize(("matcher", "limit"), BUMP, ids=lambda value: getattr(value, "name", None))
def test_accuracy_on_a_gaussian_bump(matcher, limit):
    """512 x 512, 3 px down and 2 px left at the top, 80 px wide, 2 % noise, equalised, class defaults."""
    motion = bump((512, 512))
    pair = preprocess(ImagePair(*make_pair((512, 512), motion, seed=1)), get_preprocessor("equalize")())
    field = matcher(pair.reference, pair.secondary)
    assert field.good.mean() > 0.98
    assert rmse(field, truth_at(field, motion, matcher.chips((512, 512)).chip)) <= limit


def test_an_image_smaller_than_a_chip_cannot_be_matched():
    with pytest.raises(NoMatchError, match="30 x 100 px is smaller than one chip of 64 x 64"):
        NCC()(*make_pair((30, 100)))
