"""Studies of products: prepared once each, or matched in radar geometry."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest
import rasterio
import yaml

import slc_pairs
from sensetrack.cli import run
from sensetrack.sentinel.simulate_s2 import S2Recipe, write_product
from study_scenes import begun
from truth import arrays

SHAPE = (144, 186)


def study_of(folder, **blocks):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(blocks), encoding="utf-8")
    return path


@pytest.fixture
def optical(tmp_path):
    """Two products of Sentinel-2; the ground moved 3 rows down and 5 columns right in between."""
    ground = [(0.2 + 0.03 * part).astype(np.float32) for part in arrays(SHAPE, seed=4)]
    for pixels, day in zip(ground, (17, 27), strict=True):
        moment = datetime(2024, 8, day, 10, 22, 1, tzinfo=UTC)
        write_product(tmp_path / "scenes", {"B08": pixels}, S2Recipe(sensed=moment))
    return study_of(
        tmp_path,
        scenes={"files": ["scenes/*.SAFE"]},
        prepare={"bands": ["B08"]},
        track={"parameters": {"chip": 32, "step": 16, "search": 8}, "quicklook": False},
        stack={"pictures": False, "formats": ["cog"]},
    )


def test_products_are_prepared_once(optical, capsys):
    results = optical.parent / "results"
    assert run(["run", str(optical), "--quiet"]) == 0
    names = {path.name for path in (results / "scenes").iterdir()}
    assert len(names) == 2
    assert begun(results) == dict.fromkeys(names | {"20240817-20240827", "stack"}, 1)
    with rasterio.open(results / "pairs" / "20240817-20240827" / "offsets.tif") as file:
        row, col = file.read()
    assert np.median(row) == pytest.approx(3, abs=0.1)
    assert np.median(col) == pytest.approx(5, abs=0.1)
    # Scenes that are not kept are made again only where a pair needs them.
    assert run(["run", str(optical), "--quiet", "--keep", "pairs"]) == 0
    assert not (results / "scenes").exists()
    assert run(["run", str(optical), "--quiet", "--keep", "pairs"]) == 0
    assert set(begun(results).values()) == {1}
    assert run(["run", str(optical), "--quiet", "--set", "track.parameters.chip=48"]) == 0
    assert set(begun(results).values()) == {2}
    assert not capsys.readouterr().err


def test_a_scene_that_cannot_be_prepared_fails_its_pairs(optical, capsys):
    assert run(["run", str(optical), "--quiet", "--set", "prepare.bands=[B11]"]) == 4
    assert "B11" in capsys.readouterr().err
    report = json.loads((optical.parent / "results" / "report.json").read_text(encoding="utf-8"))
    assert {row["status"] for row in report["pairs"]} == {"failed"}
    assert report["stack"] is None


def test_two_slcs_and_what_is_between_their_orbits(tmp_path, capsys):
    _, _, dem = slc_pairs.pair(tmp_path / "scenes", swaths=("IW1",), bursts=1)
    dem.rename(tmp_path / "dem.tif")
    study = study_of(
        tmp_path,
        scenes={"files": ["scenes/*.SAFE"]},
        pairs={"kind": "sequential", "max_perpendicular": 100},
        slc={"dem": "dem.tif", "chip": [32, 80], "step": [12, 40], "search": [4, 9]},
        stack={"pictures": False, "formats": ["cog"]},
    )
    assert run(["run", str(study), "--quiet", "--set", "pairs.max_perpendicular=10"]) == 3
    assert "no two scenes make a pair" in capsys.readouterr().err
    assert run(["run", str(study), "--quiet"]) == 0
    results = tmp_path / "results"
    report = json.loads((results / "report.json").read_text(encoding="utf-8"))
    assert 20 < abs(report["scenes"][1]["perpendicular"]) < 60
    (name,) = (row["pair"] for row in report["pairs"])
    assert (results / "pairs" / name / "radar" / "displacement.tif").is_file()
    with rasterio.open(results / "stack" / "velocity.tif") as file:
        found = dict(zip(file.descriptions, file.read(), strict=True))
    east, north, _ = slc_pairs.MOTION
    assert np.nanmedian(found["vx"]) == pytest.approx(east / 12, abs=0.05)
    assert np.nanmedian(found["vy"]) == pytest.approx(north / 12, abs=0.05)
    assert not (results / ".study" / "bursts" / name).exists()
