"""Where pixels are, and how far apart on the ground."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from sensetrack import Grid
from sensetrack.errors import GridMismatchError, InputError
from truth import TALL, UTM

UTM_K = 0.999723
"""Scale factor of UTM zone 32 at x = 600 000: 0.9996 (1 + 100 000^2 / (2 0.9996^2 6.38e6^2)), to 2e-7."""


def test_all_four_affine_terms_count():
    grid = Grid((4, 5), Affine(10, 3, 600_000, -2, -20, 4_950_000), UTM)
    dx, dy = grid.to_map(3, 5)
    assert dx[0, 0] == pytest.approx((10 * 5 + 3 * 3) / UTM_K, rel=1e-6)
    assert dy[0, 0] == pytest.approx((-2 * 5 - 20 * 3) / UTM_K, rel=1e-6)


def test_the_scale_that_was_divided_out_is_recorded():
    assert Grid((4, 5), TALL, UTM).grid_scale == pytest.approx((UTM_K, UTM_K), rel=1e-6)
    # 86.5 N in EPSG:3413, true at 70 N: the map is smaller than the ground.
    assert Grid((4, 5), Affine(40, 0, 235_796, 0, -40, -243_348), 3413).grid_scale[0] == pytest.approx(0.9706, abs=1e-4)
    # US survey feet: 3.2808 units of the map per metre, and a scale factor near 1.
    feet = Grid((4, 5), Affine(100, 0, 2e6, 0, -100, 1e6), 2263)
    assert feet.grid_scale[1] == pytest.approx(3.2808, rel=1e-3)
    assert feet.pixel_size == pytest.approx((30.46, 30.46), abs=0.03)


@pytest.mark.parametrize("lat", [0.0, 45.0, -70.0])
def test_degrees_are_measured_on_the_ellipsoid(lat):
    grid = Grid((2, 2), Affine(1e-4, 0, 10, 0, -1e-4, lat), 4326)
    phi, a, e2 = np.radians(lat), 6_378_137.0, 0.00669437999
    w = np.sqrt(1 - e2 * np.sin(phi) ** 2)
    along_lon, along_lat = a * np.cos(phi) / w, a * (1 - e2) / w**3
    assert grid.pixel_size[0] == pytest.approx(np.radians(1e-4) * along_lat, rel=1e-5)
    assert grid.pixel_size[1] == pytest.approx(np.radians(1e-4) * along_lon, rel=1e-5)


def test_the_scale_follows_the_scene():
    """Over 300 km at 60 N Web Mercator stretches by more than 5 %: one number for all posts would be wrong."""
    grid = Grid((300, 3), Affine(2000, 0, 1e6, 0, -2000, 8.7e6), 3857)
    _, dy = grid.to_map(np.ones(grid.shape), np.zeros(grid.shape))
    for i in (0, 77, 299):
        y = 8.7e6 - 2000 * (i + 0.5)
        lat = 2 * np.arctan(np.exp(y / 6_378_137)) - np.pi / 2
        e2 = 0.00669437999
        k = 1 / np.cos(lat) * np.sqrt(1 - e2 * np.sin(lat) ** 2) ** 3 / (1 - e2)
        assert -dy[i, 1] == pytest.approx(2000 / k, rel=2e-4)


@settings(max_examples=60, deadline=None)
@given(
    angle=st.floats(-180, 180),
    width=st.floats(0.5, 300),
    height=st.floats(0.5, 300),
    flip=st.booleans(),
    d_row=st.floats(-50, 50),
    d_col=st.floats(-50, 50),
)
def test_from_map_undoes_to_map(angle, width, height, flip, d_row, d_col):
    affine = (
        Affine.translation(500_000, 5_000_000)
        @ Affine.rotation(angle)
        @ Affine.shear(8)
        @ Affine.scale(width, height if flip else -height)
    )
    grid = Grid((3, 4), affine, UTM)
    back = grid.from_map(*grid.to_map(d_row, d_col))
    np.testing.assert_allclose(back[0], d_row, atol=1e-7)
    np.testing.assert_allclose(back[1], d_col, atol=1e-7)


def test_posts_are_centred_on_chips():
    grid = Grid((100, 120), TALL, UTM)
    posts = grid.posts((16.0, 24.0), (8, 12), (5, 6))
    for i, j in ((0, 0), (3, 5)):
        # A chip of 32 rows from 8 i has its centre 16 pixel corners further on.
        np.testing.assert_allclose(posts.xy(i, j), grid.xy(16 + 8 * i - 0.5, 24 + 12 * j - 0.5))


def test_a_window_keeps_its_place():
    grid = Grid((100, 120), TALL, UTM)
    np.testing.assert_allclose(grid.crop(slice(10, 30), slice(7, 50)).xy(0, 0), grid.xy(10, 7))


def test_equal_grids():
    grid = Grid((100, 120), TALL, UTM)
    assert grid.same_as(Grid((100, 120), TALL, 32632))
    assert grid.same_as(Grid((100, 120), Affine(10 + 1e-12, 0, 600_000, 0, -20, 4_950_000), UTM))
    for other in (
        Grid((100, 121), TALL, UTM),
        Grid((100, 120), TALL, 32633),
        Grid((100, 120), TALL @ Affine.translation(0.01, 0), UTM),
        Grid((100, 120), Affine(10.001, 0, 600_000, 0, -20, 4_950_000), UTM),
        Grid((100, 120)),
    ):
        assert not grid.same_as(other)
        with pytest.raises(GridMismatchError, match="must share one grid"):
            grid.require_same(other)
    assert Grid((3, 4)).same_as(Grid((3, 4)))


def test_one_metre_pixels_are_not_a_missing_georeference():
    assert Grid((5, 5), Affine.identity(), UTM).georeferenced
    assert not Grid((5, 5), Affine.identity()).georeferenced


def test_what_makes_no_grid():
    with pytest.raises(InputError, match="invertible"):
        Grid((5, 5), Affine(1, 2, 0, 2, 4, 0), UTM)
    with pytest.raises(InputError, match="'EPSG:99999999'"):
        Grid((5, 5), TALL, "EPSG:99999999")
    with pytest.raises(InputError, match="geocentric"):
        Grid((5, 5), TALL, 4978)
    with pytest.raises(InputError, match="no georeference"):
        Grid((5, 5)).to_map(1, 1)
