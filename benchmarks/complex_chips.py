"""Measure the chips of complex images on simulated speckle: scatter, predicted errors, bias and rate; prints Markdown.

    python benchmarks/complex_chips.py [--windows 2000] [--burst] [--seed N]

Windows of 32 rows x 64 columns, search 8, as in peers' tables; errors of both axes about the truth, px, as NMAD. Limits
that are missed make the exit code 1. `--burst` matches a burst of 1500 x 21,000 px at windows of 64 x 256 every
8 x 44 px, search (10, 30), on random data of Sentinel-1's band: about a minute.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from machine import load, measure, processor
from verdict import Verdict, at_most, failed, table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from sensetrack.ot.engine import correlate_tile
from sensetrack.ot.peak import MARGIN
from sensetrack.sar import chip_tiles
from sensetrack.sar.offsets import SlcOffsets
from sensetrack.sar.offsets import measure as match
from sensetrack.workflow.executors import threads
from slc_speckle import nmad, speckle_pair

CHIP, SEARCH = (32, 64), (8, 8)
SHAPE = 512, 1024
CASES = [
    (1.0, 1.0, 0.3), (1.0, 1.0, 0.5), (1.0, 1.0, 0.8),
    (0.645, 1.0, 0.3), (0.645, 1.0, 0.5), (0.645, 1.0, 0.8), (0.645, 1.0, 0.95),
    (0.88, 0.75, 0.3), (0.88, 0.75, 0.5), (0.88, 0.75, 0.8),
]  # fmt: skip
"""Band over sampling rate, coefficient of the Hamming window, coherence."""
FRINGED = (0.67, 0.75, 0.7), (0.88, 0.75, 0.5)
"""Cases that are measured with fringes too."""
FRINGES = 0.0234, 0.004
"""Cycles a line and a sample: ground that moved by 3.2 lines in a TOPS burst."""
LOST = 1.15
"""How much more may be scattered for fringes."""
LIMITS = {(1.0, 0.8): (0.011, 0.009), (0.645, 0.3): (np.inf, 0.07)}
"""By band and coherence: NMAD of amplitude and complex, px."""
HEAD = (
    "band, window, coherence", "bound", "amplitude x1", "amplitude x2", "complex", "chosen",
    "error / predicted, amplitude", "error / predicted, complex", "share coherent",
)  # fmt: skip
FRINGE_HEAD = (
    "band, window, coherence", "chosen, without", "with fringes", "error / predicted, without", "with fringes",
    "share coherent with fringes",
)  # fmt: skip
BIAS_HEAD = (
    "rows by", "columns by", "amplitude x1, rows", "columns", "amplitude x2, rows", "columns", "complex, rows",
    "columns", "standard error",
)  # fmt: skip
BIAS, SIGMA = 0.01, 0.2
"""px, at any fraction; share by which a predicted error may miss."""
FRACTIONS = np.arange(-4, 5) / 8
SECONDS, GB = 60.0, 1.5


class Scatter(NamedTuple):
    """Errors of one case, px; (n)."""

    plain: np.ndarray
    """Amplitude without oversampling."""
    amplitude: np.ndarray
    complex: np.ndarray
    """The phase alone: nothing is chosen."""
    chosen: np.ndarray
    """What is reported: the better of the two."""
    predicted: tuple[float, float]
    """NMAD of errors over predicted errors, amplitude and complex: 1 is right."""
    coherent: float
    """Share of chips taken coherently."""


def bound(band: float, coherence: float, number: int) -> float:
    """Cramer-Rao bound of coherent matching, px: whatever window the band has, as it can be undone."""
    cells = number * band**2
    return float(np.sqrt(3 / (2 * cells)) * np.sqrt(1 - coherence**2) / (np.pi * coherence) / band)


def inner(values: np.ndarray) -> np.ndarray:
    """Posts away from the rim, beyond which there is nothing."""
    return np.asarray(values)[1:-1, 1:-1]


def compared(pair: tuple[np.ndarray, np.ndarray], offset: np.ndarray, settings: SlcOffsets) -> list[np.ndarray]:
    """Errors (2, n), predicted errors (2, n) and choice, as `settings` have it."""
    found = match(*pair, settings)
    field = found.field
    wrong = np.stack([inner(field.d_row) - offset[0], inner(field.d_col) - offset[1]]).reshape(2, -1)
    sigma = np.sqrt(np.moveaxis(inner(field.covariance), -1, 0)[:2]).reshape(2, -1)
    return [wrong, sigma, inner(found.coherent)]


def without_oversampling(pair: tuple[np.ndarray, np.ndarray], offset: np.ndarray, settings: SlcOffsets) -> np.ndarray:
    """Errors (2, n) of amplitudes at the samples of the images."""
    reference, secondary = (np.abs(part).astype(np.float32) for part in pair)
    more = [search + MARGIN for search in settings.search]
    posts = tuple(
        (size - 2 * halo - chip) // step + 1
        for size, halo, chip, step in zip(reference.shape, more, settings.chip, settings.step, strict=True)
    )
    rows, cols = ((n - 1) * s + c for n, s, c in zip(posts, settings.step, settings.chip, strict=True))
    found = correlate_tile(
        reference[more[0] : more[0] + rows, more[1] : more[1] + cols],
        secondary[: rows + 2 * more[0], : cols + 2 * more[1]],
        chip=settings.chip, step=settings.step, posts=posts, search=settings.search,
    )  # fmt: skip
    return np.stack([found.d_row - offset[0], found.d_col - offset[1]]).reshape(2, -1)


def by_phase(pair: tuple[np.ndarray, np.ndarray], offset: np.ndarray, settings: SlcOffsets) -> list[np.ndarray]:
    """As `compared`, with every chip taken coherently."""
    better = chip_tiles.Tiles._better  # noqa: SLF001
    chip_tiles.Tiles._better = lambda _self, _found, _variance, other, _number: other.state > 0  # noqa: SLF001
    try:
        return compared(pair, offset, settings)
    finally:
        chip_tiles.Tiles._better = better  # noqa: SLF001


def scatter(
    case: tuple[float, float, float], windows: int, seed: int, fringes: tuple[float, float] = (0.0, 0.0)
) -> Scatter:
    """Match windows of pairs moved by random offsets."""
    band, hamming, coherence = case
    rng = np.random.default_rng(seed)
    settings = SlcOffsets(chip=CHIP, step=CHIP, search=SEARCH)
    alone = settings.model_copy(update={"coherent": False})
    parts: list[list[np.ndarray]] = [[] for _ in range(7)]
    while sum(part.shape[-1] for part in parts[1]) < windows:
        offset = rng.uniform(-4, 4, 2)
        drawn = int(rng.integers(1 << 31))
        pair = speckle_pair(SHAPE, (band, band), coherence, offset, hamming=hamming, seed=drawn, fringes=fringes)
        amplitude, amplitude_sigma, _ = compared(pair, offset, alone)
        phase, phase_sigma, _ = by_phase(pair, offset, settings)
        chosen, _, used = compared(pair, offset, settings)
        new = without_oversampling(pair, offset, settings), amplitude, phase, chosen
        for part, values in zip(parts, (*new, amplitude / amplitude_sigma, phase / phase_sigma, used), strict=True):
            part.append(values.reshape(2, -1) if values.ndim > 1 and values.dtype != bool else values.ravel())
    plain, amplitude, phase, chosen, one, two, used = (np.concatenate(part, axis=-1) for part in parts)
    return Scatter(plain, amplitude, phase, chosen, (nmad(one[np.isfinite(one)]), nmad(two)), float(used.mean()))


def fringed(windows: int, seed: int) -> tuple[list[tuple[str, ...]], list[Verdict]]:
    """Match the same pairs without and with fringes."""
    lines, verdicts = [], []
    for case in FRINGED:
        both = [scatter(case, windows, seed, fringes) for fringes in ((0.0, 0.0), FRINGES)]
        plain, more = (nmad(found.chosen) for found in both)
        name = f"{case[0]}, {case[1]}, {case[2]}"
        texts = (f"{value:.4f}" for value in (plain, more))
        lines.append((name, *texts, *(f"{found.predicted[1]:.2f}" for found in both), f"{both[1].coherent:.2f}"))
        verdicts.append(at_most(f"scatter with fringes against none, {name}", more / plain, LOST, "{:.2f}"))
        miss = abs(both[1].predicted[1] - 1)
        verdicts.append(at_most(f"prediction with fringes, {name}", miss, SIGMA, "{:.2f}"))
    return lines, verdicts


def biases(seed: int) -> list[tuple[float, ...]]:
    """Fractions; mean errors (row, col) of plain amplitude, oversampled amplitude and complex; the standard error."""
    settings = SlcOffsets(chip=(64, 128), step=(32, 64), search=(6, 9))
    out = []
    for i, fraction in enumerate(FRACTIONS):
        offset = np.array([3 + fraction, -5 + (3 * fraction + 0.75) % 1 - 0.5])  # another fraction across
        pair = speckle_pair((1024, 2048), (0.88, 0.88), 0.5, offset, hamming=0.75, seed=seed + i)
        plain = without_oversampling(pair, offset, settings)
        amplitude, _, _ = compared(pair, offset, settings.model_copy(update={"coherent": False}))
        phase, _, _ = by_phase(pair, offset, settings)
        error = phase.std() / np.sqrt(phase.shape[1] / 4)  # chips overlap by half along both axes
        means = [float(mean) for part in (plain, amplitude, phase) for mean in part.mean(axis=1)]
        out.append((fraction, float(offset[1] + 5), *means, float(error)))
    return out


class Repeated:
    """An image repeated across, so that a burst costs no memory of its own."""

    dtype = np.dtype(np.complex64)

    def __init__(self, image: np.ndarray, times: int) -> None:
        self.image, self.shape = image, (image.shape[0], times * image.shape[1])

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        rows, cols = key
        return self.image[rows].take(np.arange(cols.start, cols.stop), axis=1, mode="wrap")


def burst(seed: int) -> list[Verdict]:
    """Match a whole burst on two threads."""
    pair = speckle_pair((1500, 5250), (0.67, 0.88), 0.5, (0.37, -1.62), hamming=0.75, seed=seed)
    images = [Repeated(part, 4) for part in pair]
    with threads(2) as mapper:
        match(images[0].image[:200, :700], images[1].image[:200, :700], mapper=mapper)  # compiles
        cost, found = measure(lambda: match(*images, mapper=mapper), memory=True)
    number, field = found.field.d_row.size, found.field
    print(
        f"\nBurst of {images[0].shape} px, {number} windows: {cost.cpu:.1f} CPU seconds, {cost.wall:.1f} s on two"
        f" threads, {number / cost.cpu:.0f} windows a CPU second, {cost.memory / 1e9:.2f} GB;"
        f" standard deviation {field.d_row.std():.4f}, {field.d_col.std():.4f} px.\n"
    )
    return [
        at_most("CPU seconds of a burst, of two cores", cost.cpu / 2, SECONDS, "{:.1f} s"),
        at_most("memory of a burst", cost.memory / 1e9, GB, "{:.2f} GB"),
    ]


def main() -> int:
    """Measure, print, and say what is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=1500, help="of each case")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--burst", action="store_true", help="time a whole burst too")
    given = parser.parse_args()
    seed = int(np.random.default_rng().integers(1 << 31)) if given.seed is None else given.seed
    print(f"{processor()}, {load()}; random seed {seed}. Scatter of both axes about the truth (NMAD), px.\n")
    verdicts, lines = [], []
    for case in CASES:
        found = scatter(case, given.windows, seed)
        errors = [nmad(part) for part in found[:4]]
        limits = LIMITS.get((case[0], case[2]), (np.inf, np.inf))
        for what, error, limit in zip(("amplitude", "complex"), errors[1:3], limits, strict=True):
            if np.isfinite(limit):
                verdicts.append(at_most(f"{what}, band {case[0]}, coherence {case[2]}", error, limit, "{:.4f} px"))
        verdicts.append(
            at_most(f"prediction, band {case[0]}, coherence {case[2]}", abs(found.predicted[1] - 1), SIGMA, "{:.2f}")
        )
        limit = bound(case[0], case[2], CHIP[0] * CHIP[1])
        texts = [f"{value:.4f}" for value in (limit, *errors)]
        shares = (f"{value:.2f}" for value in (*found.predicted, found.coherent))
        lines.append((f"{case[0]}, {case[1]}, {case[2]}", *texts, *shares))
    print("\n".join(table(HEAD, lines)))
    lines, more = fringed(given.windows, seed)
    verdicts += more
    print(f"\nThe same pairs without and with fringes of {FRINGES} cycles a line and a sample.\n")
    print("\n".join(table(FRINGE_HEAD, lines)))
    rows = biases(seed)
    print("\nMean errors along rows and columns, band 0.88, window 0.75, coherence 0.5, chips of 64 x 128 px.\n")
    print("\n".join(table(BIAS_HEAD, [tuple(f"{value:+.4f}" for value in row) for row in rows])))
    worst = max(abs(value) for row in rows for value in row[6:8])
    verdicts.append(at_most("bias of the complex path at any fraction", worst, BIAS, "{:.4f} px"))
    if given.burst:
        verdicts += burst(seed)
    print("\n" + "\n".join(map(str, verdicts)))
    return int(failed(verdicts))


if __name__ == "__main__":
    sys.exit(main())
