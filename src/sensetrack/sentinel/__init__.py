"""Sentinel missions: products in, images and scenes out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sensetrack.sentinel.s1 import Sentinel1, open_sentinel1
    from sensetrack.sentinel.s1_prepare import S1Preprocessor
    from sensetrack.sentinel.s1_seed import S1ManifestParser, reformat_node_time, s1_mean_incidence_angle_rad
    from sensetrack.sentinel.s1_types import S1Info
    from sensetrack.sentinel.sentinel2 import Sentinel2, open_sentinel2

_HOMES = {
    "S1Info": "s1_types",
    "S1ManifestParser": "s1_seed",
    "S1Preprocessor": "s1_prepare",
    "Sentinel1": "s1",
    "Sentinel2": "sentinel2",
    "open_sentinel1": "s1",
    "open_sentinel2": "sentinel2",
    "reformat_node_time": "s1_seed",
    "s1_mean_incidence_angle_rad": "s1_seed",
}

__all__ = [
    "S1Info",
    "S1ManifestParser",
    "S1Preprocessor",
    "Sentinel1",
    "Sentinel2",
    "open_sentinel1",
    "open_sentinel2",
    "reformat_node_time",
    "s1_mean_incidence_angle_rad",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"sensetrack.sentinel.{_HOMES[name]}"), name)
    message = f"module 'sensetrack.sentinel' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return __all__
