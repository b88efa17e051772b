"""What is known of a Sentinel-1 product and its swaths: typed results of the parsers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from numpy.typing import NDArray

    from sensetrack.sar.calibration import CalibrationLut
    from sensetrack.sar.noise import NoiseLut
    from sensetrack.sar.orbit import Orbit
    from sensetrack.sar.radargrid import RadarGrid
    from sensetrack.sar.tops import Burst, RangePolynomial

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class S1Name:
    """What the name of a product says."""

    platform: str
    """S1A to S1D."""
    mode: str
    """IW, EW, or S1 to S6: a beam of stripmap."""
    product: str
    """SLC or GRD."""
    resolution: str
    """F, H or M of a GRD; _ of an SLC."""
    level: str
    product_class: str
    """S: standard, A: annotation only."""
    polarisation: str
    """SH, SV, DH or DV."""
    start: datetime
    stop: datetime
    absolute_orbit: int
    datatake: str
    """Hexadecimal, as in the name."""
    unique: str
    """The four digits at the end."""


@dataclass(frozen=True)
class S1Info:
    """What the manifest says of a product, and its name where the manifest does not.

    The names in capitals are those of the first release.
    """

    path: Path
    name: str
    """What the product is called, without suffix."""
    platform: str
    """S1A to S1D."""
    mode: str
    """IW, EW or SM."""
    product: str
    """SLC or GRD."""
    resolution: str
    """F, H or M of a GRD; _ of an SLC or where not known."""
    level: str
    product_class: str
    polarisations: tuple[str, ...]
    """VV, VH, HH, HV."""
    start: datetime
    """First and last azimuth time of the product (UTC)."""
    stop: datetime
    orbit_pass: str
    """ascending or descending."""
    relative_orbit: int
    absolute_orbit: int
    node_time: datetime
    """When the satellite crossed the equator northwards before (UTC); seconds "since ANX" count from here."""
    datatake: int
    ipf: str
    """Version of the processor, such as 003.61; empty where not known."""
    slices: tuple[int, int] | None
    """Number of the slice and how many there are; None where the product is no slice."""
    footprint: tuple[tuple[float, float], ...]
    """Ring of (longitude, latitude), degrees, without a jump at the 180th meridian; empty where not known."""
    unique: str
    """The four digits at the end of the name; empty where not known."""

    @property
    def ORBIT_PASS(self) -> str:  # noqa: N802
        """ASCENDING or DESCENDING."""
        return self.orbit_pass.upper()

    @property
    def NODE_TIME(self) -> str:  # noqa: N802
        """`node_time` as YYYYmmddTHHMMSSffffff."""
        return f"{self.node_time:%Y%m%dT%H%M%S%f}"

    @property
    def RELATIVE_ORBIT(self) -> int:  # noqa: N802
        """Number of the track, 1 to 175."""
        return self.relative_orbit

    @property
    def PLATFORM(self) -> str:  # noqa: N802
        """S1A to S1D."""
        return self.platform

    @property
    def MODE(self) -> str:  # noqa: N802
        """IW, EW or SM."""
        return self.mode

    @property
    def PRODUCT(self) -> str:  # noqa: N802
        """SLC or GRD."""
        return self.product

    @property
    def RES(self) -> str:  # noqa: N802
        """F, H, M or _."""
        return self.resolution

    @property
    def LEVEL(self) -> str:  # noqa: N802
        """Always 1."""
        return self.level

    @property
    def CLASS(self) -> str:  # noqa: N802
        """S or A."""
        return self.product_class

    @property
    def POLARIZATION(self) -> str:  # noqa: N802
        """SH, SV, DH or DV, as in names of products."""
        return f"{'D' if len(self.polarisations) > 1 else 'S'}{self.polarisations[0][0]}"

    @property
    def ABSOLUTE_ORBIT(self) -> int:  # noqa: N802
        """Orbit since launch."""
        return self.absolute_orbit

    @property
    def DATAID(self) -> str:  # noqa: N802
        """Datatake as in names of products, hexadecimal."""
        return f"{self.datatake:06X}"

    @property
    def ID(self) -> str:  # noqa: N802
        """The four digits at the end of the name."""
        return self.unique


@dataclass(frozen=True)
class Focusing:
    """How the spectrum was weighted in range or azimuth of one swath."""

    window: str
    coefficient: float
    total_bandwidth: float
    """Hz, as were the others."""
    processing_bandwidth: float
    look_bandwidth: float
    looks: int


@dataclass(frozen=True, eq=False)
class GeolocationGrid:
    """ESA's own geolocation of some pixels, (n, m) each: lines by pixels."""

    lines: Floats
    pixels: Floats
    times: Floats
    """Azimuth times, s since the epoch of the product."""
    range_times: Floats
    """Two-way slant range times, s."""
    latitude: Floats
    """Degrees."""
    longitude: Floats
    """Degrees."""
    height: Floats
    """Metres above the ellipsoid."""
    incidence: Floats
    """Radians."""
    elevation: Floats
    """Radians."""


