"""A tile of posts: cut into panels, levels chosen, peaks turned into what is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sensetrack.ot.engine import near, peaks, rows
from sensetrack.ot.engine.layout import Panel, panels
from sensetrack.ot.engine.panel import Chips, Part, Work, survey
from sensetrack.ot.engine.scratch import take
from sensetrack.ot.engine.task import Task, TileMatch, covariance, states
from sensetrack.ot.peak import locate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sensetrack.ot.peak import Subpixel

_FLOOR = 1e-3
"""Noise, and share of a peak that a second one counts at least, as in `sensetrack.ot.peak`."""
_DIGITS = 4.0
"""Spreads of a chip that its mean may lie from the level of its panel: float32 then keeps 1e-5 of a correlation."""


def correlate(task: Task, kernel: str, subpixel: Subpixel) -> TileMatch:
    """Find the peaks of all posts of a tile."""
    chips = survey(task)
    table = np.full((*task.posts, peaks.FIELDS), np.nan)
    outcome = np.full(task.posts, peaks.NOTHING, np.uint8)
    for box in panels(task.posts, task.chip, task.step, task.search):
        for part in _parts(chips, box):
            here, shape = (part.box.rows, part.box.cols), (*part.wanted.shape, peaks.SIDE, peaks.LANES)
            # Columns beyond the 13 of a patch are never written: they stay zero.
            found = rows.Found(table[here], outcome[here], take("patches", shape))
            _measure(Work(task, kernel, chips, part), found, subpixel)
    height, noise, second = (table[..., field] for field in (peaks.HEIGHT, peaks.NOISE, peaks.SECOND))
    snr = height / np.maximum(noise, _FLOOR)
    ratio = height / np.maximum(second, _FLOOR * np.maximum(height, _FLOOR))
    score = np.minimum(table[..., peaks.SCORE], 1)
    spread = covariance(score, table[..., peaks.BY_ROW : peaks.MIXED + 1], task.chip[0] * task.chip[1])
    state = states(outcome == peaks.NOTHING, outcome == peaks.EDGE, chips.validity.share, task.min_valid)
    return TileMatch(table[..., peaks.ROW], table[..., peaks.COL], score, snr, ratio, spread, state)


def _measure(work: Work, found: rows.Found, subpixel: Subpixel) -> None:
    rows.correlate(work, found)
    near.complete(work, found)
    n = work.wanted.size
    states = np.where(work.wanted, found.states, peaks.NOTHING).ravel()
    fields = np.ascontiguousarray(found.peaks).reshape(n, peaks.FIELDS)
    peaks.refine(found.patches.reshape(n, peaks.SIDE, peaks.LANES), states, peaks.table(), np.empty(peaks.ROOM), fields)
    if subpixel != "sinc":
        _relocate(found.patches.reshape(n, peaks.SIDE, peaks.LANES), states, subpixel, fields)
    found.peaks[...] = fields.reshape(found.peaks.shape)
    if work.partial.any():
        near.settle(work, found)


def _relocate(
    patches: NDArray[np.float32], states: NDArray[np.uint8], subpixel: Subpixel, fields: NDArray[np.float64]
) -> None:
    """Find the tops of patches by another method than the sinc's."""
    at = np.flatnonzero(states == peaks.FOUND)
    patch = patches[at, :, : peaks.SIDE].astype(float)
    row, col, score, curvature = locate(np.where(patch == peaks.MISSING, np.nan, patch), subpixel)
    fields[at, peaks.ROW], fields[at, peaks.COL] = fields[at, peaks.AT_ROW] + row, fields[at, peaks.AT_COL] + col
    fields[at, peaks.SCORE] = score
    fields[at, peaks.BY_ROW : peaks.MIXED + 1] = curvature


def _parts(chips: Chips, box: Panel) -> Iterator[Part]:
    """Part the posts of a panel by the level of their chips: mostly there is one part."""
    here = box.rows, box.cols
    left, mean, spread = chips.worth[here].copy(), chips.mean[here], chips.spread[here]
    while left.any():
        means = np.sort(mean[left])
        level = means[means.size // 2]
        suits = left & (np.abs(mean - level) <= _DIGITS * spread)
        down, across = (np.flatnonzero(suits.any(axis=axis)) for axis in (1, 0))
        inside = slice(down[0], down[-1] + 1), slice(across[0], across[-1] + 1)
        rows, cols = (slice(at.start + each.start, at.start + each.stop) for at, each in zip(here, inside, strict=True))
        yield Part(np.float32(level), Panel(rows, cols), np.ascontiguousarray(suits[inside]))
        left &= ~suits
