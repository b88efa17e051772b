"""The layer table: every file of a product, its bands, their units and where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.files.cog import write_cog
from sensetrack.ot import frames
from sensetrack.ot.interfaces import Displacement, Flag, OffsetField
from sensetrack.products.formats import FORMATS, files_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

Band = tuple[str, str, "NDArray[Any]"]

TRACK_FILES = files_of(FORMATS)
"""Every file `track` may write."""

SIGN_RULE = frames.SIGN_RULE


@dataclass(frozen=True, eq=False)
class Layer:
    """One file of a product."""

    file: str
    bands: list[Band]
    note: str


def track_layers(offsets: OffsetField, displacement: Displacement | None) -> list[Layer]:
    """Lay the results out over files; without georeference there is nothing in metres."""
    layers = [
        Layer(
            "offsets.tif",
            [("d_row", "px", offsets.d_row), ("d_col", "px", offsets.d_col)],
            f"{SIGN_RULE}; flagged posts keep what was measured",
        ),
        Layer(
            "quality.tif",
            _quality(offsets, displacement),
            "score and snr: larger is better; sigma: standard error",
        ),
        Layer("flags.tif", [("flags", "bits", offsets.flags)], "0 = good; reasons add up"),
    ]
    if displacement is not None:
        good = displacement.good
        moved = [("dx", displacement.dx), ("dy", displacement.dy), ("magnitude", displacement.magnitude)]
        layers.append(
            Layer(
                "displacement.tif",
                [(name, "m", _only(good, values)) for name, values in moved],
                "ground metres along +x and +y of the CRS; NaN where any flag is raised",
            )
        )
        if displacement.dt:
            vx, vy = displacement.velocity
            speed = np.hypot(vx, vy)
            layers.append(
                Layer(
                    "velocity.tif",
                    [(name, "m/day", _only(good, v)) for name, v in (("vx", vx), ("vy", vy), ("speed", speed))],
                    "ground metres per day along +x and +y of the CRS; NaN where any flag is raised",
                )
            )
    return layers


def write_layers(folder: Path, layers: list[Layer], offsets: OffsetField, tags: dict[str, Any]) -> None:
    """Write the files of a product as cloud-optimised GeoTIFFs."""
    bits = {flag.name: int(flag.value) for flag in Flag}
    for layer in layers:
        whole = layer.bands[0][2].dtype.kind == "u"
        write_cog(
            folder / layer.file,
            layer.bands,
            offsets.grid,
            tags=tags | {"NOTE": layer.note} | ({"FLAG_BITS": bits} if whole else {}),
            nodata=None if whole else float("nan"),
        )


def _only(good: NDArray[np.bool_], values: NDArray[Any]) -> NDArray[np.float32]:
    return np.where(good, values, np.float32(np.nan)).astype(np.float32)


def _quality(offsets: OffsetField, displacement: Displacement | None) -> list[Band]:
    empty = np.full(offsets.grid.shape, np.nan, np.float32)
    bands: list[Band] = [
        (name, "1", empty if values is None else values.astype(np.float32))
        for name, values in (
            ("score", offsets.score),
            ("snr", offsets.snr),
            ("peak_ratio", offsets.peak_ratio),
        )
    ]
    if offsets.chip_size is not None:
        bands.append(("chip_size", "px", offsets.chip_size.astype(np.float32)))
    if displacement is not None:
        return [*bands, ("sigma_dx", "m", displacement.sigma_dx), ("sigma_dy", "m", displacement.sigma_dy)]
    sigma = [empty, empty]
    if offsets.covariance is not None:
        sigma = [np.sqrt(offsets.covariance[..., i]).astype(np.float32) for i in (0, 1)]
    return [*bands, ("sigma_d_row", "px", sigma[0]), ("sigma_d_col", "px", sigma[1])]


def days(dt: timedelta | None) -> float | None:
    """Days of a time span; None where unknown."""
    return None if dt is None else dt / timedelta(days=1)
