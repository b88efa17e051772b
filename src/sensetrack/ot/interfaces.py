"""The types of offset tracking: images in, offsets and displacements out.

The sign rule of the package: *what is at* ``reference[row, col]`` *is found at*
``secondary[row + d_row, col + d_col]``. On a map dx > 0 is a move along +x of the CRS (east) and dy > 0 along
+y (north), so a move down the rows of a north-up image is a negative dy. Swap the pair and every sign flips.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from sensetrack import blocks
from sensetrack.errors import InputError, NoMatchError
from sensetrack.grid import Grid, crs_name
from sensetrack.ot.bands import Bands
from sensetrack.ot.chips import ChipGrid
from sensetrack.ot.fields import Displacement, Flag, Match, OffsetField
from sensetrack.ot.looks import Scene
from sensetrack.ot.parameters import Parameters
from sensetrack.ot.tiles import Layers, Scaled, Tile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from affine import Affine
    from numpy.typing import NDArray

__all__ = [
    "Displacement",
    "Flag",
    "Image",
    "ImagePair",
    "Match",
    "OTAlgorithm",
    "OffsetField",
    "Source",
    "Tile",
]

TOO_LARGE = 1e20
"""No sensor delivers such a magnitude; pixels beyond it are fill values and not usable."""


_LINES = 64


class Source(Protocol):
    """Anything an image's pixels can be read from: an array, a raster on disk, a lazily filtered raster."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, columns[, bands]."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""

    def __getitem__(self, key: Any, /) -> Any: ...


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Image(Bands):
    """An image and what is known about it.

    Parameters
    ----------
    image : array-like
        Pixels, (rows, cols) or (rows, cols, bands), of any real type: a NumPy array, or anything with shape,
        dtype and window slicing. Never changed.
    affine : affine.Affine, optional
        (column, row) of a pixel corner -> (x, y) of the CRS.
    crs : any spelling of a CRS, optional
    nodata : float, optional
        Value of pixels that hold no measurement. NaN, infinities and magnitudes above 1e20 never do.
    valid : array-like of bool, optional
        (rows, cols), True = usable; combined with `nodata`.
    band_names : sequence of str, optional
        Default ``B1 .. Bn``.
    acquired : datetime, optional
        When the scene was taken, UTC.
    sensor : str, optional
    """

    data: Source
    grid: Grid
    nodata: float | None
    mask_source: Source | None
    band_names: tuple[str, ...]
    acquired: datetime | None
    sensor: str | None

    def __init__(
        self,
        image: Any,
        affine: Affine | None = None,
        crs: Any = None,
        nodata: float | None = None,
        *,
        valid: Any = None,
        band_names: Sequence[str] | None = None,
        acquired: datetime | None = None,
        sensor: str | None = None,
    ) -> None:
        data = image if hasattr(image, "dtype") and hasattr(image, "shape") else np.asarray(image)
        if len(data.shape) not in (2, 3):
            message = f"image must be (rows, cols) or (rows, cols, bands), instead got shape {data.shape}"
            raise InputError(message)
        if np.dtype(data.dtype).kind not in "buif":
            message = f"image must hold real numbers, instead got {data.dtype}"
            raise InputError(message, advice="take the amplitude of complex data first")
        if valid is not None and tuple(valid.shape) != tuple(data.shape[:2]):
            message = f"valid must have the image's shape {data.shape[:2]}, instead got {valid.shape}"
            raise InputError(message)
        count = data.shape[2] if len(data.shape) == 3 else 1
        names = tuple(band_names) if band_names else tuple(f"B{i + 1}" for i in range(count))
        if len(names) != count:
            message = f"band_names must name {count} bands, instead got {len(names)}"
            raise InputError(message)
        fields = {
            "data": data,
            "grid": Grid((data.shape[0], data.shape[1]), affine, crs),
            "nodata": nodata,
            "mask_source": valid,
            "band_names": names,
            "acquired": acquired,
            "sensor": sensor,
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        place = crs_name(self.grid.crs) if self.grid.georeferenced else "no georeference"
        return f"Image({self.height} x {self.width} px, {', '.join(self.band_names)}, {self.data.dtype}, {place})"

    @property
    def image(self) -> NDArray[Any]:
        """All pixels as an array (read now where they are on disk)."""
        return np.asarray(self.data[:, :])

    @property
    def affine(self) -> Affine | None:
        """Transform of the grid."""
        return self.grid.affine

    @property
    def crs(self) -> Any:
        """CRS of the grid (pyproj) or None."""
        return self.grid.crs

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, columns[, bands]."""
        return tuple(self.data.shape)

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.grid.shape[0]

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.grid.shape[1]

    @property
    def count(self) -> int:
        """Number of bands; `len` says the same."""
        return len(self.band_names)

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(rows, cols), True = usable in every band (read now where pixels are on disk)."""
        return self._valid(self.image, slice(0, self.height), slice(0, self.width))

    @property
    def scaled(self) -> Scaled:
        """The image in spreads from its median; its sample of the pixels is read once, when first asked for."""
        # Not a cached_property: in Python 3.11 these make two images wait for each other.
        if "_scaled" not in vars(self):
            vars(self)["_scaled"] = Scaled(self)
        found: Scaled = vars(self)["_scaled"]
        return found

    def _with_pixels(self, pixels: Source, names: tuple[str, ...]) -> Image:
        return Image(
            pixels, self.affine, self.crs, self.nodata, valid=self.mask_source, band_names=names,
            acquired=self.acquired, sensor=self.sensor,
        )  # fmt: skip

    def with_data(self, data: Source) -> Image:
        """Return the same scene with other pixels: one band on the same grid, NaN where not valid."""
        return Image(data, self.affine, self.crs, acquired=self.acquired, sensor=self.sensor)

    def taken(self, acquired: datetime) -> Image:
        """Return the image with another acquisition time (UTC)."""
        return Image(
            self.data, self.affine, self.crs, self.nodata, valid=self.mask_source, band_names=self.band_names,
            acquired=acquired, sensor=self.sensor,
        )  # fmt: skip

    def read(self, rows: slice, cols: slice) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read a window of a one-band image: pixels as stored, and which of them are usable."""
        if self.count != 1:
            message = f"matching needs an image of one band, instead got {self.count}"
            raise InputError(message, advice="choose one with image.band(1), or take image.grey()")
        values = np.asarray(self.data[rows, cols])
        if values.ndim == 3:
            values = values[..., 0]
        return values, self._valid(values, rows, cols)

    def _valid(self, values: NDArray[Any], rows: slice, cols: slice) -> NDArray[np.bool_]:
        usable: NDArray[np.bool_] = np.ones(values.shape, bool)
        if values.dtype.kind == "f":
            for start in range(0, len(values), _LINES):  # a few lines at a time stay in the cache
                some = slice(start, start + _LINES)
                np.less(np.abs(values[some]), TOO_LARGE, out=usable[some])  # False for NaN as well
        if self.nodata is not None and not np.isnan(self.nodata):
            usable = usable & (values != self.nodata)
        if usable.ndim == 3:
            usable = np.asarray(usable.all(axis=2))
        if self.mask_source is not None:
            usable &= np.asarray(self.mask_source[rows, cols], bool)
        return usable


@dataclass(frozen=True, eq=False)
class ImagePair:
    """Two images of the same ground on one grid.

    Raises
    ------
    GridMismatchError
        Where shape, transform or CRS differ.
    """

    reference: Image
    secondary: Image

    def __post_init__(self) -> None:
        self.reference.grid.require_same(self.secondary.grid)

    @property
    def grid(self) -> Grid:
        """The grid both images share."""
        return self.reference.grid

    @property
    def dt(self) -> timedelta | None:
        """Secondary minus reference acquisition time; None where one is unknown."""
        if self.reference.acquired is None or self.secondary.acquired is None:
            return None
        return self.secondary.acquired - self.reference.acquired


class OTAlgorithm(Parameters, ABC):
    """An offset-tracking algorithm: validated parameters that are called with two images.

    A new algorithm is a subclass with `name`, a few pydantic fields, `support`, `halo` and `match`, handed to
    `sensetrack.ot.algorithms.register`. Tiling, validity, scaling and whole-image shifts are done here, once.
    """

    name: ClassVar[str]
    """What the command line and configurations call it."""
    library: ClassVar[str] = "sensetrack"
    """The library that does the work."""
    block: ClassVar[tuple[int, int]] = (32, 64)
    """Posts per tile."""
    min_score: ClassVar[float] = 0.3
    """Score below which a post is not to be trusted, unless the user says otherwise."""

    @property
    @abstractmethod
    def support(self) -> tuple[int, int]:
        """Pixels (rows, cols) around a post that decide its offset: the chip or the smoothing window."""

    @property
    def reach(self) -> tuple[int, int]:
        """Largest motion (rows, cols), px, that is found around the whole-image shift."""
        return self.support

    @property
    @abstractmethod
    def halo(self) -> tuple[int, int]:
        """Pixels (rows, cols) to be read on each side of the chips of a tile."""

    @property
    def chosen(self) -> dict[str, str]:
        """What was chosen for this machine and is no parameter, for the run record."""
        return {}

    def chips(self, shape: tuple[int, int]) -> ChipGrid:
        """Chips for an image of `shape`; every pixel is a post unless an algorithm says otherwise."""
        return ChipGrid(shape, (1, 1), (1, 1))

    @abstractmethod
    def match(self, reference: Tile, secondary: Tile, chips: ChipGrid) -> Match:
        """Measure the chips of one tile.

        Parameters
        ----------
        reference, secondary : Tile
            The same window of both images with `halo` around it; scaled so that the whole image has median 0
            and its 2nd and 98th percentile are 1 apart.
        chips : ChipGrid
            The chips of the tile; chip [0, 0] starts at pixel `halo` of the tiles.
        """

    def aim(self, scene: Scene, mapper: blocks.Mapper) -> Callable[[blocks.Block], Match]:  # noqa: ARG002
        """Return what measures the posts of a tile.

        Here around the middle of what is known beforehand or else around the whole-image shift; an algorithm that
        looks at the whole first, or at some posts again, may know better.
        """

        def around(block: blocks.Block) -> Match:
            shift = scene.middle(block)
            tiles = scene.reference(block, self.halo), scene.secondary(block, shift, self.halo)
            found = self.match(*tiles, scene.chips_of(block))
            return found._replace(d_row=found.d_row + shift[0], d_col=found.d_col + shift[1])

        return around

    def __call__(
        self,
        reference: Image,
        secondary: Image,
        *,
        gross: tuple[int, int] = (0, 0),
        prior: NDArray[Any] | None = None,
        limits: NDArray[Any] | None = None,
        mapper: blocks.Mapper = map,
        advance: Callable[[int, int], None] | None = None,
    ) -> OffsetField:
        """Find where everything in the reference went in the secondary.

        Parameters
        ----------
        reference, secondary : Image
            One band each, on one grid.
        gross : (int, int)
            Whole-pixel shift (rows, cols) to look around; part of the offsets that are returned.
        prior : ndarray, optional
            (2, rows, cols): offsets (d_row, d_col), px, to look around at each post; NaN = not known, there `gross`
            is looked around.
        limits : ndarray, optional
            (2, rows, cols): half widths (rows, cols), px, within which the offset of each post lies around its prior
            or `gross`; at least 1 counts, NaN = no limit. `NCC` looks no further, other algorithms look as ever; what
            lies further is flagged PEAK_AT_EDGE.
        mapper, advance
            See `sensetrack.blocks.run`.

        Raises
        ------
        GridMismatchError
            The images do not share one grid.
        NoMatchError
            The images are smaller than one chip.
        InputError
            Prior or limits have not the shape of the posts, or a limit is negative.
        """
        pair = ImagePair(reference, secondary)
        chips = self.chips(pair.grid.shape)
        if 0 in chips.shape:
            rows, cols = pair.grid.shape
            message = (
                f"an overlap of {rows} x {cols} px is smaller than one chip of {chips.chip[0]} x {chips.chip[1]} px"
            )
            raise NoMatchError(message, advice="choose a smaller chip or a larger area")
        first, second = mapper(attrgetter("scaled"), (reference, secondary))
        scene = Scene((first, second), chips, gross, prior, limits)
        out, measured = Layers(chips.shape), self.aim(scene, mapper)

        def job(block: blocks.Block) -> Match:
            return scene.limited(block, measured(block))

        tiles = blocks.plan(chips.shape, self.block)
        for block, result in blocks.run(job, tiles, mapper=mapper, advance=advance):
            out.put(block, result)
        posts = pair.grid.posts(chips.centre, chips.step, chips.shape)
        return out.field(posts, chips)
