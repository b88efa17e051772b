"""Ground that the radar sees double, and ground that it does not see: along lines of increasing range."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.sar.compiling import WORKS, compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

LAYOVER, SHADOW = 1, 2
"""Bits of a mask."""


def layover_shadow(
    distance: NDArray[np.float64], look: NDArray[np.float64], direction: tuple[float, float]
) -> NDArray[np.uint8]:
    """Tell layover and shadow on a map.

    Walking away from the radar over flat ground, slant range and look angle grow. Where other ground on the line has
    the same slant range, echoes of both arrive at once: layover, on the slope and before and behind it. Where nearer
    ground is seen under a larger look angle, it hides what is behind: shadow.

    Parameters
    ----------
    distance : (rows, cols) float64
        Slant range, or anything that grows with it; NaN where the height is not known.
    look : (rows, cols) float64
        Angle at the satellite between the vertical and the ground, radians.
    direction : (float, float)
        Rows and columns along which the range grows while the azimuth time stays.

    Returns
    -------
    (rows, cols) uint8
        Sum of `LAYOVER` and `SHADOW`. What lies beyond the edge is not known: give a margin.
    """
    steep = abs(direction[0]) > abs(direction[1])
    along, across = direction if steep else direction[::-1]
    views: list[NDArray[Any]] = [part.T if steep else part for part in (distance, look)]
    if along < 0:
        views = [part[:, ::-1] for part in views]
        along, across = -along, -across
    mask = np.zeros(views[0].shape, np.uint8)
    run = mask_kernel if WORKS else _mask_plain
    first, second = (np.ascontiguousarray(part, np.float64) for part in views)
    run(first, second, across / along, mask)
    if (direction[0] if steep else direction[1]) < 0:
        mask = mask[:, ::-1]
    return np.ascontiguousarray(mask.T if steep else mask)


@compiled
def mask_kernel(distance: NDArray[Any], look: NDArray[Any], slope: float, mask: NDArray[Any]) -> None:
    """Mark along lines that move `slope` rows per column; values between two rows are interpolated."""
    rows, cols = distance.shape
    drift = slope * (cols - 1)
    for k in range(int(np.floor(-max(drift, 0.0))) - 1, int(np.ceil(rows - 1 - min(drift, 0.0))) + 2):
        far, high = -np.inf, -np.inf
        for c in range(cols):
            y = k + slope * c
            if y < 0 or y > rows - 1:
                continue
            r = min(int(y), rows - 2) if rows > 1 else 0
            below = min(r + 1, rows - 1)
            f = y - r
            i = int(y + 0.5)
            d = distance[r, c] * (1 - f) + distance[below, c] * f
            angle = look[r, c] * (1 - f) + look[below, c] * f
            if d < far:
                mask[i, c] |= 1
            elif d > far:
                far = d
            if angle < high:
                mask[i, c] |= 2
            elif angle > high:
                high = angle
        near = np.inf
        for c in range(cols - 1, -1, -1):
            y = k + slope * c
            if y < 0 or y > rows - 1:
                continue
            r = min(int(y), rows - 2) if rows > 1 else 0
            below = min(r + 1, rows - 1)
            f = y - r
            d = distance[r, c] * (1 - f) + distance[below, c] * f
            if d > near:
                mask[int(y + 0.5), c] |= 1
            elif d < near:
                near = d


def _mask_plain(
    distance: NDArray[np.float64], look: NDArray[np.float64], slope: float, mask: NDArray[np.uint8]
) -> None:
    """Do what `mask_kernel` does, in NumPy: all lines together, column by column."""
    rows, cols = distance.shape
    drift = slope * (cols - 1)
    k = np.arange(int(np.floor(-max(drift, 0.0))) - 1, int(np.ceil(rows - 1 - min(drift, 0.0))) + 2)

    def walk(values: NDArray[np.float64], columns: range, bit: int, sign: float) -> None:
        best = np.full(k.size, -np.inf)
        for c in columns:
            y = k + slope * c
            on = (y >= 0) & (y <= rows - 1)
            r = np.minimum(y[on].astype(np.intp), max(rows - 2, 0))
            f = y[on] - r
            value = sign * (values[r, c] * (1 - f) + values[np.minimum(r + 1, rows - 1), c] * f)
            hidden = value < best[on]
            mask[(y[on] + 0.5).astype(np.intp)[hidden], c] |= bit
            best[on] = np.fmax(best[on], value)

    with np.errstate(invalid="ignore"):
        walk(distance, range(cols), LAYOVER, 1)
        walk(distance, range(cols - 1, -1, -1), LAYOVER, -1)
        walk(look, range(cols), SHADOW, 1)
