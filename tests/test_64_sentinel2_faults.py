"""What goes wrong with Sentinel-2 products: one sentence that names the file, the rule and what was found instead.

The numbers in the docstrings are those of the project's list of faults.
"""

from __future__ import annotations

import re
import shutil
import socket
import stat
import struct
import threading
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from sensetrack.errors import InputError, MetadataError, NameMismatchWarning, SenseTrackError, UnsafeInputError
from sensetrack.files.archive import open_members
from sensetrack.files.markup import parse_xml
from sensetrack.sentinel import open_sentinel2
from sensetrack.sentinel.simulate_s2 import S2Recipe, write_product
from test_64_sentinel2 import LATER, SHAPE
from test_80_faults import at_most, follow, no_picture, refuse, tree  # noqa: F401  the fixture is used by all
from truth import arrays

PIXELS = {"B08": (0.2 + 0.03 * arrays(SHAPE, seed=4)[0]).astype(np.float32)}


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    """One product, as a folder and as a zip, never changed."""
    folder = tmp_path_factory.mktemp("products")
    return write_product(folder, PIXELS, S2Recipe()), write_product(folder, PIXELS, S2Recipe(sensed=LATER), zipped=True)


@pytest.fixture
def safe(products, tmp_path) -> Path:
    """A folder to break."""
    return Path(shutil.copytree(products[0], tmp_path / products[0].name))


@pytest.fixture
def zipped(products, tmp_path) -> Path:
    """A zip to break."""
    return Path(shutil.copy(products[1], tmp_path))


def fails(cli, path: Path, *words: str, good: Path, code: int = 3) -> None:
    """Require that `track`, `prepare` and `info` name a broken product and leave nothing behind."""
    line = refuse(cli, path.parent, path, good, code=code, words=words)
    assert path.name in line
    refuse(cli, path.parent, good, path, code=code, words=words)
    before = tree(path.parent)
    for command in (("prepare", path, "-o", path.parent / "out"), ("info", path)):
        result = cli(*command)
        assert (result.code, result.out) == (code, ""), result.err
        for word in words:
            assert word.lower() in result.error.lower()
    assert tree(path.parent) == before


def unlist(safe: Path) -> None:
    """Take the checksums out of the manifest, so that only content decides."""
    (safe / "manifest.safe").write_text("<xfdu/>")


