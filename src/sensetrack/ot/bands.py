"""The bands of an image, by number and by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sensetrack.errors import InputError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sensetrack.grid import Grid

LUMINANCE = (0.2125, 0.7154, 0.0721)
"""Weights of red, green and blue in a grey picture (ITU-R BT.709)."""


class Bands:
    """What `sensetrack.ot.interfaces.Image` can say about its bands.

    ``image[0]``, ``image["B1"]`` and ``image.B1`` are the pixels of the first band; `len` and iteration go over bands.
    """

    band_names: tuple[str, ...]
    grid: Grid

    @property
    def image(self) -> NDArray[Any]:
        """All pixels as an array."""
        raise NotImplementedError

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(rows, cols), True = usable."""
        raise NotImplementedError

    def _with_pixels(self, pixels: Any, names: tuple[str, ...]) -> Self:
        raise NotImplementedError

    @property
    def bandnames(self) -> tuple[str, ...]:
        """Names of the bands."""
        return self.band_names

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(rows, cols), True = not usable."""
        return np.logical_not(self.valid)

    def __len__(self) -> int:
        return len(self.band_names)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, which: int | str) -> NDArray[Any]:
        if isinstance(which, str):
            which = self._number(which) - 1
        if not -len(self) <= which < len(self):
            message = f"the image has {len(self)} bands, there is no index {which}"
            raise IndexError(message)
        pixels = self.image
        return pixels if pixels.ndim == 2 else np.asarray(pixels[..., which])

    def __getattr__(self, name: str) -> NDArray[Any]:
        if not name.startswith("_") and name in self.__dict__.get("band_names", ()):
            return self[name]
        message = f"{type(self).__name__!r} object has no attribute {name!r}"
        raise AttributeError(message)

    def band(self, which: int | str) -> Self:
        """Return one band as an image: a number from 1, as in files and on the command line, or a name.

        Raises
        ------
        InputError
            There is no such band.
        """
        number = self._number(which) if isinstance(which, str) else which
        if not 1 <= number <= len(self):
            raise InputError(f"the image has {len(self)} bands, counted from 1, instead got band {which}")
        return self._with_pixels(self[number - 1], (self.band_names[number - 1],))

    def _number(self, name: str) -> int:
        if name not in self.band_names:
            raise InputError(f"there is no band {one_line(name)!r}; there are {', '.join(self.band_names)}")
        return self.band_names.index(name) + 1

    def split_channels(self) -> list[Self]:
        """Return every band as an image of its own."""
        return [self.band(number) for number in range(1, len(self) + 1)]

    def grey(self) -> Self:
        """Return the luminance of the first three bands (taken as red, green, blue), or the only band.

        Raises
        ------
        InputError
            The image has two bands: no picture in colours.
        """
        if len(self) == 1:
            return self.band(1)
        if len(self) < 3:
            raise InputError("grey needs three bands, instead got 2", advice="choose a band")
        pixels = sum(weight * self[i].astype(np.float64) for i, weight in enumerate(LUMINANCE))
        return self._with_pixels(np.where(self.valid, pixels, np.nan).astype(np.float32), ("grey",))

    def is_coregistered(self, other: Bands) -> bool:
        """Tell whether both images share shape, transform and CRS: the same pixels of the same ground.

        Raises
        ------
        InputError
            Only one of them says where it is.
        """
        if self.grid.georeferenced != other.grid.georeferenced:
            raise InputError("only one of the two images has a georeference", advice="georeference the other")
        return self.grid.same_as(other.grid)
