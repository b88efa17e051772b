"""Metadata of real Sentinel-2 products: what they are known to say is what is read."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from shapely import Point
from shapely.geometry import shape

from sensetrack.errors import InputError
from sensetrack.sentinel import open_sentinel2

pytestmark = pytest.mark.data

KNOWN = {
    "T01LAC": {
        "level": "L1C", "baseline": "02.09", "relative_orbit": 29, "absolute_orbit": 26481, "sun": (45.183, 36.196),
        "view": (2.788, 142.516), "sensed": datetime(2020, 7, 17, 22, 20, 29, 740125, UTC), "corner": (99960, 8300020),
        "crs": 32701, "inside": (-179.9, -15.8), "outside": (0, -15.8), "cloudy": 5.4828,
    },
    "T46RER": {
        "level": "L1C", "baseline": "03.01", "relative_orbit": 133, "absolute_orbit": 32448, "sun": (26.493, 142.988),
        "view": (10.506, 286.574), "sensed": datetime(2021, 9, 8, 4, 40, 48, 758475, UTC), "corner": (499980, 3100020),
        "crs": 32646, "inside": (93.1, 27.5), "outside": (93.6, 27.5), "cloudy": 88.2972,
    },
    "T07HFE": {
        "level": "L2A", "baseline": "02.12", "relative_orbit": 13, "absolute_orbit": 19029, "sun": (32.707, 62.329),
        "view": (10.735, 287.241), "sensed": datetime(2019, 2, 12, 19, 33, 32, 161000, UTC),
        "corner": (600000, 6500020),
        "crs": 32707, "inside": (-139.7, -31.65), "outside": (-139.9, -32.5), "cloudy": 51.580326,
    },
}  # fmt: skip


@pytest.mark.parametrize("tile", KNOWN)
def test_real_metadata(cli, data, tile):
    (path,) = (data / "safe_s2").glob(f"*{tile}*.zip")
    known = KNOWN[tile]
    product = open_sentinel2(path)
    found = product.metadata
    assert (found.platform, found.tile, found.direction) == ("Sentinel-2A", tile[1:], "descending")
    for key in ("level", "baseline", "relative_orbit", "absolute_orbit", "sensed"):
        assert getattr(found, key) == known[key]
    assert found.cloud_percentage == known["cloudy"]
    assert found.sun == pytest.approx(known["sun"], abs=0.001)
    assert found.view["B08"] == pytest.approx(known["view"], abs=0.001)
    grid = found.grids[10]
    assert grid.shape == (10_980, 10_980)
    assert (grid.affine.c, grid.affine.f) == known["corner"]
    assert grid.crs.to_epsg() == known["crs"]
    assert {calibration.offset for calibration in found.calibrations.values()} == {0}
    assert found.datatake < found.sensed
    # The mean over the grids is not the mean of the product, but near.
    zenith = found.view_angles["B08"].zenith
    assert zenith.shape == (23, 23)
    assert np.nanmean(zenith) == pytest.approx(known["view"][0], abs=3)
    assert found.sun_angles.zenith.mean() == pytest.approx(known["sun"][0], abs=0.5)
    area = shape(product.describe()["footprint"])
    assert area.is_valid
    assert area.contains(Point(known["inside"]))
    assert not area.contains(Point(known["outside"]))
    assert json.loads(cli("info", path, "--json").out)["tile"] == tile[1:]
    with pytest.raises(InputError, match="IMG_DATA is missing"):
        product.image()


def test_the_footprint_of_an_antimeridian_tile_is_in_two_parts(data):
    (path,) = (data / "safe_s2").glob("*T01LAC*.zip")
    product = open_sentinel2(path)
    ring = np.array(product.metadata.footprint)
    assert np.ptp(ring[:, 0]) < 1.1
    parts = shape(product.describe()["footprint"])
    assert [part.bounds[0] for part in parts.geoms] == pytest.approx([179.2569, -180], abs=1e-3)


@pytest.mark.parametrize("tiles", [("T01LAC", "T46RER"), ("T46RER", "T07HFE")])
def test_real_products_of_two_tiles_are_no_pair(cli, data, tmp_path, tiles):
    paths = [next((data / "safe_s2").glob(f"*{tile}*.zip")) for tile in tiles]
    result = cli("track", *paths, "-o", tmp_path / "o")
    assert result.code == 3
    assert "must be of the tile of the reference" in result.error
    assert not (tmp_path / "o").exists()
