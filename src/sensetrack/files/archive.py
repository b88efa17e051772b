"""Products of many files: a folder, or a zip that is read where it is and never unpacked to disk.

What an archive says about itself is not believed: names that lead out of it, sizes that do not fit a product, members
listed twice or encrypted are errors before anything of it is used.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from sensetrack.errors import EnvironmentFault, InputError, UnsafeInputError, one_line
from sensetrack.files.checksums import require_checksum
from sensetrack.files.safe import check_file, read_head

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_MEMBERS = 10_000
"""Files of a product; a real one has about a hundred."""
LARGEST_MEMBER = 4 * 2**30
"""Bytes of a member, unpacked."""
LARGEST_TOTAL = 32 * 2**30
"""Bytes of all members together, unpacked."""
_DENSEST = 200
"""Unpacked against packed size: a member that shrinks by more is a bomb, unless it is small."""
_SMALL = 2**20
_PIECE = 2**20
"""Bytes that are unpacked at a time."""


@dataclass(frozen=True, eq=False)
class Members(ABC):
    """The files of a product."""

    path: Path
    """The folder or archive, absolute."""
    sizes: dict[str, int]
    """Names of the members, with "/" between folders, and their bytes."""

    def where(self, name: str) -> Path:
        """Path of a member as messages show it."""
        return self.path / name

    def find(self, pattern: str) -> list[str]:
        """Names of the members that a regular expression matches as a whole, letters in any case."""
        return [name for name in self.sizes if re.fullmatch(pattern, name, re.IGNORECASE)]

    def require(self, name: str) -> str:
        """Return the name of a member that some metadata point to.

        Raises
        ------
        UnsafeInputError
            The name leads out of the product.
        InputError
            There is no such member, or it is empty.
        """
        plain = inside(name, self.path)
        if plain not in self.sizes:
            raise InputError(f"{one_line(plain)} is missing", path=self.path, advice="download it again")
        if self.sizes[plain] == 0:
            raise InputError(f"{one_line(plain)} is empty (0 bytes)", path=self.path, advice="download it again")
        return plain

    def read(self, name: str, limit: int = LARGEST_MEMBER) -> bytes:
        """Return what a member holds."""
        if self.sizes[name] > limit:
            message = f"must have at most {limit} bytes, instead got {self.sizes[name]}"
            raise UnsafeInputError(message, path=self.where(name))
        return self._read(name)

    @abstractmethod
    def _read(self, name: str) -> bytes: ...

    @abstractmethod
    def within(self, folder: str) -> Members:
        """Return the members below a folder, named from there."""


class Folder(Members):
    """The files of a product in a folder."""

    def _read(self, name: str) -> bytes:
        try:
            return self.where(name).read_bytes()
        except FileNotFoundError as error:
            raise InputError("has vanished while it was read", path=self.where(name)) from error
        except OSError as error:
            raise EnvironmentFault(f"cannot be read ({error.strerror})", path=self.where(name)) from error

    def within(self, folder: str) -> Folder:  # noqa: D102
        return Folder(self.path / folder, _below(self.sizes, folder))


@dataclass(frozen=True, eq=False)
class Zip(Members):
    """The files of a product in a zip archive, unpacked to memory when they are read."""

    prefix: str = ""
    """Folder of the archive in which the product lies."""

    def where(self, name: str) -> Path:  # noqa: D102
        return self.path / f"{self.prefix}{name}"

    def _read(self, name: str) -> bytes:
        return b"".join(self.pieces(name))

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield what a member holds, piece by piece; what is wrong with it is raised at the latest after the last."""
        member, size, done = f"{self.prefix}{name}", self.sizes[name], 0
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(member) as file:
                while piece := file.read(_PIECE):
                    done += len(piece)
                    if done > size:  # what its header promised
                        raise UnsafeInputError(f"unpacks to more than the {size} bytes it declares", path=self.path)
                    yield piece
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, KeyError) as error:
            message = f"member {one_line(member)} is damaged ({error})"
            raise InputError(message, path=self.path, advice="download it again") from error
        except OSError as error:
            raise _cannot(error, self.path) from error
        if done < size:
            message = f"member {one_line(member)} is damaged (it ends after {done} of {size} bytes)"
            raise InputError(message, path=self.path, advice="download it again")

    def within(self, folder: str) -> Zip:  # noqa: D102
        return Zip(self.path, _below(self.sizes, folder), f"{self.prefix}{folder}/" if folder else self.prefix)


