"""ISCE2 as an engine: what it is told, run by a stand-in that can fail in every way, and what it leaves."""

from __future__ import annotations

import os
import re
import time
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isce2_stand_in import stand_in
from sensetrack.errors import ConfigError, EngineFailedError, EngineNotFoundError, InputError
from sensetrack.files.isce import DenseOffsets, read_dense_offsets, write_dense_offsets
from sensetrack.isce2 import STEPS, Scene, TopsApp, clean, find_topsapp, read_topsapp, run_topsapp, write_topsapp
from sensetrack.isce2.run import LOG, environment, finished, next_step
from sensetrack.isce2.settings import search_for

posix = pytest.mark.skipif(os.name == "nt", reason="ISCE2 does not run on Windows")

PROSE = {
    "Ampcor window width": "256", "Ampcor window height": "64", "Ampcor search window width": "30",
    "Ampcor search window height": "10", "Ampcor skip width": "44", "Ampcor skip height": "8", "swaths": "[2]",
    "do ESD": "False", "do interferogram": "False", "do unwrap": "False", "do unwrap 2 stage": "False",
    "do ionosphere correction": "False", "do dense offsets": "True", "Sensor name": "SENTINEL1",
    "region of interest": "[-70.45441464, -69.88490745, 38.29553816, 39.83817435]", "demFilename": "dem/dem.wgs84",
}  # fmt: skip
"""What the study of the Shirase glacier tells topsApp, in its text."""


def shirase(**changes) -> TopsApp:
    box = (-70.45441464, -69.88490745, 38.29553816, 39.83817435)
    date = {"polarization": "HH", "orbit_directory": "orbits", "region_of_interest": box}
    known = {
        "reference": Scene(safe=("SAFE/a.zip",), **date), "secondary": Scene(safe=("SAFE/b.zip", "SAFE/c.zip"), **date),
        "swaths": (2,), "region_of_interest": box, "dem": "dem/dem.wgs84",
    }  # fmt: skip
    return TopsApp(**(known | changes))


def test_what_is_written_is_what_the_study_says(tmp_path):
    write_topsapp(tmp_path, shirase())
    root = ET.parse(tmp_path / "topsApp.xml").getroot()
    said = {one.get("name"): one.text for one in root.iter("property")}
    assert root.tag == "topsApp"
    assert {name: said.get(name) for name in PROSE} == PROSE
    assert [one.text for one in root.iter("catalog")] == ["reference.xml", "secondary.xml"]
    date = {one.get("name"): one.text for one in ET.parse(tmp_path / "secondary.xml").getroot()}
    assert date["safe"] == "['SAFE/b.zip', 'SAFE/c.zip']"
    assert (date["polarization"], date["output directory"], date["orbit directory"]) == ("hh", "secondary", "orbits")


def test_it_parses_back(tmp_path):
    write_topsapp(tmp_path, shirase())
    back = read_topsapp(tmp_path / "topsApp.xml")
    assert back.reference.output_directory == "reference"
    assert back.window == (64, 256)
    scenes = {
        name: getattr(back, name).model_copy(update={"output_directory": None}) for name in ("reference", "secondary")
    }
    assert back.model_copy(update=scenes) == shirase()


@settings(max_examples=30)
@given(
    window=st.tuples(st.integers(9, 200).map(lambda n: 2 * n), st.integers(9, 200).map(lambda n: 2 * n)),
    search=st.tuples(st.integers(8, 35), st.integers(8, 35)),
    skip=st.tuples(st.integers(1, 99), st.integers(1, 99)),
    gross=st.tuples(st.integers(-40, 40), st.integers(-40, 40)),
    snr=st.none() | st.floats(0, 50),
    median=st.integers(1, 15),
    geocode=st.none() | st.lists(st.sampled_from(["dense_offsets.bil", "dense_offsets_snr.bil"]), min_size=1),
)
def test_any_settings_parse_back(tmp_path_factory, window, search, skip, gross, snr, median, geocode):
    folder = tmp_path_factory.mktemp("run")
    made = shirase(
        window=window, search=search, skip=skip, gross=gross, snr_threshold=snr, median=median,
        geocode_list=None if geocode is None else tuple(geocode), do_esd=True, oversampling=64,
    )  # fmt: skip
    write_topsapp(folder, made)
    back = read_topsapp(folder / "topsApp.xml").to_dict()
    expected = made.to_dict()
    for name in ("reference", "secondary"):
        expected[name]["output_directory"] = name
    assert back == expected


