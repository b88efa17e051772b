"""Kill and interrupt studies of sixty pairs again and again: docs/benchmarks-faults.md.

Prints pass or FAIL for each limit; exit code 1 where one is missed.

    python benchmarks/faults.py [--kills 10] [--longest 0.4] [--seed N] [--output FILE]
"""

from __future__ import annotations

import argparse
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from machine import load, processor
from verdict import Verdict, at_least, at_most, failed, table

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))  # the scenes are those of the tests

from sensetrack.cli import run as sensetrack  # noqa: E402
from study_kills import begun, interrupt, kill_and_resume, rasters, start  # noqa: E402
from study_scenes import write_study  # noqa: E402

PAGE = HERE.parent / "docs" / "benchmarks-faults.md"
DAYS = tuple(range(1, 31, 2))
PAIRS = {"kind": "redundant", "neighbours": 5, "search_days": None}
"""Fifteen dates, each with the next five: sixty pairs."""
COUNT = 60
TRACK = {"parameters": {"chip": 24, "step": 12, "search": 6}, "gross": "none"}
EXECUTORS = {"threads": (), "processes": ("--executor", "processes", "--workers", "2")}
NOTHING = 3.0
"""Seconds within which a run with nothing to do has to end."""
LEAVES = 5.0
"""Seconds within which an interrupted run is gone."""
STEP = 0.1
"""Seconds between the moments at which one run is killed."""


