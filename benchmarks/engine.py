"""Measure the matching engine against what people use instead, and write docs/benchmarks-engine.md.

One run, in turns, on scenes of fresh seeds whose motion is known exactly; CPU seconds (all threads and children), of
which the least of all turns counts. Prints pass or FAIL for each limit; exit code 1 where one is missed.

    python benchmarks/engine.py [--size 2048] [--rounds 3] [--scenes 8] [--seed N] [--output PAGE]
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

import cv2
import numpy as np
import scipy
import skimage
from machine import Cost, FmaRate, fft_rate, load, measure, processor
from peers import FFT, FLOWS, MATCHERS, PCC, PIV, TEMPLATE, Offsets, Setting
from scenes import BINS, LENGTH, NOISE, REPLACED, WAVE, Accuracy, accuracy, arrays, found_by, new_seed, truth
from threadpoolctl import threadpool_limits
from verdict import Verdict, at_least, at_most, failed, table

from sensetrack import Image, ImagePair
from sensetrack.ot.algorithms import NCC
from sensetrack.ot.image_processing import PREPROCESSORS, get_preprocessor, preprocess
from sensetrack.workflow.executors import default_workers, threads

ROOT = Path(__file__).resolve().parent.parent
KINDS = "speckle", "texture"
MAIN, SMALL = Setting(64, 16, 16), Setting(32, 8, 8)
FILTERS = "highpass", "dog", "naof"
RAW, WIDE = "NCC", "NCC, search 64"
AHEAD = {PCC: 100, TEMPLATE: 12, FFT: 12, PIV: 250}
"""How many times faster NCC must be."""
RMSE = {"speckle": 0.034, "texture": 0.068}
"""RMSE that NCC must keep, px."""
AGAIN = 3
"""Most calls of a contender in a turn; those together longer than a second are fewer."""
PATIENCE = 3.0
"""Seconds for timing threads in each turn: wall time is the neighbours' too, and the least of many is least of it."""
MARGIN = 32
"""Pixels at the border of a scene where flows are not judged."""
LEAST = 192
"""Side of the scene that everything is tried on, so that nothing is loaded or compiled while it is timed."""


class Contender(NamedTuple):
    """Something that finds offsets."""

    name: str
    run: Callable[[np.ndarray, np.ndarray], Any]
    """Called with reference and secondary; `Offsets`, or the flow (2, rows, cols)."""
    setting: Setting | None
    """None for flows."""
    side: int
    """Largest scene worth waiting for, px."""

    @property
    def ours(self) -> bool:
        """Whether it is NCC: its kernels may be compiled when a whole scene is first seen."""
        return self.name.startswith(RAW)


@dataclass
class Tally:
    """What a contender did in all turns."""

    costs: list[Cost] = field(default_factory=list)
    work: int = 0
    """Windows, or pixels, of one turn."""
    found: dict[str, list[np.ndarray]] = field(default_factory=lambda: defaultdict(list))
    true: dict[str, list[np.ndarray]] = field(default_factory=lambda: defaultdict(list))

    @property
    def rate(self) -> float:
        """Windows or pixels a CPU second."""
        return self.work / min(cost.cpu for cost in self.costs)

    @property
    def memory(self) -> float:
        """Most memory above the start, bytes."""
        return max(cost.memory for cost in self.costs)

    def accuracy(self, kind: str) -> Accuracy:
        """Over all turns on scenes of a kind."""
        return accuracy(*(np.concatenate(parts[kind], axis=1) for parts in (self.found, self.true)))


def run_ncc(
    reference: np.ndarray, secondary: np.ndarray, *, filtered: str = "none", mapper: Any = map, **options: Any
) -> Offsets:
    """Match a pair as a user would, the images new so that nothing about them is known yet; every post counts."""
    pair = ImagePair(Image(reference), Image(secondary))
    if filtered != "none":
        pair = preprocess(pair, get_preprocessor(filtered)())
    return Offsets(*found_by(NCC(**options)(pair.reference, pair.secondary, mapper=mapper)))


def choices(*among: str) -> Iterator[tuple[str, str]]:
    """Yield the parameters of NCC that offer a choice, by its values, of which one of `among` is one; but "auto"."""
    for name, info in NCC.model_fields.items():
        values = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
        if set(among) & set(values):
            yield from ((name, value) for value in values if value not in ("auto", info.default))


