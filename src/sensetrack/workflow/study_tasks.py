"""Work of a study that is done once: what it was made from is kept beside it, and tells whether it still holds.

There is no register of everything that a crash could damage: each result is a folder that appears in one step, with
``task.json`` in it. Its key is a checksum of what decides the result: settings, version, and name, size and time of
change of every input.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
import traceback
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import sensetrack
from sensetrack.errors import EnvironmentFault, MemoryLimitError, OutputError, SenseTrackError
from sensetrack.files.atomic import sweep, whole_folder, write_whole
from sensetrack.notices import collected, say
from sensetrack.workflow.own_log import own_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

log = logging.getLogger(__name__)

TASK = "task.json"
_HIDDEN = ".study"


@dataclass(frozen=True, slots=True)
class Task:
    """One result: a folder, and the key of what it is made from."""

    name: str
    """Of its log and its line in the report."""
    target: str
    """Folder of the result, below that of the study."""
    key: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task."""

    name: str
    status: Literal["done", "failed"]
    begun: str = ""
    """ISO 8601, UTC."""
    seconds: float = 0.0
    error: str | None = None
    exit_code: int = 0
    """That the error would have ended a command of its own with."""
    numbers: dict[str, Any] = field(default_factory=dict)
    """For the report."""
    short: bool = False
    """Whether it failed because it may take too little memory."""
    removed: bool = False
    """Whether its files have been removed since, as `Ledger.forget` does."""


