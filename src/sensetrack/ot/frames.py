"""Results as tables of points and as labelled arrays with CF metadata.

geopandas and xarray are loaded only when such a thing is asked for.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray
    from numpy.typing import NDArray

    from sensetrack.grid import Grid
    from sensetrack.ot.fields import Displacement, OffsetField

    Layers = dict[str, tuple[NDArray[Any], str, str, str]]
    """Name -> values, unit, long name, and the names of the layers that say how good it is."""

SIGN_RULE = "what is at reference[row, col] is found at secondary[row + d_row, col + d_col]"
CONVENTIONS = "CF-1.9"
"""The first version of CF that knows unsigned integers, which flags are."""
_STRAIGHT = 1e-6
"""Share of a pixel by which rows may lean, over the whole grid, and still have one coordinate each."""


# --- tables ------------------------------------------------------------------------------------------------------


def offsets_frame(field: OffsetField, rows: slice | None = None) -> Any:
    """Return one row per post as a GeoDataFrame; see `OffsetField.to_geodataframe`.

    Parameters
    ----------
    field : OffsetField
    rows : slice, optional
        Rows of posts that are wanted: a large field is written piece by piece.
    """
    import geopandas

    part = field if rows is None else _band(field, rows)
    i, j = np.indices(part.grid.shape)
    row, col = part.start[0] + i * part.step[0], part.start[1] + j * part.step[1]
    x, y = part.grid.xy(i, j) if part.grid.georeferenced else (col, -row)
    table = {name: np.ravel(values) for name, values in _columns(part, row, col).items()}
    points = geopandas.points_from_xy(x.ravel(), y.ravel())
    return geopandas.GeoDataFrame(table, geometry=points, crs=part.grid.crs if part.grid.georeferenced else None)


def _columns(field: OffsetField, row: NDArray[Any], col: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Values of every post; numbers that a raster holds too are bit-equal to it."""
    ground = field.grid.georeferenced
    columns = {"row": row, "col": col, "d_row": field.d_row, "d_col": field.d_col}
    sigma = _sigma_px(field)
    if ground:
        moved = field.to_displacement()
        columns |= {"dx": moved.dx, "dy": moved.dy}
        sigma = {"sigma_dx": moved.sigma_dx, "sigma_dy": moved.sigma_dy}
        # Ground length of one image row and one image column at each post, whatever way they run.
        row_length = np.hypot(*field.grid.to_map(1 / field.step[0], 0.0))
        col_length = np.hypot(*field.grid.to_map(0.0, 1 / field.step[1]))
        shifts = (field.d_row * row_length, field.d_col * col_length, moved.magnitude)
    else:
        shifts = (field.d_row, field.d_col, field.magnitude)
    columns |= {
        name: values.astype(np.float32) for name, values in zip(("RSHIFT", "CSHIFT", "L2"), shifts, strict=True)
    }
    score = _known(field.score, field)
    columns["NRMS"] = np.sqrt(1 - np.clip(score, 0, 1) ** 2)
    columns |= {"score": score, "snr": _known(field.snr, field), "peak_ratio": _known(field.peak_ratio, field)}
    return columns | sigma | {"flags": field.flags.astype(np.int32), "good": field.good}


def _known(values: NDArray[Any] | None, field: OffsetField) -> NDArray[np.float32]:
    """Return a layer, NaN everywhere where the algorithm does not measure it."""
    return np.full(field.grid.shape, np.nan, np.float32) if values is None else values.astype(np.float32)


def _sigma_px(field: OffsetField) -> dict[str, NDArray[np.float32]]:
    """Return the standard errors of d_row and d_col, px."""
    variance = [None, None] if field.covariance is None else [field.covariance[..., k] for k in (0, 1)]
    return {
        name: np.sqrt(_known(values, field))
        for name, values in zip(("sigma_d_row", "sigma_d_col"), variance, strict=True)
    }


def _band(field: OffsetField, rows: slice) -> OffsetField:
    """Return some rows of a field."""
    names = ("d_row", "d_col", "flags", "score", "snr", "peak_ratio", "covariance", "chip_size")
    parts: dict[str, Any] = {name: None if (values := getattr(field, name)) is None else values[rows] for name in names}
    grid = field.grid.crop(rows, slice(0, field.grid.shape[1]))
    if grid.georeferenced:
        # Measured anew on a part, the ground scale would differ in its last digits from that of the rasters.
        vars(grid)["ground_scale"] = tuple(scale[rows] for scale in field.grid.ground_scale)
    start = (field.start[0] + rows.start * field.step[0], field.start[1])
    return replace(field, grid=grid, start=start, **parts)


