"""How chips are cut into blocks that they share, and tiles into panels that fit a cache."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensetrack.ot.engine.task import Pair
from sensetrack.ot.peak import MARGIN

Ints = NDArray[np.int64]

_IN_CACHE = 2**21
"""Bytes of sums that a row of a panel may keep: about the second-level cache of a core."""
_IN_MEMORY = 2**23
"""Bytes of sums that it may keep rather than have panels of a few chips, which share little."""
_PIXELS = 950_000
"""Pixels of an area that a panel may have, unless one chip needs more."""


class Axis(NamedTuple):
    """The blocks along one axis: between all places where a chip starts or ends."""

    edges: Ints
    """(blocks + 1): block b covers the pixels ``edges[b] : edges[b + 1]``."""
    first: Ints
    """(posts): first block of each chip."""
    number: int
    """Blocks of a chip; they follow each other."""

    @property
    def sizes(self) -> Ints:
        """(blocks): pixels of each block."""
        return np.diff(self.edges)


def axis(posts: int, chip: int, step: int) -> Axis:
    """Lay blocks for chips of `chip` px every `step` px.

    Where the step divides the chip a block is as long as a step; otherwise two, of different length, make a step.
    """
    if posts == 1:
        return Axis(np.array([0, chip]), np.zeros(1, np.int64), 1)
    post, part = np.arange(posts), chip % step
    end = (posts - 1) * step + chip
    starts = np.arange(0, end, step)
    if part == 0:
        return Axis(np.append(starts, end), post, chip // step)
    edges = np.union1d(starts, starts + part)
    return Axis(edges[edges <= end], 2 * post, 2 * (chip // step) + 1)


class Panel(NamedTuple):
    """A rectangle of posts that is worked on at once."""

    rows: slice
    cols: slice


def panels(posts: Pair, chip: Pair, step: Pair, search: Pair) -> list[Panel]:
    """Cut the posts of a tile into panels, by sizes alone: so that results repeat."""
    surface = 4 * (2 * search[0] + 1) * (2 * search[1] + 2)
    down, across = (axis(max(n, 2), c, s).number for n, c, s in zip(posts, chip, step, strict=True))
    per_post = surface * (down + 2)
    wide = max(_IN_CACHE // per_post, min(4 * across, _IN_MEMORY // per_post), 1)
    wide = _even(posts[1], wide)
    while True:
        width = (wide - 1) * step[1] + chip[1] + 2 * (search[1] + MARGIN)
        spare = _PIXELS // width - chip[0] - 2 * (search[0] + MARGIN)
        high = spare // step[0] + 1
        if high >= min(posts[0], 2 * down) or wide == 1:
            break
        wide = (wide + 1) // 2
    high = _even(posts[0], max(high, 1))
    return [
        Panel(slice(i, min(i + high, posts[0])), slice(j, min(j + wide, posts[1])))
        for i in range(0, posts[0], high)
        for j in range(0, posts[1], wide)
    ]


def _even(posts: int, most: int) -> int:
    """Return the size that cuts `posts` into as few pieces as `most` allows, all about alike."""
    pieces = -(-posts // most)
    return -(-posts // pieces)
