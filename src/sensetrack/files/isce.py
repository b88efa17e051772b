"""The files of ISCE2's dense offsets, written and read.

========================  ===============================  =====================  ==============
file                      bands (float32, BIL)             not measured, radar    on a map (.geo)
========================  ===============================  =====================  ==============
``dense_offsets.bil``     azimuth, range offset, px        -10000                 -10000
``dense_offsets_snr.bil`` SNR                              0                      -10000
``dense_offsets_cov.bil`` range, azimuth variance, cross   999                    -10000
``filt_dense_offsets.bil``  azimuth, range offset, px      -10000                 -10000
========================  ===============================  =====================  ==============

Each has ``name.xml`` (ISCE2's header) and ``name.vrt`` (GDAL's). ISCE2 itself fills its maps with 0 where there is
nothing, which cannot be told from no motion; ours have the null value there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from sensetrack.errors import ConfigError, InputError
from sensetrack.files.isce_raw import read_raw, write_raw

if TYPE_CHECKING:
    import os

    from affine import Affine
    from numpy.typing import NDArray

    from sensetrack.ot.fields import OffsetField

    Layer = NDArray[np.float32]

NULL = -10000.0
"""What ISCE2 writes for offsets that were not measured."""
NO_SNR = 0.0
NO_COVARIANCE = 999.0


class _File(NamedTuple):
    name: str
    bands: tuple[str, ...]
    missing: float | None
    """None: the null value."""


_OFFSETS = _File("dense_offsets", ("azimuth offset (px)", "range offset (px)"), None)
_SNR = _File("dense_offsets_snr", ("snr",), NO_SNR)
_COVARIANCE = _File(
    "dense_offsets_cov",
    ("variance of range (px2)", "variance of azimuth (px2)", "covariance (px2)"),
    NO_COVARIANCE,
)
_FILTERED = _File("filt_dense_offsets", _OFFSETS.bands, None)

_ORDERS = {"cpu": (1, 0, 2), "gpu": (0, 1, 2)}
"""Where the variance of d_row, that of d_col and the covariance are among the bands; both ways the same."""


@dataclass(frozen=True, eq=False)
class DenseOffsets:
    """What is in the files; arrays are (rows, cols), NaN where nothing was measured."""

    d_row: Layer
    """Azimuth offset, px, along the flight."""
    d_col: Layer
    """Range offset, px, away from the radar."""
    snr: Layer | None = None
    covariance: Layer | None = None
    """(rows, cols, 3): variance of d_row, variance of d_col, covariance, px^2: the order of `OffsetField`, not that
    of the file."""
    filtered: tuple[Layer, Layer] | None = None
    """(d_row, d_col) after ISCE2's filter; see `sensetrack.sar.ampcor_filter`."""
    geo: Affine | None = None
    """(col, row) in pixel corners -> (lon, lat), degrees, without rotation; None in radar geometry."""

    @classmethod
    def of(cls, field: OffsetField, filtered: tuple[Layer, Layer] | None = None) -> DenseOffsets:
        """Take everything that was measured from a field of offsets, flagged or not."""
        return cls(field.d_row, field.d_col, field.snr, field.covariance, filtered)


def dense_offsets_names(offsets: DenseOffsets, *, geo: bool | None = None) -> tuple[str, ...]:
    """Return the names of the files that `write_dense_offsets` would write, on a map or in radar geometry."""
    end = _ending(geo=offsets.geo is not None if geo is None else geo)
    return tuple(f"{file.name}{end}{header}" for file, _ in _layers(offsets) for header in ("", ".xml", ".vrt"))


def write_dense_offsets(
    folder: Path, offsets: DenseOffsets, *, null: float = NULL, geo: Affine | None = None
) -> tuple[Path, ...]:
    """Write the files of dense offsets, each with both headers; ``*.bil.geo`` where they are on a map.

    Parameters
    ----------
    folder : Path
        Exists already: that of `sensetrack.files.atomic.output_folder`.
    offsets : DenseOffsets
        What it does not have is not written.
    null : float
        Written to offsets for NaN, and on a map to SNR and covariance as well; NaN is allowed, 0 is not.
    geo : Affine, optional
        See `DenseOffsets.geo`, which it stands for.

    Returns
    -------
    tuple of Path
        All files written, in the order of `dense_offsets_names`.

    Raises
    ------
    ConfigError
        A null value of 0, or one that is among the measurements.
    InputError
        Arrays of different shapes.
    """
    if null == 0:
        raise ConfigError("the null value must not be 0, which is a measurement")
    where = offsets.geo if geo is None else geo
    written: list[Path] = []
    for file, bands in _layers(offsets):
        wrong = next((band.shape for band in bands if band.shape != offsets.d_row.shape), None)
        if wrong is not None:
            raise InputError(
                f"{file.name} must have the shape {offsets.d_row.shape} of the offsets, instead got {wrong}"
            )
        value = null if file.missing is None or where is not None else file.missing
        if value and any((band == np.float32(value)).any() for band in bands):
            raise ConfigError(f"the null value {value} must not be among the measurements of {file.name}")
        filled = [np.where(np.isnan(band), value, band) for band in bands]
        path = folder / f"{file.name}{_ending(geo=where is not None)}"
        written += write_raw(path, filled, file.bands, null=value, geo=where)
    return tuple(written)


