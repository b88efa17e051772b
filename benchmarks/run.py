"""Measure start-up and matching in one run, and write the table in docs/benchmarks.md.

Everything is CPU seconds of this process or its children: wall time says more about the neighbours than about us.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from sensetrack import Image, ImagePair  # noqa: E402
from sensetrack.ot.algorithms import NCC, OpenCVOpticalFlow  # noqa: E402
from sensetrack.ot.image_processing import get_preprocessor, preprocess  # noqa: E402
from truth import arrays, bump, rmse, truth_at  # noqa: E402

CHIP, STEP, SEARCH, SIZE = 64, 16, 16, 512


def child_cpu(arguments: list[str], repeats: int = 5) -> float:
    """Least CPU milliseconds of a child process."""
    best = np.inf
    for _ in range(repeats):
        before = os.times()
        subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
        after = os.times()
        best = min(best, after.children_user + after.children_system - before.children_user - before.children_system)
    return 1000 * float(best)


def cpu(function: Callable[[], object], repeats: int = 3) -> tuple[float, object]:
    """Least CPU seconds of a call, and what it returned."""
    best, result = np.inf, None
    for _ in range(repeats):
        start = time.process_time()
        result = function()
        best = min(best, time.process_time() - start)
    return float(best), result


def match_template(reference: np.ndarray, secondary: np.ndarray) -> int:
    """One `cv2.matchTemplate` a chip, whole pixels, no quality: the least a peer has to do."""
    number = 0
    for row in range(SEARCH, SIZE - CHIP - SEARCH + 1, STEP):
        for col in range(SEARCH, SIZE - CHIP - SEARCH + 1, STEP):
            area = secondary[row - SEARCH : row + CHIP + SEARCH, col - SEARCH : col + CHIP + SEARCH]
            surface = cv2.matchTemplate(area, reference[row : row + CHIP, col : col + CHIP], cv2.TM_CCOEFF_NORMED)
            cv2.minMaxLoc(surface)
            number += 1
    return number


def main() -> None:
    """Run everything and write the page."""
    cv2.setNumThreads(1)
    motion = bump((SIZE, SIZE))
    pixels = [part.astype(np.float32) for part in arrays((SIZE, SIZE), motion, seed=int(time.time()))]
    pair = preprocess(ImagePair(*(Image(part) for part in pixels)), get_preprocessor("equalize")())
    rows = []
    template, number = cpu(lambda: match_template(*pixels))
    base = number / template
    rows.append(("OpenCV matchTemplate, whole pixels", f"{base:,.0f} chips", "1.0", ""))
    for name, matcher in (("NCC", NCC()), ("Farneback", OpenCVOpticalFlow())):
        seconds, field = cpu(lambda matcher=matcher: matcher(pair.reference, pair.secondary))
        rate = field.flags.size / seconds
        chips = matcher.chips((SIZE, SIZE)).chip
        error = rmse(field, truth_at(field, motion, chips))
        unit, ratio = ("px", "") if chips == (1, 1) else ("chips", f"{rate / base:.2f}")
        rows.append((f"{name}, class defaults", f"{rate:,.0f} {unit}", ratio, f"{error:.4f}"))
    start = [
        ("`python -c pass`", child_cpu(["-c", "pass"])),
        ("`import sensetrack`", child_cpu(["-c", "import sensetrack"])),
        ("`sensetrack --help`", child_cpu(["-m", "sensetrack", "--help"])),
        ("`sensetrack track --help`", child_cpu(["-m", "sensetrack", "track", "--help"])),
    ]
    lines = [
        "# Benchmarks",
        "",
        f"Written by `make bench` on {platform.machine()}, Python {platform.python_version()},",
        f"numpy {np.__version__}, OpenCV {cv2.__version__}; one thread, CPU seconds, least of several runs.",
        "Only ratios within one run mean anything.",
        "",
        f"Gaussian bump of 3 and -2 px on {SIZE} x {SIZE} px, 2 % noise, fresh seed; chips of {CHIP} px every",
        f"{STEP} px, search +-{SEARCH} px. NCC includes sub-pixel peak, score, SNR, peak ratio and covariance.",
        "",
        "| matcher | per CPU second | against matchTemplate | RMSE, px |",
        "|---|--:|--:|--:|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        "| start-up | CPU ms |",
        "|---|--:|",
        *(f"| {name} | {value:.0f} |" for name, value in start),
        "",
    ]
    page = "\n".join(lines)
    (ROOT / "docs" / "benchmarks.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
