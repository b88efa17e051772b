"""Synthetic Sentinel-1 products, read back: what is in the pixels is what was put on the ground."""

from __future__ import annotations

import hashlib
import re
import textwrap
import warnings
import xml.etree.ElementTree as ET
from datetime import UTC, datetime

import numpy as np
import pyproj
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from scipy import fft, ndimage
from scipy.interpolate import KroghInterpolator
from scipy.optimize import brentq

from sensetrack.errors import ConfigError, OutputError
from sensetrack.files.plain_tiff import PlainTiff
from sensetrack.sar.carrier import deramp, phase
from sensetrack.sar.geometry import geo2rdr, rdr2geo
from sensetrack.sar.scatterers import from_earth
from sensetrack.sar.simulate import PointTarget, Scene, enl
from sensetrack.sentinel import simulate_s1
from sensetrack.sentinel.s1 import open_sentinel1
from sensetrack.sentinel.simulate_s1 import S1Recipe, later, plan, plan_of, write_pair, write_product

LIGHT = 299_792_458.0
LEVEL = 0.1
"""sigma0 of the even scene."""
MOVED = (20.0, -35.0, -6.0)
"""East, north, up, m."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two SLC products of an even scene of coherence 0.7, without noise, seen from the same orbit."""
    made = plan(S1Recipe(lines=180, samples=270, noise=-np.inf))
    paths = write_pair(tmp_path_factory.mktemp("pair"), Scene(height=640.0, sigma0=LEVEL, coherence=0.7), made)
    return made, *(open_sentinel1(path) for path in paths)


@pytest.fixture(scope="module")
def grd(tmp_path_factory):
    """Two GRD products of an even scene that moved by `MOVED` as a whole."""
    made = plan(S1Recipe(product="GRD", lines=260, samples=280, noise=-np.inf, ascending=True, place=(-20.0, 64.0)))

    def displacement(lon, lat):
        return tuple(np.full(lon.shape, size) for size in MOVED)

    scene = Scene(sigma0=LEVEL, displacement=displacement)
    paths = write_pair(tmp_path_factory.mktemp("grd"), scene, made)
    return made, *(open_sentinel1(path) for path in paths)


def bursts_of(product):
    """Yield (swath, burst, deramped valid pixels, first line, first sample)."""
    for swath in product.swaths.values():
        for burst in swath.bursts:
            top, bottom = burst.valid_lines
            left = int(burst.first_valid.max())
            right = int(burst.last_valid[top:bottom].min()) + 1
            pixels = swath.read(slice(burst.line, burst.line + burst.lines), slice(0, burst.samples))
            yield swath, burst, deramp(pixels, burst)[top:bottom, left:right], pixels[top:bottom, left:right]


def centroid(pixels, rate):
    """Centre of the azimuth spectrum on its circle, Hz."""
    power = (np.abs(fft.fft(pixels, axis=0)) ** 2).sum(axis=1)
    return float(np.angle(power @ np.exp(2j * np.pi * np.arange(power.size) / power.size)) / 2 / np.pi * rate)


