"""Sums of blocks with 9/16 of the multiply-adds: four rows at a time, by the identity of Karatsuba.

Let r0, r1 be the even and the odd rows of a block, s0, s1 those of the secondary, and s0' the even rows one further
down. The sums at even and at odd shifts along the rows are, each with half the rows and half the shifts,

    even = r0 s0 + r1 s1 = (r0 + r1) s1 + r0 (s0 - s1)
    odd = r0 s1 + r1 s0' = (r0 + r1) s1 + r1 (s0' - s1)

so that three products do the work of four. Sums and differences of rows are made once for a panel. Doing the same
with each of the three again gives nine products of a quarter of the rows at a quarter of the shifts (Karatsuba and
Ofman 1962; as a filter: Mou and Duhamel 1991, "Short-length FIR filters and their use in fast nonrecursive
filtering"). A third time would save little more: what is added up grows faster than the products shrink.
"""
# ruff: noqa: PLR0917  compiled functions take their arguments by position

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types

from sensetrack.ot.engine import vector
from sensetrack.ot.engine.compiling import compiled, compiled_loose
from sensetrack.ot.engine.scratch import take

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

PRODUCTS = 9
"""Outer and inner of the three: (A, B, C) x (A, B, C)."""
_HIGH = 4
"""Rows of a piece of a block in its quarters."""
_AT_ONCE = 8
"""Blocks that are worked on together."""
_ROOMY = 16
"""Lanes of vectors from which there are registers enough for a pixel of each of these rows besides the sums."""
_SPLIT = 4
"""Rows that are split at once, in the rows that one of them meets: more take more memory, fewer are split again."""
_IN_VAIN = 1.25
"""Shifts that may be computed for each that is wanted: more cost what the products save."""
_WIDE = 256
"""Most columns of a block: longer sums would lose digits."""
_REACHES = {16: (2, (12, 9, 7, 5)), 8: (2, (6, 5, 4)), 4: (4, (6, 5, 4))}
"""By the lanes of a vector: vectors of shifts along the columns, and along the rows, that registers may hold."""


@compiled_loose
def split_chips(a: Array, out: Array) -> None:
    """Write the rows that the reference enters the products with.

    Parameters
    ----------
    a : ndarray of float32
        (4 rows, cols).
    out : ndarray of float32
        (PRODUCTS, rows, cols), written.
    """
    for j in range(out.shape[1]):
        for x in range(a.shape[1]):
            x0, x1, x2, x3 = a[4 * j, x], a[4 * j + 1, x], a[4 * j + 2, x], a[4 * j + 3, x]
            first, last = x0 + x1, x2 + x3
            out[0, j, x], out[1, j, x], out[2, j, x] = first + last, first, last
            out[3, j, x], out[4, j, x], out[5, j, x] = x0 + x2, x0, x2
            out[6, j, x], out[7, j, x], out[8, j, x] = x1 + x3, x1, x3


@compiled_loose
def split_area(b: Array, out: Array) -> None:
    """Write the rows that the secondary enters the products with.

    Parameters
    ----------
    b : ndarray of float32
        (rows, cols); as many rows as are needed.
    out : ndarray of float32
        (PRODUCTS, rows, cols), written: row j from the rows 4 j to 4 j + 6 of b.
    """
    for j in range(out.shape[1]):
        top = 4 * j
        b0, b1, b2, b3, b4, b5, b6 = b[top], b[top + 1], b[top + 2], b[top + 3], b[top + 4], b[top + 5], b[top + 6]
        for x in range(out.shape[2]):
            x1, x3, x5 = b1[x], b3[x], b5[x]
            out[0, j, x], out[1, j, x], out[2, j, x] = x3, x1 - x3, x5 - x3
            d0, d1, d2 = b0[x] - x1, b2[x] - x3, b4[x] - x5
            out[3, j, x], out[4, j, x], out[5, j, x] = d1, d0 - d1, d2 - d1
            e0, e1, e2 = b2[x] - x1, b4[x] - x3, b6[x] - x5
            out[6, j, x], out[7, j, x], out[8, j, x] = e1, e0 - e1, e2 - e1


@vector.emitted
def _product(
    _context: Any,
    reach: Any,
    vectors: Any,
    lanes: Any,
    a: Any,
    a_at: Any,
    a_pitch: Any,
    b: Any,
    b_at: Any,
    b_pitch: Any,
    out: Any,
    out_at: Any,
    out_pitch: Any,
    width: Any,
    more: Any,
) -> Any:
    """Sum `_HIGH` rows of a block at `reach` x `vectors * lanes` shifts: `vector.outer` for blocks of few rows."""
    images = a, a_at, a_pitch, b, b_at, b_pitch, out, out_at, out_pitch
    signature = types.void(reach, vectors, lanes, *images, width, more)
    sizes = reach.literal_value, vectors.literal_value, lanes.literal_value

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        chip, area, sums = (vector.Plane(context, builder, signature.args[i], *args[i : i + 3]) for i in (3, 6, 9))
        width, more = args[12:]
        block = vector.Outer(builder, sizes, chip, area, width)
        if sizes[2] >= _ROOMY:
            block.rows(_HIGH)
        else:
            for r in range(_HIGH + sizes[0] - 1):
                block.row(vector.index(r), range(max(0, r - _HIGH + 1), min(r, sizes[0] - 1) + 1))
        block.put(sums, more)
        return context.get_dummy_value()

    return signature, emit


