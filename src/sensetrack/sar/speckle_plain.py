"""The speckle filters without a compiler: the same definitions, one array operation for each pixel of the window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.sar.half_windows import SURE, half_windows, sub_windows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    Singles = NDArray[np.float32]
    Doubles = NDArray[np.float64]
    Pair = tuple[int, int]


def by_window(padded: Singles, halo: Pair, looks: float, code: int, out: Singles) -> None:
    """Filter by mean and variance of the whole window."""
    centre = _at(padded, halo, (0, 0))
    mean, variance = _moments(padded, halo, _window(halo))
    if code == 0:
        found = mean
    elif code == 1:
        found = _weighed(centre, mean, variance, 1 / looks)
    else:
        found = _most_likely(centre, mean, variance, looks)
    out[...] = np.where(np.isnan(centre), np.nan, found)


def refined_lee(padded: Singles, halo: Pair, variation: float, out: Singles) -> None:
    """Filter by the half window on the pixel's side of an edge, where the window varies more than speckle does."""
    centre, side = _at(padded, halo, (0, 0)), _sides(padded, halo)
    first, last = half_windows(halo)
    mean, variance = _moments(padded, halo, _window(halo))
    number = sum(np.isfinite(_at(padded, halo, place)).astype(float) for place in _window(halo))
    with np.errstate(all="ignore"):
        flat = variance <= mean * mean * variation * (1 + SURE * np.sqrt(2 * (1 + variation) / number))
    out[...] = _weighed(centre, mean, variance, variation)
    for which in range(8):
        rows = zip(range(-halo[0], halo[0] + 1), first[which].tolist(), last[which].tolist(), strict=True)
        places = [(row, col) for row, start, stop in rows for col in range(start, stop + 1)]
        mean, variance = _moments(padded, halo, places)
        np.copyto(out, _weighed(centre, mean, variance, variation), where=(side == which) & ~flat, casting="same_kind")
    out[np.isnan(centre)] = np.nan


def frost(padded: Singles, halo: Pair, damping: float, out: Singles) -> None:
    """Weigh pixels by their distance, the more the window varies."""
    mean, variance = _moments(padded, halo, _window(halo))
    fall = damping * np.divide(variance, mean * mean, out=np.zeros_like(mean), where=mean != 0)
    total, weight = np.zeros(out.shape), np.zeros(out.shape)
    for place in _window(halo):
        value = _at(padded, halo, place)
        known = np.isfinite(value)
        one = np.where(known, np.exp(-fall * np.hypot(*place)), 0)
        total += one * np.where(known, value, 0)
        weight += one
    centre = _at(padded, halo, (0, 0))
    out[...] = np.divide(total, weight, out=np.full(out.shape, np.nan), where=np.isfinite(centre))


def lee_sigma(padded: Singles, halo: Pair, variation: float, within: Any, bright: float, out: Singles) -> None:  # noqa: PLR0917
    """Filter by mean and variance of the pixels of the window that may be speckle of the same ground."""
    centre = _at(padded, halo, (0, 0))
    prior = _weighed(centre, *_moments(padded, halo, _window((1, 1))), variation)
    total, square, number = np.zeros(out.shape), np.zeros(out.shape), np.zeros(out.shape)
    for place in _window(halo):
        value = _at(padded, halo, place)
        inside = (value >= within[0] * prior) & (value <= within[1] * prior)
        value = np.where(inside, value, 0)
        total += value
        square += value * value
        number += inside
    with np.errstate(all="ignore"):
        mean = total / number
        found = _weighed(centre, mean, np.maximum(square / number - mean * mean, 0), within[2])
    near = sum((_at(padded, halo, place) >= bright).astype(int) for place in _window((1, 1)))
    found = np.where(number == 0, prior, found)
    found = np.where((centre >= bright) & (near > 4), centre, found)
    out[...] = np.where(np.isnan(centre), np.nan, found)


def _window(halo: Pair) -> Iterator[Pair]:
    return ((row, col) for row in range(-halo[0], halo[0] + 1) for col in range(-halo[1], halo[1] + 1))


def _at(padded: NDArray[Any], halo: Pair, place: Pair) -> Doubles:
    """Return the image, seen from `place` rows and columns away."""
    top, left = halo[0] + place[0], halo[1] + place[1]
    rows, cols = padded.shape[0] - 2 * halo[0], padded.shape[1] - 2 * halo[1]
    return padded[top : top + rows, left : left + cols].astype(np.float64)


def _moments(padded: NDArray[Any], halo: Pair, places: Iterable[Pair]) -> tuple[Doubles, Doubles]:
    """Mean and variance of what was measured at some places around each pixel."""
    shape = padded.shape[0] - 2 * halo[0], padded.shape[1] - 2 * halo[1]
    total, square, number = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for place in places:
        value = _at(padded, halo, place)
        known = np.isfinite(value)
        value = np.where(known, value, 0)
        total += value
        square += value * value
        number += known
    with np.errstate(all="ignore"):
        mean = total / number
        return mean, np.maximum(square / number - mean * mean, 0)


def _weighed(centre: Doubles, mean: Doubles, variance: Doubles, speckle: float) -> Doubles:
    ground = (variance - mean * mean * speckle) / (1 + speckle)
    keep = np.divide(ground, variance, out=np.zeros_like(mean), where=ground > 0)
    return np.asarray(mean + np.where(ground > 0, keep * (centre - mean), 0))


def _most_likely(centre: Doubles, mean: Doubles, variance: Doubles, looks: float) -> Doubles:
    speckle = 1 / looks
    with np.errstate(all="ignore"):
        varies = variance / (mean * mean)
        order = (1 + speckle) / (varies - speckle)
        half = order - looks - 1
        root = mean * mean * half * half + 4 * order * looks * mean * np.maximum(centre, 0)
        found = (half * mean + np.sqrt(root)) / (2 * order)
    found = np.where(varies >= 2 * speckle, centre, found)
    return np.where(~(mean > 0) | (varies <= speckle), mean, found)


def _sides(padded: Singles, halo: Pair) -> NDArray[np.int64]:
    """Choose the half window of each pixel: cut along the strongest edge, on the side more like the middle."""
    (sub_down, step_down), (sub_across, step_across) = sub_windows(halo[0]), sub_windows(halo[1])
    means = _moments(padded, (sub_down, sub_across), _window((sub_down, sub_across)))[0].astype(np.float32)
    step = step_down, step_across
    middle = _at(means, step, (0, 0)).astype(np.float32)

    def towards(row: int, col: int) -> Singles:
        there = _at(means, step, (row * step[0], col * step[1])).astype(np.float32)
        return np.where(np.isnan(there), middle, there)

    nw, n, ne, w, e, sw, s, se = (towards(*to) for to in (
        (-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)
    ))  # fmt: skip
    edges = np.abs(np.stack([
        ne + e + se - nw - w - sw, nw + n + ne - sw - s - se, n + ne + e - w - sw - s, nw + n + w - e - s - se
    ]))  # fmt: skip
    pairs = np.stack([np.abs(a - middle) >= np.abs(b - middle) for a, b in ((e, w), (n, s), (ne, sw), (nw, se))])
    strongest = np.where(np.isnan(edges), -1, edges).argmax(axis=0)
    second = np.take_along_axis(pairs, strongest[None], axis=0)[0]
    return np.asarray(2 * strongest + second)
