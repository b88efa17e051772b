"""Which pairs of a stack are any good, what the images' noise is, and the inversion of both components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import InputError, SenseTrackWarning
from sensetrack.notices import warn
from sensetrack.stack.invert import invert
from sensetrack.stack.motion import fit_motion, image_noise
from sensetrack.stack.quality import agreed, checked, closure, pair_quality

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sensetrack.blocks import Mapper
    from sensetrack.stack.invert import TimeSeries
    from sensetrack.stack.motion import Motion
    from sensetrack.stack.network import Network
    from sensetrack.stack.quality import Closure, PairQuality
    from sensetrack.workflow.stack_config import StackConfig
    from sensetrack.workflow.stack_inputs import Pairs

_SAMPLE = 20_000
"""Posts by which pairs are judged and the noise of images is found."""
_LEAST_STABLE = 20
"""Posts on stable ground by which the noise of images is found; all posts where there are fewer."""
_FEW = 0.5
"""Share of what the best pairs measure, below which a pair is left out."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What is found out at a sample of posts."""

    kept: NDArray[np.bool_]
    why: tuple[str, ...]
    sigma: tuple[Any, Any]
    noise: list[NDArray[np.float64]]
    quality: list[PairQuality]
    closure: list[Closure]


def judge(pairs: Pairs, config: StackConfig, mapper: Mapper) -> Judged:
    """Judge pairs, and find the noise of images, at a sample of posts."""
    step = max(1, round(float(np.sqrt(pairs.shape[0] * pairs.shape[1] / _SAMPLE))))
    some = slice(step // 2, None, step) if min(pairs.shape) > step else slice(None)
    moved, sigma = pairs.part(some, some)
    net, kept = pairs.network, np.ones(len(pairs.network.pairs), bool)
    plain = config.model_copy(update={"inversion": config.inversion.model_copy(update={"smooth": 0})})
    none = [np.zeros(net.dates.size)] * 2
    series, sigma = solved(net, moved, sigma, kept, none, plain, mapper)
    quality = [pair_quality(one, cube) for one, cube in zip(series, moved, strict=True)]
    around = [closure(net, cube) for cube in moved]
    why = _reasons(quality) if config.drop_poor else ("",) * kept.size
    poor = np.array([bool(text) for text in why])
    if poor.any() and not poor.all():
        kept = ~poor
        series, _ = solved(net, moved, sigma, kept, none, plain, mapper)
    else:
        if poor.any():
            warn("all pairs look poor; none is left out", SenseTrackWarning, stacklevel=2)
        why = ("",) * kept.size
    where = None if pairs.stable is None else pairs.stable[some, some]
    noise = _noises(series, config, where)
    given = [found if whole is None else whole for found, whole in zip(sigma, pairs.sigma, strict=True)]
    return Judged(kept, why, (given[0], given[1]), noise, quality, around)


def _reasons(quality: list[PairQuality]) -> tuple[str, ...]:
    """Say why each pair is to be left out; empty where it is not."""
    out = []
    usual = [float(np.nanmedian(one.nmad)) if np.isfinite(one.nmad).any() else np.nan for one in quality]
    best = [float(np.quantile(one.measured, 0.9)) for one in quality]
    poor = [
        one.poor(measured=_FEW) if np.isfinite(one.nmad).any() else one.measured < _FEW * most
        for one, most in zip(quality, best, strict=True)
    ]
    for number in range(quality[0].measured.size):
        said = ""
        for one, is_poor, most, normal in zip(quality, poor, best, usual, strict=True):
            measured, doubtful, nmad = one.measured[number], one.doubtful[number], one.nmad[number]
            if said or not is_poor[number]:
                continue
            if measured < _FEW * most:
                said = f"trusted at {100 * measured:.0f} % of the posts, the best pairs at {100 * most:.0f} %"
            elif np.isnan(nmad):
                continue  # no other pair checks this one
            elif doubtful > _FEW:
                said = f"other pairs contradict it at {100 * doubtful:.0f} % of its posts"
            else:
                said = f"differs from the series by {nmad:.3g} (NMAD), a usual pair by {normal:.3g}"
        out.append(said)
    return tuple(out)


def _noises(
    series: list[TimeSeries], config: StackConfig, where: NDArray[np.bool_] | None
) -> list[NDArray[np.float64]]:
    """Return the noise of each image, for both components."""
    dates = series[0].network.dates.size
    if isinstance(config.image_noise, float):
        return [np.full(dates, config.image_noise)] * 2
    if config.image_noise == "none":
        return [np.zeros(dates)] * 2
    usable = None if where is None or (where & (series[0].links.pairs > 0)).sum() < _LEAST_STABLE else where
    try:
        each = config.image_noise == "per_date"
        return [image_noise(one, config.motion, per_date=each, where=usable) for one in series]
    except InputError as error:
        text = f"the noise that the pairs of an image share is not known, and taken as 0: {error.cause}"
        warn(text, SenseTrackWarning, stacklevel=2)
        return [np.zeros(dates)] * 2


def solved(  # noqa: PLR0917  private, and all of it is needed
    network: Network,
    moved: Sequence[Any],
    sigma: Sequence[Any],
    kept: NDArray[np.bool_],
    noise: Sequence[NDArray[np.float64]],
    config: StackConfig,
    mapper: Mapper = map,
) -> tuple[list[TimeSeries], tuple[Any, Any]]:
    """Invert both components; the second time, where asked for, without what either has found out."""
    valid = np.broadcast_to(kept[:, None, None], moved[0].shape)

    def once(usable: Any, spreads: Sequence[Any]) -> list[TimeSeries]:
        return [
            invert(network, cube, spread, valid=usable, image_sigma=errors, parameters=config.inversion, mapper=mapper)
            for cube, spread, errors in zip(moved, spreads, noise, strict=True)
        ]

    found = once(valid, sigma)
    # Where no standard errors are given, those that were found count from now on.
    used = [
        float(one.pair_sigma[0, 0, 0]) if spread is None else spread for one, spread in zip(found, sigma, strict=True)
    ]
    if config.agreed and config.inversion.loss != "none":
        found = once(agreed(found), used)
    return found, (used[0], used[1])


def fitted(
    moved: Sequence[Any],
    sigma: Sequence[Any],
    series: Sequence[TimeSeries],
    noise: Sequence[NDArray[np.float64]],
    config: StackConfig,
) -> list[Motion]:
    """Fit the motion of both components; where a date hangs by one pair that nothing checks, without that pair.

    The series keep it: who looks at them sees its date, and a velocity is not spoilt by it.
    """
    found = [fit_motion(one, config.motion) for one in series]
    network, used = series[0].network, (series[0].weights > 0) & (series[1].weights > 0)
    sure = checked(network, used)
    # In a plain chain nothing is checked, and the pairs at its ends are no worse than the others.
    at = (used & ~sure).any(axis=0) & (series[0].links.spare > 0)
    if not at.any():
        return found
    valid = sure[:, at][:, None]
    for motion, cube, spread, errors in zip(found, moved, sigma, noise, strict=True):
        some = spread[:, at][:, None] if np.ndim(spread) == 3 else spread
        again = invert(
            network,
            np.asarray(cube)[:, at][:, None],
            some,
            valid=valid,
            image_sigma=errors,
            parameters=config.inversion,
        )
        better = fit_motion(again, config.motion)
        motion.values[..., at], motion.covariance[..., at] = better.values[..., 0, :], better.covariance[..., 0, :]
        motion.misfit[at] = better.misfit[0]
    return found
