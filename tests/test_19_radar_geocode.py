"""Posts on maps: in any CRS, without holes, along the axes of the map, and only where something was measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine

from radar_posts import Known, at_their_height, moved, posts_of, seen_again, tilted
from sar_truth import radar_grid
from sensetrack.errors import ConfigError, InputError, NoOverlapError
from sensetrack.grid import Grid, apply, as_crs
from sensetrack.ot.fields import Flag
from sensetrack.sar.geocode import geocode
from sensetrack.sar.heights import HeightField, Level
from sensetrack.sar.map_layers import UNITS, map_grid, map_layers, true_posting, turn_to_axes
from sensetrack.sar.velocity import displacement

ANTARCTIC = 2 * np.pi - 1.25
"""Way from the ascending node at which a pass is near 70 degrees south."""


def utm(found):
    """UTM zone of a displacement."""
    zone = int((float(np.nanmedian(found.lon)) + 180) // 6) + 1
    return f"EPSG:{(32600 if np.nanmedian(found.lat) > 0 else 32700) + zone}"


def drawn(motion=(24.0, -37.0, 0.0), *, look=1, argument=0.6, shape=(60, 40), **where):
    posts = posts_of(radar_grid(look=look, argument=argument), shape=shape, step=(8, 5), **where)
    return displacement(seen_again(posts, Level(100.0), motion, at_their_height), Level(100.0))


def lonlat(grid):
    rows, cols = np.meshgrid(*(np.arange(size) for size in grid.shape), indexing="ij")
    x, y = grid.xy(rows, cols)
    return pyproj.Transformer.from_crs(grid.crs, 4326, always_xy=True).transform(x, y)


@pytest.mark.parametrize(("argument", "crs"), [(0.6, "utm"), (np.pi - 0.6, 4326), (ANTARCTIC, 3031), (ANTARCTIC, 4326)])
def test_what_is_straight_on_the_ground_stays_straight(argument, crs):
    found = drawn(look=-1 if argument == 0.6 else 1, argument=argument)
    crs = utm(found) if crs == "utm" else crs
    grid = map_grid(found.posts, Level(100.0), crs)
    middle = np.nanmedian(found.lon), np.nanmedian(found.lat)
    layers = {
        "linear": 3 + 40 * (found.lon - middle[0]) - 110 * (found.lat - middle[1]),
        "line": np.broadcast_to(found.posts.lines[:, None], found.posts.shape),
    }
    shown = geocode(found.posts, layers, found.flags, grid, Level(100.0)).whole()
    lon, lat = lonlat(grid)
    there = np.isfinite(shown["linear"])
    # a map that encloses a leaning rectangle: some of it is empty, none of it far beyond
    assert 0.3 < there.mean() < 0.99
    for edge in (there[0], there[-1], there[:, 0], there[:, -1]):
        assert edge.sum() < 0.9 * edge.size
    assert there[:3].any()
    assert there[-3:].any()
    assert there[:, :3].any()
    assert there[:, -3:].any()
    np.testing.assert_array_equal(there, shown["flags"] == 0)
    assert (shown["flags"][~there] == Flag.NO_DATA).all()
    true = 3 + 40 * (lon - middle[0]) - 110 * (lat - middle[1])
    inside = there & (shown["line"] > found.posts.lines[0]) & (shown["line"] < found.posts.lines[-1])
    inside &= _within_samples(found, lon, lat)
    assert inside.sum() > 0.8 * there.sum()
    scale = np.nanmax(np.abs(np.diff(layers["linear"])))
    assert np.abs(shown["linear"] - true)[inside].max() < 2e-4 * scale + 2e-6
    # no holes: what lies between two pixels of a row that have values has one
    for row in there:
        at = np.flatnonzero(row)
        assert at.size in {0, np.ptp(at) + 1 if at.size else 0}


def _within_samples(found, lon, lat):
    """Where a map shows what lies between the first and the last column of posts."""
    ring = [np.stack([part[:, k] for part in (found.lon, found.lat)], axis=-1) for k in (0, -1)]
    area = shapely.buffer(shapely.Polygon(np.concatenate([ring[0], ring[1][::-1]])), -1e-5)
    return shapely.contains_xy(area, lon, lat)


def test_the_posting_is_that_of_the_ground():
    found = drawn()
    along, across = true_posting(found.posts, Level(100.0))
    ground = [
        pyproj.Geod(ellps="WGS84").inv(found.lon[a], found.lat[a], found.lon[b], found.lat[b])[2]
        for a, b in (((29, 20), (30, 20)), ((30, 19), (30, 20)))
    ]
    np.testing.assert_allclose([along, across], ground, rtol=2e-3)
    crs = utm(found)
    grid = map_grid(found.posts, Level(100.0), crs)
    assert grid.affine.a == -grid.affine.e == round(along)
    assert grid.affine.c % grid.affine.a == grid.affine.f % grid.affine.a == 0
    coarse = map_grid(found.posts, Level(100.0), crs, posting=750.0)
    assert coarse.affine.a == 750
    degrees = map_grid(found.posts, Level(100.0), 4326)
    np.testing.assert_allclose(degrees.pixel_size, round(along), rtol=6e-3)


def test_feet():
    found = drawn(argument=np.pi + 1.0, shape=(9, 13))
    feet = pyproj.CRS.from_proj4("+proj=laea +lat_0=-54 +lon_0=-110 +units=us-ft +ellps=WGS84 +type=crs")
    grid = map_grid(found.posts, Level(100.0), feet, posting=120.0)
    np.testing.assert_allclose(grid.affine.a, 120 * 3937 / 1200, rtol=1e-9)
    shown = geocode(found.posts, map_layers(found, feet), found.flags, grid, Level(100.0)).whole()
    assert np.isfinite(shown["dx"]).sum() > 20


@pytest.mark.parametrize("crs", ["utm", 3031, 3857, 4326])
def test_metres_run_along_the_axes_of_the_map(crs):
    """A place and where it moves to, both on the map: their difference as `Grid.to_map` has it."""
    argument = ANTARCTIC if crs == 3031 else 0.6
    found = drawn((24.0, -37.0, 0.0), argument=argument)
    crs = utm(found) if crs == "utm" else crs
    grid = map_grid(found.posts, Level(100.0), crs)
    shown = geocode(found.posts, map_layers(found, crs), found.flags, grid, Level(100.0)).whole()
    lon, lat = (np.radians(part) for part in lonlat(grid))
    after = [np.degrees(part) for part in moved((lon, lat, np.zeros(lon.shape)), (24.0, -37.0, 0.0))[:2]]
    x, y = pyproj.Transformer.from_crs(4326, grid.crs, always_xy=True).transform(*after)
    col, row = apply(~grid.affine, x, y)
    rows, cols = np.meshgrid(*(np.arange(size) + 0.5 for size in grid.shape), indexing="ij")
    dx, dy = grid.to_map(row - rows, col - cols)
    there = np.isfinite(shown["dx"])
    assert there.sum() > 1000
    # beyond the outermost posts, where the axes of the map have turned a little, too
    np.testing.assert_allclose(shown["dx"][there], dx[there], atol=3e-3)
    np.testing.assert_allclose(shown["dy"][there], dy[there], atol=3e-3)
    np.testing.assert_allclose(shown["v"][there], np.hypot(24, 37) / 12, atol=1e-3)
    np.testing.assert_allclose(shown["vx_year"][there], shown["dx"][there] / 12 * 365.25, rtol=1e-4, atol=1e-3)
    if crs == 3031:  # far from the meridian on which y is north
        assert abs(shown["dx"][there] - 24).min() > 5
    if crs == 4326:
        np.testing.assert_allclose(shown["dx"][there], 24.0, atol=1e-3)


def test_errors_turn_with_the_axes():
    covariance = np.zeros((60, 40, 3), np.float32)
    covariance[:] = 0.05**2, 0.02**2, 0.0
    found = drawn(argument=ANTARCTIC, covariance=covariance)
    layers = map_layers(found, 3031)
    total = found.sigma_dx**2 + found.sigma_dy**2
    np.testing.assert_allclose(layers["sigma_dx"] ** 2 + layers["sigma_dy"] ** 2, total, rtol=1e-4)
    (xe, xn), _ = turn_to_axes(as_crs(3031), np.radians(found.lon[5, 6]), np.radians(found.lat[5, 6]))
    c = found.covariance[5, 6]
    expected = xe**2 * c[0] + xn**2 * c[1] + 2 * xe * xn * c[2]
    np.testing.assert_allclose(layers["sigma_dx"][5, 6] ** 2, expected, rtol=1e-5)
    assert set(layers) <= set(UNITS)
    assert np.isnan(map_layers(drawn(), 32633)["sigma_dx"]).all()
    # near the pole east is nearly any direction, and a metre still a metre
    for lat in (np.radians(-89.999), np.radians(-70.0)):
        (xe, xn), (ye, yn) = turn_to_axes(as_crs(3031), np.array([0.7]), np.array([lat]))
        turned = np.array([[np.cos(0.7), np.sin(0.7)], [-np.sin(0.7), np.cos(0.7)]])
        np.testing.assert_allclose(np.squeeze([[xe, xn], [ye, yn]]), turned, atol=1e-6)


def test_islands_keep_their_shape_and_nothing_is_zero():
    found = drawn((24.0, -37.0, 0.0))
    flags = found.flags.copy()
    flags[20:25, 10:14] = Flag.LOW_SCORE
    flags[40, 30] = Flag.OUTLIER
    missing = found.dx.copy()
    missing[50:53, 5:7] = np.nan
    found = replace(found, flags=flags, dx=missing)
    grid = map_grid(found.posts, Level(100.0), utm(found), posting=21.0)
    shown = geocode(found.posts, map_layers(found, grid.crs), flags, grid, Level(100.0)).whole()
    whole = geocode(found.posts, {"one": np.ones(flags.shape)}, flags * 0, grid, Level(100.0)).whole()
    there = whole["flags"] == 0
    np.testing.assert_array_equal(np.isfinite(whole["one"]), there)
    assert (whole["one"][there] == 1).all()
    bad = shown["flags"][there]
    assert np.isnan(shown["slant_range"][there][bad > 0]).all()
    assert np.isfinite(shown["slant_range"][there][bad == 0]).all()
    # each post owns the pixels that are nearest to it
    share = [(bad == flag).sum() / there.sum() * 60 * 40 for flag in (Flag.LOW_SCORE, Flag.OUTLIER)]
    np.testing.assert_allclose(share, [20, 1], rtol=0.1)
    gone = np.isnan(shown["dx"][there]) & (bad == 0)
    np.testing.assert_allclose(gone.sum() / there.sum() * 60 * 40, 6, rtol=0.1)
    # flagged or missing, nothing of it is in the neighbours
    values = shown["dy"][np.isfinite(shown["dy"])]
    assert np.ptp(values) < 0.5
    assert not (values == 0).any()
    assert {shown[name].dtype.name for name in shown} == {"float32", "uint16"}


def test_an_area_cuts_the_map():
    found = drawn()
    lon, lat = float(np.median(found.lon)), float(np.median(found.lat))
    area = shapely.Polygon([(lon - 0.02, lat), (lon, lat - 0.015), (lon + 0.03, lat), (lon, lat + 0.01)])
    for crs in (utm(found), 4326):
        grid = map_grid(found.posts, Level(100.0), crs, area=area)
        shown = geocode(found.posts, map_layers(found, crs), found.flags, grid, Level(100.0), area=area).whole()
        here = shapely.contains_xy(area, *lonlat(grid))
        assert 0.35 < here.mean() < 0.6
        np.testing.assert_array_equal(np.isfinite(shown["dx"]), here)
        assert (shown["flags"][~here] == Flag.OUT_OF_AOI | Flag.NO_DATA).all()
        assert (shown["flags"][here] == 0).all()
    with pytest.raises(NoOverlapError, match="the area lies outside what was measured"):
        map_grid(found.posts, Level(100.0), 4326, area=shapely.box(lon + 5, lat, lon + 6, lat + 1))


def test_across_the_date_line():
    """A map in degrees goes on beyond 180; areas are found on either side."""
    radar = radar_grid()
    middle = displacement(posts_of(radar, shape=(60, 40), step=(8, 5)), Level(0.0))
    turned = radar_grid(node=0.3 + np.pi - np.radians(float(middle.lon.mean())))
    found = displacement(posts_of(turned, shape=(60, 40), step=(8, 5)), Level(0.0))
    assert found.lon.min() < -179
    assert found.lon.max() > 179
    lat = float(found.lat.mean())
    grid = map_grid(found.posts, Level(0.0), 4326)
    assert grid.affine.a * grid.shape[1] < 2
    for west in (179.9, -180.1):
        area = shapely.box(west, lat - 0.02, west + 0.15, lat + 0.02)
        part = map_grid(found.posts, Level(0.0), 4326, area=area)
        assert part.shape[1] < grid.shape[1]
        shown = geocode(found.posts, {"dx": found.dx}, found.flags, part, Level(0.0), area=area).whole()
        assert np.isfinite(shown["dx"]).mean() > 0.9


def test_layers_are_read_where_they_are_wanted():
    found = drawn()
    grid = map_grid(found.posts, Level(100.0), utm(found))
    shown = geocode(found.posts, map_layers(found, grid.crs), found.flags, grid, Level(100.0))
    whole = shown.whole()
    layer = shown.layer("dx")
    assert (layer.shape, layer.dtype, shown.flags.dtype) == (grid.shape, np.float32, np.uint16)
    window = np.s_[31:58, 17:44]
    np.testing.assert_allclose(layer[window], whole["dx"][window], atol=1e-5)
    np.testing.assert_array_equal(shown.flags[window], whole["flags"][window])
    assert layer[5:5, 3:9].shape == (0, 6)
    assert "dx" in shown.names
    with pytest.raises(InputError, match="there is no layer 'dz'; there are dx, dy"):
        shown.layer("dz")
    with pytest.raises(InputError, match=r"dx must have the shape \(60, 40\)"):
        geocode(found.posts, {"dx": found.dx[1:]}, found.flags, grid, Level(100.0))


def test_relief_is_looked_through():
    """Each pixel looks up the radar where its own height puts it."""
    radar = radar_grid()
    plane = tilted(radar)
    posts = posts_of(radar, first=(700, 1100), shape=(40, 30), step=(8, 5))
    found = displacement(posts, Known(plane))
    grid = map_grid(posts, Known(plane), utm(found))
    samples, lines = (np.broadcast_to(part, posts.shape) for part in (posts.samples, posts.lines[:, None]))
    layers = {"sample": samples, "line": lines, "height": found.height}
    shown = geocode(posts, layers, found.flags, grid, Known(plane)).whole()
    lon, lat = (np.radians(part) for part in lonlat(grid))
    height = plane.heights_at(lon, lat)
    there = np.isfinite(shown["sample"])
    inner = there & (shown["line"] > posts.lines[0]) & (shown["line"] < posts.lines[-1])
    inner &= (shown["sample"] > posts.samples[0]) & (shown["sample"] < posts.samples[-1])
    assert inner.sum() > 400
    assert np.abs(shown["height"] - height)[inner].max() < 0.5
    # no heights, nothing
    hole = plane.heights.copy()
    row = round((float(np.median(lat)) - plane.lat) / plane.d_lat)
    hole[row - 3 : row + 3] = np.nan
    holed = geocode(posts, {"sample": samples}, found.flags, grid, Known(replace(plane, heights=hole))).whole()
    lost = there & np.isnan(holed["sample"])
    assert 20 < lost.sum() < 0.3 * there.sum()
    assert (holed["flags"][lost] == Flag.NO_DATA).all()


def test_layover_on_the_map_is_added_where_asked():
    radar = radar_grid()
    plane = tilted(radar, 0.0, 0.0, 200.0)
    i, j = np.mgrid[-900:901, -1400:1401] * 60.0
    peak = Known(replace(plane, heights=(200 + 3500 * np.exp(-(i**2 + j**2) / (2 * 1200.0**2))).astype(np.float32)))
    posts = posts_of(radar, first=(700, 1000), shape=(20, 30), step=(8, 5))
    found = displacement(posts, Level(200.0))
    grid = map_grid(posts, Level(200.0), utm(found), posting=150.0)
    one = np.ones(posts.shape)
    plain, added = (
        geocode(posts, {"one": one}, found.flags, grid, peak, masks=masks).whole() for masks in (False, True)
    )
    np.testing.assert_array_equal(plain["one"], added["one"])
    assert not (plain["flags"] & (Flag.LAYOVER | Flag.SHADOW)).any()
    assert ((added["flags"] & Flag.LAYOVER) > 0).sum() > 20


def test_what_cannot_be_mapped():
    found = drawn(shape=(9, 13))
    posts = found.posts
    nothing = np.full((9, 13), np.nan, np.float32)
    with pytest.raises(InputError, match="no post has a measurement"):
        map_grid(posts.with_field(replace(posts.field, d_row=nothing)), Level(0.0), 4326)
    with pytest.raises(ConfigError, match="a map needs a CRS"):
        map_grid(posts, Level(0.0), None)
    unknown = Known(HeightField(np.full((2, 2), np.nan), 0.0, 0.0, 1.0, 1.0))
    with pytest.raises(InputError, match="heights must be known where something was measured"):
        map_grid(posts, unknown, 4326)
    far = Grid((20, 30), Affine(100, 0, 0, 0, -100, 0), "EPSG:3413")
    shown = geocode(posts, {"dx": found.dx}, found.flags, far, Level(0.0)).whole()
    assert np.isnan(shown["dx"]).all()
    assert (shown["flags"] == Flag.NO_DATA).all()
