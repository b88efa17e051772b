"""Robust least squares on networks of dates, compiled: many posts at once, each with weights of its own."""

# ruff: noqa: FBT001, PLR0917  compiled functions are called by position
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.stack.compiling import compiled
from sensetrack.stack.graph import LANES, assemble, factorise, right_side, solve, spread, subnetworks_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]
    Ints = NDArray[np.int64]

PLAIN, HUBER, TUKEY = 0, 1, 2
"""Codes of what residuals cost."""


@compiled
def _misfit(pairs: Ints, values: Doubles, sigma: Doubles, x: Doubles, out: Doubles) -> None:
    """Residuals of the pairs in units of their sigma."""
    for p in range(pairs.shape[0]):
        i, j = pairs[p, 0], pairs[p, 1]
        for lane in range(out.shape[1]):
            out[p, lane] = (values[p, lane] - x[j, lane] + x[i, lane]) / sigma[p, lane]


@compiled
def _trust(z: Doubles, seen: NDArray[np.uint8], scale: Doubles, loss: int, tuning: float, out: Doubles) -> None:
    """Weights of the pairs by what their residuals cost; never quite 0, so that no date hangs in the air."""
    for p in range(z.shape[0]):
        for lane in range(z.shape[1]):
            far = abs(z[p, lane]) / (scale[lane] * tuning)
            trusted = 1.0
            if loss == HUBER:
                trusted = 1.0 / max(far, 1.0)
            elif loss == TUKEY:
                inside = max(1.0 - far * far, 0.0)
                trusted = max(inside * inside, 1e-4 / max(far, 1.0))
            out[p, lane] = trusted * seen[p, lane]


@compiled
def _median_scale(
    z: Doubles, seen: NDArray[np.uint8], dof: Doubles, prior: float, work: Doubles, scale: Doubles
) -> None:
    """Scale of the residuals of each post by their median, drawn to 1 where there are few to spare."""
    for lane in range(z.shape[1]):
        count = 0
        for p in range(z.shape[0]):
            if seen[p, lane]:
                work[count] = abs(z[p, lane])
                count += 1
        scale[lane] = 1.0
        if count and dof[lane] > 0:
            # A date's residuals sum to nothing: what is left of n residuals spreads like dof of them.
            found = 1.4826 * np.median(work[:count]) * math.sqrt(count / dof[lane])
            scale[lane] = math.sqrt((prior + dof[lane] * found * found) / (prior + dof[lane]))
        scale[lane] = max(scale[lane], 1e-12)


@compiled
def _final_scale(
    z: Doubles, trusted: Doubles, dof: Doubles, rank: Doubles, prior: float, expected: Doubles, scale: Doubles
) -> None:
    """Scale of the residuals by their weighted squares, which takes all of them that are trusted."""
    for lane in range(z.shape[1]):
        squares, count = 0.0, 0.0
        for p in range(z.shape[0]):
            squares += trusted[p, lane] * z[p, lane] * z[p, lane]
            count += trusted[p, lane]
        spare = min(count / expected[0] - rank[lane], dof[lane])
        if spare > 0:
            found = squares / expected[1] / spare
            scale[lane] = math.sqrt((prior + spare * found) / (prior + spare))
        scale[lane] = max(scale[lane], 1e-12)


@compiled
def _gather(
    values: NDArray[Any], sigma: NDArray[Any], at: int, lanes: int, d: Doubles, s: Doubles, seen: NDArray[np.uint8]
) -> None:
    """Take some posts; what is missing has no weight."""
    many = sigma.shape[1] > 1
    for p in range(d.shape[0]):
        for lane in range(d.shape[1]):
            d[p, lane], s[p, lane], seen[p, lane] = 0.0, 1.0, 0
            if lane < lanes:
                value, error = values[p, at + lane], sigma[p, at + lane if many else 0]
                if np.isfinite(value) and error > 0 and np.isfinite(error):
                    d[p, lane], s[p, lane], seen[p, lane] = value, error, 1


