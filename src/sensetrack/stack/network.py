"""Which scenes make pairs: networks from lists of dates, tracks, orbits and perpendicular baselines."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from sensetrack.errors import ConfigError, NoMatchError
from sensetrack.ot.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from sensetrack.ot.parameters import PxPair

REPEAT_DAYS = 12.0
"""Days between two passes of one satellite of Sentinel-1."""
_YEAR = 365.25
_SLACK = 0.01
"""Days: two satellites of one track pass within the same minute of another day; a few seconds are no day."""
_SAME_PASS = timedelta(minutes=10)
"""Frames of one pass follow one another within this time."""


def utc(moment: date | str) -> datetime:
    """Return a time as a datetime without zone, UTC; a date alone is its midnight, text is ISO 8601 or YYYYMMDD."""
    if isinstance(moment, str):
        try:
            return utc(datetime.fromisoformat(moment))
        except ValueError as error:
            raise ConfigError(f"a date must be such as 2026-08-07 or 20260807, instead got {moment[:40]!r}") from error
    if not isinstance(moment, datetime):
        return datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001, RUF100
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


@dataclass(frozen=True)
class Acquisition:
    """One scene, or all frames of one pass."""

    moment: datetime
    """When it was taken, UTC without zone; dates and ISO texts are taken too."""
    name: str = ""
    """Of the product or file."""
    platform: str = ""
    """Such as S1A."""
    track: int | None = None
    """Relative orbit: only scenes of one track see the ground from one side. None = not known, one track of its own."""
    orbit: int | None = None
    """Absolute orbit."""
    perpendicular: float | None = None
    """Perpendicular baseline to any one scene of the track, m."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "moment", utc(self.moment))

    def same_pass(self, other: Acquisition) -> bool:
        """Tell whether both are frames of one pass."""
        if self.track != other.track or self.platform != other.platform:
            return False
        near = abs(self.moment - other.moment) <= _SAME_PASS
        return near and (self.orbit == other.orbit or None in {self.orbit, other.orbit})


@dataclass(frozen=True)
class ScenePair:
    """Two acquisitions of one track, the earlier one first."""

    reference: Acquisition
    secondary: Acquisition

    @property
    def days(self) -> float:
        """Days between them."""
        return (self.secondary.moment - self.reference.moment) / timedelta(days=1)

    @property
    def perpendicular(self) -> float | None:
        """Perpendicular baseline, m; None where it is not known."""
        first, second = self.reference.perpendicular, self.secondary.perpendicular
        return None if first is None or second is None else second - first

    @property
    def name(self) -> str:
        """Dates of both, as folders of pairs are called: YYYYMMDD-YYYYMMDD."""
        return f"{self.reference.moment:%Y%m%d}-{self.secondary.moment:%Y%m%d}"

    def search(self, base: PxPair = (10, 30), repeat: float = REPEAT_DAYS) -> PxPair:
        """Return the search of this pair, (azimuth, range) px; see `scaled_search`."""
        return scaled_search(base, self.days, repeat)


class NetworkParameters(Parameters):
    """How scenes are paired. What `kind` makes is cut by all limits that are given."""

    kind: Literal["sequential", "days", "redundant", "season"] = Field(
        default="sequential",
        description="sequential: each scene with the next one; days: all pairs within max_days; redundant: each scene "
        "with its next neighbours; season: each scene with the next one, and with those of the same season of other "
        "years",
    )
    neighbours: int = Field(default=3, ge=1, description="scenes that each one is paired with; redundant only")
    season_days: float = Field(
        default=20.0, gt=0, le=90, description="days by which a season may differ between years; season only"
    )
    years: int = Field(default=1, ge=1, description="most years between scenes of the same season; season only")
    min_days: float = Field(default=0.0, ge=0, description="pairs nearer in time are left out, days")
    max_days: float | None = Field(default=None, gt=0, description="pairs further apart in time are left out, days")
    max_perpendicular: float | None = Field(
        default=None, gt=0, description="pairs with a longer perpendicular baseline, or an unknown one, are left out, m"
    )
    tracks: tuple[int, ...] = Field(default=(), description="tracks (relative orbits) that are used; none given: all")

    @model_validator(mode="after")
    def _whole(self) -> NetworkParameters:
        if self.kind == "days" and self.max_days is None:
            raise ConfigError("a network of kind days needs max_days")
        if self.max_days is not None and self.max_days < self.min_days:
            raise ConfigError(f"max_days must be at least min_days, {self.min_days:g}, instead got {self.max_days:g}")
        return self


