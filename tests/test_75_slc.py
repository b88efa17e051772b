"""`sensetrack slc`: two products in, what moved out: in metres, in both geometries, resumable, never half done."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pyproj
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

import slc_pairs
from conftest import read_tif
from sensetrack.files.isce import read_dense_offsets
from sensetrack.products.slc_layers import SLC_FILES
from sensetrack.sar.geometry import geo2rdr, ground_axes, look_vector
from sensetrack.sentinel.s1 import open_sentinel1
from sensetrack.workflow import slc_bursts, slc_unpacked
from sensetrack.workflow.slc import run_slc, slc
from sensetrack.workflow.slc_config import SlcConfig

WINDOWS = ("--chip", "32x80", "--step", "12x40", "--search", "4x9")
DAYS = 12.0
YEAR = 365.25


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    """Two bursts of two swaths: all of the ground moved 16 m east, 11 m south."""
    return slc_pairs.pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def result(products, tmp_path_factory):
    """What the command made of them."""
    from sensetrack.cli import run

    out = tmp_path_factory.mktemp("result") / "out"
    reference, secondary, dem = map(str, products)
    assert run(["slc", reference, secondary, "-o", str(out), "--dem", dem, *WINDOWS, "--isce-layout", "--quiet"]) == 0
    return out


def record_of(folder):
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def bands(path):
    """Bands by name, tags, and where and in which units they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            about = SimpleNamespace(
                crs=file.crs, units=file.units, transform=file.transform, shape=file.shape, nodata=file.nodata
            )
            return dict(zip(file.descriptions, file.read(), strict=True)), file.tags(), about


def rasters(folder):
    return {
        path.relative_to(folder).as_posix(): read_tif(path, band)
        for path in sorted(folder.rglob("*.tif"))
        for band in (1, 2)
        if band == 1 or path.name != "flags.tif" or path.parent.name == "radar"
    }


def assert_same(one, other):
    found, expected = rasters(one), rasters(other)
    assert found.keys() == expected.keys()
    for name, values in found.items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def test_the_motion_is_read_in_metres_east_and_north(result):
    found, tags, file = bands(result / "displacement.tif")
    assert (file.crs.to_epsg(), file.units) == (32632, ("m", "m", "m"))
    known = np.isfinite(found["dx"])
    assert known.sum() > 60
    # UTM: north of the map is 0.72 degrees to the west of north.
    turn = np.radians(pyproj.Proj("EPSG:32632").get_factors(*slc_pairs.PLACE).meridian_convergence)
    east, north, _ = slc_pairs.MOTION
    expected = east * np.cos(turn) - north * np.sin(turn), east * np.sin(turn) + north * np.cos(turn)
    for name, value, within in (("dx", expected[0], 0.03), ("dy", expected[1], 0.06)):
        assert np.median(found[name][known]) == pytest.approx(value, abs=within)
    np.testing.assert_allclose(found["magnitude"], np.hypot(found["dx"], found["dy"]), rtol=1e-5)
    assert "stays at its height" in tags["ASSUMPTION"]
    assert (tags["DT_DAYS"], tags["ORBITS"], tags["DEM"]) == ("12", "auxiliary (annotation)", "dem.tif (ellipsoid)")


def test_what_is_not_measured_is_missing_and_never_zero(result):
    flags = read_tif(result / "flags.tif")
    assert 0 < (flags == 0).mean() < 1
    for name in ("displacement", "velocity"):
        found, _, file = bands(result / f"{name}.tif")
        assert np.isnan(file.nodata)
        for values in found.values():
            np.testing.assert_array_equal(np.isfinite(values), flags == 0)
            assert not (values == 0).any()


def test_velocity_is_displacement_over_time_by_day_and_by_year(result):
    moved, _, _ = bands(result / "displacement.tif")
    found, _, file = bands(result / "velocity.tif")
    assert file.units == ("m/day",) * 3 + ("m/yr",) * 3
    for name, source in (("vx", "dx"), ("vy", "dy"), ("speed", "magnitude")):
        np.testing.assert_allclose(found[name], moved[source] / DAYS, rtol=1e-5)
        np.testing.assert_allclose(found[f"{name}_year"], moved[source] / DAYS * YEAR, rtol=1e-5)


