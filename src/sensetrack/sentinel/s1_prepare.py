"""From a Sentinel-1 product to a GeoTIFF of backscatter on a map, by ourselves or with SNAP."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sensetrack.errors import ConfigError
from sensetrack.files.atomic import output_folder
from sensetrack.grid import crs_name
from sensetrack.sentinel.s1 import open_sentinel1
from sensetrack.sentinel.s1_config import S1Config
from sensetrack.sentinel.s1_mapped import sentinel1_map
from sensetrack.snap_gpt.lib import SARPreprocessor
from sensetrack.snap_gpt.looks import S1_IW_SLC

if TYPE_CHECKING:
    from collections.abc import Callable

    from sensetrack.blocks import Mapper
    from sensetrack.products.radar_map import RadarMap
    from sensetrack.sentinel.s1 import Sentinel1

log = logging.getLogger(__name__)

__all__ = ["S1Config", "S1Preprocessor", "prepare_sentinel1", "sentinel1_map"]


def prepare_sentinel1(
    product: Sentinel1,
    output: str | os.PathLike[str],
    config: S1Config,
    *,
    overwrite: bool = False,
    mapper: Mapper = map,
    advance: Callable[[int, int], None] | None = None,
) -> tuple[Path, RadarMap, int]:
    """Write a product as a GeoTIFF on a map; return its path, the map, and how many values are known.

    Parameters
    ----------
    product : Sentinel1
    output : path-like
        A .tif, or a folder in which the file is called after product and chain.
    config : S1Config
    overwrite : bool
        Replace a file that is there; otherwise that is an error.
    mapper, advance
        See `sensetrack.blocks.run`.
    """
    made = sentinel1_map(product, config)
    target = Path(output).absolute()
    if target.suffix.lower() not in (".tif", ".tiff") or target.is_dir():
        target = target / f"{made.stem}.tif"
    inside = os.path.realpath(product.info.path)
    if os.path.realpath(target.parent).startswith(inside + os.sep) or os.path.realpath(target.parent) == inside:
        raise ConfigError("lies in the product that is read", path=output, advice="choose another output")
    with output_folder(target.parent, [target.name], overwrite=overwrite, inputs=[product.info.path]) as part:
        known = made.write(part / target.name, mapper=mapper, advance=advance)
    log.info("%s: %d x %d px in %s", target.name, *made.grid.shape, crs_name(made.grid.crs))
    return target, made, known


class S1Preprocessor(SARPreprocessor):
    """Turns Sentinel-1 products into maps of backscatter, by ourselves or with SNAP.

    Parameters
    ----------
    SUBSET : str, path-like, AOI or None
        Area of interest; None: all of the product (native only).
    PROCESS : str
        Name of the chain: S1_IW_SLC_DFLT, S1_IW_SLC_DFLT_NOSF, S1_IW_SLC_DFLT_B3, S1_IW_SLC_DFLT_B3_NOSF or
        S1_IW_GRD_DFLT.
    engine : {"native", "snap"}

    Examples
    --------
    >>> S1Preprocessor(None, "S1_IW_GRD_DFLT").GRAPH.name
    's1_grd_default.xml'
    """

    resolution = S1_IW_SLC

    def __init__(
        self,
        SUBSET: Any = None,  # noqa: N803
        PROCESS: str = "S1_IW_GRD_DFLT",  # noqa: N803
        *,
        engine: Literal["snap", "native"] = "native",
    ) -> None:
        if SUBSET is None:
            if engine != "native":
                raise ConfigError(f"engine {engine} needs an area of interest", advice="give SUBSET")
            world = "-180,-90,180,90"
            super().__init__(world, PROCESS, engine=engine)
        else:
            super().__init__(SUBSET, PROCESS, engine=engine)
        self.area = SUBSET

    def mean_incidence_angle(self, filename: str | os.PathLike[str]) -> float:
        """Return the mean incidence angle of a product, radians from the vertical, as the first release has it."""
        return open_sentinel1(filename).mean_incidence_angle()

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
            Native: of `S1Config`, and `mapper` and `advance` of `sensetrack.blocks.run`; snap: of
            `sensetrack.snap_gpt.SnapConfig`.
        """
        if self.engine == "snap":
            return super().run(filename, CRS, folder=folder, overwrite=overwrite, dry_run=dry_run, **settings)
        if dry_run:
            raise ConfigError("dry_run needs engine snap", advice='say engine="snap"')
        how = {key: settings.pop(key) for key in ("mapper", "advance") if key in settings}
        config = S1Config(chain=self.PROCESS, aoi=self.area, crs=CRS, **settings)
        path, _, _ = prepare_sentinel1(open_sentinel1(filename), folder, config, overwrite=overwrite, **how)
        return path
