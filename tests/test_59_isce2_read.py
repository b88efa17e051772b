"""What ISCE2 leaves, read back: where its merged image lies, its posts, and an elevation model in its form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rasterio

from isce2_stand_in import raw
from radar_posts import DT, Known, tilted
from sar_truth import radar_grid
from sensetrack.errors import ConfigError, InputError, NoOverlapError
from sensetrack.files.dem import flat_dem
from sensetrack.files.isce import DenseOffsets, write_dense_offsets
from sensetrack.files.isce_raw import read_raw, write_raw
from sensetrack.isce2 import Scene, TopsApp, write_topsapp
from sensetrack.isce2.dem import write_isce_dem
from sensetrack.isce2.read import read_run
from sensetrack.ot.fields import Flag
from sensetrack.sar.ampcor_grid import posts
from sensetrack.sar.geometry import rdr2geo

SHAPE = 420, 1300
SETTINGS = {"window": (32, 64), "search": (8, 10), "skip": (16, 40)}


@pytest.fixture(params=[0.6, 2.5], ids=["ascending", "descending"])
def finished_run(request, tmp_path):
    """A run whose merged image begins where only its places say; returns folder, frame, a burst's grid, offsets."""
    burst = radar_grid(argument=request.param)
    frame = replace(
        burst,
        lines=SHAPE[0],
        samples=SHAPE[1],
        first_time=float(burst.time(37)),
        near_range=float(burst.slant_range(-413)),
    )
    row, col = np.mgrid[: SHAPE[0], : SHAPE[1]]
    places = rdr2geo(frame, frame.time(row), frame.slant_range(col), 650 + 0.5 * row - 0.2 * col)
    merged = tmp_path / "merged"
    merged.mkdir()
    for name, values in (("lat", np.degrees(places.lat)), ("lon", np.degrees(places.lon)), ("z", places.height)):
        raw(merged / f"{name}.rdr.full", values)
    for name in ("reference", "secondary"):
        write_raw(merged / f"{name}.slc.full", [np.zeros(SHAPE, np.float32)], ["x"], null=None)
    there = posts(SHAPE, SHAPE, **SETTINGS)
    random = np.random.default_rng(2)
    d_row, d_col = (random.normal(size=there.shape).astype(np.float32) for _ in range(2))
    d_row[1, 2] = d_col[1, 2] = np.nan
    snr, covariance = np.full(there.shape, 9, np.float32), np.full((*there.shape, 3), 0.01, np.float32)
    offsets = DenseOffsets(d_row, d_col, snr, covariance)
    write_dense_offsets(merged, offsets)
    scene = Scene(safe=("a.zip",))
    write_topsapp(tmp_path, TopsApp(reference=scene, secondary=scene, **SETTINGS))
    return tmp_path, frame, burst, offsets


def test_the_image_is_found_and_posts_lie_in_it(finished_run):
    folder, frame, burst, offsets = finished_run
    found = read_run(folder, burst, DT).measured
    assert found.radar.shape == SHAPE
    assert (found.radar.first_time - frame.first_time) / frame.line_interval == pytest.approx(0, abs=2e-3)
    assert (found.radar.near_range - frame.near_range) / frame.range_spacing == pytest.approx(0, abs=2e-3)
    there = posts(SHAPE, SHAPE, **SETTINGS)
    assert found.lines[3] == there.rows[3] + 15.5
    assert found.samples[2] == there.cols[2] + 31.5
    np.testing.assert_array_equal(found.field.d_row, offsets.d_row)
    np.testing.assert_array_equal(found.field.flags == Flag.NO_DATA, np.isnan(offsets.d_row))
    assert found.dt == DT


def test_places_of_another_image_are_refused(finished_run):
    folder, _, burst, _ = finished_run
    with pytest.raises(InputError, match=r"places lie off a regular image by [\d.]+ px"):
        read_run(folder, replace(burst, line_interval=1.05 * burst.line_interval))


def test_results_of_another_run_are_refused(finished_run):
    folder, _, burst, _ = finished_run
    scene = Scene(safe=("a.zip",))
    write_topsapp(folder, TopsApp(reference=scene, secondary=scene, **(SETTINGS | {"skip": (16, 20)})))
    with pytest.raises(InputError, match="posts for these settings"):
        read_run(folder, burst)


@pytest.mark.parametrize("name", ["lat.rdr.full", "reference.slc.full.xml", "dense_offsets.bil"])
def test_what_is_missing_is_named(finished_run, name):
    folder, _, burst, _ = finished_run
    (folder / "merged" / name).unlink()
    with pytest.raises(InputError, match=name.split(".")[0]):
        read_run(folder, burst)


def test_a_model_in_isces_form_has_the_heights_in_the_right_places(tmp_path):
    frame = radar_grid(argument=2.5)
    surface = Known(tilted(frame))
    middle = rdr2geo(frame, frame.middle_time, frame.slant_range(frame.samples / 2), 650.0)
    lon, lat = float(np.degrees(middle.lon)), float(np.degrees(middle.lat))
    box = (lat - 0.05, lat + 0.03, lon - 0.04, lon + 0.06)
    path, header, vrt = write_isce_dem(tmp_path / "dem.wgs84", surface, box)
    with rasterio.open(vrt) as file:
        assert file.bounds.left <= box[2]
        assert file.bounds.right >= box[3]
        for where in ((lon, lat), (lon + 0.05, lat - 0.04)):
            found = next(file.sample([where]))[0]
            assert found == pytest.approx(float(surface.whole.heights_at(*np.radians(where))), abs=8)
    pixels, geo = read_raw(path)
    assert pixels.dtype == np.float32
    at_centre = surface.whole.heights_at(np.radians(geo.c + 5 * geo.a), np.radians(geo.f + 7 * geo.e))
    assert pixels[0, 7, 5] == pytest.approx(float(at_centre), abs=1e-2)
    assert '<property name="reference"><value>WGS84</value>' in header.read_text()


def test_a_model_with_gaps_or_another_name_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"must end in .wgs84"):
        write_isce_dem(tmp_path / "dem.tif", flat_dem(3.0), (46, 46.1, 8, 8.1))
    whole = tilted(radar_grid(argument=2.5))
    gaps = whole.heights.copy()
    gaps[40, 50] = np.nan
    with pytest.raises(NoOverlapError, match="has no heights in"):
        write_isce_dem(tmp_path / "dem.wgs84", Known(replace(whole, heights=gaps)), (10, 10.1, 8, 8.1))
    assert list(tmp_path.iterdir()) == []