def test_posts_of_the_radar_image_say_where_they_are(products, result):
    place, tags, file = bands(result / "radar" / "place.tif")
    assert file.crs is None
    geometry, _, _ = bands(result / "radar" / "geometry.tif")
    frame = json.loads(tags["FRAME"])
    (first_line, by_line), (first_sample, by_sample) = json.loads(tags["LINES"]), json.loads(tags["SAMPLES"])
    assert (by_line, by_sample) == (12, 40)
    grid = open_sentinel1(products[0]).swaths["iw1/vv"].radar_grid
    seen = geo2rdr(grid, np.radians(place["lon"]), np.radians(place["lat"]), geometry["height"])
    row, col = np.indices(place["lon"].shape)
    line = (seen.time - frame["first_time"]) / frame["line_interval"]
    sample = (seen.slant_range - frame["near_range"]) / frame["range_spacing"]
    # Heights are written in single precision.
    assert np.abs(line - first_line - by_line * row).max() < 1e-3
    assert np.abs(sample - first_sample - by_sample * col).max() < 1e-3
    assert 25 < np.median(geometry["incidence"]) < 40
    assert 185 < np.median(geometry["heading"]) % 360 < 200, "descending: to the south, a little to the west"


def test_the_two_measured_directions_have_their_signs(products, result):
    found, tags, _ = bands(result / "radar" / "displacement.tif")
    grid = open_sentinel1(products[0]).swaths["iw1/vv"].radar_grid
    east, north, _ = slc_pairs.MOTION
    lon, lat = np.radians(slc_pairs.PLACE)
    away = float(look_vector(grid, lon, lat, slc_pairs.HEIGHT) @ np.array(slc_pairs.MOTION))
    # Along the flight and away from it are not quite square to each other on the ground.
    axes = ground_axes(grid, lon, lat, slc_pairs.HEIGHT)
    sides = [[axes.azimuth_east, axes.range_east], [axes.azimuth_north, axes.range_north]]
    along, _ = np.linalg.solve(np.array(sides, float), [east, north])
    good = bands(result / "radar" / "flags.tif")[0]["flags"] == 0
    assert np.median(found["slant_range"][good]) == pytest.approx(away, abs=0.04)
    assert np.median(found["along_track"][good]) == pytest.approx(along, abs=0.06)
    assert away < -5, "to the east is towards a satellite in the east"
    assert along > 5
    assert "away from the radar" in tags["SIGNS"]
    offsets, _, _ = bands(result / "radar" / "offsets.tif")
    np.testing.assert_allclose(found["slant_range"], offsets["d_col"] * grid.range_spacing, rtol=1e-5)


def test_the_record_says_everything(products, result):
    record = record_of(result)
    assert [burst["swath"] for burst in record["bursts"]] == ["iw1/vv"] * 2 + ["iw2/vv"] * 2
    assert [burst["burst"] for burst in record["bursts"]] == [[1, 1], [2, 2]] * 2
    assert not any(burst["resumed"] for burst in record["bursts"])
    assert [item["path"] for item in record["inputs"]] == list(map(str, products))
    assert {len(item["sha256"]) for item in record["inputs"]} == {64}
    assert (record["dt_days"], record["assumption"], record["bias"]) == (DAYS, "level", None)
    assert record["statistics"]["good_share"] > 0.7
    assert record["configuration"]["chip"] == [32, 80]
    assert SlcConfig.from_file(result / "run.json").to_dict() == record["configuration"]


def test_only_what_is_announced_is_written(result):
    written = sorted(path.relative_to(result).as_posix() for path in result.rglob("*") if path.is_file())
    assert written == sorted(SLC_FILES)


def test_isce_reads_what_was_measured(result):
    found = read_dense_offsets(result / "isce")
    offsets, _, _ = bands(result / "radar" / "offsets.tif")
    for name in ("d_row", "d_col"):
        np.testing.assert_array_equal(getattr(found, name), offsets[name])
    on_map = read_dense_offsets(result / "isce", geo=True)
    lon, lat = on_map.geo @ (on_map.d_row.shape[1] / 2, on_map.d_row.shape[0] / 2)
    assert abs(lon - slc_pairs.PLACE[0]) < 0.05
    assert abs(lat - slc_pairs.PLACE[1]) < 0.05
    assert np.nanmedian(on_map.d_col) == pytest.approx(np.nanmedian(found.d_col), abs=0.05)
    assert not (on_map.d_row == 0).any()


def spied(method, calls):
    def call(self, *arguments):
        calls.append(arguments)
        return method(self, *arguments)

    return call


