"""What the metadata of a Sentinel-2 product say: when, where, how seen, and how numbers become reflectance."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import InputError, MetadataError, ProductNameError
from sensetrack.files.markup import parse_xml
from sensetrack.files.raster import parse_time
from sensetrack.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

    from sensetrack.files.archive import Members

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""Spectral bands in the order of their numbers in the metadata, from 0."""
PLATFORMS = ("Sentinel-2A", "Sentinel-2B", "Sentinel-2C")
NAME = re.compile(
    r"(?P<platform>S2[A-Z])_MSI(?P<level>L1C|L2A)_(?P<start>\d{8}T\d{6})_(?:N(?P<baseline>\d{4})_)?"
    r"R(?P<orbit>\d{3})_T(?P<tile>\d{2}[A-Z]{3})_(?P<made>\d{8}T\d{6})",
)
"""What a product is called; some archives leave the baseline out."""


@dataclass(frozen=True)
class Calibration:
    """How the numbers of a band become reflectance: (number + offset) / quantification."""

    offset: float
    """RADIO_ADD_OFFSET or BOA_ADD_OFFSET of the band; 0 where the product has none."""
    quantification: float
    nodata: float
    """Number of pixels without measurement."""
    saturated: float
    """Number of saturated pixels."""


@dataclass(frozen=True, eq=False)
class Angles:
    """Zenith and azimuth, degrees, on a coarse grid over the tile; NaN = not seen."""

    zenith: NDArray[np.float64]
    """(rows, cols)"""
    azimuth: NDArray[np.float64]
    """(rows, cols), clockwise from north."""
    step: tuple[float, float]
    """Metres between rows and between columns; the first node is the upper left corner of the tile."""


@dataclass(frozen=True, eq=False)
class S2Metadata:
    """The metadata of one product of one tile."""

    uri: str
    """What the product was called when it was made."""
    platform: str
    level: str
    """L1C or L2A."""
    baseline: str
    """Processing baseline, such as 04.00."""
    tile: str
    """Tile of the military grid, such as 32TQS."""
    relative_orbit: int
    absolute_orbit: int
    direction: str
    sensed: datetime
    """When the granule, the ground of this tile, was seen (UTC)."""
    datatake: datetime
    """When the satellite began to record the strip that the tile is part of (UTC)."""
    generated: datetime
    cloud_percentage: float
    grids: dict[int, Grid]
    """Pixel size (10, 20, 60 m) -> grid of the tile."""
    images: dict[tuple[str, int], str]
    """(band, pixel size or 0 where the name does not tell) -> name of the image without suffix."""
    masks: tuple[tuple[str, str | None, str], ...]
    """(kind, band or None, name of the file), such as ("MSK_DETFOO", "B08", "GRANULE/...")."""
    calibrations: dict[str, Calibration]
    footprint: tuple[tuple[float, float], ...]
    """Ring of (longitude, latitude), degrees, without a jump: across the 180th meridian it goes on beyond 180."""
    sun: tuple[float, float]
    """Mean zenith and azimuth, degrees; NaN where the product does not know."""
    view: dict[str, tuple[float, float]]
    """Band -> mean zenith and azimuth from which it was seen, degrees; NaN where the product does not know."""
    sun_angles: Angles
    view_angles: dict[str, Angles]


