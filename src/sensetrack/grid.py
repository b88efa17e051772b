"""Where the pixels of a map are, and how far apart on the ground."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine

from sensetrack.errors import GridMismatchError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyproj
    from numpy.typing import ArrayLike, NDArray

_LATTICE = 17
"""Nodes per axis at which the ground scale is measured; between them it is interpolated linearly."""


def as_crs(crs: Any) -> pyproj.CRS | None:
    """Return any spelling of a CRS (EPSG code, WKT, rasterio or pyproj object) as a pyproj CRS."""
    if crs is None or crs == "":
        return None
    import pyproj

    try:
        return _from_text(crs) if isinstance(crs, str) else pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        message = f"crs must be one that PROJ knows, instead got {crs!r}"
        raise InputError(message) from error


@lru_cache(maxsize=64)
def _from_text(text: str) -> pyproj.CRS:
    """Scenes of one place all say the same, and PROJ takes as long to understand it as small pairs to be matched."""
    import pyproj

    return pyproj.CRS.from_user_input(text)


def same_crs(first: pyproj.CRS | None, second: pyproj.CRS | None) -> bool:
    """Tell whether two CRSs put the same numbers at the same place (axis order aside)."""
    if first is second or first is None or second is None:
        return first is second
    return bool(first == second or first.equals(second, ignore_axis_order=True))


@dataclass(frozen=True, eq=False)
class Grid:
    """Rows and columns of pixels on a map, or without one.

    Parameters
    ----------
    shape : (int, int)
        Rows, columns.
    affine : affine.Affine or None
        (column, row) of a pixel *corner* -> (x, y) in units of the CRS; the centre of pixel ``[i, j]`` is at
        ``affine @ (j + 0.5, i + 0.5)``. May be rotated, sheared or south-up.
    crs : pyproj.CRS or None
        None: nothing is known about the ground, lengths stay in pixels.
    """

    shape: tuple[int, int]
    affine: Affine | None = None
    crs: pyproj.CRS | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", (int(self.shape[0]), int(self.shape[1])))
        object.__setattr__(self, "crs", as_crs(self.crs))
        if self.affine is not None:
            affine = Affine(*tuple(self.affine)[:6])
            if affine.is_degenerate:
                message = f"affine must be invertible, instead got {tuple(affine)[:6]}"
                raise InputError(message)
            object.__setattr__(self, "affine", affine)
        if self.crs is not None and self.crs.is_geocentric:
            message = f"crs must have two horizontal axes, instead got the geocentric {self.crs.name}"
            raise InputError(message)

    @property
    def georeferenced(self) -> bool:
        """True where both transform and CRS are known: only then are there metres."""
        return self.affine is not None and self.crs is not None

    @property
    def transform(self) -> Affine:
        """The affine of a georeferenced grid; an error otherwise."""
        if self.affine is None or self.crs is None:
            message = "the grid has no georeference"
            raise InputError(message, advice="use d_row and d_col, in pixels")
        return self.affine

    def same_as(self, other: Grid) -> bool:
        """Tell whether shape, transform (to 1e-6 px) and CRS are the same."""
        if self.shape != other.shape or not same_crs(self.crs, other.crs):
            return False
        if self.affine is None or other.affine is None:
            return self.affine is other.affine
        corners = np.array([[0, 0], [0, self.shape[0]], [self.shape[1], 0]], float).T
        to_self = ~self.affine @ other.affine
        moved = np.array(apply(to_self, *corners))
        return bool(np.abs(moved - corners).max() < 1e-6 * max(1.0, *self.shape))

    def require_same(self, other: Grid) -> None:
        """Raise GridMismatchError, naming the first difference, unless the grids are the same."""
        if self.same_as(other):
            return
        if self.shape != other.shape:
            what = f"shape {self.shape} and {other.shape}"
        elif not same_crs(self.crs, other.crs):
            what = f"CRS {crs_name(self.crs)} and {crs_name(other.crs)}"
        else:
            what = f"transform {_six(self.affine)} and {_six(other.affine)}"
        message = f"reference and secondary must share one grid, instead got {what}"
        raise GridMismatchError(message, advice="bring them together with sensetrack.files.pairing.pair")

    def xy(self, row: ArrayLike, col: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Map coordinates (CRS units) of the centres of pixels `row`, `col` (may be fractional)."""
        x, y = apply(self.transform, np.asarray(col, float) + 0.5, np.asarray(row, float) + 0.5)
        return x, y

    def outline(self, per_side: int = 16) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Map coordinates of points around the outer edge, in CRS units."""
        t = np.linspace(0, 1, per_side)
        col = np.concatenate([t, np.ones_like(t), 1 - t, np.zeros_like(t)]) * self.shape[1]
        row = np.concatenate([np.zeros_like(t), t, np.ones_like(t), 1 - t]) * self.shape[0]
        return self.xy(row - 0.5, col - 0.5)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Smallest x, y and largest x, y in CRS units."""
        x, y = self.outline(2)
        return float(x.min()), float(y.min()), float(x.max()), float(y.max())

    def crop(self, rows: slice, cols: slice) -> Grid:
        """Return the grid of a window with the same pixels."""
        shape = (rows.stop - rows.start, cols.stop - cols.start)
        affine = None if self.affine is None else self.affine @ Affine.translation(cols.start, rows.start)
        return replace(self, shape=shape, affine=affine)

    def posts(self, start: tuple[float, float], step: tuple[int, int], shape: tuple[int, int]) -> Grid:
        """Return the grid whose pixel centres are posts.

        Parameters
        ----------
        start : (float, float)
            (row, col) of the first post, in pixel corners of this grid (a chip of 4 px from 0 has centre 2.0).
        step : (int, int)
            Pixels between posts.
        shape : (int, int)
            Number of posts.
        """
        if self.affine is None:
            return replace(self, shape=shape)
        corner = Affine.translation(start[1] - step[1] / 2, start[0] - step[0] / 2)
        return replace(self, shape=shape, affine=self.affine @ corner @ Affine.scale(step[1], step[0]))

    @cached_property
    def ground_scale(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Metres on the ellipsoid per CRS unit, along the x and the y axis of the CRS, for every pixel.

        Two arrays of the grid's shape (constant ones are broadcast views). The lengths are geodesics between
        points a pixel apart, so units (feet, degrees) and scale factors (Mercator, polar stereographic) are
        all in them.
        """
        row = np.linspace(0, self.shape[0] - 1, min(_LATTICE, self.shape[0]))
        col = np.linspace(0, self.shape[1] - 1, min(_LATTICE, self.shape[1]))
        spread = _lattice_to_grid(row, col, self.shape)
        along_x, along_y = self._scale_at(*np.meshgrid(row, col, indexing="ij"))
        return spread(along_x), spread(along_y)

    def _scale_at(self, row: Any, col: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Metres per CRS unit along x and along y at some pixels."""
        transform, crs = self.transform, self.crs
        if crs is None or not (crs.is_geographic or crs.is_projected):
            unit = 1.0 if crs is None else crs.axis_info[0].unit_conversion_factor
            flat = np.full(np.shape(row), unit)
            return flat, flat
        half = 0.5 * float(np.sqrt(abs(transform.determinant)))
        return _geodesics(crs, *self.xy(row, col), half)

    @cached_property
    def grid_scale(self) -> tuple[float, float]:
        """CRS units per ground metre along x and y at the middle of the grid: what `to_map` divided out."""
        # Not from `ground_scale`: that is as large as the grid.
        along_x, along_y = self._scale_at(np.array([self.shape[0] // 2]), np.array([self.shape[1] // 2]))
        return 1 / float(along_x[0]), 1 / float(along_y[0])

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Ground metres of one row and one column step at the middle of the grid."""
        kx, ky = self.grid_scale
        t = self.transform
        return float(np.hypot(t.b / kx, t.e / ky)), float(np.hypot(t.a / kx, t.d / ky))

    def to_map(self, d_row: ArrayLike, d_col: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Turn a step in pixels into ground metres along the axes of the CRS.

        Parameters
        ----------
        d_row, d_col : array-like
            Down the rows and along the columns, px of this grid; scalars or arrays of the grid's shape.

        Returns
        -------
        dx, dy : ndarray
            Metres on the ground along +x and +y of the CRS (east and north where the CRS says so), whatever
            the unit and the scale factor of the CRS.
        """
        t, (along_x, along_y) = self.transform, self.ground_scale
        d_row, d_col = np.asarray(d_row, float), np.asarray(d_col, float)
        return (t.a * d_col + t.b * d_row) * along_x, (t.d * d_col + t.e * d_row) * along_y

    def from_map(self, dx: ArrayLike, dy: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Turn ground metres along the CRS axes into (d_row, d_col) in pixels; the inverse of `to_map`."""
        t, (along_x, along_y) = self.transform, self.ground_scale
        x, y = np.asarray(dx, float) / along_x, np.asarray(dy, float) / along_y
        return (t.a * y - t.d * x) / t.determinant, (t.e * x - t.b * y) / t.determinant


def apply(affine: Affine, x: Any, y: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Transform arrays of coordinates."""
    return np.asarray(affine.a * x + affine.b * y + affine.c), np.asarray(affine.d * x + affine.e * y + affine.f)


def crs_name(crs: pyproj.CRS | None) -> str:
    """Short name of a CRS for messages: its EPSG code where it has one."""
    if crs is None:
        return "none"
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else crs.name


def _six(affine: Affine | None) -> tuple[float, ...] | None:
    return None if affine is None else tuple(affine)[:6]


def _geodesics(
    crs: pyproj.CRS, x: NDArray[np.float64], y: NDArray[np.float64], half: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Metres per CRS unit along x and along y at points, from geodesics of length 2 * half units."""
    to_lonlat, geod = _ellipsoid(crs.srs)

    def length(ax: Any, ay: Any, bx: Any, by: Any) -> NDArray[np.float64]:
        lon_a, lat_a = to_lonlat.transform(ax, ay)
        lon_b, lat_b = to_lonlat.transform(bx, by)
        return np.asarray(geod.inv(lon_a, lat_a, lon_b, lat_b)[2])

    along_x = length(x - half, y, x + half, y) / (2 * half)
    along_y = length(x, y - half, x, y + half) / (2 * half)
    if not (np.isfinite(along_x).all() and np.isfinite(along_y).all()):
        message = f"the grid reaches outside the area of use of {crs_name(crs)}"
        raise InputError(message)
    return along_x, along_y


@lru_cache(maxsize=64)
def _ellipsoid(text: str) -> tuple[pyproj.Transformer, pyproj.Geod]:
    """Return what turns coordinates of a CRS into longitude and latitude, and its ellipsoid."""
    import pyproj

    crs = _from_text(text)
    to_lonlat = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    return to_lonlat, crs.get_geod() or pyproj.Geod(ellps="WGS84")


def _lattice_to_grid(
    row: NDArray[np.float64], col: NDArray[np.float64], shape: tuple[int, int]
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return a function that spreads values at the nodes (row, col) over the whole grid, bilinearly."""

    def spread(nodes: NDArray[np.float64]) -> NDArray[np.float64]:
        if np.ptp(nodes) <= 1e-9 * abs(nodes.flat[0]):
            return np.broadcast_to(nodes.flat[0], shape)
        rows = np.array([np.interp(np.arange(shape[1]), col, line) for line in nodes])
        place = np.interp(np.arange(shape[0]), row, np.arange(row.size))
        low = np.minimum(place.astype(int), max(row.size - 2, 0))
        weight = (place - low)[:, None]
        high = np.minimum(low + 1, row.size - 1)
        return np.asarray(rows[low] * (1 - weight) + rows[high] * weight)

    return spread
