"""Kernels for complex images: what they miss of signals with the band of a real product, and how they are used."""

from __future__ import annotations

import numpy as np
import pytest

from sensetrack.errors import ConfigError
from sensetrack.sar import resampling
from sensetrack.sar.resampling import ACROSS, ALONG, PHASES, Spectrum, design, reach, resample

LINE_RATE, SAMPLING = 486.4863102995529, 64.34523812571428
BANDS = {
    "azimuth IW1": (Spectrum(327.0 / LINE_RATE, 0.70), ALONG, 0.003),
    "azimuth IW2": (Spectrum(313.0 / LINE_RATE, 0.75), ALONG, 0.0023),
    "azimuth IW3": (Spectrum(314.0 / LINE_RATE, 0.75), ALONG, 0.0023),
    "range IW1": (Spectrum(56.5 / SAMPLING, 0.75), ACROSS, 0.017),
    "range IW2": (Spectrum(48.3 / SAMPLING, 0.75), ACROSS, 0.0016),
    "range IW3": (Spectrum(42.78991840322842 / SAMPLING, 0.75), ACROSS, 0.0003),
}
"""Of the annotation, taps, and rms error midway between pixels as a share of the signal."""
VOID = complex(np.nan, np.nan)


def noise(spectrum: Spectrum, count: int, delay: float, seed: int = 3) -> np.ndarray:
    """Noise with a spectrum, seen `delay` pixels later: exact, as it goes round."""
    at = np.fft.fftfreq(count)
    rng = np.random.default_rng(seed)
    white = rng.standard_normal(count) + 1j * rng.standard_normal(count)
    gain = spectrum.hamming + (1 - spectrum.hamming) * np.cos(2 * np.pi * at / spectrum.width)
    gain[np.abs(at) > spectrum.width / 2] = 0
    return np.fft.ifft(white * gain * np.exp(2j * np.pi * at * delay))


