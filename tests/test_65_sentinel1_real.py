"""Real Sentinel-1 products: every annotation is read, and what name, manifest and annotations say goes together."""

from __future__ import annotations

import json
import re
import warnings
import zipfile
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from sensetrack.errors import InputError, MetadataError, OrbitWarning
from sensetrack.sentinel import open_sentinel1
from sensetrack.sentinel.s1_annotation import burst_id_at
from sensetrack.sentinel.s1_names import parse_name
from sensetrack.sentinel.s1_orbits import find_orbit_file, read_orbit_file

pytestmark = pytest.mark.data

SPEED_OF_LIGHT = 299_792_458.0
KNOWN = {
    "S1A_IW_SLC__1SDV_20230904": {"swaths": 6, "bursts": 54, "orbit": 52, "pass": "descending", "ipf": "003.61"},
    "S1A_IW_SLC__1SDV_20230916": {"swaths": 6, "bursts": 54, "orbit": 52, "pass": "descending", "ipf": "003.61"},
    "S1A_IW_SLC__1SDV_20250406": {"swaths": 6, "bursts": 54, "orbit": 108, "pass": "ascending", "ipf": "003.91"},
    "S1A_IW_SLC__1SDV_20250418": {"swaths": 6, "bursts": 54, "orbit": 108, "pass": "ascending", "ipf": "003.91"},
    "S1B_IW_SLC__1SDV_20210401": {"swaths": 3, "bursts": 28, "orbit": 168, "pass": "descending", "ipf": "003.31"},
    "S1B_IW_GRDH_1SDV_20210401": {"swaths": 2, "bursts": 0, "orbit": 168, "pass": "descending", "ipf": "003.31"},
}


def product_of(data, name):
    (path,) = data.glob(f"safe_s1*/{name}*.zip")
    return open_sentinel1(path)


@pytest.fixture(params=KNOWN)
def product(request, data):
    found = product_of(data, request.param)
    if found.info.platform == "S1B":
        with pytest.warns(OrbitWarning, match="Downlink"):
            list(found.swaths.values())
    return found


def known(product):
    return KNOWN[product.info.name[:25]]


def test_every_annotation_is_read(product):
    swaths = list(product.swaths.values())
    assert len(swaths) == known(product)["swaths"]
    assert sum(len(swath.bursts) for swath in swaths) == known(product)["bursts"]
    for swath in swaths:
        assert swath.orbit.quality == ("downlink" if product.info.platform == "S1B" else "auxiliary")
        assert swath.orbit.covers(swath.radar_grid.first_time, swath.radar_grid.last_time)
        assert len(swath.fm_rates) > 8
        assert all(-2400 < record.coefficients[0] < -1900 for record in swath.fm_rates)
        assert all(abs(record.coefficients[0]) < 100 for record in swath.doppler)
        for burst in swath.bursts:
            assert 4500 < burst.steering < 8000
            first, last = burst.valid_lines
            assert 0 < first < 60 < burst.lines - 60 < last < burst.lines


