"""Open COSMO-SkyMed products of both generations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.cosmo.attributes import ATTRIBUTES, Attributes, H5Source, Source, attribute_files, open_source
from sensetrack.cosmo.geometry import moment
from sensetrack.cosmo.names import CSGName, last, parse_name
from sensetrack.cosmo.types import LEVELS, ON_MAP, CosmoImage, CosmoInfo
from sensetrack.errors import (
    ConfigError,
    InputError,
    MetadataError,
    NameMismatchWarning,
    ProductNameError,
    one_line,
)
from sensetrack.files import pairing
from sensetrack.notices import warn

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sensetrack.files.hdf5 import Hdf5

_IMAGES = ("SBI", "IMG", "MBI")
_CORNERS = ("Top Left", "Top Right", "Bottom Right", "Bottom Left")
_SUFFIX = re.compile(r"\.(h5|he5|hdf5|zip|attribs\.xml|tif)$", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Cosmo:
    """An open product."""

    info: CosmoInfo
    images: tuple[CosmoImage, ...]
    """By polarisation, then from near to far range."""
    root: Attributes

    @property
    def path(self) -> Path:
        """What was opened."""
        return self.info.path

    @property
    def polarisations(self) -> tuple[str, ...]:
        """Such as HH, VV."""
        return tuple(dict.fromkeys(image.polarisation for image in self.images))

    @property
    def on_map(self) -> bool:
        """Whether pixels lie on a map (GEC and GTC) instead of in the geometry of the radar."""
        return self.info.level in ON_MAP

    def chosen(self, polarisations: Sequence[str] | None = None) -> dict[str, list[CosmoImage]]:
        """Return polarisation -> its images from near to far range.

        Raises
        ------
        ConfigError
            A polarisation that is not there; those that are are named.
        """
        wanted = [one.strip().upper() for one in polarisations or self.polarisations]
        for one in wanted:
            if one not in self.polarisations:
                there = ", ".join(self.polarisations)
                raise ConfigError(f"there is no polarisation {one}, it has {there}", path=self.path)
        return {one: [image for image in self.images if image.polarisation == one] for one in dict.fromkeys(wanted)}

    @cached_property
    def footprint(self) -> NDArray[np.float64]:
        """Closed ring of longitude and latitude, degrees, (n, 2): about where the product is, at no certain height."""
        for scope, key in (
            (self.images[0].scope, "{} Geodetic Coordinates"),
            (self.root, "Estimated {} Geodetic Coordinates"),
        ):
            if len(self.images) > len(self.polarisations) and key.startswith("{"):
                continue  # that of one subswath is not that of all
            if all(scope.has(key.format(corner)) for corner in _CORNERS):
                return _ring([scope.numbers(key.format(corner))[:2] for corner in _CORNERS])
        inner, outer = self.images[0].scope, self.chosen()[self.polarisations[0]][-1].scope
        ends = [(inner, "Top Left"), (outer, "Top Right"), (outer, "Bottom Right"), (inner, "Bottom Left")]
        return _ring([scope.numbers(f"{corner} Geodetic Coordinates")[:2] for scope, corner in ends])

    def mean_incidence_angle(self) -> float:
        """Return the middle between the incidence angles at near and far range, radians from the vertical."""
        angles = [angle for image in self.images for angle in image.incidence]
        return float((min(angles) + max(angles)) / 2)

    def quicklook(self) -> NDArray[np.uint8] | None:
        """Return the picture that is in the product, (rows, columns) uint8; None where there is none."""
        source = self.root.source
        for name in [f"{self.images[0].swath}/QLK".strip("/"), "QLK"]:
            shape = source.shape(name) if name in source.names else None
            if shape is not None:
                picture = source.read(name, slice(0, shape[0]), slice(0, shape[1]))
                return np.asarray(picture if picture.ndim == 2 else picture[..., 0], np.uint8)
        return None

    def about(self) -> dict[str, Any]:
        """Return what says which product this is, as plain values."""
        info = self.info
        return {
            "mission": "COSMO-SkyMed" if info.generation == "CSK" else "COSMO-SkyMed Second Generation",
            "satellite": info.satellite,
            "mode": info.mode,
            "beam": info.beam,
            "product_type": info.product_type,
            "polarisations": list(self.polarisations),
            "look_side": info.look,
            "orbit_pass": info.pass_direction,
            "acquired": info.start.isoformat(),
            "product": info.name,
            "calibrated": info.calibrated,
        }

    def describe(self) -> dict[str, Any]:
        """Return what the attributes say, as plain values."""
        info, first = self.info, self.images[0]
        grids = {} if not self.on_map else {
            "bounds": list(first.map_grid.grid.bounds),
            "epsg": None if first.map_grid.grid.crs is None else first.map_grid.grid.crs.to_epsg(),
            "upper_left_is_the": first.map_grid.corner,
        }  # fmt: skip
        return (
            {"path": str(self.path)}
            | self.about()
            | {
                "stop": info.stop.isoformat(),
                "orbit_number": info.orbit_number,
                "images": [image.where for image in self.images],
                "rows_columns": {image.where: list(image.shape) for image in self.images},
                "pixel_spacing_m": [round(part, 4) for part in first.spacing],
                "range": {"SCS": "slant", "DGM": "ground"}.get(info.level, "map"),
                "mean_incidence_deg": round(float(np.degrees(self.mean_incidence_angle())), 3),
                "quicklook": self.quicklook() is not None,
                "footprint": {"type": "Polygon", "coordinates": [self.footprint.tolist()]},
            }
            | grids
        )

    def structure(self) -> dict[str, Any] | None:
        """Return names, shapes, types and attributes of everything in an HDF5, and not one pixel."""
        source = self.root.source
        return source.file.structure() if isinstance(source, H5Source) else None


def _ring(corners: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    ring = np.array([*corners, corners[0]])[:, ::-1].copy()
    ring[:, 0] = ring[0, 0] + (ring[:, 0] - ring[0, 0] + 180) % 360 - 180  # no jump at the date line
    return ring


def is_cosmo(file: Hdf5) -> bool:
    """Tell whether an HDF5 file is a COSMO-SkyMed product, whole or not."""
    return file.attribute("Mission ID") in ("CSK", "CSG") or last(file.path).upper().startswith(("CSKS", "CSG_SSAR"))


def is_delivery(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is a delivery as GeoTIFF: the XML with its attributes, or the folder in which that is."""
    place = Path(path)
    if place.name.lower().endswith(ATTRIBUTES):
        return place.is_file()
    try:
        return place.is_dir() and bool(attribute_files(place))
    except OSError:
        return False


