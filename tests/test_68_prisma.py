"""PRISMA products: what is read is what was measured, where it was, and a pair is tracked in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pyproj
import pytest
import rasterio

from sensetrack.errors import ConfigError, MissingMaskWarning, PlaceWarning, ProductNameError
from sensetrack.prisma import open_prisma, parse_name
from sensetrack.prisma.coregistration import place_on
from sensetrack.prisma.extract import (
    get_prisma_dataset_bounds,
    get_prisma_image,
    get_prisma_info,
    get_swir_bandwidths,
    get_vnir_bandwidths,
)
from sensetrack.prisma.simulate import PrismaRecipe, Waves, level_of, wavelengths, write_product
from test_80_faults import follow, tree

LATER = datetime(2020, 9, 11, 10, 30, 50, tzinfo=UTC)
SHAPE = (37, 44)
SMALL = PrismaRecipe(shape=SHAPE, padded=False)
SMOOTH = Waves(lengths=(150.0, 600.0))
"""A scene that pixels of 30 m can carry, so that warping it has a truth."""
BRIGHT = {"L1": 150.0, "L1G": 150.0, "L2B": 150.0, "L2C": 1.0, "L2D": 1.0}


@pytest.fixture(scope="module")
def product(tmp_path_factory) -> Path:
    return write_product(tmp_path_factory.mktemp("prisma"), recipe=PrismaRecipe(shape=SHAPE))


def stored_as_image(path: Path, level: str, cube: str, layer: int) -> np.ndarray:
    """Numbers of a layer, turned by hand."""
    group = f"HDFEOS/SWATHS/PRS_{'L1' if level == 'L1G' else level}_{'PCO' if cube == 'PAN' else 'HCO'}/Data Fields"
    with h5py.File(path) as file:
        values = file[f"{group}/Cube"][()] if cube == "PAN" else file[f"{group}/{cube}_Cube"][:, layer]
    return values if level in ("L2D", "L1G") else np.flip(np.rot90(values))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("PRS_L1_STD_OFFL_20200524103704_20200524103708_0001", ("L1", "OFFL", (10, 37, 4), (10, 37, 8))),
        ("PRS_L2D_STD_20200813103056_20200813103100_0001.he5", ("L2D", None, (10, 30, 56), (10, 31, 0))),
        ("PRS_L2D_STD_20201107101404_20201107101408_0001.zip", ("L2D", None, (10, 14, 4), (10, 14, 8))),
        ("PRS_L2D_STD_20231229050902_20231229050907_0001", ("L2D", None, (5, 9, 2), (5, 9, 7))),
        ("PRS_L1_STD_OFFL_20190710091734_20190710091738_0001", ("L1", "OFFL", (9, 17, 34), (9, 17, 38))),
        ("PRS_L1_STD_NRT_20200524103704_20200524103708_0012", ("L1", "NRT", (10, 37, 4), (10, 37, 8))),
        ("PRS_L1G_STD_OFFL_20200524103704_20200524103708_0001", ("L1G", "OFFL", (10, 37, 4), (10, 37, 8))),
        ("PRS_L1G2_STD_RT_20200524103704_20200524103708_0001", ("L1G2", "RT", (10, 37, 4), (10, 37, 8))),
        ("PRS_L2B_STD_20200524103704_20200524103708_0001", ("L2B", None, (10, 37, 4), (10, 37, 8))),
        ("PRS_L2C_STD_20200524103704_20200524103708_0001", ("L2C", None, (10, 37, 4), (10, 37, 8))),
    ],
)
def test_names_of_products_have_typed_parts(name, expected):
    found = parse_name(name)
    times = tuple((t.hour, t.minute, t.second) for t in (found.start, found.stop))
    assert (found.level, found.chain, *times) == expected
    assert found.kind == "STD"
    assert found.start.tzinfo is UTC
    assert found.version == (12 if "_0012" in name else 1)


@pytest.mark.parametrize(
    "name",
    [
        "PRS_L3_STD_20200524103704_20200524103708_0001", "PRS_L2D_STD_20200524103704_20200524103708",
        "PRS_L2D_STD_20201324103704_20200524103708_0001", "xPRS_L2D_STD_20200524103704_20200524103708_0001",
        "PRS_L2D_STD_20200524103704_20200524103708_0001.he5.tif", "S2A_MSIL1C", "",
    ],
)  # fmt: skip
def test_other_names_are_refused(name):
    with pytest.raises(ProductNameError):
        parse_name(name)


@pytest.mark.parametrize("text", ["bytes", "str"])
@pytest.mark.parametrize("level", ["L1", "L1G", "L2B", "L2C", "L2D"])
def test_values_are_the_documented_scaling_of_what_is_stored(tmp_path, level, text):
    recipe = replace(SMALL, level=level, text=text)
    path = write_product(tmp_path, recipe=recipe, zipped=False)
    product = open_prisma(path)
    assert product.level == level
    assert product.acquired == recipe.start + (recipe.stop - recipe.start) / 2
    for cube, layer in (("PAN", 0), ("VNIR", 16), ("VNIR", 65), ("SWIR", 0), ("SWIR", 170)):
        numbers = stored_as_image(path, level, cube, layer).astype(float)
        with h5py.File(path) as file:
            if level in ("L1", "L1G"):
                truth = numbers / float(file.attrs[f"ScaleFactor_{cube.title()}"])
            else:
                low, high = (float(file.attrs[f"L2Scale{cube.title()}{end}"]) for end in ("Min", "Max"))
                truth = low + numbers * (high - low) / 65535
        name = "PAN" if cube == "PAN" else f"{cube}{layer + 1}"
        band = product.band(name)
        source = product._pixels(product.bands(name)[0], "keep", errors=True)
        rows, cols = truth.shape
        np.testing.assert_allclose(source[0:rows, 0:cols], truth, rtol=1e-6)
        np.testing.assert_array_equal(source[3:9, 5:20], source[0:rows, 0:cols][3:9, 5:20])
        unit = "1" if level in ("L2C", "L2D") else "W m-2 sr-1 um-1"
        assert (band.about["quantity"], band.about["unit"]) == (
            ("reflectance", unit) if unit == "1" else ("radiance", unit)
        )


@pytest.mark.parametrize("level", ["L1", "L1G", "L2B", "L2C", "L2D"])
@pytest.mark.parametrize("name", ["PAN", "VNIR40"])
def test_pixels_show_the_ground_they_are_said_to_be_on(tmp_path, level, name):
    path = write_product(tmp_path, SMOOTH, replace(SMALL, level=level))
    image = open_prisma(path).image(name)
    size = 5.0 if name == "PAN" else 30.0
    truth = SMOOTH(*image.grid.xy(*np.indices(image.grid.shape)), size) * BRIGHT[level]
    truth *= 1 if name == "PAN" else level_of("Vnir", 39)
    values, valid = image.image, image.valid
    assert image.grid.pixel_size == pytest.approx((size, size), rel=1e-3)
    assert tuple(image.grid.transform)[2] % size == 0 or level in ("L1G", "L2D")
    assert valid.mean() > 0.6
    # A pixel off would be 0.4 of the scatter; the rest is the spline.
    error = (values - truth)[valid]
    assert np.sqrt(np.mean(error**2)) < 0.02 * np.nanstd(truth)


@pytest.mark.parametrize("chunks", ["none", "band", "all"])
@pytest.mark.parametrize("level", ["L2D", "L1"])
def test_chunks_change_nothing(tmp_path, chunks, level):
    path = write_product(tmp_path, recipe=replace(SMALL, level=level, chunks=chunks))
    product = open_prisma(path)
    for layer in (20, 21, 50):
        source = product._pixels(product.bands(f"VNIR{layer + 1}")[0], "keep", errors=True)
        numbers = stored_as_image(path, level, "VNIR", layer)
        read = product.numbers("VNIR").read(layer, slice(4, 30), slice(7, 40))
        np.testing.assert_array_equal(read, numbers[4:30, 7:40])
        assert source[4:30, 7:40].shape == (26, 33)


@pytest.mark.parametrize("zeros", ["real", "none", "tail"])
def test_bands_are_found_by_wavelength_among_those_that_were_measured(tmp_path, zeros, caplog):
    recipe = replace(SMALL, zeros=zeros)
    product = open_prisma(write_product(tmp_path, recipe=recipe))
    vnir, swir = wavelengths(recipe)
    for asked in (850.0, 1600.0, 450.5, 2200.0):
        every = [("VNIR", i, w) for i, w in enumerate(vnir)] + [("SWIR", i, w) for i, w in enumerate(swir)]
        cube, index, wave = min(((c, i, w) for c, i, w in every if w > 0), key=lambda e: abs(e[2] - asked))
        band = product.band(wavelength=asked)
        assert band.about["band"] == f"{cube}{index + 1}" == product.band(f"{asked:g}nm").about["band"]
        assert band.about["wavelength"] == pytest.approx(wave, abs=1e-3)
    assert len(product.bands("VNIR")) == (vnir > 0).sum()
    for name in ("VNIR", "SWIR", "CUBE"):
        waves = [band.wavelength for band in product.bands(name)]
        assert all(a < b for a, b in pairwise(waves))
    joined = product.bands("CUBE")
    assert [band.cube for band in joined if band.wavelength > 945] == ["SWIR"] * (swir > 945).sum()
    dead = {"real": "VNIR1", "tail": "VNIR66", "none": None}[zeros]
    if dead:
        with pytest.raises(ConfigError, match="holds nothing"):
            product.band(dead)
    for name in ("VNIR0", "VNIR67", "SWIR174", "300nm", "9000nm", "B04", "VNIR", ""):
        with pytest.raises(ConfigError):
            product.band(name)


def test_a_flag_of_zero_means_not_measured(tmp_path):
    path = write_product(tmp_path, recipe=SMALL)
    with h5py.File(path, "r+") as file:
        flags = file.attrs["List_Cw_Vnir_Flags"].copy()
        flags[16] = 0
        file.attrs["List_Cw_Vnir_Flags"] = flags
    product = open_prisma(path)
    assert "VNIR17" not in [band.name for band in product.bands("VNIR")]
    assert len(product.bands("VNIR")) == 62


@pytest.mark.parametrize(("level", "bad"), [("L1", {1, 2, 4}), ("L2B", {1, 2, 4}), ("L2D", {1, 2, 4, 3, 5})])
def test_errors_of_pixels_are_not_valid(tmp_path, level, bad):
    errors = {"VNIR": np.zeros(SHAPE, np.uint8), "PAN": np.zeros((SHAPE[0] * 6, SHAPE[1] * 6), np.uint8)}
    for i, value in enumerate((1, 2, 3, 4, 5)):
        errors["VNIR"][7, 11 + i] = errors["PAN"][50, 70 + i] = value
    product = open_prisma(write_product(tmp_path, recipe=replace(SMALL, level=level), errors=errors))
    for name, cube in (("VNIR20", "VNIR"), ("PAN", "PAN")):
        source = product._pixels(product.bands(name)[0], "keep", errors=True)
        expected = np.isin(errors[cube], list(bad | ({5} if level == "L1" else {3, 5})))
        np.testing.assert_array_equal(np.isnan(source[0 : source.shape[0], 0 : source.shape[1]]), expected)
        whole = product._pixels(product.bands(name)[0], "keep", errors=False)
        assert not np.isnan(whole[0 : source.shape[0], 0 : source.shape[1]]).any()
    other = product._pixels(product.bands("SWIR20")[0], "keep", errors=True)
    assert not np.isnan(other[0 : SHAPE[0], 0 : SHAPE[1]]).any()


def test_clouds_of_level_1_are_not_valid_in_cubes_and_panchromatic_image(tmp_path):
    clouds = np.zeros(SHAPE, bool)
    clouds[5:9, 30:37] = True
    product = open_prisma(write_product(tmp_path, recipe=replace(SMALL, level="L1"), clouds=clouds))
    for name, finer in (("VNIR20", 1), ("PAN", 6)):
        source = product._pixels(product.bands(name)[0], "opaque", errors=True)
        fine = clouds.repeat(finer, axis=0).repeat(finer, axis=1)
        np.testing.assert_array_equal(np.isnan(source[0 : fine.shape[0], 0 : fine.shape[1]]), fine)
        np.testing.assert_array_equal(np.isnan(source[31:47, 3:44]), fine[31:47, 3:44])
    kept = product._pixels(product.bands("PAN")[0], "keep", errors=True)
    assert not np.isnan(kept[0 : kept.shape[0], 0 : kept.shape[1]]).any()
    with pytest.warns(MissingMaskWarning, match="no mask of clouds"):
        open_prisma(write_product(tmp_path, recipe=SMALL)).band("PAN", clouds="all")


def test_a_zero_in_one_layer_is_a_measurement_and_padding_is_not(tmp_path):
    recipe = replace(SMALL, padded=True)
    path = write_product(tmp_path, recipe=recipe)
    with h5py.File(path, "r+") as file:
        file["HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields/VNIR_Cube"][20, 19, 22] = 0
        inside = file["HDFEOS/SWATHS/PRS_L2D_HCO/Geolocation Fields/Latitude"][()] != 0
    values = open_prisma(path).image("VNIR20").image
    np.testing.assert_array_equal(np.isfinite(values), inside)
    assert 0.3 < inside.mean() < 0.9
    assert values[20, 22] == pytest.approx(0.01, rel=1e-6)  # least value of the scaling


@pytest.mark.parametrize("corner", ["centre", "corner"])
@pytest.mark.parametrize("shape", [(37, 44), (120, 131)])
def test_a_map_is_where_its_latitudes_and_longitudes_are(tmp_path, corner, shape):
    """The upper left corner is right within a centimetre whichever of its meanings the metadata have."""
    recipe = PrismaRecipe(shape=shape, corner=corner, centre=(352_755.0, 5_987_235.0))
    for zone, moved in ((32632, (0.0, 0.0)), (32632, (0.37, -0.91)), (32601, (0.0, 0.0))):
        there = replace(recipe, epsg=zone, misplaced=moved)
        product = open_prisma(write_product(tmp_path, Waves(number=2), there))
        for cube, size in (("PAN", 5.0), ("VNIR", 30.0)):
            affine = tuple(product.grid(cube).transform)[:6]
            left, top = (c + m for c, m in zip(there.centre, moved, strict=True))
            assert affine[0] == size
            assert affine[4] == -size
            assert np.hypot(affine[2] - (left - 15), affine[5] - (top + 15)) < 0.01
            assert f"is the {corner} of a pixel" in product._place(cube).source


def test_without_latitudes_and_longitudes_the_corner_is_a_centre_and_that_is_said(tmp_path):
    product = open_prisma(write_product(tmp_path, recipe=replace(SMALL, geolocation=False)))
    with pytest.warns(PlaceWarning, match="half a pixel"):
        grid = product.grid("PAN")
    assert tuple(grid.transform)[:6] == (5, 0, 655_320, 0, -5, 5_130_480)


def test_a_swath_is_placed_to_centimetres_though_single_places_are_not(tmp_path):
    recipe = replace(SMALL, level="L2B", centre=(655_335.0, 5_130_465.0), epsg=32601)  # near 180 degrees: 1.7 m
    product = open_prisma(write_product(tmp_path, Waves(number=2), recipe))
    swath = product.swath("PAN", 32601)
    rows, cols = swath.shape
    row, col = np.meshgrid(np.linspace(0, rows - 1, 23), np.linspace(0, cols - 1, 29), indexing="ij")
    lat, lon = product.places("PAN")
    x, y = swath.to_map(row, col)
    r, c = swath.to_pixels(x, y)
    np.testing.assert_allclose(r - 0.5, row, atol=1e-6)
    np.testing.assert_allclose(c - 0.5, col, atol=1e-6)
    down, right = np.radians(193), np.radians(103)
    a, b = 5 * row - 12.5, (col + 0.5) / 6 - 0.5
    a = a + 9 * ((b - SHAPE[1] / 2) / SHAPE[1]) ** 2
    true_x = recipe.centre[0] + a * np.sin(down) + 30 * b * np.sin(right)
    true_y = recipe.centre[1] + a * np.cos(down) + 30 * b * np.cos(right)
    assert np.hypot(x - true_x, y - true_y).max() < 0.1
    single = pyproj.Transformer.from_crs(4326, 32601, always_xy=True).transform(lon.astype(float), lat.astype(float))[0]
    assert np.abs(single[np.ix_(np.arange(5), np.arange(5))] - swath.to_map(*np.indices((5, 5)))[0]).max() > 0.1


def test_scenes_of_two_sizes_do_not_stretch_against_each_other(cli, tmp_path):
    """Pixels from extent and number would make a ramp of pixels between these two."""
    files = []
    for name, shape, start in (("a", (60, 64), PrismaRecipe.start), ("b", (47, 55), LATER)):
        (tmp_path / name).mkdir()
        recipe = PrismaRecipe(shape=shape, padded=False, start=start)
        files.append(write_product(tmp_path / name, Waves(), recipe))
    product = follow(cli, *files, out=tmp_path / "out")
    assert product.good.mean() > 0.95
    row, col = np.indices(product.d_row.shape) * 16.0
    good = product.good
    for part in (product.d_row, product.d_col):
        assert np.abs(part[good]).max() < 0.02
        slopes = np.linalg.lstsq(np.stack([row[good], col[good], np.ones(good.sum())], 1), part[good], rcond=None)[0]
        assert abs(slopes[0]) * row.max() + abs(slopes[1]) * col.max() < 0.02


@pytest.mark.parametrize("level", ["L2D", "L1"])
def test_a_shifted_pair_is_tracked_in_one_line(cli, tmp_path, level):
    files = []
    for name, moved, start in (("a", (0, 0), PrismaRecipe.start), ("b", (25.0, -15.0), LATER)):
        (tmp_path / name).mkdir()
        recipe = replace(SMALL, level=level, start=start, shape=(43, 52))
        files.append(write_product(tmp_path / name, Waves(shift=moved), recipe, zipped=name == "b"))
    product = follow(cli, *files, out=tmp_path / "out")
    good = product.good
    assert good.mean() > (0.95 if level == "L2D" else 0.5)
    assert np.abs(product.d_row[good] - 3).max() < 0.1
    assert np.abs(product.d_col[good] - 5).max() < 0.1
    assert np.nanmedian(product.dx) == pytest.approx(25, abs=0.1)
    assert np.nanmedian(product.dy) == pytest.approx(-15, abs=0.1)
    assert (product.folder / "velocity.tif").exists()
    (first, second) = product.record["inputs"]
    assert first["product"] | {"mission": "PRISMA", "level": level, "band": "PAN"} == first["product"]
    assert second["product"]["acquired"].startswith("2020-09-11T10:30:52.16")
    assert sum("100 or 200 m" in note for note in product.record["warnings"]) == 1


def test_a_misplaced_product_is_brought_onto_a_reference(cli, tmp_path):
    """137 m in all; nothing is resampled."""
    away = (112.0, -79.0)
    assert np.hypot(*away) == pytest.approx(137, abs=0.2)
    for name, recipe in (("a", SMALL), ("b", replace(SMALL, start=LATER, misplaced=away))):
        (tmp_path / name).mkdir()
        write_product(tmp_path / name, Waves(), recipe)
    (first,), (second,) = (list((tmp_path / name).iterdir()) for name in "ab")
    assert cli("prepare", first, "-o", tmp_path / "ref.tif", "--quiet").code == 0
    result = cli("prepare", second, "-o", tmp_path / "b.tif", "--reference", tmp_path / "ref.tif", "--json")
    found = json.loads(result.out)["coregistration"]
    assert found["moved_east_m"] == pytest.approx(-away[0], abs=0.5)
    assert found["moved_north_m"] == pytest.approx(-away[1], abs=0.5)
    with rasterio.open(tmp_path / "ref.tif") as ref, rasterio.open(tmp_path / "b.tif") as new:
        apart = np.array(new.transform)[[2, 5]] - np.array(ref.transform)[[2, 5]]
        assert np.hypot(*apart) < 0.5  # 0.1 px
        np.testing.assert_array_equal(new.read(1), open_prisma(second).image().image)
        assert json.loads(new.tags()["COREGISTRATION"])["model"] == "shift"
    for model in ("similarity", "affine"):
        band = open_prisma(second).band()
        grid, report = place_on(band, tmp_path / "ref.tif", model=model)
        corners = [np.stack(g.xy([0, SHAPE[0] * 6], [0, SHAPE[1] * 6])) for g in (grid, open_prisma(first).grid("PAN"))]
        assert np.abs(corners[0] - corners[1]).max() < 0.5, report


def test_level_2c_is_orthorectified_by_its_rational_polynomials(tmp_path):
    """With the height of the ground, pixels are where the ground is; without, they are not."""
    shape = (80, 90)

    def height(x, y):
        return 500 + 0.25 * (x - 655_335) + 220 * np.sin((y - 5_130_465) / 900)

    class Ground:
        def heights_at(self, lon, lat):
            there = pyproj.Transformer.from_crs(4326, 32632, always_xy=True)
            return height(*there.transform(np.degrees(lon), np.degrees(lat)))

    path = write_product(tmp_path, SMOOTH, replace(SMALL, level="L2C", shape=shape), height=height)
    product = open_prisma(path)
    for cube in ("VNIR", "PAN"):
        rpc = product.rpc(cube)
        assert rpc.apart < 0.05
        assert rpc.flipped == (False, True)
    for name, options in (("VNIR40", {"heights": Ground()}), ("VNIR40", {})):
        image = product.image(name, **options)
        truth = SMOOTH(*image.grid.xy(*np.indices(image.grid.shape)), 30.0) * level_of("Vnir", 39)
        values, valid = image.image, image.valid
        error = np.sqrt(np.mean((values - truth)[valid] ** 2)) / np.std(truth)
        assert error < 0.03 if options else error > 0.2
    with pytest.raises(ConfigError, match="only L2C has them"):
        open_prisma(write_product(tmp_path, recipe=replace(SMALL, level="L1"))).band(heights=Ground())


def test_a_whole_cube_becomes_one_file_with_its_wavelengths(cli, tmp_path, product):
    out = tmp_path / "cube.tif"
    result = cli("prepare", product, "-o", out, "--band", "CUBE", "--json")
    assert result.code == 0, result.err
    told = json.loads(result.out)
    opened = open_prisma(product)
    bands = opened.bands("CUBE")
    with rasterio.open(out) as file:
        assert file.count == len(bands) == len(told["wavelengths"]) == 230
        for i in (1, 59, 60, 230):
            tags = file.tags(i)
            assert float(tags["WAVELENGTH_NM"]) == pytest.approx(bands[i - 1].wavelength, abs=1e-3)
            um = float(file.tags(i, ns="IMAGERY")["CENTRAL_WAVELENGTH_UM"])
            assert um == pytest.approx(bands[i - 1].wavelength / 1000, abs=1e-6)
            assert file.descriptions[i - 1].startswith(bands[i - 1].name)
            np.testing.assert_array_equal(file.read(i), opened.image(bands[i - 1]).image)
        assert file.transform.a == 30
    assert cli("prepare", product, "-o", tmp_path / "x.tif", "--band", "PAN,VNIR40").code == 2
    assert cli("prepare", product, "-o", tmp_path / "x.tif", "--band", "VNIR1").code == 2
    assert cli("prepare", product, "-o", tmp_path / "x.tif", "--resolution", 10).code == 2
    assert cli("prepare", product, "-o", tmp_path / "x.tif", "--speckle", "lee").code == 2


def test_info_has_the_fields_of_the_first_release_and_the_structure(cli, product):
    before = tree(product.parent)
    shown = cli("info", product)
    assert shown.code == 0, shown.err
    for word in ("Product ID", "PRS_SIMULATED", "Processing Level", "2D", "Cloudy pixels percentage", "32632"):
        assert word in shown.out
    found = json.loads(cli("info", product, "--json").out)
    assert found["Product_ID"] == "PRS_SIMULATED"
    assert found["vnir"]["bands"] == "63 of 66 layers"
    cube = found["structure"]["/HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields/VNIR_Cube"]
    assert cube == {"shape": [37, 66, 44], "dtype": "uint16", "attributes": {}}
    assert len(found["structure"]["/"]["attributes"]["List_Cw_Vnir"]) == 66
    assert tree(product.parent) == before


def test_the_functions_of_the_first_release_work_for_every_cube(product):
    with h5py.File(product) as h5:
        assert get_prisma_info(h5)["Processing_Level"] == "2D"
        for bandwidths, count, dead in ((get_vnir_bandwidths(h5), 66, 0), (get_swir_bandwidths(h5), 173, 172)):
            assert bandwidths.shape == (count, 3)
            assert np.isnan(bandwidths[dead]).all()
            np.testing.assert_allclose(bandwidths[20, 0] - bandwidths[20, 1], bandwidths[20, 2])
        left, bottom, right, top = get_prisma_dataset_bounds(h5)
        assert (right - left, top - bottom) == (30 * SHAPE[1], 30 * SHAPE[0])
        assert get_prisma_image(h5).image.shape == (SHAPE[0] * 6, SHAPE[1] * 6)
        assert get_prisma_image(h5, "vnir", 16).image.shape == SHAPE
        assert get_prisma_image(h5, "swir", (3, 8)).image.shape == (*SHAPE, 2)


def test_the_command_of_the_first_release_has_its_flags(tmp_path, product, capsys, monkeypatch):
    from sensetrack.cli.seed_prisma import run

    monkeypatch.chdir(tmp_path)
    for cube, options, name in (("pan", [], "pan_0"), ("vnir", [], "vnir_3"), ("swir", ["-b", "170"], "swir_170")):
        assert run(["-f", str(product), "-d", cube, *options]) == 0, capsys.readouterr().err
        with rasterio.open(tmp_path / f"{product.stem}[{name}].tif") as file:
            assert file.crs.to_epsg() == 32632
            assert np.isfinite(file.read(1)).mean() > 0.5
    # 77: layers that are not there, or hold nothing, are a matter of usage.
    for cube, band in (("vnir", 0), ("vnir", 66), ("vnir", -1), ("swir", 172), ("swir", 173), ("pan", 1), ("red", 0)):
        assert run(["-f", str(product), "-d", cube, "-b", str(band)]) == 2
    assert run(["-f", str(product), "-b", "x"]) == 2
    assert "sensetrack: error:" in capsys.readouterr().err


def test_an_elevation_model_is_for_level_2c(cli, tmp_path, product):
    from sensetrack.files.cog import write_cog
    from sensetrack.grid import Grid

    heights = Grid((90, 90), (50, 0, 653_000, 0, -50, 5_131_500), "EPSG:32632")
    dem = tmp_path / "dem.tif"
    write_cog(dem, [("height", "m", np.full((90, 90), 800, np.float32))], heights, tags={}, nodata=None)
    path = write_product(tmp_path, SMOOTH, replace(SMALL, level="L2C"), height=lambda x, y: np.full_like(x, 800.0))
    out = tmp_path / "out.tif"
    line = ("prepare", path, "-o", out, "--band", "VNIR40", "--dem", dem, "--vertical", "ellipsoid")
    assert cli(*line).code == 0
    with rasterio.open(out) as file:
        values = file.read(1)
        row, col = np.nonzero(np.isfinite(values))
        x, y = file.transform @ (col + 0.5, row + 0.5)
        truth = SMOOTH(x, y, 30.0) * level_of("Vnir", 39)
        assert file.tags()["DEM"] == "dem.tif"
        assert "rational polynomials" in file.tags()["PLACED_BY"]
    assert np.sqrt(np.mean((values[row, col] - truth) ** 2)) < 0.02 * truth.std()
    refused = cli("prepare", product, "-o", tmp_path / "b.tif", "--dem", dem, "--vertical", "ellipsoid")
    assert refused.code == 2
    assert "on a map already" in refused.err


def test_a_map_of_prisma_and_one_of_sentinel_2_make_a_pair_with_a_warning(cli, tmp_path):
    from sensetrack.sentinel.simulate_s2 import S2Recipe
    from sensetrack.sentinel.simulate_s2 import write_product as write_s2

    x, y = np.meshgrid(655_200 + 10 * (np.arange(150) + 0.5), 5_130_600 - 10 * (np.arange(150) + 0.5))
    red = (0.3 * Waves(lengths=(30, 400))(x, y, 10.0)).astype(np.float32)
    first = write_s2(tmp_path, {"B08": red}, S2Recipe(corner=(655_200.0, 5_130_600.0)))
    recipe = replace(SMALL, misplaced=(30.0, -50.0))
    second = write_product(tmp_path, Waves(lengths=(30, 400)), recipe)
    product = follow(cli, first, second, out=tmp_path / "out")
    assert np.nanmedian(product.d_row) == pytest.approx(5, abs=0.1)
    assert np.nanmedian(product.d_col) == pytest.approx(3, abs=0.1)
    assert any("paired all the same" in note for note in product.record["warnings"])
