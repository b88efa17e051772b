"""Two Sentinel-1 products on one map: what is tracked where products are given instead of rasters."""

from __future__ import annotations

import logging
import shutil
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sensetrack.errors import ConfigError, InputError, NoOverlapError
from sensetrack.files.pairing import ProductBand, open_image
from sensetrack.files.tiled import write_tiled
from sensetrack.notices import collected, said_again
from sensetrack.ot.interfaces import Image
from sensetrack.sentinel.s1_chain import chosen_swaths
from sensetrack.sentinel.s1_config import S1Config
from sensetrack.sentinel.s1_map import common
from sensetrack.sentinel.s1_mapped import ground_grid, on_orbit, require_size, sentinel1_map, surface_of
from sensetrack.workflow.executors import threads
from sensetrack.workflow.radar import Amplitude, mapped_band, shared_polarisation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sensetrack.blocks import Mapper
    from sensetrack.grid import Grid
    from sensetrack.sentinel.s1 import Sentinel1
    from sensetrack.workflow.config import TrackConfig

log = logging.getLogger(__name__)

OPTIONS = ("chain", "dem", "vertical", "orbits", "crs", "resolution")
"""Settings of a tracking job that are about Sentinel-1 products only."""


def sentinel1_pair(first: Sentinel1, second: Sentinel1, config: TrackConfig) -> tuple[ProductBand, ProductBand]:
    """Bring two products to the same pixels of one map, as amplitudes that are computed when they are read.

    Parameters
    ----------
    first, second : Sentinel1
        Of one track; see `sensetrack.sentinel.s1.require_alike`.
    config : TrackConfig
        Its `band`, `aoi` and what `OPTIONS` names count.

    Raises
    ------
    ConfigError
        A band that is no polarisation of both, or a nodata value.
    NoOverlapError
        They share no ground, or the area of interest lies outside of one.
    """
    if config.nodata is not None:
        message = f"a Sentinel-1 product says itself what is missing, instead got --nodata {config.nodata:g}"
        raise ConfigError(message, path=first.path, advice="leave it out")
    polarisation = shared_polarisation(first, second, config)
    asked = {name: getattr(config, name) for name in OPTIONS}
    settings = S1Config(polarisations=(polarisation,), aoi=config.aoi, method="cubic", **asked)
    products = [on_orbit(product, settings) for product in (first, second)]
    with collected() as caught:  # the same of both is said once
        grids = []
        for product in products:
            swaths = chosen_swaths(product, settings.polarisations)[polarisation]
            grids.append(ground_grid(product, swaths, settings, margin=config.margin))
            settings = settings.model_copy(update={"crs": settings.crs or crs_text(grids[0])})
        grid = _shared(grids, second)
        require_size(grid, config.max_pixels, second)
        # One for both: what differs between them would be seen as motion.
        ground = surface_of(products[0], chosen_swaths(products[0], (polarisation,))[polarisation], settings)
        maps = [sentinel1_map(product, settings, grid=grid, ground=ground) for product in products]
    said_again(caught, stacklevel=2)
    log.info("%s of %d x %d px, chain %s", polarisation, *grid.shape, maps[0].about["chain"])
    one, other = (mapped_band(made, product.path) for made, product in zip(maps, products, strict=True))
    return one, other


def _shared(grids: list[Grid], second: Sentinel1) -> Grid:
    grid = common(*grids)
    if grid is None:
        texts = " and ".join("x {0:.0f} to {2:.0f}, y {1:.0f} to {3:.0f}".format(*one.bounds) for one in grids)
        raise NoOverlapError(f"footprints do not overlap: {texts}", path=second.path)
    return grid


def crs_text(grid: Grid) -> str:
    """Return the CRS of a map as text that is read back as the same."""
    assert grid.crs is not None
    return str(grid.crs.to_string())


@contextmanager
def on_a_map(
    scenes: tuple[Any, Any],
    folder: Path,
    *,
    workers: int | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[Any, Any]]:
    """Compute scenes that take long to read once, into files of a folder, and yield them as read from there.

    Parameters
    ----------
    scenes : (path-like or ProductBand, path-like or ProductBand)
        What is no amplitude of a Sentinel-1 product is yielded as it is.
    folder : Path
        Made for the files, and removed in the end.
    workers : int, optional
        Threads.
    advance : callable, optional
        Called with (done, total) for each file.
    """
    if not any(_is_radar(scene) for scene in scenes):
        yield scenes
        return
    folder.mkdir()
    with threads(workers) as mapper:
        one, other = (
            _settled(scene, folder / f"{name}.tif", mapper, advance)
            for scene, name in zip(scenes, ("reference", "secondary"), strict=True)
        )
    try:
        yield one, other
    finally:
        for scene in (one, other):
            if isinstance(scene, ProductBand) and hasattr(scene.image.data, "file"):
                scene.image.data.file.dataset.close()  # what is open cannot be removed everywhere
        shutil.rmtree(folder, ignore_errors=True)


def _is_radar(scene: Any) -> bool:
    return isinstance(scene, ProductBand) and isinstance(scene.image.data, Amplitude)


def _settled(scene: Any, path: Path, mapper: Mapper, advance: Callable[[int, int], None] | None) -> Any:
    if not _is_radar(scene):
        return scene
    log.info("%s: bringing it to a map", scene.path)
    image = scene.image
    known = write_tiled(path, [("amplitude", "1", image.data)], image.grid, tags={}, mapper=mapper, advance=advance)
    if not known:
        message = "shows nothing of the area that is tracked"
        raise InputError(message, path=scene.path, advice="does the elevation model cover the area of interest?")
    again = Image(
        open_image(path).data, image.grid.affine, image.grid.crs,
        band_names=image.band_names, acquired=image.acquired, sensor=image.sensor,
    )  # fmt: skip
    return replace(scene, image=again)
