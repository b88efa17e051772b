"""Sentinel-2 products: what is read is what was measured, and a pair is tracked in one line."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import geopandas
import numpy as np
import pytest
import rasterio
from shapely import box

from conftest import read_tif
from sensetrack.errors import ConfigError, InputError, MissingMaskWarning, UnlikePairWarning
from sensetrack.files.decoded import Blocks, Store
from sensetrack.sentinel import open_sentinel2
from sensetrack.sentinel.sentinel2 import require_alike
from sensetrack.sentinel.simulate_s2 import S2Recipe, write_product
from test_80_faults import follow, no_picture, refuse, tree  # noqa: F401  the fixture is used by all
from truth import arrays

SHAPE = (144, 186)
LATER = datetime(2024, 8, 27, 10, 22, 1, tzinfo=UTC)
OUTSIDE = 14
"""Columns (10 m) that no detector saw."""


@pytest.fixture(scope="module")
def ground() -> tuple[np.ndarray, np.ndarray]:
    """Reflectance that moved 3 rows down and 5 columns right."""
    return tuple((0.2 + 0.03 * part).astype(np.float32) for part in arrays(SHAPE, seed=4))


@pytest.fixture(scope="module")
def clouds() -> np.ndarray:
    """One cloud, on pixels of 60 m."""
    mask = np.zeros((24, 31), bool)
    mask[4:9, 20:23] = True
    return mask


CLOUD = np.s_[24:54, 120:138]
"""Where it is, on pixels of 10 m."""


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("level", ["L1C", "L2A"])
@pytest.mark.parametrize("baseline", ["02.12", "04.00", "05.10"])
def test_a_band_is_reflectance_with_masks_in_what_is_valid(tmp_path, ground, clouds, baseline, level, zipped):
    recipe = S2Recipe(level=level, baseline=baseline, outside=OUTSIDE)
    pixels = ground[0].copy()
    pixels[100, 150], pixels[7, 60] = np.inf, np.nan  # saturated, not measured
    path = write_product(tmp_path, {"B08": pixels}, recipe, clouds=clouds, zipped=zipped)
    before = tree(tmp_path)
    product = open_sentinel2(path)
    image = product.image()
    truth = np.isfinite(pixels)
    truth[:, :OUTSIDE] = truth[CLOUD] = False
    np.testing.assert_array_equal(image.valid, truth)
    np.testing.assert_allclose(image.image[truth], pixels[truth], atol=0.51e-4)
    everything = product.image(clouds="keep", detectors=False)
    np.testing.assert_array_equal(everything.valid, np.isfinite(pixels))
    assert image.acquired == recipe.sensed != recipe.datatake
    assert image.sensor == "Sentinel-2A"
    assert image.grid.crs.to_epsg() == 32632
    assert tuple(image.grid.affine)[:6] == (10, 0, 699_960, 0, -10, 5_100_000)
    detectors = product.detectors()
    first, second = 4, 5
    assert set(np.unique(detectors[0:9, 0:186])) == {0, first, second}
    assert (detectors[3:4, OUTSIDE : OUTSIDE + 5] == first).all()
    assert (detectors[3:4, 180:186] == second).all()
    # Aslant: at the top their edge lies further right than at the bottom.
    edge = [int(np.argmax(detectors[row : row + 1, 0:186] == second)) for row in (0, SHAPE[0] - 1)]
    assert edge[0] > edge[1] + 20
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("baseline", "offset", "quantification"),
    [("04.00", None, 10000), ("04.00", -1337, 10000), ("05.10", 0, 10000), ("02.12", 100, 8000), ("05.09", -40, 9000)],
)
@pytest.mark.parametrize("level", ["L1C", "L2A"])
def test_offsets_come_from_the_metadata_not_the_baseline(tmp_path, ground, level, baseline, offset, quantification):
    recipe = S2Recipe(level=level, baseline=baseline, offset=offset, quantification=quantification)
    path = write_product(tmp_path, {"B04": ground[0]}, recipe)
    product = open_sentinel2(path)
    calibration = product.metadata.calibrations["B04"]
    assert calibration.offset == (-1000 if offset is None else offset)
    np.testing.assert_allclose(product.image("b4").image, ground[0], atol=0.51 / quantification)


def test_a_pair_across_baselines_is_tracked_as_if_nothing_had_changed(cli, tmp_path, ground):
    """69."""
    files = {}
    for name, baseline in (("old", "02.12"), ("new", "04.00"), ("other", "05.10")):
        for pixels, sensed in ((ground[0], S2Recipe.sensed), (ground[1], LATER)):
            recipe = S2Recipe(baseline=baseline, sensed=sensed, offset=-1777 if name == "other" else None)
            (tmp_path / name).mkdir(exist_ok=True)
            files[name, sensed] = write_product(tmp_path / name, {"B08": pixels}, recipe)
    found = {}
    for name in ("old", "new", "other"):
        product = follow(cli, files["old", S2Recipe.sensed], files[name, LATER], out=tmp_path / f"out-{name}")
        found[name] = product.require(within=0.01)
        product.require_metres(50, -30, within=0.2)
        (first, second) = product.record["inputs"]
        assert first["product"]["processing_baseline"] == "02.12"
        assert second["product"] | {"tile": "32TQS", "relative_orbit": 65, "band": "B08"} == second["product"]
        assert second["product"]["add_offset"] == {"old": 0, "new": -1000, "other": -1777}[name]
        assert product.record["dt_days"] == pytest.approx(70, abs=0.001)
        assert (product.folder / "velocity.tif").exists()
    for name in ("new", "other"):
        for part in ("d_row", "d_col"):
            assert np.nanmax(np.abs(getattr(found[name], part) - getattr(found["old"], part))) < 0.01
        np.testing.assert_array_equal(found[name].flags, found["old"].flags)


def test_clouds_of_one_scene_are_missing_there_unless_they_are_kept(cli, tmp_path, ground, clouds):
    files = [
        write_product(tmp_path, {"B08": ground[0]}, S2Recipe()),
        write_product(tmp_path, {"B08": ground[1]}, S2Recipe(sensed=LATER), clouds=np.ones_like(clouds)),
    ]
    line = refuse(cli, tmp_path, *files, code=3, words=("no ground that is measured in both",))
    assert "--nodata" in line
    kept = follow(cli, *files, "--clouds", "keep").require(within=0.01)
    assert kept.record["configuration"]["clouds"] == "keep"


def test_a_folder_a_zip_and_a_band_called_by_its_name_make_pairs(cli, tmp_path, ground):
    """20. The band of a GeoTIFF is found by its name, too."""
    bands = {"B04": ground[0], "B08": np.ones_like(ground[0])}
    first = write_product(tmp_path, bands, S2Recipe())
    bands = {"B04": ground[1], "B08": np.ones_like(ground[0])}
    zipped = write_product(tmp_path, bands, S2Recipe(sensed=LATER, platform="C"), zipped=True)
    assert zipped.name.endswith(".SAFE.zip")
    plain = zipped.rename(tmp_path / zipped.name.replace(".SAFE", ""))
    product = follow(cli, first, plain, "--band", "b4", out=tmp_path / "o1").require(within=0.01)
    assert [entry["product"]["mission"] for entry in product.record["inputs"]] == ["Sentinel-2A", "Sentinel-2C"]
    assert product.record["inputs"][0]["sha256_of"] == "manifest.safe"
    assert "sha256_of" not in product.record["inputs"][1]
    tif = tmp_path / "b.tif"
    assert cli("prepare", plain, "-o", tif, "--band", "B08,B04", "--quiet").code == 0
    follow(cli, first / "MTD_MSIL1C.xml", tif, "--band", "B04", out=tmp_path / "o2").require(within=0.01)
    (image,) = first.glob("GRANULE/*/IMG_DATA/*_B04.jp2")
    follow(cli, image, tif, "--band", "B04", out=tmp_path / "o3").require(within=0.01)
    refuse(cli, tmp_path, first, tif, "--band", "B02", code=3, words=("B02", "missing"), path=first)
    refuse(cli, tmp_path, tif, tif, "--band", "B02", code=2, words=("B02", "B08, B04"), path=tif)
    refuse(cli, tmp_path, first, plain, "--band", 1, code=2, words=("have names", "band 1", "--band B08"), path=first)
    refuse(cli, tmp_path, first, plain, "--nodata", 0, code=2, words=("--nodata", "leave it out"), path=first)
    inside = refuse(cli, tmp_path, first, plain, "-o", first / "x", code=2, words=("lies in the product",))
    assert str(first / "x") in inside


def test_grey_is_the_luminance_of_three_bands(tmp_path, ground):
    bands = {"B04": ground[0], "B03": ground[1], "B02": np.full_like(ground[0], 0.5)}
    image = open_sentinel2(write_product(tmp_path, bands)).image("grey")
    expected = 0.2125 * ground[0] + 0.7154 * ground[1] + 0.0721 * 0.5
    np.testing.assert_allclose(image.image, expected, atol=1e-4)


def test_a_band_at_another_pixel_size_is_the_same_ground(tmp_path):
    row, col = np.indices((144, 186)) + 0.5
    wave = (0.3 + 0.1 * np.sin(2 * np.pi * row / 40) * np.cos(2 * np.pi * col / 50)).astype(np.float32)
    coarse = wave.reshape(72, 2, 93, 2).mean(axis=(1, 3))
    product = open_sentinel2(write_product(tmp_path, {"B08": wave, "B11": coarse}))
    assert product.image("B11").shape == (72, 93)
    up = product.image("B11", resolution=10)
    assert up.grid.same_as(product.image("B08").grid)
    inner = np.s_[6:-6, 6:-6]
    assert np.abs(up.image - wave)[inner].max() < 0.002
    down = product.image("B08", resolution=20)
    assert down.grid.same_as(product.image("B11").grid)
    assert np.abs(down.image - coarse)[inner].max() < 0.002
    assert product.image("B08", resolution=60).shape == (24, 31)
    with pytest.raises(ConfigError, match="resolution must be one of 10, 20, 60 m, instead got 30"):
        product.image("B08", resolution=30)


def test_an_image_of_another_size_is_used_where_it_is_delivered(tmp_path, ground):
    """L2A delivers bands at several sizes: what is there is not resampled."""
    path = write_product(tmp_path, {"B04": ground[0]}, S2Recipe(level="L2A"))
    (ten,) = path.glob("GRANULE/*/IMG_DATA/R10m/*_B04_10m.jp2")
    twenty = ten.parents[1] / "R20m" / ten.name.replace("_10m", "_20m")
    with rasterio.open(ten) as file:
        half = file.read(1)[::2, ::2]
        transform = file.transform @ rasterio.Affine.scale(2)
        crs = file.crs
    with rasterio.open(
        twenty, "w", driver="JP2OpenJPEG", width=93, height=72, count=1, dtype="uint16", crs=crs, transform=transform,
        QUALITY="100", REVERSIBLE="YES",
    ) as file:  # fmt: skip
        file.write(half, 1)
    metadata = path / "MTD_MSIL2A.xml"
    name = twenty.relative_to(path).as_posix().removesuffix(".jp2")
    text = metadata.read_text().replace("</IMAGE_FILE>", f"</IMAGE_FILE><IMAGE_FILE>{name}</IMAGE_FILE>", 1)
    metadata.write_text(text)
    image = open_sentinel2(path).image("B04", resolution=20)
    np.testing.assert_array_equal(image.image, (half.astype(np.float32) - 1000) * np.float32(1e-4))


def test_only_products_of_one_tile_and_orbit_are_paired(cli, tmp_path, ground):
    """83."""
    first = write_product(tmp_path, {"B08": ground[0]}, S2Recipe())
    orbit = write_product(tmp_path, {"B08": ground[1]}, S2Recipe(sensed=LATER, relative_orbit=22))
    tile = write_product(tmp_path, {"B08": ground[1]}, S2Recipe(sensed=LATER, tile="32TQR", level="L2A"))
    words = ("relative orbit", "65", "22", "--force")
    refuse(cli, tmp_path, first, orbit, code=3, words=words, path=orbit)
    refuse(cli, tmp_path, first, tile, code=3, words=("tile", "32TQS", "32TQR", "--force"), path=tile)
    product = follow(cli, first, tile, "--force").require(within=0.01)
    assert product.err.count("warning") == 2
    assert any("32TQR; paired all the same" in note for note in product.record["warnings"])
    assert any("L1C, instead got L2A" in note for note in product.record["warnings"])
    with pytest.warns(UnlikePairWarning, match="relative orbit"):
        require_alike(open_sentinel2(first), open_sentinel2(orbit), force=True)


def test_prepare_writes_reflectance_cut_out_and_masked(cli, tmp_path, ground, clouds):
    path = write_product(tmp_path, {"B08": ground[0], "B02": ground[1]}, S2Recipe(outside=OUTSIDE), clouds=clouds)
    area = tmp_path / "area.geojson"
    # In longitude and latitude; the file gets the pixels that cover it.
    frame = geopandas.GeoSeries([box(700_264, 5_099_121, 701_506, 5_099_879)], crs="EPSG:32632").to_crs("EPSG:4326")
    frame.to_frame("geometry").to_file(area)
    out = tmp_path / "out"
    done = cli("prepare", path, "-o", out, "--aoi", area, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    (file,) = out.iterdir()
    assert file.name == f"{path.stem}_B08_10m.tif"
    assert told["file"] == str(file)
    values = read_tif(file)
    with rasterio.open(file) as dataset:
        assert (dataset.dtypes[0], dataset.descriptions[0], np.isnan(dataset.nodata)) == ("float32", "B08", True)
        left, bottom, right, top = dataset.bounds
        tags = dataset.tags()
        assert dataset.res == (10, 10)
    assert left <= 700_264 < left + 20
    assert top - 20 < 5_099_879 <= top
    assert right - 20 < 701_506 <= right
    assert bottom <= 5_099_121 < bottom + 20
    rows = slice(int((5_100_000 - top) / 10), int((5_100_000 - bottom) / 10))
    cols = slice(int((left - 699_960) / 10), int((right - 699_960) / 10))
    truth = ground[0].copy()
    truth[:, :OUTSIDE] = truth[CLOUD] = np.nan
    np.testing.assert_allclose(values, truth[rows, cols], atol=0.51e-4)
    assert np.isnan(values).any()
    assert told["measured_share"] == pytest.approx(np.isfinite(values).mean())
    assert tags["ACQUIRED"] == "2024-06-18T10:22:03.250000+00:00"
    assert tags | {"TILE": "32TQS", "RELATIVE_ORBIT": "65", "SENSOR": "Sentinel-2A", "CLOUDS": "opaque"} == tags
    assert cli("prepare", path, "-o", out, "--aoi", area).error.endswith("choose another folder or say --overwrite")
    again = cli("prepare", path, "-o", out, "--aoi", area, "--overwrite", "--clouds", "keep")
    assert "100.0 % measured" in again.out


def test_prepare_writes_several_bands_on_one_grid(cli, tmp_path, ground):
    coarse = ground[1][::2, ::2]
    path = write_product(tmp_path, {"B04": ground[0], "B12": coarse}, S2Recipe())
    file = tmp_path / "two.tif"
    assert cli("prepare", path, "-o", file, "--band", "B12,B04", "--resolution", 20).code == 0
    with rasterio.open(file) as dataset:
        assert dataset.descriptions == ("B12", "B04")
        assert dataset.res == (20, 20)
        np.testing.assert_allclose(dataset.read(1), coarse, atol=0.51e-4)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--band", "B99"), 2, ("B99", "B8A")),
        (("--band", "B08,B08"), 2, ("once",)),
        (("--band", "B02"), 3, ("B02", "missing")),
        (("--resolution", "30"), 2, ("30",)),
        (("--aoi", "away.geojson"), 3, ("away.geojson", "outside")),
        (("--aoi", "none.geojson"), 3, ("none.geojson", "not found")),
        (("--clouds", "some"), 2, ("some",)),
    ],
)
def test_prepare_refuses(cli, tmp_path, ground, monkeypatch, options, code, words):
    """84."""
    path = write_product(tmp_path, {"B08": ground[0]}, S2Recipe())
    monkeypatch.chdir(tmp_path)
    away = geopandas.GeoSeries([box(20, 10, 21, 11)], crs="EPSG:4326").to_frame("geometry")
    away.to_file(tmp_path / "away.geojson")
    before = tree(tmp_path)
    result = cli("prepare", path, "-o", tmp_path / "out", *options)
    assert result.code == code, result.err
    for word in words:
        assert word in result.error
    assert tree(tmp_path) == before


def test_prepare_of_a_raster_or_of_nothing_measured_is_an_error(cli, tmp_path, ground, pair_files):
    assert "is a raster, not a product" in cli("prepare", pair_files[0], "-o", tmp_path / "o").error
    path = write_product(tmp_path, {"B08": np.full_like(ground[0], np.nan)}, S2Recipe())
    result = cli("prepare", path, "-o", tmp_path / "o")
    assert (result.code, "no ground that is measured" in result.error) == (3, True)
    assert not (tmp_path / "o").exists()


def test_info_says_what_a_product_is(cli, tmp_path, ground):
    path = write_product(tmp_path, {"B08": ground[0], "B04": ground[0]}, S2Recipe(level="L2A"), zipped=True)
    shown = cli("info", path)
    assert shown.code == 0
    for word in (
        "Sentinel-2A",
        "L2A",
        "05.10",
        "32TQS",
        "65",
        "B04, B08",
        "EPSG:32632",
        "-1000",
        "2024-06-18T10:22:03",
    ):
        assert word in shown.out
    told = json.loads(cli("info", path, "--json").out)
    assert told["sun_zenith_azimuth_deg"] == [31.5, 152.25]
    assert told["view_zenith_azimuth_deg"]["B08"] == [5.5, 104.25]
    assert told["masks"] == ["MSK_CLASSI", "MSK_CLDPRB", "MSK_DETFOO"]
    assert told["footprint"]["type"] == "Polygon"


def test_angles_are_those_of_the_grid_and_of_all_detectors(tmp_path):
    pixels = np.full((600, 1560), 0.2, np.float32)
    metadata = open_sentinel2(write_product(tmp_path, {"B08": pixels})).metadata
    sun, view = metadata.sun_angles, metadata.view_angles["B08"]
    assert sun.step == (5000, 5000)
    assert sun.zenith.shape == view.zenith.shape == (3, 5)
    np.testing.assert_allclose(sun.zenith[2], 31.2)
    np.testing.assert_allclose(sun.azimuth[:, 3], 152.3)
    # Each detector saw a part of the nodes, both the middle.
    np.testing.assert_allclose(view.zenith[:, 2], [5.0, 5.1, 5.2], atol=1e-6)
    np.testing.assert_allclose(view.azimuth[1], 104 + 0.1 * np.arange(5), atol=1e-6)


def test_a_view_that_is_not_known_is_no_error(cli, tmp_path):
    """Real tiles with a sliver of data say NaN."""
    path = write_product(tmp_path, {"B08": np.full(SHAPE, 0.2, np.float32)})
    (tile,) = path.rglob("MTD_TL.xml")
    text = tile.read_text()
    for number in ("5.5", "104.25", "31.5", "152.25"):
        text = text.replace(f">{number}<", ">NaN<")
    tile.write_text(text)
    assert np.isnan(open_sentinel2(path).metadata.view["B08"]).all()
    told = json.loads(cli("info", path, "--json").out)
    assert (told["view_zenith_azimuth_deg"], told["sun_zenith_azimuth_deg"]) == ({"B08": [None, None]}, [None, None])


@pytest.mark.parametrize(("band", "size"), [("B01", 60), ("B11", 20), ("B08", 10)])
def test_classes_of_20_m_mask_bands_of_any_pixel_size(tmp_path, clouds, band, size):
    pixels = np.full((1440 // size, 1860 // size), 0.2, np.float32)
    path = write_product(tmp_path, {band: pixels}, S2Recipe(level="L2A"), clouds=clouds)
    valid = open_sentinel2(path).image(band).valid
    expected = ~clouds.repeat(60 // size, axis=0).repeat(60 // size, axis=1)
    np.testing.assert_array_equal(valid, expected)
    window = np.s_[240 // size + 1 : 540 // size, 1200 // size + 1 :]
    np.testing.assert_array_equal(np.isfinite(open_sentinel2(path).image(band).data[window]), expected[window])


def test_a_hole_in_a_polygon_is_not_masked(tmp_path):
    path = write_product(tmp_path, {"B08": np.full(SHAPE, 0.2, np.float32)}, S2Recipe(baseline="02.12"))
    (mask,) = path.glob("GRANULE/*/QI_DATA/MSK_CLOUDS*")
    rings = {}
    for side, (top, left, bottom, right) in (("exterior", (20, 30, 80, 110)), ("interior", (40, 60, 50, 90))):
        corners = ((top, left), (top, right), (bottom, right), (bottom, left), (top, left))
        points = " ".join(f"{699_960 + 10 * col} {5_100_000 - 10 * row} 812.5" for row, col in corners)
        ring = f'<gml:LinearRing><gml:posList srsDimension="3">{points}</gml:posList></gml:LinearRing>'
        rings[side] = f"<gml:{side}>{ring}</gml:{side}>"
    feature = "<eop:MaskFeature><eop:maskType>{}</eop:maskType><gml:Polygon>{}</gml:Polygon></eop:MaskFeature>"
    opaque = feature.format("OPAQUE", "".join(rings.values()))
    cirrus = feature.format("CIRRUS", rings["interior"].replace("interior", "exterior"))
    mask.write_text(mask.read_text().replace("</eop:Mask>", f"{opaque}{cirrus}</eop:Mask>"))
    (path / "manifest.safe").write_text("<xfdu/>")
    product = open_sentinel2(path)
    expected = np.ones(SHAPE, bool)
    expected[20:80, 30:110] = False
    np.testing.assert_array_equal(product.image(clouds="all").valid, expected)
    expected[40:50, 60:90] = True
    np.testing.assert_array_equal(product.image(clouds="opaque").valid, expected)


def test_a_footprint_across_the_180th_meridian_has_no_jump(tmp_path):
    corners = ((-15.36, 180.0), (-15.36, -179.7), (-16.35, -179.72), (-16.34, 179.26), (-15.35, 179.28))
    recipe = S2Recipe(tile="01LAC", epsg=32701, corner=(99_960.0, 8_300_020.0), footprint=corners)
    product = open_sentinel2(write_product(tmp_path, {"B08": np.full(SHAPE, 0.2, np.float32)}, recipe))
    assert [lon for lon, _ in product.metadata.footprint] == pytest.approx([180, 180.3, 180.28, 179.26, 179.28, 180])
    shape = product.describe()["footprint"]
    assert shape["type"] == "MultiPolygon"
    west, east = (np.array(part[0]) for part in sorted(shape["coordinates"]))
    assert west[:, 0].min() == -180
    assert west[:, 0].max() == pytest.approx(-179.7)
    assert (east[:, 0].min(), east[:, 0].max()) == (pytest.approx(179.26), 180)


def test_a_product_without_masks_is_used_without_and_says_so(tmp_path, ground, clouds):
    path = write_product(tmp_path, {"B08": ground[0]}, S2Recipe(baseline="02.12", outside=OUTSIDE), clouds=clouds)
    for mask in path.glob("GRANULE/*/QI_DATA/*"):
        mask.unlink()
    with pytest.warns(MissingMaskWarning, match="no mask of clouds"):
        image = open_sentinel2(path).image()
    assert image.valid.all()
    assert open_sentinel2(path).detectors() is None


def test_probabilities_of_clouds_count_where_there_are_no_classes(tmp_path, ground, clouds):
    path = write_product(tmp_path, {"B08": ground[0]}, S2Recipe(level="L2A"), clouds=clouds)
    for name in (*path.glob("GRANULE/*/IMG_DATA/R20m/*SCL*"), *path.glob("GRANULE/*/QI_DATA/MSK_CLASSI*")):
        name.unlink()
    valid = open_sentinel2(path).image().valid
    assert not valid[CLOUD].any()
    assert valid.sum() == valid.size - 30 * 18


def test_blocks_are_decoded_once_and_forgotten_when_there_is_no_room():
    pixels = np.arange(50 * 70).reshape(50, 70)
    asked = []

    def decode(band, rows, cols):
        asked.append((band, rows.start, cols.start))
        return pixels[rows, cols].copy()

    store = Store(10**6)
    blocks = Blocks((50, 70), (16, 32), decode, store)
    for rows, cols in ((slice(3, 40), slice(10, 69)), (slice(0, 50), slice(0, 70)), (slice(49, 50), slice(69, 70))):
        np.testing.assert_array_equal(blocks.read(1, rows, cols), pixels[rows, cols])
    assert len(asked) == len(set(asked)) == 4 * 3
    assert blocks.read(1, slice(5, 5), slice(0, 9)).size == 0
    del blocks
    assert store.taken == 0
    small = Store(2 * 16 * 32 * 8)
    blocks = Blocks((50, 70), (16, 32), decode, small)
    np.testing.assert_array_equal(blocks.read(1, slice(0, 50), slice(0, 70)), pixels)
    assert 0 < small.taken <= small.room
    flat = Blocks((50, 70), (16, 32), lambda band, rows, cols: np.full((2, 2), 7, np.uint8), store)
    flat.read(1, slice(0, 2), slice(0, 2))
    assert store.taken == 1  # a constant block is one value


def test_the_band_that_is_not_there_is_named(tmp_path, ground):
    product = open_sentinel2(write_product(tmp_path, {"B08": ground[0]}, S2Recipe(level="L2A")))
    with pytest.raises(ConfigError, match="band must be one of B01, B02"):
        product.image("NIR")
    with pytest.raises(ConfigError, match="there is no B10 in L2A"):
        product.image("B10")
    assert product.bands == ("B08",)
    with pytest.raises(InputError, match="the image of B02 is missing"):
        product.image("B02")
