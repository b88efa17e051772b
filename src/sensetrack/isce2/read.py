"""What a run of ISCE2 has measured, as posts of a radar image whose place and time are known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sensetrack.errors import InputError
from sensetrack.files.isce import DenseOffsets, read_dense_offsets
from sensetrack.files.isce_raw import read_raw_at, shape_of
from sensetrack.grid import Grid
from sensetrack.isce2.xml import read_topsapp
from sensetrack.ot.fields import Flag, OffsetField
from sensetrack.sar.ampcor_grid import posts
from sensetrack.sar.geometry import geo2rdr
from sensetrack.sar.radar_field import RadarField

if TYPE_CHECKING:
    import os
    from datetime import timedelta

    from numpy.typing import NDArray

    from sensetrack.isce2.settings import TopsApp
    from sensetrack.sar.radargrid import RadarGrid

_LARGEST_MISFIT = 0.5
"""Pixels by which places that ISCE2 gives may lie off a regular image."""
_ENOUGH = 9
"""Posts with a place that are needed."""


@dataclass(frozen=True, eq=False)
class IsceRun:
    """The results of a run."""

    settings: TopsApp
    offsets: DenseOffsets
    measured: RadarField
    """As ISCE2 measured; flagged NO_DATA where it did not."""


def read_run(folder: str | os.PathLike[str], radar: RadarGrid, dt: timedelta | None = None) -> IsceRun:
    """Read what a run has left.

    Where the merged image of ISCE2 begins is found from the places of its pixels (``lat.rdr``, ``lon.rdr``, ``z.rdr``):
    the orbit says when and how far away each was seen.

    Parameters
    ----------
    folder : path-like
        Of the run, not cleaned yet.
    radar : RadarGrid
        Of any burst of the reference: its orbit, its intervals of lines and samples, and the side it looks to count.
    dt : timedelta, optional
        Secondary minus reference time.

    Raises
    ------
    InputError
        Files are missing, damaged, or do not belong together.
    """
    place = Path(folder)
    settings = read_topsapp(place / "topsApp.xml")
    merged = place / "merged"
    offsets = read_dense_offsets(merged, order="gpu" if settings.use_gpu else "cpu", null=settings.null)
    image = _whole(merged, "reference.slc")
    rows, cols = _posts(settings, shape_of(image), shape_of(_whole(merged, "secondary.slc")))
    if (rows.size, cols.size) != offsets.d_row.shape:
        message = f"must have {rows.size} x {cols.size} posts for these settings, instead got {offsets.d_row.shape}"
        raise InputError(message, path=merged / "dense_offsets.bil", advice="is it the result of another run?")
    centres = tuple(first + size // 2 for first, size in zip((rows, cols), settings.window, strict=True))
    frame = _frame(merged, radar, centres, shape_of(image))
    return IsceRun(settings, offsets, _field(offsets, settings, frame, (rows, cols), dt))


def _whole(merged: Path, name: str) -> Path:
    """Return a merged image at full resolution: ISCE2 calls it ``.full`` where looks are taken."""
    full = merged / f"{name}.full"
    return full if Path(f"{full}.xml").exists() else merged / name


def _posts(settings: TopsApp, reference: tuple[int, int], secondary: tuple[int, int]) -> tuple[NDArray[np.int64], ...]:
    """Return first rows and first columns of the windows."""
    asked = {"window": settings.window, "search": settings.search, "skip": settings.skip}
    if not settings.use_gpu:
        found = posts(reference, secondary, gross=settings.gross, **asked)
        return found.rows, found.cols
    axes = []
    for size, window, search, skip in zip(reference, *asked.values(), strict=True):
        count = max((size - 2 * settings.margin - 2 * search - window) // skip, 0)
        axes.append(settings.margin + search + skip * np.arange(count, dtype=np.int64))
    return tuple(axes)


def _frame(merged: Path, radar: RadarGrid, centres: tuple[NDArray[np.int64], ...], shape: tuple[int, int]) -> RadarGrid:
    """Find when and how far away the first pixel of the merged image was seen."""
    some = [axis[:: max(1, axis.size // 40)] for axis in centres]
    lat, lon, height = (read_raw_at(_whole(merged, f"{name}.rdr"), *some) for name in ("lat", "lon", "z"))
    known = np.isfinite(lat) & (lat != 0) & np.isfinite(lon) & np.isfinite(height)
    seen = geo2rdr(radar, *(np.where(known, one, np.nan) for one in (np.radians(lon), np.radians(lat), height)))
    first = seen.time - some[0][:, None] * radar.line_interval
    near = seen.slant_range - some[1][None] * radar.range_spacing
    if np.isfinite(first).sum() < _ENOUGH:
        raise InputError("has hardly a place that the orbit of the reference has seen", path=merged / "lat.rdr")
    start, close = float(np.nanmedian(first)), float(np.nanmedian(near))
    misfit = max(
        np.nanmedian(np.abs(first - start)) / radar.line_interval,
        np.nanmedian(np.abs(near - close)) / radar.range_spacing,
    )
    if misfit > _LARGEST_MISFIT:
        message = f"its places lie off a regular image by {misfit:.1f} px"
        raise InputError(message, path=merged / "lat.rdr", advice="is the reference the product that ISCE2 was given?")
    return replace(radar, lines=shape[0], samples=shape[1], first_time=start, near_range=close)


def _field(
    offsets: DenseOffsets,
    settings: TopsApp,
    frame: RadarGrid,
    firsts: tuple[NDArray[np.int64], ...],
    dt: timedelta | None,
) -> RadarField:
    shape = offsets.d_row.shape
    start = tuple(float(axis[0]) + size / 2 for axis, size in zip(firsts, settings.window, strict=True))
    missing = np.isnan(offsets.d_row) | np.isnan(offsets.d_col)
    field = OffsetField(
        d_row=offsets.d_row, d_col=offsets.d_col, flags=np.where(missing, Flag.NO_DATA.bit, np.uint16(0)),
        grid=Grid(shape), step=settings.skip, start=(start[0], start[1]), snr=offsets.snr,
        covariance=offsets.covariance,
    )  # fmt: skip
    return RadarField(field, frame, np.zeros(shape, bool), dt)
