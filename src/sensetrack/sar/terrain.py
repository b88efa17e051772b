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
from sensetrack.sar.geometry import geo2rdr_xyz, to_ecef
from sensetrack.sar.lattice import HALO, Method, Parabolas, height_interval, node_spacing, nodes_of, sample
from sensetrack.sar.layover import layover_shadow

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
        found = _Nodes.of(self, *wide, height)
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
        lon, lat = self._lonlat(rows, cols)
        shape = rows.stop - rows.start, cols.stop - cols.start
        known = np.isfinite(lon) & np.isfinite(lat)
        if not known.any():
            return np.full(shape, np.nan)
        field = self.surface.field(*_bounds(lon[known], lat[known]))
        place = np.stack([(lat - field.lat) / field.d_lat, (lon - field.lon) / field.d_lon])
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
        direction = np.abs(_Nodes.of(self, rows, cols, np.asarray(relief)).away())
        return tuple(int(np.ceil(length * part)) + 1 for part in direction / np.hypot(*direction))  # type: ignore[return-value]


def widened(window: tuple[slice, slice], by: tuple[int, int]) -> tuple[slice, slice]:
    """Return a window with more rows and columns on all sides, which may lie beyond the image."""
    rows, cols = (slice(part.start - more, part.stop + more) for part, more in zip(window, by, strict=True))
    return rows, cols


def _bounds(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """West, south, east, north, radians, with a little room for what lies between nodes."""
    room = 1e-5
    return float(lon.min()) - room, float(lat.min()) - room, float(lon.max()) + room, float(lat.max()) + room


@dataclass(frozen=True, eq=False)
class _Nodes:
    """What is known at the nodes of a window."""

    radar: RadarGrid
    node: int
    middle: float
    half: float
    xyz: NDArray[np.float64]
    """(3 heights, node rows, node columns, 3), m: at the lower end, the middle and the upper end."""
    time: NDArray[np.float64]
    """(3, node rows, node columns), s."""
    distance: NDArray[np.float64]
    """(3, node rows, node columns), slant range, m."""

    @classmethod
    def of(cls, of: MapToRadar, rows: slice, cols: slice, height: NDArray[np.float64]) -> _Nodes:
        middle, half = height_interval(height)
        lon, lat = of._lonlat(rows, cols)  # noqa: SLF001  a part of it
        xyz = np.stack([to_ecef(lon, lat, np.full_like(lon, h)) for h in (middle - half, middle, middle + half)])
        time, distance = geo2rdr_xyz(of.radar, xyz)
        return cls(of.radar, of.node, middle, half, xyz, time, distance)

    def parabolas(self, names: Sequence[str]) -> Parabolas:
        values = np.stack([getattr(self, f"_{name}")() for name in names])
        return Parabolas.through(values, self.node, self.middle, self.half)

    def _line(self) -> NDArray[np.float64]:
        return self.radar.line(self.time)

    def _sample(self) -> NDArray[np.float64]:
        return self.radar.sample(self.distance, self.time)

    def _sight(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return unit vectors from the satellite to the ground, and places of the satellite, m."""
        position, _ = self.radar.orbit.state(self.time)
        sight = self.xyz - position
        return sight / np.linalg.norm(sight, axis=-1, keepdims=True), np.asarray(position)

    def _up(self) -> NDArray[np.float64]:
        up = self.xyz[2] - self.xyz[0]
        return np.asarray(up / np.linalg.norm(up, axis=-1, keepdims=True))

    def _look(self) -> NDArray[np.float64]:
        sight, position = self._sight()
        down = -position / np.linalg.norm(position, axis=-1, keepdims=True)
        return np.arccos(np.clip(_dot(sight, down), -1, 1))

    def _incidence(self) -> NDArray[np.float64]:
        sight, _ = self._sight()
        return np.arccos(np.clip(-_dot(sight, self._up()), -1, 1))

    def _tangents(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the steps on the ground, m, of one row and of one column, at every node."""
        row, col = (np.gradient(self.xyz[1], axis=axis) / self.node for axis in (0, 1))
        return row, col

    # With the steps b of a row and a of a column and the height h, the ground has the normal
    # (b + h_b up) x (a + h_a up) up to its sign, and what is seen of it is that against the line of sight.
    def _facing(self) -> NDArray[np.float64]:
        row, col = self._tangents()
        return self._towards(np.cross(row, col))

    def _facing_row(self) -> NDArray[np.float64]:
        return self._towards(np.cross(self._up(), self._tangents()[1]))

    def _facing_col(self) -> NDArray[np.float64]:
        return self._towards(np.cross(self._tangents()[0], self._up()))

    def _towards(self, normal: NDArray[np.float64]) -> NDArray[np.float64]:
        sight, _ = self._sight()
        row, col = self._tangents()
        sign = np.sign(_dot(np.cross(row, col), self._up()))
        return -_dot(sight, normal) * sign

    def local_incidence(self, values: dict[str, NDArray[np.float64]], height: NDArray[np.float64]) -> NDArray[Any]:
        """Angle between the line of sight and the normal of the ground, radians; above 90 degrees: turned away."""
        by_row, by_col = np.gradient(height)
        seen = values["facing"] + by_row * values["facing_row"] + by_col * values["facing_col"]
        middle = tuple(size // 2 for size in self.xyz.shape[1:3])
        row, col = (step[middle] for step in self._tangents())
        up = self._up()[middle]
        flat, of_row, of_col = np.cross(row, col), np.cross(up, col), np.cross(row, up)
        square = flat @ flat + 2 * by_row * (flat @ of_row) + 2 * by_col * (flat @ of_col)
        square = square + by_row**2 * (of_row @ of_row) + by_col**2 * (of_col @ of_col)
        square += 2 * by_row * by_col * (of_row @ of_col)
        return np.asarray(np.arccos(np.clip(seen / np.sqrt(square), -1, 1)))

    def away(self) -> tuple[float, float]:
        """Rows and columns in which range grows while azimuth time stays, in the middle of the window."""
        line, place = self._line()[1], self._sample()[1]
        known = [np.nanmedian(part) for part in (*np.gradient(line), *np.gradient(place))]
        if not np.isfinite(known).all():
            return 0.0, 1.0
        line_row, line_col, place_row, place_col = known
        # Perpendicular to the gradient of time, on the side where range grows.
        row, col = -line_col, line_row
        sign = 1.0 if row * place_row + col * place_col > 0 else -1.0
        return sign * float(row), sign * float(col)


def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((a * b).sum(axis=-1))


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
        line = (placed.line - image.line[0]) / image.line[1]
        column = (placed.sample - image.sample[0]) / image.sample[1]
        rows, cols = image.shape
        with np.errstate(invalid="ignore"):
            wanted = wanted & (line >= 0) & (line <= rows - 1) & (column >= 0) & (column <= cols - 1)
        if not wanted.any():
            return
        halo = HALO[self.method]
        window = tuple(
            slice(max(int(part[wanted].min()) - halo, 0), min(int(np.ceil(part[wanted].max())) + halo + 1, size))
            for part, size in ((line, rows), (column, cols))
        )
        line = np.where(wanted, line - window[0].start, np.nan)
        column = column - window[1].start
        for band, place in zip(image.bands, out, strict=True):
            values = sample(np.asarray(band[window]), line, column, self.method)
            np.copyto(place, values, where=wanted)


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
