"""Files whose lines lie in them as they are: the same pixels as through a decoder, and damage is an error."""

import numpy as np
import pytest
import rasterio

from conftest import write_tif
from sensetrack.errors import InputError
from sensetrack.files.raster import open_raster

WINDOWS = [(slice(0, 37), slice(0, 53)), (slice(5, 6), slice(11, 12)), (slice(3, 36), slice(50, 53)),
           (slice(7, 7), slice(2, 9)), (slice(4, 8), slice(9, 9))]  # fmt: skip


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize(
    ("how", "plain"),
    [
        ({"blockysize": 1}, True),
        ({"blockysize": 5}, True),
        ({"tiled": True, "blockxsize": 64, "blockysize": 16}, True),  # tiles wider than the image
        ({"tiled": True, "blockxsize": 16, "blockysize": 16}, False),
        ({"blockysize": 5, "compress": "lzw"}, False),
        ({"blockysize": 5, "ENDIANNESS": "BIG"}, False),
    ],
)
def test_pixels_are_those_of_the_decoder(tmp_path, dtype, how, plain):
    pixels = np.random.default_rng(3).integers(0, 255, (37, 53)).astype(dtype)
    path = write_tif(tmp_path / "a.tif", pixels, **how)
    file = open_raster(path)
    assert (file.strips is not None) is plain
    for window in WINDOWS:
        found = file.read(1, *window)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, pixels[window])


def test_bits_bands_and_numbers_of_other_kinds_are_left_to_the_decoder(tmp_path):
    pixels = np.random.default_rng(3).integers(0, 100, (9, 21)).astype(np.uint8)
    kinds = {"bits": (pixels, {"nbits": 7}), "bands": (np.stack([pixels, pixels]), {}),
             "double": (pixels.astype(float), {})}  # fmt: skip
    for name, (values, how) in kinds.items():
        file = open_raster(write_tif(tmp_path / f"{name}.tif", values, **how))
        assert file.strips is None, name
        np.testing.assert_array_equal(file.read(1, slice(2, 8), slice(3, 20)), pixels[2:8, 3:20])


def test_strips_that_were_never_written_are_what_the_decoder_says(tmp_path):
    path = tmp_path / "sparse.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=40, height=30, count=1, dtype="uint16", blockysize=3, SPARSE_OK=True,
        crs="EPSG:32632", transform=rasterio.Affine(10, 0, 0, 0, -10, 0),
    ) as file:  # fmt: skip
        file.write(np.full((3, 40), 7, np.uint16), 1, window=rasterio.windows.Window(0, 0, 40, 3))
    found = open_raster(path).read(1, slice(1, 9), slice(5, 12))
    np.testing.assert_array_equal(found, np.where(np.arange(1, 9)[:, None] < 3, 7, 0) + np.zeros((1, 7)))


def test_a_file_that_ends_while_it_is_read_is_an_error(tmp_path):
    path = write_tif(tmp_path / "a.tif", np.ones((37, 53), np.uint16), blockysize=1)
    file = open_raster(path)
    file.read(1, slice(30, 37), slice(0, 53))
    with path.open("r+b") as content:
        content.truncate(path.stat().st_size // 2)
    with pytest.raises(InputError, match=r"a\.tif: is truncated or damaged \(rows 30-37, columns 2-50 cannot be read"):
        file.read(1, slice(30, 37), slice(2, 50))
