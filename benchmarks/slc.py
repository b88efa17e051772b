"""Measure two SLCs to velocity against pairs whose motion is known, and write docs/benchmarks-slc.md.

Simulated pairs of full bursts: on the annotation of a real pair where the test data are there, else made up. Prints
pass or FAIL for each limit; exit code 1 where one is missed. Pairs take some minutes and 1 GB of disk, and are kept.

    python benchmarks/slc.py [--data DIR] [--folder DIR] [--rounds N] [--only accuracy seam map speckle speed]
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy
from machine import load, processor
from slc_accuracy import CHIP, COMPAT, SEARCH, Metres, Row, Seam, burst_rows, metres, seam
from slc_cases import Pairs
from slc_speed import FORTRAN, SEED, WORKERS, Rate, Speed, coregistration, dense
from slc_trials import Trials, biases, monte_carlo
from verdict import Verdict, at_least, at_most, failed, table

from sensetrack.workflow.executors import threads

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks-slc.md"
PARTS = "accuracy", "seam", "map", "speckle", "speed"
BIAS, STEP = 0.01, 0.02
"""Pixels."""
MAD = 0.037, 0.030
"""Pixels, azimuth and range."""
AHEAD = 2.0
"""How much more topsApp scatters in azimuth."""
COREGISTER, DENSE, GB = 8.0, 60.0, 1.5
"""Seconds of a burst on two cores; memory."""
COMPLEX, AMPLITUDE, WEAK = 0.009, 0.011, 0.07
"""NMAD of chips of 32 x 64 px of pure speckle, px."""
DEFAULT, ALONE = "sensetrack", "amplitude only"
WAYS = {DEFAULT: {}, ALONE: {"coherent": False}, COMPAT: {"compat": "isce2"}}


@dataclass
class Run:
    """Everything that was measured."""

    given: argparse.Namespace
    pairs: Pairs
    rows: list[Row] = field(default_factory=list)
    seams: list[Seam] = field(default_factory=list)
    metres: list[Metres] = field(default_factory=list)
    speckle: dict[tuple[float, float], list[Trials]] = field(default_factory=dict)
    """By band and coherence."""
    biases: dict[str, list[Trials]] = field(default_factory=dict)
    speeds: list[Speed] = field(default_factory=list)
    rates: list[Rate] = field(default_factory=list)


def say(what: str) -> None:
    """Tell who waits."""
    print(f"\r{what:75}", end="", file=sys.stderr, flush=True)


def accuracy(run: Run) -> None:
    """Chips that do not overlap, all over two bursts that slide and one that is still."""
    with threads(WORKERS) as mapper:
        for key in ("iw1/vv", "iw2/vv"):
            say(f"slide, {key}")
            run.rows += burst_rows(run.pairs.slide(), key, f"slide, {key[:3].upper()}", WAYS, mapper)
        say("still")
        still = {name: WAYS[name] for name in (DEFAULT, ALONE)}
        run.rows += burst_rows(run.pairs.still(), "iw1/vv", "still, IW1", still, mapper)


def joined(run: Run) -> None:
    """Bursts of one swath, and two swaths."""
    with threads(WORKERS) as mapper:
        say("seam of bursts")
        run.seams.append(seam(run.pairs.seam(), "bursts 1 and 2 of IW1", mapper))
        say("seam of swaths")
        run.seams.append(seam(run.pairs.slide(), "IW1 and IW2", mapper, axis=1))


def mapped(run: Run) -> None:
    """Run the command line on both swaths of the slide, and on what stands still."""
    chips = "--chip", "x".join(map(str, CHIP)), "--step", "32x64", "--search", "x".join(map(str, SEARCH))
    with tempfile.TemporaryDirectory(dir=run.given.folder) as name:
        for what, case in (("slide, IW1 and IW2", run.pairs.slide()), ("still, IW1", run.pairs.still())):
            say(f"sensetrack slc, {what}")
            run.metres.append(metres(case, "iw1/vv", what, Path(name) / what[:5], *chips))


def speckled(run: Run) -> None:
    """Pure speckle: what matchers can do, and their bias by fraction of a pixel."""
    for width, coherence in ((1.0, 0.8), (0.645, 0.8), (0.645, 0.3)):
        say(f"speckle, band {width}, coherence {coherence}")
        run.speckle[width, coherence] = monte_carlo(width, coherence, ("complex", "amplitude"))
    say("bias by fraction")
    run.biases = biases(("complex", "amplitude", "as ampcor (`compat`)"))


def timed(run: Run) -> None:
    """Cost of one burst."""
    say("co-registration")
    run.speeds, found = coregistration(run.pairs.slide(), run.given.rounds)
    say("dense offsets")
    run.rates = dense(found)


STEPS = dict(zip(PARTS, (accuracy, joined, mapped, speckled, timed), strict=True))


# What came of it


def judged(run: Run) -> list[Verdict]:
    """Return what can be judged of what was promised."""
    out: list[Verdict] = []
    ours = [row for row in run.rows if row.what.endswith(f": {DEFAULT}")]
    for row in ours:
        for axis, found, limit in (("azimuth", row.rows, MAD[0]), ("range", row.cols, MAD[1])):
            what = f"{row.what.partition(':')[0]}, {axis}"
            out.append(at_most(f"{what}, bias", abs(found.bias), BIAS, "{:.4f} px"))
            out.append(at_most(f"{what}, median absolute deviation", found.mad, limit, "{:.4f} px"))
    if run.rows:
        theirs = [row for row in run.rows if row.what.endswith(f": {COMPAT}")]
        same = [row for row in ours if any(row.what.partition(":")[0] == one.what.partition(":")[0] for one in theirs)]
        ratio = _pooled(theirs) / _pooled(same)
        out.append(at_least(f"{COMPAT} scatters more in azimuth, all swaths", ratio, AHEAD, "{:.2f}x"))
    out += [at_most(f"step at the seam, {one.what}", max(map(abs, one.step)), STEP, "{:.4f} px") for one in run.seams]
    for one in run.metres:
        for k, axis in enumerate(("east", "north")):
            out.append(
                at_most(f"{one.what}, {axis}, bias against sigma", abs(one.bias[k]) / one.sigma[k], 1.0, "{:.2f}")
            )
            off = abs(one.slide[k] - one.slide[k + 2])
            if off == off:
                out.append(
                    at_most(f"middle of the slide, {axis}, error against sigma", off / one.sigma[k], 1.0, "{:.2f}")
                )
    return out + _judged_speckle(run) + _judged_speed(run)


def _pooled(rows: list[Row]) -> float:
    """NMAD in azimuth of several bursts together, as the root of the mean square over their posts."""
    count = np.array([row.rows.count for row in rows])
    return float(np.sqrt((count * np.array([row.rows.nmad for row in rows]) ** 2).sum() / count.sum()))


def _judged_speckle(run: Run) -> list[Verdict]:
    limits = {
        (1.0, 0.8, "complex"): COMPLEX, (1.0, 0.8, "amplitude"): AMPLITUDE, (0.645, 0.3, "complex"): WEAK,
    }  # fmt: skip
    out = [
        at_most(f"speckle, band {width}, coherence {coherence}, {one.name}", one.nmad,
                limits[width, coherence, one.name], "{:.4f} px")
        for (width, coherence), trials in run.speckle.items()
        for one in trials
        if (width, coherence, one.name) in limits
    ]  # fmt: skip
    if "complex" in run.biases:
        worst = max(max(abs(one.rows.bias), abs(one.cols.bias)) for one in run.biases["complex"])
        out.append(at_most("bias at any eighth of a pixel, complex", worst, BIAS, "{:.4f} px"))
    return out


def _judged_speed(run: Run) -> list[Verdict]:
    if not run.speeds:
        return []
    whole, memory = run.rates[0], max(one.cost.memory for one in run.speeds) / 1e9
    return [
        at_most(
            "co-registration of a burst, two free cores", sum(one.free for one in run.speeds), COREGISTER, "{:.1f} s"
        ),
        at_most("co-registration of a burst, memory with the images", memory, GB, "{:.2f} GB"),
        at_most("dense offsets of a burst, two free cores", whole.cost.cpu / whole.workers, DENSE, "{:.0f} s"),
        at_most("dense offsets of a burst, memory", whole.cost.memory / 1e9, GB, "{:.2f} GB"),
    ]


def page(run: Run, verdicts: list[Verdict]) -> str:
    """Everything as Markdown."""
    lines = [
        "---", "orphan: true", "---", "",
        "# Benchmarks of two SLCs to velocity", "",
        f"Written by `make bench` (`benchmarks/slc.py`{', with the test data' if run.pairs.data else ''}) on",
        f"{processor()} ({load()} at the end), Python {platform.python_version()}, numpy {np.__version__},",
        f"scipy {scipy.__version__}.", "",
        "Pairs of whole bursts are simulated with the range and Doppler equations, speckle of coherence 0.7 in the",
        "annotated bands, and written as SAFE products:",
        f"{run.pairs.what}.",
        "What is measured is held against where the ground really went: 30 m west, 40 m south, and a slide of 12 m",
        "along the flight that goes down by 0.8 m, or nothing. Geometry shifts the second image by up to 6 samples and",
        "3 lines, which co-registration has to take away.", "",
    ]  # fmt: skip
    for part in (_page_accuracy, _page_seams, _page_metres, _page_speckle, _page_speed):
        lines += part(run)
    return "\n".join([*lines, "**Limits**", "", *(f"- {verdict}" for verdict in verdicts), ""])


def _page_accuracy(run: Run) -> list[str]:
    if not run.rows:
        return []
    rows = [
        (row.what, f"{row.posts}", f"{100 * row.good:.1f}", f"{row.lost}", f"{100 * row.coherent:.0f}",
         *(f"{value:+.4f}" if name == "bias" else f"{value:.4f}" for part in (row.rows, row.cols)
           for name, value in ((name, getattr(part, name)) for name in ("bias", "mad", "nmad", "std"))),
         *(f"{100 * one:.0f} / {100 * two:.0f}" for one, two in row.within))
        for row in run.rows
    ]  # fmt: skip
    numbers = [f"{axis} {name}" for axis in ("az", "rg") for name in ("bias", "MAD", "NMAD", "std")]
    head = ("", "posts", "good, %", "lost", "by phase, %", *numbers, "az in 1 / 2 sigma, %", "rg in 1 / 2 sigma, %")
    return [
        "**Offsets, px**", "",
        f"Chips of {CHIP[0]} x {CHIP[1]} px side by side over burst 1, search {SEARCH[0]} x {SEARCH[1]}; good posts",
        "only. MAD: median absolute deviation; NMAD: that times 1.4826; *lost*: good but more than half a pixel off;",
        "*as topsApp*: bursts with their carrier put together, amplitudes matched as ampcor of ISCE2 does",
        '(`compat="isce2"`).', "",
        *table(head, rows), "", *_against(run),
    ]  # fmt: skip


def _against(run: Run) -> list[str]:
    """How much more topsApp scatters in azimuth, swath by swath."""
    found = {row.what.rpartition(": ")[::2]: row.rows.nmad for row in run.rows}
    ratios = [f"{value / found[what, DEFAULT]:.2f} ({what})" for (what, way), value in found.items() if way == COMPAT]
    return [f"In azimuth, *as topsApp* scatters (NMAD) more by a factor of {', '.join(ratios)}.", ""] if ratios else []


def _page_seams(run: Run) -> list[str]:
    if not run.seams:
        return []
    rows = [
        (one.what, f"{one.posts}",
         *(f"{pair[0]:.4f}, {pair[1]:.4f}" for pair in (one.step, one.worst, one.usual, one.both)))
        for one in run.seams
    ]  # fmt: skip
    return [
        "**Seams, px** (azimuth, range)", "",
        "*Step*: median error beyond the seam less that before it. *Largest jump*: of the median error, from one row",
        "of posts to the next at the seam; *usual*: 95 of 100 such jumps anywhere are smaller. *Both*: median",
        "difference of the two measurements of the same posts.", "",
        *table(("", "posts", "step", "largest jump", "usual", "both"), rows), "",
    ]  # fmt: skip


def _pair(values: tuple[float, ...]) -> str:
    return "" if np.isnan(values).any() else "{:+.2f}, {:+.2f}".format(*values)


def _page_metres(run: Run) -> list[str]:
    if not run.metres:
        return []
    rows = [
        (one.what, f"{one.posts}", *(f"{pair[0]:+.3f}, {pair[1]:+.3f}" for pair in (one.bias, one.mad, one.sigma)),
         *(f"{100 * a:.0f} / {100 * b:.0f}" for a, b in one.within),
         *(_pair(part) for part in (one.slide[:2], one.slide[2:])),
         f"{one.seconds:.0f}", f"{one.memory / 1e9:.2f}")
        for one in run.metres
    ]  # fmt: skip
    head = ("", "pixels", "bias", "MAD", "sigma", "east in 1 / 2 sigma, %", "north in 1 / 2 sigma, %", "slide, found",
            "slide, true", "s", "GB")  # fmt: skip
    return [
        "**On a map, m** (east, north)", "",
        f"`sensetrack slc A B -o DIR --dem DEM --chip {CHIP[0]}x{CHIP[1]} --step 32x64 --search",
        f"{SEARCH[0]}x{SEARCH[1]}`: SAFE to GeoTIFF. The truth is that of ground that keeps its height, as is assumed:",
        "what goes down by 0.8 m is read as a motion across the flight. Seconds and memory are those of the command.",
        "",
        *table(head, rows), "",
    ]  # fmt: skip


def _page_speckle(run: Run) -> list[str]:
    if not run.speckle:
        return []
    rows = [
        (f"band {width}, coherence {coherence}, {one.name}", f"{one.count}", f"{one.nmad:.4f}", f"{one.rows.nmad:.4f}",
         f"{one.cols.nmad:.4f}", f"{one.rows.bias:+.4f}, {one.cols.bias:+.4f}")
        for (width, coherence), trials in run.speckle.items() for one in trials
    ]  # fmt: skip
    lines = [
        "**Speckle alone, px**", "",
        "Chips of 32 x 64 px, search 8, shifts at random; band as a share of the sampling rate, on both axes.", "",
        *table(("", "chips", "NMAD", "rows", "columns", "bias"), rows), "",
    ]  # fmt: skip
    names = list(run.biases)
    by = [
        (
            first.name,
            *(f"{getattr(run.biases[name][k], axis).mean:+.4f}" for axis in ("rows", "cols") for name in names),
        )
        for k, first in enumerate(run.biases[names[0]])
    ]
    return [
        *lines,
        "Mean error on speckle in the bands of IW1, coherence 0.7, chips of 64 x 128 px, by the fraction of the shift",
        "down the rows (across, it is (3 k + 1) / 8 in row k):", "",
        *table(("fraction", *(f"{axis}, {name}" for axis in ("az", "rg") for name in names)), by), "",
    ]  # fmt: skip


def _page_speed(run: Run) -> list[str]:
    if not run.speeds:
        return []
    steps = [
        (one.what, f"{one.cost.wall:.1f}", f"{one.cost.cpu:.1f}", f"{one.free:.1f}", f"{one.cost.memory / 1e9:.2f}")
        for one in run.speeds
    ]
    base = run.rates[-1].each
    rates = [
        (one.what, f"{one.windows}", f"{one.workers}", f"{one.cost.wall:.1f}", f"{one.each:.2f}",
         f"{base / one.each:.1f}", f"{one.cost.memory / 1e9:.2f}")
        for one in run.rates
    ]  # fmt: skip
    first = run.speeds[0]
    chip, step, search = (" x ".join(map(str, part)) for part in (SEED.chip, SEED.step, SEED.search))
    return [
        f"**Cost of a burst** of {first.lines} x {first.samples} px, {WORKERS} threads", "",
        *table(("", "wall, s", "CPU, s", "two free cores, s", "memory on top, GB"), steps), "",
        "Wall time is the neighbours' too; on two free cores it is half the CPU time of what runs in two threads.", "",
        f"Dense offsets at the windows of the first seed: {chip} px, step {step}, search {search}. The compiled core",
        f"of ampcor takes {1000 * FORTRAN:.0f} ms a window on one core (measured elsewhere).", "",
        *table(("", "windows", "threads", "wall, s", "CPU ms / window", "against scipy", "memory on top, GB"), rates),
        "",
    ]  # fmt: skip


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    data = os.environ.get("SENSETRACK_TEST_DATA")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None, help="folder of the test data")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "sensetrack-slc",
                        help="where pairs are kept")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=2, help="turns of what is timed")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to run")
    parser.add_argument("--quick", action="store_true", help="small made-up pairs, to try this script")
    parser.add_argument("--output", type=Path, default=PAGE)
    return parser.parse_args()


def main() -> int:
    """Run everything and write the page."""
    given = arguments()
    run = Run(given, Pairs(given.folder, given.data, quick=given.quick))
    for part in given.only:
        STEPS[part](run)
        # What is measured is not lost where a later part fails.
        verdicts = judged(run)
        text = page(run, verdicts)
        given.output.write_text(text, encoding="utf-8")
    say("")
    print(text)
    return 1 if failed(verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
