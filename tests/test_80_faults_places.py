"""Scenes and areas at the 180th meridian and around the poles: no bounds of 360 degrees, and the motion is found.

The numbers in the docstrings are those of the project's list of faults.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import geopandas
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.warp import Resampling, calculate_default_transform, reproject
from shapely import MultiPolygon, Polygon, box

from conftest import write_tif
from sensetrack import Flag, Grid, Image, open_image, pair
from sensetrack.errors import NoOverlapError
from sensetrack.files.places import in_one_piece, pixels_on
from sensetrack.files.vector import area_at_posts, extent_of
from sensetrack.ot.algorithms import NCC
from test_40_pairing import gcp_file
from test_80_faults import follow, no_picture, refuse  # noqa: F401
from test_80_faults_rasters import write_pair
from truth import arrays


def tall(crs: str, lon: float, lat: float, size: tuple[float, float] = (10, 20)) -> Affine:
    """North-up pixels of 10 m x 20 m whose middle (row 70, column 90) is at a place."""
    x, y = pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
    return Affine(size[0], 0, round(x) - 90 * size[0], 0, -size[1], round(y) + 70 * size[1])


CRS = {
    "60 south": ("EPSG:32760", 180, -17),
    "60 north": ("EPSG:32660", 180, 66),
    "arctic": ("EPSG:3413", 180, 86.5),
    "north pole": ("EPSG:3413", 0, 90),
    "antarctic": ("EPSG:3031", -180, -71),
    "south pole": ("EPSG:3031", 0, -90),
    "longitudes": ("EPSG:4326", 180, 66),
}


@pytest.mark.parametrize("where", CRS)
def test_motion_is_found_at_the_ends_of_the_map(cli, tmp_path, scene, where):
    """47."""
    crs, lon, lat = CRS[where]
    affine = tall(crs, lon, lat) if crs != "EPSG:4326" else Affine(2e-4, 0, 179.982, 0, -2e-4, 66.014)
    pixels = [part.astype(np.float32) for part in scene]
    product = follow(cli, *write_pair(tmp_path, *pixels, affine=affine, crs=crs)).require()
    assert not product.record["warnings"]
    with rasterio.open(product.folder / "displacement.tif") as file:
        assert file.crs.to_string() == crs
        assert file.bounds.left >= affine.c
        assert file.bounds.right <= affine.c + 180 * affine.a
    geod = pyproj.Geod(ellps="WGS84")
    to_lonlat = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform
    start, east, south = (to_lonlat(*(affine @ place)) for place in ((30, 30), (35, 30), (30, 33)))
    product.require_metres(geod.inv(*start, *east)[2], -geod.inv(*start, *south)[2], within=0.6)


def delivered_in(crs: str, pixels: np.ndarray, affine: Affine, own: str) -> tuple[np.ndarray, dict]:
    """A scene as another program would reproject it."""
    rows, cols = pixels.shape
    bounds = rasterio.transform.array_bounds(rows, cols, affine)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        target, width, height = calculate_default_transform(own, crs, cols, rows, *bounds)
    out = np.full((height, width), np.nan, np.float32)
    reproject(
        pixels.astype(np.float32), out, src_transform=affine, src_crs=own, dst_transform=target, dst_crs=crs,
        src_nodata=np.nan, dst_nodata=np.nan, resampling=Resampling.lanczos,
    )  # fmt: skip
    return out, {"affine": target, "crs": crs}


@pytest.mark.parametrize(
    ("own", "other", "lat"),
    [
        ("EPSG:32660", "EPSG:32601", 66),
        ("EPSG:32701", "EPSG:32760", -17),
        ("EPSG:32601", "EPSG:3413", 71),
        ("EPSG:3031", "EPSG:32760", -78),
    ],
)
def test_scenes_of_two_maps_meet_at_the_180th_meridian(cli, tmp_path, scene, own, other, lat):
    """47: each zone sees the other one's pixels where they are, and not around the globe."""
    affine = tall(own, 180, lat, (12, 15))
    moved, where = delivered_in(other, scene[1], affine, own)
    files = write_pair(
        tmp_path, scene[0].astype(np.float32), moved, {"affine": affine, "crs": own}, where, nodata=np.nan
    )
    product = follow(cli, *files).require(within=0.1, share=0.7, tail=0.25)
    assert [f"its CRS is {other}, the reference's {own}" in note for note in product.record["warnings"]] == [True]
    assert product.d_row.shape == (7, 10)  # the whole reference


