"""Measure the native way of Sentinel-1 against sarsen, and its steps by themselves: docs/benchmarks-sar.md.

One run, in turns, on a synthetic product that both read and one elevation model; CPU seconds (all threads), of which
the least of all turns counts. Prints pass or FAIL for each limit; exit code 1 where one is missed. `--full` also
prepares a whole scene of real size, which takes minutes and 4 GB of disk.

    python benchmarks/sar.py [--size 2000] [--rounds 2] [--product X.SAFE ...] [--full] [--folder DIR]
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from machine import load, measure, processor
from onmap import Mapped, correlation, mapped
from sar_agreement import Agreement, Theirs, compare_all, said
from sar_products import PIXEL, PLACE, SCENE, height, write_dem, write_product, write_wide_dem
from verdict import Verdict, at_least, at_most, failed, table

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks-sar.md"
OURS, SARSEN = "sensetrack, bilinear", "sarsen"
INSTALLED = importlib.util.find_spec(SARSEN) is not None
AHEAD = 50
"""How many times more pixels a CPU second than sarsen's."""
SHARE = 1 / 3
"""Of sarsen's memory."""
RATE = 5.0
"""Mpx a second of geo2rdr, on two cores."""
CLOSE = 2.0
"""Millimetres that places may differ from sarsen's."""
LARGE = 6000
"""Side of the map of a part of a whole scene, px."""
MINUTES, GB = 5.0, 1.5
"""For a whole scene."""
AT_ONCE = 512
"""Lines calibrated together."""
PATIENCE = 4.0
"""Seconds for timing threads: wall time is the neighbours' too, and the least of many is least of it."""
SIDE, WARM = 2048, 256
"""Sides of images that filters are tried on, and of the map that everything is tried on first, px."""
MB = 1e6


@dataclass
class Run:
    """Everything that was measured."""

    given: argparse.Namespace
    mapped: dict[str, Mapped] = field(default_factory=dict)
    """Terrain correction by who did it."""
    alike: float = float("nan")
    """Correlation of our map with sarsen's."""
    located: dict[str, float] = field(default_factory=dict)
    """Mpx by how geo2rdr was run: a second, or a CPU second."""
    agreements: list[Agreement] = field(default_factory=list)
    steps: list[tuple[str, str, float]] = field(default_factory=list)
    """Step, what it was tried on, Mpx a CPU second."""
    large: dict[str, Mapped] = field(default_factory=dict)
    """The same of a part of a whole scene."""
    whole: Mapped | None = None


# Terrain correction, each in a process of its own


def map_all(run: Run, folder: Path, product: Path, dems: tuple[Path, Path]) -> None:
    """Take turns."""
    jobs = [(OURS, "ours", "bilinear")]
    jobs += [(f"{SARSEN}, {method}", SARSEN, method) for method in ("linear", "nearest") if INSTALLED]
    take_turns(run, run.mapped, jobs, folder, product, dems)
    if INSTALLED:
        run.alike = correlation(folder / "bilinear.tif", folder / "linear.tif")


def map_large(run: Run, folder: Path, product: Path, dems: tuple[Path, Path]) -> None:
    """Do the same with a part of a whole scene, and with the faster method of sarsen."""
    jobs = [(OURS, "ours", "bilinear")]
    theirs = {name: took for name, took in run.mapped.items() if name.startswith(SARSEN)}
    if theirs:
        name = max(theirs, key=lambda name: theirs[name].rate)
        jobs.append((name, SARSEN, name.removeprefix(f"{SARSEN}, ")))
    take_turns(run, run.large, jobs, folder, product, dems)


def take_turns(
    run: Run, taken: dict[str, Mapped], jobs: list[tuple[str, str, str]], folder: Path, product: Path,
    dems: tuple[Path, Path],
) -> None:  # fmt: skip
    """Keep the best of all turns."""
    for turn in range(run.given.rounds):
        for name, who, method in jobs:
            say(f"{turn + 1}/{run.given.rounds} terrain correction: {name}")
            took = mapped(who, product, *dems, folder / f"{method}.tif", method=method)
            taken[name] = took.best(taken.get(name, took))


