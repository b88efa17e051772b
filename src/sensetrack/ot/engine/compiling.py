"""How the functions of the engine are compiled: once per machine, kept on disk, run without the interpreter's lock."""

from __future__ import annotations

import logging
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
from numba.core.event import Listener, register

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

_REGISTER: Any = register
WORKS = not cast("Any", numba.config).DISABLE_JIT
"""False where the user told numba to compile nothing."""
_LOG = logging.getLogger(__name__)
_ALWAYS: dict[str, Any] = {"nogil": True, "boundscheck": False, "error_model": "numpy"}
_ANY_ORDER = {"contract", "reassoc", "nsz", "nnan", "ninf", "arcp"}


def compiled(function: F) -> F:
    """Compile a function when it is first called.

    Numba keeps the machine code in ``__pycache__`` beside the module, in the user's cache folder where that cannot
    be written, and for this run only where neither can.
    """
    return _compiled(function)


def compiled_loose(function: F) -> F:
    """Compile a function whose sums may be taken in any order, which is what makes them vectors.

    Only for functions that meet no NaN and no infinity: the compiler may take it that there are none.
    """
    return _compiled(function, fastmath=_ANY_ORDER)


def _compiled(function: F, **options: Any) -> F:
    options |= _unwrapped(function.__name__)
    try:
        dispatcher: Any = numba.njit(cache=True, **_ALWAYS, **options)(function)
    except RuntimeError:  # no place for a cache
        return cast("F", numba.njit(**_ALWAYS, **options)(function))
    _stamp(dispatcher)
    _forgive(dispatcher)
    return cast("F", dispatcher)


def kept(dispatcher: Any) -> bool:
    """Tell whether there is machine code of a function on disk, as far as numba lets see."""
    file: Any = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    index = getattr(file, "_load_index", None)
    return index is None or bool(index())


def _unwrapped(name: str) -> dict[str, Any]:
    """Leave out the ways in that are not used, a tenth of the time to compile.

    C never calls these functions, and Python only those whose names begin with a letter.
    """
    return {"no_cfunc_wrapper": True, "no_cpython_wrapper": name.startswith("_")}


def _stamp(dispatcher: Any) -> None:
    """Let machine code on disk count as old once any file that its functions and constants come from has changed.

    Numba by itself looks at the file of the function only. Where its inner parts are not as expected it still does.
    """
    kept: Any = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if hasattr(kept, "_source_stamp"):
        kept._source_stamp = kept._source_stamp, _SOURCES  # noqa: SLF001
    if hasattr(kept, "_data_name_pattern"):
        # Numba numbers the files of a function. Two processes that compile for different types or shapes at the same
        # time would take the same number, and each later run the other's code.
        kept._data_name_pattern = kept._data_name_pattern.replace("{number", f"{_OWN}.{{number")  # noqa: SLF001


def _forgive(dispatcher: Any) -> None:
    """Let a run go on where its machine code cannot be kept, such as on a full disk."""
    cache: Any = getattr(dispatcher, "_cache", None)
    save = getattr(cache, "save_overload", None)
    if save is None:
        return

    def kept(*what: Any) -> None:
        try:
            save(*what)
        except OSError as error:
            _LOG.debug("machine code of %s is not kept (%s)", dispatcher.py_func.__name__, error)

    cache.save_overload = kept


def _sources() -> tuple[tuple[str, int, int], ...]:
    here = Path(__file__).parent
    files = [*here.glob("*.py"), here.parent / "peak.py", here.parent / "correlation.py"]
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in sorted(files) if file.exists())


_SOURCES = _sources()
_OWN = uuid.uuid4().hex[:8]
"""What tells the files of this process."""


class _Announcer(Listener):
    """Says once why the first tile takes longer; nothing where the machine code is found on disk."""

    def __init__(self) -> None:
        self.done = False

    def on_start(self, event: Any) -> None:
        if not self.done and event.data["dispatcher"].py_func.__module__.startswith(__name__.rpartition(".")[0]):
            self.done = True
            _LOG.info("compiling the matching engine for this processor: some seconds, once per machine")

    def on_end(self, event: Any) -> None:
        pass


_REGISTER("numba:compile", _Announcer())
