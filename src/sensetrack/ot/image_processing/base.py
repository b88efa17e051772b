"""What every filter has in common: fitted once on the whole image, applied window by window, found by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import numpy as np

from sensetrack.errors import ConfigError, one_line
from sensetrack.ot.interfaces import ImagePair
from sensetrack.ot.parameters import Parameters
from sensetrack.ot.tiles import sample_windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.ot.interfaces import Image

PREPROCESSORS: dict[str, type[Preprocessor]] = {}
"""Every registered filter by its name in lower case."""

P = TypeVar("P", bound="type[Preprocessor]")

LARGEST = 9e19
"""Results are held to this magnitude: an `Image` takes what is beyond 1e20 for a fill value."""


def register(preprocessor: P) -> P:
    """Make a filter known by its name; upper and lower case are the same."""
    PREPROCESSORS[preprocessor.name.lower()] = preprocessor
    return preprocessor


def get_preprocessor(name: str) -> type[Preprocessor]:
    """Look a filter up by name; an unknown name is an error that lists the known ones."""
    if name.lower() not in PREPROCESSORS:
        message = f"there is no preprocessing {one_line(name)!r}; there are {', '.join(sorted(PREPROCESSORS))}"
        raise ConfigError(message)
    return PREPROCESSORS[name.lower()]


class Preprocessor(Parameters, ABC):
    """A filter: parameters, a `fit` on the whole image and an `apply` on a window of it.

    Whatever window is asked for, the result is cut from the same filtered image. A filter that looks at
    neighbours says how far (`halo`), one that works on a lattice of cells says how wide they are (`align`).
    """

    name: ClassVar[str]
    """What configurations and the command line call it."""

    @property
    def halo(self) -> int:
        """Pixels around a window that decide its result; they are read with it and cut off again."""
        return 0

    @property
    def align(self) -> int:
        """Windows are widened until they start and end at multiples of this many pixels, or at the image's border."""
        return 1

    def sized(self, shape: tuple[int, int]) -> Self:  # noqa: ARG002
        """Return the filter with what depends on the size (rows, cols) of the image decided; itself by default."""
        return self

    def fit(self, image: Image) -> Any:  # noqa: ARG002
        """Learn what must be the same for every window; None where there is nothing to learn."""
        return None

    @abstractmethod
    def apply(self, values: NDArray[Any], valid: NDArray[np.bool_], fitted: Any) -> NDArray[Any]:
        """Filter a window.

        Parameters
        ----------
        values : ndarray
            (rows, cols), pixels as stored, of any real type. Never to be changed; where not `valid` they are anything.
        valid : ndarray of bool
            (rows, cols), True = usable.
        fitted
            What `fit` returned.

        Returns
        -------
        ndarray
            (rows, cols), finite where `valid`; what is elsewhere is never looked at.
        """

    def apply_at(
        self,
        values: NDArray[Any],
        valid: NDArray[np.bool_],
        fitted: Any,
        origin: tuple[int, int],  # noqa: ARG002
    ) -> NDArray[Any]:
        """Filter a window whose first pixel is `origin` (row, col) of the image; for filters to which that matters."""
        return self.apply(values, valid, fitted)

    def __call__(self, image: Image) -> Image:
        """Return the image as seen through the filter; pixels are filtered when they are read."""
        ready = self.sized(image.grid.shape)
        return image.with_data(_Filtered(image, ready, ready.fit(image)))


def preprocess(pair: ImagePair, preprocessor: Preprocessor) -> ImagePair:
    """Filter both images, each fitted on itself."""
    return ImagePair(preprocessor(pair.reference), preprocessor(pair.secondary))


class _Filtered:
    """Pixels of an image, filtered on reading: NaN where not valid."""

    dtype = np.dtype(np.float32)

    def __init__(self, image: Image, preprocessor: Preprocessor, fitted: Any) -> None:
        self.image, self.preprocessor, self.fitted = image, preprocessor, fitted
        self.shape = image.grid.shape

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.float32]:
        halo, align = self.preprocessor.halo, self.preprocessor.align
        (rows, row_cut), (cols, col_cut) = (
            _widen(part, size, halo, align) for part, size in zip(key, self.shape, strict=True)
        )
        if rows.start == rows.stop or cols.start == cols.stop:
            return np.empty((row_cut.stop - row_cut.start, col_cut.stop - col_cut.start), np.float32)
        values, valid = self.image.read(rows, cols)
        out = self.preprocessor.apply_at(values, valid, self.fitted, (rows.start, cols.start))
        cut = row_cut, col_cut
        kept = np.where(valid[cut], out[cut], np.nan)
        return np.clip(kept, -LARGEST, LARGEST).astype(np.float32)


def _widen(part: slice, size: int, halo: int, align: int) -> tuple[slice, slice]:
    """Return what must be read to filter a part of an axis, and where in it the part is."""
    start, stop, step = part.indices(size)
    stop = max(start, stop)
    first = max(0, start - halo) // align * align
    last = min(size, -(-(stop + halo) // align) * align)
    return slice(first, last), slice(start - first, stop - first, step)


def sample(image: Image) -> NDArray[np.float64]:
    """Return the usable pixels of `sample_windows`: what statistics of a whole image are taken from."""
    return np.concatenate([values[valid].astype(np.float64) for values, valid in sample_windows(image)])


def level_and_spread(image: Image) -> tuple[float, float]:
    """Return the median of an image and its spread, 2nd to 98th percentile (all of it where those are equal, or 1)."""
    pixels = sample(image)
    if pixels.size == 0:
        return 0.0, 1.0
    low, middle, high = np.percentile(pixels, (2, 50, 98))
    spread = float(high - low) or float(np.ptp(pixels)) or 1.0
    return float(middle), spread


def level_and_range(image: Image, cut: float = 0.0) -> tuple[float, float]:
    """Return the darkest and the brightest grey value, `cut` percent of the pixels left out at each end."""
    pixels = sample(image)
    if pixels.size == 0:
        return 0.0, 0.0
    low, high = np.percentile(pixels, (cut, 100 - cut))
    return float(low), float(high)


def stretched(values: NDArray[Any], valid: NDArray[np.bool_], fitted: tuple[float, float]) -> NDArray[np.float64]:
    """Map (low, high) to 0..1; what lies beyond counts as the nearer end, and all is 0 where they are equal."""
    low, high = fitted
    number = np.where(valid, values, low).astype(np.float64)
    return np.clip((number - low) / ((high - low) or 1.0), 0.0, 1.0)


def centred(values: NDArray[Any], valid: NDArray[np.bool_], fitted: tuple[float, float]) -> NDArray[np.float64]:
    """Return values in spreads from the level of the image; 0 where not valid.

    The level is taken off before anything is averaged: a small texture on a large number keeps its digits.
    """
    level, spread = fitted
    number = np.where(valid, values, level).astype(np.float64)
    return np.asarray((number - level) / spread)
