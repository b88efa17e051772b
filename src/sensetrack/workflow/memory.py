"""How many tiles may be worked on at a time, so that a job keeps within a limit of memory."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, TypeVar

from pydantic import ByteSize

from sensetrack.errors import MemoryLimitError
from sensetrack.workflow.executors import default_workers

if TYPE_CHECKING:
    from sensetrack.ot.interfaces import OTAlgorithm
    from sensetrack.workflow.config import TrackConfig
    from sensetrack.workflow.slc_config import SlcConfig
    from sensetrack.workflow.stack_config import StackConfig

C = TypeVar("C", "TrackConfig", "SlcConfig", "StackConfig")

log = logging.getLogger(__name__)

PER_PIXEL = 200
"""Bytes that a pixel of a tile takes while it is worked on, halo included: measured over all algorithms, rounded up."""
PER_POST = 160
"""Bytes that a post takes from matching to writing: its layers, and copies of some of them."""


def workers_within(limit: int, workers: int | None, algorithm: OTAlgorithm, shape: tuple[int, int]) -> int:
    """Return as many workers as the limit allows, at most `workers`; results do not depend on it.

    Parameters
    ----------
    limit : int
        Bytes for tiles and posts. Those of libraries come on top: `sensetrack.workflow.limits.LIBRARIES`.
    shape : (int, int)
        Rows and columns of the images.

    Raises
    ------
    MemoryLimitError
        The posts alone, or they and one tile, need more.
    """
    chips = algorithm.chips(shape)
    posts = math.prod(chips.shape) * PER_POST
    tile = PER_PIXEL * math.prod(
        min((block - 1) * step + chip, size) + 2 * halo
        for block, step, chip, size, halo in zip(
            algorithm.block, chips.step, chips.chip, shape, algorithm.halo, strict=True
        )
    )
    wanted = default_workers() if workers is None else workers
    allowed = (limit - posts) // tile
    if allowed < 1:
        message = f"{chips.shape[0]} x {chips.shape[1]} posts and a tile need about {size_of(posts + tile)}"
        text = f"{message}, more than the {size_of(limit)} of --max-memory"
        raise MemoryLimitError(text, advice="raise it, choose an area of interest, or an algorithm with a larger step")
    if allowed < wanted:
        log.info("%d instead of %d workers, to keep within %s", allowed, wanted, size_of(limit))
    return min(wanted, allowed)


def within(config: C, memory: int | None) -> C:
    """Return the settings with no more memory than that; None = what they say."""
    if memory is None or memory >= config.max_memory:
        return config
    return config.model_copy(update={"max_memory": ByteSize(memory)})


def size_of(number: int) -> str:
    """Say a number of bytes."""
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"
