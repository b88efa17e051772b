"""Co-registration from the images themselves: a first guess, then sub-pixel refinement on stable ground.

What is found is one straight mapping of the whole image (`sensetrack.ot.mapping`). The secondary is then seen
through it, resampled once; what moved on the ground still moves.
"""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from sensetrack.errors import ConfigError, NoMatchError
from sensetrack.ot.bias import nmad
from sensetrack.ot.features import find_landmarks
from sensetrack.ot.gross import gross_shift
from sensetrack.ot.interfaces import ImagePair
from sensetrack.ot.mapping import (
    IDENTITY,
    NEEDED,
    Model,
    as_tuples,
    consensus,
    describe,
    determined,
    fit,
    fit_robustly,
    largest_change,
    move,
    square,
)
from sensetrack.ot.matching import match_chips
from sensetrack.ot.peak import MARGIN
from sensetrack.ot.resample import resample
from sensetrack.ot.stable import MIN_POSTS, chips_on_stable_ground

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sensetrack.blocks import Mapper
    from sensetrack.ot.mapping import Matrix, Points
    from sensetrack.ot.stable import StableChips, StableGround
    from sensetrack.ot.tiles import Scaled, Tile

    Features = Literal["auto"] | bool
    Found = Literal["none", "shift", "features"]
    Pair = tuple[float, float]

log = logging.getLogger(__name__)

SAME = 0.01
"""Mappings that are nowhere in the image further apart than this, px, are one."""
_SEARCH, _FINE = 16, 6
"""Half width of the search around a first guess, and the least around a fitted mapping, px."""
_MIN_SCORE = 0.3
_MIN_SHARE = 0.3
"""Share of the matched posts that must agree: chance reaches a few percent."""
_RUN = 16
"""Chips matched at once."""


@dataclass(frozen=True)
class Iteration:
    """One step of the refinement; pairs are (row, col) in px."""

    posts: int
    """Posts on stable ground the mapping was fitted to."""
    median: tuple[float, float]
    """Residual before the step, on stable posts that are never fitted."""
    nmad: tuple[float, float]
    """Its scatter there."""
    change: float
    """Largest change of the mapping over the image, px."""
    kept: bool
    """True where the step was taken: the residual on posts that are never fitted became smaller."""


@dataclass(frozen=True)
class CoregistrationReport:
    """How a secondary was brought onto its reference; pairs are (row, col) in px."""

    model: Model
    found: Found
    """The first guess: none was needed, a whole-image shift, or features."""
    inliers: int
    """Pairs of features that agreed; 0 where none were used."""
    iterations: tuple[Iteration, ...]
    posts: int
    """Stable posts that were never fitted: what `median` and `nmad` are from."""
    median: tuple[float, float]
    """Residual that is left there."""
    nmad: tuple[float, float]
    """Its scatter."""
    matrix: tuple[tuple[float, float, float], tuple[float, float, float]]
    """(row, col, 1) of the reference, in pixel centres, -> (row, col) of the secondary as it was given."""
    rotation: float
    """Degrees by which the secondary was turned on the ground, clockwise with rows counted downwards."""
    scale: float
    """Length in the secondary over length in the reference."""
    shift: tuple[float, float]
    """Shift at the middle of the image."""
    converged: bool
    """True where another step would change less than 0.01 px."""

    def __str__(self) -> str:
        return (
            f"{self.model}: turned {self.rotation:+.3f} deg, scale {self.scale:.5f}, shift {self.shift[0]:+.2f} rows, "
            f"{self.shift[1]:+.2f} columns px; residual NMAD {self.nmad[0]:.3f}, {self.nmad[1]:.3f} px"
        )


