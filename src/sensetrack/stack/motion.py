"""Models of motion: velocity, acceleration, seasons and steps, with standard errors from the covariance of dates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003, RUF100  pydantic reads it
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, field_validator

from sensetrack.blocks import plan, run
from sensetrack.errors import ConfigError, InputError
from sensetrack.ot.parameters import Parameters
from sensetrack.stack.fit_kernels import run_fit
from sensetrack.stack.graph import bands_of
from sensetrack.stack.invert import block_of, per_image, sigma_of
from sensetrack.stack.network import utc

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from sensetrack.blocks import Block, Mapper
    from sensetrack.stack.invert import TimeSeries

_POSTS_AT_ONCE = 4096
_EPOCH = np.datetime64("2000-01-01T00:00", "ms")
_UNKNOWN = 1e-9
"""A term that the dates say this much less of than of another one is not known."""


class MotionParameters(Parameters):
    """What the motion of a post consists of, beside a velocity that does not change."""

    seasonal: bool = Field(default=False, description="a sine and a cosine of `period`")
    period: float = Field(default=365.25, gt=0, description="length of a season's round, days")
    acceleration: bool = Field(
        default=False, description="a velocity that changes evenly; `velocity` is then at the middle"
    )
    steps: tuple[datetime, ...] = Field(default=(), description="moments of sudden displacement, UTC")

    @field_validator("steps", mode="before")
    @classmethod
    def _as_moments(cls, value: Any) -> Any:
        return tuple(utc(one) for one in value) if isinstance(value, (list, tuple)) else value

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of all terms."""
        names = ["velocity"]
        if self.acceleration:
            names.append("acceleration")
        if self.seasonal:
            names += ["sine", "cosine"]
        return (*names, *(f"step_{moment:%Y%m%d}" for moment in self.steps))

    def basis(self, dates: NDArray[np.datetime64], middle: np.datetime64) -> NDArray[np.float64]:
        """Return what each term adds to the displacement, (n_dates, terms)."""
        day = np.timedelta64(1, "D")
        t = (dates - middle) / day
        columns = [t]
        if self.acceleration:
            columns.append(t**2 / 2)
        if self.seasonal:
            turn = 2 * np.pi * ((dates - _EPOCH) / day) / self.period
            columns += [np.sin(turn), np.cos(turn)]
        columns += [(dates >= np.datetime64(moment, "ms")).astype(np.float64) for moment in self.steps]
        return np.stack(columns, axis=1).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Motion:
    """A model of the motion of every post; NaN where the dates do not say, which is not 0."""

    parameters: MotionParameters
    middle: np.datetime64
    """The time that velocity belongs to, in the middle between first and last date."""
    values: NDArray[np.float32]
    """(terms, rows, cols): per day, per day^2 for the acceleration, else in the unit of the displacement."""
    covariance: NDArray[np.float32]
    """(terms, terms, rows, cols) of `values`."""
    misfit: NDArray[np.float32]
    """(rows, cols) root mean square of what the dates differ from the model by."""

    def term(self, name: str) -> NDArray[np.float32]:
        """Return one term by its name, (rows, cols)."""
        return np.asarray(self.values[self._place(name)])

    def sigma(self, name: str) -> NDArray[np.float32]:
        """Return the standard error of one term, (rows, cols)."""
        k = self._place(name)
        return np.asarray(np.sqrt(self.covariance[k, k]))

    @property
    def velocity(self) -> NDArray[np.float32]:
        """(rows, cols), per day."""
        return self.term("velocity")

    @property
    def velocity_sigma(self) -> NDArray[np.float32]:
        """Standard error of `velocity`."""
        return self.sigma("velocity")

    @property
    def amplitude(self) -> NDArray[np.float32]:
        """(rows, cols) half the displacement between the extremes of a season."""
        return np.hypot(self.term("sine"), self.term("cosine"))

    @property
    def peak_day(self) -> NDArray[np.float32]:
        """(rows, cols) days after 1 January (for a year's period) at which the season's displacement is largest."""
        turn = np.arctan2(self.term("sine"), self.term("cosine")) / (2 * np.pi)
        return np.asarray((turn % 1.0) * self.parameters.period, np.float32)

    def _place(self, name: str) -> int:
        if name not in self.parameters.terms:
            known = ", ".join(self.parameters.terms)
            raise ConfigError(f"there is no term {name!r} in this model; it has {known}")
        return self.parameters.terms.index(name)


