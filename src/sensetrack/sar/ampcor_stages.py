"""The steps of ampcor on many windows at once: correlation, its quality, twice the samples, the peak between pixels.

Every function takes arrays whose first axis is the window. Correlations and what follows from them are in double
precision but for the products of pixels, which are summed in single precision by the kernels of the matching engine.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from sensetrack.ot.engine import best_kernel, kernels
from sensetrack.ot.engine.scratch import take

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating[Any]]
    Doubles = NDArray[np.float64]
    Ints = NDArray[np.int64]

SHARE = 0.9
"""Part of the pixels of a window, and of its search area, that must be there."""
REACH = 4
"""Pixels around the whole-pixel peak that are looked at again with twice the samples."""
_BOX = 10
"""Half width of the box that the SNR is measured in, px."""
_MOST_SNR = 9999.99999
_FLAT = 1e-9
"""Part of its power that a piece of an image must vary by; below that its correlation is 0."""
_TAPS, _BETA = 8, 0.75
"""Samples around a place, and the bandwidth, of the sinc that a surface is interpolated with."""


def surfaces(templates: Floats, areas: Floats, *, holes: bool) -> Doubles:
    """Correlate templates with all places of their search areas.

    Parameters
    ----------
    templates : (n, h, w) float32
    areas : (n, H, W) float32
    holes : bool
        Zeros of a template are missing pixels: its mean and spread are those of the others.

    Returns
    -------
    (n, H - h + 1, W - w + 1) float64
        0 where the template or the place is flat.
    """
    (n, h, w), (down, across) = templates.shape, areas.shape[1:]
    size = h * w
    count = np.maximum(np.count_nonzero(templates, axis=(1, 2)), 1) if holes else size
    mean = _single(templates.sum(axis=2).sum(axis=1, dtype=float) / count)
    # As in ampcor, missing pixels count with the mean taken off them in the products, but not in the spread.
    # The kernels load vectors that reach beyond the last pixel: that is allowed in this memory, and only there.
    centred = np.subtract(templates, mean[:, None, None], out=take("ampcor templates", templates.shape))
    sum_squares = np.einsum("nij,nij->ni", centred, centred).sum(axis=1, dtype=float)
    spread = np.sqrt(np.maximum(sum_squares - (size - count) * mean.astype(float) ** 2, 0) / count)
    level = _single(areas.sum(axis=2).sum(axis=1, dtype=float) / (down * across))
    rest = np.subtract(areas, level[:, None, None], out=take("ampcor areas", areas.shape))
    left = level * centred.sum(axis=2).sum(axis=1, dtype=float)
    cross = _products(centred, rest, (n, down - h + 1, across - w + 1)) + left[:, None, None]
    total = _box_sums(rest, h, w, squares=False)
    power = _box_sums(rest, h, w, squares=True)
    below = size * power - total**2
    textured = below > _FLAT * size**2 * (power / size + level[:, None, None].astype(float) ** 2)
    textured &= (spread > np.sqrt(_FLAT) * np.abs(mean))[:, None, None]
    below = spread[:, None, None] * np.sqrt(np.where(textured, below, 1))
    return np.where(textured, cross / np.where(textured, below, 1), 0)


def _single(values: Floats) -> NDArray[np.float32]:
    return values.astype(np.float32)


def _products(templates: NDArray[np.float32], areas: NDArray[np.float32], shape: tuple[int, int, int]) -> Doubles:
    """Sum the products of templates with all places of their areas, both in memory of `take`."""
    (n, h, w), down = templates.shape, areas.shape[1]
    name = best_kernel()
    if name == "opencv":
        return plain_products(templates, areas)
    sums = kernels.sums(name, shape[1], shape[2], h, w)
    out = np.zeros(shape, np.float32)
    places = np.zeros((n, 6), np.int64)
    places[:, 0], places[:, 2] = h * np.arange(n), down * np.arange(n)
    places[:, 4], places[:, 5] = w, shape[1] * shape[2] * np.arange(n)
    a, b = (x.reshape(-1, x.shape[2]) for x in (templates, areas))
    sums(a, b, places, np.ones(n, np.uint8), h, shape[1], shape[2], shape[2], out.reshape(-1))
    return out.astype(float)


def plain_products(templates: Floats, areas: Floats) -> Doubles:
    """Sum the same products by Fourier transforms: slower, where nothing can be compiled."""
    from scipy import fft

    (h, w), (down, across) = templates.shape[1:], areas.shape[1:]
    size = fft.next_fast_len(down, real=True), fft.next_fast_len(across, real=True)
    spectrum = np.conj(fft.rfft2(templates.astype(float), size)) * fft.rfft2(areas.astype(float), size)
    return np.asarray(fft.irfft2(spectrum, size)[:, : down - h + 1, : across - w + 1])


def _box_sums(values: NDArray[np.float32], h: int, w: int, *, squares: bool) -> Doubles:
    """Sum the values, or their squares, in the boxes of h x w at every place."""
    across = values.shape[2] - w
    first = values[:, :, :w]
    line = np.einsum("nij,nij->ni", first, first) if squares else first.sum(axis=2)
    enter, leave = (values[:, :, x : x + across].astype(float) for x in (w, 0))
    step = enter**2 - leave**2 if squares else enter - leave
    lines = np.concatenate([line[:, :, None].astype(float), step], axis=2).cumsum(axis=2)
    down = lines.shape[1] - h
    steps = lines[:, h:] - lines[:, :down]
    return np.concatenate([lines[:, :h].sum(axis=1, keepdims=True), steps], axis=1).cumsum(axis=1)


def first_peaks(surface: Doubles) -> tuple[Ints, Ints, Doubles]:
    """Return row, column and height of the highest peaks; of equal ones the first, columns outside and rows inside."""
    n, rows, _ = surface.shape
    turned = surface.transpose(0, 2, 1).reshape(n, -1)
    at = turned.argmax(axis=1)
    col, row = np.divmod(at, rows)
    return row, col, turned[np.arange(n), at]


def signal_to_noise(surface: Doubles, row: Ints, col: Ints) -> Doubles:
    """Squared peak over the mean square in a box of 21 x 21 around it, without the last row and column."""
    n, rows, cols = surface.shape
    squares = np.zeros((n, rows, cols))
    squares[:, 1:, 1:] = (surface[:, :-1, :-1] ** 2).cumsum(axis=1).cumsum(axis=2)
    top, bottom = np.maximum(row - _BOX, 0), np.minimum(row + _BOX + 1, rows - 1)
    left, right = np.maximum(col - _BOX, 0), np.minimum(col + _BOX + 1, cols - 1)
    i = np.arange(n)
    box = squares[i, bottom, right] - squares[i, top, right] - squares[i, bottom, left] + squares[i, top, left]
    peak = surface[i, row, col] ** 2
    noise = np.maximum(box - peak, 0) / np.maximum((bottom - top) * (right - left) - 1, 1)
    return np.where(noise * _MOST_SNR > peak, peak / np.where(noise > 0, noise, 1), _MOST_SNR)


def covariances(surface: Doubles, row: Ints, col: Ints, size: int) -> Doubles:
    """Return (n, 3): variance down the rows, along the columns, covariance, px^2; NaN where the peak is flat.

    Peaks must not be on the border. `size` is the number of pixels of a window.
    """
    i = np.arange(row.size)

    def at(down: int, right: int) -> Doubles:
        return surface[i, row + down, col + right]

    peak = at(0, 0)
    xx = -(at(0, 1) + at(0, -1) - 2 * peak) * size
    yy = -(at(1, 0) + at(-1, 0) - 2 * peak) * size
    xy = (at(1, 1) + at(-1, -1) - at(-1, 1) - at(1, -1)) / 4 * size
    lack = np.maximum(1 - peak, 0)
    n2, n4 = 2 * lack, 0.5 * size * lack**2
    u = xy**2 - xx * yy
    u = np.where(u == 0, np.nan, u)
    return np.stack(
        [
            (-n2 * u * xx + n4 * (xx**2 + xy**2)) / u**2,
            (-n2 * u * yy + n4 * (yy**2 + xy**2)) / u**2,
            (n2 * u - n4 * (xx + yy)) * xy / u**2,
        ],
        axis=1,
    )


def deramped(chips: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Take the mean phase step along rows and columns out of complex chips."""
    turned = chips
    for axis in (1, 2):
        after, before = (np.moveaxis(chips, axis, 1)[:, part] for part in (slice(1, None), slice(None, -1)))
        step = np.angle(np.einsum("nij,nij->n", after, before.conj()))
        ramp = np.exp(-1j * step[:, None] * np.arange(chips.shape[axis])).astype(np.complex64)
        turned = turned * (ramp[:, :, None] if axis == 1 else ramp[:, None, :])
    return turned


