"""A study: from one file of settings to scenes, pairs, time series and a report; stopped anywhere, it goes on there."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sensetrack.errors import ConfigError, OutputError
from sensetrack.stack.network import network, passes_of
from sensetrack.workflow.jobs import Lost, here, levels, run_jobs
from sensetrack.workflow.study_jobs import PAIRS, SCENES, Work, do_job
from sensetrack.workflow.study_lock import only_run
from sensetrack.workflow.study_report import Report
from sensetrack.workflow.study_scenes import find_scenes, require_files
from sensetrack.workflow.study_tasks import TASK, Ledger, Outcome, Task, carry_out

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from pathlib import Path

    from sensetrack.stack.network import ScenePair
    from sensetrack.workflow.jobs import Scheduling
    from sensetrack.workflow.study_config import Study
    from sensetrack.workflow.study_jobs import Job
    from sensetrack.workflow.study_scenes import BadScene, Scene

    Advance = Callable[[int, int], None]

log = logging.getLogger(__name__)

STACK = "stack"
_LEFT = ("run.json", "quicklook.png", TASK)
"""What is left of a pair whose rasters are not kept."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What there is to do."""

    work: Work
    scenes: list[Scene]
    bad: list[BadScene]
    frames: list[str]
    """Scenes that are further frames of a pass, and not used."""
    pairs: dict[str, ScenePair]
    """By name."""
    jobs: list[Job]
    """Of all pairs, or of those of a shard."""
    known: dict[str, Outcome]
    """Of pairs that are done, or that fail for what they are."""
    stacked: Outcome | None
    """Of the time series, where they are done."""

    @property
    def study(self) -> Study:
        """That it is of."""
        return self.work.study

    @property
    def todo(self) -> list[Job]:
        """Pairs that are to be matched."""
        return [job for job in self.jobs if job.task.name not in self.known]

    @property
    def deletions(self) -> list[Path]:
        """Files that are going to be removed when all is done: of results that nobody needs any more, and no others."""
        keep, ledger = self.study.config.keep, Ledger(self.study.folder)
        if keep == "all":
            return []
        gone = [path for folder in self.unneeded for path in ledger.files_of(folder)]
        if keep == "stack":
            whole = [ledger.folder / job.task.target for job in self.jobs]
            gone += [path for folder in whole for path in ledger.files_of(folder) if path.name not in _LEFT]
        return gone

    @property
    def unneeded(self) -> list[Path]:
        """Folders of prepared scenes, and of pairs that are not of this study any more."""
        folder = self.study.folder
        scenes = [path.parent for path in sorted(folder.glob(f"{SCENES}/*/{TASK}"))]
        pairs = [path.parent for path in sorted(folder.glob(f"{PAIRS}/*/{TASK}"))]
        return scenes + [path for path in pairs if path.name not in self.pairs]


def plan_study(
    study: Study, *, shard: tuple[int, int] | None = None, retry: bool = False, fetch: bool = False,
    level: int = logging.INFO, cache: bool = True,
) -> Plan:  # fmt: skip
    """Find out what there is to do; see `run_study`. Nothing is written but what is remembered of the scenes."""
    from sensetrack.workflow.study_fetch import scenes_of

    ledger = Ledger(study.folder)
    if fetch and study.config.slc is not None:
        radar = study.config.slc.model_copy(update={"fetch": True})
        study = replace(study, config=study.config.model_copy(update={"slc": radar}))
    keep = ledger.hidden / "scenes.json" if cache and ledger.hidden.is_dir() else None
    scenes, bad = find_scenes(study, scenes_of(study, allowed=fetch), keep)
    require_files(scenes, study.base)
    used = {scene.taken for scene in scenes}
    frames = sorted(one.name for one in used - set(passes_of(used)))
    pairs = _named(network(used, study.config.pairs))
    by_name = {scene.taken.name: scene for scene in scenes}
    work = Work(study, level)
    jobs = [
        work.pair(name, pair, (by_name[pair.reference.name], by_name[pair.secondary.name]))
        for name, pair in pairs.items()
    ]
    known = _known(ledger, jobs, retry=retry)
    task = _stack_task(work, jobs, known) if len(known) == len(jobs) else None
    stacked = None if task is None else ledger.done(task)
    if stacked is None:  # else rasters of pairs that are gone are not missed
        known = {name: outcome for name, outcome in known.items() if not outcome.removed}
    mine = jobs if shard is None else jobs[shard[0] - 1 :: shard[1]]
    return Plan(work, scenes, bad, frames, pairs, mine, known, stacked)


