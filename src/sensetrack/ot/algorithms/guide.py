"""Where to look: offsets found on smaller images, so that a fine search can be small however far the ground moved.

What the small images say is believed post by post. Where they say nothing, or something unlike what is around it, the
whole search is made, as if there were no small images. Where a second place is nearly as likely, the post is looked for
near the first but has to be found there beyond doubt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from sensetrack.ot.interfaces import Image
from sensetrack.ot.tiles import Shrunk, overview

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack import blocks
    from sensetrack.ot.chips import ChipGrid
    from sensetrack.ot.interfaces import OTAlgorithm
    from sensetrack.ot.looks import Boxes
    from sensetrack.ot.tiles import Scaled

FACTOR = 4
"""Pixels of the images in a pixel of the smaller ones, along both sides."""
SLACK = 6
"""Pixels the fine search reaches beyond what the small images say: one and a half of their pixels."""
CLEAR = 1.25
"""Peak ratio below which a second place is as likely as the one that was found."""
SURE = 0.5
"""Score that leaves no room for another place: of the parts of a chip that went apart, one alone is more than half."""
_HELD = 2**20
"""Pixels of a smaller image that is made once; a larger one is made again for each tile."""
_AGREE = 2.0
"""Coarse offsets further than this, px of the small images, from the median around them are doubtful."""


class Guide:
    """Offsets known on a coarse grid, and where they say that posts are to be looked for.

    Parameters
    ----------
    offsets : ndarray
        (2, rows, cols), d_row and d_col in px of the images; NaN = not known.
    clear : ndarray of bool
        (rows, cols), False where a second place is nearly as likely.
    start, step : (float, float)
        Place of the first of them, (row, col) in pixel corners of the images, and distance between neighbours, px.
    """

    def __init__(
        self, offsets: NDArray[Any], clear: NDArray[np.bool_], start: tuple[float, float], step: tuple[float, float]
    ) -> None:
        self.offsets, self.clear, self.start, self.step = offsets, clear, start, step
        self._known = np.isfinite(offsets).all(axis=0)
        self._low = np.stack([_lowest_around(part, self._known) for part in offsets])
        self._high = np.stack([-_lowest_around(-part, self._known) for part in offsets])

    @classmethod
    def from_smaller(
        cls, images: tuple[Scaled, Scaled], coarse: OTAlgorithm, gross: tuple[int, int], mapper: blocks.Mapper
    ) -> Guide:
        """Find offsets on small images, with an algorithm whose parameters are in their pixels."""
        small = [_smaller(scaled, mapper) for scaled in images]
        shift = round(gross[0] / FACTOR), round(gross[1] / FACTOR)
        field = coarse(small[0], small[1], gross=shift, mapper=mapper)
        good = (field.flags == 0) & (np.asarray(field.score) > coarse.min_score)
        offsets = np.stack([_without_mistakes(np.where(good, part, np.nan)) for part in (field.d_row, field.d_col)])
        start, step = ((pair[0] * FACTOR, pair[1] * FACTOR) for pair in (field.start, field.step))
        return cls(offsets * FACTOR, np.asarray(field.peak_ratio) >= CLEAR, start, step)

    def boxes(self, chips: ChipGrid, block: blocks.Block, whole: Boxes) -> Boxes:
        """Offsets at which the posts of a block are looked for: near what is known, else all of `whole`."""
        place = self._nearest(chips, block)
        known, out = self._known[place], whole.copy()
        for axis in (0, 1):
            low, high = (np.where(known, part[axis][place], 0) for part in (self._low, self._high))
            out[2 * axis] = np.maximum(whole[2 * axis], np.floor(low) - SLACK)
            out[2 * axis + 1] = np.minimum(whole[2 * axis + 1], np.ceil(high) + SLACK)
            known &= out[2 * axis + 1] - out[2 * axis] >= SLACK  # else hardly a part of the search agrees
        return np.where(known, out, whole)

    def doubted(
        self, chips: ChipGrid, block: blocks.Block, score: NDArray[Any], ratio: NDArray[Any]
    ) -> NDArray[np.bool_]:
        """Say which posts of a block may have gone elsewhere than where their score and peak ratio were found."""
        unsure = ~self.clear[self._nearest(chips, block)] & ~(score >= SURE)
        return np.asarray(unsure | ~(ratio >= CLEAR))

    def _nearest(self, chips: ChipGrid, block: blocks.Block) -> tuple[NDArray[np.intp], ...]:
        """Rows and columns of the offsets nearest to the posts of a block."""
        index = []
        for axis, posts in enumerate((block.rows, block.cols)):
            place = chips.centre[axis] + np.arange(posts.start, posts.stop) * chips.step[axis]
            nearest = np.round((place - self.start[axis]) / self.step[axis]).astype(np.intp)
            index.append(np.clip(nearest, 0, self.offsets.shape[1 + axis] - 1))
        return np.ix_(*index)


def _smaller(scaled: Scaled, mapper: blocks.Mapper) -> Image:
    """Return an image with larger pixels, in memory where it is small."""
    small = Shrunk(scaled, FACTOR)
    if small.shape[0] * small.shape[1] > _HELD:
        return Image(small)
    mean, valid = overview(scaled, FACTOR, mapper=mapper)
    return Image(np.where(valid, mean, np.nan).astype(np.float32))


def _lowest_around(values: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Lowest of what is known here and next to here."""
    return np.asarray(ndimage.minimum_filter(np.where(known, values, np.inf), size=3, mode="nearest"), float)


def _without_mistakes(values: NDArray[Any]) -> NDArray[np.float64]:
    """NaN where a value is far from the median of what is known around it."""
    known = np.isfinite(values)
    if not known.any():
        return values.astype(float)
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    middle = ndimage.median_filter(values[tuple(nearest)], size=5, mode="nearest")
    return np.where(np.abs(values - middle) <= _AGREE, values, np.nan).astype(float)
