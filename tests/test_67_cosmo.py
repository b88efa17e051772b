"""COSMO-SkyMed: names, attributes, places, backscatter, maps."""

import json
import zipfile
from datetime import UTC, datetime

import numpy as np
import pyproj
import pytest
import rasterio

from sensetrack.cosmo import CosmoFilenameParser, CSGPreprocessor, CSKFile, CSKPreprocessor, open_cosmo
from sensetrack.cosmo.lib import CSKProduct
from sensetrack.cosmo.mapped import CosmoConfig, cosmo_map, looks_of, pixel_of
from sensetrack.cosmo.names import parse_csk_name, parse_name
from sensetrack.cosmo.radiometry import factor
from sensetrack.cosmo.simulate import CosmoPlan, simulate_cosmo
from sensetrack.cosmo.simulate_map import MapPlan, deliver_as_tiff, simulate_on_map
from sensetrack.cosmo.utils import footprints_to_geopandas, qlk_to_images
from sensetrack.errors import ConfigError, InputError, NoOverlapError, ProductNameError
from sensetrack.sar.geometry import geo2rdr, rdr2geo
from sensetrack.sar.simulate import PointTarget, Scene

SMALL = {"lines": 110, "samples": 90}


def utc(text):
    return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)


# satellite, type, mode, swath, polarisation, look, pass, delivery, selective availability, times
CSK = {
    "CSKS4_DGM_B_WR_03_VV_RA_SF_20141001061215_20141001061230": (
        4,
        "DGM_B",
        "WideRegion",
        "03",
        "VV",
        "right",
        "ascending",
        "standard",
        False,
    ),
    "CSKS2_SCS_B_S2_01_VV_RA_SF_20100623045532_20100623045540": (
        2,
        "SCS_B",
        "Enhanced Spotlight",
        "01",
        "VV",
        "right",
        "ascending",
        "standard",
        False,
    ),
    "CSKS1_SCS_B_HI_15_HH_RA_SF_20201028224625_20201028224632": (
        1,
        "SCS_B",
        "Himage",
        "15",
        "HH",
        "right",
        "ascending",
        "standard",
        False,
    ),
    "CSKS2_SCS_B_HI_09_HH_RA_SF_20090412050638_20090412050645": (
        2,
        "SCS_B",
        "Himage",
        "09",
        "HH",
        "right",
        "ascending",
        "standard",
        False,
    ),
    "CSKS2_RAW_B_HI_10_HH_RD_SF_20140105040332_20140105040340": (
        2,
        "RAW_B",
        "Himage",
        "10",
        "HH",
        "right",
        "descending",
        "standard",
        False,
    ),
    "CSKS1_SCS_U_HI_24_VV_RD_SF_20130509205142_20130509205150": (
        1,
        "SCS_U",
        "Himage",
        "24",
        "VV",
        "right",
        "descending",
        "standard",
        False,
    ),
    "CSKS4_DGM_B_HI_23_HH_LA_FF_20130318084536_20130318084543": (
        4,
        "DGM_B",
        "Himage",
        "23",
        "HH",
        "left",
        "ascending",
        "fast",
        False,
    ),
    "CSKS1_SCS_B_HI_0A_HH_RD_SF_20150304181147_20150304181154": (
        1,
        "SCS_B",
        "Himage",
        "0A",
        "HH",
        "right",
        "descending",
        "standard",
        False,
    ),
    "CSKS2_GTC_B_HI_04_HH_RA_SF_20250728103626_20250728103634.S01.SBI.tif": (
        2,
        "GTC_B",
        "Himage",
        "04",
        "HH",
        "right",
        "ascending",
        "standard",
        False,
    ),
    "CSKS1_GEC_B_WR_01_HH_RD_SF_20171007160717_20171007160732": (
        1,
        "GEC_B",
        "WideRegion",
        "01",
        "HH",
        "right",
        "descending",
        "standard",
        False,
    ),
    "CSKS3_SCS_B_PP_01_CO_RA_SF_20100513051201_20100513051208.h5": (
        3,
        "SCS_B",
        "PingPong",
        "01",
        "CO",
        "right",
        "ascending",
        "standard",
        False,
    ),
    "CSKS1_GEC_B_HI_16_HH_LD_SN_20080108105558_20080108105604.h5_GEC_B_MC_198300.h5": (
        1,
        "GEC_B",
        "Himage",
        "16",
        "HH",
        "left",
        "descending",
        "standard",
        True,
    ),
    "CSKS1_DGM_B_HI_01_HH_RD_SF_20170515172254_20170515172301": (
        1,
        "DGM_B",
        "Himage",
        "01",
        "HH",
        "right",
        "descending",
        "standard",
        False,
    ),
}
# satellite, type, looks (range, azimuth), mode, beam, look, pass, orbit, latitude, EPSG, squint
CSG = {
    "CSG_SSAR1_SCS_B_0101_STR_012_HH_RD_F_20200921215026_20200921215032_1_F_09S_Z19_N00": (
        1,
        "SCS_B",
        (1, 1),
        "Stripmap",
        "012",
        "right",
        "descending",
        "filtered",
        -9,
        32719,
        0,
    ),
    "CSG_SSAR1_SCS_B_0101_SC1_001_HH_RA_F_20200923102555_20200923102610_1_F_41N_Z18_N00.h5": (
        1,
        "SCS_B",
        (1, 1),
        "ScanSAR 1",
        "001",
        "right",
        "ascending",
        "filtered",
        41,
        32618,
        0,
    ),
    "CSG_SSAR2_DGM_B_0401_SC2_003_HH_RA_F_20220822043643_20220822043712_1_F_53N_Z33_N00": (
        2,
        "DGM_B",
        (4, 1),
        "ScanSAR 2",
        "003",
        "right",
        "ascending",
        "filtered",
        53,
        32633,
        0,
    ),
    "CSG_SSAR2_SCS_B_0101_QPS_012_HH_RD_F_20220926171205_20220926171211_1_F_53N_Z33_N00": (
        2,
        "SCS_B",
        (1, 1),
        "QuadPol",
        "012",
        "right",
        "descending",
        "filtered",
        53,
        32633,
        0,
    ),
    "CSG_SSAR2_DGM_B_0101_STR_017_HH_RD_P_20260726174641_20260726174654_1_F_36N_Z30_N00": (
        2,
        "DGM_B",
        (1, 1),
        "Stripmap",
        "017",
        "right",
        "descending",
        "predicted",
        36,
        32630,
        0,
    ),
    "CSG_SSAR2_GEC_B_0101_STR_020_HH_RD_F_20220925165358_20220925165404_1_F_53N_Z33_N00.IMG.tif": (
        2,
        "GEC_B",
        (1, 1),
        "Stripmap",
        "020",
        "right",
        "descending",
        "filtered",
        53,
        32633,
        0,
    ),
    "CSG_SSAR2_GTC_B_0404_STR_007_HH_RD_F_20231004170859_20231004170905": (
        2,
        "GTC_B",
        (4, 4),
        "Stripmap",
        "007",
        "right",
        "descending",
        "filtered",
        None,
        None,
        None,
    ),
    "CSG_SSAR1_SCS_B_0101_S2A_005_VV_LA_R_20231004170859_20231004170905_2_C_80N_Z61_F12": (
        1,
        "SCS_B",
        (1, 1),
        "Spotlight 2A",
        "005",
        "left",
        "ascending",
        "restituted",
        80,
        32661,
        12,
    ),
    "CSG_SSAR1_SCS_B_0101_STR_005_VV_LA_D_20231004170859_20231004170905_2_C_80S_Z00_B03": (
        1,
        "SCS_B",
        (1, 1),
        "Stripmap",
        "005",
        "left",
        "ascending",
        "downlinked",
        -80,
        32761,
        -3,
    ),
    "CSG_SSAR1_SCS_FQLK_B_0101_XYZ_005_VV_RA_F_20231004170859_20231004170905": (
        1,
        "SCS_FQLK_B",
        (1, 1),
        None,
        "005",
        "right",
        "ascending",
        "filtered",
        None,
        None,
        None,
    ),
}


