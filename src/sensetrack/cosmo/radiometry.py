"""From digital numbers to backscatter, as far as the products let one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sensetrack.cosmo.attributes import Attributes
from sensetrack.errors import ConfigError
from sensetrack.sar.lazy import Lazy
from sensetrack.sar.multilook import Multilooked
from sensetrack.sentinel.s1_chain import Filtered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.cosmo.product import Cosmo
    from sensetrack.cosmo.types import CosmoImage

Quantity = Literal["sigma0", "beta0", "rescaled"]

WHY_NOT = {
    "CSG": "how products of the second generation are calibrated is not publicly known",
    "SCS_U": "unbalanced products keep what antenna and range do to amplitudes",
}


def quantity_of(product: Cosmo, asked: Quantity | None) -> Quantity:
    """Return what pixels are brought to: sigma0 where there is a calibration and nothing else is asked for.

    Raises
    ------
    ConfigError
        A backscatter coefficient of a product that cannot be calibrated.
    """
    info = product.info
    if info.calibrated:
        return asked or "sigma0"
    if asked in ("sigma0", "beta0"):
        reason = WHY_NOT["CSG"] if info.generation == "CSG" else WHY_NOT["SCS_U"]
        message = f"{asked} of a {info.generation} {info.product_type} cannot be computed: {reason}"
        raise ConfigError(message, path=product.path, advice="say --quantity rescaled")
    return "rescaled"


def factor(image: CosmoImage, quantity: Quantity) -> float:
    """Return what the squared digital numbers of an image are multiplied by.

    Rescaled is the power over the square of the rescaling factor. The first generation gets from there to backscatter
    by what the product says has been compensated: the spreading loss up to a reference range, the incidence angle up to
    a reference angle (sigma0; without its sine it is beta0), the calibration constant where it has not been applied.

    Raises
    ------
    MetadataError
        An attribute is missing or not above 0, or subswaths that were merged have different constants.
    """
    scope = image.scope
    value = 1 / _positive(scope, "Rescaling Factor") ** 2
    if quantity == "rescaled":
        return value
    if scope.text("Range Spreading Loss Compensation Geometry").upper() != "NONE":
        exponent = scope.number("Reference Slant Range Exponent")
        value *= _positive(scope, "Reference Slant Range") ** (2 * exponent)
    if quantity == "sigma0" and scope.text("Incidence Angle Compensation Geometry").upper() != "NONE":
        value *= math.sin(math.radians(_positive(scope, "Reference Incidence Angle")))
    if scope.number("Calibration Constant Compensation Flag") == 0:
        value /= _constant(image)
    return value


def _constant(image: CosmoImage) -> float:
    if image.swath or image.scope.has("Calibration Constant"):
        return _positive(image.scope, "Calibration Constant")
    source = image.scope.source
    swaths = [name for name in source.names if name.startswith("S") and "/" not in name and name[1:].isdecimal()]
    found = {_positive(Attributes(source, (name,)), "Calibration Constant") for name in swaths}
    if len(found) != 1:
        message = f"must be there and the same for all merged subswaths, instead got {len(found)} values"
        raise image.scope.fault("Calibration Constant", message)
    return found.pop()


def _positive(scope: Attributes, key: str) -> float:
    value = scope.number(key)
    if not value > 0:
        raise scope.fault(key, f"must be above 0, instead got {value:g}")
    return value


class Power(Lazy):
    """Linear power of an image, computed where it is read; NaN where its digital number is 0.

    Parameters
    ----------
    image : CosmoImage
    factor : float
        See `factor`.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, image: CosmoImage, factor: float) -> None:
        self.image, self.factor, self.shape = image, factor, image.shape

    def read(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        """Read a window."""
        numbers = self.image.read(rows, cols)
        power = numbers.real**2 + numbers.imag**2 if self.image.parts else numbers**2
        return np.where(power > 0, power * np.float32(self.factor), np.float32(np.nan))


def backscatter(image: CosmoImage, quantity: Quantity, looks: tuple[int, int], speckle: str | None) -> Any:
    """Return the power of an image, multilooked and filtered, computed where it is read.

    Parameters
    ----------
    image : CosmoImage
    quantity : {"sigma0", "beta0", "rescaled"}
    looks : (int, int)
        Azimuth, range.
    speckle : str or None
        Method of `sensetrack.sar.speckle.SpeckleFilter`.
    """
    source: Any = Power(image, factor(image, quantity))
    if looks != (1, 1):
        source = Multilooked(source, looks)
    if speckle is not None:
        source = Filtered(source, speckle, math.prod(looks))
    return source
