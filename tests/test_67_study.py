"""A study: done once, done again only where something changed, and whatever fails is named."""

from __future__ import annotations

import csv
import json
import shutil
from datetime import datetime
from typing import get_args

import numpy as np
import pytest
import rasterio
import yaml
from filelock import FileLock, Timeout
from pydantic import BaseModel

from sensetrack.cli import run
from sensetrack.stack.network import Acquisition, ScenePair
from sensetrack.workflow import memory
from sensetrack.workflow.study_config import Study, StudyConfig
from sensetrack.workflow.study_jobs import Work
from sensetrack.workflow.study_lock import only_fetching
from sensetrack.workflow.study_samples import SAMPLES, sample
from sensetrack.workflow.study_scenes import Scene
from study_scenes import DAYS, RATE, begun, rasters, write_scene, write_study

PAIRS = {"20240101-20240111", "20240101-20240121", "20240111-20240121", "20240111-20240131", "20240121-20240131"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study that is done; copied by whoever changes it."""
    folder = tmp_path_factory.mktemp("study") / "one"
    assert run(["run", str(write_study(folder)), "--quiet"]) == 0
    return folder


@pytest.fixture
def study(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "copy")  # keeps the times of files
    return tmp_path / "copy" / "study.yaml"


def again(study, *more: str) -> set[str]:
    """Run it once more; return what was begun."""
    before = begun(study.parent / "results")
    assert run(["run", str(study), "--quiet", *more]) == 0
    after = begun(study.parent / "results")
    return {name for name, times in after.items() if times != before.get(name, 0)}


def test_pairs_and_series_say_how_the_ground_moved(finished):
    results = finished / "results"
    assert {path.name for path in (results / "pairs").iterdir()} == PAIRS
    with rasterio.open(results / "pairs" / "20240101-20240121" / "offsets.tif") as file:
        row, col = file.read()
    assert np.median(row) == pytest.approx(20 * RATE[0], abs=0.05)
    assert np.median(col) == pytest.approx(20 * RATE[1], abs=0.05)
    with rasterio.open(results / "stack" / "velocity.tif") as file:
        bands = dict(zip(file.descriptions, file.read(), strict=True))
    assert np.nanmedian(bands["vx"]) == pytest.approx(RATE[1] * 10, abs=0.02)
    assert np.nanmedian(bands["vy"]) == pytest.approx(-RATE[0] * 20, abs=0.04)
    rows = list(csv.DictReader((results / "report.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["pair"] for row in rows} == PAIRS
    assert {row["status"] for row in rows} == {"done"}
    assert {float(row["days"]) for row in rows} == {10.0, 20.0}
    report = json.loads((results / "report.json").read_text(encoding="utf-8"))
    assert report["exit_code"] == 0
    assert len(report["scenes"]) == len(DAYS)
    assert not list(finished.rglob("*.part"))


def test_nothing_changed_nothing_is_done(study):
    before = {path: path.stat().st_mtime_ns for path in (study.parent / "results").glob("*/**/*.tif")}
    assert again(study) == set()
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_it_may_move_as_a_whole(study):
    moved = study.parent.rename(study.parent.with_name("elsewhere"))
    assert again(moved / "study.yaml") == set()


def test_a_setting_of_the_matching_redoes_pairs_and_series(study):
    assert again(study, "--set", "track.parameters.chip=32") == PAIRS | {"stack"}


def test_a_setting_of_the_series_redoes_the_series(study):
    assert again(study, "--set", "stack.drop_poor=false") == {"stack"}


def test_a_limit_of_memory_redoes_nothing(study):
    assert again(study, "--set", "track.max_memory=1GB") == set()


def test_memory_of_a_run_is_shared_out_to_its_pairs(study):
    assert again(study, "--max-memory", "1GB", "--workers", "2", "--set", "track.parameters.chip=32") != set()
    records = [json.loads(path.read_text("utf-8")) for path in study.parent.glob("results/pairs/*/run.json")]
    assert {record["configuration"]["max_memory"] for record in records} == {640_000_000}
    assert len(records) == len(PAIRS)


def test_a_pair_that_was_too_large_for_its_share_is_tried_again_with_more(study, cli, monkeypatch):
    monkeypatch.setattr(memory, "PER_POST", 10**8)
    narrow = cli("run", study, "--max-memory", "500MB", "--set", "track.parameters.chip=32")
    assert narrow.code == 4
    report = json.loads((study.parent / "results" / "report.json").read_text(encoding="utf-8"))
    assert "more than the 140 MB of --max-memory" in report["pairs"][0]["error"]
    monkeypatch.undo()
    assert again(study, "--set", "track.parameters.chip=32") == PAIRS | {"stack"}


def test_pairs_that_are_too_large_for_their_share_are_matched_one_at_a_time(study, monkeypatch):
    settings = ("--set", "track.parameters.chip=32", "--workers", "2", "--at-once", "2", "--executor", "threads")
    monkeypatch.setattr(memory, "PER_POST", 3 * 10**7)
    assert again(study, "--max-memory", "1GB", *settings) == PAIRS | {"stack"}
    counts = begun(study.parent / "results")
    assert {counts[name] for name in PAIRS} == {3}  # for the first study, in vain, and alone


def test_a_study_says_where_its_pairs_are_matched(study, cli):
    text = study.read_text(encoding="utf-8")
    study.write_text(f"{text}scheduling: {{executor: dask, scheduler: scheduler.json}}\n", encoding="utf-8")
    (study.parent / "scheduler.json").write_text("[]", encoding="utf-8")
    found = cli("run", study, "--set", "track.parameters.chip=32")
    assert found.code == 2
    assert f"{study.parent / 'scheduler.json'}: is not a file that a Dask scheduler has written" in found.error
    assert again(study, "--executor", "threads", "--set", "track.parameters.chip=32") == PAIRS | {"stack"}


def test_a_wider_network_does_what_is_new(study):
    assert again(study, "--set", "pairs.max_days=30") == {"20240101-20240131", "stack"}


def test_a_scene_that_changed_redoes_its_pairs(study):
    write_scene(study.parent / "scenes", 31, seed=4)
    assert again(study) == {"20240111-20240131", "20240121-20240131", "stack"}


def test_a_further_scene_does_its_pairs(study):
    write_scene(study.parent / "scenes", 26)
    assert again(study) == {"20240111-20240126", "20240121-20240126", "20240126-20240131", "stack"}


def test_what_is_damaged_is_done_again(study):
    results = study.parent / "results"
    (results / "pairs" / "20240101-20240111" / "task.json").write_bytes(b"\0\1garbage")
    (results / "pairs" / "20240101-20240121" / "quality.tif").unlink()
    (results / "pairs" / "20240111-20240121" / "flags.tif").write_bytes(b"II*\0")
    shutil.rmtree(results / ".study")
    for name in ("report.json", "report.csv", "study.json"):
        (results / name).unlink()
    assert again(study) == {"20240101-20240111", "20240101-20240121", "20240111-20240121"}
    assert json.loads((results / "report.json").read_text(encoding="utf-8"))["exit_code"] == 0


def test_what_is_remembered_of_scenes_may_be_garbage(study):
    for text in ("", "[]", '{"version": "0.1.0", "scenes": {"scene_20240101.tif": 3}}'):
        (study.parent / "results" / ".study" / "scenes.json").write_text(text, encoding="utf-8")
        assert again(study) == set()


def test_a_scene_that_cannot_be_opened_is_named(study, capsys):
    path = study.parent / "scenes" / "scene_20240111.tif"
    path.write_bytes(path.read_bytes()[:60])
    assert run(["run", str(study), "--quiet"]) == 4
    assert "scene_20240111.tif" in capsys.readouterr().err
    report = json.loads((study.parent / "results" / "report.json").read_text(encoding="utf-8"))
    assert [row["path"] for row in report["scenes"] if row["status"] == "failed"] == ["scenes/scene_20240111.tif"]
    assert {row["pair"]: row["status"] for row in report["pairs"]} == {
        "20240101-20240121": "done", "20240121-20240131": "done"
    }  # fmt: skip


def test_a_scene_with_damaged_pixels_fails_its_pairs_once(study, capsys):
    path = study.parent / "scenes" / "scene_20240111.tif"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + b"\xff" * 64 + whole[len(whole) // 2 + 64 :])
    mine = {name for name in PAIRS if "20240111" in name}
    assert run(["run", str(study), "--quiet"]) == 4
    assert "scene_20240111.tif" in capsys.readouterr().err
    report = json.loads((study.parent / "results" / "report.json").read_text(encoding="utf-8"))
    failed = {row["pair"]: row["error"] for row in report["pairs"] if row["status"] == "failed"}
    assert failed.keys() == mine
    assert all("scene_20240111.tif" in text for text in failed.values())
    assert not any((study.parent / "results" / "pairs" / name).exists() for name in mine)
    before = begun(study.parent / "results")
    assert run(["run", str(study), "--quiet"]) == 4  # known: not tried again
    assert begun(study.parent / "results") == before
    assert run(["run", str(study), "--quiet", "--retry"]) == 4
    after = begun(study.parent / "results")
    assert {name for name in after if after[name] != before[name]} == mine
    path.write_bytes(whole)
    assert again(study) == mine | {"stack"}


def test_processes_and_shards_give_the_same(study, finished, tmp_path):
    shutil.rmtree(study.parent / "results")
    assert run(["run", str(study), "--quiet", "--shard", "1/2"]) == 0
    results = study.parent / "results"
    assert sum(begun(results).values()) == 3
    assert not (results / "stack").exists()
    assert json.loads((results / "report-1-of-2.json").read_text(encoding="utf-8"))["exit_code"] == 0
    assert run(["run", str(study), "--quiet", "--shard", "2/2"]) == 0
    assert sum(begun(results).values()) == 5
    assert again(study) == {"stack"}
    assert rasters(results) == rasters(finished / "results")
    shutil.rmtree(results)
    assert run(["run", str(study), "--quiet", "--executor", "processes", "--workers", "2"]) == 0
    assert rasters(results) == rasters(finished / "results")


def test_what_is_kept(study, capsys):
    results = study.parent / "results"
    command = ["run", str(study), "--set", "pairs.max_days=15", "--keep", "stack", "--dry-run", "--json"]
    assert run(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert [path for path in told["delete"] if "20240101-20240121" in path]
    assert told["match"] == []
    assert again(study, "--keep", "stack", "--set", "pairs.max_days=15") == {"stack"}
    assert {path.name for path in (results / "pairs").iterdir()} == {
        "20240101-20240111", "20240111-20240121", "20240121-20240131"
    }  # fmt: skip
    kept = {path.name for path in (results / "pairs" / "20240101-20240111").iterdir()}
    assert kept == {"run.json", "task.json"}
    assert again(study, "--keep", "stack", "--set", "pairs.max_days=15") == set()
    # Another series needs the rasters again.
    changed = again(study, "--keep", "stack", "--set", "pairs.max_days=15", "--set", "stack.agreed=false")
    assert changed == {"20240101-20240111", "20240111-20240121", "20240121-20240131", "stack"}


def test_what_users_put_there_stays(study):
    """A QGIS project beside the rasters, notes in folders of pairs, a folder of one's own."""
    results = study.parent / "results"
    own = [results / "stack" / "map.qgz", results / "pairs" / "20240101-20240111" / "notes" / "a.txt",
           results / "pairs" / "20240101-20240121" / "b.txt", results / "pairs" / "mine" / "c.tif",
           results / "scenes" / "d.tif"]  # fmt: skip
    for path in own:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name, encoding="utf-8")
    again(study, "--set", "track.parameters.chip=32", "--keep", "stack", "--set", "pairs.max_days=15")
    assert [path.read_text(encoding="utf-8") for path in own] == [path.name for path in own]
    left = {path.name for path in (results / "pairs" / "20240101-20240111").iterdir()}
    assert left == {"run.json", "task.json", "notes"}
    assert {path.name for path in (results / "pairs" / "20240101-20240121").iterdir()} == {"b.txt"}
    # Where a pair fails, only what is ours goes.
    scene = study.parent / "scenes" / "scene_20240101.tif"
    scene.write_bytes(scene.read_bytes()[:-900] + bytes(900))
    assert run(["run", str(study), "--quiet", "--set", "pairs.max_days=15"]) == 4
    assert [path.read_text(encoding="utf-8") for path in own] == [path.name for path in own]


