"""A raster of what is known beforehand: its bands, units and grids."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

from conftest import read_tif, write_tif
from truth import TALL, UTM, arrays, uniform

SMALL = ("--chip", 32, "--step", 16, "--search", 4, "--gross", "none")
DATES = ("--reference-date", "2024-01-01", "--secondary-date", "2024-01-11")
K = 0.999723  # metres of the map per metre on the ground


@pytest.fixture
def far(tmp_path):
    """21 rows down and 17 columns left, on pixels of 10 m x 20 m."""
    first, second = arrays((180, 220), uniform(21, -17), seed=12)
    return [
        write_tif(tmp_path / f"{name}.tif", part.astype(np.float32))
        for name, part in zip("ab", (first, second), strict=True)
    ]


WIDE = TALL @ Affine.scale(40, 30)


def write_prior(path, names, values, affine=WIDE, crs=UTM, shape=(8, 8)):
    bands = np.stack([np.full(shape, value, np.float32) for value in values])
    write_tif(path, bands, affine, crs, nodata=np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "r+") as file:
            file.descriptions = names
    return path


def medians(folder):
    good = read_tif(folder / "flags.tif") == 0
    return good.mean(), *(np.median(read_tif(folder / "offsets.tif", band)[good]) for band in (1, 2))


PRIORS = {
    "pixels": (("d_row", "d_col"), (20, -18)),
    "metres": (("dx", "dy"), (-180 / K, -400 / K)),
    "velocity": (("vx", "vy"), (-18 / K, -40 / K)),
}


@pytest.mark.parametrize("kind", PRIORS)
def test_each_unit_leads_to_the_ground(cli, far, tmp_path, kind):
    assert cli("track", *far, "-o", tmp_path / "without", *SMALL).code == 0
    assert (read_tif(tmp_path / "without" / "flags.tif") == 0).mean() < 0.05
    prior = write_prior(tmp_path / "prior.tif", *PRIORS[kind])
    assert cli("track", *far, "-o", tmp_path / "o", *SMALL, *DATES, "--prior", prior).code == 0
    share, d_row, d_col = medians(tmp_path / "o")
    assert share > 0.6
    assert (d_row, d_col) == (pytest.approx(21, abs=0.03), pytest.approx(-17, abs=0.03))


def test_an_earlier_run_is_a_prior_in_any_crs(cli, far, tmp_path):
    assert cli("track", *far, "-o", tmp_path / "one", "--chip", 48, "--step", 24, "--search", 28).code == 0
    for number, name in enumerate(("offsets.tif", "displacement.tif")):
        out = tmp_path / f"two{number}"
        assert cli("track", *far, "-o", out, *SMALL, "--prior", tmp_path / "one" / name).code == 0
        assert medians(out)[1:] == (pytest.approx(21, abs=0.03), pytest.approx(-17, abs=0.03))
    # A velocity map in degrees, as a download would be.
    prior = write_prior(
        tmp_path / "d.tif", *PRIORS["velocity"], Affine(0.01, 0, 10.2, 0, -0.01, 44.8), "EPSG:4326", (20, 20)
    )
    assert cli("track", *far, "-o", tmp_path / "three", *SMALL, *DATES, "--prior", prior).code == 0
    assert medians(tmp_path / "three")[0] > 0.6


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        (("a", "b"), {}, "must be described d_row and d_col, or dx and dy, or vx and vy, instead got a and b"),
        (("vx", "vy"), {}, "velocities need the dates"),
        (("dx", "dy"), {"affine": None, "crs": None}, "both have a georeference or both have none"),
        (("dx", "dy"), {"affine": TALL @ Affine.translation(9000, 0)}, "says nothing about the ground"),
    ],
)
def test_what_cannot_lead_is_refused(cli, far, tmp_path, names, options, said):
    prior = write_prior(tmp_path / "prior.tif", names, (1, 2), **options)
    result = cli("track", *far, "-o", tmp_path / "o", *SMALL, "--prior", prior)
    assert result.code == 3
    assert said in result.error
    assert str(prior) in result.error
    assert not (tmp_path / "o").exists()
