"""Damage that decoders do not see: other pixels without an error.

The numbers in the docstrings are those of the project's list of faults.
"""

from __future__ import annotations

import io
import threading
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioIOError
from scipy import ndimage

from conftest import read_tif, write_tif
from sensetrack import open_image
from sensetrack.errors import InputError
from sensetrack.files import damage
from sensetrack.files.raster import BandSource, open_raster
from test_80_faults import follow, no_picture, real_picture, refuse  # noqa: F401
from test_80_faults_rasters import write_pair
from truth import TALL, UTM

TILES = {"tiled": True, "blockxsize": 64, "blockysize": 48}
LAYOUTS = {
    "strips": {},
    "tiles": TILES,
    "one strip": {"blockysize": 140},
    "predictor": TILES | {"predictor": 2},
    "pixel": TILES | {"interleave": "pixel"},
    "band": TILES | {"interleave": "band"},
    "band strips": {"interleave": "band"},
    "big": TILES | {"BIGTIFF": "YES"},
    "big-endian": TILES | {"ENDIANNESS": "BIG"},
}


def three_bands(scene) -> np.ndarray:
    """(3, rows, cols) of numbers that all differ."""
    ground = (scene[0] - scene[0].min()) / np.ptp(scene[0])
    return np.stack([1 + 20_000 * ground, 1 + 30_000 * ground[::-1], 1 + 40_000 * ground[:, ::-1]]).astype(np.uint16)


def place(path: Path, band: int, row: int, col: int) -> tuple[int, int]:
    """Offset and size of a block."""
    with rasterio.open(path) as file:
        return tuple(int(file.get_tag_item(f"BLOCK_{k}_{col}_{row}", "TIFF", bidx=band)) for k in ("OFFSET", "SIZE"))


