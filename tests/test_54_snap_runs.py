"""Runs of SNAP with a stand-in for `gpt`: what it is asked, and everything it does wrong."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import sys
import textwrap
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import geopandas
import numpy as np
import pytest
import shapely
from shapely import box

from conftest import write_tif
from sensetrack.errors import (
    ConfigError,
    EngineFailedError,
    EngineNotFoundError,
    InputError,
    SenseTrackWarning,
    UnsafeInputError,
)
from sensetrack.snap_gpt import (
    Graph,
    SARPreprocessor,
    SnapConfig,
    find_gpt,
    gpt_version,
    run_graph,
)
from sensetrack.snap_gpt.gpt import environment, progress_of, require_gpt
from sensetrack.snap_gpt.lib import S1_IW_SLC

posix = pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script with the executable bit")
SLC = "S1A_IW_SLC__1SDV_20230101T053452_20230101T053519_046594_059583_AE45"

# --- gpt

GPT = """
    import json, os, shutil, subprocess, sys, time
    from xml.etree import ElementTree
    mode = os.environ.get("GPT_MODE", "good")
    if "--diag" in sys.argv:
        if mode == "mute":
            sys.exit(0)
        if mode == "deaf":
            time.sleep(120)
        print("INFO: org.esa.snap: loading\\nSNAP Release version", os.environ.get("GPT_SNAP", "10.0.0"))
        print("SNAP home: /opt/snap/2.0.0")
        sys.exit(0)
    root = ElementTree.parse(sys.argv[1]).getroot()
    files = {node.findtext("operator"): node.findtext("parameters/file") for node in root.findall("node")}
    with open(os.environ["GPT_RECORD"], "w") as record:
        json.dump({"argv": sys.argv[1:], "cwd": os.getcwd(), "locale": os.environ.get("LC_ALL"),
                   "graph": open(sys.argv[1], encoding="utf-8").read(), **files}, record)
    sys.stdout.write("Executing processing graph\\n....10%....20%"); sys.stdout.flush()
    if mode == "fail":
        print("\\nINFO: something\\nError: [NodeId: Calibration] The product has no calibration vectors")
        print("SEVERE: see the log"); sys.exit(1)
    if mode == "memory":
        print("\\nSEVERE: java.lang.OutOfMemoryError: Java heap space"); sys.exit(1)
    if mode == "outside":
        print("\\nError: [NodeId: Subset] No intersection with source product boundary"); sys.exit(1)
    if mode == "bytes":
        sys.stdout.flush(); os.write(2, b"\\nError: caf\\xe9 \\xff\\x00\\x1b[31m\\n"); sys.exit(1)
    if mode == "kill":
        os.kill(os.getpid(), 9)
    if mode == "hang":
        deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(120)"
        one = subprocess.Popen([sys.executable, "-SE", "-c", deaf], stdout=subprocess.PIPE)
        one.stdout.readline()
        open(os.environ["GPT_RECORD"] + ".pid", "w").write(str(one.pid)); time.sleep(120)
    if mode == "loud":
        for _ in range(100): os.write(2, b"WARNING: noise and more noise 0123456789\\n" * 25000)
    if mode == "orbit":
        print("\\nWARNING: org.esa.s1tbx: No precise orbit file found, using restituted orbit"); sys.stdout.flush()
    if mode in ("none", "blank"):
        if mode == "blank": open(files["Write"], "w").close()
    else:
        shutil.copy(os.environ["GPT_RESULT_EMPTY" if mode == "nothing" else "GPT_RESULT"], files["Write"])
        open(files["Write"] + ".tmp", "w").write("left over")
    print("....90%\\n 100% done.")