@compiled
def _links(
    seen: NDArray[np.uint8], pairs: Ints, regular: bool, label: NDArray[np.int8], free: Doubles, counts: Doubles
) -> None:
    """Find the sub-networks of each post, and hold one date of each: what all others are counted from.

    `counts`: pairs, rank, residuals to spare, sub-networks.
    """
    dates = label.shape[0]
    owner, named, column = np.empty(dates, np.int64), np.empty(dates, np.int8), np.zeros(pairs.shape[0], np.uint8)
    found = subnetworks_of(column, pairs, owner, named)
    for lane in range(seen.shape[1]):
        same, used, last = True, 0, -1
        counts[0, lane] = 0.0
        for p in range(pairs.shape[0]):
            same = same and column[p] == seen[p, lane]
            column[p] = seen[p, lane]
            counts[0, lane] += seen[p, lane]
        if not same:  # neighbours mostly have the same pairs
            found = subnetworks_of(column, pairs, owner, named)
        for k in range(dates):
            label[k, lane] = named[k]
            used += named[k] >= 0
            begins = named[k] > last
            held = (begins and last < 0) if regular else (begins or named[k] < 0)
            last = max(last, named[k])
            free[k, lane] = 0.0 if held or counts[0, lane] == 0 else 1.0
        counts[1, lane] = used - found
        counts[2, lane] = counts[0, lane] - counts[1, lane]
        counts[3, lane] = found


@compiled
def _hold(first: Ints, start: Ints, smooth: Doubles, free: Doubles, matrix: Doubles) -> None:
    """Begin a matrix with what smoothness asks for, less the dates that are held."""
    matrix[:] = 0.0
    if smooth.size == 0:
        return
    for k in range(first.size):
        for j in range(first[k], k + 1):
            at = start[k] + j - first[k]
            for lane in range(matrix.shape[1]):
                matrix[at, lane] = smooth[at] * free[k, lane] * free[j, lane]


@compiled
def _weigh(trusted: Doubles, s: Doubles, scale: Doubles, rescale: bool, factor: float, w: Doubles) -> None:
    """Turn trust and sigma into the weights of the normal equations, 1 / m^2."""
    for p in range(w.shape[0]):
        for lane in range(w.shape[1]):
            spread = s[p, lane] * (scale[lane] if rescale else 1.0)
            w[p, lane] = trusted[p, lane] / (spread * spread * factor)


@compiled
def _keep(
    at: int, lanes: int, trusted: Doubles, scale: Doubles, weight_out: NDArray[Any], scale_out: NDArray[Any]
) -> None:
    """Write weights and scale down, and go on with the numbers as they are kept."""
    for lane in range(lanes):
        scale_out[at + lane] = scale[lane]
        scale[lane] = scale_out[at + lane]
    for p in range(trusted.shape[0]):
        for lane in range(lanes):
            weight_out[p, at + lane] = trusted[p, lane]
            trusted[p, lane] = weight_out[p, at + lane]


@compiled
def _deliver(
    at: int, lanes: int, label: NDArray[np.int8], regular: bool, prior: Doubles, found: Any, outs: Any
) -> None:
    """Write the series of some posts down: NaN where there is no pair, the noise of images added to the variances."""
    x, variance, between = found
    x_out, variance_out, between_out, label_out = outs
    dates = label.shape[0]
    root = np.empty(129, np.int64)
    for lane in range(lanes):
        root[:] = -1
        begin, end, post = -1, -1, at + lane
        for k in range(dates):
            if label[k, lane] >= 0:
                begin, end = (k if begin < 0 else begin), k
                root[label[k, lane]] = k if root[label[k, lane]] < 0 else root[label[k, lane]]
        for k in range(dates):
            label_out[k, post] = label[k, lane]
            inside = begin <= k <= end and begin >= 0 if regular else label[k, lane] >= 0
            x_out[k, post] = x[k, lane] if inside else np.nan
            variance_out[k, post] = np.nan
            if inside:
                origin = begin if regular else root[label[k, lane]]
                variance_out[k, post] = 0.0 if k == origin else variance[k, lane] + prior[k] + prior[origin]
            between_out[k, post] = np.nan
            if k:
                joined = not np.isnan(x_out[k, post]) and not np.isnan(x_out[k - 1, post])
                joined = joined and (regular or label[k, lane] == label[k - 1, lane])
                if joined:
                    between_out[k, post] = between[k, lane] + prior[k] + prior[k - 1]


