"""One tree of settings for a tracking job, the same in Python, YAML, JSON and on the command line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ByteSize, Field, field_validator

from sensetrack.errors import ConfigError
from sensetrack.ot.algorithms import get_algorithm
from sensetrack.ot.image_processing import Preprocessor, get_preprocessor
from sensetrack.ot.interfaces import OTAlgorithm
from sensetrack.ot.parameters import Parameters, brief, settings_of
from sensetrack.products.formats import FORMATS, known_formats


class TrackConfig(Parameters):
    """How a pair is tracked. Everything has a default; unknown keys are errors."""

    algorithm: str = Field("ncc", description="name of the algorithm")
    parameters: dict[str, Any] = Field(default_factory=dict, description="parameters of the algorithm")
    preprocess: str = Field("equalize", description="filter before matching; 'none' for none")
    preprocess_parameters: dict[str, Any] = Field(default_factory=dict, description="parameters of the filter")
    band: int | str | None = Field(
        None,
        description="band of both images: a number from 1, a name such as B04, or 'grey' for the luminance of red, "
        "green and blue, a polarisation of Sentinel-1, PAN, VNIR40 or 850nm of PRISMA; by default the first, B08 of "
        "Sentinel-2, PAN of PRISMA",
    )
    clouds: Literal["keep", "opaque", "all"] = Field(
        "opaque",
        description="which clouds of a Sentinel-2 or PRISMA product are not valid; 'all' with thin ones and shadows",
    )
    chain: str | None = Field(
        None,
        description="chain that brings Sentinel-1 products to a map, such as S1_IW_SLC_DFLT; by default the one of "
        "their kind without speckle filter, which costs correlation",
    )
    dem: str | None = Field(None, description="elevation model on which Sentinel-1 products are brought to a map")
    vertical: Literal["ellipsoid", "egm96", "egm2008"] | None = Field(
        None, description="what the heights of that model are above; by default by what it is, and said"
    )
    orbits: str | None = Field(None, description="orbit file (EOF) of Sentinel-1 products, or a folder of them")
    crs: str | None = Field(None, description="CRS of the map of Sentinel-1 products; by default the UTM zone")
    resolution: float | None = Field(
        None, gt=0, description="pixel of the map of Sentinel-1 products, m; by default 10 of a GRD, 15 of an SLC"
    )
    force: bool = Field(default=False, description="pair products of different tiles or orbits all the same")
    nodata: float | None = Field(None, description="value without measurement; overrides what the files declare")
    warp: bool = Field(default=True, description="resample the secondary where its grid differs; else that is an error")
    coregister: Literal["none", "shift", "similarity", "affine"] = Field(
        "none",
        description="mapping, found from the images on stable ground, by which the secondary is brought onto the "
        "reference; 'none' for none",
    )
    gross: Literal["auto", "none"] | tuple[int, int] = Field(
        "auto",
        description="whole-image shift to search around, (rows, cols) px; auto finds one where it is needed",
    )
    prior: str | None = Field(
        None,
        description="raster of offsets, displacements or velocities to look around, instead of a whole-image shift",
    )
    search_limit: str | None = Field(
        None,
        description="raster of half widths (px, m, or m/day), or one band for both directions: how far from there, and "
        "within the search of the algorithm, the offset of each post lies",
    )
    stable_ground: str | None = Field(None, description="polygons or mask of ground that did not move")
    unstable_ground: str | None = Field(None, description="polygons or mask of what may move; all else is stable")
    bias: Literal["median", "plane", "none"] = Field("median", description="what is removed over stable ground")
    aoi: str | None = Field(None, description="polygons or mask of the area of interest")
    reference_date: str | None = Field(None, description="when the reference was taken, ISO 8601, UTC")
    secondary_date: str | None = Field(None, description="when the secondary was taken, ISO 8601, UTC")
    min_score: float | None = Field(None, ge=-1, le=1, description="score below which a post is flagged")
    min_peak_ratio: float = Field(1.0, ge=1, description="peak ratio below which a post is flagged")
    outlier_threshold: float = Field(2.0, gt=0, description="normalised median test: limit")
    outlier_noise: float = Field(0.2, gt=0, description="normalised median test: scatter always accepted, px")
    max_pixels: int = Field(10**9, ge=1, description="largest common grid that is accepted, px")
    max_memory: ByteSize = Field(
        ByteSize(2 * 10**9),
        description="memory for tiles and posts, such as 2GB or 500MB; fewer workers keep within it",
    )
    quicklook: bool = Field(default=True, description="draw quicklook.png")
    formats: tuple[str, ...] = Field(("cog",), description="what is written: any of " + ", ".join(FORMATS))

    @field_validator("reference_date", "secondary_date", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        # YAML reads 2020-01-31 as a date.
        return value.isoformat() if hasattr(value, "isoformat") else value

    @field_validator("band", mode="before")
    @classmethod
    def _counted(cls, value: Any) -> Any:
        if value is None or value == "grey" or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
            return int(value)
        if isinstance(value, str) and re.fullmatch(r"B\d{1,2}A?", value.strip(), re.IGNORECASE):
            name = value.strip().upper()
            return f"B0{name[1]}" if len(name) == 2 else name
        if isinstance(value, str) and re.fullmatch(r"PAN|(VNIR|SWIR)\d{1,3}|\d{3,4}(\.\d+)?NM", value.strip().upper()):
            return value.strip().upper()
        if isinstance(value, str) and re.fullmatch(r"[VH]{2}", value.strip(), re.IGNORECASE):
            return value.strip().upper()
        message = f"band must be a number from 1, grey, or a name such as B04, VV or 850nm, instead got {brief(value)}"
        raise ConfigError(message)

    @field_validator("formats", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return tuple(value.split(",")) if isinstance(value, str) else value

    @field_validator("formats")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return known_formats(value)

    def model_post_init(self, _context: Any, /) -> None:
        """Check what concerns more than one key, so that a wrong name fails before anything is read."""
        if self.stable_ground and self.unstable_ground:
            message = "stable_ground and unstable_ground say the same thing twice"
            raise ConfigError(message, advice="give one of them")
        if isinstance(self.band, int) and self.band < 1:
            message = f"bands are counted from 1, instead got band {self.band}"
            raise ConfigError(message)
        self.matcher()
        self.preprocessor()

    @property
    def number(self) -> int | Literal["grey"]:
        """The band of plain rasters; those asked for by name are found before."""
        if self.band == "grey":
            return "grey"
        return self.band if isinstance(self.band, int) else 1

    @property
    def margin(self) -> int:
        """Pixels around an area of interest that its posts need."""
        algorithm = self.matcher()
        reach = (a + b for a, b in zip(algorithm.support, algorithm.halo, strict=True))
        return max(reach) + self.preprocessor().halo

    def matcher(self) -> OTAlgorithm:
        """Return the algorithm with its parameters."""
        return get_algorithm(self.algorithm).from_dict(self.parameters)

    def preprocessor(self) -> Preprocessor:
        """Return the filter with its parameters."""
        return get_preprocessor(self.preprocess).from_dict(self.preprocess_parameters)

    @classmethod
    def from_file(cls, path: str | Path, **changes: Any) -> Self:
        """Read a YAML or JSON file (a ``run.json`` repeats that run) and change some of its values."""
        values = settings_of(path)
        given = {key: value for key, value in changes.items() if value is not None}
        for of, name in (("algorithm", "parameters"), ("preprocess", "preprocess_parameters")):
            stored = values.get(of, cls.model_fields[of].default)
            kept = values.get(name) or {} if given.get(of, stored) == stored else {}
            if isinstance(kept, dict):  # else the check of the whole says so
                given[name] = kept | given.get(name, {})
        return cls.from_dict(values | given)
