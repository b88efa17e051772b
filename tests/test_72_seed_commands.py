"""The commands of the first release: `python -m sensetrack.ot.opencvof` and its sisters."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio

from conftest import Result, read_tif, write_tif
from sensetrack.cli.seed import BaseCLI
from sensetrack.ot.algorithms import ALGORITHMS
from truth import arrays

DOORS = {"opencvof": "farneback", "skiofilk": "ilk", "skioftvl1": "tvl1", "skipccv": "pcc"}


@pytest.fixture
def seed(capsys):
    """Run a command of the first release in this process."""

    def call(name, *arguments):
        capsys.readouterr()
        code = BaseCLI(name, "sensetrack.ot.x").run([str(a) for a in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.mark.parametrize("door", DOORS)
def test_each_door_opens_its_algorithm(door, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", f"sensetrack.ot.{door}", "--help"], capture_output=True, encoding="utf-8", check=True,
        cwd=tmp_path, env={"COLUMNS": "200"},
    )  # fmt: skip
    assert f"python -m sensetrack.ot.{door}" in done.stdout
    for name, field in ALGORITHMS[DOORS[door]].model_fields.items():
        assert f"--{name} " in done.stdout or f"--{name}," in done.stdout
        assert " ".join(field.description.split()[:3]) in " ".join(done.stdout.split())
    for flag in ("-r ", "-t ", "-o ", "-b ", "--nodata", "-prep ", "--resultant_displacement"):
        assert flag in done.stdout


@pytest.mark.parametrize("name", ["farneback", "ilk", "tvl1"])
def test_flows_write_both_components_with_our_signs(seed, pair_files, tmp_path, name):
    result = seed(name, "-r", pair_files[0], "-t", pair_files[1], "-o", tmp_path / "x" / "moved.tif")
    assert result.code == 0, result.err
    files = [tmp_path / "x" / f"moved_{part}.tif" for part in ("dxx", "dyy")]
    assert sorted((tmp_path / "x").iterdir()) == files
    assert result.out.split() == [str(path) for path in files]
    for path, truth in zip(files, (50, -60), strict=True):
        with rasterio.open(path) as file:
            assert (file.crs.to_epsg(), file.count, file.dtypes[0]) == (32632, 1, "float32")
            assert np.isnan(file.nodata)
            assert file.units == ("m",)
            assert "dxx east, dyy north" in file.tags()["SIGN"]
            assert json.loads(file.tags()["PARAMETERS"]) == ALGORITHMS[name]().to_dict()
            assert np.nanmedian(file.read(1)) == pytest.approx(truth, abs=1)


def test_the_resultant_is_one_file_under_the_name_itself(seed, pair_files, tmp_path):
    out = tmp_path / "length.tif"
    flags = ("--resultant_displacement", "--winsize", 20, "--flags", "None", "-prep", "none", "-b", 0)
    assert seed("farneback", "-r", pair_files[0], "-t", pair_files[1], "-o", out, *flags).code == 0
    assert np.nanmedian(read_tif(out)) == pytest.approx(np.hypot(50, 60), abs=1)
    with rasterio.open(out) as file:
        assert json.loads(file.tags()["PARAMETERS"])["winsize"] == 20


def test_phase_correlation_writes_points(seed, pair_files, tmp_path):
    out = tmp_path / "points.gpkg"
    options = ("--winsize", "32", "--step_size", "[16, 8]", "--no-phase_norm", "--upsmp_fac", 10, "--passes", 2)
    assert seed("pcc", "-r", pair_files[0], "--target", pair_files[1], "-o", out, *options).code == 0
    frame = geopandas.read_file(out)
    assert frame.crs.to_epsg() == 32632
    assert len(frame) == ((140 - 32) // 16 + 1) * ((180 - 32) // 8 + 1)
    good = frame[frame.good.astype(bool)]
    assert good.RSHIFT.median() == pytest.approx(60, abs=1)
    assert good.CSHIFT.median() == pytest.approx(50, abs=1)
    assert (good.NRMS < 0.2).mean() > 0.9
    assert BaseCLI("pcc").output == "output.gpkg"


def test_a_flow_as_points_and_vectors_as_a_raster(seed, pair_files, tmp_path):
    pair = ("-r", pair_files[0], "-t", pair_files[1])
    assert seed("pcc", *pair, "-o", tmp_path / "p.tif", "--winsize", 32, "--step_size", 16).code == 0
    assert np.nanmedian(read_tif(tmp_path / "p_dyy.tif")) == pytest.approx(-60, abs=1)
    assert seed("ilk", *pair, "-o", tmp_path / "f.shp").code == 0
    assert len(geopandas.read_file(tmp_path / "f.shp")) == 140 * 180


def test_photographs_count_pixels_to_the_right_and_up(seed, tmp_path, scene):
    from PIL import Image as Picture

    low, high = scene[0].min(), scene[0].max()
    for name, part in zip("ab", scene, strict=True):
        grey = np.clip((part - low) / (high - low) * 255, 0, 255).astype(np.uint8)
        Picture.fromarray(np.stack([grey, grey, grey], -1)).save(tmp_path / f"{name}.png")
    pair = ("-r", tmp_path / "a.png", "-t", tmp_path / "b.png")
    assert seed("farneback", *pair, "-o", tmp_path / "o.tif").code == 0
    assert np.nanmedian(read_tif(tmp_path / "o_dxx.tif")) == pytest.approx(5, abs=0.05)
    assert np.nanmedian(read_tif(tmp_path / "o_dyy.tif")) == pytest.approx(-3, abs=0.05)
    assert seed("farneback", *pair, "-o", tmp_path / "o.jpg", "--resultant_displacement").code == 0
    with Picture.open(tmp_path / "o.jpg") as picture:
        assert picture.size == (180, 140)


def test_bands_are_counted_from_0(seed, tmp_path):
    for name, part in zip("ab", arrays((140, 180), seed=11), strict=True):
        write_tif(tmp_path / f"{name}.tif", np.stack([np.full_like(part, 7), part]).astype(np.float32))
    pair = ("-r", tmp_path / "a.tif", "-t", tmp_path / "b.tif", "-o", tmp_path / "o.tif")
    assert seed("farneback", *pair, "-b", 1).code == 0
    assert np.nanmedian(read_tif(tmp_path / "o_dxx.tif")) == pytest.approx(50, abs=1)
    result = seed("farneback", *pair, "-b", -1, "--overwrite")
    assert (result.code, "counted from 0" in result.error) == (2, True)
    result = seed("farneback", *pair, "-b", 2, "--overwrite")
    assert (result.code, "no band 3" in result.error) == (2, True)
    result = seed("farneback", *pair, "--overwrite")
    assert (result.code, "grey needs three bands" in result.error) == (3, True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("-o", "x.tif", "--winsze", 3), 2, "--winsze"),
        (("-o", "x.tif", "--winsize", 1), 2, "winsize"),
        (("-o", "x.tif", "--winsize", "["), 2, "winsize"),
        (("-o", "x.bmp"), 2, "must end in one of"),
        (("-o", "x"), 2, "instead got nothing"),
        (("-o", "x.tif", "-prep", "sharpen"), 2, "there is no preprocessing 'sharpen'"),
        (("-o", "x.tif", "-t", "missing.tif"), 3, "missing.tif: not found"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(seed, pair_files, tmp_path, monkeypatch, arguments, code, said):
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    result = seed("farneback", "-r", pair_files[0], "-t", pair_files[1], *arguments)
    assert result.code == code
    assert said in result.error
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_existing_result_is_kept_unless_told_otherwise(seed, pair_files, tmp_path):
    pair = ("-r", pair_files[0], "-t", pair_files[1], "-o", tmp_path / "o.tif", "--resultant_displacement")
    (tmp_path / "o.tif").write_text("mine")
    assert seed("farneback", *pair).code == 2
    assert (tmp_path / "o.tif").read_text() == "mine"
    assert seed("farneback", *pair, "--overwrite").code == 0
    assert np.isfinite(read_tif(tmp_path / "o.tif")).any()
    same = (*pair[:4], "-o", Path(pair_files[0]), "--resultant_displacement", "--overwrite")
    assert "is an input" in seed("farneback", *same).error
