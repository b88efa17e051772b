"""Sentinel-2 products: bands as images of reflectance, with masks in what is valid."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sensetrack.errors import (
    ConfigError,
    GridMismatchError,
    InputError,
    MissingMaskWarning,
    NameMismatchWarning,
    UnlikePairWarning,
    one_line,
)
from sensetrack.files.archive import open_members
from sensetrack.files.pairing import ProductBand
from sensetrack.files.places import geojson_of_ring, pixels_on
from sensetrack.files.warp import Warped
from sensetrack.grid import Grid, crs_name
from sensetrack.notices import warn
from sensetrack.ot.interfaces import Image
from sensetrack.sentinel.manifest import Safe
from sensetrack.sentinel.s2_masks import Mask, Part, PolygonMask, RasterMask, read_polygons
from sensetrack.sentinel.s2_metadata import BANDS, NAME, read_metadata
from sensetrack.sentinel.s2_pixels import DetectorParts, DetectorPixels, Grey, Reflectance

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from sensetrack.files.archive import Members
    from sensetrack.files.raster import RasterFile
    from sensetrack.sentinel.s2_metadata import S2Metadata

log = logging.getLogger(__name__)

TRACKED = "B08"
"""The band that is tracked unless another is named: 10 m, and texture on rock, ice and plants alike."""
NATIVE = dict.fromkeys(("B02", "B03", "B04", "B08"), 10) | dict.fromkeys(("B01", "B09", "B10"), 60)
"""Pixel size of a band, m; all others have 20."""

Clouds = Literal["keep", "opaque", "all"]
"""Which clouds are not valid: none, those that hide the ground, or thin ones and shadows too."""
_CLOUDS: dict[str, dict[str, Any]] = {
    "MSK_CLOUDS": {"opaque": ("OPAQUE",), "all": ("OPAQUE", "CIRRUS")},
    "MSK_CLASSI": {"opaque": (1,), "all": (1, 2)},  # bands: opaque, cirrus, snow
    "SCL": {"opaque": (9,), "all": (3, 8, 9, 10)},  # high probability; shadow, medium and high, cirrus
    "MSK_CLDPRB": {"opaque": 65, "all": 35},  # percent from which a pixel is one
}
"""What counts as a cloud in each kind of mask."""


@dataclass(frozen=True, eq=False)
class Sentinel2:
    """A Sentinel-2 product, L1C or L2A, of one tile."""

    path: Path
    safe: Safe = field(repr=False)
    metadata: S2Metadata

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the spectral bands whose images are there."""
        return tuple(band for band in BANDS if any(self._image_of(band, size) for size in (0, 10, 20, 60)))

    def band(
        self,
        name: str = TRACKED,
        *,
        resolution: int | None = None,
        clouds: Clouds = "opaque",
        detectors: bool = True,
    ) -> ProductBand:
        """Return a band as an image of reflectance whose pixels are read when they are needed.

        Parameters
        ----------
        name : str
            B01 to B12, B8A, or grey: the luminance of B04, B03 and B02.
        resolution : int, optional
            Pixel size, m: 10, 20 or 60; by default that of the band. Other than delivered, it is resampled once
            (cubic spline, smoothed first where pixels grow).
        clouds : {"keep", "opaque", "all"}
            Which clouds are not valid; see `Clouds`.
        detectors : bool
            Whether pixels outside of the footprints of all detectors are not valid.

        Raises
        ------
        ConfigError
            There is no such band or pixel size.
        InputError
            Its image is missing, empty, damaged, or not where the metadata say.
        """
        names = ("B04", "B03", "B02") if name.lower() == "grey" else (band_name(name),)
        grid = self.metadata.grids.get(resolution or native(names[0]))
        if grid is None:
            sizes = ", ".join(map(str, sorted(self.metadata.grids)))
            raise ConfigError(f"resolution must be one of {sizes} m, instead got {resolution}", path=self.path)
        parts = [self._reflectance(band, grid, clouds, detectors=detectors) for band in names]
        source = parts[0] if len(parts) == 1 else Grey(parts)
        calibration = self.metadata.calibrations[names[0]]
        about = self.about() | {
            "band": names[0] if len(names) == 1 else "grey",
            "clouds": clouds,
            "add_offset": calibration.offset,
            "quantification": calibration.quantification,
        }
        image = Image(
            source, grid.affine, grid.crs, band_names=(about["band"],),
            acquired=self.metadata.sensed, sensor=self.metadata.platform,
        )  # fmt: skip
        return ProductBand(self.path, image, about)

    def image(self, name: str = TRACKED, **options: Any) -> Image:
        """Return the image of a band alone; options as for `band`."""
        return self.band(name, **options).image

    def detectors(self, name: str = TRACKED) -> Any:
        """Return the number (1 to 12) of the detector that saw each pixel; 0: none. (rows, cols), read when sliced.

        None where the product has no footprints of detectors for the band.
        """
        band = band_name(name)
        grid = self.metadata.grids[native(band)]
        found = self._mask_file("MSK_DETFOO", band)
        if found is None:
            return None
        if isinstance(found, list):
            return DetectorParts(found, grid)
        return DetectorPixels(found)

    def _image_of(self, band: str, size: int) -> str | None:
        """Name of an image that is there and not empty."""
        name = self.metadata.images.get((band, size))
        if name is None:
            return None
        sizes = self.safe.members.sizes
        return next((n for n in (f"{name}{end}" for end in (".jp2", ".tif", "")) if sizes.get(n)), None)

    def _require_image(self, band: str, size: int) -> RasterFile:
        found = self._image_of(band, size)
        if found is None:
            raise InputError(self._why_missing(band, size), path=self.path, advice="download it again")
        file = self.safe.open_raster(found)
        grid = self.metadata.grids.get(size or native(band))
        if grid is None or file.grid.shape != grid.shape or (file.grid.georeferenced and not file.grid.same_as(grid)):
            said = "none" if grid is None else f"{grid.shape} px, {crs_name(grid.crs)}, {tuple(grid.transform)[:6]}"
            of = file.grid
            has = f"{of.shape} px" + (f", {crs_name(of.crs)}, {tuple(of.transform)[:6]}" if of.georeferenced else "")
            raise GridMismatchError(f"is not on the grid of its MTD_TL.xml ({has}, instead of {said})", path=file.path)
        return file

    def _why_missing(self, band: str, size: int) -> str:
        sizes = self.safe.members.sizes
        empty = [name for name in sizes if name.startswith("GRANULE/") and "/IMG_DATA/" in name and not sizes[name]]
        if empty:
            return f"holds images that are empty (0 bytes): {', '.join(map(one_line, empty))}"
        if not any("/IMG_DATA/" in name for name in sizes):
            return "holds metadata, but no image (IMG_DATA is missing)"
        name = self.metadata.images.get((band, size), f"{band} of {size} m")
        return f"the image {one_line(name)} is missing"

    def _reflectance(self, band: str, grid: Grid, clouds: Clouds, *, detectors: bool) -> Any:
        sizes = [size for name, size in self.metadata.images if name == band]
        if not sizes:
            if (self.metadata.level, band) == ("L2A", "B10"):
                raise ConfigError("there is no B10 in L2A", path=self.path, advice="choose another band")
            raise InputError(f"the image of {band} is missing", path=self.path, advice="choose another band")
        pixel = round(grid.transform.a)
        # The image that is delivered at this size, else the finest.
        size = pixel if pixel in sizes else 0 if 0 in sizes else min(sizes)
        file = self._require_image(band, size)
        own = self.metadata.grids[size or native(band)]
        masks = self._masks(band, own, clouds, detectors=detectors)
        source = Reflectance(file, self.metadata.calibrations[band], masks)
        if own.same_as(grid):
            return source
        return Warped(source, pixels_on(own, grid.crs, together=True), grid)

    def _masks(self, band: str, grid: Grid, clouds: Clouds, *, detectors: bool) -> tuple[Mask, ...]:
        masks: list[Mask] = []
        if detectors:
            found = self._mask_file("MSK_DETFOO", band)
            if isinstance(found, list):
                masks.append(PolygonMask([part.shape for part in found], grid, inside=False))
            elif found is not None:
                masks.append(RasterMask(found, (1,), _is_zero, grid))
        if clouds != "keep":
            cloudy = self._cloud_mask(clouds, grid)
            if cloudy is not None:
                masks.append(cloudy)
                share = self.metadata.cloud_percentage
                if share >= 1:
                    log.info("%s: clouds, %.0f %% of the tile by its metadata, are not valid", self.path, share)
        return tuple(masks)

    def _cloud_mask(self, clouds: Clouds, grid: Grid) -> Mask | None:
        for size in (20, 60):
            if self._image_of("SCL", size):
                classes = _CLOUDS["SCL"][clouds]
                return RasterMask(self._require_image("SCL", size), (1,), partial(np.isin, test_elements=classes), grid)
        for kind in ("MSK_CLASSI", "MSK_CLDPRB", "MSK_CLOUDS"):
            wanted: Any = _CLOUDS[kind][clouds]
            found = self._mask_file(kind, None)
            if isinstance(found, list):
                return PolygonMask([part.shape for part in found if part.kind in wanted], grid, inside=True)
            if found is not None and kind == "MSK_CLDPRB":
                return RasterMask(found, (1,), partial(np.less_equal, wanted), grid)
            if found is not None:
                return RasterMask(found, wanted, _is_set, grid)
        text = f"{self.path}: no mask of clouds is there, so that none are masked"
        warn(text, MissingMaskWarning, stacklevel=2)
        return None

    def _mask_file(self, kind: str, band: str | None) -> RasterFile | list[Part] | None:
        """Open a mask of the product: the finest of its kind; None where it has none."""
        names = [name for of, where, name in self.metadata.masks if of == kind and where == band]
        there = [name for name in names if self.safe.members.sizes.get(name)]
        if not there:
            if names:
                log.warning("%s: %s, which its metadata name, is missing", self.path, one_line(names[0]))
            return None
        name = self.safe.members.require(min(there))
        if not name.lower().endswith(".gml"):
            return self.safe.open_raster(name)
        self.safe.require_text(name)
        crs = next(iter(self.metadata.grids.values())).crs
        path = self.safe.members.where(name)
        return read_polygons(self.safe.members.read(name), path, None if crs is None else crs.to_epsg())

    def about(self) -> dict[str, Any]:
        """Return what says which product this is, as plain values."""
        data = self.metadata
        return {
            "mission": data.platform,
            "level": data.level,
            "processing_baseline": data.baseline,
            "tile": data.tile,
            "relative_orbit": data.relative_orbit,
            "acquired": data.sensed.isoformat(),
            "product": data.uri or self.path.name,
        }

    def describe(self) -> dict[str, Any]:
        """Return what the metadata say, as plain values."""
        data = self.metadata
        grid = data.grids.get(10) or next(iter(data.grids.values()))
        offsets = {band: data.calibrations[band].offset for band, _ in data.images if band in data.calibrations}
        return (
            {"path": str(self.path)}
            | self.about()
            | {
                "datatake": data.datatake.isoformat(),
                "generated": data.generated.isoformat(),
                "absolute_orbit": data.absolute_orbit,
                "orbit_direction": data.direction,
                "bands": list(self.bands),
                "rows": grid.shape[0],
                "columns": grid.shape[1],
                "crs": crs_name(grid.crs),
                "bounds": list(grid.bounds),
                "footprint": geojson_of_ring(data.footprint),
                "quantification": data.calibrations[TRACKED].quantification,
                "add_offset": min(offsets.values()) if len(set(offsets.values())) == 1 else offsets,
                "sun_zenith_azimuth_deg": _rounded(data.sun),
                "view_zenith_azimuth_deg": {band: _rounded(angles) for band, angles in sorted(data.view.items())},
                "cloud_percentage": data.cloud_percentage,
                "masks": sorted({kind for kind, _, name in data.masks if self.safe.members.sizes.get(name)}),
            }
        )