def is_product_like(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path is a folder, or a zip archive by name and content, that may hold a product."""
    text = os.fspath(path)
    if os.path.isdir(text):  # noqa: PTH112  a Path would choke on long names
        names = set(os.listdir(text)) if os.access(text, os.R_OK) else set()  # noqa: PTH208
        return text.rstrip("/\\").lower().endswith(".safe") or any(_is_root(name) for name in names)
    if not (text.lower().endswith(".zip") and os.path.isfile(text)):  # noqa: PTH113
        return False
    return read_head(Path(text), 4) in (b"PK\x03\x04", b"PK\x05\x06")


def _is_root(name: str) -> bool:
    return name.lower() == "manifest.safe" or re.fullmatch(r"MTD_MSIL\d\w\.xml", name, re.IGNORECASE) is not None


def open_members(path: str | os.PathLike[str]) -> Members:
    """Return the files of a product: of a folder, or of a zip archive with or without a folder around them.

    Raises
    ------
    UnsafeInputError
        A member leads out of the archive, is a link, or unpacks to more than a product can have.
    InputError
        Not a whole archive, encrypted, names twice or with control characters, no product or more than one.
    """
    text = os.fspath(path)
    members: Members
    if os.path.isdir(text):  # noqa: PTH112
        whole = Path(text).absolute()
        members = Folder(whole, _walk(whole))
    else:
        checked = check_file(path)
        require_checksum(checked)
        members = Zip(checked, _table(checked))
    roots = sorted({str(PurePosixPath(name).parent) for name in members.sizes if _is_root(PurePosixPath(name).name)})
    if not roots:
        raise InputError(f"holds no product{_holds(members)}", path=path)
    if len(roots) > 1:
        message = f"must hold one product, instead got {len(roots)}: {', '.join(map(one_line, roots[:5]))}"
        raise InputError(message, path=path, advice="give one of them")
    return members if roots[0] == "." else members.within(roots[0])


def read_file(path: str | os.PathLike[str], pattern: str, limit: int = LARGEST_MEMBER) -> tuple[bytes, Path]:
    """Return what a file holds, or the one file in a zip whose name a regular expression matches, and its path.

    Raises
    ------
    UnsafeInputError
        It is larger than `limit` bytes, or the zip is hostile; see `open_members`.
    InputError
        Not found, empty, damaged, or the zip does not hold one such file.
    """
    checked = check_file(path)
    require_checksum(checked)
    if not read_head(checked, 4).startswith(b"PK"):
        members: Members = Folder(checked.parent, {checked.name: checked.stat().st_size})
        return members.read(checked.name, limit), checked
    members = Zip(checked, _table(checked))
    found = members.find(rf"(.*/)?({pattern})")
    if len(found) != 1:
        names = ", ".join(map(one_line, found[:3])) or "none"
        raise InputError(f"must hold one file that is called like {pattern}, instead got {names}", path=path)
    return members.read(found[0], limit), members.where(found[0])


def zip_holds(path: str | os.PathLike[str], pattern: str) -> bool:
    """Tell whether a path is a zip, by name and content, with a member whose last name a regular expression matches.

    What is wrong with an archive is said when it is opened.
    """
    text = os.fspath(path)
    if not (text.lower().endswith(".zip") and os.path.isfile(text) and os.access(text, os.R_OK)):  # noqa: PTH113
        return False
    try:
        with zipfile.ZipFile(text) as archive:
            names = archive.namelist()[:MOST_MEMBERS]
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, OSError):
        return False
    return any(re.fullmatch(pattern, name.rpartition("/")[2], re.IGNORECASE) for name in names)


def open_zip(path: Path) -> Zip:
    """Return the members of a zip that was checked by `sensetrack.files.safe.check_file`, whatever is in it.

    Raises
    ------
    UnsafeInputError, InputError
        See `open_members`.
    """
    return Zip(path, _table(path))


def _holds(members: Members) -> str:
    nested = members.find(r".*\.zip")
    return f", but another archive, {one_line(nested[0])}; unpack that one first" if nested else ""


def _below(sizes: dict[str, int], folder: str) -> dict[str, int]:
    start = f"{folder}/" if folder else ""
    return {name.removeprefix(start): size for name, size in sizes.items() if name.startswith(start)}


def inside(name: str, path: Path) -> str:
    """Return a name without "." parts; raise UnsafeInputError where it leads out of the folder it is in."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or name.startswith("/") or "\\" in name or re.match(r"^[A-Za-z][A-Za-z0-9+.-]*:", name):
        raise UnsafeInputError(f"the name '{one_line(name)}' leads out of the product", path=path)
    return "/".join(parts)


def _walk(root: Path) -> dict[str, int]:
    """Names and sizes of the regular files below a folder; links to folders are not followed."""
    sizes: dict[str, int] = {}
    waiting = [""]
    try:
        while waiting:
            start = waiting.pop()
            with os.scandir(root / start) as entries:
                for entry in entries:
                    name = f"{start}{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{name}/")
                    elif entry.is_file():
                        sizes[name] = entry.stat().st_size
                    if len(sizes) + len(waiting) > MOST_MEMBERS:
                        raise UnsafeInputError(f"must hold at most {MOST_MEMBERS} files", path=root)
    except OSError as error:
        raise _cannot(error, root) from error
    return dict(sorted(sizes.items()))


