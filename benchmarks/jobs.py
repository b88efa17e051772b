"""Measure whole pairs by threads, processes and Dask, and write docs/benchmarks-jobs.md.

How well more workers pay, and what handing out jobs costs. The pairs are those of Perito Moreno where
SENSETRACK_TEST_DATA has them, else of a drawn scene of that size. A machine on which nothing else runs is needed: two
workers on two cores have nothing to give away. Prints pass or FAIL for each limit; exit code 1 where one is missed.

    python benchmarks/jobs.py [--pairs 40] [--workers 1 2 3 4] [--executors threads processes dask] [--rounds 2]
                              [--no-quicklook] [--output FILE]
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import sys
import tempfile
import time
from contextlib import closing
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from machine import load, processor
from scenes import new_seed, write_pair
from verdict import Verdict, at_least, at_most, failed, table

from sensetrack.workflow.config import TrackConfig
from sensetrack.workflow.executors import default_workers
from sensetrack.workflow.jobs import Lost, Scheduling, levels, run_jobs
from sensetrack.workflow.limits import Share

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks-jobs.md"
EFFICIENCY = 0.85
"""Time of one worker / (cores that the workers have x their time), at least, of as many workers as cores."""
OVERHEAD = 5.0
"""Percent of the time of a pair that handing it out may take."""
EMPTY = 3000
"""Jobs that do nothing, from which the time of handing out is found."""
SETTINGS = {drawn: TrackConfig(quicklook=drawn) for drawn in (True, False)}
Case = tuple[str, int]
"""Executor and number of workers."""
SIZE = 1460
"""Side of a drawn scene, px: as many pixels as Perito Moreno has."""


class Pair(NamedTuple):
    """One job."""

    reference: str
    secondary: str
    folder: str
    quicklook: bool


class Did(NamedTuple):
    """What a job took."""

    begun: float
    """Time of day, s."""
    ended: float
    cpu: float
    """Seconds, all threads of the process."""


class Run(NamedTuple):
    """What a run of all pairs took."""

    wall: float
    """Seconds, with the start and the end of the workers."""
    start: float
    """Seconds until the first pair was begun."""
    job: float
    """Mean seconds of a pair."""
    cpu: float
    """Mean CPU seconds of a pair."""
    idle: float
    """Share of the time of the workers, from the first beginning to the last end, in which they had no pair."""


def track_pair(pair: Pair, share: Share) -> Did:
    """Track a pair with the settings that users have."""
    from sensetrack import run_track

    logging.getLogger("sensetrack").setLevel(logging.ERROR)
    begun, cpu = time.time(), time.process_time()
    run_track(pair.reference, pair.secondary, pair.folder, SETTINGS[pair.quicklook], workers=share.workers)
    return Did(begun, time.time(), time.process_time() - cpu)


def nothing(_job: int, _share: Share) -> None:
    """Do nothing."""


def _real() -> list[tuple[str, str]]:
    folder = Path(os.environ.get("SENSETRACK_TEST_DATA", "")) / "perito_moreno_s2"
    return [(str(a), str(b)) for a, b in combinations(sorted(folder.glob("2020*.jpg")), 2)]


def pairs(number: int, out: Path, images: Path, *, quicklook: bool) -> list[Pair]:
    """Return so many pairs; a short list is gone through again."""
    found = _real() or [tuple(map(str, write_pair("texture", SIZE, new_seed(), images)))]
    return [Pair(*found[i % len(found)], str(out / f"{i}"), quicklook) for i in range(number)]


def run(number: int, scheduling: Scheduling, images: Path, *, quicklook: bool = True) -> Run:
    """Track all pairs once."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = pairs(number, Path(folder), images, quicklook=quicklook)
        start, clock, cpu = time.time(), time.perf_counter(), time.process_time()
        with closing(run_jobs(track_pair, jobs, scheduling)) as found:
            done = [one for _, one in found if not isinstance(one, Lost)]
        wall, cpu = time.perf_counter() - clock, time.process_time() - cpu
    if len(done) != number:
        raise SystemExit(f"{number - len(done)} pairs were lost")
    begun, ended = min(one.begun for one in done), max(one.ended for one in done)
    busy = sum(one.ended - one.begun for one in done)
    if scheduling.executor != "threads":  # which all share one process
        cpu = sum(one.cpu for one in done)
    beside = levels(number, scheduling).at_once
    return Run(wall, begun - start, busy / number, cpu / number, 1 - busy / (beside * (ended - begun)))


