"""Where ISCE2's dense offsets have their windows, and which settings its ampcor accepts.

Sizes here are (rows, columns) = ISCE2's (height, width) = (down, across).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sensetrack.errors import ConfigError, NoMatchError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pair = tuple[int, int]

MARGIN = 50
"""Pixels along every side of the image that ISCE2 leaves out; its own margin setting does not reach ampcor."""
_LEAST_SURFACE = 16
"""Samples of the correlation surface along a side, at least: a check of ISCE2's."""


def require_settings(
    window: Pair, search: Pair, *, skip: Pair | None = None, oversampling: int = 32, dense: bool = False
) -> None:
    """Refuse settings that ampcor does not work with.

    Parameters
    ----------
    window, search, skip : (int, int)
        Rows and columns, px; search is the half width, skip the distance between windows.
    oversampling : int
        Of the correlation surface.
    dense : bool
        Also what ISCE2's dense offsets check before they call ampcor: a search of less than twice the window, and at
        least 16 samples of the correlation surface along each side.

    Raises
    ------
    ConfigError
        Names the first setting that is refused.
    """
    for axis, size, reach in zip(("rows", "columns"), window, search, strict=True):
        if size < 2 or size % 2:
            raise ConfigError(f"window must have an even number of {axis}, instead got {size}")
        if reach < 1:
            raise ConfigError(f"search must be at least 1 px along the {axis}, instead got {reach}")
        if dense and reach >= 2 * size:
            raise ConfigError(
                f"search must be less than twice the window along the {axis}, instead got {reach} for {size}",
                advice="search is the half width; window and search may have been swapped with the step",
            )
        if dense and 2 * reach + 1 < _LEAST_SURFACE:
            raise ConfigError(f"search must be at least 8 px along the {axis}, instead got {reach}")
    for axis, step in zip(("rows", "columns"), skip or (1, 1), strict=True):
        if step < 1:
            raise ConfigError(f"skip must be at least 1 px along the {axis}, instead got {step}")
    if oversampling < 1 or oversampling & (oversampling - 1):
        raise ConfigError(f"oversampling must be a power of two, instead got {oversampling}")


@dataclass(frozen=True, eq=False)
class Posts:
    """Where ISCE2 puts the windows of a pair of merged images."""

    rows: NDArray[np.int64]
    """(windows down,) first row of each window in the reference, px from 0: the pixels that are correlated."""
    cols: NDArray[np.int64]
    """(windows across,) first column of each window, px from 0."""
    reported: tuple[int, int]
    """Row and column, px from 1, that ISCE2 says the first window is at: ``offset_top`` and ``offset_left``."""

    @property
    def shape(self) -> Pair:
        """Windows down, windows across."""
        return self.rows.size, self.cols.size

    @property
    def starts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The first two, as `sensetrack.sar.ampcor.ampcor` takes them."""
        return self.rows, self.cols


def posts(reference: Pair, secondary: Pair, *, window: Pair, search: Pair, skip: Pair, gross: Pair = (0, 0)) -> Posts:
    """Return the windows of ISCE2's dense offsets (its program for processors, not that for graphics cards).

    Along the columns a window is where the grid of centres says. Down the rows ISCE2 adds the distance from the corner
    of a search area to the centre of its window twice, and its ampcor reads one line earlier than it says: both are
    in the rows returned, so that windows hold the same pixels as there; the strip at the top that is lost by it is
    lost here too.

    Parameters
    ----------
    reference, secondary : (int, int)
        Shapes of the images.
    window, search, skip, gross : (int, int)

    Raises
    ------
    ConfigError
        Settings that ISCE2 refuses.
    NoMatchError
        The images are too small for one window.
    """
    require_settings(window, search, skip=skip, dense=True)
    axes = [_Axis(*numbers) for numbers in zip(reference, secondary, window, search, skip, gross, strict=True)]
    rows, cols = (axis.centres() for axis in axes)
    for name, found in (("rows", rows), ("columns", cols)):
        if not found.size:
            raise NoMatchError(
                f"images of {reference} and {secondary} px have no room along the {name} for a window of {window} px,"
                f" a search of {search} px and a margin of {MARGIN} px",
                advice="choose smaller windows, or a grid of your own",
            )
    rows = rows + axes[0].to_centre
    return Posts(rows - window[0] // 2 - 1, cols - window[1] // 2, (int(rows[0]), int(cols[0])))


class _Axis(NamedTuple):
    """Numbers along one axis, px."""

    reference: int
    secondary: int
    window: int
    search: int
    skip: int
    gross: int

    @property
    def to_centre(self) -> int:
        """From the first pixel of a search area to the centre of its window."""
        return self.window // 2 + self.search - 1

    def centres(self) -> NDArray[np.int64]:
        """Return the centres of windows, px from 1."""
        border = 2 * self.search + self.window
        start = max(MARGIN, -self.gross) + border
        at = start
        if at % self.skip:
            at = self.skip * (1 + at // self.skip) - self.to_centre
            while at < start:
                at += self.skip
        last = min(self.reference, self.secondary - self.gross) - border - 1 - MARGIN
        return np.arange(at + self.to_centre, last - self.to_centre, self.skip, dtype=np.int64)
