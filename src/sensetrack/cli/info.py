"""`sensetrack info`: what a file is."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from sensetrack.cli.common import Debug, Json, Quiet, Verbose, echo, echo_json


def info(
    file: Annotated[str, Parameter(help="GeoTIFF, JPEG, PNG or JPEG 2000.")],
    /,
    *,
    json: Json = False,
    quiet: Quiet = False,  # noqa: ARG001  read before the commands are known
    verbose: Verbose = False,  # noqa: ARG001
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Say what a product is: size, bands, where and when; as far as its header tells."""
    from sensetrack.files.raster import open_raster

    found = describe(open_raster(file))
    if json:
        echo_json(found)
        return 0
    for key, value in found.items():
        if value not in (None, [], {}):
            shown = ", ".join(str(part) for part in value) if isinstance(value, list) else value
            echo(f"{key.replace('_', ' '):22} {shown}")
    return 0


def describe(raster: Any) -> dict[str, Any]:
    """Return what the header of an open raster says as plain values."""
    from sensetrack.grid import crs_name

    grid = raster.grid
    located = grid.georeferenced
    return {
        "path": str(raster.path),
        "driver": raster.driver,
        "rows": grid.shape[0],
        "columns": grid.shape[1],
        "bands": [f"{i + 1} {role}" for i, role in enumerate(raster.roles)],
        "dtype": raster.dtype,
        "nodata": raster.nodata,
        "georeference": "transform" if located else "control points" if raster.gcps else "none",
        "crs": crs_name(grid.crs) if located else None,
        "affine": list(grid.affine)[:6] if located else None,
        "bounds": list(grid.bounds) if located else None,
        "pixel_on_ground_m": [round(size, 4) for size in grid.pixel_size] if located else None,
        "control_points": len(raster.gcps) or None,
        "acquired": raster.acquired.isoformat() if raster.acquired else None,
        "tags": raster.tags,
    }
