"""Bring a raster onto another grid, tile by tile, resampled once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from sensetrack.errors import GridMismatchError, InputError
from sensetrack.grid import Grid, apply, as_crs, crs_name, same_crs

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sensetrack.files.raster import RasterFile

    ToPixels = Callable[[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]

_NODE = 16
"""Spacing, px, of the lattice on which coordinates are computed; between its nodes they are interpolated."""
_SPLINE_HALO = 12
"""Pixels after which a sample no longer matters to a cubic spline (weight below 1e-6)."""
_NICE = np.array([1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10])


@dataclass(frozen=True, eq=False)
class Geolocation:
    """Quadratic polynomials between the pixels of a raster and a CRS, fitted to ground control points.

    The points are projected first and fitted there: in longitude and latitude the fit would fail near a pole.
    """

    crs: Any
    to_pixels: ToPixels
    """(x, y) in the CRS -> (row, col) in pixel corners."""
    to_map: ToPixels
    """(row, col) in pixel corners -> (x, y)."""
    residual: float
    """Root mean square distance of the points from the fit, px."""

    @classmethod
    def fit(cls, file: RasterFile, crs: Any = None) -> Geolocation:
        """Fit the points of a file in `crs`; by default in its UTM zone or, beyond 80 degrees, polar stereographic."""
        import pyproj

        if len(file.gcps) < 6:
            message = f"needs at least 6 ground control points, instead got {len(file.gcps)}"
            raise InputError(message, path=file.path)
        row, col, x, y = np.array(file.gcps).T
        source = as_crs(file.gcp_crs)
        lon, lat = pyproj.Transformer.from_crs(source, 4326, always_xy=True).transform(x, y)
        target = as_crs(crs) if crs is not None else as_crs(local_crs(float(np.mean(lon)), float(np.mean(lat))))
        x, y = pyproj.Transformer.from_crs(source, target, always_xy=True).transform(x, y)
        to_pixels, residual = _fit_quadratic(x, y, row, col)
        to_map, _ = _fit_quadratic(row, col, x, y)
        return cls(target, to_pixels, to_map, residual)

    def grid(self, shape: tuple[int, int]) -> Grid:
        """Return a north-up grid that covers the raster with square pixels of about its own size."""
        edge = np.linspace(0, 1, 33)
        row = np.concatenate([edge * 0, edge, edge * 0 + 1, edge]) * shape[0]
        col = np.concatenate([edge, edge * 0, edge, edge * 0 + 1]) * shape[1]
        x, y = self.to_map(row, col)
        middle = (
            np.array([shape[0] / 2, shape[0] / 2 + 1, shape[0] / 2]),
            np.array([shape[1] / 2, shape[1] / 2, shape[1] / 2 + 1]),
        )
        mx, my = self.to_map(*middle)
        area = abs((mx[1] - mx[0]) * (my[2] - my[0]) - (mx[2] - mx[0]) * (my[1] - my[0]))
        size = _nice(float(np.sqrt(area)))
        left, top = np.floor(x.min() / size) * size, np.ceil(y.max() / size) * size
        cols, rows = int(np.ceil((x.max() - left) / size)), int(np.ceil((top - y.min()) / size))
        return Grid((rows, cols), (size, 0, left, 0, -size, top), self.crs)  # type: ignore[arg-type]


def _nice(size: float) -> float:
    """Round a pixel size to a plain number where one is within 5 %, else to two digits."""
    power = 10 ** np.floor(np.log10(size))
    near = float(_NICE[np.abs(_NICE - size / power).argmin()] * power)
    return near if abs(near / size - 1) < 0.05 else float(round(size / power, 1) * power)


def local_crs(lon: float, lat: float) -> str:
    """UTM zone of a place, or polar stereographic beyond 80 degrees (EPSG:3413 north, EPSG:3031 south)."""
    if lat > 80:
        return "EPSG:3413"
    if lat < -80:
        return "EPSG:3031"
    zone = int((lon + 180) % 360 // 6) + 1
    return f"EPSG:{(32600 if lat >= 0 else 32700) + zone}"


def _fit_quadratic(x: NDArray[Any], y: NDArray[Any], u: NDArray[Any], v: NDArray[Any]) -> tuple[ToPixels, float]:
    """Least-squares quadratic (x, y) -> (u, v), and its root mean square residual."""
    centre, scale = np.array([x.mean(), y.mean()]), max(np.ptp(x), np.ptp(y))

    def terms(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
        a, b = (np.asarray(x) - centre[0]) / scale, (np.asarray(y) - centre[1]) / scale
        return np.stack([np.ones_like(a), a, b, a * a, a * b, b * b], axis=-1)

    design = terms(x, y)
    weights = np.linalg.lstsq(design, np.stack([u, v], axis=-1), rcond=None)[0]
    error = design @ weights - np.stack([u, v], axis=-1)

    def apply(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        out = terms(x, y) @ weights
        return out[..., 0], out[..., 1]

    return apply, float(np.sqrt((error**2).sum(axis=1).mean()))


def pixels_of(grid: Grid, crs: Any) -> ToPixels:
    """Return a function from (x, y) in `crs` to (row, col), in pixel corners, of `grid`."""
    inverse = ~grid.transform
    if same_crs(grid.crs, crs):
        project = None
    else:
        import pyproj

        try:
            project = pyproj.Transformer.from_crs(crs, grid.crs, always_xy=True)
        except pyproj.exceptions.ProjError as error:
            message = f"there is no way from {crs_name(as_crs(crs))} to {crs_name(grid.crs)}"
            raise GridMismatchError(message) from error

    def to_pixels(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        if project is not None:
            x, y = project.transform(x, y)
        col, row = apply(inverse, np.asarray(x), np.asarray(y))
        return row, col

    return to_pixels


class Warped:
    """A raster seen on another grid; pixels are resampled with a cubic spline when they are read, once.

    A pixel is valid only where all four source pixels around it are. Where the source is finer than the grid,
    it is smoothed first, so that detail the grid cannot hold does not alias into false texture.

    Parameters
    ----------
    source : array-like of float
        (rows, cols), NaN = not valid; sliced by windows.
    to_pixels : callable
        (x, y) of the grid's CRS -> (row, col) of the source, in pixel corners.
    grid : Grid
    """

    dtype = np.dtype(np.float32)

    def __init__(self, source: Any, to_pixels: ToPixels, grid: Grid) -> None:
        self.source, self.to_pixels, self.grid, self.shape = source, to_pixels, grid, grid.shape

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.float32]:
        rows, cols = (slice(*part.indices(size)) for part, size in zip(key, self.shape, strict=True))
        row, col = self._coordinates(rows, cols)
        ratio = np.array([_finest(row), _finest(col)])  # source px per px of the grid
        sigma = 0.5 * np.sqrt(np.maximum(ratio**2 - 1, 0)) * (ratio > 1.2)
        halo = _SPLINE_HALO + np.ceil(4 * sigma).astype(int)
        out = np.full(row.shape, np.nan, np.float32)
        top, bottom = _reach(row, halo[0], self.source.shape[0])
        left, right = _reach(col, halo[1], self.source.shape[1])
        if top >= bottom or left >= right:
            return out
        pixels = np.asarray(self.source[top:bottom, left:right], np.float64)
        valid = np.isfinite(pixels)
        if not valid.any():
            return out
        if not valid.all():
            nearest = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
            pixels = pixels[tuple(nearest)]
        if sigma.any():
            pixels = ndimage.gaussian_filter(pixels, sigma, mode="nearest")
        places = np.stack([row - top, col - left])
        share = ndimage.map_coordinates(valid.astype(np.float32), places, order=1, cval=0.0, mode="constant")
        values = ndimage.map_coordinates(pixels, places, order=3, mode="nearest")
        usable = share > 0.999
        out[usable] = values[usable]
        return out

    def _coordinates(self, rows: slice, cols: slice) -> tuple[NDArray[Any], NDArray[Any]]:
        """(row, col) of the source, in pixel centres, for every pixel of a window."""
        node_rows, node_cols = _nodes(rows), _nodes(cols)
        x, y = self.grid.xy(*np.meshgrid(node_rows, node_cols, indexing="ij"))
        at = np.meshgrid(
            (np.arange(rows.start, rows.stop) - rows.start) / _NODE,
            (np.arange(cols.start, cols.stop) - cols.start) / _NODE,
            indexing="ij",
        )
        row, col = (ndimage.map_coordinates(part - 0.5, at, order=1, mode="nearest") for part in self.to_pixels(x, y))
        return row, col


def _nodes(window: slice) -> NDArray[Any]:
    return np.arange(window.start, window.stop + _NODE, _NODE, dtype=float)


def _finest(place: NDArray[Any]) -> float:
    """How many source pixels one pixel spans: the larger of the two directions, in the middle."""
    steps = [np.abs(np.diff(place, axis=axis)) for axis in (0, 1) if place.shape[axis] > 1]
    return max((float(np.median(step)) for step in steps), default=1.0)


def _reach(place: NDArray[Any], halo: int, size: int) -> tuple[int, int]:
    low, high = np.nanmin(place), np.nanmax(place)
    if not (np.isfinite(low) and np.isfinite(high)):
        return 0, 0
    return max(int(low) - halo, 0), min(int(high) + halo + 2, size)
