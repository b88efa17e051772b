"""What a run needs later, made ready in a thread while files are read and images prepared."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from sensetrack.external.own import beside
from sensetrack.ot.algorithms.ncc import NCC
from sensetrack.ot.chips import ChipGrid
from sensetrack.ot.interfaces import Tile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sensetrack.ot.interfaces import OTAlgorithm

log = logging.getLogger(__name__)


@contextmanager
def ahead(*calls: Callable[[], object]) -> Iterator[None]:
    """Call functions in a thread beside the block, one after the other; those not begun when it ends are left out.

    Only for what saves time, such as imports. One that fails is not heard of here: whoever needs it meets the same
    error where it is reported. The thread has ended when the block is left, whatever way.
    """
    over = threading.Event()

    def work() -> None:
        for call in calls:
            if over.is_set():
                return
            try:
                call()
            except Exception:
                log.debug("could not be made ready ahead", exc_info=True)

    thread = threading.Thread(target=work, name="sensetrack-ahead")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@lru_cache(maxsize=8)
def rehearse(algorithm: OTAlgorithm) -> None:
    """Let an algorithm with machine code load or compile it, by matching a chip of noise at the edge of an image.

    Sizes are limited, so that the noise takes milliseconds; code that only larger ones need comes when it is needed.
    """
    if not isinstance(algorithm, NCC):
        return
    with _second(algorithm):
        _play(algorithm)


def _second(algorithm: NCC) -> AbstractContextManager[object]:
    """On a machine that never ran this, compile what takes longest in a second process."""
    if algorithm.chosen["kernel"] == "opencv":
        return nullcontext()
    from sensetrack.ot.engine import peaks

    return nullcontext() if peaks.loaded() else beside("sensetrack.ot.engine.near", "load")


def _play(algorithm: NCC) -> None:
    small = {name: tuple(min(size, 32) for size in getattr(algorithm, name)) for name in ("step", "search")}
    chip = tuple(min(size, 64) for size in algorithm.chip)
    player = algorithm.model_copy(update={"chip": chip, **small, "larger": ()})
    shape = tuple(size + 2 * halo for size, halo in zip(chip, player.halo, strict=True))
    noise, valid = np.random.default_rng(0).standard_normal(shape, np.float32), np.ones(shape, bool)
    valid[: player.halo[0] - 1] = False
    player.match(Tile(noise, valid), Tile(noise, valid), ChipGrid((chip[0], chip[1]), player.chip, player.step))
