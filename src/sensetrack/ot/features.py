"""Landmarks that look alike in two images however far apart and however turned these are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import ndimage

from sensetrack.ot.resample import Resampled
from sensetrack.ot.tiles import overview

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sensetrack.blocks import Mapper
    from sensetrack.ot.tiles import Scaled

_SIDE = 1024
"""Longer side of the overviews, px: enough for thousands of landmarks, and few enough to compare all with all."""
_MOST = 3000
"""Landmarks of an image."""
_CONTRAST = 20.0
"""Width, px, of the Gaussian over which brightness and contrast are evened out."""
_RATIO = 0.8
"""A landmark must be this much more like its partner than like the next best one."""
_NEAR = 3.0
"""Distance from the similarity, px of the overview, within which a pair of landmarks agrees with it."""
_MIN_INLIERS = 12
"""Agreeing pairs that are needed: some agree with any similarity by chance, but no dozen."""
_MIN_SHARE = 0.1
"""Share of all pairs that must agree."""
_SCALES = 0.5, 2.0
"""Scales that are plausible between two images of one grid."""


class Landmarks(NamedTuple):
    """Pairs of places that look alike and agree on one similarity."""

    here: NDArray[np.float64]
    """(n, 2) row, col of the reference, pixel centres."""
    there: NDArray[np.float64]
    """(n, 2) row, col of the secondary."""
    tried: int
    """Pairs that looked alike, the agreeing ones among them."""


class _Overview(NamedTuple):
    """A small picture with square pixels, and where its pixels are in the image."""

    picture: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    to_image: Any
    """(n, 2) row, col of the picture -> of the image."""


def find_landmarks(
    reference: Scaled, secondary: Scaled, metric: NDArray[np.float64], *, mapper: Mapper = map
) -> Landmarks | None:
    """Find landmarks (SIFT; ORB where OpenCV lacks it) that agree on one similarity between two images.

    They are looked for in overviews of at most 1024 px, evened out in brightness and contrast, away from pixels
    that are not valid.

    Parameters
    ----------
    reference, secondary : Scaled
        Images on one grid.
    metric : ndarray
        From `sensetrack.ot.mapping.square`: the overviews have square pixels on the ground.

    Returns
    -------
    Landmarks or None
        None where fewer than 12 pairs, or less than a tenth of them, agree, or their scale is not plausible.
    """
    import cv2

    overviews = [_overview(scaled, metric, mapper) for scaled in (reference, secondary)]
    found = [_detect(one) for one in overviews]
    if any(len(points) < _MIN_INLIERS for points, _ in found):
        return None
    pairs = _pairs(found[0][1], found[1][1])
    # Landmarks that differ in direction or size only are one place, and one vote.
    both = np.unique(np.hstack([found[0][0][pairs[:, 0]], found[1][0][pairs[:, 1]]]).round(1), axis=0)
    if len(both) < _MIN_INLIERS:
        return None
    first, second = (np.ascontiguousarray(part) for part in np.hsplit(both, 2))
    estimate: Any = cv2.estimateAffinePartial2D(
        first, second, method=cv2.RANSAC, ransacReprojThreshold=_NEAR, maxIters=5000, confidence=0.999
    )
    matrix, inlier = estimate
    if matrix is None:
        return None
    agreeing = inlier.ravel().astype(bool)
    scale = float(np.hypot(*matrix[:, 0]))
    if agreeing.sum() < max(_MIN_INLIERS, _MIN_SHARE * len(both)) or not _SCALES[0] < scale < _SCALES[1]:
        return None
    here, there = (one.to_image(part[agreeing]) for one, part in zip(overviews, (first, second), strict=True))
    return Landmarks(here, there, len(both))


def _overview(scaled: Scaled, metric: NDArray[np.float64], mapper: Mapper) -> _Overview:
    """Shrink an image by a whole number, and then make its pixels square."""
    outline = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * scaled.image.grid.shape @ metric.T
    factor = max(1, int(np.ceil(np.ptp(outline, axis=0).max() / _SIDE)))
    values, valid = overview(scaled, factor, limit=1.5, mapper=mapper)
    small = np.where(valid, values, np.nan)
    origin = outline.min(axis=0) / factor
    shape = np.ceil(np.ptp(outline, axis=0) / factor).astype(int)
    inverse = np.linalg.inv(metric)

    def to_small(points: NDArray[Any]) -> NDArray[Any]:
        return np.asarray((points + 0.5 + origin) @ inverse.T - 0.5)

    def places(row: NDArray[Any], col: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        out = to_small(np.stack([row, col], axis=-1))
        return out[..., 0], out[..., 1]

    squared = Resampled(small, places, (shape[0], shape[1]))[:, :]
    known = np.isfinite(squared)
    return _Overview(_even(squared, known), known, lambda points: (to_small(points) + 0.5) * factor - 0.5)


def _even(values: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Even out brightness and contrast; what is not valid becomes grey."""
    filled = np.where(valid, values, 0.0).astype(np.float64)
    weight = np.maximum(ndimage.gaussian_filter(valid.astype(np.float64), _CONTRAST), 1e-3)
    mean = ndimage.gaussian_filter(filled, _CONTRAST) / weight
    rest = np.where(valid, filled - mean, 0.0)
    spread = np.sqrt(ndimage.gaussian_filter(rest**2, _CONTRAST) / weight)
    floor = 0.1 * float(np.median(spread[valid])) if valid.any() else 1.0
    return np.asarray(np.clip(128 + 50 * rest / np.maximum(spread, max(floor, 1e-9)), 0, 255), np.uint8)


def _detect(one: _Overview) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Find landmarks, (n, 2) row, col of the picture, and what they look like."""
    import cv2

    create: Any = getattr(cv2, "SIFT_create", None) or cv2.ORB_create  # type: ignore[attr-defined]
    finder = create(nfeatures=_MOST)
    points, looks = finder.detectAndCompute(one.picture, None)
    if not points:
        return np.zeros((0, 2)), np.zeros((0, 1))
    place = np.array([point.pt[::-1] for point in points], float)
    size = np.array([point.size for point in points])
    away = ndimage.distance_transform_edt(one.valid) if not one.valid.all() else np.full(one.valid.shape, np.inf)
    row, col = (np.clip(part.round().astype(int), 0, n - 1) for part, n in zip(place.T, one.valid.shape, strict=True))
    clear = away[row, col] > np.minimum(size, 31)
    return place[clear], looks[clear]


def _pairs(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.intp]:
    """(n, 2) indices of landmarks that are each other's best partner, clearly better than the next."""
    import cv2

    matcher = cv2.BFMatcher(cv2.NORM_HAMMING if first.dtype == np.uint8 else cv2.NORM_L2)
    clear = [
        best for best, next_best in matcher.knnMatch(first, second, k=2) if best.distance < _RATIO * next_best.distance
    ]
    pairs = np.array([(best.queryIdx, best.trainIdx) for best in clear], np.intp).reshape(-1, 2)
    if not len(pairs):
        return pairs
    returned = np.array([best.trainIdx for best in matcher.match(second[pairs[:, 1]], first)])
    return np.asarray(pairs[returned == pairs[:, 0]])
