"""Layers that tell surfaces apart: ratios of polarisations, and texture.

Texture is measured by local statistics, not by counting grey levels. Two of the measures of a grey level co-occurrence
matrix (GLCM) that are used most, contrast and correlation, are moments of the differences and products of neighbours:
computed directly they need no choice of levels and of a range (which would have to be taken from the whole image), and
cost a few sums per pixel. Of decibels they do not depend on brightness, as speckle multiplies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import numpy as np
from pydantic import BeforeValidator, Field, field_validator

from sensetrack.errors import ConfigError, InputError
from sensetrack.ot.parameters import Parameters, both
from sensetrack.sar.calibration import to_db
from sensetrack.sar.lazy import Lazy, around, inner, require_plane

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.ot.interfaces import Source

    Singles = NDArray[np.float32]
    Doubles = NDArray[np.float64]

Measure = Literal["variation", "contrast", "correlation", "deviation"]
"""What a texture is called."""
MEASURES: tuple[str, ...] = get_args(Measure)
UNITS = {"variation": "1", "contrast": "dB2", "correlation": "1", "deviation": "dB"}
"""Of the measures."""


def ratio(first: NDArray[Any], second: NDArray[Any]) -> Singles:
    """Return first / second of two linear intensities, float32; NaN where one is not measured or not above zero."""
    a, b = _pair(first, second)
    return np.divide(a, b, out=np.full(a.shape, np.nan, np.float32), where=(a > 0) & (b > 0))


def normalised_difference(first: NDArray[Any], second: NDArray[Any]) -> Singles:
    """Return (first - second) / (first + second) of two linear intensities, float32 between -1 and 1.

    NaN where one is not measured or negative, or both are zero.
    """
    a, b = _pair(first, second)
    good = (a >= 0) & (b >= 0) & (a + b > 0)
    return np.asarray(np.divide(a - b, a + b, out=np.full(a.shape, np.nan, np.float32), where=good))


def _pair(first: NDArray[Any], second: NDArray[Any]) -> tuple[Singles, Singles]:
    if first.shape != second.shape:
        raise InputError(f"two polarisations must have one shape, instead got {first.shape} and {second.shape}")
    return np.asarray(first, np.float32), np.asarray(second, np.float32)


class Texture(Parameters):
    """A measure of texture in a window, called with an image of linear intensity.

    - ``variation``: standard deviation / mean of the intensity; 1 / sqrt(looks) where there is speckle only.
    - ``deviation``: standard deviation of the decibels, dB.
    - ``contrast``: mean squared difference of neighbours in decibels, dB²: GLCM contrast without grey levels.
    - ``correlation``: of neighbours in decibels, -1 to 1: GLCM correlation; 0 where pixels are independent, and NaN
      where all are equal.

    Neighbours are one row and one column apart, both directions together. Pixels that were not measured stay NaN and
    count for nothing; in decibels, neither do those that are not above zero.
    """

    measure: Annotated[Measure, Field(description="what is measured")] = "variation"
    window: Annotated[
        tuple[int, int], BeforeValidator(both), Field(description="odd rows and columns of the window, px")
    ] = (9, 9)

    @field_validator("window")
    @classmethod
    def _odd(cls, window: tuple[int, int]) -> tuple[int, int]:
        if any(size < 3 or size % 2 == 0 for size in window):
            raise ConfigError(f"window of a texture must be odd and at least 3, instead got {window}")
        return window

    @property
    def halo(self) -> tuple[int, int]:
        """Rows and columns around a pixel that it depends on."""
        return self.window[0] // 2, self.window[1] // 2

    def __call__(self, intensity: NDArray[Any]) -> Singles:
        """Measure an image: (rows, cols) real -> (rows, cols) float32. Never changed."""
        if np.iscomplexobj(intensity) or intensity.ndim != 2:
            raise InputError(
                f"texture is that of (rows, cols) intensity, instead got {intensity.dtype} {intensity.shape}"
            )
        linear = np.asarray(intensity, np.float64)
        if self.measure == "variation":
            mean, variance = _moments(linear, self.window)
            found = np.divide(np.sqrt(variance), mean, out=np.full(mean.shape, np.nan), where=mean > 0)
        else:
            decibels = np.where(linear > 0, to_db(np.where(linear > 0, linear, np.nan), -300.0), np.nan)
            found = self._of_decibels(decibels.astype(np.float64))
        found[~np.isfinite(linear)] = np.nan
        return np.asarray(found, np.float32)

    def _of_decibels(self, decibels: Doubles) -> Doubles:
        _, variance = _moments(decibels, self.window)
        if self.measure == "deviation":
            return np.sqrt(variance)
        squares, pairs = np.zeros(decibels.shape), np.zeros(decibels.shape)
        for axis in (0, 1):
            # Pairs whose first pixel lies in a window that is one smaller: both pixels are in the window.
            step = np.full(decibels.shape, np.nan)
            step[: decibels.shape[0] - (axis == 0), : decibels.shape[1] - (axis == 1)] = np.diff(decibels, axis=axis)
            known = np.isfinite(step)
            size = self.window[0] - (axis == 0), self.window[1] - (axis == 1)
            squares += _sum(np.where(known, step * step, 0), size)
            pairs += _sum(known.astype(np.float64), size)
        contrast: Doubles = np.divide(squares, pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)
        if self.measure == "contrast":
            return contrast
        # E (a - b)² = 2 var (1 - correlation)
        alike = np.divide(contrast, 2 * variance, out=np.full(pairs.shape, np.nan), where=variance > 0)
        return np.asarray(np.clip(1 - alike, -1, 1))


class Textured(Lazy):
    """Texture that is computed when a window of it is read.

    Parameters
    ----------
    source : Source
        (rows, cols) intensity.
    texture : Texture
    """

    def __init__(self, source: Source, texture: Texture) -> None:
        self.shape, self.dtype = require_plane("an intensity", source), np.dtype(np.float32)
        self._source, self._texture = source, texture

    def read(self, rows: slice, cols: slice) -> Singles:
        """Compute a window."""
        outer = around(rows, cols, self._texture.halo, self.shape)
        return inner(self._texture(np.asarray(self._source[outer])), outer, rows, cols)


def _moments(values: Doubles, window: tuple[int, int]) -> tuple[Doubles, Doubles]:
    """Mean and variance of what is known in a window around each pixel; NaN where nothing is."""
    known = np.isfinite(values)
    filled = np.where(known, values, 0)
    count = _sum(known.astype(np.float64), window)
    with np.errstate(all="ignore"):
        mean = _sum(filled, window) / count
        variance = _sum(filled * filled, window) / count - mean * mean
    # What is left of rounding where all are equal is no variance.
    return mean, np.where(variance > 1e-12 * mean * mean, variance, np.where(count > 0, 0, np.nan))


def _sum(values: Doubles, size: tuple[int, int]) -> Doubles:
    """Sum in windows of `size` that begin size // 2 before each pixel; nothing beyond the edge.

    Each sum is taken anew: one that runs along the line would keep the rounding of every bright target it met.
    """
    import cv2

    down, across = np.ones(size[0]), np.ones(size[1])
    sums = cv2.sepFilter2D(values, cv2.CV_64F, across, down, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(sums, np.float64)