def test_a_dry_run_writes_nothing(tmp_path, capsys):
    path = write_study(tmp_path / "one")
    before = sorted(tmp_path.rglob("*"))
    assert run(["run", str(path), "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "4 scenes" in text
    assert "5 pairs: 5 to match" in text
    assert "20240111-20240131  20 days" in text
    assert "free" in text
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"scene": {}}, "no parameter 'scene'"),
        ({"track": {"parameters": {"chips": 3}}}, "chips"),
        ({"pairs": {"kind": "days"}}, "max_days"),
        ({"slc": {}, "track": {"algorithm": "pcc"}}, "track and slc"),
        ({"scenes": {"files": []}}, "scenes.files"),
        ({"scenes": {"files": ["nowhere/*.tif"]}}, "nowhere/*.tif"),
        ({"scenes": {"files": ["scenes/*.tif"], "exclude": ["*"]}}, "exclude"),
        ({"track": {"reference_date": "2020-01-01"}}, "reference_date"),
        ({"keep": "stack", "stack": None}, "keep"),
        ({"stack": {"formats": ["docx"]}}, "docx"),
        ({"track": {"unstable_ground": "nothere.gpkg|a"}}, "track.unstable_ground: there is no nothere.gpkg|a"),
        ({"prepare": {"radar": {"dem": "nothere.tif"}}}, "prepare.radar.dem"),
    ],
)
def test_nonsense_is_said_in_one_line(values, said, tmp_path, capsys):
    path = write_study(tmp_path / "one", days=(1, 11), **values)
    assert run(["run", str(path), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "one" / "results" / "pairs").exists()


def test_a_date_that_nobody_says(tmp_path, capsys):
    path = write_study(tmp_path / "one", days=(1, 11))
    folder = path.parent / "scenes"
    (folder / "scene_20240111.tif").rename(folder / "later.tif")
    assert run(["run", str(path), "--quiet"]) == 2
    assert "later.tif" in capsys.readouterr().err
    assert run(["run", str(path), "--quiet", "--set", "scenes.dates={later.tif: 2024-01-11}"]) == 0
    assert (path.parent / "results" / "pairs" / "20240101-20240111").is_dir()


@pytest.mark.parametrize("use", SAMPLES)
def test_samples_say_the_defaults(use, tmp_path):
    text = sample(use)
    said = StudyConfig.from_dict(yaml.safe_load(text))
    everything = [line.replace("# ", "", 1) if _is_key(line) else line for line in text.splitlines()]
    values = yaml.safe_load("\n".join(everything))
    values.pop("fetch")  # none by default; its comments are what it would be
    if use != "sentinel1":
        values.pop("prepare")
    values["scheduling"].pop("hpc")  # of Dask only
    assert StudyConfig.from_dict(values) == said
    assert run(["run", str(tmp_path / "new.yaml"), "--init", use]) == 0
    assert StudyConfig.from_yaml(tmp_path / "new.yaml") == said
    assert run(["run", str(tmp_path / "new.yaml"), "--init", use]) == 2
    assert run(["run", str(tmp_path / "new.yaml"), "--init", use, "--overwrite"]) == 0


def _is_key(line: str) -> bool:
    """Tell a key that is commented out from a sentence."""
    name, colon, _ = line.strip().removeprefix("# ").partition(":")
    return line.strip().startswith("# ") and bool(colon) and name in _fields(StudyConfig)


def _fields(model: type) -> set[str]:
    found = set(model.model_fields)
    for field in model.model_fields.values():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= _fields(kind)
    return found


def test_one_job_at_a_time_fetches_whatever_process_it_is_in(tmp_path):
    with only_fetching(tmp_path), pytest.raises(Timeout):
        FileLock(tmp_path / "fetch.lock").acquire(timeout=0)
    FileLock(tmp_path / "fetch.lock").acquire(timeout=0).lock.release()


def test_searches_grow_with_the_days_between(tmp_path):
    config = StudyConfig.from_dict({"scenes": {"files": ["x"]}, "slc": {"search": [10, 30]}})
    moments = [datetime(2023, month, day, 5, 12, 9) for month, day in ((8, 7), (8, 19), (9, 12))]
    taken = [Acquisition(moment, f"s{number}", "S1A", 44) for number, moment in enumerate(moments)]
    scenes = [Scene(tmp_path / one.name, one) for one in taken]
    work = Work(Study(config, tmp_path))
    found = [
        work.pair(f"p{i}", ScenePair(taken[i], taken[i + 1]), (scenes[i], scenes[i + 1])).config["search"]
        for i in (0, 1)
    ]
    assert found == [[10, 30], [20, 60]]
