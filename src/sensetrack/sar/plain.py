"""What `kernels` does, in NumPy on whole arrays: for machines on which nothing is compiled, ten times slower."""
# ruff: noqa: PLR0917  the same arguments as `kernels`

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.sar.ellipsoid import axes, backward, forward, from_ecef
from sensetrack.sar.kernels import ENOUGH, HEIGHT_ERROR, MOST_STEPS, SURFACE_ERROR, frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.sar.heights import HeightField
    from sensetrack.sar.orbit import Orbit

    Array = NDArray[np.float64]

_BATCH = 1 << 18
"""Places that are worked on together."""


def locate(places: tuple[Array, Array, Array], orbit: Orbit, start: float, look: int, *, geodetic: bool) -> Any:
    """Return (time, slant range) of flat arrays of places; see `kernels.locate`."""
    parts = [
        _locate(np.stack(forward(*batch) if geodetic else batch, axis=-1), orbit, start, look)
        for batch in _batches(*places)
    ]
    return _joined(parts, 2)


def _locate(xyz: Array, orbit: Orbit, start: float, look: int) -> tuple[Array, Array]:
    t = np.where(np.isfinite(xyz).all(axis=-1), start, np.nan)
    found = np.zeros(t.shape, bool)
    with np.errstate(invalid="ignore"):
        for _ in range(MOST_STEPS):
            to, velocity, acceleration, slope = _facing(xyz, orbit, t)
            step = -(to * velocity).sum(-1) / slope
            found = np.abs(step) <= ENOUGH
            ahead = np.where(found, t, np.clip(t + step, orbit.start, orbit.stop))
            stuck = ~found & ~((slope < 0) & (ahead != t))
            t = np.where(stuck, np.nan, ahead)
            if (found | np.isnan(t)).all():
                break
        to, velocity, acceleration, slope = _facing(xyz, orbit, t)
        step = -(to * velocity).sum(-1) / slope
        good = found & (slope < 0) & (t + step >= orbit.start) & (t + step <= orbit.stop)
        if look:
            right = np.cross(velocity, orbit.state(t)[0])
            good &= look * (to * right).sum(-1) > 0
        to = to - step[:, None] * (velocity + 0.5 * step[:, None] * acceleration)
        return np.where(good, t + step, np.nan), np.where(good, np.sqrt((to * to).sum(-1)), np.nan)


def _facing(xyz: Array, orbit: Orbit, t: Array) -> tuple[Array, Array, Array, Array]:
    """Vector from the satellite to places, its velocity, acceleration, and the slope of their Doppler in time."""
    position, velocity = orbit.state(t)
    acceleration = orbit.acceleration(t)
    to = xyz - position
    return to, velocity, acceleration, (to * acceleration).sum(-1) - (velocity * velocity).sum(-1)


def place(time: Array, slant: Array, height: Array, orbit: Orbit, look: int) -> Any:
    """Return (lon, lat) of flat arrays of times, ranges and heights; see `kernels.place`."""
    parts = []
    for t, far, up in _batches(time, slant, height):
        arc = _Arc(orbit, look, t, far)
        lon, lat, _ = arc.at(arc.aim(up))
        parts.append((lon, lat))
    return _joined(parts, 2)


def meet(
    time: Array, slant: Array, orbit: Orbit, look: int, field: HeightField, low: float, high: float, posting: float
) -> Any:
    """Return (lon, lat, height, count) of flat arrays of times and ranges; see `kernels.meet`."""
    parts = [_meet(_Arc(orbit, look, t, far), field, low, high, posting) for t, far in _batches(time, slant)]
    return _joined(parts, 4)


