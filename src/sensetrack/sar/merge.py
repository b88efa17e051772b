"""One field of offsets from those of bursts and swaths: a lattice of posts that all share, and no steps between them.

The chips of all bursts are placed so that their posts fall on one lattice of the frame. Where bursts, or swaths,
overlap, a post is measured several times; the values are averaged, each with a weight that goes to nothing at the edge
of its own burst, so that none begins or ends with a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sensetrack.errors import InputError
from sensetrack.grid import Grid
from sensetrack.ot.bias import nmad
from sensetrack.ot.fields import Flag, OffsetField
from sensetrack.sar.radar_field import RadarField

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from numpy.typing import NDArray

    from sensetrack.sar.radargrid import RadarGrid

    Floats = NDArray[np.float64]

_SAME = 1e-6
"""Share by which the spacings of bursts may differ: a tenth of a pixel over a scene."""
_TRUST = 16.0
"""Variances count as at most this many times more, or less, than those of the bulk of a burst."""


class BurstPosts(NamedTuple):
    """Where the posts of a burst are, in the burst and in its frame."""

    start: tuple[int, int]
    """First pixel (line, sample) of chip [0, 0], in the burst."""
    posts: tuple[int, int]
    """Rows and columns of posts; 0 where the burst has no place for a chip."""
    rows: slice
    """Rows of the posts of the frame that they are."""
    cols: slice
    """Columns likewise."""


@dataclass(frozen=True, eq=False)
class Part:
    """What was measured in one burst."""

    posts: BurstPosts
    field: OffsetField
    """(rows, cols) of `posts`; in px."""
    coherent: NDArray[np.bool_]
    """(rows, cols); True where a post was matched with the phase."""
    number: int
    """The burst, any number that is the caller's own."""


class Seam(NamedTuple):
    """How well two parts agree where they overlap."""

    first: int
    """Number of a part."""
    second: int
    """Number of the other."""
    posts: int
    """Posts that are good in both."""
    median: tuple[float, float]
    """Of second minus first, (d_row, d_col), px; NaN without posts."""
    nmad: tuple[float, float]
    """Scatter of it, px."""


def frame_of(grids: Sequence[RadarGrid]) -> RadarGrid:
    """Return the grid that holds those of all bursts and swaths of one pass.

    Its spacings, orbit and epoch are those of the first. Bursts of other swaths lie up to half a pixel beside its
    pixels: their posts are those of the nearest pixels.

    Raises
    ------
    InputError
        No grid, or grids of other spacings, wavelengths or sides.
    """
    if not grids:
        raise InputError("a frame must have at least one burst, instead got none")
    first = grids[0]
    for grid in grids:
        _require_alike(first, grid)
    begin = min(_time(first, grid) for grid in grids)
    end = max(_time(first, grid) + (grid.lines - 1) * grid.line_interval for grid in grids)
    near = min(grid.near_range for grid in grids)
    far = max(float(grid.slant_range(grid.samples - 1)) for grid in grids)
    # On whole pixels of the first grid, so that nothing of it lies beside them.
    up = round((begin - first.first_time) / first.line_interval)
    left = round((near - first.near_range) / first.range_spacing)
    down = round((end - first.first_time) / first.line_interval)
    right = round((far - first.near_range) / first.range_spacing)
    frame = first.crop(slice(up, down + 1), slice(left, right + 1))
    # Products of one pass have state vectors of their own times, where they have not those of an orbit file.
    for grid in grids:
        orbit = grid.orbit.since(frame.epoch)
        if orbit.covers(frame.first_time, frame.last_time):
            return frame.with_orbit(orbit)
    raise InputError(
        "an orbit must cover the times of all bursts, instead got none that does", advice="use an orbit file"
    )


def _require_alike(first: RadarGrid, grid: RadarGrid) -> None:
    """Raise InputError unless two grids can share a frame."""
    for name in ("line_interval", "range_spacing", "wavelength"):
        ours, theirs = getattr(first, name), getattr(grid, name)
        if not abs(theirs / ours - 1) < _SAME:
            raise InputError(f"{name} of all bursts must be the same, instead got {ours:.9g} and {theirs:.9g}")
    if grid.look != first.look:
        raise InputError("all bursts must look to the same side, instead got both")


