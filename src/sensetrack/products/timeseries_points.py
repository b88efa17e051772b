"""Series at points, as CSV and GeoPackage: columns as InSAR Explorer for QGIS reads them."""

from __future__ import annotations

import csv
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from sensetrack.errors import ConfigError, InputError, OutputError
from sensetrack.files.safe import VECTORS, check_file, identify

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from sensetrack.grid import Grid

_LAYER = "timeseries"
_DATE = re.compile(r"^(?:D_?)?(\d{8})$")
_NAMES = {"velocity": ("velocity", "VEL", "mean_velocity"), "velocity_sigma": ("velocity_std", "V_STDEV"),
          "coherence": ("coherence", "COHERENCE", "COHER")}  # fmt: skip
"""Columns by what they hold; the first that is there counts."""
_PLACES = (("x", "y"), ("lon", "lat"), ("longitude", "latitude"))
_LARGEST_TABLE = 2**30
_LONGEST_NAME = 60
Unit = Literal["m", "cm", "mm"]


@dataclass(frozen=True, eq=False)
class PointSeries:
    """Displacement along one direction at some points; (n_points, ...) each."""

    names: tuple[str, ...]
    x: NDArray[np.float64]
    """In the CRS; columns of the posts without one."""
    y: NDArray[np.float64]
    crs: Any
    """None = no georeference."""
    dates: NDArray[np.datetime64]
    """(n_dates,) UTC."""
    displacement: NDArray[np.float32]
    """(n_points, n_dates) m; NaN = unknown."""
    sigma: NDArray[np.float32] | None = None
    """(n_points, n_dates) standard errors, m."""
    velocity: NDArray[np.float32] | None = None
    """(n_points,) m/day."""
    velocity_sigma: NDArray[np.float32] | None = None
    """(n_points,) m/day."""
    coherence: NDArray[np.float32] | None = None
    """(n_points,) 0 to 1."""


def posts_near(grid: Grid, x: ArrayLike, y: ArrayLike, crs: Any = None) -> NDArray[np.int64]:
    """Return the posts nearest to some places, (n_points, 2) rows and columns.

    Parameters
    ----------
    grid : Grid
    x, y : array
        Places; columns and rows of posts where the grid has no georeference.
    crs : any spelling of a CRS, optional
        Of the places; that of the grid by default.

    Raises
    ------
    InputError
        A place lies outside.
    """
    east, north = np.atleast_1d(np.asarray(x, np.float64)), np.atleast_1d(np.asarray(y, np.float64))
    col, row = east, north
    if grid.georeferenced:
        if crs is not None:
            import pyproj

            east, north = pyproj.Transformer.from_crs(crs, grid.crs, always_xy=True).transform(east, north)
        inverse = ~grid.transform
        col = inverse.a * east + inverse.b * north + inverse.c
        row = inverse.d * east + inverse.e * north + inverse.f
    posts = np.floor(np.stack([row, col], axis=1))
    outside = ~(np.isfinite(posts) & (posts >= 0) & (posts < grid.shape)).all(axis=1)
    if outside.any():
        number = int(outside.argmax())
        message = f"point {number + 1}, at x {east[number]:.10g} and y {north[number]:.10g}, lies outside the posts"
        raise InputError(message, advice="choose points on the map, in its CRS or with their own named")
    return np.asarray(posts, np.int64)


def points_of(
    grid: Grid,
    posts: ArrayLike,
    dates: NDArray[np.datetime64],
    displacement: NDArray[Any],
    *,
    names: Sequence[str] | None = None,
    sigma: NDArray[Any] | None = None,
    velocity: NDArray[Any] | None = None,
    velocity_sigma: NDArray[Any] | None = None,
    coherence: NDArray[Any] | None = None,
) -> PointSeries:
    """Take posts out of a cube: (n_dates, rows, cols) for series, (rows, cols) for the rest."""
    row, col = np.asarray(posts, np.int64).reshape(-1, 2).T
    x, y = grid.xy(row, col) if grid.georeferenced else (col + np.float64(0.5), row + np.float64(0.5))
    named = tuple(names) if names is not None else tuple(f"p{number}" for number in range(1, row.size + 1))
    if len(named) != row.size:
        raise InputError(f"there must be a name for each of {row.size} points, instead got {len(named)}")
    maps = (None if one is None else one[row, col] for one in (velocity, velocity_sigma, coherence))
    spread = None if sigma is None else sigma[:, row, col].T
    crs = grid.crs if grid.georeferenced else None
    return PointSeries(
        named,
        np.asarray(x, np.float64),
        np.asarray(y, np.float64),
        crs,
        dates,
        displacement[:, row, col].T,
        spread,
        *maps,
    )


