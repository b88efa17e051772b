"""Pixels of PRISMA products as radiance or reflectance, NaN where not valid, read when they are sliced.

Cubes of levels L1, L2B and L2C are stored as [sample, band, line], samples from east to west of a descending pass: in
images, rows are lines and columns are samples turned round. L2D is stored as [row, band, column].
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sensetrack.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sensetrack.files.hdf5 import Hdf5
    from sensetrack.prisma.layout import Layout

_KEPT = 4
"""Windows that are kept where reading one band means reading all of them."""

Clouds = Literal["keep", "opaque", "all"]


@dataclass(frozen=True)
class Scale:
    """What stored numbers stand for: ``low + number * step``."""

    low: float
    step: float


class Stored:
    """A stored array as an image: (rows, cols) of one layer, whatever the order of its axes.

    Parameters
    ----------
    file : Hdf5
    name : str
        Dataset of two axes, or three with the layers in the middle.
    turned : bool
        Whether it is stored as [sample, line].
    """

    def __init__(self, file: Hdf5, name: str, *, turned: bool) -> None:
        node = file.array(name)
        shape = node.shape or ()
        if len(shape) not in (2, 3) or min(shape) < 1 or node.dtype.kind not in "uif":
            wanted = "numbers of two or three axes"
            raise InputError(f"{name} must hold {wanted}, instead got {node.dtype} {shape}", path=file.path)
        self.file, self.name, self.turned, self.dtype = file, name, turned, node.dtype
        self.layers = shape[1] if len(shape) == 3 else 0
        outer = (shape[0], shape[-1])
        self.shape = outer[::-1] if turned else outer
        self._across = node.chunks is not None and len(shape) == 3 and node.chunks[1] > 1
        self._kept: OrderedDict[tuple[int, ...], NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, layer: int, rows: slice, cols: slice) -> NDArray[Any]:
        """Return a window of a layer as stored, (rows, cols)."""
        if self.turned:
            samples = self.shape[1]
            first, last = slice(samples - cols.stop, samples - cols.start), rows
        else:
            first, last = rows, cols
        if not self.layers:
            values = self.file.read(self.name, first, last)
        elif self._across:
            values = self._all_layers(first, last)[:, layer]
        else:
            values = self.file.read(self.name, first, layer, last)
        return values[::-1].T if self.turned else values

    def _all_layers(self, first: slice, last: slice) -> NDArray[Any]:
        """Read a window of all layers: they are packed together, and are likely to be asked for one by one."""
        key = (first.start, first.stop, last.start, last.stop)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        values = self.file.read(self.name, first, slice(None), last)
        with self._lock:
            self._kept[key] = values
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return values


class Blank:
    """Where nothing was measured at all: the stored number of every layer that is looked at is a fill value.

    A zero in one layer alone is a measurement. Levels on a map are padded with zeros around the swath; the sun's height
    is zero there, too.
    """

    def __init__(self, data: Stored, layers: Sequence[int], fills: tuple[int, ...], sun: Stored | None = None) -> None:
        self.data, self.layers, self.fills, self.sun = data, tuple(layers), fills, sun
        self._kept: OrderedDict[tuple[int, ...], NDArray[np.bool_]] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.bool_]:
        rows, cols = key
        window = (rows.start, rows.stop, cols.start, cols.stop)
        with self._lock:
            if window in self._kept:
                return self._kept[window]
        parts = [np.isin(self.data.read(layer, rows, cols), self.fills) for layer in self.layers]
        missing: NDArray[np.bool_] = np.logical_and.reduce(parts)
        if self.sun is not None:
            missing = missing | (self.sun.read(0, rows, cols) == 0)
        with self._lock:
            self._kept[window] = missing
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return missing


class Errors:
    """Pixels whose entry in the matrix of errors says that they were not measured well."""

    def __init__(self, matrix: Stored, layout: Layout) -> None:
        self.matrix, self.first = matrix, layout.level in ("L1", "L1G")

    def read(self, layer: int, rows: slice, cols: slice) -> NDArray[np.bool_]:
        """Return which pixels of a window are not valid."""
        values = self.matrix.read(layer, rows, cols)
        # Of L1 3 is "lower accuracy"; the other numbers and all bits of L2 are defects, saturation, negative values.
        wrong = (values != 0) & (values != 3) if self.first else values != 0
        return np.asarray(wrong)


class Cloudy:
    """Clouds of L1, on the pixels of the cubes; seen from the panchromatic image on its finer ones."""

    def __init__(self, mask: Stored, shape: tuple[int, int], clouds: Clouds) -> None:
        self.mask, self.shape = mask, shape
        self.values = (1,) if clouds == "opaque" else (1, 255)  # 10: not looked at; 255: not known

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.bool_]:
        at = [
            np.arange(part.start, part.stop) * coarse // fine
            for part, coarse, fine in zip(key, self.mask.shape, self.shape, strict=True)
        ]
        rows, cols = (slice(int(part[0]), int(part[-1]) + 1) for part in at)
        found = np.isin(self.mask.read(0, rows, cols), self.values)
        return np.asarray(found[np.ix_(at[0] - rows.start, at[1] - cols.start)])


class Pixels:
    """Radiance or reflectance of one layer, NaN where not valid; read when it is sliced.

    Parameters
    ----------
    data : Stored
    layer : int
        From 0.
    scale : Scale
    blank : Blank
    errors : Errors or None
    clouds : Cloudy or None
    fills : tuple of int
        Stored numbers that are no measurement in any layer.
    """

    dtype = np.dtype(np.float32)

    def __init__(
        self,
        data: Stored,
        layer: int,
        scale: Scale,
        *,
        blank: Blank,
        errors: Errors | None,
        clouds: Cloudy | None,
        fills: tuple[int, ...] = (),
    ) -> None:
        self.data, self.layer, self.scale, self.shape = data, layer, scale, data.shape
        self.blank, self.errors, self.clouds, self.fills = blank, errors, clouds, fills

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.float32]:
        rows, cols = (slice(*part.indices(size)[:2]) for part, size in zip(key, self.shape, strict=True))
        if rows.stop <= rows.start or cols.stop <= cols.start:
            return np.zeros((max(rows.stop - rows.start, 0), max(cols.stop - cols.start, 0)), np.float32)
        numbers = self.data.read(self.layer, rows, cols)
        missing = self.blank[rows, cols] | np.isin(numbers, self.fills)
        if self.errors is not None:
            missing |= self.errors.read(self.layer, rows, cols)
        if self.clouds is not None:
            missing |= self.clouds[rows, cols]
        # In 64 bits: half a unit in the last place of 32 is all that is lost.
        values = (self.scale.low + numbers.astype(np.float64) * self.scale.step).astype(np.float32)
        values[missing] = np.nan
        return values
