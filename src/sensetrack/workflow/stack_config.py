"""One tree of settings for a stack of pairs, the same in Python, YAML, JSON and on the command line."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ByteSize, Field, field_validator

from sensetrack.errors import ConfigError
from sensetrack.ot.parameters import Box, Parameters, brief, merged, settings_of
from sensetrack.stack.motion import MotionParameters
from sensetrack.stack.parameters import InversionParameters
from sensetrack.stack.warning import ThresholdParameters

FORMATS = ("cog", "netcdf", "zarr", "ticoi", "itslive", "mintpy", "csv", "gpkg")
"""What a stack can be written as."""
_NOISE = ("one", "per_date", "none")
_LONGEST_CRS = 20_000
"""Characters; well-known text of compound systems has some thousand."""


class PointParameters(Parameters):
    """A place whose series is written."""

    name: str = Field(description="what it is called", min_length=1, max_length=60)
    x: float = Field(
        allow_inf_nan=False, description="in units of the CRS of the output; column of the post without one"
    )
    y: float = Field(allow_inf_nan=False, description="in units of the CRS of the output; row of the post without one")


class StackConfig(Parameters):
    """How pairs become series of dates and one motion. Everything has a default; unknown keys are errors."""

    inversion: InversionParameters = Field(
        default_factory=InversionParameters, description="how pairs become a series of dates"
    )
    motion: MotionParameters = Field(
        default_factory=MotionParameters, description="what the motion consists of beside a velocity"
    )
    thresholds: ThresholdParameters = Field(
        default_factory=ThresholdParameters, description="velocities at which something is to be done"
    )
    image_noise: Literal["one", "per_date", "none"] | float = Field(
        "one",
        description="noise that all pairs of an image share: one: the same for all, found from the series; per_date: "
        "one for each, found too; none; or a number, in the unit of the displacement (m, px)",
    )
    drop_poor: bool = Field(
        default=True, description="leave pairs out that look cloudy: few posts, or ones that most others contradict"
    )
    agreed: bool = Field(
        default=True, description="a match that is found wrong in one component is left out in the other too"
    )
    stable_ground: str | None = Field(
        None,
        description="polygons or mask of ground that did not move: the median of each pair over it is removed; "
        "default: nothing is, because track does",
    )
    unstable_ground: str | None = Field(None, description="polygons or mask of what may move; all else is stable")
    points: str | tuple[PointParameters, ...] | None = Field(
        None,
        description="places whose series and pictures are made: a file of points (CSV, GeoPackage, Shapefile, "
        "GeoJSON), text such as 'name:x,y; name:x,y', or a list of name, x, y; default: the fastest post that moves "
        "for certain, up to two more far from it, and one that stands still",
    )
    crs: str | None = Field(None, description="CRS of the output; default: that of the pairs")
    posting: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="distance between posts of the output, in units of its CRS (m, degrees); default: that of "
        "the pairs",
    )
    bounds: Box | None = Field(
        None, description="what of the ground is stacked: xmin,ymin,xmax,ymax in the CRS of the output; default: all"
    )
    formats: tuple[str, ...] = Field(
        ("cog", "netcdf", "csv"), description="what is written: any of " + ", ".join(FORMATS)
    )
    pictures: bool = Field(
        default=True, description="draw the network, the velocity, and the series and warnings of the points"
    )
    max_memory: ByteSize = Field(
        ByteSize(8 * 10**9), description="memory that pairs and dates may take, such as 4GB; more is an error"
    )

    @field_validator("image_noise", mode="before")
    @classmethod
    def _noise(cls, value: Any) -> Any:
        if value in _NOISE:
            return value
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not (math.isfinite(number) and number >= 0):
            message = f"image_noise must be one of {', '.join(_NOISE)}, or a number of at least 0"
            raise ConfigError(f"{message}, instead got {brief(value)}")
        return number

    @field_validator("points", mode="before")
    @classmethod
    def _places(cls, value: Any) -> Any:
        if isinstance(value, Path):
            return str(value)
        if not isinstance(value, str):
            return value
        listed = [_place(part, number) for number, part in enumerate(value.split(";"), start=1) if part.strip()]
        return value if None in listed or not listed else tuple(listed)

    @field_validator("points")
    @classmethod
    def _distinct(cls, value: Any) -> Any:
        names = [one.name for one in value] if isinstance(value, tuple) else []
        if len(set(names)) < len(names) or value == ():
            twice = next((name for name in names if names.count(name) > 1), None)
            found = "none" if twice is None else f"{brief(twice)} twice"
            raise ConfigError(f"points must have names of their own, instead got {found}")
        return value

    @field_validator("formats", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return tuple(value.split(",")) if isinstance(value, str) else value

    @field_validator("formats")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wanted = tuple(dict.fromkeys(name.strip().lower() for name in value))
        for name in wanted or ("none",):
            if name not in FORMATS:
                raise ConfigError(f"formats must be some of {', '.join(FORMATS)}, instead got {brief(name)}")
        return wanted

    def model_post_init(self, _context: Any, /) -> None:
        """Check what concerns more than one key, so that it fails before anything is read."""
        if self.stable_ground and self.unstable_ground:
            message = "stable_ground and unstable_ground say the same thing twice"
            raise ConfigError(message, advice="give one of them")
        if self.crs is not None:
            from sensetrack.grid import as_crs

            try:
                known = as_crs(self.crs[:_LONGEST_CRS]) is not None
            except ValueError as error:  # PROJ's own is one, too
                raise ConfigError(f"crs must be one that PROJ knows, instead got {brief(self.crs)}") from error
            if not known or len(self.crs) > _LONGEST_CRS:
                raise ConfigError(f"crs must be one that PROJ knows, instead got {brief(self.crs)}")

    @classmethod
    def from_file(cls, path: str | Path, **changes: Any) -> Self:
        """Read a YAML or JSON file (a ``stack.json`` repeats that stack) and change some of its values."""
        return cls.from_dict(merged(settings_of(path), changes))


def _place(text: str, number: int) -> PointParameters | None:
    """Read ``name:x,y`` or ``x,y``; None where it is something else."""
    name, colon, rest = text.rpartition(":")
    parts = rest.split(",")
    try:
        x, y = (float(part) for part in parts)
    except ValueError:
        return None
    return PointParameters(name=name.strip() if colon and name.strip() else f"p{number}", x=x, y=y)
