"""The inner loops of coherent matching: fringes and peaks of complex surfaces, one chip at a time.

A chip's surface is the sum of those of its blocks; with fringes taken away, of each turned by the phase of the fringes
at its middle.
"""
# ruff: noqa: PLR0917  compiled functions take their arguments by position

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.sar.coherent_kernels import COL, COL_FRINGE, EXCESS, HEIGHT, REACH, ROW, ROW_FRINGE
from sensetrack.sar.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

SIDE = 2 * REACH + 1
NOTHING, FOUND, EDGE = 0, 1, 2
_MARGIN = 4.0
"""By how much more than chance would fringes must explain to be taken away, in logarithms."""
_SLIGHT = 3.0
"""The same for frequencies next to none at all."""
_BESIDE = 2.0
"""Logarithm of the number of samples that a peak beside a known one may be at."""
_CLOSE = 1e-4
"""A step of Newton's, in samples, after which another one changes nothing."""
_UNEVEN = 2.0
"""Most that shifts of a patch may differ by in their pixels."""
_CLOSER = 0.3
"""Second step of a search for a frequency against the first."""
_TURNS = 9
"""Steps of Newton's at the most."""


@compiled
def _fringes(real: Array, imaginary: Array, slots: Array, first: int, at: int, waves: Any, room: Array) -> Any:
    """Frequency at which the sums of a chip's blocks at one shift agree best, its squared sum, and that at 0.

    Parameters
    ----------
    real, imaginary : ndarray of float32
        (blocks across, slots, n).
    slots : ndarray of int64
        (blocks of a chip down): where its rows of blocks are kept.
    waves : tuple of four ndarray of float32
        Real and imaginary part of exp(-2 pi i f x) at the blocks, down (frequencies, blocks) and across.
    room : ndarray of float32
        (2, frequencies down, blocks across).
    """
    down_re, down_im, across_re, across_im = waves
    for f in range(down_re.shape[0]):
        for c in range(across_re.shape[1]):
            re, im = np.float32(0), np.float32(0)
            for r in range(slots.size):
                x, y = real[first + c, slots[r], at], imaginary[first + c, slots[r], at]
                re += x * down_re[f, r] - y * down_im[f, r]
                im += x * down_im[f, r] + y * down_re[f, r]
            room[0, f, c], room[1, f, c] = re, im
    best, still, at_f, at_g = np.float32(-1), np.float32(0), 0, 0
    for f in range(down_re.shape[0]):
        for g in range(across_re.shape[0]):
            re, im = np.float32(0), np.float32(0)
            for c in range(across_re.shape[1]):
                re += room[0, f, c] * across_re[g, c] - room[1, f, c] * across_im[g, c]
                im += room[0, f, c] * across_im[g, c] + room[1, f, c] * across_re[g, c]
            power = re * re + im * im
            if power > best:
                best, at_f, at_g = power, f, g
            if f == down_re.shape[0] // 2 and g == across_re.shape[0] // 2:
                still = power
    return best, still, at_f, at_g


@compiled
def _sum_at(real: Array, imaginary: Array, slots: Array, first: int, at: int, places: Any, by: Any) -> float:
    """Squared sum of a chip's blocks at one shift with fringes of given frequencies taken away."""
    re, im = 0.0, 0.0
    for r in range(slots.size):
        for c in range(places[1].size):
            angle = -2 * math.pi * (by[0] * places[0][r] + by[1] * places[1][c])
            x, y = real[first + c, slots[r], at], imaginary[first + c, slots[r], at]
            re += x * math.cos(angle) - y * math.sin(angle)
            im += x * math.sin(angle) + y * math.cos(angle)
    return re * re + im * im


@compiled
def _top(left: float, middle: float, right: float) -> float:
    """Vertex of a parabola through three samples, in samples from the middle one."""
    bend = left - 2 * middle + right
    return min(max((left - right) / (2 * bend), -0.5), 0.5) if bend < 0 else 0.0


