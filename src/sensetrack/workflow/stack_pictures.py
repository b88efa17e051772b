"""The pictures of a stack: network, velocity, and the series and warnings of its points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import SenseTrackWarning
from sensetrack.notices import warn
from sensetrack.stack.warning import inverse_velocity

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from sensetrack.workflow.stack_points import Told
    from sensetrack.workflow.stacking import Stacked

VELOCITY = {"dx": "vx", "dy": "vy", "d_row": "v_row", "d_col": "v_col"}
"""What the velocity along each component is called."""
_MOST = 12
"""Points of which pictures are drawn, at most."""
_BENDS = 400
"""Places at which a fitted motion is drawn."""
PICTURES = (
    "network.png",
    "velocity.png",
    "warning.png",
    *(f"{what}_{number}.png" for what in ("series", "inverse_velocity") for number in range(1, _MOST + 1)),
)
"""Every picture that may be drawn."""


def draw_stack(part: Path, stacked: Stacked, told: Told | None, record: dict[str, Any]) -> None:
    """Draw everything; of the first points only where there are many."""
    _draw_network(part, stacked, record)
    _draw_velocity(part, stacked, told)
    if told is None:
        return
    if len(told.names) > _MOST:
        text = f"pictures are drawn of the first {_MOST} of {len(told.names)} points; tables have all"
        warn(text, SenseTrackWarning, stacklevel=2)
    for place in range(min(len(told.names), _MOST)):
        _draw_series(part, stacked, told, place)
        _draw_inverse(part, stacked, told, place)
    if told.passings:
        from sensetrack.pictures.warning import draw_thresholds

        limits = stacked.config.thresholds
        draw_thresholds(part / "warning.png", told.speeds, told.names, limits.limits, told.passings,
                        confidence=limits.confidence)  # fmt: skip


def _draw_network(part: Path, stacked: Stacked, record: dict[str, Any]) -> None:
    from sensetrack.pictures.network import draw_network

    share = np.minimum(*(one.quality.measured for one in stacked.components))
    draw_network(
        part / "network.png",
        stacked.network.dates,
        stacked.network.pairs,
        state=["used" if kept else "left out" for kept in stacked.kept],
        quality=100 * share,
        quality_name="Posts at which it is trusted",
        subtitle=f"{record['statistics']['pairs']} pairs of {record['statistics']['dates']} dates, "
        f"{record['statistics']['pairs_left_out']} left out",
    )


def _draw_velocity(part: Path, stacked: Stacked, told: Told | None) -> None:
    from sensetrack.pictures.velocity import draw_velocity_map

    one, other = stacked.velocity
    if stacked.pairs.unit == "px":  # along the columns first
        one, other = other, one
    points = [] if told is None else [
        (name, int(row), int(col)) for name, (row, col) in zip(told.names[:_MOST], told.posts[:_MOST], strict=True)
    ]  # fmt: skip
    dates = np.datetime_as_string(stacked.network.dates[[0, -1]], "D")
    unit = f"{stacked.pairs.unit}/day"
    draw_velocity_map(
        part / "velocity.png", one, other, stacked.speed.value, stacked.pairs.grid, sigma=stacked.speed.sigma,
        unit=unit, points=points, title="Mean velocity",
        subtitle=f"{dates[0]} to {dates[1]}   ·   {int(stacked.kept.sum())} pairs",
    )  # fmt: skip


def _draw_series(part: Path, stacked: Stacked, told: Told, place: int) -> None:
    from sensetrack.pictures.series import Trace, draw_series

    dates, unit = stacked.network.dates, stacked.pairs.unit
    bends = _bends(dates)
    traces = []
    for series, motion, component in zip(told.series, told.motion, stacked.components, strict=True):
        values = motion.values[:, place, 0]
        known = bool(np.isfinite(values[0]))
        traces.append(
            Trace(
                component.name,
                series.displacement[:, place, 0],
                series.sigma[:, place, 0],
                None if series.parameters.smooth else series.subnetwork[:, place, 0],
                float(motion.velocity[place, 0]),
                float(motion.velocity_sigma[place, 0]),
                motion.parameters.basis(bends, motion.middle) @ np.nan_to_num(values) if known else None,
                _note(motion, place, unit),
            )
        )
    row, col = (int(one) for one in told.posts[place])
    draw_series(
        part / f"series_{place + 1}.png", dates, traces, name=told.names[place], unit=unit, model_dates=bends,
        events=np.array(stacked.config.motion.steps, "datetime64[ms]"), subtitle=where(stacked, row, col),
    )  # fmt: skip


def _draw_inverse(part: Path, stacked: Stacked, told: Told, place: int) -> None:
    from sensetrack.pictures.warning import draw_inverse_velocity

    limits, speeds = stacked.config.thresholds, told.speed_of(place)
    row, col = (int(one) for one in told.posts[place])
    draw_inverse_velocity(
        part / f"inverse_velocity_{place + 1}.png", speeds, inverse_velocity(speeds, limits.confidence),
        told.failures[place], name=told.names[place], unit=stacked.pairs.unit, confidence=limits.confidence,
        limits=limits.limits if stacked.pairs.unit == "m" else None, why=told.why[place],
        subtitle=where(stacked, row, col),
    )  # fmt: skip


def where(stacked: Stacked, row: int, col: int) -> str:
    """Say where a post is."""
    grid = stacked.pairs.grid
    if not grid.georeferenced or grid.crs is None:
        return f"row {row}, column {col}"
    x, y = (float(one) for one in grid.xy(row, col))
    digits = 5 if grid.crs.is_geographic else 0
    return f"x {x:.{digits}f}, y {y:.{digits}f} in {grid.crs.to_string() if grid.crs.to_epsg() else grid.crs.name}"


def _bends(dates: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    """Return times at which a fitted motion is drawn."""
    span = (dates[-1] - dates[0]) / np.timedelta64(1, "ms")
    return np.asarray(dates[0] + (np.linspace(0, 1, _BENDS) * span).round().astype("timedelta64[ms]"))


def _note(motion: Any, place: int, unit: str) -> str:
    """Say what the motion has beside its velocity."""
    said = []
    if motion.parameters.seasonal and np.isfinite(motion.amplitude[place, 0]):
        said.append(f"season {motion.amplitude[place, 0]:.3g} {unit}, largest on day {motion.peak_day[place, 0]:.0f}")
    if motion.parameters.acceleration and np.isfinite(motion.term("acceleration")[place, 0]):
        value, sigma = motion.term("acceleration")[place, 0], motion.sigma("acceleration")[place, 0]
        said.append(f"{value:+.2g} ± {sigma:.1g} {unit}/day²")
    return ", ".join(said)
