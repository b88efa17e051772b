"""Time series from pairs, and what is made of them."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensetrack.errors import ConfigError, InputError
from sensetrack.stack.invert import TimeSeries, invert
from sensetrack.stack.motion import MotionParameters, fit_motion, image_noise
from sensetrack.stack.network import Acquisition, Network, NetworkParameters, network
from sensetrack.stack.parameters import InversionParameters
from sensetrack.workflow.executors import threads
from stack_truth import VELOCITY, Stack, make_stack

PLAIN = InversionParameters(loss="none", rescale=False)
SEASONAL = MotionParameters(seasonal=True)


@pytest.fixture(scope="module")
def stack() -> Stack:
    return make_stack(shape=(24, 37))


@pytest.fixture(scope="module")
def series(stack) -> dict[str, TimeSeries]:
    return {
        name: invert(stack.network, one.pairs, stack.pair_sigma, image_sigma=stack.image_sigma)
        for name, one in stack.components.items()
    }


def small(kind: str = "redundant", dates: int = 8, **how) -> Network:
    """Irregular dates."""
    step = np.cumsum([0, 5, 12, 7, 30, 6, 12, 24, 3, 18][:dates])
    how = {"redundant": {"neighbours": 3}, "days": {"max_days": 40}}.get(kind, {}) | how
    some = [Acquisition(datetime(2021, 2, 3) + timedelta(days=int(d))) for d in step]
    return Network.of(network(some, NetworkParameters(kind=kind, **how)))


def differences(net: Network, dates: np.ndarray) -> np.ndarray:
    return dates[net.pairs[:, 1]] - dates[net.pairs[:, 0]]


# --- the algebra -------------------------------------------------------------------------------------------------


def test_it_is_weighted_least_squares_with_the_noise_of_images():
    rng = np.random.default_rng(5)
    net = small()
    n, k = len(net.pairs), net.dates.size
    pairs, sigma = rng.normal(size=(n, 3, 5)), rng.uniform(0.5, 2, (n, 3, 5))
    pairs[2, 0, 0] = np.nan
    image = np.linspace(0, 2, k)
    series = invert(net, pairs, sigma, image_sigma=image, parameters=PLAIN)
    incidence = differences(net, np.eye(k))
    anchored = np.eye(k) - np.eye(k)[:1]
    for i, j in ((0, 0), (2, 3)):
        seen = np.isfinite(pairs[:, i, j])
        a, w = incidence[seen], 1 / sigma[seen, i, j] ** 2
        covariance = np.zeros((k, k))
        covariance[1:, 1:] = np.linalg.inv((a.T * w @ a)[1:, 1:])
        np.testing.assert_allclose(series.displacement[:, i, j], covariance @ a.T @ (w * pairs[seen, i, j]), atol=1e-5)
        covariance += anchored @ np.diag(image**2) @ anchored.T
        np.testing.assert_allclose(series.sigma[:, i, j], np.sqrt(np.diag(covariance)), rtol=1e-5)
        step = np.diff(np.eye(k), axis=0)
        expected = np.sqrt(np.diag(step @ covariance @ step.T))
        np.testing.assert_allclose(series.step_sigma[:, i, j], expected, rtol=1e-5)


def test_the_velocity_is_generalised_least_squares_of_the_dates():
    rng = np.random.default_rng(6)
    net = small(dates=9)
    n, k = len(net.pairs), net.dates.size
    pairs, sigma = rng.normal(size=(n, 2, 3)) + net.spans[:, None, None] * 0.1, rng.uniform(0.5, 2, (n, 2, 3))
    image = np.linspace(0.1, 2, k)
    series = invert(net, pairs, sigma, image_sigma=image, parameters=PLAIN)
    how = MotionParameters(seasonal=True, period=80, steps=(datetime(2021, 3, 20),))
    motion = fit_motion(series, how)
    incidence = differences(net, np.eye(k))
    i, j = 1, 2
    noise = np.diag(sigma[:, i, j] ** 2) + incidence @ np.diag(image**2) @ incidence.T
    design = incidence @ how.basis(net.dates, net.dates[0])
    covariance = np.linalg.inv(design.T @ np.linalg.solve(noise, design))
    expected = covariance @ design.T @ np.linalg.solve(noise, pairs[:, i, j])
    np.testing.assert_allclose(motion.values[:, i, j], expected, rtol=2e-4)
    np.testing.assert_allclose(motion.covariance[:, :, i, j], covariance, rtol=2e-4)
    assert motion.parameters.terms == ("velocity", "sine", "cosine", "step_20210320")


def test_expected_numbers_of_the_losses():
    assert InversionParameters(loss="none").expected == pytest.approx((1, 1, 1), rel=1e-6)
    for loss in ("tukey", "huber"):  # tuned to 95 % of the efficiency of least squares
        expected = InversionParameters(loss=loss).expected
        assert expected.variance / expected.weight == pytest.approx(1 / 0.95, rel=2e-3)
        assert 0.7 < expected.square < expected.weight < 1


# --- properties --------------------------------------------------------------------------------------------------

KINDS = st.sampled_from(["sequential", "redundant", "days"])
SERIES = st.lists(st.floats(-40, 40), min_size=8, max_size=8)
LOSSES = st.sampled_from(["tukey", "huber", "none"])


def cube(net: Network, dates: list[float]) -> np.ndarray:
    """Exact pairs at 2 x 3 posts, each with another series."""
    x = np.array(dates)[:, None, None] * np.array([[1, -2, 0.5], [3, 0.1, 1]])
    return differences(net, x)


@settings(max_examples=40, deadline=None)
@given(KINDS, SERIES, LOSSES)
def test_exact_pairs_give_the_exact_series(kind, dates, loss):
    net = small(kind)
    series = invert(net, cube(net, dates), 0.3, parameters=InversionParameters(loss=loss))
    truth = np.array(dates)[:, None] - dates[0]
    np.testing.assert_allclose(series.displacement[:, 0], truth * [1, -2, 0.5], atol=1e-4)
    assert not series.gaps.any()


@settings(max_examples=25, deadline=None)
@given(SERIES, st.integers(1, 7), st.floats(-9, 9))
def test_a_constant_on_one_image_moves_that_date_only(dates, number, constant):
    net = small("days")
    rng = np.random.default_rng(1)
    pairs = cube(net, dates) + rng.normal(0, 0.1, (len(net.pairs), 2, 3))
    moved = np.zeros((net.dates.size, 1, 1))
    moved[number] = constant
    before, after = (invert(net, one, 0.1).displacement for one in (pairs, pairs + differences(net, moved)))
    np.testing.assert_allclose(after - before, np.broadcast_to(moved, before.shape), atol=2e-4)


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_pairs_and_their_direction_do_not_matter(random, back):
    net = small()
    rng = np.random.default_rng(2)
    n = len(net.pairs)
    pairs, sigma = rng.normal(size=(n, 2, 3)), rng.uniform(0.5, 2, (n, 2, 3))
    order = list(range(n))
    random.shuffle(order)
    other, shuffled = Network(net.dates, net.pairs[order]), pairs[order]
    if back:
        other = Network(other.dates, np.where(np.arange(n)[:, None] % 2, other.pairs, other.pairs[:, ::-1]))
        shuffled = np.where(np.arange(n)[:, None, None] % 2, shuffled, -shuffled)
    first, second = invert(net, pairs, sigma), invert(other, shuffled, sigma[order])
    np.testing.assert_allclose(second.displacement, first.displacement, atol=1e-5)
    np.testing.assert_allclose(second.sigma, first.sigma, rtol=1e-5)
    np.testing.assert_allclose(second.weights, first.weights[order], atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(0, 17), max_size=14))
def test_gaps_are_flagged_whatever_pairs_are_missing(gone):
    net = small("redundant")
    assert len(net.pairs) == 18
    used = ~np.isin(np.arange(18), list(gone))
    pairs = cube(net, [0, 1, 3, 2, 5, 8, 13, 21])
    pairs[~used, 1, 1] = np.nan
    series = invert(net, pairs, 0.2)
    expected = net.subnetworks(used)
    assert series.subnetwork[:, 1, 1].tolist() == expected.tolist()
    assert series.gaps[1, 1] == (expected.max() > 0 or expected.min() < 0)
    assert not np.delete(series.gaps.ravel(), 4).any()
    for number in range(expected.max() + 1):  # each sub-network is exact from its first date on
        here = expected == number
        truth = np.array([0, 1, 3, 2, 5, 8, 13, 21])[here] * 0.1
        np.testing.assert_allclose(series.displacement[here, 1, 1], truth - truth[0], atol=1e-4)


# --- gaps --------------------------------------------------------------------------------------------------------


def test_a_disconnected_network_is_flagged_and_not_bridged():
    net = small("sequential")
    pairs = cube(net, [0, 1, 2, 4, 8, 16, 32, 64])
    pairs[3, 0, 1] = np.nan  # between the fourth and the fifth date
    pairs[6, 1, 2] = np.nan  # the last date has no pair
    pairs[:, 1, 0] = np.nan
    series = invert(net, pairs, 0.1)
    assert series.gaps.tolist() == [[False, True, False], [False, False, True]]
    assert series.links.subnetworks.tolist() == [[1, 2, 1], [0, 1, 1]]
    assert series.subnetwork[:, 0, 1].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    np.testing.assert_allclose(series.displacement[:, 0, 1], [0, -2, -4, -8, 0, -16, -48, -112], atol=1e-4)
    assert np.isnan(series.displacement[7, 1, 2])
    assert np.isnan(series.displacement[:, 1, 0]).all()
    assert np.isnan(series.step_sigma[3, 0, 1])
    assert np.isfinite(series.step_sigma[[2, 4], 0, 1]).all()
    line = series.connected[:, 0, 1]
    assert np.isnan(line[4:]).all()
    assert np.isfinite(line[:4]).all()


def test_motion_is_shared_by_subnetworks():
    net = small("sequential")
    pairs = differences(net, 0.25 * net.days[:, None, None] * np.ones((1, 1, 2)))
    pairs[3, 0, 1] = np.nan
    motion = fit_motion(invert(net, pairs, 0.1, image_sigma=0.2))
    np.testing.assert_allclose(motion.velocity, 0.25, rtol=1e-5)
    assert motion.velocity_sigma[0, 1] > 1.2 * motion.velocity_sigma[0, 0]


def test_smoothness_bridges_gaps_and_says_how_badly():
    net = small("sequential")
    pairs = differences(net, 0.25 * net.days[:, None, None] * np.ones((1, 1, 2)))
    pairs[3, 0, 1] = np.nan
    for order in (1, 2):
        how = InversionParameters(smooth=order, roughness=0.01, rescale=False)
        series = invert(net, pairs, 0.1, parameters=how)
        np.testing.assert_allclose(series.connected, 0.25 * net.days[:, None, None] * np.ones((1, 1, 2)), atol=1e-3)
        assert series.gaps.tolist() == [[False, True]]
        assert series.step_sigma[3, 0, 1] > 1.5 * series.step_sigma[3, 0, 0]


def test_smoothness_damps_noise():
    net = small("redundant", neighbours=2)
    rng = np.random.default_rng(7)
    truth = 0.25 * net.days[:, None, None] * np.ones((1, 30, 40))
    pairs = differences(net, truth) + rng.normal(0, 1, (len(net.pairs), 30, 40))
    rough = invert(net, pairs, 1.0, parameters=PLAIN)
    smooth = invert(
        net, pairs, 1.0, parameters=InversionParameters(loss="none", rescale=False, smooth=1, roughness=0.01)
    )
    error = smooth.displacement - truth
    assert np.std(error[1:]) < 0.7 * np.std((rough.displacement - truth)[1:])
    assert np.mean(np.abs(error[1:]) < smooth.sigma[1:]) > 0.63


# --- the whole ---------------------------------------------------------------------------------------------------


def test_the_mean_velocity_is_better_than_that_of_consecutive_pairs(stack, series):
    net = stack.network
    nearest = [n for n, (i, j) in enumerate(net.pairs) if j == i + 1]
    assert len(nearest) == 19
    for name, one in stack.components.items():
        found = fit_motion(series[name], SEASONAL).velocity - one.velocity
        known = np.isfinite(found)
        plain = (np.nanmedian(one.pairs[nearest][:, known] / net.spans[nearest, None], axis=0)) - one.velocity[known]
        assert np.sqrt(np.nanmean(found**2)) <= 0.5 * np.sqrt(np.mean(plain**2))


@pytest.mark.parametrize("name", VELOCITY)
def test_standard_errors_hold(stack, series, name):
    one = stack.components[name]
    error = series[name].displacement - one.dates
    inside = np.abs(error[1:]) < series[name].sigma[1:]
    assert 0.63 <= inside[np.isfinite(error[1:])].mean() <= 0.73
    motion = fit_motion(series[name], SEASONAL)
    known = np.isfinite(motion.velocity)
    assert 0.63 <= (np.abs(motion.velocity - one.velocity) < motion.velocity_sigma)[known].mean() <= 0.73
    assert not known[2, 3]
    assert known.sum() == known.size - 1
    z = (motion.velocity - one.velocity) / motion.velocity_sigma
    assert 1.4826 * np.nanmedian(np.abs(z)) == pytest.approx(1, abs=0.1)
    assert np.nanmean(np.abs(z) > 4) < 0.01  # posts where too few good pairs are left to tell them from the bad


@pytest.mark.parametrize("name", VELOCITY)
def test_noise_of_images_is_found(stack, series, name):
    noise = image_noise(series[name], SEASONAL)
    assert noise[0] == pytest.approx(stack.image_sigma, rel=0.1)
    assert image_noise(series[name], SEASONAL, per_date=True) == pytest.approx(stack.image_sigma, rel=0.5)


def test_one_bad_image_is_told_from_the_others(stack):
    rng = np.random.default_rng(8)
    one = stack.components["east"]
    bad = np.zeros_like(one.dates)
    bad[11] = rng.normal(0, 1.2, bad.shape[1:])
    pairs = one.pairs + bad[stack.network.pairs[:, 1]] - bad[stack.network.pairs[:, 0]]
    series = invert(stack.network, pairs, stack.pair_sigma)
    noise = image_noise(series, SEASONAL, per_date=True)
    assert noise.argmax() == 11
    assert noise[11] == pytest.approx(1.2, rel=0.2)
    motion = fit_motion(series, SEASONAL, image_sigma=noise)
    assert 0.63 <= np.nanmean(np.abs(motion.velocity - one.velocity) < motion.velocity_sigma) <= 0.73


def test_blunders_are_not_trusted(stack, series):
    for name, one in stack.components.items():
        rest = series[name].residuals(one.pairs)
        assert 1.4826 * np.nanmedian(np.abs(rest[~one.blunders])) < 0.25
        assert np.nanmedian(np.abs(rest[one.blunders])) > 3
        seen = np.isfinite(one.pairs)
        assert np.median(series[name].weights[one.blunders & seen]) < 0.01
        assert np.median(series[name].weights[~one.blunders & seen]) > 0.8
        assert (series[name].weights[~seen] == 0).all()


def test_the_season_is_found(stack, series):
    motion = fit_motion(series["north"], SEASONAL)
    assert np.nanmedian(motion.amplitude) == pytest.approx(0.4, abs=0.1)
    assert np.nanmedian(motion.peak_day) == pytest.approx(200, abs=15)


def test_errors_of_pairs_are_found_where_none_are_given(stack):
    one = stack.components["north"]
    found = invert(stack.network, one.pairs)
    assert float(found.pair_sigma.ravel()[0]) == pytest.approx(0.24, rel=0.15)
    how = InversionParameters(confidence=0)
    wrong = invert(stack.network, one.pairs, 3 * stack.pair_sigma, image_sigma=stack.image_sigma, parameters=how)
    right = invert(stack.network, one.pairs, stack.pair_sigma, image_sigma=stack.image_sigma, parameters=how)
    assert np.nanmedian(right.scale) == pytest.approx(1, abs=0.1)
    assert np.nanmedian(wrong.scale) == pytest.approx(1 / 3, abs=0.1)
    assert np.nanmedian(wrong.sigma[5:] / right.sigma[5:]) == pytest.approx(1, abs=0.1)


def test_workers_change_nothing_and_inputs_stay(stack):
    one = stack.components["east"]
    tall = np.concatenate([one.pairs] * 8, axis=1)  # several blocks
    pairs, sigma = tall.copy(), np.concatenate([stack.pair_sigma] * 8, axis=1)
    with threads(2) as mapper:
        parallel = invert(stack.network, pairs, sigma, mapper=mapper)
        motion = fit_motion(parallel, SEASONAL, mapper=mapper)
    alone = invert(stack.network, pairs, sigma)
    np.testing.assert_array_equal(parallel.displacement, alone.displacement)
    np.testing.assert_array_equal(parallel.weights, alone.weights)
    np.testing.assert_array_equal(motion.values, fit_motion(alone, SEASONAL).values)
    np.testing.assert_array_equal(pairs, tall)
    rows = one.pairs.shape[1]
    np.testing.assert_array_equal(parallel.displacement[:, :rows], parallel.displacement[:, -rows:])


def test_validity_counts(stack):
    one = stack.components["east"]
    valid = np.ones(one.pairs.shape, bool)
    valid[:, 4, 5] = False
    valid[0, 6, 7] = False
    series = invert(stack.network, one.pairs, stack.pair_sigma, valid=valid)
    assert np.isnan(series.displacement[:, 4, 5]).all()
    assert series.weights[0, 6, 7] == 0
    assert series.links.pairs[4, 5] == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pairs": np.zeros((3, 4, 5))}, "one layer per pair"),
        ({"sigma": np.ones((2, 2))}, "sigma"),
        ({"image_sigma": [-1.0]}, "image_sigma"),
        ({"valid": np.ones((1, 1, 1), bool)}, "valid"),
    ],
)
def test_what_does_not_belong_together_is_refused(change, said):
    net = small()
    given = {"pairs": np.zeros((len(net.pairs), 4, 5)), "sigma": 1.0, "image_sigma": 0.0, "valid": None} | change
    with pytest.raises((InputError, ConfigError), match=said):
        invert(net, given["pairs"], given["sigma"], image_sigma=given["image_sigma"], valid=given["valid"])


def test_unknown_noise_needs_pairs_that_close():
    net = small("sequential")
    with pytest.raises(InputError, match="close"):
        invert(net, np.zeros((len(net.pairs), 2, 3)))


def test_terms_that_dates_cannot_tell_are_nan():
    net = small("sequential")
    pairs = differences(net, 0.25 * net.days[:, None, None] * np.ones((1, 2, 3)))
    motion = fit_motion(invert(net, pairs, 0.1), MotionParameters(steps=(datetime(2030, 1, 1),)))
    assert np.isnan(motion.term("step_20300101")).all()
    np.testing.assert_allclose(motion.velocity, 0.25, rtol=1e-5)
    with pytest.raises(ConfigError, match="velocity"):
        motion.term("sine")


def test_acceleration_and_steps():
    net = small("redundant")
    t = net.days[:, None, None]
    jump = np.where(net.dates >= np.datetime64("2021-03-25"), 3.0, 0.0)[:, None, None]
    middle = net.days[-1] / 2
    truth = (0.2 * (t - middle) + 0.5 * 0.004 * (t - middle) ** 2 + jump) * np.ones((1, 2, 3))
    how = MotionParameters(acceleration=True, steps=["2021-03-25"])
    motion = fit_motion(invert(net, differences(net, truth), 0.1), how)
    np.testing.assert_allclose(motion.velocity, 0.2, rtol=1e-3)
    np.testing.assert_allclose(motion.term("acceleration"), 0.004, rtol=1e-3)
    np.testing.assert_allclose(motion.term("step_20210325"), 3.0, rtol=1e-3)
    np.testing.assert_allclose(motion.misfit, 0, atol=1e-3)
