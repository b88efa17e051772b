"""From sums of blocks to correlation surfaces: a chip is a run of blocks, its surface a sum over theirs."""
# ruff: noqa: PLR0917  compiled functions take their arguments by position

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import types

from sensetrack.ot.correlation import FLAT
from sensetrack.ot.engine import vector
from sensetrack.ot.engine.compiling import compiled, compiled_loose
from sensetrack.ot.engine.peaks import MISSING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


_VECTOR = 16
"""Numbers that are worked on together."""


@compiled
def level_off(image: Array, valid: Array, level: Any, out: Array) -> None:
    """Write what pixels are above a level, 0 where they are not valid, (rows, cols) or more columns."""
    for y in range(image.shape[0]):
        line, good, pixels = out[y], valid[y], image[y]
        for x in range(pixels.size):
            line[x] = pixels[x] - level if good[x] else np.float32(0)


@compiled_loose
def _sum_lines(lines: Array, total: Array) -> None:
    """Sum (k, n) over k into (n), four lines at a time."""
    k, c = lines.shape[0], 1
    l0 = lines[0]
    if k < 4:
        for p in range(total.size):
            total[p] = l0[p]
    else:
        l1, l2, l3, c = lines[1], lines[2], lines[3], 4
        for p in range(total.size):
            total[p] = (l0[p] + l1[p]) + (l2[p] + l3[p])
    while c + 4 <= k:
        l0, l1, l2, l3 = lines[c], lines[c + 1], lines[c + 2], lines[c + 3]
        for p in range(total.size):
            total[p] += (l0[p] + l1[p]) + (l2[p] + l3[p])
        c += 4
    while c < k:
        l0 = lines[c]
        for p in range(total.size):
            total[p] += l0[p]
        c += 1


@vector.emitted
def _correlations(
    _context: Any, sums: Any, at: Any, total: Any, scale: Any, place: Any, out: Any, level: Any, factor: Any
) -> Any:
    """Turn `_VECTOR` sums of products into correlations: compilers do not see that there are always so many."""
    signature = types.void(sums, at, total, scale, place, out, level, factor)
    kind = ir.VectorType(ir.FloatType(), _VECTOR)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sums, at, total, scale, place, out, level, factor = args
        source, under, spread, result = (
            vector.Plane(context, builder, signature.args[i], array, None, None)
            for i, array in ((0, sums), (2, total), (3, scale), (5, out))
        )
        one, none, nothing = (ir.Constant(kind, [value] * _VECTOR) for value in (1.0, 0.0, float(MISSING)))
        strength, below = spread.load(place, kind), under.load(place, kind)
        level, factor = (vector.spread(builder, value, kind) for value in (level, factor))
        mean = builder.fmul(level, below, flags=("contract",))
        value = builder.fsub(source.load(at, kind), mean, flags=("contract",))
        value = builder.fmul(value, builder.fmul(factor, strength))
        for limit, side in ((one, "<"), (builder.fneg(one), ">")):
            value = builder.select(builder.fcmp_ordered(side, value, limit), value, limit)
        known = builder.fcmp_ordered(">", strength, none)
        result.store(builder.select(known, value, nothing), at)
        return context.get_dummy_value()

    return signature, emit


@compiled_loose
def _normalise(
    sums: Array,
    level: Any,
    factor: Any,
    total: Array,
    scale: Array,
    top: int,
    left: int,
    rows: int,
    cols: int,
    pitch: int,
    out: Array,
) -> None:
    """Turn the sums of products of a chip into its surface; `out` is other memory."""
    tables, across = (total.reshape(-1), scale.reshape(-1)), total.shape[1]
    for u in range(rows):
        line, place, start = u * pitch, (top + u) * across + left, 0
        under, spread = tables[0][place : place + cols], tables[1][place : place + cols]
        while start < cols:
            v = min(start, cols - _VECTOR)  # the last ones overlap those before
            if v >= 0:
                _correlations(sums, line + v, tables[0], tables[1], place + v, out, level, factor)
                start += _VECTOR
                continue
            value = (sums[line + start] - level * under[start]) * (factor * spread[start])
            value = min(max(value, np.float32(-1)), np.float32(1))
            out[line + start] = value if spread[start] > 0 else MISSING
            start += 1
        for v in range(line + cols, line + pitch):
            out[v] = MISSING


