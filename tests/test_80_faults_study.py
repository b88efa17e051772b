"""A study that is killed, interrupted, run twice at once, or has no room: it goes on, and nothing is half there."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from sensetrack.cli import run
from sensetrack.workflow.study_lock import only_run
from study_kills import interrupt, kill_and_resume
from study_scenes import rasters, write_study

DAYS = 1, 6, 11, 16, 21


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    assert run(["run", str(write_study(folder, DAYS)), "--quiet"]) == 0
    return rasters(folder / "results")


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_killed_at_any_moment_it_goes_on(clean, tmp_path, executor):
    study = write_study(tmp_path, DAYS)
    found = kill_and_resume(study, clean, kills=2, longest=1.2, seed=5, more=("--executor", executor, "--workers", "2"))
    assert found.codes[-1] == 0
    assert found.same, f"{found.rasters} rasters, {len(clean)} in a clean run"
    assert not found.left
    pairs = len({name.split("/")[1] for name in clean if name.startswith("pairs/")})
    assert found.begun <= pairs + (2 if executor == "processes" else 1) * found.kills


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize(
    ("number", "more"),
    [(signal.SIGINT, ()), (signal.SIGINT, ("--executor", "processes", "--workers", "2")), (signal.SIGTERM, ())],
    ids=["threads", "processes", "terminated"],
)
def test_interrupted_it_leaves_at_once(clean, tmp_path, number, more):
    study = write_study(tmp_path, DAYS)
    code, seconds, orphans, said = interrupt(study, number, after=0.3, more=more)
    assert code == 128 + number
    assert seconds < 5
    assert not orphans
    assert said.count("\n") <= 1
    results = tmp_path / "results"
    assert not list(results.rglob("*.part"))
    assert run(["run", str(study), "--quiet"]) == 0
    assert rasters(results) == clean


def test_two_runs_at_once(tmp_path, capsys):
    study = write_study(tmp_path, DAYS[:3])
    hidden = tmp_path / "results" / ".study"
    with only_run(hidden):
        assert run(["run", str(study), "--quiet"]) == 2
    assert "another run" in capsys.readouterr().err
    with only_run(hidden, (1, 2)):
        assert run(["run", str(study), "--quiet"]) == 2
        assert run(["run", str(study), "--quiet", "--shard", "1/2"]) == 2
        assert run(["run", str(study), "--quiet", "--shard", "1/3"]) == 2
        assert run(["run", str(study), "--quiet", "--shard", "2/2"]) == 0
    assert run(["run", str(study), "--quiet"]) == 0


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="permissions do not hold here")
def test_a_folder_that_cannot_be_written_to(tmp_path, capsys):
    study = write_study(tmp_path, DAYS[:2])
    (tmp_path / "results").mkdir(mode=0o500)
    assert run(["run", str(study), "--quiet"]) == 5
    assert "results" in capsys.readouterr().err


def test_an_output_that_is_a_file(tmp_path, capsys):
    study = write_study(tmp_path, DAYS[:2])
    (tmp_path / "results").write_text("", encoding="utf-8")
    assert run(["run", str(study), "--quiet"]) == 5
    assert "results" in capsys.readouterr().err


def test_a_full_disk_ends_the_run(tmp_path, monkeypatch, capsys):
    from sensetrack.errors import OutputError
    from sensetrack.workflow import pipeline

    def full(*_args, **_more):
        raise OutputError("cannot be written (No space left on device)", path="x")

    monkeypatch.setattr(pipeline, "run_track", full)
    study = write_study(tmp_path, DAYS[:3])
    assert run(["run", str(study), "--quiet"]) == 5
    assert "No space left" in capsys.readouterr().err
    monkeypatch.undo()
    assert run(["run", str(study), "--quiet"]) == 0
