"""Range-Doppler geometry against orbits that are known exactly, there and back, for all sides and directions."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pyproj
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_truth import circle, circular_orbit, radar_grid
from sensetrack.errors import InputError
from sensetrack.sar.ellipsoid import axes
from sensetrack.sar.geometry import (
    apparent_motion,
    from_ecef,
    geo2rdr,
    geo2rdr_xyz,
    ground_axes,
    incidence,
    look_vector,
    rdr2geo,
    to_ecef,
)  # fmt: skip
from sensetrack.sar.heights import HeightField, Level

sides = st.sampled_from([1, -1])
arguments = st.floats(0.05, 6.2)
"""Way from the ascending node: both pass directions, both hemispheres, the poles."""


def lattice(grid, lines=7, samples=9):
    time = grid.time(np.linspace(0, grid.lines - 1, lines))[:, None]
    far = grid.slant_range(np.linspace(0, grid.samples - 1, samples))[None]
    return np.broadcast_arrays(time, far)


@given(st.floats(-3.14, 3.14), st.floats(-1.5707, 1.5707), st.floats(-11_000, 900_000))
@settings(max_examples=60, deadline=None)
def test_places_agree_with_proj(lon, lat, height):
    proj = pyproj.Transformer.from_crs(4979, 4978, always_xy=True)
    xyz = to_ecef(lon, lat, height)
    np.testing.assert_allclose(xyz, proj.transform(np.degrees(lon), np.degrees(lat), height), atol=1e-6)
    back = from_ecef(xyz)
    assert np.abs(to_ecef(*back) - xyz).max() < 2e-8
    assert back[2] == pytest.approx(height, abs=1e-7)


def test_poles_and_nan():
    _, lat, height = from_ecef([[0.0, 0, 6_356_752.314245179 + 20], [0, 0, -6_356_752.314245179], [np.nan, 1, 1]])
    np.testing.assert_allclose(lat[:2], [np.pi / 2, -np.pi / 2])
    np.testing.assert_allclose(height[:2], [20, 0], atol=1e-8)
    assert np.isnan([lat[2], height[2]]).all()
    assert to_ecef(np.zeros((3, 1)), np.zeros(4), 0).shape == (3, 4, 3)


@given(sides, arguments, st.floats(-400, 8800))
@settings(max_examples=40, deadline=None)
def test_there_and_back_on_a_height(look, argument, height):
    grid = radar_grid(look=look, argument=argument)
    time, far = lattice(grid)
    places = rdr2geo(grid, time, far, height)
    assert not places.layover.any()
    found = geo2rdr(grid, places.lon, places.lat, places.height)
    assert np.abs(found.time - time).max() * 7000 < 1e-4
    assert np.abs(found.slant_range - far).max() < 1e-6
    # the satellite is where it was drawn, the place across its way, and on the side it looks to
    position, velocity = circle(time, argument=argument)
    to = to_ecef(places.lon, places.lat, height) - position
    assert np.abs((to * velocity).sum(-1)).max() < 1.0  # m2/s: 0.1 mm along the track
    np.testing.assert_allclose(np.sqrt((to**2).sum(-1)), far, atol=1e-5)
    right = (to * np.cross(velocity, position)).sum(-1)
    assert (np.sign(right) == look).all()


def test_the_other_side_is_not_seen():
    grid = radar_grid(look=1)
    time, far = lattice(grid)
    left = rdr2geo(radar_grid(look=-1), time, far, 100.0)
    assert np.isnan(geo2rdr(grid, left.lon, left.lat, 100.0).time).all()
    # an orbit by itself sees both sides
    found = geo2rdr(grid.orbit, left.lon, left.lat, 100.0)
    np.testing.assert_allclose(found.time, time, atol=1e-9)


def test_nothing_beyond_the_orbit():
    orbit = circular_orbit(start=-40.0, count=10)  # to 50 s
    grid = radar_grid(orbit=orbit)
    long = radar_grid(orbit=circular_orbit(start=-400, count=80))
    t = np.array([-41.0, -40.0 + 1e-6, 3.0, 50.0 - 1e-6, 51.0, 60.0, 85.0])
    places = rdr2geo(long, t, 850_000.0, 20.0)
    assert np.isfinite(places.lon).all()
    found = geo2rdr(grid, places.lon, places.lat, 20.0)
    assert np.isnan(found.time).tolist() == [True, False, False, False, True, True, True]
    assert np.isnan(found.slant_range).tolist() == np.isnan(found.time).tolist()
    np.testing.assert_allclose(found.time[1:4], t[1:4], atol=1e-9)
    assert np.isnan(rdr2geo(grid, t, 850_000.0, 20.0).lat).tolist() == [True, False, False, False, True, True, True]


def test_no_such_places():
    grid = radar_grid()
    places = rdr2geo(grid, [2.0, 2.0, 2.0, np.nan, 2.0], [600_000.0, 4e6, np.nan, 85e4, 85e4], [0, 0, 0, 0, np.nan])
    assert np.isnan(places.lon).all()
    assert np.isnan(places.height).all()
    antipode = rdr2geo(grid, 2.0, 850_000.0, 0.0)
    assert np.isnan(geo2rdr(grid, antipode.lon + np.pi, -antipode.lat, 0.0).time)
    found = geo2rdr(grid, [np.nan, antipode.lon], [0.1, antipode.lat], [0.0, np.nan])
    assert np.isnan(found.time).all()


def test_degrees_are_refused():
    with pytest.raises(InputError, match="must be radians, instead got up to 46"):
        geo2rdr(radar_grid(), 9.0, [46.0, np.nan], 0.0)


def test_order_and_shape_do_not_matter():
    """Each place begins where the one before was found; far jumps must not harm."""
    grid = radar_grid()
    time, far = lattice(grid, 40, 30)
    places = rdr2geo(grid, time, far, 500.0)
    order = np.random.default_rng(3).permutation(time.size)
    found = geo2rdr(grid, places.lon.ravel()[order], places.lat.ravel()[order], 500.0)
    np.testing.assert_allclose(found.time, time.ravel()[order], atol=2e-9)
    single = geo2rdr(grid, places.lon[3, 4], places.lat[3, 4], 500.0)
    assert single.time.shape == ()
    assert geo2rdr(grid, places.lon[:0], places.lat[:0], 0.0).time.shape == (0, 30)
    xyz = to_ecef(places.lon, places.lat, 500.0)
    np.testing.assert_allclose(geo2rdr_xyz(grid, xyz).time, time, atol=2e-9)


def test_single_precision_is_taken_up():
    grid = radar_grid()
    place = rdr2geo(grid, 2.0, 850_000.0, 100.0)
    lon, lat = np.float32(place.lon), np.float32(place.lat)
    found, exact = geo2rdr(grid, lon, lat, np.float32(100)), geo2rdr(grid, float(lon), float(lat), 100.0)
    assert found.slant_range.dtype == found.time.dtype == np.float64
    assert (found.slant_range, found.time) == (exact.slant_range, exact.time)
    back = rdr2geo(grid, np.float32(2.0), np.float32(850_000.0), np.float32(100.0))
    assert (back.lon, back.lat) == (place.lon, place.lat)


def hill(grid, height, width=2500.0):
    """A Gaussian hill at the middle of the image, on a field of 30 m postings."""
    middle = rdr2geo(grid, grid.middle_time, grid.slant_range(grid.samples / 2), 100.0)
    d = 30.0 / 6.37e6
    d_lon = d / np.cos(middle.lat)
    i, j = np.mgrid[-600:601, -700:701] * 30.0
    heights = 100 + height * np.exp(-(i**2 + j**2) / (2 * width**2))
    return HeightField(heights.astype(np.float32), middle.lon - 700 * d_lon, middle.lat + 600 * d, d_lon, -d)


@pytest.mark.parametrize("look", [1, -1])
@pytest.mark.parametrize("argument", [0.6, np.pi - 0.6])
def test_there_and_back_on_a_surface(look, argument):
    grid = radar_grid(look=look, argument=argument)
    field = hill(grid, 700.0)
    time = grid.time(np.linspace(600, 900, 31))[:, None]
    far = grid.slant_range(np.linspace(1150, 1450, 41))[None]
    places = rdr2geo(grid, time, far, field)
    assert np.isfinite(places.lon).all()
    assert np.ptp(places.height) > 400
    assert not places.layover.any()
    np.testing.assert_allclose(field.heights_at(places.lon, places.lat), places.height, atol=2e-4)
    found = geo2rdr(grid, places.lon, places.lat, places.height)
    assert np.abs(found.time - time).max() * 7000 < 1e-4
    assert np.abs(found.slant_range - far).max() < 1e-5


def test_layover_is_said():
    """A hill steeper than the look: its top and its foot are seen at the same range."""
    grid = radar_grid()
    gentle, steep = hill(grid, 700.0), hill(grid, 3500.0, 1200.0)
    time, far = grid.time(749.5), grid.slant_range(np.arange(900, 1400))
    assert not rdr2geo(grid, time, far, gentle).layover.any()
    places = rdr2geo(grid, time, far, steep)
    assert 20 < places.layover.sum() < 400
    # how often the ground of that time crosses a range, found by looking at all of the surface
    row, col = np.mgrid[: steep.heights.shape[0], : steep.heights.shape[1]]
    seen = geo2rdr(grid, steep.lon + col * steep.d_lon, steep.lat + row * steep.d_lat, steep.heights)
    later = np.sign(seen.time[1, 0] - seen.time[0, 0])
    profile = np.array(
        [np.interp(later * time, later * t, r) for t, r in zip(seen.time.T, seen.slant_range.T, strict=True)]
    )
    crossings = np.array([np.count_nonzero(np.diff(profile > distance)) for distance in far])
    assert (places.layover == (crossings > 1)).mean() > 0.99
    # of several places the one nearest to the track is given
    track = to_ecef(*from_ecef(circle(float(time))[0])[:2], 0.0)
    ground = np.linalg.norm(to_ecef(places.lon, places.lat, 0.0) - track, axis=-1)
    assert (np.diff(ground[~places.layover]) > 0).all()


def test_unknown_ground_is_nan():
    grid = radar_grid()
    field = hill(grid, 300.0)
    holed = field.heights.copy()
    holed[560:640, 640:760] = np.nan
    places = rdr2geo(grid, grid.time(749.5), grid.slant_range([1200, 1300, 1400]),
                     HeightField(holed, field.lon, field.lat, field.d_lon, field.d_lat))  # fmt: skip
    assert np.isnan(places.height).tolist() == [False, True, False]
    nothing = HeightField(np.full((5, 5), np.nan), field.lon, field.lat, field.d_lon, field.d_lat)
    assert np.isnan(rdr2geo(grid, grid.time([3, 4]), 850_000.0, nothing).lon).all()


class Asked:
    """A surface that remembers what it was asked for."""

    def __init__(self, height, posting):
        self.level, self.posting, self.areas = Level(height), posting, []

    def field(self, west, south, east, north):
        assert west < east
        assert south < north
        self.areas.append((east - west) * np.cos(north) * (north - south) * (6378137.0 / self.posting) ** 2)
        return self.level.field(west, south, east, north)


@given(sides, arguments)
@settings(max_examples=12, deadline=None)
def test_a_surface_is_asked_for_what_is_needed_in_bounded_pieces(look, argument):
    grid = radar_grid(look=look, argument=argument)
    time, far = lattice(grid, 60, 12)
    expected = rdr2geo(grid, time, far, 250.0)
    if np.abs(expected.lat).max() > 1.5:  # meridians meet
        return
    surface = Asked(250.0, 2.0)
    places = rdr2geo(grid, time, far, surface)
    error = np.linalg.norm(to_ecef(places.lon, places.lat, 250.0) - to_ecef(expected.lon, expected.lat, 250.0), axis=-1)
    assert error.max() < 1e-3
    assert len(surface.areas) > 1
    coarse = Asked(250.0, 200.0)
    rdr2geo(grid, time, far, coarse)
    assert len(coarse.areas) == 1


@given(sides, arguments, st.floats(-60, 60), st.floats(-60, 60), st.floats(-40, 40))
@settings(max_examples=30, deadline=None)
def test_directions_agree_with_motion(look, argument, east, north, up):
    """Move a place, look where it is seen, and compare with look vector, axes and apparent motion."""
    grid = radar_grid(look=look, argument=argument)
    place = rdr2geo(grid, *lattice(grid, 3, 3), 300.0)
    lon, lat = place.lon, place.lat
    motion = np.array([east, north, up]) / 10
    moved = to_ecef(lon, lat, 300.0) + np.einsum("...ji,j->...i", axes(lon, lat), motion)
    before, after = geo2rdr(grid, lon, lat, 300.0), geo2rdr_xyz(grid, moved)
    farther, later = after.slant_range - before.slant_range, after.time - before.time
    np.testing.assert_allclose((look_vector(grid, lon, lat, 300.0) * motion).sum(-1), farther, atol=5e-4)
    along = ground_axes(grid, lon, lat, 300.0)
    seen_east = farther * along.range_east + later * along.speed * along.azimuth_east
    seen_north = farther * along.range_north + later * along.speed * along.azimuth_north
    found = apparent_motion(grid, lon, lat, 300.0, tuple(motion))
    np.testing.assert_allclose(found[0], seen_east, atol=2e-3)
    np.testing.assert_allclose(found[1], seen_north, atol=2e-3)
    # what a map made at the old height shows
    shown = rdr2geo(grid, after.time, after.slant_range, 300.0)
    step = np.einsum(
        "...ij,...j->...i", axes(lon, lat), to_ecef(shown.lon, shown.lat, 300.0) - to_ecef(lon, lat, 300.0)
    )
    np.testing.assert_allclose(found, np.moveaxis(step[..., :2], -1, 0), atol=2e-3)
    if up == 0:
        np.testing.assert_allclose(found[0], motion[0], atol=1e-6)


def test_axes_on_a_slope():
    """A metre of range on ground that rises to the east by 1 in 5 and falls to the north by 1 in 10."""
    grid = radar_grid()
    place = rdr2geo(grid, 3.0, 850_000.0, 200.0)
    slope = 0.2, -0.1
    along = ground_axes(grid, place.lon, place.lat, 200.0, slope=slope)
    frame = axes(place.lon, place.lat)
    for farther, later in ((1.0, 0.0), (0.0, 0.002)):
        east = farther * along.range_east + later * along.speed * along.azimuth_east
        north = farther * along.range_north + later * along.speed * along.azimuth_north
        moved = to_ecef(place.lon, place.lat, 200.0) + np.array([east, north, east * 0.2 - north * 0.1]) @ frame
        found = geo2rdr_xyz(grid, moved)
        assert found.slant_range - 850_000 == pytest.approx(farther, abs=2e-4)
        assert found.time - 3.0 == pytest.approx(later, abs=1e-7)
    flat = ground_axes(grid, place.lon, place.lat, 200.0)
    assert not np.allclose([along.range_east], [flat.range_east], rtol=0.02)


def test_incidence():
    grid = radar_grid()
    place = rdr2geo(grid, 3.0, [800_000.0, 870_000.0], 200.0)
    flat = incidence(grid, place.lon, place.lat, 200.0)
    assert (np.diff(flat) > 0.1).all()
    # by the law of cosines, on the sphere through both ends
    satellite = np.linalg.norm(circle(3.0)[0])
    ground = np.linalg.norm(to_ecef(place.lon, place.lat, 200.0), axis=-1)
    far = np.array([800_000.0, 870_000.0])
    sphere = np.pi - np.arccos((far**2 + ground**2 - satellite**2) / (2 * far * ground))
    np.testing.assert_allclose(flat, sphere, atol=np.radians(0.2))
    # a slope that faces the radar (it looks east) is met more steeply
    towards = incidence(grid, place.lon, place.lat, 200.0, slope=(0.3, 0.0))
    away = incidence(grid, place.lon, place.lat, 200.0, slope=(-0.3, 0.0))
    assert (towards < flat).all()
    assert (away > flat).all()
    np.testing.assert_allclose(flat - towards, np.arctan(0.3), atol=0.02)
    time = geo2rdr(grid, place.lon, place.lat, 200.0).time
    np.testing.assert_array_equal(incidence(grid, place.lon, place.lat, 200.0, time=time), flat)


def test_a_flight_north_looks_east():
    grid = radar_grid(argument=0.02, inclination=np.pi / 2)
    place = rdr2geo(grid, 3.0, 850_000.0, 0.0)
    east, north, up = look_vector(grid, place.lon, place.lat, 0.0)
    assert east > 0.5
    assert abs(north) < 0.08
    assert up < -0.5
    along = ground_axes(grid, place.lon, place.lat, 0.0)
    assert along.azimuth_north == pytest.approx(1, abs=0.02)
    assert along.range_east == pytest.approx(1 / east, rel=0.02)
    assert 6500 < along.speed < 7000


FALLBACK = """
    import sys
    import numpy as np
    sys.path.insert(0, sys.argv[1])
    from sar_truth import radar_grid
    from test_15_geometry import hill, lattice
    from test_15_radargrid import ground_grid
    from sensetrack.sar.compiling import WORKS
    from sensetrack.sar.geometry import from_ecef, geo2rdr, rdr2geo, to_ecef
    grid = radar_grid(look=-1, argument=2.3)
    time, far = lattice(grid, 12, 15)
    time = np.where(np.arange(15) == 4, np.nan, time) - 50 * (np.arange(15) == 7) + 500 * (np.arange(15) == 8)
    places = rdr2geo(grid, time, far, 250.0)
    seen = geo2rdr(grid, *(np.where(np.arange(15) == 2, np.nan, part) for part in places[:3]))
    out = geo2rdr(grid, places.lon + 1.0, places.lat, 0.0)
    field = hill(grid, 3500.0, 1200.0)
    t, r = grid.time(np.arange(700, 800, 10.0))[:, None], grid.slant_range(np.arange(900, 1400, 3.0))
    met = rdr2geo(grid, t, r, field)
    ground = ground_grid()
    np.savez(sys.argv[2], works=WORKS, lon=places.lon, lat=places.lat, time=seen.time, far=seen.slant_range,
             out=out.time, met=np.stack(met[:3]), layover=met.layover, xyz=to_ecef(*places[:3]),
             back=np.stack(from_ecef(to_ecef(*places[:3]))),
             sample=ground.sample(np.linspace(8e5, 9e5, 50), np.linspace(-1, 4, 50)))
