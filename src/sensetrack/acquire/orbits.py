"""Orbit files of Sentinel-1 from the public bucket that the Alaska Satellite Facility keeps; no account is needed.

The bucket lists by the beginning of names, and names begin with the day a file was made: some three weeks after the
day it is for where it is precise, and within the day where it is restituted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from sensetrack.acquire.network import Remote, get_bytes
from sensetrack.errors import DownloadError, InputError
from sensetrack.files.markup import parse_xml

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

BUCKET = "https://s1-orbits.s3.amazonaws.com"
_NAME = re.compile(
    r"(?P<platform>S1[A-Z])_OPER_AUX_(?:POE|RES)ORB_OPOD_(?P<made>\d{8}T\d{6})"
    r"_V(?P<start>\d{8}T\d{6})_(?P<stop>\d{8}T\d{6})\.EOF"
)
_DAYS: dict[str, tuple[int, int]] = {"POEORB": (5, 45), "RESORB": (0, 2)}
"""Days after a pass in which the file for it is made as a rule, the best kind first."""
_MARGIN = timedelta(seconds=60)
"""State vectors are wanted this much before and after a scene."""
_PAGES = 50


@dataclass(frozen=True)
class Wanted:
    """The time for which an orbit is wanted."""

    platform: str
    start: datetime
    """UTC."""
    stop: datetime


def find_orbit(session: requests.Session, wanted: Wanted, *, kind: Literal["POEORB", "RESORB"]) -> Remote | None:
    """Look for the orbit file that covers a scene; of several the one made last. None where there is none yet.

    Raises
    ------
    DownloadError
        The bucket does not answer, or not with a list.
    """
    for prefixes in _prefixes(wanted, kind):
        keys = (key for prefix in prefixes for key in _listed(session, prefix))
        best = max((fit for key in keys if (fit := _fit(key, wanted)) is not None), default=None)
        if best is not None:
            return Remote(f"{BUCKET}/{quote(best[1])}", Path(best[1]).name, magic=b"<?xml")
    return None


def _fit(key: str, wanted: Wanted) -> tuple[datetime, str] | None:
    """Return when a file was made and its key, if it covers what is wanted."""
    match = _NAME.fullmatch(key.rpartition("/")[2])
    if match is None or match["platform"] != wanted.platform:
        return None
    made, start, stop = (_moment(match[part]) for part in ("made", "start", "stop"))
    covers = start <= wanted.start - _MARGIN and stop >= wanted.stop + _MARGIN
    return (made, key) if covers else None


def _prefixes(wanted: Wanted, kind: str) -> Iterator[list[str]]:
    """Yield beginnings of names, the likeliest first: by the days on which the file may have been made."""
    stem = f"AUX_{kind}/{wanted.platform}_OPER_AUX_{kind}_OPOD_"
    first, last = _DAYS[kind]
    days = [wanted.start + timedelta(days=day) for day in range(first, last + 1)]
    yield [stem + made for made in sorted({f"{day:%Y%m}" if kind == "POEORB" else f"{day:%Y%m%d}" for day in days})]
    if kind == "POEORB":  # made again, years later
        yield [stem]


def _listed(session: requests.Session, prefix: str) -> Iterator[str]:
    after = ""
    for _ in range(_PAGES):
        options = {"list-type": "2", "prefix": prefix} | ({"start-after": after} if after else {})
        try:
            root = parse_xml(get_bytes(session, BUCKET, params=options), f"list of {prefix}")
        except InputError as error:
            raise DownloadError(f"the list of orbit files is not one: {error.cause}") from None
        keys = [element.text or "" for element in root.iter() if element.tag.rpartition("}")[2] == "Key"]
        yield from keys
        more = next((element.text for element in root.iter() if element.tag.rpartition("}")[2] == "IsTruncated"), "")
        if (more or "").lower() != "true" or not keys:
            return
        after = keys[-1]


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
