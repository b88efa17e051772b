"""From digital numbers to intensity: calibration, thermal noise, borders, looks."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest

from sensetrack.errors import ConfigError, InputError, MetadataError
from sensetrack.sar.border import Trimmed, find_border
from sensetrack.sar.calibration import Calibrated, CalibrationLut, from_db, intensity, to_amplitude, to_db
from sensetrack.sar.lut import Lut
from sensetrack.sar.multilook import Multilooked, looked, looks_for, multilook
from sensetrack.sar.noise import NoiseAzimuth, NoiseLut
from sensetrack.sar.orbit import Orbit
from sensetrack.sar.radargrid import GroundRange, RadarGrid
from sensetrack.snap_gpt.looks import looks_for as snap_looks_for

LINES, SAMPLES = 300, 410


def calibration() -> CalibrationLut:
    """Amplitudes of a real IW swath: sigma nought falls along range, beta nought is one number; first line < 0."""
    lines, pixels = [-57.0, 69.0, 318.0], [0.0, 40.0, 200.0, 400.0, 409.0]
    along = np.array([333.9, 333.2, 330.1, 326.4, 326.2])
    rows = np.array([[1.0], [1.002], [1.01]])
    return CalibrationLut(lines, pixels, along * rows, np.full((3, 5), 237.0), 0.93 * along * rows)


def noise(power: float = 600.0) -> NoiseLut:
    """Third generation: range vectors, and azimuth vectors for two parts of the image, with a jump between bursts."""
    along = power * np.array([[1.0, 0.9, 0.95], [1.02, 0.91, 0.96]])
    lines = np.array([0, 99, 148, 149, 150, 250, 299.0])
    values = np.array([1.17, 1.0, 1.16, 1.165, 1.17, 1.0, 1.15])
    parts = [
        NoiseAzimuth(0, 299, 0, 199, lines, values, "IW1"),
        NoiseAzimuth(0, 299, 200, 409, lines, values + 0.1, "IW2"),
    ]
    return NoiseLut.from_vectors([0.0, 150.0], [[0, 210, 409], [0, 210, 409]], along, parts)


def circular(power: np.ndarray | float, shape=(LINES, SAMPLES), seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    amplitude = np.sqrt(np.asarray(power) / 2)
    return (amplitude * (rng.normal(size=shape) + 1j * rng.normal(size=shape))).astype(np.complex64)


def everything(image) -> np.ndarray:
    return image[0 : image.shape[0], 0 : image.shape[1]]


@pytest.mark.parametrize("quantity", ["sigma0", "beta0", "gamma0"])
def test_a_uniform_scene_has_the_backscatter_it_was_made_with(quantity):
    truth = 10 ** (-11.3 / 10)
    lut = calibration()
    line, pixel = np.arange(LINES)[:, None], np.arange(SAMPLES)
    # The table at each pixel, by another way: along the lines first.
    table = getattr(lut, quantity)
    columns = np.stack([np.interp(line[:, 0], lut.lines, column) for column in table.T], axis=1)
    amplitude = np.stack([np.interp(pixel, lut.pixels, row) for row in columns])
    thermal = everything_of(noise())
    numbers = circular(truth * amplitude**2 + thermal)
    measured = Calibrated(numbers, lut, quantity, noise())
    assert measured.dtype == np.float32
    found = 10 * np.log10(everything(measured).mean(dtype=float))
    assert found == pytest.approx(-11.3, abs=0.05)
    kept = 10 * np.log10(everything(Calibrated(numbers, lut, quantity)).mean(dtype=float))
    assert kept > -11.2  # noise that is left in can be seen


def everything_of(table) -> np.ndarray:
    return table.window(slice(0, LINES), slice(0, SAMPLES))


def generations() -> dict[str, NoiseLut]:
    third = noise()
    ragged = [np.linspace(0, SAMPLES - 1, 12), np.linspace(0, SAMPLES - 1, 11)]
    second = NoiseLut.from_vectors([0, 280], ragged, [700 - 0.4 * ragged[0], 730 - 0.4 * ragged[1]])
    return {"range and azimuth": third, "one table": second}


@pytest.mark.parametrize("generation", ["range and azimuth", "one table"])
def test_noise_that_is_all_there_is_has_mean_zero(generation):
    lut = generations()[generation]
    thermal = everything_of(lut)
    left = everything(Calibrated(circular(thermal), None, noise=lut))
    # A hundredth of the noise is three standard errors of so many pixels.
    assert left.mean(dtype=float) == pytest.approx(0, abs=0.01 * thermal.mean())
    assert (left < 0).mean() == pytest.approx(1 - math.exp(-1), abs=0.01)  # nothing is clipped
    # Every part of the image by itself, on either side of the jump between bursts and of the swaths.
    for rows in (slice(0, 60), slice(120, 150), slice(150, 180)):
        for cols in (slice(0, 200), slice(200, 410)):
            part = left[rows, cols]
            assert abs(part.mean()) < 4 * thermal[rows, cols].mean() / math.sqrt(part.size)


def test_noise_vectors_mean_what_the_format_says():
    lut = noise(1000.0)
    assert lut.known
    at = everything_of(lut)
    assert at[0, 0] == pytest.approx(1000 * 1.17)
    assert at[149, 0] == pytest.approx(1000 * (1 + 0.02 * 149 / 150) * 1.165)
    assert at[150, 0] == pytest.approx(1020 * 1.17)
    assert at[250, 300] == pytest.approx((910 + 50 * 90 / 199) * 1.1)
    assert at[299, 409] == pytest.approx(960 * 1.25)  # after the last range vector: the last one


def test_the_oldest_products_know_no_noise():
    none = NoiseLut([0, 100], [0, 50], np.zeros((2, 2)))
    assert not none.known
    numbers = circular(3.0, (20, 30))
    np.testing.assert_array_equal(everything(Calibrated(numbers, None, noise=none)), intensity(numbers))


def test_windows_of_calibrated_numbers_are_those_of_the_whole():
    numbers = circular(4e4)
    numbers[17, 30] = np.nan
    measured = Calibrated(numbers, calibration(), "gamma0", noise())
    whole = everything(measured)
    assert np.isnan(whole).sum() == 1
    assert np.isnan(whole[17, 30])
    for rows, cols in [(slice(0, 1), slice(0, 9)), (slice(60, 151), slice(190, 210)), (slice(299, 300), slice(0, 410))]:
        np.testing.assert_array_equal(measured[rows, cols], whole[rows, cols])
    np.testing.assert_array_equal(measured[-10:, 400:], whole[-10:, 400:])
    with pytest.raises(InputError, match="without a step"):
        measured[::2, :]


def test_detected_numbers_are_squared_without_overflow():
    numbers = np.array([[0, 300, 65_535]], np.uint16)
    np.testing.assert_allclose(intensity(numbers), [[0, 90_000, 65_535.0**2]])
    assert intensity(numbers).dtype == np.float32


def test_a_table_is_linear_between_nodes_and_constant_beyond():
    table = Lut.from_vectors([-4, 6], [[0, 10], [0, 4, 10]], [[1.0, 2.0], [3.0, 3.4, 4.0]])
    values = table.window(slice(0, 20), slice(0, 14))
    assert values[0, 0] == pytest.approx(1 + 0.4 * 2)
    assert values[0, 4] == pytest.approx(1.4 + 0.4 * 2)
    assert values[19, 13] == pytest.approx(4.0)
    one = Lut([5.0], [3.0], [[7.0]])
    np.testing.assert_array_equal(one.window(slice(2, 8), slice(0, 5)), np.full((6, 5), 7.0))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Lut([0, 0], [0, 1], np.ones((2, 2))), "ascending"),
        (lambda: Lut([0, 1], [0, 1], np.ones((2, 3))), r"shape \(2, 2\)"),
        (lambda: Lut.from_vectors([0, 1], [[0, 1], [0, 1]], [[1, 2], [1, 2, 3]]), "3 for 2"),
        (lambda: CalibrationLut([0], [0, 1], np.zeros((1, 2)), np.ones((1, 2)), np.ones((1, 2))), "sigma0.*above 0"),
        (lambda: CalibrationLut.from_vectors([0], [[0]], {"sigma0": [[1]], "beta0": [[1]]}), "gamma0 is missing"),
        (lambda: NoiseLut([0], [0, 1], np.array([[1, np.nan]])), "finite"),
        (lambda: NoiseAzimuth(0, 1, 0, 1, [0, 1], [1]), "1 for 2"),
    ],
)
def test_metadata_that_cannot_be_is_refused(make, words):
    with pytest.raises(MetadataError, match=words):
        make()


def test_an_unknown_quantity_is_refused():
    with pytest.raises(ConfigError, match="sigma0, beta0, gamma0, instead got 'sigma'"):
        Calibrated(np.ones((3, 3)), calibration(), "sigma")


def test_decibels_and_amplitudes_clip_what_is_below_zero():
    linear = np.array([0.01, 1, -0.2, 0, np.nan, 1e-9])
    np.testing.assert_allclose(to_db(linear), [-20, 0, -50, -50, np.nan, -50], rtol=1e-6)
    np.testing.assert_allclose(to_db(linear, floor=-30)[2], -30, rtol=1e-6)
    np.testing.assert_allclose(from_db(to_db(linear))[:2], linear[:2], rtol=1e-5)
    np.testing.assert_allclose(to_amplitude(linear), [0.1, 1, 0, 0, np.nan, 1e-9**0.5], rtol=1e-6)
    assert to_db(linear).dtype == to_amplitude(linear).dtype == np.float32


def detected() -> tuple[np.ndarray, np.ndarray]:
    """A detected image that lies askew in its file, with a dark lake of zeros; and where it was measured."""
    line, sample = np.arange(LINES)[:, None], np.arange(SAMPLES)
    true = (sample >= 20 + line // 10) & (sample < 390 - line // 30) & (line >= 7 + sample // 100) & (line < 296)
    numbers = np.where(true, np.abs(circular(4e4)) + 1, 0).astype(np.uint16)
    numbers[100:120, 200:230] = 0
    return numbers, true


def test_zeros_along_the_edges_are_no_measurement_and_those_inside_are():
    numbers, true = detected()
    border = find_border(numbers)
    whole = slice(0, LINES), slice(0, SAMPLES)
    found = border.measured(*whole)
    assert not (found & ~true).any()
    assert (~found & true).sum() <= 3  # a corner of three lines
    trimmed = Trimmed(numbers, border)
    assert trimmed.dtype == np.float32
    np.testing.assert_array_equal(trimmed[:, :], np.where(found, numbers, np.nan))
    np.testing.assert_array_equal(trimmed[3:40, 15:33], trimmed[:, :][3:40, 15:33])
    assert trimmed[110:111, 210:211] == 0


def test_noise_along_the_edges_of_old_products_is_no_measurement():
    numbers, true = detected()
    thermal = NoiseLut([0, 250], [0, 409], np.full((2, 2), 500.0))
    rough = np.where(true, numbers, np.abs(circular(350.0, seed=9))).astype(np.uint16)
    whole = slice(0, LINES), slice(0, SAMPLES)
    assert find_border(rough).measured(*whole).mean() > 0.97  # not zero, for the most part
    found = find_border(rough, thermal).measured(*whole)
    assert (found & ~true).sum() < 0.03 * (~true).sum()
    assert (~found & true).sum() < 0.01 * true.sum()


def test_dark_water_at_the_edge_is_no_border():
    thermal = NoiseLut([0, 250], [0, 409], np.full((2, 2), 500.0))
    numbers = np.abs(circular(4e4))
    numbers[100:200, :90] = np.abs(circular(350.0, (100, 90)))
    whole = slice(0, LINES), slice(0, SAMPLES)
    assert find_border(numbers, thermal, depth=60).measured(*whole)[100:200, :90].all()
    assert not find_border(numbers, thermal, depth=120).measured(*whole)[110:190, :80].any()


def test_an_image_without_a_measurement_is_all_border():
    empty = find_border(np.zeros((40, 30), np.uint16))
    assert not empty.measured(slice(0, 40), slice(0, 30)).any()


def test_a_border_is_found_whatever_the_size_of_strips_and_wider_than_them(monkeypatch):
    numbers, _ = detected()
    whole = slice(0, LINES), slice(0, SAMPLES)
    expected = find_border(numbers).measured(*whole)
    monkeypatch.setattr("sensetrack.sar.border._STRIP", 13)
    monkeypatch.setattr("sensetrack.sar.border._BLOCK", 37)
    np.testing.assert_array_equal(find_border(numbers).measured(*whole), expected)


def test_looks_are_means_of_boxes_and_conserve_the_mean():
    image = np.abs(circular(0.3, (65, 106))) ** 2
    out = multilook(image, (5, 3))
    assert out.shape == (13, 35)
    assert out.dtype == np.float32
    assert out[4, 7] == pytest.approx(image[20:25, 21:24].mean(), rel=1e-6)
    assert out.mean(dtype=float) == pytest.approx(image[:65, :105].mean(dtype=float), rel=1e-6)
    assert out.mean() ** 2 / out.var() == pytest.approx(15, rel=0.2)
    np.testing.assert_array_equal(multilook(image, (1, 1)), image)


def test_looks_leave_out_what_was_not_measured():
    image = np.full((6, 9), 2.0, np.float32)
    image[:3, :3] = np.nan
    image[:3, 3:5] = np.nan
    image[3:, 3] = np.nan
    image[3:, 4] = 5.0
    out = multilook(image, (3, 3))
    np.testing.assert_allclose(out, [[np.nan, np.nan, 2], [2, 3.5, 2]])
    assert multilook(image, (3, 3), least=0.3)[0, 1] == 2


def test_windows_of_looks_are_those_of_the_whole():
    image = np.abs(circular(0.3)) ** 2
    image[100:140, 200:215] = np.nan
    lazy, whole = Multilooked(image, (3, 7)), multilook(image, (3, 7))
    assert lazy.shape == whole.shape == (100, 58)
    np.testing.assert_array_equal(lazy[20:61, 3:58], whole[20:61, 3:58])
    np.testing.assert_array_equal(lazy[99:100, 0:1], whole[99:100, 0:1])


@pytest.mark.parametrize("looks", [(0, 1), (1.5, 2), (3,)])
def test_looks_that_cannot_be_are_refused(looks):
    with pytest.raises(ConfigError, match="two whole numbers from 1"):
        multilook(np.ones((9, 9)), looks)
    with pytest.raises(ConfigError, match="must fit into the image of 4 x 9"):
        Multilooked(np.ones((4, 9)), (5, 1))


def test_looks_follow_from_real_spacing_as_those_of_the_graphs_do():
    incidence, azimuth, slant = math.radians(39.0), 13.94, 2.329562
    for wanted in ({"azimuth_looks": 1}, {"azimuth_looks": 3}, {"pixel": 20.0}, {"pixel": 100.0}):
        graph = snap_looks_for(incidence, slant_range_spacing=slant, azimuth_spacing=azimuth, **wanted)
        expected = graph.Num_Azimuth_LOOKS, graph.Num_Range_LOOKS
        assert looks_for((azimuth, slant), incidence, **wanted) == expected
    assert looks_for((azimuth, slant), incidence, azimuth_looks=1) == (1, 4)
    assert looks_for((10.0, 10.0), math.pi / 2, pixel=40.0) == (4, 4)
    for wrong in ({}, {"pixel": 0.0}, {"azimuth_looks": 0}, {"pixel": 9.0, "azimuth_looks": 2}):
        with pytest.raises(ConfigError):
            looks_for((azimuth, slant), incidence, **wrong)


def grid(ground: GroundRange | None = None) -> RadarGrid:
    times = np.arange(-40.0, 60.0, 10.0)
    turn = np.exp(1j * times * 1.06e-3)
    position = 7.07e6 * np.stack([turn.real, 0 * times, turn.imag], axis=1)
    velocity = 7.07e6 * 1.06e-3 * np.stack([-turn.imag, 0 * times, turn.real], axis=1)
    epoch = datetime(2025, 4, 6, tzinfo=UTC)
    orbit = Orbit(epoch, times, position, velocity, "made up", "precise")
    spacing = 2.33 if ground is None else float("nan")
    return RadarGrid(1001, 2003, epoch, 3.0, 2.05e-3, 8.0e5, spacing, 1, 0.0555, orbit, ground)


@pytest.mark.parametrize("inverse", [True, False])
def test_the_grid_of_looks_has_the_centres_of_boxes(inverse):
    coefficients = np.array([[0.0, 1.6, -3e-7], [1.0, 1.61, -3e-7]])
    back = np.array([[8.0e5, 0.625, 3e-8], [7.9999e5, 0.621, 3e-8]]) if inverse else None
    ground = GroundRange(np.array([0.0, 9.0]), np.array([8.0e5, 8.0e5]), coefficients, back, 10.0)
    for full in (grid(), grid(ground)):
        coarse = looked(full, (3, 4))
        assert coarse.shape == (333, 500)
        time = float(coarse.time(17))
        assert time == pytest.approx(float(full.time(17 * 3 + 1)), abs=1e-9)
        slant = float(coarse.slant_range(31, time))
        assert slant == pytest.approx(float(full.slant_range(31 * 4 + 1.5, time)), abs=1e-3)
        assert float(coarse.sample(slant, time)) == pytest.approx((float(full.sample(slant, time)) - 1.5) / 4, abs=1e-6)