def test_a_file_of_somebody_else_is_read_with_what_isce2_takes_where_it_is_silent(tmp_path):
    for name in ("reference", "secondary"):
        text = f"<component name='{name}'><property name='SAFE'><value>['{name}.zip']</value></property></component>"
        (tmp_path / f"{name}.xml").write_text(text)
    (tmp_path / "topsApp.xml").write_text(
        "<topsApp><component name='TopsInSAR'><component name='Reference'><catalog>reference.xml</catalog></component>"
        "<component name='secondary'><catalog> secondary.xml </catalog></component>"
        "<property name='do denseoffsets'>True</property><property name='AMPCOR  window WIDTH'>128</property>"
        "<property name='something new'>7</property></component></topsApp>"
    )
    back = read_topsapp(tmp_path / "topsApp.xml")
    assert (back.window, back.search, back.skip) == ((64, 128), (20, 20), (32, 32))
    assert (back.dense_offsets, back.do_esd, back.do_interferogram) == (True, True, True)
    assert back.reference.safe == ("reference.zip",)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"window": (16, 64), "search": (32, 128), "skip": (64, 256)},
            r"search must be less than twice the window.*32",
        ),
        ({"use_gpu": True}, r"use_gpu the search must be the same along rows and columns, instead got 10 x 30"),
        ({"window": (63, 256)}, "even number of rows, instead got 63"),
        ({"search": (7, 30)}, "at least 8 px along the rows, instead got 7"),
        ({"oversampling": 24}, "power of two, instead got 24"),
        ({"region_of_interest": (38.0, -70.0, 39.0, -69.0)}, "south, north, west, east"),
        ({"swaths": (4,)}, "swaths"),
        ({"windows": (64, 64)}, "windows"),
    ],
)
def test_what_isce2_would_refuse_after_hours_is_refused_now(changes, match):
    with pytest.raises(ConfigError, match=match):
        shirase(**changes)


def test_the_search_grows_with_the_days_between():
    assert [search_for(days) for days in (12, 24.0, 24.01, 6, 0.0003, -36)] == [
        (10, 30), (20, 60), (30, 90), (10, 30), (10, 30), (30, 90)
    ]  # fmt: skip


