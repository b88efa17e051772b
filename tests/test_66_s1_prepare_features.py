"""Features of Sentinel-1 on a map: ratio and difference of polarisations, and texture, against what was simulated."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio

from conftest import read_tif
from sensetrack.cli import run
from sensetrack.errors import ConfigError
from sensetrack.sar.calibration import Calibrated
from sensetrack.sar.features import Texture
from sensetrack.sar.geometry import geo2rdr
from sensetrack.sar.lattice import sample
from sensetrack.sar.simulate import Scene
from sensetrack.sar.terrain import to_lonlat
from sensetrack.sentinel.s1 import Sentinel1, open_sentinel1
from sensetrack.sentinel.s1_chain import Numbers
from sensetrack.sentinel.s1_prepare import S1Config, prepare_sentinel1
from sensetrack.sentinel.simulate_s1 import S1Recipe, plan, write_product

LINES, SAMPLES, HEIGHT = 130, 190, 700.0
ROUGH = slice(35, 75), slice(90, 160)
"""Lines and samples of a field of stripes, off the middle, three samples wide: only neighbours in a line differ."""


def numbers(cross: bool) -> np.ndarray:
    """Digital numbers: even ground with a little noise, VH half of VV above and a fifth below line 50; stripes."""
    rng = np.random.default_rng(17 + cross)
    values = rng.uniform(395, 405, (LINES, SAMPLES))
    values[ROUGH] *= np.where(np.arange(SAMPLES)[ROUGH[1]] // 3 % 2, 1.0, 0.4)
    if cross:
        values *= np.where(np.arange(LINES)[:, None] < 50, 0.5, 0.2)
    return np.rint(values).astype(np.uint16)


@pytest.fixture(scope="module")
def product(tmp_path_factory) -> Path:
    """A GRD of two polarisations with those numbers."""
    recipe = S1Recipe(
        product="GRD", lines=LINES, samples=SAMPLES, polarisations=("VV", "VH"), noise=-np.inf, swaths=("IW1",)
    )
    turns = iter((True, False))  # VH is written first

    def drawn(_draw, _bursts):
        yield numbers(next(turns))

    folder = tmp_path_factory.mktemp("features")
    return write_product(folder, Scene(height=HEIGHT), plan(recipe), mapper=drawn)


def prepared(path: Path, folder: Path, **settings) -> tuple[Path, list[str], Sentinel1]:
    opened = open_sentinel1(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        raster, made, _ = prepare_sentinel1(opened, folder, S1Config(height=HEIGHT, **settings))
    return raster, [name for name, _, _ in made.bands], opened


def places(opened: Sentinel1, raster: Path) -> tuple[np.ndarray, np.ndarray]:
    """Where the pixels of a map are in the image, pixel by pixel."""
    from sensetrack.files.raster import open_raster

    grid = open_raster(raster).grid
    row, col = np.meshgrid(*(np.arange(size, dtype=float) for size in grid.shape), indexing="ij")
    lon, lat = to_lonlat(grid)(*grid.xy(row, col))
    radar = opened.swaths["iw/vv"].radar_grid
    seen = geo2rdr(radar, lon, lat, HEIGHT)
    return radar.line(seen.time), radar.sample(seen.slant_range, seen.time)


@pytest.mark.parametrize("window", [(5, 7), (9, 3)])
def test_texture_on_the_map_is_that_of_the_image(tmp_path, product, window):
    raster, names, opened = prepared(
        product, tmp_path, features="contrast,correlation", texture_window=window, method="nearest", speckle="lee"
    )
    assert names == ["Sigma0_VV", "Sigma0_VH", "contrast_VV", "contrast_VH", "correlation_VV", "correlation_VH"]
    line, column = places(opened, raster)
    whole = slice(0, LINES), slice(0, SAMPLES)
    for key in ("vv", "vh"):
        swath = opened.swaths[f"iw/{key}"]
        intensity = Calibrated(Numbers(swath), swath.calibration, "sigma0", swath.noise)[whole]
        for measure in ("contrast", "correlation"):
            expected = sample(Texture(measure=measure, window=window)(intensity), line, column, "nearest")
            found = read_tif(raster, names.index(f"{measure}_{key.upper()}") + 1)
            both = np.isfinite(expected) & np.isfinite(found)
            assert both.sum() > 0.98 * np.isfinite(expected).sum() > 10_000  # but for half a pixel around
            # Rounding picks another pixel here and there, which lie within millimetres of an edge.
            assert (np.abs(found - expected)[both] < 1e-4 * (1 + np.abs(expected[both]))).mean() > 0.995
    contrast = read_tif(raster, 3)
    inside = (line > 42) & (line < 68) & (column > 96) & (column < 154)
    quiet = (line > 85) & (column < 80) & np.isfinite(contrast)
    # A third of the neighbours in a line differ by 20 log10(0.4) dB, none of those in a column.
    across, down = window[0] * (window[1] - 1), (window[0] - 1) * window[1]
    share = across / 3 / (across + down)
    assert np.mean(contrast[inside]) == pytest.approx(share * (20 * np.log10(0.4)) ** 2, rel=0.03)
    assert np.median(contrast[quiet]) < 0.02


@pytest.mark.parametrize("scale", ["linear", "db"])
def test_two_polarisations_are_compared(tmp_path, product, scale):
    raster, names, opened = prepared(product, tmp_path, features=("difference", "ratio"), scale=scale)
    end = "_db" if scale == "db" else ""
    assert names[2:] == ["difference_VV_VH", f"ratio_VH_VV{end}"]
    difference, ratio = read_tif(raster, 3), read_tif(raster, 4)
    line, column = places(opened, raster)
    for upper, share in ((True, 0.25), (False, 0.04)):
        here = ((line > 4) & (line < 46) if upper else (line > 54) & (line < 126)) & (column > 6) & (column < 184)
        expected = 10 * np.log10(share) if scale == "db" else share
        assert np.median(ratio[here]) == pytest.approx(expected, rel=0.02)
        assert np.median(difference[here]) == pytest.approx((1 - share) / (1 + share), rel=0.02)
    with rasterio.open(raster) as file:
        assert json.loads(file.tags()["FEATURES"]) == ["difference", "ratio"]
        assert file.units[2:] == ("1", "dB" if scale == "db" else "1")


def test_features_by_the_command_line(tmp_path, product, capsys):
    line = f"prepare {product} -o {tmp_path} --features deviation,ratio --texture-window 3,7 --json"
    assert run(line.split()) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["bands"] == ["Sigma0_VV", "Sigma0_VH", "deviation_VV", "deviation_VH", "ratio_VH_VV"]
    assert (done["product"]["features"], done["product"]["texture_window"]) == (["deviation", "ratio"], [3, 7])


def test_features_that_cannot_be_are_refused(tmp_path, product):
    with pytest.raises(ConfigError, match="no feature 'glcm'; there are ratio, difference, variation"):
        S1Config(features="glcm")
    with pytest.raises(ConfigError, match="odd and at least 3"):
        S1Config(texture_window=8)
    with pytest.raises(ConfigError, match="need two, instead got VH"):
        prepared(product, tmp_path, features="ratio", polarisations="VH")
    assert run(f"prepare {product} -o {tmp_path} --engine snap --features ratio".split()) == 2
