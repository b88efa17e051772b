"""Names of PRISMA products."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from sensetrack.errors import ProductNameError, one_line

NAME = re.compile(
    r"^PRS_(?P<level>L1|L1G2?|L2B|L2C|L2D)_(?P<kind>[A-Z]{3})_(?:(?P<chain>OFFL|NRT|RT)_)?"
    r"(?P<start>\d{14})_(?P<stop>\d{14})_(?P<version>\d{4})(?:\.he5|\.zip)?$"
)


@dataclass(frozen=True)
class PrismaName:
    """The parts of the name of a product."""

    level: str
    """L1, L1G, L1G2, L2B, L2C or L2D."""
    kind: str
    """STD: standard."""
    chain: str | None
    """OFFL, NRT or RT, where the level says it: how quickly it was made."""
    start: datetime
    """First line, UTC."""
    stop: datetime
    version: int


def parse_name(name: str) -> PrismaName:
    """Return the parts of the name of a product, with or without suffix.

    Raises
    ------
    ProductNameError
        It is not such a name.
    """
    found = NAME.match(name)
    if found is None:
        message = (
            f"is not the name of a PRISMA product, such as PRS_L2D_STD_20200813103056_20200813103100_0001.he5: {name}"
        )
        raise ProductNameError(one_line(message))
    try:
        start, stop = (datetime.strptime(found[key], "%Y%m%d%H%M%S").replace(tzinfo=UTC) for key in ("start", "stop"))
    except ValueError as error:
        message = f"the name {one_line(name)!r} holds {found['start']} and {found['stop']}, which are not both times"
        raise ProductNameError(message) from error
    return PrismaName(found["level"], found["kind"], found["chain"], start, stop, int(found["version"]))
