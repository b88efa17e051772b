"""Cubes and series as files."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path

import geopandas
import h5py
import numpy as np
import pytest
import xarray
from affine import Affine

from sensetrack.errors import EngineNotFoundError, InputError, OutputError
from sensetrack.grid import Grid
from sensetrack.products.timeseries import (
    PairCube,
    SeriesCube,
    read_pair_cube,
    write_pair_cube,
    write_series,
    write_series_zarr,
)
from sensetrack.products.timeseries_mintpy import MintpySeries, read_mintpy, write_mintpy
from sensetrack.products.timeseries_points import (
    points_of,
    posts_near,
    read_points,
    table_of,
    write_points_csv,
    write_points_gpkg,
)

GRID = Grid((3, 5), Affine(40, 0, 600_000, 0, -20, 4_950_000), "EPSG:32632")
DATES = np.array(["2023-08-07T05:10", "2023-08-19T05:10", "2023-09-12T05:10:01"], "datetime64[ms]")


def make_cube(grid: Grid = GRID) -> PairCube:
    """Pairs out of order, one running back in time."""
    rng = np.random.default_rng(4)
    dates = DATES[[[1, 2], [0, 1], [2, 0]]]
    dx, dy = rng.normal(size=(2, 3, *grid.shape)).astype(np.float32)
    dx[1, 0, 2] = dy[1, 0, 2] = np.nan
    sigma = rng.uniform(0.1, 0.5, (2, 3, *grid.shape)).astype(np.float32)
    return PairCube(dates, dx, dy, *sigma, grid, ("S1A/S1A", "S1A/S1B", "S1B/S1A"))


def test_a_cube_of_pairs_comes_back(tmp_path):
    cube = make_cube()
    write_pair_cube(tmp_path / "cube.nc", cube, software="sensetrack 9")
    back = read_pair_cube(tmp_path / "cube.nc")
    order = [1, 2, 0]  # by the time in the middle: 13, 25 and 31 August
    assert np.abs(back.dates - cube.dates[order]).max() < np.timedelta64(1, "s")
    for name in ("dx", "dy", "sigma_dx", "sigma_dy"):
        np.testing.assert_allclose(getattr(back, name), getattr(cube, name)[order], rtol=1e-5)
    assert back.grid.same_as(GRID)
    assert back.sensors == ("S1A/S1B", "S1B/S1A", "S1A/S1A")
    assert (back.sigma_dx > 0).all()


def test_the_cube_says_what_its_readers_ask_for(tmp_path):
    write_pair_cube(tmp_path / "cube.nc", make_cube())
    with xarray.open_dataset(tmp_path / "cube.nc", engine="h5netcdf") as file:
        assert file["vx"].dims == ("mid_date", "y", "x")
        assert [name for name in file.coords if name not in {"x", "y"}] == ["mid_date"]
        assert {"vx", "vy", "errorx", "errory", "date1", "date2", "sensor", "mapping"} <= set(file.data_vars)
        assert file["date1"].dtype.kind == file["mid_date"].dtype.kind == "M"
        assert file["vx"].attrs["units"] == "meter/year"
        assert "+proj=utm" in file.attrs["proj4"]
        assert file["mapping"].attrs["spatial_epsg"] == 32632
        assert file["x"].values[:2].tolist() == [600_020, 600_060]
        assert file["y"].values[:2].tolist() == [4_949_990, 4_949_970]
        assert bool(np.isnan(file["vx"].values[0, 0, 2]))
        # The pair back in time moves the other way round: a velocity has no direction in time.
        cube = make_cube()
        expected = cube.dx[2, 1, 1] / -36.0 * 365.25
        assert file["vx"].values[1, 1, 1] == pytest.approx(expected, rel=1e-4)


def test_a_cube_in_the_words_of_itslive_is_read(tmp_path):
    first = np.array(["2023-08-07", "2023-08-19"], "datetime64[ns]")
    second = np.array(["2023-08-19", "2023-09-12"], "datetime64[ns]")
    v = np.arange(2 * 2 * 3, dtype=np.int16).reshape(2, 2, 3)
    data = xarray.Dataset(
        {
            "vx": (("mid_date", "y", "x"), v, {"units": "meter/year", "_FillValue": np.int16(-32767)}),
            "vy": (("mid_date", "y", "x"), -v, {"units": "meter/year", "_FillValue": np.int16(-32767)}),
            "vx_error": ("mid_date", [10.0, 20.0], {"units": "meter/year"}),
            "vy_error": ("mid_date", [30.0, 40.0], {"units": "meter/year"}),
            "acquisition_date_img1": ("mid_date", first),
            "acquisition_date_img2": ("mid_date", second),
            "mapping": ((), "", {"spatial_ref": GRID.crs.to_wkt()}),
        },
        {"x": [60.0, 180.0, 300.0], "y": [500.0, 380.0], "mid_date": first},
    )
    data.to_netcdf(tmp_path / "its.nc", engine="h5netcdf")
    cube = read_pair_cube(tmp_path / "its.nc")
    np.testing.assert_allclose(cube.dx, v * np.array([12, 24])[:, None, None] / 365.25, rtol=1e-6)
    np.testing.assert_allclose(cube.sigma_dy[:, 0, 0], [30 * 12 / 365.25, 40 * 24 / 365.25], rtol=1e-6)
    assert cube.grid.affine == Affine(120, 0, 0, 0, -120, 560)


def test_a_cube_is_written_in_the_words_of_itslive_too(tmp_path):
    cube = make_cube()
    write_pair_cube(tmp_path / "its.nc", cube, names="itslive")
    with xarray.open_dataset(tmp_path / "its.nc", engine="h5netcdf", decode_timedelta=False) as file:
        names = {"acquisition_date_img1", "acquisition_date_img2", "vx_error", "vy_error", "v", "date_dt"}
        assert names <= set(file.data_vars)
        assert not {"date1", "errorx"} & set(file.data_vars)
        assert file["vx"].attrs["ancillary_variables"] == "vx_error"
        assert file["date_dt"].values.tolist() == pytest.approx([12, -36, 24], abs=1e-3)
    np.testing.assert_allclose(read_pair_cube(tmp_path / "its.nc").dx, cube.dx[[1, 2, 0]], rtol=1e-5)


@pytest.mark.parametrize("gone", ["vx", "date2", "y"])
def test_what_is_no_cube_is_refused(tmp_path, gone):
    write_pair_cube(tmp_path / "cube.nc", make_cube())
    with xarray.open_dataset(tmp_path / "cube.nc", engine="h5netcdf") as file:
        file.load().drop_vars(gone).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(InputError, match=gone):
        read_pair_cube(tmp_path / "other.nc")
    (tmp_path / "text.nc").write_text("no cube")
    with pytest.raises(InputError):
        read_pair_cube(tmp_path / "text.nc")


def test_a_cube_without_georeference(tmp_path):
    write_pair_cube(tmp_path / "cube.nc", make_cube(Grid((3, 5))))
    assert not read_pair_cube(tmp_path / "cube.nc").grid.georeferenced


def test_leaning_grids_are_refused(tmp_path):
    leaning = Grid((3, 5), Affine(40, 3, 0, 3, -20, 0), "EPSG:32632")
    with pytest.raises(InputError, match="along the axes"):
        write_pair_cube(tmp_path / "cube.nc", make_cube(leaning))
    assert not (tmp_path / "cube.nc").exists()


def make_series() -> np.ndarray:
    moved = np.cumsum(np.random.default_rng(5).normal(size=(3, *GRID.shape)), axis=0).astype(np.float32)
    moved[1, 2, 3] = np.nan
    return moved


def test_series_are_read_by_xarray(tmp_path):
    moved = make_series()
    cube = SeriesCube(DATES, {"dx": moved}, {"dx": moved * 0 + 0.1}, GRID, {"vx": moved[0]}, {"vx": "m/day"})
    write_series(tmp_path / "series.nc", cube)
    with xarray.open_dataset(tmp_path / "series.nc", engine="h5netcdf") as file:
        np.testing.assert_array_equal(file["dx"].values, moved)
        assert file["dx"].attrs["ancillary_variables"] == "dx_error"
        assert file["vx"].attrs["units"] == "m/day"
        assert file["time"].values[2] == np.datetime64("2023-09-12T05:10:01")


def wide_cube(grid: Grid) -> SeriesCube:
    """More posts than fit one chunk."""
    dx = np.cumsum(np.random.default_rng(6).normal(size=(3, *grid.shape)), axis=0).astype(np.float32)
    dx[1, 2, 3] = np.nan
    maps = {"vx": dx[0] / 36, "pairs": np.arange(dx[0].size, dtype=np.int32).reshape(grid.shape)}
    return SeriesCube(
        DATES, {"dx": dx, "dy": -2 * dx}, {"dx": dx * 0 + 0.1, "dy": dx * 0 + 0.3}, grid, maps, {"vx": "m/day"}
    )


def test_zarr_holds_what_netcdf_holds(tmp_path):
    cube = wide_cube(Grid((70, 130), GRID.affine, GRID.crs))
    write_series(tmp_path / "series.nc", cube, software="sensetrack 9")
    write_series_zarr(tmp_path / "series.zarr", cube, software="sensetrack 9")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["series.nc", "series.zarr"]
    assert (tmp_path / "series.zarr" / ".zmetadata").is_file()
    with (
        xarray.open_zarr(tmp_path / "series.zarr", chunks=None, consolidated=True) as file,
        xarray.open_dataset(tmp_path / "series.nc", engine="h5netcdf") as other,
    ):
        assert file["dx"].encoding["chunks"] == (3, 64, 64)
        assert file["pairs"].dtype == np.int32
        assert file["dy_error"].attrs == {"long_name": "standard error of dy", "units": "m", "grid_mapping": "mapping"}
        assert file["mapping"].attrs["crs_wkt"] == other["mapping"].attrs["crs_wkt"]
        assert file["time"].values[2] == np.datetime64("2023-09-12T05:10:01")
        np.testing.assert_array_equal(file["dx"].values, cube.displacement["dx"])
        xarray.testing.assert_identical(file.load(), other.load())


def test_zarr_without_georeference(tmp_path):
    write_series_zarr(tmp_path / "series.zarr", wide_cube(Grid((3, 5))))
    with xarray.open_zarr(tmp_path / "series.zarr", chunks=None) as file:
        assert "mapping" not in file
        assert file["x"].values.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
        assert file["dx"].encoding["chunks"] == (3, 3, 5)


def test_an_older_zarr_is_replaced_as_a_whole(tmp_path):
    where = tmp_path / "series.zarr"
    write_series_zarr(where, wide_cube(Grid((70, 130), GRID.affine, GRID.crs)))
    write_series_zarr(where, SeriesCube(DATES, {"dz": make_series()}, {}, GRID))
    with xarray.open_zarr(where, chunks=None) as file:
        assert set(file.data_vars) == {"dz", "mapping"}
    assert {path.name for path in where.iterdir()} >= {"dz"}
    assert not (where / "dx").exists()
    assert list(tmp_path.iterdir()) == [where]


def test_a_zarr_that_fails_leaves_the_older_one(tmp_path, monkeypatch):
    where = tmp_path / "series.zarr"
    cube = SeriesCube(DATES, {"dx": make_series()}, {}, GRID)
    write_series_zarr(where, cube)
    rename = Path.rename

    def fail(self, target):
        if self.suffix == ".part":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OutputError, match=r"series\.zarr: cannot be written"):
        write_series_zarr(where, SeriesCube(DATES, {"dz": make_series()}, {}, GRID))
    assert list(tmp_path.iterdir()) == [where]
    with xarray.open_zarr(where, chunks=None) as file:
        assert "dx" in file


def test_zarr_replaces_nothing_else(tmp_path):
    cube = SeriesCube(DATES, {"dx": make_series()}, {}, GRID)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    (tmp_path / "file.zarr").write_text("mine")
    for name in ("notes", "file.zarr"):
        with pytest.raises(OutputError, match="no folder of Zarr"):
            write_series_zarr(tmp_path / name, cube)
    assert (tmp_path / "notes" / "mine.txt").read_text() == (tmp_path / "file.zarr").read_text() == "mine"


def test_zarr_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineNotFoundError, match=r"sensetrack\[zarr\]"):
        write_series_zarr(tmp_path / "series.zarr", wide_cube(GRID))
    assert not list(tmp_path.iterdir())


def test_mintpy_comes_back(tmp_path):
    moved = make_series()
    given = MintpySeries(
        DATES, moved, GRID, np.array([0, 30, -12], np.float32), {"ORBIT_DIRECTION": "ASCENDING"}, (2, 1)
    )
    write_mintpy(tmp_path / "timeseries.h5", given)
    back = read_mintpy(tmp_path / "timeseries.h5")
    np.testing.assert_array_equal(back.displacement, moved)
    assert back.dates.tolist() == [datetime(2023, 8, 7), datetime(2023, 8, 19), datetime(2023, 9, 12)]
    assert back.grid.same_as(GRID)
    assert back.perpendicular.tolist() == [0, 30, -12]
    assert back.reference == (2, 1)
    assert back.attributes["ORBIT_DIRECTION"] == "ASCENDING"
    with h5py.File(tmp_path / "timeseries.h5") as file:
        assert file["date"][:].tolist() == [b"20230807", b"20230819", b"20230912"]
        assert file["timeseries"].dtype == np.float32
        assert {name: file.attrs[name] for name in ("FILE_TYPE", "WIDTH", "LENGTH", "UNIT", "REF_DATE")} == {
            "FILE_TYPE": "timeseries", "WIDTH": "5", "LENGTH": "3", "UNIT": "m", "REF_DATE": "20230807",
        }  # fmt: skip
        assert (file.attrs["UTM_ZONE"], file.attrs["EPSG"], file.attrs["X_FIRST"]) == ("32N", "32632", "600000.0")


def test_mintpy_in_other_units_and_places(tmp_path):
    with h5py.File(tmp_path / "radar.h5", "w") as file:
        file["timeseries"] = np.full((2, 3, 4), 25.0, np.float32)
        file["date"] = np.array(["20230807T0510", "20230819T0511"], "S13")
        file.attrs["UNIT"] = "mm"
    back = read_mintpy(tmp_path / "radar.h5")
    assert back.displacement[0, 0, 0] == pytest.approx(0.025)
    assert back.dates[1] == np.datetime64("2023-08-19T05:11")
    assert not back.grid.georeferenced
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["velocity"] = np.zeros((3, 4))
    with pytest.raises(InputError, match="timeseries"):
        read_mintpy(tmp_path / "other.h5")


def test_mintpy_has_one_date_a_day(tmp_path):
    twice = MintpySeries(
        np.array(["2023-08-07T05", "2023-08-07T17", "2023-08-09"], "datetime64[ms]"), make_series(), GRID
    )
    with pytest.raises(InputError, match="20230807"):
        write_mintpy(tmp_path / "timeseries.h5", twice)


def test_points_as_tables(tmp_path):
    moved = make_series()
    posts = posts_near(GRID, [600_130, 600_050], [4_949_955, 4_949_999])
    assert posts.tolist() == [[2, 3], [0, 1]]
    points = points_of(GRID, posts, DATES, moved, names=["=toe", "Kopf"], velocity=moved[2], sigma=abs(moved))
    write_points_csv(tmp_path / "points.csv", points)
    with (tmp_path / "points.csv").open(encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert first["code"] == "'=toe"
    assert first["D20230819"] == ""
    assert float(second["D20230912"]) == pytest.approx(float(moved[2, 0, 1]))
    assert float(first["velocity"]) == pytest.approx(float(moved[2, 2, 3]) * 365.25, rel=1e-6)
    assert float(second["x"]) == 600_060
    write_points_gpkg(tmp_path / "points.gpkg", points)
    frame = geopandas.read_file(tmp_path / "points.gpkg", layer="timeseries")
    assert frame.crs == GRID.crs
    assert {"velocity", "D20230807", "S20230912", "code", "lon"} <= set(frame.columns)
    assert np.isnan(frame["D20230819"][0])
    assert frame.geometry[1].coords[0] == (600_060, 4_949_990)


def test_points_come_back(tmp_path):
    moved = make_series()
    given = points_of(
        GRID, [[2, 3], [0, 1]], DATES, moved, names=["toe", "Kopf"], velocity=moved[2], coherence=abs(moved[0])
    )
    write_points_csv(tmp_path / "points.csv", given)
    write_points_gpkg(tmp_path / "points.gpkg", given)
    for path, crs in ((tmp_path / "points.csv", GRID.crs), (tmp_path / "points.gpkg", None)):
        back = read_points(path, crs=crs)
        np.testing.assert_allclose(back.displacement, given.displacement, rtol=1e-6)
        np.testing.assert_allclose(back.velocity, given.velocity, rtol=1e-6)
        np.testing.assert_allclose(back.coherence, given.coherence, rtol=1e-6)
        assert (back.names, back.x.tolist(), back.y.tolist()) == (
            given.names,
            [600_140, 600_060],
            [4_949_950, 4_949_990],
        )
        assert back.dates[2] == np.datetime64("2023-09-12")
        assert back.crs == GRID.crs
    lonlat = read_points(tmp_path / "points.csv", unit="mm")
    assert lonlat.crs == "EPSG:4326"
    assert lonlat.x[0] == pytest.approx(10.2705, abs=0.01)
    np.testing.assert_allclose(lonlat.velocity, given.velocity / 1000, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lon,lat,velocity\n1,2,3\n", "dates"),
        ("a,D20230807\n1,2\n", "lon and lat"),
        ("lon,lat,D20230807\n1,2\n", "length"),
        ("lon,lat,D20230807\n1,2,many\n", "no number"),
        ("lon,lat,D20231307\n1,2,3\n", "no date"),
        ("lon,lat,D20230807\n", "no points"),
    ],
)
def test_bad_tables_are_refused(tmp_path, text, said):
    (tmp_path / "points.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        read_points(tmp_path / "points.csv")


def test_points_elsewhere_are_refused():
    lon, lat = 10.2690, 44.6950
    with pytest.raises(InputError, match="point 2"):
        posts_near(GRID, [600_130, 9], [4_949_955, 9])
    with pytest.raises(InputError, match="outside"):
        posts_near(GRID, lon + 3, lat, "EPSG:4326")
    with pytest.raises(InputError, match="name"):
        points_of(GRID, [[0, 1]], DATES, make_series(), names=["a", "b"])


def test_points_without_georeference():
    points = points_of(Grid((3, 5)), posts_near(Grid((3, 5)), 3.2, 1.9), DATES, make_series())
    assert (points.x[0], points.y[0], points.names) == (3.5, 1.5, ("p1",))
    assert "lon" not in table_of(points)
