"""What a worker process does: jobs from a pipe, one at a time, until there are no more or its parent is gone."""

from __future__ import annotations

import faulthandler
import logging
import os
import pickle
import platform
import signal
import threading
import traceback
from contextlib import suppress
from importlib import metadata
from multiprocessing import parent_process
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

READY, DONE, RAISED, LOG = "ready", "done", "raised", "log"
"""What a message is about; the second part is nothing, a result, an exception, or a log record."""
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
SAME = ("python", "sensetrack", "distributed", "dask")
"""What must have the same version on workers elsewhere."""
ALIKE = ("numpy", "scipy", "numba", "opencv-python-headless", "scikit-image", "rasterio")
"""Packages whose versions should be the same, because results may depend on them."""
_GRACE = 2.5
"""Seconds that a job has to sweep up when it is told to end."""


def serve(pipe: Connection, level: int, trace: str) -> None:
    """Do jobs; the target of a process that was spawned.

    Parameters
    ----------
    pipe : Connection
        Brings ``(work, job, share)`` as bytes, or none for the end; takes messages.
    level : int
        Of the log records that are sent.
    trace : str
        File for where the process was when it crashed.
    """
    _signals()
    leave_with_parent()
    one_thread_each()
    with Path(trace).open("w", encoding="utf-8") as crash:
        faulthandler.enable(crash)
        lock = threading.Lock()
        _send_logs(pipe, lock, level)
        _send(pipe, lock, READY, None)
        while (received := _next(pipe)) is not None:
            try:
                work, job, share = pickle.loads(received)  # from our own parent
                kind, said = DONE, work(job, share)
            except Exception as error:
                error.add_note("".join(traceback.format_exception(error)))
                kind, said = RAISED, error
            _send(pipe, lock, kind, said)
        faulthandler.disable()


def _next(pipe: Connection) -> bytes | None:
    """Return a job as it came; None at the end."""
    try:
        return pipe.recv_bytes() or None
    except (EOFError, OSError):
        return None


def one_thread_each() -> None:
    """Hold OpenCV and BLAS to one thread in this process: the cores belong to who runs the jobs."""
    for name in _ONE_THREAD:  # read when the libraries are loaded, which is later
        os.environ[name] = "1"
    import cv2
    from threadpoolctl import threadpool_limits

    cv2.setNumThreads(1)
    threadpool_limits(1)


def versions() -> dict[str, str]:
    """Return the versions of what matters to a worker, as far as it is installed."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in (*SAME[1:], *ALIKE):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def leave_with_parent() -> None:
    """End this process, and the programs it has started, as soon as its parent is gone, whatever way that went."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        end_children()
        os._exit(1)

    threading.Thread(target=watch, name="sensetrack-parent", daemon=True).start()


def end_children() -> None:
    """Kill what this process has started."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            child.kill()


def _signals() -> None:
    # Ctrl-C reaches every process of a terminal: the parent decides what becomes of the jobs. A function, because
    # programs that are started from here would inherit SIG_IGN.
    signal.signal(signal.SIGINT, _nothing)
    if hasattr(signal, "SIGTERM"):
        signal.signal(signal.SIGTERM, _end)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _nothing(_number: int, _frame: object) -> None:
    pass


def _end(number: int, _frame: object) -> NoReturn:
    # An exception, so that temporary files are swept up on the way out; but not for long, and once.
    signal.signal(number, _nothing)
    last = threading.Timer(_GRACE, os._exit, (128 + number,))
    last.daemon = True
    last.start()
    raise SystemExit(128 + number)


class _Handler(logging.Handler):
    """Sends log records to the parent."""

    def __init__(self, pipe: Connection, lock: threading.Lock) -> None:
        super().__init__()
        self._pipe, self._lock = pipe, lock

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + "".join(traceback.format_exception(*record.exc_info))
        plain = logging.LogRecord(record.name, record.levelno, record.pathname, record.lineno, text, None, None)
        _send(self._pipe, self._lock, LOG, plain)


def _send_logs(pipe: Connection, lock: threading.Lock, level: int) -> None:
    logger = logging.getLogger("sensetrack")
    logger.handlers, logger.propagate = [_Handler(pipe, lock)], False
    logger.setLevel(level)


def _send(pipe: Connection, lock: threading.Lock, kind: str, said: Any) -> None:
    try:
        message = ForkingPickler.dumps((kind, said))
    except Exception as error:
        problem = f"{type(said).__name__} cannot be sent to another process ({type(error).__name__}: {error}): {said!r}"
        message = ForkingPickler.dumps((RAISED, TypeError(problem[:2000])))
    with suppress(OSError), lock:  # the parent is gone: the watch ends this process
        pipe.send_bytes(message)
