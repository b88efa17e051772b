"""File names of COSMO-SkyMed products, first and second generation, as typed fields."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal

from sensetrack.errors import ProductNameError

if TYPE_CHECKING:
    import os

CSK_MODES = {
    "HI": "Himage",
    "PP": "PingPong",
    "WR": "WideRegion",
    "HR": "HugeRegion",
    "S1": "Spotlight 1",
    "S2": "Enhanced Spotlight",
}
"""S1 is reserved: no product of it is known."""
CSG_MODES = {
    "S2A": "Spotlight 2A",
    "S2B": "Spotlight 2B",
    "S2C": "Spotlight 2C",
    "D2R": "Spotlight 2 MSOR",
    "D2S": "Spotlight 2 MSOS",
    "D2J": "Spotlight 2 MSJN",
    "OQR": "Spotlight 1 OQR",
    "OQS": "Spotlight 1 OQS",
    "EQR": "Spotlight EQR",
    "EQS": "Spotlight EQS",
    "STR": "Stripmap",
    "PPS": "PingPong",
    "QPS": "QuadPol",
    "SC1": "ScanSAR 1",
    "SC2": "ScanSAR 2",
}
ORBITS = {"D": "downlinked", "P": "predicted", "F": "filtered", "R": "restituted"}
"""Quality of the orbit of a second-generation product."""

Look = Literal["left", "right"]
Pass = Literal["ascending", "descending"]

_CSK = re.compile(
    r"CSKS(?P<sat>[1-4])_(?P<type>RAW|SCS|DGM|GEC|GTC)_(?P<bal>[BU])_(?P<mode>[A-Z0-9]{2})_(?P<swath>[0-9A-Z]{2})_"
    r"(?P<pol>HH|VV|HV|VH|CO|CH|CV)_(?P<look>[LR])(?P<orbit>[AD])_(?P<delivery>[FS])(?P<sa>[NF])_"
    r"(?P<start>\d{14})_(?P<stop>\d{14})(?P<tail>\..*)?"
)
_CSG = re.compile(
    r"CSG_SSAR(?P<sat>\d)_(?P<type>RAW|SCS|DGM|GEC|GTC)_(?P<bal>[UBF]|FQLK_B)_(?P<range>\d{2})(?P<azimuth>\d{2})_"
    r"(?P<mode>[A-Z0-9]{3})_(?P<beam>\d{3})_(?P<pol>HH|VV|HV|VH)_(?P<look>[LR])(?P<orbit>[AD])_(?P<quality>[DPFR])_"
    r"(?P<start>\d{14})_(?P<stop>\d{14})"
    r"(?:_(?P<seq>\w)_(?P<cover>[FC])_(?P<lat>\d{2})(?P<hemi>[NS])_Z(?P<zone>\d{2})_(?P<sq>[NFB])(?P<deg>\d{2}))?"
    r"(?P<tail>\..*)?"
)


@dataclass(frozen=True)
class CSKName:
    """What the name of a first-generation product says."""

    satellite: int
    """1 to 4."""
    level: str
    """RAW, SCS, DGM, GEC or GTC."""
    balanced: bool
    """Whether what the radar does to amplitudes is compensated; SCS_U is not."""
    mode: str
    """Two letters; see `CSK_MODES`."""
    swath: str
    """Beam, two letters or digits: 0A is one."""
    polarisation: str
    """HH, VV, HV, VH, or of two: CO (HH and VV), CH (HH and HV), CV (VV and VH)."""
    look: Look
    pass_direction: Pass
    delivery: Literal["fast", "standard"]
    selective_availability: bool
    start: datetime
    """UTC, whole seconds."""
    stop: datetime
    tail: str
    """What follows, such as .h5; may be empty."""

    @property
    def product_type(self) -> str:
        """Such as SCS_B."""
        return f"{self.level}_{'B' if self.balanced else 'U'}"

    @property
    def mode_name(self) -> str:
        """Such as Himage."""
        return CSK_MODES[self.mode]


@dataclass(frozen=True)
class CSGName:
    """What the name of a second-generation product says; None: the name ends before that."""

    satellite: int
    level: str
    """RAW, SCS, DGM, GEC or GTC."""
    kind: str
    """B, U, F or FQLK_B."""
    range_looks: int
    azimuth_looks: int
    mode: str
    """Three letters."""
    beam: str
    """Three digits."""
    polarisation: str
    look: Look
    pass_direction: Pass
    orbit: str
    """A value of `ORBITS`."""
    start: datetime
    """UTC, whole seconds."""
    stop: datetime
    sequence: str | None
    full: bool | None
    """Whether all of the acquisition is there; False: it was cut."""
    latitude: int | None
    """Of the centre, whole degrees, south negative."""
    epsg: int | None
    """UTM zone of the centre, or universal polar stereographic."""
    squint: int | None
    """Degrees, forward positive."""
    tail: str

    @property
    def product_type(self) -> str:
        """Such as SCS_B."""
        return f"{self.level}_{self.kind}"

    @property
    def mode_name(self) -> str | None:
        """Such as Stripmap; None for a mode that is not publicly known."""
        return CSG_MODES.get(self.mode)


def parse_csk_name(name: str | os.PathLike[str]) -> CSKName:
    """Return what the name of a first-generation product says.

    Parameters
    ----------
    name : path-like
        Last part of a path counts; a suffix such as .h5 or .S01.SBI.tif may follow.

    Raises
    ------
    ProductNameError
        It is not such a name, the name is cut, or it has an unknown mode, a date or a time that there is not.
    """
    text, found = _match(_CSK, name, "CSKSi_YYY_Z_MM_SS_PP_so_DG_start_stop of a first-generation product")
    if found["mode"] not in CSK_MODES:
        message = f"mode must be one of {', '.join(CSK_MODES)}, instead got {found['mode']} in the name {text}"
        raise ProductNameError(message)
    start, stop = _times(found, text)
    return CSKName(
        int(found["sat"]), found["type"], found["bal"] == "B", found["mode"], found["swath"], found["pol"],
        _LOOK[found["look"]], _PASS[found["orbit"]], "fast" if found["delivery"] == "F" else "standard",
        found["sa"] == "N", start, stop, found["tail"] or "",
    )  # fmt: skip


def parse_csg_name(name: str | os.PathLike[str]) -> CSGName:
    """Return what the name of a second-generation product says.

    Parameters
    ----------
    name : path-like
        Portals drop what follows the times; those fields are then None.

    Raises
    ------
    ProductNameError
        It is not such a name, or has a zone, a latitude, a date or a time that there is not.
    """
    text, found = _match(_CSG, name, "CSG_SSARn_YYY_Z_RRAA_MMM_SSS_PP_so_Q_start_stop of a second-generation product")
    start, stop = _times(found, text)
    tail: dict[str, Any] = dict.fromkeys(("sequence", "full", "latitude", "epsg", "squint"))
    if found["zone"] is not None:
        south, sign = found["hemi"] == "S", {"N": 0, "F": 1, "B": -1}[found["sq"]]
        latitude = int(found["lat"])
        if latitude > 90:
            raise ProductNameError(f"latitude must be at most 90, instead got {latitude} in the name {text}")
        tail = {
            "sequence": found["seq"], "full": found["cover"] == "F", "latitude": -latitude if south else latitude,
            "epsg": _epsg(int(found["zone"]), south=south, text=text), "squint": sign * int(found["deg"]),
        }  # fmt: skip
    return CSGName(
        int(found["sat"]), found["type"], found["bal"], int(found["range"]), int(found["azimuth"]), found["mode"],
        found["beam"], found["pol"], _LOOK[found["look"]], _PASS[found["orbit"]], ORBITS[found["quality"]], start,
        stop, **tail, tail=found["tail"] or "",
    )  # fmt: skip


def parse_name(name: str | os.PathLike[str]) -> CSKName | CSGName:
    """Return what the name of a product of either generation says; see `parse_csk_name` and `parse_csg_name`."""
    return parse_csg_name(name) if last(name).startswith("CSG") else parse_csk_name(name)


def last(name: str | os.PathLike[str]) -> str:
    """Last part of a path."""
    return PurePath(name).name


_LOOK: dict[str, Look] = {"L": "left", "R": "right"}
_PASS: dict[str, Pass] = {"A": "ascending", "D": "descending"}


def _match(pattern: re.Pattern[str], name: str | os.PathLike[str], rule: str) -> tuple[str, dict[str, Any]]:
    text = last(name)
    found = pattern.fullmatch(text)
    if found is None:
        raise ProductNameError(f"a name must be {rule}, instead got {text[:120]}")
    return text, found.groupdict()


def _times(found: dict[str, Any], text: str) -> tuple[datetime, datetime]:
    moments = []
    for part in (found["start"], found["stop"]):
        try:
            moments.append(datetime.strptime(part, "%Y%m%d%H%M%S").replace(tzinfo=UTC))
        except ValueError as error:
            raise ProductNameError(f"times must be dates of the calendar, instead got {part} in {text}") from error
    if moments[1] < moments[0]:
        raise ProductNameError(f"a product must stop after it starts, instead got the name {text}")
    return moments[0], moments[1]


def _epsg(zone: int, *, south: bool, text: str) -> int:
    if zone == 0:
        return 32761
    if zone == 61:
        return 32661
    if zone > 61:
        raise ProductNameError(f"zone must be 00 to 61, instead got {zone:02} in the name {text}")
    return (32700 if south else 32600) + zone
