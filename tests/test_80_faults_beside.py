"""Files beside an input: what checksum files promise is checked, and what sidecars claim is not believed.

The numbers in the docstrings are those of the project's list of faults.
"""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning
from shapely import box

from conftest import read_tif, write_tif
from sensetrack import open_image
from sensetrack.files.safe import sidecars
from test_80_faults import follow, no_picture, refuse  # noqa: F401
from test_80_faults_rasters import write_pair
from truth import UTM

SUMS = {
    "md5sum": ("a.tif.md5", "{md5}  a.tif\n"),
    "binary": ("a.tif.md5", "{md5} *a.tif\r\n"),
    "bare": ("a.tif.md5", "{md5}"),
    "capitals": ("a.tif.md5", "{MD5}\n"),
    "stem": ("a.md5", "{md5}  ./delivery/a.tif\n"),
    "bare stem": ("a.md5", "\ufeff{md5}\n"),
    "list": ("a.md5", "# sums\n" + "0" * 32 + "  other.tif\n{md5}  a.tif\n"),
    "sha256sum": ("a.tif.sha256", "{sha256}  a.tif\n"),
    "bare sha256": ("a.sha256", "{sha256}"),
    "bsd": ("a.tif.sha256", "SHA256 (a.tif) = {sha256}\n"),
    "windows": ("a.md5", "{md5}  C:\\scenes\\a.tif\r\n"),
}


def write_sum(folder: Path, kind: str, content: bytes) -> Path:
    """Write the checksum file that a provider would give with some content."""
    name, text = SUMS[kind]
    md5, sha256 = (hashlib.new(which, content).hexdigest() for which in ("md5", "sha256"))
    path = folder / name
    path.write_text(text.format(md5=md5, MD5=md5.upper(), sha256=sha256), encoding="utf-8")
    return path


@pytest.fixture
def three(tmp_path, scene) -> list[Path]:
    """Two uncompressed images and an area of interest."""
    files = list(write_pair(tmp_path, *(part.astype(np.float32) for part in scene)))
    files[0] = files[0].rename(tmp_path / "a.tif")
    area = tmp_path / "area.gpkg"
    geopandas.GeoSeries([box(600_200, 4_947_800, 601_500, 4_949_700)], crs=UTM).to_frame("geometry").to_file(area)
    return [*files, area]


@pytest.mark.parametrize("kind", SUMS)
def test_a_checksum_file_finds_damage_that_nothing_else_does(cli, three, tmp_path, kind):
    """11, 14: zeros in the middle of an uncompressed file decode as any other pixels."""
    path = three[0]
    beside = write_sum(tmp_path, kind, path.read_bytes())
    assert open_image(path).valid.all()
    content = bytearray(path.read_bytes())
    content[50_000:54_096] = bytes(4096)
    path.write_bytes(content)
    words = ("checksum differs", beside.name, beside.suffix[1:], "download it again")
    line = refuse(cli, tmp_path, *three[:2], code=3, words=words, path=path)
    assert hashlib.new(beside.suffix[1:], content).hexdigest()[:12] in line
    assert path.read_bytes() == content
    beside.unlink()
    assert np.isnan(open_image(path).image).sum() > 500


def test_all_checksum_files_count(cli, three, tmp_path):
    """14: one that is right does not excuse one that is wrong."""
    write_sum(tmp_path, "md5sum", three[0].read_bytes())
    write_sum(tmp_path, "sha256sum", b"other")
    refuse(cli, tmp_path, *three[:2], code=3, words=("checksum differs", "a.tif.sha256"), path=three[0])


@pytest.mark.parametrize("option", ["--aoi", "--stable-ground"])
def test_areas_have_checksums_too(cli, three, tmp_path, option):
    """14."""
    (tmp_path / "area.gpkg.md5").write_text("0" * 32)
    refuse(cli, tmp_path, *three[:2], option, three[2], code=3, words=("checksum differs",), path=three[2])
    assert "checksum differs" in cli("track", *three[:2], "-o", tmp_path / "o", option, f"{three[2]}|area").error


@pytest.mark.parametrize(
    "text", ["", "<html>not found</html>", "0" * 32 + "  other.tif\n", "0" * 31, "0" * 64, "\x00\xff" * 500]
)
def test_a_checksum_file_that_says_nothing_of_this_file_is_named(cli, three, text):
    """14: and what it says of other files is their matter."""
    three[0].with_name("a.tif.md5").write_text(text, encoding="latin-1")
    product = follow(cli, *three[:2]).require()
    assert "a.tif.md5: holds no md5 sum of a.tif, which is not checked" in product.err


