"""What `topsApp.py` is told: its properties by name, typed, with the checks that ISCE2 makes hours later."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from sensetrack.errors import ConfigError
from sensetrack.ot.parameters import Parameters, PxPair, both
from sensetrack.sar.ampcor_grid import require_settings

Box = tuple[float, float, float, float]
"""South, north, west, east in degrees: ISCE2's order."""

PASS_DAYS = 12
"""Days between passes of one satellite over a track."""


class Scene(Parameters):
    """One of the two dates: what ``reference.xml`` or ``secondary.xml`` says."""

    safe: tuple[str, ...] = Field(min_length=1, description="products of that pass, .SAFE folders or zips")
    orbit_directory: str | None = Field(None, description="folder of orbit files")
    auxiliary_data_directory: str | None = Field(None, description="folder of calibration files, for IPF 002.36")
    output_directory: str | None = Field(None, description="folder for its bursts, in the folder of the run")
    polarization: Literal["vv", "vh", "hh", "hv"] = Field("vv", description="polarisation")
    region_of_interest: Box | None = Field(None, description="south, north, west, east; bursts that touch it are read")

    @field_validator("safe", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("polarization", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value


class TopsApp(Parameters):
    """A run of `topsApp.py` for dense offsets; defaults are the ones that sensetrack tracks with.

    Pairs are (rows, columns) = (azimuth, range) = ISCE2's (height, width).
    """

    reference: Scene = Field(description="the earlier date")
    secondary: Scene = Field(description="the later date")
    sensor: Literal["SENTINEL1"] = Field("SENTINEL1", description="sensor name")
    swaths: tuple[Annotated[int, Field(ge=1, le=3)], ...] = Field((), description="subswaths, 1 to 3; default: all")
    region_of_interest: Box | None = Field(None, description="south, north, west, east; bursts that touch it are used")
    dem: str | None = Field(None, description="elevation model in ISCE2's form; default: ISCE2 fetches SRTM")
    azimuth_looks: int = Field(7, ge=1, description="looks of what is written beside the offsets")
    range_looks: int = Field(19, ge=1, description="likewise")
    do_interferogram: bool = Field(default=False, description="interferogram as well")
    do_esd: bool = Field(default=False, description="refine the co-registration by the overlaps of bursts")
    do_unwrap: bool = Field(default=False, description="unwrap the interferogram")
    do_unwrap_2stage: bool = Field(default=False, description="likewise, in two stages")
    do_ionosphere: bool = Field(default=False, description="correct the ionosphere")
    dense_offsets: bool = Field(default=True, description="measure offsets")
    window: Annotated[PxPair, BeforeValidator(both)] = Field(
        (64, 256), description="size of the windows that are looked for", json_schema_extra={"unit": "px"}
    )
    search: Annotated[PxPair, BeforeValidator(both)] = Field(
        (10, 30), description="half width of the search", json_schema_extra={"unit": "px"}
    )
    skip: Annotated[PxPair, BeforeValidator(both)] = Field(
        (8, 44), description="distance between windows", json_schema_extra={"unit": "px"}
    )
    margin: int = Field(50, ge=0, description="pixels left out along the edge; ignored by ISCE2 without a GPU")
    oversampling: int = Field(32, ge=1, description="of the correlation surface, a power of two")
    gross: tuple[int, int] = Field((0, 0), description="offset that is looked around", json_schema_extra={"unit": "px"})
    snr_threshold: float | None = Field(None, ge=0, description="offsets below it are left out before the median")
    null: float = Field(-10000.0, description="what means not measured")
    median: int = Field(5, ge=1, description="side of the median filter, posts")
    geocode_list: tuple[str, ...] | None = Field(None, description="files of offsets to geocode; default: all")
    geocode_box: Box | None = Field(None, description="south, north, west, east of the maps; default: all bursts")
    use_gpu: bool = Field(default=False, description="PyCuAmpcor")

    @field_validator("swaths", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _accepted(self) -> TopsApp:
        """Refuse what ISCE2 refuses, or does wrongly, after hours."""
        require_settings(
            self.window, self.search, skip=self.skip, oversampling=self.oversampling, dense=not self.use_gpu
        )
        if self.use_gpu and self.search[0] != self.search[1]:
            raise ConfigError(
                "with use_gpu the search must be the same along rows and columns, instead got "
                f"{self.search[0]} x {self.search[1]}: PyCuAmpcor takes one for the other",
                advice="leave use_gpu out, or search the larger of both",
            )
        if self.reference.polarization != self.secondary.polarization:
            raise ConfigError(
                f"both dates must have one polarization, instead got {self.reference.polarization} and "
                f"{self.secondary.polarization}"
            )
        for name, box in (("region_of_interest", self.region_of_interest), ("geocode_box", self.geocode_box)):
            require_box(name, box)
        return self


def require_box(name: str, box: Box | None) -> None:
    """Refuse a box that is not south, north, west, east."""
    if box is None:
        return
    south, north, west, east = box
    if not (-90 <= south < north <= 90 and -180 <= west < east <= 180):
        raise ConfigError(f"{name} must be south, north, west, east in degrees, instead got {box}")


def search_for(days: float, one_pass: tuple[int, int] = (10, 30)) -> tuple[int, int]:
    """Return the search for a pair: that of one pass of 12 days, for each that has begun.

    Pairs of less than a day, of neighbouring frames, count as one.
    """
    passes = max(1, -int(-abs(days) // PASS_DAYS))
    return passes * one_pass[0], passes * one_pass[1]
