"""The micro-kernel in explicit vector instructions: products of a block summed at many shifts, in registers.

Compilers do not find this form by themselves. For one block of the reference, `reach` x `width` neighbouring shifts
are kept in `reach * width / lanes` vector registers. A row of the secondary is walked pixel by pixel: the vectors
that start there hold the pixel's partners for `width` shifts along the columns; each is multiplied by one pixel of
every block row that meets this row at one of the `reach` shifts along the rows. A vector that is loaded once so
serves `reach` multiply-adds, and nothing is written until the block is done.

The instructions are written as LLVM vectors: what AVX-512, AVX2 or NEON makes of them is the compiler's affair.
"""
# ruff: noqa: PLR0917  compiled functions take their arguments by position

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils as numba_cgutils
from numba.extending import intrinsic as numba_intrinsic

from sensetrack.ot.engine.compiling import compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Array = NDArray[Any]

cgutils: Any = numba_cgutils
_INTRINSIC: Any = numba_intrinsic
_FLOAT, _INDEX, _LANE = ir.FloatType(), ir.IntType(64), ir.IntType(32)
_FUSE = ("contract",)
"""A product and the sum it goes into may be one instruction."""


def emitted(function: Callable[..., Any]) -> Any:
    """Let compiled functions call what a function emits; constants among the arguments keep their values."""
    return _INTRINSIC(prefer_literal=True)(function)


def index(value: int) -> Any:
    """Return a whole number in the code that is emitted."""
    return ir.Constant(_INDEX, value)


@contextmanager
def loop(builder: Any, count: Any) -> Iterator[Any]:
    """Emit a loop over 0 .. count - 1 that is not unrolled: its body is long enough, and there are many of them."""
    before, body, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
    builder.cbranch(builder.icmp_signed(">", count, index(0)), body, after)
    builder.position_at_end(body)
    turn = builder.phi(_INDEX)
    turn.add_incoming(index(0), before)
    yield turn
    following = builder.add(turn, index(1))
    turn.add_incoming(following, builder.block)
    again = builder.cbranch(builder.icmp_signed("<", following, count), body, after)
    once = builder.module.add_metadata([ir.MetaDataString(builder.module, "llvm.loop.unroll.disable")])
    # The name of a loop is a node that holds itself; its first form only makes it different from all others.
    name = builder.module.add_metadata([once, ir.Constant(_INDEX, len(builder.module.metadata))])
    name.operands = (name, once)
    again.set_metadata("llvm.loop", name)
    builder.position_at_end(after)


def _walk(builder: Any, reach: int, height: Any, row: Callable[[Any, range], None]) -> None:
    """Emit `row` for each row of the secondary that a block of `height` >= `reach` rows meets.

    Row r meets the block's row r - u at shift u, so the first and last rows serve fewer shifts than the others.
    """
    for r in range(reach - 1):
        row(index(r), range(r + 1))
    with cgutils.for_range(builder, builder.sub(height, index(reach - 1))) as loop:
        row(builder.add(loop.index, index(reach - 1)), range(reach))
    for r in range(reach - 1):
        row(builder.add(height, index(r)), range(r + 1, reach))


class Plane:
    """An array of float32 in the code that is emitted."""

    def __init__(self, context: Any, builder: Any, kind: Any, array: Any, at: Any, pitch: Any) -> None:
        self.builder, self.at, self.pitch = builder, at, pitch
        self.data = context.make_array(kind)(context, builder, array).data

    def row(self, row: Any) -> Any:
        """Place of the first element of a row."""
        return self.builder.add(self.at, self.builder.mul(row, self.pitch))

    def load(self, at: Any, kind: Any = _FLOAT) -> Any:
        """Load an element, or a vector that starts there."""
        return self.builder.load(self._place(at, kind), align=4)

    def put(self, value: Any, at: Any, more: Any) -> None:
        """Store an element or a vector, added to what is there where `more` is not 0."""
        place, builder = self._place(at, value.type), self.builder
        nothing = ir.Constant(value.type, 0.0 if value.type is _FLOAT else [0.0] * value.type.count)
        before = builder.select(builder.icmp_signed("==", more, index(0)), nothing, builder.load(place, align=4))
        builder.store(builder.fadd(before, value), place, align=4)

    def store(self, value: Any, at: Any) -> None:
        """Store an element or a vector."""
        self.builder.store(value, self._place(at, value.type), align=4)

    def _place(self, at: Any, kind: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(self.data, [at]), kind.as_pointer())


