"""Locks: one run of a study at a time, or several shards of it. The system lets go of them when a process dies."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sensetrack.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

_WAIT = 5.0
"""Seconds for which a starting run may hold the door."""


@contextmanager
def only_run(folder: Path, shard: tuple[int, int] | None = None) -> Iterator[None]:
    """Hold the output of a study for one run, or for one shard (i, n) beside other shards of the same n.

    Raises
    ------
    ConfigError
        Another run works on it.
    OutputError
        The folder cannot be written to.
    """
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot be written to ({error.strerror})", path=folder.parent) from error
    door = FileLock(folder / "run.lock")
    own = FileLock(folder / "shard-{}-of-{}.lock".format(*shard)) if shard else None
    try:
        door.acquire(timeout=_WAIT)
        _require_alone(folder, shard)
        if own is not None:
            own.acquire(timeout=0)
            door.release()
    except Timeout as error:
        door.release()
        message = "another run works on this study" if shard is None else "another run works on this shard or study"
        raise ConfigError(message, path=folder.parent, advice="wait for it, or give another output") from error
    except OSError as error:
        door.release()
        raise OutputError(f"cannot be written to ({error.strerror or error})", path=folder) from error
    try:
        yield
    finally:
        for lock in (own, door):
            if lock is not None:
                lock.release()


@contextmanager
def only_fetching(folder: Path) -> Iterator[None]:
    """Hold the network for one job, in whatever process it is: what several need is fetched by the first."""
    from filelock import FileLock

    with FileLock(folder / "fetch.lock"):
        yield


def _require_alone(folder: Path, shard: tuple[int, int] | None) -> None:
    """Raise Timeout where shards run that this run cannot go beside."""
    from filelock import FileLock

    for path in folder.glob("shard-*-of-*.lock"):
        found = re.fullmatch(r"shard-\d+-of-(\d+)\.lock", path.name)
        if found is None or (shard is not None and int(found[1]) == shard[1]):
            continue
        lock = FileLock(path)
        lock.acquire(timeout=0)
        lock.release()
