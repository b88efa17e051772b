"""Co-registration from the images: any turn, half the image, holes; what moved on the ground still moves."""

from __future__ import annotations

import json
import logging
import re

import cv2
import numpy as np
import pytest
from affine import Affine

import truth
from conftest import SMALL, read_tif, write_tif
from sensetrack import Image, ImagePair
from sensetrack.errors import ConfigError, InputError, NoMatchError
from sensetrack.files.warp import Warped, pixels_of
from sensetrack.grid import Grid
from sensetrack.ot import coregister as module
from sensetrack.ot.algorithms import NCC
from sensetrack.ot.coregister import coregister
from sensetrack.ot.mapping import IDENTITY, consensus, describe, fit, move, square
from sensetrack.ot.resample import Pixels, Resampled, resample
from sensetrack.workflow.executors import threads
from truth import TALL, UTM

SHAPE = (200, 240)


def mapping(shape, angle, shift, scale=1.0, metric=None):
    """Turn (clockwise, rows downwards, on the ground) and stretch about the middle, then shift."""
    metric = np.eye(2) if metric is None else metric
    a = np.radians(angle)
    turn = scale * np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    linear = np.linalg.inv(metric) @ turn @ metric
    middle = (np.array(shape) - 1) / 2
    return np.column_stack([linear, middle + shift - linear @ middle])


def motion_of(matrix, moving=None):
    """Motion of a scene seen through a mapping, and of the ground below it."""

    def motion(row, col):
        d_row, d_col = moving(row, col) if moving else (0 * row, 0 * col)
        there = move(matrix, np.stack([row + d_row, col + d_col], axis=-1))
        return there[..., 0] - row, there[..., 1] - col

    return motion


def pair_of(matrix, shape=SHAPE, moving=None, **options):
    """A pair without georeference, exactly as drawn."""
    options = {"affine": None, "crs": None} | options
    return ImagePair(*truth.make_pair(shape, motion_of(matrix, moving), **options))


def back(matrix, points):
    """Where a mapping takes points from."""
    return np.linalg.solve(matrix[:, :2], (points - matrix[:, 2]).T).T


def errors(report, matrix, points):
    """Distances, px of the reference, from the true mapping."""
    return np.hypot(*(back(matrix, move(np.array(report.matrix), points)) - points).T)


def everywhere(shape=SHAPE):
    return np.argwhere(np.ones(shape, bool))[::7].astype(float)


# ------------------------------------------------------------------------------------------------ resampling


def places_of(matrix):
    return lambda row, col: tuple(np.moveaxis(move(matrix, np.stack([row, col], axis=-1)), -1, 0))


def chained(first, then):
    """The mapping `first`, then `then`."""
    return np.column_stack([then[:, :2] @ first[:, :2], then[:, :2] @ first[:, 2] + then[:, 2]])


def test_what_is_resampled_is_not_resampled_again():
    shape = (150, 180)
    scene = truth.arrays(shape, seed=5, noise=0)[0]
    inner, outer = mapping(shape, 5, (0.4, -3.3)), mapping(shape, -2, (5.5, 0.6), 1.01)
    once = Resampled(scene, places_of(inner), shape)
    both = Resampled(once, places_of(outer), shape)
    assert both.source is scene
    direct = Resampled(scene, places_of(chained(outer, inner)), shape)[:, :]
    twice = Resampled(once[:, :], places_of(outer), shape)[:, :]
    inside = np.isfinite(twice) & np.isfinite(direct)
    spread = np.subtract(*np.percentile(scene, [98, 2]))
    assert np.isfinite(both[:, :])[inside].all()
    off, off_twice = (np.abs(part - direct)[inside].max() / spread for part in (both[:, :], twice))
    assert off <= 1e-3
    assert off_twice > 10 * max(off, 1e-4)


