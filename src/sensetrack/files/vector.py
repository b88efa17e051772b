"""Areas that users draw: polygons, or rasters whose bright pixels are the area."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine

from sensetrack.errors import InputError, NoOverlapError, OutputError
from sensetrack.files.places import in_one_piece, pixels_on, shapes_on
from sensetrack.files.raster import BandSource, open_raster
from sensetrack.files.safe import RASTERS, VECTORS, identify
from sensetrack.grid import Grid
from sensetrack.ot.frames import offsets_frame

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
    if frame.crs.is_geographic:
        frame = frame.set_geometry(in_one_piece(np.asarray(frame.geometry.array), frame.crs), crs=frame.crs)
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
    from scipy import ndimage  # large, and for this only

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


@dataclass(frozen=True, eq=False)
class PolygonExtent:
    """Polygons to crop images to; where they are is asked in pixels, since longitudes have no bounds at 180 degrees."""

    path: str
    frame: Any
    """GeoDataFrame of valid polygons."""

    def on(self, grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(row, col), in pixel corners of a grid, of the outline of what lies on the grid and near it."""
        import shapely

        col, row = shapely.get_coordinates(self.shapes(grid)).T
        return row, col

    def shapes(self, grid: Grid) -> NDArray[np.object_]:
        """Polygons in pixel corners of a grid, x = column and y = row, as far as they lie on the grid and near it."""
        try:
            return shapes_on(self.frame.geometry.array, self.frame.crs, grid)
        except InputError as error:
            error.path = error.path or self.path
            raise


def extent_of(path: str | os.PathLike[str]) -> Grid | PolygonExtent | None:
    """Return the extent of an area: that of its polygons, or the grid of a mask; None for one without georeference."""
    kind = identify(os.fspath(path).partition("|")[0], RASTERS | VECTORS)[1]
    if kind in RASTERS.values():
        grid = open_raster(path).grid
        return grid if grid.georeferenced else None
    return PolygonExtent(os.fspath(path), read_polygons(path))


def _polygon_area(
    path: str | os.PathLike[str], images: Grid, cell: tuple[int, int], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    from rasterio.features import rasterize

    if not images.georeferenced:
        raise InputError("polygons need images with a georeference", path=path, advice="give a mask of equal size")
    found = PolygonExtent(os.fspath(path), read_polygons(path)).shapes(images)
    if not found.size:
        return np.zeros(shape, bool)
    burnt = rasterize(list(found), out_shape=shape, transform=Affine.scale(cell[1], cell[0]), dtype="uint8")
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
        row, col = pixels_on(mask.grid, images.crs)(*images.xy(row - 0.5, col - 0.5))
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


def burn(shapes: Any, grid: Grid) -> NDArray[np.bool_]:
    """Tell which pixel centres of a grid lie in any of some polygons in its CRS."""
    from rasterio.features import rasterize

    if not len(shapes):
        return np.zeros(grid.shape, bool)
    return np.asarray(rasterize(list(shapes), out_shape=grid.shape, transform=grid.transform, dtype="uint8")) > 0


def write_outline(path: Path, inside: NDArray[np.bool_], grid: Grid) -> None:
    """Write the outline of an area, True = inside, as a GeoPackage of polygons."""
    import geopandas
    import shapely
    from rasterio.features import shapes

    found = shapes(inside.astype(np.uint8), mask=inside, transform=grid.transform)
    outline = geopandas.GeoSeries([shapely.geometry.shape(geometry) for geometry, _ in found], crs=grid.crs)
    outline.to_frame("geometry").to_file(path, driver="GPKG", layer=path.stem)


_BLOCK = 200_000
"""Posts that are turned into points at once; bounds the memory."""
_LAYER = "offsets"
_SHORT = {"sigma_d_row": "sig_d_row", "sigma_d_col": "sig_d_col"}
"""Names of columns for Shapefiles, which cut them after 10 characters; all others are short enough."""


def write_points(path: Path, field: OffsetField, driver: str) -> None:
    """Write every post of a field as a point, with the columns of `OffsetField.to_geodataframe`.

    The points are written block by block, so that memory does not grow with the field.

    Parameters
    ----------
    path : Path
        Must not exist. A GeoPackage has them in the layer "offsets".
    field : OffsetField
    driver : {"GPKG", "ESRI Shapefile"}
    """
    import pyogrio

    rows, cols = field.grid.shape
    block = max(1, _BLOCK // max(cols, 1))
    shapefile = driver == "ESRI Shapefile"
    layer = path.stem if shapefile else _LAYER
    try:
        with warnings.catch_warnings():
            # Said of points without a CRS, and of numbers that lose their last digits in a Shapefile: both are meant.
            warnings.simplefilter("ignore")
            for top in range(0, rows, block):
                frame = offsets_frame(field, slice(top, min(top + block, rows)))
                if shapefile:  # whose logical values many programs read as text
                    frame = frame.rename(columns=_SHORT).astype({"good": np.int32})
                frame.to_file(path, driver=driver, layer=layer, mode="a" if top else "w", engine="pyogrio")
            written = pyogrio.read_info(path, layer=layer)["features"]
    except (RuntimeError, OSError) as error:  # the former is the base of pyogrio's errors
        raise OutputError("cannot be written", path=path, advice="check space and permission of the disk") from error
    if written != rows * cols:
        raise OutputError("is not what was written", path=path)


def polygons_frame(rows: list[dict[str, Any]], rings: list[NDArray[np.float64]], crs: Any) -> Any:
    """Return rows of a table as a GeoDataFrame whose shapes are the polygons within rings of (x, y)."""
    import geopandas
    import shapely

    return geopandas.GeoDataFrame(rows, geometry=[shapely.Polygon(ring) for ring in rings], crs=crs)
