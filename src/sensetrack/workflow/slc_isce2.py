"""Two SLCs measured by ISCE2 in place of what is native: the same job, handed over and taken back."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sensetrack.errors import ConfigError
from sensetrack.isce2 import STEPS, Scene, TopsApp, find_topsapp, run_topsapp, write_topsapp
from sensetrack.isce2.dem import write_isce_dem
from sensetrack.isce2.read import read_run
from sensetrack.workflow.slc_inputs import burst_places

if TYPE_CHECKING:
    from collections.abc import Callable

    from sensetrack.isce2.settings import Box
    from sensetrack.sar.offsets import SlcOffsets
    from sensetrack.sar.radar_field import RadarField
    from sensetrack.workflow.slc_config import SlcConfig
    from sensetrack.workflow.slc_inputs import SlcJob

log = logging.getLogger(__name__)

_MARGIN = 0.15
"""Degrees of heights around the bursts: ISCE2 looks there as well."""
_DEM = "dem.wgs84"


def require_isce2(config: SlcConfig) -> None:
    """Refuse, before anything is read, what ISCE2 cannot be asked for.

    Raises
    ------
    EngineNotFoundError
        It is not installed.
    ConfigError
        No elevation model or no folder of orbit files: ISCE2 would go to the network for them, or fail.
    """
    find_topsapp()
    for name, what in (("dem", "an elevation model"), ("orbits", "a folder of orbit files")):
        if getattr(config, name) is None:
            raise ConfigError(f"engine isce2 needs {what}", advice=f"say --{name}")
    if not Path(str(config.orbits)).is_dir():
        raise ConfigError("must be a folder for engine isce2", path=config.orbits)


def measured_by_isce2(
    job: SlcJob,
    config: SlcConfig,
    settings: SlcOffsets,
    place: Path,
    *,
    workers: int | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> RadarField:
    """Let ISCE2 measure a pair, going on after the last step that was finished in a folder.

    Parameters
    ----------
    job : SlcJob
    config : SlcConfig
    settings : SlcOffsets
        Chip, step and search count.
    place : Path
        Folder of the run, the same for the same job.
    workers : int, optional
        Processes that ISCE2 makes.
    advance : callable, optional
        Called with (steps done, steps in all).

    Raises
    ------
    ConfigError
        Settings that ISCE2 refuses.
    NoOverlapError
        There are heights missing.
    EngineFailedError
        ISCE2 failed; its log stays in the folder.
    """
    box = _box(job)
    wanted = _settings(job, config, settings, box)  # before minutes of writing heights
    place.mkdir(parents=True, exist_ok=True)
    if not (place / f"{_DEM}.xml").exists():
        wide = (box[0] - _MARGIN, box[1] + _MARGIN, box[2] - _MARGIN, box[3] + _MARGIN)
        write_isce_dem(place / _DEM, job.surface, wide)
    write_topsapp(place, wanted)
    log.info("ISCE2 works in %s: %d steps", place, len(STEPS))
    run_topsapp(place, workers=workers, advance=advance)
    found = read_run(place, job.pairs[0].reference_grid, job.dt).measured
    unknown = np.full(found.shape, np.nan, np.float32)  # ISCE2 does not say
    return found.with_field(replace(found.field, score=unknown, peak_ratio=unknown))


def _box(job: SlcJob) -> Box:
    """South, north, west, east of the bursts, or of the area of interest, degrees."""
    if job.area is not None:
        west, south, east, north = job.area.bounds
        return south, north, west, east
    places = [burst_places(pair) for pair in job.pairs]
    lon, lat = (np.concatenate([one[axis].ravel() for one in places]) for axis in (0, 1))
    ends = (np.nanmin(lat), np.nanmax(lat), np.nanmin(lon), np.nanmax(lon))
    south, north, west, east = (float(one) for one in ends)
    # Outwards, so that rounding cuts nothing off.
    return (
        math.floor(south * 1e4) / 1e4,
        math.ceil(north * 1e4) / 1e4,
        math.floor(west * 1e4) / 1e4,
        math.ceil(east * 1e4) / 1e4,
    )


def _settings(job: SlcJob, config: SlcConfig, settings: SlcOffsets, box: Box) -> TopsApp:
    first = job.pairs[0]
    swath, polarisation = first.key.split("/")
    numbers = sorted({int(pair.key.partition("/")[0][2:]) for pair in job.pairs})
    if not swath.startswith("iw"):
        raise ConfigError("engine isce2 reads the swaths of mode IW only", path=job.reference.path)
    dates = {
        name: Scene(
            safe=(str(Path(product.path).absolute()),), orbit_directory=str(Path(str(config.orbits)).absolute()),
            polarization=polarisation, region_of_interest=box,
        )
        for name, product in (("reference", job.reference), ("secondary", job.secondary))
    }  # fmt: skip
    return TopsApp(
        **dates, swaths=tuple(numbers), region_of_interest=box, dem=_DEM, window=settings.chip, search=settings.search,
        skip=settings.step, snr_threshold=config.snr, median=max(config.median, 1),
    )  # fmt: skip
