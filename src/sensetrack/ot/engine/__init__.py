"""The matching engine: the chips of a tile correlated with their areas, as fast as the processor multiplies.

The definitions are those of `sensetrack.ot.correlation`, `peak` and `matching`, which say in plain NumPy what is
computed here. Neighbouring chips overlap, so that for each shift the products of their pixels are mostly the same:
they are summed over small blocks once, and chips are runs of blocks. The cost is one multiply-add per pixel and
shift, whatever the size of the chips. Surfaces are made, searched for their peak and forgotten a row at a time.

Three micro-kernels sum the products: ``vector`` writes the instructions of the processor's vector unit, ``plain``
leaves them to the compiler, ``opencv`` needs no compiler. Their surfaces agree to 1e-4 or better.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from sensetrack.ot.engine.task import Pair, State, Task, TileMatch, covariance
from sensetrack.ot.peak import MARGIN, Subpixel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Kernel", "State", "TileMatch", "best_kernel", "correlate_tile", "covariance"]

Kernel = Literal["auto", "vector", "plain", "opencv"]
"""Name of a micro-kernel; ``auto``: the fastest that works here."""


@cache
def best_kernel() -> Literal["vector", "plain", "opencv"]:
    """Name of the fastest micro-kernel that works on this machine."""
    try:
        from sensetrack.ot.engine import compiling, vector
    except ImportError:
        return "opencv"
    if not compiling.WORKS:
        return "opencv"
    return "vector" if vector.lanes() else "plain"


def correlate_tile(
    reference: NDArray[Any],
    secondary: NDArray[Any],
    *,
    reference_valid: NDArray[np.bool_] | None = None,
    secondary_valid: NDArray[np.bool_] | None = None,
    chip: Pair,
    step: Pair,
    posts: Pair,
    search: Pair,
    min_valid: float = 0.5,
    wanted: NDArray[np.bool_] | None = None,
    within: NDArray[np.int32] | None = None,
    kernel: Kernel = "auto",
    subpixel: Subpixel = "sinc",
) -> TileMatch:
    """Find every chip of a tile in its area. Uses one thread, without the interpreter's lock most of the time.

    Parameters
    ----------
    reference : ndarray
        (rows, cols), at least ``(posts - 1) * step + chip``, scaled to a spread near 1: chip [i, j] starts at
        ``(i * step, j * step)``.
    secondary : ndarray
        The same with ``search + MARGIN`` more on every side.
    reference_valid, secondary_valid : ndarray of bool, optional
        True = usable; by default all is. What is not valid is never looked at.
    chip, step, posts, search : (int, int)
        Size of a chip, distance between neighbours, number of chips, and half width of the search; rows and
        columns.
    min_valid : float
        Share of a chip's pixels that must be valid in both images.
    wanted : ndarray of bool, optional
        (posts down, posts across): False where a post need not be measured; its state then is not FOUND.
    within : ndarray of int, optional
        (4, posts down, posts across): first row, last row, first column and last column of the shifts at which each
        post is looked for, both included and within the search; a peak there is on the edge. By default the whole
        search.
    kernel : str
        Micro-kernel.
    subpixel : str
        How peaks are found between samples; where pixels are missing, by the sinc in any case.

    Raises
    ------
    ValueError
        A size does not fit the others.
    """
    _check_arrays(reference, reference_valid)
    _check_arrays(secondary, secondary_valid)
    name = best_kernel() if kernel == "auto" else kernel
    # The compiled kernels look at valid pixels of the secondary only; the others are made 0.
    images = *_prepared(reference, reference_valid), *_prepared(secondary, secondary_valid, blank=name == "opencv")
    task = Task(*images, chip, step, posts, search, min_valid, wanted, within)
    _check(task, kernel)
    if name == "opencv":
        from sensetrack.ot.engine import template

        return template.correlate(task, subpixel)
    from sensetrack.ot.engine import tile

    return tile.correlate(task, name, subpixel)


def _prepared(
    image: NDArray[Any], valid: NDArray[np.bool_] | None, *, blank: bool = True
) -> tuple[NDArray[np.float32], Any]:
    pixels = np.asarray(image, np.float32)
    if valid is None or valid.all():
        return pixels, None
    return np.where(valid, pixels, np.float32(0)) if blank else pixels, np.ascontiguousarray(valid, bool)


def _check(task: Task, kernel: str) -> None:
    if kernel not in get_args(Kernel):
        raise ValueError(f"kernel must be one of {', '.join(get_args(Kernel))}, instead got {kernel}")
    if task.wanted is not None and task.wanted.shape != tuple(task.posts):
        raise ValueError(f"wanted must be {tuple(task.posts)}, one value per post, instead got {task.wanted.shape}")
    if task.within is not None and task.within.shape != (4, *task.posts):
        raise ValueError(f"within must be {(4, *task.posts)}, four values per post, instead got {task.within.shape}")
    for axis, name in enumerate(("rows", "columns")):
        chip, step, posts, search = (pair[axis] for pair in (task.chip, task.step, task.posts, task.search))
        if min(chip, step, posts, search) < 1:
            raise ValueError(
                f"chip, step, posts and search must be at least 1, instead got {chip}, {step}, {posts}, {search}"
            )
        least, more = (posts - 1) * step + chip, 2 * (search + MARGIN)
        size, area = task.reference.shape[axis], task.secondary.shape[axis]
        if task.within is not None and np.abs(task.within[2 * axis : 2 * axis + 2]).max(initial=0) > search:
            raise ValueError(f"within must lie within the search of {search} {name}")
        if size < least or area != size + more:
            message = f"the images must have at least {least} {name} and {more} more, instead got {size} and {area}"
            raise ValueError(message)


def _check_arrays(image: NDArray[Any], valid: NDArray[np.bool_] | None) -> None:
    if image.ndim != 2 or (valid is not None and valid.shape != image.shape):
        mask = None if valid is None else valid.shape
        raise ValueError(f"an image and its mask must be (rows, cols), instead got {image.shape} and {mask}")
