"""Bring a PRISMA product to where a reference image has the same ground.

Without ground control, products lie 100 to 200 m off. What is found here changes where pixels are said to be, not the
pixels: nothing is resampled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sensetrack.errors import ResampledWarning
from sensetrack.files.pairing import pair
from sensetrack.grid import Grid, apply
from sensetrack.notices import collected, said_again
from sensetrack.ot.coregister import CoregistrationReport, coregister

if TYPE_CHECKING:
    import os

    from sensetrack.blocks import Mapper
    from sensetrack.files.pairing import ProductBand
    from sensetrack.ot.interfaces import Image
    from sensetrack.ot.mapping import Model

_NODES = 9


def place_on(
    scene: ProductBand,
    reference: Image | ProductBand | str | os.PathLike[str],
    *,
    band: int = 1,
    model: Model = "shift",
    mapper: Mapper = map,
) -> tuple[Grid, CoregistrationReport]:
    """Find where a band lies on a reference image.

    Parameters
    ----------
    scene : ProductBand
        On a map.
    reference : Image, ProductBand or path-like
        An image of the same ground whose georeference counts, such as a band of Sentinel-2 of about that colour.
    band : int
        Of the reference, from 1.
    model : {"shift", "similarity", "affine"}
        What is fitted.
    mapper
        See `sensetrack.blocks.run`.

    Returns
    -------
    grid : Grid
        The grid of the band, moved.
    report : CoregistrationReport
        In pixels of the reference.

    Raises
    ------
    NoOverlapError, NoMatchError
        They do not show the same ground, or nothing that both show.
    """
    with collected() as heard:
        images = pair(reference, scene, band=band)
    # To compare them: what is written is not resampled.
    said_again((one for one in heard if not issubclass(one.category, ResampledWarning)), stacklevel=2)
    _, report = coregister(images, model=model, mapper=mapper)
    return moved(scene.image.grid, images.grid, report), report


def moved(grid: Grid, seen: Grid, report: CoregistrationReport) -> Grid:
    """Return the grid of a product so that its pixels are where the reference has them, compared on `seen`."""
    import pyproj

    row, col = np.meshgrid(*(np.linspace(0, n - 1, _NODES) for n in seen.shape), indexing="ij")
    (rr, rc, r0), (cr, cc, c0) = report.matrix
    project = pyproj.Transformer.from_crs(seen.crs, grid.crs, always_xy=True)
    true_x, true_y = (np.asarray(part).ravel() for part in project.transform(*seen.xy(row, col)))
    said = seen.xy(rr * row + rc * col + r0, cr * row + cc * col + c0)
    said_x, said_y = (np.asarray(part).ravel() for part in project.transform(*said))
    old = grid.transform
    if report.model == "shift":
        east, north = float(np.mean(true_x - said_x)), float(np.mean(true_y - said_y))
        affine: Any = (old.a, old.b, old.c + east, old.d, old.e, old.f + north)
        return Grid(grid.shape, affine, grid.crs)
    column, line = apply(~old, said_x, said_y)
    terms = np.stack([column, line, np.ones_like(column)], axis=1)
    (a, d), (b, e), (c, f) = np.linalg.lstsq(terms, np.stack([true_x, true_y], axis=1), rcond=None)[0]
    affine = (a, b, c, d, e, f)
    return Grid(grid.shape, affine, grid.crs)
