"""Formats of a product: each is opened with the program its users have, and says the same."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import geopandas
import h5py
import matplotlib as mpl
import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import xarray
from affine import Affine
from PIL import Image as Picture
from rasterio.errors import NotGeoreferencedWarning

from conftest import SMALL, read_tif, write_tif
from sensetrack import TrackConfig, run_track
from sensetrack.errors import ConfigError, OutputError
from sensetrack.files import vector
from sensetrack.files.vector import write_points
from sensetrack.grid import Grid
from sensetrack.ot.fields import Displacement, Flag, OffsetField
from sensetrack.pictures import quicklook
from sensetrack.pictures.maps import displacement_picture, draw_maps
from sensetrack.pictures.qgis import write_styles
from sensetrack.products import formats
from sensetrack.products.formats import FORMATS, files_of
from sensetrack.products.layers import TRACK_FILES, track_layers
from sensetrack.products.netcdf import PairInfo, write_track_netcdf
from truth import TALL, UTM

TURNED = Affine.translation(600_000, 4_950_000) @ Affine.rotation(35) @ Affine.scale(10, -20)
LEANING = Affine(10, 6, 600_000, 0, -20, 4_950_000)
DEGREES = Affine(1e-4, 0, 9, 0, -2e-4, 46)
GRIDS = {
    "north up": (TALL, UTM),
    "turned": (TURNED, UTM),
    "sheared": (LEANING, UTM),
    "degrees": (DEGREES, "EPSG:4326"),
    "nowhere": (None, None),
}
SHAPE, STEP, START = (6, 9), (8, 12), (4.0, 6.0)
SCALE = 1e-3
"""The UTM zones here stretch the ground by up to 4e-4."""
PAIR = PairInfo(
    "ref.tif",
    "sec.tif",
    (datetime(2024, 6, 1, 10, 30, tzinfo=UTC), datetime(2024, 6, 13, 22, 30, tzinfo=UTC)),
    "sensetrack 1.2.3",
)
ALL = ",".join(FORMATS)


def field(where: str = "north up", **changes) -> OffsetField:
    """3 rows down and 5 columns right; one post of its own, one flagged, one without value."""
    affine, crs = GRIDS[where]
    size = (START[0] * 2 + STEP[0] * (SHAPE[0] - 1), START[1] * 2 + STEP[1] * (SHAPE[1] - 1))
    d_row, d_col = np.full(SHAPE, 3, np.float32), np.full(SHAPE, 5, np.float32)
    flags = np.zeros(SHAPE, np.uint16)
    d_row[1, 7], d_col[1, 7] = -1.5, 0.25
    d_row[2, 3], d_col[2, 3], flags[2, 3] = 40, -30, Flag.OUTLIER + Flag.LOW_SCORE
    d_row[4, 0], d_col[4, 0], flags[4, 0] = np.nan, np.nan, Flag.NO_DATA
    score = np.full(SHAPE, 0.6, np.float32)
    score[2, 3], score[3, 3], score[4, 0] = -0.2, 1.000001, np.nan
    values = {
        "score": score,
        "snr": np.full(SHAPE, 12, np.float32),
        "covariance": np.broadcast_to(np.float32([0.01, 0.04, 0]), (*SHAPE, 3)),
    }
    grid = Grid(size, affine, crs).posts(START, STEP, SHAPE)
    return OffsetField(d_row, d_col, flags, grid, STEP, START, **(values | changes))


def post(frame, i: int, j: int):
    """The row of a post."""
    return frame.iloc[i * SHAPE[1] + j]


@pytest.fixture(scope="module", autouse=True)
def _no_quicklook():
    """Leave out what is not tested here and takes longer than all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quicklook, "draw_quicklook", lambda path, *_, **__: path.write_bytes(b"picture"))
        yield


@pytest.fixture(scope="module")
def product(scene, tmp_path_factory):
    """A whole run in every format, with dates."""
    folder = tmp_path_factory.mktemp("product")
    files = [write_tif(folder / f"{i}.tif", part.astype(np.float32)) for i, part in enumerate(scene)]
    record = run_track(
        *files,
        folder / "out",
        TrackConfig(
            parameters={"chip": 32, "step": 8, "search": 8},
            reference_date="2024-06-01",
            secondary_date="2024-06-11",
            formats=ALL,
            gross="none",
        ),
    )
    return folder / "out", record


# --- tables ------------------------------------------------------------------------------------------------------


