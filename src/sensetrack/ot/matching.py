"""Chips matched in their search areas: correlation, peak, and what missing pixels do to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.ot.correlation import FLAT, zncc
from sensetrack.ot.peak import MARGIN, Peaks, find_peaks, interpolate

if TYPE_CHECKING:
    from numpy.typing import NDArray


def match_chips(
    chips: NDArray[Any],
    chips_valid: NDArray[np.bool_],
    areas: NDArray[Any],
    areas_valid: NDArray[np.bool_],
    *,
    search: tuple[int, int],
    min_valid: float = 0.5,
    within: NDArray[np.integer] | None = None,
) -> Peaks:
    """Find each chip in its area.

    Parameters
    ----------
    chips, chips_valid, areas, areas_valid, min_valid
        See `sensetrack.ot.correlation.zncc`; areas reach ``search + MARGIN`` px beyond the chips.
    search : (int, int)
        Half width of the search, (rows, cols).
    within
        See `sensetrack.ot.peak.find_peaks`.
    """
    worth = (chips_valid.mean(axis=(1, 2)) >= min_valid) & areas_valid.any(axis=(1, 2)) & _textured(chips, chips_valid)
    parts = chips[worth], chips_valid[worth], areas[worth], areas_valid[worth]
    peaks = find_peaks(zncc(*parts, min_valid), search, within=None if within is None else within[worth])
    whole = parts[1].all(axis=(1, 2)) & parts[3].all(axis=(1, 2))
    partial = np.flatnonzero(~(whole | peaks.missing | peaks.at_edge))
    if partial.size:
        some = parts[0][partial], parts[1][partial], parts[2][partial], parts[3][partial]
        peaks = _settle(peaks, partial, some, search=search, min_valid=min_valid)
    return peaks if worth.all() else _spread(peaks, worth)


def _textured(chips: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell chips whose valid pixels are not all alike: the others (water, fill) are not worth a transform."""
    number = np.maximum(valid.sum(axis=(1, 2)), 1)
    mean = (chips * valid).sum(axis=(1, 2), dtype=float) / number
    spread = np.where(valid, chips - mean[:, None, None], 0.0)
    return np.asarray((spread**2).sum(axis=(1, 2)) / number > FLAT)


def _spread(peaks: Peaks, at: NDArray[np.bool_]) -> Peaks:
    """Put peaks in their places among chips that were not worth looking for."""
    out = {}
    for name, found in peaks._asdict().items():
        out[name] = np.full((len(at), *found.shape[1:]), name == "missing" if found.dtype == bool else np.nan)
        out[name][at] = found
    return Peaks(**out)


def _settle(
    peaks: Peaks,
    at: NDArray[np.intp],
    parts: tuple[NDArray[Any], NDArray[np.bool_], NDArray[Any], NDArray[np.bool_]],
    *,
    search: tuple[int, int],
    min_valid: float,
) -> Peaks:
    """Measure peaks of partly valid chips again, on pixels that stay valid for every shift around the peak.

    The exact masked surface compares other pixels at every shift; between its samples it is not smooth, and the
    place of its top is off by hundredths of a pixel. With one set of pixels it is an ordinary correlation.
    """
    chips, chips_valid, areas, areas_valid = parts
    _, h, w = chips.shape
    top = np.round(peaks.row[at]).astype(int) + search[0]
    left = np.round(peaks.col[at]).astype(int) + search[1]
    rows = top[:, None, None] + np.arange(h + 2 * MARGIN)[:, None]
    cols = left[:, None, None] + np.arange(w + 2 * MARGIN)
    each = np.arange(len(at))[:, None, None]
    near, near_valid = areas[each, rows, cols], areas_valid[each, rows, cols]
    lasting = chips_valid & _all_around(near_valid)
    enough = lasting.mean(axis=(1, 2)) >= min_valid / 2
    surface = zncc(chips, lasting, np.where(near_valid, near, 0), np.ones_like(near_valid), min_valid / 2)
    middle = surface[:, MARGIN - 1 : MARGIN + 2, MARGIN - 1 : MARGIN + 2]
    enough &= np.isfinite(surface).all(axis=(1, 2)) & (middle.max(axis=(1, 2)) == middle[:, 1, 1])
    at, patch = at[enough], surface[enough].astype(float)
    row, col, score, curvature = interpolate(patch)
    out = {name: getattr(peaks, name).copy() for name in ("row", "col", "score", "curvature")}
    out["row"][at] = top[enough] - search[0] + row
    out["col"][at] = left[enough] - search[1] + col
    out["score"][at] = np.minimum(score, 1.0)
    out["curvature"][at] = curvature
    return peaks._replace(**out)


def _all_around(valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell pixels valid together with everything within `MARGIN` px; (n, h + 2 MARGIN, w + 2 MARGIN) -> (n, h, w)."""
    for axis in (1, 2):
        size = valid.shape[axis] - 2 * MARGIN
        shifted = [np.take(valid, np.arange(by, by + size), axis=axis) for by in range(2 * MARGIN + 1)]
        valid = np.logical_and.reduce(shifted)
    return valid
