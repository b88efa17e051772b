"""The straight line: two images in, offsets and displacements out; and the same with files at both ends."""

from __future__ import annotations

import logging
import math
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import InputError, NoMatchError, NothingMatchedWarning, OutputError
from sensetrack.files.atomic import output_folder
from sensetrack.files.pairing import pair as bring_together
from sensetrack.files.prior import limits_at_posts, prior_at_posts
from sensetrack.files.raster import parse_time
from sensetrack.files.vector import area_at_posts, extent_of, write_points
from sensetrack.notices import collected, say, warn
from sensetrack.ot.bias import BiasReport, unbias
from sensetrack.ot.coregister import CoregistrationReport, coregister
from sensetrack.ot.filters import flag_area, flag_islands, flag_low_score, flag_outliers
from sensetrack.ot.gross import GrossShift, gross_shift
from sensetrack.ot.image_processing import preprocess
from sensetrack.ot.interfaces import Displacement, Flag, ImagePair, OffsetField
from sensetrack.ot.tiles import overview
from sensetrack.pictures.legend import load as load_pictures
from sensetrack.products.formats import require_room
from sensetrack.products.layers import TRACK_FILES, days, track_layers, write_layers
from sensetrack.workflow.ahead import ahead, rehearsals
from sensetrack.workflow.config import TrackConfig
from sensetrack.workflow.executors import threads
from sensetrack.workflow.laps import Laps
from sensetrack.workflow.memory import workers_within
from sensetrack.workflow.record import cautions, flag_shares, run_record, write_record
from sensetrack.workflow.scenes import about, open_scenes, ready, refuse_inside

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from sensetrack.blocks import Mapper
    from sensetrack.files.pairing import ProductBand
    from sensetrack.notices import Notice
    from sensetrack.workflow.scenes import Place

    Area = Callable[[OffsetField], NDArray[Any]]
    """Share (0..1) of what each post was measured from that lies in an area."""

log = logging.getLogger(__name__)

WHOLLY = 0.9
"""Share of a chip that must be on stable ground for its offset to count as stable."""
ISLAND = 9
"""Smoothing windows that a group of pixels of a dense flow must be as large as, to be believed."""
_BACKDROP = 1200
"""Longer side of the picture behind the quick-look, px."""


@dataclass(frozen=True, eq=False)
class Track:
    """What came out of a pair."""

    offsets: OffsetField
    """In pixels, flagged and unbiased."""
    displacement: Displacement | None
    """In metres; None where the images have no georeference."""
    gross: GrossShift
    bias: BiasReport | None
    """None where no stable ground was given."""
    coregistration: CoregistrationReport | None = None
    """None where it was not asked for."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time of each step."""