def network(scenes: Iterable[Acquisition], how: NetworkParameters | None = None) -> list[ScenePair]:
    """Pair scenes of each track, sorted by time whatever the satellite.

    Frames of one pass count once, the first one in time.

    Parameters
    ----------
    scenes : iterable of Acquisition
    how : NetworkParameters, optional

    Returns
    -------
    list of ScenePair
        By time of the reference, then of the secondary; no pair twice.

    Raises
    ------
    NoMatchError
        There is no pair.
    """
    how = how or NetworkParameters()
    all_of_them = list(scenes)
    by_track: dict[int | None, list[Acquisition]] = {}
    for scene in passes_of(all_of_them):
        if not how.tracks or scene.track in how.tracks:
            by_track.setdefault(scene.track, []).append(scene)
    made = {pair for row in by_track.values() for pair in _MAKE[how.kind](row, how) if _fits(pair, how)}
    if not made:
        message = f"no two scenes make a pair: {len(all_of_them)} given, on {len(by_track)} tracks"
        raise NoMatchError(message, advice="allow more days or a longer baseline, or add scenes")
    return sorted(made, key=lambda p: (p.reference.moment, p.secondary.moment, p.reference.name, p.secondary.name))


def passes_of(scenes: Iterable[Acquisition]) -> list[Acquisition]:
    """Sort scenes by time, and keep the first frame of each pass."""
    kept: list[Acquisition] = []
    for scene in sorted(scenes, key=lambda one: (one.moment, one.platform, one.name)):
        if not any(scene.same_pass(other) for other in kept[-8:]):
            kept.append(scene)
    return kept


def _sequential(row: Sequence[Acquisition], _: NetworkParameters) -> list[ScenePair]:
    return [ScenePair(*two) for two in pairwise(row)]


def _days(row: Sequence[Acquisition], how: NetworkParameters) -> list[ScenePair]:
    return _between(row, 0, math.inf if how.max_days is None else how.max_days + _SLACK)


def _redundant(row: Sequence[Acquisition], how: NetworkParameters) -> list[ScenePair]:
    return [ScenePair(one, other) for i, one in enumerate(row) for other in row[i + 1 : i + 1 + how.neighbours]]


def _season(row: Sequence[Acquisition], how: NetworkParameters) -> list[ScenePair]:
    pairs = _sequential(row, how)
    for years in range(1, how.years + 1):
        pairs += _between(row, years * _YEAR - how.season_days, years * _YEAR + how.season_days)
    return pairs


def _between(row: Sequence[Acquisition], least: float, most: float) -> list[ScenePair]:
    """Pair scenes that are so many days apart; no scene is looked at that is further away, however many there are."""
    days = [(scene.moment - row[0].moment) / timedelta(days=1) for scene in row]
    pairs = []
    for i, one in enumerate(row):
        first = bisect_left(days, days[i] + least, i + 1)
        pairs += [ScenePair(one, other) for other in row[first : bisect_right(days, days[i] + most, first)]]
    return pairs


_MAKE = {"sequential": _sequential, "days": _days, "redundant": _redundant, "season": _season}


def _fits(pair: ScenePair, how: NetworkParameters) -> bool:
    if pair.days < how.min_days - _SLACK or (how.max_days is not None and pair.days > how.max_days + _SLACK):
        return False
    if how.max_perpendicular is None:
        return True
    return pair.perpendicular is not None and abs(pair.perpendicular) <= how.max_perpendicular


def search_factor(days: float, repeat: float = REPEAT_DAYS) -> int:
    """Return by how much a search grows with the time between two scenes: max(1, ceil(days / repeat)).

    Days are counted whole: a pass that comes some seconds late is not a second one.
    """
    if not (math.isfinite(days) and repeat > 0):
        raise ConfigError(f"days must be finite and repeat above 0, instead got {days:g} and {repeat:g}")
    return max(1, math.ceil(round(abs(days)) / repeat))


