"""The inner loops of coherent matching: complex surfaces, from sums of blocks to their highest sample.

A surface is a line of numbers as in `sensetrack.ot.engine.peaks`: rows one after the other, `pitch` apart.
"""
# ruff: noqa: PLR0917  compiled functions take their arguments by position

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.sar.compiling import compiled, compiled_loose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

REACH = 6
_NEAR = 2
"""Samples around a peak that belong to it when the rest of the surface is judged."""
ROW, COL, HEIGHT, NOISE, SECOND, ROW_FRINGE, COL_FRINGE, EXCESS = range(8)
"""Columns of a table of peaks: place of the top against the middle of the surface; coherence there; mean magnitude and
second peak of the surface; frequency of the fringes that were taken away, cycles a pixel; and how unlikely such a peak
is in pure noise, as minus the logarithm of its chance."""
FIELDS = 8


@compiled_loose
def combine(ring: Array, wanted: Array, slot: int) -> None:
    """Turn three products of blocks into the real and the imaginary part of the complex one.

    With chip a and area b the products are those of re a re b, im a im b and (re a + im a) (im b - re b).

    Parameters
    ----------
    ring : ndarray of float32
        (3, blocks, slots, n).
    """
    for k in range(wanted.size):
        if wanted[k]:
            one, two, mixed = ring[0, k, slot], ring[1, k, slot], ring[2, k, slot]
            for p in range(one.size):
                both = one[p] - two[p] + mixed[p]
                one[p] += two[p]
                two[p] = both


@compiled_loose
def _add(line: Array, total: Array) -> None:
    for p in range(total.size):
        total[p] += line[p]


@compiled_loose
def _add_four(a: Array, b: Array, c: Array, d: Array, total: Array) -> None:
    for p in range(total.size):
        total[p] += (a[p] + b[p]) + (c[p] + d[p])


@compiled
def _sum_lines(lines: Array, total: Array) -> None:
    """Sum (k, n) over k into (n), four lines at a time."""
    total[:] = 0
    k = 0
    while k + 4 <= lines.shape[0]:
        _add_four(lines[k], lines[k + 1], lines[k + 2], lines[k + 3], total)
        k += 4
    while k < lines.shape[0]:
        _add(lines[k], total)
        k += 1


@compiled
def add_up(ring: Array, first: Array, wanted: Array, columns: Array, out: Array) -> None:
    """Sum blocks into chips.

    Parameters
    ----------
    ring : ndarray of float32
        (blocks across, blocks of a chip down, n).
    first : ndarray of int64
        (chips): first block across of each.
    columns : ndarray of float32
        (blocks of a chip across, n), for sums down the blocks: those under one chip stay in the cache.
    out : ndarray of float32
        (chips, n), written.
    """
    number, done = columns.shape[0], 0
    for i in range(wanted.size):
        if wanted[i]:
            for c in range(max(done, first[i]), first[i] + number):
                _sum_lines(ring[c], columns[c % number])
            done = first[i] + number
            _sum_lines(columns, out[i])


@compiled_loose
def _magnitudes(real: Array, imaginary: Array, own: Any, spread: Array, out: Array) -> None:
    """Normalise a row of a surface in place, and write its squared magnitude."""
    for v in range(out.size):
        factor = own * spread[v]
        re, im = real[v] * factor, imaginary[v] * factor
        real[v], imaginary[v] = re, im
        out[v] = re * re + im * im


@compiled_loose
def _sum_roots(line: Array) -> Any:
    total = np.float32(0)
    for p in range(line.size):
        total += math.sqrt(line[p])
    return total


@compiled
def _highest(power: Array, rows: int, cols: int) -> tuple[int, int]:
    """Row and column of the highest sample within the search."""
    best, at_row, at_col = np.float32(-1), 0, 0
    for u in range(REACH, REACH + rows):
        line, top = power[u], np.float32(-1)
        for v in range(REACH, REACH + cols):
            top = max(top, line[v])
        if top > best:
            best, at_row = top, u
    for v in range(REACH, REACH + cols):
        if power[at_row, v] == best:
            at_col = v
            break
    return at_row, at_col


@compiled
def _second(power: Array, rows: int, cols: int, row: int, col: int) -> Any:
    """Highest of the summits away from a peak."""
    best = np.float32(0)
    for u in range(REACH, REACH + rows):
        above, line, below = power[u - 1], power[u], power[u + 1]
        for v in range(REACH, REACH + cols):
            value = line[v]
            if value <= best or (abs(u - row) <= _NEAR and abs(v - col) <= _NEAR):
                continue
            if value < line[v - 1] or value < line[v + 1]:
                continue
            around = max(above[v - 1], above[v], above[v + 1], below[v - 1], below[v], below[v + 1])
            best = value if value >= around else best
    return best


@compiled
def judge(
    real: Array,
    imaginary: Array,
    power: Array,
    wanted: Array,
    own: Array,
    spread: Array,
    top: int,
    left: Array,
    size: Any,
    peaks: Array,
) -> None:
    """Normalise the surfaces of a row of chips, find the highest sample of each, and judge the rest.

    Parameters
    ----------
    real, imaginary : ndarray of float32
        (chips, rows * pitch), the samples read and written.
    power : ndarray of float32
        (chips, rows, cols), written: squared magnitudes.
    own, spread : ndarray of float32
        (chips), (places down, places across): 1 / root of the energy of each chip and of the area under it.
    size : (int, int, int)
        Rows and columns that are searched, and pitch; surfaces reach `REACH` further.
    peaks : ndarray of float64
        (chips, FIELDS), written: ROW, COL are those of the sample.
    """
    rows, cols, pitch = size
    for i in range(wanted.size):
        if not wanted[i]:
            continue
        for u in range(rows + 2 * REACH):
            at, wide = u * pitch, cols + 2 * REACH
            under = spread[top + u, left[i] : left[i] + wide]
            _magnitudes(real[i, at : at + wide], imaginary[i, at : at + wide], own[i], under, power[i, u])
        row, col = _highest(power[i], rows, cols)
        total, number = 0.0, rows * cols
        for u in range(REACH, REACH + rows):
            total += _sum_roots(power[i, u, REACH : REACH + cols])
        for u in range(max(row - _NEAR, REACH), min(row + _NEAR + 1, REACH + rows)):
            for v in range(max(col - _NEAR, REACH), min(col + _NEAR + 1, REACH + cols)):
                total -= math.sqrt(power[i, u, v])
                number -= 1
        peaks[i, ROW], peaks[i, COL] = row, col
        peaks[i, NOISE] = total / max(number, 1)
        peaks[i, SECOND] = math.sqrt(_second(power[i], rows, cols, row, col))
