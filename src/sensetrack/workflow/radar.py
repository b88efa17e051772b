"""What two radar products that are tracked on a map have in common, of whatever mission."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sensetrack.errors import ConfigError, InputError
from sensetrack.files.pairing import ProductBand
from sensetrack.ot.interfaces import Image
from sensetrack.sar.calibration import to_amplitude
from sensetrack.sar.lazy import Lazy

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from sensetrack.products.radar_map import RadarMap
    from sensetrack.workflow.config import TrackConfig


class _Product(Protocol):
    @property
    def path(self) -> Path: ...
    @property
    def polarisations(self) -> tuple[str, ...]: ...


class Amplitude(Lazy):
    """The square root of a backscatter that is computed where it is read; negative powers are 0."""

    def __init__(self, source: Any) -> None:
        self.source, self.shape, self.dtype = source, source.shape, np.dtype(np.float32)

    def read(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        """Read a window."""
        return to_amplitude(self.source[rows, cols])


def mapped_band(made: RadarMap, path: Path) -> ProductBand:
    """Return the first band of the map of a product as an amplitude that is tracked."""
    name, _, source = made.bands[0]
    image = Image(
        Amplitude(source), made.grid.affine, made.grid.crs, band_names=(name,), acquired=made.acquired,
        sensor=made.sensor,
    )  # fmt: skip
    return ProductBand(path, image, made.about | {"band": name, "tracked": "amplitude"})


def shared_polarisation(first: _Product, second: _Product, config: TrackConfig) -> str:
    """Return the polarisation that is tracked: that of the settings, or the first that both products have.

    Raises
    ------
    InputError
        They share none.
    ConfigError
        The one that is asked for is not among them.
    """
    both = [one for one in first.polarisations if one in second.polarisations]
    if not both:
        sides = f"{', '.join(first.polarisations)} and {', '.join(second.polarisations)}"
        raise InputError(f"must share a polarisation with the reference, instead got {sides}", path=second.path)
    if config.band is None:
        return both[0]
    if str(config.band) not in both:
        message = f"band must be a polarisation that both products have, {', '.join(both)}, instead got {config.band}"
        raise ConfigError(message, path=first.path, advice=f"say --band {both[0]}")
    return str(config.band)