def fresh(builder: Any, kind: Any, number: int) -> list[Any]:
    """Vectors of zeros that the optimiser keeps in registers."""
    places = [cgutils.alloca_once(builder, kind) for _ in range(number)]
    for place in places:
        builder.store(ir.Constant(kind, [0.0] * kind.count), place)
    return places


def add_product(builder: Any, register: Any, a: Any, b: Any) -> None:
    """Emit a fused multiply-add into a register."""
    total = builder.load(register)
    builder.store(builder.fadd(total, builder.fmul(a, b, flags=_FUSE), flags=_FUSE), register)


def spread(builder: Any, value: Any, kind: Any) -> Any:
    """Put one number in every lane."""
    empty = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(empty, value, ir.Constant(_LANE, 0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(_LANE, kind.count), [0] * kind.count))


class Outer:
    """Sums at reach x (vectors * lanes) shifts, in registers; the lanes are shifts along the columns."""

    def __init__(self, builder: Any, sizes: tuple[int, int, int], chip: Plane, area: Plane, width: Any) -> None:
        reach, self.number, self.lanes = sizes
        self.builder, self.chip, self.area, self.width = builder, chip, area, width
        self.kind = ir.VectorType(_FLOAT, self.lanes)
        self.registers = [fresh(builder, self.kind, self.number) for _ in range(reach)]

    def row(self, r: Any, shifts: range) -> None:
        """Emit what row r of the secondary gives to some shifts along the rows."""
        builder, area_row = self.builder, self.area.row(r)
        chip_rows = [self.chip.row(builder.sub(r, index(u))) for u in shifts]
        with loop(builder, self.width) as x:
            at = builder.add(area_row, x)
            partners = [self.area.load(builder.add(at, index(n * self.lanes)), self.kind) for n in range(self.number)]
            for u, chip_row in zip(shifts, chip_rows, strict=True):
                pixel = spread(builder, self.chip.load(builder.add(chip_row, x)), self.kind)
                for register, partner in zip(self.registers[u], partners, strict=True):
                    add_product(builder, register, pixel, partner)

    def rows(self, height: int) -> None:
        """Emit what all rows of the secondary give to a block of few rows, a pixel of each of them at a time."""
        builder, reach = self.builder, len(self.registers)
        chip_rows = [self.chip.row(index(y)) for y in range(height)]
        area_rows = [self.area.row(index(r)) for r in range(height + reach - 1)]
        with loop(builder, self.width) as x:
            pixels = [spread(builder, self.chip.load(builder.add(row, x)), self.kind) for row in chip_rows]
            for r, row in enumerate(area_rows):
                at = builder.add(row, x)
                for n in range(self.number):
                    partner = self.area.load(builder.add(at, index(n * self.lanes)), self.kind)
                    for u in range(max(0, r - height + 1), min(r, reach - 1) + 1):
                        add_product(builder, self.registers[u][n], pixels[r - u], partner)

    def put(self, sums: Plane, more: Any) -> None:
        """Emit that the sums are stored, added to what is there where `more` is not 0."""
        for u, registers in enumerate(self.registers):
            for n, register in enumerate(registers):
                place = self.builder.add(sums.row(index(u)), index(n * self.lanes))
                sums.put(self.builder.load(register), place, more)


