"""Offsets between two complex radar images on one grid: coherently where that is more precise, else by amplitude."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import numpy as np
from pydantic import BeforeValidator, Field

from sensetrack import blocks
from sensetrack.errors import InputError
from sensetrack.grid import Grid
from sensetrack.ot.chips import ChipGrid
from sensetrack.ot.fields import OffsetField
from sensetrack.ot.parameters import Parameters, PxPair, both
from sensetrack.ot.tiles import Layers
from sensetrack.sar import spectrum
from sensetrack.sar.chip_tiles import Tiles
from sensetrack.sar.lazy import require_plane

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sensetrack.ot.interfaces import Source

Pair = tuple[int, int]

_LINES, _SAMPLES = 1600, 1536
"""Rows and columns of a tile, px, at the most, unless one chip needs more: a thread holds some 150 MB."""


class SlcOffsets(Parameters):
    """How the chips of two complex images are matched; all in px of the images, rows (azimuth) and columns (range)."""

    chip: Annotated[PxPair, BeforeValidator(both)] = Field(
        (64, 256), description="size of the chips that are looked for", json_schema_extra={"unit": "px"}
    )
    step: Annotated[PxPair, BeforeValidator(both)] = Field(
        (8, 44), description="distance between chips: one post each", json_schema_extra={"unit": "px"}
    )
    search: Annotated[PxPair, BeforeValidator(both)] = Field(
        (10, 30),
        description="half width of the search: offsets up to this are found",
        json_schema_extra={"unit": "px"},
    )
    min_valid: float = Field(0.5, gt=0, le=1, description="share of a chip's pixels that must be valid in both images")
    coherent: bool = Field(
        default=True, description="match the phase too, chip by chip where it is more precise than the amplitude"
    )
    compat: Literal["isce2"] | None = Field(
        None, description="isce2: exactly what ISCE2's ampcor does, on the amplitude without oversampling"
    )


class SlcMatch(NamedTuple):
    """Offsets of a pair, and how each was measured."""

    field: OffsetField
    """d_row and d_col in px of the images; `start` and `step` count in them too, from the corner of pixel [0, 0]."""
    coherent: NDArray[np.bool_]
    """(posts): True where the complex correlation says more than that of the amplitudes, and was used."""


def measure(
    reference: Source,
    secondary: Source,
    settings: SlcOffsets | None = None,
    *,
    start: Pair = (0, 0),
    posts: Pair | None = None,
    bands: tuple[float, float] = (1.0, 1.0),
    mapper: blocks.Mapper = map,
    advance: Callable[[int, int], None] | None = None,
) -> SlcMatch:
    """Find every chip of one complex image in another on the same grid.

    Amplitudes are matched at twice the samples, taken of the complex images before detection: it doubles the band. The
    complex correlation is matched as well, with the fringes between the images taken away, and used where its
    predicted error is smaller and noise would hardly have such a peak. The score is the one of the two that was used:
    correlation of amplitudes, or coherence.

    Parameters
    ----------
    reference, secondary : Source
        (rows, cols) complex64, deramped; NaN = not valid. Read window by window, in several threads.
    settings : SlcOffsets, optional
    start : (int, int)
        First pixel of chip [0, 0]; chips may reach beyond the image, where nothing is valid.
    posts : (int, int), optional
        Chips down and across; by default as many as fit.
    bands : (float, float)
        Bandwidth over sampling rate, azimuth and range; used where the images are too small to measure their spectra.
    mapper, advance
        As in `sensetrack.blocks.run`.

    Raises
    ------
    InputError
        The images differ in shape, or no chip fits.
    """
    settings = SlcOffsets() if settings is None else settings
    shape = require_plane("the reference", reference)
    if shape != require_plane("the secondary", secondary):
        raise InputError(f"two images to match must be on one grid, instead got {shape} and {secondary.shape}")
    posts = _fitting(shape, settings, start) if posts is None else posts
    if min(posts) < 1:
        raise InputError(f"chips of {settings.chip} px must fit an image of {shape} px")
    if settings.compat is not None:
        return _compatible(reference, secondary, settings, start, posts, mapper, advance)
    known = spectrum.look(reference, secondary, bands)
    tiles = Tiles(reference, secondary, settings, start, known)
    most = [
        max(1, (size - chip) // step + 1)
        for size, chip, step in zip((_LINES, _SAMPLES), settings.chip, settings.step, strict=True)
    ]
    plan = blocks.plan(posts, (most[0], most[1]))
    layers, coherent = Layers(posts), np.zeros(posts, bool)
    for block, (match, used) in blocks.run(tiles.measure, plan, mapper=mapper, advance=advance):
        layers.put(block, match)
        coherent[block.rows, block.cols] = used
    return SlcMatch(_placed(layers, posts, settings, start), coherent)


def _fitting(shape: Pair, settings: SlcOffsets, start: Pair) -> Pair:
    size = max(shape[0] - start[0], 0), max(shape[1] - start[1], 0)
    return ChipGrid(size, settings.chip, settings.step).shape


def _placed(layers: Layers, posts: Pair, settings: SlcOffsets, start: Pair) -> OffsetField:
    """Return the whole field; a post is the centre of its chip."""
    centre = start[0] + settings.chip[0] / 2, start[1] + settings.chip[1] / 2
    return OffsetField(grid=Grid(posts), step=settings.step, start=centre, **layers.layers)


def _compatible(  # noqa: PLR0917
    reference: Source,
    secondary: Source,
    settings: SlcOffsets,
    start: Pair,
    posts: Pair,
    mapper: blocks.Mapper,
    advance: Callable[[int, int], None] | None,
) -> SlcMatch:
    """Match the amplitudes as ISCE2 does."""
    from sensetrack.sar.ampcor import ampcor

    rows, cols = (
        first + step * np.arange(number) for first, step, number in zip(start, settings.step, posts, strict=True)
    )
    found = ampcor(
        reference,
        secondary,
        window=settings.chip,
        search=settings.search,
        starts=(rows, cols),
        kind="mag",
        mapper=mapper,
        advance=advance,
    )
    return SlcMatch(found.field(), np.zeros(posts, bool))
