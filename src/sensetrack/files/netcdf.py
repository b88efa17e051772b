"""Write labelled arrays as NetCDF-4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

    import xarray

_CHUNK = 512
"""Side of the tiles in which maps are stored and compressed."""


def write_netcdf(path: Path, dataset: xarray.Dataset) -> None:
    """Write a dataset as a compressed NetCDF-4 file.

    The same dataset gives the same bytes.

    Parameters
    ----------
    path : Path
        Replaced where it exists.
    dataset : xarray.Dataset
        Missing floating numbers are NaN, in the file too; coordinates have none missing.
    """
    encoding: dict[str, dict[str, Any]] = {}
    for name, variable in dataset.variables.items():
        known = encoding.setdefault(str(name), {})
        if variable.dtype.kind == "f":
            known["_FillValue"] = None if name in dataset.coords else np.dtype(variable.dtype).type(np.nan)
        if variable.ndim == 2:
            tiles = tuple(max(1, min(size, _CHUNK)) for size in variable.shape)
            known |= {"zlib": True, "complevel": 4, "shuffle": True, "chunksizes": tiles}
    # Made in memory: HDF5 takes the whole process down when it cannot write what it holds to a full disk.
    content = dataset.to_netcdf(None, engine="h5netcdf", encoding=encoding)
    try:
        path.write_bytes(content)
    except OSError as error:
        raise OutputError("cannot be written", path=path, advice="check space and permission of the disk") from error