def _rounded(angles: tuple[float, float]) -> list[float | None]:
    return [None if np.isnan(angle) else round(angle, 3) for angle in angles]


def _is_zero(values: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(values == 0)


def _is_set(values: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(values > 0)


def native(band: str) -> int:
    """Pixel size in which a band was seen, m."""
    return NATIVE.get(band, 20)


def band_name(text: str) -> str:
    """Return the name of a spectral band, such as B04 for b4.

    Raises
    ------
    ConfigError
        There is no such band.
    """
    name = text.strip().upper()
    if len(name) == 2:
        name = f"{name[0]}0{name[1]}"
    if name not in BANDS:
        raise ConfigError(f"band must be one of {', '.join(BANDS)}, instead got {one_line(text)!r}")
    return name


def open_sentinel2(path: str | os.PathLike[str]) -> Sentinel2:
    """Open a Sentinel-2 product: the folder that ends in .SAFE, or the zip it came in, read where it is.

    Raises
    ------
    InputError
        Not such a product, or damaged.
    MetadataError
        Something in its metadata is missing or unreadable.
    """
    return sentinel2_of(open_members(path), path)


def sentinel2_of(members: Members, path: str | os.PathLike[str]) -> Sentinel2:
    """Return the product whose files are given; `path` is what the user called it."""
    safe = Safe.of(members)
    metadata = read_metadata(members)
    for name in members.find(r"MTD_MSIL(1C|2A)\.xml|GRANULE/[^/]+/MTD_TL\.xml"):
        safe.require_text(name)
    product = Sentinel2(members.path, safe, metadata)
    _compare_names(product, os.fspath(path))
    return product


def _compare_names(product: Sentinel2, path: str) -> None:
    """Warn where the name of a product says something else than its metadata, which count."""
    found = NAME.search(path.rstrip("/\\").replace("\\", "/").rpartition("/")[2])
    if found is None:
        return
    data = product.metadata
    true = {
        "platform": f"S2{data.platform[-1]}",
        "level": data.level,
        "start": f"{data.datatake:%Y%m%dT%H%M%S}",
        "baseline": data.baseline.replace(".", ""),
        "orbit": f"{data.relative_orbit:03d}",
        "tile": data.tile,
    }
    unlike = [
        f"{key} {found[key]} (metadata: {value})" for key, value in true.items() if found[key] not in (None, value)
    ]
    if unlike:
        text = f"{one_line(path)}: its name says {', '.join(unlike)}; the metadata count"
        warn(text, NameMismatchWarning, stacklevel=3)


def require_alike(first: Sentinel2, second: Sentinel2, *, force: bool = False) -> None:
    """Require that two products show the same ground from the same place.

    Parameters
    ----------
    first, second : Sentinel2
    force : bool
        Warn only.

    Raises
    ------
    InputError
        They are of different tiles or relative orbits: from another orbit, relief is seen shifted by up to half its
        height error, which would pass for motion.
    """
    checks: tuple[tuple[str, Callable[[S2Metadata], Any], bool], ...] = (
        ("tile", lambda data: data.tile, True),
        ("relative orbit", lambda data: data.relative_orbit, True),
        ("level", lambda data: data.level, False),
    )
    for what, value, refused in checks:
        both = value(first.metadata), value(second.metadata)
        if both[0] == both[1]:
            continue
        text = f"must be of the {what} of the reference, {both[0]}, instead got {both[1]}"
        if refused and not force:
            advice = "choose scenes of one tile and orbit, or say --force to pair them all the same"
            raise InputError(text, path=second.path, advice=advice)
        warn(f"{second.path}: {text}; paired all the same", UnlikePairWarning, stacklevel=2)
