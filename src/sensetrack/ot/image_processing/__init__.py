"""Contrast and texture filters before matching: fitted once on the whole image, applied tile by tile.

A filter never touches `valid`, and invalid pixels never reach it: what is where nothing was measured cannot
change what is beside it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from sensetrack.errors import ConfigError, one_line
from sensetrack.ot.interfaces import ImagePair
from sensetrack.ot.parameters import Parameters
from sensetrack.ot.tiles import sample_windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.ot.interfaces import Image

PREPROCESSORS: dict[str, type[Preprocessor]] = {}
"""Every registered filter by name."""

P = TypeVar("P", bound="type[Preprocessor]")


def register(preprocessor: P) -> P:
    """Make a filter known by its name."""
    PREPROCESSORS[preprocessor.name] = preprocessor
    return preprocessor


def get_preprocessor(name: str) -> type[Preprocessor]:
    """Look a filter up by name; an unknown name is an error that lists the known ones."""
    if name.lower() not in PREPROCESSORS:
        message = f"there is no preprocessing {one_line(name)!r}; there are {', '.join(sorted(PREPROCESSORS))}"
        raise ConfigError(message)
    return PREPROCESSORS[name.lower()]


class Preprocessor(Parameters, ABC):
    """A filter: parameters, a `fit` on the whole image and an `apply` on a tile."""

    name: ClassVar[str]

    def fit(self, image: Image) -> Any:  # noqa: ARG002
        """Learn what must be the same for every tile; None where there is nothing to learn."""
        return None

    @abstractmethod
    def apply(self, values: NDArray[Any], valid: NDArray[np.bool_], fitted: Any) -> NDArray[Any]:
        """Filter a tile; what is returned where not `valid` is never looked at."""

    def __call__(self, image: Image) -> Image:
        """Return the image as seen through the filter; pixels are filtered when they are read."""
        data = _Filtered(image, self, self.fit(image))
        return image.with_data(data)


def preprocess(pair: ImagePair, preprocessor: Preprocessor) -> ImagePair:
    """Filter both images, each fitted on itself."""
    return ImagePair(preprocessor(pair.reference), preprocessor(pair.secondary))


class _Filtered:
    """Pixels of an image, filtered on reading."""

    dtype = np.dtype(np.float32)

    def __init__(self, image: Image, preprocessor: Preprocessor, fitted: Any) -> None:
        self.image, self.preprocessor, self.fitted = image, preprocessor, fitted
        self.shape = image.grid.shape

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.float32]:
        values, valid = self.image.read(*key)
        out = self.preprocessor.apply(values, valid, self.fitted)
        return np.where(valid, out, np.nan).astype(np.float32)


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
        sample = np.concatenate([values[valid] for values, valid in sample_windows(image)])
        if sample.size == 0:
            return np.zeros(1), np.zeros(1)
        levels, counts = np.unique(sample, return_counts=True)
        middle = (np.cumsum(counts) - counts / 2) / sample.size
        if levels.size > 4096:
            keep = np.unique(np.searchsorted(middle, np.linspace(0, 1, 4096)).clip(0, levels.size - 1))
            levels, middle = levels[keep], middle[keep]
        return levels.astype(np.float64), middle

    def apply(self, values: NDArray[Any], valid: NDArray[np.bool_], fitted: Any) -> NDArray[Any]:
        """Look the ranks up."""
        levels, ranks = fitted
        return np.asarray(np.interp(np.where(valid, values, levels[0]), levels, ranks), np.float32)
