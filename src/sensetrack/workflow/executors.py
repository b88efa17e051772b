"""Who runs the tiles, and the workers of Dask that run whole jobs; the only module that imports Dask.

The executor owns the cores: whatever it runs uses one thread each.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sensetrack.errors import ConfigError, EngineNotFoundError, EnvironmentFault
from sensetrack.workflow.limits import Share, held_to_one
from sensetrack.workflow.worker import ALIKE, SAME, leave_with_parent, one_thread_each, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from distributed import Client, Future

    from sensetrack.blocks import Mapper
    from sensetrack.workflow.jobs import BatchSystem, Levels, Scheduling

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")


def default_workers() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def threads(workers: int | None = None) -> Iterator[Mapper]:
    """Yield a `map` over threads; OpenCV and BLAS are held to one thread each and restored after.

    Results come in the order of the items and do not depend on `workers`. Only a few items are in flight at a
    time, and after an error or an interrupt those not yet begun are dropped. One worker is the thread that asks.
    """
    number = default_workers() if workers is None else workers
    if number < 1:
        message = f"workers must be at least 1, instead got {number}"
        raise ConfigError(message)
    with held_to_one, ExitStack() as stack:
        if number == 1:
            yield map
            return
        pool = ThreadPoolExecutor(number, thread_name_prefix="sensetrack")
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        yield partial(_in_order, pool, 2 * number)


def _in_order(pool: ThreadPoolExecutor, ahead: int, function: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]:
    """Like `map`, with so many items in flight; each is worked on in the context of who asks for it."""
    waiting = deque()  # type: ignore[var-annotated]
    for item in items:
        waiting.append(pool.submit(copy_context().run, function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


_CONNECT = 10
"""Seconds for a scheduler to answer."""
_WORKERS = 60
"""Seconds for the first worker of a scheduler to appear."""
_NOTED = 3.0
"""Seconds until it is written down how a worker has ended."""
_USED = 0.9
"""Share of the memory of a worker that its jobs may take: Dask ends it at 0.95."""
_LOCAL = {
    # A lost worker is counted here, for each job; by itself Dask would try four times before it says so.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.worker-saturation": 1.0,
    # Looks at what a job is doing a hundred times a second, which nobody asks for.
    "distributed.worker.profile.enabled": False,
    # By default every process looks fifty times a second whether it is late.
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "2s",
    # There are no results to spill, and a worker that pauses would wait for ever.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    # By default memory goes back to the system in small pieces, which takes a third more time over all.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
}
_MALLOC = "export MALLOC_TRIM_THRESHOLD_=268435456 MALLOC_MMAP_THRESHOLD_=33554432"
"""The same for workers that a batch system starts."""
_one_job = threading.Lock()
"""Jobs of one process run one after the other, however many threads a worker has: that changes what all share."""


class WorkerLostError(Exception):
    """Workers that had a task are no more.

    Parameters
    ----------
    how : str
        How the last of them ended, and why that may be.
    workers : int
        How many there were.
    """

    def __init__(self, how: str, workers: int) -> None:
        super().__init__(how, workers)
        self.how, self.workers = how, workers


@dataclass(frozen=True)
class Terms:
    """What a worker is told beside its jobs."""

    share: Share
    """Of each job, as far as the worker has as much."""
    version: str
    """Of sensetrack, here."""
    level: int
    """Of the log records that are sent back."""


def terms(share: Share) -> Terms:
    """Return what workers are told."""
    return Terms(share, versions()["sensetrack"], logging.getLogger("sensetrack").getEffectiveLevel())


def do_some(work: Callable[[Any, Share], Any], jobs: list[Any], told: Terms) -> tuple[float, list[Any]]:
    """Do jobs on a worker of Dask; return the seconds they took, and their results."""
    _prepare_worker(told)
    share = _own_share(told.share)
    with _one_job:
        start = time.monotonic()
        results = [work(job, share) for job in jobs]
        return time.monotonic() - start, results


def result_of(client: Client, future: Future) -> tuple[float, list[Any]]:
    """Return what `do_some` returned on a worker.

    Raises
    ------
    WorkerLostError
        The worker died with it.
    EnvironmentFault
        The scheduler is lost.
    """
    from distributed import KilledWorker

    try:
        seconds, results = future.result()
    except KilledWorker as error:
        raise WorkerLostError(_how(client, error.last_worker), error.allowed_failures + 1) from error
    except Exception as error:
        if future.status not in {"cancelled", "lost"}:
            raise
        message = f"the Dask scheduler at {_address(client)} was lost"
        raise EnvironmentFault(message, advice="run again: what is done is not done again") from error
    return seconds, results


def _own_share(share: Share) -> Share:
    """Return what a job may use on this worker of Dask: its own limit of memory counts, and all of its threads do."""
    from distributed import get_worker

    worker = get_worker()
    own = worker.memory_manager.memory_limit
    known = [limit for limit in (share.memory, own and int(_USED * own)) if limit is not None]
    return Share(max(worker.state.nthreads, share.workers), min(known, default=None))


@lru_cache(8)
def _prepare_worker(told: Terms) -> None:
    """Make a process of Dask a worker of ours."""
    own = versions()["sensetrack"]
    if own != told.version:  # it joined after the others were looked at
        raise EnvironmentFault(f"a worker has sensetrack {own}, this is {told.version}")
    logging.getLogger("sensetrack").setLevel(told.level)
    one_thread_each()
    leave_with_parent()


@contextmanager
def dask_client(plan: Levels, scheduling: Scheduling, stop: Callable[[], bool]) -> Iterator[Client]:
    """Connect to a scheduler, or start one with workers, as long as the block lasts."""
    try:
        import dask
        import distributed
    except ModuleNotFoundError as error:
        message = "the executor dask needs the package distributed"
        raise EngineNotFoundError(message, advice="pip install 'sensetrack[dask]'") from error
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(_LOCAL))
        stack.enter_context(_hushed())
        if scheduling.hpc is not None:
            cluster = stack.enter_context(_batch_cluster(scheduling.hpc))
            client = stack.enter_context(distributed.Client(cluster, set_as_default=False))
        elif scheduling.scheduler == "local":
            cluster = stack.enter_context(_local_cluster(plan))
            client = stack.enter_context(distributed.Client(cluster, set_as_default=False))
        else:
            client = stack.enter_context(_remote(scheduling.scheduler))
        log.info("Dask scheduler %s, dashboard %s", _address(client), client.dashboard_link)
        _wait_for_worker(client, _WORKERS if scheduling.hpc is None else 3600 * scheduling.hpc.wait, stop)
        _require_versions(client)
        client.forward_logging("sensetrack")
        stack.callback(_quietly, client.unforward_logging, "sensetrack")
        yield client


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep Dask from writing to stderr what becomes of workers and connections: we say so, once."""
    loggers = [
        logging.getLogger(name) for name in list(logging.root.manager.loggerDict) if name.startswith("distributed")
    ]
    before = {handler: handler.level for logger in loggers for handler in logger.handlers
              if isinstance(handler, logging.StreamHandler)}  # fmt: skip
    try:
        for handler in before:
            handler.setLevel(logging.CRITICAL)
        yield
    finally:
        for handler, level in before.items():
            handler.setLevel(level)


