"""Checksum files beside inputs: what a provider said a file holds is compared with what it holds."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from sensetrack.errors import EnvironmentFault, InputError

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

_KINDS = {"md5": 32, "sha256": 64}
"""Suffixes of checksum files, which are also the names of the sums, and their hexadecimal digits."""
_LARGEST = 2**20
"""Bytes of a checksum file that are looked at."""


def require_checksum(path: Path) -> None:
    """Compare a file with the checksum files beside it: its name and ``.md5`` or ``.sha256``, or its stem and those.

    A checksum file holds lines as `md5sum` and `sha256sum` write them, or one bare sum. A line that names another
    file says nothing about this one.

    Raises
    ------
    InputError
        The file is not what the checksum file says.
    """
    for kind in _KINDS:
        for beside in dict.fromkeys([path.with_name(f"{path.name}.{kind}"), path.with_suffix(f".{kind}")]):
            if beside == path or not os.path.isfile(beside):  # noqa: PTH113  a Path would choke on long names
                continue
            promised = _promised(beside, path.name, kind)
            if promised is None:
                log.warning("%s: holds no %s sum of %s, which is not checked", beside, kind, path.name)
                continue
            status = path.stat()
            found = _sum(path, kind, status.st_size, status.st_mtime_ns)
            if found != promised:
                message = f"checksum differs ({kind} {found[:12]}..., {beside.name} says {promised[:12]}...)"
                raise InputError(message, path=path, advice="download it again")
            log.debug("%s: %s sum is that of %s", path, kind, beside.name)


def _promised(beside: Path, name: str, kind: str) -> str | None:
    """Return the sum a checksum file holds for `name`; None where it holds none."""
    try:
        with beside.open("rb") as file:
            text = file.read(_LARGEST).decode("utf-8", "replace")
    except OSError as error:
        raise EnvironmentFault(f"cannot be read ({error.strerror})", path=beside) from error
    digits = rf"[0-9A-Fa-f]{{{_KINDS[kind]}}}"
    for line in text.splitlines():
        coreutils = re.fullmatch(rf"\\?({digits})(?:\s+\*?(.+?))?\s*", line.lstrip("\ufeff"))
        if coreutils:
            found, named = coreutils.groups()
        elif bsd := re.fullmatch(rf"\w+ ?\((.+)\) ?= ?({digits})\s*", line):
            named, found = bsd.groups()
        else:
            continue
        # The folder a sum was taken in is not the one the file is in now.
        if named is None or re.split(r"[/\\]", named)[-1] == name:
            return str(found).lower()
    return None


@lru_cache(maxsize=256)
def _sum(path: Path, kind: str, _size: int, _changed: int) -> str:
    """Return the sum of a file, taken once as long as its size and time stay: a mask is opened more than once."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise EnvironmentFault(f"cannot be read ({error.strerror})", path=path) from error
