"""Bring posts of many results to one grid: cut and pasted where they coincide, else interpolated and turned."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine

from sensetrack.errors import ConfigError, GridMismatchError, NoOverlapError
from sensetrack.files.pairing import SAME
from sensetrack.files.places import outline_on, pixels_on
from sensetrack.grid import Grid, as_crs, crs_name, same_crs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Box = tuple[float, float, float, float]

_CLOSE = 1e-4
"""Weight, of 1, below which a neighbour does not count: its absence is no reason for a gap."""
MOST_POSTS = 2 * 10**8


def common_grid(
    grids: Sequence[Grid], *, crs: Any = None, posting: float | None = None, bounds: Box | None = None
) -> Grid:
    """Return a grid that covers all of some grids.

    Parameters
    ----------
    grids : sequence of Grid
        The posts of the first one are kept, and continued, unless `crs` or `posting` say otherwise.
    crs : any spelling of a CRS, optional
        By default that of the first grid.
    posting : float, optional
        Distance between posts in units of the CRS (m, degrees); rows then run along its axes.
    bounds : (xmin, ymin, xmax, ymax), optional
        In the CRS: only posts within it.

    Raises
    ------
    ConfigError
        Something is asked for that posts without georeference do not have.
    GridMismatchError
        Some have a georeference and some have none, or those without one have different shapes.
    NoOverlapError
        There is no post within the bounds.
    """
    distinct = _distinct(grids)
    first = distinct[0]
    if len({one.georeferenced for one in distinct}) > 1:
        message = "either all pairs must have a georeference or none, instead got some of both"
        raise GridMismatchError(message, advice="stack them apart")
    if not first.georeferenced:
        if crs is not None or posting is not None or bounds is not None:
            raise ConfigError("crs, posting and bounds need pairs with a georeference", advice="leave them out")
        if len(distinct) > 1:
            shapes = " and ".join(str(one.shape) for one in distinct[:2])
            raise GridMismatchError(f"pairs without georeference must have the same posts, instead got {shapes}")
        return first
    target = first.crs if crs is None else as_crs(crs)
    if target is None:
        raise ConfigError(f"crs must be one that PROJ knows, instead got {crs!r}")
    if posting is None and same_crs(target, first.crs):
        grid = _continued(first, distinct)
    else:
        grid = _laid_out(distinct, target, posting)
    return grid if bounds is None else _within(grid, bounds)


def _distinct(grids: Iterable[Grid]) -> list[Grid]:
    """Return grids that differ, the most frequent one first."""
    found: list[Grid] = []
    counts: list[int] = []
    for grid in grids:
        same = next((i for i, one in enumerate(found) if one.same_as(grid)), None)
        if same is None:
            found.append(grid)
            counts.append(1)
        else:
            counts[same] += 1
    first = int(np.argmax(counts))
    return [found[first], *(one for i, one in enumerate(found) if i != first)]


def _continued(grid: Grid, others: Sequence[Grid]) -> Grid:
    """Return the grid, continued by whole posts as far as others reach."""
    low, high = np.zeros(2, int), np.array(grid.shape)
    for other in others[1:]:
        row, col = outline_on(other, grid)
        for axis, place in enumerate((row, col)):
            known = place[np.isfinite(place)]
            if known.size:
                low[axis] = min(low[axis], int(np.floor(known.min() + SAME)))
                high[axis] = max(high[axis], int(np.ceil(known.max() - SAME)))
    _require_size(tuple(high - low))
    return grid.crop(slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])))


def _laid_out(grids: Sequence[Grid], crs: Any, posting: float | None) -> Grid:
    """Return a north-up grid over all grids, whose posts lie at whole multiples of the posting."""
    places = [_outline_in(one, crs) for one in grids]
    middle = np.mean([[x.mean(), y.mean()] for x, y in places], axis=0)
    size = posting if posting is not None else _posting_like(grids[0], crs, middle)
    x, y = (np.concatenate([one[k] for one in places]) for k in (0, 1))
    left, top = np.floor(x.min() / size) * size, np.ceil(y.max() / size) * size
    shape = int(np.ceil((top - y.min()) / size - 1e-6)), int(np.ceil((x.max() - left) / size - 1e-6))
    _require_size(shape)
    return Grid(shape, Affine(size, 0, float(left), 0, -size, float(top)), crs)


def _outline_in(grid: Grid, crs: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import pyproj

    x, y = pyproj.Transformer.from_crs(grid.crs, crs, always_xy=True).transform(*grid.outline(33))
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ConfigError(f"crs {crs_name(crs)} has no place for all posts", advice="choose another")
    return x, y


def _posting_like(grid: Grid, crs: Any, middle: NDArray[np.float64]) -> float:
    """Return the distance between posts of a grid on the ground in units of another CRS, to three digits."""
    metres = float(np.sqrt(np.prod(grid.pixel_size)))
    unit = 1.0 if crs is None or not crs.is_geographic else 1e-5
    probe = Grid((1, 1), Affine(unit, 0, float(middle[0]), 0, -unit, float(middle[1])), crs)
    return float(f"{metres * float(np.sqrt(np.prod(probe.grid_scale))):.3g}")


def _within(grid: Grid, box: Box) -> Grid:
    """Return the smallest part of a grid that has all posts in a box."""
    x, y = grid.xy(*np.indices(grid.shape))
    inside = (x >= box[0]) & (x <= box[2]) & (y >= box[1]) & (y <= box[3])
    rows, cols = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not rows.size:
        has = "x {0:.8g} to {2:.8g}, y {1:.8g} to {3:.8g}".format(*grid.bounds)
        message = f"bounds must hold posts, which lie at {has} in {crs_name(grid.crs)}, instead got " + ",".join(
            f"{one:.8g}" for one in box
        )
        raise NoOverlapError(message, advice="bounds are xmin,ymin,xmax,ymax in the CRS of the output")
    return grid.crop(slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1))


def _require_size(shape: Sequence[int]) -> None:
    if int(shape[0]) * int(shape[1]) > MOST_POSTS:
        message = f"a grid of {shape[0]} x {shape[1]} posts is more than the {MOST_POSTS:,} allowed"
        raise ConfigError(message, advice="choose a larger posting or bounds")


@dataclass(frozen=True, eq=False)
class Regrid:
    """How values at the posts of one grid come to those of another. Make one for each two grids, and use it often."""

    source: Grid
    target: Grid

    @cached_property
    def shift(self) -> tuple[int, int] | None:
        """Post of the source at which the target starts, may be negative; None where their posts do not coincide."""
        if not self.target.georeferenced:
            return 0, 0
        if not same_crs(self.source.crs, self.target.crs):
            return None
        row, col = self._places(*_corners(self.target))
        i, j = _corners(self.target)
        by = round(float((row - i).mean())), round(float((col - j).mean()))
        apart = max(float(np.abs(row - i - by[0]).max()), float(np.abs(col - j - by[1]).max()))
        return by if apart < SAME else None

    def values(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Bring a layer to the target: (rows, cols) float32, NaN outside and where a neighbour is missing."""
        if self.shift is not None:
            return _pasted(values, self.shift, self.target.shape)
        return self._stencil(values)

    @cached_property
    def _stencil(self) -> _Stencil:
        return _Stencil(self.source.shape, *self.places)

    def vectors(
        self, first: NDArray[Any], second: NDArray[Any], sigma_first: NDArray[Any], sigma_second: NDArray[Any]
    ) -> tuple[NDArray[np.float32], ...]:
        """Bring components along the axes of the CRS, and their standard errors, to the target, and turn them."""
        parts = [self.values(one) for one in (first, second, sigma_first, sigma_second)]
        if not self.target.georeferenced or same_crs(self.source.crs, self.target.crs):
            return tuple(parts)
        (xx, xy), (yx, yy) = self.turn
        x, y, sx, sy = parts
        return (
            (xx * x + xy * y).astype(np.float32),
            (yx * x + yy * y).astype(np.float32),
            np.sqrt((xx * sx) ** 2 + (xy * sy) ** 2).astype(np.float32),
            np.sqrt((yx * sx) ** 2 + (yy * sy) ** 2).astype(np.float32),
        )

    @cached_property
    def places(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Row and column of the source, counted from the centre of its first post, at every post of the target."""
        return self._places(*np.indices(self.target.shape))

    def _places(self, row: Any, col: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        to_source = pixels_on(self.source, self.target.crs, together=True)
        i, j = to_source(*self.target.xy(row, col))
        return i - 0.5, j - 0.5

    @cached_property
    def turn(self) -> NDArray[np.float64]:
        """(2, 2, rows, cols): what metres along x and y of the source's CRS are along x and y of the target's."""
        import pyproj

        to_target = pyproj.Transformer.from_crs(self.source.crs, self.target.crs, always_xy=True)
        row, col = self.places
        x, y = self.source.xy(row, col)
        half = 0.5 * float(np.sqrt(abs(self.source.transform.determinant)))
        here = self.source.ground_scale
        # Beyond its posts a scale is that of the rim.
        rim = [np.clip(place, 0, size - 1) for place, size in zip((row, col), self.source.shape, strict=True)]
        at_rim = _Stencil(self.source.shape, rim[0], rim[1])
        out = np.empty((2, 2, *self.target.shape))
        for axis, (by_x, by_y) in enumerate(((half, 0.0), (0.0, half))):
            after, before = (to_target.transform(x + k * by_x, y + k * by_y) for k in (1, -1))
            metres = 2 * half * np.asarray(at_rim(here[axis]), np.float64)
            for k, there in enumerate(self.target.ground_scale):
                out[k, axis] = _short_way(after[k] - before[k], self.target.crs, k) * there / metres
        return out


class Regrids:
    """Makes `Regrid` objects to a grid, and keeps the last few, since pairs share grids; for several threads."""

    def __init__(self, target: Grid) -> None:
        self.target = target
        self._kept: list[Regrid] = []
        self._lock = threading.Lock()

    def __call__(self, source: Grid) -> Regrid:
        """Return how the posts of a grid come to the target."""
        with self._lock:
            for one in self._kept:
                if one.source.same_as(source):
                    return one
            self._kept = [*self._kept[-3:], Regrid(source, self.target)]
            return self._kept[-1]


def _corners(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows, cols = grid.shape
    return np.array([0.0, 0, rows - 1, rows - 1]), np.array([0.0, cols - 1, 0, cols - 1])


def _short_way(difference: NDArray[np.float64], crs: Any, axis: int) -> NDArray[np.float64]:
    """Return a difference of longitudes without a whole circle in it."""
    if axis or crs is None or not crs.is_geographic:
        return difference
    circle = 2 * np.pi / crs.axis_info[0].unit_conversion_factor
    return np.asarray(difference - circle * np.round(difference / circle))


def _pasted(values: NDArray[Any], shift: tuple[int, int], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return values as seen from a grid that starts at `shift`; NaN outside."""
    if shift == (0, 0) and values.shape == shape:
        return np.asarray(values, np.float32)
    out = np.full(shape, np.nan, np.float32)
    to, of = [], []
    for by, size, whole in zip(shift, shape, values.shape, strict=True):
        start, stop = max(0, -by), min(size, whole - by)
        if stop <= start:
            return out
        to.append(slice(start, stop))
        of.append(slice(start + by, stop + by))
    out[to[0], to[1]] = values[of[0], of[1]]
    return out


class _Stencil:
    """How values between posts are made: which four posts count how much, at places given as rows and columns."""

    def __init__(self, shape: tuple[int, int], row: NDArray[np.float64], col: NDArray[np.float64]) -> None:
        parts = []
        inside = np.ones(row.shape, bool)
        for place, size in ((row, shape[0]), (col, shape[1])):
            inside &= (place > -_CLOSE) & (place < size - 1 + _CLOSE)
            at = np.where(inside, place, 0)
            low = np.clip(np.floor(at), 0, max(size - 2, 0)).astype(np.int64)
            parts.append((low, np.minimum(low + 1, size - 1), np.clip(at - low, 0, 1)))
        (up, below, down), (left, beside, right) = parts
        self.inside = inside
        self.posts = [(i * shape[1] + j).ravel() for i in (up, below) for j in (left, beside)]
        weights = [a * b for a in (1 - down, down) for b in (1 - right, right)]
        # What hardly counts does not, so that its absence is no reason for a gap.
        weights = [np.where(one > _CLOSE, one, 0.0) for one in weights]
        total = sum(weights[1:], weights[0])
        self.weights = [(one / total).ravel() for one in weights]

    def __call__(self, values: Any) -> NDArray[np.float32]:
        """Return values at the places; NaN outside and where a post that counts is missing."""
        flat = np.ascontiguousarray(values, np.float64).ravel()
        out = np.zeros(self.inside.size)
        for posts, weight in zip(self.posts, self.weights, strict=True):
            out += np.where(weight > 0, weight * flat[posts], 0.0)
        return np.where(self.inside, out.reshape(self.inside.shape), np.nan).astype(np.float32)