def run_study(
    study: Study,
    *,
    shard: tuple[int, int] | None = None,
    retry: bool = False,
    fetch: bool = False,
    scheduling: Scheduling | None = None,
    advance: Advance | None = None,
    cancelled: Callable[[], bool] | None = None,
    level: int = logging.INFO,
) -> Report:
    """Do what is left to do of a study.

    What is done already, from the same inputs with the same settings, is not done again; what depends on something
    that changed is. A scene or pair that fails is written down, and the others go on.

    Parameters
    ----------
    study : Study
        See `sensetrack.workflow.study_config.read_study`.
    shard : (int, int), optional
        Number of this part, from 1, and how many there are: only every so many-th pair is matched, and time series are
        left to a last run without it.
    retry : bool
        Try pairs again that failed for what they are.
    fetch : bool
        Allow the network.
    scheduling : Scheduling, optional
        Where scenes and pairs are worked on; by default as the study says.
    advance : callable, optional
        Called with (done, total) pairs.
    cancelled : callable, optional
        Asked after each pair: True ends the run as an interrupt does. An exception that a signal raises may get lost
        where libraries call back; this one does not.
    level : int
        Of what the log of each pair says.

    Raises
    ------
    ConfigError, InputError
        The study cannot begin.
    OutputError
        Results cannot be written any more.
    """
    ledger = Ledger(study.folder)
    with only_run(ledger.hidden, shard):
        ledger.prepare()
        plan = plan_study(study, shard=shard, retry=retry, fetch=fetch, level=level)
        for name in plan.frames:
            log.warning("%s: is a further frame of a pass and not used", name)
        outcomes = dict(plan.known)
        scheduling = scheduling or study.config.scheduling
        stop = cancelled or _never
        prepared = _prepared(plan, ledger, scheduling, stop)
        ready, lost = _with_scenes(plan, prepared)
        outcomes |= lost
        if plan.todo:
            log.info("%d of %d pairs to match", len(plan.todo), len(plan.jobs))
        if advance is not None and ready:
            advance(0, len(ready))
        with closing(_matched(ready, scheduling, stop)) as finished:
            for number, outcome in enumerate(finished, start=1):
                outcomes[outcome.name] = outcome
                if outcome.status == "failed":
                    log.warning("%s: %s", outcome.name, outcome.error)
                if advance is not None:
                    advance(number, len(ready))
        if stop():
            raise KeyboardInterrupt
        stacked = plan.stacked if shard is None else None
        if shard is None and study.config.stack is not None and stacked is None:
            stacked = _stack(plan, outcomes, scheduling, level)
        report = Report.of(plan, outcomes, prepared, stacked)
        report.write(ledger.folder, shard)
        ledger.sweep()
        if shard is None and (stacked is None or stacked.status == "done"):
            _tidy(plan, ledger)
    return report


def _never() -> bool:
    return False


def _matched(jobs: Sequence[Job], scheduling: Scheduling, stop: Callable[[], bool]) -> Generator[Outcome]:
    """Do jobs; those that are too large for their share of the memory again, one at a time with all of it."""
    plan, large = levels(len(jobs), scheduling), set()
    shared = plan.at_once > 1 and plan.share.memory is not None
    with closing(_done(jobs, scheduling, stop)) as finished:
        for outcome in finished:
            if outcome.short and shared:
                large.add(outcome.name)
            else:
                yield outcome
    if large:
        log.info("%d pairs need more memory than their share, and are matched one at a time", len(large))
        again = [job for job in jobs if job.task.name in large]
        with closing(_done(again, scheduling.changed({"at_once": 1}), stop)) as finished:
            yield from finished


def _done(jobs: Sequence[Job], scheduling: Scheduling, stop: Callable[[], bool]) -> Generator[Outcome]:
    """Do jobs, and return what became of each in the order in which they end."""
    with closing(run_jobs(do_job, jobs, scheduling, cancelled=stop)) as found:
        for number, outcome in found:
            yield _failed(jobs[number], outcome) if isinstance(outcome, Lost) else _slim(jobs[number], outcome)


def _slim(job: Job, outcome: Outcome) -> Outcome:
    """Return the same with the texts that all have in common: from another process, each comes with its own."""
    numbers = {sys.intern(name): value for name, value in outcome.numbers.items()}
    return replace(outcome, name=job.task.name, begun=sys.intern(outcome.begun), numbers=numbers)


def _failed(job: Job, lost: Lost) -> Outcome:
    return Outcome(job.task.name, "failed", error=lost.cause, exit_code=5)


def _named(pairs: list[ScenePair]) -> dict[str, ScenePair]:
    """Name pairs by their dates; where these are not enough, by tracks or scenes, too."""
    count = Counter(pair.name for pair in pairs)
    tracks = Counter((pair.name, pair.reference.track) for pair in pairs)
    named = {}
    for pair in pairs:
        name = pair.name
        if count[name] > 1:
            alone = tracks[name, pair.reference.track] == 1 and pair.reference.track is not None
            name += f"-track{pair.reference.track}" if alone else f"-{pair.reference.name}-{pair.secondary.name}"
        named[name] = pair
    return named


