"""From folders of pairs to series, velocities, tables and pictures, where the truth is known."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from datetime import timedelta

import geopandas
import numpy as np
import pytest
import shapely
import xarray
from affine import Affine

from sensetrack.files.raster import open_raster
from sensetrack.grid import Grid
from sensetrack.products.layers import write_layers
from sensetrack.products.pair_folders import find_pairs, open_pair_folder
from sensetrack.products.slc_layers import map_layers_of
from sensetrack.products.timeseries import read_pair_cube
from sensetrack.products.timeseries_mintpy import read_mintpy
from sensetrack.products.timeseries_points import read_points
from sensetrack.stack.motion import MotionParameters
from sensetrack.workflow.stack_config import PointParameters, StackConfig
from sensetrack.workflow.stack_inputs import grid_of, open_pairs, read_pairs
from sensetrack.workflow.stacking import run_stack, stack
from stack_folders import SHAPE, START, STEP, Scenes, write_pair

PLAIN = {"pictures": False}


def band(path, name):
    file = open_raster(path)
    return file.dataset.read(file.descriptions.index(name) + 1)


def units(path):
    file = open_raster(path)
    return dict(zip(file.descriptions, file.dataset.units, strict=True))


def truth_of(scenes):
    """Return the velocity, m/day along x and y."""
    return scenes.posts.to_map(*(rate / step for rate, step in zip(scenes.rate, STEP, strict=True)))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    made = Scenes()
    made.folder = tmp_path_factory.mktemp("pairs")
    made.write_all(made.folder)
    return made


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Pairs that are read quickly."""
    made = Scenes(count=5, reach=3, blunders=0)
    made.folder = tmp_path_factory.mktemp("few")
    made.write_all(made.folder)
    return made


@pytest.fixture(scope="module")
def stacked(scenes, tmp_path_factory):
    """Everything that can be written."""
    folder = tmp_path_factory.mktemp("stack")
    formats = "cog,netcdf,zarr,ticoi,itslive,mintpy,csv,gpkg"
    return folder, run_stack([scenes.folder], folder, StackConfig(formats=formats))


@pytest.fixture(scope="module")
def in_memory(scenes):
    return read_pairs(open_pairs([scenes.folder]), StackConfig())


# --- the straight line -------------------------------------------------------------------------------------------


def test_the_velocity_is_right_and_knows_its_error(scenes, stacked):
    folder, _ = stacked
    path = folder / "velocity.tif"
    inside = []
    # A date is displaced by 0.2 m in x (0.02 px of 10 m) and 0.4 m in y.
    for name, truth, most in zip(("vx", "vy"), truth_of(scenes), (0.004, 0.008), strict=True):
        error = band(path, name) - truth
        assert np.sqrt((error**2).mean()) < most
        inside.append((np.abs(error) < band(path, f"sigma_{name}")).mean())
    assert 0.58 < np.mean(inside) < 0.78
    speed = np.hypot(*truth_of(scenes))
    np.testing.assert_allclose(band(path, "speed"), speed, atol=0.03)
    assert units(path) == dict.fromkeys(("vx", "vy", "speed", "sigma_vx", "sigma_vy", "sigma_speed"), "m/day")
    assert open_raster(path).grid.same_as(scenes.posts)


def test_the_series_is_right(scenes, stacked):
    with xarray.open_dataset(stacked[0] / "series.nc", engine="h5netcdf") as file:
        assert file.sizes == {"time": 9, "y": SHAPE[0], "x": SHAPE[1]}
        assert file["dx"].attrs["units"] == "m"
        assert file["vy"].attrs["units"] == "m/day"
        days = (file["time"].values - file["time"].values[0]) / np.timedelta64(1, "D")
        assert list(days) == [0, 12, 24, 48, 60, 72, 84, 96, 108]  # one is missing
        for name, truth in zip(("dx", "dy"), truth_of(scenes), strict=True):
            error = (file[name].values - days[:, None, None] * truth)[1:]
            sigma = file[f"{name}_error"].values[1:]
            assert 0.5 < (np.abs(error) < sigma).mean() < 0.85
            assert np.nanquantile(np.abs(error), 0.99) < 2.5  # blunders are 10 to 120 m