@emitted
def _outer(
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
    height: Any,
    width: Any,
    more: Any,
) -> Any:
    """Sum a block at `reach` x `vectors * lanes` shifts; the lanes are shifts along the columns."""
    images = a, a_at, a_pitch, b, b_at, b_pitch, out, out_at, out_pitch
    signature = types.void(reach, vectors, lanes, *images, height, width, more)
    sizes = reach.literal_value, vectors.literal_value, lanes.literal_value

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        chip, area, sums = (Plane(context, builder, signature.args[i], *args[i : i + 3]) for i in (3, 6, 9))
        height, width, more = args[12:]
        block = Outer(builder, sizes, chip, area, width)
        _walk(builder, sizes[0], height, block.row)
        block.put(sums, more)
        return context.get_dummy_value()

    return signature, emit


def lane_sum(builder: Any, register: Any) -> Any:
    """Emit the sum of the lanes of a register."""
    lanes = builder.load(register)
    kinds = ir.FunctionType(_FLOAT, [_FLOAT, lanes.type])
    name = f"llvm.vector.reduce.fadd.v{lanes.type.count}f32"
    reduce = cgutils.get_or_insert_function(builder.module, kinds, name)
    return builder.call(reduce, [ir.Constant(_FLOAT, -0.0), lanes], fastmath=("reassoc",))


def inside(builder: Any, x: Any, width: Any, kind: Any, values: Any) -> Any:
    """Emit a vector of which lanes that stand for columns beyond the block's last count nothing."""
    lane = ir.Constant(ir.VectorType(_INDEX, kind.count), list(range(kind.count)))
    counts = builder.icmp_signed("<", lane, spread(builder, builder.sub(width, x), lane.type))
    return builder.select(counts, values, ir.Constant(kind, [0.0] * kind.count))


@emitted
def _inner(
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
    height: Any,
    width: Any,
    more: Any,
) -> Any:
    """Sum a block at `reach` shifts along the rows and one along the columns; the lanes are pixels of a row."""
    images = a, a_at, a_pitch, b, b_at, b_pitch, out, out_at, out_pitch
    signature = types.void(reach, lanes, *images, height, width, more)
    rows, count = reach.literal_value, lanes.literal_value
    kind = ir.VectorType(_FLOAT, count)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        chip, area, sums = (Plane(context, builder, signature.args[i], *args[i : i + 3]) for i in (2, 5, 8))
        height, width, more = args[11:]
        registers = fresh(builder, kind, rows)
        steps = builder.sdiv(builder.add(width, index(count - 1)), index(count))

        def row(r: Any, shifts: range) -> None:
            area_row = area.row(r)
            chip_rows = [chip.row(builder.sub(r, index(u))) for u in shifts]
            with loop(builder, steps) as step:
                x = builder.mul(step, index(count))
                partner = inside(builder, x, width, kind, area.load(builder.add(area_row, x), kind))
                for u, chip_row in zip(shifts, chip_rows, strict=True):
                    add_product(builder, registers[u], chip.load(builder.add(chip_row, x), kind), partner)

        _walk(builder, rows, height, row)
        for u in range(rows):
            sums.put(lane_sum(builder, registers[u]), sums.row(index(u)), more)
        return context.get_dummy_value()

    return signature, emit


