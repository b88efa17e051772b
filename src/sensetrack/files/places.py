"""Where places of any CRS fall on the pixels of a grid, across the 180th meridian and around the poles too.

Longitudes end at 180 degrees and the ground does not: an area drawn in two parts on both sides of that line, or with
longitudes beyond it, lies in one piece on the grid of a UTM zone, and a grid in longitude and latitude may begin on
one side and end on the other. So nothing here takes bounds in longitude: places are brought to pixels first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sensetrack.errors import InputError
from sensetrack.files.warp import local_crs, pixels_of
from sensetrack.grid import Grid, as_crs, crs_name, same_crs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sensetrack.files.raster import RasterFile
    from sensetrack.files.warp import ToPixels

_LATTICE = 33
"""Points per axis at which a grid is looked at from another CRS."""
_EDGE = 256
"""Parts into which the longer side of an area is divided, since its edges are not straight in another CRS."""


class Extent(Protocol):
    """Something that images can be cropped to."""

    def on(self, grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(row, col), in pixel corners of a grid, of points whose bounds enclose the extent there; none: not there."""


def pixels_on(grid: Grid, crs: Any, *, together: bool = False) -> ToPixels:
    """Return a function from (x, y) in `crs` to (row, col), in pixel corners, of `grid`.

    On a grid in longitude and latitude a place is on that side of the 180th meridian where the grid is.

    Parameters
    ----------
    grid : Grid
    crs : pyproj.CRS
    together : bool
        All places of one call are moved by the same whole circles, so that what lies between them can be interpolated,
        on a grid around the globe too.
    """
    to_pixels = pixels_of(grid, crs)
    transform = grid.transform
    turn = _turn(grid.crs) if grid.crs is not None and grid.crs.is_geographic else 0.0
    middle = float(grid.xy((grid.shape[0] - 1) / 2, (grid.shape[1] - 1) / 2)[0])
    back = ~transform

    def wrapped(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        with np.errstate(invalid="ignore"):  # what has no place in the CRS is infinite
            row, col = to_pixels(x, y)
            if not turn:
                return row, col
            away = transform.a * col + transform.b * row + transform.c - middle
            known = np.isfinite(away)
            if together and known.any():
                away = np.asarray(np.median(away[known]))
            turns = _turns(away, turn)
            return row - turns * back.d * turn, col - turns * back.a * turn

    return wrapped


def shapes_on(shapes: Any, crs: Any, grid: Grid) -> NDArray[np.object_]:
    """Bring polygons to the pixels of a grid.

    Parameters
    ----------
    shapes : sequence of shapely geometries
        Valid polygons in `crs`.
    crs : pyproj.CRS
    grid : Grid

    Returns
    -------
    ndarray of shapely.Polygon
        x = column and y = row in pixel corners of the grid; only what lies on it and near it.

    Raises
    ------
    InputError
        A polygon reaches where the CRS of the grid has no coordinates.
    """
    import shapely

    parts = _projected(shapes, crs, grid)
    if not np.isfinite(shapely.get_coordinates(parts)).all():
        raise InputError(f"reaches where {crs_name(grid.crs)} has no coordinates", advice="cut it to the images")
    return parts


def _projected(shapes: Any, crs: Any, grid: Grid) -> NDArray[np.object_]:
    import shapely

    to_pixels = pixels_on(grid, crs)
    sides = _near(np.asarray(shapes, dtype=object), crs, grid)
    parts = np.concatenate(sides)
    if not parts.size:
        return parts
    left, bottom, right, top = shapely.total_bounds(parts)
    parts = shapely.segmentize(parts, max(right - left, top - bottom) / _EDGE)

    def place(points: NDArray[Any]) -> NDArray[Any]:
        row, col = to_pixels(points[:, 0], points[:, 1])
        return np.stack([col, row], axis=1)

    parts = shapely.transform(parts, place)
    if sum(side.size > 0 for side in sides) > 1 and np.isfinite(shapely.get_coordinates(parts)).all():
        # Parts from both sides of the 180th meridian: a pixel on the seam between them belongs to the whole.
        parts = shapely.get_parts(shapely.union_all(shapely.make_valid(parts), grid_size=1e-3))
    return np.asarray(parts)


def in_one_piece(shapes: NDArray[np.object_], crs: Any) -> NDArray[np.object_]:
    """Mend polygons in longitude and latitude whose outline jumps from 180 to -180 degrees: the short way is meant.

    An edge longer than three quarters of a circle, and shorter than a whole one, is such a jump.
    """
    import shapely

    turn = _turn(crs)

    def mended(ring: Any, near: float | None = None) -> NDArray[Any]:
        points = np.asarray(shapely.get_coordinates(ring))
        step = np.diff(points[:, 0])
        jump = np.where((np.abs(step) > 0.75 * turn) & (np.abs(step) < (1 - 1e-9) * turn), -np.sign(step) * turn, 0)
        moved = points[:, 0] + np.concatenate([[0], np.cumsum(jump)])
        if jump.any() and jump.sum() == 0:  # else it goes around a pole
            points[:, 0] = moved
        if near is not None:
            points[:, 0] -= turn * np.round((points[:, 0].mean() - near) / turn)
        return points

    def polygon(part: Any) -> Any:
        outer = mended(part.exterior)
        if np.array_equal(outer, shapely.get_coordinates(part.exterior)):
            return part
        return shapely.Polygon(outer, [mended(ring, outer[:, 0].mean()) for ring in part.interiors])

    wide = np.flatnonzero(shapely.bounds(shapes)[:, 2] - shapely.bounds(shapes)[:, 0] > 0.75 * turn)
    out = shapes.copy()
    for place in wide:
        parts = [polygon(part) for part in shapely.get_parts(shapes[place])]
        out[place] = parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
    return out


def outline_on(other: Grid, grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(row, col), in pixel corners of `grid`, of the outline of another grid as far as it is near; may be infinite."""
    if same_crs(other.crs, grid.crs) and not (grid.crs is not None and grid.crs.is_geographic):
        return pixels_on(grid, other.crs)(*other.outline(2))
    import shapely

    corners = np.stack(other.outline(_LATTICE), axis=1)
    col, row = shapely.get_coordinates(_projected([shapely.Polygon(corners)], other.crs, grid)).T
    return row, col


def local_crs_of(file: RasterFile) -> str:
    """UTM zone, or polar stereographic, of the middle of a file's ground control points."""
    import pyproj

    _, _, x, y = np.array(file.gcps).T
    lon, lat = pyproj.Transformer.from_crs(as_crs(file.gcp_crs), 4326, always_xy=True).transform(x, y)
    # The mean of 179 and -179 degrees is 180.
    middle = np.degrees(np.angle(np.exp(1j * np.radians(lon)).mean()))
    return local_crs(float(middle), float(np.mean(lat)))


def geojson_of_ring(ring: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Return a ring of (longitude, latitude), degrees, as a GeoJSON geometry: cut where it crosses the 180th meridian.

    The ring has no jump: beyond that line its longitudes go on.
    """
    import shapely
    from shapely.geometry import MultiPolygon, mapping

    shape = shapely.make_valid(shapely.Polygon(ring))
    parts = []
    for turn in (-360.0, 0.0, 360.0):
        piece = shapely.get_parts(shapely.intersection(shape, shapely.box(turn - 180, -90, turn + 180, 90)))
        kept = piece[shapely.area(piece) > 0]
        parts += list(shapely.transform(kept, lambda points, by=turn: points - np.array([by, 0.0])))
    found: dict[str, Any] = mapping(parts[0] if len(parts) == 1 else MultiPolygon(parts))
    return found


def _turn(crs: Any) -> float:
    """Return a full circle in units of a geographic CRS."""
    return float(2 * np.pi / crs.axis_info[0].unit_conversion_factor)


def _turns(away: Any, turn: float) -> NDArray[np.float64]:
    """Whole circles in a difference of longitudes; half a circle (to rounding) is none."""
    return np.where(np.isfinite(away), np.round(np.asarray(away) / turn * (1 - 1e-9)), 0.0)


def _near(shapes: NDArray[np.object_], crs: Any, grid: Grid) -> list[NDArray[np.object_]]:
    """Cut polygons to what is on a grid and near it; one array for each whole circle by which they were moved there."""
    import shapely

    window = _footprint(grid, crs)
    if window is None:
        return [np.asarray(shapely.get_parts(shapes))]
    frame = shapely.box(*window)
    shapely.prepare(frame)
    turn = _turn(crs) if crs.is_geographic else 0.0
    found = []
    for by in (-turn, 0.0, turn) if turn else (0.0,):
        moved = shapely.transform(shapes, lambda points, by=by: points + np.array([by, 0.0])) if by else shapes
        met = moved[shapely.intersects(frame, moved)]
        parts = shapely.get_parts(shapely.intersection(met, frame))
        found.append(parts[shapely.area(parts) > 0])
    return found


def _footprint(grid: Grid, crs: Any) -> tuple[float, float, float, float] | None:
    """(left, bottom, right, top) in `crs` of a grid and as much again around it; None where `crs` ends within it."""
    import pyproj

    row, col = (np.linspace(0, size, _LATTICE) for size in grid.shape)
    x, y = grid.xy(*np.meshgrid(row - 0.5, col - 0.5, indexing="ij"))
    if not same_crs(grid.crs, crs):
        x, y = pyproj.Transformer.from_crs(grid.crs, crs, always_xy=True).transform(x, y)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    turn = _turn(crs) if crs.is_geographic else 0.0
    if turn:
        x = x - _turns(x - x[_LATTICE // 2, _LATTICE // 2], turn) * turn
    wide, high = max(float(np.ptp(x)), 1e-9), max(float(np.ptp(y)), 1e-9)
    left, bottom, right, top = x.min() - wide / 2, y.min() - high / 2, x.max() + wide / 2, y.max() + high / 2
    if turn:
        pole = [_covers(grid, crs, quarter) for quarter in (-turn / 4, turn / 4)]
        bottom, top = (-turn / 4 if pole[0] else max(bottom, -turn / 4)), (turn / 4 if pole[1] else min(top, turn / 4))
        if any(pole) or right - left > turn:
            middle = float(x[_LATTICE // 2, _LATTICE // 2])
            left, right = middle - turn / 2, middle + turn / 2
    return float(left), float(bottom), float(right), float(top)


def _covers(grid: Grid, crs: Any, latitude: float) -> bool:
    """Tell whether a pole lies on a grid."""
    row, col = (float(part) for part in pixels_of(grid, crs)(np.asarray(0.0), np.asarray(latitude)))
    return bool(0 <= row <= grid.shape[0] and 0 <= col <= grid.shape[1])
