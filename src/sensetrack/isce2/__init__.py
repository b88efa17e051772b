"""ISCE2's `topsApp.py` as an engine: its inputs are written, it is run step by step, and its results are read back.

ISCE2 itself is not part of sensetrack; where it is installed it can do what `sensetrack slc` does natively.
"""

from sensetrack.isce2.clean import clean
from sensetrack.isce2.run import STEPS, find_topsapp, run_topsapp
from sensetrack.isce2.settings import Scene, TopsApp
from sensetrack.isce2.xml import read_topsapp, write_topsapp

__all__ = ["STEPS", "Scene", "TopsApp", "clean", "find_topsapp", "read_topsapp", "run_topsapp", "write_topsapp"]
