"""What goes into a stack: pairs from folders, on one grid, as arrays."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sensetrack.errors import GridMismatchError, InputError, MemoryLimitError, NoOverlapError
from sensetrack.files.vector import area_at_posts
from sensetrack.grid import Grid
from sensetrack.ot.fields import OffsetField
from sensetrack.products.pair_folders import COMPONENTS, PairFolder, find_pairs, open_pair_folder
from sensetrack.products.posts import Regrids, common_grid
from sensetrack.stack.network import Network

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from sensetrack.blocks import Mapper
    from sensetrack.files.raster import RasterFile
    from sensetrack.workflow.stack_config import StackConfig

    Cubes = tuple[NDArray[np.float32], NDArray[np.float32]]

log = logging.getLogger(__name__)

_SAME_PASS = 600.0
"""Seconds within which two times are those of one pass: products of it say different ones."""
_WHOLLY = 0.9
"""Share of a chip that must be on stable ground for its post to count."""
_LEAST_STABLE = 10
"""Posts on stable ground that a median needs."""
_SIGMA_RANGE = 1e-4, 6e4
"""What standard errors are kept within: half precision holds three digits of them, which is more than they have."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Displacements of many pairs on one grid of posts."""

    network: Network
    moved: Cubes
    """dx, dy (m), or d_row, d_col (px): (n_pairs, rows, cols) each; NaN = not measured."""
    sigma: tuple[NDArray[Any] | None, NDArray[Any] | None]
    """(n_pairs, rows, cols) standard errors of these, without what all pairs of an image share; None = not known."""
    grid: Grid
    """Of the posts."""
    unit: Literal["m", "px"] = "m"
    stable: NDArray[np.bool_] | None = None
    """(rows, cols) True = ground that does not move; None where nobody said."""
    bias: NDArray[np.float64] | None = None
    """(n_pairs, 2) what was removed from each pair, in its unit; NaN = too little stable ground, it is left out."""
    folders: tuple[PairFolder, ...] = ()
    """Where they come from, if from files."""

    @property
    def names(self) -> tuple[str, str]:
        """Of the components."""
        return COMPONENTS[self.unit]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""
        return self.grid.shape

    def part(self, rows: Any, cols: Any) -> tuple[Cubes, tuple[Any, Any]]:
        """Return displacements and standard errors of some posts."""
        moved = (self.moved[0][:, rows, cols], self.moved[1][:, rows, cols])
        sigma = tuple(one if one is None or one.ndim < 3 else one[:, rows, cols] for one in self.sigma)
        return moved, (sigma[0], sigma[1])


def open_pairs(folders: Sequence[str | os.PathLike[str]]) -> list[PairFolder]:
    """Open folders of pairs, and those in folders of such, in the order of time.

    Raises
    ------
    InputError
        One is none, or some are in metres and some in pixels.
    """
    found = [open_pair_folder(path) for path in find_pairs(folders)]
    units = {one.unit for one in found}
    if len(units) > 1:
        odd = next(one for one in found if one.unit != found[0].unit)
        message = f"is in {odd.unit} while others are in {found[0].unit}"
        raise GridMismatchError(message, path=odd.path, advice="stack them apart")
    if units == {"px"} and len({one.step for one in found}) > 1:
        odd = next(one for one in found if one.step != found[0].step)
        message = f"has posts every {odd.step} px while others have them every {found[0].step} px"
        raise GridMismatchError(message, path=odd.path, advice="track all pairs with one step")
    return sorted(found, key=lambda one: (*one.dates, str(one.path)))


def network_of(folders: Sequence[PairFolder]) -> Network:
    """Return the dates and the pairs between them; times within ten minutes are those of one pass."""
    moments = sorted({moment for one in folders for moment in one.dates})
    passes: dict[datetime, datetime] = {}
    for moment in moments:
        last = passes[moments[len(passes) - 1]] if passes else moment
        passes[moment] = last if (moment - last).total_seconds() <= _SAME_PASS else moment
    for one in folders:
        if passes[one.dates[0]] == passes[one.dates[1]]:
            raise InputError("is a pair of two images of one pass", path=one.path, advice="leave it out")
    return Network.of((passes[one.dates[0]], passes[one.dates[1]]) for one in folders)


def grid_of(folders: Sequence[PairFolder], config: StackConfig) -> Grid:
    """Return the grid that all pairs are brought to.

    Raises
    ------
    GridMismatchError
        Some have a georeference and some have none, or those without one have different posts.
    """
    grids = [one.grid for one in folders]
    try:
        return common_grid(grids, crs=config.crs, posting=config.posting, bounds=config.bounds)
    except GridMismatchError as error:
        error.path = error.path or next((one.path for one in folders if one.grid.shape != grids[0].shape), None)
        raise


