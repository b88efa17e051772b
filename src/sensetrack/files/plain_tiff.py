"""Write TIFF files line by line, one strip each, as those of Sentinel-1: whole numbers or pairs of them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from sensetrack.errors import OutputError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

Kind = Literal["cint16", "uint16"]
_KINDS: dict[Kind, tuple[int, int]] = {"cint16": (32, 5), "uint16": (16, 1)}
"""Bits per sample, and code of the sample format."""
_SHORT, _LONG, _DOUBLE = 3, 4, 12
_CODES = {_SHORT: "H", _LONG: "I", _DOUBLE: "d"}
_GEO_KEYS = (1, 1, 0, 3, 1024, 0, 1, 2, 1025, 0, 1, 1, 2048, 0, 1, 4326)
"""Longitude and latitude on WGS84, for the tie points."""


class PlainTiff:
    """A TIFF file, not compressed, that grows line by line.

    Parameters
    ----------
    path : Path
    shape : (int, int)
        Lines and samples.
    kind : {"cint16", "uint16"}
        Pairs of 16 bit numbers (real, imaginary), or 16 bit numbers without sign.
    ties : sequence of (column, row, lon, lat, height)
        Ground control points, degrees and m.
    """

    def __init__(
        self, path: Path, shape: tuple[int, int], kind: Kind, ties: tuple[tuple[float, ...], ...] = ()
    ) -> None:
        self.path, self.shape, self.kind = Path(path), shape, kind
        self._row = _KINDS[kind][0] // 8 * shape[1]
        if self._row * shape[0] > 2**32 - 2**20:
            raise OutputError(f"a file of {shape} pixels would be larger than 4 GB", path=path)
        self._head = self._header(ties)
        self._file = self.path.open("xb")
        self._file.write(self._head)
        self._lines = 0

    @property
    def start(self) -> int:
        """Bytes before the first pixel."""
        return len(self._head)

    def write(self, lines: NDArray[np.int16] | NDArray[np.uint16]) -> None:
        """Append lines: (lines, samples, 2) int16, or (lines, samples) uint16."""
        pairs = (2,) if self.kind == "cint16" else ()
        wanted = np.dtype("<i2" if pairs else "<u2")
        if lines.shape[1:] != (self.shape[1], *pairs) or lines.dtype.newbyteorder("<") != wanted:
            message = f"lines must be {wanted.name} of shape (n, {self.shape[1]}, ...), instead got {lines.shape}"
            raise OutputError(message, path=self.path)
        self._file.write(np.ascontiguousarray(lines, wanted).tobytes())
        self._lines += len(lines)

    def _header(self, ties: tuple[tuple[float, ...], ...]) -> bytes:
        lines, samples = self.shape
        bits, form = _KINDS[self.kind]
        points = tuple(float(x) for column, row, *place in ties for x in (column, row, 0, *place))
        tags: list[tuple[int, int, tuple[float, ...]]] = [
            (256, _LONG, (samples,)), (257, _LONG, (lines,)), (258, _SHORT, (bits,)), (259, _SHORT, (1,)),
            (262, _SHORT, (1,)), (273, _LONG, (0,) * lines), (277, _SHORT, (1,)), (278, _LONG, (1,)),
            (279, _LONG, (self._row,) * lines), (339, _SHORT, (form,)),
        ]  # fmt: skip
        if points:
            tags += [(33922, _DOUBLE, points), (34735, _SHORT, _GEO_KEYS)]
        sizes = {tag: struct.calcsize(f"<{len(values)}{_CODES[kind]}") for tag, kind, values in tags}
        first = 8 + 2 + 12 * len(tags) + 4
        start = first + sum(size + size % 2 for size in sizes.values() if size > 4)
        entries, data = b"", b""
        for tag, kind, values in tags:
            numbers = tuple(start + line * self._row for line in range(lines)) if tag == 273 else values
            packed = struct.pack(f"<{len(numbers)}{_CODES[kind]}", *numbers)
            if len(packed) > 4:
                place, data = struct.pack("<I", first + len(data)), data + packed + b"\0" * (len(packed) % 2)
            else:
                place = packed.ljust(4, b"\0")
            entries += struct.pack("<HHI", tag, kind, len(numbers)) + place
        return struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(tags)) + entries + b"\0" * 4 + data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if kind is None and self._lines != self.shape[0]:
            raise OutputError(f"must have {self.shape[0]} lines, instead got {self._lines}", path=self.path)
