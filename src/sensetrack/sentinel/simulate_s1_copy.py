"""The numbers of a real Sentinel-1 SLC, for synthetic products that are taken as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import ConfigError
from sensetrack.sar.simulate import Band
from sensetrack.sentinel.simulate_s1_plan import S1Plan, S1Recipe, SwathPlan

if TYPE_CHECKING:
    from sensetrack.sentinel.s1 import Sentinel1
    from sensetrack.sentinel.s1_types import S1Swath


def plan_of(
    product: Sentinel1,
    *,
    swaths: tuple[str, ...] = ("iw1/vv",),
    bursts: slice = slice(None),
    samples: slice = slice(None),
    noise: float = -22.0,
) -> S1Plan:
    """Take the numbers of a product from the annotation of a real SLC: orbit, times, Doppler and bursts.

    Parameters
    ----------
    product : Sentinel1
        Its measurements are not read, and need not be there.
    swaths : tuple of str
        Keys of `product.swaths`, of one polarisation.
    bursts, samples : slice
        Which bursts, and which samples of their lines.
    noise : float
        As in `S1Recipe`.
    """
    info = product.info
    if info.product != "SLC":
        raise ConfigError(f"only an SLC is taken as a model, instead got a {info.product}", path=product.path)
    missing = [name for name in swaths if name not in product.swaths]
    if missing:
        raise ConfigError(f"has no swath {missing[0]}, but {', '.join(product.swaths)}", path=product.path)
    found = [product.swaths[name] for name in swaths]
    grid = found[0].radar_grid
    recipe = S1Recipe(
        platform=info.platform[-1], start=info.start, ascending=info.orbit_pass == "ascending",
        swaths=tuple(swath.info.swath for swath in found), polarisations=(found[0].info.polarisation,), noise=noise,
        ipf=info.ipf, absolute_orbit=info.absolute_orbit, relative_orbit=info.relative_orbit, datatake=info.datatake,
    )  # fmt: skip
    parts = tuple(_copied(swath, bursts, samples) for swath in found)
    return S1Plan(recipe, grid.epoch, grid.orbit, info.node_time, parts)


def _copied(swath: S1Swath, which: slice, samples: slice) -> SwathPlan:
    info, bursts = swath.info, swath.bursts[which]
    start, stop, _ = samples.indices(info.samples)
    if not bursts or info.range_focusing is None or info.azimuth_focusing is None:
        raise ConfigError(f"{swath.name} must have bursts and bandwidths to be taken as a model")
    valid = []
    for burst in bursts:
        top, bottom = burst.valid_lines
        left, right = burst.first_valid[top:bottom].max(), burst.last_valid[top:bottom].min()
        valid.append((top, bottom - 1, max(int(left) - start, 0), min(int(right), stop - 1) - start))
    range_, azimuth = info.range_focusing, info.azimuth_focusing

    def records(polynomials: Any) -> tuple[tuple[float, float, tuple[float, ...]], ...]:
        return tuple((one.time, one.t0, tuple(map(float, one.coefficients))) for one in polynomials)

    return SwathPlan(
        info.swath, tuple(burst.time for burst in bursts), info.line_interval, bursts[0].lines,
        info.range_time + start / info.range_sampling_rate, stop - start,
        Band(1 / info.line_interval, azimuth.processing_bandwidth, azimuth.coefficient),
        Band(info.range_sampling_rate, range_.processing_bandwidth, range_.coefficient),
        steering=float(np.degrees(info.steering_rate)), doppler=records(swath.doppler),
        fm_rates=records(swath.fm_rates), valid=tuple(valid),
        burst_ids=tuple(burst.burst_id or 0 for burst in bursts),
    )  # fmt: skip
