"""Images, pairs, displacements and their names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from affine import Affine

from sensetrack import Displacement, Flag, Grid, Image, ImagePair, OffsetField
from sensetrack.errors import InputError
from sensetrack.files.pairing import pair
from sensetrack.ot.algorithms import NCC
from truth import TALL, UTM, arrays

PIXELS = np.arange(20.0).reshape(4, 5)


def test_validity_is_what_can_be_used():
    pixels = PIXELS.copy()
    pixels[0, :4] = np.nan, np.inf, -1e30, -9999
    image = Image(pixels, TALL, UTM, nodata=-9999)
    assert image.valid[0].tolist() == [False, False, False, False, True]
    assert image.valid[1:].all()
    assert Image(np.full((2, 2), 7, np.uint8), nodata=-9999).valid.all()
    masked = Image(PIXELS, valid=PIXELS > 3)
    assert masked.valid.sum() == 16
    three = Image(np.dstack([pixels, PIXELS, PIXELS]), nodata=-9999)
    assert three.count == 3
    assert three.valid.sum() == 16


def test_negative_numbers_are_data():
    """The first release set them to 0, in the caller's array."""
    pixels = np.array([[-1.0, 2], [3, -4]])
    image = Image(pixels)
    assert image.valid.all()
    assert pixels[0, 0] == -1


def test_arguments_in_the_order_of_the_first_release():
    image = Image(PIXELS, Affine(10, 0, 5, 0, -10, 7), "EPSG:32632", -1.0)
    assert (image.affine.a, image.crs.to_epsg(), image.nodata) == (10, 32632, -1)
    assert (image.height, image.width, image.shape, image.band_names) == (4, 5, (4, 5), ("B1",))
    np.testing.assert_array_equal(image.image, PIXELS)


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"image": np.zeros(3)}, r"must be \(rows, cols\)"),
        ({"image": np.zeros((2, 2), complex)}, "real numbers, instead got complex128"),
        ({"image": PIXELS, "valid": np.ones((5, 4), bool)}, r"instead got \(5, 4\)"),
        ({"image": PIXELS, "band_names": ["a", "b"]}, "must name 1 bands, instead got 2"),
    ],
)
def test_what_is_no_image(arguments, rule):
    with pytest.raises(InputError, match=rule):
        Image(**arguments)


def test_time_between_scenes_has_a_sign():
    first, second = datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 2, 10, 12, tzinfo=UTC)
    pair = ImagePair(Image(PIXELS).taken(first), Image(PIXELS).taken(second))
    assert pair.dt == timedelta(days=40.5)
    assert ImagePair(pair.secondary, pair.reference).dt == -timedelta(days=40.5)
    assert ImagePair(pair.reference, Image(PIXELS)).dt is None


def displacement(dt=None):
    shape = (2, 3)
    dx, dy = np.full(shape, 30.0, np.float32), np.full(shape, -40.0, np.float32)
    return Displacement(dx, dy, dx, dy, np.zeros(shape, np.uint16), Grid(shape, TALL, UTM), dt)


def test_velocity_is_per_day_and_follows_the_dates():
    vx, vy = displacement(timedelta(days=10)).velocity
    assert (vx[0, 0], vy[0, 0]) == (3, -4)
    assert displacement(-timedelta(days=10)).velocity[0][0, 0] == -3
    for dt, found in ((None, "an unknown time"), (timedelta(0), "no time")):
        with pytest.raises(InputError, match=found):
            displacement(dt).velocity  # noqa: B018


def test_components_by_name():
    moved = displacement()
    assert [moved[name][0, 0] for name in moved.keys()] == [30, -40, 50]  # noqa: SIM118
    with pytest.raises(KeyError):
        moved["dzz"]


def test_errors_turn_with_the_grid():
    """Variances only along rows: on a grid turned by 90 degrees they are along x."""
    shape = (2, 2)
    zero = np.zeros(shape, np.float32)
    covariance = np.zeros((*shape, 3), np.float32)
    covariance[..., 0] = 0.04
    for affine, expected in (
        (Affine(10, 0, 500_000, 0, -20, 5e6), (0, 4)),
        (Affine(0, 20, 500_000, 10, 0, 5e6), (4, 0)),
    ):
        field = OffsetField(zero, zero, zero.astype(np.uint16), Grid(shape, affine, UTM), covariance=covariance)
        moved = field.to_displacement()
        found = moved.sigma_dx[0, 0], moved.sigma_dy[0, 0]
        assert found == pytest.approx(expected, abs=2e-3)