def _time(first: RadarGrid, grid: RadarGrid) -> float:
    """First time of a grid, s since the epoch of another."""
    return grid.first_time + (grid.epoch - first.epoch).total_seconds()


def place_of(frame: RadarGrid, grid: RadarGrid) -> tuple[int, int]:
    """Return the pixel (line, sample) of a frame that is nearest to the first pixel of a burst."""
    line = float(frame.line(_time(frame, grid)))
    return round(line), round(float(frame.sample(grid.near_range)))


def frame_posts(frame: RadarGrid, chip: tuple[int, int], step: tuple[int, int]) -> tuple[int, int]:
    """Return the rows and columns of posts of a frame: chips wholly inside, the first on its first pixel."""
    rows, cols = (max((size - c) // s + 1, 0) for size, c, s in zip(frame.shape, chip, step, strict=True))
    return rows, cols


def lattice_posts(
    frame: RadarGrid,
    burst: RadarGrid,
    chip: tuple[int, int],
    step: tuple[int, int],
    window: tuple[slice, slice] | None = None,
) -> BurstPosts:
    """Place chips in a burst so that their posts are posts of the frame.

    Parameters
    ----------
    frame : RadarGrid
        From `frame_of`.
    burst : RadarGrid
        Grid of the burst.
    chip, step : (int, int)
        Lines and samples.
    window : (slice, slice), optional
        Posts of the frame that are wanted; all by default.

    Returns
    -------
    BurstPosts
        All chips that lie wholly inside the burst.
    """
    wanted = window or (slice(None), slice(None))
    offset, limits = place_of(frame, burst), frame_posts(frame, chip, step)
    start, posts, where = [], [], []
    for axis in (0, 1):
        low, high, _ = wanted[axis].indices(limits[axis])
        first = max(-(-offset[axis] // step[axis]), low)
        last = min((offset[axis] + burst.shape[axis] - chip[axis]) // step[axis] + 1, high)
        last = max(last, first)
        start.append(first * step[axis] - offset[axis])
        posts.append(last - first)
        where.append(slice(first, last))
    return BurstPosts((start[0], start[1]), (posts[0], posts[1]), where[0], where[1])


def merge(
    frame: RadarGrid,
    parts: Sequence[Part],
    *,
    dt: timedelta | None = None,
    agreement: float = 2.0,
) -> RadarField:
    """Put together what was measured in bursts and swaths.

    Parameters
    ----------
    frame : RadarGrid
        From `frame_of`.
    parts : sequence of Part
        With one chip and step, placed by `lattice_posts`; in any order.
    dt : timedelta, optional
        Secondary minus reference time.
    agreement : float
        Good measurements of one post that differ by more, px, are not averaged.

    Returns
    -------
    RadarField
        A post that several parts have is the average of those that are good (of all, where none is), weighted by how
        deep it lies inside each part and by the inverse of its variance. What one part alone has is kept as it is.
        Where good ones differ by more than `agreement`, that of the largest weight stands, flagged INCONSISTENT.
        Flags are none where a good measurement counts, else those of all that count, added up; NO_DATA where
        no part has a post. Variances are those of an average of independent measurements.
    """
    start, step = _lattice(parts)
    blend = _Blend(frame_posts(frame, (round(2 * start[0]), round(2 * start[1])), step), _ramps(parts))
    for part in parts:
        blend.look(part)
    for part in parts:
        blend.add(part)
    return RadarField(blend.field(start, step, agreement), frame, blend.coherent, dt, blend.burst)


def seams(parts: Sequence[Part]) -> tuple[Seam, ...]:
    """Compare all pairs of parts that share posts of the frame."""
    found = []
    for first, second in combinations(parts, 2):
        windows = [_common(a, b) for a, b in zip(first.posts[2:], second.posts[2:], strict=True)]
        if any(window.stop <= window.start for window in windows):
            continue
        ours, theirs = (
            tuple(slice(w.start - at.start, w.stop - at.start) for w, at in zip(windows, part.posts[2:], strict=True))
            for part in (first, second)
        )
        both = first.field.good[ours] & second.field.good[theirs]
        gaps = [
            (getattr(second.field, name)[theirs] - getattr(first.field, name)[ours])[both].astype(float)
            for name in ("d_row", "d_col")
        ]
        middle = [float(np.median(gap)) if gap.size else float("nan") for gap in gaps]
        spread = [nmad(gap) for gap in gaps]
        found.append(Seam(first.number, second.number, int(both.sum()), (middle[0], middle[1]), (spread[0], spread[1])))
    return tuple(found)


def _common(first: slice, second: slice) -> slice:
    return slice(max(first.start, second.start), min(first.stop, second.stop))


def _lattice(parts: Sequence[Part]) -> tuple[tuple[float, float], tuple[int, int]]:
    """Return the first post of the frame, which is half a chip, and the step."""
    if not parts:
        raise InputError("parts to merge must be at least one, instead got none")
    lattices = {
        ((row - part.posts.start[0], col - part.posts.start[1]), part.field.step)
        for part in parts
        for row, col in [part.field.start]
    }
    if len(lattices) != 1:
        raise InputError(f"parts to merge must have one chip and step, instead got {len(lattices)}")
    return lattices.pop()


class _Mean:
    """Weighted mean of one layer over parts, at the posts of a frame; what is NaN does not count."""

    def __init__(self, shape: tuple[int, int], bands: tuple[int, ...] = ()) -> None:
        self.total = np.zeros((*shape, *bands))
        self.weight = np.zeros(shape, np.float32)
        self.bands = bool(bands)

    def add(self, where: tuple[slice, slice], values: NDArray[Any], weight: Floats) -> None:
        known = (weight > 0) & (np.isfinite(values).all(axis=-1) if self.bands else np.isfinite(values))
        self.weight[where] += np.where(known, weight, 0)
        # The variance of a mean has the squares of the weights.
        factor, safe = (known[..., None], (weight**2)[..., None]) if self.bands else (known, weight)
        self.total[where] += np.where(factor, values, 0) * safe

    def mean(self) -> NDArray[np.float32]:
        weight = np.where(self.weight > 0, self.weight, np.nan).astype(float)
        return np.asarray(self.total / ((weight**2)[..., None] if self.bands else weight), np.float32)


class _Blend:
    """What is known of the posts of a frame while parts are added."""

    def __init__(self, shape: tuple[int, int], ramps: tuple[int, int]) -> None:
        self.ramps = ramps
        self.good = np.zeros(shape, np.bool_)
        """Good in any part."""
        self.best = np.zeros(shape)
        """Largest weight so far; 0: not measured."""
        self.best_values = np.full((2, *shape), np.nan, np.float32)
        self.lowest, self.highest = (np.full((2, *shape), np.nan, np.float32) for _ in range(2))
        self.flags, self.missing = np.zeros(shape, np.uint16), np.zeros(shape, np.uint16)
        """Flags of what counts; of what was not measured."""
        self.coherent = np.zeros(shape, np.bool_)
        self.burst = np.full(shape, -1, np.int16)
        self.layers: dict[str, _Mean] = {}

    def look(self, part: Part) -> None:
        """Note where a part is good: there, what is not good in others counts for nothing."""
        self.good[part.posts.rows, part.posts.cols] |= _measured(part) & part.field.good

    def add(self, part: Part) -> None:
        where, field, measured = (part.posts.rows, part.posts.cols), part.field, _measured(part)
        used = measured & (field.good | ~self.good[where])
        self.missing[where] |= np.where(measured, 0, field.flags).astype(np.uint16)
        self.flags[where] |= np.where(used, field.flags, 0).astype(np.uint16)
        weight = np.where(used, _depth(measured, self.ramps) / _variance(field), 0.0)
        for name in ("d_row", "d_col", "score", "snr", "peak_ratio", "covariance"):
            values = getattr(field, name)
            if values is not None:
                mean = self.layers.setdefault(name, _Mean(self.best.shape, values.shape[2:]))
                mean.add(where, values, weight)
        values = np.where(used, np.stack([field.d_row, field.d_col]), np.float32(np.nan))
        self.lowest[:, *where] = np.fmin(self.lowest[:, *where], values)
        self.highest[:, *where] = np.fmax(self.highest[:, *where], values)
        leads = weight > self.best[where]
        np.copyto(self.best[where], weight, where=leads)
        np.copyto(self.coherent[where], part.coherent, where=leads)
        np.copyto(self.burst[where], np.int16(part.number), where=leads)
        np.copyto(self.best_values[:, *where], values, where=leads)

    def field(self, start: tuple[float, float], step: tuple[int, int], agreement: float) -> OffsetField:
        """Return the averages."""
        layers: dict[str, Any] = {name: mean.mean() for name, mean in self.layers.items()}
        with np.errstate(invalid="ignore"):
            apart = ((self.highest - self.lowest) > agreement).any(axis=0)
        for name, values in zip(("d_row", "d_col"), self.best_values, strict=True):
            layers[name] = np.where(apart, values, layers[name])
        flags = np.where(apart, self.flags | Flag.INCONSISTENT.bit, self.flags)
        nothing = np.where(self.missing == 0, Flag.NO_DATA.bit, self.missing)
        flags = np.where(self.best > 0, flags, nothing)
        return OffsetField(flags=flags, grid=Grid(self.best.shape), step=step, start=start, **layers)


def _measured(part: Part) -> NDArray[np.bool_]:
    """Tell which posts of a part have a measurement."""
    return np.asarray(np.isfinite(part.field.d_row) & np.isfinite(part.field.d_col))


def _depth(measured: NDArray[np.bool_], ramps: tuple[int, int]) -> Floats:
    """How deep posts lie between the first and the last that were measured, in posts: down times across.

    Beyond the length of a ramp there is no deeper: where two bursts of a swath overlap, their weights add up to what
    one has in its middle, so that the next swath does not see them. Gaps inside do not count.
    """
    out = np.ones(measured.shape)
    if not measured.size:
        return out
    for axis, ramp in enumerate(ramps):
        place = np.expand_dims(np.arange(measured.shape[axis]), 1 - axis)
        first = np.expand_dims(measured.argmax(axis=axis), axis)
        last = measured.shape[axis] - 1 - np.expand_dims(np.flip(measured, axis).argmax(axis=axis), axis)
        out *= np.clip(np.minimum(place - first, last - place) + 1, 1, ramp)
    return out


def _ramps(parts: Sequence[Part]) -> tuple[int, int]:
    """Return over how many rows and columns of posts weights rise from the edge of a part.

    One more than the smallest overlap of two parts one above the other, and of two side by side.
    """
    boxes = [box for part in parts if (box := _box(part)) is not None]
    found: tuple[list[int], list[int]] = ([], [])
    for first, second in combinations(boxes, 2):
        shared = [_common(a, b) for a, b in zip(first, second, strict=True)]
        size = [part.stop - part.start for part in shared]
        if min(size) < 1:
            continue
        share = [n / min(a.stop - a.start, b.stop - b.start) for n, a, b in zip(size, first, second, strict=True)]
        axis = int(share[1] < share[0])
        found[axis].append(size[axis])
    return min(found[0], default=0) + 1, min(found[1], default=0) + 1


def _box(part: Part) -> tuple[slice, slice] | None:
    """Return the rows and columns of the frame that a part has measurements in; None: it has none."""
    measured = _measured(part)
    if not measured.any():
        return None
    sides = []
    for axis, at in ((1, part.posts.rows), (0, part.posts.cols)):
        there = np.flatnonzero(measured.any(axis=axis))
        sides.append(slice(at.start + int(there[0]), at.start + int(there[-1]) + 1))
    return sides[0], sides[1]


def _variance(field: OffsetField) -> Floats:
    """Size of the variance of the posts, px2: the geometric mean of the two; that of the bulk where it is not known."""
    if field.covariance is None:
        return np.ones(field.grid.shape)
    with np.errstate(invalid="ignore"):
        size = np.sqrt(field.covariance[..., 0].astype(float) * field.covariance[..., 1])
    known = np.isfinite(size) & (size > 0)
    if not known.any():
        return np.ones(field.grid.shape)
    middle = float(np.median(size[known]))
    return np.clip(np.where(known, size, middle), middle / _TRUST, middle * _TRUST)
