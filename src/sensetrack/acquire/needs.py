"""Libraries that only fetching needs."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sensetrack.errors import EngineNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator


def needed(module: str) -> Any:
    """Import a library of the extra ``acquire``.

    Raises
    ------
    EngineNotFoundError
        It is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        message = f"fetching from the network needs the package {module.replace('_', '-')}, which is not installed"
        raise EngineNotFoundError(message, advice='pip install "sensetrack[acquire]"') from None


@contextmanager
def talking_to_themselves() -> Iterator[None]:
    """Drop warnings that libraries mean for their own developers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