@pytest.mark.parametrize("name", BANDS)
def test_what_a_kernel_misses_of_noise_with_the_band_of_the_product(name):
    spectrum, taps, most = BANDS[name]
    kernel = design(spectrum, taps)
    assert kernel.taps == taps
    assert kernel.error < most
    signal = noise(spectrum, 20_000, 0.0)
    windows = np.lib.stride_tricks.sliding_window_view(signal, taps)
    for phase in (PHASES // 2, PHASES // 5):
        expected = noise(spectrum, 20_000, phase / PHASES)[kernel.before : kernel.before + len(windows)]
        missed = np.std(windows @ kernel.weights[phase] - expected) / np.std(signal)
        print(f"{name}: {100 * missed:.3f} % at {phase / PHASES:.2f}")
        assert missed < 1.05 * kernel.error
    assert missed > 0.5 * kernel.error, "the worst is midway between pixels"


def test_a_kernel_on_a_pixel_is_that_pixel_and_mirrors_between_them():
    kernel = design(*BANDS["range IW2"][:2])
    np.testing.assert_allclose(kernel.weights[0], np.eye(ACROSS)[kernel.before], atol=1e-5)
    np.testing.assert_allclose(kernel.weights[-1], np.eye(ACROSS)[kernel.before + 1], atol=1e-5)
    np.testing.assert_allclose(kernel.weights[PHASES // 5], kernel.weights[PHASES - PHASES // 5, ::-1], atol=1e-5)


@pytest.mark.parametrize(("width", "taps"), [(0.0, 8), (1.01, 8), (0.5, 7), (0.5, 0)])
def test_bands_and_taps_that_cannot_be(width, taps):
    with pytest.raises(ConfigError, match=r"band must be above 0|even number of taps"):
        design(Spectrum(width), taps)


KERNELS = design(BANDS["azimuth IW1"][0], ALONG), design(BANDS["range IW2"][0], ACROSS)
SPACING = 8, 16


def plane(shape: tuple[int, int]) -> np.ndarray:
    """Noise with the band of the kernels in both directions."""
    rng = np.random.default_rng(5)
    spectrum = np.fft.fft2(rng.standard_normal(shape) + 1j * rng.standard_normal(shape))
    for axis, band in enumerate((BANDS["azimuth IW1"][0], BANDS["range IW2"][0])):
        outside = np.abs(np.fft.fftfreq(shape[axis])) > band.width / 2
        spectrum[(slice(None),) * axis + (outside,)] = 0
    return np.fft.ifft2(spectrum).astype(np.complex64) / 20


def nodes(d_row: float, d_col: float, turns: float = 0.0) -> np.ndarray:
    out = np.zeros((3, 9, 8))
    for part, value in zip(out, (d_row, d_col, turns), strict=True):
        part[:] = value
    return out


def test_a_shift_of_an_image_in_both_directions():
    image = plane((64, 96))
    at = [np.fft.fftfreq(size) for size in image.shape]
    ramp = np.exp(2j * np.pi * (at[0][:, None] * 3.37 + at[1] * -5.81))
    expected = np.fft.ifft2(np.fft.fft2(image) * ramp)
    window = slice(10, 40), slice(20, 70)
    found = resample(image, (0, 0), nodes(3.37, -5.81), SPACING, KERNELS, window)
    assert found.dtype == np.complex64
    assert np.std(found - expected[window]) < 0.006 * np.std(expected)
    turned = resample(image, (0, 0), nodes(3.37, -5.81, -12.25), SPACING, KERNELS, window)
    np.testing.assert_allclose(turned, -1j * found, atol=1e-6)
    doubled = resample((2 - 1j) * image, (0, 0), nodes(3.37, -5.81), SPACING, KERNELS, window)
    np.testing.assert_allclose(doubled, (2 - 1j) * found, atol=1e-5)


def uneven() -> np.ndarray:
    rng = np.random.default_rng(8)
    out = rng.uniform(-1, 1, (3, 9, 8)) * np.array([2.0, 5.0, 40.0])[:, None, None]
    out[0, 3, 4] = np.nan
    return out


def test_numpy_gives_what_the_compiled_kernel_gives(monkeypatch):
    image = plane((64, 96))
    image[30, 41] = VOID
    window = slice(5, 59), slice(9, 90)
    fast = resample(image, (0, 0), uneven(), SPACING, KERNELS, window)
    monkeypatch.setattr(resampling, "WORKS", False)
    slow = resample(image, (0, 0), uneven(), SPACING, KERNELS, window)
    np.testing.assert_array_equal(np.isnan(fast), np.isnan(slow))
    assert 0.3 < np.isfinite(fast).mean() < 0.95
    np.testing.assert_allclose(fast, slow, atol=2e-6)


def test_a_pixel_is_the_same_in_whatever_window_of_both_images():
    image = plane((64, 96))
    whole = resample(image, (0, 0), uneven(), SPACING, KERNELS, (slice(0, 64), slice(0, 96)))
    window = slice(23, 41), slice(37, 70)
    part = resample(image[12:60, 20:], (12, 20), uneven(), SPACING, KERNELS, window)
    np.testing.assert_array_equal(part, whole[window])


def test_a_pixel_that_is_not_valid_reaches_as_far_as_the_kernels():
    image = plane((64, 96))
    image[30, 40] = VOID
    found = resample(image, (0, 0), nodes(0.25, 0.5), SPACING, KERNELS, (slice(8, 50), slice(8, 80)))
    rows, cols = np.nonzero(np.isnan(found))
    # The row r is made of rows r - 3 to r + 4, the column c of columns c - 5 to c + 6.
    assert (rows.min() + 8, rows.max() + 8) == (30 - 4, 30 + 3)
    assert (cols.min() + 8, cols.max() + 8) == (40 - 6, 40 + 5)
    assert rows.size == ALONG * ACROSS


def test_what_a_window_needs():
    kernel = KERNELS[1]
    needed = reach((-2.5, 3.25), slice(50, 60), kernel, 200)
    assert needed.start <= 47 - 5
    assert needed.stop >= 62 + 6 + 1
    assert reach((-100.0, -99.0), slice(50, 60), kernel, 200) == slice(0, 0)
    assert reach((500.0, 501.0), slice(50, 60), kernel, 200) == slice(200, 200)
