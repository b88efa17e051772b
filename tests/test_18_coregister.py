"""Bursts of two days on the pixels of the first: simulated pairs whose geometry, phases and points are known."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_truth import radar_grid
from sensetrack.errors import InputError, NoOverlapError
from sensetrack.sar import carrier
from sensetrack.sar.coregister import Coregistered, Deramped, Registration, computed, register
from sensetrack.sar.geometry import geo2rdr, rdr2geo
from sensetrack.sar.heights import HeightField, Level
from sensetrack.sar.radargrid import GroundRange, RadarGrid
from sensetrack.sar.simulate import PointTarget, Scene
from sensetrack.sentinel import open_sentinel1
from sensetrack.sentinel.s1_pair import BurstPair, pair_bursts, spectra
from sensetrack.sentinel.simulate_s1 import S1Recipe, later, plan, write_pair

LINES, SAMPLES = 144, 352
TARGETS = (41, 77), (98, 263), (67, 190)
"""Lines and samples of the reference at which corner reflectors stand."""
COHERENCE = 0.8
LATE = 0.0037
"""Seconds: 1.8 lines."""


def relief(lon, lat):
    return 800 + 250 * np.sin(2 * np.pi * lon / 0.06) * np.cos(2 * np.pi * lat / 0.04)


def surface() -> HeightField:
    lon, lat = np.arange(7.5, 8.5, 0.0004), np.arange(46.7, 46.1, -0.0003)
    heights = relief(lon, lat[:, None])
    return HeightField(heights, *np.radians([lon[0], lat[0], lon[1] - lon[0], lat[1] - lat[0]]))


class Case(NamedTuple):
    pair: BurstPair
    registration: Registration


@pytest.fixture(scope="module", params=["descending", "ascending"])
def case(request, tmp_path_factory) -> Case:
    recipe = S1Recipe(
        swaths=("IW1",), bursts=1, lines=LINES, samples=SAMPLES, ascending=request.param == "ascending", noise=-40.0
    )
    first = plan(recipe)
    second = later(first, east=150.0, late=LATE)
    folder = tmp_path_factory.mktemp(request.param)
    # Where the pixels of the reference are: an empty scene tells.
    grid = geometry_of(first)
    ground = [rdr2geo(grid, grid.time(row), grid.slant_range(col), surface()) for row, col in TARGETS]
    targets = tuple(PointTarget(*np.degrees([g.lon, g.lat]), float(g.height), 3e5) for g in ground)
    paths = write_pair(folder, Scene(height=relief, coherence=COHERENCE, targets=targets), first, second)
    (pair,) = pair_bursts(*(open_sentinel1(path) for path in paths))
    return Case(pair, pair.register(surface()))


def geometry_of(of):
    """The radar grid of the only burst of a plan."""
    frame = of.frame(of.swaths[0])
    return RadarGrid(
        frame.lines, frame.samples, of.epoch, frame.first_time, frame.line_interval, frame.near_range,
        frame.range_spacing, 1, frame.wavelength, of.orbit,
    )  # fmt: skip


def seen(grid, places) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lines, samples and slant ranges of places, straight from the orbit."""
    radar = geo2rdr(grid, places.lon, places.lat, places.height)
    return grid.line(radar.time), grid.sample(radar.slant_range), radar.slant_range


def coherence(one, two) -> complex:
    good = np.isfinite(one) & np.isfinite(two)
    power = (np.abs(one[good]) ** 2).sum() * (np.abs(two[good]) ** 2).sum()
    return complex((one[good] * two[good].conj()).sum() / np.sqrt(power))


def without_targets(image):
    out = image.copy()
    for row, col in TARGETS:
        out[max(row - 20, 0) : row + 21, max(col - 20, 0) : col + 21] = np.nan
    return out


def test_offsets_are_those_of_both_orbits(case):
    one, two = case.pair.reference_grid, case.pair.secondary_grid
    rng = np.random.default_rng(2)
    row, col = rng.uniform(0, LINES - 1, 500), rng.uniform(0, SAMPLES - 1, 500)
    height = case.registration.heights(row, col)
    ground = rdr2geo(one, one.time(row), one.slant_range(col), height)
    line, sample, distance = seen(two, ground)
    d_line, d_sample = case.registration.offsets(row, col)
    missed = np.abs(d_line - (line - row)).max(), np.abs(d_sample - (sample - col)).max()
    print(f"offsets miss the orbits by {missed[0]:.2g} lines, {missed[1]:.2g} samples")
    assert max(missed) < 1e-4
    assert d_line.dtype == d_sample.dtype == np.float64
    assert np.ptp(d_sample) > 0.05, "relief and baseline are in it"
    # Heights between nodes are those of the surface.
    true = rdr2geo(one, one.time(row), one.slant_range(col), surface()).height
    assert np.ptp(true) > 100
    assert np.abs(height - true).max() < 3.0
    phase = case.registration.slant_phase(row, col)
    np.testing.assert_allclose(phase, 4 * np.pi / one.wavelength * (distance - one.slant_range(col)), atol=2e-3)


