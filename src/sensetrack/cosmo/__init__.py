"""COSMO-SkyMed, first (CSK) and second generation (CSG): products in, images and maps out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sensetrack.cosmo.lib import (
        CosmoFilenameParser,
        CSGInfo,
        CSGProduct,
        CSKFile,
        CSKInfo,
        CSKProduct,
    )
    from sensetrack.cosmo.names import CSGName, CSKName, parse_name
    from sensetrack.cosmo.prepare import CosmoPreprocessor, CSGPreprocessor, CSKPreprocessor
    from sensetrack.cosmo.product import Cosmo, open_cosmo

_HOMES = {
    "CSGInfo": "lib",
    "CSGName": "names",
    "CSGPreprocessor": "prepare",
    "CSGProduct": "lib",
    "CSKFile": "lib",
    "CSKInfo": "lib",
    "CSKName": "names",
    "CSKPreprocessor": "prepare",
    "CSKProduct": "lib",
    "Cosmo": "product",
    "CosmoFilenameParser": "lib",
    "CosmoPreprocessor": "prepare",
    "open_cosmo": "product",
    "parse_name": "names",
}

__all__ = [
    "CSGInfo",
    "CSGName",
    "CSGPreprocessor",
    "CSGProduct",
    "CSKFile",
    "CSKInfo",
    "CSKName",
    "CSKPreprocessor",
    "CSKProduct",
    "Cosmo",
    "CosmoFilenameParser",
    "CosmoPreprocessor",
    "open_cosmo",
    "parse_name",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"sensetrack.cosmo.{_HOMES[name]}"), name)
    message = f"module 'sensetrack.cosmo' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return __all__