def test_the_same_from_its_record_from_zips_and_with_one_worker(products, result, tmp_path, cli, monkeypatch):
    out = tmp_path / "out"
    assert cli("slc", *products[:2], "-o", out, "--config", result / "run.json", "--workers", 1).code == 0
    assert_same(out, result)
    zips = []
    for product in products[:2]:
        text = shutil.make_archive(str(tmp_path / product.name), "zip", product.parent, product.name)
        zips.append(text)
    read = []
    monkeypatch.setattr(slc_unpacked.Unpacked, "read", spied(slc_unpacked.Unpacked.read, read))
    again = cli("slc", *zips, "-o", out, "--config", result / "run.json", "--overwrite", "--json", "--quiet")
    assert again.code == 0, again.err
    assert_same(out, result)
    assert json.loads(again.out)["inputs"][0]["path"] == zips[0]
    assert read, "bursts are unpacked"
    assert not any(path.name.startswith((".", "iw")) for path in out.iterdir()), "and gone again"


def test_what_an_older_run_wrote_goes_with_it(result, products, tmp_path, cli):
    out = tmp_path / "out"
    shutil.copytree(result, out)
    (out / "radar" / "mine.txt").write_text("mine", encoding="utf-8")
    (out / "isce" / "dense_offsets.bil").write_bytes(b"old")
    arguments = ("slc", *products[:2], "-o", out, "--dem", products[2], *WINDOWS)
    assert cli(*arguments).code == 2
    assert cli(*arguments, "--overwrite", "--swaths", "iw1").code == 0
    assert not (out / "isce").exists(), "would be taken for a part of this product"
    assert (out / "radar" / "mine.txt").exists()
    assert len(record_of(out)["bursts"]) == 2


def test_the_earlier_scene_may_be_the_second(products, result, tmp_path, cli):
    reference, secondary, dem = products
    back = cli("slc", secondary, reference, "-o", tmp_path / "out", "--dem", dem, *WINDOWS)
    assert back.code == 0, back.err
    record = record_of(tmp_path / "out")
    assert record["dt_days"] == -DAYS
    assert any("was taken 12.00 days before the reference" in text for text in record["warnings"])
    assert "was taken 12.00 days before the reference" in back.err
    for name, sign in (("displacement", -1), ("velocity", 1)):
        there, here = bands(result / f"{name}.tif")[0], bands(tmp_path / "out" / f"{name}.tif")[0]
        for band in list(there)[:2]:
            assert np.nanmedian(here[band]) == pytest.approx(sign * np.nanmedian(there[band]), abs=0.05)
    assert np.nanmin(bands(tmp_path / "out" / "velocity.tif")[0]["speed"]) > 0


@pytest.fixture
def stopped(monkeypatch):
    """Make `measure` stop at its n-th call, and count the calls."""
    calls = []
    real = slc_bursts.measure

    def at(number, error=KeyboardInterrupt):
        calls.clear()

        def measure(*arguments, **options):
            calls.append(options["start"])
            if len(calls) == number:
                raise error
            return real(*arguments, **options)

        monkeypatch.setattr(slc_bursts, "measure", measure)
        return calls

    return at


def interrupted(cli, *arguments):
    """Tell whether a command ends as after Ctrl-C."""
    try:
        return cli(*arguments).code == 130
    except SystemExit as ended:
        return ended.code == 130


def hidden(out):
    return [path.name for path in out.iterdir()] if out.exists() else []


def test_a_run_that_was_stopped_goes_on(products, result, tmp_path, cli, stopped):
    out = tmp_path / "out"
    arguments = ("slc", *products[:2], "-o", out, "--dem", products[2], *WINDOWS, "--isce-layout")
    calls = stopped(3)
    assert interrupted(cli, *arguments)
    assert len(calls) == 3
    (folder,) = hidden(out)
    assert folder.startswith(".sensetrack-slc-")
    assert len(list((out / folder).glob("*.npz"))) == 2
    calls = stopped(0)
    again = cli(*arguments)
    assert again.code == 0, again.err
    assert len(calls) == 2, "two bursts had been measured"
    assert "had been measured already" in again.err
    assert [burst["resumed"] for burst in record_of(out)["bursts"]] == [True, True, False, False]
    assert_same(out, result)
    assert not any(name.startswith(".") for name in hidden(out))


