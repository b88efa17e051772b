"""Settings of a decomposition, the same in Python, YAML, JSON and on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field

from sensetrack.errors import ConfigError
from sensetrack.ot.parameters import Box, Parameters, settings_of

Quantity = Literal["velocity", "displacement"]
UNITS: dict[Quantity, str] = {"velocity": "m/day", "displacement": "m"}
"""Of what is decomposed."""


class DecomposeConfig(Parameters):
    """How several looks become east, north and up."""

    quantity: Quantity = Field(
        "velocity",
        description="what is decomposed: velocities (m/day), which pairs of any span share, or displacements (m), of "
        "pairs of one span",
    )
    along_track: bool = Field(
        default=True,
        description="use what radars measure along their flight; else only the slant range, where the ionosphere "
        "writes streaks",
    )
    dem: str | None = Field(
        None, description="file of an elevation model: the motion follows its slope, as one look more; default: none"
    )
    vertical: Literal["ellipsoid", "egm96", "egm2008"] | None = Field(
        None, description="what its heights count from; default: by its CRS, or what product it is"
    )
    slope_reach: float = Field(
        300.0,
        gt=0,
        le=1e5,
        description="distance to all sides over which the slope is taken",
        json_schema_extra={"unit": "m"},
    )
    surface_sigma: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="by how much the motion may leave the ground, as a standard error; default: the median standard "
        "error of all looks",
        json_schema_extra={"unit": "m/day or m"},
    )
    sigma: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="standard error of displacements whose folder has none; default: such a folder is refused",
        json_schema_extra={"unit": "m"},
    )
    worst: float = Field(
        30.0,
        gt=1,
        allow_inf_nan=False,
        description="a direction counts as determined where its standard error is at most so many times that of the "
        "best one",
    )
    crs: str | None = Field(
        None, description="CRS of the map, such as EPSG:3031; default: that of the folder with the widest posts"
    )
    posting: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="distance between posts of the map, in units of its CRS (m, degrees); default: the widest of all "
        "folders",
    )
    bounds: Box | None = Field(
        None,
        description="what of the map is written: xmin,ymin,xmax,ymax in its CRS; default: where two folders overlap",
    )

    def model_post_init(self, _context: Any, /) -> None:
        """Check what concerns more than one key, so that it fails before anything is read."""
        for name in ("vertical", "surface_sigma"):
            if self.dem is None and getattr(self, name) is not None:
                raise ConfigError(f"{name} is about an elevation model, and none is given", advice="give dem, too")

    @property
    def unit(self) -> str:
        """Of what is decomposed."""
        return UNITS[self.quantity]

    @classmethod
    def from_file(cls, path: str | Path, **changes: Any) -> Self:
        """Read a YAML or JSON file (a ``run.json`` repeats that run) and change some of its values."""
        values = settings_of(path)
        return cls.from_dict(values | {key: value for key, value in changes.items() if value is not None})
