"""What is in an HDF5 file, looked at before any of it is used."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py

from sensetrack.errors import InputError, UnsafeInputError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_NODES = 20_000
"""Groups and datasets of a file; a real product has some hundreds."""
LARGEST_ARRAY = 64 * 2**30
"""Bytes of a dataset, unpacked."""
LARGEST_CHUNK = 2**30
"""Bytes of a chunk, unpacked: what has to be in memory at once."""
_DENSEST = 1100
"""Unpacked bytes of a dataset per byte of the whole file: more than deflate can reach."""
_SMALL = 2**24
_DEEPEST = 32
BROKEN = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, UnicodeError, SystemError)
"""What h5py raises for files that are not as they should be."""


@dataclass(frozen=True)
class Node:
    """A group, or a dataset and what its header says."""

    name: str
    """Path in the file, without the leading "/"; empty for the root."""
    shape: tuple[int, ...] | None = None
    """None for a group, and for a dataset that holds nothing."""
    dtype: Any = None
    """None for a group."""
    chunks: tuple[int, ...] | None = None
    filters: tuple[int, ...] = ()
    """Numbers of the filters by which it is packed (1 is deflate, 2 shuffle)."""

    @property
    def is_array(self) -> bool:
        """Whether this is a dataset that holds something."""
        return self.shape is not None


def walk(file: Any, path: Path, size: int) -> dict[str, Node]:
    """Look at everything that hard links lead to, and require that nothing leads elsewhere."""
    nodes: dict[str, Node] = {"": Node("")}
    soft: list[tuple[str, str]] = []
    seen = {_address(file)}
    waiting = [("", file)]
    try:
        while waiting:
            start, group = waiting.pop()
            for name, kind, item in _entries(group, start, path):
                if item is None:
                    soft.append((name, kind))
                    continue
                address = _address(item)
                group_again = isinstance(item, h5py.Group) and address in seen
                if group_again or name.count("/") >= _DEEPEST:
                    raise UnsafeInputError(f"'{one_line(name)}' leads in a circle", path=path)
                seen.add(address)
                nodes[name] = _node(name, item, path, size)
                if len(nodes) > MOST_NODES:
                    raise UnsafeInputError(f"must hold at most {MOST_NODES} objects", path=path)
                if isinstance(item, h5py.Group):
                    waiting.append((name, item))
    except BROKEN as error:
        if isinstance(error, InputError):
            raise
        message = f"is truncated or damaged ({reason(error)})"
        raise InputError(message, path=path, advice="download it again") from error
    _require_harmless(soft, nodes, path)
    return dict(sorted(nodes.items()))


def _entries(group: Any, start: str, path: Path) -> Iterator[tuple[str, str, Any]]:
    """Yield name, kind and object of what is in a group; of a soft link its target and None."""
    for key in group:
        name = f"{start}/{key}" if start else key
        link = group.get(key, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            message = f"'{one_line(name)}' links to the file {one_line(link.filename)!r}: external data not allowed"
            raise UnsafeInputError(message, path=path)
        if isinstance(link, h5py.SoftLink):
            target = link.path if link.path.startswith("/") else f"{start}/{link.path}"
            yield name, target, None
            continue
        try:
            item = group[key]
        except BROKEN as error:
            message = f"{one_line(name)} is truncated or damaged ({reason(error)})"
            raise InputError(message, path=path, advice="download it again") from error
        yield name, "", item


def _require_harmless(soft: list[tuple[str, str]], nodes: dict[str, Node], path: Path) -> None:
    """Require that soft links lead to what hard links lead to: they are never followed, only looked at."""
    for name, target in soft:
        plain_target = "/".join(part for part in target.split("/") if part not in ("", "."))
        if plain_target not in nodes:
            message = f"'{one_line(name)}' links to {one_line(target)!r}, which is not in the file: not allowed"
            raise UnsafeInputError(message, path=path)


def _address(item: Any) -> Any:
    info = h5py.h5o.get_info(item.id)
    return info.fileno, info.addr


def _node(name: str, item: Any, path: Path, size: int) -> Node:
    """Return what the header of an object says, where that is something a file of this size can hold."""
    if not isinstance(item, h5py.Dataset):
        return Node(name)
    layout = item.id.get_create_plist()
    if layout.get_external_count() or layout.get_layout() == h5py.h5d.VIRTUAL:
        raise UnsafeInputError(f"'{one_line(name)}' lies in other files: external data not allowed", path=path)
    filters = tuple(layout.get_filter(i)[0] for i in range(layout.get_nfilters()))
    node = Node(name, item.shape, item.dtype, item.chunks, filters)
    declared = math.prod(item.shape or ()) * item.dtype.itemsize
    if declared > LARGEST_ARRAY or (declared > _SMALL and declared > _DENSEST * size):
        message = f"'{one_line(name)}' declares {declared} bytes, and the file has {size}"
        raise UnsafeInputError(message, path=path)
    chunk = math.prod(item.chunks or ()) * item.dtype.itemsize
    if item.chunks and chunk > LARGEST_CHUNK:
        raise UnsafeInputError(f"'{one_line(name)}' has chunks of {chunk} bytes", path=path)
    return node


def reason(error: BaseException) -> str:
    """First sentence of what HDF5 says."""
    text = str(error.args[0]) if error.args else type(error).__name__
    return one_line(text.split("\n")[0])[:200]
