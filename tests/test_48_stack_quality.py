"""Quality of pairs and means, three dimensions, early warning."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from sensetrack.errors import ConfigError, InputError
from sensetrack.stack.decompose import (
    EAST,
    NORTH,
    Look,
    along_track_direction,
    decompose,
    slant_range_direction,
    surface_parallel,
)
from sensetrack.stack.invert import invert
from sensetrack.stack.network import Network
from sensetrack.stack.quality import agreed, checked, closure, mean_of, pair_quality, speed, velocity_coherence
from sensetrack.stack.warning import (
    IntervalVelocity,
    ThresholdParameters,
    at_points,
    interval_speed,
    interval_velocity,
    inverse_velocity,
    threshold_table,
    time_of_failure,
)
from stack_truth import make_stack

SHAPE = 30, 50


@pytest.fixture(scope="module")
def stack():
    return make_stack(shape=SHAPE, seed=12)


# --- pairs -------------------------------------------------------------------------------------------------------


def test_closure_shows_the_noise_of_pairs_and_not_that_of_images(stack):
    net, one = stack.network, stack.components["east"]
    where = np.ones(SHAPE, bool)
    where[:3] = False
    found = closure(net, one.pairs, where)
    assert len(found.triplets) == len(net.triplets()) > 100
    assert np.median(found.nmad) == pytest.approx(0.24 * np.sqrt(3), rel=0.2)  # a few blunders in it
    assert np.abs(np.median(found.bias)) < 0.02
    assert found.posts.max() < where.sum()
    assert np.isnan(found.rms[2, 3])
    assert found.rms[5, 7] > 0
    assert found.of_pairs(len(net.pairs)).shape == (len(net.pairs),)


def test_a_cloudy_pair_is_recognised(stack):
    net, one = stack.network, stack.components["north"]
    rng = np.random.default_rng(1)
    pairs = one.pairs.copy()
    cloudy = np.flatnonzero((net.pairs == 9).any(axis=1))
    noise = rng.uniform(-8, 8, (cloudy.size, *SHAPE))
    pairs[cloudy] = np.where(rng.random(noise.shape) < 0.8, noise, np.nan)
    series = invert(net, pairs, stack.pair_sigma)
    quality = pair_quality(series, pairs)
    assert set(np.flatnonzero(quality.poor())) >= set(cloudy) - {cloudy[0], cloudy[-1]}
    assert set(np.flatnonzero(quality.poor())) <= set(cloudy)
    others = np.setdiff1d(np.arange(len(net.pairs)), cloudy)
    assert series.weights[cloudy].mean() < 0.3 * series.weights[others].mean()
    assert closure(net, pairs).of_pairs(len(net.pairs))[cloudy].min() > 1.5


def test_a_match_that_is_wrong_in_one_component_goes_in_all(stack):
    rng = np.random.default_rng(6)
    east, north = (stack.components[name] for name in ("east", "north"))
    seen = np.isfinite(east.pairs) & np.isfinite(north.pairs)
    wrong = (rng.random(seen.shape) < 0.05) & seen & ~east.blunders & ~north.blunders
    moved = east.pairs + np.where(wrong, 6.0, 0.0), north.pairs + np.where(wrong, 0.5, 0.0)  # hardly seen in the second
    first = [invert(stack.network, one, stack.pair_sigma) for one in moved]
    valid = agreed(first)
    assert valid[wrong].mean() < 0.1
    assert valid[~wrong & seen & ~east.blunders & ~north.blunders].mean() > 0.9
    again = invert(stack.network, moved[1], stack.pair_sigma, valid=valid)
    drawn = [np.nanmedian((one.displacement - north.dates)[1:]) for one in (first[1], again)]
    assert drawn[0] > 0.04
    assert abs(drawn[1]) < 0.3 * drawn[0]
    with pytest.raises(InputError, match="same pairs"):
        agreed([first[0], invert(stack.network, moved[1][:, :2], 0.2)])


# --- means -------------------------------------------------------------------------------------------------------


def test_still_ground_does_not_move():
    rng = np.random.default_rng(2)
    sigma = np.full((2, 20000), 0.3)
    still = rng.normal(0, 0.3, sigma.shape)
    value, error = speed(still, sigma)
    assert np.hypot(*still).mean() == pytest.approx(1.25 * 0.3, rel=0.02)  # what noise makes of nothing
    assert value.mean() < 0.55 * np.hypot(*still).mean()
    assert np.median(value) == 0
    assert error.min() > 0.2


def test_speed_has_no_bias():
    rng = np.random.default_rng(3)
    sigma = np.repeat([[0.2], [0.5]], 40000, axis=1)
    moved = np.array([[3.0], [-0.4]]) + rng.normal(size=sigma.shape) * sigma
    value, error = speed(moved, sigma)
    truth = np.hypot(3, 0.4)
    assert value.mean() == pytest.approx(truth, abs=0.01)
    assert np.hypot(*moved).mean() > truth + 0.03
    assert np.mean(np.abs(value - truth) < error) == pytest.approx(0.683, abs=0.02)
    with pytest.raises(InputError, match="one shape"):
        speed(moved, sigma[:, :3])


def test_components_are_averaged_with_their_errors():
    values = np.array([[1.0, np.nan, 4.0], [3.0, np.nan, np.nan]])
    mean, sigma = mean_of(values, np.array([[1.0], [0.5]]))
    assert mean[[0, 2]].tolist() == pytest.approx([(1 + 3 * 4) / 5, 4])
    assert sigma[[0, 2]].tolist() == pytest.approx([1 / np.sqrt(5), 1])
    assert np.isnan([mean[1], sigma[1]]).all()
    mean, sigma = mean_of(values)
    assert (mean[0], sigma[0]) == (2, pytest.approx(1))
    assert np.isnan(sigma[2])


def test_coherence_of_velocity_vectors():
    net = Network.of([("20230101", "20230113"), ("20230113", "20230101"), ("20230113", "20230125")])
    way = np.array([1, -1, 1])[:, None, None]
    straight = [way * np.full((3, 2, 4), 5.0), way * np.full((3, 2, 4), -2.0)]
    straight[0][0, 0, 1] = np.nan
    straight[0][2, 1, 2], straight[1][2, 1, 2] = -5.0, 2.0  # one of three the other way
    found = velocity_coherence(net, straight)
    expected = np.ones((2, 4))
    expected[1, 2] = 1 / 3
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.isnan(velocity_coherence(net, straight, np.zeros((3, 2, 4), bool))).all()


# --- three dimensions --------------------------------------------------------------------------------------------

TRUTH = np.array([1.7, -0.6, -0.9])


def look(direction, sigma=0.1, shape=(4, 7), seed=0, noise=0.0) -> Look:
    direction = np.asarray(direction, float)
    values = np.tensordot(TRUTH, direction, 1) + np.zeros(shape)
    return Look(values + noise * np.random.default_rng(seed).normal(size=shape), sigma, direction)


def sar() -> list[Look]:
    """Ascending and descending, along the line of sight and along the track."""
    ascending, descending = -12.0, 192.0
    return [
        look(slant_range_direction(38, ascending), 0.1),
        look(slant_range_direction(41, descending), 0.2),
        look(along_track_direction(ascending), 0.4),
        look(along_track_direction(descending), 0.5),
    ]


def test_directions():
    # Ascending, looking right: east and down.
    assert slant_range_direction(30, 0).tolist() == pytest.approx([0.5, 0, -np.sqrt(0.75)])
    assert slant_range_direction(30, 0, "left").tolist() == pytest.approx([-0.5, 0, -np.sqrt(0.75)])
    assert slant_range_direction(30, 180).tolist() == pytest.approx([-0.5, 0, -np.sqrt(0.75)])
    assert along_track_direction(90).tolist() == pytest.approx([1, 0, 0])
    with pytest.raises(ConfigError, match="side"):
        slant_range_direction(30, 0, "up")


def test_three_dimensions_come_back():
    found = decompose(sar())
    for part, truth in zip((found.east, found.north, found.up), TRUTH, strict=True):
        np.testing.assert_allclose(part, truth, rtol=1e-5)
    assert (found.rank == 3).all()
    assert (found.looks == 4).all()
    np.testing.assert_allclose(found.misfit, 0, atol=1e-4)
    design = np.array([one.direction for one in sar()])
    weights = np.array([one.sigma for one in sar()]) ** -2.0
    covariance = np.linalg.inv((design.T * weights) @ design)
    np.testing.assert_allclose(found.covariance[:, :, 1, 2], covariance, rtol=1e-4)
    np.testing.assert_allclose(found.sigma[:, 1, 2], np.sqrt(np.diag(covariance)), rtol=1e-4)
    best, worst = np.linalg.eigvalsh(covariance)[[0, 2]]
    assert found.condition[0, 0] == pytest.approx(np.sqrt(worst / best), rel=1e-4)


def test_standard_errors_of_three_dimensions_hold():
    shape = (60, 70)
    looks = [
        look(one.direction, one.sigma, shape, seed, noise=float(one.sigma)) for seed, one in enumerate(sar(), start=1)
    ]
    found = decompose(looks)
    for part, sigma, truth in zip((found.east, found.north, found.up), found.sigma, TRUTH, strict=True):
        assert np.mean(np.abs(part - truth) < sigma) == pytest.approx(0.683, abs=0.03)
    assert np.sqrt(np.mean(found.misfit**2)) == pytest.approx(1, abs=0.05)


def test_what_nothing_sees_is_not_made_up():
    two = sar()[:2]  # lines of sight alone see no north
    found = decompose(two)
    assert (found.rank == 2).all()
    assert np.isnan(found.north).all()
    assert np.isnan(found.up).all()  # a share of north would be in it
    assert np.isnan(found.misfit).all()
    optical = [look(EAST), look(NORTH)]
    flat = decompose(optical)
    np.testing.assert_allclose([flat.east[0, 0], flat.north[0, 0]], TRUTH[:2], rtol=1e-6)
    assert np.isnan(flat.up).all()
    assert np.isnan(flat.covariance[2]).all()
    assert np.isfinite(flat.covariance[:2, :2]).all()
    both = decompose([*two, look(NORTH, 0.3)])
    np.testing.assert_allclose(both.up, TRUTH[2], rtol=1e-5)


def test_missing_looks_and_directions_of_their_own():
    looks = sar()
    values = np.asarray(looks[2].values).copy()
    values[1, 3] = np.nan
    tilted = np.broadcast_to(np.asarray(looks[0].direction)[:, None, None], (3, 4, 7))
    sigma = np.full((4, 7), 0.4)
    sigma[2, 2] = np.nan
    found = decompose([Look(looks[0].values, 0.1, tilted), looks[1], Look(values, sigma, looks[2].direction)])
    assert found.looks[1, 3] == found.looks[2, 2] == 2
    assert np.isnan(found.north[1, 3])
    assert found.north[0, 0] == pytest.approx(TRUTH[1], rel=1e-5)


def test_motion_along_the_ground_as_a_look():
    slope = np.full((4, 7), -0.6 / 1.7 * 0 - 0.4), np.full((4, 7), 0.37)
    truth_up = slope[0][0, 0] * TRUTH[0] + slope[1][0, 0] * TRUTH[1]
    found = decompose([look(EAST), look(NORTH), surface_parallel(*slope, 0.01)])
    np.testing.assert_allclose(found.up, truth_up, rtol=1e-4)


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        ([], "no look"),
        ([Look(np.zeros(3), 1.0, EAST)], "one grid"),
        ([Look(np.zeros((2, 3)), 1.0, (1.0, 0.0))], "direction"),
        ([Look(np.zeros((2, 3)), np.ones(3), EAST, "asc")], "asc"),
    ],
)
def test_bad_looks_are_refused(looks, said):
    with pytest.raises(InputError, match=said):
        decompose(looks)
    with pytest.raises(ConfigError, match="worst"):
        decompose(sar(), worst=1)


# --- early warning -----------------------------------------------------------------------------------------------


def accelerating(failure: float = 100.0, noise: float = 0.0, seed: int = 0) -> IntervalVelocity:
    """Velocity that grows as 1 / (failure - t), day by day from 40 to 90."""
    t = np.arange(40.0, 90.0, 3.0)
    start = np.datetime64("2024-05-01T00:00", "ms")
    at = start + (t * 86_400_000).astype("timedelta64[ms]")
    value = 0.5 / (failure - (t[:-1] + 1.5))
    sigma = np.full(value.shape, 0.001)
    value += noise * np.random.default_rng(seed).normal(size=value.size) * sigma
    return IntervalVelocity(at[:-1], at[1:], value.astype(np.float32), sigma.astype(np.float32))


def test_velocity_from_date_to_date():
    net = Network.of([("20230101", "20230111"), ("20230111", "20230131"), ("20230101", "20230131")])
    pairs = np.array([2.0, -4.0, -2.0])[:, None, None] * np.ones((1, 2, 3))
    speeds = interval_velocity(invert(net, pairs, 0.3))
    np.testing.assert_allclose(speeds.value[:, 0, 0], [0.2, -0.2], rtol=1e-5)
    assert speeds.days.tolist() == [10, 20]
    assert speeds.middle[1] == np.datetime64("2023-01-21")
    assert speeds.sigma[0, 0, 0] > speeds.sigma[1, 0, 0]
    total = interval_speed([speeds, speeds])
    assert total.value[0, 0, 0] == pytest.approx(0.2 * np.sqrt(2), rel=0.2)
    assert at_points(total, [[1, 2], [0, 0]]).value.shape == (2, 2)


def test_inverse_velocity_and_its_confidence():
    two = np.array(["2024-01-01", "2024-01-05", "2024-01-09"], "datetime64[ms]")
    speeds = IntervalVelocity(two[:2], two[1:], np.array([0.1, 0.02]), np.array([0.01, 0.02]))
    found = inverse_velocity(speeds, 0.95)
    assert found.value.tolist() == pytest.approx([10, 50])
    assert found.low.tolist() == pytest.approx([1 / 0.1196, 1 / 0.0592], rel=1e-3)
    assert found.high.tolist() == pytest.approx([1 / 0.0804, np.inf], rel=1e-3)
    with pytest.raises(ConfigError, match="confidence"):
        inverse_velocity(speeds, 1.0)


def test_time_of_failure():
    found = time_of_failure(accelerating())
    truth = np.datetime64("2024-05-01T00:00", "ms") + np.timedelta64(100, "D")
    assert abs(found.moment - truth) < np.timedelta64(2, "h")
    assert found.slope == pytest.approx(-2, rel=1e-3)
    assert found.significant
    inside = 0
    for seed in range(200):
        one = time_of_failure(accelerating(noise=1.0, seed=seed), confidence=0.9)
        inside += one.earliest <= truth <= one.latest
    assert 0.84 <= inside / 200 <= 0.98


def test_no_failure_where_nothing_speeds_up():
    speeds = accelerating()
    slowing = IntervalVelocity(speeds.begin, speeds.end, speeds.value[::-1], speeds.sigma)
    assert time_of_failure(slowing).moment is None
    rng = np.random.default_rng(4)
    steady = IntervalVelocity(
        speeds.begin, speeds.end, 0.02 + rng.normal(0, 0.002, speeds.value.size), speeds.sigma * 2
    )
    assert not time_of_failure(steady).significant
    with pytest.raises(InputError, match="3 intervals"):
        time_of_failure(speeds, since=datetime(2024, 5, 1) + timedelta(days=85))
    with pytest.raises(InputError, match="one point"):
        time_of_failure(IntervalVelocity(speeds.begin, speeds.end, np.zeros((16, 2)), np.zeros((16, 2))))


def test_table_of_thresholds():
    times = np.arange(6) * np.timedelta64(4, "D") + np.datetime64("2024-01-01", "ms")
    value = np.array([[0.005, 0.0], [0.012, 0.012], [0.0, 0.0], [0.02, 0.0], [0.3, np.nan]])
    sigma = np.full(value.shape, 0.001)
    sigma[1, 1] = 0.01
    speeds = IntervalVelocity(times[:-1], times[1:], value, sigma)
    table = {(one.point, one.limit): one for one in threshold_table(speeds, ["toe", "head"])}
    assert list(table)[:3] == [("toe", "attention"), ("toe", "pre-alarm"), ("toe", "alarm")]
    assert table["toe", "pre-alarm"].certain == times[2]
    assert table["toe", "alarm"].certain == times[5]
    assert table["toe", "alarm"].now
    assert table["head", "pre-alarm"].likely == times[2]
    assert table["head", "pre-alarm"].certain is None
    assert not table["head", "attention"].now
    patient = ThresholdParameters(limits={"a": 0.01}, repeats=2)
    assert threshold_table(speeds, ["toe", "head"], patient)[0].certain == times[5]
    with pytest.raises(ConfigError, match="grow"):
        ThresholdParameters(limits={"a": 0.1, "b": 0.01})
    with pytest.raises(InputError, match="n_intervals"):
        threshold_table(speeds, ["toe"])


def test_the_only_pair_left_of_a_date_that_should_have_more_is_left_out():
    net = Network.of([("2024-01-01", "2024-01-11"), ("2024-01-01", "2024-01-21"), ("2024-01-11", "2024-01-21"),
                      ("2024-01-21", "2024-01-31")])  # fmt: skip
    valid = np.ones((4, 1, 3), bool)
    valid[0, 0, 1] = False  # the second date hangs by one pair at this post, and so does the first
    valid[:3, 0, 2] = False
    found = checked(net, valid)
    # The last date has one pair in the whole network: that is no fault.
    np.testing.assert_array_equal(found[:, 0, 0], [True, True, True, True])
    np.testing.assert_array_equal(found[:, 0, 1], [False, False, False, True])
    np.testing.assert_array_equal(found[:, 0, 2], [False, False, False, False])
    assert valid[1, 0, 1]  # what goes in stays as it is


@pytest.mark.parametrize("true", [0.0, 0.3, 1.0, 3.0, 100.0])
def test_a_limit_that_is_not_passed_is_passed_for_certain_as_often_as_was_said(true):
    rng, count = np.random.default_rng(1), 40_000
    at = np.array(["2024-01-01", "2024-01-02"], "datetime64[ms]")
    ones = np.ones((1, count), np.float32)
    parts = [
        IntervalVelocity(at[:1], at[1:], (mean + rng.normal(size=(1, count))).astype(np.float32), ones)
        for mean in (0.6 * true, 0.8 * true)
    ]
    limits = ThresholdParameters(limits={"alarm": max(true, 1e-6)})
    table = threshold_table(interval_speed(parts), [str(one) for one in range(count)], limits)
    assert np.mean([one.now for one in table]) == pytest.approx(0.05, abs=0.006)
