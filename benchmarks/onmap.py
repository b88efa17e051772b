"""Bring one GRD to a map, by `sensetrack prepare` or by sarsen; print what that took as JSON. Run by sar.py."""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple


class Mapped(NamedTuple):
    """What one map took."""

    pixels: int
    cpu: float
    """Seconds of all threads."""
    wall: float
    """Seconds from opening the product to the finished file."""
    start: float
    """Resident bytes before, with everything loaded and tried once."""
    peak: float
    """Most resident bytes."""

    @property
    def rate(self) -> float:
        """Mpx a CPU second."""
        return self.pixels / self.cpu / 1e6

    def best(self, other: Mapped) -> Mapped:
        """Return the least time and the most memory of two runs."""
        least = {"cpu": min(self.cpu, other.cpu), "wall": min(self.wall, other.wall)}
        return self._replace(**least, start=min(self.start, other.start), peak=max(self.peak, other.peak))


def ours(given: argparse.Namespace, dem: Path, area: Path | None) -> int:
    """Prepare as a user would; return the number of pixels."""
    from sar_products import CRS, PIXEL

    from sensetrack.sentinel.s1 import open_sentinel1
    from sensetrack.sentinel.s1_prepare import S1Config, prepare_sentinel1
    from sensetrack.workflow.executors import threads

    config = S1Config(
        dem=str(dem), vertical="ellipsoid", aoi=area and str(area), crs=CRS, resolution=PIXEL, quantity="beta0",
        method=given.method,
    )  # fmt: skip
    with threads(given.workers) as mapper:
        product = open_sentinel1(given.product)
        _, made, _ = prepare_sentinel1(product, given.output, config, overwrite=True, mapper=mapper)
    return math.prod(made.grid.shape)


def sarsen(given: argparse.Namespace, dem: Path, _area: Path | None) -> int:
    """Do it with sarsen, whose map is always that of the elevation model, on all cores."""
    from sarsen import Sentinel1SarProduct, terrain_correction

    product = Sentinel1SarProduct(str(given.product), "IW/VV")
    return int(terrain_correction(product, str(dem), str(given.output), interp_method=given.method).size)


def mapped(who: str, *paths: Path, method: str, options: tuple[str, ...] = ()) -> Mapped:
    """Bring a product to a map in a new process; paths of product, elevation model, a small one, and the result."""
    command = [sys.executable, __file__, who, *map(str, paths), "--method", method, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{who}, {method}: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
    return Mapped(*json.loads(done.stdout.splitlines()[-1]))


def correlation(first: Path, second: Path) -> float:
    """Return that of two maps where both know something; NaN where they are not of the same pixels."""
    import numpy as np
    import rasterio

    maps = []
    for path in (first, second):
        with rasterio.open(path) as file:
            values = file.read(1)
            maps.append(values if file.transform.e < 0 else values[::-1])
    if maps[0].shape != maps[1].shape:
        return float("nan")
    known = np.isfinite(maps[0]) & np.isfinite(maps[1])
    return float(np.corrcoef(maps[0][known], maps[1][known])[0, 1])


def main() -> None:
    """Do it twice: on a small map first, so that nothing is loaded or compiled while it is watched."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("who", choices=("ours", "sarsen"))
    parser.add_argument("product", type=Path)
    parser.add_argument("dem", type=Path)
    parser.add_argument("small", type=Path, help="elevation model of a small part")
    parser.add_argument("output", type=Path)
    parser.add_argument("--method", default="bilinear")
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--all", action="store_true", help="all that the product shows, not all that the model covers")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    job = ours if given.who == "ours" else sarsen
    job(given, given.small, given.small)
    from machine import Watch, cpu_seconds

    with Watch() as watch:
        wall, cpu = time.perf_counter(), cpu_seconds()
        pixels = job(given, given.dem, None if given.all else given.dem)
        wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    print(json.dumps(Mapped(pixels, cpu, wall, watch.start, watch.peak)))


if __name__ == "__main__":
    main()
