"""What offset tracking returns: offsets in pixels, displacements in metres, and why a post is not to be trusted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import IntFlag
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sensetrack.errors import InputError

if TYPE_CHECKING:
    import xarray
    from numpy.typing import NDArray

    from sensetrack.grid import Grid


class Flag(IntFlag):
    """Why a post is not to be trusted. 0 is a good post; reasons add up."""

    NO_DATA = 1
    LOW_TEXTURE = 2
    PEAK_AT_EDGE = 4
    LOW_SCORE = 8
    OUTLIER = 16
    FILLED = 32
    OUT_OF_AOI = 64
    LAYOVER = 128
    SHADOW = 256
    CLOUD = 512
    SNOW = 1024
    INCONSISTENT = 2048

    @property
    def bit(self) -> np.uint16:
        """The flag as arrays of flags hold it."""
        return np.uint16(self.value)


class Match(NamedTuple):
    """What an algorithm says about the posts of one tile; see `OffsetField` for the meaning of each array."""

    d_row: NDArray[Any]
    d_col: NDArray[Any]
    flags: NDArray[np.uint16]
    score: NDArray[Any] | None = None
    snr: NDArray[Any] | None = None
    peak_ratio: NDArray[Any] | None = None
    covariance: NDArray[Any] | None = None
    chip_size: NDArray[Any] | None = None


class _MapFields:
    """Access to the map components by the names of the first release: dxx, dyy and res, in metres."""

    def _map(self) -> tuple[NDArray[Any], NDArray[Any]]:
        raise NotImplementedError

    def __getitem__(self, name: str) -> NDArray[Any]:
        dx, dy = self._map()
        fields = {"dxx": dx, "dyy": dy, "res": np.hypot(dx, dy)}
        return np.asarray(fields[name])

    def keys(self) -> tuple[str, ...]:
        """Names that can be asked for in square brackets."""
        return "dxx", "dyy", "res"


@dataclass(frozen=True, eq=False)
class OffsetField(_MapFields):
    """Offsets in pixels, one per post: ``reference[row, col]`` is found at ``secondary[row + d_row, col + d_col]``.

    Every array has the shape of `grid`, one value per post, NaN where nothing could be measured.
    """

    d_row: NDArray[np.float32]
    """Offset down the rows, px of the images."""
    d_col: NDArray[np.float32]
    """Offset along the columns, px of the images."""
    flags: NDArray[np.uint16]
    """Bits of `Flag`; 0 = good."""
    grid: Grid
    """Grid of posts: post ``[i, j]`` is the centre of its chip."""
    step: tuple[int, int] = (1, 1)
    """Image pixels between posts, (rows, cols)."""
    start: tuple[float, float] = (0.5, 0.5)
    """Post [0, 0] in the images, (row, col) in pixel corners."""
    score: NDArray[np.float32] | None = None
    """Likeness at the offset, at most 1, larger is better; unitless."""
    snr: NDArray[np.float32] | None = None
    """Peak of the correlation surface over the mean magnitude of the rest; unitless."""
    peak_ratio: NDArray[np.float32] | None = None
    """Highest over second highest peak of the surface; unitless, at least 1."""
    covariance: NDArray[np.float32] | None = None
    """(rows, cols, 3): variance of d_row, variance of d_col and their covariance, px^2."""
    chip_size: NDArray[np.uint16] | None = None
    """Rows of the chip that each post was measured with, px, where an algorithm tries several."""

    @property
    def good(self) -> NDArray[np.bool_]:
        """True where no flag is raised."""
        return np.asarray(self.flags == 0)

    @property
    def magnitude(self) -> NDArray[np.float32]:
        """Length of the offset, px."""
        return np.hypot(self.d_row, self.d_col)

    def flagged(self, where: NDArray[np.bool_], flag: Flag) -> OffsetField:
        """Return the field with `flag` raised at posts `where`; values stay."""
        return replace(self, flags=np.where(where, self.flags | flag.bit, self.flags))

    def to_map(self, d_row: NDArray[Any], d_col: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Turn image pixels at the posts into ground metres along the CRS axes."""
        return self.grid.to_map(d_row / self.step[0], d_col / self.step[1])

    def _map(self) -> tuple[NDArray[Any], NDArray[Any]]:
        return self.to_map(self.d_row, self.d_col)

    def to_displacement(self, dt: timedelta | None = None) -> Displacement:
        """Turn the offsets into ground metres.

        The variances are carried through the affine and the ground scale; see `Displacement`.
        """
        dx, dy = self._map()
        sigma_dx = sigma_dy = np.full(self.grid.shape, np.nan)
        if self.covariance is not None:
            var_row, var_col, both = np.moveaxis(np.asarray(self.covariance, float), -1, 0)
            row_x, row_y = self.to_map(np.ones(self.grid.shape), np.zeros(self.grid.shape))
            col_x, col_y = self.to_map(np.zeros(self.grid.shape), np.ones(self.grid.shape))
            sigma_dx = np.sqrt(row_x**2 * var_row + col_x**2 * var_col + 2 * row_x * col_x * both)
            sigma_dy = np.sqrt(row_y**2 * var_row + col_y**2 * var_col + 2 * row_y * col_y * both)
        as32 = np.float32
        return Displacement(
            dx.astype(as32), dy.astype(as32), sigma_dx.astype(as32), sigma_dy.astype(as32),
            self.flags, self.grid, dt,
        )  # fmt: skip

    def to_geodataframe(self) -> Any:
        """Return the posts as points, one row each, flagged ones included.

        Returns
        -------
        geopandas.GeoDataFrame
            In the CRS of the grid; without georeference points at (col, -row) in px and no CRS, which is where
            QGIS shows such an image. NaN where not measured or not known. Columns:

            - ``row, col``: the post in the images, px, in pixel corners
            - ``d_row, d_col``: the offset, px
            - ``dx, dy``: ground metres along +x and +y of the CRS; only with georeference
            - ``RSHIFT, CSHIFT``: the motion down the rows and along the columns, ground metres (px without
              georeference); ``L2``: the length of the displacement, in the same unit
            - ``NRMS``: sqrt(1 - max(score, 0)^2), unitless: the part of a chip that its match does not explain;
              0 = perfect, 1 = noise
            - ``score, snr, peak_ratio``: as in the field
            - ``sigma_dx, sigma_dy``: standard errors, m; without georeference ``sigma_d_row, sigma_d_col``, px
            - ``flags``: bits of `Flag`; ``good``: True where there is none
        """
        from sensetrack.ot.frames import offsets_frame

        return offsets_frame(self)

    def to_xarray(self) -> xarray.Dataset:
        """Return offsets, quality and flags as a dataset with CF metadata.

        Returns
        -------
        xarray.Dataset
            ``d_row, d_col, sigma_d_row, sigma_d_col`` (px), ``score, snr, peak_ratio`` and ``flags`` on (y, x), with
            coordinates and the grid mapping ``mapping`` as in `Displacement.to_xarray`. Without georeference on
            (row, col), whose coordinates are those of the posts in the images, px. Flagged posts keep what was
            measured.
        """
        from sensetrack.ot.frames import offsets_dataset

        return offsets_dataset(self)


