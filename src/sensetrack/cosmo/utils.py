"""The helpers of the first release for COSMO-SkyMed products: footprints, angles, quick looks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sensetrack.cosmo.product import open_cosmo
from sensetrack.errors import ConfigError, MetadataError
from sensetrack.files.atomic import output_folder

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import geopandas as gpd


def footprint_polygon(filename: str | os.PathLike[str]) -> Any:
    """Return the polygon (shapely; longitude and latitude, degrees) of the corners of a product."""
    from shapely import Polygon

    return Polygon(open_cosmo(filename).footprint)


csk_footprint = csg_footprint = footprint_polygon


def mean_incidence_angle_rad(filename: str | os.PathLike[str]) -> float:
    """Return the middle between the incidence angles at near and far range, radians from the vertical."""
    return open_cosmo(filename).mean_incidence_angle()


csk_mean_incidence_angle_rad = csg_mean_incidence_angle_rad = mean_incidence_angle_rad


def shape(filename: str | os.PathLike[str]) -> tuple[int, int]:
    """Return rows and columns of the first image of a product."""
    return open_cosmo(filename).images[0].shape


csk_shape = csg_shape = shape


def footprints_to_geopandas(filenames: Sequence[str | os.PathLike[str]]) -> gpd.GeoDataFrame:
    """Return the footprints of products in longitude and latitude (EPSG:4326), and what each product is.

    Parameters
    ----------
    filenames : sequence of path-like
    """
    from sensetrack.files.vector import polygons_frame

    rows, rings = [], []
    for filename in filenames:
        product = open_cosmo(filename)
        about = product.about()
        rows.append({"path": str(filename)} | {
            key: ", ".join(value) if isinstance(value, list) else value for key, value in about.items()
        })  # fmt: skip
        rings.append(product.footprint)
    return polygons_frame(rows, rings, "EPSG:4326")


def qlk_to_images(
    filenames: Sequence[str | os.PathLike[str]],
    wd: str | os.PathLike[str],
    format: Literal["jpeg", "png"] = "jpeg",  # noqa: A002  as the first release called it
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Write the quick looks of products as pictures, called after the products, and return their paths.

    Parameters
    ----------
    filenames : sequence of path-like
    wd : path-like
        Folder.
    format : {"jpeg", "png"}
    overwrite : bool
        Replace pictures that are there.
    """
    if format not in ("jpeg", "png"):
        raise ConfigError(f"format must be jpeg or png, instead got {format!r}")
    from PIL import Image

    pictures = {}
    for filename in filenames:
        product = open_cosmo(filename)
        picture = product.quicklook()
        if picture is None:
            raise MetadataError("holds no quick look (QLK)", path=filename)
        pictures[f"{product.info.name}_QLK.{'jpg' if format == 'jpeg' else 'png'}"] = picture
    folder = Path(wd).absolute()
    with output_folder(folder, list(pictures), overwrite=overwrite, inputs=[Path(f) for f in filenames]) as part:
        for name, picture in pictures.items():
            Image.fromarray(picture).save(part / name, format)
    return [folder / name for name in pictures]


def visit_h5(filename: str | os.PathLike[str]) -> dict[str, Any]:
    """Return names, shapes, types and attributes of everything in an HDF5; the first release printed it."""
    found = open_cosmo(filename).structure()
    if found is None:
        raise ConfigError("is no HDF5", path=filename)
    return found


def show_dataset_attr(filename: str | os.PathLike[str], name: str = "") -> dict[str, Any]:
    """Return the attributes of a group or a dataset of the HDF5 of a product, such as S01/SBI."""
    entry = visit_h5(filename).get(f"/{name.strip('/')}")
    if entry is None:
        raise MetadataError(f"has no {name}", path=filename)
    attributes: dict[str, Any] = entry["attributes"]
    return attributes