def test_every_format_comes_back_through_its_reader(scenes, stacked):
    folder, record = stacked
    vx = band(folder / "velocity.tif", "vx")
    for name in ("pairs.nc", "itslive.nc"):
        cube = read_pair_cube(folder / name)
        assert cube.dx.shape == (record["statistics"]["pairs"], *SHAPE)
        assert cube.grid.same_as(scenes.posts)
        assert np.nanmedian(cube.sigma_dy) == pytest.approx(0.03 * 20, rel=0.01)
    series = {name: read_mintpy(folder / f"timeseries_{name}.h5") for name in ("dx", "dy")}
    last = series["dx"].displacement[-1] / 108
    assert np.nanquantile(np.abs(last - vx), 0.99) < 0.02
    with xarray.open_zarr(folder / "series.zarr") as file:
        np.testing.assert_array_equal(file["vx"].values, vx)
        np.testing.assert_array_equal(file["dy"].values, series["dy"].displacement)
    for name in ("dx", "dy"):
        for suffix in ("csv", "gpkg"):
            points = read_points(folder / f"points_{name}.{suffix}")
            assert points.names == tuple(one["name"] for one in record["points"])
            for k, one in enumerate(record["points"]):
                np.testing.assert_allclose(points.displacement[k], series[name].displacement[:, one["row"], one["col"]])
                assert points.velocity[k] == pytest.approx(one[f"v{name[1]}"])


def test_points_are_chosen_where_something_is_to_be_seen(scenes, stacked):
    points = stacked[1]["points"]
    assert [one["name"] for one in points] == ["moving 1", "moving 2", "moving 3", "still"]
    speed = np.hypot(*truth_of(scenes))
    assert points[0]["speed"] > 0.95 * speed.max()
    assert points[-1]["col"] < 5
    assert points[-1]["above"] == []
    assert points[0]["above"] == ["attention", "pre-alarm", "alarm"]
    places = np.array([(one["row"], one["col"]) for one in points])
    apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    assert apart[~np.eye(4, dtype=bool)].min() >= 0.2 * np.hypot(*SHAPE)