def test_what_a_file_reader_warped_is_not_resampled_again():
    """The secondary of another grid is a `Warped`; co-registration reads its source."""
    shape = (120, 140)
    scene = truth.arrays(shape, seed=5)[0]
    scene[30:50, 60:75] = np.nan
    grid = Grid(shape, TALL, UTM)
    target = Grid(shape, TALL @ Affine.translation(0.3, -0.4), UTM)
    warped = Image(Warped(scene, pixels_of(grid, target.crs), target), target.affine, UTM)
    step = mapping(shape, 0, (-0.4 + 0.4, 0.7))  # with the warp: 1 column and -0.4 rows
    seen = resample(warped, places_of(step), shape)
    assert seen.source is scene
    direct = Resampled(scene, places_of(mapping(shape, 0, (-0.4, 1.0))), shape)
    np.testing.assert_allclose(seen[5:100, 9:120], direct[5:100, 9:120], atol=1e-5)
    assert np.isnan(seen[31:50, 59:74]).all()
    # With a mask of its own the pixels are not all there is to know, so that they are read as they are.
    mask = np.ones(shape, bool)
    mask[80:90, 20:30] = False
    masked = resample(Image(warped.data, target.affine, UTM, valid=mask), places_of(IDENTITY), shape)
    assert isinstance(masked.source, Pixels)
    assert np.isnan(masked[80:90, 20:30]).all()
    assert np.isfinite(masked[70:79, 20:30]).all()


# ------------------------------------------------------------------------------------------------ mappings


@pytest.mark.parametrize("angle", [-163.0, 0.0, 4.0, 90.0])
def test_a_similarity_is_one_on_the_ground(angle):
    metric = square(Grid(SHAPE, TALL, UTM))
    np.testing.assert_allclose(metric, np.diag([np.sqrt(2), np.sqrt(0.5)]), rtol=1e-3)
    matrix = mapping(SHAPE, angle, (7.5, -11.25), 1.02, metric)
    points = everywhere()[::50]
    found = fit("similarity", points, move(matrix, points), metric)
    np.testing.assert_allclose(found, matrix, atol=1e-9)
    said = describe(found, SHAPE, metric)
    assert said.rotation == pytest.approx(angle, abs=1e-6)
    assert (said.scale, *said.shift) == pytest.approx((1.02, 7.5, -11.25))


@pytest.mark.parametrize(("model", "matrix"), [
    ("shift", mapping(SHAPE, 0, (3, -5))),
    ("similarity", mapping(SHAPE, 30, (3, -5), 0.9)),
    ("affine", np.array([[1.1, 0.2, 3], [-0.05, 0.9, -5]])),
])  # fmt: skip
def test_what_agrees_is_found_among_more_that_moved(model, matrix):
    rng = np.random.default_rng(3)
    points = rng.uniform(0, 250, (120, 2))
    there = move(matrix, points) + rng.normal(0, 0.05, points.shape)
    moved = np.arange(120) % 5 < 2
    there[moved] += rng.uniform(2, 9, (moved.sum(), 2))
    agreeing = consensus(model, points, there, np.eye(2), share=0.3)
    assert not (agreeing & moved).any()
    assert agreeing.sum() > 0.9 * (~moved).sum()


# ------------------------------------------------------------------------------------------------ whole pairs

TOP, WIDTH = (80, 145), (17, 30)


def landslide(row, col):
    """3.2 px down and 5.1 px left at its top."""
    g = np.exp(-(((row - TOP[0]) / WIDTH[0]) ** 2 + ((col - TOP[1]) / WIDTH[1]) ** 2) / 2)
    return 3.2 * g, -5.1 * g


def ground_scene(motion, seed=2):
    """A pair on pixels of 10 x 20 m: drawn on pixels of 10 x 10 m, every second row kept."""
    rng = np.random.default_rng(seed)
    fine = 2 * SHAPE[0], SHAPE[1]
    images = np.zeros((2, *fine))
    for sigma, weight in ((2.0, 1.0), (3.2, 0.6)):
        number = int(0.5 / sigma**2 * (fine[0] + 80) * (fine[1] + 80))
        row, col = rng.uniform(-40, fine[0] + 40, number), rng.uniform(-40, fine[1] + 40, number)
        height = weight * rng.normal(size=number)
        d_row, d_col = motion(row / 2, col)
        images[0] += truth.draw(fine, row, col, height, sigma)
        images[1] += truth.draw(fine, row + 2 * d_row, col + d_col, height, sigma)
    images = images[:, ::2] + 0.02 * images.std() * rng.normal(size=(2, *SHAPE))
    return ImagePair(*(Image(part, TALL, UTM) for part in images))