@cache
def _half_way(length: int) -> tuple[NDArray[np.float32], NDArray[np.float32], int]:
    """Return what moves samples by half a sample: a matrix, alternating signs, and the length of the transform.

    Samples are padded with zeros to a power of two, and the highest frequency is a negative one, as in ampcor. It is
    the only one that makes complex numbers of real ones, with signs that alternate: kept apart, it needs no matrix.
    """
    period = 1 << (length - 1).bit_length()
    i = np.arange(length)
    signs = np.where(i % 2, -1.0, 1.0)
    angle = np.pi * (i[:, None] - i + 0.5) / period
    matrix = signs[:, None] * signs / (period * np.tan(angle))
    return matrix.astype(np.float32), signs.astype(np.float32), period


def _moved(real: Floats, imaginary: Floats | None, axis: int) -> tuple[Floats, Floats]:
    """Move samples by half of one along an axis, 1 or 2."""
    matrix, signs, period = _half_way(real.shape[axis])

    def turn(part: Floats) -> Floats:
        return cast("Floats", matrix @ part if axis == 1 else part @ matrix.T)

    def highest(part: Floats) -> Floats:
        if axis == 1:
            return np.asarray(signs[:, None] * ((signs / period) @ part)[:, None, :])
        return np.asarray((part @ (signs / period))[:, :, None] * signs)

    if imaginary is None:
        return turn(real), -highest(real)
    return turn(real) + highest(imaginary), turn(imaginary) - highest(real)


