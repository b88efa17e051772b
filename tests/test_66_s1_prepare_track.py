"""`sensetrack track A.SAFE B.SAFE`: a simulated slide, through products, onto one map, and measured."""

import json
import re

import numpy as np
import pyproj
import pytest
import rasterio
import xarray
from affine import Affine

from conftest import write_tif
from sensetrack.sar.geometry import apparent_motion
from sensetrack.sar.simulate import Scene
from sensetrack.sentinel.s1 import open_sentinel1
from sensetrack.sentinel.simulate_s1 import S1Recipe, later, plan, write_pair, write_product

MOTION = (18.0, -24.0)
"""Metres east and north of the slide: 30 m."""


def metres(lon, lat):
    """Distance, m, from the middle."""
    return np.hypot((lon - 8) * 76_700, (lat - 46.4) * 111_200)


def height(lon, lat):
    """Hills around a plain in the middle, where the slide is."""
    return 600 + 250 * (1 - np.exp(-((metres(lon, lat) / 1500) ** 8))) * np.sin(30 * (lon - 8))


def slide(up: float):
    def displacement(lon, lat):
        inside = 1 / (1 + np.exp(np.minimum((metres(lon, lat) - 900) / 20, 50)))
        return MOTION[0] * inside, MOTION[1] * inside, up * inside

    return displacement


def pair(folder, up: float, size: int = 400):
    """Two products of coherence 0.8, twelve days and a baseline apart, an elevation model, and what may move."""
    first = plan(S1Recipe(product="GRD", lines=size, samples=size))
    scene = Scene(height=height, displacement=slide(up), coherence=0.8)
    products = write_pair(folder, scene, first, later(first, east=120.0))
    step = 1 / 1200
    lon, lat = 8 + np.arange(-0.08, 0.08, step), 46.4 + np.arange(0.06, -0.06, -step)
    heights = height(lon[None] + step / 2, lat[:, None] - step / 2).astype(np.float32)
    dem = write_tif(folder / "dem.tif", heights, Affine(step, 0, lon[0], 0, -step, lat[0]), "EPSG:4979")
    turn = np.linspace(0, 2 * np.pi, 50)
    ring = [[8 + 1200 * np.cos(t) / 76_700, 46.4 + 1200 * np.sin(t) / 111_200] for t in turn]
    area = folder / "moving.geojson"
    area.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}), encoding="utf-8")
    return products, dem, area


@pytest.mark.parametrize("up", [0.0, -12.0], ids=["level", "down"])
def test_a_slide_of_30_m_is_read_from_a_pair_of_products(tmp_path, cli, up):
    (first, second), dem, moving = pair(tmp_path, up)
    out = tmp_path / "out"
    result = cli(
        "track", first, second, "-o", out, "--dem", dem, "--unstable-ground", moving, "--chip", 48, "--step", 12
    )
    assert result.code == 0, result.err
    with rasterio.open(out / "displacement.tif") as file:
        dx, dy = file.read(1), file.read(2)
        tags, crs = file.tags(), file.crs
        row, col = np.mgrid[: file.height, : file.width]
        x, y = file.transform @ (col + 0.5, row + 0.5)
    lon, lat = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(x, y)
    core = metres(lon, lat) < 560
    assert core.sum() > 50
    assert np.isfinite(dx[core]).mean() > 0.9
    grid = next(iter(open_sentinel1(first).swaths.values())).radar_grid
    seen = apparent_motion(grid, np.radians(8.0), np.radians(46.4), 600.0, (*MOTION, up))
    east, north = (np.asarray(part).item() for part in seen)
    assert (np.hypot(east - MOTION[0], north - MOTION[1]) > 5) == (up != 0), (
        "what sinks seems to go away from the radar"
    )
    assert abs(np.nanmedian(dx[core]) - east) < 2
    assert abs(np.nanmedian(dy[core]) - north) < 2
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert max(record["bias"]["nmad_after"]) < 0.1
    assert tags["CAUTION"] == "apparent: vertical motion leaks into range"
    for product in (item["product"] for item in record["inputs"][:2]):
        assert product["chain"] == "S1_IW_GRD_DFLT"
        assert product["orbit"] == "auxiliary (annotation)"
        assert product["dem"]["heights"] == "dem.tif (ellipsoid)"
        assert product["speckle_filter"] == "none"
    assert record["dt_days"] == pytest.approx(12, abs=1e-4)
    assert {item["path"] for item in record["inputs"]} >= {str(dem)}
    assert sorted(file.suffix for file in out.iterdir() if file.is_dir()) == [], "no scratch is left"


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    first = plan(S1Recipe(product="GRD", lines=170, samples=190, polarisations=("VV", "VH")))
    scene = Scene(height=500.0, coherence=0.9)
    return write_pair(folder, scene, first, later(first, east=-80.0))


def test_without_an_elevation_model_one_height_serves_both_and_it_is_said(products, tmp_path, cli):
    small = ("--chip", 32, "--step", 16, "--search", 6)
    small += ("--format", "cog,netcdf")
    result = cli("track", *products, "-o", tmp_path / "out", "--band", "vh", "--crs", "EPSG:2056", *small)
    assert result.code == 0, result.err
    assert len(re.findall("no elevation model is given", result.err)) == 1
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert any("no elevation model is given" in text for text in record["warnings"])
    assert {item["product"]["dem"]["heights"] for item in record["inputs"]} == {"500 m above the ellipsoid everywhere"}
    assert {item["product"]["band"] for item in record["inputs"]} == {"Sigma0_VH"}
    assert record["grid"]["crs"] == "EPSG:2056"
    assert np.abs(record["statistics"]["median_offset_px"]).max() < 0.1
    with xarray.open_dataset(tmp_path / "out" / "displacement.nc") as data:
        assert data["img_pair_info"].attrs["comment"] == "apparent: vertical motion leaks into range"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--band", "HH"], 2, "band must be a polarisation that both products have, VV, VH, instead got HH"),
        (["--band", "2"], 2, "band must be a polarisation"),
        (["--nodata", "0"], 2, "says itself what is missing"),
        (["--chain", "S1_IW_SLC_DFLT"], 2, "takes SLC, instead got a product of kind GRD"),
        (["--dem", "no.tif"], 3, "no.tif: not found"),
        (["--max-pixels", "20000"], 2, "px is more than the 20,000 px allowed"),
    ],
)
def test_what_cannot_be_tracked_is_said(products, tmp_path, cli, arguments, code, said):
    result = cli("track", *products, "-o", tmp_path / "out", *arguments)
    assert (result.code, said in result.error) == (code, True), result.error
    assert not (tmp_path / "out").exists()


def test_settings_of_radar_products_are_refused_elsewhere(tmp_path, cli):
    rng = np.random.default_rng(3)
    files = [write_tif(tmp_path / name, rng.random((120, 130), np.float32)) for name in ("a.tif", "b.tif")]
    result = cli("track", *files, "-o", tmp_path / "out", "--dem", files[0])
    assert (result.code, "dem is for two Sentinel-1 products" in result.error) == (2, True), result.error


def test_products_of_another_place_do_not_overlap(products, tmp_path, cli):
    far = write_product(
        tmp_path, Scene(height=500.0), plan(S1Recipe(product="GRD", lines=60, samples=80, place=(8.3, 46.4)))
    )
    result = cli("track", products[0], far, "-o", tmp_path / "out")
    assert (result.code, "footprints do not overlap" in result.error) == (3, True), result.error