@pytest.fixture(scope="module")
def slide():
    """A landslide below a camera that turned by 4 degrees and moved; the truth, and the ground that is still."""
    matrix = mapping(SHAPE, 4, (7.3, -11.6), metric=square(Grid(SHAPE, TALL, UTM)))
    still = np.hypot(*landslide(*np.indices(SHAPE, float))) < 0.02
    return ground_scene(motion_of(matrix, landslide)), matrix, still


@pytest.fixture(scope="module")
def registered(slide):
    pair, _, still = slide
    before = pair.reference.image.copy(), pair.secondary.image.copy()
    out = coregister(pair, model="similarity", stable=still)
    np.testing.assert_array_equal(pair.reference.image, before[0])
    np.testing.assert_array_equal(pair.secondary.image, before[1])
    return out


def test_stable_ground_fits_to_a_twentieth_of_a_pixel(slide, registered):
    pair, matrix, still = slide
    out, report = registered
    assert out.reference is pair.reference
    assert errors(report, matrix, np.argwhere(still)[::5].astype(float)).max() < 0.05
    assert report.rotation == pytest.approx(4, abs=0.02)
    assert report.scale == pytest.approx(1, abs=2e-4)
    assert report.shift == pytest.approx((7.3, -11.6), abs=0.02)
    assert report.converged
    assert report.iterations[-1].kept
    assert report.posts >= 20
    assert np.abs(report.median).max() < 0.03
    assert np.max(report.nmad) < 0.03
    assert report.iterations[0].change > 5
    assert report.iterations[0].nmad[1] > 3


def test_what_moved_still_moves(registered):
    """As measured, and as it is measured where the camera stood still."""
    out, _ = registered
    still = ground_scene(landslide)
    track = NCC(chip=24, step=8, search=8)
    found, wanted = track(out.reference, out.secondary), track(still.reference, still.secondary)
    motion = truth.truth_at(found, landslide, (24, 24))
    there = found.good & wanted.good & (np.hypot(*motion) > 1)
    assert there.sum() > 80
    for got, same, true in ((found.d_row, wanted.d_row, motion[0]), (found.d_col, wanted.d_col, motion[1])):
        assert abs(np.median((got - true)[there])) < 0.1
        assert np.percentile(np.abs(got - same)[there], 95) < 0.1


def test_workers_and_the_form_of_stable_ground_change_nothing(slide, registered):
    pair, _, still = slide

    def at_posts(field):
        rows, cols = (
            int(start) + step * np.arange(count)
            for start, step, count in zip(field.start, field.step, field.grid.shape, strict=True)
        )
        return still[np.ix_(rows, cols)] * 1.0

    with threads(2) as mapper:
        out, report = coregister(pair, model="similarity", stable=still, mapper=mapper)
    assert report == registered[1]
    window = slice(40, 90), slice(50, 150)
    np.testing.assert_array_equal(out.secondary.read(*window)[0], registered[0].secondary.read(*window)[0])
    chips = [module.chips_on_stable_ground(pair.reference.scaled, form) for form in (still, at_posts)]
    shared = len({tuple(at) for at in chips[0].starts} & {tuple(at) for at in chips[1].starts})
    assert shared > 0.9 * max(len(part.starts) for part in chips)


@pytest.mark.parametrize(("angle", "shift", "model"), [
    (180, (-9.8, 100.3), "similarity"),
    (0, (100.2, -30.4), "shift"),
])  # fmt: skip
def test_large_turns_and_shifts_are_found_by_features(angle, shift, model):
    matrix = mapping(SHAPE, angle, shift)
    _, report = coregister(pair_of(matrix), model=model)
    assert report.found == "features"
    assert report.inliers > 100
    seen = move(matrix, everywhere())
    inside = ((seen >= 0) & (seen < SHAPE)).all(axis=1)
    assert errors(report, matrix, everywhere()[inside]).max() < 0.05


