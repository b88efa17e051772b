"""What is NCC's own: chips that grow where they fail, kernels that agree."""

from __future__ import annotations

import numpy as np
import pytest

from sensetrack import Image
from sensetrack.errors import ConfigError
from sensetrack.ot.algorithms import NCC
from truth import TALL, UTM, arrays, speckle, uniform


@pytest.fixture(scope="module")
def half_noisy():
    """The right half is mostly noise: small chips find little there."""
    first, second = arrays((240, 300), uniform(3, 5), seed=3)
    rng = np.random.default_rng(0)
    second[:, 150:] += 3 * second.std() * rng.normal(size=(240, 150))
    return Image(first, TALL, UTM), Image(second, TALL, UTM)


def right(field):
    """Good posts that are right, in the noisy half."""
    j = field.d_row.shape[1] // 2 + 1
    near = np.hypot(field.d_row - 3, field.d_col - 5) < 1
    return (field.good & (field.score >= NCC.min_score) & near)[:, j:].mean()


def test_chips_grow_only_where_they_fail(half_noisy):
    small = NCC(chip=16, step=16, search=8)(*half_noisy)
    grown = NCC(chip=16, step=16, search=8, larger=(2, 4))(*half_noisy)
    assert small.chip_size is None
    assert set(np.unique(grown.chip_size)) == {16, 32, 64}
    assert (grown.chip_size[:, :7] == 16).all()
    assert right(grown) > right(small) + 0.2
    kept = grown.chip_size == 16
    np.testing.assert_array_equal(grown.d_row[kept], small.d_row[kept])
    np.testing.assert_array_equal(grown.covariance[kept], small.covariance[kept])
    assert grown.grid.same_as(small.grid)  # larger chips have the same centres


def test_a_larger_chip_is_that_chip_around_the_same_post(half_noisy):
    grown = NCC(chip=16, step=16, search=8, larger=4)(*half_noisy)
    whole = NCC(chip=64, step=16, search=8)(*half_noisy)
    i, j = np.nonzero(grown.chip_size == 64)
    inside = (i * 16 >= 24) & (j * 16 >= 24) & (i * 16 + 40 <= 240) & (j * 16 + 40 <= 300)
    i, j = i[inside], j[inside]
    assert len(i) > 10
    np.testing.assert_allclose(grown.d_row[i, j], whole.d_row[(i * 16 - 24) // 16, (j * 16 - 24) // 16], atol=0.3)


def test_the_sizes_are_settings_like_others():
    assert NCC.from_dict({"larger": "2,4"}).larger == NCC(larger=[2, 4]).larger == (2, 4)
    assert NCC(larger=3).larger == (3,)
    with pytest.raises(ConfigError, match="greater than 1"):
        NCC(larger=(1, 2))


def test_kernels_agree(half_noisy):
    fields = {
        name: NCC(chip=(32, 24), step=12, search=(5, 9), kernel=name)(*half_noisy)
        for name in ("vector", "plain", "opencv")
    }
    for other in (fields["plain"], fields["opencv"]):
        np.testing.assert_array_equal(fields["vector"].flags, other.flags)
        good = other.good
        np.testing.assert_allclose(fields["vector"].score[good], other.score[good], atol=1e-4)
        np.testing.assert_allclose(fields["vector"].d_row[good], other.d_row[good], atol=2e-3)
    with pytest.raises(ConfigError, match="'vector', 'plain' or 'opencv'"):
        NCC(kernel="cuda")


@pytest.mark.parametrize(("method", "limit"), [("sinc", 0.01), ("parabola", 0.05), ("gaussian", 0.05), ("dft", 0.03)])
@pytest.mark.parametrize("kernel", ["auto", "opencv"])
def test_each_subpixel_method_finds_a_fraction(method, limit, kernel):
    images = [Image(part) for part in arrays((140, 160), uniform(2.3, -1.6), seed=5)]
    field = NCC(chip=48, step=16, search=6, subpixel=method, kernel=kernel)(*images)
    assert field.good.all()
    assert np.abs(field.d_row - 2.3).max() < limit
    assert np.abs(field.d_col + 1.6).max() < limit
    assert field.score.min() > (0.95 if method == "parabola" else 0.98)


def test_speckle_is_hardly_drawn_to_whole_pixels():
    """Where the plain sinc was off by 0.036 px: at a fraction of 0.2 and 0.8."""
    for fraction in (0.2, 0.8):
        pair = speckle((220, 240), uniform(2 + fraction, -1), coherence=0.95, seed=3)
        field = NCC(chip=48, step=12, search=6)(*(Image(np.asarray(part)) for part in pair))
        assert np.mean(field.d_row) == pytest.approx(2 + fraction, abs=0.01)


def test_a_copy_is_moved_by_whole_pixels():
    first = arrays((140, 160), seed=5)[0]
    field = NCC(chip=32, step=8, search=6)(Image(first), Image(np.roll(first, (3, -2), (0, 1))))
    inner = field.score > 1 - 1e-5
    assert inner.mean() > 0.6
    assert (field.d_row[inner] == 3).all()
    assert (field.d_col[inner] == -2).all()
