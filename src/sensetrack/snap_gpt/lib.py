"""The names of the first release: subsets, looks, and the base of what prepares SAR products."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from sensetrack.errors import ConfigError
from sensetrack.ot.parameters import brief
from sensetrack.snap_gpt.aoi import AOI
from sensetrack.snap_gpt.graph import Graph
from sensetrack.snap_gpt.looks import (
    CSG_HIMAGE_SLC,
    CSK_HIMAGE_SLC,
    S1_IW_SLC,
    MultiLook,
    Resolution,
    estimate_multilook,
)
from sensetrack.snap_gpt.prepare import SnapConfig, run_graph
from sensetrack.snap_gpt.recipes import SARPreprocessing

if TYPE_CHECKING:
    import os

__all__ = [
    "CSG_HIMAGE_SLC",
    "CSK_HIMAGE_SLC",
    "S1_IW_SLC",
    "GPTSubsetter",
    "MultiLook",
    "Resolution",
    "SARPreprocessing",
    "SARPreprocessor",
    "Subset",
]


class Subset(NamedTuple):
    """An area of interest: name of the layer (None where there is none), geometry in longitude and latitude."""

    name: str | None
    geometry: Any


class GPTSubsetter:
    """Reads areas of interest."""

    @staticmethod
    def get_subset(aoi: Any) -> Subset:
        """Return the area that a file, ``file|layer``, GeoJSON, well-known text or box describes.

        All features count, where the first release took the first one.
        """
        area = AOI.of(aoi)
        layer = aoi.partition("|")[2] if isinstance(aoi, str) and area.name != "aoi" else ""
        return Subset(layer or None, area.geometry)


class SARPreprocessor(ABC):
    """Base of what turns a SAR product of one mission into a map, with SNAP or by ourselves.

    A mission says what the mean incidence angle of its product is, and what its one-look pixels resolve.

    Parameters
    ----------
    SUBSET : str, Subset, AOI or path-like
        Area of interest.
    PROCESS : str
        Name of the graph.
    engine : {"snap", "native"}
        Who does it.

    Attributes
    ----------
    GRAPH : Path
        File of the graph.
    """

    resolution: ClassVar[Resolution]
    """Nominal resolution, m."""
    azimuth_looks: ClassVar[int] = 1

    def __init__(self, SUBSET: Any, PROCESS: str, *, engine: Literal["snap", "native"] = "snap") -> None:  # noqa: N803
        if engine not in ("snap", "native"):
            raise ConfigError(f"engine must be snap or native, instead got {brief(engine)}")
        self.SUBSET = SUBSET if isinstance(SUBSET, Subset) else GPTSubsetter.get_subset(SUBSET)
        self.PROCESS = PROCESS
        self.GRAPH: Path = SARPreprocessing.validate(PROCESS)
        self.engine = engine

    @abstractmethod
    def mean_incidence_angle(self, filename: str | os.PathLike[str]) -> float:
        """Return the mean incidence angle of a product, radians from the vertical."""

    def estimate_multilook_parms(
        self,
        filename: str | os.PathLike[str],
        native_resolution: tuple[float, float] | None = None,
        n_az_looks: int | None = None,
    ) -> MultiLook:
        """Return the looks in range that make the pixels of a product most nearly square.

        Parameters
        ----------
        filename : path-like
        native_resolution : (float, float), optional
            Slant range and azimuth, m; default: that of the mission.
        n_az_looks : int, optional
            Default: that of the mission.
        """
        return estimate_multilook(
            self.mean_incidence_angle(filename),
            self.resolution if native_resolution is None else native_resolution,
            self.azimuth_looks if n_az_looks is None else n_az_looks,
        )

    def native(
        self, filename: str | os.PathLike[str], folder: str | os.PathLike[str], *, crs: str | None, overwrite: bool
    ) -> Path:
        """Do it without SNAP; a mission that can says how.

        Raises
        ------
        ConfigError
            This mission cannot.
        """
        del filename, folder, crs, overwrite
        message = f"{type(self).__name__} cannot calibrate, deburst and geocode without SNAP yet"
        raise ConfigError(message, advice='say engine="snap"')

    def run(
        self,
        filename: str | os.PathLike[str],
        CRS: str | None = None,  # noqa: N803
        *,
        folder: str | os.PathLike[str],
        overwrite: bool = False,
        dry_run: bool = False,
        **settings: Any,
    ) -> Path:
        """Prepare a product and return the result.

        Parameters
        ----------
        filename : path-like
        CRS : str, optional
            Of the result; default: the UTM zone of the area.
        folder : path-like
            Of the results. The first release wrote beside the product.
        overwrite, dry_run : bool
            As in `sensetrack.snap_gpt.run_graph`.
        **settings
            Of `sensetrack.snap_gpt.SnapConfig`. Looks that are not given are estimated; give them when you prepare
            several dates, so that all have the same.
        """
        if self.engine == "native":
            if dry_run or settings:
                raise ConfigError("dry_run and settings of SNAP need engine snap", advice='say engine="snap"')
            return self.native(filename, folder, crs=CRS, overwrite=overwrite)
        asked = Graph.read(self.GRAPH).parameters
        if settings.get("looks") is None and {"nRgLooks", "nAzLooks"} <= set(asked):
            looks = self.estimate_multilook_parms(filename)
            settings["looks"] = looks.Num_Azimuth_LOOKS, looks.Num_Range_LOOKS
        area = AOI(self.SUBSET.name or "aoi", self.SUBSET.geometry)
        config = SnapConfig(graph=self.GRAPH.stem, aoi=area, crs=CRS, **settings)
        return run_graph(filename, folder, config, overwrite=overwrite, dry_run=dry_run)
