"""What goes wrong with files and folders: the right exit code, one line that names the file, and nothing left behind.

The numbers in the docstrings are those of the project's list of faults.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from conftest import SMALL, read_tif, write_tif
from sensetrack.errors import one_line

FILES = {"offsets.tif", "quality.tif", "flags.tif", "quicklook.png", "run.json"}
"""What a product always has."""


@pytest.fixture(autouse=True)
def no_picture(request, monkeypatch):
    """Leave the picture out where it is not what is tested: it takes longer than all the rest."""
    if "real_picture" not in request.fixturenames:
        stub = ModuleType("quicklook")
        stub.draw_quicklook = lambda path, *args, **kwargs: path.write_bytes(b"picture")
        monkeypatch.setitem(sys.modules, "sensetrack.pictures.quicklook", stub)


@pytest.fixture
def real_picture():
    """Draw the picture."""


def tree(folder: Path) -> dict[str, object]:
    """Everything below a folder: names, and checksums of the files."""
    found = {}
    for path in sorted(folder.rglob("*")):
        state = path.lstat()
        content: object = oct(state.st_mode)
        if path.is_file() and not path.is_symlink():
            with suppress(PermissionError):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(folder))] = content
    return found


def refuse(cli, folder: Path, *arguments, code: int, words: tuple[str, ...] = (), path=None, options=SMALL) -> str:
    """Run `track` (output: `folder`/out unless given), require that it fails as promised, return the error line."""
    before = tree(folder)
    if not {"--gross", "--config"} & {*arguments, *options}:
        options = (*options, "--gross", "none")
    output = () if "-o" in arguments else ("-o", folder / "out")
    result = cli("track", *arguments, *output, *options)
    assert result.code == code, result.err
    assert tree(folder) == before
    assert result.out == ""
    if path is not None:
        assert result.error.startswith(f"sensetrack: error: {one_line(path)}: "), result.error
    for word in words:
        assert word.lower() in result.error.lower(), result.error
    return result.error


class Product:
    """What a run wrote."""

    def __init__(self, folder: Path, result) -> None:
        self.folder, self.err = folder, result.err
        self.record = json.loads((folder / "run.json").read_text())
        self.d_row, self.d_col = (read_tif(folder / "offsets.tif", band) for band in (1, 2))
        self.flags, self.score = read_tif(folder / "flags.tif"), read_tif(folder / "quality.tif")
        self.good = self.flags == 0
        if (folder / "displacement.tif").exists():
            self.dx, self.dy = (read_tif(folder / "displacement.tif", band) for band in (1, 2))
            assert (np.isfinite(self.dx) == self.good).all()

    def error(self, d_row: float, d_col: float) -> np.ndarray:
        """Distance of every post from the truth, px; NaN where flagged."""
        return np.where(self.good, np.hypot(self.d_row - d_row, self.d_col - d_col), np.nan)

    def require(
        self, d_row: float = 3, d_col: float = 5, *, within: float = 0.05, tail: float = 0.1, share: float = 0.8
    ) -> Product:
        """Require that most posts are good, the median right to `within` and 95 % of them to `tail` px."""
        assert self.good.mean() >= share, self.err
        found = float(np.median(self.d_row[self.good])), float(np.median(self.d_col[self.good]))
        assert found == pytest.approx((d_row, d_col), abs=within), self.err
        assert np.nanpercentile(self.error(d_row, d_col), 95) <= max(tail, 2 * within)
        return self

    def require_metres(self, dx: float, dy: float, within: float) -> None:
        """Require the median motion on the ground."""
        assert (np.nanmedian(self.dx), np.nanmedian(self.dy)) == pytest.approx((dx, dy), abs=within)

    def require_nothing(self) -> None:
        """Require that no post is good and that this was said."""
        assert not self.good.any()
        assert "warning: not one of" in self.err
        assert self.record["warnings"]


def follow(cli, reference, secondary, *options, out: Path | None = None, small=SMALL, gross="none") -> Product:
    """Run `track`, require success with inputs untouched and nothing beside them, return the product.

    The whole-image shift is looked for only on demand, since that takes longer than matching.
    """
    folder = out or Path(reference).parent / "out"
    around = Path(reference).parent
    kept = {name: value for name, value in tree(around).items() if not name.startswith(folder.name)}
    guess = () if "--gross" in options else ("--gross", gross)
    result = cli("track", reference, secondary, "-o", folder, *small, *options, *guess)
    assert result.code == 0, result.err
    assert "RuntimeWarning" not in result.err
    assert {name: value for name, value in tree(around).items() if not name.startswith(folder.name)} == kept
    names = {path.name for path in folder.iterdir() if path.suffix != ".qml"} - {"velocity.tif", "displacement.tif"}
    assert names == FILES
    return Product(folder, result)


class TooLate(BaseException):
    """Nothing that is tested catches this."""


@contextmanager
def at_most(seconds: float):
    """Break off what hangs."""

    def late(*_):
        raise TooLate(f"still not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(params=["reference", "secondary"])
def at(request, pair_files):
    """Put a path in the place of one of two good files: `at(path)` -> both arguments."""
    place = 0 if request.param == "reference" else 1
    return lambda path: [path if i == place else good for i, good in enumerate(pair_files)]


HTML = b"\n<!DOCTYPE html><html><head><title>Earthdata Login</title></head><body>Sign in</body></html>"
NETCDF = b"CDF\x01" + bytes(200)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.tif", None, ("not found",)),
        ("no/such/folder.tif", None, ("not found",)),
        ("empty.tif", b"", ("empty file (0 bytes)", "download incomplete?")),
        ("page.tif", HTML, ("looks like an HTML page, not a product", "login")),
        ("page2.tif", b"\xef\xbb\xbf<HTML>", ("HTML page",)),
        ("body.tif", b'{"error":"quota"}', ("JSON", '{"error":"quota"}')),
        ("body2.tif", b'{"error":"' + b"x\n" * 500 + b'"}', ("JSON",)),
        ("really.tif", NETCDF, ("netCDF",)),
        ("really.zip", NETCDF, ("netCDF",)),
        ("packed.tif", b"PK\x03\x04" + bytes(60), ("ZIP",)),
        ("cube.tif", b"\x89HDF\r\n\x1a\n" + bytes(60), ("HDF5",)),
        ("text.tif", b"hello", ("TIFF",)),
        ("nul.tif", bytes(5000), ("TIFF",)),
        ("head.tif", b"II*\0", ("damaged",)),
    ],
)
def test_what_is_no_image_is_named(cli, at, tmp_path, name, content, words):
    """1, 3, 5, 6, 7."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    line = refuse(cli, tmp_path, *at(path), code=3, words=words, path=path)
    assert len(line) < 400
    assert cli("info", path).error.startswith(f"sensetrack: error: {path}: ")