@compiled
def run_invert(
    values: NDArray[Any],
    sigma: NDArray[Any],
    pairs: Ints,
    first: Ints,
    start: Ints,
    smooth: Doubles,
    options: Doubles,
    prior: Doubles,
    outs: Any,
) -> None:
    """Invert all posts of a block.

    `values` and `sigma` are (pairs, posts); `sigma` may have one column for all posts. `options`: loss, tuning, turns,
    expected weight, expected weighted square, variance factor, whether to rescale, weight of sigma as given. `prior`:
    variances of the noise of each image. `outs`: x, variance, between, labels, weights, rhs, scale, counts.
    """
    weight_out, rhs_out, scale_out, count_out = outs[4:]
    n, posts, dates = pairs.shape[0], values.shape[1], first.size
    loss, tuning, turns = int(options[0]), options[1], int(options[2])
    expected, factor, rescale, given = options[3:5], options[5], options[6] > 0, options[7]
    d, s, w, z = np.empty((n, LANES)), np.empty((n, LANES)), np.empty((n, LANES)), np.empty((n, LANES))
    trusted, seen = np.empty((n, LANES)), np.empty((n, LANES), np.uint8)
    free, whole, label = np.empty((dates, LANES)), np.ones((dates, LANES)), np.empty((dates, LANES), np.int8)
    x, variance = np.empty((dates, LANES)), np.empty((dates, LANES))
    between, inverse, work = np.empty((dates, LANES)), np.empty((dates, LANES)), np.empty((2, dates, LANES))
    matrix, scale, counts, buffer = np.empty((start[dates], LANES)), np.ones(LANES), np.empty((4, LANES)), np.empty(n)
    warm = min(turns // 2, 4)
    for at in range(0, posts, LANES):
        lanes = min(LANES, posts - at)
        _gather(values, sigma, at, lanes, d, s, seen)
        _links(seen, pairs, smooth.size > 0, label, free, counts)
        scale[:] = 1.0
        # Least squares first; then the sum of distances rather than squares, which blunders cannot pull far; then what
        # was asked for. The last turn takes the weights as they are kept.
        for turn in range(turns + 1):
            if turn == 0:
                _trust(d, seen, scale, PLAIN, tuning, trusted)
            else:
                _misfit(pairs, d, s, x, z)
                if turn <= warm or turn == 1:
                    _median_scale(z, seen, counts[2], given, buffer, scale)
                early = turn <= warm and loss != PLAIN
                _trust(z, seen, scale, HUBER if early else loss, 1.345 if early else tuning, trusted)
            if turn == turns:
                _final_scale(z, trusted, counts[2], counts[1], given, expected, scale)
                _keep(at, lanes, trusted, scale, weight_out, scale_out)
            _weigh(trusted, s, scale, rescale, factor, w)
            _hold(first, start, smooth, free, matrix)
            assemble(pairs, first, start, w, free, matrix)
            factorise(first, start, matrix, inverse)
            right_side(pairs, w, d, free, x)
            solve(first, start, matrix, inverse, x)
        spread(first, start, matrix, inverse, free, work, variance, between)
        _deliver(at, lanes, label, smooth.size > 0, prior, (x, variance, between), outs[:4])
        right_side(pairs, w, d, whole, x)
        for lane in range(lanes):
            for k in range(dates):
                rhs_out[k, at + lane] = x[k, lane]
            for k in range(4):
                count_out[k, at + lane] = counts[k, lane]
