"""Two Sentinel-1 SLCs: brought together by orbit and heights, matched burst by burst, in metres, and on a map."""

from __future__ import annotations

import logging
import math
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from dataclasses import field as entry
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import (
    ConfigError,
    InputError,
    MemoryLimitError,
    NoMatchError,
    NothingMatchedWarning,
    OutputError,
)
from sensetrack.files.atomic import output_folder
from sensetrack.notices import collected, warn
from sensetrack.ot.filters import flag_area
from sensetrack.pictures.legend import load as load_pictures
from sensetrack.products.slc_layers import SLC_FILES
from sensetrack.sar.geometry import rdr2geo
from sensetrack.sar.merge import merge, seams
from sensetrack.sar.radar_filters import RadarFilters, filtered
from sensetrack.sar.velocity import displacement
from sensetrack.snap_gpt.aoi import AOI
from sensetrack.workflow.ahead import ahead
from sensetrack.workflow.executors import default_workers, threads
from sensetrack.workflow.laps import Laps
from sensetrack.workflow.limits import LIBRARIES
from sensetrack.workflow.pipeline import notes_of
from sensetrack.workflow.record import flag_shares, write_record
from sensetrack.workflow.scenes import refuse_product
from sensetrack.workflow.slc_bursts import Measured, measured_bursts
from sensetrack.workflow.slc_config import SlcConfig
from sensetrack.workflow.slc_inputs import SlcJob, inside, open_pair, slc_job
from sensetrack.workflow.slc_isce2 import measured_by_isce2, require_isce2
from sensetrack.workflow.slc_kept import Kept, key_of
from sensetrack.workflow.slc_output import map_of, write_isce, write_slc
from sensetrack.workflow.slc_record import slc_record

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from sensetrack.blocks import Mapper
    from sensetrack.ot.bias import BiasReport
    from sensetrack.sar.merge import Seam
    from sensetrack.sar.offsets import SlcOffsets
    from sensetrack.sar.radar_field import RadarField
    from sensetrack.sar.velocity import RadarDisplacement
    from sensetrack.sentinel.s1 import Sentinel1

log = logging.getLogger(__name__)

_TILE = (1600, 1536)
"""Lines and samples that `measure` works on at a time, at most."""
_PER_PIXEL = 190
"""Bytes that a pixel of them takes, bringing it there included: measured, rounded up."""


@dataclass(frozen=True, eq=False)
class Slc:
    """What came out of a pair of SLCs, at the posts of the radar image."""

    job: SlcJob
    settings: SlcOffsets
    """With which bursts were matched."""
    measured: RadarField
    """Offsets in px as they were measured, bursts and swaths merged, not flagged."""
    field: RadarField
    """The same flagged, filtered, and with the bias of stable ground removed."""
    displacement: RadarDisplacement
    """In metres: slant range, along track, east, north."""
    bursts: list[Measured]
    seams: tuple[Seam, ...]
    """How well bursts agree where they overlap."""
    bias: BiasReport | None
    """None where no stable ground was given."""
    brightness: NDArray[np.float32]
    """(posts) of the reference, dB of squared digital numbers; NaN: not measured."""
    seconds: dict[str, float] = entry(default_factory=dict)
    """Wall time of each step."""


