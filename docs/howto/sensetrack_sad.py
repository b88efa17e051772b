"""Sum of absolute differences, as many a video encoder matches; and a filter that makes it bear changes of light."""

from typing import Annotated, ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from pydantic import BeforeValidator, Field
from scipy import ndimage

from sensetrack.ot.algorithms import register
from sensetrack.ot.chips import ChipGrid
from sensetrack.ot.image_processing import Preprocessor
from sensetrack.ot.image_processing import register as register_filter
from sensetrack.ot.interfaces import Flag, Match, OTAlgorithm
from sensetrack.ot.parameters import PxPair, both


@register
class SumOfDifferences(OTAlgorithm):
    """Chips matched by the least sum of absolute differences, to a whole pixel."""

    name: ClassVar[str] = "sad"

    chip: Annotated[PxPair, BeforeValidator(both)] = Field((32, 32), description="size of the chips")
    step: Annotated[PxPair, BeforeValidator(both)] = Field((16, 16), description="distance between chips")
    search: Annotated[PxPair, BeforeValidator(both)] = Field((8, 8), description="half width of the search")

    @property
    def support(self):
        """Pixels around a post that decide its offset."""
        return self.chip

    @property
    def halo(self):
        """Pixels that are read around the chips of a tile."""
        return self.search

    def chips(self, shape):
        """Chips of `chip` px every `step` px."""
        return ChipGrid(shape, self.chip, self.step)

    def match(self, reference, secondary, chips):
        """Try every shift, one after the other, on all chips of the tile."""

        def cut(pixels, d_row, d_col):
            top, left = self.search[0] + d_row, self.search[1] + d_col
            part = pixels[top : top + chips.image[0], left : left + chips.image[1]]
            return sliding_window_view(part, self.chip)[:: self.step[0], :: self.step[1]]

        first = cut(reference.values, 0, 0)
        complete = cut(reference.valid, 0, 0).all(axis=(2, 3))
        best = np.full(chips.shape, np.inf)
        d_row, d_col = np.zeros(chips.shape), np.zeros(chips.shape)
        for i, j in np.ndindex(2 * self.search[0] + 1, 2 * self.search[1] + 1):
            shift = i - self.search[0], j - self.search[1]
            there = cut(secondary.valid, *shift).all(axis=(2, 3))
            cost = np.where(there, np.abs(cut(secondary.values, *shift) - first).mean(axis=(2, 3)), np.inf)
            better = cost < best
            best[better], d_row[better], d_col[better] = cost[better], *shift
        spread = np.abs(first - first.mean(axis=(2, 3), keepdims=True)).mean(axis=(2, 3))
        known = complete & np.isfinite(best) & (spread > 0)
        score = np.where(known, 1 - best / np.where(known, 2 * spread, 1), np.nan)
        flags = np.where(known, 0, Flag.NO_DATA.bit).astype(np.uint16)
        return Match(np.where(known, d_row, np.nan), np.where(known, d_col, np.nan), flags, score)


@register_filter
class Gradient(Preprocessor):
    """How steep the grey values are: the light of the day drops out."""

    name: ClassVar[str] = "gradient"

    @property
    def halo(self):
        """Pixels needed around a window."""
        return 1

    def apply(self, values, valid, fitted):
        """Length of the gradient."""
        values = np.where(valid, values, np.mean(values, where=valid) if valid.any() else 0)
        return np.hypot(ndimage.sobel(values, 0), ndimage.sobel(values, 1))
