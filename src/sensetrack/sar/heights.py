"""Heights of the ground as numbers: a piece of a surface on meridians and parallels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from sensetrack.errors import InputError
from sensetrack.sar.compiling import WORKS, compiled

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from sensetrack.grid import Grid

EDGE = 1e-6
"""Share of a pixel by which a place may lie outside: what rounding of an angle makes of the edge itself."""


@dataclass(frozen=True, eq=False)
class HeightField:
    """Heights at regular longitudes and latitudes; between them they are interpolated bilinearly.

    Parameters
    ----------
    heights : (rows, cols) float32
        Metres above the ellipsoid; NaN where unknown.
    lon, lat : float
        Place of ``heights[0, 0]``, radians. A field may reach beyond 180 degrees east or west.
    d_lon, d_lat : float
        Radians from one column, one row, to the next; negative where columns go west, rows south.
    """

    heights: NDArray[np.float32]
    lon: float
    lat: float
    d_lon: float
    d_lat: float

    def __post_init__(self) -> None:
        heights = np.ascontiguousarray(self.heights, np.float32)
        if heights.ndim != 2 or min(heights.shape) < 2:
            raise InputError(f"a field of heights must have at least 2 x 2 values, instead got {heights.shape}")
        object.__setattr__(self, "heights", heights)
        for name in ("lon", "lat", "d_lon", "d_lat"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if not (self.d_lon and self.d_lat):
            raise InputError("a field of heights must have spacings other than 0")

    @property
    def relief(self) -> tuple[float, float] | None:
        """Lowest and highest height, m; None where none is known."""
        known = np.isfinite(self.heights)
        if not known.any():
            return None
        return float(np.min(self.heights, where=known, initial=np.inf)), float(
            np.max(self.heights, where=known, initial=-np.inf)
        )

    def heights_at(self, lon: ArrayLike, lat: ArrayLike) -> NDArray[np.float64]:
        """Return heights, m, at places in radians; NaN outside and where one of the four around is NaN."""
        middle = self.lon + self.d_lon * (self.heights.shape[1] - 1) / 2
        turned = (np.asarray(lon, np.float64) - middle + np.pi) % (2 * np.pi) - np.pi
        col = turned / self.d_lon + (self.heights.shape[1] - 1) / 2
        row = (np.asarray(lat, np.float64) - self.lat) / self.d_lat
        return bilinear(self.heights, row, col)


class Surface(Protocol):
    """What can be asked for heights around some places, such as `sensetrack.files.dem.Dem`."""

    @property
    def posting(self) -> float:
        """Metres between heights; infinite where they are all the same."""

    def field(self, west: float, south: float, east: float, north: float, /) -> HeightField:
        """Return heights that cover a range of longitudes and latitudes, radians; `east` may exceed pi."""


@runtime_checkable
class MappedSurface(Surface, Protocol):
    """A surface that can be asked for heights at the pixels of a map without a detour."""

    def on_map(self, grid: Grid, rows: slice, cols: slice, /) -> NDArray[np.float64] | None:
        """Return heights, m, of a window, NaN where unknown; None where `field` is the better way."""


@dataclass(frozen=True, eq=False)
class Level:
    """A surface of one height above the ellipsoid, m: what is taken where there is no elevation model."""

    height: float = 0.0
    posting: float = np.inf
    notes: tuple[str, ...] = ()
    """Nothing is assumed."""

    @property
    def source(self) -> str:
        """What it is, for records."""
        return f"{self.height:g} m above the ellipsoid everywhere"

    def field(self, west: float, south: float, east: float, north: float) -> HeightField:
        """Return the height at the corners."""
        heights = np.full((2, 2), self.height, np.float32)
        return HeightField(heights, west, north, max(east - west, 1e-6), min(south - north, -1e-6))

    def heights_at(self, lon: ArrayLike, lat: ArrayLike) -> NDArray[np.float64]:
        """Return the height, m, at places in radians; NaN where they are."""
        return np.asarray(self.height + 0.0 * (np.asarray(lon, np.float64) + np.asarray(lat, np.float64)))


def bilinear(values: NDArray[Any], row: NDArray[np.float64], col: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate an array (rows, cols) at fractional places; NaN outside and where one of the four around is NaN."""
    rows, cols = values.shape
    if WORKS:
        row, col = (np.asarray(part, np.float64, order="C") for part in np.broadcast_arrays(row, col))
        out = np.empty(row.shape)
        between_all(values, row.reshape(-1), col.reshape(-1), out.reshape(-1))
        return out
    inside = (row >= -EDGE) & (row <= rows - 1 + EDGE) & (col >= -EDGE) & (col <= cols - 1 + EDGE)
    row, col = (np.where(inside, np.clip(at, 0, size - 1), 0.0) for at, size in ((row, rows), (col, cols)))
    i, j = np.minimum(row.astype(np.intp), rows - 2), np.minimum(col.astype(np.intp), cols - 2)
    u, v = row - i, col - j
    top = values[i, j] * (1 - v) + values[i, j + 1] * v
    out = top * (1 - u) + (values[i + 1, j] * (1 - v) + values[i + 1, j + 1] * v) * u
    return np.where(inside, out, np.nan)