# geo2rdr


def locate(run: Run, product: Path, size: int) -> None:
    """Time geo2rdr on the pixels of a map, on one thread and on two, and compare it with sarsen's."""
    from sensetrack.sar.geometry import geo2rdr, to_ecef
    from sensetrack.sentinel.s1 import open_sentinel1
    from sensetrack.workflow.executors import default_workers, threads

    say("geo2rdr")
    opened = open_sentinel1(product)
    grid = opened.swaths["iw/vv"].radar_grid
    steps = PIXEL * (np.arange(size) - size / 2)
    lon, lat = np.meshgrid(PLACE[0] + steps / 76_700, PLACE[1] - steps / 111_200)
    up = height(lon, lat)
    lon, lat = np.radians(lon), np.radians(lat)
    parts = [slice(k, k + 128) for k in range(0, size, 128)]

    def whole(mapper: Any) -> None:
        for _ in mapper(lambda part: geo2rdr(grid, lon[part], lat[part], up[part]), parts):
            pass

    whole(map)
    walls: dict[int, list[float]] = {1: [], 2: []}
    for workers in sorted({1, min(2, default_workers())}):
        spent = 0.0
        while spent < PATIENCE:
            with threads(workers) as mapper:
                cost, _ = measure(partial(whole, mapper))
            walls[workers].append(cost.wall if workers == 2 else cost.cpu)
            spent += cost.wall
    run.located["geo2rdr, a CPU second"] = up.size / min(walls[1]) / 1e6
    if walls[2]:
        run.located["geo2rdr on two cores, a second"] = up.size / min(walls[2]) / 1e6
    if INSTALLED:
        xyz = to_ecef(lon[:512], lat[:512], up[:512])
        theirs = Theirs(product, "iw/vv", opened.epoch)
        cost, _ = measure(lambda: theirs(xyz))
        run.located[f"{SARSEN} backward_geocode, a CPU second"] = up[:512].size / cost.cpu / 1e6


# Steps in radar geometry


def step(run: Run, name: str, on: str, pixels: int, call: Callable[[], Any]) -> None:
    """Time a step, the least of calls that together take a second."""
    say(name)
    call()
    costs: list[float] = []
    while len(costs) < 2 or sum(costs) < 1:
        costs.append(measure(call)[0].cpu)
    run.steps.append((name, on, pixels / min(costs) / 1e6))


def steps_all(run: Run, folder: Path) -> None:
    """Time what happens to pixels before they come to a map."""
    from sensetrack.sar.calibration import Calibrated, intensity
    from sensetrack.sar.carrier import deramp
    from sensetrack.sar.deburst import Deburst
    from sensetrack.sar.multilook import multilook
    from sensetrack.sar.speckle import METHODS, SpeckleFilter
    from sensetrack.sentinel.s1 import open_sentinel1

    def by_lines(source: Any) -> None:
        for row in range(0, source.shape[0], AT_ONCE):
            source[row : row + AT_ONCE, 0 : source.shape[1]]

    swath = next(iter(open_sentinel1(write_product(folder, (1500, 8192), "SLC")).swaths.values()))
    burst = swath.bursts[0]
    pixels = np.asarray(swath.read(slice(0, swath.shape[0]), slice(0, swath.shape[1])))
    first = np.ascontiguousarray(pixels[: burst.lines], np.complex64)
    size = "{} x {}".format(*burst.shape)
    step(run, "deramp", f"burst, {size}, complex", first.size, lambda: deramp(first, burst))
    power = intensity(pixels)
    merged = Deburst(power, swath.bursts)
    step(run, "deburst", f"two such, {merged.shape[0]} x {merged.shape[1]}, intensity", int(np.prod(merged.shape)),
         lambda: by_lines(merged))  # fmt: skip
    numbers = np.ascontiguousarray(np.sqrt(power[:SIDE, :SIDE])).astype(np.uint16)
    for name, noise in (("calibration", None), ("calibration and noise", swath.noise)):
        for on, source in (("SLC, complex", pixels), ("GRD, 16 bit", numbers)):
            lazy = Calibrated(source, swath.calibration, "sigma0", noise)
            step(run, name, f"{on}, {lazy.shape[0]} x {lazy.shape[1]}", source.size, partial(by_lines, lazy))
    image = np.ascontiguousarray(power[:SIDE, :SIDE])
    for looks in ((1, 4), (4, 4)):
        name = "multilook {} x {}".format(*looks)
        step(run, name, f"{SIDE} x {SIDE}", image.size, partial(multilook, image, looks))
    for method in METHODS:
        speckle = SpeckleFilter(method=method)
        name = f"{method} {speckle.window[0]} x {speckle.window[1]}"
        step(run, name, f"{SIDE} x {SIDE}", image.size, partial(speckle, image))


