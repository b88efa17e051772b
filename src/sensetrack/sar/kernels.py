"""The loops of radar geometry, compiled; `plain` says the same in NumPy."""
# ruff: noqa: FBT001, PLR0917  compiled functions take their arguments by position

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.sar.compiling import compiled
from sensetrack.sar.ellipsoid import backward, forward
from sensetrack.sar.heights import between

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

ENOUGH = 3e-3
"""A step of Newton's method, s, after which the time is known to 1e-9 s: what is left goes with its square."""
MOST_STEPS = 25
"""Steps of Newton's method after which a place counts as not found."""
HEIGHT_ERROR = 1e-6
"""Metres within which a place on a height is found."""
SURFACE_ERROR = 1e-4
"""Metres within which a place on a surface is found."""


@compiled
def _piece(t: float, times: Array, i: int) -> int:
    """Return the piece of an orbit that a time lies in, looking from piece i on; the outermost ones reach on."""
    while i < times.size - 2 and t >= times[i + 1]:
        i += 1
    while i > 0 and t < times[i]:
        i -= 1
    return i


@compiled
def _axis(t: float, times: Array, pieces: Array, i: int, k: int) -> tuple[float, float, float]:
    """Position, velocity and acceleration along axis k, by Horner's scheme."""
    length = times[i + 1] - times[i]
    u = (t - times[i]) / length
    p, v, a = pieces[i, 7, k], 0.0, 0.0
    for power in range(6, -1, -1):
        a = a * u + v
        v = v * u + p
        p = p * u + pieces[i, power, k]
    return p, v / length, 2 * a / (length * length)


@compiled
def locate(
    a: Array, b: Array, c: Array, geodetic: bool, times: Array, pieces: Array, start: float, look: int,
    time: Array, slant: Array,
) -> None:  # fmt: skip
    """Find when the satellite passes places, and how far away: zero Doppler, (P - S) . V = 0.

    Parameters
    ----------
    a, b, c : (n,) float64
        Longitude, latitude, height, or x, y, z.
    geodetic : bool
        Which of the two.
    times, pieces : arrays
        Of the orbit.
    start : float
        Where the search begins at the first place; each further one begins where the one before was found.
    look : int
        1 or -1: places on the other side of the track are not seen; 0: both sides.
    time, slant : (n,) float64
        Written; NaN where the place is not passed while the orbit is known.
    """
    first, last = times[0], times[-1]
    t, i = start, 0
    for n in range(a.size):
        time[n] = slant[n] = np.nan
        x, y, z = a[n], b[n], c[n]
        if np.isnan(x + y + z):
            continue
        if geodetic:
            x, y, z = forward(x, y, z)
        found = False
        for _ in range(MOST_STEPS):
            i = _piece(t, times, i)
            px, vx, ax = _axis(t, times, pieces, i, 0)
            py, vy, ay = _axis(t, times, pieces, i, 1)
            pz, vz, az = _axis(t, times, pieces, i, 2)
            dx, dy, dz = x - px, y - py, z - pz
            slope = dx * ax + dy * ay + dz * az - (vx * vx + vy * vy + vz * vz)
            if not slope < 0:  # farther from the track than the curve of the orbit reaches
                break
            step = -(dx * vx + dy * vy + dz * vz) / slope
            if abs(step) <= ENOUGH:
                found = True
                break
            ahead = min(max(t + step, first), last)
            if ahead == t:  # at an end, and it would go on
                break
            t = ahead
        if not found or not first <= t + step <= last:
            t = min(max(t, first), last)
            continue
        if look != 0 and look * _right(dx, dy, dz, vx, vy, vz, px, py, pz) <= 0:
            continue
        half = 0.5 * step
        dx -= step * (vx + half * ax)
        dy -= step * (vy + half * ay)
        dz -= step * (vz + half * az)
        t += step
        time[n], slant[n] = t, np.sqrt(dx * dx + dy * dy + dz * dz)


@compiled
def _right(
    dx: float, dy: float, dz: float, vx: float, vy: float, vz: float, px: float, py: float, pz: float
) -> float:  # fmt: skip
    """Return a number above 0 where (dx, dy, dz) points to the right of the flight: along velocity x position."""
    return dx * (vy * pz - vz * py) + dy * (vz * px - vx * pz) + dz * (vx * py - vy * px)


