"""Terrain correction: radar images on a map grid, by orbit and heights, block by block.

For every pixel of the map: its place and height on the ellipsoid, the azimuth time and range at which the radar saw it,
and what is in the image there. Everything but the height is computed on a lattice (`sensetrack.sar.lattice`).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from sensetrack.errors import ConfigError
from sensetrack.sar.compiling import WORKS
from sensetrack.sar.heights import MappedSurface, bilinear_at_nodes
from sensetrack.sar.lattice import (
    HALO,
    METHODS,
    Affine1,
    Method,
    Parabolas,
    fill_kernel,
    node_spacing,
    nodes_of,
    reach_kernel,
    sample,
)
from sensetrack.sar.layover import layover_shadow
from sensetrack.sar.terrain_nodes import Nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyproj
    from numpy.typing import NDArray

    from sensetrack.grid import Grid
    from sensetrack.sar.heights import Surface
    from sensetrack.sar.radargrid import RadarGrid

Layer = Literal["incidence", "local_incidence", "mask", "height"]
"""Incidence angle from the vertical, and from the normal of the ground, degrees; sum of `sensetrack.sar.layover`'s
LAYOVER and SHADOW; height above the ellipsoid, m."""
LAYERS: tuple[str, ...] = get_args(Layer)
UNITS = {"incidence": "deg", "local_incidence": "deg", "mask": "bits", "height": "m"}

_FARTHEST = 10_000.0
"""Distance, m, within which ground may hide other ground, or be seen at the same time."""


@dataclass(frozen=True, eq=False)
class RadarImage:
    """Bands of one image in radar geometry, and where its pixels lie in that of a reference.

    Row r is at line ``line[0] + line[1] * r`` of the reference, column c at sample ``sample[0] + sample[1] * c``: an
    image of many looks, or one swath of several, has its own.
    """

    bands: tuple[Any, ...]
    """Sources of (rows, cols) float32, read by windows; NaN = not valid."""
    line: tuple[float, float] = (0.0, 1.0)
    sample: tuple[float, float] = (0.0, 1.0)
    seam: tuple[float, float] = (-np.inf, np.inf)
    """Samples of the reference from and up to which this image is the one to take; elsewhere it fills gaps."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""
        rows, cols = self.bands[0].shape
        return int(rows), int(cols)


@dataclass(frozen=True, eq=False)
class Placed:
    """Where the radar saw the pixels of a window of a map."""

    line: NDArray[np.float64]
    """(rows, cols); lines of the reference, NaN where the height is not known or the orbit does not reach."""
    sample: NDArray[np.float64]
    """(rows, cols)"""
    height: NDArray[np.float64]
    """(rows, cols), m above the ellipsoid."""
    layers: dict[str, NDArray[Any]] = field(default_factory=dict)
    """Those asked for: (rows, cols) float32."""


