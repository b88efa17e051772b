"""Posts of a radar image on a map, backward: every pixel of the map looks up the posts around its place.

That leaves no holes where the ground faces away and no piles where it faces the radar, whatever the CRS and the pixels.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.blocks import Block, plan, run
from sensetrack.errors import InputError
from sensetrack.ot.fields import Flag
from sensetrack.sar.layover import LAYOVER, SHADOW
from sensetrack.sar.lazy import Lazy
from sensetrack.sar.map_layers import area_on
from sensetrack.sar.terrain import MapToRadar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from sensetrack.blocks import Mapper
    from sensetrack.grid import Grid
    from sensetrack.sar.heights import Surface
    from sensetrack.sar.radar_field import RadarField

_SIDE = 512
"""Rows and columns of the map that `Geocoded.whole` computes together."""


class Geocoded:
    """Layers of posts on a map, computed where they are read.

    Parameters
    ----------
    posts : RadarField
        Where the posts are.
    layers : mapping of str to (rows, cols) ndarray
        Values at the posts; NaN: none.
    flags : (rows, cols) uint16
        Bits of `Flag` at the posts.
    grid : Grid
        The map, in any CRS.
    surface : Surface
        Heights of the ground above the ellipsoid.
    area : shapely geometry, optional
        In the CRS of the map; outside there is nothing.
    masks : bool
        Whether layover and shadow, as the pixels of the map see them, are added to the flags; values stay.
    """

    def __init__(
        self,
        posts: RadarField,
        layers: Mapping[str, NDArray[Any]],
        flags: NDArray[np.uint16],
        grid: Grid,
        surface: Surface,
        *,
        area: Any = None,
        masks: bool = False,
    ) -> None:
        for name, values in (*layers.items(), ("flags", flags)):
            if values.shape != posts.shape:
                message = f"{name} must have the shape {posts.shape} of the posts, instead got {values.shape}"
                raise InputError(message)
        self.posts, self.flag_values, self.grid, self.area = posts, flags, grid, area
        self.layers = {name: np.asarray(values, np.float32) for name, values in layers.items()}
        self.places = MapToRadar(grid, posts.radar, surface, ("mask",) if masks else ())
        self._last = threading.local()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the layers."""
        return tuple(self.layers)

    def layer(self, name: str) -> Lazy:
        """Return one layer: float32, NaN = nothing there."""
        if name not in self.layers:
            raise InputError(f"there is no layer {name!r}; there are {', '.join(self.layers)}")
        return _Layer(self, name, np.dtype(np.float32))

    @property
    def flags(self) -> Lazy:
        """Flags of the nearest post, uint16; NO_DATA where there is none, OUT_OF_AOI outside the area."""
        return _Layer(self, "flags", np.dtype(np.uint16))

    def read(self, rows: slice, cols: slice) -> dict[str, NDArray[Any]]:
        """Return all layers, and `flags`, in a window of the map; the last one of each thread is kept.

        A pixel has a value where its nearest post has one. It is interpolated bilinearly between those of the four
        posts around it that have values; beyond the outermost posts, up to half a post, that of the outermost.
        """
        key = rows.start, rows.stop, cols.start, cols.stop
        if getattr(self._last, "key", None) != key:
            self._last.value = self._read(rows, cols)
            self._last.key = key
        value: dict[str, NDArray[Any]] = self._last.value
        return value

    def whole(
        self, *, mapper: Mapper = map, advance: Callable[[int, int], None] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Return all layers, and `flags`, of the whole map."""
        out: dict[str, NDArray[Any]] = {name: np.empty(self.grid.shape, np.float32) for name in self.layers}
        out["flags"] = np.empty(self.grid.shape, np.uint16)

        def work(block: Block) -> dict[str, NDArray[Any]]:
            return self._read(block.rows, block.cols)

        for block, found in run(work, plan(self.grid.shape, (_SIDE, _SIDE)), mapper=mapper, advance=advance):
            for name, values in found.items():
                out[name][block.rows, block.cols] = values
        return out

    def _read(self, rows: slice, cols: slice) -> dict[str, NDArray[Any]]:
        placed = self.places.places(rows, cols)
        of = self.posts.field
        row = (placed.line + 0.5 - of.start[0]) / of.step[0]
        col = (placed.sample + 0.5 - of.start[1]) / of.step[1]
        outside = self._outside(rows, cols)
        near = _Around(np.where(outside, np.nan, row), col, self.posts.shape)
        out: dict[str, NDArray[Any]] = {name: near.interpolated(values) for name, values in self.layers.items()}
        flags = near.nearest(self.flag_values, Flag.NO_DATA.bit)
        if "mask" in placed.layers:
            mask = np.nan_to_num(placed.layers["mask"]).astype(np.uint8)
            for bit, flag in ((LAYOVER, Flag.LAYOVER), (SHADOW, Flag.SHADOW)):
                flags |= np.where(mask & bit, flag.bit, np.uint16(0)).astype(np.uint16)
        out["flags"] = np.where(outside, Flag.OUT_OF_AOI.bit | Flag.NO_DATA.bit, flags).astype(np.uint16)
        return out

    def _outside(self, rows: slice, cols: slice) -> NDArray[np.bool_]:
        """Tell which pixels have their centre outside the area."""
        shape = rows.stop - rows.start, cols.stop - cols.start
        if self.area is None:
            return np.zeros(shape, np.bool_)
        import shapely

        shapely.prepare(self.area)
        row, col = np.meshgrid(np.arange(rows.start, rows.stop), np.arange(cols.start, cols.stop), indexing="ij")
        return np.asarray(~shapely.contains_xy(self.area, *self.grid.xy(row, col)))


class _Layer(Lazy):
    """One layer of a `Geocoded`."""

    def __init__(self, of: Geocoded, name: str, dtype: np.dtype[Any]) -> None:
        self._of, self._name, self.shape, self.dtype = of, name, of.grid.shape, dtype

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        if rows.stop <= rows.start or cols.stop <= cols.start:
            return np.empty((rows.stop - rows.start, cols.stop - cols.start), self.dtype)
        return self._of.read(rows, cols)[self._name]


class _Around:
    """Posts around places, which are given as rows and columns of posts; NaN: nowhere."""

    def __init__(self, row: NDArray[np.float64], col: NDArray[np.float64], shape: tuple[int, int]) -> None:
        with np.errstate(invalid="ignore"):
            inside = (row >= -0.5) & (row < shape[0] - 0.5) & (col >= -0.5) & (col < shape[1] - 0.5)
        self.shape, self.inside = row.shape, inside
        self.at = row[inside], col[inside]
        self.posts = shape

    def nearest(self, values: NDArray[Any], nothing: Any) -> NDArray[Any]:
        """Return the values of the nearest posts."""
        out = np.full(self.shape, nothing, values.dtype)
        row, col = (np.floor(at + 0.5).astype(np.intp) for at in self.at)
        out[self.inside] = values[row, col]
        return out

    def interpolated(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Interpolate between what is known of the four posts around, where the nearest is known."""
        row, col = (np.floor(at).astype(np.intp) for at in self.at)
        u, v = self.at[0] - row, self.at[1] - col
        total, weight = np.zeros(u.size), np.zeros(u.size)
        for down, right, share in ((0, 0, (1 - u) * (1 - v)), (0, 1, (1 - u) * v), (1, 0, u * (1 - v)), (1, 1, u * v)):
            r, c = row + down, col + right
            there = (r >= 0) & (c >= 0) & (r < self.posts[0]) & (c < self.posts[1])
            value = values[np.where(there, r, 0), np.where(there, c, 0)]
            counts = there & np.isfinite(value)
            total += np.where(counts, value, 0) * share
            weight += np.where(counts, share, 0)
        near = np.isfinite(self.nearest(values, np.nan)[self.inside])
        out = np.full(self.shape, np.nan, np.float32)
        # The nearest post has at least a quarter of the weight.
        out[self.inside] = np.divide(total, weight, out=np.full(u.size, np.nan), where=near)
        return out


def geocode(
    posts: RadarField,
    layers: Mapping[str, NDArray[Any]],
    flags: NDArray[np.uint16],
    grid: Grid,
    surface: Surface,
    *,
    area: Any = None,
    masks: bool = False,
) -> Geocoded:
    """Look up layers of posts for every pixel of a map; nothing is computed before it is read.

    Parameters
    ----------
    posts, layers, flags, grid, surface, masks
        See `Geocoded`; layers of a displacement come from `sensetrack.sar.map_layers.map_layers`, maps from
        `sensetrack.sar.map_layers.map_grid`.
    area : shapely geometry, optional
        Longitude and latitude, degrees: outside there is nothing.
    """
    if area is not None:
        west, _, east, _ = grid.bounds
        area = area_on(area, grid.crs, (west + east) / 2)
    return Geocoded(posts, layers, flags, grid, surface, area=area, masks=masks)
