"""Many whole jobs, such as the pairs of a study: who does them, how many at a time, and what becomes of a lost one.

Two levels, chosen from the number of jobs: many jobs run beside each other with one thread each, few of them with
several threads for the tiles of each. The jobs of a run do not depend on each other, and each writes its own result.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from pydantic import ByteSize, Field, field_validator

from sensetrack.errors import ConfigError
from sensetrack.ot.parameters import Parameters
from sensetrack.workflow.executors import default_workers
from sensetrack.workflow.limits import LIBRARIES, Share

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

T = TypeVar("T")
R = TypeVar("R")

ROOM = 500 * 10**6
"""Bytes that a worker process needs to do anything of use: libraries, and one small tile."""
MANY = 3
"""Jobs for each worker from which on `auto` takes processes."""
_ADDRESS = re.compile(r"(tcp|tls|ucx|ws|wss)://[^\s/]+:\d+/?")


class BatchSystem(Parameters):
    """Workers of Dask as jobs of a batch system, through ``dask-jobqueue`` (extra ``hpc``)."""

    system: Literal["slurm", "pbs"] = Field("slurm", description="batch system of the machine")
    queue: str | None = Field(None, description="queue or partition; default: that of the system")
    account: str | None = Field(None, description="account or project that is charged")
    jobs: int = Field(1, ge=1, description="batch jobs that are asked for; each is one worker process")
    cores: int = Field(1, ge=1, description="cores of each; a pair uses all of them")
    memory: ByteSize = Field(ByteSize(4 * 10**9), ge=ROOM, description="memory of each, such as 4GB")
    walltime: str = Field(
        "04:00:00", pattern=r"^(\d+-)?\d{1,3}:\d\d:\d\d$", description="longest time of each, hours:minutes:seconds"
    )
    wait: float = Field(24, gt=0, description="hours to wait for the first of them to start")
    interface: str | None = Field(None, description="network interface that workers and scheduler share, such as ib0")
    python: str | None = Field(None, description="Python of the workers; default: this one")
    local_directory: str | None = Field(None, description="folder for temporary files of the workers, on their machine")
    log_directory: str | None = Field(None, description="folder for what the batch jobs say")
    directives: tuple[str, ...] = Field((), description="further lines of the head of the job script, such as '-C cpu'")
    prologue: tuple[str, ...] = Field((), description="shell commands before the worker, such as 'module load gdal'")


class Scheduling(Parameters):
    """Who runs the pairs of a study."""

    executor: Literal["threads", "processes", "dask", "auto"] = Field(
        "threads",
        description="threads of this process, processes on this machine, or workers of Dask; auto takes processes for "
        "many pairs and threads for few",
    )
    workers: int | None = Field(None, ge=1, description="cores to use; default: those this process may use")
    at_once: int | None = Field(
        None,
        ge=1,
        description="pairs at a time, at most; default: in threads one, which has all cores, else as many as cores",
    )
    scheduler: str = Field(
        "local",
        description="of Dask: an address such as tcp://host:8786, a scheduler.json, or local for workers of its own",
    )
    max_memory: ByteSize | None = Field(
        None,
        ge=ROOM,
        description="memory of all workers of this machine together, such as 8GB; fewer of them, and fewer threads of "
        "each, keep within it; default: what each pair may take by its own settings",
    )
    tries: int = Field(3, ge=1, le=10, description="workers that a job may lose before it counts as failed")
    hpc: BatchSystem | None = Field(None, description="batch system that starts the workers of Dask")

    @field_validator("scheduler")
    @classmethod
    def _known(cls, value: str) -> str:
        if value == "local" or value.endswith(".json") or _ADDRESS.fullmatch(value):
            return value
        message = f"scheduler must be local, an address such as tcp://host:8786 or a .json file, instead got {value!r}"
        raise ConfigError(message)

    def changed(self, values: Mapping[str, Any]) -> Self:
        """Return the same with other values; None changes nothing, a scheduler implies Dask.

        What belongs to Dask alone is forgotten where another executor is asked for.

        Raises
        ------
        ConfigError
            Values that do not go together.
        """
        told = {name: value for name, value in values.items() if value is not None}
        if "scheduler" in told:
            told = {"executor": "dask", "hpc": None} | told
        if told.get("executor", "dask") != "dask":
            told = {"scheduler": "local", "hpc": None} | told
        return self.from_dict(self.to_dict() | told)

    def model_post_init(self, _context: Any, /) -> None:
        """Check what concerns more than one key."""
        if self.executor != "dask" and (self.scheduler != "local" or self.hpc is not None):
            message = f"scheduler and hpc belong to the executor dask, instead got {self.executor}"
            raise ConfigError(message, advice="set executor to dask")
        if self.scheduler != "local" and self.hpc is not None:
            raise ConfigError("scheduler and hpc say twice where the workers are", advice="give one of them")


@dataclass(frozen=True)
class Levels:
    """How cores and memory are shared out."""

    at_once: int
    """Jobs beside each other."""
    share: Share
    """Of each of them."""


def settled(number: int, scheduling: Scheduling) -> Scheduling:
    """Return the scheduling with the executor that a number of jobs takes, where that was left open."""
    if scheduling.executor != "auto":
        return scheduling
    workers = default_workers() if scheduling.workers is None else scheduling.workers
    # A process takes a second to load its libraries, which pays from a few jobs each.
    many = workers > 1 and number >= MANY * workers
    return scheduling.model_copy(update={"executor": "processes" if many else "threads"})


def levels(number: int, scheduling: Scheduling) -> Levels:
    """Share out cores and memory to a number of jobs.

    Many jobs run beside each other with one thread each; of fewer jobs than cores, each has several threads. In threads
    of this process one has them all, where nothing else is said: two large pairs would need twice the memory.
    """
    scheduling = settled(number, scheduling)
    workers = default_workers() if scheduling.workers is None else scheduling.workers
    most = scheduling.at_once or (1 if scheduling.executor == "threads" else workers)
    at_once = max(1, min(number, workers, most))
    if scheduling.hpc is not None or scheduling.scheduler != "local":
        return Levels(at_once, Share(1))  # workers elsewhere know what they have
    limit, memory = scheduling.max_memory, None
    if limit is not None:
        shared = LIBRARIES if scheduling.executor == "threads" else 0
        at_once = max(1, min(at_once, (limit - shared) // (ROOM - shared)))
        memory = (limit - shared) // at_once + shared
    return Levels(at_once, Share(max(1, workers // at_once), memory))


def here(scheduling: Scheduling) -> Share:
    """Return what one job may use that is done by this process, whoever does the others."""
    return levels(1, Scheduling(workers=scheduling.workers, max_memory=scheduling.max_memory)).share


@dataclass(frozen=True)
class Lost:
    """What stands in the place of a result where no worker has survived the job."""

    cause: str
    """One clause: how often it was tried, how the last worker ended, and the probable cause."""
    tries: int
    """Workers that it has cost."""


@dataclass
class Waiting:
    """Which jobs are still to be done, and which of them have cost workers. Its size does not grow with the jobs."""

    number: int
    tries: int
    _next: int = 0
    _again: deque[int] = field(default_factory=deque)
    _alone: deque[int] = field(default_factory=deque)
    _deaths: dict[int, int] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """Jobs that nobody has taken."""
        return self.number - self._next + len(self._again) + len(self._alone)

    def take(self, *, busy: bool) -> int | None:
        """Return a job to do; None where there is none, or none while others are under way.

        The last try of a job comes when nothing runs beside it: memory may have been short because of the others,
        or another job may have taken the worker with it.
        """
        if self._again:
            return self._again.popleft()
        if self._next < self.number:
            self._next += 1
            return self._next - 1
        return self._alone.popleft() if self._alone and not busy else None

    def give_back(self, index: int) -> None:
        """Take back a job that was not begun."""
        self._again.appendleft(index)

    def suspect(self, index: int) -> None:
        """Take back a job that may have cost a worker, or one that was sent with it has."""
        self._deaths.setdefault(index, 0)
        self._again.append(index)

    def suspected(self, index: int) -> bool:
        """Whether a job may have cost a worker."""
        return index in self._deaths

    def died(self, index: int, how: str, deaths: int = 1) -> Lost | None:
        """Note that a job has cost workers; return what stands for its result when it was the last try."""
        before = self._deaths.get(index, 0)
        deaths = self._deaths[index] = before + deaths
        if deaths >= self.tries and (before >= self.tries - 1 or self.tries == 1):
            del self._deaths[index]
            workers = "its worker" if deaths == 1 else f"{deaths} workers, one after the other"
            return Lost(f"has cost {workers}: the last {how}", deaths)
        (self._alone if deaths >= self.tries - 1 else self._again).append(index)
        return None

    def done(self, index: int) -> None:
        """Forget a job that has a result."""
        self._deaths.pop(index, None)


def run_jobs(
    work: Callable[[T, Share], R],
    jobs: Sequence[T],
    scheduling: Scheduling | None = None,
    *,
    cancelled: Callable[[], bool] | None = None,
) -> Generator[tuple[int, R | Lost]]:
    """Do every job, and yield the number of each with its result as it is completed.

    Results do not depend on the executor, on the number of workers or on the order. Hold the iterator with
    `contextlib.closing`: when it is closed before its end, no worker stays behind.

    Parameters
    ----------
    work : callable
        ``work(job, share)`` does one job with no more threads and memory than its `Share`, writes its result whole or
        not at all, and returns something small. A function of a module, because other processes import it. It may be
        called again for a job whose worker was lost. Every exception that it raises ends the run, so it returns what
        can fail.
    jobs : sequence
        Small values that can be pickled.
    scheduling : Scheduling, optional
        Default: threads.
    cancelled : callable, optional
        Asked about once a second and between jobs; once it says True no further job is begun, those under way are
        given up and the iterator ends; a job alone in this process is finished.

    Yields
    ------
    (int, result or Lost)
        `Lost` stands for a job that no worker has survived; the other jobs go on.

    Raises
    ------
    EngineNotFoundError
        The executor is not installed.
    EnvironmentFault
        No worker can be started or reached.
    """
    scheduling = settled(len(jobs), scheduling or Scheduling())
    plan = levels(len(jobs), scheduling)
    waiting = Waiting(len(jobs), scheduling.tries)
    stop = cancelled or (lambda: False)
    if not jobs:
        return
    if scheduling.executor == "threads":
        if plan.at_once == 1:
            yield from _one_after_the_other(work, jobs, plan, stop)
            return
        from sensetrack.workflow.beside import in_threads

        yield from in_threads(work, jobs, plan, stop)
    elif scheduling.executor == "processes":
        from sensetrack.workflow.processes import in_processes

        yield from in_processes(work, jobs, plan, waiting, stop)
    else:
        from sensetrack.workflow.waves import in_dask

        yield from in_dask(work, jobs, plan, waiting, scheduling=scheduling, stop=stop)


def _one_after_the_other(
    work: Callable[[T, Share], R], jobs: Sequence[T], plan: Levels, stop: Callable[[], bool]
) -> Iterator[tuple[int, R]]:
    for index, job in enumerate(jobs):
        if stop():
            return
        yield index, work(job, plan.share)
