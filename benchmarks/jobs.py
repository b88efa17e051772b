"""Measure whole pairs by threads, processes and Dask: how well more workers pay, and what handing out jobs costs.

The pairs are those of Perito Moreno where SENSETRACK_TEST_DATA has them, else of a drawn scene of that size. A machine
on which nothing else runs is needed: two workers on two cores have nothing to give away. Prints pass or FAIL for each
limit; exit code 1 where one is missed.

    python benchmarks/jobs.py [--pairs 40] [--workers 1 2] [--executors threads processes dask] [--rounds 2]
                              [--no-quicklook]
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from contextlib import closing
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from scenes import new_seed, write_pair
from verdict import Verdict, at_least, at_most, failed, table

from sensetrack.workflow.config import TrackConfig
from sensetrack.workflow.jobs import Lost, Scheduling, levels, run_jobs
from sensetrack.workflow.limits import Share

EFFICIENCY = 0.85
"""Time of one worker / (number of workers x their time), at least."""
OVERHEAD = 5.0
"""Percent of the time of a pair that handing it out may take."""
EMPTY = 3000
"""Jobs that do nothing, from which the time of handing out is found."""
SETTINGS = {drawn: TrackConfig(quicklook=drawn) for drawn in (True, False)}
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


def pairs(number: int, out: Path, images: Path, *, quicklook: bool) -> list[Pair]:
    """Return so many pairs; a short list is gone through again."""
    folder = Path(os.environ.get("SENSETRACK_TEST_DATA", "")) / "perito_moreno_s2"
    found = [(str(a), str(b)) for a, b in combinations(sorted(folder.glob("2020*.jpg")), 2)]
    if not found:
        found = [tuple(map(str, write_pair("texture", SIZE, new_seed(), images)))]
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
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--executors", nargs="+", default=["threads", "processes", "dask"])
    parser.add_argument("--rounds", type=int, default=1, help="the quickest of so many runs counts")
    parser.add_argument("--no-quicklook", dest="quicklook", action="store_false", help="draw no pictures")
    given = parser.parse_args(arguments)
    rows, verdicts = [], []
    with tempfile.TemporaryDirectory() as images:
        for executor in given.executors:
            found, cost, judged = measured(executor, given, Path(images))
            verdicts += judged
            base = found[given.workers[0]].wall * given.workers[0]
            for workers, one in found.items():
                rows.append((
                    executor, f"{workers}", f"{one.wall:.1f}", f"{given.pairs / one.wall:.2f}", f"{one.start:.1f}",
                    f"{one.job:.2f}", f"{one.cpu:.2f}", f"{100 * one.idle:.1f}", f"{base / (workers * one.wall):.2f}",
                    f"{1e3 * cost[workers]:.2f}",
                ))  # fmt: skip
    head = (
        "executor", "workers", "s", "pairs/s", "start, s", "a pair, s", "CPU, s", "idle, %", "efficiency",
        "an empty job, ms",
    )  # fmt: skip
    print("\n".join(table(head, rows)))
    print(*verdicts, sep="\n")
    return 1 if failed(verdicts) else 0


def measured(
    executor: str, given: argparse.Namespace, images: Path
) -> tuple[dict[int, Run], dict[int, float], list[Verdict]]:
    """Run one executor with every number of workers."""
    found, cost = {}, {}
    for workers in given.workers:
        scheduling = Scheduling(executor=executor, workers=workers, at_once=workers)
        print(f"{executor}, {workers} workers", file=sys.stderr, flush=True)
        found[workers] = min(
            run(given.pairs, scheduling, images, quicklook=given.quicklook) for _ in range(given.rounds)
        )
        cost[workers] = handing_out(scheduling)
    first, last = given.workers[0], given.workers[-1]
    efficiency = found[first].wall * first / (found[last].wall * last)
    overhead = 100 * cost[last] * last / found[last].job
    return found, cost, [
        at_least(f"{executor}: parallel efficiency of {last} workers", efficiency, EFFICIENCY, "{:.2f}"),
        at_most(f"{executor}: handing out, % of the time of a pair", overhead, OVERHEAD, "{:.2f}"),
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
