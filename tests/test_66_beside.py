"""Jobs beside each other in threads of one process: warnings, logs, limits and ends of each stay its own."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import cv2
import pytest
from threadpoolctl import threadpool_info

from sensetrack.errors import OrbitWarning, PlaceWarning, SenseTrackWarning
from sensetrack.notices import Notice, collected, said_again, say, warn
from sensetrack.workflow import beside
from sensetrack.workflow.executors import threads
from sensetrack.workflow.jobs import Scheduling, run_jobs
from sensetrack.workflow.limits import held_to_one
from sensetrack.workflow.own_log import own_log
from sensetrack.workflow.study import run_study
from sensetrack.workflow.study_config import read_study
from study_scenes import rasters, write_scene, write_study

log = logging.getLogger("sensetrack.test")
TWO = Scheduling(executor="threads", workers=2, at_once=2)


def together(*calls):
    """Call functions in threads of their own at the same time; return what they return."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [one.result(30) for one in [pool.submit(call) for call in calls]]


def speak(text: str) -> None:
    warn(text, OrbitWarning)


def test_warnings_of_two_jobs_and_of_their_tiles_are_kept_apart():
    step = threading.Barrier(2, timeout=30)

    def job(name):
        with collected() as heard:
            step.wait()
            speak("the same of both")
            with threads(2) as mapper:
                list(mapper(lambda tile: speak(f"{name} tile {tile}"), range(3)))
            warnings.warn(f"{name}: a plug-in", PlaceWarning, stacklevel=1)
            step.wait()
        return sorted(one.message for one in heard)

    before = list(warnings.filters), warnings.showwarning
    found = together(lambda: job("a"), lambda: job("b"))
    for name, one in zip("ab", found, strict=True):
        assert one == sorted(["the same of both", f"{name}: a plug-in", *(f"{name} tile {i}" for i in range(3))])
    assert (list(warnings.filters), warnings.showwarning) == before


def test_a_warning_is_heard_again_and_whatever_another_thread_ignores():
    step = threading.Barrier(2, timeout=30)

    def careless():
        step.wait()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            step.wait()
            step.wait()

    def careful():
        found = []
        step.wait()
        step.wait()
        for _ in range(2):
            with collected() as heard:
                speak("seen before")
            found += heard
        step.wait()
        return found

    assert together(careless, careful)[1] == 2 * [Notice("seen before", OrbitWarning)]


def test_outside_of_a_job_warnings_are_those_of_python():
    with pytest.warns(OrbitWarning, match="for the caller") as caught:
        speak("for the caller")
    assert Path(caught[0].filename) == Path(__file__)
    with pytest.raises(OrbitWarning):  # the filter of the tests
        speak("an error")
    with pytest.raises(RuntimeWarning), collected():
        warnings.warn("of a library", RuntimeWarning, stacklevel=1)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        with collected() as heard:
            warnings.warn("of a library", RuntimeWarning, stacklevel=1)
    assert heard == [Notice("of a library", RuntimeWarning)]


def test_an_inner_list_takes_its_own_and_says_them_again(caplog):
    with collected() as outer:
        with collected() as inner:
            speak("twice")
            speak("twice")
        assert not outer
        said_again(inner)
    with caplog.at_level(logging.DEBUG, "sensetrack"):
        assert say([*outer, Notice("theirs", RuntimeWarning)], log) == ["twice"]
    assert [(one.levelname, one.message) for one in caplog.records] == [("WARNING", "twice"), ("DEBUG", "theirs")]


def test_logs_of_two_jobs_are_kept_apart_and_from_the_terminal(tmp_path, caplog):
    step = threading.Barrier(3, timeout=30)
    logger = logging.getLogger("sensetrack")

    def job(name, level):
        with own_log(tmp_path / name, level):
            step.wait()
            with threads(2) as mapper:
                list(mapper(lambda tile: log.info("%s tile %d", name, tile), range(3)))
            step.wait()
            step.wait()

    def parent():
        step.wait()
        log.warning("from the parent")
        log.debug("not asked for")
        step.wait()
        step.wait()

    with caplog.at_level(logging.INFO, "sensetrack"):
        before = logger.handlers, logger.propagate, logger.level
        together(lambda: job("a", logging.INFO), lambda: job("b", logging.DEBUG), parent)
        assert (logger.handlers, logger.propagate, logger.level) == before
    for name in "ab":
        lines = sorted(line.split(" ", 1)[1] for line in (tmp_path / name).read_text().splitlines())
        assert lines == [f"INFO {name} tile {i}" for i in range(3)]
    assert [one.message for one in caplog.records] == ["from the parent"]


def test_limits_hold_until_the_last_job_has_ended():
    def found():
        return cv2.getNumThreads(), {one["num_threads"] for one in threadpool_info()}

    before = found()
    cv2.setNumThreads(2)
    try:
        own = found()
        first, second = held_to_one, held_to_one
        first.__enter__()
        second.__enter__()
        first.__exit__()
        assert found() == (1, {1})
        second.__exit__()
        assert found() == own
    finally:
        cv2.setNumThreads(before[0])


