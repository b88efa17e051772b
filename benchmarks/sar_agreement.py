"""How far geo2rdr is from sarsen's way of finding places, on real and synthetic products. Run by sar.py."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

STOP = 1e-6
"""Metres along the track at which sarsen's search is told to stop; by default it is 1 m."""
DEGREE, DEGREES = 5, range(5, 11)
"""Of sarsen's polynomial through the state vectors: by default, and those that are tried."""


class Fit(NamedTuple):
    """How far the two are apart at the most, mm, with a polynomial of one degree."""

    misfit: float
    """Of the annotated state vectors from the polynomial."""
    slant: float
    azimuth: float


class Agreement(NamedTuple):
    """How far the two are apart."""

    what: str
    places: int
    fits: dict[int, Fit]
    """By degree."""
    searched: float
    """At most, mm of azimuth, with all of sarsen as it is by default, its search too."""
    downlink: bool
    """Whether the annotated orbit is a bad one, which no two ways of interpolation agree on."""

    @property
    def degree(self) -> int:
        """The one that fits the state vectors best; chosen by that alone."""
        return min(self.fits, key=lambda degree: self.fits[degree].misfit)


class Theirs:
    """sarsen's way from places to azimuth times and ranges, on the annotated orbit."""

    def __init__(self, product: Path, key: str, epoch: Any) -> None:
        from sarsen import Sentinel1SarProduct

        self.vectors = Sentinel1SarProduct(str(product), key.upper()).state_vectors()
        self.epoch = np.datetime64(epoch.replace(tzinfo=None), "ns")

    def orbit(self, degree: int = DEGREE) -> Any:
        """Return a polynomial through all state vectors."""
        from sarsen.orbit import OrbitPolyfitInterpolator

        return OrbitPolyfitInterpolator.from_position(self.vectors, deg=degree)

    def __call__(self, xyz: np.ndarray, degree: int = DEGREE, stop: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Azimuth times, s since the epoch, and slant ranges, m, of places (rows, cols, 3)."""
        import xarray
        from sarsen.geocoding import backward_geocode

        places = xarray.DataArray(np.moveaxis(xyz, -1, 0), dims=("axis", "y", "x"), coords={"axis": [0, 1, 2]})
        found = backward_geocode(places, self.orbit(degree), zero_doppler_distance=stop)
        seconds = (found.azimuth_time.values - self.epoch) / np.timedelta64(10**9, "ns")
        return seconds, np.sqrt((found.dem_distance**2).sum("axis").values)

    def misfit(self, degree: int = DEGREE) -> float:
        """Metres that the state vectors lie off the polynomial at the most, during the image and around it."""
        fitted = self.orbit(degree).position(self.vectors.azimuth_time)
        return float(np.sqrt(((fitted - self.vectors) ** 2).sum("axis")).max())


def compare(product: Path, name: str, key: str) -> Agreement:
    """Compare at the points of the annotated geolocation grid, and 300 m above them."""
    from sensetrack.sar.geometry import geo2rdr_xyz, to_ecef
    from sensetrack.sentinel.s1 import open_sentinel1

    opened = open_sentinel1(product)
    swath = opened.swaths[key]
    ties = swath.geolocation
    lon, lat = (np.radians(np.concatenate([part, part])) for part in (ties.longitude, ties.latitude))
    xyz = to_ecef(lon, lat, np.concatenate([ties.height, ties.height + 300]))
    seen, slant = geo2rdr_xyz(swath.radar_grid, xyz)
    theirs = Theirs(product, key, opened.epoch)
    speed = np.linalg.norm(swath.orbit.state(seen)[1], axis=-1)

    def most(of: np.ndarray) -> float:
        return 1e3 * float(np.abs(of).max())

    fits = {}
    for degree in DEGREES:
        times, ranges = theirs(xyz, degree, STOP)
        fits[degree] = Fit(1e3 * theirs.misfit(degree), most(ranges - slant), most((times - seen) * speed))
    searched = most((theirs(xyz)[0] - seen) * speed)
    return Agreement(name, seen.size, fits, searched, downlink=swath.orbit.quality == "downlink")


def compare_all(made: Path, products: list[Path], folder: Path, say: Callable[[str], None]) -> Iterator[Agreement]:
    """Compare on the synthetic product and those that were given."""
    from sensetrack.sentinel.s1 import open_sentinel1

    yield compare(made, "synthetic GRD", "iw/vv")
    for path in products:
        product = path
        if zipfile.is_zipfile(path):  # sarsen reads folders
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)
            product = folder / f"{path.stem.removesuffix('.SAFE')}.SAFE"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for key in open_sentinel1(product).swaths:
                say(f"{product.stem}: {key}")
                yield compare(product, f"{product.stem[:32]} {key}", key)


def said(agreements: list[Agreement], table: Callable[..., list[str]]) -> list[str]:
    """Tables, and what is in them."""
    good = [one for one in agreements if not one.downlink]
    rows = []
    for one in agreements:
        usual, best = one.fits[DEGREE], one.fits[one.degree]
        name = one.what + (" (downlink orbit)" if one.downlink else "")
        numbers = (usual.misfit, usual.slant, usual.azimuth, one.searched)
        rows.append((name, f"{one.places}", *(f"{part:.3f}" for part in numbers), f"{one.degree}",
                     *(f"{part:.3f}" for part in best)))  # fmt: skip
    head = ("", "points", "misfit, mm", "range, mm", "azimuth, mm", "and its search", "best degree", "misfit, mm",
            "range, mm", "azimuth, mm")  # fmt: skip
    by_degree = [
        (f"{degree}", *(f"{max(getattr(one.fits[degree], part) for one in good):.3f}" for part in Fit._fields))
        for degree in DEGREES
    ]
    return [
        "Farthest apart from sarsen's backward geocoding, at the points of the annotated geolocation grid and 300 m",
        "above them, both on the annotated orbit. Ours goes through the state vectors, positions and velocities; that",
        f"of sarsen is a polynomial over all their positions, of degree {DEGREE} by default. *Misfit* is how far these",
        "lie off it at the most: where it is millimetres, the two can agree no better. The columns to the right are",
        f"of the degree, from {DEGREES[0]} to {DEGREES[-1]}, whose misfit is least. sarsen's search may stop a metre",
        "off by default, which shows where places are few (*and its search*); elsewhere it is told to stop at",
        f"{STOP:g} m.", "",
        *table(head, rows), "",
        "The same by degree, the worst of all products but those with a downlink orbit. State vectors that lie",
        "millimetres off every smooth curve, as those of S1A in 2023 do, leave the two as far apart:", "",
        *table(("degree", "misfit, mm", "range, mm", "azimuth, mm"), by_degree), "",
    ]  # fmt: skip