def handing_out(scheduling: Scheduling) -> float:
    """Return the seconds that a job takes which does nothing."""
    times = []
    with closing(run_jobs(nothing, range(EMPTY), scheduling)) as found:
        for _ in found:
            times.append(time.perf_counter())
    first = EMPTY // 10  # workers start meanwhile
    return (times[-1] - times[first]) / (EMPTY - 1 - first)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--executors", nargs="+", default=["threads", "processes", "dask"])
    parser.add_argument("--rounds", type=int, default=2, help="the quickest of so many runs counts")
    parser.add_argument("--no-quicklook", dest="quicklook", action="store_false", help="draw no pictures")
    parser.add_argument("--output", type=Path, default=PAGE)
    given = parser.parse_args(arguments)
    cases = [(executor, workers) for executor in given.executors for workers in given.workers]
    plans = {case: Scheduling(executor=case[0], workers=case[1], at_once=case[1]) for case in cases}
    runs: dict[Case, list[Run]] = {case: [] for case in cases}
    with tempfile.TemporaryDirectory() as images:
        for _ in range(given.rounds):
            for case, scheduling in plans.items():
                runs[case].append(run(given.pairs, scheduling, Path(images), quicklook=given.quicklook))
                print(*case, f"{runs[case][-1].wall:.1f} s", file=sys.stderr, flush=True)
    found = {case: min(of) for case, of in runs.items()}
    cost = {case: handing_out(scheduling) for case, scheduling in plans.items()}
    verdicts = judged(found, cost)
    text = page(given, found, cost, verdicts)
    given.output.write_text(text, encoding="utf-8")
    print(text)
    return 1 if failed(verdicts) else 0


def efficiency(found: dict[Case, Run], case: Case) -> float:
    """Return the time of one worker over that of the cores that several have."""
    executor, workers = case
    alone = found.get((executor, 1))
    return alone.wall / (min(workers, default_workers()) * found[case].wall) if alone else float("nan")


def judged(found: dict[Case, Run], cost: dict[Case, float]) -> list[Verdict]:
    """Judge what two workers have reached."""
    verdicts = []
    for case, one in found.items():
        executor, workers = case
        if workers == 2 <= default_workers():
            overhead = 100 * cost[case] * workers / one.job
            verdicts += [
                at_least(f"{executor}: parallel efficiency of two workers", efficiency(found, case), EFFICIENCY,
                         "{:.2f}"),
                at_most(f"{executor}: handing out, % of the time of a pair", overhead, OVERHEAD, "{:.2f}"),
                at_most(f"{executor}: without a pair, % of the time of the workers", 100 * one.idle, OVERHEAD,
                        "{:.1f}"),
            ]  # fmt: skip
    return verdicts


def page(given: argparse.Namespace, found: dict[Case, Run], cost: dict[Case, float], verdicts: list[Verdict]) -> str:
    """Return the page."""
    rows = [
        (
            executor, f"{workers}", f"{one.wall:.1f}", f"{given.pairs / one.wall:.2f}", f"{one.start:.1f}",
            f"{one.job:.2f}", f"{one.cpu:.2f}", f"{100 * one.idle:.1f}",
            f"{efficiency(found, (executor, workers)):.2f}", f"{1e3 * cost[executor, workers]:.2f}",
        )
        for (executor, workers), one in found.items()
    ]  # fmt: skip
    head = (
        "executor", "workers", "wall s", "pairs/s", "start, s", "a pair, s", "CPU s a pair", "without a pair, %",
        "efficiency", "an empty job, ms",
    )  # fmt: skip
    scenes = "Perito Moreno" if _real() else "a drawn scene of the size of Perito Moreno"
    text = (
        f"Written by `benchmarks/jobs.py` on {processor()} ({load()} at the end), Python {platform.python_version()}: "
        f"{given.pairs} pairs of {scenes}, from the images to all results{', pictures' if given.quicklook else ''} "
        f"included; the quickest of {given.rounds} runs, the executors in turn. Starting and ending the workers is in "
        "the wall time. Efficiency: time of one worker / (time of several x cores that they have, of which this "
        f"machine has {default_workers()})."
    )
    title = "# Whole pairs by threads, processes and Dask"
    lines = ["---", "orphan: true", "---", "", title, "", text, "", "% begin", "",
             *table(head, rows), "", "% end", "", "**Limits**", "", *(f"- {one}" for one in verdicts), ""]  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
