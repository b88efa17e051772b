"""Peaks of surfaces, compiled: the definitions of `sensetrack.ot.peak`, one surface at a time.

A surface is a line of numbers: its rows one after the other, each followed by one sample that is missing. So the
neighbours of a sample in the line are its neighbours on the surface, at the rim as well.
"""
# ruff: noqa: PLR0917  compiled functions take their arguments by position

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.ot.engine import compiling
from sensetrack.ot.engine.compiling import compiled, compiled_loose
from sensetrack.ot.peak import COPY, LOWEST, ROOT, tap_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

MISSING = np.float32(-2)
"""Marks a shift at which nothing can be said: fast code must not meet a NaN."""
_KNOWN = np.float32(-1.5)
"""Above `MISSING`, below every correlation."""
_CHUNK = 64
REACH = 6
"""`sensetrack.ot.peak.MARGIN`: samples of a patch on each side of a peak."""
SIDE = 2 * REACH + 1
LANES = 16
"""Columns of a patch and of its weights: the 13 that count, and zeros up to what vectors like."""
ROOM = 8 + SIDE, LANES
"""Shape of the array that `refine` works in: weights along both axes, and a patch."""
BESIDE = 16
"""Numbers before and after a line of samples, so that it begins with a line of the cache."""
_NEAR = 2
"""Samples around the peak that belong to it when the rest of the surface is judged."""
_CLOSE = 1e-4
"""A step of Newton's, in samples, after which another one changes nothing."""

ROW, COL, SCORE, BY_ROW, BY_COL, MIXED, AT_ROW, AT_COL, HEIGHT, NOISE, SECOND = range(11)
"""Columns of a table of peaks: place of the top, its height and second derivatives; the sample it is near; what SNR
and peak ratio compare: height, mean magnitude and second peak. Places count from the middle of a surface."""
FIELDS = 11
NOTHING, FOUND, EDGE, OPEN = range(4)
"""What became of a surface: it has no sample, a peak, a peak on the edge of the search or of what is known, a peak
whose patch reaches beyond the surface."""


@cache
def table() -> NDArray[np.float64]:
    """Return the weights of the interpolator of `sensetrack.ot.peak`, in `LANES` columns."""
    weights = tap_table()
    out = np.zeros((*weights.shape[:2], LANES))
    out[:, :, :SIDE] = weights
    return out


@compiled_loose
def _highest(bits: Array) -> Any:
    """Highest of numbers that are not negative, as bits: these sort like integers, and integers like vectors."""
    best = np.int32(0)
    for p in range(bits.size):
        best = max(best, bits[p])
    return best


@compiled_loose
def _first(line: Array, value: Any) -> int:
    """Place of the first number that equals `value`; there must be one."""
    start = 0
    while start + _CHUNK <= line.size:
        chunk, hits = line[start : start + _CHUNK], np.int32(0)
        for p in range(_CHUNK):
            hits |= np.int32(chunk[p] == value)
        if hits:
            break
        start += _CHUNK
    while line[start] != value:
        start += 1
    return start


@compiled_loose
def _magnitude(line: Array) -> tuple[Any, Any]:
    """Sum of magnitudes, and number, of the samples that are known."""
    total, number = np.float32(0), np.int32(0)
    for p in range(line.size):
        known = line[p] > _KNOWN
        total += abs(line[p]) if known else np.float32(0)
        number += np.int32(known)
    return total, number


@compiled_loose
def _keep_summits(surface: Array, pitch: int, columns: Array, summits: Array) -> None:
    """Keep the samples that are at least as high as their neighbours and at least 0; the others become 0."""
    n = surface.size
    # The highest of each sample and those above and below it, with places to spare at both ends.
    middle = columns[BESIDE : BESIDE + n]
    for p in range(pitch):
        middle[p] = max(surface[p], surface[p + pitch])
        middle[n - pitch + p] = max(surface[n - pitch + p], surface[n - 2 * pitch + p])
    inner, here, below = middle[pitch:], surface[pitch:], surface[2 * pitch :]
    for p in range(n - 2 * pitch):
        pair = max(surface[p], here[p])
        inner[p] = max(pair, below[p])
    columns[BESIDE - 1] = MISSING
    columns[BESIDE + n] = MISSING
    left, right = columns[BESIDE - 1 : BESIDE + n - 1], columns[BESIDE + 1 : BESIDE + n + 1]
    for p in range(n):
        pair = max(left[p], middle[p])
        around = max(pair, right[p])
        summits[p] = surface[p] if surface[p] >= around else np.float32(0)


@compiled
def _where(surface: Array, bits: Array) -> int:
    """Place of the first highest sample; `bits` are those of its summits."""
    best = _highest(bits)
    if best > 0:
        return _first(bits, best)
    at = 0  # nothing is above 0
    for p in range(1, surface.size):
        at = p if surface[p] > surface[at] else at
    return at


