"""The manifest of a SAFE product: which files belong to it, and what they must hold."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sensetrack.errors import EnvironmentFault, InputError, MetadataError
from sensetrack.files.archive import Folder, Members, Zip, inside
from sensetrack.files.markup import parse_xml
from sensetrack.files.raster import open_raster, open_raster_in_memory
from sensetrack.files.zipped import open_raster_in_zip

if TYPE_CHECKING:
    from pathlib import Path

    from sensetrack.files.raster import RasterFile

log = logging.getLogger(__name__)

_KINDS = {"MD5": "md5", "SHA-256": "sha256", "SHA256": "sha256", "SHA3-256": "sha3_256"}
"""Names of checksums in manifests, and Python's."""


@dataclass(frozen=True)
class Listed:
    """What a manifest says of one file."""

    size: int | None
    """Bytes."""
    kind: str
    sum: str
    """Hexadecimal, lower case."""


@dataclass(frozen=True, eq=False)
class Safe:
    """The files of a SAFE product, each held against the manifest when it is read."""

    members: Members
    listed: dict[str, Listed]

    @classmethod
    def of(cls, members: Members) -> Safe:
        """Read the manifest.

        Raises
        ------
        MetadataError
            There is none, or it cannot be read.
        """
        names = members.find(r"manifest\.safe")
        if not names:
            raise MetadataError("has no manifest.safe", path=members.path, advice="download it again")
        path = members.where(names[0])
        found = {}
        for stream in parse_xml(members.read(names[0]), path).iter("byteStream"):
            place, checksum = stream.find("fileLocation"), stream.find("checksum")
            if place is None or checksum is None:
                continue
            size = stream.get("size", "")
            kind = _KINDS.get(checksum.get("checksumName", "").upper())
            if kind is not None:
                name = inside(place.get("href", ""), path)
                number = int(size) if size.isdecimal() else None
                found[name] = Listed(number, kind, (checksum.text or "").strip().lower())
        return cls(members, found)

    def require_text(self, name: str) -> None:
        """Compare a file of metadata with the manifest.

        Some archives write the metadata anew and leave the manifest as it was: a file of another size is said to be
        such a one, one of the same size that differs is damaged.
        """
        listed = self.listed.get(name)
        if listed is None:
            return
        content = self.members.read(name)
        if hashlib.new(listed.kind, content, usedforsecurity=False).hexdigest() == listed.sum:
            return
        if listed.size != len(content):
            log.warning("%s: was written after manifest.safe, which does not know it", self.members.where(name))
            return
        raise _differs(self.members.where(name), listed)

    def open_raster(self, name: str) -> RasterFile:
        """Open an image or a mask whose size and checksum are those of the manifest, where it lists it."""
        name = self.members.require(name)
        path, listed, size = self.members.where(name), self.listed.get(name), self.members.sizes[name]
        if listed is not None and listed.size not in (None, size):
            message = f"is {size} bytes long, manifest.safe says {listed.size}"
            raise InputError(message, path=path, advice="download it again")
        if isinstance(self.members, Folder):
            if listed is not None:
                _require_sum(path, listed)
            return open_raster(path)
        content = self.members.read(name)
        if listed is not None and hashlib.new(listed.kind, content, usedforsecurity=False).hexdigest() != listed.sum:
            raise _differs(path, listed)
        return open_raster_in_memory(content, path)

    def open_measurement(self, name: str) -> RasterFile:
        """Open a GeoTIFF that may be too large for memory, to be read a window at a time, in an archive too.

        All of it is read once, to find damage before it is used. One that is whole but of another size than the
        manifest says was written anew by somebody, which is said.
        """
        name = self.members.require(name)
        path, listed, size = self.members.where(name), self.listed.get(name), self.members.sizes[name]
        if listed is not None and listed.size not in (None, size):
            log.warning(
                "%s: was written after manifest.safe, which says it has %s bytes, not %d", path, listed.size, size
            )
            listed = None
        if isinstance(self.members, Folder):
            if listed is not None:
                _require_sum(path, listed)
            return open_raster(path)
        assert isinstance(self.members, Zip)
        log.info("%s: is read in the archive; windows come faster once it is unzipped", path)
        digest = hashlib.new("md5" if listed is None else listed.kind, usedforsecurity=False)
        for piece in self.members.pieces(name):
            digest.update(piece)
        if listed is not None and digest.hexdigest() != listed.sum:
            raise _differs(path, listed)
        return open_raster_in_zip(self.members, name)


def _require_sum(path: Path, listed: Listed) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, partial(hashlib.new, listed.kind, usedforsecurity=False)).hexdigest()
    except FileNotFoundError as error:
        raise InputError("not found any more", path=path) from error
    except OSError as error:
        raise EnvironmentFault(f"cannot be read ({error.strerror})", path=path) from error
    if found != listed.sum:
        raise _differs(path, listed)


def _differs(path: Path, listed: Listed) -> InputError:
    message = f"checksum differs ({listed.kind}, manifest.safe says {listed.sum[:12]}...)"
    return InputError(message, path=path, advice="download it again")
