"""Where a program is: in a folder that a variable names, on the PATH, or in the usual places."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sensetrack.errors import EngineNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_PATHEXT = ".COM;.EXE;.BAT;.CMD"
"""What Windows itself assumes where PATHEXT is not set."""
_RUNNABLE = frozenset(_PATHEXT.casefold().split(";"))
"""What Windows can start without another program; PATHEXT may name scripts of any kind."""


def find_program(
    name: str,
    *,
    variables: Sequence[str] = (),
    places: Iterable[str | os.PathLike[str]] = (),
    advice: str | None = None,
    environ: Mapping[str, str] | None = None,
    platform: str = os.name,
) -> Path:
    """Return the absolute path of a program.

    It is looked for in the folders that `variables` name (and in ``bin`` there), then on the PATH, then in `places`.
    The working folder is never searched, and entries of the PATH that are not absolute are skipped: a file that came
    with somebody's data must not be taken for the program.

    Parameters
    ----------
    name : str
        As typed in a shell, without ``.exe``.
    variables : sequence of str
        Environment variables that hold a folder, or the program itself.
    places : iterable of path-like
        Folders of usual installations; ``~`` is the home of the user.
    advice : str, optional
        What to say to a user who does not have it.
    environ : mapping, optional
        Default: the environment of this process.
    platform : str
        As `os.name` says it: ``nt`` is Windows, where a program ends with one of PATHEXT.

    Raises
    ------
    EngineNotFoundError
        It is in none of them; the message says where it was looked for.
    """
    environ = os.environ if environ is None else environ
    looked: list[str] = []
    for folder in _folders(variables, places, environ, platform, looked):
        for candidate in _spellings(name, environ, platform):
            file = folder / candidate
            if _runs(file, platform):
                return file.absolute()
    message = f"{name} was not found; looked in {', '.join(looked) or 'no folder'}"
    raise EngineNotFoundError(message, advice=advice)


def _folders(
    variables: Sequence[str],
    places: Iterable[str | os.PathLike[str]],
    environ: Mapping[str, str],
    platform: str,
    looked: list[str],
) -> Iterator[Path]:
    """Yield folders in order, and note for people where they come from."""
    for variable in variables:
        value = environ.get(variable, "").strip().strip('"')
        if not value:
            looked.append(f"{variable} (not set)")
            continue
        looked.append(f"{variable} ({value})")
        folder = Path(value)
        if folder.is_absolute():
            yield from (folder, folder / "bin", folder.parent / "bin")
    looked.append("PATH")
    for entry in environ.get("PATH", "").split(";" if platform == "nt" else os.pathsep):
        folder = Path(entry.strip('"'))
        if folder.is_absolute():
            yield folder
    for place in places:
        folder = Path(place).expanduser()
        looked.append(str(folder))
        yield folder


def _spellings(name: str, environ: Mapping[str, str], platform: str) -> list[str]:
    if platform != "nt":
        return [name]
    known = [end.strip() for end in (environ.get("PATHEXT") or _PATHEXT).split(";")]
    ends = [end for end in known if end.casefold() in _RUNNABLE]
    if Path(name).suffix.casefold() in _RUNNABLE:
        return [name]
    # File names on Windows know no case; on another system, where this is tested, they do.
    return [name + spelt for end in ends for spelt in dict.fromkeys((end.lower(), end))]


def _runs(file: Path, platform: str) -> bool:
    try:
        return file.is_file() and (platform == "nt" or os.access(file, os.X_OK))
    except (OSError, ValueError):  # a PATH entry that cannot be read, or holds a NUL
        return False
