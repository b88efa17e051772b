"""An orbit that can be written down: a circle around a turning Earth, for the simulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sensetrack.errors import ConfigError
from sensetrack.sar.orbit import Orbit

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

_GRAVITY = 3.986004418e14
"""Of the Earth, m3/s2."""
_TURN = 7.2921158553e-5
"""Of the Earth, radians per second."""


@dataclass(frozen=True)
class CircularOrbit:
    """A circular orbit that passes over a place at time 0.

    Parameters
    ----------
    lon, lat : float
        Degrees; the latitude is geocentric.
    ascending : bool
        Whether it flies north there.
    period : float
        s; by default 175 orbits in 12 days, as Sentinel-1.
    inclination : float
        Degrees.
    east : float
        Metres by which the whole orbit lies further east: of the equator, which is what makes a baseline.
    """

    lon: float
    lat: float
    ascending: bool = True
    period: float = 12 * 86400 / 175
    inclination: float = 98.18
    east: float = 0.0

    def __post_init__(self) -> None:
        if abs(self.lat) >= min(self.inclination, 180 - self.inclination):
            highest = min(self.inclination, 180 - self.inclination)
            raise ConfigError(f"lat must be below {highest:g} degrees for this orbit, instead got {self.lat:g}")

    @property
    def radius(self) -> float:
        """Distance from the centre of the Earth, m."""
        return float(np.cbrt(_GRAVITY * (self.period / (2 * np.pi)) ** 2))

    @property
    def since_node(self) -> float:
        """Time since the ascending node at time 0, s."""
        return self._argument / (2 * np.pi) * self.period

    @property
    def _argument(self) -> float:
        """Angle along the orbit from the ascending node at time 0, radians."""
        up = float(np.arcsin(np.sin(np.radians(self.lat)) / np.sin(np.radians(self.inclination))))
        return (up if self.ascending else np.pi - up) % (2 * np.pi)

    def state(self, time: ArrayLike) -> tuple[Floats, Floats]:
        """Return position (m) and velocity (m/s) at times in s, (..., 3), on axes that turn with the Earth."""
        t = np.asarray(time, np.float64)
        tilt, start = np.radians(self.inclination), self._argument
        node = np.radians(self.lon) - np.arctan2(np.cos(tilt) * np.sin(start), np.cos(start)) + self.east / 6_378_137.0
        u, speed = start + 2 * np.pi / self.period * t, 2 * np.pi / self.period
        turned = node - _TURN * t
        c, s = np.cos(turned), np.sin(turned)

        def place(x: Floats, y: Floats) -> Floats:
            flat = y * np.cos(tilt)
            return np.asarray(self.radius * np.stack([c * x - s * flat, s * x + c * flat, y * np.sin(tilt)], axis=-1))

        position = place(np.cos(u), np.sin(u))
        velocity = speed * place(-np.sin(u), np.cos(u))
        velocity[..., 0] += _TURN * position[..., 1]
        velocity[..., 1] -= _TURN * position[..., 0]
        return position, velocity

    def vectors(self, epoch: datetime, start: float, stop: float, step: float = 10.0) -> Orbit:
        """Return state vectors each `step` s that cover an interval, in s since `epoch`, when the time is 0."""
        times = step * np.arange(np.floor(start / step), np.ceil(stop / step) + 1)
        position, velocity = self.state(times)
        return Orbit(epoch, times, position, velocity, "annotation", "auxiliary")
