"""Machine code on disk: what two processes write at the same time must not be taken for each other's."""

import subprocess
import sys

CODE = """
from sensetrack.ot.engine import surfaces, vector
kept = vector._compile(3, 0, 1, 16), surfaces.make
print(*(function._cache._cache_file._data_name(1) for function in kept))
"""


def test_processes_write_files_of_their_own():
    runs = [subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True) for _ in range(2)]
    first, second = (run.stdout.split() for run in runs)
    assert len(first) == 2
    assert all(name.endswith(".1.nbc") for name in first + second)
    assert not set(first) & set(second)


LOADED = """
import numpy as np
from sensetrack.ot.algorithms import NCC
from sensetrack.ot.engine import framed, near, peaks
from sensetrack.workflow.ahead import rehearsals
near.load()
functions = framed.settled, framed.normalise, peaks.locate, peaks.refine
before = [len(function.signatures) for function in functions]
for rehearse in rehearsals(NCC()):
    rehearse()
print(before, [len(function.signatures) for function in functions])
"""


def test_what_is_loaded_ahead_is_what_matching_calls():
    run = subprocess.run([sys.executable, "-c", LOADED], check=True, capture_output=True, text=True)
    assert run.stdout.split("] ")[0] + "]" == run.stdout.strip().split("] ")[1] == "[1, 1, 1, 1]", run.stdout
