"""What is to be known of two complex images before they are matched: their spectra and their level."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sensetrack.ot.interfaces import Source

    Floats = NDArray[np.float64]

REACH = 6
"""Samples of a complex correlation on each side of its peak that its place is found from."""
PER_SAMPLE = 512
"""Places per sample in a table of weights."""
_SIDE = 128
"""Rows and columns of the windows that spectra are measured on."""
_WINDOWS = 4, 6
"""Windows down and across an image."""
_FLOOR = 3e-3
"""Power, against that of the band, which the noise is taken to have everywhere: weights stay finite outside it."""

_FADE = 0.3, 0.5
"""As in `sensetrack.ot.peak`: frequencies, cycles a sample, between which what decides the place of a peak fades."""
_FULL = 0.05
"""Correlation of neighbouring pixels below which a spectrum is full."""


class Axis:
    """The spectrum of complex speckle along one axis, and what follows for finding the peak of a correlation.

    The complex correlation C(d) of two images is its own signal, the autocorrelation of the speckle, moved by the
    offset, in noise with the square of the spectrum. With K the covariance of the noise at the samples around the peak
    and k(x) the signal at x, the most likely place is where |k' K^-1 C|^2 / (k' K^-1 k) is largest (generalised least
    squares). So the band may be as full as it likes, and its window is undone; a windowed sinc needs some 40 samples
    for that.

    Parameters
    ----------
    power : ndarray
        Power at the frequencies of `numpy.fft.fftfreq`.
    """

    def __init__(self, power: NDArray[Any]) -> None:
        power = np.asarray(power, float)
        self.frequencies = fft.fftfreq(power.size)
        self.power: Floats = power / power.mean()
        turn = np.mean(self.power * np.exp(2j * np.pi * self.frequencies))
        self.centre = float(np.angle(turn) / (2 * np.pi)) if abs(turn) > _FULL else 0.0
        """Centre of the spectrum, cycles a sample; 0 where the band is so full that it has none."""
        self.around: Floats = (self.frequencies - self.centre + 0.5) % 1 - 0.5
        """Frequencies against the centre, cycles a sample."""

    @classmethod
    def flat(cls, band: float) -> Axis:
        """Return a spectrum that is flat over a share of the sampling rate."""
        at = np.abs(fft.fftfreq(1024))
        return cls(np.clip((min(band, 1.0) / 2 - at) * 1024 + 0.5, 0, 1))

    def correlation(self, x: NDArray[Any], *, square: bool = False) -> Floats:
        """Autocorrelation at lags x (samples): of the speckle (1 at 0), or that with the square of the spectrum."""
        weight = self.power**2 if square else self.power
        return np.asarray((weight * np.cos(2 * np.pi * self.around * np.asarray(x)[..., None])).mean(axis=-1))

    @cached_property
    def looks(self) -> float:
        """Independent samples of the complex speckle per sample: the part of the band that is filled."""
        return float(1 / np.mean(self.power**2))

    @cached_property
    def detected(self) -> tuple[float, float]:
        """What noise does to a peak of intensities: to the slope along this axis, and along the other one.

        The variance of an offset is that of the noise times the first number of its own axis and the second of the
        other, px^2. The spectrum of intensities is that of the speckle correlated with itself; what the engine fades
        of it (`sensetrack.ot.peak.tap_table`, at twice the samples) does not count.
        """
        power = self.power[np.argsort(self.around)]
        spectrum = np.correlate(power, power, "full") / power.size**2
        at = np.arange(1 - power.size, power.size) / power.size
        fade = np.clip((2 * _FADE[1] - np.abs(at)) / (2 * (_FADE[1] - _FADE[0])), 0, 1)
        kept = np.sin(np.pi / 2 * fade) ** 2 * spectrum
        bend = np.sum((2 * np.pi * at) ** 2 * kept)
        slope = np.sum((2 * np.pi * at) ** 2 * kept**2) * power.size / bend**2
        return float(slope), float(np.sum(kept**2) * power.size / np.sum(kept) ** 2)

    @cached_property
    def _solved(self) -> tuple[Floats, Floats, Floats]:
        """Places, weights K^-1 k and signals k of the table."""
        reach = np.arange(-REACH, REACH + 1)
        noise = self.correlation(reach[:, None] - reach, square=True)
        noise += _FLOOR * noise[0, 0] * np.eye(reach.size)
        place = np.arange(-PER_SAMPLE - 1, PER_SAMPLE + 2) / PER_SAMPLE
        signal = self.correlation(place[:, None] - reach)
        return place, np.asarray(np.linalg.solve(noise, signal.T).T, float), signal

    @cached_property
    def table(self) -> Floats:
        """Weights of the samples at -6..6 for a peak at -1..1, (places, 4, 13): value, slope, curvature, and height.

        Values, slopes and curvatures are normalised, as what the place is found from needs; the height is that of the
        correlation.
        """
        _, weight, signal = self._solved
        gain = (weight * signal).sum(axis=1)[:, None]
        likely = weight / np.sqrt(gain)
        slope = (likely[2:] - likely[:-2]) * (PER_SAMPLE / 2)
        bend = (likely[2:] - 2 * likely[1:-1] + likely[:-2]) * PER_SAMPLE**2
        return np.ascontiguousarray(np.stack([likely[1:-1], slope, bend, (weight / gain)[1:-1]], axis=1))

    @cached_property
    def information(self) -> tuple[float, float]:
        """Return k' K^-1 k, and the same of the slope of k: what a peak says of its height and of its place."""
        _, weight, signal = self._solved
        slope = (signal[2:] - signal[:-2]) * (PER_SAMPLE / 2)
        weight_slope = (weight[2:] - weight[:-2]) * (PER_SAMPLE / 2)
        middle = slice(PER_SAMPLE // 2, 3 * PER_SAMPLE // 2)
        height = (weight * signal).sum(axis=1)[1:-1][middle].mean()
        return float(height), float((weight_slope * slope).sum(axis=1)[middle].mean())


class Known(NamedTuple):
    """What is known of a pair."""

    down: Axis
    across: Axis
    middle: tuple[float, float]
    """Median amplitude of the reference and of the secondary."""
    spread: tuple[float, float]
    """From the 2nd to the 98th percentile of their amplitudes."""


def look(reference: Source, secondary: Source, bands: tuple[float, float]) -> Known:
    """Measure spectra and levels on windows spread over two images of one shape.

    Where no window is whole the spectra are taken as flat over `bands`, the shares of the sampling rates.
    """
    power, whole = (np.zeros(_SIDE), np.zeros(_SIDE)), 0
    samples: tuple[list[Any], list[Any]] = ([], [])
    for rows, cols in _windows((reference.shape[0], reference.shape[1])):
        both = []
        for source, amplitudes in zip((reference, secondary), samples, strict=True):
            pixels = np.asarray(source[rows, cols], np.complex64)
            level = np.abs(pixels[np.isfinite(pixels)])
            amplitudes.append(level[level > 0][::7])
            both.append(pixels)
        if both[0].shape == (_SIDE, _SIDE) and all(np.isfinite(pixels).all() and pixels.any() for pixels in both):
            whole += 1
            for axis in (0, 1):
                power[axis][:] += np.sqrt(_power(both[0], axis) * _power(both[1], axis))
    levels = [_level(np.concatenate(amplitudes)) for amplitudes in samples]
    down, across = (Axis(each) if whole else Axis.flat(band) for each, band in zip(power, bands, strict=True))
    return Known(down, across, (levels[0][0], levels[1][0]), (levels[0][1], levels[1][1]))


def _windows(shape: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    rows, cols = (
        np.unique(np.linspace(0, max(size - _SIDE, 0), number + 2)[1:-1].astype(int)).tolist()
        for size, number in zip(shape, _WINDOWS, strict=True)
    )
    for row in rows:
        for col in cols:
            yield slice(row, min(row + _SIDE, shape[0])), slice(col, min(col + _SIDE, shape[1]))


def _power(pixels: NDArray[Any], axis: int) -> Floats:
    """Mean power spectrum along an axis, of mean 1."""
    taper = np.hanning(_SIDE + 2)[1:-1].astype(np.float32)
    spectrum = fft.fft(pixels * (taper[:, None] if axis == 0 else taper), axis=axis)
    power = np.square(np.abs(spectrum)).mean(axis=1 - axis, dtype=float)
    return np.asarray(power / power.mean())


def _level(amplitudes: NDArray[Any]) -> tuple[float, float]:
    """Median and spread."""
    if not amplitudes.size:
        return 0.0, 1.0
    low, middle, high = np.percentile(amplitudes, (2, 50, 98)).tolist()
    return middle, high - low if high > low else 1.0