def open_cosmo(path: str | os.PathLike[str]) -> Cosmo:
    """Open a product.

    Parameters
    ----------
    path : path-like
        The HDF5, a zip with it, the ``.attribs.xml`` of a delivery as GeoTIFF, or the folder of one.

    Raises
    ------
    MetadataError
        An attribute is missing or cannot be understood; it is named with its place.
    UnsafeInputError
        It leads to other files, or declares more than it can hold.
    InputError
        It is damaged, no product of COSMO-SkyMed, or of a level that is not read.
    """
    return cosmo_of(open_source(path), Path(path))


def cosmo_of(source: Source, path: Path) -> Cosmo:
    """Return the product that is in an open file; see `open_cosmo`."""
    root = Attributes(source, ("",))
    info = _info(root, path)
    names = _image_names(source)
    if not names:
        message = "holds no image: none of SBI, IMG and MBI has Top Left Geodetic Coordinates"
        raise MetadataError(message, path=source.path, advice="download it again")
    images = [_image(source, name, info) for name in names]
    order = list(dict.fromkeys(image.polarisation for image in images))
    images.sort(key=lambda image: (order.index(image.polarisation), _near(image)))
    return Cosmo(info, tuple(images), root)


def _near(image: CosmoImage) -> float:
    return image.scope.number("Zero Doppler Range First Time", default=0.0)


def _image_names(source: Source) -> list[str]:
    """Names of the images: that of all subswaths where they were merged, else one for each S01, S02 ..."""
    found = [
        name
        for name in source.names
        if re.fullmatch(r"(S\d\d/)?(SBI|IMG|MBI)", name)
        and source.attribute("Top Left Geodetic Coordinates", name) is not None
        and source.shape(name) is not None
    ]
    merged = [name for name in found if "/" not in name]
    if merged:
        return merged
    if not found and any(re.fullmatch(r"S\d\d/B\d+/(SBI|IMG)", name) for name in source.names):
        raise InputError("has an image for each burst, which is not read", path=source.path)
    return found


