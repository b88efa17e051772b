"""Bursts: the carrier against echoes that are simulated and focused here, and seams of merged bursts."""

from __future__ import annotations

import numpy as np
import pytest

from sensetrack.errors import InputError, MetadataError
from sensetrack.sar import carrier
from sensetrack.sar.carrier import deramp, frequency, phase, reramp
from sensetrack.sar.deburst import Deburst
from sensetrack.sar.tops import Burst, RangePolynomial, nearest, steering_rate

# The first burst of IW1 of a real product (S1A, 6 April 2025), with a Doppler centroid that is far from zero.
LINES, SAMPLES = 1502, 22612
INTERVAL = 2.055556299999998e-3
RANGE_TIME, RATE = 5.339839490506816e-3, 6.434523812571428e7
STEERING = steering_rate(7590.0, 5.405000454334350e9, np.deg2rad(1.590368784))
FM_RATE = RangePolynomial(-1.2, 5.339839490506816e-3, [-2319.714822287086, 450982.3563694159, -79277097.07024583])
DOPPLER = RangePolynomial(-0.25, 5.354943283284461e-3, [13.29629, -70853.79, 63679850.0])


def burst(
    *, line: int = 0, time: float = 0.0, lines: int = LINES, samples: int = SAMPLES, valid=(21, 1484), inside=(0, 0)
) -> Burst:
    first, last = np.full(lines, -1), np.full(lines, -1)
    first[slice(*valid)], last[slice(*valid)] = inside[0], samples - 1 - inside[1]
    return Burst(line, time, INTERVAL, RANGE_TIME, 1 / RATE, first, last, samples, DOPPLER, FM_RATE, STEERING, 230132)


