"""The scenes of a study: found, dated, sorted; those that cannot be opened are named and left out."""

from __future__ import annotations

import fnmatch
import glob
import json
import logging
import re
import warnings
from collections import Counter
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sensetrack
from sensetrack.errors import ConfigError, InputError, NoOverlapError, SenseTrackError, SenseTrackWarning
from sensetrack.files.atomic import write_whole
from sensetrack.stack.network import Acquisition, utc
from sensetrack.workflow.study_tasks import TASK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sensetrack.workflow.study_config import Study

log = logging.getLogger(__name__)

_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])(?:T(\d{6}))?(?!\d)")
_BESIDE = (
    ".ovr", ".qml", ".md5", ".sha256", ".sha512", ".xml", ".json", ".txt", ".pgw", ".tfw", ".jgw", ".eof", ".part"
)  # fmt: skip
"""Endings of what lies beside scenes and is none."""
_SUFFIXES = (".SAFE.zip", ".SAFE", ".zip", ".tiff", ".tif", ".jpeg", ".jpg", ".png", ".jp2", ".he5", ".hdf5", ".h5")


@dataclass(frozen=True)
class Scene:
    """One scene, and what is known of it."""

    path: Path
    taken: Acquisition
    said: bool = True
    """Whether the file says itself when it was taken; else its name, or the study."""

    @property
    def name(self) -> str:
        """Of the file, without its ending."""
        return stem(self.path)


@dataclass(frozen=True)
class BadScene:
    """A scene that cannot be used."""

    path: Path
    error: str


def stem(path: Path) -> str:
    """Return the name of a scene without its ending."""
    for suffix in _SUFFIXES:
        if path.name.lower().endswith(suffix.lower()):
            return path.name[: -len(suffix)]
    return path.name


def find_scenes(
    study: Study, more: Iterable[Path] = (), cache: Path | None = None
) -> tuple[list[Scene], list[BadScene]]:
    """Find and open the scenes of a study.

    Parameters
    ----------
    study : Study
    more : iterable of Path
        Scenes that were fetched.
    cache : Path, optional
        File in which is kept what scenes say of themselves, until they change.

    Returns
    -------
    scenes, bad
        In the order of time; those that cannot be opened, with the reason.

    Raises
    ------
    ConfigError
        A pattern that no file has; a scene whose date nobody says.
    """
    known = _remembered(cache)
    scenes, bad, kept = [], [], {}
    for path in _listed(study, more):
        try:
            mark = _mark(path)
            entry = known.get(path.name)
            if entry is None or entry.get("mark") != mark:
                entry = {"mark": mark, "told": _told(path)}
        except SenseTrackError as error:
            bad.append(BadScene(path, str(error)))
            log.warning("%s", error)
            continue
        kept[path.name] = entry
        scenes.append(_dated(path, entry["told"], study))
    scenes.sort(key=lambda scene: (scene.taken.moment, scene.name))
    if study.config.slc is not None or study.config.pairs.max_perpendicular is not None:
        scenes = _with_baselines(scenes, kept)
    if cache is not None and kept != known:
        write_whole(cache, json.dumps({"version": sensetrack.__version__, "scenes": kept}, indent=1))
    return scenes, bad


def _listed(study: Study, more: Iterable[Path]) -> list[Path]:
    """Return the paths of all scenes, each once."""
    found: dict[Path, None] = {}
    for pattern in study.config.scenes.files:
        whole = str(study.base / pattern)
        is_there = Path(whole).exists()
        names = [whole] if is_there else sorted(glob.glob(whole, recursive=True))  # noqa: PTH207  absolute ones, too
        if not names:
            raise ConfigError(f"scenes.files: no file is {pattern}", path=study.base, advice="paths count from there")
        found |= dict.fromkeys(
            Path(name) for name in names if is_there or not (lies_beside(name) or _is_result(Path(name), study.folder))
        )
    found |= dict.fromkeys(more)
    out = study.config.scenes.exclude
    kept = [path for path in found if not any(fnmatch.fnmatch(path.name, one) or path.name == one for one in out)]
    if not kept:
        raise ConfigError("scenes.exclude leaves no scene", path=study.base)
    count = Counter(stem(path) for path in kept)
    twice = [name for name, times in count.items() if times > 1]
    if twice:
        raise ConfigError(f"two scenes are called {min(twice)}", path=study.base, advice="give them names of their own")
    return kept


def _is_result(path: Path, folder: Path) -> bool:
    """Tell whether a file was written by an earlier run: patterns such as **/*.tif have these, too."""
    if not path.is_relative_to(folder):
        return False
    inside = path.relative_to(folder).parts[:-1]
    return ".study" in inside[:1] or any((folder.joinpath(*inside[:depth]) / TASK).is_file() for depth in (1, 2))


def lies_beside(name: str) -> bool:
    """Tell by its name what lies beside scenes and is none."""
    return name.lower().endswith(_BESIDE)


