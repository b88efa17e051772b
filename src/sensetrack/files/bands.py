"""Which bands of a file are looked at: one, their grey, or all; and what their names say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sensetrack.errors import ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sensetrack.files.raster import RasterFile

Band = int | Literal["grey"]
"""A band from 1, or the grey (luminance) of three."""

_PARTS = {"i": "i", "real": "i", "re": "i", "inphase": "i", "q": "q", "imag": "q", "imaginary": "q", "im": "q",
          "quadrature": "q"}  # fmt: skip
"""How the components of complex data are called."""


def require_band(band: object, *words: str) -> None:
    """Raise ConfigError unless `band` is a whole number or one of `words`; whether a file has it is another matter."""
    if (isinstance(band, int | np.integer) and not isinstance(band, bool)) or band in words:
        return
    known = " or ".join(["a number from 1", *(repr(word) for word in words)])
    message = f"band must be {known}, instead got {band!r}"
    raise ConfigError(message)


def usable_bands(file: RasterFile) -> tuple[int, ...]:
    """Bands (from 1) that are pictures: all but the alpha channel."""
    return tuple(band for band, role in enumerate(file.roles, start=1) if role != "alpha")


def grey_bands(file: RasterFile) -> tuple[int, ...]:
    """Bands (from 1) whose luminance is the grey of a file: red, green and blue, else its first three; or its only one.

    Raises
    ------
    InputError
        It has two bands, or none.
    """
    usable = usable_bands(file)
    colours = tuple(file.roles.index(name) + 1 for name in ("red", "green", "blue") if name in file.roles)
    if len(usable) == 1 or len(colours) == 3:
        return usable if len(usable) == 1 else colours
    if len(usable) < 3:
        message = f"grey needs three bands, or one, instead got {len(usable)} usable bands"
        raise InputError(message, path=file.path, advice="choose a band")
    return usable[:3]


def band_names(file: RasterFile, bands: Sequence[int]) -> tuple[str, ...]:
    """Return what bands (from 1) are called in the file, or ``B1 .. Bn`` after their numbers."""
    return tuple(file.descriptions[band - 1] or f"B{band}" for band in bands)


def component(file: RasterFile, bands: Sequence[int]) -> str | None:
    """Name of the first of `bands` that is one component of complex data stored as two bands; None where none is.

    That is told by names such as ``i_VV`` and ``q_VV`` or ``real`` and ``imag``: both must be there.
    """
    found = [_split(name) for name in file.descriptions]
    for band in bands:
        part = found[band - 1]
        if part is not None and any(other == ("iq"[part[0] == "i"], part[1]) for other in found):
            return file.descriptions[band - 1]
    return None


def _split(name: str) -> tuple[str, str] | None:
    """Split the name of a component into i or q and the rest, which both components share."""
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower().replace("in-phase", "inphase")) if word]
    places = [place for place, word in enumerate(words) if word in _PARTS]
    if len(places) != 1:
        return None
    (place,) = places
    return _PARTS[words[place]], " ".join(words[:place] + words[place + 1 :])


class Stack:
    """Bands on one grid as one source: (rows, cols, bands), read when sliced.

    Parameters
    ----------
    sources : sequence of array-like
        (rows, cols) each, NaN = not valid.
    """

    def __init__(self, sources: Sequence[Any]) -> None:
        self.sources = tuple(sources)
        self.shape = (*sources[0].shape, len(sources))
        self.dtype = np.result_type(*(source.dtype for source in sources))

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        pixels = np.stack([source[key[0], key[1]] for source in self.sources], axis=-1)
        return np.asarray(pixels[(..., *key[2:])])