def expected(where: str) -> dict[str, float]:
    """What 3 rows down and 5 columns right are on the ground, by independent ways."""
    if where == "nowhere":
        return {"RSHIFT": 3, "CSHIFT": 5, "L2": np.hypot(3, 5)}
    if where == "degrees":
        geod = pyproj.Geod(ellps="WGS84")
        lon, lat = 9 + 6e-4, 46 - 8e-4
        east, north = (5 * geod.inv(lon, lat, lon + 1e-4, lat)[2], -3 * geod.inv(lon, lat, lon, lat + 2e-4)[2])
        return {"dx": east, "dy": north, "RSHIFT": -north, "CSHIFT": east, "L2": np.hypot(east, north)}
    if where == "sheared":
        return {"dx": 68, "dy": -60, "RSHIFT": 3 * np.hypot(6, 20), "CSHIFT": 50, "L2": np.hypot(68, 60)}
    angle = np.deg2rad(35 if where == "turned" else 0)
    dx, dy = 50 * np.cos(angle) + 60 * np.sin(angle), 50 * np.sin(angle) - 60 * np.cos(angle)
    return {"dx": dx, "dy": dy, "RSHIFT": 60, "CSHIFT": 50, "L2": np.hypot(50, 60)}


@pytest.mark.parametrize("where", GRIDS)
def test_a_post_in_the_table(where):
    frame = field(where).to_geodataframe()
    assert len(frame) == SHAPE[0] * SHAPE[1]
    first = post(frame, 0, 0)
    truth = expected(where)
    assert ({"dx", "dy"} <= set(frame.columns)) is (where != "nowhere")
    assert {name: first[name] for name in truth} == pytest.approx(truth, rel=SCALE)
    single = post(frame, 1, 7)
    assert (single.row, single.col) == (4 + 8, 6 + 7 * 12)
    assert (single.d_row, single.d_col) == (-1.5, 0.25)
    assert single["RSHIFT"] == pytest.approx(-truth["RSHIFT"] / 2, rel=SCALE)
    assert single["CSHIFT"] == pytest.approx(truth["CSHIFT"] / 20, rel=SCALE)
    if where == "nowhere":
        assert frame.crs is None
        assert (single.geometry.x, single.geometry.y) == (single.col, -single.row)
        assert (first.sigma_d_row, first.sigma_d_col) == pytest.approx((0.1, 0.2))
    else:
        affine, crs = GRIDS[where]
        assert frame.crs == pyproj.CRS(crs)
        assert (single.geometry.x, single.geometry.y) == pytest.approx(affine @ (single.col, single.row), abs=1e-6)
    if where == "north up":
        assert (first.sigma_dx, first.sigma_dy) == pytest.approx((0.2 * 10, 0.1 * 20), rel=SCALE)


def test_flagged_posts_are_in_the_table_with_what_was_measured():
    frame = field().to_geodataframe()
    bad = post(frame, 2, 3)
    assert (bad.d_row, bad.d_col, bad["flags"], bad.good) == (40, -30, 24, False)
    assert bad["RSHIFT"] == pytest.approx(800, rel=SCALE)
    missing = post(frame, 4, 0)
    assert missing[["d_row", "d_col", "dx", "dy", "RSHIFT", "CSHIFT", "L2", "NRMS", "score"]].isna().all()
    assert (missing["flags"], missing.good) == (1, False)
    assert frame.good.dtype == bool
    assert frame["flags"].dtype.kind == "i"
    assert frame.good.sum() == SHAPE[0] * SHAPE[1] - 2


def test_nrms_is_what_the_match_leaves():
    frame = field().to_geodataframe()
    assert post(frame, 0, 0)["NRMS"] == pytest.approx(0.8)
    assert post(frame, 2, 3)["NRMS"] == 1  # a negative score explains nothing
    assert post(frame, 3, 3)["NRMS"] == 0
    nothing = field(score=None, snr=None, covariance=None).to_geodataframe()
    assert nothing[["score", "snr", "peak_ratio", "NRMS", "sigma_dx", "sigma_dy"]].isna().all(axis=None)


