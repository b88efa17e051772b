"""Backscatter a window at a time: borders are looked for where they are read, and compiled code is as NumPy."""

import numpy as np
import pytest

from sensetrack.sar import calibration as module
from sensetrack.sar.border import LateBorder, Trimmed, find_border
from sensetrack.sar.calibration import Calibrated, CalibrationLut
from sensetrack.sar.noise import NoiseAzimuth, NoiseLut

LINES, SAMPLES = 1300, 1500
WINDOWS = [
    (slice(0, 40), slice(3, 400)),
    (slice(500, 560), slice(600, 700)),
    (slice(1010, 1300), slice(1100, 1500)),
    (slice(7, 7), slice(5, 9)),
]


class Watched:
    """An image that counts what is read of it."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.shape, self.dtype, self.read = (
            pixels,
            pixels.shape,
            pixels.dtype,
            np.zeros(pixels.shape, bool),
        )

    def __getitem__(self, key):
        self.read[key] = True
        return self.pixels[key]


def slanted(noise: float) -> np.ndarray:
    """Bright ground with slanted edges, another one on each side; noise, or nothing, around it."""
    rng = np.random.default_rng(11)
    line, sample = np.arange(LINES)[:, None], np.arange(SAMPLES)
    inside = (sample >= line // 20) & (sample < SAMPLES - line // 50)
    inside &= (line >= sample // 100) & (line < LINES - sample // 80)
    around = np.sqrt(noise * rng.exponential(size=(LINES, SAMPLES)))
    return np.where(inside, rng.uniform(150, 250, (LINES, SAMPLES)), around).astype(np.uint16)


OLD = NoiseLut([0, 1000], [0, 1499], np.full((2, 2), 400.0))


@pytest.mark.parametrize("thermal", [None, OLD], ids=["zero", "noise"])
def test_a_border_is_the_same_in_whatever_window_it_is_looked_for(thermal):
    numbers = slanted(300.0 if thermal else 0.0)
    expected = find_border(numbers, thermal)
    for window in WINDOWS:
        late = LateBorder(numbers, thermal)  # in which nothing else was looked for
        np.testing.assert_array_equal(late.measured(*window), expected.measured(*window))
        if window != WINDOWS[-1]:
            assert late.whole_inside(*window) == expected.measured(*window).all() == expected.whole_inside(*window)
        np.testing.assert_array_equal(Trimmed(numbers, late)[window], Trimmed(numbers, expected)[window])


def test_only_what_decides_on_a_window_is_read():
    image = Watched(slanted(0.0))
    late = LateBorder(image)
    assert late.whole_inside(slice(1100, 1160), slice(1150, 1250))
    assert not image.read[:1024, :1024].any()
    assert image.read[:900].mean() < 0.05
    assert image.read.mean() < 0.1


def tables() -> tuple[CalibrationLut, NoiseLut]:
    line, pixel = np.array([-57.0, 400.0, 1299.0]), np.array([0.0, 700.0, 1499.0])
    amplitude = 300 + line[:, None] / 100 - pixel / 40
    parts = [
        NoiseAzimuth(0, 899, 0, 699, np.array([0.0, 450, 899]), np.array([1.2, 0.9, 1.1]), "IW1"),
        NoiseAzimuth(0, 1299, 700, 1400, np.array([0.0, 1299]), np.array([0.8, 1.3]), "IW2"),
    ]
    noise = NoiseLut([0.0, 650.0], [0.0, 800.0, 1499.0], 500 + np.array([[1.0, 40, 9], [70, 3, 20]]), tuple(parts))
    return CalibrationLut(line, pixel, amplitude, 0 * amplitude + 237, 0.93 * amplitude), noise


@pytest.mark.parametrize("complex_numbers", [False, True])
@pytest.mark.parametrize("with_noise", [True, False])
def test_calibration_is_the_same_compiled_or_not(monkeypatch, complex_numbers, with_noise):
    numbers = slanted(300.0).astype(np.float32)
    numbers[520, 640] = np.nan
    if complex_numbers:
        numbers = (numbers + 1j * numbers[::-1]).astype(np.complex64)
    lut, noise = tables()
    lazy = Calibrated(numbers, lut, "gamma0", noise if with_noise else None)
    found = [lazy[window] for window in WINDOWS]
    monkeypatch.setattr(module, "WORKS", False)
    for window, values in zip(WINDOWS, found, strict=True):
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, lazy[window])
