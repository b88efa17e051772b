"""Noise removal by the strongest singular vectors of overlapping patches."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from pydantic import Field

from sensetrack.errors import ConfigError
from sensetrack.ot.image_processing.base import Preprocessor, centred, level_and_spread, register

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.ot.interfaces import Image

LARGEST_PATCH = 200
"""Sides of patches that are chosen by themselves end here, px: the work grows with the side."""
_SMALLEST_PATCH = 8
_BATCHED = 16
"""Patches smaller than this are decomposed many at a time: all their vectors cost less than so many calls."""


class _OneThread:
    """Holds BLAS to one thread: on matrices this small, threads that wait for each other cost ten times the work.

    The limit is one of the process and several workers may be inside: the first sets it, the last lifts it.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._limits: Any = None

    def __enter__(self) -> None:
        import scipy.linalg  # noqa: F401  # brings a BLAS of its own, which must be there to be limited
        from threadpoolctl import threadpool_limits

        with self._lock:
            if self._inside == 0:
                self._limits = threadpool_limits(1, user_api="blas")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limits.restore_original_limits()


_ONE_THREAD = _OneThread()


def automatic_patch(shape: tuple[int, int]) -> int:
    """About a tenth of the shorter side of an image, to one digit; 8 to 200 px."""
    side = min(shape)
    unit = 10 ** (len(str(side)) - 2) if side >= 10 else 1
    return min(max(round(side // 10 / unit) * unit, _SMALLEST_PATCH), LARGEST_PATCH)


def low_rank(patches: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Return the closest matrices of rank `k` to some square ones, (n, side, side)."""
    side = patches.shape[-1]
    if k >= side:
        return patches
    # The right singular vectors are the eigenvectors of A'A, of which only the strongest k are needed.
    gram = np.swapaxes(patches, 1, 2) @ patches
    if side < _BATCHED:
        vectors = np.linalg.eigh(gram)[1][:, :, -k:]
    else:
        vectors = np.stack([_strongest(matrix, k) for matrix in gram])
    return np.asarray((patches @ vectors) @ np.swapaxes(vectors, 1, 2))


def _strongest(matrix: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Eigenvectors (side, k) of the k largest eigenvalues of a symmetric matrix."""
    from scipy.linalg import eigh

    side = len(matrix)
    return np.asarray(eigh(matrix, subset_by_index=(side - k, side - 1), driver="evr", check_finite=False)[1])


def denoise(
    values: NDArray[np.float64], valid: NDArray[np.bool_], *, patch: int, stride: int, k: int, keep_mean: bool
) -> NDArray[np.float64]:
    """Replace overlapping patches by their closest rank-k matrices and average them, their middles counting most.

    Parameters
    ----------
    values : ndarray
        (rows, cols); 0 where not `valid`. Pixel [0, 0] is the first of a patch.
    valid : ndarray of bool
        Pixels that are not valid count as the mean of their patch.
    patch, stride : int
        Side of a patch, and distance between the first pixels of two, px.
    keep_mean : bool
        Keep the mean of each patch apart, so that the k components describe what differs from it.
    """
    number = [max(0, -(-(size - patch) // stride)) + 1 for size in values.shape]
    full = [(n - 1) * stride + patch for n in number]
    padding = [(0, size - have) for size, have in zip(full, values.shape, strict=True)]
    padded, known = np.pad(values, padding), np.pad(valid.astype(np.float64), padding)
    fade = np.minimum(np.arange(1, patch + 1), np.arange(patch, 0, -1)) / patch
    weight = fade[:, None] * fade
    total = np.zeros(full)
    for i in range(number[0]):
        rows = slice(i * stride, i * stride + patch)
        cut = (np.lib.stride_tricks.sliding_window_view(part[rows], patch, axis=1) for part in (padded, known))
        pieces, seen = (np.ascontiguousarray(np.moveaxis(part[:, ::stride], 1, 0)) for part in cut)
        count = seen.sum(axis=(1, 2), keepdims=True)
        mean = pieces.sum(axis=(1, 2), keepdims=True) / np.maximum(count, 1)
        kept = mean if keep_mean else np.zeros_like(mean)
        smooth = weight * (low_rank(np.where(seen > 0, pieces, mean) - kept, k) + kept)
        for j in range(number[1]):
            total[rows, j * stride : j * stride + patch] += smooth[j]
    sums = [_overlap(fade, n, stride, size) for n, size in zip(number, full, strict=True)]
    return np.asarray(total / (sums[0][:, None] * sums[1]))[: values.shape[0], : values.shape[1]]


def _overlap(fade: NDArray[np.float64], number: int, stride: int, size: int) -> NDArray[np.float64]:
    """Sum of the weights of all patches along an axis."""
    total = np.zeros(size)
    for i in range(number):
        total[i * stride : i * stride + fade.size] += fade
    return total


class PatchFilter(Preprocessor):
    """What the filters on patches share: the patches, and which window they need."""

    patch_size: int | None = Field(
        None,
        ge=2,
        le=1000,
        description="side of a patch; by default about a tenth of the image's shorter side, at most 200",
        json_schema_extra={"unit": "px"},
    )
    stride: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="distance between patches; by default half of one",
        json_schema_extra={"unit": "px"},
    )
    k: int = Field(3, ge=1, description="components that are kept: the fewer, the smoother")

    def model_post_init(self, _context: Any, /) -> None:
        """Check that patches leave no gaps."""
        if self.patch_size and self.stride and self.stride > self.patch_size:
            message = f"stride must be at most patch_size, instead got {self.stride} and {self.patch_size}"
            raise ConfigError(message)

    def sized(self, shape: tuple[int, int]) -> Self:
        """Decide the size of the patches."""
        patch = self.patch_size or max(automatic_patch(shape), self.stride or 0)
        return self.model_copy(update={"patch_size": patch, "stride": self.stride or max(1, round(patch / 2))})

    @property
    def halo(self) -> int:
        """A patch."""
        return (self.patch_size or max(LARGEST_PATCH, self.stride or 0)) - 1

    @property
    def align(self) -> int:
        """The distance between patches."""
        return self.stride or max(1, round((self.patch_size or LARGEST_PATCH) / 2))

    def _denoise(
        self, values: NDArray[np.float64], valid: NDArray[np.bool_], *, keep_mean: bool
    ) -> NDArray[np.float64]:
        ready = self.sized(values.shape)  # changes nothing but where called on a bare array
        assert ready.patch_size is not None
        assert ready.stride is not None
        with _ONE_THREAD:
            return denoise(values, valid, patch=ready.patch_size, stride=ready.stride, k=self.k, keep_mean=keep_mean)


@register
class SvdDenoise(PatchFilter):
    """Remove noise: of each overlapping patch its mean and the `k` strongest singular components are kept.

    Lines and large shapes stay, speckle and noise go; so does texture finer than the components can hold.
    """

    name: ClassVar[str] = "svd_denoise"

    def fit(self, image: Image) -> tuple[float, float]:
        """Learn median and spread of the image."""
        return level_and_spread(image)

    def apply(self, values: NDArray[Any], valid: NDArray[np.bool_], fitted: Any) -> NDArray[Any]:
        """Denoise a window that starts where a patch does."""
        level, spread = fitted
        smooth = self._denoise(centred(values, valid, fitted), valid, keep_mean=True)
        return np.asarray(smooth * spread + level)
