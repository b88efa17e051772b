"""What is made ready ahead: it saves time, and changes nothing else."""

import subprocess
import sys
import threading

import numba
import pytest

from sensetrack.ot.engine import compiling
from sensetrack.workflow.ahead import ahead


def test_calls_run_beside_the_block_in_their_order_and_have_ended_after_it():
    begun, seen = threading.Event(), []

    def first():
        seen.append(("first", threading.current_thread() is threading.main_thread()))
        begun.set()

    with ahead(first, lambda: seen.append("second")):
        assert begun.wait(10)
        [thread] = [t for t in threading.enumerate() if t.name == "sensetrack-ahead"] or [None]
        if thread is not None:
            thread.join(10)
    assert seen == [("first", False), "second"]
    assert not [t for t in threading.enumerate() if t.name == "sensetrack-ahead"]


def test_without_calls_there_is_no_thread():
    with ahead():
        assert not [t for t in threading.enumerate() if t.name == "sensetrack-ahead"]


def test_what_fails_ahead_is_left_to_those_who_need_it():
    seen = []

    def fail():
        message = "no such module"
        raise ImportError(message)

    done = threading.Event()
    with ahead(fail, lambda: seen.append("next"), done.set):
        assert done.wait(10)
    assert seen == ["next"]


def test_an_error_ends_the_thread_and_leaves_out_what_has_not_begun():
    begun, go_on, seen = threading.Event(), threading.Event(), []

    def slow():
        begun.set()
        go_on.wait(10)
        seen.append("slow")

    def interrupted():
        with ahead(slow, lambda: seen.append("never")):
            assert begun.wait(10)
            threading.Timer(0.2, go_on.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert seen == ["slow"]


REHEARSED = """
import numpy as np
from numba.core.event import Listener, register
from sensetrack.ot.algorithms import NCC
from sensetrack.ot.chips import ChipGrid
from sensetrack.ot.interfaces import Tile
from sensetrack.workflow.ahead import rehearsals

class Compiled(Listener):
    names = []
    def on_start(self, event):
        self.names.append(event.data["dispatcher"].py_func.__qualname__)
    def on_end(self, event):
        pass

ncc = NCC(chip=(24, 20), step=8, search=(13, 11))
[rehearse] = rehearsals(ncc)
rehearse()
assert rehearsals(ncc) == []
register("numba:compile", Compiled())
from numba.core import dispatcher
class Loaded:
    names = []
find = dispatcher.Dispatcher.compile
def compile(self, sig):
    Loaded.names.append(self.py_func.__qualname__)
    return find(self, sig)
dispatcher.Dispatcher.compile = compile
rows, cols = 24 + 5 * 8, 20 + 6 * 8
shape = rows + 2 * ncc.halo[0], cols + 2 * ncc.halo[1]
image, valid = np.random.default_rng(1).normal(size=shape).astype(np.float32), np.ones(shape, bool)
valid[: ncc.halo[0] - 2] = False
moved = np.roll(image, (3, -2), (0, 1))
found = ncc.match(Tile(image, valid), Tile(moved, valid), ChipGrid((rows, cols), ncc.chip, ncc.step))
assert np.allclose(found.d_row, 3, atol=0.01) and np.allclose(found.d_col, -2, atol=0.01)
print("COMPILED", *Compiled.names, "LOADED", *Loaded.names)
"""


def test_after_a_rehearsal_matching_waits_for_no_machine_code():
    result = subprocess.run([sys.executable, "-c", REHEARSED], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["COMPILED", "LOADED"]


def plus_one(x: float) -> float:
    return x + 1


def test_machine_code_that_cannot_be_kept_is_used_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    function = compiling.compiled(plus_one)

    def full(*_what):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(function._cache._cache_file, "save", full)
    assert function(1.5) == 2.5
