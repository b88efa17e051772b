"""The chain from a Sentinel-1 product to a map: what is done to the pixels of its swaths, in which order, lazily."""

from __future__ import annotations

import itertools
import math
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import ConfigError, InputError
from sensetrack.sar.border import LateBorder, Trimmed
from sensetrack.sar.calibration import Calibrated
from sensetrack.sar.deburst import Deburst
from sensetrack.sar.features import Texture, Textured
from sensetrack.sar.lazy import Lazy
from sensetrack.sar.multilook import Multilooked
from sensetrack.sar.speckle import Despeckled, SpeckleFilter, equivalent_looks
from sensetrack.sar.terrain import RadarImage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sensetrack.sar.calibration import Quantity
    from sensetrack.sar.radargrid import RadarGrid
    from sensetrack.sentinel.s1 import Sentinel1
    from sensetrack.sentinel.s1_types import S1Swath


_ZERO_BORDERS = 2, 90
"""First version of the processor (2018) whose borders are zero, not noise."""
_AT_ONCE = 2**21
"""Pixels of a measurement that are calibrated together; they take some dozen bytes each on the way."""
_SEEN = 1024
"""Side of the part of an image, px, from which its looks are found."""


@dataclass(frozen=True)
class Chain:
    """Steps of one of the graphs, as they are done here."""

    product: str
    """SLC or GRD."""
    resolution: float
    """Pixel of the map, m."""
    speckle_filter: bool = False
    ratio: bool = False
    """Whether the ratio cross-polarised / co-polarised is the last band."""

    @property
    def steps(self) -> tuple[str, ...]:
        """What is done, in order."""
        steps = ["orbit", "thermal noise", "calibration"]
        steps += ["border"] if self.product == "GRD" else ["deburst", "multilook"]
        steps += ["speckle filter"] if self.speckle_filter else []
        return (*steps, "terrain correction", *(["ratio"] if self.ratio else []))


CHAINS = {
    "s1_slc_default": Chain("SLC", 15.0, speckle_filter=True),
    "s1_slc_default_noSF": Chain("SLC", 15.0),
    "s1_slc_default+b3": Chain("SLC", 15.0, speckle_filter=True, ratio=True),
    "s1_slc_default+b3noSF": Chain("SLC", 15.0, ratio=True),
    "s1_grd_default": Chain("GRD", 10.0),
}
"""By the names of the graphs for SNAP, which do the same there."""


@dataclass(frozen=True)
class Radiometry:
    """What is done to the pixels in radar geometry."""

    quantity: Quantity = "sigma0"
    noise: bool = True
    border: bool = True
    looks: tuple[int, int] = (1, 1)
    """Azimuth, range."""
    speckle: str | None = None
    """Method of `sensetrack.sar.speckle.SpeckleFilter`."""
    textures: tuple[Texture, ...] = ()
    """Measured before the speckle filter, which would leave the texture of its windows."""


def chosen_swaths(product: Sentinel1, polarisations: Sequence[str] | None) -> dict[str, list[S1Swath]]:
    """Return polarisation -> its swaths from near to far range; the co-polarised one comes first.

    Raises
    ------
    ConfigError
        A polarisation that is not there; those that are are named.
    """
    there = product.polarisations
    wanted = there if not polarisations else [one.strip().upper() for one in polarisations]
    for one in wanted:
        if one not in there:
            raise ConfigError(f"there is no polarisation {one}, it has {', '.join(there)}", path=product.path)
    return {
        one: sorted(
            (product.swaths[key] for key in product.swaths if key.endswith(f"/{one.lower()}")),
            key=lambda swath: swath.radar_grid.near_range,
        )
        for one in dict.fromkeys(wanted)
    }


def radar_images(
    swaths: dict[str, list[S1Swath]], radiometry: Radiometry, ipf: str = ""
) -> tuple[RadarGrid, list[RadarImage]]:
    """Return the reference geometry, and the images in it: one for a GRD, one for each swath of an SLC.

    Parameters
    ----------
    swaths : dict
        As from `chosen_swaths`; each polarisation is a band, and so is each texture of each after them.
    radiometry : Radiometry
    ipf : str
        Version of the processor; empty where not known.
    """
    columns = list(zip(*swaths.values(), strict=True))
    reference = columns[0][0].radar_grid
    seams = _seams([column[0] for column in columns], reference)
    images = []
    for column, seam in zip(columns, seams, strict=True):
        border = _border(column[0], radiometry, ipf)
        plain = [unfiltered(swath, radiometry, border) for swath in column]
        bands = [filtered(source, radiometry) for source in plain]
        bands += [Textured(source, texture) for texture in radiometry.textures for source in plain]
        images.append(_placed(tuple(bands), column[0].radar_grid, reference, radiometry.looks, seam))
    return reference, images