def coregister(
    pair: ImagePair,
    *,
    model: Model = "shift",
    stable: StableGround = None,
    features: Features = "auto",
    max_iterations: int = 5,
    mapper: Mapper = map,
) -> tuple[ImagePair, CoregistrationReport]:
    """Bring the secondary of a pair onto its reference by what both show.

    A first guess (nothing, a whole-image shift, or features that agree on one similarity) is believed where
    chips matched around it agree. Then chips on stable ground are matched with the secondary as it is mapped so
    far, the mapping is fitted to half of them, and this is repeated until it no longer changes. A step that does
    not lower the residual on the other half is not taken.

    Parameters
    ----------
    pair : ImagePair
        One band each.
    model : {"shift", "similarity", "affine"}
        What is fitted: two, four or six numbers. A similarity turns and scales on the ground.
    stable : callable or ndarray of bool, optional
        Where the ground did not move. Called with the offset field of some posts it returns for each the share
        (0..1) that is stable; as an array it has the shape of the images. By default all ground may be stable, and
        the largest part that moves as one is taken.
    features : "auto" or bool
        Look for features where no shift is found, first, or never.
    max_iterations : int
        Steps of the refinement.
    mapper
        See `sensetrack.blocks.run`.

    Returns
    -------
    pair : ImagePair
        The same reference; the secondary on its grid, resampled when it is read, once. The pair as it was given
        where the best mapping is within 0.01 px of none.
    report : CoregistrationReport

    Raises
    ------
    NoMatchError
        The images do not match anywhere, or no mapping of this kind brings them together.
    InputError
        Too little stable ground.
    """
    if model not in NEEDED:
        message = f"model must be one of {', '.join(NEEDED)}, instead got {model!r}"
        raise ConfigError(message)
    if max_iterations < 1:
        message = f"max_iterations must be at least 1, instead got {max_iterations}"
        raise ConfigError(message)
    chips = chips_on_stable_ground(pair.reference.scaled, stable, mapper=mapper)
    work = _Work(pair, model, chips, everywhere=stable is None, mapper=mapper)
    guess, fitted = _first(work, features)
    return _result(work, guess, *_refine(work, fitted, max_iterations))


class _Guess(NamedTuple):
    found: Found
    matrix: Matrix
    inliers: int
    search: int
    """Half width, px, in which the rest is looked for."""
    said: str


class _Matched(NamedTuple):
    matrix: Matrix
    """The mapping the chips were matched under."""
    offset: Points
    """(n, 2) where each chip was found against where the mapping has it, px."""
    good: NDArray[np.bool_]


class _Fitted(NamedTuple):
    """A mapping fitted to what was matched, and what was matched where it is the ground that counts."""

    matrix: Matrix
    matched: _Matched
    change: float
    """Its largest change over the image, px."""
    posts: int
    """Posts it was fitted to."""
    search: int
    """Half width, px, in which nine in ten of the test posts should be found under it."""
    test: NDArray[np.bool_]
    """(n,) posts that were not fitted, on stable ground."""