@compiled
def _between(real: Array, imaginary: Array, slots: Array, first: int, at: int, places: Any, by: Any, apart: Any) -> Any:
    """Refine frequencies of fringes that a search at frequencies `apart` has found; also return the squared sum."""
    row, col = by
    middle = _sum_at(real, imaginary, slots, first, at, places, (row, col))
    best, found = middle, by
    wide = 1.0
    for _ in range(2):
        left = _sum_at(real, imaginary, slots, first, at, places, (row - wide * apart[0], col))
        right = _sum_at(real, imaginary, slots, first, at, places, (row + wide * apart[0], col))
        up = _sum_at(real, imaginary, slots, first, at, places, (row, col - wide * apart[1]))
        down = _sum_at(real, imaginary, slots, first, at, places, (row, col + wide * apart[1]))
        row += wide * apart[0] * _top(left, middle, right)
        col += wide * apart[1] * _top(up, middle, down)
        middle = _sum_at(real, imaginary, slots, first, at, places, (row, col))
        if middle > best:
            best, found = middle, (row, col)
        wide *= _CLOSER
    return found[0], found[1], best


@compiled
def _patch(real: Array, imaginary: Array, slots: Array, first: int, start: int, pitch: int, places: Any, by: Any,
           out: Array) -> None:  # fmt: skip
    """Sum a chip's blocks, fringes taken away, at the shifts of a patch that begins at `start`."""
    out[:] = 0
    for c in range(places[1].size):
        for r in range(slots.size):
            angle = -2 * math.pi * (by[0] * places[0][r] + by[1] * places[1][c])
            cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
            re, im = real[first + c, slots[r]], imaginary[first + c, slots[r]]
            for u in range(SIDE):
                at = start + u * pitch
                for v in range(SIDE):
                    out[0, u, v] += re[at + v] * cos - im[at + v] * sin
                    out[1, u, v] += re[at + v] * sin + im[at + v] * cos


@compiled
def _even(patch: Array, down: Array, across: Array) -> None:
    """Undo that a chip has more of its pixels in both images at some shifts than at others: peaks lean to those."""
    for u in range(SIDE):
        by_row = min(max(down[REACH] / down[u], 1 / _UNEVEN), _UNEVEN)
        for v in range(SIDE):
            factor = by_row * min(max(across[REACH] / across[v], 1 / _UNEVEN), _UNEVEN)
            patch[0, u, v] *= factor
            patch[1, u, v] *= factor


@compiled
def _centre(patch: Array, by: Any) -> None:
    """Turn a patch so that its spectrum is centred at zero."""
    for u in range(SIDE):
        for v in range(SIDE):
            angle = -2 * math.pi * (by[0] * (u - REACH) + by[1] * (v - REACH))
            cos, sin = math.cos(angle), math.sin(angle)
            re, im = patch[0, u, v], patch[1, u, v]
            patch[0, u, v], patch[1, u, v] = re * cos - im * sin, re * sin + im * cos


