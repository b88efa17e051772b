"""Jobs as tasks of Dask, a wave of them at a time: the scheduler knows few, however many jobs there are."""

from __future__ import annotations

import logging
import os
import time
from itertools import count
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from sensetrack.workflow.executors import WorkerLostError, dask_client, do_some, result_of, terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from distributed import Client, Future

    from sensetrack.workflow.jobs import Levels, Lost, Scheduling, Waiting
    from sensetrack.workflow.limits import Share

T = TypeVar("T")
R = TypeVar("R")

log = logging.getLogger(__name__)

_LOOK = 1.0
"""Seconds between looks at how many workers there are, and at whether all is cancelled."""
_TASK = 1.0
"""Seconds that a task should take: short jobs go together, so that the scheduler has little to do."""


def in_dask(
    work: Callable[[T, Share], R],
    jobs: Sequence[T],
    plan: Levels,
    waiting: Waiting,
    *,
    scheduling: Scheduling,
    stop: Callable[[], bool],
) -> Iterator[tuple[int, R | Lost]]:
    """Do jobs with the workers of Dask; see `sensetrack.workflow.jobs.run_jobs`."""
    with dask_client(plan, scheduling, stop) as client:
        wave = _Wave(client, work, jobs, plan, waiting)
        try:
            if not stop():
                wave.fill()
            while wave.busy and not stop():
                found = wave.collect()
                wave.fill()  # before the caller has a look at the results
                yield from found
        finally:
            wave.drop()


class _Wave:
    """The tasks that the scheduler knows: one a worker, which also says whose fault the loss of a worker is."""

    def __init__(
        self, client: Client, work: Callable[[Any, Share], Any], jobs: Sequence[Any], plan: Levels, waiting: Waiting
    ) -> None:
        self._client, self._work, self._jobs, self._waiting = client, work, jobs, waiting
        self._terms = terms(plan.share)
        self._ready: SimpleQueue[Future] = SimpleQueue()
        self._flying: dict[str, tuple[Future, list[int]]] = {}
        self._names, self._run = count(), f"sensetrack-{os.getpid()}-{time.time_ns()}"
        self._seconds = self._finished = 0.0
        self._looked, self._workers = 0.0, 1

    @property
    def busy(self) -> bool:
        """Whether any job is under way."""
        return bool(self._flying)

    def fill(self) -> None:
        """Send jobs until every worker has a task."""
        if time.monotonic() > self._looked + _LOOK:
            self._looked, self._workers = time.monotonic(), max(1, len(self._client.nthreads()))
        while len(self._flying) < self._workers and (some := self._some()):
            # No two tasks have a name in common: one that was lost may still be known to the scheduler.
            name = f"{self._run}-{next(self._names)}"
            jobs = [self._jobs[index] for index in some]
            future = self._client.submit(do_some, self._work, jobs, self._terms, key=name, pure=False)
            self._flying[name] = future, some
            future.add_done_callback(self._ready.put)

    def _some(self) -> list[int]:
        """Take as many jobs as make a task; one that may have cost a worker is a task of its own."""
        some: list[int] = []
        most = int(_TASK * self._finished / max(self._seconds, 1e-6)) if self._finished else 1
        most = max(1, min(most, self._waiting.left // (4 * self._workers)))
        while len(some) < most and (index := self._waiting.take(busy=self.busy or bool(some))) is not None:
            if some and self._waiting.suspected(index):
                self._waiting.give_back(index)
                break
            some.append(index)
            if self._waiting.suspected(index):
                break
        return some

    def collect(self) -> list[tuple[int, Any]]:
        """Wait until a task is completed; return the results, or none after a second."""
        try:
            future = self._ready.get(timeout=_LOOK)
        except Empty:
            return []
        _, some = self._flying.pop(str(future.key))
        try:
            seconds, results = result_of(self._client, future)
        except WorkerLostError as error:
            return self._lost(some, error)
        self._seconds += seconds
        self._finished += len(some)
        for index in some:
            self._waiting.done(index)
        return list(zip(some, results, strict=True))

    def _lost(self, some: list[int], error: WorkerLostError) -> list[tuple[int, Any]]:
        if len(some) > 1:
            log.warning("a worker %s; the %d jobs that it had are tried again one by one", error.how, len(some))
            for index in some:
                self._waiting.suspect(index)
            return []
        lost = self._waiting.died(some[0], error.how, error.workers)
        fate = "is given up" if lost else "is tried again"
        log.warning("a worker %s; what it did, job %d of %d, %s", error.how, some[0] + 1, len(self._jobs), fate)
        return [(some[0], lost)] if lost else []

    def drop(self) -> None:
        """Give up what is under way, where the workers stay; those of our own are ended."""
        if self._flying and self._client.cluster is None:
            try:
                self._client.cancel([future for future, _ in self._flying.values()], force=True)
            except Exception:  # the scheduler may be what has failed
                log.debug("could not be cancelled", exc_info=True)
        self._flying.clear()
