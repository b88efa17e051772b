"""The range of intensities, around a mean, that a share of speckle lies in without moving that mean."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=64)
def sigma_range(looks: float, share: float) -> tuple[float, float, float]:
    """Return the range and the variation of the speckle inside it, all for a mean of 1.

    Intensity of so many looks follows a gamma distribution. Lee et al. (2009) tabulate this for 1 to 4 looks; here
    it is solved for any number.

    Parameters
    ----------
    looks : float
        Equivalent number of looks.
    share : float
        Of the speckle that lies in the range.

    Returns
    -------
    low, high, variation
        The mean of the speckle between low and high is 1, its variance `variation`.
    """
    from scipy import optimize, special  # large, and for one of the filters only

    def high(low: float) -> float:
        below = float(special.gammainc(looks, looks * low))
        return float(special.gammaincinv(looks, min(below + share, 1 - 1e-15)) / looks)

    def mean(low: float) -> float:
        return float(special.gammainc(looks + 1, looks * high(low)) - special.gammainc(looks + 1, looks * low)) / share

    most = float(special.gammaincinv(looks, 1 - share) / looks)
    low = float(optimize.brentq(lambda at: mean(at) - 1, 1e-12, most * (1 - 1e-12)))
    top = high(low)
    square = float(special.gammainc(looks + 2, looks * top) - special.gammainc(looks + 2, looks * low)) / share
    return low, top, float(np.maximum(square * (looks + 1) / looks - 1, 0))