def _image(source: Source, name: str, info: CosmoInfo) -> CosmoImage:
    swath = name.rpartition("/")[0]
    scope = Attributes(source, tuple(dict.fromkeys((name, swath, ""))))
    shape = source.shape(name) or ()
    parts = len(shape) == 3 and shape[2] == 2
    if min(shape, default=0) < 1 or not (parts or len(shape) == 2) or parts != (info.level == "SCS"):
        wanted = "(rows, columns, 2)" if info.level == "SCS" else "(rows, columns)"
        message = f"{name} of a {info.product_type} must have the shape {wanted}, instead got {shape}"
        raise MetadataError(message, path=source.path)
    polarisation = scope.get("Polarisation", "Polarization")
    if polarisation is None and swath == "":
        polarisation = Attributes(source, ("S01",)).get("Polarisation", "Polarization")
    if not isinstance(polarisation, str) or polarisation.strip().upper() not in ("HH", "HV", "VH", "VV"):
        raise scope.fault("Polarisation", f"must be HH, HV, VH or VV, instead got {one_line(polarisation)[:20]!r}")
    return CosmoImage(name, swath, polarisation.strip().upper(), info.level, scope, (shape[0], shape[1]), parts)


def _info(root: Attributes, path: Path) -> CosmoInfo:
    mission = root.text("Mission ID").upper()
    if mission not in ("CSK", "CSG"):
        message = f"must be a product of COSMO-SkyMed (CSK, CSG), instead got mission {one_line(mission)[:20]!r}"
        raise InputError(message, path=root.source.path)
    kind = root.text("Product Type").upper()
    level = kind.partition("_")[0]
    if level not in LEVELS:
        message = f"must be of level {', '.join(LEVELS)}, instead got {one_line(kind)[:20]!r}"
        raise InputError(message, path=root.source.path, advice="order it focused")
    start, stop = (
        moment(root.text(f"Scene Sensing {end} UTC"), root, f"Scene Sensing {end} UTC") for end in ("Start", "Stop")
    )
    orbit = root.get("Orbit Number")
    name = _SUFFIX.sub("", root.source.path.name)
    info = CosmoInfo(
        path, name, _parts(name), mission, root.text("Satellite ID"), kind, level, root.text("Acquisition Mode"),  # type: ignore[arg-type]
        root.text("Multi-Beam ID", default=""), root.choice("Look Side", {"LEFT": "left", "RIGHT": "right"}),
        root.choice("Orbit Direction", {"ASCENDING": "ascending", "DESCENDING": "descending"}),
        None if orbit is None else round(root.number("Orbit Number")), start, stop,
    )  # fmt: skip
    _compare(info)
    return info


def _parts(name: str) -> Any:
    try:
        return parse_name(name)
    except ProductNameError:
        return None


def _compare(info: CosmoInfo) -> None:
    """Warn where the name of the file says something else than its attributes."""
    parts = info.parts
    if parts is None:
        return
    pairs: list[tuple[str, Any, Any]] = [
        ("generation", "CSG" if isinstance(parts, CSGName) else "CSK", info.generation),
        ("product type", parts.product_type, info.product_type),
        ("look side", parts.look, info.look),
        ("pass", parts.pass_direction, info.pass_direction),
    ]
    if abs((parts.start - info.start).total_seconds()) > 2:
        pairs.append(("start", parts.start.isoformat(), info.start.isoformat()))
    for what, named, said in pairs:
        if named != said:
            message = f"{info.path}: its name says {what} {named}, its attributes {said}; the attributes count"
            warn(message, NameMismatchWarning, stacklevel=2)


def require_alike(first: Cosmo, second: Cosmo, *, force: bool = False) -> None:
    """Require that two products show the same ground from the same place.

    Parameters
    ----------
    first, second : Cosmo
    force : bool
        Warn only.

    Raises
    ------
    InputError
        They differ in generation, look side, pass, mode, beam or level, or share no polarisation: relief and the grain
        of the ground differ then, which would pass for motion.
    """
    one, other = first.info, second.info
    values = {
        "generation": (one.generation, other.generation),
        "level": (one.level, other.level),
        "look side": (one.look, other.look),
        "pass": (one.pass_direction, other.pass_direction),
        "mode": (one.mode, other.mode),
        "beam": (one.beam, other.beam),
    }
    advice = "choose scenes of one beam and kind, or say --force to pair them all the same"
    polarisations = first.polarisations, second.polarisations
    pairing.require_alike(values, polarisations, second.path, advice=advice, force=force)
