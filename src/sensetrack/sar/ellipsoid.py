"""The ellipsoid of WGS84: longitude, latitude and height, and metres from the centre of the Earth.

The formulas take numbers inside compiled kernels and whole arrays outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.sar.compiling import WORKS, compiled

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

SEMI_MAJOR = 6_378_137.0
"""Half the diameter at the equator, m."""
FLATTENING = 1 / 298.257223563
E2 = FLATTENING * (2 - FLATTENING)
"""First eccentricity, squared."""
SEMI_MINOR = SEMI_MAJOR * (1 - FLATTENING)
"""Half the distance between the poles, m."""


@compiled
def forward(lon: Any, lat: Any, height: Any) -> tuple[Any, Any, Any]:
    """Return x, y, z of a place; radians, metres."""
    sine, cosine = np.sin(lat), np.cos(lat)
    prime = SEMI_MAJOR / np.sqrt(1 - E2 * sine * sine)
    across = (prime + height) * cosine
    return across * np.cos(lon), across * np.sin(lon), (prime * (1 - E2) + height) * sine


@compiled
def backward(x: Any, y: Any, z: Any) -> tuple[Any, Any, Any]:
    """Return longitude, latitude and height: Bowring's formula, taken twice (below a micrometre up to orbits)."""
    across = np.sqrt(x * x + y * y)
    # tan of the parametric latitude, from one that is right on the ellipsoid
    sine, cosine = z * SEMI_MAJOR, across * SEMI_MINOR
    for _ in range(2):
        norm = np.sqrt(sine * sine + cosine * cosine)
        sine, cosine = sine / norm, cosine / norm
        up = z + E2 / (1 - E2) * SEMI_MINOR * sine * sine * sine
        out = across - E2 * SEMI_MAJOR * cosine * cosine * cosine
        sine, cosine = (1 - FLATTENING) * up, out
    norm = np.sqrt(up * up + out * out)
    sine, cosine = up / norm, out / norm
    height = across * cosine + z * sine - SEMI_MAJOR * np.sqrt(1 - E2 * sine * sine)
    return np.arctan2(y, x), np.arctan2(up, out), height


@compiled
def forward_all(lon: Any, lat: Any, height: Any, out: Any) -> None:
    """Do what `forward` does for flat arrays; (n, 3) `out`."""
    for i in range(lon.size):
        out[i, 0], out[i, 1], out[i, 2] = forward(lon[i], lat[i], height[i])


@compiled
def backward_all(xyz: Any, lon: Any, lat: Any, height: Any) -> None:
    """Do what `backward` does for (n, 3) `xyz`."""
    for i in range(lon.size):
        lon[i], lat[i], height[i] = backward(xyz[i, 0], xyz[i, 1], xyz[i, 2])


def to_ecef(lon: ArrayLike, lat: ArrayLike, height: ArrayLike) -> NDArray[np.float64]:
    """Return x, y, z on axes fixed to the Earth.

    Parameters
    ----------
    lon, lat : array-like
        Radians.
    height : array-like
        Metres above the ellipsoid; the three are broadcast against each other.

    Returns
    -------
    (..., 3) float64
        Metres; NaN where an argument is.
    """
    lon, lat, height = doubles(lon, lat, height)
    out = np.empty((*lon.shape, 3))
    if WORKS:
        forward_all(lon.reshape(-1), lat.reshape(-1), height.reshape(-1), out.reshape(-1, 3))
    else:
        out[..., 0], out[..., 1], out[..., 2] = forward(lon, lat, height)
    return out


def from_ecef(xyz: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return longitude and latitude (radians) and height (m) of places (..., 3) in metres; the inverse of `to_ecef`."""
    xyz = np.asarray(xyz, np.float64)
    if not WORKS:
        lon, lat, height = backward(xyz[..., 0], xyz[..., 1], xyz[..., 2])
        return np.asarray(lon), np.asarray(lat), np.asarray(height)
    lon, lat, height = (np.empty(xyz.shape[:-1]) for _ in range(3))
    backward_all(xyz.reshape(-1, 3), lon.reshape(-1), lat.reshape(-1), height.reshape(-1))
    return lon, lat, height


def doubles(*values: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    """Broadcast arrays against each other, in double precision and in one piece.

    A slant range in single precision is rounded to 6 cm; NumPy would keep it single when a number is added.
    """
    return tuple(
        np.asarray(part, order="C") for part in np.broadcast_arrays(*(np.asarray(v, np.float64) for v in values))
    )


def axes(lon: ArrayLike, lat: ArrayLike) -> NDArray[np.float64]:
    """Return unit vectors to the east, to the north and up, (..., 3, 3): ``axes @ vector`` turns x, y, z into them."""
    lon, lat = doubles(lon, lat)
    sl, cl, sp, cp = np.sin(lon), np.cos(lon), np.sin(lat), np.cos(lat)
    east = np.stack([-sl, cl, np.zeros_like(sl)], axis=-1)
    north = np.stack([-sp * cl, -sp * sl, cp], axis=-1)
    up = np.stack([cp * cl, cp * sl, sp], axis=-1)
    return np.stack([east, north, up], axis=-2)