@pytest.mark.parametrize("turn", [-360, 360])
def test_longitudes_of_the_two_sides_are_the_same_ground(cli, tmp_path, scene, turn):
    """47: 180.01 is -179.99 degrees; the pixels are used as they are."""
    east = Affine(2e-4, 0, 179.982, 0, -3e-4, 66.02)
    first, second = ({"affine": east}, {"affine": Affine.translation(turn, 0) @ east})
    pixels = [part.astype(np.float32) for part in scene]
    product = follow(cli, *write_pair(tmp_path, *pixels, first, second, crs="EPSG:4326")).require()
    assert not product.record["warnings"]


def test_longitudes_and_a_zone_meet_at_the_180th_meridian(cli, tmp_path, scene):
    """47: the reference in degrees from 179.99 to 180.01, the secondary in zone 60."""
    east = Affine(2.4e-4, 0, 180 - 90 * 2.4e-4, 0, -1.2e-4, 66 + 70 * 1.2e-4)
    moved, where = delivered_in("EPSG:32660", scene[1], east, "EPSG:4326")
    files = write_pair(
        tmp_path, scene[0].astype(np.float32), moved, {"affine": east, "crs": "EPSG:4326"}, where, nodata=np.nan
    )
    follow(cli, *files).require(within=0.1, share=0.7, tail=0.25)


def test_a_mosaic_around_the_globe_is_seen_where_the_scene_is():
    """47: a world map in degrees under a scene at its edge; half of the scene is at its other edge."""
    row, col = np.indices((340, 720))
    world = Image((1 + 1000 * row + col).astype(np.float32), Affine(0.5, 0, -180, 0, -0.5, 85), "EPSG:4326")
    zone = Grid((40, 60), tall("EPSG:32660", 180, 60.3, (4000, 5000)) @ Affine.translation(60, 50), "EPSG:32660")
    reference = Image(np.ones(zone.shape, np.float32), zone.affine, zone.crs)
    with pytest.warns(UserWarning, match="its CRS is EPSG:4326"):
        both = pair(reference, world)
    assert both.grid.same_as(zone)
    seen = both.secondary.image
    lon, lat = pyproj.Transformer.from_crs(32660, 4326, always_xy=True).transform(*zone.xy(*np.indices(zone.shape)))
    expected = 1 + 1000 * ((85 - lat) / 0.5 - 0.5) + ((lon + 180) / 0.5 - 0.5)
    known = np.isfinite(seen)
    # A tile is drawn from one side of the map; what lies on the other one is not known, and never made up.
    assert known.mean() > 0.4
    inland = known & (lon > -179) & (lon < 179)
    np.testing.assert_allclose(seen[inland], expected[inland], atol=5)  # thousandths of a row


AROUND = box(179.9945, -17.0035, 180.0045, -16.9975)
"""An area of interest across the 180th meridian, 1.1 km x 0.7 km."""


def turned(shape, by: float):
    """A polygon by whole circles further east."""
    return shapely.transform(shape, lambda points: points + np.array([by, 0]))


def jumping(shape):
    """The same polygon as footprints have it: -179.99 follows 180 in one ring."""
    return shapely.transform(
        shape, lambda points: np.where(points > [180, 90], points - np.array([360, 0]), points)
    )  # fmt: skip


WEST, EAST = AROUND.intersection(box(179, -20, 180, 0)), AROUND.intersection(box(180, -20, 181, 0))
HOLE = box(180.0005, -17.0022, 180.0025, -16.9992)
SPELLINGS = {
    "split": [MultiPolygon([WEST, turned(EAST, -360)])],
    "two": [WEST, turned(EAST, -360)],
    "beyond": [AROUND],
    "below": [turned(AROUND, -360)],
    "jumping": [jumping(AROUND)],
    "jumping the other way": [jumping(AROUND).reverse()],
}


def write_area(path: Path, shapes, crs="EPSG:4326") -> Path:
    geopandas.GeoSeries(shapes, crs=crs).to_frame("geometry").to_file(path)
    return path


@pytest.fixture(scope="module")
def fiji() -> Grid:
    """A grid of 10 m x 20 m with the 180th meridian in its middle."""
    return Grid((140, 180), tall("EPSG:32760", 180, -17), "EPSG:32760")


