"""The simulated landslide: the same every time, and moved by exactly what it says."""

from __future__ import annotations

import numpy as np
import pytest

from sensetrack.errors import ConfigError
from sensetrack.ot.algorithms import NCC
from sensetrack.ot.image_processing import Equalize, preprocess
from sensetrack.ot.interfaces import Image, ImagePair
from sensetrack.ot.simulate import SimulatedPair, mountain_pair
from truth import speckle, uniform

SMALL = (256, 300)
ARRAYS = ("reference", "secondary", "d_row", "d_col", "stable", "cloud")


@pytest.fixture(scope="module")
def scene() -> SimulatedPair:
    return mountain_pair()


@pytest.fixture(scope="module")
def tracked(scene):
    """Errors of NCC against the truth averaged over each chip: (row, col) errors, truth size, stable, trusted."""
    pair = preprocess(ImagePair(Image(scene.reference), Image(scene.secondary)), Equalize())
    ncc = NCC(chip=(32, 32), step=16, search=12)
    field = ncc(pair.reference, pair.secondary)
    chips = ncc.chips(scene.reference.shape)

    def average(values):
        windows = np.lib.stride_tricks.sliding_window_view(np.asarray(values, float), chips.chip)
        return windows[:: chips.step[0], :: chips.step[1]].mean(axis=(2, 3))

    row, col = average(scene.d_row), average(scene.d_col)
    errors = np.stack([field.d_row - row, field.d_col - col])
    return errors, np.hypot(row, col), average(scene.stable) == 1, field.good & (field.score > 0.6)


def nmad(values):
    return 1.4826 * np.median(np.abs(values - np.median(values)))


def test_arrays(scene):
    for name in ARRAYS:
        assert getattr(scene, name).shape == (768, 896)
    assert scene.reference.dtype == scene.secondary.dtype == np.float32
    assert scene.d_row.dtype == scene.d_col.dtype == np.float64
    assert scene.stable.dtype == scene.cloud.dtype == bool
    assert np.isfinite(scene.d_row).all()
    assert np.isfinite(scene.d_col).all()
    for image in (scene.reference, scene.secondary):
        assert 0.005 < np.isnan(image).mean() < 0.1
        assert np.nanmin(image) > -0.1
        assert np.nanmax(image) < 1.1
    # Nodata is in opposite corners, the thinner strip in the secondary.
    assert np.isnan(scene.reference[0, 0])
    assert np.isnan(scene.secondary[-1, -1])
    assert np.isnan(scene.secondary).sum() < np.isnan(scene.reference).sum()


def test_motion_is_asymmetric_and_peaks_where_asked(scene):
    size = np.hypot(scene.d_row, scene.d_col)
    top = np.unravel_index(size.argmax(), size.shape)
    assert (scene.d_row[top], scene.d_col[top]) == pytest.approx((6.5, 3.8))
    moving = size > 0
    assert 0.05 < moving.mean() < 0.2
    assert top[0] < np.nonzero(moving)[0].mean()
    # It fades out: no jump at the margin, and nowhere is ground folded over ground.
    for part in (scene.d_row, scene.d_col):
        assert max(np.abs(g).max() for g in np.gradient(part)) < 0.6
    assert size[moving].min() < 0.02


def test_masks(scene):
    still = (scene.d_row == 0) & (scene.d_col == 0)
    assert not (scene.stable & ~still).any()
    assert not (scene.stable & scene.cloud).any()
    assert not np.isnan(scene.reference[scene.stable]).any()
    assert not np.isnan(scene.secondary[scene.stable]).any()
    assert scene.stable.mean() > 0.5
    # The cloud is bright, in the secondary alone, and touches the landslide without covering its middle.
    assert np.nanmedian(scene.secondary[scene.cloud]) > 2 * np.nanmedian(scene.reference[scene.cloud])
    assert (scene.cloud & ~still).any()
    assert not scene.cloud[np.hypot(scene.d_row, scene.d_col) > 6.5].any()


def test_the_tracker_finds_the_truth(tracked):
    errors, size, _, trusted = tracked
    there = trusted & (size > 1)
    assert there.sum() > 0.8 * (size > 1).sum()
    for error in errors:
        assert abs(np.median(error[there])) < 0.05
        assert nmad(error[there]) < 0.15


def test_stable_ground_is_still(tracked):
    errors, _, stable, trusted = tracked
    there = trusted & stable
    assert there.sum() > 0.9 * stable.sum()
    for error in errors:
        assert abs(np.median(error[there])) < 0.02
        assert nmad(error[there]) < 0.15


def test_the_seed_decides_everything():
    first, again, other = (mountain_pair(SMALL, seed=seed) for seed in (3, 3, 4))
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.reference, other.reference, equal_nan=True)
    assert not np.array_equal(first.d_row, other.d_row)


@pytest.mark.parametrize("peak", [(5.0, -3.0), (-4.0, 2.0)])
def test_sign_of_the_motion(peak):
    scene = mountain_pair(SMALL, peak=peak, seed=1)
    chip = 32
    size = np.hypot(scene.d_row, scene.d_col)
    row, col = (int(i) for i in np.unravel_index(size.argmax(), size.shape))
    window = np.s_[row - chip // 2 : row + chip // 2, col - chip // 2 : col + chip // 2]
    lot = np.s_[row - 32 : row + 32, col - 32 : col + 32]
    field = NCC(chip=chip, step=16, search=10)(Image(scene.reference[lot]), Image(scene.secondary[lot]))
    middle = (1, 1)
    assert field.d_row[middle] == pytest.approx(scene.d_row[window].mean(), abs=0.4)
    assert field.d_col[middle] == pytest.approx(scene.d_col[window].mean(), abs=0.4)
    assert np.sign((field.d_row[middle], field.d_col[middle])) == pytest.approx(np.sign(peak))


def test_without_motion_nothing_moves():
    scene = mountain_pair(SMALL, peak=(0.0, 0.0))
    assert not scene.d_row.any()
    assert not scene.d_col.any()


def test_too_small_an_image_is_refused():
    with pytest.raises(ConfigError, match=r"at least .* instead got \(100, 300\)"):
        mountain_pair((100, 300))


@pytest.mark.parametrize("coherence", [1.0, 0.6, 0.3])
def test_speckle_is_as_coherent_as_asked_where_it_went(coherence):
    reference, secondary = (part**2 for part in speckle((180, 230), uniform(3, 5), coherence=coherence, seed=2))

    def measured(d_row, d_col):
        """Square root of the correlation of intensities: the coherence of complex Gaussian amplitudes."""
        there = secondary[10 + d_row : 160 + d_row, 10 + d_col : 200 + d_col]
        return np.sqrt(max(np.corrcoef(reference[10:160, 10:200].ravel(), there.ravel())[0, 1], 0))

    assert measured(3, 5) == pytest.approx(coherence, abs=0.03)
    for other in ((5, 3), (-3, -5), (0, 0)):
        assert measured(*other) < 0.15
    # Fully developed: intensity is distributed exponentially, its mean is its standard deviation.
    for intensity in (reference, secondary):
        assert intensity.mean() / intensity.std() == pytest.approx(1, abs=0.03)
