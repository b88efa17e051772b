"""From displacements of pairs to a series of dates, post by post."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sensetrack.blocks import Block, plan, run
from sensetrack.errors import ConfigError, InputError
from sensetrack.stack.graph import bands_of
from sensetrack.stack.kernels import run_invert
from sensetrack.stack.parameters import InversionParameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from sensetrack.blocks import Mapper
    from sensetrack.stack.graph import Bands
    from sensetrack.stack.network import Network

_POSTS_AT_ONCE = 4096
"""Bounds the memory of a worker: a few MB for 200 pairs."""
_SAMPLE = 2048
"""Posts from which the standard error of a pair is found where none is given."""


class Links(NamedTuple):
    """How the pairs of a post hang together; (rows, cols) each."""

    pairs: NDArray[np.int32]
    """Pairs that were measured."""
    spare: NDArray[np.int32]
    """Pairs beyond those that the dates need: what residuals are judged by. 0 = nothing is checked."""
    subnetworks: NDArray[np.int32]
    """1 where all dates hang together, more where there are gaps, 0 where there is no pair."""


@dataclass(frozen=True, eq=False)
class TimeSeries:
    """Displacement of every date along one direction; arrays are (n_dates, rows, cols) unless said otherwise."""

    network: Network
    displacement: NDArray[np.float32]
    """Since the first date of the sub-network, in the unit of the pairs; NaN without a pair of that date."""
    sigma: NDArray[np.float32]
    """Standard error of `displacement`; 0 at the date it is counted from."""
    step_sigma: NDArray[np.float32]
    """(n_dates - 1, rows, cols) standard error of the displacement from each date to the next one; NaN over a gap."""
    subnetwork: NDArray[np.int8]
    """Number of the sub-network, from 0; -1 where a date has no pair. Displacements of different ones have nothing to
    do with each other, unless the series was made smooth."""
    weights: NDArray[np.float32]
    """(n_pairs, rows, cols) how far each pair was trusted, 0 to 1; 0 = not measured."""
    scale: NDArray[np.float32]
    """(rows, cols) residuals of the pairs over their standard errors as given; 1 = as it should be."""
    links: Links
    right_side: NDArray[np.float64] | None
    """What the pairs say of each date, of a smooth series: the right side of the normal equations, for models of the
    motion, in which smoothness plays no part."""
    pair_sigma: NDArray[Any]
    """(n_pairs, rows or 1, cols or 1) standard errors of the pairs, as given."""
    image_sigma: NDArray[np.float64]
    """(n_dates,) standard error of each image, which all its pairs share."""
    parameters: InversionParameters

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""
        return self.displacement.shape[1], self.displacement.shape[2]

    @property
    def gaps(self) -> NDArray[np.bool_]:
        """(rows, cols) True where dates do not all hang together, or some have no pair, though there are pairs."""
        missing = (self.subnetwork < 0).any(axis=0)
        return (self.links.pairs > 0) & (missing | (self.links.subnetworks > 1))

    @property
    def connected(self) -> NDArray[np.float32]:
        """The displacement, NaN outside the sub-network with most dates: what may be drawn as one line.

        A smooth series is one line anyway.
        """
        if self.parameters.smooth:
            return self.displacement
        counts = np.stack([(self.subnetwork == k).sum(axis=0) for k in range(max(int(self.subnetwork.max()), 0) + 1)])
        return np.where(self.subnetwork == counts.argmax(axis=0), self.displacement, np.float32(np.nan))

    @property
    def used_scale(self) -> NDArray[np.float32]:
        """(rows, cols) what standard errors of pairs were multiplied by."""
        return self.scale if self.parameters.rescale else np.ones_like(self.scale)

    def residuals(self, pairs: ArrayLike) -> NDArray[np.float32]:
        """Return what each pair differs from the series by, (n_pairs, rows, cols); NaN where not measured."""
        return residuals(self.network, pairs, self.displacement)


def residuals(network: Network, pairs: ArrayLike, displacement: ArrayLike) -> NDArray[np.float32]:
    """Return pairs less what a series says of them: (n_pairs, rows, cols)."""
    measured, series = np.asarray(pairs), np.asarray(displacement)
    first, second = network.pairs.T
    out = np.empty(measured.shape, np.float32)
    for number in range(first.size):  # pair by pair: a cube of pairs is large
        out[number] = measured[number] - (series[second[number]] - series[first[number]])
    return out


def invert(
    network: Network,
    pairs: Any,
    sigma: Any = None,
    *,
    valid: Any = None,
    image_sigma: ArrayLike = 0.0,
    parameters: InversionParameters | None = None,
    mapper: Mapper = map,
    advance: Callable[[int, int], None] | None = None,
) -> TimeSeries:
    """Find the displacement of every date from those of pairs, by robust least squares at each post.

    A pair has noise of its own (`sigma`), which the other pairs of the network average out, and the noise of its two
    images (`image_sigma`): what an image shows wrongly, all its pairs do, and no number of pairs helps. The first
    decides the weights; both are in the standard errors.

    Parameters
    ----------
    network : Network
    pairs : array, (n_pairs, rows, cols)
        Displacement from reference to secondary along one direction, any unit; NaN = not measured. Anything with shape
        and window slicing.
    sigma : array, optional
        Standard error of each pair without that of its images, > 0: (n_pairs, rows, cols), (n_pairs,) or one number;
        NaN = the pair is not used. None: one number for all, found from how the pairs close.
    valid : array of bool, optional
        (n_pairs, rows, cols), True = usable.
    image_sigma : float or (n_dates,) array
        Standard error of each image. See `sensetrack.stack.motion.image_noise` for how to find it.
    parameters : InversionParameters, optional
    mapper : Mapper
        The executor's `map`. Workers change nothing in the result.
    advance : callable, optional
        Called with (done, total).

    Raises
    ------
    InputError
        Shapes that do not belong together.
    """
    parameters = parameters or InversionParameters()
    shape = _checked(network, pairs)
    errors = per_image(image_sigma, network.dates.size)
    if sigma is None:
        sigma = _typical(network, pairs, valid, parameters)
    spread = _as_cube(sigma, network.pairs.shape[0], shape)
    if valid is not None and tuple(valid.shape) != (network.pairs.shape[0], *shape):
        raise InputError(f"valid must have the shape of the pairs, instead got {tuple(valid.shape)}")
    made = _empty(network, shape, smooth=bool(parameters.smooth))
    work = partial(_invert_block, network, pairs, spread, valid, errors, parameters)
    blocks = plan(shape, (max(1, _POSTS_AT_ONCE // max(shape[1], 1)), _POSTS_AT_ONCE))
    for block, found in run(work, blocks, mapper=mapper, advance=advance):
        for whole, part in zip(made, found, strict=True):
            if whole is not None:
                whole[..., block.rows, block.cols] = part
    x, sigma, between, label, weights, rhs, scale, counts = made
    links = Links(*(counts[k] for k in (0, 2, 3)))
    return TimeSeries(
        network, x, sigma, between[1:], label, weights, scale, links, rhs, spread, errors, parameters
    )  # fmt: skip


def _checked(network: Network, pairs: Any) -> tuple[int, int]:
    """Return rows and columns."""
    shape = tuple(getattr(pairs, "shape", ()))
    if len(shape) != 3 or shape[0] != network.pairs.shape[0]:
        message = f"pairs must be ({network.pairs.shape[0]}, rows, cols), one layer per pair, instead got {shape}"
        raise InputError(message)
    return int(shape[1]), int(shape[2])


def per_image(image_sigma: ArrayLike, dates: int) -> NDArray[np.float64]:
    """Return one standard error for each of some dates."""
    values = np.asarray(image_sigma, np.float64)
    if values.shape not in {(), (dates,)} or not (np.isfinite(values) & (values >= 0)).all():
        message = f"image_sigma must be one number or one for each of {dates} dates, at least 0, instead got {values}"
        raise ConfigError(message)
    return np.array(np.broadcast_to(values, (dates,)))


def _as_cube(sigma: Any, pairs: int, shape: tuple[int, int]) -> Any:
    """Return standard errors with three axes; those of the posts may have length 1."""
    given = tuple(np.shape(sigma))
    if given in {(), (pairs,)}:
        return np.broadcast_to(np.asarray(sigma, np.float64), (pairs,)).reshape(pairs, 1, 1)
    if given not in {(pairs, *shape), (pairs, 1, 1)}:
        message = f"sigma must be one number, ({pairs},) or {(pairs, *shape)}, instead got the shape {given}"
        raise InputError(message)
    return sigma


def _empty(network: Network, shape: tuple[int, int], *, smooth: bool) -> tuple[Any, ...]:
    """Room for all results, in the order in which the kernel has them."""
    dates, pairs = network.dates.size, network.pairs.shape[0]
    return (
        np.empty((dates, *shape), np.float32),
        np.empty((dates, *shape), np.float32),
        np.empty((dates, *shape), np.float32),
        np.empty((dates, *shape), np.int8),
        np.empty((pairs, *shape), np.float32),
        np.empty((dates, *shape), np.float64) if smooth else None,
        np.empty(shape, np.float32),
        np.empty((4, *shape), np.int32),
    )


def _invert_block(  # noqa: PLR0917  all but the last are filled in beforehand
    network: Network,
    pairs: Any,
    sigma: Any,
    valid: Any,
    image_sigma: NDArray[np.float64],
    parameters: InversionParameters,
    block: Block,
) -> tuple[NDArray[Any], ...]:
    """Invert the posts of a block."""
    n, dates = network.pairs.shape[0], network.dates.size
    values = block_of(pairs, block)
    if valid is not None:
        values[~np.asarray(valid[:, block.rows, block.cols], bool).reshape(n, -1)] = np.nan
    spread = sigma_of(sigma, block)
    posts = values.shape[1]
    many = np.empty((3, dates, posts))
    outs = (*many, np.empty((dates, posts), np.int8), np.empty((n, posts), np.float32), np.empty((dates, posts)),
            np.empty(posts, np.float32), np.empty((4, posts)))  # fmt: skip
    bands = bands_of(network.pairs, dates, order=parameters.smooth)
    smooth = _smoothness(network, parameters, bands)
    run_invert(values, spread, network.pairs, *bands, smooth, parameters.options(), image_sigma**2, outs)
    with np.errstate(invalid="ignore"):
        many[1:] = np.sqrt(np.maximum(many[1:], 0))
    return tuple(part.reshape(*part.shape[:-1], *block.shape) for part in outs)


def block_of(cube: Any, block: Block) -> NDArray[np.float64]:
    """Return the posts of a block as (layers, posts), a copy."""
    part = np.array(cube[:, block.rows, block.cols], np.float64, order="C")
    return part.reshape(part.shape[0], -1)


def sigma_of(sigma: Any, block: Block) -> NDArray[np.float64]:
    """Return the standard errors of a block as (pairs, posts), or (pairs, 1) where all posts have the same."""
    if sigma.shape[1:] == (1, 1):
        return np.array(sigma, np.float64).reshape(-1, 1)
    return block_of(sigma, block)


def _smoothness(network: Network, parameters: InversionParameters, bands: Bands) -> NDArray[np.float64]:
    """Lay out the squares of the differences of velocity that shall be little, in the rows of the matrix."""
    order, dates = parameters.smooth, network.dates.size
    if not order or parameters.roughness is None:
        return np.empty(0)
    if dates < order + 2:
        raise ConfigError(f"smooth {order} needs at least {order + 2} dates, instead got {dates}")
    change = np.diff(np.eye(dates), axis=0) / np.diff(network.days)[:, None]  # velocities of the intervals
    change = np.diff(change, n=order, axis=0) / parameters.roughness
    full = change.T @ change
    first, start = bands
    out = np.empty(start[-1])
    for k in range(dates):
        out[start[k] : start[k + 1]] = full[k, first[k] : k + 1]
    return out


def _typical(network: Network, pairs: Any, valid: Any, parameters: InversionParameters) -> float:
    """Return one standard error for all pairs, from how those of some posts close.

    Raises
    ------
    InputError
        No post has more pairs than its dates need.
    """
    rows, cols = _checked(network, pairs)
    step = max(1, int(np.sqrt(rows * cols / _SAMPLE)))
    some = slice(step // 2, None, step) if min(rows, cols) > step else slice(None)
    values = np.array(pairs[:, some, some], np.float64)
    if valid is not None:
        values[~np.asarray(valid[:, some, some], bool)] = np.nan
    plainly = parameters.model_copy(update={"smooth": 0, "roughness": None, "confidence": 0.0})
    unit = float(np.nanmedian(np.abs(values))) if np.isfinite(values).any() else 1.0
    block = Block(slice(0, values.shape[1]), slice(0, values.shape[2]))
    errors = np.zeros(network.dates.size)
    given = _as_cube(unit or 1.0, network.pairs.shape[0], values.shape[1:])
    *_, scale, counts = _invert_block(network, values, given, None, errors, plainly, block)
    checked = counts[2] > 0
    if not checked.any():
        raise InputError(
            "the pairs of no post close on each other, so nothing is known of their noise",
            advice="give sigma, or add pairs",
        )
    return max(float(np.median(scale[checked])) * (unit or 1.0), 1e-9)
