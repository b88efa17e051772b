"""Attributes and pixels of a product, the same for HDF5 and for a delivery as GeoTIFF: one way to ask for both."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import InputError, MetadataError, one_line
from sensetrack.files.hdf5 import Hdf5
from sensetrack.files.markup import parse_xml
from sensetrack.files.raster import RasterFile, open_raster
from sensetrack.files.safe import check_file

if TYPE_CHECKING:
    import os
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

ATTRIBUTES = ".attribs.xml"
"""How the name of the attributes of a delivery as GeoTIFF ends."""
LARGEST_XML = 2**26


class Source(ABC):
    """Where the groups, images and attributes of a product come from. Names are paths such as ``S01/SBI``."""

    path: Path
    """What messages name."""

    @property
    @abstractmethod
    def names(self) -> list[str]:
        """Groups and images; the root, whose name is empty, included."""

    @abstractmethod
    def attribute(self, key: str, name: str) -> Any:
        """Return text, a number, or a list of them; None where there is no such attribute."""

    @abstractmethod
    def shape(self, name: str) -> tuple[int, ...] | None:
        """Rows, columns, and 2 where pixels are pairs of real and imaginary part; None for what is no image."""

    @abstractmethod
    def read(self, name: str, rows: slice, cols: slice) -> NDArray[Any]:
        """Read a window as stored: (rows, columns) or (rows, columns, 2)."""


@dataclass(frozen=True, eq=False)
class H5Source(Source):
    """A product as HDF5."""

    file: Hdf5

    @property
    def path(self) -> Path:  # type: ignore[override]  # noqa: D102
        return self.file.path

    @property
    def names(self) -> list[str]:  # noqa: D102
        return list(self.file.nodes)

    def attribute(self, key: str, name: str) -> Any:  # noqa: D102
        return self.file.attribute(key, name)

    def shape(self, name: str) -> tuple[int, ...] | None:  # noqa: D102
        return self.file.nodes[name].shape

    def read(self, name: str, rows: slice, cols: slice) -> NDArray[Any]:  # noqa: D102
        return self.file.read(name, rows, cols)


@dataclass(frozen=True, eq=False)
class TiffSource(Source):
    """A product as GeoTIFFs, whose attributes lie beside them in one XML."""

    path: Path
    """Of the XML."""
    attributes: dict[str, dict[str, str]] = field(repr=False)
    images: dict[str, RasterFile] = field(repr=False)

    @property
    def names(self) -> list[str]:  # noqa: D102
        return list(self.attributes)

    def attribute(self, key: str, name: str) -> Any:  # noqa: D102
        return self.attributes.get(name, {}).get(key)

    def shape(self, name: str) -> tuple[int, ...] | None:  # noqa: D102
        file = self.images.get(name)
        if file is None:
            return None
        parts = 2 if "complex" in file.dtype else file.count
        return file.grid.shape if parts == 1 else (*file.grid.shape, parts)

    def read(self, name: str, rows: slice, cols: slice) -> NDArray[Any]:  # noqa: D102
        file = self.images[name]
        if file.count == 1:
            values = file.read(1, rows, cols)
            return np.stack([values.real, values.imag], axis=-1) if np.iscomplexobj(values) else values
        return np.stack([file.read(band, rows, cols) for band in range(1, file.count + 1)], axis=-1)


def open_source(path: str | os.PathLike[str]) -> Source:
    """Open a product: its HDF5, a zip with it, its ``.attribs.xml``, or the folder in which that lies.

    Raises
    ------
    UnsafeInputError
        See `sensetrack.files.hdf5` and `sensetrack.files.markup`.
    InputError
        No such product, or damaged.
    """
    place = Path(path)
    if place.is_dir():
        found = attribute_files(place)
        if len(found) != 1:
            names = ", ".join(one_line(one.name) for one in found[:3]) or "none"
            raise InputError(f"must hold one product with a file *{ATTRIBUTES}, instead got {names}", path=path)
        return _tiffs(found[0])
    if place.name.lower().endswith(ATTRIBUTES):
        return _tiffs(check_file(path))
    if re.search(r"\.(tgz|tar(\.gz)?)$", place.name, re.IGNORECASE):
        raise InputError("is a tar archive, which is not read where it is", path=path, advice="unpack it")
    return H5Source(Hdf5.open(path))


def attribute_files(folder: Path) -> list[Path]:
    """Attributes of deliveries as GeoTIFF that lie in a folder."""
    return sorted(one for one in folder.iterdir() if one.name.lower().endswith(ATTRIBUTES))


def _tiffs(path: Path) -> TiffSource:
    if path.stat().st_size > LARGEST_XML:
        raise InputError(f"must have at most {LARGEST_XML} bytes, instead got {path.stat().st_size}", path=path)
    root = parse_xml(path.read_bytes(), path)
    if root.tag != "HDF5Attributes":
        raise MetadataError(f"must begin with HDF5Attributes, instead got {one_line(root.tag)}", path=path)
    attributes: dict[str, dict[str, str]] = {"": {}}
    _gather(root, "", attributes)
    stem = path.name[: -len(ATTRIBUTES)]
    images = {}
    for name in attributes:
        file = path.with_name(f"{stem}.{name.replace('/', '.')}.tif")
        if name and file.is_file():
            images[name] = open_raster(file)
    return TiffSource(path, attributes, images)


def _gather(element: Element, name: str, attributes: dict[str, dict[str, str]]) -> None:
    for child in element:
        if child.tag == "Attribute":
            attributes.setdefault(name, {})[child.get("Name", "")] = (child.text or "").strip()
            continue
        below = name if child.tag == "_ROOT_" else f"{name}/{child.tag}".strip("/")
        attributes.setdefault(below, {})
        _gather(child, below, attributes)


@dataclass(frozen=True, eq=False)
class Attributes:
    """What a product says at some places, of which the first counts where several say something.

    The two generations keep the same attribute at different places: of the image, of its swath, or of the product.
    """

    source: Source
    scopes: tuple[str, ...]
    """Names of places, such as ``S01/SBI``, ``S01`` and the root."""

    def get(self, *keys: str) -> Any:
        """Return the value of the first of some spellings that is anywhere; None where none is."""
        for key in keys:
            for scope in self.scopes:
                value = self.source.attribute(key, scope)
                if value is not None:
                    return value
        return None

    def has(self, *keys: str) -> bool:
        """Tell whether there is a value."""
        return self.get(*keys) is not None

    def text(self, *keys: str, default: str | None = None) -> str:
        """Return a value that must be text; raise MetadataError where there is none and no default."""
        value = self.get(*keys)
        if value is None:
            if default is None:
                raise self.fault(keys[0], "is missing")
            return default
        if isinstance(value, list | dict):
            raise self.fault(keys[0], f"must be text, instead got {len(value)} values")
        return str(value).strip()

    def numbers(self, *keys: str, count: int | None = None) -> NDArray[np.float64]:
        """Return a value that must be finite numbers, `count` of them where that is given."""
        value = self.get(*keys)
        if value is None:
            raise self.fault(keys[0], "is missing")
        parts = value.split() if isinstance(value, str) else value if isinstance(value, list) else [value]
        try:
            found = [float(part) for part in parts]
        except (TypeError, ValueError) as error:
            raise self.fault(keys[0], f"must be numbers, instead got {one_line(value)[:60]!r}") from error
        if not found or not all(map(math.isfinite, found)) or (count is not None and len(found) != count):
            wanted = "finite numbers" if count is None else f"{count} finite number{'s' * (count > 1)}"
            raise self.fault(keys[0], f"must be {wanted}, instead got {one_line(value)[:60]!r}")
        return np.array(found)

    def number(self, *keys: str, default: float | None = None) -> float:
        """Return a value that must be one finite number."""
        if default is not None and not self.has(*keys):
            return default
        return float(self.numbers(*keys, count=1)[0])

    def choice(self, key: str, known: dict[str, Any]) -> Any:
        """Return what one of some words stands for; raise MetadataError for any other."""
        word = self.text(key).upper()
        if word not in known:
            raise self.fault(key, f"must be one of {', '.join(known)}, instead got {one_line(word)[:40]!r}")
        return known[word]

    def fault(self, key: str, what: str) -> MetadataError:
        """Return an error that says what is wrong with an attribute."""
        places = " or ".join(f"/{scope}" for scope in self.scopes)
        return MetadataError(f"attribute {key} of {places} {what}", path=self.source.path)
