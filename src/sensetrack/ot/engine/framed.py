"""Correlation at the border of an image, where all that is missing of an area lies outside a rectangle of it.

The pixels of a chip whose partners are valid then are a rectangle as well, at every shift. Sums over it come from
running sums of the chip, and only the products need a correlation: that of whole chips, as missing pixels are 0.
"""
# ruff: noqa: PLR0917  compiled functions take their arguments by position

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.ot.correlation import FLAT
from sensetrack.ot.engine.compiling import compiled, compiled_loose
from sensetrack.ot.engine.peaks import MISSING
from sensetrack.ot.engine.scratch import take

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def room(chip: tuple[int, int], cols: int) -> tuple[Array, Array, Array]:
    """Return what `normalise` and `settled` work in: sums down columns, running sums of a chip, factors of a row."""
    height, width = chip
    lines = take("lines of a chip", (2, width + cols), np.float64)
    return lines, take("sums of a chip", (2, height + 1, width + 1), np.float64), take("factors", (2, cols))


@compiled_loose
def _running(
    a: Array, row: int, col: int, height: int, width: int, by_row: int, by_col: int, lines: Array, sums: Array
) -> None:
    """Write running sums of a chip and of its squares, (2, height + 1, width + 1).

    Where only whole columns (not `by_row`) or rows (not `by_col`) are asked for, that is entry 1 of the axis.
    """
    one, two = lines[0], lines[1]
    for x in range(width):
        one[x], two[x] = 0, 0
    for x in range(width + 1):
        sums[0, 0, x], sums[1, 0, x] = 0, 0
    for y in range(height):
        pixels = a[row + y, col : col + width]
        for x in range(width):
            value = np.float64(pixels[x])
            one[x] += value
            two[x] += value * value
        if not (by_row or y == height - 1):
            continue
        r = y + 1 if by_row else 1
        first, second = 0.0, 0.0
        sums[0, r, 0], sums[1, r, 0] = 0, 0
        if by_col:
            for x in range(width):
                first += one[x]
                second += two[x]
                sums[0, r, x + 1], sums[1, r, x + 1] = first, second
        else:
            for x in range(width):
                first += one[x]
                second += two[x]
            sums[0, r, 1], sums[1, r, 1] = first, second


@compiled
def _clip(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)


@compiled
def _sum(sums: Array, y0: int, y1: int, x0: int, x1: int) -> Any:
    return (sums[y1, x1] - sums[y0, x1]) - (sums[y1, x0] - sums[y0, x0])


@compiled
def _judge(sums: Array, y0: int, y1: int, by_row: int, x0: int, x1: int, by_col: int) -> tuple[float, float, int]:
    """Mean, summed square deviation (0: flat) and number of the pixels of a rectangle of a chip."""
    number = (y1 - y0) * (x1 - x0)
    if number <= 0:
        return 0.0, 0.0, 0
    # Where an axis is never cut its sums are those of entry 1.
    top, bottom = (y0, y1) if by_row else (0, 1)
    left, right = (x0, x1) if by_col else (0, 1)
    total = _sum(sums[0], top, bottom, left, right)
    power = _sum(sums[1], top, bottom, left, right) - total * total / number
    return total / number, power if power > FLAT * number else 0.0, number


@compiled
def _factors(
    sums: Array, y0: int, y1: int, by_row: int, start: int, end: int, width: int, by_col: int, least: float,
    cols: int, factors: Array,
) -> None:  # fmt: skip
    """Mean of what is left of a chip at the shifts of a row, and 1 / root of its summed square deviation; 0: none.

    `start` and `end` of the rectangle count from the first pixel of the chip at the first shift.
    """
    for v in range(cols if by_col else 1):
        x0, x1 = _clip(start - v, 0, width), _clip(end - v, 0, width)
        mean, power, number = _judge(sums, y0, y1, by_row, x0, x1, by_col)
        factors[0, v] = mean
        factors[1, v] = 1 / math.sqrt(power) if power > 0 and number >= least else 0.0
    if not by_col:
        for v in range(1, cols):
            factors[0, v], factors[1, v] = factors[0, 0], factors[1, 0]


