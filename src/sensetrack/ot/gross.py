"""The whole-image shift between two images, found before matching so that a small search is enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sensetrack.ot.correlation import zncc
from sensetrack.ot.matching import match_chips
from sensetrack.ot.peak import MARGIN, find_peaks
from sensetrack.ot.tiles import overview

if TYPE_CHECKING:
    from sensetrack.blocks import Mapper
    from sensetrack.ot.interfaces import ImagePair
    from sensetrack.ot.tiles import Scaled

_OVERVIEW = 256
"""Longer side of the overviews that are compared, px."""
_LIMIT = 1.5
"""Spreads from the median at which the pixels of overviews are cut: a bright speck is no landmark."""
_MIN_SCORE = 0.25
"""Correlation of the shifted overviews from which a shift is believed."""
_MIN_GAIN = 0.05
"""By how much it must beat the correlation without any shift."""
_PATCH = 128
"""Side of the full-resolution patches that refine the shift, px."""


@dataclass(frozen=True)
class GrossShift:
    """A whole-image shift."""

    shift: tuple[int, int]
    """(rows, cols), px: reference[r, c] is near secondary[r + rows, c + cols]; (0, 0) where none is believed."""
    score: float
    """Correlation of the overviews at the shift."""
    score_unshifted: float
    """Correlation of the overviews as they are."""


def gross_shift(pair: ImagePair, *, mapper: Mapper = map) -> GrossShift:
    """Find the shift between two images of up to a quarter of their size.

    Overviews of at most 256 px are correlated over all shifts (exactly, valid pixels only); where the best one
    is believed, its median over full-resolution patches makes it exact to the pixel.
    """
    scaled = pair.reference.scaled, pair.secondary.scaled
    factor = max(1, -(-max(pair.grid.shape) // _OVERVIEW))
    (a, valid_a), (b, valid_b) = (overview(image, factor, limit=_LIMIT, mapper=mapper) for image in scaled)
    search = max(1, a.shape[0] // 4), max(1, a.shape[1] // 4)
    pad = tuple((reach + MARGIN, reach + MARGIN) for reach in search)
    surface = zncc(a[None], valid_a[None], np.pad(b, pad)[None], np.pad(valid_b, pad)[None], 0.25)
    still = float(surface[0, surface.shape[1] // 2, surface.shape[2] // 2])
    peak = find_peaks(surface, search)
    score = float(peak.score[0])
    nothing = GrossShift((0, 0), score, still)
    if peak.missing[0] or peak.at_edge[0] or score < _MIN_SCORE or score - max(still, 0) < _MIN_GAIN:
        return nothing
    coarse = round(float(peak.row[0]) * factor), round(float(peak.col[0]) * factor)
    return GrossShift(_refine(scaled, pair.grid.shape, coarse, factor), score, still)


def _refine(
    scaled: tuple[Scaled, Scaled], shape: tuple[int, int], coarse: tuple[int, int], factor: int
) -> tuple[int, int]:
    """Make a shift known to about `factor` px exact: median over patches spread over the image."""
    side = min(_PATCH, *shape)
    search = factor + 2
    found = []
    for row in np.linspace(0, shape[0] - side, 5).astype(int):
        for col in np.linspace(0, shape[1] - side, 5).astype(int):
            chip = scaled[0].tile(slice(row, row + side), slice(col, col + side), (0, 0))
            there = (
                slice(row + coarse[0], row + coarse[0] + side),
                slice(col + coarse[1], col + coarse[1] + side),
            )
            area = scaled[1].tile(*there, (search + MARGIN, search + MARGIN))
            peaks = match_chips(
                chip.values[None], chip.valid[None], area.values[None], area.valid[None], search=(search, search)
            )
            if not (peaks.missing[0] or peaks.at_edge[0]):
                found.append((peaks.score[0], peaks.row[0], peaks.col[0]))
    if not found:
        return coarse
    score, d_row, d_col = np.array(found).T
    best = score >= np.median(score)
    return coarse[0] + round(float(np.median(d_row[best]))), coarse[1] + round(float(np.median(d_col[best])))
