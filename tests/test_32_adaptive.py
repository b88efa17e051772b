"""Where smaller images mislead, or say little, the search is as wide as without them."""

from __future__ import annotations

import numpy as np
import pytest

from sensetrack import Image
from sensetrack.ot.algorithms import NCC, ncc
from sensetrack.ot.algorithms.guide import FACTOR
from sensetrack.ot.simulate import mountain_pair
from sensetrack.ot.tiles import overview
from sensetrack.workflow.executors import threads
from truth import arrays

SHAPE = (460, 640)
FAST = 40, -25
"""Motion of a patch, px; what is around it stands still."""
PATCH = np.s_[200:320, 260:350]
"""120 rows, 90 columns."""


def moves(row, col):
    inside = (row >= PATCH[0].start) & (row < PATCH[0].stop) & (col >= PATCH[1].start) & (col < PATCH[1].stop)
    return np.where(inside, FAST[0], 0.0), np.where(inside, FAST[1], 0.0)


@pytest.fixture(scope="module")
def pixels():
    return arrays(SHAPE, moves, seed=3)


def inner(field, chip):
    """Posts whose chip lies in the patch."""
    rows, cols = (
        start + step * np.arange(size)
        for start, step, size in zip(field.start, field.step, field.grid.shape, strict=True)
    )
    inside = [
        (place - chip / 2 >= part.start) & (place + chip / 2 <= part.stop)
        for place, part in zip((rows, cols), PATCH, strict=True)
    ]
    return inside[0][:, None] & inside[1]


def right(field):
    return field.good & (np.hypot(field.d_row - FAST[0], field.d_col - FAST[1]) < 0.5)


@pytest.fixture
def work(monkeypatch):
    """Posts times shifts that the engine was asked for."""
    done = []
    original = ncc.correlate_tile

    def watched(*args, **kwargs):
        posts = np.prod(kwargs["posts"]) if kwargs["wanted"] is None else kwargs["wanted"].sum()
        done.append(posts * np.prod(np.multiply(kwargs["search"], 2) + 1))
        return original(*args, **kwargs)

    monkeypatch.setattr(ncc, "correlate_tile", watched)
    return done


@pytest.mark.parametrize(("chip", "step"), [(32, 8), (32, 16), (48, 16), (64, 8)])
def test_a_small_fast_patch_is_found(pixels, work, chip, step):
    images = [Image(part) for part in pixels]
    field = NCC(chip=chip, step=step, search=64)(*images)
    here = inner(field, chip)
    assert here.sum() >= 10
    assert right(field)[here].all()
    guided = sum(work)
    work.clear()
    whole = NCC(chip=chip, step=step, search=64, pyramid=False)(*images)
    assert right(whole)[here].all()
    assert (np.hypot(field.d_row - whole.d_row, field.d_col - whole.d_col) < 0.01).mean() > 0.99
    assert guided < 0.35 * sum(work)


def test_a_fast_patch_too_small_for_the_smaller_images_is_found():
    """40 x 44 px: on the smaller images less than half of any chip."""
    ground = arrays((300, 340), lambda row, col: (0 * row, 0 * col), seed=9)[0]
    after = ground.copy()
    after[100:140, 180:224] = ground[240:280, 20:64]  # what came to light
    after[130:170, 150:194] = ground[100:140, 180:224]  # 30 rows down, 30 columns left
    field = NCC(chip=32, step=4, search=48)(Image(ground), Image(after))
    found = field.good & (np.hypot(field.d_row - 30, field.d_col + 30) < 0.2)
    assert found[25:28, 45:49].all()
    still = np.hypot(field.d_row, field.d_col) < 0.2
    assert (still | found).mean() > 0.85


