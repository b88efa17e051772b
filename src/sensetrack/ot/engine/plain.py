"""The micro-kernel in plain loops: a few times slower than explicit vectors, for every processor."""
# ruff: noqa: PLR0917  compiled functions take their arguments by position

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sensetrack.ot.engine.compiling import compiled_loose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


@compiled_loose
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
    """Sum products of blocks at rows x cols shifts; see `kernels.Sums`."""
    for k in range(wanted.size):
        if wanted[k] == 0:
            continue
        a_row, a_col, b_row, b_col, width, start = places[k]
        fours = width - width % 4
        for u in range(rows):
            at = start + u * pitch
            total = out[at : at + cols]
            for v in range(cols):
                total[v] = 0
            for y in range(height):
                pixels = a[a_row + y, a_col : a_col + width]
                partners = b[b_row + u + y, b_col : b_col + width + cols - 1]
                for x in range(0, fours, 4):
                    # Four pixels at a time: the sums are read and written a quarter as often.
                    p0, p1, p2, p3 = pixels[x], pixels[x + 1], pixels[x + 2], pixels[x + 3]
                    near = partners[x:]
                    for v in range(cols):
                        total[v] += (p0 * near[v] + p1 * near[v + 1]) + (p2 * near[v + 2] + p3 * near[v + 3])
                for x in range(fours, width):
                    pixel, near = pixels[x], partners[x:]
                    for v in range(cols):
                        total[v] += pixel * near[v]
