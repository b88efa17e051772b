"""Posts that are looked for in a box of their own within the search, by every kernel."""

import numpy as np
import pytest
from scipy import ndimage

from sensetrack.ot.engine import State, correlate_tile
from sensetrack.ot.peak import MARGIN


@pytest.mark.parametrize("kernel", ["vector", "plain", "opencv"])
def test_posts_are_looked_for_within_their_boxes(kernel):
    rng = np.random.default_rng(12)
    scene = ndimage.gaussian_filter(rng.normal(size=(220, 260)), 1.3).astype(np.float32)
    scene = scene / scene.std()
    search, halo = (9, 12), (9 + MARGIN, 12 + MARGIN)
    reference = scene[halo[0] : -halo[0], halo[1] : -halo[1]]
    secondary = np.roll(scene, (4, -7), (0, 1))
    valid = np.ones(secondary.shape, bool)
    valid[100:104, 150:170] = False
    posts = tuple((size - 32) // 16 + 1 for size in reference.shape)
    within = np.empty((4, *posts), np.int32)
    within[:, :4] = np.array([1, 9, -12, -2])[:, None, None]  # the truth inside
    within[:, 4:7] = np.array([-9, 4, -12, 0])[:, None, None]  # the truth on the rim
    within[:, 7:] = np.array([-9, 2, -5, 12])[:, None, None]  # the truth outside
    found = correlate_tile(
        reference, secondary, secondary_valid=valid, chip=(32, 32), step=(16, 16), posts=posts, search=search,
        within=within, kernel=kernel,
    )  # fmt: skip
    near = np.hypot(found.d_row - 4, found.d_col + 7) < 0.05
    assert near[:4].all()
    assert (found.state[:4] == State.FOUND).all()
    assert (found.state[4:7] == State.EDGE).all()
    assert not near[7:].any()
    first_row, last_row, first_col, last_col = within
    done = found.state != State.NO_DATA
    assert done.all()
    assert ((found.d_row > first_row - 1) & (found.d_row < last_row + 1)).all()
    assert ((found.d_col > first_col - 1) & (found.d_col < last_col + 1)).all()
    everywhere = correlate_tile(
        reference, secondary, secondary_valid=valid, chip=(32, 32), step=(16, 16), posts=posts, search=search,
        kernel=kernel,
    )  # fmt: skip
    np.testing.assert_allclose(found.d_row[:4], everywhere.d_row[:4], atol=1e-4)
    assert (found.peak_ratio[:4] >= everywhere.peak_ratio[:4] - 1e-3).all()