class Ledger:
    """The folder of a study: which tasks are done, and where their results, logs and failures are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hidden = folder / _HIDDEN
        self.scratch = self.hidden / "work"
        self.failures = self.hidden / "failed"
        self.logs = folder / "logs"

    def prepare(self) -> None:
        """Make the folders, and remove what killed runs have left.

        Raises
        ------
        OutputError
            They cannot be made.
        """
        try:
            for folder in (self.scratch, self.failures, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot be written to ({error.strerror})", path=self.folder) from error
        self.sweep()

    def sweep(self) -> None:
        """Remove what processes that are no more have left; workers of a killed run may outlive it by a moment."""
        for folder in (self.scratch, self.failures, self.hidden, self.folder):
            sweep(folder)

    def done(self, task: Task) -> Outcome | None:
        """Return how a task was done; None where it was not, from other inputs, or its files are not as they were."""
        target = self.folder / task.target
        found = _read(target / TASK)
        if found is None or found.get("key") != task.key:
            return None
        try:
            removed = bool(found.get("removed"))
            for name, size in () if removed else found["files"].items():
                if (target / name).stat().st_size != size:
                    return None
            return replace(Outcome(**found["outcome"]), removed=removed)
        except (OSError, KeyError, TypeError, AttributeError):
            return None

    def failed(self, task: Task) -> Outcome | None:
        """Return how a task failed for a reason that lies in its inputs and settings; None where it is worth a try."""
        found = _read(self.failures / f"{task.name}.json")
        if found is None or found.get("key") != task.key:
            return None
        try:
            outcome = Outcome(**found["outcome"])
        except (KeyError, TypeError):
            return None
        return outcome if outcome.exit_code in {2, 3} else None

    def files_of(self, target: Path) -> list[Path]:
        """Return the files of a result; what users have put beside them is none of ours."""
        found = _read(target / TASK)
        names = found.get("files") if found else None
        if not isinstance(names, dict):
            return []
        inside = [target / name for name in names if not Path(name).is_absolute() and ".." not in Path(name).parts]
        return [path for path in inside if path.is_file()]

    def forget(self, task: Task, kept: Iterable[str]) -> None:
        """Remove the files of a task but some; it goes on to count as done."""
        target = self.folder / task.target
        names = set(kept)
        gone = [path for path in self.files_of(target) if path.relative_to(target).as_posix() not in names]
        if gone:
            found = _read(target / TASK) or {}
            # First: a kill must not cost a pair.
            write_whole(target / TASK, json.dumps(found | {"removed": True}, indent=1))
            _remove(gone, target)

    def remove(self, target: Path) -> None:
        """Remove a result, and its folder where nothing else is in it."""
        files = self.files_of(target)
        if (target / TASK).is_file():
            _remove([target / TASK, *files], target)  # first what says that it is whole
            if not any(target.parent.iterdir()):
                target.parent.rmdir()


def _remove(files: Iterable[Path], folder: Path) -> None:
    for path in files:
        path.unlink(missing_ok=True)
    inner = [path for path in folder.rglob("*") if path.is_dir()] if folder.is_dir() else []
    for path in (*sorted(inner, reverse=True), folder):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


class Keys:
    """Makes the keys of tasks; every input is looked at once, however many tasks it is in."""

    def __init__(self) -> None:
        self._marks: dict[Path, list[Any]] = {}

    def of(self, values: Any, inputs: Iterable[Path | str]) -> str:
        """Return a text that differs where settings, version or inputs do.

        Parameters
        ----------
        values : plain values
            Settings.
        inputs : iterable of Path or str
            Files and products; a text is the key of the task that makes the input.
        """
        marks = [part if isinstance(part, str) else self._mark(part) for part in inputs]
        text = json.dumps([sensetrack.__version__, values, marks], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def _mark(self, path: Path) -> list[Any]:
        if path not in self._marks:
            self._marks[path] = _marks(path)
        return self._marks[path]


def _marks(path: Path) -> list[Any]:
    """Name, size and time of change of a file; of a product, of all its files."""
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    found = []
    for file in files:
        try:
            status = file.stat()
            found.append([str(file.relative_to(path.parent)), status.st_size, status.st_mtime_ns])
        except OSError:  # whoever opens it says so
            found.append([file.name, None, None])
    return found


def carry_out(task: Task, folder: str, work: Callable[[Path], dict[str, Any]], level: int = logging.INFO) -> Outcome:
    """Do a task, whatever happens: the result appears whole, or a failure is written down; both are returned.

    Parameters
    ----------
    task : Task
    folder : str
        Of the study.
    work : callable
        Called with an empty folder, fills it, returns numbers for the report.
    level : int
        Of what goes into the log of the task.

    Raises
    ------
    OutputError
        Results cannot be written any more: the disk is full or gone, and the next task would meet the same.
    """
    ledger = Ledger(Path(folder))
    began, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    target = ledger.folder / task.target
    with own_log(ledger.logs / f"{task.name}.log", level):
        log.info("begun: %s (key %s)", task.name, task.key)
        try:
            with whole_folder(target, ledger.scratch) as part, collected() as heard:
                numbers = work(part)
                say(heard, log)
                outcome = Outcome(task.name, "done", began, _since(clock), numbers=numbers)
                _write_task(part, task, outcome)
                _take_along(ledger, target, part)
            (ledger.failures / f"{task.name}.json").unlink(missing_ok=True)
        except OutputError as error:
            log.error("%s", error)  # noqa: TRY400  one line; the cause is the disk
            raise
        except Exception as error:
            short = isinstance(error, MemoryLimitError)
            outcome = Outcome(task.name, "failed", began, _since(clock), *_told(error), short=short)
            log.error("%s", outcome.error)  # noqa: TRY400
            log.debug("%s", traceback.format_exc())
            ledger.remove(target)  # of other inputs: it would be taken for this one's
            values = {"key": task.key, "outcome": asdict(outcome)}
            write_whole(ledger.failures / f"{task.name}.json", json.dumps(values, indent=1))
        log.info("%s after %.1f s", outcome.status, outcome.seconds)
    return outcome


def _since(clock: float) -> float:
    return round(time.perf_counter() - clock, 3)


def _told(error: Exception) -> tuple[str, int]:
    """Return an error in one line, and the exit code of its kind."""
    if isinstance(error, MemoryLimitError):  # of this run: it may do with fewer beside it, or on a larger machine
        return str(error), EnvironmentFault.exit_code
    if isinstance(error, SenseTrackError):
        return str(error), error.exit_code
    if isinstance(error, MemoryError):
        return "out of memory; use fewer --workers or an area of interest", 5
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}", 5
    log.info("this is a bug in sensetrack:\n%s", traceback.format_exc())
    return f"this is a bug in sensetrack ({type(error).__name__}: {error})", 1


def _write_task(part: Path, task: Task, outcome: Outcome) -> None:
    files = {
        path.relative_to(part).as_posix(): path.stat().st_size for path in sorted(part.rglob("*")) if path.is_file()
    }
    values = {"task": task.name, "key": task.key, "outcome": asdict(outcome), "files": files}
    (part / TASK).write_text(json.dumps(values, indent=1), encoding="utf-8")


def _take_along(ledger: Ledger, target: Path, part: Path) -> None:
    """Copy what users have put into the folder of an older result, such as a QGIS project, into the new one."""
    if not target.is_dir():
        return
    ours = {target / TASK, *ledger.files_of(target)}
    for path in target.rglob("*"):
        new = part / path.relative_to(target)
        if path.is_file() and path not in ours and not new.exists():
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, new)


def _read(path: Path) -> dict[str, Any] | None:
    """Return what a small JSON file holds; None where it is missing or damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None
