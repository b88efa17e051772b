"""The fringes between two complex images over a tile of chips, found on some of its posts as one smooth phase.

Ground that moved along the flight of a TOPS burst has fringes along it, of `kt dt^2` cycles a line for each line, and
ground that was strained has fringes wherever it is: within a chip there may be several. A chip's blocks show what is
left of them only roughly, so the phase of the whole tile is taken off the secondary, pixel by pixel, first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Pair = tuple[int, int]

_CELLS = 32
"""Cells of a chip along an axis, each a sum of pixels, of which a spectrum is made: at the most."""
_SURE = 7.0
"""Minus the logarithm of the chance of a fringe in pure noise from which it is believed."""
_FEW = 3
"""Posts with fringes below which a tile has none."""
_FAINT = 0.06
"""Cycles a chip, as the median of its posts, below which there is nothing to take off."""
_KNOT = 2
"""Distance of the knots of the phase, in posts that were looked at."""
_STIFF = 1e-3
"""Weight of a change of the frequency from knot to knot (cycles a knot) against a misfit (cycles a chip), both
squared."""
_OUTLIER = 0.3
"""Misfit that counts half, cycles a chip."""
_ROUNDS = 5
_STRIP = 128
"""Rows that are turned at once."""


class Tones(NamedTuple):
    """The fringes of some chips."""

    middles: Floats
    """(n, 2): middles of the chips, px from the first pixel of the tile, down and across."""
    frequencies: Floats
    """(n, 2): cycles a pixel."""


class Phase(NamedTuple):
    """A smooth phase over a tile, in cycles: cubic splines down and across."""

    weights: Floats
    """(knots down, knots across)."""
    spacing: tuple[float, float]
    """Of the knots, px; the first patch of the splines begins at the first pixel of the tile."""

    def turned(self, pixels: NDArray[np.complex64], corner: Pair, share: float) -> NDArray[np.complex64]:
        """Add a share of the phase to pixels, the first of which is at `corner` of the tile."""
        down, across = (
            _splines(np.arange(size) + at, spacing, number)[0]
            for size, at, spacing, number in zip(pixels.shape, corner, self.spacing, self.weights.shape, strict=True)
        )
        weights = share * self.weights @ across.T
        out = np.empty(pixels.shape, np.complex64)
        for top in range(0, pixels.shape[0], _STRIP):
            rows = slice(top, top + _STRIP)
            cycles = down[rows] @ weights
            cycles -= np.round(cycles)
            angle = (2 * np.pi * cycles).astype(np.float32)
            out[rows].real, out[rows].imag = np.cos(angle), np.sin(angle)
            out[rows] *= pixels[rows]
        return out

    def frequencies(self, middles: Floats) -> Floats:
        """Return cycles a pixel (n, 2) at places (n, 2) of the tile."""
        return np.stack([slope @ self.weights.ravel() for slope in _slopes(self, middles)], axis=-1)


def tones(
    images: tuple[NDArray[np.complex64], NDArray[np.complex64]],
    starts: tuple[NDArray[np.int64], NDArray[np.int64]],
    chip: Pair,
    looks: NDArray[np.float64],
) -> Tones:
    """Find the fringes of chips that have been matched to a pixel; those of which noise may be the cause are left out.

    Parameters
    ----------
    images : tuple of two ndarray
        Reference and secondary, (rows, cols) complex; NaN = missing.
    starts : tuple of two ndarray of int
        (n, 2): first pixel of each chip in the reference, and in the secondary.
    looks : ndarray
        (n): independent samples of each chip.
    """
    corners, places = starts
    if not len(corners):
        return Tones(np.empty((0, 2)), np.empty((0, 2)))
    wide = [max(size // _CELLS, 1) for size in chip]
    cells = [size // each for size, each in zip(chip, wide, strict=True)]
    sums = np.zeros((len(corners), 2 * cells[0], 2 * cells[1]), np.complex64)
    energy = np.zeros(len(corners))
    for k, (corner, place) in enumerate(zip(corners.tolist(), places.tolist(), strict=True)):
        a, b = _chip(images[0], corner, chip), _chip(images[1], place, chip)
        energy[k] = float(np.vdot(a, a).real) * float(np.vdot(b, b).real)
        product = (a.conj() * b)[: cells[0] * wide[0], : cells[1] * wide[1]]
        folded = product.reshape(cells[0], wide[0], cells[1] * wide[1]).sum(axis=1)
        sums[k, : cells[0], : cells[1]] = folded.reshape(cells[0], cells[1], wide[1]).sum(axis=2)
    power = np.abs(fft.fft2(sums, axes=(1, 2))) ** 2
    best = power.reshape(len(corners), -1).argmax(axis=1)
    row, col = np.unravel_index(best, power.shape[1:])
    height = power[np.arange(best.size), row, col] / np.maximum(energy, 1e-30)
    sure = looks * height > _SURE + np.log(cells[0] * cells[1])
    found = np.stack([_between(power, row, col, 1), _between(power, row, col, 2)], axis=-1)
    return Tones((corners + np.array(chip) / 2)[sure], (found / np.array(wide))[sure])


def _chip(image: NDArray[np.complex64], corner: list[int], chip: Pair) -> NDArray[np.complex64]:
    pixels = image[corner[0] : corner[0] + chip[0], corner[1] : corner[1] + chip[1]]
    good = np.isfinite(pixels)
    return pixels if good.all() else np.where(good, pixels, np.complex64(0))


def _between(power: NDArray[Any], row: NDArray[Any], col: NDArray[Any], axis: int) -> Floats:
    """Frequencies of the tops of spectra along an axis, cycles a cell: parabolas through the highest sample."""
    size, at = power.shape[axis], (row, col)[axis - 1]
    each = np.arange(row.size)
    sides = [power[each, (row + k) % power.shape[1], col] if axis == 1 else
             power[each, row, (col + k) % power.shape[2]] for k in (-1, 0, 1)]  # fmt: skip
    bend = np.minimum(sides[0] - 2 * sides[1] + sides[2], -1e-30)
    top = at + np.clip((sides[0] - sides[2]) / (2 * bend), -0.5, 0.5)
    return np.asarray(((top + size / 2) % size - size / 2) / size, float)


def fitted(found: Tones, chip: Pair, spacing: Pair, size: Pair) -> Phase | None:
    """Lay a smooth phase through fringes, robustly; None where there are too few or hardly any.

    Parameters
    ----------
    found : Tones
    spacing : (int, int)
        Distance of the posts that were looked at, px.
    size : (int, int)
        Rows and columns of the tile.
    """
    if len(found.middles) < _FEW:
        return None
    scale = np.array(chip, float)
    wanted = found.frequencies * scale  # cycles a chip
    if (np.median(np.abs(wanted), axis=0) < _FAINT).all():
        return None
    wide = [max(float(_KNOT * each), extent / _CELLS) for each, extent in zip(spacing, size, strict=True)]
    number = [int(np.ceil(extent / each)) + 3 for extent, each in zip(size, wide, strict=True)]
    phase = Phase(np.zeros((number[0], number[1])), (wide[0], wide[1]))
    rows = np.concatenate([slope * each for slope, each in zip(_slopes(phase, found.middles), scale, strict=True)])
    target = wanted.T.ravel()
    stiff = _STIFF * _bends(number[0], number[1])
    stiff += 1e-9 * np.eye(stiff.shape[0])  # a constant means nothing
    trust, misfit = np.ones(target.size), target
    weights = phase.weights.ravel()
    for _ in range(_ROUNDS):
        weights = np.linalg.solve((rows.T * trust) @ rows + stiff, rows.T @ (trust * target))
        misfit = rows @ weights - target
        trust = np.tile(1 / (1 + (misfit.reshape(2, -1) ** 2).sum(axis=0) / _OUTLIER**2), 2)
    if np.median(np.abs(misfit)) >= np.median(np.abs(target)):
        return None
    return phase._replace(weights=weights.reshape(phase.weights.shape))


def _splines(place: NDArray[Any], spacing: float, number: int) -> tuple[Floats, Floats]:
    """Cubic B-splines and their slopes (a px) at places: (places, number)."""
    at = np.asarray(place, float) / spacing
    first = np.clip(np.floor(at).astype(np.int64), 0, number - 4)
    t = at - first
    s = 1 - t
    values = s**3, 3 * t**3 - 6 * t**2 + 4, 3 * s**3 - 6 * s**2 + 4, t**3
    slopes = -3 * s**2, 9 * t**2 - 12 * t, -9 * s**2 + 12 * s, 3 * t**2
    out = np.zeros((2, at.size, number))
    each = np.arange(at.size)
    for k in range(4):
        out[0, each, first + k] = values[k] / 6
        out[1, each, first + k] = slopes[k] / (6 * spacing)
    return out[0], out[1]


def _slopes(phase: Phase, middles: Floats) -> tuple[Floats, Floats]:
    """Return what each weight adds to the slopes down and across, a px, at places (n, 2): (n, weights) each."""
    (down, down_slope), (across, across_slope) = (
        _splines(middles[:, k], phase.spacing[k], phase.weights.shape[k]) for k in (0, 1)
    )
    pairs = (down_slope, across), (down, across_slope)
    one, two = (np.einsum("ni,nj->nij", a, b).reshape(len(middles), -1) for a, b in pairs)
    return one, two


def _bends(down: int, across: int) -> Floats:
    """Squared second differences of weights along both axes and of neighbours across both, as a matrix."""
    i, j = np.eye(down), np.eye(across)
    twice = np.kron(np.diff(i, 2, axis=0), j), np.kron(i, np.diff(j, 2, axis=0))
    mixed = np.kron(np.diff(i, axis=0), np.diff(j, axis=0)) * np.sqrt(2)
    return np.asarray(sum(each.T @ each for each in (*twice, mixed)))