def _known(ledger: Ledger, jobs: Iterable[Job], *, retry: bool) -> dict[str, Outcome]:
    found = {}
    for job in jobs:
        outcome = ledger.done(job.task) or (None if retry else ledger.failed(job.task))
        if outcome is not None:
            found[job.task.name] = outcome
    return found


def _stack_task(work: Work, jobs: Iterable[Job], outcomes: dict[str, Outcome]) -> Task | None:
    """Return the task of the time series; None where there is none to make."""
    study, config = work.study, work.study.config.stack
    keys = [job.task.key for job in jobs if (one := outcomes.get(job.task.name)) and one.status == "done"]
    if config is None or not keys:
        return None
    named = [config.stable_ground, config.unstable_ground, config.points if isinstance(config.points, str) else None]
    files = [study.base / name.partition("|")[0] for name in named if name]
    return Task(STACK, STACK, work.keys.of([STACK, study.local(config.to_dict())], [*keys, *files]))


def _prepared(plan: Plan, ledger: Ledger, scheduling: Scheduling, stop: Callable[[], bool]) -> dict[str, Outcome]:
    """Prepare the scenes of the pairs that are to be matched; return what became of each, by its name."""
    if plan.study.config.prepare is None:
        return {}
    wanted = {end.name for job in plan.todo for end in _ends(plan, job)}
    found, jobs = {}, []
    for scene in plan.scenes:
        job = plan.work.scene(scene) if scene.name in wanted else None
        if job is None:
            continue
        done = ledger.done(job.task) or ledger.failed(job.task)
        if done is None:
            jobs.append(job)
        else:
            found[scene.name] = done
    if jobs:
        log.info("%d scenes to prepare", len(jobs))
    with closing(_done(jobs, scheduling, stop)) as finished:
        for outcome in finished:
            found[outcome.name] = outcome
            level = logging.INFO if outcome.status == "done" else logging.WARNING
            log.log(level, "%s: %s", outcome.name, outcome.error or "prepared")
    return found


def _ends(plan: Plan, job: Job) -> tuple[Any, Any]:
    pair = plan.pairs[job.task.name]
    return pair.reference, pair.secondary


def _with_scenes(plan: Plan, prepared: dict[str, Outcome]) -> tuple[list[Job], dict[str, Outcome]]:
    """Return the pairs whose scenes are there, and what becomes of the others."""
    ready, lost = [], {}
    for job in plan.todo:
        bad = [one for end in _ends(plan, job) if (one := prepared.get(end.name)) and one.status == "failed"]
        if bad:
            lost[job.task.name] = Outcome(job.task.name, "failed", error=bad[0].error, exit_code=bad[0].exit_code)
        else:
            ready.append(job)
    return ready, lost


def _stack(plan: Plan, outcomes: dict[str, Outcome], scheduling: Scheduling, level: int) -> Outcome | None:
    """Make the time series of the pairs that are done."""
    from sensetrack.workflow.memory import within
    from sensetrack.workflow.stacking import run_stack

    study, config = plan.study, plan.study.config.stack
    task = _stack_task(plan.work, plan.jobs, outcomes)
    if task is None or config is None:
        return None
    share = here(scheduling)
    ledger = Ledger(study.folder)
    folders = [ledger.folder / job.task.target for job in plan.jobs if outcomes[job.task.name].status == "done"]
    done = ledger.done(task)
    if done is not None:
        return done
    log.info("time series of %d pairs", len(folders))

    def work(part: Path) -> dict[str, Any]:
        record = run_stack(folders, part, within(config, share.beside_libraries), workers=share.workers)
        return {"statistics": record.get("statistics")}

    outcome = carry_out(task, str(study.folder), work, level)
    if outcome.status == "failed":
        log.warning("time series: %s", outcome.error)
    return outcome


def _tidy(plan: Plan, ledger: Ledger) -> None:
    """Remove what is not to be kept."""
    keep = plan.study.config.keep
    try:
        for folder in plan.unneeded if keep != "all" else ():
            ledger.remove(folder)
        for job in plan.jobs if keep == "stack" else ():
            ledger.forget(job.task, _LEFT)
    except OSError as error:
        raise OutputError(f"cannot be removed ({error.strerror or error})", path=ledger.folder) from error


def shard_of(text: str) -> tuple[int, int]:
    """Read ``i/n``, counted from 1.

    Raises
    ------
    ConfigError
        It is not that.
    """
    first, _, last = text.partition("/")
    if first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last):
        return int(first), int(last)
    raise ConfigError(f"a shard must be i/n such as 2/8, from 1, instead got {text[:40]!r}")
