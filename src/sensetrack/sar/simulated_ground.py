"""The ground that the simulator sees: a lattice of scatterers on a relief, their strength, and how they move."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy.interpolate import RectBivariateSpline

from sensetrack.errors import ConfigError
from sensetrack.sar.scatterers import Path, axes, dot, from_earth, to_earth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from sensetrack.sar.simulate import Frame

    Floats = NDArray[np.float64]
    Height = Callable[[Floats, Floats], Any]

_LIGHT = 299_792_458.0
_CELLS = 400_000
"""Scatterers that are looked at together."""
_MARGIN = 30
"""Lines and samples beyond the frame from which scatterers still reach into it."""
_BANK = 64
"""Columns of the lattice whose random numbers are drawn together."""


class Elevation(Protocol):
    """A model of the ground."""

    def heights_at(self, lon: Floats, lat: Floats) -> Floats:
        """Return heights above the ellipsoid, m, at places in radians."""
        ...


@dataclass(frozen=True)
class PointTarget:
    """A corner reflector, or any other point that shines back the same to everywhere."""

    lon: float
    """Degrees."""
    lat: float
    """Degrees."""
    height: float
    """Above the ellipsoid, m."""
    area: float = 1e5
    """Radar cross section, m2."""
    moves: bool = True
    """Whether it stands on the ground that moves."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What is on the ground; all callables take arrays of longitude and latitude in degrees.

    Parameters
    ----------
    height : float, callable or elevation model
        ``(lon, lat) -> m`` above the ellipsoid; or an object with ``heights_at(lon, lat)`` in radians, as `files.dem`
        opens them.
    sigma0 : float or callable
        Backscatter per area of ground, linear: ``(lon, lat, incidence) -> sigma0``, with the local incidence in
        degrees. By default -8 dB, and as the cosine of the local incidence (gamma0 the same on all slopes).
    displacement : callable, optional
        ``(lon, lat) -> (east, north, up)``, m: how what is there has moved when the second image is taken. The
        texture of `sigma0` goes along.
    coherence : float or callable
        Likeness of the scatterers of the two images, 0..1: ``(lon, lat) -> coherence``.
    targets : tuple of PointTarget
    """

    height: float | Height | Elevation = 0.0
    sigma0: float | Callable[[Floats, Floats, Floats], Any] | None = None
    displacement: Callable[[Floats, Floats], Any] | None = None
    coherence: float | Height = 1.0
    targets: tuple[PointTarget, ...] = ()

    def heights(self, lon: Floats, lat: Floats) -> Floats:
        """Return heights above the ellipsoid, m, of the shape of `lon`."""
        if isinstance(self.height, (int, float)):
            return _spread("height", self.height, lon)
        if callable(self.height):
            return _spread("height", self.height(lon, lat), lon)
        return _spread("height", self.height.heights_at(np.radians(lon), np.radians(lat)), lon)

    def backscatter(self, lon: Floats, lat: Floats, incidence: Floats) -> Floats:
        """Return linear sigma0 where the local incidence is given in degrees."""
        if self.sigma0 is None:
            return np.asarray(10**-0.8 * np.cos(np.radians(incidence)))
        values = self.sigma0(lon, lat, incidence) if callable(self.sigma0) else self.sigma0
        return _spread("sigma0", values, lon)

    def motion(self, lon: Floats, lat: Floats) -> Floats | None:
        """Return the displacement as vectors (..., 3) fixed to the Earth, m; None where nothing moves."""
        if self.displacement is None:
            return None
        parts = self.displacement(lon, lat)
        if len(parts) != 3:
            raise ConfigError(f"displacement must return east, north and up, instead got {len(parts)} parts")
        moved = (_spread("displacement", part, lon)[..., None] for part in parts)
        return np.asarray(sum(size * axis for size, axis in zip(moved, axes(lon, lat), strict=True)))

    def likeness(self, lon: Floats, lat: Floats) -> Floats:
        """Return the coherence, 0..1."""
        values = self.coherence(lon, lat) if callable(self.coherence) else self.coherence
        return np.clip(_spread("coherence", values, lon), 0, 1)


def _spread(name: str, values: Any, like: Floats) -> Floats:
    out = np.broadcast_to(np.asarray(values, np.float64), like.shape)
    if not np.isfinite(out).all():
        raise ConfigError(f"{name} of a simulated scene must be finite numbers, instead got NaN or infinity")
    return out


@dataclass(frozen=True, eq=False)
class Points:
    """Scatterers as one image sees them; arrays (n,) float64."""

    time: Floats
    """Zero Doppler time, s since the epoch of the frame's orbit."""
    distance: Floats
    """Slant range, m."""
    area: Floats
    """Radar cross section, m2; the mean one of speckle."""
    value: NDArray[np.complex128]
    """Random amplitude of mean square 1; 1 for a point target."""
    speed: Floats
    """Ground speed of the line of zero Doppler, m/s."""


