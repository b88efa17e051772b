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
