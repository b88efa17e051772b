"""From simulated Sentinel-1 products to maps: places, backscatter, chains, and what is refused."""

import json
import math
import shutil
import warnings
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from scipy import ndimage

from conftest import read_tif, write_tif
from sensetrack.errors import ConfigError, InputError, NoOverlapError, SenseTrackWarning
from sensetrack.sar.geometry import rdr2geo
from sensetrack.sar.simulate import PointTarget, Scene
from sensetrack.sentinel.s1 import open_sentinel1
from sensetrack.sentinel.s1_prepare import S1Config, S1Preprocessor, prepare_sentinel1
from sensetrack.sentinel.simulate_s1 import S1Recipe, plan, write_product

SMALL = {"lines": 150, "samples": 210}


def height(lon, lat):
    """Hills around 700 m, above the ellipsoid."""
    return 700 + 200 * np.sin(40 * (lon - 8)) * np.cos(30 * (lat - 46.4))


def model(path: Path, *, of=height, reach: tuple[float, float] = (1.8, 0.2)) -> Path:
    """An elevation model whose CRS says that it is above the ellipsoid."""
    step = 1 / 1200
    lon, lat = 8 + np.arange(-reach[0], reach[0], step), 46.4 + np.arange(reach[1], -reach[1], -step)
    heights = np.asarray(of(lon[None] + step / 2, lat[:, None] - step / 2) + 0 * lat[:, None], np.float32)
    return write_tif(path, heights, Affine(step, 0, lon[0], 0, -step, lat[0]), "EPSG:4979")


