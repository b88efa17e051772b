"""Whole jobs by threads, processes and Dask: all results, whatever becomes of workers."""

from __future__ import annotations

import gc
import json
import logging
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from job_work import Job, begun, do
from sensetrack.errors import ConfigError, EngineNotFoundError, EnvironmentFault
from sensetrack.workflow import executors, processes, worker
from sensetrack.workflow.jobs import BatchSystem, Lost, Scheduling, Waiting, run_jobs

POSIX = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


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


@pytest.fixture(params=["threads", "processes", "dask"])
def scheduling(request) -> Scheduling:
    if request.param == "dask":
        address = request.getfixturevalue("cluster").scheduler_address
        return Scheduling(executor="dask", scheduler=address)
    return Scheduling(executor=request.param, workers=2, at_once=2)


def results(jobs: list[Job], scheduling: Scheduling | None = None) -> dict:
    with closing(run_jobs(do, jobs, scheduling)) as found:
        pairs = list(found)
    assert len(dict(pairs)) == len(pairs), "a job has two results"
    return dict(pairs)


def squares(found: dict) -> dict[int, int]:
    return {index: one["square"] for index, one in found.items() if not isinstance(one, Lost)}


def left_behind() -> list[str]:
    """Return the worker processes of ours that still run."""
    return [one.name for one in multiprocessing.active_children() if one.name.startswith("sensetrack-")]


def test_every_job_has_its_result_whoever_does_it(scheduling):
    found = results([Job(i) for i in range(41)], scheduling)
    assert squares(found) == {i: i**2 for i in range(41)}
    others = {one["pid"] for one in found.values()} - {os.getpid()}
    assert len(others) == (0 if scheduling.executor == "threads" else 2)
    assert {one["workers"] for one in found.values()} == {1}


def test_no_jobs_need_no_workers(monkeypatch):
    monkeypatch.setattr(processes, "_Process", None)
    assert results([], Scheduling(executor="processes")) == {}


@pytest.mark.parametrize("executor", ["threads", "processes", "dask"])
def test_results_do_not_depend_on_the_number_of_workers(request, executor):
    found = {}
    for workers in (1, 3):
        place = request.getfixturevalue("cluster").scheduler_address if executor == "dask" else "local"
        scheduling = Scheduling(executor=executor, workers=workers, scheduler=place)
        found[workers] = squares(results([Job(i, seconds=0.02 * (i % 3)) for i in range(7)], scheduling))
    assert found[1] == found[3] == {i: i**2 for i in range(7)}


@POSIX
@pytest.mark.parametrize("executor", ["processes", "dask"])
def test_a_job_that_always_kills_its_worker_fails_alone(tmp_path, caplog, executor):
    jobs = [Job(i, folder=str(tmp_path)) for i in range(9)]
    poison = {2: "kill"} | ({5: "leave", 6: "crash"} if executor == "processes" else {})
    for number, kind in poison.items():
        jobs[number] = jobs[number]._replace(kind=kind)
    with caplog.at_level(logging.INFO, "sensetrack"):
        found = results(jobs, Scheduling(executor=executor, workers=2))
    assert squares(found) == {i: i**2 for i in range(9) if i not in poison}
    assert found[2] == Lost(found[2].cause, 3)
    assert "has cost 3 workers" in found[2].cause
    assert "killed (SIGKILL), probably for lack of memory" in found[2].cause
    if executor == "processes":
        assert "the last ended with code 23" in found[5].cause
        assert "killed (SIGSEGV), a crash in string_at" in found[6].cause
    assert {number: len(begun(tmp_path, number)) for number in poison} == dict.fromkeys(poison, 3)
    assert f"job 3 of {len(jobs)}, is tried again" in caplog.text
    assert f"job 3 of {len(jobs)}, is given up" in caplog.text
    if executor == "dask":
        assert "dashboard http://127.0.0.1" in caplog.text


@POSIX
@pytest.mark.parametrize("scheduling", ["processes", "dask"], indirect=True)
def test_a_worker_that_is_killed_changes_nothing(tmp_path, caplog, scheduling):
    jobs = [Job(i, "once" if i in (1, 7) else "square", str(tmp_path), 0.02) for i in range(12)]
    with caplog.at_level(logging.WARNING, "sensetrack"):
        found = results(jobs, scheduling)
    assert squares(found) == {i: i**2 for i in range(12)}
    assert [len(begun(tmp_path, i)) for i in (1, 7)] == [2, 2]
    assert "a worker was killed (SIGKILL)" in caplog.text


def test_a_worker_of_dask_that_takes_too_much_memory_is_said_to():
    pytest.importorskip("distributed")
    found = results([Job(0, "hog")], Scheduling(executor="dask", workers=1, max_memory="500MB", tries=1))
    assert found == {
        0: Lost("has cost its worker: the last was ended by Dask because it used more memory than it may", 1)
    }


