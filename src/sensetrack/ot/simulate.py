"""A mountain scene with a landslide whose motion is known exactly: for the demo, the docs and the tests.

The scene is drawn in the coordinates of the reference at twice the resolution and blurred to a band that the
sampling can carry. Albedo *and* relief move with the ground, so nothing stays behind and pulls the match
towards zero; only the sun, the sky and the noise change between the two images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import fft, ndimage

from sensetrack.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_OVER = 2
"""Samples of the scene per pixel of the images, along each axis."""
_SUN = ((126.0, 51.0), (154.0, 45.0))
"""Azimuth (clockwise from the top of the image) and elevation of the sun, degrees: reference, secondary."""
_NOISE = 0.015
"""White noise (standard deviation) as a share of the 2nd to 98th percentile range of an image."""


@dataclass(frozen=True, eq=False)
class SimulatedPair:
    """Two images of one scene and what happened between them; all arrays have the shape (rows, cols).

    What is at ``reference[row, col]`` is found at ``secondary[row + d_row, col + d_col]``.
    """

    reference: NDArray[np.float32]
    """Reflectance, about 0..1, of the first image; NaN = outside the swath."""
    secondary: NDArray[np.float32]
    """Reflectance, about 0..1, of the second image; NaN = outside the swath."""
    d_row: NDArray[np.float64]
    """True offset down the rows at every pixel of the reference, px; never NaN."""
    d_col: NDArray[np.float64]
    """True offset along the columns at every pixel of the reference, px; never NaN."""
    stable: NDArray[np.bool_]
    """True where the ground did not move and neither nodata, cloud nor cloud shadow is in the way."""
    cloud: NDArray[np.bool_]
    """True where a cloud covers the secondary (its soft edge included)."""


def mountain_pair(
    shape: tuple[int, int] = (768, 896), *, peak: tuple[float, float] = (6.5, 3.8), seed: int = 7
) -> SimulatedPair:
    """Draw a valley flank before and after a landslide of known motion, as a `SimulatedPair`.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the images, px.
    peak : (float, float)
        Offset (rows, columns) where the landslide moved most, px. The slope falls that way.
    seed : int
        Seed of everything random: the same seed gives the same pair.

    Raises
    ------
    ConfigError
        Where the image is too small for a landslide that moves by `peak`.
    """
    margin = max(20.0, 2.8 * float(np.hypot(*peak)))
    least = int(np.ceil(9.5 * margin))
    if min(shape) < least:
        message = f"shape must be at least {least} x {least} px for a peak of {peak} px, instead got {shape}"
        raise ConfigError(message)
    rng = np.random.default_rng(seed)
    scene, pixels = _Frame(shape, peak, _OVER), _Frame(shape, peak, 1)
    outline = _outline(pixels, rng)
    d_row, d_col = _motion(pixels, outline, margin, peak)
    relief = _relief(scene, rng)
    debris = _finer(ndimage.gaussian_filter(outline.astype(np.float32), 2.5))
    albedo = _albedo(scene, relief, debris, rng)
    # The optics blur what is finer than a pixel, so that resampling and averaging add no error.
    first, second = (ndimage.gaussian_filter(albedo * _sunlight(relief, *sun), 0.55 * _OVER) for sun in _SUN)
    _carry(second, d_row, d_col)
    first, second = (s.reshape(shape[0], _OVER, -1, _OVER).mean(axis=(1, 3)) for s in (first, second))
    noise = _NOISE * np.subtract(*np.percentile(first, [98, 2])) * rng.standard_normal((2, *shape))
    cover, shadow, brightness = _sky(pixels, rng)
    second = second * (1 - 0.6 * shadow) * (1 - cover) + cover * brightness
    # Slanted edges of the swaths: upper left of the reference, lower right of the secondary.
    row, col = np.indices(shape)
    outside = np.stack([col + 0.27 * row < 0.13 * shape[1], col + 0.27 * (row - shape[0]) > 0.915 * shape[1]])
    reference, secondary = np.where(outside, np.nan, np.stack([first, second]) + noise).astype(np.float32)
    cloud = cover > 0.02
    stable = (d_row == 0) & (d_col == 0) & ~(outside.any(axis=0) | cloud | (shadow > 0.02))
    return SimulatedPair(reference, secondary, d_row, d_col, stable, cloud)


class _Frame:
    """Coordinates down `along` the slope and `across` it, px / `unit`, the size against the default scene."""

    def __init__(self, shape: tuple[int, int], peak: tuple[float, float], over: int) -> None:
        self.shape, self.over, self.unit = (shape[0] * over, shape[1] * over), over, min(shape) / 768
        row = (np.arange(self.shape[0], dtype=np.float32) + 0.5) / over - 0.43 * shape[0]
        col = (np.arange(self.shape[1], dtype=np.float32) + 0.5) / over - 0.46 * shape[1]
        length = float(np.hypot(*peak))
        down, right = (peak[0] / length, peak[1] / length) if length > 0 else (1.0, 0.0)
        row, col = row[:, None] / self.unit, col[None, :] / self.unit
        self.along = row * down + col * right
        self.across = col * down - row * right

    def noise(self, rng: np.random.Generator, slope: float, longest: float, shortest: float = 1.0) -> Array:
        """Gaussian noise of mean 0 and standard deviation 1 whose amplitude falls as wavenumber ** -slope.

        Wavelengths from `shortest` to `longest` are in pixels of the images at the default size.
        """
        size = [fft.next_fast_len(n, real=True) for n in self.shape]
        spectrum = fft.rfft2(rng.standard_normal(size, dtype=np.float32))
        k = np.hypot(fft.fftfreq(size[0])[:, None], fft.rfftfreq(size[1])[None, :]).astype(np.float32)
        low, high = 1 / (longest * self.over * self.unit), 1 / (shortest * self.over)
        gain = (k**2 + low**2) ** np.float32(-slope / 2) * np.exp(-((k / high) ** 4)) * (k > 0)
        out = fft.irfft2(spectrum * gain.astype(np.float32), s=size)[: self.shape[0], : self.shape[1]]
        return np.asarray((out - out.mean()) / out.std(), np.float32)


def _outline(frame: _Frame, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Inside of the landslide: a tongue with a wide head, a waist and an uneven, lobed edge."""
    u, v = (frame.along + 20) / 240, (frame.across - 16 * np.sin(frame.along / 100)) / 122
    waist = 1 - 0.28 * np.exp(-(((u - 0.15) / 0.3) ** 2)) - 0.12 * u
    waves = zip(range(3, 8), (0.07, 0.06, 0.05, 0.04, 0.03), rng.uniform(0, 6.3, 5), strict=True)
    lobes = sum(size * np.cos(k * np.arctan2(v, u) + start) for k, size, start in waves)
    return np.asarray(u**2 + (v / waist) ** 2 < (1 + lobes) ** 2)