def test_the_carrier_goes_away_and_leaves_the_windowed_band(pair):
    _, product, _ = pair
    centroids = []
    for swath, burst, flat, raw in bursts_of(product):
        rate = 1 / burst.line_interval
        centroids.append(centroid(flat, rate))
        for axis, sampling, focus in (
            (0, rate, swath.info.azimuth_focusing), (1, swath.info.range_sampling_rate, swath.info.range_focusing),
        ):  # fmt: skip
            window = np.hanning(flat.shape[axis])
            shaped = flat * (window[:, None] if axis == 0 else window)
            power = (np.abs(fft.fft(shaped, axis=axis)) ** 2).mean(axis=1 - axis)
            at = np.abs(fft.fftfreq(power.size, 1 / sampling)) / focus.processing_bandwidth
            a = focus.coefficient
            inside, outside = at < 0.45, at > 0.5 + 3 * sampling / focus.processing_bandwidth / power.size
            shape = (a + (1 - a) * np.cos(2 * np.pi * at[inside])) ** 2
            # Of the 270 lines or samples that are averaged, each frequency scatters by a tenth.
            assert np.corrcoef(shape, power[inside])[0, 1] > 0.75
            slope = np.polyfit(shape, power[inside] / power[inside].mean() * shape.mean(), 1)
            assert slope == pytest.approx([1, 0], abs=0.15)
            assert power[outside].mean() < 1e-3 * power[inside].mean()
        # With its carrier the band runs through all frequencies.
        power = (np.abs(fft.fft(raw, axis=0)) ** 2).mean(axis=1)
        beyond = np.abs(fft.fftfreq(power.size, 1 / rate)) > swath.info.azimuth_focusing.processing_bandwidth / 2 + 5
        assert power[beyond].mean() > 0.3 * power.mean()
    # Those of speckle scatter by half a hertz; those of points do not.
    assert len(centroids) == 6
    assert np.abs(centroids) == pytest.approx(0, abs=2)
    assert np.mean(centroids) == pytest.approx(0, abs=0.7)


def test_speckle_is_fully_developed_and_as_bright_as_calibrated(pair):
    _, product, _ = pair
    powers, looks = [], []
    for swath, burst, flat, _ in bursts_of(product):
        top, left = burst.line + burst.valid_lines[0], int(burst.first_valid.max())
        rows, cols = slice(top, top + flat.shape[0]), slice(left, left + flat.shape[1])
        intensity = np.abs(flat.astype(complex)) ** 2
        powers.append((intensity / swath.calibration.table("sigma0").window(rows, cols) ** 2).mean())
        looks.append(intensity.mean() ** 2 / intensity.var())
    assert 10 * np.log10(np.mean(powers) / LEVEL) == pytest.approx(0, abs=0.05)
    assert np.mean(looks) == pytest.approx(1, abs=0.02)


def test_the_pair_is_as_coherent_as_asked(pair):
    _, first, second = pair
    for (_, _, one, _), (_, _, two, _) in zip(bursts_of(first), bursts_of(second), strict=True):
        product = (two * one.conj()).astype(complex).mean()
        coherence = product / np.sqrt((np.abs(one) ** 2).mean() * (np.abs(two) ** 2).mean())
        assert abs(coherence) == pytest.approx(0.7, abs=0.02)
        assert np.angle(coherence) == pytest.approx(0, abs=0.02)


def test_bursts_of_one_image_see_the_overlap_independently(pair):
    _, product, _ = pair
    swath = product.swaths["iw1/vv"]
    one, two = swath.bursts[:2]
    shift = round((two.time - one.time) / one.line_interval)
    overlap = one.valid_lines[1] - shift - two.valid_lines[0]
    assert overlap > 10
    cols = slice(20, 250)
    above = deramp(swath.read(slice(0, one.lines), slice(0, one.samples)), one)[shift + two.valid_lines[0] :, cols]
    below = deramp(swath.read(slice(two.line, two.line + two.lines), slice(0, two.samples)), two)[
        two.valid_lines[0] :, cols
    ]
    above, below = above[:overlap], below[:overlap]
    assert np.abs(above).mean() == pytest.approx(np.abs(below).mean(), rel=0.1)
    alike = (above * below.conj()).mean() / np.sqrt((np.abs(above) ** 2).mean() * (np.abs(below) ** 2).mean())
    assert abs(alike) < 0.1


def test_phase_is_that_of_the_distance(tmp_path):
    """A lift of 5 mm brings the ground nearer by its part along the line of sight."""
    made = plan(S1Recipe(swaths=("IW2",), bursts=1, lines=90, samples=120, noise=-np.inf, ascending=True))
    scene = Scene(displacement=lambda lon, lat: (0 * lon, 0 * lon, 0 * lon + 0.005))
    first, second = (open_sentinel1(path) for path in write_pair(tmp_path, scene, made))
    (_, _, one, _), (_, _, two, _) = (next(iter(bursts_of(product))) for product in (first, second))
    angle = np.angle((two * one.conj()).astype(complex).mean())
    nearer = 0.005 * np.cos(first.swaths["iw2/vv"].info.incidence)
    assert angle == pytest.approx(4 * np.pi / (LIGHT / 5.40500045433435e9) * nearer, abs=0.01)