"""


@pytest.fixture
def gpt(tmp_path, monkeypatch):
    """A stand-in for `gpt` on the PATH; its record of what it was asked is `gpt.record`."""
    folder = tmp_path / "SNAP of mine/bin"
    folder.mkdir(parents=True)
    path = folder / "gpt"
    path.write_text(f"#!{sys.executable} -SE\n{textwrap.dedent(GPT)}", encoding="utf-8")
    path.chmod(0o755)
    pixels = np.zeros((40, 50), np.float32)
    empty = write_tif(tmp_path / "empty.tif", pixels)
    pixels[30, 7] = 0.25
    full = write_tif(tmp_path / "full.tif", np.stack([np.zeros_like(pixels), pixels]))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("SNAP_HOME", raising=False)
    for name, value in (("RECORD", tmp_path / "record.json"), ("RESULT", full), ("RESULT_EMPTY", empty)):
        monkeypatch.setenv(f"GPT_{name}", str(value))
    return path


@pytest.fixture
def product(tmp_path):
    path = tmp_path / "in" / f"{SLC}.zip"
    path.parent.mkdir()
    path.write_bytes(b"PK\x03\x04 not opened here")
    return path


def record(tmp_path):
    return json.loads((tmp_path / "record.json").read_text())


CONFIG = SnapConfig(graph="s1_slc_default_noSF", aoi="9,46,9.5,46.25")


@posix
def test_a_product_goes_through_a_graph(gpt, product, tmp_path):
    heard = []
    config = SnapConfig(
        graph="s1_slc_default_noSF", aoi="9,46,9.5,46.25", memory="12G", threads=3, looks="2x8", resolution=30
    )
    result = run_graph(product, tmp_path / "out", config, report=lambda done, total: heard.append((done, total)))
    stem = f"{SLC}_s1_slc_default_noSF_aoi"
    assert result == tmp_path / "out" / f"{stem}.tif"
    assert result.read_bytes() == (tmp_path / "full.tif").read_bytes()
    assert {path.name for path in result.parent.iterdir()} == {
        f"{stem}{end}" for end in (".tif", ".graph.xml", ".gpt.log")
    }
    assert heard[0] == (10, 100)
    assert heard[-1] == (100, 100)
    asked = record(tmp_path)
    assert asked["argv"] == ["graph.xml", "-e", "-q", "3", "-J-Xmx12G"]
    assert (asked["Read"], asked["locale"] is None or "utf" in asked["locale"].lower()) == (str(product), True)
    assert Path(asked["Write"]).parent == Path(asked["cwd"])
    kept = (result.parent / f"{stem}.graph.xml").read_text(encoding="utf-8")
    assert kept.replace(str(result), asked["Write"]) == asked["graph"], (
        "the graph beside the result is the one that ran"
    )
    root = ET.fromstring(kept)
    terrain = root.find("node[@id='Terrain-Correction']/parameters")
    assert terrain.findtext("mapProjection") == "EPSG:32632"
    assert float(terrain.findtext("pixelSpacingInMeter")) == 30
    assert terrain.findtext("demName") == "Copernicus 30m Global DEM"
    looks = root.find("node[@id='Multilook']/parameters")
    assert (looks.findtext("nAzLooks"), looks.findtext("nRgLooks")) == ("2", "8")
    region = shapely.from_wkt(root.findtext(".//geoRegion"))
    assert region.equals(box(9, 46, 9.5, 46.25))
    assert "Executing processing graph" in (result.parent / f"{stem}.gpt.log").read_text()
    assert product.read_bytes().startswith(b"PK")
    assert list(product.parent.iterdir()) == [product], "nothing is written beside a product"


FAULTS = {
    "fail": r"gpt ended with code 1: Error: \[NodeId: Calibration\] The product has no calibration vectors; see",
    "memory": r"OutOfMemoryError: Java heap space \(give SNAP more --memory\)",
    "outside": r"No intersection .*\(the area of interest lies outside the product\)",
    "bytes": r"gpt ended with code 1: Error: caf",
    "kill": r"gpt was killed \(SIGKILL\), probably for lack of memory",
    "hang": r"gpt did not finish within 3 s and was stopped",
    "none": r"gpt ended without an error, but its output is missing",
    "blank": r"gpt ended without an error, but its output is empty",
    "nothing": r"gpt ended without an error, but its output holds no pixel with data; does the area of interest",
}


@posix
@pytest.mark.parametrize("mode", FAULTS)
def test_what_gpt_does_wrong(gpt, product, tmp_path, monkeypatch, mode):
    gpt_version(gpt)
    monkeypatch.setenv("GPT_MODE", mode)
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("stays")
    begin = time.monotonic()
    config = SnapConfig(**CONFIG.model_dump(exclude_unset=True), timeout=3 if mode == "hang" else 60)
    with pytest.raises(EngineFailedError, match=FAULTS[mode]) as caught:
        run_graph(product, out, config)
    log = out / f"{SLC}_s1_slc_default_noSF_aoi.gpt.log"
    assert time.monotonic() - begin < 3 + 15
    assert caught.value.exit_code == 5
    assert str(log) in str(caught.value)
    assert caught.value.log == log
    assert {path.name for path in out.iterdir()} == {"mine.txt", log.name}, "only the log stays"
    assert "Executing processing graph" in log.read_text(errors="replace")
    assert str(caught.value).isprintable()
    if mode == "hang":
        pid = int((tmp_path / "record.json.pid").read_text())
        assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text()


@posix
def test_a_hundred_megabytes_of_words_are_no_fault(gpt, product, tmp_path, monkeypatch):
    gpt_version(gpt)
    monkeypatch.setenv("GPT_MODE", "loud")
    result = run_graph(product, tmp_path / "out", CONFIG)
    assert result.is_file()
    assert result.with_suffix(".gpt.log").stat().st_size < 70e6


@posix
def test_another_orbit_is_said(gpt, product, tmp_path, monkeypatch):
    monkeypatch.setenv("GPT_MODE", "orbit")
    with pytest.warns(SenseTrackWarning, match="No precise orbit file found, using restituted orbit"):
        run_graph(product, tmp_path / "out", CONFIG)


@posix
def test_where_gpt_is_and_which_it_is(gpt, tmp_path, monkeypatch):
    assert find_gpt() == gpt
    assert require_gpt() == (gpt, (10, 0, 0))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("SNAP_HOME", str(gpt.parents[1]))
    assert find_gpt() == gpt
    os.utime(gpt, ns=(1, 1))  # another installation at the same place
    monkeypatch.setenv("GPT_SNAP", "8.0.9")
    with pytest.raises(EngineNotFoundError, match=r"is SNAP 8\.0\.9, and the graphs need 9\.0 or later; update SNAP"):
        require_gpt()
    assert require_gpt(oldest=(0,))[1] == (8, 0, 9)
    for mode, said in (("mute", "did not say its version"), ("deaf", r"did not finish within 0\.5 s")):
        os.utime(gpt, ns=(2, 2 + len(mode) + ord(mode[0])))
        monkeypatch.setenv("GPT_MODE", mode)
        with pytest.raises(EngineFailedError, match=f"{said}.*--diag") as caught:
            gpt_version(gpt, timeout=0.5 if mode == "deaf" else 60)
        assert "sensetrack-" not in str(caught.value), "its log is gone"


def test_no_gpt_at_all(product, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SNAP_HOME", str(tmp_path / "nowhere"))
    monkeypatch.setattr("sensetrack.snap_gpt.gpt._PLACES", {"posix": ("~/snap/bin",), "nt": ("~/snap/bin",)})
    with pytest.raises(EngineNotFoundError, match=r"gpt was not found; looked in SNAP_HOME \(.*nowhere\), PATH, .*"):
        run_graph(product, tmp_path / "out", CONFIG)
    assert not (tmp_path / "out").exists()
    with pytest.raises(EngineNotFoundError, match="gpt was not found at"):
        require_gpt(tmp_path / "gpt")


@pytest.mark.parametrize("ending", [".exe", ".bat"])
def test_gpt_on_windows(tmp_path, ending):
    file = tmp_path / "snap/bin" / f"gpt{ending}"
    file.parent.mkdir(parents=True)
    file.touch()
    assert find_gpt({"PATH": str(file.parent)}, "nt") == file
    assert find_gpt({"PATH": "", "SNAP_HOME": str(tmp_path / "snap")}, "nt") == file


@posix
@pytest.mark.parametrize("name", ["a b; touch PWNED", "$(touch PWNED)", "two\nlines", "中 é", "q'\"<&>", "x" * 240])
def test_hostile_names_of_products_and_folders(gpt, tmp_path, name):
    source = tmp_path / "in" / name
    source.parent.mkdir()
    source.write_bytes(b"x")
    out = tmp_path / f"o{name[:60]}"
    with pytest.warns(SenseTrackWarning, match="does not look like one by its name"):
        result = run_graph(source, out, CONFIG)
    asked = record(tmp_path)
    assert asked["Read"] == str(source)
    assert asked["argv"] == ["graph.xml", "-e"]
    assert re.fullmatch(r"[\w.+-]{1,190}\.tif", result.name, re.ASCII)
    assert result.is_file()
    assert not list(tmp_path.rglob("PWNED"))


def dry(product, folder, **settings):
    return run_graph(product, folder, SnapConfig(**settings), dry_run=True)


def test_a_dry_run_writes_the_graph_and_needs_no_snap(product, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    path = dry(product, tmp_path / "out", graph="S1_IW_SLC_DFLT_B3", aoi="9,46,9.5,46.25", values={"nRgLooks": "5"})
    assert [one.name for one in (tmp_path / "out").iterdir()] == [path.name]
    root = ET.fromstring(path.read_text(encoding="utf-8"))
    assert root.findtext("node[@id='Write']/parameters/file") == str(path.with_suffix("").with_suffix(".tif"))
    assert root.findtext("node[@id='Multilook']/parameters/nRgLooks") == "5"
    assert "Sigma0_VH / Sigma0_VV" in root.findtext(".//expression")
    assert "${" not in path.read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match="exists already"):
        dry(product, tmp_path / "out", graph="S1_IW_SLC_DFLT_B3", aoi="9,46,9.5,46.25")


def test_without_an_area_the_whole_product_is_taken(product, tmp_path):
    path = dry(product, tmp_path, graph="s1_slc_default", crs="EPSG:3413")
    operators = [one.text for one in ET.fromstring(path.read_text(encoding="utf-8")).iter("operator")]
    assert operators == [one for one in Graph.named("s1_slc_default").operators if one != "Subset"]
    with pytest.raises(ConfigError, match="graph s1_slc_default needs a CRS; give --crs, or an --aoi"):
        dry(product, tmp_path, graph="s1_slc_default")


def test_an_elevation_model_of_your_own(product, tmp_path):
    dem = write_tif(tmp_path / "dem <1>.tif", np.full((30, 40), 800, np.int16), nodata=-9999)
    path = dry(product, tmp_path / "out", graph="s1_slc_default", aoi="9,46,10,47", dem=str(dem))
    terrain = ET.fromstring(path.read_text(encoding="utf-8")).find("node[@id='Terrain-Correction']/parameters")
    found = [terrain.findtext(key) for key in ("demName", "externalDEMFile", "externalDEMNoDataValue")]
    assert found == ["External DEM", str(dem), "-9999.0"]
    plain = write_tif(tmp_path / "plain.tif", np.ones((30, 40), np.int16), affine=None, crs=None)
    with pytest.raises(InputError, match="is no elevation model: it has no georeference"):
        dry(product, tmp_path / "out2", graph="s1_slc_default", aoi="9,46,10,47", dem=str(plain))


@pytest.mark.filterwarnings("ignore::sensetrack.errors.SenseTrackWarning")
@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"graph": "s1_slc"}, ConfigError, "there is no graph 's1_slc'; there are cosmo"),
        (
            {"graph": "s1_slc_default", "values": {"looks": 3}},
            ConfigError,
            "no parameter 'looks'; it has input, nRgLooks",
        ),
        ({"graph": "s1_slc_default", "values": {"output": "/etc/x"}}, ConfigError, "output of a graph is set by"),
        ({"graph": "s1_grd_default", "looks": (1, 4)}, ConfigError, "has no parameter 'nAzLooks'"),
        ({"graph": "s1_slc_default", "crs": "EPSG:99999"}, InputError, "crs must be one that PROJ knows"),
        ({"graph": "s1_slc_default", "without": ["Filter"]}, ConfigError, "has no 'Filter'; it has Read"),
        ({"graph": "s1_slc_default", "memory": "12 GB; rm"}, ConfigError, "memory must be a number with K, M or G"),
        ({"graph": "s1_slc_default", "resolution": 0}, ConfigError, "resolution"),
        ({"graph": "s1_slc_default", "colour": 1}, ConfigError, "SnapConfig has no parameter 'colour'"),
    ],
)
def test_settings_that_cannot_be(product, tmp_path, settings, error, said):
    with pytest.raises(error, match=said):
        dry(product, tmp_path / "out", aoi="9,46,10,47", **settings)
    assert not (tmp_path / "out").exists()


def test_a_safe_folder_and_what_is_none(tmp_path):
    safe = tmp_path / f"{SLC}.SAFE"
    safe.mkdir()
    with pytest.raises(InputError, match=r"is a folder without any of manifest\.safe"):
        dry(safe, tmp_path / "out", **CONFIG.model_dump(exclude_unset=True))
    (safe / "manifest.safe").write_text("<x/>")
    for given in (safe, safe / "manifest.safe"):
        path = dry(given, tmp_path / f"out{given.suffix}x{given.name[0]}", **CONFIG.model_dump(exclude_unset=True))
        assert path.name == f"{SLC}_s1_slc_default_noSF_aoi.graph.xml"
        assert str(safe / "manifest.safe") in path.read_text(encoding="utf-8")
    with pytest.raises(UnsafeInputError, match="only local files"):
        dry("http://host/x.zip", tmp_path / "out", **CONFIG.model_dump(exclude_unset=True))


def test_the_second_generation_of_cosmo_is_not_calibrated(tmp_path):
    new = "CSG_SSAR1_SCS_B_0101_STR_012_HH_RD_F_20200921215026_20200921215032_1_F_09S_Z19_N00.h5"
    old = "CSKS1_SCS_B_HI_0A_HH_RD_SF_20150304181147_20150304181154.h5"
    for name in (new, old):
        (tmp_path / name).write_bytes(b"x")
    with pytest.warns(SenseTrackWarning, match="Calibration is left out, because SNAP does not calibrate the second"):
        first = dry(tmp_path / new, tmp_path / "out", graph="cosmo_scs-b_default", aoi="-71,-10,-70,-9")
    second = dry(tmp_path / old, tmp_path / "out", graph="cosmo_scs-b_default", aoi="-71,-10,-70,-9")
    assert "Calibration<" not in first.read_text(encoding="utf-8")
    assert "Calibration<" in second.read_text(encoding="utf-8")
    assert "EPSG:32719" in second.read_text(encoding="utf-8")


SMALL = """<?xml version="1.0" encoding="UTF-8"?>
<!-- Copies a product. -->
<graph id="copy"><version>1.0</version>
  <node id="R"><operator>Read</operator><sources/><parameters><file>${input}</file></parameters></node>
  <!-- on the way -->
  <node id="M"><operator>Maths</operator><sources><sourceProduct refid="R"/></sources>
    <parameters mode="${mode}"><expression>a ${gain} ${gain}</expression></parameters></node>
  <node id="W"><operator>Write</operator><sources><sourceProduct refid="M"/></sources>
    <parameters><file>${output}</file><formatName>GeoTIFF</formatName></parameters></node>
