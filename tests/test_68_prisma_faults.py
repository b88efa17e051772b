"""PRISMA and HDF5 files that are not as they should be: named, refused, and nothing is written."""

from __future__ import annotations

import json
import resource
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from sensetrack.errors import InputError, MetadataError, MissingMaskWarning, NameMismatchWarning, UnsafeInputError
from sensetrack.files.hdf5 import Hdf5
from sensetrack.prisma import open_prisma
from sensetrack.prisma.simulate import PrismaRecipe, Waves, write_product
from test_80_faults import HTML, tree

HCO, PCO = "HDFEOS/SWATHS/PRS_L2D_HCO", "HDFEOS/SWATHS/PRS_L2D_PCO"
RECIPE = PrismaRecipe(shape=(24, 29), padded=False)


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> bytes:
    return write_product(tmp_path_factory.mktemp("prisma"), Waves(number=3), RECIPE).read_bytes()


@pytest.fixture
def product(tmp_path, content) -> Path:
    path = tmp_path / f"{RECIPE.name}.he5"
    path.write_bytes(content)
    return path


def require_refused(cli, path: Path, *words: str, code: int = 3, options=()) -> None:
    """`prepare` fails as promised and leaves nothing behind; the file is named."""
    before = tree(path.parent)
    result = cli("prepare", path, "-o", path.parent / "out", *options)
    assert result.code == code, result.err
    assert result.error.startswith(f"sensetrack: error: {path}"), result.error
    for word in words:
        assert word in result.error, result.error
    assert tree(path.parent) == before


def external_link(file):
    file["HDFEOS/more"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_loop(file):
    file["a"], file["b"] = h5py.SoftLink("/b"), h5py.SoftLink("/a")


def dangling(file):
    file[f"{HCO}/Data Fields/More"] = h5py.SoftLink("/nowhere")


def circle(file):
    file.require_group("HDFEOS")["again"] = file["/"]


def external_storage(file):
    file.create_dataset("x", (10,), "u1", external=[("/etc/passwd", 0, 10)])


def virtual(file):
    layout = h5py.VirtualLayout((10,), "u1")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (10,))
    file.create_virtual_dataset("x", layout)


def bomb(file):
    file.create_dataset("x", (60_000, 60_000, 8), "u1", chunks=(512, 512, 1))


def large_chunk(file):
    file.create_dataset("x", (2**31,), "u1", chunks=(2**31 - 1,))


HOSTILE = (
    (external_link, "external data not allowed"), (soft_loop, "not allowed"), (dangling, "not allowed"),
    (circle, "circle"), (external_storage, "external data not allowed"), (virtual, "external data not allowed"),
    (bomb, "declares 28800000000 bytes"), (large_chunk, "bytes"),
)  # fmt: skip


@pytest.mark.parametrize(("attack", "words"), HOSTILE, ids=lambda item: getattr(item, "__name__", ""))
@pytest.mark.parametrize("whole", [True, False])
def test_files_that_lead_elsewhere_or_promise_too_much_are_refused(cli, tmp_path, product, attack, words, whole):
    """74, 75. In a product, and in a file of its own."""
    path = product if whole else tmp_path / "bare.h5"
    with h5py.File(path, "a") as file:
        attack(file)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UnsafeInputError, match=words):
        Hdf5.open(path)
    require_refused(cli, path, words)
    told = cli("info", path, "--json")
    assert told.code == 3
    assert words in told.error
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < most + 100_000  # kB


def test_soft_links_to_what_is_there_are_harmless(product):
    with h5py.File(product, "a") as file:
        file["HDFEOS/alias"] = h5py.SoftLink("/HDFEOS/SWATHS")
    assert "HDFEOS/alias" not in Hdf5.open(product)
    assert np.isfinite(open_prisma(product).image("VNIR20").image).all()


