"""What goes wrong with Sentinel-1 products: one sentence that names the file, the rule and what was found instead.

The numbers in the docstrings are those of the project's list of faults.
"""

from __future__ import annotations

import re
import shutil
import stat
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio

from products_s1 import Recipe, list_again, write_safe, write_tiff
from sensetrack.errors import (
    InputError,
    MetadataError,
    ProductNameError,
    UnsafeInputError,
)
from sensetrack.files.archive import open_members
from sensetrack.sentinel import open_sentinel1
from test_80_faults import at_most, tree

WINDOW = (slice(0, 4), slice(0, 4))


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    """A folder and a zip, never changed."""
    folder = tmp_path_factory.mktemp("products")
    return write_safe(folder), write_safe(folder, Recipe(), zipped=True, name=f"{Recipe().name}_"), folder


@pytest.fixture
def safe(products, tmp_path) -> Path:
    """A folder to break."""
    return Path(shutil.copytree(products[0], tmp_path / products[0].name))


@pytest.fixture
def zipped(products, tmp_path) -> Path:
    """A zip to break."""
    return Path(shutil.copy(products[1], tmp_path / f"{Recipe().name}.zip"))


def fails(cli, path: Path, *words: str, kind: type[Exception] = InputError) -> None:
    """Require that the command line and the library name a broken product, and that nothing changes."""
    before = tree(path.parent)
    result = cli("info", path)
    assert (result.code, result.out) == (3, ""), result.err
    assert path.name in result.error
    for word in words:
        assert word.lower() in result.error.lower()
    with pytest.raises(kind) as caught:
        read_all(path)
    assert words[0].lower() in str(caught.value).lower()
    assert tree(path.parent) == before


def read_all(path: Path) -> None:
    for swath in open_sentinel1(path).swaths.values():
        swath.read(*WINDOW)


def unreadable(path: Path, key: str = "iw1/vv") -> str:
    """Require that the pixels of a swath cannot be read, and return why."""
    swath = open_sentinel1(path).swath(key)
    with pytest.raises(InputError) as caught:
        swath.read(*WINDOW)
    assert caught.value.exit_code == 3
    return str(caught.value)


def one(safe: Path, pattern: str) -> Path:
    (found,) = sorted(safe.rglob(pattern))
    return found


def change(path: Path, pattern: str, new: str, count: int = 1) -> None:
    """Change the text of a file, which must have what is changed, and list it again in the manifest."""
    text = path.read_text()
    changed = re.sub(pattern, new, text, count=count, flags=re.DOTALL)
    assert changed != text
    path.write_text(changed)
    if path.name != "manifest.safe":
        safe = next(folder for folder in path.parents if folder.suffix == ".SAFE")
        list_again(safe, Recipe())


# ---------------------------------------------------------------------------------------------------------------------
# Archives and files


