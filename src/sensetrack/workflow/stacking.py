"""Many pairs in, series of dates and one motion out; and the same with files at both ends."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack import blocks
from sensetrack.errors import ConfigError, OutputError
from sensetrack.files.atomic import output_folder
from sensetrack.notices import collected
from sensetrack.stack.invert import Links, TimeSeries
from sensetrack.stack.motion import Motion
from sensetrack.stack.network import Network
from sensetrack.stack.quality import (
    Closure,
    PairQuality,
    Speed,
    closure,
    speed,
    velocity_coherence,
)
from sensetrack.workflow.executors import threads
from sensetrack.workflow.laps import Laps
from sensetrack.workflow.pipeline import notes_of
from sensetrack.workflow.record import write_record
from sensetrack.workflow.stack_config import StackConfig
from sensetrack.workflow.stack_inputs import Pairs, grid_of, network_of, open_pairs, read_pairs
from sensetrack.workflow.stack_judging import Judged, fitted, judge, solved

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from sensetrack.blocks import Block, Mapper

_POSTS_AT_ONCE = 8192
"""Bounds the memory of a worker: some 100 MB for 200 pairs."""


@dataclass(frozen=True, eq=False)
class Component:
    """One direction; in the unit of the pairs."""

    name: str
    """dx, dy, d_row or d_col."""
    displacement: NDArray[np.float32]
    """(n_dates, rows, cols) since the first date; NaN where there is no pair, or none that hangs together with most."""
    sigma: NDArray[np.float32]
    """(n_dates, rows, cols) its standard error, with that of the images."""
    motion: Motion
    scale: NDArray[np.float32]
    """(rows, cols) residuals of pairs over their standard errors as given."""
    closure_rms: NDArray[np.float32]
    """(rows, cols) what does not close around triplets; NaN where there is none."""
    image_sigma: NDArray[np.float64]
    """(n_dates,) noise that the pairs of an image share."""
    quality: PairQuality
    """Of the pairs."""
    closure: Closure
    """Of triplets of pairs, at a sample of posts."""


@dataclass(frozen=True, eq=False)
class Stacked:
    """What came out of a stack."""

    pairs: Pairs
    config: StackConfig
    components: tuple[Component, Component]
    links: Links
    """How pairs hang together at each post."""
    coherence: NDArray[np.float32]
    """(rows, cols) how well the directions of pairs agree, 0 to 1."""
    kept: NDArray[np.bool_]
    """(n_pairs,) False = left out as a whole."""
    why: tuple[str, ...]
    """Why each pair was left out; empty where it was not."""
    sigma: tuple[Any, Any]
    """Standard errors of pairs that were used: a number where none were given."""

    @property
    def network(self) -> Network:
        """Dates and pairs."""
        return self.pairs.network

    @property
    def velocity(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(vx, vy) per day."""
        return self.components[0].motion.velocity, self.components[1].motion.velocity

    @property
    def velocity_sigma(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Standard errors of both, per day."""
        return self.components[0].motion.velocity_sigma, self.components[1].motion.velocity_sigma

    @property
    def speed(self) -> Speed:
        """Length of the velocity without the bias of noise."""
        return speed(self.velocity, self.velocity_sigma)

    def at(self, posts: NDArray[np.int64]) -> tuple[list[TimeSeries], list[Motion]]:
        """Return full series and motions of both components at (row, col) positions, as posts of one column."""
        rows, cols = np.asarray(posts, np.int64).reshape(-1, 2).T
        moved, _ = self.pairs.part(rows, cols)
        given = tuple(one[:, rows, cols] if np.ndim(one) == 3 else one for one in self.sigma)
        cubes = [one[..., None] for one in moved]
        spread = [one[..., None] if np.ndim(one) == 2 else one for one in given]
        noise = [one.image_sigma for one in self.components]
        series, used = solved(self.network, cubes, spread, self.kept, noise, self.config)
        return series, fitted(cubes, used, series, noise, self.config)


def stack(
    pairs: Pairs,
    config: StackConfig | None = None,
    *,
    mapper: Mapper = map,
    advance: Callable[[int, int], None] | None = None,
) -> Stacked:
    """Turn displacements of pairs into series of dates and one motion, post by post. Pure: no file is touched.

    Pairs are judged at a sample of posts first, and those that look cloudy are left out. Then, at every post, both
    components are inverted robustly, once more without what either has found out, and a motion is fitted whose
    standard errors know the noise of images.

    Parameters
    ----------
    pairs : Pairs
    config : StackConfig, optional
        Names of files in it are not looked at here.
    mapper, advance
        See `sensetrack.blocks.run`.

    Raises
    ------
    InputError
        Standard errors are not given, and pairs do not close on each other.
    """
    config = config or StackConfig()
    found = judge(pairs, config, mapper)
    shape, dates = pairs.shape, pairs.network.dates.size
    out = _Room(shape, dates, config)
    size = max(1, _POSTS_AT_ONCE // max(shape[1], 1)), _POSTS_AT_ONCE
    work = partial(_block, pairs, found, config)
    for block, part in blocks.run(work, blocks.plan(shape, size), mapper=mapper, advance=advance):
        out.put(block, part)
    return out.stacked(pairs, config, found)


def _block(pairs: Pairs, judged: Judged, config: StackConfig, block: Block) -> dict[str, Any]:
    """Work on some posts, on one thread."""
    moved, _ = pairs.part(block.rows, block.cols)
    sigma = [one[:, block.rows, block.cols] if np.ndim(one) == 3 else one for one in judged.sigma]
    series, used_sigma = solved(pairs.network, moved, sigma, judged.kept, judged.noise, config)
    motions = fitted(moved, used_sigma, series, judged.noise, config)
    used = Network(pairs.network.dates, pairs.network.pairs[judged.kept])
    nowhere = np.zeros(block.shape, bool)  # numbers of triplets are those of the sample
    trusted = [one[judged.kept] for one in moved]
    seen = series[0].weights[judged.kept] > 0
    return {
        "displacement": [one.connected for one in series],
        "sigma": [np.where(np.isfinite(one.connected), one.sigma, np.float32(np.nan)) for one in series],
        "motion": motions,
        "scale": [one.scale for one in series],
        "closure": [closure(used, one, nowhere).rms for one in trusted],
        "coherence": velocity_coherence(used, trusted, seen),
        "links": series[0].links,
    }


class _Room:
    """Room for all posts."""

    def __init__(self, shape: tuple[int, int], dates: int, config: StackConfig) -> None:
        terms = len(config.motion.terms)

        def two(*more: int) -> list[NDArray[np.float32]]:
            return [np.empty((*more, *shape), np.float32) for _ in range(2)]

        self.displacement, self.sigma = two(dates), two(dates)
        self.values, self.covariance, self.misfit = two(terms), two(terms, terms), two()
        self.scale, self.closure = two(), two()
        self.coherence = np.empty(shape, np.float32)
        self.links = Links(*(np.empty(shape, np.int32) for _ in range(3)))
        self.middle: np.datetime64 = np.datetime64("NaT", "ms")

    def put(self, block: Block, found: dict[str, Any]) -> None:
        at = (..., block.rows, block.cols)
        for k in range(2):
            motion: Motion = found["motion"][k]
            self.displacement[k][at], self.sigma[k][at] = found["displacement"][k], found["sigma"][k]
            self.values[k][at], self.covariance[k][at] = motion.values, motion.covariance
            self.misfit[k][at], self.scale[k][at] = motion.misfit, found["scale"][k]
            self.closure[k][at] = found["closure"][k]
            self.middle = motion.middle
        self.coherence[at] = found["coherence"]
        for whole, part in zip(self.links, found["links"], strict=True):
            whole[at] = part

    def stacked(self, pairs: Pairs, config: StackConfig, judged: Judged) -> Stacked:
        first, second = (
            Component(
                pairs.names[k],
                self.displacement[k],
                self.sigma[k],
                Motion(config.motion, self.middle, self.values[k], self.covariance[k], self.misfit[k]),
                self.scale[k],
                self.closure[k],
                judged.noise[k],
                judged.quality[k],
                judged.closure[k],
            )
            for k in range(2)
        )
        return Stacked(
            pairs, config, (first, second), self.links, self.coherence, judged.kept, judged.why, judged.sigma
        )


def run_stack(
    folders: Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    config: StackConfig | None = None,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Stack folders of pairs and write the whole product to a folder; nothing appears there unless all went well.

    Parameters
    ----------
    folders : sequence of path-like
        Folders that `track` or `slc` has written, or folders of such.
    folder : path-like
        Of the results.
    config : StackConfig, optional
    overwrite : bool
        Replace results that exist; otherwise they are an error.
    workers : int, optional
        Threads; results do not depend on it.
    advance : callable, optional
        Called with (done, total).

    Returns
    -------
    dict
        The record, as in ``stack.json``.

    Raises
    ------
    ConfigError, InputError, EnvironmentFault
        See `sensetrack.errors`.
    """
    from sensetrack.workflow.stack_output import STACK_FILES, check_formats, write_stack
    from sensetrack.workflow.stack_pictures import draw_stack
    from sensetrack.workflow.stack_points import places_of, told_of
    from sensetrack.workflow.stack_record import stack_record

    config = config or StackConfig()
    laps, steps = Laps(), _Steps(advance)
    areas = (config.stable_ground, config.unstable_ground, config.points if isinstance(config.points, str) else None)
    inputs = [Path(name.partition("|")[0]) for name in areas if name]
    with (
        output_folder(folder, STACK_FILES, overwrite=overwrite, inputs=inputs) as part,
        collected() as caught,
    ):
        opened = open_pairs(folders)
        refuse_own(folder, [one.path for one in opened])
        network, grid = network_of(opened), grid_of(opened, config)
        check_formats(config, grid, opened[0].unit, network)
        places_of(config, grid)  # a wrong place is found before anything is computed
        with threads(workers) as mapper:
            pairs = read_pairs(opened, config, grid, mapper=mapper, advance=steps.of(0, 0.3))
            laps("read")
            result = stack(pairs, config, mapper=mapper, advance=steps.of(0.3, 0.95))
        laps("stack")
        told = told_of(result, config)
        notes = notes_of(caught)
        caught.clear()
        record = stack_record(result, told, notes)
        try:
            write_stack(part, result, told, record)
            laps("write")
            if config.pictures:
                draw_stack(part, result, told, record)
                record["warnings"] += notes_of(caught)
                laps("draw")
            record["seconds"] = laps.seconds | {"total": round(sum(laps.seconds.values()), 3)}
            write_record(part / "stack.json", record)
        except OSError as error:
            raise OutputError(f"cannot be written ({error.strerror or error})", path=folder) from error
    steps.done()
    return record


def refuse_own(folder: str | os.PathLike[str], pairs: Sequence[Path]) -> None:
    """Raise ConfigError where results would be written into the folder of a pair."""
    target = Path(folder).resolve()
    for one in pairs:
        if target == one.resolve():
            raise ConfigError("is a folder of a pair", path=folder, advice="choose another folder for the stack")


class _Steps:
    """One progress of several steps, in thousandths."""

    def __init__(self, advance: Callable[[int, int], None] | None) -> None:
        self._advance = advance

    def of(self, begin: float, end: float) -> Callable[[int, int], None] | None:
        advance = self._advance
        if advance is None:
            return None
        return lambda done, total: advance(round(1000 * (begin + (end - begin) * done / max(total, 1))), 1000)

    def done(self) -> None:
        if self._advance is not None:
            self._advance(1000, 1000)
