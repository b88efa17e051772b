"""Dense optical flows: an offset for every pixel."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from sensetrack.ot.algorithms.registry import register
from sensetrack.ot.chips import ChipGrid
from sensetrack.ot.flow import RoundTrip, run_flow
from sensetrack.ot.interfaces import Match, OTAlgorithm, Tile

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _DenseFlow(OTAlgorithm):
    """What the flows of libraries have in common: `_solve`, its window, and the check on the way back."""

    block: ClassVar[tuple[int, int]] = (1024, 1024)
    trim: ClassVar[bool] = True
    """Whether the library is given true edges, without the halo beyond them."""

    if TYPE_CHECKING:
        round_trip: RoundTrip

    @property
    def window(self) -> tuple[int, int]:
        """Pixels (rows, cols) that each score is taken over."""
        return self.support

    def match(self, reference: Tile, secondary: Tile, chips: ChipGrid) -> Match:
        """Run the library on one tile, forth and back."""
        return run_flow(
            reference, secondary, self._solve, window=self.window, chips=chips, halo=self.halo,
            round_trip=self.round_trip, trim=self.trim,
        )  # fmt: skip

    @abstractmethod
    def _solve(self, first: NDArray[Any], second: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the motion (d_row, d_col), px, between two images without holes."""


@register
class OpenCVOpticalFlow(_DenseFlow):
    """Dense optical flow after Farneback (2003): an offset for every pixel from local quadratic fits.

    Fast and smooth; for motions of a few pixels between images that look alike.
    """

    name: ClassVar[str] = "farneback"
    library: ClassVar[str] = "OpenCV"
    trim: ClassVar[bool] = False
    """Farneback's fit needs pixels around it: at a true edge even still images would move."""
    min_score: ClassVar[float] = 0.6
    """A flow follows noise to some degree: over its small windows chance reaches 0.5."""

    flow: tuple[float, float] | None = Field(
        None,
        description="first guess of the offset everywhere, rows and columns",
        json_schema_extra={"unit": "px"},
    )
    pyr_scale: float = Field(0.5, gt=0, lt=1, description="size of each pyramid level against the one below")
    levels: int = Field(4, ge=1, le=12, description="pyramid levels; 1 = the image alone")
    winsize: int = Field(16, ge=2, description="window the fits are averaged over", json_schema_extra={"unit": "px"})
    iterations: int = Field(5, ge=1, description="iterations on each level")
    poly_n: int = Field(
        5, ge=3, le=15, description="neighbourhood of the quadratic fit", json_schema_extra={"unit": "px"}
    )
    poly_sigma: float = Field(
        1.1, gt=0, description="Gaussian weight of that neighbourhood", json_schema_extra={"unit": "px"}
    )
    flags: int | None = Field(None, description="OpenCV flags: 256 = Gaussian window instead of a box")
    round_trip: RoundTrip = 1.0

    @property
    def support(self) -> tuple[int, int]:
        """The averaging window."""
        return self.winsize, self.winsize

    @property
    def halo(self) -> tuple[int, int]:
        """The reach of window and fit on the coarsest level, in pixels of the image."""
        reach = int(np.ceil((self.winsize + self.poly_n) * self.pyr_scale ** -(self.levels - 1)))
        return reach, reach

    @property
    def window(self) -> tuple[int, int]:
        """The averaging window, made odd."""
        return 2 * (self.winsize // 2) + 1, 2 * (self.winsize // 2) + 1

    def _solve(self, first: NDArray[Any], second: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        import cv2

        guess: Any = None
        flags = self.flags or 0
        if self.flow is not None:
            guess = np.empty((*first.shape, 2), np.float32)
            guess[...] = self.flow[::-1]
            flags |= cv2.OPTFLOW_USE_INITIAL_FLOW
        # OpenCV's regularisation is made for grey values 0..255: images scaled to 0..1 would not move at all.
        out = cv2.calcOpticalFlowFarneback(
            100 * first + 128, 100 * second + 128, guess, self.pyr_scale, self.levels, self.winsize, self.iterations,
            self.poly_n, self.poly_sigma, flags,
        )  # fmt: skip
        return out[..., 1], out[..., 0]  # OpenCV: motion as (columns, rows)


@register
class SkiOpticalFlowILK(_DenseFlow):
    """Dense optical flow by iterative Lucas-Kanade (Le Besnerais and Champagnat 2005): one motion in a window.

    For images that look alike, in the same light.
    """

    name: ClassVar[str] = "ilk"
    library: ClassVar[str] = "skimage"
    min_score: ClassVar[float] = 0.7

    radius: int = Field(7, ge=1, description="half width of the window of one motion", json_schema_extra={"unit": "px"})
    num_warp: int = Field(10, ge=1, description="times the secondary is warped, on each pyramid level")
    gaussian: bool = Field(default=False, description="Gaussian window instead of a box")
    prefilter: bool = Field(default=False, description="median filter of the flow before each warp")
    round_trip: RoundTrip = 1.0

    @property
    def support(self) -> tuple[int, int]:
        """The window of one motion."""
        return 2 * self.radius + 1, 2 * self.radius + 1

    @property
    def halo(self) -> tuple[int, int]:
        """The window on the fourth pyramid level: beyond it, what is read changes the flow by hundredths."""
        return 16 * self.radius, 16 * self.radius

    def _solve(self, first: NDArray[Any], second: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        from skimage.registration import optical_flow_ilk

        d_row, d_col = optical_flow_ilk(  # type: ignore[no-untyped-call]
            first,
            second,
            radius=self.radius,
            num_warp=self.num_warp,
            gaussian=self.gaussian,
            prefilter=self.prefilter,
        )
        return d_row, d_col  # scikit-image: motion as (rows, columns)


@register
class SkiOpticalFlowTVL1(_DenseFlow):
    """Dense optical flow by total variation and L1 (Zach, Pock and Bischof 2007): smooth, with sharp edges.

    Keeps the edge of a block that moves as one; slow, and it fills what it cannot see from around.
    """

    name: ClassVar[str] = "tvl1"
    library: ClassVar[str] = "skimage"
    min_score: ClassVar[float] = 0.85
    """Free to move every pixel, it makes nearly anything look alike: on fast ice half of what scores 0.6 is wrong."""

    attachment: float = Field(
        15, gt=0, description="weight of likeness against smoothness: smaller is smoother, for images of spread 1"
    )
    tightness: float = Field(0.3, gt=0, description="how close likeness and smoothness are held together")
    num_warp: int = Field(5, ge=1, description="times the secondary is warped, on each pyramid level")
    num_iter: int = Field(10, ge=1, description="iterations between warps")
    tol: float = Field(
        1e-4, gt=0, description="mean square change at which a level is done", json_schema_extra={"unit": "px^2"}
    )
    prefilter: bool = Field(default=False, description="median filter of the flow before each warp")
    round_trip: RoundTrip = 1.0

    @property
    def support(self) -> tuple[int, int]:
        """The window each score is taken over; how far smoothness reaches depends on the images."""
        return 15, 15

    @property
    def halo(self) -> tuple[int, int]:
        """What the smoothness carries over a tile border fades within this."""
        return 96, 96

    def _solve(self, first: NDArray[Any], second: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        from skimage.registration import optical_flow_tvl1

        d_row, d_col = optical_flow_tvl1(  # type: ignore[no-untyped-call]
            first,
            second,
            attachment=self.attachment,
            tightness=self.tightness,
            num_warp=self.num_warp,
            num_iter=self.num_iter,
            tol=self.tol,
            prefilter=self.prefilter,
        )
        return d_row, d_col  # scikit-image: motion as (rows, columns)
