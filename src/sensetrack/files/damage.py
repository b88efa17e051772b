"""Find damage that the decoders of rasters do not: files that end early, and compressed blocks with other content."""

from __future__ import annotations

import itertools
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from rasterio.enums import Interleaving

from sensetrack.errors import EnvironmentFault, InputError
from sensetrack.files.safe import read_tail

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from numpy.typing import NDArray

_LAST = {"PNG": b"IEND", "JPEG": b"\xff\xd9"}
"""What a picture that is whole ends with."""
_PIECE = 2**20
"""Bytes that are read and inflated at a time."""
_WIDEST = 16
"""Bytes of the largest type of pixel: a block that inflates to more than its pixels can take is damaged."""


def require_complete(dataset: Any, path: Path, size: int | None = None) -> None:
    """Raise InputError where a file ends early: it would fail only when read, or be filled with zeros.

    `size` is its size in bytes where it lies in an archive.
    """
    size = path.stat().st_size if size is None else size
    if dataset.driver in _LAST and _LAST[dataset.driver] not in read_tail(path):
        raise InputError(f"is truncated or damaged (ends after {size} bytes)", path=path, advice="download it again")
    if dataset.driver != "GTiff":
        return
    height, width = dataset.block_shapes[0]
    for row, col in itertools.product(range(-(-dataset.height // height)), range(-(-dataset.width // width))):
        place = place_of(dataset, 1, row, col)
        if place is not None and sum(place) > size:
            raise InputError(
                f"is truncated (its {size} bytes end before block {row}, {col})",
                path=path,
                advice="download it again",
            )


def place_of(dataset: Any, band: int, row: int, col: int) -> tuple[int, int] | None:
    """Offset and size of a block in a GeoTIFF, bytes; None where it was never written."""
    offset, size = (dataset.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=band) for what in ("OFFSET", "SIZE"))
    if offset is None or size is None or not int(size):
        return None
    return int(offset), int(size)


@dataclass(frozen=True, eq=False)
class BlockSums:
    """The checksums of the deflate-compressed blocks of a GeoTIFF, each looked at once.

    A decoder stops when it has as many pixels as it wants, so it never looks at the checksum (Adler-32) after them:
    from a damaged block it often reads other pixels without an error.
    """

    path: Path
    dataset: Any
    lock: threading.Lock
    """Held while the dataset is asked."""
    sound: NDArray[np.bool_]
    """(bands, rows, columns) of blocks, True = checked; one band where the bands share their blocks."""

    @classmethod
    def of(cls, dataset: Any, path: Path, lock: threading.Lock) -> BlockSums | None:
        """Return the sums of an open file; None where its blocks have none."""
        if dataset.driver != "GTiff" or dataset.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION") != "DEFLATE":
            return None
        height, width = dataset.block_shapes[0]
        bands = 1 if dataset.interleaving == Interleaving.pixel else dataset.count
        shape = bands, -(-dataset.height // height), -(-dataset.width // width)
        return cls(path, dataset, lock, np.zeros(shape, bool))

    def require(self, band: int, rows: slice, cols: slice) -> None:
        """Raise InputError where a block under a window of a band (from 1) is damaged."""
        height, width = self.dataset.block_shapes[0]
        bands = self.sound.shape[0]
        plane, top, left = (band - 1) % bands, rows.start // height, cols.start // width
        new = np.argwhere(~self.sound[plane, top : -(-rows.stop // height), left : -(-cols.stop // width)])
        if not new.size:
            return
        blocks = [(int(row) + top, int(col) + left) for row, col in new]
        with self.lock:
            places = [place_of(self.dataset, plane + 1, *block) for block in blocks]
        limit = height * width * _WIDEST * (self.dataset.count if bands == 1 else 1)
        try:
            with self.path.open("rb") as file:
                for (row, col), place in zip(blocks, places, strict=True):
                    if place is not None and not _intact(file, *place, limit):
                        raise self._damaged(band, row, col)
                    self.sound[plane, row, col] = True
        except OSError as error:
            raise EnvironmentFault(f"cannot be read ({error.strerror})", path=self.path) from error

    def _damaged(self, band: int, row: int, col: int) -> InputError:
        height, width = self.dataset.block_shapes[0]
        bottom, right = min((row + 1) * height, self.dataset.height), min((col + 1) * width, self.dataset.width)
        where = f"rows {row * height}-{bottom}, columns {col * width}-{right}"
        which = f" of band {band}" if self.sound.shape[0] > 1 else ""
        message = f"is truncated or damaged (block {row}, {col}{which}, {where}, does not match its checksum)"
        return InputError(message, path=self.path, advice="download it again")


def _intact(file: BinaryIO, offset: int, size: int, limit: int) -> bool:
    """Tell whether a zlib stream of `size` bytes decodes to its end, to its checksum and to at most `limit` bytes."""
    inflate = zlib.decompressobj()
    file.seek(offset)
    try:
        while size > 0 and not inflate.eof:
            piece = file.read(min(size, _PIECE))
            if not piece:
                return False
            size -= len(piece)
            while piece and not inflate.eof:
                limit -= len(inflate.decompress(piece, _PIECE))
                if limit < 0:
                    return False
                piece = inflate.unconsumed_tail
        inflate.flush()  # what it holds back where a piece ended with the input
    except zlib.error:
        return False
    return inflate.eof
