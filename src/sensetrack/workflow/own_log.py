"""Logs of jobs: what is logged for one goes to its own file only, also where jobs run beside each other in threads."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_own: ContextVar[logging.Handler | None] = ContextVar("sensetrack_log", default=None)


@contextmanager
def own_log(path: Path, level: int) -> Iterator[None]:
    """Send what the block logs to a file, and nowhere else: thousands of jobs would drown a terminal.

    So does what is logged by threads that run in a copy of its context.
    """
    handler = logging.FileHandler(path, encoding="utf-8")
    form = logging.Formatter("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    form.converter = time.gmtime
    handler.setFormatter(form)
    token = _own.set(handler)
    try:
        with _crossing.at(level):
            yield
    finally:
        _own.reset(token)
        handler.close()


class _Crossing(logging.Handler):
    """The only handler of "sensetrack" while any job has a log of its own; sends each record where it belongs.

    The first job to come puts it there, the last to go brings back what was.
    """

    def __init__(self) -> None:
        super().__init__()
        self._mine = threading.Lock()
        self._inside = 0
        self._before: list[logging.Handler] = []
        self._propagates, self._level, self._effective = True, logging.NOTSET, logging.NOTSET

    @contextmanager
    def at(self, level: int) -> Iterator[None]:
        """Direct records as long as the block lasts, from this level on."""
        logger = logging.getLogger("sensetrack")
        with self._mine:
            if self._inside == 0:
                self._before, self._propagates, self._level = logger.handlers, logger.propagate, logger.level
                self._effective = logger.getEffectiveLevel()
                logger.handlers, logger.propagate = [self], False
                logger.setLevel(self._level or level)
            logger.setLevel(min(level, logger.level))
            self._inside += 1
        try:
            yield
        finally:
            with self._mine:
                self._inside -= 1
                if self._inside == 0:
                    logger.handlers, logger.propagate = self._before, self._propagates
                    logger.setLevel(self._level)

    def handle(self, record: logging.LogRecord) -> bool:
        """Hand a record to the log of its job, or to whom it would have gone without any."""
        own = _own.get()
        if own is not None:
            return bool(own.handle(record))
        if record.levelno < self._effective:
            return False
        for handler in self._before:
            if record.levelno >= handler.level:
                handler.handle(record)
        parent = logging.getLogger("sensetrack").parent
        if self._propagates and parent is not None:
            parent.callHandlers(record)
        return True


_crossing = _Crossing()
