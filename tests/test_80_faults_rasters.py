"""What rasters hold that nobody expects: pixels, bands, types and places; and what must come out all the same.

The numbers in the docstrings are those of the project's list of faults.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.warp import Resampling, calculate_default_transform, reproject
from scipy import ndimage

from conftest import write_tif
from sensetrack.files import raster
from test_80_faults import at_most, follow, no_picture, real_picture, refuse  # noqa: F401
from truth import TALL, UTM, arrays, uniform

LOCAL = 'LOCAL_CS["site",UNIT["metre",1]]'
FAR = Affine.translation(500_000, 0) @ TALL


def write_pair(folder: Path, reference, secondary, first=None, second=None, **both) -> tuple[Path, Path]:
    """Write two files; `first` and `second` hold what differs."""
    return (
        write_tif(folder / "reference.tif", reference, **(both | (first or {}))),
        write_tif(folder / "secondary.tif", secondary, **(both | (second or {}))),
    )


def warped_to(crs: str, pixels: np.ndarray, resolution: tuple[float, float] | None = None) -> tuple[np.ndarray, dict]:
    """A scene on `TALL` as another program would reproject it."""
    rows, cols = pixels.shape
    bounds = rasterio.transform.array_bounds(rows, cols, TALL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        affine, width, height = calculate_default_transform(UTM, crs, cols, rows, *bounds, resolution=resolution)
    out = np.full((height, width), np.nan, np.float32)
    reproject(
        pixels.astype(np.float32), out, src_transform=TALL, src_crs=UTM, dst_transform=affine, dst_crs=crs,
        src_nodata=np.nan, dst_nodata=np.nan, resampling=Resampling.lanczos,
    )  # fmt: skip
    return out, {"affine": affine, "crs": crs}


def test_a_header_that_claims_too_much_is_refused_at_once(cli, pair_files, tmp_path):
    """33: 3.6 Gpx in a few kilobytes."""
    path = tmp_path / "bomb.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=60_000, height=60_000, count=1, dtype="uint8", transform=TALL, crs=UTM,
        sparse_ok=True, tiled=True, blockxsize=4096, blockysize=4096,
    ):  # fmt: skip
        pass
    with at_most(20):
        refuse(cli, tmp_path, path, path, code=3, words=("60000 x 60000", "--max-pixels"), path=path)
        refuse(cli, tmp_path, *pair_files, "--max-pixels", 25_199, code=3, words=("140 x 180", "25,199"))


def test_a_picture_that_claims_too_much_is_refused_before_it_is_decoded(cli, tmp_path, monkeypatch):
    """33: a PNG must be decoded from the top, so its size is looked at first."""
    paths = [tmp_path / name for name in ("a.png", "b.png")]
    for path in paths:
        write_tif(path, np.ones((140, 180), np.uint8), affine=None, crs=None, driver="PNG")
        path.with_name(path.name + ".aux.xml").unlink(missing_ok=True)
    monkeypatch.setattr(raster.RasterFile, "read", lambda *_: pytest.fail("was decoded"))
    refuse(cli, tmp_path, *paths, "--max-pixels", 25_199, code=3, words=("140 x 180", "--max-pixels"), path=paths[0])


def test_a_mask_that_claims_too_much_is_never_read_whole(cli, pair_files, tmp_path, monkeypatch):
    """33: only what lies under the images is looked at, or the mask is refused."""
    path = tmp_path / "mask.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=60_000, height=60_000, count=1, dtype="uint8", transform=TALL, crs=UTM,
        sparse_ok=True, tiled=True, blockxsize=4096, blockysize=4096,
    ):  # fmt: skip
        pass
    read = raster.RasterFile.read

    def bounded(file, band, rows, cols):
        if (rows.stop - rows.start) * (cols.stop - cols.start) > 10_000_000:
            pytest.fail("was read whole")
        return read(file, band, rows, cols)

    monkeypatch.setattr(raster.RasterFile, "read", bounded)
    for option in ("--aoi", "--stable-ground"):
        refuse(cli, tmp_path, *pair_files, option, path, code=3, path=path)


def test_a_sparse_file_is_empty_ground(cli, tmp_path):
    """33 at a size that is accepted: nothing was ever written to it."""
    path = tmp_path / "sparse.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=1_000, height=800, count=1, dtype="uint8", transform=TALL, crs=UTM,
        sparse_ok=True, tiled=True,
    ):  # fmt: skip
        pass
    refuse(cli, tmp_path, path, path, code=3, words=("no ground that is measured",), options=("--step", 64))


@pytest.mark.usefixtures("real_picture")
def test_a_constant_scene_has_no_texture(cli, tmp_path):
    """34."""
    files = write_pair(tmp_path, *np.ones((2, 600, 800), np.uint16), affine=None, crs=None)
    product = follow(cli, *files, small=("--step", 32), gross="auto")
    product.require_nothing()
    assert "low texture" in product.err
    assert np.isnan(product.d_row).all()


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326", "EPSG:3857"])
def test_another_crs_is_warped_and_said(cli, tmp_path, scene, crs):
    """35."""
    pixels, where = warped_to(crs, scene[1])
    files = write_pair(tmp_path, scene[0].astype(np.float32), pixels, second=where, nodata=np.nan)
    product = follow(cli, *files).require(within=0.1, share=0.7)
    product.require_metres(50, -60, within=2)
    assert "secondary.tif: warped onto the grid of the reference" in product.err
    assert crs in product.record["warnings"][0]
    refuse(
        cli,
        tmp_path,
        *files,
        "--no-warp",
        "-o",
        tmp_path / "b",
        code=3,
        words=("does not share the grid", crs),
        path=files[1],
    )


@pytest.mark.parametrize("factor", [2, 0.5])
def test_another_pixel_size_is_warped_and_said(cli, tmp_path, scene, factor):
    """36."""
    pixels, where = warped_to(UTM, ndimage.gaussian_filter(scene[1], 0.8), (10 * factor, 20 * factor))
    files = write_pair(tmp_path, scene[0].astype(np.float32), pixels, second=where, nodata=np.nan)
    product = follow(cli, *files).require(within=0.15, share=0.7)
    assert "pixels differ" in product.record["warnings"][0]
    refuse(cli, tmp_path, *files, "--no-warp", "-o", tmp_path / "b", code=3, words=("pixels differ",), path=files[1])


def strip(rows: int, cols: int, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """A long scene that moved 3 rows and 5 columns: one texture, cut twice."""
    rng = np.random.default_rng(seed)
    ground = ndimage.gaussian_filter(rng.normal(size=(rows + 8, cols + 8)), 1.2)
    ground = 1_000 + 500 * ground / ground.std()
    return ground[5 : 5 + rows, 6 : 6 + cols].astype(np.float32), ground[2 : 2 + rows, 1 : 1 + cols].astype(np.float32)


def test_a_tiny_difference_of_pixel_size_adds_up(cli, tmp_path):
    """36: 10 and 10.0001 m part by 0.04 px over 4200 columns, and by nothing that matters over 180."""
    reference, secondary = strip(40, 5_000)
    almost = {"affine": Affine(10.0001, 0, 600_000, 0, -20, 4_950_000)}
    files = write_pair(tmp_path, reference, secondary, second=almost)
    product = follow(cli, *files)
    assert "pixels differ" in product.record["warnings"][0]
    found = product.d_col[0, product.good[0]]
    assert np.median(found[-50:]) - np.median(found[:50]) == pytest.approx(0.042, abs=0.01)
    small = write_pair(tmp_path, reference[:, :180], secondary[:, :180], second=almost)
    product = follow(cli, *small, "--overwrite").require()
    assert not product.record["warnings"]


def test_another_extent_of_the_same_grid_is_cut_out(cli, tmp_path, scene):
    """37."""
    reference = {"affine": TALL @ Affine.translation(0, 10)}
    secondary = {"affine": TALL @ Affine.translation(17, 0)}
    pixels = [part.astype(np.float32) for part in scene]
    files = write_pair(tmp_path, pixels[0][10:, :170], pixels[1][:131, 17:], reference, secondary)
    product = follow(cli, *files).require()
    assert not product.record["warnings"]
    with rasterio.open(product.folder / "offsets.tif") as file:
        # The first chip is 32 px from the common corner at row 10, column 17.
        assert file.xy(0, 0) == pytest.approx(TALL @ (17 + 16, 10 + 16))


def test_the_same_ground_in_two_extents_did_not_move(cli, tmp_path, scene):
    """37."""
    ground = scene[0].astype(np.float32)
    second = {"affine": TALL @ Affine.translation(21, 13)}
    follow(cli, *write_pair(tmp_path, ground[:120], ground[13:, 21:], second=second)).require(0, 0, within=0.01)


@pytest.mark.parametrize("part", [(0.3, 0.3), (-0.3, 0.45), (0.005, 0)])
def test_a_grid_between_the_pixels_is_no_motion(cli, tmp_path, part):
    """38: the ground is still and the pixels of the second image lie elsewhere, as its transform says."""
    images = arrays((140, 180), uniform(-part[0], -part[1]), seed=3)
    second = {"affine": TALL @ Affine.translation(part[1], part[0])}
    files = write_pair(tmp_path, *(image.astype(np.float32) for image in images), second=second)
    product = follow(cli, *files).require(0, 0, within=0.03)
    assert bool(product.record["warnings"]) == (max(np.abs(part)) > 0.01)


def test_no_overlap_names_both_footprints(cli, tmp_path, scene):
    """39."""
    files = write_pair(tmp_path, *(part.astype(np.float32) for part in scene), second={"affine": FAR})
    start = time.perf_counter()
    refuse(cli, tmp_path, *files, code=3, words=("do not overlap", "600000", "1.1e+06", "EPSG:32632"), path=files[1])
    assert time.perf_counter() - start < 2
    touching = {"affine": TALL @ Affine.translation(180, 0)}
    files = write_pair(tmp_path, *(part.astype(np.float32) for part in scene), second=touching)
    refuse(cli, tmp_path, *files, code=3, words=("do not overlap",), path=files[1])


@pytest.mark.parametrize("algorithm", ["ncc", "farneback"])
@pytest.mark.parametrize("overlap", [1, 20])
def test_an_overlap_smaller_than_a_chip_is_said(cli, tmp_path, scene, algorithm, overlap):
    """40."""
    second = {"affine": TALL @ Affine.translation(180 - overlap, 0)}
    files = write_pair(tmp_path, *(part.astype(np.float32) for part in scene), second=second)
    if algorithm == "ncc":
        refuse(cli, tmp_path, *files, code=3, words=(f"140 x {overlap} px", "smaller than one chip of 32 x 32"))
    elif overlap == 1:
        refuse(cli, tmp_path, *files, "--algorithm", algorithm, code=3, path=files[0], options=())
    else:
        product = follow(cli, *files, "--algorithm", algorithm, small=())
        assert product.good.mean() < 0.05  # different ground


@pytest.mark.parametrize("lost", [0, 1])
def test_one_file_without_georeference_is_an_error(cli, tmp_path, scene, lost):
    """41."""
    without = {"affine": None, "crs": None}
    places = [without if i == lost else {} for i in (0, 1)]
    files = write_pair(tmp_path, *(part.astype(np.float32) for part in scene), *places)
    refuse(cli, tmp_path, *files, code=3, words=("no georeference",), path=files[lost])


@pytest.mark.usefixtures("real_picture")
@pytest.mark.parametrize(("driver", "suffix"), [("PNG", ".png"), ("JPEG", ".jpg"), ("GTiff", ".tif")])
def test_pictures_are_tracked_in_pixels(cli, tmp_path, scene, driver, suffix):
    """42."""
    grey = [np.clip(128 + 20 * part, 0, 255).astype(np.uint8) for part in scene]
    options = {"affine": None, "crs": None, "driver": driver} | ({"quality": 95} if driver == "JPEG" else {})
    files = [write_tif(tmp_path / f"{i}{suffix}", pixels, **options) for i, pixels in enumerate(grey)]
    for path in tmp_path.glob("*.aux.xml"):
        path.unlink()
    product = follow(cli, *files).require(within=0.1)
    assert not (product.folder / "displacement.tif").exists()
    assert product.record["grid"]["unit"] == "px"
    assert "no georeference" in product.record["warnings"][0]
    smaller = write_tif(tmp_path / f"small{suffix}", grey[1][:100], **options)
    for path in tmp_path.glob("*.aux.xml"):
        path.unlink()
    refuse(
        cli, tmp_path, files[0], smaller, "-o", tmp_path / "b", code=3, words=("equal size", "(100, 180)"), path=smaller
    )


def write_gcps(path: Path, pixels: np.ndarray, crs: str = "EPSG:4326", number: int = 7) -> Path:
    """Write a GeoTIFF placed by ground control points alone."""
    to = pyproj.Transformer.from_crs(UTM, crs, always_xy=True)
    rows, cols = np.meshgrid(np.linspace(0, pixels.shape[0], number), np.linspace(0, pixels.shape[1], number))
    x, y = to.transform(*(TALL @ (cols.ravel(), rows.ravel())))
    points = [
        GroundControlPoint(row=row, col=col, x=px, y=py)
        for row, col, px, py in zip(rows.ravel(), cols.ravel(), x, y, strict=True)
    ]
    rows, cols = pixels.shape
    with rasterio.open(path, "w", driver="GTiff", width=cols, height=rows, count=1, dtype="float32") as file:
        file.gcps = points, crs
        file.write(pixels.astype(np.float32), 1)
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("kinds", [("gcp", "gcp"), ("gcp", "other gcp"), ("tif", "gcp"), ("gcp", "tif")])
def test_ground_control_points_place_an_image(cli, tmp_path, scene, kinds):
    """43."""
    files = []
    for kind, pixels, name in zip(kinds, scene, ("reference.tif", "secondary.tif"), strict=True):
        if kind == "tif":
            files.append(write_tif(tmp_path / name, pixels.astype(np.float32)))
        else:
            files.append(write_gcps(tmp_path / name, pixels, "EPSG:4326" if kind == "gcp" else "EPSG:32633"))
    product = follow(cli, *files)
    assert product.good.mean() > 0.7
    product.require_metres(50, -60, within=2)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_too_few_ground_control_points_are_said(cli, tmp_path, scene):
    """43."""
    files = [write_gcps(tmp_path / name, scene[0], number=2) for name in ("a.tif", "b.tif")]
    refuse(cli, tmp_path, *files, code=3, words=("ground control points", "got 4"), path=files[0])


@pytest.mark.parametrize(
    ("affine", "dx", "dy"),
    [
        (Affine(10, 0, 600_000, 0, 20, 4_950_000), 50, 60),  # south-up
        (Affine(-10, 0, 600_000, 0, -20, 4_950_000), -50, -60),  # mirrored
        (Affine(0, 20, 600_000, 10, 0, 4_950_000), 60, 50),  # transposed
        (TALL @ Affine.rotation(30), None, None),
        (Affine(10, 4, 600_000, -3, -20, 4_950_000), 62, -75),  # sheared
    ],
)
def test_any_transform_gives_the_right_signs(cli, tmp_path, scene, affine, dx, dy):
    """44."""
    if dx is None:
        dx, dy = affine.a * 5 + affine.b * 3, affine.d * 5 + affine.e * 3
    files = write_pair(tmp_path, *(part.astype(np.float32) for part in scene), affine=affine)
    follow(cli, *files).require().require_metres(dx, dy, within=0.5)


def test_a_south_up_secondary_is_turned(cli, tmp_path, scene):
    """44."""
    turned = {"affine": TALL @ Affine(1, 0, 0, 0, -1, 140)}
    files = write_pair(tmp_path, scene[0].astype(np.float32), scene[1][::-1].astype(np.float32), second=turned)
    follow(cli, *files).require().require_metres(50, -60, within=0.5)


@pytest.mark.filterwarnings("ignore:The given matrix is equal to Affine.identity")
@pytest.mark.parametrize("e", [1, -1])
def test_a_transform_of_one_metre_is_a_georeference(cli, tmp_path, scene, e):
    """45."""
    files = write_pair(
        tmp_path, *(part.astype(np.float32) for part in scene), affine=Affine(1, 0, 0, 0, e, 0), crs=LOCAL
    )
    product = follow(cli, *files).require()
    product.require_metres(5, 3 * e, within=0.05)
    assert product.record["grid"]["unit"] == "m"


@pytest.mark.parametrize(
    ("crs", "size", "dx", "dy"),
    [
        (None, (10, -20), None, None),
        (LOCAL, (10, -20), 50, -60),
        ('LOCAL_CS["site",UNIT["foot",0.3048]]', (10, -20), 50 * 0.3048, -60 * 0.3048),
        ("EPSG:2263", (10, -20), 50 * 0.3048006, -60 * 0.3048006),
        ("EPSG:4326", (1e-4, -1e-4), "geodesic", "geodesic"),
    ],
)
def test_displacement_is_in_metres_or_not_there(cli, tmp_path, scene, crs, size, dx, dy):
    """46."""
    left, top = (10, 60) if crs == "EPSG:4326" else (1_000_000, 200_000)
    affine = Affine(size[0], 0, left, 0, size[1], top)
    product = follow(cli, *write_pair(tmp_path, *(p.astype(np.float32) for p in scene), affine=affine, crs=crs))
    product.require()
    if dx is None:
        assert not (product.folder / "displacement.tif").exists()
        assert "no CRS" in product.err
        return
    if dx == "geodesic":
        geod = pyproj.Geod(ellps="WGS84")
        dx = geod.inv(10, 59.99, 10 + 5e-4, 59.99)[2]
        dy = -geod.inv(10, 59.99, 10, 59.99 - 3e-4)[2]
    product.require_metres(dx, dy, within=0.02 * abs(size[0]) + 0.5 * (size[0] < 1))


def test_a_site_and_a_map_cannot_be_brought_together(cli, tmp_path, scene):
    """46."""
    files = write_pair(tmp_path, *(part.astype(np.float32) for part in scene), second={"crs": LOCAL})
    refuse(cli, tmp_path, *files, code=3, path=files[1])
    files = write_pair(tmp_path, *(part.astype(np.float32) for part in scene), crs="EPSG:4978")
    refuse(cli, tmp_path, *files, code=3, words=("geocentric",), path=files[0])