@pytest.mark.parametrize("where", GRIDS)
@pytest.mark.parametrize("driver", ["GPKG", "ESRI Shapefile"])
def test_points_survive_a_file(tmp_path, monkeypatch, where, driver):
    """Written in three pieces, as a large field is."""
    monkeypatch.setattr(vector, "_BLOCK", 2 * SHAPE[1])
    source = field(where)
    path = tmp_path / ("offsets.gpkg" if driver == "GPKG" else "offsets.shp")
    write_points(path, source, driver)
    frame, read = source.to_geodataframe(), geopandas.read_file(path)
    assert pyogrio.list_layers(path)[:, 0].tolist() == ["offsets"]
    assert read.crs == frame.crs
    if driver == "GPKG":
        assert list(read.columns) == list(frame.columns)
        assert read.good.dtype == bool
    else:
        assert max(map(len, read.columns.drop("geometry"))) <= 10
        names = {"sig_d_row": "sigma_d_row", "sig_d_col": "sigma_d_col"}
        assert list(read.rename(columns=names).columns) == list(frame.columns)
        read = read.rename(columns=names)
        assert set(read.good) == {0, 1}
        assert path.with_suffix(".cpg").read_text() == "UTF-8"
        assert path.with_suffix(".prj").exists() is (where != "nowhere")
    for name in frame.columns.drop("geometry"):
        # A Shapefile holds 15 decimals.
        np.testing.assert_array_equal(read[name].to_numpy(np.float32), frame[name].to_numpy(np.float32), err_msg=name)
    np.testing.assert_allclose(read.geometry.x, frame.geometry.x, rtol=1e-15)
    np.testing.assert_allclose(read.geometry.y, frame.geometry.y, rtol=1e-15)


def test_points_say_what_the_rasters_say(product):
    folder, _ = product
    frame = geopandas.read_file(folder / "offsets.gpkg", layer="offsets")
    places = list(zip(frame.geometry.x, frame.geometry.y, strict=True))
    bands = {
        "offsets.tif": ("d_row", "d_col"),
        "displacement.tif": ("dx", "dy", "L2"),
        "quality.tif": ("score", "snr", "peak_ratio", "sigma_dx", "sigma_dy"),
        "flags.tif": ("flags",),
    }
    for file, names in bands.items():
        with rasterio.open(folder / file) as raster:
            assert frame.crs == pyproj.CRS(raster.crs)
            values = np.array(list(raster.sample(places)))
        for k, name in enumerate(names):
            given = frame[name].where(frame.good) if file == "displacement.tif" else frame[name]
            np.testing.assert_array_equal(values[:, k], given, err_msg=name)
    good = frame[frame.good]
    assert good[["dx", "dy", "RSHIFT", "CSHIFT"]].median().tolist() == pytest.approx([50, -60, 60, 50], rel=2e-3)


