"""Twenty dates of one glacier that is simulated: a study as archives deliver it, whose truth is known.

    python examples/twenty_dates/make.py twenty-dates
    sensetrack run twenty-dates/study.yaml

Ice flows through ground that does not move: at another speed in every place, in both directions unlike, faster in
some seasons. Every image is a little distorted in its own way, carries noise and shows some clouds. Of 21 passes, 12
days apart, one was never taken; one scene is cloudy; the file of one is damaged.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from scipy import fft, ndimage

from sensetrack.files.vector import write_outline
from sensetrack.grid import Grid

SHAPE = 480, 640
"""Rows, columns, px."""
AFFINE = Affine(10, 0, 602_000, 0, -15, 5_104_000)
"""North-up pixels of 10 m x 15 m."""
CRS = "EPSG:32632"
START = datetime(2023, 1, 9, 10, 24, tzinfo=UTC)
DAYS = 12
PASSES = 21
MISSING, CLOUDY, CORRUPT = 6, 10, 15
"""Passes, from 0: the one never taken, the one under clouds, the one whose file ends too soon."""

VELOCITY = 0.18 / 12, -0.35 / 12
"""Down the rows and along the columns where the ice is fastest, about, px/day."""
SEASON = (0.80, 190.0), (1.20, 60.0)
"""Of both: amplitude where the ice is fastest, px, and day of the year with the largest displacement."""
DISTORTION = 0.06
"""Of each image (standard deviation along each axis), px; what all pairs of an image share."""
LENGTH = 16.0
"""Smoothing of the distortion, px: its correlation falls to a half within 1.67 times that."""
NOISE = 0.6
"""White noise of each image, in standard deviations of the ground."""
PATCHES = 0.025
"""Share of each image that shows something else: clouds, or what is no brighter than the ground."""
VEILS = 0.02
"""Share of two images in a row over which a thin pattern drifts: they match, wrongly."""
DRIFT = 3.0
"""How far it drifts between them, px."""
COVER = 0.8
"""Share of the cloudy image that is cloud."""
FOOTPRINT = 0.06
"""Columns of the upper left corner outside the swath, as a share of the width."""

_OVER = 2
"""Samples of the ground per pixel, along each axis."""
_COARSE = 8
"""Motion is computed at every so many pixels and interpolated: it changes over a hundred."""
_MARGIN = 24
"""Ground beyond the edges, px."""
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_YEAR = 365.25


@dataclass(frozen=True)
class Twin:
    """The glacier and what is known of it; fields are (2, rows, cols): down the rows and along the columns, px."""

    seed: int = 5
    shape: tuple[int, int] = SHAPE

    # --- dates ---------------------------------------------------------------------------------------------------

    @cached_property
    def dates(self) -> tuple[datetime, ...]:
        """Moments of the twenty scenes; numbers of scenes count along these."""
        return tuple(START + timedelta(days=DAYS * k) for k in range(PASSES) if k != MISSING)

    @property
    def names(self) -> tuple[str, ...]:
        """Files of the scenes."""
        return tuple(f"scene_{date:%Y%m%d}.tif" for date in self.dates)

    @property
    def cloudy(self) -> int:
        """Number of the scene that is mostly cloud."""
        return self._number(CLOUDY)

    @property
    def corrupt(self) -> int:
        """Number of the scene whose file cannot be read."""
        return self._number(CORRUPT)

    def _number(self, which: int) -> int:
        return which - (which > MISSING)

    @cached_property
    def days(self) -> np.ndarray:
        """Of each scene since the first one."""
        return np.array([(date - self.dates[0]) / timedelta(days=1) for date in self.dates])

    # --- truth ---------------------------------------------------------------------------------------------------

    @property
    def grid(self) -> Grid:
        """Of the images."""
        return Grid(self.shape, AFFINE, CRS)

    @cached_property
    def velocity(self) -> np.ndarray:
        """Of the ice at each pixel, without the season, px/day."""
        return np.stack(self._ice(*np.indices(self.shape, float))[1:])

    @cached_property
    def amplitude(self) -> np.ndarray:
        """Of the season at each pixel, px."""
        return np.stack([size * self._pace for size, _ in SEASON])

    @property
    def moving(self) -> np.ndarray:
        """(rows, cols) True where the ground moves at all."""
        return self._pace > 0

    @cached_property
    def _pace(self) -> np.ndarray:
        return self._ice(*np.indices(self.shape, float))[0]

    def displacement(self, number: int) -> np.ndarray:
        """What passed each pixel from the first date to another: the velocity there and its season, summed up.

        A network of pairs measures this, since each pair sees what is at the pixel at its own time. A pair sees a
        little more, because the ground it follows leaves the pixel: see `between`.
        """
        season = (self._season(self.days[number]) - self._season(0.0))[:, None, None]
        return self.velocity * self.days[number] + season * self._pace

    def between(self, first: int, second: int) -> np.ndarray:
        """How far what is at each pixel at the first of two dates has moved at the second one, exactly."""
        return self._everywhere(np.indices(self.shape, float), self.days[first], self.days[second])

    def metres(self, field: np.ndarray) -> np.ndarray:
        """East and north of a field, m (or m/day)."""
        return np.stack(self.grid.to_map(*field))

    def at_posts(self, field: np.ndarray, chip: int, step: int) -> np.ndarray:
        """Average a field, (..., rows, cols) of pixels, over the chips of all posts, as matching does."""
        total = np.pad(field.astype(float), [(0, 0)] * (field.ndim - 2) + [(1, 0), (1, 0)]).cumsum(-2).cumsum(-1)
        rows, cols = (np.arange(0, n - chip + 1, step) for n in self.shape)
        low, high = (total[..., r, :][..., cols + chip] - total[..., r, :][..., cols] for r in (rows, rows + chip))
        return (high - low) / chip**2

    # --- images --------------------------------------------------------------------------------------------------

    def image(self, number: int) -> np.ndarray:
        """Draw a scene: (rows, cols) uint16, 0 = outside the swath."""
        rng = self._random(1, number)
        at = np.indices(self.shape, float) - self.distortion(number)
        ground = self._texture(at + self._everywhere(at, self.days[number], 0.0))
        ground += self._veils(number) + NOISE * rng.normal(size=self.shape)
        for cover, shown in self._foreign(number):
            ground += cover * (shown - ground)
        gain, haze = rng.uniform(0.85, 1.15), rng.uniform(-150, 150)
        value = np.clip(2600 + haze + 520 * gain * ground, 1, 65_535).round().astype(np.uint16)
        rows, cols = np.indices(self.shape)
        edge = (FOOTPRINT + 0.01 * rng.uniform()) * self.shape[1] - 0.21 * rows
        value[cols < edge] = 0
        return value

    def distortion(self, number: int) -> np.ndarray:
        """By how much an image shows everything elsewhere: random, smooth, its own."""
        rng = self._random(2, number)
        pad = int(4 * LENGTH)
        noise = rng.normal(size=(2, *(n + 2 * pad for n in self.shape)))
        # A Gaussian filter leaves 1 / (2 sqrt(pi) LENGTH) of white noise along both axes together.
        smooth = np.stack([ndimage.gaussian_filter(part, LENGTH, mode="wrap") for part in noise])
        smooth *= DISTORTION * 2 * np.sqrt(np.pi) * LENGTH
        return smooth[:, pad:-pad, pad:-pad]

    def clouded(self, number: int) -> np.ndarray:
        """(rows, cols) True where an image shows something else than the ground."""
        return np.asarray(np.max([cover for cover, _ in self._foreign(number)], axis=0) > 0.05)

    def write(self, folder: Path) -> list[Path]:
        """Write the scenes, the outline of what moves, the truth and the study; return the scenes."""
        (folder / "scenes").mkdir(parents=True, exist_ok=True)
        paths = [folder / "scenes" / name for name in self.names]
        profile = {
            "driver": "GTiff", "height": self.shape[0], "width": self.shape[1], "count": 1, "dtype": "uint16",
            "crs": CRS, "transform": AFFINE, "nodata": 0, "compress": "deflate", "predictor": 2, "tiled": True,
            "blockxsize": 256, "blockysize": 256,
        }  # fmt: skip
        for number, path in enumerate(paths):
            path.unlink(missing_ok=True)  # GDAL would look into a damaged one
            with rasterio.open(path, "w", **profile) as file:
                file.write(self.image(number), 1)
                file.update_tags(
                    ACQUIRED=self.dates[number].isoformat(), NOTE="simulated by sensetrack; not a real place"
                )
        data = paths[self.corrupt].read_bytes()
        paths[self.corrupt].write_bytes(data[: int(0.4 * len(data))])
        (folder / "moving.gpkg").unlink(missing_ok=True)
        write_outline(folder / "moving.gpkg", self.moving, self.grid)
        self._write_truth(folder / "truth.npz")
        shutil.copyfile(Path(__file__).with_name("study.yaml"), folder / "study.yaml")
        return paths

    def _write_truth(self, path: Path) -> None:
        """Write what is known at every pixel, east and north: (2, rows, cols), m and days."""
        np.savez_compressed(
            path,
            dates=np.array([date.strftime("%Y-%m-%dT%H:%M:%S") for date in self.dates], "datetime64[ms]"),
            velocity=self.metres(self.velocity).astype(np.float32),
            season=self.metres(self.amplitude).astype(np.float32),
            moving=self.moving,
        )

    # --- how it is made ------------------------------------------------------------------------------------------

    def _random(self, *what: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *what])

    def _ice(self, rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pace of the ice, 0..1, and its velocity, at any place."""
        down, right = rows - 0.54 * self.shape[0], cols - 0.47 * self.shape[1]
        u = (0.93 * right - 0.37 * down) / (0.42 * self.shape[1])
        w = (0.37 * right + 0.93 * down) / (0.40 * self.shape[0])
        pace = np.maximum(1 - u**2 - w**2, 0) ** 3
        return pace, VELOCITY[0] * pace * (1 + 0.35 * u), VELOCITY[1] * pace * (1 - 0.25 * w + 0.2 * u)

    def _season(self, day: float, derivative: int = 0) -> np.ndarray:
        """Displacement of the season down the rows and along the columns where the ice is fastest, px."""
        since = (self.dates[0] - _EPOCH) / timedelta(days=1) + day
        turn = 2 * np.pi / _YEAR
        wave = np.array([turn * (since - peak) for _, peak in SEASON])
        size = np.array([size for size, _ in SEASON])
        return -size * turn * np.sin(wave) if derivative else size * np.cos(wave)

    def _carried(self, rows: np.ndarray, cols: np.ndarray, start: float, end: float) -> np.ndarray:
        """Follow the ground from places at one time to another: (2, rows, cols) by how much it moved."""
        place = np.stack(np.broadcast_arrays(rows, cols)).astype(float)
        begun = place.copy()
        steps = max(1, int(np.ceil(abs(end - start) / 20)))
        h = (end - start) / steps

        def rate(at: np.ndarray, day: float) -> np.ndarray:
            pace, *velocity = self._ice(*at)
            return np.stack([v + s * pace for v, s in zip(velocity, self._season(day, 1), strict=True)])

        for number in range(steps):  # Runge and Kutta
            day = start + number * h
            k1 = rate(place, day)
            k2 = rate(place + h / 2 * k1, day + h / 2)
            k3 = rate(place + h / 2 * k2, day + h / 2)
            k4 = rate(place + h * k3, day + h)
            place = place + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return place - begun

    def _everywhere(self, at: np.ndarray, start: float, end: float) -> np.ndarray:
        """Follow the ground from many places, no further than a few pixels outside the images."""
        rows, cols = (np.arange(-_COARSE, n + 2 * _COARSE, _COARSE) for n in self.shape)
        moved = self._carried(rows[:, None], cols[None, :], start, end)
        where = at / _COARSE + 1
        return np.stack([ndimage.map_coordinates(part, where, order=3, mode="nearest") for part in moved])

    @cached_property
    def _ground(self) -> np.ndarray:
        """Brightness of the ground at the first date, spline coefficients of samples finer than pixels."""
        size = [_OVER * (n + 2 * _MARGIN) for n in self.shape]
        rng = self._random(0)
        parts = [(0.75, 3.0, 8.0), (0.5, 7.0, 24.0), (0.45, 20.0, 90.0)]
        ground = sum(weight * _noise(rng, size, _OVER * low, _OVER * high) for weight, low, high in parts)
        return ndimage.spline_filter(ground, 5)

    def _texture(self, at: np.ndarray) -> np.ndarray:
        """Brightness of the ground at any places, px."""
        # Sample 0 is half of a fine sample right of the left edge of the first pixel of the margin.
        fine = _OVER * (at + _MARGIN + 0.5) - 0.5
        return ndimage.map_coordinates(self._ground, fine, order=5, mode="nearest", prefilter=False)

    def _foreign(self, number: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """What hides the ground: how much, 0..1, and what is seen instead."""
        rng = self._random(4, number)
        billows = _noise(rng, self.shape, 4, 70)
        bright = 4.0 + 1.2 * billows
        if number == self.cloudy:
            # A corner that does not move stays clear: pairs can be tied to it, and then they look cloudy.
            rows, cols = np.indices(self.shape)
            corner = np.hypot(rows / self.shape[0], 1 - cols / self.shape[1])
            thickness = _noise(rng, self.shape, 40, 400) + 0.2 * billows - 4 * np.clip(1.2 - 3 * corner, 0, 1)
            return [(np.clip(0.5 + 4 * (thickness - np.quantile(thickness, 1 - COVER)), 0, 1), bright)]
        strange = 1.1 * _noise(rng, self.shape, 3, 60)
        return [(self._patches(rng, PATCHES / 2, (14, 30)), what) for what in (bright, strange)]

    def _veils(self, number: int) -> np.ndarray:
        """Thin patterns that this image shares with the one before and with the next one."""
        total = np.zeros(self.shape)
        for first in (number - 1, number):
            # The first and last dates hang by few pairs: where one of them is wrong, little speaks against it.
            if not 0 < first < len(self.dates) - 2:
                continue
            rng = self._random(3, first + 1)
            pattern = 1.4 * _noise(rng, self.shape, 3, 12) * self._patches(rng, VEILS, (26, 44))
            turn = rng.uniform(0, 2 * np.pi)
            drift = DRIFT * np.array([np.sin(turn), np.cos(turn)])
            total += pattern if first == number else ndimage.shift(pattern, drift)
        return total

    def _patches(self, rng: np.random.Generator, share: float, sizes: tuple[float, float]) -> np.ndarray:
        """Round patches with uneven edges that cover a share of an image, 0..1."""
        covered, rows, cols = np.zeros(self.shape), *np.ogrid[: self.shape[0], : self.shape[1]]
        rough = 4 * _noise(rng, self.shape, 5, 60)
        while (covered > 0.5).mean() < share:
            row, col, size = *rng.uniform(0, self.shape), rng.uniform(*sizes)
            away = np.hypot((rows - row) / rng.uniform(0.7, 1.4), cols - col) + rough
            covered = np.maximum(covered, np.clip((size - away) / 4 + 0.5, 0, 1))
        return covered


def _noise(rng: np.random.Generator, shape: tuple[int, ...] | list[int], shortest: float, longest: float) -> np.ndarray:
    """Gaussian noise of mean 0 and standard deviation 1, of wavelengths between two limits, samples."""
    size = [fft.next_fast_len(n, real=True) for n in shape]
    k = np.hypot(fft.fftfreq(size[0])[:, None], fft.rfftfreq(size[1])[None, :])
    gain = np.exp(-((k * shortest) ** 8)) * (1 - np.exp(-((k * longest) ** 2))) / np.maximum(k, 1e-9) * (k > 0)
    out = fft.irfft2(fft.rfft2(rng.normal(size=size)) * gain, s=size)[: shape[0], : shape[1]]
    return (out - out.mean()) / out.std()


def main(arguments: list[str] | None = None) -> None:
    """Write the study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("twenty-dates"))
    parser.add_argument("--seed", type=int, default=Twin.seed)
    given = parser.parse_args(arguments)
    twin = Twin(given.seed)
    paths = twin.write(given.folder)
    print(f"{len(paths)} scenes in {given.folder / 'scenes'}")
    print(f"cloudy: {paths[twin.cloudy].name}; damaged: {paths[twin.corrupt].name}")
    print(f"sensetrack run {given.folder / 'study.yaml'}")


if __name__ == "__main__":
    main()