@compiled
def _lowest_beside(surface: Array, pitch: int, at: int) -> Any:
    """Lowest of a sample inside the rim and its eight neighbours."""
    lowest = surface[at]
    for start in range(at - pitch - 1, at + pitch, pitch):
        for p in range(start, start + 3):
            lowest = min(lowest, surface[p])
    return lowest


@compiled
def _cut(surface: Array, rows: int, cols: int, extra: int, within: Array, inner: Array) -> None:
    """Copy what is searched of a surface that reaches `extra` samples further on every side; the rest is missing."""
    for u in range(rows):
        start = (u + extra) * (cols + 2 * extra + 1) + extra
        line, source = inner[u * (cols + 1) : (u + 1) * (cols + 1)], surface[start : start + cols]
        for v in range(cols):
            line[v] = source[v] if within[0] <= u <= within[1] and within[2] <= v <= within[3] else MISSING
        line[cols] = MISSING


@compiled
def locate(
    surfaces: Array,
    wanted: Array,
    within: Array,
    rows: int,
    cols: int,
    extra: int,
    columns: Array,
    summits: Array,
    bits: Array,
    inner: Array,
    peaks: Array,
    states: Array,
    patches: Array,
) -> None:
    """Find the highest sample of each wanted surface, judge the rest, and copy what is around it.

    Where that reaches beyond the surface the state is OPEN, and the patch is left to the caller.

    Parameters
    ----------
    surfaces : ndarray of float32
        (chips, (rows + 2 extra) * (cols + 2 extra + 1)) or more columns.
    wanted : ndarray of uint8
        (chips).
    within : ndarray of int64
        (chips, 4): first row, last row, first column and last column of the samples that are searched; or (1, 4).
    rows, cols : int
        Samples that may be searched.
    extra : int
        Samples beyond them on every side of the surfaces, for patches only: 0 or `REACH`.
    columns, summits, bits, inner : ndarray
        (rows * (cols + 1) + 2 BESIDE) and three times (rows * (cols + 1)): room to work in; `bits` is `summits` seen
        as int32.
    peaks : ndarray of float64
        (chips, FIELDS), written.
    states : ndarray of uint8
        (chips), written.
    patches : ndarray of float32
        (chips, SIDE, LANES), written.
    """
    pitch, wide = cols + 1, cols + 2 * extra + 1
    cut = (
        extra > 0 or within.shape[0] > 1 or within[0, 1] - within[0, 0] + within[0, 3] - within[0, 2] < rows + cols - 2
    )
    for i in range(wanted.size):
        if not wanted[i]:
            continue
        surface, peak = surfaces[i, : (rows + 2 * extra) * wide], peaks[i]
        if cut:
            _cut(surfaces[i], rows, cols, extra, within[i % within.shape[0]], inner)
            surface = inner
        _keep_summits(surface, pitch, columns, summits)
        at = _where(surface, bits)
        height, row, col = surface[at], at // pitch, at % pitch
        if height < _KNOWN:
            states[i] = NOTHING
            continue
        noise, number = _magnitude(surface)
        for u in range(max(row - _NEAR, 0), min(row + _NEAR + 1, rows)):
            for p in range(u * pitch + max(col - _NEAR, 0), u * pitch + min(col + _NEAR + 1, cols)):
                summits[p] = 0
                if surface[p] > _KNOWN:
                    noise -= abs(surface[p])
                    number -= 1
        peak[AT_ROW], peak[AT_COL] = row - rows // 2, col - cols // 2
        peak[ROW], peak[COL], peak[SCORE] = peak[AT_ROW], peak[AT_COL], height
        peak[BY_ROW], peak[BY_COL], peak[MIXED] = math.nan, math.nan, math.nan
        peak[HEIGHT], peak[NOISE] = height, noise / max(number, 1)
        bits[0] = _highest(bits)
        peak[SECOND] = summits[0]
        rim = row == 0 or row == rows - 1 or col == 0 or col == cols - 1
        if rim or _lowest_beside(surface, pitch, at) < _KNOWN:
            states[i] = EDGE
        elif extra == 0 and (row < REACH or row >= rows - REACH or col < REACH or col >= cols - REACH):
            states[i] = OPEN
        else:
            states[i] = FOUND
            for u in range(SIDE):
                start = (row + extra + u - REACH) * wide + col + extra - REACH
                for v in range(SIDE):
                    patches[i, u, v] = surfaces[i, start + v]


