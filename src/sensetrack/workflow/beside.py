"""Jobs beside each other in threads of this process: their kernels and files leave Python's lock to the others.

What libraries share between threads is held once for all jobs: their numbers of threads (`limits`), filters of warnings
(`notices`) and handlers of logs (`own_log`).
"""

from __future__ import annotations

import ctypes
import queue
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from sensetrack.notices import beside_each_other
from sensetrack.workflow.limits import held_to_one

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sensetrack.workflow.jobs import Levels
    from sensetrack.workflow.limits import Share

T = TypeVar("T")
R = TypeVar("R")

_LOOK = 1.0
"""Seconds between looks at whether all is cancelled."""
_GRACE = 0.8
"""Seconds that jobs have to end by themselves when nobody waits for them any more, and between attempts to end them."""
_PATIENCE = 3.5
"""Seconds until those that cannot be ended are left to the end of the process."""


class GivenUp(SystemExit):
    """Raised in the thread of a job that nobody waits for any more, so that it sweeps up on its way out."""


def in_threads(
    work: Callable[[T, Share], R], jobs: Sequence[T], plan: Levels, stop: Callable[[], bool]
) -> Iterator[tuple[int, R]]:
    """Do jobs in threads; see `sensetrack.workflow.jobs.run_jobs`."""
    with beside_each_other(), held_to_one:
        crew = _Crew(work, jobs, plan)
        try:
            yield from crew.results(stop)
        finally:
            crew.end()


class _Crew:
    """The threads of a run."""

    def __init__(self, work: Callable[[Any, Share], Any], jobs: Sequence[Any], plan: Levels) -> None:
        self._work, self._jobs, self._plan = work, jobs, plan
        self._todo: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = queue.SimpleQueue()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._serve, name=f"sensetrack-job-{number + 1}", daemon=True)
            for number in range(plan.at_once)
        ]

    def results(self, stop: Callable[[], bool]) -> Iterator[tuple[int, Any]]:
        """Hand out jobs, only a few ahead of the caller, and yield their results."""
        given = taken = 0
        for thread in self._threads:
            thread.start()
        while taken < len(self._jobs) and not stop():
            while given < min(len(self._jobs), taken + 2 * self._plan.at_once):
                self._todo.put(given)
                given += 1
            with suppress(queue.Empty):
                index, result, error = self._done.get(timeout=_LOOK)
                if error is not None:
                    raise error
                taken += 1
                yield index, result

    def _serve(self) -> None:
        while (index := self._todo.get()) is not None and not self._over.is_set():
            try:
                result = self._work(self._jobs[index], self._plan.share)
            except GivenUp:
                return
            except BaseException as error:
                self._done.put((index, None, error))
                return
            self._done.put((index, result, None))

    def end(self) -> None:
        """End all threads: those without a job leave by themselves, the others have a moment to finish."""
        self._over.set()
        for _ in self._threads:
            self._todo.put(None)
        start, attempts = time.monotonic(), 0
        while alive := [one for one in self._threads if one.is_alive()]:
            passed = time.monotonic() - start
            if passed > _PATIENCE:
                return
            if passed > (attempts + 1) * _GRACE:
                attempts += 1
                for one in alive:
                    _raise_in(one)
            alive[0].join(0.05)


def _raise_in(thread: threading.Thread) -> None:
    """Raise `GivenUp` in a thread as soon as it is back in Python."""
    if thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(GivenUp))