@compiled
def _weigh(place: float, table: Array, taps: Array) -> None:
    at = (place + 1) * ((table.shape[0] - 1) // 2)
    low = min(int(at), table.shape[0] - 2)
    share = at - low
    for i in range(4):
        for k in range(SIDE):
            taps[i, k] = table[low, i, k] * (1 - share) + table[low + 1, i, k] * share


@compiled
def _value(part: Array, by_row: Array, by_col: Array) -> float:
    total = 0.0
    for u in range(SIDE):
        line = 0.0
        for v in range(SIDE):
            line += part[u, v] * by_col[v]
        total += by_row[u] * line
    return total


@compiled
def _slopes(patch: Array, r: Array, c: Array) -> Any:
    """First and second derivatives (row, col; rr, cc, rc) of the squared magnitude of a patch between its samples."""
    row, col, rr, cc, rc = 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(2):
        part = patch[k]
        value = _value(part, r[0], c[0])
        by_row, by_col = _value(part, r[1], c[0]), _value(part, r[0], c[1])
        row += 2 * value * by_row
        col += 2 * value * by_col
        rr += 2 * (by_row * by_row + value * _value(part, r[2], c[0]))
        cc += 2 * (by_col * by_col + value * _value(part, r[0], c[2]))
        rc += 2 * (by_row * by_col + value * _value(part, r[1], c[1]))
    return row, col, rr, cc, rc


@compiled
def _guess(patch: Array, down: Array, across: Array, taps: Array) -> tuple[float, float]:
    """Place of the highest of the likelihoods at quarters of a sample around the middle."""
    best, row, col = -1.0, 0.0, 0.0
    for i in range(-3, 4):
        _weigh(i / 4, down, taps[0])
        for j in range(-3, 4):
            _weigh(j / 4, across, taps[1])
            re, im = _value(patch[0], taps[0, 0], taps[1, 0]), _value(patch[1], taps[0, 0], taps[1, 0])
            power = re * re + im * im
            if power > best:
                best, row, col = power, i / 4, j / 4
    return row, col


@compiled
def _climb(patch: Array, down: Array, across: Array, taps: Array) -> tuple[float, float, float]:
    """Place of the top of a patch against its middle, and the coherence there; by Newton's method."""
    row, col = _guess(patch, down, across, taps)
    for _ in range(_TURNS):
        _weigh(row, down, taps[0])
        _weigh(col, across, taps[1])
        by_row, by_col, rr, cc, rc = _slopes(patch, taps[0], taps[1])
        determinant = rr * cc - rc * rc
        if not (determinant > 0 and rr < 0):
            break
        step_row = min(max((cc * by_row - rc * by_col) / determinant, -0.2), 0.2)
        step_col = min(max((rr * by_col - rc * by_row) / determinant, -0.2), 0.2)
        row, col = min(max(row - step_row, -1.0), 1.0), min(max(col - step_col, -1.0), 1.0)
        if abs(step_row) + abs(step_col) < _CLOSE:
            break
    _weigh(row, down, taps[0])
    _weigh(col, across, taps[1])
    re, im = _value(patch[0], taps[0, 3], taps[1, 3]), _value(patch[1], taps[0, 3], taps[1, 3])
    return row, col, math.sqrt(re * re + im * im)


@compiled
def _choose(
    i: int, ring: Any, peaks: Array, near: Array, numbers: Any, slots: Array, first: Array, layout: Any, size: Any,
    chances: Any, room: Any,
) -> Any:  # fmt: skip
    """Choose between the highest sample of a surface and the one that is `near`, each with its fringes taken away.

    Returns minus the logarithm of the chance of such a peak in noise, the sample, and the frequencies of the fringes.
    """
    _, _, pitch, top, left = size
    samples, shifts, fringes = chances
    best, row, col = -1.0, int(peaks[i, ROW]), int(peaks[i, COL])
    by_row, by_col, unit, level = 0.0, 0.0, 0.0, np.float32(0)
    for turn in range(2):
        u = int(peaks[i, ROW]) if turn == 0 else near[i, 0]
        v = int(peaks[i, COL]) if turn == 0 else near[i, 1]
        if u < 0 or (turn == 1 and u == row and v == col):
            continue
        high, still, f, g = _fringes(ring[0], ring[1], slots, first[i], u * pitch + v, layout[0], room[0])
        scale = samples[i] * (numbers[0][i] * numbers[1][top + u, left[i] + v]) ** 2
        fringed = scale * (high - still) > fringes + _MARGIN
        chance = scale * high - fringes if fringed else scale * still
        chance -= shifts if turn == 0 else _BESIDE
        if chance > best:
            best, row, col, unit = chance, u, v, scale
            by_row, by_col = (layout[2][0][f], layout[2][1][g]) if fringed else (0.0, 0.0)
            level = high if fringed else still
    if best <= 0:
        return best, row, col, by_row, by_col
    found = _between(
        ring[0], ring[1], slots, first[i], row * pitch + col, layout[1], (by_row, by_col),
        (layout[2][0][1] - layout[2][0][0], layout[2][1][1] - layout[2][1][0]),
    )  # fmt: skip
    # Beside no fringes at all, a frequency that noise might have made as well is not taken.
    if by_row != 0 or by_col != 0 or unit * (found[2] - level) > _SLIGHT:
        by_row, by_col = found[0], found[1]
    return best, row, col, by_row, by_col


@compiled
def _cut(i: int, surfaces: Any, start: int, pitch: int, out: Array) -> None:
    """Copy a patch of normalised surfaces."""
    for u in range(SIDE):
        at = start + u * pitch
        for v in range(SIDE):
            out[0, u, v], out[1, u, v] = surfaces[0][i, at + v], surfaces[1][i, at + v]


@compiled
def refine(
    ring: Any,
    surfaces: Any,
    wanted: Array,
    near: Array,
    numbers: Any,
    slots: Array,
    first: Array,
    layout: Any,
    size: Any,
    chances: Any,
    shared: Any,
    room: Any,
    peaks: Array,
    states: Array,
) -> None:
    """Find the fringes and the top of each surface of a row of chips, around its highest sample or what is `near`.

    Parameters
    ----------
    ring : tuple of two ndarray of float32
        Real and imaginary sums of blocks, (blocks across, slots, rows * pitch).
    surfaces : tuple of two ndarray of float32
        From `judge`, (chips, rows * pitch).
    near : ndarray of int64
        (chips, 2): another sample, such as where the amplitude leads to; negative where there is none.
    numbers : tuple of two ndarray of float32
        (chips), (places down, places across): 1 / root of energies, as `judge` takes them.
    layout : tuple
        Waves down and across (4 arrays), places of blocks (2), frequencies (2), tables (2), centres (row, col).
    size : tuple
        Rows, columns, pitch; top and left of the chips in the tables.
    chances : tuple
        Independent samples of each chip; logarithm of the numbers of shifts and of fringes that are tried.
    shared : tuple of two ndarray of float64
        (chips, rows + 2 REACH), (chips, columns + 2 REACH): pixels in both images by shift, or 1.
    room : tuple of three ndarray
        For the spectrum of blocks, a patch and weights.
    """
    rows, cols, pitch, top, left = size
    _, places, _, tables, centres = layout
    _, patch, taps = room
    for i in range(wanted.size):
        if not wanted[i]:
            continue
        best, row, col, by_row, by_col = _choose(
            i, ring, peaks, near, numbers, slots, first, layout, size, chances, room
        )
        start = (row - REACH) * pitch + col - REACH
        if by_row != 0 or by_col != 0:
            _patch(ring[0], ring[1], slots, first[i], start, pitch, places, (by_row, by_col), patch)
            patch *= numbers[0][i] * numbers[1][top + row, left[i] + col]
        else:
            _cut(i, surfaces, start, pitch, patch)
        _even(patch, shared[0][i, row - REACH : row + REACH + 1], shared[1][i, col - REACH : col + REACH + 1])
        # Fringes move the band of one image against that of the other: the common one lies half way.
        _centre(patch, (centres[0] + by_row / 2, centres[1] + by_col / 2))
        d_row, d_col, height = _climb(patch, tables[0], tables[1], taps)
        rim = row == REACH or row == REACH + rows - 1 or col == REACH or col == REACH + cols - 1
        states[i] = EDGE if rim else FOUND
        peaks[i, ROW] = row - REACH - rows // 2 + d_row
        peaks[i, COL] = col - REACH - cols // 2 + d_col
        peaks[i, HEIGHT], peaks[i, EXCESS] = min(height, 1.0), best
        peaks[i, ROW_FRINGE], peaks[i, COL_FRINGE] = by_row, by_col
