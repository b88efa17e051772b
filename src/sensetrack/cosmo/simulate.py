"""Products of COSMO-SkyMed made up from a scene: to test with, since no real one may be shipped.

Nothing here is shared with what reads products. Layout and names of attributes follow public sources; orbit, geometry
and speckle come from the simulator in `sensetrack.sar`. What agrees with it need not agree with a real product.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from sensetrack.cosmo.simulate_attributes import image_attributes, root_attributes, swath_attributes
from sensetrack.errors import ConfigError
from sensetrack.files.hdf5_output import Item, write_hdf5
from sensetrack.sar.orbit import Orbit
from sensetrack.sar.scatterers import Path as Track
from sensetrack.sar.scatterers import axes, from_earth
from sensetrack.sar.simulate import Band, Frame, Ground, Scene, detected, quantised, slc
from sensetrack.sar.simulated_orbit import CircularOrbit

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_LIGHT = 299_792_458.0
WAVELENGTH = 0.031228381041666666
PERIOD = 16 * 86400 / 237
"""237 orbits in 16 days."""
INCLINATION = 97.86
RESCALING = 700.0
CONSTANT = 5e10
REFERENCE_RANGE = 8e5
REFERENCE_ANGLE = 45.0


@dataclass(frozen=True)
class CosmoPlan:
    """What is acquired."""

    generation: Literal["CSK", "CSG"] = "CSK"
    level: Literal["SCS", "DGM"] = "SCS"
    mode: Literal["stripmap", "pingpong", "scansar"] = "stripmap"
    look: Literal["right", "left"] = "right"
    ascending: bool = True
    lon: float = 11.3
    """Of the middle of the image, about; degrees."""
    lat: float = 44.5
    start: datetime = datetime(2023, 5, 4, 5, 6, 38, 250000, tzinfo=UTC)
    """Of line 0."""
    near_range: float = 745_000.0
    """m; with the orbit 620 km up, 36 degrees from the vertical."""
    lines: int = 420
    samples: int = 360
    prf: float = 3063.72549019608
    """Lines per second."""
    sampling: float = 1.125e8
    """Samples per second."""
    spacing: float = 2.5
    """Of the columns of a DGM along the ground, m."""
    subswaths: int = 1
    east: float = 0.0
    """Metres by which the orbit lies further east: a baseline."""

    @property
    def direction(self) -> Literal[1, -1]:
        """1: to the right."""
        return 1 if self.look == "right" else -1

    @property
    def epoch(self) -> datetime:
        """Midnight before the first line."""
        return self.start.replace(hour=0, minute=0, second=0, microsecond=0)

    @property
    def first_time(self) -> float:
        """Of line 0, s since midnight."""
        return (self.start - self.epoch).total_seconds()

    @cached_property
    def orbit(self) -> Orbit:
        """State vectors each 10 s, at full seconds, around the image."""
        middle = self.first_time + self.lines / self.prf / 2
        times = 10.0 * (np.floor(middle / 10) + np.arange(-7, 8))
        position, velocity = self._circle.state(times - middle)
        return Orbit(self.epoch, times, position, velocity, "simulated", "downlink")

    @cached_property
    def _circle(self) -> CircularOrbit:
        """An orbit from which the image looks at its place: it passes some hundred km beside."""
        made = CircularOrbit(self.lon, self.lat, self.ascending, PERIOD, INCLINATION, self.east)
        for _ in range(6):
            lon, lat = self._seen(made)
            shift = (self.lon - lon + 180) % 360 - 180, self.lat - lat
            made = replace(made, lon=made.lon + shift[0], lat=made.lat + shift[1])
        return made

    def _seen(self, circle: CircularOrbit) -> tuple[float, float]:
        """Longitude and latitude, degrees, that an orbit without baseline looks at in the middle."""
        times = np.arange(-40.0, 41.0, 10.0)
        position, velocity = replace(circle, east=0.0).state(times)
        orbit = Orbit(self.epoch, times, position, velocity, "simulated", "downlink")
        distance = self.near_range + self.samples / 2 * _LIGHT / 2 / self.sampling
        lon, lat, _ = from_earth(Track.of(orbit, -30.0, 30.0).ground(0.0, distance, 0.0, self.direction))
        return float(lon), float(lat)

    @cached_property
    def frame(self) -> Frame:
        """What the radar sees, all subswaths together."""
        width = 0.85 * self.sampling
        parts = tuple(
            Band(self.sampling, 0.4 * width, 0.75, centre * width) for centre in (-0.25, 0.25)
        ) if self.level == "DGM" else ()  # fmt: skip
        return Frame(
            self.orbit, WAVELENGTH, self.first_time, 1 / self.prf, self.lines, self.near_range,
            _LIGHT / 2 / self.sampling, self.samples, Band(self.prf, 0.8 * self.prf, 0.75),
            Band(self.sampling, width, 0.75), parts, look=self.direction,
        )  # fmt: skip

    @cached_property
    def track(self) -> Track:
        """The orbit around the image."""
        return Track.of(self.orbit, self.frame.first_time - 2, self.frame.last_time + 2)

    @property
    def polarisations(self) -> tuple[str, ...]:
        """Of the images."""
        return ("HH", "VV") if self.mode == "pingpong" else ("HH",)

    @property
    def name(self) -> str:
        """Of the product."""
        stop = self.start + timedelta(seconds=self.lines / self.prf + 1)
        times = f"{self.start:%Y%m%d%H%M%S}_{stop:%Y%m%d%H%M%S}"
        side = ("R" if self.look == "right" else "L") + ("A" if self.ascending else "D")
        if self.generation == "CSK":
            mode = {"stripmap": "HI", "pingpong": "PP", "scansar": "WR"}[self.mode]
            seen = "CO" if self.mode == "pingpong" else "HH"
            return f"CSKS1_{self.level}_B_{mode}_09_{seen}_{side}_SF_{times}"
        mode = {"stripmap": "STR", "pingpong": "PPS", "scansar": "SC1"}[self.mode]
        zone, pole = int((self.lon + 180) // 6) + 1, "N" if self.lat >= 0 else "S"
        place = f"{abs(self.lat):02.0f}{pole}_Z{zone:02d}_N00"
        return f"CSG_SSAR1_{self.level}_B_0101_{mode}_009_HH_{side}_F_{times}_1_F_{place}"

    def slant_ranges(self) -> tuple[Floats, Floats, Floats]:
        """Return polynomials of a DGM: slant range - reference by column, column by it, and slant ranges, m."""
        frame = self.frame
        distance = np.linspace(frame.near_range + 4, frame.far_range - 4, 2000)
        middle = (frame.first_time + frame.last_time) / 2
        places = self.track.ground(middle, distance, 0.0, frame.look)
        along = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(places, axis=0), axis=1))]
        columns = int(along[-1] / self.spacing)
        column = along / self.spacing
        fit = np.polynomial.Polynomial.fit(column, distance - distance[0], 5).convert().coef
        back = np.polynomial.Polynomial.fit(distance - distance[0], column, 5).convert().coef
        seen = distance[0] + np.polynomial.polynomial.polyval(np.arange(columns), fit)
        return np.asarray(fit, np.float64), np.asarray(back, np.float64), np.asarray(seen, np.float64)

    def subframes(self) -> list[Frame]:
        """Frames of the subswaths, each a tenth over the next."""
        if self.subswaths == 1:
            return [self.frame]
        edges = np.linspace(0, self.samples, self.subswaths + 1).astype(int)
        over = self.samples // self.subswaths // 10
        return [
            self.frame.strip(max(int(a) - over, 0), min(int(b) + over, self.samples))
            for a, b in itertools.pairwise(edges)
        ]


@dataclass(frozen=True, eq=False)
class Simulated:
    """A product that was written."""

    path: Path
    plan: CosmoPlan
    items: dict[str, Item] = field(repr=False)
    """What is in it, by name."""


def simulate_cosmo(
    folder: Path,
    plan: CosmoPlan,
    scene: Scene | None = None,
    *,
    ground: Ground | None = None,
    moved: bool = False,
    draw: int = 0,
    seed: int = 0,
    as_bytes: bool = True,
) -> Simulated:
    """Write a product as HDF5.

    Parameters
    ----------
    folder : Path
    plan : CosmoPlan
    scene : Scene, optional
        By default flat ground of speckle.
    ground : Ground, optional
        Scatterers that another product has already seen; see `simulate_pair`.
    moved, draw
        See `sensetrack.sar.simulate.slc`.
    seed : int
    as_bytes : bool
        How text is stored.
    """
    if plan.mode != "scansar" and plan.subswaths != 1:
        raise ConfigError(f"subswaths must be 1 in mode {plan.mode}, instead got {plan.subswaths}")
    ground = ground or Ground(scene or Scene(), plan.frame, key=(seed,))
    items = _items(plan, ground, moved=moved, draw=draw)
    path = write_hdf5(folder / f"{plan.name}.h5", items, as_bytes=as_bytes)
    return Simulated(path, plan, items)


def simulate_pair(
    folder: Path, plan: CosmoPlan, scene: Scene, *, days: int = 16, east: float = 120.0, seed: int = 0
) -> tuple[Simulated, Simulated]:
    """Write two products of one ground; between them it moves as the scene says, and the orbit shifts `east` m."""
    later = replace(plan, start=plan.start + timedelta(days=days), east=plan.east + east)
    ground = Ground(scene, plan.frame, (later.frame,), key=(seed,))
    first = simulate_cosmo(folder, plan, ground=ground)
    return first, simulate_cosmo(folder, later, ground=ground, moved=True, draw=1)


def amplitude() -> float:
    """Digital number at which beta0 is 1, by the constants that products are written with."""
    return float(RESCALING * np.sqrt(CONSTANT) / REFERENCE_RANGE)


def _items(plan: CosmoPlan, ground: Ground, *, moved: bool, draw: int) -> dict[str, Item]:
    csk = plan.generation == "CSK"
    root = root_attributes(plan)
    items = {"": Item(root)}
    merged = plan.mode == "scansar" and plan.level == "DGM"
    frames = plan.subframes()
    for number in range(1, len(plan.polarisations) * len(frames) + 1):
        frame = frames[(number - 1) % len(frames)]
        swath = f"S{number:02d}"
        items[swath] = Item(swath_attributes(plan, plan.polarisations[(number - 1) // len(frames)]))
        burst = "B001" if csk else "B0001"
        times = {
            "Azimuth First Time": frame.first_time,
            "Azimuth Last Time": frame.last_time,
            "Azimuth Steering": np.zeros(3),
            "Azimuth Ramp Code Change Lines": np.zeros(3),
        }
        items[f"{swath}/{burst}"] = Item(times)
        quick = np.arange(48, dtype=np.uint8).reshape(6, 8)
        items[f"{swath}/QLK"] = Item({"Quick Look Lines Order": "EARLY-LATE"}, quick)
        if not merged:
            items[f"{swath}/{'SBI' if csk else 'IMG'}"] = _image(plan, frame, ground, moved=moved, draw=draw)
    if merged:
        items["MBI" if csk else "IMG"] = _image(plan, plan.frame, ground, moved=moved, draw=draw)
    if not csk:
        items["LRHM"] = Item({"Line Spacing": 50.0}, np.zeros((4, 5), np.float32))
    return items


def _image(plan: CosmoPlan, frame: Frame, ground: Ground, *, moved: bool, draw: int) -> Item:
    if plan.level == "SCS":
        image = slc(frame, ground, amplitude=amplitude(), moved=moved, draw=draw)
        distance = np.asarray(frame.near_range + np.arange(frame.samples) * frame.range_spacing, np.float64)
        data = quantised(image * np.sqrt(_compensation(plan, frame, distance)).astype(np.float32))
        return Item(image_attributes(plan, frame), data)
    _, _, seen = plan.slant_ranges()
    wide = np.broadcast_to(seen, (frame.lines, seen.size))
    power = detected(frame, ground, wide, amplitude=amplitude(), moved=moved, draw=draw)
    numbers = np.sqrt(power * _compensation(plan, frame, seen))
    data = np.clip(np.rint(numbers), 0, 65535).astype(np.uint16)
    return Item(image_attributes(plan, frame, seen), data)


def _compensation(plan: CosmoPlan, frame: Frame, distance: Floats) -> Floats:
    """Return what power is multiplied by to go with sigma0: the sine of the incidence over that of the reference."""
    ends = [np.sin(np.radians(angles(plan, frame, float(end))[0])) for end in distance[[0, -1]]]
    along = np.linspace(0, 1, distance.size)
    return np.asarray((ends[0] + (ends[1] - ends[0]) * along) / np.sin(np.radians(REFERENCE_ANGLE)))


def corner(plan: CosmoPlan, frame: Frame, time: float, distance: float) -> Floats:
    """Return latitude, longitude (degrees) and height (m) of a place on the ellipsoid that the radar sees."""
    lon, lat, height = from_earth(plan.track.ground(time, distance, 0.0, frame.look))
    return np.array([float(lat), float(lon), float(height)])


def angles(plan: CosmoPlan, frame: Frame, distance: float) -> tuple[float, float]:
    """Return incidence and look angle, degrees from the vertical, in the middle of the image."""
    middle = (frame.first_time + frame.last_time) / 2
    place = plan.track.ground(middle, distance, 0.0, frame.look)
    sight = plan.track(middle) - place
    sight /= np.linalg.norm(sight)
    lon, lat, _ = from_earth(place)
    up = axes(lon, lat)[2]
    down = plan.track(middle) / np.linalg.norm(plan.track(middle))
    return float(np.degrees(np.arccos(sight @ up))), float(np.degrees(np.arccos(sight @ down)))


def ground_speed(plan: CosmoPlan, frame: Frame) -> float:
    """Return the speed along the ground in the middle of the image, m/s."""
    middle, distance = (frame.first_time + frame.last_time) / 2, (frame.near_range + frame.far_range) / 2
    before, after = (plan.track.ground(middle + step, distance, 0.0, frame.look) for step in (-0.05, 0.05))
    return float(np.linalg.norm(after - before) / 0.1)