def prepared(path: Path, folder: Path, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return prepare_sentinel1(open_sentinel1(path), folder, S1Config(**settings))


def reflectors(recipe: S1Recipe, folder: Path) -> list[PointTarget]:
    """Two points in each swath, off its middle, on the ground; found with a product of nothing."""
    empty = open_sentinel1(write_product(folder, Scene(height=700.0, sigma0=0.0), plan(recipe)))
    targets = []
    for swath in empty.swaths.values():
        grid = swath.radar_grid
        for down, across in ((0.34, 0.41), (0.63, 0.67)):
            time = grid.time(down * grid.lines)
            lon, lat = 8.0, 46.4
            for _ in range(9):
                place = rdr2geo(grid, time, grid.slant_range(across * grid.samples, time), height(lon, lat))
                lon, lat = np.degrees(place.lon).item(), np.degrees(place.lat).item()
            targets.append(PointTarget(lon, lat, float(height(lon, lat)), area=3e6))
    shutil.rmtree(empty.path)
    return targets


def displaced(raster: Path, target: PointTarget) -> tuple[float, float]:
    """Metres (north, east) by which the centre of gravity of what shines near a point lies off it."""
    with rasterio.open(raster) as file:
        image, transform, crs = file.read(1), file.transform, file.crs
    x, y = pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(target.lon, target.lat)
    col, row = ~transform @ (x, y)
    row, col, half = row - 0.5, col - 0.5, int(50 / transform.a)
    i, j = round(row), round(col)
    part = image[i - half : i + half + 1, j - half : j + half + 1]
    assert part.shape == (2 * half + 1,) * 2
    assert np.isfinite(part).all()
    at = np.arange(-half, half + 1)
    down = (part.sum(axis=1) * at).sum() / part.sum() + i - row
    right = (part.sum(axis=0) * at).sum() / part.sum() + j - col
    return -transform.a * down, transform.a * right


@pytest.mark.parametrize("ascending", [True, False], ids=["ascending", "descending"])
@pytest.mark.parametrize("product", ["GRD", "SLC"])
def test_points_land_where_they_are(tmp_path, product, ascending):
    recipe = S1Recipe(product=product, ascending=ascending, noise=-math.inf, **SMALL)
    targets = reflectors(recipe, tmp_path)
    assert len(targets) == (2 if product == "GRD" else 6)
    path = write_product(tmp_path, Scene(height=height, sigma0=1e-4, targets=tuple(targets)), plan(recipe))
    fine = {"resolution": 10 if product == "GRD" else 4, "looks": 1, "method": "cubic"}
    raster, made, _ = prepared(path, tmp_path / "out", dem=str(model(tmp_path / "dem.tif")), **fine)
    swath = next(iter(open_sentinel1(path).swaths.values())).info
    # A tenth of a pixel of the image on the ground; those of an SLC are 14 m along the track.
    along = 0.1 * swath.azimuth_spacing
    across = 0.1 * (swath.range_spacing if product == "GRD" else swath.range_spacing / math.sin(swath.incidence))
    heading = swath.heading
    for target in targets:
        north, east = displaced(raster, target)
        assert abs(north * math.cos(heading) + east * math.sin(heading)) < along
        assert abs(east * math.cos(heading) - north * math.sin(heading)) < across
    assert made.about["orbit"].startswith("auxiliary")


@pytest.mark.parametrize(
    ("product", "looks", "quantity"), [("GRD", None, "sigma0"), ("SLC", (1, 4), "sigma0"), ("GRD", (2, 3), "gamma0")]
)
def test_the_backscatter_of_even_ground_is_right(tmp_path, product, looks, quantity):
    """With noise in the image as strong as -18 dB, which is taken out again."""
    truth = 0.06
    recipe = S1Recipe(product=product, noise=-18.0, **(SMALL | {"lines": 220, "samples": 300}))
    path = write_product(tmp_path, Scene(height=700.0, sigma0=truth), plan(recipe))
    settings = {"quantity": quantity, "looks": looks, "height": 700.0, "layers": "incidence"}
    raster, made, _ = prepared(path, tmp_path / "out", **settings)
    values, angle = read_tif(raster, 1), np.radians(read_tif(raster, 2))
    known = np.isfinite(values)
    assert known.sum() > 5000
    expected = truth / (np.cos(angle[known]).mean() if quantity == "gamma0" else 1)
    assert abs(10 * np.log10(values[known].mean() / expected)) < 0.05
    assert [name for name, _, _ in made.bands] == [f"{quantity.title()}_VV", "incidence"]
    assert made.about["dem"]["heights"] == "700 m above the ellipsoid everywhere"


def test_the_chain_with_ratio_and_filter(tmp_path):
    recipe = S1Recipe(
        product="SLC", swaths=("IW2",), polarisations=("VV", "VH"), noise=-math.inf, lines=200, samples=330
    )
    path = write_product(tmp_path, Scene(height=700.0, sigma0=0.1), plan(recipe))
    folder = tmp_path / "out"
    found = {
        name: S1Preprocessor(None, name).run(path, folder=folder, height=700.0)
        for name in ("S1_IW_SLC_DFLT", "S1_IW_SLC_DFLT_NOSF", "S1_IW_SLC_DFLT_B3", "S1_IW_SLC_DFLT_B3_NOSF")
    }
    assert len(set(found.values())) == 4
    with rasterio.open(found["S1_IW_SLC_DFLT_B3_NOSF"]) as file:
        bare, tags, names = file.read(), file.tags(), file.descriptions
        assert (file.res, file.dtypes[0], file.block_shapes[0]) == ((15.0, 15.0), "float32", (512, 512))
        assert math.isnan(file.nodata)
        assert (file.transform.c % 15, file.transform.f % 15) == (0, 0)
    assert names == ("Sigma0_VV", "Sigma0_VH", "Band3")
    assert json.loads(tags["STEPS"]) == [
        "orbit", "thermal noise", "calibration", "deburst", "multilook", "terrain correction", "ratio",
    ]  # fmt: skip
    assert (tags["CHAIN"], tags["RELATIVE_ORBIT"], tags["SENSOR"]) == ("S1_IW_SLC_DFLT_B3_NOSF", "66", "S1A")
    assert tags["CAUTION"] == "apparent: vertical motion leaks into range"
    known = np.isfinite(bare[2])
    np.testing.assert_allclose(bare[2][known], bare[1][known] / bare[0][known], rtol=1e-5)
    assert 10 * np.log10(bare[1][known].mean() / bare[0][known].mean()) == pytest.approx(-7, abs=0.2)
    soft = rasterio.open(found["S1_IW_SLC_DFLT"]).read(1)
    hard = rasterio.open(found["S1_IW_SLC_DFLT_NOSF"]).read(1)
    np.testing.assert_array_equal(hard, bare[0])
    both = np.isfinite(soft) & np.isfinite(hard)
    assert soft[both].mean() == pytest.approx(hard[both].mean(), rel=0.02)
    assert soft[both].std() < 0.6 * hard[both].std()
    spread = rasterio.open(found["S1_IW_SLC_DFLT_B3"]).read(3)
    assert np.nanstd(spread) < 0.7 * np.nanstd(bare[2])


@pytest.fixture(scope="module")
def grd(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("grd")
    return write_product(folder, Scene(height=700.0), plan(S1Recipe(product="GRD", **SMALL)))


def test_the_command_writes_an_area_of_interest(tmp_path, grd, cli):
    dem, middle = model(tmp_path / "dem.tif", reach=(0.1, 0.1)), "7.993,46.397,8.001,46.401"
    arguments = ("prepare", grd, "--chain", "S1_IW_GRD_DFLT", "--dem", dem, "--aoi", middle)
    result = cli(*arguments, "--crs", "EPSG:2056", "--resolution", 20, "--scale", "db", "-o", tmp_path / "m", "--json")
    assert result.code == 0, result.err
    done = json.loads(result.out)
    with rasterio.open(done["file"]) as file:
        assert (file.crs.to_epsg(), file.res, file.tags()["SCALE"]) == (2056, (20.0, 20.0), "db")
        assert (file.transform.c % 20, file.transform.f % 20) == (0, 0)
        assert file.shape == (done["rows"], done["columns"])
        corners = np.meshgrid([7.993, 8.001], [46.397, 46.401])
        x, y = pyproj.Transformer.from_crs(4326, 2056, always_xy=True).transform(*corners)
        assert (file.bounds.left, file.bounds.top) == pytest.approx((x.min(), y.max()), abs=21)
        assert (file.bounds.right, file.bounds.bottom) == pytest.approx((x.max(), y.min()), abs=21)
        values = file.read(1)
    assert np.isfinite(values).mean() > 0.85
    assert -13 < np.nanmedian(values) < -6
    assert done["product"]["looks"] == [2, 2]
    assert not list(grd.glob("*.tif"))
    again = cli(*arguments, "-o", Path(done["file"]))
    assert (again.code, "exists already" in again.error) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--aoi", "9.5,46.3,9.6,46.5"], 3, "lies outside the product, which shows longitude 7.9"),
        (["--chain", "S1_IW_SLC_DFLT"], 2, "takes SLC, instead got a product of kind GRD"),
        (["--chain", "S2_L2A_DFLT"], 2, "chain must be one of S1_IW_GRD_DFLT"),
        (["--chain", "S1_GRD"], 2, "there is no graph 'S1_GRD'"),
        (["--band", "VH"], 2, "there is no polarisation VH, it has VV"),
        (["--clouds", "all"], 2, "a radar sees through clouds"),
        (["--layers", "slope"], 2, "there is no layer 'slope'"),
        (["--speckle", "median"], 2, "median"),
        (["--memory", "8G"], 2, "--memory is for engine snap"),
        (["--dem", "missing.tif"], 3, "missing.tif: not found"),
        (["--resolution", "0.01"], 2, "px is more than the 4,000,000,000 px allowed"),
        (["--crs", "EPSG:99999"], 3, "crs must be one that PROJ knows"),
        (["--orbits", "missing"], 3, "missing: not found"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path, grd, cli, arguments, code, said):
    result = cli("prepare", grd, "-o", tmp_path / "out", *arguments)
    assert (result.code, said in result.error) == (code, True), result.error
    assert not (tmp_path / "out").exists()


def test_an_elevation_model_beside_the_area_is_an_error(tmp_path, grd, cli):
    dem = write_tif(
        tmp_path / "far.tif", np.full((60, 70), 500, np.float32), Affine(0.01, 0, 20, 0, -0.01, 50), "EPSG:4979"
    )
    result = cli("prepare", grd, "--dem", dem, "-o", tmp_path / "out")
    assert result.code == 3
    assert "does the elevation model cover" in result.error


def test_without_an_elevation_model_it_is_said_loudly(tmp_path, grd):
    with pytest.warns(SenseTrackWarning, match="no elevation model is given, so that all ground is taken to lie 700 m"):
        prepare_sentinel1(open_sentinel1(grd), tmp_path, S1Config())


def test_results_do_not_depend_on_the_workers(tmp_path, grd, cli):
    files = []
    for workers in (1, 3):
        out = tmp_path / f"{workers}.tif"
        assert cli("prepare", grd, "-o", out, "--workers", workers, "--layers", "mask,height", "--quiet").code == 0
        files.append(rasterio.open(out).read())
    np.testing.assert_array_equal(*files)
    assert files[0].shape[0] == 3


def test_engine_snap_fills_the_same_graph(tmp_path, grd):
    made = S1Preprocessor("7.9,46.3,8.1,46.5", "S1_IW_GRD_DFLT", engine="snap")
    graph = made.run(grd, "EPSG:32632", folder=tmp_path, dry_run=True)
    text = graph.read_text(encoding="utf-8")
    assert str(grd / "manifest.safe") in text
    assert "EPSG:32632" in text
    assert "Speckle-Filter" not in text
    with pytest.raises(ConfigError, match="dry_run needs engine snap"):
        S1Preprocessor(None, "S1_IW_GRD_DFLT").run(grd, folder=tmp_path, dry_run=True)
    with pytest.raises(ConfigError, match="engine snap needs an area of interest"):
        S1Preprocessor(None, "S1_IW_GRD_DFLT", engine="snap")
    angle = math.degrees(made.mean_incidence_angle(grd))
    assert 28 < angle < 46


def test_the_ratio_needs_two_polarisations(tmp_path):
    recipe = S1Recipe(product="SLC", swaths=("IW1",), bursts=1, lines=40, samples=60)
    path = write_product(tmp_path, Scene(), plan(recipe))
    with pytest.raises(ConfigError, match="S1_IW_SLC_DFLT_B3 needs two polarisations, instead got VV"):
        prepared(path, tmp_path / "out", chain="S1_IW_SLC_DFLT_B3", height=0.0)
    with pytest.raises(NoOverlapError, match="lies outside the product"):
        prepared(path, tmp_path / "out", aoi="-60,10,-59,11", height=0.0)
    with pytest.raises(InputError, match="has no places for the product"):
        prepared(path, tmp_path / "out", crs="+proj=gnom +lat_0=-60 +lon_0=-172", height=0.0)


@pytest.mark.parametrize("west", [179.9, -180.1])
@pytest.mark.parametrize("crs", [None, "EPSG:4326"])
def test_the_180th_meridian_is_no_edge(tmp_path, west, crs):
    recipe = S1Recipe(product="GRD", place=(180.0, -17.2), noise=-math.inf, **SMALL)
    path = write_product(tmp_path, Scene(height=300.0, sigma0=0.1), plan(recipe))
    step = 1 / 1200
    dem = write_tif(
        tmp_path / "dem.tif", np.full((240, 240), 300, np.float32), Affine(step, 0, west, 0, -step, -17.1), "EPSG:4979"
    )
    raster, made, known = prepared(
        path, tmp_path / "out", dem=str(dem), aoi="179.997,-17.203,-179.998,-17.198", crs=crs
    )
    width, high = 0.005 * 106_400, 0.005 * 110_700
    assert made.grid.shape == pytest.approx((high / 10, width / 10), abs=5)
    assert known > 0.98 * np.prod(made.grid.shape)
    assert np.nanmean(read_tif(raster)) == pytest.approx(0.1, rel=0.1)


def test_radar_settings_are_refused_for_optical_products(tmp_path, cli):
    from sensetrack.sentinel.simulate_s2 import S2Recipe
    from sensetrack.sentinel.simulate_s2 import write_product as write_optical

    path = write_optical(tmp_path, {"B08": np.full((60, 60), 0.2, np.float32)}, S2Recipe())
    for arguments in (["--chain", "S1_IW_GRD_DFLT"], ["--dem", "dem.tif"], ["--crs", "EPSG:32632"]):
        result = cli("prepare", path, "-o", tmp_path / "out", *arguments)
        assert (result.code, "Sentinel-1" in result.error) == (2, True), result.error


def test_bursts_and_swaths_of_full_width_join_without_a_gap(tmp_path, monkeypatch):
    """Three swaths of real width, two bursts each, every measured pixel of the same strength."""
    from sensetrack.sentinel import simulate_s1

    def even(part, job, burst, thermal):
        image = np.zeros((part.swath.lines, part.swath.samples, 2), np.int16)
        top, bottom, left, right = part.swath.valid[burst]
        image[top : bottom + 1, left : right + 1] = (120, -50)
        return image

    monkeypatch.setattr(simulate_s1, "_draw", even)
    recipe = S1Recipe(product="SLC", noise=-math.inf, lines=140, samples=None)
    path = write_product(tmp_path, Scene(height=700.0), plan(recipe))
    raster, _, _ = prepared(
        path, tmp_path / "out", quantity="beta0", resolution=40, looks=(2, 12), height=700.0, crs="EPSG:32632"
    )
    values = read_tif(raster)
    inside = np.isfinite(values)
    assert 240_000 < 40 * np.ptp(np.flatnonzero(inside.any(axis=0))) < 270_000, "three swaths wide"
    _, pieces = ndimage.label(inside)
    assert pieces == 1
    filled = ndimage.binary_fill_holes(inside)
    assert (filled == inside).all(), "no hole at a seam"
    np.testing.assert_allclose(values[inside], (120**2 + 50**2) / 237**2, rtol=1e-3)
