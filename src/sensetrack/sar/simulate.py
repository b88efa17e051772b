"""Radar images of a scene that is known exactly: SLC bursts with their carrier, and detected images.

Every scatterer of a `Scene` is placed by the range and Doppler equations and summed into the image with the phase of
its distance; the band that the processor keeps, and its window, shape speckle and points alike. What a processor
does to images (interpolating, deramping, its geometry) is not used here, so that it can be held against them::

    scene = Scene(height=lambda lon, lat: 800 + 300 * np.sin(40 * lon), coherence=0.8)
    ground = Ground(scene, first, (second,))
    reference = slc(first, ground, amplitude=237)
    secondary = slc(second, ground, amplitude=237, draw=1)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import fft

from sensetrack.errors import ConfigError
from sensetrack.sar.scatterers import Canvas
from sensetrack.sar.simulated_ground import Ground, PointTarget, Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike, NDArray

    from sensetrack.sar.orbit import Orbit

    Floats = NDArray[np.float64]
    Noise = Callable[[Floats, Floats], Any]

__all__ = ["Band", "Carrier", "Frame", "Ground", "PointTarget", "Scene", "detected", "enl", "quantised", "slc"]

_LIGHT = 299_792_458.0
_PAD = 36
"""Lines and samples around what is drawn, so that the far side lobes of what lies outside are there."""
_STRIP = 4096
"""Samples that are drawn at a time, at most."""
_PIXELS = 16_000_000
"""Pixels that are drawn at a time: each takes some 60 bytes."""


@dataclass(frozen=True)
class Band:
    """The part of the spectrum that is kept along one axis, and how it is weighted."""

    rate: float
    """Samples per second."""
    width: float
    """Hz."""
    hamming: float = 1.0
    """Coefficient a of the window a + (1 - a) cos(2 pi f / width): 1 keeps the band as it is."""
    centre: float = 0.0
    """Hz."""

    def response(self, count: int) -> Floats:
        """Return the gain at the frequencies of an FFT of `count` samples."""
        at = fft.fftfreq(count, 1 / self.rate) - self.centre
        gain = self.hamming + (1 - self.hamming) * np.cos(2 * np.pi * at / self.width)
        return np.where(np.abs(at) <= self.width / 2, gain, 0.0)


@dataclass(frozen=True, eq=False)
class Carrier:
    """The Doppler of a burst, which runs through many times the sampling rate as the beam is steered.

    Polynomials are pairs of a two-way range time t0 (s) and coefficients of (range time - t0).
    """

    middle_time: float
    """Azimuth time of the centre of the burst, s since the epoch."""
    middle_range: float
    """Two-way range time where the reference time is 0, s: mid swath."""
    steering: float
    """Doppler rate of the steering, Hz/s."""
    doppler: tuple[float, tuple[float, ...]]
    """Doppler centroid, Hz."""
    fm_rate: tuple[float, tuple[float, ...]]
    """Azimuth FM rate of a point, Hz/s."""

    def phase(self, time: ArrayLike, range_time: ArrayLike) -> Floats:
        """Return the phase (radians) that takes the carrier away when the image is multiplied by exp(j phase)."""
        rate = _polynomial(self.fm_rate, range_time)
        centroid = _polynomial(self.doppler, range_time)
        middle = _polynomial(self.doppler, self.middle_range) / _polynomial(self.fm_rate, self.middle_range)
        sweep = rate * self.steering / (rate - self.steering)
        eta = np.asarray(time) - self.middle_time - (middle - centroid / rate)
        return np.asarray(-np.pi * sweep * eta**2 - 2 * np.pi * centroid * eta)


def _polynomial(record: tuple[float, tuple[float, ...]], range_time: ArrayLike) -> Floats:
    return np.asarray(np.polynomial.polynomial.polyval(np.asarray(range_time) - record[0], record[1]))


@dataclass(frozen=True, eq=False)
class Frame:
    """Where the pixels of one image, or burst, are, and what the processor keeps of the echo."""

    orbit: Orbit
    wavelength: float
    """m."""
    first_time: float
    """Zero Doppler time of line 0, s since the epoch of the orbit."""
    line_interval: float
    """s."""
    lines: int
    near_range: float
    """Slant range of sample 0, m."""
    range_spacing: float
    """m."""
    samples: int
    azimuth: Band
    range: Band
    looks: tuple[Band, ...] = ()
    """Parts of the range band that are detected one by one; none: the image stays complex."""
    carrier: Carrier | None = None
    look: int = 1
    """1: to the right; -1: to the left."""

    @property
    def last_time(self) -> float:
        """Time of the last line."""
        return self.first_time + (self.lines - 1) * self.line_interval

    @property
    def far_range(self) -> float:
        """Slant range of the last sample."""
        return self.near_range + (self.samples - 1) * self.range_spacing

    @property
    def ends(self) -> tuple[float, float]:
        """Near and far range."""
        return self.near_range, self.far_range

    @property
    def axes(self) -> tuple[Floats, Floats]:
        """Times (lines, 1) and two-way range times (1, samples) of the pixels, s."""
        time = self.first_time + np.arange(self.lines, dtype=np.float64)[:, None] * self.line_interval
        distance = self.near_range + np.arange(self.samples, dtype=np.float64)[None] * self.range_spacing
        return time, 2 * distance / _LIGHT

    def strip(self, start: int, stop: int) -> Frame:
        """Return the frame of some of the samples."""
        return replace(self, near_range=self.near_range + start * self.range_spacing, samples=stop - start)

    def padded(self, pads: tuple[int, int], shape: tuple[int, ...]) -> Frame:
        """Return a frame of a shape that begins some lines and samples before this one."""
        first_time, near = (
            self.first_time - pads[0] * self.line_interval,
            self.near_range - pads[1] * self.range_spacing,
        )
        return replace(self, first_time=first_time, near_range=near, lines=shape[0], samples=shape[1])


def slc(
    frame: Frame,
    ground: Ground,
    *,
    amplitude: float = 1.0,
    noise: Noise | None = None,
    moved: bool = False,
    draw: int = 0,
) -> NDArray[np.complex64]:
    """Draw a complex image.

    Parameters
    ----------
    frame : Frame
        One of those that `ground` knows.
    ground : Ground
    amplitude : float
        Digital number of beta0 = 1.
    noise : callable, optional
        ``(time, slant range) -> power``: mean square of the thermal noise in digital numbers, for arrays (lines, 1) in
        s and (1, samples) in m. It passes the same band as the echo.
    moved : bool
        Whether the displacement of the scene has happened.
    draw : int
        Number of the image: 0 is the first one, others have the coherence of the scene with it, and noise of their own.

    Returns
    -------
    ndarray of complex64
        (lines, samples), digital numbers. Where a scatterer is brightest, its phase is -4 pi / wavelength times its
        slant range.
    """
    out = np.empty((frame.lines, frame.samples), np.complex64)
    width = _width(frame)
    for start in range(0, frame.samples, width):
        stop = min(start + width, frame.samples)
        part = frame.strip(start, stop)
        (image,) = _draw(part, frame, ground, amplitude=amplitude, noise=noise, moved=moved, draw=draw)
        if frame.carrier is not None:
            image = image * np.exp(-1j * frame.carrier.phase(*part.axes))
        out[:, start:stop] = image
    return out


def detected(
    frame: Frame,
    ground: Ground,
    slant_range: Floats,
    *,
    amplitude: float = 1.0,
    noise: Noise | None = None,
    moved: bool = False,
    draw: int = 0,
) -> NDArray[np.float32]:
    """Draw a detected image: the mean intensity of the looks, at slant ranges of one's choice.

    Parameters
    ----------
    frame : Frame
        With looks.
    slant_range : (lines, columns) float64
        Where each pixel is, m; ascending along each line.
    ground, amplitude, noise, moved, draw
        As for `slc`.

    Returns
    -------
    ndarray of float32
        (lines, columns): squared digital numbers.
    """
    if not frame.looks:
        raise ConfigError("a detected image must have looks, instead got none")
    out = np.empty(slant_range.shape, np.float32)
    # A pixel on the ground has a few samples of slant range.
    width = max(_width(frame) * slant_range.shape[1] // frame.samples, 16)
    for start in range(0, slant_range.shape[1], width):
        part = slice(start, start + width)
        at = (slant_range[:, part] - frame.near_range) / frame.range_spacing
        low, high = int(np.floor(at.min())) - _REACH, int(np.ceil(at.max())) + _REACH + 1
        total: Any = 0
        view = frame.strip(low, high)
        for image in _draw(view, frame, ground, amplitude=amplitude, noise=noise, moved=moved, draw=draw):
            total = total + np.abs(image) ** 2
        out[:, part] = np.maximum(_along_rows(total / len(frame.looks), at - low), 0)
    return out


def _width(frame: Frame) -> int:
    return min(max(_PIXELS // frame.lines, 256), _STRIP)


def _draw(
    part: Frame,
    frame: Frame,
    ground: Ground,
    *,
    amplitude: float,
    noise: Noise | None,
    moved: bool,
    draw: int,
) -> Iterator[NDArray[np.complex64]]:
    """Yield a part of a frame, once for each look, with the carrier taken off."""
    # Where strips join, side lobes from further away are missed: one part in 400 of the power at their ends.
    pads = _PAD, _PAD if part.samples == frame.samples else 4 * _PAD
    shape = tuple(2 * fft.next_fast_len(n // 2 + pad) for n, pad in zip((part.lines, part.samples), pads, strict=True))
    wide = part.padded(pads, shape)
    canvas = Canvas(_pair(shape))
    pixel = frame.line_interval * frame.range_spacing
    for points in ground.points(frame, wide.near_range, wide.far_range, moved=moved, draw=draw):
        line = (points.time - wide.first_time) / wide.line_interval
        sample = (points.distance - wide.near_range) / wide.range_spacing
        # What lies further out would come in again from the other side.
        inside = (line > 4) & (line < shape[0] - 5) & (sample > 4) & (sample < shape[1] - 5) & (points.area > 0)
        time, distance = points.time[inside], points.distance[inside]
        size = points.value[inside] * np.sqrt(points.area[inside] / (pixel * points.speed[inside]))
        phase = -4 * np.pi / frame.wavelength * distance
        if frame.carrier is not None:
            phase += frame.carrier.phase(time, 2 * distance / _LIGHT)
        canvas.add(line[inside], sample[inside], amplitude * size * np.exp(1j * phase))
    full = canvas.spectrum() + _thermal(noise, wide, (*ground.key, 977, draw))
    along = frame.azimuth.response(shape[0])
    keep = np.s_[pads[0] : pads[0] + part.lines, pads[1] : pads[1] + part.samples]
    for band in frame.looks or (frame.range,):
        gain = along[:, None] * band.response(shape[1])
        # The window takes no power away: white noise of mean square 1 still has it.
        gain /= np.sqrt(np.mean(gain**2))
        yield fft.ifft2(full * gain.astype(np.float32))[keep]


def _pair(shape: tuple[int, ...]) -> tuple[int, int]:
    return shape[0], shape[1]


def _thermal(noise: Noise | None, wide: Frame, seed: tuple[int, ...]) -> Any:
    """Spectrum of thermal noise before the band is cut out."""
    if noise is None:
        return 0
    shape = (wide.lines, wide.samples)
    rng = np.random.default_rng([*seed, round(wide.near_range / wide.range_spacing) % 2**32])
    white = rng.standard_normal((2, *shape), np.float32) * np.float32(np.sqrt(0.5))
    time, two_way = wide.axes
    power = np.broadcast_to(np.asarray(noise(time, two_way * _LIGHT / 2), np.float64), shape)
    return fft.fft2((white[0] + 1j * white[1]) * np.sqrt(power).astype(np.float32))


_REACH = 12
"""Samples on either side of a place that the intensity there is made of: it is sampled at least twice as closely as it
needs, and the kernel is 24 long."""


def _along_rows(image: NDArray[np.float32], at: Floats) -> Floats:
    """Return an image (rows, samples) at fractional samples (rows, columns)."""
    first = np.floor(at).astype(np.int64) - _REACH + 1
    out = np.zeros(at.shape)
    for tap in range(2 * _REACH):
        x = first + tap - at
        window = np.exp(8.0 * (np.sqrt(np.maximum(1 - (x / _REACH) ** 2, 0)) - 1))
        out += np.sinc(x) * window * np.take_along_axis(image, first + tap, axis=1)
    return out


def enl(frame: Frame, count: int = 4096) -> float:
    """Return the equivalent number of looks of a detected image of this frame: overlapping looks count less."""
    looks = np.array([look.response(count) for look in frame.looks or (frame.range,)])
    looks /= np.linalg.norm(looks, axis=1, keepdims=True)
    return float(len(looks) ** 2 / np.sum((looks @ looks.T) ** 2))


def quantised(image: NDArray[Any]) -> NDArray[np.int16]:
    """Return a complex image as pairs of whole numbers, (lines, samples, 2); too large becomes the largest there is."""
    parts = np.stack([image.real, image.imag], axis=-1)
    return np.asarray(np.clip(np.rint(parts), -32768, 32767), np.int16)