def rewrite(path: Path, change) -> None:
    """Write a zip anew: `change(archive, name, content)` writes each member."""
    with zipfile.ZipFile(path) as archive:
        content = {entry.filename: archive.read(entry) for entry in archive.infolist() if not entry.is_dir()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, held in content.items():
            change(archive, name, held)


def keep(archive, name, content):
    archive.writestr(name, content)


# ---------------------------------------------------------------------------------------------------------------------
# Archives


def test_a_zip_that_is_not_whole(cli, products, zipped):
    """12."""
    content = zipped.read_bytes()
    zipped.write_bytes(content[: len(content) // 2])
    fails(cli, zipped, "not a complete zip", good=products[0])


def member(zipped: Path, pattern: str) -> zipfile.ZipInfo:
    with zipfile.ZipFile(zipped) as archive:
        return next(entry for entry in archive.infolist() if re.search(pattern, entry.filename))


@pytest.mark.parametrize("pattern", [r"B08\.jp2", r"MTD_TL\.xml"])
def test_a_member_with_a_wrong_checksum(cli, products, zipped, pattern):
    """13."""
    found = member(zipped, pattern)
    content = bytearray(zipped.read_bytes())
    content[found.header_offset + 30 + len(found.filename) + found.compress_size // 2] ^= 0xFF
    zipped.write_bytes(content)
    refuse(cli, zipped.parent, zipped, products[0], code=3, words=("damaged", found.filename), path=zipped)
    assert cli("prepare", zipped, "-o", zipped.parent / "o").code == 3
    assert not (zipped.parent / "o").exists()


@pytest.mark.parametrize("suffix", [r"B08\.jp2", r"MSK_DETFOO_B08\.jp2", r"MTD_MSIL1C\.xml"])
def test_a_checksum_of_the_manifest_that_differs(cli, products, safe, suffix):
    """14."""
    manifest = safe / "manifest.safe"
    text = manifest.read_text()
    manifest.write_text(re.sub(rf'({suffix}"/><checksum checksumName="SHA3-256">)\w{{8}}', r"\g<1>00000000", text))
    assert manifest.read_text() != text
    refuse(cli, safe.parent, safe, products[1], code=3, words=("checksum differs", "manifest.safe says 00000000"))


def test_the_old_checksum_of_a_manifest_and_a_size_that_differs(cli, products, tmp_path):
    """14."""
    safe = write_product(tmp_path, PIXELS, S2Recipe(baseline="02.12"))
    assert 'checksumName="MD5"' in (safe / "manifest.safe").read_text()
    assert open_sentinel2(safe).image().valid.all()
    (image,) = safe.glob("GRANULE/*/IMG_DATA/*.jp2")
    content = image.read_bytes()
    image.write_bytes(content[:-100])
    words = (f"{len(content) - 100} bytes long", f"manifest.safe says {len(content)}")
    refuse(cli, tmp_path, safe, products[1], code=3, words=words, path=image)


def test_a_checksum_file_beside_the_zip(cli, products, zipped):
    """14."""
    zipped.with_name(f"{zipped.name}.md5").write_text("0" * 32)
    fails(cli, zipped, "checksum differs", good=products[0])


def test_a_zip_without_a_folder_around_the_product(products, zipped):
    """15."""
    rewrite(zipped, lambda archive, name, content: archive.writestr(name.partition("/")[2], content))
    assert open_sentinel2(zipped).image().valid.all()


def test_an_image_that_is_empty(cli, products, tmp_path):
    """16: all of them are named."""
    safe = write_product(tmp_path, PIXELS | {"B04": PIXELS["B08"]}, S2Recipe())
    images = sorted(safe.glob("GRANULE/*/IMG_DATA/*.jp2"))
    for image in images:
        image.write_bytes(b"")
    words = ("empty (0 bytes)", images[0].name, images[1].name)
    refuse(cli, tmp_path, safe, products[1], code=3, words=words, path=safe)


def test_metadata_without_images(cli, products, safe):
    """17: what is known is told, but there is nothing to track."""
    (images,) = safe.glob("GRANULE/*/IMG_DATA")
    shutil.rmtree(images)
    refuse(cli, safe.parent, safe, products[1], code=3, words=("IMG_DATA is missing",), path=safe)
    assert cli("info", safe).code == 0


def test_a_product_without_manifest(cli, products, safe):
    """18."""
    (safe / "manifest.safe").unlink()
    fails(cli, safe, "no manifest.safe", good=products[1])


def test_two_products_in_one_zip(cli, products, zipped):
    """19."""

    def twice(archive, name, content):
        archive.writestr(name, content)
        archive.writestr(f"OTHER.SAFE/{name.partition('/')[2]}", content)

    rewrite(zipped, twice)
    fails(cli, zipped, "must hold one product, instead got 2", "OTHER.SAFE", good=products[0])


@pytest.mark.parametrize(
    ("files", "words"),
    [({"readme.txt": "x"}, ("holds no product",)), ({"inner.zip": "x"}, ("another archive", "inner.zip"))],
)
def test_a_zip_of_something_else(cli, products, tmp_path, files, words):
    """7, 26."""
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    fails(cli, path, *words, good=products[0])


def test_a_product_of_another_mission(cli, products, tmp_path):
    path = tmp_path / "S3A_OL_1_EFR.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("S3A.SAFE/manifest.safe", "<x/>")
    fails(cli, path, "not of Sentinel-1 or Sentinel-2", good=products[0])


def test_a_zip_with_a_password(cli, products, zipped):
    """23."""
    content = bytearray(zipped.read_bytes())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := content.find(signature, at + 1)) >= 0:
            content[at + place] |= 1
    zipped.write_bytes(content)
    fails(cli, zipped, "password", good=products[0])


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil.txt", "a/../../evil.txt", "C:\\evil.txt", "c:/evil.txt"])
def test_a_member_that_leads_out(cli, products, zipped, name):
    """24."""
    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr(name, "x")
    fails(cli, zipped, "leads out of the product", "evil.txt", good=products[0])


def test_a_member_that_is_a_link(cli, products, zipped):
    """24."""
    entry = zipfile.ZipInfo("link.xml")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr(entry, "/etc/passwd")
    fails(cli, zipped, "link.xml", "symbolic link", good=products[0])


def test_a_bomb_is_refused_before_it_is_unpacked(cli, products, zipped):
    """25."""
    with zipfile.ZipFile(zipped, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("bomb.bin", "w") as file:
        for _ in range(40):
            file.write(bytes(2**20))
    tracemalloc.start()
    with pytest.raises(UnsafeInputError, match=r"bomb\.bin.*like a zip bomb"):
        open_members(zipped)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 2**20
    fails(cli, zipped, "zip bomb", good=products[0])


def test_a_member_that_lies_about_its_size(cli, products, zipped):
    """25."""
    found = member(zipped, r"B08\.jp2")
    content = zipped.read_bytes()
    true = struct.pack("<I", found.file_size)
    assert content.count(true) == 2
    zipped.write_bytes(content.replace(true, struct.pack("<I", found.file_size // 2)))
    refuse(cli, zipped.parent, zipped, products[0], code=3, words=(zipped.name,))


def test_too_many_members(cli, products, tmp_path):
    """26."""
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{number}", "")
    with at_most(5):
        refuse(cli, tmp_path, path, products[0], code=3, words=("at most 10000", "20000"), path=path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice(cli, products, zipped):
    """27."""
    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr("twice.txt", "x")
        archive.writestr("twice.txt", "y")
    fails(cli, zipped, "'twice.txt' twice", good=products[0])


@pytest.mark.parametrize(("name", "shown"), [("new\nline", r"new\nline"), ("bell\a", r"bell\x07"), ("nul\0x", "x00")])
def test_control_characters_in_a_name(cli, products, zipped, name, shown):
    """27."""
    entry = zipfile.ZipInfo("placeholder")
    entry.filename = name
    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr(entry, "x")
    line = refuse(cli, zipped.parent, zipped, products[0], code=3, words=("control characters",), path=zipped)
    assert shown in line
    assert "\n" not in line


def test_an_image_that_changes_while_it_is_read(products, safe):
    """28."""
    (image,) = safe.glob("GRANULE/*/IMG_DATA/*.jp2")
    product = open_sentinel2(safe)
    scene = product.image()
    content = image.read_bytes()
    with image.open("r+b") as file:  # the same file, so that the open one changes
        file.truncate(len(content) // 3)
    with pytest.raises(InputError, match="is truncated or damaged") as caught:
        scene.image  # noqa: B018
    assert str(image) in str(caught.value)
    image.unlink()
    with pytest.raises(InputError, match="not found any more"):
        product.image()


# ---------------------------------------------------------------------------------------------------------------------
# XML


@pytest.mark.parametrize("name", ["manifest.safe", "MTD_MSIL1C.xml", "MTD_TL.xml"])
@pytest.mark.parametrize(
    "prolog",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:{port}/x.dtd">',
    ],
)
def test_entities_and_dtds_are_forbidden(cli, products, safe, name, prolog):
    """78."""
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]

        def listen():
            with suppress(TimeoutError):
                asked.append(server.accept())

        listener = threading.Thread(target=listen)
        listener.start()
        (path,) = safe.rglob(name)
        text = path.read_text()
        path.write_text(text.replace("?>\n", "?>\n" + prolog.replace("{port}", str(port)), 1))
        with at_most(1):
            refuse(cli, safe.parent, safe, products[1], code=3, words=("forbidden entity or DTD",), path=path)
        listener.join()
    assert not asked


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[: len(text) // 2], ("damaged XML", "line")),
        (lambda text: text.replace(b"</n1:General_Info>", b"</oops>"), ("damaged XML", "mismatched tag", "line")),
        (lambda text: b"<!DOCTYPE html><html>Sign in</html>", ("HTML page", "login")),
        (lambda text: b"", ("empty",)),
        (lambda text: b"\xff\xfe\x00" + text, ("XML",)),
        (lambda text: text.replace(b"UTF-8", b"UTF-99"), ("XML",)),
        (lambda text: text.replace(b"UTF-8", b"UTF-16"), ("XML",)),
        (lambda text: text.replace(b"<n1:General_Info>", b"<n1:General_Info>\xfc\xfc"), ("damaged XML", "line 3")),
    ],
)
@pytest.mark.parametrize("name", ["MTD_MSIL1C.xml", "MTD_TL.xml"])
def test_damaged_xml_names_the_file_and_the_line(safe, name, change, words):
    """79."""
    (path,) = safe.rglob(name)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(MetadataError) as caught:
        open_sentinel2(safe)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    for word in words:
        assert word in message
    assert "missing" not in message


def test_an_xml_that_is_too_large():
    with pytest.raises(UnsafeInputError, match="at most 67108864 bytes, instead got 67108865"):
        parse_xml(bytes(64 * 2**20 + 1), "x.xml")


TAGS = [
    ("MTD_MSIL1C.xml", "SPACECRAFT_NAME"),
    ("MTD_MSIL1C.xml", "PROCESSING_LEVEL"),
    ("MTD_MSIL1C.xml", "PROCESSING_BASELINE"),
    ("MTD_MSIL1C.xml", "SENSING_ORBIT_NUMBER"),
    ("MTD_MSIL1C.xml", "DATATAKE_SENSING_START"),
    ("MTD_MSIL1C.xml", "QUANTIFICATION_VALUE"),
    ("MTD_MSIL1C.xml", "IMAGE_FILE"),
    ("MTD_MSIL1C.xml", "EXT_POS_LIST"),
    ("MTD_TL.xml", "TILE_ID"),
    ("MTD_TL.xml", "SENSING_TIME"),
    ("MTD_TL.xml", "HORIZONTAL_CS_CODE"),
    ("MTD_TL.xml", "Geoposition"),
    ("MTD_TL.xml", "Mean_Sun_Angle"),
    ("MTD_TL.xml", "Sun_Angles_Grid"),
]


@pytest.mark.parametrize(("name", "tag"), TAGS)
def test_a_tag_that_is_missing_is_named(safe, name, tag):
    """22."""
    (path,) = safe.rglob(name)
    text = path.read_text()
    path.write_text(text.replace(f"<{tag}", "<gone").replace(f"</{tag}>", "</gone>"))
    with pytest.raises(MetadataError, match=rf"{tag}.* missing"):
        open_sentinel2(safe)


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("MTD_MSIL1C.xml", ">Sentinel-2A<", ">Sentinel-2Z<", ("SPACECRAFT_NAME", "Sentinel-2C", "Sentinel-2Z")),
        ("MTD_MSIL1C.xml", ">Level-1C<", ">Level-1B<", ("PROCESSING_LEVEL", "Level-1B")),
        ("MTD_MSIL1C.xml", ">65<", ">sixty<", ("SENSING_ORBIT_NUMBER", "sixty")),
        ("MTD_MSIL1C.xml", ">65<", ">6.5<", ("SENSING_ORBIT_NUMBER", "6.5")),
        ("MTD_MSIL1C.xml", ">10000<", ">0<", ("QUANTIFICATION_VALUE", "above 0")),
        ("MTD_MSIL1C.xml", ">10000<", ">NaN<", ("QUANTIFICATION_VALUE", "NaN")),
        ("MTD_MSIL1C.xml", 'band_id="7">-1000<', 'band_id="7">many<', ("RADIO_ADD_OFFSET", "many")),
        ("MTD_MSIL1C.xml", 'band_id="7"', 'band_id="6"', ("RADIO_ADD_OFFSET", "missing for B08")),
        ("MTD_MSIL1C.xml", 'band_id="7"', 'band_id="70"', ("band_id", "70")),
        ("MTD_MSIL1C.xml", "45.0 11.6 ", "45.0 11.6 7 ", ("EXT_POS_LIST", "11 numbers")),
        ("MTD_TL.xml", "2024-06-18T10:22", "2024-06-38T10:22", ("2024-06-38", "ISO 8601")),
        ("MTD_TL.xml", "EPSG:32632", "EPSG:1", ("HORIZONTAL_CS_CODE", "EPSG:1")),
        ("MTD_TL.xml", "_T32TQS_", "_TX_", ("TILE_ID", "_TX_")),
        ("MTD_TL.xml", ">31.5<", ">steep<", ("Mean_Sun_Angle/ZENITH_ANGLE", "steep")),
        ("MTD_TL.xml", ">5.5<", ">flat<", ("Mean_Viewing_Incidence_Angle/ZENITH_ANGLE", "flat")),
        ("MTD_TL.xml", ">31.0000 31.0000<", ">31.0 steep<", ("Sun_Angles_Grid/Zenith", "numbers")),
        ("MTD_TL.xml", "<ULX>699960</ULX>", "", ("Geoposition/ULX", "missing")),
    ],
)
def test_a_value_that_makes_no_sense_is_shown(safe, name, old, new, words):
    """21, 80."""
    (path,) = safe.rglob(name)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(SenseTrackError) as caught:
        open_sentinel2(safe)
    assert caught.value.exit_code == 3
    assert str(path) in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["../../../../../etc/passwd", "/etc/passwd", "http://127.0.0.1/x"])
def test_names_in_metadata_do_not_lead_out(safe, name):
    """24."""
    path = safe / "manifest.safe"
    path.write_text(re.sub(r'href="[^"]*B08\.jp2"', f'href="{name}"', path.read_text()))
    with pytest.raises(UnsafeInputError, match="leads out of the product"):
        open_sentinel2(safe)


def test_an_image_named_by_the_metadata_must_be_in_the_product(tmp_path, safe):
    """24."""
    shutil.copy(next(safe.glob("GRANULE/*/IMG_DATA/*B08.jp2")), tmp_path / "x_B08.jp2")
    path = safe / "MTD_MSIL1C.xml"
    path.write_text(re.sub("<IMAGE_FILE>.*?</IMAGE_FILE>", "<IMAGE_FILE>../x_B08</IMAGE_FILE>", path.read_text()))
    with pytest.raises(InputError, match=r"\.\./x_B08 is missing"):
        open_sentinel2(safe).image()


def test_an_image_that_is_elsewhere_than_its_metadata_say(safe):
    (path,) = safe.rglob("MTD_TL.xml")
    path.write_text(path.read_text().replace("<ULY>5100000</ULY>", "<ULY>5100010</ULY>"))
    unlist(safe)
    with pytest.raises(InputError, match=r"is not on the grid of its MTD_TL.xml .*5100000.*instead of.*5100010"):
        open_sentinel2(safe).image()


def test_an_image_that_is_no_image(safe):
    """5, 31."""
    (image,) = safe.glob("GRANULE/*/IMG_DATA/*.jp2")
    unlist(safe)
    for content, word in ((b"<html><body>Sign in</body></html>", "HTML"), (b"<VRTDataset/>", "VRT")):
        image.write_bytes(content)
        with pytest.raises(InputError, match=word):
            open_sentinel2(safe).image()


def test_two_tiles_in_one_product(safe):
    (granule,) = (safe / "GRANULE").iterdir()
    shutil.copytree(granule, granule.with_name("L1C_T32TQR_A012345_20240618T101559"))
    with pytest.raises(InputError, match=r"must hold one tile .* instead got .*T32TQR.*T32TQS"):
        open_sentinel2(safe)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("EPSG:8.7:32632", "EPSG:8.7:32633", ("EPSG:32632", "EPSG:32633")),
        ('srsDimension="2"', 'srsDimension="7"', ("posList", "7 numbers")),
        ("posList srs", "x srs", ("",)),
        ("699960.000", "x", ("posList",)),
    ],
)
def test_a_mask_that_makes_no_sense(tmp_path, old, new, words):
    safe = write_product(tmp_path, PIXELS, S2Recipe(baseline="02.12"))
    (path,) = safe.glob("GRANULE/*/QI_DATA/MSK_DETFOO_B08.gml")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    unlist(safe)
    with pytest.raises(MetadataError) as caught:
        open_sentinel2(safe).image()
    assert str(path) in str(caught.value)
    for word in words:
        assert word in str(caught.value)


# ---------------------------------------------------------------------------------------------------------------------
# Names and dates


def test_a_name_that_contradicts_the_metadata_is_a_warning(cli, products, safe):
    """81: the metadata count, and the record keeps it."""
    other = safe.rename(safe.with_name("S2B_MSIL1C_20230101T101559_N0400_R022_T32TQR_20240618T132203.SAFE"))
    with pytest.warns(NameMismatchWarning) as caught:
        product = open_sentinel2(other)
    told = str(caught[0].message)
    for word in ("platform S2B (metadata: S2A)", "start 20230101T101559", "baseline 0400 (metadata: 0510)"):
        assert word in told
    assert "level" not in told
    assert product.metadata.tile == "32TQS"
    run = follow(cli, other, products[1])
    assert any("the metadata count" in note for note in run.record["warnings"])
    assert run.record["dt_days"] == pytest.approx(70, abs=0.001)


def test_a_name_without_baseline_or_of_the_users_own_is_fine(safe):
    for name in ("S2A_MSIL1C_20240618T101559_R065_T32TQS_20240618T132203.SAFE", "valley; $(touch PWNED) é.SAFE"):
        safe = safe.rename(safe.with_name(name))
        assert open_sentinel2(safe).image().valid.all()
    assert not Path("PWNED").exists()


def test_the_sign_follows_the_order_and_the_same_time_twice_has_no_velocity(cli, products, tmp_path):
    """82."""
    back = follow(cli, products[1], products[0], out=tmp_path / "back")
    assert back.record["dt_days"] == pytest.approx(-70, abs=0.001)
    line = cli("track", products[0], products[0], "-o", tmp_path / "same", "--gross", "none", "--chip", 32)
    assert line.code == 0, line.err
    assert not (tmp_path / "same" / "velocity.tif").exists()


def test_a_folder_of_something_else_is_a_directory(cli, products, tmp_path):
    """2."""
    (tmp_path / "folder").mkdir()
    words = ("is a directory",)
    refuse(cli, tmp_path, tmp_path / "folder", products[0], code=3, words=words, path=tmp_path / "folder")
    (tmp_path / "X.SAFE").mkdir()
    refuse(cli, tmp_path, tmp_path / "X.SAFE", products[0], code=3, words=("no product",), path=tmp_path / "X.SAFE")
