"""Measure how memory and time grow with the scene, and how long a first run takes: docs/benchmarks-scaling.md.

Each scene is written to disk and read from there by a child process, which never holds it whole. The largest is
matched, and tracked to a whole product, in an address space of a few gigabytes. Prints pass or FAIL for each limit;
exit code 1 where one is missed.

    python benchmarks/scaling.py [--sizes 4096 8192 16384] [--large 20000] [--rounds 2] [--folder DIR]
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from machine import cpu_seconds, load, processor
from ondisk import CHIP, SEARCH, STEP, Matched
from scenes import new_seed, write_pair
from verdict import Verdict, at_most, failed, table

HERE = Path(__file__).resolve().parent
MOST = 500
"""MB that the whole process may hold, interpreter and libraries included."""
EVEN = 10
"""Percent by which memory, and time a window, may differ between sizes."""
WARM, COLD = 3.0, 8.0
"""Seconds that `sensetrack track` may take on a small pair: any time, and where nothing was compiled before."""
SMALL = 1024
"""Side of that pair, px."""
CACHES = "NUMBA_CACHE_DIR", "MPLCONFIGDIR", "XDG_CACHE_HOME"
"""Where libraries keep what they make on their first run."""
MB, GB = 1e6, 1 << 30
LIMITED = sys.platform == "linux"
"""Whether the address space of a process can be limited here."""


@contextmanager
def scene(size: int, seed: int, folder: Path) -> Iterator[tuple[Path, Path]]:
    """Write a pair, and remove it after use."""
    need, free = 2 * 2 * size**2, shutil.disk_usage(folder).free
    if free < 1.2 * need:
        raise SystemExit(f"{folder} has {free / GB:.1f} GB free, a pair of {size} px needs {need / GB:.1f} GB")
    print(f"drawing {size} x {size} px", file=sys.stderr, flush=True)
    paths = write_pair("texture", size, seed, folder)
    try:
        yield paths
    finally:
        for path in paths:
            path.unlink()


def run(pair: tuple[Path, Path], workers: int | None, *options: str) -> Matched | str:
    """Measure one pair in a process of its own; return the last it said where it failed."""
    command = [sys.executable, str(HERE / "ondisk.py"), *map(str, pair), *options]
    if workers:
        command += ["--workers", f"{workers}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
    return Matched(*json.loads(done.stdout.splitlines()[-1]))


def grow(given: argparse.Namespace, folder: Path, seed: int) -> dict[int, Matched]:
    """Measure every size."""
    out = {}
    for size in given.sizes:
        with scene(size, seed, folder) as pair:
            runs = [run(pair, given.workers) for _ in range(given.rounds)]
        for said in runs:
            if isinstance(said, str):
                raise SystemExit(f"{size} x {size} px: {said}")
        out[size] = functools.reduce(Matched.best, runs)
    return out


def confined(given: argparse.Namespace, folder: Path, seed: int) -> dict[str, Matched | str]:
    """Match and track the largest pair in a small address space."""
    limit = ("--memory", f"{int(given.memory * GB)}") if LIMITED else ()
    with scene(given.large, seed, folder) as pair:
        matched = run(pair, given.workers, *limit)
        tracked = run(pair, given.workers, *limit, "--product", str(folder / "product"))
    return {"matched": matched, "tracked": tracked}


class First:
    """Times `sensetrack track` on a small pair, from the command to the finished product."""

    def __init__(self, pair: tuple[Path, Path], folder: Path) -> None:
        self.pair, self.folder, self.runs = pair, folder, 0

    def __call__(self, environment: dict[str, str]) -> tuple[float, float]:
        """Run it once; wall and CPU seconds."""
        self.runs += 1
        out = self.folder / f"first-{self.runs}"
        command = [sys.executable, "-m", "sensetrack", "track", *map(str, self.pair), "-o", str(out), "--quiet"]
        wall, cpu = time.perf_counter(), cpu_seconds()
        subprocess.run(command, env=os.environ | environment, check=True)
        return time.perf_counter() - wall, cpu_seconds() - cpu

    def warm(self, rounds: int) -> tuple[float, float]:
        """Least seconds where everything was run before."""
        self({})
        return _least([self({}) for _ in range(rounds)])

    def cold(self, rounds: int) -> tuple[float, float]:
        """Least seconds with every cache empty."""
        found = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(dir=self.folder) as caches:
                found.append(self(dict.fromkeys(CACHES, caches)))
        return _least(found)


def _least(runs: list[tuple[float, float]]) -> tuple[float, float]:
    return min(wall for wall, _ in runs), min(cpu for _, cpu in runs)


def apart(values: list[float]) -> float:
    """Percent by which the largest exceeds the smallest."""
    return 100 * (max(values) / min(values) - 1)


def judged(
    given: argparse.Namespace, grown: dict[int, Matched], large: dict[str, Matched | str], first: dict[str, tuple]
) -> list[Verdict]:
    """Judge everything that was promised."""
    last = max(grown)
    out = [
        at_most(f"most memory at {last} px, whole process", grown[last].peak / MB, MOST, "{:.0f} MB"),
        at_most("memory apart between sizes", apart([each.peak for each in grown.values()]), EVEN, "{:.1f} %"),
        *(
            at_most(f"CPU time a window apart{what}", apart([each[0] / each[1] for each in pairs]), EVEN, "{:.1f} %")
            for what, pairs in (
                ("", [(each.cpu, each.windows) for each in grown.values()]),
                (", the pair open and all code loaded", [(each.again, each.windows) for each in grown.values()]),
            )
        ),
        at_most("warm start", first["warm"][0], WARM, "{:.2f} s"),
        at_most("cold start", first["cold"][0], COLD, "{:.2f} s"),
    ]
    for how, each in large.items():
        what = f"{given.large} px {how} in {given.memory:g} GB of address space"
        finished = isinstance(each, Matched)
        out.append(Verdict(what, finished if LIMITED else None, "finished" if finished else str(each)))
    return out


def cells(each: Matched) -> tuple[str, ...]:
    """Return one pair's numbers as the table says them."""
    rmse = "" if np.isnan(each.rmse) else f"{each.rmse:.4f}"
    memory = (f"{size / MB:.0f}" for size in (each.start, each.peak, each.result))
    again = "" if np.isnan(each.again) else f"{each.windows / each.again:,.0f}"
    speed = f"{each.wall:.2f}", f"{each.cpu:.2f}", f"{each.windows / each.cpu:,.0f}", again
    return f"{each.windows:,}", *speed, *memory, rmse, f"{100 * each.outliers:.2f} %"