@pytest.mark.parametrize("name", CSK)
def test_names_of_the_first_generation(name):
    found = parse_csk_name(f"/some/where/{name}")
    assert CSK[name] == (
        found.satellite, found.product_type, found.mode_name, found.swath, found.polarisation, found.look,
        found.pass_direction, found.delivery, found.selective_availability,
    )  # fmt: skip
    times = name[27:].split(".")[0].split("_")
    assert (found.start, found.stop) == (utc(times[0]), utc(times[1]))
    assert name.endswith(found.tail)


@pytest.mark.parametrize("name", CSG)
def test_names_of_the_second_generation(name):
    found = parse_name(name)
    assert CSG[name] == (
        found.satellite, found.product_type, (found.range_looks, found.azimuth_looks), found.mode_name, found.beam,
        found.look, found.pass_direction, found.orbit, found.latitude, found.epsg, found.squint,
    )  # fmt: skip
    assert (found.full is None) == (found.latitude is None)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("CSKS1_SCS_B_XX_15_HH_RA_SF_20201028224625_20201028224632", "mode must be one of HI, PP"),
        ("CSKS5_SCS_B_HI_15_HH_RA_SF_20201028224625_20201028224632", "CSKSi_YYY_Z"),
        ("CSKS3_SCS_B_PP_01_CO_RA_SF_20100513", "CSKSi_YYY_Z"),
        ("xCSKS1_SCS_B_HI_15_HH_RA_SF_20201028224625_20201028224632", "CSKSi_YYY_Z"),
        ("CSKS1_SCS_B_HI_15_HH_RA_SF_20201328224625_20201328224632", "dates of the calendar"),
        ("CSKS1_SCS_B_HI_15_HH_RA_SF_20201028224632_20201028224625", "stop after it starts"),
        ("CSG_SSAR1_SCS_B_0101_STR_012_HH_RD_F_20200921215026_20200921215032_1_F_09S_Z62_N00", "zone must be 00 to 61"),
        ("CSG_SSAR1_SCS_B_0101_STR_012_HH_RD_F_20200921215026_20200921215032_1_F_99S_Z19_N00", "latitude"),
        ("CSG_SSAR1_SCS_B_0101_STR_012_HH_RD_F_20200921215026_20200921215032_1_F_09S", "CSG_SSARn"),
    ],
)
def test_what_is_no_name_is_refused(name, reason):
    with pytest.raises(ProductNameError, match=reason):
        parse_name(name)


