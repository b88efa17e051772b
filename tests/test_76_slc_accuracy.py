"""From two SLCs to velocity, held against pairs whose motion is known exactly; no data needed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyproj
import pytest
import rasterio
from scipy import fft

import slc_chain
import slc_truth as st
from conftest import read_tif
from sensetrack.files.dem import open_dem
from sensetrack.grid import Grid
from sensetrack.ot.fields import OffsetField
from sensetrack.sar.carrier import deramp
from sensetrack.sar.geometry import geo2rdr, rdr2geo
from sensetrack.sar.merge import Part, frame_of, merge
from sensetrack.sar.offsets import SlcOffsets
from sensetrack.sar.radar_field import RadarField
from sensetrack.sar.scatterers import from_earth
from sensetrack.sar.simulate import PointTarget
from sensetrack.sar.velocity import displacement
from sensetrack.sentinel.s1 import open_sentinel1
from sensetrack.sentinel.simulate_s1 import write_pair

# The truth itself


def brightest(pixels, around, half=10, finer=16):
    """Return the brightest place near (row, column), by the Fourier transform and a parabola."""
    row, col = (round(float(at)) for at in around)
    chip = pixels[row - half : row + half, col - half : col + half]
    spectrum = fft.fft2(chip)
    fine = np.arange(-1.5, 1.5, 1 / finer)
    top, left = np.unravel_index(np.argmax(np.abs(chip)), chip.shape)
    down, right = (np.exp(2j * np.pi * np.outer(at + fine, fft.fftfreq(2 * half))) for at in (top, left))
    power = np.abs(down @ spectrum @ right.T) ** 2
    i, j = np.unravel_index(np.argmax(power), power.shape)
    vertex = [
        (three[0] - three[2]) / (three[0] - 2 * three[1] + three[2]) / 2
        for three in (power[i - 1 : i + 2, j], power[i, j - 1 : j + 2])
    ]
    return row - half + top + fine[i] + vertex[0] / finer, col - half + left + fine[j] + vertex[1] / finer


@pytest.mark.parametrize("ascending", [False, True])
def test_the_truth_is_where_points_are_drawn(tmp_path, ascending):
    """Reflectors that moved with the ground: their peaks in both images, and the step from one to the other."""
    plans = st.made_up(ascending=ascending, lines=200, samples=330, bursts=1, place=(-70.3, -33.4))
    scene = replace(st.sliding(plans[0], height=st.hills, slide=(12.0, -4.0), size=(900.0, 700.0)), sigma0=0.0)
    truth = st.Burst.of(scene, plans)
    line, sample = np.array([60.0, 71.0, 103.4, 141.7]), np.array([70.3, 262.0, 165.5, 238.1])
    places = from_earth(truth.ground(line, sample)[0])
    targets = tuple(PointTarget(*(float(part) for part in place)) for place in zip(*places, strict=True))
    paths = write_pair(tmp_path, replace(scene, targets=targets), *plans)
    flat = []
    for path in paths:
        swath = open_sentinel1(path).swaths["iw1/vv"]
        flat.append(deramp(swath.read(slice(0, 200), slice(0, 330)), swath.bursts[0]))
    wanted = truth.expected(line, sample)
    for k, (row, col) in enumerate(zip(line, sample, strict=True)):
        assert brightest(flat[0], (row, col)) == pytest.approx((row, col), abs=0.02)
        down, right = wanted.d_line[k] + wanted.geometry[0][k], wanted.d_sample[k] + wanted.geometry[1][k]
        assert brightest(flat[1], (row + down, col + right)) == pytest.approx((row + down, col + right), abs=0.02)
    # The step is the motion and the orbit, which both are far from 0 and not alike.
    assert min(np.abs(part).min() for part in (*wanted.geometry, wanted.d_line)) > 1
    assert np.ptp(wanted.d_sample) > 0.1


def test_the_truth_agrees_with_the_geometry_of_images():
    """Another way to the same numbers: interpolated orbits and places of the ground on an elevation model."""
    plans = st.made_up(ascending=True, lines=160, samples=900, bursts=2)
    scene = st.sliding(plans[0], height=st.hills, burst=1)
    truth = st.Burst.of(scene, plans, burst=1)
    line, sample = np.array([[20.0], [77.5], [140.0]]), np.array([[60.0, 430.2, 800.0]])
    wanted = truth.expected(line, sample)
    assert wanted.plain.all()
    first, second = (
        st.grid_of(one, frame) for one, frame in zip(plans, (truth.reference, truth.secondary), strict=True)
    )
    f = truth.reference
    times, ranges = f.first_time + line * f.line_interval, f.near_range + sample * f.range_spacing
    places = rdr2geo(first, times, ranges, st.surface_of(st.hills, wanted))
    seen = geo2rdr(second, places.lon, places.lat, places.height)
    g = truth.secondary
    assert (seen.time - g.first_time) / g.line_interval - line == pytest.approx(wanted.geometry[0], abs=2e-3)
    assert (seen.slant_range - g.near_range) / g.range_spacing - sample == pytest.approx(wanted.geometry[1], abs=2e-3)


# From offsets to metres


@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("assumption", ["level", "surface"])
def test_true_offsets_become_true_metres(ascending, assumption):
    """Motion that keeps its height on hills, and motion along an inclined plane: east, north and what is assumed."""
    plans = st.made_up(ascending=ascending, lines=400, samples=3000, bursts=1)
    scene = st.sliding(plans[0], height=st.hills, slide=(12.0, 0.0))
    if assumption == "surface":
        scene = replace(scene, height=incline, displacement=Along(scene.displacement))
    truth = st.Burst.of(scene, plans)
    lines, samples = np.arange(45.0, 360, 52), np.arange(30.0, 2950, 170)
    wanted = truth.expected(lines[:, None], samples)
    shape = wanted.d_line.shape
    variance = np.broadcast_to(np.float32([0.03**2, 0.02**2, 0]), (*shape, 3))
    field = OffsetField(
        wanted.d_line.astype(np.float32), wanted.d_sample.astype(np.float32), np.zeros(shape, np.uint16), Grid(shape),
        step=(52, 170), start=(45.5, 30.5), covariance=variance,
    )  # fmt: skip
    posts = RadarField(field, st.grid_of(plans[0], truth.reference), np.zeros(shape, bool), timedelta(days=12))
    found = displacement(posts, st.surface_of(scene.height, wanted), assumption)
    assert not found.flags.any()
    # One-second heights are straight between; a millimetre is a thousandth of a pixel.
    for values, true in zip((found.dx, found.dy, found.up), wanted.moved, strict=True):
        assert np.abs(values - true).max() < 0.01
    assert np.abs(found.up).min() > 0.3 or assumption == "level"
    assert (found.lon, found.lat) == (pytest.approx(wanted.lon, abs=1e-7), pytest.approx(wanted.lat, abs=1e-7))
    east = found.velocity[0]
    assert east * 12 == pytest.approx(found.dx, rel=1e-5)
    # Per day and per year, and the errors: 0.03 lines of 13.9 m, 0.02 samples of 2.33 m over the sine of incidence.
    heading, angle = np.radians(found.heading), np.radians(found.incidence)
    if assumption == "level":
        along, across = 0.03 * 13.93, 0.02 * 2.3295 / np.sin(angle)
        assert found.sigma_dx == pytest.approx(np.hypot(along * np.sin(heading), across * np.cos(heading)), rel=0.02)
        assert found.sigma_dy == pytest.approx(np.hypot(along * np.cos(heading), across * np.sin(heading)), rel=0.02)


DEGREE = 111_515 * np.cos(np.radians(46.4)), 111_159
"""Metres to the east and to the north, at 46.4 degrees."""


def incline(lon, lat):
    """Heights of a plane, as far as the Earth is one: 6 degrees up to the east, 3.5 to the south."""
    return 900 + 0.105 * (lon - 8.0) * DEGREE[0] - 0.061 * (lat - 46.4) * DEGREE[1]


class Along:
    """A motion, kept on the incline."""

    def __init__(self, motion):
        self.motion = motion

    def __call__(self, lon, lat):
        east, north, _ = self.motion(lon, lat)
        # Meridians converge to the north: a metre is more degrees there.
        there = np.cos(np.radians(46.4)) / np.cos(np.radians(lat))
        return east, north, 0.105 * there * east - 0.061 * north


# From two products to offsets


class Simulated:
    """A pair with a slide, its elevation model, and its bursts on one grid."""

    chips = SlcOffsets(chip=(64, 128), step=(20, 60), search=(8, 14))

    def __init__(self, folder, *, bursts, ascending, lines=320, samples=1000, **scene):
        plans = st.made_up(ascending=ascending, lines=lines, samples=samples, bursts=bursts)
        chosen = {"slide": (5.0, -0.2), "size": (2200.0, 1800.0), "share": (0.95 if bursts > 1 else 0.5, 0.5)} | scene
        self.scene = st.sliding(plans[0], height=st.hills, **chosen)
        self.pair = st.Pair(write_pair(folder / "pair", self.scene, *plans), self.scene, plans)
        self.dem_path = st.backdrop(folder / "heights.tif", st.hills, plans[0])
        self.dem = open_dem(self.dem_path)
        self.bursts = slc_chain.bursts(self.pair.paths)
        self.frame = frame_of([one.reference_grid for one in self.bursts])
        self.images = [slc_chain.images(one, self.dem) for one in self.bursts]

    def truth(self):
        """What is true over all bursts: lines and samples are those of the frame."""
        first, second = (one.frame(one.swaths[0], 0) for one in self.pair.plans)
        assert self.frame.first_time == pytest.approx(first.first_time, abs=1e-6)
        shape = {"lines": self.frame.lines, "samples": self.frame.samples}
        return st.Burst(self.scene, replace(first, **shape), replace(second, **shape))

    def measured(self, **changes):
        """Offsets of all bursts put together, and of each."""
        settings = self.chips.model_copy(update=changes)
        single = [slc_chain.offsets(one, settings, self.frame) for one in self.images]
        parts = [Part(one.posts, one.match.field, one.match.coherent, k) for k, one in enumerate(single)]
        return merge(self.frame, parts, dt=timedelta(days=12)), parts


@pytest.fixture(scope="module", params=["descending, two bursts", "ascending, one burst"])
def slide(request, tmp_path_factory):
    """Both directions of the orbit; two bursts, so that there is a seam."""
    down = request.param.startswith("desc")
    return Simulated(tmp_path_factory.mktemp("slide"), bursts=2 if down else 1, ascending=not down)


def test_geometry_alone_finds_still_ground(slide):
    truth = slide.pair.burst()
    line, sample = np.arange(10.3, 310, 45)[:, None], np.arange(20.6, 980, 140)
    wanted = truth.expected(line, sample)
    found = slide.images[0].registration.offsets(line, sample)
    for one, other in zip(found, wanted.geometry, strict=True):
        assert np.abs(one - other).max() < 1e-3
    assert np.abs(slide.images[0].registration.heights(line, sample) - wanted.height).max() < 1
    assert min(np.abs(part).min() for part in wanted.geometry) > 1


@pytest.mark.parametrize("coherent", [True, False])
def test_offsets_are_those_put_in(slide, coherent):
    """Without bias, as exact as promised, with sigmas that are true, and without a step where bursts join."""
    posts, parts = slide.measured(coherent=coherent)
    field = posts.field
    wanted = slide.truth().over_chips(posts.lines[:, None], posts.samples, slide.chips.chip)
    good = field.good & wanted.plain
    assert good.sum() > 0.97 * np.isfinite(field.d_row).sum() > 150
    assert posts.coherent.any() == coherent
    for k, (found, true, mad) in enumerate(
        ((field.d_row, wanted.d_line, 0.037), (field.d_col, wanted.d_sample, 0.030))
    ):
        errors = np.where(good, found - true, np.nan)
        spread = st.scatter(errors)
        assert abs(spread.bias) < 0.01
        assert spread.mad < mad
        assert spread.nmad < 0.035
        assert np.nanmax(np.abs(errors)) < 0.5
        inside = st.within(errors, np.sqrt(field.covariance[..., k]))
        assert 0.5 < inside[0] < 0.85
        assert inside[1] > 0.85
        # Chips that have a post in common with another burst, and those beside.
        profile = np.array([np.nanmedian(row) for row in errors if np.isfinite(row).sum() > 10])
        assert np.abs(np.convolve(profile, [1, 1, -1, -1], "valid") / 2).max() < (0.02 if len(parts) > 1 else 0.03)


def test_what_stands_still_reads_zero(tmp_path):
    still = Simulated(tmp_path, bursts=1, ascending=False, slide=None, lines=240, samples=800)
    posts, _ = still.measured()
    assert posts.field.good.mean() > 0.9
    for found in (posts.field.d_row, posts.field.d_col):
        spread = st.scatter(found[posts.field.good])
        assert abs(spread.bias) < 0.005
        assert spread.nmad < 0.03
        assert np.abs(found[posts.field.good]).max() < 0.3
    # Geometry, which moves it by more than a pixel, is gone from the phase too.
    one, two = still.images[0].reference, still.images[0].secondary
    part = np.s_[80:160, 200:600]
    alike = np.mean(one[part] * two[part].conj()) / np.sqrt(
        np.mean(np.abs(one[part]) ** 2) * np.mean(np.abs(two[part]) ** 2)
    )
    assert abs(alike) == pytest.approx(0.7, abs=0.05)
    assert np.angle(alike) == pytest.approx(0, abs=0.1)


def test_the_command_line_recovers_the_slide(slide, tmp_path, cli):
    """SAFE to a map: east and north within their sigma, on a slide and beside it."""
    made = slide
    options = ("--chip", "64x128", "--step", "16x48", "--search", "8x14", "--crs", "EPSG:32632")
    result = cli("slc", *made.pair.paths, "-o", tmp_path / "out", "--dem", made.dem_path, *options, "--quiet")
    assert result.code == 0, result.err
    dx, dy = (read_tif(tmp_path / "out/displacement.tif", band) for band in (1, 2))
    with rasterio.open(tmp_path / "out/quality.tif") as file:
        sigma = [file.read(file.descriptions.index(name) + 1) for name in ("sigma_dx", "sigma_dy")]
        transform = file.transform
    row, col = np.nonzero(np.isfinite(dx))
    assert row.size > 300
    proj = pyproj.Proj("EPSG:32632")
    lon, lat = proj(transform.c + transform.a * (col + 0.5), transform.f + transform.e * (row + 0.5), inverse=True)
    east, north = made.truth().level(lon, lat)
    turn = np.radians(proj.get_factors(lon, lat).meridian_convergence)
    wanted = east * np.cos(turn) - north * np.sin(turn), north * np.cos(turn) + east * np.sin(turn)
    for found, true, error in zip((dx, dy), wanted, sigma, strict=True):
        off, expected = found[row, col] - true, float(np.nanmedian(error[row, col]))
        assert 0.02 < expected < 0.8
        assert abs(np.median(off)) < 0.5 * expected
        assert st.scatter(off).nmad < 1.5 * expected
        inside = made.scene.displacement.share(lon, lat)
        for part in (inside > 0.7, inside < 0.3):
            assert part.sum() > 30
            assert abs(np.median(off[part])) < expected
