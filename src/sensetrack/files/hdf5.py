"""HDF5 files, read window by window: the one door through which they are opened.

HDF5 can lead to other files (external links, external storage, virtual datasets), in circles (soft links), and can
declare arrays that no memory holds. So the file is walked by its hard links when it is opened, and nothing of it is
used before it has been looked at; all later reading is by the names that were found then.
"""

from __future__ import annotations

import math
import os
import tempfile
import threading
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import h5py
import numpy as np

from sensetrack.errors import EnvironmentFault, InputError, MetadataError, UnsafeInputError, one_line
from sensetrack.files.archive import LARGEST_MEMBER, open_zip
from sensetrack.files.checksums import require_checksum
from sensetrack.files.hdf5_walk import BROKEN, Node, reason, walk
from sensetrack.files.safe import check_file, driver_of, read_head

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS = {"HDF5": "HDF5"}
LARGEST_ATTRIBUTE = 2**26


@dataclass(frozen=True, eq=False)
class Hdf5:
    """An open HDF5 file. Names are paths such as ``HDFEOS/SWATHS``; reading is safe from several threads."""

    path: Path
    nodes: dict[str, Node] = field(repr=False)
    """Everything that is in the file, by name."""
    file: Any = field(repr=False)
    lock: threading.Lock = field(repr=False)
    memory: Any = field(repr=False, default=None)
    """The unpacked file, where it came out of a zip."""

    @classmethod
    def open(cls, path: str | os.PathLike[str], pattern: str = r".*\.(h5|he5|hdf5)") -> Hdf5:
        """Open a file, or the one in a zip whose name a regular expression matches, unpacked to a nameless file.

        Raises
        ------
        UnsafeInputError
            It leads to other files, or declares more than it can hold.
        InputError
            Not such a file, empty, truncated, damaged.
        EnvironmentFault
            No permission, or no room to unpack it.
        """
        checked = check_file(path)
        require_checksum(checked)
        head = read_head(checked)
        unpacked, shown, size = None, checked, checked.stat().st_size
        if head.startswith(b"PK"):
            unpacked, shown, size = _unpack(checked, pattern)
            head = unpacked.read(512)
            unpacked.seek(0)
        file = None
        try:
            driver_of(head, shown, KINDS)
            file = _opened(checked if unpacked is None else unpacked, shown)
            nodes = walk(file, shown, size)
        except BaseException:
            _shut(file, unpacked)
            raise
        opened = cls(shown, nodes, file, threading.Lock(), unpacked)
        weakref.finalize(opened, _shut, file, unpacked)  # products are not closed by hand
        return opened

    def close(self) -> None:
        """Let the file go; nothing can be read from it afterwards."""
        with self.lock:
            _shut(self.file, self.memory)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __contains__(self, name: object) -> bool:
        return name in self.nodes

    def below(self, name: str) -> list[str]:
        """Names of what lies directly in a group."""
        start = f"{name}/" if name else ""
        return [n for n in self.nodes if n and n.startswith(start) and "/" not in n.removeprefix(start)]

    def array(self, name: str) -> Node:
        """Return what the header of a dataset says.

        Raises
        ------
        InputError
            It is missing, or no dataset.
        """
        node = self.nodes.get(name)
        if node is None or not node.is_array:
            what = "is missing" if node is None else "is not a dataset with values"
            raise InputError(f"{one_line(name)} {what}", path=self.path)
        return node

    def read(self, name: str, *window: slice | int) -> NDArray[Any]:
        """Read a part of a dataset as stored; all of it where no window is given.

        Raises
        ------
        InputError
            It is missing or damaged, or packed by a filter that is not there.
        """
        node = self.array(name)
        missing = [number for number in node.filters if not h5py.h5z.filter_avail(number)]
        if missing:
            message = f"{one_line(name)} is packed by HDF5 filter {missing[0]}, which is not there"
            raise InputError(message, path=self.path, advice="unpack it with h5repack")
        try:
            with self.lock:
                return np.asarray(self.file[name][window or ()])
        except BROKEN as error:
            message = f"{one_line(name)} is truncated or damaged ({reason(error)})"
            raise InputError(message, path=self.path, advice="download it again") from error

    def attributes(self, name: str = "") -> dict[str, Any]:
        """Return all attributes of a group or a dataset as plain values: text, numbers, lists of them."""
        if name not in self.nodes:
            raise InputError(f"{one_line(name)} is missing", path=self.path)
        with self.lock:
            try:
                names = list(self.file[name or "/"].attrs)
            except BROKEN as error:
                raise self._unreadable(name, "*", error) from error
        return {key: self.attribute(key, name) for key in names}

    def attribute(self, key: str, name: str = "") -> Any:
        """Return an attribute of a group or a dataset as a plain value; None where there is none.

        Text is text however it is stored, and an array of one value is that value.

        Raises
        ------
        MetadataError
            It cannot be read.
        """
        if name not in self.nodes:
            return None
        try:
            with self.lock:
                attributes = self.file[name or "/"].attrs
                if key not in attributes:
                    return None
                kind = attributes.get_id(key)
                size = math.prod(kind.shape) * kind.dtype.itemsize
                if size > LARGEST_ATTRIBUTE:
                    message = f"attribute {_spot(name, key)} declares {size} bytes"
                    raise UnsafeInputError(message, path=self.path)
                return plain(attributes[key])
        except BROKEN as error:
            if isinstance(error, InputError):
                raise
            raise self._unreadable(name, key, error) from error

    def require(self, key: str, name: str = "") -> Any:
        """Return an attribute that must be there.

        Raises
        ------
        MetadataError
            It is missing or cannot be read.
        """
        value = self.attribute(key, name)
        if value is None:
            raise MetadataError(f"attribute {_spot(name, key)} is missing", path=self.path)
        return value

    def text(self, key: str, name: str = "") -> str:
        """Return an attribute that must be text; a number becomes the text of it."""
        value = self.require(key, name)
        if isinstance(value, list | dict):
            message = f"attribute {_spot(name, key)} must be text, instead got {len(value)} values"
            raise MetadataError(message, path=self.path)
        return str(value).strip()

    def number(self, key: str, name: str = "") -> float:
        """Return an attribute that must be one finite number; text is read as one."""
        return self.numbers(key, name, 1)[0]

    def numbers(self, key: str, name: str = "", count: int | None = None) -> list[float]:
        """Return an attribute that must be finite numbers, `count` of them where that is given."""
        value = self.require(key, name)
        values = value if isinstance(value, list) else [value]
        try:
            found = [float(item) for item in values]
        except (TypeError, ValueError) as error:
            message = f"attribute {_spot(name, key)} must be a number, instead got {one_line(value)[:80]!r}"
            raise MetadataError(message, path=self.path) from error
        if not all(math.isfinite(item) for item in found) or (count is not None and len(found) != count):
            wanted = "finite numbers" if count is None else f"{count} finite number{'s'[: count > 1]}"
            message = f"attribute {_spot(name, key)} must be {wanted}, instead got {one_line(value)[:80]}"
            raise MetadataError(message, path=self.path)
        return found

    def structure(self) -> dict[str, Any]:
        """Return names, shapes, dtypes, chunks, filters and attributes of everything, and not one pixel."""
        found: dict[str, Any] = {}
        for name, node in self.nodes.items():
            entry: dict[str, Any] = {}
            if node.dtype is not None:
                entry |= {"shape": None if node.shape is None else list(node.shape), "dtype": str(node.dtype)}
                if node.chunks is not None:
                    entry |= {"chunks": list(node.chunks), "filters": list(node.filters)}
            try:
                entry["attributes"] = self.attributes(name)
            except InputError as error:
                entry["attributes"] = {"unreadable": str(error.cause)}
            found[f"/{name}"] = entry
        return found

    def _unreadable(self, name: str, key: str, error: BaseException) -> MetadataError:
        return MetadataError(f"attribute {_spot(name, key)} cannot be read ({reason(error)})", path=self.path)


