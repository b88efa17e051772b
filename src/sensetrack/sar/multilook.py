"""Fewer, better pixels: means of intensity over boxes of whole pixels, and how large to make them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import ConfigError, InputError
from sensetrack.sar.lazy import Lazy, require_plane

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.ot.interfaces import Source
    from sensetrack.sar.radargrid import GroundRange, RadarGrid

    Looks = tuple[int, int]
    """Azimuth, range."""

_LEAST = 0.5
"""Share of a box that must have been measured."""


def multilook(intensity: NDArray[Any], looks: Looks, *, least: float = _LEAST) -> NDArray[np.float32]:
    """Return the mean of the measured pixels of each box.

    Parameters
    ----------
    intensity : (rows, cols) real
        Linear power, not decibels and not amplitude. NaN means not measured.
    looks : (int, int)
        Rows and columns of a box (azimuth, range).
    least : float
        Share of a box that must have been measured; a box with less is NaN.

    Returns
    -------
    (rows // looks[0], cols // looks[1]) float32
        Rows and columns that do not fill a box are left out.
    """
    if np.iscomplexobj(intensity) or intensity.ndim != 2:
        raise InputError(f"looks are taken of (rows, cols) intensity, instead got {intensity.dtype} {intensity.shape}")
    down, across = _require(looks)
    if not 0 < least <= 1:
        raise ConfigError(f"least must lie above 0 and at most at 1, instead got {least}")
    rows, cols = intensity.shape[0] // down, intensity.shape[1] // across
    boxes = intensity[: rows * down, : cols * across].reshape(rows, down, cols, across)
    measured = np.isfinite(boxes)
    if measured.all():
        return np.asarray(_sum(boxes, (down, across)) / (down * across), np.float32)
    count = measured.sum(axis=3).sum(axis=1)
    total = _sum(np.where(measured, boxes, 0), (down, across))
    enough = count >= max(least * down * across, 1)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=enough)
    return np.asarray(mean, np.float32)


def _sum(boxes: NDArray[Any], looks: Looks) -> NDArray[np.float64]:
    """Sum boxes in a fixed order, so that a pixel does not depend on what is computed beside it."""
    lines = boxes[:, 0].astype(np.float64)
    for row in range(1, looks[0]):
        lines += boxes[:, row]
    total = lines[:, :, 0].copy()
    for col in range(1, looks[1]):
        total += lines[:, :, col]
    return total


class Multilooked(Lazy):
    """A multilooked image that is computed when a window of it is read.

    Parameters
    ----------
    source : Source
        (rows, cols) intensity; see `multilook`.
    looks : (int, int)
        Azimuth, range.
    least : float
        Share of a box that must have been measured.
    """

    def __init__(self, source: Source, looks: Looks, *, least: float = _LEAST) -> None:
        rows, cols = require_plane("an intensity", source)
        self.looks, self.least = _require(looks), least
        self.shape, self.dtype = (rows // self.looks[0], cols // self.looks[1]), np.dtype(np.float32)
        if min(self.shape) < 1:
            raise ConfigError(f"looks must fit into the image of {rows} x {cols}, instead got {looks}")
        self._source = source

    def read(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        """Compute a window."""
        down, across = self.looks
        window = self._source[rows.start * down : rows.stop * down, cols.start * across : cols.stop * across]
        return multilook(np.asarray(window), self.looks, least=self.least)


def looked(grid: RadarGrid, looks: Looks) -> RadarGrid:
    """Return the radar grid of a multilooked image: its pixels are the centres of boxes."""
    down, across = _require(looks)
    return replace(
        grid,
        lines=grid.lines // down,
        samples=grid.samples // across,
        first_time=float(grid.time((down - 1) / 2)),
        line_interval=grid.line_interval * down,
        near_range=float(grid.slant_range((across - 1) / 2, grid.first_time)),
        range_spacing=grid.range_spacing * across,
        ground=None if grid.ground is None else _looked_ground(grid.ground, across),
    )


def _looked_ground(ground: GroundRange, looks: int) -> GroundRange:
    """Count ground range from the centre of the first box, where sample 0 must be."""
    shift = (looks - 1) / 2 * ground.spacing
    to_ground = ground.slant_to_ground.copy()
    to_ground[:, 0] -= shift
    origins = np.zeros_like(ground.times) if ground.ground_origins is None else ground.ground_origins
    return replace(ground, slant_to_ground=to_ground, ground_origins=origins - shift, spacing=ground.spacing * looks)


def looks_for(
    spacing: tuple[float, float], incidence: float, *, azimuth_looks: int | None = None, pixel: float | None = None
) -> Looks:
    """Return the looks (azimuth, range) that make pixels most nearly square on the ground.

    Between n and n + 1 looks the limit is sqrt(n (n + 1)): the ratio of the sides counts, not their difference.

    Parameters
    ----------
    spacing : (float, float)
        Of the samples along azimuth and slant range, m, as the product says (not its resolution, which is coarser).
        Ground range spacing goes with an incidence of pi / 2.
    incidence : float
        In the middle of the area, radians from the vertical.
    azimuth_looks : int, optional
        As many, and as many in range as fit to them.
    pixel : float, optional
        Instead: the pixel that is wanted on the ground, m.
    """
    azimuth, slant = spacing
    if not all(math.isfinite(length) and length > 0 for length in spacing):
        raise ConfigError(f"spacing must be two lengths in m above 0, instead got {spacing}")
    if not 0 < incidence <= math.pi / 2:
        raise ConfigError(f"incidence must lie between 0 and pi / 2 radians, instead got {incidence}")
    if (azimuth_looks is None) == (pixel is None):
        raise ConfigError("looks must follow from azimuth_looks or from pixel, one of the two")
    if pixel is not None:
        if not (math.isfinite(pixel) and pixel > 0):
            raise ConfigError(f"pixel must be a length in m above 0, instead got {pixel}")
        azimuth_looks = _whole(pixel / azimuth)
    elif azimuth_looks is None or azimuth_looks < 1:
        raise ConfigError(f"azimuth looks must be at least 1, instead got {azimuth_looks}")
    wanted = azimuth_looks * azimuth if pixel is None else pixel
    return azimuth_looks, _whole(wanted * math.sin(incidence) / slant)


def _whole(ratio: float) -> int:
    below = max(1, math.floor(ratio))
    return below if ratio * ratio < below * (below + 1) else below + 1


def _require(looks: Looks) -> Looks:
    if len(looks) != 2 or any(int(part) != part or part < 1 for part in looks):
        raise ConfigError(f"looks must be two whole numbers from 1 (azimuth, range), instead got {looks}")
    return int(looks[0]), int(looks[1])
