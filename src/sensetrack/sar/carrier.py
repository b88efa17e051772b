"""The phase ramp that the steering of the beam leaves in a TOPS burst: taken off, and put back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sensetrack.errors import InputError
from sensetrack.sar.compiling import WORKS, compiled

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from sensetrack.sar.tops import Burst

    Floats = NDArray[np.float64]
    Pixels = NDArray[np.complex64]

_AT_ONCE = 64
"""Lines that are done at once without a compiler."""


class Rates(NamedTuple):
    """What the carrier is made of, at samples of a burst (float64)."""

    doppler_rate: Floats
    """kt, Hz/s: of the centre frequency along the lines of the focused image."""
    reference: Floats
    """Azimuth time, s from the centre of the burst, at which the frequency is that of the Doppler centroid."""
    doppler: Floats
    """Doppler centroid, Hz."""


def rates(burst: Burst, samples: ArrayLike) -> Rates:
    """Return what the carrier is made of, at (fractional) samples of a burst."""
    reference = _crossing(burst, samples) - _crossing(burst, burst.samples // 2)
    range_time = _range_time(burst, samples)
    fm_rate = burst.fm_rate(range_time)
    doppler_rate = fm_rate * burst.steering / (fm_rate - burst.steering)
    return Rates(doppler_rate, reference, burst.doppler(range_time))


def phase(burst: Burst, lines: ArrayLike, samples: ArrayLike) -> Floats:
    """Phase of the carrier at (fractional) lines and samples of a burst, radians, float64; not wrapped.

    `deramp` subtracts it. Lines and samples are broadcast.
    """
    part, eta = rates(burst, samples), _eta(burst, np.asarray(lines, np.float64))
    since = eta - part.reference
    return np.asarray(math.pi * part.doppler_rate * since * since + 2 * math.pi * part.doppler * since)


def frequency(burst: Burst, lines: ArrayLike, samples: ArrayLike) -> Floats:
    """Centre of the azimuth spectrum at (fractional) lines and samples of a burst, Hz, before `deramp`; 0 after it."""
    part = rates(burst, samples)
    return np.asarray(part.doppler_rate * (_eta(burst, np.asarray(lines, np.float64)) - part.reference) + part.doppler)


def deramp(pixels: NDArray[Any], burst: Burst, rows: slice | None = None, cols: slice | None = None) -> Pixels:
    """Take the carrier off a window of a burst, so that its azimuth spectrum is centred at zero.

    Parameters
    ----------
    pixels : (rows, cols) complex
    burst : Burst
    rows, cols : slice, optional
        Where the window lies in the burst (not in the file); default all of it.

    Returns
    -------
    (rows, cols) complex64
        NaN stays NaN.
    """
    return _turned(pixels, burst, rows, cols, -1.0)


def reramp(pixels: NDArray[Any], burst: Burst, rows: slice | None = None, cols: slice | None = None) -> Pixels:
    """Put the carrier back on a window of a burst; the inverse of `deramp`."""
    return _turned(pixels, burst, rows, cols, 1.0)


def _turned(pixels: NDArray[Any], burst: Burst, rows: slice | None, cols: slice | None, sign: float) -> Pixels:
    rows, cols = rows or slice(0, burst.lines), cols or slice(0, burst.samples)
    shape = rows.stop - rows.start, cols.stop - cols.start
    if pixels.shape != shape or not np.iscomplexobj(pixels):
        raise InputError(f"a window of a burst must be complex and {shape}, instead got {pixels.dtype} {pixels.shape}")
    part = rates(burst, np.arange(cols.start, cols.stop))
    eta = _eta(burst, np.arange(rows.start, rows.stop, dtype=np.float64))
    given = np.ascontiguousarray(pixels, np.complex64)
    out = np.empty(shape, np.complex64)
    # Turns instead of radians: whole ones are cut off exactly.
    turn = turn_pixels if WORKS else _turn_plainly
    turn(given, eta, 0.5 * sign * part.doppler_rate, part.reference, sign * part.doppler, out)
    return out


def _turn_plainly(  # noqa: PLR0917
    given: Pixels, eta: Floats, half: Floats, reference: Floats, doppler: Floats, out: Pixels
) -> None:
    for top in range(0, eta.size, _AT_ONCE):
        part = slice(top, top + _AT_ONCE)
        since = eta[part, None] - reference
        turns = (half * since + doppler) * since
        out[part] = given[part] * np.exp(2j * np.pi * (turns - np.floor(turns)))


@compiled
def turn_pixels(  # noqa: PLR0917
    given: Pixels, eta: Floats, half: Floats, reference: Floats, doppler: Floats, out: Pixels
) -> None:
    """Multiply pixels by the phasor of (half * t + doppler) * t turns, t the time since the reference of a sample."""
    for i in range(given.shape[0]):
        now = eta[i]
        for j in range(given.shape[1]):
            since = now - reference[j]
            turns = (half[j] * since + doppler[j]) * since
            turns -= math.floor(turns + 0.5)
            sine = np.float32(_sine(turns))
            quarter = turns + 0.25
            cosine = np.float32(_sine(quarter - math.floor(quarter + 0.5)))
            real, imaginary = given[i, j].real, given[i, j].imag
            out[i, j] = complex(real * cosine - imaginary * sine, real * sine + imaginary * cosine)


@compiled
def _sine(turns: float) -> float:
    """Sine of -0.5 to 0.5 turns to 1e-10: no table and no branch, so that the compiler makes vectors of it."""
    size = abs(turns)
    size = min(size, 0.5 - size)
    angle = 2 * math.pi * (size if turns >= 0 else -size)
    square = angle * angle
    # The series of the sine to the 15th power; the next term is 6e-12 at a quarter of a turn.
    series = -1 / 1307674368000 * square + 1 / 6227020800
    series = series * square - 1 / 39916800
    series = series * square + 1 / 362880
    series = series * square - 1 / 5040
    series = series * square + 1 / 120
    series = series * square - 1 / 6
    return angle * (series * square + 1)


def _range_time(burst: Burst, samples: ArrayLike) -> Floats:
    return np.asarray(burst.range_time + np.asarray(samples, np.float64) * burst.sample_interval)


def _crossing(burst: Burst, samples: ArrayLike) -> Floats:
    """When the centre of the beam crosses, seen from zero Doppler, s."""
    range_time = _range_time(burst, samples)
    return np.asarray(-burst.doppler(range_time) / burst.fm_rate(range_time))


def _eta(burst: Burst, lines: Floats) -> Floats:
    """Azimuth time from the centre of the burst, s."""
    return (lines - 0.5 * (burst.lines - 1)) * burst.line_interval
