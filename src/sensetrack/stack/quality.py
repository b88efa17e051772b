"""How good pairs, posts and means are: closure of triplets, coherence of velocity vectors, means without bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sensetrack.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from sensetrack.stack.invert import TimeSeries
    from sensetrack.stack.network import Network

_NMAD = 1.4826
_DOUBTFUL = 0.5
"""A pair that is trusted less than this at a post is doubtful there."""


@dataclass(frozen=True, eq=False)
class Closure:
    """What goes around a triplet of dates and should come back to 0: a + b - c."""

    triplets: NDArray[np.int64]
    """(n, 3) positions of the pairs a, b, c."""
    nmad: NDArray[np.float64]
    """(n,) spread over the posts; NaN where none has all three pairs."""
    bias: NDArray[np.float64]
    """(n,) median over the posts."""
    posts: NDArray[np.int64]
    """(n,) posts that have all three pairs."""
    rms: NDArray[np.float32]
    """(rows, cols) root mean square over all triplets of a post, NaN where there is none."""

    def of_pairs(self, pairs: int) -> NDArray[np.float64]:
        """Return for each of some pairs the median spread of the triplets it is in; NaN where it is in none."""
        found = [self.nmad[(self.triplets == number).any(axis=1)] for number in range(pairs)]
        return np.array([np.median(one[np.isfinite(one)]) if np.isfinite(one).any() else np.nan for one in found])


def closure(network: Network, pairs: Any, where: NDArray[np.bool_] | None = None) -> Closure:
    """Close all triplets of a network.

    Noise that the pairs of an image share closes: this is the noise of pairs alone, root 3 times.

    Parameters
    ----------
    network : Network
    pairs : array, (n_pairs, rows, cols)
        Displacements along one direction; NaN = not measured.
    where : ndarray of bool, optional
        (rows, cols) posts that count in `nmad`, `bias` and `posts`.
    """
    triplets = network.triplets()
    shape = tuple(pairs.shape[1:])
    total, count = np.zeros(shape), np.zeros(shape, np.int64)
    nmad, bias, posts = (
        np.full(len(triplets), np.nan),
        np.full(len(triplets), np.nan),
        np.zeros(len(triplets), np.int64),
    )
    for number, (a, b, c) in enumerate(triplets):
        around = np.asarray(pairs[a], np.float64) + pairs[b] - pairs[c]
        seen = np.isfinite(around)
        total[seen] += around[seen] ** 2
        count += seen
        told = around[seen if where is None else seen & where]
        if told.size:
            bias[number] = np.median(told)
            nmad[number] = _NMAD * np.median(np.abs(told - bias[number]))
            posts[number] = told.size
    with np.errstate(invalid="ignore"):
        rms = np.sqrt(np.where(count > 0, total, np.nan) / np.maximum(count, 1))
    return Closure(triplets, nmad, bias, posts, rms.astype(np.float32))


@dataclass(frozen=True, eq=False)
class PairQuality:
    """What is to be thought of each pair as a whole; (n_pairs,) each."""

    measured: NDArray[np.float64]
    """Share of the posts at which it was measured."""
    doubtful: NDArray[np.float64]
    """Share of these at which it is trusted less than half."""
    nmad: NDArray[np.float64]
    """Spread of what it differs from the series by, in the unit of the displacement."""
    bias: NDArray[np.float64]
    """Median of that."""

    def poor(self, *, measured: float = 0.5, doubtful: float = 0.5, times: float = 3.0) -> NDArray[np.bool_]:
        """Tell which pairs look cloudy. One that nothing checks is not, as long as it was measured at enough posts.

        Parameters
        ----------
        measured : float
            Share of posts below which a pair is poor, relative to the best pairs.
        doubtful : float
            Share of doubtful posts above which it is.
        times : float
            Spread above which it is, in spreads of a usual pair.
        """
        checked = self.nmad[np.isfinite(self.nmad)]
        usual = np.median(checked) if checked.size else np.inf
        few = self.measured < measured * np.quantile(self.measured, 0.9)
        with np.errstate(invalid="ignore"):
            return np.asarray(few | (self.doubtful > doubtful) | (self.nmad > times * usual))


def pair_quality(series: TimeSeries, pairs: Any, where: NDArray[np.bool_] | None = None) -> PairQuality:
    """Judge each pair by how it fits the series at all posts, or at those of `where`.

    Posts at which nothing checks a pair, because the dates need all pairs there are, do not count.
    """
    shape = series.shape
    area = np.ones(shape, bool) if where is None else where
    checked = area & (series.links.spare > 0)
    first, second = series.network.pairs.T
    out = np.full((4, first.size), np.nan)
    for number in range(first.size):
        weight, measured = series.weights[number], np.asarray(pairs[number])
        seen = area & (weight > 0)
        out[0, number] = seen.sum() / max(int(area.sum()), 1)
        seen &= checked
        if not seen.any():
            continue
        differs = measured - (series.displacement[second[number]] - series.displacement[first[number]])
        told = differs[seen]
        out[1, number] = (weight[seen] < _DOUBTFUL).mean()
        out[3, number] = np.median(told)
        out[2, number] = _NMAD * np.median(np.abs(told - out[3, number]))
    out[1] = np.nan_to_num(out[1], nan=0.0)
    return PairQuality(*out)


def agreed(components: Sequence[TimeSeries], least: float = 0.1) -> NDArray[np.bool_]:
    """Tell which pairs are trusted in all components: a match that is wrong in one is wrong in the others too.

    Give it to `invert` as `valid` for a second turn, in which pairs that one component has found out are gone.

    Parameters
    ----------
    components : sequence of TimeSeries
        Of the same pairs.
    least : float
        Weight from which on a pair is trusted.

    Returns
    -------
    ndarray
        (n_pairs, rows, cols), False also where a pair is not measured.
    """
    if len({one.weights.shape for one in components}) != 1:
        raise InputError("components must be of the same pairs and posts")
    kept = components[0].weights >= least
    for one in components[1:]:
        kept &= one.weights >= least
    return np.asarray(kept)


def checked(network: Network, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Leave out pairs that are the only one left of a date that should have more: nothing tells whether they are right.

    Where pairs of a date have been found wrong, or were not measured, the one that is left may be just as wrong.
    Nothing is left out where a date has one pair in the whole network.

    Parameters
    ----------
    network : Network
    valid : ndarray of bool
        (n_pairs, rows, cols) pairs that are used.

    Returns
    -------
    ndarray
        (n_pairs, rows, cols), False also where `valid` is.
    """
    dates, used = network.dates.size, valid.any(axis=(1, 2))
    promised = np.bincount(network.pairs[used].ravel(), minlength=dates)
    count = np.zeros((dates, *valid.shape[1:]), np.int16)
    for (first, second), one in zip(network.pairs, valid, strict=True):
        count[first] += one
        count[second] += one
    alone = (count == 1) & (promised > 1)[:, None, None]
    return np.asarray(valid & ~(alone[network.pairs[:, 0]] | alone[network.pairs[:, 1]]))