# Where points are: the nearest approach to state vectors as anyone can read and interpolate them.


def track_of(product):
    """Return the epoch of the annotation's orbit and its position at s since then, by a polynomial of 15th degree."""
    root = ET.parse(next((product.path / "annotation").glob("*.xml"))).getroot()
    vectors = root.findall("generalAnnotation/orbitList/orbit")
    times = [datetime.fromisoformat(vector.findtext("time")).replace(tzinfo=UTC) for vector in vectors]
    at = [(time - times[0]).total_seconds() for time in times]
    place = [[float(vector.findtext(f"position/{axis}")) for axis in "xyz"] for vector in vectors]
    middle = len(at) // 2
    near = slice(middle - 4, middle + 4)
    return times[0], KroghInterpolator(at[near], np.array(place)[near])


def nearest(product, lon, lat, height, moved=(0.0, 0.0, 0.0)):
    """Return when the satellite is nearest to a place (s since the product's epoch), and its distance."""
    epoch, track = track_of(product)
    xyz = np.array(pyproj.Transformer.from_crs(4979, 4978, always_xy=True).transform(lon, lat, height))
    x, y = np.radians([lon, lat])
    east = [-np.sin(x), np.cos(x), 0]
    up = [np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)]
    xyz = xyz + np.transpose([east, np.cross(up, east), up]) @ moved
    middle = (product.info.start - epoch).total_seconds()
    time = brentq(lambda t: np.dot(xyz - track(t), track.derivative(t)), middle - 5, middle + 5, xtol=1e-12)
    return time + (epoch - product.epoch).total_seconds(), float(np.linalg.norm(xyz - track(time)))


