"""Bursts and tables of real products: numbers that only real metadata have."""

from __future__ import annotations

import numpy as np
import pytest

from sensetrack.sar.carrier import frequency
from sensetrack.sar.deburst import Deburst
from sensetrack.sentinel.s1 import open_sentinel1

pytestmark = [pytest.mark.data, pytest.mark.filterwarnings("ignore::sensetrack.errors.SenseTrackWarning")]

PRODUCTS = ["safe_s1/S1A_IW_SLC*20250406", "safe_s1/S1B_IW_SLC", "safe_s1_2023_morocco/S1A_IW_SLC*20230904"]


class Ones:
    """A measurement of ones."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape, self.dtype = shape, np.dtype(np.float32)

    def __getitem__(self, key):
        return np.ones([part.stop - part.start for part in key], np.float32)


def opened(data, name: str):
    folder, _, start = name.partition("/")
    (path,) = (data / folder).glob(f"{start}*.zip")
    return open_sentinel1(path)


@pytest.mark.parametrize("name", PRODUCTS)
def test_bursts_of_real_swaths_merge(data, name):
    for swath in opened(data, name).swaths.values():
        merged = Deburst(Ones(swath.shape), swath.bursts)
        assert merged.shape == swath.radar_grid.shape
        assert merged.first_time == swath.radar_grid.first_time
        for index, seam in enumerate(merged.seams):
            lines = merged[seam - 60 : seam + 60, :]
            # A swath of bursts has no gap: each line around a seam was measured, by about as many samples.
            width = np.isfinite(lines).sum(axis=1)
            assert width.min() > 0.97 * width.max() > 0.8 * swath.shape[1]
            before, after = merged.bursts[index : index + 2]
            overlap = merged.offsets[index] + before.valid_lines[1] - merged.offsets[index + 1] - after.valid_lines[0]
            assert 100 < overlap < 140


@pytest.mark.parametrize("name", PRODUCTS)
def test_the_carrier_of_real_bursts_is_steep_and_centred(data, name):
    for swath in opened(data, name).swaths.values():
        for burst in swath.bursts:
            edges = frequency(burst, np.array([0, burst.lines - 1]), burst.samples // 2)
            assert -2800 < edges[0] < -2200
            assert 2200 < edges[1] < 2800
            assert abs(edges.sum()) < 150


def test_tables_of_a_real_swath(data):
    swath = opened(data, PRODUCTS[0]).swaths["iw1/vv"]
    assert swath.calibration.table("beta0").window(slice(0, 9000), slice(7, 8)) == pytest.approx(237)
    assert swath.noise.window(slice(0, 1), slice(0, 1))[0, 0] == pytest.approx(596.4086 * 1.170417)
    # The beam's pattern along azimuth begins anew with each burst, from one line to the next.
    edge = swath.noise.window(slice(1500, 1504), slice(40, 41))[:, 0]
    steps = np.abs(np.diff(edge))
    assert edge[2] == pytest.approx(597.7269 * 1.170410)
    assert steps[1] > 10 * max(steps[0], steps[2])
