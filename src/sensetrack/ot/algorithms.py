"""The registered algorithms and their parameters.

Each converts what its library returns to the sign rule of the package (`sensetrack.ot.interfaces`) at the call,
and nowhere else.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, TypeVar

import numpy as np
from pydantic import BeforeValidator, Field

from sensetrack.errors import ConfigError, one_line
from sensetrack.ot.chips import ChipGrid
from sensetrack.ot.flow import fill_invalid, judge_flow
from sensetrack.ot.interfaces import Flag, Match, OTAlgorithm, Tile
from sensetrack.ot.matching import match_chips
from sensetrack.ot.parameters import PxPair, both
from sensetrack.ot.peak import MARGIN, Peaks

ALGORITHMS: dict[str, type[OTAlgorithm]] = {}
"""Every registered algorithm by name."""

A = TypeVar("A", bound=type[OTAlgorithm])


def register(algorithm: A) -> A:
    """Make an algorithm known to the command line, the configuration, the docs and the contract tests."""
    ALGORITHMS[algorithm.name] = algorithm
    return algorithm


def get_algorithm(name: str) -> type[OTAlgorithm]:
    """Look an algorithm up by name; an unknown name is an error that lists the known ones."""
    if name.lower() not in ALGORITHMS:
        message = f"there is no algorithm {one_line(name)!r}; there are {', '.join(sorted(ALGORITHMS))}"
        raise ConfigError(message)
    return ALGORITHMS[name.lower()]


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


@register
class OpenCVOpticalFlow(OTAlgorithm):
    """Dense optical flow after Farneback (2003): an offset for every pixel from local quadratic fits.

    Fast and smooth; for motions of a few pixels between images that look alike.
    """

    name: ClassVar[str] = "farneback"
    library: ClassVar[str] = "OpenCV"
    block: ClassVar[tuple[int, int]] = (1024, 1024)
    min_score: ClassVar[float] = 0.6
    """A flow follows noise to some degree: over its small windows chance reaches 0.5."""

    flow: tuple[float, float] | None = Field(
        None,
        description="first guess of the offset everywhere, rows and columns",
        json_schema_extra={"unit": "px"},
    )
    pyr_scale: float = Field(0.5, gt=0, lt=1, description="size of each pyramid level against the one below")
    levels: int = Field(4, ge=1, le=12, description="pyramid levels; 1 = the image alone")
    winsize: int = Field(16, ge=2, description="window the fits are averaged over", json_schema_extra={"unit": "px"})
    iterations: int = Field(5, ge=1, description="iterations on each level")
    poly_n: int = Field(
        5, ge=3, le=15, description="neighbourhood of the quadratic fit", json_schema_extra={"unit": "px"}
    )
    poly_sigma: float = Field(
        1.1, gt=0, description="Gaussian weight of that neighbourhood", json_schema_extra={"unit": "px"}
    )
    flags: int | None = Field(None, description="OpenCV flags: 256 = Gaussian window instead of a box")

    @property
    def support(self) -> tuple[int, int]:
        """The averaging window."""
        return self.winsize, self.winsize

    @property
    def halo(self) -> tuple[int, int]:
        """The reach of window and fit on the coarsest level, in pixels of the image."""
        reach = int(np.ceil((self.winsize + self.poly_n) * self.pyr_scale ** -(self.levels - 1)))
        return reach, reach

    def match(self, reference: Tile, secondary: Tile, chips: ChipGrid) -> Match:
        """Run OpenCV on one tile."""
        import cv2

        # OpenCV's regularisation is made for grey values 0..255: images scaled to 0..1 would not move at all.
        first, second = (100 * part + 128 for part in fill_invalid(reference, secondary, self.winsize / 2))
        guess: Any = None
        flags = self.flags or 0
        if self.flow is not None:
            guess = np.empty((*first.shape, 2), np.float32)
            guess[...] = self.flow[::-1]
            flags |= cv2.OPTFLOW_USE_INITIAL_FLOW
        out = cv2.calcOpticalFlowFarneback(
            first, second, guess, self.pyr_scale, self.levels, self.winsize, self.iterations,
            self.poly_n, self.poly_sigma, flags,
        )  # fmt: skip
        # OpenCV: motion as (columns, rows).
        window = 2 * (self.winsize // 2) + 1
        return judge_flow(
            reference, secondary, (out[..., 1], out[..., 0]), window=(window, window), chips=chips, halo=self.halo
        )