# --- labelled arrays ---------------------------------------------------------------------------------------------


def offsets_dataset(field: OffsetField) -> xarray.Dataset:
    """Offsets and their quality as a dataset; see `OffsetField.to_xarray`."""
    sigma = _sigma_px(field)
    layers: Layers = {
        "d_row": (field.d_row, "1", "offset down the rows, pixels of the images", "sigma_d_row flags"),
        "d_col": (field.d_col, "1", "offset along the columns, pixels of the images", "sigma_d_col flags"),
        "score": (_known(field.score, field), "1", "likeness at the offset, at most 1, larger is better", ""),
        "snr": (_known(field.snr, field), "1", "correlation peak over the mean magnitude of the rest", ""),
        "peak_ratio": (_known(field.peak_ratio, field), "1", "highest over second highest correlation peak", ""),
        "sigma_d_row": (sigma["sigma_d_row"], "1", "standard error of d_row, pixels of the images", ""),
        "sigma_d_col": (sigma["sigma_d_col"], "1", "standard error of d_col, pixels of the images", ""),
    }
    title = "Offsets between two images"
    return _dataset(layers, field.flags, field.grid, title, pixel_axes=_pixel_axes(field))


def displacement_dataset(moved: Displacement) -> xarray.Dataset:
    """Displacement, and velocity where dates are known, as a dataset; see `Displacement.to_xarray`."""
    along = "along +{} of the CRS"
    layers: Layers = {
        "dx": (moved.dx, "m", f"ground displacement {along.format('x')}", "dx_error flags"),
        "dy": (moved.dy, "m", f"ground displacement {along.format('y')}", "dy_error flags"),
        "magnitude": (moved.magnitude, "m", "length of the horizontal ground displacement", "flags"),
        "dx_error": (moved.sigma_dx, "m", "standard error of dx", ""),
        "dy_error": (moved.sigma_dy, "m", "standard error of dy", ""),
    }
    if moved.dt:
        (vx, vy), days = moved.velocity, np.float32(abs(moved.dt / timedelta(days=1)))
        # CF has standard names for velocities of land ice only, and what moves here may be a landslide.
        layers |= {
            "vx": (vx, "m/day", f"ground velocity {along.format('x')}", "vx_error flags"),
            "vy": (vy, "m/day", f"ground velocity {along.format('y')}", "vy_error flags"),
            "v": (np.hypot(vx, vy), "m/day", "horizontal ground speed", "flags"),
            "vx_error": (moved.sigma_dx / days, "m/day", "standard error of vx", ""),
            "vy_error": (moved.sigma_dy / days, "m/day", "standard error of vy", ""),
        }
    data = _dataset(layers, moved.flags, moved.grid, "Ground displacement between two images", good=moved.good)
    data.attrs["comment"] = "ground metres, the scale factor of the CRS is divided out; NaN where any flag is raised"
    if moved.dt is not None:
        data.attrs["dt_days"] = moved.dt / timedelta(days=1)
    return data


def _dataset(
    layers: Layers,
    flags: NDArray[np.uint16],
    grid: Grid,
    title: str,
    *,
    good: NDArray[np.bool_] | None = None,
    pixel_axes: dict[str, Any] | None = None,
) -> xarray.Dataset:
    """Put layers on the coordinates of a grid; NaN where not `good`."""
    import xarray

    dims, coordinates, mapping = _axes(grid, pixel_axes or {})
    common = {"grid_mapping": "mapping"} if mapping else {}
    data: dict[str, Any] = {"mapping": ((), np.int32(0), mapping)} if mapping else {}
    for name, (values, units, long_name, related) in layers.items():
        about = {"long_name": long_name, "units": units} | ({"ancillary_variables": related} if related else {})
        shown = values if good is None else np.where(good, values, np.float32(np.nan))
        data[name] = (dims, np.asarray(shown, np.float32), about | common)
    data["flags"] = (dims, flags, _flag_attributes() | common)
    about = {"Conventions": CONVENTIONS, "title": title, "sign_convention": SIGN_RULE}
    return xarray.Dataset(data, coordinates, about)


def _flag_attributes() -> dict[str, Any]:
    from sensetrack.ot.fields import Flag

    return {
        "standard_name": "status_flag",
        "long_name": "why a post is not to be trusted; 0 = good, reasons add up",
        "flag_masks": np.array([flag.value for flag in Flag], np.uint16),
        "flag_meanings": " ".join(str(flag.name).lower() for flag in Flag),
    }


