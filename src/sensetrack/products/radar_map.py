"""A radar scene on a map, of whatever mission: bands computed where they are read, and what is said of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sensetrack
from sensetrack.errors import NoMatchError
from sensetrack.files.tiled import write_tiled

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from sensetrack.blocks import Mapper
    from sensetrack.grid import Grid

CAUTION = "apparent: vertical motion leaks into range"
"""What is to be said of every motion on a map made from one look of a radar."""


@dataclass(frozen=True, eq=False)
class RadarMap:
    """A product on a map; its pixels are computed where they are read."""

    path: Path
    grid: Grid
    bands: list[tuple[str, str, Any]]
    """(name, unit, source of (rows, cols) float32 with NaN where nothing is known)."""
    about: dict[str, Any]
    """What the record says of it, as plain values."""
    stem: str
    """Of the name of a file."""
    acquired: datetime
    """When the middle of the map was seen, UTC."""
    resolution: float
    """Pixel, m, as asked for or as delivered."""

    @property
    def sensor(self) -> str:
        """The mission, or its satellite."""
        return str(self.about[self._named])

    @property
    def _named(self) -> str:
        return "satellite" if "satellite" in self.about else "mission"

    @property
    def tags(self) -> dict[str, Any]:
        """What the header of a file says."""
        rest = {name.upper(): value for name, value in self.about.items() if name not in (self._named, "acquired")}
        software = f"sensetrack {sensetrack.__version__}"
        return {"ACQUIRED": self.acquired.isoformat(), "SENSOR": self.sensor, "SOFTWARE": software, **rest}

    def write(self, path: Path, *, mapper: Mapper = map, advance: Callable[[int, int], None] | None = None) -> int:
        """Write a tiled GeoTIFF and return how many values are known."""
        found = write_tiled(path, self.bands, self.grid, tags=self.tags, mapper=mapper, advance=advance)
        if not found:
            message = f"shows nothing of the map of {self.grid.shape[0]} x {self.grid.shape[1]} px"
            raise NoMatchError(message, path=self.path, advice="does the elevation model cover the area of interest?")
        return found
