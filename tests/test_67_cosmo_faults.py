"""Bad products of COSMO-SkyMed, and pairs that do not go together: one sentence that names what is wrong."""

import h5py
import numpy as np
import pytest

from sensetrack.cosmo import open_cosmo
from sensetrack.cosmo.mapped import CosmoConfig, cosmo_map
from sensetrack.cosmo.product import require_alike
from sensetrack.cosmo.simulate import CosmoPlan, simulate_cosmo
from sensetrack.cosmo.simulate_map import MapPlan, deliver_as_tiff, simulate_on_map
from sensetrack.errors import (
    ConfigError,
    InputError,
    MetadataError,
    NameMismatchWarning,
    UnlikePairWarning,
    UnsafeInputError,
)
from sensetrack.sar.simulate import Scene

SMALL = {"lines": 40, "samples": 36}


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    """Small products by what they are."""
    folder = tmp_path_factory.mktemp("faults")
    plans = {
        "SCS": CosmoPlan(**SMALL),
        "DGM": CosmoPlan(level="DGM", **SMALL),
        "CSG": CosmoPlan("CSG", **SMALL),
        "left": CosmoPlan(look="left", **SMALL),
        "down": CosmoPlan(ascending=False, **SMALL),
    }
    made = {name: simulate_cosmo(folder, plan, Scene(sigma0=0.1)) for name, plan in plans.items()}
    made["GTC"] = simulate_on_map(folder, plans["SCS"], MapPlan((40, 30)), lambda e, n: 0.1 + 0 * e)
    return made


@pytest.fixture
def broken(products, tmp_path):
    """Return a function that copies a product and hands the open copy to one that breaks it."""

    def change(name, breaks, called=None):
        path = tmp_path / (called or products[name].path.name)
        path.write_bytes(products[name].path.read_bytes())
        with h5py.File(path, "r+") as file:
            breaks(file)
        return path

    return change


def without(place, key):
    def take(file):
        del file[place].attrs[key]

    return take


def having(place, key, value):
    def put(file):
        file[place].attrs[key] = value

    return put


def use(path):
    """Read all that a map needs."""
    product = open_cosmo(path)
    made = cosmo_map(product, CosmoConfig(height=None if product.on_map else 0.0))
    return made.bands[0][2][:, :]


@pytest.mark.parametrize(
    ("name", "place", "key"),
    [
        ("SCS", "/", "Mission ID"),
        ("SCS", "/", "Product Type"),
        ("SCS", "/", "Reference UTC"),
        ("SCS", "/", "State Vectors Times"),
        ("SCS", "/", "ECEF Satellite Velocity"),
        ("SCS", "/", "Rescaling Factor"),
        ("SCS", "S01", "Calibration Constant"),
        ("SCS", "S01", "Polarisation"),
        ("SCS", "S01/SBI", "Zero Doppler Range First Time"),
        ("SCS", "S01/SBI", "Column Time Interval"),
        ("SCS", "S01/SBI", "Near Incidence Angle"),
        ("DGM", "/", "Ground to Slant Polynomial"),
        ("DGM", "/", "Ground Projection Polynomial Reference Range"),
        ("GTC", "S01/SBI", "Top Left East-North"),
        ("GTC", "/", "Map Projection Zone"),
        ("GTC", "/", "Projection ID"),
        ("CSG", "S01/IMG", "Rescaling Factor"),
    ],
)
def test_an_attribute_that_is_missing_is_named(broken, name, place, key):
    path = broken(name, without(place, key))
    with pytest.raises(MetadataError, match=f"attribute {key}") as raised:
        use(path)
    assert raised.value.path == path


