"""YAML that people write: what parameters are read from."""

from __future__ import annotations

from typing import Any

_LONGEST = 4_000_000
"""Characters of a file of settings, and values in it: dates of 50 000 scenes are less."""


def plain_yaml(text: str) -> Any:
    """Read YAML that a person can have written: no key twice, and no aliases that stand for millions of values.

    Raises
    ------
    ValueError
        It is not that.
    yaml.YAMLError
        It is no YAML.
    """
    import yaml

    if len(text) > _LONGEST:
        message = f"{len(text)} characters, more than the {_LONGEST} that settings have at most"
        raise ValueError(message)
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > _LONGEST:
            message = f"its aliases stand for more than {_LONGEST} values"
            raise ValueError(message)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        raise ValueError(f"{where}{error.problem or error.context}") from error
    finally:
        loader.dispose()


def _size(node: Any, known: dict[int, int]) -> int:
    """Return how many values a node of YAML stands for, its aliases written out."""
    import yaml

    if id(node) in known:
        if known[id(node)] == 0:
            message = f"line {node.start_mark.line + 1}: an alias stands for what it is a part of"
            raise ValueError(message)
        return known[id(node)]
    known[id(node)] = 0  # begun
    parts: list[Any] = []
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        twice = next((key for key in keys if keys.count(key) > 1), None) if len(set(keys)) < len(keys) else None
        if twice is not None:
            lines = [key.start_mark.line + 1 for key, _ in node.value if key.value == twice]
            message = f"line {lines[1]}: {twice[:60]} is said twice, first in line {lines[0]}"
            raise ValueError(message)
        parts = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        parts = node.value
    known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]
