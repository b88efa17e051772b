"""COSMO-SkyMed products as independent readers see them: `make test-oracles`."""

import h5py
import numpy as np
import pytest

from sensetrack.cosmo import open_cosmo
from sensetrack.cosmo.radiometry import factor
from sensetrack.cosmo.simulate import CosmoPlan, simulate_cosmo
from sensetrack.sar.geometry import rdr2geo, to_ecef

pytestmark = [
    pytest.mark.oracle,
    # Of other people's code, which is not ours to mend.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.mark.parametrize("ascending", [True, False], ids=["ascending", "descending"])
@pytest.mark.parametrize("look", ["right", "left"])
@pytest.mark.parametrize("generation", ["CSK", "CSG"])
def test_corners_and_pixels_of_complex_products_are_those_of_sarpy(tmp_path, generation, look, ascending):
    csk = pytest.importorskip("sarpy.io.complex.csk")
    made = simulate_cosmo(tmp_path, CosmoPlan(generation, look=look, ascending=ascending, lines=160, samples=140))
    image = open_cosmo(made.path).images[0]
    grid = image.radar_grid
    reader = csk.CSKReader(str(made.path))
    (sicd,) = reader.get_sicds_as_tuple()
    # In sarpy range is the first axis, and time runs backwards where the radar looks left.
    lines, samples = np.array([0.0, 0, 159, 159]), np.array([0.0, 139, 0, 139])
    columns = 159 - lines if look == "left" else lines
    time = grid.time(lines)
    for height in (0.0, 1234.0):
        found = rdr2geo(grid, time, grid.slant_range(samples, time), np.full(4, height))
        ours = to_ecef(found.lon, found.lat, np.full(4, height))
        theirs = sicd.project_image_to_ground(
            np.stack([samples, columns], axis=-1), projection_type="HAE", hae0=height, max_iterations=50, tolerance=1e-6
        )
        assert np.linalg.norm(ours - theirs, axis=1).max() < 1e-3
    pixels = np.asarray(reader[:, :]).T
    np.testing.assert_array_equal(image[0:160, 0:140], pixels[::-1] if look == "left" else pixels)
    if generation == "CSK":
        assert factor(image, "beta0") == pytest.approx(sicd.Radiometric.BetaZeroSFPoly.Coefs[0][0], rel=1e-6)


@pytest.mark.parametrize("level", ["SCS", "DGM"])
@pytest.mark.parametrize("generation", ["CSK", "CSG"])
def test_factors_and_ground_range_are_those_of_eo_products(tmp_path, generation, level):
    utilities = pytest.importorskip("eo_products.cosmo.utilities")
    reader = pytest.importorskip("eo_products.cosmo.reader")
    made = simulate_cosmo(tmp_path, CosmoPlan(generation, level, lines=60, samples=140))
    image = open_cosmo(made.path).images[0]
    with h5py.File(made.path) as file:
        theirs = utilities.compute_calibration_factor(file, "S01_HH") ** 2
    assert factor(image, "sigma0" if generation == "CSK" else "rescaled") == pytest.approx(theirs, rel=1e-6)
    if level == "DGM":
        said = reader.read_channel_metadata(str(made.path), "S01_HH")
        convert = said.coordinate_conversions
        columns = np.array([0.0, 17.0, image.shape[1] - 1.0])
        ours = image.radar_grid.slant_range(columns, image.radar_grid.first_time)
        slant = [
            convert.evaluate_ground_to_slant(convert.azimuth_reference_times[0], one * said.raster_info.samples.step)
            for one in columns
        ]
        np.testing.assert_allclose(ours, np.array(slant) * 299_792_458.0 / 2, atol=1e-6, rtol=0)
