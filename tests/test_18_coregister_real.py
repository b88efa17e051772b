"""Two real products of Morocco, whose pixels are not there: their bursts, orbits and heights."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from sensetrack.errors import InputError, NoOverlapError
from sensetrack.files.dem import open_dem
from sensetrack.sar.geometry import geo2rdr, rdr2geo
from sensetrack.sentinel import open_sentinel1
from sensetrack.sentinel.s1_pair import BurstPair, pair_bursts, spectra

pytestmark = pytest.mark.data


@pytest.fixture
def products(data):
    folder = data / "safe_s1_2023_morocco"
    return [open_sentinel1(path) for path in sorted(folder.glob("*SLC*.zip"))]


def test_products_without_pixels(products, data):
    with pytest.raises(InputError, match="holds metadata, but no image"):
        pair_bursts(*products, area=shapely.box(-8.6, 31.6, -8.4, 31.8))
    with pytest.raises(
        NoOverlapError, match=r"\(-10\.\d+ to -7\.\d+ E, 30\.\d+ to 32\.\d+ N\), instead got 8.000 to 9.000 E"
    ):
        pair_bursts(*products, area=shapely.box(8, 46, 9, 47))
    empty = [open_sentinel1(path) for path in sorted((data / "safe_s1").glob("S1A_IW_SLC*.zip"))]
    with pytest.raises(InputError, match=r"empty \(0 bytes\)") as error:
        pair_bursts(*empty)
    assert error.value.path == empty[0].path
    assert str(error.value).count(".tiff") == 6


@pytest.mark.parametrize("swath", ["iw1", "iw2"])
def test_offsets_of_a_real_burst_are_those_of_both_orbits(products, data, swath):
    first, second = (product.swaths[f"{swath}/vv"] for product in products)
    pair = BurstPair(f"{swath}/vv", first, second, 0, 0)
    assert pair.reference_burst.burst_id == pair.secondary_burst.burst_id
    (dem,) = (data / "safe_s1_2023_morocco").glob(f"dem-b1-s1a-{swath}-*.tiff")
    found = pair.register(open_dem(dem, vertical="egm96"))
    one, two = pair.reference_grid, pair.secondary_grid
    row, col = np.random.default_rng(1).uniform(0, [[one.lines - 1], [one.samples - 1]], (2, 2000))
    height = found.heights(row, col)
    assert np.isfinite(height).mean() > 0.98
    assert np.nanmax(height) - np.nanmin(height) > 400
    ground = rdr2geo(one, one.time(row), one.slant_range(col), height)
    seen = geo2rdr(two, ground.lon, ground.lat, ground.height)
    d_line, d_sample = found.offsets(row, col)
    missed = [np.nanmax(np.abs(part)) for part in (two.line(seen.time) - row - d_line,
                                                   two.sample(seen.slant_range) - col - d_sample)]  # fmt: skip
    print(f"{swath}: offsets miss the orbits by {missed[0]:.2g} lines and {missed[1]:.2g} samples at most")
    assert max(missed) < 1e-4
    assert np.nanmax(np.abs(d_line)) < 5
    # The kernels of the burst.
    azimuth, across = spectra(second.info)
    assert azimuth.width == pytest.approx({"iw1": 0.672, "iw2": 0.643}[swath], abs=1e-3)
    assert across.width == pytest.approx({"iw1": 0.878, "iw2": 0.751}[swath], abs=1e-3)