def page(
    given: argparse.Namespace,
    seed: int,
    grown: dict[int, Matched],
    large: dict[str, Matched | str],
    first: dict[str, tuple],
    verdicts: list[Verdict],
) -> str:
    """Everything as Markdown."""
    limit = f"{given.memory:g} GB of address space" if LIMITED else "no limit: this system sets none"
    rows = [(f"{size}", each) for size, each in grown.items()]
    rows += [(f"{given.large} {how}, {limit}", each) for how, each in large.items() if isinstance(each, Matched)]
    head = ("px", "windows", "wall, s", "CPU, s", "windows / CPU s", "again", "start, MB", "most, MB", "result, MB",
            "RMSE, px", "outliers")  # fmt: skip
    lines = [
        "---", "orphan: true", "---", "",
        "# Large scenes, and the first run", "",
        f"Written by `make soak` (`benchmarks/scaling.py`, seed {seed}) on {processor()} ({load()} at the end),",
        f"Python {platform.python_version()}, numpy {np.__version__}; workers: {given.workers or 'one a core'}.",
        f"The least time and the most memory of {given.rounds} runs.", "",
        f"`NCC`, chip {CHIP} px, search {SEARCH} px, step {STEP} px, on a pair of tiled 16-bit GeoTIFFs that are read",
        "window by window. Memory is that of the whole process: *start* with interpreter, libraries and compiled",
        "kernels, before the files are opened, *most* while it matches, of which *result* are the layers of the field.",
        "Time counts from opening the files; *again* are the windows a CPU second of matching the open pair once more.",
        "*Tracked* is `sensetrack track` with its defaults, to a finished product; its outliers are flagged posts.", "",
        *table(head, [(name, *cells(each)) for name, each in rows]), "",
        f"`sensetrack track` on {SMALL} x {SMALL} px, from the command to the finished product. Cold: with empty",
        f"caches ({', '.join(CACHES)}), as on a machine that never ran it.", "",
        *table(("start", "wall, s", "CPU, s"), [(n, f"{wall:.2f}", f"{cpu:.2f}") for n, (wall, cpu) in first.items()]),
        "", "**Limits**", "", *(f"- {verdict}" for verdict in verdicts), "",
    ]  # fmt: skip
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[4096, 8192, 16384], help="sides of the scenes, px")
    parser.add_argument("--large", type=int, default=20_000, help="side of the scene in a small address space, px")
    parser.add_argument("--memory", type=float, default=4.0, help="that address space, GB")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each")
    parser.add_argument("--workers", type=int, default=None, help="threads; all cores if not given")
    parser.add_argument("--seed", type=int, default=None, help="of the scenes; new if not given")
    parser.add_argument("--folder", type=Path, default=None, help="where the scenes go; 1.6 GB for 20 000 px")
    parser.add_argument("--output", type=Path, default=HERE.parent / "docs" / "benchmarks-scaling.md")
    return parser.parse_args()


def main() -> int:
    """Run everything and write the page."""
    given = arguments()
    seed = new_seed() if given.seed is None else given.seed
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        with scene(SMALL, seed, folder) as pair:
            start = First(pair, folder)
            first = {"warm": start.warm(given.rounds), "cold": start.cold(given.rounds)}
        grown, large = grow(given, folder, seed), confined(given, folder, seed)
    verdicts = judged(given, grown, large, first)
    text = page(given, seed, grown, large, first, verdicts)
    given.output.write_text(text, encoding="utf-8")
    print(text)
    return 1 if failed(verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
