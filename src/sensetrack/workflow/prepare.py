"""From a product to a GeoTIFF that any program reads: bands, pixel size, area and masks as asked for."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sensetrack
from sensetrack.errors import ConfigError, InputError, NoMatchError
from sensetrack.files.atomic import output_folder
from sensetrack.files.pairing import cropped
from sensetrack.files.tiled import write_tiled
from sensetrack.files.vector import extent_of
from sensetrack.grid import crs_name
from sensetrack.notices import collected
from sensetrack.prisma.product import Prisma
from sensetrack.sentinel.sentinel2 import TRACKED, Sentinel2, band_name, native
from sensetrack.workflow.executors import threads
from sensetrack.workflow.pipeline import notes_of
from sensetrack.workflow.scenes import open_product, refuse_inside

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sensetrack.cosmo.product import Cosmo
    from sensetrack.files.pairing import ProductBand
    from sensetrack.notices import Notice
    from sensetrack.ot.interfaces import Image
    from sensetrack.products.radar_map import RadarMap
    from sensetrack.sentinel.s1 import Sentinel1
    from sensetrack.sentinel.sentinel2 import Clouds

log = logging.getLogger(__name__)

_NAMED = {".tif", ".tiff"}
"""Suffixes by which an output is a file, not a folder."""


def prepare(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    bands: Sequence[str] | None = None,
    resolution: float | None = None,
    aoi: str | None = None,
    clouds: Clouds | None = None,
    radar: Mapping[str, Any] | None = None,
    reference: str | None = None,
    coregister: str | None = None,
    overwrite: bool = False,
    workers: int | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write bands of a product as one GeoTIFF: of reflectance as delivered, or of backscatter brought to a map.

    Parameters
    ----------
    path : path-like
        A product of Sentinel-1, Sentinel-2 or PRISMA.
    output : path-like
        A .tif, or a folder in which the file is called after the product.
    bands : sequence of str
        Such as B04, by default B08; several are written with one pixel size, by default the finest of them. Of
        Sentinel-1 polarisations, by default all. Of PRISMA PAN (the default), VNIR40, 850nm, or VNIR, SWIR, CUBE for
        many.
    resolution : float, optional
        Pixel size, m; of Sentinel-2 10, 20 or 60.
    aoi : str, optional
        Polygons or mask; the file covers their bounds.
    clouds : {"keep", "opaque", "all"}, optional
        Which clouds of Sentinel-2 and PRISMA are NaN, by default the opaque ones.
    radar : mapping, optional
        Other settings of `sensetrack.sentinel.s1_prepare.S1Config`; of PRISMA crs, dem and vertical.
    reference : str, optional
        Image to whose place a product of PRISMA is brought, by moving its grid: a raster or a product.
    coregister : {"shift", "similarity", "affine"}, optional
        How, by default by a shift.
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
    asked = {key: value for key, value in (radar or {}).items() if value is not None}
    began = time.perf_counter()
    with collected() as caught:
        product = _require_product(path)
        if isinstance(product, Prisma):
            asked |= {"clouds": clouds, "resolution": resolution, "aoi": aoi, "reference": reference}
            asked |= {"coregister": coregister}
            return _finished(
                _hyperspectral(
                    product, output, bands or (), asked, overwrite=overwrite, workers=workers, advance=advance
                ),
                caught,
                began,
            )
        if reference is not None or coregister is not None:
            message = "reference and coregister are for products of PRISMA, and this is none"
            raise ConfigError(message, path=path, advice="track with --coregister")
        if isinstance(product, Sentinel2):
            if asked:
                message = f"{next(iter(asked))} is for products of Sentinel-1, instead got one of Sentinel-2"
                raise ConfigError(message, path=path, advice="leave it out")
            done = _optical(
                product, output, bands or (TRACKED,), resolution, aoi, clouds=clouds or "opaque", overwrite=overwrite,
                workers=workers, advance=advance,
            )  # fmt: skip
        else:
            if clouds is not None:
                raise ConfigError(f"a radar sees through clouds, instead got clouds {clouds}", path=path)
            asked |= {"polarisations": tuple(bands) if bands else None, "resolution": resolution, "aoi": aoi}
            done = _radar(product, output, asked, overwrite=overwrite, workers=workers, advance=advance)
    return _finished(done, caught, began)


def _finished(done: dict[str, Any], caught: list[Notice], began: float) -> dict[str, Any]:
    return done | {"warnings": notes_of(caught), "seconds": round(time.perf_counter() - began, 3)}


def _hyperspectral(
    product: Prisma, output: str | os.PathLike[str], bands: Sequence[str], asked: dict[str, Any], **options: Any
) -> dict[str, Any]:
    from sensetrack.workflow.prisma import PrismaConfig, prepare_prisma

    settings = {key: value for key, value in asked.items() if value is not None}
    for name in settings:
        if name not in PrismaConfig.model_fields:
            message = f"{name} is for products of Sentinel-1, instead got one of PRISMA"
            raise ConfigError(message, path=product.path, advice="leave it out")
    return prepare_prisma(product, output, bands, PrismaConfig(**settings), **options)


def _radar(
    product: Sentinel1 | Cosmo,
    output: str | os.PathLike[str],
    settings: dict[str, Any],
    *,
    workers: int | None,
    **options: Any,
) -> dict[str, Any]:
    with threads(workers) as mapper:
        target, made, known = _mapped(product, output, settings, mapper=mapper, **options)
    return {
        "file": str(target),
        "bands": [name for name, _, _ in made.bands],
        "resolution": made.resolution,
        "rows": made.grid.shape[0],
        "columns": made.grid.shape[1],
        "bounds": list(made.grid.bounds),
        "crs": crs_name(made.grid.crs),
        "measured_share": known / (len(made.bands) * made.grid.shape[0] * made.grid.shape[1]),
        "product": made.about,
    }


def _mapped(
    product: Sentinel1 | Cosmo, output: str | os.PathLike[str], settings: dict[str, Any], **options: Any
) -> tuple[Path, RadarMap, int]:
    """Write a radar product on a map by what its mission says."""
    from sensetrack.cosmo.product import Cosmo

    if not isinstance(product, Cosmo):
        from sensetrack.sentinel.s1_prepare import S1Config, prepare_sentinel1

        return prepare_sentinel1(product, output, S1Config(**settings), **options)
    from sensetrack.cosmo.mapped import CosmoConfig
    from sensetrack.cosmo.prepare import prepare_cosmo

    for name in settings:
        if name not in CosmoConfig.model_fields:
            message = f"{name} is for products of Sentinel-1, instead got one of COSMO-SkyMed"
            raise ConfigError(message, path=product.path, advice="leave it out")
    return prepare_cosmo(product, output, CosmoConfig(**settings), **options)


def _optical(
    product: Sentinel2,
    output: str | os.PathLike[str],
    bands: Sequence[str],
    resolution: float | None,
    aoi: str | None,
    *,
    clouds: Clouds,
    overwrite: bool,
    workers: int | None,
    advance: Callable[[int, int], None] | None,
) -> dict[str, Any]:
    names = [band_name(band) for band in bands]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"bands must be named once each, instead got {', '.join(bands) or 'none'}")
    if resolution not in (None, 10, 20, 60):
        raise ConfigError(f"resolution must be 10, 20 or 60 m, instead got {resolution:g}", path=product.path)
    size = int(resolution or min(native(name) for name in names))
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
            raise NoMatchError(message, path=product.path, advice="choose another area, or --clouds keep")
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
    }


def _require_product(path: str | os.PathLike[str]) -> Sentinel1 | Sentinel2 | Prisma | Cosmo:
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
