"""The last resort, where nothing can be compiled: OpenCV's template matching, one chip at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from sensetrack.ot.correlation import FLAT
from sensetrack.ot.engine.task import TileMatch, covariance, states
from sensetrack.ot.engine.valid import validity
from sensetrack.ot.matching import match_chips
from sensetrack.ot.peak import MARGIN, Peaks, find_peaks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.ot.engine.task import Task
    from sensetrack.ot.peak import Subpixel


def correlate(task: Task, subpixel: Subpixel) -> TileMatch:
    """Find the peaks of all posts of a tile."""
    rows = [_row(task, i, _powers(task, i), subpixel) for i in range(task.posts[0])]
    peaks = Peaks(*(np.stack(layer) for layer in zip(*rows, strict=True)))
    state = states(peaks.missing, peaks.at_edge, validity(task).share, task.min_valid)
    spread = covariance(peaks.score, peaks.curvature, task.chip[0] * task.chip[1])
    return TileMatch(peaks.row, peaks.col, peaks.score, peaks.snr, peaks.peak_ratio, spread, state)


def _windows(task: Task, image: NDArray[Any], i: int, margin: tuple[int, int]) -> NDArray[Any]:
    """Windows of an image for row i of the posts, (posts across, h + 2 margin, w + 2 margin)."""
    size = tuple(chip + 2 * more for chip, more in zip(task.chip, margin, strict=True))
    line = image[i * task.step[0] : i * task.step[0] + size[0]]
    return np.lib.stride_tricks.sliding_window_view(line, size)[0, :: task.step[1]][: task.posts[1]]


def _powers(task: Task, i: int) -> NDArray[np.float64]:
    """Return the summed square deviations of the pixels under a chip at every place of the areas of a row."""
    (h, w), reach = task.chip, task.search[0] + MARGIN
    line = task.secondary[i * task.step[0] : i * task.step[0] + h + 2 * reach]
    sums, squares = (
        part[h:, w:] - part[:-h, w:] - part[h:, :-w] + part[:-h, :-w]
        for part in cv2.integral2(np.ascontiguousarray(line), sdepth=cv2.CV_64F, sqdepth=cv2.CV_64F)
    )
    return np.asarray(squares - sums**2 / (h * w))


def _row(task: Task, i: int, powers: NDArray[np.float64], subpixel: Subpixel) -> Peaks:
    margin = task.search[0] + MARGIN, task.search[1] + MARGIN
    chips, areas = _windows(task, task.reference, i, (0, 0)), _windows(task, task.secondary, i, margin)
    chips_valid, areas_valid = (
        np.ones(windows.shape, bool) if valid is None else _windows(task, valid, i, reach)
        for windows, valid, reach in (
            (chips, task.reference_valid, (0, 0)),
            (areas, task.secondary_valid, margin),
        )
    )
    wanted = np.ones(len(chips), bool) if task.wanted is None else task.wanted[i]
    clean = wanted & chips_valid.all(axis=(1, 2)) & areas_valid.all(axis=(1, 2))
    shape = 2 * margin[0] + 1, 2 * margin[1] + 1
    surfaces = np.full((len(chips), *shape), np.nan, np.float32)
    for j in np.flatnonzero(clean):
        left = j * task.step[1]
        power = powers[:, left : left + shape[1]]
        surfaces[j] = _surface(chips[j], areas[j], power)
    within = None if task.within is None else task.within[:, i].T
    peaks = find_peaks(surfaces, task.search, subpixel, within=within)
    partial = wanted & ~clean
    if partial.any():
        rest = match_chips(
            chips[partial], chips_valid[partial], areas[partial], areas_valid[partial],
            search=task.search, min_valid=task.min_valid, within=None if within is None else within[partial],
        )  # fmt: skip
        for every, part in zip(peaks, rest, strict=True):
            every[partial] = part
    return peaks


def _surface(chip: NDArray[np.float32], area: NDArray[np.float32], power: NDArray[np.float64]) -> NDArray[Any]:
    """Correlate a chip with its area; NaN where one side is flat."""
    level = chip.mean(dtype=float)
    centred = (chip - level).astype(np.float32)
    own, least = float(np.square(centred, dtype=float).sum()), FLAT * chip.size
    if own <= least:
        return np.full(power.shape, np.nan)
    # The chip has mean 0, so that what is taken off the area changes nothing but the rounding.
    cross = cv2.matchTemplate((area - level).astype(np.float32), centred, cv2.TM_CCORR)
    textured = power > least
    return np.where(textured, np.clip(cross / np.sqrt(np.where(textured, power * own, 1)), -1, 1), np.nan)