def table_of(points: PointSeries) -> dict[str, NDArray[Any]]:
    """Return the columns of a table.

    ``code`` (the name), ``x, y``, ``lon, lat`` where there is a CRS, ``velocity`` and ``velocity_std`` in m/yr of
    365.25 days, ``coherence``, one column ``DYYYYMMDD`` in metres for each date, and its standard error as
    ``SYYYYMMDD``. What is not known is left out.
    """
    days = [str(one).replace("-", "") for one in np.datetime_as_string(points.dates, "D")]
    if len(set(days)) != len(days):
        raise InputError("two dates are on one day, by which columns are named", advice="leave one of them out")
    table: dict[str, NDArray[Any]] = {"code": np.array(points.names, object), "x": points.x, "y": points.y}
    if points.crs is not None:
        import pyproj

        to = pyproj.Transformer.from_crs(points.crs, "EPSG:4326", always_xy=True)
        table["lon"], table["lat"] = to.transform(points.x, points.y)
    for name, values, unit in (
        ("velocity", points.velocity, 365.25),
        ("velocity_std", points.velocity_sigma, 365.25),
        ("coherence", points.coherence, 1.0),
    ):
        if values is not None:
            table[name] = np.asarray(values, np.float64) * unit
    table |= {f"D{day}": points.displacement[:, k].astype(np.float64) for k, day in enumerate(days)}
    if points.sigma is not None:
        table |= {f"S{day}": points.sigma[:, k].astype(np.float64) for k, day in enumerate(days)}
    return table


def write_points_csv(path: Path, points: PointSeries) -> None:
    """Write a table of points, one line each; what is not known is empty."""
    table = table_of(points)
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(table)
            for row in zip(*table.values(), strict=True):
                lines.writerow([cell(value) for value in row])
    except OSError as error:
        raise OutputError("cannot be written", path=path, advice="check space and permission of the disk") from error


def cell(value: Any) -> str:
    """Spell a value of a table; what is not known is empty."""
    if isinstance(value, str):
        # A cell that begins like this is run as a formula by spreadsheets.
        return f"'{value}" if value[:1] in "=+-@" else value
    return "" if not np.isfinite(value) else f"{float(value):.9g}"