class _Work:
    """A pair, its chips, and matching them under a mapping."""

    def __init__(self, pair: ImagePair, model: Model, chips: StableChips, *, everywhere: bool, mapper: Mapper) -> None:
        self.pair, self.model, self.chips, self.everywhere, self.mapper = pair, model, chips, everywhere, mapper
        self.metric = square(pair.grid)
        self.shape = pair.grid.shape

    def seen(self, matrix: Matrix) -> ImagePair:
        """Return the pair with the secondary seen through a mapping."""
        if matrix is IDENTITY:
            return self.pair

        def places(row: NDArray[Any], col: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
            (rr, rc, r0), (cr, cc, c0) = matrix
            return rr * row + rc * col + r0, cr * row + cc * col + c0

        secondary = self.pair.secondary
        return ImagePair(self.pair.reference, secondary.with_data(resample(secondary, places, self.shape)))

    def match(self, matrix: Matrix, search: int) -> _Matched:
        """Match all chips with the secondary as seen through a mapping (through none where that is as good)."""
        if largest_change(matrix, IDENTITY, self.shape) < SAME:
            matrix = IDENTITY
        moved = self.seen(matrix).secondary
        scaled = copy.copy(self.pair.secondary.scaled)  # its sample of the pixels need not be read again
        scaled.image = moved
        job = partial(_match_run, self.pair.reference.scaled, scaled, self.chips.size, search)
        runs = _runs(self.chips.starts, self.chips.size + 2 * search)
        row, col, good = (np.concatenate(part) for part in zip(*self.mapper(job, runs), strict=True))
        return _Matched(matrix, np.stack([row, col], axis=1), good)

    def fitted(self, matched: _Matched) -> _Fitted | None:
        """Fit the mapping to the posts that agree; None where too few do."""
        posts, used = self.chips.posts, matched.good & ~self.chips.held
        places = move(matched.matrix, posts + matched.offset)
        here, there = posts[used], places[used]
        agreeing = consensus(self.model, here, there, self.metric, share=_MIN_SHARE)
        if agreeing.sum() < max(MIN_POSTS, _MIN_SHARE * len(here)) or not determined(self.model, here[agreeing]):
            return None
        matrix, kept = fit_robustly(self.model, here, there, self.metric, agreeing)
        test = matched.good & self.chips.held
        if self.everywhere:
            # Ground is still where the posts around it are: its own offset has no say.
            test &= _among(posts, here, kept)
        if test.sum() < MIN_POSTS:
            return None
        rest = np.abs(places - move(matrix, posts))[test].max(axis=1)
        search = int(np.clip(np.ceil(np.percentile(rest, 90)) + 3, _FINE, _SEARCH))
        change = largest_change(matrix, matched.matrix, self.shape)
        return _Fitted(matrix, matched, change, int(kept.sum()), search, test)


def _match_run(
    reference: Scaled, secondary: Scaled, size: int, search: int, starts: NDArray[np.intp]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
    """Match chips that lie in a row, cut out of one tile; where each was found, px, and whether to be trusted."""
    halo = search + MARGIN
    rows, cols = (slice(int(at.min()), int(at.max()) + size) for at in starts.T)

    def cut(tile: Tile, side: int) -> list[NDArray[Any]]:
        windows = [np.lib.stride_tricks.sliding_window_view(part, (side, side))[0] for part in tile]
        return [part[starts[:, 1] - cols.start] for part in windows]

    chips = cut(reference.tile(rows, cols, (0, 0)), size)
    areas = cut(secondary.tile(rows, cols, (halo, halo)), size + 2 * halo)
    peaks = match_chips(*chips, *areas, search=(search, search))
    good = ~(peaks.missing | peaks.at_edge) & (np.nan_to_num(peaks.score) >= _MIN_SCORE)
    return peaks.row, peaks.col, good


def _runs(starts: NDArray[np.intp], reach: int) -> list[NDArray[np.intp]]:
    """Cut chips, sorted by row and column, where the row ends, where they are far apart, and after `_RUN`."""
    step = np.diff(starts, axis=0)
    ends = np.flatnonzero((step[:, 0] != 0) | (step[:, 1] > reach)) + 1
    return [run[at : at + _RUN] for run in np.split(starts, ends) for at in range(0, len(run), _RUN)]


def _among(posts: Points, fitted: Points, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell posts most of whose four nearest fitted neighbours were kept."""
    from scipy.spatial import cKDTree

    _, nearest = cKDTree(fitted).query(posts, k=min(4, len(fitted)))
    return np.asarray(kept[nearest].mean(axis=1) >= 0.75)


def _first(work: _Work, features: Features) -> tuple[_Guess, _Fitted]:
    """Return the first guess around which enough chips agree."""
    most = 0
    for guess in _guesses(work, features):
        matched = work.match(guess.matrix, guess.search)
        fitted = work.fitted(matched)
        most = max(most, int(matched.good.sum()))
        if fitted is not None:
            log.info("co-registration starts from %s", guess.said)
            return guess, fitted
    number = len(work.chips.starts)
    cause = f"no {work.model} brings the images together ({most} of {number} chips matched, too few of them agree)"
    first = ""
    if features is False:
        first = "allow features, "
    elif work.model == "shift":
        first = "try a similarity, "
    elif work.everywhere:
        first = "name stable ground, "
    raise NoMatchError(cause, advice=f"{first}or check that both show the same ground".removeprefix("or "))


def _guesses(work: _Work, features: Features) -> Iterator[_Guess]:
    """Yield what may be a first guess, the likeliest first."""
    if features is True:
        yield from _by_features(work)
    shift = gross_shift(work.pair, mapper=work.mapper).shift
    nothing = _Guess("none", IDENTITY, 0, _SEARCH, "the images as they are")
    said = "a whole-image shift of {} rows, {} columns".format(*shift)
    moved = _Guess("shift", np.column_stack([np.eye(2), shift]), 0, _SEARCH, said)
    yield nothing if shift == (0, 0) else moved
    if features == "auto":
        yield from _by_features(work)
    if shift != (0, 0):
        yield nothing


def _by_features(work: _Work) -> Iterator[_Guess]:
    scaled = work.pair.reference.scaled, work.pair.secondary.scaled
    marks = find_landmarks(*scaled, work.metric, mapper=work.mapper)
    if marks is None:
        log.info("no features on which the images agree")
        return
    matrix = fit(work.model, marks.here, marks.there, work.metric)
    # A landmark is known to a fraction of a pixel of the overview.
    search = min(max(_SEARCH, 3 * max(work.shape) // 1024), 48)
    said = f"features ({len(marks.here)} of {marks.tried} pairs agree)"
    yield _Guess("features", matrix, len(marks.here), search, said)


def _refine(work: _Work, fitted: _Fitted, most: int) -> tuple[_Fitted, list[Iteration]]:
    """Take steps as long as they help; return the last state and the steps."""
    done: list[Iteration] = []
    for number in range(1, most + 1):
        now, change = fitted.matched, fitted.change
        if change < SAME:
            break
        again = work.fitted(work.match(fitted.matrix, fitted.search))
        kept = again is not None and _better(again.matched, now, fitted.test)
        median, scatter = _residual(now, fitted.test)
        done.append(Iteration(fitted.posts, median, scatter, change, kept))
        log.info(
            "co-registration, step %d: %d posts, median %+.3f, %+.3f px, NMAD %.3f, %.3f px, change %.3f px%s",
            number, fitted.posts, *median, *scatter, change, "" if kept else ", not taken: no better",
        )  # fmt: skip
        if again is None or not kept:
            break
        fitted = again
    return fitted, done


def _residual(matched: _Matched, test: NDArray[np.bool_]) -> tuple[Pair, Pair]:
    """Median and NMAD of the offsets of some posts, (rows, cols)."""
    row, col = matched.offset[test].T
    return (float(np.median(row)), float(np.median(col))), (nmad(row), nmad(col))


def _better(new: _Matched, former: _Matched, test: NDArray[np.bool_]) -> bool:
    """Tell whether posts that are not fitted lie closer under a new mapping, and still match."""
    both = test & new.good & former.good
    if both.sum() < max(MIN_POSTS, 0.8 * (test & former.good).sum()):
        return False
    now, before = (np.hypot(*np.concatenate(_residual(part, both)).reshape(2, 2)) for part in (new, former))
    return bool(np.hypot(*now) < np.hypot(*before))


def _result(
    work: _Work, guess: _Guess, fitted: _Fitted, done: list[Iteration]
) -> tuple[ImagePair, CoregistrationReport]:
    matrix = fitted.matched.matrix
    median, scatter = _residual(fitted.matched, fitted.test)
    report = CoregistrationReport(
        model=work.model,
        found=guess.found,
        inliers=guess.inliers,
        iterations=tuple(done),
        posts=int(fitted.test.sum()),
        median=median,
        nmad=scatter,
        matrix=as_tuples(matrix),
        **describe(matrix, work.shape, work.metric)._asdict(),
        converged=fitted.change < SAME,
    )
    log.info("co-registered by a %s", report)
    return work.seen(matrix), report
