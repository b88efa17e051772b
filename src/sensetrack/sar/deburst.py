"""The bursts of a swath as one image: each line from the burst in whose middle it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import InputError, MetadataError
from sensetrack.sar.lazy import Lazy, require_plane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sensetrack.ot.interfaces import Source
    from sensetrack.sar.tops import Burst

_OFF_GRID = 0.1
"""Lines by which the time of a burst may miss the lines of the first one."""


class Deburst(Lazy):
    """Bursts merged into one image, read burst by burst when a window is asked for.

    Line 0 is line 0 of the first burst; the lines of all bursts of a swath lie on one grid of azimuth times. In an
    overlap the upper half comes from the burst before and the lower half from the one after: both see the edge of
    the beam less. Lines and samples that no burst measured are NaN.

    Parameters
    ----------
    source : Source
        (rows, cols) pixels in the lines of the measurement file, real or complex: backscatter (`Calibrated`), or
        phases with their carrier. What is deramped has no common phase across a seam.
    bursts : sequence of Burst
        Of one swath; some may be left out.

    Raises
    ------
    MetadataError
        The bursts do not fit on one grid of lines, or the measurement has too few.
    """

    def __init__(self, source: Source, bursts: Sequence[Burst]) -> None:
        rows, cols = require_plane("a measurement", source)
        self.bursts = tuple(sorted(bursts, key=lambda burst: burst.time))
        if not self.bursts:
            raise InputError("bursts to merge must be at least one, instead got none")
        for burst in self.bursts:
            if burst.line + burst.lines > rows or burst.samples != cols:
                raise MetadataError(
                    f"the measurement must have lines {burst.line} to {burst.line + burst.lines} of {burst.samples} "
                    f"samples for its bursts, instead got shape {(rows, cols)}"
                )
        self.offsets = tuple(self._offset(burst) for burst in self.bursts)
        """Line of the merged image at which each burst begins."""
        self.seams = self._seams()
        """First line of the merged image that comes from each burst but the first."""
        self.shape = self.offsets[-1] + self.bursts[-1].lines, cols
        self.first_time = self.bursts[0].time
        """Azimuth time of line 0, s since the epoch of the swath."""
        self.line_interval = self.bursts[0].line_interval
        """s."""
        kind = np.dtype(source.dtype)
        self.dtype = kind if kind.kind in "fc" else np.dtype(np.float32)
        self._source = source

    def _offset(self, burst: Burst) -> int:
        first = self.bursts[0]
        lines = (burst.time - first.time) / first.line_interval
        if abs(lines - round(lines)) > _OFF_GRID or abs(burst.line_interval / first.line_interval - 1) > 1e-9:
            raise MetadataError(f"bursts must begin whole lines apart, instead got {lines:.3f} lines")
        return round(lines)

    def _seams(self) -> tuple[int, ...]:
        ends = [at + burst.valid_lines[1] for at, burst in zip(self.offsets, self.bursts, strict=True)]
        starts = [at + burst.valid_lines[0] for at, burst in zip(self.offsets, self.bursts, strict=True)]
        return tuple((end + start) // 2 for end, start in zip(ends[:-1], starts[1:], strict=True))

    def owned(self, index: int) -> slice:
        """Lines of the merged image that come from a burst."""
        at, burst = self.offsets[index], self.bursts[index]
        first = self.seams[index - 1] if index else 0
        last = self.seams[index] if index < len(self.seams) else self.shape[0]
        first = max(first, at)
        return slice(first, max(first, min(last, at + burst.lines)))

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Merge a window."""
        out = np.full((rows.stop - rows.start, cols.stop - cols.start), np.nan, self.dtype)
        if self.dtype.kind == "c":
            out.imag = np.nan
        samples = np.arange(cols.start, cols.stop)
        for index, (at, burst) in enumerate(zip(self.offsets, self.bursts, strict=True)):
            own = self.owned(index)
            top, bottom = max(rows.start, own.start), min(rows.stop, own.stop)
            if top >= bottom:
                continue
            inside = slice(top - at, bottom - at)
            good = (samples >= burst.first_valid[inside, None]) & (samples <= burst.last_valid[inside, None])
            good &= burst.first_valid[inside, None] >= 0
            if good.any():
                pixels = self._source[burst.line + inside.start : burst.line + inside.stop, cols]
                np.copyto(out[top - rows.start : bottom - rows.start], pixels, where=good, casting="same_kind")
        return out
