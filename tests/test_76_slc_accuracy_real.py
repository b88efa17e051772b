"""From two SLCs to offsets on the annotation, orbits and heights of a real pair, into which a motion is put."""

from __future__ import annotations

import numpy as np
import pytest

import slc_chain
import slc_truth as st
from sensetrack.files.dem import open_dem
from sensetrack.sar.offsets import SlcOffsets
from sensetrack.sentinel.simulate_s1 import write_pair

pytestmark = pytest.mark.data

SAMPLES = {"iw1": slice(9000, 10_300), "iw2": slice(14_000, 15_300)}


@pytest.mark.parametrize("swath", ["iw1", "iw2"])
def test_offsets_over_morocco_are_those_put_in(data, tmp_path, swath):
    plans = st.real(data, swaths=(f"{swath}/vv",), samples=SAMPLES[swath])
    dem = st.mosaic(data, tmp_path / "heights.tif")
    scene = st.sliding(plans[0], height=st.Extended.of(dem, "egm96"), size=(5000.0, 7000.0))
    pair = st.Pair(write_pair(tmp_path / "pair", scene, *plans), scene, plans)
    (burst,) = slc_chain.bursts(pair.paths)
    found = slc_chain.images(burst, open_dem(dem, "egm96"))
    truth = pair.burst()
    line, sample = np.arange(40.2, 1450, 140)[:, None], np.arange(30.4, 1270, 120)
    wanted = truth.expected(line, sample)
    assert wanted.plain.all()
    for one, other in zip(found.registration.offsets(line, sample), wanted.geometry, strict=True):
        assert np.abs(one - other).max() < 2e-3
    one = slc_chain.offsets(found, SlcOffsets(chip=(64, 128), step=(48, 96), search=(8, 12)))
    field, wanted = one.match.field, truth.over_chips(*one.places(), (64, 128))
    good = field.good & wanted.plain
    assert good.sum() > 0.97 * np.isfinite(field.d_row).sum() > 250
    for k, (values, true, mad) in enumerate(
        ((field.d_row, wanted.d_line, 0.037), (field.d_col, wanted.d_sample, 0.030))
    ):
        errors = (values - true)[good]
        spread = st.scatter(errors)
        assert abs(spread.bias) < 0.01
        assert spread.mad < mad / 2
        assert spread.std < 0.06
        inside = st.within(errors, np.sqrt(field.covariance[..., k][good]))
        assert 0.5 < inside[0] < 0.85
        assert inside[1] > 0.85
