"""What can be chosen about the inversion of a network."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from sensetrack.errors import ConfigError
from sensetrack.ot.parameters import Parameters
from sensetrack.stack.kernels import HUBER, PLAIN, TUKEY

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CODES = {"none": PLAIN, "huber": HUBER, "tukey": TUKEY}
_TUNING = {"none": 1.0, "huber": 1.345, "tukey": 4.685}
"""Where 95 % of the efficiency of least squares is left if there are no blunders."""


class Expected(NamedTuple):
    """What a loss makes of residuals of a normal distribution of standard deviation 1."""

    weight: float
    square: float
    """Of a weighted residual."""
    variance: float
    """Of a result over what the sum of the weights says."""


class InversionParameters(Parameters):
    """How pairs become a series of dates."""

    loss: Literal["tukey", "huber", "none"] = Field(
        default="tukey",
        description="what residuals cost: tukey: blunders count for nothing; huber: they pull with limited force; "
        "none: plain least squares",
    )
    tuning: float | None = Field(
        default=None,
        gt=0,
        description="residual, in standard deviations, from which on a pair is trusted less (huber) or not at all "
        "(tukey); by default 1.345 and 4.685",
    )
    turns: int = Field(default=9, ge=1, le=100, description="times that weights are found anew")
    smooth: Literal[0, 1, 2] = Field(
        default=0,
        description="Tikhonov regularisation: 1: the velocity shall change little from one interval to the next; "
        "2: its change shall; 0: none",
    )
    roughness: float | None = Field(
        default=None,
        gt=0,
        description="standard deviation of what shall be little, in units of the displacement per day; needed where "
        "smooth is not 0",
    )
    rescale: bool = Field(
        default=True,
        description="whether the standard errors of pairs are scaled, post by post, by how well the pairs close",
    )
    confidence: float = Field(
        default=4.0,
        ge=0,
        description="residuals that the given standard errors are worth beside those of the post when they are scaled",
    )

    @model_validator(mode="after")
    def _whole(self) -> InversionParameters:
        if self.smooth and self.roughness is None:
            raise ConfigError(f"smooth {self.smooth} needs a roughness, in units of the displacement per day")
        return self

    @property
    def limit(self) -> float:
        """The tuning that is used."""
        return self.tuning or _TUNING[self.loss]

    @cached_property
    def expected(self) -> Expected:
        """What the loss makes of normal residuals."""
        z = np.linspace(-8, 8, 16001)
        share = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
        far = np.abs(z) / self.limit
        if self.loss == "tukey":
            weight = np.clip(1 - far**2, 0, None) ** 2
        else:
            weight = 1 / np.maximum(far, 1) if self.loss == "huber" else np.ones_like(z)
        pull = weight * z
        stiffness = (np.gradient(pull, z) * share).sum()
        mean, square, pulled = ((what * share).sum() for what in (weight, weight * z * z, pull**2))
        return Expected(float(mean), float(square), float(mean * pulled / stiffness**2))

    def options(self) -> NDArray[np.float64]:
        """Return the numbers that the kernels take."""
        turns = self.turns if self.loss != "none" else 1
        code = float(_CODES[self.loss])
        return np.array([code, self.limit, turns, *self.expected, float(self.rescale), self.confidence])
