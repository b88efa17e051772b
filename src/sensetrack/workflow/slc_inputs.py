"""What two SLCs are measured with: paired bursts, orbits and heights, all looked at before anything is computed."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import InputError, NoOverlapError, OrbitWarning, SenseTrackWarning, UnlikePairWarning
from sensetrack.files.dem import Dem, open_dem
from sensetrack.files.warp import local_crs, pixels_of
from sensetrack.grid import as_crs, crs_name
from sensetrack.notices import warn
from sensetrack.sar.geometry import rdr2geo
from sensetrack.sar.heights import Level
from sensetrack.sentinel.s1 import Sentinel1
from sensetrack.sentinel.s1_mapped import middle_height, without_dem
from sensetrack.sentinel.s1_orbits import find_orbit_file
from sensetrack.sentinel.s1_pair import BurstPair, pair_bursts
from sensetrack.snap_gpt.aoi import AOI
from sensetrack.workflow.scenes import open_product

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyproj
    from numpy.typing import NDArray

    from sensetrack.sar.heights import Surface
    from sensetrack.workflow.slc_config import SlcConfig

log = logging.getLogger(__name__)

_COVERED = 0.98
"""Share of the ground to be measured that an elevation model must cover: its edge need not be exact."""
_ACROSS = 33
"""Places along each side of a burst at which that is looked at."""


@dataclass(frozen=True, eq=False)
class SlcJob:
    """Two products and what is measured of them."""

    reference: Sentinel1
    secondary: Sentinel1
    pairs: tuple[BurstPair, ...]
    """By swath, near range first, then by time."""
    surface: Surface
    heights: dict[str, Any]
    """What the record says of the surface."""
    crs: pyproj.CRS
    """Of the map."""
    area: Any = None
    """Area of interest: shapely geometry in longitude and latitude, degrees; None: all."""

    @property
    def dt(self) -> timedelta:
        """Secondary minus reference: negative where the secondary was taken before."""
        pair = self.pairs[0]
        one, other = pair.reference_grid, pair.secondary_grid
        first = one.epoch + timedelta(seconds=one.first_time)
        return other.epoch + timedelta(seconds=other.first_time) - first

    @property
    def days(self) -> float:
        """`dt` in days."""
        return self.dt / timedelta(days=1)


def open_pair(
    reference: str | os.PathLike[str], secondary: str | os.PathLike[str], config: SlcConfig
) -> tuple[Sentinel1, Sentinel1]:
    """Open two products, with the orbit files that are to serve them.

    Raises
    ------
    InputError
        One is not a product of Sentinel-1, or is damaged; no orbit file fits although there is a place for them.
    """
    one, other = (_opened(path, config) for path in (reference, secondary))
    return one, other


def _opened(path: str | os.PathLike[str], config: SlcConfig) -> Sentinel1:
    if not os.path.lexists(path):
        raise InputError("not found", path=path, advice="check the spelling")
    product = open_product(path)
    if not isinstance(product, Sentinel1):
        message = "must be a Sentinel-1 SLC, and this is none"
        raise InputError(message, path=path, advice="track images and other products with sensetrack track")
    if config.orbits is None:
        return product
    info = product.info
    if find_orbit_file(config.orbits, info.platform, info.start, info.stop) is None:
        what = f"no orbit file of {info.platform} covers {info.start:%Y-%m-%d %H:%M:%S} to {info.stop:%H:%M:%S} UTC"
        if not config.force:
            advice = f"add the one for {info.name}, or leave orbits out to use the annotated orbit"
            raise InputError(what, path=config.orbits, advice=advice)
        warn(f"{config.orbits}: {what}; the annotated orbit is used", OrbitWarning, stacklevel=3)
        return product
    return product.on_orbit(config.orbits)


def slc_job(reference: Sentinel1, secondary: Sentinel1, config: SlcConfig) -> SlcJob:
    """Look at everything that can be wrong with a pair before it is measured.

    Raises
    ------
    InputError
        See `sensetrack.sentinel.s1_pair.pair_bursts`; or the elevation model cannot be used.
    """
    area = None if config.aoi is None else AOI.of(config.aoi).geometry
    pairs = pair_bursts(reference, secondary, swaths=config.swaths, polarisation=config.polarization, area=area)
    surface, heights = _surface(reference, pairs, config)
    job = SlcJob(reference, secondary, pairs, surface, heights, _map_crs(pairs, config), area)
    if isinstance(surface, Dem):
        _require_covered(job, surface, config)
    if job.dt < timedelta(0):
        text = (
            f"{secondary.path}: was taken {-job.days:.2f} days before the reference, so that displacements lead back "
            "in time; velocities are forward in time, as always"
        )
        warn(text, UnlikePairWarning, stacklevel=2)
    return job


def _surface(reference: Sentinel1, pairs: Sequence[BurstPair], config: SlcConfig) -> tuple[Surface, dict[str, Any]]:
    if config.dem is not None:
        dem = open_dem(config.dem, config.vertical, guess=False)
        return dem, {"file": dem.file.path.name, "heights": dem.source, "notes": list(dem.notes)}
    height = config.height
    if height is None:
        height = middle_height(list({pair.key: pair.reference for pair in pairs}.values()))
        warn(without_dem(reference, height), SenseTrackWarning, stacklevel=3)
    return Level(height), {"file": None, "heights": f"{height:g} m above the ellipsoid everywhere", "notes": []}


def _map_crs(pairs: Sequence[BurstPair], config: SlcConfig) -> pyproj.CRS:
    """Return the CRS of the map, by default that of the middle of the bursts; what is clipped must lie on it."""
    every = [burst_places(pair) for pair in pairs]
    places = [(lon[np.isfinite(lon)], lat[np.isfinite(lon)]) for lon, lat in every]
    lon, lat = (np.concatenate(parts) for parts in zip(*places, strict=True))
    if not lon.size:
        raise InputError("the orbit does not see the ground", advice="is the orbit file that of this product?")
    east = (lon - lon[0] + 180) % 360 - 180
    middle = float(lon[0] + (east.min() + east.max()) / 2 + 180) % 360 - 180
    crs = as_crs(config.crs or local_crs(middle, float((lat.min() + lat.max()) / 2)))
    assert crs is not None
    if config.clip is not None:
        import pyproj
        import shapely

        to_map = pyproj.Transformer.from_crs(4326, crs, always_xy=True)
        on_map = [np.stack(to_map.transform(lon, lat), axis=-1) for lon, lat in places]
        shown = [shapely.convex_hull(shapely.multipoints(points)) for points in on_map]
        if not any(shapely.intersects(part, shapely.box(*config.clip)) for part in shown):
            west, south, east, north = shapely.total_bounds(shown)
            has = f"x {west:.8g} to {east:.8g}, y {south:.8g} to {north:.8g} in {crs_name(crs)}"
            asked = "x {0:.8g} to {2:.8g}, y {1:.8g} to {3:.8g}".format(*config.clip)
            message = f"the clip must reach into what is measured ({has}), instead got {asked}"
            raise NoOverlapError(message, advice="give xmin,ymin,xmax,ymax in the CRS of the map")
    return crs


def _require_covered(job: SlcJob, dem: Dem, config: SlcConfig) -> None:
    """Require that an elevation model covers what is to be measured of each burst."""
    lacking = []
    to_pixels = pixels_of(dem.grid, 4326)
    rows, cols = dem.grid.shape
    for pair in job.pairs:
        lon, lat = burst_places(pair)
        wanted = np.isfinite(lon) & inside(job.area, lon, lat)
        if not wanted.any():
            continue
        # An elevation model may use longitudes of its own, such as up to 360 degrees.
        turns = [to_pixels(lon[wanted] + turn, lat[wanted]) for turn in (0, 360, -360)]
        row, col = (np.stack(part) for part in zip(*turns, strict=True))
        share = float(((row >= 0) & (row <= rows) & (col >= 0) & (col <= cols)).any(axis=0).mean())
        if share < _COVERED:
            box = lon[wanted].min(), lon[wanted].max(), lat[wanted].min(), lat[wanted].max()
            where = "{:.3f} to {:.3f} E, {:.3f} to {:.3f} N".format(*box)
            lacking.append(f"{100 * share:.0f} % of burst {pair.id} ({where})")
    if not lacking:
        return
    some = ", ".join(lacking[:3]) + (f" and less of {len(lacking) - 3} more" if len(lacking) > 3 else "")
    message = f"must cover the ground that is measured, instead covers {some}"
    if not config.force:
        advice = "give a larger one or a smaller area of interest, or say --force to leave the rest out"
        raise NoOverlapError(message, path=config.dem, advice=advice)
    warn(f"{config.dem}: {message}; the rest is left out", SenseTrackWarning, stacklevel=3)


def burst_places(pair: BurstPair) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude, degrees, of places spread over what a burst has measured, at a height that it has."""
    burst, grid = pair.reference_burst, pair.reference_grid
    top, bottom = burst.valid_lines
    good = burst.first_valid >= 0
    left, right = int(burst.first_valid[good].min()), int(burst.last_valid[good].max())
    time = grid.time(np.linspace(top, bottom - 1, _ACROSS))[:, None]
    distance = grid.slant_range(np.linspace(left, right, _ACROSS))[None]
    points = pair.reference.geolocation
    near = np.abs(points.times - grid.middle_time) <= 2 * grid.lines * grid.line_interval
    height = float(np.median(points.height[near] if near.any() else points.height))
    found = rdr2geo(grid, time, distance, height)
    return np.degrees(found.lon), np.degrees(found.lat)


def inside(area: Any, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which places lie in an area in longitude and latitude, degrees; without an area, all."""
    if area is None:
        return np.isfinite(lon)
    import shapely

    shapely.prepare(area)
    found = shapely.contains_xy(area, (lon + 180) % 360 - 180, lat)
    return np.asarray(found, bool)