def _motion(
    frame: _Frame, outline: NDArray[np.bool_], margin: float, peak: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offsets at the pixels of the reference: `peak` in the upper middle, zero at and beyond the outline."""
    taper = _smooth(ndimage.distance_transform_edt(outline) / margin)
    pace = 0.55 + 0.45 * np.exp(-(((frame.along + 85) / 150) ** 2) - ((frame.across - 8) / 120) ** 2)
    size = ndimage.gaussian_filter((taper * pace).astype(np.float64), 2.5)
    # The blur's tail would leave motions of 1e-6 px around the landslide: stable ground is exactly still.
    size = np.maximum(size - 1e-3 * size.max(), 0)
    top = np.unravel_index(np.argmax(size), size.shape)
    size /= size[top]
    # Material turns a little as it comes down, by at most some 15 degrees.
    turn = -0.26 * np.tanh((frame.along - frame.along[top]) / 160).astype(np.float64)
    cos, sin = size * np.cos(turn), size * np.sin(turn)
    return peak[0] * cos - peak[1] * sin, peak[0] * sin + peak[1] * cos


def _relief(frame: _Frame, rng: np.random.Generator) -> Array:
    """Height in pixels of the images: spurs and gullies above a valley."""
    u, v = frame.along, frame.across
    bend = frame.noise(rng, 3.0, 400, 60)
    valley = np.sqrt((u - 285 - 35 * bend) ** 2 + 45**2)
    # Ridged noise: the crease of |noise| is a gully, its smooth top a spur; the finer follows the coarser.
    coarse = np.sqrt(frame.noise(rng, 3.1, 300, 30) ** 2 + 0.06)
    fine, rough = np.abs(frame.noise(rng, 2.6, 90, 14)), frame.noise(rng, 2.0, 40, 3)
    crags = 72 * coarse + (4 + 4 * np.minimum(coarse, 2)) * fine + 0.2 * rough
    gullies = 20 * np.sqrt(np.sin(v / 46 + 1.4 * bend) ** 2 + 0.08) * np.exp(-(((u - 20) / 300) ** 2))
    return np.asarray(
        frame.unit * (0.42 * valley + (0.25 + np.minimum(valley / 620, 1)) * (crags + gullies)), np.float32
    )


def _sunlight(relief: Array, azimuth: float, elevation: float) -> Array:
    """Light on the ground from sun and sky, 1 on flat ground."""
    down, right = (g * _OVER for g in np.gradient(relief))
    az, el = np.deg2rad(azimuth), np.deg2rad(elevation)
    # Row steps point away from the top (azimuth 0), column steps towards azimuth 90.
    facing = np.sin(el) + np.cos(el) * (np.cos(az) * down - np.sin(az) * right)
    lambert = facing / np.sqrt(1 + down**2 + right**2) / np.sin(el)
    # A soft floor instead of a sharp one: the terminator must not add detail the sampling cannot carry.
    return np.asarray(0.22 + 0.39 * (lambert + np.sqrt(lambert**2 + 0.02)), np.float32)


def _albedo(frame: _Frame, relief: Array, debris: Array, rng: np.random.Generator) -> Array:
    """Reflectance of flat ground: rock, forest, fields, river, road and the bare landslide."""
    u, v = frame.along, frame.across
    patches, grain = frame.noise(rng, 1.5, 120, 3), frame.noise(rng, 0.55, 30, 1.7)
    streaks, high = frame.noise(rng, 1.0, 24, 2.0), (relief - np.median(relief)) / relief.std()
    rock = 0.27 + 0.035 * patches
    forest = _smooth(0.5 + (0.35 - high + 0.8 * patches) / 0.75)
    ground = rock + forest * (0.115 + 0.02 * streaks - rock)
    river = u - 290 - 24 * np.sin(v / 70) - 10 * np.sin(v / 27 + 1)
    flat = _smooth(0.5 + (92 - np.abs(river) + 16 * patches) / 36) * (1 - debris)
    ground += flat * (_fields(u - 0.35 * v, v + 0.35 * u, rng) - ground)
    road = np.abs(u - 226 - 14 * np.sin(v / 95 + 2) - 5 * np.sin(v / 31)) * frame.unit
    ground += np.exp(-((road / 1.6) ** 2)) * (1 - debris) * (0.42 - ground)
    bank = _smooth(0.5 + (13 - np.abs(river)) / 4.5)
    ground += bank * (0.36 + 0.03 * streaks - ground)
    ground += _smooth(0.5 + (6 + 2 * patches - np.abs(river + 4 * np.sin(v / 13))) / 3) * bank * (0.07 - ground)
    ground += 0.85 * debris * (0.33 + 0.045 * streaks + 0.03 * patches - ground)
    return np.asarray(np.clip(ground * (1 + 0.22 * grain * (1 - 0.5 * flat)), 0.02, 0.95), np.float32)


def _fields(u: Array, v: Array, rng: np.random.Generator) -> Array:
    """Reflectance of a patchwork of narrow strips."""
    strip = np.floor(u / 23).astype(np.int32) % 97
    parcel = np.floor(v / 52 + rng.uniform(0, 1, 97).astype(np.float32)[strip]).astype(np.int32) % 89
    return np.asarray(rng.uniform(0.13, 0.34, (97, 89)).astype(np.float32)[strip, parcel])


def _smooth(x: Array) -> Array:
    """Smooth step from 0 at 0 to 1 at 1."""
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x))


def _carry(scene: Array, d_row: Array, d_col: Array) -> None:
    """Move the scene (changed in place) along with the ground."""
    size = np.hypot(d_row, d_col)
    if not size.any():
        return
    pad, (found,) = int(np.ceil(size.max())) + 8, ndimage.find_objects((size > 0).astype(np.int8))
    # A slice may end beyond the image, but not begin before it.
    box = tuple(slice(max(side.start - pad, 0), side.stop + pad) for side in found)
    here = np.indices(size[box].shape, float)
    parts = [ndimage.spline_filter(d[box], 3, mode="nearest") for d in (d_row, d_col)]
    # What is at y came from x = y - d(x). The offsets change by less than 0.8 px per px: this converges.
    back, change = np.zeros_like(here), np.inf
    while change > 1e-5:
        at = here + back
        new = -np.stack([ndimage.map_coordinates(p, at, mode="nearest", prefilter=False) for p in parts])
        change, back = np.abs(new - back).max(), new
    fine = tuple(slice(s.start * _OVER, s.stop * _OVER) for s in box)
    way = np.stack([_OVER * _finer(b, order=3) for b in back])
    way += np.indices(way[0].shape)
    scene[fine] = ndimage.map_coordinates(scene[fine], way, order=5, mode="nearest")


def _finer(values: Array, order: Literal[1, 3] = 1) -> Array:
    """Sample pixel values at the finer samples of the scene."""
    return np.asarray(ndimage.zoom(values, _OVER, order=order, mode="nearest", grid_mode=True))


def _sky(frame: _Frame, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Cloud cover 0..1, its shadow 0..1, the cloud's brightness; it touches a flank of the landslide."""
    billows, wisps = frame.noise(rng, 1.9, 90, 4), frame.noise(rng, 1.4, 45, 2)
    away = ((frame.along + 20) / 105) ** 2 + ((frame.across - 212) / 125) ** 2
    thickness = 0.75 - away + 0.34 * billows + 0.05 * wisps - 2.5 * np.maximum(away - 1.1, 0)
    cover = _smooth(thickness / 0.5)
    azimuth = np.deg2rad(_SUN[1][0])
    away = 62 * frame.unit * np.array([np.cos(azimuth), -np.sin(azimuth)])
    shadow = np.clip(ndimage.shift(ndimage.gaussian_filter(cover, 3), away, order=1), 0, 1)
    brightness = 0.74 + 0.10 * np.clip(thickness, 0, 1) + 0.035 * billows + 0.015 * wisps
    return cover, shadow, np.clip(brightness, 0.5, 0.98)