@compiled
def between(values: NDArray[Any], row: float, col: float) -> float:
    """Do what `bilinear` does for one place."""
    rows, cols = values.shape
    if not (-EDGE <= row <= rows - 1 + EDGE and -EDGE <= col <= cols - 1 + EDGE):
        return np.nan
    row, col = min(max(row, 0.0), rows - 1.0), min(max(col, 0.0), cols - 1.0)
    i, j = min(int(row), rows - 2), min(int(col), cols - 2)
    u, v = row - i, col - j
    top = values[i, j] * (1 - v) + values[i, j + 1] * v
    return float(top * (1 - u) + (values[i + 1, j] * (1 - v) + values[i + 1, j + 1] * v) * u)


@compiled
def between_all(values: NDArray[Any], row: NDArray[Any], col: NDArray[Any], out: NDArray[Any]) -> None:
    """Do what `bilinear` does for flat arrays."""
    for n in range(row.size):
        out[n] = between(values, row[n], col[n])


def bilinear_at_nodes(
    values: NDArray[Any],
    row: NDArray[np.float64],
    col: NDArray[np.float64],
    step: int,
    shape: tuple[int, int],
    *,
    strict: bool = True,
) -> NDArray[np.float64]:
    """Interpolate an array at places that are known at nodes, and straight between them; compiled only.

    Parameters
    ----------
    values : ndarray
        (rows, cols)
    row, col : ndarray of float64
        (node rows, node columns); the places of every `step`-th pixel, from the first to beyond the last.
    step : int
        Pixels between nodes.
    shape : (int, int)
        Of the result.
    strict : bool
        As `bilinear`, all four pixels around a place must be known; else those of weight 0 need not be, and nothing is
        known beyond the centres of the outermost pixels.

    Returns
    -------
    ndarray of float64
        NaN where unknown.
    """
    out = np.empty(shape)
    between_nodes(values, np.ascontiguousarray(row), np.ascontiguousarray(col), step, strict, out)
    return out


@compiled
def between_nodes(  # noqa: PLR0917
    values: NDArray[Any], row: NDArray[Any], col: NDArray[Any], step: int, strict: bool, out: NDArray[Any]  # noqa: FBT001
) -> None:  # fmt: skip
    """Do what `bilinear_at_nodes` does."""
    height, width = values.shape
    edge = EDGE if strict else 0.0
    low, right_most = height - 1.0, width - 1.0
    last_row, last_col = height - 1 - strict, width - 1 - strict
    for i in range(out.shape[0]):
        up = i // step
        f = (i - up * step) / step
        down = min(up + 1, row.shape[0] - 1)
        for cell in range((out.shape[1] + step - 1) // step):
            right = min(cell + 1, row.shape[1] - 1)
            y0 = row[up, cell] * (1 - f) + row[down, cell] * f
            x0 = col[up, cell] * (1 - f) + col[down, cell] * f
            dy = (row[up, right] * (1 - f) + row[down, right] * f - y0) / step
            dx = (col[up, right] * (1 - f) + col[down, right] * f - x0) / step
            first, stop = cell * step, min((cell + 1) * step, out.shape[1])
            y1, x1 = y0 + (stop - 1 - first) * dy, x0 + (stop - 1 - first) * dx
            # Places of a cell lie on a straight line: where both ends are inside, all are.
            safe = y0 >= 0 and y1 >= 0 and x0 >= 0 and x1 >= 0
            safe = safe and y0 <= low and y1 <= low and x0 <= right_most and x1 <= right_most
            for j in range(first, stop):
                y, x = y0 + (j - first) * dy, x0 + (j - first) * dx
                if not safe:
                    if not (-edge <= y <= low + edge and -edge <= x <= right_most + edge):
                        out[i, j] = np.nan
                        continue
                    y, x = min(max(y, 0.0), low), min(max(x, 0.0), right_most)
                r, c = min(int(y), last_row), min(int(x), last_col)
                u, v = y - r, x - c
                below, beside = r + (strict or u > 1e-9), c + (strict or v > 1e-9)
                top = values[r, c] * (1 - v) + values[r, beside] * v
                out[i, j] = top * (1 - u) + (values[below, c] * (1 - v) + values[below, beside] * v) * u
