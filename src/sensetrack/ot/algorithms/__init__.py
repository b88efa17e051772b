"""The registered algorithms and their parameters.

Each converts what its library returns to the sign rule of the package (`sensetrack.ot.interfaces`) at the call,
and nowhere else. Algorithms of other packages come in through the entry point group ``sensetrack.algorithms``.
"""

from __future__ import annotations

from sensetrack.ot.algorithms.flows import OpenCVOpticalFlow, SkiOpticalFlowILK, SkiOpticalFlowTVL1
from sensetrack.ot.algorithms.ncc import NCC
from sensetrack.ot.algorithms.pcc import SkiPCC_Vector
from sensetrack.ot.algorithms.registry import ALGORITHMS, get_algorithm, register
from sensetrack.ot.chips import stepped_rolling_window
from sensetrack.ot.plugins import load_plugins

__all__ = [
    "ALGORITHMS",
    "NCC",
    "OpenCVOpticalFlow",
    "SkiOpticalFlowILK",
    "SkiOpticalFlowTVL1",
    "SkiPCC_Vector",
    "get_algorithm",
    "register",
    "stepped_rolling_window",
]

load_plugins("sensetrack.algorithms")
