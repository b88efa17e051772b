"""From a PRISMA product to a GeoTIFF: one band, some, or a whole cube; as it is placed, or as a reference places it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import sensetrack
from sensetrack.errors import ConfigError, InputError, NoMatchError
from sensetrack.files.atomic import output_folder
from sensetrack.files.dem import open_dem
from sensetrack.files.pairing import ProductBand, cropped
from sensetrack.files.tiled import write_tiled
from sensetrack.files.vector import extent_of
from sensetrack.grid import crs_name
from sensetrack.ot.interfaces import Image
from sensetrack.ot.parameters import Parameters
from sensetrack.prisma.georef import SIZES
from sensetrack.prisma.product import TRACKED
from sensetrack.workflow.executors import threads
from sensetrack.workflow.scenes import open_product, refuse_inside

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from sensetrack.blocks import Mapper
    from sensetrack.prisma.bands import Band
    from sensetrack.prisma.product import Prisma
    from sensetrack.workflow.scenes import Place

COLOUR = 665.0
"""nm, at which a cube is compared with a reference: red, which other missions have, too."""
_NAMED = {".tif", ".tiff"}


class PrismaConfig(Parameters):
    """How a PRISMA product is prepared."""

    clouds: Literal["keep", "opaque", "all"] = "opaque"
    crs: str | None = None
    """Map of levels along the track; by default the UTM zone."""
    dem: str | None = None
    """Elevation model on which L2C is orthorectified."""
    vertical: Literal["ellipsoid", "egm96", "egm2008"] | None = None
    reference: str | None = None
    """Image or product to whose place it is brought."""
    coregister: Literal["shift", "similarity", "affine"] = "shift"
    aoi: str | None = None
    resolution: float | None = None


def prepare_prisma(
    product: Prisma,
    output: str | os.PathLike[str],
    bands: Sequence[str],
    config: PrismaConfig,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write bands of a product as one GeoTIFF; see `sensetrack.workflow.prepare.prepare`."""
    chosen = _chosen(product, bands or (TRACKED,))
    size = SIZES[chosen[0].cube]
    if config.resolution not in (None, size):
        message = f"resolution of {chosen[0].cube} must be {size:g} m, instead got {config.resolution:g}"
        raise ConfigError(message, path=product.path, advice="leave it out")
    heights = None if config.dem is None else open_dem(config.dem, config.vertical)
    options: dict[str, Any] = {"clouds": config.clouds, "crs": config.crs, "heights": heights}
    scenes = [product.band(band, **options) for band in chosen]
    target = _target(Path(output), product, bands or (TRACKED,), chosen)
    refuse_inside(target.parent, tuple(scenes))
    with (
        output_folder(target.parent, [target.name], overwrite=overwrite, inputs=[product.path]) as part,
        threads(workers) as mapper,
    ):
        images, moved = [scene.image for scene in scenes], None
        if config.reference is not None:
            images, moved = _placed(product, scenes, config, options, mapper)
        images = [_cut(image, config.aoi) for image in images]
        grid, about = images[0].grid, scenes[0].about
        layers = [(_title(band), about["unit"], image.data) for band, image in zip(chosen, images, strict=True)]
        tags = _tags(about, chosen, config, moved)
        measured = write_tiled(
            part / target.name, layers, grid, tags=tags, band_tags=[_spectral(band) for band in chosen],
            mapper=mapper, advance=advance,
        )  # fmt: skip
        if not measured:
            raise NoMatchError("holds no ground that is measured", path=product.path, advice="choose another area")
    return {
        "file": str(target),
        "bands": [band.name for band in chosen],
        "wavelengths": [round(band.wavelength, 3) for band in chosen],
        "resolution": size,
        "rows": grid.shape[0],
        "columns": grid.shape[1],
        "bounds": list(grid.bounds),
        "crs": crs_name(grid.crs),
        "measured_share": measured / (len(chosen) * grid.shape[0] * grid.shape[1]),
        "product": product.about() | {"placed_by": about["placed_by"]},
        "clouds": about["clouds"],
        "coregistration": moved,
    }


