"""Two COSMO-SkyMed products on one map: what is tracked where products are given instead of rasters."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sensetrack.cosmo.mapped import CosmoConfig, cosmo_map, ground_grid, pixel_of, surface_of
from sensetrack.errors import ConfigError, NoOverlapError
from sensetrack.files.pairing import ProductBand
from sensetrack.notices import collected, said_again
from sensetrack.sentinel.s1_map import common
from sensetrack.workflow.radar import mapped_band, shared_polarisation
from sensetrack.workflow.sentinel1 import crs_text

if TYPE_CHECKING:
    from sensetrack.cosmo.product import Cosmo
    from sensetrack.products.radar_map import RadarMap
    from sensetrack.workflow.config import TrackConfig

log = logging.getLogger(__name__)

OPTIONS = ("dem", "vertical", "crs", "resolution")
"""Settings of a tracking job that count here."""


def cosmo_pair(first: Cosmo, second: Cosmo, config: TrackConfig) -> tuple[ProductBand, ProductBand]:
    """Bring two products to the same pixels of one map, as amplitudes that are computed when they are read.

    GEC and GTC are on a map already, each on its own; where their pixels differ, the secondary is resampled later.

    Parameters
    ----------
    first, second : Cosmo
        Alike; see `sensetrack.cosmo.product.require_alike`.
    config : TrackConfig
        Its `band`, `aoi` and what `OPTIONS` names count.

    Raises
    ------
    ConfigError
        A band that is no polarisation of both, a nodata value, a chain or orbit files.
    NoOverlapError
        They share no ground, or the area of interest lies outside of one.
    """
    for name in ("nodata", "chain", "orbits"):
        if getattr(config, name) is not None:
            message = f"{name} is not for COSMO-SkyMed products, instead got {getattr(config, name)}"
            raise ConfigError(message, path=first.path, advice="leave it out")
    polarisation = shared_polarisation(first, second, config)
    asked = {name: getattr(config, name) for name in OPTIONS}
    products = (first, second)
    if first.on_map or second.on_map:
        settings = CosmoConfig(polarisations=(polarisation,), **asked)
        maps = [cosmo_map(product, settings) for product in products]
    else:
        settings = CosmoConfig(polarisations=(polarisation,), aoi=config.aoi, method="cubic", **asked)
        maps = _on_one_map(products, settings, polarisation, config.margin)
    log.info("%s of %d x %d px", polarisation, *maps[0].grid.shape)
    one, other = (mapped_band(made, product.path) for made, product in zip(maps, products, strict=True))
    return one, other


def _on_one_map(products: tuple[Cosmo, Cosmo], settings: CosmoConfig, polarisation: str, margin: int) -> list[RadarMap]:
    images = products[0].chosen((polarisation,))[polarisation]
    settings = settings.model_copy(update={"resolution": settings.resolution or pixel_of(images)})
    with collected() as caught:  # the same of both is said once
        grids = []
        for product in products:
            grids.append(ground_grid(product, settings, margin=margin))
            settings = settings.model_copy(update={"crs": settings.crs or crs_text(grids[0])})
        grid = common(*grids)
        if grid is None:
            texts = " and ".join("x {0:.0f} to {2:.0f}, y {1:.0f} to {3:.0f}".format(*one.bounds) for one in grids)
            raise NoOverlapError(f"footprints do not overlap: {texts}", path=products[1].path)
        # One for both: what differs between them would be seen as motion.
        ground = surface_of(products[0], settings)
        maps = [cosmo_map(product, settings, grid=grid, ground=ground) for product in products]
    said_again(caught, stacklevel=3)
    return maps
