"""The results of a pair of SLCs as files: on a map, at the posts of the radar image, and as ISCE2 has them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import NoOverlapError
from sensetrack.grid import Grid, crs_name
from sensetrack.ot.fields import Displacement, Flag, OffsetField
from sensetrack.products.slc_layers import ANGLES, RADAR_NOTE, map_layers_of, radar_layers, write_slc_layers
from sensetrack.sar.geocode import geocode
from sensetrack.sar.map_layers import map_grid, map_layers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.blocks import Mapper
    from sensetrack.workflow.slc import Slc
    from sensetrack.workflow.slc_config import SlcConfig

_ON_MAP = ("score", "snr", "peak_ratio")
"""What of the offsets is brought to the map, too."""
ISCE_MEDIAN = 5
"""Posts along each side of the median that ISCE2 takes."""


@dataclass(frozen=True, eq=False)
class Maps:
    """What is written of a map."""

    grid: Grid
    layers: dict[str, NDArray[np.float32]]
    """(rows, cols) each; NaN: not measured, or outside."""
    flags: NDArray[np.uint16]
    """(rows, cols); NO_DATA outside."""


def map_of(result: Slc, config: SlcConfig, *, mapper: Mapper = map) -> Maps:
    """Bring everything to a map.

    Raises
    ------
    NoOverlapError
        What is to be written lies outside of what was measured.
    """
    posts, job = result.field, result.job
    # Up to the rim of the area of interest, pixels have what posts on either side say; beyond it they are cut off.
    seen = result.displacement.flags & ~Flag.OUT_OF_AOI.bit
    moved = replace(result.displacement, flags=seen)
    grid = map_grid(posts, job.surface, job.crs, posting=config.posting, area=job.area)
    if config.clip is not None:
        grid = clipped(grid, config.clip)
    layers = dict(map_layers(moved, job.crs))
    layers |= {name: value for name in _ON_MAP if (value := getattr(posts.field, name)) is not None}
    measured = np.isfinite(posts.field.d_row)
    layers["coherent"] = np.where(measured, posts.coherent, np.nan).astype(np.float32)
    layers["brightness"] = result.brightness
    found = geocode(posts, layers, moved.flags, grid, job.surface, area=job.area).whole(mapper=mapper)
    return Maps(grid, {name: found[name] for name in layers}, found["flags"])


def clipped(grid: Grid, clip: tuple[float, float, float, float]) -> Grid:
    """Return the pixels of a map whose centres lie in a box in its CRS.

    Raises
    ------
    NoOverlapError
        There are none.
    """
    xmin, ymin, xmax, ymax = clip
    row, col = np.arange(grid.shape[0]), np.arange(grid.shape[1])
    x, y = grid.xy(0, col)[0], grid.xy(row, 0)[1]
    rows, cols = np.flatnonzero((y >= ymin) & (y <= ymax)), np.flatnonzero((x >= xmin) & (x <= xmax))
    if not (rows.size and cols.size):
        has = "x {0:.8g} to {2:.8g}, y {1:.8g} to {3:.8g}".format(*grid.bounds)
        asked = "x {0:.8g} to {2:.8g}, y {1:.8g} to {3:.8g}".format(*clip)
        message = f"the clip must reach into what is measured ({has} in {crs_name(grid.crs)}), instead got {asked}"
        raise NoOverlapError(message, advice="give xmin,ymin,xmax,ymax in the CRS of the map")
    return grid.crop(slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1))


def write_slc(folder: Path, result: Slc, maps: Maps, record: dict[str, Any]) -> None:
    """Write the rasters, their styles and the quick-look."""
    from sensetrack.pictures.qgis import write_styles

    tags = _tags(record)
    files = map_layers_of(maps.layers, maps.flags, result.job.days)
    write_slc_layers(folder, files, maps.grid, tags)
    write_styles(folder, files)
    frame = record["frame"]
    place = {
        "LINES": frame["lines"],
        "SAMPLES": frame["samples"],
        "FRAME": {key: frame[key] for key in frame if key not in ("lines", "samples", "posts")},
        "GEOMETRY": RADAR_NOTE,
    }
    write_slc_layers(folder, radar_layers(*_of_posts(result)), Grid(result.field.shape), tags | place)
    _quicklook(folder / "quicklook.png", result, maps, record)


def _tags(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "SOFTWARE": f"sensetrack {record['versions']['sensetrack']}",
        "MATCHING": record["matching"],
        "REFERENCE": Path(record["inputs"][0]["path"]).name,
        "SECONDARY": Path(record["inputs"][1]["path"]).name,
        "DT_DAYS": f"{record['dt_days']:.8g}",
        "ORBITS": record["orbits"],
        "DEM": record["heights"]["heights"],
        "SIGNS": record["radar_signs"],
        "LOOK": record["frame"]["look"],
        "ASSUMPTION": record["stated"],
    }


def _of_posts(result: Slc) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[np.uint16]]]:
    """Return what is known of the posts: numbers, and whole numbers."""
    moved, posts = result.displacement, result.field
    field = posts.field
    layers: dict[str, Any] = {
        name: getattr(moved, name)
        for name in (
            "slant_range", "along_track", "dx", "dy", "sigma_slant_range", "sigma_along_track", "sigma_dx", "sigma_dy",
            *ANGLES, "height", "lon", "lat",
        )
    }  # fmt: skip
    layers |= {name: getattr(field, name) for name in ("d_row", "d_col", *_ON_MAP)}
    if field.covariance is not None:
        layers |= {name: np.sqrt(field.covariance[..., i]) for i, name in enumerate(("sigma_d_row", "sigma_d_col"))}
    layers["brightness"] = result.brightness
    whole = {"flags": moved.flags, "coherent": posts.coherent.astype(np.uint16)}
    if posts.burst is not None:
        whole["burst"] = (posts.burst + 1).astype(np.uint16)
    return {name: value for name, value in layers.items() if value is not None}, whole


def _quicklook(path: Path, result: Slc, maps: Maps, record: dict[str, Any]) -> None:
    """Draw the motion on the map over the brightness of the reference."""
    from sensetrack.pictures.quicklook import draw_quicklook

    dx, dy = maps.layers["dx"], maps.layers["dy"]
    rows, cols = maps.grid.pixel_size
    offsets = OffsetField((-dy / rows).astype(np.float32), (dx / cols).astype(np.float32), maps.flags, maps.grid)
    moved = Displacement(
        dx, dy, maps.layers["sigma_dx"], maps.layers["sigma_dy"], maps.flags, maps.grid, result.job.dt
    )  # fmt: skip
    bursts = record["bursts"]
    swaths = ", ".join(dict.fromkeys(burst["swath"] for burst in bursts)).upper()
    done = f"{swaths}, {len(bursts)} burst{'s' if len(bursts) > 1 else ''}" if bursts else "measured by ISCE2"
    said = [done, f"assumption: {record['assumption']}"]
    if record["bias"]:
        said.append("stable ground NMAD {:.2f}, {:.2f} px".format(*record["bias"]["nmad_after"]))
    names = [
        f"{item['product']['mission']} {when[:16].replace('T', ' ')}"
        for item, when in zip(record["inputs"][:2], record["acquired"], strict=True)
    ]
    draw_quicklook(
        path, offsets, moved, maps.layers["brightness"], maps.grid.shape, first_post=(0.5, 0.5),
        title=f"{names[0]}  →  {names[1]}", subtitle="   ·   ".join(said),
    )  # fmt: skip


def write_isce(folder: Path, result: Slc, config: SlcConfig, *, mapper: Mapper = map) -> None:
    """Write the files of ISCE2: what was measured, what its filter makes of it, and both on longitude and latitude."""
    from sensetrack.files.isce import DenseOffsets, write_dense_offsets
    from sensetrack.sar.ampcor_filter import filter_offsets

    posts, job = result.measured, result.job
    field = posts.field
    size = config.median if config.median > 1 else ISCE_MEDIAN
    smooth = filter_offsets(field.d_row, field.d_col, field.snr, least_snr=config.snr, size=size)
    offsets = DenseOffsets.of(field, smooth)
    folder.mkdir()
    write_dense_offsets(folder, offsets)
    layers = {"d_row": field.d_row, "d_col": field.d_col, "filtered_row": smooth[0], "filtered_col": smooth[1]}
    if field.snr is not None:
        layers["snr"] = field.snr
    if field.covariance is not None:
        layers |= {f"covariance_{i}": field.covariance[..., i] for i in range(3)}
    grid = map_grid(posts, job.surface, "EPSG:4326", posting=config.posting, area=job.area)
    found = geocode(posts, layers, field.flags, grid, job.surface, area=job.area).whole(mapper=mapper)
    variances = [found[f"covariance_{i}"] for i in range(3)] if field.covariance is not None else None
    on_map = DenseOffsets(
        found["d_row"],
        found["d_col"],
        found.get("snr"),
        None if variances is None else np.stack(variances, axis=-1),
        (found["filtered_row"], found["filtered_col"]),
        grid.transform,
    )
    write_dense_offsets(folder, on_map)