class _Arc:
    """All places at a time and a range, by the angle from straight down; one arc for each entry of the arrays."""

    def __init__(self, orbit: Orbit, look: int, time: Array, slant: Array) -> None:
        self.position, velocity = orbit.state(time)
        (px, py, pz), (vx, vy, vz) = self.position.T, velocity.T
        parts = frame(px, py, pz, vx, vy, vz, look)
        self.down, self.side = np.stack(parts[:3], axis=-1), np.stack(parts[3:], axis=-1)
        self.slant = np.where(slant > 0, slant, np.nan)

    def aim(self, height: Any) -> Array:
        """Return the angle at which the arc has a height above the ellipsoid; NaN where nowhere."""
        radius = np.sqrt((self.position**2).sum(-1))
        ground = radius - from_ecef(self.position)[2] + height
        with np.errstate(invalid="ignore"):
            cosine = (radius**2 + self.slant**2 - ground**2) / (2 * radius * self.slant)
            angle = np.where(cosine < 1, np.arccos(np.clip(cosine, 0.0, 1.0)), np.nan)
            for _ in range(MOST_STEPS):
                lon, lat, at = self.at(angle)
                error = at - height
                if not (np.abs(error) > HEIGHT_ERROR).any():
                    break
                up = axes(lon, lat)[:, 2]
                c, s = self.slant * np.cos(angle), self.slant * np.sin(angle)
                climb = c * (up * self.side).sum(-1) - s * (up * self.down).sum(-1)
                step = np.where(np.abs(error) <= HEIGHT_ERROR, 0.0, error / np.where(climb > 0, climb, np.nan))
                angle = angle - step
            c, s = (self.slant * np.cos(angle))[:, None], (self.slant * np.sin(angle))[:, None]
            visible = (axes(lon, lat)[:, 2] * (c * self.down + s * self.side)).sum(-1) < 0
            return np.asarray(np.where((np.abs(error) <= HEIGHT_ERROR) & visible, angle, np.nan))

    def at(self, angle: Array) -> tuple[Array, Array, Array]:
        """Return longitude, latitude and height."""
        c, s = (self.slant * np.cos(angle))[:, None], (self.slant * np.sin(angle))[:, None]
        lon, lat, height = backward(*(self.position + c * self.down + s * self.side).T)
        return lon, lat, height

    def above(self, angle: Array, field: HeightField) -> Array:
        """Return how far the surface is above the arc."""
        lon, lat, height = self.at(angle)
        return field.heights_at(lon, lat) - height


def _meet(arc: _Arc, field: HeightField, low: float, high: float, posting: float) -> Any:
    begin, end = arc.aim(low), arc.aim(high)
    with np.errstate(invalid="ignore"):
        begin = np.where(begin < end, begin, np.nan)
        steps = np.nan_to_num((end - begin) * arc.slant * np.cos(begin) / posting).astype(int) + 1
    count = np.zeros(begin.shape, np.int32)
    a, b, above_a, above_b = (np.full(begin.shape, np.nan) for _ in range(4))
    before, angle_before = np.full(begin.shape, np.nan), begin
    for k in range(int(steps.max()) + 1):
        angle = np.where(k <= steps, begin + (end - begin) * k / steps, np.nan)
        here = arc.above(angle, field)
        through = np.isfinite(before) & np.isfinite(here) & ((before > 0) != (here > 0))
        new = through & (count == 0)
        for kept, value in ((a, angle_before), (above_a, before), (b, angle), (above_b, here)):
            kept[new] = value[new]
        count += through
        before, angle_before = here, angle
    found = _between(arc, field, a, above_a, b, above_b)
    return *arc.at(found), count


def _between(arc: _Arc, field: HeightField, a: Array, above_a: Array, b: Array, above_b: Array) -> Array:
    """Return the angles at which arcs meet the surface; see `kernels`."""
    angle = a
    done = np.isnan(a)
    with np.errstate(invalid="ignore", divide="ignore"):
        for _ in range(60):
            angle = np.where(done, angle, b - above_b * (b - a) / (above_b - above_a))
            above = arc.above(angle, field)
            done |= ~(np.abs(above) > SURFACE_ERROR)
            if done.all():
                break
            other = (above > 0) != (above_b > 0)
            a = np.where(other, b, a)
            above_a = np.where(other, above_b, 0.5 * above_a)
            b, above_b = angle, above
    return angle


def _batches(*values: Array) -> Any:
    for first in range(0, max(values[0].size, 1), _BATCH):
        yield tuple(value[first : first + _BATCH] for value in values)


def _joined(parts: list[Any], count: int) -> tuple[Any, ...]:
    return tuple(np.concatenate([part[k] for part in parts]) for k in range(count))
