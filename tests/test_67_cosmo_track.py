"""`sensetrack track A.h5 B.h5`: a simulated slide through COSMO-SkyMed products, in one line, and measured."""

import numpy as np
import pyproj
import pytest
import rasterio

from sensetrack.cosmo.simulate import CosmoPlan, simulate_cosmo, simulate_pair
from sensetrack.cosmo.simulate_map import MapPlan, simulate_on_map
from sensetrack.sar.simulate import Scene

LON, LAT = 11.3, 44.5
MOTION = (9.0, -6.0)
"""Metres east and north."""
TO_MAP = pyproj.Transformer.from_crs(4326, 32632, always_xy=True)


def metres(lon, lat):
    return (lon - LON) * 79_470, (lat - LAT) * 111_120


def slide(lon, lat):
    x, y = metres(lon, lat)
    inside = ((np.abs(x) < 150) & (np.abs(y) < 170)).astype(float)
    return MOTION[0] * inside, MOTION[1] * inside, 0.0 * inside


def on_the_map():
    """The motion along the axes of the map, whose north is 1.6 degrees off there."""
    here = TO_MAP.transform(LON, LAT)
    there = TO_MAP.transform(LON + MOTION[0] / 79_470, LAT + MOTION[1] / 111_120)
    return np.subtract(there, here)


def measured(folder):
    """Displacement inside and outside of the slide, (dx, dy) m."""
    with rasterio.open(folder / "displacement.tif") as file:
        dx, dy = file.read(1), file.read(2)
        rows, cols = np.mgrid[: file.height, : file.width]
        x, y = file.transform @ (cols + 0.5, rows + 0.5)
        lon, lat = pyproj.Transformer.from_crs(file.crs, 4326, always_xy=True).transform(x, y)
    east, north = metres(lon, lat)
    inside = (np.abs(east) < 100) & (np.abs(north) < 120)
    outside = (np.abs(east) > 230) | (np.abs(north) > 250)
    return [np.array([np.nanmedian(part[where]) for part in (dx, dy)]) for where in (inside, outside)]


@pytest.mark.parametrize(("look", "ascending"), [("right", True), ("left", False)], ids=["right", "left"])
def test_a_slide_is_read_from_two_complex_products(tmp_path, cli, look, ascending):
    plan = CosmoPlan(look=look, ascending=ascending, lines=400, samples=400)
    first, second = simulate_pair(tmp_path, plan, Scene(displacement=slide, coherence=0.9), east=150.0)
    done = cli("track", first.path, second.path, "-o", tmp_path / "out", "--chip", 32, "--step", 8, "--quiet")
    assert done.code == 0, done.error
    inside, outside = measured(tmp_path / "out")
    pixel = 2.5
    assert np.abs(outside).max() < 0.1 * pixel, outside
    assert np.abs(inside - on_the_map()).max() < 0.1 * pixel, inside


def test_the_sign_follows_the_order_of_detected_products(tmp_path, cli):
    plan = CosmoPlan("CSG", "DGM", lines=330, samples=440)
    first, second = simulate_pair(tmp_path, plan, Scene(displacement=slide, coherence=0.9))
    done = cli("track", second.path, first.path, "-o", tmp_path / "out", "--chip", 32, "--step", 8, "--quiet")
    assert done.code == 0, done.error
    inside, _ = measured(tmp_path / "out")
    assert np.abs(inside + on_the_map()).max() < 0.1 * 2.5, inside


def test_products_on_maps_of_their_own_are_tracked(tmp_path, cli):
    rng = np.random.default_rng(5)
    grain = rng.gamma(1.0, 1.0, (700, 700))

    def ground(shift):
        def look(east, north):
            col, row = (east - shift[0] - 681_900) / 2.0, (4_931_200 - (north - shift[1])) / 2.0
            from scipy import ndimage

            return np.maximum(ndimage.map_coordinates(grain, [row, col], order=3, mode="reflect"), 1e-3) * 0.1

        return look

    plan = CosmoPlan(lines=60, samples=60)
    later = CosmoPlan(lines=60, samples=60, start=plan.start.replace(day=20))
    size = (240, 220)
    first = simulate_on_map(tmp_path, plan, MapPlan(size), ground((0, 0)), looks=400)
    moved = MapPlan(size, east=682_000.0 + 25.0, north=4_931_000.0 - 16.0)
    second = simulate_on_map(tmp_path, later, moved, ground((12.5, -6.0)), looks=400, seed=1)
    done = cli("track", first.path, second.path, "-o", tmp_path / "out", "--chip", 32, "--step", 16, "--quiet")
    assert done.code == 0, done.error
    with rasterio.open(tmp_path / "out" / "displacement.tif") as file:
        dx, dy = np.nanmedian(file.read(1)), np.nanmedian(file.read(2))
    assert (dx, dy) == pytest.approx((12.5, -6.0), abs=0.1)


def test_pairs_that_do_not_go_together_are_refused(tmp_path, cli):
    one = simulate_cosmo(tmp_path, CosmoPlan(lines=40, samples=36), Scene(sigma0=0.1))
    other = simulate_cosmo(tmp_path, CosmoPlan(look="left", lines=40, samples=36), Scene(sigma0=0.1))
    done = cli("track", one.path, other.path, "-o", tmp_path / "out")
    assert (done.code, "look side of the reference, right, instead got left" in done.error) == (3, True), done.error
    far = simulate_cosmo(tmp_path, CosmoPlan(lat=46.0, start=one.plan.start.replace(day=20), lines=40, samples=36))
    done = cli("track", one.path, far.path, "-o", tmp_path / "out")
    assert (done.code, "footprints do not overlap" in done.error) == (3, True), done.error
    done = cli("track", one.path, one.path, "-o", tmp_path / "out", "--band", "VV")
    assert (done.code, "band must be a polarisation" in done.error) == (2, True), done.error
