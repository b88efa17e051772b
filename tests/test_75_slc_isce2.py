"""`sensetrack slc --engine isce2`: the job handed to a stand-in for topsApp, and the same products as natively."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

import slc_pairs
from conftest import read_tif
from isce2_stand_in import raw, stand_in
from sensetrack.cli import run
from sensetrack.files.dem import open_dem
from sensetrack.files.isce import DenseOffsets, write_dense_offsets
from sensetrack.files.isce_raw import read_raw, write_raw
from sensetrack.isce2 import read_topsapp
from sensetrack.products.slc_layers import MAP_FILES, RADAR_FILES
from sensetrack.sar.ampcor_grid import posts
from sensetrack.sar.geometry import rdr2geo
from sensetrack.sar.merge import frame_of
from sensetrack.sentinel.s1 import open_sentinel1
from sensetrack.sentinel.s1_pair import pair_bursts

pytestmark = pytest.mark.skipif(os.name == "nt", reason="ISCE2 does not run on Windows")

WINDOWS = {"window": (16, 32), "search": (8, 9), "skip": (6, 20)}
WORDS = ("--chip", "16x32", "--step", "6x20", "--search", "8x9")
MOVED = 1.25, -3.5
"""What the stand-in has measured everywhere: lines along the flight, samples away from the radar."""


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    found = slc_pairs.pair(folder, swaths=("IW2",))
    (folder / "orbits").mkdir()
    return found


def merged(folder, products):
    """Write what ISCE2 would have merged: places of pixels, and offsets that are the same everywhere."""
    one, other = (open_sentinel1(path) for path in products[:2])
    pairs = pair_bursts(one, other, swaths=None, polarisation=None, area=None)
    frame = frame_of([pair.reference_grid for pair in pairs])
    row, col = np.mgrid[: frame.lines, : frame.samples]
    places = rdr2geo(frame, frame.time(row), frame.slant_range(col), slc_pairs.HEIGHT)
    folder.mkdir()
    for name, values in (("lat", np.degrees(places.lat)), ("lon", np.degrees(places.lon)), ("z", places.height)):
        raw(folder / f"{name}.rdr.full", values)
    for name in ("reference", "secondary"):
        write_raw(folder / f"{name}.slc.full", [np.zeros(frame.shape, np.float32)], ["x"], null=None)
    shape = posts(frame.shape, frame.shape, **WINDOWS).shape
    d_row, d_col = (np.full(shape, value, np.float32) for value in MOVED)
    d_row[2, 3] = d_col[2, 3] = np.nan
    covariance = np.tile(np.float32([0.04, 0.01, 0]), (*shape, 1))
    write_dense_offsets(folder, DenseOffsets(d_row, d_col, np.full(shape, 20, np.float32), covariance, (d_row, d_col)))
    return frame


@pytest.fixture
def engine(products, tmp_path, monkeypatch):
    """A stand-in for topsApp.py that knows what to leave for these products."""
    frame = merged(tmp_path / "results", products)
    home = stand_in(tmp_path / "isce", tmp_path / "results")
    monkeypatch.setenv("ISCE_HOME", str(home))
    # Orbits are those of the annotation: the stand-in looks at none, and none is there.
    monkeypatch.setattr("sensetrack.workflow.slc_inputs.find_orbit_file", lambda *_: "there")
    monkeypatch.setattr("sensetrack.sentinel.s1.Sentinel1.on_orbit", lambda self, *_, **__: self)
    return frame


def words(products, out, *more):
    reference, secondary, dem = map(str, products)
    orbits = str(products[2].parent / "orbits")
    return ["slc", reference, secondary, "-o", str(out), "--dem", dem, "--orbits", orbits, *WORDS, *more, "--quiet"]


def test_it_gives_the_products_of_the_native_engine(engine, products, tmp_path):
    out = tmp_path / "out"
    assert run(words(products, out, "--engine", "isce2", "--isce-layout")) == 0
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert {f"{name}.tif" for name in MAP_FILES} | {f"radar/{name}.tif" for name in RADAR_FILES} <= names
    assert not [path for path in out.iterdir() if path.name.startswith(".")], "nothing of the run is left"
    d_row, d_col = (read_tif(out / "radar/offsets.tif", band) for band in (1, 2))
    assert np.nanmin(d_row) == np.nanmax(d_row) == np.float32(MOVED[0])
    assert np.nanmin(d_col) == np.nanmax(d_col) == np.float32(MOVED[1])
    assert np.isnan(d_row[2, 3])
    assert np.nanmedian(read_tif(out / "radar/displacement.tif", 1)) == pytest.approx(
        MOVED[1] * engine.range_spacing, rel=1e-4
    )
    record = json.loads((out / "run.json").read_text())
    assert record["configuration"]["engine"] == "isce2"
    assert record["statistics"]["good_share"] > 0.9
    first = posts(engine.shape, engine.shape, **WINDOWS)
    assert record["frame"]["lines"] == [first.rows[0] + 7.5, 6]
    assert record["frame"]["samples"] == [first.cols[0] + 15.5, 20]


def test_a_run_that_failed_goes_on(engine, products, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    monkeypatch.setenv("MODE", "fail")
    monkeypatch.setenv("AT", "fineresamp")
    assert run(words(products, out, "--engine", "isce2")) == 5
    said = capsys.readouterr().err
    assert "at step fineresamp: RuntimeError: no overlap between the bursts" in said
    (folder,) = out.glob(".sensetrack-slc-*/isce2")
    told = read_topsapp(folder / "topsApp.xml")
    assert (told.window, told.search, told.skip, told.swaths) == ((16, 32), (8, 9), (6, 20), (2,))
    assert told.reference.safe == (str(products[0]),)
    assert told.reference.polarization == "vv"
    heights, where = read_raw(folder / "dem.wgs84")
    south, north, west, east = told.region_of_interest
    assert where.c < west < 8 < east < where.c + where.a * heights.shape[2]
    assert where.f > north > 46.4 > south > where.f + where.e * heights.shape[1]
    assert heights[0, 5, 5] == pytest.approx(
        float(open_dem(products[2]).heights_at(*np.radians([8.0, 46.4]))), abs=1e-3
    )
    monkeypatch.setenv("MODE", "")
    assert run(words(products, out, "--engine", "isce2")) == 0
    assert (out / "displacement.tif").exists()
    assert not list(out.glob(".sensetrack-slc-*"))


@pytest.mark.parametrize(
    ("left_out", "code", "match"),
    [("--dem", 2, "needs an elevation model; say --dem"), ("--orbits", 2, "needs a folder of orbit files"),
     ("ISCE_HOME", 5, "topsApp.py was not found")],
)  # fmt: skip
def test_what_it_needs_is_said_before_anything_is_done(
    engine, products, tmp_path, monkeypatch, capsys, left_out, code, match
):
    asked = words(products, tmp_path / "out", "--engine", "isce2")
    if left_out == "ISCE_HOME":
        monkeypatch.delenv("ISCE_HOME")
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        at = asked.index(left_out)
        del asked[at : at + 2]
    assert run(asked) == code
    assert match in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_settings_that_isce2_refuses_are_refused_at_once(engine, products, tmp_path, capsys):
    asked = words(products, tmp_path / "out", "--engine", "isce2")
    asked[asked.index("8x9")] = "32x9"
    assert run(asked) == 2
    assert "search must be less than twice the window along the rows, instead got 32 for 16" in capsys.readouterr().err
