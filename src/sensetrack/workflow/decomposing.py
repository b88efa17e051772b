"""Ascending, descending and optical results of pairs: brought to one map, and solved for east, north and up."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from dataclasses import field as entry
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.blocks import Block, plan
from sensetrack.errors import (
    ConfigError,
    InputError,
    NoMatchError,
    NoOverlapError,
    OutputError,
    UnlikePairWarning,
)
from sensetrack.files.atomic import output_folder
from sensetrack.files.dem import open_dem
from sensetrack.files.pairing import SAME
from sensetrack.files.places import outline_on
from sensetrack.notices import collected, warn
from sensetrack.products.pair_folders import find_pairs
from sensetrack.products.posts import common_grid
from sensetrack.stack.decompose import Decomposed, Sums
from sensetrack.workflow.decompose_config import DecomposeConfig
from sensetrack.workflow.decompose_looks import Seen, ground_look, looks_on, open_seen, sigma_of
from sensetrack.workflow.decompose_output import DECOMPOSE_FILES, decompose_record, write_decomposed
from sensetrack.workflow.executors import threads
from sensetrack.workflow.pipeline import notes_of
from sensetrack.workflow.record import write_record

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from sensetrack.blocks import Mapper
    from sensetrack.files.dem import Dem
    from sensetrack.grid import Grid

_POSTS_AT_ONCE = 1 << 20
"""Posts of the map that are solved for together: some 100 bytes each, and as many for each folder that is read."""
_ALIKE = 1.1
"""Times by which spans of pairs may differ whose displacements are decomposed."""


@dataclass(frozen=True, eq=False)
class Decomposition:
    """What came out of several folders."""

    seen: list[Seen]
    grid: Grid
    """Of the map."""
    motion: Decomposed
    """In the unit of the configuration."""
    ways: NDArray[np.uint8]
    """(rows, cols) how many ways of looking were there."""
    sigmas: list[dict[str, float | None]]
    """Median standard error of each look of each folder, m."""
    surface_sigma: float | None
    """Standard error of what says that motion follows the ground, in the unit of the configuration; None: nothing."""
    seconds: dict[str, float] = entry(default_factory=dict)


def decompose_folders(
    folders: Sequence[str | os.PathLike[str]],
    config: DecomposeConfig | None = None,
    *,
    mapper: Mapper = map,
    advance: Callable[[int, int], None] | None = None,
) -> Decomposition:
    """Find motion east, north and up from what several folders saw of it; nothing is written.

    Parameters
    ----------
    folders : sequence of path-like
        That `sensetrack slc` or `sensetrack track` has written, or folders of such.
    config : DecomposeConfig, optional
    mapper, advance
        See `sensetrack.blocks.run`.

    Raises
    ------
    ConfigError
        There is one folder only, and no elevation model.
    InputError
        A folder is no result, or cannot be used; see `sensetrack.workflow.decompose_looks.open_seen`.
    NoOverlapError, NoMatchError
        No two of them show the same ground, or nothing was measured there.
    """
    config = config or DecomposeConfig()
    began = time.perf_counter()
    paths = find_pairs(folders)
    if len(paths) == 1 and config.dem is None:
        message = "one look cannot tell east, north and up apart, instead got one folder"
        raise ConfigError(message, path=paths[0], advice="give results of another track, optical ones, or --dem")
    seen = [open_seen(path, config) for path in paths]
    _compare_times(seen, config)
    grid = _map_of(seen, config)
    sigmas = list(mapper(partial(sigma_of, config=config), seen))
    dem = None if config.dem is None else open_dem(config.dem, config.vertical)
    surface = None if dem is None else config.surface_sigma or _typical(seen, sigmas, config)
    opened = time.perf_counter()
    solver = _Solver(seen, grid, config, dem, surface)
    motion, ways = solver.whole(mapper, advance)
    _require_some(seen, motion, ways, config)
    seconds = {"open": round(opened - began, 3), "solve": round(time.perf_counter() - opened, 3)}
    return Decomposition(seen, grid, motion, ways, sigmas, surface, seconds)


def run_decompose(
    folders: Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    config: DecomposeConfig | None = None,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Find motion east, north and up and write the whole product to a folder, all of it or nothing.

    Parameters
    ----------
    folders, config, advance
        See `decompose_folders`.
    folder : path-like
        Of the results.
    overwrite : bool
        Replace results that exist; otherwise they are an error.
    workers : int, optional
        Threads; results do not depend on it.

    Returns
    -------
    dict
        The run record, as in ``run.json``.

    Raises
    ------
    ConfigError, InputError, EnvironmentFault
        See `decompose_folders` and `sensetrack.errors`.
    """
    config = config or DecomposeConfig()
    began = time.perf_counter()
    names = ("run.json", "displacement.tif", "quality.tif", "geometry.tif")
    inputs = [path / name for path in find_pairs(folders) for name in names]
    inputs += [Path(config.dem)] if config.dem else []
    with (
        output_folder(folder, DECOMPOSE_FILES, overwrite=overwrite, inputs=inputs) as part,
        collected() as caught,
        threads(workers) as mapper,
    ):
        result = decompose_folders(folders, config, mapper=mapper, advance=advance)
        written = time.perf_counter()
        record = decompose_record(config, result, notes_of(caught))
        try:
            write_decomposed(part, result, config, record)
            now = time.perf_counter()
            record["seconds"] |= {"write": round(now - written, 3), "total": round(now - began, 3)}
            write_record(part / "run.json", record)
        except OSError as error:
            raise OutputError(f"cannot be written ({error.strerror or error})", path=folder) from error
    return record


