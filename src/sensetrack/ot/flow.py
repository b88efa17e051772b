"""What every dense flow needs around its library call: harmless fill of missing pixels, and an honest score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.ot.correlation import FLAT
from sensetrack.ot.fields import Flag, Match
from sensetrack.ot.tiles import Tile

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sensetrack.ot.chips import ChipGrid

MIN_SHARE = 0.2
"""Share of a window that must be used; in the corner of an image a quarter of it is."""


def run_flow(
    reference: Tile,
    secondary: Tile,
    solve: Callable[[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]],
    *,
    window: tuple[int, int],
    chips: ChipGrid,
    halo: tuple[int, int],
    trim: bool = True,
) -> Match:
    """Run a dense flow on one tile: fill its holes, solve, score, flag, and cut the halo off.

    Parameters
    ----------
    solve : callable
        Called with both images, float32, finite; returns the motion (d_row, d_col) in px.
    window : (int, int)
        Rows and columns of pixels each score is taken over, and about the reach of what fills a hole.
    trim : bool
        Leave out what lies beyond the edge of the images: most libraries treat a true edge better than any fill.
    """
    inside = _inhabited(reference.valid | secondary.valid) if trim else (slice(None), slice(None))
    parts = [Tile(tile.values[inside], tile.valid[inside]) for tile in (reference, secondary)]
    flow = np.full((2, *reference.valid.shape), np.nan, np.float32)
    if min(parts[0].valid.shape) > 1:
        flow[:, *inside] = solve(*fill_invalid(parts[0], parts[1], max(window) / 2))
    return judge_flow(reference, secondary, (flow[0], flow[1]), window=window, chips=chips, halo=halo)


def _inhabited(valid: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Smallest window that holds everything valid."""
    spans = []
    for axis in (1, 0):
        found = np.flatnonzero(valid.any(axis=axis))
        spans.append(slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0, 0))
    return spans[0], spans[1]


def fill_invalid(reference: Tile, secondary: Tile, reach: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both images without holes.

    A pixel missing in either is replaced in both, each by the mean of its own valid surroundings (Gaussian of
    `reach` px): a fill that has no edge of its own cannot look like motion.
    """
    import cv2

    valid = reference.valid & secondary.valid
    if valid.all():
        return reference.values, secondary.values
    weight = cv2.GaussianBlur(valid.astype(np.float32), (0, 0), reach)
    return tuple(  # type: ignore[return-value]
        np.where(
            valid,
            tile.values,
            cv2.GaussianBlur(np.where(valid, tile.values, np.float32(0)), (0, 0), reach) / np.maximum(weight, 1e-6),
        ).astype(np.float32)
        for tile in (reference, secondary)
    )


def judge_flow(
    reference: Tile,
    secondary: Tile,
    flow: tuple[NDArray[Any], NDArray[Any]],
    *,
    window: tuple[int, int],
    chips: ChipGrid,
    halo: tuple[int, int],
) -> Match:
    """Score a dense flow, raise its flags and cut the halo off.

    The score is the zero-mean normalised cross-correlation, over `window`, of the reference with the secondary
    pulled back along the flow: what a user would see when flickering the two.

    Parameters
    ----------
    flow : (d_row, d_col)
        Motion, px, of the tiles' shape.
    window : (int, int)
        Rows and columns of pixels each score is taken over.
    """
    import cv2

    known = np.isfinite(flow[0]) & np.isfinite(flow[1])
    d_row, d_col = (np.where(known, part, np.float32(0)).astype(np.float32) for part in flow)
    rows, cols = np.indices(d_row.shape, np.float32)
    pulled = cv2.remap(secondary.values, cols + d_col, rows + d_row, cv2.INTER_CUBIC)
    seen = cv2.remap(secondary.valid.astype(np.float32), cols + d_col, rows + d_row, cv2.INTER_LINEAR)
    used = reference.valid & known & (seen > 0.9)
    share, score, flat = local_zncc(reference.values, pulled, used, window)
    flags = np.zeros(d_row.shape, np.uint16)
    flags[~used | (share < MIN_SHARE)] |= Flag.NO_DATA.bit
    flags[flat & (share >= MIN_SHARE)] |= Flag.LOW_TEXTURE.bit
    hole = flags > 0
    core = (slice(halo[0], halo[0] + chips.image[0]), slice(halo[1], halo[1] + chips.image[1]))
    return Match(
        np.where(hole, np.nan, d_row)[core],
        np.where(hole, np.nan, d_col)[core],
        flags[core],
        np.where(hole, np.nan, score)[core],
    )


def local_zncc(
    first: NDArray[Any], second: NDArray[Any], used: NDArray[np.bool_], window: tuple[int, int]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
    """Correlate two images in a window around every pixel, over the pixels that are `used`.

    Returns
    -------
    share, score, flat : ndarray
        Share of the window that is used; correlation -1..1 (0 where flat); True where either image is flat.
    """
    import cv2

    weight = used.astype(np.float64)

    def mean(values: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(cv2.boxFilter(values * weight, cv2.CV_64F, window[::-1], borderType=cv2.BORDER_CONSTANT))

    share = mean(weight)
    safe = np.maximum(share, 1e-9)
    a, b = first.astype(np.float64), second.astype(np.float64)
    mean_a, mean_b = mean(a) / safe, mean(b) / safe
    var_a, var_b = mean(a * a) / safe - mean_a**2, mean(b * b) / safe - mean_b**2
    flat = (var_a <= FLAT) | (var_b <= FLAT)
    scale = np.sqrt(np.where(flat, 1.0, var_a * var_b))
    score = np.where(flat, 0.0, (mean(a * b) / safe - mean_a * mean_b) / scale)
    return share, np.clip(score, -1, 1), flat
