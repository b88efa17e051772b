"""Whole jobs: configuration, the straight line, and what it writes."""

from __future__ import annotations

import json
from dataclasses import replace

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

import sensetrack
from conftest import read_tif, write_tif
from sensetrack import Image, ImagePair, TrackConfig, run_track, track
from sensetrack.errors import ConfigError, InputError, NoMatchError
from sensetrack.files.raster import open_raster
from sensetrack.ot.algorithms import NCC
from sensetrack.products.formats import files_of
from truth import TALL, UTM, make_pair, uniform

SMALL = {"chip": 32, "step": 8, "search": 8}


def small(**changes):
    return TrackConfig(parameters=SMALL, **changes)


# --- configuration -----------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    algorithm=st.sampled_from(["ncc", "farneback"]),
    band=st.integers(1, 12),
    nodata=st.none() | st.floats(-1e6, 1e6),
    gross=st.sampled_from(["auto", "none", (3, -7)]),
    min_score=st.none() | st.floats(-1, 1),
    bias=st.sampled_from(["median", "plane", "none"]),
)
def test_settings_survive_yaml_and_json(tmp_path_factory, **values):
    config = TrackConfig(**values)
    folder = tmp_path_factory.mktemp("config")
    config.to_yaml(folder / "c.yaml")
    config.to_json(folder / "c.json")
    assert TrackConfig.from_yaml(folder / "c.yaml") == config
    assert TrackConfig.from_file(folder / "c.json") == config


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"algorithm": "magic"}, "there is no algorithm 'magic'; there are farneback, ilk, ncc, pcc, tvl1"),
        ({"algorithm": "farneback", "parameters": {"chip": 3}}, "no parameter 'chip'; it has flow, pyr_scale"),
        ({"preprocess": "sharpen"}, "there is no preprocessing"),
        ({"chipsize": 3}, "TrackConfig has no parameter 'chipsize'; it has algorithm, parameters"),
        ({"band": 0}, "counted from 1, instead got band 0"),
        ({"min_score": 3}, "min_score: .* instead got 3"),
        ({"stable_ground": "a", "unstable_ground": "b"}, "say the same thing twice"),
        ({"parameters": {"search": -4}}, "search.* instead got -4"),
    ],
)
def test_wrong_settings_fail_before_anything_is_read(values, said):
    with pytest.raises(ConfigError, match=said):
        TrackConfig.from_dict(values)


