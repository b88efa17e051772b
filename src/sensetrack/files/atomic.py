"""Outputs appear whole or not at all."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from sensetrack.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


_PREFIX = f".sensetrack-{re.sub('[^A-Za-z0-9]', '', platform.node())}-"
"""Temporary folders are named after machine and process, so that those left by a killed run can be told."""


@contextmanager
def output_folder(
    folder: str | os.PathLike[str],
    names: Iterable[str],
    *,
    overwrite: bool = False,
    inputs: Iterable[Path] = (),
) -> Iterator[Path]:
    """Yield a temporary folder; what is in it moves to `folder` when the block ends well.

    Until then nothing in `folder` changes; after an error or an interrupt nothing is left behind. Whether it
    can be written to is found out before anything is computed.

    Parameters
    ----------
    folder : path-like
        Made where it does not exist.
    names : iterable of str
        The files that may be written, also in folders as ``radar/flags.tif``; an error names the first of them that is
        in the way. One that ends in ``/`` is a folder that appears, and is replaced, as a whole.
    overwrite : bool
        Replace files of these names; otherwise one that exists is an error.
    inputs : iterable of Path
        Files that must not be replaced in any case.

    Raises
    ------
    ConfigError
        An output exists already, or is one of the inputs.
    OutputError
        The folder cannot be made or written to.
    """
    target = Path(folder).absolute()
    made = list(takewhile(lambda path: not path.exists(), (target, *target.parents)))
    try:
        target.mkdir(parents=True, exist_ok=True)
        sweep(target)
        empty = not any(target.iterdir())  # nothing is in the way, and nothing of an older run
        part = _part(target)
    except (FileExistsError, NotADirectoryError) as error:
        raise OutputError("is a file, not a folder", path=folder, advice="choose another output folder") from error
    except OSError as error:
        raise OutputError(f"cannot be written to ({error.strerror})", path=folder) from error
    try:
        wanted = tuple(names)
        if not empty:
            _refuse(target, wanted, {os.path.realpath(path) for path in inputs}, overwrite=overwrite)
        whole = [name.rstrip("/") for name in wanted if name.endswith("/")]
        yield part
        try:
            files = [path for path in sorted(part.rglob("*")) if path.is_file()]
            written = {path.relative_to(part).as_posix(): path for path in files}
            written = {name: path for name, path in written.items() if name.partition("/")[0] not in whole}
            for name, file in written.items():
                (target / name).parent.mkdir(exist_ok=True)
                os.replace(file, target / name)  # noqa: PTH105  the atomic one
            _move_folders(part, target, whole)
            # What an older run wrote and this one did not would be taken for a part of this product.
            for name in () if empty else {name for name in wanted if not name.endswith("/")} - written.keys():
                (target / name).unlink(missing_ok=True)
                inner = (target / name).parent
                if inner != target and inner.is_dir() and not any(inner.iterdir()):
                    inner.rmdir()
        except OSError as error:
            raise OutputError(f"cannot be written ({error.strerror})", path=target) from error
        made = []
    finally:
        shutil.rmtree(part, ignore_errors=True)
        for path in made:
            if path.exists() and not any(path.iterdir()):
                path.rmdir()


def _move_folders(part: Path, target: Path, names: list[str]) -> None:
    """Move whole folders from a temporary folder to where they belong; those that were there go."""
    for name in names:
        if (target / name).exists():
            (target / name).rename(part / f"{name}.old")
        if (part / name).exists():
            (part / name).rename(target / name)


@contextmanager
def whole_folder(folder: str | os.PathLike[str], scratch: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `folder` in one step when the block ends well; what was there goes.

    Whoever looks, at whatever moment, finds the old folder, the new one, or none: never a mixture.

    Parameters
    ----------
    folder : path-like
        Its parents are made.
    scratch : Path
        On the same disk; made where it does not exist. What a killed process has left there is removed by `sweep`.

    Raises
    ------
    OutputError
        The folder cannot be made.
    """
    target = Path(folder).absolute()
    if target.exists() and not target.is_dir():
        raise OutputError("is a file where a folder of results belongs", path=target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch.mkdir(parents=True, exist_ok=True)
        part = _part(scratch)
    except OSError as error:
        raise OutputError(f"cannot be written to ({error.strerror})", path=scratch) from error
    try:
        inner = part / "new"  # made by mkdir, it may be read by whom the user allows
        inner.mkdir()
        yield inner
        try:
            if target.exists():
                target.rename(part / "old")
            inner.rename(target)
        except OSError as error:
            raise OutputError(f"cannot be written ({error.strerror})", path=target) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _part(folder: Path) -> Path:
    """Make a temporary folder that `sweep` knows."""
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", suffix=".part", dir=folder))


def write_whole(path: Path, text: str) -> None:
    """Write a text file, whole or not at all; one that is there is replaced.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    part = path.with_name(f"{_PREFIX}{os.getpid()}-{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise OutputError(f"cannot be written ({error.strerror or error})", path=path) from error
    finally:
        part.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what processes of this machine that are no more have left in a folder."""
    import psutil

    for part in folder.glob(f"{_PREFIX}*.part"):
        owner = part.name.removeprefix(_PREFIX).partition("-")[0]
        if not owner.isdecimal() or psutil.pid_exists(int(owner)):
            continue
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _refuse(target: Path, names: tuple[str, ...], inputs: set[str], *, overwrite: bool) -> None:
    present = [name for name in names if (target / name).exists()]
    if present and not overwrite:
        raise ConfigError("exists already", path=target / present[0], advice="choose another folder or say --overwrite")
    for inner in {(target / name).parent for name in names}:
        if inner.exists() and not inner.is_dir():
            raise OutputError("is a file where a folder of results belongs", path=inner)
    for name in present:
        if (target / name).is_dir() != name.endswith("/"):
            kind = "a folder" if not name.endswith("/") else "a file where a folder of results belongs"
            raise OutputError(f"is {kind} and cannot be replaced", path=target / name)
        if os.path.realpath(target / name) in inputs:
            raise ConfigError("is an input and would be replaced", path=target / name, advice="choose another folder")
