"""The speckle filters, compiled. Images are padded with NaN by half a window, and sums are float64 in a fixed order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.sar.compiling import compiled
from sensetrack.sar.half_windows import SURE, half_windows, sub_windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Singles = NDArray[np.float32]
    Doubles = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Pair = tuple[int, int]

BOXCAR, LEE, GAMMA_MAP, FLAT, MEAN = 0, 1, 2, 3, 4
"""Codes of `run_by_window`: the filters, the Lee filter where a window is no more than speckle (infinity elsewhere),
and the mean around every pixel, measured or not."""


def by_window(padded: Singles, halo: Pair, looks: float, code: int, out: Singles) -> None:
    """Filter by mean and variance of the whole window."""
    run_by_window(padded, halo[0], halo[1], float(looks), code, out)


def refined_lee(padded: Singles, halo: Pair, variation: float, out: Singles) -> None:
    """Filter by the half window on the pixel's side of an edge, where the window varies more than speckle does."""
    (sub_down, step_down), (sub_across, step_across) = sub_windows(halo[0]), sub_windows(halo[1])
    # Means of the sub-windows, at their centres: the padding of those at the edge is cut by their own size.
    shape = padded.shape[0] - 2 * sub_down, padded.shape[1] - 2 * sub_across
    means = np.empty(shape, np.float32)
    run_by_window(padded, sub_down, sub_across, 1.0, MEAN, means)
    run_by_window(padded, halo[0], halo[1], 1 / variation, FLAT, out)
    run_refined_lee(padded, halo, means, (step_down, step_across), half_windows(halo), variation, out)


def frost(padded: Singles, halo: Pair, damping: float, out: Singles) -> None:
    """Weigh pixels by their distance, the more the window varies."""
    rows, cols = np.arange(-halo[0], halo[0] + 1)[:, None], np.arange(-halo[1], halo[1] + 1)
    distances, place = np.unique(np.hypot(rows, cols), return_inverse=True)
    run_frost(padded, halo, damping, distances, place.reshape(rows.size, cols.size).astype(np.int64), out)


def lee_sigma(padded: Singles, halo: Pair, variation: float, within: Any, bright: float, out: Singles) -> None:  # noqa: PLR0917
    """Filter by mean and variance of the pixels of the window that may be speckle of the same ground."""
    run_lee_sigma(padded, halo, variation, within, float(bright), out)


@compiled
def run_by_window(padded: Singles, down: int, across: int, looks: float, code: int, out: Singles) -> None:  # noqa: PLR0917
    """Filter by mean and variance of the window; see the codes above."""
    rows, cols = out.shape
    work, sums = np.empty((3, padded.shape[1])), np.empty((3, cols))
    for i in range(rows):
        _sum_line(padded, i, 0, (2 * down + 1, 2 * across + 1), work, sums)
        for j in range(cols):
            centre: Any = np.float64(padded[i + down, j + across])
            mean, variance = _moments(sums, j)
            if code == MEAN:
                out[i, j] = mean
            elif math.isnan(centre):
                out[i, j] = np.nan
            elif code == BOXCAR:
                out[i, j] = mean
            elif code == FLAT and variance > mean * mean * _most(1.0 / looks, sums[2, j]):
                out[i, j] = np.inf
            elif code != GAMMA_MAP:
                out[i, j] = _weighed(centre, mean, variance, 1.0 / looks)
            else:
                out[i, j] = _most_likely(centre, mean, variance, looks)