@POSIX
def test_jobs_that_were_sent_ahead_to_a_lost_worker_are_not_charged(tmp_path):
    jobs = [Job(i, "kill" if i == 30 else "square", str(tmp_path)) for i in range(60)]
    found = results(jobs, Scheduling(executor="processes", workers=1, tries=2))
    assert squares(found) == {i: i**2 for i in range(60) if i != 30}
    assert [len(begun(tmp_path, i)) for i in (29, 30, 31)] == [1, 2, 1]


def test_a_last_try_is_made_with_nothing_beside_it():
    waiting = Waiting(4, tries=2)
    assert [waiting.take(busy=i > 0) for i in range(2)] == [0, 1]
    assert waiting.died(0, "was killed") is None
    assert [waiting.take(busy=True) for _ in range(3)] == [2, 3, None]
    assert waiting.left == 1
    assert waiting.take(busy=False) == 0
    assert waiting.died(0, "was killed") == Lost("has cost 2 workers, one after the other: the last was killed", 2)
    assert waiting.left == 0
    assert waiting.take(busy=False) is None


def test_a_bug_ends_the_run_and_says_where_it_is(scheduling):
    with pytest.raises(ZeroDivisionError, match="job 3 has a bug") as caught:
        results([Job(i, "bug" if i == 3 else "square") for i in range(6)], scheduling)
    if scheduling.executor == "processes":
        assert "in _bug" in caught.value.__notes__[0]
    assert not left_behind()


def test_what_cannot_be_sent_is_named():
    with pytest.raises(TypeError, match="function cannot be sent to another process"):
        results([Job(0, "unsendable")], Scheduling(executor="processes", workers=1))


def test_what_workers_log_is_heard(caplog, scheduling):
    with caplog.at_level(logging.INFO, "sensetrack"):
        results([Job(i, "say") for i in range(3)], scheduling)
        deadline = time.monotonic() + 5
        while caplog.text.count("speaks") < 3 and time.monotonic() < deadline:
            time.sleep(0.05)  # records of Dask come a way of their own
    assert [caplog.text.count(f"job {i} speaks") for i in range(3)] == [1, 1, 1]


@pytest.mark.parametrize("executor", ["threads", "processes", "dask"])
def test_libraries_have_one_thread_in_workers(request, executor):
    place = request.getfixturevalue("cluster").scheduler_address if executor == "dask" else "local"
    number = 2 if executor == "threads" else 1
    jobs = [Job(i, "threads") for i in range(number)]
    found = results(jobs, Scheduling(executor=executor, workers=number, at_once=number, scheduler=place))
    assert found == {key: {"cv2": 1, "blas": 1} for key in range(number)}


def test_cancelled_ends_early_and_leaves_nobody(scheduling):
    seen = []
    jobs = [Job(i, seconds=0.01) for i in range(500)]
    for index, _ in run_jobs(do, jobs, scheduling, cancelled=lambda: len(seen) > 3):
        seen.append(index)
    assert 4 <= len(seen) < 200
    assert not left_behind()


def test_the_parent_does_not_grow_with_the_jobs():
    class Many:
        """Jobs that are made when they are asked for."""

        def __len__(self):
            return 3000

        def __getitem__(self, index):
            return Job(index)

    alive, done = [], 0
    with closing(run_jobs(do, Many(), Scheduling(executor="processes", workers=2))) as found:
        for done, _ in enumerate(found, start=1):
            if done in (1000, 3000):
                gc.collect()
                alive.append(len(gc.get_objects()))
    assert done == 3000
    assert alive[1] - alive[0] < 200


