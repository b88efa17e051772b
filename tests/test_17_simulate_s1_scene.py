"""The simulator on arrays: exact sums, relief, orbit, noise; nothing is written."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from scipy import fft

from sensetrack.errors import ConfigError
from sensetrack.files.dem import flat_dem
from sensetrack.sar import scatterers, simulate
from sensetrack.sar.geometry import geo2rdr, rdr2geo
from sensetrack.sar.radargrid import RadarGrid
from sensetrack.sar.scatterers import from_earth
from sensetrack.sar.simulate import Band, Ground, PointTarget, Scene, detected, quantised, slc
from sensetrack.sar.simulated_orbit import CircularOrbit
from sensetrack.sentinel.simulate_s1 import S1Recipe, plan

SMALL = S1Recipe(swaths=("IW1",), bursts=1, lines=70, samples=400)


@pytest.mark.parametrize("works", [True, False])
def test_points_between_pixels_are_summed_exactly(monkeypatch, works):
    if works and not scatterers.WORKS:
        pytest.skip("numba does not work here")
    monkeypatch.setattr(scatterers, "WORKS", works)
    rng = np.random.default_rng(3)
    line, sample = rng.uniform(5, 42, 200), rng.uniform(5, 54, 200)
    weight = rng.standard_normal(200) + 1j * rng.standard_normal(200)
    canvas = scatterers.Canvas((48, 60))
    for part in (slice(0, 90), slice(90, None)):
        canvas.add(line[part], sample[part], weight[part])
    found = canvas.spectrum()
    down = np.exp(-2j * np.pi * np.outer(fft.fftfreq(48), line))
    right = np.exp(-2j * np.pi * np.outer(fft.fftfreq(60), sample))
    assert np.abs(found - (down * weight) @ right.T).max() < 2e-6 * np.abs(found).max()


def test_the_orbit_is_a_circle_around_a_turning_earth():
    circle = CircularOrbit(11.0, 46.0, ascending=False)
    place, velocity = circle.state(np.array([-0.5, 0.0, 0.5]))
    assert np.degrees(np.arctan2(place[1, 1], place[1, 0])) == pytest.approx(11, abs=1e-9)
    assert np.degrees(np.arcsin(place[1, 2] / np.linalg.norm(place[1]))) == pytest.approx(46, abs=1e-9)
    assert np.linalg.norm(place, axis=1) == pytest.approx(7.0713e6, rel=1e-3)
    assert place[2] - place[0] == pytest.approx(velocity[1], rel=1e-6)
    assert velocity[1, 2] < 0
    # Seen from the stars, it falls towards the centre of the Earth and keeps its plane.
    turn = np.array([0, 0, 7.2921158553e-5])
    spin = np.cross(place[1], velocity[1] + np.cross(turn, place[1]))
    assert np.degrees(np.arccos(spin[2] / np.linalg.norm(spin))) == pytest.approx(98.18, abs=1e-9)
    orbit = circle.vectors(datetime(2024, 1, 1, tzinfo=UTC), -31, 42)
    assert orbit.times.tolist() == list(range(-40, 51, 10))
    assert orbit.state(3.7)[0] == pytest.approx(circle.state(3.7)[0], abs=1e-5)
    with pytest.raises(ConfigError, match=r"lat must be below 81\.82 degrees"):
        CircularOrbit(0.0, 85.0)


def test_the_recipe_looks_to_the_right_at_its_place():
    for ascending in (True, False):
        made = plan(S1Recipe(place=(179.95, -44.0), ascending=ascending, lines=None, samples=None, bursts=9))
        names = [swath.name for swath in made.swaths]
        frames = [made.frame(swath, 4) for swath in made.swaths]
        lon, lat, _ = from_earth(made.track.ground(frames[1].first_time, frames[1].near_range + 31e3, 0.0))
        assert abs((lon - 179.95 + 180) % 360 - 180) < 0.4
        assert abs(lat + 44) < 0.2
        below = from_earth(made.track(frames[1].first_time))[0]
        east = (lon - below + 180) % 360 - 180 > 0
        assert east == ascending
        # The next swath begins before this one ends, and the next burst likewise.
        assert names == ["IW1", "IW2", "IW3"]
        assert all(a.far_range > b.near_range > a.near_range for a, b in pairwise(frames))
        assert all(np.diff(swath.times).max() < 0.91 * swath.lines * swath.line_interval for swath in made.swaths)
        rate = frames[0].carrier.fm_rate[1][0]
        assert -2400 < rate < -2250  # as annotated in real products


@pytest.mark.parametrize("ascending", [True, False])
def test_its_geometry_is_that_of_the_processor(ascending):
    """Both were written on their own: places agree to less than a millimetre."""
    made = plan(S1Recipe(lines=None, samples=None, ascending=ascending))
    frame = made.frame(made.swaths[2])
    grid = RadarGrid(
        frame.lines, frame.samples, made.epoch, frame.first_time, frame.line_interval, frame.near_range,
        frame.range_spacing, 1, frame.wavelength, frame.orbit,
    )  # fmt: skip
    rng = np.random.default_rng(5)
    time = rng.uniform(frame.first_time, frame.last_time, 300)
    distance, height = rng.uniform(*frame.ends, 300), rng.uniform(-300, 4000, 300)
    lon, lat, known = from_earth(made.track.ground(time, distance, height))
    assert known == pytest.approx(height, abs=1e-5)
    theirs = rdr2geo(grid, time, distance, height)
    assert np.degrees(theirs.lon) == pytest.approx(lon, abs=1e-8)
    assert np.degrees(theirs.lat) == pytest.approx(lat, abs=1e-8)
    seen = geo2rdr(grid, np.radians(lon), np.radians(lat), known)
    assert seen.slant_range == pytest.approx(distance, abs=1e-4)
    assert seen.time == pytest.approx(time, abs=1e-7)
    ours = made.track.see(scatterers.to_earth(lon, lat, known))
    assert ours[0] == pytest.approx(time, abs=1e-8)
    assert ours[1] == pytest.approx(distance, abs=1e-4)


def mean_power(made, scene, **options):
    frame = made.frame(made.swaths[0])
    image = slc(frame, Ground(scene, frame), **options)
    return frame, (np.abs(image.astype(complex)) ** 2).mean(axis=0)


def tilted(made, angle):
    """Height of a plane that rises away from the radar, m."""
    frame = made.frame(made.swaths[0])
    time, middle = (frame.first_time + frame.last_time) / 2, (frame.near_range + frame.far_range) / 2
    (lon, far), (lat, up), _ = from_earth(made.track.ground(time, np.array([middle, middle + 100]), 0.0))
    scale = 111.2e3 * np.array([np.cos(np.radians(lat)), 1])
    away = np.array([far - lon, up - lat]) * scale
    away /= np.linalg.norm(away)

    def height(x, y):
        return np.tan(np.radians(angle)) * ((x - lon) * scale[0] * away[0] + (y - lat) * scale[1] * away[1])

    return height


@pytest.mark.parametrize("angle", [-25.0, 15.0])
def test_slopes_are_as_bright_as_their_angle_says(angle):
    """Gamma0 is the same everywhere, so that beta0 goes as the cotangent of the local incidence."""
    made = plan(SMALL)
    frame, flat = mean_power(made, Scene(), amplitude=100)
    _, steep = mean_power(made, Scene(height=tilted(made, angle)), amplitude=100)
    time, middle = frame.first_time, (frame.near_range + frame.far_range) / 2
    place = made.track.ground(time, middle, 0.0)
    line = made.track(time) - place
    lon, lat, _ = from_earth(place)
    theta = np.arccos(line @ scatterers.axes(lon, lat)[2] / np.linalg.norm(line))
    expected = np.tan(theta) / np.tan(theta - np.radians(angle))
    assert steep.mean() / flat.mean() == pytest.approx(expected, rel=0.04)
    assert flat.mean() == pytest.approx(100**2 * 10**-0.8 / np.tan(theta), rel=0.03)


def test_a_wall_hides_what_lies_behind_it():
    made = plan(SMALL)
    plane, high = tilted(made, 45.0), 400.0  # its height is the distance from the middle

    def wall(lon, lat):
        return np.where(np.abs(plane(lon, lat)) < 12, high, 0.0)

    frame, power = mean_power(made, Scene(height=wall, sigma0=0.1))
    dark = power < 0.05 * np.median(power)
    middle = made.track.ground(frame.first_time, (frame.near_range + frame.far_range) / 2, 0.0)
    line = made.track(frame.first_time) - middle
    lon, lat, _ = from_earth(middle)
    cosine = line @ scatterers.axes(lon, lat)[2] / np.linalg.norm(line)
    # From the foot of the wall to where the line of sight over its top meets the ground; before the wall the ground is
    # seen, under the top that lies over it.
    sine = np.sqrt(1 - cosine**2)
    assert dark.sum() * frame.range_spacing == pytest.approx((24 + high * sine / cosine) * sine, abs=16)
    assert np.ptp(np.flatnonzero(dark)) < dark.sum() + 3
    assert np.flatnonzero(dark)[0] == pytest.approx(200 - 12 * sine / frame.range_spacing, abs=6)
    top = 200 - round(high * cosine / frame.range_spacing)
    assert power[top - 5 : top + 6].max() > 3 * np.median(power)


def test_an_elevation_model_may_be_the_ground():
    made = plan(SMALL)
    place = made.track.ground(0.05, made.frame(made.swaths[0]).near_range + 300, 0.0)
    lon, lat, _ = (np.array([part]) for part in from_earth(place))
    assert Scene(height=flat_dem(812.0)).heights(lon, lat) == pytest.approx(812)

    class Slope:
        def heights_at(self, lon, lat):
            return 1e4 * lat

    assert Scene(height=Slope()).heights(lon, lat) == pytest.approx(1e4 * np.radians(lat))


def test_strips_join(monkeypatch):
    """Drawn in strips, an image is the same but for side lobes from far away."""
    made = plan(SMALL)
    frame = made.frame(made.swaths[0])
    scene = Scene(height=lambda lon, lat: 300 * np.sin(200 * lon))
    whole = slc(frame, Ground(scene, frame))
    monkeypatch.setattr(simulate, "_STRIP", 150)
    parts = slc(frame, Ground(scene, frame))
    # At the outer ends, which are no joints, the strips see further than the whole.
    inner = np.s_[:, 60:-60]
    size = np.sqrt(np.mean(np.abs(whole) ** 2))
    assert np.abs(whole - parts)[inner].max() < 0.1 * size
    assert np.sqrt(np.mean(np.abs(whole - parts)[inner] ** 2)) < 0.03 * size


def test_strips_of_a_detected_image_join(monkeypatch):
    made = plan(S1Recipe(product="GRD", lines=50, samples=300))
    frame, ranges = made.frame(made.swaths[0]), made.slant_ranges(made.swaths[0])
    ground = Ground(Scene(height=lambda lon, lat: 200 * np.sin(300 * lon)), frame)
    whole = detected(frame, ground, ranges)
    monkeypatch.setattr(simulate, "_STRIP", 200)
    parts = detected(frame, ground, ranges)
    inner = np.s_[:, 10:-10]
    assert np.corrcoef(whole[inner].ravel(), parts[inner].ravel())[0, 1] > 0.999


def test_coherence_may_vary_and_seeds_repeat():
    made = plan(SMALL)
    frame = made.frame(made.swaths[0])
    west = float(np.median(from_earth(made.track.ground(frame.first_time, np.array(frame.ends), 0.0))[0]))
    scene = Scene(coherence=lambda lon, lat: np.where(lon < west, 0.9, 0.2))
    one, again, two = (slc(frame, Ground(scene, frame), draw=draw) for draw in (0, 0, 1))
    assert np.array_equal(one, again)
    other = slc(frame, Ground(scene, frame, key=(8,)))
    found = []
    for pair in ((one, two), (one, other)):
        for cols in (slice(0, 150), slice(250, 400)):
            first, second = (image[:, cols].astype(complex) for image in pair)
            cross = (first * second.conj()).mean()
            found.append(abs(cross) / np.sqrt((np.abs(first) ** 2).mean() * (np.abs(second) ** 2).mean()))
    # The track is descending and looks west: far samples are in the west.
    assert found == pytest.approx([0.2, 0.9, 0.0, 0.0], abs=0.04)


def test_noise_has_the_power_and_the_band_that_are_asked_for():
    made = plan(SMALL)
    frame = made.frame(made.swaths[0])

    def noise(time, distance):
        return 400 + 600 * (distance > frame.near_range + 200 * frame.range_spacing) + 0 * time

    image = slc(frame, Ground(Scene(sigma0=0.0), frame), noise=noise)
    power = (np.abs(image) ** 2).mean(axis=0)
    assert power[:190].mean() == pytest.approx(400, rel=0.05)
    assert power[210:].mean() == pytest.approx(1000, rel=0.05)
    spectrum = (np.abs(fft.fft(image * np.hanning(400), axis=1)) ** 2).mean(axis=0)
    outside = np.abs(fft.fftfreq(400, 1 / frame.range.rate)) > frame.range.width / 2 + 1e6
    assert spectrum[outside].mean() < 1e-3 * spectrum.mean()


def test_numbers_are_rounded_and_held():
    image = np.array([[1.4 - 2.6j, 1e9 - 1e9j]], np.complex64)
    assert quantised(image).tolist() == [[[1, -3], [32767, -32768]]]


def test_bands_have_their_window():
    band = Band(100.0, 40.0, 0.75, centre=10.0)
    at = dict(zip(fft.fftfreq(200, 0.01).tolist(), band.response(200).tolist(), strict=True))
    assert at[10.0] == 1
    assert at[30.0] == at[-10.0] == pytest.approx(0.5)
    assert at[20.0] == pytest.approx(0.75)
    assert at[31.0] == at[-11.0] == 0


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        (Scene(height=lambda lon, lat: np.nan * lon), "height of a simulated scene must be finite"),
        (Scene(displacement=lambda lon, lat: (lon, lat)), "east, north and up, instead got 2"),
    ],
)
def test_scenes_that_cannot_be_are_refused(scene, message):
    frame = plan(SMALL).frame(plan(SMALL).swaths[0])
    with pytest.raises(ConfigError, match=message):
        slc(frame, Ground(scene, frame), moved=True)


def test_targets_may_stand_still(monkeypatch):
    made = plan(SMALL)
    frame = made.frame(made.swaths[0])
    place = made.track.ground(
        frame.first_time + 0.07, np.array([150, 250]) * frame.range_spacing + frame.near_range, 0.0
    )
    lon, lat, _ = from_earth(place)
    targets = tuple(PointTarget(x, y, 0.0, moves=moves) for x, y, moves in zip(lon, lat, (True, False), strict=True))
    scene = Scene(sigma0=0.0, targets=targets, displacement=lambda x, y: (0 * x, 0 * x, 0 * x - 30.0))
    before, after = (np.abs(slc(frame, Ground(scene, frame), moved=moved)).max(axis=0) for moved in (False, True))
    assert (before[100:200].argmax(), before[200:300].argmax()) == (50, 50)
    assert after[100:200].argmax() == 50 + 11  # 30 m lower is 26 m further away
    assert after[200:300].argmax() == 50