def contenders(size: int) -> list[Contender]:
    """Everything that is measured; neighbours in the list take their turns next to each other."""
    out = [Contender(f"{RAW}", partial(run_ncc, **options(MAIN)), MAIN, size)]
    for name, peer in MATCHERS.items():
        if not name.startswith(PIV) or importlib.util.find_spec("openpiv"):
            out.append(Contender(name, partial(peer[0], setting=MAIN), MAIN, min(peer[1], size)))
    for key, value in (*choices("plain", "opencv"), *choices("gaussian", "parabola")):
        out.append(Contender(f"{RAW}, {key} {value}", partial(run_ncc, **options(MAIN), **{key: value}), MAIN, size))
    out.append(Contender(WIDE, partial(run_ncc, **options(MAIN) | {"search": 64}), MAIN, size))
    for name in FILTERS:
        if name in PREPROCESSORS:
            run = partial(run_ncc, **options(MAIN), filtered=name)
            out.append(Contender(f"{RAW} after {name}", run, MAIN, size))
    out.append(Contender(RAW, partial(run_ncc, **options(SMALL)), SMALL, size))
    for name in (PCC, TEMPLATE, FFT):
        out.append(Contender(name, partial(MATCHERS[name][0], setting=SMALL), SMALL, min(MATCHERS[name][1], size)))
    return out + [Contender(name, run, None, min(side, size)) for name, (run, side) in FLOWS.items()]


def options(setting: Setting) -> dict[str, int]:
    """Return the parameters of NCC for chips."""
    return setting._asdict()


def record(tally: Tally, kind: str, contender: Contender, result: Any) -> None:
    """Put a result and its truth to the others; of flows every fourth pixel, away from the border."""
    if contender.setting is None:
        at = np.arange(MARGIN, contender.side - MARGIN, 4)
        tally.work = result[0].size
        result, true = result[:, at[:, None], at], truth(at, at)
    else:
        tally.work = result.motion[0].size
        true = truth(result.rows, result.cols, (contender.setting.chip,) * 2)
        result = result.motion
    tally.found[kind].append(result.reshape(2, -1))
    tally.true[kind].append(true.reshape(2, -1))


def repeat(tally: Tally, call: Callable[[], Any]) -> Any:
    """Time a call, more than once where it is quick; the first ever is watched for memory."""
    spent, calls = 0.0, 0
    while calls == 0 or (calls < AGAIN and spent < 1):
        cost, result = measure(call, memory=not tally.costs)
        tally.costs.append(cost)
        spent, calls = spent + cost.cpu, calls + 1
    return result


@dataclass
class Run:
    """Everything that was measured."""

    size: int
    rounds: int
    scenes: int
    """Further scenes of either kind that only NCC is run on, for its errors."""
    seed: int
    tallies: dict[tuple[str, Setting | None], Tally] = field(default_factory=lambda: defaultdict(Tally))
    fma: float = 0.0
    """Multiply-adds a CPU second of one core."""
    fft: float = 0.0
    """Transforms of 96 x 96 px a CPU second."""
    walls: dict[int, float] = field(default_factory=dict)
    """Seconds of NCC by number of threads."""

    def rate(self, name: str, setting: Setting | None = MAIN) -> float:
        """Windows or pixels a CPU second; NaN where that was not measured."""
        known = (name, setting) in self.tallies
        return self.tallies[name, setting].rate if known else float("nan")

    @property
    def share(self) -> float:
        """Multiply-adds that a search of every pixel needs, done by NCC, against those the core can do."""
        pixels = self.rate(RAW) * MAIN.step**2
        return pixels * (2 * MAIN.search + 1) ** 2 / self.fma

    @property
    def efficiency(self) -> float:
        """Of two threads."""
        return self.walls[1] / (2 * self.walls[2]) if len(self.walls) == 2 else float("nan")


def warm(entries: list[Contender], pair: tuple[np.ndarray, np.ndarray]) -> None:
    """Load and compile everything."""
    for entry in entries:
        side = entry.side if entry.ours else LEAST
        entry.run(*(np.ascontiguousarray(image[:side, :side]) for image in pair))
    fft_rate()


