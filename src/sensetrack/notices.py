"""Warnings that belong to the job that causes them, also where jobs run beside each other in threads.

Python has one list of filters and one place that shows warnings for all threads, and whoever changes them for a moment
does so for the others, too. So warnings of ours do not take that way within a job: `warn` adds them to the list of the
job, which a context variable names; threads that work for a job run in a copy of its context.
"""

from __future__ import annotations

import logging
import threading
import warnings
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from sensetrack.errors import SenseTrackWarning

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Notice(NamedTuple):
    """One warning."""

    message: str
    category: type[Warning]

    @property
    def ours(self) -> bool:
        """Whether it belongs into the run record."""
        return issubclass(self.category, SenseTrackWarning)


_heard: ContextVar[list[Notice] | None] = ContextVar("sensetrack_notices", default=None)


def warn(text: str, category: type[Warning], stacklevel: int = 1) -> None:
    """Warn as `warnings.warn` does; within `collected` the warning goes onto its list, whatever filters say.

    Parameters
    ----------
    text : str
    category : type
    stacklevel : int
        As of `warnings.warn`: 1 is the line that calls this.
    """
    heard = _heard.get()
    if heard is None:
        warnings.warn(text, category, stacklevel=stacklevel + 1)
    else:
        heard.append(Notice(text, category))


@contextmanager
def collected() -> Iterator[list[Notice]]:
    """Yield a list that takes the warnings of the block, and of threads that run in a copy of its context.

    None of ours is left out for having been said before. Those of libraries are there as far as filters let them
    pass, and a filter that makes them errors goes on to do so.
    """
    heard: list[Notice] = []
    token = _heard.set(heard)
    try:
        with _listening:
            yield heard
    finally:
        _heard.reset(token)


def say(heard: Iterable[Notice], log: logging.Logger) -> list[str]:
    """Log warnings, those of libraries for developers only, and return what ours say."""
    found = []
    for one in heard:
        log.log(logging.WARNING if one.ours else logging.DEBUG, "%s", one.message)
        if one.ours:
            found.append(one.message)
    return found


def said_again(heard: Iterable[Notice], stacklevel: int = 1) -> None:
    """Warn of what was collected, of the same once."""
    for one in dict.fromkeys(heard):
        warn(one.message, one.category, stacklevel + 1)


class _Listening:
    """Takes what is said through `warnings`, as long as anybody collects: by libraries, and by plug-ins for us.

    The first to come changes what all threads share, the last to go brings it back.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._stack = threading.Lock(), 0, ExitStack()
        self._before: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._stack.enter_context(warnings.catch_warnings())
                warnings.simplefilter("always", SenseTrackWarning)
                self._before, warnings.showwarning = warnings.showwarning, self._show
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._stack.close()

    def _show(self, message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        heard = _heard.get()
        if heard is None:  # in a thread that works for nobody who collects
            self._before(message, category, *where, **more)
        else:
            heard.append(Notice(str(message), category))


_listening = _Listening()


@contextmanager
def beside_each_other() -> Iterator[None]:
    """Hold filters of warnings for as long as jobs run in threads.

    Libraries set filters for a moment, and threads undo each other's: meanwhile no warning of a library is an error,
    and what they leave of their filters is taken away at the end.
    """
    with warnings.catch_warnings():
        lasting: list[Any] = [one for one in warnings.filters if one[0] != "error"]
        warnings.filters[:] = lasting  # type: ignore[index]
        warnings.simplefilter("always", SenseTrackWarning)
        with _listening:
            yield
