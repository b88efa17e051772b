"""Heights of an elevation model at the pixels of a map, without a detour over longitudes and latitudes."""

import numpy as np
import pyproj
import pytest
from affine import Affine

from conftest import write_tif
from sensetrack.files import nodes
from sensetrack.files.dem import open_dem
from sensetrack.grid import Grid
from sensetrack.sar import heights as interpolation
from sensetrack.sar.terrain import MapToRadar

MODEL = Affine(30, 0, 420_000, 0, -24, 5_150_000)
SHAPE = 150, 200


def plane(x, y):
    """Heights, m, on the map of the model: they rise to the east and fall to the north."""
    return 900 + 0.05 * (x - 420_000) - 0.11 * (y - 5_148_000)


def model(path, **hole):
    x, y = Grid(SHAPE, MODEL, "EPSG:32632").xy(*np.mgrid[: SHAPE[0], : SHAPE[1]])
    pixels = plane(x, y).astype(np.float32)
    if hole:
        pixels[60:90, 50:75] = np.nan
    return open_dem(write_tif(path, pixels, MODEL, "EPSG:32632"), "ellipsoid")


@pytest.mark.parametrize(
    "grid",
    [
        Grid((90, 120), Affine(10, 0, 421_000, 0, -10, 5_149_000), "EPSG:32632"),
        Grid((70, 60), Affine(12, 5, 421_500, 4, -15, 5_148_000), "EPSG:32632"),
        Grid((80, 130), Affine(10, 0, -38_400, 0, -10, 5_172_400), "EPSG:32633"),
        Grid((100, 90), Affine(1e-4, 0, 7.98, 0, -1.3e-4, 46.49), "EPSG:4326"),
    ],
    ids=["same", "turned", "next-zone", "degrees"],
)
@pytest.mark.parametrize("compiled", [True, False])
def test_heights_on_a_map_are_those_of_the_ground(tmp_path, monkeypatch, grid, compiled):
    for module in (nodes, interpolation):
        monkeypatch.setattr(module, "WORKS", compiled)
    rows, cols = slice(-9, grid.shape[0] - 7), slice(13, grid.shape[1] + 11)
    row, col = np.mgrid[rows, cols].astype(float)
    x, y = pyproj.Transformer.from_crs(grid.crs, 32632, always_xy=True).transform(*grid.xy(row, col))
    at = (x - MODEL.c) / MODEL.a - 0.5, (MODEL.f - y) / 24 - 0.5
    inside = (at[0] > 0) & (at[0] < SHAPE[1] - 1) & (at[1] > 0) & (at[1] < SHAPE[0] - 1)
    assert inside.mean() > 0.6
    dem = model(tmp_path / "dem.tif")
    found = MapToRadar(grid, None, dem).heights(rows, cols)
    np.testing.assert_allclose(found[inside], plane(x, y)[inside], atol=2e-3)
    np.testing.assert_array_equal(found, dem.on_map(grid, rows, cols))
    near = (np.abs(at[0] - (SHAPE[1] - 1) / 2) < SHAPE[1] / 2) & (np.abs(at[1] - (SHAPE[0] - 1) / 2) < SHAPE[0] / 2)
    assert np.isnan(found[~near]).all()


def test_unknown_heights_stay_unknown(tmp_path):
    grid = Grid((110, 100), Affine(10, 0, 421_300, 0, -12, 5_148_700), "EPSG:32632")
    found = model(tmp_path / "dem.tif", hole=True).on_map(grid, slice(0, 110), slice(0, 100))
    x, y = grid.xy(*np.mgrid[:110, :100].astype(float))
    col, row = (x - MODEL.c) / 30 - 0.5, (MODEL.f - y) / 24 - 0.5
    lost = (row > 59) & (row < 90) & (col > 49) & (col < 75)
    assert 0.1 < lost.mean() < 0.6
    clear = np.minimum.reduce([np.abs(row - 59), np.abs(row - 90), np.abs(col - 49), np.abs(col - 75)]) > 1e-6
    np.testing.assert_array_equal(np.isnan(found)[clear], lost[clear])


def test_models_on_meridians_keep_their_way(tmp_path):
    path = write_tif(
        tmp_path / "a.tif", np.ones((40, 50), np.float32), Affine(0.001, 0, 8, 0, -0.001, 46.5), "EPSG:4326"
    )
    grid = Grid((90, 120), Affine(10, 0, 421_000, 0, -10, 5_149_000), "EPSG:32632")
    assert open_dem(path, "ellipsoid").on_map(grid, slice(0, 5), slice(0, 5)) is None
