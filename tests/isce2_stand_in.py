"""A stand-in for topsApp.py, and files as ISCE2 writes them."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import numpy as np

from sensetrack.files.isce_raw import write_raw
from sensetrack.isce2 import STEPS

STAND_IN = '''#!{python}
"""Does what topsApp.py does to files, and nothing else; MODE says how it ends."""
import os, shutil, sys, time
STEPS = {steps!r}
mode, at = os.environ.get("MODE", ""), os.environ.get("AT", "")
options = dict(one.lstrip("-").partition("=")[::2] for one in sys.argv[2:])
assert sys.argv[1] == "topsApp.xml" and "steps" in options, sys.argv
for name in ("ISCE_HOME", "OMP_NUM_THREADS"):
    print(name, os.environ.get(name))
open("calls.txt", "a").write(options["start"] + "\\n")
os.makedirs("PICKLE", exist_ok=True)
for step in STEPS[STEPS.index(options["start"]) : STEPS.index(options["end"]) + 1]:
    print("Running step", step, flush=True)
    if step == at and mode == "fail":
        sys.exit("RuntimeError: no overlap between the bursts")
    if step == at and mode == "hang":
        time.sleep(600)
    if step == "mergebursts":
        os.makedirs("merged", exist_ok=True)
        for name in ("reference.slc.full", "lat.rdr.full", "dem.crop"):
            open("merged/" + name, "w").write("pixels")
        os.makedirs("fine_coreg", exist_ok=True)
    if step == "denseoffsets" and mode != "nothing":
        for name in os.listdir({results!r}):
            shutil.copy(os.path.join({results!r}, name), "merged")
    open("PICKLE/" + step + ".xml", "w").write("<state/>")
'''


def stand_in(home: Path, results: Path) -> Path:
    """Make a folder for ISCE_HOME whose topsApp.py leaves the files of a folder; return it."""
    program = home / "applications" / "topsApp.py"
    program.parent.mkdir(parents=True)
    program.write_text(STAND_IN.format(python=sys.executable, steps=list(STEPS), results=str(results)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return home


def raw(path, values):
    """Doubles of one band, as ISCE2 writes places, with its header."""
    _, header, vrt = write_raw(path, [np.zeros(values.shape, np.float32)], ["x"], null=None)
    vrt.unlink()
    header.write_text(header.read_text().replace("FLOAT", "DOUBLE"))
    np.asarray(values, "<f8").tofile(path)
