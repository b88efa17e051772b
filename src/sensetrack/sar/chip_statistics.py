"""How much the pixels of chips are worth: how many there are, and how unevenly their power is spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.sar.spectrum import Axis

    Floats = NDArray[np.float64]
    Pair = tuple[int, int]

_RAYLEIGH = 4 / np.pi - 1
"""Variance of the amplitude of speckle over its squared mean."""
_CALIBRATION = 0.44
"""Variance of offsets by amplitude in simulations over that of De Zan's formula for intensities."""
_MOST = 100.0
"""Texture beyond which all chips are alike."""


class Worth(NamedTuple):
    """What is known of chips before they are matched; (posts down, posts across)."""

    number: Floats
    """Pixels that are valid in both images where nothing moves."""
    texture: Floats
    """Mean squared power over that of speckle of the same mean power, at least 1: by so much fewer pixels count."""
    speckle: Floats
    """Share of the variance of the amplitude that is speckle; the rest is the scene."""

    @property
    def pixels(self) -> Floats:
        """Pixels of evenly bright ground that tell as much."""
        return np.asarray(np.maximum(self.number, 1) / self.texture)


def worth(reference: NDArray[np.complex64], good: NDArray[np.bool_], chip: Pair, step: Pair, posts: Pair) -> Worth:
    """Look at the pixels of chips.

    Parameters
    ----------
    reference : ndarray
        (rows, cols): chip [i, j] starts at (i step, j step).
    good : ndarray of bool
        (rows, cols): True where both images have a pixel.
    """
    power = np.where(good, reference.real**2 + reference.imag**2, np.float32(0))
    layers = good.view(np.uint8), np.sqrt(power), power, power * power
    number, amplitude, energy, square = (_under(layer, chip, step, posts) for layer in layers)
    count = np.maximum(number, 1)
    mean, power_mean = amplitude / count, energy / count
    safe = np.maximum(power_mean, 1e-30)
    texture = np.clip(square / count / (2 * safe**2), 1, _MOST)
    spread = np.maximum(power_mean - mean**2, 1e-30)
    # With A = t r, t of the scene and r of the speckle: var A = <t^2> var r + var t <r>^2.
    speckle = np.clip(power_mean / (1 + _RAYLEIGH) * _RAYLEIGH / spread, 1e-3, 1)
    return Worth(number, texture, speckle)


def _under(layer: NDArray[Any], chip: Pair, step: Pair, posts: Pair) -> Floats:
    """Sum a layer under each chip."""
    total = np.asarray(cv2.integral(layer, sdepth=cv2.CV_64F))
    top, left = (np.arange(n) * by for n, by in zip(posts, step, strict=True))
    rows = total[top + chip[0]] - total[top]
    return np.asarray(rows[:, left + chip[1]] - rows[:, left])


def amplitude_variance(
    score: NDArray[Any], bound: NDArray[Any], chips: Worth, axes: tuple[Axis, Axis], samples: int
) -> Floats:
    """(..., 3): variances of offsets by amplitude, px^2; NaN where the peak is not clean.

    For speckle after De Zan (2014), "Accuracy of incoherent speckle tracking for circular Gaussian signals", where the
    correlation of intensities is the squared coherence, and amplitudes do somewhat better at the same score; the share
    of the score that is the scene's is taken off first. Where the scene says more than its speckle, the Cramer-Rao
    bound for noise as coarse as speckle.

    Parameters
    ----------
    score : ndarray
    bound : ndarray
        (..., 3): that of `sensetrack.ot.engine`, px^2, which takes all samples of a chip for independent.
    samples : int
        Samples of a chip there.
    """
    down, across = (axis.detected for axis in axes)
    own = np.clip(1 - (1 - np.clip(score, 1e-3, 1.0)) / chips.speckle, 1e-3, 1.0)
    spread = _CALIBRATION * (2 + 5 * own - 7 * own**2 + 1e-3) / (chips.pixels * own**2)
    coarse = samples / (chips.pixels * axes[0].looks * axes[1].looks)
    rows, cols = (
        np.minimum(spread * slope * other, bound[..., k] * coarse)
        for k, (slope, other) in enumerate(((down[0], across[1]), (across[0], down[1])))
    )
    return np.stack([rows, cols, np.zeros_like(rows) * rows], axis=-1)