def hurt_silently(path: Path, band: int, block: tuple[int, int], seed: int = 0) -> None:
    """Flip a byte of a block such that rasterio reads the band without an error, and other pixels."""
    whole, before = path.read_bytes(), read_tif(path, band)
    offset, size = place(path, band, *block)
    for at in offset + np.random.default_rng(seed).permutation(np.arange(20, size - 4)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        try:
            after = read_tif(path, band)
        except RasterioIOError:
            continue
        if (after != before).any():
            return
    pytest.fail("no byte of the block can be flipped unseen")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_damaged_block_that_decodes_is_found_out(cli, tmp_path, scene, layout):
    """10."""
    pixels = three_bands(scene)
    files = write_pair(tmp_path, pixels, pixels, compress="deflate", **LAYOUTS[layout])
    band = 2 if "band" in layout else 1
    row, col = {"strips": (4, 0), "one strip": (0, 0), "band strips": (4, 0)}.get(layout, (1, 2))
    hurt_silently(files[1], band, (row, col))
    height, width = open_raster(files[1]).dataset.block_shapes[0]
    bottom, right = min((row + 1) * height, 140), min((col + 1) * width, 180)
    where = f"rows {row * height}-{bottom}, columns {col * width}-{right}"
    which = f" of band {band}" if "band" in layout else ""
    words = (f"damaged (block {row}, {col}{which}, {where}, does not match its checksum); download it again",)
    refuse(cli, tmp_path, *files, "--band", band, code=3, words=words, path=files[1])
    # Ground of other blocks and of other bands is as good as ever.
    for other in {1, 3} if "band" in layout else {band}:
        source = BandSource(open_raster(files[1]), other)
        window = np.s_[0:140, 0:180] if "band" in layout else np.s_[0:16, 0:40]
        if layout != "one strip":
            np.testing.assert_array_equal(source[window], pixels[other - 1][window])


def test_zeros_in_the_middle_of_a_file_are_found_out(cli, tmp_path, scene):
    """10: of 64 places at which 4 kB were lost, rasterio finds some; here none is left out."""
    pixels = scene[0].astype(np.float32)
    path = write_tif(tmp_path / "a.tif", pixels, compress="deflate", **TILES)
    whole = path.read_bytes()
    start, _ = place(path, 1, 0, 0)
    unseen = 0
    for at in np.linspace(start + 8, len(whole) - 5_000, 64).astype(int):
        path.write_bytes(whole[:at] + bytes(4096) + whole[at + 4096 :])
        with suppress(RasterioIOError):
            unseen += int((read_tif(path) != pixels).any())
        with pytest.raises(InputError, match=r"a.tif: is truncated or damaged \(block \d, \d, rows"):
            open_image(path).read(slice(0, 140), slice(0, 180))
    assert unseen > 5
    files = path, write_tif(tmp_path / "b.tif", pixels)
    refuse(cli, tmp_path, *files, code=3, words=("damaged", "block"), path=path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_whole_is_read_and_every_block_looked_at_once(tmp_path, scene, layout, monkeypatch):
    """10."""
    pixels = three_bands(scene)
    path = write_tif(tmp_path / "a.tif", pixels, compress="deflate", **LAYOUTS[layout])
    looked_at = []
    intact = damage._intact
    monkeypatch.setattr(damage, "_intact", lambda *args: looked_at.append(args[1]) or intact(*args))
    file = open_raster(path)
    for band in (1, 2, 3, 1):
        source = BandSource(file, band)
        for top in range(0, 140, 35):
            np.testing.assert_array_equal(source[top : top + 35, 20:180], pixels[band - 1, top : top + 35, 20:180])
    height, width = file.dataset.block_shapes[0]
    planes = 3 if "band" in layout else 1
    assert len(looked_at) == len(set(looked_at)) == planes * -(-140 // height) * -(-180 // width)


def test_only_blocks_under_a_window_are_looked_at(tmp_path, scene):
    """10: and a damaged one is found out each time."""
    pixels = three_bands(scene)[0]
    path = write_tif(tmp_path / "a.tif", pixels, compress="deflate", **TILES)
    hurt_silently(path, 1, (2, 2))
    image = open_image(path, nodata=65_535)
    np.testing.assert_array_equal(image.read(slice(0, 96), slice(0, 180))[0], pixels[:96])
    np.testing.assert_array_equal(image.read(slice(0, 140), slice(0, 128))[0], pixels[:, :128])
    for _ in range(2):
        with pytest.raises(InputError, match="block 2, 2"):
            image.read(slice(95, 97), slice(127, 129))


def test_blocks_that_were_never_written_are_empty(tmp_path):
    """10."""
    path = tmp_path / "sparse.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=300, height=200, count=1, dtype="uint16", transform=TALL, crs=UTM,
        compress="deflate", sparse_ok=True, **TILES,
    ) as file:  # fmt: skip
        file.write(np.full((48, 64), 7, np.uint16), 1, window=rasterio.windows.Window(64, 48, 64, 48))
    values, valid = open_image(path).read(slice(0, 200), slice(0, 300))
    assert valid.sum() == 48 * 64
    assert (values[48:96, 64:128] == 7).all()


def test_an_alpha_channel_is_looked_at_too(tmp_path, scene):
    """10: what it says decides which pixels count."""
    pixels = np.stack([three_bands(scene)[0] % 255, 128 + three_bands(scene)[1] % 100]).astype(np.uint8)
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=180, height=140, count=2, dtype="uint8", transform=TALL, crs=UTM,
        compress="deflate", interleave="band", **TILES,
    ) as file:  # fmt: skip
        file.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
        file.write(pixels)
    hurt_silently(path, 2, (0, 1))
    with pytest.raises(InputError, match="block 0, 1 of band 2"):
        _ = open_image(path).image


def test_threads_find_the_same(tmp_path):
    """10."""
    noise = np.random.default_rng(0).normal(size=(400, 500))
    pixels = (20_000 + 9_000 * ndimage.gaussian_filter(noise, 2)).astype(np.uint16)
    path = write_tif(tmp_path / "a.tif", pixels, compress="deflate", **TILES)
    hurt_silently(path, 1, (5, 4))
    image, wrong, found = open_image(path, nodata=0), [], []

    def job(number: int) -> None:
        rng = np.random.default_rng(number)
        for _ in range(30):
            top, left = int(rng.integers(0, 380)), int(rng.integers(0, 480))
            hurt = top + 20 > 240 and top < 288 and left + 20 > 256 and left < 320
            try:
                values = image.read(slice(top, top + 20), slice(left, left + 20))[0]
            except InputError:
                found.append(hurt)
            else:
                wrong.append(hurt or not np.array_equal(values, pixels[top : top + 20, left : left + 20]))

    threads = [threading.Thread(target=job, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found
    assert all(found)
    assert not any(wrong)


def test_a_block_that_inflates_without_end_costs_no_memory():
    """10, 25."""
    packed = zlib.compress(bytes(20_000_000), 9)
    tracemalloc.start()
    assert not damage._intact(io.BytesIO(packed), 0, len(packed), 1_000_000)
    assert damage._intact(io.BytesIO(packed), 0, len(packed), 20_000_000)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    for cut in (1, 4, 100):
        assert not damage._intact(io.BytesIO(packed[:-cut]), 0, len(packed), 20_000_000)
    assert not damage._intact(io.BytesIO(packed), 0, len(packed) - 1, 20_000_000)


@pytest.mark.parametrize("size", [1, 1000, 2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20])
def test_blocks_of_any_size_are_intact(size):
    """10: pieces that end where the stream does."""
    rng = np.random.default_rng(size)
    for content in (bytes(size), rng.bytes(size), rng.integers(0, 3, size, np.uint8).tobytes()):
        packed = b"before" + zlib.compress(content, 1) + b"behind"
        assert damage._intact(io.BytesIO(packed), 6, len(packed) - 12, size)
        assert damage._intact(io.BytesIO(packed), 6, len(packed) - 6, size)
        assert not damage._intact(io.BytesIO(packed), 6, len(packed) - 12, size - 1)


@pytest.mark.parametrize("driver", ["PNG", "PNG with a hole"])
def test_a_damaged_picture_is_found_out(cli, tmp_path, scene, driver):
    """10: a PNG has checksums of its own, which its decoder looks at."""
    grey = [np.clip(128 + 20 * part, 0, 255).astype(np.uint8) for part in scene]
    files = [tmp_path / name for name in ("a.png", "b.png")]
    for path, pixels in zip(files, grey, strict=True):
        write_tif(path, pixels, affine=None, crs=None, driver="PNG")
        path.with_name(path.name + ".aux.xml").unlink(missing_ok=True)
    content = bytearray(files[1].read_bytes())
    if driver == "PNG":
        content[len(content) // 2] ^= 0x10
    else:
        content[9_000:13_096] = bytes(4096)
    files[1].write_bytes(content)
    refuse(cli, tmp_path, *files, code=3, words=("damaged", "download it again"), path=files[1])
