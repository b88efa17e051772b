"""How far apart two satellites were when they saw one place: what decides how alike two radar images can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sensetrack.errors import NoOverlapError
from sensetrack.sar.ellipsoid import to_ecef
from sensetrack.sar.geometry import geo2rdr, rdr2geo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.sar.radargrid import RadarGrid


def perpendicular_baseline(reference: RadarGrid, secondary: RadarGrid, height: float = 0.0) -> float:
    """Return the perpendicular baseline at the middle of the reference, m.

    Parameters
    ----------
    reference, secondary : RadarGrid
    height : float
        Of the ground above the ellipsoid, m.

    Returns
    -------
    float
        Of the way from the reference to the secondary, both at zero Doppler, the part across the flight and across the
        line of sight; above 0 where the secondary was on the upper side of it.

    Raises
    ------
    NoOverlapError
        The secondary never saw that place.
    """
    middle = reference.shape[0] // 2, reference.shape[1] // 2
    time = float(reference.time(middle[0]))
    slant = float(reference.slant_range(middle[1], time))
    place = rdr2geo(reference, time, slant, height)
    there = geo2rdr(secondary, place.lon, place.lat, place.height)
    if not np.isfinite(there.time).all():
        raise NoOverlapError("the secondary does not see the middle of the reference")
    first, velocity = (np.asarray(part).reshape(3) for part in reference.orbit.state(time))
    second = np.asarray(secondary.orbit.state(float(there.time))[0]).reshape(3)
    sight = _towards(first, float(place.lon), float(place.lat), float(place.height))
    across = np.cross(velocity / np.linalg.norm(velocity), sight)
    across *= np.sign(across @ first) / np.linalg.norm(across)  # up, away from the Earth
    return float((second - first) @ across)


def _towards(position: NDArray[np.float64], lon: float, lat: float, height: float) -> NDArray[np.float64]:
    """Return the unit vector from a satellite to a place on WGS84, axes fixed to the Earth."""
    way = to_ecef(lon, lat, height).reshape(3) - position
    return np.asarray(way / np.linalg.norm(way))
