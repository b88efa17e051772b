"""What the jobs of the tests do, in a module that other processes can import."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sensetrack.workflow.limits import Share

log = logging.getLogger("sensetrack.test")


class Job(NamedTuple):
    """One job."""

    number: int
    kind: str = "square"
    folder: str = ""
    seconds: float = 0.0


def do(job: Job, share: Share) -> dict[str, Any]:
    """Do a job as its kind says, and leave a mark of it in its folder."""
    if job.folder:
        with (Path(job.folder) / f"{job.number}.begun").open("a") as file:
            file.write(f"{os.getpid()}\n")
    time.sleep(job.seconds)
    return _KINDS[job.kind](job, share)


def begun(folder: Path, number: int) -> list[int]:
    """Return the processes that have begun a job."""
    path = folder / f"{number}.begun"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def _square(job: Job, share: Share) -> dict[str, Any]:
    return {
        "number": job.number,
        "square": job.number**2,
        "pid": os.getpid(),
        "workers": share.workers,
        "memory": share.memory,
    }


def _once(job: Job, share: Share) -> dict[str, Any]:
    """Kill the first worker that does it."""
    if len(begun(Path(job.folder), job.number)) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return _square(job, share)


def _kill(job: Job, share: Share) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _leave(job: Job, share: Share) -> None:
    os._exit(23)


def _crash(job: Job, share: Share) -> None:
    ctypes.string_at(8)


def _hog(job: Job, share: Share) -> None:
    """Take more memory than a worker may, for long enough to be noticed."""
    kept = []
    for _ in range(60):
        kept.append(b"1" * 20_000_000)
        time.sleep(0.02)
    time.sleep(20)


def _bug(job: Job, share: Share) -> None:
    message = f"job {job.number} has a bug"
    raise ZeroDivisionError(message)


def _unsendable(job: Job, share: Share) -> Any:
    return lambda: job


def _say(job: Job, share: Share) -> dict[str, Any]:
    log.warning("job %d speaks", job.number)
    return _square(job, share)


def _threads(job: Job, share: Share) -> dict[str, Any]:
    import cv2
    from threadpoolctl import threadpool_info

    return {"cv2": cv2.getNumThreads(), "blas": max((one["num_threads"] for one in threadpool_info()), default=1)}


_KINDS = {
    "square": _square, "once": _once, "kill": _kill, "leave": _leave, "crash": _crash, "hog": _hog, "bug": _bug,
    "say": _say, "unsendable": _unsendable, "threads": _threads,
}  # fmt: skip