def test_a_pair_the_other_way_round_has_the_opposite_offsets(case):
    back = register(case.pair.secondary_grid, case.pair.reference_grid, surface())

    @settings(max_examples=60, deadline=None)
    @given(st.floats(5, LINES - 6), st.floats(35, SAMPLES - 36))
    def returns(row, col):
        d_line, d_sample = case.registration.offsets(row, col)
        back_line, back_sample = back.offsets(row + d_line, col + d_sample)
        np.testing.assert_allclose([d_line + back_line, d_sample + back_sample], 0, atol=2e-3)
        assert case.registration.slant_phase(row, col) == pytest.approx(
            -back.slant_phase(row + d_line, col + d_sample), abs=0.05
        )

    returns()


def test_a_still_scene_is_coherent_and_has_no_fringes(case):
    pair, found = case
    reference, flat = pair.deramped()[:, :], pair.coregistered(found, flatten=True)[:, :]
    reference, flat = without_targets(reference), without_targets(flat)
    whole = coherence(reference, flat)
    print(f"coherence {abs(whole):.3f}, phase {np.angle(whole):.3f} rad")
    # The baseline, and that the bursts begin apart, cost some per cent.
    assert 0.90 * COHERENCE < abs(whole) < 1.01 * COHERENCE
    for rows in (slice(0, 72), slice(72, 144)):
        for cols in (slice(0, 176), slice(176, 352)):
            part = coherence(reference[rows, cols], flat[rows, cols])
            assert abs(np.angle(part)) < 0.06
            assert abs(part) > 0.97 * abs(whole)
    plain = without_targets(pair.coregistered(found)[:, :])
    assert abs(coherence(reference, plain)) < 0.1, "without flattening there are fringes"
    rows, cols = np.mgrid[:LINES, :SAMPLES]
    turned = plain * np.exp(1j * found.slant_phase(rows, cols))
    assert abs(coherence(flat, turned)) > 1 - 1e-6, "and they are those of the geometry"


def peak(image, row: int, col: int) -> tuple[float, float]:
    """Place of the peak near a pixel, by a parabola through an image oversampled 16 times."""
    part = image[row - 16 : row + 16, col - 16 : col + 16]
    padded = np.zeros((512, 512), complex)
    padded[240:272, 240:272] = np.fft.fftshift(np.fft.fft2(part))
    fine = np.abs(np.fft.ifft2(np.fft.ifftshift(padded)))
    middle = fine[192:320, 192:320]
    i, j = np.unravel_index(middle.argmax(), middle.shape)
    i, j = i + 192, j + 192
    places = []
    for low, mid, high in ((fine[i - 1, j], fine[i, j], fine[i + 1, j]), (fine[i, j - 1], fine[i, j], fine[i, j + 1])):
        places.append(0.5 * (low - high) / (low - 2 * mid + high))
    return row - 16 + (i + places[0]) / 16, col - 16 + (j + places[1]) / 16


def test_points_land_on_the_same_pixel(case):
    pair, found = case
    reference, moved = pair.deramped()[:, :], pair.coregistered(found, flatten=True)[:, :]
    for row, col in TARGETS:
        one, two = peak(reference, row, col), peak(moved, row, col)
        print(f"reference {one[0]:.4f}, {one[1]:.4f}; secondary {two[0]:.4f}, {two[1]:.4f}")
        np.testing.assert_allclose(one, (row, col), atol=0.02)
        np.testing.assert_allclose(two, one, atol=0.02)


def test_points_keep_their_phase(case):
    """A co-registered SLC has the phases of the original, and flattened those of the reference."""
    pair, found = case
    one, two = pair.reference_grid, pair.secondary_grid
    rows, cols = np.array(TARGETS).T
    ground = rdr2geo(one, one.time(rows), one.slant_range(cols), surface())
    near, far = one.slant_range(cols), seen(two, ground)[2]
    wave = -4 * np.pi / one.wavelength
    for flatten, distance in ((False, far), (True, near)):
        slc = pair.coregistered(found, flatten=flatten, reramp=True)[:, :][rows, cols]
        assert np.abs(np.angle(slc * np.exp(-1j * wave * distance))).max() < 0.05
        deramped = pair.coregistered(found, flatten=flatten)[:, :][rows, cols]
        np.testing.assert_allclose(
            deramped * np.exp(1j * carrier.phase(pair.reference_burst, rows, cols)), slc, rtol=1e-4
        )
    assert np.abs(np.angle(pair.deramped()[:, :][rows, cols] * np.exp(
        1j * (carrier.phase(pair.reference_burst, rows, cols) - wave * near)
    ))).max() < 0.05  # fmt: skip
    assert np.ptp(wave * (far - near)) > 10


