"""The formats of a product, the files each consists of, and how much fits in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sensetrack.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

_RASTERS = ("displacement", "velocity", "offsets", "quality", "flags")
_MAPS = (*(f"{name}{suffix}" for name in ("dx", "dy", "magnitude") for suffix in (".png", ".pgw", ".png.aux.xml")),
         *(f"{name}{suffix}" for name in ("d_row", "d_col") for suffix in (".png", ".pgw")))  # fmt: skip
"""Pictures with their world files, and their CRS where they have one."""

FORMATS: dict[str, tuple[str, ...]] = {
    "cog": tuple(f"{name}{suffix}" for name in _RASTERS for suffix in (".tif", ".qml")),
    "netcdf": ("displacement.nc", "offsets.nc"),
    "gpkg": ("offsets.gpkg",),
    "shp": tuple(f"offsets{suffix}" for suffix in (".shp", ".shx", ".dbf", ".prj", ".cpg")),
    "png": _MAPS,
}
"""Format -> every file that may belong to it."""
ALWAYS = ("quicklook.png", "run.json")
"""What is written whatever the format."""
MOST_POINTS = {"gpkg": 20_000_000, "shp": 4_000_000}
"""Points a file holds: a GeoPackage of more takes longer than to track them, a DBF must stay below 2 GB."""


def files_of(formats: Iterable[str]) -> tuple[str, ...]:
    """Every file a product in some formats may consist of."""
    return (*(file for name in formats for file in FORMATS[name]), *ALWAYS)


def known_formats(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of formats, each once.

    Raises
    ------
    ConfigError
        There is none, or one that is not known.
    """
    wanted = tuple(dict.fromkeys(name.strip().lower() for name in names))
    known = ", ".join(FORMATS)
    if not any(wanted):
        message = f"formats must name at least one of {known}, instead got none"
        raise ConfigError(message)
    for name in wanted:
        if name not in FORMATS:
            message = f"there is no format {name[:60]!r}; there are {known}"
            raise ConfigError(message)
    return wanted


def require_room(formats: Iterable[str], posts: int) -> None:
    """Raise ConfigError where a format cannot hold so many posts."""
    for name in formats:
        most = MOST_POINTS.get(name)
        if most is not None and posts > most:
            message = f"formats: {name} holds at most {most:,} points, instead got {posts:,} posts"
            raise ConfigError(message, advice=f"leave {name} out, choose a larger step, or give an area of interest")