def test_names_of_the_first_release(capsys):
    found = CosmoFilenameParser.create_from_filename(
        "CSG_SSAR1_SCS_B_0101_S2A_005_VV_LA_R_20231004170859_20231004170905_2_C_80N_Z61_F12"
    )
    assert (found.SquintAngleSceneCenter, found.EastDirectionLocation) == ("Forward squint (12 deg)", "North Pole")
    assert (found.ProductCoverage, found.Hemisphere, found.LatitudeSceneCenter) == ("Cropped", "N", 80)
    old = CSKProduct.parse_filename_regex("CSKS4_DGM_B_HI_23_HH_LA_FF_20130318084536_20130318084543.h5")
    assert (old.SelectiveAvaialability, old.DeliveryMode, old.LookSide) == ("OFF", "Fast", "Left")
    assert capsys.readouterr().out == ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cosmo")


@pytest.fixture(scope="module")
def plain(folder):
    """A stripmap product of even ground."""
    return simulate_cosmo(folder, CosmoPlan(**SMALL))


TARGET = PointTarget(11.3003, 44.50011, 40.0, area=2e5)


@pytest.mark.parametrize("ascending", [True, False], ids=["ascending", "descending"])
@pytest.mark.parametrize("look", ["right", "left"])
@pytest.mark.parametrize("generation", ["CSK", "CSG"])
def test_corners_of_an_image_are_seen_where_its_attributes_say(tmp_path, generation, look, ascending):
    made = simulate_cosmo(tmp_path, CosmoPlan(generation, look=look, ascending=ascending, **SMALL), Scene(sigma0=1e-3))
    product = open_cosmo(made.path)
    grid = product.images[0].radar_grid
    assert (product.info.look, grid.pass_direction) == (look, "ascending" if ascending else "descending")
    image = made.items["S01/SBI" if generation == "CSK" else "S01/IMG"]
    rows, cols = SMALL["lines"] - 1.0, SMALL["samples"] - 1.0
    for name, line, sample in (("Top Left", 0, 0), ("Top Right", 0, cols), ("Bottom Left", rows, 0)):
        lat, lon, _ = image.attributes[f"{name} Geodetic Coordinates"]
        found = geo2rdr(grid, np.radians([lon]), np.radians([lat]), np.zeros(1))
        assert abs(grid.line(found.time)[0] - line) < 1e-6
        assert abs(grid.sample(found.slant_range)[0] - sample) < 1e-6


