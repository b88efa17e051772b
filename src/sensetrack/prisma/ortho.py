"""PRISMA L2C on a map by its rational polynomials and an elevation model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sensetrack.errors import NoOverlapError
from sensetrack.files.warp import Warped
from sensetrack.grid import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.ot.resample import Places
    from sensetrack.prisma.rpc import Rpc
    from sensetrack.prisma.swath import Swath

_MARGIN = 1000.0
"""Metres around the swath in which it may lie once its relief is taken out."""


class Heights(Protocol):
    """Heights of the ground, such as `sensetrack.files.dem.Dem`."""

    def heights_at(self, lon: Any, lat: Any) -> Any:
        """Metres above the ellipsoid at places in radians; NaN where unknown."""


class _Exact(Warped):
    """Places are computed for every pixel: between the nodes of a lattice the ground is not straight."""

    def _coordinates(self, rows: slice, cols: slice) -> tuple[NDArray[Any], NDArray[Any]]:
        at = np.meshgrid(
            np.arange(rows.start, rows.stop, dtype=float), np.arange(cols.start, cols.stop, dtype=float), indexing="ij"
        )
        row, col = self.places(*at)
        lost = ~(np.isfinite(row) & np.isfinite(col))
        # Where there is no height there is no pixel: a place outside of every image.
        return np.where(lost, -1e6, row), np.where(lost, -1e6, col)


class Ortho:
    """An image seen on a map through rational polynomials; not one of `Resampled`, so that relief stays exact.

    Parameters
    ----------
    source : array-like of float
    rpc : Rpc
    heights : Heights
    grid : Grid
    """

    dtype = np.dtype(np.float32)

    def __init__(self, source: Any, rpc: Rpc, heights: Heights, grid: Grid) -> None:
        self.shape = grid.shape
        self._seen = _Exact(source, _to_pixels(grid, rpc, heights), grid)

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.float32]:
        return self._seen[key]


def _to_pixels(grid: Grid, rpc: Rpc, heights: Heights) -> Places:
    import pyproj

    project = pyproj.Transformer.from_crs(grid.crs, 4326, always_xy=True)

    def to_pixels(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        lon, lat = project.transform(x, y)
        return rpc.to_pixels(lon, lat, heights.heights_at(np.radians(lon), np.radians(lat)))

    return to_pixels


def covering(swath: Swath, rpc: Rpc, heights: Heights, size: float) -> Grid:
    """Return the grid, its edges on whole multiples of the pixel size, that covers an orthorectified swath.

    Raises
    ------
    NoOverlapError
        The elevation model does not cover it.
    """
    around = swath.grid(size)
    n = int(np.ceil(_MARGIN / size))
    left, _, _, top = around.bounds
    affine: Any = (size, 0, left - n * size, 0, -size, top + n * size)
    wide = Grid((around.shape[0] + 2 * n, around.shape[1] + 2 * n), affine, swath.crs)
    every = [max(1, part // 200) for part in wide.shape]
    row, col = np.meshgrid(
        *(np.arange(0, part, step) for part, step in zip(wide.shape, every, strict=True)), indexing="ij"
    )
    r, c = _to_pixels(wide, rpc, heights)(*wide.xy(row, col))
    inside = (r >= 0) & (r <= swath.shape[0]) & (c >= 0) & (c <= swath.shape[1])
    if not inside.any():
        raise NoOverlapError("the elevation model does not cover the product")
    rows = slice(max(int(row[inside].min()) - every[0], 0), min(int(row[inside].max()) + every[0] + 1, wide.shape[0]))
    cols = slice(max(int(col[inside].min()) - every[1], 0), min(int(col[inside].max()) + every[1] + 1, wide.shape[1]))
    return wide.crop(rows, cols)
