"""Pairs of images whose motion is known exactly: nothing symmetric, nothing square.

A scene is a cloud of blobs. The reference draws each at its place p, the secondary at p + d(p): both images are
drawn from the continuous scene, nothing is interpolated, and what is at ``reference[p]`` is at
``secondary[p + d(p)]`` to machine precision.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from affine import Affine
from scipy import ndimage

from sensetrack import Image
from sensetrack.ot.interfaces import OffsetField

Motion = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

TALL = Affine(10, 0, 600_000, 0, -20, 4_950_000)
"""North-up pixels of 10 m x 20 m."""
UTM = "EPSG:32632"

BUMP_SIGMA = 80.0
"""Width of the Gaussian bump (standard deviation, px): a 512 x 512 field of 3 and -2 px then has an RMS of 1."""


def uniform(d_row: float, d_col: float) -> Motion:
    """The same motion everywhere."""
    return lambda row, col: (np.full_like(row, d_row, float), np.full_like(col, d_col, float))


def bump(shape: tuple[int, int], peak: tuple[float, float] = (3.0, -2.0), sigma: float = BUMP_SIGMA) -> Motion:
    """A Gaussian bump in the middle: 3 px down and 2 px left at its top."""

    def motion(row, col):
        r2 = (row - shape[0] / 2) ** 2 + (col - shape[1] / 2) ** 2
        g = np.exp(-r2 / (2 * sigma**2))
        return peak[0] * g, peak[1] * g

    return motion


def draw(shape: tuple[int, int], row: np.ndarray, col: np.ndarray, height: np.ndarray, sigma: float) -> np.ndarray:
    """Sum of Gaussian blobs; (row, col) are in pixel centres."""
    image = np.zeros(shape)
    reach = int(np.ceil(4.5 * sigma))
    offsets = np.arange(-reach, reach + 1)
    base_r, base_c = np.round(row).astype(int), np.round(col).astype(int)
    for i in offsets:
        r = base_r + i
        wr = np.exp(-((r - row) ** 2) / (2 * sigma**2)) * height
        for j in offsets:
            c = base_c + j
            inside = (r >= 0) & (r < shape[0]) & (c >= 0) & (c < shape[1])
            value = wr * np.exp(-((c - col) ** 2) / (2 * sigma**2))
            np.add.at(image, (r[inside], c[inside]), value[inside])
    return image


def arrays(
    shape: tuple[int, int] = (300, 340), motion: Motion | None = None, *, seed: int = 0, noise: float = 0.02
) -> tuple[np.ndarray, np.ndarray]:
    """Reference and secondary pixels (float64) of a scene with texture at three scales.

    `noise` is white, new in each image, as a share of the standard deviation of the scene.
    """
    motion = motion or uniform(3, 5)
    rng = np.random.default_rng(seed)
    images = np.zeros((2, *shape))
    for sigma, weight in ((1.0, 1.0), (2.2, 0.6), (5.0, 0.35)):
        margin = 40 + 5 * sigma
        number = int(0.35 / sigma**2 * (shape[0] + 2 * margin) * (shape[1] + 2 * margin))
        row = rng.uniform(-margin, shape[0] + margin, number)
        col = rng.uniform(-margin, shape[1] + margin, number)
        height = weight * rng.normal(size=number)
        d_row, d_col = motion(row, col)
        images[0] += draw(shape, row, col, height, sigma)
        images[1] += draw(shape, row + d_row, col + d_col, height, sigma)
    images += noise * images[0].std() * rng.normal(size=images.shape)
    return images[0], images[1]


def make_pair(
    shape: tuple[int, int] = (300, 340),
    motion: Motion | None = None,
    *,
    affine: Affine | None = TALL,
    crs: str | None = UTM,
    seed: int = 0,
    noise: float = 0.02,
) -> tuple[Image, Image]:
    """Reference and secondary of a scene on one grid."""
    reference, secondary = arrays(shape, motion, seed=seed, noise=noise)
    return Image(reference, affine, crs), Image(secondary, affine, crs)


SPREAD = 0.85
"""Point spread of `speckle` (standard deviation, px)."""


def speckle(
    shape: tuple[int, int] = (300, 340), motion: Motion | None = None, *, coherence: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Reference and secondary amplitude (float64) of fully developed speckle, without any other texture.

    Complex Gaussian scatterers, four a pixel, each somewhere in its quarter: the reference draws them at their places
    p, the secondary at p + d(p), where an evenly spread share 1 - `coherence` of them is replaced by others. That
    share is what the complex coherence lacks. For motions up to 12 px.
    """
    motion = motion or uniform(3, 5)
    rng = np.random.default_rng(seed)
    margin = 18
    corner = np.indices([2 * (n + 2 * margin) for n in shape]).reshape(2, -1)
    row, col = (corner + rng.uniform(size=corner.shape)) / 2 - margin - 0.5
    first, other = rng.normal(size=(2, row.size, 2)).view(complex)[..., 0]
    # Low-discrepancy lattice (R2): a random share would leave patches of more and of less coherence.
    kept = (rng.uniform() + (0.7548776662, 0.5698402910) @ corner) % 1 < coherence
    d_row, d_col = motion(row, col)
    reference = _sum_of_spreads(shape, row, col, first)
    secondary = _sum_of_spreads(shape, row + d_row, col + d_col, np.where(kept, first, other))
    return np.abs(reference), np.abs(secondary)


