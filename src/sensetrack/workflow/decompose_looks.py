"""Results of pairs as looks: along which directions each of them saw the ground move, on any map."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sensetrack.errors import InputError
from sensetrack.files.nodes import nodes, spread
from sensetrack.files.places import outline_on
from sensetrack.files.raster import BandSource, open_raster
from sensetrack.products.pair_folders import open_pair_folder
from sensetrack.products.posts import Regrid
from sensetrack.sar.geometry import Places
from sensetrack.sar.ground_motion import slope_at
from sensetrack.sar.map_layers import turn_to_axes
from sensetrack.stack.decompose import Look, along_track_direction, slant_range_direction, surface_parallel
from sensetrack.workflow.record import cautions

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from pathlib import Path

    import pyproj
    from numpy.typing import NDArray

    from sensetrack.files.dem import Dem
    from sensetrack.grid import Grid
    from sensetrack.products.pair_folders import PairFolder
    from sensetrack.workflow.decompose_config import DecomposeConfig

    Array = NDArray[np.float32]
    Floats = NDArray[np.float64]

_RUN = 3000.0
"""Metres within which the axes of a map do not turn enough to matter."""
_AGAIN = "measure the pair with sensetrack slc"
_ANGLES = ("incidence", "heading", "flight_heading", "flight_climb")
_FILES = {
    "slant_range": "quality.tif",
    "along_track": "quality.tif",
    "dx": "displacement.tif",
    "dy": "displacement.tif",
}
"""Where each look is; its standard error is in quality.tif."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A folder of results, opened: two directions in which motion was measured."""

    pair: PairFolder
    kind: Literal["slc", "track"]
    """slc: slant range and along track; track: along the two axes of its map."""
    way: str
    """Who looked from where: folders of one way see the same directions."""
    names: tuple[str, ...]
    """Looks that are used."""
    bands: dict[str, str]
    """Name of the file of each look, of its standard error, and of the angles. They are not kept open: each would keep
    megabytes of pixels."""
    days: float
    """Secondary minus reference."""
    side: Literal["right", "left"] = "right"
    """To which a radar looks."""

    @property
    def path(self) -> Path:
        """The folder."""
        return self.pair.path

    @property
    def grid(self) -> Grid:
        """Of its posts."""
        return self.pair.grid

    @property
    def files(self) -> list[Path]:
        """All files that are read."""
        return [self.path / name for name in ("run.json", *dict.fromkeys(self.bands.values()))]

    def read(self, names: Iterable[str], window: tuple[slice, slice] | None = None) -> dict[str, Array]:
        """Return a window of some bands by their names; NaN = missing."""
        window = window or (slice(0, self.grid.shape[0]), slice(0, self.grid.shape[1]))
        out: dict[str, Array] = {}
        for one in dict.fromkeys(self.bands[name] for name in names):
            file = open_raster(self.path / one)
            missing = np.nan if file.nodata is None else file.nodata  # a zero is a measurement
            for name in (name for name in names if self.bands[name] == one):
                values = BandSource(file, file.descriptions.index(name) + 1, missing)[window]
                out[name] = np.where(np.isfinite(values), values, np.nan).astype(np.float32)
            file.dataset.close()
        return out


def open_seen(path: str | os.PathLike[str], config: DecomposeConfig) -> Seen:
    """Open a folder that `slc` or `track` has written.

    Raises
    ------
    InputError
        It is none, has no georeference or no dates, what it shows is not horizontal, or it was written by a version
        that did not yet bring the geometry of the radar to the map.
    """
    pair = open_pair_folder(path)
    if pair.unit != "m":
        raise InputError("has no georeference: offsets in px have no direction on the ground", path=path)
    days = (pair.dates[1] - pair.dates[0]).total_seconds() / 86_400
    frame = pair.record.get("frame")
    if not isinstance(frame, dict):
        if said := _caution(pair.record):
            raise InputError(f"does not show horizontal motion ({said})", path=path, advice=_AGAIN)
        return Seen(pair, "track", "along a map", ("dx", "dy"), _bands(pair, ("dx", "dy")), days)
    side = frame.get("look")
    if side not in ("right", "left"):
        raise InputError(f"frame.look must be right or left, instead got {side!r}", path=pair.path / "run.json")
    if not (pair.path / "geometry.tif").is_file():
        raise InputError("has no geometry.tif: from where the radar looked is not known", path=path, advice=_AGAIN)
    names: tuple[str, ...] = ("slant_range", "along_track") if config.along_track else ("slant_range",)
    bands = _bands(pair, names) | _found(pair, "geometry.tif", _ANGLES)
    way = f"{str(frame.get('pass') or 'a radar').lower()}, {side}-looking"
    return Seen(pair, "slc", way, names, bands, days, side)


def _caution(record: dict[str, Any]) -> str:
    """Return what is to be said of the motion of products on a map; empty: nothing."""
    inputs = record.get("inputs")
    products = [one.get("product") for one in inputs if isinstance(one, dict)] if isinstance(inputs, list) else []
    return "; ".join(cautions({"inputs": [{"product": one} for one in products if isinstance(one, dict)]}))


