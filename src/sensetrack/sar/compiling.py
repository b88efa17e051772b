"""How the kernels of this room are compiled: when first called, kept on disk, run without the interpreter's lock.

Where numba does not work, or the user told it to compile nothing, `WORKS` is False, `compiled` leaves functions as
they are, and callers take their NumPy way, which gives the same results more slowly.
"""

from __future__ import annotations

import logging
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

numba: Any
event: Any
try:
    import numba
    from numba.core import event
except Exception:  # noqa: BLE001, RUF100  a numba that does not fit NumPy or the processor fails in many ways
    numba = None

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

_LOG = logging.getLogger(__name__)
WORKS = numba is not None and not numba.config.DISABLE_JIT
"""False where kernels are not compiled: take the NumPy way then."""


def compiled(function: F) -> F:
    """Compile a function of arrays and numbers when it is first called.

    Functions whose names begin with an underscore can only be called by other compiled functions. NaN and infinity
    keep their meaning; sums are taken in the order in which they are written.
    """
    return _compiled(function)


def compiled_loose(function: F) -> F:
    """Compile a function whose sums may be taken in any order, which is what makes them vectors.

    Only for functions that meet no NaN and no infinity: the compiler may take it that there are none.
    """
    return _compiled(function, fastmath={"contract", "reassoc", "nsz", "nnan", "ninf", "arcp"})


def _compiled(function: F, **more: Any) -> F:
    if not WORKS:
        return function
    options: dict[str, Any] = more | {
        "nogil": True,
        "boundscheck": False,
        "error_model": "numpy",
        "no_cfunc_wrapper": True,
        "no_cpython_wrapper": function.__name__.startswith("_"),
    }
    try:
        dispatcher: Any = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no place for a cache
        return cast("F", numba.njit(**options)(function))
    _keep(dispatcher)
    return cast("F", dispatcher)


def _keep(dispatcher: Any) -> None:
    """Make the cache on disk fit for kernels of several files, several processes and a full disk.

    Machine code is old once any file of this room has changed (numba looks at the function's own file only), files of
    processes that compile at the same time have names of their own, and what cannot be kept is compiled again.
    """
    cache: Any = getattr(dispatcher, "_cache", None)
    files: Any = getattr(cache, "_cache_file", None)
    if hasattr(files, "_source_stamp"):
        files._source_stamp = files._source_stamp, _SOURCES  # noqa: SLF001
    if hasattr(files, "_data_name_pattern"):
        files._data_name_pattern = files._data_name_pattern.replace("{number", f"{_OWN}.{{number")  # noqa: SLF001
    save = getattr(cache, "save_overload", None)
    if save is None:
        return

    def forgiving(*what: Any) -> None:
        try:
            save(*what)
        except OSError as error:
            _LOG.debug("machine code of %s is not kept (%s)", dispatcher.py_func.__name__, error)

    cache.save_overload = forgiving


def _sources() -> tuple[tuple[str, int, int], ...]:
    stats = [(file.name, file.stat()) for file in sorted(Path(__file__).parent.glob("*.py"))]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)


_SOURCES = _sources()
_OWN = uuid.uuid4().hex[:8]
"""What tells the files of this process."""


def announce(module: str, what: str) -> None:
    """Say once that kernels beside a module are compiled; nothing where their machine code is found on disk."""
    said: list[bool] = []
    log, room = logging.getLogger(module), module.rpartition(".")[0]

    def on_start(_: Any, happening: Any) -> None:
        if not said and (happening.data["dispatcher"].py_func.__module__ or "").startswith(room):
            said.append(True)
            log.info("compiling %s for this processor: some seconds, once per machine", what)

    listener = type("_Announcer", (event.Listener,), {"on_start": on_start, "on_end": lambda *_: None})
    event.register("numba:compile", listener())


if WORKS:
    announce(__name__, "the radar geometry")
