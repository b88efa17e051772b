"""Results of pairs, as `track` and `slc` write them: which there are, what they say, and their layers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from sensetrack.errors import InputError
from sensetrack.files.raster import BandSource, open_raster, parse_time
from sensetrack.files.safe import check_file

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from sensetrack.files.raster import RasterFile
    from sensetrack.grid import Grid

RECORD = "run.json"
"""What makes a folder one of a pair."""
PAIRS = "pairs"
"""Folder of a study in which its pairs are."""
COMPONENTS: dict[Literal["m", "px"], tuple[str, str]] = {"m": ("dx", "dy"), "px": ("d_row", "d_col")}
"""What is measured, by its unit."""
_MOVED: dict[Literal["m", "px"], str] = {"m": "displacement.tif", "px": "offsets.tif"}
_LARGEST_RECORD = 64 * 2**20


class PairLayers(NamedTuple):
    """What was measured of a pair; (rows, cols) float32 each, in the unit of the pair."""

    first: NDArray[np.float32]
    """dx, or d_row; NaN = not measured, or flagged."""
    second: NDArray[np.float32]
    """dy, or d_col."""
    sigma_first: NDArray[np.float32]
    """Standard error; NaN where not measured or not known."""
    sigma_second: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PairFolder:
    """A folder that `track` or `slc` has written, opened; layers are read when asked for."""

    path: Path
    dates: tuple[datetime, datetime]
    """When reference and secondary were taken, UTC."""
    scenes: tuple[str, str]
    """Names of their files."""
    unit: Literal["m", "px"]
    """Of the layers: m where there is a georeference."""
    grid: Grid
    """Of the posts."""
    step: tuple[int, int] | None
    """Image pixels between posts; None where not known."""
    images: tuple[tuple[int, int], tuple[float, float]] | None
    """Rows and columns of the images, and (row, col) of the first post in them; None where not known."""
    support: tuple[int, int]
    """Posts (rows, cols) that a chip covers: what lies within half of it decides a post; at least 1."""
    record: dict[str, Any] = field(repr=False)
    """All that its run record says."""

    @property
    def name(self) -> str:
        """Dates of both: YYYYMMDD-YYYYMMDD."""
        return f"{self.dates[0]:%Y%m%d}-{self.dates[1]:%Y%m%d}"

    def files(self) -> tuple[RasterFile, ...]:
        """Open the files of the layers: one folder at a time, since GDAL's warnings are silenced for all threads."""
        names = [_MOVED[self.unit], "quality.tif", *(["flags.tif"] if self.unit == "px" else [])]
        opened = tuple(open_raster(self.path / name) for name in names)
        for file in opened:
            if not file.grid.same_as(self.grid):
                raise InputError(f"must have the posts of {_MOVED[self.unit]}", path=file.path)
        return opened

    def read(self, files: tuple[RasterFile, ...] | None = None) -> PairLayers:
        """Read the layers.

        Parameters
        ----------
        files : tuple of RasterFile, optional
            What `files` has returned; several threads may then read at once.

        Raises
        ------
        InputError
            A file is damaged, or lacks a band.
        """
        names = COMPONENTS[self.unit]
        moved, quality, *flags = self.files() if files is None else files
        parts = [_band(moved, name, self.unit) for name in names]
        parts += [_band(quality, f"sigma_{name}", self.unit) for name in names]
        known = np.isfinite(parts[0]) & np.isfinite(parts[1])
        for file in flags:  # flagged offsets keep what was measured
            known &= file.read(1, slice(0, self.grid.shape[0]), slice(0, self.grid.shape[1])) == 0
        for part in parts:
            part[~known] = np.nan
        for part in parts[2:]:
            part[~(np.isfinite(part) & (part > 0))] = np.nan
        return PairLayers(*parts)


