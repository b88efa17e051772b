"""A Sentinel-1 product on a map: what the graphs for SNAP do, put together here and computed where it is read."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import ConfigError, InputError, NoOverlapError, SenseTrackWarning
from sensetrack.files.dem import open_dem
from sensetrack.notices import warn
from sensetrack.products.radar_map import CAUTION, RadarMap
from sensetrack.sar.calibration import to_db
from sensetrack.sar.features import UNITS as TEXTURE_UNITS
from sensetrack.sar.features import normalised_difference, ratio
from sensetrack.sar.geometry import geo2rdr
from sensetrack.sar.heights import Level
from sensetrack.sar.terrain import UNITS, Band, MapToRadar, TerrainCorrected, to_lonlat
from sensetrack.sentinel.s1_chain import CHAINS, Chain, Radiometry, chosen_swaths, radar_images
from sensetrack.sentinel.s1_config import S1Config
from sensetrack.sentinel.s1_map import Ground, area_of, cut
from sensetrack.sentinel.s1_orbits import orbit_places
from sensetrack.snap_gpt.aoi import AOI
from sensetrack.snap_gpt.looks import S1_IW_SLC, estimate_multilook
from sensetrack.snap_gpt.recipes import SARPreprocessing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from sensetrack.grid import Grid
    from sensetrack.sar.heights import Surface
    from sensetrack.sar.radargrid import RadarGrid
    from sensetrack.sentinel.s1 import Sentinel1
    from sensetrack.sentinel.s1_types import S1Swath

MAX_PIXELS = 4 * 10**9
"""Pixels of a map beyond which a wrong resolution or area is likelier than such a job."""


def sentinel1_map(
    product: Sentinel1,
    config: S1Config | None = None,
    *,
    grid: Grid | None = None,
    ground: tuple[Surface, dict[str, Any]] | None = None,
) -> RadarMap:
    """Bring a product to a map.

    Parameters
    ----------
    product : Sentinel1
    config : S1Config, optional
    grid : Grid, optional
        Of the map, in place of what area, CRS and resolution say: so that several dates share their pixels.
    ground : (Surface, dict), optional
        What `surface_of` has returned, where it is known already.

    Raises
    ------
    ConfigError
        The chain is for another kind of product, or a polarisation is not there.
    InputError
        Elevation model, orbit or area cannot be used; `NoOverlapError` where the area lies outside the product.
    """
    config = config or S1Config()
    product = on_orbit(product, config)
    name, chain = chain_of(product, config)
    swaths = chosen_swaths(product, config.polarisations)
    if chain.ratio and len(swaths) < 2:
        raise ConfigError(
            f"chain {name} needs two polarisations, instead got {', '.join(swaths)}", path=product.info.path
        )
    if {"ratio", "difference"} & {*config.features} and len(swaths) < 2:
        message = f"features of two polarisations need two, instead got {', '.join(swaths)}"
        raise ConfigError(message, path=product.info.path)
    first = next(iter(swaths.values()))
    radiometry = radiometry_of(chain, config, first)
    if grid is None:
        grid = ground_grid(product, first, config, chain)
    require_size(grid, MAX_PIXELS, product)
    surface, dem = surface_of(product, first, config) if ground is None else ground
    radar, images = radar_images(swaths, radiometry, product.info.ipf)
    terrain = TerrainCorrected(MapToRadar(grid, radar, surface, config.layers), images, config.method)
    about = _about(product, config, radiometry) | {
        "chain": name,
        "steps": list(chain.steps),
        "dem": dem,
    }
    bands = _bands(terrain, list(swaths), chain, config)
    stem = f"{product.info.name}_{name}" + ("_dB" if config.scale == "db" else "")
    size = config.resolution or chain.resolution
    return RadarMap(product.info.path, grid, bands, about, stem, _seen(radar, grid), size)


def require_size(grid: Grid, most: int, product: Sentinel1) -> None:
    """Raise ConfigError where a map has more pixels than are allowed."""
    if grid.shape[0] * grid.shape[1] > most:
        message = f"a map of {grid.shape[0]} x {grid.shape[1]} px is more than the {most:,} px allowed"
        raise ConfigError(message, path=product.path, advice="choose a coarser resolution or an area of interest")


def chain_of(product: Sentinel1, config: S1Config) -> tuple[str, Chain]:
    """Return the chain that is meant, and its name in the first release."""
    info = product.info
    if config.chain is None:
        stem = "s1_grd_default" if info.product == "GRD" else "s1_slc_default_noSF"
    else:
        stem = SARPreprocessing.validate(config.chain).stem
    chain = CHAINS[stem]
    name = SARPreprocessing(stem).name
    if chain.product != info.product:
        message = f"chain {name} takes {chain.product}, instead got a product of kind {info.product}"
        fitting = ", ".join(SARPreprocessing(one).name for one, of in CHAINS.items() if of.product == info.product)
        raise ConfigError(message, path=info.path, advice=f"say --chain with one of {fitting}")
    return name, chain


def radiometry_of(chain: Chain, config: S1Config, swaths: Sequence[S1Swath]) -> Radiometry:
    """Return what is done to the pixels in radar geometry."""
    speckle = "refined_lee" if chain.speckle_filter else None
    if config.speckle is not None:
        speckle = None if config.speckle == "none" else config.speckle
    looks = config.looks or _looks(chain, config, swaths)
    return Radiometry(config.quantity, looks=(looks[0], looks[1]), speckle=speckle, textures=config.textures)


def _looks(chain: Chain, config: S1Config, swaths: Sequence[S1Swath]) -> tuple[int, int]:
    """Return looks by which no pixel of the image is passed over: as many as fit into one of the map."""
    size = config.resolution or chain.resolution
    middle = swaths[len(swaths) // 2].info
    if chain.product == "SLC":
        down = max(1, int(size / middle.azimuth_spacing))
        return down, estimate_multilook(middle.incidence, S1_IW_SLC, down).Num_Range_LOOKS
    return max(1, int(size / middle.azimuth_spacing + 1e-3)), max(1, int(size / middle.range_spacing + 1e-3))


def ground_grid(
    product: Sentinel1, swaths: Sequence[S1Swath], config: S1Config, chain: Chain | None = None, *, margin: int = 0
) -> Grid:
    """Return the map of the ground that a product shows, or of what of it lies in the area of interest."""
    chain = chain or chain_of(product, config)[1]
    heights = [part for swath in swaths for part in (swath.geolocation.height.min(), swath.geolocation.height.max())]
    ground = Ground.of([swath.radar_grid for swath in swaths], (float(min(heights)), float(max(heights))))
    grid = ground.grid(config.crs or _crs_of(config) or ground.crs, config.resolution or chain.resolution)
    if config.aoi is None:
        return grid
    try:
        return cut(grid, area_of(config.aoi), margin)
    except NoOverlapError as error:
        message = f"{error.cause}, which shows {ground.said()}"
        where = config.aoi if isinstance(config.aoi, str) and Path(config.aoi.partition("|")[0]).is_file() else None
        raise NoOverlapError(message, path=where, advice="choose another area or product") from error


def _crs_of(config: S1Config) -> str | None:
    """UTM zone of an area that is not a mask."""
    if config.aoi is None:
        return None
    try:
        return AOI.of(config.aoi).utm
    except (InputError, ConfigError):
        return None


def surface_of(product: Sentinel1, swaths: Sequence[S1Swath], config: S1Config) -> tuple[Surface, dict[str, Any]]:
    """Return the surface that pixels are placed on, and what the record says of it."""
    if config.dem is not None:
        dem = open_dem(config.dem, config.vertical)
        return dem, {"file": Path(config.dem).name, "heights": dem.source, "notes": list(dem.notes)}
    height = config.height
    if height is None:
        height = middle_height(swaths)
        warn(without_dem(product, height), SenseTrackWarning, stacklevel=3)
    return Level(height), {"file": None, "heights": f"{height:g} m above the ellipsoid everywhere"}


def middle_height(swaths: Sequence[S1Swath]) -> float:
    """Return the median height, whole metres above the ellipsoid, of the geolocation grids of some swaths."""
    return float(round(float(np.median(np.concatenate([swath.geolocation.height.ravel() for swath in swaths])))))


def without_dem(product: Sentinel1, height: float) -> str:
    """Say what it means that there is no elevation model."""
    return (
        f"{product.info.name}: no elevation model is given, so that all ground is taken to lie {height:g} m above the "
        "ellipsoid; a place that lies 100 m higher is mapped about 100 to 180 m too near to the track. Give --dem"
    )


def on_orbit(product: Sentinel1, config: S1Config) -> Sentinel1:
    """Return the product with the orbit files that are to be looked through."""
    return product if config.orbits is None else replace(product, orbit_places=orbit_places(config.orbits))


def _bands(terrain: TerrainCorrected, names: list[str], chain: Chain, config: S1Config) -> list[tuple[str, str, Any]]:
    title = {"sigma0": "Sigma0", "beta0": "Beta0", "gamma0": "Gamma0"}[config.quantity]
    decibels = config.scale == "db"
    bands: list[tuple[str, str, Any]] = []
    for place, name in enumerate(names):
        label = f"{title}_{name}" + ("_db" if decibels else "")
        bands.append((label, "dB" if decibels else "1", Band(terrain, _Take(place, decibels=decibels))))
    if chain.ratio:
        bands.append(("Band3", "dB" if decibels else "1", Band(terrain, _Ratio(1, 0, decibels=decibels))))
    bands += _features(terrain, names, config)
    return bands + [(layer, UNITS[layer], terrain.layer(layer)) for layer in config.layers]


def _features(terrain: TerrainCorrected, names: list[str], config: S1Config) -> list[tuple[str, str, Any]]:
    """Return bands that tell surfaces apart, in the order in which they are asked for."""
    bands: list[tuple[str, str, Any]] = []
    decibels, place = config.scale == "db", len(names)
    for feature in config.features:
        if feature == "ratio":
            label = f"ratio_{names[1]}_{names[0]}" + ("_db" if decibels else "")
            bands.append((label, "dB" if decibels else "1", Band(terrain, _Ratio(1, 0, decibels=decibels))))
        elif feature == "difference":
            label = f"difference_{names[0]}_{names[1]}"
            bands.append((label, "1", Band(terrain, lambda found, _: normalised_difference(found[0], found[1]))))
        else:
            bands += [(f"{feature}_{name}", TEXTURE_UNITS[feature], terrain.band(place + k))
                      for k, name in enumerate(names)]  # fmt: skip
            place += len(names)
    return bands


@dataclass(frozen=True)
class _Take:
    """One band."""

    place: int
    decibels: bool

    def __call__(self, bands: list[NDArray[np.float32]], _: Any) -> NDArray[np.float32]:
        return to_db(bands[self.place]) if self.decibels else bands[self.place]


@dataclass(frozen=True)
class _Ratio:
    """One band over another; NaN where either is not above 0."""

    above: int
    below: int
    decibels: bool

    def __call__(self, bands: list[NDArray[np.float32]], _: Any) -> NDArray[np.float32]:
        found = ratio(bands[self.above], bands[self.below])
        return to_db(found) if self.decibels else found


def _about(product: Sentinel1, config: S1Config, radiometry: Radiometry) -> dict[str, Any]:
    return product.about() | {
        "processor": product.info.ipf,
        "quantity": config.quantity,
        "scale": config.scale,
        "looks": list(radiometry.looks),
        "speckle_filter": radiometry.speckle or "none",
        "interpolation": config.method,
        **({"features": list(config.features)} if config.features else {}),
        **({"texture_window": list(config.texture_window)} if config.textures else {}),
        "caution": CAUTION,
    }


def _seen(radar: RadarGrid, grid: Grid) -> datetime:
    """When the middle of a map was seen."""
    lon, lat = to_lonlat(grid)(*grid.xy((grid.shape[0] - 1) / 2, (grid.shape[1] - 1) / 2))
    found = float(np.asarray(geo2rdr(radar, lon, lat, 0.0).time).reshape(-1)[0])
    inside = min(max(found, radar.first_time), radar.last_time) if math.isfinite(found) else radar.middle_time
    return radar.epoch + timedelta(seconds=round(inside, 6))
