"""The record of a pair of SLCs: what went in, how, and what came out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.grid import crs_name
from sensetrack.ot.fields import Flag
from sensetrack.products.layers import SIGN_RULE
from sensetrack.workflow.record import checksum, flag_shares, versions

if TYPE_CHECKING:
    from sensetrack.grid import Grid
    from sensetrack.sar.merge import Seam
    from sensetrack.workflow.slc import Slc
    from sensetrack.workflow.slc_bursts import Measured
    from sensetrack.workflow.slc_config import SlcConfig

RADAR_SIGNS = "slant_range > 0: away from the radar; along_track > 0: in flight direction; dx > 0: east, dy > 0: north"


def slc_record(config: SlcConfig, result: Slc, grid: Grid, notes: list[str]) -> dict[str, Any]:
    """Gather everything needed to understand and repeat a run, as plain values."""
    job = result.job
    configuration = config.to_dict()
    configuration["parameters"] = {
        key: value for key, value in result.settings.to_dict().items() if key not in configuration
    }
    orbits = [product.about()["orbit"] for product in (job.reference, job.secondary)]
    return {
        "configuration": configuration,
        "inputs": [
            {"path": str(product.path), **checksum(product.path), "product": product.about()}
            for product in (job.reference, job.secondary)
        ]
        + [{"path": str(path), **checksum(path)} for path in _others(config)],
        "acquired": [product.info.start.isoformat() for product in (job.reference, job.secondary)],
        "dt_days": job.days,
        "versions": versions(),
        "sign_rule": SIGN_RULE,
        "radar_signs": RADAR_SIGNS,
        "seed": None,
        "orbits": " and ".join(dict.fromkeys(orbits)),
        "heights": job.heights,
        "assumption": config.assumption,
        "stated": result.displacement.stated,
        "matching": result.settings.to_dict(),
        "bursts": [_burst(one) for one in result.bursts],
        "seams": [_seam(seam) for seam in result.seams],
        "frame": _frame(result),
        "grid": {"rows_columns": list(grid.shape), "crs": crs_name(grid.crs), "pixel": abs(float(grid.transform.a))},
        "bias": None if result.bias is None else asdict(result.bias),
        "statistics": statistics(result),
        "seconds": dict(result.seconds),
        "warnings": notes,
    }


def _seam(seam: Seam) -> dict[str, Any]:
    """Say how well two bursts agree; JSON has no NaN."""
    values = {
        name: [None if np.isnan(part) else round(part, 5) for part in getattr(seam, name)]
        for name in ("median", "nmad")
    }
    return {"bursts": [seam.first + 1, seam.second + 1], "posts": seam.posts, **values}


def _frame(result: Slc) -> dict[str, Any]:
    """Say where the posts of the radar image are."""
    field = result.field
    radar = field.radar
    return {
        "posts": list(field.shape),
        "lines": [float(field.lines[0]), field.field.step[0]],
        "samples": [float(field.samples[0]), field.field.step[1]],
        "epoch": radar.epoch.isoformat(),
        "first_time": radar.first_time,
        "line_interval": radar.line_interval,
        "near_range": radar.near_range,
        "range_spacing": radar.range_spacing,
        "wavelength": radar.wavelength,
        "look": "right" if radar.look > 0 else "left",
        "pass": radar.pass_direction,
    }


def _others(config: SlcConfig) -> list[Path]:
    texts = (config.dem, config.orbits, config.stable_ground, config.unstable_ground, config.aoi)
    paths = [Path(text.partition("|")[0]) for text in texts if isinstance(text, str) and len(text) < 4096]
    return [path for path in paths if path.is_file()]


def _burst(one: Measured) -> dict[str, Any]:
    pair, field = one.pair, one.part.field
    return {
        "id": pair.id,
        "swath": pair.key,
        "burst": [pair.first + 1, pair.second + 1],
        "posts": list(one.part.posts.posts),
        "good_share": float(field.good.mean()),
        "coherent_share": float(one.part.coherent.mean()),
        "seconds": round(one.seconds, 3),
        "resumed": one.resumed,
    }


def statistics(result: Slc) -> dict[str, Any]:
    """Numbers about the posts in the area of interest; shares of flags are of all posts."""
    field, moved = result.field.field, result.displacement
    good = moved.flags == 0
    wanted = (field.flags & Flag.OUT_OF_AOI.bit) == 0
    size = np.hypot(moved.dx, moved.dy)[good]
    return {
        "posts": int(wanted.sum()),
        "good_share": float(good[wanted].mean()) if wanted.any() else 0.0,
        "coherent_share": float(result.field.coherent[wanted].mean()) if wanted.any() else 0.0,
        "flag_shares": flag_shares(field),
        "median_offset_px": [_median(field.d_row[good]), _median(field.d_col[good])],
        "median_slant_range_m": _median(moved.slant_range[good]),
        "median_along_track_m": _median(moved.along_track[good]),
        "median_displacement_m": [_median(moved.dx[good]), _median(moved.dy[good])],
        "largest_magnitude_m": float(size.max()) if size.size else None,
    }


def _median(values: Any) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else None
