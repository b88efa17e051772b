"""Where the pixels of one radar image are in another one, by orbits and heights alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.polynomial import chebyshev

from sensetrack.errors import InputError, NoOverlapError
from sensetrack.sar.geometry import geo2rdr, rdr2geo
from sensetrack.sar.heights import bilinear
from sensetrack.sar.lattice import height_interval, nodes_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from sensetrack.sar.heights import HeightField, Surface
    from sensetrack.sar.radargrid import RadarGrid

    Floats = NDArray[np.float64]

__all__ = ["NODE", "Registration", "register"]

NODE = 8, 16
"""Lines and samples between places whose height is looked up: some 110 m by 40 m of an IW burst."""
_DEGREES = ((2, 4, 2), (4, 6, 2), (7, 9, 3))
"""Of the polynomials in line, sample and height, from what does for a burst to what does for a long scene."""
_EXACT = 1e-4
"""Pixels: what polynomials may miss before those of a higher degree are tried."""
_WORST = 1e-2
"""Pixels: where the last ones miss more, orbits are broken."""


@dataclass(frozen=True, eq=False)
class Registration:
    """Where the pixels of a reference are in a secondary; between nodes interpolated linearly.

    The ground is where the surface says, and stands still: what `offsets` does not know of is motion.
    """

    reference: RadarGrid
    secondary: RadarGrid
    nodes: Floats
    """(3, node rows, node columns), every `NODE` pixels of the reference from its first on and beyond its last:
    height above the ellipsoid, m, and lines and samples to add; NaN where no height is known."""
    residual: tuple[float, float]
    """What polynomials miss between orbits and `nodes`, at most, in lines and samples (measured)."""

    def offsets(self, rows: ArrayLike, cols: ArrayLike) -> tuple[Floats, Floats]:
        """Return lines and samples that lead from pixels of the reference to the secondary.

        Parameters
        ----------
        rows, cols : array-like
            Lines and samples of the reference (pixel centres, may be fractional); broadcast.

        Returns
        -------
        d_line, d_sample : ndarray of float64
            What is at [row, col] of the reference is at [row + d_line, col + d_sample] of the secondary; NaN where no
            height is known, and outside.
        """
        return self._at(1, rows, cols), self._at(2, rows, cols)

    def heights(self, rows: ArrayLike, cols: ArrayLike) -> Floats:
        """Return heights above the ellipsoid, m, of pixels of the reference; NaN as in `offsets`."""
        return self._at(0, rows, cols)

    def slant_phase(self, rows: ArrayLike, cols: ArrayLike) -> Floats:
        """Return 4 pi / wavelength * (R2 - R1), radians, not wrapped: what reference times conj(secondary) shows.

        R1 and R2 are the slant ranges of the same ground in both images; NaN as in `offsets`.
        """
        cols = np.asarray(cols, np.float64)
        return self.phase_of(cols, self._at(2, rows, cols))

    def phase_of(self, cols: Floats, d_sample: Floats) -> Floats:
        """Return what `slant_phase` does, of samples whose offsets are known; broadcast."""
        farther = self.secondary.slant_range(cols + d_sample) - self.reference.slant_range(cols)
        return np.asarray(4 * np.pi / self.reference.wavelength * farther)

    def _at(self, which: int, rows: ArrayLike, cols: ArrayLike) -> Floats:
        row, col = np.broadcast_arrays(np.asarray(rows, np.float64), np.asarray(cols, np.float64))
        inside = (row <= self.reference.lines - 1) & (col <= self.reference.samples - 1)
        return np.where(inside, bilinear(self.nodes[which], row / NODE[0], col / NODE[1]), np.nan)


def register(reference: RadarGrid, secondary: RadarGrid, surface: Surface | HeightField) -> Registration:
    """Find where the pixels of a reference are in a secondary.

    Both orbits and the heights of the ground decide. How lines and samples depend on place and height is smooth: it
    is computed for some places and heights, and polynomials are drawn through that.

    Parameters
    ----------
    reference, secondary : RadarGrid
        In slant range, of one look side; a burst or a longer image. Their epochs may differ.
    surface : Surface
        Heights above the ellipsoid.

    Raises
    ------
    NoOverlapError
        The surface has no height anywhere in the reference, or the secondary did not pass it.
    InputError
        The geometry is not smooth: an orbit is broken.
    """
    if reference.ground is not None or secondary.ground is not None:
        raise InputError("images to register must be in slant range, instead got one in ground range")
    # One pixel more, so that nodes lie on both sides of the last one too.
    rows, cols = (nodes_of(slice(0, size + 1), node) for size, node in zip(reference.shape, NODE, strict=True))
    time, distance = reference.time(rows)[:, None], reference.slant_range(cols)
    heights = rdr2geo(reference, time, distance, surface).height
    if np.isnan(heights).all():
        raise NoOverlapError("the surface has no heights where the reference image is")
    interval = height_interval(heights)
    for degrees in _DEGREES:
        fit = _Fit.of(reference, secondary, interval, degrees)
        residual = fit.misses()
        if max(residual) < _EXACT:
            break
    if not max(residual) < _WORST:
        message = (
            f"offsets must follow from both orbits to {_WORST} px, instead they miss them by {max(residual):.3g} px"
        )
        raise InputError(message, advice="use precise orbit files")
    return Registration(reference, secondary, np.stack([heights, *fit.at(rows, cols, heights)]), residual)


@dataclass(frozen=True, eq=False)
class _Fit:
    """Lines and samples to add as polynomials of line, sample and height, each brought to -1 to 1."""

    reference: RadarGrid
    secondary: RadarGrid
    interval: tuple[float, float]
    """Middle and half width of the heights, m."""
    degrees: tuple[int, int, int]
    coefficients: Floats
    """(2, lines, samples, heights) of Chebyshev polynomials."""

    @classmethod
    def of(
        cls,
        reference: RadarGrid,
        secondary: RadarGrid,
        interval: tuple[float, float],
        degrees: tuple[int, int, int],
    ) -> _Fit:
        """Draw polynomials through what the orbits say at Chebyshev's places, where they miss least in between."""
        places = [np.polynomial.chebyshev.chebpts1(2 * degree + 1) for degree in degrees]
        values = _direct(reference, secondary, interval, places)
        for axis, (at, degree) in enumerate(zip(places, degrees, strict=True), start=1):
            inverse = np.linalg.pinv(chebyshev.chebvander(at, degree))
            values = np.moveaxis(np.tensordot(inverse, values, (1, axis)), 0, axis)
        if np.isnan(values).any():
            message = "the secondary image must have been taken where the reference was, instead it never passed there"
            raise NoOverlapError(message, advice="give scenes of one track, and orbits of the days of both")
        return cls(reference, secondary, interval, degrees, values)

    def at(self, rows: Floats, cols: Floats, heights: Floats) -> Floats:
        """Return lines and samples to add, (2, rows, cols), at nodes with heights (rows, cols)."""
        middle, half = self.interval
        down, across = (
            chebyshev.chebvander(_scaled(at, size), degree)
            for at, size, degree in zip((rows, cols), self.reference.shape, self.degrees, strict=False)
        )
        by_height = chebyshev.chebvander((heights - middle) / half, self.degrees[2])
        terms = np.einsum("qijk,ri,cj->kqrc", self.coefficients, down, across, optimize=True)
        return np.asarray(np.einsum("kqrc,rck->qrc", terms, by_height))

    def misses(self) -> tuple[float, float]:
        """Return by how much polynomials miss the orbits at most, in lines and samples, between their places."""
        places = [np.linspace(-1, 1, 2 * degree + 4) for degree in self.degrees]
        direct = _direct(self.reference, self.secondary, self.interval, places)
        vanders = [chebyshev.chebvander(at, degree) for at, degree in zip(places, self.degrees, strict=True)]
        fitted = np.einsum("qijk,ri,cj,hk->qrch", self.coefficients, *vanders, optimize=True)
        lines, samples = np.abs(fitted - direct).max(axis=(1, 2, 3))
        return float(lines), float(samples)


def _scaled(at: Floats, size: int) -> Floats:
    """Bring pixels of an axis to -1 to 1; nodes reach a little beyond."""
    return np.asarray(2 * at / max(size - 1, 1) - 1)


def _direct(reference: RadarGrid, secondary: RadarGrid, interval: tuple[float, float], places: list[Floats]) -> Floats:
    """Return lines and samples to add, (2, lines, samples, heights), at places from -1 to 1 along each axis."""
    row, col = ((part + 1) / 2 * max(size - 1, 1) for part, size in zip(places, reference.shape, strict=False))
    row, col, height = np.meshgrid(row, col, interval[0] + interval[1] * places[2], indexing="ij")
    ground = rdr2geo(reference, reference.time(row), reference.slant_range(col), height)
    seen = geo2rdr(secondary, ground.lon, ground.lat, ground.height)
    return np.stack([secondary.line(seen.time) - row, secondary.sample(seen.slant_range) - col])
