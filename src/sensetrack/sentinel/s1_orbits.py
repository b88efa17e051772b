"""Orbit files of Sentinel-1: which one serves a product, and what it says.

ESA makes a precise orbit (POEORB) some weeks after the day it is for, and a restituted one (RESORB) within hours of
each pass.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from sensetrack.errors import EnvironmentFault, InputError, MetadataError, one_line
from sensetrack.files.archive import read_file
from sensetrack.files.markup import parse_xml
from sensetrack.sar.orbit import Orbit
from sensetrack.sentinel.s1_names import last, moment
from sensetrack.sentinel.s1_xml import Node, utc

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

Place = str | os.PathLike[str]
OrbitPlaces = Place | tuple[Place, ...]
"""A file, a folder of files, or several of them."""

_KINDS: dict[str, Literal["precise", "restituted"]] = {"POEORB": "precise", "RESORB": "restituted"}
"""Types of orbit files, the best first."""
_NAME = re.compile(
    r"(?P<platform>S1[A-Z])_OPER_AUX_(?P<kind>POEORB|RESORB)_\w{4}_(?P<made>\d{8}T\d{6})"
    r"_V(?P<start>\d{8}T\d{6})_(?P<stop>\d{8}T\d{6})\.EOF(\.zip)?",
    re.IGNORECASE,
)
_LARGEST = 64 * 2**20
"""Bytes of an orbit file; a real one has 4.7 million."""
_AROUND = 60.0
"""Seconds before and after a product of which state vectors are kept."""


@dataclass(frozen=True)
class OrbitFile:
    """An orbit file, as its name says."""

    path: Path
    platform: str
    kind: str
    """POEORB or RESORB."""
    made: datetime
    start: datetime
    stop: datetime

    @property
    def quality(self) -> Literal["precise", "restituted"]:
        """How good its orbit is."""
        return _KINDS[self.kind]


def find_orbit_file(places: OrbitPlaces, platform: str, start: datetime, stop: datetime) -> OrbitFile | None:
    """Return the best orbit file for an interval; None where there is none.

    A precise orbit is better than a restituted one; of two, the later made.

    Parameters
    ----------
    places : path-like or tuple of path-like
        Files are told by their names, in folders too; what is called otherwise in a folder is left alone.
    platform : str
        S1A to S1D.
    start, stop : datetime
        Must lie within the validity of the file.

    Raises
    ------
    InputError
        A place does not exist, or a file that is given is not called like an orbit file.
    """
    each = places if isinstance(places, tuple) else (places,)
    fitting = [
        file
        for place in each
        for file in _listed(place)
        if file.platform == platform and file.start <= start and stop <= file.stop
    ]
    order = tuple(_KINDS)
    return min(fitting, key=lambda file: (order.index(file.kind), -file.made.timestamp(), file.path), default=None)


def _listed(place: Place) -> Iterable[OrbitFile]:
    text = os.fspath(place)
    if not os.path.isdir(text):  # noqa: PTH112  a Path would choke on long names
        file = _by_name(Path(text))
        if not os.path.lexists(text):
            raise InputError("not found", path=text, advice="check the spelling")
        if file is None:
            example = "S1A_OPER_AUX_POEORB_OPOD_20231102T080652_V20231012T225942_20231014T005942.EOF"
            raise InputError(f"an orbit file is called like {example}", path=text, advice="keep the name it came with")
        return [file]
    try:
        names = sorted(os.listdir(text))  # noqa: PTH208
    except OSError as error:
        raise EnvironmentFault(f"cannot be read ({error.strerror})", path=text) from error
    return [file for file in (_by_name(Path(text, name)) for name in names) if file is not None]


def _by_name(path: Path) -> OrbitFile | None:
    found = _NAME.fullmatch(last(str(path)))
    if found is None:
        return None
    made, start, stop = (moment(found[key].upper()) for key in ("made", "start", "stop"))
    return OrbitFile(path.absolute(), found["platform"].upper(), found["kind"].upper(), made, start, stop)


def read_orbit_file(file: OrbitFile, epoch: datetime, start: datetime, stop: datetime) -> Orbit:
    """Return the orbit around an interval from an orbit file, zipped or not.

    Raises
    ------
    MetadataError
        It is not what its name says, unreadable, not fixed to the Earth, or does not cover the interval.
    """
    content, path = read_file(file.path, r"[^/]*\.EOF", _LARGEST)
    root = Node(parse_xml(content, path), path)
    header = root.child("Earth_Explorer_Header")
    _require(header, "Fixed_Header/File_Type", f"AUX_{file.kind}")
    _require(header, "Fixed_Header/Mission", f"Sentinel-{file.platform[1:]}")
    _require(header, "Variable_Header/Ref_Frame", "EARTH_FIXED")
    _require(header, "Variable_Header/Time_Reference", "UTC")
    used = _around(root, start, stop)
    times = np.array([(utc(v.text("UTC"), "UTC", path) - epoch).total_seconds() for v in used])
    first, final = ((edge - epoch).total_seconds() for edge in (start, stop))
    doubtful = {v.text("Quality", "NOMINAL") for v in used} - {"NOMINAL"}
    if doubtful:
        message = f"Quality of state vectors must be NOMINAL, instead got {one_line(', '.join(sorted(doubtful)))}"
        raise MetadataError(message, path=path, advice="take another orbit file")
    states = np.array([[v.number(tag) for tag in ("X", "Y", "Z", "VX", "VY", "VZ")] for v in used]).reshape(-1, 6)
    try:
        orbit = Orbit(epoch, times, states[:, :3], states[:, 3:], file.path.name, file.quality)
    except InputError as error:
        raise MetadataError(error.cause, path=path) from error
    if not orbit.covers(first, final):
        message = f"its state vectors must cover {start:%Y-%m-%dT%H:%M:%S} to {stop:%H:%M:%S}, which they do not"
        raise MetadataError(message, path=path, advice="download it again")
    return orbit


def _around(root: Node, start: datetime, stop: datetime) -> list[Node]:
    """Return the state vectors around an interval: of nine thousand some dozen, told by the text of their times."""
    low, high = (
        f"{edge + timedelta(seconds=by):%Y-%m-%dT%H:%M:%S}" for edge, by in ((start, -_AROUND), (stop, _AROUND))
    )
    vectors = root.all("Data_Block/List_of_OSVs/OSV")
    return [vector for vector in vectors if low <= vector.text("UTC").removeprefix("UTC=")[:19] <= high]


def _require(header: Node, where: str, value: str) -> None:
    said = header.text(where)
    if said.upper() != value.upper():
        name = where.rpartition("/")[2]
        raise MetadataError(f"{name} must be {value}, instead got {one_line(said)!r}", path=header.path)


def orbit_places(places: Place | Iterable[Place]) -> OrbitPlaces:
    """Return places as `find_orbit_file` takes them."""
    return places if isinstance(places, str | os.PathLike) else tuple(places)
