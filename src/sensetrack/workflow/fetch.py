"""What is fetched from the network, and where it goes: scenes and their pairs, orbit files, elevation models."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensetrack.acquire.credentials import require_earthdata
from sensetrack.acquire.dem import DemQuery, Elevation, fetch_dem
from sensetrack.acquire.found import Pair, Pass, SceneFound, Which, chosen, pairs, passes
from sensetrack.acquire.network import download, session_for
from sensetrack.acquire.optical import OpticalQuery, band_of, search_optical
from sensetrack.acquire.orbits import Wanted, find_orbit
from sensetrack.acquire.scenes import SceneQuery, files_of, search
from sensetrack.errors import ConfigError, DownloadError, NoMatchError
from sensetrack.files.atomic import output_folder
from sensetrack.files.tiled import write_tiled
from sensetrack.grid import Grid, as_crs
from sensetrack.sentinel.s1_names import parse_name
from sensetrack.snap_gpt.aoi import AOI

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    Advance = Callable[[int, int], None]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Findings:
    """What a search has found, and which of it is wanted."""

    query: SceneQuery | OpticalQuery
    found: tuple[Pass, ...]
    """All passes, in the order of time."""
    wanted: tuple[Pass, ...]
    """Those that count."""
    which: Which
    pairs: tuple[Pair, ...]
    """Of the wanted ones."""

    @property
    def scenes(self) -> list[SceneFound]:
        """The wanted scenes, in the order of time."""
        return [scene for one in self.wanted for scene in one.scenes]

    @property
    def size(self) -> int:
        """Bytes of the wanted scenes, as far as they are known."""
        return sum(scene.size or 0 for scene in self.scenes)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        return {
            "query": self.query.to_dict(),
            "passes_found": len(self.found),
            "passes_wanted": len(self.wanted),
            "which": "all" if len(self.found) == len(self.wanted) else self.which,
            "bytes": self.size,
            "scenes": [scene.as_dict() for scene in self.scenes],
            "pairs": [
                {
                    "name": pair.name,
                    "days": round(pair.days, 3),
                    "reference": [scene.name for scene in pair.reference.scenes],
                    "secondary": [scene.name for scene in pair.secondary.scenes],
                }
                for pair in self.pairs
            ],
        }


def find_scenes(
    query: SceneQuery | OpticalQuery,
    area: Any = None,
    *,
    count: int | None = None,
    which: Which = "earliest",
    apart: int = 1,
    max_days: float | None = None,
) -> Findings:
    """Search, and pair what is found.

    Parameters
    ----------
    query : SceneQuery or OpticalQuery
    area : anything that `sensetrack.snap_gpt.aoi.AOI.of` takes, optional
    count : int, optional
        Passes that are wanted; those of a pass count once.
    which : {"earliest", "latest"}
        Which of them: the earliest ones after the start of the search, or the latest ones before its end.
    apart, max_days
        See `sensetrack.acquire.found.pairs`.

    Raises
    ------
    ConfigError
        A search without a place.
    NoMatchError
        Nothing is found.
    DownloadError
        The archive does not answer.
    """
    place = None if area is None else AOI.of(area).geometry
    if isinstance(query, OpticalQuery):
        if place is None:
            raise ConfigError("a search for Sentinel-2 needs an area", advice="say --aoi")
        found = passes(search_optical(query, place))
    else:
        found = passes(search(query, place))
    if not found:
        raise NoMatchError("the archive has no such scene", advice="search a longer time, or another area")
    wanted = chosen(found, count, which)
    try:
        made = pairs(wanted, apart=apart, max_days=max_days)
    except NoMatchError as error:
        log.warning("%s", error)
        made = []
    return Findings(query, tuple(found), tuple(wanted), which, tuple(made))


def fetch_scenes(
    found: Findings,
    folder: str | os.PathLike[str],
    *,
    token_file: str | os.PathLike[str] | None = None,
    advance: Advance | None = None,
) -> list[Path]:
    """Fetch the wanted scenes of a search; those that are there whole are not fetched again.

    Raises
    ------
    EnvironmentFault
        No credentials.
    DownloadError
        A scene cannot be fetched; those before it stay.
    """
    optical = isinstance(found.query, OpticalQuery)
    session = session_for(None if optical else require_earthdata(token_file))
    done, total, paths = 0, found.size, []
    for scene in found.scenes:
        for remote in band_of(scene) if optical else files_of(scene):

            def more(here: int, _all: int, before: int = done) -> None:
                if advance is not None and total:
                    advance(min(before + here, total), total)

            paths.append(download(session, remote, Path(folder), advance=more))
        done += scene.size or 0
        log.info("%s", paths[-1])
    return paths


def fetch_orbits(products: Iterable[str | os.PathLike[str]], folder: str | os.PathLike[str]) -> list[Path]:
    """Fetch the orbit file of each Sentinel-1 product: the precise one where it is there, else the restituted one.

    Parameters
    ----------
    products : iterable of path-like
        Products or only their names.
    folder : path-like

    Raises
    ------
    ProductNameError
        A name that is not one of Sentinel-1.
    DownloadError
        There is no orbit file yet, or it cannot be fetched.
    """
    names = [parse_name(str(product)) for product in products]
    return orbits_for([Wanted(name.platform, name.start, name.stop) for name in names], folder)


def orbits_for(scenes: Iterable[Wanted], folder: str | os.PathLike[str]) -> list[Path]:
    """Fetch the orbit file of each scene, as `fetch_orbits` does for products."""
    session, paths = session_for(), []
    for wanted in scenes:
        remote = find_orbit(session, wanted, kind="POEORB")
        if remote is None:
            remote = find_orbit(session, wanted, kind="RESORB")
            what = f"{wanted.platform} at {wanted.start:%Y-%m-%d %H:%M:%S}"
            if remote is None:
                message = f"there is no orbit file for {what} yet"
                raise DownloadError(message, advice="restituted orbits come within a day, precise ones in three weeks")
            log.warning("%s: only a restituted orbit (5 cm) is there; the precise one comes in three weeks", what)
        paths.append(download(session, remote, Path(folder)))
        log.info("%s", paths[-1])
    return list(dict.fromkeys(paths))


def fetch_elevation(query: DemQuery, area: Any, path: str | os.PathLike[str], *, overwrite: bool = False) -> Elevation:
    """Fetch an elevation model of an area into a GeoTIFF that says that its heights count from the ellipsoid.

    Raises
    ------
    ConfigError
        The output exists, or the area is too large.
    NoOverlapError
        There is no elevation.
    DownloadError
        It cannot be fetched.
    """
    target = Path(path)
    with output_folder(target.parent, [target.name], overwrite=overwrite) as part:
        west, south, east, north = AOI.of(area).bounds
        made = fetch_dem(query, (west, south, east if east >= west else east + 360, north))
        tags = {"TITLE": f"elevation model {query.model}", "VERTICAL": "heights above the WGS 84 ellipsoid, m"}
        grid = Grid(made.heights.shape, made.affine, as_crs("EPSG:4979"))
        write_tiled(part / target.name, [("height", "m", made.heights)], grid, tags=tags)
    return made
