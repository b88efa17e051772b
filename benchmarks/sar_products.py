"""Sentinel-1 products and elevation models that sar.py measures on: metadata and places are right, pixels repeat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

SCENE = 16685, 25788
"""Lines and samples of a whole GRD."""
PIXEL = 10.0
"""Of maps, m."""
PLACE = 8.0, 46.4
"""Longitude and latitude in the middle of all products, degrees."""
CRS = "EPSG:32632"
"""UTM zone of the place."""
LOOKS, LEVEL = 4.4, 120.0
"""Of the speckle of a GRD, and its amplitude."""
LINES = 512
"""Lines written together."""


def height(lon: Any, lat: Any) -> Any:
    """Return heights of the ground, m: hills of 600 m, some kilometres wide."""
    return 1000 + 300 * np.sin(2 * np.pi * lon / 0.07) * np.cos(2 * np.pi * lat / 0.05)


def write_product(folder: Path, shape: tuple[int, int], kind: str = "GRD") -> Path:
    """Write a product quickly: metadata of the simulator, pixels of speckle that repeats itself."""
    from sensetrack.sar.simulate import Scene
    from sensetrack.sentinel.simulate_s1 import S1Recipe, plan
    from sensetrack.sentinel.simulate_s1 import write_product as write

    bursts = 2 if kind == "SLC" else 1
    recipe = S1Recipe(product=kind, place=PLACE, lines=shape[0], samples=shape[1], swaths=("IW1",), bursts=bursts)

    def speckle(_draw: Callable[..., Any], _bursts: Any) -> Iterator[np.ndarray]:
        rng, left = np.random.default_rng(5), bursts * shape[0]
        if kind == "SLC":
            tile = np.rint(LEVEL / 1.4 * rng.standard_normal((LINES, shape[1], 2), np.float32)).astype(np.int16)
        else:
            tile = np.rint(LEVEL * np.sqrt(rng.gamma(LOOKS, 1 / LOOKS, (LINES, shape[1])))).astype(np.uint16)
        while left > 0:
            yield np.roll(tile, int(rng.integers(shape[1])), axis=1)[:left]
            left -= LINES

    return write(folder, Scene(height=height), plan(recipe), mapper=speckle)


def write_dem(path: Path, size: int) -> Path:
    """Write heights above the ellipsoid on the pixels of a square map; sarsen's maps are those of its heights."""
    from pyproj import Transformer

    x, y = Transformer.from_crs(4326, CRS, always_xy=True).transform(*PLACE)
    left, top = (PIXEL * round(part / PIXEL + sign * size / 2) for part, sign in ((x, -1), (y, 1)))
    return _write_heights(path, CRS, (left, top, PIXEL), (size, size))


def write_wide_dem(path: Path) -> Path:
    """Write heights of all that a whole scene shows, as elevation models come: a second of arc apart."""
    step = 1 / 3600
    return _write_heights(path, "EPSG:4979", (PLACE[0] - 2.2, PLACE[1] + 1.5, step), (10_800, 15_840))


def _write_heights(path: Path, crs: str, corner: tuple[float, float, float], shape: tuple[int, int]) -> Path:
    import rasterio
    from affine import Affine
    from pyproj import Transformer
    from rasterio.windows import Window

    left, top, step = corner
    convert = Transformer.from_crs(crs, 4326, always_xy=True).transform
    profile = {
        "driver": "GTiff", "height": shape[0], "width": shape[1], "count": 1, "dtype": "float32", "crs": crs,
        "transform": Affine(step, 0, left, 0, -step, top), "tiled": True, "blockxsize": 512, "blockysize": 512,
        "BIGTIFF": "IF_SAFER",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        for row in range(0, shape[0], 512):
            rows = np.arange(row, min(row + 512, shape[0]))
            x, y = np.meshgrid(left + step * (np.arange(shape[1]) + 0.5), top - step * (rows + 0.5))
            lon, lat = (x, y) if crs == "EPSG:4979" else convert(x, y)
            file.write(height(lon, lat).astype(np.float32), 1, window=Window(0, row, shape[1], rows.size))
    return path