@compiled
def frame(
    px: Any, py: Any, pz: Any, vx: Any, vy: Any, vz: Any, look: Any
) -> tuple[Any, Any, Any, Any, Any, Any]:  # fmt: skip
    """Return two unit vectors across the flight: down, and sidewards to where the radar looks."""
    speed = np.sqrt(vx * vx + vy * vy + vz * vz)
    vx, vy, vz = vx / speed, vy / speed, vz / speed
    along = px * vx + py * vy + pz * vz
    nx, ny, nz = along * vx - px, along * vy - py, along * vz - pz
    norm = np.sqrt(nx * nx + ny * ny + nz * nz)
    nx, ny, nz = nx / norm, ny / norm, nz / norm
    return nx, ny, nz, look * (ny * vz - nz * vy), look * (nz * vx - nx * vz), look * (nx * vy - ny * vx)


@compiled
def _aim(
    px: float, py: float, pz: float, down: tuple[float, float, float], side: tuple[float, float, float],
    slant: float, height: float,
) -> float:  # fmt: skip
    """Return the angle from `down` at which a range ends at a height above the ellipsoid; NaN where it does nowhere."""
    radius = np.sqrt(px * px + py * py + pz * pz)
    _, lat, up = backward(px, py, pz)
    ground = radius - up + height
    cosine = (radius * radius + slant * slant - ground * ground) / (2 * radius * slant)
    if not cosine < 1:
        return np.nan
    angle = np.arccos(max(cosine, 0.0))
    for _ in range(MOST_STEPS):
        c, s = slant * np.cos(angle), slant * np.sin(angle)
        x = px + c * down[0] + s * side[0]
        y = py + c * down[1] + s * side[1]
        z = pz + c * down[2] + s * side[2]
        lon, lat, at = backward(x, y, z)
        error = at - height
        ux, uy, uz = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
        if ux * (x - px) + uy * (y - py) + uz * (z - pz) >= 0:  # beyond the horizon
            return np.nan
        if abs(error) <= HEIGHT_ERROR:
            return float(angle)
        climb = c * (ux * side[0] + uy * side[1] + uz * side[2]) - s * (ux * down[0] + uy * down[1] + uz * down[2])
        if not climb > 0:
            return np.nan
        angle -= error / climb
    return np.nan


@compiled
def place(
    time: Array, slant: Array, height: Array, times: Array, pieces: Array, look: int,
    lon: Array, lat: Array,
) -> None:  # fmt: skip
    """Find the place at a time, a range and a height above the ellipsoid.

    Parameters
    ----------
    time, slant, height : (n,) float64
    times, pieces : arrays
        Of the orbit.
    look : int
        1 or -1.
    lon, lat : (n,) float64
        Written; NaN outside the orbit and where no place has that range and height.
    """
    i = 0
    for n in range(time.size):
        lon[n] = lat[n] = np.nan
        t = time[n]
        if not (times[0] <= t <= times[-1] and slant[n] > 0 and not np.isnan(height[n])):
            continue
        i = _piece(t, times, i)
        px, vx, _ = _axis(t, times, pieces, i, 0)
        py, vy, _ = _axis(t, times, pieces, i, 1)
        pz, vz, _ = _axis(t, times, pieces, i, 2)
        nx, ny, nz, sx, sy, sz = frame(px, py, pz, vx, vy, vz, look)
        angle = _aim(px, py, pz, (nx, ny, nz), (sx, sy, sz), slant[n], height[n])
        if not np.isnan(angle):
            c, s = slant[n] * np.cos(angle), slant[n] * np.sin(angle)
            lon[n], lat[n], _ = backward(px + c * nx + s * sx, py + c * ny + s * sy, pz + c * nz + s * sz)