@vector.emitted
def _join(
    _context: Any,
    vectors: Any,
    lanes: Any,
    parts: Any,
    parts_at: Any,
    apart: Any,
    rows: Any,
    out: Any,
    out_at: Any,
    out_pitch: Any,
) -> Any:
    """Put the products of a block, `apart` numbers from one to the next, together to its sums."""
    signature = types.void(vectors, lanes, parts, parts_at, apart, rows, out, out_at, out_pitch)
    number, count = vectors.literal_value, lanes.literal_value
    kind = ir.VectorType(ir.FloatType(), count)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows = args[5]
        source = vector.Plane(context, builder, signature.args[2], *args[2:5])
        sums = vector.Plane(context, builder, signature.args[6], *args[6:9])
        quarters = builder.sdiv(builder.add(rows, vector.index(3)), vector.index(4))
        with vector.loop(builder, quarters) as j:
            row = builder.mul(j, vector.index(4))
            start = builder.mul(j, vector.index(number * count))
            for n in range(number):
                at = builder.add(start, vector.index(n * count))
                p = [source.load(builder.add(source.row(vector.index(k)), at), kind) for k in range(PRODUCTS)]
                even, odd = zip(
                    *((builder.fadd(p[k], p[k + 1]), builder.fadd(p[k], p[k + 2])) for k in (0, 3, 6)), strict=True
                )
                four = even[0], even[0], odd[0], odd[0]
                others = even[1], even[2], odd[1], odd[2]
                for q, (one, other) in enumerate(zip(four, others, strict=True)):
                    here = builder.add(row, vector.index(q))
                    with builder.if_then(builder.icmp_signed("<", here, rows), likely=True):
                        place = builder.add(sums.row(here), vector.index(n * count))
                        sums.store(builder.fadd(one, other), place)
        return context.get_dummy_value()

    return signature, emit


@vector.emitted
def _column(
    _context: Any,
    reach: Any,
    lanes: Any,
    a: Any,
    a_at: Any,
    a_pitch: Any,
    b: Any,
    b_at: Any,
    b_pitch: Any,
    out: Any,
    out_at: Any,
    out_pitch: Any,
    width: Any,
    more: Any,
) -> Any:
    """Sum `_HIGH` rows of a block at `reach` shifts along the rows and one along the columns; lanes are pixels."""
    images = a, a_at, a_pitch, b, b_at, b_pitch, out, out_at, out_pitch
    signature = types.void(reach, lanes, *images, width, more)
    shifts, count = reach.literal_value, lanes.literal_value
    kind = ir.VectorType(ir.FloatType(), count)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        chip, area, sums = (vector.Plane(context, builder, signature.args[i], *args[i : i + 3]) for i in (2, 5, 8))
        width, more = args[11:]
        registers = vector.fresh(builder, kind, shifts)
        chip_rows, area_rows = (
            [plane.row(vector.index(y)) for y in range(n)] for plane, n in ((chip, _HIGH), (area, _HIGH + shifts - 1))
        )
        steps = builder.sdiv(builder.add(width, vector.index(count - 1)), vector.index(count))
        with vector.loop(builder, steps) as step:
            x = builder.mul(step, vector.index(count))
            pixels = [vector.inside(builder, x, width, kind, chip.load(builder.add(at, x), kind)) for at in chip_rows]
            for r, at in enumerate(area_rows):
                partner = area.load(builder.add(at, x), kind)
                for u in range(max(0, r - _HIGH + 1), min(r, shifts - 1) + 1):
                    vector.add_product(builder, registers[u], pixels[r - u], partner)
        for u, register in enumerate(registers):
            sums.put(vector.lane_sum(builder, register), sums.row(vector.index(u)), more)
        return context.get_dummy_value()

    return signature, emit


