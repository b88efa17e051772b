"""What became of a study: one line for each pair and scene, as JSON and CSV, and the record of the whole."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sensetrack.errors import BatchError, one_line
from sensetrack.files.atomic import write_whole
from sensetrack.workflow.record import versions
from sensetrack.workflow.study_scenes import as_plain

if TYPE_CHECKING:
    from sensetrack.workflow.study import Plan
    from sensetrack.workflow.study_scenes import BadScene, Scene
    from sensetrack.workflow.study_tasks import Outcome

COLUMNS = (
    "pair", "reference", "secondary", "days", "status", "posts", "good_share", "median_offset_row_px",
    "median_offset_col_px", "stable_nmad_row_px", "stable_nmad_col_px", "seconds", "error",
)  # fmt: skip
_FORMULA = "=+-@\t\r"
"""What a cell must not begin with: spreadsheets would run it."""
_NAMED = 3
"""Failures that an error names; the report has all."""


@dataclass(frozen=True, eq=False)
class Report:
    """Plain values, and what they come to."""

    scenes: list[dict[str, Any]]
    pairs: list[dict[str, Any]]
    """By `COLUMNS`."""
    stack: dict[str, Any] | None
    """Outcome of the time series; None where there is none."""
    configuration: dict[str, Any]
    matched: int = 0
    """Pairs that were matched in this run; the others were done before."""

    @classmethod
    def of(
        cls, plan: Plan, outcomes: dict[str, Outcome], prepared: dict[str, Outcome], stacked: Outcome | None
    ) -> Self:
        """Make the report of a run."""
        study = plan.study
        found: list[Scene | BadScene] = [*plan.scenes, *plan.bad]
        scenes = [as_plain(scene, study.base) for scene in found]
        for row in scenes:
            done = prepared.get(row.get("name", ""))
            if row.get("name") in plan.frames:
                row["status"] = "not used: a further frame of a pass"
            elif done is not None and done.status == "failed":
                row |= {"status": "failed", "error": done.error}
        pairs = [_row(job.task.name, plan, outcomes.get(job.task.name)) for job in plan.jobs]
        stack = None if stacked is None else asdict(stacked)
        return cls(scenes, pairs, stack, study.local(study.config.to_dict()), len(plan.todo))

    @property
    def failures(self) -> list[str]:
        """Every scene, pair or series that failed, with the reason."""
        scenes = [row["error"] for row in self.scenes if row["status"] == "failed"]
        pairs = [f"{row['pair']}: {row['error']}" for row in self.pairs if row["status"] == "failed"]
        series = [f"time series: {self.stack['error']}"] if self.stack and self.stack["status"] == "failed" else []
        return scenes + pairs + series

    @property
    def exit_code(self) -> int:
        """0, or 4 where something failed."""
        return BatchError.exit_code if self.failures else 0

    @property
    def summary(self) -> str:
        """One line for a user."""
        done = sum(row["status"] == "done" for row in self.pairs)
        text = f"{done} of {len(self.pairs)} pairs done"
        return f"{text}, {self.matched} of them in this run" if self.matched else f"{text}; nothing was left to match"

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "summary": self.summary, "exit_code": self.exit_code, "failures": self.failures, "scenes": self.scenes,
            "pairs": self.pairs, "stack": self.stack,
        }  # fmt: skip

    def write(self, folder: Path, shard: tuple[int, int] | None = None) -> None:
        """Write ``report.json``, ``report.csv`` and ``study.json``; those of a shard are called after it."""
        name = _called(shard)
        write_whole(folder / f"{name}.json", json.dumps(self.as_dict(), indent=2, default=str) + "\n")
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(COLUMNS)
        lines.writerows([_cell(row[name]) for name in COLUMNS] for row in self.pairs)
        write_whole(folder / f"{name}.csv", text.getvalue())
        if shard is None:
            record = {"configuration": self.configuration, "versions": versions()}
            write_whole(folder / "study.json", json.dumps(record, indent=2, default=str) + "\n")

    def require_success(self, folder: Path, shard: tuple[int, int] | None = None) -> None:
        """Raise BatchError where something failed."""
        failed = self.failures
        if not failed:
            return
        named = "; ".join(failed[:_NAMED])
        more = f"; and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        raise BatchError(f"{len(failed)} failed: {named}{more}", path=folder / f"{_called(shard)}.json")


def _called(shard: tuple[int, int] | None) -> str:
    """Return the name of the files of a report, without ending."""
    return "report" if shard is None else "report-{}-of-{}".format(*shard)


def _row(name: str, plan: Plan, outcome: Outcome | None) -> dict[str, Any]:
    pair = plan.pairs[name]
    row = dict.fromkeys(COLUMNS) | {
        "pair": name, "reference": pair.reference.name, "secondary": pair.secondary.name, "days": round(pair.days, 3),
        "status": "left",
    }  # fmt: skip
    if outcome is None:
        return row
    numbers = outcome.numbers
    row |= {"status": outcome.status, "seconds": outcome.seconds, "error": outcome.error}
    row |= {key: numbers.get(key) for key in ("posts", "good_share")}
    for key, source in (("median_offset", "median_offset_px"), ("stable_nmad", "stable_nmad_px")):
        row[f"{key}_row_px"], row[f"{key}_col_px"] = numbers.get(source) or (None, None)
    return row


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else one_line(str(value))
    return f"'{text}" if not isinstance(value, float | int) and text[:1] in _FORMULA else text
