"""What a program says it has written must be there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sensetrack.errors import EngineFailedError

if TYPE_CHECKING:
    from pathlib import Path


def require_output(file: Path, *, program: str, log: Path) -> Path:
    """Return a file that a program was to write, when it is there and holds something.

    Programs end with code 0 without having written anything, or with an empty file.

    Raises
    ------
    EngineFailedError
        It is missing, empty, or not a file.
    """
    problem = None
    if not file.is_file():
        problem = "is missing" if not file.exists() else "is not a file"
    elif file.stat().st_size == 0:
        problem = "is empty (0 bytes)"
    if problem is not None:
        raise EngineFailedError(
            f"{program} ended without an error, but its output {problem}", code=0, log=log, advice=f"see {log}"
        )
    return file