def fit_motion(
    series: TimeSeries,
    parameters: MotionParameters | None = None,
    *,
    image_sigma: ArrayLike | None = None,
    mapper: Mapper = map,
) -> Motion:
    """Fit a model to the dates of every post, by least squares with their full covariance.

    Sub-networks may start from anywhere: each has a constant of its own, and all share the motion. The smoothness that
    a series was asked for plays no part.

    Parameters
    ----------
    series : TimeSeries
    parameters : MotionParameters, optional
        A velocity alone by default.
    image_sigma : float or (n_dates,) array, optional
        Standard error of each image; that of the series by default.
    mapper : Mapper
        The executor's `map`.
    """
    parameters = parameters or MotionParameters()
    dates, shape = series.network.dates, series.shape
    middle = dates[0] + (dates[-1] - dates[0]) // 2
    basis = parameters.basis(dates, middle)
    noise = series.image_sigma if image_sigma is None else per_image(image_sigma, dates.size)
    terms = basis.shape[1]
    values, covariance = np.empty((terms, *shape), np.float32), np.empty((terms, terms, *shape), np.float32)
    misfit = np.empty(shape, np.float32)
    work = partial(_fit_block, series, basis, noise)
    for block, (v, c, m) in run(
        work, plan(shape, (max(1, _POSTS_AT_ONCE // max(shape[1], 1)), _POSTS_AT_ONCE)), mapper=mapper
    ):
        values[:, block.rows, block.cols] = v
        covariance[:, :, block.rows, block.cols] = c
        misfit[block.rows, block.cols] = m
    return Motion(parameters, middle, values, covariance, misfit)


def _fit_block(
    series: TimeSeries, basis: NDArray[np.float64], noise: NDArray[np.float64], block: Block
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Fit the model to some posts: values, their covariance, and what is left."""
    terms = basis.shape[1]
    rows, cols = block.rows, block.cols
    weights = np.ascontiguousarray(series.weights[:, rows, cols]).reshape(-1, block.shape[0] * block.shape[1])
    displacement = block_of(series.displacement, block)
    told = displacement if series.right_side is None else block_of(series.right_side, block)
    scale = np.ascontiguousarray(series.used_scale[rows, cols], np.float64).ravel()
    unit = np.ptp(basis, axis=0)
    unit[unit == 0] = 1.0
    normal, right = np.zeros((terms, terms, scale.size)), np.zeros((terms, scale.size))
    pairs = series.network.pairs
    run_fit(weights, sigma_of(series.pair_sigma, block), scale, told, series.right_side is not None, pairs,
            *bands_of(pairs, basis.shape[0]), noise, np.ascontiguousarray(basis / unit),
            series.parameters.expected.variance, normal, right)  # fmt: skip
    solved, covariance = _solve(normal, right)
    values = solved / unit[:, None]
    label = series.subnetwork[:, rows, cols].reshape(basis.shape[0], -1)
    label = np.zeros_like(label) if series.parameters.smooth else label
    return (
        values.reshape(terms, *block.shape),
        (covariance / (unit[:, None] * unit)[..., None]).reshape(terms, terms, *block.shape),
        _misfit(displacement, label, basis, values).reshape(block.shape),
    )


def _solve(normal: NDArray[np.float64], right: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Solve small systems, one per post; NaN for terms of which nothing is known, or that cannot be told apart."""
    terms, posts = right.shape
    matrix, b = np.moveaxis(normal, -1, 0).copy(), right.T.copy()
    diagonal = matrix[:, range(terms), range(terms)]
    most = diagonal.max(axis=1, initial=0)
    unknown = ~(diagonal > _UNKNOWN * most[:, None]) | ~(most > 0)[:, None]
    matrix[unknown[:, :, None] | unknown[:, None, :]] = 0
    b[unknown] = 0
    size = np.sqrt(np.where(unknown, 1, diagonal))
    matrix /= size[:, :, None] * size[:, None, :]
    matrix[:, range(terms), range(terms)] = 1.0
    weakest = np.linalg.eigvalsh(matrix)[:, 0] if terms > 1 else np.ones(posts)
    apart = weakest > _UNKNOWN
    matrix[~apart] = np.eye(terms)
    inverse = np.linalg.inv(matrix) / (size[:, :, None] * size[:, None, :])
    solved = np.einsum("pij,pj->ip", inverse, b)
    covariance = np.moveaxis(inverse, 0, -1).copy()
    gone = (unknown | ~apart[:, None]).T
    solved[gone] = np.nan
    covariance[gone[:, None] | gone[None]] = np.nan
    return solved, covariance


def _misfit(
    displacement: NDArray[np.float64], label: NDArray[np.int8], basis: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the root mean square of dates about the model, whose constants are those of the sub-networks; (posts,)."""
    rest = displacement - basis @ np.nan_to_num(values)
    total, count = np.zeros(rest.shape[1]), np.zeros(rest.shape[1])
    for number in range(int(label.max(initial=-1)) + 1):
        seen = (label == number) & np.isfinite(rest)
        n = seen.sum(axis=0)
        mean = np.where(seen, rest, 0).sum(axis=0) / np.maximum(n, 1)
        total += (np.where(seen, rest - mean, 0) ** 2).sum(axis=0)
        count += n
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(count > 0, np.sqrt(total / count), np.nan))


def image_noise(
    series: TimeSeries,
    parameters: MotionParameters | None = None,
    *,
    per_date: bool = False,
    where: NDArray[np.bool_] | None = None,
    posts: int = 400,
) -> NDArray[np.float64]:
    """Estimate the noise of each image: what dates scatter about a model beyond what the noise of pairs explains.

    No closure shows this noise, because an image that is wrong is so in all its pairs. What the model does not follow
    counts as noise: choose one that can follow the motion, or posts on stable ground.

    Parameters
    ----------
    series : TimeSeries
        Not a smooth one, which hides it.
    parameters : MotionParameters, optional
    per_date : bool
        One for each image instead of one for all; needs a few dozen posts.
    where : ndarray of bool, optional
        (rows, cols) posts that may be used.
    posts : int
        How many are.

    Returns
    -------
    ndarray
        (n_dates,) standard errors in the unit of the displacement, at least 0; 0 for dates that hardly any post has.

    Raises
    ------
    InputError
        No post has more dates than the model has terms.
    """
    from scipy.optimize import nnls

    if series.parameters.smooth:
        raise ConfigError("the noise of images must be found from a series that is not smooth")
    parameters = parameters or MotionParameters()
    dates = series.network.dates
    basis = parameters.basis(dates, dates[0])
    usable = (series.links.pairs > 0) & (True if where is None else where)
    place = np.argwhere(usable)
    place = place[np.linspace(0, len(place) - 1, min(posts, len(place))).round().astype(int)]
    told = [_scatter(series, basis, int(i), int(j)) for i, j in place]
    rest, expected, shares = (np.array([one[k] for one in told if one is not None]) for k in range(3))
    if not len(rest):
        raise InputError("no post has more dates than the model has terms", advice="use a simpler model")
    seen = shares.sum(axis=2) > 1e-6
    if len(rest) >= 20:  # robust: some posts move in ways of their own
        spread = np.array([_spread(rest[on, k]) if (on := seen[:, k]).any() else 0.0 for k in range(dates.size)])
    else:
        spread = np.sqrt((rest**2).mean(axis=0))
    beyond = spread**2 - np.median(expected, axis=0)
    share = shares.mean(axis=0)
    if not per_date:
        one = max(float(beyond.sum() / share.sum()), 0.0)
        return np.full(dates.size, np.sqrt(one))
    # Dates that hardly any post sees say nothing of their noise.
    told_of = np.flatnonzero(np.diag(share) > 0.05)
    out = np.zeros(dates.size)
    out[told_of] = np.sqrt(nnls(share[np.ix_(told_of, told_of)], beyond[told_of])[0])
    return out


def _spread(values: NDArray[np.float64]) -> float:
    return 1.4826 * float(np.median(np.abs(values)))


def _scatter(
    series: TimeSeries, basis: NDArray[np.float64], i: int, j: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None:
    """Return of one post: what dates differ by from the model, its variance by the noise of pairs, and of images."""
    label = series.subnetwork[:, i, j]
    y = np.nan_to_num(series.displacement[:, i, j].astype(np.float64))
    used = label >= 0
    columns = [(label == k).astype(float) for k in range(int(label.max()) + 1)]
    design = np.column_stack([*columns, basis]) * used[:, None]
    if used.sum() <= np.linalg.matrix_rank(design):
        return None
    project = np.diag(used.astype(float)) - design @ np.linalg.pinv(design)
    pairs = series.network.pairs
    sigma = series.pair_sigma
    spread = sigma[:, i if sigma.shape[1] > 1 else 0, j if sigma.shape[2] > 1 else 0] * series.used_scale[i, j]
    trusted = series.weights[:, i, j]
    with np.errstate(invalid="ignore"):
        weight = np.where(trusted > 0, trusted / (spread**2 * series.parameters.expected.variance), 0.0)
    incidence = np.zeros((len(pairs), label.size))
    incidence[range(len(pairs)), pairs[:, 1]] += 1
    incidence[range(len(pairs)), pairs[:, 0]] -= 1
    covariance = np.linalg.pinv(incidence.T @ (weight[:, None] * incidence), hermitian=True)
    return project @ y, np.diag(project @ covariance @ project), project**2
