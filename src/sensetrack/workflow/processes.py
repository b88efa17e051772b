"""Jobs in processes of their own on this machine, each of which may be lost without the others noticing.

`concurrent.futures` gives up a whole pool when one process dies, and cannot say which job it was. Here every process
has a pipe of its own, so that it is known what it was doing, and another takes its place.
"""

from __future__ import annotations

import logging
import multiprocessing
import re
import signal
import tempfile
import time
from collections import deque
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psutil

from sensetrack.errors import EnvironmentFault
from sensetrack.external.processes import how_it_ended
from sensetrack.workflow.worker import DONE, LOG, RAISED, READY, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sensetrack.workflow.jobs import Levels, Lost, Waiting
    from sensetrack.workflow.limits import Share

T = TypeVar("T")
R = TypeVar("R")

log = logging.getLogger(__name__)

_PATIENCE = 3.0
"""Seconds that processes have to leave before they are killed."""
_STARTS = 3
"""Processes in a row that may die before they are ready."""
_SHORT = 1.0
"""Of jobs that take less than this many seconds, one is sent ahead, so that no process waits for its next."""
_AGED = 25
"""Jobs after which a process that holds more than its share of the memory is replaced."""
_LOOK = 1.0
"""Seconds between looks at the memory, and at whether all is cancelled."""


def in_processes(
    work: Callable[[T, Share], R], jobs: Sequence[T], plan: Levels, waiting: Waiting, stop: Callable[[], bool]
) -> Iterator[tuple[int, R | Lost]]:
    """Do jobs in spawned processes; see `sensetrack.workflow.jobs.run_jobs`."""
    with tempfile.TemporaryDirectory(prefix="sensetrack-jobs-") as folder:
        pool = _Pool(Path(folder), work, jobs, plan, waiting)
        try:
            if not stop():
                pool.fill()
            while pool.busy and not stop():
                found = pool.collect()
                pool.fill()  # before the caller has a look at the results
                yield from found
        finally:
            pool.close()


