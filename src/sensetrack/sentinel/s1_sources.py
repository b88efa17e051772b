"""Where the parts of a Sentinel-1 product come from: a SAFE folder or zip, or one burst as ASF cuts it."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import InputError, MetadataError, ProductNameError, one_line
from sensetrack.files.archive import read_file
from sensetrack.files.markup import parse_xml
from sensetrack.files.raster import open_raster
from sensetrack.sentinel.s1_names import BURST, PART, last, part_key
from sensetrack.sentinel.s1_xml import Node

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.files.raster import RasterFile
    from sensetrack.sentinel.manifest import Safe
    from sensetrack.sentinel.s1_types import SwathInfo

_TYPES = {"SLC": ("complex_int16", "complex64"), "GRD": ("uint16",)}
"""Types of pixels in files, by product."""


class Source(ABC):
    """The documents and the pixels of a product, by key of the swath (iw1/vv)."""

    path: Path
    """The product, as messages call it."""
    name: str
    """What it is called."""
    keys: tuple[str, ...]

    @abstractmethod
    def manifest(self) -> Node:
        """Return the manifest."""

    @abstractmethod
    def annotation(self, key: str) -> Node:
        """Return the annotation of a swath."""

    @abstractmethod
    def calibration(self, key: str) -> Node:
        """Return the calibration of a swath."""

    @abstractmethod
    def noise(self, key: str) -> Node | None:
        """Return the noise of a swath; None where the product has none."""

    @abstractmethod
    def measurement(self, key: str) -> RasterFile:
        """Open the pixels of a swath."""


@dataclass(frozen=True, eq=False)
class SafeSource(Source):
    """A product in the SAFE format."""

    safe: Safe

    @cached_property
    def path(self) -> Path:  # type: ignore[override]  # noqa: D102
        return self.safe.members.path

    @cached_property
    def name(self) -> str:  # type: ignore[override]
        """The folder of the product, also in an archive."""
        return self.safe.members.where("").name

    @cached_property
    def keys(self) -> tuple[str, ...]:  # type: ignore[override]
        """Swaths that are annotated, in the order of their names."""
        found: dict[str, str] = {}
        for name in self.safe.members.find(rf"annotation/{PART}\.xml"):
            if part_key(name) in found:
                message = f"must have one annotation of {part_key(name)}, instead got {last(name)} too"
                raise InputError(message, path=self.path)
            found[part_key(name)] = name
        if not found:
            raise MetadataError("has no annotation of a swath (annotation/*.xml)", path=self.path,
                                advice="download it again")  # fmt: skip
        return tuple(sorted(found))

    def manifest(self) -> Node:  # noqa: D102
        (name,) = self.safe.members.find(r"manifest\.safe")
        path = self.safe.members.where(name)
        return Node(parse_xml(self.safe.members.read(name), path), path)

    def annotation(self, key: str) -> Node:  # noqa: D102
        return self._document("annotation/", key)

    def calibration(self, key: str) -> Node:  # noqa: D102
        return self._document("annotation/calibration/calibration-", key)

    def noise(self, key: str) -> Node | None:  # noqa: D102
        start = "annotation/calibration/noise-"
        there = self._named(start, key, "xml")
        if not there and any(name.lower().startswith(start) and part_key(name) == key for name in self.safe.listed):
            raise self._missing(start, key)
        return self._document(start, key) if there else None

    def _named(self, start: str, key: str, suffix: str) -> list[str]:
        found = self.safe.members.find(rf"{re.escape(start)}{PART}\.{suffix}")
        return [name for name in found if part_key(name) == key]

    def _missing(self, start: str, key: str) -> MetadataError:
        name = next((name for name in self.safe.listed if name.startswith(start) and part_key(name) == key), "")
        what = one_line(name) if name else f"{start}*.xml of {key}"
        return MetadataError(f"{what} is missing", path=self.path, advice="download it again")

    def _document(self, start: str, key: str) -> Node:
        names = self._named(start, key, "xml")
        if len(names) != 1:
            if not names:
                raise self._missing(start, key)
            raise InputError(f"must have one {start}*.xml of {key}, instead got {len(names)}", path=self.path)
        name = self.safe.members.require(names[0])
        self.safe.require_text(name)
        path = self.safe.members.where(name)
        return Node(parse_xml(self.safe.members.read(name), path), path)

    def measurement(self, key: str) -> RasterFile:  # noqa: D102
        sizes = self.safe.members.sizes
        names = self._named("measurement/", key, "tiff?")
        if len(names) == 1 and sizes[names[0]]:
            return self.safe.open_measurement(names[0])
        if len(names) > 1:
            raise InputError(f"must have one measurement of {key}, instead got {len(names)}", path=self.path)
        empty = [name for name in self.safe.members.find(r"measurement/.*\.tiff?") if not sizes[name]]
        if empty:
            listed = ", ".join(map(one_line, empty))
            message = f"holds measurements that are empty (0 bytes): {listed}"
        elif not any(name.lower().startswith("measurement/") for name in sizes):
            message = "holds metadata, but no image (measurement/ is missing)"
        else:
            message = f"the measurement of {key} is missing"
        raise InputError(message, path=self.path, advice="download it again")


class BurstSource(Source):
    """One burst as ASF cuts it: a GeoTIFF, and XML with all documents of the product it comes from.

    Parameters
    ----------
    path : path-like
        Either file; they are called alike, or the XML after the product, its name and the polarisation.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        given = Path(path).absolute()
        found = BURST.match(given.name)
        if found is None:
            example = "S1_136231_IW2_20200604T022312_VV_7C85-BURST.tiff"
            raise ProductNameError(f"a burst is called like {example}", path=path)
        self.path, self.name = given, found[0]
        self.number, self.swath, self.polarisation = int(found["burst"]), found["swath"], found["polarisation"]
        self.unique = found["unique"]
        self.keys = (f"{self.swath}/{self.polarisation}".lower(),)
        self._raster, self._xml = self._beside((".tiff", ".tif")), self._beside((".xml",))
        content, document = read_file(self._xml, r".*\.xml")
        self._root = Node(parse_xml(content, document), document)

    def _beside(self, suffixes: tuple[str, ...]) -> Path:
        if self.path.suffix.lower() in suffixes:
            return self.path
        names = [self.path.with_name(f"{self.name}{suffix}") for suffix in suffixes]
        if suffixes == (".xml",):
            names += sorted(self.path.parent.glob(f"S1*_{self.unique}_{self.polarisation}.xml"))
        there = [name for name in names if name.is_file()]
        if not there:
            message = f"a burst is a GeoTIFF and an XML file, instead {names[0].name} is missing"
            raise InputError(message, path=self.path, advice="download both")
        return there[0]

    def manifest(self) -> Node:  # noqa: D102
        return self._root.child("manifest/{*}XFDU")

    def _content(self, kind: str) -> Node | None:
        for part in self._root.all(f"metadata/{kind}"):
            where = part.text("swath", "").upper(), part.text("polarisation", "").upper()
            if where == (self.swath, self.polarisation):
                return part.child("content")
        return None

    def _require(self, kind: str) -> Node:
        found = self._content(kind)
        if found is None:
            message = f"metadata/{kind} of {self.swath} {self.polarisation} is missing"
            raise MetadataError(message, path=self._root.path, advice="download it again")
        return found

    def annotation(self, key: str) -> Node:  # noqa: ARG002, D102
        return self._require("product")

    def calibration(self, key: str) -> Node:  # noqa: ARG002, D102
        return self._require("calibration")

    def noise(self, key: str) -> Node | None:  # noqa: ARG002, D102
        return self._content("noise")

    def measurement(self, key: str) -> RasterFile:  # noqa: ARG002, D102
        return open_raster(self._raster)


