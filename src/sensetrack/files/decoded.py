"""Blocks of rasters that are slow to decode, kept decoded: each is decoded once as long as there is room.

A tile of JPEG 2000 can only be decoded as a whole, and a matcher comes back to it many times: for the scale of the
image, for the whole-image shift, and for each of the windows that touch it.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Decode = Callable[[int, slice, slice], NDArray[Any]]

ROOM = 640 * 2**20
"""Bytes of decoded blocks that are kept over all files: two bands of 10980 x 10980 px of 16 bit, and their masks."""

_numbers = itertools.count()


class Store:
    """Arrays by key, together at most `room` bytes; the one not asked for the longest is dropped first."""

    def __init__(self, room: int) -> None:
        self.room, self.taken = room, 0
        self._blocks: OrderedDict[tuple[int, ...], NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[int, ...]) -> NDArray[Any] | None:
        """Return what was put under a key; None where it was dropped, or never was."""
        with self._lock:
            found = self._blocks.get(key)
            if found is not None:
                self._blocks.move_to_end(key)
            return found

    def put(self, key: tuple[int, ...], block: NDArray[Any]) -> None:
        """Keep a block, and drop others for it."""
        with self._lock:
            self._drop(key)
            self._blocks[key] = block
            self.taken += _bytes(block)
            while self.taken > self.room and len(self._blocks) > 1:
                self._drop(next(iter(self._blocks)))

    def forget(self, file: int) -> None:
        """Drop the blocks of a file."""
        with self._lock:
            for key in [key for key in self._blocks if key[0] == file]:
                self._drop(key)

    def _drop(self, key: tuple[int, ...]) -> None:
        if key in self._blocks:
            self.taken -= _bytes(self._blocks.pop(key))


def _moved(window: slice, by: int) -> slice:
    return slice(window.start + by, window.stop + by)


def _bytes(block: NDArray[Any]) -> int:
    return block.itemsize if block.strides == (0, 0) else block.nbytes


STORE = Store(ROOM)


class Blocks:
    """Windows of one raster, put together from its blocks.

    Parameters
    ----------
    shape, block : (int, int)
        Rows and columns of the raster and of its blocks.
    decode : callable
        (band, rows, cols) -> pixels of one block.
    store : Store
    """

    def __init__(self, shape: tuple[int, int], block: tuple[int, int], decode: Decode, store: Store = STORE) -> None:
        self.shape, self.block, self.store = shape, block, store
        self._decode, self._number, self._lock = decode, next(_numbers), threading.Lock()
        weakref.finalize(self, store.forget, self._number)

    def read(self, band: int, rows: slice, cols: slice) -> NDArray[Any]:
        """Return a window of a band (from 1)."""
        height, width = self.block
        spans = range(rows.start // height, -(-rows.stop // height)), range(cols.start // width, -(-cols.stop // width))
        out: NDArray[Any] | None = None
        starts = rows.start, cols.start
        for i, j in itertools.product(*spans):
            top, left = i * height, j * width
            block = self._one(band, i, j)
            if out is None:
                out = np.empty((rows.stop - rows.start, cols.stop - cols.start), block.dtype)
            inner = (
                slice(max(rows.start, top), min(rows.stop, top + block.shape[0])),
                slice(max(cols.start, left), min(cols.stop, left + block.shape[1])),
            )
            there, here = ((_moved(inner[0], -y), _moved(inner[1], -x)) for y, x in (starts, (top, left)))
            out[there] = block[here]
        return np.empty((rows.stop - rows.start, cols.stop - cols.start)) if out is None else out

    def _one(self, band: int, i: int, j: int) -> NDArray[Any]:
        key = self._number, band, i, j
        found = self.store.get(key)
        if found is not None:
            return found
        with self._lock:  # whoever comes second finds what the first one decoded
            found = self.store.get(key)
            if found is None:
                height, width = self.block
                rows = slice(i * height, min((i + 1) * height, self.shape[0]))
                cols = slice(j * width, min((j + 1) * width, self.shape[1]))
                found = self._decode(band, rows, cols)
                if found.size and (found == found.flat[0]).all():
                    found = np.broadcast_to(found.flat[0], found.shape)  # masks are mostly of one value
                self.store.put(key, found)
        return found