class Shape(NamedTuple):
    """How many shifts the registers hold."""

    reach: int
    """Shifts along the rows."""
    vectors: int
    """Vectors of shifts along the columns; 0: one column at a time only."""
    lanes: int
    """Shifts in a vector."""

    def groups(self, cols: int) -> int:
        """Count the groups of vectors along `cols` columns; a few columns left over are cheaper one at a time."""
        span = self.vectors * self.lanes
        return (cols + span - self.lanes // 4 - 1) // span if self.vectors else 0


_SHAPES = {
    16: [(11, 2, 16), (7, 2, 16), (4, 2, 16), (1, 2, 16), (9, 1, 16), (7, 1, 16), (6, 1, 16), (4, 1, 16), (4, 1, 8)],
    8: [(3, 4, 8), (1, 4, 8), (6, 2, 8), (4, 2, 8), (2, 2, 8), (9, 1, 8), (7, 1, 8), (4, 1, 8), (4, 1, 4)],
    4: [(6, 4, 4), (3, 4, 4), (1, 4, 4), (9, 2, 4), (7, 2, 4), (4, 2, 4), (2, 2, 4), (4, 1, 4), (1, 1, 4)],
}
"""Shapes by the lanes of the processor's vectors: few, as each is compiled when first used. AVX-512 and NEON have 32
vector registers, of which sums may take 24, AVX2 has 16."""
_ONE_COLUMN = [(3, 0, 1), (1, 0, 1)]
_IN_FLIGHT = 8
"""Sums that must be independent of each other for the processor to be busy."""


@cache
def lanes() -> int:
    """Return the float32 numbers in a vector of this processor; 0 where vectors of our own gain nothing."""
    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 16
    if features.get("avx2") and features.get("fma"):
        return 8
    return 4 if features.get("neon") else 0


@cache
def shape(lanes: int, rows: int, cols: int, height: int, width: int) -> Shape:
    """Choose the shape that sums a block of height x width at rows x cols shifts in the least time."""

    def cost(shape: Shape) -> float:
        # Multiply-adds, and what is loaded for them; a vector that straddles cache lines counts twice.
        reach, vectors, _ = shape
        waits = max(1.0, _IN_FLIGHT / (reach * max(vectors, 1)))
        walked = height + reach - 1
        outer = width * (height * reach * (vectors * waits + 0.3 * (vectors > 0)) + 0.6 * walked * vectors)
        single = cols - min(shape.groups(cols) * vectors * shape.lanes, cols)
        inner = -(-width // lanes) * (2 * height * reach * waits + walked) + 10 * reach
        return -(-rows // reach) * (shape.groups(cols) * outer + single * inner)

    able = [Shape(*numbers) for numbers in _SHAPES[lanes] + _ONE_COLUMN]
    return min((s for s in able if s.reach <= min(rows, height) and s.vectors * s.lanes <= cols), key=cost)


def function(rows: int, cols: int, height: int, width: int) -> Any:
    """Return the compiled function that sums blocks of height x about width at rows x cols shifts."""
    return _compile(*shape(lanes(), rows, cols, height, width), lanes())


_PIECE = 16
"""Least side of the pieces that large blocks are summed in: long sums lose digits, most of all of equal numbers."""


@cache
def _compile(reach: int, vectors: int, lanes: int, wide: int) -> Any:
    """Compile the loop over blocks for one shape; the four numbers become part of the code."""

    @compiled
    def sums(
        a: Array,
        b: Array,
        places: Array,
        wanted: Array,
        height: int,
        rows: int,
        cols: int,
        pitch: int,
        out: Array,
    ) -> None:
        a_pitch, b_pitch, span = a.shape[1], b.shape[1], vectors * lanes
        groups = (cols + span - lanes // 4 - 1) // span if vectors > 0 else 0
        # Groups of shifts outside, blocks inside: a group touches few rows at a time, and each of them in order.
        for group in range(0, rows, reach):
            u = min(group, rows - reach)  # the last group overlaps the one before
            for k in range(wanted.size):
                if wanted[k] == 0:
                    continue
                at, width = places[k, 5] + u * pitch, places[k, 4]
                down, across = max(height // _PIECE, 1), max(width // _PIECE, 1)
                single = max(cols - groups * span, 0)
                for part in range(groups + single):
                    # Groups of columns, of which again the last overlaps; then the columns that are left.
                    v = min(part * span, cols - span) if part < groups else cols - groups - single + part
                    y = 0
                    for i in range(down):
                        x, below = 0, height * (i + 1) // down
                        for j in range(across):
                            right = width * (j + 1) // across
                            a_at = (places[k, 0] + y) * a_pitch + places[k, 1] + x
                            b_at = (places[k, 2] + u + y) * b_pitch + places[k, 3] + x + v
                            if vectors > 0 and part < groups:
                                _outer(
                                    reach, vectors, lanes,
                                    a, a_at, a_pitch, b, b_at, b_pitch, out, at + v, pitch, below - y, right - x, i + j,
                                )  # fmt: skip
                            else:
                                _inner(
                                    reach, wide,
                                    a, a_at, a_pitch, b, b_at, b_pitch, out, at + v, pitch, below - y, right - x, i + j,
                                )  # fmt: skip
                            x = right
                        y = below

    return sums