def _chosen(product: Prisma, names: Sequence[str]) -> list[Band]:
    try:
        found = [band for name in names for band in product.bands(name)]
    except ConfigError as error:
        error.path = error.path or product.path
        raise
    if len(set(found)) < len(found):
        raise ConfigError(f"bands must be named once each, instead got {', '.join(names)}", path=product.path)
    if len({SIZES[band.cube] for band in found}) > 1:
        message = "PAN has pixels of 5 m and the cubes have 30 m: they do not go into one file"
        raise ConfigError(message, path=product.path, advice="prepare them one after the other")
    return found


def _target(output: Path, product: Prisma, names: Sequence[str], chosen: list[Band]) -> Path:
    if output.suffix.lower() in _NAMED and not output.is_dir():
        return output.absolute()
    what = "_".join(name.upper() for name in names) if len(names) < 9 else f"{len(chosen)}bands"
    return output.absolute() / f"{product.path.stem}_{what}.tif"


def _placed(
    product: Prisma, scenes: list[ProductBand], config: PrismaConfig, options: dict[str, Any], mapper: Mapper
) -> tuple[list[Image], dict[str, Any]]:
    """Return the images where the reference has what they show, and what was found."""
    from sensetrack.prisma.coregistration import place_on

    assert config.reference is not None  # for the type checker
    whole = scenes[0] if len(scenes) == 1 else product.band(wavelength=COLOUR, **options)
    old = whole.image.grid
    grid, report = place_on(whole, open_reference(config.reference), model=config.coregister, mapper=mapper)
    images = [
        Image(
            scene.image.data, grid.affine, grid.crs, band_names=scene.image.band_names, acquired=scene.image.acquired,
            sensor=scene.image.sensor,
        )
        for scene in scenes
    ]  # fmt: skip
    row, col = (old.shape[0] - 1) / 2, (old.shape[1] - 1) / 2
    was, now = old.xy(row, col), grid.xy(row, col)
    found = {
        "reference": config.reference,
        "model": report.model,
        "compared_at": whole.about["band"],
        "moved_east_m": round(float(now[0] - was[0]), 3),
        "moved_north_m": round(float(now[1] - was[1]), 3),
        "posts": report.posts,
        "nmad_px_of_reference": [round(part, 4) for part in report.nmad],
        "converged": report.converged,
    }
    return images, found


def open_reference(path: Place) -> Place | ProductBand:
    """Open what a product is brought onto: red of Sentinel-2, the panchromatic image of PRISMA, else a raster."""
    from sensetrack.prisma.product import Prisma
    from sensetrack.sentinel.sentinel2 import Sentinel2

    product = open_product(path)
    if product is None:
        return path
    if isinstance(product, Sentinel2):
        return product.band("B04")
    if isinstance(product, Prisma):
        return product.band(TRACKED)
    raise InputError("is no optical image", path=path, advice="give a Sentinel-2 product or a GeoTIFF")


def _cut(image: Image, aoi: str | None) -> Image:
    if aoi is None:
        return image
    within = extent_of(aoi)
    if within is None:
        raise InputError("has no georeference", path=aoi, advice="give polygons")
    try:
        return cropped(image, within)
    except InputError as error:
        error.path = error.path or aoi
        raise


def _title(band: Band) -> str:
    return band.name if band.cube == "PAN" else f"{band.name} {band.wavelength:.2f} nm"


def _spectral(band: Band) -> dict[str, Any]:
    width = {"FWHM_NM": round(band.width, 4)} if band.width else {}
    return {"WAVELENGTH_NM": round(band.wavelength, 4)} | width | {"LAYER": band.index + 1}


def _tags(
    about: dict[str, Any], chosen: list[Band], config: PrismaConfig, moved: dict[str, Any] | None
) -> dict[str, Any]:
    tags = {
        "ACQUIRED": about["acquired"],
        "SENSOR": about["mission"],
        "PRODUCT": about["product"],
        "LEVEL": about["level"],
        "QUANTITY": about["quantity"],
        "CLOUDS": about["clouds"],
        "PLACED_BY": about["placed_by"],
        "SOFTWARE": f"sensetrack {sensetrack.__version__}",
    }
    if len(chosen) > 1:
        tags["WAVELENGTHS_NM"] = [round(band.wavelength, 3) for band in chosen]
    if config.dem is not None:
        tags["DEM"] = Path(config.dem).name
    if moved is not None:
        tags["COREGISTRATION"] = moved
    return tags
