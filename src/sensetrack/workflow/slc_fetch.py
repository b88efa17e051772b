"""Orbits and heights for two SLCs, fetched where they were not given and the network is allowed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sensetrack.acquire.dem import DemQuery
from sensetrack.acquire.orbits import Wanted
from sensetrack.errors import InputError
from sensetrack.sentinel.s1 import Sentinel1
from sensetrack.sentinel.s1_pair import pair_bursts
from sensetrack.snap_gpt.aoi import AOI
from sensetrack.workflow.fetch import fetch_elevation, orbits_for
from sensetrack.workflow.scenes import open_product
from sensetrack.workflow.slc_inputs import burst_places

if TYPE_CHECKING:
    import os

    from sensetrack.workflow.slc_config import SlcConfig

    Place = str | os.PathLike[str]

log = logging.getLogger(__name__)


def with_fetched(reference: Place, secondary: Place, config: SlcConfig, folder: Place) -> SlcConfig:
    """Return the settings with orbit files and an elevation model that were fetched, where there were none.

    What was fetched before is not fetched again.

    Parameters
    ----------
    reference, secondary : path-like
    config : SlcConfig
        Its orbits and elevation model stay where they are given; so does a height for all ground.
    folder : path-like
        Where they are kept; made where missing.

    Raises
    ------
    InputError
        One is not a product of Sentinel-1, or the two cannot be paired.
    DownloadError, EngineNotFoundError
        They cannot be fetched, or the libraries that fetch are missing.
    """
    place = Path(folder)
    found: dict[str, str] = {}
    products = [_opened(path) for path in (reference, secondary)]
    if config.orbits is None:
        orbits_for([Wanted(one.info.platform, one.info.start, one.info.stop) for one in products], place)
        found["orbits"] = str(place)
    if config.dem is None and config.height is None:
        box = _ground(products, config)
        model = DemQuery()
        path = place / "{}_{:.3f}_{:.3f}_{:.3f}_{:.3f}.tif".format(model.model, *box)
        if not path.exists():
            log.info("fetching the elevation model %s", model.model)
            fetch_elevation(model, box, path)
        found |= {"dem": str(path), "vertical": "ellipsoid"}
    return config.model_copy(update=found)


def _opened(path: Place) -> Sentinel1:
    product = open_product(path)
    if not isinstance(product, Sentinel1):
        raise InputError("must be a Sentinel-1 SLC, and this is none", path=path)
    return product


def _ground(products: list[Sentinel1], config: SlcConfig) -> tuple[float, float, float, float]:
    """West, south, east, north of the bursts that are measured, degrees."""
    area = None if config.aoi is None else AOI.of(config.aoi).geometry
    pairs = pair_bursts(*products, swaths=config.swaths, polarisation=config.polarization, area=area)
    places = [burst_places(pair) for pair in pairs]
    lon, lat = (np.concatenate([one[axis].ravel() for one in places]) for axis in (0, 1))
    middle = float(np.nanmedian(lon))
    lon = (lon - middle + 180) % 360 - 180 + middle  # in one piece where it crosses the antimeridian
    west, east = ((float(one) + 180) % 360 - 180 for one in (np.nanmin(lon), np.nanmax(lon)))
    return west, float(np.nanmin(lat)), east, float(np.nanmax(lat))
