"""Correlation where pixels are missing: six sums of products instead of one (Padfield 2012)."""
# ruff: noqa: PLR0917  compiled functions take their arguments by position

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.ot.correlation import FLAT
from sensetrack.ot.engine.compiling import compiled_loose
from sensetrack.ot.engine.peaks import MISSING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

CROSS, SUM_A, SQUARE_A, COUNT, SUM_B, SQUARE_B = range(6)
"""Sums, over the pixels valid in both, of a b, a, a^2, 1, b and b^2; a: chip, b: area."""
PLANES = 6


@compiled_loose
def fill(wanted: Array, values: Array, ring: Array, slot: int) -> None:
    """Write values[k] to all of ring[k, slot], (blocks, slots, n): what no shift changes needs no correlation."""
    for k in range(wanted.size):
        if wanted[k]:
            line = ring[k, slot]
            for p in range(line.size):
                line[p] = values[k]


@compiled_loose
def normalise(
    planes: Array,
    wanted: Array,
    torn: Array,
    count: Array,
    total: Array,
    scale: Array,
    top: Array,
    left: Array,
    rows: int,
    cols: int,
    pitch: int,
    least: float,
) -> None:
    """Turn the six sums into correlations, written over the first.

    Parameters
    ----------
    planes : ndarray of float32
        (6, chips, rows * pitch). COUNT, SUM_B and SQUARE_B are used of torn chips only.
    torn : ndarray of uint8
        (chips): 1 where pixels of the chip itself are missing. For the others count, sum and spread of the area
        are those of all its valid pixels, from tables.
    count, total, scale : ndarray of float32
        These tables, of `surfaces.tabulate`.
    top, left : ndarray of int64
        (chips): where a chip lies in the tables at its first shift.
    least : float
        Number of pixels that must be valid in both.
    """
    one = np.float32(1)
    for i in range(wanted.size):
        if not wanted[i]:
            continue
        for u in range(rows):
            at = u * pitch
            cross, sum_a = planes[CROSS, i, at : at + cols], planes[SUM_A, i, at : at + cols]
            square_a = planes[SQUARE_A, i, at : at + cols]
            number, sum_b = planes[COUNT, i, at : at + cols], planes[SUM_B, i, at : at + cols]
            spread = planes[SQUARE_B, i, at : at + cols]
            if torn[i]:
                for v in range(cols):
                    safe = max(number[v], one)
                    power = spread[v] - sum_b[v] * sum_b[v] / safe
                    spread[v] = one / math.sqrt(power) if power > np.float32(FLAT) * safe else np.float32(0)
            else:
                number = count[top[i] + u, left[i] : left[i] + cols]
                sum_b = total[top[i] + u, left[i] : left[i] + cols]
                spread = scale[top[i] + u, left[i] : left[i] + cols]
            for v in range(cols):
                safe = max(number[v], one)
                power = square_a[v] - sum_a[v] * sum_a[v] / safe
                textured = power > np.float32(FLAT) * safe and spread[v] > 0 and number[v] >= least
                factor = spread[v] / math.sqrt(power) if textured else np.float32(0)
                value = (cross[v] - sum_a[v] * sum_b[v] / safe) * factor
                cross[v] = min(max(value, -one), one) if textured else MISSING
            for v in range(at + cols, at + pitch):
                planes[CROSS, i, v] = MISSING


@compiled_loose
def cut(
    a: Array,
    mask_a: Array,
    gone: Array,
    row: Array,
    col: Array,
    top: Array,
    left: Array,
    side: int,
    chips: Array,
    lasting: Array,
) -> None:
    """Cut chips, and keep the pixels that are valid together with all their partners at side x side shifts.

    Parameters
    ----------
    a, mask_a : ndarray of float32
        Pixels and 1 where they are valid.
    gone : ndarray of int32
        Running sums of the missing pixels of the area.
    row, col, top, left : ndarray of int64
        (n): place of each chip in `a`, and of its first partner in `gone`.
    chips, lasting : ndarray of float32
        (n, h, w), written: pixels that are kept, 0 elsewhere; 1 where they are kept.
    """
    for k in range(row.size):
        for y in range(chips.shape[1]):
            above_at, at = top[k] + y, left[k]
            above, below = gone[above_at, at:], gone[above_at + side, at:]
            above_end, below_end = gone[above_at, at + side :], gone[above_at + side, at + side :]
            pixels, valid = a[row[k] + y, col[k] :], mask_a[row[k] + y, col[k] :]
            chip, lasts = chips[k, y], lasting[k, y]
            for x in range(chip.size):
                count = (below_end[x] - below[x]) - (above_end[x] - above[x])
                kept = valid[x] if count == 0 else np.float32(0)
                lasts[x] = kept
                chip[x] = pixels[x] * kept
