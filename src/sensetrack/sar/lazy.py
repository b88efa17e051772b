"""Images that are computed when a window of them is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.ot.interfaces import Source


class Lazy(ABC):
    """An image with shape, dtype and window slicing, as `sensetrack.ot.interfaces.Source` asks for.

    A pixel is the same in whatever window it is read.
    """

    shape: tuple[int, int]
    """Rows, columns."""
    dtype: np.dtype[Any]

    @abstractmethod
    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Compute a window that lies inside the image; NaN where nothing was measured."""

    def __getitem__(self, key: Any, /) -> NDArray[Any]:
        rows, cols = window(key, self.shape)
        return self.read(rows, cols)


def window(key: Any, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Return the rows and columns, inside an image, that slices ask for."""
    both = key if isinstance(key, tuple) else (key, slice(None))
    if len(both) != 2 or not all(isinstance(part, slice) and part.step in (None, 1) for part in both):
        raise InputError(f"a window must be two slices without a step, instead got {key!r}")
    rows, cols = (part.indices(size)[:2] for part, size in zip(both, shape, strict=True))
    return slice(rows[0], max(rows)), slice(cols[0], max(cols))


def require_plane(name: str, source: Source | NDArray[Any]) -> tuple[int, int]:
    """Return the shape of a source, or raise InputError unless it is (rows, columns)."""
    if len(source.shape) != 2:
        raise InputError(f"{name} must be (rows, columns), instead got shape {tuple(source.shape)}")
    return int(source.shape[0]), int(source.shape[1])


def around(rows: slice, cols: slice, halo: tuple[int, int], shape: tuple[int, int]) -> tuple[slice, slice]:
    """Widen a window by a halo as far as the image goes."""
    return (
        slice(max(rows.start - halo[0], 0), min(rows.stop + halo[0], shape[0])),
        slice(max(cols.start - halo[1], 0), min(cols.stop + halo[1], shape[1])),
    )


def inner(values: NDArray[Any], outer: tuple[slice, slice], rows: slice, cols: slice) -> NDArray[Any]:
    """Cut the window back out of what was read `around` it."""
    top, left = rows.start - outer[0].start, cols.start - outer[1].start
    return values[top : top + rows.stop - rows.start, left : left + cols.stop - cols.start]