@pytest.fixture(scope="module")
def torn():
    """Turned by 37 degrees, with a slanted border in one image, holes in the other and fill values in both."""
    matrix = mapping(SHAPE, 37, (2.3, -10.4))
    pair = pair_of(matrix)
    row, col = np.indices(SHAPE)
    first, second = pair.reference.image.copy(), pair.secondary.image.copy()
    first[col + 0.3 * row < 40] = -9999
    second[(row // 3 % 17 == 0) & (np.abs(col - 90) < 35)] = np.nan
    second[130:150, 130:170] = -9999
    return ImagePair(Image(first, nodata=-9999), Image(second, nodata=-9999)), matrix


def test_holes_and_borders_stay_and_do_no_harm(torn):
    pair, matrix = torn
    out, report = coregister(pair, model="similarity")
    assert errors(report, matrix, everywhere()).max() < 0.05
    assert report.rotation == pytest.approx(37, abs=0.02)
    valid = out.secondary.valid
    there = move(np.array(report.matrix), np.argwhere(valid).astype(float))
    low = np.floor(there + 2e-3).astype(int)  # a share of 0.999 of the pixels around must be valid
    assert pair.secondary.valid[low[:, 0], low[:, 1]].all()
    assert 0.4 < valid.mean() < 0.9
    row, col = back(np.array(report.matrix), np.array([[140.0, 150.0]]))[0].round().astype(int)
    assert not valid[row - 5 : row + 6, col - 5 : col + 6].any()


def test_a_turn_cannot_be_undone_by_a_shift(torn):
    pair, _ = torn
    with pytest.raises(NoMatchError, match=r"no shift brings the images together .*; try a similarity"):
        coregister(pair, model="shift")


def test_a_shift_is_fitted_as_well_as_it_can_be_to_a_slight_turn():
    """Up to 3 px at the edges stay; in the middle the shift is right."""
    _, report = coregister(pair_of(mapping(SHAPE, 1.5, (5.5, -7.3))), model="shift")
    assert report.shift == pytest.approx((5.5, -7.3), abs=0.25)
    assert report.rotation == 0
    assert np.min(report.nmad) > 1


def test_orb_steps_in_for_sift(torn, monkeypatch):
    monkeypatch.delattr(cv2, "SIFT_create")
    _, report = coregister(torn[0], model="similarity", features=True)
    assert report.found == "features"
    assert errors(report, torn[1], everywhere()).max() < 0.05


def test_noise_is_refused_and_nothing_changes():
    rng = np.random.default_rng(1)
    pixels = [cv2.GaussianBlur(rng.normal(size=(2, *SHAPE))[i], (0, 0), 1.5) for i in (0, 1)]
    pair = ImagePair(*(Image(part) for part in pixels))
    copies = [part.copy() for part in pixels]
    with pytest.raises(NoMatchError, match=r"no affine brings the images together \(\d+ of \d+ chips matched"):
        coregister(pair, model="affine")
    for part, copy in zip(pixels, copies, strict=True):
        np.testing.assert_array_equal(part, copy)


@pytest.fixture(scope="module")
def parted():
    """The left 60 % move by 4 rows and -3 columns as one, the rest is still."""

    def moving(row, col):
        left = col < 0.6 * SHAPE[1]
        return 4.0 * left, -3.0 * left

    return pair_of(IDENTITY, moving=moving)


def test_stable_ground_decides(parted, caplog):
    caplog.set_level(logging.INFO)
    still = np.broadcast_to(np.arange(SHAPE[1]) > 0.62 * SHAPE[1], SHAPE)
    out, report = coregister(parted, model="shift", stable=still)
    assert out is parted
    assert np.array(report.matrix).tolist() == IDENTITY.tolist()
    assert report.converged
    assert "co-registered by a shift" in caplog.text
    _, moved = coregister(parted, model="shift")  # without, the larger part is taken for still
    assert moved.shift == pytest.approx((4, -3), abs=0.02)


def test_a_step_that_does_not_help_is_not_taken(parted, monkeypatch, caplog):
    caplog.set_level(logging.INFO)

    def off(model, here, there, metric, start):
        matrix = fit(model, here[start], there[start], metric)
        return matrix + np.array([[0, 0, 0.7], [0, 0, -0.4]]), start

    monkeypatch.setattr(module, "fit_robustly", off)
    pair = ImagePair(*(Image(image.image[:, 150:]) for image in (parted.reference, parted.secondary)))
    out, report = coregister(pair, model="shift")
    assert out is pair
    (step,) = report.iterations
    assert not step.kept
    assert step.change == pytest.approx(np.hypot(0.7, 0.4), abs=0.05)
    assert not report.converged
    assert "not taken" in caplog.text


def test_what_cannot_be_asked_for(parted):
    with pytest.raises(ConfigError, match="model must be one of shift, similarity, affine, instead got 'cubic'"):
        coregister(parted, model="cubic")
    with pytest.raises(ConfigError, match="max_iterations must be at least 1, instead got 0"):
        coregister(parted, max_iterations=0)
    with pytest.raises(InputError, match=r"must have the shape \(200, 240\), instead got \(240, 200\)"):
        coregister(parted, stable=np.ones(SHAPE[::-1], bool))
    corner = np.zeros(SHAPE, bool)
    corner[:40, :40] = True
    with pytest.raises(InputError, match=r"stable ground must hold at least 16 chips .* instead got \d"):
        coregister(parted, stable=corner)
    tiny = Image(parted.reference.image[:40, :40])
    with pytest.raises(NoMatchError, match="the reference must hold at least 16 chips"):
        coregister(ImagePair(tiny, tiny))


# ------------------------------------------------------------------------------------------------ command line


@pytest.fixture(scope="module")
def turned_files(tmp_path_factory):
    """A landslide in GeoTIFFs of 10 x 20 m, the second one turned by 2 degrees, with a mask of what may move."""
    folder = tmp_path_factory.mktemp("turned")
    shape = (150, 190)
    matrix = mapping(shape, 2, (6.4, 3.7), metric=square(Grid(shape, TALL, UTM)))

    def moving(row, col):
        g = np.exp(-(((row - 75) / 16) ** 2 + ((col - 100) / 20) ** 2) / 2)
        return 2.5 * g, 4.0 * g

    reference, secondary = truth.arrays(shape, motion_of(matrix, moving), seed=11)
    write_tif(folder / "reference.tif", reference.astype(np.float32))
    write_tif(folder / "secondary.tif", secondary.astype(np.float32))
    mask = np.hypot(*moving(*np.indices(shape, float))) > 0.05
    write_tif(folder / "moving.tif", mask.astype(np.uint8))
    return folder


def test_track_coregisters_first_and_says_so(cli, turned_files, tmp_path):
    inputs = [turned_files / name for name in ("reference.tif", "secondary.tif")]
    options = ("--unstable-ground", turned_files / "moving.tif", *SMALL)
    result = cli("track", *inputs, "-o", tmp_path / "o", "--coregister", "similarity", *options)
    assert result.code == 0, result.err
    (line,) = (line for line in result.out.splitlines() if line.startswith("co-registration"))
    assert re.search(r"turned \+(1\.99|2\.0).* deg, scale 1\.000", line)
    assert "residual NMAD 0.0" in line
    record = json.loads((tmp_path / "o" / "run.json").read_text())
    assert record["configuration"]["coregister"] == "similarity"
    found = record["coregistration"]
    assert found["rotation"] == pytest.approx(2, abs=0.05)
    assert found["shift"] == pytest.approx([6.4, 3.7], abs=0.05)
    assert found["converged"] is True
    assert found["iterations"][0]["posts"] > 8
    assert "coregister" in record["seconds"]
    assert np.max(record["bias"]["nmad_before"]) < 0.05
    d_row = read_tif(tmp_path / "o" / "offsets.tif", 1)
    assert np.nanmax(d_row) == pytest.approx(2.2, abs=0.4)  # 2.5 at the top, the mean over a chip is less


def test_track_leaves_the_images_alone_unless_asked(cli, pair_files, tmp_path):
    result = cli("track", *pair_files, "-o", tmp_path / "o", *SMALL, "--json")
    assert json.loads(result.out)["coregistration"] is None
    mask = np.zeros((140, 180), np.uint8)
    mask[:20, :20] = 1
    small = write_tif(tmp_path / "small.tif", mask)
    asked = ("--coregister", "shift", "--stable-ground", small)
    refused = cli("track", *pair_files, "-o", tmp_path / "p", *SMALL, *asked)
    assert refused.code == 3
    assert "small.tif: stable ground must hold at least 16 chips" in refused.error
