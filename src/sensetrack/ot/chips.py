"""Chips and posts: which pixels each offset is measured from, and where it belongs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

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


class Windows(Sequence["NDArray[Any]"]):
    """Windows of an image, one after the other: views, never a copy of the image.

    ``windows[k]`` is the k-th window, ``windows[a:b]`` an array of some of them, ``np.asarray(windows)`` (a copy
    of everything) all of them, (n, h, w).
    """

    def __init__(self, view: NDArray[Any]) -> None:
        self.view = view
        """(rows, cols, h, w), sharing the memory of the image."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of windows, and their rows and columns."""
        rows, cols, h, w = self.view.shape
        return rows * cols, h, w

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, k: Any) -> Any:
        if isinstance(k, slice):
            each = np.arange(*k.indices(len(self)))
            return self.view[each // self.view.shape[1], each % self.view.shape[1]]
        if not -len(self) <= k < len(self):
            message = f"there are {len(self)} windows, no window {k}"
            raise IndexError(message)
        return self.view[divmod(k % len(self), self.view.shape[1])]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:  # noqa: FBT001
        if copy is False:
            message = "an array of overlapping windows is always a copy"
            raise ValueError(message)
        return np.asarray(self.view.reshape(self.shape), dtype)


def stepped_rolling_window(
    array: NDArray[Any], window: int | Pair, step: int | Pair
) -> tuple[Windows, NDArray[np.intp]]:
    """Cut an image into windows that lie wholly inside, row by row.

    Parameters
    ----------
    array : ndarray
        (rows, cols).
    window, step : int or (int, int)
        Size of a window and distance between neighbours, px; one number means both ways.

    Returns
    -------
    windows : Windows
        ``(rows - h) // step + 1`` times as many across; views of `array`.
    centres : ndarray of int
        (n, 2): row and column of pixel ``[h // 2, w // 2]`` of each window.
    """
    h, w = (window, window) if isinstance(window, int) else window
    step_row, step_col = (step, step) if isinstance(step, int) else step
    if array.ndim != 2 or min(h, w, step_row, step_col) < 1 or h > array.shape[0] or w > array.shape[1]:
        message = f"windows of {h} x {w} px every {step_row}, {step_col} px must fit an image of {array.shape}"
        raise InputError(message)
    view = np.lib.stride_tricks.sliding_window_view(array, (h, w))[::step_row, ::step_col]
    i, j = np.indices(view.shape[:2])
    centres = np.stack([i.ravel() * step_row + h // 2, j.ravel() * step_col + w // 2], axis=1)
    return Windows(view), centres
