"""Zero-mean normalised cross-correlation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import BeforeValidator, Field

from sensetrack.ot.algorithms.guide import FACTOR, Aim, Guide
from sensetrack.ot.algorithms.registry import register
from sensetrack.ot.chips import ChipGrid
from sensetrack.ot.interfaces import Flag, Match, OTAlgorithm, Tile
from sensetrack.ot.matching import match_chips
from sensetrack.ot.parameters import PxPair, both
from sensetrack.ot.peak import MARGIN, Peaks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sensetrack import blocks
    from sensetrack.ot.tiles import Scaled

_WIDE = 20
"""Half width of a search, px, from which smaller images are looked at first."""
_LEAST = 16
"""Least side of a chip on the smaller images, px."""


@register
class NCC(OTAlgorithm):
    """Zero-mean normalised cross-correlation of chips in a search area, to a small fraction of a pixel.

    The workhorse for landslides, glaciers and SAR amplitude: it bears changes of brightness and contrast,
    missing pixels and noise, and says for each post how good the match is. The peak of the correlation
    surface is interpolated with a windowed sinc (no grid of sub-pixel steps, hence no locking to one).
    """

    name: ClassVar[str] = "ncc"

    chip: Annotated[PxPair, BeforeValidator(both)] = Field(
        (64, 64),
        description="size of the chips that are looked for, rows and columns",
        json_schema_extra={"unit": "px"},
    )
    step: Annotated[PxPair, BeforeValidator(both)] = Field(
        (16, 16), description="distance between chips: one post each", json_schema_extra={"unit": "px"}
    )
    search: Annotated[PxPair, BeforeValidator(both)] = Field(
        (16, 16),
        description="half width of the search: offsets up to this are found",
        json_schema_extra={"unit": "px"},
    )
    min_valid: float = Field(0.5, gt=0, le=1, description="share of a chip's pixels that must be usable in both images")

    pyramid: bool = Field(
        default=True,
        description="where the search is wide, look on smaller images first and search finely around what is found",
    )

    def aim(
        self,
        images: tuple[Scaled, Scaled],
        chips: ChipGrid,
        gross: tuple[int, int],
        mapper: blocks.Mapper,
        prior: NDArray[Any] | None,
    ) -> Callable[[blocks.Block], tuple[Self, tuple[int, int]]]:
        """Search around what is known beforehand, or finely around what smaller images say where that is worth it."""
        if prior is not None:
            guide = Guide(prior, chips.centre, chips.step, self.search)
        elif self.pyramid and max(self.search) > _WIDE and min(chips.image) >= FACTOR * _LEAST:
            guide = Guide.from_smaller(images, self._coarse(), gross, mapper)
        else:
            return super().aim(images, chips, gross, mapper, prior)
        full = Aim(gross, self.search)

        def aimed(block: blocks.Block) -> tuple[Self, tuple[int, int]]:
            found = guide.aim(chips, block, full)
            return self.model_copy(update={"search": found.search, "pyramid": False}), found.shift

        return aimed

    def _coarse(self) -> NCC:
        """Return the same for the smaller images, with chips large enough to tell a match from noise."""
        rows, cols = (max(size // FACTOR, _LEAST) for size in self.chip)
        search = tuple(-(-size // FACTOR) + 1 for size in self.search)
        step = rows // 2, cols // 2
        return NCC(chip=(rows, cols), step=step, search=search, min_valid=self.min_valid, pyramid=False)

    @property
    def support(self) -> tuple[int, int]:
        """The chip."""
        return self.chip

    @property
    def reach(self) -> tuple[int, int]:
        """The search."""
        return self.search

    @property
    def halo(self) -> tuple[int, int]:
        """The search, and what interpolating a peak at its end needs."""
        return self.search[0] + MARGIN, self.search[1] + MARGIN

    def chips(self, shape: tuple[int, int]) -> ChipGrid:
        """Chips of `chip` px every `step` px."""
        return ChipGrid(shape, self.chip, self.step)

    def match(self, reference: Tile, secondary: Tile, chips: ChipGrid) -> Match:
        """Correlate the chips of a tile, a row of posts at a time."""
        rows = [self._row(reference, secondary, chips, i) for i in range(chips.shape[0])]
        return Match(*(np.stack(layer) for layer in zip(*rows, strict=True)))

    def _row(self, reference: Tile, secondary: Tile, chips: ChipGrid, i: int) -> Match:
        top, (h, w) = i * chips.step[0], self.chip
        area = (h + 2 * self.halo[0], w + 2 * self.halo[1])
        inside = slice(self.halo[0], self.halo[0] + h), slice(self.halo[1], self.halo[1] + w)

        def cut(values: Any) -> Any:
            line = values[top : top + area[0]]
            windows = np.lib.stride_tricks.sliding_window_view(line, area)[0]
            return windows[:: chips.step[1]][: chips.shape[1]]

        valid, areas_valid = cut(reference.valid)[:, *inside], cut(secondary.valid)
        peaks = match_chips(
            cut(reference.values)[:, *inside],
            valid,
            cut(secondary.values),
            areas_valid,
            search=self.search,
            min_valid=self.min_valid,
        )
        share = np.minimum(valid.mean(axis=(1, 2)), areas_valid[:, *inside].mean(axis=(1, 2)))
        flags = np.zeros(len(valid), np.uint16)
        flags[peaks.missing & (share < self.min_valid)] |= Flag.NO_DATA.bit
        flags[peaks.missing & (share >= self.min_valid)] |= Flag.LOW_TEXTURE.bit
        flags[peaks.at_edge & ~peaks.missing] |= Flag.PEAK_AT_EDGE.bit
        covariance = _covariance(peaks, h * w)
        return Match(peaks.row, peaks.col, flags, peaks.score, peaks.snr, peaks.peak_ratio, covariance)


def _covariance(peaks: Peaks, number: int) -> Any:
    """Variance of row, of column and their covariance (px^2) from height and curvature of the peaks.

    With white noise of variance s^2 on a chip of n pixels and variance p^2 the Cramer-Rao bound is
    s^2 / (n p^2) G^-1, where the correlation falls off as score (1 - x' G x / 2) and
    s^2 / p^2 = (1 - score^2) / score^2; hence (1 - score^2) / (n score) (-H)^-1 with H the curvature.
    """
    rr, cc, rc = np.moveaxis(peaks.curvature, -1, 0)
    determinant = rr * cc - rc**2
    score = np.clip(peaks.score, 1e-3, 1.0)
    clean = (determinant > 0) & (rr < 0)
    factor = np.where(clean, (1 - score**2) / (number * score) / np.where(clean, determinant, 1.0), np.nan)
    return np.stack([-cc * factor, -rr * factor, rc * factor], axis=-1)
