"""Two satellite scenes in, a trustworthy map of how the ground moved out.

The public face is small and lazy: nothing heavy is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sensetrack.files.pairing import open_image, pair
    from sensetrack.grid import Grid
    from sensetrack.ot.interfaces import Displacement, Flag, Image, ImagePair, OffsetField, OTAlgorithm
    from sensetrack.workflow.config import TrackConfig
    from sensetrack.workflow.pipeline import Track, run_track, track

__version__ = "0.1.0"

_HOMES = {
    "Displacement": "sensetrack.ot.interfaces",
    "Flag": "sensetrack.ot.interfaces",
    "Grid": "sensetrack.grid",
    "Image": "sensetrack.ot.interfaces",
    "ImagePair": "sensetrack.ot.interfaces",
    "OTAlgorithm": "sensetrack.ot.interfaces",
    "OffsetField": "sensetrack.ot.interfaces",
    "Track": "sensetrack.workflow.pipeline",
    "TrackConfig": "sensetrack.workflow.config",
    "open_image": "sensetrack.files.pairing",
    "pair": "sensetrack.files.pairing",
    "run_track": "sensetrack.workflow.pipeline",
    "track": "sensetrack.workflow.pipeline",
}

__all__ = [
    "Displacement",
    "Flag",
    "Grid",
    "Image",
    "ImagePair",
    "OTAlgorithm",
    "OffsetField",
    "Track",
    "TrackConfig",
    "__version__",
    "open_image",
    "pair",
    "run_track",
    "track",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    message = f"module 'sensetrack' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return __all__