def _sum_of_spreads(shape: tuple[int, int], row: np.ndarray, col: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Complex sum of the point spreads of scatterers; (row, col) are in pixel centres."""
    reach = int(np.ceil(4.5 * SPREAD))
    width = shape[1] + 4 * reach
    size = (shape[0] + 4 * reach) * width
    base_r, base_c = np.round(row).astype(int), np.round(col).astype(int)
    near = (base_r >= -reach) & (base_r < shape[0] + reach) & (base_c >= -reach) & (base_c < shape[1] + reach)
    row, col, weight, base_r, base_c = (part[near] for part in (row, col, weight, base_r, base_c))
    pixel = (base_r + 2 * reach) * width + base_c + 2 * reach
    taps = range(-reach, reach + 1)
    by_col = [np.exp(-((base_c + j - col) ** 2) / (2 * SPREAD**2)) for j in taps]
    image = np.zeros((2, size))
    for i in taps:
        line = weight * np.exp(-((base_r + i - row) ** 2) / (2 * SPREAD**2))
        for j, gain in zip(taps, by_col, strict=True):
            for k, part in enumerate((line.real, line.imag)):
                image[k] += np.bincount(pixel + i * width + j, part * gain, size)
    cut = slice(2 * reach, -2 * reach)
    return (image[0] + 1j * image[1]).reshape(-1, width)[cut, cut]


def truth_at(field: OffsetField, motion: Motion, chip: tuple[int, int] = (1, 1)) -> tuple[np.ndarray, np.ndarray]:
    """Motion at the posts of a field, averaged over the chips (posts are chip centres)."""
    rows = np.arange(field.grid.shape[0])[:, None] * field.step[0]
    cols = np.arange(field.grid.shape[1])[None, :] * field.step[1]
    last = rows[-1, 0] + chip[0], cols[0, -1] + chip[1]
    full = motion(*np.indices(last, float))
    if chip == (1, 1):
        return full[0][rows, cols], full[1][rows, cols]
    # Mean over [r, r + chip): the box filter's window starts chip // 2 before its origin.
    half = chip[0] // 2, chip[1] // 2
    means = [ndimage.uniform_filter(part, chip, mode="nearest") for part in full]
    return tuple(part[rows + half[0], cols + half[1]] for part in means)


def rmse(field: OffsetField, truth: tuple[np.ndarray, np.ndarray]) -> float:
    """Root mean square error of both components over good posts, px."""
    error = np.stack([field.d_row - truth[0], field.d_col - truth[1]])[:, field.good]
    return float(np.sqrt(np.mean(error**2)))