@pytest.mark.parametrize(
    ("place", "key", "value", "reason"),
    [
        ("/", "Look Side", b"UP", "must be one of LEFT, RIGHT, instead got 'UP'"),
        ("/", "Look Side", 3, "must be one of LEFT, RIGHT"),
        ("/", "Lines Order", b"LATE-EARLY", "must be one of EARLY-LATE"),
        ("/", "Reference UTC", b"yesterday", "must be a date and time, instead got 'yesterday'"),
        ("/", "ECEF Satellite Position", np.zeros(4), "must be 45 finite numbers"),
        ("/", "Rescaling Factor", np.nan, "must be 1 finite number, instead got 'nan'"),
        ("/", "Rescaling Factor", 0.0, "must be above 0"),
        ("/", "Rescaling Factor", b"seven", "must be numbers, instead got 'seven'"),
        ("/", "State Vectors Times", np.arange(15.0), "state vectors must cover the times of the image"),
        ("S01/SBI", "Line Time Interval", [1.0, 2.0], "must be 1 finite number"),
        ("S01/SBI", "Near Incidence Angle", 95.0, "must lie between 0 and 90"),
        ("S01/SBI", "Column Time Interval", 0.0, "range_spacing of a radar grid must be above 0"),
        ("/", "Number of State Vectors", 3, "at least 4 state vectors, instead got 3"),
        ("S01", "Polarisation", b"XX", "must be HH, HV, VH or VV"),
    ],
)
def test_an_attribute_that_cannot_be_is_named(broken, place, key, value, reason):
    path = broken("SCS", having(place, key, value))
    with pytest.raises(InputError, match=reason) as raised:
        use(path)
    assert raised.value.path == path


def test_one_number_may_be_an_array_and_text_may_be_text(broken, products):
    def spell(file):
        file["/"].attrs["Rescaling Factor"] = np.array([700.0])
        file["S01/SBI"].attrs["Line Time Interval"] = str(file["S01/SBI"].attrs["Line Time Interval"])
        file["/"].attrs["Look Side"] = "right "

    np.testing.assert_array_equal(use(broken("SCS", spell)), use(products["SCS"].path))


def test_times_of_bursts_stand_in_for_those_of_a_detected_image(broken, products):
    def strip(file):
        image = file["S01/SBI"].attrs
        for key in ("Zero Doppler Azimuth First Time", "Zero Doppler Azimuth Last Time", "Line Time Interval"):
            del image[key]

    grid = open_cosmo(broken("DGM", strip)).images[0].radar_grid
    whole = open_cosmo(products["DGM"].path).images[0].radar_grid
    assert (grid.first_time, grid.line_interval) == pytest.approx((whole.first_time, whole.line_interval), rel=1e-12)


@pytest.mark.parametrize(
    ("place", "key", "value", "reason"),
    [
        ("/", "Product Type", b"RAW_B", "must be of level SCS, DGM, GEC, GTC, instead got 'RAW_B'; order it focused"),
        ("/", "Product Type", b"DGM_B", "must have the shape \\(rows, columns\\), instead got \\(40, 36, 2\\)"),
        ("/", "Mission ID", b"KMPS", "must be a product of COSMO-SkyMed"),
        ("/", "Mission ID", b"ESA\n\x1b[31m", "must be a product of COSMO-SkyMed"),
    ],
)
def test_another_level_or_mission_is_refused(broken, place, key, value, reason):
    with pytest.raises(InputError, match=reason):
        open_cosmo(broken("SCS", having(place, key, value), "product.h5"))


def test_a_file_without_image_is_refused(broken):
    def take(file):
        del file["S01/SBI"]

    with pytest.raises(MetadataError, match="holds no image: none of SBI, IMG and MBI"):
        open_cosmo(broken("SCS", take))


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("Map Projection Zone", 61, "must be 1 to 60"),
        ("Projection ID", b"MERCATOR", "must be UTM or UPS, instead got 'MERCATOR'"),
        ("Lines Order", b"SOUTH-NORTH", "must be one of NORTH-SOUTH"),
    ],
)
def test_a_map_that_is_not_known_is_refused(broken, key, value, reason):
    with pytest.raises(MetadataError, match=reason):
        use(broken("GTC", having("/", key, value)))


def test_corners_that_contradict_the_spacing_are_refused(broken):
    with pytest.raises(MetadataError, match="Bottom Right East-North"):
        use(broken("GTC", having("S01/SBI", "Column Spacing", 2.6)))


def test_a_truncated_file_is_named(products, tmp_path):
    path = tmp_path / products["SCS"].path.name
    path.write_bytes(products["SCS"].path.read_bytes()[:-3000])
    with pytest.raises(InputError, match="truncated or damaged") as raised:
        use(path)
    assert raised.value.path == path


def test_a_damaged_chunk_is_named_with_its_dataset(products, tmp_path):
    path = tmp_path / products["SCS"].path.name
    with h5py.File(products["SCS"].path) as file:
        chunk = file["S01/SBI"].id.get_chunk_info(0)
    content = bytearray(products["SCS"].path.read_bytes())
    start = chunk.byte_offset
    content[start : start + 200] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(InputError, match="S01/SBI is truncated or damaged"):
        use(path)


