"""Pairs of scenes of any size whose motion is known exactly, and how far a result is from it.

A scene is a cloud of Gaussian scatterers. The reference draws each at its place p, the secondary at p + d(p): both
are drawn from the continuous scene, nothing is interpolated. A share of the scatterers is replaced between the two,
and both get white noise. Scenes are drawn strip by strip, so that a pair larger than memory can go to disk.

    python benchmarks/scenes.py speckle 4096 /some/folder  [seed]
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numba
import numpy as np

if TYPE_CHECKING:
    from sensetrack import OffsetField

Pair = tuple[np.ndarray, np.ndarray]

MEAN = 2.3, -1.7
"""Mean motion (rows, cols), px."""
WAVE, LENGTH = 3.0, 2048.0
"""Amplitude and wavelength of the waves of the motion, px: shear up to 0.009."""
REPLACED, NOISE = 0.15, 0.05
"""Share of scatterers that are others in the secondary; white noise as a share of the scene's deviation."""
UNIT = 100.0
"""Standard deviation of a scene in the pixels' unit: whole numbers then lose nothing that matters."""
STRIP = 256
"""Rows drawn at a time; a scene depends on it as on the seed."""
WRONG = 1.0
"""An offset further than this from the truth is an outlier, px."""
BINS = 10
"""Bins of the sub-pixel histogram."""
SHUFFLES = 8
"""Times the errors are dealt out for the histogram it is held against."""


class Layer(NamedTuple):
    """Scatterers of one size."""

    sigma: float
    """Standard deviation of their spread, px."""
    density: float
    """Scatterers a pixel."""
    weight: float

    @property
    def reach(self) -> int:
        """Pixels beyond which a scatterer is not drawn."""
        return int(np.ceil(4.4 * self.sigma))

    @property
    def variance(self) -> float:
        """What the layer adds to the variance of a (real) scene."""
        return self.density * self.weight**2 * np.pi * self.sigma**2


LAYERS = {
    "speckle": (Layer(0.85, 1.0, 1.0),),
    "texture": (Layer(0.9, 0.5, 1.0), Layer(2.0, 0.12, 1.2), Layer(5.0, 0.02, 1.5)),
}
"""Speckle is the amplitude of a coherent sum, texture a real sum at three scales."""


def new_seed() -> int:
    """Return a seed nobody has chosen."""
    return int.from_bytes(os.urandom(3), "big")


@numba.njit(cache=True, inline="always")
def _moved(row: float, col: float) -> tuple[float, float]:
    k = 2 * np.pi / LENGTH
    down = MEAN[0] + WAVE * np.sin(k * col) * np.cos(0.7 * k * row)
    right = MEAN[1] + WAVE * np.cos(0.8 * k * col + 0.5) * np.sin(k * row)
    return row + down, col + right


@numba.njit(cache=True, inline="always")
def _spread(off: float, sigma: float, bell: np.ndarray, taps: np.ndarray) -> None:
    """Write exp(-(j - off)^2 / 2 sigma^2) for j = -reach .. reach, by products: exp is what drawing would wait for."""
    reach = bell.size - 1
    up = np.exp(-0.5 * (off / sigma) ** 2)
    down, more = up, np.exp(off / sigma**2)
    less = 1 / more
    for j in range(reach + 1):
        taps[reach + j] = up * bell[j]
        taps[reach - j] = down * bell[j]
        up *= more
        down *= less


@numba.njit(cache=True, nogil=True, fastmath=True)
def _draw(image: np.ndarray, top: int, place: np.ndarray, height: np.ndarray, bell: np.ndarray, moved: bool) -> None:  # noqa: FBT001
    """Add scatterers to `image` (parts, rows, cols), whose first row is row `top` of the scene."""
    parts, _, cols = image.shape
    reach, sigma = bell.size - 2, bell[-1]
    by_row, by_col = np.empty(2 * reach + 1), np.empty(2 * reach + 1, np.float32)
    for i in range(place.shape[1]):
        row, col = place[0, i], place[1, i]
        if moved:
            row, col = _moved(row, col)
        at_row, at_col = int(np.floor(row + 0.5)), int(np.floor(col + 0.5))
        first = max(reach - at_col, 0)
        number = min(reach + cols - at_col, 2 * reach + 1) - first
        if number < 1:
            continue
        _spread(row - at_row, sigma, bell[:-1], by_row)
        _spread(col - at_col, sigma, bell[:-1], by_col)
        for part in range(parts):
            for j in range(-reach, reach + 1):
                gain = np.float32(height[part, i] * by_row[reach + j])
                row_of = image[part, at_row - top + j]
                start = at_col - reach + first
                for c in range(number):
                    row_of[start + c] += gain * by_col[first + c]


