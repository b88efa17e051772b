"""Memory that a thread uses again for the next tile: fresh pages would cost as much as the sums written to them."""

from __future__ import annotations

import threading
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _Store(threading.local):
    def __init__(self) -> None:
        self.arrays: dict[str, NDArray[Any]] = {}


_STORE = _Store()
_SLACK = 64
"""Numbers after the end that vectors may read, but not use."""
LINE = 64
"""Bytes of a line of the cache: arrays start with one, as vectors that straddle two take twice as long."""


def take(name: str, shape: tuple[int, ...], kind: Any = np.float32) -> NDArray[Any]:
    """Return an array of this thread's own; what it holds is left over, but finite."""
    size = prod(shape)
    kept = _STORE.arrays.get(name)
    if kept is None or kept.size < size + _SLACK or kept.dtype != kind:
        room = np.zeros(size + _SLACK + LINE // np.dtype(kind).itemsize, kind)
        kept = _STORE.arrays[name] = room[-room.ctypes.data % LINE // room.itemsize :]
    return kept[:size].reshape(shape)


def lines(size: int) -> int:
    """Return the numbers (float32) of the lines of the cache that `size` of them need."""
    return -(-size * 4 // LINE) * LINE // 4


def held() -> int:
    """Bytes this thread keeps."""
    return sum(array.nbytes for array in _STORE.arrays.values())
