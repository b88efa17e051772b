"""Simulated COSMO-SkyMed products that lie on a map (GEC, GTC), and deliveries as GeoTIFF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from sensetrack.cosmo import simulate
from sensetrack.cosmo.simulate import CosmoPlan, Simulated
from sensetrack.cosmo.simulate_attributes import image_attributes, root_attributes, swath_attributes
from sensetrack.files.hdf5_output import Item, write_hdf5
from sensetrack.files.plain_tiff import PlainTiff

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MapPlan:
    """The map of a product."""

    shape: tuple[int, int] = (180, 150)
    east: float = 682_000.0
    """Easting of the left edge, m."""
    north: float = 4_931_000.0
    """Northing of the upper edge, m."""
    row: float = 2.0
    """Height of a pixel, m."""
    column: float = 2.5
    """Width of a pixel, m."""
    zone: int = 32
    south: bool = False
    level: Literal["GEC", "GTC"] = "GTC"
    spelled: str = "UTM"
    """How the projection is called."""
    corners: Literal["corner", "centre", "one"] = "corner"
    """What the annotated corners are of the outermost pixels; or corners of pixels, of which only one is annotated."""


def simulate_on_map(
    folder: Path,
    plan: CosmoPlan,
    place: MapPlan,
    backscatter: Callable[[Floats, Floats], Any],
    *,
    seed: int = 0,
    looks: int = 4,
) -> Simulated:
    """Write a product on a map as HDF5.

    Parameters
    ----------
    folder : Path
    plan : CosmoPlan
        Of the acquisition.
    place : MapPlan
    backscatter : callable
        ``(easting, northing) -> sigma0``, linear; NaN: nothing was seen, which is 0 in the product.
    seed, looks : int
        Of the speckle.
    """
    rows, cols = (np.arange(size) + 0.5 for size in place.shape)
    east, north = np.meshgrid(place.east + cols * place.column, place.north - rows * place.row)
    sigma0 = np.asarray(backscatter(east, north), np.float64)
    grain = np.random.default_rng([seed, 71]).gamma(looks, 1 / looks, place.shape)
    power = sigma0 * grain / np.sin(np.radians(simulate.REFERENCE_ANGLE)) * simulate.amplitude() ** 2
    data = np.nan_to_num(np.clip(np.rint(np.sqrt(power)), 1, 65535)).astype(np.uint16)
    csk = plan.generation == "CSK"
    image = Item(image_attributes(plan, plan.frame) | _corners(place), data)
    items = {"": Item(_root(plan, place)), "S01": Item(swath_attributes(plan, "HH"))}
    items |= {f"S01/{'SBI' if csk else 'IMG'}": image}
    if place.level == "GTC":
        items["GIM"] = Item({"Line Spacing": place.row}, np.full(place.shape, 33, np.uint8))
    name = plan.name.replace(f"_{plan.level}_", f"_{place.level}_")
    path = write_hdf5(folder / f"{name}.h5", items)
    return Simulated(path, plan, items)


def _root(plan: CosmoPlan, place: MapPlan) -> dict[str, Any]:
    return root_attributes(plan) | {
        "Product Type": f"{place.level}_B",
        "Projection ID": place.spelled,
        "Map Projection Zone": np.int16(place.zone),
        "Map Projection Centre": np.array([0.0, 6.0 * place.zone - 183.0]),
        "Map Projection False East-North": np.array([5e5, 1e7 if place.south else 0.0]),
        "Map Projection Scale Factor": 0.9996,
        "Lines Order": "NORTH-SOUTH",
        "Columns Order": "WEST-EAST",
    }


def _corners(place: MapPlan) -> dict[str, Any]:
    inset = 0.5 if place.corners == "centre" else 0.0
    west, top = place.east + inset * place.column, place.north - inset * place.row
    right = place.east + (place.shape[1] - inset) * place.column
    bottom = place.north - (place.shape[0] - inset) * place.row
    found = {"Line Spacing": place.row, "Column Spacing": place.column, "Top Left East-North": np.array([west, top])}
    return found if place.corners == "one" else found | {"Bottom Right East-North": np.array([right, bottom])}


def deliver_as_tiff(folder: Path, product: Simulated) -> Path:
    """Write a product again as GeoTIFFs with their attributes in an XML beside them, and return the XML."""
    stem = product.path.stem
    for name, item in product.items.items():
        if item.data is not None and item.data.ndim >= 2 and item.data.dtype.kind in "iu":
            data = item.data.astype(np.uint16) if item.data.dtype.kind == "u" else item.data
            tiff = PlainTiff(
                folder / f"{stem}.{name.replace('/', '.')}.tif",
                data.shape[:2],
                "cint16" if data.ndim == 3 else "uint16",
            )
            with tiff:
                tiff.write(data)
    path = folder / f"{stem}.attribs.xml"
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<HDF5Attributes>", '<_ROOT_ Type="Group">']
    lines += _lines("", product.items)
    path.write_text("\n".join([*lines, "</_ROOT_>", "</HDF5Attributes>", ""]), encoding="utf-8")
    return path


def _lines(group: str, items: dict[str, Item]) -> list[str]:
    lines = [
        f"<Attribute Name={quoteattr(key)}>{escape(_text(value))}</Attribute>"
        for key, value in items[group].attributes.items()
    ]
    for name, item in items.items():
        parent, _, own = name.rpartition("/")
        if name and parent == group:
            lines.append(f'<{own} Type="{"Group" if item.data is None else "Dataset"}">')
            lines += _lines(name, items)
            lines.append(f"</{own}>")
    return lines


def _text(value: Any) -> str:
    """Numbers with a blank after each, as deliveries have them."""
    if isinstance(value, str):
        return value
    return "".join(f"{number!r} " for number in np.atleast_1d(np.asarray(value)).ravel().tolist())