def test_a_suffix_that_contradicts_the_content_is_an_error(cli, at, pair_files, tmp_path):
    """7."""
    path = tmp_path / "scene.jpg"
    shutil.copy(pair_files[0], path)
    refuse(cli, tmp_path, *at(path), code=3, words=("TIFF", ".jpg"), path=path)


def test_a_directory_is_not_an_image(cli, at, tmp_path):
    """2."""
    path = tmp_path / "folder.tif"
    path.mkdir()
    refuse(cli, tmp_path, *at(path), code=3, words=("is a directory",), path=path)


@contextmanager
def unprivileged():
    """Be nobody for a while: root may read and write everything."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def public(cli, pair_files):
    """A folder others may enter (pytest's own are private), with two good files; all code is loaded already."""
    cli("track", "missing.tif", pair_files[1], "-o", pair_files[0].parent / "warm", *SMALL)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        for path in pair_files:
            shutil.copy(path, folder)
        yield folder
        for path in folder.iterdir():
            path.chmod(0o777)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX permissions")
@pytest.mark.parametrize("name", ["reference.tif", "secondary.tif"])
def test_a_file_that_may_not_be_read_is_a_matter_of_permission(cli, public, name):
    """4."""
    (public / name).chmod(0)
    with unprivileged():
        refuse(
            cli, public, public / "reference.tif", public / "secondary.tif",
            code=5, words=("permission denied",), path=public / name,
        )  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX permissions")
@pytest.mark.parametrize("below", ["", "new/sub"])
def test_a_read_only_output_folder_is_found_out_at_the_start(cli, public, below):
    """87."""
    target = public / "locked"
    target.mkdir()
    target.chmod(0o555)
    with unprivileged():
        # The missing input shows that the output was looked at first.
        refuse(
            cli, public, public / "none.tif", public / "secondary.tif", "-o", target / below,
            code=5, words=("cannot be written to", "permission denied"), path=target / below,
        )  # fmt: skip


@pytest.mark.parametrize("below", ["", "sub"])
def test_a_file_in_place_of_the_output_folder_is_an_error(cli, pair_files, tmp_path, below):
    """87."""
    (tmp_path / "taken").write_text("mine")
    target = tmp_path / "taken" / below
    refuse(cli, tmp_path, *pair_files, "-o", target, code=5, words=("is a file, not a folder",), path=target)


@pytest.mark.parametrize("name", ["x" * 300, "loop"])
def test_an_impossible_output_folder_is_an_error(cli, pair_files, tmp_path, name):
    """87."""
    (tmp_path / "loop").symlink_to("loop")
    refuse(cli, tmp_path, *pair_files, "-o", tmp_path / name, code=5, words=(name,))


@pytest.mark.parametrize("layout", [{}, {"compress": "deflate"}, {"tiled": True, "blockxsize": 32, "blockysize": 32}])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_truncated_tiff_is_found_out(cli, at, scene, tmp_path, layout, share):
    """8."""
    path = write_tif(tmp_path / "cut.tif", scene[0].astype(np.float32), **layout)
    os.truncate(path, int(share * path.stat().st_size))
    refuse(cli, tmp_path, *at(path), code=3, words=("truncated", "download it again")[share < 0.1 :], path=path)


@pytest.mark.parametrize("band", [1, 3])
def test_a_truncated_band_is_found_out(cli, at, scene, tmp_path, band):
    """8."""
    pixels = np.stack([scene[0]] * 3).astype(np.float32)
    path = write_tif(tmp_path / "cut.tif", pixels, interleave="band")
    os.truncate(path, int(0.9 * path.stat().st_size))
    other = write_tif(tmp_path / "whole.tif", pixels)
    arguments = [item if item == path else other for item in at(path)]
    if band == 3:
        refuse(cli, tmp_path, *arguments, "--band", band, code=3, words=("truncated",), path=path)


@pytest.mark.parametrize("driver", ["PNG", "JPEG", "JP2OpenJPEG"])
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_a_truncated_picture_is_found_out(cli, scene, tmp_path, driver, share):
    """8: decoders fill what is missing with grey."""
    suffix = {"PNG": ".png", "JPEG": ".jpg", "JP2OpenJPEG": ".jp2"}[driver]
    grey = [np.clip(128 + 20 * part, 0, 255).astype(np.uint8) for part in scene]
    paths = [tmp_path / f"{name}{suffix}" for name in ("cut", "whole")]
    for path, pixels in zip(paths, grey, strict=True):
        write_tif(path, pixels, affine=None, crs=None, driver=driver)
        path.with_name(path.name + ".aux.xml").unlink(missing_ok=True)
    os.truncate(paths[0], int(share * paths[0].stat().st_size))
    refuse(cli, tmp_path, *paths, code=3, words=("download it again",), path=paths[0])


@pytest.mark.parametrize("byte", [4, 5, 6, 7])
@pytest.mark.parametrize("mask", [0x80, 0xFF])
def test_a_flipped_directory_offset_is_found_out(cli, at, pair_files, tmp_path, byte, mask):
    """9."""
    content = bytearray(pair_files[0].read_bytes())
    content[byte] ^= mask
    path = tmp_path / "flipped.tif"
    path.write_bytes(content)
    refuse(cli, tmp_path, *at(path), code=3, words=("damaged",), path=path)


def test_damaged_compressed_data_are_found_out(cli, at, scene, tmp_path):
    """10."""
    path = write_tif(tmp_path / "hurt.tif", scene[0].astype(np.float32), compress="deflate")
    content = bytearray(path.read_bytes())
    content[40_000:60_000] = bytes(20_000)
    path.write_bytes(content)
    refuse(cli, tmp_path, *at(path), code=3, words=("damaged", "rows"), path=path)


def make_fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def make_loop(path: Path) -> Path:
    path.symlink_to(path.name)
    return path


SPECIAL = {
    "fifo": (make_fifo, "not a regular file"),
    "loop": (make_loop, "loop of symbolic links"),
    "device": (lambda path: Path("/dev/zero"), "not a regular file"),
    "link to a device": (lambda path: path.symlink_to("/dev/zero") or path, "not a regular file"),
    "dangling": (lambda path: path.symlink_to("nowhere") or path, "not found"),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX files")
@pytest.mark.parametrize("kind", SPECIAL)
def test_pipes_loops_and_devices_are_refused_without_waiting(cli, at, tmp_path, kind):
    """29."""
    make, word = SPECIAL[kind]
    path = make(tmp_path / "x.tif")
    with at_most(20):
        refuse(cli, tmp_path, *at(path), code=3, words=(word,), path=path)
        refuse(cli, tmp_path, *at(tmp_path / "reference.tif"), "--aoi", path, code=3, words=(word,), path=path)