def test_what_is_valid(case):
    pair, found = case
    burst, other = pair.reference_burst, pair.secondary_burst
    rows, cols = np.arange(LINES), np.arange(SAMPLES)
    inside = (
        (cols >= burst.first_valid[:, None]) & (cols <= burst.last_valid[:, None]) & (burst.first_valid >= 0)[:, None]
    )
    assert 0.5 < inside.mean() < 1
    np.testing.assert_array_equal(np.isfinite(pair.deramped()[:, :]), inside)
    d_line, d_sample = found.offsets(rows[:, None], cols)
    line, sample = np.floor(rows[:, None] + d_line).astype(int), np.floor(cols + d_sample).astype(int)
    top, bottom = other.valid_lines
    left, right = other.first_valid[top], other.last_valid[top]
    reached = (line - 3 >= top) & (line + 4 < bottom) & (sample - 5 >= left) & (sample + 6 <= right)
    for reramp in (False, True):
        found_pixels = pair.coregistered(found, flatten=True, reramp=reramp)[:, :]
        np.testing.assert_array_equal(np.isfinite(found_pixels), inside & reached)
    assert 0.5 < (inside & reached).mean() < inside.mean()


def test_a_pixel_is_the_same_in_whatever_window(case):
    pair, found = case
    for image in (pair.deramped(), pair.coregistered(found, flatten=True), pair.coregistered(found, reramp=True)):
        whole = computed(image, rows=37)
        np.testing.assert_array_equal(image[:, :], whole)
        for window in ((slice(61, 75), slice(113, 290)), (slice(0, 3), slice(0, 352)), (slice(143, 144), slice(7, 8))):
            np.testing.assert_array_equal(image[window], whole[window])
        assert image[5:5, 3:9].shape == (0, 6)


def test_where_heights_are_not_known_nothing_is(case):
    pair, _ = case
    grid = pair.reference_grid
    middle = rdr2geo(grid, grid.time(70), grid.slant_range(170), surface())
    field = surface()
    heights = field.heights.copy()
    cols = np.arange(heights.shape[1]) * field.d_lon + field.lon
    heights[:, cols > float(middle.lon)] = np.nan
    half = pair.register(dataclasses.replace(field, heights=heights))
    image = pair.coregistered(half)[:, :]
    known = np.isfinite(half.offsets(np.arange(LINES)[:, None], np.arange(SAMPLES))[0])
    assert 0.3 < known.mean() < 0.7
    assert not np.isfinite(image[~known]).any()
    whole = pair.coregistered(case.registration)[:, :]
    assert np.isfinite(image[known]).mean() == pytest.approx(np.isfinite(whole[known]).mean())
    np.testing.assert_allclose(image[known], whole[known], rtol=1e-3, atol=1e-2)
    heights[:] = np.nan
    with pytest.raises(NoOverlapError, match="no heights where the reference image is"):
        pair.register(dataclasses.replace(field, heights=heights))


def test_an_image_with_itself_is_itself(case):
    pair = case.pair
    alone = dataclasses.replace(pair, secondary=pair.reference)
    found = alone.register(surface())
    np.testing.assert_allclose(found.nodes[1:], 0, atol=1e-6)
    again, original = alone.coregistered(found, flatten=True)[:, :], alone.deramped()[:, :]
    good = np.isfinite(again)
    assert good.mean() > 0.8
    np.testing.assert_allclose(again[good], original[good], atol=0.02 * np.abs(original[good]).mean())


@pytest.mark.parametrize("argument", [0.6, 2.6])
@pytest.mark.parametrize("look", [1, -1])
def test_long_images_and_both_sides(look, argument):
    """A whole swath takes polynomials of higher degree."""
    one = dataclasses.replace(radar_grid(look=look, argument=argument), lines=9000, first_time=-10.0)
    two = dataclasses.replace(radar_grid(look=look, argument=argument, node=0.30002), lines=9000, first_time=-10.003)
    found = register(one, two, Level(300.0))
    row, col = np.random.default_rng(4).uniform(0, [[8999], [2599]], (2, 300))
    ground = rdr2geo(one, one.time(row), one.slant_range(col), 300.0)
    line, sample, _ = seen(two, ground)
    d_line, d_sample = found.offsets(row, col)
    np.testing.assert_allclose(d_line, line - row, atol=1e-3)
    np.testing.assert_allclose(d_sample, sample - col, atol=1e-3)
    assert max(found.residual) < 1e-4
    outside = found.offsets([-0.1, 9000.0, 5.0, np.nan], [3.0, 3.0, 2600.0, 3.0])
    assert np.isnan(outside).all()


def test_pairs_that_cannot_be_registered():
    one = radar_grid()
    with pytest.raises(NoOverlapError, match="never passed there"):
        register(one, radar_grid(look=-1), Level(0.0))
    ground = GroundRange(np.zeros(1), np.array([8e5]), np.array([[0.0, 1.9]]), None, 10.0)
    other = dataclasses.replace(one, ground=ground)
    with pytest.raises(InputError, match="slant range, instead got one in ground range"):
        register(one, other, Level(0.0))


def test_sources_that_do_not_hold_the_burst(case):
    pair, found = case
    with pytest.raises(InputError, match=r"must have lines 0 to 144 of 352 samples for its burst.*\(100, 352\)"):
        Deramped(np.zeros((100, 352), np.complex64), pair.reference_burst)
    other = dataclasses.replace(pair.reference_burst, samples=400)
    with pytest.raises(InputError, match=r"reference must be the burst \(144, 352\) that is registered"):
        Coregistered(pair.secondary.measurement, other, pair.secondary_burst, found, spectra(pair.secondary.info))
