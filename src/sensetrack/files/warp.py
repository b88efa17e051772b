"""Bring a raster onto another grid, tile by tile, resampled once: where its pixels are on the map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import GridMismatchError, InputError
from sensetrack.grid import Grid, apply, as_crs, crs_name, same_crs
from sensetrack.ot.resample import Resampled

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sensetrack.files.raster import RasterFile

    ToPixels = Callable[[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]

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


class Warped(Resampled):
    """A raster seen on the grid of another map; see `sensetrack.ot.resample.Resampled`.

    Parameters
    ----------
    source : array-like of float
        (rows, cols), NaN = not valid; sliced by windows.
    to_pixels : callable
        (x, y) of the grid's CRS -> (row, col) of the source, in pixel corners.
    grid : Grid
    """

    def __init__(self, source: Any, to_pixels: ToPixels, grid: Grid) -> None:
        def places(row: NDArray[Any], col: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
            row, col = to_pixels(*grid.xy(row, col))
            return row - 0.5, col - 0.5

        super().__init__(source, places, grid.shape)
        self.to_pixels, self.grid = to_pixels, grid
