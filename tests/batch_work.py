"""Pairs of a study that cost their workers, in a module that other processes can import."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from sensetrack.workflow.study_jobs import do_job

if TYPE_CHECKING:
    from sensetrack.workflow.limits import Share
    from sensetrack.workflow.study_jobs import Job
    from sensetrack.workflow.study_tasks import Outcome

ONCE, ALWAYS = "20240111-20240121", "20240105-20240111"
"""Pairs that kill their first worker while it writes the log of it, and every one before it begins."""


def do_or_die(job: Job, share: Share) -> Outcome:
    """Do a job of a study, if it lets us."""
    tried = Path(job.folder).with_name(f"{job.task.name}.tried")
    with tried.open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    if job.task.name == ALWAYS:
        _die()
    if job.task.name == ONCE and len(tried.read_text(encoding="utf-8").split()) == 1:
        threading.Thread(target=_die_midway, args=(Path(job.folder) / "logs" / f"{ONCE}.log",), daemon=True).start()
    return do_job(job, share)


def _die_midway(log: Path) -> None:
    while not log.exists() or not log.stat().st_size:
        pass
    _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
