"""Posts of many results on one grid: cut, pasted, interpolated, turned."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
from affine import Affine

from sensetrack.errors import ConfigError, GridMismatchError, NoOverlapError
from sensetrack.grid import Grid
from sensetrack.products.posts import Regrid, Regrids, common_grid

GRID = Grid((7, 11), Affine(40, 0, 600_000, 0, -60, 5_100_000), "EPSG:32632")
GEOD = pyproj.Geod(ellps="WGS84")


def numbered(shape):
    return np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)


def moved(grid: Grid, rows: float, cols: float, shape=None) -> Grid:
    """Return a grid that starts some posts further down and right."""
    return Grid(shape or grid.shape, grid.affine @ Affine.translation(cols, rows), grid.crs)


def test_equal_posts_come_as_they_are():
    values = numbered(GRID.shape)
    np.testing.assert_array_equal(Regrid(GRID, GRID).values(values), values)


def test_whole_posts_are_cut_and_pasted():
    target = moved(GRID, -2, 3, (6, 12))
    regrid = Regrid(GRID, target)
    assert regrid.shift == (-2, 3)
    values = numbered(GRID.shape)
    out = regrid.values(values)
    assert np.isnan(out[:2]).all()
    assert np.isnan(out[:, 8:]).all()
    np.testing.assert_array_equal(out[2:, :8], values[:4, 3:])
    assert np.isnan(Regrid(GRID, moved(GRID, 20, 0)).values(values)).all()


def test_between_posts_a_plane_stays_a_plane():
    target = moved(GRID, 0.25, -0.6)
    i, j = np.indices(GRID.shape)
    out = Regrid(GRID, target).values(3 * i - 5 * j + 1)
    k, m = np.indices(target.shape)
    truth = 3 * (k + 0.25) - 5 * (m - 0.6) + 1
    inside = np.zeros(target.shape, bool)
    inside[:6, 1:] = True
    np.testing.assert_array_equal(np.isfinite(out), inside)
    np.testing.assert_allclose(out[inside], truth[inside], atol=1e-5)


def test_a_missing_neighbour_is_a_gap_unless_it_has_no_weight():
    values = numbered(GRID.shape)
    values[3, 5] = np.nan
    gaps = np.argwhere(np.isnan(Regrid(GRID, moved(GRID, 0.5, 0.5)).values(values)[:6, :10]))
    np.testing.assert_array_equal(gaps, [[2, 4], [2, 5], [3, 4], [3, 5]])
    # Half a post along the rows only: the row below has no weight.
    gaps = np.argwhere(np.isnan(Regrid(GRID, moved(GRID, 0, 0.5)).values(values)[:, :10]))
    np.testing.assert_array_equal(gaps, [[3, 4], [3, 5]])


def ground_truth(grid: Grid, other: Grid, dx: float, dy: float):
    """Walk (dx, dy) metres along the axes of a conformal CRS on the ellipsoid; say it along the axes of another."""
    to_lonlat = pyproj.Transformer.from_crs(grid.crs, 4326, always_xy=True)
    back = pyproj.Transformer.from_crs(4326, grid.crs, always_xy=True)
    to_other = pyproj.Transformer.from_crs(4326, other.crs, always_xy=True)
    x, y = other.xy(*np.indices(other.shape))
    lon, lat = pyproj.Transformer.from_crs(other.crs, 4326, always_xy=True).transform(x, y)
    here = back.transform(lon, lat)
    up = to_lonlat.transform(here[0], here[1] + 10)
    north = GEOD.inv(lon, lat, *up)[0]  # azimuth of the y axis
    length, azimuth = np.hypot(dx, dy), north + np.degrees(np.arctan2(dx, dy))
    end = GEOD.fwd(lon, lat, azimuth, np.full(lon.shape, length))[:2]
    if other.crs.is_geographic or other.crs.to_epsg() == 3857:  # axes are east and north
        angle = np.radians(GEOD.inv(lon, lat, *end)[0])
    else:
        ex, ey = to_other.transform(*end)
        angle = np.arctan2(ex - x, ey - y)
    return length * np.sin(angle), length * np.cos(angle)


POLAR = Grid((9, 14), Affine(500, 0, 700_000, 0, -300, 8_700_000), "EPSG:32633")


@pytest.mark.parametrize(
    ("crs", "posting"), [("EPSG:3413", 450.0), ("EPSG:3995", 500.0), ("EPSG:32635", 400.0), ("EPSG:4326", 0.01)]
)
def test_vectors_are_turned_and_stay_ground_metres(crs, posting):
    target = common_grid([POLAR], crs=crs, posting=posting)
    shape = POLAR.shape
    dx, dy = np.full(shape, 30.0), np.full(shape, -50.0)
    x, y, sx, sy = Regrid(POLAR, target).vectors(dx, dy, np.full(shape, 0.3), np.full(shape, 0.5))
    tx, ty = ground_truth(POLAR, target, 30.0, -50.0)
    known = np.isfinite(x)
    assert known.mean() > 0.2
    np.testing.assert_allclose(x[known], tx[known], atol=0.02)
    np.testing.assert_allclose(y[known], ty[known], atol=0.02)
    assert np.abs(tx - 30)[known].min() > 1  # turned for certain
    # The trace of a covariance stays, and each error lies between both.
    np.testing.assert_allclose((sx**2 + sy**2)[known], 0.3**2 + 0.5**2, rtol=1e-3)
    assert ((sx > 0.299) & (sx < 0.501))[known].all()


def test_web_mercator_is_not_turned_and_ground_metres_stay():
    target = common_grid([GRID], crs="EPSG:3857", posting=80)
    x, y, *_ = Regrid(GRID, target).vectors(*(np.full(GRID.shape, one) for one in (5.0, -3.0, 1.0, 1.0)))
    tx, ty = ground_truth(GRID, target, 5.0, -3.0)
    known = np.isfinite(x)
    assert known.any()
    np.testing.assert_allclose(x[known], tx[known], atol=2e-3)
    np.testing.assert_allclose(y[known], ty[known], atol=2e-3)


def test_across_the_180th_meridian():
    source = Grid((8, 12), Affine(400, 0, 610_000, 0, -300, 7_800_000), "EPSG:32660")
    x, y = source.xy(*np.indices(source.shape))
    lon = pyproj.Transformer.from_crs(source.crs, 4326, always_xy=True).transform(x, y)[0]
    assert lon.min() < 0 < lon.max()
    target = Grid((10, 14), Affine(400, 0, 180_000, 0, -300, 7_800_000), "EPSG:32601")
    middle = pyproj.Transformer.from_crs(source.crs, target.crs, always_xy=True).transform(*source.xy(3.5, 5.5))
    target = Grid((10, 14), Affine(400, 0, middle[0] - 2800, 0, -300, middle[1] + 1500), "EPSG:32601")
    x, y, *_ = Regrid(source, target).vectors(*(np.full(source.shape, one) for one in (5.0, -3.0, 1.0, 1.0)))
    known = np.isfinite(x)
    assert known.mean() > 0.4
    tx, ty = ground_truth(source, target, 5.0, -3.0)
    np.testing.assert_allclose(x[known], tx[known], atol=2e-3)
    np.testing.assert_allclose(y[known], ty[known], atol=2e-3)


def test_the_common_grid_continues_the_most_frequent_one():
    other = moved(GRID, -3, 4, (5, 20))
    odd = moved(GRID, 0.5, 0.5)
    grid = common_grid([odd, GRID, other, GRID])
    assert Regrid(GRID, grid).shift == (-3, 0)
    assert grid.shape == (11, 24)  # half a post beyond the last row of GRID
    assert common_grid([GRID, GRID]).same_as(GRID)


def test_posts_within_bounds():
    x, y = GRID.xy(2, 3)
    grid = common_grid([GRID], bounds=(x - 1, y - 121, x + 81, y + 1))
    assert grid.same_as(GRID.crop(slice(2, 5), slice(3, 6)))
    with pytest.raises(NoOverlapError, match="bounds must hold posts, which lie at x 600000 to 600440"):
        common_grid([GRID], bounds=(0, 0, 1, 1))


def test_another_posting_lies_at_its_multiples_and_covers_all():
    grid = common_grid([GRID], posting=70)
    assert grid.affine.a == 70
    assert grid.affine.e == -70
    assert grid.affine.c % 70 == 0
    left, bottom, right, top = GRID.bounds
    assert grid.bounds[0] <= left
    assert grid.bounds[1] <= bottom
    assert grid.bounds[2] >= right
    assert grid.bounds[3] >= top
    # Without a posting it is that of the posts on the ground: sqrt(40 * 60) m.
    assert common_grid([GRID], crs="EPSG:4326").affine.a == pytest.approx(np.sqrt(2400) / 111_194 * 1.2, rel=0.2)


def test_grids_that_do_not_belong_together():
    plain = Grid((5, 6))
    with pytest.raises(GridMismatchError, match="all pairs must have a georeference or none"):
        common_grid([GRID, plain])
    with pytest.raises(GridMismatchError, match=r"same posts, instead got \(5, 6\) and \(4, 6\)"):
        common_grid([plain, Grid((4, 6))])
    with pytest.raises(ConfigError, match="need pairs with a georeference"):
        common_grid([plain], posting=3)
    with pytest.raises(ConfigError, match="more than the 200,000,000 allowed"):
        common_grid([GRID], posting=0.01)


def test_equal_grids_share_what_was_computed():
    to_grid = Regrids(GRID)
    one = to_grid(moved(GRID, 0.5, 0.5))
    assert to_grid(moved(GRID, 0.5, 0.5)) is one
    assert to_grid(GRID) is not one
