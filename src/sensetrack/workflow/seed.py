"""The job of the first release's commands: one algorithm, one file of results with the names of then."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import ConfigError, NoMatchError
from sensetrack.files.atomic import output_folder
from sensetrack.files.cog import write_cog
from sensetrack.files.vector import write_points
from sensetrack.notices import collected
from sensetrack.ot.interfaces import Flag, OffsetField
from sensetrack.pictures.maps import displacement_picture
from sensetrack.products.layers import SIGN_RULE
from sensetrack.workflow.executors import threads
from sensetrack.workflow.memory import workers_within
from sensetrack.workflow.pipeline import notes_of, open_pair, track

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sensetrack.workflow.config import TrackConfig

RASTERS = (".tif", ".tiff")
PICTURES = (".png", ".jpg", ".jpeg")
VECTORS = {".gpkg": "GPKG", ".shp": "ESRI Shapefile"}
_SHAPEFILE = (".shp", ".shx", ".dbf", ".prj", ".cpg")


def run_seed(
    reference: str | os.PathLike[str],
    target: str | os.PathLike[str],
    output: str | os.PathLike[str],
    config: TrackConfig,
    *,
    resultant: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Load, co-register to the reference's grid, preprocess, run, and export.

    Parameters
    ----------
    output : path-like
        ``.tif``, ``.png``, ``.jpg``: dxx and dyy as ``{stem}_dxx`` and ``{stem}_dyy``, or their length under the
        name itself; ``.gpkg``, ``.shp``: a point for every post.
    resultant : bool
        Export the length instead of both components.

    Returns
    -------
    list of Path
        The files that were written; all of them or, after an error, none.

    Raises
    ------
    ConfigError, InputError, EnvironmentFault
        See `sensetrack.errors`.
    """
    path = Path(output)
    names = output_names(path, resultant=resultant)
    inputs = [Path(reference), Path(target)]
    with (
        output_folder(path.absolute().parent, names, overwrite=overwrite, inputs=inputs) as part,
        collected() as caught,
    ):
        images = open_pair(reference, target, config)
        number = workers_within(config.max_memory, workers, config.matcher(), images.grid.shape)
        with threads(number) as mapper:
            field = track(images, config, mapper=mapper, advance=advance).offsets
        notes_of(caught)
        if (field.flags & Flag.NO_DATA.bit).all():
            raise NoMatchError("holds no ground that is measured in both images", path=reference)
        if path.suffix.lower() in VECTORS:
            write_points(part / path.name, field, VECTORS[path.suffix.lower()])
        else:
            _write_layers(part, path, field, config, resultant=resultant)
    return [path.parent / name for name in names]


def output_names(path: Path, *, resultant: bool) -> tuple[str, ...]:
    """Names of the files that a job writes; a suffix that is not known is an error that lists those that are."""
    suffix = path.suffix.lower()
    if suffix == ".shp":
        return tuple(path.stem + end for end in _SHAPEFILE)
    if suffix in VECTORS or (resultant and suffix in (*RASTERS, *PICTURES)):
        return (path.name,)
    if suffix in (*RASTERS, *PICTURES):
        return tuple(f"{path.stem}_{name}{path.suffix}" for name in ("dxx", "dyy"))
    known = ", ".join((*RASTERS, *PICTURES, *VECTORS))
    raise ConfigError(f"must end in one of {known}, instead got {path.suffix or 'nothing'}", path=path)


def named_layers(field: OffsetField) -> tuple[str, dict[str, NDArray[Any]]]:
    """Return the unit, and dxx, dyy and res of a field; without georeference dyy counts px up the picture."""
    if field.grid.georeferenced:
        return "m", {name: field[name] for name in field.keys()}  # noqa: SIM118  not a dict
    return "px", {"dxx": field.d_col, "dyy": -field.d_row, "res": field.magnitude}


def _write_layers(part: Path, path: Path, field: OffsetField, config: TrackConfig, *, resultant: bool) -> None:
    unit, layers = named_layers(field)
    meaning = "dxx east, dyy north" if unit == "m" else "dxx to the right, dyy up"
    for name in ("res",) if resultant else ("dxx", "dyy"):
        target = part / (path.name if resultant else f"{path.stem}_{name}{path.suffix}")
        values = np.where(field.good, layers[name], np.nan).astype(np.float32)
        if path.suffix.lower() in RASTERS:
            tags = {
                "SIGN": f"{meaning}; {SIGN_RULE}",
                "ALGORITHM": config.algorithm,
                "PARAMETERS": config.matcher().to_dict(),
                "NOTE": "NaN where the post is flagged: no data, low score, outlier",
            }
            write_cog(target, [(name, unit, values)], field.grid, tags=tags, nodata=float("nan"))
        else:
            displacement_picture(target, values, name=name, unit=unit, signed=name != "res")
