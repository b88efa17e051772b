"""Offsets by ampcor against what ISCE2's own ampcor gave for the same images."""

from __future__ import annotations

import numpy as np
import pytest

from sensetrack.sar.ampcor import ampcor

pytestmark = pytest.mark.data


@pytest.fixture(params=["mag_sq", "mag_aniso", "mag_gross", "mag_holes", "cpx_sq"])
def both(request, data):
    """Return our result and theirs: (down, across, 6) range, azimuth, SNR, variances in the same order, covariance."""
    golden, case = np.load(data / "ampcor_golden.npz"), request.param
    _, _, w, h, sx, sy, kx, ky, left, right, top, bottom, steps, gx, gy = golden[f"{case}_par"].tolist()
    # Theirs are first pixels of search areas, from 1; lines are read one earlier than said.
    rows, cols = np.arange(top, bottom + 1, ky) + sy - 2, np.arange(left, right + 1, kx) + sx - 1
    ours = ampcor(
        golden[f"{case}_ref"], golden[f"{case}_sec"], window=(h, w), search=(sy, sx), starts=(rows, cols),
        gross=(gy, gx), kind="cpx" if case == "cpx_sq" else "mag", oversampling=steps,
    )  # fmt: skip
    theirs = np.full((rows.size, cols.size, 6), np.nan)
    down, across = ours.reported
    for x, y, *values in golden[f"{case}_out"]:
        theirs[np.flatnonzero(down == y)[0], np.flatnonzero(across == x)[0]] = values
    order = [1, 0, 2]
    numbers = np.stack([ours.d_col, ours.d_row, ours.snr], axis=-1)
    return case, np.concatenate([numbers, ours.covariance[..., order]], axis=-1).astype(float), theirs


def test_the_same_windows_offsets_snr_and_covariances(both):
    case, ours, theirs = both
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    assert np.isfinite(theirs[..., 0]).sum() == {"mag_aniso": 48, "mag_gross": 25, "mag_holes": 54}.get(case, 77)
    np.testing.assert_array_equal(ours[..., :2], theirs[..., :2])
    np.testing.assert_allclose(ours[..., 2:5], theirs[..., 2:5], rtol=1e-3)
    scale = np.sqrt(theirs[..., 3] * theirs[..., 4])
    np.testing.assert_allclose(ours[..., 5] / scale, theirs[..., 5] / scale, atol=1e-3)
