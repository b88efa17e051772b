"""What many tests share: small files, and a runner of the command line."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

from truth import TALL, UTM, arrays

DATA = os.environ.get("SENSETRACK_TEST_DATA")


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of the real data; where it is unset the test is skipped, where it is wrong it fails."""
    if not DATA:
        pytest.skip("SENSETRACK_TEST_DATA is not set")
    folder = Path(DATA)
    assert folder.is_dir(), f"SENSETRACK_TEST_DATA={DATA} is not a folder"
    return folder


def write_tif(path: Path, pixels: np.ndarray, affine: Affine | None = TALL, crs: str | None = UTM, **profile) -> Path:
    """Write a GeoTIFF of one or more bands, (rows, cols) or (bands, rows, cols)."""
    bands = pixels if pixels.ndim == 3 else pixels[None]
    tags = profile.pop("tags", {})
    located = {} if affine is None else {"transform": affine}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver=profile.pop("driver", "GTiff"), width=bands.shape[2], height=bands.shape[1],
            count=bands.shape[0], dtype=bands.dtype, crs=crs, **located, **profile,
        ) as file:  # fmt: skip
            file.write(bands)
            file.update_tags(**tags)
    return path


def read_tif(path: Path, band: int = 1) -> np.ndarray:
    """Read a band as it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            return file.read(band)


class Result:
    """What a command did."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def error(self) -> str:
        """The one error line."""
        lines = [line for line in self.err.splitlines() if line.startswith("sensetrack: error: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


@pytest.fixture
def cli(capsys):
    """Run the command line in this process: `cli("track", a, b, "-o", out)` -> Result."""
    from sensetrack.cli import run

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        code = run([str(a) for a in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


SMALL = ("--chip", 32, "--step", 16, "--search", 8)
"""Options that suit the small scenes of the tests."""


@pytest.fixture(scope="session")
def scene() -> tuple[np.ndarray, np.ndarray]:
    """A scene of 140 x 180 px that moved 3 rows down and 5 columns right."""
    return arrays((140, 180), seed=11)


@pytest.fixture
def pair_files(tmp_path, scene) -> tuple[Path, Path]:
    """The scene as two GeoTIFFs with pixels of 10 m x 20 m."""
    return (
        write_tif(tmp_path / "reference.tif", scene[0].astype(np.float32)),
        write_tif(tmp_path / "secondary.tif", scene[1].astype(np.float32)),
    )


def pytest_addoption(parser):
    parser.addoption("--fail-on-skip", action="store_true", help="count a skipped test as a failure")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and item.config.getoption("--fail-on-skip"):
        report.outcome = "failed"
    return report