class _Document:
    """An XML document whose missing tags are errors that name them."""

    def __init__(self, members: Members, name: str) -> None:
        self.path = members.where(name)
        self.root = parse_xml(members.read(name), self.path)

    def text(self, tag: str, default: str | None = None) -> str:
        found = next((e for e in self.all(tag)), None)
        value = "" if found is None else (found.text or "").strip()
        if value:
            return value
        if default is not None:
            return default
        what = "is missing" if found is None else "is empty"
        raise MetadataError(f"{tag} {what}", path=self.path, advice="download it again")

    def number(self, tag: str, default: str | None = None) -> float:
        return self.as_number(self.text(tag, default), tag)

    def whole(self, tag: str) -> int:
        value = self.number(tag)
        if value != int(value):
            raise MetadataError(f"{tag} must be a whole number, instead got {value:g}", path=self.path)
        return int(value)

    def as_number(self, text: str | None, tag: str, *, known: bool = True) -> float:
        try:
            value = float(text or "")
        except ValueError:
            value = math.inf
        if math.isinf(value) or (known and math.isnan(value)):
            raise MetadataError(f"{tag} must be a number, instead got {text!r}", path=self.path)
        return value

    def time(self, tag: str) -> datetime:
        return parse_time(self.text(tag), self.path)

    def all(self, tag: str) -> Iterator[Element]:
        # Products put some of their tags in a namespace; the version in its address is of no interest.
        return (element for element in self.root.iter() if _plain(element.tag) == tag)

    def child(self, parent: Element, tag: str) -> str:
        text = (parent.findtext(tag) or "").strip()
        if not text:
            raise MetadataError(f"{_plain(parent.tag)}/{tag} is missing", path=self.path, advice="download it again")
        return text


def _plain(tag: str) -> str:
    return tag.rpartition("}")[2]


def read_metadata(members: Members) -> S2Metadata:
    """Read the metadata of the product and of its tile.

    Raises
    ------
    MetadataError
        A file or a tag is missing or cannot be understood.
    ProductNameError
        It is of a satellite or a level that is not known.
    InputError
        It has more than one tile.
    """
    found = members.find(r"MTD_MSIL(1C|2A)\.xml")
    if not found:
        raise MetadataError("has no MTD_MSIL1C.xml or MTD_MSIL2A.xml", path=members.path, advice="download it again")
    if not members.find(r"manifest\.safe"):
        raise MetadataError("has no manifest.safe", path=members.path, advice="download it again")
    product = _Document(members, found[0])
    tiles = members.find(r"GRANULE/[^/]+/MTD_TL\.xml")
    if len(tiles) != 1:
        names = ", ".join(tiles) or "none"
        message = f"must hold one tile (GRANULE/.../MTD_TL.xml), instead got {names}"
        raise (InputError if tiles else MetadataError)(message, path=members.path)
    return _gather(product, _Document(members, tiles[0]))


def _gather(product: _Document, tile: _Document) -> S2Metadata:
    platform, level = product.text("SPACECRAFT_NAME"), product.text("PROCESSING_LEVEL")
    if platform not in PLATFORMS:
        known = ", ".join(PLATFORMS)
        raise ProductNameError(f"SPACECRAFT_NAME must be one of {known}, instead got {platform!r}", path=product.path)
    level = {"Level-1C": "L1C", "Level-2A": "L2A"}.get(level, level)
    if level not in ("L1C", "L2A"):
        message = f"PROCESSING_LEVEL must be Level-1C or Level-2A, instead got {level!r}"
        raise ProductNameError(message, path=product.path)
    tile_id = tile.text("TILE_ID")
    named = re.search(r"_A(\d{6})_T(\d{2}[A-Z]{3})_N(\d{2}\.\d{2})$", tile_id)
    if named is None:
        raise MetadataError(f"TILE_ID must end like _A012345_T32TQS_N04.00, instead got {tile_id!r}", path=tile.path)
    grids = _grids(tile)
    return S2Metadata(
        uri=product.text("PRODUCT_URI", ""),
        platform=platform,
        level=level,
        baseline=product.text("PROCESSING_BASELINE"),
        tile=named[2],
        relative_orbit=product.whole("SENSING_ORBIT_NUMBER"),
        absolute_orbit=int(named[1]),
        direction=product.text("SENSING_ORBIT_DIRECTION").lower(),
        sensed=tile.time("SENSING_TIME"),
        datatake=product.time("DATATAKE_SENSING_START"),
        generated=product.time("GENERATION_TIME"),
        cloud_percentage=tile.number("CLOUDY_PIXEL_PERCENTAGE", "0"),
        grids=grids,
        images=_images(product),
        masks=_masks(tile),
        calibrations=_calibrations(product, level),
        footprint=_footprint(product),
        sun=_mean_angle(tile, next(tile.all("Mean_Sun_Angle"), None), "Mean_Sun_Angle"),
        view={
            _band(tile, element, "bandId"): _mean_angle(tile, element, "Mean_Viewing_Incidence_Angle")
            for element in tile.all("Mean_Viewing_Incidence_Angle")
        },
        sun_angles=_sun_angles(tile),
        view_angles=_view_angles(tile),
    )


