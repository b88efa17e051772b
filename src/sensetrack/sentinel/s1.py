"""Sentinel-1 products: SLC and GRD of IW, EW and stripmap, opened swath by swath."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import (
    ConfigError,
    EnvironmentFault,
    InputError,
    MetadataError,
    OrbitWarning,
    one_line,
)
from sensetrack.files import pairing
from sensetrack.files.archive import open_members
from sensetrack.files.places import geojson_of_ring
from sensetrack.notices import warn
from sensetrack.sentinel.manifest import Safe
from sensetrack.sentinel.s1_annotation import (
    radar_grid_of,
    read_bursts,
    read_geolocation,
    read_orbit_of,
    read_polynomials,
    read_swath,
    require_swath,
)
from sensetrack.sentinel.s1_luts import read_calibration, read_noise
from sensetrack.sentinel.s1_manifest import compare_name, read_manifest
from sensetrack.sentinel.s1_names import BURST
from sensetrack.sentinel.s1_orbits import find_orbit_file, orbit_places, read_orbit_file
from sensetrack.sentinel.s1_sources import BurstSource, Pixels, SafeSource
from sensetrack.sentinel.s1_types import S1Info, S1Swath, SwathInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from sensetrack.files.archive import Members
    from sensetrack.sar.calibration import CalibrationLut
    from sensetrack.sar.noise import NoiseLut
    from sensetrack.sar.orbit import Orbit
    from sensetrack.sentinel.s1_orbits import OrbitPlaces
    from sensetrack.sentinel.s1_sources import Source
    from sensetrack.sentinel.s1_xml import Node

log = logging.getLogger(__name__)

Place = str | os.PathLike[str]


class Swaths(Mapping[str, S1Swath]):
    """The swaths of a product by key, such as iw1/vv; each is read when it is first asked for."""

    def __init__(self, keys: tuple[str, ...], read: Callable[[str], S1Swath]) -> None:
        self._keys, self._read, self._known = keys, read, dict[str, S1Swath]()

    def __getitem__(self, key: str) -> S1Swath:
        if key not in self._keys:
            raise KeyError(key)
        if key not in self._known:
            self._known[key] = self._read(key)
        return self._known[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


@dataclass(frozen=True, eq=False)
class Sentinel1:
    """A Sentinel-1 product: SLC or GRD, whole, or one burst of an SLC as ASF cuts it."""

    path: Path
    info: S1Info
    epoch: datetime
    """What all times of the swaths are counted from: the last whole second before the product begins."""
    source: Source = field(repr=False)
    orbit_places: OrbitPlaces | None = None
    """Where orbit files are looked for."""
    precise: bool = False
    """Whether another orbit than a precise one is an error."""

    @cached_property
    def swaths(self) -> Swaths:
        """Swaths by key, such as iw1/vv, or iw/vv of a GRD."""
        return Swaths(self.source.keys, self._swath)

    def on_orbit(self, orbits: Place | Iterable[Place] | None, *, precise: bool = False) -> Sentinel1:
        """Return the same product with orbit files looked for elsewhere; see `open_sentinel1`."""
        places = None if orbits is None else orbit_places(orbits)
        return replace(self, orbit_places=places, precise=precise)

    def swath(self, key: str) -> S1Swath:
        """Return a swath by its key, letters in any case.

        Raises
        ------
        ConfigError
            There is no such swath.
        """
        if key.lower() not in self.swaths:
            known = ", ".join(self.swaths)
            raise ConfigError(f"swath must be one of {known}, instead got {one_line(key)!r}", path=self.path)
        return self.swaths[key.lower()]

    @property
    def polarisations(self) -> tuple[str, ...]:
        """Polarisations of the swaths that are there, the co-polarised one first."""
        found = {key.partition("/")[2].upper() for key in self.source.keys}
        return tuple(sorted(found, key=lambda name: (name[0] != name[1], name)))

    @cached_property
    def _orbit_file(self) -> Orbit | None:
        """The orbit of a file; None where none serves."""
        if self.orbit_places is None:
            return None
        file = find_orbit_file(self.orbit_places, self.info.platform, self.info.start, self.info.stop)
        if file is None:
            return None
        return read_orbit_file(file, self.epoch, self.info.start, self.info.stop)

    def _orbit(self, annotation: Node, info: SwathInfo) -> Orbit:
        """Return the best orbit there is, and say so where it is not a good one."""
        orbit = self._orbit_file or read_orbit_of(annotation, info, self.epoch)
        if orbit.quality == "precise":
            return orbit
        if self.precise:
            message = f"there is no precise orbit file (POEORB) of it, the best orbit is {_called(orbit)}"
            raise EnvironmentFault(message, path=self.path, advice="fetch one, some weeks after the scene was taken")
        text = ""
        if orbit.quality == "downlink":
            text = f"its annotated orbit ({info.orbit_source}) is metres off"
        if self.orbit_places is not None:
            text = f"no precise orbit file (POEORB) fits, used {_called(orbit)}" + (f"; {text}" if text else "")
        if text and not self._said:
            self._said.append(text)
            advice = "" if self.orbit_places is not None else "; give an orbit file"
            warn(f"{self.path}: {text}{advice}", OrbitWarning, stacklevel=5)
        return orbit

    @cached_property
    def _said(self) -> list[str]:
        return []

    def _swath(self, key: str) -> S1Swath:
        annotation = self.source.annotation(key)
        info = read_swath(annotation, key, self.info)
        orbit = self._orbit(annotation, info)
        polynomials = read_polynomials(annotation, self.epoch)
        bursts = read_bursts(annotation, info, self.info, orbit, polynomials)
        grid, first_line = radar_grid_of(annotation, info, orbit, self.epoch), 0
        if isinstance(self.source, BurstSource):
            number = _burst_of(self.source, bursts)
            burst, first_line = bursts[number], bursts[number].line
            bursts, grid = (replace(burst, line=0),), replace(grid, lines=burst.lines, first_time=burst.time)
            info = replace(info, lines=burst.lines)
        return S1Swath(
            info,
            grid,
            bursts,
            *polynomials,
            read_geolocation(annotation, self.epoch, first_line),
            partial(self._calibration, key, first_line),
            partial(self._noise, key, info, first_line),
            partial(self._pixels, key, info),
        )

    def _calibration(self, key: str, first_line: int) -> CalibrationLut:
        return read_calibration(require_swath(self.source.calibration(key), key), first_line)

    def _noise(self, key: str, info: SwathInfo, first_line: int) -> NoiseLut | None:
        found = self.source.noise(key)
        if found is None:
            log.warning("%s: has no file of thermal noise of %s", self.path, key)
            return None
        return read_noise(require_swath(found, key), (info.lines, info.samples), first_line)

    def _pixels(self, key: str, info: SwathInfo) -> Pixels:
        return Pixels(self.source.measurement(key), info)

    def mean_incidence_angle(self, polarisation: str | None = None) -> float:
        """Return the mean incidence angle of all swaths, radians, as the first release has it.

        It is the mean over all tags of that name in the annotations of a polarisation, a list counting as its mean:
        those of the geolocation grid and of the antenna pattern.

        Parameters
        ----------
        polarisation : str, optional
            Default: the co-polarised one.

        Raises
        ------
        ConfigError
            The product has no such polarisation.
        MetadataError
            An angle is missing or no number.
        """
        wanted = self.polarisations[0] if polarisation is None else polarisation.upper()
        keys = [key for key in self.source.keys if key.endswith(f"/{wanted.lower()}")]
        if not keys:
            known = ", ".join(self.polarisations)
            raise ConfigError(f"polarisation must be one of {known}, instead got {wanted!r}", path=self.path)
        angles = [
            float(one.numbers(".").mean())
            for key in keys
            for one in self.source.annotation(key).all(".//incidenceAngle")
        ]
        if not angles:
            raise MetadataError("incidenceAngle is missing in its annotation", path=self.path)
        return float(np.radians(np.mean(angles)))

    def about(self) -> dict[str, Any]:
        """Return what says which product this is, as plain values."""
        info = self.info
        orbit = self.swaths[self.source.keys[0]].orbit
        return {
            "mission": info.platform,
            "mode": info.mode,
            "product_type": info.product,
            "polarisations": list(self.polarisations),
            "relative_orbit": info.relative_orbit,
            "orbit_pass": info.orbit_pass,
            "acquired": info.start.isoformat(),
            "product": info.name,
            "orbit": _called(orbit),
            "orbit_warnings": list(self._said),
        }

    def describe(self) -> dict[str, Any]:
        """Return what the metadata say, as plain values."""
        info = self.info
        first = self.swaths[self.source.keys[0]]
        return (
            {"path": str(self.path)}
            | self.about()
            | {
                "stop": info.stop.isoformat(),
                "absolute_orbit": info.absolute_orbit,
                "ascending_node_time": info.node_time.isoformat(),
                "datatake": info.DATAID,
                "resolution": info.resolution.strip("_") or None,
                "slice": None if info.slices is None else "{} of {}".format(*info.slices),
                "processor": info.ipf or None,
                "swaths": list(self.swaths),
                "rows_columns": {key: list(swath.shape) for key, swath in self.swaths.items()},
                "bursts": {
                    key: [b.burst_id for b in swath.bursts] for key, swath in self.swaths.items() if swath.bursts
                },
                "pixel_spacing_m": [round(first.info.azimuth_spacing, 3), round(first.info.range_spacing, 3)],
                "range": first.info.projection,
                "heading_deg": round(float(np.degrees(first.info.heading)), 3),
                "mean_incidence_deg": round(float(np.degrees(self.mean_incidence_angle())), 3),
                "footprint": geojson_of_ring(info.footprint) if info.footprint else None,
            }
        )


def _called(orbit: Orbit) -> str:
    return f"{orbit.quality} ({orbit.source})"


def _burst_of(source: BurstSource, bursts: tuple[Any, ...]) -> int:
    """Return which burst of its swath a burst is."""
    for number, burst in enumerate(bursts):
        if burst.burst_id == source.number:
            return number
    known = ", ".join(f"{burst.burst_id}" for burst in bursts) or "none"
    message = f"its number must be one of those of its metadata, {known}, instead got {source.number}"
    raise InputError(message, path=source.path, advice="keep GeoTIFF and XML of one burst together")


def open_sentinel1(path: Place, *, orbits: Place | Iterable[Place] | None = None, precise: bool = False) -> Sentinel1:
    """Open a Sentinel-1 product: a .SAFE folder, the zip it came in, read where it is, or a burst of ASF.

    Parameters
    ----------
    path : path-like
        ``manifest.safe`` stands for its folder; of a burst, the GeoTIFF or the XML beside it.
    orbits : path-like or several, optional
        Orbit files (POEORB, RESORB; zipped or not), or folders of them. The best one that covers the product serves;
        where none does, the annotated orbit, with an `OrbitWarning`.
    precise : bool
        Whether another orbit than a precise one is an error.

    Raises
    ------
    InputError
        Not such a product, or damaged.
    MetadataError
        Something in its metadata is missing or unreadable.
    EnvironmentFault
        There is no precise orbit although one is asked for: when a swath is first asked for.
    """
    text = os.fspath(path)
    places = None if orbits is None else orbit_places(orbits)
    if BURST.match(Path(text).name) and not os.path.isdir(text):  # noqa: PTH112
        return _with(BurstSource(path), path, places, precise=precise)
    if re.search(r"(^|[/\\])manifest\.safe$", text, re.IGNORECASE) and os.path.isfile(text):  # noqa: PTH113
        path = Path(text).absolute().parent
    return sentinel1_of(open_members(path), path, orbits=places, precise=precise)


def sentinel1_of(
    members: Members, path: Place, *, orbits: OrbitPlaces | None = None, precise: bool = False
) -> Sentinel1:
    """Return the product whose files are given; `path` is what the user called it."""
    return _with(SafeSource(Safe.of(members)), path, orbits, precise=precise)


def _with(source: Source, path: Place, orbits: OrbitPlaces | None, *, precise: bool) -> Sentinel1:
    info = read_manifest(source.manifest(), source.path, source.name)
    if isinstance(source, BurstSource):
        info = replace(info, polarisations=(source.polarisation,), unique=source.unique)
    else:
        compare_name(info, os.fspath(path))
    if not source.keys:
        raise MetadataError("has no annotation of a swath", path=source.path)
    return Sentinel1(source.path, info, info.start.replace(microsecond=0), source, orbits, precise)


def require_alike(first: Sentinel1, second: Sentinel1, *, force: bool | None = False) -> None:
    """Require that two products show the same ground from the same place.

    Parameters
    ----------
    first, second : Sentinel1
    force : bool, optional
        Warn only; None where that is no choice.

    Raises
    ------
    InputError
        They are of different tracks, passes, modes or kinds, or share no polarisation: relief and the grain of the
        ground differ then, which would pass for motion.
    """
    one, other = first.info, second.info
    values = {
        "pass": (one.orbit_pass, other.orbit_pass),
        "relative orbit": (one.relative_orbit, other.relative_orbit),
        "mode": (one.mode, other.mode),
        "product type": (one.product, other.product),
    }
    advice = "choose scenes of one track and kind"
    if force is not None:
        advice += ", or say --force to pair them all the same"
    polarisations = first.polarisations, second.polarisations
    pairing.require_alike(values, polarisations, second.path, advice=advice, force=bool(force))
