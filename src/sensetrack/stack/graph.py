"""Least squares on networks of dates, compiled: many posts at once, each with weights of its own.

The normal matrix of a network is that of a graph: each pair adds its weight to two places on the diagonal and takes it
from the two beside it. Dates are in the order of time, so rows are short, and the factors need no room beyond them: the
rows of all matrices here start at `first` and lie one after the other (`start`). The last axis of every array is the
`LANES` posts that are worked on together.
"""

# ruff: noqa: PLR0917  compiled functions are called by position
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sensetrack.stack.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Bands = tuple[Ints, Ints]
    """`first`: first column of each row; `start`: where the row begins, and the whole length at the end."""

LANES = 16
"""Posts that are worked on together, which is what makes vectors."""


def bands_of(pairs: Ints, dates: int, *, order: int = 0) -> Bands:
    """Lay out the rows of the matrix of a network, with `order` differences of velocity beside the pairs."""
    first = np.arange(dates)
    np.minimum.at(first, pairs.max(axis=1), pairs.min(axis=1))
    if order:
        first = np.minimum(first, np.maximum(np.arange(dates) - order - 1, 0))
    return first.astype(np.int64), np.concatenate([[0], np.cumsum(np.arange(dates) - first + 1)]).astype(np.int64)


@compiled
def subnetworks_of(seen: NDArray[np.uint8], pairs: Ints, owner: Ints, label: NDArray[np.int8]) -> int:
    """Count the sub-networks of one post; label its dates by them in the order of time, -1 where one has no pair."""
    owner[:] = -1
    for p in range(pairs.shape[0]):
        if seen[p]:
            a, b = pairs[p, 0], pairs[p, 1]
            owner[a] = a if owner[a] < 0 else owner[a]
            owner[b] = b if owner[b] < 0 else owner[b]
            a, b = _root(owner, a), _root(owner, b)
            owner[max(a, b)] = min(a, b)
    found = 0
    for k in range(owner.size):
        if owner[k] < 0:
            label[k] = -1
        elif owner[k] == k:
            label[k] = min(found, 127)
            found += 1
        else:
            label[k] = label[_root(owner, k)]
    return found


@compiled
def _root(owner: Ints, k: int) -> int:
    """Return the first date that hangs together with one."""
    while owner[k] != k:
        k = owner[k]
    return k


@compiled
def assemble(pairs: Ints, first: Ints, start: Ints, weight: Doubles, free: Doubles, matrix: Doubles) -> None:
    """Add the pairs to the matrix; where `free` is 0, a date is held and leaves the others alone."""
    lanes = matrix.shape[1]
    for p in range(pairs.shape[0]):
        i, j = min(pairs[p, 0], pairs[p, 1]), max(pairs[p, 0], pairs[p, 1])
        on_i, on_j, beside = start[i + 1] - 1, start[j + 1] - 1, start[j] + i - first[j]
        for lane in range(lanes):
            w = weight[p, lane]
            matrix[on_i, lane] += w * free[i, lane]
            matrix[on_j, lane] += w * free[j, lane]
            matrix[beside, lane] -= w * free[i, lane] * free[j, lane]
    for k in range(first.size):
        on = start[k + 1] - 1
        for lane in range(lanes):
            matrix[on, lane] += 1.0 - free[k, lane]


@compiled
def factorise(first: Ints, start: Ints, matrix: Doubles, inverse: Doubles) -> None:
    """Turn a matrix into L D L' in place: L below the diagonal (ones on it are not kept), 1 / D in `inverse`."""
    lanes = matrix.shape[1]
    for k in range(first.size):
        row = start[k] - first[k]
        on = row + k
        for j in range(first[k], k):
            other = start[j] - first[j]
            for m in range(max(first[k], first[j]), j):
                for lane in range(lanes):
                    matrix[row + j, lane] -= matrix[row + m, lane] * matrix[other + m, lane]
        for j in range(first[k], k):
            for lane in range(lanes):
                scaled = matrix[row + j, lane] * inverse[j, lane]
                matrix[on, lane] -= matrix[row + j, lane] * scaled
                matrix[row + j, lane] = scaled
        for lane in range(lanes):
            inverse[k, lane] = 1.0 / matrix[on, lane]


@compiled
def solve(first: Ints, start: Ints, matrix: Doubles, inverse: Doubles, x: Doubles) -> None:
    """Solve with what `factorise` made, in place."""
    dates, lanes = x.shape
    for k in range(dates):
        row = start[k] - first[k]
        for j in range(first[k], k):
            for lane in range(lanes):
                x[k, lane] -= matrix[row + j, lane] * x[j, lane]
    for k in range(dates):
        for lane in range(lanes):
            x[k, lane] *= inverse[k, lane]
    for k in range(dates - 1, -1, -1):
        row = start[k] - first[k]
        for j in range(first[k], k):
            for lane in range(lanes):
                x[j, lane] -= matrix[row + j, lane] * x[k, lane]


@compiled
def spread(
    first: Ints,
    start: Ints,
    matrix: Doubles,
    inverse: Doubles,
    free: Doubles,
    work: Doubles,
    variance: Doubles,
    between: Doubles,
) -> None:
    """Return variances of all dates, and in `between` of the difference of each date and the one before."""
    dates, lanes = variance.shape
    before, now = work[0], work[1]
    for k in range(dates):
        before, now = now, before
        _column(first, start, matrix, k, now)
        for lane in range(lanes):
            variance[k, lane] = 0.0
            between[k, lane] = 0.0
        for i in range(k, dates):
            for lane in range(lanes):
                part = now[i, lane] * inverse[i, lane]
                variance[k, lane] += now[i, lane] * part
                between[k, lane] += before[i, lane] * part
        for lane in range(lanes):
            variance[k, lane] *= free[k, lane]
            if k:
                both = between[k, lane] * free[k, lane] * free[k - 1, lane]
                between[k, lane] = variance[k, lane] + variance[k - 1, lane] - 2 * both


@compiled
def _column(first: Ints, start: Ints, matrix: Doubles, k: int, out: Doubles) -> None:
    """Return a column of the inverse of L; what lies above the diagonal is 0."""
    for i in range(first.size):
        row = start[i] - first[i]
        for lane in range(out.shape[1]):
            out[i, lane] = 1.0 if i == k else 0.0
        if i > k:
            for m in range(max(first[i], k), i):
                for lane in range(out.shape[1]):
                    out[i, lane] -= matrix[row + m, lane] * out[m, lane]


@compiled
def right_side(pairs: Ints, weight: Doubles, values: Doubles, free: Doubles, out: Doubles) -> None:
    """Add up what the pairs say of each date: the right side of the normal equations."""
    lanes = out.shape[1]
    out[:] = 0.0
    for p in range(pairs.shape[0]):
        i, j = pairs[p, 0], pairs[p, 1]
        for lane in range(lanes):
            pull = weight[p, lane] * values[p, lane]
            out[i, lane] -= pull * free[i, lane]
            out[j, lane] += pull * free[j, lane]


@compiled
def times(first: Ints, start: Ints, matrix: Doubles, x: Doubles, out: Doubles) -> None:
    """Multiply symmetric matrices by vectors, (dates, lanes)."""
    out[:] = 0.0
    for k in range(first.size):
        for j in range(first[k], k + 1):
            here = start[k] + j - first[k]
            for lane in range(out.shape[1]):
                out[k, lane] += matrix[here, lane] * x[j, lane]
                if j < k:
                    out[j, lane] += matrix[here, lane] * x[k, lane]
