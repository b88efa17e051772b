"""Two images onto one grid: cropped to what they share, resampled at most once."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from scipy import ndimage

from sensetrack import Grid, Image, open_image, pair
from sensetrack.errors import (
    GridMismatchError,
    InputError,
    NoGeoreferenceWarning,
    NoOverlapError,
    ResampledWarning,
)
from sensetrack.files.raster import open_raster
from sensetrack.files.warp import Geolocation, local_crs
from sensetrack.ot.algorithms import NCC
from truth import UTM, arrays

SQUARE = Affine(10, 0, 600_000, 0, -10, 4_950_000)


def scene(shape=(160, 200), seed=4):
    return arrays(shape, seed=seed)[0].astype(np.float32)


def crops(pixels):
    """Two windows of one scene: rows 0-120, columns 0-150 and rows 30-160, columns 40-200."""
    return (
        Image(pixels[:120, :150], SQUARE, UTM),
        Image(pixels[30:160, 40:200], SQUARE @ Affine.translation(40, 30), UTM),
    )


def test_different_extents_are_cut_to_what_they_share():
    pixels = scene()
    both = pair(*crops(pixels))
    assert both.grid.shape == (90, 110)
    np.testing.assert_array_equal(both.reference.image, pixels[30:120, 40:150])
    np.testing.assert_array_equal(both.secondary.image, both.reference.image)


def displaced(reference, secondary, **options):
    both = pair(reference, secondary)
    field = NCC(chip=32, step=16, search=6)(both.reference, both.secondary)
    assert field.good.mean() > 0.6
    return np.median(field.d_row[field.good]), np.median(field.d_col[field.good])


def resampled(pixels, affine, target):
    """`pixels` of a smooth scene on another grid of the same CRS, exactly enough."""
    to_source = ~affine @ target
    row, col = np.indices(pixels.shape)
    x = to_source.a * (col + 0.5) + to_source.b * (row + 0.5) + to_source.c - 0.5
    y = to_source.d * (col + 0.5) + to_source.e * (row + 0.5) + to_source.f - 0.5
    return ndimage.map_coordinates(pixels.astype(float), [y, x], order=5, mode="reflect")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (Affine.translation(0.3, -0.4), "pixels lie between"),
        (Affine.translation(20, 11) @ Affine.rotation(14), "pixels lie between"),
        (Affine.scale(1.5, 1.5), "pixels differ"),
        (Affine.scale(10.0001 / 10, 10.0001 / 10) @ Affine.translation(0, 0), "pixels differ"),
    ],
)
def test_another_grid_is_resampled_away(change, why):
    pixels = ndimage.gaussian_filter(scene(), 1)
    target = SQUARE @ change
    other = Image(resampled(pixels, SQUARE, target), target, UTM)
    if change.a == pytest.approx(1.00001):
        # Over 200 px the difference of 10 to 10.0001 m adds up to 0.002 px: one grid, used as it is.
        assert displaced(Image(pixels, SQUARE, UTM), other) == pytest.approx((0, 0), abs=0.02)
        return
    with pytest.warns(ResampledWarning, match=why):
        found = displaced(Image(pixels, SQUARE, UTM), other)
    assert found == pytest.approx((0, 0), abs=0.03)


def test_motion_survives_another_crs():
    """The secondary, moved by 3 rows and 5 columns, delivered in the next UTM zone."""
    reference, secondary = (ndimage.gaussian_filter(part, 1) for part in arrays((220, 240), seed=4))
    first = Image(reference, SQUARE, UTM)
    moved = Image(secondary, SQUARE, UTM)
    corner = pyproj.Transformer.from_crs(32632, 32633, always_xy=True).transform(600_000, 4_950_000)
    target = Affine(10, 0, round(corner[0], -1), 0, -10, round(corner[1], -1) + 300)
    with pytest.warns(ResampledWarning, match=r"its CRS is EPSG:32632, the reference's EPSG:32633"):
        elsewhere = pair(Image(np.zeros((320, 320), np.float32), target, "EPSG:32633"), moved).secondary
    with pytest.warns(ResampledWarning, match=r"its CRS is EPSG:32633"):
        assert displaced(first, Image(elsewhere.image, elsewhere.affine, elsewhere.crs)) == pytest.approx(
            (3, 5), abs=0.1
        )


def test_validity_is_carried_through_a_warp():
    pixels = scene()
    pixels[50:60, 70:90] = np.nan
    with pytest.warns(ResampledWarning):
        both = pair(Image(scene(), SQUARE, UTM), Image(pixels, SQUARE @ Affine.translation(0.5, 0.5), UTM))
    lost = ~both.secondary.valid
    assert lost[51:60, 71:90].all()
    assert lost.sum() < 12 * 22 + 2 * (160 + 200)
    assert np.abs(both.secondary.image[both.secondary.valid]).max() < 2 * np.nanmax(np.abs(pixels))


def test_tiles_of_a_warp_do_not_show():
    with pytest.warns(ResampledWarning):
        both = pair(Image(scene(), SQUARE, UTM), Image(scene(), SQUARE @ Affine.rotation(3), UTM))
    whole = both.secondary.image
    part = both.secondary.read(slice(33, 71), slice(40, 95))[0]
    known = np.isfinite(part)
    assert (known == np.isfinite(whole[33:71, 40:95])).mean() > 0.999
    np.testing.assert_allclose(part[known], whole[33:71, 40:95][known], atol=2e-4)


def test_what_cannot_be_paired(tmp_path):
    pixels = scene()
    here, nowhere = Image(pixels, SQUARE, UTM), Image(pixels)
    with pytest.raises(GridMismatchError, match="has no georeference while the other image has one"):
        pair(here, nowhere)
    with pytest.raises(GridMismatchError, match=r"equal size, instead got \(160, 200\) and \(100, 200\)"):
        pair(nowhere, Image(pixels[:100]))
    with pytest.raises(NoOverlapError, match=r"do not overlap: x 600000 .* and x 700000 .* in EPSG:32632"):
        pair(here, Image(pixels, SQUARE @ Affine.translation(10_000, 0), UTM))
    with pytest.raises(InputError, match="more than the 1,000 px allowed"):
        pair(here, here, max_pixels=1000)
    with pytest.raises(GridMismatchError, match="does not share the grid"):
        pair(here, Image(pixels, SQUARE @ Affine.translation(0.5, 0), UTM), warp=False)
    with pytest.warns(NoGeoreferenceWarning):
        assert not pair(nowhere, nowhere).grid.georeferenced


def test_an_area_of_interest_crops_with_a_margin():
    image = Image(scene(), SQUARE, UTM)
    both = pair(image, image, within=Grid((1, 1), Affine(400, 0, 600_500, 0, -300, 4_949_300), UTM), margin=8)
    assert both.grid.shape == (30 + 16, 40 + 16)
    assert both.grid.bounds == pytest.approx((600_420, 4_948_920, 600_980, 4_949_380))
    with pytest.raises(NoOverlapError, match="lies outside the images"):
        pair(image, image, within=Grid((1, 1), Affine(10, 0, 0, 0, -10, 10), UTM))


def gcp_file(path, pixels, affine, crs):
    """A raster placed only by control points in longitude and latitude."""
    back = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    points = []
    for row in np.linspace(0, pixels.shape[0], 6):
        for col in np.linspace(0, pixels.shape[1], 7):
            lon, lat = back.transform(*(affine @ (col, row)))
            points.append(GroundControlPoint(row, col, lon, lat))
    with rasterio.open(
        path, "w", driver="GTiff", width=pixels.shape[1], height=pixels.shape[0], count=1, dtype=pixels.dtype,
        gcps=points, crs="EPSG:4326",
    ) as file:  # fmt: skip
        file.write(pixels, 1)
    return path


@pytest.mark.parametrize(
    ("affine", "crs", "expected"),
    [
        (Affine(40, 3, 500_000, 5, -40, 5e6), 32632, 32632),
        (Affine(40, 3, 240_000, 5, -40, -240_000), 3413, 3413),
        (Affine(40, 3, 240_000, 5, -40, -240_000), 3031, 3031),
    ],
)
def test_control_points_are_warped_to_a_local_map(tmp_path, affine, crs, expected):
    """Each image has its own points and its own skewed pixels; the ground stays where it is."""
    pixels = ndimage.gaussian_filter(scene((170, 190)), 1.5)
    other = affine @ Affine.translation(12.4, -7.3) @ Affine.rotation(4)
    first = gcp_file(tmp_path / "a.tif", pixels, affine, crs)
    second = gcp_file(tmp_path / "b.tif", resampled(pixels, affine, other).astype(np.float32), other, crs)
    image = open_image(first)
    assert image.crs.to_epsg() == expected
    assert image.affine.b == image.affine.d == 0
    assert image.affine.a == pytest.approx(40, rel=0.05)
    both = pair(first, second)
    field = NCC(chip=32, step=16, search=6)(both.reference, both.secondary)
    assert field.good.sum() > 20
    assert np.median(field.d_row[field.good]) == pytest.approx(0, abs=0.05)
    assert np.median(field.d_col[field.good]) == pytest.approx(0, abs=0.05)


def test_the_fit_of_control_points_is_reported(tmp_path):
    path = gcp_file(tmp_path / "a.tif", scene(), Affine(40, 3, 500_000, 5, -40, 5e6), 32632)
    assert Geolocation.fit(open_raster(path)).residual < 1e-3
    assert local_crs(-179.9, -33) == "EPSG:32701"
    assert local_crs(179.9, 33) == "EPSG:32660"