def test_tables_of_early_warning(stacked):
    folder, record = stacked
    with (folder / "warning.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    first = rows[2]
    assert (first["point"], first["limit"], first["now"]) == ("moving 1", "alarm", "yes")
    assert first["certain_since"] == "2023-03-19T10:20:31Z"
    with (folder / "inverse_velocity.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 8
    fast = [row for row in rows if row["point"] == "moving 1"]
    for row in fast:
        assert float(row["inverse_days_per_m"]) == pytest.approx(1 / float(row["speed_m_per_day"]), rel=1e-5)
        assert float(row["inverse_low"]) < float(row["inverse_days_per_m"]) < float(row["inverse_high"])
    assert float(fast[3]["inverse_days_per_m"]) == pytest.approx(1 / record["points"][0]["speed"], rel=0.05)
    assert {row["inverse_high"] for row in rows if row["point"] == "still"} == {"inf"}


def test_the_record_says_what_was_done(scenes, stacked):
    folder, record = stacked
    assert json.loads((folder / "stack.json").read_text()) == json.loads(json.dumps(record))
    assert record["unit"] == "m"
    assert len(record["pairs"]) == len(scenes.pairs())
    one = record["pairs"][0]
    assert (one["name"], one["days"], one["left_out"], one["why"]) == ("20230307-20230319", 12.0, False, None)
    assert one["scenes"] == ["scene_20230307.tif", "scene_20230319.tif"]
    # 0.02 px of images is 0.2 m in x and 0.4 m in y; 0.03 px of pairs closes to root 3 times that.
    assert record["image_noise"]["dx"] == pytest.approx(0.2, rel=0.15)
    assert record["image_noise"]["dy"] == pytest.approx(0.4, rel=0.15)
    assert record["closure"]["dx"]["nmad"] == pytest.approx(0.3 * np.sqrt(3), rel=0.25)
    again = StackConfig.from_file(folder / "stack.json", formats="cog")
    assert again.formats == ("cog",)
    assert again.motion == MotionParameters()


def test_quality_and_styles_and_pictures(stacked):
    folder, _ = stacked
    path = folder / "quality.tif"
    pairs, spare, parts = (band(path, name) for name in ("pairs", "spare", "subnetworks"))
    assert (pairs >= 15).all()
    assert (spare >= pairs - 8).all()  # fewer are needed where a date has none
    assert (spare == pairs - 8).mean() > 0.95
    assert (parts == 1).mean() > 0.99
    coherence = band(path, "coherence")
    assert coherence[:, 6:].min() > 0.95
    assert np.median(coherence[:, :5]) < 0.6  # still ground moves about
    assert band(path, "closure_dx").min() > 0
    names = {one.name for one in folder.iterdir()}
    assert {"velocity.qml", "quality.qml", "network.png", "velocity.png", "warning.png"} <= names
    assert {f"{what}_{k}.png" for what in ("series", "inverse_velocity") for k in (1, 2, 3, 4)} <= names
    assert not any(name.startswith(".") for name in names)


def test_the_number_of_workers_changes_nothing_and_inputs_stay(few, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in few.folder.rglob("*")}
    for workers in (1, 3):
        run_stack([few.folder], tmp_path / str(workers), StackConfig(**PLAIN), workers=workers)
    for name in ("velocity.tif", "quality.tif", "series.nc", "points_dx.csv"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()
    assert {path: path.stat().st_mtime_ns for path in few.folder.rglob("*")} == before


# --- what pairs can be like --------------------------------------------------------------------------------------


def test_pairs_without_georeference_stay_in_pixels(tmp_path):
    scenes = Scenes(affine=None, crs=None, count=7, reach=2, blunders=0)
    scenes.write_all(tmp_path / "pairs")
    record = run_stack([tmp_path / "pairs"], tmp_path / "out", StackConfig(points="rock: 12.5, 3.5"))
    assert record["points"][0]["col"] == 12
    path = tmp_path / "out" / "velocity.tif"
    for name, truth in zip(("v_row", "v_col"), scenes.rate, strict=True):
        assert np.sqrt(((band(path, name) - truth) ** 2).mean()) < 8e-4
    assert set(units(path).values()) == {"px/day"}
    assert record["components"] == ["d_row", "d_col"]
    assert not (tmp_path / "out" / "warning.csv").exists()  # limits are in metres
    with xarray.open_dataset(tmp_path / "out" / "series.nc", engine="h5netcdf") as file:
        assert file["d_row"].attrs == {
            "long_name": "displacement d_row since the first date", "units": "px", "ancillary_variables": "d_row_error"
        }  # fmt: skip
        assert np.nanmax(np.abs(file["d_col"].values[-1] / 84 - scenes.rate[1])) < 2e-3
    assert (tmp_path / "out" / "velocity.png").exists()
    assert (tmp_path / "out" / "points_d_col.csv").exists()


def test_pairs_of_slcs(tmp_path):
    scenes = Scenes(count=5, reach=2, blunders=0)
    rng = np.random.default_rng(1)
    for i, j in scenes.pairs():
        field = scenes.field(i, j)
        moved = field.to_displacement()
        days = (scenes.dates[j] - scenes.dates[i]) / timedelta(days=1)
        layers = {name: getattr(moved, name) for name in ("dx", "dy", "sigma_dx", "sigma_dy")}
        layers |= {name: rng.random(SHAPE).astype(np.float32) for name in ("score", "coherent", "incidence")}
        layers |= dict.fromkeys(("slant_range", "along_track", "snr", "peak_ratio"), layers["dx"])
        folder = tmp_path / "pairs" / f"{i}-{j}"
        folder.mkdir(parents=True)
        write_layers(folder, map_layers_of(layers, field.flags, days), field, {})
        acquired = [scenes.dates[k].replace(tzinfo=None).isoformat() for k in (i, j)]  # as `slc` writes them
        about = {
            "acquired": acquired,
            "inputs": [{"path": "a.SAFE"}, {"path": "b.SAFE"}],
            "grid": {"crs": "EPSG:32632"},
        }
        (folder / "run.json").write_text(json.dumps(about | {"configuration": {"chip": [64, 256], "step": [8, 44]}}))
    assert open_pair_folder(folder).support == (8, 5)
    run_stack([tmp_path], tmp_path / "out", StackConfig(**PLAIN))
    for name, truth in zip(("vx", "vy"), truth_of(scenes), strict=True):
        error = band(tmp_path / "out" / "velocity.tif", name) - truth
        assert np.sqrt((error**2).mean()) < 0.015


def test_pairs_on_other_grids_and_in_another_crs(tmp_path):
    scenes = Scenes(count=4, reach=3, blunders=0)
    pairs = scenes.pairs()
    field = scenes.field(*pairs[2])
    # Cut by whole posts, and one in the next UTM zone with smaller posts.
    cut = replace(
        field, **{name: getattr(field, name)[2:, :17] for name in ("d_row", "d_col", "flags", "covariance")},
        grid=field.grid.crop(slice(2, 13), slice(0, 17)),
    )  # fmt: skip
    for number, (i, j) in enumerate(pairs):
        if number != 5:
            scenes.write(tmp_path / "pairs", i, j, cut if number == 2 else None)
    i, j = pairs[5]
    days = (scenes.dates[j] - scenes.dates[i]) / timedelta(days=1)
    write_in_zone_33(scenes, tmp_path / "pairs", i, j, days)
    opened = open_pairs([tmp_path])
    assert grid_of(opened, StackConfig()).shape > SHAPE  # all of the larger one is kept
    found = read_pairs(opened, StackConfig(bounds=scenes.posts.bounds))
    assert found.grid.same_as(scenes.posts)
    at = [(one.dates[0], one.dates[1]) for one in opened]
    where_cut = at.index((scenes.dates[pairs[2][0]], scenes.dates[pairs[2][1]]))
    assert np.isnan(found.moved[0][where_cut][:2]).all()
    assert np.isnan(found.moved[0][where_cut][:, 17:]).all()
    turned = at.index((scenes.dates[i], scenes.dates[j]))
    assert np.isfinite(found.moved[0][turned]).mean() > 0.8
    for values, truth in zip(found.moved, truth_of(scenes), strict=True):
        error = values[turned] - truth * days
        # The edge between still and moving ground is mixed.
        edge = np.zeros(SHAPE, bool)
        edge[:, 3:7] = True
        assert np.nanmax(np.abs(error[~edge])) < 0.02


def write_in_zone_33(scenes, folder, i, j, days):
    """Write a pair without noise on a grid of zone 33, on which the motion has another direction."""
    import pyproj

    to_33 = pyproj.Transformer.from_crs(32632, 32633, always_xy=True)
    x, y = to_33.transform(*scenes.posts.xy(*np.indices(SHAPE)))
    posts = Grid((40, 60), Affine(60, 0, x.min() - 300, 0, -70, y.max() + 300), "EPSG:32633")
    px, py = pyproj.Transformer.from_crs(32633, 32632, always_xy=True).transform(*posts.xy(*np.indices(posts.shape)))
    col, row = (
        (px - scenes.posts.affine.c) / scenes.posts.affine.a,
        (py - scenes.posts.affine.f) / scenes.posts.affine.e,
    )
    k, m = row - 0.5, col - 0.5
    grow = np.where(m < 4.5, 0.0, 1 + 0.5 * k / SHAPE[0] + 0.25 * m / SHAPE[1])
    rate = 5 / 60 * 10 * grow, -3 / 60 * 20 * grow  # m of zone 32 per day
    ends = to_33.transform(px + rate[0] * days, py + rate[1] * days)
    begins = to_33.transform(px, py)
    # On the grid of the zone, then on the ground: what `track` would have measured there.
    d_col, d_row = (ends[0] - begins[0]) / 60 * 4, (ends[1] - begins[1]) / -70 * 7
    like = scenes.field(i, j)
    covariance = np.full((*posts.shape, 3), 1e-4, np.float32)
    flags = np.zeros(posts.shape, np.uint16)
    field = replace(
        like, d_row=d_row.astype(np.float32), d_col=d_col.astype(np.float32), flags=flags, grid=posts, step=(7, 4),
        covariance=covariance,
    )  # fmt: skip
    return write_pair(folder, field, scenes.dates[i], scenes.dates[j])


def test_the_output_may_be_in_another_crs(few, tmp_path):
    config = StackConfig(crs="EPSG:3413", posting=150, formats="cog,netcdf,mintpy", **PLAIN)
    record = run_stack([few.folder], tmp_path, config)
    assert record["grid"]["crs"] == "EPSG:3413"
    speed = band(tmp_path / "velocity.tif", "speed")
    assert np.nanmax(speed) == pytest.approx(np.hypot(*truth_of(few)).max(), rel=0.03)
    # Ground metres: those of the map are 1.13 times as many here.
    vx, vy = (band(tmp_path / "velocity.tif", name) for name in ("vx", "vy"))
    angle = np.degrees(np.arctan2(vy, vx))[np.isfinite(speed) & (speed > 1)]
    start = np.degrees(np.arctan2(-1.0, 5 / 6))
    # Along 45 W is -y: 55.3 degrees of longitude from here, less what the UTM grid is turned by.
    assert np.median(angle) - start == pytest.approx(55.3 - 0.94, abs=0.1)


def test_a_poor_pair_is_left_out_and_named(tmp_path):
    scenes = Scenes(count=6, reach=3, blunders=0.01)
    rng = np.random.default_rng(3)
    cloudy, wrong = (1, 3), (2, 4)
    for i, j in scenes.pairs():
        field = scenes.field(i, j)
        if (i, j) == cloudy:
            field = replace(field, flags=np.where(rng.random(SHAPE) < 0.75, 8, 0).astype(np.uint16))
        if (i, j) == wrong:
            d_row, d_col = rng.normal(0, 4, (2, *SHAPE)).astype(np.float32)
            field = replace(field, d_row=d_row, d_col=d_col)
        scenes.write(tmp_path / "pairs", i, j, field)
    record = run_stack([tmp_path], tmp_path / "stack", StackConfig(formats="cog", **PLAIN))
    out = {one["name"]: one["why"] for one in record["pairs"] if one["left_out"]}
    names = [f"{scenes.dates[i]:%Y%m%d}-{scenes.dates[j]:%Y%m%d}" for i, j in (cloudy, wrong)]
    assert sorted(out) == sorted(names)
    assert "% of the posts, the best pairs at" in out[names[0]]
    assert record["statistics"]["pairs_left_out"] == 2
    kept = run_stack([tmp_path], tmp_path / "all", StackConfig(formats="cog", drop_poor=False, **PLAIN))
    assert kept["statistics"]["pairs_left_out"] == 0
    error = band(tmp_path / "stack" / "velocity.tif", "vx") - truth_of(scenes)[0]
    assert np.quantile(np.abs(error), 0.95) < 0.02


def test_a_date_without_a_good_pair_is_named(tmp_path):
    scenes = Scenes(count=5, reach=3, blunders=0)
    for i, j in scenes.pairs():
        field = scenes.field(i, j)
        if 2 in (i, j):  # in cloud
            field = replace(field, flags=np.where(np.indices(SHAPE)[1] > 1, 8, 0).astype(np.uint16))
        scenes.write(tmp_path / "pairs", i, j, field)
    record = run_stack([tmp_path], tmp_path / "out", StackConfig(formats="netcdf", **PLAIN))
    assert record["statistics"]["dates_without_pairs"] == ["2023-03-31"]
    assert record["statistics"]["pairs_left_out"] == 4
    with xarray.open_dataset(tmp_path / "out" / "series.nc", engine="h5netcdf") as file:
        assert np.isnan(file["dx"].values[2]).all()
        assert np.isfinite(file["dx"].values[3]).mean() > 0.9


def test_a_chain_of_pairs_that_nothing_checks_is_used_all_the_same(tmp_path):
    scenes = Scenes(count=5, reach=1, blunders=0, holes=0)
    scenes.write_all(tmp_path / "pairs")
    record = run_stack([tmp_path], tmp_path / "out", StackConfig(formats="cog", **PLAIN))
    assert record["statistics"]["pairs_left_out"] == 0
    assert (band(tmp_path / "out" / "quality.tif", "spare") == 0).all()
    error = band(tmp_path / "out" / "velocity.tif", "vx") - truth_of(scenes)[0]
    assert np.sqrt((error**2).mean()) < 0.02


def test_a_single_pair_has_a_velocity(tmp_path):
    scenes = Scenes(count=2, missing=9, blunders=0, holes=0)
    folder = scenes.write(tmp_path, 0, 1)
    record = run_stack([folder], tmp_path / "out", StackConfig(points="601500,5098500"))
    assert record["statistics"]["dates"] == 2
    (said,) = record["warnings"]
    assert said.startswith("the noise that the pairs of an image share is not known, and taken as 0: no post has more")
    error = band(tmp_path / "out" / "velocity.tif", "vx") - truth_of(scenes)[0]
    assert np.sqrt((error**2).mean()) < 0.05
    assert band(tmp_path / "out" / "velocity.tif", "sigma_vx").mean() == pytest.approx(0.3 / 12, rel=0.05)


def test_pairs_without_standard_errors_get_one_from_how_they_close(tmp_path):
    scenes = Scenes(count=6, reach=3, blunders=0.01)
    for i, j in scenes.pairs():
        scenes.write(tmp_path / "pairs", i, j, replace(scenes.field(i, j), covariance=None))
    run_stack([tmp_path], tmp_path / "out", StackConfig(**PLAIN))
    for name, truth in zip(("vx", "vy"), truth_of(scenes), strict=True):
        error = band(tmp_path / "out" / "velocity.tif", name) - truth
        inside = (np.abs(error) < band(tmp_path / "out" / "velocity.tif", f"sigma_{name}")).mean()
        assert 0.5 < inside < 0.85


def test_products_of_one_pass_are_one_date(tmp_path):
    scenes = Scenes(count=4, reach=3, missing=9)
    for number, (i, j) in enumerate(scenes.pairs()):
        late = timedelta(seconds=7 * number)  # the products of a pass say different times
        write_pair(tmp_path / "pairs", scenes.field(i, j), scenes.dates[i] + late, scenes.dates[j] - late)
    record = run_stack([tmp_path], tmp_path / "out", StackConfig(**PLAIN))
    assert record["statistics"]["dates"] == 4
    assert record["dates"][0] == START.isoformat()[:19]


# --- settings ----------------------------------------------------------------------------------------------------


def test_a_season_and_an_acceleration_are_told(tmp_path):
    scenes = Scenes(count=18, days=24, reach=1, missing=7, holes=0, image=0.01, pair=0.01, blunders=0)
    for moment, shown in zip(scenes.dates, scenes.shown, strict=True):
        day = (moment.replace(tzinfo=None) - moment.replace(tzinfo=None, month=1, day=1, year=2023)) / timedelta(days=1)
        shown[0] += 0.5 * np.cos(2 * np.pi * (day - 60) / 365.25)  # largest down the rows on day 60
        shown[1] += 0.3 * np.cos(2 * np.pi * (day - 200) / 365.25)
    scenes.write_all(tmp_path / "pairs")
    config = StackConfig(motion={"seasonal": True, "acceleration": True}, formats="cog,netcdf", **PLAIN)
    run_stack([tmp_path], tmp_path / "out", config)
    path = tmp_path / "out" / "motion.tif"
    assert np.median(band(path, "amplitude_dx")) == pytest.approx(3.0, abs=0.1)
    assert np.median(band(path, "peak_day_dx")) == pytest.approx(200, abs=3)
    assert np.median(band(path, "amplitude_dy")) == pytest.approx(10.0, abs=0.2)
    assert np.median(band(path, "peak_day_dy")) == pytest.approx((60 + 365.25 / 2), abs=3)
    assert np.abs(band(path, "acceleration_dx")).max() < 2e-3
    for name, truth in (
        ("amplitude_dx", 3.0),
        ("peak_day_dx", 200.0),
        ("amplitude_dy", 10.0),
        ("acceleration_dy", 0.0),
    ):
        inside = np.abs(band(path, name) - truth) < band(path, f"sigma_{name}")
        assert 0.5 < inside.mean() < 0.85, name
    assert units(path)["acceleration_dy"] == "m/day^2"
    assert units(path)["sigma_peak_day_dx"] == "days"


def test_stable_ground_is_brought_to_rest(tmp_path):
    scenes = Scenes(count=5, reach=2, blunders=0)
    rng = np.random.default_rng(8)
    shifts = {}
    for i, j in scenes.pairs():
        field, (down, right) = scenes.field(i, j), rng.normal(0, 2, 2)
        shifts[f"{scenes.dates[i]:%Y%m%d}-{scenes.dates[j]:%Y%m%d}"] = right * 10, -down * 20
        field = replace(field, d_row=field.d_row + np.float32(down), d_col=field.d_col + np.float32(right))
        scenes.write(tmp_path / "pairs", i, j, field)
    x, y = scenes.posts.xy(*np.indices(SHAPE))
    still = shapely.box(x.min() - 90, y.min() - 90, x[0, 4] + 50, y.max() + 90)
    frame = geopandas.GeoDataFrame(geometry=[still], crs=scenes.crs)
    frame.to_file(tmp_path / "still.gpkg", engine="pyogrio")
    config = StackConfig(stable_ground=str(tmp_path / "still.gpkg"), formats="cog,mintpy", **PLAIN)
    record = run_stack([tmp_path / "pairs"], tmp_path / "out", config)
    for one in record["pairs"]:
        np.testing.assert_allclose(one["removed"], shifts[one["name"]], atol=0.9)
    for name, truth in zip(("vx", "vy"), truth_of(scenes), strict=True):
        error = band(tmp_path / "out" / "velocity.tif", name) - truth
        assert np.sqrt((error**2).mean()) < 0.02
    _, col = read_mintpy(tmp_path / "out" / "timeseries_dx.h5").reference
    assert col < 5


def test_points_from_a_file_and_from_a_list(few, tmp_path):
    import pyproj

    x, y = few.posts.xy(3.2, 11.9)
    lon, lat = pyproj.Transformer.from_crs(32632, 4326, always_xy=True).transform(x, y)
    (tmp_path / "p.csv").write_text(f"name,lon,lat\n=bridge,{lon:.9f},{lat:.9f}\n")
    config = StackConfig(points=str(tmp_path / "p.csv"), formats="csv", **PLAIN)
    record = run_stack([few.folder], tmp_path / "a", config)
    assert [(one["name"], one["row"], one["col"]) for one in record["points"]] == [("=bridge", 3, 12)]
    config = StackConfig(points=f"bridge: {float(x)}, {float(y)}; 600400, 5099000", formats="csv", **PLAIN)
    assert config.points == (
        PointParameters("bridge", float(x), float(y)), PointParameters("p2", 600400, 5099000)
    )  # fmt: skip
    record = run_stack([few.folder], tmp_path / "b", config)
    assert [(one["name"], one["row"], one["col"]) for one in record["points"]] == [("bridge", 3, 12), ("p2", 4, 2)]
    assert (tmp_path / "a" / "points_dx.csv").read_text().splitlines()[1].startswith("'=bridge,")


def test_bounds_cut_what_is_stacked(few, stacked, tmp_path):
    x, y = few.posts.xy(np.array([9, 4]), np.array([6, 15]))
    box = tuple(float(one) for one in (x[0] - 1, y[0] - 1, x[1] + 1, y[1] + 1))
    run_stack([few.folder], tmp_path, StackConfig(bounds=box, image_noise=0.2, formats="cog", **PLAIN))
    run_stack([few.folder], tmp_path / "all", StackConfig(image_noise=0.2, formats="cog", **PLAIN))
    part = band(tmp_path / "velocity.tif", "vx")
    np.testing.assert_array_equal(part, band(tmp_path / "all" / "velocity.tif", "vx")[4:10, 6:16])


@pytest.mark.parametrize("noise", ["none", "per_date", 0.5])
def test_the_noise_of_images_can_be_chosen(in_memory, noise):
    result = stack(in_memory, StackConfig(image_noise=noise))
    found = result.components[0].image_sigma
    assert found.shape == (9,)
    if noise == "per_date":
        assert np.median(found) == pytest.approx(0.2, rel=0.3)
        assert np.ptp(found) > 0
    else:
        assert (found == (0.0 if noise == "none" else 0.5)).all()
    sigma = np.median(result.velocity_sigma[0])
    usual = {"none": (0, 0.0022), "per_date": (0.0018, 0.0035), 0.5: (0.004, 0.01)}[noise]
    assert usual[0] < sigma < usual[1]


def test_folders_may_be_given_one_by_one_or_as_a_study(scenes, tmp_path):
    some = sorted(scenes.folder.iterdir())
    assert find_pairs([scenes.folder]) == some
    assert find_pairs([some[1], some[0], some[1]]) == [some[1], some[0]]
    study = tmp_path / "study"
    (study / "pairs" / "failed").mkdir(parents=True)  # has no record
    (study / "pairs" / some[0].name).symlink_to(some[0])
    assert [path.name for path in find_pairs([study])] == [some[0].name]


def test_the_pure_middle_touches_no_array(scenes, in_memory):
    pairs = in_memory
    before = [one.copy() for one in (*pairs.moved, *pairs.sigma)]
    seen = []
    result = stack(pairs, StackConfig(inversion={"smooth": 1, "roughness": 0.01}),
                   advance=lambda *done: seen.append(done))  # fmt: skip
    for old, new in zip(before, (*pairs.moved, *pairs.sigma), strict=True):
        np.testing.assert_array_equal(old, new)
    assert seen[-1][0] == seen[-1][1] > 0
    error = result.velocity[1] - truth_of(scenes)[1]
    assert np.sqrt((error**2).mean()) < 0.008
