"""Height of the geoid above the ellipsoid: what turns heights above the sea into heights above the ellipsoid.

``egm96_15.npz`` is the Earth Gravitational Model 1996 at every quarter of a degree, a work of the National Imagery and
Mapping Agency (now NGA) and NASA of the United States and in the public domain: the values of their ``WW15MGH.GRD``,
rounded to 2 cm, far below the half metre that the model is good for, as differences along rows and then columns.
EGM2008 is not included; it is read where PROJ's ``us_nga_egm08_25.tif`` has been installed
(``projsync --file us_nga_egm08_25.tif``).
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sensetrack.sar.heights import bilinear

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

log = logging.getLogger(__name__)

Model = Literal["egm96", "egm2008"]

_STEP = 0.02
"""Metres of a step of the packed values."""
_AROUND = 8
"""Columns and rows of the other side of the Earth beside the grid, so that splines know of no border."""
_EGM2008 = ("us_nga_egm08_25.tif",)
"""Names of PROJ's grid."""


@dataclass(frozen=True, eq=False)
class Geoid:
    """Heights of the geoid on a grid of the whole Earth."""

    name: str
    """What it is, for records."""
    values: NDArray[np.float32]
    """(rows, cols); from 90 degrees south and 180 degrees west with `_AROUND` rows and columns more on all sides, m.
    Coefficients of a cubic spline where `cubic`."""
    spacing: float
    """Degrees between values."""
    cubic: bool = field(default=True)

    def undulation(self, lon: ArrayLike, lat: ArrayLike) -> NDArray[np.float64]:
        """Return the height of the geoid above the ellipsoid, m, at places in radians; NaN where they are."""
        lon, lat = np.broadcast_arrays(np.degrees(np.asarray(lon, float)), np.degrees(np.asarray(lat, float)))
        known = np.isfinite(lon) & np.isfinite(lat)
        col = np.where(known, (lon + 180) % 360, 0.0) / self.spacing + _AROUND
        row = np.where(known, np.clip(lat, -90, 90) + 90, 0.0) / self.spacing + _AROUND
        if self.cubic:
            from scipy.ndimage import map_coordinates

            places = np.stack([row.reshape(-1), col.reshape(-1)])
            out = map_coordinates(self.values, places, np.float64, order=3, prefilter=False).reshape(row.shape)
        else:
            out = bilinear(self.values, row, col)
        return np.where(known, out, np.nan)


def geoid(model: Model) -> Geoid:
    """Return a model of the geoid; where EGM2008 is not installed EGM96 takes its place, and a warning says so.

    The two differ by less than a metre at most places and by several in high mountains and Antarctica. In a map that is
    made of a radar image a metre of height is about a metre to the side; in motions it cancels.
    """
    if model == "egm96":
        return _egm96()
    path = _installed(_EGM2008)
    if path is not None:
        return _from_grid(path)
    log.warning(
        "EGM2008 is not installed, EGM96 takes its place: heights may be off by a metre or two; "
        "projsync --file us_nga_egm08_25.tif installs it"
    )
    return _egm96("EGM96 in place of EGM2008")


@cache
def _egm96(name: str = "EGM96") -> Geoid:
    from scipy.ndimage import spline_filter

    packed = files("sensetrack.files") / "egm96_15.npz"
    with packed.open("rb") as stream, np.load(stream, allow_pickle=False) as content:
        steps = np.cumsum(np.cumsum(content["steps"], axis=0, dtype=np.int32), axis=1, dtype=np.int32)
    spline = spline_filter(_wrapped(steps * _STEP), 3, np.float32, mode="mirror")
    return Geoid(name, spline, 0.25)


def _wrapped(values: NDArray[Any]) -> NDArray[Any]:
    """Continue a grid of the whole Earth (its first column not repeated) around the date line and over the poles."""
    half = values.shape[1] // 2
    south = np.roll(values[_AROUND:0:-1], half, axis=1)
    north = np.roll(values[-2 : -_AROUND - 2 : -1], half, axis=1)
    return np.pad(np.concatenate([south, values, north]), ((0, 0), (_AROUND, _AROUND)), mode="wrap")


@cache
def _from_grid(path: Path) -> Geoid:
    """Read a grid of PROJ: a GeoTIFF of the whole Earth in degrees, whose posts are on whole steps."""
    from sensetrack.files.raster import open_raster

    file = open_raster(path)
    transform = file.grid.transform
    values = file.read(1, slice(0, file.grid.shape[0]), slice(0, file.grid.shape[1])).astype(np.float32)
    spacing = abs(transform.a)
    if transform.e < 0:
        values = values[::-1]
    values = values[:, : round(360 / spacing)]
    west = transform.c + transform.a / 2
    values = np.roll(values, round((west + 180) / spacing), axis=1)
    return Geoid("EGM2008", _wrapped(values), spacing, cubic=False)


def _installed(names: tuple[str, ...]) -> Path | None:
    """Return the first of some grids that is in a folder in which PROJ looks; nothing is fetched."""
    from pyproj import datadir

    folders = [*datadir.get_data_dir().split(os.pathsep), datadir.get_user_data_dir()]  # type: ignore[attr-defined]
    paths = [Path(folder) / name for folder in folders for name in names]
    return next((path for path in paths if path.is_file()), None)
