"""Search of Sentinel-2 scenes in a STAC catalogue of cloud-optimised GeoTIFFs, through `pystac_client`; no account."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator

from sensetrack.acquire.found import SceneFound
from sensetrack.acquire.needs import needed, talking_to_themselves
from sensetrack.acquire.network import Remote, Transient, patiently
from sensetrack.errors import ConfigError, DownloadError, one_line
from sensetrack.ot.parameters import Parameters

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

CATALOGUE = "https://earth-search.aws.element84.com/v1"
_COLLECTION = "sentinel-2-l2a"
_MOST = 2000
BANDS = {
    "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1", "B06": "rededge2", "B07": "rededge3", "B08": "nir",
    "B8A": "nir08", "B11": "swir16", "B12": "swir22",
}  # fmt: skip
"""Bands, and what the catalogue calls them."""


class OpticalQuery(Parameters):
    """What Sentinel-2 scenes are looked for."""

    start: datetime | None = Field(None, description="earliest time; UTC")
    end: datetime | None = Field(None, description="latest time; UTC")
    band: str = Field("B08", description="band that is fetched: " + ", ".join(BANDS))
    tile: str | None = Field(None, description="tile, such as 32TLR; default: all that touch the area")
    max_clouds: Annotated[float, Field(ge=0, le=100)] = Field(
        20, description="clouds in the scene, at most", json_schema_extra={"unit": "%"}
    )

    @field_validator("band")
    @classmethod
    def _known(cls, value: str) -> str:
        if value.upper() not in BANDS:
            raise ConfigError(f"band must be one of {', '.join(BANDS)}, instead got {one_line(value)}")
        return value.upper()


def search_optical(query: OpticalQuery, area: BaseGeometry) -> list[SceneFound]:
    """Ask the catalogue for scenes, in the order of time; the address of each is that of the band.

    Raises
    ------
    DownloadError
        The catalogue does not answer, or does not understand.
    """
    client, exceptions = needed("pystac_client"), needed("pystac_client.exceptions")
    rules: dict[str, Any] = {"eo:cloud_cover": {"lte": query.max_clouds}}
    if query.tile is not None:
        rules["grid:code"] = {"eq": f"MGRS-{query.tile.upper().removeprefix('T')}"}
    period = None if query.start is None and query.end is None else (query.start, query.end)
    what = "the Sentinel-2 catalogue"

    def attempt() -> list[Any]:
        try:
            with talking_to_themselves():
                catalogue = client.Client.open(CATALOGUE, timeout=(20, 60))
                found = catalogue.search(
                    collections=[_COLLECTION], intersects=area, datetime=period, query=rules, max_items=_MOST + 1
                )
                return list(found.items_as_dicts())
        except exceptions.APIError as error:
            code = getattr(error, "status_code", None)
            if code is None or code >= 500 or code == 429:
                raise Transient(f"HTTP {code}" if code else "no connection") from None
            raise DownloadError(f"{what} does not understand the search: HTTP {code}") from None
        except OSError as error:
            raise Transient(f"no connection ({type(error).__name__})") from None

    items = patiently(what, attempt)
    if len(items) > _MOST:
        raise DownloadError(f"{what} knows more than {_MOST} such scenes", advice="ask for a shorter time or less area")
    scenes = [scene for item in items if (scene := _scene(item, query.band)) is not None]
    return sorted(scenes, key=lambda scene: (scene.start, scene.name))


def _scene(item: dict[str, Any], band: str) -> SceneFound | None:
    said = item.get("properties", {})
    asset = item.get("assets", {}).get(BANDS[band], {})
    url, moment = asset.get("href"), said.get("datetime")
    if not url or not moment or not str(url).startswith("https://"):
        return None
    taken = datetime.fromisoformat(moment)
    taken = taken.replace(tzinfo=UTC) if taken.tzinfo is None else taken.astimezone(UTC)
    platform = str(said.get("platform", "sentinel-2?"))
    orbit = said.get("sat:relative_orbit")
    return SceneFound(
        f"{item['id']}_{band}", f"S2{platform[-1].upper()}", taken, taken, url,
        size=asset.get("file:size"), track=orbit, polarisation=None,
    )  # fmt: skip


def band_of(scene: SceneFound) -> list[Remote]:
    """Return the file of a scene."""
    return [Remote(scene.url, f"{scene.name}.tif", scene.size)]
