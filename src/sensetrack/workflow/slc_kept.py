"""Bursts that are finished, kept until the results are written: what a run that was stopped goes on from."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import sensetrack
from sensetrack.errors import OutputError
from sensetrack.workflow.slc_config import MEASURED_BY

if TYPE_CHECKING:
    from sensetrack.workflow.slc_config import SlcConfig
    from sensetrack.workflow.slc_inputs import SlcJob

log = logging.getLogger(__name__)

_PREFIX = ".sensetrack-slc-"
_OWNER = "owner"
"""File with the process that works with a folder."""


class Kept:
    """Arrays by name of burst, in a hidden folder that is made when the first of them is finished.

    Parameters
    ----------
    folder : path-like
        Of the results.
    key : str
        Of everything that decides what is measured; see `key_of`.
    """

    def __init__(self, folder: str | os.PathLike[str], key: str) -> None:
        self.parent = Path(folder).absolute()
        self.folder = self.parent / f"{_PREFIX}{key}"

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """Return the arrays of a burst; None where it is not finished, or its file was damaged."""
        path = self.folder / f"{name}.npz"
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                return {key: file[key] for key in file.files}
        except FileNotFoundError:
            return None
        except Exception:  # whatever is wrong with it, it is measured again
            log.warning("%s: is damaged, that burst is measured again", path)
            return None

    def save(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Keep the arrays of a burst: whole, or not at all.

        Raises
        ------
        OutputError
            They cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / _OWNER).write_text(str(os.getpid()), encoding="ascii")
            handle, part = tempfile.mkstemp(prefix=f"{name}.", suffix=".part", dir=self.folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    np.savez(file, **arrays)  # type: ignore[arg-type]  # they are no flags
                os.replace(part, self.folder / f"{name}.npz")  # noqa: PTH105  the atomic one
            finally:
                Path(part).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot be written ({error.strerror or error})", path=self.parent) from error

    def clear(self) -> None:
        """Remove what is kept for these results, and what other settings have left that no process works with."""
        for found in [self.folder, *self.parent.glob(f"{_PREFIX}*")]:
            if found == self.folder or not _in_use(found):
                shutil.rmtree(found, ignore_errors=True)


def _in_use(folder: Path) -> bool:
    import psutil

    with contextlib.suppress(OSError, ValueError):
        owner = int((folder / _OWNER).read_text(encoding="ascii"))
        return owner != os.getpid() and psutil.pid_exists(owner)
    return False


def key_of(job: SlcJob, config: SlcConfig) -> str:
    """Return a text that differs where anything differs that decides what is measured in a burst."""
    values: dict[str, Any] = {name: config.to_dict()[name] for name in MEASURED_BY}
    values["version"] = sensetrack.__version__
    values["heights"] = job.heights
    values["files"] = [_file(product.path) for product in (job.reference, job.secondary)]
    values["files"] += [_file(Path(config.dem))] if config.dem else []
    digest = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode())
    for pair in job.pairs:
        digest.update(pair.id.encode())
        for grid in (pair.reference_grid, pair.secondary_grid):
            for part in (grid.orbit.times, grid.orbit.position, grid.orbit.velocity):
                digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()[:16]


def _file(path: Path) -> list[Any]:
    """Name, size and time of change of a file; of a product, of all its files."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    found = [(str(file), file.stat()) for file in files if file.is_file()]
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in found]