def pixels_of_area(grid: Grid, shape) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the outline of an area, told without the code under test."""
    points = shapely.get_coordinates(shapely.segmentize(shape, 1e-4))
    x, y = pyproj.Transformer.from_crs(4326, grid.crs, always_xy=True).transform(*points.T)
    col, row = (~grid.affine) @ (x, y)
    return row, col


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".shp"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_area_across_the_180th_meridian_crops_to_where_it_is(tmp_path, fiji, spelling, suffix):
    """47."""
    path = write_area(tmp_path / f"area{suffix}", SPELLINGS[spelling])
    image = Image(np.ones(fiji.shape, np.float32), fiji.affine, fiji.crs)
    both = pair(image, image, within=extent_of(path), margin=3)
    row, col = pixels_of_area(fiji, AROUND)
    expected = fiji.crop(
        slice(int(np.floor(row.min())) - 3, int(np.ceil(row.max())) + 3),
        slice(int(np.floor(col.min())) - 3, int(np.ceil(col.max())) + 3),
    )
    assert expected.shape[1] < 130
    assert both.grid.same_as(expected)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("spelling", ["split", "beyond", "jumping"])
def test_so_do_the_posts_inside_it(cli, tmp_path, scene, fiji, spelling):
    """47: what is flagged as outside is outside."""
    pixels = [part.astype(np.float32) for part in scene]
    files = write_pair(tmp_path, *pixels, affine=fiji.affine, crs=fiji.crs.to_wkt())
    area = write_area(tmp_path / "area.gpkg", SPELLINGS[spelling])
    product = follow(cli, *files, "--aoi", area)
    with rasterio.open(product.folder / "flags.tif") as file:
        row, col = np.indices(product.flags.shape)
        x, y = rasterio.transform.xy(file.transform, row.ravel(), col.ravel())
    lon, lat = pyproj.Transformer.from_crs(32760, 4326, always_xy=True).transform(np.array(x), np.array(y))
    lon = np.where(lon < 0, lon + 360, lon)
    depth = shapely.distance(shapely.points(lon, lat), AROUND.exterior)
    inside = shapely.contains_xy(AROUND, lon, lat)
    flagged = (product.flags.ravel() & Flag.OUT_OF_AOI.bit) > 0
    clear = depth > 5e-4  # half a chip from the edge it may be either
    assert (flagged == ~inside)[clear].all()
    assert inside[clear].sum() > 4
    assert (product.good.ravel() & inside).sum() > 8
    assert product.error(3, 5)[product.good].max() < 0.2


def test_an_area_elsewhere_is_outside(cli, tmp_path, scene, fiji):
    """47: on the other side of the globe, or of the meridian."""
    files = write_pair(tmp_path, *(p.astype(np.float32) for p in scene), affine=fiji.affine, crs=fiji.crs.to_wkt())
    for by in (-180, 0.5, -0.5):
        area = write_area(tmp_path / "area.gpkg", [turned(AROUND, by)])
        refuse(cli, tmp_path, *files, "--aoi", area, code=3, words=("outside the images",), path=area)


@pytest.mark.parametrize("world", [box(-180, -90, 180, 90), box(0, -90, 360, 90), box(-175, -80, -185, 80)])
def test_the_whole_world_crops_nothing(tmp_path, fiji, world):
    """47."""
    image = Image(np.ones(fiji.shape, np.float32), fiji.affine, fiji.crs)
    path = write_area(tmp_path / "area.gpkg", [world])
    assert pair(image, image, within=extent_of(path)).grid.same_as(fiji)


def posts(grid: Grid):
    """A field on a grid, for its posts."""
    image = Image(np.random.default_rng(0).normal(size=grid.shape), grid.affine, grid.crs)
    return NCC(chip=8, step=8, search=2)(image, image)


def test_an_area_with_a_hole_across_the_180th_meridian(tmp_path, fiji):
    """47: a hole on the other side than the first corner."""
    ring = Polygon(AROUND.exterior, [HOLE.exterior])
    jumped = Polygon(shapely.get_coordinates(jumping(AROUND)), [shapely.get_coordinates(turned(HOLE, -360))])
    field = posts(fiji)
    shares = [
        area_at_posts(write_area(tmp_path / f"{i}.gpkg", [shape]), field, fiji, (8, 8))
        for i, shape in enumerate((ring, turned(ring, -360), jumped))
    ]
    row, col = pixels_of_area(fiji, HOLE)
    middle = round((row.mean() - 4) / 8), round((col.mean() - 4) / 8)
    for share in shares:
        np.testing.assert_allclose(share, shares[0], atol=1e-6)
        assert share[middle] == 0
        assert share.max() == 1


@pytest.mark.parametrize(("crs", "sign"), [("EPSG:3413", 1), ("EPSG:3031", -1)])
def test_an_area_around_a_pole(tmp_path, crs, sign):
    """47: all longitudes, one latitude: a disc."""
    grid = Grid((200, 240), Affine(5000, 0, -500_000, 0, -5000, 400_000), crs)
    cap = box(-180, 85, 180, 90) if sign > 0 else box(-180, -90, 180, -85)
    path = write_area(tmp_path / "cap.gpkg", [cap])
    x, y = pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(0, sign * 85)
    radius = np.hypot(x, y) / 5000
    field = posts(grid)
    share = area_at_posts(path, field, grid, (8, 8))
    row, col = 8 * np.indices(share.shape) + 4
    away = np.hypot(row - 80, col - 100)
    assert (share[away < radius - 7] == 1).all()
    assert (share[away > radius + 7] == 0).all()
    image = Image(np.ones(grid.shape, np.float32), grid.affine, grid.crs)
    cropped = pair(image, image, within=extent_of(path)).grid.shape
    assert cropped == (int(np.ceil(80 + radius)), int(np.ceil(100 + radius)))


@pytest.mark.parametrize("left", [179.982, -180.018])
def test_a_mask_in_longitudes_lies_where_it_is(tmp_path, fiji, left):
    """47: a mask across the meridian, as an area and as an extent."""
    mask = np.zeros((90, 120), np.uint8)
    mask[30:60, 20:80] = 200
    affine = Affine(3e-4, 0, left, 0, -3e-4, -16.986)
    path = write_tif(tmp_path / "mask.tif", mask, affine=affine, crs="EPSG:4326")
    field = posts(fiji)
    share = area_at_posts(path, field, fiji, (8, 8))
    bright = box(left + 20 * 3e-4, -16.986 - 60 * 3e-4, left + 80 * 3e-4, -16.986 - 30 * 3e-4)
    expected = area_at_posts(write_area(tmp_path / "area.gpkg", [bright]), field, fiji, (8, 8))
    assert expected.max() == 1
    assert expected.mean() < 0.9
    assert np.abs(share - expected).mean() < 0.02
    image = Image(np.ones(fiji.shape, np.float32), fiji.affine, fiji.crs)
    assert pair(image, image, within=extent_of(path)).grid.same_as(fiji)


def test_control_points_across_the_180th_meridian(cli, tmp_path):
    """43, 47: the middle of 179.9 and -179.9 degrees is not in Greenwich."""
    images = [part.astype(np.float32) for part in arrays((140, 180), seed=11)]
    affine = tall("EPSG:32760", 180, -17, (20, 20))
    files = [gcp_file(tmp_path / f"{i}.tif", image, affine, 32760) for i, image in enumerate(images)]
    placed = open_image(files[0])
    assert placed.crs.to_epsg() in (32760, 32701)
    assert placed.affine.a == pytest.approx(20, rel=0.05)
    assert np.isfinite(placed.image).mean() > 0.6
    product = follow(cli, *files)
    assert product.good.mean() > 0.5
    # Drawn in zone 60, mapped in zone 1, whose axes are turned against it by 1.8 degrees here.
    product.require_metres(101.7, -56.9, within=0.5)


def test_pixels_of_longitudes_are_near_the_grid():
    """47: also on grids from 0 to 360 degrees, and of what has no place."""
    pacific = Grid((90, 360), Affine(1, 0, 0, 0, -2, 90), "EPSG:4326")
    row, col = pixels_on(pacific, pacific.crs)(np.array([-10.5, 350, 0, 360, np.inf]), np.array([0.0, 0, 90, -90, 0]))
    np.testing.assert_allclose(col[:4], [349.5, 350, 0, 360])
    np.testing.assert_allclose(row[:4], [45, 45, 0, 90])
    assert not np.isfinite(col[4])


def test_only_jumps_are_mended():
    """47: wide boxes are wide."""
    crs = pyproj.CRS(4326)
    wide = [box(-180, -90, 180, 90), box(-100, 0, 100, 10), box(0, 0, 1, 1), MultiPolygon([WEST, turned(EAST, -360)])]
    np.testing.assert_array_equal(in_one_piece(np.array(wide, object), crs), np.array(wide, object))
    both = MultiPolygon([jumping(AROUND), box(10, 0, 11, 1)])
    (mended,) = in_one_piece(np.array([both], object), crs)
    assert mended.equals(MultiPolygon([AROUND, box(10, 0, 11, 1)])) or mended.area == pytest.approx(AROUND.area + 1)


def test_an_area_that_leaves_the_map_of_the_images_is_named(tmp_path, fiji):
    """47: an area in a map that has no coordinates there is elsewhere."""
    image = Image(np.ones(fiji.shape, np.float32), fiji.affine, fiji.crs)
    path = write_area(tmp_path / "area.gpkg", [box(-4e6, -4e6, 4e6, 4e6)], crs="EPSG:3413")
    with pytest.raises(NoOverlapError, match="outside the images"):
        pair(image, image, within=extent_of(path))
