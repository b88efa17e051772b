"""Bursts of a TOPS swath; `carrier` and `deburst` do something with their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sensetrack.errors import MetadataError
from sensetrack.sar.radargrid import SPEED_OF_LIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RangePolynomial:
    """A Doppler centroid or azimuth FM rate along the range of one azimuth time.

    Parameters
    ----------
    time : float
        Azimuth time of the record, s since the epoch of the swath.
    t0 : float
        Two-way slant range time that the polynomial counts from, s; each record has its own.
    coefficients : (k,) float64
        Of powers 0, 1, ... of (two-way slant range time - `t0`) in s.
    """

    time: float
    t0: float
    coefficients: Floats

    def __post_init__(self) -> None:
        object.__setattr__(self, "coefficients", np.array(self.coefficients, np.float64))
        if self.coefficients.ndim != 1 or not self.coefficients.size or not np.isfinite(self.coefficients).all():
            raise MetadataError("a polynomial must have finite coefficients, instead got none or not finite ones")

    def __call__(self, range_time: ArrayLike) -> Floats:
        """Value at two-way slant range times (s): Hz for a Doppler centroid, Hz/s for an FM rate."""
        at = np.asarray(range_time, np.float64) - self.t0
        return np.asarray(np.polynomial.polynomial.polyval(at, self.coefficients), np.float64)


def nearest(records: Sequence[RangePolynomial], time: float) -> RangePolynomial:
    """Return the record whose azimuth time is nearest to `time` (s)."""
    if not records:
        raise MetadataError("a TOPS swath must have Doppler and FM rate records, instead got none")
    return min(records, key=lambda record: abs(record.time - time))


def steering_rate(speed: float, radar_frequency: float, angular_rate: float) -> float:
    """Doppler rate that the steering of the beam adds, Hz/s.

    Parameters
    ----------
    speed : float
        Of the satellite at the centre of the burst, m/s (Earth-fixed).
    radar_frequency : float
        Hz.
    angular_rate : float
        ``azimuthSteeringRate``, radians per second (the annotation has degrees).
    """
    return 2 * speed / SPEED_OF_LIGHT * radar_frequency * angular_rate


@dataclass(frozen=True, eq=False)
class Burst:
    """One burst of a TOPS swath, as it lies in the measurement file.

    Parameters
    ----------
    line : int
        Its first line in the file, where bursts are stacked one below the other.
    time : float
        Azimuth (zero Doppler) time of that line, s since the epoch of the swath.
    line_interval : float
        s.
    range_time : float
        Two-way slant range time of sample 0, s.
    sample_interval : float
        Of the two-way slant range time, s: 1 / range sampling rate.
    first_valid, last_valid : (lines,) int64
        First and last sample of each line that was measured, both included; -1 in lines without.
    samples : int
    doppler : RangePolynomial
        Doppler centroid, of the record nearest to the centre of the burst (`nearest`).
    fm_rate : RangePolynomial
        Azimuth FM rate, likewise.
    steering : float
        ks, Hz/s; see `steering_rate`.
    burst_id : int, optional
        The same on every orbit of a track; None in products before 2021.
    anx_time : float
        s since the ascending node; NaN where not known.
    """

    line: int
    time: float
    line_interval: float
    range_time: float
    sample_interval: float
    first_valid: NDArray[np.int64]
    last_valid: NDArray[np.int64]
    samples: int
    doppler: RangePolynomial
    fm_rate: RangePolynomial
    steering: float
    burst_id: int | None = None
    anx_time: float = float("nan")

    def __post_init__(self) -> None:
        for name in ("first_valid", "last_valid"):
            object.__setattr__(self, name, np.array(getattr(self, name), np.int64))
        if self.first_valid.ndim != 1 or self.first_valid.shape != self.last_valid.shape or not self.first_valid.size:
            raise MetadataError(
                "firstValidSample and lastValidSample must have one value per line of the burst, "
                f"instead got {self.first_valid.size} and {self.last_valid.size}"
            )
        last = int(self.last_valid.max())
        if last >= self.samples:
            raise MetadataError(f"lastValidSample must lie below {self.samples} samples, instead got {last}")

    @property
    def lines(self) -> int:
        """Lines in the file."""
        return int(self.first_valid.size)

    @property
    def shape(self) -> tuple[int, int]:
        """Lines, samples."""
        return self.lines, self.samples

    @property
    def valid_lines(self) -> tuple[int, int]:
        """First line of the burst with a measurement, and the one after the last; (0, 0) without any."""
        good = np.flatnonzero((self.first_valid >= 0) & (self.last_valid >= self.first_valid))
        return (int(good[0]), int(good[-1]) + 1) if good.size else (0, 0)

    @property
    def middle_time(self) -> float:
        """Azimuth time of the centre, line (lines - 1) / 2, s."""
        return self.time + 0.5 * (self.lines - 1) * self.line_interval
