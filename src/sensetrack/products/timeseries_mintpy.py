"""Time series as MintPy keeps them: one HDF5 file per component, its attributes as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine

from sensetrack.errors import InputError
from sensetrack.files.hdf5 import Hdf5
from sensetrack.files.hdf5_output import write_arrays
from sensetrack.grid import Grid, as_crs

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from numpy.typing import NDArray

_DAY = len("20200101")


@dataclass(frozen=True, eq=False)
class MintpySeries:
    """One component of a time series."""

    dates: NDArray[np.datetime64]
    """(n_dates,) UTC."""
    displacement: NDArray[np.float32]
    """(n_dates, rows, cols) m; NaN = unknown."""
    grid: Grid
    perpendicular: NDArray[np.float32] | None = None
    """(n_dates,) perpendicular baselines, m."""
    attributes: dict[str, str] | None = None
    """What else the file says, or shall say."""
    reference: tuple[int, int] | None = None
    """(row, col) of a post on stable ground. Offsets need none, but some programs of MintPy ask for one, such as
    ``timeseries2velocity.py``; nothing is subtracted here."""


def write_mintpy(path: Path, series: MintpySeries) -> None:
    """Write ``timeseries`` (m), ``date`` and ``bperp``.

    Parameters
    ----------
    path : Path
        Such as ``timeseries_dx.h5``; replaced where it exists.
    series : MintpySeries

    Raises
    ------
    InputError
        Two dates are on one day, by which MintPy names them; or the rows do not run along the axes of the CRS.
    """
    days = [str(one).replace("-", "") for one in np.datetime_as_string(series.dates, "D")]
    if len(set(days)) != len(days):
        twice = next(day for day in days if days.count(day) > 1)
        raise InputError(f"MintPy names dates by their day, and {twice} is there twice", advice="leave one of them out")
    rows, cols = series.displacement.shape[1:]
    about = {
        "FILE_TYPE": "timeseries",
        "UNIT": "m",
        "LENGTH": str(rows),
        "WIDTH": str(cols),
        "START_DATE": days[0],
        "END_DATE": days[-1],
        "REF_DATE": days[0],
        "DATA_TYPE": "float32",
        "NO_DATA_VALUE": "nan",
        "PROCESSOR": "sensetrack",
        **_place(series.grid),
        **({} if series.reference is None else {"REF_Y": str(series.reference[0]), "REF_X": str(series.reference[1])}),
        **(series.attributes or {}),
    }
    baselines = np.zeros(len(days), np.float32) if series.perpendicular is None else series.perpendicular
    data = {
        "timeseries": series.displacement.astype(np.float32),
        "date": np.array(days, f"S{_DAY}"),
        "bperp": np.asarray(baselines, np.float32),
    }
    chunks: dict[str, tuple[int, ...]] = {"timeseries": (1, min(rows, 512), min(cols, 512))} if rows and cols else {}
    write_arrays(path, data, {"": about}, chunks)


def _place(grid: Grid) -> dict[str, str]:
    """Attributes that say where the posts are; none without a georeference."""
    if not grid.georeferenced or grid.crs is None:
        return {}
    t = grid.transform
    if abs(t.b) * grid.shape[0] > 1e-6 * abs(t.a) or abs(t.d) * grid.shape[1] > 1e-6 * abs(t.e):
        raise InputError("MintPy needs rows that run along the axes of the CRS", advice="bring it to such a grid first")
    unit = "degrees" if grid.crs.is_geographic else "meters"
    found = {
        # The outer corner of the first post.
        "X_FIRST": repr(float(t.c)), "Y_FIRST": repr(float(t.f)),
        "X_STEP": repr(float(t.a)), "Y_STEP": repr(float(t.e)),
        "X_UNIT": unit, "Y_UNIT": unit,
    }  # fmt: skip
    if (code := grid.crs.to_epsg()) is not None:
        found["EPSG"] = str(code)
    if grid.crs.utm_zone:
        found["UTM_ZONE"] = str(grid.crs.utm_zone)
    return found


def read_mintpy(path: str | os.PathLike[str]) -> MintpySeries:
    """Read a time series of MintPy in metres, or in millimetres or centimetres where it says so.

    Raises
    ------
    InputError
        Not such a file.
    """
    with Hdf5.open(path) as file:
        if "timeseries" not in file or "date" not in file:
            raise InputError("has no timeseries and date, as a time series of MintPy has", path=file.path)
        about = {name: _text(value) for name, value in file.attributes().items()}
        factor = {"m": 1.0, "cm": 0.01, "mm": 0.001}.get(about.get("UNIT", "m"))
        if factor is None:
            raise InputError(f"UNIT must be m, cm or mm, instead got {about['UNIT'][:20]!r}", path=file.path)
        moved = np.asarray(file.read("timeseries"), np.float32) * np.float32(factor)
        names = [_text(one) for one in file.read("date")]
        if moved.ndim != 3 or moved.shape[0] != len(names):
            raise InputError(
                f"timeseries must be ({len(names)}, rows, cols), instead got {moved.shape}", path=file.path
            )
        baselines = np.asarray(file.read("bperp"), np.float32) if "bperp" in file else None
        known = all(about.get(name, "").isdecimal() for name in ("REF_Y", "REF_X"))
        reference = (int(about["REF_Y"]), int(about["REF_X"])) if known else None
        grid = _grid(about, moved.shape[1:], file.path)
        return MintpySeries(_dates(names, file.path), moved, grid, baselines, about, reference)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _dates(names: list[str], path: Path) -> NDArray[np.datetime64]:
    try:
        return np.array([f"{n[:4]}-{n[4:6]}-{n[6:8]}{_clock(n[8:])}" for n in names], "datetime64[ms]")
    except ValueError as error:
        raise InputError("dates must be YYYYMMDD or YYYYMMDDThhmm", path=path) from error


def _clock(rest: str) -> str:
    return f"T{rest[1:3]}:{rest[3:5]}" if rest.startswith("T") else ""


def _grid(about: dict[str, str], shape: tuple[int, ...], path: Path) -> Grid:
    """Return the grid of posts; without georeference where the file is in radar geometry."""
    size = int(shape[0]), int(shape[1])
    if not {"X_FIRST", "Y_FIRST", "X_STEP", "Y_STEP"} <= about.keys():
        return Grid(size)
    crs = f"EPSG:{about['EPSG']}" if "EPSG" in about else None
    if crs is None and about.get("X_UNIT", "degrees").startswith("degree"):
        crs = "EPSG:4326"
    try:
        x, y, dx, dy = (float(about[name]) for name in ("X_FIRST", "Y_FIRST", "X_STEP", "Y_STEP"))
    except ValueError as error:
        raise InputError("X_FIRST, Y_FIRST, X_STEP and Y_STEP must be numbers", path=path) from error
    return Grid(size, Affine(dx, 0, x, 0, dy, y), as_crs(crs))
