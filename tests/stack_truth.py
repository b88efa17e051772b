"""A stack whose truth is known: 20 dates, a velocity and a season, noise of images and of pairs, blunders, gaps.

And a real one: twelve dates of a glacier.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

import sensetrack
from sensetrack import TrackConfig
from sensetrack.errors import NoGeoreferenceWarning
from sensetrack.stack.network import Acquisition, Network, NetworkParameters, network
from sensetrack.workflow.executors import threads

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = 9, 31
VELOCITY = {"east": 0.031, "north": -0.052}
"""m/day at the first post; grows to the last one."""
SEASON = {"east": (0.9, 40.0), "north": (0.4, 200.0)}
"""Amplitude, m, and day of the year at which the displacement is largest."""


@dataclass(frozen=True)
class Component:
    """One component of the truth and what was measured of it."""

    velocity: np.ndarray
    dates: np.ndarray
    """(n_dates, rows, cols) displacement since the first date."""
    pairs: np.ndarray
    """(n_pairs, rows, cols) with noise, blunders and holes."""
    blunders: np.ndarray


@dataclass(frozen=True)
class Stack:
    """All of it."""

    network: Network
    image_sigma: float
    pair_sigma: np.ndarray
    """(n_pairs, rows, cols)"""
    components: dict[str, Component]


def scenes(count: int = 20, days: float = 12.0) -> list[Acquisition]:
    """Dates 12 days apart with one missing, of two satellites of one track."""
    start = datetime(2019, 3, 7, 5, 12)
    steps = [k for k in range(count + 1) if k != 7][:count]
    return [
        Acquisition(start + timedelta(days=days * k), f"scene{k}", "S1B" if k % 2 else "S1A", track=44) for k in steps
    ]


def make_stack(
    *, seed: int = 3, shape: tuple[int, int] = SHAPE, image: float = 0.15, pair: float = 0.2, days: float = 60
) -> Stack:
    """Make a stack of 20 dates."""
    rng = np.random.default_rng(seed)
    net = Network.of(network(scenes(), NetworkParameters(kind="days", max_days=days)))
    n, (first, second) = len(net.pairs), net.pairs.T
    sigma = pair * rng.uniform(0.7, 1.6, (n, *shape))
    holes = rng.random((n, *shape)) < 0.1
    holes[:, 2, 3] = True  # never measured
    components = {}
    for name, speed in VELOCITY.items():
        velocity = speed * (1 + np.linspace(0, 0.6, shape[0])[:, None] + np.linspace(0, 0.3, shape[1]))
        amplitude, peak = SEASON[name]
        since = (net.dates - np.datetime64("2000-01-01")) / np.timedelta64(1, "D")
        season = amplitude * np.cos(2 * np.pi * (since - peak) / 365.25)
        truth = net.days[:, None, None] * velocity + (season - season[0])[:, None, None]
        shown = truth + rng.normal(0, image, truth.shape)
        pairs = shown[second] - shown[first] + rng.normal(size=sigma.shape) * sigma
        blunders = rng.random(pairs.shape) < 0.05
        pairs[blunders] += rng.choice([-1, 1], blunders.sum()) * rng.uniform(2, 9, blunders.sum())
        pairs[holes] = np.nan
        components[name] = Component(velocity, truth, pairs, blunders)
    return Stack(net, image, sigma, components)


# --- a real one --------------------------------------------------------------------------------------------------

CHIP, STEP = 64, 32
CLEAR = 0.8
"""Share of the ice that a clear pair measures."""


@dataclass(frozen=True)
class Glacier:
    """All pairs up to 40 days apart, px."""

    network: Network
    ice: np.ndarray
    rim: np.ndarray
    moved: dict[str, np.ndarray]
    sigma: dict[str, np.ndarray]

    @property
    def clear(self) -> np.ndarray:
        """Pairs that measure most of the ice."""
        return np.isfinite(self.moved["row"][:, self.ice]).mean(axis=1) > CLEAR


def track_glacier(folder: Path) -> Glacier:
    """Track all pairs with NCC; offsets less the median of the land."""
    days = sorted(path.stem for path in folder.glob("2020*.jpg"))
    net = Network.of(network([Acquisition(day) for day in days], NetworkParameters(kind="days", max_days=40)))
    config = TrackConfig(algorithm="ncc", parameters={"chip": CHIP, "step": STEP, "search": 16})
    fields = []
    for i, j in net.pairs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoGeoreferenceWarning)
            images = sensetrack.pair(folder / f"{days[i]}.jpg", folder / f"{days[j]}.jpg")
        with threads() as mapper:
            fields.append(sensetrack.track(images, config, mapper=mapper).offsets)
    ice, rim = areas(folder, fields[0])
    moved, sigma = {}, {}
    for k, name in enumerate(("row", "col")):
        values = np.stack([np.where(one.good, getattr(one, f"d_{name}"), np.nan) for one in fields])
        for number, pair in enumerate(values):  # stable ground does not move
            land = pair[rim & np.isfinite(pair)]
            values[number] -= np.median(land) if land.size >= 8 else 0
        moved[name], sigma[name] = values, np.stack([np.sqrt(one.covariance[..., k]) for one in fields])
    return Glacier(net, ice, rim, moved, sigma)


def areas(folder: Path, field: Any) -> tuple[np.ndarray, np.ndarray]:
    """Posts whose chips see ice only, and land without ice."""
    white = (cv2.imread(str(folder / "mask.jpg"), cv2.IMREAD_GRAYSCALE) > 127).astype(np.float32)
    blue, green, red = np.moveaxis(cv2.imread(str(folder / "20200210.jpg")).astype(np.float32), -1, 0)
    land = ((red > 1.25 * green) & (np.maximum(red, blue) > 20)).astype(np.float32)  # plants, in false colours
    i, j = (np.arange(size) * STEP + int(start) for size, start in zip(field.grid.shape, field.start, strict=True))
    shares = [cv2.blur(one, (CHIP, CHIP))[np.ix_(i, j)] for one in (white, land)]
    return shares[0] > 0.95, (shares[0] < 0.02) & (shares[1] > 0.45)
