"""Filters that look at the neighbours of a pixel: local contrast, edges, directions.

Missing neighbours are left out and the weights of the others made up for them (normalised convolution); what lies
beyond the border of the image is missing too. Sums are made pixel by pixel in a fixed order, never carried along
a row, so that a result does not depend on where the window begins.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from sensetrack.errors import ConfigError
from sensetrack.ot.image_processing.base import Preprocessor, centred, level_and_spread, register

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.ot.interfaces import Image

_FLAT = 1e-9
"""Differences below this, in spreads of the image, are rounding and have no direction."""
_EAST, _SOUTH, _SOUTH_EAST, _SOUTH_WEST = (0, 1), (1, 0), (1, 1), (1, -1)


def reach(sigma: float) -> int:
    """Pixels at which a Gaussian is cut off: four standard deviations."""
    return int(4 * sigma + 0.5)


def gaussian(sigma: float) -> NDArray[np.float64]:
    """Weights of a Gaussian along one axis, their sum 1; a single 1 where sigma is 0."""
    place = np.arange(-reach(sigma), reach(sigma) + 1)
    weights = np.exp(-0.5 * (place / (sigma or 1.0)) ** 2)
    return np.asarray(weights / weights.sum())


def convolve(values: NDArray[Any], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convolve rows and columns with the same symmetric weights; beyond the border is 0."""
    from scipy.ndimage import correlate1d

    down = correlate1d(np.asarray(values, np.float64), kernel, axis=0, mode="constant")
    return np.asarray(correlate1d(down, kernel, axis=1, mode="constant"))