@compiled_loose
def _line(line: Array, factors: Array, total: Array, scale: Array) -> None:
    """Turn the sums of a row of shifts into correlations."""
    mean, factor = factors[0], factors[1]
    for v in range(line.size):
        strength = factor[v] * scale[v]
        value = (line[v] - mean[v] * total[v]) * strength
        value = min(max(value, np.float32(-1)), np.float32(1))
        line[v] = value if strength > 0 else MISSING


@compiled
def normalise(
    surfaces: Array, wanted: Array, a: Array, row: Array, col: Array, top: Array, left: Array, frame: Array,
    height: int, width: int, total: Array, scale: Array, rows: int, cols: int, pitch: int, least: float,
    lines: Array, sums: Array, factors: Array,
) -> None:  # fmt: skip
    """Turn the sums of products of whole chips into correlations, in place.

    Parameters
    ----------
    surfaces : ndarray of float32
        (chips, rows * pitch).
    wanted : ndarray of uint8
        (chips).
    a : ndarray of float32
        The reference.
    row, col, top, left : ndarray of int64
        (chips): where chips lie in it, and in the area and its tables at the first shift.
    frame : ndarray of int64
        First row, row after the last, first column and column after the last of the area that are valid.
    height, width : int
        Size of a chip.
    total, scale : ndarray of float32
        Tables of the area, of `surfaces.tabulate`.
    rows, cols, pitch : int
        Shape of a surface, and the distance between its rows.
    least : float
        Number of pixels that must be valid in both.
    lines, sums, factors : ndarray
        From `room`.
    """
    for i in range(wanted.size):
        if not wanted[i]:
            continue
        by_row = top[i] < frame[0] or top[i] + rows - 1 + height > frame[1]
        by_col = left[i] < frame[2] or left[i] + cols - 1 + width > frame[3]
        _running(a, row[i], col[i], height, width, by_row, by_col, lines, sums)
        start, end, before = frame[2] - left[i], frame[3] - left[i], (-1, -1)
        for u in range(rows):
            y0, y1 = _clip(frame[0] - top[i] - u, 0, height), _clip(frame[1] - top[i] - u, 0, height)
            if (y0, y1) != before:
                before = y0, y1
                _factors(sums, y0, y1, by_row, start, end, width, by_col, least, cols, factors)
            line, at = surfaces[i, u * pitch : (u + 1) * pitch], top[i] + u
            _line(line[:cols], factors, total[at, left[i] : left[i] + cols], scale[at, left[i] : left[i] + cols])
            for v in range(cols, pitch):
                line[v] = MISSING


@compiled
def cut(a: Array, row: Array, col: Array, kept: Array, chips: Array) -> None:
    """Copy rectangles out of chips, 0 around them.

    Parameters
    ----------
    a : ndarray of float32
        The reference.
    row, col : ndarray of int64
        (n): where the chips lie in it.
    kept : ndarray of int64
        (n, 4): first row, row after the last, first column and column after the last of each rectangle in its chip.
    chips : ndarray of float32
        (n, rows, cols), written.
    """
    for k in range(row.size):
        for y in range(chips.shape[1]):
            line, pixels = chips[k, y], a[row[k] + y, col[k] : col[k] + chips.shape[2]]
            lasts = kept[k, 0] <= y < kept[k, 1]
            for x in range(line.size):
                line[x] = pixels[x] if lasts and kept[k, 2] <= x < kept[k, 3] else np.float32(0)


def strips(kept: Array, axis: int, size: int, reach: int) -> tuple[Array, Array]:
    """Return first and last + 1 along an axis of the strips before and after what lasts of chips, (2, n) each.

    Their pixels have partners at some of the shifts, not at all; they are no wider than `reach`.
    """
    low, high = kept[:, 2 * axis], kept[:, 2 * axis + 1]
    first = np.stack([np.maximum(low - reach, 0), high])
    return first, np.stack([low, np.minimum(high + reach, size)])