def _mark(path: Path) -> list[Any]:
    """Return what changes when a file does.

    Raises
    ------
    InputError
        It is gone, or a link to nothing.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path=path) from error
    return [status.st_size if path.is_file() else 0, status.st_mtime_ns]


def _remembered(cache: Path | None) -> dict[str, Any]:
    """Return what scenes said last time; nothing where that is damaged, or of another version."""
    if cache is None:
        return {}
    try:
        values = json.loads(cache.read_text(encoding="utf-8"))
        scenes = values["scenes"] if values["version"] == sensetrack.__version__ else {}
        found = {name: one | {"mark": list(one["mark"]), "told": dict(one["told"])} for name, one in scenes.items()}
        for one in found.values():  # what cannot be used is found here, not where it is used
            Acquisition(**(one["told"] | {"moment": one["told"]["moment"] or "2000-01-01"}))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, ConfigError):
        log.warning("%s: is damaged, scenes are opened again", cache)
        return {}
    return found


def _told(path: Path) -> dict[str, Any]:
    """Return what a scene says of itself, as plain values of `Acquisition`; the moment is None where it does not."""
    from sensetrack.files.raster import open_raster
    from sensetrack.workflow.scenes import open_product

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SenseTrackWarning)  # said again where it is tracked
        product = open_product(path)
        if product is None:
            file = open_raster(path)
            track = file.tags.get("RELATIVE_ORBIT", "")
            return {
                "moment": None if file.acquired is None else file.acquired.isoformat(),
                "platform": file.tags.get("SENSOR", ""),
                "track": int(track) if track.isdecimal() else None,
            }
        from sensetrack.sentinel.s1 import Sentinel1

        if isinstance(product, Sentinel1):
            info = product.info
            return {
                "moment": info.start.isoformat(),
                "platform": info.platform,
                "track": info.relative_orbit,
                "orbit": info.absolute_orbit,
            }
        about = product.about()
        return {
            "moment": about["acquired"],
            "platform": about.get("satellite") or about["mission"],
            "track": about.get("relative_orbit"),
        }


def _with_baselines(scenes: list[Scene], kept: dict[str, Any]) -> list[Scene]:
    """Return the scenes with perpendicular baselines to the first one of their track, as far as they are SLCs."""
    first: dict[int | None, Scene] = {}
    found = []
    for scene in scenes:
        other = first.setdefault(scene.taken.track, scene)
        entry = kept[scene.path.name]
        against = [str(other.path.name), kept[other.path.name]["mark"]]
        if entry.get("against") != against:
            entry["against"], entry["perpendicular"] = against, _perpendicular(other, scene)
        found.append(replace(scene, taken=replace(scene.taken, perpendicular=entry["perpendicular"])))
    return found


def _perpendicular(one: Scene, other: Scene) -> float | None:
    from sensetrack.sar.baseline import perpendicular_baseline
    from sensetrack.sentinel.s1 import Sentinel1
    from sensetrack.workflow.scenes import open_product

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SenseTrackWarning)
        products = [open_product(scene.path) for scene in (one, other)]
        swaths = [list(product.swaths) for product in products if isinstance(product, Sentinel1)]
        both = [key for key in swaths[0] if key in swaths[1]] if len(swaths) == 2 else []
        if not both:
            return None
        middle = both[len(both) // 2]
        grids = [product.swaths[middle].radar_grid for product in products if isinstance(product, Sentinel1)]
        try:
            return round(perpendicular_baseline(grids[0], grids[1]), 2)
        except NoOverlapError:
            return None


def _dated(path: Path, told: dict[str, Any], study: Study) -> Scene:
    moment, said = told["moment"], True
    given = study.config.scenes.dates
    own = given.get(path.name) or given.get(stem(path))
    if own is not None or moment is None:
        moment, said = own or _date_in(path), False
    taken = Acquisition(**(told | {"moment": moment, "name": stem(path)}))
    return Scene(path, taken, said)


def _date_in(path: Path) -> str:
    """Return the date in the name of a file, ISO 8601.

    Raises
    ------
    ConfigError
        There is none.
    """
    for year, month, day, clock in _DATE.findall(path.name):
        text = f"{year}-{month}-{day}"
        try:
            datetime.fromisoformat(text)
        except ValueError:
            continue
        return f"{text}T{clock[:2]}:{clock[2:4]}:{clock[4:]}" if clock and clock[:2] < "24" else text
    raise ConfigError("nobody says when it was taken", path=path, advice="say it under scenes.dates, or in the name")


def require_files(scenes: list[Scene], base: Path) -> None:
    """Raise InputError where there are not two scenes to pair."""
    if len(scenes) < 2:
        message = f"a study needs two scenes at least, instead got {len(scenes)} that can be opened"
        raise InputError(message, path=base)


def as_plain(scene: Scene | BadScene, base: Path) -> dict[str, Any]:
    """Return what is known of a scene, for a report."""
    path = str(scene.path).removeprefix(f"{base}/")
    if isinstance(scene, BadScene):
        return {"path": path, "status": "failed", "error": scene.error}
    known = {name: value for name, value in asdict(scene.taken).items() if value not in (None, "")}
    return {"path": path, "status": "used"} | known | {"moment": utc(scene.taken.moment).isoformat()}