@compiled
def _ground(lon: float, lat: float, heights: Array, corner: tuple[float, float, float, float]) -> float:
    """Return the height of a field at a place; NaN outside and where one of the four around is."""
    middle = 0.5 * (heights.shape[1] - 1)
    turned = lon - (corner[0] + corner[2] * middle)
    turned -= 2 * np.pi * np.floor(turned / (2 * np.pi) + 0.5)
    return between(heights, (lat - corner[1]) / corner[3], turned / corner[2] + middle)


@compiled
def _above(
    angle: float, slant: float, p: tuple[float, float, float], down: tuple[float, float, float],
    side: tuple[float, float, float], heights: Array, corner: tuple[float, float, float, float],
) -> tuple[float, float, float, float]:  # fmt: skip
    """Return how far the surface is above the end of a range, and where that end is."""
    c, s = slant * np.cos(angle), slant * np.sin(angle)
    x = p[0] + c * down[0] + s * side[0]
    y = p[1] + c * down[1] + s * side[1]
    z = p[2] + c * down[2] + s * side[2]
    lon, lat, up = backward(x, y, z)
    return _ground(lon, lat, heights, corner) - up, lon, lat, up


@compiled
def meet(
    time: Array, slant: Array, times: Array, pieces: Array, look: int, heights: Array,
    corner: tuple[float, float, float, float], low: float, high: float, posting: float,
    lon: Array, lat: Array, height: Array, count: Array,
) -> None:  # fmt: skip
    """Find where the arc of all places at a time and a range meets a surface, and how often.

    The arc is followed from the lowest height of the surface to the highest in steps of about a posting.

    Parameters
    ----------
    time, slant : (n,) float64
    times, pieces, look
        Of the orbit and the radar.
    heights, corner
        Of a `HeightField`: values, and (lon, lat, d_lon, d_lat).
    low, high : float
        Heights, m, between which the surface lies.
    posting : float
        Metres between its values.
    lon, lat, height : (n,) float64
        Written: the place nearest to the track; NaN where there is none.
    count : (n,) int32
        Written: at how many places they meet.
    """
    i = 0
    for n in range(time.size):
        lon[n] = lat[n] = height[n] = np.nan
        count[n] = 0
        t, far = time[n], slant[n]
        if not (times[0] <= t <= times[-1] and far > 0):
            continue
        i = _piece(t, times, i)
        px, vx, _ = _axis(t, times, pieces, i, 0)
        py, vy, _ = _axis(t, times, pieces, i, 1)
        pz, vz, _ = _axis(t, times, pieces, i, 2)
        nx, ny, nz, sx, sy, sz = frame(px, py, pz, vx, vy, vz, look)
        p, down, side = (px, py, pz), (nx, ny, nz), (sx, sy, sz)
        begin, end = _aim(px, py, pz, down, side, far, low), _aim(px, py, pz, down, side, far, high)
        if not begin < end:
            continue
        steps = int((end - begin) * far * np.cos(begin) / posting) + 1
        before, angle_before = np.nan, begin
        for k in range(steps + 1):
            angle = begin + (end - begin) * k / steps
            here, _, _, _ = _above(angle, far, p, down, side, heights, corner)
            if not np.isnan(before + here) and (before > 0) != (here > 0):
                count[n] += 1
                if count[n] == 1:
                    exact = _between(angle_before, before, angle, here, far, p, down, side, heights, corner)
                    _, lon[n], lat[n], height[n] = _above(exact, far, p, down, side, heights, corner)
            before, angle_before = here, angle


@compiled
def _between(
    a: float, above_a: float, b: float, above_b: float, slant: float, p: tuple[float, float, float],
    down: tuple[float, float, float], side: tuple[float, float, float], heights: Array,
    corner: tuple[float, float, float, float],
) -> float:  # fmt: skip
    """Return the angle at which an arc meets the surface between two at which it is on either side of it.

    The false position, with the weight of an end halved that stays twice (the Illinois rule).
    """
    angle = a
    for _ in range(60):
        angle = b - above_b * (b - a) / (above_b - above_a)
        above, _, _, _ = _above(angle, slant, p, down, side, heights, corner)
        if not abs(above) > SURFACE_ERROR:
            break
        if (above > 0) != (above_b > 0):
            a, above_a = b, above_b
        else:
            above_a *= 0.5
        b, above_b = angle, above
    return angle