class Pixels:
    """Measurements read a window at a time: complex64 of an SLC, float32 amplitudes of a GRD.

    Parameters
    ----------
    file : RasterFile
    info : SwathInfo
        What the file must be.

    Raises
    ------
    InputError
        It has another size or another type of pixel than the annotation says.
    """

    def __init__(self, file: RasterFile, info: SwathInfo) -> None:
        self.file, self.path, self.shape = file, file.path, (info.lines, info.samples)
        self.dtype = np.dtype(np.complex64 if info.product == "SLC" else np.float32)
        if file.grid.shape != self.shape or file.count != 1:
            has = f"{file.grid.shape[0]} x {file.grid.shape[1]} pixels in {file.count} band{'s'[: file.count > 1]}"
            message = f"must have {self.shape[0]} x {self.shape[1]} pixels as its annotation says, instead got {has}"
            raise InputError(message, path=file.path, advice="download it again")
        if file.dtype not in _TYPES[info.product]:
            known = " or ".join(_TYPES[info.product])
            raise InputError(f"pixels must be {known}, instead got {file.dtype}", path=file.path)

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Read a window; see `Measurement.read`."""
        window = [slice(*part.indices(size)[:2]) for part, size in zip((rows, cols), self.shape, strict=True)]
        if any(part.stop <= part.start for part in window):
            return np.zeros([max(part.stop - part.start, 0) for part in window], self.dtype)
        return self.file.read(1, window[0], window[1]).astype(self.dtype, copy=False)

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[Any]:
        return self.read(*key)
