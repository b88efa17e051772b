"""Windows of images for the kernels, and the layers their results are gathered in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sensetrack import blocks
from sensetrack.ot.fields import OffsetField

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sensetrack.grid import Grid
    from sensetrack.ot.chips import ChipGrid
    from sensetrack.ot.fields import Match
    from sensetrack.ot.interfaces import Image


class Tile(NamedTuple):
    """A window of one image as the kernels see it."""

    values: NDArray[np.float32]
    """(rows, cols); finite everywhere, 0 where not valid."""
    valid: NDArray[np.bool_]
    """(rows, cols); True = usable."""


def shifted(window: slice, by: int) -> slice:
    """Return a slice moved by a number of pixels."""
    return slice(window.start + by, window.stop + by)


def sample_windows(
    image: Image, *, per_side: int = 16, size: int = 64
) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
    """Yield windows spread evenly over an image: all of it where it is small, about 1 Mpx of it otherwise.

    What is fitted once on the whole image (scales, histograms) is fitted on these, so that its cost does not
    grow with the image and never depends on tiles.
    """
    if image.height * image.width <= (per_side * size) ** 2:
        yield image.read(slice(0, image.height), slice(0, image.width))
        return
    for row in _starts(image.height, per_side, size):
        for col in _starts(image.width, per_side, size):
            yield image.read(slice(row, min(row + size, image.height)), slice(col, min(col + size, image.width)))


def _starts(length: int, number: int, size: int) -> list[int]:
    """Even starts of `number` windows (more where the axis is short against the other: at most all of it)."""
    if length <= number * size:
        return list(range(0, length, size))
    return [int(start) for start in np.linspace(0, length - size, number)]


CLIP = 10.0
"""Pixels further than this from the median, in spreads of the image (2nd to 98th percentile), count as that far."""


class Scaled:
    """Reads windows of an image as tiles whose values do not depend on the units of the image.

    A few absurd pixels must not outweigh all others: values are limited to `CLIP` spreads from the median.
    """

    def __init__(self, image: Image) -> None:
        self.image = image
        # A quarter of a megapixel tells the median to a few thousandths of the spread.
        sample = np.concatenate([v[ok] for v, ok in sample_windows(image, per_side=8)])
        sample = sample.astype(np.uint8) if sample.dtype == bool else sample
        low, middle, high = np.percentile(sample, (2, 50, 98)) if sample.size else (0.0, 0.0, 1.0)
        self.middle = float(middle)
        spread = high - low
        if not spread > 0 and sample.size:  # nearly everything is one value: use what there is
            spread = float(sample.max()) - float(sample.min())
        self.spread = spread if spread > 0 else 1.0

    def tile(self, rows: slice, cols: slice, halo: tuple[int, int]) -> Tile:
        """Read a window with a halo; what lies outside the image is not valid."""
        top, left = rows.start - halo[0], cols.start - halo[1]
        shape = (rows.stop + halo[0] - top, cols.stop + halo[1] - left)
        values, valid = np.zeros(shape, np.float32), np.zeros(shape, bool)
        inner_rows = slice(max(top, 0), min(top + shape[0], self.image.height))
        inner_cols = slice(max(left, 0), min(left + shape[1], self.image.width))
        if inner_rows.start >= inner_rows.stop or inner_cols.start >= inner_cols.stop:
            return Tile(values, valid)
        pixels, usable = self.image.read(inner_rows, inner_cols)
        place = shifted(inner_rows, -top), shifted(inner_cols, -left)
        # Single precision where the level takes no digits from the texture.
        exact = np.float32 if pixels.dtype.itemsize <= 4 and abs(self.middle) < 100 * self.spread else np.float64
        number = values[place]
        np.subtract(pixels, self.middle, dtype=exact, out=number, casting="same_kind")
        number *= np.float32(1 / self.spread)
        np.clip(number, -CLIP, CLIP, out=number)
        if not usable.all():
            number[~usable] = 0
        valid[place] = usable
        return Tile(values, valid)


class Shrunk:
    """An image seen with pixels of factor x factor of its own, read when they are needed; NaN = not valid."""

    dtype = np.dtype(np.float32)

    def __init__(self, scaled: Scaled, factor: int, limit: float = CLIP) -> None:
        height, width = scaled.image.grid.shape
        self.scaled, self.factor, self.limit = scaled, factor, limit
        self.shape = -(-height // factor), -(-width // factor)

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.float32]:
        rows, cols = (slice(*part.indices(size)[:2]) for part, size in zip(key, self.shape, strict=True))
        mean, valid = self.cells(rows, cols)
        return np.where(valid, mean, np.nan).astype(np.float32)

    def cells(self, rows: slice, cols: slice) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Means of the valid pixels of some cells, and which cells are valid: those with at least half of them."""
        import cv2

        factor, shape = self.factor, (rows.stop - rows.start, cols.stop - cols.start)
        wide_rows, wide_cols = (slice(s.start * factor, s.stop * factor) for s in (rows, cols))
        tile = self.scaled.tile(wide_rows, wide_cols, (0, 0))
        values = tile.values if self.limit >= CLIP else np.clip(tile.values, -self.limit, self.limit)
        mean = cv2.resize(values, shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float64)
        if tile.valid.all():
            return mean, np.ones(shape, bool)
        share = cv2.resize(tile.valid.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA)
        return mean / np.maximum(share, 1 / factor**2), share > 0.5 - 1e-6


def overview(
    scaled: Scaled, factor: int, *, limit: float = CLIP, mapper: blocks.Mapper = map
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Shrink an image to the means of factor x factor valid pixels; valid where at least half of them are.

    Values count as at most `limit` spreads from the median.
    """
    small = Shrunk(scaled, factor, limit)
    mean, valid = np.zeros(small.shape), np.zeros(small.shape, bool)
    cells_at_once = (max(1, 1024 // factor),) * 2  # about a megapixel, whatever the factor

    def job(block: blocks.Block) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        return small.cells(block.rows, block.cols)

    for block, result in blocks.run(job, blocks.plan(small.shape, cells_at_once), mapper=mapper):
        mean[block.rows, block.cols], valid[block.rows, block.cols] = result
    return mean, valid


class Layers:
    """The arrays of an offset field while its tiles come in."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.layers: dict[str, NDArray[Any]] = {}

    def put(self, block: blocks.Block, result: Match) -> None:
        """Put the results of a tile in their place."""
        for name, part in result._asdict().items():
            if part is None:
                continue
            if name not in self.layers:
                kind = np.uint16 if part.dtype.kind == "u" else np.float32
                self.layers[name] = np.zeros((*self.shape, *part.shape[2:]), kind)
            self.layers[name][block.rows, block.cols] = part

    def field(self, grid: Grid, chips: ChipGrid) -> OffsetField:
        """Return the whole field."""
        return OffsetField(grid=grid, step=chips.step, start=chips.centre, **self.layers)
