"""Folders as `slc` and `track` write them, of a motion east, north and up that is known."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyproj
from affine import Affine

from sensetrack.grid import Grid
from sensetrack.ot.fields import Flag, OffsetField
from sensetrack.products.layers import track_layers, write_layers
from sensetrack.products.slc_layers import map_layers_of, write_slc_layers

PLACE = (8.0, 46.4)
"""Longitude and latitude of the middle, degrees."""
START = datetime(2024, 6, 1, 5, 30, tzinfo=UTC)
GEOD = pyproj.Geod(ellps="WGS84")
ASCENDING = {"heading": -11.6, "flight": (-11.2, 0.19), "incidence": (33.0, 40.0), "direction": "ascending"}
DESCENDING = {"heading": -168.4, "flight": (-168.8, -0.19), "incidence": (44.0, 36.0), "direction": "descending"}


def velocity(lon, lat):
    """East, north and up, m/day: different everywhere, and none is 0."""
    x, y = (np.asarray(lon) - PLACE[0]) * 76.7, (np.asarray(lat) - PLACE[1]) * 111.2  # km
    return 0.31 + 0.021 * x - 0.004 * y, -0.52 + 0.013 * y + 0.006 * x, -0.083 + 0.009 * x + 0.011 * y


def grid_at(crs="EPSG:32632", shape=(31, 43), pixel=(110.0, 140.0), shift=(0.0, 0.0)):
    """A map around the place: rows and columns of different size, `shift` of a pixel from whole multiples of it."""
    x, y = pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(*PLACE)
    height, width = pixel
    left = (round(x / width) - shape[1] // 2 + shift[1]) * width
    top = (round(y / height) + shape[0] // 2 + shift[0]) * height
    return Grid(shape, Affine(width, 0, left, 0, -height, top), crs)


def places(grid):
    """Longitude and latitude of all posts, degrees."""
    x, y = grid.xy(*np.indices(grid.shape))
    return pyproj.Transformer.from_crs(grid.crs, 4326, always_xy=True).transform(x, y)


@dataclass
class Writer:
    """Writes folders below one."""

    folder: Path
    motion: object = staticmethod(velocity)
    noise: bool = False
    """Whether values have errors as large as their standard errors say."""
    holes: bool = True
    """Whether one block of posts of each folder is flagged, another of each."""
    made: int = 0
    store: Path | None = None
    """Where folders are kept that were written before, by all that they depend on: copies are quicker."""

    def slc(self, name, *arguments, **options):
        """Return a folder as of `slc`; see `_slc`."""
        return self._once(self._slc, name, *arguments, **options)

    def track(self, name, *arguments, **options):
        """Return a folder as of `track`; see `_track`."""
        return self._once(self._track, name, *arguments, **options)

    def _once(self, write, name, *arguments, **options):
        values = [*arguments, *options.items()]
        grids = [(one.shape, tuple(one.affine), one.crs.to_wkt()) for one in arguments if isinstance(one, Grid)]
        key = repr((write.__name__, self.motion, self.noise, self.holes, self.made, grids, values))
        kept = (self.store or self.folder / ".kept") / hashlib.sha256(key.encode()).hexdigest()
        if kept.exists():
            self.made += 2
        else:
            write(kept, *arguments, **options)
        return Path(shutil.copytree(kept, self.folder / name))

    def _slc(self, folder, radar, grid=None, *, side="right", days=12.0, start=START, sigma=(0.09, 0.31)):
        """Write what the geometry of a radar sees of the motion."""
        grid = grid or grid_at()
        east, north, up = (part * days for part in self.motion(*places(grid)))
        incidence = np.broadcast_to(np.linspace(*radar["incidence"], grid.shape[1]), grid.shape).astype(np.float32)
        towards = np.radians(radar["heading"] + (90 if side == "right" else -90))
        theta = np.radians(incidence.astype(float))
        away = np.sin(theta) * (np.sin(towards) * east + np.cos(towards) * north) - np.cos(theta) * up
        turn, rise = np.radians(radar["flight"])
        heading = np.radians(radar["heading"])
        flight = np.cos(rise) * np.sin(turn), np.cos(rise) * np.cos(turn), np.sin(rise)
        share = flight[0] * np.sin(heading) + flight[1] * np.cos(heading)
        along = (flight[0] * east + flight[1] * north + flight[2] * up) / share
        layers = {"slant_range": self._with_noise(away, sigma[0]), "along_track": self._with_noise(along, sigma[1])}
        flags = self._flags(grid)
        for key, error in zip(("slant_range", "along_track"), sigma, strict=True):
            layers[f"sigma_{key}"] = np.full(grid.shape, error)
        # What rests on an assumption must not be used: it is far off here.
        layers |= {key: np.full(grid.shape, 77.0) for key in ("dx", "dy")}
        layers |= {key: np.full(grid.shape, 0.3) for key in ("sigma_dx", "sigma_dy", "score", "snr", "peak_ratio")}
        layers |= {"incidence": incidence, "local_incidence": incidence, "coherent": np.ones(grid.shape)}
        layers["heading"] = np.full(grid.shape, radar["heading"])
        layers["flight_heading"] = np.full(grid.shape, radar["flight"][0])
        layers["flight_climb"] = np.full(grid.shape, radar["flight"][1])
        for key in ("slant_range", "along_track", "sigma_slant_range", "sigma_along_track"):
            layers[key] = np.where(flags == 0, layers[key], np.nan)
        layers = {key: np.asarray(value, np.float32) for key, value in layers.items()}
        folder.mkdir(parents=True)
        write_slc_layers(folder, map_layers_of(layers, flags, days), grid, {})
        frame = {"look": side, "pass": radar["direction"]}
        return self._record(folder, {"frame": frame, "configuration": {}}, start, days)

    def _track(self, folder, grid=None, *, days=30.0, start=START, sigma=(0.4, 0.7), georeference=True):
        """Write what is seen on a map of places that are moved over the ellipsoid."""
        grid = grid or grid_at()
        lon, lat = places(grid)
        east, north, _ = (part * days for part in self.motion(lon, lat))
        there = GEOD.fwd(lon, lat, np.degrees(np.arctan2(east, north)), np.hypot(east, north))[:2]
        x, y = pyproj.Transformer.from_crs(4326, grid.crs, always_xy=True).transform(*there)
        col, row = ~grid.transform @ (x, y)
        d_row, d_col = row - 0.5 - np.indices(grid.shape)[0], col - 0.5 - np.indices(grid.shape)[1]
        pixel = grid.pixel_size
        d_row = self._with_noise(d_row, sigma[1] / pixel[0])
        d_col = self._with_noise(d_col, sigma[0] / pixel[1])
        covariance = None
        if sigma[0]:
            covariance = np.zeros((*grid.shape, 3), np.float32)
            covariance[..., 0], covariance[..., 1] = (sigma[1] / pixel[0]) ** 2, (sigma[0] / pixel[1]) ** 2
        flags = self._flags(grid)
        d_row, d_col = (np.asarray(part, np.float32) for part in (d_row, d_col))
        grid = grid if georeference else Grid(grid.shape)
        offsets = OffsetField(d_row, d_col, flags, grid, covariance=covariance)
        moved = offsets.to_displacement(timedelta(days=days)) if georeference else None
        folder.mkdir(parents=True)
        write_layers(folder, track_layers(offsets, moved), offsets, {})
        return self._record(folder, {"configuration": {"algorithm": "ncc"}}, start, days)

    def _with_noise(self, values, sigma):
        self.made += 1
        return values + sigma * np.random.default_rng(self.made).normal(size=values.shape) if self.noise else values

    def _flags(self, grid):
        flags = np.zeros(grid.shape, np.uint16)
        if self.holes:
            flags[3 + 2 * self.made : 6 + 2 * self.made, 5:9] = Flag.OUTLIER.bit
        return flags

    @staticmethod
    def _record(folder, record, start, days):
        acquired = [when.isoformat() for when in (start, start + timedelta(days=days))]
        record |= {"acquired": acquired, "dt_days": days, "inputs": [{"path": "a.tif"}, {"path": "b.tif"}]}
        (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
        return folder
