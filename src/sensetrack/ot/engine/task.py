"""What the engine is asked to do, and what it answers."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pair = tuple[int, int]
"""(rows, columns)."""


class State(IntEnum):
    """What became of a post."""

    FOUND = 0
    NO_DATA = 1
    """Too few pixels are valid in both images."""
    FLAT = 2
    """The chip, or whatever it could be matched with, has no texture."""
    EDGE = 3
    """The highest sample lies on the edge of the search, or of where the correlation is known."""


class Task(NamedTuple):
    """What is to be measured, of a whole tile."""

    reference: NDArray[np.float32]
    """(rows, cols); 0 where not valid."""
    reference_valid: NDArray[np.bool_] | None
    """True = usable; None: all of it."""
    secondary: NDArray[np.float32]
    """(rows + 2 (search + margin), cols + 2 (search + margin))."""
    secondary_valid: NDArray[np.bool_] | None
    """True = usable; None: all of it."""
    chip: Pair
    step: Pair
    posts: Pair
    search: Pair
    min_valid: float
    wanted: NDArray[np.bool_] | None
    """(posts down, posts across): False where a post need not be measured; None: everywhere it must."""
    within: NDArray[np.int32] | None = None
    """(4, posts down, posts across): first row, last row, first column and last column of the shifts at which each post
    is looked for; None: the whole search."""


class TileMatch(NamedTuple):
    """Where the chips of a tile went; arrays (posts down, posts across), NaN where there is nothing to say."""

    d_row: NDArray[np.float64]
    """Offset down the rows, px; a whole number where the state is EDGE."""
    d_col: NDArray[np.float64]
    """Offset along the columns, likewise."""
    score: NDArray[np.float64]
    """Height of the peak, at most 1."""
    snr: NDArray[np.float64]
    """Height over the mean magnitude of the surface away from the peak."""
    peak_ratio: NDArray[np.float64]
    """Height over that of the second highest local maximum; at most 1000."""
    covariance: NDArray[np.float64]
    """(..., 3): variance of d_row, variance of d_col and their covariance, px^2; NaN where the peak is not clean."""
    state: NDArray[np.uint8]
    """`State`."""


def covariance(score: NDArray[Any], curvature: NDArray[Any], pixels: int) -> NDArray[np.float64]:
    """Variance of row, of column and their covariance (px^2) from height and curvature (..., 3) of peaks.

    With white noise of variance s^2 on a chip of n pixels and variance p^2 the Cramer-Rao bound is
    s^2 / (n p^2) G^-1, where the correlation falls off as score (1 - x' G x / 2) and
    s^2 / p^2 = (1 - score^2) / score^2; hence (1 - score^2) / (n score) (-H)^-1 with H the curvature.
    """
    rr, cc, rc = np.moveaxis(curvature, -1, 0)
    determinant = rr * cc - rc**2
    score = np.clip(score, 1e-3, 1.0)
    clean = (determinant > 0) & (rr < 0)
    factor = np.where(clean, (1 - score**2) / (pixels * score) / np.where(clean, determinant, 1.0), np.nan)
    return np.stack([-cc * factor, -rr * factor, rc * factor], axis=-1)


def states(missing: NDArray[Any], at_edge: NDArray[Any], share: NDArray[Any], min_valid: float) -> NDArray[np.uint8]:
    """Say what became of posts: `State`."""
    state = np.where(at_edge, State.EDGE, State.FOUND)
    return np.where(missing, np.where(share < min_valid, State.NO_DATA, State.FLAT), state).astype(np.uint8)
