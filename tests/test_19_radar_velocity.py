"""Offsets in radar geometry as metres, against motions that are drawn on the ground and seen by geometry alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from radar_posts import DT, Known, at_their_height, moved, posts_of, seen_again, tilted
from sar_truth import circle, radar_grid
from sensetrack.errors import ConfigError, InputError
from sensetrack.ot.fields import Flag
from sensetrack.sar.ellipsoid import axes
from sensetrack.sar.geometry import apparent_motion, geo2rdr, rdr2geo, to_ecef
from sensetrack.sar.ground_motion import moved_along
from sensetrack.sar.heights import HeightField, Level
from sensetrack.sar.radar_field import RadarField
from sensetrack.sar.velocity import STATED, displacement

sides = pytest.mark.parametrize("look", [1, -1], ids=["right", "left"])
passes = pytest.mark.parametrize("argument", [0.6, np.pi - 0.6, 2 * np.pi - 1.25], ids=["up", "down", "antarctic"])


@sides
@passes
def test_a_level_motion_comes_back(look, argument):
    radar = radar_grid(look=look, argument=argument)
    east, north = np.linspace(-30, 61, 13), np.linspace(25, -110, 9)[:, None]
    posts = seen_again(posts_of(radar), Level(321.0), (east, north, 0.0), at_their_height)
    found = displacement(posts, Level(321.0))
    np.testing.assert_allclose(found.dx, np.broadcast_to(east, found.dx.shape), atol=1e-3)
    np.testing.assert_allclose(found.dy, np.broadcast_to(north, found.dy.shape), atol=1e-3)
    assert (found.up == 0).all()
    assert (found.flags == 0).all()
    np.testing.assert_allclose(found.height, 321.0)
    np.testing.assert_allclose(found.magnitude, np.hypot(east, north), atol=1e-3)


@sides
@passes
def test_a_motion_along_a_slope_comes_back(look, argument):
    radar = radar_grid(look=look, argument=argument)
    plane = tilted(radar)
    posts = posts_of(radar, first=(700, 1100))
    east, north = np.linspace(-30, 61, 13), np.linspace(25, -110, 9)[:, None]
    drawn = seen_again(posts, plane, (east, north, 0.0), lambda lon, lat, _: plane.heights_at(lon, lat))
    found = displacement(drawn, Known(plane), "surface")
    np.testing.assert_allclose(found.dx, np.broadcast_to(east, found.dx.shape), atol=1e-3)
    np.testing.assert_allclose(found.dy, np.broadcast_to(north, found.dy.shape), atol=1e-3)
    place = np.radians(found.lon), np.radians(found.lat), found.height
    lon, lat, _ = moved(place, (east, north, 0.0))
    np.testing.assert_allclose(found.up, plane.heights_at(lon, lat) - plane.heights_at(*place[:2]), atol=2e-3)
    assert np.ptp(found.up) > 10
    # taken for level, the rise of up to 14 m reads as a motion of metres
    assert np.abs(displacement(drawn, Known(plane)).dx - east).max() > 5


@sides
@passes
def test_range_and_flight(look, argument):
    radar = radar_grid(look=look, argument=argument)
    d_row, d_col = np.linspace(-2, 3, 9)[:, None] + np.zeros(13), np.linspace(5, -4, 13) + np.zeros((9, 1))
    posts = posts_of(radar, d_row=d_row, d_col=d_col)
    found = displacement(posts, Level(100.0))
    np.testing.assert_allclose(found.slant_range, d_col * radar.range_spacing, rtol=1e-6)
    # the same place seen later is farther along the flight, at the speed of the track over ground
    time, far = radar.time(posts.lines)[:, None], radar.slant_range(posts.samples)[None]
    one = rdr2geo(radar, time, far, 100.0)
    two = rdr2geo(radar, time + d_row * radar.line_interval, far, 100.0)
    length = np.linalg.norm(to_ecef(*two[:3]) - to_ecef(*one[:3]), axis=-1)
    np.testing.assert_allclose(found.along_track, np.sign(d_row) * length, rtol=2e-5, atol=1e-5)
    assert 5.5e3 * 0.0027 < found.along_track[-1, 0] / 3 < 7.1e3 * 0.0027
    # heading is where the satellite flies, as seen from the place
    _, velocity = circle(time, argument=argument)
    flight = np.einsum("...ij,...j->...i", axes(one.lon, one.lat), np.broadcast_to(velocity, (9, 13, 3)))
    turned = found.heading - np.degrees(np.arctan2(flight[..., 0], flight[..., 1]))
    assert np.abs((turned + 180) % 360 - 180).max() < 3
    # incidence by plane trigonometry: the sight against the vertical
    position, _ = circle(time, argument=argument)
    to = position - to_ecef(*one[:3])
    up = axes(one.lon, one.lat)[..., 2, :]
    cosine = (to * up).sum(-1) / np.linalg.norm(to, axis=-1)
    np.testing.assert_allclose(np.cos(np.radians(found.incidence)), cosine, atol=1e-6)
    np.testing.assert_allclose(found.local_incidence, found.incidence, atol=1e-4)
    np.testing.assert_allclose([found.lon, found.lat], np.degrees(one[:2]), atol=1e-9)


def test_the_sides_of_the_signs():
    """What moves away from the radar has a positive slant range; along the flight a positive along track."""
    for look in (1, -1):
        radar = radar_grid(look=look, argument=0.6)  # north and a little west
        posts = seen_again(posts_of(radar), Level(0.0), (40.0 * look, 0.0, 0.0), at_their_height)
        found = displacement(posts, Level(0.0))
        assert found.slant_range.min() > 20
        posts = seen_again(posts_of(radar), Level(0.0), (0.0, 30.0, 0.0), at_their_height)
        found = displacement(posts, Level(0.0))
        assert found.along_track.min() > 25
        assert (np.abs(found.heading) < 20).all()


def test_vertical_motion_leaks_into_range_as_stated():
    radar = radar_grid()
    posts = seen_again(posts_of(radar), Level(50.0), (4.0, -7.0, 2.5))
    found = displacement(posts, Level(50.0))
    here = np.radians(found.lon), np.radians(found.lat), 50.0
    east, north = apparent_motion(radar, *here, (4.0, -7.0, 2.5))
    np.testing.assert_allclose(found.dx, east, atol=1e-3)
    np.testing.assert_allclose(found.dy, north, atol=1e-3)
    # what rises comes nearer: less range by the cosine of the incidence
    still = displacement(seen_again(posts_of(radar), Level(50.0), (4.0, -7.0, 0.0)), Level(50.0))
    nearer = found.slant_range - still.slant_range
    np.testing.assert_allclose(nearer, -2.5 * np.cos(np.radians(found.incidence)), atol=1e-3)
    assert "rises by 1 m comes nearer" in found.stated
    assert set(STATED) == {"level", "surface"}


@pytest.mark.parametrize("assumption", ["level", "surface"])
def test_standard_errors_follow_the_geometry(assumption):
    """The covariance of metres is what small changes of the offsets make of theirs."""
    radar = radar_grid(look=-1, argument=np.pi - 0.6)
    surface = Known(tilted(radar))
    covariance = np.empty((9, 13, 3), np.float32)
    covariance[:] = 0.04**2, 0.09**2, 0.3 * 0.04 * 0.09
    covariance[0, 0] = np.nan
    posts = posts_of(radar, first=(700, 1100), covariance=covariance)

    def metres(row, col):
        there = posts.with_field(replace(posts.field, d_row=posts.field.d_row + np.float32(row),
                                         d_col=posts.field.d_col + np.float32(col)))  # fmt: skip
        found = displacement(there, surface, assumption)
        return np.stack([found.dx, found.dy], axis=-1).astype(float)

    by_row, by_col = metres(1, 0) - metres(0, 0), metres(0, 1) - metres(0, 0)
    jacobian = np.stack([by_row, by_col], axis=-1)
    sigma = np.array([[0.04**2, 0.3 * 0.04 * 0.09], [0.3 * 0.04 * 0.09, 0.09**2]])
    expected = jacobian @ sigma @ np.swapaxes(jacobian, -1, -2)
    found = displacement(posts, surface, assumption)
    inside = np.s_[1:, :]
    np.testing.assert_allclose(found.sigma_dx[inside] ** 2, expected[inside][..., 0, 0], rtol=2e-4)
    np.testing.assert_allclose(found.sigma_dy[inside] ** 2, expected[inside][..., 1, 1], rtol=2e-4)
    np.testing.assert_allclose(found.covariance[inside][..., 2], expected[inside][..., 0, 1], rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(found.sigma_slant_range[inside], 0.09 * 30.0, rtol=1e-6)
    level = np.hypot(*np.moveaxis(by_row, -1, 0)) if assumption == "level" else None
    if level is not None:
        np.testing.assert_allclose(found.sigma_along_track[inside], 0.04 * level[inside], rtol=1e-4)
    assert np.isnan([found.sigma_dx[0, 0], found.sigma_along_track[0, 0], found.sigma_slant_range[0, 0]]).all()
    assert np.isfinite(found.dx[0, 0])


def test_velocity():
    radar = radar_grid()
    found = displacement(seen_again(posts_of(radar), Level(0.0), (24.0, -36.0, 0.0), at_their_height), Level(0.0))
    vx, vy = found.velocity
    np.testing.assert_allclose([vx[3, 4], vy[3, 4]], [2.0, -3.0], atol=1e-4)
    np.testing.assert_allclose(found.per_year(found.dx)[3, 4], 24.0 / 12 * 365.25, rtol=1e-5)
    back = replace(found, posts=replace(found.posts, dt=-DT))
    np.testing.assert_allclose(back.velocity[0], -vx)
    for dt in (None, timedelta(0)):
        with pytest.raises(InputError, match="two different acquisition times"):
            _ = replace(found, posts=replace(found.posts, dt=dt)).velocity
    assert found.dt == DT


def test_what_is_missing_stays_missing():
    radar = radar_grid()
    plane = tilted(radar)
    posts = seen_again(posts_of(radar, first=(700, 1100)), plane, (9.0, 5.0, 0.0))
    d_row, d_col, flags = posts.field.d_row.copy(), posts.field.d_col.copy(), posts.field.flags.copy()
    d_row[2, 3] = d_col[2, 3] = np.nan
    flags[2, 3], flags[5, 5] = Flag.LOW_TEXTURE, Flag.OUTLIER
    posts = posts.with_field(replace(posts.field, d_row=d_row, d_col=d_col, flags=flags))
    whole = displacement(posts, Known(plane))
    assert np.isnan([whole.dx[2, 3], whole.dy[2, 3], whole.along_track[2, 3], whole.slant_range[2, 3]]).all()
    assert np.isfinite(whole.lon[2, 3])
    assert whole.flags[2, 3] == Flag.LOW_TEXTURE
    assert whole.flags[5, 5] == Flag.OUTLIER
    assert np.isfinite(whole.dx[5, 5])
    assert whole.good.sum() == 9 * 13 - 2
    # no heights in the north of some line: nothing is known of the ground there
    heights = plane.heights.copy()
    row = round((np.radians(whole.lat[4, 6]) - plane.lat) / plane.d_lat)
    heights[:row] = np.nan
    holed = displacement(posts, Known(replace(plane, heights=heights)))
    gone = np.isnan(holed.lon)
    assert 10 < gone.sum() < 9 * 13 - 10
    assert ((holed.flags & Flag.NO_DATA) > 0).tolist() == gone.tolist()
    assert np.isnan(holed.dx[gone]).all()
    assert np.isfinite(holed.slant_range[gone & np.isfinite(d_col)]).all()
    kept = ~gone & np.isfinite(d_row)
    np.testing.assert_array_equal(holed.dx[kept], whole.dx[kept])
    assert not np.isnan(holed.local_incidence[kept]).any()


def ridge(radar, height, width):
    """A ridge along the flight in the middle of an image: steep, it folds over and throws a shadow."""
    plane = tilted(radar, 0.0, 0.0, 200.0)
    i, j = np.mgrid[-900:901, -1400:1401] * 60.0
    heading = np.radians(radar.heading)
    across = j * np.cos(heading) - i * -np.sin(heading)
    return replace(plane, heights=(200 + height * np.exp(-(across**2) / (2 * width**2))).astype(np.float32))


def test_layover_and_shadow_are_flagged():
    radar = radar_grid()
    posts = posts_of(radar, first=(700, 600), shape=(4, 300), step=(8, 4))
    gentle = displacement(posts, Known(ridge(radar, 300.0, 1500.0)), reach=60.0)
    assert not (gentle.flags & (Flag.LAYOVER | Flag.SHADOW)).any()
    steep = displacement(posts, Known(ridge(radar, 4000.0, 1200.0)), reach=60.0)
    folded, hidden = ((steep.flags & flag) > 0 for flag in (Flag.LAYOVER, Flag.SHADOW))
    assert folded.sum() > 40
    assert hidden.sum() > 20
    # the shadow lies behind the ridge
    assert np.nonzero(hidden)[1].min() > np.median(np.nonzero(folded)[1])


def test_ground_that_faces_the_radar_says_nothing():
    """Up or down a slope that is square to the sight the range stays: nothing is invented."""
    radar = radar_grid()
    posts = seen_again(posts_of(radar), Level(650.0), (1.0, 2.0, 0.0))
    level = displacement(posts, Level(650.0))
    time = radar.time(posts.lines)[:, None] + posts.field.d_row.astype(float) * radar.line_interval
    far = radar.slant_range(posts.samples) + posts.field.d_col.astype(float) * radar.range_spacing
    # the radar is on the left: such ground rises to the right of the flight
    heading, rise = np.radians(level.heading), np.tan(np.radians(level.incidence))
    facing = rise * np.cos(heading), -rise * np.sin(heading)
    places = posts.places(Level(650.0))
    assert np.isnan(moved_along(radar, places, time, far, facing)).all()
    # half as steep, there is an answer
    found = moved_along(radar, places, time, far, (0.5 * facing[0], 0.5 * facing[1]))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.up, 0.5 * (facing[0] * found.east + facing[1] * found.north), atol=1e-6)


def test_blocks_and_mapper_change_nothing(monkeypatch):
    radar = radar_grid()
    surface = Known(tilted(radar))
    posts = seen_again(posts_of(radar, first=(700, 1100)), surface.whole, (9.0, 5.0, 0.0))
    whole = displacement(posts, surface, "surface")
    monkeypatch.setattr("sensetrack.sar.velocity._POSTS_AT_ONCE", 13 * 4)
    seen = []

    def backwards(function, items):
        items = list(items)
        return iter([function(item) for item in items[::-1]][::-1])

    parts = displacement(posts, surface, "surface", mapper=backwards, advance=lambda *done: seen.append(done))
    for name in ("dx", "dy", "up", "flags", "heading", "lon", "local_incidence", "covariance", "along_track"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_swapping_the_pair_turns_every_sign():
    radar = radar_grid()
    posts = seen_again(posts_of(radar), Level(0.0), (24.0, -36.0, 0.0), at_their_height)
    field = posts.field
    swapped = posts.with_field(replace(field, d_row=-field.d_row, d_col=-field.d_col))
    one, two = displacement(posts, Level(0.0)), displacement(swapped, Level(0.0))
    for name in ("dx", "dy", "slant_range", "along_track"):
        np.testing.assert_allclose(getattr(two, name), -getattr(one, name), atol=5e-3)


def test_a_field_is_checked_and_cut():
    radar = radar_grid()
    posts = posts_of(radar, d_row=np.arange(9.0)[:, None] + np.zeros(13))
    np.testing.assert_allclose(posts.lines[:2], [131.5, 139.5])  # 64 px from 100 on have their middle between pixels
    np.testing.assert_allclose(posts.samples[:2], [427.5, 471.5])
    part = posts.crop(slice(2, 7), slice(3, None))
    assert part.shape == (5, 10)
    np.testing.assert_array_equal(part.lines, posts.lines[2:7])
    np.testing.assert_array_equal(part.samples, posts.samples[3:])
    np.testing.assert_array_equal(part.field.d_row, posts.field.d_row[2:7, 3:])
    with pytest.raises(InputError, match=r"coherent must have the shape \(9, 13\)"):
        RadarField(posts.field, radar, np.ones((9, 12), bool), DT)
    with pytest.raises(ConfigError, match="must be one of level, surface, instead got 'up'"):
        displacement(posts, Level(0.0), "up")
    with pytest.raises(InputError, match="there are no posts"):
        displacement(posts.crop(slice(4, 4), slice(None)), Level(0.0))
    assert np.isnan(displacement(posts, Known(HeightField(np.full((2, 2), np.nan), 0, 0, 1, 1))).dx).all()


def test_ground_that_is_still_takes_the_bias_off():
    import shapely

    radar = radar_grid()
    rng = np.random.default_rng(5)
    row, col = np.mgrid[:40, :50]
    d_row = 0.3 + 0.004 * row - 0.002 * col + rng.normal(0, 0.01, row.shape)
    d_col = -0.2 + 0.001 * row + 0.003 * col + rng.normal(0, 0.02, row.shape)
    slide = (row > 25) & (col > 30)
    posts = posts_of(radar, shape=(40, 50), d_row=d_row + 2 * slide, d_col=d_col - 3 * slide)
    found = posts.places(Level(10.0))
    corner = np.degrees([found.lon[26, 31], found.lat[26, 31]])
    west = shapely.box(corner[0] - 9, corner[1] - 9, corner[0] + 9, corner[1] + 9)
    assert posts.inside(west, Level(10.0)).all()
    far = shapely.box(corner[0] + 360 - 1e-3, corner[1] - 1e-3, corner[0] + 360 + 1e-3, corner[1] + 1e-3)
    assert np.argwhere(posts.inside(far, Level(10.0))).tolist() == [[26, 31]]  # once around the Earth
    for stable in (~slide, None):
        clean, report = posts.unbiased(stable)
        assert np.abs(clean.field.d_row[~slide]).max() < 0.06
        np.testing.assert_allclose(np.median(clean.field.d_row[slide]), 2, atol=0.02)
        np.testing.assert_allclose(np.median(clean.field.d_col[slide]), -3, atol=0.03)
        assert report.model == "plane"
    with pytest.raises(InputError, match="stable ground must have the shape"):
        posts.unbiased(slide[1:])


def test_truth_is_drawn_right():
    """The offsets of these tests are those of places found with another formula."""
    radar = radar_grid()
    posts = seen_again(posts_of(radar), Level(0.0), (24.0, -36.0, 5.0))
    place = rdr2geo(radar, radar.time(posts.lines[3]), radar.slant_range(posts.samples[7]), 0.0)
    lon, lat, height = moved(place[:3], (24.0, -36.0, 5.0))
    assert height == pytest.approx(5.0, abs=1e-3)
    found = geo2rdr(radar, lon, lat, height)
    position, velocity = circle(float(found.time))
    to = to_ecef(lon, lat, height) - position
    assert abs((to * velocity).sum()) < 1.0
    assert radar.sample(np.linalg.norm(to)) - posts.samples[7] == pytest.approx(posts.field.d_col[3, 7], abs=1e-4)
    assert radar.line(found.time) - posts.lines[3] == pytest.approx(posts.field.d_row[3, 7], abs=1e-4)
