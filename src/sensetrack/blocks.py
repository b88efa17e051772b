"""Cut a plane into tiles, and run a function over them through a mapper that is passed down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
R = TypeVar("R")


class Mapper(Protocol):
    """Anything that works like the built-in `map`: results come back in the order of the items."""

    def __call__(self, function: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]:
        """Yield function(item) for every item, in order."""


@dataclass(frozen=True)
class Block:
    """One tile of a plane: the rows and columns it owns. No two blocks of a plan share a cell."""

    rows: slice
    cols: slice

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start


def plan(shape: tuple[int, int], size: tuple[int, int]) -> list[Block]:
    """Cut a plane of `shape` into blocks of at most `size`, row by row.

    The plan depends on its two arguments only (never on memory or workers), so that results repeat.
    """
    if min(size) < 1:
        message = f"size must be at least 1 x 1, instead got {size}"
        raise ValueError(message)
    return [
        Block(slice(row, min(row + size[0], shape[0])), slice(col, min(col + size[1], shape[1])))
        for row in range(0, shape[0], size[0])
        for col in range(0, shape[1], size[1])
    ]


def run(
    function: Callable[[Block], R],
    blocks: list[Block],
    *,
    mapper: Mapper = map,
    advance: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[Block, R]]:
    """Yield every block with its result, in the order of the plan.

    Parameters
    ----------
    function
        Called once with each block.
    blocks
        From `plan`.
    mapper
        The executor's `map`; the built-in one runs the blocks one after the other.
    advance
        Called with (done, total) after each block: the hook of a progress bar.
    """
    for done, (block, result) in enumerate(zip(blocks, mapper(function, blocks), strict=True), start=1):
        if advance is not None:
            advance(done, len(blocks))
        yield block, result