def _bands(pair: PairFolder, names: tuple[str, ...]) -> dict[str, str]:
    """Return where looks and their standard errors are."""
    found: dict[str, str] = {}
    for file in dict.fromkeys(_FILES[name] for name in names):
        found |= _found(pair, file, tuple(name for name in names if _FILES[name] == file))
    return found | _found(pair, "quality.tif", tuple(f"sigma_{name}" for name in names))


def _found(pair: PairFolder, name: str, wanted: tuple[str, ...]) -> dict[str, str]:
    file = open_raster(pair.path / name)
    if not file.grid.same_as(pair.grid):
        raise InputError("must have the posts of displacement.tif", path=file.path)
    for band in wanted:
        if band not in file.descriptions:
            has = ", ".join(one or "nothing" for one in file.descriptions)
            raise InputError(f"has no band {band}, instead got {has}", path=file.path)
    return dict.fromkeys(wanted, name)


def looks_on(seen: Seen, grid: Grid, config: DecomposeConfig) -> list[Look]:
    """Return what a folder says at the posts of a map, or of a part of it; none where it says nothing there."""
    window = _window(seen.grid, grid)
    if window is None:
        return []
    to = Regrid(seen.grid.crop(*window), grid)
    layers = {name: to.values(values) for name, values in seen.read(seen.bands, window).items()}
    if seen.kind == "slc":
        incidence, *flight = (layers[name] for name in _ANGLES)
        directions = slant_range_direction(incidence, flight[0], seen.side), along_track_direction(*flight)
    else:
        directions = _axes(crs_of(seen.grid), grid)
    over = seen.days if config.quantity == "velocity" else 1.0
    out = []
    for name, direction in zip(seen.names, directions, strict=False):
        sigma = layers[f"sigma_{name}"]
        if config.sigma is not None:
            sigma = np.where(sigma > 0, sigma, config.sigma)
        value, error, towards = (
            part.astype(np.float32) for part in (layers[name] / over, sigma / abs(over), direction)
        )
        out.append(Look(value, error, towards, f"{seen.path.name} {name}"))
    return out


def _window(source: Grid, target: Grid) -> tuple[slice, slice] | None:
    """Return the posts of one grid that those of another lie between; None where there are none."""
    out = []
    for place, size in zip(outline_on(target, source), source.shape, strict=True):
        known = place[np.isfinite(place)]
        start, stop = (0, 0) if not known.size else (int(np.floor(known.min())) - 2, int(np.ceil(known.max())) + 2)
        start, stop = max(start, 0), min(stop, size)
        if stop <= start:
            return None
        out.append(slice(start, stop))
    return out[0], out[1]


def _axes(crs: pyproj.CRS, grid: Grid) -> tuple[Floats, Floats]:
    """Return the directions along x and y of a CRS at the posts of a map: (3, rows, cols) each, east, north, up.

    Where the two axes are not square to each other they are not of unit length: what is measured along x is then a
    part of the steps along both.
    """
    step = int(np.clip(_RUN / max(grid.pixel_size), 1, 64))
    rows, cols = (slice(0, size) for size in grid.shape)
    lon, lat = places_of(grid, *np.meshgrid(nodes(rows, step), nodes(cols, step), indexing="ij"))
    flat = np.zeros(grid.shape)
    x, y = (
        np.stack([*(spread(part, step, grid.shape) for part in axis), flat]) for axis in turn_to_axes(crs, lon, lat)
    )
    return x, y


def crs_of(grid: Grid) -> pyproj.CRS:
    """Return the CRS of a map; an error where it has none."""
    if grid.crs is None:
        raise InputError("a map must have a CRS")
    return grid.crs


def places_of(grid: Grid, row: Any, col: Any) -> tuple[Floats, Floats]:
    """Return longitude and latitude, radians, of pixels of a map."""
    import pyproj

    lon, lat = pyproj.Transformer.from_crs(grid.crs, 4326, always_xy=True).transform(*grid.xy(row, col))
    return np.radians(lon), np.radians(lat)


def ground_look(dem: Dem, grid: Grid, config: DecomposeConfig, sigma: float) -> Look:
    """Return what says that the motion at the posts of a map follows the slope of an elevation model."""
    lon, lat = places_of(grid, *np.indices(grid.shape))
    level = np.zeros(grid.shape)
    slopes = slope_at(dem, Places(lon, lat, level, level > 0), config.slope_reach)
    return replace(surface_parallel(*slopes, sigma), name="surface")


def sigma_of(seen: Seen, config: DecomposeConfig) -> dict[str, float | None]:
    """Return the median standard error of each look where it was measured, m; None where nothing was.

    Raises
    ------
    InputError
        Something was measured, and there is no standard error of it.
    """
    out: dict[str, float | None] = {}
    layers = seen.read([name for name in seen.bands if name not in _ANGLES])
    for name in seen.names:
        measured = np.isfinite(layers[name])
        sigma = layers[f"sigma_{name}"][measured]
        known = sigma[sigma > 0]
        if measured.any() and not known.size and config.sigma is None:
            message = f"has no standard error of {name}, so that it cannot be weighed against others"
            advice = "give --stable-ground when measuring, or --sigma here"
            raise InputError(message, path=seen.path, advice=advice)
        out[name] = float(np.median(known)) if known.size else config.sigma if measured.any() else None
    return out
