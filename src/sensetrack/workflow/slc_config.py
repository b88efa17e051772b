"""One tree of settings for two Sentinel-1 SLCs, the same in Python, YAML, JSON and on the command line."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ByteSize, Field, field_validator

from sensetrack.errors import ConfigError
from sensetrack.ot.parameters import Box, Parameters, PxPair, both, brief, settings_of
from sensetrack.sar.offsets import SlcOffsets

_OWN = ("chip", "step", "search", "coherent", "compat")
"""Parameters of `SlcOffsets` that have keys of their own here."""
MEASURED_BY = (*_OWN, "engine", "parameters", "search_days", "swaths", "polarization", "aoi", "vertical", "height")
"""Keys that change what is measured in a burst, besides the files; what finished bursts are kept under."""


class SlcConfig(Parameters):
    """How the motion between two Sentinel-1 SLCs is measured. Pairs are (rows, columns): azimuth, slant range."""

    swaths: tuple[str, ...] | None = Field(None, description="swaths, such as iw2, or 2; default: all that both have")
    polarization: str | None = Field(None, description="VV, VH, HH or HV; default: the co-polarised one of both")
    aoi: Any = Field(
        None,
        description="area of interest: file of polygons, GeoJSON, well-known text, or west,south,east,north; bursts "
        "that show nothing of it are left out, and posts around it are flagged",
    )
    dem: str | None = Field(None, description="file of an elevation model; default: one height, which is not the truth")
    vertical: Literal["ellipsoid", "egm96", "egm2008"] | None = Field(
        None,
        description="what the heights of the elevation model count from; default: by its CRS, or what product it is",
    )
    height: float | None = Field(
        None,
        description="without an elevation model: the height of all ground above the ellipsoid; default: what the "
        "reference says of its middle",
        json_schema_extra={"unit": "m"},
    )
    orbits: str | None = Field(None, description="orbit file (EOF), or a folder of them; default: annotated orbit")
    chip: PxPair = Field((64, 256), description="size of a chip", json_schema_extra={"unit": "px"})
    step: PxPair = Field((8, 44), description="distance between posts", json_schema_extra={"unit": "px"})
    search: PxPair = Field(
        (10, 30),
        description="half width of the search around where orbits and heights say still ground is",
        json_schema_extra={"unit": "px"},
    )
    search_days: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="days that `search` is for: a longer pair is searched as many times as wide, rounded up; default: "
        "the same search for every pair",
        json_schema_extra={"unit": "days"},
    )
    coherent: bool = Field(
        default=True,
        description="match the complex images where speckle is alike, amplitudes elsewhere; else amplitudes",
    )
    compat: Literal["isce2"] | None = Field(None, description="measure as ampcor of ISCE2 does")
    engine: Literal["native", "isce2"] = Field(
        "native",
        description="what co-registers and matches: this program, or the ISCE2 on this machine (amplitudes, merged)",
    )
    parameters: dict[str, Any] = Field(default_factory=dict, description="other parameters of the matching")
    min_score: float | None = Field(None, ge=0, le=1, description="score below which a post is flagged; default: none")
    snr: float | None = Field(None, ge=0, description="SNR below which a post is flagged; default: none")
    outlier_threshold: float = Field(2.0, gt=0, description="normalised median test: limit")
    outlier_noise: float = Field(0.2, gt=0, description="normalised median test: scatter always accepted, px")
    median: int = Field(
        1, ge=1, le=99, description="width of a median over posts that leaves flagged ones out, odd; 1: none"
    )
    stable_ground: str | None = Field(None, description="file of polygons of ground that did not move")
    unstable_ground: str | None = Field(None, description="file of polygons of what may move; all else is stable")
    bias: Literal["median", "plane", "none"] = Field(
        "plane", description="what is removed over stable ground: errors of orbits and of the air are smooth"
    )
    assumption: Literal["level", "surface"] = Field(
        "level",
        description="what makes two measured directions a motion on the ground: it stays at its height, or follows the "
        "slope of the elevation model",
    )
    crs: str | None = Field(
        None,
        description="CRS of the map, such as EPSG:3031; default: UTM zone, or polar stereographic beyond 80 degrees",
    )
    posting: float | None = Field(
        None,
        gt=0,
        le=1e5,
        allow_inf_nan=False,
        description="pixel of the map; default: the distance between posts on the ground",
        json_schema_extra={"unit": "m"},
    )
    clip: Box | None = Field(
        None,
        description="what of the map is written: xmin,ymin,xmax,ymax in its CRS; default: all, or the area of interest",
    )
    isce_layout: bool = Field(default=False, description="write the files of ISCE2 too, into isce/")
    fetch: bool = Field(
        default=False, description="fetch orbit files and the elevation model where they are not given; else no network"
    )
    force: bool = Field(
        default=False,
        description="go on, with a warning, where no orbit file fits, or heights are missing for a part of the ground",
    )
    max_memory: ByteSize = Field(
        ByteSize(2 * 10**9), description="memory for the work on a burst, such as 2GB; fewer workers keep within it"
    )

    @field_validator("chip", "step", "search", mode="before")
    @classmethod
    def _pair(cls, value: Any) -> Any:
        return both(value)

    @field_validator("swaths", mode="before")
    @classmethod
    def _swaths(cls, value: Any) -> Any:
        if value is None:
            return None
        names = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
        found = [re.fullmatch(r"(iw|ew)?([1-5])", str(name).strip().lower()) for name in names]
        if not found or None in found:
            message = f"swaths must be some of iw1, iw2, iw3 (or 1, 2, 3), instead got {brief(value)}"
            raise ConfigError(message)
        return tuple(dict.fromkeys(f"{one[1] or 'iw'}{one[2]}" for one in found if one))

    @field_validator("polarization", mode="before")
    @classmethod
    def _letters(cls, value: Any) -> Any:
        if value is None:
            return None
        if not re.fullmatch(r"\s*[vh]{2}\s*", str(value), re.IGNORECASE):
            message = f"polarization must be VV, VH, HH or HV, instead got {brief(value)}"
            raise ConfigError(message)
        return str(value).strip().upper()

    @field_validator("aoi", mode="before")
    @classmethod
    def _area(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return ",".join(str(part) for part in value)
        return str(value) if isinstance(value, Path) else value

    @field_validator("median")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ConfigError(f"median must be odd, so that it has a middle, instead got {value}")
        return value

    def model_post_init(self, _context: Any, /) -> None:
        """Check what concerns more than one key, so that it fails before anything is read."""
        self.matching(0.0)
        if self.dem is not None and self.height is not None:
            raise ConfigError("dem and height say the same thing twice", advice="give one of them")
        if self.stable_ground and self.unstable_ground:
            message = "stable_ground and unstable_ground say the same thing twice"
            raise ConfigError(message, advice="give one of them")
        if self.dem is None and self.vertical is not None:
            raise ConfigError("vertical is about an elevation model, and none is given", advice="give dem, too")

    def matching(self, days: float) -> SlcOffsets:
        """Return the parameters of the matching of a pair that many days apart."""
        for name in _OWN:
            if name in self.parameters:
                raise ConfigError(f"{name} has a key of its own", advice=f"say {name}, not parameters.{name}")
        times = 1 if self.search_days is None else max(1, math.ceil(abs(days) / self.search_days - 1e-3))
        search = (self.search[0] * times, self.search[1] * times)
        own = {name: getattr(self, name) for name in _OWN} | {"search": search}
        return SlcOffsets.from_dict(own | self.parameters)

    @classmethod
    def from_file(cls, path: str | Path, **changes: Any) -> Self:
        """Read a YAML or JSON file (a ``run.json`` repeats that run) and change some of its values."""
        values = settings_of(path)
        given = {key: value for key, value in changes.items() if value is not None}
        stored = values.get("parameters") or {}
        if isinstance(stored, dict):  # else the check of the whole says so
            given["parameters"] = stored | given.get("parameters", {})
        return cls.from_dict(values | given)
