"""Real files at the ends of the map: where they are, and what an area across the 180th meridian takes from them."""

from __future__ import annotations

import zipfile
from xml.etree import ElementTree as ET

import geopandas
import numpy as np
import pytest
from affine import Affine
from shapely import Polygon

from sensetrack import Image, open_image, pair
from sensetrack.files.raster import open_raster
from sensetrack.files.vector import area_at_posts, extent_of
from sensetrack.ot.algorithms import NCC
from test_80_faults import refuse

pytestmark = pytest.mark.data

TILES = {
    "T55XEE_20200911T034541_B08.jp2": ("EPSG:32655", (499_980, 8_390_220, 609_780, 8_500_020)),
    "T60CWU_20160414T200612_B08.jp2": ("EPSG:32760", (499_980, 1_290_220, 609_780, 1_400_020)),
}


@pytest.mark.parametrize("name", TILES)
def test_polar_tiles_are_where_they_say(cli, data, name):
    crs, bounds = TILES[name]
    path = data / "itslive_product" / name
    file = open_raster(path)
    assert file.grid.shape == (10_980, 10_980)
    assert file.grid.crs.to_string() == crs
    assert file.grid.bounds == bounds
    assert file.grid.pixel_size == pytest.approx((10, 10), rel=0.001)
    assert file.dtype == "uint16"
    values, valid = open_image(path).read(slice(0, 300), slice(0, 200))
    assert values.shape == valid.shape == (300, 200)
    shown = cli("info", path)
    assert shown.code == 0
    assert crs in shown.out


def test_tiles_of_two_poles_do_not_meet(cli, data, tmp_path):
    files = [data / "itslive_product" / name for name in TILES]
    words = ("footprints do not overlap", "EPSG:32655", "EPSG:32760", "x 499980 to 609780")
    refuse(cli, tmp_path, *files, code=3, words=words, path=files[1])


def test_the_footprint_of_an_antimeridian_tile_covers_it(data, tmp_path):
    """The footprint has 180, -179.7 and 179.26 degrees in one ring; the tile is in zone 1 south."""
    (product,) = (data / "safe_s2").glob("*_T01LAC_*.zip")
    with zipfile.ZipFile(product) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("MTD_MSIL1C.xml"))
        (tile,) = (name for name in archive.namelist() if name.endswith("MTD_TL.xml"))
        footprint = ET.fromstring(archive.read(name)).findtext(".//EXT_POS_LIST")
        geocoding = ET.fromstring(archive.read(tile)).find(".//Tile_Geocoding")
    corners = np.array(footprint.split(), float).reshape(-1, 2)[:, ::-1]
    assert np.ptp(corners[:, 0]) > 359
    area = tmp_path / "footprint.geojson"
    geopandas.GeoSeries([Polygon(corners)], crs="EPSG:4326").to_frame("geometry").to_file(area)
    position = geocoding.find("Geoposition[@resolution='60']")
    left, top = (float(position.findtext(key)) for key in ("ULX", "ULY"))
    size = geocoding.find("Size[@resolution='60']")
    shape = tuple(int(size.findtext(key)) for key in ("NROWS", "NCOLS"))
    pixels = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    image = Image(pixels, Affine(60, 0, left, 0, -60, top), geocoding.findtext("HORIZONTAL_CS_CODE"))
    assert pair(image, image, within=extent_of(area)).grid.same_as(image.grid)
    field = NCC(chip=32, step=64, search=2)(image, image)
    assert (area_at_posts(area, field, image.grid, (32, 32)) > 0.5).mean() > 0.98
