"""How many looks to take: as the first release estimated it, and from what the pixels really measure."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sensetrack.errors import ConfigError


class Resolution(NamedTuple):
    """Nominal resolution of a one-look image, m."""

    slant_range: float
    azimuth: float


class MultiLook(NamedTuple):
    """Looks, and the pixel on the ground that they make (m)."""

    Num_Range_LOOKS: int
    Num_Azimuth_LOOKS: int
    Estimated_RangeResolution: float
    Estimated_AzimuthResolution: float


S1_IW_SLC = Resolution(2.30, 14.10)
CSK_HIMAGE_SLC = Resolution(3.0, 3.0)
CSG_HIMAGE_SLC = Resolution(2.6488857702529085, 2.6488857702529085)


def estimate_multilook(incidence: float, native_resolution: tuple[float, float], n_az_looks: int = 1) -> MultiLook:
    """Return the looks in range that come closest to square pixels, as the first release chose them.

    Tried are 1 to 5 `n_az_looks` - 1 looks, and `native_resolution` is nominal: `looks_for` has neither limit.

    Parameters
    ----------
    incidence : float
        Mean incidence angle, radians from the vertical.
    native_resolution : (float, float)
        Slant range and azimuth, m.
    n_az_looks : int

    Returns
    -------
    MultiLook
    """
    slant, azimuth = _lengths(*native_resolution)
    _require(incidence=incidence, azimuth_looks=n_az_looks)
    looks = np.arange(1, 5 * n_az_looks)
    on_ground = slant * looks / math.sin(incidence)
    best = int(np.argmin(np.abs(on_ground - n_az_looks * azimuth)))
    return MultiLook(int(looks[best]), n_az_looks, float(on_ground[best]), n_az_looks * azimuth)


def looks_for(
    incidence: float,
    *,
    slant_range_spacing: float,
    azimuth_spacing: float,
    azimuth_looks: int | None = None,
    pixel: float | None = None,
) -> MultiLook:
    """Return looks from the real spacing of the samples.

    Parameters
    ----------
    incidence : float
        Incidence angle in the middle of the area, radians from the vertical.
    slant_range_spacing, azimuth_spacing : float
        Of the samples, m, as the product says; they are finer than the resolution.
    azimuth_looks : int, optional
        As many, and as many in range as make the pixel most nearly square.
    pixel : float, optional
        Instead: the pixel that is wanted on the ground, m.

    Returns
    -------
    MultiLook
        The pixel on the ground in `Estimated_RangeResolution` and `Estimated_AzimuthResolution`.
    """
    slant, azimuth = _lengths(slant_range_spacing, azimuth_spacing)
    if (azimuth_looks is None) == (pixel is None):
        raise ConfigError("looks must follow from azimuth_looks or from pixel, one of the two")
    _require(incidence=incidence, azimuth_looks=1 if azimuth_looks is None else azimuth_looks)
    ground = slant / math.sin(incidence)
    if pixel is not None:
        if not (math.isfinite(pixel) and pixel > 0):
            raise ConfigError(f"pixel must be a length in m above 0, instead got {pixel}")
        azimuth_looks = _nearest(pixel / azimuth)
    assert azimuth_looks is not None
    range_looks = _nearest((azimuth_looks * azimuth if pixel is None else pixel) / ground)
    return MultiLook(range_looks, azimuth_looks, range_looks * ground, azimuth_looks * azimuth)


def _nearest(ratio: float) -> int:
    """Whole number whose ratio to a number is nearest to 1: between n and n + 1 the limit is sqrt(n (n + 1))."""
    below = max(1, math.floor(ratio))
    return below if ratio * ratio < below * (below + 1) else below + 1


def _lengths(slant: float, azimuth: float) -> tuple[float, float]:
    if not all(math.isfinite(one) and one > 0 for one in (slant, azimuth)):
        raise ConfigError(f"spacing must be two lengths in m above 0, instead got {slant}, {azimuth}")
    return float(slant), float(azimuth)


def _require(*, incidence: float, azimuth_looks: int) -> None:
    if not 0 < incidence < math.pi / 2:
        hint = "; is it in degrees?" if 1.6 < incidence < 90 else ""
        raise ConfigError(f"incidence must lie between 0 and {math.pi / 2:.2f} radians, instead got {incidence}{hint}")
    if azimuth_looks < 1:
        raise ConfigError(f"azimuth looks must be at least 1, instead got {azimuth_looks}")