def test_nothing_is_left_where_no_burst_was_finished(products, tmp_path, cli, stopped):
    stopped(1)
    assert interrupted(cli, "slc", *products[:2], "-o", tmp_path / "out", "--dem", products[2], *WINDOWS)
    assert not (tmp_path / "out").exists()


def test_other_settings_begin_anew_and_filters_do_not(products, tmp_path, cli, stopped):
    out = tmp_path / "out"
    arguments = ("slc", *products[:2], "-o", out, "--dem", products[2], "--swaths", "iw1", *WINDOWS)
    stopped(2)
    assert interrupted(cli, *arguments)
    calls = stopped(2)
    assert interrupted(cli, *arguments, "--set", "min_valid=0.6")
    assert len(calls) == 2
    assert len(hidden(out)) == 2
    calls = stopped(0)
    assert cli(*arguments, "--median", "3", "--crs", "EPSG:2056", "--posting", "200").code == 0
    assert len(calls) == 1
    assert not any(name.startswith(".") for name in hidden(out)), "what the others left is gone, too"
    with rasterio.open(out / "displacement.tif") as file:
        assert (file.crs.to_epsg(), file.res) == (2056, (200, 200))


KILLED = """
import os, signal, sys
from sensetrack.workflow import slc_bursts, slc_unpacked
real, calls = slc_bursts.measure, []
def measure(*arguments, **options):
    calls.append(1)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)
slc_bursts.measure = measure
from sensetrack.cli import run
run(sys.argv[1:])
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")
def test_a_run_that_was_killed_goes_on(products, tmp_path, cli, stopped):
    out = tmp_path / "out"
    arguments = ["slc", *products[:2], "-o", out, "--dem", products[2], "--swaths", "iw1", *WINDOWS]
    done = subprocess.run([sys.executable, "-c", KILLED, *map(str, arguments)], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    assert not any(path.suffix in (".tif", ".json", ".png") for path in out.iterdir())
    calls = stopped(0)
    assert cli(*arguments).code == 0
    assert len(calls) == 1
    assert not any(name.startswith(".") for name in hidden(out))


def test_an_area_of_interest_leaves_out_bursts_posts_and_map(products, result, tmp_path, cli):
    lon, lat = slc_pairs.PLACE
    # The south-west: the later burst (descending), the far swath.
    aoi = f"{lon - 0.02},{lat - 0.02},{lon - 0.004},{lat - 0.004}"
    done = cli("slc", *products[:2], "-o", tmp_path / "out", "--dem", products[2], *WINDOWS, "--aoi", aoi)
    assert done.code == 0, done.err
    record, whole = record_of(tmp_path / "out"), record_of(result)
    assert len(record["bursts"]) < len(whole["bursts"])
    assert record["statistics"]["posts"] < 0.6 * whole["statistics"]["posts"]
    found, _, file = bands(tmp_path / "out" / "displacement.tif")
    row, col = np.nonzero(np.isfinite(found["dx"]))
    x, y = file.transform @ (col + 0.5, row + 0.5)
    east, north = pyproj.Transformer.from_crs(file.crs, 4326, always_xy=True).transform(x, y)
    assert row.size > 3
    assert (np.abs(east - lon + 0.012) < 0.0081).all()
    assert (np.abs(north - lat + 0.012) < 0.0081).all()


def test_a_clip_is_a_part_of_the_same_pixels(products, result, tmp_path, cli):
    whole, _, file = bands(result / "displacement.tif")
    rows, cols = slice(2, file.shape[0] - 3), slice(1, file.shape[1] - 2)
    left, top = file.transform @ (cols.start, rows.start)
    right, bottom = file.transform @ (cols.stop, rows.stop)
    clip = f"{left},{bottom},{right},{top}"
    done = cli("slc", *products[:2], "-o", tmp_path / "out", "--config", result / "run.json", "--clip", clip)
    assert done.code == 0, done.err
    part, _, clipped = bands(tmp_path / "out" / "displacement.tif")
    assert clipped.transform @ (0, 0) == (left, top)
    for name, values in part.items():
        # The lattice on which places are computed begins elsewhere.
        np.testing.assert_allclose(values, whole[name][rows, cols], atol=1e-3)
    away = cli("slc", *products[:2], "-o", tmp_path / "o", "--config", result / "run.json", "--clip", "0,0,9,9")
    assert (away.code, "the clip must reach into what is measured" in away.error) == (3, True), away.error


def test_without_an_elevation_model_one_height_is_said(products, tmp_path, cli):
    done = cli("slc", *products[:2], "-o", tmp_path / "out", "--swaths", "1", *WINDOWS)
    assert done.code == 0, done.err
    record = record_of(tmp_path / "out")
    assert any("no elevation model is given, so that all ground is taken to lie 640 m" in t for t in record["warnings"])
    assert record["heights"]["heights"] == "640 m above the ellipsoid everywhere"


def test_stable_ground_takes_the_bias_off(products, tmp_path):
    """Here all of it is called stable, so that all of the motion is taken for bias."""
    lon, lat = slc_pairs.PLACE
    ring = [[lon - 1, lat - 1], [lon + 1, lat - 1], [lon + 1, lat + 1], [lon - 1, lat + 1], [lon - 1, lat - 1]]
    area = tmp_path / "stable.geojson"
    area.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}), encoding="utf-8")
    config = SlcConfig(
        dem=str(products[2]), swaths="iw1", chip=(32, 80), step=(12, 40), search=(4, 9), stable_ground=str(area),
        bias="median",
    )  # fmt: skip
    record = run_slc(*products[:2], tmp_path / "out", config)
    assert record["bias"]["median_before"][1] < -1
    assert np.abs(record["statistics"]["median_displacement_m"]).max() < 0.2
    assert str(area) in [item["path"] for item in record["inputs"]]


def test_in_python_the_middle_touches_no_file(products, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = SlcConfig(dem=str(products[2]), swaths="iw1", chip=(32, 80), step=(24, 80), search=(4, 9))
    found = slc(open_sentinel1(products[0]), open_sentinel1(products[1]), config)
    assert list(tmp_path.iterdir()) == []
    assert found.displacement.dx.shape == found.field.shape == found.brightness.shape
    assert np.median(found.displacement.dx[found.displacement.good]) == pytest.approx(slc_pairs.MOTION[0], abs=0.3)
    assert 0 < np.nanmedian(found.brightness) < 60
    assert found.job.days == DAYS


def test_orbit_files_are_forced_to_be_left_out(products, tmp_path, cli):
    folder = tmp_path / "orbits"
    folder.mkdir()
    done = cli(
        "slc", *products[:2], "-o", tmp_path / "out", "--dem", products[2], "--swaths", "iw1", *WINDOWS,
        "--orbits", folder, "--force",
    )  # fmt: skip
    assert done.code == 0, done.err
    said = record_of(tmp_path / "out")["warnings"]
    assert sum("no orbit file of S1A covers" in text for text in said) == 2


def test_single_bursts_of_the_archive_are_paired(products, tmp_path, cli):
    """As ASF cuts them: the second burst of the far swath, of both products."""
    cut = [slc_pairs.burst_of(product, "iw2/vv", 1, tmp_path / "bursts") for product in products[:2]]
    done = cli("slc", *cut, "-o", tmp_path / "out", "--dem", products[2], *WINDOWS)
    assert done.code == 0, done.err
    record = record_of(tmp_path / "out")
    assert [burst["swath"] for burst in record["bursts"]] == ["iw2/vv"]
    assert record["statistics"]["good_share"] > 0.7
    assert record["statistics"]["median_displacement_m"] == pytest.approx(slc_pairs.MOTION[:2], abs=0.15)
    first = slc_pairs.burst_of(products[0], "iw2/vv", 0, tmp_path / "bursts")
    other = cli("slc", first, cut[1], "-o", tmp_path / "no")
    assert (other.code, "must have a burst of the reference" in other.error) == (3, True), other.error


def test_as_isce2_measures(products, tmp_path, cli):
    """In steps of 1/64 px, and never with the phase."""
    done = cli(
        "slc", *products[:2], "-o", tmp_path / "out", "--dem", products[2], *WINDOWS, "--swaths", "iw1",
        "--compat", "isce2",
    )  # fmt: skip
    assert done.code == 0, done.err
    offsets, _, _ = bands(tmp_path / "out" / "radar" / "offsets.tif")
    for values in offsets.values():
        known = values[np.isfinite(values)]
        assert known.size > 50
        alone = np.abs(known * 64 - np.round(known * 64)) < 1e-4
        assert alone.mean() > 0.9, "but where bursts overlap"
    record = record_of(tmp_path / "out")
    assert record["statistics"]["coherent_share"] == 0
    assert record["matching"]["compat"] == "isce2"
    assert record["statistics"]["median_displacement_m"] == pytest.approx(slc_pairs.MOTION[:2], abs=1.0)