def _ending(*, geo: bool) -> str:
    return ".bil.geo" if geo else ".bil"


def _layers(offsets: DenseOffsets) -> list[tuple[_File, list[Layer]]]:
    """Return the files, and their bands in the order of the file."""
    found = [(_OFFSETS, [offsets.d_row, offsets.d_col])]
    if offsets.snr is not None:
        found.append((_SNR, [offsets.snr]))
    if offsets.covariance is not None:
        found.append((_COVARIANCE, [offsets.covariance[..., i] for i in _ORDERS["cpu"]]))
    if offsets.filtered is not None:
        found.append((_FILTERED, list(offsets.filtered)))
    return found


def read_dense_offsets(
    folder: str | os.PathLike[str],
    *,
    order: Literal["cpu", "gpu"] = "cpu",
    geo: bool = False,
    null: float = NULL,
) -> DenseOffsets:
    """Read the files of dense offsets in a folder, ours or ISCE2's; what was not measured becomes NaN.

    Parameters
    ----------
    folder : path-like
        ``merged/`` of a run of ISCE2, or a folder of ours. Offsets must be there, the others may.
    order : {"cpu", "gpu"}
        Which program of ISCE2 wrote them: its ampcor has the variances in the order (range, azimuth), and so do we;
        PyCuAmpcor has (azimuth, range), calls the files ``.bip``, and leaves the gross offset out of the offsets.
    geo : bool
        Read ``*.bil.geo``. ISCE2's zeros outside the image become NaN where the SNR is there to tell.
    null : float
        What means "not measured" in offsets, and on maps of ours in every file.

    Raises
    ------
    InputError
        No offsets in the folder, files of different shapes or with too few bands.
    MetadataError
        A header that cannot be read.
    """
    if order not in _ORDERS:
        raise ConfigError(f"order must be cpu or gpu, instead got {order!r}")
    place = Path(folder)
    both, where = _read(place, _OFFSETS, geo=geo) or (None, None)
    if both is None:
        raise InputError(f"has no {_OFFSETS.name}.bil{'.geo' if geo else ''}", path=place)
    snr, covariance, filtered = (_beside(place, file, both, geo=geo) for file in (_SNR, _COVARIANCE, _FILTERED))
    missing = (both == np.float32(null)).any(axis=0)
    if geo and snr is not None:
        missing |= (both == 0).all(axis=0) & (snr[0] == 0)
    for layer, file in ((both, _OFFSETS), (snr, _SNR), (covariance, _COVARIANCE)):
        if layer is not None:
            layer[:, missing] = np.nan
            _forget(layer, null if geo or file.missing is None else file.missing)
    if filtered is not None:
        _forget(filtered, null)
    return DenseOffsets(
        both[0],
        both[1],
        None if snr is None else snr[0],
        None if covariance is None else np.stack([covariance[i] for i in _ORDERS[order]], axis=-1),
        None if filtered is None else (filtered[0], filtered[1]),
        where,
    )


def _forget(layer: Layer, value: float) -> None:
    layer[:, (layer == np.float32(value)).any(axis=0)] = np.nan


def _read(folder: Path, file: _File, *, geo: bool) -> tuple[Layer, Affine | None] | None:
    """Return the bands of a file, (bands, rows, cols); None where there is no such file."""
    for end in (".bil", ".bip"):
        path = folder / f"{file.name}{end}{'.geo' if geo else ''}"
        if path.exists():
            pixels, where = read_raw(path)
            if len(pixels) < len(file.bands):
                raise InputError(f"must have {len(file.bands)} bands, instead got {len(pixels)}", path=path)
            return pixels.astype(np.float32), where
    return None


def _beside(folder: Path, file: _File, offsets: NDArray[Any], *, geo: bool) -> Layer | None:
    """Return the bands of a file that goes with the offsets."""
    found = _read(folder, file, geo=geo)
    if found is not None and found[0].shape[1:] != offsets.shape[1:]:
        message = (
            f"{file.name} must have the shape of the offsets {offsets.shape[1:]}, instead got {found[0].shape[1:]}"
        )
        raise InputError(message, path=folder)
    return None if found is None else found[0]
