"""Where: an area of interest however it is drawn, as SNAP wants it.

SNAP wants well-known text in longitude and latitude on WGS 84 and cuts the rectangle of pixels that encloses it. An
area that crosses the 180th meridian becomes two parts that meet there, each with longitudes from -180 to 180.
"""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensetrack.errors import ConfigError, InputError
from sensetrack.files.places import in_one_piece
from sensetrack.files.vector import read_polygons
from sensetrack.files.warp import local_crs
from sensetrack.grid import as_crs, same_crs
from sensetrack.ot.parameters import brief

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shapely.geometry.base import BaseGeometry

_VERTICES = 500
"""Corners beyond which an area is replaced by its hull: SNAP crops to a rectangle and reads each of them from text."""
_TEXT = 2**20
"""Characters of an area that is given as text and not as a file."""
_PARTS = 64
"""Pieces of the longer side of an area from another CRS, whose edges are not straight in longitude and latitude."""
_LINE = 1e-5
"""Degrees by which the edge of an area from another CRS may be off, about a metre."""
_OTHER_WKT = re.compile(r"\s*(?:SRID\s*=\s*\d+\s*;)?\s*(MULTI)?(POINT|LINESTRING|GEOMETRYCOLLECTION)\b", re.IGNORECASE)
_WKT = re.compile(
    r"\s*(?:SRID\s*=\s*(?P<srid>\d{1,6})\s*;)?\s*(?P<wkt>(?:MULTI)?POLYGON\b.*)", re.IGNORECASE | re.DOTALL
)
_WORLD = "EPSG:4326"


