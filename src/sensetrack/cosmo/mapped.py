"""A COSMO-SkyMed product on a map, computed where it is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from sensetrack.cosmo.radiometry import Quantity, backscatter, quantity_of
from sensetrack.errors import ConfigError, InputError, NoOverlapError, SenseTrackWarning
from sensetrack.files.dem import open_dem
from sensetrack.notices import warn
from sensetrack.ot.parameters import Parameters, PxPair, both
from sensetrack.products.radar_map import CAUTION, RadarMap
from sensetrack.sar.calibration import to_db
from sensetrack.sar.geometry import geo2rdr
from sensetrack.sar.heights import Level
from sensetrack.sar.terrain import LAYERS, UNITS, Band, MapToRadar, RadarImage, TerrainCorrected, to_lonlat
from sensetrack.sentinel.s1_map import Ground, area_of, cut
from sensetrack.snap_gpt.aoi import AOI

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from sensetrack.cosmo.product import Cosmo
    from sensetrack.cosmo.types import CosmoImage
    from sensetrack.grid import Grid
    from sensetrack.sar.heights import Surface
    from sensetrack.sar.radargrid import RadarGrid

NEVER_MET = "this reader was tested on simulated products only"
"""What is to be said of every level, since no real product could be had."""
_SIZES = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 25.0, 30.0, 50.0, 100.0)


class CosmoConfig(Parameters):
    """How a COSMO-SkyMed product is brought to a map."""

    aoi: Any = Field(
        None, description="area of interest: file, file|layer, mask, GeoJSON, well-known text, or west,south,east,north"
    )
    crs: str | None = Field(None, description="CRS of the result, such as EPSG:32632; default: UTM zone of the middle")
    resolution: Annotated[float, Field(gt=0, le=1e5, allow_inf_nan=False)] | None = Field(
        None,
        description="pixel of the result; default: the next round number above that of one look on the ground",
        json_schema_extra={"unit": "m"},
    )
    looks: PxPair | None = Field(
        None, description="looks in azimuth and range; default: as many as fit into a pixel of the map"
    )
    dem: str | None = Field(None, description="file of an elevation model; default: one height, which is not the truth")
    vertical: Literal["ellipsoid", "egm96", "egm2008"] | None = Field(
        None, description="what the heights of the elevation model count from; default: by what it is, announced"
    )
    height: float | None = Field(
        None,
        description="without an elevation model: the height of all ground above the ellipsoid; default: 0",
        json_schema_extra={"unit": "m"},
    )
    polarisations: tuple[str, ...] | None = Field(None, description="VV, VH, HH, HV; default: all there are")
    quantity: Quantity | None = Field(
        None, description="sigma0 or beta0 of the first generation, rescaled of both; default: sigma0, else rescaled"
    )
    scale: Literal["linear", "db"] = Field("linear", description="linear, or decibels clipped at -50")
    speckle: str | None = Field(None, description="speckle filter; none for none")
    method: Literal["nearest", "bilinear", "cubic"] = Field("bilinear", description="how pixels are interpolated")
    layers: tuple[str, ...] = Field((), description="more bands: any of " + ", ".join(LAYERS))

    @field_validator("looks", mode="before")
    @classmethod
    def _pair(cls, value: Any) -> Any:
        return both(value)

    @field_validator("polarisations", "layers", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("layers")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in LAYERS:
                raise ConfigError(f"there is no layer {name!r}; there are {', '.join(LAYERS)}")
        return value


def cosmo_map(
    product: Cosmo,
    config: CosmoConfig | None = None,
    *,
    grid: Grid | None = None,
    ground: tuple[Surface, dict[str, Any]] | None = None,
) -> RadarMap:
    """Bring a product to a map.

    Parameters
    ----------
    product : Cosmo
        SCS and DGM are placed by orbit and heights; GEC and GTC stay on the map they are delivered on.
    config : CosmoConfig, optional
    grid : Grid, optional
        Of the map, in place of what area, CRS and resolution say: so that several dates share their pixels.
    ground : (Surface, dict), optional
        What `surface_of` has returned, where it is known already.

    Raises
    ------
    ConfigError
        A quantity that cannot be computed, a polarisation that is not there, a setting that a product on a map has no
        use for.
    InputError
        Elevation model or area cannot be used; `NoOverlapError` where the area lies outside the product.
    """
    config = config or CosmoConfig()
    quantity = quantity_of(product, config.quantity)
    chosen = product.chosen(config.polarisations)
    about = product.about() | {
        "quantity": quantity,
        "calibration": "annotated constants" if quantity != "rescaled" else "none: relative power",
        "scale": config.scale,
        "caution": CAUTION,
        "tested": NEVER_MET,
    }
    if product.on_map:
        return _delivered(product, config, chosen, quantity, about)
    speckle = None if config.speckle in (None, "none") else config.speckle
    first = next(iter(chosen.values()))
    looks = looks_of(config, first)
    if grid is None:
        grid = ground_grid(product, config)
    surface, dem = surface_of(product, config) if ground is None else ground
    radar = first[0].radar_grid
    images = _images(list(chosen.values()), quantity, looks, speckle)
    terrain = TerrainCorrected(MapToRadar(grid, radar, surface, config.layers), images, config.method)
    about |= {
        "looks": list(looks),
        "speckle_filter": speckle or "none",
        "interpolation": config.method,
        "orbit": f"{radar.orbit.quality} ({radar.orbit.source})",
        "dem": dem,
        "chain": "orbit, calibration, multilook, terrain correction",
    }
    sources = [Band(terrain, _Take(place, config.scale)) for place in range(len(chosen))]
    bands = _named(list(chosen), sources, quantity, config.scale)
    bands += [(layer, UNITS[layer], terrain.layer(layer)) for layer in config.layers]
    size = config.resolution or pixel_of(first)
    return RadarMap(product.path, grid, bands, about, _stem(product, quantity, config), _seen(radar, grid), size)


def _delivered(
    product: Cosmo, config: CosmoConfig, chosen: dict[str, list[CosmoImage]], quantity: Quantity, about: dict[str, Any]
) -> RadarMap:
    """Return a product that lies on a map already, or a part of it."""
    for name in ("crs", "resolution", "looks", "dem", "vertical", "height", "speckle"):
        if getattr(config, name) not in (None, "none"):
            message = f"{name} is for products in the geometry of the radar, and a {product.info.level} is on a map"
            raise ConfigError(message, path=product.path, advice="leave it out")
    if config.layers:
        raise ConfigError(f"layers are not known of a {product.info.level}", path=product.path, advice="leave it out")
    several = [name for name, images in chosen.items() if len(images) > 1]
    if several:
        raise InputError(f"has several images of {several[0]} that are not merged", path=product.path)
    first = next(iter(chosen.values()))[0]
    whole = first.map_grid.grid
    grid = whole if config.aoi is None else _cut(whole, config.aoi, "the map of the product")
    a, b = whole.transform, grid.transform
    offset = round((b.f - a.f) / a.e), round((b.c - a.c) / a.a)
    sources = []
    for images in chosen.values():
        if images[0].shape != whole.shape:
            raise InputError("has images of several sizes", path=product.path)
        power = backscatter(images[0], quantity, (1, 1), None)
        sources.append(_Part(power, offset, grid.shape, config.scale))
    about |= {"chain": "as delivered", "upper_left_is_the": first.map_grid.corner, "dem": {"heights": "as delivered"}}
    about |= {"orbit": "as delivered", "looks": [1, 1], "speckle_filter": "none", "interpolation": "none"}
    middle = product.info.start + (product.info.stop - product.info.start) / 2
    bands = _named(list(chosen), sources, quantity, config.scale)
    size = first.spacing[1]
    return RadarMap(product.path, grid, bands, about, _stem(product, quantity, config), middle, size)


def looks_of(config: CosmoConfig, images: Sequence[CosmoImage]) -> tuple[int, int]:
    """Return looks by which no pixel of the image is passed over: as many as fit into one of the map."""
    if config.looks is not None:
        return config.looks[0], config.looks[1]
    size = config.resolution or pixel_of(images)
    line, column = images[len(images) // 2].ground_spacing
    return max(1, int(size / line + 1e-3)), max(1, int(size / column + 1e-3))


def pixel_of(images: Sequence[CosmoImage]) -> float:
    """Return the pixel, m, of a map that keeps what one look shows: the next round number above its size."""
    coarser = max(images[len(images) // 2].ground_spacing)
    return next((size for size in _SIZES if size >= coarser * 0.999), math.ceil(coarser))


def ground_grid(product: Cosmo, config: CosmoConfig, *, margin: int = 0) -> Grid:
    """Return the map of the ground that a product shows, or of what of it lies in the area of interest."""
    images = next(iter(product.chosen(config.polarisations).values()))
    height = config.height or 0.0
    # Ground may be anywhere up to the mountains; the rim of the map has room for it where a model is given.
    heights = (height, height) if config.dem is None else (0.0, 3000.0)
    ground = Ground.of([image.radar_grid for image in images], heights)
    grid = ground.grid(config.crs or _crs_of(config) or ground.crs, config.resolution or pixel_of(images))
    return grid if config.aoi is None else _cut(grid, config.aoi, f"the product, which shows {ground.said()}", margin)


def _cut(grid: Grid, aoi: Any, what: str, margin: int = 0) -> Grid:
    try:
        return cut(grid, area_of(aoi), margin)
    except NoOverlapError as error:
        message = f"the area of interest lies outside {what}"
        where = aoi if isinstance(aoi, str) and Path(aoi.partition("|")[0]).is_file() else None
        raise NoOverlapError(message, path=where, advice="choose another area or product") from error


def _crs_of(config: CosmoConfig) -> str | None:
    """UTM zone of an area that is not a mask."""
    if config.aoi is None:
        return None
    try:
        return AOI.of(config.aoi).utm
    except (InputError, ConfigError):
        return None


def surface_of(product: Cosmo, config: CosmoConfig) -> tuple[Surface, dict[str, Any]]:
    """Return the surface that pixels are placed on, and what the record says of it."""
    if config.dem is not None:
        dem = open_dem(config.dem, config.vertical)
        return dem, {"file": Path(config.dem).name, "heights": dem.source, "notes": list(dem.notes)}
    height = config.height or 0.0
    if config.height is None:
        near = math.degrees(product.mean_incidence_angle())
        message = (
            f"{product.info.name}: no elevation model is given, so that all ground is taken to lie {height:g} m above "
            f"the ellipsoid; a place that lies 100 m higher is mapped about {100 / math.tan(math.radians(near)):.0f} m "
            "too near to the track. Give --dem"
        )
        warn(message, SenseTrackWarning, stacklevel=3)
    return Level(height), {"file": None, "heights": f"{height:g} m above the ellipsoid everywhere"}


def _images(
    columns: list[list[CosmoImage]], quantity: Quantity, looks: tuple[int, int], speckle: str | None
) -> list[RadarImage]:
    """Return what each subswath shows, in the geometry of the first; polarisations are bands."""
    counts = {len(images) for images in columns}
    if len(counts) > 1:
        path = columns[0][0].scope.source.path
        raise InputError("must have the same subswaths in all polarisations", path=path)
    reference = columns[0][0].radar_grid
    swaths = list(zip(*columns, strict=True))
    found = []
    for number, swath in enumerate(swaths):
        bands = tuple(backscatter(image, quantity, looks, speckle) for image in swath)
        found.append(_placed(bands, swath[0].radar_grid, reference, looks, _seam(swaths, number, reference)))
    return found


def _seam(swaths: list[tuple[CosmoImage, ...]], number: int, reference: RadarGrid) -> tuple[float, float]:
    """Return samples of the reference between which a subswath is taken: to the middle of what two of them share."""

    def between(near: CosmoImage, far: CosmoImage) -> float:
        end = near.radar_grid.slant_range(near.shape[1] - 1, near.radar_grid.middle_time)
        start = far.radar_grid.slant_range(0, far.radar_grid.middle_time)
        return float(reference.sample((end + start) / 2, reference.middle_time))

    low = -np.inf if number == 0 else between(swaths[number - 1][0], swaths[number][0])
    high = np.inf if number == len(swaths) - 1 else between(swaths[number][0], swaths[number + 1][0])
    return low, high


def _placed(
    bands: tuple[Any, ...], grid: RadarGrid, reference: RadarGrid, looks: tuple[int, int], seam: tuple[float, float]
) -> RadarImage:
    line = float(reference.line(grid.time(0)))
    per_line = grid.line_interval / reference.line_interval
    sample, per_sample = 0.0, 1.0
    if grid is not reference and grid.ground is None:
        sample = float(reference.sample(grid.near_range))
        per_sample = grid.range_spacing / reference.range_spacing
    down, across = looks
    return RadarImage(
        bands,
        (line + per_line * (down - 1) / 2, per_line * down),
        (sample + per_sample * (across - 1) / 2, per_sample * across),
        seam,
    )


def _named(names: list[str], sources: list[Any], quantity: Quantity, scale: str) -> list[tuple[str, str, Any]]:
    title = {"sigma0": "Sigma0", "beta0": "Beta0", "rescaled": "Power"}[quantity]
    end, unit = ("_db", "dB") if scale == "db" else ("", "1")
    return [(f"{title}_{name}{end}", unit, source) for name, source in zip(names, sources, strict=True)]


@dataclass(frozen=True)
class _Take:
    """One band."""

    place: int
    scale: str

    def __call__(self, bands: list[NDArray[np.float32]], _: Any) -> NDArray[np.float32]:
        return to_db(bands[self.place]) if self.scale == "db" else bands[self.place]


class _Part:
    """A part of an image."""

    dtype = np.dtype(np.float32)

    def __init__(self, source: Any, offset: tuple[int, int], shape: tuple[int, int], scale: str) -> None:
        self.source, self.offset, self.shape, self.scale = source, offset, shape, scale

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.float32]:
        windows = [
            slice(start + by, stop + by)
            for (start, stop), by in zip(
                (part.indices(size)[:2] for part, size in zip(key, self.shape, strict=True)), self.offset, strict=True
            )
        ]
        values = np.asarray(self.source[windows[0], windows[1]], np.float32)
        return to_db(values) if self.scale == "db" else values


def _stem(product: Cosmo, quantity: Quantity, config: CosmoConfig) -> str:
    return f"{product.info.name}_{quantity}" + ("_dB" if config.scale == "db" else "")


def _seen(radar: RadarGrid, grid: Grid) -> datetime:
    """When the middle of a map was seen."""
    lon, lat = to_lonlat(grid)(*grid.xy((grid.shape[0] - 1) / 2, (grid.shape[1] - 1) / 2))
    found = float(np.asarray(geo2rdr(radar, lon, lat, 0.0).time).reshape(-1)[0])
    inside = min(max(found, radar.first_time), radar.last_time) if math.isfinite(found) else radar.middle_time
    return radar.epoch + timedelta(seconds=round(inside, 6))
