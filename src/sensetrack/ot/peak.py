"""The peak of a correlation surface: where between the samples it is, and how far it can be trusted."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

TAPS = 12
MARGIN = TAPS // 2
"""Samples of a surface needed on each side of a peak to interpolate it."""
_BETA = 4.0
"""Kaiser window of the interpolator: a compromise between ripple and width at 12 taps."""
COPY = 1 - 1e-5
"""Correlation, 1 but for rounding, from which a chip is a copy of what it is compared with: moved by whole samples."""
ROOT = 0.1
"""Peaks are looked for on the root of (correlation + this): its top is at the same place, and as it is flatter, what is
interpolated is less aliased. At the top the curvature of the correlation is that of the root times twice the root."""
LOWEST = 1e-3
"""Least value a root is taken of; only troughs far from a peak are below."""
_FADE = (0.3, 0.5)
"""Frequencies, cycles a sample, between which what decides the place of a peak fades out."""
_PER_SAMPLE = 512
"""Places per sample in the table of weights; between them weights are interpolated, to 1e-6."""
_NEAR = 2
"""Samples around the peak that belong to it when the rest of the surface is judged."""


Subpixel = Literal["sinc", "parabola", "gaussian", "dft"]
"""How a peak is found between samples: the top of a windowed sinc (no bias), of a parabola or a Gaussian through three
samples along each axis (quick, drawn to whole samples), or of the Fourier series of the samples around it."""


class Peaks(NamedTuple):
    """One entry per surface; NaN where a surface has no usable peak."""

    row: NDArray[np.float64]
    """Row of the peak in samples of the surface, its middle being 0."""
    col: NDArray[np.float64]
    """Column of the peak, likewise."""
    score: NDArray[np.float64]
    """Height of the peak."""
    snr: NDArray[np.float64]
    """Height over the mean magnitude of the surface away from the peak."""
    peak_ratio: NDArray[np.float64]
    """Height over that of the second highest local maximum; at most 1000."""
    curvature: NDArray[np.float64]
    """(n, 3): second derivatives by row, by column and mixed; negative definite at a clean peak."""
    at_edge: NDArray[np.bool_]
    """True where the highest sample lies on the edge of the search or of the valid surface."""
    missing: NDArray[np.bool_]
    """True where a surface holds no sample at all."""


def find_peaks(
    surfaces: NDArray[Any],
    search: tuple[int, int],
    subpixel: Subpixel = "sinc",
    *,
    within: NDArray[np.integer] | None = None,
) -> Peaks:
    """Find the highest peak of each surface to a small fraction of a sample.

    Newton's method on the surface, interpolated with a Kaiser-windowed sinc of 12 taps: the correlation of
    band-limited images is band-limited, so that interpolating it equals interpolating the images. Where
    samples are missing around the peak, a parabola through its direct neighbours is used.

    Parameters
    ----------
    surfaces : ndarray
        (n, 2 p + 1, 2 q + 1), NaN where undefined; p, q at least `search` + `MARGIN`.
    search : (int, int)
        Half width in which the highest sample is looked for, (rows, cols).
    subpixel : str
        How the top is found between samples.
    within : ndarray of int, optional
        (n, 4): first row, last row, first column and last column, from the middle, of the samples looked at.
    """
    n, rows, cols = surfaces.shape
    middle = rows // 2, cols // 2
    inner = surfaces[
        :,
        middle[0] - search[0] : middle[0] + search[0] + 1,
        middle[1] - search[1] : middle[1] + search[1] + 1,
    ]
    left_out = np.isnan(inner)
    box = np.tile([-search[0], search[0], -search[1], search[1]], (n, 1)) if within is None else within
    if within is not None:
        left_out |= ~_inside(within, search)
    filled = np.where(left_out, -np.inf, inner)
    best = filled.reshape(n, inner.shape[1] * inner.shape[2]).argmax(axis=1)
    at_row, at_col = np.unravel_index(best, inner.shape[1:])
    each = np.arange(n)
    height = filled[each, at_row, at_col]
    missing = ~np.isfinite(height)
    row_rim, col_rim = (
        at[:, None] == box[:, k : k + 2] + half for at, k, half in ((at_row, 0, search[0]), (at_col, 2, search[1]))
    )
    at_edge = row_rim.any(axis=1) | col_rim.any(axis=1)
    top, left = at_row + middle[0] - search[0], at_col + middle[1] - search[1]
    patch = patches(surfaces, top, left)
    near = patch[:, MARGIN - 1 : MARGIN + 2, MARGIN - 1 : MARGIN + 2]
    at_edge |= ~missing & ~np.isfinite(near).all(axis=(1, 2))
    usable = ~missing & ~at_edge
    row, col, top_score, curvature = locate(np.where(usable[:, None, None], patch, 0.0), subpixel)
    score = np.where(usable, top_score, np.where(missing, np.nan, height))
    snr, ratio = _rest(filled, at_row, at_col, score)
    row, col = (np.where(missing, np.nan, np.where(usable, value, 0.0)) for value in (row, col))
    return Peaks(
        row + at_row - search[0], col + at_col - search[1], np.minimum(score, 1.0), snr, ratio,
        np.where(usable[:, None], curvature, np.nan), at_edge, missing,
    )  # fmt: skip


def _inside(within: NDArray[np.integer], search: tuple[int, int]) -> NDArray[np.bool_]:
    """(n, rows, cols) of the search: which samples lie in the box of a surface."""
    row, col = (np.arange(-half, half + 1) for half in search)
    top, bottom, left, right = within.T[:, :, None]
    return np.asarray(((row >= top) & (row <= bottom))[:, :, None] & ((col >= left) & (col <= right))[:, None])


def patches(surfaces: NDArray[Any], row: NDArray[Any], col: NDArray[Any]) -> NDArray[np.float64]:
    """(n, 13, 13) samples around (row, col), repeated beyond the rim; the middle one is the peak."""
    reach = np.arange(-MARGIN, MARGIN + 1)
    rows = np.clip(row[:, None] + reach, 0, surfaces.shape[1] - 1)
    cols = np.clip(col[:, None] + reach, 0, surfaces.shape[2] - 1)
    each = np.arange(len(surfaces))[:, None, None]
    return surfaces[each, rows[:, :, None], cols[:, None, :]].astype(float)


def interpolate(
    patch: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Find the top of (n, 13, 13) samples whose middle is a peak.

    Returns
    -------
    row, col, score, curvature : ndarray
        Place of the top against the middle, samples; its height; second derivatives as in `Peaks`.
    """
    row, col, curvature = _parabola(patch[:, MARGIN - 1 : MARGIN + 2, MARGIN - 1 : MARGIN + 2])
    score = patch[:, MARGIN, MARGIN].copy()
    copies = score >= COPY
    row[copies], col[copies] = 0.0, 0.0
    clean = np.isfinite(patch).all(axis=(1, 2)) & ~copies
    if clean.any():
        row[clean], col[clean], score[clean], curvature[clean] = _newton(patch[clean], row[clean], col[clean])
    return row, col, score, curvature