def _placed(
    bands: tuple[Any, ...], grid: RadarGrid, reference: RadarGrid, looks: tuple[int, int], seam: tuple[float, float]
) -> RadarImage:
    line = float(reference.line(grid.time(0)))
    per_line = grid.line_interval / reference.line_interval
    sample, per_sample = 0.0, 1.0
    if grid.ground is None:
        sample = float(reference.sample(grid.near_range))
        per_sample = grid.range_spacing / reference.range_spacing
    down, across = looks
    return RadarImage(
        bands,
        (line + per_line * (down - 1) / 2, per_line * down),
        (sample + per_sample * (across - 1) / 2, per_sample * across),
        seam,
    )


def _border(swath: S1Swath, radiometry: Radiometry, ipf: str) -> LateBorder | None:
    """Return the border of a detected image, looked for where it is read; that of one polarisation is taken for all."""
    if not radiometry.border or swath.bursts or np.dtype(swath.measurement.dtype).kind == "c":
        return None
    # Later borders are zero: there, what is no more than noise is dark ground.
    noise = swath.noise if not ipf or _version(ipf) < _ZERO_BORDERS else None
    return LateBorder(Numbers(swath), noise)


def _version(ipf: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", ipf))


class Numbers(Lazy):
    """Digital numbers of a swath as a source of windows."""

    def __init__(self, swath: S1Swath) -> None:
        self.swath, self.shape, self.dtype = swath, swath.shape, np.dtype(swath.measurement.dtype)

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Read a window."""
        return self.swath.read(rows, cols)


class Strips(Lazy):
    """A source that is read some rows at a time, so that what is computed on the way to it stays small."""

    def __init__(self, source: Any, looks: tuple[int, int]) -> None:
        self.source, self.looks, self.shape, self.dtype = source, looks, source.shape, np.dtype(np.float32)

    def read(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        """Read a window."""
        per_row = max((cols.stop - cols.start) * math.prod(self.looks), 1)
        step = max(_AT_ONCE // per_row, 1)
        edges = [*range(rows.start, rows.stop, step), rows.stop]
        out = np.empty((rows.stop - rows.start, cols.stop - cols.start), np.float32)
        for start, stop in itertools.pairwise(edges):
            out[start - rows.start : stop - rows.start] = self.source[start:stop, cols]
        return out


def unfiltered(swath: S1Swath, radiometry: Radiometry, border: LateBorder | None = None) -> Any:
    """Return the calibrated, merged and multilooked intensity of a swath, computed where it is read."""
    noise = swath.noise if radiometry.noise else None
    source: Any = Calibrated(Numbers(swath), swath.calibration, radiometry.quantity, noise)
    if border is not None:
        source = Trimmed(source, border)
    if swath.bursts:
        source = Deburst(source, swath.bursts)
    if radiometry.looks != (1, 1):
        source = Multilooked(source, radiometry.looks)
    return Strips(source, radiometry.looks)


def filtered(source: Any, radiometry: Radiometry) -> Any:
    """Return an intensity without speckle, if that is asked for."""
    if radiometry.speckle is None:
        return source
    return Filtered(source, radiometry.speckle, math.prod(radiometry.looks))


class Filtered(Lazy):
    """An intensity without speckle; how many looks it has is found from its middle when it is first read."""

    def __init__(self, source: Any, method: str, looks: float) -> None:
        self.source, self.method, self.looks = source, method, looks
        self.shape, self.dtype = source.shape, np.dtype(np.float32)
        self._lock = threading.Lock()
        self._filter: Despeckled | None = None

    def read(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        """Read a window."""
        with self._lock:
            if self._filter is None:
                self._filter = Despeckled(self.source, SpeckleFilter.from_dict(self._parameters()))
        return self._filter.read(rows, cols)

    def _parameters(self) -> dict[str, Any]:
        middle = [
            slice(max(size // 2 - _SEEN // 2, 0), min(size // 2 + _SEEN // 2, size)) for size in self.source.shape
        ]
        found = equivalent_looks(np.asarray(self.source[middle[0], middle[1]]))
        return {"method": self.method, "looks": found if np.isfinite(found) else self.looks}


def _seams(swaths: list[S1Swath], reference: RadarGrid) -> list[tuple[float, float]]:
    """Return between which samples of the reference each swath is taken: to the middle of what two of them share."""
    if len(swaths) == 1:
        return [(-np.inf, np.inf)]
    ends = []
    for swath in swaths:
        if not swath.bursts:
            raise InputError(f"swath {swath.name} lies beside others, but has no bursts to merge")
        first = max(int(burst.first_valid[burst.first_valid >= 0].max(initial=0)) for burst in swath.bursts)
        last = min(int(burst.last_valid[burst.last_valid >= 0].min(initial=burst.samples)) for burst in swath.bursts)
        grid = swath.radar_grid
        ends.append(tuple(float(reference.sample(grid.slant_range(place))) for place in (first, last)))
    cuts = [(near[1] + far[0]) / 2 for near, far in itertools.pairwise(ends)]
    edges = [-np.inf, *cuts, np.inf]
    return list(itertools.pairwise(edges))
