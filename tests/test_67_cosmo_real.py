"""The geometry of COSMO-SkyMed against the metadata of a real spotlight product (SCS_B, Toulouse, 2011)."""

import re
from datetime import UTC, datetime

import numpy as np
import pytest

from sensetrack.cosmo.attributes import Attributes, Source
from sensetrack.cosmo.geometry import radar_grid
from sensetrack.sar.geometry import geo2rdr, rdr2geo

pytestmark = pytest.mark.data


class Numbers(Source):
    """Attributes as a product has them, with the numbers of the real one."""

    def __init__(self, path, values):
        self.path, self.values = path, values

    names = ("",)

    def attribute(self, key, name):
        return self.values.get(key)

    def shape(self, name):
        return None

    def read(self, name, rows, cols):
        raise NotImplementedError


@pytest.fixture(scope="module")
def real(data):
    path = data / "csk_metadata" / "cosmoskymed-1.geom"
    said = dict(re.findall(r"^(\S+):\s+(.*)$", path.read_text(), re.MULTILINE))
    midnight = datetime(2011, 4, 18, tzinfo=UTC)

    def seconds(text):
        return (datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f").replace(tzinfo=UTC) - midnight).total_seconds()

    count = int(said["orbitList.nb_orbits"])
    vectors = {}
    for number in range(count):
        one = {
            key: said[f"orbitList.orbit[{number}].{key}"]
            for key in ("time", *(f"{a}_{b}" for a in "xyz" for b in ("pos", "vel")))
        }
        # Each vector is listed twice, its time in whole seconds but for rounding.
        vectors[round(seconds(one["time"]))] = [
            [float(one[f"{axis}_{kind}"]) for axis in "xyz"] for kind in ("pos", "vel")
        ]
    times = sorted(vectors)
    values = {
        "Reference UTC": "2011-04-18 00:00:00.000000000", "State Vectors Times": [float(t) for t in times],
        "ECEF Satellite Position": [part for t in times for part in vectors[t][0]],
        "ECEF Satellite Velocity": [part for t in times for part in vectors[t][1]],
        "Lines Order": "EARLY-LATE", "Columns Order": "NEAR-FAR", "Look Side": said["support_data.look_side"],
        "Radar Frequency": float(said["support_data.radar_frequency"]),
        "Zero Doppler Azimuth First Time": seconds(said["support_data.first_line_time"].replace("T18:3:", "T18:03:")),
        "Line Time Interval": float(said["support_data.line_time_interval"]),
        "Zero Doppler Range First Time": float(said["support_data.slant_range_to_first_pixel"]),
        "Column Time Interval": 1 / float(said["support_data.range_sampling_rate"]),
    }  # fmt: skip
    shape = int(said["number_lines"]), int(said["number_samples"])
    return radar_grid(Attributes(Numbers(path, values), ("",)), shape, ground=False), said


def test_corners_of_the_real_product_lie_at_the_corners_of_its_image(real):
    grid, said = real
    assert grid.pass_direction == said["support_data.orbit_pass"].lower()
    rows, cols = grid.lines - 1, grid.samples - 1
    for name, line, sample in (("ul", 0, 0), ("ur", 0, cols), ("ll", rows, 0), ("lr", rows, cols)):
        lon, lat = (np.radians([float(said[f"{name}_{key}"])]) for key in ("lon", "lat"))
        found = geo2rdr(grid, lon, lat, np.zeros(1))
        assert abs(grid.line(found.time)[0] - line) < 0.02, (name, grid.line(found.time))
        assert abs(grid.sample(found.slant_range)[0] - sample) < 0.001, (name, grid.sample(found.slant_range))


def test_spacing_of_the_real_product_follows_from_its_times(real):
    grid, said = real
    assert grid.range_spacing == pytest.approx(float(said["support_data.range_spacing"]), rel=1e-9)
    time = grid.time(np.array([7000.0, 7001.0]))
    middle = rdr2geo(grid, time, np.array(grid.slant_range(np.full(2, 8750.0), time)), np.zeros(2))
    north = np.diff(middle.lat)[0] * 6_371_000
    east = np.diff(middle.lon)[0] * np.cos(middle.lat[0]) * 6_371_000
    assert np.hypot(north, east) == pytest.approx(float(said["support_data.azimuth_spacing"]), rel=3e-3)
