"""Perpendicular baselines against what they do: slant ranges of two images drift apart across the swath."""

from __future__ import annotations

import numpy as np
import pytest

from sensetrack.errors import NoOverlapError
from sensetrack.sar.baseline import perpendicular_baseline
from sensetrack.sar.ellipsoid import to_ecef
from sensetrack.sar.geometry import geo2rdr, rdr2geo
from sensetrack.sentinel.s1 import open_sentinel1
from slc_pairs import pair


@pytest.fixture(scope="module", params=[True, False], ids=["ascending", "descending"])
def grids(request, tmp_path_factory):
    one, other, _ = pair(tmp_path_factory.mktemp("pair"), swaths=("IW1",), bursts=1, ascending=request.param)
    return [open_sentinel1(path).swaths["iw1/vv"].radar_grid for path in (one, other)]


def test_it_is_how_ranges_drift_apart(grids):
    one, other = grids
    time = float(one.time(one.shape[0] // 2))
    slant = float(one.slant_range(one.shape[1] // 2, time)) + np.array([-2000.0, 2000.0])
    ground = rdr2geo(one, np.full(2, time), slant, np.zeros(2))
    apart = geo2rdr(other, *ground[:3]).slant_range - slant
    satellite = one.orbit.state(time)[0].reshape(3)
    to = np.moveaxis(to_ecef(*ground[:3]), -1, 0).T.reshape(2, 3) - satellite
    to /= np.linalg.norm(to, axis=1)[:, None]
    angle = np.arccos(np.clip(to[0] @ to[1], -1, 1))
    # The far line of sight is the upper one: what lies above them comes nearer to far ground.
    expected = -(apart[1] - apart[0]) / angle
    found = perpendicular_baseline(one, other)
    assert found == pytest.approx(expected, rel=0.01)
    assert 20 < abs(found) < 60


def test_it_turns_its_sign_and_is_nothing_to_itself(grids):
    one, other = grids
    assert perpendicular_baseline(other, one) == pytest.approx(-perpendicular_baseline(one, other), rel=1e-3)
    assert perpendicular_baseline(one, one) == pytest.approx(0, abs=1e-6)


def test_another_place_is_not_seen(grids, tmp_path):
    far, *_ = pair(tmp_path, swaths=("IW1",), bursts=1, place=(60.0, -20.0))
    with pytest.raises(NoOverlapError, match="does not see"):
        perpendicular_baseline(grids[0], open_sentinel1(far).swaths["iw1/vv"].radar_grid)
