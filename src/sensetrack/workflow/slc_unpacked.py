"""Bursts of products in zips, unpacked while they are worked on: what is in a zip is reached from its start only."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import OutputError
from sensetrack.files.archive import Zip
from sensetrack.sentinel.s1_sources import SafeSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from sensetrack.sar.tops import Burst
    from sensetrack.sentinel.s1 import Sentinel1
    from sensetrack.sentinel.s1_pair import BurstPair
    from sensetrack.sentinel.s1_types import S1Swath

_STRIP = 128
"""Lines that are unpacked at a time."""


class Unpacked:
    """The lines of one burst of a measurement, in a file of their own: a `sensetrack.sentinel.s1_types.Measurement`."""

    dtype: np.dtype[Any] = np.dtype(np.complex64)

    def __init__(self, swath: S1Swath, burst: Burst, file: Path) -> None:
        self.path, self.shape, self._burst, self._file = swath.measurement.path, swath.shape, burst, file
        whole = getattr(getattr(swath.measurement, "file", None), "dtype", "") == "complex_int16"
        self._kind: np.dtype[Any] = np.dtype(np.int16 if whole else np.float32)
        with file.open("wb") as out:
            for top in range(0, burst.lines, _STRIP):
                rows = slice(burst.line + top, burst.line + min(top + _STRIP, burst.lines))
                pixels = swath.read(rows, slice(0, burst.samples))
                out.write(np.stack([pixels.real, pixels.imag], axis=-1).astype(self._kind).tobytes())

    def read(self, rows: slice, cols: slice) -> NDArray[np.complex64]:
        """Read a window of the measurement that lies in the burst."""
        # Mapped into memory, all that was ever read would count as taken.
        numbers = np.empty((rows.stop - rows.start, cols.stop - cols.start, 2), self._kind)
        size = 2 * self._kind.itemsize
        with self._file.open("rb", buffering=0) as opened:
            for line, place in zip(numbers, range(rows.start - self._burst.line, self._burst.lines), strict=False):
                opened.seek((place * self._burst.samples + cols.start) * size)
                opened.readinto(line)
        return numbers.astype(np.float32, copy=False).view(np.complex64)[..., 0]

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.complex64]:
        return self.read(*key)


def is_zipped(product: Sentinel1) -> bool:
    """Tell whether the pixels of a product lie in an archive."""
    return isinstance(product.source, SafeSource) and isinstance(product.source.safe.members, Zip)


@contextmanager
def unpacked(pair: BurstPair, zipped: tuple[bool, bool], folder: Path | None) -> Iterator[BurstPair]:
    """Yield a pair of bursts that is read from files of its own where it lies in zips, and remove them afterwards.

    Parameters
    ----------
    pair : BurstPair
    zipped : (bool, bool)
        Whether reference and secondary are; see `is_zipped`.
    folder : Path, optional
        For the files: lines x samples x 4 bytes each. None: nothing is unpacked.
    """
    if folder is None or not any(zipped):
        yield pair
        return
    made: list[Path] = []
    try:
        sides = {"reference": pair.reference_burst, "secondary": pair.secondary_burst}
        for (name, burst), packed in zip(sides.items(), zipped, strict=True):
            if packed:
                swath, file = getattr(pair, name), folder / f"{pair.id}.{name}"
                made.append(file)
                try:
                    held = Unpacked(swath, burst, file)
                except OSError as error:
                    raise OutputError(f"cannot be written ({error.strerror or error})", path=folder.parent) from error
                pair = replace(pair, **{name: replace(swath, open_measurement=lambda held=held: held)})
        yield pair
    finally:
        for file in made:
            file.unlink(missing_ok=True)
