"""Smooth functions of place and height, computed at nodes and spread over pixels; and images sampled there.

Where a radar saw a place varies so smoothly that computing it for one pixel in 256 and interpolating is exact to
millimetres; only height needs the detail of every pixel, and enters as a parabola at every node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from sensetrack.sar.compiling import WORKS, compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Method = Literal["nearest", "bilinear", "cubic"]

METHODS: tuple[str, ...] = get_args(Method)
"""Their numbers are those of `fill_kernel`."""
HALO = {"nearest": 0, "bilinear": 1, "cubic": 2}
"""Pixels around a place that its value is made of."""
_LEAST = 10.0
"""Half of the height interval that a parabola is fitted over, at least, m: less would be lost in rounding."""


def node_spacing(pixel: float) -> int:
    """Return how many pixels (of a length in m) apart nodes may be for slant ranges to be exact to 2 cm.

    Half the square of the distance of nodes over the range, 400 m over 800 km, is what a straight line misses.
    """
    return int(np.clip(400 // max(pixel, 1e-9), 1, 16))


def nodes_of(window: slice, node: int) -> NDArray[np.float64]:
    """Return the rows, or columns, of the nodes that enclose a window; the first is its first pixel."""
    count = max(-(-(window.stop - 1 - window.start) // node), 1) + 1
    return np.asarray(window.start + node * np.arange(count, dtype=np.float64))


@dataclass(frozen=True, eq=False)
class Parabolas:
    """Quantities as parabolas in height at every node."""

    coefficients: NDArray[np.float64]
    """(quantities, 3, node rows, node columns): constant, linear and quadratic in (height - middle) / half."""
    node: int
    """Pixels between nodes; the first is on the first pixel."""
    middle: float
    """Height, m."""
    half: float
    """Height, m."""

    @classmethod
    def through(cls, values: NDArray[np.float64], node: int, middle: float, half: float) -> Parabolas:
        """Return what goes through values (quantities, 3, node rows, node columns) at `heights_for` of these."""
        low, mid, high = values[:, 0], values[:, 1], values[:, 2]
        coefficients = np.stack([mid, (high - low) / 2, (high + low) / 2 - mid], axis=1)
        return cls(np.ascontiguousarray(coefficients), node, middle, half)

    def at(self, height: NDArray[Any]) -> NDArray[np.float64]:
        """Return the quantities (quantities, rows, cols) of pixels whose heights (rows, cols) are given; NaN stays."""
        height = np.ascontiguousarray(height, np.float64)
        out = np.empty((len(self.coefficients), *height.shape))
        run = spread_kernel if WORKS else _spread_plain
        run(self.coefficients, self.node, height, self.middle, self.half, out)
        return out


def height_interval(height: NDArray[Any]) -> tuple[float, float]:
    """Return middle and half width, m, of an interval that holds all heights that are not NaN."""
    if WORKS:
        low, high = extremes(np.ravel(np.asarray(height, np.float64)))
    else:
        known = height[np.isfinite(height)]
        low, high = float(np.min(known, initial=np.inf)), float(np.max(known, initial=-np.inf))
    if low > high:
        return 0.0, _LEAST
    return (low + high) / 2, max((high - low) / 2, _LEAST)


@compiled
def spread_kernel(  # noqa: PLR0917
    coefficients: Array, node: int, height: Array, middle: float, half: float, out: Array
) -> None:
    """Evaluate parabolas for every pixel; see `Parabolas`."""
    rows, cols = height.shape
    per_node, per_half = 1 / node, 1 / half
    for i in range(rows):
        up = i // node
        f = (i - up * node) / node
        down = min(up + 1, coefficients.shape[2] - 1)
        for q in range(coefficients.shape[0]):
            for cell in range((cols + node - 1) // node):
                right = min(cell + 1, coefficients.shape[3] - 1)
                a = coefficients[q, 0, up, cell] * (1 - f) + coefficients[q, 0, down, cell] * f
                b = coefficients[q, 1, up, cell] * (1 - f) + coefficients[q, 1, down, cell] * f
                c = coefficients[q, 2, up, cell] * (1 - f) + coefficients[q, 2, down, cell] * f
                da = coefficients[q, 0, up, right] * (1 - f) + coefficients[q, 0, down, right] * f - a
                db = coefficients[q, 1, up, right] * (1 - f) + coefficients[q, 1, down, right] * f - b
                dc = coefficients[q, 2, up, right] * (1 - f) + coefficients[q, 2, down, right] * f - c
                first = cell * node
                for j in range(first, min(first + node, cols)):
                    g = (j - first) * per_node
                    u = (height[i, j] - middle) * per_half
                    out[q, i, j] = a + g * da + u * (b + g * db + u * (c + g * dc))


def _spread_plain(  # noqa: PLR0917
    coefficients: Array, node: int, height: Array, middle: float, half: float, out: Array
) -> None:
    """Do what `spread_kernel` does, in NumPy."""
    down, across = (
        _weights(size, nodes, node) for size, nodes in zip(height.shape, coefficients.shape[2:], strict=True)
    )
    u = (height - middle) / half
    for quantity, place in zip(coefficients, out, strict=True):
        a, b, c = (down @ part @ across.T for part in quantity)
        place[:] = a + u * (b + u * c)


def _weights(size: int, nodes: int, node: int) -> NDArray[np.float64]:
    """Weights (pixels, nodes) of linear interpolation."""
    weights = np.zeros((size, nodes))
    pixel = np.arange(size)
    low = pixel // node
    share = (pixel - low * node) / node
    weights[pixel, low] = 1 - share
    np.add.at(weights, (pixel, np.minimum(low + 1, nodes - 1)), share)
    return weights


def sample(
    image: NDArray[np.float32], line: NDArray[np.float64], column: NDArray[np.float64], method: Method = "bilinear"
) -> NDArray[np.float32]:
    """Return an image at places between its pixels.

    Parameters
    ----------
    image : ndarray of float32
        (rows, cols); NaN = not valid.
    line, column : ndarray of float64
        Of one shape; rows and columns in pixel centres: 0 is the centre of the first. NaN: nowhere.
    method : {"nearest", "bilinear", "cubic"}
        Cubic is Keys' convolution, which can overshoot beside bright points; where not all of its 16 pixels are there,
        bilinear takes over.

    Returns
    -------
    ndarray of float32
        NaN beyond the centres of the outermost pixels, and where a pixel that counts is not valid.
    """
    image = np.ascontiguousarray(image, np.float32)
    out = np.full(line.shape, np.nan, np.float32)
    if not image.size:
        return out
    if method == "nearest":
        line, column = np.rint(line), np.rint(column)
    kernel = take_kernel if WORKS else _take_plain
    kernel(image, line, column, method == "cubic", out)
    return out


@compiled
def take_kernel(image: NDArray[Any], line: Array, column: Array, cubic: bool, out: NDArray[Any]) -> None:  # noqa: FBT001
    """Interpolate an image at places; see `sample`."""
    for i in range(line.shape[0]):
        for j in range(line.shape[1]):
            out[i, j] = _taken(image, line[i, j], column[i, j], cubic)


@compiled
def _straight(image: NDArray[Any], y: float, x: float) -> float:
    """Return an image at one place, which lies in it, bilinear."""
    r, c = int(y), int(x)
    fy, fx = y - r, x - c
    # A pixel of weight 0 need not be there.
    down, right = r + (fy > 1e-9), c + (fx > 1e-9)
    up = image[r, c] * (1 - fx) + image[r, right] * fx
    low = image[down, c] * (1 - fx) + image[down, right] * fx
    return float(up * (1 - fy) + low * fy)


@compiled
def _taken(image: NDArray[Any], y: float, x: float, cubic: bool) -> float:  # noqa: FBT001
    """Return an image at one place."""
    rows, cols = image.shape
    if not (y >= 0 and x >= 0 and y <= rows - 1 and x <= cols - 1):
        return np.nan
    r, c = int(y), int(x)
    if cubic and r >= 1 and c >= 1 and r + 2 < rows and c + 2 < cols:
        fy, fx = y - r, x - c
        total = 0.0
        for k in range(-1, 3):
            wy = _keys(fy - k)
            row = 0.0
            for m in range(-1, 3):
                row += _keys(fx - m) * image[r + k, c + m]
            total += wy * row
        if not np.isnan(total):
            return total
    return _straight(image, y, x)


class Affine1(NamedTuple):
    """Where pixels of one image lie in another, along one axis: pixel r is at ``origin + step * r``."""

    origin: float
    step: float


@compiled
def reach_kernel(  # noqa: PLR0917
    line: Array, column: Array, down: Affine1, across: Affine1, shape: tuple[int, int], wanted: NDArray[np.bool_]
) -> tuple[float, float, float, float]:
    """Narrow `wanted` to the places that lie in an image; return the first and last row and column that they need.

    Parameters
    ----------
    line, column : (rows, cols) float64
        Places in the reference.
    down, across : Affine1
        Of lines and columns of the image in the reference.
    shape : (int, int)
        Of the image.
    wanted : (rows, cols) bool
        Changed.
    """
    top, left, bottom, right = np.inf, np.inf, -np.inf, -np.inf
    per_row, per_column = 1 / down.step, 1 / across.step
    for i in range(line.shape[0]):
        for j in range(line.shape[1]):
            y, x = (line[i, j] - down.origin) * per_row, (column[i, j] - across.origin) * per_column
            inside = wanted[i, j] and y >= 0 and y <= shape[0] - 1 and x >= 0 and x <= shape[1] - 1
            wanted[i, j] = inside
            if inside:
                top, bottom, left, right = min(top, y), max(bottom, y), min(left, x), max(right, x)
    return top, bottom, left, right


@compiled
def fill_kernel(  # noqa: PLR0917
    image: NDArray[Any], corner: tuple[int, int], line: Array, column: Array, down: Affine1, across: Affine1,
    wanted: NDArray[np.bool_], method: int, out: NDArray[Any],
) -> None:  # fmt: skip
    """Write what is in a window of an image to the places where it is wanted.

    Parameters
    ----------
    image : (rows, cols) float32
        A window of the image that begins at `corner`.
    line, column, down, across, wanted
        As for `reach_kernel`.
    method : int
        0 nearest, 1 bilinear, 2 cubic.
    out : (rows, cols) float32
        Written.
    """
    top, per_row = down.origin + corner[0] * down.step, 1 / down.step
    left, per_column = across.origin + corner[1] * across.step, 1 / across.step
    for i in range(line.shape[0]):
        for j in range(line.shape[1]):
            if not wanted[i, j]:
                continue
            y, x = (line[i, j] - top) * per_row, (column[i, j] - left) * per_column
            if method == 1:
                out[i, j] = _straight(image, y, x)
            elif method == 2:
                out[i, j] = _taken(image, y, x, True)  # noqa: FBT003
            else:
                out[i, j] = _straight(image, np.rint(y), np.rint(x))


@compiled
def extremes(values: Array) -> tuple[float, float]:
    """Return the least and the greatest of numbers that are finite; infinite the wrong way round where none is."""
    low, high = np.inf, -np.inf
    for value in values:
        if value - value == 0:
            low, high = min(low, value), max(high, value)
    return low, high


@compiled
def _keys(t: float) -> float:
    """Weight of a pixel at a distance in the cubic convolution of Keys."""
    t = abs(t)
    if t < 1:
        return 1 + t * t * (1.5 * t - 2.5)
    if t < 2:
        return 2 - t * (4 - t * (2.5 - 0.5 * t))
    return 0.0


def _take_plain(
    image: NDArray[np.float32],
    line: NDArray[np.float64],
    column: NDArray[np.float64],
    cubic: bool,  # noqa: FBT001  as the kernel
    out: NDArray[np.float32],
) -> None:
    """Do what `take_kernel` does, in NumPy."""
    rows, cols = image.shape
    with np.errstate(invalid="ignore"):
        inside = (line >= 0) & (column >= 0) & (line <= rows - 1) & (column <= cols - 1)
    y, x = line[inside], column[inside]
    r, c = y.astype(np.intp), x.astype(np.intp)
    fy, fx = y - r, x - c
    down, right = r + (fy > 1e-9), c + (fx > 1e-9)
    up = image[r, c] * (1 - fx) + image[r, right] * fx
    values = up * (1 - fy) + (image[down, c] * (1 - fx) + image[down, right] * fx) * fy
    if cubic:
        keys = np.vectorize(getattr(_keys, "py_func", _keys), otypes=[float])
        whole = (r >= 1) & (c >= 1) & (r + 2 < rows) & (c + 2 < cols)
        total = np.zeros(int(whole.sum()))
        for k in range(-1, 3):
            for m in range(-1, 3):
                weight = keys(fy[whole] - k) * keys(fx[whole] - m)
                total += weight * image[r[whole] + k, c[whole] + m]
        values[whole] = np.where(np.isnan(total), values[whole], total)
    out[inside] = values