def _band(document: _Document, element: Element, attribute: str) -> str:
    """Name of the band that an attribute of a tag numbers."""
    text = element.get(attribute, "")
    if not text.isdecimal() or int(text) >= len(BANDS):
        message = f"{attribute} of {_plain(element.tag)} must be 0 to {len(BANDS) - 1}, instead got {text!r}"
        raise MetadataError(message, path=document.path)
    return BANDS[int(text)]


def _grids(tile: _Document) -> dict[int, Grid]:
    crs = tile.text("HORIZONTAL_CS_CODE")
    sizes = {
        element.get("resolution"): tuple(tile.as_number(tile.child(element, key), key) for key in ("NROWS", "NCOLS"))
        for element in tile.all("Size")
    }
    found = {}
    for element in tile.all("Geoposition"):
        resolution = element.get("resolution", "")
        left, top, x, y = (tile.as_number(tile.child(element, key), key) for key in ("ULX", "ULY", "XDIM", "YDIM"))
        if resolution not in ("10", "20", "60") or resolution not in sizes or x <= 0 or y >= 0:
            message = (
                f"Geoposition must be of 10, 20 or 60 m and have a Size, instead got {resolution!r}, {x:g} x {y:g}"
            )
            raise MetadataError(message, path=tile.path)
        rows, cols = sizes[resolution]
        try:
            found[int(resolution)] = Grid((int(rows), int(cols)), (x, 0, left, 0, y, top), crs)  # type: ignore[arg-type]
        except Exception as error:  # pyproj's and ours: the CRS is unknown
            raise MetadataError(f"HORIZONTAL_CS_CODE must be a CRS, instead got {crs!r}", path=tile.path) from error
    if not found:
        raise MetadataError("Geoposition is missing", path=tile.path, advice="download it again")
    return found


def _images(product: _Document) -> dict[tuple[str, int], str]:
    found = {}
    for tag in ("IMAGE_FILE", "IMAGE_ID"):
        for element in product.all(tag):
            name = (element.text or "").strip()
            # T32TQS_20240618T101559_B08 of L1C, ..._B08_10m of L2A
            parts = re.search(r"_([A-Z0-9]{3})(?:_(\d{2})m)?$", name)
            if parts:
                found[parts[1], int(parts[2] or 0)] = name
    if not found:
        raise MetadataError("IMAGE_FILE is missing", path=product.path, advice="download it again")
    return found


def _masks(tile: _Document) -> tuple[tuple[str, str | None, str], ...]:
    return tuple(
        (
            element.get("type", ""),
            None if element.get("bandId") is None else _band(tile, element, "bandId"),
            (element.text or "").strip(),
        )
        for element in tile.all("MASK_FILENAME")
    )


def _calibrations(product: _Document, level: str) -> dict[str, Calibration]:
    """Read how numbers become reflectance: from the tags alone, whatever baseline the product says it has."""
    quantity, offset = (
        ("QUANTIFICATION_VALUE", "RADIO_ADD_OFFSET")
        if level == "L1C"
        else ("BOA_QUANTIFICATION_VALUE", "BOA_ADD_OFFSET")
    )
    scale = product.number(quantity)
    if scale <= 0:
        raise MetadataError(f"{quantity} must be above 0, instead got {scale:g}", path=product.path)
    special = {
        (element.findtext("SPECIAL_VALUE_TEXT") or "").strip(): element.findtext("SPECIAL_VALUE_INDEX")
        for element in product.all("Special_Values")
    }
    missing, saturated = (
        product.as_number(special.get(name, default), "SPECIAL_VALUE_INDEX")
        for name, default in (("NODATA", "0"), ("SATURATED", "65535"))
    )
    offsets = {
        _band(product, element, "band_id"): product.as_number(element.text, offset) for element in product.all(offset)
    }
    lacking = [band for band in BANDS if band not in offsets] if offsets else []
    if level == "L2A" and "B10" in lacking:  # which that level does not have
        lacking.remove("B10")
    if lacking:
        raise MetadataError(f"{offset} is missing for {', '.join(lacking)}", path=product.path)
    return {band: Calibration(offsets.get(band, 0.0), scale, missing, saturated) for band in BANDS}


