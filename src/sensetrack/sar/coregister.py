"""A burst on the pixels of another one: deramped, resampled by geometry, and what is left of its phase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import InputError
from sensetrack.sar import carrier
from sensetrack.sar.lazy import Lazy, require_plane
from sensetrack.sar.registration import NODE, Registration, register
from sensetrack.sar.resampling import ACROSS, ALONG, design, reach, resample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.blocks import Mapper
    from sensetrack.ot.interfaces import Source
    from sensetrack.sar.resampling import Kernel, Spectrum
    from sensetrack.sar.tops import Burst

    Pixels = NDArray[np.complex64]

__all__ = ["Coregistered", "Deramped", "Registration", "computed", "register"]


_STRIP = 64
"""Lines that are resampled at a time."""
_TURN = 2 * np.pi


class Deramped(Lazy):
    """A burst without its carrier, so that its azimuth spectrum is centred at zero.

    Line 0 is the first of the burst. NaN outside the valid samples of each line.

    Parameters
    ----------
    source : Source
        The measurement, (rows, cols) complex, in which the burst lies from line `Burst.line` on.
    burst : Burst
    """

    dtype = np.dtype(np.complex64)

    def __init__(self, source: Source, burst: Burst) -> None:
        _require_burst(source, burst)
        self.shape, self.burst, self._source = burst.shape, burst, source

    def read(self, rows: slice, cols: slice) -> Pixels:
        """Read and deramp a window."""
        first = self.burst.line
        pixels = carrier.deramp(self._source[first + rows.start : first + rows.stop, cols], self.burst, rows, cols)
        _blank(pixels, self.burst, rows, cols)
        return pixels


class Coregistered(Lazy):
    """A secondary burst on the pixels of a reference burst; computed where it is read, some lines at a time.

    What is interpolated has no carrier. Its own carrier, at its own place and time, is put back afterwards and that
    of the reference taken off, so that with `Deramped` of the reference it makes the interferogram of the originals:
    bursts of two days begin at different times, and their carriers differ by many turns.

    NaN where the reference has no valid sample, where one that the kernels need is not valid in the secondary, and
    where no height is known.

    Parameters
    ----------
    source : Source
        The measurement of the secondary, (rows, cols) complex.
    reference, secondary : Burst
    registration : Registration
        Of the grids of these bursts.
    bands : (Spectrum, Spectrum)
        What the processor kept of the secondary in azimuth and in range.
    flatten : bool
        Take the geometric phase off: with `Deramped` of the reference, a still scene has no fringes but those that
        errors of the heights make.
    reramp : bool
        Put the carrier of the reference on: a co-registered SLC, in which a point has the phase of the original.
    """

    dtype = np.dtype(np.complex64)

    def __init__(
        self,
        source: Source,
        reference: Burst,
        secondary: Burst,
        registration: Registration,
        bands: tuple[Spectrum, Spectrum],
        *,
        flatten: bool = False,
        reramp: bool = False,
    ) -> None:
        for name, burst, grid in (
            ("reference", reference, registration.reference), ("secondary", secondary, registration.secondary),
        ):  # fmt: skip
            if burst.shape != grid.shape:
                raise InputError(
                    f"the {name} must be the burst {grid.shape} that is registered, instead got {burst.shape}"
                )
        self.shape, self.reference, self.registration = reference.shape, reference, registration
        self.secondary = Deramped(source, secondary)
        self.kernels: tuple[Kernel, Kernel] = design(bands[0], ALONG), design(bands[1], ACROSS)
        self.flatten, self.reramp = flatten, reramp
        self._nodes = self._turned()

    def _turned(self) -> NDArray[np.float64]:
        """Return lines and samples to add, and turns to add to the phase, at the nodes of the registration."""
        found = self.registration
        _, d_line, d_sample = found.nodes
        row, col = (NODE[axis] * np.arange(size, dtype=np.float64) for axis, size in enumerate(d_line.shape))
        row = row[:, None]
        phase = carrier.phase(self.secondary.burst, row + d_line, col + d_sample)
        phase -= carrier.phase(self.reference, row, col)
        if self.flatten:
            phase += found.phase_of(col, d_sample)
        return np.stack([d_line, d_sample, phase / _TURN])

    def read(self, rows: slice, cols: slice) -> Pixels:
        """Resample a window."""
        out = np.empty((rows.stop - rows.start, cols.stop - cols.start), np.complex64)
        if not out.size:
            return out
        for top in range(rows.start, rows.stop, _STRIP):
            part = slice(top, min(top + _STRIP, rows.stop))
            out[top - rows.start : part.stop - rows.start] = self._strip(part, cols)
        if self.reramp:
            out = carrier.reramp(out, self.reference, rows, cols)
        _blank(out, self.reference, rows, cols)
        return out

    def _strip(self, rows: slice, cols: slice) -> Pixels:
        around = tuple(
            slice(part.start // node, (part.stop - 1) // node + 2)
            for part, node in zip((rows, cols), NODE, strict=True)
        )
        offsets = self._nodes[:2, around[0], around[1]]
        known = np.isfinite(offsets)
        if not known.any():
            return np.full((rows.stop - rows.start, cols.stop - cols.start), complex(np.nan, np.nan), np.complex64)
        window = tuple(
            reach((float(offset[good].min()), float(offset[good].max())), part, kernel, size)
            for offset, good, part, kernel, size in zip(
                offsets, known, (rows, cols), self.kernels, self.secondary.shape, strict=True
            )
        )
        image = self.secondary.read(*window)
        corner = window[0].start, window[1].start
        return resample(image, corner, self._nodes, NODE, self.kernels, (rows, cols))


def computed(image: Lazy, *, mapper: Mapper = map, rows: int = 128) -> NDArray[Any]:
    """Return all pixels of a lazy image, some rows at a time through a mapper."""
    out = np.empty(image.shape, image.dtype)
    whole = slice(0, image.shape[1])

    def fill(part: slice) -> None:
        out[part] = image.read(part, whole)

    parts = [slice(top, min(top + rows, image.shape[0])) for top in range(0, image.shape[0], rows)]
    for _ in mapper(fill, parts):
        pass
    return out


def _require_burst(source: Source, burst: Burst) -> None:
    lines, samples = require_plane("a measurement", source)
    if burst.line + burst.lines > lines or burst.samples != samples:
        raise InputError(
            f"a measurement must have lines {burst.line} to {burst.line + burst.lines} of {burst.samples} samples for "
            f"its burst, instead got shape {(lines, samples)}"
        )


def _blank(pixels: Pixels, burst: Burst, rows: slice, cols: slice) -> None:
    """Write NaN outside the valid samples of a window of a burst."""
    width, void = cols.stop - cols.start, complex(np.nan, np.nan)
    for line, first, last in zip(pixels, burst.first_valid[rows], burst.last_valid[rows], strict=True):
        if first < 0 or last < first:
            line[:] = void
            continue
        line[: max(min(int(first) - cols.start, width), 0)] = void
        line[max(int(last) + 1 - cols.start, 0) :] = void