def scaled_search(base: PxPair, days: float, repeat: float = REPEAT_DAYS) -> PxPair:
    """Return the search for a pair: what is enough for one repeat, times `search_factor`.

    Parameters
    ----------
    base : (int, int)
        Search of a pair of one repeat, (azimuth, range) or (rows, cols), px.
    days : float
        Between the scenes.
    repeat : float
        Days that `base` is meant for.
    """
    factor = search_factor(days, repeat)
    return base[0] * factor, base[1] * factor


@dataclass(frozen=True, eq=False)
class Network:
    """Dates and the pairs between them as numbers: what an inversion works with.

    Make one with `Network.of`.
    """

    dates: NDArray[np.datetime64]
    """(n_dates,) datetime64[ms], increasing."""
    pairs: NDArray[np.int64]
    """(n_pairs, 2): positions of reference and secondary in `dates`. A pair may run back in time."""

    @classmethod
    def of(cls, pairs: Iterable[ScenePair | tuple[date | str, date | str]]) -> Network:
        """Make a network of pairs, or of (date of reference, date of secondary), in the order in which they come.

        Raises
        ------
        ConfigError
            There are none, or one has twice the same time.
        """
        moments = [
            (p.reference.moment, p.secondary.moment) if isinstance(p, ScenePair) else (utc(p[0]), utc(p[1]))
            for p in pairs
        ]
        if not moments:
            raise ConfigError("a network needs at least one pair")
        found = np.array(moments, "datetime64[ms]")
        same = found[:, 0] == found[:, 1]
        if same.any():
            raise ConfigError(f"a pair must have two different dates, instead got {found[same][0][0]} twice")
        dates, place = np.unique(found, return_inverse=True)
        return cls(dates, place.reshape(found.shape).astype(np.int64))

    @property
    def days(self) -> NDArray[np.float64]:
        """(n_dates,) days since the first date."""
        return np.asarray((self.dates - self.dates[0]) / np.timedelta64(1, "D"), np.float64)

    @property
    def spans(self) -> NDArray[np.float64]:
        """(n_pairs,) days from reference to secondary; below 0 where a pair runs back in time."""
        return self.days[self.pairs[:, 1]] - self.days[self.pairs[:, 0]]

    @property
    def names(self) -> list[str]:
        """Pairs by their dates, YYYYMMDD-YYYYMMDD."""
        day = [str(text).replace("-", "") for text in np.datetime_as_string(self.dates, "D")]
        return [f"{day[i]}-{day[j]}" for i, j in self.pairs]

    def subnetworks(self, used: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Tell which dates hang together.

        Parameters
        ----------
        used : ndarray, optional
            (n_pairs,) pairs that count; all by default.

        Returns
        -------
        ndarray
            (n_dates,) number of the sub-network, from 0 in the order of time; -1 = a date without a pair.
        """
        owner = np.arange(self.dates.size)
        kept = self.pairs if used is None else self.pairs[used]
        for first, second in kept:
            low, high = sorted((_root(owner, first), _root(owner, second)))
            owner[high] = low
        roots = np.array([_root(owner, i) for i in range(owner.size)])
        alone = np.bincount(roots, minlength=owner.size)[roots] == 1
        number = np.full(owner.size, -1, np.int64)
        _, number[~alone] = np.unique(roots[~alone], return_inverse=True)
        return number

    def triplets(self) -> NDArray[np.int64]:
        """Return (n, 3) pairs (a, b, c) whose displacements close: a + b - c = 0, where all run forward in time.

        Pairs that run back in time are not used. Of pairs with the same two dates the first one counts.
        """
        place: dict[tuple[int, int], int] = {}
        for number, (first, second) in enumerate(self.pairs.tolist()):
            place.setdefault((first, second), number)
        forward = sorted(key for key in place if key[0] < key[1])
        onward: dict[int, list[int]] = {}
        for first, second in forward:
            onward.setdefault(first, []).append(second)
        found = [
            (place[i, j], place[j, k], place[i, k]) for i, j in forward for k in onward.get(j, ()) if (i, k) in place
        ]
        return np.array(found, np.int64).reshape(-1, 3)


def _root(owner: NDArray[np.int64], i: int) -> int:
    while owner[i] != i:
        owner[i] = owner[owner[i]]
        i = int(owner[i])
    return i
