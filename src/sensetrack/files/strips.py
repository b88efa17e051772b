"""Read windows of TIFF files whose lines lie in them as they are: only the bytes that are asked for, past any cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rasterio.windows import Window

from sensetrack.errors import InputError
from sensetrack.files.damage import place_of
from sensetrack.files.safe import read_head

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from numpy.typing import NDArray

_TYPES = ("uint8", "uint16", "int16", "float32")


@dataclass(frozen=True, eq=False)
class Strips:
    """One band in strips as wide as the image, not compressed, as measurements of Sentinel-1 GRD are.

    A decoder reads whole strips into its cache, and copies what is wanted from there: for windows of a wide image that
    is many times as much.
    """

    path: Path
    dataset: Any
    lock: threading.Lock
    """Held while the dataset is asked."""
    offsets: NDArray[np.int64]
    """Where each strip begins, bytes; -1: not asked for yet."""

    @classmethod
    def of(cls, dataset: Any, path: Path, lock: threading.Lock) -> Strips | None:
        """Return the strips of an open file; None where it is of another kind."""
        height, width = dataset.block_shapes[0]
        plain = dataset.driver == "GTiff" and dataset.count == 1 and dataset.compression is None
        if not plain or width < dataset.width or dataset.dtypes[0] not in _TYPES:
            return None
        if "NBITS" in dataset.tags(1, ns="IMAGE_STRUCTURE") or read_head(path)[:2] != b"II":
            return None
        found = cls(path, dataset, lock, np.full(-(-dataset.height // height), -1, np.int64))
        # What it says of itself is tried on the first strip: lines that lie in another way are not read so.
        lines = min(height, dataset.height, 64)
        try:
            own = found.read(slice(0, lines), slice(0, dataset.width))
        except InputError:
            return None
        whole = Window(0, 0, dataset.width, lines)
        same = own is not None and np.array_equal(own, dataset.read(1, window=whole), equal_nan=own.dtype.kind == "f")
        return found if same else None

    def read(self, rows: slice, cols: slice) -> NDArray[Any] | None:
        """Read a window; None where a strip was never written.

        Raises
        ------
        InputError
            The file ends before it.
        """
        rows_per_strip, width = self.dataset.block_shapes[0]  # a tile may be wider than the image
        known = self._known(slice(rows.start // rows_per_strip, -(-rows.stop // rows_per_strip)))
        if known is None:
            return None
        out = np.empty((rows.stop - rows.start, cols.stop - cols.start), f"<{np.dtype(self.dataset.dtypes[0]).str[1:]}")
        strip, within = np.divmod(np.arange(rows.start, rows.stop), rows_per_strip)
        starts = known[strip - rows.start // rows_per_strip] + (within * width + cols.start) * out.itemsize
        content, size = out.reshape(-1).view(np.uint8).data, out.shape[1] * out.itemsize
        whole = True
        try:
            with self.path.open("rb", buffering=0) as file:
                for number, start in enumerate(starts.tolist()):
                    file.seek(start)
                    whole &= file.readinto(content[number * size : (number + 1) * size]) == size
        except OSError as error:
            raise self._damaged(rows, cols) from error
        if not whole:
            raise self._damaged(rows, cols)
        return out

    def _damaged(self, rows: slice, cols: slice) -> InputError:
        where = f"rows {rows.start}-{rows.stop}, columns {cols.start}-{cols.stop}"
        message = f"is truncated or damaged ({where} cannot be read)"
        return InputError(message, path=self.path, advice="download it again")

    def _known(self, strips: slice) -> NDArray[np.int64] | None:
        """Return where some strips begin; None where one of them begins nowhere."""
        found = self.offsets[strips]
        if (found < 0).any():
            with self.lock:
                for number in np.flatnonzero(found < 0):
                    place = place_of(self.dataset, 1, int(number) + strips.start, 0)
                    if place is None:
                        return None
                    found[number] = place[0]
        return found