def strips(kind: str, size: int, seed: int) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield a scene from its top: rows, and the pixels (float32) of reference and secondary there."""
    layers, parts = LAYERS[kind], 2 if kind == "speckle" else 1
    margin = max(layer.reach for layer in layers) + 7  # and the largest motion
    images = np.zeros((2, parts, STRIP + 2 * margin, size), np.float32)
    with ThreadPoolExecutor(2) as pool:
        for number, top in enumerate(range(-2 * margin, size, STRIP)):
            rng = np.random.default_rng([seed, number])
            for layer in layers:
                place, heights = _scatterers(rng, layer, parts, top + margin, size, margin)
                bell = np.exp(-0.5 * (np.arange(layer.reach + 1) / layer.sigma) ** 2)
                bell = np.append(bell, layer.sigma)
                both = zip(images, heights, (False, True), strict=True)
                list(pool.map(lambda a, t=top, p=place, b=bell: _draw(a[0], t, p, a[1], b, a[2]), both))
            rows = slice(max(top, 0), min(top + STRIP, size))
            if rows.start < rows.stop:  # rows above were reached by scatterers outside the scene only
                done = images[:, :, rows.start - top : rows.stop - top]
                yield rows, *(_finished(kind, pixels, rng) for pixels in done)
            images[:, :, : 2 * margin] = images[:, :, STRIP:].copy()
            images[:, :, 2 * margin :] = 0


def _scatterers(
    rng: np.random.Generator, layer: Layer, parts: int, first: int, size: int, margin: int
) -> tuple[np.ndarray, Pair]:
    """Places (2, n) of the scatterers of a strip, and their heights (parts, n) in reference and secondary."""
    number = round(layer.density * STRIP * (size + 2 * margin))
    place = rng.random((2, number))
    place *= np.array([[STRIP], [size + 2 * margin]])
    place += np.array([[first], [-margin]])
    before = layer.weight * rng.standard_normal((parts, number), np.float32)
    other = np.flatnonzero(rng.random(number) < REPLACED)
    after = before.copy()
    after[:, other] = layer.weight * rng.standard_normal((parts, other.size), np.float32)
    return place, (before, after)


def _finished(kind: str, parts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Make pixels of sums: positive, of the deviation `UNIT`, with noise."""
    deviation = np.sqrt(sum(layer.variance for layer in LAYERS[kind]))
    if kind == "speckle":
        deviation *= np.sqrt(2 - np.pi / 2)  # of the amplitude: Rayleigh's
        pixels, level = np.hypot(*parts), 1.0
    else:
        pixels, level = parts[0], 6.0
    noise = NOISE * rng.standard_normal(pixels.shape, np.float32)
    return UNIT * (pixels / np.float32(deviation) + noise + np.float32(level))


def arrays(kind: str, size: int, seed: int) -> Pair:
    """Reference and secondary (float32, size x size) in memory."""
    out = np.empty((2, size, size), np.float32)
    for rows, *pixels in strips(kind, size, seed):
        out[:, rows] = pixels
    return out[0], out[1]


def write_pair(kind: str, size: int, seed: int, folder: Path, dtype: str = "uint16") -> tuple[Path, Path]:
    """Write a pair as tiled GeoTIFFs (10 m pixels in UTM), never holding more than a strip of it."""
    import rasterio
    from affine import Affine
    from rasterio.windows import Window

    paths = tuple(folder / f"{kind}-{size}-{name}.tif" for name in ("reference", "secondary"))
    profile = {
        "driver": "GTiff", "width": size, "height": size, "count": 1, "dtype": dtype, "tiled": True, "blockxsize": 256,
        "blockysize": 256, "crs": "EPSG:32632", "transform": Affine(10, 0, 600_000, 0, -10, 4_950_000),
    }  # fmt: skip
    whole = np.dtype(dtype).kind in "ui"
    with rasterio.open(paths[0], "w", **profile) as first, rasterio.open(paths[1], "w", **profile) as second:
        for rows, *pair in strips(kind, size, seed):
            window = Window(0, rows.start, size, rows.stop - rows.start)
            for file, pixels in zip((first, second), pair, strict=True):
                values = np.clip(np.rint(pixels), 1, np.iinfo(dtype).max) if whole else pixels
                file.write(values.astype(dtype), 1, window=window)
    return paths


