"""Areas that users draw: polygons, or rasters whose bright pixels are the area."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from scipy import ndimage

from sensetrack.errors import InputError, NoOverlapError
from sensetrack.files.raster import BandSource, open_raster
from sensetrack.files.safe import RASTERS, VECTORS, identify
from sensetrack.files.warp import pixels_of
from sensetrack.grid import Grid

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from sensetrack.ot.interfaces import OffsetField


def read_polygons(path: str | os.PathLike[str]) -> Any:
    """Read the polygons of a GeoPackage, Shapefile or GeoJSON as a GeoDataFrame.

    ``file.gpkg|layer`` names a layer. The CRS must be known and there must be at least one valid polygon.
    """
    import geopandas
    import shapely

    text, _, layer = os.fspath(path).partition("|")
    checked, _ = identify(text, VECTORS)
    try:
        frame = geopandas.read_file(checked, layer=layer or None)
    except Exception as error:  # pyogrio's and GDAL's errors have no common base
        raise InputError(f"cannot be read as polygons ({str(error)[:200]})", path=path) from error
    if frame.crs is None:
        raise InputError("has no CRS", path=path, advice="assign one")
    shapes = np.asarray(frame.geometry.array)
    frame = frame[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))]
    kinds = set(frame.geometry.geom_type)
    if not kinds or kinds - {"Polygon", "MultiPolygon"}:
        found = ", ".join(sorted(kinds)) or "nothing"
        raise InputError(f"must hold polygons, instead got {found}", path=path)
    if not np.isfinite(frame.geometry.total_bounds).all() or np.abs(frame.geometry.total_bounds).max() > 1e12:
        raise InputError("must hold finite coordinates", path=path)
    if not frame.geometry.is_valid.all():
        frame = frame.set_geometry(frame.geometry.make_valid())
    if not np.any(shapely.area(np.asarray(frame.geometry.array)) > 0):
        raise InputError("must hold polygons with an area", path=path)
    return frame


def area_at_posts(
    path: str | os.PathLike[str], field: OffsetField, images: Grid, support: tuple[int, int]
) -> NDArray[np.float64]:
    """Share of what each post was measured from (its chip) that lies in an area.

    Parameters
    ----------
    path : path-like
        Polygons (any CRS), or a raster whose pixels above half of its largest value under the images are the area
        (for images without georeference: of the same size).
    field : OffsetField
    images : Grid
        Grid of the images the field was measured on.
    support : (int, int)
        Rows and columns of image pixels that decide a post.

    Returns
    -------
    ndarray
        Shape of the field, 0..1.
    """
    kind = identify(os.fspath(path).partition("|")[0], RASTERS | VECTORS)[1]
    # The area is drawn on cells an eighth of a chip wide: fine enough for shares, small enough for any scene.
    cell = max(1, support[0] // 8), max(1, support[1] // 8)
    shape = -(-images.shape[0] // cell[0]), -(-images.shape[1] // cell[1])
    draw = _raster_area if kind in RASTERS.values() else _polygon_area
    inside = draw(path, images, cell, shape)
    if not inside.any():
        raise NoOverlapError("covers nothing of the images", path=path)
    size = max(1, round(support[0] / cell[0])), max(1, round(support[1] / cell[1]))
    share = ndimage.uniform_filter(inside.astype(np.float32), size, mode="nearest")
    rows = ((field.start[0] + np.arange(field.grid.shape[0]) * field.step[0]) / cell[0]).astype(int)
    cols = ((field.start[1] + np.arange(field.grid.shape[1]) * field.step[1]) / cell[1]).astype(int)
    return np.asarray(share[np.minimum(rows, shape[0] - 1)][:, np.minimum(cols, shape[1] - 1)])


def extent_of(path: str | os.PathLike[str]) -> Grid | None:
    """Return the extent of an area as a grid of one cell (a mask: its own); None for a mask without georeference."""
    kind = identify(os.fspath(path).partition("|")[0], RASTERS | VECTORS)[1]
    if kind in RASTERS.values():
        grid = open_raster(path).grid
        return grid if grid.georeferenced else None
    frame = read_polygons(path)
    left, bottom, right, top = (float(edge) for edge in frame.total_bounds)
    return Grid((1, 1), Affine(right - left, 0, left, 0, bottom - top, top), frame.crs)


def _polygon_area(
    path: str | os.PathLike[str], images: Grid, cell: tuple[int, int], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    from rasterio.features import rasterize

    if not images.georeferenced:
        raise InputError("polygons need images with a georeference", path=path, advice="give a mask of equal size")
    cells = images.posts((cell[0] / 2, cell[1] / 2), cell, shape)
    frame = read_polygons(path).to_crs(images.crs)
    burnt = rasterize(list(frame.geometry), out_shape=shape, transform=cells.transform, dtype="uint8")
    return np.asarray(burnt) > 0


def _raster_area(
    path: str | os.PathLike[str], images: Grid, cell: tuple[int, int], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    mask = open_raster(path)
    if mask.grid.georeferenced != images.georeferenced:
        raise InputError("mask and images must both have a georeference or both have none", path=path)
    i, j = np.indices(shape)
    row, col = (i + 0.5) * cell[0], (j + 0.5) * cell[1]
    if images.georeferenced:
        row, col = pixels_of(mask.grid, images.crs)(*images.xy(row - 0.5, col - 0.5))
    elif mask.grid.shape != images.shape:
        message = f"a mask must have the size of the images, {images.shape}, instead got {mask.grid.shape}"
        raise InputError(message, path=path)
    known = (row >= 0) & (row < mask.grid.shape[0]) & (col >= 0) & (col < mask.grid.shape[1])
    if not known.any():
        return known
    # Only what lies under the images is read: a mask may be much larger than they are.
    row, col = (np.where(known, part, part[known].min()).astype(int) for part in (row, col))
    top, left = row.min(), col.min()
    values = BandSource(mask, 1, nodata=np.nan)[top : row.max() + 1, left : col.max() + 1]
    return np.asarray(
        known & (values[row - top, col - left] > np.max(values, where=np.isfinite(values), initial=0) / 2)
    )


def write_outline(path: Path, inside: NDArray[np.bool_], grid: Grid) -> None:
    """Write the outline of an area, True = inside, as a GeoPackage of polygons."""
    import geopandas
    import shapely
    from rasterio.features import shapes

    found = shapes(inside.astype(np.uint8), mask=inside, transform=grid.transform)
    outline = geopandas.GeoSeries([shapely.geometry.shape(geometry) for geometry, _ in found], crs=grid.crs)
    outline.to_frame("geometry").to_file(path, driver="GPKG", layer=path.stem)
