"""From two SLCs to offsets, step by step as a workflow does it, so that each step can be held against the truth."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sensetrack.sar.coregister import computed
from sensetrack.sar.merge import Part, frame_of, lattice_posts, merge
from sensetrack.sar.offsets import measure
from sensetrack.sentinel.s1 import open_sentinel1
from sensetrack.sentinel.s1_pair import pair_bursts


class Images(NamedTuple):
    """A burst of both products on one grid."""

    pair: Any
    registration: Any
    reference: Any
    """(lines, samples) complex64 without carrier; NaN = not valid."""
    secondary: Any
    """Likewise, on the pixels of the reference."""


class Measured(NamedTuple):
    """What was found in a burst."""

    pair: Any
    posts: Any
    match: Any

    def places(self):
        """Return lines (rows, 1) and samples (1, columns) of the posts in the burst, in pixel centres."""
        field = self.match.field
        return tuple(
            np.expand_dims(field.start[axis] - 0.5 + np.arange(field.grid.shape[axis]) * field.step[axis], 1 - axis)
            for axis in (0, 1)
        )


def bursts(paths, **options):
    """Return the pairs of bursts of two products."""
    return pair_bursts(*(open_sentinel1(path) for path in paths), **options)


def images(pair, surface, *, mapper=map, flatten=True):
    """Bring a burst of both products on one grid."""
    registration = pair.register(surface)
    both = pair.deramped(), pair.coregistered(registration, flatten=flatten)
    return Images(pair, registration, *(computed(image, mapper=mapper) for image in both))


def offsets(found, settings, frame=None, *, mapper=map):
    """Measure a burst at the posts that a frame has in it; by default its own."""
    grid = found.pair.reference_grid
    posts = lattice_posts(frame or frame_of([grid]), grid, settings.chip, settings.step)
    match = measure(
        found.reference, found.secondary, settings, start=posts.start, posts=posts.posts, bands=found.pair.bands,
        mapper=mapper,
    )  # fmt: skip
    return Measured(found.pair, posts, match)


def merged(pairs, surface, settings, *, mapper=map):
    """Measure bursts and put them together; return the posts of all, and of each burst."""
    frame = frame_of([pair.reference_grid for pair in pairs])
    single = [offsets(images(pair, surface, mapper=mapper), settings, frame, mapper=mapper) for pair in pairs]
    parts = [Part(one.posts, one.match.field, one.match.coherent, k) for k, one in enumerate(single)]
    dt = pairs[0].secondary_grid.epoch - pairs[0].reference_grid.epoch
    return merge(frame, parts, dt=dt), single
