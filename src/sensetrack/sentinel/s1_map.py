"""The map of a Sentinel-1 product: which ground it shows, and the pixels that cover it or an area of interest."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine

from sensetrack.errors import ConfigError, InputError, NoOverlapError
from sensetrack.files.places import outline_on, shapes_on
from sensetrack.files.vector import extent_of
from sensetrack.files.warp import local_crs
from sensetrack.grid import Grid, as_crs, crs_name
from sensetrack.sar.geometry import rdr2geo
from sensetrack.snap_gpt.aoi import AOI

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sensetrack.files.places import Extent
    from sensetrack.sar.radargrid import RadarGrid

_SIDE = 24
"""Points along each side of an image."""
_DEGREE = 111_319.5
"""Metres of a degree along the equator: the pixel of a map in degrees is as high as asked for."""


@dataclass(frozen=True, eq=False)
class Ground:
    """The ground that radar images show, as points on its rim in longitude and latitude, degrees."""

    lon: NDArray[np.float64]
    """Without a jump: may exceed 180."""
    lat: NDArray[np.float64]

    @classmethod
    def of(cls, grids: Sequence[RadarGrid], heights: tuple[float, float]) -> Ground:
        """Return what images show of ground between two heights, m above the ellipsoid."""
        lon, lat = [], []
        for grid in grids:
            line, sample = (np.linspace(-0.5, size - 0.5, _SIDE) for size in grid.shape)
            rows = np.concatenate([line, line, np.full(_SIDE, line[0]), np.full(_SIDE, line[-1])])
            cols = np.concatenate([np.full(_SIDE, sample[0]), np.full(_SIDE, sample[-1]), sample, sample])
            time = grid.time(rows)
            for height in heights:
                found = rdr2geo(grid, time, grid.slant_range(cols, time), height)
                lon.append(np.degrees(found.lon))
                lat.append(np.degrees(found.lat))
        east, north = np.concatenate(lon), np.concatenate(lat)
        known = np.isfinite(east)
        if not known.any():
            raise InputError("the orbit does not see the ground", advice="is the orbit file that of this product?")
        east, north = east[known], north[known]
        return cls(east[0] + (east - east[0] + 180) % 360 - 180, north)

    @property
    def crs(self) -> str:
        """UTM zone of its middle, or polar stereographic."""
        lon = (self.lon.min() + self.lon.max()) / 2
        return local_crs(float((lon + 180) % 360 - 180), float((self.lat.min() + self.lat.max()) / 2))

    def said(self) -> str:
        """Say where it is."""
        west, east, south, north = self.lon.min(), self.lon.max(), self.lat.min(), self.lat.max()
        return f"longitude {west:.3f} to {east:.3f}, latitude {south:.3f} to {north:.3f}"

    def grid(self, crs: Any, resolution: float) -> Grid:
        """Return the map that encloses it.

        Pixels lie on whole multiples of their size, so that the maps of all dates share one lattice.

        Raises
        ------
        InputError
            The CRS has no places for all of it.
        """
        import pyproj

        found = as_crs(crs)
        if found is None:
            raise ConfigError("a map needs a CRS")
        x, y = pyproj.Transformer.from_crs(4326, found, always_xy=True).transform(self.lon, self.lat)
        if found.is_geographic:
            x = x[0] + (x - x[0] + 180) % 360 - 180
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            message = f"{crs_name(found)} has no places for the product ({self.said()})"
            raise InputError(message, advice="choose another --crs")
        size = resolution / _DEGREE if found.is_geographic else resolution / found.axis_info[0].unit_conversion_factor
        left, top = np.floor(x.min() / size), np.ceil(y.max() / size)
        shape = int(top - np.floor(y.min() / size)), int(np.ceil(x.max() / size) - left)
        return Grid(shape, Affine(size, 0, left * size, 0, -size, top * size), found)


@dataclass(frozen=True, eq=False)
class Polygons:
    """An area in longitude and latitude as an extent of files and images."""

    area: AOI

    def on(self, grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(row, col), in pixel corners of a grid, of its outline; none: not there."""
        import shapely

        parts = shapes_on(shapely.get_parts(self.area.geometry), as_crs(4326), grid)
        col, row = shapely.get_coordinates(parts).T
        return row, col


@dataclass(frozen=True, eq=False)
class Outline:
    """What a mask covers."""

    mask: Grid

    def on(self, grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(row, col), in pixel corners of a grid, of its outline."""
        return outline_on(self.mask, grid)


def area_of(aoi: Any) -> Extent:
    """Return the extent of an area: a file of polygons, a mask, or what `AOI.of` reads.

    Raises
    ------
    InputError
        A mask without georeference, or not an area.
    """
    path = os.fspath(aoi) if isinstance(aoi, str | os.PathLike) else None
    if path is not None and len(path) < 4096 and os.path.exists(path.partition("|")[0]):  # noqa: PTH110  a text may be no path
        found = extent_of(path)
        if found is None:
            raise InputError("has no georeference", path=path, advice="give polygons")
        return Outline(found) if isinstance(found, Grid) else found
    return Polygons(AOI.of(aoi))


def cut(grid: Grid, area: Extent, margin: int = 0) -> Grid:
    """Return the part of a map that an area covers, and some pixels around it as far as the map goes.

    Raises
    ------
    NoOverlapError
        It covers none.
    """
    row, col = area.on(grid)
    known = np.isfinite(row) & np.isfinite(col)
    window = []
    for part, size in ((row[known], grid.shape[0]), (col[known], grid.shape[1])):
        if not part.size or np.floor(part.min()) >= size or np.ceil(part.max()) <= 0:
            raise NoOverlapError("the area of interest lies outside the product")
        start = max(int(np.floor(part.min())) - margin, 0)
        window.append(slice(start, min(max(int(np.ceil(part.max())), start + 1) + margin, size)))
    return grid.crop(*window)


def common(first: Grid, second: Grid) -> Grid | None:
    """Return the pixels that two maps on one lattice share; None where there are none."""
    a, b = first.transform, second.transform
    down, right = round((b.f - a.f) / a.e), round((b.c - a.c) / a.a)
    top, left = max(down, 0), max(right, 0)
    bottom, end = min(first.shape[0], down + second.shape[0]), min(first.shape[1], right + second.shape[1])
    if bottom <= top or end <= left:
        return None
    return replace(first.crop(slice(top, bottom), slice(left, end)))
