"""Where the pixels of a product lie: in time and range, or on the map it is delivered on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from affine import Affine

from sensetrack.errors import MetadataError, one_line
from sensetrack.grid import Grid, as_crs
from sensetrack.sar.orbit import Orbit
from sensetrack.sar.radargrid import SPEED_OF_LIGHT, GroundRange, RadarGrid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.cosmo.attributes import Attributes

LOOKS: dict[str, Literal[1, -1]] = {"RIGHT": 1, "LEFT": -1}
_PIXEL = 1e-7
"""Error of the inverse of a polynomial of ground range, px."""
_HIGHEST = 16


def moment(text: str, scope: Attributes, key: str) -> datetime:
    """Return a time such as 2011-04-18 18:03:27.915976000 (UTC, to the microsecond)."""
    whole, _, part = text.strip().replace("T", " ").rstrip("Z").partition(".")
    try:
        found = datetime.strptime(whole, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        return found + timedelta(microseconds=round(float(f"0.{part or 0}") * 1e6))
    except ValueError as error:
        raise scope.fault(key, f"must be a date and time, instead got {one_line(text)[:40]!r}") from error


def orbit_of(scope: Attributes) -> Orbit:
    """Return the state vectors of a product; times count from its Reference UTC, and are not wrapped at midnight."""
    times = scope.numbers("State Vectors Times")
    position, velocity = (_vectors(scope, f"ECEF Satellite {what}", times.size) for what in ("Position", "Velocity"))
    good = ~(position == 0).all(axis=1)  # the arrays of the first generation may be longer than what fills them
    if scope.has("Number of State Vectors"):
        good &= np.arange(times.size) < scope.number("Number of State Vectors")
    epoch = moment(scope.text("Reference UTC"), scope, "Reference UTC")
    return Orbit(epoch, times[good], position[good], velocity[good], "annotation", "auxiliary")


def _vectors(scope: Attributes, key: str, count: int) -> NDArray[np.float64]:
    return scope.numbers(key, count=3 * count).reshape(count, 3)


def radar_grid(scope: Attributes, shape: tuple[int, int], *, ground: bool) -> RadarGrid:
    """Return when and how far away the radar saw the pixels of an image.

    Parameters
    ----------
    scope : Attributes
        Of the image, its swath and the product.
    shape : (int, int)
    ground : bool
        Whether columns are equally far apart on the ground (DGM), not in slant range.
    """
    scope.choice("Lines Order", {"EARLY-LATE": True})
    scope.choice("Columns Order", {"NEAR-FAR": True})
    orbit = orbit_of(scope)
    first, interval = _lines(scope, shape[0])
    wavelength = scope.number("Radar Wavelength", default=SPEED_OF_LIGHT / scope.number("Radar Frequency"))
    look = scope.choice("Look Side", LOOKS)
    if not ground:
        near = SPEED_OF_LIGHT / 2 * scope.number("Zero Doppler Range First Time")
        spacing = SPEED_OF_LIGHT / 2 * scope.number("Column Time Interval")
        grid = RadarGrid(*shape, orbit.epoch, first, interval, near, spacing, look, wavelength, orbit)
    else:
        middle = first + interval * (shape[0] - 1) / 2
        polynomial, near = _ground_range(scope, shape[1], middle)
        grid = RadarGrid(*shape, orbit.epoch, first, interval, near, np.nan, look, wavelength, orbit, polynomial)
    if not orbit.covers(grid.first_time, grid.last_time):
        message = (
            f"state vectors must cover the times of the image, {grid.first_time:.3f} to {grid.last_time:.3f} s, "
            f"instead got {orbit.start:.3f} to {orbit.stop:.3f} s"
        )
        raise MetadataError(message, path=scope.source.path)
    return grid


def _lines(scope: Attributes, lines: int) -> tuple[float, float]:
    """Time of line 0 and seconds between lines; detected products may leave them to their bursts, or to be divided."""
    first = scope.get("Zero Doppler Azimuth First Time")
    interval = scope.number("Line Time Interval", default=0.0)
    if first is not None:
        start = scope.number("Zero Doppler Azimuth First Time")
        stop = scope.number("Zero Doppler Azimuth Last Time") if interval <= 0 else np.nan
    else:
        bursts = sorted(name for name in scope.source.names if name.rpartition("/")[2].startswith("B0"))
        if not bursts:
            raise scope.fault("Zero Doppler Azimuth First Time", "is missing")
        times = [
            [float(replace(scope, scopes=(burst,)).number(f"Azimuth {end} Time")) for end in ("First", "Last")]
            for burst in bursts
        ]
        start, stop = min(pair[0] for pair in times), max(pair[1] for pair in times)
    if interval <= 0:
        interval = (stop - start) / max(lines - 1, 1)
    if not interval > 0:
        raise scope.fault("Line Time Interval", f"must be above 0, instead got {interval:g}")
    return start, interval


def _ground_range(scope: Attributes, columns: int, time: float) -> tuple[GroundRange, float]:
    """Return the polynomials between ground and slant range of a DGM, and the slant range of its first column.

    Stored is slant range - reference range in powers of the column. Its inverse is fitted here, so that one leads
    back exactly from where the other leads to; the stored inverse is only nearly that.
    """
    reference = scope.number("Ground Projection Polynomial Reference Range")
    stored = scope.numbers("Ground to Slant Polynomial")
    spacing = scope.number("Column Spacing")
    stored = np.trim_zeros(stored, "b")
    coefficients = stored / spacing ** np.arange(stored.size)
    coefficients[0] += reference
    room = 0.05 * columns
    nodes = np.cos(np.linspace(0, np.pi, 400))
    column = (columns - 1) / 2 + nodes * ((columns - 1) / 2 + room)
    slant = np.polynomial.polynomial.polyval(column * spacing, coefficients)
    order = np.argsort(column)
    if stored.size < 2 or not (np.diff(slant[order]) > 0).all():
        raise scope.fault("Ground to Slant Polynomial", "must grow with the column")
    origin = (slant.max() + slant.min()) / 2
    for degree in range(2, _HIGHEST + 1):
        fit = np.polynomial.Polynomial.fit(slant - origin, column, degree)
        if np.abs(fit(slant - origin) - column).max() < _PIXEL:
            break
    else:
        raise scope.fault("Ground to Slant Polynomial", "cannot be inverted")
    inverse = np.asarray(fit.convert().coef, np.float64) * spacing
    polynomials = GroundRange(
        np.array([time]), np.array([origin]), inverse[None], coefficients[None], spacing, np.array([0.0])
    )
    return polynomials, float(coefficients[0])


@dataclass(frozen=True)
class MapGrid:
    """The map of a product, and how it is known what its corner is."""

    grid: Grid
    corner: Literal["corner", "centre", "corner, by assumption"]
    """What the annotated place of the upper left pixel is of it."""


def map_grid(scope: Attributes, shape: tuple[int, int]) -> MapGrid:
    """Return where the pixels of a product that lies on a map are.

    It is publicly not settled whether the annotated corner is that of the first pixel or its centre. Where the place of
    the opposite corner is annotated too, the distance between both tells: n pixels, or n - 1.
    """
    scope.choice("Lines Order", {"NORTH-SOUTH": True})
    scope.choice("Columns Order", {"WEST-EAST": True})
    east, north = scope.numbers("Top Left East-North", count=2)
    height, width = scope.number("Line Spacing"), scope.number("Column Spacing")
    if not (height > 0 and width > 0):
        raise scope.fault("Line Spacing", f"and Column Spacing must be above 0, instead got {height:g} and {width:g}")
    meaning: Any = "corner, by assumption"
    if scope.has("Bottom Right East-North"):
        right, bottom = scope.numbers("Bottom Right East-North", count=2)
        spans = (right - east) / width - shape[1], (north - bottom) / height - shape[0]
        found = [name for at, name in ((0.0, "corner"), (-1.0, "centre")) if max(abs(s - at) for s in spans) < 0.25]
        if not found:
            message = f"must lie {shape[1]} or {shape[1] - 1} columns east of the top left, instead got {spans[0]:+.2f}"
            raise scope.fault("Bottom Right East-North", message)
        meaning = found[0]
    if meaning == "centre":
        east, north = east - width / 2, north + height / 2
    affine = Affine(width, 0.0, east, 0.0, -height, north)
    return MapGrid(Grid(shape, affine, as_crs(epsg_of(scope))), meaning)


def epsg_of(scope: Attributes) -> int:
    """Return the number of the CRS of a product that lies on a map: a UTM zone, or universal polar stereographic."""
    projection = scope.text("Projection ID").upper()
    latitude = scope.numbers("Map Projection Centre")[0] if scope.has("Map Projection Centre") else None
    if projection in ("UTM", "UNIVERSAL TRANSVERSE MERCATOR"):
        zone = scope.number("Map Projection Zone")
        if not (zone == round(zone) and 1 <= abs(zone) <= 60):
            raise scope.fault("Map Projection Zone", f"must be 1 to 60, instead got {zone:g}")
        return (32700 if zone < 0 or _south(scope, latitude) else 32600) + abs(int(zone))
    if projection in ("UPS", "UNIVERSAL POLAR STEREOGRAPHIC"):
        if latitude is None:
            raise scope.fault("Map Projection Centre", "is missing")
        return 32661 if latitude > 0 else 32761
    raise scope.fault("Projection ID", f"must be UTM or UPS, instead got {one_line(projection)[:40]!r}")


def _south(scope: Attributes, latitude: float | None) -> bool:
    """Tell whether a UTM zone is a southern one: those add 10 000 km to the northing."""
    if scope.has("Map Projection False East-North"):
        return bool(scope.numbers("Map Projection False East-North", count=2)[1] > 0)
    if latitude is None:
        latitude = scope.numbers("Scene Centre Geodetic Coordinates")[0]
    return bool(latitude < 0)
