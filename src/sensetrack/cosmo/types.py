"""What a COSMO-SkyMed product consists of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sensetrack.cosmo.geometry import map_grid, radar_grid
from sensetrack.errors import InputError
from sensetrack.sar.lazy import Lazy

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from numpy.typing import NDArray

    from sensetrack.cosmo.attributes import Attributes
    from sensetrack.cosmo.geometry import MapGrid
    from sensetrack.cosmo.names import CSGName, CSKName
    from sensetrack.sar.radargrid import RadarGrid

Level = Literal["SCS", "DGM", "GEC", "GTC"]
LEVELS: tuple[Level, ...] = ("SCS", "DGM", "GEC", "GTC")
ON_MAP = ("GEC", "GTC")


@dataclass(frozen=True)
class CosmoInfo:
    """What a product says of itself."""

    path: Path
    name: str
    """Without suffix."""
    parts: CSKName | CSGName | None
    """What the name says; None where the file is called otherwise."""
    generation: Literal["CSK", "CSG"]
    satellite: str
    """Such as CSKS1 or SSAR2."""
    product_type: str
    """Such as SCS_B."""
    level: Level
    mode: str
    """Such as HIMAGE."""
    beam: str
    look: Literal["left", "right"]
    pass_direction: Literal["ascending", "descending"]
    orbit_number: int | None
    start: datetime
    """UTC."""
    stop: datetime

    @property
    def calibrated(self) -> bool:
        """Whether backscatter can be computed from what is publicly known."""
        return self.generation == "CSK" and self.product_type.endswith("_B")


@dataclass(frozen=True, eq=False)
class CosmoImage(Lazy):
    """One image of a product: a polarisation, or a subswath of one."""

    where: str
    """Such as S01/SBI."""
    swath: str
    """Such as S01; empty for an image that all subswaths were merged to."""
    polarisation: str
    level: Level
    scope: Attributes
    shape: tuple[int, int]
    parts: bool
    """Whether pixels are stored as real and imaginary part."""

    @property
    def dtype(self) -> np.dtype[Any]:  # type: ignore[override]
        """Of what is read."""
        return np.dtype(np.complex64 if self.parts else np.float32)

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Read a window of digital numbers: complex of a SCS, else amplitudes. 0 means that nothing was measured."""
        stored = self.scope.source.read(self.where, rows, cols)
        if not self.parts:
            return stored.astype(np.float32)
        out = np.empty(stored.shape[:2], np.complex64)
        out.real, out.imag = stored[..., 0], stored[..., 1]
        return out

    @cached_property
    def radar_grid(self) -> RadarGrid:
        """When and how far away the radar saw the pixels; of SCS and DGM."""
        try:
            return radar_grid(self.scope, self.shape, ground=self.level == "DGM")
        except InputError as error:
            error.path = error.path or self.scope.source.path
            raise

    @cached_property
    def map_grid(self) -> MapGrid:
        """Where the pixels lie on their map; of GEC and GTC."""
        return map_grid(self.scope, self.shape)

    @property
    def incidence(self) -> tuple[float, float]:
        """Incidence angles at near and far range, radians from the vertical."""
        near, far = (math.radians(self.scope.number(f"{end} Incidence Angle")) for end in ("Near", "Far"))
        if not 0 < near <= far < math.pi / 2:
            message = f"and Far Incidence Angle must lie between 0 and 90, instead got {near:.4f} and {far:.4f} rad"
            raise self.scope.fault("Near Incidence Angle", message)
        return near, far

    @property
    def spacing(self) -> tuple[float, float]:
        """Metres between lines (azimuth, or northing) and between columns (slant or ground range, or easting)."""
        return self.scope.number("Line Spacing"), self.scope.number("Column Spacing")

    @property
    def ground_spacing(self) -> tuple[float, float]:
        """As `spacing`, along the ground in the middle of the image."""
        line, column = self.spacing
        return line, column / np.sin(np.mean(self.incidence)) if self.level == "SCS" else column