def write_points_gpkg(path: Path, points: PointSeries) -> None:
    """Write a GeoPackage of points, in the layer "timeseries"; replaced where it exists."""
    import geopandas

    table = {name: values for name, values in table_of(points).items() if name not in {"x", "y"}}
    y = points.y if points.crs is not None else -points.y  # rows run down
    frame = geopandas.GeoDataFrame(table, geometry=geopandas.points_from_xy(points.x, y), crs=points.crs)
    try:
        path.unlink(missing_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said of points without a CRS
            frame.to_file(path, driver="GPKG", layer=_LAYER, engine="pyogrio")
    except (RuntimeError, OSError) as error:  # the former is the base of pyogrio's errors
        raise OutputError("cannot be written", path=path, advice="check space and permission of the disk") from error


def read_points(
    path: str | os.PathLike[str], *, unit: Unit = "m", layer: str | None = None, crs: Any = None
) -> PointSeries:
    """Read series at points: a CSV, or a GeoPackage, Shapefile or GeoJSON of points.

    Dates are columns such as ``D20230807``, ``D_20230807`` or ``20230807``; a velocity is in `unit` per year.

    Parameters
    ----------
    path : path-like
    unit : {"m", "cm", "mm"}
        Of the displacements.
    layer : str, optional
        Of a GeoPackage; the first one by default.
    crs : any spelling of a CRS, optional
        Of x and y in a CSV; lon and lat are taken where it is not known.

    Raises
    ------
    InputError
        No points, or no dates.
    """
    if unit not in get_args(Unit):
        raise ConfigError(f"unit must be one of {', '.join(get_args(Unit))}, instead got {unit!r}")
    checked = check_file(path)
    if checked.suffix.lower() in {".csv", ".txt"}:
        table, x, y, crs = _from_csv(checked, crs)
    else:
        table, x, y, crs = _from_vector(checked, layer)
    days = {match[1]: name for name in table if (match := _DATE.match(name))}
    if not days or not x.size:
        raise InputError("has no points with columns of dates, such as D20230807", path=checked)
    order = sorted(days)
    factor = {"m": 1.0, "cm": 0.01, "mm": 0.001}[unit]
    try:
        dates = np.array([f"{day[:4]}-{day[4:6]}-{day[6:]}" for day in order], "datetime64[ms]")
        moved = np.stack([_numbers(table[days[day]]) for day in order], axis=1) * factor
        found = {key: next((_numbers(table[n]) for n in names if n in table), None) for key, names in _NAMES.items()}
    except ValueError as error:
        raise InputError(f"holds what is no date or no number ({str(error)[:100]})", path=checked) from error
    scale = {"velocity": factor / 365.25, "velocity_sigma": factor / 365.25, "coherence": 1.0}
    maps = {key: None if one is None else (one * scale[key]).astype(np.float32) for key, one in found.items()}
    names = tuple(str(one) for one in table.get("code", np.arange(1, x.size + 1)))
    return PointSeries(names, x, y, crs, dates, moved.astype(np.float32), **maps)


class Places(NamedTuple):
    """Points without series."""

    names: tuple[str, ...]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    crs: Any
    """None where it is not known."""


def read_places(path: str | os.PathLike[str], *, layer: str | None = None) -> Places:
    """Read points: a CSV with x and y, or lon and lat, or a GeoPackage, Shapefile or GeoJSON.

    Names are those of the column ``name`` or ``code``, else p1, p2 and so on.

    Raises
    ------
    InputError
        No points.
    """
    checked = check_file(path)
    csv_file = checked.suffix.lower() in {".csv", ".txt"}
    table, x, y, crs = _from_csv(checked, None) if csv_file else _from_vector(checked, layer)
    if not x.size or not (np.isfinite(x) & np.isfinite(y)).all():
        raise InputError("has no points, or some without a place", path=checked)
    named = next((table[name] for name in ("name", "code") if name in table), None)
    names = [f"p{number}" for number in range(1, x.size + 1)] if named is None else [str(one) for one in named]
    if not all(name.strip() and len(name) <= _LONGEST_NAME for name in names):
        raise InputError(f"names of points must have 1 to {_LONGEST_NAME} characters", path=checked)
    return Places(tuple(names), x, y, crs)


def _numbers(column: Any) -> NDArray[np.float64]:
    """Return a column as numbers; NaN where it is empty."""
    return np.array([np.nan if one is None or one == "" else float(one) for one in column], np.float64)


def _from_csv(path: Path, crs: Any) -> tuple[dict[str, Any], NDArray[np.float64], NDArray[np.float64], Any]:
    if path.stat().st_size > _LARGEST_TABLE:
        raise InputError("is larger than 1 GiB", path=path, advice="write it as a GeoPackage")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head, *rows = csv.reader(file)
    except (ValueError, csv.Error) as error:  # nothing in it, or no text
        raise InputError("is not a table of text", path=path) from error
    if any(len(row) != len(head) for row in rows):
        raise InputError("has lines of different length", path=path)
    table = {name.strip(): [row[k].strip() for row in rows] for k, name in enumerate(head)}
    for east, north in _PLACES if crs is not None else _PLACES[1:] + _PLACES[:1]:
        if east in table and north in table:
            try:
                x, y = _numbers(table[east]), _numbers(table[north])
            except ValueError as error:
                raise InputError(f"{east} and {north} must be numbers", path=path) from error
            return table, x, y, crs if east == "x" else "EPSG:4326"
    raise InputError("must have columns x and y, or lon and lat", path=path)


def _from_vector(path: Path, layer: str | None) -> tuple[dict[str, Any], NDArray[np.float64], NDArray[np.float64], Any]:
    import geopandas

    checked, _ = identify(path, VECTORS)
    try:
        frame = geopandas.read_file(checked, layer=layer)
    except Exception as error:  # pyogrio's and GDAL's errors have no common base
        raise InputError(f"cannot be read as points ({str(error)[:200]})", path=path) from error
    if set(frame.geometry.geom_type) != {"Point"}:
        raise InputError("must hold points only", path=path)
    table = {str(name): frame[name].to_numpy() for name in frame.columns if name != "geometry"}
    return table, frame.geometry.x.to_numpy(np.float64), frame.geometry.y.to_numpy(np.float64), frame.crs