@cache
def _compile(reach: int, vectors: int, lanes: int) -> Any:
    """Compile the loop over blocks for one shape; the numbers become part of the code."""

    @compiled
    def sums(
        a: Array, b: Array, first: int, places: Array, wanted: Array, height: int, rows: int, groups: int, cols: int,
        pitch: int, room: Array, out: Array,
    ) -> None:  # fmt: skip
        span, shifts, a_pitch, b_pitch = vectors * lanes, (rows + 3) // 4, a.shape[2], b.shape[2]
        a_flat, b_flat, single = a.reshape(-1), b.reshape(-1), max(cols - groups * span, 0)
        for start in range(0, wanted.size, _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            for part in range(groups + single):
                # Groups of columns, of which the last overlaps the one before; then the columns that are left.
                v = min(part * span, cols - span) if part < groups else cols - groups - single + part
                wide = span if part < groups else 1
                # Products outside, a few blocks inside: what they share is still in the first-level cache.
                for p in range(PRODUCTS):
                    for i, k in enumerate(some):
                        a_k = (p * a.shape[1] + places[k, 0] // 4 - first) * a_pitch + places[k, 1]
                        b_k = (p * b.shape[1] + places[k, 0] // 4 - first) * b_pitch + places[k, 3] + v
                        for group in range(0, shifts, reach):
                            u = min(group, shifts - reach)
                            room_at = ((i * PRODUCTS + p) * shifts + u) * wide
                            for y in range(0, height // 4, _HIGH):
                                a_at, b_at = a_k + y * a_pitch, b_k + (y + u) * b_pitch
                                if part < groups:
                                    _product(
                                        reach, vectors, lanes, a_flat, a_at, a_pitch, b_flat, b_at, b_pitch,
                                        room, room_at, wide, places[k, 4], y,
                                    )  # fmt: skip
                                else:
                                    _column(
                                        reach, lanes, a_flat, a_at, a_pitch, b_flat, b_at, b_pitch,
                                        room, room_at, wide, places[k, 4], y,
                                    )  # fmt: skip
                for i, k in enumerate(some):
                    room_at, apart = i * PRODUCTS * shifts * wide, shifts * wide
                    if part < groups:
                        _join(vectors, lanes, room, room_at, apart, rows, out, places[k, 5] + v, pitch)
                    else:
                        _join(1, 1, room, room_at, apart, rows, out, places[k, 5] + v, pitch)

    return sums


class _Shape(NamedTuple):
    """How many shifts the registers hold."""

    reach: int
    """Shifts along the rows."""
    vectors: int
    """Vectors of shifts along the columns."""
    groups: int
    """Groups of them along all columns; 0: the shifts do not suit."""


@cache
def _shape(lanes: int, rows: int, cols: int) -> _Shape:
    """Choose a shape that computes few shifts in vain, and leaves few columns over."""
    vectors, reaches = _REACHES.get(lanes, (0, (1,)))
    shifts, span = -(-rows // 4), vectors * lanes
    groups = vector.Shape(1, vectors, lanes).groups(cols)
    if not span <= cols or shifts < reaches[-1] or groups * span > _IN_VAIN * cols:
        groups = 0
    least = -(-shifts // -(-shifts // reaches[0]))
    return _Shape(min((r for r in reaches if least <= r <= shifts), default=reaches[-1]), vectors, groups)


class Quarters:
    """Sums of the blocks of a panel, called like a kernel but for the images.

    Parameters
    ----------
    a, b : ndarray of float32
        Reference and secondary; the first row of b is what the first row of a meets at the first shift.
    rows, cols : int
        Number of shifts.
    """

    def __init__(self, a: Array, b: Array, rows: int, cols: int) -> None:
        lanes, (reach, vectors, groups) = vector.lanes(), _shape(vector.lanes(), rows, cols)
        self.images, self.shifts = (a, b), -(-rows // 4)
        self.search = rows, groups, cols
        self.room = take("products", (_AT_ONCE * PRODUCTS * self.shifts * vectors * lanes,))
        self.sums = _compile(reach, vectors, lanes)
        self.first = self.last = 0
        """Quarters of rows that are split."""

    def _split(self, first: int, number: int) -> None:
        """Split at least a number of rows, of which few are those that the rows before had to be split for as well."""
        a, b = self.images
        self.first, self.last = first, min(first + max(number, _SPLIT * self.shifts), a.shape[0] // 4)
        high = self.last - first
        self.a = take("quarters of a", (PRODUCTS, high, a.shape[1]))
        self.b = take("quarters of b", (PRODUCTS, high + self.shifts - 1, b.shape[1]))
        split_chips(a[4 * first : 4 * self.last], self.a)
        below = b[4 * first : 4 * (first + self.b.shape[1]) + 3]
        short = 4 * self.b.shape[1] + 3 - below.shape[0]
        split_area(np.pad(below, ((0, short), (0, 0))) if short > 0 else below, self.b)

    @staticmethod
    def able(heights: Array, widths: Array, rows: int, cols: int) -> bool:
        """Tell whether blocks of such heights and widths can be summed like this, at rows x cols shifts."""
        fit = not (heights % (4 * _HIGH)).any() and int(widths.max()) <= _WIDE
        return fit and _shape(vector.lanes(), rows, cols).groups > 0

    def __call__(self, places: Array, wanted: Array, height: int, pitch: int, out: Array) -> None:
        """Write the sums of the blocks, all of one row; see `kernels.Sums`. Rows come in their order."""
        first = int(places[0, 0]) // 4
        if not self.first <= first <= self.last - height // 4:
            self._split(first, height // 4)
        some = np.flatnonzero(wanted)
        self.sums(self.a, self.b, self.first, places, some, height, *self.search, pitch, self.room, out)
