"""`sensetrack info`: what a file is."""

from __future__ import annotations

import logging
from typing import Annotated, Any

from cyclopts import Parameter

from sensetrack.cli.common import Debug, Json, Quiet, Verbose, echo, echo_json
from sensetrack.notices import collected, say

log = logging.getLogger(__name__)


def info(
    file: Annotated[
        str,
        Parameter(
            help="GeoTIFF, JPEG, PNG, JPEG 2000, or a product: Sentinel-1 or Sentinel-2 (.SAFE folder or zip), "
            "a burst of Sentinel-1 as ASF cuts it, PRISMA (.he5 or zip), COSMO-SkyMed (.h5, zip, folder of GeoTIFFs)."
        ),
    ],
    /,
    *,
    json: Json = False,
    quiet: Quiet = False,  # noqa: ARG001  read before the commands are known
    verbose: Verbose = False,  # noqa: ARG001
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """Say what a product is: size, bands, where and when; as far as its header or its metadata tell."""
    with collected() as caught:
        found = _found(file, structure=json)
    say(caught, log)
    if json:
        echo_json(found)
        return 0
    for key, value in found.items():
        if value not in (None, [], {}):
            echo(f"{key.replace('_', ' '):22} {_shown(value)}")
    return 0


def _found(file: str, *, structure: bool) -> dict[str, Any]:
    from sensetrack.files.raster import open_raster
    from sensetrack.workflow.scenes import is_hdf5, open_product

    if structure and is_hdf5(file):
        return with_structure(file)
    product = open_product(file)
    return describe(open_raster(file)) if product is None else product.describe()


def with_structure(file: str) -> dict[str, Any]:
    """Return what an HDF5 product says of itself, and its structure: names, shapes, types and attributes, no pixels.

    The structure is there for files that are of no product known here, too: it is what we need to read them.
    """
    from sensetrack.errors import InputError
    from sensetrack.files.hdf5 import Hdf5
    from sensetrack.workflow.scenes import open_product

    with Hdf5.open(file) as opened:
        found: dict[str, Any] = {"path": str(opened.path), "structure": opened.structure()}
    try:
        product = open_product(file)
    except InputError as error:
        return {"problem": str(error)} | found
    return ({} if product is None else product.describe()) | found


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict) and "coordinates" not in value:
        return "; ".join(f"{key} {_shown(part)}" for key, part in value.items())
    if isinstance(value, dict):
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
