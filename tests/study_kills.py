"""Runs of a study that are killed or interrupted, in processes of their own."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from study_scenes import begun, rasters


@dataclass(frozen=True)
class Killed:
    """What became of a study that was killed again and again, and then let finish."""

    kills: int
    """Runs that were killed before they ended by themselves."""
    same: bool
    """Whether all rasters are those of a clean run."""
    rasters: int
    left: list[str]
    """Temporary files that are still there."""
    begun: int
    """Pairs that were begun, all runs together."""
    codes: list[int]
    """Exit codes of the runs."""


def start(study: Path, *more: str) -> subprocess.Popen:
    """Begin a run in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "sensetrack", "run", str(study), "--quiet", *more],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=os.name != "nt",
    )  # fmt: skip


def kill_and_resume(study: Path, clean: dict[str, bytes], *, kills: int, longest: float, seed: int, more=()) -> Killed:
    """Kill runs at random moments after the first pair is begun, then let one finish.

    Parameters
    ----------
    study : Path
    clean : dict
        Rasters of a run that nobody disturbed.
    kills : int
    longest : float
        Seconds for which a run may work, at most.
    seed : int
    more : sequence of str
        Options of the runs.
    """
    chance, codes, results = random.Random(seed), [], study.parent / "results"
    for _ in range(kills):
        before = sum(begun(results).values()) if (results / "logs").is_dir() else 0
        process = start(study, *more)
        until = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until and _begun(results) <= before:
            time.sleep(0.01)
        try:
            process.wait(chance.uniform(0, longest))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        codes.append(process.returncode)
    process = start(study, *more)
    process.communicate(timeout=600)
    codes.append(process.returncode)
    found = rasters(results)
    left = [str(path.relative_to(results)) for path in results.rglob("*.part")]
    pairs = {name: times for name, times in begun(results).items() if name != "stack"}
    killed = sum(code not in (0, 4) for code in codes[:-1])
    return Killed(killed, found == clean, len(found), left, sum(pairs.values()), codes)


def _begun(results: Path) -> int:
    return sum(begun(results).values()) if (results / "logs").is_dir() else 0


def interrupt(study: Path, number: int = signal.SIGINT, *, after: float, more=()) -> tuple[int, float, list[int], str]:
    """Interrupt a run some seconds after its first pair is begun.

    Returns
    -------
    code, seconds, orphans, said
        Exit code, how long it took to leave, processes it left behind, and what it said.
    """
    process = start(study, *more)
    results = study.parent / "results"
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until and not _begun(results):
        time.sleep(0.01)
    time.sleep(after)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    began = time.monotonic()
    _, said = process.communicate(timeout=60)
    seconds = time.monotonic() - began
    time.sleep(0.3)
    orphans = [one.pid for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    return process.returncode, seconds, orphans, said.decode()