@pytest.mark.parametrize("ascending", [True, False], ids=["ascending", "descending"])
@pytest.mark.parametrize("look", ["right", "left"])
@pytest.mark.parametrize("level", ["SCS", "DGM"])
def test_a_target_on_a_hill_is_mapped_to_its_place(tmp_path, level, look, ascending):
    plan = CosmoPlan(level=level, look=look, ascending=ascending, lines=170, samples=170)
    scene = Scene(height=TARGET.height, sigma0=1e-4, targets=(TARGET,))
    product = open_cosmo(simulate_cosmo(tmp_path, plan, scene).path)
    config = CosmoConfig(height=TARGET.height, resolution=1.0, looks=1, method="cubic", crs="EPSG:32632")
    made = cosmo_map(product, config)
    values = np.nan_to_num(made.bands[0][2][:, :])
    row, col = np.unravel_index(values.argmax(), values.shape)
    rows, cols = np.mgrid[-6:7, -6:7]
    near = values[row - 6 : row + 7, col - 6 : col + 7]
    x, y = made.grid.xy(row + (near * rows).sum() / near.sum(), col + (near * cols).sum() / near.sum())
    east, north = pyproj.Transformer.from_crs(4326, 32632, always_xy=True).transform(TARGET.lon, TARGET.lat)
    assert np.hypot(x - east, y - north) < 0.1 * max(product.images[0].ground_spacing), (x - east, y - north)


@pytest.mark.parametrize("generation", ["CSK", "CSG"])
def test_ground_range_leads_back_to_the_same_column(tmp_path, generation):
    made = simulate_cosmo(tmp_path, CosmoPlan(generation, "DGM", lines=40, samples=600), Scene(sigma0=0.1))
    grid = open_cosmo(made.path).images[0].radar_grid
    columns = np.linspace(-0.5, grid.samples - 0.5, 301)
    there = grid.slant_range(columns, grid.first_time)
    assert np.abs(grid.sample(there, grid.first_time) - columns).max() < 1e-6
    stored = made.items[""].attributes["Ground to Slant Polynomial"]
    reference = made.items[""].attributes["Ground Projection Polynomial Reference Range"]
    np.testing.assert_allclose(there, reference + np.polynomial.polynomial.polyval(columns, stored), atol=1e-6, rtol=0)


def test_an_image_across_midnight_is_placed_like_any_other(tmp_path):
    start = datetime(2023, 5, 4, 23, 59, 59, 990000, tzinfo=UTC)
    made = simulate_cosmo(tmp_path, CosmoPlan(start=start, **SMALL), Scene(sigma0=0.1))
    product = open_cosmo(made.path)
    grid = product.images[0].radar_grid
    assert grid.last_time > 86400
    assert (product.info.stop.day, product.info.start.day) == (5, 4)
    place = rdr2geo(grid, grid.time(np.array([109.0, 0.0])), grid.slant_range(np.array([89.0, 0.0])), np.zeros(2))
    lat, lon, _ = made.items["S01/SBI"].attributes["Bottom Right Geodetic Coordinates"]
    assert np.degrees([place.lon[0], place.lat[0]]) == pytest.approx([lon, lat], abs=1e-9)


def test_sigma0_is_that_of_the_ground(folder):
    made = simulate_cosmo(folder / "..", CosmoPlan(look="left", lines=200, samples=200), Scene(sigma0=0.2))
    product = open_cosmo(made.path)
    found = cosmo_map(product, CosmoConfig(height=0.0)).bands[0]
    assert found[0] == "Sigma0_HH"
    assert np.nanmean(found[2][:, :]) == pytest.approx(0.2, rel=0.03)
    made.path.unlink()


def test_every_compensation_counts_in_the_factor(plain):
    image = open_cosmo(plain.path).images[0]
    assert factor(image, "sigma0") == pytest.approx(8e5**2 / 5e10 / 700**2 * np.sin(np.radians(45)), rel=1e-12)
    assert factor(image, "beta0") == pytest.approx(8e5**2 / 5e10 / 700**2, rel=1e-12)
    assert factor(image, "rescaled") == pytest.approx(1 / 700**2, rel=1e-12)


