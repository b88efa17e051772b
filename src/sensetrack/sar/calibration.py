"""From digital numbers to backscatter: sigma, beta and gamma nought."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np

from sensetrack.errors import ConfigError, MetadataError
from sensetrack.sar.compiling import WORKS, compiled
from sensetrack.sar.lazy import Lazy, require_plane
from sensetrack.sar.lut import Lut, require_nodes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from sensetrack.ot.interfaces import Source
    from sensetrack.sar.noise import NoiseLut

    Floats = NDArray[np.float64]
    Places = NDArray[np.int64]
    Singles = NDArray[np.float32]

Quantity = Literal["sigma0", "beta0", "gamma0"]
"""Backscatter per area on the ground, per area of the slant plane, and per area across the line of sight."""
QUANTITIES: tuple[str, ...] = get_args(Quantity)


@dataclass(frozen=True, eq=False)
class CalibrationLut:
    """Amplitudes that digital numbers are divided by.

    Parameters
    ----------
    lines : (n,) float64
        Lines of the vectors, ascending; the first may be negative, the last beyond the image.
    pixels : (m,) float64
        Pixels of their values, ascending.
    sigma0, beta0, gamma0 : (n, m) float64
        ``sigmaNought``, ``betaNought`` and ``gamma`` of the annotation: the quantity is power of the numbers / value².
    """

    lines: Floats
    pixels: Floats
    sigma0: Floats
    beta0: Floats
    gamma0: Floats

    def __post_init__(self) -> None:
        for name in ("lines", "pixels", *QUANTITIES):
            object.__setattr__(self, name, np.array(getattr(self, name), np.float64))
        require_nodes("lines", self.lines)
        require_nodes("pixels", self.pixels)
        for name in QUANTITIES:
            values = getattr(self, name)
            if values.shape != (self.lines.size, self.pixels.size) or not (np.isfinite(values) & (values > 0)).all():
                expected = (self.lines.size, self.pixels.size)
                raise MetadataError(f"{name} of the calibration must be {expected} numbers above 0")

    @classmethod
    def from_vectors(
        cls, lines: ArrayLike, pixels: Sequence[ArrayLike], values: Mapping[str, Sequence[ArrayLike]]
    ) -> Self:
        """Build from one vector per line; `values` has the vectors of each of sigma0, beta0 and gamma0."""
        missing = sorted(set(QUANTITIES) - values.keys())
        if missing:
            raise MetadataError(f"the calibration must have {', '.join(QUANTITIES)}, instead {missing[0]} is missing")
        tables = {name: Lut.from_vectors(lines, pixels, values[name]) for name in QUANTITIES}
        any_one = tables["sigma0"]
        return cls(any_one.lines, any_one.pixels, **{name: table.values for name, table in tables.items()})

    def table(self, quantity: Quantity = "sigma0") -> Lut:
        """Return the amplitudes of one quantity."""
        if quantity not in QUANTITIES:
            raise ConfigError(f"quantity must be {', '.join(QUANTITIES)}, instead got {quantity!r}")
        return Lut(self.lines, self.pixels, getattr(self, quantity))


class Calibrated(Lazy):
    """Backscatter of a measurement, float32 linear: (power of the numbers - noise) / value².

    Noise is subtracted from every pixel and nothing is clipped: where noise is all there is, the mean is zero, and a
    half of the pixels is negative. Clip after averaging only, as `to_db` and `to_amplitude` do.

    Parameters
    ----------
    source : Source
        (rows, cols) digital numbers: complex, or detected amplitudes. NaN means not measured and stays NaN; a 0 is a
        measurement (`sensetrack.sar.border` finds those that are not).
    calibration : CalibrationLut, optional
        None leaves squared digital numbers.
    quantity : {"sigma0", "beta0", "gamma0"}
    noise : NoiseLut, optional
        None leaves the noise in.
    """

    def __init__(
        self,
        source: Source,
        calibration: CalibrationLut | None,
        quantity: Quantity = "sigma0",
        noise: NoiseLut | None = None,
    ) -> None:
        self.shape, self.dtype = require_plane("a measurement", source), np.dtype(np.float32)
        self._source, self._noise = source, noise if noise is not None and noise.known else None
        self._table = None if calibration is None else calibration.table(quantity)

    def read(self, rows: slice, cols: slice) -> Singles:
        """Compute a window."""
        numbers = np.asarray(self._source[rows, cols])
        if WORKS and self._table is not None:
            return self._at_once(numbers, rows, cols)
        power = intensity(numbers)
        if self._noise is not None:
            power = np.subtract(power, self._noise.window(rows, cols), dtype=np.float32, casting="unsafe")
        if self._table is None:
            return power
        amplitude = self._table.window(rows, cols)
        return np.divide(power, amplitude * amplitude, dtype=np.float32, casting="unsafe")

    def _at_once(self, numbers: NDArray[Any], rows: slice, cols: slice) -> Singles:
        """Do the same line by line, compiled: no table is as large as the window."""
        assert self._table is not None
        if np.iscomplexobj(numbers):
            numbers, squared = intensity(numbers), True
        else:
            numbers, squared = np.ascontiguousarray(numbers, np.float32), False
        out = np.empty(numbers.shape, np.float32)
        thermal, parts, factors = _NOTHING, np.empty((0, 4), np.int64), np.empty((0, len(out)))
        if self._noise is not None:
            thermal = self._noise.table.lines_of(rows, cols)
            found = self._noise.factors(rows, cols)
            parts = np.array([(r.start, r.stop, c.start, c.stop) for (r, c), _ in found], np.int64).reshape(-1, 4)
            factors = np.ones((len(found), len(out)))
            for row, ((where, _), factor) in zip(factors, found, strict=True):
                row[where] = factor
        calibrate(numbers, squared, *self._table.lines_of(rows, cols), *thermal, parts, factors, out)
        return out


_NOTHING = np.empty((0, 0)), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
"""What there is of no table."""


@compiled
def calibrate(  # noqa: PLR0917
    numbers: Singles, squared: bool, across: Floats, before: Places, after: Places, weight: Floats,  # noqa: FBT001
    thermal: Floats, noise_before: Places, noise_after: Places, noise_weight: Floats,
    parts: Places, factors: Floats, out: Singles,
) -> None:  # fmt: skip
    """Take noise off the power of digital numbers and divide by the square of an amplitude.

    Parameters
    ----------
    numbers : (rows, cols) float32
    squared : bool
        Whether they are powers already.
    across, before, after, weight
        Amplitudes, as from `Lut.lines_of`.
    thermal, noise_before, noise_after, noise_weight
        Noise, likewise; of no lines where none is taken off.
    parts, factors : (n, 4) int64, (n, rows) float64
        Parts of the window in which noise has a factor, from row, to row, from column, to column; that of each row.
    out : (rows, cols) float32
        Written.
    """
    rows, cols = numbers.shape
    noise, amplitude = np.zeros(cols), np.empty(cols)
    for i in range(rows):
        u = weight[i]
        first, second = across[before[i]], across[after[i]]
        for j in range(cols):
            amplitude[j] = first[j] * (1 - u) + second[j] * u
        if thermal.shape[0]:
            u = noise_weight[i]
            first, second = thermal[noise_before[i]], thermal[noise_after[i]]
            for j in range(cols):
                noise[j] = first[j] * (1 - u) + second[j] * u
            for n in range(len(parts)):
                if parts[n, 0] <= i < parts[n, 1]:
                    factor = factors[n, i]
                    for j in range(parts[n, 2], parts[n, 3]):
                        noise[j] *= factor
        if squared:
            for j in range(cols):
                out[i, j] = (numbers[i, j] - np.float32(noise[j])) / np.float32(amplitude[j] * amplitude[j])
        else:
            for j in range(cols):
                power = numbers[i, j] * numbers[i, j]
                out[i, j] = (power - np.float32(noise[j])) / np.float32(amplitude[j] * amplitude[j])


def intensity(numbers: NDArray[Any]) -> Singles:
    """Squared magnitude of digital numbers, float32; NaN where either part is NaN."""
    if np.iscomplexobj(numbers):
        real, imaginary = (part.astype(np.float32, copy=False) for part in (numbers.real, numbers.imag))
        return np.asarray(real * real + imaginary * imaginary)
    real = np.asarray(numbers).astype(np.float32)
    return np.asarray(real * real)


def to_db(linear: NDArray[Any], floor: float = -50.0) -> Singles:
    """Return decibels, float32; what is below `floor` (dB), such as a negative power, becomes `floor`. NaN stays."""
    least = np.float32(10 ** (floor / 10))
    return np.asarray(np.float32(10) * np.log10(np.maximum(np.asarray(linear, np.float32), least)))


def from_db(decibels: NDArray[Any]) -> Singles:
    """Return linear power, float32, of decibels."""
    return np.asarray(np.power(np.float32(10), np.asarray(decibels, np.float32) / np.float32(10)))


def to_amplitude(linear: NDArray[Any]) -> Singles:
    """Return the square root of a power, float32; a negative power becomes 0. NaN stays."""
    return np.sqrt(np.maximum(np.asarray(linear, np.float32), np.float32(0)))