def local_mean(
    values: NDArray[np.float64], valid: NDArray[np.bool_], kernel: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted mean of the valid pixels around each pixel, and the sum of their weights.

    Parameters
    ----------
    values : ndarray
        (rows, cols); 0 where not `valid`.
    kernel : ndarray
        Positive weights along each axis, of odd length.
    """
    weight = convolve(valid, kernel)
    safe = np.where(weight > 0, weight, 1.0)
    return convolve(values, kernel) / safe, safe


def local_deviation(
    values: NDArray[np.float64], valid: NDArray[np.bool_], kernel: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of the valid pixels around each pixel; see `local_mean`."""
    mean, weight = local_mean(values, valid, kernel)
    power = convolve(values**2, kernel) / weight
    return mean, np.sqrt(np.maximum(power - mean**2, 0.0))


class _Local(Preprocessor):
    """A filter on pixels in spreads from the median of the image."""

    def fit(self, image: Image) -> tuple[float, float]:
        """Learn median and spread of the image."""
        return level_and_spread(image)

    def apply(self, values: NDArray[Any], valid: NDArray[np.bool_], fitted: Any) -> NDArray[Any]:
        """Filter pixels."""
        return self._filter(centred(values, valid, fitted), valid)

    @abstractmethod
    def _filter(self, values: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Filter pixels that are 0 where not valid."""


class _InUnits(_Local):
    """A filter whose result has the unit of the image."""

    def apply(self, values: NDArray[Any], valid: NDArray[np.bool_], fitted: Any) -> NDArray[Any]:
        """Filter pixels."""
        level, _ = fitted
        return self._filter(centred(values, valid, (level, 1.0)), valid)


@register
class HighPass(_InUnits):
    """Take the Gaussian mean of the neighbourhood off: what is broad (light, haze, antenna pattern) goes away."""

    name: ClassVar[str] = "highpass"

    sigma: float = Field(
        3.0,
        gt=0,
        le=100,
        description="standard deviation of the Gaussian: what is broader goes away",
        json_schema_extra={"unit": "px"},
    )

    @property
    def halo(self) -> int:
        """Where the Gaussian is cut off."""
        return reach(self.sigma)

    def _filter(self, values: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
        return values - local_mean(values, valid, gaussian(self.sigma))[0]


@register
class DifferenceOfGaussians(_InUnits):
    """Difference of two Gaussian means: keeps what is between the two in size, and drops pixel noise as well."""

    name: ClassVar[str] = "dog"

    narrow: float = Field(
        0.6,
        gt=0,
        le=100,
        description="standard deviation of the narrow Gaussian: what is finer goes away",
        json_schema_extra={"unit": "px"},
    )
    wide: float = Field(
        2.0,
        gt=0,
        le=100,
        description="standard deviation of the wide Gaussian: what is broader goes away",
        json_schema_extra={"unit": "px"},
    )

    def model_post_init(self, _context: Any, /) -> None:
        """Check that the two differ in the right direction."""
        if not self.narrow < self.wide:
            message = f"narrow must be smaller than wide, instead got {self.narrow:g} and {self.wide:g}"
            raise ConfigError(message)

    @property
    def halo(self) -> int:
        """Where the wide Gaussian is cut off."""
        return reach(self.wide)

    def _filter(self, values: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
        narrow, wide = (local_mean(values, valid, gaussian(sigma))[0] for sigma in (self.narrow, self.wide))
        return narrow - wide


class _Standardised(_Local):
    """Mean 0 and standard deviation 1 in every neighbourhood, but for flat ones."""

    floor: float = Field(
        0.02,
        gt=0,
        le=1,
        description="neighbourhoods with a smaller standard deviation are flat and not blown up to 1; "
        "as a share of the spread (2nd to 98th percentile) of the image",
    )

    @abstractmethod
    def _kernel(self) -> NDArray[np.float64]:
        """Weights of a neighbourhood along each axis."""

    @property
    def halo(self) -> int:
        """Half of the neighbourhood."""
        return self._kernel().size // 2

    def _filter(self, values: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
        mean, deviation = local_deviation(values, valid, self._kernel())
        return np.asarray((values - mean) / np.maximum(deviation, self.floor))


@register
class Wallis(_Standardised):
    """Wallis filter: mean 0 and standard deviation 1 in a square window around every pixel.

    Brings shadow and light, crevasses and firn to one contrast.
    """

    name: ClassVar[str] = "wallis"

    window: int = Field(
        21,
        ge=3,
        le=401,
        description="side of the window; an even number counts as the next odd one",
        json_schema_extra={"unit": "px"},
    )

    def _kernel(self) -> NDArray[np.float64]:
        size = self.window // 2 * 2 + 1
        return np.full(size, 1 / size)


@register
class LocalZScore(_Standardised):
    """Mean 0 and standard deviation 1 around every pixel, near ones counting more (Gaussian): no edges of a window."""

    name: ClassVar[str] = "local_zscore"

    sigma: float = Field(
        8.0,
        gt=0,
        le=100,
        description="standard deviation of the Gaussian that weighs the neighbours",
        json_schema_extra={"unit": "px"},
    )

    def _kernel(self) -> NDArray[np.float64]:
        return gaussian(self.sigma)


class _Directions(_Local):
    """Directions instead of brightness: what is left does not depend on light or contrast."""

    # Directions of pure noise are as strong as any: unsmoothed, they drown the ground where noise is as large as it.
    sigma: float = Field(
        1.0,
        ge=0,
        le=100,
        description="standard deviation of a Gaussian that smooths first, against noise; 0 = none, as published",
        json_schema_extra={"unit": "px"},
    )

    @property
    def halo(self) -> int:
        """The neighbours, and what smoothing them needs."""
        return 1 + reach(self.sigma)

    def _filter(self, values: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
        if self.sigma > 0:
            values = np.where(valid, local_mean(values, valid, gaussian(self.sigma))[0], 0.0)
        return self._directions(values, valid)

    @abstractmethod
    def _directions(self, values: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Turn pixels, 0 where not valid, into directions."""


@register
class NearAnisotropicOrientation(_Directions):
    """Near anisotropic orientation filter (NAOF): in which direction the neighbours differ, not by how much.

    Second differences along rows, columns and both diagonals, taken as two angles, of which sines and cosines are
    added (-2.83..2.83; 0 where the image is flat). For optical images of different dates: neither light nor contrast
    matters any more.
    """

    name: ClassVar[str] = "naof"

    def _directions(self, values: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
        rows, cols, down, up = (
            _second_difference(values, valid, way) for way in (_EAST, _SOUTH, _SOUTH_EAST, _SOUTH_WEST)
        )
        return _cos_plus_sin(rows, cols) + _cos_plus_sin(down, up)


@register
class Orientation(_Directions):
    """Direction of the gradient, whatever its size: the sum of its cosine and sine (-1.41..1.41; 0 where flat)."""

    name: ClassVar[str] = "orientation"

    def _directions(self, values: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
        return _cos_plus_sin(*(_first_difference(values, valid, way) for way in (_SOUTH, _EAST)))


def _cos_plus_sin(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return cos a + sin a of a = atan2(first, second), 0 where both are nothing but rounding."""
    return np.asarray((first + second) / np.maximum(np.hypot(first, second), _FLAT))


def _neighbours(values: NDArray[Any], way: tuple[int, int]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the pixel after and the pixel before each pixel along a way; 0 beyond the border."""
    rows, cols = values.shape
    padded = np.pad(values, 1)
    return tuple(padded[1 + s * way[0] :, 1 + s * way[1] :][:rows, :cols] for s in (1, -1))  # type: ignore[return-value]


def _second_difference(
    values: NDArray[np.float64], valid: NDArray[np.bool_], way: tuple[int, int]
) -> NDArray[np.float64]:
    """Twice the pixel minus its two neighbours; a missing one is taken to be as the other."""
    after, before = _neighbours(values, way)
    number = np.add(*_neighbours(valid.astype(np.float64), way))
    return np.where(number > 0, 2 * (values - (after + before) / np.maximum(number, 1)), 0.0)


def _first_difference(
    values: NDArray[np.float64], valid: NDArray[np.bool_], way: tuple[int, int]
) -> NDArray[np.float64]:
    """Slope per pixel along a way, from one side where the other is missing."""
    after, before = _neighbours(values, way)
    has_after, has_before = _neighbours(valid, way)
    rise = np.where(has_after, after, values) - np.where(has_before, before, values)
    return np.asarray(rise / np.maximum(has_after.astype(int) + has_before, 1))
