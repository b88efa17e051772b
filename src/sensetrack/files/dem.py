"""Heights of the ground from a raster file: above the ellipsoid, whatever they are above in the file."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np

from sensetrack.errors import ConfigError, InputError
from sensetrack.files.geoid import Geoid, geoid
from sensetrack.files.nodes import STRAIGHT, at_nodes, nodes, on_map, spread, window_at
from sensetrack.files.raster import FILL_VALUES, choose_band, open_raster
from sensetrack.files.warp import pixels_of
from sensetrack.grid import Grid, as_crs, crs_name, same_crs
from sensetrack.sar.heights import HeightField, Level

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import pyproj
    from numpy.typing import ArrayLike, NDArray

    from sensetrack.files.raster import RasterFile
    from sensetrack.files.warp import ToPixels

log = logging.getLogger(__name__)

Vertical = Literal["ellipsoid", "egm96", "egm2008"]
"""What heights in a file are above: the ellipsoid of WGS84, or one of two models of the sea level."""
VERTICAL: tuple[str, ...] = ("ellipsoid", "egm96", "egm2008")
Voids = Literal["mask", "sea"]

_SMALL = 8
"""Rows and columns of the largest void that is closed from its rim."""
_PLAUSIBLE = (-12_000.0, 9_500.0)
"""Metres; what lies beyond is no height of the ground."""
_FILL = tuple(value for value in FILL_VALUES if _PLAUSIBLE[0] < value < _PLAUSIBLE[1])
"""Values that would be heights, but stand for missing ones."""
_SMOOTH = 2000.0
"""Metres within which the geoid is straight to a millimetre or two."""
_LARGEST = 1 << 24
"""Heights that are read at a time for single places."""
_METRES = 6_378_137.0
"""Metres per radian on a meridian, about."""
_PRODUCTS = (
    (r"copernicus|cop[-_]?dem|glo[-_]?(30|90)|fabdem", "egm2008", "Copernicus DEM"),
    (r"tdm1|tandem-?x|arcticdem|rema_", "ellipsoid", "TanDEM-X, ArcticDEM and REMA"),
    (
        r"srtm|nasadem|aster|gdem|alpsmlc30|aw3d|(?<![a-z])[ns]\d{2}[ew]\d{3}(?!\d)",
        "egm96",
        "SRTM, NASADEM, ASTER and AW3D30",
    ),
)
"""Names of files, what their heights are above, and whose heights these are."""
_TAKEN = "are taken to be above {} (vertical=... says otherwise)"
"""How a note on what was assumed ends."""


@dataclass(frozen=True, eq=False)
class Dem:
    """An open elevation model; heights are above the ellipsoid. Windows may be read from several threads.

    Voids of at most 8 x 8 px are closed from their rim. Larger ones stay NaN or, with `voids` "sea", are sea level.
    """

    file: RasterFile
    band: int
    grid: Grid
    """Rows and columns, transform and horizontal CRS."""
    vertical: Vertical
    """What heights in the file are above."""
    geoid: Geoid | None
    """What is added to them."""
    voids: Voids
    notes: tuple[str, ...]
    """What was assumed of the file: for records."""
    _said: set[str] = field(default_factory=set, repr=False)
    _ways: WeakKeyDictionary[Grid, ToPixels] = field(default_factory=WeakKeyDictionary, repr=False)
    """From maps to pixels of the file."""

    @cached_property
    def posting(self) -> float:
        """Metres on the ground between heights: the shorter of the two directions, in the middle."""
        return float(min(self.grid.pixel_size))

    @property
    def source(self) -> str:
        """Name of the file and what its heights are above, for records."""
        above = self.vertical if self.geoid is None else self.geoid.name
        return f"{self.file.path.name} ({above})"

    def read(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        """Return heights above the ellipsoid, m, of a window of the file's pixels; NaN where unknown."""
        rows, cols = (slice(*part.indices(size)) for part, size in zip((rows, cols), self.grid.shape, strict=True))
        heights = self._raw(rows, cols)
        missing = np.isnan(heights)
        if missing.any() and self.voids == "sea":
            heights = np.where(missing, 0.0, heights)
        elif missing.any() and "voids" not in self._said:
            self._said.add("voids")
            log.warning(
                "%s: has pixels without a height; what lies there is left out (voids='sea' puts it on the sea)",
                self.file.path,
            )
        if self.geoid is None and not (self.voids == "sea" and missing.any()):
            return heights.astype(np.float32)
        sea = self._undulation(rows, cols)
        return np.where(missing | (self.geoid is not None), heights + sea, heights).astype(np.float32)

    def _raw(self, rows: slice, cols: slice) -> NDArray[np.float64]:
        """Heights as in the file, small voids closed, NaN elsewhere where there is none."""
        wide = [slice(max(part.start - _SMALL - 2, 0), min(part.stop + _SMALL + 2, size))
                for part, size in zip((rows, cols), self.grid.shape, strict=True)]  # fmt: skip
        values = self.file.read(self.band, *wide)
        heights = values.astype(np.float64)
        with np.errstate(invalid="ignore"):
            missing = ~((heights > _PLAUSIBLE[0]) & (heights < _PLAUSIBLE[1]))
        for fill in _FILL:
            missing |= values == fill
        if self.file.nodata is not None:
            missing |= values == self.file.nodata
        mask = self.file.read_mask(*wide)
        if mask is not None:
            missing |= ~mask
        heights[missing] = np.nan
        inner = tuple(
            slice(part.start - around.start, part.stop - around.start)
            for part, around in zip((rows, cols), wide, strict=True)
        )
        if missing[inner].any() and not missing.all():
            heights = close_voids(heights)
        return heights[inner]

    def _undulation(self, rows: slice, cols: slice) -> NDArray[np.float64]:
        """Height of the geoid at the pixels of a window, m."""
        step = int(np.clip(_SMOOTH / self.posting, 1, 64))
        row, col = np.meshgrid(nodes(rows, step), nodes(cols, step), indexing="ij")
        lon, lat = self._to_lonlat(*self.grid.xy(row, col))
        shape = rows.stop - rows.start, cols.stop - cols.start
        model = geoid("egm96") if self.geoid is None else self.geoid
        return spread(model.undulation(lon, lat), step, shape)

    @cached_property
    def _to_lonlat(self) -> Callable[[Any, Any], tuple[Any, Any]]:
        """(x, y) of the file's CRS -> longitude and latitude, radians."""
        if self._plain:
            return lambda x, y: (np.radians(x), np.radians(y))
        import pyproj

        transformer = pyproj.Transformer.from_crs(self.grid.crs, 4326, always_xy=True)

        def project(x: Any, y: Any) -> tuple[Any, Any]:
            lon, lat = transformer.transform(x, y)
            return np.radians(lon), np.radians(lat)

        return project

    @cached_property
    def _plain(self) -> bool:
        """Whether rows and columns of the file are parallels and meridians of WGS84."""
        transform = self.grid.transform
        return same_crs(self.grid.crs, as_crs(4326)) and transform.b == 0 == transform.d

    def field(self, west: float, south: float, east: float, north: float) -> HeightField:
        """Return the heights of a range of longitudes and latitudes, radians.

        `east` is above `west` and may exceed pi. Where the file is on parallels and meridians the heights are its own,
        else they are interpolated. What lies outside the file is NaN, or not part of the answer.
        """
        if not (west <= east and south <= north):
            raise InputError(f"west and south must be below east and north, instead got {(west, south, east, north)}")
        if south < -np.pi / 2 - 1e-6 or north > np.pi / 2 + 1e-6:
            raise InputError(f"latitudes must be radians, instead got {south:.4g} to {north:.4g}")
        return self._own(west, south, east, north) if self._plain else self._warped(west, south, east, north)

    def _own(self, west: float, south: float, east: float, north: float) -> HeightField:
        t, shape = self.grid.transform, self.grid.shape
        middle = t.c + t.a * shape[1] / 2
        turn = 360 * round((np.degrees(0.5 * (west + east)) - middle) / 360)
        x = np.degrees(np.array([west, east])) - turn
        y = np.degrees(np.array([south, north]))
        rows, cols = window_at((y - t.f) / t.e - 0.5, shape[0]), window_at((x - t.c) / t.a - 0.5, shape[1])
        lon, lat = np.radians(t.c + t.a / 2 + turn), np.radians(t.f + t.e / 2)
        d_lon, d_lat = np.radians(t.a), np.radians(t.e)
        if rows is None or cols is None:
            return HeightField(np.full((2, 2), np.nan, np.float32), west, north, d_lon, d_lat)
        return HeightField(self.read(rows, cols), lon + d_lon * cols.start, lat + d_lat * rows.start, d_lon, d_lat)

    def _warped(self, west: float, south: float, east: float, north: float) -> HeightField:
        d_lat = self.posting / _METRES
        d_lon = d_lat / max(np.cos(max(abs(south), abs(north))), 0.01)
        north, west = north + d_lat, west - d_lon
        shape = int(np.ceil((north - south) / d_lat)) + 2, int(np.ceil((east - west) / d_lon)) + 2
        step = int(np.clip(STRAIGHT / self.posting, 1, 32))
        lat = north - d_lat * nodes(slice(0, shape[0]), step)[:, None]
        lon = west + d_lon * nodes(slice(0, shape[1]), step)
        lon, lat = np.broadcast_arrays(np.degrees(lon), np.degrees(np.clip(lat, -np.pi / 2, np.pi / 2)))
        row, col = (np.asarray(part) - 0.5 for part in self._to_pixels(lon, lat))
        heights = at_nodes(self.read, self.grid.shape, (row, col), step, shape)
        return HeightField(heights.astype(np.float32), west, north, d_lon, -d_lat)

    def on_map(self, grid: Grid, rows: slice, cols: slice) -> NDArray[np.float64] | None:
        """Return heights above the ellipsoid, m, at the pixels of a window of a map, which may reach beyond it.

        Bilinear between those of the file, NaN where unknown. None where the file is on parallels and meridians:
        `field` has its own heights then.
        """
        if self._plain:
            return None
        way = self._ways.get(grid)
        if way is None:
            way = self._ways.setdefault(grid, pixels_of(self.grid, grid.crs))
        return on_map(self.read, self.grid.shape, way, grid, (rows, cols))

    @cached_property
    def _to_pixels(self) -> Any:
        return pixels_of(self.grid, 4326)

    def heights_at(self, lon: ArrayLike, lat: ArrayLike) -> NDArray[np.float64]:
        """Return heights above the ellipsoid, m, at places in radians, between pixels bilinearly; NaN where unknown."""
        lon, lat = np.broadcast_arrays(np.asarray(lon, np.float64), np.asarray(lat, np.float64))
        out = np.full(lon.shape, np.nan)
        known = np.isfinite(lon) & np.isfinite(lat)
        if known.any():
            out[known] = self._heights(lon[known], lat[known])
        return out

    def _heights(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
        near = lon[0] + np.angle(np.exp(1j * (lon - lon[0])))
        size = (np.ptp(near) * np.cos(lat.mean()) + 1e-5) * (np.ptp(lat) + 1e-5) * (_METRES / self.posting) ** 2
        if size > _LARGEST and lon.size > 1:
            half = lon.size // 2
            return np.concatenate([self._heights(lon[:half], lat[:half]), self._heights(lon[half:], lat[half:])])
        part = self.field(float(near.min()), float(lat.min()), float(near.max()), float(lat.max()))
        return np.asarray(part.heights_at(lon, lat))


def flat_dem(height: float) -> Level:
    """Return a surface of one height above the ellipsoid, m: what is taken where there is no elevation model."""
    return Level(float(height))


def open_dem(
    path: str | os.PathLike[str],
    vertical: Vertical | None = None,
    *,
    band: int = 1,
    voids: Voids = "mask",
    guess: bool = True,
) -> Dem:
    """Open an elevation model: a local GeoTIFF in any CRS, heights in metres.

    Parameters
    ----------
    path : path-like
    vertical : {"ellipsoid", "egm96", "egm2008"}, optional
        What its heights are above. By default what its CRS says; where that says nothing, what is known of the product
        that the name of the file or its pixels belong to, and a warning tells what was taken.
    band : int
        From 1.
    voids : {"mask", "sea"}
        What larger areas without heights are: unknown, or the sea.
    guess : bool
        Whether heights of which nothing says what they are above are taken to be above EGM96, with a warning.

    Raises
    ------
    InputError
        No GeoTIFF, no georeference, complex numbers, heights above something else, or, without a guess, above what is
        not known.
    ConfigError
        No such vertical reference or treatment of voids.
    """
    if vertical is not None and vertical not in VERTICAL:
        raise ConfigError(f"vertical must be one of {', '.join(VERTICAL)}, instead got {vertical!r}")
    if voids not in ("mask", "sea"):
        raise ConfigError(f"voids must be mask or sea, instead got {voids!r}")
    file = open_raster(path)
    band = choose_band(file, band)
    if not file.grid.georeferenced:
        raise InputError("has no georeference: an elevation model must have a transform and a CRS", path=path)
    if "complex" in file.dtype:
        raise InputError(f"an elevation model must have real numbers, instead got {file.dtype}", path=path)
    flat, above = _split(file)
    notes: tuple[str, ...] = ()
    if vertical is None:
        known = above if above is not None else _known(file)
        if known is None and not guess:
            where = f"{file.dtype} in {crs_name(file.grid.crs)}"
            message = f"must say what its heights ({where}) are above, which neither its CRS nor its name does"
            raise InputError(message, path=path, advice="give vertical: ellipsoid, egm96 or egm2008")
        vertical, note = _assumed(file) if known is None else known
        notes = (note,) if note else ()
    for note in notes:
        log.warning("%s: %s", file.path, note)
    model = None if vertical == "ellipsoid" else geoid(vertical)
    if model is not None and vertical == "egm2008" and model.name != "EGM2008":
        notes += (model.name,)
    return Dem(file, band, Grid(file.grid.shape, file.grid.transform, flat), vertical, model, voids, notes)


def _split(file: RasterFile) -> tuple[pyproj.CRS, tuple[Vertical, str] | None]:
    """Return the horizontal CRS, and what the CRS says heights are above, with a note where that is not exact."""
    crs = file.grid.crs
    if crs is None:
        raise InputError("has no CRS", path=file.path)
    if not crs.is_compound:
        return (crs.to_2d(), ("ellipsoid", "")) if len(crs.axis_info) == 3 else (crs, None)
    flat, upright = crs.sub_crs_list
    unit = upright.axis_info[0].unit_conversion_factor if upright.axis_info else 1.0
    if unit != 1:
        raise InputError(f"heights must be in metres, instead got units of {unit:.6g} m", path=file.path)
    name = re.sub(r"[^a-z0-9]", "", upright.name.lower())
    if "egm2008" in name or "egm08" in name:
        return flat, ("egm2008", "")
    if "egm96" in name or "egm1996" in name:
        return flat, ("egm96", "")
    if "ellips" in name:
        return flat, ("ellipsoid", "")
    return flat, ("egm96", f"heights above {upright.name} are taken to be above EGM96 (vertical=... says otherwise)")


def _known(file: RasterFile) -> tuple[Vertical, str] | None:
    """Say what heights are above, from the name of the product, or from its pixels; None where these say nothing."""
    for pattern, vertical, whose in _PRODUCTS:
        if re.search(pattern, file.path.name.lower()):
            return vertical, f"its heights, as those of {whose} by its name, {_TAKEN.format(vertical)}"  # type: ignore[return-value]
    seconds = abs(file.grid.transform.e) * 3600
    degrees = file.grid.crs is not None and file.grid.crs.is_geographic
    if degrees and file.dtype == "int16" and min(abs(seconds - 1), abs(seconds - 3)) < 0.01:
        return "egm96", f"its heights, whole metres at {seconds:.0f} arc second as in SRTM, {_TAKEN.format('egm96')}"
    return None


def _assumed(file: RasterFile) -> tuple[Vertical, str]:
    """Take heights of which nothing is known to be above EGM96."""
    where = f"{file.dtype} in {crs_name(file.grid.crs)}"
    return "egm96", f"it does not say what its heights ({where}) are above; they {_TAKEN.format('egm96')}"


def close_voids(heights: NDArray[np.float64], largest: int = _SMALL) -> NDArray[np.float64]:
    """Fill voids of at most `largest` rows and columns as a membrane would that is held at their rims.

    Each height becomes the mean of its four neighbours; a void in a plane is filled exactly. Voids that touch the edge
    of the array stay: how large they are is not seen.
    """
    from scipy import ndimage

    labels, _ = ndimage.label(np.isnan(heights), np.ones((3, 3)))
    out = heights.copy()
    for number, found in enumerate(ndimage.find_objects(labels), start=1):
        inside = all(part.start > 0 and part.stop < size for part, size in zip(found, heights.shape, strict=True))
        if not inside or any(part.stop - part.start > largest for part in found):
            continue
        around = tuple(slice(part.start - 1, part.stop + 1) for part in found)
        void = labels[around] == number
        out[around][void] = _membrane(heights[around], void)
    return out


def _membrane(heights: NDArray[np.float64], void: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return heights in a void of an array, row by row; the void does not touch its edge."""
    number = np.full(void.shape, -1)
    number[void] = np.arange(void.sum())
    rows, cols = np.nonzero(void)
    balance, known = 4.0 * np.eye(rows.size), np.zeros(rows.size)
    for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        other = number[rows + down, cols + right]
        within = other >= 0
        balance[np.flatnonzero(within), other[within]] = -1
        known[~within] += heights[rows + down, cols + right][~within]
    return np.asarray(np.linalg.solve(balance, known))
