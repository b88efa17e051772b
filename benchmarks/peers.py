"""What people use instead, each called as its makers mean it, at the same chips: the others in the benchmarks.

Chip matchers return motion (2, n) in px and the chips' centres; flows return motion (2, rows, cols). One thread each.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
from scipy import fft
from skimage.registration import optical_flow_ilk, optical_flow_tvl1, phase_cross_correlation


class Setting(NamedTuple):
    """Chips as all matchers of a comparison see them, px."""

    chip: int
    step: int
    search: int

    @property
    def said(self) -> str:
        """The three, as the tables say them."""
        return f"{self.chip}/{self.search}/{self.step}"


class Offsets(NamedTuple):
    """What a matcher of chips found."""

    motion: np.ndarray
    """(2, rows, cols), px; NaN where nothing was found."""
    rows: np.ndarray
    """Centres of the chips along the rows; pixel [0, 0] is at 0."""
    cols: np.ndarray


def starts(size: int, setting: Setting) -> np.ndarray:
    """First pixels, along one axis, of the chips whose search stays inside the image."""
    return np.arange(setting.search, size - setting.chip - setting.search + 1, setting.step)


def _offsets(motion: np.ndarray, first: np.ndarray, chip: int) -> Offsets:
    centres = first + (chip - 1) / 2
    return Offsets(motion, centres, centres)


def phase_loop(reference: np.ndarray, secondary: np.ndarray, setting: Setting) -> Offsets:
    """scikit-image's phase correlation to a tenth of a pixel, a call a chip; it looks at the chip's own place only."""
    chip, first = setting.chip, starts(len(reference), setting)
    motion = np.empty((2, first.size, first.size))
    for i, row in enumerate(first):
        for j, col in enumerate(first):
            part = slice(row, row + chip), slice(col, col + chip)
            correction, _, _ = phase_cross_correlation(
                reference[part], secondary[part], upsample_factor=10, disambiguate=True, normalization="phase"
            )
            motion[:, i, j] = -correction
    return _offsets(motion, first, chip)


def match_template(reference: np.ndarray, secondary: np.ndarray, setting: Setting) -> Offsets:
    """OpenCV's zero-mean normalised correlation, a call a chip, whole pixels: the least that finds a peak."""
    (chip, _, search), first = setting, starts(len(reference), setting)
    motion = np.empty((2, first.size, first.size))
    for i, row in enumerate(first):
        for j, col in enumerate(first):
            area = secondary[row - search : row + chip + search, col - search : col + chip + search]
            surface = cv2.matchTemplate(area, reference[row : row + chip, col : col + chip], cv2.TM_CCOEFF_NORMED)
            _, _, _, (right, down) = cv2.minMaxLoc(surface)
            motion[:, i, j] = down - search, right - search
    return _offsets(motion, first, chip)


def _windows(image: np.ndarray, side: int, rows: slice | int, cols: slice) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(image, (side, side))[rows, cols]


def _box_sums(image: np.ndarray, side: int) -> np.ndarray:
    """Sums over every side x side window, by an integral image."""
    total = np.zeros((image.shape[0] + 1, image.shape[1] + 1))
    np.cumsum(np.cumsum(image, axis=0, dtype=float), axis=1, out=total[1:, 1:])
    return total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]


def fft_rows(reference: np.ndarray, secondary: np.ndarray, setting: Setting) -> Offsets:
    """Zero-mean normalised correlation by scipy's transforms, a row of chips at a time, peak by a parabola.

    Chip and area are transformed at the size of the area: the wanted shifts then do not wrap around. What the
    numerator is divided by comes from integral images of the whole secondary, shared by all chips.
    """
    (chip, step, search), first = setting, starts(len(reference), setting)
    side, shifts = chip + 2 * search, 2 * search + 1
    reference, secondary = reference - reference.mean(), secondary - secondary.mean()
    sums, squares = _box_sums(secondary, chip), _box_sums(secondary.astype(float) ** 2, chip)
    spread = np.sqrt(np.maximum(squares - sums**2 / chip**2, 1e-6)).astype(np.float32)
    motion = np.empty((2, first.size, first.size))
    over_cols, areas = slice(search, first[-1] + 1, step), slice(0, first[-1] - search + 1, step)
    for i, row in enumerate(first):
        chips = _windows(reference, chip, row, over_cols)
        chips = chips - chips.mean(axis=(1, 2), keepdims=True)
        own = np.sqrt(np.einsum("kij,kij->k", chips, chips))
        product = np.conj(fft.rfft2(chips, (side, side), workers=1))
        product *= fft.rfft2(_windows(secondary, side, row - search, areas), workers=1)
        surface = fft.irfft2(product, (side, side), workers=1)[:, :shifts, :shifts]
        surface /= _windows(spread, shifts, row - search, areas) * own[:, None, None]
        motion[:, i] = _parabola(surface) - search
    return _offsets(motion, first, chip)