class _Process:
    """One process, and the jobs it has been sent."""

    def __init__(self, name: str, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.trace = folder / name
        level = logging.getLogger("sensetrack").getEffectiveLevel()
        self.process = context.Process(
            target=serve, args=(theirs, level, str(self.trace)), name=f"sensetrack-{name}", daemon=True
        )
        with _no_interrupt():
            self.process.start()
        theirs.close()
        self.queue: deque[int] = deque()
        """Numbers of the jobs it has been sent; it does the first."""
        self.ready = self.retired = False
        self.done = 0
        """Jobs it has done."""
        self.memory = 0
        """Most resident memory seen, bytes."""

    def send(self, message: tuple[Any, ...] | None) -> None:
        """Send a job, or None for the end. That it has died is noticed where it is waited for."""
        said = b"" if message is None else ForkingPickler.dumps(message)
        with suppress(OSError):
            self.pipe.send_bytes(said)

    def look(self) -> int:
        """Return its resident memory, bytes, and remember the most."""
        try:
            held = int(psutil.Process(self.process.pid).memory_info().rss)
        except psutil.Error:
            return 0
        self.memory = max(self.memory, held)
        return held

    def messages(self) -> Iterator[tuple[str, Any]]:
        """Yield what it has said, as far as it has arrived."""
        try:
            while self.pipe.poll():
                yield self.pipe.recv()
        except (EOFError, OSError):
            pass

    def how(self) -> str:
        """Say how it ended, and why that may be."""
        self.process.join(_PATIENCE)
        code = self.process.exitcode
        said = "does not answer" if code is None else how_it_ended(code)
        if self.memory and code == -getattr(signal, "SIGKILL", 9):
            said += f"; it held {self.memory / 1e9:.1f} GB"
        elif where := _last_place(self.trace):
            said += f", a crash in {where}"
        return said

    def close(self) -> None:
        """Give back what it has taken, when it has ended."""
        self.pipe.close()
        self.process.close()


class _Pool:
    """The processes of a run."""

    def __init__(
        self, folder: Path, work: Callable[[Any, Share], Any], jobs: Sequence[Any], plan: Levels, waiting: Waiting
    ) -> None:
        self._folder, self._work, self._jobs, self._plan, self._waiting = folder, work, jobs, plan, waiting
        self._all: list[_Process] = []
        self._started = self._failed = self._finished = 0
        self._since = time.monotonic()
        self._looked = 0.0
        whole = int(0.8 * psutil.virtual_memory().total)
        self._most = whole // plan.at_once if plan.share.memory is None else plan.share.memory

    @property
    def busy(self) -> bool:
        """Whether any job is under way."""
        return any(one.queue for one in self._all)

    def fill(self) -> None:
        """Give every process something to do, and start those that are missing."""
        self._give(1)
        while len(self._all) < self._plan.at_once and (index := self._waiting.take(busy=self.busy)) is not None:
            self._started += 1
            self._all.append(_Process(f"{self._started}", self._folder))
            self._send(self._all[-1], index)
        taken = (time.monotonic() - self._since) * self._plan.at_once
        if taken < _SHORT * self._finished and self._waiting.left > 2 * self._plan.at_once:
            self._give(2)

    def _give(self, depth: int) -> None:
        for one in self._all:
            if one.retired or len(one.queue) >= depth:
                continue
            index = self._waiting.take(busy=self.busy)
            if index is None:
                return
            self._send(one, index)

    def _send(self, one: _Process, index: int) -> None:
        one.queue.append(index)
        one.send((self._work, self._jobs[index], self._plan.share))

    def collect(self) -> list[tuple[int, Any]]:
        """Wait until a process has something to say or has ended; return the results, or none after a second."""
        of: dict[Any, _Process] = {what: one for one in self._all for what in (one.pipe, one.process.sentinel)}
        heard = wait(list(of), _LOOK)
        found: list[tuple[int, Any]] = []
        for one in dict.fromkeys(of[what] for what in heard):
            ended = one.process.sentinel in heard
            for kind, said in one.messages():
                found += self._hear(one, kind, said)
            if ended:
                found += self._bury(one)
        if time.monotonic() > self._looked + _LOOK:
            self._looked = time.monotonic()
            for one in self._all:
                one.look()
        return found

    def _hear(self, one: _Process, kind: str, said: Any) -> list[tuple[int, Any]]:
        if kind == LOG:
            logger = logging.getLogger(said.name)
            if logger.isEnabledFor(said.levelno):
                logger.handle(said)
        elif kind == READY:
            one.ready, self._failed = True, 0
        elif kind == RAISED:
            raise said
        elif kind == DONE:
            index = one.queue.popleft()
            self._waiting.done(index)
            self._finished += 1
            one.done += 1
            if one.done >= _AGED and one.look() > self._most and not one.retired:
                log.debug("a worker holds %.1f GB after %d jobs and is replaced", one.memory / 1e9, one.done)
                one.retired = True
                one.send(None)
            return [(index, said)]
        return []

    def _bury(self, one: _Process) -> list[tuple[int, Any]]:
        """See what becomes of the jobs of a process that has ended."""
        how = one.how()
        self._all.remove(one)
        one.close()
        if not one.ready:
            self._failed += 1
            if self._failed >= _STARTS:
                raise EnvironmentFault(
                    f"worker processes end before they begin: the last {how}",
                    advice="in a script of your own, start the run below `if __name__ == '__main__':`",
                )
        else:
            self._failed = 0
        charged = one.queue.popleft() if one.ready and one.queue else None
        for index in reversed(one.queue):
            self._waiting.give_back(index)
        if charged is None:
            return []
        lost = self._waiting.died(charged, how)
        fate = "is given up" if lost else "is tried again"
        log.warning("a worker %s; what it did, job %d of %d, %s", how, charged + 1, len(self._jobs), fate)
        return [(charged, lost)] if lost else []

    def close(self) -> None:
        """End all processes: those without a job leave by themselves, the others have a moment to sweep up."""
        for one in self._all:
            if not one.queue:
                one.send(None)
            one.pipe.close()  # whoever is still talking is not waited for
        deadline = time.monotonic() + _PATIENCE
        while self._all and time.monotonic() < deadline:
            for one in self._all:
                if one.queue:
                    # Again and again: right after Ctrl-C, a thread may take the signal that does not pass it on.
                    one.process.terminate()
            wait([one.process.sentinel for one in self._all], 0.2)
            self._all = [one for one in self._all if one.process.is_alive()]
        for one in self._all:
            _kill(one.process.pid)
            one.process.join(_PATIENCE)
        self._all.clear()


def _kill(pid: int | None) -> None:
    """Kill a process with the programs it has started."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                one.kill()


def _last_place(trace: Path) -> str | None:
    """Return where a process was when it crashed; None where it has not said."""
    try:
        said = trace.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    stack = said.partition("Current thread")[2].partition("\n\n")[0]
    places = re.findall(r'^  File "([^"]+)", line (\d+) in (\w+)', stack, re.MULTILINE)
    if not places:
        return None
    ours = [place for place in places if "sensetrack" in place[0] and not place[0].endswith("worker.py")]
    file, line, function = (ours or places)[0]
    return f"{function} of {Path(file).name}, line {line}"


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Hold Ctrl-C back: a process that is being started inherits that, and is not torn while it imports."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which would lift it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
