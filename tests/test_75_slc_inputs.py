"""`sensetrack slc` with a pair that cannot be measured: said before anything is computed, nothing is left behind."""

import json
import re
import shutil
import time

import numpy as np
import pytest

import slc_pairs
from conftest import write_tif
from sensetrack.errors import OrbitWarning
from sensetrack.sar.simulate import Scene
from sensetrack.sentinel.simulate_s1 import plan, write_product
from sensetrack.workflow import slc_bursts
from sensetrack.workflow.slc_config import SlcConfig
from sensetrack.workflow.slc_inputs import open_pair, slc_job
from sensetrack.workflow.slc_kept import key_of

SMALL = {"lines": 60, "samples": 90, "swaths": ("IW1",)}


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    """A pair and its elevation model."""
    return slc_pairs.pair(tmp_path_factory.mktemp("pair"), displacement=None, **SMALL)


@pytest.fixture
def slc(cli, tmp_path, monkeypatch):
    """Run the command into a new folder; measuring is an error of the test."""

    def measured(*_, **__):
        raise AssertionError("nothing may be computed before all inputs are looked at")

    monkeypatch.setattr(slc_bursts, "measure", measured)

    def call(*arguments):
        began = time.perf_counter()
        result = cli("slc", *arguments, "-o", tmp_path / "out", "--quiet")
        assert time.perf_counter() - began < 10
        assert not (tmp_path / "out").exists(), "nothing is left behind"
        return result

    return call


def other(folder, **changes):
    """A product that differs from the reference in something."""
    return write_product(folder, Scene(height=640.0), plan(slc_pairs.recipe(**SMALL | changes)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"relative_orbit": 67}, "relative orbit"),
        ({"ascending": True}, "pass"),
        ({"polarisations": ("HH",)}, "polarisation"),
        ({"product": "GRD"}, "product type"),
        ({"place": (8.0, 47.9)}, "burst"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_paired_is_refused(products, tmp_path, slc, changes, said):
    result = slc(products[0], other(tmp_path / "other", **changes))
    assert (result.code, said in result.error) == (3, True), result.error
    assert "--force" not in result.error, "it is no way out here"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--swaths", "3"), 2, "swath must be one of IW1, instead got 'IW3'"),
        (("--polarization", "VH"), 3, "polarisation must be one of VV, instead got 'VH'"),
        (("--aoi", "11,46,11.5,46.5"), 3, "the area must reach into a burst that both products have"),
        (("--aoi", "-8.2,31,-7.9,31.4"), 3, "instead got -8.200 to -7.900 E"),
        (("--clip", "-8,31,7,33"), 3, "the clip must reach into what is measured"),
        (("--aoi", "no.gpkg"), 3, "no.gpkg: not found"),
        (("--dem", "no.tif"), 3, "no.tif: not found"),
        (("--chip", "64x256"), 3, "no burst has a place for a chip of 64x256 px"),
        (("--set", "frobnicate=3"), 2, "SlcOffsets has no parameter 'frobnicate'"),
        (("--set", "frobnicate"), 2, "--set must be key=value"),
        (("--crs", "EPSG:1"), 3, "crs must be one that PROJ knows"),
        (("--clip", "1,2,3"), 2, "clip must be four numbers"),
        (("--config", "no.yaml"), 2, "no.yaml: not found"),
        (("--orbits", "no/"), 3, "no/: not found"),
        (("--max-memory", "300MB"), 2, "more than the 0.3 GB of --max-memory"),
        (("--workers", "0"), 2, "workers must be at least 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_arguments_are_said(products, slc, arguments, code, said):
    result = slc(*products[:2], *arguments)
    assert (result.code, said in result.error) == (code, True), result.error


def test_other_files_are_no_slcs(products, tmp_path, slc):
    image = write_tif(tmp_path / "a.tif", np.ones((40, 50), np.float32))
    result = slc(image, products[1])
    assert (result.code, "must be a Sentinel-1 SLC, and this is none" in result.error) == (3, True), result.error
    result = slc(products[0], tmp_path / "nothing.SAFE")
    assert (result.code, "nothing.SAFE: not found" in result.error) == (3, True), result.error


def test_an_empty_measurement_is_named_before_anything_is_computed(products, tmp_path, slc):
    copy = tmp_path / products[1].name
    shutil.copytree(products[1], copy)
    member = next((copy / "measurement").glob("*.tiff"))
    member.write_bytes(b"")
    result = slc(products[0], copy)
    assert result.code == 3
    assert member.name in result.error
    assert "empty" in result.error


def orbit_file(folder, day, platform="S1A"):
    name = f"{platform}_OPER_AUX_POEORB_OPOD_{day}T080000_V{day}T225942_{int(day) + 2}T005942.EOF"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("<Earth_Explorer_File/>", encoding="utf-8")
    return folder


def test_orbit_files_of_another_day_are_an_error_unless_forced(products, tmp_path, slc):
    folder = orbit_file(
        tmp_path / "orbits", "20240612"
    )  # that of the secondary; the reference is from the first of June
    result = slc(*products[:2], "--orbits", folder)
    assert result.code == 3
    assert "no orbit file of S1A covers 2024-06-01 05:26:2" in result.error
    assert "annotated orbit" in result.error
    result = slc(*products[:2], "--orbits", orbit_file(tmp_path / "empty", "20230101"))
    assert (result.code, "no orbit file" in result.error) == (3, True)


def test_an_elevation_model_must_cover_the_bursts(products, tmp_path, slc):
    result = slc(*products[:2], "--dem", slc_pairs.dem(tmp_path / "dem.tif", size=0.005))
    assert result.code == 3
    assert re.search(
        r"dem\.tif: must cover the ground that is measured, instead covers \d+ % of burst iw1-vv", result.error
    )


def test_an_elevation_model_must_say_what_its_heights_are_above(products, tmp_path, slc):
    path = slc_pairs.dem(tmp_path / "heights.tif", crs="EPSG:4326")
    result = slc(*products[:2], "--dem", path)
    assert result.code == 3
    assert "heights.tif: must say what its heights (float32 in EPSG:4326) are above" in result.error
    assert "vertical" in result.error


def test_results_that_exist_are_not_replaced(products, tmp_path, cli):
    (tmp_path / "radar").mkdir()
    kept = tmp_path / "radar" / "flags.tif"
    kept.write_text("mine", encoding="utf-8")
    result = cli("slc", *products[:2], "-o", tmp_path)
    assert (result.code, "flags.tif: exists already" in result.error) == (2, True), result.error
    assert kept.read_text(encoding="utf-8") == "mine"


def test_results_do_not_go_into_a_product(products, cli):
    before = sorted(products[0].rglob("*"))
    result = cli("slc", *products[:2], "-o", products[0] / "out")
    assert (result.code, "lies in the product that is read" in result.error) == (2, True), result.error
    assert sorted(products[0].rglob("*")) == before


def test_a_configuration_with_a_strange_key_is_refused(products, tmp_path, slc):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"chips": 64}), encoding="utf-8")
    result = slc(*products[:2], "--config", path)
    assert (result.code, "SlcConfig has no parameter 'chips'" in result.error) == (2, True), result.error


