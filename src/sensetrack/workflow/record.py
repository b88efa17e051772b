"""The run record: what went in, how, and what came out."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict
from functools import lru_cache
from importlib import metadata
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

import sensetrack
from sensetrack.grid import crs_name
from sensetrack.ot.interfaces import Flag
from sensetrack.products.layers import SIGN_RULE, days

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sensetrack.ot.interfaces import ImagePair, OffsetField
    from sensetrack.workflow.config import TrackConfig
    from sensetrack.workflow.pipeline import Track

_LIBRARIES = ("numpy", "scipy", "numba", "scikit-image", "opencv-python-headless", "rasterio", "pyproj")


def run_record(
    config: TrackConfig,
    inputs: list[Path],
    images: ImagePair,
    result: Track,
    notes: list[str],
    *,
    products: Sequence[dict[str, Any] | None] = (),
) -> dict[str, Any]:
    """Gather everything needed to understand and repeat a run, as plain values.

    `products` says of the first inputs what product each is, None for a plain file.
    """
    grid = result.offsets.grid
    configuration = config.to_dict()
    configuration["parameters"] = config.matcher().to_dict()
    return {
        "configuration": configuration,
        "inputs": [
            {"path": str(path), **checksum(path)} | ({} if product is None else {"product": product})
            for path, product in zip_longest(inputs, products)
        ],
        "acquired": [
            None if image.acquired is None else image.acquired.isoformat()
            for image in (images.reference, images.secondary)
        ],
        "dt_days": days(images.dt),
        "versions": versions(),
        "chosen": config.matcher().chosen,
        "sign_rule": SIGN_RULE,
        "seed": None,
        "grid": {
            "posts": list(grid.shape),
            "step_px": list(result.offsets.step),
            "first_post_px": list(result.offsets.start),
            "image_px": list(images.grid.shape),
            "crs": None if grid.crs is None else crs_name(grid.crs),
            "crs_units_per_ground_metre": list(grid.grid_scale) if grid.georeferenced else None,
            "unit": "m" if grid.georeferenced else "px",
        },
        "coregistration": None if result.coregistration is None else asdict(result.coregistration),
        "gross": asdict(result.gross),
        "bias": None if result.bias is None else asdict(result.bias),
        "statistics": statistics(result),
        "seconds": dict(result.seconds),
        "warnings": notes,
    }


def versions() -> dict[str, str]:
    """Versions of the package and of the libraries that compute."""
    return {"sensetrack": sensetrack.__version__, "python": platform.python_version(), **_installed()}


@lru_cache(maxsize=1)
def _installed() -> dict[str, str]:
    return {name: metadata.version(name) for name in _LIBRARIES}


def statistics(result: Track) -> dict[str, Any]:
    """Numbers about the posts."""
    offsets = result.offsets
    good = offsets.good
    out: dict[str, Any] = {
        "posts": int(good.size),
        "good_share": float(good.mean()),
        "flag_shares": flag_shares(offsets),
        "median_offset_px": [_median(offsets.d_row[good]), _median(offsets.d_col[good])],
        "median_magnitude_px": _median(offsets.magnitude[good]),
    }
    if result.displacement is not None:
        moved = result.displacement
        out["median_displacement_m"] = [_median(moved.dx[good]), _median(moved.dy[good])]
        out["median_magnitude_m"] = _median(moved.magnitude[good])
        out["largest_magnitude_m"] = float(moved.magnitude[good].max()) if good.any() else None
    return out


def cautions(record: dict[str, Any]) -> list[str]:
    """Return what is to be said of motion that was measured on such products."""
    said = [item["product"].get("caution") for item in record["inputs"] if "product" in item]
    return list(dict.fromkeys(text for text in said if text))


def flag_shares(offsets: OffsetField) -> dict[str, float]:
    """Share of posts under each flag that tracking may raise."""
    raised = [flag for flag in Flag if flag <= Flag.OUT_OF_AOI or flag == Flag.INCONSISTENT]
    return {str(flag.name): float(np.mean((offsets.flags & flag.bit) > 0)) for flag in raised}


def _median(values: Any) -> float | None:
    return float(np.median(values)) if values.size else None


def checksum(path: Path) -> dict[str, str]:
    """Checksum of a file; for the folder of a product that of its manifest, which has those of all its files."""
    manifest = path / "manifest.safe"
    of = manifest if manifest.is_file() else path
    with of.open("rb") as file:
        found = {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    return found if of is path else found | {"sha256_of": manifest.name}


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write the record as JSON; NaN, which JSON does not know, becomes null."""
    path.write_text(json.dumps(_plain(record), indent=2) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
