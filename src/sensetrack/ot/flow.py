"""What every dense flow needs around its library call: harmless fill of missing pixels, and an honest score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from sensetrack.ot.correlation import FLAT
from sensetrack.ot.fields import Flag, Match
from sensetrack.ot.tiles import Tile

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sensetrack.ot.chips import ChipGrid

    Flow = tuple[NDArray[Any], NDArray[Any]]
    """(d_row, d_col), px, of the shape of the images."""
    Solver = Callable[[NDArray[Any], NDArray[Any]], Flow]

MIN_SHARE = 0.2
"""Share of a window that must be used; in the corner of an image a quarter of it is."""


RoundTrip = Annotated[
    float | None,
    Field(
        gt=0,
        description="a pixel that is tracked forth and back may end this far from its start; null: do not track back",
        json_schema_extra={"unit": "px"},
    ),
]
"""The parameter of every dense flow that says which of its answers are believed."""


def run_flow(
    reference: Tile,
    secondary: Tile,
    solve: Solver,
    *,
    window: tuple[int, int],
    chips: ChipGrid,
    halo: tuple[int, int],
    round_trip: float | None,
    trim: bool = True,
) -> Match:
    """Run a dense flow on one tile: fill its holes, solve both ways, score, flag, and cut the halo off.

    A flow always has an answer, and one that follows noise looks as like as one that follows the ground; tracked
    back, it does not return.

    Parameters
    ----------
    solve : callable
        Called with both images, float32, finite; returns the motion (d_row, d_col) in px.
    window : (int, int)
        Rows and columns of pixels each score is taken over, and about the reach of what fills a hole.
    round_trip : float or None
        Pixels that come back further from where they started are flagged INCONSISTENT; None: not looked at.
    trim : bool
        Leave out what lies beyond the edge of the images: most libraries treat a true edge better than any fill.
    """
    inside = _inhabited(reference.valid | secondary.valid) if trim else (slice(None), slice(None))
    first, second = (Tile(tile.values[inside], tile.valid[inside]) for tile in (reference, secondary))
    flow = np.full((2, *reference.valid.shape), np.nan, np.float32)
    strays = np.zeros(reference.valid.shape, bool)
    if min(first.valid.shape) > 1:
        images = fill_invalid(first, second, max(window) / 2)
        forth = solve(*images)
        flow[:, *inside] = forth
        if round_trip is not None:
            strays[inside] = _gap(forth, solve(*images[::-1])) > round_trip
    result = judge_flow(reference, secondary, (flow[0], flow[1]), window=window, chips=chips, halo=halo)
    lost = strays[_core(chips, halo)] & (result.flags == 0)
    result.flags[lost] |= Flag.INCONSISTENT.bit
    return result


def _gap(forth: Flow, back: Flow) -> NDArray[np.float32]:
    """How far from its start a pixel ends that is moved forth and back, px."""
    d_row, d_col = (np.asarray(part, np.float32) for part in forth)
    there = [_pulled(part, d_row, d_col) for part in back]
    return np.asarray(np.hypot(d_row + there[0], d_col + there[1]))


def _pulled(values: NDArray[Any], d_row: NDArray[Any], d_col: NDArray[Any], *, cubic: bool = False) -> NDArray[Any]:
    """Values at where every pixel went; 0 beyond the edge."""
    import cv2

    rows, cols = np.indices(d_row.shape, np.float32)
    how = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    return cv2.remap(np.asarray(values, np.float32), cols + d_col, rows + d_row, how)


def _core(chips: ChipGrid, halo: tuple[int, int]) -> tuple[slice, slice]:
    return slice(halo[0], halo[0] + chips.image[0]), slice(halo[1], halo[1] + chips.image[1])


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
    flow: Flow,
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
    known = np.isfinite(flow[0]) & np.isfinite(flow[1])
    d_row, d_col = (np.where(known, part, np.float32(0)).astype(np.float32) for part in flow)
    pulled = _pulled(secondary.values, d_row, d_col, cubic=True)
    seen = _pulled(secondary.valid, d_row, d_col)
    used = reference.valid & known & (seen > 0.9)
    share, score, flat = local_zncc(reference.values, pulled, used, window)
    flags = np.zeros(d_row.shape, np.uint16)
    flags[~used | (share < MIN_SHARE)] |= Flag.NO_DATA.bit
    flags[flat & (share >= MIN_SHARE)] |= Flag.LOW_TEXTURE.bit
    hole = flags > 0
    core = _core(chips, halo)
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