@dataclass(frozen=True, eq=False)
class Ground:
    """The lattice of scatterers that a frame of the first image sees.

    The lattice lies on the ground, regular in zero Doppler time and slant range at height 0 and closer than what the
    bandwidth resolves, so that speckle is fully developed and even; relief then moves the points as it does in nature:
    slopes that face the radar are crowded, layover adds up, and what is hidden is dark.
    """

    scene: Scene
    frame: Frame
    others: tuple[Frame, ...] = ()
    """Frames of other images that see the same ground."""
    key: tuple[int, ...] = (0,)
    """Seed of everything random, numbers of 0 or more."""
    _path: dict[int, Path] = field(default_factory=dict, init=False, repr=False)

    def path(self, frame: Frame) -> Path:
        """Return the orbit over this ground."""
        if id(frame) not in self._path:
            reach = 2 * _MARGIN * frame.line_interval + 0.05
            self._path[id(frame)] = Path.of(frame.orbit, frame.first_time - reach, frame.last_time + reach)
        return self._path[id(frame)]

    @property
    def step(self) -> tuple[float, float]:
        """Distance of the scatterers: s, m (slant range at height 0)."""
        return 0.7 / self.frame.azimuth.width, 0.45 * _LIGHT / 2 / self.frame.range.width

    @cached_property
    def _box(self) -> tuple[float, float, float, float, float]:
        """First and last time, first and last slant range (height 0) of the lattice, and the relief, m."""
        frames, home = (self.frame, *self.others), self.path(self.frame)
        ends = np.array([[f.near_range, f.far_range] for f in frames])
        t = np.linspace(self.frame.first_time, self.frame.last_time, 9)[:, None]
        # Heights from -500 to 9000 m can be seen in the frame; only those that are there count.
        r = np.linspace(ends.min() - 600, ends.max() + 9000, 160)[None]
        lon, lat, _ = from_earth(home.ground(t, r, 0.0, self.frame.look))
        heights, moved = self.scene.heights(lon, lat), self.scene.motion(lon, lat)
        reach = 0.0 if moved is None else float(np.linalg.norm(moved, axis=-1).max())
        distance = home.see(to_earth(lon, lat, heights))[1]
        slack = np.ptp(ends, axis=0).max() + reach + 300
        seen = (distance > ends.min() - slack) & (distance < ends.max() + slack)
        heights = heights[seen] if seen.any() else heights
        low, high = float(heights.min()) - 30, float(heights.max()) + 30
        times, ranges = [], []
        for f in frames:
            path = self.path(f)
            corner = np.meshgrid([f.first_time, f.last_time], f.ends, [low, high])
            lon, lat, _ = from_earth(path.ground(*corner, f.look))
            t, r = home.see(to_earth(lon, lat, 0.0))
            times += [t.min(), t.max()]
            ranges += [r.min(), r.max()]
        margin_r = _MARGIN * self.frame.range_spacing + reach
        margin_t = _MARGIN * self.frame.line_interval + reach / 6000
        return (
            min(times) - margin_t, max(times) + margin_t, min(ranges) - margin_r, max(ranges) + margin_r,
            0.0 if high - low < 100 else high - low,
        )  # fmt: skip

    @cached_property
    def _surface(self) -> tuple[RectBivariateSpline, ...]:
        t0, t1, r0, r1, _ = self._box
        r0, r1 = r0 - 2 * self.step[1], r1 + 2 * _BANK * self.step[1]
        times = np.linspace(t0, t1, max(6, int((t1 - t0) / 0.3)))
        # Ground range grows as a root near the nadir: nodes each 2 km are exact to a millimetre from 20 degrees on.
        ranges = np.linspace(r0, r1, max(6, int((r1 - r0) / 2000)))
        xyz = self.path(self.frame).ground(times[:, None], ranges[None], 0.0, self.frame.look)
        return tuple(RectBivariateSpline(times, ranges, xyz[..., k]) for k in range(3))

    def points(self, frame: Frame, near: float, far: float, *, moved: bool, draw: int) -> Iterator[Points]:
        """Yield what an image sees of the scatterers between two slant ranges, in pieces.

        Parameters
        ----------
        frame : Frame
            The image: the first one or one of `others`.
        near, far : float
            Slant ranges, m.
        moved : bool
            Whether the displacement has happened.
        draw : int
            Number of the image: 0 has the scatterers themselves, every other one its own decorrelated share.
        """
        t0, t1, r0, r1, relief = self._box
        step_t, step_r = self.step
        rows = int((t1 - t0) / step_t) + 1
        # A mountain is seen nearer than the ground below it, by up to its height, and throws its shadow away from the
        # radar.
        low = max(r0, near + min(r0 - frame.near_range, 0) - relief * 3 - 100)
        high = min(r1, far + max(r1 - frame.far_range, 0) + 100)
        first, last = int((low - r0) / step_r), int((high - r0) / step_r) + 1
        width = max(_CELLS // rows // _BANK, 1) * _BANK
        horizon = np.full(rows, -np.inf)
        stop = -(-last // _BANK) * _BANK
        for left in range(first // _BANK * _BANK, stop, width):
            part = left, min(width, stop - left)
            yield self._piece(frame, (t0, r0), rows, part, horizon, moved=moved, draw=draw)
        yield from self._targets(frame, moved=moved)

    def _piece(
        self, frame: Frame, origin: tuple[float, float], rows: int, part: tuple[int, int], horizon: Floats,
        *, moved: bool, draw: int,
    ) -> Points:  # fmt: skip
        step_t, step_r = self.step
        left, width = part
        # One column more on either side, for slopes.
        t = origin[0] + step_t * np.arange(rows)
        r = origin[1] + step_r * np.arange(left - 1, left + width + 1)
        lon, lat, _ = from_earth(np.stack([spline(t, r) for spline in self._surface], axis=-1))
        xyz = to_earth(lon, lat, self.scene.heights(lon, lat))
        motion = self.scene.motion(lon, lat) if moved else None
        xyz = xyz if motion is None else xyz + motion
        facet = np.cross(np.gradient(xyz, axis=1), np.gradient(xyz, axis=0))[:, 1:-1]
        xyz, lon, lat = xyz[:, 1:-1], lon[:, 1:-1], lat[:, 1:-1]
        at = rows // 2
        up = axes(lon[at], lat[at])[2]
        facet *= np.sign(dot(facet[at, 0], up[0]))
        path = self.path(frame)
        guess = t[:, None] + (frame.first_time - self.frame.first_time)
        time, distance = path.see(xyz, np.broadcast_to(guess, lon.shape))
        position = path(time)
        line = (position - xyz) / distance[..., None]
        area = np.sqrt(dot(facet, facet))
        facing = dot(line, facet) / area
        nadir = -dot(line, position) / np.sqrt(dot(position, position))  # -cos of the look angle: grows
        seen = (nadir >= _before(nadir, horizon)) & (facing > 0)
        incidence = np.degrees(np.arccos(np.clip(facing, 0, 1)))
        strength = np.where(seen, area * self.scene.backscatter(lon, lat, incidence), 0)
        value = self._random(rows, left, width, draw, self.scene.likeness(lon, lat))
        # It is the same along the track to a tenth of a per mille.
        speed = np.broadcast_to(path.ground_speed(xyz[at], time[at], up), lon.shape)
        return Points(*(np.ravel(part) for part in (time, distance, strength, value, speed)))

    def _random(self, rows: int, left: int, width: int, draw: int, coherence: Floats) -> NDArray[np.complex128]:
        """Complex Gaussian numbers (rows, width); those of two images are alike as much as `coherence` says."""

        def numbers(which: int) -> NDArray[np.complex128]:
            banks = [
                np.random.default_rng([*self.key, which, bank]).standard_normal((2, rows, _BANK))
                for bank in range(left // _BANK, (left + width) // _BANK)
            ]
            pair = np.concatenate(banks, axis=-1) * np.sqrt(0.5)
            return np.asarray(pair[0] + 1j * pair[1])

        own = numbers(0)
        if not draw or (coherence == 1).all():
            return own
        return np.asarray(coherence * own + np.sqrt(1 - coherence**2) * numbers(draw))

    def _targets(self, frame: Frame, *, moved: bool) -> Iterator[Points]:
        targets = self.scene.targets
        if not targets:
            return
        lon, lat, height, area = (
            np.array([getattr(target, name) for target in targets]) for name in ("lon", "lat", "height", "area")
        )
        xyz, motion = to_earth(lon, lat, height), self.scene.motion(lon, lat) if moved else None
        if motion is not None:
            xyz = xyz + np.where([[target.moves] for target in targets], motion, 0)
        path = self.path(frame)
        time, distance = path.see(xyz)
        speed = path.ground_speed(xyz, time, axes(lon, lat)[2])
        yield Points(time, distance, area, np.ones(len(targets), complex), speed)


def _before(nadir: Floats, horizon: Floats) -> Floats:
    """Steepest sight line so far along each row; `horizon` is carried on from piece to piece."""
    top = np.maximum.accumulate(np.concatenate([horizon[:, None], nadir], axis=1), axis=1)
    horizon[:] = top[:, -1]
    return np.asarray(top[:, :-1])