def test_an_annotated_orbit_that_is_metres_off_is_said(products, tmp_path):
    """Before anything is computed; `sensetrack slc` records such warnings."""
    copy = tmp_path / products[0].name
    shutil.copytree(products[0], copy)
    for path in (copy / "annotation").glob("*.xml"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("<orbitSource>Auxiliary<", "<orbitSource>Downlink<"), encoding="utf-8")
    config = SlcConfig(height=640.0)
    reference, secondary = open_pair(copy, products[1], config)
    with pytest.warns(OrbitWarning, match="its annotated orbit .Downlink. is metres off; give an orbit file"):
        job = slc_job(reference, secondary, config)
    assert [pair.key for pair in job.pairs] == ["iw1/vv"] * 2


def test_a_folder_of_results_inside_is_a_file(products, tmp_path, cli):
    (tmp_path / "radar").write_text("mine", encoding="utf-8")
    result = cli("slc", *products[:2], "-o", tmp_path)
    assert (result.code, "is a file where a folder of results belongs" in result.error) == (5, True), result.error


def test_what_is_kept_is_for_these_files_and_settings(products, tmp_path):
    def key(config, reference=products[0]):
        return key_of(slc_job(*open_pair(reference, products[1], config), config), config)

    config = SlcConfig(height=640.0)
    same = key(config)
    assert same == key(config)
    for changes in ({"search": (9, 30)}, {"coherent": False}, {"height": 641.0}, {"parameters": {"min_valid": 0.6}}):
        assert key(config.model_copy(update=changes)) != same
    for changes in ({"crs": "EPSG:2056"}, {"snr": 3.0}, {"median": 3}, {"assumption": "surface"}, {"force": True}):
        assert key(config.model_copy(update=changes)) == same
    copy = tmp_path / products[0].name
    shutil.copytree(products[0], copy)
    assert key(config, copy) != same
