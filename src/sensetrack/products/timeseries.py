"""Cubes of pairs and of dates as NetCDF, with the names that TICOI and users of ITS_LIVE know."""

from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sensetrack.errors import EngineNotFoundError, InputError, OutputError
from sensetrack.files.hdf5 import Hdf5
from sensetrack.grid import Grid
from sensetrack.ot.frames import CONVENTIONS, mapping_attributes

if TYPE_CHECKING:
    from pathlib import Path

    import xarray
    from numpy.typing import NDArray

    Cube = NDArray[np.float32]

DAYS_OF_A_YEAR = 365.25
_SIDE = 64
"""Posts on each side of the chunks of a cube: the whole series of a post lies in one."""
_TIME = {"units": "milliseconds since 2000-01-01 00:00:00", "calendar": "proleptic_gregorian", "dtype": "int64"}
_DATES = ("date1", "acquisition_date_img1"), ("date2", "acquisition_date_img2")
_ERRORS = ("errorx", "vx_error"), ("errory", "vy_error")


@dataclass(frozen=True, eq=False)
class PairCube:
    """Displacements of many pairs on one grid of posts."""

    dates: NDArray[np.datetime64]
    """(n_pairs, 2) times of reference and secondary, UTC."""
    dx: Cube
    """(n_pairs, rows, cols) ground metres along +x of the CRS; NaN = not measured."""
    dy: Cube
    """Along +y."""
    sigma_dx: Cube
    """(n_pairs, rows, cols) standard errors, m; NaN where unknown."""
    sigma_dy: Cube
    grid: Grid
    sensors: tuple[str, ...] = ()
    """Of each pair, or none."""

    @property
    def days(self) -> NDArray[np.float64]:
        """(n_pairs,) days from reference to secondary."""
        return np.asarray((self.dates[:, 1] - self.dates[:, 0]) / np.timedelta64(1, "D"), np.float64)


@dataclass(frozen=True, eq=False)
class SeriesCube:
    """Series of dates on one grid of posts, one or more components."""

    dates: NDArray[np.datetime64]
    """(n_dates,) UTC."""
    displacement: dict[str, Cube]
    """By component, such as dx and dy: (n_dates, rows, cols), m; NaN = unknown."""
    sigma: dict[str, Cube]
    """Standard errors, m."""
    grid: Grid
    maps: dict[str, NDArray[Any]] = field(default_factory=dict)
    """(rows, cols) each, such as vx in m/day; by names that `units` has."""
    units: dict[str, str] = field(default_factory=dict)
    """Of the maps."""
    unit: str = "m"
    """Of displacements and their standard errors; px without a georeference."""


# --- writing -----------------------------------------------------------------------------------------------------


