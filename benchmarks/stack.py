"""Measure time series: speed and memory of an inversion, its errors, and a real glacier: docs/benchmarks-stack.md.

Prints pass or FAIL for each limit; exit code 1 where one is missed. The glacier needs SENSETRACK_TEST_DATA.

    python benchmarks/stack.py [--side 500] [--pairs 200] [--output FILE]
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numba
import numpy as np
from machine import Cost, load, measure, processor
from verdict import Verdict, at_least, at_most, failed, table

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))  # the truth is that of the tests

from sensetrack.ot.bias import nmad  # noqa: E402
from sensetrack.stack.invert import invert  # noqa: E402
from sensetrack.stack.motion import MotionParameters, fit_motion, image_noise  # noqa: E402
from sensetrack.stack.network import Network, NetworkParameters, network  # noqa: E402
from sensetrack.stack.quality import closure, pair_quality  # noqa: E402
from sensetrack.workflow.executors import threads  # noqa: E402
from stack_truth import make_stack, scenes, track_glacier  # noqa: E402

PAGE = HERE.parent / "docs" / "benchmarks-stack.md"
WORKERS = 2
SECONDS, MEMORY = 60.0, 2.0
"""For a cube of 500 x 500 posts, 200 pairs and two components, on two cores."""
BETTER = 0.5
"""Error of the velocity over that of the median of consecutive pairs."""
INSIDE = 0.683, 0.05
"""Share of the truth within a standard error, and by how much it may differ."""
CLOSURE, RIM = 0.09, 0.25
"""px, on ice and on land."""
SEASONAL = MotionParameters(seasonal=True)


@dataclass
class Run:
    """What has been measured."""

    given: argparse.Namespace
    verdicts: list[Verdict] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def chain(count: int) -> Network:
    """Twenty dates, each with as many of the next ones as make some pairs."""
    pairs = network(scenes(), NetworkParameters(kind="redundant", neighbours=19))
    if count > len(pairs):
        pairs = network(scenes(count // 3 + 4), NetworkParameters(kind="redundant", neighbours=3))
    return Network.of(pairs[:count])


def component(net: Network, side: int, seed: int) -> np.ndarray:
    """Return (pairs, side, side) with noise, blunders and holes, float32, made layer by layer."""
    rng = np.random.default_rng(seed)
    velocity = rng.normal(0, 0.05, (side, side)).astype(np.float32)
    out = np.empty((len(net.pairs), side, side), np.float32)
    for number, days in enumerate(net.spans):
        layer = velocity * np.float32(days) + rng.normal(0, 0.3, (side, side)).astype(np.float32)
        layer[rng.random((side, side), np.float32) < 0.05] += 8
        layer[rng.random((side, side), np.float32) < 0.05] = np.nan
        out[number] = layer
    return out


def invert_all(net: Network, components: list[np.ndarray], sigma: np.ndarray) -> list[Any]:
    """Invert two components, with their velocities."""
    with threads(WORKERS) as mapper:
        series = [invert(net, one, sigma, image_sigma=0.1, mapper=mapper) for one in components]
        return [(one, fit_motion(one, mapper=mapper)) for one in series]


def cube(run: Run, count: int, name: str, *, judge: bool) -> None:
    """Measure a large cube."""
    net, side = chain(count), run.given.side
    components = [component(net, side, seed) for seed in (1, 2)]
    sigma = np.full(components[0].shape, 0.3, np.float32)
    invert_all(net, [one[:, :8, :8] for one in components], sigma[:, :8, :8])  # compiles
    held = (sum(one.nbytes for one in components) + sigma.nbytes) / 2**30
    cost, _ = measure(lambda: invert_all(net, components, sigma), memory=True)
    whole = cost.memory / 2**30 + held + 0.25
    run.lines.append(
        "|".join(("", name, f" {net.dates.size} ", f" {len(net.pairs)} ", *shown(cost), f" {whole:.2f} ", ""))
    )
    if judge:
        run.verdicts += [
            at_most("wall seconds of two components", cost.wall, SECONDS, "{:.1f}"),
            at_most("CPU seconds over two cores", cost.cpu / WORKERS, SECONDS, "{:.1f}"),
            at_most("GB, with what goes in", whole, MEMORY, "{:.2f}"),
        ]


def shown(cost: Cost) -> tuple[str, str]:
    return f" {cost.wall:.1f} ", f" {cost.cpu:.1f} "


def truth(run: Run) -> list[str]:
    """Measure errors where the truth is known."""
    stack = make_stack(shape=(60, 80), seed=21)
    net = stack.network
    nearest = [n for n, (i, j) in enumerate(net.pairs) if j == i + 1]
    rows = []
    for name, one in stack.components.items():
        series = invert(net, one.pairs, stack.pair_sigma)
        noise = image_noise(series, SEASONAL)
        series = invert(net, one.pairs, stack.pair_sigma, image_sigma=noise)
        motion = fit_motion(series, SEASONAL)
        error = motion.velocity - one.velocity
        known = np.isfinite(error)
        plain = np.nanmedian(one.pairs[nearest][:, known] / net.spans[nearest, None], axis=0) - one.velocity[known]
        dates = (series.displacement - one.dates)[1:]
        seen = np.isfinite(dates)
        ratio = float(np.sqrt((error[known] ** 2).mean() / (plain**2).mean()))
        inside = [float((np.abs(e) < s)[k].mean()) for e, s, k in
                  ((error, motion.velocity_sigma, known), (dates, series.sigma[1:], seen))]  # fmt: skip
        numbers = 1000 * rms(error[known]), 1000 * rms(plain), ratio, *(100 * share for share in inside)
        forms = ("{:.2f}", "{:.2f}", "{:.2f}", "{:.1f}", "{:.1f}")
        told = (form.format(one) for form, one in zip(forms, numbers, strict=True))
        rows.append((name, f"{noise[0]:.3f}", *told))
        off = [abs(share - INSIDE[0]) for share in inside]
        run.verdicts += [
            at_most(f"{name}: error of the velocity over that of consecutive pairs", ratio, BETTER, "{:.2f}"),
            at_most(f"{name}: share of velocities within sigma, off {INSIDE[0]}", off[0], INSIDE[1], "{:.3f}"),
            at_most(f"{name}: share of dates within sigma, off {INSIDE[0]}", off[1], INSIDE[1], "{:.3f}"),
        ]
    head = (
        "component",
        "noise of images found, m (0.150)",
        "velocity, mm/day RMSE",
        "median of consecutive pairs",
        "ratio",
        "% of velocities within sigma",
        "% of dates within sigma",
    )
    return table(head, rows)


def rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))


def glacier(run: Run) -> list[str]:
    """Measure the real stack."""
    folder = os.environ.get("SENSETRACK_TEST_DATA")
    if not folder:
        run.verdicts.append(Verdict("the glacier", None, "SENSETRACK_TEST_DATA is not set"))
        return ["Not measured: SENSETRACK_TEST_DATA is not set."]
    cost, found = measure(lambda: track_glacier(Path(folder) / "perito_moreno_s2"))
    clear, rows = found.clear, []
    for name in ("row", "col"):
        moved = found.moved[name]
        around = closure(found.network, moved, found.ice)
        triplets = clear[around.triplets].all(axis=1)
        land = [nmad(one[found.rim & np.isfinite(one)]) for one in moved[clear]]
        series = invert(found.network, moved, found.sigma[name])
        poor = pair_quality(series, moved, found.ice).poor()
        trust = series.weights[:, found.ice].mean(axis=1)
        closes = float(np.median(around.nmad[triplets]))
        rows.append((f"d_{name}", f"{triplets.sum()}", f"{closes:.3f}", f"{around.nmad[triplets].max():.3f}",
                     f"{np.median(land):.3f}", f"{max(land):.3f}", f"{poor.sum()} of {poor.size}",
                     f"{trust[~poor].mean():.2f}", f"{trust[poor].mean():.2f}"))  # fmt: skip
        run.verdicts += [
            at_most(f"d_{name}: median closure of clear triplets on ice, px", closes, CLOSURE, "{:.3f}"),
            at_most(f"d_{name}: worst spread of a clear pair on land, px", max(land), RIM, "{:.3f}"),
            at_least(f"d_{name}: clear pairs that are kept", float((~poor[clear]).sum()), float(clear.sum()), "{:.0f}"),
        ]
    head = ("component", "clear triplets", "closure NMAD, px", "worst", "land NMAD, px", "worst pair", "poor pairs",
            "trust in the others", "in poor pairs")  # fmt: skip
    net = found.network
    note = f"{len(net.pairs)} pairs of {net.dates.size} dates; tracking took {cost.cpu:.0f} CPU seconds."
    return [*table(head, rows), "", note]


SPEED = """**Inversion** of two components of {side} x {side} posts, with the velocity: Tukey's weights, 5 % blunders,
5 % missing, standard errors per post; {workers} threads. GB count what goes in and 0.25 for Python."""
KNOWN = """**Errors where the truth is known**: 20 dates with a gap of one, a velocity and a season, noise
of images 0.15 m and of pairs 0.14 to 0.32 m, 5 % blunders, 10 % missing, pairs up to 60 days. The noise of images is
found from the series."""
REAL = """**A real glacier**: Perito Moreno, Sentinel-2, 1 January to 10 February 2020, half of the dates cloudy; all
pairs up to 40 days, NCC with chips of 64 px, the median of the land removed. A clear pair measures more than 80 % of
the ice."""


def page(run: Run, known: list[str], real: list[str]) -> str:
    """Return the page."""
    options, versions = f"{run.given.side} x {run.given.side} posts, {run.given.pairs} pairs", f"numpy {np.__version__}"
    made = (
        f"Written by `benchmarks/stack.py` ({options}) on {processor()} ({load()} at the end), "
        f"Python {platform.python_version()}, {versions}, numba {numba.__version__}."
    )
    lines = [
        "---", "orphan: true", "---", "",
        "# Benchmarks of time series", "",
        made, "",
        SPEED.format(side=run.given.side, workers=WORKERS), "",
        "| network | dates | pairs | wall s | CPU s | GB |", "| --- | --- | --- | --- | --- | --- |", *run.lines, "",
        KNOWN, "", *known, "",
        REAL, "", *real, "",
        "**Limits**", "", *(f"- {verdict}" for verdict in run.verdicts), "",
    ]  # fmt: skip
    return "\n".join(lines)


def main() -> int:
    """Run everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=500, help="posts on each side of the cube")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--output", type=Path, default=PAGE)
    run = Run(parser.parse_args())
    warnings.simplefilter("ignore", RuntimeWarning)
    cube(run, run.given.pairs, " each date with the next three ", judge=True)
    cube(run, 190, " all pairs of 20 dates ", judge=False)
    text = page(run, truth(run), glacier(run))
    run.given.output.write_text(text, encoding="utf-8")
    print(text)
    return 1 if failed(run.verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
