"""Scatterers on the ground, and the radar image that each of them leaves: exact sums, for the simulator.

Nothing here is shared with what processes images: places are found by Newton's method on the equations themselves,
and a scatterer between pixels is drawn by a non-uniform Fourier transform, not by an interpolator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

from sensetrack.errors import ConfigError
from sensetrack.sar.compiling import WORKS, compiled

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from sensetrack.sar.orbit import Orbit

    Floats = NDArray[np.float64]
    Complex = NDArray[np.complex64]

_AXIS = 6_378_137.0
_ECCENTRICITY = (2 - 1 / 298.257223563) / 298.257223563
"""Squared: WGS84, as is the axis (m)."""
_TAPS = 8
"""Samples of the twice finer grid, along each axis, that a scatterer is written to: errors of 1e-6 of its amplitude."""
_BETA = 2.30 * _TAPS
_DEGREE = 6
"""Of the polynomial that stands for the orbit during a burst or a scene of half a minute."""


def to_earth(lon: ArrayLike, lat: ArrayLike, height: ArrayLike) -> Floats:
    """Return Earth-fixed places (..., 3), m, from degrees and metres above the ellipsoid."""
    lam, phi, h = np.radians(lon), np.radians(lat), np.asarray(height, np.float64)
    across = _AXIS / np.sqrt(1 - _ECCENTRICITY * np.sin(phi) ** 2)
    out = np.stack(np.broadcast_arrays(np.cos(lam) * np.cos(phi), np.sin(lam) * np.cos(phi), np.sin(phi)), axis=-1)
    scale = np.stack(np.broadcast_arrays(across + h, across + h, across * (1 - _ECCENTRICITY) + h), axis=-1)
    return np.asarray(out * scale, np.float64)


def from_earth(xyz: Floats) -> tuple[Floats, Floats, Floats]:
    """Return longitude, latitude (degrees) and height above the ellipsoid (m) of Earth-fixed places (..., 3)."""
    flat, z = np.hypot(xyz[..., 0], xyz[..., 1]), xyz[..., 2]
    phi = np.arctan2(z, flat * (1 - _ECCENTRICITY))
    for _ in range(5):  # on the ellipsoid itself it is right at once
        across, before = _AXIS / np.sqrt(1 - _ECCENTRICITY * np.sin(phi) ** 2), phi
        phi = np.arctan2(z + _ECCENTRICITY * across * np.sin(phi), flat)
        if not phi.size or np.max(np.abs(phi - before)) < 1e-13:
            break
    across = _AXIS / np.sqrt(1 - _ECCENTRICITY * np.sin(phi) ** 2)
    height = flat * np.cos(phi) + z * np.sin(phi) - _AXIS**2 / across
    return np.degrees(np.arctan2(xyz[..., 1], xyz[..., 0])), np.degrees(phi), height


def axes(lon: ArrayLike, lat: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return the unit vectors east, north and up (..., 3) at places in degrees."""
    lam, phi = np.broadcast_arrays(np.radians(lon), np.radians(lat))
    zero = np.zeros_like(lam)
    east = np.stack([-np.sin(lam), np.cos(lam), zero], axis=-1)
    north = np.stack([-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)], axis=-1)
    up = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)
    return east, north, up


def dot(first: Floats, second: Floats) -> Floats:
    """Return the scalar product of vectors (..., 3)."""
    return np.asarray(np.einsum("...i,...i->...", first, second), np.float64)


@dataclass(frozen=True, eq=False)
class Path:
    """The orbit during an interval, as one polynomial: quick to follow for millions of times."""

    middle: float
    half: float
    coefficients: Floats
    """(degree + 1, 3), ascending powers of (t - middle) / half, m."""

    @classmethod
    def of(cls, orbit: Orbit, start: float, stop: float) -> Path:
        """Follow an orbit from `start` to `stop`, s since its epoch."""
        middle, half = (start + stop) / 2, max((stop - start) / 2, 1.0)
        u = np.cos(np.pi * (np.arange(4 * _DEGREE) + 0.5) / (4 * _DEGREE))
        position, _ = orbit.state(middle + half * u)
        if not np.isfinite(position).all():
            first, last = orbit.start, orbit.stop
            raise ConfigError(
                f"the orbit must cover {start:.1f} to {stop:.1f} s, instead got {first:.1f} to {last:.1f}"
            )
        return cls(middle, half, np.linalg.lstsq(np.vander(u, _DEGREE + 1, increasing=True), position)[0])

    def __call__(self, time: ArrayLike, order: int = 0) -> Floats:
        """Return the position (order 0), velocity (1) or acceleration (2) at times, (..., 3)."""
        c = np.polynomial.polynomial.polyder(self.coefficients, order) / self.half**order
        u = (np.asarray(time, np.float64) - self.middle) / self.half
        out = np.empty((*u.shape, 3))
        for axis in range(3):
            part = np.full(u.shape, c[-1, axis])
            for one in c[-2::-1, axis]:
                part *= u
                part += one
            out[..., axis] = part
        return out

    def see(self, xyz: Floats, start: ArrayLike | None = None) -> tuple[Floats, Floats]:
        """Return zero Doppler time (s) and slant range (m) of Earth-fixed places (..., 3)."""
        time = np.full(xyz.shape[:-1], self.middle) if start is None else np.array(start, np.float64)
        wide = True
        for _ in range(9):
            line, velocity = xyz - self(time), self(time, 1)
            if wide:
                slope = dot(velocity, velocity) - dot(line, self(time, 2))
            step = dot(line, velocity) / slope
            time = time + step
            largest = float(np.max(np.abs(step))) if step.size else 0.0
            # After a step of a second the slope is wrong by a thousandth: what is left is below a nanosecond.
            if largest < 1e-7:
                break
            wide = largest > 0.1
        line = xyz - self(time)
        return time, np.sqrt(dot(line, line))

    def ground(self, time: ArrayLike, distance: ArrayLike, height: ArrayLike, look: int = 1) -> Floats:
        """Return the places (..., 3) at a height (m) that are seen at times (s) and slant ranges (m).

        Newton's method on the three equations: distance, zero Doppler, height above the ellipsoid.
        """
        t, r, h = (np.asarray(part, np.float64) for part in np.broadcast_arrays(time, distance, height))
        position, velocity = self(t), self(t, 1)
        up = position / np.linalg.norm(position, axis=-1, keepdims=True)
        side = look * np.cross(velocity, up)  # ahead x up = right
        side /= np.linalg.norm(side, axis=-1, keepdims=True)
        xyz = position + r[..., None] * (0.6 * side - 0.8 * up)
        for _ in range(25):
            line = xyz - position
            lon, lat, above = from_earth(xyz)
            wrong = np.stack([dot(line, line) - r**2, dot(line, velocity), above - h], axis=-1)
            slope = np.stack([2 * line, velocity, axes(lon, lat)[2]], axis=-2)
            step = np.linalg.solve(slope, wrong[..., None])[..., 0]
            xyz = xyz - step
            if not step.size or np.max(np.abs(step)) < 1e-3:
                break
        return np.asarray(xyz, np.float64)

    def ground_speed(self, xyz: Floats, time: Floats, up: Floats) -> Floats:
        """Return how fast the line of zero Doppler passes over level ground at places (..., 3), m/s."""
        line, velocity = xyz - self(time), self(time, 1)
        ahead = np.cross(up, line)
        ahead /= np.linalg.norm(ahead, axis=-1, keepdims=True)
        return np.asarray((dot(velocity, velocity) - dot(line, self(time, 2))) / np.abs(dot(velocity, ahead)))


