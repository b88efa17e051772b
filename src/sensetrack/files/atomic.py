"""Outputs appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sensetrack.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


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
        The files that may be written.
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
        part = Path(tempfile.mkdtemp(prefix=".sensetrack-", suffix=".part", dir=target))
    except (FileExistsError, NotADirectoryError) as error:
        raise OutputError("is a file, not a folder", path=folder, advice="choose another output folder") from error
    except OSError as error:
        raise OutputError(f"cannot be written to ({error.strerror})", path=folder) from error
    try:
        _refuse(target, set(names), {path.absolute() for path in inputs}, overwrite=overwrite)
        yield part
        try:
            for file in sorted(part.iterdir()):
                os.replace(file, target / file.name)  # noqa: PTH105  the atomic one
        except OSError as error:
            raise OutputError(f"cannot be written ({error.strerror})", path=target) from error
        made = []
    finally:
        shutil.rmtree(part, ignore_errors=True)
        for path in made:
            if path.exists() and not any(path.iterdir()):
                path.rmdir()


def _refuse(target: Path, names: set[str], inputs: set[Path], *, overwrite: bool) -> None:
    present = sorted(name for name in names if (target / name).exists())
    if present and not overwrite:
        raise ConfigError("exists already", path=target / present[0], advice="choose another folder or say --overwrite")
    for name in present:
        if target / name in inputs:
            raise ConfigError("is an input and would be replaced", path=target / name, advice="choose another folder")
