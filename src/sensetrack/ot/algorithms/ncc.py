"""Zero-mean normalised cross-correlation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import BeforeValidator, Field

from sensetrack.ot.algorithms.guide import FACTOR, Guide
from sensetrack.ot.algorithms.registry import register
from sensetrack.ot.chips import ChipGrid
from sensetrack.ot.engine import Kernel, State, best_kernel, correlate_tile
from sensetrack.ot.interfaces import Flag, Match, OTAlgorithm, Tile
from sensetrack.ot.looks import looks
from sensetrack.ot.parameters import PxPair, both
from sensetrack.ot.peak import MARGIN, Subpixel
from sensetrack.ot.tiles import shifted

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sensetrack import blocks
    from sensetrack.ot.looks import Boxes, Scene

_WIDE = 20
"""Half width of a search, px, from which smaller images are looked at first."""
_LEAST = 16
"""Least side of a chip on the smaller images, px."""
_LAYERS = 7
"""Layers of a match that the engine fills."""
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
    block: ClassVar[tuple[int, int]] = (48, 64)

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
        description="where the search is wide, look on smaller images first and search finely around what is found; "
        "all over where that is in doubt",
    )

    def aim(self, scene: Scene, mapper: blocks.Mapper) -> Callable[[blocks.Block], Match]:
        """Search around what is known beforehand, or finely around what smaller images say where that is worth it."""
        guide = self._guide(scene, mapper)

        def measured(block: blocks.Block) -> Match:
            return self._growing(lambda growth, wanted: self._search(scene, guide, block, growth, wanted), block.shape)

        return measured

    def _guide(self, scene: Scene, mapper: blocks.Mapper) -> Guide | None:
        """Look at smaller images where the search is wide; around a prior it is taken as it is."""
        widest = scene.widest(self.search)
        if not self.pyramid or scene.prior is not None or max(widest) <= _WIDE:
            return None
        if min(scene.chips.image) < FACTOR * _LEAST:
            return None
        return Guide.from_smaller(scene.images, self._coarse(widest), scene.gross, mapper)

    def _coarse(self, widest: tuple[int, int]) -> NCC:
        """Return the same for the smaller images, with chips large enough to tell a match from noise."""
        rows, cols = (max(size // FACTOR, _LEAST) for size in self.chip)
        search = tuple(-(-size // FACTOR) + 1 for size in widest)
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

        def measured(growth: int, wanted: NDArray[np.bool_]) -> Match:
            return self._correlate(
                _without(reference, (self.halo[0] - growth, self.halo[1] - growth)),
                _without(secondary, (self.halo[0] - growth - self._margin[0], self.halo[1] - growth - self._margin[1])),
                chips, growth, self.search, wanted,
            )  # fmt: skip

        return self._growing(measured, chips.shape)

    @property
    def _margin(self) -> tuple[int, int]:
        """Pixels of the secondary that are needed beyond a chip."""
        return self.search[0] + MARGIN, self.search[1] + MARGIN

    def _growing(self, measured: Callable[[int, NDArray[np.bool_]], Match], shape: tuple[int, int]) -> Match:
        """Measure with the chips as they are; where that fails, with larger ones."""
        found = measured(0, np.ones(shape, bool))
        if not self.larger:
            return found
        size = np.full(shape, self.chip[0], np.uint16)
        for growth in self._growth:
            failed = self._failed(found)
            if not failed.any():
                break
            again = measured(growth, failed)
            better = failed & ~self._failed(again)
            found = _where(better, again, found)
            size[better] = self.chip[0] + 2 * growth
        return found._replace(chip_size=size)

    def _failed(self, found: Match) -> NDArray[np.bool_]:
        return np.asarray((found.flags > 0) | (np.asarray(found.score) < self.min_score))

    def _search(
        self, scene: Scene, guide: Guide | None, block: blocks.Block, growth: int, wanted: NDArray[np.bool_]
    ) -> Match:
        """Look where posts are likely to have gone; where that is no good, wherever they may have gone."""
        whole = scene.boxes(block, self.search)
        if guide is None:
            return self._look(scene, block, whole, whole, growth, wanted)[0]
        likely = guide.boxes(scene.chips, block, whole)
        found, done = self._look(scene, block, likely, whole, growth, wanted)
        score, ratio = np.asarray(found.score), np.asarray(found.peak_ratio)
        again = wanted & ~done & (self._failed(found) | guide.doubted(scene.chips, block, score, ratio))
        if not again.any():
            return found
        wider, _ = self._look(scene, block, whole, whole, growth, again)
        return _where(again & ~(score > wider.score), wider, found)

    def _look(  # noqa: PLR0917
        self, scene: Scene, block: blocks.Block, boxes: Boxes, whole: Boxes, growth: int, wanted: NDArray[np.bool_]
    ) -> tuple[Match, NDArray[np.bool_]]:
        """Search the boxes of wanted posts; where there are limits, what is found lies in their `whole` boxes.

        Says as well for which posts that was all of these.
        """
        found, done = _nothing(block.shape), np.zeros(block.shape, bool)
        for look in looks(block, boxes, wanted, scene.chips):
            part, (rows, cols) = look.block, _inside(look.block, block)
            halo = look.search[0] + MARGIN + growth, look.search[1] + MARGIN + growth
            inside = whole[:, rows, cols] - np.repeat(look.shift, 2)[:, None, None]
            limit = np.repeat(look.search, 2)[:, None, None]
            new = self._correlate(
                scene.reference(part, (growth, growth)),
                scene.secondary(part, look.shift, halo),
                scene.chips_of(part),
                growth,
                look.search,
                look.wanted,
                within=None if scene.limits is None else inside.clip(-limit, limit).astype(np.int32),
            )
            new = new._replace(d_row=new.d_row + look.shift[0], d_col=new.d_col + look.shift[1])
            for layer, values in zip(found[:_LAYERS], new[:_LAYERS], strict=True):
                layer[rows, cols][look.wanted] = values[look.wanted]  # type: ignore[index]
            done[rows, cols] |= look.wanted & (abs(inside) <= limit).all(axis=0)
        return found, done

    def _correlate(  # noqa: PLR0917
        self,
        reference: Tile,
        secondary: Tile,
        chips: ChipGrid,
        growth: int,
        search: tuple[int, int],
        wanted: NDArray[np.bool_],
        *,
        within: NDArray[np.int32] | None = None,
    ) -> Match:
        """Correlate wanted chips that reach `growth` px beyond those of the grid on every side."""
        found = correlate_tile(
            reference.values,
            secondary.values,
            reference_valid=reference.valid,
            secondary_valid=secondary.valid,
            chip=(self.chip[0] + 2 * growth, self.chip[1] + 2 * growth),
            step=self.step,
            posts=chips.shape,
            search=search,
            min_valid=self.min_valid,
            wanted=None if wanted.all() else wanted,
            kernel=self.kernel,
            subpixel=self.subpixel,
            within=within,
        )
        return Match(
            found.d_row, found.d_col, _FLAGS[found.state], found.score, found.snr, found.peak_ratio, found.covariance
        )


def _without(tile: Tile, edge: tuple[int, int]) -> Tile:
    """Cut what is not needed off the edges of a tile."""
    inner = tuple(slice(by, size - by) for by, size in zip(edge, tile.values.shape, strict=True))
    return Tile(tile.values[inner], tile.valid[inner])


def _inside(part: blocks.Block, block: blocks.Block) -> tuple[slice, slice]:
    """Rows and columns of a block that a part of it covers."""
    return shifted(part.rows, -block.rows.start), shifted(part.cols, -block.cols.start)


def _nothing(shape: tuple[int, int]) -> Match:
    """Return a match in which nothing is known yet."""
    empty = [np.full(shape, np.nan) for _ in range(5)]
    flags = np.full(shape, Flag.NO_DATA.bit)
    return Match(empty[0], empty[1], flags, empty[2], empty[3], empty[4], np.full((*shape, 3), np.nan))


def _where(condition: NDArray[np.bool_], new: Match, old: Match) -> Match:
    """Take posts from one match where the condition holds, and from another elsewhere."""
    pairs = [(np.asarray(a), np.asarray(b)) for a, b in zip(new[:_LAYERS], old[:_LAYERS], strict=True)]
    return Match(*(np.where(condition if a.ndim == 2 else condition[..., None], a, b) for a, b in pairs))