def test_calibration_and_noise_of_every_swath(product):
    if product.info.product == "GRD":  # whose tables were left out
        with pytest.raises(MetadataError, match=r"annotation/calibration/calibration-s1b-iw-grd-vv.* is missing"):
            _ = product.swath("iw/vv").calibration
        return
    for swath in product.swaths.values():
        lines, samples = swath.shape
        assert 200 < swath.calibration.sigma0.min() < swath.calibration.sigma0.max() < 500
        assert swath.calibration.beta0.min() == swath.calibration.beta0.max() == pytest.approx(237, abs=0.02)
        noise = swath.noise.window(slice(lines // 2, lines // 2 + 2), slice(0, samples))
        assert swath.noise.known
        assert len(swath.noise.azimuth) == 1
        assert 10 < noise.min() < noise.max() < 5000


def test_numbers_of_bursts_are_those_of_the_product(data):
    """What is annotated is what the formula gives, for every burst of the products that have them."""
    compared = 0
    for name in KNOWN:
        if "S1A" not in name:
            continue
        found = product_of(data, name)
        for key, swath in found.swaths.items():
            annotated = [int(e.text) for e in found.source.annotation(key).element.iter("burstId")]
            middle = 0.5 * swath.info.lines_per_burst * swath.info.line_interval
            formula = [burst_id_at(b.anx_time + middle, found.info.relative_orbit, "IW") for b in swath.bursts]
            assert [burst.burst_id for burst in swath.bursts] == annotated == formula
            compared += len(annotated)
    assert compared == 216


def test_numbers_of_bursts_where_the_product_has_none(data):
    found = product_of(data, "S1B_IW_SLC__1SDV_20210401")
    with pytest.warns(OrbitWarning):
        ids = {key: [burst.burst_id for burst in swath.bursts] for key, swath in found.swaths.items()}
    assert ids["iw1/vv"] == ids["iw1/vh"] == list(range(359498, 359507))
    assert ids["iw2/vh"] == list(range(359497, 359507))


def test_name_manifest_and_annotation_agree(product):
    info, name = product.info, parse_name(product.info.name)
    facts = known(product)
    assert (info.relative_orbit, info.orbit_pass, info.ipf) == (facts["orbit"], facts["pass"], facts["ipf"])
    assert (name.platform, name.mode, name.product) == (info.platform, info.mode, info.product)
    assert (name.resolution, name.product_class, name.unique) == (info.RES, info.CLASS, info.ID)
    assert (name.polarisation, name.absolute_orbit) == (info.POLARIZATION, info.absolute_orbit)
    assert name.datatake == info.DATAID
    assert abs(name.start - info.start) < timedelta(seconds=1)
    assert abs(name.stop - info.stop) < timedelta(seconds=1)
    assert timedelta(0) < info.start - info.node_time < timedelta(seconds=5925)
    for key, swath in product.swaths.items():
        assert key == f"{swath.info.swath}/{swath.info.polarisation}".lower()
        edge = timedelta(milliseconds=1)
        assert info.start - edge <= swath.info.start < swath.info.stop <= info.stop + edge
        grid = swath.radar_grid
        assert grid.pass_direction == info.orbit_pass
        assert grid.heading == pytest.approx(np.degrees(swath.info.heading), abs=0.1)
        # The last line of the image, counted from the first one, is when the annotation says.
        assert grid.last_time == pytest.approx((swath.info.stop - product.epoch).total_seconds(), abs=2e-6)


def test_geolocation_goes_with_lines_and_samples(product):
    for swath in product.swaths.values():
        grid, points = swath.radar_grid, swath.geolocation
        assert points.incidence.shape == points.lines.shape
        assert np.radians(28) < points.incidence.min() < points.incidence.max() < np.radians(47)
        slant = 0.5 * SPEED_OF_LIGHT * points.range_times
        times = points.times
        if swath.bursts:
            # Points lie at the first lines of bursts, and at the last line of the last one.
            starts = np.array([burst.time for burst in swath.bursts])
            offsets = np.abs(times[:-1, :1] - starts).min(axis=1) / grid.line_interval
            assert offsets.max() < 0.25
            np.testing.assert_allclose(grid.sample(slant, times), points.pixels, atol=1e-3)
        else:
            assert np.abs(grid.line(times) - points.lines).max() < 0.25
            # The points were computed from the nearest record, without interpolation between records.
            ground = grid.ground
            nearest = np.abs(times[:, 0] - ground.times[:, None]).argmin(axis=0)
            for row, record in enumerate(nearest):
                metres = np.polynomial.polynomial.polyval(points.pixels[row] * 10, ground.ground_to_slant[record])
                np.testing.assert_allclose(metres, slant[row], atol=1e-3)
            # There and back again, between records too.
            line = np.linspace(0, grid.lines - 1, 50)[:, None]
            sample = np.linspace(0, grid.samples - 1, 40)
            back = grid.sample(grid.slant_range(sample, grid.time(line)), grid.time(line))
            assert np.abs(back - sample).max() < 0.02


def test_mean_incidence_is_that_over_all_tags(product):
    path = product.path
    angles = []
    with zipfile.ZipFile(path) as archive:
        for entry in archive.namelist():
            if re.search(r"annotation/[^/]*-vv-[^/]*\.xml$", entry):
                found = re.findall(r"<incidenceAngle(?: count=\"\d+\")?>([^<]*)<", archive.read(entry).decode())
                angles += [np.mean([float(one) for one in text.split()]) for text in found]
    assert len(angles) > 200
    assert product.mean_incidence_angle("vv") == pytest.approx(np.radians(np.mean(angles)), rel=1e-9)


def test_measurements_that_are_not_there(data):
    found = product_of(data, "S1A_IW_SLC__1SDV_20250406")
    with pytest.raises(InputError, match=r"empty \(0 bytes\)") as caught:
        found.swath("iw1/vv").read(slice(0, 2), slice(0, 2))
    for swath in ("iw1", "iw2", "iw3"):
        for polarisation in ("vv", "vh"):
            assert f"s1a-{swath}-slc-{polarisation}-" in str(caught.value)
    with pytest.raises(InputError, match="measurement/ is missing"):
        product_of(data, "S1A_IW_SLC__1SDV_20230904").swath("iw1/vv").read(slice(0, 2), slice(0, 2))


def test_measurements_of_real_size(data, caplog):
    """34: constant pixels in files that were packed anew, which is said."""
    found = product_of(data, "S1B_IW_GRDH_1SDV_20210401")
    with pytest.warns(OrbitWarning):
        swath = found.swath("iw/vv")
    assert swath.shape == (16_685, 25_788)
    assert (swath.read(slice(16_600, 16_685), slice(25_700, 25_788)) == 1).all()
    assert "was written after manifest.safe, which says it has 860823380 bytes" in caplog.text
    found = product_of(data, "S1B_IW_SLC__1SDV_20210401")
    with pytest.warns(OrbitWarning):
        swath = found.swath("iw2/vh")
    pixels = swath.read(slice(15_000, 15_002), slice(25_500, 25_508))
    assert pixels.dtype == np.complex64
    assert (pixels == 1j).all()


def test_a_real_precise_orbit(data):
    folder = data / "safe_s1_2023_morocco"
    start = datetime(2023, 10, 13, 6, 37, 30, tzinfo=UTC)
    stop = start + timedelta(seconds=27)
    file = find_orbit_file(folder, "S1A", start, stop)
    assert (file.kind, file.quality) == ("POEORB", "precise")
    assert find_orbit_file(folder, "S1B", start, stop) is None
    assert find_orbit_file(folder, "S1A", start + timedelta(days=1), stop + timedelta(days=1)) is None
    orbit = read_orbit_file(file, start, start, stop)
    assert (orbit.quality, orbit.source) == ("precise", file.path.name)
    assert 10 < orbit.times.size < 20
    # Each vector is that of the one before moved on by ten seconds.
    assert np.diff(orbit.times) == pytest.approx(10, abs=1e-9)
    position, velocity = orbit.state(13.0)
    assert 7.0e6 < np.linalg.norm(position) < 7.1e6
    assert 7400 < np.linalg.norm(velocity) < 7700
    # Of another day than the product: said, and not used.
    path = next(folder.glob("*20230904*.zip"))
    with pytest.warns(OrbitWarning, match="no precise orbit file"):
        assert open_sentinel1(path, orbits=folder).swath("iw1/vv").orbit.source == "annotation"


def test_the_command_line_tells_of_real_products(cli, data):
    for name, facts in KNOWN.items():
        (path,) = data.glob(f"safe_s1*/{name}*.zip")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OrbitWarning)
            said = json.loads(cli("info", path, "--json").out)
        assert (said["relative_orbit"], said["orbit_pass"]) == (facts["orbit"], facts["pass"])
        assert len(said["swaths"]) == facts["swaths"]
        assert ("Downlink" in " ".join(said["orbit_warnings"])) is ("S1B" in name)
