"""A decomposition as files: rasters, their styles, a picture, and the record of how they were made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.grid import crs_name
from sensetrack.pictures.ramps import LENGTH, SIGNED
from sensetrack.products.layers import Layer
from sensetrack.products.slc_layers import write_slc_layers
from sensetrack.sar.map_layers import turn_to_axes
from sensetrack.workflow.decompose_looks import crs_of, places_of
from sensetrack.workflow.record import checksum, versions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.workflow.decompose_config import DecomposeConfig
    from sensetrack.workflow.decompose_looks import Seen
    from sensetrack.workflow.decomposing import Decomposition

AXES = ("east", "north", "up")
DECOMPOSE_FILES = ("decomposed.tif", "decomposed.qml", "quality.tif", "quality.qml", "quicklook.png", "run.json")
"""Every file that may be written."""
SIGNS = "east > 0: to the east; north > 0: to true north; up > 0: upwards; ground metres, whatever the axes of the CRS"
_LOOKS = {"decomposed.tif": ("up", SIGNED), "quality.tif": ("condition", LENGTH)}


def decomposed_layers(result: Decomposition, unit: str) -> list[Layer]:
    """Lay a decomposition out over files."""
    motion = result.motion
    covariance = motion.covariance
    sigma = motion.sigma
    moved = [(name, unit, np.asarray(getattr(motion, name), np.float32)) for name in AXES]
    errors = [(f"sigma_{name}", unit, sigma[k]) for k, name in enumerate(AXES)]
    square = f"{unit}2" if unit == "m" else "m2/day2"
    shared = [
        (f"covariance_{AXES[a]}_{AXES[b]}", square, np.asarray(covariance[a, b], np.float32))
        for a, b in ((0, 1), (0, 2), (1, 2))
    ]
    counts = [(name, "1", np.asarray(values, np.float32)) for name, values in (
        ("rank", motion.rank), ("condition", motion.condition), ("looks", motion.looks), ("ways", result.ways),
        ("misfit", motion.misfit),
    )]  # fmt: skip
    return [
        Layer("decomposed.tif", [*moved, *errors], f"{SIGNS}; sigma: standard error; NaN where looks do not say"),
        Layer(
            "quality.tif",
            [*counts, *shared],
            "rank: directions that are determined, 3 = all; condition: worst over best determined of them, 1 = alike; "
            "looks: how many were there; ways: from how many sides; misfit: residuals in standard errors, 1 = as "
            "expected, NaN where none can be spared; covariance: of the errors of two axes",
        ),
    ]


def write_decomposed(folder: Path, result: Decomposition, config: DecomposeConfig, record: dict[str, Any]) -> None:
    """Write rasters, styles and the picture."""
    from sensetrack.pictures.decomposed import Horizontal, draw_decomposed
    from sensetrack.pictures.qgis import write_styles

    tags = {
        "SOFTWARE": f"sensetrack {record['versions']['sensetrack']}",
        "QUANTITY": config.quantity,
        "SIGNS": SIGNS,
        "INPUTS": [Path(one["path"]).name for one in record["inputs"]],
        "ASSUMPTION": record["stated"],
    }
    layers = decomposed_layers(result, config.unit)
    write_slc_layers(folder, layers, result.grid, tags)
    write_styles(folder, layers, _LOOKS)
    motion = result.motion
    first, last = (f(when for one in result.seen for when in one.pair.dates) for f in (min, max))
    ways = ", ".join(dict.fromkeys(one.way for one in result.seen))
    draw_decomposed(
        folder / "quicklook.png",
        {name: getattr(motion, name) for name in AXES},
        Horizontal(*on_picture(result)),
        result.grid,
        unit=config.unit,
        title=f"{config.quantity.capitalize()}   ·   {first:%Y-%m-%d} to {last:%Y-%m-%d}",
        subtitle=f"{len(result.seen)} folders: {ways}" + ("" if result.surface_sigma is None else "; along the slope"),
    )


def on_picture(result: Decomposition) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return horizontal motion along the columns and against the rows; NaN where east or north is not known."""
    motion, grid = result.motion, result.grid
    known = np.isfinite(motion.east) & np.isfinite(motion.north)
    out = np.full((2, *grid.shape), np.nan, np.float32)
    if known.any():
        (xe, xn), (ye, yn) = turn_to_axes(crs_of(grid), *places_of(grid, *np.nonzero(known)))
        east, north = motion.east[known], motion.north[known]
        out[0, known], out[1, known] = xe * east + xn * north, ye * east + yn * north
    d_row, d_col = grid.from_map(*out)
    tall, wide = grid.pixel_size
    return d_col * wide, -d_row * tall


def decompose_record(config: DecomposeConfig, result: Decomposition, notes: list[str]) -> dict[str, Any]:
    """Gather everything needed to understand and repeat a run, as plain values."""
    grid = result.grid
    stated = "looks are independent, and show one motion at the times between the earliest and the latest image"
    surface = None if result.surface_sigma is None else {"sigma": result.surface_sigma, "unit": config.unit}
    if surface is not None:
        stated += f"; the motion follows the slope of {Path(str(config.dem)).name}"
    return {
        "configuration": config.to_dict(),
        "inputs": [_input(one, sigmas) for one, sigmas in zip(result.seen, result.sigmas, strict=True)]
        + ([{"path": config.dem, **checksum(Path(config.dem))}] if config.dem else []),
        "versions": versions(),
        "signs": SIGNS,
        "stated": stated,
        "surface": surface,
        "seed": None,
        "unit": config.unit,
        "grid": {"rows_columns": list(grid.shape), "crs": crs_name(grid.crs), "pixel_m": list(grid.pixel_size)},
        "statistics": statistics(result),
        "seconds": dict(result.seconds),
        "warnings": notes,
    }


def _input(seen: Seen, sigmas: dict[str, float | None]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "path": str(seen.path),
        **checksum(seen.path / "run.json"),
        "sha256_of": "run.json",
        "kind": seen.kind,
    }
    found |= {"way": seen.way, "looks": list(seen.names), "median_sigma_m": sigmas}
    found |= {"acquired": [when.isoformat() for when in seen.pair.dates], "dt_days": seen.days}
    if seen.kind == "slc":
        angles = seen.read(("incidence", "heading"))
        found |= {f"median_{name}_deg": _median(values) for name, values in angles.items()}
    return found


def statistics(result: Decomposition) -> dict[str, Any]:
    """Numbers about the posts of the map; shares are of those where something was measured."""
    motion = result.motion
    there = result.ways > 0
    total = max(int(there.sum()), 1)
    sigma = motion.sigma
    numbers: dict[str, Any] = {
        "posts": int(there.size),
        "measured": int(there.sum()),
        "rank_shares": [float((motion.rank[there] == rank).sum() / total) for rank in range(4)],
        "condition_median": _median(motion.condition),
        "misfit_rms": _root(motion.misfit),
    }
    for k, name in enumerate(AXES):
        values = getattr(motion, name)
        known = np.isfinite(values)
        numbers[name] = {
            "share": float(known.sum() / total),
            "median": _median(values),
            "lowest": float(values[known].min()) if known.any() else None,
            "highest": float(values[known].max()) if known.any() else None,
            "median_sigma": _median(sigma[k]),
        }
    return numbers


def _median(values: NDArray[Any]) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else None


def _root(values: NDArray[Any]) -> float | None:
    known = values[np.isfinite(values)].astype(np.float64)
    return float(np.sqrt(np.mean(known**2))) if known.size else None
