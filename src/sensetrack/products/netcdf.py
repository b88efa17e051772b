"""The product as one NetCDF file, with the names that users of ITS_LIVE know."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.files.netcdf import write_netcdf

if TYPE_CHECKING:
    from pathlib import Path

    import xarray

    from sensetrack.ot.interfaces import Displacement, OffsetField

_TIME = "%Y%m%dT%H:%M:%S.%f"


@dataclass(frozen=True)
class PairInfo:
    """Where a result comes from."""

    reference: str
    """Name of the reference file."""
    secondary: str
    """Name of the secondary file."""
    acquired: tuple[datetime | None, datetime | None]
    """When they were taken, UTC; None = unknown."""
    software: str
    """Name and version of what made the product."""
    caution: str = ""
    """What is to be said of motion measured on such images."""

    def attributes(self) -> dict[str, Any]:
        """Return what is known, under the names of ITS_LIVE."""
        about: dict[str, Any] = {
            "long_name": "the two images that were compared",
            "id_img1": self.reference,
            "id_img2": self.secondary,
            "software": self.software,
        } | ({"comment": self.caution} if self.caution else {})
        for i, moment in enumerate(self.acquired, start=1):
            if moment is not None:
                about |= {f"acquisition_date_img{i}": f"{moment:{_TIME}}", f"time_standard_img{i}": "UTC"}
        first, second = self.acquired
        if first is not None and second is not None:
            between = second - first
            about |= {"date_center": f"{first + between / 2:{_TIME}}", "date_dt": between / timedelta(days=1)}
        return about


def track_dataset(offsets: OffsetField, displacement: Displacement | None, pair: PairInfo) -> xarray.Dataset:
    """Gather displacement, velocity, offsets, quality and flags in one dataset; without georeference, no metres."""
    measured = offsets.to_xarray()
    data = measured
    if displacement is not None:
        data = displacement.to_xarray()
        data = data.assign({name: measured[name] for name in measured.data_vars if name not in data})
        data.attrs["comment"] += "; offsets keep what was measured under a flag"
    data["img_pair_info"] = ((), np.int32(0), pair.attributes())
    return data


def write_track_netcdf(folder: Path, offsets: OffsetField, displacement: Displacement | None, pair: PairInfo) -> None:
    """Write ``displacement.nc``, or ``offsets.nc`` where there are no metres."""
    name = "offsets.nc" if displacement is None else "displacement.nc"
    write_netcdf(folder / name, track_dataset(offsets, displacement, pair))