def test_tables_and_datasets_load_their_libraries_when_asked_for():
    code = (
        "import sys; from sensetrack import OffsetField, Displacement, TrackConfig\n"
        "import sensetrack.workflow.config\n"
        "assert not {'geopandas', 'pandas', 'xarray', 'h5py', 'matplotlib', 'rasterio'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- labelled arrays ---------------------------------------------------------------------------------------------


def moved(where: str = "north up", days: float | None = 12.5) -> Displacement:
    return field(where).to_displacement(None if days is None else timedelta(days=days))


@pytest.mark.parametrize("where", ["north up", "degrees"])
def test_a_displacement_as_a_dataset(where):
    data = moved(where).to_xarray()
    truth = expected(where)
    assert float(data.dx[0, 0]) == pytest.approx(truth["dx"], rel=SCALE)
    assert float(data.dy[0, 0]) == pytest.approx(truth["dy"], rel=SCALE)
    assert float(data.vy[0, 0]) == pytest.approx(truth["dy"] / 12.5, rel=SCALE)
    assert float(data.v[0, 0]) == pytest.approx(truth["L2"] / 12.5, rel=SCALE)
    assert float(data.vx_error[0, 0]) == pytest.approx(float(data.dx_error[0, 0]) / 12.5)
    assert data.dx.dims == ("y", "x")
    # Coordinates are those of the posts; y falls down the rows.
    affine, crs = GRIDS[where]
    assert (float(data.x[7]), float(data.y[1])) == pytest.approx(affine @ (6 + 7 * 12, 4 + 8))
    assert pyproj.CRS.from_cf(data.mapping.attrs) == pyproj.CRS(crs)
    assert pyproj.CRS(data.mapping.attrs["spatial_ref"]) == pyproj.CRS(crs)
    terms = [float(term) for term in data.mapping.attrs["GeoTransform"].split()]
    assert Affine.from_gdal(*terms) == field(where).grid.affine
    bad = np.isin(data["flags"], [24, 1])
    for name in ("dx", "dy", "magnitude", "dx_error", "dy_error", "vx", "vy", "v", "vx_error", "vy_error"):
        assert (np.isnan(data[name]) == bad).all(), name
        assert data[name].dtype == np.float32
        assert data[name].attrs["grid_mapping"] == "mapping"
        assert data[name].attrs["units"] == ("m/day" if name.startswith("v") else "m")
        assert data[name].attrs["long_name"]
        assert "standard_name" not in data[name].attrs


def test_attributes_are_those_of_cf():
    data = moved().to_xarray()
    assert data.attrs["Conventions"] == "CF-1.9"
    assert data.attrs["title"]
    assert "found at secondary[row + d_row, col + d_col]" in data.attrs["sign_convention"]
    assert "history" not in data.attrs
    flags = data["flags"]
    assert flags.dtype == flags.attrs["flag_masks"].dtype == np.uint16
    named = dict(zip(flags.attrs["flag_meanings"].split(), flags.attrs["flag_masks"].tolist(), strict=True))
    assert named == {flag.name.lower(): flag.value for flag in Flag}
    assert flags.attrs["standard_name"] == "status_flag"
    assert data.dx.attrs["ancillary_variables"].split() == ["dx_error", "flags"]


@pytest.mark.parametrize(
    ("crs", "names", "units"),
    [
        (UTM, "projection_{}_coordinate", ("m", "m")),
        ("EPSG:2225", "projection_{}_coordinate", ("US_survey_foot", "US_survey_foot")),
        ("EPSG:2056", "projection_{}_coordinate", ("m", "m")),
        ("EPSG:4326", "", ("degrees_east", "degrees_north")),
    ],
)
def test_coordinates_have_names_and_units(crs, names, units):
    """Swiss coordinates (EPSG:2056) have no complete description in the words of CF."""
    affine = DEGREES if crs == "EPSG:4326" else Affine(10, 0, 2_600_000, 0, -20, 1_200_000)
    grid = Grid((3, 4), affine, crs)
    zeros = np.zeros((3, 4), np.float32)
    data = Displacement(zeros, zeros, zeros, zeros, zeros.astype(np.uint16), grid).to_xarray()
    said = names or {"x": "longitude", "y": "latitude"}
    for axis, unit in zip("xy", units, strict=True):
        attributes = data[axis].attrs
        assert attributes["standard_name"] == (said.format(axis) if names else said[axis])
        assert (attributes["units"], attributes["axis"]) == (unit, axis.upper())
    assert pyproj.CRS.from_cf(data.mapping.attrs) == pyproj.CRS(crs)


@pytest.mark.parametrize("where", ["turned", "sheared"])
def test_a_turned_grid_has_a_place_for_every_post(where):
    data = moved(where).to_xarray()
    assert data.dx.dims == ("y", "x")
    assert not {"x", "y"} & set(data.coords)
    affine, crs = GRIDS[where]
    x, y = affine @ (6 + 7 * 12, 4 + 8)
    assert (float(data.xc[1, 7]), float(data.yc[1, 7])) == pytest.approx((x, y))
    lon, lat = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(x, y)
    assert (float(data.longitude[1, 7]), float(data.latitude[1, 7])) == pytest.approx((lon, lat), abs=1e-9)
    assert data.longitude.attrs["units"] == "degrees_east"
    assert float(data.dx[0, 0]) == pytest.approx(expected(where)["dx"], rel=SCALE)


def test_time_decides_the_velocity():
    assert not {"vx", "vy", "v", "vx_error"} & set(moved(days=None).to_xarray())
    assert "vx" not in moved(days=0).to_xarray()
    back = moved(days=-12.5).to_xarray()
    assert float(back.vx[0, 0]) == pytest.approx(-50 / 12.5, rel=SCALE)
    assert float(back.vx_error[0, 0]) > 0
    assert back.attrs["dt_days"] == -12.5


def test_offsets_as_a_dataset():
    here, nowhere = field().to_xarray(), field("nowhere").to_xarray()
    assert here.d_row.dims == ("y", "x")
    assert nowhere.d_row.dims == ("row", "col")
    assert "mapping" in here
    assert "mapping" not in nowhere
    assert (float(nowhere.row[1]), float(nowhere.col[7])) == (4 + 8, 6 + 7 * 12)
    for data in (here, nowhere):
        # What was measured stays under a flag.
        assert (float(data.d_row[2, 3]), float(data.d_col[2, 3]), int(data["flags"][2, 3])) == (40, -30, 24)
        assert np.isnan(data.d_row[4, 0])
        assert float(data.sigma_d_col[0, 0]) == pytest.approx(0.2)
        assert np.isnan(data.peak_ratio).all()


# --- NetCDF ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", GRIDS)
def test_a_netcdf_file_for_xarray_and_for_gdal(tmp_path, where):
    source = field(where)
    displacement = None if where == "nowhere" else source.to_displacement(timedelta(days=12.5))
    write_track_netcdf(tmp_path, source, displacement, PAIR)
    path = tmp_path / ("offsets.nc" if where == "nowhere" else "displacement.nc")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        np.testing.assert_array_equal(data.d_row, source.d_row)
        np.testing.assert_array_equal(data["flags"], source.flags)
        assert data["flags"].dtype == np.uint16
        if displacement is not None:
            np.testing.assert_array_equal(data.dy, np.where(source.good, displacement.dy, np.nan))
            assert pyproj.CRS.from_cf(data.mapping.attrs) == source.grid.crs
    name = "d_row" if displacement is None else "dy"
    with rasterio.Env() as environment, warnings.catch_warnings():
        if "netCDF" not in environment.drivers():
            return
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(f"netcdf:{path}:{name}") as raster:
            values = source.d_row if displacement is None else np.where(source.good, displacement.dy, np.nan)
            # GDAL takes a coordinate that grows for one that grows upwards, as rows do not.
            np.testing.assert_array_equal(raster.read(1), values[::-1] if displacement is None else values)
            if displacement is not None:
                assert raster.units == ("m",)
                assert np.isnan(raster.nodata)
                assert pyproj.CRS(raster.crs) == source.grid.crs
                assert raster.transform.almost_equals(source.grid.affine, 1e-6)


def test_what_is_in_the_netcdf_file(tmp_path):
    write_track_netcdf(tmp_path, field(), moved(), PAIR)
    path = tmp_path / "displacement.nc"
    with h5py.File(path) as file:
        for name in ("dx", "vx", "d_row", "score", "flags"):
            assert file[name].compression == "gzip"
        assert np.isnan(file["dx"].attrs["_FillValue"]).all()
        assert "_FillValue" not in file["x"].attrs
        assert "_FillValue" not in file["flags"].attrs
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        assert data.img_pair_info.shape == ()
        about = data.img_pair_info.attrs
        assert (about["id_img1"], about["id_img2"]) == ("ref.tif", "sec.tif")
        assert about["acquisition_date_img1"].startswith("20240601T10:30:00")
        assert about["acquisition_date_img2"].startswith("20240613T22:30:00")
        assert about["date_center"].startswith("20240607T16:30:00")
        assert about["date_dt"] == 12.5
        assert about["software"] == "sensetrack 1.2.3"
        assert {"dx", "dy", "magnitude", "vx", "vy", "v", "d_row", "d_col", "snr", "peak_ratio"} <= set(data)
    before = path.read_bytes()
    write_track_netcdf(tmp_path, field(), moved(), PAIR)
    assert path.read_bytes() == before


def test_dates_that_are_not_known_are_left_out(tmp_path):
    write_track_netcdf(tmp_path, field(), moved(days=None), PairInfo("a", "b", (None, PAIR.acquired[1]), "s"))
    with xarray.open_dataset(tmp_path / "displacement.nc", engine="h5netcdf") as data:
        about = data.img_pair_info.attrs
        assert "acquisition_date_img2" in about
        assert not {"acquisition_date_img1", "date_dt", "date_center"} & set(about)
        assert "vx" not in data


# --- pictures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", GRIDS)
def test_maps_lie_where_the_posts_are(tmp_path, where):
    source = field(where)
    displacement = None if where == "nowhere" else source.to_displacement()
    drawn = draw_maps(tmp_path, source, displacement)
    names = ("d_row", "d_col", "magnitude") if where == "nowhere" else ("dx", "dy", "magnitude")
    assert list(drawn) == [f"{name}.png" for name in names]
    for name in drawn:
        with rasterio.open(tmp_path / name) as raster:
            assert raster.shape == SHAPE
            assert raster.count == 4
            alpha = raster.read(4)
            if where == "nowhere":
                assert raster.crs is None
                x, y = raster.transform @ (7.5, 1.5)
                assert (x, y) == (6 + 7 * 12, -(4 + 8))
            else:
                assert raster.transform.almost_equals(source.grid.affine, 1e-6)
                assert pyproj.CRS(raster.crs) == source.grid.crs
        assert ((alpha == 255) == source.good).all()
        assert ((alpha == 0) == ~source.good).all()


def test_colours_of_a_map(tmp_path):
    drawn = draw_maps(tmp_path, field(), moved())
    # 50 m east is red, 60 m south is blue, both from one range.
    assert drawn["dx.png"] == {"layer": "dx", "unit": "m", "range": [-60, 60], "ramp": "RdBu_r"}
    assert drawn["dy.png"]["range"] == drawn["dx.png"]["range"]
    assert drawn["magnitude.png"]["range"] == [0, 80]
    dx, dy, magnitude = (np.asarray(Picture.open(tmp_path / name)) for name in drawn)
    assert dx[0, 0, 0] > dx[0, 0, 2] + 80
    assert dy[0, 0, 2] > dy[0, 0, 0] + 80
    np.testing.assert_allclose(dx[0, 0, :3], np.array(mpl.colormaps["RdBu_r"]((50 + 60) / 120))[:3] * 255, atol=2)
    np.testing.assert_allclose(magnitude[0, 0, :3], np.array(mpl.colormaps["plasma"](78.1 / 80))[:3] * 255, atol=2)
    with Picture.open(tmp_path / "dx.png") as picture:
        assert (picture.text["Title"], picture.text["Unit"], picture.text["Range"]) == ("dx", "m", "-60 60")


def test_one_layer_as_a_picture(tmp_path):
    values = np.array([[0.0, 5.0, 10.0], [99.0, np.nan, 2.0]])
    good = np.array([[True, True, True], [True, True, False]])
    before = values.copy()
    said = displacement_picture(tmp_path / "a.PNG", values, good, limits=(0, 10), unit="px", name="speed")
    assert said == {"layer": "speed", "unit": "px", "range": [0, 10], "ramp": "plasma"}
    png = np.asarray(Picture.open(tmp_path / "a.PNG"))
    assert png[..., 3].tolist() == [[255, 255, 255], [255, 0, 0]]
    assert (png[1, 0] == png[0, 2]).all()  # beyond the end
    displacement_picture(tmp_path / "a.jpg", np.kron(values, np.ones((8, 8))), np.kron(good, np.ones((8, 8))))
    jpg = np.asarray(Picture.open(tmp_path / "a.jpg")).astype(int)
    assert jpg.shape == (16, 24, 3)
    assert jpg[12, 12].min() > 245
    assert np.ptp(jpg[4, 4]) > 60  # dark blue
    np.testing.assert_array_equal(values, before)
    displacement_picture(tmp_path / "flat.png", np.zeros((2, 3)), signed=True)
    assert np.asarray(Picture.open(tmp_path / "flat.png"))[..., :3].min() > 240
    displacement_picture(tmp_path / "none.png", np.full((2, 3), np.nan))
    assert np.asarray(Picture.open(tmp_path / "none.png"))[..., 3].max() == 0
    with pytest.raises(ConfigError, match=r"must end in \.png, \.jpg, \.jpeg, instead got \.gif"):
        displacement_picture(tmp_path / "a.gif", values)
    with pytest.raises(OutputError, match="cannot be written"):
        displacement_picture(tmp_path / "missing" / "a.png", values)


# --- styles ------------------------------------------------------------------------------------------------------

SHOWN = {
    "displacement": ("magnitude", " m"),
    "velocity": ("speed", " m/day"),
    "offsets": ("d_row", " px"),
    "quality": ("score", ""),
}


def renderer(path):
    root = ET.parse(path).getroot()
    assert root.tag == "qgis"
    assert path.read_text().startswith("<!DOCTYPE qgis ")
    (found,) = root.findall("pipe/rasterrenderer")
    return found


@pytest.mark.parametrize("name", SHOWN)
def test_a_style_covers_its_raster(product, name):
    folder, _ = product
    look = renderer(folder / f"{name}.qml")
    band, unit = SHOWN[name]
    with rasterio.open(folder / f"{name}.tif") as raster:
        assert raster.descriptions[int(look.get("band")) - 1] == band
        values = raster.read(int(look.get("band"))).astype(float)
    assert look.get("type") == "singlebandpseudocolor"
    shader = look.find("rastershader/colorrampshader")
    stops = [float(item.get("value")) for item in shader.findall("item")]
    assert stops == sorted(set(stops))
    assert len(stops) >= 11
    assert stops[0] <= np.nanmin(values)
    assert np.nanmax(values) <= stops[-1]
    assert [float(shader.get(end)) for end in ("minimumValue", "maximumValue")] == [stops[0], stops[-1]]
    for item in shader.findall("item"):
        number = item.get("label").removesuffix(unit) if unit else item.get("label")
        assert item.get("label").endswith(unit)
        assert float(number) == pytest.approx(float(item.get("value")), rel=1e-3, abs=1e-9)
        assert len(item.get("color")) == 7
    if name == "offsets":
        assert stops[len(stops) // 2] == 0 or 0.0 in stops
        assert {item.get("color") for item in shader.findall("item") if item.get("value") == "0.0"} == {"#f7f6f6"}


def test_the_style_of_flags_names_every_sum(tmp_path):
    source = field()
    layers = track_layers(source, moved())
    write_styles(tmp_path, layers)
    look = renderer(tmp_path / "flags.qml")
    assert look.get("type") == "paletted"
    entries = {int(entry.get("value")): entry for entry in look.iter("paletteEntry")}
    assert set(entries) == set(np.unique(source.flags).tolist()) == {0, 1, 24}
    assert (entries[0].get("label"), entries[0].get("alpha")) == ("good", "0")
    assert (entries[24].get("label"), entries[24].get("alpha")) == ("LOW_SCORE + OUTLIER", "255")
    assert {file.name for file in tmp_path.iterdir()} == {layer.file.replace(".tif", ".qml") for layer in layers}


def test_wild_values_get_classes_of_their_own(tmp_path):
    write_styles(tmp_path, track_layers(field(), moved()))
    stops = [float(item.get("value")) for item in renderer(tmp_path / "offsets.qml").iter("item")]
    assert stops[-2:] == [3, 40]  # the flagged post does not stretch the colours of the good ones
    assert stops[0] == -3


def test_a_field_without_a_good_post_has_styles_and_maps(tmp_path):
    nan = np.full(SHAPE, np.nan, np.float32)
    bad = np.full(SHAPE, Flag.NO_DATA.bit)
    source = OffsetField(nan, nan, bad, field().grid, STEP, START)
    write_styles(tmp_path, track_layers(source, source.to_displacement()))
    stops = [float(item.get("value")) for item in renderer(tmp_path / "displacement.qml").iter("item")]
    assert (stops[0], stops[-1]) == (0, 1)
    draw_maps(tmp_path, source, source.to_displacement())
    assert np.asarray(Picture.open(tmp_path / "dx.png"))[..., 3].max() == 0
    write_points(tmp_path / "offsets.gpkg", source, "GPKG")
    write_track_netcdf(tmp_path, source, source.to_displacement(), PAIR)


# --- rasters, and whole runs -------------------------------------------------------------------------------------

BANDS = {
    "displacement.tif": (("dx", "dy", "magnitude"), ("m", "m", "m")),
    "velocity.tif": (("vx", "vy", "speed"), ("m/day",) * 3),
    "offsets.tif": (("d_row", "d_col"), ("px", "px")),
    "quality.tif": (("score", "snr", "peak_ratio", "sigma_dx", "sigma_dy"), ("1", "1", "1", "m", "m")),
    "flags.tif": (("flags",), ("bits",)),
}


@pytest.mark.parametrize("name", BANDS)
def test_rasters_are_cloud_optimised_and_described(product, name):
    folder, _ = product
    with rasterio.open(folder / name) as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (raster.descriptions, raster.units) == BANDS[name]
        assert raster.crs.to_epsg() == 32632
        assert raster.transform == Affine(80, 0, 600_000 + 120, 0, -160, 4_950_000 - 240)
        assert raster.nodata is None if name == "flags.tif" else np.isnan(raster.nodata)


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="gdalinfo is not installed")
def test_gdalinfo_agrees(product):
    """What is asserted through rasterio above, said by another GDAL."""
    folder, _ = product

    def info(name: str) -> dict:
        out = subprocess.run(["gdalinfo", "-json", name], capture_output=True, text=True, check=True).stdout
        return json.loads(out)

    told = info(str(folder / "displacement.tif"))
    assert [band["description"] for band in told["bands"]] == ["dx", "dy", "magnitude"]
    assert [band["unit"] for band in told["bands"]] == ["m", "m", "m"]
    assert {str(band["noDataValue"]).lower() for band in told["bands"]} == {"nan"}
    place = [600_120.0, 80.0, 0.0, 4_949_760.0, 0.0, -160.0]
    netcdf = f"NETCDF:{folder / 'displacement.nc'}:dx"
    for name in (str(folder / "displacement.tif"), str(folder / "dx.png"), netcdf):
        told = info(name)
        assert told["geoTransform"] == pytest.approx(place), name
        assert 'ID["EPSG",32632]' in told["coordinateSystem"]["wkt"], name


def test_every_format_says_the_same(product):
    folder, record = product
    assert {path.name for path in folder.iterdir()} == set(TRACK_FILES) - {
        "offsets.nc", "d_row.png", "d_row.pgw", "d_col.png", "d_col.pgw",
    }  # fmt: skip
    dx, dy = (read_tif(folder / "displacement.tif", band) for band in (1, 2))
    with xarray.open_dataset(folder / "displacement.nc", engine="h5netcdf") as data:
        np.testing.assert_array_equal(data.dx, dx)
        np.testing.assert_array_equal(data.vy, read_tif(folder / "velocity.tif", 2))
        np.testing.assert_array_equal(data.score, read_tif(folder / "quality.tif", 1))
        np.testing.assert_array_equal(data["flags"], read_tif(folder / "flags.tif"))
        assert data.img_pair_info.attrs["date_dt"] == 10
        assert (data.img_pair_info.attrs["id_img1"], data.img_pair_info.attrs["id_img2"]) == ("0.tif", "1.tif")
    shp = geopandas.read_file(folder / "offsets.shp")
    np.testing.assert_array_equal(shp.dy.where(shp.good == 1).to_numpy(np.float32), dy.ravel())
    assert set(record["pictures"]) == {"dx.png", "dy.png", "magnitude.png"}
    assert json.loads((folder / "run.json").read_text())["pictures"] == record["pictures"]
    with Picture.open(folder / "dx.png") as picture:
        low, high = record["pictures"]["dx.png"]["range"]
        assert picture.text["Range"] == f"{low:g} {high:g}"
        assert low == -high <= -50


# --- settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("cog", ("cog",)),
        (" netCDF , gpkg,netcdf", ("netcdf", "gpkg")),
        (["png", "shp"], ("png", "shp")),
        (("gpkg",), ("gpkg",)),
        (None, ("cog",)),
    ],
)
def test_formats_are_read(given, kept):
    config = TrackConfig.from_dict({"formats": given})
    assert config.formats == kept
    assert TrackConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("cog,tiff", "there is no format 'tiff'; there are cog, netcdf, gpkg, shp, png"),
        (["pdf"], "there is no format 'pdf'; there are cog"),
        ("", "must name at least one of cog, netcdf, gpkg, shp, png"),
        ([], "must name at least one of cog"),
        (5, "formats: .* instead got 5"),
        ([5], "formats"),
    ],
)
def test_formats_that_are_none_are_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        TrackConfig(formats=given)


