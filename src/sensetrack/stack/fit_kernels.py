"""Models of motion fitted to series of dates with their full covariance, compiled."""

# ruff: noqa: FBT001, PLR0917  compiled functions are called by position
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.stack.compiling import compiled
from sensetrack.stack.graph import LANES, assemble, factorise, solve, times

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]
    Ints = NDArray[np.int64]


@compiled
def run_fit(
    weights: NDArray[Any],
    sigma: NDArray[Any],
    scale: NDArray[Any],
    series: Doubles,
    given: bool,
    pairs: Ints,
    first: Ints,
    start: Ints,
    noise: Doubles,
    basis: Doubles,
    factor: float,
    normal: Doubles,
    right: Doubles,
) -> None:
    """Set up the normal equations of a model of the dates, with their full covariance.

    Dates carry the noise of the pairs, which the network spreads, and noise of their own (`noise`, its square root per
    date). L being the matrix of the network and S the variances of the images, their information is L (1 + S L)^-1: it
    says nothing of a constant that all dates of a sub-network share, and needs no date to be held.
    `series` is the displacement of the dates, or, where `given`, L times that. `basis` is (dates, terms); `normal`
    (terms, terms, posts) and `right` (terms, posts) are filled.
    """
    n, dates, terms, posts = pairs.shape[0], basis.shape[0], basis.shape[1], weights.shape[1]
    w, whole = np.empty((n, LANES)), np.ones((dates, LANES))
    plain, matrix = np.empty((start[dates], LANES)), np.empty((start[dates], LANES))
    inverse, told = np.empty((dates, LANES)), np.empty((terms, dates, LANES))
    q, y, rhs = np.empty((terms, dates, LANES)), np.empty((dates, LANES)), np.empty((dates, LANES))
    for at in range(0, posts, LANES):
        lanes = min(LANES, posts - at)
        _weigh(weights, sigma, scale, at, lanes, factor, w)
        plain[:] = 0.0
        assemble(pairs, first, start, w, whole, plain)
        _with_noise(first, start, plain, noise, matrix)
        factorise(first, start, matrix, inverse)
        _take(series, at, lanes, y)
        times(first, start, plain, y, rhs)
        if given:
            _take(series, at, lanes, rhs)
        for c in range(terms):
            for k in range(dates):
                for lane in range(LANES):
                    y[k, lane] = basis[k, c]
            times(first, start, plain, y, told[c])
            for k in range(dates):
                for lane in range(LANES):
                    q[c, k, lane] = told[c, k, lane] * noise[k]
            solve(first, start, matrix, inverse, q[c])
        _gather_terms(at, lanes, noise, basis, told, q, rhs, normal, right)


@compiled
def _weigh(
    weights: NDArray[Any],
    sigma: NDArray[Any],
    scale: NDArray[Any],
    at: int,
    lanes: int,
    factor: float,
    out: Doubles,
) -> None:
    """Turn trust and sigma of some posts into weights, 1 / m^2."""
    for p in range(out.shape[0]):
        for lane in range(out.shape[1]):
            post = at + min(lane, lanes - 1)
            spread = sigma[p, post if sigma.shape[1] > 1 else 0] * scale[post]
            trusted = weights[p, post]
            out[p, lane] = trusted / (spread * spread * factor) if trusted > 0 else 0.0


@compiled
def _with_noise(first: Ints, start: Ints, plain: Doubles, noise: Doubles, out: Doubles) -> None:
    """Return 1 + S^1/2 L S^1/2."""
    for k in range(first.size):
        for j in range(first[k], k + 1):
            here = start[k] + j - first[k]
            for lane in range(out.shape[1]):
                out[here, lane] = plain[here, lane] * noise[k] * noise[j] + (1.0 if j == k else 0.0)


@compiled
def _take(series: Doubles, at: int, lanes: int, out: Doubles) -> None:
    """Take some posts, 0 where there is nothing."""
    for k in range(out.shape[0]):
        for lane in range(out.shape[1]):
            value = series[k, at + min(lane, lanes - 1)]
            out[k, lane] = value if np.isfinite(value) else 0.0


@compiled
def _gather_terms(
    at: int,
    lanes: int,
    noise: Doubles,
    basis: Doubles,
    told: Doubles,
    q: Doubles,
    rhs: Doubles,
    normal: Doubles,
    right: Doubles,
) -> None:
    """Add up the normal equations of some posts."""
    dates, terms = basis.shape
    for lane in range(lanes):
        post = at + lane
        for c in range(terms):
            total = 0.0
            for k in range(dates):
                total += (basis[k, c] - q[c, k, lane] * noise[k]) * rhs[k, lane]
            right[c, post] = total
            for e in range(terms):
                both = 0.0
                for k in range(dates):
                    both += basis[k, e] * told[c, k, lane] - told[e, k, lane] * noise[k] * q[c, k, lane]
                normal[c, e, post] = both
