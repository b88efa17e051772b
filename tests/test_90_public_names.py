"""Names that scripts outside rely on."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from affine import Affine

import sensetrack


@pytest.mark.parametrize("name", sensetrack.__all__)
def test_the_public_face(name):
    assert getattr(sensetrack, name) is not None
    assert name in dir(sensetrack)


def test_there_is_nothing_else():
    with pytest.raises(AttributeError, match="has no attribute 'frobnicate'"):
        sensetrack.frobnicate  # noqa: B018


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("sensetrack.ot.interfaces", "Image"),
        ("sensetrack.ot.interfaces", "ImagePair"),
        ("sensetrack.ot.interfaces", "OTAlgorithm"),
        ("sensetrack.ot.interfaces", "OffsetField"),
        ("sensetrack.ot.interfaces", "Displacement"),
        ("sensetrack.ot.interfaces", "Flag"),
        ("sensetrack.ot.algorithms", "NCC"),
        ("sensetrack.ot.algorithms", "OpenCVOpticalFlow"),
        ("sensetrack.ot.algorithms", "SkiOpticalFlowILK"),
        ("sensetrack.ot.algorithms", "SkiOpticalFlowTVL1"),
        ("sensetrack.ot.algorithms", "SkiPCC_Vector"),
        ("sensetrack.ot.algorithms", "stepped_rolling_window"),
        ("sensetrack.ot.cli", "BaseCLI"),
        ("sensetrack.ot.image_processing.dispatcher", "dispatcher"),
        ("sensetrack.snap_gpt.lib", "SARPreprocessing"),
        ("sensetrack.snap_gpt.lib", "SARPreprocessor"),
        ("sensetrack.snap_gpt.lib", "GPTSubsetter"),
        ("sensetrack.snap_gpt.lib", "MultiLook"),
        ("sensetrack.snap_gpt.lib", "Subset"),
        ("sensetrack.graphs", "GRAPHS_WD"),
    ],
)
def test_homes(module, name):
    assert hasattr(importlib.import_module(module), name)


def test_the_spelling_in_scripts():
    from sensetrack.ot.algorithms import NCC, OpenCVOpticalFlow
    from sensetrack.ot.interfaces import Image

    rng = np.random.default_rng(0)
    array = rng.normal(size=(120, 130))
    ref = Image(array, Affine(10, 0, 600000, 0, -10, 4950000), "EPSG:32632", nodata=None)
    sec = Image(np.roll(array, (2, -3), (0, 1)), Affine(10, 0, 600000, 0, -10, 4950000), "EPSG:32632", nodata=None)
    field = NCC(chip=64, step=16, search=16)(ref, sec)
    assert field.d_row.shape == field.flags.shape == field.snr.shape == field.peak_ratio.shape == field.score.shape
    assert np.median(field.d_row) == pytest.approx(2, abs=0.05)
    assert np.median(field.d_col) == pytest.approx(-3, abs=0.05)
    assert field.grid.affine.a == 160
    # Positional arguments of the first release: flow, pyr_scale, levels, winsize ...
    assert OpenCVOpticalFlow(None, 0.5, 3, 21).winsize == 21
    assert OpenCVOpticalFlow.from_dict({"winsize": 20, "levels": None}).levels == 4


def test_the_positional_arguments_of_the_first_release():
    from sensetrack.ot.algorithms import SkiOpticalFlowILK, SkiOpticalFlowTVL1, SkiPCC_Vector

    ilk = SkiOpticalFlowILK(4, 3, True, False)
    assert (ilk.radius, ilk.num_warp, ilk.gaussian, ilk.prefilter) == (4, 3, True, False)
    assert SkiOpticalFlowILK().to_dict() | {"round_trip": None} == {
        "radius": 7, "num_warp": 10, "gaussian": False, "prefilter": False, "round_trip": None,
    }  # fmt: skip
    tvl1 = SkiOpticalFlowTVL1(10, 0.2, 3, 5, 1e-3, True)
    assert (tvl1.attachment, tvl1.tightness, tvl1.num_warp, tvl1.num_iter) == (10, 0.2, 3, 5)
    assert (tvl1.tol, tvl1.prefilter) == (1e-3, True)
    pcc = SkiPCC_Vector((32, 48), 8, False, 10)
    assert (pcc.winsize, pcc.step_size, pcc.phase_norm, pcc.upsmp_fac) == ((32, 48), (8, 8), False, 10)
    assert SkiPCC_Vector.from_dict({"winsize": 4, "step_size": 1, "upsmp_fac": 1.0}).winsize == (4, 4)


def test_to_json_writes_the_file_it_always_wrote(tmp_path, monkeypatch):
    from sensetrack.ot.algorithms import SkiPCC_Vector

    monkeypatch.chdir(tmp_path)
    SkiPCC_Vector(32, 8, False).toJSON()
    assert [path.name for path in tmp_path.iterdir()] == ["SkiPCC_Vector_parms.json"]
    assert SkiPCC_Vector.from_JSON("SkiPCC_Vector_parms.json").phase_norm is False


def test_the_schema_says_defaults_and_limits():
    from sensetrack.ot.algorithms import SkiOpticalFlowILK

    schema = SkiOpticalFlowILK.model_json_schema()["properties"]["radius"]
    assert (schema["default"], schema["minimum"], schema["unit"]) == (7, 1, "px")
