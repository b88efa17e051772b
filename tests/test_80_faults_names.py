"""Names of files that mean something to a shell, and files whose text points elsewhere: neither is ever followed.

The numbers in the docstrings are those of the project's list of faults.
"""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from test_80_faults import HTML, at_most, follow, no_picture, real_picture, refuse  # noqa: F401

NAMES = [
    "with space.tif", "it's \"quoted\".tif", "a;b&c|d.tif", "$(touch PWNED).tif", "`touch PWNED`.tif", "$x_{$.tif",
    "new\nline.tif", "tab\tbell\a.tif", "größe-山-🌋.tif", "\u202egnp.tif", "x" * 251 + ".tif", "%s{0}\\n.tif",
]  # fmt: skip


@pytest.mark.usefixtures("real_picture")
@pytest.mark.parametrize("name", NAMES)
def test_any_file_name_works_and_runs_nothing(cli, pair_files, tmp_path, monkeypatch, name):
    """30."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / name.replace(".tif", "")[:200]
    folder.mkdir()
    first, second = shutil.copy(pair_files[0], folder / name), shutil.copy(pair_files[1], folder / "b.tif")
    with at_most(30):
        product = follow(cli, first, second, "--gross", "none", out=tmp_path / "out")
    product.require()
    assert product.record["inputs"][0]["path"] == str(first)
    assert not list(tmp_path.rglob("PWNED"))
    hurt = folder / f"-{name[:200]}"
    hurt.write_bytes(HTML)
    refuse(cli, tmp_path, hurt, second, "-o", tmp_path / "other", code=3, words=("HTML",), path=hurt)


def test_a_name_that_is_no_text_is_refused(cli, pair_files, tmp_path):
    """30: it could not be recorded."""
    path = tmp_path / os.fsdecode(b"\xff\xe9.tif")
    shutil.copy(pair_files[0], path)
    refuse(cli, tmp_path, pair_files[0], path, code=3, words=("UTF-8", "rename it"), path=path)


@pytest.fixture
def listener():
    """A port on this machine that nobody should call."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server.getsockname()[1]
        with pytest.raises(BlockingIOError):
            server.accept()


def disguises(secret: Path, port: int) -> dict[str, str]:
    url = f"http://127.0.0.1:{port}/x"
    vrt = (
        '<VRTDataset rasterXSize="180" rasterYSize="140"><VRTRasterBand dataType="Float32" band="1"><SimpleSource>'
        f"<SourceFilename>{secret}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    wms = f'<GDAL_WMS><Service name="TMS"><ServerUrl>{url}</ServerUrl></Service></GDAL_WMS>'
    ogr = (
        f'<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource>{url}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>'
    )
    return {
        "vrt": vrt,
        "vrt after a comment": f'<?xml version="1.0"?>\n<!-- {"x" * 2000} -->\n{vrt}',
        "wms": wms,
        "wms spaced": f"\n\n  {wms}",
        "ogr": ogr,
        "plmosaic": f"<PLMOSAIC url='{url}'/>",
        "service": f"WMS:{url}",
    }


@pytest.mark.parametrize("kind", disguises(Path(), 0))
@pytest.mark.parametrize("suffix", [".tif", ".geojson"])
def test_a_text_that_points_elsewhere_is_never_followed(cli, pair_files, listener, tmp_path, kind, suffix):
    """31."""
    path = tmp_path / f"evil{suffix}"
    path.write_text(disguises(pair_files[0], listener)[kind])
    words = () if kind == "service" else ("not allowed",)
    with at_most(20):
        refuse(cli, tmp_path, path, pair_files[1], code=3, words=words, path=path)
        refuse(cli, tmp_path, *pair_files, "--aoi", path, code=3, words=words, path=path)


REMOTE = [
    "http://127.0.0.1:{}/x.tif", "HTTPS://127.0.0.1:{}/x.tif", "ftp://127.0.0.1:{}/x.tif", "s3://bucket/x.tif",
    "/vsicurl/http://127.0.0.1:{}/x.tif", "/vsizip/x.zip/x.tif", "zip://x.zip!x.tif", "file:///etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("form", REMOTE)
def test_only_local_files_are_read(cli, pair_files, listener, tmp_path, form):
    """32."""
    path = form.format(listener)
    with at_most(20):
        refuse(cli, tmp_path, path, pair_files[1], code=3, words=("only local files",), path=path)
        refuse(cli, tmp_path, *pair_files, "--aoi", path, code=3, words=("only local files",), path=path)
