"""A tile of chips of two complex images, measured by amplitude and coherently, and the better of the two taken."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sensetrack.ot.engine import State, TileMatch, best_kernel, correlate_tile
from sensetrack.ot.fields import Flag, Match
from sensetrack.ot.peak import MARGIN
from sensetrack.ot.tiles import CLIP
from sensetrack.sar.chip_fringes import Phase, fitted, tones
from sensetrack.sar.chip_statistics import Worth, amplitude_variance, worth
from sensetrack.sar.detect import HALO, amplitude
from sensetrack.sar.spectrum import REACH

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.blocks import Block
    from sensetrack.ot.interfaces import Source
    from sensetrack.sar.coherent import Found
    from sensetrack.sar.spectrum import Known

    Pair = tuple[int, int]

_LOG = logging.getLogger(__name__)
_FLAGS = np.zeros(len(State), np.uint16)
_FLAGS[[State.NO_DATA, State.FLAT, State.EDGE]] = Flag.NO_DATA, Flag.LOW_TEXTURE, Flag.PEAK_AT_EDGE
_SURE = 7.0
"""Minus the logarithm of the chance of a peak in pure noise from which it is believed."""
_CLEAR = 5.0
"""Standard deviations above those of noise from which a peak of the amplitudes is believed."""
_APART = 1.5, 5.0
"""Pixels, and standard errors of the amplitude, by which two peaks that are both believed may be apart."""
FOUND = 1
"""State of a coherent peak that is one."""
_NOWHERE = -(2**30)


class Sizes(Protocol):
    """The settings that a tile needs; see `sensetrack.sar.offsets.SlcOffsets`."""

    @property
    def chip(self) -> Pair: ...  # noqa: D102
    @property
    def step(self) -> Pair: ...  # noqa: D102
    @property
    def search(self) -> Pair: ...  # noqa: D102
    @property
    def min_valid(self) -> float: ...  # noqa: D102
    @property
    def coherent(self) -> bool: ...  # noqa: D102


class Tiles:
    """Measures blocks of posts."""

    def __init__(self, reference: Source, secondary: Source, sizes: Sizes, start: Pair, known: Known) -> None:
        self.images = reference, secondary
        self.sizes, self.start, self.known = sizes, start, known
        self.coherent = sizes.coherent and best_kernel() != "opencv"
        if sizes.coherent and not self.coherent:
            _LOG.warning("numba compiles nothing here, so that only amplitudes are matched, not phases")

    def measure(self, block: Block) -> tuple[Match, NDArray[np.bool_]]:
        """Measure the posts of a block; True where that was done coherently."""
        reference, secondary = self._pixels(block)
        found = _halved(self._by_amplitude(reference, secondary, block))
        chips = self._worth(reference, secondary, block)
        axes, samples = (self.known.down, self.known.across), 4 * self.sizes.chip[0] * self.sizes.chip[1]
        variance = amplitude_variance(found.score, found.covariance, chips, axes, samples)
        match = Match(found.d_row, found.d_col, _FLAGS[found.state], found.score, found.snr, found.peak_ratio, variance)
        if not self.coherent:
            return match, np.zeros(block.shape, bool)
        other = self._coherently(reference, secondary, block, found, chips)
        better = self._better(found, variance, other, chips)
        covariance = np.concatenate([other.variance, np.zeros((*block.shape, 1))], axis=-1)
        values = other.d_row, other.d_col, np.zeros(block.shape, np.uint16), other.score, other.snr, other.peak_ratio
        return _where(better, Match(*values, covariance), match), better

    def _halo(self) -> tuple[Pair, Pair]:
        """Pixels around the chips that are read of the reference and of the secondary."""
        wide = [search + max(REACH, MARGIN // 2 + HALO) for search in self.sizes.search]
        return (HALO, HALO), (wide[0], wide[1])

    def _pixels(self, block: Block) -> list[NDArray[np.complex64]]:
        """Read both images under a block, with their halos; NaN beyond them. Outstanding pixels are cut down."""
        sizes, out = self.sizes, []
        for k, (image, halo) in enumerate(zip(self.images, self._halo(), strict=True)):
            rows, cols = (
                slice(first + part.start * step - more, first + (part.stop - 1) * step + chip + more)
                for first, part, step, chip, more in zip(
                    self.start, (block.rows, block.cols), sizes.step, sizes.chip, halo, strict=True
                )
            )
            pixels = read(image, rows, cols)
            most = np.float32(self.known.middle[k] + CLIP * self.known.spread[k])
            power = pixels.real**2 + pixels.imag**2
            bright = power > most**2
            if bright.any():
                pixels[bright] *= most / np.sqrt(power[bright])
            out.append(pixels)
        return out

    def _by_amplitude(
        self, reference: NDArray[np.complex64], secondary: NDArray[np.complex64], block: Block
    ) -> TileMatch:
        """Correlate the amplitudes at twice the samples."""
        sizes = self.sizes
        images, valid = [], []
        halos = self._halo()
        more = [tuple(0 for _ in sizes.search), tuple(2 * search + MARGIN for search in sizes.search)]
        for k, pixels in enumerate((reference, secondary)):
            twice = amplitude(pixels)
            rows, cols = (
                slice(2 * halo - beyond, size - 2 * halo + beyond)
                for halo, beyond, size in zip(halos[k], more[k], twice.shape, strict=True)
            )
            image = twice[rows, cols]
            good = np.isfinite(image)
            image = (image - np.float32(self.known.middle[k])) * np.float32(1 / self.known.spread[k])
            whole = bool(good.all())
            images.append(image if whole else np.where(good, image, np.float32(0)))
            valid.append(None if whole else good)
        return correlate_tile(
            images[0],
            images[1],
            reference_valid=valid[0],
            secondary_valid=valid[1],
            chip=(2 * sizes.chip[0], 2 * sizes.chip[1]),
            step=(2 * sizes.step[0], 2 * sizes.step[1]),
            posts=block.shape,
            search=(2 * sizes.search[0], 2 * sizes.search[1]),
            min_valid=sizes.min_valid,
        )

    def _coherently(
        self,
        reference: NDArray[np.complex64],
        secondary: NDArray[np.complex64],
        block: Block,
        found: TileMatch,
        worth_of: Worth,
    ) -> Found:
        """Correlate the complex images, at their own samples, around what the amplitudes say as well.

        The fringes of the tile are taken off before.
        """
        from sensetrack.sar.coherent import Chips, match

        own, other = self._halo()
        more = [search + REACH for search in self.sizes.search]
        chips = reference[own[0] : -own[0], own[1] : -own[1]]
        rows, cols = (
            slice(halo - beyond, size - halo + beyond)
            for halo, beyond, size in zip(other, more, secondary.shape, strict=True)
        )
        sizes, area = self.sizes, secondary[rows, cols]
        clear = found.state == State.FOUND
        near = np.stack([np.where(clear, np.nan_to_num(each), _NOWHERE) for each in (found.d_row, found.d_col)])
        near = np.round(near).astype(np.int64)
        phase = self._phase(chips, area, near, worth_of, clear)
        if phase is not None:
            # Half off each: so the middle of the band that both have stays where it is.
            chips, area = phase.turned(chips, (0, 0), 0.5), phase.turned(area, (-more[0], -more[1]), -0.5)
        task = Chips(chips, area, sizes.chip, sizes.step, block.shape, sizes.search, sizes.min_valid)
        out = match(task, near, worth_of.texture, (self.known.down, self.known.across))
        if phase is None:
            return out
        return out._replace(fringes=out.fringes + self._under(phase, block))

    def _phase(
        self, chips: NDArray[np.complex64], area: NDArray[np.complex64], near: NDArray[np.int64], worth_of: Worth,
        clear: NDArray[np.bool_],
    ) -> Phase | None:  # fmt: skip
        """Find the fringes of a tile on chips that do not overlap, where the amplitudes say where they went."""
        sizes = self.sizes
        every = [-(-chip // step) for chip, step in zip(sizes.chip, sizes.step, strict=True)]
        row, col = (part.ravel() for part in np.meshgrid(
            *(np.arange(n)[(n - 1) % by // 2 :: by] for n, by in zip(clear.shape, every, strict=True)), indexing="ij"
        ))  # fmt: skip
        some = clear[row, col]
        row, col = row[some], col[some]
        corners = np.stack([row * sizes.step[0], col * sizes.step[1]], axis=-1)
        places = corners + near[:, row, col].T + np.array(sizes.search) + REACH
        looks = worth_of.pixels[row, col] * self.known.down.looks * self.known.across.looks
        found = tones((chips, area), (corners, places), sizes.chip, looks)
        spacing = every[0] * sizes.step[0], every[1] * sizes.step[1]
        return fitted(found, sizes.chip, spacing, (chips.shape[0], chips.shape[1]))

    def _under(self, phase: Phase, block: Block) -> NDArray[np.float64]:
        """Frequencies of a phase at the middles of chips, (posts down, posts across, 2)."""
        middles = np.meshgrid(
            *(np.arange(n) * step + chip / 2
              for n, step, chip in zip(block.shape, self.sizes.step, self.sizes.chip, strict=True)), indexing="ij"
        )  # fmt: skip
        return phase.frequencies(np.stack(middles, axis=-1).reshape(-1, 2)).reshape(*block.shape, 2)

    def _worth(self, reference: NDArray[np.complex64], secondary: NDArray[np.complex64], block: Block) -> Worth:
        """Look at the pixels of the chips that both images have."""
        own, other = self._halo()
        shape = reference.shape[0] - 2 * own[0], reference.shape[1] - 2 * own[1]
        one, two = (
            pixels[halo[0] : halo[0] + shape[0], halo[1] : halo[1] + shape[1]]
            for pixels, halo in ((reference, own), (secondary, other))
        )
        good = np.isfinite(one) & np.isfinite(two)
        return worth(one, good, self.sizes.chip, self.sizes.step, block.shape)

    def _better(self, found: TileMatch, variance: NDArray[Any], other: Found, chips: Worth) -> NDArray[np.bool_]:
        """Tell where the coherent offset is to be taken."""
        believed = (other.state == FOUND) & (other.excess > _SURE)
        samples = chips.pixels * self.known.down.looks * self.known.across.looks
        clear = (found.state == State.FOUND) & (found.score * np.sqrt(samples) > _CLEAR)
        own, new = variance[..., :2], other.variance
        apart = np.stack([found.d_row - other.d_row, found.d_col - other.d_col], axis=-1)
        agree = (np.abs(apart) < _APART[0] + _APART[1] * np.sqrt(own)).all(axis=-1)
        less = ~(new.sum(axis=-1) > own.sum(axis=-1))
        return np.asarray(believed & (~clear | (agree & less)))


def read(image: Source, rows: slice, cols: slice) -> NDArray[np.complex64]:
    """Read a window of a complex image that may reach beyond it; NaN there."""
    out = np.full((rows.stop - rows.start, cols.stop - cols.start), np.nan, np.complex64)
    inside = [
        slice(min(max(part.start, 0), size), max(min(part.stop, size), 0))
        for part, size in zip((rows, cols), image.shape, strict=True)
    ]
    if all(part.stop > part.start for part in inside):
        top, left = inside[0].start - rows.start, inside[1].start - cols.start
        pixels = image[inside[0], inside[1]]
        out[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return out


def _halved(found: TileMatch) -> TileMatch:
    """Turn samples into pixels of the images."""
    return found._replace(d_row=found.d_row / 2, d_col=found.d_col / 2, covariance=found.covariance / 4)


def _where(condition: NDArray[np.bool_], new: Match, old: Match) -> Match:
    """Take posts from one match where the condition holds, and from another elsewhere."""
    pairs = [(np.asarray(a), np.asarray(b)) for a, b in zip(new[:7], old[:7], strict=True)]
    return Match(*(np.where(condition if a.ndim == 2 else condition[..., None], a, b) for a, b in pairs))
