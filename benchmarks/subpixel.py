"""How far each sub-pixel method is drawn to whole pixels: mean error against the true fraction, docs/subpixel.md."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from sensetrack import Image  # noqa: E402
from sensetrack.ot.algorithms import NCC  # noqa: E402
from truth import arrays, speckle, uniform  # noqa: E402

METHODS = ("sinc", "parabola", "gaussian", "dft")
FRACTIONS = np.arange(0, 1.01, 0.1)
SHAPE = (300, 340)


def errors(kind: str, seed: int) -> dict[str, np.ndarray]:
    """(fractions, 2): mean error and scatter of d_row at each true fraction; columns move by another one."""
    out = {name: np.zeros((len(FRACTIONS), 2)) for name in METHODS}
    for i, fraction in enumerate(FRACTIONS):
        motion = uniform(2 + fraction, -1 - fraction / 2)
        if kind == "texture":
            pair = arrays(SHAPE, motion, seed=seed + i)
        else:
            pair = speckle(SHAPE, motion, coherence=0.95, seed=seed + i)
        images = [Image(np.asarray(part, np.float32)) for part in pair]
        for name in METHODS:
            field = NCC(chip=48, step=16, search=6, subpixel=name)(*images)
            error = field.d_row[field.good] - (2 + fraction)
            out[name][i] = error.mean(), error.std()
    return out


def main() -> None:
    """Measure and write the page."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else int(np.random.default_rng().integers(1_000_000))
    lines = [
        "---",
        "orphan: true",
        "---",
        "",
        "# Between pixels",
        "",
        "Written by `make bench` (`benchmarks/subpixel.py`): how far `subpixel` methods are drawn to whole pixels.",
        "",
        f"NCC, chips of 48 px, on {SHAPE[0]} x {SHAPE[1]} px moved by whole rows and a fraction; random seed",
        f"{seed}. Mean error of d_row over good posts, px; in the last line the largest scatter at any fraction.",
    ]
    for kind in ("texture", "speckle"):
        found = errors(kind, seed)
        lines += ["", f"**{kind.capitalize()}**", "", "| fraction | " + " | ".join(METHODS) + " |"]
        lines += ["| --: |" + " --: |" * len(METHODS)]
        lines += [
            f"| {fraction:.1f} | " + " | ".join(f"{found[name][i, 0]:+.4f}" for name in METHODS) + " |"
            for i, fraction in enumerate(FRACTIONS)
        ]
        lines += ["| scatter | " + " | ".join(f"{found[name][:, 1].max():.4f}" for name in METHODS) + " |"]
    page = "\n".join([*lines, ""])
    (ROOT / "docs" / "subpixel.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
