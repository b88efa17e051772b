"""The study of Shirase Glacier on real scenes: every scene with the next one of its track.

    python examples/shirase/pairs.py SAFE/ -o pairs --dem rema.tif --orbits EOF/

SAFE/ holds the products of scenes.yaml, as zips or .SAFE folders. A pair that is finished is left alone, one that
fails is said and the others go on, so that the same command can be given again.
"""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise
from pathlib import Path

from sensetrack.errors import SenseTrackError
from sensetrack.sentinel import open_sentinel1
from sensetrack.workflow.slc import run_slc
from sensetrack.workflow.slc_config import SlcConfig

SAME_PLACE = 12.0
"""Seconds along the orbit by which scenes of one frame may differ: half of what a scene is long."""


def scenes(folder):
    """Products of a folder by track and place along it, each by time: names would put all of one satellite first."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("S1") and path.suffix in (".zip", ".SAFE"):
            found.append(open_sentinel1(path))
    groups = []
    for product in sorted(found, key=lambda product: product.info.start):
        track, place = product.info.relative_orbit, (product.info.start - product.info.node_time).total_seconds()
        for name, products in groups:
            if name[0] == track and abs(name[1] - place) < SAME_PLACE:
                products.append(product)
                break
        else:
            groups.append(((track, place), [product]))
    return {f"{track:03d}-{place:04.0f}": products for (track, place), products in groups}


def main(arguments=None):
    """Measure all pairs; return how many failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("pairs"))
    parser.add_argument("--config", type=Path, default=Path(__file__).parent / "shirase.yaml")
    parser.add_argument("--dem")
    parser.add_argument("--vertical", default=None)
    parser.add_argument("--orbits")
    given = parser.parse_args(arguments)
    config = SlcConfig.from_file(given.config, dem=given.dem, vertical=given.vertical, orbits=given.orbits)
    failed = 0
    for frame, products in scenes(given.folder).items():
        for one, other in pairwise(products):
            name = f"{one.info.start:%Y%m%d}-{other.info.start:%Y%m%d}"
            target = given.output / frame / name
            if (target / "run.json").exists():
                print(f"{name}: is there")
                continue
            try:
                record = run_slc(one.path, other.path, target, config)
            except SenseTrackError as error:
                failed += 1
                print(f"{name}: {error}", file=sys.stderr)
            else:
                print(f"{name}: {100 * record['statistics']['good_share']:.0f} % good")
    return failed


if __name__ == "__main__":
    sys.exit(4 if main() else 0)
