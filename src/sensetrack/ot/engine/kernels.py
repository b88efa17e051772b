"""What a micro-kernel does, and where it is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.ot.engine.panel import Work
    from sensetrack.ot.engine.quarters import Quarters


class Sums(Protocol):
    """Sums products of blocks of one array with another, at rows x cols shifts."""

    def __call__(  # noqa: PLR0917  compiled functions take their arguments by position
        self,
        a: NDArray[Any],
        b: NDArray[Any],
        places: NDArray[Any],
        wanted: NDArray[Any],
        height: int,
        rows: int,
        cols: int,
        pitch: int,
        out: NDArray[Any],
        /,
    ) -> None:
        """Write out[at + u * pitch + v] = sum of a[row + y, col + x] * b[brow + u + y, bcol + v + x] over a block.

        Parameters
        ----------
        a, b : ndarray of float32
        places : ndarray of int64
            (blocks, 6): row, col, brow, bcol, width and at of each block.
        wanted : ndarray of uint8
            (blocks); 0: leave out.
        height : int
            Rows of the blocks.
        rows, cols : int
            Number of shifts.
        pitch : int
            Distance between rows of `out`.
        out : ndarray of float32
            Flat.
        """


def sums(name: str, rows: int, cols: int, height: int, width: int) -> Sums:
    """Return the compiled function of a kernel for blocks of height x about width at rows x cols shifts."""
    if name == "vector":
        from sensetrack.ot.engine import vector

        return cast("Sums", vector.function(rows, cols, height, width))
    from sensetrack.ot.engine import plain

    return cast("Sums", plain.sums)


def quarters(work: Work, above: int, rows: int, cols: int) -> Quarters | None:
    """Return what sums the blocks of a panel with fewer multiply-adds, where kernel and sizes allow.

    `above` is the row of the secondary that the first row of the reference meets at the first shift.
    """
    if work.kernel != "vector":
        return None
    from sensetrack.ot.engine.quarters import Quarters

    if not Quarters.able(work.down.sizes, work.across.sizes, rows, cols):
        return None
    return Quarters(work.a, work.b[above:], rows, cols)
