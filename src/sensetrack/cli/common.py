"""What several commands share: options, progress, printing."""

from __future__ import annotations

import json
import logging
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cyclopts import Token

log = logging.getLogger("sensetrack.cli")

_WORTH = 5.0
"""Seconds that are left from which on they are said."""
SHARED = Group("Shared options", sort_key=100)


def whole(_kind: type, tokens: Sequence[Token]) -> int:
    """Read a whole number; 1.5 is none."""
    return int(tokens[0].value)


Output = Annotated[Path, Parameter(name=["--output", "-o"], help="Folder of the results; made where missing.")]
Overwrite = Annotated[
    bool,
    Parameter(negative="", group=SHARED, help="Replace results that exist; otherwise they are an error."),
]
Workers = Annotated[
    int | None,
    Parameter(
        group=SHARED, converter=whole, help="Threads; default: the cores there are. Results do not depend on it."
    ),
]
Quiet = Annotated[bool, Parameter(negative="", group=SHARED, help="Say nothing but errors.")]
Verbose = Annotated[bool, Parameter(negative="", group=SHARED, help="Say more.")]
Debug = Annotated[bool, Parameter(negative="", group=SHARED, help="Say everything; errors with their traceback.")]
Json = Annotated[bool, Parameter(name="--json", negative="", group=SHARED, help="Print JSON.")]


def echo(text: str = "") -> None:
    """Print data to stdout."""
    print(text)  # noqa: T201


def echo_json(value: Any) -> None:
    """Print JSON to stdout."""
    echo(json.dumps(value, indent=2, default=str))


def _about(seconds: float) -> str:
    """Say a time in the largest unit of which there are two."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"about {seconds / size:.0f} {unit}"
    return f"about {seconds:.0f} s"


@contextmanager
def progress(title: str, *, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Yield a callback (done, total) that draws a bar on a terminal, and a line every quarter elsewhere."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
    else:
        said, began = 0, time.monotonic()

        def line(done: int, total: int) -> None:
            nonlocal said, began
            if done == 0:
                began = time.monotonic()
            quarter = 4 * done // total
            if total >= 8 and quarter > said:
                said = quarter
                left = (time.monotonic() - began) / done * (total - done)
                rest = f", {_about(left)} left" if left >= _WORTH else ""
                log.info("%s: %d %%%s", title, 25 * quarter, rest)

        yield line
