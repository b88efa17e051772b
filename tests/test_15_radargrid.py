"""Lines, samples, times and ranges of radar images, in slant and in ground range."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sar_truth import EPOCH, circular_orbit, radar_grid
from sensetrack.errors import InputError
from sensetrack.sar.radargrid import GroundRange, RadarGrid


def ground_range(**change) -> GroundRange:
    """Square roots as polynomials: ground range over a flat Earth of a satellite 700 km up, moved a little in time."""
    near = 800_000.0
    slant = np.linspace(near, near + 150_000, 400)
    records = []
    for shift in (0.0, 40.0, -25.0):
        ground = np.sqrt(slant**2 - 7e5**2) - np.sqrt(near**2 - 7e5**2)
        ground = ground * (1 + 1e-6 * shift)
        x, y = (slant - near) / 1e5, ground / 1e5
        forward = np.polynomial.polynomial.polyfit(x, ground, 8) / 1e5 ** np.arange(9)
        back = np.polynomial.polynomial.polyfit(y, slant, 8) / 1e5 ** np.arange(9)
        records.append((forward, back))
    known = {
        "times": np.array([0.0, 1.0, 3.0]),
        "origins": np.full(3, near),
        "slant_to_ground": np.array([forward for forward, _ in records]),
        "ground_to_slant": np.array([back for _, back in records]),
        "spacing": 10.0,
    }
    return GroundRange(**(known | change))


def ground_grid(**change) -> RadarGrid:
    return RadarGrid(
        2000, 20_000, EPOCH, 0.2, 0.0015, 800_000.0, np.nan, 1, 0.055, circular_orbit(), ground_range(**change)
    )


def test_lines_and_samples_are_those_of_centres():
    grid = radar_grid()
    assert grid.shape == (1500, 2600)
    assert grid.time(0) == 1.25
    assert grid.time([1, 2.5]).tolist() == [1.25 + 0.0027, 1.25 + 0.0027 * 2.5]
    np.testing.assert_allclose(grid.line(grid.time([0, 17.25, 1499])), [0, 17.25, 1499], atol=1e-9)
    assert grid.slant_range(3) == 800_090.0
    assert grid.sample(800_045.0) == 1.5
    assert grid.last_time == pytest.approx(1.25 + 1499 * 0.0027)
    assert grid.contains([-0.6, -0.5, 1499.5, 3], [3, 3, 2599.5, 2599.6]).tolist() == [False, True, True, False]


def test_single_precision_never_enters():
    """A number in single precision stays single when Python's are added: slant ranges of 800 km to 6 cm."""
    grid = radar_grid()
    sample = np.arange(2600, dtype=np.float32)
    assert grid.slant_range(sample).dtype == np.float64
    np.testing.assert_array_equal(grid.slant_range(sample), 800_000.0 + 30.0 * np.arange(2600))
    assert grid.time(sample).dtype == grid.line(sample).dtype == grid.sample(sample).dtype == np.float64
    assert ground_grid().slant_range(sample, np.float32(0.5)).dtype == np.float64


def test_ground_range_there_and_back():
    grid = ground_grid()
    sample = np.linspace(0, 19_000, 77)
    time = np.linspace(0.2, 2.9, 77)
    slant = grid.slant_range(sample, time)
    assert np.abs(grid.sample(slant, time) - sample).max() < 0.01
    exact = replace(grid, ground=ground_range(ground_to_slant=None))
    assert np.abs(exact.sample(exact.slant_range(sample, time), time) - sample).max() < 1e-6
    assert np.abs(exact.slant_range(sample, time) - slant).max() < 0.1
    assert grid.slant_range(0, 0.5) == pytest.approx(800_000, abs=0.05)


def test_ground_range_is_linear_between_records_and_constant_beyond():
    ground = ground_range()
    at = {time: float(ground.to_ground(870_000.0, time)) for time in (-5, 0, 1, 1.5, 3, 9)}
    assert at[-5] == at[0] != at[1]
    assert at[9] == at[3] != at[1]
    assert at[1.5] == pytest.approx(0.75 * at[1] + 0.25 * at[3], abs=1e-7)
    # the order of times does not matter
    times = np.array([2.5, 0.1, 1.2, 3.0, 0.0])
    one_by_one = [float(ground.to_ground(870_000.0, time)) for time in times]
    np.testing.assert_allclose(ground.to_ground(870_000.0, times), one_by_one, rtol=1e-15)


def test_records_may_begin_at_other_ranges():
    ground = ground_range()
    shifted = replace(ground, origins=ground.origins + np.array([0.0, 30.0, 0.0]))
    assert shifted.to_ground(870_030.0, 1.0) == pytest.approx(float(ground.to_ground(870_000.0, 1.0)))
    moved = replace(ground, ground_origins=np.array([0.0, -70.0, 0.0]))
    assert moved.to_slant(49_930.0, 1.0) == pytest.approx(float(ground.to_slant(50_000.0, 1.0)))


def test_nan_stays_nan():
    grid = ground_grid()
    assert np.isnan(grid.sample([870_000.0, np.nan], [np.nan, 1.0])).all()
    assert np.isnan(grid.slant_range([3.0, np.nan], [np.nan, 1.0])).all()
    assert np.isfinite(grid.sample(870_000.0, 1.0))


def test_pass_and_heading():
    rising, falling = radar_grid(argument=0.6), radar_grid(argument=np.pi - 0.6)
    assert (rising.pass_direction, falling.pass_direction) == ("ascending", "descending")
    assert -20 < rising.heading < -5
    assert -175 < falling.heading < -160


def test_another_orbit_must_cover_the_image():
    grid = radar_grid()
    assert grid.with_orbit(circular_orbit(count=20)).orbit.times.size == 20
    with pytest.raises(InputError, match="must cover the times of the image, instead got one from analytic"):
        grid.with_orbit(circular_orbit(start=100.0))


def test_a_window_has_the_times_and_ranges_of_its_pixels():
    grid = radar_grid()
    part = grid.crop(slice(300, 450), slice(120, 200))
    assert part.shape == (150, 80)
    assert part.time(2) == pytest.approx(float(grid.time(302)), abs=1e-12)
    assert part.slant_range(5) == grid.slant_range(125)
    with pytest.raises(InputError, match="ground range"):
        ground_grid().crop(slice(0, 5), slice(0, 5))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"look": 0}, r"1 \(right\) or -1"),
        ({"line_interval": -0.001}, "line_interval .* above 0"),
        ({"range_spacing": np.nan}, "range_spacing .* above 0"),
        ({"lines": 0}, "lines .* above 0"),
    ],
)
def test_grids_that_make_no_sense(change, rule):
    with pytest.raises(InputError, match=rule):
        replace(radar_grid(), **change)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"times": np.array([0.0, 1, 1])}, "increase"),
        ({"origins": np.zeros(2)}, "one entry per time"),
        ({"slant_to_ground": np.full((3, 2), np.inf)}, "finite"),
        ({"spacing": 0.0}, "above 0"),
    ],
)
def test_ground_ranges_that_make_no_sense(change, rule):
    with pytest.raises(InputError, match=rule):
        ground_range(**change)
