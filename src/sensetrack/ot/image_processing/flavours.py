"""The filters of the first release, ``{library}_{name}``, as scripts and configurations of it name them.

The OpenCV flavour gives the 8-bit grey levels that OpenCV works on, 0..255, but rounds to them last: what is
computed before is computed in floating point. The skimage flavour gives floating numbers. Neither needs its library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from sensetrack import blocks
from sensetrack.ot.image_processing.base import Preprocessor, level_and_range, register, stretched
from sensetrack.ot.image_processing.clahe import (
    BINS,
    Clahe,
    blend,
    cell_histograms,
    cell_shares,
    grey_levels,
    lookup_tables,
)
from sensetrack.ot.image_processing.contrast import Equalize, LogNorm, MinMax, ZScore
from sensetrack.ot.image_processing.svd import PatchFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.ot.interfaces import Image

_SIDE = 1024
"""Side of the windows a whole image is read in, px."""


def to_8_bit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round 0..1 to whole grey levels 0..255."""
    return np.rint(np.clip(values, 0.0, 1.0) * 255)


class _EightBit(Preprocessor):
    """Turns the 0..1 of the filter it is mixed with into grey levels."""

    def apply(self, values: NDArray[Any], valid: NDArray[np.bool_], fitted: Any) -> NDArray[Any]:
        """Filter in floating point, then round."""
        return to_8_bit(super().apply(values, valid, fitted))  # type: ignore[safe-super]


@register
class OpenCVEqualize(_EightBit, Equalize):
    """Histogram equalisation to 256 grey levels: the darkest level becomes 0, the brightest 255."""

    name: ClassVar[str] = "opencv_equalize"

    def _ranks(self, counts: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray((np.cumsum(counts) - counts[0]) / max(counts.sum() - counts[0], 1))


@register
class OpenCVMinMax(_EightBit, MinMax):
    """Stretch the grey values to 256 levels between the darkest and the brightest pixel."""

    name: ClassVar[str] = "opencv_minmax"


@register
class OpenCVZScore(_EightBit, ZScore):
    """Standardise the image and show `limit` standard deviations on either side of the mean in 256 grey levels."""

    name: ClassVar[str] = "opencv_zscore"

    limit: float = Field(3.0, gt=0, description="standard deviations from the mean that become black and white")

    def apply(self, values: NDArray[Any], valid: NDArray[np.bool_], fitted: Any) -> NDArray[Any]:
        """Standardise, then round."""
        return to_8_bit(ZScore.apply(self, values, valid, fitted) / (2 * self.limit) + 0.5)


@register
class OpenCVLogNorm(_EightBit, LogNorm):
    """Lift the dark grey values by a logarithm, stretched to 256 levels."""

    name: ClassVar[str] = "opencv_lognorm"

    gain: float = Field(1.0, gt=0, description="kept for old configurations: the stretch to 0..255 takes it out again")

    def apply(self, values: NDArray[Any], valid: NDArray[np.bool_], fitted: Any) -> NDArray[Any]:
        """Take the logarithm, then round."""
        return to_8_bit(LogNorm.apply(self, values, valid, fitted) / self.gain)


@register
class OpenCVClahe(Preprocessor):
    """CLAHE on a grid of `kernel_size` by `kernel_size` cells over the whole image, in 256 grey levels.

    The histograms of the cells need every pixel once: the image is read as a whole before the first tile.
    """

    name: ClassVar[str] = "opencv_clahe"

    clip_limit: float = Field(
        0.05,
        ge=0,
        description="largest count of a grey level, as a multiple of the mean count: the smaller, the gentler "
        "(well below 1 next to nothing is changed); 0 = no limit",
    )
    kernel_size: int = Field(3, ge=1, le=256, description="cells down and across")

    def fit(self, image: Image) -> dict[str, Any]:
        """Learn the lookup tables of all cells."""
        shape = image.grid.shape
        limits = level_and_range(image)
        cell = -(-shape[0] // self.kernel_size), -(-shape[1] // self.kernel_size)
        cells = -(-shape[0] // cell[0]), -(-shape[1] // cell[1])
        counts = np.zeros((*cells, BINS), np.int64)
        for block in blocks.plan(shape, (_SIDE, _SIDE)):
            values, valid = image.read(block.rows, block.cols)
            levels = grey_levels(values, valid, limits)
            counts += cell_histograms(levels, valid, cell, (block.rows.start, block.cols.start), cells)
        return {
            "limits": limits,
            "cell": cell,
            "shares": cell_shares(counts, cell, shape),
            "tables": lookup_tables(counts, self.clip_limit / BINS),
        }

    def apply(self, values: NDArray[Any], valid: NDArray[np.bool_], fitted: Any) -> NDArray[Any]:
        """Look up a window that starts at the first pixel of the image."""
        return self.apply_at(values, valid, fitted, (0, 0))

    def apply_at(
        self, values: NDArray[Any], valid: NDArray[np.bool_], fitted: Any, origin: tuple[int, int]
    ) -> NDArray[Any]:
        """Look the grey levels up, then round."""
        if not fitted["limits"][0] < fitted["limits"][1]:
            return np.zeros(values.shape)
        levels = grey_levels(values, valid, fitted["limits"])
        return to_8_bit(blend(levels, fitted["tables"], fitted["shares"], fitted["cell"], origin))


@register
class OpenCVSvdDenoise(PatchFilter):
    """Keep the `k` strongest singular components of each overlapping patch, in 256 grey levels.

    Unlike in `svd_denoise` the mean of a patch is not kept apart: it takes up most of the first component.
    """

    name: ClassVar[str] = "opencv_svd_denoise"

    def fit(self, image: Image) -> tuple[float, float]:
        """Learn the darkest and the brightest grey value."""
        return level_and_range(image)

    def apply(self, values: NDArray[Any], valid: NDArray[np.bool_], fitted: Any) -> NDArray[Any]:
        """Denoise a window that starts where a patch does, then round."""
        return to_8_bit(self._denoise(stretched(values, valid, fitted), valid, keep_mean=False))


@register
class SkimageEqualize(Equalize):
    """Histogram equalisation to 0..1: every pixel becomes the share of pixels that are not brighter."""

    name: ClassVar[str] = "skimage_equalize"

    def _ranks(self, counts: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(np.cumsum(counts) / counts.sum())


@register
class SkimageMinMax(MinMax):
    """Stretch the grey values to 0..1 between the darkest and the brightest pixel."""

    name: ClassVar[str] = "skimage_minmax"


@register
class SkimageZScore(ZScore):
    """Give the image a mean of 0 and a standard deviation of 1; unlike in the first release the dark half is kept."""

    name: ClassVar[str] = "skimage_zscore"


@register
class SkimageLogNorm(LogNorm):
    """Lift the dark grey values by a logarithm; unlike in the first release values above 1 are not cut off before."""

    name: ClassVar[str] = "skimage_lognorm"


@register
class SkimageClahe(Clahe):
    """CLAHE with small cells: every pixel becomes its rank among its nearest neighbours, 0..1.

    Cells of 3 px hold nine ranks; little but the finest texture is left, and it depends on where the cells lie.
    """

    name: ClassVar[str] = "skimage_clahe"

    clip_limit: float = Field(
        0.05, ge=0, le=1, description="largest share of a cell's pixels that one of 256 grey levels may count"
    )
    kernel_size: int = Field(3, ge=2, le=1024, description="side of a cell", json_schema_extra={"unit": "px"})
    cut: float = Field(
        0.0,
        ge=0,
        lt=50,
        description="pixels left out at each end of the grey values",
        json_schema_extra={"unit": "%"},
    )