@pytest.mark.parametrize(
    ("key", "value", "sigma0"),
    [
        ("Range Spreading Loss Compensation Geometry", "NONE", np.sin(np.radians(45)) / 5e10),
        ("Incidence Angle Compensation Geometry", "NONE", 8e5**2 / 5e10),
        ("Calibration Constant Compensation Flag", 1, 8e5**2 * np.sin(np.radians(45))),
        ("Reference Slant Range Exponent", 0.5, 8e5 * np.sin(np.radians(45)) / 5e10),
    ],
)
def test_each_flag_of_a_compensation(plain, tmp_path, changed, key, value, sigma0):
    image = open_cosmo(changed(plain, "", {key: value})).images[0]
    assert factor(image, "sigma0") == pytest.approx(sigma0 / 700**2, rel=1e-9)


@pytest.fixture
def changed(tmp_path):
    """Return a function that copies a product and changes attributes of it; None takes one away."""
    import h5py

    def change(product, name, values):
        path = tmp_path / product.path.name
        if not path.exists():
            path.write_bytes(product.path.read_bytes())
        with h5py.File(path, "r+") as file:
            for key, value in values.items():
                if value is None:
                    del file[name or "/"].attrs[key]
                else:
                    file[name or "/"].attrs[key] = np.bytes_(value) if isinstance(value, str) else value
        return path

    return change


def test_what_cannot_be_calibrated_is_not_called_backscatter(tmp_path, plain, changed):
    product = open_cosmo(simulate_cosmo(tmp_path, CosmoPlan("CSG", **SMALL), Scene(sigma0=0.1)).path)
    made = cosmo_map(product, CosmoConfig(height=0.0))
    assert (made.bands[0][0], made.about["calibrated"], made.about["quantity"]) == ("Power_HH", False, "rescaled")
    with pytest.raises(ConfigError, match=r"not publicly known; say --quantity rescaled"):
        cosmo_map(product, CosmoConfig(height=0.0, quantity="sigma0"))
    unbalanced = open_cosmo(changed(plain, "", {"Product Type": "SCS_U"}).rename(tmp_path / "renamed.h5"))
    with pytest.raises(ConfigError, match="unbalanced"):
        cosmo_map(unbalanced, CosmoConfig(height=0.0, quantity="beta0"))


def test_looks_follow_from_spacing_and_incidence(plain):
    image = open_cosmo(plain.path).images[0]
    line, column = image.ground_spacing
    assert (line, column) == pytest.approx((2.25, 2.43), abs=0.02)
    assert pixel_of([image]) == 2.5
    assert looks_of(CosmoConfig(resolution=10.0), [image]) == (4, 4)
    assert CSKPreprocessor().estimate_multilook_parms(plain.path)[:2] == (2, 2)
    assert CSKPreprocessor().estimate_multilook_parms(plain.path, n_az_looks=5)[:2] == (5, 5)


def test_looks_and_filters_work_on_linear_power(plain):
    product = open_cosmo(plain.path)
    one = cosmo_map(product, CosmoConfig(height=0.0, looks=1, resolution=10.0, method="nearest"))
    four = cosmo_map(product, CosmoConfig(height=0.0, looks=(4, 3), resolution=10.0, method="nearest"))
    lee = cosmo_map(product, CosmoConfig(height=0.0, looks=(2, 2), resolution=10.0, method="nearest", speckle="lee"))
    spread = []
    for made in (one, four, lee):
        values = made.bands[0][2][:, :]
        spread.append(np.nanstd(values) / np.nanmean(values))
        assert np.nanmean(values) == pytest.approx(0.133, rel=0.15)
    assert spread[0] > 0.8
    assert spread[1] < 0.5
    assert spread[2] < spread[0] / 2