def velocity_coherence(network: Network, components: Sequence[Any], valid: Any = None) -> NDArray[np.float32]:
    """Return how well the velocity vectors of pairs agree in direction: 1 = all the same, towards 0 = all about.

    Parameters
    ----------
    network : Network
        A pair that runs back in time counts the other way round.
    components : sequence of arrays
        Displacements of pairs along each axis, (n_pairs, rows, cols); NaN = not measured.
    valid : array of bool, optional
        (n_pairs, rows, cols) pairs that count.

    Returns
    -------
    ndarray
        (rows, cols) length of the mean unit vector; NaN where there is no pair.
    """
    shape = tuple(components[0].shape[1:])
    total, count = np.zeros((len(components), *shape)), np.zeros(shape, np.int64)
    for number, way in enumerate(np.sign(network.spans)):
        vector = np.stack([np.asarray(one[number], np.float64) for one in components])
        length = np.sqrt((vector**2).sum(axis=0))
        seen = np.isfinite(length) & (length > 0)
        if valid is not None:
            seen &= np.asarray(valid[number], bool)
        total += np.where(seen, way * vector / np.where(seen, length, 1.0), 0.0)
        count += seen
    with np.errstate(invalid="ignore"):
        coherence = np.sqrt((total**2).sum(axis=0)) / np.where(count > 0, count, np.nan)
    return np.asarray(coherence, np.float32)


class Speed(NamedTuple):
    """The length of a vector whose components carry noise; (rows, cols) each."""

    value: NDArray[np.float32]
    """Without what noise adds to it on average; 0 where noise explains all of it."""
    sigma: NDArray[np.float32]
    """Standard error; that of a component, root mean square, where there is no motion to speak of."""


def speed(components: Sequence[ArrayLike], sigmas: Sequence[ArrayLike]) -> Speed:
    """Return the length of a vector without the bias of noise.

    A length cannot be negative, so noise makes it longer: still ground "moves" by 1.25 sigma. Average components, never
    lengths, and take the length last, here.

    Parameters
    ----------
    components, sigmas : sequences of arrays
        Of the same shape; NaN where unknown.
    """
    v, s = np.array(components, np.float64), np.array(sigmas, np.float64)
    if v.shape != s.shape:
        raise InputError(f"components and their standard errors must have one shape, got {v.shape} and {s.shape}")
    squared = (v**2).sum(axis=0)
    length = np.sqrt(squared)
    with np.errstate(invalid="ignore", divide="ignore"):
        along = np.sqrt((v**2 * s**2).sum(axis=0)) / length
        across = np.maximum((s**2).sum(axis=0) - along**2, 0.0)
        # To first order noise along the vector averages out, and noise across it makes it longer.
        value = np.sqrt(np.maximum(squared - np.where(length > 0, across, 0.0), 0.0))
        still = length**2 < (s**2).sum(axis=0)
        sigma = np.where(still | (length == 0), np.sqrt((s**2).mean(axis=0)), along)
        value = np.where(still, 0.0, value)
    return Speed(value.astype(np.float32), sigma.astype(np.float32))


def mean_of(values: Any, sigma: Any = None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Average one component over its first axis, weighted by its standard errors where given.

    Returns
    -------
    mean, sigma : ndarray
        NaN where there is nothing. Without standard errors given, that of the mean comes from the scatter. Both take
        the values as independent: for pairs that share dates, use `sensetrack.stack.motion.fit_motion`.
    """
    v = np.asarray(values, np.float64)
    s = np.ones_like(v) if sigma is None else np.broadcast_to(np.asarray(sigma, np.float64), v.shape)
    seen = np.isfinite(v) & np.isfinite(s) & (s > 0)
    weight = np.where(seen, 1 / np.where(seen, s, 1.0) ** 2, 0.0)
    total, count = weight.sum(axis=0), seen.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count > 0, (weight * np.where(seen, v, 0.0)).sum(axis=0) / total, np.nan)
        if sigma is not None:
            spread = np.where(count > 0, 1 / np.sqrt(total), np.nan)
        else:
            squares = np.where(seen, (v - mean) ** 2, 0.0).sum(axis=0)
            spread = np.where(count > 1, np.sqrt(squares / (count - 1) / count), np.nan)
    return mean.astype(np.float32), spread.astype(np.float32)