def test_a_zip_that_is_not_whole(cli, zipped):
    """12."""
    zipped.write_bytes(zipped.read_bytes()[: zipped.stat().st_size // 2])
    fails(cli, zipped, "not a complete zip")


def member(zipped: Path, pattern: str) -> zipfile.ZipInfo:
    with zipfile.ZipFile(zipped) as archive:
        return next(entry for entry in archive.infolist() if re.search(pattern, entry.filename))


def flip(zipped: Path, pattern: str) -> str:
    """Flip the bits of a byte in the middle of a member."""
    found = member(zipped, pattern)
    content = bytearray(zipped.read_bytes())
    content[found.header_offset + 30 + len(found.filename) + found.compress_size // 2] ^= 0xFF
    zipped.write_bytes(content)
    return found.filename


def test_a_member_with_a_wrong_checksum(cli, zipped):
    """13."""
    name = flip(zipped, r"annotation/s1a-iw1-slc-vh.*xml")
    fails(cli, zipped, "damaged", name)


def test_a_measurement_with_a_wrong_checksum_is_found_before_it_is_used(zipped):
    """13."""
    name = flip(zipped, r"measurement/s1a-iw2-slc-vv")
    told = unreadable(zipped, "iw2/vv")
    assert "damaged" in told
    assert name in told
    assert open_sentinel1(zipped).swath("iw1/vv").read(*WINDOW).any()


@pytest.mark.parametrize(("pattern", "key"), [("s1a-iw1-slc-vv-*.tiff", "iw1/vv"), ("s1a-iw2-slc-vh-*.xml", "iw2/vh")])
def test_a_checksum_of_the_manifest_that_differs(safe, pattern, key):
    """14: the file is kept."""
    path = one(safe, pattern)
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="checksum differs") as caught:
        open_sentinel1(safe).swath(key).read(*WINDOW)
    assert str(path) in str(caught.value)
    assert path.exists()


def test_a_checksum_of_the_manifest_that_differs_in_a_zip(products, tmp_path):
    """14."""
    safe = write_safe(tmp_path)
    path = one(safe, "s1a-iw1-slc-vv-*.tiff")
    values = np.ones((24, 41), np.complex64)
    write_tiff(path, values)
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for part in safe.rglob("*.*"):
            file.write(part, part.relative_to(tmp_path))
    assert "checksum differs" in unreadable(archive)


def test_a_measurement_that_was_written_anew_is_said(safe, caplog):
    """14: somebody packed it; it is whole, so it is read."""
    path = one(safe, "s1a-iw1-slc-vv-*.tiff")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path) as file:
            values, profile = file.read(), file.profile
        with rasterio.open(path, "w", **profile | {"compress": "deflate"}) as file:
            file.write(values)
    np.testing.assert_array_equal(open_sentinel1(safe).swath("iw1/vv").read(*WINDOW), values[0][WINDOW])
    assert "was written after manifest.safe" in caplog.text


def test_a_measurement_that_ends_early(safe):
    path = one(safe, "s1a-iw1-slc-vv-*.tiff")
    path.write_bytes(path.read_bytes()[:-600])
    told = unreadable(safe)
    assert path.name in told
    assert "truncated" in told or "damaged" in told


def test_a_zip_without_a_folder_around_the_product(tmp_path):
    """15."""
    path = write_safe(tmp_path, zipped=True, root=False)
    product = open_sentinel1(path)
    assert product.info.name == Recipe().name
    assert product.swath("iw1/vv").read(*WINDOW)[1, 1] == 1001 - 1j


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_measurements_that_are_empty_are_all_named(cli, safe, form):
    """16: what is known is told all the same."""
    names = sorted(path.name for path in safe.rglob("*.tiff"))
    for path in safe.rglob("*.tiff"):
        path.write_bytes(b"")
    if form == "zip":
        with zipfile.ZipFile(safe.with_suffix(".zip"), "w") as file:
            for part in safe.rglob("*.*"):
                file.write(part, part.relative_to(safe.parent))
        shutil.rmtree(safe)
        safe = safe.with_suffix(".zip")
    told = unreadable(safe)
    assert "empty (0 bytes)" in told
    assert len(names) == 4
    assert all(name in told for name in names)
    assert cli("info", safe).code == 0


def test_metadata_without_measurement(cli, safe):
    """17."""
    shutil.rmtree(safe / "measurement")
    assert "measurement/ is missing" in unreadable(safe)
    assert cli("info", safe).code == 0


def test_one_measurement_is_missing(safe):
    one(safe, "s1a-iw1-slc-vv-*.tiff").unlink()
    assert "the measurement of iw1/vv is missing" in unreadable(safe)


def test_a_product_without_manifest(cli, safe):
    """18."""
    (safe / "manifest.safe").unlink()
    fails(cli, safe, "no product")
    with pytest.raises(InputError, match="holds no product"):
        open_sentinel1(safe)


def test_a_product_without_annotation(cli, safe):
    for path in safe.glob("annotation/*.xml"):
        path.unlink()
    fails(cli, safe, "no annotation of a swath", kind=MetadataError)


def test_two_products_in_one_zip(cli, zipped):
    """19."""
    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr("OTHER.SAFE/manifest.safe", "<x/>")
    fails(cli, zipped, "must hold one product, instead got 2", "OTHER.SAFE")


def test_any_name_of_the_zip(zipped):
    """20."""
    for name in (f"{Recipe().name}.SAFE.zip", "mine; {and $(touch PWNED)} it.zip"):
        zipped = zipped.rename(zipped.with_name(name))
        assert open_sentinel1(zipped).swath("iw1/vv").read(*WINDOW)[1, 1] == 1001 - 1j
    assert not Path("PWNED").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("number>A", "number>E", "satellite must be one of S1A, S1B, S1C, S1D, instead got 'S1E'"),
        ("mode>IW", "mode>WV", "mode must be one of IW, EW, SM, instead got 'WV'"),
        ("Type>SLC", "Type>OCN", "product must be one of SLC, GRD, instead got 'OCN'"),
    ],
)
def test_unknown_satellites_and_kinds(cli, safe, old, new, words):
    """21."""
    change(safe / "manifest.safe", old, new)
    fails(cli, safe, words, kind=ProductNameError)


def test_a_zip_with_a_password(cli, zipped):
    """23."""
    content = bytearray(zipped.read_bytes())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := content.find(signature, at + 1)) >= 0:
            content[at + place] |= 1
    zipped.write_bytes(content)
    fails(cli, zipped, "password")


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil.txt", "C:\\evil.txt"])
def test_a_member_that_leads_out(cli, zipped, name):
    """24."""
    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr(name, "x")
    fails(cli, zipped, "leads out of the product", "evil.txt", kind=UnsafeInputError)


def test_a_member_that_is_a_link(cli, zipped):
    """24."""
    entry = zipfile.ZipInfo("link.tiff")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr(entry, "/etc/passwd")
    fails(cli, zipped, "symbolic link", "link.tiff", kind=UnsafeInputError)


def test_a_manifest_that_leads_out(cli, safe):
    """24."""
    change(safe / "manifest.safe", r"href='\./annotation", "href='../../annotation")
    fails(cli, safe, "leads out of the product", kind=UnsafeInputError)


