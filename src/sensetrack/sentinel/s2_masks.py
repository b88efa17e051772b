"""Masks of Sentinel-2 products on the grid of a band: polygons (GML) of old baselines, rasters since 04.00."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sensetrack.errors import GridMismatchError, MetadataError
from sensetrack.files.markup import parse_xml
from sensetrack.files.vector import burn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from sensetrack.files.raster import RasterFile
    from sensetrack.grid import Grid


class Mask(Protocol):
    """Windows of a mask."""

    def __getitem__(self, key: tuple[slice, slice], /) -> NDArray[np.bool_]:
        """Return (rows, cols), True = not to be used."""


class RasterMask:
    """A mask drawn as a raster, on the grid of a band.

    Parameters
    ----------
    file : RasterFile
    bands : sequence of int
        From 1; a pixel is masked where any of them says so.
    bad : callable
        Numbers of the raster -> bool, True = not to be used.
    grid : Grid
        Grid of the band; the pixels of one must be a whole number of those of the other.
    """

    def __init__(
        self, file: RasterFile, bands: tuple[int, ...], bad: Callable[[NDArray[Any]], NDArray[np.bool_]], grid: Grid
    ) -> None:
        self.file, self.bands, self.bad, self.shape = file, bands, bad, grid.shape
        self.coarse = tuple(_whole(a, b) for a, b in zip(grid.shape, file.grid.shape, strict=True))
        self.fine = tuple(_whole(b, a) for a, b in zip(grid.shape, file.grid.shape, strict=True))
        if not all(max(both) for both in zip(self.coarse, self.fine, strict=True)):
            message = f"must cover the {grid.shape} px of the band, instead got {file.grid.shape} px"
            raise GridMismatchError(message, path=file.path)
        if max(bands) > file.count:
            raise MetadataError(f"must have {max(bands)} bands, instead got {file.count}", path=file.path)

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.bool_]:
        parts = [slice(*part.indices(size)) for part, size in zip(key, self.shape, strict=True)]
        windows, inner = [], []
        for part, coarse, fine in zip(parts, self.coarse, self.fine, strict=True):
            if coarse:  # a pixel of the mask is `coarse` pixels of the band
                start = part.start // coarse
                windows.append(slice(start, -(-part.stop // coarse)))
                inner.append(slice(part.start - start * coarse, part.stop - start * coarse))
            else:
                windows.append(slice(part.start * fine, part.stop * fine))
                inner.append(slice(0, part.stop - part.start))
        found = self._window(*windows)
        for axis in (0, 1):
            if self.coarse[axis] > 1:
                found = np.repeat(found, self.coarse[axis], axis=axis)
            elif not self.coarse[axis]:
                shape = (*found.shape[:axis], -1, self.fine[axis], *found.shape[axis + 1 :])
                found = np.asarray(found.reshape(shape).any(axis=axis + 1))
        return found[inner[0], inner[1]]

    def _window(self, rows: slice, cols: slice) -> NDArray[np.bool_]:
        return np.asarray(np.any([self.bad(self.file.read(band, rows, cols)) for band in self.bands], axis=0))


def _whole(many: int, few: int) -> int:
    """Return `many` / `few` where that is a whole number, else 0."""
    return many // few if few and many % few == 0 else 0


@dataclass(frozen=True)
class Part:
    """A polygon of a mask."""

    kind: str
    """Such as OPAQUE, CIRRUS, DETECTOR_FOOTPRINT."""
    detector: int
    """Number of the detector that a footprint belongs to, else 0."""
    shape: Any
    """Polygon (shapely) in the CRS of the tile."""


class PolygonMask:
    """A mask drawn as polygons, on the grid of a band.

    Parameters
    ----------
    shapes : list of shapely.Polygon
        In the CRS of the grid.
    grid : Grid
    inside : bool
        True: what lies in a polygon is not to be used; False: what lies in none.
    """

    def __init__(self, shapes: list[Any], grid: Grid, *, inside: bool) -> None:
        from shapely import STRtree

        self.grid, self.inside, self.tree = grid, inside, STRtree(shapes)

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.bool_]:
        from shapely import box

        rows, cols = (slice(*part.indices(size)) for part, size in zip(key, self.grid.shape, strict=True))
        window = self.grid.crop(rows, cols)
        near = self.tree.query(box(*window.bounds))
        return np.asarray(burn(self.tree.geometries[near], window) == self.inside)


def read_polygons(content: bytes, path: Path, epsg: int | None) -> list[Part]:
    """Read the polygons of a GML mask; one without any is a mask of nothing.

    Parameters
    ----------
    content : bytes
    path : Path
        What messages call it.
    epsg : int or None
        The CRS of the tile, which must be that of the mask.
    """
    root = parse_xml(content, path)
    for element in root.iter():
        code = re.search(r"EPSG:[\d.:]*?(\d+)$", element.get("srsName", ""))
        if code and epsg is not None and int(code[1]) != epsg:
            raise MetadataError(f"must be in EPSG:{epsg} as the tile is, instead got EPSG:{code[1]}", path=path)
    parts = []
    for feature in root.iter():
        if feature.tag.rpartition("}")[2] != "MaskFeature":
            continue
        kind = next((e.text or "" for e in feature.iter() if e.tag.endswith("}maskType")), "").strip()
        identity = next((value for key, value in feature.attrib.items() if key.endswith("id")), "")
        number = re.search(r"-B\w{2}-(\d+)-", identity)
        for polygon in (e for e in feature.iter() if e.tag.endswith("}Polygon")):
            parts.append(Part(kind, int(number[1]) if number else 0, _polygon(polygon, path)))
    return parts


def _polygon(element: Any, path: Path) -> Any:
    from shapely import Polygon, make_valid

    rings: dict[str, list[NDArray[np.float64]]] = {"exterior": [], "interior": []}
    for side, found in rings.items():
        for part in (e for e in element.iter() if e.tag.endswith("}" + side)):
            for line in (e for e in part.iter() if e.tag.endswith("}posList")):
                found.append(_points(line, path))
    if len(rings["exterior"]) != 1:
        raise MetadataError(f"a polygon must have one exterior, instead got {len(rings['exterior'])}", path=path)
    shape = Polygon(rings["exterior"][0], rings["interior"])
    return shape if shape.is_valid else make_valid(shape)


def _points(line: Any, path: Path) -> NDArray[np.float64]:
    width = line.get("srsDimension", "2")
    try:
        numbers = np.array((line.text or "").split(), np.float64)
        points = numbers.reshape(-1, int(width))[:, :2]
    except ValueError as error:
        raise MetadataError(f"posList must hold {width} numbers for each point", path=path) from error
    if len(points) < 4 or not np.isfinite(points).all():
        raise MetadataError(f"posList must hold four finite points or more, instead got {len(points)}", path=path)
    return points
