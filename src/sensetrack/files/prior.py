"""Where to look, and how far, from rasters: of an earlier run, or of somebody else."""

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

    Parts = list[NDArray[np.float64]]

KINDS: dict[tuple[str, ...], str] = {("d_row", "d_col"): "px", ("dx", "dy"): "m", ("vx", "vy"): "m/day"}
"""Descriptions of the two bands that are read, and their unit: those of offsets.tif, displacement.tif, velocity.tif."""
LENGTHS: dict[tuple[str, ...], str] = {("magnitude",): "m", ("speed",): "m/day"}
"""Further descriptions of a band that is read for both directions."""
_STATED = {
    "px": {"": 1.0, "px": 1.0, "pixel": 1.0, "pixels": 1.0},
    "m": {"": 1.0, "m": 1.0, "metre": 1.0, "meter": 1.0, "metres": 1.0, "meters": 1.0},
    "m/day": {"": 1.0, "m/day": 1.0, "m/d": 1.0, "meter/day": 1.0, "metre/day": 1.0}
    | dict.fromkeys(("m/yr", "m/year", "m/y", "m/a", "meter/year", "metre/year"), 1 / 365.25),
}
"""Units that a band may state, and how much of the usual one each is; none stated: the usual one."""


def prior_at_posts(
    path: str | os.PathLike[str], images: Grid, chips: ChipGrid, dt: timedelta | None
) -> NDArray[np.float64]:
    """Read offsets to look around at every post.

    Parameters
    ----------
    path : path-like
        A raster whose first two bands are described ``d_row, d_col`` (px of the images), ``dx, dy`` (ground metres) or
        ``vx, vy`` (m/day, or m/yr where that is their unit); in any CRS, with any posting. Between its pixels it is
        interpolated; not known where one of them is missing.
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
        The bands or their units are others, only one of raster and images has a georeference, there is no time for
        velocities, or nothing is known on the ground of the images.
    """
    unit, parts = _read(path, KINDS, images, chips, dt, what="prior")
    if unit != "px":
        parts = _pixels(parts, images, chips)
    return _known_somewhere(np.stack(parts), path)


def limits_at_posts(
    path: str | os.PathLike[str], images: Grid, chips: ChipGrid, dt: timedelta | None
) -> NDArray[np.float64]:
    """Read how far to look at every post.

    Parameters
    ----------
    path : path-like
        A raster of half widths; in all else like one that `prior_at_posts` reads. Or one of a single band for both
        directions, described as one of those two, ``magnitude`` (m) or ``speed`` (m/day). No limit where one of the
        pixels around is missing.
    images, chips, dt
        See `prior_at_posts`.

    Returns
    -------
    ndarray
        (2, rows, cols): half widths down the rows and along the columns, px; NaN = no limit.

    Raises
    ------
    InputError
        As `prior_at_posts`; or a half width is negative.
    """
    single: dict[tuple[str, ...], str] = LENGTHS | {(name,): unit for names, unit in KINDS.items() for name in names}
    unit, parts = _read(path, KINDS | single, images, chips, dt, what="search limit")
    lowest = min(float(part.min(initial=np.inf, where=np.isfinite(part))) for part in parts)
    if lowest < 0:
        raise InputError(f"half widths must be at least 0, instead got {lowest:g} {unit}", path=path)
    first, second = parts[0], parts[-1]
    if unit != "px":
        # Along axes that may be turned against rows and columns: what holds the whole box on the map.
        zero = np.zeros_like(first)
        by_x, by_y = _pixels([first, zero], images, chips), _pixels([zero, second], images, chips)
        first, second = (np.abs(a) + np.abs(b) for a, b in zip(by_x, by_y, strict=True))
    return _known_somewhere(np.stack([first, second]), path)


def _read(
    path: str | os.PathLike[str],
    kinds: dict[tuple[str, ...], str],
    images: Grid,
    chips: ChipGrid,
    dt: timedelta | None,
    *,
    what: str,
) -> tuple[str, Parts]:
    """Sample one or two bands at the posts, in px or else in ground metres between the images; and say in which."""
    file = open_raster(path)
    names = tuple(str(name or "") for name in file.descriptions[:2])
    unit = kinds.get(names)
    if unit is None:
        raise InputError(_expected(names, kinds), path=path)
    if file.grid.georeferenced != images.georeferenced or not (images.georeferenced or unit == "px"):
        raise InputError(f"{what} and images must both have a georeference or both have none", path=path)
    if unit == "m/day" and not dt:
        advice = "give --reference-date and --secondary-date"
        raise InputError("velocities need the dates of both images", path=path, advice=advice)
    factors = _factors(file, unit, len(names))
    # A limit has no direction in time.
    days = dt.total_seconds() / 86_400 if unit == "m/day" and dt else 1.0
    days = abs(days) if what == "search limit" else days
    return unit, [part * (factor * days) for part, factor in zip(_sampled(file, images, chips), factors, strict=False)]


def _expected(names: tuple[str, ...], kinds: dict[tuple[str, ...], str]) -> str:
    """Say which descriptions there are, and which were found."""
    found = " and ".join(name or "nothing" for name in names)
    if len(names) == 1 and any(len(kind) == 1 for kind in kinds):
        known = ", ".join(kind[0] for kind in kinds if len(kind) == 1)
        return f"its only band must be described as one of {known}, instead got {found}"
    known = ", or ".join(" and ".join(kind) for kind in kinds if len(kind) == 2)
    return f"the first two bands must be described {known}, instead got {found}"


def _factors(file: RasterFile, unit: str, bands: int) -> list[float]:
    """How much of the usual unit that of each band is."""
    stated = [str(text or "").strip() for text in file.dataset.units[:bands]]
    for text in stated:
        if text not in _STATED[unit]:
            known = ", ".join(name for name in _STATED[unit] if name)
            names = " and ".join(file.descriptions[:bands])
            raise InputError(f"the unit of {names} must be one of {known}, instead got {text}", path=file.path)
    return [_STATED[unit][text] for text in stated]


def _pixels(parts: Parts, images: Grid, chips: ChipGrid) -> Parts:
    """Turn ground metres along the axes of the CRS into px, (d_row, d_col)."""
    moved = images.posts(chips.centre, chips.step, chips.shape).from_map(*parts)
    return [part * step for part, step in zip(moved, chips.step, strict=True)]


def _known_somewhere(values: NDArray[np.float64], path: str | os.PathLike[str]) -> NDArray[np.float64]:
    values[~np.isfinite(values)] = np.nan
    if not np.isfinite(values).all(axis=0).any():
        raise InputError("says nothing about the ground of the images", path=path)
    return values


def _sampled(file: RasterFile, images: Grid, chips: ChipGrid) -> Parts:
    """First band, or first two, at the posts."""
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
    # A zero is a measurement here: without a declared nodata value nothing else than NaN is missing.
    missing = np.nan if file.nodata is None else file.nodata
    bands = (BandSource(file, band, missing)[everything].astype(float) for band in range(1, min(file.count, 2) + 1))
    return [ndimage.map_coordinates(band, places, order=1, mode="constant", cval=np.nan) for band in bands]
