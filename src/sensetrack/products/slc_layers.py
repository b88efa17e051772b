"""The files of a pair of SLCs: on a map, and at the posts of the radar image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.files.cog import write_cog
from sensetrack.ot.interfaces import Flag
from sensetrack.products.layers import Layer

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from sensetrack.grid import Grid

MAP_FILES = ("displacement", "velocity", "quality", "geometry", "flags")
"""Rasters on a map, without suffix; each has a style beside it."""
RADAR_FILES = ("displacement", "offsets", "quality", "flags", "geometry", "place")
"""Rasters at the posts of the radar image."""
ISCE_FILES = ("dense_offsets", "dense_offsets_snr", "dense_offsets_cov", "filt_dense_offsets")
"""Of the layout of ISCE2, without suffix."""
DAYS_OF_A_YEAR = 365.25
ANGLES = ("incidence", "local_incidence", "heading", "flight_heading", "flight_climb")
ANGLES_NOTE = (
    "incidence: from the vertical; local_incidence: from the normal of the ground; heading: of along_track, clockwise "
    "from north; flight_heading, flight_climb: of the satellite's own motion, clockwise from north and upwards"
)
"""What the angles of a radar are, for a header."""

_ISCE_SUFFIXES = (".bil", ".bil.xml", ".bil.vrt", ".bil.geo", ".bil.geo.xml", ".bil.geo.vrt")
SLC_FILES = (
    *(f"{name}{suffix}" for name in MAP_FILES for suffix in (".tif", ".qml")),
    "quicklook.png",
    "run.json",
    *(f"radar/{name}.tif" for name in RADAR_FILES),
    *(f"isce/{name}{suffix}" for name in ISCE_FILES for suffix in _ISCE_SUFFIXES),
)
"""Every file that may be written."""

RADAR_NOTE = (
    "posts of the radar image: row i is at line LINES[0] + i LINES[1] of the frame, column j at sample SAMPLES[0] + j "
    "SAMPLES[1], counted from the centre of its first pixel; place.tif says where each lies"
)
"""What a raster at posts of the radar image is, for its header."""


def map_layers_of(layers: dict[str, NDArray[Any]], flags: NDArray[np.uint16], days: float | None) -> list[Layer]:
    """Lay the layers of a map out over files.

    Parameters
    ----------
    layers : dict
        dx, dy, slant_range, along_track, each with its sigma; `ANGLES`; score, snr, peak_ratio, coherent; (rows, cols)
        float32.
    flags : ndarray
        Bits of `Flag`.
    days : float or None
        Secondary minus reference; None or 0: there is no velocity.
    """
    good = flags == 0
    dx, dy = layers["dx"], layers["dy"]
    moved = [("dx", dx), ("dy", dy), ("magnitude", np.hypot(dx, dy))]
    files = [
        Layer(
            "displacement.tif",
            [(name, "m", _only(good, values)) for name, values in moved],
            "ground metres along +x and +y of the CRS, see ASSUMPTION; NaN where any flag is raised",
        ),
        Layer(
            "quality.tif",
            [
                (name, unit, layers[name].astype(np.float32))
                for name, unit in (
                    ("score", "1"), ("snr", "1"), ("peak_ratio", "1"), ("sigma_dx", "m"), ("sigma_dy", "m"),
                    ("coherent", "1"), ("slant_range", "m"), ("along_track", "m"),
                    ("sigma_slant_range", "m"), ("sigma_along_track", "m"),
                )
                if name in layers
            ],
            "score and snr: larger is better; coherent: share of posts matched with their phase; NaN under a flag: "
            "sigma (standard error), slant_range (away from the radar), along_track (in flight direction)",
        ),
        Layer(
            "geometry.tif",
            [(name, "deg", layers[name]) for name in ANGLES if name in layers],
            f"{ANGLES_NOTE}; the radar looks to the side that LOOK says",
        ),
        Layer("flags.tif", [("flags", "bits", flags)], "0 = good; reasons add up"),
    ]  # fmt: skip
    if days:
        rates = [("vx", dx / days), ("vy", dy / days), ("speed", np.hypot(dx, dy) / abs(days))]
        daily = [(name, "m/day", _only(good, values)) for name, values in rates]
        yearly = [(f"{name}_year", "m/yr", values * np.float32(DAYS_OF_A_YEAR)) for name, _, values in daily]
        note = "ground metres per day, and per year of 365.25 days, along +x and +y of the CRS; NaN under a flag"
        files.insert(1, Layer("velocity.tif", [*daily, *yearly], note))
    return files


def radar_layers(layers: dict[str, NDArray[Any]], whole: dict[str, NDArray[np.uint16]]) -> list[Layer]:
    """Lay out over files what is known of the posts; `whole` has flags, coherent, burst."""

    def bands(*names: tuple[str, str]) -> list[tuple[str, str, NDArray[Any]]]:
        return [(name, unit, layers[name].astype(np.float32)) for name, unit in names if name in layers]

    moved = ("slant_range", "along_track", "dx", "dy")
    return [
        Layer(
            "radar/displacement.tif",
            bands(*((name, "m") for name in moved)),
            "slant_range: away from the radar; along_track: in flight direction; dx, dy: east, north on the ground; "
            "flagged posts keep what was measured",
        ),
        Layer(
            "radar/offsets.tif",
            bands(("d_row", "px"), ("d_col", "px")),
            "of the co-registered pair: lines later, samples farther from the radar",
        ),
        Layer(
            "radar/quality.tif",
            bands(
                ("score", "1"), ("snr", "1"), ("peak_ratio", "1"), ("sigma_d_row", "px"), ("sigma_d_col", "px"),
                ("sigma_slant_range", "m"), ("sigma_along_track", "m"), ("sigma_dx", "m"), ("sigma_dy", "m"),
            ),
            "score and snr: larger is better; sigma: standard error",
        ),
        Layer(
            "radar/flags.tif",
            [(name, "bits" if name == "flags" else "1", values) for name, values in whole.items()],
            "flags: 0 = good, reasons add up; coherent: 1 = matched with the phase; burst: number in run.json from 1, "
            "0 = none",
        ),
        Layer(
            "radar/geometry.tif",
            bands(
                *((name, "deg") for name in ANGLES),
                ("height", "m"),
                ("brightness", "dB"),
            ),
            f"{ANGLES_NOTE}; height: above the ellipsoid; brightness: power of the reference around the post",
        ),
        Layer(
            "radar/place.tif",
            [(name, "deg", layers[name].astype(np.float64)) for name in ("lon", "lat")],
            "longitude and latitude on WGS84 of the ground that the post shows",
        ),
    ]  # fmt: skip


def write_slc_layers(folder: Path, layers: list[Layer], grid: Grid, tags: dict[str, Any]) -> None:
    """Write rasters of one grid as cloud-optimised GeoTIFFs."""
    bits = {flag.name: int(flag.value) for flag in Flag}
    for layer in layers:
        path = folder / layer.file
        path.parent.mkdir(exist_ok=True)
        whole = layer.bands[0][2].dtype.kind == "u"
        more = {"NOTE": layer.note} | ({"FLAG_BITS": bits} if whole else {})
        write_cog(path, layer.bands, grid, tags=tags | more, nodata=None if whole else float("nan"))


def _only(good: NDArray[np.bool_], values: NDArray[Any]) -> NDArray[np.float32]:
    return np.where(good, values, np.float32(np.nan)).astype(np.float32)
