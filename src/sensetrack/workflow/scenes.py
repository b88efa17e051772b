"""Which mission reads what: of a product a band is opened, everything else stays the path of a raster."""

from __future__ import annotations

import os
import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensetrack.errors import ConfigError, InputError, PlaceWarning, UnlikePairWarning
from sensetrack.files.archive import is_product_like, open_members, zip_holds
from sensetrack.files.pairing import ProductBand, open_image
from sensetrack.files.raster import open_raster
from sensetrack.notices import warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from sensetrack.cosmo.product import Cosmo
    from sensetrack.files.archive import Members
    from sensetrack.prisma.product import Prisma
    from sensetrack.sentinel.s1 import Sentinel1
    from sensetrack.sentinel.sentinel2 import Sentinel2
    from sensetrack.workflow.config import TrackConfig

    Product = Sentinel1 | Sentinel2 | Prisma | Cosmo

Place = str | os.PathLike[str]

_HDF5 = r".*\.(h5|he5|hdf5)"
"""Names of products that are one HDF5 file."""


def open_product(path: Place) -> Product | None:
    """Open a product by what is in it; None for a path that is not one of many files.

    ``manifest.safe`` and ``MTD_MSIL1C.xml`` stand for the product they belong to, and the GeoTIFF or the XML of a burst
    for both.

    Raises
    ------
    InputError
        It is a product, or an archive, of a kind that is not read here.
    """
    text = os.fspath(path)
    if re.search(r"(^|[/\\])S1_\d{6}_\w+-BURST\.(tiff?|xml)$", text, re.IGNORECASE):
        from sensetrack.sentinel.s1 import open_sentinel1

        return open_sentinel1(path)
    if re.search(r"(^|[/\\])(manifest\.safe|MTD_MSIL(1C|2A)\.xml)$", text, re.IGNORECASE) and os.path.isfile(text):  # noqa: PTH113
        path = Path(text).absolute().parent
    if is_hdf5(text):
        return open_hdf5_product(path)
    if _may_be_delivery(text):
        from sensetrack.cosmo.product import is_delivery, open_cosmo

        if is_delivery(path):
            return open_cosmo(path)
    if not is_product_like(path):
        return None
    members = open_members(path)
    if is_sentinel2(members):
        from sensetrack.sentinel.sentinel2 import sentinel2_of

        return sentinel2_of(members, path)
    if is_sentinel1(members):
        from sensetrack.sentinel.s1 import sentinel1_of

        return sentinel1_of(members, path)
    message = "is a SAFE product, but not of Sentinel-1 or Sentinel-2"
    raise InputError(message, path=path, advice="only Sentinel-1 SLC and GRD, Sentinel-2 L1C and L2A are read natively")


def is_hdf5(path: Place) -> bool:
    """Tell whether a path is an HDF5 file by name or content, or a zip that holds one."""
    from sensetrack.files.hdf5 import is_hdf5_like

    return is_hdf5_like(path) or zip_holds(path, _HDF5)


def _may_be_delivery(text: str) -> bool:
    """Tell whether a path may be a delivery of COSMO-SkyMed as GeoTIFF."""
    return text.lower().endswith(".attribs.xml") or os.path.isdir(text)  # noqa: PTH112  a Path would choke on long names


def open_hdf5_product(path: Place) -> Prisma | Cosmo:
    """Open a product that is one HDF5 file.

    Raises
    ------
    InputError
        It is of no mission that is read here, or damaged.
    """
    from sensetrack.cosmo.attributes import H5Source
    from sensetrack.cosmo.product import cosmo_of, is_cosmo
    from sensetrack.files.hdf5 import Hdf5
    from sensetrack.prisma.layout import is_prisma
    from sensetrack.prisma.product import prisma_of

    file = Hdf5.open(path)
    try:
        if is_prisma(file):
            return prisma_of(file)
        if is_cosmo(file):
            return cosmo_of(H5Source(file), Path(path))
    except BaseException:
        file.close()
        raise
    file.close()
    message = "is an HDF5 file, but not a product of PRISMA or COSMO-SkyMed"
    raise InputError(message, path=path, advice="see what is in it with sensetrack info --json")


def is_sentinel1(members: Members) -> bool:
    """Tell whether a product is one of Sentinel-1, whole or not."""
    return bool(members.find(r"annotation/.*\.xml|measurement/s1.*")) or members.where("").name.upper().startswith("S1")