def _parabola(near: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Vertex of a parabola along each axis of (n, 3, 3) samples, and the second derivatives."""
    up, centre, down = near[:, 0, 1], near[:, 1, 1], near[:, 2, 1]
    left, right = near[:, 1, 0], near[:, 1, 2]
    by_row, by_col = up - 2 * centre + down, left - 2 * centre + right
    mixed = (near[:, 0, 0] + near[:, 2, 2] - near[:, 0, 2] - near[:, 2, 0]) / 4
    row = np.where(by_row < 0, (up - down) / (2 * np.where(by_row < 0, by_row, -1.0)), 0.0)
    col = np.where(by_col < 0, (left - right) / (2 * np.where(by_col < 0, by_col, -1.0)), 0.0)
    return row, col, np.stack([by_row, by_col, mixed], axis=-1)


def locate(
    patch: NDArray[np.float64], method: Subpixel
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Find the top of (n, 13, 13) samples whose middle is a peak, by one of several methods; see `interpolate`."""
    if method == "sinc":
        return interpolate(patch)
    near = patch[:, MARGIN - 1 : MARGIN + 2, MARGIN - 1 : MARGIN + 2]
    row, col, curvature = _parabola(near)
    if method == "gaussian":
        # A Gaussian's logarithm is a parabola (Willert and Gharib 1991); it needs samples above 0.
        positive = (near > 0).all(axis=(1, 2))
        row[positive], col[positive], _ = _parabola(np.log(near[positive]))
    elif method == "dft":
        clean = np.isfinite(patch).all(axis=(1, 2))
        row[clean], col[clean], score = _by_dft(patch[clean])
        height = patch[:, MARGIN, MARGIN].copy()
        height[clean] = score
        return row, col, height, curvature
    row, col = np.clip(row, -0.99, 0.99), np.clip(col, -0.99, 0.99)
    rr, cc, rc = np.moveaxis(curvature, -1, 0)
    score = patch[:, MARGIN, MARGIN] - (rr * row**2 + cc * col**2 + 2 * rc * row * col) / 2
    return row, col, score, curvature


def _by_dft(patch: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Top of samples taken as periodic, to 0.01 of one: a first look at tenths, a second at hundredths around it."""
    row, col = np.zeros(len(patch)), np.zeros(len(patch))
    for step in (0.1, 0.01):
        near = np.arange(-7, 8) * step
        by_row, by_col = (_dirichlet(place[:, None] + near) for place in (row, col))
        values = np.einsum("nui,nij,nvj->nuv", by_row, patch, by_col, optimize=True)
        i, j = np.unravel_index(values.reshape(len(patch), -1).argmax(axis=1), values.shape[1:])
        row, col = row + near[i], col + near[j]
    return row, col, values.reshape(len(patch), -1).max(axis=1)


def _dirichlet(place: NDArray[Any]) -> NDArray[Any]:
    """Weights of 13 periodic samples at -6..6 for the band-limited curve through them; one more axis, of 13."""
    x = np.pi * (place[..., None] - np.arange(-MARGIN, MARGIN + 1))
    size = 2 * MARGIN + 1
    whole = np.abs(np.sin(x / size)) < 1e-9
    return np.where(whole, 1.0, np.sin(x) / (size * np.where(whole, 1.0, np.sin(x / size))))


def _taps(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of the 13 samples at -6..6 at `place`, |place| < 1; see `tap_table`: (n, 4, 13)."""
    table = tap_table()
    at = (place + 1) * _PER_SAMPLE
    low = at.astype(int)
    weight = (at - low)[:, None, None]
    return np.asarray(table[low] * (1 - weight) + table[low + 1] * weight)


@cache
def tap_table() -> NDArray[np.float64]:
    """Weights at every place of the table, (places, 4, 13): value, slope and curvature, faded, and value as it is.

    The place of a peak is that of the surface without its finest detail: frequencies from 0.3 cycles a sample up fade
    out to nothing at 0.5. Detection doubles the band of SAR amplitude, so that much of what is up there is folded back,
    and pulls peaks to whole samples: by up to 0.04 samples on speckle with the plain sinc, by less than 0.005 like
    this and on the root (see `ROOT`). The height is that of the surface as it is.

    Both kernels are cut by a Kaiser window that reaches 6 samples to each side, so at most 12 of the 13 count. It is
    bent to end at 0 with a slope of 0: a step or a bend there would be one in the surface at every whole sample.
    """
    place = np.arange(2 * _PER_SAMPLE + 2) / _PER_SAMPLE - 1
    step = 1e-3  # derivatives by central differences: error 1e-6 of a curvature near 1
    x = place[:, None, None] + np.array([-step, 0.0, step])[:, None] - np.arange(-MARGIN, MARGIN + 1)
    inside = np.abs(x) < MARGIN
    rest = np.where(inside, 1 - (x / MARGIN) ** 2, 0.0)
    window = (np.i0(_BETA * np.sqrt(rest)) - 1) * rest
    plain, faded = (kernel * window for kernel in (np.sinc(x), _faded_sinc(x)))
    plain, faded = (weight / weight.sum(axis=-1, keepdims=True) for weight in (plain, faded))
    below, here, above = faded[:, 0], faded[:, 1], faded[:, 2]
    slope, curvature = (above - below) / (2 * step), (above - 2 * here + below) / step**2
    return np.stack([here, slope, curvature, plain[:, 1]], axis=1)


def _faded_sinc(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Raised-cosine kernel: passes up to `_FADE[0]` cycles a sample, falls like a cosine to nothing at `_FADE[1]`."""
    band, roll = _FADE[0] + _FADE[1], _FADE[1] - _FADE[0]
    below = 1 - (2 * roll * x) ** 2
    hole = np.abs(below) < 1e-9  # 0 / 0; the limit is pi / 4 of the sinc there
    shape = np.where(hole, np.pi / 4, np.cos(np.pi * roll * x) / np.where(hole, 1.0, below))
    return np.asarray(band * np.sinc(band * x) * shape)


def _newton(
    patch: NDArray[Any], row: NDArray[Any], col: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Climb from a first guess to the top of the interpolated surface, by way of its root; see `ROOT`."""
    row, col = np.clip(row, -0.6, 0.6), np.clip(col, -0.6, 0.6)
    root = np.sqrt(np.maximum(patch + ROOT, LOWEST))
    for _ in range(6):
        by_row, by_col = _taps(row), _taps(col)
        jet = np.einsum("nij,njk,nlk->nil", by_row[:, :3], root, by_col[:, :3])
        slope_row, slope_col = jet[:, 1, 0], jet[:, 0, 1]
        rr, cc, rc = jet[:, 2, 0], jet[:, 0, 2], jet[:, 1, 1]
        determinant = rr * cc - rc**2
        peaked = (determinant > 0) & (rr < 0)
        safe = np.where(peaked, determinant, 1.0)
        step_row = np.where(peaked, (cc * slope_row - rc * slope_col) / safe, 0.0)
        step_col = np.where(peaked, (rr * slope_col - rc * slope_row) / safe, 0.0)
        row = np.clip(row - np.clip(step_row, -0.5, 0.5), -0.99, 0.99)
        col = np.clip(col - np.clip(step_col, -0.5, 0.5), -0.99, 0.99)
    height = np.einsum("nj,njk,nk->n", by_row[:, 3], patch, by_col[:, 3])
    return row, col, height, 2 * jet[:, 0, 0, None] * np.stack([rr, cc, rc], axis=-1)


def _rest(
    filled: NDArray[Any], at_row: NDArray[Any], at_col: NDArray[Any], score: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Signal to noise and peak ratio: the peak against everything away from it."""
    reach = np.arange(filled.shape[1])[:, None], np.arange(filled.shape[2])[None, :]
    away = (np.abs(reach[0] - at_row[:, None, None]) > _NEAR) | (np.abs(reach[1] - at_col[:, None, None]) > _NEAR)
    known = np.isfinite(filled) & away
    number = np.maximum(known.sum(axis=(1, 2)), 1)
    noise = np.where(known, np.abs(np.where(known, filled, 0.0)), 0.0).sum(axis=(1, 2)) / number
    snr = score / np.maximum(noise, 1e-3)
    summit = filled == ndimage.maximum_filter(filled, size=(1, 3, 3), mode="constant", cval=-np.inf)
    second = np.where(known & summit, filled, 0.0).max(axis=(1, 2))
    return snr, score / np.maximum(second, 1e-3 * np.maximum(score, 1e-3))
