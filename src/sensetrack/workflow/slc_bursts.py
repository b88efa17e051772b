"""What is measured in each burst of two SLCs, one after the other."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sensetrack.errors import NoMatchError
from sensetrack.grid import Grid
from sensetrack.ot.fields import OffsetField
from sensetrack.sar.geometry import geo2rdr, rdr2geo
from sensetrack.sar.merge import BurstPosts, Part, frame_of, frame_posts, lattice_posts
from sensetrack.sar.offsets import measure
from sensetrack.workflow.slc_inputs import burst_places
from sensetrack.workflow.slc_unpacked import is_zipped, unpacked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from sensetrack.blocks import Mapper
    from sensetrack.sar.offsets import SlcOffsets
    from sensetrack.sar.radargrid import RadarGrid
    from sensetrack.sentinel.s1_pair import BurstPair
    from sensetrack.workflow.slc_inputs import SlcJob
    from sensetrack.workflow.slc_kept import Kept

    Window = tuple[slice, slice]

log = logging.getLogger(__name__)

_LAYERS = ("d_row", "d_col", "flags", "score", "snr", "peak_ratio", "covariance")
"""What is kept of an `OffsetField`."""
_STRIP = 256
"""Lines whose brightness is taken at a time."""
_AROUND = 3
"""Posts around an area of interest that are measured, too: for the median over neighbours, and for interpolating."""


@dataclass(frozen=True, eq=False)
class Measured:
    """One burst."""

    pair: BurstPair
    part: Part
    brightness: NDArray[np.float32]
    """(posts) mean power of the reference around each post, squared digital numbers; NaN: not measured."""
    seconds: float
    resumed: bool
    """Whether it was measured by an earlier run that was stopped."""


def measured_bursts(
    job: SlcJob,
    settings: SlcOffsets,
    *,
    kept: Kept | None = None,
    scratch: Path | None = None,
    mapper: Mapper = map,
    advance: Callable[[int, int], None] | None = None,
) -> tuple[RadarGrid, list[Measured], Window]:
    """Measure all bursts of a pair.

    Parameters
    ----------
    job : SlcJob
    settings : SlcOffsets
    kept : Kept, optional
        Where finished bursts are looked for, and kept.
    scratch : Path, optional
        Folder that bursts of products in zips are unpacked to, one after the other.
    mapper, advance
        As in `sensetrack.blocks.run`; `advance` counts hundredths of a burst.

    Returns
    -------
    frame : RadarGrid
        That all bursts lie in.
    bursts : list of Measured
    window : (slice, slice)
        Posts of the frame that are wanted: those around the area of interest.

    Raises
    ------
    NoMatchError
        No burst has a place for a chip.
    """
    frame = frame_of([pair.reference_grid for pair in job.pairs])
    window = _wanted(frame, job, settings)
    places = [lattice_posts(frame, p.reference_grid, settings.chip, settings.step, window) for p in job.pairs]
    if not any(min(place.posts) for place in places):
        size = "x".join(str(part) for part in settings.chip)
        message = f"no burst has a place for a chip of {size} px in the area that is measured"
        raise NoMatchError(message, path=job.reference.path, advice="choose a smaller --chip or a larger area")
    done = []
    for number, (pair, place) in enumerate(zip(job.pairs, places, strict=True)):
        if not min(place.posts):
            log.info("%s: has no place for a chip in the area that is measured", pair.id)
            continue
        share = _share(advance, number, len(places))
        done.append(_one(_Run(job, settings, kept, scratch, mapper, share), pair, place, number))
        if advance is not None:
            advance(100 * (number + 1), 100 * len(places))
    return frame, done, window


def _share(advance: Callable[[int, int], None] | None, number: int, count: int) -> Callable[[int, int], None] | None:
    """Return the progress of one burst as a part of that of all."""
    if advance is None:
        return None
    return lambda done, total: advance(100 * number + min(100 * done // max(total, 1), 99), 100 * count)


class _Run(NamedTuple):
    """What all bursts are measured with."""

    job: SlcJob
    settings: SlcOffsets
    kept: Kept | None
    scratch: Path | None
    mapper: Mapper
    advance: Callable[[int, int], None] | None


def _one(run: _Run, pair: BurstPair, place: BurstPosts, number: int) -> Measured:
    """Measure a burst, or take what an earlier run has measured."""
    began = time.perf_counter()
    arrays = None if run.kept is None else run.kept.load(pair.id)
    resumed = arrays is not None and _complete(arrays, place)
    if arrays is None or not resumed:
        zipped = is_zipped(run.job.reference), is_zipped(run.job.secondary)
        with unpacked(pair, zipped, run.scratch) as here:
            arrays = _arrays(run, here, place)
        if run.kept is not None:
            run.kept.save(pair.id, arrays)
    seconds = time.perf_counter() - began
    said = "had been measured already" if resumed else f"measured in {seconds:.1f} s"
    log.info("burst %d of %d, %s: %d x %d posts %s", number + 1, len(run.job.pairs), pair.id, *place.posts, said)
    chip, step = run.settings.chip, run.settings.step
    layers: dict[str, Any] = {name: arrays[name] for name in _LAYERS if name in arrays}
    start = (place.start[0] + chip[0] / 2, place.start[1] + chip[1] / 2)
    field = OffsetField(grid=Grid(place.posts), step=step, start=start, **layers)
    return Measured(pair, Part(place, field, arrays["coherent"], number), arrays["brightness"], seconds, resumed)


def _complete(arrays: dict[str, NDArray[Any]], place: BurstPosts) -> bool:
    """Tell whether what was kept is what is needed."""
    needed = ("d_row", "d_col", "flags", "coherent", "brightness")
    return all(name in arrays and arrays[name].shape == place.posts for name in needed)


def _arrays(run: _Run, pair: BurstPair, place: BurstPosts) -> dict[str, NDArray[Any]]:
    """Bring a burst onto its pixels, and measure it."""
    registration = pair.register(run.job.surface)
    found = measure(
        pair.deramped(),
        pair.coregistered(registration, flatten=True),
        run.settings,
        start=place.start,
        posts=place.posts,
        bands=pair.bands,
        mapper=run.mapper,
        advance=run.advance,
    )
    layers = {name: value for name in _LAYERS if (value := getattr(found.field, name)) is not None}
    return layers | {"coherent": found.coherent, "brightness": _brightness(pair, place, run.settings, run.mapper)}


def _brightness(pair: BurstPair, place: BurstPosts, settings: SlcOffsets, mapper: Mapper) -> NDArray[np.float32]:
    """Mean power of the reference in a window of one step around each post."""
    step = settings.step
    first = tuple(s + c // 2 - t // 2 for s, c, t in zip(place.start, settings.chip, step, strict=True))
    at_once = max(1, _STRIP // step[0])
    line, (rows, cols) = pair.reference_burst.line, place.posts

    def strip(top: int) -> NDArray[np.float32]:
        count = min(at_once, rows - top)
        begin = max(first[0] + top * step[0], 0)
        lines = slice(line + begin, line + min(begin + count * step[0], pair.reference_burst.lines))
        left = max(first[1], 0)
        pixels = pair.reference.read(lines, slice(left, min(left + cols * step[1], pair.reference_burst.samples)))
        power = np.zeros((count * step[0], cols * step[1]), np.float32)
        power[: pixels.shape[0], : pixels.shape[1]] = np.abs(pixels) ** 2
        return np.asarray(power.reshape(count, step[0], cols, step[1]).mean(axis=(1, 3)))

    out = np.concatenate(list(mapper(strip, range(0, rows, at_once))))
    return np.where(out > 0, out, np.float32(np.nan))


def _wanted(frame: RadarGrid, job: SlcJob, settings: SlcOffsets) -> Window:
    """Return the posts of a frame that show an area of interest, and a few around them; all without an area."""
    counts = frame_posts(frame, settings.chip, settings.step)
    outline = None if job.area is None else _outline(job)
    if outline is None:
        return slice(0, counts[0]), slice(0, counts[1])
    line, sample = [], []
    lon, lat = np.radians(outline)
    for height in _relief(frame, job):
        seen = geo2rdr(frame, lon, lat, height)
        known = np.isfinite(seen.time)
        line.append(frame.line(seen.time[known]))
        sample.append(frame.sample(seen.slant_range[known]))
    window = []
    sides = zip((np.concatenate(line), np.concatenate(sample)), counts, settings.chip, settings.step, strict=True)
    for places, count, chip, step in sides:
        posts = (places - (chip - 1) / 2) / step
        start = min(max(int(np.floor(posts.min())) - _AROUND, 0), count)
        window.append(slice(start, max(min(int(np.ceil(posts.max())) + _AROUND + 1, count), start)))
    return window[0], window[1]


def _outline(job: SlcJob) -> NDArray[np.float64] | None:
    """Longitude and latitude, degrees, of places along the rim of the area around the bursts; None: take all."""
    import shapely

    lon, lat = (np.concatenate(parts) for parts in zip(*(burst_places(pair) for pair in job.pairs), strict=True))
    if not np.isfinite(lon).any() or np.nanmax(lon) - np.nanmin(lon) > 180:
        return None
    # What lies far beyond would be seen by another part of the orbit, or by none.
    around = shapely.box(np.nanmin(lon) - 0.3, np.nanmin(lat) - 0.1, np.nanmax(lon) + 0.3, np.nanmax(lat) + 0.1)
    part = job.area.intersection(around)
    if part.is_empty or not part.area:
        return None
    return np.asarray(shapely.get_coordinates(shapely.segmentize(part, 0.02)).T)


def _relief(frame: RadarGrid, job: SlcJob) -> tuple[float, float]:
    """Lowest and highest height of the ground that a frame shows."""
    time = frame.time(np.linspace(0, frame.lines - 1, 33))[:, None]
    found = rdr2geo(frame, time, frame.slant_range(np.linspace(0, frame.samples - 1, 65))[None], job.surface).height
    known = found[np.isfinite(found)]
    return (float(known.min()) - 200, float(known.max()) + 200) if known.size else (-500.0, 9000.0)
