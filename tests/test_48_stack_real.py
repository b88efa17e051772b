"""A real stack: twelve dates of Perito Moreno, half of them cloudy."""

from __future__ import annotations

import numpy as np
import pytest

from sensetrack.ot.bias import nmad
from sensetrack.stack.invert import TimeSeries, invert
from sensetrack.stack.motion import fit_motion, image_noise
from sensetrack.stack.quality import PairQuality, closure, pair_quality
from stack_truth import Glacier, track_glacier

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def glacier(data) -> Glacier:
    return track_glacier(data / "perito_moreno_s2")


@pytest.fixture(scope="module", params=["row", "col"])
def solved(request, glacier) -> tuple[str, TimeSeries, PairQuality]:
    name = request.param
    series = invert(glacier.network, glacier.moved[name], glacier.sigma[name])
    return name, series, pair_quality(series, glacier.moved[name], glacier.ice)


@pytest.mark.parametrize("name", ["row", "col"])
def test_clear_triplets_close(glacier, name):
    found = closure(glacier.network, glacier.moved[name], glacier.ice)
    clear = glacier.clear[found.triplets].all(axis=1)
    assert clear.sum() >= 8
    assert np.median(found.nmad[clear]) <= 0.09


@pytest.mark.parametrize("name", ["row", "col"])
def test_land_stays(glacier, name):
    pairs = glacier.moved[name][glacier.clear][:, glacier.rim]
    spread = [nmad(one[np.isfinite(one)]) for one in pairs]
    assert len(spread) >= 8
    assert max(spread) <= 0.25


def test_cloudy_pairs_are_recognised(glacier, solved):
    _, series, quality = solved
    poor = quality.poor()
    assert not poor[glacier.clear].any()
    cloudy = np.isfinite(glacier.moved["row"][:, glacier.ice]).mean(axis=1) < 0.4
    assert poor[cloudy].all()
    assert cloudy.sum() > 20
    trust = series.weights[:, glacier.ice].mean(axis=1)
    assert trust[cloudy].mean() < 0.3 * trust[glacier.clear].mean()


def test_ice_moves_and_land_does_not(glacier, solved):
    name, series, quality = solved
    kept = np.where(quality.poor()[:, None, None], np.nan, glacier.moved[name])
    series = invert(glacier.network, kept, glacier.sigma[name])
    motion = fit_motion(series, image_sigma=image_noise(series, where=glacier.ice))
    ice, rim = (motion.velocity[one & np.isfinite(motion.velocity)] for one in (glacier.ice, glacier.rim))
    straight = glacier.moved[name][glacier.network.spans.argmax()] / 40
    assert np.median(ice) == pytest.approx(np.nanmedian(straight[glacier.ice]), abs=0.02)
    assert abs(np.median(rim)) < 0.01
    assert nmad(rim) < 0.02
    assert nmad(rim) < 0.2 * np.abs(np.median(ice))
