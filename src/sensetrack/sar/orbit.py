"""Where the satellite is: state vectors, and what lies between them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from sensetrack.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Quality = Literal["precise", "restituted", "auxiliary", "downlink", "predicted"]
"""How good an orbit is: from a precise or restituted orbit file, or as annotated in a product."""

_NODES = 4
"""State vectors that a piece of the orbit is drawn through."""
TERMS = 2 * _NODES
"""Coefficients of a piece: position and velocity at four times make a polynomial of the seventh degree."""


@dataclass(frozen=True, eq=False)
class Orbit:
    """State vectors of a satellite, and its position, velocity and acceleration at any time between them.

    Between two state vectors the position is the polynomial of seventh degree that has the positions and velocities of
    the two on either side (Hermite); at the ends it is that of the first or last four.

    Parameters
    ----------
    epoch : datetime
        What `times` are counted from; with a time zone, kept as UTC.
    times : (n,) float64
        Seconds since `epoch`, increasing; at least four.
    position : (n, 3) float64
        Metres, fixed to the Earth (WGS84).
    velocity : (n, 3) float64
        Metres per second in the same frame, which turns with the Earth.
    source : str
        Where they come from: the name of a file, or "annotation".
    quality : str
        One of `Quality`.

    Raises
    ------
    InputError
        Fewer than four vectors, times that do not increase, numbers that are not finite, other shapes.
    """

    epoch: datetime
    times: NDArray[np.float64]
    position: NDArray[np.float64]
    velocity: NDArray[np.float64]
    source: str
    quality: Quality

    def __post_init__(self) -> None:
        object.__setattr__(self, "epoch", as_utc(self.epoch))
        for name in ("times", "position", "velocity"):
            object.__setattr__(self, name, constant(getattr(self, name)))
        count = self.times.size
        if self.times.ndim != 1 or count < _NODES:
            raise InputError(f"an orbit must have at least {_NODES} state vectors, instead got {count}")
        for name in ("position", "velocity"):
            if getattr(self, name).shape != (count, 3):
                message = (
                    f"{name} of an orbit must have the shape ({count}, 3), instead got {getattr(self, name).shape}"
                )
                raise InputError(message)
        if not all(np.isfinite(part).all() for part in (self.times, self.position, self.velocity)):
            raise InputError("state vectors must be finite numbers")
        if not (np.diff(self.times) > 0).all():
            raise InputError("times of state vectors must increase")
        if self.quality not in get_args(Quality):
            message = f"quality of an orbit must be one of {', '.join(get_args(Quality))}, instead got {self.quality!r}"
            raise InputError(message)

    @property
    def start(self) -> float:
        """First time with a state, seconds since the epoch."""
        return float(self.times[0])

    @property
    def stop(self) -> float:
        """Last time with a state, seconds since the epoch."""
        return float(self.times[-1])

    def since(self, epoch: datetime) -> Orbit:
        """Return the same orbit with times counted from another epoch."""
        shift = (self.epoch - as_utc(epoch)).total_seconds()
        return replace(self, epoch=epoch, times=self.times + shift)

    def covers(self, start: float, stop: float) -> bool:
        """Tell whether there is a state at all times of an interval (seconds since the epoch)."""
        return bool(self.start <= start <= stop <= self.stop)

    def around(self, start: float, stop: float) -> Orbit:
        """Return the part that decides states in an interval: the vectors in it, and four more on either side.

        States in the interval stay the same. Where the interval lies outside, the nearest vectors are kept.
        """
        low = int(np.searchsorted(self.times, start, side="right")) - _NODES
        high = int(np.searchsorted(self.times, stop, side="left")) + _NODES
        low = max(min(low, self.times.size - _NODES), 0)
        part = slice(low, max(high, low + _NODES))
        return replace(self, times=self.times[part], position=self.position[part], velocity=self.velocity[part])

    @cached_property
    def pieces(self) -> NDArray[np.float64]:
        """Coefficients of the position between vectors i and i + 1.

        (n - 1, 8, 3) float64, ascending powers of ``(t - times[i]) / (times[i + 1] - times[i])``, metres.
        """
        count = self.times.size
        first = np.clip(np.arange(count - 1) - 1, 0, count - _NODES)
        nodes = first[:, None] + np.arange(_NODES)
        length = np.diff(self.times)
        at = (self.times[nodes] - self.times[:-1, None]) / length[:, None]
        power = np.arange(TERMS)
        slope = power * at[..., None] ** np.maximum(power - 1, 0)
        design = np.concatenate([at[..., None] ** power, slope], axis=1)
        # Relative to the vector before, so that no digits are lost in 7000 km.
        offset = self.position[nodes] - self.position[:-1, None]
        known = np.concatenate([offset, self.velocity[nodes] * length[:, None, None]], axis=1)
        coefficients = np.linalg.solve(design, known)
        coefficients[:, 0] = self.position[:-1]
        return constant(coefficients)

    def state(self, t: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return position and velocity.

        Parameters
        ----------
        t : array-like
            Seconds since the epoch.

        Returns
        -------
        position, velocity : (..., 3) float64
            Metres, metres per second; NaN before the first and after the last state vector, and where `t` is NaN.
        """
        return self._derivative(t, 0), self._derivative(t, 1)

    def acceleration(self, t: ArrayLike) -> NDArray[np.float64]:
        """Return the acceleration, (..., 3) m/s2, in the frame that turns with the Earth; NaN as in `state`."""
        return self._derivative(t, 2)

    def _derivative(self, t: ArrayLike, order: int) -> NDArray[np.float64]:
        time = np.asarray(t, np.float64)
        inside = (time >= self.start) & (time <= self.stop)
        safe = np.where(inside, time, self.start)
        piece = np.clip(np.searchsorted(self.times, safe, side="right") - 1, 0, self.times.size - 2)
        length = self.times[piece + 1] - self.times[piece]
        u = (safe - self.times[piece]) / length
        out: NDArray[Any] = np.zeros((*time.shape, 3))
        for power in range(TERMS - 1, order - 1, -1):
            factor = float(np.prod(np.arange(power - order + 1, power + 1)))
            out = out * u[..., None] + factor * self.pieces[piece, power]
        out /= length[..., None] ** order
        out[~inside] = np.nan
        return out


def as_utc(moment: datetime) -> datetime:
    """Return a time with a zone as UTC.

    Raises
    ------
    InputError
        It has no zone: whose clock it is must be known.
    """
    if moment.tzinfo is None:
        raise InputError(f"an epoch must have a time zone, instead got {moment.isoformat()}")
    return moment.astimezone(UTC)


def constant(values: ArrayLike) -> NDArray[np.float64]:
    """Return a copy in double precision that cannot be changed."""
    copy = np.array(values, np.float64, order="C")
    copy.flags.writeable = False
    return copy
