"""Settings by which a Sentinel-1 product is brought to a map."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from sensetrack.errors import ConfigError
from sensetrack.ot.parameters import Parameters, PxPair, both
from sensetrack.sar.features import MEASURES, Texture
from sensetrack.sar.terrain import LAYERS
from sensetrack.sentinel.s1_chain import CHAINS
from sensetrack.snap_gpt.recipes import SARPreprocessing

FEATURES = ("ratio", "difference", *MEASURES)
"""Cross- over co-polarised, their difference over their sum, and measures of `sensetrack.sar.features.Texture`."""


class S1Config(Parameters):
    """How a Sentinel-1 product is brought to a map."""

    chain: str | None = Field(
        None, description="name of the chain, such as S1_IW_GRD_DFLT; default: that of the product, unfiltered"
    )
    aoi: Any = Field(
        None, description="area of interest: file, file|layer, mask, GeoJSON, well-known text, or west,south,east,north"
    )
    crs: str | None = Field(None, description="CRS of the result, such as EPSG:32632; default: UTM zone of the middle")
    resolution: Annotated[float, Field(gt=0, le=1e5, allow_inf_nan=False)] | None = Field(
        None, description="pixel of the result; default: that of the chain", json_schema_extra={"unit": "m"}
    )
    looks: PxPair | None = Field(
        None,
        description="looks in azimuth and range; default: 1 x 1 of a GRD, more where its pixels are much finer than "
        "those of the map; of an SLC one in azimuth, and in range what makes pixels square",
    )
    dem: str | None = Field(None, description="file of an elevation model; default: one height, which is not the truth")
    vertical: Literal["ellipsoid", "egm96", "egm2008"] | None = Field(
        None, description="what the heights of the elevation model count from; default: by what it is, announced"
    )
    height: float | None = Field(
        None,
        description="without an elevation model: the height of all ground above the ellipsoid; default: what the "
        "product says of its middle",
        json_schema_extra={"unit": "m"},
    )
    orbits: str | None = Field(None, description="orbit file (EOF), or a folder of them; default: annotated orbit")
    polarisations: tuple[str, ...] | None = Field(None, description="VV, VH, HH, HV; default: all there are")
    quantity: Literal["sigma0", "beta0", "gamma0"] = Field("sigma0", description="backscatter coefficient")
    scale: Literal["linear", "db"] = Field("linear", description="linear, or decibels clipped at -50")
    speckle: str | None = Field(None, description="speckle filter in place of that of the chain; none for none")
    method: Literal["nearest", "bilinear", "cubic"] = Field("bilinear", description="how pixels are interpolated")
    layers: tuple[str, ...] = Field((), description="more bands: any of " + ", ".join(LAYERS))

    features: tuple[str, ...] = Field((), description="more bands: any of " + ", ".join(FEATURES))
    texture_window: PxPair = Field(
        (9, 9),
        description="odd rows and columns of the window that texture is measured in, of the image after its looks",
        json_schema_extra={"unit": "px"},
    )

    @field_validator("looks", "texture_window", mode="before")
    @classmethod
    def _pair(cls, value: Any) -> Any:
        return both(value)

    @field_validator("polarisations", "layers", "features", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("layers")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in LAYERS:
                raise ConfigError(f"there is no layer {name!r}; there are {', '.join(LAYERS)}")
        return value

    @field_validator("features")
    @classmethod
    def _features(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in FEATURES:
                raise ConfigError(f"there is no feature {name!r}; there are {', '.join(FEATURES)}")
        return tuple(dict.fromkeys(value))

    @field_validator("texture_window")
    @classmethod
    def _window(cls, value: tuple[int, int]) -> tuple[int, int]:
        return Texture.from_dict({"window": value}).window

    @property
    def textures(self) -> tuple[Texture, ...]:
        """Those that are asked for."""
        names = [name for name in self.features if name in MEASURES]
        return tuple(Texture.from_dict({"measure": name, "window": self.texture_window}) for name in names)

    @field_validator("chain")
    @classmethod
    def _one(cls, value: str | None) -> str | None:
        if value is not None and SARPreprocessing.validate(value).stem not in CHAINS:
            names = ", ".join(member.name for member in SARPreprocessing if member.value in CHAINS)
            raise ConfigError(f"chain must be one of {names}, instead got {value}", advice="say --engine snap")
        return value
