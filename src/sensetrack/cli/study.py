"""`sensetrack run`: a whole study from one file."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from sensetrack.cli import interrupted
from sensetrack.cli.common import SHARED, Debug, Json, Quiet, Verbose, Workers, echo, echo_json, progress
from sensetrack.cli.track import read_setting

if TYPE_CHECKING:
    from sensetrack.workflow.study_config import FetchConfig, Study

log = logging.getLogger(__name__)

WORK = Group("What is done", sort_key=1)


def run(
    study: Annotated[Path, Parameter(help="The file of the study, YAML or JSON; paths in it count from where it is.")],
    /,
    *,
    init: Annotated[
        Literal["optical", "sentinel1", "sentinel2", "slc"] | None,
        Parameter(group=WORK, help="Write that file, with every setting explained, for one use; nothing else is done."),
    ] = None,
    dry_run: Annotated[
        bool,
        Parameter(
            negative="",
            group=WORK,
            help="List what would be done, the room it takes, and deletions; with --fetch, what would be fetched.",
        ),
    ] = False,
    set_: Annotated[
        list[str] | None,
        Parameter(
            name="--set", negative="", group=WORK, help="Any setting: key=value, such as track.parameters.chip=32."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], group=WORK, help="Folder of the results. [default: what the file says]"),
    ] = None,
    keep: Annotated[
        Literal["all", "pairs", "stack"] | None,
        Parameter(
            group=WORK,
            help="What is left when all is done: all; pairs, without prepared scenes; stack, without the rasters of "
            "pairs. [default: what the file says, else all]",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        Parameter(
            group=WORK,
            help="Match one part of the pairs, i/n such as 2/8, beside others (job arrays); the last run goes without.",
        ),
    ] = None,
    retry: Annotated[
        bool, Parameter(negative="", group=WORK, help="Try pairs again that failed for what their scenes are.")
    ] = False,
    fetch: Annotated[
        bool, Parameter(negative="", group=SHARED, help="Allow the network, for scenes, orbits and elevation.")
    ] = False,
    overwrite: Annotated[
        bool, Parameter(negative="", group=SHARED, help="Replace the file that --init writes.")
    ] = False,
    executor: Annotated[
        Literal["threads", "processes", "dask", "auto"] | None,
        Parameter(
            group=SHARED,
            help="Where pairs are matched: in threads of this process, processes of their own, or on Dask; auto takes "
            "processes for many pairs and threads for few. [default: what the file says, else threads]",
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        Parameter(
            group=SHARED, help="Of Dask: local, tcp://host:port, or its scheduler.json; implies --executor dask."
        ),
    ] = None,
    at_once: Annotated[
        int | None,
        Parameter(
            group=SHARED,
            help="Pairs at a time, at most; more take more memory. [default: 1 in threads, else as many as workers]",
        ),
    ] = None,
    max_memory: Annotated[
        str | None,
        Parameter(
            group=SHARED,
            help="Memory of all pairs on this machine together, such as 8GB: fewer at a time, and fewer threads of "
            "each, keep within it. [default: what each pair may take by its settings]",
        ),
    ] = None,
    workers: Workers = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> int:
    """Do a whole study: scenes, pairs, matching, time series, pictures, a report; stopped anywhere, it goes on there.

    What is done from the same inputs with the same settings is not done again. Writes pairs/, stack/, logs/,
    report.json, report.csv and study.json. A pair that fails is named in the report and the others go on; the exit
    code is 4 then.
    """
    from sensetrack.workflow.study_config import read_study

    if init is not None:
        from sensetrack.workflow.study_samples import write_sample

        write_sample(study, init, overwrite=overwrite)
        if not quiet:
            echo(f"written to {study}; change it and say: sensetrack run {study}")
        return 0
    changes: dict[str, Any] = dict(read_setting(text) for text in set_ or [])
    changes |= {} if output is None else {"output": str(output.absolute())}
    changes |= {} if keep is None else {"keep": keep}
    found = read_study(study, changes)
    level = logging.DEBUG if verbose or debug else logging.INFO
    from sensetrack.workflow.study import run_study, shard_of

    part = None if shard is None else shard_of(shard)
    if dry_run:
        if fetch and found.config.fetch is not None:
            _show_search(found.config.fetch, json=json)
        else:
            _dry_run(found, part, retry=retry, json=json)
        return 0
    where = {"executor": executor, "scheduler": scheduler, "workers": workers, "at_once": at_once,
             "max_memory": max_memory}  # fmt: skip
    scheduling = found.config.scheduling.changed(where)
    with progress("pairs", quiet=quiet) as advance:
        report = run_study(
            found,
            shard=part,
            retry=retry,
            fetch=fetch,
            scheduling=scheduling,
            advance=advance,
            cancelled=interrupted,
            level=level,
        )
    if json:
        echo_json(report.as_dict())
    elif not quiet:
        echo(report.summary)
        echo(f"written to {found.folder}")
    report.require_success(found.folder, part)
    return 0


def _show_search(query: FetchConfig, *, json: bool) -> None:
    """Say what would be fetched first."""
    from sensetrack.workflow.study_fetch import searched

    found = searched(query)
    if json:
        echo_json({"fetch": found.as_dict()})
        return
    echo(f"{len(found.scenes)} scenes to fetch, {found.size / 1e9:.1f} GB as far as the archive says")
    for scene in found.scenes:
        echo(f"  {scene.start:%Y-%m-%d %H:%M}  {scene.name}")
    echo("without --fetch, --dry-run lists what is done with the scenes that are there")


def _dry_run(study: Study, part: tuple[int, int] | None, *, retry: bool, json: bool) -> None:
    """Say what would be done."""
    from sensetrack.workflow.study import plan_study
    from sensetrack.workflow.study_room import room_of

    plan = plan_study(study, shard=part, retry=retry, cache=False)
    room = room_of(plan)
    failed = [one for one in plan.known.values() if one.status == "failed"]
    if json:
        echo_json(
            {
                "scenes": [scene.name for scene in plan.scenes],
                "bad_scenes": {str(one.path): one.error for one in plan.bad},
                "pairs": len(plan.jobs),
                "match": [job.task.name for job in plan.todo],
                "failed_before": [one.name for one in failed],
                "stack": None if study.config.stack is None else ("done" if plan.stacked else "make"),
                "bytes": room.needed,
                "bytes_free": room.free,
                "delete": [str(path) for path in plan.deletions],
            }
        )
        return
    echo(f"{len(plan.scenes)} scenes, {len(plan.bad)} that cannot be used")
    for one in plan.bad:
        echo(f"  {one.error}")
    failed_before = f", {len(failed)} failed before" if failed else ""
    echo(f"{len(plan.jobs)} pairs: {len(plan.todo)} to match, {len(plan.jobs) - len(plan.todo)} known{failed_before}")
    for job in plan.todo:
        echo(f"  {job.task.name}  {plan.pairs[job.task.name].days:g} days")
    if study.config.stack is not None and part is None:
        echo("time series: nothing to do" if plan.stacked else "time series: to make")
    echo(str(room))
    echo(f"{len(plan.deletions)} files and folders to remove at the end (--keep {study.config.keep})")
    for path in plan.deletions:
        echo(f"  {path}")