@compiled
def make(
    ring: Array,
    first: Array,
    wanted: Array,
    clean: Array,
    mean: Array,
    inverse: Array,
    total: Array,
    scale: Array,
    top: Array,
    left: Array,
    rows: int,
    cols: int,
    pitch: int,
    columns: Array,
    out: Array,
) -> None:
    """Sum blocks into chips, and turn the sums of clean chips into correlations.

    Parameters
    ----------
    ring : ndarray of float32
        (blocks across, blocks of a chip down, rows * pitch or more): sums of products, row by row and with `pitch`
        numbers from one row to the next.
    first : ndarray of int64
        (chips): first block across of each.
    wanted, clean : ndarray of uint8
        (chips): 1 where there is something to be done; 1 where no pixel of chip and area is missing.
    mean, inverse : ndarray of float32
        (chips): mean of a chip, and 1 / root of its summed square deviation.
    total, scale : ndarray of float32
        From `tabulate`.
    top, left : ndarray of int64
        (chips): where a chip lies in these tables at its first shift.
    rows, cols, pitch : int
        Shape of a surface, and the distance between its rows.
    columns : ndarray of float32
        (blocks of a chip across + 1, as many), for sums down the blocks: those under one chip stay in the cache.
    out : ndarray of float32
        (chips, as many), written.
    """
    number, done = columns.shape[0] - 1, 0
    sums = columns[number]
    for i in range(wanted.size):
        if not wanted[i]:
            continue
        for c in range(max(done, first[i]), first[i] + number):
            _sum_lines(ring[c], columns[c % number])
        done = first[i] + number
        if not clean[i]:
            _sum_lines(columns[:number], out[i])
            continue
        _sum_lines(columns[:number], sums)
        _normalise(sums, mean[i], inverse[i], total, scale, top[i], left[i], rows, cols, pitch, out[i])


@compiled
def normalise(
    surfaces: Array,
    mean: Array,
    inverse: Array,
    total: Array,
    scale: Array,
    top: Array,
    left: Array,
    rows: int,
    cols: int,
    pitch: int,
    room: Array,
) -> None:
    """Turn sums of products into correlations, in place: `make` for chips whose sums are there already."""
    for i in range(surfaces.shape[0]):
        room[:] = surfaces[i]
        _normalise(room, mean[i], inverse[i], total, scale, top[i], left[i], rows, cols, pitch, surfaces[i])


@compiled_loose
def _replace(new: Array, old: Array, leaves: float, column: Array, square: Array) -> None:
    """Let one row enter the sums down the columns, and another leave (1.0) or not (0.0)."""
    for x in range(column.size):
        come, gone = np.float64(new[x]), np.float64(old[x]) * leaves
        column[x] += come - gone
        square[x] += come * come - gone * gone


@compiled_loose
def _judge(sums: Array, squares: Array, width: int, share: Array, total: Array, scale: Array) -> None:
    """Take sums and deviations under chips from running sums along a row; `share` is 1 / number of pixels."""
    for x in range(total.size):
        one, two = sums[x + width] - sums[x], squares[x + width] - squares[x]
        power = two - one * one * share[x]
        total[x] = one
        scale[x] = np.float32(1) / math.sqrt(np.float32(power)) if power * share[x] > FLAT else np.float32(0)


@compiled
def tabulate(
    area: Array, height: int, width: int, rows: Array, count: Array, total: Array, scale: Array, lines: Array
) -> None:
    """Sum of the pixels under a chip, and 1 / root of their summed square deviation (0: flat), at every place.

    In double precision: the sum of squares is mostly what is taken off it.

    Parameters
    ----------
    area : ndarray of float32
        (rows, cols) or more columns, 0 where missing.
    height, width : int
        Size of a chip.
    rows, count : ndarray of float32
        (rows - height + 1), and (rows - height + 1, cols - width + 1) or one row for all: their product is the number
        of pixels under a chip, at least 1.
    total, scale : ndarray of float32
        (rows - height + 1, cols - width + 1), written.
    lines : ndarray of float64
        (5, cols + 1), for the sums on the way.
    """
    pixels = total.shape[1] + width - 1
    column, square = lines[0, :pixels], lines[1, :pixels]
    sums, squares, share = lines[2], lines[3], lines[4]
    for x in range(pixels):
        column[x], square[x] = 0, 0
    sums[0], squares[0] = 0, 0
    for end in range(height + total.shape[0] - 1):
        y = end - height + 1
        _replace(area[end], area[max(y - 1, 0)], 1.0 if y > 0 else 0.0, column, square)
        if y < 0:
            continue
        one, two = 0.0, 0.0
        for x in range(pixels):
            one += column[x]
            two += square[x]
            sums[x + 1] = one
            squares[x + 1] = two
        if y < count.shape[0] or rows[y] != rows[y - 1]:
            number = count[min(y, count.shape[0] - 1)]
            for x in range(total.shape[1]):
                share[x] = 1 / np.float64(rows[y] * number[x])
        _judge(sums, squares, width, share, total[y], scale[y])


@compiled_loose
def block_statistics(image: Array, down: Array, across: Array, out: Array) -> None:
    """Sum of the pixels of each block and of their squares.

    Parameters
    ----------
    image : ndarray of float32
        (rows, cols).
    down, across : ndarray of int64
        Edges of the blocks.
    out : ndarray of float64
        (2, blocks down, blocks across), written.
    """
    for b in range(down.size - 1):
        for c in range(across.size - 1):
            one, two = 0.0, 0.0
            for y in range(down[b], down[b + 1]):
                line = image[y, across[c] : across[c + 1]]
                for x in range(line.size):
                    value = np.float64(line[x])
                    one += value
                    two += value * value
            out[0, b, c] = one
            out[1, b, c] = two
