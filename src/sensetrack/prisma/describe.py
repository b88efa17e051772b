"""What a PRISMA product says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sensetrack.errors import InputError, NameMismatchWarning, ProductNameError, one_line
from sensetrack.grid import crs_name
from sensetrack.notices import warn
from sensetrack.prisma.georef import SIZES, epsg_text
from sensetrack.prisma.layout import UNITS, root_number, root_text
from sensetrack.prisma.names import parse_name

if TYPE_CHECKING:
    from datetime import datetime

    from sensetrack.files.hdf5 import Hdf5
    from sensetrack.prisma.bands import Cube
    from sensetrack.prisma.product import Prisma

_MASKS = ("Cloud_Mask", "SunGlint_Mask", "LandCover_Mask")


def seed_fields(file: Hdf5) -> dict[str, Any]:
    """Return the fields of the first release, by the names of the attributes; None where one is not there."""
    return {
        "Product_ID": root_text(file, "Product_ID", "") or None,
        "Processing_Level": root_text(file, "Processing_Level", "") or None,
        "Cloudy_pixels_percentage": root_number(file, "Cloudy_pixels_percentage"),
        "Epsg_Code": epsg_text(file),
    }


def describe(product: Prisma) -> dict[str, Any]:
    """Return what the metadata say, as plain values: first the fields of the first release."""
    file, layout = product.file, product.layout
    found = {"path": str(product.path)} | seed_fields(file) | product.about()
    for cube in product.cubes:
        found[cube.lower()] = _describe(product, cube)
    sun = [root_number(file, f"Sun_{angle}_angle") for angle in ("zenith", "azimuth")]
    return found | {
        "quantity": f"{layout.quantity} ({UNITS[layout.quantity]})",
        "sun_zenith_azimuth_deg": [None if angle is None else round(angle, 3) for angle in sun],
        "masks": [name for name in _MASKS if f"{layout.hyper}/Data Fields/{name}" in file],
        "rational_polynomials": any(name.endswith("/Geocoding Model") for name in file.nodes),
    }


def _describe(product: Prisma, cube: Cube) -> dict[str, Any]:
    data = product.numbers(cube)
    found: dict[str, Any] = {"rows": data.shape[0], "columns": data.shape[1], "pixel_m": SIZES[cube]}
    for spectrum in product.spectra:
        if spectrum.cube == cube:
            waves = [band.wavelength for band in spectrum.bands]
            found |= {
                "bands": f"{len(spectrum.bands)} of {spectrum.count} layers",
                "wavelengths_nm": f"{waves[0]:.2f} to {waves[-1]:.2f}",
            }
    try:
        grid = product.grid(cube)
    except InputError as error:
        return found | {"place": error.cause}
    return found | {"crs": crs_name(grid.crs), "bounds": list(grid.bounds)}


def compare_names(product: Prisma, start: datetime) -> None:
    """Warn where the name of a product says something else than its metadata, which count."""
    try:
        name = parse_name(product.path.name)
    except ProductNameError:
        return
    unlike = []
    if name.level.removesuffix("2") != product.level:
        unlike.append(f"level {name.level} (metadata: {product.level})")
    if abs((name.start - start).total_seconds()) > 60:
        unlike.append(f"start {name.start:%Y-%m-%dT%H:%M:%S} (metadata: {start:%Y-%m-%dT%H:%M:%S})")
    if unlike:
        text = f"{one_line(product.path)}: its name says {', '.join(unlike)}; the metadata count"
        warn(text, NameMismatchWarning, stacklevel=3)