def _footprint(product: _Document) -> tuple[tuple[float, float], ...]:
    numbers = [product.as_number(part, "EXT_POS_LIST") for part in product.text("EXT_POS_LIST").split()]
    if len(numbers) < 8 or len(numbers) % 2:
        message = f"EXT_POS_LIST must hold four pairs or more, instead got {len(numbers)} numbers"
        raise MetadataError(message, path=product.path)
    lat, lon = np.array(numbers).reshape(-1, 2).T
    # The short way from each corner to the next: 180, -179.7 and 179.3 degrees are neighbours.
    lon = np.unwrap(lon, period=360)
    lon -= 360 * np.round((lon.mean() - (lon.mean() + 180) % 360 + 180) / 360)
    return tuple((float(x), float(y)) for x, y in zip(lon, lat, strict=True))


def _mean_angle(tile: _Document, element: Element | None, tag: str) -> tuple[float, float]:
    if element is None:
        raise MetadataError(f"{tag} is missing", path=tile.path, advice="download it again")
    # Real tiles of which little was seen say NaN.
    zenith, azimuth = (
        tile.as_number(tile.child(element, key), f"{tag}/{key}", known=False)
        for key in ("ZENITH_ANGLE", "AZIMUTH_ANGLE")
    )
    return zenith, azimuth


def _angles(tile: _Document, element: Element) -> Angles:
    grids, step = [], (math.nan, math.nan)
    for kind in ("Zenith", "Azimuth"):
        part = element.find(kind)
        lines = [] if part is None else [line.text or "" for line in part.iter("VALUES")]
        try:
            values = np.array([[float(number) for number in line.split()] for line in lines])
        except ValueError as error:
            raise MetadataError(f"{_plain(element.tag)}/{kind} must hold rows of numbers", path=tile.path) from error
        if part is None or values.ndim != 2 or not values.size:
            raise MetadataError(f"{_plain(element.tag)}/{kind} must hold rows of numbers", path=tile.path)
        step = tuple(tile.as_number(tile.child(part, key), key) for key in ("ROW_STEP", "COL_STEP"))  # type: ignore[assignment]
        grids.append(values)
    return Angles(grids[0], grids[1], step)


def _sun_angles(tile: _Document) -> Angles:
    element = next(tile.all("Sun_Angles_Grid"), None)
    if element is None:
        raise MetadataError("Sun_Angles_Grid is missing", path=tile.path, advice="download it again")
    return _angles(tile, element)


def _view_angles(tile: _Document) -> dict[str, Angles]:
    """Angles of each band; where the grids of two detectors overlap, the mean of both directions."""
    parts: dict[str, list[Angles]] = {}
    for element in tile.all("Viewing_Incidence_Angles_Grids"):
        parts.setdefault(_band(tile, element, "bandId"), []).append(_angles(tile, element))
    return {band: _together(angles, tile) for band, angles in parts.items()}


def _together(parts: list[Angles], tile: _Document) -> Angles:
    if len({part.zenith.shape for part in parts}) > 1:
        raise MetadataError("Viewing_Incidence_Angles_Grids must all have the same size", path=tile.path)
    zenith, azimuth = (np.radians(np.stack([getattr(p, key) for p in parts])) for key in ("zenith", "azimuth"))
    directions: Any = [np.sin(zenith) * np.sin(azimuth), np.sin(zenith) * np.cos(azimuth), np.cos(zenith)]
    seen = np.isfinite(zenith).any(axis=0)
    east, north, up = (np.where(seen, np.nansum(part, axis=0), np.nan) for part in directions)
    return Angles(
        np.degrees(np.arctan2(np.hypot(east, north), up)), np.degrees(np.arctan2(east, north)) % 360, parts[0].step
    )
