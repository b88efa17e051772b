"""From a product to a GeoTIFF that any program reads: bands, pixel size, area and masks as asked for."""

from __future__ import annotations

import logging
import os
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sensetrack
from sensetrack.errors import ConfigError, InputError, NoMatchError, SenseTrackWarning
from sensetrack.files.atomic import output_folder
from sensetrack.files.pairing import cropped
from sensetrack.files.tiled import write_tiled
from sensetrack.files.vector import extent_of
from sensetrack.sentinel.sentinel2 import TRACKED, band_name, native
from sensetrack.workflow.executors import threads
from sensetrack.workflow.pipeline import notes_of
from sensetrack.workflow.scenes import open_product, refuse_inside

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sensetrack.files.pairing import ProductBand
    from sensetrack.ot.interfaces import Image
    from sensetrack.sentinel.sentinel2 import Clouds, Sentinel2

log = logging.getLogger(__name__)

_NAMED = {".tif", ".tiff"}
"""Suffixes by which an output is a file, not a folder."""


def prepare(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    bands: Sequence[str] = (TRACKED,),
    resolution: int | None = None,
    aoi: str | None = None,
    clouds: Clouds = "opaque",
    overwrite: bool = False,
    workers: int | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write bands of a product as one GeoTIFF of reflectance, on the map grid they are delivered on.

    Parameters
    ----------
    path : path-like
        A Sentinel-2 product.
    output : path-like
        A .tif, or a folder in which the file is called after the product.
    bands : sequence of str
        Such as B04; several are written with one pixel size, by default the finest of them.
    resolution : int, optional
        Pixel size, m: 10, 20 or 60.
    aoi : str, optional
        Polygons or mask; the file covers their bounds.
    clouds : {"keep", "opaque", "all"}
        Which clouds are NaN.
    overwrite, workers, advance
        As for `sensetrack.run_track`.

    Returns
    -------
    dict
        What was written: file, bands, grid, share of pixels that are measured, product, warnings.

    Raises
    ------
    ConfigError, InputError, EnvironmentFault
        See `sensetrack.errors`.
    """
    began = time.perf_counter()
    names = [band_name(band) for band in bands]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"bands must be named once each, instead got {', '.join(bands) or 'none'}")
    size = resolution or min(native(name) for name in names)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SenseTrackWarning)
        product = _require_product(path)
        target = _target(Path(output), product, names, size)
        scenes = [product.band(name, resolution=size, clouds=clouds) for name in names]
        refuse_inside(target.parent, tuple(scenes))
        images = [_cut(scene, aoi) for scene in scenes]
        with (
            output_folder(target.parent, [target.name], overwrite=overwrite, inputs=[product.path]) as part,
            threads(workers) as mapper,
        ):
            layers = [(name, "1", image.data) for name, image in zip(names, images, strict=True)]
            tags = _tags(scenes, clouds)
            grid = images[0].grid
            measured = write_tiled(part / target.name, layers, grid, tags=tags, mapper=mapper, advance=advance)
            if not measured:
                message = "holds no ground that is measured" + (" and free of clouds" if clouds != "keep" else "")
                raise NoMatchError(message, path=path, advice="choose another area, or --clouds keep")
    return {
        "file": str(target),
        "bands": names,
        "resolution": size,
        "rows": grid.shape[0],
        "columns": grid.shape[1],
        "bounds": list(grid.bounds),
        "measured_share": measured / (len(names) * grid.shape[0] * grid.shape[1]),
        "product": product.about(),
        "clouds": clouds,
        "warnings": notes_of(caught),
        "seconds": round(time.perf_counter() - began, 3),
    }


def _require_product(path: str | os.PathLike[str]) -> Sentinel2:
    product = open_product(path)
    if product is None:
        from sensetrack.files.raster import open_raster

        open_raster(path)  # says what is wrong with a file that is not even that
        raise InputError("is a raster, not a product", path=path, advice="track it as it is")
    return product


def _target(output: Path, product: Sentinel2, names: list[str], size: int) -> Path:
    if output.suffix.lower() in _NAMED and not output.is_dir():
        return output.absolute()
    stem = product.path.name.removesuffix(".zip").removesuffix(".SAFE")
    return output.absolute() / f"{stem}_{'_'.join(names)}_{size}m.tif"


def _cut(scene: ProductBand, aoi: str | None) -> Image:
    if aoi is None:
        return scene.image
    within = extent_of(aoi)
    if within is None:
        raise InputError("has no georeference", path=aoi, advice="give polygons")
    try:
        return cropped(scene.image, within)
    except InputError as error:
        error.path = error.path or aoi
        raise


def _tags(scenes: list[ProductBand], clouds: str) -> dict[str, Any]:
    about = scenes[0].about
    offsets = {scene.about["add_offset"] for scene in scenes}
    return {
        "ACQUIRED": about["acquired"],
        "SENSOR": about["mission"],
        "PRODUCT": about["product"],
        "LEVEL": about["level"],
        "TILE": about["tile"],
        "RELATIVE_ORBIT": about["relative_orbit"],
        "PROCESSING_BASELINE": about["processing_baseline"],
        "QUANTITY": "reflectance",
        "ADD_OFFSET_APPLIED": sorted(offsets)[0] if len(offsets) == 1 else [s.about["add_offset"] for s in scenes],
        "CLOUDS": clouds,
        "SOFTWARE": f"sensetrack {sensetrack.__version__}",
    }
