"""Run a study of ten thousand small pairs, some of them bad: docs/benchmarks-batch.md, docs/benchmarks-soak.md.

Whether all failures are named and nothing else, memory and open files meanwhile, pairs a second, a run that is killed
and goes on. With --soak, batches again and again while a worker is killed every minute. Prints pass or FAIL for each
limit; exit code 1 where one is missed.

    python benchmarks/batch.py [--pairs 10000] [--executors processes threads] [--workers 2] [--seed N] [--output FILE]
    python benchmarks/batch.py --soak 60 [--pairs 10000] [--every 60] [--output FILE]
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import psutil
from batch_scenes import Batch, write_batch
from machine import cpu_seconds, load, processor
from verdict import Verdict, at_least, at_most, failed, table

DOCS = Path(__file__).resolve().parent.parent / "docs"
RATE = 50.0
"""Pairs a second on two cores, at least."""
SLOPE = 1.0
"""MB that the process of a run may grow by with each thousand pairs."""
KILLED_AT = 0.3
"""Share of the pairs at which a run is killed."""
SETTLED = 0.2
"""Share of the pairs after which growth counts: until then libraries are loaded."""
STUCK = 120.0
"""Seconds without a further pair after which a run is called stuck."""
_EVERY = 1.0
"""Seconds between looks at a run."""


class Look(NamedTuple):
    """What was seen of a run."""

    pairs: int
    """Begun so far."""
    memory: float
    """Of its own process, MB."""
    files: int
    """Open in its own process."""
    workers: float
    """Memory of its workers, MB."""


@dataclass
class Watched:
    """A run in a process of its own, looked at until it ends."""

    command: list[str]
    logs: Path
    looks: list[Look] = field(default_factory=list)
    killed: int = 0
    """Workers that were killed."""
    stuck: bool = False
    code: int | None = None
    seconds: float = 0.0
    cpu: float = 0.0
    """Seconds, of the run and all its workers."""

    def run(self, *, stop_at: int | None = None, kill_every: float | None = None, seed: int = 0) -> Self:
        """Run it; kill it after so many pairs, or a random worker of it every so many seconds."""
        began, used, chance = time.perf_counter(), cpu_seconds(), random.Random(seed)
        process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ended = threading.Event()
        threading.Thread(target=lambda: (process.wait(), ended.set()), daemon=True).start()
        moved = time.perf_counter()
        next_kill = began + (kill_every or 1e9)
        watched = psutil.Process(process.pid)
        while not ended.wait(0.05 if stop_at else _EVERY):
            before = self.looks[-1].pairs if self.looks else -1
            with suppress(psutil.Error):
                self.looks.append(self._look(watched))
            if self.looks and self.looks[-1].pairs > before:
                moved = time.perf_counter()
            if stop_at is not None and self.looks and self.looks[-1].pairs >= stop_at:
                process.kill()
            elif time.perf_counter() - moved > STUCK:
                self.stuck = True
                process.kill()
            elif time.perf_counter() > next_kill:
                next_kill += kill_every or 1e9
                self.killed += _kill_one(watched, chance)
        self.code, self.seconds = process.returncode, time.perf_counter() - began
        self.cpu = cpu_seconds() - used
        return self

    def _look(self, process: psutil.Process) -> Look:
        pairs = sum(1 for _ in self.logs.iterdir()) if self.logs.is_dir() else 0
        held = sum(_held(one) for one in process.children(recursive=True))
        return Look(pairs, _held(process), process.num_fds(), held)

    @property
    def slope(self) -> float:
        """MB that the process grew by with a thousand pairs; NaN where it was too short to tell."""
        last = self.looks[-1].pairs if self.looks else 0
        late = [(look.pairs / 1000, look.memory) for look in self.looks if look.pairs > SETTLED * last]
        return float(np.polyfit(*np.transpose(late), 1)[0]) if len({x for x, _ in late}) > 5 else float("nan")

    @property
    def files(self) -> tuple[int, int]:
        """Files open in its process: the most, early (in the first half of the pairs) and late."""
        last = self.looks[-1].pairs
        late = [look.files for look in self.looks if look.pairs > last / 2]
        early = [look.files for look in self.looks if look.pairs <= last / 2]
        return max(early, default=0), max(late, default=0)


def _held(process: psutil.Process) -> float:
    try:
        return process.memory_info().rss / 1e6
    except psutil.Error:
        return 0.0


def _workers_of(process: psutil.Process) -> list[psutil.Process]:
    found = []
    for one in process.children():
        with suppress(psutil.Error):
            if "spawn_main" in " ".join(one.cmdline()):
                found.append(one)
    return found


def _kill_one(process: psutil.Process, chance: random.Random) -> int:
    with suppress(psutil.Error, IndexError):
        chance.choice(_workers_of(process)).kill()
        return 1
    return 0


def command(batch: Batch, results: Path, *more: str) -> list[str]:
    """Return the command line of a run."""
    return [sys.executable, "-m", "sensetrack", "run", str(batch.study), "--quiet", "-o", str(results), *more]


def begun(results: Path) -> int:
    """How often pairs were begun, all runs together."""
    return sum(path.read_bytes().count(b" begun: ") for path in (results / "logs").iterdir())


def rasters(results: Path) -> dict[str, str]:
    """Checksum of each raster."""
    found = sorted((results / "pairs").rglob("*.tif"))
    return {str(path.relative_to(results)): hashlib.sha1(path.read_bytes()).hexdigest() for path in found}


def left(results: Path) -> list[Path]:
    """Return temporary files and folders."""
    work = results / ".study" / "work"
    return [*results.rglob("*.part"), *(work.iterdir() if work.is_dir() else ())]


@dataclass
class Measured:
    """What has been measured."""

    given: argparse.Namespace
    folder: Path
    batch: Batch
    verdicts: list[Verdict] = field(default_factory=list)

    def judge_report(self, what: str, results: Path) -> None:
        """Compare a report with what was made."""
        faults = self.batch.faults(results)
        for text in faults[:5]:
            print(f"{what}: {text}", file=sys.stderr)
        self.verdicts.append(Verdict(f"{what}: every failure is named, and nothing else", not faults, ""))

    def options(self, executor: str) -> tuple[str, ...]:
        """Return those of a run."""
        return ("--executor", executor, "--workers", f"{self.given.workers}")


def timed(line: list[str]) -> tuple[float, int]:
    """Return seconds and exit code of a command."""
    began = time.perf_counter()
    code = subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode
    return time.perf_counter() - began, code


def cleanly(run: Measured, executor: str) -> tuple[str, ...]:
    """Run everything once, nobody disturbs it; then again with nothing to do."""
    results = run.folder / executor
    found = Watched(command(run.batch, results, *run.options(executor)), results / "logs").run()
    again, code = timed(command(run.batch, results, *run.options(executor)))
    number, rate = len(run.batch.pairs), len(run.batch.pairs) / found.seconds
    early, late = found.files
    run.judge_report(executor, results)
    run.verdicts += [
        Verdict(f"{executor}: exit codes 4, of the run and of one that has nothing to do", found.code == code == 4, ""),
        at_most(f"{executor}: growth of the process, MB for 1000 pairs", found.slope, SLOPE, "{:.2f}"),
        at_most(f"{executor}: open files, late (no more than early)", late, early, "{:.0f}"),
        at_most(f"{executor}: pairs begun more than once", begun(results) - number, 0, "{:.0f}"),
        at_most(f"{executor}: temporary files left", len(left(results)), 0, "{:.0f}"),
    ]
    if executor == "processes":
        run.verdicts.append(at_least(f"{executor}, {run.given.workers} workers: pairs a second", rate, RATE, "{:.1f}"))
    return (
        executor, f"{found.seconds:.0f}", f"{rate:.1f}", f"{1000 * found.cpu / number:.1f}", f"{again:.1f}",
        f"{max(look.memory for look in found.looks):.0f}", f"{found.slope:.2f}", f"{late}",
        f"{max(look.workers for look in found.looks):.0f}",
    )  # fmt: skip


def killed(run: Measured, executor: str) -> str:
    """Kill a run, and let it go on."""
    number, results = len(run.batch.pairs), run.folder / "killed"
    line = command(run.batch, results, *run.options(executor))
    first = Watched(line, results / "logs").run(stop_at=int(KILLED_AT * number))
    done = sum(1 for _ in (results / "pairs").iterdir())
    seconds, code = timed(line)
    extra, same = begun(results) - number, rasters(results) == rasters(run.folder / executor)
    run.judge_report("killed", results)
    run.verdicts += [
        Verdict("killed: it was, and the next run ended with exit code 4", first.code == -9 and code == 4, ""),
        Verdict("killed: all rasters are those of a run that was not", same, ""),
        at_most("killed: pairs begun more than once (workers)", extra, run.given.workers, "{:.0f}"),
        at_most("killed: temporary files left", len(left(results)), 0, "{:.0f}"),
    ]
    return (
        f"A run by {executor} was killed with kill -9 after {first.seconds:.0f} s, when {done} pairs were done. "
        f"The next did the rest in {seconds:.0f} s; {extra} pairs were begun twice."
    )


def planned(run: Measured) -> float:
    """Return the seconds of a list of what would be done, with nothing known of the scenes."""
    return timed(command(run.batch, run.folder / "nowhere", "--dry-run", "--json"))[0]


def soaked(run: Measured) -> list[str]:
    """Run batches until the time is over, and kill a random worker every so often."""
    until, rows, kills = time.monotonic() + 60 * run.given.soak, [], 0
    while time.monotonic() < until:
        results, number = run.folder / "soak", len(run.batch.pairs)
        line = command(run.batch, results, *run.options("processes"))
        found = Watched(line, results / "logs").run(kill_every=run.given.every, seed=run.given.seed + len(rows))
        faults, name = run.batch.faults(results) if not found.stuck else ["stuck"], f"batch {len(rows) + 1}"
        more = begun(results) - number
        _, late = found.files
        kills += found.killed
        rows.append((
            f"{len(rows) + 1}", f"{found.seconds:.0f}", f"{found.killed}", f"{more}", f"{len(faults)}",
            f"{found.slope:.2f}", f"{max(look.memory for look in found.looks):.0f}",
            f"{max(look.workers for look in found.looks):.0f}", f"{late}", f"{len(left(results))}",
        ))  # fmt: skip
        print(" | ".join(rows[-1]), flush=True)
        for text in faults[:5]:
            print(f"{name}: {text}", file=sys.stderr)
        run.verdicts += [
            Verdict(f"{name}: is not stuck, exit code 4", not found.stuck and found.code == 4, ""),
            Verdict(f"{name}: nothing is missing, every failure is named", not faults, ""),
            at_most(f"{name}: growth, MB for 1000 pairs", found.slope, SLOPE, "{:.2f}"),
            at_most(f"{name}: pairs begun more than once (workers killed)", more, found.killed, "{:.0f}"),
            at_most(f"{name}: temporary files left", len(left(results)), 0, "{:.0f}"),
        ]
        shutil.rmtree(results)
        if found.stuck:
            break
    # Of whole runs: what one leaves behind in the system would show in the next.
    run.verdicts.append(
        at_least("workers killed", kills, max(1, int(60 * run.given.soak / run.given.every) // 2), "{:g}")
    )
    head = (
        "batch", "wall s", "workers killed", "pairs begun again", "faults of the report", "growth, MB/1000 pairs",
        "process, MB", "workers, MB", "open files", "temporary files",
    )  # fmt: skip
    return table(head, rows)


def page(run: Measured, parts: list[str]) -> str:
    """Return the page."""
    given, counts = run.given, run.batch.counts()
    made = (
        f"Written by `benchmarks/batch.py` (seed {given.seed}) on {processor()} ({load()} at the end), "
        f"Python {platform.python_version()}."
    )
    of = (
        f"The study: {len(run.batch.scenes):,} scenes of 128 x 128 px, one a day, each paired with the next; "
        f"{len(run.batch.pairs):,} pairs, no time series. {counts['truncated']} scenes are truncated; {counts['nan']} "
        f"pairs have a scene without any measured pixel, {counts['crs']} one in another CRS, which all fail; "
        f"{counts['constant']} have one without texture, whose posts are all flagged. The ground moves by known steps, "
        "and the median offset of every other pair has to say so."
    )
    title = "# A batch of ten thousand pairs"
    if given.soak is not None:
        title = f"# Batches whose workers are killed, for {given.soak:g} minutes"
    lines = ["---", "orphan: true", "---", "", title, "", made, "", of, "", *parts, "", "**Limits**", "",
             *(f"- {verdict}" for verdict in run.verdicts), ""]  # fmt: skip
    return "\n".join(lines)


def main() -> int:
    """Run everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--executors", nargs="+", default=["processes"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--soak", type=float, help="minutes")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between workers that are killed")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--output", type=Path, help="default: docs/benchmarks-batch.md, or -soak.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sensetrack-batch-") as name:
        run = Measured(given, Path(name), write_batch(Path(name) / "study", given.pairs, given.seed))
        if given.soak is not None:
            parts = soaked(run)
        else:
            plan = planned(run)
            rows = [cleanly(run, executor) for executor in given.executors]
            head = (
                "executor", "wall s", "pairs/s", "CPU ms a pair", "again, nothing to do, s", "process, MB",
                "growth, MB/1000 pairs", "open files", "workers, MB",
            )  # fmt: skip
            parts = [*table(head, rows), "", f"`--dry-run` with nothing known: {plan:.1f} s.", "",
                     killed(run, given.executors[0])]  # fmt: skip
        text = page(run, parts)
    output = given.output or DOCS / f"benchmarks-{'batch' if given.soak is None else 'soak'}.md"
    output.write_text(text, encoding="utf-8")
    print(text)
    return 1 if failed(run.verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
