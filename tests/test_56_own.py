"""A second Python beside this one: it works, it ends with the block, and is not started where it must not be."""

import sys
import time

import psutil
import pytest

from sensetrack.external.own import beside

CORE = "sensetrack.ot.engine.near", "load"


def children():
    return psutil.Process().children()


def test_it_ends_with_the_block(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    before = len(children())
    with beside(*CORE) as started:
        assert started
        assert len(children()) == before + 1
    assert len(children()) == before


def test_it_leaves_machine_code_for_others(monkeypatch, tmp_path):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    with beside(*CORE):
        end = time.monotonic() + 60
        while not list(tmp_path.rglob("peaks.locate*.nbc")):
            assert time.monotonic() < end
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("cores", 1), ("executable", "/usr/bin/qgis"), ("executable", ""), ("executable", "/none/python3")],
)
def test_it_is_left_out_where_it_does_not_help(monkeypatch, name, value):
    monkeypatch.setattr("os.cpu_count", lambda: value if name == "cores" else 2)
    if name == "executable":
        monkeypatch.setattr(sys, "executable", value)
    before = len(children())
    with beside(*CORE) as started:
        assert not started
        assert len(children()) == before


@pytest.mark.parametrize(
    ("module", "function"), [("os", "abort"), ("sensetrack.grid", "x; import os"), ("sensetracker", "f")]
)
def test_only_functions_of_our_own(module, function):
    with pytest.raises(ValueError, match="not a function of sensetrack"), beside(module, function):
        pass
