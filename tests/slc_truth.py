"""Pairs of TOPS bursts whose motion is known exactly, where each pixel of them is found again, and how far a result is
from that.

Nothing here uses what co-registers or measures: places are found on the equations themselves (`sar.scatterers`), as
the simulator does it.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sensetrack.files.dem import open_dem
from sensetrack.sar.heights import HeightField
from sensetrack.sar.radargrid import RadarGrid
from sensetrack.sar.scatterers import Path as Track
from sensetrack.sar.scatterers import axes, dot, from_earth, to_earth
from sensetrack.sar.simulate import Frame, Scene
from sensetrack.sentinel.s1 import open_sentinel1
from sensetrack.sentinel.simulate_s1 import S1Plan, S1Recipe, later, plan, plan_of, write_pair
from sensetrack.sentinel.simulate_s1_plan import heading

MOROCCO = "safe_s1_2023_morocco"
CONSTANT = (-30.0, -40.0, 0.0)
"""East, north, up, m: about 3 rows down and 5 columns to the right where the pass is descending."""
SLIDE = (12.0, -0.8)
"""Metres along the flight, and up, in the middle of the slide. Across the flight it goes down only: where the range
changes by half a wavelength from one resolution cell to the next, speckle is another one, in nature and in the
simulator."""
NEWTON = 40


@dataclass(frozen=True)
class Slide:
    """A constant shift, and a slide that fades away from a place like a Gaussian.

    Calling it with longitude and latitude (degrees) returns east, north and up, m.
    """

    lon: float
    lat: float
    size: tuple[float, float]
    """Distance east and north at which it is weaker by exp(-1), m."""
    slide: tuple[float, float, float]
    """East, north, up in the middle of the slide, m."""
    constant: tuple[float, float, float] = CONSTANT

    def share(self, lon, lat):
        """Share of the slide that a place takes part in, 0..1."""
        east = (lon - self.lon) * 111_320 * np.cos(np.radians(self.lat)) / self.size[0]
        north = (lat - self.lat) * 110_900 / self.size[1]
        return np.exp(-(east**2) - north**2)

    def __call__(self, lon, lat):
        share = self.share(lon, lat)
        return tuple(fixed + size * share for fixed, size in zip(self.constant, self.slide, strict=True))


@dataclass(frozen=True, eq=False)
class Extended:
    """Heights of a field, and beyond it those of its edge: the simulator also draws what lies around a burst."""

    field: HeightField

    @classmethod
    def of(cls, path, vertical):
        """Read a whole elevation model."""
        return cls(open_dem(path, vertical).field(-np.pi, -np.pi / 2, np.pi, np.pi / 2))

    def heights_at(self, lon, lat):
        """Return heights above the ellipsoid, m, at places in radians."""
        f = self.field
        ends = [sorted((f.lon, f.lon + f.d_lon * (f.heights.shape[1] - 1))),
                sorted((f.lat, f.lat + f.d_lat * (f.heights.shape[0] - 1)))]  # fmt: skip
        return f.heights_at(*(np.clip(at, *end) for at, end in zip((lon, lat), ends, strict=True)))


def hills(lon, lat):
    """Heights of rolling hills, m, 300 to 900: slopes up to 12 degrees, a few kilometres from crest to crest."""
    x, y = lon * 95e3, lat * 111e3
    return 600 + 160 * np.sin(x / 1500 + 0.3) * np.cos(y / 1900) + 140 * np.sin(x / 4100 - y / 3300)


class Expected(NamedTuple):
    """What is true at places of a reference burst; arrays of their shape, float64."""

    d_line: np.ndarray
    """Offset of the ground there on the co-registered secondary, px: how far it moved, and nothing else."""
    d_sample: np.ndarray
    geometry: tuple[np.ndarray, np.ndarray]
    """Line and sample offsets that orbit and relief alone make in the secondary as it is, px."""
    lon: np.ndarray
    """Of the ground before it moved, degrees."""
    lat: np.ndarray
    height: np.ndarray
    moved: tuple[np.ndarray, np.ndarray, np.ndarray]
    """East, north, up, m."""
    plain: np.ndarray
    """Whether the place was found; False in some layover."""


@dataclass(frozen=True, eq=False)
class Burst:
    """A burst of a simulated pair: what was put in, as numbers."""

    scene: Scene
    reference: Frame
    secondary: Frame

    @classmethod
    def of(cls, scene, plans, swath=0, burst=0):
        """Take a burst of two plans."""
        return cls(scene, *(one.frame(one.swaths[swath], burst) for one in plans))

    @cached_property
    def tracks(self):
        """The two orbits over it."""
        frames = self.reference, self.secondary
        return [Track.of(f.orbit, f.first_time - 3, f.last_time + 3) for f in frames]

    def ground(self, line, sample):
        """Return places (..., 3) on the ground of pixels of the reference, and whether they were found."""
        f = self.reference
        time, distance = f.first_time + line * f.line_interval, f.near_range + sample * f.range_spacing
        height = np.full(np.broadcast(time, distance).shape, float(self._level))
        change = np.full(height.shape, np.inf)
        for turn in range(NEWTON):
            lon, lat, _ = from_earth(self.tracks[0].ground(time, distance, height, f.look))
            new = self.scene.heights(lon, lat)
            change = new - height
            # Towards the radar the fixed point is steep: half a step does not swing.
            height = height + (change if turn < 4 else change / 2)
            if np.abs(change).max() < 1e-4:
                break
        return to_earth(lon, lat, height), np.abs(change) < 0.05

    @cached_property
    def _level(self):
        f = self.reference
        lon, lat, _ = from_earth(self.tracks[0].ground(f.first_time, (f.near_range + f.far_range) / 2, 0.0, f.look))
        return self.scene.heights(np.asarray(lon), np.asarray(lat))

    def seen(self, number, xyz):
        """Return line and sample of places (..., 3) in the reference (0) or the secondary (1), as drawn."""
        f = (self.reference, self.secondary)[number]
        time, distance = self.tracks[number].see(xyz)
        return (time - f.first_time) / f.line_interval, (distance - f.near_range) / f.range_spacing

    def expected(self, line, sample):
        """Return what is true at lines and samples (pixel centres) of the reference."""
        line, sample = (np.array(part, float) for part in np.broadcast_arrays(line, sample))
        xyz, plain = self.ground(line, sample)
        lon, lat, height = from_earth(xyz)
        motion = self.scene.motion(lon, lat)
        still = self.seen(1, xyz)
        after = still if motion is None else self.seen(1, xyz + motion)
        # The pixel of the co-registered image that shows this place of the secondary.
        at = [line + after[0] - still[0], sample + after[1] - still[1]]
        # Relief changes geometry by a thousandth of a pixel over such a step: one turn is exact.
        shown = self.seen(1, self.ground(*at)[0])
        at = [part + there - here for part, there, here in zip(at, after, shown, strict=True)]
        parts = (0.0, 0.0, 0.0) if self.scene.displacement is None else self.scene.displacement(lon, lat)
        moved = tuple(np.broadcast_to(np.asarray(part, float), line.shape) for part in parts)
        return Expected(
            at[0] - line, at[1] - sample, (still[0] - line, still[1] - sample), lon, lat, height, moved, plain
        )

    def level(self, lon, lat):
        """Return east and north, m, that ground at places (degrees) would have moved by had it kept its height.

        That is what range and time alone can say: what it went up or down is read as a motion across the flight.
        """
        xyz = to_earth(lon, lat, self.scene.heights(lon, lat))
        motion = self.scene.motion(lon, lat)
        if motion is None:
            return np.zeros(lon.shape), np.zeros(lon.shape)
        track = self.tracks[0]
        time, distance = track.see(xyz + motion)
        step = track.ground(time, distance, self.scene.heights(lon, lat), self.reference.look) - xyz
        east, north, _ = axes(lon, lat)
        return dot(step, east), dot(step, north)

    def over_chips(self, line, sample, chip, nodes=3):
        """Return `expected` as the mean over chips (rows, columns) around places: what a chip can say at best."""
        node, weight = np.polynomial.legendre.leggauss(nodes)
        weight = weight / 2
        line, sample = (np.asarray(part, float) for part in np.broadcast_arrays(line, sample))
        total, plain = 0.0, np.ones(line.shape, bool)
        for u, a in zip(node, weight, strict=True):
            for v, b in zip(node, weight, strict=True):
                one = self.expected(line + u * chip[0] / 2, sample + v * chip[1] / 2)
                flat = np.stack([one.d_line, one.d_sample, *one.geometry, one.lon, one.lat, one.height, *one.moved])
                total, plain = total + a * b * flat, plain & one.plain
        return Expected(*total[:2], tuple(total[2:4]), *total[4:7], tuple(total[7:]), plain)


# Scatter


class Scatter(NamedTuple):
    """How far offsets are from the truth along one axis, px."""

    count: int
    bias: float
    """Median of the errors."""
    mean: float
    mad: float
    """Median absolute deviation from the median."""
    nmad: float
    """The same, times 1.4826."""
    std: float


def scatter(errors):
    """Describe errors (any shape); NaN is left out."""
    errors = np.asarray(errors, float)
    errors = errors[np.isfinite(errors)]
    if not errors.size:
        return Scatter(0, *[float("nan")] * 5)
    bias = float(np.median(errors))
    mad = float(np.median(np.abs(errors - bias)))
    return Scatter(errors.size, bias, float(errors.mean()), mad, 1.4826 * mad, float(errors.std()))


def within(errors, sigmas):
    """Share of errors within one and two of their sigmas; 0.683 and 0.954 where sigmas are true and errors normal."""
    size = np.abs(np.asarray(errors, float) / np.asarray(sigmas, float))
    size = size[np.isfinite(size)]
    return float((size < 1).mean()), float((size < 2).mean())


# Pairs


class Pair(NamedTuple):
    """A simulated pair on disk, and its truth."""

    paths: tuple[Path, Path]
    scene: Scene
    plans: tuple[S1Plan, S1Plan]

    def burst(self, swath=0, burst=0):
        """Return the truth of a burst."""
        return Burst.of(self.scene, self.plans, swath, burst)


def made_up(*, ascending=False, lines=300, samples=2500, bursts=2, swaths=("IW1",), noise=-np.inf, **where):
    """Return the plans of a pair that needs no data: its orbit 110 m further east and its bursts 3.4 lines later."""
    recipe = S1Recipe(
        ascending=ascending, lines=lines, samples=samples, bursts=bursts, swaths=swaths, noise=noise, **where
    )
    first = plan(recipe)
    return first, later(first, east=110.0, late=0.007)


def real(data, *, swaths=("iw1/vv",), bursts=slice(0, 1), samples=slice(None), noise=-np.inf):
    """Return the plans of the real pair over Morocco: its orbits, times, Doppler and bands."""
    paths = sorted((data / MOROCCO).glob("S1A_IW_SLC*.zip"))
    options = {"swaths": swaths, "bursts": bursts, "samples": samples, "noise": noise}
    return tuple(plan_of(open_sentinel1(path), **options) for path in paths)


def real_dem(data, swath):
    """Return the elevation model of the first burst of IW1 or IW2 over Morocco; its heights are above EGM96."""
    (path,) = (data / MOROCCO).glob(f"dem-b1-s1a-{swath}-slc-vv-*.tiff")
    return path


def mosaic(data, path, margin=0.06):
    """Write the elevation models of IW1 and IW2 over Morocco as one, and around them what is at their edges."""
    import rasterio
    from affine import Affine
    from scipy import ndimage

    parts = []
    for swath in ("iw1", "iw2"):
        with rasterio.open(real_dem(data, swath)) as file:
            parts.append((file.read(1), file.transform))
    step = parts[0][1].a
    west = min(t.c for _, t in parts) - round(margin / step) * step
    north = max(t.f for _, t in parts) + round(margin / step) * step
    places = [(round((north - t.f) / step), round((t.c - west) / step), h) for h, t in parts]
    rows, cols = (max(place[k] + place[2].shape[k] for place in places) + round(margin / step) for k in (0, 1))
    whole, known = np.zeros((rows, cols), np.int16), np.zeros((rows, cols), bool)
    for row, col, heights in places:
        inside = np.s_[row : row + heights.shape[0], col : col + heights.shape[1]]
        whole[inside], known[inside] = heights, True
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    with rasterio.open(
        path, "w", driver="GTiff", height=rows, width=cols, count=1, dtype="int16", crs="EPSG:4326",
        transform=Affine(step, 0, west, 0, -step, north), compress="deflate",
    ) as file:  # fmt: skip
        file.write(whole[tuple(nearest)], 1)
    return path


def middle_of(made, swath=0, burst=0, height=600.0, share=(0.5, 0.5)):
    """Return longitude and latitude, degrees, of a place in a burst of a plan."""
    f = made.frame(made.swaths[swath], burst)
    time = f.first_time + share[0] * (f.last_time - f.first_time)
    lon, lat, _ = from_earth(made.track.ground(time, f.near_range + share[1] * (f.far_range - f.near_range), height))
    return float(lon), float(lat)


def grid_of(made, frame):
    """Return the pixels of a frame of a plan as a radar grid."""
    return RadarGrid(
        frame.lines, frame.samples, made.epoch, frame.first_time, frame.line_interval, frame.near_range,
        frame.range_spacing, frame.look, frame.wavelength, frame.orbit,
    )  # fmt: skip


class Plane(NamedTuple):
    """A surface that is one field of heights."""

    heights: HeightField
    posting: float

    def field(self, *_box):
        """Return it whole."""
        return self.heights


def surface_of(height, places, seconds=0.3, margin=0.02):
    """Return heights of a made-up scene around places as an elevation model in memory."""
    step = np.radians(seconds / 3600)
    ends = [np.radians([part.min() - margin, part.max() + margin]) for part in (places.lon, places.lat)]
    lon, lat = (np.arange(end[0], end[1], step) for end in ends)
    heights = height(*np.meshgrid(np.degrees(lon), np.degrees(lat)))
    return Plane(HeightField(heights, lon[0], lat[0], step, step), 31.0 * seconds)


def sliding(
    made, *, height, coherence=0.7, slide=SLIDE, size=(9000.0, 7000.0), share=(0.5, 0.5), burst=0, constant=CONSTANT
):
    """Return a scene with a slide in a burst of a plan, `slide` metres along the flight and up; None: nothing moves."""
    scene = Scene(height=height, coherence=coherence)
    if slide is None:
        return scene
    lon, lat = middle_of(made, burst=burst, share=share)
    ahead = np.radians(heading(made.track, made.swaths[0].times[burst]))
    parts = float(slide[0] * np.sin(ahead)), float(slide[0] * np.cos(ahead)), slide[1]
    return replace(scene, displacement=Slide(lon, lat, size, parts, constant))


def cached(folder, name, scene, plans):
    """Write a pair, or take the one that was written there before under this name."""
    place = Path(folder) / name
    if not (place / "whole").exists():
        shutil.rmtree(place, ignore_errors=True)
        write_pair(place, scene, *plans)
        (place / "whole").touch()
    first, second = sorted(place.glob("*.SAFE"))
    return Pair((first, second), scene, plans)


def backdrop(path, height, made, spacing=1 / 3600, margin=0.02):
    """Write the heights of a made-up scene as an elevation model (above the ellipsoid) that covers all of a plan."""
    import rasterio
    from affine import Affine

    places = np.array([middle_of(made, k, burst, share=share, height=600.0) for k, swath in enumerate(made.swaths)
                       for burst in range(len(swath.times)) for share in ((0, 0), (0, 1), (1, 0), (1, 1))])  # fmt: skip
    west, south = places.min(axis=0) - margin
    east, north = places.max(axis=0) + margin
    rows, cols = int((north - south) / spacing) + 2, int((east - west) / spacing) + 2
    lon, lat = np.meshgrid(west + spacing * np.arange(cols), north - spacing * np.arange(rows))
    half = spacing / 2
    with rasterio.open(
        path, "w", driver="GTiff", height=rows, width=cols, count=1, dtype="float32", crs="EPSG:4979",
        transform=Affine(spacing, 0, west - half, 0, -spacing, north + half),
    ) as file:  # fmt: skip
        file.write(height(lon, lat).astype(np.float32), 1)
    return path
