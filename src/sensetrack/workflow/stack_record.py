"""The record of a stack: what went in, how, and what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.grid import crs_name
from sensetrack.products.layers import SIGN_RULE
from sensetrack.workflow.record import versions
from sensetrack.workflow.stack_pictures import VELOCITY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.workflow.stack_points import Told
    from sensetrack.workflow.stacking import Stacked


def stack_record(stacked: Stacked, told: Told | None, notes: list[str]) -> dict[str, Any]:
    """Gather everything needed to understand and repeat a stack, as plain values."""
    pairs, network, grid = stacked.pairs, stacked.network, stacked.pairs.grid
    return {
        "configuration": stacked.config.to_dict(),
        "versions": versions(),
        "sign_rule": SIGN_RULE,
        "unit": pairs.unit,
        "components": list(pairs.names),
        "grid": {
            "posts": list(grid.shape),
            "crs": None if grid.crs is None else crs_name(grid.crs),
            "transform": None if grid.affine is None else list(grid.affine)[:6],
            "crs_units_per_ground_metre": list(grid.grid_scale) if grid.georeferenced else None,
        },
        "dates": [str(one) for one in np.datetime_as_string(network.dates, "s")],
        "pairs": [_pair(stacked, number) for number in range(len(network.pairs))],
        "image_noise": {one.name: _plain(one.image_sigma) for one in stacked.components},
        "closure": {
            one.name: {
                "triplets": len(one.closure.triplets),
                "nmad": _median(one.closure.nmad),
                "worst": _largest(one.closure.nmad),
            }
            for one in stacked.components
        },
        "statistics": statistics(stacked),
        "points": [] if told is None else [_point(stacked, told, k) for k in range(len(told.names))],
        "warnings": notes,
    }


def _pair(stacked: Stacked, number: int) -> dict[str, Any]:
    pairs = stacked.pairs
    first, second = pairs.network.pairs[number]
    dates = np.datetime_as_string(pairs.network.dates, "s")
    out: dict[str, Any] = {
        "name": pairs.network.names[number],
        "reference": str(dates[first]),
        "secondary": str(dates[second]),
        "days": float(pairs.network.spans[number]),
        "left_out": not bool(stacked.kept[number]),
        "why": stacked.why[number] or None,
        "measured": float(np.isfinite(pairs.moved[0][number]).mean()),
    }
    if pairs.folders:
        folder = pairs.folders[number]
        out |= {"folder": str(folder.path), "scenes": list(folder.scenes)}
    if pairs.bias is not None:
        out["removed"] = [float(one) for one in pairs.bias[number]]
    for one in stacked.components:
        quality = one.quality
        out[one.name] = {
            "trusted": float(quality.measured[number]),
            "doubtful": float(quality.doubtful[number]),
            "nmad": float(quality.nmad[number]),
            "median": float(quality.bias[number]),
        }
    return out


def _point(stacked: Stacked, told: Told, place: int) -> dict[str, Any]:
    row, col = (int(one) for one in told.posts[place])
    grid, unit = stacked.pairs.grid, stacked.pairs.unit
    x, y = (float(one) for one in grid.xy(row, col)) if grid.georeferenced else (col + 0.5, row + 0.5)
    out: dict[str, Any] = {"name": told.names[place], "row": row, "col": col, "x": x, "y": y}
    for one, sigma in zip(stacked.components, stacked.velocity_sigma, strict=True):
        name = VELOCITY[one.name]
        out |= {name: float(one.motion.velocity[row, col]), f"sigma_{name}": float(sigma[row, col])}
    out |= {"speed": float(stacked.speed.value[row, col]), "unit": f"{unit}/day"}
    failure = told.failures[place]
    if failure is not None and failure.significant:
        out["failure"] = {
            "moment": None if failure.moment is None else str(failure.moment),
            "earliest": None if failure.earliest is None else str(failure.earliest),
            "latest": None if failure.latest is None else str(failure.latest),
            "intervals": failure.intervals,
        }
    passed = [one for one in told.passings if one.point == told.names[place] and one.certain is not None]
    out["limits_passed"] = {one.limit: str(one.certain) for one in passed}
    out["above"] = [one.limit for one in passed if one.now]
    return out


def statistics(stacked: Stacked) -> dict[str, Any]:
    """Numbers about the posts."""
    speed, sigma = stacked.speed
    known = np.isfinite(speed)
    return {
        "posts": int(known.size),
        "known_share": float(known.mean()),
        "dates": int(stacked.network.dates.size),
        "pairs": int(stacked.kept.size),
        "pairs_left_out": int((~stacked.kept).sum()),
        "median_velocity": [_median(one) for one in stacked.velocity],
        "median_velocity_sigma": [_median(one) for one in stacked.velocity_sigma],
        "median_speed": _median(speed),
        "largest_speed": _largest(speed),
        "moving_share": float((speed[known] > 3 * sigma[known]).mean()) if known.any() else 0.0,
        "unit": f"{stacked.pairs.unit}/day",
        "dates_without_pairs": _lonely(stacked),
        "posts_with_gaps": int((stacked.links.subnetworks > 1).sum()),
    }


def _lonely(stacked: Stacked) -> list[str]:
    """Return dates all of whose pairs were left out."""
    network = stacked.network
    used = np.isin(np.arange(network.dates.size), network.pairs[stacked.kept])
    return [str(one) for one in np.datetime_as_string(network.dates[~used], "D")]


def _plain(values: NDArray[np.float64]) -> Any:
    """Return one number where all are the same."""
    return float(values[0]) if np.ptp(values) == 0 else [float(one) for one in values]


def _median(values: NDArray[Any]) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else None


def _largest(values: NDArray[Any]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.max()) if known.size else None
