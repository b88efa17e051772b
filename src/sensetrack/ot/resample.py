"""Images seen on another pixel grid: lazily, tile by tile, resampled once however many mappings are chained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sensetrack.ot.interfaces import Image

    Places = Callable[[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]
    """(row, col) of pixel centres on one grid -> (row, col) of pixel centres on another."""

_NODE = 16
"""Spacing, px, of the lattice on which coordinates are computed; between its nodes they are interpolated."""
_SPLINE_HALO = 12
"""Pixels after which a sample no longer matters to a cubic spline (weight below 1e-6)."""


class Resampled:
    """An image seen on another pixel grid; pixels are resampled with a cubic spline when they are read, once.

    A pixel is valid only where all four source pixels around it are. Where the source is finer than the grid,
    it is smoothed first, so that detail the grid cannot hold does not alias into false texture.

    What is resampled already is not resampled again: the two mappings are chained and its *source* is read.
    Ground of that source beyond the intermediate grid is then seen, too.

    Parameters
    ----------
    source : array-like of float
        (rows, cols), NaN = not valid; sliced by windows.
    places : callable
        (row, col) of the new grid -> (row, col) of the source, both in pixel centres; smooth over 16 px, between
        which it is interpolated.
    shape : (int, int)
        Rows and columns of the new grid.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, source: Any, places: Places, shape: tuple[int, int]) -> None:
        again = isinstance(source, Resampled)
        self.source: Any = source.source if again else source
        self.places: Places = _chain(places, source.places) if again else places
        self.shape = (int(shape[0]), int(shape[1]))

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.float32]:
        from scipy import ndimage  # large

        rows, cols = (slice(*part.indices(size)) for part, size in zip(key, self.shape, strict=True))
        row, col = self._coordinates(rows, cols)
        ratio = np.array([_finest(row), _finest(col)])  # source px per px of the grid
        sigma = 0.5 * np.sqrt(np.maximum(ratio**2 - 1, 0)) * (ratio > 1.2)
        halo = _SPLINE_HALO + np.ceil(4 * sigma).astype(int)
        out = np.full(row.shape, np.nan, np.float32)
        top, bottom = _reach(row, halo[0], self.source.shape[0])
        left, right = _reach(col, halo[1], self.source.shape[1])
        if top >= bottom or left >= right:
            return out
        pixels = np.asarray(self.source[top:bottom, left:right], np.float64)
        valid = np.isfinite(pixels)
        if not valid.any():
            return out
        if not valid.all():
            nearest = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
            pixels = pixels[tuple(nearest)]
        if sigma.any():
            pixels = ndimage.gaussian_filter(pixels, sigma, mode="nearest")
        places = np.stack([row - top, col - left])
        share = ndimage.map_coordinates(valid.astype(np.float32), places, order=1, cval=0.0, mode="constant")
        values = ndimage.map_coordinates(pixels, places, order=3, mode="nearest")
        usable = share > 0.999
        out[usable] = values[usable]
        return out

    def _coordinates(self, rows: slice, cols: slice) -> tuple[NDArray[Any], NDArray[Any]]:
        """(row, col) of the source, in pixel centres, for every pixel of a window."""
        from scipy import ndimage

        nodes = np.meshgrid(_nodes(rows), _nodes(cols), indexing="ij")
        at = np.meshgrid(
            (np.arange(rows.start, rows.stop) - rows.start) / _NODE,
            (np.arange(cols.start, cols.stop) - cols.start) / _NODE,
            indexing="ij",
        )
        row, col = (ndimage.map_coordinates(part, at, order=1, mode="nearest") for part in self.places(*nodes))
        return row, col


class Pixels:
    """Pixels of an image as floating numbers, NaN where not valid: what `Resampled` reads."""

    def __init__(self, image: Image) -> None:
        self.image, self.shape = image, image.grid.shape
        exact = np.dtype(image.data.dtype).itemsize <= 2 or image.data.dtype == np.float32
        self.dtype = np.dtype(np.float32 if exact else np.float64)

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[Any]:
        rows, cols = (slice(*part.indices(size)) for part, size in zip(key, self.shape, strict=True))
        values, valid = self.image.read(rows, cols)
        return np.where(valid, values, np.nan).astype(self.dtype)


def resample(image: Image, places: Places, shape: tuple[int, int]) -> Resampled:
    """See the pixels of a one-band image, and which of them are valid, on another grid.

    An image that is resampled already, and whose validity is all in its pixels, is not resampled again.
    """
    bare = isinstance(image.data, Resampled) and image.nodata is None and image.mask_source is None
    return Resampled(image.data if bare else Pixels(image), places, shape)


def _chain(first: Places, then: Places) -> Places:
    return lambda row, col: then(*first(row, col))


def _nodes(window: slice) -> NDArray[Any]:
    return np.arange(window.start, window.stop + _NODE, _NODE, dtype=float)


def _finest(place: NDArray[Any]) -> float:
    """How many source pixels one pixel spans: the larger of the two directions, in the middle."""
    steps = [np.abs(np.diff(place, axis=axis)) for axis in (0, 1) if place.shape[axis] > 1]
    return max((float(np.median(step)) for step in steps), default=1.0)


def _reach(place: NDArray[Any], halo: int, size: int) -> tuple[int, int]:
    low, high = np.nanmin(place), np.nanmax(place)
    if not (np.isfinite(low) and np.isfinite(high)):
        return 0, 0
    return max(int(low) - halo, 0), min(int(high) + halo + 2, size)