def test_subswaths_make_one_map_without_a_seam(tmp_path):
    plan = CosmoPlan(mode="scansar", subswaths=3, lines=90, samples=300)
    product = open_cosmo(simulate_cosmo(tmp_path, plan, Scene(sigma0=0.2)).path)
    assert [image.where for image in product.images] == ["S01/SBI", "S02/SBI", "S03/SBI"]
    whole = cosmo_map(product, CosmoConfig(height=0.0, looks=(6, 6), resolution=15.0)).bands[0][2][:, :]
    width = np.isfinite(whole).sum(axis=1).max()
    assert width >= 300 * 2.4 / 15 * 0.9
    assert np.nanmean(whole) == pytest.approx(0.2, rel=0.05)
    merged = open_cosmo(
        simulate_cosmo(tmp_path, CosmoPlan("CSG", "DGM", "scansar", subswaths=3, lines=60, samples=240)).path
    )
    assert [image.where for image in merged.images] == ["IMG"]


def test_polarisations_are_bands(tmp_path):
    product = open_cosmo(simulate_cosmo(tmp_path, CosmoPlan(mode="pingpong", **SMALL)).path)
    made = cosmo_map(product, CosmoConfig(height=0.0))
    assert [name for name, _, _ in made.bands] == ["Sigma0_HH", "Sigma0_VV"]
    with pytest.raises(ConfigError, match="there is no polarisation HV, it has HH, VV"):
        cosmo_map(product, CosmoConfig(height=0.0, polarisations="HV"))


def test_a_delivery_as_tiff_says_and_shows_the_same(plain, tmp_path):
    said = open_cosmo(plain.path)
    for again in (deliver_as_tiff(tmp_path, plain), tmp_path):
        other = open_cosmo(again)
        assert other.describe() | {"path": 0} == said.describe() | {"path": 0}
        np.testing.assert_array_equal(other.images[0][3:70, 5:80], said.images[0][3:70, 5:80])
        assert other.images[0].radar_grid.first_time == said.images[0].radar_grid.first_time


def test_a_zip_is_read_where_it_is(plain, tmp_path):
    path = tmp_path / "delivery.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(plain.path, f"EL20230504/{plain.path.name}")
        archive.writestr(f"EL20230504/DFDN_{plain.path.name}.xml", "<a/>")
    product = open_cosmo(path)
    assert (product.info.name, product.path) == (plain.path.stem, path)
    np.testing.assert_array_equal(product.images[0][3:9, 4:8], open_cosmo(plain.path).images[0][3:9, 4:8])


def disc(east, north):
    return np.where(np.hypot(east - 682_100, north - 4_930_900) < 30, 1.0, np.where(east < 682_010, np.nan, 0.05))


@pytest.mark.parametrize("level", ["GEC", "GTC"])
@pytest.mark.parametrize("corners", ["corner", "centre", "one"])
@pytest.mark.parametrize("generation", ["CSK", "CSG"])
def test_products_on_a_map_stay_on_it(tmp_path, level, corners, generation):
    place = MapPlan(level=level, corners=corners, spelled="UNIVERSAL TRANSVERSE MERCATOR" if level == "GEC" else "UTM")
    product = open_cosmo(simulate_on_map(tmp_path, CosmoPlan(generation, **SMALL), place, disc, looks=30).path)
    made = cosmo_map(product, CosmoConfig(aoi=None))
    assert tuple(made.grid.affine)[:6] == (2.5, 0.0, 682_000.0, 0.0, -2.0, 4_931_000.0)
    assert made.grid.crs.to_epsg() == 32632
    assert made.about["upper_left_is_the"] == ("corner, by assumption" if corners == "one" else corners)
    values = made.bands[0][2][0:180, 0:150]
    assert np.isnan(values[:, :4]).all()
    assert np.isfinite(values[:, 4:]).all()
    row, col = np.array(np.nonzero(np.nan_to_num(values) > 8 * np.nanmedian(values))).mean(axis=1)
    assert made.grid.xy(row, col) == pytest.approx((682_100, 4_930_900), abs=1.0)
    east, north = pyproj.Transformer.from_crs(32632, 4326, always_xy=True).transform(
        [682_100.0, 682_151.0], [4_930_801.0, 4_930_850.0]
    )
    part = cosmo_map(product, CosmoConfig(aoi=f"{east[0]},{north[0]},{east[1]},{north[1]}"))
    top, left = (4_931_000 - part.grid.affine.f) / 2.0, (part.grid.affine.c - 682_000) / 2.5
    rows, cols = part.grid.shape
    assert (round(top, 6), round(left, 6)) == (int(top), int(left))
    shown = part.bands[0][2][0:rows, 0:cols]
    np.testing.assert_array_equal(shown, values[int(top) : int(top) + rows, int(left) : int(left) + cols])
    assert (rows, cols) < (40, 40)


