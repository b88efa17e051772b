"""Zero-mean normalised cross-correlation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import BeforeValidator, Field

from sensetrack.ot.algorithms.guide import FACTOR, Aim, Guide
from sensetrack.ot.algorithms.registry import register
from sensetrack.ot.chips import ChipGrid
from sensetrack.ot.engine import Kernel, State, best_kernel, correlate_tile
from sensetrack.ot.interfaces import Flag, Match, OTAlgorithm, Tile
from sensetrack.ot.parameters import PxPair, both
from sensetrack.ot.peak import MARGIN, Subpixel

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sensetrack import blocks
    from sensetrack.ot.tiles import Scaled

_WIDE = 20
"""Half width of a search, px, from which smaller images are looked at first."""
_LEAST = 16
"""Least side of a chip on the smaller images, px."""
_FLAGS = np.zeros(len(State), np.uint16)
_FLAGS[[State.NO_DATA, State.FLAT, State.EDGE]] = Flag.NO_DATA, Flag.LOW_TEXTURE, Flag.PEAK_AT_EDGE


def _several(value: Any) -> Any:
    """Read one number, or text such as ``2,4``, as a tuple."""
    if isinstance(value, str):
        return tuple(part for part in value.split(",") if part.strip())
    return value if isinstance(value, (tuple, list)) else (value,)


@register
class NCC(OTAlgorithm):
    """Zero-mean normalised cross-correlation of chips in a search area, to a small fraction of a pixel.

    The workhorse for landslides, glaciers and SAR amplitude: it bears changes of brightness and contrast,
    missing pixels and noise, and says for each post how good the match is. The peak is found on a continuous
    surface, not on a grid of sub-pixel steps, and is hardly drawn to whole pixels.
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

    larger: Annotated[tuple[Annotated[float, Field(gt=1, le=8)], ...], BeforeValidator(_several)] = Field(
        (),
        description="larger chips, as multiples of the chip, that are tried one after the other where the one before "
        "fails, such as 2,4; the size is recorded for each post",
    )
    subpixel: Subpixel = Field(
        "sinc",
        description="how the peak is found between samples: on a windowed sinc, a parabola or a Gaussian through three "
        "samples, or by an upsampled Fourier transform to 0.01 px",
    )
    kernel: Kernel = Field(
        "auto",
        description="what sums the products: vector (instructions of this processor), plain (left to the compiler), "
        "opencv (nothing to compile); auto is the fastest there is, and they agree to 1e-4 of the score",
    )
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
    def chosen(self) -> dict[str, str]:
        """The micro-kernel."""
        return {"kernel": best_kernel() if self.kernel == "auto" else self.kernel}

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
        """The search, what interpolating a peak at its end needs, and what the largest chips reach beyond the first."""
        beyond = max(self._growth, default=0)
        return self.search[0] + MARGIN + beyond, self.search[1] + MARGIN + beyond

    @property
    def _growth(self) -> list[int]:
        """Pixels that each of the larger chips reaches beyond the first, on every side."""
        return [int(np.ceil((factor - 1) * min(self.chip) / 2)) for factor in self.larger]

    def chips(self, shape: tuple[int, int]) -> ChipGrid:
        """Chips of `chip` px every `step` px."""
        return ChipGrid(shape, self.chip, self.step)

    def match(self, reference: Tile, secondary: Tile, chips: ChipGrid) -> Match:
        """Correlate the chips of a tile; where that fails, larger ones around the same posts."""
        found = self._match(reference, secondary, chips, 0)
        if not self.larger:
            return found
        size = np.full(chips.shape, self.chip[0], np.uint16)
        for growth in self._growth:
            failed = (found.flags > 0) | (np.asarray(found.score) < self.min_score)
            if not failed.any():
                break
            again = self._match(reference, secondary, chips, growth, failed)
            better = failed & (again.flags == 0) & (np.asarray(again.score) >= self.min_score)
            found = Match(*(_where(better, new, old) for new, old in zip(again[:7], found[:7], strict=True)))
            size[better] = self.chip[0] + 2 * growth
        return found._replace(chip_size=size)

    def _match(
        self, reference: Tile, secondary: Tile, chips: ChipGrid, growth: int, wanted: NDArray[np.bool_] | None = None
    ) -> Match:
        """Correlate chips that reach `growth` px beyond those of the grid on every side; all, or those `wanted`."""
        inner, area = [], []
        for halo, size, search in zip(self.halo, chips.image, self.search, strict=True):
            inner.append(slice(halo - growth, halo + size + growth))
            area.append(slice(halo - growth - search - MARGIN, halo + size + growth + search + MARGIN))
        found = correlate_tile(
            reference.values[*inner],
            secondary.values[*area],
            reference_valid=reference.valid[*inner],
            secondary_valid=secondary.valid[*area],
            chip=(self.chip[0] + 2 * growth, self.chip[1] + 2 * growth),
            step=self.step,
            posts=chips.shape,
            search=self.search,
            min_valid=self.min_valid,
            wanted=wanted,
            kernel=self.kernel,
            subpixel=self.subpixel,
        )
        return Match(
            found.d_row, found.d_col, _FLAGS[found.state], found.score, found.snr, found.peak_ratio, found.covariance
        )


def _where(condition: NDArray[np.bool_], new: Any, old: Any) -> Any:
    return np.where(condition if new.ndim == 2 else condition[..., None], new, old)