def is_sentinel2(members: Members) -> bool:
    """Tell whether a product is one of Sentinel-2, whole or not."""
    return bool(members.find(r"MTD_MSI.*\.xml|GRANULE/.*")) or "_MSIL" in members.where("").name.upper()


def open_scenes(
    first: Place | ProductBand, second: Place | ProductBand, config: TrackConfig
) -> tuple[Place | ProductBand, Place | ProductBand]:
    """Open those of two inputs that are products, and require that two products show the same.

    Parameters
    ----------
    first, second : path-like or ProductBand
        Paths of rasters are returned as they are, unless a band is asked for by its name.
    config : TrackConfig
        Its `band`, `clouds`, `nodata` and `force` count.

    Raises
    ------
    ConfigError
        The band is not one of the product.
    InputError
        See `open_product`, `sensetrack.sentinel.s1.require_alike` and `sensetrack.sentinel.sentinel2.require_alike`.
    """
    products = [None if isinstance(item, ProductBand) else open_product(item) for item in (first, second)]
    _require_alike(products[0], products[1], force=config.force)
    _say_how_placed(products, config)
    if not isinstance(first, ProductBand) and not isinstance(second, ProductBand):
        pair = _radar_pair(products, first, config)
        if pair is not None:
            return pair
    one, other = (
        item if isinstance(item, ProductBand) else _scene(item, product, config)
        for item, product in zip((first, second), products, strict=True)
    )
    return one, other


