"""End a program with everything it started, on any system.

A child is told by three marks, because each alone can be shaken off: it descends from the program, it is in the process
group of the program (POSIX), or it has inherited a variable that only this run has set. Nothing else is touched.
"""

from __future__ import annotations

import os
import signal
import time
import uuid
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import subprocess

MARK = "SENSETRACK_STARTED"
"""Name of the variable that everything a run starts inherits."""
_PATIENCE = 5.0
"""Seconds within which processes that were killed must be gone."""
_GONE = (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess, OSError)


def new_mark() -> str:
    """Return a value of `MARK` that no other run has."""
    return uuid.uuid4().hex


def end_tree(process: subprocess.Popen[bytes], mark: str, *, grace: float = 2.0) -> None:
    """End a program and all that it started; return when they are gone.

    Parameters
    ----------
    process : subprocess.Popen
        Started in a session of its own (POSIX) with ``environ[MARK] = mark``. If it has ended already, what it has left
        behind is ended.
    mark : str
    grace : float
        Seconds they have to end by themselves before they are killed; 0 asks nobody.
    """
    if grace > 0 and process.poll() is None:
        for one in _living(process, mark):
            _send(one, gently=True)
        _wait(process, mark, grace)
    deadline = time.monotonic() + _PATIENCE
    # Again and again: what was being started while we looked is found the next time.
    while living := _living(process, mark):
        for one in living:
            _send(one, gently=False)
        time.sleep(0.02)
        process.poll()  # not psutil's wait: it would take the exit code away from us
        if time.monotonic() > deadline:
            break
    if process.poll() is None:
        process.kill()
        process.wait(timeout=_PATIENCE)


def _send(process: psutil.Process, *, gently: bool) -> None:
    try:
        if gently:
            process.terminate()  # on Windows this kills: there is no way to ask
        else:
            process.kill()
    except _GONE:
        pass


def _wait(process: subprocess.Popen[bytes], mark: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and _living(process, mark):
        process.poll()
        time.sleep(0.05)


def _living(process: subprocess.Popen[bytes], mark: str) -> list[psutil.Process]:
    """Return the program and everything it started that still runs."""
    found: dict[int, psutil.Process] = {}
    if process.poll() is None:
        try:
            root = psutil.Process(process.pid)
            found = {one.pid: one for one in [root, *root.children(recursive=True)]}
        except _GONE:
            pass
    for one in psutil.process_iter():
        if one.pid not in found and one.pid != os.getpid() and _marked(one, process.pid, mark):
            found[one.pid] = one
    return [one for one in found.values() if _runs(one)]


def _marked(one: psutil.Process, group: int, mark: str) -> bool:
    try:
        if one.environ().get(MARK) == mark:
            return True
    except (*_GONE, ValueError):
        pass
    # The session was made for the program; the system does not give its number away while anything is in it.
    try:
        return os.name != "nt" and os.getsid(one.pid) == group and os.getpgid(one.pid) == group
    except OSError:
        return False


def _runs(one: psutil.Process) -> bool:
    try:
        return one.is_running() and one.status() != psutil.STATUS_ZOMBIE
    except _GONE:
        return False


def how_it_ended(code: int) -> str:
    """Say in words what an exit code means; a negative one is a signal (POSIX)."""
    if code >= 0:
        # A shell script reports the signal that ended its program as 128 + number.
        kill = int(getattr(signal, "SIGKILL", 9))
        return "was killed (code 137), probably for lack of memory" if code == 128 + kill else f"ended with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = ", probably for lack of memory" if name == "SIGKILL" else ""
    return f"was killed ({name}){hint}"