@compiled_loose
def _weigh(place: float, table: Array, taps: Array) -> None:
    """Weights of the samples at -6..6 at `place`; see `sensetrack.ot.peak.tap_table`."""
    at = (place + 1) * ((table.shape[0] - 2) // 2)
    low = int(at)
    share = at - low
    for i in range(4):
        for k in range(LANES):
            taps[i, k] = table[low, i, k] * (1 - share) + table[low + 1, i, k] * share


@compiled_loose
def _take_root(patch: Array, root: Array) -> None:
    """Write the surface on which a peak's place is looked for; see `sensetrack.ot.peak.ROOT`.

    To seven digits, and in one line of numbers: so it is done in vectors.
    """
    samples, roots = patch.reshape(-1), root.reshape(-1)
    for k in range(samples.size):
        roots[k] = np.float64(math.sqrt(np.float32(max(samples[k] + ROOT, LOWEST))))


@compiled_loose
def _height(patch: Array, by_row: Array, by_col: Array) -> float:
    """Value of a surface between its samples, nothing faded."""
    height = 0.0
    for k in range(LANES):
        value = 0.0
        for j in range(SIDE):
            value += by_row[3, j] * patch[j, k]
        height += by_col[3, k] * value
    return height


@compiled_loose
def _jet(patch: Array, by_row: Array, by_col: Array) -> tuple[float, float, float, float, float, float]:
    """Value, slopes and second derivatives (row, col, mixed) of a surface between its samples, fine detail faded."""
    height, slope_row, slope_col, rr, cc, rc = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(LANES):
        value, slope, bend = 0.0, 0.0, 0.0
        for j in range(SIDE):
            sample = patch[j, k]
            value += by_row[0, j] * sample
            slope += by_row[1, j] * sample
            bend += by_row[2, j] * sample
        height += by_col[0, k] * value
        slope_row += by_col[0, k] * slope
        slope_col += by_col[1, k] * value
        rr += by_col[0, k] * bend
        cc += by_col[2, k] * value
        rc += by_col[1, k] * slope
    return height, slope_row, slope_col, rr, cc, rc


@compiled
def refine(patches: Array, states: Array, table: Array, room: Array, peaks: Array) -> None:
    """Find the top of each patch that is FOUND: by Newton's method, or a parabola where samples are missing.

    Parameters
    ----------
    patches : ndarray of float32
        (chips, SIDE, LANES).
    states : ndarray of uint8
        (chips).
    table : ndarray of float64
        From `table`.
    room : ndarray of float64
        `ROOM`, to work in.
    peaks : ndarray of float64
        (chips, FIELDS), read and written.
    """
    m, by_row, by_col, root = REACH, room[:4], room[4:8], room[8:]
    for i in range(states.size):
        if states[i] != FOUND:
            continue
        patch, peak, gaps = patches[i], peaks[i], 0
        for u in range(SIDE):
            for v in range(LANES):
                gaps += 1 if patch[u, v] < _KNOWN else 0
        height = 1.0 * patch[m, m]
        rr, cc = patch[m - 1, m] - 2 * height + patch[m + 1, m], patch[m, m - 1] - 2 * height + patch[m, m + 1]
        rc = (patch[m - 1, m - 1] + patch[m + 1, m + 1] - patch[m - 1, m + 1] - patch[m + 1, m - 1]) / 4
        row = (patch[m - 1, m] - patch[m + 1, m]) / (2 * rr) if rr < 0 else 0.0
        col = (patch[m, m - 1] - patch[m, m + 1]) / (2 * cc) if cc < 0 else 0.0
        if height >= COPY:
            row, col = 0.0, 0.0
        elif gaps == 0:
            row, col = min(max(row, -0.6), 0.6), min(max(col, -0.6), 0.6)
            _take_root(patch, root)
            for _ in range(6):
                _weigh(row, table, by_row)
                _weigh(col, table, by_col)
                top, slope_row, slope_col, rr, cc, rc = _jet(root, by_row, by_col)
                determinant = rr * cc - rc * rc
                step_row, step_col = 0.0, 0.0
                if determinant > 0 and rr < 0:
                    step_row = min(max((cc * slope_row - rc * slope_col) / determinant, -0.5), 0.5)
                    step_col = min(max((rr * slope_col - rc * slope_row) / determinant, -0.5), 0.5)
                row = min(max(row - step_row, -0.99), 0.99)
                col = min(max(col - step_col, -0.99), 0.99)
                if abs(step_row) + abs(step_col) < _CLOSE:
                    break
            height = _height(patch, by_row, by_col)
            rr, cc, rc = 2 * top * rr, 2 * top * cc, 2 * top * rc
        peak[ROW], peak[COL], peak[SCORE] = peak[AT_ROW] + row, peak[AT_COL] + col, height
        peak[BY_ROW], peak[BY_COL], peak[MIXED], peak[HEIGHT] = rr, cc, rc, height


def load() -> None:
    """Load or compile what finds peaks, the slowest of all to compile, by calls with no surface at all."""
    none, line = np.empty(0, np.uint8), np.empty(8, np.float32)
    fields, patches = np.empty((0, FIELDS)), np.empty((0, SIDE, LANES), np.float32)
    refine(patches, none, table(), np.empty(ROOM), fields)
    spare = line, line, line.view(np.int32), line
    locate(np.empty((0, 8), np.float32), none, np.zeros((1, 4), np.int64), 1, 1, 0, *spare, fields, none, patches)


def loaded() -> bool:
    """Tell whether `load` would find machine code on disk."""
    return compiling.kept(locate)