@compiled_loose
def _area_sums(b: Array, top: int, left: int, kept: Array, lines: Array, out: Array) -> None:
    """Sum the partners of what lasts of a chip, and their squares, at side x side shifts: (2, side, side)."""
    height, width, side = kept[1] - kept[0], kept[3] - kept[2], out.shape[1]
    one, two = lines[0, : width + side - 1], lines[1, : width + side - 1]
    for x in range(one.size):
        one[x], two[x] = 0, 0
    first = left + kept[2]
    for y in range(height + side - 1):
        u, at = y - height + 1, top + kept[0] + y
        new, old = b[at, first : first + one.size], b[max(at - height, 0), first : first + one.size]
        leaves = 1.0 if u > 0 else 0.0
        for x in range(one.size):
            come, gone = np.float64(new[x]), np.float64(old[x]) * leaves
            one[x] += come - gone
            two[x] += come * come - gone * gone
        if u < 0:
            continue
        for k in range(2):
            line, total = lines[k], 0.0
            for x in range(width):
                total += line[x]
            out[k, u, 0] = total
            for v in range(1, side):
                out[k, u, v] = out[k, u, v - 1] + (line[v - 1 + width] - line[v - 1])


@compiled
def settled(
    a: Array, b: Array, row: Array, col: Array, top: Array, left: Array, frame: Array, height: int, width: int,
    total: Array, scale: Array, least: float, kept: Array, products: Array, pitch: int, some: Array,
    patches: Array, enough: Array, lines: Array, sums: Array, factors: Array, area: Array,
) -> None:  # fmt: skip
    """Turn masked correlations around peaks into those of what lasts of their chips.

    Parameters
    ----------
    a, b, row, col, top, left, frame, height, width, total, scale, lines, sums, factors
        As for `normalise`; b is the area.
    least : float
        Number of pixels that must last.
    kept : ndarray of int64
        As for `cut`: what lasts.
    products : ndarray of float32
        (n, 4, side * pitch): sums of products of the strips around what lasts.
    some : ndarray of uint8
        (4, n): 1 where there is such a strip; of length 0: the first `products` are those of what lasts itself.
    patches : ndarray of float32
        (n, side, lanes): masked correlations, none missing; written.
    enough : ndarray of uint8
        (n), written: 1 where enough pixels last, and they have texture.
    area : ndarray of float64
        (2, side, side), to work in.
    """
    side = area.shape[1]
    for k in range(row.size):
        k0, k1, l0, l1 = kept[k]
        by_row = top[k] < frame[0] or top[k] + side - 1 + height > frame[1]
        by_col = left[k] < frame[2] or left[k] + side - 1 + width > frame[3]
        _running(a, row[k], col[k], height, width, by_row, by_col, lines, sums)
        mean, power, number = _judge(sums, k0, k1, by_row, l0, l1, by_col)
        enough[k] = number >= least and power > 0
        if not enough[k]:
            continue
        _area_sums(b, top[k], left[k], kept[k], lines, area)
        start, end = frame[2] - left[k], frame[3] - left[k]
        for u in range(side):
            y0, y1 = _clip(frame[0] - top[k] - u, 0, height), _clip(frame[1] - top[k] - u, 0, height)
            _factors(sums, y0, y1, by_row, start, end, width, by_col, 0.0, side, factors)
            for v in range(side):
                at = u * pitch + v
                cross = np.float64(products[k, 0, at])
                if some.size > 0:
                    under, spread = total[top[k] + u, left[k] + v], scale[top[k] + u, left[k] + v]
                    cross = patches[k, u, v] / (factors[1, v] * spread) + factors[0, v] * under
                    for e in range(4):
                        if some[e, k]:
                            cross -= products[k, e, at]
                power_b = area[1, u, v] - area[0, u, v] * area[0, u, v] / number
                if power_b > FLAT * number:
                    patches[k, u, v] = min(max((cross - mean * area[0, u, v]) / math.sqrt(power * power_b), -1.0), 1.0)
                else:
                    enough[k] = 0


def load() -> None:
    """Load or compile what borders need, by calls with no chip at all."""
    chip, cols = (1, 1), 1
    image, at, byte = np.zeros((1, 1), np.float32), np.zeros(0, np.int64), np.zeros(0, np.uint8)
    places, rooms = (at, at, at, at, np.zeros(4, np.int64), *chip), room(chip, cols)
    kept, some = np.zeros((0, 4), np.int64), np.zeros((4, 0), np.uint8)
    lines, area = np.zeros((0, 4, 1), np.float32), np.zeros((2, 1, 1))
    settled(image, image, *places, image, image, 1.0, kept, lines, 1, some, lines, byte, *rooms, area)
    normalise(image, byte, image, *places, image, image, 1, 1, 1, 1.0, *rooms)
