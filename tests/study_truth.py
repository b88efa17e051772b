"""The study of examples/twenty_dates, and what is known of it at the posts."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

EXAMPLE = Path(__file__).parents[1] / "examples" / "twenty_dates"
CHIP, STEP = 32, 16
"""As in its study.yaml, px."""


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"twenty_dates_{name}", EXAMPLE / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found  # dataclasses look their module up
    spec.loader.exec_module(found)
    return found


make = _module("make")
Twin = make.Twin


def velocity(twin: Twin) -> np.ndarray:
    """(2, rows, cols) east and north at the posts, m/day."""
    return twin.at_posts(twin.metres(twin.velocity), CHIP, STEP)


def displacement(twin: Twin, number: int) -> np.ndarray:
    """(2, rows, cols) east and north since the first date at the posts, m."""
    return twin.at_posts(twin.metres(twin.displacement(number)), CHIP, STEP)


def still(twin: Twin) -> np.ndarray:
    """(rows, cols) True where hardly any of a chip moves."""
    return twin.at_posts(~twin.moving, CHIP, STEP) > 0.9


@dataclass(frozen=True)
class Errors:
    """How one component of the velocity differs from the truth."""

    rmse: float
    """Of the velocity, in its unit."""
    inside: float
    """Share of the posts where the truth is within a standard error."""
    posts: int


def errors(found: np.ndarray, sigma: np.ndarray, truth: np.ndarray, times: float = 3.0) -> Errors:
    """Compare at posts that are known about as well as a usual one: within some times its standard error.

    A season of a year cannot be told from a velocity where only a few dates are left, as at the edge of the swath.
    """
    known = np.isfinite(found) & (sigma < times * np.nanmedian(sigma))
    off = (found - truth)[known]
    return Errors(float(np.sqrt((off**2).mean())), float((np.abs(off) < sigma[known]).mean()), int(known.sum()))