def _pixel_axes(field: OffsetField) -> dict[str, Any]:
    """Where the posts are in the images, for those that are nowhere on the ground."""
    return {
        name: (name, start + np.arange(size) * float(step), {"long_name": long_name, "units": "1"})
        for name, long_name, start, step, size in zip(
            ("row", "col"),
            ("row of the post in the images, in pixel corners", "column of the post in the images, in pixel corners"),
            field.start,
            field.step,
            field.grid.shape,
            strict=True,
        )
    }


def _axes(grid: Grid, pixel_axes: dict[str, Any]) -> tuple[tuple[str, str], dict[str, Any], dict[str, Any]]:
    """Dimensions, coordinates and attributes of the grid mapping of a grid."""
    if not grid.georeferenced or grid.crs is None:
        return ("row", "col"), pixel_axes, {}
    (rows, cols), t = grid.shape, grid.transform
    mapping = mapping_attributes(grid)
    straight = abs(t.b) * rows <= _STRAIGHT * abs(t.a) and abs(t.d) * cols <= _STRAIGHT * abs(t.e)
    if not straight:
        return ("y", "x"), _positions(grid), mapping
    x, y = grid.xy(0, np.arange(cols))[0], grid.xy(np.arange(rows), 0)[1]
    about = _axis_attributes(grid.crs)
    axes = {name: (name, at, about[name] | {"axis": name.upper()}) for name, at in (("x", x), ("y", y))}
    return ("y", "x"), axes, mapping


def mapping_attributes(grid: Grid) -> dict[str, Any]:
    """Attributes of a CF grid mapping: those of the CRS, and CRS and transform as GDAL reads them."""
    t, crs = grid.transform, grid.crs
    if crs is None:
        return {}
    with warnings.catch_warnings():
        # What the words of CF cannot say is in crs_wkt, which goes before them.
        warnings.simplefilter("ignore", UserWarning)
        described = crs.to_cf()
    transform = " ".join(repr(float(term)) for term in (t.c, t.a, t.b, t.f, t.d, t.e))
    return {**described, "spatial_ref": old_wkt(crs), "GeoTransform": transform}


def old_wkt(crs: Any) -> str:
    """Spell a CRS as WKT 1, which every program reads, or as WKT 2 where WKT 1 cannot say it."""
    import pyproj

    try:
        return str(crs.to_wkt("WKT1_GDAL") or crs.to_wkt())
    except pyproj.exceptions.CRSError:
        return str(crs.to_wkt())


def _positions(grid: Grid) -> dict[str, Any]:
    """Place every post of a grid whose rows do not run along an axis of its CRS.

    In the CRS (xc, yc) and, where it is one of the earth, in longitude and latitude.
    """
    import pyproj

    x, y = grid.xy(*np.indices(grid.shape))
    about = _axis_attributes(grid.crs)
    found = {"xc": (("y", "x"), x, about["x"]), "yc": (("y", "x"), y, about["y"])}
    geodetic = None if grid.crs is None else grid.crs.geodetic_crs
    if geodetic is None:
        return found
    lonlat = dict(
        zip("xy", pyproj.Transformer.from_crs(grid.crs, geodetic, always_xy=True).transform(x, y), strict=True)
    )
    about = _axis_attributes(geodetic)
    lonlat = {about[axis]["standard_name"]: (("y", "x"), values, about[axis]) for axis, values in lonlat.items()}
    # In a geographic CRS that is where they are already.
    return lonlat if about == _axis_attributes(grid.crs) else found | lonlat


def _axis_attributes(crs: Any) -> dict[str, dict[str, str]]:
    """CF attributes of the x and the y axis of a CRS."""
    unit = crs.axis_info[0].unit_name.replace(" ", "_") if crs.axis_info else "metre"
    names, units = ("projection_x_coordinate", "projection_y_coordinate"), ("m" if unit == "metre" else unit,) * 2
    if crs.is_geographic and crs.is_derived:  # its pole is not that of the earth
        names, units = ("grid_longitude", "grid_latitude"), ("degrees", "degrees")
    elif crs.is_geographic:
        names = ("longitude", "latitude")
        units = ("degrees_east", "degrees_north") if unit == "degree" else (unit, unit)
    return {
        axis: {"standard_name": name, "long_name": name.replace("_", " "), "units": unit}
        for axis, name, unit in zip("xy", names, units, strict=True)
    }
