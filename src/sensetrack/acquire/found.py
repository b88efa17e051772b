"""What a search has found: scenes, the days on which they join, and the pairs that they make."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Literal

from sensetrack.errors import ConfigError, NoMatchError

Which = Literal["earliest", "latest"]


@dataclass(frozen=True)
class SceneFound:
    """One product that a provider has."""

    name: str
    """Of the product, without ending."""
    platform: str
    """Such as S1A."""
    start: datetime
    """First line, UTC."""
    stop: datetime
    url: str
    size: int | None = None
    """Bytes."""
    md5: str | None = None
    track: int | None = None
    """Relative orbit."""
    frame: int | None = None
    orbit: int | None = None
    """Absolute orbit."""
    direction: str | None = None
    """ascending or descending."""
    polarisation: str | None = None
    """Such as VV+VH."""
    footprint: str | None = None
    """Well-known text, longitude and latitude."""
    extra: str | None = None
    """Address of a second file that belongs to it, such as the metadata of a burst."""

    def as_dict(self) -> dict[str, Any]:
        """Return what is known as plain values, for JSON."""
        times = {"start": self.start.isoformat(), "stop": self.stop.isoformat()}
        return {name: value for name, value in (asdict(self) | times).items() if value is not None}


@dataclass(frozen=True)
class Pass:
    """The scenes of one pass over an area: neighbours along the track, seconds apart."""

    scenes: tuple[SceneFound, ...]

    @property
    def start(self) -> datetime:
        """First line of the first scene, UTC."""
        return self.scenes[0].start

    @property
    def key(self) -> tuple[str, int | None, int | None]:
        """What scenes of one pass share: platform, absolute orbit, track."""
        first = self.scenes[0]
        return first.platform, first.orbit, first.track


@dataclass(frozen=True)
class Pair:
    """Two passes of one track, the earlier one first."""

    reference: Pass
    secondary: Pass

    @property
    def days(self) -> float:
        """Days between the passes."""
        return (self.secondary.start - self.reference.start) / timedelta(days=1)

    @property
    def name(self) -> str:
        """Dates of both, as folders of pairs are called: YYYYMMDD-YYYYMMDD."""
        return f"{self.reference.start:%Y%m%d}-{self.secondary.start:%Y%m%d}"


def passes(scenes: list[SceneFound]) -> list[Pass]:
    """Join scenes of one pass, and sort passes by time, whatever the satellite.

    A product that is there in several versions counts once, the one that comes last by name.
    """
    once = {(scene.platform, scene.start, scene.polarisation): scene for scene in sorted(scenes, key=lambda s: s.name)}
    ordered = sorted(once.values(), key=lambda scene: (scene.start, scene.name))
    by_pass = sorted(ordered, key=_pass_of)  # stable: by time within
    joined = [Pass(tuple(group)) for _, group in groupby(by_pass, key=_pass_of)]
    return sorted(joined, key=lambda one: (one.start, one.scenes[0].name))


def _pass_of(scene: SceneFound) -> tuple[str, int, int, str]:
    day = "" if scene.orbit is not None else f"{scene.start:%Y%m%d}"
    return scene.platform, scene.orbit or 0, scene.track or 0, day


def chosen(found: list[Pass], count: int | None, which: Which = "earliest") -> list[Pass]:
    """Take `count` passes, the earliest or the latest ones, in the order of time.

    Raises
    ------
    ConfigError
        A count below 1.
    """
    if count is None:
        return found
    if count < 1:
        raise ConfigError(f"the number of scenes must be at least 1, instead got {count}")
    return found[:count] if which == "earliest" else found[-count:]


def pairs(found: list[Pass], *, apart: int = 1, max_days: float | None = None) -> list[Pair]:
    """Pair each pass with the one that comes `apart` passes later on the same track.

    Parameters
    ----------
    found : list of Pass
    apart : int
        1: consecutive passes.
    max_days : float, optional
        Pairs further apart in time are left out.

    Raises
    ------
    NoMatchError
        There is no pair.
    """
    by_track: dict[int | None, list[Pass]] = {}
    for one in found:
        by_track.setdefault(one.scenes[0].track, []).append(one)
    made = [Pair(*two) for row in by_track.values() for two in zip(row, row[apart:], strict=False)]
    kept = [pair for pair in made if max_days is None or pair.days <= max_days]
    if not kept:
        message = f"no two passes of one track make a pair: {len(found)} found on {len(by_track)} tracks"
        raise NoMatchError(message, advice="search a longer time, or one track with --track")
    return sorted(kept, key=lambda pair: (pair.reference.start, pair.secondary.start))
