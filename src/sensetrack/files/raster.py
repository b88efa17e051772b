"""Read windows of rasters with validity in them, and write cloud-optimised GeoTIFFs."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError  # rasterio lets some of GDAL's own errors through
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.windows import Window

from sensetrack.errors import ConfigError, InputError, MetadataError
from sensetrack.files.bands import Band, grey_bands
from sensetrack.files.damage import BlockSums, require_complete
from sensetrack.files.decoded import Blocks
from sensetrack.files.safe import RASTERS, driver_of, identify, sidecars
from sensetrack.files.strips import Strips
from sensetrack.grid import Grid
from sensetrack.ot.bands import LUMINANCE

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

log = logging.getLogger(__name__)

FILL_VALUES = (-9999.0, -32768.0, -99999.0, -3.4028234663852886e38, 3.4028234663852886e38)
"""Values that are never measurements in signed or floating data, declared or not."""
_FLAT_ZERO = 5
"""Side of the square of zeros, px, from which undeclared zeros are taken for "no data"."""
_ACQUIRED_TAGS = ("ACQUIRED", "ACQUISITION_DATETIME", "time_coverage_start")
"""Tags that say when a scene was taken. TIFFTAG_DATETIME is not among them: it says when a file was made."""

_ENV = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO", "GDAL_CACHEMAX": 32}
"""Neither read sidecar files (they could silently contradict the header) nor write any beside an input; MB of cache."""
_STRIPS = _ENV | {"GDAL_CACHEMAX": 256}
"""For compressed strips as wide as the image: room for what a row of tiles needs, or each would decode it again."""


@contextmanager
def quiet_gdal() -> Iterator[None]:
    """Open and write with `_ENV`, without a warning for every image that has no georeference."""
    import warnings

    with rasterio.Env(**_ENV), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@dataclass(frozen=True, eq=False)
class RasterFile:
    """An open raster and what its header says. Windows may be read from several threads."""

    path: Path
    driver: str
    grid: Grid
    """Shape always; transform and CRS where the header has both."""
    count: int
    dtype: str
    nodata: float | None
    tags: dict[str, str]
    roles: tuple[str, ...]
    """What each band is (grey, red, alpha ...)."""
    gcps: tuple[tuple[float, float, float, float], ...]
    """Ground control points (row, col, x, y) in `gcp_crs`; rows and columns in pixel corners."""
    gcp_crs: str | None
    descriptions: tuple[str, ...]
    """What each band is called; empty where it has no name."""
    dataset: Any = field(repr=False)
    lock: threading.Lock = field(repr=False)
    sums: BlockSums | None = field(repr=False)
    """Checksums of the compressed blocks; None where they have none."""
    blocks: Blocks | None = field(repr=False, default=None)
    """Blocks that stay decoded; None where decoding is quick."""
    strips: Strips | None = field(repr=False, default=None)
    """Lines that lie in the file as they are; None where it is of another kind."""
    memory: Any = field(repr=False, default=None)
    """What keeps the content of a file that was read from an archive."""

    @property
    def acquired(self) -> datetime | None:
        """When the scene was taken (UTC), where the header says so."""
        for tag in _ACQUIRED_TAGS:
            if tag in self.tags:
                return parse_time(self.tags[tag], self.path)
        return None

    def read(self, band: int, rows: slice, cols: slice) -> NDArray[Any]:
        """Read a window of a band (from 1) as stored.

        Raises
        ------
        InputError
            A block under the window is damaged.
        """
        if self.sums is not None:
            self.sums.require(band, rows, cols)
        if self.blocks is not None:
            return self.blocks.read(band, rows, cols)
        if self.strips is not None and band == 1:
            found = self.strips.read(rows, cols)
            if found is not None:
                return found
        return _window(
            self.dataset, self.lock, self.path, rows, cols, lambda window: self.dataset.read(band, window=window)
        )

    def read_mask(self, rows: slice, cols: slice) -> NDArray[np.bool_] | None:
        """Read the alpha band or mask the file carries, True = usable; None where it has none."""
        if "alpha" in self.roles:
            return self.read(self.roles.index("alpha") + 1, rows, cols) > 0
        flags = self.dataset.mask_flag_enums[0]
        if rasterio.enums.MaskFlags.per_dataset in flags:
            return (
                _window(
                    self.dataset,
                    self.lock,
                    self.path,
                    rows,
                    cols,
                    lambda window: self.dataset.dataset_mask(window=window),
                )
                > 0
            )
        return None


def _window(  # noqa: PLR0917
    dataset: Any, lock: threading.Lock, path: Path, rows: slice, cols: slice, read: Callable[[Window], Any]
) -> NDArray[Any]:
    """Read a window of a dataset whose lock is given."""
    strips = dataset.block_shapes[0][1] >= dataset.width and dataset.compression is not None
    window = Window(cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start)
    try:
        # Not `quiet_gdal`: filters of warnings are shared by all threads, and this runs in many.
        with lock, rasterio.Env(**(_STRIPS if strips else _ENV)):
            return np.asarray(read(window))
    except (RasterioIOError, OSError) as error:
        where = f"rows {rows.start}-{rows.stop}, columns {cols.start}-{cols.stop}"
        message = f"is truncated or damaged ({where} cannot be read)"
        raise InputError(message, path=path, advice="download it again") from error


def open_raster(path: str | os.PathLike[str]) -> RasterFile:
    """Open a local GeoTIFF, JPEG, PNG or JPEG 2000 by its content.

    Raises
    ------
    InputError
        Not such a file, damaged, or truncated.
    """
    checked, driver = identify(path, RASTERS)
    try:
        with quiet_gdal():
            dataset = rasterio.open(checked, driver=driver)
            require_complete(dataset, checked)
            file = described(dataset, checked, driver)
    except UnicodeEncodeError as error:
        raise InputError("has a name that is not valid UTF-8", path=path, advice="rename it") from error
    except (RasterioIOError, CPLE_BaseError) as error:
        raise InputError("is damaged (its header cannot be read)", path=path, advice="download it again") from error
    ignored = sidecars(checked)
    if ignored:
        log.info("%s: ignored beside it, since what the header says counts: %s", checked, ", ".join(ignored))
    return file


def open_raster_in_memory(content: bytes, path: Path) -> RasterFile:
    """Open a raster that was read from an archive; `path` is what messages call it.

    Raises
    ------
    InputError
        Not a raster of a known kind, or damaged.
    """
    driver = driver_of(content[:512], path, RASTERS)
    try:
        with quiet_gdal():
            memory = rasterio.MemoryFile(content)
            return described(memory.open(driver=driver), path, driver, memory)
    except (RasterioIOError, CPLE_BaseError) as error:
        raise InputError("is damaged (its header cannot be read)", path=path, advice="download it again") from error


def described(dataset: Any, path: Path, driver: str, memory: Any = None) -> RasterFile:
    """Return an open dataset with what its header says."""
    points, gcp_crs = dataset.gcps
    crs, affine = dataset.crs, dataset.transform
    try:
        # Without a CRS a transform has no unit; an identity with a CRS is a grid of 1 m pixels.
        grid = Grid(dataset.shape, affine, crs.to_wkt()) if crs else Grid(dataset.shape)
    except InputError as error:
        error.path = path
        raise
    if not crs and not affine.is_identity:
        log.warning("%s has a geotransform but no CRS: its unit is unknown, results stay in pixels", path)
    lock = threading.Lock()

    def decode(band: int, rows: slice, cols: slice) -> NDArray[Any]:
        return _window(dataset, lock, path, rows, cols, lambda window: dataset.read(band, window=window))

    blocks = Blocks(dataset.shape, dataset.block_shapes[0], decode) if driver == "JP2OpenJPEG" else None
    return RasterFile(
        path,
        driver,
        grid,
        dataset.count,
        dataset.dtypes[0],
        dataset.nodata,
        dict(dataset.tags()),
        tuple(role.name for role in dataset.colorinterp),
        tuple((p.row, p.col, p.x, p.y) for p in points) if not crs else (),
        gcp_crs.to_wkt() if gcp_crs and not crs else None,
        tuple(name or "" for name in dataset.descriptions),
        dataset,
        lock,
        None if memory is not None else BlockSums.of(dataset, path, lock),
        blocks,
        None if memory is not None else Strips.of(dataset, path, lock),
        memory,
    )


def choose_band(file: RasterFile, band: int) -> int:
    """Return `band` (from 1) where the file has it and it is a picture.

    Raises
    ------
    ConfigError
        Band 0 or negative.
    InputError
        The file has no such band, or it is the alpha channel.
    """
    if band < 1:
        message = f"bands are counted from 1, instead got band {band}"
        raise ConfigError(message)
    if band > file.count:
        raise InputError(f"has {file.count} band{'s'[: file.count > 1]}, no band {band}", path=file.path)
    if file.roles[band - 1] == ColorInterp.alpha.name:
        raise InputError(f"band {band} is the alpha channel", path=file.path, advice="choose another band")
    return band


_SMALL = 2**22
"""Pixels of a raster that is read at once: hundreds of small windows would take longer."""


class BandSource:
    """Pixels of one band, or the grey of three, as floating numbers, NaN where nothing was measured.

    A pixel is not usable where it has the nodata value, where alpha or mask are 0, and, where no nodata value
    is known, where it has one of `FILL_VALUES` or lies in a square of zeros of at least 5 x 5 px. Grey is not
    usable where one of its bands has such a value, and where all of them are zero in such a square.

    Parameters
    ----------
    file : RasterFile
    band : int or "grey"
        From 1.
    nodata : float, optional
        Overrides what the file declares and turns the rules for undeclared values off.
    """

    def __init__(self, file: RasterFile, band: Band, nodata: float | None = None) -> None:
        self.file = file
        self.bands = grey_bands(file) if band == "grey" else (choose_band(file, band),)
        self.nodata = file.nodata if nodata is None else nodata
        # NumPy has no complex integers; they are read as complex64.
        kind = np.dtype(np.complex64 if file.dtype == "complex_int16" else file.dtype)
        self.complex = kind.kind == "c"
        if self.complex:
            log.info("%s is complex, using its amplitude", file.path)
        exact = kind.itemsize <= 2 or kind == np.float32 or self.complex
        self.dtype = np.dtype(np.float32 if exact else np.float64)
        self.shape = file.grid.shape
        self._pixels: NDArray[Any] | None = None
        self._damaged = False
        self._decoding = threading.Lock()

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[Any]:
        rows, cols = (slice(*part.indices(size)) for part, size in zip(key, self.shape, strict=True))
        whole = self._whole()
        return self._masked(rows, cols) if whole is None else whole[rows, cols]

    def _whole(self) -> NDArray[Any] | None:
        """Return all pixels where they are to be read once, when first needed; None where windows are better."""
        # A picture can only be decoded from its top.
        picture = self.file.driver in ("JPEG", "PNG")
        if not (picture or self.shape[0] * self.shape[1] <= _SMALL) or self._damaged:
            return None
        with self._decoding:
            if self._pixels is None and not self._damaged:
                try:
                    self._pixels = self._masked(slice(0, self.shape[0]), slice(0, self.shape[1]))
                except InputError:
                    if picture:
                        raise
                    self._damaged = True  # somewhere: perhaps not where it is looked at
            return self._pixels

    def _masked(self, rows: slice, cols: slice) -> NDArray[Any]:
        # Whether a zero lies in a square of zeros is seen only with its neighbours.
        halo = _FLAT_ZERO + 3 if self.nodata is None else 0
        wide_rows, wide_cols = _widen(rows, halo, self.shape[0]), _widen(cols, halo, self.shape[1])
        raws = [self.file.read(band, wide_rows, wide_cols) for band in self.bands]
        values = self._brightness(raws)
        if self.nodata is None:
            missing = _undeclared(raws, lossy=self.file.driver == "JPEG")
        else:
            missing = np.any([raw == self.nodata for raw in raws], axis=0)
        mask = self.file.read_mask(wide_rows, wide_cols)
        if mask is not None:
            missing = missing | ~mask
        values[missing] = np.nan
        inner = (
            slice(rows.start - wide_rows.start, rows.stop - wide_rows.start),
            slice(cols.start - wide_cols.start, cols.stop - wide_cols.start),
        )
        return values[inner]

    def _brightness(self, raws: list[NDArray[Any]]) -> NDArray[Any]:
        parts = [(np.abs(raw) if self.complex else raw).astype(self.dtype) for raw in raws]
        if len(parts) == 1:
            return parts[0]
        grey = [part * self.dtype.type(weight) for part, weight in zip(parts, LUMINANCE, strict=True)]
        return np.asarray(grey[0] + grey[1] + grey[2])


def _widen(window: slice, halo: int, size: int) -> slice:
    return slice(max(window.start - halo, 0), min(window.stop + halo, size))


def _undeclared(raws: list[NDArray[Any]], *, lossy: bool) -> NDArray[np.bool_]:
    """Tell pixels without measurement where the file does not declare a nodata value."""
    import cv2

    kind = raws[0].dtype
    missing = np.zeros(raws[0].shape, bool)
    if kind.kind in "fi":
        fill = np.array(FILL_VALUES).astype(kind) if kind.kind == "f" else FILL_VALUES
        missing = np.any([np.isin(raw, fill) for raw in raws], axis=0)
    # JPEG's blocks ring around an edge: near-black within 3 px of a black area is part of it.
    zero = np.all([np.abs(raw) <= 8 if lossy else raw == 0 for raw in raws], axis=0).astype(np.uint8)
    flat = cv2.morphologyEx(zero, cv2.MORPH_OPEN, np.ones((_FLAT_ZERO, _FLAT_ZERO), np.uint8))
    if lossy:
        flat = cv2.dilate(flat, np.ones((7, 7), np.uint8))
    return np.asarray(missing | (flat > 0))


def parse_time(text: str, path: Path | None = None) -> datetime:
    """Read an ISO 8601 time; without a zone it is UTC.

    Raises
    ------
    ConfigError
        Not such a time; MetadataError where it comes from a file.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        kind = ConfigError if path is None else MetadataError
        message = f"an acquisition time must be ISO 8601 such as 2020-01-31T10:15:00Z, instead got {text!r}"
        raise kind(message, path=path) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def drivers() -> dict[str, str]:
    """Tell which of the raster drivers that are used this installation of GDAL has."""
    with rasterio.Env() as env:
        present = env.drivers()
    names = dict.fromkeys([*RASTERS.values(), "COG"])
    return {
        "GDAL": rasterio.__gdal_version__,
        **{name: "ok" if name in present else "missing" for name in names},
    }