def ready(
    scenes: tuple[Place | ProductBand, Place | ProductBand],
    folder: Path,
    *,
    workers: int | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> AbstractContextManager[tuple[Place | ProductBand, Place | ProductBand]]:
    """Return scenes that can be read again and again, for a while.

    Radar images are brought to a map once, into files of a folder that is removed afterwards, and not for each tile.
    """
    if all("tracked" not in (about(scene) or {}) for scene in scenes):
        return nullcontext(scenes)
    from sensetrack.workflow.sentinel1 import on_a_map

    return on_a_map(scenes, folder, workers=workers, advance=advance)


def _require_alike(first: Product | None, second: Product | None, *, force: bool) -> None:
    """Require that two products show the same ground from the same place."""
    if first is None or second is None:
        return
    from sensetrack.cosmo import product as cosmo
    from sensetrack.prisma.product import Prisma
    from sensetrack.sentinel import s1, sentinel2

    if isinstance(first, s1.Sentinel1) and isinstance(second, s1.Sentinel1):
        s1.require_alike(first, second, force=force)
    elif isinstance(first, cosmo.Cosmo) and isinstance(second, cosmo.Cosmo):
        cosmo.require_alike(first, second, force=force)
    elif isinstance(first, sentinel2.Sentinel2) and isinstance(second, sentinel2.Sentinel2):
        sentinel2.require_alike(first, second, force=force)
    elif isinstance(first, Prisma | sentinel2.Sentinel2) and isinstance(second, Prisma | sentinel2.Sentinel2):
        names = [f"{product.about()['mission']} {product.about()['level']}" for product in (first, second)]
        if names[0] != names[1]:
            text = f"{second.path}: is {names[1]} and the reference is {names[0]}; paired all the same"
            warn(text, UnlikePairWarning, stacklevel=2)
    else:
        names = [
            type(product).__name__.replace("Sentinel", "Sentinel-").replace("Cosmo", "COSMO-SkyMed")
            for product in (first, second)
        ]
        message = f"must be of the mission of the reference, {names[0]}, instead got {names[1]}"
        raise InputError(message, path=second.path, advice="images of different missions cannot be compared")


def _say_how_placed(products: list[Product | None], config: TrackConfig) -> None:
    """Warn that offsets of PRISMA hold the error of its place, where nothing is going to take that out."""
    from sensetrack.prisma.product import Prisma

    loose = [product for product in products if isinstance(product, Prisma)]
    if loose and config.coregister == "none" and not (config.stable_ground or config.unstable_ground):
        text = (
            f"{loose[0].path}: PRISMA places its pixels to 100 or 200 m only, so that offsets hold that error, too: "
            "say --coregister shift, or name stable ground"
        )
        warn(text, PlaceWarning, stacklevel=3)


def _radar_pair(
    products: list[Product | None], path: Place, config: TrackConfig
) -> tuple[ProductBand, ProductBand] | None:
    """Bring two products of Sentinel-1 or COSMO-SkyMed to one map; None where there are none."""
    from sensetrack.cosmo.product import Cosmo
    from sensetrack.sentinel.s1 import Sentinel1

    first, second = products
    if isinstance(first, Sentinel1) and isinstance(second, Sentinel1):
        from sensetrack.workflow.sentinel1 import sentinel1_pair

        return sentinel1_pair(first, second, config)
    if isinstance(first, Cosmo) and isinstance(second, Cosmo):
        from sensetrack.workflow.cosmo import cosmo_pair

        return cosmo_pair(first, second, config)
    for name in ("chain", "dem", "vertical", "orbits", "crs", "resolution"):
        if getattr(config, name) is not None:
            raise ConfigError(
                f"{name} is for two Sentinel-1 products, or two of COSMO-SkyMed, and this is none", path=path
            )
    return None


def _scene(path: Place, product: Product | None, config: TrackConfig) -> Place | ProductBand:
    named = isinstance(config.band, str) and config.band != "grey"
    if product is None:
        if not named:
            return path
        image = open_image(path, _number_of(path, str(config.band)), config.nodata)
        return ProductBand(Path(path), image)
    from sensetrack.prisma.product import Prisma
    from sensetrack.sentinel.sentinel2 import TRACKED, Sentinel2

    if isinstance(product, Prisma):
        return _prisma_scene(path, product, config)
    if not isinstance(product, Sentinel2):
        message = "is in the geometry of its radar, not on a map"
        raise ConfigError(message, path=path, advice="prepare it first (sensetrack prepare)")
    if isinstance(config.band, int):
        message = f"bands of a Sentinel-2 product have names, instead got band {config.band}"
        raise ConfigError(message, path=path, advice="say --band B08")
    if config.nodata is not None:
        message = f"a Sentinel-2 product says itself what is missing, instead got --nodata {config.nodata:g}"
        raise ConfigError(message, path=path, advice="leave it out")
    return product.band(TRACKED if config.band is None else str(config.band), clouds=config.clouds)


def _prisma_scene(path: Place, product: Prisma, config: TrackConfig) -> ProductBand:
    from sensetrack.prisma.product import TRACKED

    if isinstance(config.band, int) or config.band == "grey":
        message = f"bands of a PRISMA product have names, instead got band {config.band}"
        raise ConfigError(message, path=path, advice="say --band PAN, VNIR40 or 850nm")
    if config.nodata is not None:
        message = f"a PRISMA product says itself what is missing, instead got --nodata {config.nodata:g}"
        raise ConfigError(message, path=path, advice="leave it out")
    return product.band(TRACKED if config.band is None else config.band, clouds=config.clouds)


def _number_of(path: Place, name: str) -> int:
    """Return the number (from 1) of a band that a raster names."""
    file = open_raster(path)
    for number, described in enumerate(file.descriptions, start=1):
        if described.upper() == name:
            return number
    # A band of Sentinel-2 by itself is called after its file.
    if file.count == 1 and not file.descriptions[0] and re.search(rf"_{name}(_\d\dm)?$", file.path.stem):
        return 1
    names = ", ".join(described or "without name" for described in file.descriptions)
    raise ConfigError(f"there is no band {name}, its bands are: {names}", path=path, advice="give a number from 1")


def refuse_inside(folder: Place, scenes: tuple[Place | ProductBand, ...]) -> None:
    """Raise ConfigError where results would be written into a product."""
    for scene in scenes:
        if isinstance(scene, ProductBand):
            refuse_product(folder, scene.path)


def refuse_product(folder: Place, product: Place) -> None:
    """Raise ConfigError where a folder of results is a product, or lies in it."""
    target, inside = os.path.realpath(folder), os.path.realpath(product)
    if target == inside or target.startswith(inside + os.sep):
        raise ConfigError("lies in the product that is read", path=folder, advice="choose another output")


def about(scene: Place | ProductBand) -> dict[str, Any] | None:
    """Return what the run record says of a scene; None for a raster, whose file says all."""
    return scene.about or None if isinstance(scene, ProductBand) else None
