"""Search of Sentinel-1 scenes and bursts in the archive of the Alaska Satellite Facility, through `asf_search`."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from sensetrack.acquire.found import SceneFound
from sensetrack.acquire.needs import needed, talking_to_themselves
from sensetrack.acquire.network import Remote, Transient, patiently
from sensetrack.errors import ConfigError, DownloadError, one_line
from sensetrack.ot.parameters import Parameters

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

log = logging.getLogger(__name__)

_PLATFORMS = {"S1A": "Sentinel-1A", "S1B": "Sentinel-1B", "S1C": "Sentinel-1C", "S1D": "Sentinel-1D"}
_MOST = 5000
"""Scenes of one search: more is a mistake in the question."""


class SceneQuery(Parameters):
    """What scenes are looked for."""

    kind: Literal["slc", "grd", "burst"] = Field("slc", description="product: slc, grd, or the single bursts of SLCs")
    start: datetime | None = Field(None, description="earliest time, such as 2024-01-01; UTC")
    end: datetime | None = Field(None, description="latest time; UTC")
    frames: tuple[int, ...] = Field((), description="ESA frame numbers, such as 830,834")
    track: Annotated[int, Field(ge=1, le=175)] | None = Field(None, description="relative orbit")
    orbit: Annotated[int, Field(ge=1)] | None = Field(None, description="absolute orbit")
    direction: Literal["ascending", "descending"] | None = Field(None, description="of the orbit; default: both")
    polarisation: str | None = Field(None, description="VV, VH, HH or HV, which scenes must have; default: any")
    platforms: tuple[str, ...] = Field((), description="any of S1A, S1B, S1C, S1D; default: all")

    @field_validator("frames", "platforms", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("platforms")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name.upper() not in _PLATFORMS:
                raise ConfigError(f"platform must be one of {', '.join(_PLATFORMS)}, instead got {one_line(name)}")
        return tuple(name.upper() for name in value)

    @field_validator("polarisation")
    @classmethod
    def _polarisation(cls, value: str | None) -> str | None:
        if value is not None and value.upper() not in {"VV", "VH", "HH", "HV"}:
            raise ConfigError(f"polarisation must be VV, VH, HH or HV, instead got {one_line(value)}")
        return value and value.upper()

    @field_validator("start", "end")
    @classmethod
    def _utc(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def search(query: SceneQuery, area: BaseGeometry | None) -> list[SceneFound]:
    """Ask the archive for scenes, in the order of time.

    Parameters
    ----------
    query : SceneQuery
    area : shapely geometry, optional
        Longitude and latitude, degrees; scenes must touch it.

    Raises
    ------
    ConfigError
        Neither area, frames, track nor orbit is given.
    DownloadError
        The archive does not answer, or does not understand.
    """
    if area is None and not query.frames and query.track is None and query.orbit is None:
        raise ConfigError("a search needs an area, frames, a track or an orbit", advice="say --aoi")
    asf = needed("asf_search")
    asf.REPORT_ERRORS = False  # it would tell the archive about its users' questions
    what = "the ASF archive"

    def attempt() -> Any:
        try:
            with talking_to_themselves():
                return asf.search(**_options(asf, query, area), maxResults=_MOST, session=asf.ASFSession())
        except asf.ASFSearch5xxError as error:
            raise Transient(one_line(error)) from None
        except (asf.ASFSearch4xxError, ValueError, KeyError) as error:
            raise DownloadError(f"{what} does not understand the search: {one_line(error)}") from None
        except asf.ASFSearchError as error:
            raise Transient(one_line(error)) from None
        except OSError as error:  # requests' errors are OSErrors; their texts hold addresses
            raise Transient(f"no connection ({type(error).__name__})") from None

    results = patiently(what, attempt)
    if not results.searchComplete:
        raise DownloadError(f"{what} knows more than {_MOST} such scenes", advice="ask for a shorter time or less area")
    found = [scene for result in results if (scene := _scene(result)) is not None]
    return sorted(found, key=lambda scene: (scene.start, scene.name))


def _options(asf: Any, query: SceneQuery, area: BaseGeometry | None) -> dict[str, Any]:
    options: dict[str, Any] = {
        "start": query.start, "end": query.end, "relativeOrbit": query.track, "absoluteOrbit": query.orbit,
        "frame": list(query.frames) or None, "intersectsWith": None if area is None else area.wkt,
        "flightDirection": query.direction and query.direction.upper(),
        "platform": [_PLATFORMS[name] for name in query.platforms or _PLATFORMS],
    }  # fmt: skip
    if query.kind == "burst":
        options |= {"dataset": asf.DATASET.SLC_BURST, "polarization": query.polarisation}
        del options["platform"]
    else:
        options["processingLevel"] = {"slc": ["SLC"], "grd": ["GRD_HD", "GRD_HS", "GRD_MD", "GRD_MS"]}[query.kind]
        both = {"VV": ["VV", "VV+VH"], "VH": ["VV+VH"], "HH": ["HH", "HH+HV"], "HV": ["HH+HV"]}
        options["polarization"] = both[query.polarisation] if query.polarisation else None
    return {name: value for name, value in options.items() if value is not None}


def _scene(result: Any) -> SceneFound | None:
    """Return what the archive says of a scene; None where a field that everything stands on is missing."""
    said = result.properties
    try:
        start, stop = (_moment(said[name]) for name in ("startTime", "stopTime"))
        name, url = str(said["sceneName"]), str(said["url"])
    except (KeyError, TypeError, ValueError):
        log.warning("the archive lists a scene without name, address or times; it is left out")
        return None
    from shapely import to_wkt
    from shapely.geometry import shape

    platform = name[:3] if name[:2] == "S1" and name[2] != "_" else "S1" + str(said.get("platform", "?"))[-1]
    size, more = said.get("bytes"), said.get("additionalUrls") or [None]
    return SceneFound(
        name, platform, start, stop, url,
        size=_size(size), md5=said.get("md5sum"), track=said.get("pathNumber"), frame=said.get("frameNumber"),
        orbit=said.get("orbit"), direction=str(said.get("flightDirection") or "").lower() or None,
        polarisation=said.get("polarization"), footprint=to_wkt(shape(result.geometry)) if result.geometry else None,
        extra=more[0],
    )  # fmt: skip


def _size(value: Any) -> int | None:
    """Bytes as a number; the archive says them as one, as text, or by file."""
    if isinstance(value, dict):
        value = next((one.get("bytes") for one in value.values() if isinstance(one, dict)), None)
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def files_of(scene: SceneFound) -> list[Remote]:
    """Return the files of a scene: one archive, or image and metadata of a burst."""
    if scene.extra is None:
        return [Remote(scene.url, f"{scene.name}.zip", scene.size, scene.md5, b"PK")]
    return [Remote(scene.url, f"{scene.name}.tiff"), Remote(scene.extra, f"{scene.name}.xml")]