</graph>
"""


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "copy.xml"
    path.write_text(SMALL, encoding="utf-8")
    return path


@posix
def test_a_graph_of_your_own(gpt, product, small, tmp_path, monkeypatch):
    monkeypatch.setenv("GPT_SNAP", "6.0")
    os.utime(gpt, ns=(5, 5))
    config = {"graph": str(small), "values": {"mode": "x", "gain": "a < b"}}
    result = run_graph(product, tmp_path / "out", SnapConfig(**config))
    assert result.name == f"{SLC}_copy.tif"
    assert ET.fromstring(record(tmp_path)["graph"]).findtext(".//expression") == "a a < b a < b"
    with pytest.raises(ConfigError, match="graph copy has no parameter 'geoRegion'"):
        run_graph(product, tmp_path / "out2", SnapConfig(aoi="9,46,10,47", **config))
    with pytest.raises(ConfigError, match="graph copy needs mode, gain"):
        run_graph(product, tmp_path / "out2", SnapConfig(graph=str(small)))


@posix
def test_results_are_whole_or_not_there(gpt, product, tmp_path, monkeypatch):
    result = run_graph(product, tmp_path / "out", CONFIG)
    before = result.read_bytes()
    with pytest.raises(ConfigError, match="exists already"):
        run_graph(product, tmp_path / "out", CONFIG)
    monkeypatch.setenv("GPT_MODE", "fail")
    with pytest.raises(EngineFailedError):
        run_graph(product, tmp_path / "out", CONFIG, overwrite=True)
    assert result.read_bytes() == before
    monkeypatch.setenv("GPT_MODE", "good")
    assert run_graph(product, tmp_path / "out", CONFIG, overwrite=True) == result

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("sensetrack.snap_gpt.prepare._require_data", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_graph(product, tmp_path / "other", CONFIG)
    assert not (tmp_path / "other").exists()


def test_progress_is_heard_across_pieces():
    heard = []
    listen = progress_of(lambda done, total: heard.append(done))
    for text in ("Executing\n....1", "0%....", "20", "%....30%....", "25% 300% ", "....100", "%"):
        listen(text)
    assert heard == [10, 20, 30, 100]


def test_java_gets_a_locale_that_can_name_any_file():
    assert environment({"LANG": "C"})["LC_ALL"] == "C.UTF-8" or os.name == "nt"
    assert "LC_ALL" not in environment({"LANG": "it_IT.UTF-8"})
    assert environment({"LC_ALL": "de_DE.utf8"})["LC_ALL"] == "de_DE.utf8"


# --- the base of the missions


class Mission(SARPreprocessor):
    """A mission of two looks that knows its incidence angle."""

    resolution = S1_IW_SLC
    azimuth_looks = 2

    def mean_incidence_angle(self, filename):
        return math.radians(39)


@pytest.fixture
def vectors(tmp_path):
    """Two fields in UTM, in a GeoPackage with two layers, and one of them as Shapefile and GeoJSON."""
    frame = geopandas.GeoDataFrame(
        geometry=[box(500_000, 5_100_000, 501_000, 5_102_000), box(503_000, 5_101_000, 504_000, 5_104_000)],
        crs="EPSG:32632",
    )
    frame.to_file(tmp_path / "a.gpkg", layer="fields", driver="GPKG")
    frame.iloc[:1].to_file(tmp_path / "a.gpkg", layer="one", driver="GPKG")
    frame.iloc[:1].to_file(tmp_path / "a.shp")
    frame.iloc[:1].to_crs(4326).to_file(tmp_path / "a.geojson", driver="GeoJSON")
    return tmp_path


def test_the_base_of_the_missions(product, vectors, tmp_path):
    mission = Mission(f"{vectors / 'a.gpkg'}|one", "S1_IW_SLC_DFLT")
    assert (mission.SUBSET.name, mission.PROCESS, mission.GRAPH.name) == ("one", "S1_IW_SLC_DFLT", "s1_slc_default.xml")
    assert mission.estimate_multilook_parms(product)[:2] == (8, 2)
    assert mission.estimate_multilook_parms(product, (2.3, 14.1), 1)[:2] == (4, 1)
    path = mission.run(product, "EPSG:32633", folder=tmp_path / "out", dry_run=True)
    assert path.name == f"{SLC}_s1_slc_default_one.graph.xml"
    root = ET.fromstring(path.read_text(encoding="utf-8"))
    looks = root.find("node[@id='Multilook']/parameters")
    assert (looks.findtext("nAzLooks"), looks.findtext("nRgLooks")) == ("2", "8")
    assert root.findtext(".//mapProjection") == "EPSG:32633"
    again = mission.run(product, folder=tmp_path / "again", dry_run=True, looks=(1, 4))
    assert "<nRgLooks>4<" in again.read_text(encoding="utf-8")


def test_engines_that_are_not_there(product, vectors, tmp_path):
    with pytest.raises(ConfigError, match="engine must be snap or native, instead got 'gamma'"):
        Mission(vectors / "a.shp", "S1_IW_SLC_DFLT", engine="gamma")
    native = Mission(vectors / "a.shp", "S1_IW_SLC_DFLT", engine="native")
    with pytest.raises(ConfigError, match=r'Mission cannot calibrate, .* without SNAP yet; say engine="snap"'):
        native.run(product, folder=tmp_path / "out")
    with pytest.raises(TypeError, match="abstract"):
        SARPreprocessor(vectors / "a.shp", "S1_IW_SLC_DFLT")


# --- the command line


@posix
def test_many_products_in_one_call(gpt, product, tmp_path, monkeypatch, capsys):
    from sensetrack.cli.snap import prepare_with_snap

    second = product.with_name(product.name.replace("20230101", "20230113"))
    shutil.copy(product, second)
    given = {"graph": "s1_slc_default_noSF", "aoi": "9,46,9.5,46.25", "crs": None, "quiet": True}
    done = prepare_with_snap([product, second], tmp_path / "out", settings=["nRgLooks=6"], **given)
    assert [path.name[:32] for path in done] == [SLC[:32], second.name[:32]]
    assert "<nRgLooks>6<" in record(tmp_path)["graph"]
    with pytest.raises(InputError, match="not found"):  # before the first has been run
        prepare_with_snap([product, tmp_path / "none.zip"], tmp_path / "other", **given)
    assert not (tmp_path / "other").exists()
    with pytest.raises(ConfigError, match="engine snap needs a graph; say --graph with one of cosmo"):
        prepare_with_snap([product], tmp_path / "other", **(given | {"graph": None}))
    with pytest.raises(ConfigError, match="--set must be name=value"):
        prepare_with_snap([product], tmp_path / "other", settings=["nRgLooks"], **given)