@pytest.mark.parametrize(
    ("name", "made", "words"),
    [
        ("empty.he5", lambda c: b"", "empty file (0 bytes)"),
        ("page.he5", lambda c: HTML, "HTML page"),
        ("json.he5", lambda c: b'{"error": "quota"}', "JSON"),
        ("half.he5", lambda c: c[: len(c) // 2], "truncated"),
        ("nearly.he5", lambda c: c[: len(c) * 99 // 100], "truncated"),
        ("head.he5", lambda c: c[:40], "damaged"),
        ("other.he5", lambda c: b"PK\x03\x04" + bytes(80), "zip"),
    ],
)
def test_files_that_are_none_or_not_whole_are_named(cli, tmp_path, content, name, made, words):
    """3, 5, 71."""
    path = tmp_path / name
    path.write_bytes(made(content))
    require_refused(cli, path, words)


def test_a_damaged_chunk_is_named_with_its_dataset(cli, tmp_path):
    """71."""
    path = write_product(tmp_path, Waves(number=3), replace(RECIPE, chunks="band"))
    name = f"{HCO}/Data Fields/VNIR_Cube"
    with h5py.File(path) as file:
        found = file[name].id.get_chunk_info_by_coord((0, 30, 0))
        offset = found.byte_offset
    content = bytearray(path.read_bytes())
    content[offset + 12 : offset + 40] = bytes(28)
    path.write_bytes(content)
    require_refused(cli, path, name, "damaged", options=("--band", "VNIR31"))
    assert cli("prepare", path, "-o", tmp_path / "out", "--band", "PAN").code == 0


def test_a_filter_that_is_not_there_is_named_by_its_number(cli, product):
    """76."""
    with h5py.File(product, "a") as file:
        values = file[f"{PCO}/Data Fields/Cube"][()]
        del file[f"{PCO}/Data Fields/Cube"]
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_chunk(values.shape)
        made.set_filter(32_099, h5py.h5z.FLAG_OPTIONAL, (1,))
        space = h5py.h5s.create_simple(values.shape)
        group = file[f"{PCO}/Data Fields"].id
        h5py.h5d.create(group, b"Cube", h5py.h5t.STD_U16LE, space, made).write(space, space, values)
    require_refused(cli, product, "filter 32099", "Data Fields/Cube")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("Processing_Level", None, ("Processing_Level is missing",)),
        ("Processing_Level", "3", ("L1, L1G, L2B, L2C, L2D", "'3'")),
        ("Product_StartTime", None, ("Product_StartTime is missing",)),
        ("Product_StopTime", "yesterday", ("ISO 8601", "yesterday")),
        ("List_Cw_Vnir", None, ("List_Cw_Vnir is missing",)),
        ("List_Cw_Swir", np.zeros(173, "f4"), ("List_Cw_Swir", "no wavelength")),
        ("List_Cw_Swir", np.zeros(7, "f4"), ("List_Cw_Swir", "173 finite numbers")),
        ("List_Cw_Vnir", np.full(66, np.nan, "f4"), ("List_Cw_Vnir", "finite")),
        ("L2ScalePanMin", None, ("L2ScalePanMin is missing",)),
        ("L2ScalePanMax", np.float32(-1), ("L2ScalePanMax must be above",)),
        ("L2ScalePanMax", b"bright", ("L2ScalePanMax must be a number", "bright")),
        ("L2ScalePanMin", np.array([1, 2], "f4"), ("L2ScalePanMin must be 1 finite number",)),
        ("Epsg_Code", None, ("Epsg_Code is missing",)),
        ("Epsg_Code", np.uint32(99_999), ("Epsg_Code", "99999")),
        ("Epsg_Code", np.uint32(4326), ("Epsg_Code", "projected")),
        ("Epsg_Code", np.uint32(32633), ("do not lie on a grid",)),
    ],
)
def test_attributes_that_are_missing_or_of_another_kind_are_named(cli, product, key, value, words):
    """72."""
    with h5py.File(product, "a") as file:
        del file.attrs[key]
        if value is not None:
            file.attrs[key] = value
    require_refused(cli, product, *words)


@pytest.mark.parametrize(
    ("key", "same"),
    [
        ("Epsg_Code", b"32632"), ("Epsg_Code", "32632"), ("Epsg_Code", np.array([32632], "u4")),
        ("Processing_Level", np.array([b"2D"])), ("L2ScalePanMax", np.array([1.103], "f8")),
        ("Product_StartTime", "2020-08-13T10:30:56.480000"),
    ],
)  # fmt: skip
def test_bytes_and_text_a_number_and_an_array_of_one_are_the_same(product, key, same):
    """72."""
    before = open_prisma(product).image().image
    with h5py.File(product, "a") as file:
        del file.attrs[key]
        file.attrs[key] = same
    np.testing.assert_allclose(open_prisma(product).image().image, before, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "words", "band"),
    [
        (f"{PCO}/Data Fields/Cube", "Data Fields/Cube is missing", "PAN"),
        (f"{HCO}/Data Fields/VNIR_Cube", "no cube VNIR", "VNIR20"),
        (HCO, "no cube SWIR", "SWIR20"),
        ("HDFEOS/SWATHS", "PRS_L2D_HCO and HDFEOS/SWATHS/PRS_L2D_PCO are missing", "PAN"),
    ],
)
def test_groups_and_datasets_that_are_missing_are_named(cli, product, name, words, band):
    """72, 73."""
    with h5py.File(product, "a") as file:
        del file[name]
    code = 2 if "no cube" in words else 3
    require_refused(cli, product, words, options=("--band", band), code=code)


def test_datasets_of_other_shapes_are_named(cli, product):
    name = f"{PCO}/Data Fields/PIXEL_L2_ERR_MATRIX"
    with h5py.File(product, "a") as file:
        del file[name]
        file[name] = np.zeros((7, 9), "u1")
        del file[f"{HCO}/Data Fields/SWIR_Cube"]
    require_refused(cli, product, name, "(144, 174)", "(7, 9)")
    with h5py.File(product, "a") as file:
        del file[name]
    with pytest.warns(MissingMaskWarning, match="PIXEL_L2_ERR_MATRIX is missing"):
        open_prisma(product).band()
    with h5py.File(product, "a") as file:
        del file[f"{HCO}/Data Fields/VNIR_Cube"]
        file[f"{HCO}/Data Fields/VNIR_Cube"] = np.zeros((24, 29), "u2")
    require_refused(cli, product, "three axes")


def test_places_that_are_no_grid_or_no_places_are_refused(cli, product, tmp_path):
    with h5py.File(product, "a") as file:
        lat = file[f"{PCO}/Geolocation Fields/Latitude"]
        middle = lat[()].mean()
        lat[()] = middle + (lat[()] - middle) * 1.05
    require_refused(cli, product, "do not lie on a grid of 5 m")
    (tmp_path / "b").mkdir()
    swath = write_product(tmp_path / "b", Waves(number=3), replace(RECIPE, level="L2B"))
    with h5py.File(swath, "a") as file:
        file[f"{PCO.replace('2D', '2B')}/Geolocation Fields/Latitude"][:, 40:] = -999
    require_refused(cli, swath, "no places")
    with h5py.File(swath, "a") as file:
        del file[f"{PCO.replace('2D', '2B')}/Geolocation Fields"]
    require_refused(cli, swath, "Geolocation Fields is missing")


def test_rational_polynomials_that_are_not_of_the_image_are_refused(tmp_path):
    path = write_product(tmp_path, Waves(number=3), replace(RECIPE, level="L2C"))
    with h5py.File(path, "a") as file:
        file["HDFEOS/SWATHS/PRS_L2C_PCO/Geocoding Model"].attrs["LONG_OFF"] += 0.01
        del file["HDFEOS/SWATHS/PRS_L2C_HCO/Geocoding Model"].attrs["LINE_DEN_COEFF"]
    with pytest.raises(MetadataError, match="more than 3"):
        open_prisma(path).rpc("PAN")
    with pytest.raises(MetadataError, match="LINE_DEN_COEFF is missing"):
        open_prisma(path).rpc("VNIR")


def test_names_that_contradict_the_metadata_warn(product):
    """81."""
    other = product.rename(product.with_name("PRS_L2C_STD_20200913103056_20200913103100_0001.he5"))
    with pytest.warns(NameMismatchWarning, match=r"level L2C \(metadata: L2D\), start 2020-09-13"):
        assert open_prisma(other).level == "L2D"


def test_archives_are_read_where_they_are_or_refused(cli, tmp_path, content, product):
    name = product.name
    good = tmp_path / "good.zip"
    with zipfile.ZipFile(good, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"folder/{name}", content)
    np.testing.assert_array_equal(open_prisma(good).image().image, open_prisma(product).image().image)
    for bad, members, words in (
        ("two.zip", [name, f"b/{name}"], "must hold one HDF5 file"),
        ("slip.zip", [f"../{name}"], "leads out of the product"),
    ):
        with zipfile.ZipFile(tmp_path / bad, "w") as archive:
            for member in members:
                archive.writestr(member, content)
        require_refused(cli, tmp_path / bad, words)
    broken = tmp_path / "broken.zip"
    with zipfile.ZipFile(broken, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(name, content)
    packed = bytearray(broken.read_bytes())
    packed[len(packed) // 2] ^= 255
    broken.write_bytes(packed)
    require_refused(cli, broken, name, "damaged")


def test_hdf5_of_other_kinds_is_told_apart_and_its_structure_shown(cli, tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("g/x", data=np.arange(6).reshape(2, 3)).attrs["unit"] = "m"
        file.attrs["none"] = h5py.Empty("f4")
    require_refused(cli, path, "not a product of")
    told = cli("info", path, "--json")
    assert told.code == 0
    found = json.loads(told.out)
    assert found["structure"]["/g/x"] == {"shape": [2, 3], "dtype": "int64", "attributes": {"unit": "m"}}
    assert "problem" in found
    assert cli("info", path).code == 3


def test_pairs_that_make_no_sense_are_refused(cli, tmp_path, product):
    """49, 77, 82: numbers of bands, the same product twice."""
    for options, words in (
        (("--band", 1), ("have names", "--band PAN")),
        (("--band", "VNIR99"), ("VNIR1 to VNIR66",)),
        (("--nodata", 0), ("leave it out",)),
    ):
        result = cli("track", product, product, "-o", tmp_path / "out", *options)
        assert result.code == 2
        assert result.error.startswith(f"sensetrack: error: {product}: "), result.error
        for word in words:
            assert word in result.error
    assert cli("track", product, product, "-o", tmp_path / "out", "--band", "VNIR").code == 2
    assert not (tmp_path / "out").exists()


def test_reading_leaves_no_trace(product):
    before = tree(product.parent)
    opened = open_prisma(product)
    opened.describe()
    opened.image("850nm").image  # noqa: B018
    opened.file.close()
    assert tree(product.parent) == before
    with pytest.raises(InputError, match="truncated or damaged"):
        opened.file.read(f"{PCO}/Data Fields/Cube")
