"""Tables as CSV."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import OutputError
from sensetrack.products.timeseries_points import cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


def write_table(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table; what is not known is empty, times are ISO 8601 and UTC.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(head)
            for row in rows:
                lines.writerow([_text(one) for one in row])
    except OSError as error:
        raise OutputError("cannot be written", path=path, advice="check space and permission of the disk") from error


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, np.datetime64):
        return f"{np.datetime_as_string(value, 's')}Z"
    return "inf" if not isinstance(value, str) and value == np.inf else cell(value)