def measure_all(run: Run) -> Run:
    """Take turns."""
    entries, fma = contenders(run.size), FmaRate()
    for turn in range(run.rounds):
        for kind in KINDS:
            pair = arrays(kind, run.size, run.seed + turn)
            if turn == 0:
                warm(entries, pair)
            run.fma, run.fft = max(run.fma, fma()), max(run.fft, fft_rate())
            for entry in entries:
                print(f"\r{turn + 1}/{run.rounds} {kind}: {entry.name:50}", end="", file=sys.stderr, flush=True)
                tally = run.tallies[entry.name, entry.setting]
                crop = [np.ascontiguousarray(image[: entry.side, : entry.side]) for image in pair]
                record(tally, kind, entry, repeat(tally, lambda e=entry, c=crop: e.run(*c)))
            walls(run, pair)
    for extra in range(run.scenes):  # the histogram of fractions needs many
        for kind in KINDS:
            pair = arrays(kind, run.size, run.seed + run.rounds + extra)
            record(run.tallies[RAW, MAIN], kind, entries[0], entries[0].run(*pair))
    print("\r", " " * 70, end="\r", file=sys.stderr)
    return run


def walls(run: Run, pair: tuple[np.ndarray, np.ndarray]) -> None:
    """Time NCC on one thread and on two, in turns, where there are two cores."""
    spent = 0.0
    while default_workers() > 1 and spent < PATIENCE:
        for workers in (1, 2):
            with threads(workers) as mapper:
                cost, _ = measure(partial(run_ncc, *pair, mapper=mapper, **options(MAIN)))
            run.walls[workers] = min(run.walls.get(workers, np.inf), cost.wall)
            spent += cost.wall


def judged(run: Run) -> list[Verdict]:
    """Return what can be judged of what was promised."""
    raw, times = run.rate(RAW), "{:.1f}x"
    plain = [run.rate(name) for name, _ in run.tallies if name.startswith(f"{RAW}, kernel plain")]
    tallies = {name: run.tallies[name, MAIN] for name in (RAW, WIDE)}
    out = [
        *(at_least(f"rate against {peer}", raw / run.rate(peer), least, times) for peer, least in AHEAD.items()),
        at_least("share of the measured FMA rate", 100 * run.share, 35, "{:.0f} %"),
        at_most("time of the plain kernel", raw / plain[0] if plain else float("nan"), 6, times),
        at_least("efficiency of two threads", run.efficiency, 0.9, "{:.2f}"),
        at_most("time of search 64 against 16", raw / run.rate(WIDE), 1.5, times),
    ]
    for kind, rmse in RMSE.items():
        near, far = (tallies[name].accuracy(kind) for name in (RAW, WIDE))
        out += [
            at_most(f"{kind}: RMSE", near.rmse, rmse, "{:.4f} px"),
            at_most(f"{kind}: outliers", 100 * near.outliers, 0, "{:.3f} %"),
            at_most(f"{kind}: outliers of search 64", 100 * far.outliers, 100 * near.outliers, "{:.3f} %"),
            at_most(f"{kind}: bias", abs(near.bias), 0.005, "{:.4f} px"),
            at_most(f"{kind}: sub-pixel histogram, largest deviation", 100 * near.flatness, 5, "{:.1f} %"),
        ]
    return out


def numbers(result: Accuracy) -> tuple[str, ...]:
    """RMSE, bias, NMAD, outliers."""
    return f"{result.rmse:.4f}", f"{result.bias:+.4f}", f"{result.nmad:.4f}", f"{100 * result.outliers:.2f}"


def rates(run: Run, setting: Setting | None) -> list[str]:
    """Speed, memory and accuracy at a setting, or of the flows."""
    what = "px" if setting is None else "windows"
    errors = tuple(f"{kind[0].upper()} {error}" for kind in KINDS for error in ("RMSE", "bias", "NMAD", "out %"))
    rows = []
    for entry in contenders(run.size):
        if entry.setting != setting:
            continue
        tally = run.tallies[entry.name, setting]
        faster = "" if setting is None or entry.name == RAW else f"{run.rate(RAW, setting) / tally.rate:.1f}x"
        both = [cell for kind in KINDS for cell in numbers(tally.accuracy(kind))]
        rows.append((entry.name, f"{entry.side}", f"{tally.rate:,.0f}", faster, f"{tally.memory / 1e6:.0f}", *both))
    return table(("", "scene", f"{what} / CPU s", "NCC is", "RSS, MB", *errors), rows)


