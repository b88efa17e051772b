"""The names of the first release for names and files of COSMO-SkyMed products."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sensetrack.cosmo.names import CSGName, CSKName, last, parse_csg_name, parse_csk_name
from sensetrack.cosmo.product import open_cosmo
from sensetrack.errors import MetadataError

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray


class CSKInfo(NamedTuple):
    """What the name of a first-generation product says, in words."""

    Mission: str
    SatelliteID: str
    ProductType: str
    InstrumentMode: str
    Swath: str
    Polarization: str
    LookSide: str
    OrbitDirection: str
    DeliveryMode: str
    SelectiveAvailability: str
    SensingStartTime: datetime
    SensingStopTime: datetime

    @property
    def SelectiveAvaialability(self) -> str:  # noqa: N802
        """`SelectiveAvailability`, as the first release spelled it."""
        return self.SelectiveAvailability


class CSGInfo(NamedTuple):
    """What the name of a second-generation product says, in words; None: the name ends before that."""

    Mission: str
    SatelliteID: str
    ProductType: str
    NumRangeLooks: int
    NumAzimuthLooks: int
    InstrumentMode: str
    Swath: str
    Polarization: str
    LookSide: str
    OrbitDirection: str
    OrbitalDataQuality: str
    SensingStartTime: datetime
    SensingStopTime: datetime
    FileSequenceID: str | None
    ProductCoverage: str | None
    LatitudeSceneCenter: int | None
    Hemisphere: str | None
    EastDirectionLocation: str | None
    SquintAngleSceneCenter: str | None


_POLARISATIONS = {"CO": "HH/VV", "CH": "HH/HV", "CV": "VV/VH"}


class CSKProduct:
    """Names of the first generation."""

    @staticmethod
    def parse_filename_regex(name: str | os.PathLike[str]) -> CSKInfo:
        """Return what a name says; see `sensetrack.cosmo.names.parse_csk_name`."""
        return _csk(parse_csk_name(name))


class CSGProduct:
    """Names of the second generation."""

    @staticmethod
    def parse_filename_regex(name: str | os.PathLike[str]) -> CSGInfo:
        """Return what a name says; see `sensetrack.cosmo.names.parse_csg_name`."""
        return _csg(parse_csg_name(name))


class CosmoFilenameParser:
    """Names of both generations."""

    @staticmethod
    def create_from_filename(filename: str | os.PathLike[str]) -> CSKInfo | CSGInfo:
        """Return what the name of a product says; the file need not be there."""
        parser = CSGProduct if last(filename).startswith("CSG") else CSKProduct
        found: CSKInfo | CSGInfo = parser.parse_filename_regex(filename)
        return found

    @classmethod
    def parse_metadata(cls, filename: str | os.PathLike[str]) -> dict[str, Any]:
        """Return the same as a dictionary."""
        return cls.create_from_filename(filename)._asdict()


def _csk(name: CSKName) -> CSKInfo:
    return CSKInfo(
        "COSMO-SkyMed", f"CSKS{name.satellite}", name.product_type, name.mode_name, name.swath,
        _POLARISATIONS.get(name.polarisation, name.polarisation), name.look.title(), name.pass_direction.title(),
        name.delivery.title(), "ON" if name.selective_availability else "OFF", name.start, name.stop,
    )  # fmt: skip


def _csg(name: CSGName) -> CSGInfo:
    full = None if name.full is None else "Full" if name.full else "Cropped"
    pole = None if name.latitude is None or name.epsg is None else "S" if 32700 < name.epsg < 32762 else "N"
    return CSGInfo(
        "COSMO-SkyMed Second Generation", f"SSAR{name.satellite}", name.product_type, name.range_looks,
        name.azimuth_looks, name.mode_name or f"unknown ({name.mode})", name.beam, name.polarisation,
        name.look.title(), name.pass_direction.title(), name.orbit.title(), name.start, name.stop, name.sequence, full,
        None if name.latitude is None else abs(name.latitude), pole, _zone(name), _squint(name),
    )  # fmt: skip


def _zone(name: CSGName) -> str | None:
    if name.epsg is None:
        return None
    polar = {32661: "North Pole", 32761: "South Pole"}
    return polar.get(name.epsg, f"UTM zone {name.epsg % 100}")


def _squint(name: CSGName) -> str | None:
    if name.squint is None:
        return None
    if name.squint == 0:
        return "Not squinted"
    return f"{'Forward' if name.squint > 0 else 'Backward'} squint ({abs(name.squint)} deg)"


class CSKFile:
    """A product of either generation and what the first release took from its HDF5.

    Parameters
    ----------
    filename : path-like
    """

    def __init__(self, filename: str | os.PathLike[str]) -> None:
        self.product = open_cosmo(filename)

    @property
    def product_filename(self) -> str:
        """Name of the product."""
        return self.product.root.text("Product Filename", default=self.product.info.name)

    @property
    def SBI(self) -> NDArray[Any]:  # noqa: N802
        """All digital numbers of the first image."""
        image = self.product.images[0]
        return image.read(*(slice(0, size) for size in image.shape))

    @property
    def estimated_corner_coordinated(self) -> NDArray[np.float64]:
        """Latitude and longitude of the corners: top left, bottom left, bottom right, top right; (4, 2), degrees."""
        ring = self.product.footprint[:4, ::-1]
        return np.array(ring[[0, 3, 2, 1]])

    @property
    def footprint_polygon(self) -> Any:
        """Polygon (shapely) of the corners, longitude and latitude."""
        from shapely import Polygon

        return Polygon(self.product.footprint)

    def qkl_to_numpy(self) -> NDArray[np.uint8]:
        """Return the quick look, (rows, columns) uint8."""
        found = self.product.quicklook()
        if found is None:
            raise MetadataError("holds no quick look (QLK)", path=self.product.path)
        return found

    def qlk_to_image(self) -> Any:
        """Return the quick look as an image of Pillow."""
        from PIL import Image

        return Image.fromarray(self.qkl_to_numpy())
