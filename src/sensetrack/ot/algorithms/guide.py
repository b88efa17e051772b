"""Where to look: offsets found on smaller images, so that a fine search can be small however far the ground moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import ndimage

from sensetrack.ot.interfaces import Image
from sensetrack.ot.tiles import Shrunk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack import blocks
    from sensetrack.ot.chips import ChipGrid
    from sensetrack.ot.interfaces import OTAlgorithm
    from sensetrack.ot.tiles import Scaled

FACTOR = 4
"""Pixels of the images in a pixel of the smaller ones, along both sides."""
SLACK = 6
"""Pixels the fine search reaches beyond what the small images say: one and a half of their pixels."""
_AGREE = 2.0
"""Coarse offsets further than this, px of the small images, from the median around them are mistakes."""
_KNOWN = 0.5
"""Share of a tile's coarse offsets that must be believed for them to guide."""


class Aim(NamedTuple):
    """Where the fine search of a tile lies."""

    shift: tuple[int, int]
    """Whole pixels (rows, cols) that it is centred on."""
    search: tuple[int, int]
    """Half width (rows, cols), px."""


class Guide:
    """Offsets that are known beforehand, and what they mean for a tile.

    Parameters
    ----------
    offsets : ndarray
        (2, rows, cols), d_row and d_col in px of the images; NaN = not known.
    start, step : (float, float)
        Place of the first of them, (row, col) in pixel corners of the images, and distance between neighbours, px.
    slack : (int, int)
        How far around them the truth may lie, px.
    """

    def __init__(
        self, offsets: NDArray[Any], start: tuple[float, float], step: tuple[float, float], slack: tuple[int, int]
    ) -> None:
        self.offsets, self.start, self.step, self.slack = offsets, start, step, slack

    @classmethod
    def from_smaller(
        cls, images: tuple[Scaled, Scaled], coarse: OTAlgorithm, gross: tuple[int, int], mapper: blocks.Mapper
    ) -> Guide:
        """Find offsets on small images, with an algorithm whose parameters are in their pixels."""
        small = [Image(Shrunk(scaled, FACTOR)) for scaled in images]
        shift = round(gross[0] / FACTOR), round(gross[1] / FACTOR)
        field = coarse(small[0], small[1], gross=shift, mapper=mapper)
        good = (field.flags == 0) & (np.asarray(field.score) > coarse.min_score)
        offsets = np.stack([_without_mistakes(np.where(good, part, np.nan)) for part in (field.d_row, field.d_col)])
        offsets[:, np.isnan(offsets).any(axis=0)] = np.nan
        start, step = ((pair[0] * FACTOR, pair[1] * FACTOR) for pair in (field.start, field.step))
        return cls(offsets * FACTOR, start, step, (SLACK, SLACK))

    def aim(self, chips: ChipGrid, block: blocks.Block, full: Aim) -> Aim:
        """Say where the chips of a tile went, as far as is known; else the whole search."""
        near = self.offsets[:, *(self._near(chips, block, axis) for axis in (0, 1))].reshape(2, -1)
        known = np.isfinite(near[0])
        if not known.size or known.mean() < _KNOWN:
            return full
        low, high = near[:, known].min(axis=1), near[:, known].max(axis=1)
        shift = tuple(int(s) for s in np.round((low + high) / 2))
        # Whole vectors of shifts.
        half = [int(-(-(h - s + more) // 4) * 4) for h, s, more in zip(high, shift, self.slack, strict=True)]
        if half[0] >= full.search[0] and half[1] >= full.search[1] and shift == full.shift:
            return full
        return Aim((shift[0], shift[1]), (half[0], half[1]))

    def _near(self, chips: ChipGrid, block: blocks.Block, axis: int) -> slice:
        """Known offsets along an axis that lie within the chips of a tile, and one beyond."""
        window = chips.window(block)[axis]
        first = int(np.floor((window.start - self.start[axis]) / self.step[axis]))
        last = int(np.ceil((window.stop - self.start[axis]) / self.step[axis]))
        size = self.offsets.shape[1 + axis]
        return slice(min(max(first, 0), size - 1), min(max(last + 1, 1), size))


def _without_mistakes(values: NDArray[Any]) -> NDArray[np.float64]:
    """NaN where a value is far from the median of what is known around it."""
    known = np.isfinite(values)
    if not known.any():
        return values.astype(float)
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    middle = ndimage.median_filter(values[tuple(nearest)], size=5, mode="nearest")
    return np.where(np.abs(values - middle) <= _AGREE, values, np.nan).astype(float)
