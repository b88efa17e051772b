"""From a COSMO-SkyMed product to a GeoTIFF on a map, and the names of the first release for it."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sensetrack.cosmo.mapped import CosmoConfig, cosmo_map
from sensetrack.cosmo.product import open_cosmo
from sensetrack.errors import ConfigError, InputError
from sensetrack.files.atomic import output_folder
from sensetrack.grid import crs_name
from sensetrack.snap_gpt.lib import CSG_HIMAGE_SLC, CSK_HIMAGE_SLC, SARPreprocessor
from sensetrack.snap_gpt.looks import looks_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar

    from sensetrack.blocks import Mapper
    from sensetrack.cosmo.product import Cosmo
    from sensetrack.products.radar_map import RadarMap
    from sensetrack.snap_gpt.looks import MultiLook

log = logging.getLogger(__name__)

CHAIN = "COSMO_HIMAGE_SLCB_DFLT"


def prepare_cosmo(
    product: Cosmo,
    output: str | os.PathLike[str],
    config: CosmoConfig,
    *,
    overwrite: bool = False,
    mapper: Mapper = map,
    advance: Callable[[int, int], None] | None = None,
) -> tuple[Path, RadarMap, int]:
    """Write a product as a GeoTIFF on a map; return its path, the map, and how many values are known.

    Parameters
    ----------
    product : Cosmo
    output : path-like
        A .tif, or a folder in which the file is called after the product.
    config : CosmoConfig
    overwrite : bool
        Replace a file that is there; otherwise that is an error.
    mapper, advance
        See `sensetrack.blocks.run`.
    """
    made = cosmo_map(product, config)
    target = Path(output).absolute()
    if target.suffix.lower() not in (".tif", ".tiff") or target.is_dir():
        target = target / f"{made.stem}.tif"
    if product.path.is_dir():
        inside, folder = os.path.realpath(product.path), os.path.realpath(target.parent)
        if folder == inside or folder.startswith(inside + os.sep):
            raise ConfigError("lies in the product that is read", path=output, advice="choose another output")
    with output_folder(target.parent, [target.name], overwrite=overwrite, inputs=[product.path]) as part:
        known = made.write(part / target.name, mapper=mapper, advance=advance)
    log.info("%s: %d x %d px in %s", target.name, *made.grid.shape, crs_name(made.grid.crs))
    return target, made, known


class CosmoPreprocessor(SARPreprocessor):
    """Turns COSMO-SkyMed products of either generation into maps, by ourselves or with SNAP.

    Parameters
    ----------
    SUBSET : str, path-like, AOI or None
        Area of interest; None: all of the product (native only).
    PROCESS : str
        Name of the graph, COSMO_HIMAGE_SLCB_DFLT; it counts for SNAP only.
    engine : {"native", "snap"}

    Examples
    --------
    >>> CosmoPreprocessor().GRAPH.name
    'cosmo_scs-b_default.xml'
    """

    resolution = CSK_HIMAGE_SLC
    azimuth_looks = 2
    generation: ClassVar[Literal["CSK", "CSG"] | None] = None
    """The one that is taken; None: both."""

    def __init__(
        self,
        SUBSET: Any = None,  # noqa: N803
        PROCESS: str = CHAIN,  # noqa: N803
        *,
        engine: Literal["snap", "native"] = "native",
    ) -> None:
        if SUBSET is None and engine != "native":
            raise ConfigError(f"engine {engine} needs an area of interest", advice="give SUBSET")
        super().__init__("-180,-90,180,90" if SUBSET is None else SUBSET, PROCESS, engine=engine)
        self.area = SUBSET

    def open(self, filename: str | os.PathLike[str]) -> Cosmo:
        """Open a product of the generation that this is for."""
        product = open_cosmo(filename)
        if self.generation not in (None, product.info.generation):
            message = f"must be a product of {self.generation}, instead got one of {product.info.generation}"
            raise InputError(message, path=filename)
        return product

    def mean_incidence_angle(self, filename: str | os.PathLike[str]) -> float:
        """Return the middle between the incidence angles at near and far range, radians from the vertical."""
        return self.open(filename).mean_incidence_angle()

    def estimate_multilook_parms(
        self,
        filename: str | os.PathLike[str],
        native_resolution: tuple[float, float] | None = None,
        n_az_looks: int | None = None,
    ) -> MultiLook:
        """Return the looks in range that make pixels most nearly square, from the spacing that the product says.

        Parameters
        ----------
        filename : path-like
        native_resolution : (float, float), optional
            Slant range and azimuth, m, in place of the spacing of the product.
        n_az_looks : int, optional
            By default 2.
        """
        product = self.open(filename)
        azimuth, slant = product.images[0].spacing
        if native_resolution is not None:
            slant, azimuth = native_resolution
        elif product.info.level != "SCS":
            message = f"looks follow from slant range, instead got a {product.info.level}"
            raise ConfigError(message, path=filename, advice="say native_resolution")
        return looks_for(
            product.mean_incidence_angle(), slant_range_spacing=slant, azimuth_spacing=azimuth,
            azimuth_looks=self.azimuth_looks if n_az_looks is None else n_az_looks,
        )  # fmt: skip

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
            Of the result; default: the UTM zone of the area, or of the middle of the product.
        folder : path-like
            Of the results.
        overwrite : bool
            Replace a result that is there.
        dry_run : bool
            Engine snap: write the graph and run nothing.
        **settings
            Native: of `CosmoConfig`, and `mapper` and `advance` of `sensetrack.blocks.run`; snap: of
            `sensetrack.snap_gpt.SnapConfig`.
        """
        if self.engine == "snap":
            return super().run(filename, CRS, folder=folder, overwrite=overwrite, dry_run=dry_run, **settings)
        if dry_run:
            raise ConfigError("dry_run needs engine snap", advice='say engine="snap"')
        how = {key: settings.pop(key) for key in ("mapper", "advance") if key in settings}
        config = CosmoConfig(aoi=self.area, crs=CRS, **settings)
        path, _, _ = prepare_cosmo(self.open(filename), folder, config, overwrite=overwrite, **how)
        return path


class CSKPreprocessor(CosmoPreprocessor):
    """As `CosmoPreprocessor`, for the first generation."""

    generation = "CSK"


class CSGPreprocessor(CosmoPreprocessor):
    """As `CosmoPreprocessor`, for the second generation."""

    generation = "CSG"
    resolution = CSG_HIMAGE_SLC