def peak_of(pixels, around, size=24, finer=32):
    """Return the brightest place near (row, column), interpolated by the Fourier transform."""
    row, col = (round(at) for at in around)
    chip = pixels[row - size // 2 : row + size // 2, col - size // 2 : col + size // 2]
    top, left = np.unravel_index(np.argmax(np.abs(chip)), chip.shape)
    row, col = row - size // 2 + top, col - size // 2 + left
    chip = pixels[row - size // 2 : row + size // 2, col - size // 2 : col + size // 2]
    spectrum = fft.fftshift(fft.fft2(chip))
    edge = size * (finer - 1) // 2
    fine = np.abs(fft.ifft2(fft.ifftshift(np.pad(spectrum, edge))))
    i, j = np.unravel_index(np.argmax(fine), fine.shape)
    return row - size // 2 + i / finer, col - size // 2 + j / finer


@pytest.mark.parametrize("ascending", [True, False])
def test_points_of_an_slc_are_where_the_satellite_comes_nearest(tmp_path, ascending):
    made = plan(S1Recipe(lines=150, samples=200, noise=-np.inf, ascending=ascending, place=(-70.3, -33.4)))
    targets = []
    for k, swath in enumerate(made.swaths):
        time = swath.times[k % 2] + (60 + 9 * k) * swath.line_interval
        place = made.track.ground(
            time, LIGHT / 2 * (swath.range_time + (90 + 7 * k) / swath.range.rate), 730.0 - 50 * k
        )
        lon, lat, height = (round(float(part), 6) for part in from_earth(place))
        targets.append(PointTarget(lon, lat, height))
    product = open_sentinel1(write_product(tmp_path, Scene(sigma0=0.0, targets=tuple(targets)), made))
    assert product.info.orbit_pass == ("ascending" if ascending else "descending")
    for k, (swath, target) in enumerate(zip(product.swaths.values(), targets, strict=True)):
        time, distance = nearest(product, target.lon, target.lat, target.height)
        burst = swath.bursts[k % 2]
        pixels = swath.read(slice(burst.line, burst.line + burst.lines), slice(0, burst.samples))
        line = (time - burst.time) / burst.line_interval
        sample = (distance - LIGHT / 2 * burst.range_time) / swath.info.range_spacing
        flat = deramp(pixels, burst)
        assert centroid(flat, 1 / burst.line_interval) == pytest.approx(0, abs=0.1)
        found = peak_of(flat, (line, sample))
        assert found == pytest.approx((line, sample), abs=0.05)
        # All energy of a point is its cross section, and the phase at its place is that of the distance.
        area = swath.info.azimuth_spacing * swath.info.range_spacing
        energy = float((np.abs(pixels.astype(complex)) ** 2).sum())
        assert energy == pytest.approx(237**2 * target.area / area, rel=0.02)


def test_points_of_a_grd_are_where_the_satellite_comes_nearest(tmp_path):
    made = plan(S1Recipe(product="GRD", lines=150, samples=160, noise=-np.inf, place=(140.2, 36.1)))
    swath = made.swaths[0]
    ranges = made.slant_ranges(swath)
    place = made.track.ground(swath.times[0] + 70.3 * swath.line_interval, ranges[70, 90] + 2, 1500.0)
    lon, lat, height = (round(float(part), 6) for part in from_earth(place))
    target = PointTarget(lon, lat, height, area=1e6)
    product = open_sentinel1(write_product(tmp_path, Scene(sigma0=0.0, targets=(target,)), made))
    found = product.swaths["iw/vv"]
    time, distance = nearest(product, lon, lat, height)
    # The distance along the ground: circles of that distance on the height of the ellipsoid, one metre apart.
    grid = found.radar_grid
    line, sample = (time - grid.first_time) / grid.line_interval, float(grid.sample(distance, time))
    steps = made.track.ground(time, np.linspace(ranges[70, 0], distance, 4000), 0.0)
    assert np.linalg.norm(np.diff(steps, axis=0), axis=1).sum() / 10 == pytest.approx(sample, abs=0.02)
    pixels = found.read(slice(0, 150), slice(0, 160)).astype(float) ** 2
    assert peak_of(pixels, (line, sample)) == pytest.approx((line, sample), abs=0.05)


def test_a_grd_has_the_looks_that_its_bands_give(grd):
    made, product, _ = grd
    swath = product.swaths["iw/vv"]
    intensity = swath.read(slice(0, 260), slice(0, 280)).astype(float) ** 2
    sigma0 = intensity / swath.calibration.table("sigma0").window(slice(0, 260), slice(0, 280)) ** 2
    assert 10 * np.log10(sigma0.mean() / LEVEL) == pytest.approx(0, abs=0.05)
    expected = enl(made.frame(made.swaths[0]))
    assert 4.4 < expected < 5  # five looks that overlap by a quarter
    assert sigma0.mean() ** 2 / sigma0.var() == pytest.approx(expected, rel=0.05)
    info = swath.info
    assert (info.range_focusing.looks, info.azimuth_focusing.looks) == (5, 1)
    assert info.azimuth_spacing == pytest.approx(10, rel=0.01)


def shift_of(first, second):
    """Return by how much an image has moved (rows, columns): the peak of the correlation of its intensities."""
    one, two = (part - part.mean() for part in (first, second))
    spectrum = fft.fft2(two) * fft.fft2(one).conj()
    rough = np.unravel_index(np.argmax(np.abs(fft.ifft2(spectrum))), spectrum.shape)
    rows, cols = (fft.fftfreq(size) for size in spectrum.shape)
    fine = np.arange(-1, 1, 0.01)
    down, right = (np.exp(2j * np.pi * np.outer(at + fine, f)) for at, f in zip(rough, (rows, cols), strict=True))
    i, j = np.unravel_index(np.argmax((down @ spectrum @ right.T).real), (fine.size, fine.size))
    found = np.array([rough[0] + fine[i], rough[1] + fine[j]])
    return tuple((found + np.array(first.shape) / 2) % first.shape - np.array(first.shape) / 2)


def test_displacement_moves_the_image_as_the_geometry_says(grd):
    made, first, second = grd
    swath = first.swaths["iw/vv"]
    lon, lat, _ = from_earth(
        made.track.ground(swath.radar_grid.middle_time, made.slant_ranges(made.swaths[0])[0, 140], 0)
    )
    before = nearest(first, float(lon), float(lat), 0.0)
    after = nearest(second, float(lon), float(lat), 0.0, MOVED)
    grid = swath.radar_grid
    down = (after[0] - before[0]) / grid.line_interval
    right = float(grid.sample(after[1], before[0]) - grid.sample(before[1], before[0]))
    # The satellite flies north and looks east: what moves south, east and down is seen earlier and further away.
    assert down < -3
    assert right > 2
    images = (
        product.swaths["iw/vv"].read(slice(0, 260), slice(0, 280)).astype(float) ** 2 for product in (first, second)
    )
    assert shift_of(*images) == pytest.approx((down, right), abs=0.03)


def test_displacement_moves_an_slc_likewise(tmp_path):
    made = plan(S1Recipe(swaths=("IW3",), bursts=1, lines=180, samples=260, noise=-np.inf))
    scene = Scene(sigma0=LEVEL, coherence=0.9, displacement=lambda lon, lat: tuple(0 * lon + size for size in MOVED))
    second = later(made, late=0.004111)  # two lines
    first, second = (open_sentinel1(path) for path in write_pair(tmp_path, scene, made, second))
    swath, burst, one, _ = next(iter(bursts_of(first)))
    _, other, two, _ = next(iter(bursts_of(second)))
    time = burst.time + 90 * burst.line_interval
    distance = LIGHT / 2 * burst.range_time + 130 * swath.info.range_spacing
    lon, lat, _ = from_earth(made.track.ground(time, distance, 0.0))
    before = nearest(first, float(lon), float(lat), 0.0)
    after = nearest(second, float(lon), float(lat), 0.0, MOVED)
    down = (after[0] - other.time) / other.line_interval - (before[0] - burst.time) / burst.line_interval
    right = (after[1] - before[1]) / swath.info.range_spacing
    # Intensities need twice the sampling of amplitudes.
    fine = []
    for image in (one, two):
        spectrum = fft.fftshift(fft.fft2(image.astype(complex)))
        rows, cols = (size // 2 for size in image.shape)
        padded = np.pad(spectrum, ((rows, image.shape[0] - rows), (cols, image.shape[1] - cols)))
        fine.append(np.abs(fft.ifft2(fft.ifftshift(padded))) ** 2)
    assert down == pytest.approx(-2 + 35 * np.cos(0.25) / 14, abs=0.6)
    assert abs(right) > 1
    assert np.array(shift_of(*fine)) / 2 == pytest.approx((down, right), abs=0.04)


def test_another_orbit_sees_the_same_scatterers_from_elsewhere(tmp_path):
    """Sampled where each pixel is seen from a baseline of 50 m, and with the phase of its distance taken off, the
    second image is the first one: all that is lost is what the two bands, shifted by the baseline, do not share."""
    made = plan(S1Recipe(swaths=("IW2",), bursts=1, lines=130, samples=220, noise=-np.inf))
    scene = Scene(height=lambda lon, lat: 500 + 9e3 * (lat - 46.4) + 4e3 * (lon - 8.0))
    paths = write_pair(tmp_path, scene, made, later(made, east=60.0, late=0.004111))
    (first, one, _, raw), (second, two, flat, _) = (next(bursts_of(open_sentinel1(path))) for path in paths)
    top, left = 40, 60
    line, sample = np.mgrid[top:100, left:170].astype(float)
    grid, other = first.burst_grid(0), second.burst_grid(0)
    height = np.full(line.shape, 500.0)
    for _ in range(30):
        place = rdr2geo(grid, grid.time(line), grid.slant_range(sample), height)
        height = scene.heights(np.degrees(place.lon), np.degrees(place.lat))
    seen = geo2rdr(other, place.lon, place.lat, place.height)
    at = other.line(seen.time), other.sample(seen.slant_range)
    assert abs((at[1] - sample).mean()) > 5
    assert (at[0] - line).mean() == pytest.approx(-2, abs=1)
    origin = two.valid_lines[0], int(two.first_valid.max())
    spectrum = fft.fftshift(fft.fft2(flat.astype(complex)))
    edges = [(size // 2 * 3, size * 3 - size // 2 * 3) for size in flat.shape]
    fine = fft.ifft2(fft.ifftshift(np.pad(spectrum, edges)))  # four times as many samples
    where = [4 * (a - b) for a, b in zip(at, origin, strict=True)]
    parts = (ndimage.map_coordinates(part, where, order=3) for part in (fine.real, fine.imag))
    sampled = sum(part * unit for part, unit in zip(parts, (1, 1j), strict=True))
    sampled = sampled * np.exp(1j * phase(two, *at))
    nearer = seen.slant_range - grid.slant_range(sample)
    sampled *= np.exp(4j * np.pi / grid.wavelength * nearer)
    begin = top - one.valid_lines[0], left - int(one.first_valid.max())
    window = raw[begin[0] : begin[0] + 60, begin[1] : begin[1] + 110].astype(complex)
    alike = (sampled * window.conj()).mean() / np.sqrt((np.abs(sampled) ** 2).mean() * (np.abs(window) ** 2).mean())
    assert abs(alike) > 0.95
    assert np.angle(alike) == pytest.approx(0, abs=0.05)


# The files.


def test_noise_is_what_the_tables_say(tmp_path):
    """Without an echo, the mean over the tables is 1, in an SLC and in a GRD, with new tables and with old ones."""
    for number, (product, ipf) in enumerate((("SLC", "003.71"), ("SLC", "002.36"), ("GRD", "003.71"))):
        recipe = S1Recipe(product, swaths=("IW2",), lines=150, samples=240, noise=-18.0, ipf=ipf)
        found = open_sentinel1(write_product(tmp_path / str(number), Scene(sigma0=0.0), plan(recipe)))
        (swath,) = found.swaths.values()
        whole = slice(0, swath.shape[0]), slice(0, 240)
        expected = swath.noise.window(*whole)
        middle = expected[75, 120]
        assert middle == pytest.approx(237**2 * 10**-1.8, rel=1e-3)
        assert expected[:20, :20].mean() > 1.5 * middle  # towards the ends of swath and burst
        assert (len(swath.noise.azimuth) == 0) == (ipf < "002.90")
        power = np.abs(swath.read(*whole).astype(complex)) ** 2
        measured = power > 0 if product == "GRD" else np.zeros(swath.shape, bool)
        for burst in swath.bursts:
            top, bottom = burst.valid_lines
            measured[burst.line + top : burst.line + bottom, burst.first_valid.max() : burst.last_valid[top] + 1] = True
        assert (power[measured] / expected[measured]).mean() == pytest.approx(1, abs=0.02)
        assert not power[~measured].any()


def test_the_folder_is_that_of_a_product(tmp_path):
    recipe = S1Recipe(
        lines=40, samples=60, swaths=("IW1", "IW3"), polarisations=("VV", "VH"), ipf="002.36", platform="B"
    )
    path = write_product(tmp_path, Scene(), plan(recipe))
    assert re.fullmatch(r"S1B_IW_SLC__1SDV_20240601T052623_20240601T05262\d_054130_069545_[0-9A-F]{4}\.SAFE", path.name)
    root = ET.parse(path / "manifest.safe").getroot()
    listed = {}
    for stream in root.iter("byteStream"):
        file = path / stream.find("fileLocation").get("href")
        content = file.read_bytes()
        assert len(content) == int(stream.get("size"))
        assert hashlib.md5(content).hexdigest() == stream.findtext("checksum")
        listed[file.relative_to(path).as_posix()] = content
    assert len(listed) == 16  # two swaths, two polarisations: image, annotation, calibration, noise
    pixels = {name: content for name, content in listed.items() if name.endswith(".tiff")}
    assert all(
        re.fullmatch(r"measurement/s1b-iw\d-slc-v[vh]-[\dt]+-[\dt]+-054130-069545-00\d\.tiff", name) for name in pixels
    )
    assert sorted(int(name[-8:-5]) for name in pixels) == [1, 2, 3, 4]
    annotation = ET.parse(next((path / "annotation").glob("*iw1-slc-vv*.xml"))).getroot()
    bursts = annotation.findall("swathTiming/burstList/burst")
    content = next(content for name, content in pixels.items() if "iw1-slc-vv" in name)
    # Bursts begin where the annotation says, and old ones have no number.
    raw = np.frombuffer(content, "<i2", 40 * 60 * 2, int(bursts[1].findtext("byteOffset"))).reshape(40, 60, 2)
    product = open_sentinel1(path)
    read = product.swaths["iw1/vv"].read(slice(40, 80), slice(0, 60))
    assert np.array_equal(raw[..., 0] + 1j * raw[..., 1], read)
    assert (read.real == np.rint(read.real)).all()
    assert annotation.find("swathTiming/burstList/burst/burstId") is None
    assert annotation.find("generalAnnotation/azimuthFmRateList/azimuthFmRate/c0") is not None
    assert set(product.swaths) == {"iw1/vv", "iw1/vh", "iw3/vv", "iw3/vh"}
    # Cross-polarised speckle is weaker, and another one.
    vv, vh = (product.swaths[f"iw3/{name}"].read(slice(0, 40), slice(0, 60)) for name in ("vv", "vh"))
    assert 10 * np.log10((np.abs(vv) ** 2).mean() / (np.abs(vh) ** 2).mean()) > 3
    assert abs((vv * vh.conj()).mean()) < 0.15 * np.abs(vv).std() * np.abs(vh).std() + 300


def test_a_zip_is_the_same_and_a_number_makes_another_one(tmp_path):
    made = plan(S1Recipe(swaths=("IW1",), bursts=1, lines=40, samples=60))
    folder = write_product(tmp_path / "a", Scene(), made)
    packed = write_product(tmp_path / "b", Scene(), made, zipped=True)
    other = write_product(tmp_path / "c", Scene(), made, seed=8)
    assert packed.name == f"{folder.name}.zip"
    assert not packed.with_suffix("").exists()
    window = slice(0, 40), slice(0, 60)
    one, two, three = (open_sentinel1(path).swaths["iw1/vv"].read(*window) for path in (folder, packed, other))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, three)


def test_the_grid_of_the_annotation_is_on_the_ground(pair, grd):
    """Its points are seen when and where it says: the nearest approach, with the heights of the scene."""
    for product, height in ((pair[1], 640.0), (grd[1], 0.0)):
        for swath in product.swaths.values():
            grid = swath.geolocation
            assert grid.height == pytest.approx(height, abs=1e-3)
            for i, j in ((0, 0), (1, 7), (-1, -1)):
                time, distance = nearest(product, grid.longitude[i, j], grid.latitude[i, j], grid.height[i, j])
                assert (time - grid.times[i, j]) * 6800 == pytest.approx(0, abs=0.02)  # annotated to a microsecond
                assert distance - LIGHT / 2 * grid.range_times[i, j] == pytest.approx(0, abs=1e-3)


def test_the_second_plan_has_its_baseline_and_its_bursts():
    made = plan()
    second = later(made, days=6, east=120.0, late=0.004)
    assert (second.epoch - made.epoch).days == 6
    assert second.swaths[0].times[0] - made.swaths[0].times[0] == pytest.approx(0.004)
    apart = np.linalg.norm(made.track(0.1) - second.track(0.1))
    assert 0.6 * 120 < apart < 1.2 * 120


def test_what_cannot_be_made_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="swaths must be some of IW1, IW2, IW3, instead got EW1"):
        plan(S1Recipe(swaths=("EW1",)))
    with pytest.raises(ConfigError, match="same swaths and bursts"):
        write_pair(tmp_path, Scene(), plan(), plan(S1Recipe(bursts=3)))
    assert not any(tmp_path.iterdir())
    made = plan(S1Recipe(swaths=("IW1",), bursts=1, lines=20, samples=40))
    write_product(tmp_path, Scene(), made)
    with pytest.raises(ConfigError, match="exists already"):
        write_product(tmp_path, Scene(), made)
    with pytest.raises(ConfigError, match="finite"):
        write_product(tmp_path, Scene(height=np.nan), made)
    assert [path.suffix for path in tmp_path.iterdir()] == [".SAFE"]


def test_a_plain_tiff_is_written_whole(tmp_path):
    with (
        pytest.raises(OutputError, match="must have 3 lines, instead got 2"),
        PlainTiff(tmp_path / "a.tiff", (3, 4), "uint16") as file,
    ):
        file.write(np.zeros((2, 4), np.uint16))
    with PlainTiff(tmp_path / "b.tiff", (1, 4), "cint16") as file:
        for wrong in (np.zeros((1, 4), np.int16), np.zeros((1, 3, 2), np.int16), np.zeros((1, 4, 2), np.uint16)):
            with pytest.raises(OutputError, match="int16 of shape"):
                file.write(wrong)
        file.write(np.arange(8, dtype=np.int16).reshape(1, 4, 2))
        start = file.start
    content = (tmp_path / "b.tiff").read_bytes()
    assert content[start:] == bytes(n for k in range(8) for n in (k, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(tmp_path / "b.tiff") as image:
            assert image.dtypes == ("complex_int16",)
            assert image.read(1).tolist() == [[0 + 1j, 2 + 3j, 4 + 5j, 6 + 7j]]
    with pytest.raises(OutputError, match="larger than 4 GB"):
        PlainTiff(tmp_path / "c.tiff", (40_000, 30_000), "cint16")


def test_the_recipe_of_the_module_runs(tmp_path, monkeypatch):
    text = simulate_s1.__doc__.split("::\n", 1)[1].split("\n\n`S1Recipe`")[0]
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(textwrap.dedent(text), names)
    products = [open_sentinel1(names[name]) for name in ("reference", "secondary")]
    assert (products[1].info.start - products[0].info.start).days == 12
    one, two = (product.swaths["iw/vv"].read(slice(0, 300), slice(0, 300)) for product in products)
    # Beside the slide nothing has moved, and the coherence of the amplitudes is that of the scatterers squared.
    still = np.s_[:80, :80]
    assert np.corrcoef(one[still].ravel() ** 2, two[still].ravel() ** 2)[0, 1] == pytest.approx(0.64 / 1.3, abs=0.2)


@pytest.mark.data
@pytest.mark.parametrize("key", ["iw1/vv", "iw2/vv", "iw3/vh"])
def test_a_real_annotation_is_the_model(data, tmp_path, key):
    """Orbit, times and Doppler of a real burst: the band that its processor kept comes out where it should."""
    path = next((data / "safe_s1_2023_morocco").glob("S1A*20230904*.zip"))
    real = open_sentinel1(path)
    made = plan_of(real, swaths=(key,), bursts=slice(3, 4), samples=slice(12_000, 12_160), noise=-np.inf)
    burst = real.swaths[key].bursts[3]
    time = made.swaths[0].times[0] + 700 * made.swaths[0].line_interval
    place = made.track.ground(time, made.frame(made.swaths[0]).near_range + 150, 350.0)
    lon, lat, height = (float(part) for part in from_earth(place))
    scene = Scene(height=350.0, sigma0=1e-4, targets=(PointTarget(lon, lat, height, 3e5),))
    product = open_sentinel1(write_product(tmp_path, scene, made))
    swath = product.swaths[key]
    assert swath.bursts[0].burst_id == burst.burst_id
    assert swath.bursts[0].lines == burst.lines
    assert (swath.bursts[0].time + (product.epoch - real.epoch).total_seconds()) == pytest.approx(burst.time, abs=2e-6)
    flat = deramp(swath.read(slice(0, burst.lines), slice(0, 160)), swath.bursts[0])
    assert peak_of(flat, (700, 150 / swath.info.range_spacing))[0] == pytest.approx(700, abs=0.05)
    top, bottom = swath.bursts[0].valid_lines
    assert abs(centroid(flat[top:bottom], 1 / swath.info.line_interval)) < 1