class MapToRadar:
    """Where the radar saw the pixels of a map.

    Parameters
    ----------
    grid : Grid
        The map, in any CRS.
    radar : RadarGrid
    surface : Surface
        Heights of the ground above the ellipsoid.
    layers : sequence of Layer
        What else is wanted of every pixel.
    """

    def __init__(self, grid: Grid, radar: RadarGrid, surface: Surface, layers: Sequence[str] = ()) -> None:
        unknown = sorted(set(layers) - set(LAYERS))
        if unknown:
            raise ConfigError(f"there is no layer {unknown[0]!r}; there are {', '.join(LAYERS)}")
        self.grid, self.radar, self.surface, self.layers = grid, radar, surface, tuple(layers)
        self.pixel = float(np.mean(grid.pixel_size))
        self.node = node_spacing(self.pixel)

    def places(self, rows: slice, cols: slice) -> Placed:
        """Return where the radar saw a window of pixels."""
        margin = self._margin(rows, cols)
        wide = widened((rows, cols), margin)
        height = self.heights(*wide)
        found = Nodes.of(self.radar, self.node, self._lonlat(*wide), height)
        names = ["line", "sample"]
        names += ["look"] * ("mask" in self.layers) + ["incidence"] * ("incidence" in self.layers)
        names += ["facing", "facing_row", "facing_col"] * ("local_incidence" in self.layers)
        values = dict(zip(names, found.parabolas(names).at(height), strict=True))
        inner = tuple(slice(by, by + part.stop - part.start) for by, part in zip(margin, (rows, cols), strict=True))
        layers: dict[str, NDArray[Any]] = {}
        if "mask" in self.layers:
            mask = layover_shadow(values["sample"], values["look"], found.away()).astype(np.float32)
            layers["mask"] = np.where(np.isfinite(values["line"]), mask, np.float32(np.nan))[inner]
        if "incidence" in self.layers:
            layers["incidence"] = np.degrees(values["incidence"][inner]).astype(np.float32)
        if "local_incidence" in self.layers:
            layers["local_incidence"] = np.degrees(found.local_incidence(values, height))[inner].astype(np.float32)
        if "height" in self.layers:
            layers["height"] = height[inner].astype(np.float32)
        return Placed(values["line"][inner], values["sample"][inner], height[inner], layers)

    def heights(self, rows: slice, cols: slice) -> NDArray[np.float64]:
        """Return heights above the ellipsoid, m, of a window that may reach beyond the map; NaN: not known."""
        if isinstance(self.surface, MappedSurface):
            found = self.surface.on_map(self.grid, rows, cols)
            if found is not None:
                return found
        lon, lat = self._lonlat(rows, cols)
        shape = rows.stop - rows.start, cols.stop - cols.start
        known = np.isfinite(lon) & np.isfinite(lat)
        if not known.any():
            return np.full(shape, np.nan)
        field = self.surface.field(*_bounds(lon[known], lat[known]))
        place = (lat - field.lat) / field.d_lat, (lon - field.lon) / field.d_lon
        if WORKS:
            return bilinear_at_nodes(field.heights, *place, self.node, shape, strict=False)
        flat = np.stack([place, np.zeros_like(place), np.zeros_like(place)], axis=1)
        row, col = Parabolas(np.ascontiguousarray(flat), self.node, 0.0, 1.0).at(np.zeros(shape))
        return sample(field.heights, row, col).astype(np.float64)

    def _lonlat(self, rows: slice, cols: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Longitude and latitude of the nodes of a window, radians, without a jump; NaN: there is no such place."""
        row, col = np.meshgrid(nodes_of(rows, self.node), nodes_of(cols, self.node), indexing="ij")
        lon, lat = to_lonlat(self.grid)(*self.grid.xy(row, col))
        known = np.isfinite(lon) & np.isfinite(lat)
        lon, lat = np.where(known, lon, np.nan), np.where(known, lat, np.nan)
        if known.any():
            near = lon[known][0]
            lon = near + (lon - near + np.pi) % (2 * np.pi) - np.pi
            lon = lon - 2 * np.pi * np.floor((lon[known].min() + np.pi) / (2 * np.pi))
        return lon, lat

    def _margin(self, rows: slice, cols: slice) -> tuple[int, int]:
        """Rows and columns around a window that its layers need."""
        least = int("local_incidence" in self.layers)
        if "mask" not in self.layers:
            return least, least
        far = int(np.ceil(_FARTHEST / self.pixel))
        lon, lat = self._lonlat(*widened((rows, cols), (far, far)))
        known = np.isfinite(lon)
        relief = self.surface.field(*_bounds(lon[known], lat[known])).relief if known.any() else None
        if relief is None:
            return 1, 1
        # Steep looks fold, flat ones hide: height over distance is the cotangent, or the tangent, of 20 to 60 degrees.
        length = min(2.8 * (relief[1] - relief[0]) / self.pixel, far)
        direction = np.abs(Nodes.of(self.radar, self.node, self._lonlat(rows, cols), np.asarray(relief)).away())
        return tuple(int(np.ceil(length * part)) + 1 for part in direction / np.hypot(*direction))  # type: ignore[return-value]


def widened(window: tuple[slice, slice], by: tuple[int, int]) -> tuple[slice, slice]:
    """Return a window with more rows and columns on all sides, which may lie beyond the image."""
    rows, cols = (slice(part.start - more, part.stop + more) for part, more in zip(window, by, strict=True))
    return rows, cols


def _bounds(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """West, south, east, north, radians, with a little room for what lies between nodes."""
    room = 1e-5
    return float(lon.min()) - room, float(lat.min()) - room, float(lon.max()) + room, float(lat.max()) + room


def to_lonlat(grid: Grid) -> Callable[[Any, Any], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return a function from (x, y) on a map to longitude and latitude on WGS 84, radians; infinite: no such place."""
    transformer = _transformer(grid.crs)

    def convert(x: Any, y: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        lon, lat = transformer.transform(x, y)
        return np.radians(lon), np.radians(lat)

    return convert


@lru_cache(maxsize=16)
def _transformer(crs: Any) -> pyproj.Transformer:
    import pyproj

    return pyproj.Transformer.from_crs(crs, 4326, always_xy=True)


class TerrainCorrected:
    """Radar images on a map, and layers of geometry; computed where they are read.

    Parameters
    ----------
    places : MapToRadar
    images : sequence of RadarImage
        All with the same bands. Where one has no value another may.
    method : {"nearest", "bilinear", "cubic"}
        How images are sampled.
    """

    def __init__(self, places: MapToRadar, images: Sequence[RadarImage], method: Method = "bilinear") -> None:
        if method not in HALO:
            raise ConfigError(f"method must be {', '.join(HALO)}, instead got {method!r}")
        self.places, self.images, self.method = places, tuple(images), method
        self._last = threading.local()

    @property
    def grid(self) -> Grid:
        """The map."""
        return self.places.grid

    def block(self, rows: slice, cols: slice) -> tuple[list[NDArray[np.float32]], Placed]:
        """Return the bands, and the geometry, of a window; the last one of each thread is kept."""
        key = rows.start, rows.stop, cols.start, cols.stop
        if getattr(self._last, "key", None) != key:
            placed = self.places.places(rows, cols)
            self._last.value = self._bands(placed), placed
            self._last.key = key
        value: tuple[list[NDArray[np.float32]], Placed] = self._last.value
        return value

    def band(self, index: int) -> Band:
        """Return one band of the images, from 0."""
        return Band(self, lambda bands, _: bands[index])

    def layer(self, name: str) -> Band:
        """Return one layer of geometry."""
        return Band(self, lambda _, placed: placed.layers[name])

    def _bands(self, placed: Placed) -> list[NDArray[np.float32]]:
        count = len(self.images[0].bands)
        out = [np.full(placed.line.shape, np.nan, np.float32) for _ in range(count)]
        for turn in ("own", "gaps"):
            for image in self.images:
                wanted = _wanted(image, placed) if turn == "own" else np.isnan(out[0])
                if turn == "gaps" and len(self.images) == 1:
                    continue
                self._fill(out, image, placed, wanted)
        return out

    def _fill(
        self, out: list[NDArray[np.float32]], image: RadarImage, placed: Placed, wanted: NDArray[np.bool_]
    ) -> None:
        """Sample the bands of an image where they are wanted and there."""
        line, column = np.ascontiguousarray(placed.line), np.ascontiguousarray(placed.sample)
        down, across = Affine1(*map(float, image.line)), Affine1(*map(float, image.sample))
        wanted = np.array(wanted)
        ends = (reach_kernel if WORKS else _reach_plain)(line, column, down, across, image.shape, wanted)
        if not ends[0] <= ends[1]:
            return
        halo = HALO[self.method]
        window = tuple(
            slice(max(int(first) - halo, 0), min(int(np.ceil(last)) + halo + 1, size))
            for first, last, size in zip(ends[::2], ends[1::2], image.shape, strict=True)
        )
        corner = window[0].start, window[1].start
        for band, place in zip(image.bands, out, strict=True):
            pixels = np.ascontiguousarray(band[window], np.float32)
            if WORKS:
                method = METHODS.index(self.method)
                fill_kernel(pixels, corner, line, column, down, across, wanted, method, place)
            else:
                y, x = (line - down.origin) / down.step - corner[0], (column - across.origin) / across.step - corner[1]
                np.copyto(place, sample(pixels, y, x, self.method), where=wanted)


def _reach_plain(  # noqa: PLR0917
    line: NDArray[np.float64], column: NDArray[np.float64], down: Affine1, across: Affine1, shape: tuple[int, int],
    wanted: NDArray[np.bool_],
) -> tuple[float, float, float, float]:  # fmt: skip
    """Do what `reach_kernel` does, in NumPy."""
    y, x = (line - down.origin) / down.step, (column - across.origin) / across.step
    with np.errstate(invalid="ignore"):
        wanted &= (y >= 0) & (y <= shape[0] - 1) & (x >= 0) & (x <= shape[1] - 1)
    if not wanted.any():
        return np.inf, -np.inf, np.inf, -np.inf
    return tuple(float(end(part[wanted])) for part in (y, x) for end in (np.min, np.max))  # type: ignore[return-value]


def _wanted(image: RadarImage, placed: Placed) -> NDArray[np.bool_]:
    if not np.isfinite(image.seam).any():
        return np.ones(placed.line.shape, bool)
    with np.errstate(invalid="ignore"):
        return np.asarray((placed.sample >= image.seam[0]) & (placed.sample < image.seam[1]))


class Band:
    """One band of what a `TerrainCorrected` yields, read by windows."""

    dtype = np.dtype(np.float32)

    def __init__(self, of: TerrainCorrected, take: Callable[[list[NDArray[np.float32]], Placed], NDArray[Any]]) -> None:
        self.of, self.take, self.shape = of, take, of.grid.shape

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.float32]:
        rows, cols = (slice(*part.indices(size)[:2]) for part, size in zip(key, self.shape, strict=True))
        return np.asarray(self.take(*self.of.block(rows, cols)), np.float32)
