"""What a run needs later, made ready in a thread while files are read and images prepared."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager, nullcontext
from contextvars import copy_context
from functools import partial
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
    error where it is reported. The thread has ended when the block is left, whatever way; without calls there is none.
    """
    if not calls:
        yield
        return
    over = threading.Event()

    def work() -> None:
        for call in calls:
            if over.is_set():
                return
            try:
                call()
            except Exception:
                log.debug("could not be made ready ahead", exc_info=True)

    thread = threading.Thread(target=copy_context().run, args=(work,), name="sensetrack-ahead")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


_rehearsed: set[NCC] = set()
"""Those whose machine code this process has; many pairs are matched with the same few."""


def rehearsals(algorithm: OTAlgorithm) -> list[Callable[[], None]]:
    """Return what lets an algorithm with machine code load or compile it; nothing where this process has it.

    A chip of noise is matched at the edge of an image. Sizes are limited, so that this takes milliseconds; code that
    only larger ones need comes when it is needed.
    """
    if not isinstance(algorithm, NCC):
        return []
    small = {name: tuple(min(size, 32) for size in getattr(algorithm, name)) for name in ("step", "search")}
    chip = tuple(min(size, 64) for size in algorithm.chip)
    player = algorithm.model_copy(update={"chip": chip, **small, "larger": ()})
    return [] if player in _rehearsed else [partial(_rehearse, player)]


def _rehearse(player: NCC) -> None:
    with _second(player):
        _play(player)
    _rehearsed.add(player)


def _second(algorithm: NCC) -> AbstractContextManager[object]:
    """On a machine that never ran this, compile what takes longest in a second process."""
    if algorithm.chosen["kernel"] == "opencv":
        return nullcontext()
    from sensetrack.ot.engine import peaks

    return nullcontext() if peaks.loaded() else beside("sensetrack.ot.engine.near", "load")


def _play(player: NCC) -> None:
    shape = tuple(size + 2 * halo for size, halo in zip(player.chip, player.halo, strict=True))
    noise, valid = np.random.default_rng(0).standard_normal(shape, np.float32), np.ones(shape, bool)
    valid[: player.halo[0] - 1] = False
    player.match(Tile(noise, valid), Tile(noise, valid), ChipGrid(player.chip, player.chip, player.step))
