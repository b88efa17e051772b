"""Sums of blocks by fewer products: the same as by all of them, on every kind of processor."""

import itertools

import numpy as np
import pytest

from sensetrack.ot.engine import best_kernel, quarters, scratch, vector

pytestmark = pytest.mark.skipif(best_kernel() == "opencv", reason="nothing can be compiled here")


@pytest.mark.parametrize(
    ("lanes", "rows", "cols"), [(16, 33, 33), (16, 70, 64), (16, 34, 61), (8, 20, 17), (8, 33, 34), (4, 22, 33)]
)
def test_sums_are_those_of_all_products(monkeypatch, lanes, rows, cols):
    monkeypatch.setattr(vector, "lanes", lambda: lanes)
    rng = np.random.default_rng(rows * cols)
    down, across = np.array([0, 16, 48, 64]), np.array([0, 16, 37, 45, 61])
    a, b = scratch.take("test a", (64, 61)), scratch.take("test b", (64 + rows - 1, 61 + cols - 1 + 15))
    a[:], b[:] = rng.normal(size=a.shape), rng.normal(size=b.shape)
    assert quarters.Quarters.able(np.diff(down), np.diff(across), rows, cols)
    sums, pitch = quarters.Quarters(a, b, rows, cols), cols + 2
    wanted = np.array([1, 0, 1, 1], np.uint8)
    for top, bottom in itertools.pairwise(down):
        at = np.arange(4) * rows * pitch
        first = np.full(4, top)
        places = np.stack([first, across[:-1], first, across[:-1], np.diff(across), at], axis=1)
        out = np.full(4 * rows * pitch, 7, np.float32)
        sums(places, wanted, bottom - top, pitch, out)
        found = out.reshape(4, rows, pitch)
        assert (found[1] == 7).all()
        assert (found[:, :, cols:] == 7).all()
        for k in np.flatnonzero(wanted):
            left, right = across[k], across[k + 1]
            block = a[top:bottom, left:right].astype(float)
            area = b[top : bottom + rows - 1, left : right + cols - 1].astype(float)
            view = np.lib.stride_tricks.sliding_window_view(area, block.shape)
            np.testing.assert_allclose(found[k, :, :cols], np.einsum("uvyx,yx->uv", view, block), atol=5e-4)


@pytest.mark.parametrize(
    ("heights", "widths", "rows", "cols"),
    [((16, 12), (16,), 33, 33), ((16,), (300,), 33, 33), ((16,), (16,), 8, 33), ((16,), (16,), 33, 4)],
)
def test_other_sizes_are_left_to_the_kernel(heights, widths, rows, cols):
    assert not quarters.Quarters.able(np.array(heights), np.array(widths), rows, cols)