@dataclass(frozen=True)
class SwathInfo:
    """What the annotation of a swath in one polarisation says at its top. Angles in radians, times as UTC."""

    name: str
    """Key of the swath in its product, such as iw1/vv; all swaths of a GRD are merged: iw/vv."""
    swath: str
    polarisation: str
    platform: str
    mode: str
    product: str
    start: datetime
    stop: datetime
    lines: int
    """Of the measurement; in a TOPS SLC the bursts lie below each other, and lines repeat."""
    samples: int
    projection: str
    """slant or ground."""
    range_spacing: float
    """Metres, slant or on the ground."""
    azimuth_spacing: float
    """Metres on the ground."""
    line_interval: float
    """s."""
    range_time: float
    """Two-way slant range time of sample 0, s."""
    range_sampling_rate: float
    """Hz."""
    radar_frequency: float
    """Hz."""
    steering_rate: float
    """Of the antenna, radians per second; 0 in stripmap."""
    heading: float
    """Of the satellite, clockwise from north."""
    incidence: float
    """At the middle of the swath."""
    orbit_source: str
    """Where the annotated orbit comes from: Auxiliary, Downlink, Extracted."""
    lines_per_burst: int
    samples_per_burst: int
    range_focusing: Focusing | None
    azimuth_focusing: Focusing | None
    """None where the annotation does not say; those of the first of the swaths that are merged into a GRD."""


class Measurement(Protocol):
    """The pixels of a swath."""

    path: Path
    """What messages call it."""
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    """complex64 or float32."""

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Read a window: complex digital numbers of an SLC, amplitudes of a GRD.

        0 where nothing was measured, which only the bursts or the border of the image tell from a dark pixel.
        """
        ...

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[Any]:
        """Read a window, as `read` does."""
        ...


@dataclass(frozen=True, eq=False)
class S1Swath:
    """A swath in one polarisation.

    Lines of a TOPS SLC are counted twice: those of the file, in which bursts lie below each other (`bursts`, `read`,
    `calibration`, `noise`), and those of `radar_grid`, where each azimuth time is one line.
    """

    info: SwathInfo
    radar_grid: RadarGrid
    """Of the image; of a TOPS SLC: from the first line of the first burst to the last line of the last one."""
    bursts: tuple[Burst, ...]
    """Of a TOPS SLC; else empty."""
    doppler: tuple[RangePolynomial, ...]
    """Doppler centroids, Hz, by azimuth time: measured ones where the annotation has them."""
    fm_rates: tuple[RangePolynomial, ...]
    """Azimuth FM rates, Hz/s, by azimuth time."""
    geolocation: GeolocationGrid
    open_calibration: Callable[[], CalibrationLut] = field(repr=False)
    open_noise: Callable[[], NoiseLut | None] = field(repr=False)
    open_measurement: Callable[[], Measurement] = field(repr=False)

    @property
    def name(self) -> str:
        """Key of the swath in its product, such as iw1/vv."""
        return self.info.name

    @property
    def orbit(self) -> Orbit:
        """State vectors, with times since the epoch of the product."""
        return self.radar_grid.orbit

    @property
    def shape(self) -> tuple[int, int]:
        """Lines and samples of the measurement."""
        return self.info.lines, self.info.samples

    @cached_property
    def calibration(self) -> CalibrationLut:
        """Amplitudes that digital numbers are divided by; lines are those of the measurement."""
        return self.open_calibration()

    @cached_property
    def noise(self) -> NoiseLut | None:
        """Power of thermal noise, squared digital numbers; lines are those of the measurement.

        None where the product has no file of noise; not `known` where it is all zero.
        """
        return self.open_noise()

    @cached_property
    def measurement(self) -> Measurement:
        """The pixels; what is wrong with their file is found out when this is first asked for."""
        return self.open_measurement()

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Read a window of the measurement; see `Measurement.read`."""
        return self.measurement.read(rows, cols)

    def burst_grid(self, number: int) -> RadarGrid:
        """Return the grid of one burst (from 0), line 0 being its first line in the file."""
        burst = self.bursts[number]
        return replace(self.radar_grid, lines=burst.lines, samples=burst.samples, first_time=burst.time)