def by_fraction(run: Run) -> list[str]:
    """How far each of ours is from favouring some fractions of a pixel."""
    rows = []
    for (name, setting), tally in run.tallies.items():
        if setting == MAIN and name.startswith(RAW) and "kernel" not in name:  # the kernels do the same
            for kind in KINDS:
                found = tally.accuracy(kind)
                curve = (f"{1000 * error:+.0f}" for error in found.curve)
                rows.append((f"{name}, {kind}", f"{100 * found.flatness:.1f} %", *curve))
    return table(("", "histogram", *(f"{k / BINS:.1f}" for k in range(BINS))), rows)


def page(run: Run, verdicts: list[Verdict]) -> str:
    """Everything as Markdown."""
    efficiency = f"{run.efficiency:.2f}" if run.walls else "not measured on one core"
    work = run.share * run.fma / 1e9
    versions = ", ".join(f"{module.__name__} {module.__version__}" for module in (np, scipy, skimage, cv2))
    lines = [
        "---", "orphan: true", "---", "",
        "# Benchmarks of the matching engine", "",
        f"Written by `make bench` (`benchmarks/engine.py --size {run.size} --rounds {run.rounds} --scenes {run.scenes}",
        f"--seed {run.seed}`) on {processor()} ({load()} at the end), Python {platform.python_version()}, {versions}.",
        "One run in turns, one thread, CPU seconds (user and system, children included), the least of all turns; only",
        "ratios within one run mean anything.", "",
        "Scenes: Gaussian scatterers drawn twice, new ones each turn. S is speckle, the amplitude of a coherent sum, T",
        f"texture at three scales. They move in waves of {WAVE:g} px every {LENGTH:g} px (shear up to 0.009);",
        f"{100 * REPLACED:.0f} % of the scatterers are replaced, {100 * NOISE:.0f} % noise is added. The truth is the",
        "motion averaged over a chip. Errors are in px, of both components, over inliers, all turns together; an",
        "outlier is more than 1 px off, or missing. NCC is measured on all its posts, those at the border included,",
        "with score, SNR, peak ratio and covariance;",
        f"the errors of its first line are from {run.scenes} further scenes as well.", "",
        f"**Chip/search/step {MAIN.said} px**", "", *rates(run, MAIN), "",
        f"{TEMPLATE} finds whole pixels only; {PCC} looks at the chip's own place only. {PIV} is run normalised and",
        "padded, the nearest it has to the same correlation; its defaults are neither. A rate after a filter includes",
        "the filter.", "",
        f"**Chip/search/step {SMALL.said} px**", "", *rates(run, SMALL), "",
        "**Dense flows**, at their defaults", "", *rates(run, None), "",
        "**This machine**, one core, in the same run", "",
        *table(("", "rate"), [
            ("fused multiply-adds, float32", f"{run.fma / 1e9:.1f} G/s"),
            (f"those of NCC, {2 * MAIN.search + 1} x {2 * MAIN.search + 1} a pixel",
             f"{work:.1f} G/s = {100 * run.share:.0f} %"),
            ("scipy rfft2 of 96 x 96 px, float32", f"{run.fft:,.0f} /s"),
            ("NCC against three such transforms a window", f"{3 * run.rate(RAW) / run.fft:.1f}x"),
            (f"efficiency of two threads, {run.size} x {run.size} px, wall time", efficiency),
        ]), "",
        f"**Fractions of a pixel** (chip/search/step {MAIN.said} px). Histogram: fractions of the offsets, in {BINS}",
        "bins, against those of the truth with the same errors dealt out at random: the largest deviation. Then the",
        "mean error by fraction of the truth, the bias taken off, in thousandths of a pixel.", "",
        *by_fraction(run), "",
        "**Limits**", "", *(f"- {verdict}" for verdict in verdicts), "",
    ]  # fmt: skip
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=2048, help="side of the scenes, px")
    parser.add_argument("--rounds", type=int, default=3, help="turns, each with new scenes")
    parser.add_argument("--scenes", type=int, default=8, help="further scenes for the errors of NCC")
    parser.add_argument("--seed", type=int, default=None, help="of the first scenes; new if not given")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks-engine.md")
    return parser.parse_args()


def main() -> int:
    """Run everything and write the page."""
    given = arguments()
    cv2.setNumThreads(1)
    run = measure_all(Run(given.size, given.rounds, given.scenes, new_seed() if given.seed is None else given.seed))
    verdicts = judged(run)
    text = page(run, verdicts)
    given.output.write_text(text, encoding="utf-8")
    print(text)
    return 1 if failed(verdicts) else 0


if __name__ == "__main__":
    with threadpool_limits(1):
        sys.exit(main())
