"""The example of Shirase Glacier: its configuration, on a simulated pair; the loop over pairs of real scenes."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

import slc_pairs
from sensetrack.workflow.slc_config import SlcConfig

EXAMPLE = Path(__file__).parents[1] / "examples" / "shirase"


def module(name):
    spec = importlib.util.spec_from_file_location(f"shirase_{name}", EXAMPLE / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_the_configuration_is_that_of_the_study():
    config = SlcConfig.from_file(EXAMPLE / "shirase.yaml")
    assert (config.chip, config.step) == ((64, 256), (8, 44))
    assert [config.matching(days).search for days in (12, 24, 36)] == [(10, 30), (20, 60), (30, 90)]
    assert (config.swaths, config.polarization, config.crs) == (("iw2",), "HH", "EPSG:3031")
    assert config.clip == (1.345e6, 1.646e6, 1.43e6, 1.76e6)
    scenes = yaml.safe_load((EXAMPLE / "scenes.yaml").read_text(encoding="utf-8"))
    assert scenes["frames"] == [830, 834, 936, 938, 939]
    south, north, west, east = -70.45441464, -69.88490745, 38.29553816, 39.83817435
    assert scenes["area"] == [west, south, east, north] == [float(part) for part in config.aoi.split(",")]


def test_the_study_runs_offline_and_finds_the_flow_that_was_put_in(tmp_path, capsys):
    done = module("offline").main(["-o", str(tmp_path)])
    record, found = done["record"], done["found"]
    assert record["configuration"]["chip"] == [64, 256]
    assert record["grid"]["crs"] == "EPSG:3031"
    assert len(record["bursts"]) == 2
    assert record["statistics"]["good_share"] > 0.85
    ice, rock = found["ice"], found["rock"]
    assert min(ice["posts"], rock["posts"]) > 300
    assert np.hypot(*ice["true"]) == pytest.approx(66, abs=0.5)
    assert np.abs(ice["bias"]).max() < 0.25
    assert np.abs(rock["bias"]).max() < 0.1
    # 0.1 px along the flight is 1.4 m.
    assert np.max(ice["nmad"]) < 0.9
    assert np.max(rock["nmad"]) < 0.3
    said = capsys.readouterr().out
    assert "ice" in said
    assert "rock" in said


def test_each_scene_is_paired_with_the_next_one_of_its_frame(tmp_path, capsys):
    """By time, not by name; what is finished is left alone, what fails does not stop the others."""
    pairs = module("pairs")
    scenes = tmp_path / "scenes"
    small = {"lines": 110, "samples": 260, "swaths": ("IW2",)}
    first, second, dem = slc_pairs.pair(scenes, displacement=None, **small)
    third = slc_pairs.pair(tmp_path / "more", displacement=None, days=24.0, **small)[1]
    empty = scenes / third.name
    shutil.copytree(third, empty)
    next((empty / "measurement").glob("*.tiff")).write_bytes(b"")
    (scenes / "notes.txt").write_text("no scene", encoding="utf-8")
    (frame,) = pairs.scenes(scenes).items()
    assert [product.path.name for product in frame[1]] == [first.name, second.name, third.name]
    config = tmp_path / "windows.yaml"
    config.write_text("{chip: [32, 64], step: [24, 48], search: [4, 6]}", encoding="utf-8")
    arguments = [str(scenes), "-o", str(tmp_path / "out"), "--config", str(config), "--dem", str(dem)]
    assert pairs.main(arguments) == 1
    said = capsys.readouterr()
    assert "20240601-20240613: " in said.out
    assert "20240613-20240625: " in said.err
    assert "empty" in said.err
    assert [path.name for path in (tmp_path / "out" / frame[0]).iterdir()] == ["20240601-20240613"]
    pairs.main(arguments)
    assert "20240601-20240613: is there" in capsys.readouterr().out
