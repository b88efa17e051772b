"""Geometry against what ESA's processor says of real products, and a real precise orbit against itself."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime

import numpy as np
import pytest

from sensetrack.errors import OrbitWarning
from sensetrack.files.dem import open_dem
from sensetrack.sar.geometry import from_ecef, geo2rdr, incidence, look_vector, rdr2geo, to_ecef
from sensetrack.sar.orbit import Orbit
from sensetrack.sar.radargrid import SPEED_OF_LIGHT
from sensetrack.sentinel import open_sentinel1
from sensetrack.sentinel.s1_orbits import find_orbit_file, read_orbit_file

pytestmark = pytest.mark.data

ORBIT = "safe_s1_2023_morocco/S1A_OPER_AUX_POEORB_OPOD_20231102T080652_V20231012T225942_20231014T005942.EOF.zip"
DAY = datetime(2023, 10, 12, 23, 30, tzinfo=UTC), datetime(2023, 10, 14, 0, 30, tzinfo=UTC)
"""Times that the orbit file must cover."""


def swaths(data):
    """Every swath with an annotation at hand."""
    found = []
    for path in sorted(data.glob("safe_s1*/S1*_*_*_*_*_*_*_*_*.zip")):
        if "EOF" in path.name:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OrbitWarning)
            product = open_sentinel1(path)
            found += [(path.name, key, swath) for key, swath in product.swaths.items()]
    return found


def test_geolocation_of_every_annotation(data):
    checked = {"auxiliary": 0, "downlink": 0}
    for name, key, swath in swaths(data):
        grid, points = swath.radar_grid, swath.geolocation
        lon, lat = np.radians(points.longitude), np.radians(points.latitude)
        seen = geo2rdr(grid, lon, lat, points.height)
        farther = np.abs(seen.slant_range - points.range_times * SPEED_OF_LIGHT / 2).max()
        later = np.abs(seen.time - points.times).max() * 6800
        where = f"{name} {key}: {farther * 1e3:.4f} mm in range, {later * 1e3:.2f} mm in azimuth"
        quality = grid.orbit.quality
        # Those of Downlink quality are noisy in themselves: ESA's grid was made with a smoother orbit.
        assert farther < (1e-4 if quality == "auxiliary" else 0.03), where
        assert later < (0.020 if quality == "auxiliary" else 4.0), where
        checked[quality] += 1
        back = rdr2geo(grid, seen.time, seen.slant_range, points.height)
        error = np.linalg.norm(to_ecef(*back[:3]) - to_ecef(lon, lat, points.height), axis=-1)
        assert error.max() < 1e-5, where
        # ESA's angle is that of a sphere, 0.04 degrees from the ellipsoid's
        angle = incidence(grid, lon, lat, points.height, time=seen.time)
        assert np.abs(angle - points.incidence).max() < np.radians(0.05), where
        across = look_vector(grid, lon, lat, points.height, time=seen.time)[..., 2]
        np.testing.assert_allclose(np.arccos(-across), angle, atol=1e-12)
        assert abs(grid.heading - np.degrees(swath.info.heading)) < 0.1, where
    assert checked["auxiliary"] >= 24
    assert checked["downlink"] >= 5


def test_lines_and_samples_of_a_ground_range_product(data):
    checked = 0
    for name, key, swath in swaths(data):
        grid, points = swath.radar_grid, swath.geolocation
        if grid.ground is None:
            continue
        slant = points.range_times * SPEED_OF_LIGHT / 2
        # ESA's grid takes the nearest record, between which 17 samples may lie; an image has no such steps.
        times = grid.ground.times
        nearest = times[np.abs(times - points.times[..., None]).argmin(-1)]
        assert np.abs(grid.sample(slant, nearest) - points.pixels).max() < 0.02, (name, key)
        assert np.abs(grid.sample(slant, points.times) - points.pixels).max() < 2, (name, key)
        assert np.abs(grid.line(points.times) - points.lines).max() < 0.5, (name, key)
        there = grid.slant_range(grid.sample(slant, points.times), points.times)
        assert np.abs(there - slant).max() < 0.1, (name, key)
        checked += 1
    assert checked >= 2


def test_half_of_a_precise_orbit_gives_the_other(data):
    """With 20 s between vectors the ones between are met to a third of a millimetre."""
    file = find_orbit_file(data / ORBIT, "S1A", *DAY)
    epoch = file.start
    orbit = read_orbit_file(file, epoch, *DAY)
    assert orbit.quality == "precise"
    assert orbit.times.size > 9000
    half = Orbit(epoch, orbit.times[::2], orbit.position[::2], orbit.velocity[::2], "half", "precise")
    position, velocity = half.state(orbit.times[1:-1:2])
    error = np.linalg.norm(position - orbit.position[1:-1:2], axis=1)
    assert error.max() < 1e-3
    assert np.sqrt((error**2).mean()) < 1e-4
    assert np.linalg.norm(velocity - orbit.velocity[1:-1:2], axis=1).max() < 2e-4
    assert from_ecef(orbit.position)[2].min() > 690_000


def test_a_burst_on_its_elevation_model(data):
    """Time and range of a burst of the Moroccan scene, down to NASADEM and back."""
    folder = data / "safe_s1_2023_morocco"
    (path,) = folder.glob("S1A_IW_SLC__1SDV_20230904*.zip")
    grid = open_sentinel1(path).swaths["iw1/vv"].radar_grid
    (model,) = folder.glob("dem-b1-s1a-iw1*.tiff")
    dem = open_dem(model, "egm96")
    time = grid.time(np.linspace(200, 1200, 25))[:, None]
    far = grid.slant_range(np.linspace(2000, grid.samples - 2000, 60))[None]
    places = rdr2geo(grid, time, far, dem)
    found = np.isfinite(places.height)
    assert found.mean() > 0.95
    np.testing.assert_allclose(dem.heights_at(places.lon, places.lat)[found], places.height[found], atol=1e-2)
    seen = geo2rdr(grid, places.lon, places.lat, places.height)
    assert np.abs(seen.slant_range - far)[found].max() < 1e-5
    assert np.abs(seen.time - time)[found].max() * 6800 < 1e-4
    # the geoid lies 45 m above the ellipsoid there, and heights of the scene above it
    raw = open_dem(model, "ellipsoid").heights_at(places.lon, places.lat)
    assert 40 < np.nanmean(places.height - raw) < 55
    assert places.layover.mean() < 0.05
