"""Tables along lines and pixels, as annotations give them, read at any window of the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sensetrack.errors import MetadataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Lut:
    """A table over an image, linear between its nodes along lines and pixels, constant beyond the outer ones.

    Parameters
    ----------
    lines : (n,) float64
        Lines of the nodes, ascending; they may lie outside the image.
    pixels : (m,) float64
        Pixels of the nodes, ascending.
    values : (n, m) float64
    """

    lines: Floats
    pixels: Floats
    values: Floats

    def __post_init__(self) -> None:
        for name in ("lines", "pixels", "values"):
            object.__setattr__(self, name, np.array(getattr(self, name), np.float64))
        require_nodes("lines", self.lines)
        require_nodes("pixels", self.pixels)
        if self.values.shape != (self.lines.size, self.pixels.size):
            expected = (self.lines.size, self.pixels.size)
            raise MetadataError(f"a table must have the shape {expected} of its nodes, instead got {self.values.shape}")

    @classmethod
    def from_vectors(cls, lines: ArrayLike, pixels: Sequence[ArrayLike], values: Sequence[ArrayLike]) -> Self:
        """Build from one vector per line, each with pixels of its own.

        Vectors of old products differ in length. They are put on the union of all pixels, where they stay the same
        piecewise linear functions.
        """
        each = [np.asarray(part, np.float64) for part in pixels]
        given = [np.asarray(part, np.float64) for part in values]
        if not each or len(each) != len(given):
            raise MetadataError(
                f"a table must have as many pixel lists as vectors, instead got {len(each)}, {len(given)}"
            )
        for where, what in zip(each, given, strict=True):
            require_nodes("pixels", where)
            if where.shape != what.shape:
                raise MetadataError(f"a vector must have one value per pixel, instead got {what.size} for {where.size}")
        union = np.unique(np.concatenate(each))
        stacked = [np.interp(union, where, what) for where, what in zip(each, given, strict=True)]
        return cls(np.asarray(lines, np.float64), union, np.stack(stacked))

    def window(self, rows: slice, cols: slice) -> Floats:
        """Values in a window of the image, (rows, cols) float64; the same for a pixel in whatever window."""
        across, before, after, weight = self.lines_of(rows, cols)
        return np.asarray(across[before] * (1 - weight)[:, None] + across[after] * weight[:, None])

    def lines_of(self, rows: slice, cols: slice) -> tuple[Floats, Places, Places, Floats]:
        """Return what a window is made of: values along some lines, and between which two of them each row lies.

        Returns
        -------
        across : (k, cols) float64
        before, after : (rows,) int64
            Lines of `across`.
        weight : (rows,) float64
            Of the second; of the first it is 1 - `weight`.
        """
        before, weight = bracket(self.lines, np.arange(rows.start, rows.stop, dtype=np.float64))
        if before.size == 0:
            return np.empty((1, cols.stop - cols.start)), before, before, weight
        first, last = int(before.min()), min(int(before.max()) + 2, self.lines.size)
        at = np.arange(cols.start, cols.stop, dtype=np.float64)
        across = np.stack([np.interp(at, self.pixels, row) for row in self.values[first:last]])
        return across, before - first, np.minimum(before + 1, self.lines.size - 1) - first, weight


def bracket(nodes: Floats, at: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Return the node before each place, and the weight of the node after it; clamped at both ends."""
    before = np.clip(np.searchsorted(nodes, at, side="right") - 1, 0, max(nodes.size - 2, 0))
    after = np.minimum(before + 1, nodes.size - 1)
    gap = nodes[after] - nodes[before]
    weight = np.divide(at - nodes[before], gap, out=np.zeros_like(at), where=gap > 0)
    return before, np.clip(weight, 0, 1)


def require_nodes(name: str, nodes: NDArray[Any]) -> None:
    """Raise MetadataError unless nodes are a list of finite numbers, each above the one before."""
    if nodes.ndim != 1 or not nodes.size or not np.isfinite(nodes).all() or (np.diff(nodes) <= 0).any():
        raise MetadataError(
            f"{name} of a table must be finite and ascending, instead got {nodes.size} nodes that are not"
        )
