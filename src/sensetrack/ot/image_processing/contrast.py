"""Contrast: filters that look at one pixel at a time, in the light of the whole image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from sensetrack.ot.image_processing.base import (
    Preprocessor,
    centred,
    level_and_range,
    register,
    sample,
    stretched,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.ot.interfaces import Image

_POINTS = 4096
"""Points of a cumulative distribution that are kept."""


@register
class NoPreprocessing(Preprocessor):
    """Leave the pixels as they are."""

    name: ClassVar[str] = "none"

    def apply(self, values: NDArray[Any], valid: NDArray[np.bool_], fitted: Any) -> NDArray[Any]:  # noqa: ARG002
        """Return the pixels."""
        return values


@register
class Equalize(Preprocessor):
    """Histogram equalisation: every pixel becomes its rank in the whole image, 0..1.

    Tames the long tail of linear SAR backscatter and differences of illumination.
    """

    name: ClassVar[str] = "equalize"

    def fit(self, image: Image) -> tuple[NDArray[Any], NDArray[Any]]:
        """Learn the cumulative distribution, at most 4096 points of it."""
        pixels = sample(image)
        if pixels.size == 0:
            return np.zeros(1), np.zeros(1)
        levels, counts = np.unique(pixels, return_counts=True)
        ranks = self._ranks(counts)
        if levels.size > _POINTS:
            keep = np.unique(np.searchsorted(ranks, np.linspace(0, 1, _POINTS)).clip(0, levels.size - 1))
            levels, ranks = levels[keep], ranks[keep]
        return levels, ranks

    def _ranks(self, counts: NDArray[Any]) -> NDArray[np.float64]:
        """Rank of each grey level: the share of pixels that are darker, plus half of those that are equal."""
        return np.asarray((np.cumsum(counts) - counts / 2) / counts.sum())

    def apply(self, values: NDArray[Any], valid: NDArray[np.bool_], fitted: Any) -> NDArray[Any]:
        """Look the ranks up."""
        levels, ranks = fitted
        return np.asarray(np.interp(np.where(valid, values, levels[0]), levels, ranks))


@register
class MinMax(Preprocessor):
    """Stretch the grey values to 0..1 between the darkest and the brightest pixel.

    A single absurd pixel takes the whole range; `cut` leaves such pixels out.
    """

    name: ClassVar[str] = "minmax"

    cut: float = Field(
        0.0,
        ge=0,
        lt=50,
        description="pixels left out at each end; they become 0 and 1",
        json_schema_extra={"unit": "%"},
    )

    def fit(self, image: Image) -> tuple[float, float]:
        """Learn the darkest and the brightest grey value."""
        return level_and_range(image, self.cut)

    def apply(self, values: NDArray[Any], valid: NDArray[np.bool_], fitted: Any) -> NDArray[Any]:
        """Stretch."""
        return stretched(values, valid, fitted)


@register
class ZScore(Preprocessor):
    """Give the image a mean of 0 and a standard deviation of 1."""

    name: ClassVar[str] = "zscore"

    def fit(self, image: Image) -> tuple[float, float]:
        """Learn mean and standard deviation (1 where the image is constant)."""
        pixels = sample(image)
        if pixels.size == 0:
            return 0.0, 1.0
        first = pixels[0]  # taken off first, so that a constant image has exactly no deviation
        return float(first + (pixels - first).mean()), float((pixels - first).std()) or 1.0

    def apply(self, values: NDArray[Any], valid: NDArray[np.bool_], fitted: Any) -> NDArray[Any]:
        """Standardise."""
        return centred(values, valid, fitted)


@register
class LogNorm(Preprocessor):
    """Lift the dark grey values: `gain` times the logarithm to base 2 of 1 + x, with x the image stretched to 0..1."""

    name: ClassVar[str] = "lognorm"

    gain: float = Field(1.0, gt=0, description="the brightest pixel becomes this")

    def fit(self, image: Image) -> tuple[float, float]:
        """Learn the darkest and the brightest grey value."""
        return level_and_range(image)

    def apply(self, values: NDArray[Any], valid: NDArray[np.bool_], fitted: Any) -> NDArray[Any]:
        """Take the logarithm."""
        return np.asarray(self.gain * np.log2(1 + stretched(values, valid, fitted)))


@register
class Decibel(Preprocessor):
    """Decibels: 10 log10 of power, or 20 log10 of amplitude.

    Makes the spread of SAR speckle the same in bright and dark ground. Pixels at or below zero have no logarithm;
    they and all that is darker than `floor` count as the floor and stay valid.
    """

    name: ClassVar[str] = "db"

    quantity: Literal["power", "amplitude"] = Field(
        "power", description="what the pixels are: power (intensity, sigma0) or amplitude (its square root)"
    )
    floor: float | None = Field(
        None,
        description="darkest value; by default the 0.1th percentile of the pixels above zero",
        json_schema_extra={"unit": "dB"},
    )

    @property
    def factor(self) -> float:
        """Decibels per decade."""
        return 10.0 if self.quantity == "power" else 20.0

    def fit(self, image: Image) -> float:
        """Learn the floor, in units of the image."""
        if self.floor is not None:
            return float(np.clip(10.0 ** np.clip(self.floor / self.factor, -300, 300), 1e-300, 1e20))
        pixels = sample(image)
        positive = pixels[pixels > 0]
        return float(np.percentile(positive, 0.1, method="lower")) if positive.size else 1.0

    def apply(self, values: NDArray[Any], valid: NDArray[np.bool_], fitted: Any) -> NDArray[Any]:
        """Take the logarithm."""
        number = np.where(valid, values, fitted).astype(np.float64)
        return np.asarray(self.factor * np.log10(np.maximum(number, fitted)))