@dataclass(frozen=True, eq=False)
class Displacement(_MapFields):
    """How far the ground moved, one value per post; arrays have the shape of `grid`, NaN = not measured."""

    dx: NDArray[np.float32]
    """Ground metres along +x of the CRS (east)."""
    dy: NDArray[np.float32]
    """Ground metres along +y of the CRS (north)."""
    sigma_dx: NDArray[np.float32]
    """Standard error of dx, m; NaN where unknown."""
    sigma_dy: NDArray[np.float32]
    """Standard error of dy, m; NaN where unknown."""
    flags: NDArray[np.uint16]
    """Bits of `Flag`; 0 = good."""
    grid: Grid
    """Grid of posts."""
    dt: timedelta | None = None
    """Secondary minus reference acquisition time."""

    def _map(self) -> tuple[NDArray[Any], NDArray[Any]]:
        return self.dx, self.dy

    @property
    def good(self) -> NDArray[np.bool_]:
        """True where no flag is raised."""
        return np.asarray(self.flags == 0)

    @property
    def magnitude(self) -> NDArray[np.float32]:
        """Length of the horizontal displacement, m."""
        return np.hypot(self.dx, self.dy)

    @property
    def velocity(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(vx, vy) in m/day.

        Raises
        ------
        InputError
            Where a date is unknown or the two are the same.
        """
        if not self.dt:
            found = "an unknown time" if self.dt is None else "no time"
            message = f"velocity needs two different acquisition times, instead got {found} between them"
            raise InputError(message)
        days = np.float32(self.dt / timedelta(days=1))
        return self.dx / days, self.dy / days

    def to_xarray(self) -> xarray.Dataset:
        """Return the displacement as a dataset with CF metadata.

        Returns
        -------
        xarray.Dataset
            ``dx, dy, magnitude, dx_error, dy_error`` (m) and, where the times are known and differ, ``vx, vy, v,
            vx_error, vy_error`` (m/day), NaN where any flag is raised; ``flags`` with the names of the bits.
            Dimensions are (y, x) with coordinates of the posts in the CRS, which ``mapping`` describes. Where rows
            do not run along an axis of the CRS there are longitude and latitude of every post instead, and the
            transform in ``mapping.GeoTransform``.
        """
        from sensetrack.ot.frames import displacement_dataset

        return displacement_dataset(self)
