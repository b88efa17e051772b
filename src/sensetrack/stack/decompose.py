"""From what several looks see of one motion to east, north and up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sensetrack.blocks import Block, plan, run
from sensetrack.errors import ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from sensetrack.blocks import Mapper

AXES = ("east", "north", "up")
EAST, NORTH, UP = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
_POSTS_AT_ONCE = 65536
_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
"""Axes of the six numbers of a symmetric matrix."""
_LEAK = 1e-3
"""Most of the square of an axis that may lie in directions that nothing looks along."""


@dataclass(frozen=True, eq=False)
class Look:
    """A displacement along one direction."""

    values: ArrayLike
    """(rows, cols) m or m/day; NaN = not measured."""
    sigma: ArrayLike
    """Standard error, the same shape or one number; > 0."""
    direction: ArrayLike
    """(3,) or (3, rows, cols): east, north and up of the unit vector along which a displacement is positive. Where the
    axes of a measurement are not square to each other: of the vector whose product with the motion is the value."""
    name: str = ""


@dataclass(frozen=True, eq=False)
class Decomposed:
    """East, north and up; NaN where the looks do not say."""

    east: NDArray[np.float32]
    north: NDArray[np.float32]
    up: NDArray[np.float32]
    covariance: NDArray[np.float32]
    """(3, 3, rows, cols), NaN in the rows and columns of axes that are not known."""
    condition: NDArray[np.float32]
    """(rows, cols) best over worst determined direction among those that are determined, standard errors included;
    1 = all alike; NaN where there is no look."""
    rank: NDArray[np.uint8]
    """(rows, cols) directions that are determined: 3 = all."""
    looks: NDArray[np.uint16]
    """(rows, cols) looks that were there."""
    misfit: NDArray[np.float32]
    """(rows, cols) root mean square residual in standard errors, per look that could be spared; NaN where none can."""

    @property
    def sigma(self) -> NDArray[np.float32]:
        """(3, rows, cols) standard errors of east, north and up."""
        return np.asarray(np.sqrt(np.stack([self.covariance[k, k] for k in range(3)])))


def slant_range_direction(
    incidence: ArrayLike, heading: ArrayLike, side: Literal["right", "left"] = "right"
) -> NDArray[np.float64]:
    """Return the direction away from the sensor, (3, ...): along it a slant range displacement is positive.

    Parameters
    ----------
    incidence : array
        Between the way to the sensor and the vertical, degrees.
    heading : array
        Of the flight, degrees clockwise from north.
    side : {"right", "left"}
        To which the radar looks.
    """
    if side not in {"right", "left"}:
        raise ConfigError(f"side must be right or left, instead got {side!r}")
    theta, towards = np.broadcast_arrays(
        np.radians(np.asarray(incidence, np.float64)),
        np.radians(np.asarray(heading, np.float64) + (90.0 if side == "right" else -90.0)),
    )
    return np.stack([np.sin(theta) * np.sin(towards), np.sin(theta) * np.cos(towards), -np.cos(theta)])


def along_track_direction(
    heading: ArrayLike, flight_heading: ArrayLike | None = None, flight_climb: ArrayLike = 0.0
) -> NDArray[np.float64]:
    """Return the direction of the flight over ground, (3, ...): along it an along-track displacement is positive.

    Parameters
    ----------
    heading : array
        Of what keeps its range and height, degrees clockwise from north.
    flight_heading, flight_climb : array, optional
        Of the satellite's own motion in the axes of the ground, degrees clockwise from north, and upwards. It is not
        quite square to the look, so that motion across the track is seen along it, too: by some 0.6 % of it. By default
        it is taken to be square.
    """
    along = _pointing(np.asarray(heading, np.float64), 0.0)
    if flight_heading is None:
        return along
    flight = _pointing(np.asarray(flight_heading, np.float64), np.asarray(flight_climb, np.float64))
    return np.asarray(flight / (flight * along).sum(axis=0))


def _pointing(azimuth: ArrayLike, climb: ArrayLike) -> NDArray[np.float64]:
    """Return unit vectors, (3, ...), from degrees clockwise from north and upwards."""
    turn, rise = np.broadcast_arrays(np.radians(azimuth), np.radians(climb))
    return np.stack([np.sin(turn) * np.cos(rise), np.cos(turn) * np.cos(rise), np.sin(rise)])


def surface_parallel(slope_east: ArrayLike, slope_north: ArrayLike, sigma: float) -> Look:
    """Return what says that motion follows the ground, as one more look.

    Parameters
    ----------
    slope_east, slope_north : (rows, cols) arrays
        Rise of the ground per metre to the east and to the north.
    sigma : float
        By how much the motion may leave the ground, in the unit of the other looks.
    """
    east, north = np.asarray(slope_east, np.float64), np.asarray(slope_north, np.float64)
    normal = np.stack([-east, -north, np.ones_like(east)]) / np.sqrt(1 + east**2 + north**2)
    return Look(np.where(np.isfinite(east + north), 0.0, np.nan), sigma, normal, "surface parallel")


def decompose(looks: Sequence[Look], *, worst: float = 30.0, mapper: Mapper = map) -> Decomposed:
    """Find east, north and up at each post by weighted least squares.

    What no look sees is not made up: an axis is NaN where part of it lies in a direction that is not determined. Add
    what you know instead as a look of its own (`surface_parallel`; a look along `NORTH` of value 0 and the standard
    error you think right).

    Parameters
    ----------
    looks : sequence of Look
        Of one grid of posts.
    worst : float
        A direction counts as determined where its standard error is at most so many times that of the best one.
    mapper : Mapper
        The executor's `map`.

    Raises
    ------
    InputError
        Shapes differ, or there is no look.
    ConfigError
        `worst` is not above 1.
    """
    sums = Sums(_shape(looks))
    for look in looks:
        sums.add(look)
    return sums.solve(worst=worst, mapper=mapper)


class Sums:
    """What many looks say together, one added after the other: the memory that this takes does not grow with them.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of posts.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = (int(shape[0]), int(shape[1]))
        self.normal = np.zeros((len(_PAIRS), *self.shape))
        self.right = np.zeros((3, *self.shape))
        self.squares = np.zeros(self.shape)
        self.count = np.zeros(self.shape, np.uint16)

    def add(self, look: Look) -> NDArray[np.bool_]:
        """Add a look, and return where it was there, (rows, cols).

        Raises
        ------
        InputError
            It is of other posts.
        """
        if _shape([look]) != self.shape:
            raise InputError(f"looks must share one grid of posts, {self.shape}, instead got {np.shape(look.values)}")
        there = np.empty(self.shape, np.bool_)
        for block in plan(self.shape, _size(self.shape)):
            at = block.rows, block.cols
            d, w, u = _part(look, block)
            for k, (a, b) in enumerate(_PAIRS):
                self.normal[k][at] += w * u[a] * u[b]
            for a in range(3):
                self.right[a][at] += w * d * u[a]
            self.squares[at] += w * d**2
            self.count[at] += w > 0
            there[at] = w > 0
        return there

    def solve(self, *, worst: float = 30.0, mapper: Mapper = map) -> Decomposed:
        """Return the motion; see `decompose`."""
        if not worst > 1:
            raise ConfigError(f"worst must be above 1, instead got {worst}")
        layers: dict[str, Any] = {
            "motion": np.empty((3, *self.shape), np.float32),
            "covariance": np.empty((3, 3, *self.shape), np.float32),
            "condition": np.empty(self.shape, np.float32),
            "rank": np.empty(self.shape, np.uint8),
            "misfit": np.empty(self.shape, np.float32),
        }
        blocks = plan(self.shape, _size(self.shape))
        for block, found in run(partial(self._solve_block, worst), blocks, mapper=mapper):
            for name, part in found.items():
                layers[name][..., block.rows, block.cols] = part.reshape(*part.shape[:-1], *block.shape)
        east, north, up = layers.pop("motion")
        return Decomposed(east, north, up, looks=self.count, **layers)

    def _solve_block(self, worst: float, block: Block) -> dict[str, NDArray[Any]]:
        """Solve for the posts of a block; layers are (..., posts)."""
        at = block.rows, block.cols
        posts = block.shape[0] * block.shape[1]
        normal, right = np.empty((posts, 3, 3)), self.right[:, *at].reshape(3, posts).T
        for k, (a, b) in enumerate(_PAIRS):
            normal[:, a, b] = normal[:, b, a] = self.normal[k][at].ravel()
        power, axes = np.linalg.eigh(normal)
        best = power[:, 2]
        known = (power > best[:, None] / worst**2) & (best > 0)[:, None]
        gain = np.where(known, 1 / np.where(known, power, 1.0), 0.0)
        covariance = np.einsum("pik,pk,pjk->ijp", axes, gain, axes)
        motion = np.einsum("ijp,pj->ip", covariance, right)
        # What an axis has in the directions that nothing looks along.
        lost = np.einsum("pik,pk->ip", axes**2, (~known).astype(float)) > _LEAK
        rank = known.sum(axis=1).astype(np.uint8)
        spare = self.count[at].ravel().astype(int) - rank
        rest = np.maximum(self.squares[at].ravel() - (motion.T * right).sum(axis=1), 0.0)
        motion[lost] = np.nan
        covariance[lost[:, None] | lost[None]] = np.nan
        worst_known = np.where(known, power, np.inf).min(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            condition = np.where(rank > 0, np.sqrt(best / worst_known), np.nan)
            misfit = np.where(spare > 0, np.sqrt(rest / spare), np.nan)
        return {"motion": motion, "covariance": covariance, "condition": condition, "rank": rank, "misfit": misfit}


def _size(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the rows and columns of a block."""
    return max(1, _POSTS_AT_ONCE // max(shape[1], 1)), _POSTS_AT_ONCE


def _shape(looks: Sequence[Look]) -> tuple[int, int]:
    if not looks:
        raise InputError("there is no look to be decomposed")
    shapes = {np.shape(look.values) for look in looks}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 2:
        raise InputError("looks must share one grid of posts, (rows, cols)")
    for look in looks:
        if np.shape(look.direction) not in {(3,), (3, *shape)} or np.shape(look.sigma) not in {(), shape}:
            message = f"look {look.name or '?'}: direction must be (3,) or {(3, *shape)}, and sigma a number or {shape}"
            raise InputError(message)
    return int(shape[0]), int(shape[1])


def _part(look: Look, block: Block) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return values, weights (0 = not there) and directions, (3, rows, cols), of the posts of a block."""
    at = block.rows, block.cols
    d = np.asarray(np.asarray(look.values)[at], np.float64)
    sigma = np.asarray(look.sigma)
    s = np.broadcast_to(sigma if sigma.ndim == 0 else sigma[at], d.shape).astype(np.float64)
    direction = np.asarray(look.direction)
    direction = direction[:, *at] if direction.ndim == 3 else np.broadcast_to(direction[:, None, None], (3, *d.shape))
    u = direction.astype(np.float64)
    seen = np.isfinite(d) & np.isfinite(s) & (s > 0) & np.isfinite(u).all(axis=0)
    w = np.where(seen, 1 / np.where(seen, s, 1.0) ** 2, 0.0)
    return np.where(seen, d, 0.0), w, np.where(seen, u, 0.0)
