"""A real study with one command: twelve dates of Perito Moreno, half of them cloudy."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from sensetrack.cli import run
from sensetrack.ot.bias import nmad
from sensetrack.products.pair_folders import open_pair_folder
from sensetrack.stack.network import Network
from sensetrack.stack.quality import closure
from stack_truth import CLEAR, areas

pytestmark = pytest.mark.data

EXAMPLE = Path(__file__).parents[1] / "examples" / "perito_moreno" / "local.yaml"


@pytest.fixture(scope="module")
def results(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("perito")
    for image in sorted((data / "perito_moreno_s2").glob("*.jpg")):
        (folder / image.name).symlink_to(image)
    shutil.copy(EXAMPLE, folder)
    study = str(folder / EXAMPLE.name)
    assert run(["run", study, "--quiet", "--executor", "processes", "--set", "track.quicklook=false"]) == 0
    return folder / "results"


@pytest.fixture(scope="module")
def record(results):
    return json.loads((results / "stack" / "stack.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pairs(results, record, data):
    """Network, offsets as they were measured, and where ice and land are."""
    opened = [open_pair_folder(results / "pairs" / one["name"]) for one in record["pairs"]]
    layers = [one.read() for one in opened]
    posts = SimpleNamespace(grid=opened[0].grid, start=opened[0].images[1])
    ice, rim = areas(data / "perito_moreno_s2", posts)
    moved = {"d_row": np.stack([one.first for one in layers]), "d_col": np.stack([one.second for one in layers])}
    measured = np.isfinite(moved["d_row"][:, ice]).mean(axis=1)
    return SimpleNamespace(network=Network.of([one.dates for one in opened]), moved=moved, ice=ice, rim=rim,
                           clear=measured > CLEAR, cloudy=measured < 0.4)  # fmt: skip


def test_all_pairs_are_there(record):
    assert len(record["pairs"]) == 66
    assert len(record["dates"]) == 12


@pytest.mark.parametrize("name", ["d_row", "d_col"])
def test_clear_triplets_close_on_ice(pairs, name):
    found = closure(pairs.network, pairs.moved[name], pairs.ice)
    clear = pairs.clear[found.triplets].all(axis=1)
    assert clear.sum() >= 8
    assert np.median(found.nmad[clear]) <= 0.09


@pytest.mark.parametrize("name", ["d_row", "d_col"])
def test_land_stays_in_clear_pairs(pairs, name):
    land = pairs.moved[name][pairs.clear][:, pairs.rim]
    assert max(nmad(one[np.isfinite(one)]) for one in land) <= 0.25


def test_cloudy_pairs_are_left_out(pairs, record):
    left = np.array([one["left_out"] for one in record["pairs"]])
    assert pairs.cloudy.sum() > 20
    assert left[pairs.cloudy].all()
    assert not left[pairs.clear].any()
    assert all(one["why"] for one in record["pairs"] if one["left_out"])


def test_ice_moves_and_land_does_not(pairs, results):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(results / "stack" / "velocity.tif") as file:
            found = dict(zip(file.descriptions, file.read(), strict=True))
    for name in ("row", "col"):
        speed = found[f"v_{name}"]
        ice, land = (speed[where & np.isfinite(speed)] for where in (pairs.ice, pairs.rim))
        longest = pairs.moved[f"d_{name}"][pairs.network.spans.argmax()]
        straight = (longest - np.nanmedian(longest[pairs.rim])) / pairs.network.spans.max()
        assert np.median(ice) == pytest.approx(np.nanmedian(straight[pairs.ice]), abs=0.02)
        assert abs(np.median(land)) < 0.01
        assert nmad(land) < 0.02
