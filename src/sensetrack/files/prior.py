"""Where to look, from a raster: offsets, displacements or velocities of an earlier run, or of somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from sensetrack.errors import InputError
from sensetrack.files.raster import BandSource, open_raster
from sensetrack.files.warp import pixels_of

if TYPE_CHECKING:
    import os
    from datetime import timedelta

    from numpy.typing import NDArray

    from sensetrack.files.raster import RasterFile
    from sensetrack.grid import Grid
    from sensetrack.ot.chips import ChipGrid

KINDS = {("d_row", "d_col"): "px", ("dx", "dy"): "m", ("vx", "vy"): "m/day"}
"""Descriptions of the two bands that are read, and their unit: those of offsets.tif, displacement.tif, velocity.tif."""


def prior_at_posts(
    path: str | os.PathLike[str], images: Grid, chips: ChipGrid, dt: timedelta | None
) -> NDArray[np.float64]:
    """Read offsets to look around at every post.

    Parameters
    ----------
    path : path-like
        A raster whose first two bands are described ``d_row, d_col`` (px of the images), ``dx, dy`` (ground metres) or
        ``vx, vy`` (m/day); in any CRS, with any posting. Between its pixels it is interpolated; not known where one of
        them is missing.
    images : Grid
    chips : ChipGrid
        Those of the algorithm on the images.
    dt : timedelta or None
        Time between the images; needed for velocities.

    Returns
    -------
    ndarray
        (2, rows, cols), d_row and d_col in px; NaN = not known.

    Raises
    ------
    InputError
        The bands are others, only one of raster and images has a georeference, there is no time for velocities, or
        nothing is known on the ground of the images.
    """
    file = open_raster(path)
    names = tuple(str(name or "") for name in file.descriptions[:2])
    unit = KINDS.get((names[0], names[-1]))
    if unit is None:
        known = ", or ".join(" and ".join(pair) for pair in KINDS)
        found = " and ".join(name or "nothing" for name in names)
        raise InputError(f"the first two bands must be described {known}, instead got {found}", path=path)
    if file.grid.georeferenced != images.georeferenced or not (images.georeferenced or unit == "px"):
        raise InputError("prior and images must both have a georeference or both have none", path=path)
    if unit == "m/day" and not dt:
        advice = "give --reference-date and --secondary-date"
        raise InputError("velocities need the dates of both images", path=path, advice=advice)
    first, second = _sampled(file, images, chips)
    if unit != "px":
        days = dt.total_seconds() / 86_400 if unit == "m/day" and dt else 1.0
        posts = images.posts(chips.centre, chips.step, chips.shape)
        first, second = posts.from_map(first * days, second * days)
        first, second = first * chips.step[0], second * chips.step[1]
    if not np.isfinite(first + second).any():
        raise InputError("says nothing about the ground of the images", path=path)
    return np.stack([first, second])


def _sampled(file: RasterFile, images: Grid, chips: ChipGrid) -> list[NDArray[np.float64]]:
    """First two bands at the posts."""
    i, j = np.indices(chips.shape, float)
    row, col = (chips.centre[axis] + index * chips.step[axis] for axis, index in ((0, i), (1, j)))
    if images.georeferenced:
        row, col = pixels_of(file.grid, images.crs)(*images.xy(row - 0.5, col - 0.5))
    elif file.grid.shape == chips.shape:  # an earlier run with the same chips
        row, col = i + 0.5, j + 0.5
    elif file.grid.shape != images.shape:
        message = f"without georeference it must have the size of the images, {images.shape}, or one value per post"
        raise InputError(f"{message}, {chips.shape}, instead got {file.grid.shape}", path=file.path)
    everything = slice(0, file.grid.shape[0]), slice(0, file.grid.shape[1])
    places = np.stack([row - 0.5, col - 0.5])
    bands = (BandSource(file, band, np.nan)[everything].astype(float) for band in (1, 2))
    return [ndimage.map_coordinates(band, places, order=1, mode="constant", cval=np.nan) for band in bands]
