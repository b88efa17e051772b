"""Write HDF5 files, for what is simulated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from sensetrack.errors import OutputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Item:
    """A group, or a dataset where there is data."""

    attributes: dict[str, Any] = field(default_factory=dict)
    data: NDArray[Any] | None = None


def write_hdf5(path: Path, items: dict[str, Item], *, as_bytes: bool = True) -> Path:
    """Write a new file.

    Parameters
    ----------
    path : Path
    items : dict
        By their names; that of the root is empty.
    as_bytes : bool
        Whether text becomes bytes of a fixed length, as space agencies write it; else text of any length.

    Raises
    ------
    OutputError
        The file exists, or there is no room.
    """
    try:
        with h5py.File(path, "x") as file:
            for name, item in items.items():
                target = file.require_group(name or "/") if item.data is None else _dataset(file, name, item.data)
                for key, value in item.attributes.items():
                    target.attrs[key] = np.bytes_(value) if as_bytes and isinstance(value, str) else value
    except OSError as error:
        raise OutputError(f"cannot be written ({error})", path=path) from error
    return path


def _dataset(file: Any, name: str, data: NDArray[Any]) -> Any:
    chunks = tuple(min(size, 128) if i < 2 else size for i, size in enumerate(data.shape))
    return file.create_dataset(
        name, data=data, chunks=chunks, compression="gzip", compression_opts=1, track_times=False
    )


def write_arrays(
    path: Path,
    data: dict[str, Any],
    attributes: dict[str, dict[str, Any]],
    chunks: dict[str, tuple[int, ...]] | None = None,
) -> None:
    """Write an HDF5 file of arrays and attributes by path; the root's attributes are at "".

    Parameters
    ----------
    path : Path
        Replaced where it exists.
    data : dict
        Name -> array.
    attributes : dict
        Name -> attributes of a dataset, or of a group, which is made where it is not there.
    chunks : dict, optional
        Name -> shape of the chunks in which a dataset is stored, packed; others are in one piece.
    """
    try:
        path.unlink(missing_ok=True)  # it may be open, and then keeps what it holds
        with h5py.File(path, "w") as file:
            for name, values in data.items():
                pieces = (chunks or {}).get(name)
                file.create_dataset(name, data=values, chunks=pieces, compression="gzip" if pieces else None)
            for name, found in attributes.items():
                node = file if not name else file[name] if name in file else file.create_group(name)
                node.attrs.update(found)
    except OSError as error:
        raise OutputError("cannot be written", path=path, advice="check space and permission of the disk") from error
