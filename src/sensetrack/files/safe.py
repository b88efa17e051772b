"""The one way to open anything: local regular files of an expected kind, told by their content.

GDAL would follow a VRT or a WMS description named ``.tif`` to other files and to the network; here the first
bytes of a file decide what it is, and only the driver of that kind is ever given the file.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

from sensetrack.errors import EnvironmentFault, InputError, UnsafeInputError
from sensetrack.files.checksums import require_checksum

RASTERS = {"TIFF": "GTiff", "JPEG": "JPEG", "PNG": "PNG", "JPEG 2000": "JP2OpenJPEG"}
"""Kinds of raster that are read, and GDAL's name of the driver."""
VECTORS = {"SQLite": "GPKG", "shapefile": "ESRI Shapefile", "JSON": "GeoJSON"}
"""Kinds of vector file that are read, and GDAL's name of the driver."""

_MAGIC = (
    (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"II+\0", "TIFF"), (b"MM\0+", "TIFF"),
    (b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"), (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"), (b"CDF\x01", "netCDF"), (b"CDF\x02", "netCDF"), (b"CDF\x05", "netCDF"),
    (b"PK\x03\x04", "ZIP"), (b"PK\x05\x06", "ZIP"), (b"SQLite format 3\0", "SQLite"),
    (b"\0\0'\n", "shapefile"), (b"%PDF", "PDF"), (b"\x1f\x8b", "gzip"),
)  # fmt: skip
_SUFFIXES = {
    ".tif": "TIFF", ".tiff": "TIFF", ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".jp2": "JPEG 2000",
    ".gpkg": "SQLite", ".shp": "shapefile", ".geojson": "JSON", ".json": "JSON",
}  # fmt: skip
_REMOTE = re.compile(r"^(?:[A-Za-z][A-Za-z0-9+.-]+:/{1,2}|/vsi)")


def check_file(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a local regular file that is not empty and may be read.

    Raises
    ------
    UnsafeInputError
        A URL or one of GDAL's virtual file systems, or something that is not a regular file.
    InputError
        Not found, a directory, or empty.
    EnvironmentFault
        No permission.
    """
    text = os.fspath(path)
    if _REMOTE.match(text):
        raise UnsafeInputError("only local files are read", path=text, advice="download it first")
    try:
        status = os.stat(text)  # noqa: PTH116  a Path would swallow the trailing slash and "" of user input
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise InputError("not found", path=text, advice="check the spelling") from error
    except PermissionError as error:
        raise EnvironmentFault("permission denied", path=text) from error
    except OSError as error:
        reason = "a loop of symbolic links" if error.errno == errno.ELOOP else error.strerror
        raise InputError(f"cannot be opened ({reason})", path=text) from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError("is a directory, not a file", path=text)
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeInputError("is not a regular file", path=text)
    if status.st_size == 0:
        raise InputError("empty file (0 bytes)", path=text, advice="download incomplete?")
    return Path(text).absolute()


def read_head(path: Path, size: int = 512) -> bytes:
    """Return the first bytes of a checked file."""
    try:
        with path.open("rb") as file:
            return file.read(size)
    except PermissionError as error:
        raise EnvironmentFault("permission denied", path=path) from error
    except OSError as error:
        raise EnvironmentFault(f"cannot be read ({error.strerror})", path=path) from error


def read_tail(path: Path, size: int = 4096) -> bytes:
    """Return the last bytes of a checked file."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - size))
        return file.read()


def identify(path: str | os.PathLike[str], allowed: dict[str, str]) -> tuple[Path, str]:
    """Return the path of a checked file and the driver for its kind, told by its content.

    A checksum file beside it is compared with it (`sensetrack.files.checksums`).

    Parameters
    ----------
    allowed : dict
        Kind -> driver of what may be opened: `RASTERS`, `VECTORS` or both.

    Raises
    ------
    InputError
        The content is of another kind, or disagrees with the suffix or with a checksum file.
    """
    checked = check_file(path)
    driver = driver_of(read_head(checked), path, allowed)
    require_checksum(checked)
    return checked, driver


def driver_of(head: bytes, path: str | os.PathLike[str], allowed: dict[str, str]) -> str:
    """Return the driver for the kind that the first bytes of a file tell; see `identify`."""
    kind = next((name for magic, name in _MAGIC if head.startswith(magic)), None) or _text_kind(head)
    if kind in allowed:
        suffix = Path(path).suffix
        expected = _SUFFIXES.get(suffix.lower())
        if expected is not None and expected != kind:
            message = f"is {_article(kind)} file by its content although it is named {suffix}"
            raise InputError(message, path=path, advice="rename it")
        return allowed[kind]
    if kind == "HTML":
        raise InputError(
            "looks like an HTML page, not a product", path=path, advice="check your login and download again"
        )
    if kind == "JSON":
        shown = head.decode("utf-8", "replace")[:80].strip()
        raise InputError(f"is a JSON text, not a product ({shown!r})", path=path, advice="download it again")
    if kind in ("VRT", "WMS", "XML"):
        raise UnsafeInputError(f"driver {kind} not allowed: it could point to other files", path=path)
    known = ", ".join(allowed)
    found = "of no kind that is known here" if kind is None else f"{_article(kind)} file"
    raise InputError(f"is {found}, instead of one of {known}", path=path)


def sidecars(path: Path) -> list[str]:
    """Return the names of the files beside a raster that other programs read with it, and we never do.

    They hold statistics and georeferences (``.aux.xml``, world files), overviews (``.ovr``) or masks (``.msk``) that
    may contradict the header.
    """
    suffix = path.suffix[1:].lower()
    worlds = f"{suffix[:1]}{suffix[-1:]}w", f"{suffix}w", "wld", "tab"
    ends = [(path.name, end) for end in ("aux.xml", "ovr", "msk")] + [(path.stem, end) for end in worlds]
    names = [f"{start}.{spelt}" for start, end in ends for spelt in (end.upper(), end)]
    found = {name.casefold(): name for name in names if os.path.isfile(path.with_name(name))}  # noqa: PTH113
    return sorted(found.values())


def _text_kind(head: bytes) -> str | None:
    """Tell the kind of a text by its first words."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")) or (text.startswith(b"<") and b"<html" in text):
        return "HTML"
    if text.startswith((b"<vrtdataset", b"<ogrvrt")):
        return "VRT"
    if text.startswith((b"<gdal_w", b"<gdal_t")):
        return "WMS"
    if text.startswith(b"<"):
        return next((name for word, name in ((b"vrtdataset", "VRT"), (b"gdal_wm", "WMS")) if word in text), "XML")
    return "JSON" if text.startswith((b"{", b"[")) else None


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "AEHIO" and kind != "HTML" else f"a {kind}"