def test_a_bomb_is_refused_before_it_is_unpacked(zipped):
    """25."""
    with zipfile.ZipFile(zipped, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("bomb.tiff", "w") as file:
        for _ in range(40):
            file.write(bytes(2**20))
    tracemalloc.start()
    with pytest.raises(UnsafeInputError, match=r"bomb\.tiff.*like a zip bomb"):
        open_members(zipped)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 2**20


def test_too_many_members_and_nested_archives(cli, tmp_path):
    """26."""
    path = tmp_path / f"{Recipe().name}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{number}", "")
    with at_most(5):
        fails(cli, path, "at most 10000", "20000", kind=UnsafeInputError)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inner.zip", "x")
    fails(cli, path, "another archive", "inner.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_twice_and_control_characters(cli, zipped):
    """27."""
    good = zipped.read_bytes()
    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr("twice.txt", "x")
        archive.writestr("twice.txt", "y")
    fails(cli, zipped, "'twice.txt' twice")
    zipped.write_bytes(good)
    entry = zipfile.ZipInfo("placeholder")
    entry.filename = "new\nline"
    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr(entry, "x")
    fails(cli, zipped, "control characters", r"new\nline", kind=UnsafeInputError)


def test_a_measurement_that_changes_while_it_is_read(safe):
    """28."""
    path = one(safe, "s1a-iw1-slc-vv-*.tiff")
    swath = open_sentinel1(safe).swath("iw1/vv")
    assert swath.read(*WINDOW).any()
    with path.open("r+b") as file:
        file.truncate(300)
    with pytest.raises(InputError, match="is truncated or damaged") as caught:
        swath.read(slice(20, 24), slice(0, 41))
    assert str(path) in str(caught.value)


def test_a_header_that_claims_more_than_the_annotation(safe):
    """33: nothing is allocated."""
    path = one(safe, "s1a-iw1-slc-vv-*.tiff")
    profile = {"driver": "GTiff", "count": 1, "dtype": "complex_int16", "height": 60_000, "width": 60_000}
    profile |= {"tiled": True, "blockxsize": 4096, "blockysize": 4096, "compress": "deflate", "SPARSE_OK": True}
    with warnings.catch_warnings(), rasterio.Env(GDAL_PAM_ENABLED="NO"):
        warnings.simplefilter("ignore")
        rasterio.open(path, "w", **profile).close()
    tracemalloc.start()
    told = unreadable(safe)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "must have 24 x 41 pixels as its annotation says, instead got 60000 x 60000 pixels" in told
    assert peak < 50 * 2**20


def test_a_constant_image_of_real_size_is_read_in_windows(tmp_path):
    """34."""
    recipe = Recipe(product="GRD", swaths=("IW",), polarisations=("VV",), letters="SV", lines=16_685, samples=25_788)
    small = Recipe(product="GRD", swaths=("IW",), polarisations=("VV",), letters="SV", lines=30)
    safe = write_safe(tmp_path, small)
    annotation = one(safe, "annotation/s1a-iw-grd-vv-*.xml")
    text = annotation.read_text().replace("Samples>41", "Samples>25788").replace("Lines>30", "Lines>16685")
    annotation.write_text(text)
    path = one(safe, "*.tiff")
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint16", "height": recipe.lines, "width": recipe.samples}
    with warnings.catch_warnings(), rasterio.Env(GDAL_PAM_ENABLED="NO"):
        warnings.simplefilter("ignore")
        rasterio.open(path, "w", **profile, SPARSE_OK=True, nodata=1, blockysize=1, compress="deflate").close()
    list_again(safe, small)
    swath = open_sentinel1(safe).swath("iw/vv")
    tracemalloc.start()
    assert (swath.read(slice(16_000, 16_512), slice(25_000, 25_512)) == 1).all()
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("kind", ["float32", "int16"])
def test_a_measurement_of_another_type(safe, kind):
    write_tiff(one(safe, "s1a-iw1-slc-vv-*.tiff"), np.ones((24, 41), kind))
    list_again(safe, Recipe())
    assert f"pixels must be complex_int16 or complex64, instead got {kind}" in unreadable(safe)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<VRTDataset rasterXSize='4' rasterYSize='4'></VRTDataset>", "driver VRT not allowed"),
        (b"<!DOCTYPE html><html>login</html>", "HTML page"),
        (b"nothing at all", "of no kind that is known here"),
    ],
)
def test_a_measurement_that_is_no_geotiff(safe, zipped, content, words):
    """5, 31: a description that points elsewhere is never followed."""
    one(safe, "s1a-iw1-slc-vv-*.tiff").write_bytes(content)
    list_again(safe, Recipe())
    if zipped:
        with zipfile.ZipFile(safe.with_suffix(".zip"), "w") as file:
            for part in safe.rglob("*.*"):
                file.write(part, part.relative_to(safe.parent))
        safe = safe.with_suffix(".zip")
    assert words in unreadable(safe)