def doubled(chips: NDArray[Any]) -> NDArray[np.float32]:
    """Return the amplitude of real or complex chips at twice the samples, (n, 2 h, 2 w) float32.

    What Fourier transforms of twice the length give, by one small matrix per axis, which is quicker by far.
    """
    n, h, w = chips.shape
    out = np.empty((n, 2 * h, 2 * w), np.float32)
    real = np.ascontiguousarray(chips.real, np.float32)
    imaginary = np.ascontiguousarray(chips.imag, np.float32) if np.iscomplexobj(chips) else None
    right = _moved(real, imaginary, 2)
    for col, (re, im) in enumerate(((real, imaginary), right)):
        _amplitude(re, im, out[:, ::2, col::2])
        _amplitude(*_moved(re, im, 1), out[:, 1::2, col::2])
    return out


def _amplitude(real: Floats, imaginary: Floats | None, out: NDArray[np.float32]) -> None:
    if imaginary is None:
        np.abs(real, out=out)
        return
    power = real * real
    power += imaginary * imaginary
    np.sqrt(power, out=out)


@cache
def _fine_weights(oversampling: int) -> Doubles:
    """Return (2 * oversampling + 1, 8): weights of 8 samples at places around the fifth, `oversampling` to a sample."""
    steps = np.arange(-oversampling - 1, oversampling)
    base, part = np.divmod(steps, oversampling)
    tap = np.arange(-_TAPS // 2 + 1, _TAPS // 2 + 1)
    away = part[:, None] / oversampling - tap
    weights = np.sinc(_BETA * away) * (0.5 + 0.5 * np.cos(np.pi * away / (_TAPS // 2)))
    weights /= weights.sum(axis=1, keepdims=True)
    matrix = np.zeros((steps.size, _TAPS))
    np.put_along_axis(matrix, (_TAPS // 2 + base[:, None] + tap) % _TAPS, weights, axis=1)
    return matrix


def fine_peaks(surface: Doubles, row: Ints, col: Ints, oversampling: int) -> tuple[Ints, Ints]:
    """Return where the surface is highest around a peak, in steps of 1 / oversampling of a sample from it.

    Parameters
    ----------
    surface : (n, rows, cols)
    row, col : (n,)
        The peaks, higher than 0.
    """
    half = _TAPS // 2
    wide = np.pad(surface, ((0, 0), (half, half), (half, half)))
    i, k = np.arange(row.size)[:, None, None], np.arange(_TAPS)
    box = np.abs(wide[i, (row[:, None] + k)[:, :, None], (col[:, None] + k)[:, None, :]])
    box /= box[:, half, half][:, None, None]
    weights = _fine_weights(oversampling)
    zoomed = weights @ (box @ weights.T)
    side = weights.shape[0]
    # Of equal values the last counts, columns outside and rows inside.
    last = side * side - 1 - zoomed.transpose(0, 2, 1).reshape(row.size, -1)[:, ::-1].argmax(axis=1)
    right, down = np.divmod(last, side)
    return down - oversampling - 1, right - oversampling - 1
