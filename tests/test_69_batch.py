"""A study by every executor: the same rasters, whatever becomes of workers; many scenes cost no more than they must."""

from __future__ import annotations

import json
import logging
import os
from datetime import datetime, timedelta
from itertools import combinations

import pytest

import batch_work
from sensetrack.cli import run
from sensetrack.stack.network import Acquisition, NetworkParameters, ScenePair, network
from sensetrack.workflow import study as core
from study_scenes import begun, rasters, write_study

POSIX = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
DAYS = 1, 5, 11, 21, 26, 31
PAIRS = {"kind": "sequential", "search_days": None}


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A study, and what a run in threads makes of it."""
    study = write_study(tmp_path_factory.mktemp("batch"), DAYS, pairs=PAIRS, stack=None)
    assert run(["run", str(study), "--quiet"]) == 0
    found = rasters(study.parent / "results")
    assert len({name.split("/")[1] for name in found}) == len(DAYS) - 1
    return study, found


@pytest.fixture(scope="module")
def cluster():
    """A scheduler with two workers, as a user may have one; a lost worker costs one try."""
    dask = pytest.importorskip("dask")
    from distributed import LocalCluster

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL) as one,
    ):
        yield one


def options(name: str, request) -> list[str]:
    """Return those of an executor."""
    if name == "address":
        return ["--scheduler", request.getfixturevalue("cluster").scheduler_address]
    if name == "local":
        pytest.importorskip("distributed")
        return ["--scheduler", "local", "--workers", "2"]
    return ["--executor", name, "--workers", "2"]


@pytest.mark.parametrize("name", ["processes", "local", "address"])
def test_every_executor_writes_the_same_rasters(name, clean, tmp_path, request):
    study, wanted = clean
    assert run(["run", str(study), "--quiet", "-o", str(tmp_path / "out"), *options(name, request)]) == 0
    assert rasters(tmp_path / "out") == wanted
    assert set(begun(tmp_path / "out").values()) == {1}


@POSIX
@pytest.mark.parametrize("name", ["processes"])  # those of Dask are in test_66_jobs: how often they try is up to Dask
def test_lost_workers_cost_nothing_but_a_pair_that_kills_each(name, clean, tmp_path, request, monkeypatch, capsys):
    study, wanted = clean
    monkeypatch.setattr(core, "do_job", batch_work.do_or_die)
    results = tmp_path / "out"
    assert run(["run", str(study), "-o", str(results), *options(name, request)]) == 4
    said = capsys.readouterr().err
    poison, once = batch_work.ALWAYS, batch_work.ONCE
    report = json.loads((results / "report.json").read_text(encoding="utf-8"))
    errors = {row["pair"]: row["error"] for row in report["pairs"] if row["status"] != "done"}
    assert errors.keys() == {poison}
    assert "has cost 3 workers" in errors[poison]
    assert "killed (SIGKILL), probably for lack of memory" in errors[poison]
    assert report["failures"] == [f"{poison}: {errors[poison]}"]
    assert errors[poison].count(poison) == 0
    assert rasters(results) == {path: what for path, what in wanted.items() if poison not in path}
    tries = {path.stem: len(path.read_text(encoding="utf-8").split()) for path in tmp_path.glob("*.tried")}
    more = {pair: times for pair, times in tries.items() if times != 1}
    assert more == {poison: 3, once: 2}
    assert begun(results)[once] == 2
    assert "a worker was killed (SIGKILL)" in said
    assert "is tried again" in said
    assert not list(results.rglob("*.part"))
    assert not list((results / ".study" / "work").iterdir())
    # Another run tries again what no scene is to blame for.
    monkeypatch.undo()
    assert run(["run", str(study), "--quiet", "-o", str(results)]) == 0
    assert rasters(results) == wanted


def all_pairs(scenes: list[Acquisition]) -> list[ScenePair]:
    """Return every two scenes, the earlier one first."""
    return [ScenePair(*two) for two in combinations(sorted(scenes, key=lambda one: one.moment), 2)]


def test_networks_have_the_pairs_that_fit_and_no_others():
    days = [0, 3, 12, 12.005, 24, 36.02, 48, 371, 377.2, 380, 725, 742, 1100]
    scenes = [Acquisition(datetime(2020, 1, 1) + timedelta(days=day), f"s{day}") for day in days]
    used = [one for one in scenes if one.name != "s12.005"]  # a further frame of s12
    close = {pair for pair in all_pairs(used) if pair.days <= 24.01}
    assert set(network(scenes, NetworkParameters(kind="days", max_days=24))) == close
    wide = {pair for pair in close if pair.days >= 11.99}
    assert set(network(scenes, NetworkParameters(kind="days", max_days=24, min_days=12))) == wide
    seasons = {
        pair
        for pair in all_pairs(used)
        if min(abs(pair.days - 365.25 * years) for years in (1, 2)) <= 20 or pair in set(network(used))
    }
    assert set(network(scenes, NetworkParameters(kind="season", season_days=20, years=2))) == seasons


def test_a_network_of_many_scenes_takes_no_time():
    scenes = [Acquisition(datetime(1990, 1, 1) + timedelta(days=day), f"s{day}") for day in range(3000)]
    found = network(scenes, NetworkParameters(kind="days", max_days=2))
    assert len(found) == 2 * 3000 - 3
    assert {pair.days for pair in found} == {1.0, 2.0}
