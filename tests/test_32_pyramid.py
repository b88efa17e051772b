"""A wide search goes by way of smaller images: the same offsets, and no more mistakes."""

from __future__ import annotations

import numpy as np
import pytest

from sensetrack import Image
from sensetrack.errors import InputError
from sensetrack.ot.algorithms import ALGORITHMS, NCC
from sensetrack.ot.algorithms.guide import FACTOR, Aim, Guide
from sensetrack.ot.tiles import Shrunk, overview
from truth import arrays, bump, make_pair, rmse, truth_at

SHAPE = (420, 520)
MOTION = bump(SHAPE, peak=(44, -31), sigma=220)


@pytest.fixture(scope="module")
def images():
    return make_pair(SHAPE, MOTION, seed=8)


def test_far_motion_is_found_as_by_the_whole_search(images):
    options = {"chip": 32, "step": 16, "search": 56}
    whole, guided = NCC(**options, pyramid=False)(*images), NCC(**options)(*images)
    both = whole.good & guided.good & (whole.score > 0.6)  # at the lower edge the ground moved out of the image
    assert both.mean() > 0.85
    assert guided.good.sum() >= 0.98 * whole.good.sum()
    np.testing.assert_allclose(guided.d_row[both], whole.d_row[both], atol=1e-3)
    np.testing.assert_allclose(guided.d_col[both], whole.d_col[both], atol=1e-3)
    assert (
        rmse(guided, truth_at(guided, MOTION, (32, 32))) < 1.01 * rmse(whole, truth_at(whole, MOTION, (32, 32))) + 1e-3
    )


def test_tiles_search_finely_around_what_is_known(images):
    scaled = images[0].scaled, images[1].scaled
    matcher = NCC(chip=32, step=16, search=56)
    chips = matcher.chips(SHAPE)
    aim = matcher.aim(scaled, chips, (0, 0), map, None)
    from sensetrack import blocks

    found = [aim(block) for block in blocks.plan(chips.shape, (6, 8))]
    assert all(max(fine.search) < 56 for fine, _ in found)
    shifts = np.array([shift for _, shift in found])
    assert shifts[:, 0].max() > 25
    assert shifts[:, 1].min() < -15
    # A search of ordinary width needs no guide.
    assert NCC(search=16).aim(scaled, chips, (3, 4), map, None)(None)[1] == (3, 4)


def test_where_nothing_is_known_the_whole_search_is_made():
    rng = np.random.default_rng(0)
    noise = [Image(rng.normal(size=SHAPE)).scaled for _ in "ab"]
    matcher = NCC(chip=32, step=16, search=56)
    guide = Guide.from_smaller((noise[0], noise[1]), matcher._coarse(), (0, 0), map)
    from sensetrack import blocks

    block = blocks.plan(matcher.chips(SHAPE).shape, (32, 64))[0]
    full = Aim((2, 3), (56, 56))
    assert guide.aim(matcher.chips(SHAPE), block, full) == full


def test_a_whole_image_shift_is_looked_around():
    first, second = arrays((300, 340), bump((300, 340), peak=(18, 12), sigma=400), seed=4)
    field = NCC(chip=32, step=16, search=24)(Image(first), Image(np.roll(second, (40, -60), (0, 1))), gross=(40, -60))
    good = field.good & (field.score > 0.9)
    assert good.mean() > 0.5
    truth = truth_at(field, bump((300, 340), peak=(18, 12), sigma=400), (32, 32))
    assert np.median((field.d_row - truth[0])[good]) == pytest.approx(40, abs=0.1)
    assert np.median((field.d_col - truth[1])[good]) == pytest.approx(-60, abs=0.1)


def test_smaller_images_are_means_of_valid_pixels(images):
    pixels = images[0].image.copy()
    pixels[10:13, 20:24] = np.nan  # three quarters of a cell
    scaled = Image(pixels).scaled
    small = Shrunk(scaled, FACTOR)
    mean, valid = overview(scaled, FACTOR)
    window = small[2:9, 3:60]
    np.testing.assert_array_equal(np.isnan(window), ~valid[2:9, 3:60])
    np.testing.assert_allclose(window[valid[2:9, 3:60]], mean[2:9, 3:60][valid[2:9, 3:60]], rtol=1e-6)
    cell = (pixels[16:20, 40:44].mean() - scaled.middle) / scaled.spread
    assert small[4:5, 10:11][0, 0] == pytest.approx(cell, rel=1e-5)
    assert small.shape == (105, 130)


@pytest.mark.parametrize("name", ["ncc", "pcc"])
def test_what_is_known_beforehand_is_looked_around(images, name):
    """A small search around offsets that no search from zero would find."""
    options = {
        "ncc": {"chip": 32, "step": 16, "search": 5},
        "pcc": {"winsize": 32, "step_size": 16, "upsmp_fac": 20, "passes": 2},
    }
    matcher = ALGORITHMS[name](**options.get(name, {}))
    field = matcher(*images)
    truth = np.stack(truth_at(field, MOTION, matcher.chips(SHAPE).chip))
    assert np.median(np.hypot(*truth)) > 20
    prior = truth + 1.5
    prior[:, :3, :4] = np.nan
    again = matcher(*images, prior=prior)
    error = np.hypot(again.d_row - truth[0], again.d_col - truth[1])
    right = (again.good & (error < 0.5)).mean()
    assert (field.good & (np.hypot(field.d_row - truth[0], field.d_col - truth[1]) < 0.5)).mean() < 0.1
    assert right > 0.7
    with pytest.raises(InputError, match="one value per post"):
        matcher(*images, prior=prior[:, 1:])
