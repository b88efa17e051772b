"""Elevation models for an area, through `dem_stitcher`: one GeoTIFF whose heights count from the ellipsoid."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from sensetrack.acquire.needs import needed, talking_to_themselves
from sensetrack.acquire.network import Transient, patiently
from sensetrack.errors import ConfigError, DownloadError, NoOverlapError
from sensetrack.files.remote import patient_reading
from sensetrack.ot.parameters import Parameters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

_LARGEST = 10.0
"""Degrees that an area may be long: one degree of the finest model has 50 MB."""


class DemQuery(Parameters):
    """Which elevation model is fetched."""

    model: Literal["glo_30", "glo_90", "nasadem", "srtm_v3", "3dep"] = Field(
        "glo_30",
        description="glo_30 and glo_90: Copernicus, 30 m and 90 m; nasadem and srtm_v3: 30 m, between 60 degrees north "
        "and 56 south; 3dep: 10 m, of the United States",
    )
    margin: Annotated[float, Field(ge=0, le=2)] = Field(
        0.1, description="around the area on each side", json_schema_extra={"unit": "degree"}
    )


class Elevation:
    """An elevation model as it was stitched: heights above the ellipsoid, m, NaN where there are none."""

    def __init__(self, heights: NDArray[np.float32], profile: dict[str, Any], model: str) -> None:
        self.heights, self.model = heights, model
        self.affine, self.crs = profile["transform"], profile["crs"]


def fetch_dem(query: DemQuery, bounds: tuple[float, float, float, float]) -> Elevation:
    """Fetch and stitch the tiles of an area.

    Parameters
    ----------
    query : DemQuery
    bounds : (west, south, east, north)
        Longitude and latitude, degrees. Between -180 and 180, unless the area crosses the antimeridian.

    Raises
    ------
    ConfigError
        The area is no box, or a very large one.
    NoOverlapError
        The model has nothing there.
    DownloadError
        A tile cannot be fetched.
    """
    west, south, east, north = bounds
    if not (west < east and south < north and south >= -90 and north <= 90):
        raise ConfigError(f"an area must run from west to east and from south to north, instead got {bounds}")
    if max(east - west, north - south) > _LARGEST:
        raise ConfigError(
            f"an area may be {_LARGEST:g} degrees long, instead got {max(east - west, north - south):.1f}"
        )
    grown = [
        west - query.margin, max(south - query.margin, -90), east + query.margin, min(north + query.margin, 90)
    ]  # fmt: skip
    os.environ.setdefault("TQDM_DISABLE", "1")  # bars of the library's own, which cannot be turned off otherwise
    stitcher = needed("dem_stitcher")
    missing = needed("dem_stitcher.exceptions").NoDEMCoverage

    def attempt() -> tuple[NDArray[np.float32], dict[str, Any]]:
        with patient_reading(), talking_to_themselves():
            try:
                heights, profile = stitcher.stitch_dem(
                    grown, query.model, dst_ellipsoidal_height=True, dst_area_or_point="Point", fill_in_glo_30=True
                )
            except missing:
                message = f"{query.model} has no elevation between {grown[0]:.2f}, {grown[1]:.2f} and {grown[2]:.2f}, "
                raise NoOverlapError(
                    f"{message}{grown[3]:.2f}", advice="choose another model, or another area"
                ) from None
            except OSError as error:  # of rasterio and of requests alike
                raise Transient(f"a tile of {query.model} cannot be read ({type(error).__name__})") from None
            except ValueError as error:
                raise DownloadError(f"{query.model} cannot be stitched: {error}") from None
        return heights, profile

    heights, profile = patiently(f"elevation model {query.model}", attempt)
    log.info("%s: %d x %d posts, heights above the WGS 84 ellipsoid", query.model, *heights.shape[-2:])
    return Elevation(heights.reshape(heights.shape[-2:]), profile, query.model)