def track(
    pair: ImagePair,
    config: TrackConfig | None = None,
    *,
    stable: Area | None = None,
    aoi: Area | None = None,
    prior: NDArray[Any] | None = None,
    limits: NDArray[Any] | None = None,
    mapper: Mapper = map,
    advance: Callable[[int, int], None] | None = None,
) -> Track:
    """Track one pair in memory: co-register, preprocess, match, flag, unbias, displace. Pure: no file is touched.

    Parameters
    ----------
    pair : ImagePair
    config : TrackConfig, optional
        Its `stable_ground`, `unstable_ground` and `aoi` are file names and not looked at here.
    stable, aoi : callable, optional
        Called with the offset field, return for each post the share of its chip (0..1) on stable ground or in
        the area of interest.
    prior, limits : ndarray, optional
        (2, rows, cols), px: offsets to look around at each post, and how far from there they lie; see `OTAlgorithm`.
    mapper, advance
        See `sensetrack.blocks.run`.
    """
    config = config or TrackConfig()
    algorithm = config.matcher()
    laps = Laps()
    pair, coregistration = _coregister(pair, config, stable, mapper)
    if coregistration is not None:
        laps("coregister")
    prepared = preprocess(pair, config.preprocessor())
    gross = _gross(prepared, config, mapper)
    laps("prepare")
    offsets = algorithm(
        prepared.reference, prepared.secondary, gross=gross.shift, prior=prior, limits=limits, mapper=mapper,
        advance=advance,
    )  # fmt: skip
    laps("match")
    if aoi is not None:
        offsets = flag_area(offsets, aoi(offsets) >= 0.5)
    min_score = algorithm.min_score if config.min_score is None else config.min_score
    offsets = flag_low_score(offsets, min_score, config.min_peak_ratio)
    offsets = flag_outliers(
        offsets,
        threshold=config.outlier_threshold,
        noise=config.outlier_noise,
        spacing=tuple(max(1, s // (4 * p)) for s, p in zip(algorithm.support, offsets.step, strict=True)),  # type: ignore[arg-type]
    )
    if offsets.step == (1, 1):
        offsets = flag_islands(offsets, ISLAND * math.prod(algorithm.support))
    laps("flag")
    bias = None
    if stable is not None and config.bias != "none":
        with _about(config.stable_ground or config.unstable_ground):
            offsets, bias = unbias(offsets, stable(offsets) >= WHOLLY, config.bias)
    displacement = offsets.to_displacement(pair.dt) if offsets.grid.georeferenced else None
    laps("displace")
    return Track(offsets, displacement, gross, bias, coregistration, laps.seconds)


def run_track(
    reference: str | os.PathLike[str],
    secondary: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    config: TrackConfig | None = None,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Track two files and write the whole product to a folder; nothing appears there unless all went well.

    Returns
    -------
    dict
        The run record, as in ``run.json``.

    Raises
    ------
    ConfigError, InputError, EnvironmentFault
        See `sensetrack.errors`.
    """
    config = config or TrackConfig()
    areas = [config.stable_ground, config.unstable_ground, config.aoi, config.prior, config.search_limit, config.dem]
    inputs = [Path(name) for name in (reference, secondary, *(a.partition("|")[0] for a in areas if a))]
    laps = Laps()
    with (
        output_folder(folder, TRACK_FILES, overwrite=overwrite, inputs=inputs) as part,
        collected() as caught,
        ExitStack() as stack,
    ):
        scenes = open_scenes(reference, secondary, config)
        refuse_inside(folder, scenes)
        scenes = stack.enter_context(ready(scenes, part / "scratch", workers=workers, advance=advance))
        images = open_pair(*scenes, config)
        require_room(config.formats, math.prod(config.matcher().chips(images.grid.shape).shape))
        number = workers_within(config.max_memory, workers, config.matcher(), images.grid.shape)
        pictures = [load_pictures] if config.quicklook else []
        with ahead(*rehearsals(config.matcher()), *pictures), threads(number) as mapper:
            result = track(
                images,
                config,
                stable=_stable(config, images),
                aoi=_share(config.aoi, config, images),
                prior=_at_posts(config.prior, prior_at_posts, config, images),
                limits=_at_posts(config.search_limit, limits_at_posts, config, images),
                mapper=mapper,
                advance=advance,
            )
            backdrop = _backdrop(images, mapper) if config.quicklook else None
        _require_matches(result.offsets, reference)
        notes = notes_of(caught)
        laps("track")
        record = run_record(config, inputs, images, result, notes, products=[about(scene) for scene in scenes])
        try:
            _write(part, images, result, record, backdrop)
            laps("write")
            record["seconds"] |= {"write": laps.seconds["write"], "total": sum(laps.seconds.values())}
            write_record(part / "run.json", record)
        except OSError as error:
            raise OutputError(f"cannot be written ({error.strerror or error})", path=folder) from error
    return record


def notes_of(caught: list[Notice]) -> list[str]:
    """Log the warnings that were collected, and return those of ours: they belong into the run record."""
    return say(caught, log)


def open_pair(reference: Place | ProductBand, secondary: Place | ProductBand, config: TrackConfig) -> ImagePair:
    """Open two files or products on one grid, as the settings say."""
    reference, secondary = open_scenes(reference, secondary, config)
    within = extent_of(config.aoi) if config.aoi else None
    with _about(config.aoi):
        pair = bring_together(
            reference,
            secondary,
            band=config.number,
            nodata=config.nodata,
            within=within,
            margin=config.margin,
            warp=config.warp,
            max_pixels=config.max_pixels,
        )
    for which in ("reference", "secondary"):
        date = getattr(config, f"{which}_date")
        if date is not None:
            image = getattr(pair, which).taken(parse_time(date))
            pair = replace(pair, **{which: image})
    return pair


@contextmanager
def _about(path: str | None) -> Iterator[None]:
    """Name the file in an error about its content that does not name one."""
    try:
        yield
    except InputError as error:
        error.path = error.path or path
        raise


def _coregister(
    pair: ImagePair, config: TrackConfig, stable: Area | None, mapper: Mapper
) -> tuple[ImagePair, CoregistrationReport | None]:
    """Bring the secondary onto the reference where that is asked for."""
    if config.coregister == "none":
        return pair, None
    try:
        return coregister(pair, model=config.coregister, stable=stable, mapper=mapper)
    except NoMatchError:  # about the images
        raise
    except InputError as error:
        error.path = error.path or config.stable_ground or config.unstable_ground
        raise


def _gross(pair: ImagePair, config: TrackConfig, mapper: Mapper) -> GrossShift:
    """Find the shift to search around: only one the algorithm could not bridge by itself is used."""
    if isinstance(config.gross, tuple):
        return GrossShift(config.gross, float("nan"), float("nan"))
    # After a co-registration what is left is motion: its shift, where ice fills the picture, is that of the ice.
    if config.gross == "none" or config.coregister != "none":
        return GrossShift((0, 0), float("nan"), float("nan"))
    found = gross_shift(pair, mapper=mapper)
    near = all(2 * abs(by) <= reach for by, reach in zip(found.shift, config.matcher().reach, strict=True))
    if near:
        return replace(found, shift=(0, 0))
    log.info("searching around a whole-image shift of %d rows, %d columns", *found.shift)
    return found


def _share(path: str | None, config: TrackConfig, images: ImagePair) -> Area | None:
    if path is None:
        return None
    return partial(area_at_posts, path, images=images.grid, support=config.matcher().support)


def _at_posts(
    path: str | None, read: Callable[..., NDArray[Any]], config: TrackConfig, images: ImagePair
) -> NDArray[Any] | None:
    if path is None:
        return None
    return read(path, images.grid, config.matcher().chips(images.grid.shape), images.dt)


def _stable(config: TrackConfig, images: ImagePair) -> Area | None:
    moving = _share(config.unstable_ground, config, images)
    if moving is None:
        return _share(config.stable_ground, config, images)
    return lambda offsets: 1 - moving(offsets)


def _backdrop(images: ImagePair, mapper: Mapper) -> NDArray[np.float64]:
    """Shrink the reference to go behind the quick-look; NaN = not valid."""
    factor = max(1, -(-max(images.grid.shape) // _BACKDROP))
    values, valid = overview(images.reference.scaled, factor, mapper=mapper)
    return np.where(valid, values, np.nan)


def _require_matches(offsets: OffsetField, path: str | os.PathLike[str]) -> None:
    """Raise where there was nothing to match; warn loudly where nothing that was matched is any good."""
    if offsets.good.any():
        return
    if (offsets.flags & Flag.NO_DATA.bit).all():
        message = "holds no ground that is measured in both images"
        raise NoMatchError(message, path=path, advice="check --nodata and the overlap of the images")
    shares = ", ".join(
        f"{100 * share:.0f} % {name.lower().replace('_', ' ')}"
        for name, share in flag_shares(offsets).items()
        if share > 0
    )
    text = f"not one of {offsets.flags.size} posts passed every test ({shares})"
    warn(text, NothingMatchedWarning, stacklevel=2)


def _write(
    part: Path, images: ImagePair, result: Track, record: dict[str, Any], backdrop: NDArray[np.float64] | None
) -> None:
    tags = {
        "SOFTWARE": f"sensetrack {record['versions']['sensetrack']}",
        "ALGORITHM": record["configuration"]["algorithm"],
        "PARAMETERS": record["configuration"]["parameters"],
        "REFERENCE": Path(record["inputs"][0]["path"]).name,
        "SECONDARY": Path(record["inputs"][1]["path"]).name,
    }
    if said := cautions(record):
        tags["CAUTION"] = "; ".join(said)
    if images.dt is not None:
        tags["DT_DAYS"] = f"{days(images.dt):.8g}"
    if result.displacement is not None:
        tags["GRID_SCALE"] = list(result.offsets.grid.grid_scale)
    _write_formats(part, images, result, record, tags)
    if backdrop is None:
        return
    from sensetrack.pictures.quicklook import draw_quicklook

    draw_quicklook(
        part / "quicklook.png",
        result.offsets,
        result.displacement,
        backdrop,
        images.grid.shape,
        first_post=result.offsets.start,
        title=f"{tags['REFERENCE']}  →  {tags['SECONDARY']}",
        subtitle=_subtitle(images, record),
    )


def _write_formats(part: Path, images: ImagePair, result: Track, record: dict[str, Any], tags: dict[str, Any]) -> None:
    """Write the results in every format that was asked for."""
    formats, offsets, displacement = record["configuration"]["formats"], result.offsets, result.displacement
    if "cog" in formats:
        from sensetrack.pictures.qgis import write_styles

        layers = track_layers(offsets, displacement)
        write_layers(part, layers, offsets, tags)
        write_styles(part, layers)
    if "netcdf" in formats:
        from sensetrack.products.netcdf import PairInfo, write_track_netcdf

        acquired = (images.reference.acquired, images.secondary.acquired)
        about = PairInfo(tags["REFERENCE"], tags["SECONDARY"], acquired, tags["SOFTWARE"], tags.get("CAUTION", ""))
        write_track_netcdf(part, offsets, displacement, about)
    for name, driver in (("gpkg", "GPKG"), ("shp", "ESRI Shapefile")):
        if name in formats:
            write_points(part / f"offsets.{name}", offsets, driver)
    if "png" in formats:
        from sensetrack.pictures.maps import draw_maps

        record["pictures"] = draw_maps(part, offsets, displacement)


def _subtitle(images: ImagePair, record: dict[str, Any]) -> str:
    said = [f"{record['configuration']['algorithm']}, {record['configuration']['preprocess']}"]
    if images.reference.acquired and images.secondary.acquired:
        said.insert(0, f"{images.reference.acquired:%Y-%m-%d} to {images.secondary.acquired:%Y-%m-%d}")
    said += [text.partition(":")[0] for text in cautions(record)]
    if record["bias"]:
        said.append("stable ground NMAD {:.2f}, {:.2f} px".format(*record["bias"]["nmad_after"]))
    return "   ·   ".join(said)