def focused(target: float, sample: int) -> np.ndarray:
    """Focus the echo of a point from first principles: chirp, beam that turns, matched filter; all lines of a burst.

    The beam looks along the Doppler centroid when the middle of the burst, at middle range, passes through it, and
    turns at the steering rate. Times are from the middle of the burst.
    """
    here, middle = RANGE_TIME + sample / RATE, RANGE_TIME + (SAMPLES // 2) / RATE
    fm, doppler = float(FM_RATE(here)), float(DOPPLER(here))
    straight = float(DOPPLER(middle)) / float(FM_RATE(middle))
    finer, count = 18, 32_768  # every 18th time is a line
    time = (np.arange(count) - count // 2) * INTERVAL / finer
    echo = np.exp(1j * np.pi * fm * (time - target) ** 2)
    beam = doppler + STEERING * (time - straight)
    echo *= np.exp(-(((fm * (time - target) - beam) / 130) ** 2))
    frequencies = np.fft.fftfreq(count, INTERVAL / finer)
    image = np.fft.fftshift(np.fft.ifft(np.fft.fft(np.fft.ifftshift(echo)) * np.exp(1j * np.pi * frequencies**2 / fm)))
    return image[count // 2 - (LINES - 1) * finer // 2 :: finer][:LINES]


def spectrum(line: np.ndarray) -> tuple[float, float]:
    """Centroid (Hz) of the power of a signal on the lines, and the share of it beyond 163.5 Hz."""
    power = np.abs(np.fft.fft(line)) ** 2
    at = np.fft.fftfreq(line.size, INTERVAL)
    return float((power * at).sum() / power.sum()), float(power[np.abs(at) > 163.5].sum() / power.sum())


@pytest.mark.parametrize(("target", "sample"), [(0.0, 11306), (0.83, 2500), (-1.21, 20111), (1.2, 22000)])
def test_a_point_that_is_deramped_is_centred_at_zero(target, sample):
    image = focused(target, sample)
    assert np.abs(image).argmax() == pytest.approx((LINES - 1) / 2 + target / INTERVAL, abs=1)
    column = slice(sample, sample + 1)
    flat = deramp(image[:, None], burst(), cols=column)[:, 0]
    centroid, outside = spectrum(flat)
    assert abs(centroid) < 1
    assert outside < 0.02
    assert np.abs(flat) == pytest.approx(np.abs(image), abs=1e-6 * np.abs(image).max())


def test_the_carrier_is_not_centred_by_chance():
    image = focused(-1.21, 20_111)
    for other in (image, reramp(image[:, None], burst(), cols=slice(20_111, 20_112))[:, 0]):
        centroid, outside = spectrum(other)
        assert abs(centroid) > 30 or outside > 0.2


def test_the_frequency_of_a_point_is_where_its_energy_is():
    image = focused(-0.6, 4000)
    line = int(np.abs(image).argmax())
    slope = np.angle(image[1:] * image[:-1].conj())[line - 1 : line + 1].mean() / (2 * np.pi * INTERVAL)
    expected = float(frequency(burst(), line, 4000))
    assert abs(expected) > 500  # far beyond the 486 Hz that the lines can tell
    assert (slope - expected + 243.2) % 486.5 - 243.2 == pytest.approx(0, abs=5)


def test_deramp_then_reramp_is_identity():
    rng = np.random.default_rng(3)
    one = burst(lines=90, samples=257, valid=(0, 90))
    pixels = (rng.normal(size=(90, 257)) + 1j * rng.normal(size=(90, 257))).astype(np.complex64)
    before = pixels.copy()
    back = reramp(deramp(pixels, one), one)
    assert back.dtype == np.complex64
    np.testing.assert_allclose(back, pixels, atol=2e-6)
    np.testing.assert_array_equal(pixels, before)


def test_deramp_subtracts_the_phase_whatever_the_window():
    rng = np.random.default_rng(4)
    pixels = (rng.normal(size=(SHORT, 61)) + 1j * rng.normal(size=(SHORT, 61))).astype(np.complex64)
    pixels[5, 7] = np.nan
    rows, cols = slice(LINES - SHORT, LINES), slice(20_000, 20_061)
    whole = deramp(pixels, burst(), rows, cols)
    lines, samples = np.arange(rows.start, rows.stop)[:, None], np.arange(cols.start, cols.stop)
    np.testing.assert_allclose(whole, pixels * np.exp(-1j * phase(burst(), lines, samples)), atol=3e-6)
    part = deramp(pixels[11:30, 3:50], burst(), slice(rows.start + 11, rows.start + 30), slice(20_003, 20_050))
    np.testing.assert_array_equal(part, whole[11:30, 3:50])
    assert np.isnan(whole).sum() == 1


SHORT = 40


def test_the_numpy_way_gives_the_same(monkeypatch):
    rng = np.random.default_rng(5)
    one = burst(lines=150, samples=70, valid=(0, 150))
    pixels = (rng.normal(size=(150, 70)) + 1j * rng.normal(size=(150, 70))).astype(np.complex64)
    compiled = deramp(pixels, one)
    monkeypatch.setattr(carrier, "WORKS", False)
    np.testing.assert_allclose(deramp(pixels, one), compiled, atol=2e-6)


def test_a_window_of_another_shape_or_type_is_refused():
    with pytest.raises(InputError, match=r"\(150, 70\).*float64"):
        deramp(np.zeros((150, 70)), burst(lines=150, samples=70, valid=(0, 150)))
    with pytest.raises(InputError, match=r"must be complex and \(150, 70\)"):
        deramp(np.zeros((150, 69), complex), burst(lines=150, samples=70, valid=(0, 150)))


def test_records_are_chosen_by_time_and_counted_from_their_own_start():
    records = [RangePolynomial(at, 0.005 + 1e-4 * at, [at, 10.0]) for at in (-2.0, 1.0, 3.0)]
    assert nearest(records, 1.9).time == 1.0
    assert nearest(records, 2.1).time == 3.0
    assert float(nearest(records, 9.0)(0.0063)) == pytest.approx(3 + 10 * (0.0063 - 0.0053))
    with pytest.raises(MetadataError, match="instead got none"):
        nearest([], 0.0)


def swath(samples: int = 96) -> tuple[Burst, ...]:
    """Three bursts of 60 lines that overlap by 14 lines, 4 + 3 of them not valid."""
    return tuple(
        burst(line=60 * i, time=100 + 46 * i * INTERVAL, lines=60, samples=samples, valid=(4, 57), inside=(5 + i, 8))
        for i in range(3)
    )


def test_bursts_meet_in_the_middle_of_what_both_measured():
    file = np.repeat(np.arange(180.0)[:, None], 96, axis=1).astype(np.float32)
    merged = Deburst(file, swath())
    assert merged.shape == (46 * 2 + 60, 96)
    # Burst 0 is valid in merged lines 4 to 56, burst 1 in 50 to 102: the middle of 50 .. 56.
    assert merged.seams == (53, 99)
    assert merged.first_time == 100
    lines = merged[:, 50:51][:, 0]
    assert np.isnan(lines[:4]).all()
    assert np.isnan(lines[-3:]).all()
    np.testing.assert_array_equal(lines[4:53], np.arange(4, 53))
    np.testing.assert_array_equal(lines[53:99], 60 + np.arange(53, 99) - 46)
    np.testing.assert_array_equal(lines[99:149], 120 + np.arange(99, 149) - 92)
    columns = merged[60:61, :][0]
    assert np.isnan(columns[:6]).all()
    assert np.isfinite(columns[6:88]).all()
    assert np.isnan(columns[88:]).all()


@pytest.mark.parametrize("kind", [np.float32, np.complex64])
def test_a_window_of_merged_bursts_is_that_of_the_whole(kind):
    rng = np.random.default_rng(6)
    file = rng.normal(size=(180, 96)).astype(kind) * kind(1 if kind is np.float32 else 1 + 2j)
    merged = Deburst(file, swath())
    whole = merged[:, :]
    assert whole.dtype == merged.dtype == kind
    for rows, cols in [(slice(40, 71), slice(0, 20)), (slice(0, 5), slice(90, 96)), (slice(52, 54), slice(3, 9))]:
        np.testing.assert_array_equal(merged[rows, cols], whole[rows, cols])
    if kind is np.complex64:
        assert np.isnan(whole[0].real).all()
        assert np.isnan(whole[0].imag).all()


def test_seams_do_not_show_in_speckle():
    rng = np.random.default_rng(7)
    bursts = swath(samples=20_000)
    scene = rng.normal(size=(152, 20_000)) + 1j * rng.normal(size=(152, 20_000))  # what the ground is, one look
    file = np.concatenate([scene[46 * i : 46 * i + 60] for i in range(3)]).astype(np.complex64)
    power = np.abs(Deburst(file, bursts)[:, 100:19_900]) ** 2
    for seam in (53, 99):
        step = power[seam : seam + 20].mean() / power[seam - 20 : seam].mean() - 1
        assert abs(step) < 0.01
    np.testing.assert_allclose(power[4:149], np.abs(scene[4:149, 100:19_900]) ** 2, rtol=1e-5)


def test_bursts_that_do_not_touch_leave_a_gap():
    file = np.ones((180, 96), np.float32)
    apart = [swath()[0], swath()[2]]
    merged = Deburst(file, apart)[:, 50:51][:, 0]
    assert np.flatnonzero(np.isfinite(merged)).tolist() == [*range(4, 57), *range(96, 149)]


def test_bursts_that_do_not_fit_are_refused():
    file = np.ones((180, 96), np.float32)
    first, second, _ = swath()
    odd = burst(line=60, time=second.time + 0.4 * INTERVAL, lines=60, samples=96, valid=(4, 57))
    with pytest.raises(MetadataError, match=r"whole lines apart, instead got 46\.4"):
        Deburst(file, [first, odd])
    with pytest.raises(MetadataError, match="lines 120 to 180"):
        Deburst(file[:170], swath())
    with pytest.raises(InputError, match="at least one"):
        Deburst(file, [])
    with pytest.raises(MetadataError, match="lastValidSample must lie below 96"):
        burst(lines=60, samples=96, valid=(0, 9), inside=(0, -1))