def test_flags_add_up_and_never_delete():
    shape = (2, 2)
    values = np.ones(shape, np.float32)
    field = OffsetField(values, values, np.zeros(shape, np.uint16), Grid(shape))
    where = np.array([[True, False], [False, False]])
    twice = field.flagged(where, Flag.OUTLIER).flagged(where | where.T, Flag.LOW_SCORE)
    assert twice.flags[0, 0] == Flag.OUTLIER | Flag.LOW_SCORE
    assert twice.good.sum() == 3
    assert (twice.d_row == 1).all()
    assert (field.flags == 0).all()
    assert len({flag.value for flag in Flag}) == 12


@pytest.fixture
def rgb():
    pixels = np.arange(4 * 5 * 3, dtype=np.int16).reshape(4, 5, 3)
    pixels[1, 2, 1] = -9
    return Image(pixels, TALL, UTM, nodata=-9, band_names=("red", "green", "blue"), sensor="S2")


def test_bands_by_number_name_and_attribute(rgb):
    assert len(rgb) == rgb.count == 3
    assert rgb.bandnames == ("red", "green", "blue")
    np.testing.assert_array_equal(rgb[1], rgb.image[..., 1])
    np.testing.assert_array_equal(rgb["green"], rgb[1])
    np.testing.assert_array_equal(rgb.green, rgb[1])
    np.testing.assert_array_equal(rgb[-1], rgb.blue)
    np.testing.assert_array_equal(np.stack(list(rgb), axis=-1), rgb.image)
    one = Image(np.zeros((4, 5)))
    np.testing.assert_array_equal(one.B1, one[0])
    with pytest.raises(IndexError, match="no index 3"):
        rgb[3]
    with pytest.raises(InputError, match="no band 'nir'; there are red, green, blue"):
        rgb["nir"]
    with pytest.raises(AttributeError, match="nir"):
        _ = rgb.nir
    assert repr(rgb) == "Image(4 x 5 px, red, green, blue, int16, EPSG:32632)"


def test_one_band_as_an_image(rgb):
    second = rgb.band(2)
    assert (second.band_names, second.sensor, second.nodata) == (("green",), "S2", -9)
    assert second.grid.same_as(rgb.grid)
    assert not second.valid[1, 2]
    assert rgb.band(1).valid.all()
    assert rgb.band("blue").image[0, 0] == 2
    assert [image.band_names for image in rgb.split_channels()] == [("red",), ("green",), ("blue",)]
    with pytest.raises(InputError, match="counted from 1, instead got band 0"):
        rgb.band(0)


def test_grey_is_luminance_and_missing_where_a_band_is(rgb):
    grey = rgb.grey()
    assert grey.image[0, 0] == pytest.approx(0.7154 + 2 * 0.0721, abs=1e-6)
    assert rgb.mask[1, 2]
    assert np.isnan(grey.image[1, 2])
    assert rgb.mask.sum() == np.isnan(grey.image).sum() == 1
    assert rgb.image[1, 2, 1] == -9
    with pytest.raises(InputError, match="instead got 2"):
        Image(np.zeros((4, 5, 2))).grey()


def test_coregistered_means_shape_transform_and_crs(rgb):
    assert rgb.is_coregistered(rgb.band(1))
    assert not rgb.is_coregistered(Image(np.zeros((4, 6)), TALL, UTM))
    assert not rgb.is_coregistered(Image(np.zeros((4, 5)), TALL, "EPSG:32633"))
    assert not rgb.is_coregistered(Image(np.zeros((4, 5)), TALL @ Affine.translation(0.5, 0), UTM))
    assert Image(np.zeros((4, 5))).is_coregistered(Image(np.ones((4, 5))))
    with pytest.raises(ValueError, match="only one of the two"):
        rgb.is_coregistered(Image(np.zeros((4, 5))))


def test_a_band_of_an_image_in_memory_is_tracked():
    first, second = arrays((100, 120), seed=2)
    images = [Image(np.stack([np.full(part.shape, 3.0), part], axis=-1), TALL, UTM) for part in (first, second)]
    with pytest.raises(InputError, match="one band, instead got 2"):
        NCC(chip=32, step=16, search=8)(*images)
    both = pair(*images, band=2)
    field = NCC(chip=32, step=16, search=8)(both.reference, both.secondary)
    assert np.median(field.d_row[field.good]) == pytest.approx(3, abs=0.05)
    assert np.median(field.d_col[field.good]) == pytest.approx(5, abs=0.05)