def _compare_times(seen: list[Seen], config: DecomposeConfig) -> None:
    """Warn where what is brought together was not seen at the same time, or not over the same time."""
    spans: dict[str, list[Any]] = {}
    for one in seen:
        first, last = sorted(one.pair.dates)
        before = spans.get(one.way, [first, last])
        spans[one.way] = [min(first, before[0]), max(last, before[1])]
    apart = [(a, b) for a, b in combinations(spans, 2) if spans[a][1] < spans[b][0] or spans[b][1] < spans[a][0]]
    if apart:
        earlier, later = ("{} ({:%Y-%m-%d} to {:%Y-%m-%d})".format(way, *spans[way]) for way in apart[0])
        text = f"what was seen {earlier} and {later} does not overlap in time, and is taken for the same motion"
        warn(text, UnlikePairWarning, stacklevel=3)
    if config.quantity == "velocity":
        return
    days = sorted(one.days for one in seen)
    if days[0] < 0 < days[-1]:
        message = (
            f"displacements must all lead forward or all back in time, instead got {days[0]:g} and {days[-1]:g} days"
        )
        raise InputError(message, advice="decompose velocities, or measure those pairs the other way round")
    shortest, longest = sorted((abs(days[0]), abs(days[-1])))
    if longest > _ALIKE * shortest:
        text = (
            f"displacements of {shortest:g} and of {longest:g} days are taken for the same; velocities would not differ"
        )
        warn(text, UnlikePairWarning, stacklevel=3)


def _map_of(seen: list[Seen], config: DecomposeConfig) -> Grid:
    """Return the map: by default the widest posts, where two folders overlap."""
    grids: list[Grid] = []
    for one in sorted(seen, key=lambda one: -float(np.prod(one.grid.pixel_size))):
        if not any(one.grid.same_as(grid) for grid in grids):
            grids.append(one.grid)
    grid = common_grid(grids, crs=config.crs, posting=config.posting, bounds=config.bounds)
    if config.bounds is not None or config.dem is not None:
        return grid
    boxes = [_box(one.grid, grid) for one in seen]
    shared = [np.concatenate([np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])]) for a, b in combinations(boxes, 2)]
    shared = [box for box in shared if (box[:2] < box[2:]).all()]
    if not shared:
        message = f"no two of {len(seen)} folders show the same ground"
        raise NoOverlapError(message, advice=f"compare {seen[0].path} with {seen[1].path}")
    low, high = np.min(shared, axis=0)[:2], np.max(shared, axis=0)[2:]
    return grid.crop(slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])))


def _box(grid: Grid, on: Grid) -> NDArray[np.int64]:
    """Return the rows and columns of a map that a grid reaches into: first ones, ends."""
    ends = []
    for place, size in zip(outline_on(grid, on), on.shape, strict=True):
        known = place[np.isfinite(place)]
        low, high = (known.min(), known.max()) if known.size else (0.0, 0.0)
        ends.append((max(np.floor(low + SAME), 0), min(np.ceil(high - SAME), size)))
    return np.array(ends).T.ravel().astype(np.int64)