@compiled
def _sum_line(padded: Singles, top: int, left: int, size: Pair, work: Doubles, sums: Doubles) -> None:  # noqa: PLR0917
    """Sum values, squares and numbers of what was measured in a line of windows, along the columns first.

    The inner loops run along the line, where the compiler makes vectors of them.
    """
    value, square, number = work[0], work[1], work[2]
    value[:], square[:], number[:] = 0.0, 0.0, 0.0
    for i in range(top, top + size[0]):
        for j in range(padded.shape[1]):
            one: Any = np.float64(padded[i, j])
            known = not math.isnan(one)
            one = one if known else 0.0
            value[j] += one
            square[j] += one * one
            number[j] += 1.0 if known else 0.0
    values, squares, numbers = sums[0], sums[1], sums[2]
    values[:], squares[:], numbers[:] = 0.0, 0.0, 0.0
    for k in range(left, left + size[1]):
        for j in range(sums.shape[1]):
            values[j] += value[j + k]
            squares[j] += square[j + k]
            numbers[j] += number[j + k]


@compiled
def _moments(sums: Doubles, col: int) -> tuple[float, float]:
    mean = sums[0, col] / sums[2, col]
    return mean, max(sums[1, col] / sums[2, col] - mean * mean, 0.0)


@compiled
def _most(speckle: float, number: float) -> float:
    """Relative variance that a window of speckle has: expectation, and `SURE` standard errors of the estimate more."""
    return speckle * (1.0 + SURE * math.sqrt(2.0 * (1.0 + speckle) / number))


@compiled
def _weighed(centre: float, mean: float, variance: float, speckle: float) -> float:
    """Linear estimate with the least mean square error: between a pixel and the mean around it."""
    ground = (variance - mean * mean * speckle) / (1.0 + speckle)
    if not ground > 0.0:
        return mean
    return mean + ground / variance * (centre - mean)


@compiled
def _most_likely(centre: float, mean: float, variance: float, looks: float) -> float:
    """Most likely intensity of the ground if it follows a gamma distribution."""
    speckle = 1.0 / looks
    varies = variance / (mean * mean)
    if not mean > 0.0 or varies <= speckle:
        return mean
    if varies >= 2.0 * speckle:
        return centre
    order = (1.0 + speckle) / (varies - speckle)
    half = order - looks - 1.0
    root = mean * mean * half * half + 4.0 * order * looks * mean * max(centre, 0.0)
    return (half * mean + math.sqrt(root)) / (2.0 * order)


@compiled
def run_refined_lee(  # noqa: PLR0917
    padded: Singles, halo: Pair, means: Singles, step: Pair, halves: tuple[Ints, Ints], speckle: float, out: Singles
) -> None:
    """Filter the pixels that are infinite in `out`."""
    first, last = halves
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            if out[i, j] != np.inf:
                continue
            row, col = i + halo[0], j + halo[1]
            centre = np.float64(padded[row, col])
            side = _side(means, i + step[0], j + step[1], step)
            total, square, number = 0.0, 0.0, 0
            for k in range(2 * halo[0] + 1):
                for m in range(col + first[side, k], col + last[side, k] + 1):
                    value: Any = np.float64(padded[i + k, m])
                    known = not math.isnan(value)
                    value = value if known else 0.0
                    total += value
                    square += value * value
                    number += known
            mean = total / number
            out[i, j] = _weighed(centre, mean, max(square / number - mean * mean, 0.0), speckle)


@compiled
def _side(means: Singles, row: int, col: int, step: Pair) -> int:
    """Choose the half window: cut along the strongest edge, on the side that is more like the middle."""
    middle = means[row, col]
    north_west = _or(means[row - step[0], col - step[1]], middle)
    north = _or(means[row - step[0], col], middle)
    north_east = _or(means[row - step[0], col + step[1]], middle)
    west = _or(means[row, col - step[1]], middle)
    east = _or(means[row, col + step[1]], middle)
    south_west = _or(means[row + step[0], col - step[1]], middle)
    south = _or(means[row + step[0], col], middle)
    south_east = _or(means[row + step[0], col + step[1]], middle)
    across = abs(north_east + east + south_east - north_west - west - south_west)
    down = abs(north_west + north + north_east - south_west - south - south_east)
    rising = abs(north + north_east + east - west - south_west - south)
    falling = abs(north_west + north + west - east - south - south_east)
    most = max(across, down, rising, falling)
    if across == most:
        return 0 if abs(east - middle) < abs(west - middle) else 1
    if down == most:
        return 2 if abs(north - middle) < abs(south - middle) else 3
    if rising == most:
        return 4 if abs(north_east - middle) < abs(south_west - middle) else 5
    return 6 if abs(north_west - middle) < abs(south_east - middle) else 7


