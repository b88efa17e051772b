"""The jobs of a study: scenes that are prepared, pairs that are matched. Plain values: any process can do them."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensetrack.stack.network import scaled_search
from sensetrack.workflow.limits import Share
from sensetrack.workflow.study_lock import only_fetching
from sensetrack.workflow.study_tasks import Keys, Ledger, Task, carry_out

if TYPE_CHECKING:
    from sensetrack.stack.network import ScenePair
    from sensetrack.workflow.config import TrackConfig
    from sensetrack.workflow.slc_config import SlcConfig
    from sensetrack.workflow.study_config import Study
    from sensetrack.workflow.study_scenes import Scene
    from sensetrack.workflow.study_tasks import Outcome

PAIRS, SCENES = "pairs", "scenes"
FETCHED = "fetched"
"""Folder, below that of the study, of orbits and elevation models that were fetched for its pairs."""
_NO_RESULT_DEPENDS_ON = ("max_memory", "fetch")


@dataclass(frozen=True, slots=True)
class Job:
    """One scene or pair, and how it is to be done."""

    task: Task
    folder: str
    """Of the study."""
    kind: str
    """prepare, track or slc."""
    inputs: tuple[str, ...]
    """The scene, or reference and secondary; a folder of a prepared scene stands for what is in it."""
    config: dict[str, Any]
    level: int = logging.INFO
    """Of what its log says."""


def do_job(job: Job, share: Share) -> Outcome:
    """Do one job with its share of the machine; see `sensetrack.workflow.study_tasks.carry_out`."""
    return carry_out(job.task, job.folder, partial(_WORK[job.kind], job, share), job.level)


@dataclass(frozen=True, eq=False)
class Work:
    """What the jobs of a study have in common."""

    study: Study
    level: int = logging.INFO
    """Of what the log of each says."""
    keys: Keys = field(default_factory=Keys)
    prepared: dict[Path, Job] = field(default_factory=dict)
    """Jobs of scenes, by their paths."""

    def scene(self, scene: Scene) -> Job | None:
        """Return how a scene is prepared; None where scenes are tracked as they are."""
        config = self.study.config.prepare
        if config is None:
            return None
        if scene.path not in self.prepared:
            values = config.to_dict()
            key = self.keys.of(["prepare", self.study.local(values)], [scene.path, *_named_in(values)])
            task = Task(scene.name, f"{SCENES}/{scene.name}", key)
            self.prepared[scene.path] = self._job(task, "prepare", (str(scene.path),), values)
        return self.prepared[scene.path]

    def pair(self, name: str, pair: ScenePair, ends: tuple[Scene, Scene]) -> Job:
        """Return how a pair is matched.

        Parameters
        ----------
        name : str
            Of its folder.
        pair : ScenePair
        ends : (Scene, Scene)
            Its scenes.
        """
        study, kind = self.study, "track" if self.study.config.slc is None else "slc"
        values = _matching(study, pair, ends)
        told = {name: value for name, value in values.items() if name not in _NO_RESULT_DEPENDS_ON}
        inputs: list[Path | str] = []
        places = []
        for scene in ends:
            job = self.scene(scene)
            inputs.append(scene.path if job is None else job.task.key)
            places.append(str(scene.path if job is None else study.folder / job.task.target))
        key = self.keys.of([kind, study.local(told)], [*inputs, *_named_in(values)])
        return self._job(Task(name, f"{PAIRS}/{name}", key), kind, tuple(places), values)

    def _job(self, task: Task, kind: str, inputs: tuple[str, ...], values: dict[str, Any]) -> Job:
        return Job(task, str(self.study.folder), kind, inputs, values, self.level)


def _matching(study: Study, pair: ScenePair, ends: tuple[Scene, Scene]) -> dict[str, Any]:
    """Return the settings of the matching of a pair, those included that an algorithm takes where nothing is said."""
    if study.config.slc is not None:
        return _radar(study.config.slc, pair, study).to_dict()
    config = _dated(study.config.track, pair, ends, study)
    algorithm, preprocessor = config.matcher().to_dict(), config.preprocessor().to_dict()
    return config.to_dict() | {"parameters": algorithm, "preprocess_parameters": preprocessor}


def _dated(config: TrackConfig, pair: ScenePair, ends: tuple[Scene, Scene], study: Study) -> TrackConfig:
    """Return the settings with the search of a pair, and its dates where the files do not say them."""
    changes: dict[str, Any] = {}
    days = study.config.pairs.search_days
    base = getattr(config.matcher(), "search", None)
    if days is not None and base is not None:
        changes["parameters"] = config.parameters | {"search": list(scaled_search(base, pair.days, days))}
    for which, scene in zip(("reference", "secondary"), ends, strict=True):
        if not scene.said:
            changes[f"{which}_date"] = scene.taken.moment.isoformat()
    return config.from_dict(config.to_dict() | changes)


def _radar(config: SlcConfig, pair: ScenePair, study: Study) -> SlcConfig:
    days = study.config.pairs.search_days
    if days is None:
        return config
    return config.from_dict(config.to_dict() | {"search": list(scaled_search(config.search, pair.days, days))})


def _named_in(values: dict[str, Any]) -> list[Path]:
    """Return the files that settings name: a result depends on them, too."""
    found = []
    for value in values.values():
        if isinstance(value, dict):
            found += _named_in(value)
        elif isinstance(value, str) and Path(value.partition("|")[0]).is_absolute():
            found.append(Path(value.partition("|")[0]))
    return [path for path in found if path.exists()]


def _prepare(job: Job, share: Share, part: Path) -> dict[str, Any]:
    from sensetrack.workflow.prepare import prepare

    values = dict(job.config)
    radar = values.pop("radar") or {}
    record = prepare(job.inputs[0], part, radar=radar, workers=share.workers, **values)
    _save(part / "prepare.json", record)
    return {"measured_share": record["measured_share"]}


def _track(job: Job, share: Share, part: Path) -> dict[str, Any]:
    from sensetrack.workflow.config import TrackConfig
    from sensetrack.workflow.memory import within
    from sensetrack.workflow.pipeline import run_track

    reference, secondary = (_raster_of(job, place) for place in job.inputs)
    config = within(TrackConfig.from_dict(job.config), share.beside_libraries)
    record = run_track(reference, secondary, part, config, workers=share.workers)
    bias = record["bias"]
    return _told(record) | {"stable_nmad_px": None if bias is None else list(bias["nmad_after"])}


def _raster_of(job: Job, place: str) -> str:
    """Return the raster in the folder of a prepared scene; anything else is tracked as it is."""
    path = Path(place)
    if path.parent != Ledger(Path(job.folder)).folder / SCENES:
        return place
    return str(next(path.glob("*.tif"), path))


def _slc(job: Job, share: Share, part: Path) -> dict[str, Any]:
    from sensetrack.workflow.memory import within
    from sensetrack.workflow.slc import run_slc
    from sensetrack.workflow.slc_config import SlcConfig

    config, ledger = within(SlcConfig.from_dict(job.config), share.memory), Ledger(Path(job.folder))
    reference, secondary = job.inputs
    if config.fetch:  # for all pairs into one place
        from sensetrack.workflow.slc_fetch import with_fetched

        with only_fetching(ledger.hidden):
            config = with_fetched(reference, secondary, config, ledger.folder / FETCHED)
        config = config.model_copy(update={"fetch": False})
    kept = ledger.hidden / "bursts" / job.task.name
    record = run_slc(reference, secondary, part, config, kept=kept, workers=share.workers)
    shutil.rmtree(kept, ignore_errors=True)
    return _told(record)


def _told(record: dict[str, Any]) -> dict[str, Any]:
    """Return what a report says of a pair."""
    numbers = record["statistics"]
    return {
        "posts": numbers.get("posts"),
        "good_share": numbers.get("good_share"),
        "median_offset_px": numbers.get("median_offset_px"),
        "warnings": len(record["warnings"]),
    }


def _save(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values, indent=2, default=str) + "\n", encoding="utf-8")


_WORK = {"prepare": _prepare, "track": _track, "slc": _slc}
