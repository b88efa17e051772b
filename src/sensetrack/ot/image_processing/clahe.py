"""Contrast-limited adaptive histogram equalisation on a lattice of cells anchored at the image's first pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from sensetrack.ot.image_processing.base import Preprocessor, level_and_range, register, stretched

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.ot.interfaces import Image

BINS = 256
"""Grey levels of the histograms. Between two of them ranks are interpolated, so none are lost."""
_AT_ONCE = 2**21
"""Entries of lookup tables in memory at a time."""

Pair = tuple[int, int]


def grey_levels(values: NDArray[Any], valid: NDArray[np.bool_], fitted: tuple[float, float]) -> NDArray[np.float64]:
    """Return grey levels 0 .. BINS: bin ``b`` holds what lies in b .. b + 1, the whole level in its middle."""
    return stretched(values, valid, fitted) * (BINS - 1) + 0.5


def cell_histograms(
    levels: NDArray[np.float64], valid: NDArray[np.bool_], cell: Pair, origin: Pair, cells: Pair
) -> NDArray[np.int64]:
    """Count the grey levels of the valid pixels in each cell.

    Parameters
    ----------
    levels, valid : ndarray
        (rows, cols), from `grey_levels`.
    cell : (int, int)
        Size of a cell, px.
    origin : (int, int)
        Where pixel [0, 0] is, counted from the first pixel of cell [0, 0].
    cells : (int, int)
        Cells down and across.

    Returns
    -------
    ndarray of int
        (*cells, BINS).
    """
    row, col = (
        (start + np.arange(length)) // size for start, length, size in zip(origin, levels.shape, cell, strict=True)
    )
    index = (row[:, None] * cells[1] + col) * BINS + levels.astype(np.int64)
    counts = np.bincount(index[valid], minlength=cells[0] * cells[1] * BINS)
    return np.asarray(counts.reshape(*cells, BINS))


def lookup_tables(counts: NDArray[np.int64], clip_limit: float) -> NDArray[np.float32]:
    """Return the clipped cumulative distribution of each cell, 0..1, at the BINS + 1 edges of its bins.

    No bin counts more than `clip_limit` of the pixels of a cell (but at least one pixel); the rest is spread over
    all bins. A limit of 0 clips nothing.
    """
    number = counts.sum(axis=-1, keepdims=True).astype(np.float64)
    limit = np.maximum(clip_limit * number, 1.0) if clip_limit > 0 else number
    kept = np.minimum(counts, limit)
    kept += (number - kept.sum(axis=-1, keepdims=True)) / BINS
    tables = np.zeros((*counts.shape[:-1], BINS + 1), np.float32)
    tables[..., 1:] = np.cumsum(kept, axis=-1) / np.maximum(number, 1)
    return tables


def cell_shares(counts: NDArray[np.int64], cell: Pair, shape: Pair) -> NDArray[np.float64]:
    """Share of each cell's pixels, as far as it lies in the image of `shape`, that were counted."""
    rows, cols = (
        np.minimum(size, length - np.arange(n) * size)
        for size, length, n in zip(cell, shape, counts.shape[:2], strict=True)
    )
    return np.asarray(counts.sum(axis=-1) / (rows[:, None] * cols))


def blend(
    levels: NDArray[np.float64], tables: NDArray[np.float32], shares: NDArray[np.float64], cell: Pair, origin: Pair
) -> NDArray[np.float64]:
    """Look grey levels up in the tables of the nearest cells, blended bilinearly between their centres.

    Cells count by their share of valid pixels: what is missing has no say.
    """
    number = tables.shape[:2]
    flat = tables.reshape(-1)
    bins = levels.astype(np.int64)
    within = levels - bins
    total, weights = np.zeros(levels.shape), np.zeros(levels.shape)
    sides = [
        _between(start + np.arange(length), size, count)
        for start, length, size, count in zip(origin, levels.shape, cell, number, strict=True)
    ]
    for row, row_weight in sides[0]:
        for col, col_weight in sides[1]:
            index = (row[:, None] * number[1] + col) * (BINS + 1) + bins
            low = flat[index].astype(np.float64)
            weight = row_weight[:, None] * col_weight * shares[np.ix_(row, col)]
            total += weight * (low + within * (flat[index + 1] - low))
            weights += weight
    return total / np.where(weights > 0, weights, 1.0)


def _between(place: NDArray[np.int64], size: int, number: int) -> list[tuple[NDArray[Any], NDArray[np.float64]]]:
    """Return the cells whose centres lie before and after each pixel of an axis, each with its weight.

    Weights come from the place within the cell alone, so that they are the same in every window.
    """
    cell, inside = np.divmod(place, size)
    beyond = (inside + 0.5) / size - 0.5  # from the centre of the pixel's own cell, in cells
    before = np.where(beyond < 0, cell - 1, cell)
    fraction = np.where(beyond < 0, beyond + 1, beyond)
    ends = np.clip(before, 0, number - 1), np.clip(before + 1, 0, number - 1)
    return [(ends[0], 1 - fraction), (ends[1], fraction)]


def equalize_cells(
    levels: NDArray[np.float64], valid: NDArray[np.bool_], size: int, clip_limit: float
) -> NDArray[np.float64]:
    """Equalise a window that starts at a corner of a cell, some rows of cells at a time."""
    shape = levels.shape
    number = -(-shape[0] // size), -(-shape[1] // size)
    band = max(1, _AT_ONCE // (number[1] * BINS))
    out = np.empty(shape)
    for first in range(0, number[0], band):
        # A row of cells more on each side is needed to blend with.
        top, bottom = max(0, first - 1), min(number[0], first + band + 1)
        rows, own = slice(top * size, bottom * size), slice(first * size, (first + band) * size)
        counts = cell_histograms(levels[rows], valid[rows], (size, size), (0, 0), (bottom - top, number[1]))
        shares = cell_shares(counts, (size, size), levels[rows].shape)
        tables = lookup_tables(counts, clip_limit)
        out[own] = blend(levels[own], tables, shares, (size, size), ((first - top) * size, 0))
    return out


@register
class Clahe(Preprocessor):
    """Contrast-limited adaptive histogram equalisation (CLAHE): every pixel becomes its rank in its surroundings, 0..1.

    The image is cut into square cells; the histogram of each is clipped, so that noise on flat ground is not
    blown up without limit, and ranks are blended between the cells.
    """

    name: ClassVar[str] = "clahe"

    clip_limit: float = Field(
        0.01,
        ge=0,
        le=1,
        description="largest share of a cell's pixels that one of 256 grey levels may count: "
        "the smaller, the gentler; 0 = no limit",
    )
    kernel_size: int = Field(64, ge=2, le=1024, description="side of a cell", json_schema_extra={"unit": "px"})
    cut: float = Field(
        0.1,
        ge=0,
        lt=50,
        description="pixels left out at each end of the grey values",
        json_schema_extra={"unit": "%"},
    )

    @property
    def halo(self) -> int:
        """The next cell."""
        return self.kernel_size

    @property
    def align(self) -> int:
        """A cell."""
        return self.kernel_size

    def fit(self, image: Image) -> tuple[float, float]:
        """Learn the darkest and the brightest grey value."""
        return level_and_range(image, self.cut)

    def apply(self, values: NDArray[Any], valid: NDArray[np.bool_], fitted: Any) -> NDArray[Any]:
        """Equalise a window that starts at a corner of a cell."""
        if not fitted[0] < fitted[1]:
            return np.zeros(values.shape)
        return equalize_cells(grey_levels(values, valid, fitted), valid, self.kernel_size, self.clip_limit)
