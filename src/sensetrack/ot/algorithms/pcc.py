"""Windowed phase cross-correlation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import BeforeValidator, Field

from sensetrack.ot.algorithms.registry import register
from sensetrack.ot.chips import ChipGrid, Windows, stepped_rolling_window
from sensetrack.ot.correlation import FLAT
from sensetrack.ot.interfaces import Flag, Match, OTAlgorithm, Tile
from sensetrack.ot.parameters import PxPair, both
from sensetrack.ot.phase import phase_correlate

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AT_ONCE = 2**18
"""Pixels of windows that are transformed together: enough to be quick, small enough for a cache."""
_INTERPOLATION = 4
"""Pixels that cubic interpolation needs around a window."""


@register
class SkiPCC_Vector(OTAlgorithm):  # noqa: N801  the name scripts know
    """Phase cross-correlation of windows (Kuglin and Hines 1975): the displacement vector at each window's centre.

    Two windows at the same place are compared, without a search area: motions well below half a window are
    found, and what has moved out of the window pulls the result towards zero, by a tenth of a pixel and more. With
    `passes` = 2 the window is followed, and the pull is gone. With one pass and no taper the result is that of
    scikit-image's `phase_cross_correlation`, window by window. As every frequency counts alike it bears changes of
    illumination; noise, decorrelation and repeated patterns it bears less than `ncc`. The score is the correlation
    of the window with where it went.
    """

    name: ClassVar[str] = "pcc"
    library: ClassVar[str] = "skimage"
    block: ClassVar[tuple[int, int]] = (32, 64)

    winsize: Annotated[PxPair, BeforeValidator(both)] = Field(
        (64, 64), description="size of the windows, rows and columns", json_schema_extra={"unit": "px"}
    )
    step_size: Annotated[PxPair, BeforeValidator(both)] = Field(
        (16, 16), description="distance between windows: one post each", json_schema_extra={"unit": "px"}
    )
    phase_norm: bool = Field(default=True, description="every frequency counts alike; else strong ones count more")
    upsmp_fac: int = Field(1, ge=1, le=1000, description="offsets are found to 1 / upsmp_fac px")
    taper: bool = Field(
        default=True, description="Hann taper: windows fade towards their rim, where a false peak at zero comes from"
    )
    passes: int = Field(
        1, ge=1, le=5, description="after the first, windows of the secondary are cut where the last one found them"
    )
    min_valid: float = Field(0.5, gt=0, le=1, description="share of a window's pixels that must be usable in both")

    @property
    def support(self) -> tuple[int, int]:
        """The window."""
        return self.winsize

    @property
    def reach(self) -> tuple[int, int]:
        """A quarter of the window: beyond it, half of what is compared has moved out."""
        return self.winsize[0] // 4, self.winsize[1] // 4

    @property
    def halo(self) -> tuple[int, int]:
        """The largest shift that can come out, where the score is taken."""
        return self.winsize[0] // 2 + _INTERPOLATION, self.winsize[1] // 2 + _INTERPOLATION

    def chips(self, shape: tuple[int, int]) -> ChipGrid:
        """Windows of `winsize` px every `step_size` px."""
        return ChipGrid(shape, self.winsize, self.step_size)

    def match(self, reference: Tile, secondary: Tile, chips: ChipGrid) -> Match:
        """Correlate the windows of a tile, some dozens at a time."""
        inner = tuple(slice(halo, halo + size) for halo, size in zip(self.halo, chips.image, strict=True))
        windows = [self._windows(tile, inner) for tile in (reference, secondary)]
        i, j = np.indices(chips.shape)
        corners = np.stack([self.halo[0] + i * self.step_size[0], self.halo[1] + j * self.step_size[1]], -1)
        corners = corners.reshape(-1, 2)
        number = max(1, _AT_ONCE // (self.winsize[0] * self.winsize[1]))
        parts = []
        for k in (slice(start, start + number) for start in range(0, len(corners), number)):
            first, second = (_Centred(values[k], None if valid is None else valid[k]) for values, valid in windows)
            parts.append(self._some(first, second, secondary, corners[k]))
        return Match(*(np.concatenate(layer).reshape(chips.shape) for layer in zip(*parts, strict=True)))

    def _windows(self, tile: Tile, inner: tuple[slice, ...]) -> tuple[Windows, Windows | None]:
        """Windows of the values and of the validity; None where everything is valid."""
        parts = (stepped_rolling_window(part[inner], self.winsize, self.step_size)[0] for part in tile)
        values, valid = parts
        return values, None if tile.valid[inner].all() else valid

    def _some(
        self, first: _Centred, second: _Centred, secondary: Tile, corners: NDArray[np.intp]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.uint16], NDArray[Any], NDArray[Any]]:
        """Offsets, flags, score and SNR of some windows that start at `corners` of the tile."""
        flags = np.zeros(len(corners), np.uint16)
        for part in (first, second):
            flags[part.share < self.min_valid] |= Flag.NO_DATA.bit
            flags[(part.share >= self.min_valid) & (part.power <= FLAT)] |= Flag.LOW_TEXTURE.bit
        offsets, snr = self._correlate(first, second)
        limit = 2 * np.array(self.reach)
        for _ in range(self.passes - 1):
            whole = np.clip(np.round(offsets), -limit, limit).astype(int)
            offsets, snr = self._correlate(first, _Centred(*_cut(secondary, corners + whole, self.winsize)))
            offsets = np.clip(whole + offsets, -limit, limit)
        score = _scores(first, secondary, corners + offsets, self.min_valid / 2)
        flags[(flags == 0) & np.isnan(score)] |= Flag.NO_DATA.bit
        d_row, d_col, score, snr = (np.where(flags > 0, np.nan, layer) for layer in (*offsets.T, score, snr))
        return d_row, d_col, flags, score, snr

    def _correlate(self, first: _Centred, second: _Centred) -> tuple[NDArray[Any], NDArray[Any]]:
        """(n, 2) offsets and (n,) SNR of windows."""
        parts = first.values, second.values
        if self.taper:
            weights = np.outer(*(np.hanning(size + 2)[1:-1] for size in self.winsize)).astype(np.float32)
            parts = parts[0] * weights, parts[1] * weights
        d_row, d_col, snr = phase_correlate(*parts, normalise=self.phase_norm, upsample=self.upsmp_fac)
        return np.stack([d_row, d_col], -1), snr


class _Centred:
    """Windows without their mean, 0 where not valid."""

    def __init__(self, values: NDArray[Any], valid: NDArray[np.bool_] | None) -> None:
        self.valid = valid
        mean = values.mean(axis=(1, 2), dtype=np.float32)  # of tiles that are 0 where not valid
        if valid is None:
            self.share = np.ones(len(values))
            self.values = values - mean[:, None, None]
        else:
            self.share = valid.mean(axis=(1, 2))
            mean = mean / np.maximum(self.share, 1e-6).astype(np.float32)
            self.values = np.where(valid, values - mean[:, None, None], np.float32(0))
        self.power = self.dot(self)

    def dot(self, other: _Centred) -> NDArray[Any]:
        """Mean product of the valid pixels of each pair of windows."""
        total = np.einsum("nij,nij->n", self.values, other.values)
        return np.asarray(total / np.maximum(self.share * self.values[0].size, 1))


def _cut(
    tile: Tile, corners: NDArray[np.intp], size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Windows of a tile, (n, h, w), that start at any pixels, and their validity; None where all is valid."""
    rows, cols = corners.T
    values, valid = (np.lib.stride_tricks.sliding_window_view(part, size) for part in tile)
    return values[rows, cols], None if tile.valid.all() else valid[rows, cols]


