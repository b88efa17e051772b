"""Colours for numbers: which ramp, and over which range."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

LENGTH, SIGNED, SHARE = "plasma", "RdBu_r", "viridis"
"""Ramps for lengths from 0, for values of both signs (white = 0), and for qualities."""
COVERED = 99.5
"""Per cent of the good values that a range of colours spans; a few wild ones would make all others look alike."""


def round_up(value: float) -> float:
    """Return the next number that reads well; 1 for 0."""
    if not (np.isfinite(value) and value > 1e-12):
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(n * power for n in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 15) if n * power >= value * 0.999))


def colour_range(values: Array, good: Array, *, signed: bool) -> tuple[float, float]:
    """Return the range of a ramp: from 0, or as far below 0 as above it, up to a number that reads well."""
    shown = np.abs(values[good & np.isfinite(values)])
    limit = round_up(float(np.percentile(shown, COVERED))) if shown.size else 1.0
    return (-limit if signed else 0.0), limit


def ramp(name: str) -> NDArray[np.uint8]:
    """Return the 256 colours of a ramp, (256, 3), red, green and blue 0..255."""
    from matplotlib import colormaps

    return np.asarray(colormaps[name](np.arange(256), bytes=True)[:, :3], np.uint8)


def hexadecimal(colour: Array) -> str:
    """Spell a colour as #rrggbb."""
    return "#" + "".join(f"{int(part):02x}" for part in colour)
