"""Remove what moves everywhere alike: offsets on ground that is known to be stable should be zero."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sensetrack.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.ot.interfaces import OffsetField

BiasModel = Literal["median", "plane"]

_CLIP = 3.0
"""Posts further than this many NMAD from the fit take no part in it."""


def nmad(values: NDArray[Any]) -> float:
    """Normalised median absolute deviation, 1.4826 median|v - median v|: a standard deviation blind to outliers."""
    return float(1.4826 * np.median(np.abs(values - np.median(values)))) if values.size else float("nan")


@dataclass(frozen=True)
class BiasReport:
    """What was found on stable ground; pairs are (row, col) in px."""

    model: str
    posts: int
    """Good posts on stable ground."""
    median_before: tuple[float, float]
    median_after: tuple[float, float]
    nmad_before: tuple[float, float]
    nmad_after: tuple[float, float]
    coefficients: tuple[tuple[float, ...], tuple[float, ...]]
    """Of each component: constant[, per post row, per post column], px, from the middle of the field."""
    sigma_scale: tuple[float, float]
    """By how much the formal standard errors were multiplied to agree with the scatter on stable ground."""


def unbias(
    field: OffsetField, stable: NDArray[np.bool_], model: BiasModel = "median", *, min_posts: int = 10
) -> tuple[OffsetField, BiasReport]:
    """Subtract the bias of stable ground from a field, and fit its standard errors to the scatter there.

    Parameters
    ----------
    field : OffsetField
    stable : ndarray of bool
        Shape of the field; True where the truth is zero.
    model : {"median", "plane"}
        One shift for all, or a shift that grows linearly along rows and columns.
    min_posts : int
        Good stable posts that are needed.

    Raises
    ------
    InputError
        Too few good posts on stable ground.
    """
    used = stable & field.good
    number = int(used.sum())
    if number < min_posts:
        message = f"stable ground must hold at least {min_posts} good posts, instead got {number}"
        raise InputError(message, advice="draw more of it, or lower --step")
    pairs = [_fit(component, used, model) for component in (field.d_row, field.d_col)]
    clean = [component - fitted for component, (fitted, _) in zip((field.d_row, field.d_col), pairs, strict=True)]
    before = [component[used] for component in (field.d_row, field.d_col)]
    after = [component[used] for component in clean]
    scatter = nmad(after[0]), nmad(after[1])
    covariance, scale = _calibrate(field, used, after, scatter)
    report = BiasReport(
        model=model,
        posts=number,
        median_before=(float(np.median(before[0])), float(np.median(before[1]))),
        median_after=(float(np.median(after[0])), float(np.median(after[1]))),
        nmad_before=(nmad(before[0]), nmad(before[1])),
        nmad_after=scatter,
        coefficients=(pairs[0][1], pairs[1][1]),
        sigma_scale=scale,
    )
    d_row, d_col = (part.astype(np.float32) for part in clean)
    return replace(field, d_row=d_row, d_col=d_col, covariance=covariance), report


def _fit(component: NDArray[Any], used: NDArray[np.bool_], model: BiasModel) -> tuple[NDArray[Any], tuple[float, ...]]:
    """Fit the bias of one component, and spread it over the field."""
    if model == "median":
        constant = float(np.median(component[used]))
        return np.full(component.shape, constant), (constant,)
    row, col = np.indices(component.shape, float)
    row, col = row - row.mean(), col - col.mean()
    design = np.stack([np.ones_like(row), row, col], axis=-1)
    kept = used.copy()
    for _ in range(5):
        weights = np.linalg.lstsq(design[kept], component[kept].astype(float), rcond=None)[0]
        rest = component - design @ weights
        kept = used & (np.abs(rest - np.median(rest[used])) <= _CLIP * max(nmad(rest[used]), 1e-6))
    return design @ weights, tuple(float(weight) for weight in weights)


def _calibrate(
    field: OffsetField, used: NDArray[np.bool_], after: list[NDArray[Any]], scatter: tuple[float, float]
) -> tuple[NDArray[Any], tuple[float, float]]:
    """Scale the formal variances so that residual / sigma has an NMAD of 1 on stable ground.

    Noise is not white and chips overlap, so that formal errors are too small; without formal errors the
    scatter itself is the error of every post.
    """
    if field.covariance is None:
        flat = np.zeros((*field.grid.shape, 3), np.float32)
        flat[..., 0], flat[..., 1] = scatter[0] ** 2, scatter[1] ** 2
        return flat, (1.0, 1.0)
    scale = []
    for i in (0, 1):
        sigma = np.sqrt(field.covariance[..., i][used])
        known = sigma > 0
        ratio = nmad(after[i][known] / sigma[known]) if known.sum() > 2 else 1.0
        scale.append(ratio if np.isfinite(ratio) and ratio > 0 else 1.0)
    factors = np.array([scale[0] ** 2, scale[1] ** 2, scale[0] * scale[1]], np.float32)
    return field.covariance * factors, (scale[0], scale[1])