@compiled
def _or(value: float, other: float) -> float:
    return other if math.isnan(value) else value


@compiled
def run_frost(padded: Singles, halo: Pair, damping: float, distances: Doubles, place: Ints, out: Singles) -> None:  # noqa: PLR0917
    """Filter with weights that fall with distances, `place` telling which of them each pixel of the window has."""
    rows, cols = out.shape
    work, sums = np.empty((3, padded.shape[1])), np.empty((3, cols))
    weights = np.empty((distances.size, cols))
    total, weight = np.empty(cols), np.empty(cols)
    for i in range(rows):
        _sum_line(padded, i, 0, (2 * halo[0] + 1, 2 * halo[1] + 1), work, sums)
        for j in range(cols):
            mean, variance = _moments(sums, j)
            fall = damping * variance / (mean * mean) if mean != 0.0 else 0.0
            for k in range(distances.size):
                weights[k, j] = math.exp(-fall * distances[k])
        total[:], weight[:] = 0.0, 0.0
        for k in range(place.shape[0]):
            for m in range(place.shape[1]):
                near = weights[place[k, m]]
                for j in range(cols):
                    value: Any = np.float64(padded[i + k, j + m])
                    known = not math.isnan(value)
                    total[j] += near[j] * (value if known else 0.0)
                    weight[j] += near[j] if known else 0.0
        for j in range(cols):
            known = not math.isnan(padded[i + halo[0], j + halo[1]])
            out[i, j] = total[j] / weight[j] if known else np.nan


@compiled
def run_lee_sigma(  # noqa: PLR0917
    padded: Singles, halo: Pair, speckle: float, within: tuple[float, float, float], bright: float, out: Singles
) -> None:
    """Filter by the pixels `within` times a first estimate, from the nearest ones."""
    rows, cols = out.shape
    work, sums = np.empty((3, padded.shape[1])), np.empty((3, cols))
    prior, low, high = np.empty(cols), np.empty(cols), np.empty(cols)
    for i in range(rows):
        _sum_line(padded, i + halo[0] - 1, halo[1] - 1, (3, 3), work, sums)
        for j in range(cols):
            mean, variance = _moments(sums, j)
            prior[j] = _weighed(np.float64(padded[i + halo[0], j + halo[1]]), mean, variance, speckle)
            low[j], high[j] = within[0] * prior[j], within[1] * prior[j]
        sums[:] = 0.0
        for k in range(i, i + 2 * halo[0] + 1):
            for m in range(2 * halo[1] + 1):
                for j in range(cols):
                    value: Any = np.float64(padded[k, j + m])
                    inside = (value >= low[j]) & (value <= high[j])  # not for NaN
                    value = value if inside else 0.0
                    sums[0, j] += value
                    sums[1, j] += value * value
                    sums[2, j] += 1.0 if inside else 0.0
        for j in range(cols):
            centre: Any = np.float64(padded[i + halo[0], j + halo[1]])
            if math.isnan(centre):
                out[i, j] = np.nan
            elif centre >= bright and _bright(padded, i + halo[0], j + halo[1], bright) > 4:
                out[i, j] = centre
            elif sums[2, j] == 0.0:
                out[i, j] = prior[j]
            else:
                mean, variance = _moments(sums, j)
                out[i, j] = _weighed(centre, mean, variance, within[2])


@compiled
def _bright(padded: Singles, row: int, col: int, bright: float) -> int:
    number = 0
    for i in range(row - 1, row + 2):
        for j in range(col - 1, col + 2):
            number += 1 if padded[i, j] >= bright else 0
    return number