def test_jobs_run_beside_each_other():
    step = threading.Barrier(2, timeout=30)

    def work(job, share):
        step.wait()
        return job, share.workers, threading.current_thread().name

    found = dict(run_jobs(work, range(8), TWO))
    assert {index: one[:2] for index, one in found.items()} == {i: (i, 1) for i in range(8)}
    assert {one[2] for one in found.values()} == {"sensetrack-job-1", "sensetrack-job-2"}


def alive() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("sensetrack-job")]


@pytest.mark.parametrize("how", ["error", "closed", "cancelled"])
def test_at_an_early_end_jobs_sweep_up_and_nothing_is_begun(monkeypatch, how):
    monkeypatch.setattr(beside, "_GRACE", 0.1)
    monkeypatch.setattr(beside, "_LOOK", 0.1)
    started, swept, begun = threading.Event(), [], []

    def work(job, _share):
        begun.append(job)
        if job == 0:
            started.wait(30)
            if how == "error":
                raise ZeroDivisionError(job)
            return job
        started.set()
        try:
            while True:
                time.sleep(0.01)
        finally:
            swept.append(job)

    start = time.monotonic()
    with closing(run_jobs(work, range(50), TWO, cancelled=lambda: how == "cancelled" and started.is_set())) as found:
        if how == "error":
            with pytest.raises(ZeroDivisionError):
                list(found)
        elif how == "closed":
            assert next(found) == (0, 0)
        else:
            assert len(list(found)) <= 1
    assert time.monotonic() - start < 5
    assert not alive()
    assert swept
    assert set(swept) == set(begun) - {0}
    assert len(begun) <= 3


def test_a_filter_of_a_library_does_not_stay():
    before = list(warnings.filters)
    step = threading.Barrier(2, timeout=30)

    def work(job, _share):
        block = warnings.catch_warnings()
        if job:
            step.wait()
        block.__enter__()
        warnings.simplefilter("ignore", BytesWarning)
        if not job:
            step.wait()
        step.wait()  # they leave in the order in which they came
        if job:
            step.wait()
        block.__exit__(None, None, None)
        if not job:
            step.wait()

    assert len(list(run_jobs(work, range(2), TWO))) == 2
    assert list(warnings.filters) == before


def test_a_study_is_the_same_with_pairs_beside_each_other(tmp_path, caplog):
    found = {}
    for workers in (1, 2):
        folder = tmp_path / f"{workers}"
        study = write_study(folder, (1, 6, 11, 16), track={"parameters": {"chip": 24, "step": 24, "search": 4}})
        write_scene(folder / "scenes", 6, shape=(110, 120))  # warped: its pairs warn, the others do not
        with caplog.at_level(logging.INFO, "sensetrack"):
            report = run_study(
                read_study(study), scheduling=Scheduling(executor="threads", workers=workers, at_once=workers)
            )
        results = folder / "results"
        records = {
            path.parent.name: json.loads(path.read_text())["warnings"] for path in results.glob("pairs/*/run.json")
        }
        logs = {path.stem: path.read_text() for path in results.glob("logs/*.log")}
        found[workers] = rasters(results), records, sorted(report.as_dict())
        pictures = {str(path.relative_to(results)): path.read_bytes() for path in results.glob("pairs/*/*.png")}
        assert len(pictures) == len(records) == 6
        found[workers] += (pictures,)
        for name, said in logs.items():
            assert said.count(" begun: ") == 1
            assert f"begun: {name} " in said
            assert all(text in said for text in records.get(name, ()))
            warned = said.count(" WARNING ")
            assert warned == len(records.get(name, ())) or name == "stack"
        assert "begun:" not in caplog.text
    assert found[1] == found[2]
    warned = {name for name, said in found[2][1].items() if said}
    assert warned == {name for name in found[2][1] if "20240106" in name}


RUN = """
import sys, time
from contextlib import closing
from pathlib import Path
from sensetrack.cli import main
from sensetrack.files.atomic import whole_folder
from sensetrack.workflow.jobs import Scheduling, run_jobs

def work(job, workers):
    with whole_folder(Path(sys.argv[1]) / f"{job}", Path(sys.argv[1]) / "scratch") as part:
        (part / "half").write_text("")
        sys.stdout.write(f"{job}\\n")
        sys.stdout.flush()
        while True:
            time.sleep(0.01)

def run():
    with closing(run_jobs(work, range(9), Scheduling(workers=2, at_once=2))) as found:
        return len(list(found))

main(run)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_jobs_and_nothing_is_half_there(tmp_path, number):
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        begun = {process.stdout.readline().strip() for _ in range(2)}
        process.send_signal(number)
        start = time.monotonic()
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert begun == {"0", "1"}
    assert time.monotonic() - start < 5
    assert process.returncode == (-number if number == signal.SIGINT else 128 + number)
    assert "GivenUp" not in said
    assert list(tmp_path.rglob("*")) == [tmp_path / "scratch"]


def test_every_warning_of_ours_goes_through_one_door():
    source = Path(beside.__file__).parents[1]
    found = [path.name for path in source.rglob("*.py") if "warnings.warn(" in path.read_text(encoding="utf-8")]
    assert found == ["notices.py"]
    assert issubclass(OrbitWarning, SenseTrackWarning)
