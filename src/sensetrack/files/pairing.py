"""Open images, and bring two of them onto ONE grid: cropped to what they share, resampled at most once."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sensetrack.errors import (
    ComponentWarning,
    ConfigError,
    GridMismatchError,
    InputError,
    NoGeoreferenceWarning,
    NoOverlapError,
    ResampledWarning,
    UnlikePairWarning,
)
from sensetrack.files.bands import Band, Stack, band_names, component, require_band, usable_bands
from sensetrack.files.places import local_crs_of, outline_on, pixels_on
from sensetrack.files.raster import BandSource, RasterFile, open_raster
from sensetrack.files.warp import Geolocation, Warped
from sensetrack.grid import Grid, crs_name, same_crs
from sensetrack.notices import warn
from sensetrack.ot.interfaces import Image, ImagePair
from sensetrack.ot.resample import Pixels

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from numpy.typing import NDArray

    from sensetrack.files.places import Extent

log = logging.getLogger(__name__)

SAME = 0.01
"""Grids whose pixels are nowhere further apart than this, in px, are one grid."""
MAX_PIXELS = 10**9
"""Pixels of a grid beyond which a job is refused unless the user allows more."""


@dataclass(frozen=True, eq=False)
class ProductBand:
    """A band of a product as an image, and where it came from: what missions hand to `pair`."""

    path: Path
    image: Image
    """One band of floating numbers, NaN = not valid."""
    about: dict[str, Any] = field(default_factory=dict)
    """What the run record says of it, as plain values."""


@dataclass(frozen=True, eq=False)
class _Layer:
    """One band and where it is: on a grid, by ground control points, or nowhere."""

    name: str
    source: Any
    grid: Grid
    geolocation: Geolocation | None
    acquired: datetime | None
    sensor: str | None

    @property
    def placed(self) -> bool:
        return self.grid.georeferenced or self.geolocation is not None

    def on(self, grid: Grid) -> Image:
        """Return the band on a grid: as it is, cut out, or warped."""
        return Image(self.seen_on(grid), grid.affine, grid.crs, acquired=self.acquired, sensor=self.sensor)

    def seen_on(self, grid: Grid) -> Any:
        """Return the pixels of the band on a grid."""
        if self.geolocation is not None:
            return Warped(self.source, self.geolocation.to_pixels, grid)
        if not grid.georeferenced or self.grid.same_as(grid):
            return self.source
        shift = whole_shift(self.grid, grid)
        if shift is not None:
            return _Cut(self.source, shift, grid.shape)
        return Warped(self.source, pixels_on(self.grid, grid.crs, together=True), grid)


class _Cut:
    """A window of a source."""

    def __init__(self, source: Any, shift: tuple[int, int], shape: tuple[int, int]) -> None:
        self.source, self.shift, self.shape, self.dtype = source, shift, shape, source.dtype

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[Any]:
        rows, cols = (
            slice(*(edge + by for edge in part.indices(size)[:2]))
            for part, by, size in zip(key, self.shift, self.shape, strict=True)
        )
        return np.asarray(self.source[rows, cols])


def open_image(path: str | os.PathLike[str], band: Band | Literal["all"] = 1, nodata: float | None = None) -> Image:
    """Open a raster as an image whose pixels are read when they are needed.

    Parameters
    ----------
    path : path-like
        A local GeoTIFF, JPEG, PNG or JPEG 2000. One placed by ground control points only is warped to UTM (polar
        stereographic beyond 80 degrees).
    band : int, "grey" or "all"
        From 1; "grey" is the luminance of red, green and blue, or of the first three bands; "all" gives an image of
        (rows, cols, bands) without the alpha channel, whose pixels are valid where every band is.
    nodata : float, optional
        Overrides what the file declares.
    """
    require_band(band, "grey", "all")
    if band != "all":
        (layer,) = _layers((path,), band, nodata)
        return layer.on(_own_grid(layer))
    file = open_raster(path)
    bands = usable_bands(file) or (1,)
    layer = _placed(file, BandSource(file, bands[0], nodata))
    grid = _own_grid(layer)
    seen = [replace(layer, source=BandSource(file, number, nodata)).seen_on(grid) for number in bands]
    names = band_names(file, bands)
    return Image(Stack(seen), grid.affine, grid.crs, band_names=names, acquired=layer.acquired, sensor=layer.sensor)


def require_alike(
    values: Mapping[str, tuple[Any, Any]],
    polarisations: tuple[Sequence[str], Sequence[str]],
    path: Path,
    *,
    advice: str,
    force: bool,
) -> None:
    """Require that two radar products have the same values, and a polarisation in common.

    Parameters
    ----------
    values : mapping
        What must be the same -> what reference and secondary have.
    polarisations : (sequence of str, sequence of str)
    path : Path
        Of the secondary.
    advice : str
    force : bool
        Warn only.
    """
    unlike = [
        f"must be of the {what} of the reference, {one}, instead got {other}"
        for what, (one, other) in values.items()
        if one != other
    ]
    if not set(polarisations[0]) & set(polarisations[1]):
        both = [", ".join(names) for names in polarisations]
        unlike.append(f"must have a polarisation of the reference, {both[0]}, instead got {both[1]}")
    for text in unlike:
        if not force:
            raise InputError(text, path=path, advice=advice)
        warn(f"{path}: {text}; paired all the same", UnlikePairWarning, stacklevel=3)


def cropped(image: Image, within: Grid | Extent) -> Image:
    """Return the part of an image that an extent (in any CRS) covers, in whole pixels, read when it is needed.

    Raises
    ------
    NoOverlapError
        The extent lies outside of the image.
    """
    rows, cols = _window_of(image.grid, within, 0)
    grid = image.grid.crop(rows, cols)
    source = _Cut(image.data, (rows.start, cols.start), grid.shape)
    return Image(
        source, grid.affine, grid.crs, band_names=image.band_names, acquired=image.acquired, sensor=image.sensor
    )


def pair(
    reference: Image | ProductBand | str | os.PathLike[str],
    secondary: Image | ProductBand | str | os.PathLike[str],
    *,
    band: Band = 1,
    nodata: float | None = None,
    within: Grid | Extent | None = None,
    margin: int = 0,
    warp: bool = True,
    max_pixels: int = MAX_PIXELS,
) -> ImagePair:
    """Bring two images onto one grid: that of the reference, cropped to the ground both cover.

    The secondary is cut out where its pixels coincide with the reference's to 0.01 px, and resampled once
    (cubic spline, with a warning that says why) where they do not: another CRS, another pixel size, a shift by
    a fraction of a pixel. Nothing is written anywhere.

    Parameters
    ----------
    reference, secondary : Image, ProductBand or path-like
    band : int or "grey"
        As in `open_image`, for both files.
    nodata : float, optional
        Overrides what the files declare.
    within : Grid or extent, optional
        Extent (in any CRS) to crop to; see `sensetrack.files.vector.extent_of`.
    margin : int
        Pixels kept around the area of interest.
    warp : bool
        False: a secondary that would have to be resampled is an error.
    max_pixels : int
        Largest grid that is accepted.

    Raises
    ------
    GridMismatchError
        Only one says where it is, neither does and their sizes differ, or it must not be warped and would be.
    NoOverlapError
        No ground in common.
    """
    require_band(band, "grey")
    layers = _layers((reference, secondary), band, nodata)
    first, second = layers
    if first.placed != second.placed:
        lost = second if first.placed else first
        message = "has no georeference while the other image has one"
        raise GridMismatchError(message, path=lost.name, advice="georeference it, or use both without")
    if not first.placed:
        if first.grid.shape != second.grid.shape:
            sizes = f"{first.grid.shape} and {second.grid.shape}"
            message = f"images without georeference must be of equal size, instead got {sizes}"
            raise GridMismatchError(message, path=second.name)
        warn(f"{first.name}: no georeference, results stay in pixels", NoGeoreferenceWarning, stacklevel=2)
        grid = first.grid
    else:
        own = _own_grid(first)
        second = _located_in(second, own)
        grid = own.crop(*_overlap(own, second, layers))
        if within is not None:
            grid = grid.crop(*_window_of(grid, within, margin))
        why = _why_warped(second, grid)
        if why and not warp:
            raise GridMismatchError(f"does not share the grid of the reference ({why})", path=second.name)
        if why:
            text = f"{second.name}: warped onto the grid of the reference ({why})"
            warn(text, ResampledWarning, stacklevel=2)
    if grid.shape[0] * grid.shape[1] > max_pixels:
        message = f"a grid of {grid.shape[0]} x {grid.shape[1]} px is more than the {max_pixels:,} px allowed"
        raise InputError(message, path=first.name, advice="choose an area of interest or raise --max-pixels")
    return ImagePair(first.on(grid), second.on(grid))


def _layers(
    items: Sequence[Image | ProductBand | str | os.PathLike[str]], band: Band, nodata: float | None
) -> list[_Layer]:
    """Open what is not open yet; a band that no file has is a matter of usage, one that only some have is not."""
    opened = [item if isinstance(item, Image | ProductBand) else open_raster(item) for item in items]
    files = [item for item in opened if isinstance(item, RasterFile)]
    if files and band != "grey" and band > max(file.count for file in files):
        counts = " and ".join(str(file.count) for file in files)
        raise ConfigError(f"there is no band {band}, the number of bands is {counts}", path=files[0].path)
    return [_layer(item, band, nodata) for item in opened]


def _layer(file: Image | ProductBand | RasterFile, band: Band, nodata: float | None) -> _Layer:
    if isinstance(file, ProductBand):
        image = file.image
        return _Layer(str(file.path), image.data, image.grid, None, image.acquired, image.sensor)
    if isinstance(file, Image):
        file = file if file.count == 1 else file.grey() if band == "grey" else file.band(band)
        return _Layer("image in memory", Pixels(file), file.grid, None, file.acquired, file.sensor)
    source = BandSource(file, band, nodata)
    if band == "grey":
        log.info("%s: grey of band%s %s", file.path, "s"[: len(source.bands) > 1], ", ".join(map(str, source.bands)))
    elif file.count > 1:
        log.info("%s has %d bands, using band %d", file.path, file.count, band)
    half = component(file, source.bands)
    if half is not None:
        text = f"{file.path}: band {half!r} is one component of complex data, not an amplitude"
        warn(text, ComponentWarning, stacklevel=2)
    return _placed(file, source)


def _placed(file: RasterFile, source: BandSource) -> _Layer:
    """Return a band with its place: that of the header, or the fit of the ground control points."""
    located = Geolocation.fit(file, local_crs_of(file)) if file.gcps else None
    if located is not None:
        level = logging.WARNING if located.residual > 0.5 else logging.INFO
        text = "%s: placed by %d ground control points, %.2f px from the fit, in %s"
        log.log(level, text, file.path, len(file.gcps), located.residual, crs_name(located.crs))
    sensor = file.tags.get("SENSOR") or file.tags.get("sensor")
    return _Layer(str(file.path), source, file.grid, located, file.acquired, sensor)


def _own_grid(layer: _Layer) -> Grid:
    return layer.grid if layer.geolocation is None else layer.geolocation.grid(layer.grid.shape)


def _located_in(layer: _Layer, grid: Grid) -> _Layer:
    """Refit the ground control points of a layer in the CRS they will be used in."""
    if layer.geolocation is None or same_crs(layer.geolocation.crs, grid.crs):
        return layer
    return replace(layer, geolocation=Geolocation.fit(layer.source.file, grid.crs))


def _overlap(grid: Grid, other: _Layer, layers: list[_Layer]) -> tuple[slice, slice]:
    """Rows and columns of `grid` that the other layer covers."""
    theirs = _own_grid(other)
    try:
        row, col = outline_on(theirs, grid)
    except GridMismatchError as error:
        error.path = other.name
        raise
    known = np.isfinite(row) & np.isfinite(col)
    window = None
    if known.any():
        window = _clip(row[known], col[known], grid.shape)
    if window is None:
        bounds = " and ".join(_bounds_text(_own_grid(layer)) for layer in layers)
        message = f"footprints do not overlap: {bounds}"
        raise NoOverlapError(message, path=other.name)
    return window


def _clip(row: NDArray[Any], col: NDArray[Any], shape: tuple[int, int]) -> tuple[slice, slice] | None:
    """Whole pixels between the smallest and largest (row, col), inside `shape`; None where there are none."""
    window = []
    for place, size in ((row, shape[0]), (col, shape[1])):
        start = max(int(np.ceil(place.min() - SAME)), 0)
        stop = min(int(np.floor(place.max() + SAME)), size)
        if stop <= start:
            return None
        window.append(slice(start, stop))
    return window[0], window[1]


def _window_of(grid: Grid, within: Grid | Extent, margin: int) -> tuple[slice, slice]:
    """Rows and columns of `grid` that an extent covers, and a margin."""
    row, col = outline_on(within, grid) if isinstance(within, Grid) else within.on(grid)
    known = np.isfinite(row) & np.isfinite(col)
    row, col = row[known], col[known]
    # A whole pixel even where the area is smaller than one.
    row, col = (np.concatenate([np.floor(part), np.ceil(part)]) for part in (row, col))
    if not row.size or _clip(row, col, grid.shape) is None:
        message = f"lies outside the images, which cover {_bounds_text(grid)}"
        raise NoOverlapError(message)
    spread = np.concatenate([row - margin, row + margin]), np.concatenate([col - margin, col + margin])
    window = _clip(*spread, grid.shape)
    return window or (slice(0, 0), slice(0, 0))


def _bounds_text(grid: Grid) -> str:
    left, bottom, right, top = grid.bounds
    return f"x {left:.6g} to {right:.6g}, y {bottom:.6g} to {top:.6g} in {crs_name(grid.crs)}"


def whole_shift(grid: Grid, target: Grid) -> tuple[int, int] | None:
    """(rows, cols) of `grid` at which `target` starts where their pixels coincide to `SAME`; None elsewhere."""
    if not same_crs(grid.crs, target.crs):
        return None
    row, col = pixels_on(grid, target.crs, together=True)(*target.outline(2))
    expected_row, expected_col = pixels_on(target, target.crs, together=True)(*target.outline(2))
    shift = round(float((row - expected_row).mean())), round(float((col - expected_col).mean()))
    apart = max(np.abs(row - expected_row - shift[0]).max(), np.abs(col - expected_col - shift[1]).max())
    inside = min(shift) >= 0 and all(
        by + size <= whole for by, size, whole in zip(shift, target.shape, grid.shape, strict=True)
    )
    return shift if apart < SAME and inside else None


def _why_warped(layer: _Layer, grid: Grid) -> str | None:
    """Say why a layer cannot be used as it is; None where it can, or was never meant to be."""
    if layer.geolocation is not None:
        return None  # said when it was opened
    if not same_crs(layer.grid.crs, grid.crs):
        return f"its CRS is {crs_name(layer.grid.crs)}, the reference's {crs_name(grid.crs)}"
    if whole_shift(layer.grid, grid) is not None:
        return None
    sizes = layer.grid.pixel_size, grid.pixel_size
    if any(abs(a / b - 1) > 1e-6 for a, b in zip(*sizes, strict=True)):
        shown = " and ".join("{:.8g} x {:.8g} m".format(*size) for size in sizes)
        return f"its pixels differ from the reference's: {shown} on the ground"
    return "its pixels lie between the reference's"