def say(what: str) -> None:
    """Tell who waits."""
    print(f"\r{what:75}", end="", file=sys.stderr, flush=True)


# What came of it


def judged_maps(taken: dict[str, Mapped]) -> tuple[float, float]:
    """Return how much faster we are than sarsen, and our share of its memory; NaN where it was not run."""
    ours = taken[OURS]
    theirs = [took for name, took in taken.items() if name.startswith(SARSEN)]
    ahead = min((ours.rate / took.rate for took in theirs), default=float("nan"))
    shares = [(ours.peak / took.peak, (ours.peak - ours.start) / (took.peak - took.start)) for took in theirs]
    return ahead, max((max(share) for share in shares), default=float("nan"))


def judged(run: Run) -> list[Verdict]:
    """Return what can be judged of what was promised."""
    unknown = float("nan")
    ahead, memory = judged_maps(run.large or run.mapped)
    good = [one for one in run.agreements if not one.downlink]
    best = [one.fits[one.degree] for one in good]
    apart = [max((getattr(one, axis) for one in best), default=unknown) for axis in ("slant", "azimuth")]
    two = run.located.get("geo2rdr on two cores, a second", unknown)
    whole = run.whole
    return [
        at_least(f"terrain correction, rate against {SARSEN}", ahead, AHEAD, "{:.0f}x"),
        at_most(f"terrain correction, memory against {SARSEN}", memory, SHARE, "{:.2f}x"),
        at_least("geo2rdr, warm, two cores", two, RATE, "{:.1f} Mpx/s"),
        at_most(f"geo2rdr against {SARSEN} where it fits the orbit best, range", apart[0], CLOSE, "{:.3f} mm"),
        at_most(f"geo2rdr against {SARSEN} where it fits the orbit best, azimuth", apart[1], CLOSE, "{:.3f} mm"),
        at_most("whole GRD, time", whole.wall / 60 if whole else unknown, MINUTES, "{:.1f} min"),
        at_most("whole GRD, memory of the process", whole.peak / 1e9 if whole else unknown, GB, "{:.2f} GB"),
    ]


