"""The main job on a scene whose truth is known: render it, track it as a user would, compare."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from scipy import ndimage

from sensetrack.files.atomic import output_folder
from sensetrack.files.cog import write_cog
from sensetrack.files.raster import BandSource, open_raster
from sensetrack.files.vector import write_outline
from sensetrack.grid import Grid
from sensetrack.ot.bias import nmad
from sensetrack.ot.simulate import SimulatedPair, mountain_pair
from sensetrack.products.layers import TRACK_FILES
from sensetrack.workflow.config import TrackConfig
from sensetrack.workflow.pipeline import run_track

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from numpy.typing import NDArray

SCENE = ("reference.tif", "secondary.tif", "landslide.gpkg", "truth.tif")
"""What is rendered: two scenes, the outline a geologist would draw, and the motion itself."""
CORNER = Affine(10, 0, 399_000, 0, -10, 5_104_000)
CRS = "EPSG:32632"
DATES = (datetime(2024, 6, 18, 10, 15, tzinfo=UTC), datetime(2024, 8, 27, 10, 15, tzinfo=UTC))
CHIP, STEP, SEARCH = (32, 32), (8, 8), (12, 12)


@dataclass(frozen=True)
class DemoResult:
    """How far the map is from the truth."""

    posts: int
    good_share: float
    cloud_share: float
    """Good posts among those the cloud hides wholly: should be near 0."""
    rows: list[tuple[str, int, float, float, float, float]]
    """(where, posts, median error of d_row, of d_col, NMAD of d_row, of d_col), px."""
    largest_m: float
    """Largest displacement on the map, m."""
    seconds: float


def run_demo(
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    workers: int | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> DemoResult:
    """Render the scene into ``folder/scene``, track it into ``folder`` and measure the error."""
    target = Path(folder)
    # Refuse before rendering what would be refused after it.
    with output_folder(target, TRACK_FILES, overwrite=overwrite):
        pass
    scene = mountain_pair()
    grid = Grid(scene.reference.shape, CORNER, CRS)  # type: ignore[arg-type]
    with output_folder(target / "scene", SCENE, overwrite=overwrite) as part:
        _write_scene(part, scene, grid)
    config = TrackConfig(
        parameters={"chip": CHIP, "step": STEP, "search": SEARCH},
        unstable_ground=str(target / "scene" / "landslide.gpkg"),
    )
    record = run_track(
        target / "scene" / "reference.tif",
        target / "scene" / "secondary.tif",
        target,
        config,
        overwrite=overwrite,
        workers=workers,
        advance=advance,
    )
    return _compare(target, scene, record)


def _write_scene(part: Path, scene: SimulatedPair, grid: Grid) -> None:
    note = {"NOTE": "rendered by sensetrack demo; not a real place"}
    for name, pixels, date in (
        ("reference", scene.reference, DATES[0]),
        ("secondary", scene.secondary, DATES[1]),
    ):
        write_cog(
            part / f"{name}.tif",
            [("reflectance", "1", pixels)],
            grid,
            tags=note | {"ACQUIRED": date.isoformat()},
            nodata=float("nan"),
        )
    moved = np.hypot(scene.d_row, scene.d_col) > 0.02
    write_outline(part / "landslide.gpkg", moved, grid)
    truth: list[tuple[str, str, NDArray[Any]]] = [
        ("d_row", "px", scene.d_row.astype(np.float32)),
        ("d_col", "px", scene.d_col.astype(np.float32)),
    ]
    write_cog(part / "truth.tif", truth, grid, tags=note, nodata=float("nan"))


def _compare(folder: Path, scene: SimulatedPair, record: dict[str, Any]) -> DemoResult:
    """Read the product back and hold it against the truth, averaged over each chip."""
    found = [_read(folder / "offsets.tif", band) for band in (1, 2)]
    good = _read(folder / "flags.tif", 1) == 0
    error = [f - _at_posts(t, good.shape) for f, t in zip(found, (scene.d_row, scene.d_col), strict=True)]
    moved = _at_posts(np.hypot(scene.d_row, scene.d_col), good.shape)
    still = _at_posts(scene.stable.astype(float), good.shape) > 0.999
    hidden = _at_posts(scene.cloud.astype(float), good.shape) > 0.9
    rows = []
    for name, where in (("landslide (> 1 px)", moved > 1), ("stable ground", still)):
        pick = [part[where & good] for part in error]
        rows.append((name, pick[0].size, *(float(np.median(p)) for p in pick), *(nmad(p) for p in pick)))
    return DemoResult(
        good.size,
        float(good.mean()),
        float(good[hidden].mean()) if hidden.any() else 0.0,
        rows,
        float(record["statistics"]["largest_magnitude_m"]),
        float(record["seconds"]["total"]),
    )


def _read(path: Path, band: int) -> NDArray[Any]:
    return BandSource(open_raster(path), band, nodata=float("nan"))[slice(None), slice(None)]


def _at_posts(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Mean over the chip of every post."""
    mean = ndimage.uniform_filter(values.astype(float), CHIP, mode="nearest")
    rows = np.arange(shape[0]) * STEP[0] + CHIP[0] // 2
    cols = np.arange(shape[1]) * STEP[1] + CHIP[1] // 2
    return np.asarray(mean[rows][:, cols])
