"""How the kernels of this room are compiled: as those of `sar`, and anew when any file of this room has changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sensetrack.sar.compiling import WORKS, announce
from sensetrack.sar.compiling import compiled as compiled_there

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


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

if WORKS:
    announce(__name__, "the time series")