def _parabola(surfaces: np.ndarray) -> np.ndarray:
    """Peaks of surfaces (n, rows, cols): (2, n), by a parabola along either axis; whole pixels at an edge."""
    each = np.arange(len(surfaces))
    peak = np.stack(np.unravel_index(surfaces.reshape(len(each), -1).argmax(axis=1), surfaces.shape[1:]))
    out = peak.astype(float)
    for axis in (0, 1):
        inner = np.clip(peak, 1, np.array(surfaces.shape[1:])[:, None] - 2)
        at = np.where(np.arange(2)[:, None] == axis, inner, peak)
        step = np.eye(2, dtype=int)[axis][:, None]
        before, here, after = (surfaces[each, *(at + by * step)] for by in (-1, 0, 1))
        bend = before - 2 * here + after
        moved = 0.5 * (before - after) / np.where(bend < 0, bend, -np.inf)
        out[axis] += np.where(inner[axis] == peak[axis], moved, 0.0)
    return out


def openpiv_areas(
    reference: np.ndarray, secondary: np.ndarray, setting: Setting, *, normalised: bool = True
) -> Offsets:
    """OpenPIV's extended search area, vectorised, with the signal-to-noise ratio it computes by default.

    `normalised`: each window to mean 0 and deviation 1, and padded so that shifts do not wrap around, which is the
    nearest it has to the correlation of the others; else its defaults.
    """
    from openpiv.pyprocess import extended_search_area_piv

    (chip, step, search), first = setting, starts(len(reference), setting)
    side = chip + 2 * search
    with redirect_stdout(io.StringIO()):  # it prints how many peaks are bad
        right, up, _ = extended_search_area_piv(
            reference, secondary, window_size=chip, overlap=side - step, search_area_size=side, use_vectorized=True,
            correlation_method="linear" if normalised else "circular", normalized_correlation=normalised,
        )  # fmt: skip
    return _offsets(np.stack([up, right]), first, chip)


def grey(*images: np.ndarray) -> list[np.ndarray]:
    """Images as 8-bit grey values, 0.1 % of the pixels cut off at each end, both alike: what OpenCV's flows take."""
    low, high = np.percentile(images[0][::4, ::4], (0.1, 99.9))
    return [np.clip((image - low) * (255 / (high - low)), 0, 255).astype(np.uint8) for image in images]


def farneback(reference: np.ndarray, secondary: np.ndarray) -> np.ndarray:
    """OpenCV's Farneback flow, four levels, windows of 16 px."""
    first, second = grey(reference, secondary)
    flow: Any = np.empty((*first.shape, 2), np.float32)
    return cv2.calcOpticalFlowFarneback(first, second, flow, 0.5, 4, 16, 5, 5, 1.1, 0).transpose(2, 0, 1)[::-1]


def dis(reference: np.ndarray, secondary: np.ndarray) -> np.ndarray:
    """OpenCV's dense inverse search, its medium preset."""
    flow: Any = None
    solver = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return solver.calc(*grey(reference, secondary), flow).transpose(2, 0, 1)[::-1]


def _unit(*images: np.ndarray) -> list[np.ndarray]:
    """Images in 0..1, both alike: scikit-image's flows have constants that depend on it."""
    low, high = float(images[0].min()), float(images[0].max())
    return [(image - low) / (high - low) for image in images]


def ilk(reference: np.ndarray, secondary: np.ndarray) -> np.ndarray:
    """scikit-image's iterative Lucas-Kanade at its defaults."""
    return optical_flow_ilk(*_unit(reference, secondary))


def tvl1(reference: np.ndarray, secondary: np.ndarray) -> np.ndarray:
    """scikit-image's TV-L1 at its defaults."""
    return optical_flow_tvl1(*_unit(reference, secondary))


PCC, TEMPLATE, FFT, PIV = "scikit-image PCC, up 10", "OpenCV matchTemplate", "scipy FFT, batched", "OpenPIV"
"""What the limits of `engine.py` are set against."""
MATCHERS: dict[str, tuple[Callable[[np.ndarray, np.ndarray, Setting], Offsets], int]] = {
    PCC: (phase_loop, 512),
    TEMPLATE: (match_template, 1024),
    FFT: (fft_rows, 1024),
    PIV: (openpiv_areas, 256),
    "OpenPIV, its defaults": (partial(openpiv_areas, normalised=False), 256),
}
"""Matchers of chips, and the largest side of a scene worth waiting for, px.

OpenPIV holds all its windows at once: on more of them it spends its time asking for memory.
"""
FLOWS: dict[str, tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], int]] = {
    "scikit-image ILK": (ilk, 512),
    "scikit-image TV-L1": (tvl1, 512),
    "OpenCV Farneback": (farneback, 2048),
    "OpenCV DIS": (dis, 2048),
}
"""Dense flows, and the same."""
