"""Raw images with the headers that ISCE2 writes: ``name.xml`` for itself, ``name.vrt`` for GDAL.

The numbers of a georeference are the corner of the first pixel, as GDAL and the .vrt files of ISCE2 take them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import numpy as np
from affine import Affine

from sensetrack.errors import InputError, MetadataError, OutputError
from sensetrack.files.markup import LARGEST, parse_xml
from sensetrack.files.safe import check_file, read_head

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

_TYPES = {"BYTE": "u1", "SHORT": "i2", "INT": "i4", "FLOAT": "f4", "DOUBLE": "f8", "CFLOAT": "c8"}
"""ISCE2's names of numbers."""
_SCHEMES = {"BIL": (0, 2, 1), "BIP": (0, 1, 2), "BSQ": (2, 0, 1)}
"""How the numbers follow each other: axes (rows, cols, bands) in the order of the file's."""
_LARGEST_SIDE = 1 << 24


def write_raw(
    path: Path,
    bands: Sequence[NDArray[np.floating[Any]]],
    names: Sequence[str],
    *,
    null: float | None,
    geo: Affine | None = None,
    elevation: bool = False,
) -> tuple[Path, Path, Path]:
    """Write bands as float32, a line of each after the other (BIL), and both headers.

    Parameters
    ----------
    path : Path
        Of the raw file; the headers are beside it.
    bands : sequence of (rows, cols)
        Without NaN unless that is the null value.
    names : sequence of str
        What each band is called in the .vrt.
    null : float or None
        Said in the .vrt to mean "not measured"; the .xml has no place for it.
    geo : Affine, optional
        (col, row) in pixel corners -> (lon, lat), degrees, without rotation.
    elevation : bool
        Heights above the ellipsoid; the place in the .xml is that of the middle of the first pixel then, as ISCE2
        takes it.

    Returns
    -------
    (raw file, .xml, .vrt)
    """
    if geo is not None and (geo.b or geo.d):
        raise InputError(f"a grid of longitudes and latitudes must not be rotated, instead got {tuple(geo)[:6]}")
    lines = np.stack([np.asarray(band, "<f4") for band in bands], axis=1)
    shape = lines.shape[0], lines.shape[2]
    xml, vrt = path.with_name(f"{path.name}.xml"), path.with_name(f"{path.name}.vrt")
    try:
        lines.tofile(path)
        xml.write_text(_xml(path.name, shape, len(bands), geo, elevation=elevation), encoding="utf-8")
        vrt.write_text(_vrt(path.name, shape, names, null, geo), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot be written ({error.strerror})", path=path) from error
    return path, xml, vrt


def _xml(name: str, shape: tuple[int, int], bands: int, geo: Affine | None, *, elevation: bool) -> str:
    """Return ISCE2's description of an image."""
    rows, cols = shape
    if geo is not None and elevation:
        geo = geo @ Affine.translation(0.5, 0.5)
    along = ((geo.c, geo.a), (geo.f, geo.e)) if geo is not None else ((0.0, 1.0), (0.0, 1.0))
    axes = "".join(
        _component(f"coordinate{number}", size, *numbers)
        for number, (size, numbers) in enumerate(zip((cols, rows), along, strict=True), start=1)
    )
    properties = {
        "access_mode": "read", "byte_order": "l", "data_type": "FLOAT", "family": "image", "file_name": name,
        "image_type": "bil", "length": rows, "name": "image_name", "number_bands": bands, "scheme": "BIL",
        "width": cols, "xmax": repr(along[0][0] + cols * along[0][1]), "xmin": repr(along[0][0]),
    }  # fmt: skip
    if elevation:
        properties |= {"family": "demimage", "reference": "WGS84"}
    head = "".join(_property(key, value, 4) for key, value in properties.items())
    return f"<imageFile>\n{axes}{head}</imageFile>\n"


def _component(name: str, size: int, start: float, delta: float) -> str:
    properties = {
        "delta": repr(delta), "endingvalue": repr(start + size * delta), "family": "imagecoordinate",
        "name": "imagecoordinate_name", "size": size, "startingvalue": repr(start),
    }  # fmt: skip
    inner = "".join(_property(key, value, 8) for key, value in properties.items())
    made = "<factorymodule>isceobj.Image</factorymodule>\n        <factoryname>createCoordinate</factoryname>"
    return f'    <component name="{name}">\n        {made}\n{inner}    </component>\n'


def _property(key: str, value: object, indent: int) -> str:
    return f'{" " * indent}<property name="{key}"><value>{escape(str(value))}</value></property>\n'


def _vrt(
    name: str, shape: tuple[int, int], names: Sequence[str], null: float | None, geo: Affine | None
) -> str:  # fmt: skip
    """Return GDAL's description of the same image."""
    rows, cols = shape
    place = ""
    if geo is not None:
        numbers = ", ".join(repr(float(number)) for number in geo.to_gdal())
        place = f"    <SRS>EPSG:4326</SRS>\n    <GeoTransform>{numbers}</GeoTransform>\n"
    nodata = "" if null is None else f"        <NoDataValue>{'nan' if np.isnan(null) else repr(null)}</NoDataValue>\n"
    bands = "".join(
        f'    <VRTRasterBand dataType="Float32" band="{i + 1}" subClass="VRTRawRasterBand">\n'
        f"        <Description>{escape(band)}</Description>\n{nodata}"
        f'        <SourceFilename relativeToVRT="1">{escape(name)}</SourceFilename>\n'
        "        <ByteOrder>LSB</ByteOrder>\n"
        f"        <ImageOffset>{4 * cols * i}</ImageOffset>\n        <PixelOffset>4</PixelOffset>\n"
        f"        <LineOffset>{4 * cols * len(names)}</LineOffset>\n    </VRTRasterBand>\n"
        for i, band in enumerate(names)
    )
    return f'<VRTDataset rasterXSize="{cols}" rasterYSize="{rows}">\n{place}{bands}</VRTDataset>\n'


def read_raw(path: str | os.PathLike[str]) -> tuple[NDArray[Any], Affine | None]:
    """Read a raw image through the .xml beside it; the .vrt and file names in the .xml are never followed.

    Returns
    -------
    pixels : (bands, rows, cols)
        As they are in the file: null values are numbers.
    geo : Affine or None
        (col, row) in pixel corners -> (lon, lat), degrees; None where the header has no place on the ground.

    Raises
    ------
    MetadataError
        The header lacks something or says what cannot be.
    InputError
        The raw file has another size than the header says.
    """
    raw = check_file(path)
    header = check_file(Path(f"{raw}.xml"))
    root = parse_xml(read_head(header, LARGEST + 1), header)
    said = _properties(root)
    axes = [_axis(root, number) for number in (1, 2)]
    cols, rows, bands = (
        _size(said.get(key, axis.get("size")), key, header)
        for key, axis in (("width", axes[0]), ("length", axes[1]), ("number_bands", {"size": "1"}))
    )
    kind, scheme = said.get("data_type", "").upper(), said.get("scheme", "").upper()
    if kind not in _TYPES:
        raise MetadataError(f"data_type must be one of {', '.join(_TYPES)}, instead got {kind!r}", path=header)
    if scheme not in _SCHEMES:
        raise MetadataError(f"scheme must be one of {', '.join(_SCHEMES)}, instead got {scheme!r}", path=header)
    dtype = np.dtype(_TYPES[kind]).newbyteorder(">" if said.get("byte_order", "l").lower().startswith("b") else "<")
    expected, found = rows * cols * bands * dtype.itemsize, raw.stat().st_size
    if expected != found:
        message = f"must have {expected} bytes ({bands} x {rows} x {cols} {kind}, says its .xml), instead got {found}"
        raise InputError(message, path=raw, advice="it was cut off, or the header belongs to another file")
    order = _SCHEMES[scheme]
    shape = [(rows, cols, bands)[axis] for axis in order]
    pixels = np.fromfile(raw, dtype).reshape(shape).transpose(np.argsort(order)).transpose(2, 0, 1)
    return np.ascontiguousarray(pixels, dtype.newbyteorder("=")), _georeference(axes, header)


def shape_of(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return rows and columns of a raw image, as the .xml beside it says.

    Raises
    ------
    MetadataError
        It does not say.
    """
    header = check_file(f"{os.fspath(path)}.xml")
    said = _properties(parse_xml(read_head(header, LARGEST + 1), header))
    return _size(said.get("length"), "length", header), _size(said.get("width"), "width", header)


def read_raw_at(
    path: str | os.PathLike[str], rows: NDArray[np.int64], cols: NDArray[np.int64], *, dtype: str = "f8"
) -> NDArray[np.float64]:
    """Return the values (rows, cols) of a raw image of one band at some of its rows and columns.

    Raises
    ------
    InputError
        The file has another size than its header says, or not these rows and columns.
    """
    shape, raw = shape_of(path), check_file(path)
    kind = np.dtype(dtype)
    expected, found = shape[0] * shape[1] * kind.itemsize, raw.stat().st_size
    if expected != found:
        raise InputError(
            f"must have {expected} bytes for {shape[0]} x {shape[1]} {kind}, instead got {found}", path=raw
        )
    if rows.max(initial=0) >= shape[0] or cols.max(initial=0) >= shape[1]:
        raise InputError(f"must have the posts, instead got {shape[0]} x {shape[1]} px", path=raw)
    values = np.memmap(raw, kind, "r", shape=shape)
    return np.stack([np.asarray(values[row])[cols] for row in rows]).astype(np.float64)


def _properties(element: Element) -> dict[str, str]:
    """Return the properties directly under an element; ISCE2 minds neither case nor blanks in their names."""
    found: dict[str, str] = {}
    for child in element.iter("property") if element.tag != "component" else element.findall("property"):
        name = "".join(child.get("name", "").lower().split())
        value = child.findtext("value")
        if value is not None:
            found.setdefault(name, value.strip())
    return found


def _axis(root: Element, number: int) -> dict[str, str]:
    for component in root.iter("component"):
        if "".join(component.get("name", "").lower().split()) == f"coordinate{number}":
            return _properties(component)
    return {}


def _size(text: str | None, key: str, header: Path) -> int:
    try:
        value = int(text or "")
    except ValueError:
        value = 0
    if not 0 < value <= _LARGEST_SIDE:
        raise MetadataError(f"{key} must be a number of pixels, instead got {text!r}", path=header)
    return value


def _georeference(axes: list[dict[str, str]], header: Path) -> Affine | None:
    """Return where pixels are, or None where starts and steps are those of counting pixels."""
    try:
        (x, dx), (y, dy) = ((float(axis["startingvalue"]), float(axis["delta"])) for axis in axes)
    except KeyError:
        return None
    except ValueError as error:
        raise MetadataError(f"coordinates must be numbers ({error})", path=header) from error
    if not (np.isfinite([x, y, dx, dy]).all() and dx and dy) or (abs(dx), abs(dy)) == (1, 1):
        return None
    return Affine(dx, 0, x, 0, dy, y)
