"""Errors, tiles and chips."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensetrack import blocks, errors
from sensetrack.ot.chips import ChipGrid
from sensetrack.workflow.executors import threads


@given(st.integers(0, 60), st.integers(0, 70), st.integers(1, 25), st.integers(1, 25))
def test_every_cell_is_in_exactly_one_block(rows, cols, high, wide):
    touched = np.zeros((rows, cols), int)
    for block in blocks.plan((rows, cols), (high, wide)):
        touched[block.rows, block.cols] += 1
        assert block.shape == touched[block.rows, block.cols].shape
        assert max(block.shape[0] - high, block.shape[1] - wide) <= 0
    assert (touched == 1).all()


def test_results_come_in_order_whoever_runs_them():
    plan = blocks.plan((9, 11), (2, 3))
    seen = []
    with ThreadPoolExecutor(3) as pool:
        for mapper in (map, pool.map):
            out = blocks.run(lambda b: b.rows.start * 100 + b.cols.start, plan, mapper=mapper)
            assert [value for _, value in out] == [b.rows.start * 100 + b.cols.start for b in plan]
    list(blocks.run(lambda b: b, plan, advance=lambda done, total: seen.append((done, total))))
    assert seen == [(i + 1, len(plan)) for i in range(len(plan))]


def test_an_error_in_a_worker_reaches_the_caller_and_stops_the_rest():
    done = []

    def job(number):
        done.append(number)
        if number == 3:
            raise errors.InputError("is broken", path="a.tif")
        return number

    with pytest.raises(errors.InputError, match=r"a\.tif: is broken"), threads(2) as mapper:
        list(mapper(job, range(1000)))
    assert len(done) < 50


def test_threads_give_opencv_its_cores_back():
    import cv2

    before = cv2.getNumThreads()
    with threads(2) as mapper:
        assert list(mapper(lambda _: cv2.getNumThreads(), range(3))) == [1, 1, 1]
    assert cv2.getNumThreads() == before


def test_one_worker_is_the_thread_that_asks():
    import cv2
    from threadpoolctl import threadpool_info

    before, pools = cv2.getNumThreads(), threadpool_info()
    with threads(1) as mapper:
        assert list(mapper(lambda _: threading.current_thread(), range(3))) == [threading.current_thread()] * 3
        assert cv2.getNumThreads() == 1
        assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} <= {1}
    assert (cv2.getNumThreads(), threadpool_info()) == (before, pools)


@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
)
def test_chips_lie_inside_and_none_more_would(image, chip, step):
    chips = ChipGrid(image, chip, step)
    for axis in (0, 1):
        number = chips.shape[axis]
        assert number == (0 if image[axis] < chip[axis] else (image[axis] - chip[axis]) // step[axis] + 1)
    if 0 not in chips.shape:
        rows, cols = chips.window(blocks.Block(slice(0, chips.shape[0]), slice(0, chips.shape[1])))
        assert rows.stop <= image[0] < rows.stop + step[0]
        assert cols.stop <= image[1] < cols.stop + step[1]


TREE = {
    "ConfigError": 2, "InputError": 3, "UnsafeInputError": 3, "MetadataError": 3, "GridMismatchError": 3,
    "NoOverlapError": 3, "NoMatchError": 3, "ProductNameError": 3, "BatchError": 4, "EnvironmentFault": 5,
    "EngineNotFoundError": 5, "EngineFailedError": 5, "DownloadError": 5, "OutputError": 5,
}  # fmt: skip


@pytest.mark.parametrize("name", TREE)
def test_every_error_has_its_exit_code_and_one_line(name):
    error = getattr(errors, name)("holds\nnothing", path="we ird\n\x1b[31m.tif", advice="look\tagain")
    assert error.exit_code == TREE[name]
    assert str(error) == r"we ird\n\x1b[31m.tif: holds\nnothing; look\tagain"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)


def test_bad_values_are_value_errors_and_bad_machines_runtime_errors():
    assert issubclass(errors.InputError, ValueError)
    assert issubclass(errors.EnvironmentFault, RuntimeError)
