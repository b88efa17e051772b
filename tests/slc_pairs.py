"""Small pairs of Sentinel-1 SLCs whose motion is known, for the tests of `sensetrack slc`."""

from __future__ import annotations

import numpy as np
from affine import Affine

from conftest import write_tif
from products_s1 import write_tiff
from sensetrack.sar.simulate import Scene
from sensetrack.sentinel.s1 import open_sentinel1
from sensetrack.sentinel.simulate_s1 import S1Recipe, later, plan, write_pair

PLACE = (8.0, 46.4)
"""Longitude and latitude of the middle, degrees."""
HEIGHT = 640.0
MOTION = (16.0, -11.0, 0.0)
"""East, north, up, m: about one line and four samples."""


def metres(lon, lat):
    """East and north of the middle, m."""
    return (np.asarray(lon) - 8) * 76_700, (np.asarray(lat) - 46.4) * 111_200


def everywhere(lon, lat):
    """All of the ground moves."""
    return tuple(np.full(np.shape(lon), part) for part in MOTION)


def recipe(**changes):
    """Two bursts of two swaths."""
    return S1Recipe(**{"swaths": ("IW1", "IW2"), "lines": 150, "samples": 330, "noise": -np.inf} | changes)


def pair(folder, displacement=everywhere, *, days=12.0, coherence=0.9, **changes):
    """Write two products and an elevation model, and return their paths."""
    first = plan(recipe(**changes))
    scene = Scene(height=HEIGHT, displacement=displacement, coherence=coherence)
    return *write_pair(folder, scene, first, later(first, days=days, east=60.0)), dem(folder / "dem.tif")


def dem(path, *, size=0.2, crs="EPSG:4979", **profile):
    """Write an elevation model around the place, above the ellipsoid unless the CRS says otherwise."""
    step = 1 / 600
    lon, lat = PLACE[0] + np.arange(-size, size, step), PLACE[1] + np.arange(size, -size, -step)
    heights = np.full((lat.size, lon.size), HEIGHT, np.float32)
    return write_tif(path, heights, Affine(step, 0, lon[0], 0, -step, lat[0]), crs, **profile)


def burst_of(safe, key, number, folder):
    """Cut one burst out of a product, as ASF does: a GeoTIFF, and XML beside it with all documents."""
    product = open_sentinel1(safe)
    swath = product.swaths[key]
    burst, (name, polarisation) = swath.bursts[number], key.upper().split("/")
    parts = ""
    for kind, place in (("product", "s1"), ("calibration", "calibration/calibration"), ("noise", "calibration/noise")):
        (path,) = (safe / "annotation").glob(f"{place}*-{name.lower()}-slc-{polarisation.lower()}-*.xml")
        text = path.read_text(encoding="utf-8")
        inner = text[text.index("<adsHeader>") : text.rindex("</")]
        head = f"<swath>{name}</swath><polarisation>{polarisation}</polarisation>"
        parts += f"<{kind}>{head}<content>{inner}</content></{kind}>"
    manifest = (safe / "manifest.safe").read_text(encoding="utf-8").partition("?>")[2]
    time, unique = f"{product.info.start:%Y%m%dT%H%M%S}", product.info.unique
    stem = f"S1_{burst.burst_id:06d}_{name}_{time}_{polarisation}_{unique}-BURST"
    folder.mkdir(exist_ok=True)
    text = f"<burst><metadata>{parts}</metadata><manifest>{manifest}</manifest></burst>"
    (folder / f"{stem}.xml").write_text(text, encoding="utf-8")
    write_tiff(
        folder / f"{stem}.tiff", swath.read(slice(burst.line, burst.line + burst.lines), slice(0, burst.samples))
    )
    return folder / f"{stem}.tiff"
