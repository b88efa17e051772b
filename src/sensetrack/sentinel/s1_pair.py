"""Two Sentinel-1 SLCs, burst by burst: which bursts of both show the same ground."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import ConfigError, InputError, MetadataError, NoOverlapError
from sensetrack.sar.coregister import Coregistered, Deramped, register
from sensetrack.sar.geometry import geo2rdr, rdr2geo
from sensetrack.sar.resampling import Spectrum
from sensetrack.sentinel.s1 import require_alike
from sensetrack.sentinel.s1_annotation import BURST_CYCLE, ORBIT_PERIOD

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.sar.coregister import Registration
    from sensetrack.sar.heights import Surface
    from sensetrack.sar.radargrid import RadarGrid
    from sensetrack.sar.tops import Burst
    from sensetrack.sentinel.s1 import Sentinel1
    from sensetrack.sentinel.s1_types import Focusing, S1Swath, SwathInfo

__all__ = ["BurstPair", "pair_bursts"]

_LATE = 0.09
"""Seconds by which the bursts of a pair may begin apart: then half of the Doppler band is common to both."""
_OUTLINE = 5
"""Places along each side of a burst of which its footprint is made."""


@dataclass(frozen=True, eq=False)
class BurstPair:
    """A burst that both products have."""

    key: str
    """Of the swath, such as iw1/vv."""
    reference: S1Swath
    secondary: S1Swath
    first: int
    """Number of the burst in the swath of the reference, from 0."""
    second: int
    """Number in the secondary."""

    @property
    def id(self) -> str:
        """What the burst is called, such as iw1-vv-136231: its number on the track or, unknown, in the reference."""
        number = self.reference_burst.burst_id
        return f"{self.key.replace('/', '-')}-{self.first + 1 if number is None else number}"

    @property
    def reference_burst(self) -> Burst:
        """Of the reference."""
        return self.reference.bursts[self.first]

    @property
    def secondary_burst(self) -> Burst:
        """Of the secondary."""
        return self.secondary.bursts[self.second]

    @cached_property
    def reference_grid(self) -> RadarGrid:
        """Where the pixels of the burst of the reference are; line 0 is its first in the file."""
        return self.reference.burst_grid(self.first)

    @cached_property
    def secondary_grid(self) -> RadarGrid:
        """Likewise of the secondary; it has an epoch of its own."""
        return self.secondary.burst_grid(self.second)

    @property
    def bands(self) -> tuple[float, float]:
        """Bandwidth over sampling rate in azimuth and in range, of the reference or the secondary if that is wider."""
        (one, two), (other, another) = (spectra(swath.info) for swath in (self.reference, self.secondary))
        return max(one.width, other.width), max(two.width, another.width)

    def register(self, surface: Surface) -> Registration:
        """Find where the pixels of the reference are in the secondary; see `sensetrack.sar.coregister.register`."""
        return register(self.reference_grid, self.secondary_grid, surface)

    def deramped(self) -> Deramped:
        """Return the burst of the reference without its carrier."""
        return Deramped(self.reference.measurement, self.reference_burst)

    def coregistered(self, registration: Registration, *, flatten: bool = False, reramp: bool = False) -> Coregistered:
        """Return the burst of the secondary on the pixels of the reference; see `sar.coregister.Coregistered`."""
        return Coregistered(
            self.secondary.measurement, self.reference_burst, self.secondary_burst, registration,
            spectra(self.secondary.info), flatten=flatten, reramp=reramp,
        )  # fmt: skip


def spectra(info: SwathInfo) -> tuple[Spectrum, Spectrum]:
    """Return the bands that the processor kept in azimuth and in range.

    Raises
    ------
    MetadataError
        The annotation does not say, or it says what cannot be.
    """
    azimuth = _spectrum(info.azimuth_focusing, 1 / info.line_interval, f"azimuth of {info.name}")
    return azimuth, _spectrum(info.range_focusing, info.range_sampling_rate, f"range of {info.name}")


def _spectrum(focusing: Focusing | None, rate: float, where: str) -> Spectrum:
    if focusing is None:
        raise MetadataError(f"the processing bandwidth in {where} is missing in the annotation")
    width = focusing.processing_bandwidth / rate
    if not 0 < width <= 1:
        raise MetadataError(
            f"the processing bandwidth in {where} must be at most the sampling rate, {rate:.6g} Hz, "
            f"instead got {focusing.processing_bandwidth:.6g} Hz"
        )
    hamming = focusing.coefficient if focusing.window.lower().startswith("hamming") else 1.0
    return Spectrum(width, hamming)


def pair_bursts(
    reference: Sentinel1,
    secondary: Sentinel1,
    *,
    swaths: tuple[str, ...] | None = None,
    polarisation: str | None = None,
    area: Any = None,
) -> tuple[BurstPair, ...]:
    """Pair the bursts of two SLCs of one track, before anything is computed.

    Bursts go together by their number on the track; where a product does not say it, by the time since the equator.

    Parameters
    ----------
    reference, secondary : Sentinel1
    swaths : tuple of str, optional
        Such as ("IW1", "IW2"), letters in any case; default all.
    polarisation : str, optional
        Such as "VV"; default: the first that both have, the co-polarised one before the other.
    area : shapely geometry, optional
        Longitude and latitude, degrees: only bursts that show some of it.

    Returns
    -------
    tuple of BurstPair
        By swath and time; at least one.

    Raises
    ------
    ConfigError
        There is no such swath.
    InputError
        The products cannot be paired: another track, pass, mode or polarisation, no SLC or no bursts, bursts that
        begin too far apart in time, a measurement that is empty.
    NoOverlapError
        They have no burst in common, or none in the area.
    """
    require_alike(reference, secondary, force=None)
    for product in (reference, secondary):
        if product.info.product != "SLC":
            message = f"must be an SLC, instead got a {product.info.product}"
            raise InputError(message, path=product.path, advice="give SLC products: others have no phase")
    keys = _keys(reference, secondary, swaths, polarisation)
    pairs = [pair for key in keys for pair in _paired(reference, secondary, key)]
    if not pairs:
        raise NoOverlapError(_apart(reference, secondary, keys), path=secondary.path)
    if area is not None:
        pairs = _within(pairs, area, reference)
    for pair in pairs:
        _require_together(pair, secondary)
    for key in dict.fromkeys(pair.key for pair in pairs):
        for product in (reference, secondary):
            product.swaths[key].read(slice(0, 1), slice(0, 1))
    return tuple(pairs)


def _keys(
    reference: Sentinel1, secondary: Sentinel1, swaths: tuple[str, ...] | None, polarisation: str | None
) -> tuple[str, ...]:
    """Return the keys of the swaths to use, which both products have."""
    common = [name for name in reference.polarisations if name in secondary.polarisations]
    chosen = common[0] if polarisation is None else polarisation.upper()
    for product in (reference, secondary):
        if chosen not in product.polarisations:
            known = ", ".join(product.polarisations)
            raise InputError(f"polarisation must be one of {known}, instead got {chosen!r}", path=product.path)
    there = [
        [key.partition("/")[0] for key in product.swaths if key.endswith(f"/{chosen.lower()}")]
        for product in (reference, secondary)
    ]
    names = there[0] if swaths is None else [name.lower() for name in swaths]
    for name in names:
        if name not in there[0]:
            known = ", ".join(part.upper() for part in there[0])
            raise ConfigError(f"swath must be one of {known}, instead got {name.upper()!r}", path=reference.path)
    kept = [name for name in dict.fromkeys(names) if name in there[1]]
    if not kept or (swaths is not None and len(kept) < len(set(names))):
        ours, theirs = (", ".join(part.upper() for part in side) for side in (names, there[1]))
        raise NoOverlapError(
            f"must have the swaths of the reference, {ours}, instead got {theirs}", path=secondary.path
        )
    return tuple(f"{name}/{chosen.lower()}" for name in sorted(kept))


def _paired(reference: Sentinel1, secondary: Sentinel1, key: str) -> list[BurstPair]:
    """Pair the bursts of one swath."""
    one, two = reference.swaths[key], secondary.swaths[key]
    for product, swath in ((reference, one), (secondary, two)):
        if not swath.bursts:
            message = f"{key} must be made of bursts (TOPS), instead it is one image ({product.info.mode})"
            raise InputError(message, path=product.path)
    names = [[burst.burst_id for burst in swath.bursts] for swath in (one, two)]
    if None in names[0] or None in names[1]:
        found = _same_times(one.bursts, two.bursts, reference.info.mode)
    else:
        found = [(first, names[1].index(name)) for first, name in enumerate(names[0]) if name in names[1]]
    return [BurstPair(key, one, two, first, second) for first, second in found]


def _same_times(one: tuple[Burst, ...], two: tuple[Burst, ...], mode: str) -> list[tuple[int, int]]:
    """Return which bursts began when the satellite was equally long past the equator: each nearest to the other.

    Whole orbits do not matter: a product that crosses the equator counts from either node.
    """
    since = (np.array([burst.anx_time for burst in bursts]) for bursts in (one, two))
    apart = np.subtract.outer(*since)
    apart = np.abs((apart + ORBIT_PERIOD / 2) % ORBIT_PERIOD - ORBIT_PERIOD / 2)
    apart = np.where(apart < BURST_CYCLE.get(mode, BURST_CYCLE["IW"])[1] / 2, apart, np.inf)
    nearest = apart.argmin(axis=1)
    return [
        (first, int(second))
        for first, second in enumerate(nearest)
        if apart[first, second] < np.inf and apart[:, second].argmin() == first
    ]


def _apart(reference: Sentinel1, secondary: Sentinel1, keys: tuple[str, ...]) -> str:
    """Say which bursts two products without a common one have."""
    texts = []
    for product in (reference, secondary):
        known = [b.burst_id for key in keys for b in product.swaths[key].bursts if b.burst_id is not None]
        texts.append(f"{min(known)} to {max(known)}" if known else "without numbers")
    return f"must have a burst of the reference, {texts[0]}, instead got {texts[1]}"


def _within(pairs: list[BurstPair], area: Any, reference: Sentinel1) -> list[BurstPair]:
    """Return the pairs that show some of an area."""
    import shapely

    prints = {pair: _footprint(pair) for pair in pairs}
    turned = [shapely.transform(area, lambda points, by=by: points + np.array([by, 0.0])) for by in (-360, 0, 360)]
    kept = [pair for pair, shape in prints.items() if any(shapely.intersects(shape, part) for part in turned)]
    if not kept:
        has, asked = (
            "{:.3f} to {:.3f} E, {:.3f} to {:.3f} N".format(*np.array(shapely.total_bounds(part))[[0, 2, 1, 3]])
            for part in (list(prints.values()), area)
        )
        message = f"the area must reach into a burst that both products have ({has}), instead got {asked}"
        raise NoOverlapError(message, path=reference.path)
    return kept


def _footprint(pair: BurstPair) -> Any:
    """Return the ground that the valid part of a burst may show, as a polygon in degrees, without a jump at 180."""
    import shapely

    burst, grid = pair.reference_burst, pair.reference_grid
    top, bottom = burst.valid_lines
    good = burst.first_valid >= 0
    left, right = (int(burst.first_valid[good].min()), int(burst.last_valid[good].max())) if good.any() else (0, 0)
    row = np.linspace(top, max(bottom - 1, top), _OUTLINE)[:, None, None]
    col = np.linspace(left, right, _OUTLINE)[:, None]
    known = pair.reference.geolocation.height
    height = np.array([float(known.min()), float(known.max())])
    ground = rdr2geo(grid, grid.time(row), grid.slant_range(col), height)
    lon, lat = np.degrees(ground.lon).ravel(), np.degrees(ground.lat).ravel()
    lon = lon[0] + (lon - lon[0] + 180) % 360 - 180
    return shapely.convex_hull(shapely.multipoints(np.stack([lon, lat], axis=1)))


def _require_together(pair: BurstPair, secondary: Sentinel1) -> None:
    """Require that both bursts began when the satellite was at the same place, and looked at the same ground."""
    line, sample = _middle_offset(pair)
    late = -float(line) * pair.secondary_burst.line_interval
    if not abs(late) <= _LATE:
        message = (
            f"burst {pair.id} must begin at most {_LATE} s from where that of the reference does, instead got "
            f"{late:+.3f} s: too little of the Doppler band is common"
        )
        raise InputError(message, path=secondary.path)
    if not abs(float(sample)) < pair.reference_burst.samples:
        message = f"burst {pair.id} must show ground of the reference, instead it lies {sample:+.0f} samples away"
        raise NoOverlapError(message, path=secondary.path)


def _middle_offset(pair: BurstPair) -> NDArray[np.float64]:
    """Return lines and samples to add in the middle of a burst."""
    one, two = pair.reference_grid, pair.secondary_grid
    row, col = (one.lines - 1) / 2, (one.samples - 1) / 2
    height = float(np.mean(pair.reference.geolocation.height))
    ground = rdr2geo(one, one.time(row), one.slant_range(col), height)
    seen = geo2rdr(two, ground.lon, ground.lat, ground.height)
    return np.array([two.line(seen.time) - row, two.sample(seen.slant_range) - col])
