"""Sentinel missions: products in, images and scenes out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sensetrack.sentinel.sentinel2 import Sentinel2, open_sentinel2

_HOMES = {"Sentinel2": "sentinel2", "open_sentinel2": "sentinel2"}

__all__ = ["Sentinel2", "open_sentinel2"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"sensetrack.sentinel.{_HOMES[name]}"), name)
    message = f"module 'sensetrack.sentinel' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return __all__