def find_pairs(folders: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Return folders of pairs: those that are given, and those in folders that are given.

    Raises
    ------
    InputError
        A folder is none, or holds no pair.
    """
    found: dict[Path, None] = {}
    for name in folders:
        folder = Path(name)
        if not folder.is_dir():
            message = "is a file, not a folder of pairs" if folder.exists() else "not found"
            raise InputError(message, path=name, advice="give folders that track or slc has written, or one of such")
        inside = [folder] if (folder / RECORD).is_file() else _within(folder) or _within(folder / PAIRS)
        if not inside:
            message = f"holds no pair: no {RECORD}, and no folder with one"
            raise InputError(message, path=name, advice="give folders that track or slc has written, or one of such")
        found |= dict.fromkeys(path.absolute() for path in inside)
    if not found:
        raise InputError("there is no folder of a pair", advice="give folders that track or slc has written")
    return list(found)


def _within(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(one for one in folder.iterdir() if not one.name.startswith(".") and (one / RECORD).is_file())


def open_pair_folder(path: str | os.PathLike[str]) -> PairFolder:
    """Read the record of a folder that `track` or `slc` has written, and the header of what it measured.

    Raises
    ------
    InputError
        Not such a folder, or its images have no dates.
    """
    folder = Path(path)
    record = _record(folder / RECORD)
    unit: Literal["m", "px"] = "m" if (folder / _MOVED["m"]).exists() else "px"
    if not (folder / _MOVED[unit]).exists():
        advice = "give a folder of a pair; track must write cog, too"
        raise InputError(f"holds neither {_MOVED['m']} nor {_MOVED['px']}", path=folder, advice=advice)
    file = open_raster(folder / _MOVED[unit])
    if unit == "m" and not file.grid.georeferenced:
        raise InputError("has no georeference, though it is in metres", path=file.path)
    first, second = _dates(record, folder / RECORD)
    step = _pair_of(_at(record, "grid", "step_px")) or _pair_of(_at(record, "configuration", "step"))
    chip = _pair_of(_at(record, "configuration", "parameters", "chip")) or _pair_of(
        _at(record, "configuration", "chip")
    )
    support = (1, 1) if step is None or chip is None else (max(1, chip[0] // step[0]), max(1, chip[1] // step[1]))
    return PairFolder(folder, (first, second), _scenes(record), unit, file.grid, step, _images(record), support, record)


def _record(path: Path) -> dict[str, Any]:
    checked = check_file(path)
    if checked.stat().st_size > _LARGEST_RECORD:
        raise InputError("is larger than 64 MiB, which no run record is", path=path)
    try:
        found = json.loads(checked.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError("is not a run record (no valid JSON)", path=path, advice="run the pair again") from error
    if not isinstance(found, dict):
        raise InputError("is not a run record (no mapping)", path=path, advice="run the pair again")
    return found


def _dates(record: dict[str, Any], path: Path) -> tuple[datetime, datetime]:
    acquired = record.get("acquired")
    if not isinstance(acquired, list) or len(acquired) != 2 or not all(isinstance(one, str) for one in acquired):
        advice = "track the pair again with --reference-date and --secondary-date"
        raise InputError("does not say when both images were taken", path=path, advice=advice)
    first, second = (parse_time(text, path) for text in acquired)
    if first == second:
        raise InputError(f"says that both images were taken at the same time, {first:%Y-%m-%d %H:%M:%S}", path=path)
    return first, second


def _images(record: dict[str, Any]) -> tuple[tuple[int, int], tuple[float, float]] | None:
    shape, first = _pair_of(_at(record, "grid", "image_px")), _at(record, "grid", "first_post_px")
    if shape is None or not isinstance(first, list) or len(first) != 2:
        return None
    return (shape, (first[0], first[1])) if all(isinstance(one, float | int) for one in first) else None


def _at(record: Any, *keys: str) -> Any:
    for key in keys:
        record = record.get(key) if isinstance(record, dict) else None
    return record


def _pair_of(value: Any) -> tuple[int, int] | None:
    """Return two whole numbers of at least 1; None where it is something else."""
    if isinstance(value, list) and len(value) == 2 and all(isinstance(one, int) and one >= 1 for one in value):
        return value[0], value[1]
    return None


def _scenes(record: dict[str, Any]) -> tuple[str, str]:
    """Return names of both files; empty where they are not known."""
    inputs = record.get("inputs")
    paths = [_at(one, "path") for one in inputs[:2]] if isinstance(inputs, list) else []
    names = [Path(one).name if isinstance(one, str) else "" for one in paths]
    first, second, *_ = [*names, "", ""]
    return first, second


def _band(file: RasterFile, name: str, unit: str) -> NDArray[np.float32]:
    """Read a band by its description, NaN = missing."""
    if name not in file.descriptions:
        found = ", ".join(one or "nothing" for one in file.descriptions)
        raise InputError(f"has no band {name}, instead got {found}", path=file.path)
    number = file.descriptions.index(name)
    stated = file.dataset.units[number] or unit
    if stated != unit:
        raise InputError(f"band {name} must be in {unit}, instead got {stated[:20]}", path=file.path)
    missing = np.nan if file.nodata is None else file.nodata  # a zero is a measurement
    values = BandSource(file, number + 1, missing)[0 : file.grid.shape[0], 0 : file.grid.shape[1]]
    values = np.array(values, np.float32)
    values[~np.isfinite(values)] = np.nan
    return values