ELSEWHERE = (
    "<topsApp><component name='topsinsar'><component name='reference'><catalog>../x.xml</catalog></component>"
    "</component></topsApp>"
)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("<topsApp/>", "has no component topsinsar"),
        ("<topsApp><component name='topsinsar'/></topsApp>", "has no component reference"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><topsApp>&a;</topsApp>", "forbidden"),
        (ELSEWHERE, "must lie beside it"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, text, match):
    (tmp_path / "topsApp.xml").write_text(text)
    with pytest.raises(InputError, match=match):
        read_topsapp(tmp_path / "topsApp.xml")


@pytest.fixture
def offsets() -> DenseOffsets:
    random = np.random.default_rng(5)
    d_row, d_col = (random.normal(0, 3, (11, 17)).astype(np.float32) for _ in range(2))
    snr = random.uniform(4, 40, (11, 17)).astype(np.float32)
    covariance = random.uniform(0.001, 0.1, (11, 17, 3)).astype(np.float32)
    for layer in (d_row, d_col, snr, covariance):
        layer[3, 5] = layer[8:, :2] = np.nan
    return DenseOffsets(d_row, d_col, snr, covariance, (d_row - 1, d_col + 2))


@pytest.fixture
def engine(tmp_path, monkeypatch, offsets):
    """A folder with settings, and a stand-in for topsApp.py that writes what our own layout says."""
    results = tmp_path / "results"
    results.mkdir()
    write_dense_offsets(results, offsets)
    home = stand_in(tmp_path / "isce", results)
    monkeypatch.setenv("ISCE_HOME", str(home))
    run = tmp_path / "run"
    (tmp_path / "a.zip").write_text("a product")
    (tmp_path / "b.zip").write_text("a product")
    products = {name: Scene(safe=(str(tmp_path / f"{letter}.zip"),)) for name, letter in
                (("reference", "a"), ("secondary", "b"))}  # fmt: skip
    write_topsapp(run, TopsApp(**products, dem=str(run / "dem.wgs84")))
    (run / "dem.wgs84").write_text("heights")
    return run


@posix
def test_it_is_run_and_read_back(engine, offsets):
    seen = []
    done = run_topsapp(engine, workers=3, advance=lambda *state: seen.append(state))
    assert done.code == 0
    back = read_dense_offsets(engine / "merged")
    for name in ("d_row", "d_col", "snr", "covariance"):
        np.testing.assert_array_equal(getattr(back, name), getattr(offsets, name))
    for ours, theirs in zip(offsets.filtered, back.filtered, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    said = (engine / LOG).read_text()
    assert "OMP_NUM_THREADS 3" in said
    assert f"ISCE_HOME {engine.parent / 'isce'}" in said
    assert all(total == len(STEPS) for _, total in seen)
    assert next_step(engine) is None
    assert run_topsapp(engine) is None, "what is done is not done again"
    assert (engine / "calls.txt").read_text() == "startup\n"


@posix
def test_a_step_that_fails_is_named_and_gone_on_from(engine, monkeypatch):
    monkeypatch.setenv("MODE", "fail")
    monkeypatch.setenv("AT", "fineresamp")
    with pytest.raises(
        EngineFailedError, match="at step fineresamp: RuntimeError: no overlap between the bursts"
    ) as caught:
        run_topsapp(engine)
    assert caught.value.exit_code == 5
    assert finished(engine)[-1] == "fineoffsets"
    monkeypatch.setenv("MODE", "")
    run_topsapp(engine)
    assert (engine / "calls.txt").read_text() == "startup\nfineresamp\n"


@posix
def test_steps_of_other_settings_are_not_gone_on_with(engine, monkeypatch):
    monkeypatch.setenv("MODE", "fail")
    monkeypatch.setenv("AT", "topo")
    with pytest.raises(EngineFailedError):
        run_topsapp(engine)
    text = (engine / "topsApp.xml").read_text()
    (engine / "topsApp.xml").write_text(text.replace(">44<", ">45<"))
    with pytest.raises(ConfigError, match="steps that were made with other settings"):
        run_topsapp(engine)


@posix
def test_one_that_hangs_is_ended(engine, monkeypatch):
    monkeypatch.setenv("MODE", "hang")
    monkeypatch.setenv("AT", "topo")
    begin = time.monotonic()
    with pytest.raises(EngineFailedError, match="did not finish within 2 s"):
        run_topsapp(engine, timeout=2)
    assert time.monotonic() - begin < 20
    assert next_step(engine) == "topo"


@posix
def test_one_that_writes_nothing_has_failed(engine, monkeypatch):
    monkeypatch.setenv("MODE", "nothing")
    with pytest.raises(EngineFailedError, match="ended without an error, but its output is missing"):
        run_topsapp(engine)


def test_one_that_is_not_there_is_said(tmp_path):
    with pytest.raises(EngineNotFoundError, match=re.escape("topsApp.py was not found")) as caught:
        find_topsapp({"PATH": str(tmp_path)})
    assert "ISCE_HOME" in str(caught.value)
    assert caught.value.exit_code == 5


@posix
def test_one_of_a_conda_environment_gets_what_it_needs(tmp_path):
    home = tmp_path / "env/lib/python3.11/site-packages/isce"
    (home / "applications").mkdir(parents=True)
    (tmp_path / "env/bin").mkdir()
    (tmp_path / "env/bin/python").touch()
    program = home / "applications/topsApp.py"
    program.touch(mode=0o755)
    found = find_topsapp({"PATH": "/nowhere", "CONDA_PREFIX": str(tmp_path / "env")})
    assert found == program
    made = environment(found, {"PATH": "/usr/bin", "PYTHONPATH": "/mine"}, workers=8)
    assert made["ISCE_HOME"] == str(home)
    assert made["PATH"].split(":") == [
        str(home / "applications"),
        str(home / "bin"),
        str(tmp_path / "env/bin"),
        "/usr/bin",
    ]
    assert made["PYTHONPATH"].split(":") == [str(home.parent), str(home), str(home / "components"), "/mine"]
    assert made["OMP_NUM_THREADS"] == "8"


@posix
def test_what_nobody_needs_is_removed_and_inputs_are_not(engine):
    with pytest.raises(InputError, match="the run is not finished"):
        clean(engine)
    run_topsapp(engine)
    before = set(engine.parent.rglob("*"))
    named = clean(engine, dry_run=True)
    assert set(engine.parent.rglob("*")) == before
    assert {path.relative_to(engine).as_posix() for path in named} == {
        "PICKLE", "calls.txt", "fine_coreg", "merged/dem.crop", "merged/lat.rdr.full", "merged/reference.slc.full"
    }  # fmt: skip
    assert clean(engine) == named
    assert not any(path.exists() for path in named)
    assert read_dense_offsets(engine / "merged").d_row.shape == (11, 17)
    for name in ("run/dem.wgs84", "run/topsApp.xml", "a.zip", "b.zip", f"run/{LOG}"):
        assert (engine.parent / name).exists(), name
    clean(engine, inputs=True)
    assert [(engine.parent / name).exists() for name in ("a.zip", "b.zip")] == [False, True]


@posix
def test_a_link_to_somewhere_else_is_removed_and_not_followed(engine, tmp_path):
    run_topsapp(engine)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("ten years")
    (engine / "fine_interferogram").symlink_to(precious)
    clean(engine)
    assert not (engine / "fine_interferogram").is_symlink()
    assert (precious / "thesis.txt").read_text() == "ten years"


@posix
def test_the_command_checks_runs_and_cleans(engine, capsys):
    from sensetrack.cli import run

    assert run(["isce2", "check", str(engine / "topsApp.xml")]) == 0
    assert "window                 [64, 256]" in capsys.readouterr().out
    assert run(["isce2", "run", str(engine)]) == 0
    assert run(["isce2", "run", str(engine)]) == 0
    assert "nothing was left to do" in capsys.readouterr().out
    assert run(["isce2", "clean", str(engine), "--dry-run"]) == 0
    assert "would remove" in capsys.readouterr().out
    assert (engine / "PICKLE").is_dir()
    assert run(["isce2", "clean", str(engine)]) == 0
    assert not (engine / "PICKLE").exists()
    assert (engine.parent / "a.zip").exists()


def test_the_cell_of_the_notebook_is_refused_with_the_reason(tmp_path, capsys):
    from sensetrack.cli import run

    write_topsapp(tmp_path, shirase())
    text = (tmp_path / "topsApp.xml").read_text()
    for name, old, new in (
        ("window width", 256, 64), ("window height", 64, 16), ("search window width", 30, 128),
        ("search window height", 10, 32), ("skip width", 44, 256), ("skip height", 8, 64),
    ):  # fmt: skip
        before, after = (f'<property name="Ampcor {name}">{number}<' for number in (old, new))
        assert before in text
        text = text.replace(before, after)
    (tmp_path / "topsApp.xml").write_text(text)
    assert run(["isce2", "check", str(tmp_path / "topsApp.xml")]) == 2
    said = capsys.readouterr().err
    assert "search must be less than twice the window along the rows, instead got 32 for 16" in said
    assert "may have been swapped with the step" in said
