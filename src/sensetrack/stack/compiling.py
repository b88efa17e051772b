"""How the kernels of this room are compiled: as those of `sar`, and anew when any file of this room has changed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sensetrack.sar.compiling import WORKS
from sensetrack.sar.compiling import compiled as compiled_there

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

_LOG = logging.getLogger(__name__)


def compiled(function: F) -> F:
    """Compile a function of arrays and numbers when it is first called; see `sensetrack.sar.compiling.compiled`.

    Where numba does not work, functions run as they are: with the same results, a thousand times more slowly.
    """
    made = compiled_there(function)
    files: Any = getattr(getattr(made, "_cache", None), "_cache_file", None)
    if hasattr(files, "_source_stamp"):
        files._source_stamp = files._source_stamp, _SOURCES  # noqa: SLF001
    return made


def _sources() -> tuple[tuple[str, int, int], ...]:
    stats = [(file.name, file.stat()) for file in sorted(Path(__file__).parent.glob("*.py"))]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)


_SOURCES = _sources()


def _announce() -> None:
    """Say once why the first series takes longer; nothing where the machine code is found on disk."""
    from numba.core import event

    said: list[bool] = []

    def on_start(_: Any, happening: Any) -> None:
        room = __name__.rpartition(".")[0]
        if not said and (happening.data["dispatcher"].py_func.__module__ or "").startswith(room):
            said.append(True)
            _LOG.info("compiling the time series for this processor: some seconds, once per machine")

    listener = type("_Announcer", (event.Listener,), {"on_start": on_start, "on_end": lambda *_: None})
    register: Any = event.register
    register("numba:compile", listener())


if WORKS:
    _announce()
