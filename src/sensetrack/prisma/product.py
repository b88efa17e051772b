"""PRISMA products: bands as images of radiance or reflectance on a map, with errors and clouds in what is valid."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import (
    ConfigError,
    InputError,
    MetadataError,
    MissingMaskWarning,
)
from sensetrack.files.hdf5 import Hdf5
from sensetrack.files.pairing import ProductBand
from sensetrack.files.raster import parse_time
from sensetrack.files.warp import Warped
from sensetrack.notices import warn
from sensetrack.ot.interfaces import Image
from sensetrack.prisma.bands import Band, Spectrum, chosen, nearest
from sensetrack.prisma.describe import compare_names, describe
from sensetrack.prisma.georef import SIZES, Place, fit_grid
from sensetrack.prisma.layout import UNITS, Layout, layout_of, root_number, root_text
from sensetrack.prisma.ortho import Ortho, covering
from sensetrack.prisma.pixels import Blank, Clouds, Cloudy, Errors, Pixels, Scale, Stored
from sensetrack.prisma.rpc import Rpc
from sensetrack.prisma.swath import Swath

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from numpy.typing import NDArray

    from sensetrack.grid import Grid
    from sensetrack.prisma.bands import Cube
    from sensetrack.prisma.ortho import Heights

log = logging.getLogger(__name__)

TRACKED = "PAN"
"""The band that is tracked unless another is named: 5 m, six times finer than the cubes."""
CUBES: tuple[Cube, ...] = ("PAN", "VNIR", "SWIR")
_LOOKED = 6
"""Layers of a cube that are looked at to find where nothing was measured."""


@dataclass(frozen=True, eq=False)
class Prisma:
    """A PRISMA product of level L1, L1G, L2B, L2C or L2D."""

    path: Path
    file: Hdf5 = field(repr=False)
    layout: Layout
    spectra: tuple[Spectrum, ...] = field(repr=False)
    """The cubes that are there, panchromatic aside, and their bands."""
    acquired: datetime
    """The middle of the pass, UTC."""
    _found: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False)
    _lock: Any = field(default_factory=threading.RLock, repr=False)

    @property
    def level(self) -> str:
        """L1, L1G, L2B, L2C or L2D."""
        return self.layout.level

    @property
    def cubes(self) -> tuple[Cube, ...]:
        """Which of PAN, VNIR and SWIR are there."""
        return tuple(cube for cube in CUBES if self.layout.group(cube) and self.layout.data(cube) in self.file)

    def bands(self, name: str = "CUBE") -> list[Band]:
        """Return what a name stands for: PAN, VNIR40, 850nm; VNIR, SWIR, or CUBE for both without their overlap."""
        return chosen(name, list(self.spectra))

    def band(
        self,
        name: str | Band = TRACKED,
        *,
        wavelength: float | None = None,
        clouds: Clouds = "opaque",
        errors: bool = True,
        crs: Any = None,
        heights: Heights | None = None,
    ) -> ProductBand:
        """Return a band as an image whose pixels are read when they are needed.

        Levels on a map are as delivered; those along the track are warped to the UTM zone of their middle when they are
        read, resampled once (cubic spline), on pixels of 5 or 30 m that lie on whole multiples of that.

        Parameters
        ----------
        name : str or Band
            PAN; VNIR1 to VNIR66 or SWIR1 to SWIR173, as stored; 850nm.
        wavelength : float, optional
            nm, instead of a name: the nearest band that was measured. `about` says which that is.
        clouds : {"keep", "opaque", "all"}
            Which clouds are not valid; all: also where it is not known. Only L1 has a mask.
        errors : bool
            Whether pixels are not valid that the product says are defective, saturated, or negative after correction.
        crs : any spelling of a CRS, optional
            Map of the levels along the track.
        heights : object with heights_at(lon, lat), optional
            Elevation model (see `sensetrack.files.dem.open_dem`): L2C is orthorectified on it by its rational
            polynomials.

        Raises
        ------
        ConfigError
            There is no such band, or it cannot be orthorectified.
        InputError
            A dataset is missing or damaged.
        MetadataError
            Something that describes them is missing or unreadable.
        """
        band = self._one(name, wavelength)
        source = self._pixels(band, clouds, errors=errors)
        pixels: Any
        if self.layout.gridded:
            if crs is not None or heights is not None:
                raise ConfigError(
                    f"{self.level} is on a map already: crs and heights are for levels along the track", path=self.path
                )
            place = self._place(band.cube)
            grid, how, pixels = place.grid, place.source, source
        elif heights is None:
            swath = self.swath(band.cube, crs)
            grid, how = swath.grid(SIZES[band.cube]), "latitudes and longitudes of the swath"
            pixels = Warped(source, swath.to_pixels, grid)
        else:
            rpc = self._require_rpc(band.cube)
            grid = covering(self.swath(band.cube, crs), rpc, heights, SIZES[band.cube])
            how, pixels = "rational polynomials on an elevation model", Ortho(source, rpc, heights, grid)
        about = self.about() | {
            "band": band.name,
            "wavelength": round(band.wavelength, 4),
            "fwhm": round(band.width, 4),
            "quantity": self.layout.quantity,
            "unit": UNITS[self.layout.quantity],
            "clouds": clouds if self._has_clouds else "no mask",
            "placed_by": how,
        }
        image = Image(pixels, grid.affine, grid.crs, band_names=(band.name,), acquired=self.acquired, sensor="PRISMA")
        return ProductBand(self.path, image, about)

    def image(self, name: str | Band = TRACKED, **options: Any) -> Image:
        """Return the image of a band alone; options as for `band`."""
        return self.band(name, **options).image

    def numbers(self, cube: Cube) -> Stored:
        """Return the stored numbers of a cube as images: ``numbers(cube).read(layer, rows, cols)``."""
        found: Stored = self._once(("numbers", cube), lambda: self._stored(cube, self.layout.data(cube)))
        return found

    def places(self, cube: Cube) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """Latitude and longitude of the pixel centres of an image, (rows, cols), degrees; None where there are none."""
        names = self.layout.places(self.file, cube)
        if names is None:
            return None
        shape = self.numbers(cube).shape
        parts = [self._stored(cube, name, shape) for name in names]
        whole = tuple(slice(0, n) for n in shape)
        lat, lon = (part.read(0, *whole) for part in parts)
        return lat, lon

    def swath(self, cube: Cube = "VNIR", crs: Any = None) -> Swath:
        """Return where the pixels of a level along the track are."""
        from sensetrack.grid import as_crs

        def find() -> Swath:
            places = self.places(cube)
            if places is None:
                raise MetadataError(f"/{self.layout.group(cube)}/Geolocation Fields is missing", path=self.path)
            return Swath.of(*places, self.path, as_crs(crs))

        found: Swath = self._once(("swath", cube, None if crs is None else str(crs)), find)
        return found

    def rpc(self, cube: Cube = "VNIR") -> Rpc | None:
        """Return the rational polynomials of a cube of L2C; None where it has none."""

        def find() -> Rpc | None:
            places, group = self.places(cube), self.layout.group(cube)
            return None if places is None or group is None else Rpc.of(self.file, group, *places)

        found: Rpc | None = self._once(("rpc", cube), find)
        return found

    def grid(self, cube: Cube = "PAN") -> Grid:
        """Return the grid on which a cube is seen: as delivered, or of the map that a swath is warped to."""
        return self._place(cube).grid if self.layout.gridded else self.swath(cube).grid(SIZES[cube])

    def _place(self, cube: Cube) -> Place:
        def find() -> Place:
            places = self.places(cube)
            return fit_grid(self.file, cube, self.numbers(cube).shape, places)

        found: Place = self._once(("place", cube), find)
        return found

    def _require_rpc(self, cube: Cube) -> Rpc:
        found = self.rpc(cube)
        if found is None:
            message = f"has no rational polynomials of {cube}: an elevation model is of no use ({self.level})"
            raise ConfigError(message, path=self.path, advice="only L2C has them; leave the elevation model out")
        return found

    def _once(self, key: tuple[Any, ...], find: Any) -> Any:
        with self._lock:
            if key not in self._found:
                self._found[key] = find()
            return self._found[key]

    def _one(self, name: str | Band, wavelength: float | None) -> Band:
        try:
            if wavelength is not None:
                band = nearest(list(self.spectra), wavelength)
            else:
                band = _only(name, [name] if isinstance(name, Band) else self.bands(name))
        except ConfigError as error:
            error.path = error.path or self.path
            raise
        if band.cube not in self.cubes:
            raise InputError(f"{self.layout.data(band.cube)} is missing", path=self.path)
        return band

    @property
    def _turned(self) -> bool:
        """Whether arrays are stored as [sample, line]."""
        if self.level != "L1G":
            return self.level != "L2D"
        # Readers disagree about L1G: the axis along which latitudes change is that of the rows.
        return bool(self._once(("turned",), self._looks_turned))

    def _looks_turned(self) -> bool:
        for cube in self.cubes:
            names = self.layout.places(self.file, cube)
            if names is not None and len(self.file.array(names[0]).shape or ()) == 2:
                lat = self.file.read(names[0])[::8, ::8].astype(float)
                lat[(lat == 0) | ~(np.abs(lat) <= 90)] = np.nan
                first, last = (np.abs(np.diff(lat, axis=axis)) for axis in (0, 1))
                if np.isfinite(first).any() and np.isfinite(last).any():
                    return bool(np.nanmedian(last) > np.nanmedian(first))
        return False

    def _stored(self, cube: Cube, name: str, shape: tuple[int, int] | None = None) -> Stored:
        stored = Stored(self.file, name, turned=self._turned)
        if shape is not None and stored.shape != shape:
            message = f"{name} must have the rows and columns of {cube}, {shape}, instead got {stored.shape}"
            raise InputError(message, path=self.path)
        return stored

    def _scale(self, cube: Cube) -> Scale:
        title = cube.title()
        if self.level in ("L1", "L1G"):
            factor, offset = self._require_number(f"ScaleFactor_{title}"), root_number(self.file, f"Offset_{title}")
            if factor <= 0:
                raise MetadataError(
                    f"attribute ScaleFactor_{title} must be positive, instead got {factor:g}", path=self.path
                )
            if offset:
                log.warning("%s: Offset_%s is %g and is subtracted; some readers add it", self.path, title, offset)
            return Scale(-(offset or 0.0), 1 / factor)
        low, high = (self._require_number(f"L2Scale{title}{end}") for end in ("Min", "Max"))
        if high <= low:
            message = f"attribute L2Scale{title}Max must be above L2Scale{title}Min, instead got {high:g} and {low:g}"
            raise MetadataError(message, path=self.path)
        return Scale(low, (high - low) / 65535)

    def _require_number(self, key: str) -> float:
        found = root_number(self.file, key)
        if found is None:
            raise MetadataError(f"attribute {key} is missing", path=self.path)
        return found

    def _pixels(self, band: Band, clouds: Clouds, *, errors: bool) -> Pixels:
        data = self.numbers(band.cube)
        blank = self._once(("blank", band.cube), lambda: self._blank(band.cube, data))
        fills = (65535,) if self.level == "L1G" else ()
        return Pixels(
            data, band.index, self._scale(band.cube), blank=blank, errors=self._errors(band.cube) if errors else None,
            clouds=self._clouds(band.cube, clouds), fills=fills,
        )  # fmt: skip

    def _blank(self, cube: Cube, data: Stored) -> Blank:
        layers = [0]
        if cube != "PAN":
            measured = [band.index for s in self.spectra if s.cube == cube for band in s.bands]
            layers = [measured[i] for i in np.unique(np.linspace(0, len(measured) - 1, _LOOKED).astype(int))]
        name = f"{self.layout.hyper}/Geometric Fields/Solar_Zenith_Angle"
        sun = (
            self._stored(cube, name, data.shape)
            if self.layout.gridded and cube != "PAN" and name in self.file
            else None
        )
        return Blank(data, layers, (0, 65535) if self.level == "L1G" else (0,), sun)

    def _errors(self, cube: Cube) -> Errors | None:
        name = self.layout.errors(cube)
        if name not in self.file:
            text = f"{self.path}: {name} is missing, so that pixels with errors count as valid"
            warn(text, MissingMaskWarning, stacklevel=2)
            return None
        data = self.numbers(cube)
        matrix = self._once(("errors", cube), lambda: self._stored(cube, name, data.shape))
        if matrix.layers != data.layers:
            message = f"{name} must have {data.layers or 'no'} layers, instead got {matrix.layers}"
            raise InputError(message, path=self.path)
        return Errors(matrix, self.layout)

    @property
    def _has_clouds(self) -> bool:
        return self.layout.hyper is not None and f"{self.layout.hyper}/Data Fields/Cloud_Mask" in self.file

    def _clouds(self, cube: Cube, clouds: Clouds) -> Cloudy | None:
        if clouds == "keep":
            return None
        share = root_number(self.file, "Cloudy_pixels_percentage") or 0.0
        if not self._has_clouds:
            if clouds == "all" or share >= 1:
                known = f"{share:g} % by its metadata"
                text = f"{self.path}: level {self.level} has no mask of clouds ({known}): none are masked"
                warn(text, MissingMaskWarning, stacklevel=2)
            return None
        mask = self._stored(cube, f"{self.layout.hyper}/Data Fields/Cloud_Mask")
        return Cloudy(mask, self.numbers(cube).shape, clouds)

    def about(self) -> dict[str, Any]:
        """Return what says which product this is, as plain values."""
        return {
            "mission": "PRISMA",
            "level": self.level,
            "product": root_text(self.file, "Product_Name", self.path.name),
            "acquired": self.acquired.isoformat(),
            "processor_version": root_text(self.file, "Processor_Version", "") or None,
        }

    def describe(self) -> dict[str, Any]:
        """Return what the metadata say, as plain values: first the fields of the first release."""
        return describe(self)


def _only(name: str | Band, found: list[Band]) -> Band:
    if len(found) != 1:
        raise ConfigError(f"{name} is {len(found)} bands, not one", advice="say one such as 850nm or VNIR40")
    return found[0]


def open_prisma(path: str | os.PathLike[str]) -> Prisma:
    """Open a PRISMA product: the .he5, or the zip it came in.

    Raises
    ------
    InputError
        Not such a product, or damaged.
    MetadataError
        Something in its metadata is missing or unreadable.
    """
    file = Hdf5.open(path)
    try:
        return prisma_of(file)
    except BaseException:
        file.close()
        raise


def prisma_of(file: Hdf5) -> Prisma:
    """Return the product that an open HDF5 file is."""
    layout = layout_of(file)
    spectra = []
    for cube in CUBES[1:]:
        if layout.hyper is None or layout.data(cube) not in file:
            continue
        node = file.array(layout.data(cube))
        if len(node.shape or ()) != 3:
            message = f"{node.name} must have three axes with the layers in the middle, instead got {node.shape}"
            raise InputError(message, path=file.path)
        spectra.append(Spectrum.of(file, cube, (node.shape or ())[1]))
    times = [parse_time(root_text(file, f"Product_{end}Time"), file.path) for end in ("Start", "Stop")]
    product = Prisma(file.path, file, layout, tuple(spectra), times[0] + (times[1] - times[0]) / 2)
    if not product.cubes:
        raise InputError("holds no cube and no panchromatic image", path=file.path, advice="download it again")
    compare_names(product, times[0])
    return product
