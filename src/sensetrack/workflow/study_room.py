"""How much of the disk a study takes."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from sensetrack.errors import SenseTrackError
from sensetrack.workflow.memory import size_of
from sensetrack.workflow.study_tasks import TASK, Ledger

if TYPE_CHECKING:
    from sensetrack.workflow.study import Plan

_PER_POST = 60
"""Bytes of the layers of a post, not compressed."""


@dataclass(frozen=True)
class Room:
    """Bytes."""

    needed: int | None
    """Of what is left to do; None where nothing tells."""
    free: int

    def __str__(self) -> str:
        told = "not known before the first pair is done" if self.needed is None else f"about {size_of(self.needed)}"
        return f"room on disk: {told}; {size_of(self.free)} are free"


def room_of(plan: Plan) -> Room:
    """Estimate what the pairs that are left take: from those that are done, else from the size of a scene."""
    ledger = Ledger(plan.study.folder)
    there = next(path for path in (ledger.folder, *ledger.folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    each = _of_done(plan, ledger) or _of_scene(plan)
    return Room(0 if not plan.todo else None if each is None else int(each * len(plan.todo)), free)


def _of_done(plan: Plan, ledger: Ledger) -> float | None:
    sizes: list[int] = []
    for job in plan.jobs:
        if job.task.name in plan.known and len(sizes) < 100:
            try:
                values = json.loads((ledger.folder / job.task.target / TASK).read_text(encoding="utf-8"))
                sizes.append(sum(values["files"].values()))
            except (OSError, ValueError, KeyError):
                continue
    return fmean(sizes) if sizes else None


def _of_scene(plan: Plan) -> float | None:
    """Return the bytes of a pair by the posts of its first scene; None where that is a product, not a raster."""
    from sensetrack.files.raster import open_raster

    config = plan.study.config
    if config.slc is not None or config.prepare is not None:
        return None
    try:
        file = open_raster(plan.scenes[0].path)
        return float(math.prod(config.track.matcher().chips(file.grid.shape).shape) * _PER_POST)
    except SenseTrackError:
        return None
