"""Real scenes through the command line: what they are known to do is what comes out."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import rasterio

from conftest import read_tif

pytestmark = pytest.mark.data


def offsets(folder):
    """d_row, d_col and where they are good."""
    d_row, d_col = read_tif(folder / "offsets.tif", 1), read_tif(folder / "offsets.tif", 2)
    return d_row, d_col, read_tif(folder / "flags.tif") == 0


def nmad(values):
    return 1.4826 * np.median(np.abs(values - np.median(values)))


def test_a_shifted_copy_moves_by_exactly_that(cli, data, tmp_path):
    folder = data / "s1_dj_shift"
    assert cli("track", folder / "DJ_before.tiff", folder / "DJ_after.tiff", "-o", tmp_path / "o").code == 0
    d_row, d_col, good = offsets(tmp_path / "o")
    assert good.mean() > 0.9
    assert np.median(d_col[good]) == pytest.approx(8, abs=0.02)
    assert np.median(d_row[good]) == pytest.approx(3, abs=0.02)
    assert np.percentile(np.hypot(d_row - 3, d_col - 8)[good], 95) < 0.03


@pytest.fixture(scope="module")
def glacier(data, tmp_path_factory):
    """Perito Moreno over 40 days; white of the mask is ice, so it is what may move."""
    from sensetrack.cli import run

    out = tmp_path_factory.mktemp("perito") / "o"
    folder = data / "perito_moreno_s2"
    arguments = ["track", folder / "20200101.jpg", folder / "20200210.jpg", "-o", out,
                 "--unstable-ground", folder / "mask.jpg",
                 "--reference-date", "2020-01-01", "--secondary-date", "2020-02-10"]  # fmt: skip
    assert run([str(a) for a in arguments]) == 0
    white = (cv2.imread(str(folder / "mask.jpg"), cv2.IMREAD_GRAYSCALE) > 127).astype(np.float32)
    return out, white


def ice_share(white, shape, chip=64, step=16):
    """Share of ice in each chip."""
    mean = cv2.boxFilter(white, -1, (chip, chip), anchor=(chip // 2, chip // 2))
    return mean[chip // 2 :: step, chip // 2 :: step][: shape[0], : shape[1]]


def test_ice_flows_and_land_stays(glacier):
    out, white = glacier
    d_row, d_col, good = offsets(out)
    share = ice_share(white, good.shape)
    # A chip that straddles the margin sees ice and rock: the median over ice is over chips of ice.
    ice = good & (share > 0.99)
    assert ice.sum() > 2500
    assert 8.5 <= np.median(np.hypot(d_row, d_col)[ice]) <= 9.3
    # The rim is hardly wider than a chip: half of the chip on land is what there is of it.
    rim = good & (share < 0.5)
    assert rim.sum() > 100
    assert nmad(d_row[rim]) <= 0.35
    assert nmad(d_col[rim]) <= 0.35
    record = json.loads((out / "run.json").read_text())
    assert record["bias"]["posts"] >= 30
    assert max(record["bias"]["nmad_after"]) <= 0.35
    assert record["dt_days"] == 40
    assert record["grid"]["unit"] == "px"
    assert not (out / "displacement.tif").exists()


def test_black_around_the_glacier_makes_no_motion(glacier, data):
    out, _ = glacier
    good = offsets(out)[2]
    image = cv2.imread(str(data / "perito_moreno_s2" / "20200101.jpg"))
    black = cv2.boxFilter((image.max(axis=2) <= 3).astype(np.float32), -1, (64, 64), anchor=(32, 32))
    black = black[32::16, 32::16][: good.shape[0], : good.shape[1]]
    assert (black > 0.99).sum() > 2000
    assert not good[black > 0.6].any()


def rigid_turn(places, d_row, d_col):
    """Angle (degrees) of the best rigid motion, d_row = a + w col, d_col = b - w row, and the NMAD around it.

    Fitted on the posts within 3 NMAD of it: there is open water around the floe.
    """
    row, col = places.T
    one, zero = np.ones_like(row), np.zeros_like(row)
    design = np.concatenate([np.stack([one, zero, col], 1), np.stack([zero, one, -row], 1)])
    found = np.concatenate([d_row, d_col]).astype(float)
    used = np.ones(found.size, bool)
    for _ in range(10):
        weights = np.linalg.lstsq(design[used], found[used], rcond=None)[0]
        rest = found - design @ weights
        used = np.abs(rest) < 3 * nmad(rest)
    assert used.mean() > 0.8
    return np.degrees(weights[2]), nmad(rest)


def test_a_floe_drifts_and_turns(cli, data, tmp_path):
    """Placed by control points only; pixels of 40 m of the grid (EPSG:3413), 41.2 m on the ground at 86.5 N."""
    folder, out = data / "s1_seaice_2016", tmp_path / "o"
    files = folder / "S1B_EW_GRDM_1SDH_20161005T101835.tif", folder / "S1A_EW_GRDM_1SDH_20161005T142446.tif"
    assert cli("track", *files, "-o", out).code == 0
    d_row, d_col, good = offsets(out)
    assert good.mean() > 0.5
    with rasterio.open(out / "displacement.tif") as file:
        assert file.crs.to_epsg() == 3413
        magnitude = file.read(3)
        scale = np.mean(json.loads(file.tags()["GRID_SCALE"]))
        post = file.transform.a
    assert post == pytest.approx(16 * 40)
    # In metres of the grid, as pixels of 40 m: 9.6; on the ground 3 % more.
    assert np.nanmedian(magnitude) * scale / 40 == pytest.approx(9.6, abs=0.3)
    assert np.median(np.hypot(d_row, d_col)[good]) == pytest.approx(9.6, abs=0.3)
    angle, residual = rigid_turn(16.0 * np.argwhere(good), d_row[good], d_col[good])
    assert abs(angle) == pytest.approx(0.144, abs=0.03)
    assert residual < 0.17
    record = json.loads((out / "run.json").read_text())
    assert record["dt_days"] == pytest.approx(4.10 / 24, abs=0.001)


@pytest.mark.parametrize("shift", [(0.0, 0.25), (0.0, 0.5), (0.0, -0.25), (0.25, 0.25)])
def test_known_fractions_of_a_pixel(cli, data, tmp_path, shift):
    name = "r{:+.2f}c{:+.2f}".format(*shift)
    folder, out = data / "s2_subpixel_medicis" / "T19KER" / name, tmp_path / "o"
    options = ("--chip", 32, "--step", 8, "--search", 4)
    assert cli("track", folder / "left.tif", folder / "right.tif", "-o", out, *options).code == 0
    d_row, d_col, good = offsets(out)
    assert good.mean() > 0.9
    assert np.median(d_row[good]) == pytest.approx(shift[0], abs=0.05)
    assert np.median(d_col[good]) == pytest.approx(shift[1], abs=0.05)


@pytest.mark.parametrize("name", ["Spot", "ERS"])
def test_floods_are_not_motion(cli, data, tmp_path, name):
    folder, out = data / "otb_change_pairs", tmp_path / "o"
    assert cli("track", folder / f"{name}Before.png", folder / f"{name}After.png", "-o", out).code == 0
    d_row, d_col, good = offsets(out)
    magnitude = np.hypot(d_row, d_col)[good]
    assert good.mean() >= 0.15
    assert np.median(magnitude) <= 1.2
    assert (magnitude > 3).mean() < 0.02
