"""Speckle of a known band, coherence and shift, without any geometry: what a matcher makes of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import fft

from sensetrack.sar.offsets import SlcOffsets, measure

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import slc_truth as st


def response(count: int, width: float, hamming: float = 1.0) -> Any:
    """Return the gain at the frequencies of an FFT of `count` samples of a band of a share of the sampling rate."""
    at = fft.fftfreq(count)
    gain = hamming + (1 - hamming) * np.cos(2 * np.pi * at / width)
    return np.where(np.abs(at) <= width / 2, gain, 0.0)


def speckle_pair(
    shape: tuple[int, int],
    shift: tuple[float, float],
    *,
    coherence: float,
    bands: tuple[float, float],
    hamming: tuple[float, float] = (1.0, 1.0),
    rng: np.random.Generator,
) -> tuple[Any, Any]:
    """Return two complex64 images; what is at [row, col] of the first is at [row + shift] of the second.

    The second is moved by its spectrum, so that every fraction of a pixel is exact; both are periodic.
    """
    gains = [response(size, *band) for size, band in zip(shape, zip(bands, hamming, strict=True), strict=True)]
    own, other = (
        (rng.standard_normal(shape, np.float32) + 1j * rng.standard_normal(shape, np.float32))
        * (gains[0][:, None] * gains[1])
        for _ in range(2)
    )
    rows, cols = (fft.fftfreq(size) for size in shape)
    turn = np.exp(-2j * np.pi * (rows[:, None] * shift[0] + cols * shift[1]))
    second = (coherence * own + np.sqrt(1 - coherence**2) * other) * turn
    scale = float(np.sqrt(np.mean((gains[0][:, None] * gains[1]) ** 2)) / np.sqrt(np.prod(shape)))
    return tuple((fft.ifft2(part) / scale).astype(np.complex64) for part in (own, second))


class Trials(NamedTuple):
    """How far a matcher is off on speckle, px."""

    name: str
    count: int
    rows: st.Scatter
    cols: st.Scatter

    @property
    def nmad(self) -> float:
        """Of both axes together."""
        return float(np.hypot(self.rows.nmad, self.cols.nmad) / np.sqrt(2))


CHIP, SEARCH = (32, 64), (8, 8)
SENTINEL = {"bands": (327 / 486.486, 56.5 / 64.345), "hamming": (0.70, 0.75)}
"""Bands of IW1, as shares of the sampling rate, and their windows."""
MATCHERS: dict[str, dict[str, Any]] = {
    "complex": {},
    "amplitude": {"coherent": False},
    "as ampcor (`compat`)": {"compat": "isce2"},
}


def trial(name: str, pair: tuple[Any, Any], shift: tuple[float, float], bands: tuple[float, float], **more: Any) -> Any:
    """Return the errors (2, posts) of a matcher on a speckle pair."""
    settings = SlcOffsets(**{"chip": CHIP, "step": CHIP, "search": SEARCH} | MATCHERS[name] | more)
    edge = [reach + 8 for reach in settings.search]
    posts = [
        (size - 2 * e - c) // s + 1
        for size, e, c, s in zip(pair[0].shape, edge, settings.chip, settings.step, strict=True)
    ]
    found = measure(*pair, settings, start=(edge[0], edge[1]), posts=(posts[0], posts[1]), bands=bands).field
    return np.stack([found.d_row - shift[0], found.d_col - shift[1]]).reshape(2, -1)


def monte_carlo(
    width: float, coherence: float, names: tuple[str, ...], *, trials: int = 400, seed: int = 0
) -> list[Trials]:
    """Measure windows of 32 x 64 px at random shifts, each matcher on the same images."""
    rng = np.random.default_rng([seed, round(1000 * width), round(1000 * coherence)])
    errors: dict[str, list[Any]] = {name: [] for name in names}
    shape = 8 * CHIP[0] + 2 * (SEARCH[0] + 8), 5 * CHIP[1] + 2 * (SEARCH[1] + 8)
    for _ in range(-(-trials // 40)):
        shift = tuple(float(part) for part in rng.uniform(-3, 3, 2))
        pair = speckle_pair(shape, shift, coherence=coherence, bands=(width, width), rng=rng)
        for name in names:
            errors[name].append(trial(name, pair, shift, (width, width)))
    return [_trials(name, np.concatenate(parts, axis=1)) for name, parts in errors.items()]


def _trials(name: str, errors: Any) -> Trials:
    return Trials(name, errors.shape[1], *(st.scatter(part) for part in errors))


def biases(names: tuple[str, ...], *, seed: int = 0, coherence: float = 0.7) -> dict[str, list[Trials]]:
    """Return the errors at eighths of a pixel, on speckle as Sentinel-1 has it, chips of 64 x 128 px."""
    rng = np.random.default_rng([seed, 77])
    found: dict[str, list[Trials]] = {name: [] for name in names}
    for eighth in range(8):
        # Other fractions along the other axis, so that none helps the other.
        shift = 3 + eighth / 8, -5 + ((3 * eighth + 1) % 8) / 8
        pair = speckle_pair((960, 1600), shift, coherence=coherence, rng=rng, **SENTINEL)
        for name in names:
            errors = trial(name, pair, shift, SENTINEL["bands"], chip=(64, 128), step=(32, 64))
            found[name].append(_trials(f"{eighth}/8", errors))
    return found