def test_the_command_line_chooses_formats(cli, pair_files, tmp_path):
    out = tmp_path / "out"
    assert cli("track", *pair_files, "-o", out, *SMALL, "--gross", "none", "--format", "netcdf,gpkg").code == 0
    names = {"displacement.nc", "offsets.gpkg", "quicklook.png", "run.json"}
    assert {path.name for path in out.iterdir()} == names
    assert json.loads((out / "run.json").read_text())["configuration"]["formats"] == ["netcdf", "gpkg"]
    # The record repeats the run, formats included.
    assert cli("track", *pair_files, "-o", tmp_path / "again", "--config", out / "run.json").code == 0
    assert {path.name for path in (tmp_path / "again").iterdir()} == names
    assert (tmp_path / "again" / "displacement.nc").read_bytes() == (out / "displacement.nc").read_bytes()
    # Nothing of the old product stays among the new.
    result = cli("track", *pair_files, "-o", out, "--config", out / "run.json", "--format", "png", "--overwrite")
    assert result.code == 0
    assert {path.name for path in out.iterdir()} < set(files_of(["png"]))
    assert "there is no format 'tif'" in cli("track", *pair_files, "-o", out, "--format", "tif").error


def test_too_many_points_are_refused_before_matching(cli, pair_files, tmp_path, monkeypatch):
    monkeypatch.setitem(formats.MOST_POINTS, "gpkg", 50)
    result = cli("track", *pair_files, "-o", tmp_path / "out", *SMALL, "--format", "cog,gpkg")
    assert result.code == 2
    assert "gpkg holds at most 50 points, instead got 70 posts; leave gpkg out" in result.error
    assert not (tmp_path / "out").exists()