def _table(path: Path) -> dict[str, int]:
    """Names and unpacked sizes of the members of a zip, all of which have been looked at."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
        reason = f"is not a complete zip archive ({error})"
        raise InputError(reason, path=path, advice="download it again") from error
    except OSError as error:
        raise _cannot(error, path) from error
    if len(entries) > MOST_MEMBERS:
        raise UnsafeInputError(f"must hold at most {MOST_MEMBERS} members, instead got {len(entries)}", path=path)
    sizes: dict[str, int] = {}
    for entry in entries:
        _require_sane(entry, path)
        name = inside(entry.filename, path)
        if name in sizes:
            raise InputError(f"holds '{one_line(name)}' twice", path=path, advice="download it again")
        if not entry.is_dir():
            sizes[name] = entry.file_size
    total = sum(sizes.values())
    if total > LARGEST_TOTAL:
        raise UnsafeInputError(f"unpacks to {total} bytes, more than the {LARGEST_TOTAL} of any product", path=path)
    return sizes


def _require_sane(entry: zipfile.ZipInfo, path: Path) -> None:
    name = one_line(entry.orig_filename)
    if entry.flag_bits & 1:
        raise InputError(f"is password protected ({name})", path=path, advice="unpack it")
    if not entry.orig_filename.isprintable():
        raise UnsafeInputError(f"member '{name}' has control characters in its name", path=path)
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise UnsafeInputError(f"member '{name}' is a symbolic link", path=path)
    dense = entry.file_size > _DENSEST * max(entry.compress_size, 1) and entry.file_size > _SMALL
    if dense or entry.file_size > LARGEST_MEMBER:
        message = f"member '{name}' unpacks from {entry.compress_size} to {entry.file_size} bytes, like a zip bomb"
        raise UnsafeInputError(message, path=path)


def _cannot(error: OSError, path: Path) -> Exception:
    if isinstance(error, FileNotFoundError):
        return InputError("has vanished while it was read", path=path)
    if isinstance(error, PermissionError):
        return EnvironmentFault("permission denied", path=path)
    return EnvironmentFault(f"cannot be read ({error.strerror})", path=path)
