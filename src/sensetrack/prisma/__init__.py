"""PRISMA: hyperspectral cubes and the panchromatic image in, images and scenes out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sensetrack.prisma.names import PrismaName, parse_name
    from sensetrack.prisma.product import Prisma, open_prisma

_HOMES = {"Prisma": "product", "PrismaName": "names", "open_prisma": "product", "parse_name": "names"}

__all__ = ["Prisma", "PrismaName", "open_prisma", "parse_name"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"sensetrack.prisma.{_HOMES[name]}"), name)
    message = f"module 'sensetrack.prisma' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return __all__
