"""One tree of settings for a whole study, and how it is read: paths count from where the file is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from sensetrack.errors import ConfigError
from sensetrack.ot.parameters import Parameters, put, settings_of
from sensetrack.stack.network import REPEAT_DAYS, NetworkParameters
from sensetrack.workflow.config import TrackConfig
from sensetrack.workflow.jobs import Scheduling
from sensetrack.workflow.slc_config import SlcConfig
from sensetrack.workflow.stack_config import StackConfig

_PATHS = (
    "stable_ground", "unstable_ground", "aoi", "prior", "search_limit", "dem", "orbits", "points", "token_file",
    "reference",
)  # fmt: skip
"""Keys, wherever they are, that may hold the name of a file or folder."""
_FILES = ("stable_ground", "unstable_ground", "prior", "search_limit", "dem", "orbits", "token_file")
"""Those of them that can hold nothing else."""


class ScenesConfig(Parameters):
    """Which scenes there are."""

    files: tuple[str, ...] = Field(
        (), description="files, products or patterns such as scenes/*.tif, from where this file is; sorted by time"
    )
    dates: dict[str, str] = Field(
        default_factory=dict,
        description="when a file was taken, by its name, ISO 8601, UTC; where neither it nor its name (20200131 or "
        "2020-01-31 in it) says so",
    )
    exclude: tuple[str, ...] = Field((), description="names, or patterns of names, that are left out")

    @field_validator("files", "exclude", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("dates", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        # YAML reads 2020-01-31 as a date.
        if not isinstance(value, dict):
            return value
        return {str(name): day.isoformat() if hasattr(day, "isoformat") else day for name, day in value.items()}


class FetchConfig(Parameters):
    """Which scenes are searched and fetched, where the network is allowed (--fetch)."""

    kind: Literal["slc", "grd", "burst", "s2"] = Field(
        "slc", description="Sentinel-1 SLC or GRD, its single bursts, or a band of Sentinel-2 L2A (no account needed)"
    )
    aoi: str | None = Field(None, description="area: file of polygons, well-known text, or west,south,east,north")
    query: dict[str, Any] = Field(
        default_factory=dict,
        description="the rest of the search, as options of `sensetrack fetch scenes`: start, end, track, direction, "
        "frames, polarisation, platforms; of Sentinel-2 band, tile, max_clouds",
    )
    count: int | None = Field(None, ge=1, description="how many passes are wanted; default: all")
    which: Literal["earliest", "latest"] = Field("earliest", description="which of them")
    folder: str = Field("fetched", description="folder of the scenes, from where this file is")
    token_file: str | None = Field(None, description="text file with a token of NASA Earthdata")


class PrepareConfig(Parameters):
    """How products become rasters on a map before they are tracked, each once."""

    bands: tuple[str, ...] = Field((), description="bands, such as B08, or polarisations; default: that of the product")
    resolution: float | None = Field(
        None, gt=0, description="pixel; default: that of the product", json_schema_extra={"unit": "m"}
    )
    aoi: str | None = Field(None, description="polygons or mask; what is written covers their bounds")
    clouds: Literal["keep", "opaque", "all"] | None = Field(
        None, description="which clouds of Sentinel-2 and PRISMA are not valid; default: the opaque ones"
    )
    radar: dict[str, Any] = Field(
        default_factory=dict,
        description="settings of Sentinel-1 and COSMO-SkyMed, as options of `sensetrack prepare`: chain, dem, "
        "vertical, orbits, crs, speckle",
    )


class PairsConfig(NetworkParameters):
    """How scenes are paired, and how wide pairs are searched."""

    search_days: float | None = Field(
        default=REPEAT_DAYS,
        gt=0,
        allow_inf_nan=False,
        description="days that the search of the matching is for: a longer pair is searched max(1, ceil(days / this)) "
        "times as wide; null: all alike",
        json_schema_extra={"unit": "days"},
    )


class StudyConfig(Parameters):
    """A whole study: scenes, pairs, matching, time series."""

    output: str = Field("results", description="folder of the results, from where this file is")
    scenes: ScenesConfig = Field(ScenesConfig(), description="which scenes there are")
    fetch: FetchConfig | None = Field(None, description="scenes that are fetched first, where --fetch allows it")
    prepare: PrepareConfig | None = Field(None, description="products become rasters first; default: none does")
    pairs: PairsConfig = Field(PairsConfig(), description="how scenes are paired")
    track: TrackConfig = Field(TrackConfig(), description="matching of images, as in `sensetrack track --config`")
    slc: SlcConfig | None = Field(
        None, description="matching of Sentinel-1 SLCs in radar geometry instead, as in `sensetrack slc --config`"
    )
    stack: StackConfig | None = Field(
        StackConfig(), description="time series, as in `sensetrack stack --config`; null: pairs only"
    )
    scheduling: Scheduling = Field(
        Scheduling(),
        description="where pairs are matched; no result depends on it, and options of the command come first",
    )
    keep: Literal["all", "pairs", "stack"] = Field(
        "all",
        description="what is left when all is done: all; pairs: without prepared scenes, and without pairs that an "
        "earlier version of this study had; stack: without the rasters of pairs, too",
    )

    def model_post_init(self, _context: Any, /) -> None:
        """Check what concerns more than one block, so that it fails before anything is read."""
        if not self.scenes.files and self.fetch is None:
            raise ConfigError("scenes.files must name the scenes", advice="such as files: [scenes/*.tif]")
        if self.keep == "stack" and self.stack is None:
            raise ConfigError("keep: stack leaves nothing where there is no stack", advice="say keep: pairs")
        for name in ("reference_date", "secondary_date"):
            if getattr(self.track, name) is not None:
                raise ConfigError(f"track.{name} is of one pair", advice="say scenes.dates")
        if self.slc is not None:
            if self.track != TrackConfig():
                raise ConfigError("track and slc say how pairs are matched, both", advice="leave one of them out")
            if self.prepare is not None:
                raise ConfigError("slc works on products as they are", advice="leave prepare out")
            if self.slc.search_days is not None:
                raise ConfigError("slc.search_days says the same as pairs.search_days", advice="say the latter")


@dataclass(frozen=True)
class Study:
    """A study and where it is."""

    config: StudyConfig
    base: Path
    """Folder from which its paths count."""

    @property
    def folder(self) -> Path:
        """Of the results."""
        return self.base / self.config.output

    def local(self, value: Any) -> Any:
        """Return plain values with paths below `base` counted from there: a study may move as a whole."""
        if isinstance(value, dict):
            return {key: self.local(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.local(part) for part in value]
        return value.removeprefix(f"{self.base}{os.sep}") if isinstance(value, str) else value


def read_study(path: Path, changes: dict[str, Any] | None = None) -> Study:
    """Read a study, YAML or JSON.

    Parameters
    ----------
    path : Path
    changes : dict, optional
        Values by dotted key, such as ``track.parameters.chip``.

    Raises
    ------
    ConfigError
        The file cannot be read, or says what is not known.
    """
    values = settings_of(path)
    for key, value in (changes or {}).items():
        put(values, key, value)
    base = path.absolute().parent
    try:
        config = StudyConfig.from_dict(_resolved(values, base))
        _require_named(config.to_dict(), base)
    except ConfigError as error:
        error.path = error.path or path
        raise
    except RecursionError as error:  # an alias in --set, for instance
        raise ConfigError("a setting holds itself", path=path) from error
    return Study(config, base)


def _require_named(values: dict[str, Any], base: Path, block: str = "") -> None:
    """Raise ConfigError for a file that is named and is not there: each pair would find that out by itself."""
    for key, value in values.items():
        if isinstance(value, dict):
            _require_named(value, base, f"{block}{key}.")
        elif key in _FILES and isinstance(value, str) and not _is_there(base, value):
            raise ConfigError(f"{block}{key}: there is no {value}", advice="paths count from where the study is")


def _resolved(values: Any, base: Path) -> Any:
    """Return values with the paths in them counted from a folder, where there is such a file."""
    if isinstance(values, list):
        return [_resolved(part, base) for part in values]
    if not isinstance(values, dict):
        return values
    found = {}
    for key, value in values.items():
        if isinstance(value, str) and _may_be_path(key, value) and _is_there(base, value):
            found[key] = str(base / value)
        else:
            found[key] = _resolved(value, base)
    return found


def _may_be_path(key: str, value: str) -> bool:
    return key in _PATHS or (key == "scheduler" and value.endswith(".json"))  # which may be an address, too


def _is_there(base: Path, value: str) -> bool:
    try:
        return bool(value) and (base / value.partition("|")[0]).exists()
    except OSError:  # well-known text is longer than names are
        return False