@dataclass
class Run:
    """What has been measured."""

    given: argparse.Namespace
    folder: Path
    verdicts: list[Verdict] = field(default_factory=list)

    def study(self, name: str) -> Path:
        """Write a study of its own."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return write_study(self.folder / name, DAYS, pairs=PAIRS, track=TRACK)


def killed(run: Run, clean: dict[str, bytes]) -> list[str]:
    """Kill each executor again and again, then let it finish."""
    rows = []
    for name, more in EXECUTORS.items():
        began = time.perf_counter()
        found = kill_and_resume(
            run.study(name), clean, kills=run.given.kills, longest=run.given.longest, seed=run.given.seed, more=more
        )
        extra, at_once = found.begun - COUNT, 2 if more else 1
        rows.append((name, f"{found.kills} of {run.given.kills}", f"{extra}", "yes" if found.same else "no",
                     f"{len(found.left)}", f"{time.perf_counter() - began:.0f}"))  # fmt: skip
        run.verdicts += [
            Verdict(
                f"{name}: {found.rasters} rasters of 60 pairs and the series are those of a clean run", found.same, ""
            ),
            at_least(f"{name}: runs that were killed before they ended", found.kills, run.given.kills, "{:.0f}"),
            at_most(f"{name}: temporary files left", len(found.left), 0, "{:.0f}"),
            at_most(
                f"{name}: pairs begun beyond those of a clean run, {at_once} at a time",
                extra,
                at_once * run.given.kills,
                "{:.0f}",
            ),
        ]
    head = ("executor", "runs killed", "pairs begun more than once", "same rasters", "temporary files", "wall s")
    return table(head, rows)


def interrupted(run: Run) -> list[str]:
    """Interrupt each executor at some moments."""
    chance, rows = random.Random(run.given.seed), []
    for name, more in EXECUTORS.items():
        for number in (signal.SIGINT, signal.SIGTERM):
            found = []
            for _ in range(3):
                study = run.study("interrupted")
                found.append(interrupt(study, number, after=chance.uniform(0, 2), more=more))
                left = list((study.parent / "results").rglob("*.part"))
                run.verdicts.append(Verdict(f"{name}, {number.name}: no temporary file", not left, ""))
            codes = {code for code, *_ in found}
            longest, orphans = max(seconds for _, seconds, *_ in found), sum(len(pids) for _, _, pids, _ in found)
            rows.append((name, number.name, f"{codes}", f"{longest:.2f}", f"{orphans}"))
            run.verdicts += [
                Verdict(f"{name}, {number.name}: exit code {128 + number}", codes == {128 + number}, ""),
                at_most(f"{name}, {number.name}: seconds until it is gone", longest, LEAVES, "{:.2f}"),
                at_most(f"{name}, {number.name}: processes left", orphans, 0, "{:.0f}"),
            ]
    return table(("executor", "signal", "exit codes of 3 runs", "longest until gone, s", "processes left"), rows)


def swept(run: Run) -> list[str]:
    """Kill the first pair of a study at every tenth of a second from its beginning to its end."""
    moments = broken = 0
    finished = False
    while not finished and moments < 100:
        study = run.study("sweep")
        results = study.parent / "results"
        process = start(study, "--set", 'scenes.exclude=["scene_2024010[5-9].tif", "scene_202401[123]*"]')
        while process.poll() is None and not (results / "logs").is_dir():
            time.sleep(0.005)
        try:
            process.wait(moments * STEP)
            finished = True
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        moments += 1
        for folder in (results / "pairs").glob("*"):
            whole = {"task.json", "run.json", "offsets.tif", "flags.tif", "quality.tif", "displacement.tif"}
            broken += not whole <= {path.name for path in folder.iterdir()}
    run.verdicts += [
        at_most("folders of pairs that were not whole", broken, 0, "{:.0f}"),
        Verdict("the sweep came to the end of the run", finished, ""),
    ]
    return [f"A study of one pair was killed at {moments} moments, {STEP} s apart: {broken} results were not whole."]


def untouched(run: Run, study: Path) -> list[str]:
    """Run a study that is done once more, as a user would: from the shell to its end."""
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        process = start(study)
        process.communicate()
        seconds.append(time.perf_counter() - began)
        run.verdicts.append(Verdict("a study that is done ends with 0", process.returncode == 0, ""))
    again = sum(begun(study.parent / "results").values())
    run.verdicts += [
        at_most("seconds of a run with nothing to do", max(seconds), NOTHING, "{:.2f}"),
        at_most("what a run with nothing to do has begun", again - COUNT - 1, 0, "{:.0f}"),
    ]
    return [
        f"A run of that study when it is done takes {min(seconds):.2f} to {max(seconds):.2f} s, and begins nothing."
    ]


def page(run: Run, parts: list[list[str]]) -> str:
    """Return the page."""
    given = run.given
    made = (
        f"Written by `make faults` (`benchmarks/faults.py`, seed {given.seed}) on {processor()} "
        f"({load()} at the end), Python {platform.python_version()}."
    )
    nothing, kills, signals, sweep = parts
    kills_said = (
        f"**kill -9** at random, {given.kills} times, within {given.longest:g} s after a run has begun its first pair; "
        f"then a run that nobody disturbs. The study: {len(DAYS)} dates, 60 pairs, time series."
    )
    lines = [
        "---", "orphan: true", "---", "",
        "# Studies that are killed", "",
        made, "",
        kills_said, "",
        *kills, "",
        "**Interrupted** at random by a signal.", "",
        *signals, "",
        *sweep, "",
        *nothing, "",
        "**Limits**", "", *(f"- {verdict}" for verdict in run.verdicts), "",
    ]  # fmt: skip
    return "\n".join(lines)


def main() -> int:
    """Run everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--longest", type=float, default=0.4, help="seconds that a run may work, at most")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--output", type=Path, default=PAGE)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        run = Run(given, Path(name))
        study = run.study("clean")
        if sensetrack(["run", str(study), "--quiet"]) != 0 or len(begun(study.parent / "results")) != COUNT + 1:
            raise SystemExit("the clean run failed")
        clean = rasters(study.parent / "results")
        text = page(run, [untouched(run, study), killed(run, clean), interrupted(run), swept(run)])
    given.output.write_text(text, encoding="utf-8")
    print(text)
    return 1 if failed(run.verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
