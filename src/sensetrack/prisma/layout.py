"""Where things are in a PRISMA product, level by level."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sensetrack.errors import InputError, MetadataError, one_line

if TYPE_CHECKING:
    from sensetrack.files.hdf5 import Hdf5
    from sensetrack.prisma.bands import Cube

SWATHS = "HDFEOS/SWATHS"
LEVELS = ("L1", "L1G", "L2B", "L2C", "L2D")
_SECOND = "HDFEOS/ADDITIONAL/FILE_ATTRIBUTES"
"""Where a few products keep attributes that others have at the root."""

Quantity = Literal["radiance", "reflectance"]
UNITS = {"radiance": "W m-2 sr-1 um-1", "reflectance": "1"}


@dataclass(frozen=True)
class Layout:
    """Names of the datasets of a product."""

    level: str
    """L1, L1G, L2B, L2C or L2D."""
    hyper: str | None
    """Group of the cubes."""
    pan: str | None
    """Group of the panchromatic image."""

    @property
    def quantity(self) -> Quantity:
        """What the numbers stand for once they are scaled."""
        return "radiance" if self.level in ("L1", "L1G", "L2B") else "reflectance"

    @property
    def gridded(self) -> bool:
        """Whether pixels lie on a map, not along the track."""
        return self.level in ("L1G", "L2D")

    def group(self, cube: Cube) -> str | None:
        """Group of a cube."""
        return self.pan if cube == "PAN" else self.hyper

    def data(self, cube: Cube) -> str:
        """Name of the dataset of a cube."""
        return f"{self.group(cube)}/Data Fields/{'Cube' if cube == 'PAN' else f'{cube}_Cube'}"

    def errors(self, cube: Cube) -> str:
        """Name of the dataset with the errors of each pixel."""
        kind = "SAT" if self.level in ("L1", "L1G") else "L2"
        name = f"PIXEL_{kind}_ERR_MATRIX"
        return f"{self.group(cube)}/Data Fields/{name if cube == 'PAN' else f'{cube}_{name}'}"

    def places(self, file: Hdf5, cube: Cube) -> tuple[str, str] | None:
        """Names of the latitudes and longitudes of the pixels of a cube; None where there are none."""
        start = f"{self.group(cube)}/Geolocation Fields"
        for end in ("", f"_{cube}", "_VNIR", "_SWIR"):
            names = f"{start}/Latitude{end}", f"{start}/Longitude{end}"
            if all(name in file for name in names):
                return names
        return None


def is_prisma(file: Hdf5) -> bool:
    """Tell whether an HDF5 file is a PRISMA product, whole or not."""
    named = re.match(r"PRS_L\d", file.path.name.upper()) is not None
    return named or any(name.startswith(f"{SWATHS}/PRS_") for name in file.nodes)


def layout_of(file: Hdf5) -> Layout:
    """Find out of which level a product is, and where its cubes are.

    Raises
    ------
    InputError
        It is of another level, or has no cube.
    MetadataError
        It does not say of which level it is.
    """
    said = root_text(file, "Processing_Level").upper().removeprefix("L")
    level = f"L{said}"
    name = root_text(file, "Product_Name", file.path.name)
    if level == "L1" and ("_L1G" in name.upper() or file.attribute("Epsg_Code") is not None):
        level = "L1G"
    if level == "L1G2":
        level = "L1G"
    if level not in LEVELS:
        message = f"must be of level {', '.join(LEVELS)}, instead got Processing_Level {one_line(said)!r}"
        raise InputError(message, path=file.path)
    stem = level[:2] if level == "L1G" else level
    found = [_group(file, (level, stem), end) for end in ("HCO", "PCO")]
    if found == [None, None]:
        message = f"{SWATHS}/PRS_{stem}_HCO and {SWATHS}/PRS_{stem}_PCO are missing"
        raise InputError(message, path=file.path, advice="download it again")
    return Layout(level, *found)


def _group(file: Hdf5, levels: tuple[str, str], end: str) -> str | None:
    names = [f"{SWATHS}/PRS_{level}_{end}" for level in levels]
    return next((name for name in names if name in file), None)


def root_text(file: Hdf5, key: str, default: str | None = None) -> str:
    """Return an attribute that describes the whole product as text, from one of the two places it may be at."""
    for node in ("", _SECOND):
        if file.attribute(key, node) is not None:
            return file.text(key, node)
    if default is None:
        raise MetadataError(f"attribute {key} is missing", path=file.path)
    return default


def root_number(file: Hdf5, key: str) -> float | None:
    """Return a number that describes the whole product; None where it is not there."""
    for node in ("", _SECOND):
        if file.attribute(key, node) is not None:
            return file.number(key, node)
    return None
