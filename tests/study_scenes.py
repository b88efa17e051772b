"""Small scenes of one place at several dates: ground that moves evenly, 0.6 rows down and 0.35 columns left a day."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
import yaml
from affine import Affine
from scipy import ndimage

SHAPE = 96, 128
RATE = 0.06, -0.035
"""Rows and columns a day, px."""
TALL = Affine(10, 0, 600_000, 0, -20, 4_950_000)
"""Pixels of 10 m x 20 m."""
DAYS = 1, 11, 21, 31
"""Of January 2024."""
CHIP = {"chip": 24, "step": 24, "search": 4}


def write_scene(folder: Path, day: int, seed: int = 4, shape: tuple[int, int] = SHAPE) -> Path:
    """Write the scene of a day."""
    rng = np.random.default_rng(seed)
    ground = ndimage.gaussian_filter(rng.normal(size=(shape[0] + 40, shape[1] + 40)), 1.2)
    moved = ndimage.shift(ground, (RATE[0] * day, RATE[1] * day), order=5)[20:-20, 20:-20]
    noise = np.random.default_rng(day).normal(size=shape) * 0.01
    pixels = np.clip(2000 + 4000 * (moved + noise), 1, 65535).astype(np.uint16)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"scene_202401{day:02}.tif"
    profile = {"driver": "GTiff", "height": shape[0], "width": shape[1], "count": 1, "dtype": "uint16", "nodata": 0,
               "crs": "EPSG:32632", "transform": TALL, "compress": "deflate"}  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        file.write(pixels, 1)
    return path


def write_study(folder: Path, days=DAYS, *, seed: int = 4, **blocks) -> Path:
    """Write scenes and the file of their study."""
    for day in days:
        write_scene(folder / "scenes", day, seed)
    values = {
        "scenes": {"files": ["scenes/*.tif"]},
        "pairs": {"kind": "days", "max_days": 20, "search_days": None},
        "track": {"parameters": dict(CHIP), "gross": "none", "quicklook": False},
        "stack": {"pictures": False, "formats": ["cog"]},
    } | blocks
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def begun(results: Path) -> dict[str, int]:
    """How often each pair, scene and series was begun, by its log."""
    logs = sorted((results / "logs").glob("*.log"))
    return {log.stem: log.read_text(encoding="utf-8").count(" begun: ") for log in logs}


def rasters(results: Path) -> dict[str, bytes]:
    """Content of all rasters of pairs and series."""
    return {str(path.relative_to(results)): path.read_bytes() for path in sorted(results.glob("*/**/*.tif"))}
