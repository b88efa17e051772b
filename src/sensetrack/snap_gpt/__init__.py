"""SNAP as an engine: its graphs with our parameters, filled, run and looked after.

`run_graph` puts a product through one of the graphs of `sensetrack.graphs`, or one of your own, with the SNAP that is
installed. In `sensetrack.snap_gpt.lib` are the names of the first release.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sensetrack.snap_gpt.aoi import AOI
    from sensetrack.snap_gpt.gpt import find_gpt, gpt_version
    from sensetrack.snap_gpt.graph import Graph, Node, graph_names
    from sensetrack.snap_gpt.lib import GPTSubsetter, SARPreprocessor, Subset
    from sensetrack.snap_gpt.looks import MultiLook, estimate_multilook, looks_for
    from sensetrack.snap_gpt.prepare import SnapConfig, run_graph
    from sensetrack.snap_gpt.recipes import SARPreprocessing

_HOMES = {
    "AOI": "aoi",
    "GPTSubsetter": "lib",
    "Graph": "graph",
    "MultiLook": "looks",
    "Node": "graph",
    "SARPreprocessing": "recipes",
    "SARPreprocessor": "lib",
    "SnapConfig": "prepare",
    "Subset": "lib",
    "estimate_multilook": "looks",
    "find_gpt": "gpt",
    "gpt_version": "gpt",
    "graph_names": "graph",
    "looks_for": "looks",
    "run_graph": "prepare",
}

__all__ = [
    "AOI",
    "GPTSubsetter",
    "Graph",
    "MultiLook",
    "Node",
    "SARPreprocessing",
    "SARPreprocessor",
    "SnapConfig",
    "Subset",
    "estimate_multilook",
    "find_gpt",
    "gpt_version",
    "graph_names",
    "looks_for",
    "run_graph",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"sensetrack.snap_gpt.{_HOMES[name]}"), name)
    message = f"module 'sensetrack.snap_gpt' has no attribute {name!r}"
    raise AttributeError(message)