def test_southern_zones_and_poles_have_their_own_maps(tmp_path):
    south = MapPlan(south=True, north=5_200_000.0)
    product = open_cosmo(simulate_on_map(tmp_path, CosmoPlan(**SMALL), south, lambda e, n: 0.1 + 0 * e).path)
    assert product.images[0].map_grid.grid.crs.to_epsg() == 32719 + 13
    with pytest.raises(ConfigError, match="resolution is for products in the geometry of the radar"):
        cosmo_map(product, CosmoConfig(resolution=5.0))


def test_footprints_and_quick_looks(plain, tmp_path):
    frame = footprints_to_geopandas([plain.path])
    assert frame.crs.to_epsg() == 4326
    centre = frame.geometry[0].centroid
    assert (centre.x, centre.y) == pytest.approx((11.3, 44.5), abs=1e-3)
    assert frame.satellite[0] == "CSKS1"
    (picture,) = qlk_to_images([plain.path], tmp_path, "png")
    assert picture.name.endswith("_QLK.png")
    file = CSKFile(plain.path)
    np.testing.assert_array_equal(file.qkl_to_numpy(), np.arange(48).reshape(6, 8))
    assert file.product_filename == plain.path.name
    assert file.SBI.shape == (110, 90)
    assert file.footprint_polygon.contains(centre)


def test_prepare_writes_a_map_that_says_what_it_is(plain, tmp_path, cli):
    done = cli("prepare", plain.path, "-o", tmp_path / "map.tif", "--resolution", 5, "--layers", "incidence", "--json")
    assert done.code == 0, done.error
    said = json.loads(done.out)
    assert (said["bands"], said["resolution"]) == (["Sigma0_HH", "incidence"], 5.0)
    assert "no elevation model is given" in said["warnings"][0]
    with rasterio.open(tmp_path / "map.tif") as file:
        tags = file.tags()
        angle = np.nanmean(file.read(2))
    assert (tags["SENSOR"], tags["QUANTITY"], tags["TESTED"][:11]) == ("CSKS1", "sigma0", "this reader")
    assert angle == pytest.approx(33.1, abs=0.2)


def test_info_says_what_a_product_is_and_its_structure(plain, cli):
    said = json.loads(cli("info", plain.path, "--json").out)
    assert (said["satellite"], said["mode"], said["rows_columns"]) == ("CSKS1", "HIMAGE", {"S01/SBI": [110, 90]})
    assert said["structure"]["/S01/SBI"]["shape"] == [110, 90, 2]
    assert said["structure"]["/S01"]["attributes"]["Calibration Constant"] == 5e10
    assert "HIMAGE" in cli("info", plain.path).out


def test_the_command_of_the_first_release(plain, tmp_path, capsys):
    from sensetrack.cosmo.preprocessing import main

    with pytest.raises(SystemExit) as ended:
        main(["--file", str(plain.path), "--graph_name", "COSMO_HIMAGE_SLCB_DFLT", "-o", str(tmp_path), "--quiet"])
    assert ended.value.code == 0
    (written,) = tmp_path.glob("*_sigma0.tif")
    with pytest.raises(SystemExit) as ended:
        main(["--file", str(plain.path), "-o", str(tmp_path)])
    assert (ended.value.code, "exists already" in capsys.readouterr().err) == (2, True)
    with rasterio.open(written) as file:
        assert file.crs.to_epsg() == 32632


def test_preprocessors_take_their_generation(plain, tmp_path):
    with pytest.raises(InputError, match="must be a product of CSG, instead got one of CSK"):
        CSGPreprocessor().run(plain.path, folder=tmp_path)
    with pytest.raises(ConfigError, match="needs an area of interest"):
        CSKPreprocessor(engine="snap")
    with pytest.raises(NoOverlapError, match="lies outside the product"):
        CSKPreprocessor("10,40,10.1,40.1").run(plain.path, folder=tmp_path, height=0.0)