def slc(
    reference: Sentinel1,
    secondary: Sentinel1,
    config: SlcConfig | None = None,
    *,
    kept: Callable[[SlcJob], Kept] | None = None,
    scratch: Path | None = None,
    mapper: Mapper = map,
    advance: Callable[[int, int], None] | None = None,
) -> Slc:
    """Measure how the ground moved between two products, in radar geometry; no file is written.

    Parameters
    ----------
    reference, secondary : Sentinel1
        SLCs of one track, from `sensetrack.sentinel.open_sentinel1`; in any order in time.
    config : SlcConfig, optional
    kept : callable, optional
        Called with the job, returns where finished bursts are kept.
    scratch : Path, optional
        Folder that bursts of products in zips are unpacked to, one after the other, some 160 MB each; without one they
        are read where they are, which is slower.
    mapper, advance
        See `sensetrack.blocks.run`.

    Raises
    ------
    ConfigError, InputError
        Before anything is computed where the two cannot be paired, orbits or heights cannot be used; see
        `sensetrack.workflow.slc_inputs`.
    """
    config = config or SlcConfig()
    laps = Laps()
    job = slc_job(reference, secondary, config)
    settings = config.matching(job.days)
    stable = _stable(config)
    laps("open")
    store = None if kept is None else kept(job)
    if config.engine == "isce2":
        if store is None:
            raise ConfigError("engine isce2 needs a folder to work in", advice="call run_slc")
        bursts: list[Measured] = []
        measured = measured_by_isce2(job, config, settings, store.folder / "isce2", advance=advance)
        window = slice(0, measured.shape[0]), slice(0, measured.shape[1])
        laps("isce2")
    else:
        frame, bursts, window = measured_bursts(
            job, settings, kept=store, scratch=scratch, mapper=mapper, advance=advance
        )
        laps("match")
        measured = merge(frame, [one.part for one in bursts], dt=job.dt).crop(*window)
        laps("merge")
    parts = [one.part for one in bursts]
    bright = _merged_brightness(bursts, measured, window)
    places = _places(measured, job) if stable is not None or job.area is not None else None
    found = _flagged(measured, config)
    bias = None
    if stable is not None and places is not None and config.bias != "none":
        with _about(config.stable_ground or config.unstable_ground):
            found, bias = found.unbiased(stable(*places), config.bias)
    if job.area is not None and places is not None:  # last: those just outside are good neighbours
        found = found.with_field(flag_area(found.field, inside(job.area, *places)))
    laps("flag")
    moved = displacement(found, job.surface, config.assumption, mapper=mapper)
    laps("displace")
    return Slc(job, settings, measured, found, moved, bursts, seams(parts), bias, bright, laps.seconds)


