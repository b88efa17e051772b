"""Orbits that are known exactly, and radar grids on them: both pass directions, both look sides."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from sensetrack.sar.orbit import Orbit
from sensetrack.sar.radargrid import RadarGrid

EPOCH = datetime(2023, 9, 4, 6, 37, 30, tzinfo=UTC)
EARTH_RATE = 7.2921151467e-5
RADIUS = 7_071_000.0
MOTION = np.sqrt(3.986004418e14 / RADIUS**3)


def circle(t, *, inclination=1.7136, node=0.3, argument=0.6):
    """Position and velocity, fixed to the Earth, on a circle at `t` s; `argument` is the angle from the node."""
    t = np.asarray(t, float)
    u, w = argument + MOTION * t, node - EARTH_RATE * t
    cu, su, cw, sw, ci, si = np.cos(u), np.sin(u), np.cos(w), np.sin(w), np.cos(inclination), np.sin(inclination)
    position = RADIUS * np.stack([cw * cu - sw * su * ci, sw * cu + cw * su * ci, su * si], axis=-1)
    by_u = RADIUS * np.stack([-cw * su - sw * cu * ci, -sw * su + cw * cu * ci, cu * si], axis=-1)
    by_w = np.stack([-position[..., 1], position[..., 0], np.zeros_like(u)], axis=-1)
    return position, MOTION * by_u - EARTH_RATE * by_w


def circular_orbit(*, start=-70.0, count=17, step=10.0, **where) -> Orbit:
    """State vectors on `circle`."""
    times = start + step * np.arange(count)
    position, velocity = circle(times, **where)
    return Orbit(EPOCH, times, position, velocity, "analytic", "precise")


def radar_grid(*, look=1, orbit=None, **where) -> RadarGrid:
    """An image of 1500 lines and 2600 samples, 4 s and 78 km of slant range."""
    orbit = circular_orbit(**where) if orbit is None else orbit
    return RadarGrid(1500, 2600, EPOCH, 1.25, 0.0027, 800_000.0, 30.0, look, 0.0555, orbit)
