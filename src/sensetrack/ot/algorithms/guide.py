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
    """Offsets on small images, and what they mean for a tile.

    Parameters
    ----------
    images : (Scaled, Scaled)
    coarse : OTAlgorithm
        Run on the small images, with parameters in their pixels.
    gross : (int, int)
        Whole-pixel shift of the secondary, px of the images.
    mapper
        See `sensetrack.blocks.run`.
    """

    def __init__(
        self, images: tuple[Scaled, Scaled], coarse: OTAlgorithm, gross: tuple[int, int], mapper: blocks.Mapper
    ) -> None:
        small = [Image(Shrunk(scaled, FACTOR)) for scaled in images]
        shift = round(gross[0] / FACTOR), round(gross[1] / FACTOR)
        field = coarse(small[0], small[1], gross=shift, mapper=mapper)
        self.start, self.step = field.start, field.step
        good = (field.flags == 0) & (np.asarray(field.score) > coarse.min_score)
        self.offsets = np.stack(
            [_without_mistakes(np.where(good, part, np.nan)) for part in (field.d_row, field.d_col)]
        )
        self.offsets[:, np.isnan(self.offsets).any(axis=0)] = np.nan

    def aim(self, chips: ChipGrid, block: blocks.Block, full: Aim) -> Aim:
        """Say where the chips of a tile went, as far as is known; else the whole search."""
        near = self.offsets[:, *(self._near(chips, block, axis) for axis in (0, 1))].reshape(2, -1)
        known = np.isfinite(near[0])
        if not known.size or known.mean() < _KNOWN:
            return full
        low, high = near[:, known].min(axis=1) * FACTOR, near[:, known].max(axis=1) * FACTOR
        shift = tuple(int(s) for s in np.round((low + high) / 2))
        # Few sizes of search: the kernels are compiled for each.
        half = [int(-(-(h - s + SLACK) // 4) * 4) for h, s in zip(high, shift, strict=True)]
        if half[0] >= full.search[0] or half[1] >= full.search[1]:
            return full
        return Aim((shift[0], shift[1]), (half[0], half[1]))

    def _near(self, chips: ChipGrid, block: blocks.Block, axis: int) -> slice:
        """Coarse posts along an axis whose chips touch those of a tile."""
        window = chips.window(block)[axis]
        start, step = self.start[axis] * FACTOR, self.step[axis] * FACTOR
        first = int(np.floor((window.start - start) / step))
        last = int(np.ceil((window.stop - start) / step))
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
