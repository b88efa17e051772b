"""Where the pixels of a PRISMA swath are: by its own latitudes and longitudes, or by its rational polynomials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from sensetrack.errors import MetadataError
from sensetrack.files.warp import local_crs
from sensetrack.grid import Grid, as_crs
from sensetrack.prisma.georef import known_places

if TYPE_CHECKING:
    from pathlib import Path

    import pyproj
    from numpy.typing import NDArray

    ToPixels = Any

_BLOCK = 12
"""Pixels a side over which places are averaged: 32 bits hold a single one to 0.4 to 1.7 m only."""
_PER_SIDE = 2000
"""Rows and columns of places that are looked at; the panchromatic image has 36 million."""
_STEPS = 6
"""Steps by which a place is looked up; each leaves a thousandth of the distance."""


@dataclass(frozen=True, eq=False)
class Swath:
    """The smooth surface on which the pixels of a swath lie.

    Parameters
    ----------
    crs : pyproj.CRS
        Of the map.
    shape : (int, int)
        Rows and columns of the swath.
    nodes : ndarray
        (2, n, m) x and y at the nodes of a lattice over the swath.
    first, step : (float, float)
        Row and column, in pixel centres, of the first node, and px between nodes.
    """

    crs: pyproj.CRS
    shape: tuple[int, int]
    nodes: NDArray[np.float64]
    first: tuple[float, float]
    step: tuple[float, float]

    @classmethod
    def of(cls, lat: NDArray[Any], lon: NDArray[Any], path: Path, crs: pyproj.CRS | None = None) -> Swath:
        """Fit the latitudes and longitudes of the pixel centres of an image.

        Raises
        ------
        MetadataError
            More than half of them are no places, or they are in one point or line.
        """
        import pyproj

        shape = lat.shape[0], lat.shape[1]
        every = [max(1, n // _PER_SIDE) for n in shape]
        lat, lon = lat[:: every[0], :: every[1]], lon[:: every[0], :: every[1]]
        known = known_places(lat, lon)
        if known.mean() < 0.5 or min(lat.shape) < 4:
            message = f"{100 * (1 - known.mean()):.0f} % of its latitudes and longitudes are no places"
            raise MetadataError(message, path=path)
        middle = _middle(lat[known], lon[known])
        places = np.stack([lat, (lon - middle[0] + 180) % 360 - 180]).astype(np.float64)
        at, (lat, lon) = _averages(places, known)
        found = as_crs(local_crs(*middle)) if crs is None else crs
        assert found is not None  # for the type checker
        # Averaged first: within a block they are straight.
        project = pyproj.Transformer.from_crs(4326, found, always_xy=True)
        nodes = np.stack([np.asarray(part, np.float64) for part in project.transform(lon + middle[0], lat)])
        first, step = _lattice([part * n for part, n in zip(at, every, strict=True)])
        nodes = _wider(nodes)
        area = abs(np.linalg.det(_slope(nodes) / np.array(step)))
        if not np.isfinite(area) or area < 0.1:
            raise MetadataError("its latitudes and longitudes are in one point or line", path=path)
        return cls(found, shape, nodes, first, step)

    def to_map(self, row: Any, col: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(row, col) in pixel centres -> (x, y); straight on beyond the lattice."""
        at = self._at(row, col)
        x, y = (self._look(part, at) for part in self.nodes)
        return x, y

    def _at(self, row: Any, col: Any) -> NDArray[np.float64]:
        return np.stack(
            [(np.asarray(p, float) - f) / s for p, f, s in zip((row, col), self.first, self.step, strict=True)]
        )

    def _look(self, nodes: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
        inside = np.stack([np.clip(part, 0, n - 1) for part, n in zip(at, nodes.shape, strict=True)])
        beyond = at - inside
        slope = _slope(nodes[None])[0]
        values = ndimage.map_coordinates(nodes, inside.reshape(2, -1), order=1, mode="nearest").reshape(at.shape[1:])
        return np.asarray(values + beyond[0] * slope[0] + beyond[1] * slope[1])

    def to_pixels(self, x: Any, y: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(x, y) -> (row, col) in pixel corners."""
        x, y = np.asarray(x, float), np.asarray(y, float)
        slope = _slope(self.nodes) / np.array(self.step)
        back = np.linalg.inv(slope)
        middle = ((self.shape[0] - 1) / 2, (self.shape[1] - 1) / 2)
        x0, y0 = self.to_map(np.array([middle[0]]), np.array([middle[1]]))
        row = middle[0] + back[0, 0] * (x - x0) + back[0, 1] * (y - y0)
        col = middle[1] + back[1, 0] * (x - x0) + back[1, 1] * (y - y0)
        for _ in range(_STEPS):
            fx, fy = self.to_map(row, col)
            row = row + back[0, 0] * (x - fx) + back[0, 1] * (y - fy)
            col = col + back[1, 0] * (x - fx) + back[1, 1] * (y - fy)
        return row + 0.5, col + 0.5

    def grid(self, size: float) -> Grid:
        """Return the north-up grid that covers the swath, its edges on whole multiples of the pixel size."""
        edge = np.linspace(0, 1, 33)
        row = np.concatenate([edge * 0, edge, edge * 0 + 1, edge]) * self.shape[0] - 0.5
        col = np.concatenate([edge, edge * 0, edge, edge * 0 + 1]) * self.shape[1] - 0.5
        x, y = self.to_map(row, col)
        left, top = np.floor(x.min() / size) * size, np.ceil(y.max() / size) * size
        shape = int(np.ceil((top - y.min()) / size)), int(np.ceil((x.max() - left) / size))
        return Grid(shape, (size, 0, left, 0, -size, top), self.crs)  # type: ignore[arg-type]


def _middle(lat: NDArray[Any], lon: NDArray[Any]) -> tuple[float, float]:
    """Longitude and latitude of the middle, across the 180th meridian and at the poles too."""
    a, b = np.radians(lon.astype(float)), np.radians(lat.astype(float))
    x, y, z = float(np.mean(np.cos(b) * np.cos(a))), float(np.mean(np.cos(b) * np.sin(a))), float(np.mean(np.sin(b)))
    return float(np.degrees(np.arctan2(y, x))), float(np.degrees(np.arctan2(z, np.hypot(x, y))))


def _averages(
    values: NDArray[np.float64], known: NDArray[np.bool_]
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """Average over blocks: rows and columns of their middles, and (2, n, m) means; blocks at most 12 px, of one size.

    What is not known is first filled by a quadratic surface through the rest, so that means are those of the middles.
    """
    shape = known.shape
    if not known.all():
        values = _filled(values, known)
    counts = [max(2, n // _BLOCK) for n in shape]
    sizes = [n // c for n, c in zip(shape, counts, strict=True)]
    starts = [(n - s * c) // 2 for n, s, c in zip(shape, sizes, counts, strict=True)]
    cut = values[:, starts[0] : starts[0] + sizes[0] * counts[0], starts[1] : starts[1] + sizes[1] * counts[1]]
    means = cut.reshape(2, counts[0], sizes[0], counts[1], sizes[1]).mean(axis=(2, 4))
    at = [
        start + size * np.arange(count) + (size - 1) / 2
        for start, size, count in zip(starts, sizes, counts, strict=True)
    ]
    return at, means


def _filled(values: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    row, col = np.meshgrid(*(np.linspace(-1, 1, n) for n in known.shape), indexing="ij")
    terms = np.stack([np.ones_like(row), row, col, row * row, row * col, col * col], axis=-1)
    some = np.flatnonzero(known.ravel())[:: max(1, int(known.sum()) // 20_000)]
    flat = terms.reshape(-1, 6)
    weights = np.linalg.lstsq(flat[some], values.reshape(2, -1)[:, some].T, rcond=None)[0]
    return np.where(known, values, np.moveaxis(terms @ weights, -1, 0))


def _lattice(at: list[NDArray[np.float64]]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Place of the first node of the widened lattice, px, and px between nodes."""
    step = float(at[0][1] - at[0][0]), float(at[1][1] - at[1][0])
    return (float(at[0][0]) - step[0], float(at[1][0]) - step[1]), step


def _wider(nodes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add a node on every side, straight on."""
    for axis in (1, 2):
        first, second = (nodes.take([i], axis=axis) for i in (0, 1))
        last, before = (nodes.take([i], axis=axis) for i in (-1, -2))
        nodes = np.concatenate([2 * first - second, nodes, 2 * last - before], axis=axis)
    return nodes


def _slope(nodes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k, 2) mean change of each of k surfaces per node down the rows and along the columns."""
    rows, cols = nodes.shape[1] - 1, nodes.shape[2] - 1
    down = (nodes[:, -1] - nodes[:, 0]).mean(axis=1) / rows
    along = (nodes[:, :, -1] - nodes[:, :, 0]).mean(axis=1) / cols
    return np.stack([down, along], axis=1)
