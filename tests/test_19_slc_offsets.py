"""Offsets between complex images: as precise as speckle allows, unbiased, and honest about it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sensetrack.errors import ConfigError, InputError
from sensetrack.ot.fields import Flag
from sensetrack.sar import chip_tiles, offsets
from sensetrack.sar.ampcor import ampcor
from sensetrack.sar.chip_fringes import Tones, fitted
from sensetrack.sar.coherent import blocks
from sensetrack.sar.detect import Oversampled
from sensetrack.sar.offsets import SlcOffsets, measure
from sensetrack.sar.spectrum import Axis, look
from slc_speckle import nmad, oversampled, speckle_pair

S1 = {"bands": (0.88, 0.88), "hamming": 0.75}
SMALL = SlcOffsets(chip=(32, 64), step=(32, 64), search=(8, 8))


def errors(pair, offset, settings):
    """Errors, predicted standard errors (2, n) and which posts were coherent, of the posts away from the rim."""
    found = measure(*pair, settings)
    inside = slice(1, -1), slice(1, -1)
    field, used = found.field, found.coherent[inside]
    wrong = np.stack([field.d_row[inside] - offset[0], field.d_col[inside] - offset[1]])
    return wrong.reshape(2, -1), np.sqrt(np.moveaxis(field.covariance[inside], -1, 0)[:2]).reshape(2, -1), used


def test_oversampling_keeps_the_samples_and_adds_those_between():
    image, _ = speckle_pair((96, 130), (0.88, 0.7), 1.0, (0, 0), hamming=0.75)
    twice = Oversampled(image)
    assert (twice.shape, twice.dtype) == ((192, 260), np.float32)
    whole, truth = twice[:, :], np.abs(oversampled(image))
    np.testing.assert_allclose(whole[::2, ::2][:-1, :-1], np.abs(image)[:-1, :-1], rtol=1e-5)
    np.testing.assert_allclose(whole[40:-40, 40:-40], truth[40:-40, 40:-40], atol=0.05)
    assert np.sqrt(np.mean((whole - truth)[40:-40, 40:-40] ** 2)) < 0.01
    np.testing.assert_array_equal(twice[37:120, 51:203], whole[37:120, 51:203])


def test_oversampling_is_missing_where_a_neighbour_is():
    image, _ = speckle_pair((60, 70), (0.88, 0.7), 1.0, (0, 0))
    image[20:22, 30] = np.nan
    gone = np.isnan(Oversampled(image)[:-1, :-1])
    expected = np.zeros_like(gone)
    expected[39:44, 59:62] = True
    np.testing.assert_array_equal(gone, expected)


@pytest.mark.parametrize(
    ("band", "coherence", "hamming", "by_amplitude", "by_phase"),
    [(1.0, 0.8, 1.0, 0.011, 0.009), (0.645, 0.3, 1.0, None, 0.07), (0.88, 0.5, 0.75, 0.045, 0.022)],
)
def test_scatter_on_speckle_and_its_prediction(band, coherence, hamming, by_amplitude, by_phase):
    offset = 3.3, -4.85
    pair = speckle_pair((512, 1024), (band, band), coherence, offset, hamming=hamming, seed=4)
    for settings, most in ((SMALL, by_phase), (SMALL.model_copy(update={"coherent": False}), by_amplitude)):
        if most is None:
            continue
        wrong, sigma, used = errors(pair, offset, settings)
        assert used.mean() > 0.98 if settings.coherent else not used.any()
        assert nmad(wrong) <= most
        assert 0.8 < nmad(wrong / sigma) < 1.25


@pytest.mark.parametrize("fraction", [-0.5, -0.25, 0.375])
def test_no_fraction_of_a_pixel_is_preferred(fraction):
    offset = 3 + fraction, -5 + (0.25 - fraction)
    pair = speckle_pair((512, 1024), seed=7, coherence=0.6, offset=offset, **S1)
    wrong, _, used = errors(pair, offset, SlcOffsets(chip=(64, 128), step=(32, 64), search=(6, 8)))
    assert used.all()
    assert np.abs(wrong.mean(axis=1)).max() < 0.004


def test_fringes_are_taken_away():
    offset = 3.3, -5.6
    settings = SlcOffsets(chip=(64, 128), step=(32, 64), search=(6, 8))
    plain = speckle_pair((384, 768), coherence=0.6, offset=offset, seed=3, **S1)
    fringed = speckle_pair((384, 768), coherence=0.6, offset=offset, seed=3, fringes=(0.021, -0.0085), **S1)
    without, with_them = (errors(pair, offset, settings) for pair in (plain, fringed))
    assert with_them[2].all()
    assert nmad(with_them[0]) < 2 * nmad(without[0])
    score = measure(*fringed, settings).field.score
    assert np.median(score) == pytest.approx(0.6, abs=0.05)


def _uneven(shape):
    """Cycles of a place that sank: up to 0.04 a line and 0.013 a sample beside it."""
    row, col = np.ogrid[: shape[0], : shape[1]]
    return 12 * np.exp(-(((row - 260) / 260) ** 2) - ((col - 900) / 800) ** 2)


@pytest.mark.parametrize("uneven", [False, True])
def test_steep_fringes_cost_nothing(uneven):
    """As on ground that moved along the flight of TOPS bursts: 1.5 cycles a chip and more."""
    offset, shape = (3.2, -4.7), (560, 1536)
    settings = SlcOffsets(chip=(64, 128), step=(32, 64), search=(5, 7))
    plain = speckle_pair(shape, coherence=0.7, offset=offset, seed=3, **S1)
    fringed = speckle_pair(shape, coherence=0.7, offset=offset, seed=3, fringes=(0.0234, 0.004), **S1)
    if uneven:
        fringed = fringed[0], (fringed[1] * np.exp(2j * np.pi * _uneven(shape))).astype(np.complex64)
    without, with_them = (errors(pair, offset, settings) for pair in (plain, fringed))
    assert with_them[2].all()
    assert nmad(with_them[0]) < 1.15 * nmad(without[0])
    assert 0.85 < nmad(with_them[0] / with_them[1]) < 1.2
    assert np.abs(with_them[0].mean(axis=1)).max() < 0.004
    score = measure(*fringed, settings).field.score
    assert np.median(score) == pytest.approx(0.7, abs=0.03)


def test_a_phase_through_tones_is_smooth_and_no_outlier_moves_it():
    middles = np.stack([part.ravel() for part in np.mgrid[32:800:64, 64:1500:128]], axis=-1).astype(float)
    row, col = middles.T
    truth = np.stack([0.02 - 2e-5 * row, -0.004 + 3e-6 * col], axis=-1)
    given = truth.copy()
    given[::9] = 0.2, -0.1
    found = fitted(Tones(middles, given), (64, 128), (64, 128), (800, 1500))
    np.testing.assert_allclose(found.frequencies(middles) * (64, 128), truth * (64, 128), atol=0.05)
    pixels = np.ones((100, 120), np.complex64)
    turned = found.turned(pixels, (300, 500), -0.5)
    down, across = (np.angle(np.sum(part)) / np.pi for part in (turned[1:] * turned[:-1].conj(),
                                                               turned[:, 1:] * turned[:, :-1].conj()))  # fmt: skip
    assert (-down, -across) == pytest.approx((0.02 - 2e-5 * 350, -0.004 + 3e-6 * 560), abs=3e-4)
    assert fitted(Tones(middles[:2], given[:2]), (64, 128), (64, 128), (800, 1500)) is None
    assert fitted(Tones(middles, 0.001 * truth), (64, 128), (64, 128), (800, 1500)) is None


def test_lines_that_are_missing_draw_no_peak():
    """At the border of a burst both images end, so that some shifts have fewer pixels in common."""
    offset = 3.3, -4.7
    reference, secondary = speckle_pair((300, 2048), coherence=0.7, offset=offset, seed=8, **S1)
    reference[:20], secondary[:24] = np.nan, np.nan
    reference[290:], secondary[286:] = np.nan, np.nan
    settings = SlcOffsets(chip=(64, 128), step=(236, 64), search=(5, 8))
    field, used = measure(reference, secondary, settings)
    inside = slice(None), slice(1, -1)
    assert used[inside].all()
    wrong = field.d_row[inside] - offset[0]
    assert np.abs(wrong.mean(axis=1)).max() < 0.008


def test_amplitudes_are_taken_where_phases_say_nothing():
    """Two looks at the same bright structures whose speckle has nothing in common."""
    rng = np.random.default_rng(0)
    one, _ = speckle_pair((400, 700), coherence=0.0, offset=(0, 0), seed=1, **S1)
    other, _ = speckle_pair((400, 700), coherence=0.0, offset=(0, 0), seed=2, **S1)
    texture = np.repeat(np.repeat(np.exp(rng.standard_normal((50, 70))), 8, axis=0), 10, axis=1)
    pair = one * texture.astype(np.float32), other * np.roll(texture, (3, -5), (0, 1)).astype(np.float32)
    found = measure(*pair, SlcOffsets(chip=(64, 128), step=(32, 64), search=(6, 9)))
    assert not found.coherent.any()
    assert np.median(found.field.d_row) == pytest.approx(3, abs=0.15)
    assert np.median(found.field.d_col) == pytest.approx(-5, abs=0.15)
    assert found.field.good.all()


def test_bright_structures_do_not_make_the_prediction_too_good():
    """On uneven ground amplitudes correlate better, but few bright pixels decide where."""
    pair = speckle_pair((512, 1024), coherence=0.6, offset=(0, 0), seed=1, **S1)
    texture = np.exp(0.6 * np.repeat(np.repeat(np.random.default_rng(2).standard_normal((64, 128)), 8, 0), 8, 1))
    pair = tuple((part * texture).astype(np.complex64) for part in pair)
    settings = SlcOffsets(chip=(64, 128), step=(32, 64), search=(4, 4))
    together, sigma, used = errors(pair, (0, 0), settings)
    assert used.all()
    assert 0.75 < nmad(together / sigma) < 1.25
    alone, sigma, _ = errors(pair, (0, 0), settings.model_copy(update={"coherent": False}))
    assert nmad(alone) > nmad(together)
    assert 0.7 < nmad(alone / sigma) < 1.25


def test_without_a_compiler_amplitudes_are_matched(monkeypatch, caplog):
    pair = speckle_pair((200, 400), coherence=0.7, offset=(1.3, -2.4), seed=6, **S1)
    monkeypatch.setattr(chip_tiles, "best_kernel", lambda: "opencv")
    found = measure(*pair, SlcOffsets(chip=(64, 128), step=(32, 64), search=(4, 5)))
    assert "only amplitudes are matched" in caplog.text
    assert not found.coherent.any()
    assert np.median(found.field.d_col) == pytest.approx(-2.4, abs=0.05)


def test_phases_are_taken_where_amplitudes_are_lost():
    offset = 2.4, -3.7
    pair = speckle_pair((256, 512), (0.645, 0.645), 0.25, offset, seed=11)
    by_amplitude, _, _ = errors(pair, offset, SMALL.model_copy(update={"coherent": False}))
    together, _, used = errors(pair, offset, SMALL)
    assert (np.abs(by_amplitude) > 1).any()
    assert used.all()
    assert np.abs(together).max() < 0.5


def test_missing_pixels_flat_ground_and_far_motion_are_flagged():
    offset = 3.3, -5.6
    reference, secondary = speckle_pair((320, 640), coherence=0.7, offset=offset, seed=5, **S1)
    reference[:70, :300] = np.nan
    secondary[200:, 500:] = 0
    settings = SlcOffsets(chip=(64, 128), step=(32, 64), search=(6, 8))
    before = reference.copy(), secondary.copy()
    field, used = measure(reference, secondary, settings)
    np.testing.assert_array_equal(reference, before[0])
    np.testing.assert_array_equal(secondary, before[1])
    assert field.flags[0, 0] == Flag.NO_DATA
    assert np.isnan([field.d_row[0, 0], field.d_col[0, 0]]).all()
    assert not used[0, 0]
    assert field.flags[-1, -1] == Flag.LOW_TEXTURE
    assert field.flags[1, 1] == Flag.NO_DATA  # rows 32 to 96, of which 26 are there: less than half
    assert field.flags[2, 1] == 0  # rows 64 to 128: only 6 are missing
    assert field.d_row[2, 1] == pytest.approx(3.3, abs=0.05)
    assert field.d_col[2, 1] == pytest.approx(-5.6, abs=0.05)


def test_motion_beyond_the_search_is_flagged():
    pair = speckle_pair((320, 640), coherence=0.7, offset=(3.3, -2.4), seed=5, **S1)
    field, used = measure(*pair, SlcOffsets(chip=(64, 128), step=(64, 128), search=(3, 4)))
    assert (field.flags == Flag.PEAK_AT_EDGE).mean() > 0.9
    assert not used.any()


def test_a_rim_without_data_does_not_pull():
    offset = 0.3, -0.4
    reference, secondary = speckle_pair((320, 900), coherence=0.6, offset=offset, seed=9, **S1)
    for image in (reference, secondary):
        image[:30], image[-30:], image[:, :60] = np.nan, np.nan, np.nan
    field, used = measure(reference, secondary, SlcOffsets(chip=(64, 128), step=(16, 32), search=(4, 4)))
    top = field.d_row[0][np.isfinite(field.d_row[0])]
    assert top.size > 10
    assert used[field.good].mean() > 0.95
    assert abs(top.mean() - 0.3) < 0.02
    assert field.score[0][np.isfinite(field.d_row[0])].mean() == pytest.approx(0.6, abs=0.05)


def test_lattice_threads_and_tiles_change_nothing(monkeypatch):
    pair = speckle_pair((300, 620), coherence=0.7, offset=(1.3, -2.4), seed=6, **S1)
    settings = SlcOffsets(chip=(40, 90), step=(13, 35), search=(4, 6))
    whole = measure(*pair, settings)
    assert whole.field.grid.shape == ((300 - 40) // 13 + 1, (620 - 90) // 35 + 1)
    assert (whole.field.start, whole.field.step) == ((20.0, 45.0), (13, 35))
    assert whole.coherent.shape == whole.field.grid.shape
    part = measure(*pair, settings, start=(26, 70), posts=(5, 6))
    assert (part.field.start, part.field.grid.shape) == ((46.0, 115.0), (5, 6))
    calls = []
    monkeypatch.setattr(offsets, "_LINES", 150)
    monkeypatch.setattr(offsets, "_SAMPLES", 300)
    with ThreadPoolExecutor(2) as pool:
        tiled = measure(*pair, settings, mapper=pool.map, advance=lambda *done: calls.append(done))
    assert calls[-1][0] == calls[-1][1] > 4
    for name in ("d_row", "d_col", "score"):
        both = (getattr(each.field, name) for each in (whole, tiled))
        np.testing.assert_allclose(*both, atol=2e-3)
        rest = getattr(whole.field, name)[2:7, 2:8], getattr(part.field, name)
        np.testing.assert_allclose(*rest, atol=2e-3)


def test_compat_is_ampcor():
    pair = speckle_pair((220, 330), coherence=0.8, offset=(1.2, -2.3), seed=8, **S1)
    settings = SlcOffsets(chip=(32, 64), step=(40, 50), search=(6, 8), compat="isce2")
    found = measure(*pair, settings, start=(20, 30), posts=(3, 4))
    rows, cols = 20 + 40 * np.arange(3), 30 + 50 * np.arange(4)
    direct = ampcor(*pair, window=(32, 64), search=(6, 8), starts=(rows, cols))
    np.testing.assert_array_equal(found.field.d_row, direct.d_row)
    np.testing.assert_array_equal(found.field.d_col, direct.d_col)
    assert np.nanmedian(found.field.d_row) == pytest.approx(1.2, abs=0.2)  # drawn to whole pixels
    assert (found.field.start, found.field.step) == ((36.0, 62.0), (40, 50))
    assert not found.coherent.any()


def test_spectra_are_measured():
    pair = speckle_pair((512, 1024), (0.6, 0.9), 0.5, (0, 0), hamming=0.75, seed=1)
    ramp = np.exp(2j * np.pi * 0.11 * np.arange(512))[:, None]
    known = look(*((part * ramp).astype(np.complex64) for part in pair), (1.0, 1.0))
    truth = [Axis.flat(band) for band in (0.6, 0.9)]
    assert known.down.centre == pytest.approx(0.11, abs=0.003)
    assert known.across.centre == pytest.approx(0, abs=0.003)
    for axis, flat in zip((known.down, known.across), truth, strict=True):
        assert 0.75 * flat.looks < axis.looks < 0.9 * flat.looks
    small = look(pair[0][:50, :60], pair[1][:50, :60], (0.6, 0.9))
    assert (small.down.looks, small.across.looks) == pytest.approx((0.6, 0.9), abs=0.01)


@pytest.mark.parametrize(("posts", "chip", "step"), [(1, 64, 8), (5, 64, 8), (4, 256, 44), (3, 32, 32), (3, 20, 50)])
def test_blocks_of_all_chips_are_alike(posts, chip, step):
    layout = blocks(posts, chip, step)
    assert layout.number >= 7
    for i, first in enumerate(layout.first):
        inside = layout.edges[first : first + layout.number + 1] - i * step
        np.testing.assert_array_equal(inside, layout.edges[: layout.number + 1])
        assert (inside[0], inside[-1]) == (0, chip)


def test_settings_and_images_are_checked():
    image = np.zeros((100, 300), np.complex64)
    with pytest.raises(InputError, match=r"on one grid, instead got \(100, 300\) and \(100, 299\)"):
        measure(image, image[:, 1:])
    with pytest.raises(InputError, match=r"chips of \(64, 256\) px must fit an image of \(50, 300\) px"):
        measure(image[:50], image[:50])
    with pytest.raises(ConfigError, match="isce2"):
        SlcOffsets(compat="isce3")
    assert SlcOffsets(chip="32x64", search=5).search == (5, 5)
