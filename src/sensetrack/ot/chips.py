"""Chips and posts: which pixels each offset is measured from, and where it belongs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sensetrack.blocks import Block

Pair = tuple[int, int]
"""(rows, columns)."""


@dataclass(frozen=True)
class ChipGrid:
    """Chips laid over an image: chip ``[i, j]`` starts at ``(i * step_row, j * step_col)``.

    Only chips that lie wholly inside the image are counted, ``(size - chip) // step + 1`` along each axis.

    Parameters
    ----------
    image : (int, int)
        Shape of the image, rows and columns.
    chip, step : (int, int)
        Size of a chip and distance between neighbours, px.
    """

    image: Pair
    chip: Pair
    step: Pair

    @property
    def shape(self) -> Pair:
        """Number of chips down and across."""
        rows, cols = (
            max(0, (size - chip) // step + 1) for size, chip, step in zip(self.image, self.chip, self.step, strict=True)
        )
        return rows, cols

    @property
    def centre(self) -> tuple[float, float]:
        """(row, col) of the first post in pixel corners: the middle of chip [0, 0]."""
        return self.chip[0] / 2, self.chip[1] / 2

    def window(self, block: Block) -> tuple[slice, slice]:
        """Rows and columns of the image that the chips of a block of posts cover."""
        rows = slice(block.rows.start * self.step[0], (block.rows.stop - 1) * self.step[0] + self.chip[0])
        cols = slice(block.cols.start * self.step[1], (block.cols.stop - 1) * self.step[1] + self.chip[1])
        return rows, cols
