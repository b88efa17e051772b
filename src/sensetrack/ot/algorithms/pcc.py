"""Windowed phase cross-correlation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import BeforeValidator, Field

from sensetrack.ot.algorithms.registry import register
from sensetrack.ot.chips import ChipGrid, stepped_rolling_window
from sensetrack.ot.correlation import FLAT
from sensetrack.ot.interfaces import Flag, Match, OTAlgorithm, Tile
from sensetrack.ot.parameters import PxPair, both
from sensetrack.ot.phase import phase_correlate

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AT_ONCE = 2**20
"""Pixels of windows that are transformed together: enough to be quick, small enough for a cache."""
_INTERPOLATION = 4
"""Pixels that cubic interpolation needs around a window."""


@register
class SkiPCC_Vector(OTAlgorithm):  # noqa: N801  the name scripts know
    """Phase cross-correlation of windows (Kuglin and Hines 1975): the displacement vector at each window's centre.

    Two windows at the same place are compared, without a search area: motions well below half a window are
    found, and what has moved out of the window pulls the result towards zero, by a tenth of a pixel and more. With
    `passes` = 2 the window is followed, and the pull is gone; with 1 the result is that of scikit-image's
    `phase_cross_correlation`, window by window. As every frequency counts alike it bears changes of illumination;
    noise, decorrelation and repeated patterns it bears less than `ncc`. The score is the correlation of the window
    with where it went.
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
    taper: bool = Field(default=False, description="Hann taper: windows fade towards their rim, which does not match")
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
        """Correlate the windows of a tile, some hundreds at a time."""
        inner = tuple(slice(halo, halo + size) for halo, size in zip(self.halo, chips.image, strict=True))
        windows = [
            stepped_rolling_window(part[inner], self.winsize, self.step_size)[0]
            for part in (reference.values, reference.valid, secondary.values, secondary.valid)
        ]
        i, j = np.indices(chips.shape)
        corners = np.stack([self.halo[0] + i * self.step_size[0], self.halo[1] + j * self.step_size[1]], -1)
        corners = corners.reshape(-1, 2)
        number = max(1, _AT_ONCE // (self.winsize[0] * self.winsize[1]))
        some = [slice(k, k + number) for k in range(0, len(corners), number)]
        parts = [self._some([part[k] for part in windows], secondary, corners[k]) for k in some]
        return Match(*(np.concatenate(layer).reshape(chips.shape) for layer in zip(*parts, strict=True)))

    def _some(
        self, windows: list[NDArray[Any]], secondary: Tile, corners: NDArray[np.intp]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.uint16], NDArray[Any], NDArray[Any]]:
        """Match some windows: (n, h, w) of reference, its validity, secondary, its validity, and where they start."""
        flags = np.zeros(len(corners), np.uint16)
        for values, valid in (windows[:2], windows[2:]):
            _, share, power = _centred(values, valid)
            flags[share < self.min_valid] |= Flag.NO_DATA.bit
            flags[(share >= self.min_valid) & (power <= FLAT)] |= Flag.LOW_TEXTURE.bit
        offsets, snr = self._correlate(windows)
        for _ in range(self.passes - 1):
            whole = np.clip(np.round(offsets), -np.array(self.reach) * 2, np.array(self.reach) * 2).astype(int)
            moved = _cut(secondary, corners + whole, self.winsize)
            offsets, snr = self._correlate([*windows[:2], *moved])
            offsets = np.clip(whole + offsets, -np.array(self.reach) * 2, np.array(self.reach) * 2)
        score = _scores(windows[0], windows[1], secondary, corners + offsets, self.min_valid / 2)
        flags[(flags == 0) & np.isnan(score)] |= Flag.NO_DATA.bit
        d_row, d_col, score, snr = (np.where(flags > 0, np.nan, layer) for layer in (*offsets.T, score, snr))
        return d_row, d_col, flags, score, snr

    def _correlate(self, windows: list[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        """(n, 2) offsets and (n,) SNR of windows as in `_some`."""
        parts = [_centred(values, valid)[0] for values, valid in (windows[:2], windows[2:])]
        if self.taper:
            parts = [part * self._weights() for part in parts]
        d_row, d_col, snr = phase_correlate(parts[0], parts[1], normalise=self.phase_norm, upsample=self.upsmp_fac)
        return np.stack([d_row, d_col], -1), snr

    def _weights(self) -> NDArray[np.float32]:
        """Hann window that does not reach 0 at the rim."""
        return np.outer(*(np.hanning(size + 2)[1:-1] for size in self.winsize)).astype(np.float32)


def _centred(values: NDArray[Any], valid: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[Any]]:
    """Windows without their mean, 0 where not valid; share of valid pixels; variance."""
    if valid.all():
        share = np.ones(len(values))
        part = values - values.mean(axis=(1, 2), keepdims=True)
    else:
        share = valid.mean(axis=(1, 2))
        mean = np.where(valid, values, 0).mean(axis=(1, 2)) / np.maximum(share, 1e-6)
        part = np.where(valid, values - mean[:, None, None], 0).astype(np.float32)
    power = np.einsum("nij,nij->n", part, part) / (share * part[0].size + 1e-6)
    return part, share, power


def _cut(tile: Tile, corners: NDArray[np.intp], size: tuple[int, int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Windows of a tile, (n, h, w), that start at any pixels, and their validity."""
    rows = corners[:, 0, None, None] + np.arange(size[0])[:, None]
    cols = corners[:, 1, None, None] + np.arange(size[1])
    return tile.values[rows, cols], tile.valid[rows, cols]


def _scores(
    windows: NDArray[Any], valid: NDArray[np.bool_], secondary: Tile, places: NDArray[Any], min_valid: float
) -> NDArray[Any]:
    """Zero-mean normalised correlation of windows with where they went, over pixels valid in both; NaN = too few.

    The height of the peak itself says little: after phase normalisation it is nearly the same for a match and for
    noise, and what has moved out of the window lowers it.
    """
    there, used = np.empty(windows.shape, np.float32), valid
    for window, place in zip(there, places, strict=True):
        _pull(secondary.values, place, window)
    if not (valid.all() and secondary.valid.all()):
        seen = np.empty(windows.shape, np.float32)
        for window, place in zip(seen, places, strict=True):
            _pull(secondary.valid.astype(np.float32), place, window)
        used = valid & (seen > 0.99)
    first, share, power = _centred(windows, used)
    second, _, other = _centred(there, used)
    product = np.einsum("nij,nij->n", first, second) / (share * first[0].size + 1e-6)
    scale = np.sqrt(power * other)
    score = np.where(scale > FLAT, product / np.maximum(scale, FLAT), 0.0)
    return np.where(share >= min_valid, np.clip(score, -1, 1), np.nan)


def _pull(image: NDArray[np.float32], place: NDArray[Any], out: NDArray[np.float32]) -> None:
    """Fill `out` with the window of an image whose first pixel lies at `place`, between pixels."""
    import cv2

    h, w = out.shape
    top, left = (int(np.floor(edge)) - 1 for edge in place)
    area = image[max(top, 0) : top + h + 3, max(left, 0) : left + w + 3]
    to = np.array([[1, 0, place[1] - max(left, 0)], [0, 1, place[0] - max(top, 0)]])
    cv2.warpAffine(area, to, (w, h), dst=out, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
