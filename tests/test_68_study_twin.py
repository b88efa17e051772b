"""The study of examples/twenty_dates with one command, held against its truth."""

from __future__ import annotations

import json
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray

from sensetrack.cli import run
from study_truth import Twin, displacement, errors, make, still, velocity


@pytest.fixture(scope="module")
def twin() -> Twin:
    return Twin()


@pytest.fixture(scope="module")
def results(twin, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("twin")
    make.main([str(folder)])
    code = run(["run", str(folder / "study.yaml"), "--quiet", "--set", "track.quicklook=false"])
    assert code == 4
    return folder / "results"


@pytest.fixture(scope="module")
def found(results) -> dict[str, np.ndarray]:
    with rasterio.open(results / "stack" / "velocity.tif") as file:
        return dict(zip(file.descriptions, file.read(), strict=True))


def consecutive(results: Path, twin: Twin) -> np.ndarray:
    """(2, rows, cols) median of the velocities of neighbouring dates, m/day: what is done without a stack."""
    used = [number for number in range(len(twin.dates)) if number != twin.corrupt]
    rates = []
    for one, other in pairwise(used):
        folder = results / "pairs" / f"{twin.dates[one]:%Y%m%d}-{twin.dates[other]:%Y%m%d}"
        with rasterio.open(folder / "displacement.tif") as file:
            rates.append(file.read((1, 2)) / (twin.days[other] - twin.days[one]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # posts that no pair has
        return np.nanmedian(rates, axis=0)


def test_the_corrupt_scene_is_named_and_nothing_else_fails(results, twin):
    report = json.loads((results / "report.json").read_text(encoding="utf-8"))
    assert report["exit_code"] == 4
    corrupt = twin.names[twin.corrupt]
    assert [row["path"] for row in report["scenes"] if row["status"] == "failed"] == [f"scenes/{corrupt}"]
    assert len(report["failures"]) == 1
    assert corrupt in report["failures"][0]
    assert {row["status"] for row in report["pairs"]} == {"done"}
    assert report["stack"]["status"] == "done"


def test_cloudy_pairs_are_recognised(results, twin):
    record = json.loads((results / "stack" / "stack.json").read_text(encoding="utf-8"))
    cloudy = f"{twin.dates[twin.cloudy]:%Y%m%d}"
    left = {pair["name"] for pair in record["pairs"] if pair["left_out"]}
    assert left == {pair["name"] for pair in record["pairs"] if cloudy in pair["name"]}


@pytest.mark.parametrize("axis", [0, 1], ids=["x", "y"])
def test_velocity_and_its_error(axis, results, found, twin):
    name = f"v{'xy'[axis]}"
    truth = velocity(twin)[axis]
    ours = errors(found[name], found[f"sigma_{name}"], truth)
    assert ours.posts > 0.95 * truth.size
    assert ours.inside == pytest.approx(0.683, abs=0.05)
    known = np.isfinite(found[name]) & (found[f"sigma_{name}"] < 3 * np.nanmedian(found[f"sigma_{name}"]))
    plain = (consecutive(results, twin)[axis] - truth)[known]
    assert ours.rmse <= 0.5 * np.sqrt(np.nanmean(plain**2))
    assert abs(np.nanmedian((found[name] - truth)[still(twin)])) < 0.01


def test_dates_and_their_errors(results, twin):
    with xarray.open_dataset(results / "stack" / "series.nc") as file:
        moments = file["time"].values.astype("datetime64[D]")
        for axis, name in enumerate(("dx", "dy")):
            inside = []
            for place, moment in enumerate(moments[1:], start=1):
                number = [np.datetime64(f"{day:%Y-%m-%d}") for day in twin.dates].index(moment)
                off = file[name].values[place] - displacement(twin, number)[axis]
                inside.append(np.abs(off) < file[f"{name}_error"].values[place])
            seen = np.isfinite(file[name].values[1:])
            assert np.array(inside)[seen].mean() == pytest.approx(0.683, abs=0.05)
