"""SNAP's `gpt`: where it is, which one it is, and what it means when it fails."""

from __future__ import annotations

import functools
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sensetrack.errors import EngineFailedError, EngineNotFoundError
from sensetrack.external import find_program, run_program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OLDEST = (9, 0)
"""The first version with everything that our graphs use."""
_PLACES = {
    "nt": (
        r"C:\Program Files\esa-snap\bin", r"C:\Program Files\snap\bin", r"~\AppData\Local\Programs\esa-snap\bin",
        r"~\esa-snap\bin",
    ),
    "posix": (
        "~/esa-snap/bin", "~/snap/bin", "/usr/local/esa-snap/bin", "/usr/local/snap/bin", "/opt/esa-snap/bin",
        "/opt/snap/bin", "/Applications/esa-snap/bin", "/Applications/snap/bin",
    ),
}  # fmt: skip
_INSTALL = "install SNAP (step.esa.int) or set SNAP_HOME to its folder"
_VERSION = re.compile(r"(?:SNAP\s+)?(?:Release\s+)?version:?\s+v?(\d+)\.(\d+)(?:\.(\d+))?", re.IGNORECASE)
_ERROR = re.compile(r"^(?:SEVERE|Error|ERROR|Exception|Caused by|java\.)\b.{0,300}", re.MULTILINE)
_FALLBACK = re.compile(r"^.{0,40}\bWARN\w*\b.{0,200}\borbit.{0,200}$", re.MULTILINE | re.IGNORECASE)
_END = 256 * 1024
"""Bytes at the end of a log that are searched for errors."""
_REASONS = (
    (re.compile(r"OutOfMemoryError|GC overhead|Java heap space", re.IGNORECASE), "give SNAP more --memory"),
    (
        re.compile(
            r"no valid orbit file|orbit file.{0,60}not found|unable to (find|retrieve).{0,40}orbit", re.IGNORECASE
        ),
        "fetch the orbit file, or wait until it is published (about 20 days)",
    ),
    (
        re.compile(r"no intersection|outside of (the )?product|empty region|not intersect", re.IGNORECASE),
        "the area of interest lies outside the product",
    ),
)


def find_gpt(environ: Mapping[str, str] | None = None, platform: str = os.name) -> Path:
    """Return the path of SNAP's `gpt`: in SNAP_HOME, on the PATH, or in the usual places.

    Raises
    ------
    EngineNotFoundError
        It is in none of them.
    """
    return find_program(
        "gpt", variables=("SNAP_HOME",), places=_PLACES.get(platform, _PLACES["posix"]), advice=_INSTALL,
        environ=environ, platform=platform,
    )  # fmt: skip


def gpt_version(gpt: str | os.PathLike[str], *, timeout: float = 120) -> tuple[int, ...]:
    """Ask a `gpt` for the version of SNAP it belongs to.

    Raises
    ------
    EngineFailedError
        It does not answer in time, or not with a version.
    """
    path = os.fspath(gpt)
    try:
        changed = os.stat(path).st_mtime_ns  # noqa: PTH116  a key of the cache
    except OSError:
        changed = 0
    return _ask(path, changed, timeout)


@functools.lru_cache(maxsize=8)
def _ask(gpt: str, _changed: int, timeout: float) -> tuple[int, ...]:
    with tempfile.TemporaryDirectory(prefix="sensetrack-") as folder:
        log = Path(folder) / "version.log"
        try:
            done = run_program([gpt, "--diag"], log=log, folder=folder, timeout=timeout, environ=environment())
        except EngineFailedError as error:
            error.advice, error.log = f"run {gpt} --diag yourself", None  # the log goes with its folder
            raise
        said = log.read_bytes()[:_END].decode("utf-8", "replace")
    # The first line of a log is the command, in which a folder may be called like a version.
    found = _VERSION.search(said.partition("\n")[2])
    if not found:
        message = f"{Path(gpt).name} did not say its version"
        raise EngineFailedError(
            message, command=done.command, code=0, lines=done.lines, advice=f"is {gpt} SNAP's? run it with --diag"
        )
    return tuple(int(part) for part in found.groups() if part is not None)


def require_gpt(
    gpt: str | os.PathLike[str] | None = None, *, oldest: tuple[int, ...] = OLDEST
) -> tuple[Path, tuple[int, ...]]:
    """Return a `gpt` that is new enough, and its version.

    Parameters
    ----------
    gpt : path-like, optional
        Default: where `find_gpt` finds it.
    oldest : tuple of int
        What is needed.

    Raises
    ------
    EngineNotFoundError
        There is none, or only an older one.
    EngineFailedError
        It does not say its version.
    """
    path = find_gpt() if gpt is None else Path(gpt).absolute()
    if not path.is_file():
        raise EngineNotFoundError(f"gpt was not found at {path}", advice=_INSTALL)
    version = gpt_version(path)
    if version < oldest:
        have, need = (".".join(map(str, one)) for one in (version, oldest))
        message = f"{path} is SNAP {have}, and the graphs need {need} or later"
        raise EngineNotFoundError(message, advice="update SNAP")
    return path, version


def environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment to run `gpt` in: ours, with a locale in which Java can name any file."""
    given = dict(os.environ if environ is None else environ)
    spoken = given.get("LC_ALL") or given.get("LC_CTYPE") or given.get("LANG") or ""
    if os.name != "nt" and "utf" not in spoken.casefold():
        given["LC_ALL"] = "C.UTF-8"
    return given


def explain(lines: tuple[str, ...], log: Path) -> str | None:
    """Say what went wrong: the last error in the log of `gpt`, and what can be done where that is known."""
    text = _tail(log)
    errors = [match.group().strip() for match in _ERROR.finditer(text)]
    # SNAP says "Error: [NodeId: Calibration] reason", and around it much that is about itself.
    named = [line for line in errors if "NodeId" in line]
    said = (named or errors or list(lines[-1:]) or [""])[-1]
    hint = next((advice for pattern, advice in _REASONS if pattern.search(text)), None)
    return f"{said} ({hint})" if hint else said or None


def orbit_warnings(log: Path) -> list[str]:
    """Return what a log says about orbits that were not those asked for; SNAP goes on without an error."""
    return list(dict.fromkeys(match.group().strip() for match in _FALLBACK.finditer(_tail(log, 4 * _END))))


def _tail(log: Path, size: int = _END) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - size))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def progress_of(report: Callable[[int, int], None]) -> Callable[[str], None]:
    """Return a listener that hears "....10%....20%" in what `gpt` says and reports (done, 100)."""
    done, rest = 0, ""

    def listen(text: str) -> None:
        nonlocal done, rest
        rest = (rest + text)[-4096:]
        for found in re.finditer(r"(\d{1,3})\s?%", rest):
            if done < (now := int(found[1])) <= 100:
                done = now
                report(done, 100)
        rest = rest[-3:]  # a number may lie across two pieces of text

    return listen
