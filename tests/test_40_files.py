"""Reading and writing: validity, grids, areas, and outputs that appear whole or not at all."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.enums import ColorInterp

from conftest import read_tif, write_tif
from sensetrack import Grid, Image, open_image
from sensetrack.errors import (
    ConfigError,
    InputError,
    OutputError,
    UnsafeInputError,
)
from sensetrack.files.atomic import output_folder, whole_folder
from sensetrack.files.cog import write_cog
from sensetrack.files.raster import BandSource, open_raster, parse_time
from sensetrack.files.safe import RASTERS, identify
from sensetrack.files.vector import area_at_posts, read_polygons
from sensetrack.ot.algorithms import NCC
from truth import TALL, UTM, arrays

SQUARE = Affine(10, 0, 600_000, 0, -10, 4_950_000)


def scene(shape=(160, 200), seed=4):
    return arrays(shape, seed=seed)[0].astype(np.float32)


# --- rasters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
def test_pixels_come_as_numbers_with_nan_where_there_are_none(tmp_path, dtype):
    pixels = np.arange(1, 61).reshape(6, 10).astype(dtype)
    path = write_tif(tmp_path / "a.tif", pixels, nodata=7)
    image = open_image(path)
    expected = np.where(pixels == 7, np.nan, pixels.astype(float))
    np.testing.assert_array_equal(image.image, expected)
    assert (image.valid == (pixels != 7)).all()
    values, valid = image.read(slice(2, 5), slice(3, 9))
    np.testing.assert_array_equal(values, expected[2:5, 3:9])
    assert valid.all()


def test_the_user_overrides_the_nodata_of_the_file(tmp_path):
    path = write_tif(tmp_path / "a.tif", np.array([[1, 2], [3, 4]], np.uint8), nodata=1)
    assert open_image(path, nodata=3).valid.tolist() == [[True, True], [False, True]]


def test_alpha_and_masks_are_validity(tmp_path):
    pixels = np.array([[10, 20], [30, 40]], np.uint8)
    alpha = np.array([[255, 0], [255, 1]], np.uint8)
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", width=2, height=2, count=2, dtype="uint8", transform=TALL, crs=UTM,
    ) as file:  # fmt: skip
        file.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
        file.write(np.stack([pixels, alpha]))
    assert open_image(tmp_path / "a.tif").valid.tolist() == [[True, False], [True, True]]
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            tmp_path / "m.tif", "w", driver="GTiff", width=2, height=2, count=1, dtype="uint8", transform=TALL, crs=UTM
        ) as file,
    ):
        file.write(pixels, 1)
        file.write_mask(alpha > 1)
    assert open_image(tmp_path / "m.tif").valid.tolist() == [[True, False], [True, False]]


def test_zeros_that_nobody_declared(tmp_path):
    """A black collar is no ground; a single dark pixel is."""
    pixels = np.full((60, 70), 50, np.uint8)
    pixels[:, :20] = 0
    pixels[30, 50] = 0
    pixels[40:44, 40:44] = 0
    image = open_image(write_tif(tmp_path / "a.tif", pixels))
    assert not image.valid[:, :20].any()
    assert image.valid[:, 20:].all()
    # The same in any window: the rule looks beyond its edge.
    assert not image.read(slice(0, 3), slice(17, 20))[1].any()
    assert open_image(tmp_path / "a.tif", nodata=float("nan")).valid.all()


def test_fill_values_that_nobody_declared(tmp_path):
    pixels = np.array([[-9999, 5], [-3.4028234663852886e38, np.nan]], np.float32)
    assert open_image(write_tif(tmp_path / "a.tif", pixels)).valid.tolist() == [[False, True], [False, False]]


def test_complex_pixels_become_amplitudes(tmp_path):
    path = write_tif(tmp_path / "slc.tif", np.array([[3 + 4j, 5j], [1, 0.5j]], np.complex64))
    np.testing.assert_allclose(open_image(path).image, [[5, 5], [1, 0.5]])


def test_windows_can_be_read_from_threads(tmp_path):
    pixels = scene((300, 300))
    source = BandSource(open_raster(write_tif(tmp_path / "a.tif", pixels, tiled=True)), 1)
    wrong = []

    def job(start):
        for _ in range(20):
            if not np.array_equal(source[start : start + 40, 10:90], pixels[start : start + 40, 10:90]):
                wrong.append(start)

    threads = [threading.Thread(target=job, args=(30 * i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_when_a_scene_was_taken(tmp_path):
    pixels = np.ones((8, 8), np.float32)
    tagged = write_tif(tmp_path / "a.tif", pixels, tags={"ACQUIRED": "2024-06-18T12:15:00+02:00"})
    assert open_image(tagged).acquired == datetime(2024, 6, 18, 10, 15, tzinfo=UTC)
    # TIFFTAG_DATETIME says when the file was made.
    made = write_tif(tmp_path / "b.tif", pixels, tags={"TIFFTAG_DATETIME": "2024:06:18 10:15:00"})
    assert open_image(made).acquired is None
    assert parse_time("2020-01-31") == datetime(2020, 1, 31, tzinfo=UTC)
    with pytest.raises(ConfigError, match=r"ISO 8601.*'yesterday'"):
        parse_time("yesterday")


@pytest.mark.parametrize("grid", [Grid((5, 7), TALL, UTM), Grid((5, 7)), Grid((5, 7), TALL @ Affine.rotation(20), UTM)])
def test_a_written_raster_says_everything(tmp_path, grid):
    values = np.arange(35, dtype=np.float32).reshape(5, 7)
    values[0, 0] = np.nan
    bands = [("dx", "m", values), ("dy", "m", values + 1)]
    write_cog(tmp_path / "o.tif", bands, grid, tags={"NOTE": "a", "LIST": [1, 2]}, nodata=float("nan"))
    np.testing.assert_array_equal(read_tif(tmp_path / "o.tif", 2), values + 1)
    file = open_raster(tmp_path / "o.tif")
    assert file.dataset.descriptions == ("dx", "dy")
    assert file.dataset.units == ("m", "m")
    assert file.tags["NOTE"] == "a"
    assert file.tags["LIST"] == "[1, 2]"
    assert file.tags["LAYOUT"] == "COG" if "LAYOUT" in file.tags else True
    assert file.dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert np.isnan(file.nodata)
    assert file.grid.georeferenced == grid.georeferenced
    if grid.georeferenced:
        assert file.grid.same_as(grid)


@pytest.mark.parametrize(
    ("shape", "block", "overviews"),
    [((3, 5), 16, []), ((53, 37), 64, []), ((512, 40), 512, []), ((520, 1030), 512, [2, 4])],
)
def test_a_small_raster_is_one_block_of_its_size(tmp_path, shape, block, overviews):
    values = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    write_cog(tmp_path / "o.tif", [("dx", "m", values)], Grid(shape, TALL, UTM), tags={}, nodata=float("nan"))
    with rasterio.open(tmp_path / "o.tif") as file:
        assert file.block_shapes == [(block, block)]
        assert file.overviews(1) == overviews
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        np.testing.assert_array_equal(file.read(1), values)


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from sensetrack.errors import OutputError
from sensetrack.files import cog
from sensetrack.grid import Grid
values = np.random.default_rng(1).normal(size=(53, 37)).astype(np.float32)
for name, small in (("memory", cog._SMALL), ("disk", 0)):
    cog._SMALL = small
    path, told = Path(sys.argv[1]) / f"{name}.tif", 0
    def write():
        cog.write_cog(path, [("a", "m", values), ("b", "m", -values)], Grid(values.shape), tags={}, nodata=None)
    write()
    size = path.stat().st_size
    limits = [*range(1, size, 211), size - 1]
    for limit in limits:
        path.unlink()
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            write()
        except OutputError as error:
            told += "tif: cannot be written" in str(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(name, told == len(limits) > 50)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")
def test_a_disk_that_gets_full_is_told_wherever_that_happens(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["memory True", "disk True"], done.stderr


# --- safe --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["http://x/a.tif", "https://x/a.tif", "s3://b/a.tif", "/vsicurl/http://x/a.tif", "zip:///a.zip!b.tif", "file:///a.tif"]
)  # fmt: skip
def test_only_local_files(path):
    with pytest.raises(UnsafeInputError, match="only local files"):
        identify(path, RASTERS)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 20, "an HDF5 file"),
        (b"CDF\x01\0\0", "a netCDF file"),
        (b"PK\x03\x04rest", "a ZIP file"),
        (b"SQLite format 3\0", "a SQLite file"),
        (b"<?xml version='1.0'?><VRTDataset>", "driver VRT not allowed"),
        (b"\n <GDAL_WMS><Service>", "driver WMS not allowed"),
        (b"<!DOCTYPE html><html>", "looks like an HTML page"),
        (b'{"error": "quota"}', "error.*quota"),
        (b"\0\1\2\3" * 9, "no kind that is known"),
        (b"\xff\xd8\xff\xe0", "a JPEG file by its content although it is named .tif"),
    ],
)
def test_a_file_is_what_it_holds(tmp_path, content, said):
    path = tmp_path / "x.tif"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        identify(path, RASTERS)


# --- areas -------------------------------------------------------------------------------------------------------


@pytest.fixture
def field():
    return NCC(chip=32, step=8, search=4)(*(Image(scene(), SQUARE, UTM),) * 2)


def polygon_file(path, geometry, crs=UTM, **options):
    geopandas.GeoDataFrame(geometry=[geometry], crs=crs).to_file(path, **options)
    return path


@pytest.mark.parametrize("crs", [UTM, "EPSG:4326", "EPSG:3035"])
@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".shp"])
def test_the_share_of_a_chip_in_polygons_of_any_crs(tmp_path, field, crs, suffix):
    box = shapely.box(600_000, 4_948_000, 601_000, 4_950_000)  # the western half
    frame = geopandas.GeoSeries([box], crs=UTM).segmentize(50).to_crs(crs)
    path = polygon_file(tmp_path / f"area{suffix}", frame[0], crs)
    share = area_at_posts(path, field, Grid((160, 200), SQUARE, UTM), (32, 32))
    assert share.shape == field.grid.shape
    col = field.start[1] + np.arange(share.shape[1]) * field.step[1]
    expected = np.clip((100 - (col - 16)) / 32, 0, 1)
    assert np.abs(share[3:-3] - expected).max() < 0.2
    assert (share[3:-3][:, col < 80] == 1).all()
    assert (share[3:-3][:, col > 120] == 0).all()


def test_a_mask_is_an_area_too(tmp_path, field):
    mask = np.zeros((160, 200), np.uint8)
    mask[:, :100] = 255
    placed = write_tif(tmp_path / "m.tif", mask, SQUARE, UTM)
    share = area_at_posts(placed, field, Grid((160, 200), SQUARE, UTM), (32, 32))
    assert share[5, 0] == 1
    assert share[5, -1] == 0
    plain = write_tif(tmp_path / "p.tif", mask, None, None)
    with pytest.raises(InputError, match="must both have a georeference"):
        area_at_posts(plain, field, Grid((160, 200), SQUARE, UTM), (32, 32))


def test_layers_are_named_and_areas_must_be_areas(tmp_path):
    path = tmp_path / "two.gpkg"
    polygon_file(path, shapely.box(0, 0, 1, 1), layer="first")
    polygon_file(path, shapely.box(5, 5, 9, 9), layer="second")
    assert read_polygons(f"{path}|second").total_bounds[0] == 5
    line = polygon_file(tmp_path / "line.gpkg", shapely.LineString([(0, 0), (1, 1)]))
    with pytest.raises(InputError, match="must hold polygons, instead got LineString"):
        read_polygons(line)
    with pytest.raises(InputError, match="cannot be read"):
        read_polygons(f"{path}|third")


# --- outputs -----------------------------------------------------------------------------------------------------


def test_outputs_appear_when_all_is_done(tmp_path):
    with output_folder(tmp_path / "a" / "b", ["x.txt"]) as part:
        (part / "x.txt").write_text("new")
        assert not (tmp_path / "a" / "b" / "x.txt").exists()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["x.txt"]


def test_a_folder_that_was_there_is_replaced_in_one_step(tmp_path):
    target, scratch = tmp_path / "pairs" / "a", tmp_path / "work"
    for text in ("old", "new"):
        with whole_folder(target, scratch) as part:
            (part / f"{text}.txt").write_text(text)
            assert [path.name for path in tmp_path.glob("pairs/a/*")] == ([] if text == "old" else ["old.txt"])
    assert [path.name for path in target.iterdir()] == ["new.txt"]
    with pytest.raises(KeyboardInterrupt), whole_folder(target, scratch):
        raise KeyboardInterrupt
    assert [path.name for path in target.iterdir()] == ["new.txt"]
    assert list(scratch.iterdir()) == []


def test_after_an_error_nothing_is_left(tmp_path):
    def fail(folder, **options):
        with output_folder(folder, ["x.txt"], **options) as part:
            (part / "x.txt").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    (tmp_path / "x.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        fail(tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]
    assert (tmp_path / "x.txt").read_text() == "old"


def test_outputs_do_not_replace_what_they_should_not(tmp_path):
    (tmp_path / "x.txt").write_text("old")
    with pytest.raises(ConfigError, match="exists already"), output_folder(tmp_path, ["x.txt"]):
        pass
    with (
        pytest.raises(ConfigError, match="is an input"),
        output_folder(tmp_path, ["x.txt"], overwrite=True, inputs=[tmp_path / "x.txt"]),
    ):
        pass
    with pytest.raises(OutputError, match="not a folder"), output_folder(tmp_path / "x.txt", ["y"]):
        pass
    assert (tmp_path / "x.txt").read_text() == "old"
