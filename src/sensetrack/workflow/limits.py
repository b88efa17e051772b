"""What a job may use, and libraries with threads of their own held to one thread each: the executor owns the cores."""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


LIBRARIES = 360 * 10**6
"""Bytes that a process takes for libraries, pictures included, and what they keep open: measured, rounded up."""


@dataclass(frozen=True)
class Share:
    """What one job may use."""

    workers: int
    """Threads for its tiles."""
    memory: int | None = None
    """Bytes, those of libraries included; None = what its own settings say."""

    @property
    def beside_libraries(self) -> int | None:
        """Bytes for data."""
        return None if self.memory is None else max(0, self.memory - LIBRARIES)


class OneThreadEach:
    """Holds OpenCV and BLAS to one thread.

    Their limits are of the process, and several jobs may be inside: the first sets them, the last brings back what was.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._modules, self._stack = threading.Lock(), 0, 0, ExitStack()

    def __enter__(self) -> None:
        import cv2

        with self._lock:
            if self._inside == 0:
                self._stack.callback(cv2.setNumThreads, cv2.getNumThreads())
                cv2.setNumThreads(1)
            if self._inside == 0 or len(sys.modules) != self._modules:  # what was loaded since is not held
                self._modules = len(sys.modules)
                self._stack.enter_context(_libraries(self._modules).limit(limits=1))
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._stack.close()


@lru_cache(1)
def _libraries(modules: int) -> ThreadpoolController:  # noqa: ARG001
    """Find the libraries with threads of their own, anew where more modules were imported: they may bring some."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


held_to_one = OneThreadEach()
"""The one of this process."""
