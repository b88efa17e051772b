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
from skimage.registration import phase_cross_correlation
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from sensetrack import Image, ImagePair  # noqa: E402
from sensetrack.ot.algorithms import NCC, OpenCVOpticalFlow, SkiPCC_Vector  # noqa: E402
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


def plain_loop(reference: np.ndarray, secondary: np.ndarray, upsample: int) -> np.ndarray:
    """Phase correlation as it is usually written, one call of scikit-image a window: (n, 2) motion, px."""
    motion = []
    for row in range(0, SIZE - CHIP + 1, STEP):
        for col in range(0, SIZE - CHIP + 1, STEP):
            correction, _, _ = phase_cross_correlation(
                reference[row : row + CHIP, col : col + CHIP],
                secondary[row : row + CHIP, col : col + CHIP],
                normalization="phase",
                upsample_factor=upsample,
                disambiguate=True,
            )
            motion.append(-correction)
    return np.array(motion)


def phase_correlation(reference: np.ndarray, secondary: np.ndarray, upsample: int, rounds: int = 7) -> tuple[str, ...]:
    """A row: windows per CPU second of the plain loop and of ours, their ratio, equal shifts, shifts a window apart.

    The two take turns, and the least of each counts: the neighbours are the same for both.
    """
    matcher = SkiPCC_Vector(CHIP, STEP, phase_norm=True, upsmp_fac=upsample, taper=False)
    best = {"theirs": np.inf, "ours": np.inf}
    for _ in range(rounds):
        seconds, theirs = cpu(lambda: plain_loop(reference, secondary, upsample), 1)
        best["theirs"] = min(best["theirs"], seconds)
        seconds, field = cpu(lambda: matcher(Image(reference), Image(secondary)), 1)
        best["ours"] = min(best["ours"], seconds)
    apart = np.stack([field.d_row, field.d_col], -1).reshape(-1, 2) - theirs
    # The spectrum knows a shift but for whole windows. Near zero `disambiguate` decides by a corner of a few pixels.
    windows = np.round(apart / CHIP)
    equal = (np.abs(apart - CHIP * windows) <= 1 / upsample + 1e-3).all(axis=1).mean()
    rates = [len(apart) / best[who] for who in ("theirs", "ours")]
    return (
        f"{upsample}",
        *(f"{rate:,.0f}" for rate in rates),
        f"{rates[1] / rates[0]:.1f}",
        f"{100 * equal:.1f} %",
        f"{windows.any(axis=1).sum()}",
    )


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
    equalised = pair.reference.image, pair.secondary.image
    phase = [phase_correlation(*equalised, upsample) for upsample in (1, 10)]
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
        f"Phase correlation of the same pair, windows of {CHIP} px every {STEP} px, phase normalisation: one call of",
        "scikit-image's `phase_cross_correlation` (with `disambiguate`) a window against `pcc` without taper, which",
        "gives score, SNR and flags as well. Windows per CPU second, least of 7 rounds in turns. Equal: both",
        "components within 1 / upsampling px, but for whole windows; by those, `disambiguate` puts a small shift off",
        "now and then.",
        "",
        "| upsampling | plain loop | `pcc` | ratio | equal | a window apart |",
        "|--:|--:|--:|--:|--:|--:|",
        *(f"| {' | '.join(row)} |" for row in phase),
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
    with threadpool_limits(1):
        main()
