"""The names of the first release for PRISMA, and its command: ``python -m sensetrack.prisma.extract``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sensetrack.errors import ConfigError
from sensetrack.prisma.describe import seed_fields
from sensetrack.prisma.product import Prisma, open_prisma

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from sensetrack.ot.interfaces import Image
    from sensetrack.prisma.bands import Band, Spectrum

DataCube = Literal["pan", "vnir", "swir"]
CUBES = ("pan", "vnir", "swir")


def opened(h5: Prisma | str | os.PathLike[str] | Any) -> Prisma:
    """Return a product: as it is, by its path, or by the ``filename`` of an open ``h5py.File``."""
    return h5 if isinstance(h5, Prisma) else open_prisma(getattr(h5, "filename", h5))


def get_prisma_info(h5: Any) -> dict[str, Any]:
    """Return Product_ID, Processing_Level, Cloudy_pixels_percentage and Epsg_Code (None where there is none)."""
    return seed_fields(opened(h5).file)


def get_vnir_bandwidths(h5: Any) -> NDArray[np.float64]:
    """Return (upper edge, lower edge, width at half maximum), nm, of each stored layer of VNIR; NaN: holds nothing."""
    return _bandwidths(opened(h5), "VNIR")


def get_swir_bandwidths(h5: Any) -> NDArray[np.float64]:
    """Return (upper edge, lower edge, width at half maximum), nm, of each stored layer of SWIR; NaN: holds nothing."""
    return _bandwidths(opened(h5), "SWIR")


def _spectrum(product: Prisma, cube: str) -> Spectrum:
    found = next((spectrum for spectrum in product.spectra if spectrum.cube == cube), None)
    if found is None:
        raise ConfigError(f"there is no cube {cube}", path=product.path)
    return found


def _bandwidths(product: Prisma, cube: str) -> NDArray[np.float64]:
    spectrum = _spectrum(product, cube)
    out = np.full((spectrum.count, 3), np.nan)
    for band in spectrum.bands:
        half = band.width / 2
        out[band.index] = band.wavelength + half, band.wavelength - half, band.width
    return out


def get_prisma_dataset_bounds(src: Any, datacube: DataCube = "vnir") -> tuple[float, float, float, float]:
    """Return (left, bottom, right, top) of the pixels of a cube, edges and not centres, m of its map."""
    return opened(src).grid(_cube(datacube)).bounds


def get_band_from_h5dataset_array(ds: Any, b: int) -> NDArray[Any]:
    """Return a layer, from 0, of an array of (rows, layers, columns), as stored."""
    if not 0 <= b < ds.shape[1]:
        raise ConfigError(f"band must be 0 to {ds.shape[1] - 1}, instead got {b}")
    return np.asarray(ds[:, b, :])


def get_prisma_image(h5: Any, datacube: DataCube = "pan", band: int | Iterable[int] | None = None) -> Image:
    """Return an image of radiance or reflectance on a map, of any level.

    Parameters
    ----------
    h5 : Prisma, path-like, or an open h5py.File
    datacube : {"pan", "vnir", "swir"}
    band : int or iterable of int, optional
        Layers from 0, as stored; several give an image of (rows, cols, bands). By default of a cube all that hold
        something. The panchromatic image is one layer, and 0 stands for it.

    Raises
    ------
    ConfigError
        There is no such cube or layer, or the layer holds nothing.
    """
    from sensetrack.files.bands import Stack
    from sensetrack.ot.interfaces import Image

    product = opened(h5)
    bands = bands_of(product, datacube, band)
    images = [product.band(one).image for one in bands]
    if len(images) == 1:
        return images[0]
    first = images[0]
    return Image(
        Stack([image.data for image in images]), first.grid.affine, first.grid.crs,
        band_names=[image.band_names[0] for image in images], acquired=first.acquired, sensor=first.sensor,
    )  # fmt: skip


def bands_of(product: Prisma, datacube: str, band: int | Iterable[int] | None) -> list[Band]:
    """Return the bands that layers of a cube, counted from 0, are."""
    cube = _cube(datacube)
    numbers = None if band is None else [band] if isinstance(band, int) else list(band)
    if cube == "PAN":
        if numbers not in (None, [0]):
            message = f"the panchromatic image is layer 0 alone, instead got {numbers}"
            raise ConfigError(message, path=product.path)
        return product.bands("PAN")
    try:
        spectrum = _spectrum(product, cube)
        if numbers is None:
            return sorted(spectrum.bands, key=lambda one: one.index)
        return [spectrum.at(number) for number in numbers]
    except ConfigError as error:
        error.path = error.path or product.path
        raise


def _cube(datacube: str) -> Any:
    if datacube not in CUBES:
        raise ConfigError(f"datacube must be one of {', '.join(CUBES)}, instead got {datacube!r}")
    return datacube.upper()


if __name__ == "__main__":
    from sensetrack.cli.seed_prisma import main

    main()
