"""Outputs appear whole or not at all."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
from contextlib import contextmanager
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
        in the way.
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
    made = [path for path in (target, *target.parents) if not path.exists()]
    try:
        target.mkdir(parents=True, exist_ok=True)
        _sweep(target)
        part = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", suffix=".part", dir=target))
    except (FileExistsError, NotADirectoryError) as error:
        raise OutputError("is a file, not a folder", path=folder, advice="choose another output folder") from error
    except OSError as error:
        raise OutputError(f"cannot be written to ({error.strerror})", path=folder) from error
    try:
        _refuse(target, wanted := tuple(names), {os.path.realpath(path) for path in inputs}, overwrite=overwrite)
        yield part
        try:
            written = {file.relative_to(part).as_posix(): file for file in sorted(part.rglob("*")) if file.is_file()}
            for name, file in written.items():
                (target / name).parent.mkdir(exist_ok=True)
                os.replace(file, target / name)  # noqa: PTH105  the atomic one
            # What an older run wrote and this one did not would be taken for a part of this product.
            for name in set(wanted) - written.keys():
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


def _sweep(target: Path) -> None:
    """Remove temporary folders of processes of this machine that are no more."""
    import psutil

    for part in target.glob(f"{_PREFIX}*.part"):
        owner = part.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(part, ignore_errors=True)


def _refuse(target: Path, names: tuple[str, ...], inputs: set[str], *, overwrite: bool) -> None:
    present = [name for name in names if (target / name).exists()]
    if present and not overwrite:
        raise ConfigError("exists already", path=target / present[0], advice="choose another folder or say --overwrite")
    for inner in {(target / name).parent for name in names}:
        if inner.exists() and not inner.is_dir():
            raise OutputError("is a file where a folder of results belongs", path=inner)
    for name in present:
        if (target / name).is_dir():
            raise OutputError("is a folder and cannot be replaced", path=target / name)
        if os.path.realpath(target / name) in inputs:
            raise ConfigError("is an input and would be replaced", path=target / name, advice="choose another folder")
