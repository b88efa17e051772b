"""What co-registration and dense offsets of a burst cost, against ampcor and plain transforms, in one run."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import slc_plain
from machine import Cost, measure
from slc_accuracy import surface, tops_app
from slc_cases import Case

import slc_chain  # on the path of slc_cases
from sensetrack.sar.coregister import computed
from sensetrack.sar.offsets import SlcOffsets
from sensetrack.sar.offsets import measure as measure_offsets
from sensetrack.workflow.executors import default_workers, threads

SEED = SlcOffsets()
"""The windows of the first seed: 64 rows x 256 columns, search (10, 30), step (8, 44)."""
FORTRAN = 0.099
"""Seconds that the compiled ampcor takes for such a window, on one core (of another machine)."""
WORKERS = min(2, default_workers())
REGISTER = "register: orbits and heights, one thread"
SOME = 24, 40
"""Rows and columns of posts for what is slow."""


class Speed(NamedTuple):
    """A step of the work on one burst."""

    what: str
    lines: int
    samples: int
    cost: Cost
    workers: int

    @property
    def free(self) -> float:
        """Seconds on as many free cores as there are threads."""
        return self.cost.cpu / self.workers


class Rate(NamedTuple):
    """A way of measuring offsets at the windows of the seed."""

    what: str
    windows: int
    cost: Cost
    workers: int

    @property
    def each(self) -> float:
        """CPU milliseconds of a window."""
        return 1000 * self.cost.cpu / self.windows


def coregistration(case: Case, rounds: int) -> tuple[list[Speed], slc_chain.Images]:
    """Bring the first burst on one grid, on two threads: the least of all rounds counts."""
    pair, dem = slc_chain.bursts(case.pair.paths)[0], surface(case)
    warm(pair, dem)
    best: dict[str, Cost] = {}
    with threads(WORKERS) as mapper:
        for _ in range(rounds):
            registration, cost = _timed(lambda: pair.register(dem))
            _keep(best, REGISTER, cost)
            one, two = pair.deramped(), pair.coregistered(registration, flatten=True)
            reference, cost = _timed(lambda one=one: computed(one, mapper=mapper))
            _keep(best, "read and deramp the reference", cost)
            secondary, cost = _timed(lambda two=two: computed(two, mapper=mapper))
            _keep(best, "read, deramp and resample the secondary", cost)
    shape = pair.reference_grid.shape
    return [
        Speed(what, *shape, cost, 1 if what == REGISTER else WORKERS) for what, cost in best.items()
    ], slc_chain.Images(pair, registration, reference, secondary)


def warm(pair: Any, dem: Any) -> None:
    """Let everything be compiled."""
    image = pair.coregistered(pair.register(dem), flatten=True)
    part = slice(40, 280), slice(400, 1400)
    one, two = pair.deramped()[part], image[part]
    for options in ({}, {"coherent": False}, {"compat": "isce2"}):
        measure_offsets(one, two, SlcOffsets(**options), bands=pair.bands)


def _timed(function: Any) -> tuple[Any, Cost]:
    cost, result = measure(function, memory=True)
    return result, cost


def _keep(best: dict[str, Cost], what: str, cost: Cost) -> None:
    old = best.get(what, cost)
    best[what] = Cost(min(old.cpu, cost.cpu), min(old.wall, cost.wall), max(old.memory, cost.memory))


def dense(found: slc_chain.Images) -> list[Rate]:
    """Measure a whole burst at the windows of the seed, and a part of it in slower ways; one thread where not said."""
    out = []
    with threads(WORKERS) as mapper:
        one, cost = _timed(lambda: slc_chain.offsets(found, SEED, mapper=mapper))
        posts = one.match.field.flags.size
        out.append(Rate("sensetrack, whole burst", posts, cost, WORKERS))
    lines, samples = found.reference.shape
    start, some = (lines // 4, samples // 3), (min(SOME[0], lines // 40), min(SOME[1], samples // 100))
    for name, options in (
        ("sensetrack", {}),
        ("sensetrack, amplitude only", {"coherent": False}),
        ('sensetrack, `compat="isce2"`', {"compat": "isce2"}),
    ):
        seen = tops_app(found) if "compat" in options else found
        settings = SlcOffsets(**options)
        part, cost = _timed(partial(_part, seen, settings, start, some))
        out.append(Rate(f"{name}, a part", part.field.flags.size, cost, 1))
    number = 40
    _, cost = _timed(lambda: plain(found, start, number))
    out.append(Rate("scipy FFT, a window at a time", number, cost, 1))
    return out


def _part(found: slc_chain.Images, settings: SlcOffsets, start: tuple[int, int], some: tuple[int, int]) -> Any:
    bands = found.pair.bands
    with threads(1) as mapper:
        return measure_offsets(
            found.reference, found.secondary, settings, start=start, posts=some, bands=bands, mapper=mapper
        )


def plain(found: slc_chain.Images, start: tuple[int, int], number: int) -> None:
    """Measure some windows as one would write it with scipy."""
    from threadpoolctl import threadpool_limits

    edge = [reach + slc_plain.PAD for reach in SEED.search]
    with threadpool_limits(1):
        for k in range(number):
            row, col = start[0] + 8 * (k % 8), start[1] + 44 * (k // 8)
            window = np.s_[row - edge[0] : row + 64 + edge[0], col - edge[1] : col + 256 + edge[1]]
            slc_plain.match(found.reference[window], found.secondary[window], (64, 256), tuple(SEED.search))