def truth(rows: np.ndarray, cols: np.ndarray, chip: tuple[int, int] = (1, 1)) -> np.ndarray:
    """Motion averaged over the pixels of chips: (2, rows, cols), px.

    `rows` and `cols` are the chips' centres; pixel [0, 0] is at 0. The waves are products of sines, whose means over
    evenly spaced pixels are known in closed form.
    """
    k = 2 * np.pi / LENGTH
    r, c = rows[:, None], cols[None, :]

    def fade(number: int, rate: float) -> float:
        return float(np.sin(number * rate / 2) / (number * np.sin(rate / 2)))

    down = np.sin(k * c) * fade(chip[1], k) * np.cos(0.7 * k * r) * fade(chip[0], 0.7 * k)
    right = np.cos(0.8 * k * c + 0.5) * fade(chip[1], 0.8 * k) * np.sin(k * r) * fade(chip[0], k)
    return np.stack([MEAN[0] + WAVE * down, MEAN[1] + WAVE * right])


def found_by(field: OffsetField) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Motion (2, rows, cols) of every post of a field, and where the posts are, as `truth` counts."""
    motion = np.stack([field.d_row, field.d_col])
    rows, cols = (
        start - 0.5 + step * np.arange(number)
        for start, step, number in zip(field.start, field.step, motion.shape[1:], strict=True)
    )
    return motion, rows, cols


@dataclass(frozen=True)
class Accuracy:
    """How far offsets are from the truth; all over inliers but the share of outliers. px."""

    number: int
    outliers: float
    """Share that is more than `WRONG` off, or missing."""
    bias: float
    """Mean error of rows or of columns, whichever is larger."""
    rmse: float
    """Of both components."""
    nmad: float
    flatness: float
    """Sub-pixel histogram of the offsets against one of equal errors at any fraction: largest deviation, share."""
    curve: tuple[float, ...]
    """Mean error by fraction of a pixel of the truth (around 0, 0.1 .. 0.9), the bias taken off."""


def accuracy(found: np.ndarray, true: np.ndarray) -> Accuracy:
    """Compare offsets (2, ...) with the truth."""
    found, true = found.reshape(2, -1), true.reshape(2, -1)
    error = found - true
    good = np.hypot(*error) <= WRONG  # False where missing
    if not good.any():
        return Accuracy(good.size, 1.0, *[np.nan] * 4, (np.nan,) * BINS)
    found, true, error = found[:, good], true[:, good], error[:, good]
    means = error.mean(axis=1)
    centred = np.abs(error - np.median(error, axis=1, keepdims=True))
    flatness, curve = _by_fraction(found, true, error - means[:, None])
    return Accuracy(
        number=good.size,
        outliers=1 - float(good.mean()),
        bias=float(means[np.argmax(np.abs(means))]),
        rmse=float(np.sqrt(np.mean(error**2))),
        nmad=1.4826 * float(np.median(centred)),
        flatness=flatness,
        curve=curve,
    )


def _by_fraction(found: np.ndarray, true: np.ndarray, error: np.ndarray) -> tuple[float, tuple[float, ...]]:
    """Largest deviation of the sub-pixel histogram, and the mean error by fraction; NaN where there is no truth.

    The motion has some fractions more often than others, and even errors that do not depend on the fraction blur
    that: the histogram is held against that of the truth with the same errors, but dealt out at random.
    """

    def histogram(offset: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        bins = np.floor((offset % 1) * BINS + 0.5).astype(int).ravel() % BINS
        return np.bincount(bins, weights, BINS).astype(float)

    rng = np.random.default_rng(0)
    expected = sum(histogram(true + rng.permutation(error, axis=1)) for _ in range(SHUFFLES)) / SHUFFLES
    number = histogram(true)
    number[number == 0] = expected[expected == 0] = np.nan
    curve = histogram(true, error.ravel()) / number
    return float(np.nanmax(np.abs(histogram(found) / expected - 1))), tuple(curve.tolist())


if __name__ == "__main__":
    seed_ = int(sys.argv[4]) if len(sys.argv) > 4 else new_seed()
    print(*write_pair(sys.argv[1], int(sys.argv[2]), seed_, Path(sys.argv[3])), "seed", seed_)