def _typical(seen: list[Seen], sigmas: list[dict[str, float | None]], config: DecomposeConfig) -> float:
    """Return the median standard error of all looks, in the unit of what is decomposed."""
    over = [abs(one.days) if config.quantity == "velocity" else 1.0 for one in seen]
    known = [
        sigma / days for one, days in zip(sigmas, over, strict=True) for sigma in one.values() if sigma is not None
    ]
    if not known:
        raise NoMatchError("nothing was measured", path=seen[0].path)
    return float(np.median(known))


@dataclass(frozen=True, eq=False)
class _Solver:
    """Solves for the motion, some rows of the map at a time."""

    seen: list[Seen]
    grid: Grid
    config: DecomposeConfig
    dem: Dem | None
    surface: float | None
    """Standard error of what says that the motion follows the ground."""

    def whole(self, mapper: Mapper, advance: Callable[[int, int], None] | None) -> tuple[Decomposed, NDArray[np.uint8]]:
        """Return the motion of the whole map, and how many ways of looking were there."""
        shape = self.grid.shape
        layers: dict[str, Any] = {
            name: np.full(shape, np.nan, np.float32) for name in ("east", "north", "up", "condition", "misfit")
        }
        layers["covariance"] = np.full((3, 3, *shape), np.nan, np.float32)
        layers |= {"rank": np.zeros(shape, np.uint8), "looks": np.zeros(shape, np.uint16)}
        ways = np.zeros(shape, np.uint8)
        blocks = plan(shape, (max(1, _POSTS_AT_ONCE // shape[1]), shape[1]))
        steps = len(blocks) * (len(self.seen) + 1)
        for number, block in enumerate(blocks):
            sums, sides = self._sums(block, mapper, partial(self._tell, advance, number * (len(self.seen) + 1), steps))
            found = sums.solve(worst=self.config.worst, mapper=mapper)
            for name, layer in layers.items():
                layer[..., block.rows, block.cols] = getattr(found, name)
            ways[block.rows, block.cols] = sides
            self._tell(advance, (number + 1) * (len(self.seen) + 1), steps, 0)
        return Decomposed(**layers), ways

    @staticmethod
    def _tell(advance: Callable[[int, int], None] | None, before: int, steps: int, done: int) -> None:
        if advance is not None:
            advance(before + done, steps)

    def _sums(self, block: Block, mapper: Mapper, tell: Callable[[int], None]) -> tuple[Sums, NDArray[np.uint8]]:
        """Return what all folders say about some rows of the map, and how many ways of looking were there."""
        part = self.grid.crop(block.rows, block.cols)
        sums = Sums(part.shape)
        there: dict[str, NDArray[np.bool_]] = {}
        read = partial(looks_on, grid=part, config=self.config)
        for done, (one, looks) in enumerate(zip(self.seen, mapper(read, self.seen), strict=True), start=1):
            for look in looks:
                known = sums.add(look)
                there[one.way] = there[one.way] | known if one.way in there else known
            tell(done)
        sides = np.zeros(part.shape, np.uint8)
        for known in there.values():
            sides += known
        if self.dem is not None and self.surface is not None:
            ground = ground_look(self.dem, part, self.config, self.surface)
            # Where nothing was measured the ground alone would say that it does not rise.
            sums.add(replace(ground, values=np.where(sides > 0, ground.values, np.nan)))
        return sums, sides


def _require_some(seen: list[Seen], motion: Decomposed, ways: NDArray[np.uint8], config: DecomposeConfig) -> None:
    """Raise where nothing came out, saying why; warn where less came out than could be expected."""
    if not ways.any():
        raise NoMatchError("holds nothing that was measured, nor do the others", path=seen[0].path)
    axes = {name: np.isfinite(getattr(motion, name)) for name in ("east", "north", "up")}
    kinds = " and ".join(dict.fromkeys(one.way for one in seen))
    if not any(known.any() for known in axes.values()):
        message = f"no place is seen from enough directions to tell east, north and up apart ({kinds})"
        if ways.max() < len({one.way for one in seen}):
            raise NoOverlapError(f"{message}, since no two of them measured the same ground")
        missing_look = "give results of another track, optical ones, or --dem"
        advice = missing_look if config.dem is None else "does the elevation model cover the ground?"
        raise InputError(message, advice=advice)
    missing = [name for name, known in axes.items() if not known.any()]
    if missing:
        text = f"{' and '.join(missing)} cannot be told anywhere: {kinds} do not look from enough directions"
        warn(text, UnlikePairWarning, stacklevel=3)