def _quietly(call: Callable[..., object], *arguments: object) -> None:
    with suppress(Exception):
        call(*arguments)


def _address(client: Client) -> str:
    return str(client.scheduler.address if client.scheduler is not None else "?")


def _remote(place: str) -> Client:
    """Connect to a scheduler at an address, or that which a file names."""
    from distributed import Client

    address = place
    if place.endswith(".json"):
        try:
            address = str(json.loads(Path(place).read_text(encoding="utf-8"))["address"])
        except FileNotFoundError as error:
            raise ConfigError("not found", path=place, advice="start the scheduler with --scheduler-file") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError("is not a file that a Dask scheduler has written", path=place) from error
    try:
        return Client(address, timeout=_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:  # no answer; no such protocol here
        message = f"no Dask scheduler answers at {address} within {_CONNECT} s"
        raise EnvironmentFault(message, advice="check the address, and that it runs") from error


@contextmanager
def _local_cluster(plan: Levels) -> Iterator[Any]:
    """Start workers on this machine; their processes are gone when the block is left."""
    from distributed import LocalCluster

    cluster = LocalCluster(
        n_workers=plan.at_once,
        threads_per_worker=1,
        processes=True,
        memory_limit="auto" if plan.share.memory is None else plan.share.memory,
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,  # what becomes of a worker is said by us
    )
    try:
        yield cluster
    finally:
        _quietly(_end, cluster)


def _end(cluster: Any) -> None:
    import psutil

    # Workers without a job leave by themselves; one with a job would be waited for.
    for nanny in list(cluster.workers.values()):
        if nanny.pid is not None:
            with suppress(psutil.Error):
                psutil.Process(nanny.pid).terminate()
    cluster.close(timeout=3)


@contextmanager
def _batch_cluster(block: BatchSystem) -> Iterator[Any]:
    """Ask a batch system for workers; what is left of them is cancelled when the block is left."""
    try:
        import dask_jobqueue
    except ModuleNotFoundError as error:
        message = f"workers through {block.system} need the package dask-jobqueue"
        raise EngineNotFoundError(message, advice="pip install 'sensetrack[hpc]'") from error
    name, command = {"slurm": ("SLURMCluster", "sbatch"), "pbs": ("PBSCluster", "qsub")}[block.system]
    if shutil.which(command) is None:  # Dask would try for ever
        message = f"{command} was not found, so this machine can start no jobs of {block.system}"
        raise EngineNotFoundError(message, advice="run this on a login node")
    cluster = getattr(dask_jobqueue, name)(**batch_options(block))
    try:
        cluster.scale(jobs=block.jobs)
        yield cluster
    finally:
        _quietly(cluster.close)


def batch_options(block: BatchSystem) -> dict[str, Any]:
    """Return the settings of a batch system as ``dask-jobqueue`` calls them."""
    given = {
        "queue": block.queue,
        "account": block.account,
        "interface": block.interface,
        "python": block.python,
        "local_directory": block.local_directory,
        "log_directory": block.log_directory,
    }
    return {name: value for name, value in given.items() if value is not None} | {
        "job_name": "sensetrack",
        "cores": block.cores,
        "memory": f"{int(block.memory)}B",
        "processes": 1,
        "walltime": block.walltime,
        "job_extra_directives": list(block.directives),
        "job_script_prologue": [_MALLOC, *block.prologue],
    }


def _wait_for_worker(client: Client, seconds: float, stop: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    said = False
    while not client.nthreads():
        if time.monotonic() > deadline:
            message = f"the Dask scheduler at {_address(client)} has had no worker for {seconds:.0f} s"
            raise EnvironmentFault(message, advice="start workers, for example `dask worker` with its address")
        if not said:
            log.info("waiting for a worker")
            said = True
        if stop():
            return
        time.sleep(0.2)


def _require_versions(client: Client) -> None:
    """Refuse workers with another sensetrack, Dask or Python, and warn of other libraries."""
    own = versions()
    unlike: dict[str, set[str]] = {}
    for address, theirs in client.run(versions, on_error="return").items():
        if not isinstance(theirs, dict):
            raise EnvironmentFault(f"the worker {address} cannot run sensetrack ({theirs})", advice="install it there")
        for name in SAME:
            if theirs.get(name) != own.get(name):
                message = f"the worker {address} has {name} {theirs.get(name)}, this is {own.get(name)}"
                raise EnvironmentFault(message, advice="install the same versions there")
        for name in ALIKE:
            if theirs.get(name) != own.get(name):
                unlike.setdefault(name, set()).add(f"{theirs.get(name)}")
    for name, found in unlike.items():
        log.warning("workers have %s %s, this is %s: results may differ", name, ", ".join(sorted(found)), own.get(name))


def _how(client: Client, worker: Any) -> str:
    """Say how a worker ended, and why that may be, from what the nannies that watch over workers have written."""
    from sensetrack.external.processes import how_it_ended

    deadline = time.monotonic() + _NOTED
    while time.monotonic() < deadline:
        said = "\n".join(line for line in _nannies(client) if re.search(rf"\b{worker.pid}\b", line))
        if "memory budget" in said:
            return "was ended by Dask because it used more memory than it may"
        if found := re.search(r"killed by signal (\d+)", said):
            return how_it_ended(-int(found[1]))
        if found := re.search(r"exited with status (\d+)", said):
            return how_it_ended(int(found[1]))
        time.sleep(0.1)
    return f"at {worker.address} vanished, with its machine or for lack of memory"


def _nannies(client: Client) -> list[str]:
    """Return the newest lines of the nannies; those of this process also while they have no worker."""
    cluster = getattr(client.cluster, "workers", None) or {}
    logs = [nanny.get_logs(n=100) for nanny in cluster.values() if hasattr(nanny, "get_logs")]
    if not logs:
        with suppress(Exception):  # a worker without a nanny, or one that has just gone
            logs = list(client.get_worker_logs(n=100, nanny=True).values())
    return [text for entries in logs for _, text in entries]
