"""Offsets of a pair in radar geometry: posts over all bursts and swaths that were measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import InputError
from sensetrack.ot.bias import unbias
from sensetrack.sar.geometry import rdr2geo

if TYPE_CHECKING:
    from datetime import timedelta

    from numpy.typing import NDArray

    from sensetrack.ot.bias import BiasModel, BiasReport
    from sensetrack.ot.fields import OffsetField
    from sensetrack.sar.geometry import Places
    from sensetrack.sar.heights import Surface
    from sensetrack.sar.radargrid import RadarGrid


@dataclass(frozen=True, eq=False)
class RadarField:
    """Offsets of a co-registered pair at posts of a radar image.

    What is at ``[line, sample]`` of the reference is found ``d_row`` lines later (along the flight) and ``d_col``
    samples farther from the radar in the co-registered secondary: what the geometry of the two passes does is gone,
    what is left is motion.

    Parameters
    ----------
    field : OffsetField
        In px of the radar image; its `start` and `step` count in lines and samples of `radar`.
    radar : RadarGrid
        In slant range; the frame that all bursts lie in.
    coherent : (rows, cols) bool
        True where a post was matched with the phase, False where by amplitude, or not.
    dt : timedelta, optional
        Secondary minus reference time.
    burst : (rows, cols) int16, optional
        Number of the part that a post was measured in, or mostly; -1: none.
    """

    field: OffsetField
    radar: RadarGrid
    coherent: NDArray[np.bool_]
    dt: timedelta | None = None
    burst: NDArray[np.int16] | None = None

    def __post_init__(self) -> None:
        if self.radar.ground is not None:
            raise InputError("offsets in radar geometry must be in slant range, instead got ground range")
        for name, value in (("coherent", self.coherent), ("burst", self.burst), ("d_row", self.field.d_row)):
            if value is not None and value.shape != self.shape:
                message = f"{name} must have the shape {self.shape} of the posts, instead got {value.shape}"
                raise InputError(message)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of posts."""
        return self.field.grid.shape

    @property
    def lines(self) -> NDArray[np.float64]:
        """(rows,) lines of the posts, in pixel centres: 0 is the middle of the first line."""
        return np.asarray(self.field.start[0] - 0.5 + np.arange(self.shape[0]) * self.field.step[0], np.float64)

    @property
    def samples(self) -> NDArray[np.float64]:
        """(cols,) samples of the posts, in pixel centres."""
        return np.asarray(self.field.start[1] - 0.5 + np.arange(self.shape[1]) * self.field.step[1], np.float64)

    def with_field(self, field: OffsetField) -> RadarField:
        """Return the same posts with other offsets or flags."""
        return replace(self, field=field)

    def crop(self, rows: slice, cols: slice) -> RadarField:
        """Return a window of posts, in the same frame."""
        where = tuple(slice(*part.indices(size)[:2]) for part, size in zip((rows, cols), self.shape, strict=True))
        first = tuple(a + part.start * s for a, part, s in zip(self.field.start, where, self.field.step, strict=True))
        old = self.field
        layers: dict[str, Any] = {
            name: None if (value := getattr(old, name)) is None else value[where]
            for name in ("d_row", "d_col", "flags", "score", "snr", "peak_ratio", "covariance", "chip_size")
        }
        field = replace(old, grid=old.grid.crop(*where), start=(first[0], first[1]), **layers)
        burst = None if self.burst is None else self.burst[where]
        return replace(self, field=field, coherent=self.coherent[where], burst=burst)

    def places(self, surface: Surface) -> Places:
        """Return where the posts are: longitude, latitude (radians), height."""
        time, far = self.radar.time(self.lines)[:, None], self.radar.slant_range(self.samples)[None]
        return rdr2geo(self.radar, time, far, surface)

    def inside(self, area: Any, surface: Surface) -> NDArray[np.bool_]:
        """Tell which posts lie in an area: a shapely geometry in longitude and latitude, degrees."""
        import shapely

        found = self.places(surface)
        lon, lat = np.degrees(found.lon), np.degrees(found.lat)
        west, _, east, _ = area.bounds
        lon = (west + east) / 2 + (lon - (west + east) / 2 + 180) % 360 - 180
        shapely.prepare(area)
        return np.asarray(shapely.contains_xy(area, lon, lat))

    def unbiased(
        self, stable: NDArray[np.bool_] | None = None, model: BiasModel = "plane", *, min_posts: int = 10
    ) -> tuple[RadarField, BiasReport]:
        """Subtract what the posts of stable ground say, and fit the standard errors to the scatter there.

        Parameters
        ----------
        stable : (rows, cols) bool, optional
            True where the ground does not move. By default all posts: the plane through the bulk of them is taken off,
            which is right only where most of the ground is still.
        model : {"median", "plane"}
        min_posts : int
            Good stable posts that are needed.
        """
        where = np.ones(self.shape, np.bool_) if stable is None else stable
        if where.shape != self.shape:
            message = f"stable ground must have the shape {self.shape} of the posts, instead got {where.shape}"
            raise InputError(message)
        field, report = unbias(self.field, where, model, min_posts=min_posts)
        return self.with_field(field), report
