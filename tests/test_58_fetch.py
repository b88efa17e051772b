"""Scenes, orbits and elevation models, fetched from archives on this machine that answer as the real ones do."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from archive_answers import POOL, bucket, optical_catalogue, optical_item, repository, scene_item
from loopback import Internet, Reply, internet
from sensetrack.acquire import network
from sensetrack.cli import run
from sensetrack.files.dem import open_dem

CANARY = "canary-51c2e8-secret"
CMR, DATA, ORBITS = "cmr.earthdata.nasa.gov", "datapool.asf.alaska.edu", "s1-orbits.s3.amazonaws.com"
AOI = "38.29553816,-70.45441464,39.83817435,-69.88490745"


@pytest.fixture
def net(tmp_path_factory, monkeypatch):
    """The hosts of a test; the environment leads to them and nowhere else."""
    for name in ("EARTHDATA_TOKEN_FILE", "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EARTHDATA_TOKEN", CANARY)
    monkeypatch.setattr(network, "first_wait", lambda: 0.0)
    with internet(tmp_path_factory.mktemp("net")) as (hosts, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield hosts


def archived(name: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr(f"{name}.SAFE/manifest.safe", "x" * 3000)
    return made.getvalue()


def fill(net: Internet, *asked: tuple[str, str, dict[str, int]]) -> dict[str, bytes]:
    """Put scenes into the archive: (platform, start, more), whose sizes and sums are true."""
    items, files = [], {}
    for platform, start, more in asked:
        name = scene_item(platform, start, **more)["umm"]["DataGranule"]["Identifiers"][0]["Identifier"]
        content = archived(name)
        md5 = hashlib.md5(content).hexdigest()
        items.append(scene_item(platform, start, size=len(content), md5=md5, **more))
        files[f"/SLC/{name}.zip"] = content
    net.hosts[CMR] = repository(items)
    net.file(DATA, files)
    return files


MIXED = (
    ("S1B", "2021-03-07T02:00:00", {"orbit": 26200}),
    ("S1A", "2021-03-01T02:00:30", {"orbit": 36800}),
    ("S1A", "2021-03-01T02:00:55", {"orbit": 36800, "frame": 835}),
    ("S1C", "2025-05-02T02:00:00", {"orbit": 2100}),
    ("S1A", "2021-03-13T02:00:30", {"orbit": 36975}),
)
"""Three satellites; of the pass of 1 March there are two frames."""


def test_scenes_of_all_satellites_are_sorted_by_time_and_frames_of_a_pass_join(net, capsys):
    fill(net, *MIXED)
    assert run(["fetch", "scenes", "--aoi", AOI, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [name[:3] + name[17:25] for name in (scene["name"] for scene in said["scenes"])] == [
        "S1A20210301", "S1A20210301", "S1B20210307", "S1A20210313", "S1C20250502"
    ]  # fmt: skip
    assert [pair["name"] for pair in said["pairs"]] == [
        "20210301-20210307", "20210307-20210313", "20210313-20250502"
    ]  # fmt: skip
    assert [len(pair["reference"]) for pair in said["pairs"]] == [2, 1, 1]
    assert said["pairs"][0]["days"] == pytest.approx(6, abs=0.01)
    assert all(pair["days"] > 0 for pair in said["pairs"])


@pytest.mark.parametrize(
    ("options", "days", "words"),
    [
        (["--count", "2"], ["20210301", "20210307"], "2 passes, the earliest of 4, 3 scenes"),
        (["--count", "2", "--latest"], ["20210313", "20250502"], "2 passes, the latest of 4, 2 scenes"),
        ([], ["20210301", "20210307", "20210313", "20250502"], "4 passes, 5 scenes"),
    ],
)
def test_n_scenes_are_the_earliest_unless_asked_otherwise_and_it_is_said(net, capsys, options, days, words):
    fill(net, *MIXED)
    assert run(["fetch", "scenes", "--aoi", AOI, "--start", "2021-01-01", *options]) == 0
    said = capsys.readouterr().out
    assert words in said
    assert sorted(set(re.findall(r"_(\d{8})T\d{6}_\d{8}T", said))) == days


def test_the_question_is_what_was_asked(net, capsys):
    fill(net, *MIXED)
    options = ["--start", "2021-01-01", "--end", "2025-06-01", "--frames", "830,834", "--track", "100"]
    assert run(["fetch", "scenes", "--aoi", AOI, *options, "--direction", "descending", "--polarization", "hh"]) == 0
    asked = " ".join(request.body.decode() for request in net.asked if request.host == CMR)  # one for each frame
    for part in ("2021-01-01T00%3A00%3A00Z", "2025-06-01T00%3A00%3A00Z", "FRAME_NUMBER%2C830", "FRAME_NUMBER%2C834",
                 "PATH_NUMBER%2C100", "DESCENDING", "POLARIZATION%2CHH", "SLC", "38.29"):  # fmt: skip
        assert part in asked, part
    capsys.readouterr()


def test_scenes_are_fetched_whole_and_not_twice(net, tmp_path, capsys, caplog):
    files = fill(net, *MIXED)
    assert run(["fetch", "scenes", "--aoi", AOI, "--count", "2", "-o", str(tmp_path / "SAFE")]) == 0
    names = {Path(path).name: content for path, content in files.items()}
    fetched = {path.name: path.read_bytes() for path in (tmp_path / "SAFE").iterdir()}
    assert len(fetched) == 3
    assert all(names[name] == content for name, content in fetched.items())
    before = len([one for one in net.asked if one.host == DATA])
    assert run(["fetch", "scenes", "--aoi", AOI, "--count", "2", "-o", str(tmp_path / "SAFE")]) == 0
    assert len([one for one in net.asked if one.host == DATA]) == before == 3
    assert all(one.headers["authorization"] == f"Bearer {CANARY}" for one in net.asked if one.host == DATA)
    assert all("authorization" not in one.headers for one in net.asked if one.host == CMR)
    printed = capsys.readouterr()
    assert CANARY not in printed.out + printed.err + caplog.text


def test_a_scene_that_fails_leaves_those_before_it(net, tmp_path, capsys):
    files = fill(net, *MIXED)
    last = [path for path in files if "20210307" in path]
    honest = net.hosts[DATA]
    page = Reply(b"<html>log in</html>", headers={"Content-Type": "text/html"})
    net.hosts[DATA] = lambda request: page if request.path in last else honest(request)
    assert run(["fetch", "scenes", "--aoi", AOI, "--count", "2", "-o", str(tmp_path)]) == 5
    said = capsys.readouterr().err
    assert "web page in place of the file" in said
    assert CANARY not in said
    assert len(list(tmp_path.iterdir())) == 2
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("words", "code", "match"),
    [
        ([], 2, "needs an area, frames, a track or an orbit"),
        (["--aoi", AOI, "--polarization", "xx"], 2, "polarisation must be VV, VH, HH or HV"),
        (["--aoi", AOI, "--platforms", "S2A"], 2, "platform must be one of S1A"),
        (["--aoi", AOI, "--track", "999"], 2, "track"),
        (["--aoi", AOI, "--start", "yesterday-ish"], 2, "start"),
        (["--aoi", AOI, "--count", "0"], 2, "at least 1"),
        (["--aoi", AOI, "--kind", "s2", "--track", "7"], 2, "--track is about Sentinel-1"),
        (["--aoi", AOI, "--band", "B04"], 2, "--band is about Sentinel-2"),
        (["--aoi", "nowhere.gpkg"], 3, "nowhere.gpkg"),
    ],
)
def test_a_search_that_makes_no_sense_is_said(net, capsys, words, code, match):
    fill(net, *MIXED)
    assert run(["fetch", "scenes", *words]) == code
    assert match in capsys.readouterr().err


def test_nothing_found_is_said(net, capsys):
    net.hosts[CMR] = repository([])
    assert run(["fetch", "scenes", "--aoi", AOI]) == 3
    assert "no such scene" in capsys.readouterr().err


@pytest.mark.parametrize(("code", "end"), [(400, "does not understand"), (503, "could not be fetched in 6 attempts")])
def test_an_archive_that_fails_is_said_and_told_nobody(net, capsys, monkeypatch, code, end):
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    net.hosts[CMR] = lambda _: Reply.of_json({"errors": ["out of order"]}, code)
    assert run(["fetch", "scenes", "--aoi", AOI]) == 5
    assert end in capsys.readouterr().err
    assert {request.host for request in net.asked} == {CMR}


def test_without_credentials_nothing_is_fetched(net, tmp_path, capsys, monkeypatch):
    fill(net, *MIXED)
    monkeypatch.delenv("EARTHDATA_TOKEN")
    assert run(["fetch", "scenes", "--aoi", AOI, "-o", str(tmp_path / "SAFE")]) == 5
    assert "no credentials of NASA Earthdata" in capsys.readouterr().err
    assert {request.host for request in net.asked} == {CMR}


ORBIT = b'<?xml version="1.0"?><Earth_Explorer_File/>'
SCENE = "S1A_IW_SLC__1SDV_20210301T020000_20210301T020027_036800_0ABCDE_1234"


def orbit_key(kind: str, made: str, start: str, stop: str, platform: str = "S1A") -> str:
    return f"AUX_{kind}/{platform}_OPER_AUX_{kind}_OPOD_{made}_V{start}_{stop}.EOF"


PRECISE = orbit_key("POEORB", "20210321T120000", "20210228T225942", "20210302T005942")
PRECISE_AGAIN = orbit_key("POEORB", "20240321T120000", "20210228T225942", "20210302T005942")
RESTITUTED = orbit_key("RESORB", "20210301T053000", "20210301T000000", "20210301T033000")
OTHERS = [
    orbit_key("POEORB", f"202103{day}T120000", f"202102{day}T225942", f"202102{day + 2}T005942")
    for day in range(10, 20)
]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([PRECISE, RESTITUTED, *OTHERS], PRECISE),
        ([RESTITUTED, *OTHERS[:1]], RESTITUTED),
        ([PRECISE_AGAIN, RESTITUTED], PRECISE_AGAIN),
        ([PRECISE.replace("S1A", "S1B"), RESTITUTED], RESTITUTED),
    ],
)
def test_the_best_orbit_that_is_there_is_fetched(net, tmp_path, capsys, keys, expected):
    net.hosts[ORBITS] = bucket(keys, dict.fromkeys(keys, ORBIT))
    assert run(["fetch", "orbits", f"/data/{SCENE}.zip", f"{SCENE}.SAFE", "-o", str(tmp_path)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == [expected.rpartition("/")[2]]
    assert capsys.readouterr().out.strip() == str(tmp_path / expected.rpartition("/")[2])
    assert all("authorization" not in request.headers for request in net.asked)


def test_an_orbit_that_is_not_there_yet_is_said(net, tmp_path, capsys):
    net.hosts[ORBITS] = bucket(OTHERS[:3], {})
    assert run(["fetch", "orbits", SCENE, "-o", str(tmp_path)]) == 5
    assert "no orbit file for S1A at 2021-03-01 02:00:00 yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    "answer", [b"<html>maintenance</html>", b"", b"<a><b></a>", b'<!DOCTYPE x [<!ENTITY a "b">]><x/>']
)
def test_a_list_of_orbits_that_is_none_is_said(net, tmp_path, capsys, answer):
    net.hosts[ORBITS] = lambda _: Reply(answer)
    assert run(["fetch", "orbits", SCENE, "-o", str(tmp_path)]) == 5
    assert "the list of orbit files is not one" in capsys.readouterr().err


def test_a_name_that_is_no_product_is_said(net, tmp_path, capsys):
    assert run(["fetch", "orbits", "holiday.zip", "-o", str(tmp_path)]) == 3
    assert "holiday.zip" in capsys.readouterr().err


def raster(array: np.ndarray, transform, **profile) -> bytes:
    with rasterio.MemoryFile() as memory:
        with memory.open(
            driver="GTiff", width=array.shape[1], height=array.shape[0], count=1, dtype=array.dtype, crs="EPSG:4326",
            transform=transform, compress="deflate", tiled=True, **profile,
        ) as file:  # fmt: skip
            file.write(array, 1)
        return memory.read()


def test_an_elevation_model_is_fetched_and_counts_from_the_ellipsoid(net, tmp_path, capsys):
    name = "Copernicus_DSM_COG_10_N46_00_E008_00_DEM"
    size = 1 / 3600
    col, row = np.meshgrid(np.arange(3600), np.arange(3600))
    height = (1000 + 0.1 * col - 0.2 * row).astype(np.float32)
    tile = raster(height, Affine(size, 0, 8 - size / 2, 0, -size, 47 + size / 2))
    lon = np.arange(-180, 180.5, 0.5)
    geoid = np.repeat((lon + 40).astype(np.float32)[None], 361, axis=0)
    net.file("copernicus-dem-30m.s3.amazonaws.com", {f"/{name}/{name}.tif": tile})
    net.file("copernicus-dem-30m.s3.eu-central-1.amazonaws.com", {f"/{name}/{name}.tif": tile})
    path = "/us_nga_egm2008_1_4326__agisoft.tif"
    net.file("aria-geoid.s3.us-west-2.amazonaws.com", {path: raster(geoid, Affine(0.5, 0, -180.25, 0, -0.5, 90.25))})
    out = tmp_path / "dem.tif"
    words = ["fetch", "dem", "--aoi", "8.3,46.4,8.5,46.6", "--margin", "0.05", "-o", str(out)]
    # A process of its own: what certificates GDAL trusts is settled when it reads for the first time.
    done = subprocess.run([sys.executable, "-m", "sensetrack", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    dem = open_dem(out)
    assert dem.vertical == "ellipsoid"
    assert dem.notes == ()
    found = dem.heights_at(np.radians([8.31, 8.49]), np.radians([46.41, 46.58]))
    truth = [1000 + 0.1 * (x - 8) * 3600 - 0.2 * (47 - y) * 3600 + x + 40 for x, y in ((8.31, 46.41), (8.49, 46.58))]
    assert found == pytest.approx(truth, abs=0.15)
    assert run(words) == 2
    assert "exists already" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["dem.tif"]


def test_no_elevation_there_is_said(net, tmp_path, capsys):
    assert run(["fetch", "dem", "--aoi=-30,30,-29.9,30.1", "-o", str(tmp_path / "dem.tif")]) == 3
    assert "has no elevation" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_elevation_model_that_does_not_come_is_said(net, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(network, "ATTEMPTS", 2)
    assert run(["fetch", "dem", "--aoi", "8.3,46.4,8.4,46.5", "-o", str(tmp_path / "dem.tif")]) == 5
    assert "elevation model glo_30 could not be fetched" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


ALPS = "8.1,46.2,8.4,46.4"
TAKEN = [
    optical_item("S2B", "2024-07-11T10:25:00"),
    optical_item("S2A", "2024-07-06T10:25:00"),
    optical_item("S2A", "2024-07-16T10:25:00", clouds=70),
    optical_item("S2A", "2024-07-08T10:15:00", tile="32TMR", orbit=65),
]


def test_a_band_of_sentinel2_needs_no_account(net, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("EARTHDATA_TOKEN")
    net.hosts["earth-search.aws.element84.com"] = optical_catalogue(TAKEN)
    names = [item["id"] for item in TAKEN]
    net.file("sentinel-cogs.s3.us-west-2.amazonaws.com", {f"/{name}/B04.tif": name.encode() for name in names})
    words = ["fetch", "scenes", "--kind", "s2", "--aoi", ALPS, "--band", "B04", "--tile", "T32TLR"]
    assert run([*words, "--start", "2024-07-01", "-o", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "S2A_32TLR_20240706_0_L2A_B04.tif": "S2A_32TLR_20240706_0_L2A",
        "S2B_32TLR_20240711_0_L2A_B04.tif": "S2B_32TLR_20240711_0_L2A",
    }
    assert "pair 20240706-20240711     5.0 days" in said


def test_scenes_of_two_tracks_make_no_pair(net, capsys):
    net.hosts["earth-search.aws.element84.com"] = optical_catalogue([TAKEN[1], TAKEN[3]])
    assert run(["fetch", "scenes", "--kind", "s2", "--aoi", ALPS, "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["pairs"] == []
    assert "no two passes of one track make a pair: 2 found on 2 tracks" in printed.err


def test_the_archive_is_the_one_that_is_meant():
    assert POOL.endswith(DATA)