def page(run: Run, verdicts: list[Verdict]) -> str:
    """Everything as Markdown."""
    size = run.given.size
    version = f"{SARSEN} {importlib.metadata.version(SARSEN)}" if INSTALLED else f"{SARSEN} is not installed: not run"
    groups = [(f"{size} x {size}", run.mapped), (f"{LARGE} x {LARGE}", run.large)]
    if run.whole:
        groups.append(("all of it", {"sensetrack, bilinear": run.whole}))
    rows = [
        (on, name, f"{took.pixels / 1e6:.1f}", f"{took.rate:.3f}",
         f"{taken[OURS].rate / took.rate:.1f}x" if name.startswith(SARSEN) else "", f"{took.cpu:.1f}",
         f"{took.wall:.1f}", *(f"{part / MB:,.0f}" for part in (took.start, took.peak)))
        for on, taken in groups for name, took in taken.items()
    ]  # fmt: skip
    head = ("map, px", "", "Mpx", "Mpx / CPU s", "sensetrack is", "CPU, s", "wall, s", "start, MB", "most, MB")
    options = (" --product ..." if run.given.product else "") + (" --full" if run.given.full else "")
    lines = [
        "---", "orphan: true", "---", "",
        "# Benchmarks of Sentinel-1", "",
        f"Written by `make {'soak' if run.given.full else 'bench'}` (`benchmarks/sar.py --size {size} --rounds",
        f"{run.given.rounds}{options}`) on {processor()} ({load()} at the end), Python",
        f"{platform.python_version()}, numpy {np.__version__}, {version}. One run in turns; CPU seconds (user and",
        "system, all threads), the least of all turns; only ratios within one run mean anything.", "",
        "**From a GRD to a map**", "",
        f"A synthetic GRD, and heights on the pixels of {PIXEL:g} m that the map has, because sarsen's map is always",
        "that of its elevation model. Opened, brought to beta0 on the map and written as GeoTIFF: by",
        "`sensetrack prepare`,",
        "which also checks the sums of the product and takes off thermal noise and border, and",
        "by `sarsen.terrain_correction`. Each in a process of its own that has done it once on a small map. Memory is",
        f"that of the whole process; *start* is before the second run. The product of the map of {size} x {size} px is",
        "hardly larger than that map.",
        *([f"That of {LARGE} x {LARGE} px is a part of a whole GRD of {SCENE[0]} x {SCENE[1]} px, speckle that",
           "repeats itself: what a user has. It is the one that is judged; reading the product once for its sums is",
           f"more than a second of it. Of {SARSEN} the method that was faster on the small map was run. For all of the",
           "GRD heights are a second of arc apart."] if run.large else []),
        f"Of {SARSEN} the faster method is judged, and of memory the worse of the whole process and what comes on top",
        "of the start.", "",
        *table(head, rows), "",
    ]  # fmt: skip
    if INSTALLED:
        lines += [f"Correlation of our map with that of {SARSEN}, linear: {run.alike:.5f}.", ""]
    lines += [
        "**Places in radar geometry**", "",
        *table(("", "Mpx"), [(name, f"{rate:.2f}") for name, rate in run.located.items()]), "",
    ]  # fmt: skip
    if run.agreements:
        lines += said(run.agreements, table)
    lines += [
        "**Steps before the map**, one thread, in memory", "",
        *table(("", "of", "Mpx / CPU s"), [(name, on, f"{rate:.1f}") for name, on, rate in run.steps]), "",
        "Pixels are those that go in.", "",
        "**Limits**", "", *(f"- {verdict}" for verdict in verdicts), "",
    ]  # fmt: skip
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=2000, help="side of the map, px")
    parser.add_argument("--rounds", type=int, default=2, help="turns")
    parser.add_argument("--product", type=Path, nargs="*", default=[],
                        help="real products (.SAFE or zip; annotation is enough) to compare geo2rdr on")  # fmt: skip
    parser.add_argument("--full", action="store_true", help="prepare a GRD of full size too")
    parser.add_argument("--folder", type=Path, default=None, help="where products go; 4 GB with --full")
    parser.add_argument("--output", type=Path, default=PAGE)
    return parser.parse_args()


def main() -> int:
    """Run everything and write the page."""
    run = Run(arguments())
    size = run.given.size
    with tempfile.TemporaryDirectory(dir=run.given.folder) as name:
        folder = Path(name)
        side = int(1.25 * size) + 200
        product = write_product(folder / "grd", (side, side))
        dems = write_dem(folder / "heights.tif", size), write_dem(folder / "small.tif", WARM)
        map_all(run, folder, product, dems)
        locate(run, product, size)
        if INSTALLED:
            run.agreements += compare_all(product, run.given.product, folder, say)
        steps_all(run, folder / "slc")
        if run.given.full:
            whole = write_product(folder / "whole", SCENE)
            map_large(run, folder, whole, (write_dem(folder / "large.tif", LARGE), dems[1]))
            say("a whole GRD")
            paths = whole, write_wide_dem(folder / "wide.tif"), dems[1], folder / "whole.tif"
            run.whole = mapped("ours", *paths, method="bilinear", options=("--all",))
    say("")
    verdicts = judged(run)
    text = page(run, verdicts)
    run.given.output.write_text(text, encoding="utf-8")
    print(text)
    return 1 if failed(verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
