"""Pixels of Sentinel-2 products, read when they are sliced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.ot.bands import LUMINANCE
from sensetrack.sentinel.s2_masks import PolygonMask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.files.raster import RasterFile
    from sensetrack.grid import Grid
    from sensetrack.sentinel.s2_masks import Mask, Part
    from sensetrack.sentinel.s2_metadata import Calibration


class Reflectance:
    """Reflectance of one band, NaN where not valid; read when it is sliced.

    Parameters
    ----------
    file : RasterFile
    calibration : Calibration
    masks : sequence of Mask
    """

    dtype = np.dtype(np.float32)

    def __init__(self, file: RasterFile, calibration: Calibration, masks: tuple[Mask, ...]) -> None:
        self.file, self.calibration, self.masks, self.shape = file, calibration, masks, file.grid.shape

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.float32]:
        rows, cols = (slice(*part.indices(size)[:2]) for part, size in zip(key, self.shape, strict=True))
        numbers = self.file.read(1, rows, cols)
        missing = (numbers == self.calibration.nodata) | (numbers == self.calibration.saturated)
        for mask in self.masks:
            missing |= mask[rows, cols]
        values = numbers.astype(np.float32)
        values += np.float32(self.calibration.offset)
        values *= np.float32(1 / self.calibration.quantification)
        values[missing] = np.nan
        return values


class Grey:
    """Luminance of red, green and blue."""

    dtype = np.dtype(np.float32)

    def __init__(self, sources: list[Any]) -> None:
        self.sources, self.shape = sources, sources[0].shape

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.float32]:
        parts = [np.float32(weight) * source[key] for weight, source in zip(LUMINANCE, self.sources, strict=True)]
        return np.asarray(parts[0] + parts[1] + parts[2])


class DetectorParts:
    """Numbers of detectors from polygons."""

    dtype = np.dtype(np.uint8)

    def __init__(self, parts: list[Part], grid: Grid) -> None:
        self.shape = grid.shape
        self.masks = [(part.detector, PolygonMask([part.shape], grid, inside=True)) for part in parts]

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.uint8]:
        out = None
        for number, mask in self.masks:
            inside = mask[key]
            out = np.zeros(inside.shape, np.uint8) if out is None else out
            out[inside & (out == 0)] = number
        return np.zeros((0, 0), np.uint8) if out is None else out


class DetectorPixels:
    """Numbers of detectors from a raster."""

    dtype = np.dtype(np.uint8)

    def __init__(self, file: RasterFile) -> None:
        self.file, self.shape = file, file.grid.shape

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.uint8]:
        rows, cols = (slice(*part.indices(size)[:2]) for part, size in zip(key, self.shape, strict=True))
        return self.file.read(1, rows, cols)