def plain(value: Any) -> Any:
    """Return a value of h5py as text, a number, or a list of them; NaN and infinite stay numbers."""
    if isinstance(value, bytes | np.bytes_):
        value = bytes(value).decode("utf-8", "replace")
    if isinstance(value, str):
        return value.split("\0")[0]
    if isinstance(value, np.ndarray | np.void) and value.dtype.names:
        return {name: plain(value[name]) for name in value.dtype.names}
    if isinstance(value, np.ndarray):
        items = [plain(item) for item in value.ravel()]
        return items[0] if len(items) == 1 else items
    if isinstance(value, np.bool_ | np.integer | np.floating):
        return value.item()
    return value if isinstance(value, bool | int | float) else f"<{type(value).__name__}>"


def is_hdf5_like(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is an HDF5 file by its name, or by its content where it is not named as a raster."""
    text = os.fspath(path)
    if not os.path.isfile(text) or not os.access(text, os.R_OK):  # noqa: PTH113  a Path would choke on long names
        return False
    if text.lower().endswith((".h5", ".he5", ".hdf5")):
        return True
    raster = text.lower().endswith((".tif", ".tiff", ".jp2", ".jpg", ".jpeg", ".png"))
    return not raster and read_head(Path(text), 8) == b"\x89HDF\r\n\x1a\n"


def _unpack(path: Path, pattern: str) -> tuple[Any, Path, int]:
    """Unpack a member of a zip to a file without name; return it, what messages call it, and its size."""
    members = open_zip(path)
    found = members.find(rf"(.*/)?({pattern})")
    if len(found) != 1:
        names = ", ".join(map(one_line, found[:3])) or "none"
        raise InputError(f"must hold one HDF5 file, instead got {names}", path=path)
    shown, size = members.where(found[0]), members.sizes[found[0]]
    if size == 0:
        raise InputError("empty file (0 bytes)", path=shown, advice="download incomplete?")
    if size > LARGEST_MEMBER:
        raise UnsafeInputError(f"must have at most {LARGEST_MEMBER} bytes, instead got {size}", path=shown)
    target = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as what is read from it
    try:
        for piece in members.pieces(found[0]):
            target.write(piece)
        target.seek(0)
    except OSError as error:
        target.close()
        message = f"cannot be unpacked to {tempfile.gettempdir()} ({error.strerror})"
        raise EnvironmentFault(message, path=shown, advice="unpack it yourself") from error
    except BaseException:
        target.close()
        raise
    return target, shown, size


def _opened(source: Any, path: Path) -> Any:
    try:
        return h5py.File(source, "r")
    except BROKEN as error:
        message = f"is truncated or damaged ({reason(error)})"
        raise InputError(message, path=path, advice="download it again") from error


def _shut(*files: Any) -> None:
    for file in files:
        if file is not None:
            file.close()


def _spot(name: str, key: str) -> str:
    return one_line(f"/{name}@{key}" if name else key)
