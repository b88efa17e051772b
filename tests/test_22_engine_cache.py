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
