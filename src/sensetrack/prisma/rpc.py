"""Rational polynomials of PRISMA L2C: from longitude, latitude and height to the pixel, for orthorectification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import MetadataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.files.hdf5 import Hdf5

MOST_APART = 3.0
"""Pixels, median, between the polynomials and the latitudes and longitudes of the product."""
_OFFSETS = ("LONG", "LAT", "HEIGHT", "SAMP", "LINE")
_NODES = 25


@dataclass(frozen=True, eq=False)
class Rpc:
    """Rational polynomials, with rows and columns as in images of this package.

    Parameters
    ----------
    coefficients : dict
        SAMP_NUM, SAMP_DEN, LINE_NUM, LINE_DEN: 20 numbers each, in the order of RPC00B.
    offsets, scales : dict
        LONG and LAT (degrees), HEIGHT (m above the ellipsoid), SAMP and LINE (px).
    shape : (int, int)
        Rows and columns of the image.
    flipped : (bool, bool)
        Whether lines and samples are counted from the other end.
    apart : float
        Median distance from the latitudes and longitudes of the product, px.
    """

    coefficients: dict[str, NDArray[np.float64]]
    offsets: dict[str, float]
    scales: dict[str, float]
    shape: tuple[int, int]
    flipped: tuple[bool, bool] = (False, False)
    apart: float = float("nan")

    @classmethod
    def of(cls, file: Hdf5, group: str, lat: NDArray[Any], lon: NDArray[Any]) -> Rpc | None:
        """Read the polynomials of a cube, and find out from which end they count; None where it has none.

        Parameters
        ----------
        file : Hdf5
        group : str
            Swath of the cube.
        lat, lon : ndarray
            Places of the pixel centres of its image, degrees.

        Raises
        ------
        MetadataError
            Incomplete, or more than 3 px from the latitudes and longitudes whichever way they count.
        """
        name = f"{group}/Geocoding Model"
        if name not in file or file.attribute("SAMP_NUM_COEFF", name) is None:
            return None
        kinds = [f"{axis}_{part}" for axis in ("SAMP", "LINE") for part in ("NUM", "DEN")]
        coefficients = {kind: np.array(file.numbers(f"{kind}_COEFF", name, 20)) for kind in kinds}
        offsets = {kind: file.number(f"{kind}_OFF", name) for kind in _OFFSETS}
        scales = {kind: file.number(f"{kind}_SCALE", name) for kind in _OFFSETS}
        if not all(scales.values()):
            raise MetadataError(f"the scales of /{name} must not be 0", path=file.path)
        shape = (lat.shape[0], lat.shape[1])
        found = [
            cls(coefficients, offsets, scales, shape, (lines, samples)).judged(lat, lon)
            for lines in (False, True)
            for samples in (False, True)
        ]
        best = min(found, key=lambda rpc: rpc.apart)
        if not best.apart <= MOST_APART:
            message = f"/{name} is {best.apart:.1f} px from the latitudes and longitudes, more than {MOST_APART:g}"
            raise MetadataError(message, path=file.path)
        return best

    def judged(self, lat: NDArray[Any], lon: NDArray[Any]) -> Rpc:
        """Return the same with its distance from places of pixel centres, at the middle height."""
        row, col = (np.unique(np.linspace(0, n - 1, _NODES).astype(int)) for n in self.shape)
        at = np.ix_(row, col)
        r, c = self.to_pixels(lon[at].astype(float), lat[at].astype(float), self.offsets["HEIGHT"])
        far = np.hypot(r - 0.5 - row[:, None], c - 0.5 - col[None, :])
        apart = float(np.nanmedian(far)) if np.isfinite(far).any() else float("inf")
        return Rpc(self.coefficients, self.offsets, self.scales, self.shape, self.flipped, apart)

    def to_pixels(self, lon: Any, lat: Any, height: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (row, col), in pixel corners, of places; heights are metres above the ellipsoid."""
        away = np.asarray(lon, float) - self.offsets["LONG"]
        away = (away + 180) % 360 - 180
        terms = _terms(
            away / self.scales["LONG"],
            (np.asarray(lat, float) - self.offsets["LAT"]) / self.scales["LAT"],
            (np.asarray(height, float) - self.offsets["HEIGHT"]) / self.scales["HEIGHT"],
        )
        out = []
        for axis, size, flip in zip(("LINE", "SAMP"), self.shape, self.flipped, strict=True):
            ratio = np.tensordot(self.coefficients[f"{axis}_NUM"], terms, 1) / np.tensordot(
                self.coefficients[f"{axis}_DEN"], terms, 1
            )
            # RPC count pixel centres from 0.
            centre = ratio * self.scales[axis] + self.offsets[axis]
            out.append((size - 1 - centre if flip else centre) + 0.5)
        return out[0], out[1]


def _terms(lon: NDArray[Any], lat: NDArray[Any], height: NDArray[Any]) -> NDArray[np.float64]:
    """Return the 20 terms of RPC00B."""
    p, q, h = np.broadcast_arrays(lon, lat, height)
    one = np.ones_like(p)
    return np.stack(
        [
            one, p, q, h, p * q, p * h, q * h, p * p, q * q, h * h, q * p * h, p**3, p * q * q, p * h * h, p * p * q,
            q**3, q * h * h, p * p * h, q * q * h, h**3,
        ]
    )  # fmt: skip