def read_pairs(
    folders: Sequence[PairFolder],
    config: StackConfig,
    grid: Grid | None = None,
    *,
    mapper: Mapper = map,
    advance: Callable[[int, int], None] | None = None,
) -> Pairs:
    """Read all pairs, a few at a time, on one grid; that of `grid_of` by default.

    Raises
    ------
    ConfigError
        They do not fit in the memory that is allowed.
    InputError
        A file is damaged, or grids do not belong together.
    """
    network, grid = network_of(folders), grid or grid_of(folders, config)
    require_memory(config, len(folders), network.dates.size, grid.shape)
    stable = stable_posts(config, grid, folders)
    shape = (len(folders), *grid.shape)
    moved = np.empty(shape, np.float32), np.empty(shape, np.float32)
    sigma = np.empty(shape, np.float16), np.empty(shape, np.float16)
    bias = np.zeros((len(folders), 2))
    to_grid = Regrids(grid)

    def read(item: tuple[PairFolder, tuple[RasterFile, ...]]) -> tuple[NDArray[np.float32], ...]:
        one, files = item
        return to_grid(one.grid).vectors(*one.read(files))

    opened = ((one, one.files()) for one in folders)  # here, a few at a time
    for number, (one, layers) in enumerate(zip(folders, mapper(read, opened), strict=True)):
        for k in range(2):
            if stable is not None:
                bias[number, k] = _median_of(layers[k], stable, one)
            moved[k][number] = layers[k] - np.float32(bias[number, k])
            sigma[k][number] = np.clip(layers[k + 2], *_SIGMA_RANGE)
        if advance is not None:
            advance(number + 1, len(folders))
    known = [_completed(sigma[k], moved[k]) for k in range(2)]
    if not any(np.isfinite(one).any() for one in moved[0]):
        advice = "check that they show one place"
        raise NoOverlapError("not one of the pairs has a measurement on the common grid", advice=advice)
    unit = folders[0].unit
    return Pairs(
        network, moved, (known[0], known[1]), grid, unit, stable, None if stable is None else bias, tuple(folders)
    )


def require_memory(config: StackConfig, pairs: int, dates: int, shape: tuple[int, int]) -> None:
    """Raise MemoryLimitError where pairs and dates of so many posts are more than is allowed."""
    copied = 32 * pairs if {"ticoi", "itslive"} & set(config.formats) else 0
    needed = shape[0] * shape[1] * (12 * pairs + 16 * dates + 200 + copied)
    if needed > int(config.max_memory):
        message = f"{pairs} pairs of {shape[0]} x {shape[1]} posts need about {needed / 1e9:.1f} GB, more than the "
        message += f"{config.max_memory / 1e9:.1f} GB of max_memory"
        raise MemoryLimitError(message, advice="give bounds or a larger posting, or raise it")


def stable_posts(config: StackConfig, grid: Grid, folders: Sequence[PairFolder]) -> NDArray[np.bool_] | None:
    """Return at which posts the ground is said to be stable; None where nothing is said."""
    name = config.stable_ground or config.unstable_ground
    if name is None:
        return None
    empty = np.zeros(grid.shape, np.float32)
    posts, images = OffsetField(empty, empty, np.zeros(grid.shape, np.uint16), grid), grid
    support = max(one.support[0] for one in folders), max(one.support[1] for one in folders)
    one = folders[0]
    if not grid.georeferenced and one.step is not None and one.images is not None and grid.shape == one.grid.shape:
        images, (rows, cols) = Grid(one.images[0]), one.step  # a mask is drawn on the images
        posts = replace(posts, step=one.step, start=one.images[1])
        support = support[0] * rows, support[1] * cols
    try:
        share = area_at_posts(name, posts, images, support)
    except InputError as error:
        error.path = error.path or name
        raise
    found = share >= _WHOLLY if config.stable_ground else share <= 1 - _WHOLLY
    if found.sum() < _LEAST_STABLE:
        message = f"must leave at least {_LEAST_STABLE} posts on stable ground, instead got {int(found.sum())}"
        raise InputError(message, path=Path(name))
    return np.asarray(found)


def _median_of(values: NDArray[np.float32], stable: NDArray[np.bool_], folder: PairFolder) -> float:
    told = values[stable & np.isfinite(values)]
    if told.size < _LEAST_STABLE:
        log.warning("%s: %d posts on stable ground, too few to tie it to; it is left out", folder.path, told.size)
        return float("nan")
    return float(np.median(told))


def _completed(sigma: NDArray[np.float16], moved: NDArray[np.float32]) -> NDArray[np.float16] | None:
    """Put usual standard errors where a measurement has none; None where no pair has any."""
    usual = np.full(len(sigma), np.nan, np.float32)
    for number, one in enumerate(sigma):
        known = one[np.isfinite(one)]
        usual[number] = np.median(known.astype(np.float32)) if known.size else np.nan
    if not np.isfinite(usual).any():
        return None
    usual[~np.isfinite(usual)] = np.median(usual[np.isfinite(usual)])
    for number, one in enumerate(sigma):
        one[np.isfinite(moved[number]) & ~np.isfinite(one)] = usual[number]
    return sigma
