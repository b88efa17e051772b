"""Bands of PRISMA: which of the stored layers were measured, and how one is chosen."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sensetrack.errors import ConfigError, MetadataError, one_line

if TYPE_CHECKING:
    from sensetrack.files.hdf5 import Hdf5

log = logging.getLogger(__name__)

Cube = Literal["PAN", "VNIR", "SWIR"]
PAN_RANGE = (400.0, 700.0)
"""nm, of the panchromatic image."""
FARTHEST = 30.0
"""nm between a wavelength that is asked for and the nearest band, beyond which that is an error."""
_SHAPE = re.compile(r"(?P<cube>VNIR|SWIR)(?P<number>\d{1,3})|(?P<nm>\d{3,4}(\.\d+)?)NM|PAN|VNIR|SWIR|CUBE")


@dataclass(frozen=True)
class Band:
    """A layer that holds measurements."""

    cube: Cube
    index: int
    """Its place in the stored cube, from 0."""
    wavelength: float
    """Centre, nm."""
    width: float
    """Full width at half maximum, nm; 0 where the product does not say."""

    @property
    def name(self) -> str:
        """Its name: PAN, or the cube and the number from 1, such as VNIR40."""
        return "PAN" if self.cube == "PAN" else f"{self.cube}{self.index + 1}"


PAN = Band("PAN", 0, sum(PAN_RANGE) / 2, PAN_RANGE[1] - PAN_RANGE[0])


@dataclass(frozen=True)
class Spectrum:
    """The layers of a cube that hold measurements."""

    cube: Cube
    count: int
    """Layers that are stored, those that hold nothing among them."""
    bands: tuple[Band, ...]
    """By rising wavelength."""

    @classmethod
    def of(cls, file: Hdf5, cube: Cube, count: int) -> Spectrum:
        """Read the wavelengths of a cube of `count` layers.

        A layer whose wavelength is 0 or whose flag is 0 was never measured; how many there are, and at which end,
        differs between products.
        """
        title = cube.title()
        centres = file.numbers(f"List_Cw_{title}", count=count)
        widths = _list(file, f"List_Fwhm_{title}", count) or [0.0] * count
        flags = _list(file, f"List_Cw_{title}_Flags", count) or [1.0] * count
        if min(centres) < 0 or max(centres) > 10_000:
            message = (
                f"attribute List_Cw_{title} must be wavelengths in nm, instead got {min(centres)} to {max(centres)}"
            )
            raise MetadataError(message, path=file.path)
        found = [
            Band(cube, i, centre, max(width, 0.0))
            for i, (centre, width, flag) in enumerate(zip(centres, widths, flags, strict=True))
            if centre > 0 and flag
        ]
        if not found:
            raise MetadataError(f"attribute List_Cw_{title} holds no wavelength", path=file.path)
        return cls(cube, count, tuple(sorted(found, key=lambda band: band.wavelength)))

    def at(self, index: int) -> Band:
        """Return the band that is stored at a place, from 0.

        Raises
        ------
        ConfigError
            There is no such layer, or it holds nothing.
        """
        indices = sorted(band.index for band in self.bands)
        if not 0 <= index < self.count:
            raise ConfigError(f"{self.cube} has layers 0 to {self.count - 1} ({self._names()}), instead got {index}")
        if index not in indices:
            message = f"layer {index} of {self.cube} ({self.cube}{index + 1}) holds nothing (its wavelength is 0)"
            raise ConfigError(message, advice=f"choose one of {indices[0]} to {indices[-1]}")
        return next(band for band in self.bands if band.index == index)

    def _names(self) -> str:
        return f"{self.cube}1 to {self.cube}{self.count}"


def _list(file: Hdf5, key: str, count: int) -> list[float] | None:
    return None if file.attribute(key) is None else file.numbers(key, count=count)


def nearest(spectra: list[Spectrum], wavelength: float) -> Band:
    """Return the band whose centre is nearest to a wavelength, nm, and say which it is.

    Raises
    ------
    ConfigError
        None is within 30 nm.
    """
    bands = sorted((band for spectrum in spectra for band in spectrum.bands), key=lambda band: band.wavelength)
    found = min(bands, key=lambda band: abs(band.wavelength - wavelength))
    if not abs(found.wavelength - wavelength) <= FARTHEST:
        message = (
            f"the bands reach from {bands[0].wavelength:.1f} to {bands[-1].wavelength:.1f} nm, and none is near "
            f"{wavelength:g} nm"
        )
        raise ConfigError(message)
    log.info("nearest to %g nm is %s, %.2f nm", wavelength, found.name, found.wavelength)
    return found


def joined(spectra: list[Spectrum]) -> list[Band]:
    """Return the bands of all cubes by rising wavelength; where both cubes measured, those of SWIR."""
    swir = [band for spectrum in spectra if spectrum.cube == "SWIR" for band in spectrum.bands]
    start = min((band.wavelength for band in swir), default=float("inf"))
    vnir = [band for s in spectra if s.cube == "VNIR" for band in s.bands if band.wavelength < start]
    return sorted([*vnir, *swir], key=lambda band: band.wavelength)


def is_band_name(text: str) -> bool:
    """Tell whether a text has the shape of a name of bands: PAN, VNIR40, 850nm, or VNIR, SWIR, CUBE for many."""
    return _SHAPE.fullmatch(text.strip().upper()) is not None


def chosen(text: str, spectra: list[Spectrum]) -> list[Band]:
    """Return the bands that a name stands for: one for PAN, VNIR40 or 850nm, many for VNIR, SWIR and CUBE.

    Raises
    ------
    ConfigError
        It is no such name, or there is no such band.
    """
    name = text.strip().upper()
    found = _SHAPE.fullmatch(name)
    if found is None:
        message = f"band must be PAN, VNIR40, SWIR12, 850nm, VNIR, SWIR or CUBE, instead got {one_line(text)!r}"
        raise ConfigError(message)
    if name == "PAN":
        return [PAN]
    if found["nm"]:
        return [nearest(spectra, float(found["nm"]))]
    if name == "CUBE":
        return joined(spectra)
    cube = found["cube"] or name
    spectrum = next((spectrum for spectrum in spectra if spectrum.cube == cube), None)
    if spectrum is None:
        raise ConfigError(f"there is no cube {cube} in this product")
    return [spectrum.at(int(found["number"]) - 1)] if found["cube"] else list(spectrum.bands)
