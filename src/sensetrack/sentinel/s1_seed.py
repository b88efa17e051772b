"""The names of the first release for what Sentinel-1 products say of themselves."""

from __future__ import annotations

from dataclasses import astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensetrack.sentinel.s1 import open_sentinel1
from sensetrack.sentinel.s1_names import last, parse_name
from sensetrack.sentinel.s1_xml import utc

if TYPE_CHECKING:
    import os

    from sensetrack.sentinel.s1_types import S1Info

_FIELDS = (
    "ORBIT_PASS", "NODE_TIME", "RELATIVE_ORBIT", "PLATFORM", "MODE", "PRODUCT", "RES", "LEVEL", "CLASS", "POLARIZATION",
    "ABSOLUTE_ORBIT", "DATAID", "ID",
)  # fmt: skip


def reformat_node_time(iso: str) -> str:
    """Return an ISO 8601 time as YYYYmmddTHHMMSSffffff."""
    return f"{utc(iso, 'a node time', Path()):%Y%m%dT%H%M%S%f}"


def s1_mean_incidence_angle_rad(filename: str | os.PathLike[str], polarization: str | None = None) -> float:
    """Return the mean incidence angle of a product, radians; see `Sentinel1.mean_incidence_angle`.

    The first release took VV by default, and failed for products without it.
    """
    return open_sentinel1(filename).mean_incidence_angle(polarization)


class S1ManifestParser:
    """Reads names and manifests."""

    @staticmethod
    def s1slc_orbit_properties(filename: str | os.PathLike[str]) -> tuple[str, str, int]:
        """Return pass (ASCENDING or DESCENDING), time of the ascending node, and relative orbit."""
        info = open_sentinel1(filename).info
        return info.ORBIT_PASS, info.NODE_TIME, info.RELATIVE_ORBIT

    @staticmethod
    def parse_filename_regex(name: str | os.PathLike[str]) -> tuple[Any, ...]:
        """Return the twelve parts of the name of a product; start and stop as times (UTC)."""
        parts = parse_name(last(str(name)))
        return astuple(parts)

    @staticmethod
    def create_from_filename(filename: str | os.PathLike[str]) -> S1Info:
        """Return what the manifest of a product says."""
        return open_sentinel1(filename).info

    @staticmethod
    def parse_metadata(filename: str | os.PathLike[str]) -> dict[str, Any]:
        """Return what the manifest of a product says as a dictionary: names of the first release, then ours."""
        info = open_sentinel1(filename).info
        return {name: getattr(info, name) for name in _FIELDS} | {f.name: getattr(info, f.name) for f in fields(info)}
