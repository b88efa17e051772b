"""The matching engine against the definitions in plain NumPy: surfaces, peaks, and what missing pixels do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from sensetrack.ot import engine
from sensetrack.ot.correlation import zncc
from sensetrack.ot.engine import (
    State,
    correlate_tile,
    covariance,
    layout,
    panel,
    peaks,
    plain,
    rows,
    scratch,
    template,
    tile,
    vector,
)
from sensetrack.ot.engine.task import Task
from sensetrack.ot.matching import match_chips
from sensetrack.ot.peak import MARGIN, Peaks, find_peaks
from truth import arrays, uniform

KERNELS = ["vector", "plain", "opencv"]


@pytest.fixture(scope="module")
def scene():
    """Reference and secondary, 3 rows down and 5 columns left, scaled as tiles are; the noise is strong."""
    pair = arrays((230, 270), uniform(3.3, -4.8), seed=4, noise=0.4)
    return tuple((image / np.ptp(np.percentile(image, (2, 98)))).astype(np.float32) for image in pair)


def windows(image, i, size, step, number):
    view = np.lib.stride_tricks.sliding_window_view(image, size)
    return view[i * step[0], :: step[1]][:number]


def by_definition(reference, reference_valid, secondary, secondary_valid, *, chip, step, posts, search, min_valid):
    """Every chip by `match_chips`."""
    area = tuple(c + 2 * (s + MARGIN) for c, s in zip(chip, search, strict=True))
    found = []
    for i in range(posts[0]):
        chips, chips_valid = (windows(part, i, chip, step, posts[1]) for part in (reference, reference_valid))
        areas, areas_valid = (windows(part, i, area, step, posts[1]) for part in (secondary, secondary_valid))
        found.append(match_chips(chips, chips_valid, areas, areas_valid, search=search, min_valid=min_valid))
    return Peaks(*(np.stack(layer) for layer in zip(*found, strict=True)))


def cut(scene, *, chip, step, posts, search, at=(40, 50)):
    """A tile of the scene and what is valid of it: what lies outside is not."""
    size = [(n - 1) * s + c for n, s, c in zip(posts, step, chip, strict=True)]
    halo = [s + MARGIN for s in search]
    tiles = []
    for image, more in zip(scene, ((0, 0), halo), strict=True):
        inside = np.pad(np.ones(image.shape, bool), 60)
        window = tuple(slice(60 + a - m, 60 + a + s + m) for a, s, m in zip(at, size, more, strict=True))
        tiles += [np.pad(image, 60)[window].copy(), inside[window].copy()]
    return tiles


def compare(tiles, kernel, *, min_valid=0.5, **sizes):
    """Check a kernel against the definitions, and return its results."""
    reference, reference_valid, secondary, secondary_valid = tiles
    reference, secondary = np.where(reference_valid, reference, 0), np.where(secondary_valid, secondary, 0)
    expected = by_definition(reference, reference_valid, secondary, secondary_valid, min_valid=min_valid, **sizes)
    masks = {"reference_valid": reference_valid, "secondary_valid": secondary_valid}
    found = correlate_tile(reference, secondary, **masks, **sizes, min_valid=min_valid, kernel=kernel)
    missing = np.isin(found.state, (State.NO_DATA, State.FLAT))
    assert (missing == expected.missing).all()
    assert ((found.state == State.EDGE) == (expected.at_edge & ~expected.missing)).all()
    # Along a ridge a place is known as badly as the surface is flat there: 1e-5 of a correlation decides.
    rr, cc, rc = np.moveaxis(expected.curvature, -1, 0)
    weakest = (rr + cc) / 2 + np.hypot((rr - cc) / 2, rc)
    slack = 1e-3 + np.where(weakest < 0, np.minimum(1e-5 / np.abs(weakest), 0.02), 0.02 * np.isfinite(weakest))
    for layer, other in ((found.d_row, expected.row), (found.d_col, expected.col)):
        assert (np.isnan(layer) == np.isnan(other)).all()
        assert (np.nan_to_num(np.abs(layer - other)) <= np.where(np.isnan(slack), 1e-6, slack)).all()
    np.testing.assert_allclose(found.score, expected.score, atol=1e-4)
    np.testing.assert_allclose(found.snr, expected.snr, rtol=1e-3)
    np.testing.assert_allclose(found.peak_ratio, expected.peak_ratio, rtol=1e-3)
    spread = covariance(expected.score, expected.curvature, sizes["chip"][0] * sizes["chip"][1])
    np.testing.assert_allclose(found.covariance, spread, rtol=0.05, atol=1e-6)
    return found


SIZES = {
    "square": {"chip": (32, 32), "step": (8, 8), "posts": (4, 6), "search": (11, 12)},
    "tall": {"chip": (64, 16), "step": (16, 8), "posts": (3, 7), "search": (9, 13)},
    "no common factor": {"chip": (33, 20), "step": (7, 9), "posts": (4, 5), "search": (5, 11)},
    "gaps": {"chip": (16, 24), "step": (20, 30), "posts": (3, 4), "search": (10, 10)},
    "one post": {"chip": (40, 30), "step": (8, 8), "posts": (1, 1), "search": (12, 8)},
    "peaks at the end of the search": {"chip": (32, 24), "step": (16, 8), "posts": (3, 6), "search": (4, 6)},
    "peaks beyond the search": {"chip": (32, 32), "step": (16, 16), "posts": (3, 4), "search": (12, 2)},
    "smallest search": {"chip": (8, 8), "step": (4, 4), "posts": (3, 4), "search": (1, 1)},
}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())
def test_whole_chips(scene, sizes, kernel):
    found = compare(cut(scene, **sizes), kernel, **sizes)
    if min(sizes["search"]) >= 8:
        assert (found.state == State.FOUND).all()
        assert np.median(found.d_row) == pytest.approx(3.3, abs=0.1)
        assert np.median(found.d_col) == pytest.approx(-4.8, abs=0.1)
    if sizes["search"] == (12, 2):
        assert (found.state == State.EDGE).any()


def blobs(shape, seed, share):
    """Valid but for some rectangles."""
    rng = np.random.default_rng(seed)
    valid = np.ones(shape, bool)
    while valid.mean() > 1 - share:
        row, col = rng.integers(shape[0]), rng.integers(shape[1])
        valid[row : row + rng.integers(2, 14), col : col + rng.integers(2, 20)] = False
    return valid


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", ["square", "no common factor", "peaks at the end of the search"])
@pytest.mark.parametrize("missing", ["reference", "secondary", "both", "edge"])
def test_missing_pixels(scene, name, missing, kernel):
    sizes = SIZES[name]
    tiles = cut(scene, **sizes, at=(1, 2) if missing == "edge" else (40, 50))
    if missing in ("reference", "both"):
        tiles[1] &= blobs(tiles[1].shape, 1, 0.15)
    if missing in ("secondary", "both"):
        tiles[3] &= blobs(tiles[3].shape, 2, 0.25)
    assert not (tiles[1].all() and tiles[3].all())
    found = compare(tiles, kernel, **sizes)
    assert (found.state == State.FOUND).any()


@pytest.mark.parametrize("kernel", ["vector", "plain"])
@pytest.mark.parametrize("at", [(2, 3), (97, 141)], ids=["first corner", "last corner"])
def test_peaks_between_samples_at_the_border(kernel, at):
    """Where the highest sample is not the one nearest to the top, what lasts of a chip is around the latter."""
    pair = arrays((230, 270), uniform(3.5, -4.5), seed=8, noise=0.6)
    scene = [(image / np.ptp(np.percentile(image, (2, 98)))).astype(np.float32) for image in pair]
    sizes = {"chip": (24, 20), "step": (4, 4), "posts": (28, 28), "search": (8, 9)}
    found = compare(cut(scene, **sizes, at=at), kernel, **sizes)
    assert np.median(found.d_row) == pytest.approx(3.5, abs=0.1)
    assert np.median(found.d_col) == pytest.approx(-4.5, abs=0.1)


@pytest.mark.parametrize("kernel", KERNELS)
def test_too_few_pixels_and_flat_ground(scene, kernel):
    sizes = {"chip": (24, 20), "step": (12, 10), "posts": (6, 8), "search": (8, 7)}
    tiles = cut(scene, **sizes)
    tiles[1][:30, :30] = False
    tiles[0][50:, 60:] = tiles[0].mean()
    tiles[2][:, -40:] = tiles[2].min()
    found = compare(tiles, kernel, min_valid=0.8, **sizes)
    assert found.state[0, 0] == State.NO_DATA
    assert found.state[-1, -2] == State.FLAT
    assert np.isnan([found.d_row[0, 0], found.score[0, 0], found.snr[0, 0], found.peak_ratio[-1, -2]]).all()
    assert np.isnan(found.covariance[0, 0]).all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_levels_that_differ_more_than_the_ground_itself(scene, kernel):
    """Calm water beside bright land, in steps of one grey value: no digits may be lost to the level."""
    sizes = {"chip": (24, 24), "step": (12, 8), "posts": (6, 8), "search": (8, 9)}
    tiles = cut(scene, **sizes)
    for image, shift in ((tiles[0], 0), (tiles[2], 14)):
        calm = np.indices(image.shape).sum(axis=0) < 100 + 2 * shift
        image[:] = np.round(np.where(calm, 0.05 * image - 4, image + 3) * 100) / 100
    chips = tile.survey(task(tiles, sizes))
    assert len(list(tile._parts(chips, layout.Panel(slice(0, 6), slice(0, 8))))) > 1
    compare(tiles, kernel, **sizes)


def task(tiles, sizes, min_valid=0.5):
    reference, reference_valid, secondary, secondary_valid = tiles
    images = reference, None, secondary, None
    if not (reference_valid.all() and secondary_valid.all()):
        images = (
            np.where(reference_valid, reference, 0),
            reference_valid,
            np.where(secondary_valid, secondary, 0),
            secondary_valid,
        )
    return Task(*images, **sizes, min_valid=min_valid, wanted=None)


def engine_surfaces(job, kernel, extra):
    """Surfaces (posts down, posts across, rows, cols) that reach `extra` beyond the search, NaN where undefined."""
    chips = tile.survey(job)
    wanted = np.ones(job.posts, bool)
    everything = layout.Panel(slice(0, job.posts[0]), slice(0, job.posts[1]))
    work = panel.Work(job, kernel, chips, panel.Part(np.float32(0.1), everything, wanted))
    found = rows.Found(
        np.zeros((*job.posts, peaks.FIELDS)),
        np.zeros(job.posts, np.uint8),
        np.zeros((*job.posts, peaks.SIDE, peaks.LANES), np.float32),
    )
    progress, out = rows.Rows(work, found, extra), []
    for b in range(work.down.edges.size - 1):
        progress.add(b)
        for i in np.flatnonzero(work.down.first + work.down.number - 1 == b):
            progress.finish(int(i))
            lines = progress.surfaces[0][:, : progress.rows * progress.pitch]
            out.append(lines.reshape(job.posts[1], progress.rows, progress.pitch)[:, :, :-1].copy())
    stacked = np.stack(out)
    return np.where(stacked == peaks.MISSING, np.nan, stacked)


@pytest.mark.parametrize("kernel", ["vector", "plain"])
@pytest.mark.parametrize("holes", [False, True, "at two sides"])
@pytest.mark.parametrize(("name", "extra"), [("square", 0), ("tall", MARGIN), ("no common factor", 0)])
def test_surfaces(scene, name, extra, holes, kernel):
    sizes = SIZES[name]
    tiles = cut(scene, **sizes)
    if holes == "at two sides":
        tiles[3][:11], tiles[3][:, -17:] = False, False
    elif holes:
        tiles[1] &= blobs(tiles[1].shape, 5, 0.1)
        tiles[3] &= blobs(tiles[3].shape, 6, 0.1)
    job = task(tiles, sizes)
    found = engine_surfaces(job, kernel, extra)
    area = tuple(c + 2 * (s + extra) for c, s in zip(sizes["chip"], sizes["search"], strict=True))
    spare = MARGIN - extra
    for i in range(sizes["posts"][0]):
        chips, chips_valid = (windows(part, i, sizes["chip"], sizes["step"], sizes["posts"][1]) for part in tiles[:2])
        inner = [part[spare : len(part) - spare, spare : part.shape[1] - spare] for part in tiles[2:]]
        areas, areas_valid = (windows(part, i, area, sizes["step"], sizes["posts"][1]) for part in inner)
        expected = zncc(np.where(chips_valid, chips, 0), chips_valid, np.where(areas_valid, areas, 0), areas_valid)
        np.testing.assert_allclose(found[i], expected, atol=1e-5)


def test_surfaces_of_the_template_matcher(scene):
    chip, area = scene[0][60:84, 70:110], scene[1][50:94, 55:125]
    sums = ndimage.uniform_filter(area.astype(float), chip.shape, origin=(-12, -20))[:21, :31]
    squares = ndimage.uniform_filter(area.astype(float) ** 2, chip.shape, origin=(-12, -20))[:21, :31]
    found = template._surface(chip, area, (squares - sums**2) * chip.size)
    every = np.ones_like(chip, bool)[None], np.ones_like(area, bool)[None]
    np.testing.assert_allclose(found, zncc(chip[None], every[0], area[None], every[1])[0], atol=1e-5)


def block_sums(function, a, b, places, height, shifts, pitch):
    size = len(places) * shifts[0] * pitch
    out = scratch.take("test out", (size,))
    out[:] = 7
    function(a, b, places, np.array([1, 0, 1], np.uint8), height, *shifts, pitch, out)
    return out.reshape(len(places), shifts[0], pitch).copy()


SHAPES = [(16, 11, 2, 16), (16, 4, 1, 8), (8, 3, 4, 8), (4, 6, 4, 4), (16, 3, 0, 1)]


@pytest.mark.parametrize("shape", [*SHAPES, None], ids=str)
def test_block_sums(shape):
    """Any number of shifts, blocks narrower and wider than a vector, whatever lies beside them."""
    rng = np.random.default_rng(9)
    a, b = scratch.take("test a", (40, 70)), scratch.take("test b", (70, 120))
    a[:], b[:] = rng.normal(size=a.shape), rng.normal(size=b.shape)
    function = plain.sums if shape is None else vector._compile(*shape[1:], shape[0])
    reach, span = (1, 1) if shape is None else (shape[1], max(shape[2] * shape[3], 1))
    for shifts, height, width in (
        ((reach, span), 11, 16),
        ((reach + 3, span + 1), 12, 5),
        ((2 * reach, span + 7), 17, 33),
    ):
        pitch = shifts[1] + 2
        at = np.arange(3) * shifts[0] * pitch
        places = np.stack([[2, 0, 9], [1, 0, 30], [3, 0, 5], [4, 0, 40], [width] * 3, at], axis=1)
        found = block_sums(function, a, b, places, height, shifts, pitch)
        assert (found[1] == 7).all()
        assert (found[:, :, shifts[1] :] == 7).all()
        for k in (0, 2):
            row, col, brow, bcol = places[k, :4]
            block = a[row : row + height, col : col + width].astype(float)
            area = b[brow : brow + height + shifts[0] - 1, bcol : bcol + width + shifts[1] - 1].astype(float)
            view = np.lib.stride_tricks.sliding_window_view(area, block.shape)
            np.testing.assert_allclose(found[k, :, : shifts[1]], np.einsum("uvyx,yx->uv", view, block), atol=1e-4)


@pytest.mark.parametrize("lanes", [4, 8, 16])
@settings(max_examples=60, deadline=None)
@given(st.integers(3, 70), st.integers(3, 70), st.integers(1, 64), st.integers(1, 64))
def test_a_shape_is_found_for_everything(lanes, height_of_search, width_of_search, height, width):
    shape = vector.shape(lanes, height_of_search, width_of_search, height, width)
    assert shape.reach <= min(height_of_search, height)
    assert shape.vectors * shape.lanes <= width_of_search
    assert shape.lanes <= lanes


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 9), st.integers(1, 90), st.integers(1, 90))
def test_blocks_cover_chips_exactly(posts, chip, step):
    axis = layout.axis(posts, chip, step)
    assert (axis.sizes > 0).all()
    np.testing.assert_array_equal(axis.edges[axis.first], np.arange(posts) * step)
    np.testing.assert_array_equal(axis.edges[axis.first + axis.number], np.arange(posts) * step + chip)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 80)), st.tuples(st.integers(4, 300), st.integers(4, 300)),
    st.tuples(st.integers(1, 99), st.integers(1, 99)), st.tuples(st.integers(1, 80), st.integers(1, 80)),
)  # fmt: skip
def test_panels_cover_posts_once(posts, chip, step, search):
    seen = np.zeros(posts, int)
    for box in layout.panels(posts, chip, step, search):
        seen[box.rows, box.cols] += 1
    assert (seen == 1).all()


def located(surfaces, search, extra):
    """Peaks, states and `find_peaks` of surfaces that reach `MARGIN` beyond the search; the engine sees `extra`."""
    n, spare = len(surfaces), MARGIN - extra
    seen = surfaces[:, spare : surfaces.shape[1] - spare, spare : surfaces.shape[2] - spare].astype(np.float32)
    lines = np.full((n, seen.shape[1], seen.shape[2] + 1), peaks.MISSING)
    lines[:, :, :-1] = np.where(np.isnan(seen), peaks.MISSING, seen)
    table, states = np.full((n, peaks.FIELDS), np.nan), np.zeros(n, np.uint8)
    patches, inner = np.zeros((n, peaks.SIDE, peaks.LANES), np.float32), [2 * s + 1 for s in search]
    spare_columns = 2 * peaks.BESIDE, 0, 0
    columns, summits, middle = (np.zeros(inner[0] * (inner[1] + 1) + more, np.float32) for more in spare_columns)
    room = columns, summits, summits.view(np.int32), middle
    peaks.locate(
        lines.reshape(n, -1),
        np.ones(n, np.uint8),
        np.array([[0, inner[0] - 1, 0, inner[1] - 1]]),
        *inner,
        extra,
        *room,
        table,
        states,
        patches,
    )
    peaks.refine(patches, states, peaks.table(), np.empty(peaks.ROOM), table)
    return table, states, find_peaks(surfaces, search)


@pytest.mark.parametrize("extra", [0, MARGIN])
def test_peaks_of_random_surfaces(extra):
    rng = np.random.default_rng(3)
    smooth = ndimage.gaussian_filter(rng.normal(size=(300, 41, 47)), (0, 1.4, 1.7)).astype(np.float32)
    smooth = np.clip(smooth, -1, 1)
    smooth[:100] = smooth[:100] / 4 - 0.4  # nothing above 0
    smooth[50:180][rng.uniform(size=(130, 41, 47)) < 0.02] = np.nan
    smooth[5] = np.nan
    smooth[7, 20:22] = 0.5  # the first of equal samples counts
    table, states, expected = located(smooth, (14, 17), extra)
    assert (states == peaks.NOTHING).tolist() == expected.missing.tolist()
    assert (states == peaks.EDGE).tolist() == (expected.at_edge & ~expected.missing).tolist()
    found = states == peaks.FOUND
    assert (states == peaks.OPEN).any() == (extra == 0)
    assert found.sum() > 40
    for field, layer in ((peaks.ROW, expected.row), (peaks.COL, expected.col)):
        apart = np.abs(table[found, field] - layer[found])
        assert np.percentile(apart, 98) < 1e-5  # on the flattest tops six steps of Newton's are not enough
        assert apart.max() < 2e-3
        np.testing.assert_array_equal(table[states == peaks.EDGE, field], layer[states == peaks.EDGE])
    np.testing.assert_allclose(np.minimum(table[found, peaks.SCORE], 1), expected.score[found], atol=2e-5)
    np.testing.assert_allclose(table[found, peaks.BY_ROW : peaks.MIXED + 1], expected.curvature[found], atol=1e-3)
    height, noise, second = (table[:, field] for field in (peaks.HEIGHT, peaks.NOISE, peaks.SECOND))
    known = ~expected.missing & (states != peaks.OPEN) & (height > 0)
    np.testing.assert_allclose((height / np.maximum(noise, 1e-3))[known], expected.snr[known], rtol=1e-4)
    ratio = height / np.maximum(second, 1e-3 * np.maximum(height, 1e-3))
    np.testing.assert_allclose(ratio[known], expected.peak_ratio[known], rtol=1e-4)


def test_covariance_by_hand():
    spread = covariance(np.array([0.8]), np.array([[-0.2, -0.1, 0.05]]), 400)
    inverse = np.linalg.inv([[0.2, -0.05], [-0.05, 0.1]]) * (1 - 0.64) / (400 * 0.8)
    np.testing.assert_allclose(spread[0], [inverse[0, 0], inverse[1, 1], inverse[0, 1]])
    assert np.isnan(covariance(np.array([0.8]), np.array([[-0.2, 0.1, 0.0]]), 400)).all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_results_repeat_and_do_not_depend_on_threads(scene, kernel):
    jobs = []
    for k in range(6):
        sizes = {"chip": (32, 24), "step": (8 + k % 2, 8), "posts": (4, 3 + k), "search": (9, 8)}
        tiles = cut(scene, **sizes, at=(3 * k, 20))
        jobs.append((tiles, sizes))

    def run(job):
        tiles, sizes = job
        for part in tiles:
            part.flags.writeable = False
        masks = {"reference_valid": tiles[1], "secondary_valid": tiles[3]}
        return correlate_tile(tiles[0], tiles[2], **masks, **sizes, kernel=kernel)

    alone = [run(job) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, jobs * 2))
    for one, other in zip(alone * 2, together, strict=True):
        for layer, again in zip(one, other, strict=True):
            np.testing.assert_array_equal(layer, again)


def test_results_do_not_depend_on_the_tile(scene):
    sizes = {"chip": (32, 24), "step": (8, 8), "posts": (8, 10), "search": (9, 8)}
    whole = compare(cut(scene, **sizes), "auto", **sizes)
    small = sizes | {"posts": (3, 4)}
    part = compare(cut(scene, **small, at=(40 + 2 * 8, 50 + 5 * 8)), "auto", **small)
    np.testing.assert_allclose(part.d_row, whole.d_row[2:5, 5:9], atol=1e-4)
    np.testing.assert_allclose(part.d_col, whole.d_col[2:5, 5:9], atol=1e-4)


@pytest.mark.parametrize("kernel", KERNELS)
def test_some_posts_only(scene, kernel):
    sizes = {"chip": (24, 32), "step": (8, 16), "posts": (5, 6), "search": (9, 8)}
    reference, _, secondary, valid = cut(scene, **sizes, at=(60, 4))
    wanted = np.zeros((5, 6), bool)
    wanted[2, 4] = wanted[3, 0:2] = True
    given = {"secondary_valid": valid, **sizes, "kernel": kernel}
    every = correlate_tile(reference, secondary, **given)
    found = correlate_tile(reference, secondary, **given, wanted=wanted)
    assert (np.isfinite(found.d_row) == wanted).all()
    assert ((found.state == State.FOUND) == wanted).all()
    for layer, other in zip(found, every, strict=True):
        np.testing.assert_allclose(layer[wanted], other[wanted], atol=1e-4, rtol=1e-4)


def test_memory_of_a_thread_is_bounded():
    rng = np.random.default_rng(1)
    reference = rng.normal(size=(31 * 16 + 64, 63 * 16 + 64)).astype(np.float32)
    secondary = np.pad(np.roll(reference, (2, 3), (0, 1)), 22)
    valid = rng.uniform(size=secondary.shape) > 0.001

    def run(_):
        sizes = {"chip": (64, 64), "step": (16, 16), "posts": (32, 64), "search": (16, 16)}
        found = correlate_tile(reference, secondary, secondary_valid=valid, **sizes)
        return scratch.held(), np.median(found.d_row), np.median(found.d_col)

    with ThreadPoolExecutor(1) as pool:
        held, d_row, d_col = next(pool.map(run, [0]))
    assert held < 60e6
    assert (d_row, d_col) == pytest.approx((2, 3), abs=0.01)


def test_what_cannot_be_is_refused(scene):
    sizes = SIZES["square"]
    tiles = cut(scene, **sizes)
    with pytest.raises(ValueError, match="must be one of auto, vector"):
        correlate_tile(tiles[0], tiles[2], **sizes, kernel="fft")
    with pytest.raises(ValueError, match="must have at least 56 rows and 34 more"):
        correlate_tile(tiles[0], tiles[2][1:], **sizes)
    with pytest.raises(ValueError, match="at least 1"):
        correlate_tile(tiles[0], tiles[2], **(sizes | {"search": (0, 12)}))
    with pytest.raises(ValueError, match="wanted must be"):
        correlate_tile(tiles[0], tiles[2], wanted=np.ones((4, 5), bool), **sizes)
    with pytest.raises(ValueError, match="mask must be"):
        correlate_tile(tiles[0], tiles[2], secondary_valid=tiles[1], **sizes)


def test_without_a_compiler_opencv_does_the_work(monkeypatch):
    assert engine.best_kernel() in ("vector", "plain")
    monkeypatch.setattr(engine.compiling, "WORKS", False)
    assert engine.best_kernel.__wrapped__() == "opencv"
