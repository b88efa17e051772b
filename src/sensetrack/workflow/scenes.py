"""Which mission reads what: of a product a band is opened, everything else stays the path of a raster."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensetrack.errors import ConfigError, InputError
from sensetrack.files.archive import is_product_like, open_members
from sensetrack.files.pairing import ProductBand, open_image
from sensetrack.files.raster import open_raster

if TYPE_CHECKING:
    from sensetrack.files.archive import Members
    from sensetrack.sentinel.sentinel2 import Sentinel2
    from sensetrack.workflow.config import TrackConfig

Place = str | os.PathLike[str]


def open_product(path: Place) -> Sentinel2 | None:
    """Open a product by what is in it; None for a path that is not one of many files.

    ``manifest.safe`` and ``MTD_MSIL1C.xml`` stand for the product they belong to.

    Raises
    ------
    InputError
        It is a product, or an archive, of a kind that is not read here.
    """
    text = os.fspath(path)
    if re.search(r"(^|[/\\])(manifest\.safe|MTD_MSIL(1C|2A)\.xml)$", text, re.IGNORECASE) and os.path.isfile(text):  # noqa: PTH113
        path = Path(text).absolute().parent
    if not is_product_like(path):
        return None
    members = open_members(path)
    if not is_sentinel2(members):
        message = "is a SAFE product, but not of Sentinel-2"
        raise InputError(message, path=path, advice="only Sentinel-2 L1C and L2A are read natively")
    from sensetrack.sentinel.sentinel2 import sentinel2_of

    return sentinel2_of(members, path)


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
        See `open_product` and `sensetrack.sentinel.sentinel2.require_alike`.
    """
    products = [None if isinstance(item, ProductBand) else open_product(item) for item in (first, second)]
    if products[0] is not None and products[1] is not None:
        from sensetrack.sentinel.sentinel2 import require_alike

        require_alike(products[0], products[1], force=config.force)
    one, other = (
        item if isinstance(item, ProductBand) else _scene(item, product, config)
        for item, product in zip((first, second), products, strict=True)
    )
    return one, other


def _scene(path: Place, product: Sentinel2 | None, config: TrackConfig) -> Place | ProductBand:
    named = isinstance(config.band, str) and config.band != "grey"
    if product is None:
        if not named:
            return path
        image = open_image(path, _number_of(path, str(config.band)), config.nodata)
        return ProductBand(Path(path), image)
    if isinstance(config.band, int):
        message = f"bands of a Sentinel-2 product have names, instead got band {config.band}"
        raise ConfigError(message, path=path, advice="say --band B08")
    if config.nodata is not None:
        message = f"a Sentinel-2 product says itself what is missing, instead got --nodata {config.nodata:g}"
        raise ConfigError(message, path=path, advice="leave it out")
    from sensetrack.sentinel.sentinel2 import TRACKED

    return product.band(TRACKED if config.band is None else str(config.band), clouds=config.clouds)


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
    target = os.path.realpath(folder)
    for scene in scenes:
        if isinstance(scene, ProductBand):
            product = os.path.realpath(scene.path)
            if target == product or target.startswith(product + os.sep):
                raise ConfigError("lies in the product that is read", path=folder, advice="choose another output")


def about(scene: Place | ProductBand) -> dict[str, Any] | None:
    """Return what the run record says of a scene; None for a raster, whose file says all."""
    return scene.about or None if isinstance(scene, ProductBand) else None
