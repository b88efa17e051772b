"""Filters against speckle, on linear intensity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import numpy as np
from pydantic import BeforeValidator, Field, field_validator

from sensetrack.errors import ConfigError, InputError
from sensetrack.ot.parameters import Parameters, both
from sensetrack.sar import speckle_kernels, speckle_plain
from sensetrack.sar.compiling import WORKS
from sensetrack.sar.lazy import Lazy, around, inner, require_plane
from sensetrack.sar.sigma_range import sigma_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.ot.interfaces import Source

    Singles = NDArray[np.float32]

Method = Literal["boxcar", "lee", "refined_lee", "lee_sigma", "frost", "gamma_map"]
"""What a filter is called."""
METHODS: tuple[str, ...] = get_args(Method)

_BLOCK = 16
"""Pixels of the windows from which looks are estimated."""


class SpeckleFilter(Parameters):
    """A speckle filter for linear intensity, called with an image.

    All of them weigh a pixel against the mean of a window around it, by how much more the window varies than speckle
    of so many looks does. Pixels that were not measured (NaN) stay NaN and count for nothing in the windows of
    others; beyond the edge of the image there is nothing either. A pixel depends on its window only.
    """

    method: Annotated[Method, Field(description="which filter")] = "refined_lee"
    window: Annotated[
        tuple[int, int], BeforeValidator(both), Field(description="odd rows and columns of the window, px")
    ] = (7, 7)
    looks: Annotated[float, Field(gt=0, allow_inf_nan=False, description="equivalent number of looks of the image")] = (
        1.0
    )
    damping: Annotated[
        float, Field(ge=0, allow_inf_nan=False, description="frost: how fast weights fall where the image varies")
    ] = 2.0
    share: Annotated[float, Field(ge=0.5, le=0.95, description="lee_sigma: share of the speckle that is averaged")] = (
        0.9
    )
    bright: Annotated[
        float, Field(gt=0, description="lee_sigma: intensity above which groups of pixels are targets and kept")
    ] = float("inf")

    @field_validator("window")
    @classmethod
    def _odd(cls, window: tuple[int, int]) -> tuple[int, int]:
        if any(size < 3 or size % 2 == 0 for size in window):
            raise ConfigError(f"window of a speckle filter must be odd and at least 3, instead got {window}")
        return window

    @property
    def halo(self) -> tuple[int, int]:
        """Rows and columns around a pixel that it depends on."""
        return self.window[0] // 2, self.window[1] // 2

    def __call__(self, intensity: NDArray[Any]) -> Singles:
        """Filter an image.

        Parameters
        ----------
        intensity : (rows, cols) real
            Linear power; may be negative where noise was subtracted. Never changed.

        Returns
        -------
        (rows, cols) float32
        """
        if np.iscomplexobj(intensity) or intensity.ndim != 2:
            found = f"{intensity.dtype} {intensity.shape}"
            raise InputError(f"speckle is filtered in (rows, cols) intensity, instead got {found}")
        halo, variation = self.halo, 1.0 / self.looks
        image = _padded(intensity, halo)
        out = np.empty(intensity.shape, np.float32)
        ways: Any = speckle_kernels if WORKS else speckle_plain
        if self.method == "frost":
            ways.frost(image, halo, self.damping, out)
        elif self.method == "lee_sigma":
            ways.lee_sigma(image, halo, variation, sigma_range(self.looks, self.share), self.bright, out)
        elif self.method == "refined_lee":
            ways.refined_lee(image, halo, variation, out)
        else:
            code = ("boxcar", "lee", "gamma_map").index(self.method)
            ways.by_window(image, halo, self.looks, code, out)
        return out


def _padded(intensity: NDArray[Any], halo: tuple[int, int]) -> Singles:
    """Return a copy with NaN for a halo around it, and for infinities."""
    rows, cols = intensity.shape
    padded = np.full((rows + 2 * halo[0], cols + 2 * halo[1]), np.nan, np.float32)
    middle = padded[halo[0] : halo[0] + rows, halo[1] : halo[1] + cols]
    np.copyto(middle, intensity, casting="unsafe")
    middle[np.isinf(middle)] = np.nan
    return padded


class Despeckled(Lazy):
    """A filtered image that is computed when a window of it is read.

    Parameters
    ----------
    source : Source
        (rows, cols) intensity.
    speckle : SpeckleFilter
    """

    def __init__(self, source: Source, speckle: SpeckleFilter) -> None:
        self.shape, self.dtype = require_plane("an intensity", source), np.dtype(np.float32)
        self._source, self._speckle = source, speckle

    def read(self, rows: slice, cols: slice) -> Singles:
        """Compute a window."""
        outer = around(rows, cols, self._speckle.halo, self.shape)
        return inner(self._speckle(np.asarray(self._source[outer])), outer, rows, cols)


def equivalent_looks(intensity: NDArray[Any]) -> float:
    """Estimate the looks of an image: mean² / variance, where windows of 16 x 16 pixels are most alike.

    Texture and edges only lower a window's value, so the peak of the values' distribution is that of speckle alone.
    Neighbouring pixels that share speckle (an oversampled image) raise the variance of the estimate, not the value.

    Returns
    -------
    float
        NaN where fewer than ten windows were measured completely.
    """
    rows, cols = (size // _BLOCK for size in intensity.shape)
    whole = np.asarray(intensity[: rows * _BLOCK, : cols * _BLOCK], np.float64).reshape(rows, _BLOCK, cols, _BLOCK)
    boxes = whole.transpose(0, 2, 1, 3).reshape(rows * cols, -1)
    mean, variance = boxes.mean(axis=1), boxes.var(axis=1, ddof=1)
    good = np.isfinite(variance) & (variance > 0) & (mean > 0)
    if good.sum() < 10:
        return float("nan")
    values = np.sort(np.log(mean[good] ** 2 / variance[good]))
    while values.size > 3:  # the densest half, again and again
        half = (values.size + 1) // 2
        start = int(np.argmin(values[half - 1 :] - values[: values.size - half + 1]))
        values = values[start : start + half]
    return float(np.exp(values.mean()))
