"""Thermal noise as annotations describe it, in three generations: none, one table, range and azimuth vectors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from sensetrack.errors import MetadataError
from sensetrack.sar.lut import Lut, require_nodes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NoiseAzimuth:
    """How noise varies along the lines of one part of the image (``noiseAzimuthVector``).

    Parameters
    ----------
    first_line, last_line, first_sample, last_sample : int
        The part of the image, all included.
    lines : (n,) float64
        Lines of the values, ascending.
    values : (n,) float64
        Factors on the noise of the range vectors.
    swath : str
    """

    first_line: int
    last_line: int
    first_sample: int
    last_sample: int
    lines: Floats
    values: Floats
    swath: str = ""

    def __post_init__(self) -> None:
        for name in ("lines", "values"):
            object.__setattr__(self, name, np.array(getattr(self, name), np.float64))
        require_nodes("lines", self.lines)
        if self.values.shape != self.lines.shape:
            raise MetadataError(
                f"azimuth noise must have one value per line, instead got {self.values.size} for {self.lines.size}"
            )


@dataclass(frozen=True, eq=False)
class NoiseLut:
    """Power of thermal noise over an image, in squared digital numbers.

    Parameters
    ----------
    lines : (n,) float64
        Lines of the range vectors, ascending.
    pixels : (m,) float64
        Pixels of their values, ascending.
    values : (n, m) float64
        ``noiseLut`` (products before 2018) or ``noiseRangeLut``; all zero in the oldest products, which say nothing
        about noise.
    azimuth : tuple of NoiseAzimuth
        Factors along the lines, one for each part of the image; empty before 2018.
    """

    lines: Floats
    pixels: Floats
    values: Floats
    azimuth: tuple[NoiseAzimuth, ...] = ()

    def __post_init__(self) -> None:
        for name in ("lines", "pixels", "values"):
            object.__setattr__(self, name, np.array(getattr(self, name), np.float64))
        object.__setattr__(self, "azimuth", tuple(self.azimuth))
        Lut(self.lines, self.pixels, self.values)
        if not np.isfinite(self.values).all():
            raise MetadataError("noise must be finite, instead got values that are not")

    @classmethod
    def from_vectors(
        cls,
        lines: ArrayLike,
        pixels: Sequence[ArrayLike],
        values: Sequence[ArrayLike],
        azimuth: Sequence[NoiseAzimuth] = (),
    ) -> Self:
        """Build from one range vector per line, each with pixels of its own."""
        table = Lut.from_vectors(lines, pixels, values)
        return cls(table.lines, table.pixels, table.values, tuple(azimuth))

    @property
    def known(self) -> bool:
        """False where the product says nothing about noise: all values are zero."""
        return bool((self.values != 0).any())

    def window(self, rows: slice, cols: slice) -> Floats:
        """Noise power in a window of the image, (rows, cols) float64, squared digital numbers.

        A pixel outside all parts that have azimuth vectors gets the noise of the range vectors alone.
        """
        noise = self.table.window(rows, cols)
        for part, factor in self.factors(rows, cols):
            noise[part] *= factor[:, None]
        return noise

    @cached_property
    def table(self) -> Lut:
        """Noise of the range vectors alone."""
        return Lut(self.lines, self.pixels, self.values)

    def factors(self, rows: slice, cols: slice) -> list[tuple[tuple[slice, slice], Floats]]:
        """Return the parts of a window of the image that have azimuth vectors, and the factors of their rows."""
        found = []
        for part in self.azimuth:
            top, bottom = max(rows.start, part.first_line), min(rows.stop, part.last_line + 1)
            left, right = max(cols.start, part.first_sample), min(cols.stop, part.last_sample + 1)
            if top < bottom and left < right:
                factor = np.interp(np.arange(top, bottom), part.lines, part.values)
                where = slice(top - rows.start, bottom - rows.start), slice(left - cols.start, right - cols.start)
                found.append((where, factor))
        return found
