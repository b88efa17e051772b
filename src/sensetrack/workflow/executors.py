"""Who runs the tiles. The executor owns the cores: whatever it runs uses one thread each."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from sensetrack.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sensetrack.blocks import Mapper

T = TypeVar("T")
R = TypeVar("R")


def default_workers() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def threads(workers: int | None = None) -> Iterator[Mapper]:
    """Yield a `map` over threads; OpenCV and BLAS are held to one thread each and restored after.

    Results come in the order of the items and do not depend on `workers`. Only a few items are in flight at a
    time, and after an error or an interrupt those not yet begun are dropped.
    """
    import cv2
    from threadpoolctl import threadpool_limits

    number = default_workers() if workers is None else workers
    if number < 1:
        message = f"workers must be at least 1, instead got {number}"
        raise ConfigError(message)
    before = cv2.getNumThreads()
    pool = ThreadPoolExecutor(number, thread_name_prefix="sensetrack")

    def mapper(function: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]:
        waiting = deque()  # type: ignore[var-annotated]
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * number:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    try:
        cv2.setNumThreads(1)
        with threadpool_limits(1):
            yield mapper
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        cv2.setNumThreads(before)