def test_what_leads_out_of_the_file_is_refused(broken, tmp_path):
    def link(file):
        del file["S01/SBI"]
        file["S01/SBI"] = h5py.ExternalLink("/etc/passwd", "/x")

    with pytest.raises(UnsafeInputError, match="external data not allowed"):
        open_cosmo(broken("SCS", link))

    def bomb(file):
        del file["S01/SBI"]
        file.create_dataset("S01/SBI", (60_000, 60_000, 2), np.int16, chunks=(100, 100, 2), compression="gzip")

    with pytest.raises(UnsafeInputError, match="declares 14400000000 bytes"):
        open_cosmo(broken("SCS", bomb, "bomb.h5"))


def test_a_name_that_contradicts_is_warned_about(products, tmp_path):
    path = tmp_path / "CSKS1_SCS_B_HI_09_HH_LA_SF_20240504050638_20240504050639.h5"
    path.write_bytes(products["SCS"].path.read_bytes())
    with pytest.warns(NameMismatchWarning) as said:
        product = open_cosmo(path)
    assert [str(one.message).partition("says ")[2].split(" ")[0] for one in said] == ["look", "start"]
    assert (product.info.look, product.info.start.year) == ("right", 2023)


def test_a_delivery_as_tiff_is_looked_at(products, tmp_path):
    xml = deliver_as_tiff(tmp_path, products["SCS"])
    text = xml.read_text(encoding="utf-8")
    xml.write_text('<!DOCTYPE a [<!ENTITY b "c">]>' + text.partition("?>")[2], encoding="utf-8")
    with pytest.raises(UnsafeInputError, match="entity or DTD"):
        open_cosmo(xml)
    xml.write_text(text[:4000], encoding="utf-8")
    with pytest.raises(MetadataError, match="is damaged XML"):
        open_cosmo(tmp_path)
    xml.write_text("<a/>", encoding="utf-8")
    with pytest.raises(MetadataError, match="must begin with HDF5Attributes, instead got a"):
        open_cosmo(xml)
    xml.write_text(text, encoding="utf-8")
    (tmp_path / f"{products['SCS'].path.stem}.S01.SBI.tif").unlink()
    with pytest.raises(MetadataError, match="holds no image"):
        open_cosmo(xml)
    with pytest.raises(InputError, match="tar archive, which is not read where it is; unpack it"):
        open_cosmo(tmp_path / "EL20230101.tgz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="must hold one product"):
        open_cosmo(tmp_path / "empty")


@pytest.mark.parametrize(
    ("second", "what"),
    [("left", "look side"), ("down", "pass"), ("CSG", "generation"), ("DGM", "level")],
)
def test_scenes_of_another_kind_are_not_paired(products, second, what):
    one, other = open_cosmo(products["SCS"].path), open_cosmo(products[second].path)
    with pytest.raises(InputError, match=f"must be of the {what} of the reference"):
        require_alike(one, other)
    with pytest.warns(UnlikePairWarning) as said:
        require_alike(one, other, force=True)
    assert f"must be of the {what} of the reference" in str(said[0].message)


def test_settings_of_other_missions_are_refused(products, tmp_path, cli):
    path = products["SCS"].path
    result = cli("prepare", path, "-o", tmp_path / "a.tif", "--orbits", "x.EOF")
    assert (result.code, "orbits is for products of Sentinel-1" in result.error) == (2, True), result.error
    result = cli("prepare", path, "-o", tmp_path / "a.tif", "--quantity", "gamma0")
    assert (result.code, "gamma0" in result.error) == (2, True), result.error
    result = cli("track", path, path, "-o", tmp_path / "b", "--orbits", "x.EOF")
    assert (result.code, "orbits is not for COSMO-SkyMed" in result.error) == (2, True), result.error
    assert not list(tmp_path.iterdir())


def test_an_area_must_lie_in_the_product(products, tmp_path, cli):
    result = cli("prepare", products["SCS"].path, "-o", tmp_path / "a.tif", "--aoi", "10,40,10.1,40.1")
    assert (result.code, "area of interest lies outside the product" in result.error) == (3, True), result.error
    with pytest.raises(ConfigError, match="layer"):
        CosmoConfig(layers="colour")