def _scores(first: _Centred, secondary: Tile, places: NDArray[Any], min_valid: float) -> NDArray[Any]:
    """Zero-mean normalised correlation of windows with where they went, over pixels valid in both; NaN = too few.

    The height of the peak itself says little: after phase normalisation it is nearly the same for a match and for
    noise, and what has moved out of the window lowers it.
    """
    there, seen = _cut_between(secondary, places, first.values.shape[1:])
    reference, second = first, _Centred(there, None)
    if seen is not None or first.valid is not None:
        used = np.asarray(True if seen is None else seen) & (True if first.valid is None else first.valid)
        # Where pixels drop out, the means are those of the others.
        reference, second = (_Centred(np.where(used, part, np.float32(0)), used) for part in (first.values, there))
    scale = np.sqrt(reference.power * second.power)
    score = np.where(scale > FLAT, reference.dot(second) / np.maximum(scale, FLAT), 0.0)
    return np.where(second.share >= min_valid, np.clip(score, -1, 1), np.nan)


def _cut_between(
    tile: Tile, places: NDArray[Any], shape: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Windows of a tile that start between pixels, by cubic convolution (Keys 1981).

    Valid is what all 16 pixels around are (whole shifts: the pixel); None where that is everything.
    """
    import cv2

    h, w = shape
    corners = np.floor(places).astype(int)
    if (corners == places).all():
        return _cut(tile, corners, (h, w))
    weights = _cubic(places - corners)
    out = np.empty((len(places), h, w), np.float32)
    valid = None if tile.valid.all() else np.ones(out.shape, bool)
    for k, ((top, left), (by_row, by_col)) in enumerate(zip(corners.tolist(), weights, strict=True)):
        area = slice(top - 1, top + h + 2), slice(left - 1, left + w + 2)
        out[k] = cv2.sepFilter2D(tile.values[area], cv2.CV_32F, by_col, by_row, anchor=(1, 1))[1:-2, 1:-2]
        if valid is not None and not (inside := tile.valid[area]).all():
            valid[k] = cv2.erode(inside.astype(np.uint8), np.ones((4, 4), np.uint8), anchor=(1, 1))[1:-2, 1:-2] > 0
    return out, valid


def _cubic(t: NDArray[Any]) -> NDArray[np.float64]:
    """Weights of the pixels at -1, 0, 1 and 2 for places t between the middle two; one more axis, of 4."""
    return np.stack(
        [
            ((2 - t) * t - 1) * t / 2,
            ((3 * t - 5) * t * t + 2) / 2,
            ((4 - 3 * t) * t + 1) * t / 2,
            (t - 1) * t * t / 2,
        ],
        axis=-1,
    )
