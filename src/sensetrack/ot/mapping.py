"""Straight mappings between the pixels of two images: shift, similarity, affine; fitted, judged and described.

A mapping is a (2, 3) matrix: place (row, col) of the reference, in pixel centres, -> place in the secondary. A
similarity is one *on the ground*: where pixels are not square, its matrix is not a rotation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from sensetrack.ot.bias import nmad

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.grid import Grid

    Matrix = NDArray[np.float64]
    Points = NDArray[np.float64]
    """(n, 2): row, col."""

Model = Literal["shift", "similarity", "affine"]

NEEDED = {"shift": 1, "similarity": 2, "affine": 3}
"""Points that determine a mapping."""
IDENTITY = np.eye(2, 3)
IDENTITY.setflags(write=False)
_TRIALS = 300
"""Smallest sets of points that are tried: enough to find three points in four of which hold, many times over."""
_TOLERANCES = {"shift": (0.5, 1.5, 4.0), "similarity": (0.5, 1.5), "affine": (0.5, 1.5)}
"""Distances, px, within which points are said to agree; the first that satisfies enough of them is used. The last
of a shift lets it be fitted to images that are slightly turned."""
_CLIP = 3.0
"""Points further than this many NMAD from the fit take no part in it."""
_LEAST = 0.02
"""Distance from the fit, px, that is never a reason to leave a point out."""
_FLAT = 0.05
"""An affine needs points whose spread across is at least this share of their spread along."""


def square(grid: Grid) -> NDArray[np.float64]:
    """Return the (2, 2) matrix that turns (row, col) into coordinates with one length of unit in every direction.

    The unit is the side of a square as large as a pixel; without a georeference pixels are taken as square.
    """
    if not grid.georeferenced:
        return np.eye(2)
    t, (kx, ky) = grid.transform, grid.grid_scale
    metres = np.array([[t.b / kx, t.a / kx], [t.e / ky, t.d / ky]])
    # The symmetric root of the metric: it stretches, and turns nothing.
    value, axes = np.linalg.eigh(metres.T @ metres)
    root = axes @ np.diag(np.sqrt(value)) @ axes.T
    return np.asarray(root / np.sqrt(np.linalg.det(root)))


def move(matrix: Matrix, points: Points) -> Points:
    """Map points."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def corners(shape: tuple[int, int]) -> Points:
    """Return the centres of the four corner pixels."""
    rows, cols = shape[0] - 1.0, shape[1] - 1.0
    return np.array([[0, 0], [0, cols], [rows, 0], [rows, cols]])


def largest_change(one: Matrix, other: Matrix, shape: tuple[int, int]) -> float:
    """Return the largest distance, px, between two mappings of the corners of an image; elsewhere it is smaller."""
    at = corners(shape)
    return float(np.hypot(*(move(one, at) - move(other, at)).T).max())


def fit(model: Model, here: Points, there: Points, metric: NDArray[np.float64]) -> Matrix:
    """Fit a mapping of points of the reference to points of the secondary by least squares.

    Parameters
    ----------
    model : {"shift", "similarity", "affine"}
    here, there : ndarray
        (n, 2) row, col, px; n at least `NEEDED`.
    metric : ndarray
        From `square`.
    """
    a, b = here.mean(axis=0), there.mean(axis=0)
    linear: NDArray[Any] = np.eye(2)
    if model == "affine":
        linear = np.linalg.lstsq(here - a, there - b, rcond=None)[0].T
    elif model == "similarity":
        # As complex numbers a turn and a stretch is one factor.
        u, v = ((part @ metric.T) @ [1, 1j] for part in (here - a, there - b))
        factor = np.vdot(u, v) / max(np.vdot(u, u).real, 1e-12)
        turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
        linear = np.linalg.solve(metric, turn @ metric)
    return np.column_stack([linear, b - linear @ a])


def determined(model: Model, points: Points) -> bool:
    """Tell whether points fix a mapping: enough of them, and not all on one line for an affine."""
    if len(points) < NEEDED[model]:
        return False
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool({"shift": True, "similarity": spread[0] > 1, "affine": spread[-1] > _FLAT * spread[0]}[model])


def consensus(
    model: Model, here: Points, there: Points, metric: NDArray[np.float64], *, share: float
) -> NDArray[np.bool_]:
    """Tell which points agree on one mapping: the largest such set among 300 drawn (always the same) smallest ones.

    They agree within 0.5 px or, where less than `share` of them do, within 1.5 px (a shift: at last 4 px).
    """
    rng = np.random.default_rng(0)
    count = len(here)
    if count < NEEDED[model]:
        return np.zeros(count, bool)
    if model == "shift":
        picks = np.arange(count)[:, None]
    else:
        picks = np.array([rng.choice(count, NEEDED[model], replace=False) for _ in range(_TRIALS)])
    drawn = (fit(model, here[pick], there[pick], metric) for pick in picks if determined(model, here[pick]))
    distance = np.array([np.hypot(*(there - move(matrix, here)).T) for matrix in drawn])
    if not len(distance):
        return np.zeros(count, bool)
    for tolerance in _TOLERANCES[model]:
        agreeing = distance < tolerance
        best = agreeing[agreeing.sum(axis=1).argmax()]
        if best.mean() >= share:
            break
    return np.asarray(best)


def fit_robustly(
    model: Model, here: Points, there: Points, metric: NDArray[np.float64], start: NDArray[np.bool_]
) -> tuple[Matrix, NDArray[np.bool_]]:
    """Fit a mapping to the points of `start`, and again to all within 3 NMAD of it until these stay the same.

    Returns
    -------
    matrix : ndarray
    kept : ndarray of bool
        (n,), the points that were fitted.
    """
    kept = start
    for _ in range(10):
        matrix = fit(model, here[kept], there[kept], metric)
        rest = there - move(matrix, here)
        limit = [_CLIP * max(nmad(part), _LEAST) for part in rest[kept].T]
        again = np.asarray((np.abs(rest - np.median(rest[kept], axis=0)) <= limit).all(axis=1))
        if not determined(model, here[again]) or (again == kept).all():
            break
        kept = again
    return matrix, kept


class Description(NamedTuple):
    """What a mapping does, in words of the ground; see `describe`."""

    rotation: float
    """Degrees by which the secondary is turned against the reference, clockwise with rows counted downwards."""
    scale: float
    """Length in the secondary over length in the reference."""
    shift: tuple[float, float]
    """What it does to the middle of the image, (rows, cols), px."""


def describe(matrix: Matrix, shape: tuple[int, int], metric: NDArray[np.float64]) -> Description:
    """Describe a mapping; an affine by the rotation and the scale that are nearest to it."""
    linear = metric @ np.linalg.solve(metric.T, matrix[:, :2].T).T
    angle = np.degrees(np.arctan2(linear[0, 1] - linear[1, 0], linear[0, 0] + linear[1, 1]))
    middle = (np.array([shape]) - 1) / 2
    shift = (move(matrix, middle) - middle)[0]
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    return Description(float(angle), scale, (float(shift[0]), float(shift[1])))


def as_tuples(matrix: Any) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return a matrix as plain numbers."""
    first, second = (tuple(float(value) for value in row) for row in matrix)
    return first, second  # type: ignore[return-value]