@dataclass(frozen=True, eq=False)
class AOI:
    """An area of interest in longitude and latitude on WGS 84.

    Read one with `AOI.of`.

    Attributes
    ----------
    name : str
        The layer or file it comes from, else ``aoi``; for the names of results.
    geometry : shapely.Polygon or MultiPolygon
        x = longitude, -180 to 180, y = latitude, degrees; the union of all that was drawn.
    """

    name: str
    geometry: BaseGeometry

    @classmethod
    def of(cls, area: Any, *, crs: Any = None) -> AOI:
        """Return the area that a text, a file or a geometry describes.

        Parameters
        ----------
        area : str, path-like, shapely geometry, sequence of four numbers, or AOI
            A vector file (``file.gpkg|layer`` names a layer; all features count), GeoJSON as text, well-known text
            (``SRID=32632;POLYGON ...`` says its CRS), or ``west,south,east,north``; a box whose west is larger than its
            east crosses the 180th meridian.
        crs : any spelling of a CRS, optional
            Of well-known text, box or geometry; default: longitude and latitude on WGS 84. Files say it themselves.

        Raises
        ------
        InputError
            No such file, not polygons, no area, or not where the CRS has places.
        ConfigError
            A text that is none of these.
        """
        if isinstance(area, AOI):
            return area
        if isinstance(area, os.PathLike):
            return cls._from_file(os.fspath(area))
        if isinstance(area, str):
            return cls._from_text(area, crs)
        if isinstance(area, (tuple, list)) and len(area) == 4:
            return cls("aoi", _world(_box([float(one) for one in area], crs), crs, "the area"))
        import shapely

        if isinstance(area, shapely.geometry.base.BaseGeometry):
            return cls("aoi", _world([area], crs, "the area"))
        message = (
            f"an area must be a file, GeoJSON, well-known text or west,south,east,north, instead got {brief(area)}"
        )
        raise ConfigError(message)

    @classmethod
    def _from_text(cls, text: str, crs: Any) -> AOI:
        if len(text) > _TEXT:
            raise InputError(f"an area as text must have at most {_TEXT} characters", advice="put it into a file")
        if found := _WKT.match(text):
            return cls("aoi", _world([_wkt(found["wkt"])], found["srid"] or crs, "the area"))
        if found := _OTHER_WKT.match(text):
            raise InputError(f"the area must be a polygon, instead got {brief(text)}")
        if numbers := _numbers(text):
            return cls("aoi", _world(_box(numbers, crs), crs, "the area"))
        if text.lstrip().startswith("{"):
            return cls("aoi", _world(_geojson(text), _WORLD, "the area"))
        if len(text) > 4096:
            raise ConfigError(f"an area must be a file, GeoJSON, well-known text or a box, instead got {brief(text)}")
        return cls._from_file(text)

    @classmethod
    def _from_file(cls, text: str) -> AOI:
        file, _, layer = text.partition("|")
        frame = read_polygons(text)
        return cls(layer or Path(file).stem, _world(frame.geometry.array, frame.crs, text))

    @property
    def wkt(self) -> str:
        """Well-known text of the area, or of its hull where it has very many corners."""
        import shapely

        shape = self.geometry
        if shapely.get_num_coordinates(shape) > _VERTICES:
            hulls = [shapely.convex_hull(part) for part in _sides(shape)]
            shape = hulls[0] if len(hulls) == 1 else shapely.MultiPolygon(hulls)
        if shapely.get_num_coordinates(shape) > _VERTICES:
            boxes = [shapely.box(*part.bounds) for part in _sides(shape)]
            shape = boxes[0] if len(boxes) == 1 else shapely.MultiPolygon(boxes)
        return str(shapely.to_wkt(shape, rounding_precision=7))

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) in degrees; west is larger than east where the area crosses the 180th meridian."""
        parts = [part.bounds for part in _sides(self.geometry)]
        south, north = min(part[1] for part in parts), max(part[3] for part in parts)
        if len(parts) == 2:
            return parts[1][0], south, parts[0][2], north
        return parts[0][0], south, parts[0][2], north

    @property
    def utm(self) -> str:
        """UTM zone of its middle, or polar stereographic beyond 80 degrees."""
        west, south, east, north = self.bounds
        middle = (west + (east if east >= west else east + 360)) / 2
        return local_crs((middle + 180) % 360 - 180, (south + north) / 2)


def _sides(shape: BaseGeometry) -> list[BaseGeometry]:
    """One geometry, or two where an area lies on both sides of the 180th meridian: (west part, east part)."""
    import shapely

    parts = shapely.get_parts(shape)
    touches = {
        side: any(abs(part.bounds[edge] - side) < 1e-9 for part in parts) for side, edge in ((-180, 0), (180, 2))
    }
    wide = any(part.bounds[2] - part.bounds[0] > 359 for part in parts)
    if len(parts) < 2 or wide or not all(touches.values()):
        return [shape]
    # The area is in one piece across the meridian: the widest gap between its parts is what it does not cover.
    spans = sorted((part.bounds[0], part.bounds[2]) for part in parts)
    end, gap, cut = spans[0][1], -1.0, 0.0
    for left, right in spans[1:]:
        if left - end > gap:
            gap, cut = left - end, (left + end) / 2
        end = max(end, right)
    if gap <= 0:
        return [shape]
    west = shapely.union_all([part for part in parts if part.bounds[2] < cut])
    east = shapely.union_all([part for part in parts if part.bounds[0] > cut])
    return [west, east]


def _numbers(text: str) -> list[float]:
    """Return the four numbers of a box, or nothing."""
    words = text.replace(",", " ").split(maxsplit=4)
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return []
    return numbers if len(numbers) == 4 else []


def _wkt(text: str) -> BaseGeometry:
    import shapely

    try:
        return shapely.from_wkt(text)
    except (shapely.errors.GEOSException, ValueError) as error:
        raise InputError(f"the area is no well-known text ({str(error).splitlines()[0][:100]})") from error


def _box(numbers: list[float], crs: Any) -> list[BaseGeometry]:
    import shapely

    west, south, east, north = numbers
    around = crs is None or bool((found := as_crs(crs)) is not None and found.is_geographic)
    if not all(map(math.isfinite, numbers)) or not south < north or (not around and not west < east) or west == east:
        raise ConfigError(
            f"a box must be west,south,east,north, instead got {', '.join(f'{one:g}' for one in numbers)}"
        )
    return [shapely.box(west, south, east if east > west else east + 360, north)]


def _geojson(text: str) -> list[BaseGeometry]:
    import shapely

    try:
        found = json.loads(text)
        if found.get("crs"):
            raise InputError("the area has a member crs, which GeoJSON has no more", advice="put it into a GeoPackage")
        features = found["features"] if found.get("type") == "FeatureCollection" else [found]
        shapes = [one["geometry"] if one.get("type") == "Feature" else one for one in features]
        return [shapely.geometry.shape(one) for one in shapes if one]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, shapely.errors.GEOSException) as error:
        raise InputError(f"the area is no GeoJSON ({str(error)[:100] or type(error).__name__})") from error


def _world(shapes: Iterable[Any], crs: Any, path: str) -> BaseGeometry:
    """Return the union of polygons of any CRS in longitude and latitude on WGS 84, cut at the 180th meridian."""
    import numpy as np
    import pyproj
    import shapely

    source = as_crs(crs if crs is not None else _WORLD)
    world = pyproj.CRS(_WORLD)
    parts = shapely.force_2d(np.array([one for one in shapes if one is not None and not one.is_empty], dtype=object))
    kinds = {one.geom_type for one in parts}
    if not kinds or kinds - {"Polygon", "MultiPolygon"}:
        found = ", ".join(sorted(kinds)) or "nothing"
        raise InputError(f"must hold polygons, instead got {found}", path=path)
    if not same_crs(source, world):
        assert source is not None
        parts = _projected(parts, source, world)
    lon, lat = shapely.get_coordinates(parts).T
    if not (np.isfinite(lon).all() and np.isfinite(lat).all() and np.abs(lat).max() <= 90 and np.abs(lon).max() <= 720):
        message = f"must lie in longitude and latitude, instead reaches from ({lon.min():g}, {lat.min():g})"
        raise InputError(f"{message} to ({lon.max():g}, {lat.max():g})", path=path, advice="give it with its CRS")
    whole = shapely.make_valid(shapely.union_all(shapely.make_valid(in_one_piece(parts, world))))
    cut = [
        shapely.transform(
            shapely.intersection(whole, shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90)),
            lambda points, turn=turn: points - np.array([360.0 * turn, 0.0]),
        )
        for turn in range(-2, 3)
    ]
    flat = [one for one in shapely.get_parts(shapely.get_parts(shapely.union_all(cut))) if one.geom_type == "Polygon"]
    if not flat or not sum(one.area for one in flat) > 0:
        raise InputError("must hold polygons with an area", path=path)
    return flat[0] if len(flat) == 1 else shapely.MultiPolygon(flat)


def _projected(parts: Any, source: Any, world: Any) -> Any:
    import numpy as np
    import pyproj
    import shapely

    if not source.is_geographic:
        # Where a pole lies inside, an outline in longitude and latitude does not say what it encloses.
        there = pyproj.Transformer.from_crs(world, source, always_xy=True)
        whole = shapely.union_all(shapely.make_valid(parts))
        poles = [(lat, *there.transform(0.0, lat)) for lat in (-90.0, 90.0)]
        inside = [
            lat for lat, x, y in poles if np.isfinite([x, y]).all() and shapely.covers(whole, shapely.Point(x, y))
        ]
    else:
        inside = []
    left, bottom, right, top = shapely.total_bounds(parts)
    if not np.isfinite([left, bottom, right, top]).all():
        raise InputError("the area must hold finite coordinates")
    parts = shapely.segmentize(parts, max(right - left, top - bottom) / _PARTS)
    back = pyproj.Transformer.from_crs(source, world, always_xy=True)
    parts = shapely.transform(parts, lambda points: np.stack(back.transform(points[:, 0], points[:, 1]), axis=1))
    parts = shapely.simplify(parts, _LINE)
    if inside:
        lat = shapely.get_coordinates(parts)[:, 1]
        low, high = (-90.0, lat.max()) if inside[0] < 0 else (lat.min(), 90.0)
        return np.array([shapely.box(-180, low, 180, high)], dtype=object)
    return parts