def run_slc(
    reference: str | os.PathLike[str],
    secondary: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    config: SlcConfig | None = None,
    *,
    overwrite: bool = False,
    kept: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure how the ground moved between two products and write the whole product to a folder.

    No file appears under its name unless all went well. Bursts that are finished are kept in a hidden folder beside the
    results until these are written: after an interrupt, the same call goes on from there.

    Parameters
    ----------
    reference, secondary : path-like
        Sentinel-1 SLCs of one track: .SAFE folder, zip, or burst of ASF.
    folder : path-like
        Of the results.
    config : SlcConfig, optional
    overwrite : bool
        Replace results that exist; otherwise they are an error.
    kept : path-like, optional
        Folder in which finished bursts are kept, by default that of the results.
    workers : int, optional
        Threads; results do not depend on it.
    advance : callable, optional
        Called with (done, total).

    Returns
    -------
    dict
        The run record, as in ``run.json``.

    Raises
    ------
    ConfigError, InputError, EnvironmentFault
        See `sensetrack.errors`.
    """
    config = config or SlcConfig()
    began = time.perf_counter()
    inputs = [Path(name) for name in (reference, secondary, *([config.dem] if config.dem else []))]
    with (
        output_folder(folder, SLC_FILES, overwrite=overwrite, inputs=inputs) as part,
        collected() as caught,
    ):
        if config.fetch:
            from sensetrack.workflow.slc_fetch import with_fetched

            config = with_fetched(reference, secondary, config, Path(folder) / "fetched")
        if config.engine == "isce2":
            require_isce2(config)
        one, other = open_pair(reference, secondary, config)
        for product in (one, other):
            refuse_product(folder, product.path)
        days = (other.info.start - one.info.start) / timedelta(days=1)
        stores: list[Kept] = []
        notes: list[str] = []

        def keep(job: SlcJob) -> Kept:
            notes.extend(notes_of(caught))  # now, and not after minutes of measuring
            caught.clear()
            stores.append(Kept(kept or folder, key_of(job, config)))
            return stores[0]

        with ahead(load_pictures), threads(workers_for(config, workers, days)) as mapper:
            result = slc(one, other, config, kept=keep, scratch=part, mapper=mapper, advance=advance)
            _require_matches(result)
            laps = Laps()
            maps = map_of(result, config, mapper=mapper)
            laps("map")
            notes += notes_of(caught)
            record = slc_record(config, result, maps.grid, notes)
            try:
                write_slc(part, result, maps, record)
                if config.isce_layout:
                    write_isce(part / "isce", result, config, mapper=mapper)
                laps("write")
                record["seconds"] |= laps.seconds | {"total": round(time.perf_counter() - began, 3)}
                write_record(part / "run.json", record)
            except OSError as error:
                raise OutputError(f"cannot be written ({error.strerror or error})", path=folder) from error
    for store in stores:
        store.clear()
    return record


def workers_for(config: SlcConfig, workers: int | None, days: float = 0.0) -> int:
    """Return as many workers as the limit of memory allows, at most `workers`; results do not depend on it.

    Parameters
    ----------
    config : SlcConfig
    workers : int, optional
        Default: the cores there are.
    days : float
        Between the scenes.

    Raises
    ------
    MemoryLimitError
        The limit is too low for one.
    """
    settings = config.matching(days)
    tile = math.prod(
        max(size, chip) + 2 * search for size, chip, search in zip(_TILE, settings.chip, settings.search, strict=True)
    )
    each = _PER_PIXEL * tile
    wanted = default_workers() if workers is None else workers
    allowed = (config.max_memory - LIBRARIES) // each
    if allowed < 1:
        limit = f"the {config.max_memory / 1e9:.1f} GB of --max-memory"
        text = f"a worker needs about {(LIBRARIES + each) / 1e9:.1f} GB, more than {limit}"
        raise MemoryLimitError(text, advice="raise it, or search less")
    if allowed < wanted:
        log.info("%d instead of %d workers, to keep within %.1f GB", allowed, wanted, config.max_memory / 1e9)
    return min(wanted, allowed)


def _flagged(posts: RadarField, config: SlcConfig) -> RadarField:
    """Flag what is not to be trusted, and filter."""
    filters = RadarFilters(
        min_score=config.min_score or 0.0,
        min_snr=config.snr or 0.0,
        threshold=config.outlier_threshold,
        noise=config.outlier_noise,
        median=config.median if config.median > 1 else None,
        # Chips overlap: posts closer than half a chip say the same, right or wrong.
        spacing=tuple(max(1, chip // (2 * step)) for chip, step in zip(config.chip, config.step, strict=True)),
    )
    return filtered(posts, filters)


def _places(posts: RadarField, job: SlcJob) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude of posts, degrees; NaN where the ground is not known."""
    radar = posts.radar
    found = rdr2geo(radar, radar.time(posts.lines)[:, None], radar.slant_range(posts.samples)[None], job.surface)
    return np.degrees(found.lon), np.degrees(found.lat)


def _stable(config: SlcConfig) -> Callable[[Any, Any], NDArray[np.bool_]] | None:
    """Return what tells stable ground by longitude and latitude; None where none is given."""
    name = config.stable_ground or config.unstable_ground
    if name is None:
        return None
    test = partial(inside, AOI.of(name).geometry)
    return test if config.stable_ground else lambda lon, lat: np.isfinite(lon) & ~test(lon, lat)


def _merged_brightness(bursts: list[Measured], posts: RadarField, window: tuple[slice, slice]) -> NDArray[np.float32]:
    """Return the brightness of the burst that each post was measured in, or of any, dB."""
    out = np.full((window[0].stop, window[1].stop), np.nan, np.float32)
    for one in bursts:
        where = one.part.posts.rows, one.part.posts.cols
        out[where] = np.where(np.isfinite(one.brightness), one.brightness, out[where])
    out = out[window]
    if posts.burst is not None:
        for one in bursts:
            rows, cols = one.part.posts.rows, one.part.posts.cols
            inner = (
                slice(rows.start - window[0].start, rows.stop - window[0].start),
                slice(cols.start - window[1].start, cols.stop - window[1].start),
            )
            own = (posts.burst[inner] == one.part.number) & np.isfinite(one.brightness)
            out[inner] = np.where(own, one.brightness, out[inner])
    return np.asarray(10 * np.log10(out), np.float32)


@contextmanager
def _about(path: str | None) -> Iterator[None]:
    """Name the file in an error about its content that does not name one."""
    try:
        yield
    except InputError as error:
        error.path = error.path or path
        raise


def _require_matches(result: Slc) -> None:
    """Raise where there was nothing to match; warn loudly where nothing that was matched is any good."""
    flags = result.displacement.flags
    if (flags == 0).any():
        return
    if not np.isfinite(result.measured.field.d_row).any():
        message = "holds no ground that is measured in both products"
        raise NoMatchError(message, path=result.job.reference.path, advice="check the area of interest and heights")
    shares = ", ".join(
        f"{100 * share:.0f} % {name.lower().replace('_', ' ')}"
        for name, share in flag_shares(replace(result.field.field, flags=flags)).items()
        if share > 0
    )
    text = f"not one of {flags.size} posts passed every test ({shares})"
    warn(text, NothingMatchedWarning, stacklevel=2)
