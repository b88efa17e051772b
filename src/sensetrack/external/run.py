"""Run a program to its end, or to the end of our patience."""

from __future__ import annotations

import codecs
import os
import shlex
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensetrack.errors import EngineFailedError, OutputError
from sensetrack.external.log import Log
from sensetrack.external.processes import MARK, end_tree, how_it_ended, new_mark

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_CHUNK = 64 * 2**10
_POLL = 0.1
"""Seconds between two looks at the clock."""


@dataclass(frozen=True)
class Finished:
    """A program that has run to its end."""

    command: tuple[str, ...]
    code: int
    seconds: float
    log: Path
    """Everything it has said, to stdout and stderr, in order."""
    lines: tuple[str, ...]
    """The last lines of it, for people."""


def run_program(
    command: Sequence[str | os.PathLike[str]],
    *,
    log: str | os.PathLike[str],
    folder: str | os.PathLike[str] | None = None,
    timeout: float | None = None,
    environ: Mapping[str, str] | None = None,
    on_text: Callable[[str], None] | None = None,
    explain: Callable[[tuple[str, ...], Path], str | None] | None = None,
    accept: Sequence[int] = (0,),
) -> Finished:
    """Run a program, keep what it says in a file, and leave no process behind.

    Parameters
    ----------
    command : sequence of str or path-like
        Program and arguments, as they are: no shell ever reads them.
    log : path-like
        File for stdout and stderr; replaced. At most 64 MB of it are kept, and its end.
    folder : path-like, optional
        Working folder of the program.
    timeout : float, optional
        Seconds it may take; then it and everything it has started are ended.
    environ : mapping, optional
        Default: the environment of this process.
    on_text : callable, optional
        Called, from another thread, with what the program says as it comes: for a progress bar.
    explain : callable, optional
        Given the last lines and the log of a failed program, says what went wrong; default: its last line.
    accept : sequence of int
        Exit codes that mean success.

    Raises
    ------
    EngineFailedError
        It cannot be started, took too long, was killed, or ended with another code.
    OutputError
        The log cannot be written.
    """
    words = tuple(os.fspath(word) for word in command)
    name, path = Path(words[0]).name, Path(log).absolute()
    mark, given = new_mark(), dict(os.environ if environ is None else environ)
    begin = time.monotonic()
    try:
        file = path.open("wb")
    except OSError as error:
        raise OutputError(f"cannot be written ({error.strerror})", path=path) from error
    with file:
        kept = Log(file, given)
        kept.feed(f"$ {shlex.join(words)}\n".encode("utf-8", "backslashreplace"))
        process = _start(words, folder, given | {MARK: mark}, path)
        reader = _Reader(process, kept, on_text)
        try:
            late = _wait(process, reader, None if timeout is None else begin + timeout)
        finally:
            # Also after Ctrl-C, and after an ordinary end: nothing it has started may outlive it.
            end_tree(process, mark, grace=2.0 if process.poll() is None else 0.0)
            reader.finish()
    code = process.returncode
    if reader.problem is not None:
        raise reader.problem
    if late:
        message = f"{name} did not finish within {timeout:g} s and was stopped"
        raise EngineFailedError(message, command=words, code=code, log=path, lines=kept.lines, advice=f"see {path}")
    if code not in accept:
        said = (explain(kept.lines, path) if explain else None) or (kept.lines[-1] if len(kept.lines) > 1 else "")
        message = f"{name} {how_it_ended(code)}" + (f": {said}" if said else "")
        raise EngineFailedError(message, command=words, code=code, log=path, lines=kept.lines, advice=f"see {path}")
    return Finished(words, code, time.monotonic() - begin, path, kept.lines)


def _start(
    words: tuple[str, ...], folder: str | os.PathLike[str] | None, environ: dict[str, str], log: Path
) -> subprocess.Popen[bytes]:
    # A group of its own: Ctrl-C reaches us alone, and we end all of it.
    group: dict[str, Any] = (
        {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
        if os.name == "nt"
        else {"start_new_session": True}
    )
    try:
        return subprocess.Popen(
            words, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, bufsize=0, **group,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"{Path(words[0]).name} cannot be started ({reason})"
        raise EngineFailedError(message, command=words, log=log, advice=f"check {words[0]}") from error


def _wait(process: subprocess.Popen[bytes], reader: _Reader, deadline: float | None) -> bool:
    """Wait for the end of a program; True when the deadline came first."""
    while process.poll() is None:
        if reader.problem is not None:  # nobody reads any more: it would wait for ever
            return False
        if deadline is not None and time.monotonic() > deadline:
            return True
        try:
            process.wait(timeout=_POLL)
        except subprocess.TimeoutExpired:
            continue
    return False


class _Reader:
    """A thread that takes what a program says as fast as it comes, so that the program never waits for us."""

    def __init__(self, process: subprocess.Popen[bytes], log: Log, on_text: Callable[[str], None] | None) -> None:
        self.problem: BaseException | None = None
        self._process, self._log, self._on_text = process, log, on_text
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._thread = threading.Thread(target=self._read, name="log", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Take the rest. The pipe ends with the last process that holds it, and all of them have been ended."""
        self._thread.join(timeout=10)
        if not self._thread.is_alive() and self._process.stdout is not None:
            self._process.stdout.close()

    def _read(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        try:
            while chunk := pipe.read(_CHUNK):
                self._log.feed(chunk)
                if self._on_text is not None:
                    self._on_text(self._decode(chunk))
            self._log.close()
        except OSError as error:
            self.problem = OutputError(f"the log of {self._process.args!r:.80} cannot be written ({error.strerror})")
        except Exception as error:  # of `on_text`, raised again where the program was started
            self.problem = error
