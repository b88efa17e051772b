"""What a run of ISCE2 leaves behind, and which of it nobody needs any more."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sensetrack.errors import InputError, OutputError
from sensetrack.isce2.run import LOG
from sensetrack.isce2.xml import FILES, read_topsapp

if TYPE_CHECKING:
    import os

log = logging.getLogger(__name__)

_KEPT = {*FILES, LOG, "isce.log", "merged", ".sensetrack-run"}
"""What stays in the folder of a run."""
_MADE = ("dem*", "reference*", "secondary*", "*rdr*", "topophase*", "filt_topophase*")
"""What goes from ``merged``: pixels of the whole scene that the offsets were made from."""


def clean(folder: str | os.PathLike[str], *, dry_run: bool = False, inputs: bool = False) -> list[Path]:
    """Remove what a run has made on the way; logs, settings and offsets stay.

    Parameters
    ----------
    folder : path-like
        Of a run: it holds ``topsApp.xml`` and ``merged/dense_offsets.bil``.
    dry_run : bool
        Only say what would be removed.
    inputs : bool
        Remove the products of the reference as well, which the next pair does not need; never unless told.

    Returns
    -------
    list of Path
        What was removed, or would be.

    Raises
    ------
    InputError
        The folder is not that of a run that has finished.
    """
    place = Path(folder).absolute()
    settings = read_topsapp(place / FILES[-1])
    if not any((place / "merged" / f"dense_offsets.{end}").exists() for end in ("bil", "bip")):
        raise InputError("has no merged/dense_offsets.bil: the run is not finished", path=place)
    used = {_real(place, name) for scene in (settings.reference, settings.secondary) for name in _inputs(scene)}
    if settings.dem:
        used.add(_real(place, settings.dem))
    going = [one for one in sorted(place.iterdir()) if one.name not in _KEPT]
    going += sorted({one for pattern in _MADE for one in (place / "merged").glob(pattern)})
    going = [one for one in going if not _holds(one, used)]
    if inputs:
        going += [path for name in settings.reference.safe if (path := _real(place, name)).exists()]
    for path in going:
        log.info("%s %s", "would remove" if dry_run else "removing", path)
        if not dry_run:
            _remove(path)
    return going


def _inputs(scene: object) -> list[str]:
    names = [*getattr(scene, "safe"), getattr(scene, "orbit_directory"), getattr(scene, "auxiliary_data_directory")]  # noqa: B009
    return [name for name in names if name]


def _real(place: Path, name: str) -> Path:
    return (place / Path(name).expanduser()).resolve()


def _holds(path: Path, used: set[Path]) -> bool:
    """Tell whether a file or folder is, or holds, or lies in, something that was put in."""
    here = path.resolve()
    return any(one == here or here in one.parents or one in here.parents for one in used)


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()  # of a link, only the link
    except OSError as error:
        raise OutputError(f"cannot be removed ({error.strerror})", path=path) from error
