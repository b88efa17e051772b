"""A wide search goes by way of smaller images: the same offsets, and no more mistakes."""

from __future__ import annotations

import numpy as np
import pytest

from sensetrack import Image
from sensetrack.errors import InputError
from sensetrack.ot.algorithms import ALGORITHMS, NCC, ncc
from sensetrack.ot.algorithms.guide import FACTOR
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


@pytest.fixture
def searches(monkeypatch):
    """What the engine was asked: posts, how many of them were wanted, and half widths."""
    seen = []
    original = ncc.correlate_tile

    def watched(*args, **kwargs):
        wanted = kwargs["wanted"]
        number = np.prod(kwargs["posts"]) if wanted is None else wanted.sum()
        seen.append((kwargs["posts"], int(number), kwargs["search"]))
        return original(*args, **kwargs)

    monkeypatch.setattr(ncc, "correlate_tile", watched)
    return seen


def test_posts_are_searched_finely_around_what_is_known(images, searches):
    class Tiled(NCC):
        block = (6, 8)

    field = Tiled(chip=32, step=16, search=56)(*images)
    fine = sum(number for _, number, search in searches if max(search) < 40)
    assert fine > 0.8 * field.flags.size
    # A search of ordinary width needs no smaller images.
    searches.clear()
    NCC(chip=32, step=16, search=16)(*images)
    assert {search for *_, search in searches} == {(16, 16)}


def test_where_nothing_is_known_the_whole_search_is_made(searches):
    rng = np.random.default_rng(0)
    noise = [Image(rng.normal(size=SHAPE)) for _ in "ab"]
    whole = NCC(chip=32, step=16, search=56, pyramid=False)(*noise)
    searches.clear()
    field = NCC(chip=32, step=16, search=56)(*noise)
    assert (np.abs(field.d_row - whole.d_row) < 0.01).mean() > 0.95
    # At most once more than without: the smaller images, and posts that one of them led astray.
    assert sum(number for _, number, search in searches if search == (56, 56)) <= field.flags.size


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