"""


def test_without_a_compiler_everything_is_the_same(tmp_path):
    found = []
    for disabled in ("0", "1"):
        path = tmp_path / f"{disabled}.npz"
        command = [sys.executable, "-c", textwrap.dedent(FALLBACK), os.path.dirname(__file__), str(path)]  # noqa: PTH120
        subprocess.run(command, check=True, env=os.environ | {"NUMBA_DISABLE_JIT": disabled})
        found.append(np.load(path))
    fast, slow = found
    assert (bool(fast["works"]), bool(slow["works"])) == (True, False)
    limits = {
        "lon": 1e-12,
        "lat": 1e-12,
        "time": 2e-9,
        "far": 1e-6,
        "out": 1e-9,
        "xyz": 1e-8,
        "back": 1e-8,
        "sample": 1e-9,
    }
    for name, limit in limits.items():
        assert np.isfinite(fast[name]).any() or name == "out", name
        np.testing.assert_allclose(fast[name], slow[name], atol=limit, rtol=0, err_msg=name)
    assert (fast["layover"] == slow["layover"]).mean() > 0.998
    same = fast["layover"] == slow["layover"]
    np.testing.assert_allclose(fast["met"][:2, same], slow["met"][:2, same], atol=1e-9)
    np.testing.assert_allclose(fast["met"][2, same], slow["met"][2, same], atol=2e-3)
