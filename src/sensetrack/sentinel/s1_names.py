"""What names of Sentinel-1 products and of their parts say."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from sensetrack.errors import ProductNameError, one_line
from sensetrack.sentinel.s1_types import S1Name

PLATFORMS = ("S1A", "S1B", "S1C", "S1D")
MODES = ("IW", "EW", "SM")
PRODUCTS = ("SLC", "GRD")
POLARISATIONS = {"SH": ("HH",), "SV": ("VV",), "DH": ("HH", "HV"), "DV": ("VV", "VH")}
"""What the letters of a name stand for; a single cross-polarisation is called HH, HV, VV or VH."""

NAME = re.compile(
    r"(?P<platform>S1[A-Z])_(?P<mode>[A-Z0-9]{2})_(?P<product>[A-Z]{3})(?P<resolution>[FHM_])_"
    r"(?P<level>\d)(?P<product_class>[A-Z])(?P<polarisation>[SDHV][HV])_"
    r"(?P<start>\d{8}T\d{6})_(?P<stop>\d{8}T\d{6})_(?P<absolute_orbit>\d{6})_(?P<datatake>[0-9A-F]{6})_"
    r"(?P<unique>[0-9A-F]{4})(?![0-9A-Z])",
)
"""What a product is called."""
PART = r"s1[a-z]-(?:(?:iw|ew|s)\d?|wv\d?)-(?:slc|grd)-[hv]{2}-[^/]*"
"""What the parts of a product are called: one file for each swath and polarisation."""
BURST = re.compile(
    r"S1_(?P<burst>\d{6})_(?P<swath>[EI]W\d)_(?P<start>\d{8}T\d{6})_(?P<polarisation>[HV]{2})_"
    r"(?P<unique>[0-9A-F]{4})-BURST",
)
"""What ASF calls one burst; the four digits are the last ones of the product it was cut from."""


def parse_name(name: str) -> S1Name:
    """Read the name of a product, with or without folders and suffix.

    Raises
    ------
    ProductNameError
        It is not one of Sentinel-1, or of a satellite, mode or product that is not read.
    """
    found = NAME.search(last(name))
    if found is None:
        example = "S1A_IW_SLC__1SDV_20230904T063730_20230904T063757_050174_0609E3_DAA1"
        raise ProductNameError(f"a product is called like {example}, instead got {one_line(last(name))}")
    parts = found.groupdict()
    mode = "SM" if re.fullmatch(r"S[1-6]", parts["mode"]) else parts["mode"]
    require_known(parts["platform"], mode, parts["product"], name)
    start, stop = (moment(parts[key]) for key in ("start", "stop"))
    return S1Name(
        parts["platform"],
        parts["mode"],
        parts["product"],
        parts["resolution"],
        parts["level"],
        parts["product_class"],
        parts["polarisation"],
        start,
        stop,
        int(parts["absolute_orbit"]),
        parts["datatake"],
        parts["unique"],
    )


def moment(text: str) -> datetime:
    """Read a time as names have it, such as 20230904T063730 (UTC).

    Raises
    ------
    ProductNameError
        It is none.
    """
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise ProductNameError(f"a name has times such as 20230904T063730, instead got {one_line(text)!r}") from error


def require_known(platform: str, mode: str, product: str, path: object) -> None:
    """Raise ProductNameError for a satellite, a mode or a product that is not read; `path` is named."""
    for what, value, known in (
        ("satellite", platform, PLATFORMS),
        ("mode", mode, MODES),
        ("product", product, PRODUCTS),
    ):
        if value not in known:
            message = f"{what} must be one of {', '.join(known)}, instead got {one_line(value)!r}"
            raise ProductNameError(message, path=str(path))


def last(name: str) -> str:
    """Return what comes after the last folder."""
    return name.rstrip("/\\").replace("\\", "/").rpartition("/")[2]


def part_key(name: str) -> str:
    """Return the key of a file of a product: iw1/vv for annotation/s1a-iw1-slc-vv-....xml."""
    found = re.search(r"s1[a-z]-(\w+)-(?:slc|grd)-([hv]{2})-", last(name).lower())
    return "" if found is None else f"{found[1]}/{found[2]}"