def test_where_coarse_texture_is_gone_the_fine_is_found(pixels):
    """Light and shadow of another hour: whatever is broad differs, detail stays."""
    rng = np.random.default_rng(4)
    images = []
    for part in pixels:
        broad = np.kron(rng.normal(size=(SHAPE[0] // FACTOR, SHAPE[1] // FACTOR)), np.ones((FACTOR, FACTOR)))
        mean, _ = overview(Image(part).scaled, FACTOR)
        scaled = Image(part).scaled
        detail = (part - scaled.middle) / scaled.spread - np.kron(mean, np.ones((FACTOR, FACTOR)))
        images.append(Image(detail + 0.3 * detail.std() * broad))
    matcher = NCC(chip=32, step=16, search=64)
    coarse = matcher._coarse((64, 64))
    small = [Image(overview(image.scaled, FACTOR)[0]) for image in images]
    assert (coarse(*small).score > 0.5).mean() < 0.1
    field, whole = matcher(*images), NCC(chip=32, step=16, search=64, pyramid=False)(*images)
    here = inner(field, 32)
    assert right(whole)[here].mean() > 0.9
    np.testing.assert_array_equal(right(field)[here], right(whole)[here])
    assert (np.hypot(field.d_row - whole.d_row, field.d_col - whole.d_col) < 0.01)[whole.good].mean() > 0.99


def test_where_the_ground_changed_all_is_as_without_smaller_images(pixels):
    """Half of what is around the patch, and a part of it, is other ground."""
    rng = np.random.default_rng(6)
    second = pixels[1].copy()
    second[:, 60:220] = rng.permuted(second[:, 60:220].ravel()).reshape(SHAPE[0], 160)
    second[250:290, 250:280] = rng.permuted(second[250:290, 250:280].ravel()).reshape(40, 30)
    images = Image(pixels[0]), Image(second)
    field, whole = NCC(chip=32, step=16, search=64)(*images), NCC(chip=32, step=16, search=64, pyramid=False)(*images)
    trusted = whole.good & (whole.score > 0.5)
    assert (np.hypot(field.d_row - whole.d_row, field.d_col - whole.d_col) < 0.01)[trusted].mean() > 0.99
    here = inner(field, 32)
    assert right(field)[here].sum() >= right(whole)[here].sum()


def test_larger_chips_come_after_the_wide_search(pixels):
    """A larger chip near the patch would find what stands still around it."""
    images = [Image(part) for part in pixels]
    options = {"chip": 32, "step": 16, "search": 64, "larger": (2, 4)}
    field, whole = NCC(**options)(*images), NCC(**options, pyramid=False)(*images)
    here = inner(field, 32)
    assert right(field)[here].all()
    assert (field.chip_size[here] == 32).all()
    assert (field.chip_size == whole.chip_size).mean() > 0.97


def test_workers_change_nothing(pixels):
    images = [Image(part) for part in pixels]

    class Tiled(NCC):
        block = (8, 9)

    matcher = Tiled(chip=32, step=16, search=64)
    alone = matcher(*images)
    with threads(2) as mapper:
        several = matcher(*images, mapper=mapper)
    for name in ("d_row", "d_col", "flags", "score", "snr", "peak_ratio", "covariance"):
        np.testing.assert_array_equal(getattr(several, name), getattr(alone, name))
    assert right(alone)[inner(alone, 32)].all()


def test_where_all_is_well_little_is_searched_twice(work):
    """Of a whole search, on a smooth motion that the smaller images see."""
    images = [Image(part) for part in arrays((400, 520), lambda row, col: (row / 40, 3 - col / 60), seed=11)]
    NCC(chip=32, step=16, search=64)(*images)
    guided = sum(work)
    work.clear()
    NCC(chip=32, step=16, search=64, pyramid=False)(*images)
    assert guided < 0.12 * sum(work)


def test_shadows_and_clouds_cost_no_more_than_no_smaller_images(work):
    pair = mountain_pair((400, 460), peak=(6.0, 4.0))
    images = Image(pair.reference), Image(pair.secondary)
    field = NCC(chip=32, step=16, search=48)(*images)
    guided = sum(work)
    work.clear()
    whole = NCC(chip=32, step=16, search=48, pyramid=False)(*images)
    assert guided < 0.6 * sum(work)
    trusted = whole.good & (whole.score > 0.5)
    assert (np.hypot(field.d_row - whole.d_row, field.d_col - whole.d_col) < 0.05)[trusted].mean() > 0.99