@pytest.mark.parametrize("way", ["address", "file"])
def test_a_scheduler_is_found_by_its_address_or_its_file(cluster, tmp_path, way):
    place = cluster.scheduler_address
    if way == "file":
        place = str(tmp_path / "scheduler.json")
        Path(place).write_text(json.dumps({"address": cluster.scheduler_address}))
    found = results([Job(i) for i in range(4)], Scheduling(executor="dask", scheduler=place))
    assert squares(found) == {i: i**2 for i in range(4)}


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    pytest.importorskip("distributed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    assert executors._CONNECT <= 15
    monkeypatch.setattr(executors, "_CONNECT", 1)
    with pytest.raises(EnvironmentFault, match=address):
        results([Job(0)], Scheduling(executor="dask", scheduler=address))


def test_a_scheduler_file_that_is_none_is_named(tmp_path):
    pytest.importorskip("distributed")
    path = tmp_path / "scheduler.json"
    with pytest.raises(ConfigError, match="not found"):
        results([Job(0)], Scheduling(executor="dask", scheduler=str(path)))
    path.write_text("[]")
    with pytest.raises(ConfigError, match="is not a file that a Dask scheduler"):
        results([Job(0)], Scheduling(executor="dask", scheduler=str(path)))


def test_workers_with_another_version_are_refused(cluster, monkeypatch):
    real = worker.metadata.version
    monkeypatch.setattr(worker.metadata, "version", lambda name: "0.0.1" if name == "sensetrack" else real(name))
    with pytest.raises(EnvironmentFault, match=r"worker tcp://\S+ has sensetrack .*, this is 0\.0\.1"):
        results([Job(0)], Scheduling(executor="dask", scheduler=cluster.scheduler_address))


def test_workers_with_another_library_are_warned_of(cluster, monkeypatch, caplog):
    real = worker.metadata.version
    monkeypatch.setattr(worker.metadata, "version", lambda name: "1.0" if name == "numba" else real(name))
    with caplog.at_level(logging.WARNING, "sensetrack"):
        results([Job(0)], Scheduling(executor="dask", scheduler=cluster.scheduler_address))
    assert "workers have numba" in caplog.text


@pytest.mark.parametrize("missing", ["distributed", "dask_jobqueue"])
def test_what_is_not_installed_is_named_with_its_extra(monkeypatch, missing):
    pytest.importorskip("distributed")
    monkeypatch.setitem(sys.modules, missing, None)
    hpc = BatchSystem(queue="long") if missing == "dask_jobqueue" else None
    with pytest.raises(EngineNotFoundError) as caught:
        results([Job(0)], Scheduling(executor="dask", hpc=hpc))
    assert f"sensetrack[{'hpc' if hpc else 'dask'}]" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"executor": "ray"}, "executor"),
        ({"scheduler": "tcp://host:8786"}, "belong to the executor dask"),
        ({"executor": "dask", "scheduler": "host"}, "scheduler must be local"),
        ({"executor": "dask", "scheduler": "x.json", "hpc": {}}, "say twice"),
        ({"workers": 0}, "workers"),
        ({"max_memory": "100MB"}, "max_memory"),
        ({"executor": "dask", "hpc": {"walltime": "soon"}}, "walltime"),
    ],
)
def test_wrong_settings_are_refused(given, words):
    with pytest.raises(ConfigError, match=words):
        Scheduling(**given)


def test_settings_come_back_from_a_file(tmp_path):
    one = Scheduling(
        executor="dask",
        hpc=BatchSystem(system="pbs", jobs=4, directives=("-W x",), prologue=("module load gdal",)),
        max_memory="8GB",
    )
    assert Scheduling.from_dict(one.to_dict()) == one
    options = executors.batch_options(one.hpc)
    assert options["memory"] == "4000000000B"
    assert options["job_script_prologue"][1:] == ["module load gdal"]
    assert options["job_extra_directives"] == ["-W x"]
    assert "queue" not in options


def test_workers_that_cannot_start_say_why(monkeypatch):
    monkeypatch.setattr(processes, "serve", "not a function")
    with pytest.raises(EnvironmentFault, match="end before they begin: the last ended with code 1"):
        results([Job(0)], Scheduling(executor="processes", workers=1))
    assert not left_behind()


RUN = """
import sys
from contextlib import closing
from job_work import Job, do
from sensetrack.workflow.jobs import Scheduling, run_jobs

if __name__ == "__main__":
    folder, executor = sys.argv[1:]
    jobs = [Job(i, folder=folder, seconds=60) for i in range(4)]
    with closing(run_jobs(do, jobs, Scheduling(executor=executor, workers=2))) as found:
        for one in found:
            print(one)
"""


@POSIX
@pytest.mark.parametrize("executor", ["processes", "dask"])
def test_no_worker_outlives_its_parent(tmp_path, executor):
    """Ctrl-C, which reaches all processes of a terminal, and a kill that nobody can react to; both at a time."""
    script = tmp_path / "run.py"
    script.write_text(RUN)
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    runs = {}
    for how in (signal.SIGINT, signal.SIGKILL):
        folder = tmp_path / how.name
        folder.mkdir()
        runs[how] = folder, subprocess.Popen(
            [sys.executable, str(script), str(folder), executor],
            env=environ, start_new_session=True, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    try:
        for how, (folder, parent) in runs.items():
            end_and_look(how, folder, parent)
    finally:
        for _, parent in runs.values():
            parent.kill()
            parent.communicate()


def end_and_look(how: signal.Signals, folder: Path, parent: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while len(workers := [pid for i in range(4) for pid in begun(folder, i)]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    started = psutil.Process(parent.pid).children(recursive=True)
    assert {one.pid for one in started} >= set(workers)
    # As a terminal does it, all processes are interrupted; a kill reaches the one only.
    (os.killpg if how == signal.SIGINT else os.kill)(parent.pid, how)
    deadline = time.monotonic() + 5
    while alive := [one.pid for one in started if running(one)]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.05)
    said = parent.communicate(timeout=10)[1]
    assert parent.returncode == -how
    assert said.count("Traceback") == (how == signal.SIGINT), said


def running(one: psutil.Process) -> bool:
    try:
        return one.is_running() and one.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