FULL = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_45_products import PAIR, draw_maps, field, moved, write_points, write_track_netcdf
from sensetrack.errors import OutputError
folder = Path({folder!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
for write in (
    lambda: write_track_netcdf(folder, field(), moved(), PAIR),
    lambda: write_points(folder / "offsets.gpkg", field(), "GPKG"),
    lambda: write_points(folder / "offsets.shp", field(), "ESRI Shapefile"),
    lambda: draw_maps(folder, field(), moved()),
):
    try:
        write()
    except OutputError as error:
        print(error.path.name, error.cause)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")
def test_a_full_disk_is_an_error_in_every_format(tmp_path):
    """HDF5 would take the process down with it."""
    code = FULL.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{name} cannot be written" for name in ("displacement.nc", "offsets.gpkg", "offsets.shp", "dx.png")
    ]


def test_a_run_that_cannot_write_leaves_nothing(cli, pair_files, tmp_path, monkeypatch):
    from sensetrack.workflow import pipeline

    def full(path, *_):
        path.write_bytes(b"part")
        raise OutputError("cannot be written", path=path)

    monkeypatch.setattr(pipeline, "write_points", full)
    result = cli("track", *pair_files, "-o", tmp_path / "out", *SMALL, "--gross", "none", "--format", ALL)
    assert result.code == 5
    assert not (tmp_path / "out").exists()
