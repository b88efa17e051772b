"""`sensetrack info`: what a file is."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from sensetrack.cli.common import Debug, Json, Quiet, Verbose, echo, echo_json


def info(
    file: Annotated[
        str, Parameter(help="GeoTIFF, JPEG, PNG, JPEG 2000, or a Sentinel-2 product (.SAFE folder or zip).")
    ],
    /,
    *,
    json: Json = False,
    quiet: Quiet = False,  # noqa: ARG001  read before the commands are known
    verbose: Verbose = False,  # noqa: ARG001
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Say what a product is: size, bands, where and when; as far as its header or its metadata tell."""
    from sensetrack.files.raster import open_raster
    from sensetrack.workflow.scenes import open_product

    product = open_product(file)
    found = describe(open_raster(file)) if product is None else product.describe()
    if json:
        echo_json(found)
        return 0
    for key, value in found.items():
        if value not in (None, [], {}):
            echo(f"{key.replace('_', ' '):22} {_shown(value)}")
    return 0


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict) and "coordinates" in value:
        rings = [
            ring for part in value["coordinates"] for ring in (part if value["type"] == "MultiPolygon" else [part])
        ]
        return "; ".join(" ".join(f"{x:.4f},{y:.4f}" for x, y in ring) for ring in rings)
    return str(value)


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