def test_changes_to_a_file_win_and_keep_the_rest(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("algorithm: ncc\nparameters: {chip: 48, step: 12}\nreference_date: 2020-01-31\n")
    config = TrackConfig.from_file(path, parameters={"step": 6}, bias=None)
    assert config.matcher() == NCC(chip=48, step=6)
    assert config.reference_date == "2020-01-31"
    # Parameters of one algorithm are not those of another.
    assert TrackConfig.from_file(path, algorithm="farneback").matcher().to_dict()["levels"] == 4


# --- the line ----------------------------------------------------------------------------------------------------


def test_the_line_in_memory():
    images = ImagePair(*make_pair((150, 190), uniform(3, 5), seed=2))
    seen = []
    result = track(images, small(), stable=lambda field: np.ones(field.grid.shape), advance=lambda *at: seen.append(at))
    # Everything is said to be stable, so all of it is bias.
    assert result.bias.median_before == pytest.approx((3, 5), abs=0.02)
    assert np.median(result.offsets.d_row[result.offsets.good]) == pytest.approx(0, abs=1e-6)
    assert seen[-1][0] == seen[-1][1]
    assert set(result.seconds) == {"prepare", "match", "flag", "displace"}
    assert result.displacement.dt is None


def test_a_shift_beyond_the_search_is_bridged_or_flagged():
    images = ImagePair(*make_pair((260, 300), uniform(31, -26), seed=2))
    found = track(images, small()).offsets
    assert found.good.mean() > 0.6
    assert np.median(found.d_row[found.good]) == pytest.approx(31, abs=0.05)
    assert np.median(found.d_col[found.good]) == pytest.approx(-26, abs=0.05)
    missed = track(images, small(gross="none")).offsets
    assert missed.good.mean() < 0.02


def test_a_small_shift_is_left_to_the_search():
    images = ImagePair(*make_pair((150, 190), uniform(3, -4), seed=2))
    assert track(images, small()).gross.shift == (0, 0)


def test_a_given_shift_is_used():
    images = ImagePair(*make_pair((200, 220), uniform(22, 5), seed=2))
    result = track(images, small(gross=(20, 0)))
    assert result.gross.shift == (20, 0)
    assert np.median(result.offsets.d_row[result.offsets.good]) == pytest.approx(22, abs=0.05)


def test_sigma_holds_what_it_promises():
    """On stable ground two thirds of the errors lie within one sigma, before it is fitted there and after."""
    images = ImagePair(*make_pair((260, 300), uniform(0, 0), seed=5, noise=0.4))
    result = track(images, small(), stable=lambda field: np.ones(field.grid.shape))
    sigma = np.sqrt(result.offsets.covariance[..., 0])
    inside = np.abs(result.offsets.d_row) < sigma
    assert inside[result.offsets.good].mean() == pytest.approx(0.68, abs=0.08)
    assert 0.5 < result.bias.sigma_scale[0] < 4


# --- with files --------------------------------------------------------------------------------------------------


@pytest.fixture
def stable(tmp_path):
    path = tmp_path / "stable.gpkg"
    left = shapely.box(600_000, 4_947_000, 600_900, 4_950_000)
    geopandas.GeoDataFrame(geometry=[left], crs=UTM).to_file(path)
    return path


def test_the_whole_product(tmp_path, pair_files):
    out = tmp_path / "out"
    record = run_track(*pair_files, out, small(reference_date="2024-06-01", secondary_date="2024-06-11"))
    assert sorted(path.name for path in out.iterdir()) == sorted(files_of(["cog"]))
    with rasterio.open(out / "displacement.tif") as file:
        assert file.descriptions == ("dx", "dy", "magnitude")
        assert file.units == ("m", "m", "m")
        assert file.crs.to_epsg() == 32632
        assert file.transform.a == 8 * 10
        assert file.transform.e == -8 * 20
        # Post [0, 0] is the centre of the first chip of 32 x 32 px.
        assert file.xy(0, 0) == pytest.approx((600_000 + 160, 4_950_000 - 320))
        assert np.isnan(file.nodata)
        assert float(file.tags()["DT_DAYS"]) == 10
        dx, dy, magnitude = file.read()
    assert np.nanmedian(dx) == pytest.approx(50, abs=0.3)
    assert np.nanmedian(dy) == pytest.approx(-60, abs=0.5)
    np.testing.assert_allclose(magnitude, np.hypot(dx, dy), rtol=1e-5)
    assert np.nanmedian(read_tif(out / "velocity.tif", 2)) == pytest.approx(-6, abs=0.05)
    flags = read_tif(out / "flags.tif")
    assert flags.dtype == np.uint16
    assert (np.isnan(dx) == (flags > 0)).all()
    with rasterio.open(out / "flags.tif") as file:
        assert json.loads(file.tags()["FLAG_BITS"])["PEAK_AT_EDGE"] == 4
        assert file.nodata is None
    with rasterio.open(out / "quality.tif") as file:
        assert file.descriptions == ("score", "snr", "peak_ratio", "sigma_dx", "sigma_dy")
        assert np.nanmedian(file.read(1)) > 0.9
        assert 0 < np.nanmedian(file.read(5)) < 2
    saved = json.loads((out / "run.json").read_text())
    assert saved["statistics"]["posts"] == flags.size
    assert saved["statistics"] == json.loads(json.dumps(record["statistics"]))
    assert saved["configuration"]["parameters"]["chip"] == [32, 32]
    assert saved["versions"]["sensetrack"] == sensetrack.__version__
    assert len(saved["inputs"][0]["sha256"]) == 64


def test_a_record_repeats_its_run(tmp_path, pair_files):
    run_track(*pair_files, tmp_path / "one", small(min_score=0.5))
    again = TrackConfig.from_file(tmp_path / "one" / "run.json")
    run_track(*pair_files, tmp_path / "two", again, workers=1)
    for name in ("offsets.tif", "quality.tif", "flags.tif"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_stable_and_unstable_ground_say_the_same(tmp_path, pair_files, stable):
    right = tmp_path / "right.gpkg"
    geopandas.GeoDataFrame(geometry=[shapely.box(600_900, 4_947_000, 602_000, 4_950_000)], crs=UTM).to_file(right)
    first = run_track(*pair_files, tmp_path / "a", small(stable_ground=str(stable)))
    second = run_track(*pair_files, tmp_path / "b", small(unstable_ground=str(right)))
    assert first["bias"]["posts"] == second["bias"]["posts"] > 10
    assert first["bias"]["median_before"] == pytest.approx((3, 5), abs=0.03)
    assert np.nanmedian(read_tif(tmp_path / "a" / "displacement.tif", 1)) == pytest.approx(0, abs=0.2)
    kept = run_track(*pair_files, tmp_path / "c", small(stable_ground=str(stable), bias="none"))
    assert kept["bias"] is None
    assert kept["statistics"]["median_offset_px"] == pytest.approx((3, 5), abs=0.03)


def test_an_area_of_interest_is_tracked_and_the_rest_flagged(tmp_path, pair_files, stable):
    record = run_track(*pair_files, tmp_path / "o", small(aoi=str(stable)))
    assert record["statistics"]["flag_shares"]["OUT_OF_AOI"] > 0.05
    assert record["grid"]["posts"][1] < 19
    assert record["statistics"]["median_offset_px"] == pytest.approx((3, 5), abs=0.03)


def test_photos_give_pixels(tmp_path, scene):
    files = [write_tif(tmp_path / f"{i}.tif", part.astype(np.float32), None, None) for i, part in enumerate(scene)]
    record = run_track(*files, tmp_path / "o", small())
    names = {path.name for path in (tmp_path / "o").iterdir()}
    missing = {f"{name}.{suffix}" for name in ("displacement", "velocity") for suffix in ("tif", "qml")}
    assert names == set(files_of(["cog"])) - missing
    assert record["grid"]["unit"] == "px"
    assert record["warnings"] == [f"{files[0]}: no georeference, results stay in pixels"]
    quality = open_raster(tmp_path / "o" / "quality.tif")
    assert quality.dataset.descriptions[3:] == ("sigma_d_row", "sigma_d_col")
    assert 0 < np.nanmedian(read_tif(quality.path, 4)) < 0.2


def test_workers_change_no_byte(tmp_path, pair_files):
    for workers in (1, 3):
        run_track(*pair_files, tmp_path / str(workers), small(), workers=workers)
    for name in ("displacement.tif", "offsets.tif", "quality.tif", "flags.tif"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


def test_nothing_to_match_leaves_nothing(tmp_path, pair_files):
    empty = write_tif(tmp_path / "empty.tif", np.full((140, 180), np.nan, np.float32))
    with pytest.raises(NoMatchError, match="no ground that is measured in both"):
        run_track(pair_files[0], empty, tmp_path / "o", small())
    assert not (tmp_path / "o").exists()


def test_nothing_good_is_said_loudly(tmp_path, pair_files, caplog):
    flat = write_tif(tmp_path / "flat.tif", np.full((140, 180), 7, np.uint8))
    record = run_track(pair_files[0], flat, tmp_path / "o", small())
    assert record["statistics"]["good_share"] == 0
    assert any("not one of" in note and "100 % low texture" in note for note in record["warnings"])
    assert (read_tif(tmp_path / "o" / "flags.tif") > 0).all()
    assert np.isnan(read_tif(tmp_path / "o" / "displacement.tif")).all()


def test_too_little_stable_ground_is_said(tmp_path, pair_files):
    tiny = tmp_path / "tiny.gpkg"
    geopandas.GeoDataFrame(geometry=[shapely.box(600_000, 4_949_000, 600_360, 4_950_000)], crs=UTM).to_file(tiny)
    with pytest.raises(InputError, match="at least 10 good posts"):
        run_track(*pair_files, tmp_path / "o", small(stable_ground=str(tiny)))
    assert not (tmp_path / "o").exists()


def test_images_without_dates_have_no_velocity():
    images = make_pair((140, 180))
    dated = replace(ImagePair(*images)).dt
    assert dated is None
    assert Image(np.ones((3, 3)), TALL, UTM).acquired is None