def test_a_folder_is_no_checksum_file(cli, three, tmp_path):
    """14."""
    (tmp_path / "a.md5").mkdir()
    product = follow(cli, *three[:2]).require()
    assert "md5" not in product.err


LIE = """<PAMDataset>
  <SRS>EPSG:32601</SRS>
  <GeoTransform>1e5, 7, 0, 2e6, 0, -9</GeoTransform>
  <PAMRasterBand band="1"><NoDataValue>{nodata}</NoDataValue><Offset>500</Offset><Scale>3</Scale></PAMRasterBand>
</PAMDataset>"""
WORLD = "7\n0\n0\n-9\n100000\n2000000\n"


def add_statistics(path: Path) -> Path:
    beside = path.with_name(path.name + ".aux.xml")
    beside.write_text(LIE.format(nodata=read_tif(path)[40, 50]))
    return beside


def add_mask(path: Path) -> Path:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as file:
        file.write_mask(np.arange(180) > np.arange(140)[:, None] * 2)
    return path.with_name(path.name + ".msk")


def add_overviews(path: Path) -> Path:
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4])
    beside = path.with_name(path.name + ".ovr")
    assert beside.is_file()
    return beside


def add_world(suffix: str):
    def add(path: Path) -> Path:
        beside = path.with_suffix(suffix)
        beside.write_text(WORLD)
        return beside

    return add


SIDECARS = {
    "statistics": (".tif", add_statistics),
    "statistics of a picture": (".png", add_statistics),
    "mask": (".tif", add_mask),
    "overviews": (".tif", add_overviews),
    "world tfw": (".tif", add_world(".tfw")),
    "world TFW": (".tif", add_world(".TFW")),
    "world jgw": (".jpg", add_world(".jgw")),
    "world pgw": (".png", add_world(".pgw")),
}


def as_others_see_it(path: Path) -> tuple:
    """What rasterio makes of a file and of all that is beside it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            return (
                file.transform, file.crs, file.nodata, file.scales, file.overviews(1), file.dataset_mask().tobytes(),
            )  # fmt: skip


@pytest.mark.parametrize("kind", SIDECARS)
def test_what_lies_beside_an_image_changes_nothing_and_is_named(cli, tmp_path, scene, kind):
    """70: other programs read it; the result here is that of the header, to the last bit."""
    suffix, add = SIDECARS[kind]
    drivers = {".tif": "GTiff", ".png": "PNG", ".jpg": "JPEG"}
    grey = [np.clip(128 + 20 * part, 1, 255).astype(np.uint8) for part in scene]
    # A world file is read only where the header has no transform of its own.
    lost = {"affine": None, "crs": None} if suffix != ".tif" or "world" in kind else {}
    files = [tmp_path / f"{name}{suffix}" for name in ("a", "b")]
    for path, pixels in zip(files, grey, strict=True):
        write_tif(path, pixels, driver=drivers[suffix], **lost)
        path.with_name(path.name + ".aux.xml").unlink(missing_ok=True)
    plain = follow(cli, *files, out=tmp_path / "out1")
    assert "ignored" not in plain.err
    before, content = as_others_see_it(files[1]), files[1].read_bytes()
    beside = add(files[1])
    assert files[1].read_bytes() == content
    assert as_others_see_it(files[1]) != before
    again = follow(cli, *files, out=tmp_path / "out2")
    assert f"{files[1]}: ignored beside it, since what the header says counts: {beside.name}" in again.err
    assert f"{files[0]}: ignored" not in again.err
    for name in ("offsets.tif", "quality.tif", "flags.tif", "displacement.tif"):
        assert (plain.folder / name).is_file() == (again.folder / name).is_file()
        if (plain.folder / name).is_file():
            np.testing.assert_array_equal(read_tif(plain.folder / name), read_tif(again.folder / name))
            assert as_others_see_it(plain.folder / name)[:2] == as_others_see_it(again.folder / name)[:2]
    shown = cli("info", files[1])
    assert shown.code == 0
    assert shown.out == cli("info", files[1]).out


def test_sidecars_are_known_by_their_names(tmp_path):
    """70: each once, whatever the case, and nothing else."""
    path = write_tif(tmp_path / "a.b.TIF", np.ones((9, 9), np.uint8), affine=Affine(2, 0, 0, 0, -3, 0))
    assert sidecars(path) == []
    for name in ("a.b.TIF.aux.xml", "a.b.tfw", "a.b.tifw", "a.b.TIF.OVR", "a.tfw", "a.b.txt", "a.b.TIF.md5", "a.b.prj"):
        (tmp_path / name).touch()
    (tmp_path / "a.b.TIF.msk").mkdir()
    assert sidecars(path) == ["a.b.TIF.OVR", "a.b.TIF.aux.xml", "a.b.tfw", "a.b.tifw"]
