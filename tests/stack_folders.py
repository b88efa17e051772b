"""Folders of pairs whose truth is known, written by the code that `track` writes them with."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from affine import Affine

from sensetrack.grid import Grid
from sensetrack.ot.fields import OffsetField
from sensetrack.products.layers import track_layers, write_layers

START = datetime(2023, 3, 7, 10, 20, 31, tzinfo=UTC)
IMAGES = Affine(10, 0, 600_000, 0, -20, 5_100_000)
"""Pixels of 10 m by 20 m."""
STEP = 8, 12
SHAPE = 13, 21
RATE = 3 / 60, 5 / 60
"""px per day, (rows, cols): 3 rows down and 5 columns right in 60 days."""


@dataclass
class Scenes:
    """Dates, what each shows, and the pairs between them."""

    count: int = 9
    days: int = 12
    reach: int = 4
    """Dates that each one is paired with."""
    shape: tuple[int, int] = SHAPE
    affine: Affine | None = IMAGES
    crs: str | None = "EPSG:32632"
    image: float = 0.02
    """px, noise of an image."""
    pair: float = 0.03
    """px, noise of a pair."""
    seed: int = 5
    missing: int = 3
    """A step without a date."""
    blunders: float = 0.03
    holes: float = 0.05
    shown: list = field(default_factory=list)

    def __post_init__(self):
        rng = np.random.default_rng(self.seed)
        self.rng = rng
        self.dates = [START + timedelta(days=self.days * k) for k in range(self.count + 1) if k != self.missing]
        # Grows down the rows and to the right, and nothing moves at the left edge.
        i, j = np.indices(self.shape)
        grow = np.where(j < 5, 0.0, 1 + 0.5 * i / self.shape[0] + 0.25 * j / self.shape[1])
        self.rate = RATE[0] * grow, RATE[1] * grow
        for moment in self.dates:
            t = (moment - START) / timedelta(days=1)
            noise = rng.normal(0, self.image, (2, *self.shape))
            self.shown.append([rate * t + part for rate, part in zip(self.rate, noise, strict=True)])

    def pairs(self):
        return [(i, j) for i in range(self.count) for j in range(i + 1, min(i + 1 + self.reach, self.count))]

    @property
    def posts(self):
        return Grid((500, 500), self.affine, self.crs).posts((16.0, 16.0), STEP, self.shape)

    def field(self, i, j):
        """Return the offsets of a pair as an algorithm measures them."""
        rng = self.rng
        moved = [
            b - a + rng.normal(0, self.pair, self.shape) for a, b in zip(self.shown[i], self.shown[j], strict=True)
        ]
        bad = rng.random(self.shape) < self.blunders
        for part in moved:
            part[bad] += rng.choice([-1, 1], bad.sum()) * rng.uniform(1, 6, bad.sum())
        flags = np.where(rng.random(self.shape) < self.holes, 16, 0).astype(np.uint16)
        covariance = np.zeros((*self.shape, 3), np.float32)
        covariance[..., :2] = self.pair**2
        d_row, d_col = (part.astype(np.float32) for part in moved)
        return OffsetField(d_row, d_col, flags, self.posts, STEP, (16.0, 16.0), covariance=covariance)

    def write(self, folder, i, j, field=None, **record):
        """Write one pair."""
        field = field or self.field(i, j)
        return write_pair(folder, field, self.dates[i], self.dates[j], **record)

    def write_all(self, folder):
        return [self.write(folder, i, j) for i, j in self.pairs()]


def write_pair(folder, field, first, second, **record):
    """Write a pair as `track` does, and return its folder."""
    out = Path(folder) / f"{first:%Y%m%d}-{second:%Y%m%d}"
    out.mkdir(parents=True)
    moved = field.to_displacement(second - first) if field.grid.georeferenced else None
    layers = track_layers(field, moved)
    if moved is not None:  # the others are not read
        layers = [one for one in layers if one.file in {"displacement.tif", "quality.tif"}]
    write_layers(out, layers, field, {"SOFTWARE": "sensetrack"})
    about = {
        "configuration": {"algorithm": "ncc", "parameters": {"chip": [32, 24], "step": list(field.step)}},
        "inputs": [{"path": f"/data/scene_{moment:%Y%m%d}.tif"} for moment in (first, second)],
        "acquired": [first.isoformat(), second.isoformat()],
        "dt_days": (second - first) / timedelta(days=1),
        "grid": {"step_px": list(field.step)},
    } | record
    (out / "run.json").write_text(json.dumps(about))
    return out
