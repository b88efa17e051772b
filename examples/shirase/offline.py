"""The study of Shirase Glacier on two scenes that are simulated, so that it runs anywhere and the truth is known.

    python examples/shirase/offline.py --size small -o shirase-offline

An ice stream moves through a plain that does not; the pair is measured with the configuration of the study, as it
stands in shirase.yaml, and compared with what was put in.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from sensetrack.sar.simulate import Scene
from sensetrack.sentinel.simulate_s1 import S1Recipe, later, plan, write_pair
from sensetrack.workflow.slc import run_slc
from sensetrack.workflow.slc_config import SlcConfig

PLACE = (38.95, -70.15)
"""Longitude and latitude of the middle, degrees."""
SPEED = 5.5
"""Of the ice in the middle of the stream, m/day; Shirase is about as fast at its grounding line."""
TOWARDS = np.radians(-22.0)
"""Direction of the flow, clockwise from north."""
DAYS = 12.0
SIZES = {"small": (2, 330, 1250), "whole": (2, None, None)}
"""Bursts, lines of each, samples; None: as many as a real one has."""
WIDTH = {"small": 1400.0, "whole": 5000.0}
"""Half width of the stream, m."""


def metres(lon, lat):
    """East and north of the middle, m."""
    lon, lat = np.asarray(lon), np.asarray(lat)
    return (lon - PLACE[0]) * 111_480 * np.cos(np.radians(PLACE[1])), (lat - PLACE[1]) * 111_480


def across(lon, lat):
    """Distance from the middle of the stream, m."""
    east, north = metres(lon, lat)
    return east * np.cos(TOWARDS) - north * np.sin(TOWARDS)


def flow(width):
    """Motion of the ice in the time between the scenes: (lon, lat) -> east, north, up in m."""

    def displacement(lon, lat):
        size = SPEED * DAYS * np.exp(-((across(lon, lat) / width) ** 6))
        return size * np.sin(TOWARDS), size * np.cos(TOWARDS), 0 * size

    return displacement


def height(lon, lat):
    """Heights above the ellipsoid, m: a plain with swells a few kilometres long."""
    east, north = metres(lon, lat)
    return 300 + 25 * np.sin(east / 1300) * np.cos(north / 1700) - 0.004 * north


def coherence(width):
    """Ice keeps less of its speckle than rock."""
    return lambda lon, lat: np.where(np.abs(across(lon, lat)) < 1.3 * width, 0.55, 0.8)


def write_dem(path):
    """Write the heights as a GeoTIFF above the ellipsoid."""
    lon, lat = PLACE[0] + np.arange(-3.0, 3.0, 0.002), PLACE[1] + np.arange(0.8, -0.8, -0.001)
    values = height(lon[None] + 0.001, lat[:, None] - 0.0005).astype(np.float32)
    profile = {"driver": "GTiff", "width": lon.size, "height": lat.size, "count": 1, "dtype": "float32"}
    transform = Affine(0.002, 0, lon[0], 0, -0.001, lat[0])
    with rasterio.open(path, "w", crs="EPSG:4979", transform=transform, compress="deflate", **profile) as file:
        file.write(values, 1)
    return path


def simulate(folder, size):
    """Write two products, and the elevation model."""
    there = sorted(folder.glob("*.SAFE"))
    if len(there) == 2:  # by an earlier call
        return *there, folder / "dem.tif"
    bursts, lines, samples = SIZES[size]
    recipe = S1Recipe(
        swaths=("IW2",), polarisations=("HH",), bursts=bursts, lines=lines, samples=samples, place=PLACE, ascending=True
    )
    first, width = plan(recipe), WIDTH[size]
    scene = Scene(height=height, displacement=flow(width), coherence=coherence(width))
    with ThreadPoolExecutor(2) as pool:
        pair = write_pair(folder, scene, first, later(first, days=DAYS, east=60.0), mapper=pool.map)
    return *pair, write_dem(folder / "dem.tif")


def compare(folder, size):
    """Return numbers about what was found, and what was put in: metres along x and y of the map."""
    import pyproj

    with rasterio.open(folder / "displacement.tif") as file:
        dx, dy = file.read(1), file.read(2)
        col, row = np.meshgrid(np.arange(file.width) + 0.5, np.arange(file.height) + 0.5)
        x, y = file.transform @ (col, row)
        to_lonlat = pyproj.Transformer.from_crs(file.crs, 4326, always_xy=True)
    lon, lat = to_lonlat.transform(x, y)
    east, north, _ = flow(WIDTH[size])(lon, lat)
    # Polar stereographic: north is away from the pole, which is at the origin of the map.
    turn = np.radians(lon)
    true_dx, true_dy = (
        east * np.cos(turn) + north * np.sin(turn),
        -east * np.sin(turn) + north * np.cos(turn),
    )
    apart = np.abs(across(lon, lat)) / WIDTH[size]
    out = {}
    # In between a chip sees both.
    for name, where in (("ice", apart < 0.35), ("rock", apart > 1.7)):
        known = where & np.isfinite(dx)
        off = [(found - truth)[known] for found, truth in ((dx, true_dx), (dy, true_dy))]
        out[name] = {
            "posts": int(known.sum()),
            "true": [float(np.median(truth[known])) for truth in (true_dx, true_dy)],
            "found": [float(np.median(found[known])) for found in (dx, dy)],
            "bias": [float(np.median(part)) for part in off],
            "nmad": [float(1.4826 * np.median(np.abs(part - np.median(part)))) for part in off],
        }
    return out


def study(folder, size, workers=None):
    """Simulate, measure, compare; return the record and the comparison."""
    began = time.perf_counter()
    reference, secondary, dem = simulate(folder / "scenes", size)
    made = time.perf_counter() - began
    config = SlcConfig.from_file(Path(__file__).parent / "shirase.yaml", dem=str(dem))
    record = run_slc(reference, secondary, folder / "result", config, overwrite=True, workers=workers)
    found = compare(folder / "result", size)
    print(f"simulated in {made:.0f} s, measured in {record['seconds']['total']:.0f} s: "
          f"{len(record['bursts'])} bursts, {record['statistics']['posts']} posts, "
          f"{100 * record['statistics']['good_share']:.0f} % good")  # fmt: skip
    print("       posts     true dx, dy      found dx, dy        bias          NMAD      (m, along x and y)")
    for name, one in found.items():
        numbers = " ".join("{:+8.2f} {:+8.2f}".format(*one[key]) for key in ("true", "found", "bias", "nmad"))
        print(f"{name:5} {one['posts']:6d} {numbers}")
    return {"record": record, "found": found}


def main(arguments=None):
    """Run the study in a folder, or in one that is thrown away."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, help="folder of scenes and results; default: thrown away")
    parser.add_argument("--size", choices=tuple(SIZES), default="small", help="whole: bursts of their real size")
    parser.add_argument("--workers", type=int)
    given = parser.parse_args(arguments)
    if given.output is not None:
        return study(given.output, given.size, given.workers)
    with tempfile.TemporaryDirectory() as folder:
        return study(Path(folder), given.size, given.workers)


if __name__ == "__main__":
    main()