class Canvas:
    """Adds up points between the pixels of an image, and gives the Fourier transform of all of them.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the image; both even. It is periodic: what leaves on one side comes in on the other.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self._grid = np.zeros((2 * shape[0], 2 * shape[1]), np.complex64)

    def add(self, lines: Floats, samples: Floats, weights: NDArray[np.complex128]) -> None:
        """Add points at fractional lines and samples, (n,) each."""
        kernel = deposit_kernel if WORKS else _deposit_plain
        kernel(2 * lines, 2 * samples, weights.astype(np.complex64), self._grid)

    def spectrum(self) -> Complex:
        """Return the transform, in the order of frequencies of ``fft2``; nothing can be added any more.

        The sum of ``weight * exp(-2 pi i (f line + g sample))`` over all points, to about 1e-6 of the largest.
        """
        full = fft.fft2(self._grid, overwrite_x=True)
        del self._grid
        for axis, size in enumerate(self.shape):
            keep = np.concatenate([np.arange(size // 2), np.arange(3 * size // 2, 2 * size)])
            full = full.take(keep, axis=axis)
            gain = (1 / _transform(fft.fftfreq(size) / 2)).astype(np.float32)
            full *= gain[:, None] if axis == 0 else gain
        return np.asarray(full, np.complex64)


def _transform(frequency: Floats) -> Floats:
    """Fourier transform of the kernel at frequencies in cycles per sample of the finer grid."""
    node, weight = np.polynomial.legendre.leggauss(64)
    values = weight * np.exp(_BETA * (np.sqrt(1 - node**2) - 1)) * _TAPS / 2
    return np.asarray(np.cos(np.pi * _TAPS * np.outer(frequency, node)) @ values, np.float64)


@compiled
def deposit_kernel(lines, samples, weights, grid):  # type: ignore[no-untyped-def]
    """Add points to a grid (twice as fine, periodic), each spread over 8 x 8 samples."""
    rows, cols = grid.shape
    across = np.empty(_TAPS, np.float32)
    places = np.empty(_TAPS, np.int64)
    for n in range(lines.size):
        top = int(np.ceil(lines[n] - _TAPS / 2))
        left = int(np.ceil(samples[n] - _TAPS / 2))
        for k in range(_TAPS):
            z = (left + k - samples[n]) * 2 / _TAPS
            across[k] = np.exp(_BETA * (np.sqrt(max(1 - z * z, 0.0)) - 1))
            places[k] = (left + k) % cols
        for i in range(_TAPS):
            z = (top + i - lines[n]) * 2 / _TAPS
            value = weights[n] * np.float32(np.exp(_BETA * (np.sqrt(max(1 - z * z, 0.0)) - 1)))
            row = (top + i) % rows
            for k in range(_TAPS):
                grid[row, places[k]] += value * across[k]


def _deposit_plain(lines: Floats, samples: Floats, weights: Complex, grid: Complex) -> None:
    """Do what `deposit_kernel` does, in NumPy."""
    rows, cols = grid.shape
    first, parts = [], []
    for at in (lines, samples):
        start = np.ceil(at - _TAPS / 2).astype(np.int64)
        z = (start + np.arange(_TAPS)[:, None] - at) * 2 / _TAPS
        first.append(start)
        parts.append(np.exp(_BETA * (np.sqrt(np.maximum(1 - z**2, 0)) - 1)))
    total = np.zeros(grid.size, np.complex128)
    for i in range(_TAPS):
        row = (first[0] + i) % rows * cols
        value = weights * parts[0][i]
        for k in range(_TAPS):
            where, one = row + (first[1] + k) % cols, value * parts[1][k]
            total.real += np.bincount(where, one.real, grid.size)
            total.imag += np.bincount(where, one.imag, grid.size)
    grid += total.reshape(grid.shape).astype(np.complex64)