def write_pair_cube(
    path: Path, cube: PairCube, *, names: Literal["ticoi", "itslive"] = "ticoi", software: str = "sensetrack"
) -> None:
    """Write a cube of pairs: velocities in m/yr of 365.25 days, by time in the middle of the pair.

    ``vx, vy, errorx, errory`` on (mid_date, y, x), ``date1`` and ``date2`` on mid_date, and x, y, mapping as in a
    single product.

    Parameters
    ----------
    path : Path
        Replaced where it exists.
    cube : PairCube
    names : {"ticoi", "itslive"}
        With the second, dates and errors have the names of ITS_LIVE: ``acquisition_date_img1``,
        ``acquisition_date_img2``, ``vx_error``, ``vy_error``, and there are ``v`` and ``date_dt`` too.
    software : str
        Name and version of what made it.
    """
    import xarray

    order = np.lexsort((cube.dates[:, 1], cube.dates[:, 0] + (cube.dates[:, 1] - cube.dates[:, 0]) // 2))
    first, second = cube.dates[order].T.astype("datetime64[ns]")
    rate = (DAYS_OF_A_YEAR / cube.days[order]).astype(np.float32)[:, None, None]
    coordinates, about, mapping = _axes(cube.grid)
    coordinates["mid_date"] = ("mid_date", first + (second - first) // 2, {"long_name": "middle between both images"})
    dims = ("mid_date", "y", "x")
    layers = (("vx", cube.dx, "x", "errorx"), ("vy", cube.dy, "y", "errory"))
    data: dict[str, Any] = {
        "date1": ("mid_date", first, {"long_name": "time of the reference, UTC"}),
        "date2": ("mid_date", second, {"long_name": "time of the secondary, UTC"}),
    }
    for name, values, axis, error in layers:
        described = {"long_name": f"ground velocity along +{axis} of the CRS", "units": "meter/year"}
        data[name] = (dims, values[order] * rate, described | {"ancillary_variables": error} | about)
    for name, values, axis in (("errorx", cube.sigma_dx, "vx"), ("errory", cube.sigma_dy, "vy")):
        described = {"long_name": f"standard error of {axis}", "units": "meter/year"}
        data[name] = (dims, values[order] * np.abs(rate), described | about)
    if cube.sensors:
        data["sensor"] = ("mid_date", np.array(cube.sensors, "U")[order], {"long_name": "satellites of both images"})
    if mapping:
        data["mapping"] = ((), np.int32(0), mapping)
    attributes = {
        "Conventions": CONVENTIONS,
        "title": "Ground velocity of pairs of images",
        "author": software,
        "source": software,
        "comment": "meter/year of 365.25 days; ground metres, the scale factor of the CRS is divided out",
    }
    if cube.grid.crs is not None:
        attributes["proj4"] = proj4(cube.grid)
    dataset = xarray.Dataset(data, coordinates, attributes)
    _write(path, _as_itslive(dataset, cube.days[order]) if names == "itslive" else dataset)


def _as_itslive(dataset: xarray.Dataset, days: NDArray[np.float64]) -> xarray.Dataset:
    """Return a cube in the words of ITS_LIVE."""
    renamed = dataset.rename(dict((*_DATES, *_ERRORS)))
    for name in ("vx", "vy"):
        renamed[name].attrs["ancillary_variables"] = f"{name}_error"
    described = {"long_name": "ground speed", "units": "meter/year"}
    about = {key: value for key, value in dataset["vx"].attrs.items() if key == "grid_mapping"}
    speed = np.hypot(dataset["vx"].values, dataset["vy"].values)
    renamed["v"] = (("mid_date", "y", "x"), speed, described | about)
    renamed["date_dt"] = ("mid_date", days, {"long_name": "days from reference to secondary", "units": "days"})
    return renamed


def write_series(path: Path, cube: SeriesCube, *, software: str = "sensetrack") -> None:
    """Write series of dates: ``<component>`` and ``<component>_error`` on (time, y, x), and maps on (y, x)."""
    _write(path, _series_dataset(cube, software))


def write_series_zarr(path: Path, cube: SeriesCube, *, software: str = "sensetrack") -> None:
    """Write what `write_series` writes as a folder of Zarr (format 2, consolidated), for ``xarray.open_zarr``.

    Parameters
    ----------
    path : Path
        The folder, such as series.zarr. It appears whole or not at all; an older one of Zarr is replaced.
    cube : SeriesCube
    software : str
        Name and version of what made it.

    Raises
    ------
    EngineNotFoundError
        zarr is not installed.
    OutputError
        It cannot be written, or something else is there.
    """
    if importlib.util.find_spec("zarr") is None:
        raise EngineNotFoundError("zarr is not installed", advice='pip install "sensetrack[zarr]"')
    if path.exists() and not (path / ".zgroup").is_file() and not (path / "zarr.json").is_file():
        raise OutputError("is there already and is no folder of Zarr", path=path, advice="choose another name")
    dataset = _series_dataset(cube, software)
    part, old = (path.with_name(f".{path.name}-{os.getpid()}.{what}") for what in ("part", "old"))
    try:
        _require_space(path, dataset)
        dataset.to_zarr(part, mode="w", consolidated=True, zarr_format=2, encoding=_zarr_encoding(dataset))
        if path.exists():
            path.rename(old)
        part.rename(path)
    except OSError as error:
        if old.exists() and not path.exists():
            old.rename(path)
        raise OutputError("cannot be written", path=path, advice="check space and permission of the disk") from error
    finally:
        for leftover in (part, old):
            shutil.rmtree(leftover, ignore_errors=True)


def _series_dataset(cube: SeriesCube, software: str) -> xarray.Dataset:
    """Return series of dates as a dataset with CF metadata."""
    import xarray

    coordinates, about, mapping = _axes(cube.grid)
    coordinates["time"] = ("time", cube.dates.astype("datetime64[ns]"), {"standard_name": "time", "axis": "T"})
    dims = ("time", "y", "x")
    data: dict[str, Any] = {}
    ground = "ground " if cube.unit == "m" else ""
    for name, values in cube.displacement.items():
        described = {"long_name": f"{ground}displacement {name} since the first date", "units": cube.unit}
        data[name] = (dims, values, described | {"ancillary_variables": f"{name}_error"} | about)
    for name, values in cube.sigma.items():
        described = {"long_name": f"standard error of {name}", "units": cube.unit}
        data[f"{name}_error"] = (dims, values, described | about)
    for name, values in cube.maps.items():
        shown = values.astype(np.float32) if values.dtype.kind == "f" else values
        data[name] = (
            ("y", "x"),
            shown,
            {"long_name": name.replace("_", " "), "units": cube.units.get(name, "1")} | about,
        )
    if mapping:
        data["mapping"] = ((), np.int32(0), mapping)
    attributes = {"Conventions": CONVENTIONS, "title": "Ground displacement by date", "source": software}
    return xarray.Dataset(data, coordinates, attributes)


def _axes(grid: Grid) -> tuple[dict[str, Any], dict[str, str], dict[str, Any]]:
    """Return coordinates, what every layer says of its grid, and the attributes of the grid mapping.

    Raises
    ------
    InputError
        The rows do not run along an axis of the CRS.
    """
    rows, cols = grid.shape
    if not grid.georeferenced or grid.crs is None:
        pixels = {"x": np.arange(cols) + 0.5, "y": np.arange(rows) + 0.5}
        words = {"x": "column of the post", "y": "row of the post"}
        return {name: (name, at, {"long_name": words[name], "units": "1"}) for name, at in pixels.items()}, {}, {}
    t = grid.transform
    if abs(t.b) * rows > 1e-6 * abs(t.a) or abs(t.d) * cols > 1e-6 * abs(t.e):
        raise InputError("a cube needs rows that run along the axes of the CRS", advice="bring it to such a grid first")
    x, y = grid.xy(0, np.arange(cols))[0], grid.xy(np.arange(rows), 0)[1]
    degrees = grid.crs.is_geographic
    names = ("longitude", "latitude") if degrees else ("projection_x_coordinate", "projection_y_coordinate")
    units = ("degrees_east", "degrees_north") if degrees else ("m", "m")
    axes = {
        axis: (axis, at, {"standard_name": name, "units": unit, "axis": axis.upper()})
        for axis, at, name, unit in zip("xy", (x, y), names, units, strict=True)
    }
    mapping = mapping_attributes(grid) | {"proj4text": proj4(grid)}
    if (code := grid.crs.to_epsg()) is not None:
        mapping["spatial_epsg"] = np.int32(code)
    return axes, {"grid_mapping": "mapping"}, mapping


def proj4(grid: Grid) -> str:
    """Spell the CRS of a grid as PROJ's older text, which some readers ask for."""
    import warnings

    if grid.crs is None:
        return ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it cannot say everything, which is why the WKT is there too
        return str(grid.crs.to_proj4())


def _write(path: Path, dataset: xarray.Dataset) -> None:
    """Write a dataset as NetCDF, compressed in chunks that hold whole series."""
    encoding = _encoding(dataset)
    for name, chunks in _chunks(dataset).items():
        encoding[name] |= {"zlib": True, "complevel": 2, "shuffle": True, "chunksizes": chunks}
    try:
        # HDF5 takes the whole process down when it cannot write what it holds to a full disk.
        _require_space(path, dataset)
        path.unlink(missing_ok=True)
        dataset.to_netcdf(path, engine="h5netcdf", encoding=encoding)
    except OSError as error:
        raise OutputError("cannot be written", path=path, advice="check space and permission of the disk") from error


def _encoding(dataset: xarray.Dataset) -> dict[str, dict[str, Any]]:
    """Say how times and what is missing are stored."""
    encoding: dict[str, dict[str, Any]] = {str(name): {} for name in dataset.variables}
    for name, variable in dataset.variables.items():
        if variable.dtype.kind == "M":
            encoding[str(name)] |= _TIME
        if variable.dtype.kind == "f":
            fill = None if name in dataset.coords else np.dtype(variable.dtype).type(np.nan)
            encoding[str(name)]["_FillValue"] = fill
    return encoding


def _zarr_encoding(dataset: xarray.Dataset) -> dict[str, dict[str, Any]]:
    """Return the same for Zarr, and the chunks; it compresses by itself."""
    encoding = _encoding(dataset)
    for name, chunks in _chunks(dataset).items():
        encoding[name]["chunks"] = chunks
    return encoding


def _chunks(dataset: xarray.Dataset) -> dict[str, tuple[int, ...]]:
    """Return the chunks of maps and series: the whole series of a block of posts lies in one."""
    return {
        str(name): (*variable.shape[:-2], *(min(size, _SIDE) for size in variable.shape[-2:]))
        for name, variable in dataset.variables.items()
        if variable.ndim >= 2 and all(variable.shape)
    }


def _require_space(path: Path, dataset: xarray.Dataset) -> None:
    if shutil.disk_usage(path.absolute().parent).free < dataset.nbytes + 2**20:
        raise OutputError("does not fit on the disk", path=path, advice=f"make room for {dataset.nbytes / 1e6:.0f} MB")


# --- reading -----------------------------------------------------------------------------------------------------


def read_pair_cube(path: str | os.PathLike[str]) -> PairCube:
    """Read a cube of pairs: ours, one made for TICOI, or one of ITS_LIVE saved as NetCDF-4.

    Velocities in m/yr (or m/day, where the unit says so) become displacements in metres.

    Raises
    ------
    InputError
        Not such a file, or variables are missing.
    """
    import xarray

    with Hdf5.open(path) as checked:  # leads nowhere else, declares no more than it holds
        where = checked.path
    try:
        with xarray.open_dataset(where, engine="h5netcdf", decode_timedelta=False) as file:
            return _pair_cube(file, where)
    except (ValueError, KeyError, OSError) as error:
        if isinstance(error, InputError):
            raise
        message = f"cannot be read as a cube of pairs ({str(error).splitlines()[0][:200]})"
        raise InputError(message, path=where) from error


def _pair_cube(file: xarray.Dataset, path: Path) -> PairCube:
    first, second = (_named(file, names, path) for names in _DATES)
    if first.ndim != 1:
        raise InputError(f"{first.name} must have one time for each pair, instead got {first.ndim} axes", path=path)
    time = first.dims[0]
    dates = np.stack([one.values.astype("datetime64[ms]") for one in (first, second)], axis=1)
    days = ((dates[:, 1] - dates[:, 0]) / np.timedelta64(1, "D")).astype(np.float32)[:, None, None]
    if not (np.isfinite(days) & (days != 0)).all():
        raise InputError("a pair must have two different times, instead got twice the same or none", path=path)
    found: list[NDArray[np.float32]] = []
    for names in (("vx",), ("vy",), *_ERRORS):
        if names in _ERRORS and not any(name in file for name in names):
            found.append(np.full_like(found[0], np.nan))
            continue
        values = _named(file, names, path)
        per_day = 1.0 if str(values.attrs.get("units", "")).lower().endswith(("/d", "/day")) else 1 / DAYS_OF_A_YEAR
        if values.ndim == 1:
            values = values.expand_dims({"y": file["y"], "x": file["x"]})
        moved = np.asarray(values.transpose(time, "y", "x").values, np.float32)
        found.append(moved * (np.abs(days) if names in _ERRORS else days) * np.float32(per_day))
    sensors = tuple(str(one) for one in np.atleast_1d(file["sensor"].values)) if "sensor" in file else ()
    dx, dy, sigma_dx, sigma_dy = found
    kept = sensors if len(sensors) == len(dates) else ()
    return PairCube(dates, dx, dy, sigma_dx, sigma_dy, _grid(file, path), kept)


def _named(file: xarray.Dataset, names: tuple[str, ...], path: Path) -> xarray.DataArray:
    """Return the variable that has one of some names."""
    for name in names:
        if name in file:
            return file[name]
    raise InputError(f"has no variable {' or '.join(names)}", path=path)


def _grid(file: xarray.Dataset, path: Path) -> Grid:
    """Return the grid of posts from the coordinates, which are centres."""
    from affine import Affine

    x, y = (np.asarray(_named(file, (axis,), path).values, np.float64) for axis in ("x", "y"))
    steps = [np.diff(one) for one in (x, y)]
    if any(len(one) == 0 or np.ptp(one) > 1e-3 * abs(one[0]) or one[0] == 0 for one in steps):
        raise InputError("x and y must be evenly spaced, two posts at least", path=path)
    about = file["mapping"].attrs if "mapping" in file else {}
    crs = about.get("crs_wkt") or about.get("spatial_ref") or file.attrs.get("proj4")
    if not crs:
        return Grid((y.size, x.size))
    dx, dy = (float(one.mean()) for one in steps)
    return Grid((y.size, x.size), Affine(dx, 0, x[0] - dx / 2, 0, dy, y[0] - dy / 2), crs)
