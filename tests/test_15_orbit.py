"""Orbits: exact where they can be, NaN where nothing is known, refused where they make no sense."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_truth import EPOCH, circle, circular_orbit, radar_grid
from sensetrack.errors import InputError
from sensetrack.sar.orbit import Orbit


def polynomial_orbit(degree, times):
    """Vectors on a polynomial that differs along the axes; and that polynomial."""
    coefficients = (
        np.random.default_rng(degree).uniform(-1, 1, (degree + 1, 3)) * 0.01 ** np.arange(degree + 1)[:, None]
    )
    coefficients *= 7e6
    curve = [np.polynomial.Polynomial(column) for column in coefficients.T]

    def at(t, order=0):
        return np.stack([part.deriv(order)(t) if order else part(t) for part in curve], axis=-1)

    return Orbit(EPOCH, times, at(times), at(times, 1), "polynomial", "precise"), at


@pytest.mark.parametrize("times", [np.arange(9) * 10.0 - 31, np.array([-40.0, -33, -20, -2, 4, 30, 41])])
def test_seventh_degree_is_exact_at_any_spacing(times):
    orbit, at = polynomial_orbit(7, times)
    t = np.linspace(times[0], times[-1], 201)
    position, velocity = orbit.state(t)
    scale = np.abs(at(t)).max()
    np.testing.assert_allclose(position, at(t), atol=1e-9 * scale)
    np.testing.assert_allclose(velocity, at(t, 1), atol=1e-9 * scale)
    np.testing.assert_allclose(orbit.acceleration(t), at(t, 2), atol=1e-8 * scale)


def test_eighth_degree_is_not_exact():
    orbit, at = polynomial_orbit(8, np.arange(9) * 10.0 - 31)
    t = np.array([-6.0, 4, 14])
    assert np.abs(orbit.state(t)[0] - at(t)).max() > 0.01


@given(st.floats(0, 6.28), st.floats(-3.1, 3.1), st.floats(0.5, 2.6))
@settings(max_examples=30, deadline=None)
def test_a_circle_is_found_to_micrometres(argument, node, inclination):
    where = {"argument": argument, "node": node, "inclination": inclination}
    orbit = circular_orbit(**where)
    t = np.linspace(-70, 90, 57)
    position, velocity = circle(t, **where)
    found, speed = orbit.state(t)
    assert np.abs(found - position).max() < 5e-6
    assert np.abs(speed - velocity).max() < 5e-6
    step = 1e-2
    numeric = (circle(t + step, **where)[1] - circle(t - step, **where)[1]) / (2 * step)
    assert np.abs(orbit.acceleration(t) - numeric).max() < 1e-5


def test_nothing_is_known_beyond_the_vectors():
    orbit = circular_orbit()
    position, velocity = orbit.state([-70.001, -70, 3, 90, 90.001, np.nan])
    assert np.isnan(position).all(axis=1).tolist() == [True, False, False, False, True, True]
    assert np.isnan(velocity).any(axis=1).tolist() == [True, False, False, False, True, True]
    assert np.isnan(orbit.acceleration(1e9)).all()
    assert orbit.state(3.0)[0].shape == (3,)
    assert orbit.state(np.zeros((2, 5)))[1].shape == (2, 5, 3)


def test_a_part_gives_the_same_states():
    orbit = circular_orbit(count=60, start=-300)
    part = orbit.around(-12.0, 31.0)
    assert part.times.size < 20
    t = np.linspace(-12, 31, 100)
    assert np.abs(part.state(t)[0] - orbit.state(t)[0]).max() < 1e-8
    assert part.covers(-12, 31)
    assert orbit.around(1e6, 2e6).times.size >= 4


def test_another_epoch_is_the_same_orbit():
    orbit = circular_orbit()
    later = EPOCH + timedelta(seconds=41, microseconds=250_000)
    moved = orbit.since(later.astimezone(timezone(timedelta(hours=9))))
    assert moved.epoch == later
    assert moved.epoch.tzinfo is UTC
    np.testing.assert_allclose(moved.state(-38.0)[0], orbit.state(3.25)[0], atol=1e-7)


def test_a_grid_brings_the_orbit_to_its_epoch():
    orbit = circular_orbit().since(EPOCH - timedelta(seconds=100))
    grid = radar_grid(orbit=orbit)
    np.testing.assert_allclose(grid.orbit.state(2.0)[0], circle(2.0)[0], atol=1e-5)


def test_vectors_are_copied_and_constant():
    times, position, velocity = np.arange(5.0), np.ones((5, 3), np.float32), np.ones((5, 3))
    orbit = Orbit(EPOCH, times, position, velocity, "x", "downlink")
    times[2] = 7
    assert orbit.times[2] == 2
    assert orbit.position.dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        orbit.position[0, 0] = 3


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (
            {"times": np.arange(3.0), "position": np.ones((3, 3)), "velocity": np.ones((3, 3))},
            "at least 4 state vectors",
        ),
        ({"times": np.array([0.0, 1, 1, 2, 3])}, "increase"),
        ({"position": np.full((5, 3), np.nan)}, "finite"),
        ({"velocity": np.ones((5, 2))}, r"shape \(5, 3\)"),
        ({"quality": "good"}, "precise, restituted"),
        ({"epoch": datetime(2023, 1, 1)}, "time zone"),
    ],
)
def test_orbits_that_make_no_sense(change, rule):
    known = {
        "epoch": EPOCH, "times": np.arange(5.0), "position": np.ones((5, 3)), "velocity": np.ones((5, 3)),
        "source": "x", "quality": "precise",
    }  # fmt: skip
    with pytest.raises(InputError, match=rule):
        Orbit(**(known | change))
