"""Elements of Sentinel-1 metadata whose missing or unreadable parts are errors that name file and tag."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from sensetrack.errors import MetadataError

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

_TIME = re.compile(r"(?:UTC=)?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d):([0-5]\d|60)(?:\.(\d{1,12}))?(Z|[+-]\d\d:?\d\d)?")
_AGAIN = "download it again"


@dataclass(frozen=True, eq=False)
class Node:
    """An element of a document.

    Parameters
    ----------
    element : Element
    path : Path
        What messages call the document.
    """

    element: Element
    path: Path

    def maybe(self, where: str) -> Node | None:
        """Return what lies at a place below (tags with "/" between them); None where nothing does."""
        found = self.element.find(where)
        return None if found is None else Node(found, self.path)

    def child(self, where: str) -> Node:
        """Return what lies at a place below.

        Raises
        ------
        MetadataError
            Nothing does.
        """
        found = self.maybe(where)
        if found is None:
            raise MetadataError(f"{_shown(where)} is missing", path=self.path, advice=_AGAIN)
        return found

    def all(self, where: str) -> list[Node]:
        """Return everything that lies at a place below, in order."""
        return [Node(found, self.path) for found in self.element.findall(where)]

    def text(self, where: str, default: str | None = None) -> str:
        """Return a text; `default` where it is missing or empty."""
        value = (self.element.findtext(where) or "").strip()
        if value:
            return value
        if default is not None:
            return default
        what = "is missing" if self.element.find(where) is None else "is empty"
        raise MetadataError(f"{_shown(where)} {what}", path=self.path, advice=_AGAIN)

    def number(self, where: str, default: str | None = None) -> float:
        """Return a finite number."""
        text = self.text(where, default)
        try:
            value = float(text)
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            raise MetadataError(f"{_shown(where)} must be a number, instead got {text[:40]!r}", path=self.path)
        return value

    def whole(self, where: str, default: str | None = None) -> int:
        """Return a whole number."""
        value = self.number(where, default)
        if value != int(value):
            raise MetadataError(f"{_shown(where)} must be a whole number, instead got {value:g}", path=self.path)
        return int(value)

    def above(self, where: str) -> float:
        """Return a number above 0."""
        value = self.number(where)
        if not value > 0:
            raise MetadataError(f"{_shown(where)} must be above 0, instead got {value:g}", path=self.path)
        return value

    def numbers(self, where: str) -> NDArray[np.float64]:
        """Return a list of one or more finite numbers."""
        text = self.text(where)
        try:
            values = np.array(text.split(), np.float64)
        except ValueError:
            values = np.array([np.nan])
        if not np.isfinite(values).all():
            raise MetadataError(f"{_shown(where)} must be a list of numbers", path=self.path, advice=_AGAIN)
        return values

    def time(self, where: str) -> datetime:
        """Return a time (UTC)."""
        return utc(self.text(where), where, self.path)

    def seconds(self, where: str, epoch: datetime) -> float:
        """Return a time as seconds since an epoch."""
        return (self.time(where) - epoch).total_seconds()


def _shown(where: str) -> str:
    """Return a place as messages show it: without the wildcards of namespaces."""
    return re.sub(r"\{\*\}|^\.//", "", where)


def utc(text: str, what: str, path: Path) -> datetime:
    """Read a time to the microsecond; without a zone it is UTC. A leap second is the first second after it.

    Raises
    ------
    MetadataError
        It is none; `what` names the tag.
    """
    found = _TIME.fullmatch(text.strip())
    message = f"{_shown(what)} must be a time such as 2020-01-31T10:15:00.000000, instead got {text[:40]!r}"
    if found is None:
        raise MetadataError(message, path=path)
    minute, second, fraction, zone = found.groups()
    micro = round(int((fraction or "0").ljust(12, "0")) / 10**6)
    try:
        moment = datetime.fromisoformat(f"{minute}:00{zone or '+00:00'}")
        return (moment + timedelta(seconds=int(second), microseconds=micro)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise MetadataError(message, path=path) from error
