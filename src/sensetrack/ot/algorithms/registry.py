"""The registry of algorithms: ours, and those of other packages."""

from __future__ import annotations

from typing import TypeVar

from sensetrack.errors import ConfigError, one_line
from sensetrack.ot.interfaces import OTAlgorithm

ALGORITHMS: dict[str, type[OTAlgorithm]] = {}
"""Every registered algorithm by name."""

A = TypeVar("A", bound=type[OTAlgorithm])


def register(algorithm: A) -> A:
    """Make an algorithm known to the command line, the configuration, the docs and the contract tests.

    Raises
    ------
    ConfigError
        The name belongs to an algorithm of this package.
    """
    taken = ALGORITHMS.get(algorithm.name)
    if taken is not None and taken is not algorithm and taken.__module__.startswith("sensetrack."):
        message = f"the name {algorithm.name!r} belongs to {taken.__module__}.{taken.__name__}"
        raise ConfigError(message, advice=f"name {algorithm.__name__} otherwise")
    ALGORITHMS[algorithm.name] = algorithm
    return algorithm


def get_algorithm(name: str) -> type[OTAlgorithm]:
    """Look an algorithm up by name; an unknown name is an error that lists the known ones."""
    if name.lower() not in ALGORITHMS:
        message = f"there is no algorithm {one_line(name)!r}; there are {', '.join(sorted(ALGORITHMS))}"
        raise ConfigError(message)
    return ALGORITHMS[name.lower()]
