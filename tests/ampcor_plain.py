"""What ISCE2's ampcor computes for one window, written down a second time: step by step, slowly, in double precision.

Nothing here is shared with the package. Arrays are (y, x); pixels count from 0.
"""

from __future__ import annotations

import numpy as np


def cut(image, y, x, shape):
    """Pixels [y, y + h) x [x, x + w); 0 outside the image and where nothing was measured."""
    h, w = shape
    out = np.zeros(shape, complex if np.iscomplexobj(image) else float)
    for i in range(h):
        for j in range(max(-x, 0), min(w, image.shape[1] - x)):
            if 0 <= y + i < image.shape[0] and image[y + i, x + j] == image[y + i, x + j]:
                out[i, j] = image[y + i, x + j]
    return out


def surface(t, s, *, holes=True):
    """Normalised cross-correlation of a template at all places of a chip; zeros of a template are holes."""
    h, w = t.shape
    n = h * w
    there = t != 0 if holes else np.ones(t.shape, bool)
    mean, std = t[there].mean(), np.sqrt(((t[there] - t[there].mean()) ** 2).mean())
    c = np.zeros((s.shape[0] - h + 1, s.shape[1] - w + 1))
    for y in range(c.shape[0]):
        for x in range(c.shape[1]):
            part = s[y : y + h, x : x + w]
            below = n * (part**2).sum() - part.sum() ** 2
            if std > 0 and below > 1e-9 * n * (part**2).sum():
                c[y, x] = ((t * part).sum() - mean * part.sum()) / (std * np.sqrt(below))
    return c


def first_peak(c):
    """(y, x) of the first maximum, columns outside, rows inside."""
    best, where = -np.inf, (0, 0)
    for x in range(c.shape[1]):
        for y in range(c.shape[0]):
            if c[y, x] > best:
                best, where = c[y, x], (y, x)
    return where


def snr_of(c, y, x):
    """Squared peak over the mean square in a box around it, which misses the last row and column of the surface."""
    rows, cols = c.shape
    box = c[max(y - 10, 0) : min(y + 11, rows - 1), max(x - 10, 0) : min(x + 11, cols - 1)]
    rest = (box**2).sum() - c[y, x] ** 2
    return min(c[y, x] ** 2 / (rest / (box.size - 1)), 9999.99999)


def covariance_of(c, y, x, n):
    """(range, azimuth, cross) in px^2; None where the peak has no curvature."""
    peak = c[y, x]
    dxx = -(c[y, x + 1] + c[y, x - 1] - 2 * peak) * n
    dyy = -(c[y + 1, x] + c[y - 1, x] - 2 * peak) * n
    dxy = (c[y + 1, x + 1] + c[y - 1, x - 1] - c[y - 1, x + 1] - c[y + 1, x - 1]) / 4 * n
    q = max(1 - peak, 0)
    n2, n4 = 2 * q, 0.5 * n * q**2
    u = dxy**2 - dxx * dyy
    if u == 0:
        return None
    return (
        (-n2 * u * dyy + n4 * (dyy**2 + dxy**2)) / u**2,
        (-n2 * u * dxx + n4 * (dxx**2 + dxy**2)) / u**2,
        (n2 * u - n4 * (dxx + dyy)) * dxy / u**2,
    )


def power_of_two(n):
    p = 1
    while p < n:
        p *= 2
    return p


def deramped(z):
    """Take the mean phase step along x and along y out of complex numbers."""
    along = np.angle((z[:, 1:] * z[:, :-1].conj()).sum())
    down = np.angle((z[1:] * z[:-1].conj()).sum())
    y, x = np.mgrid[: z.shape[0], : z.shape[1]]
    return z * np.exp(-1j * (along * x + down * y))


def doubled(z):
    """Magnitude at twice the samples: zero-padded to powers of two, spectrum padded, Nyquist at negative frequency."""
    h, w = z.shape
    big = np.zeros((power_of_two(h), power_of_two(w)), complex)
    big[:h, :w] = z
    m, n = big.shape
    spectrum = np.fft.fftshift(np.fft.fft2(big))
    padded = np.zeros((2 * m, 2 * n), complex)
    padded[m // 2 : m // 2 + m, n // 2 : n // 2 + n] = spectrum
    return np.abs(np.fft.ifft2(np.fft.ifftshift(padded)) * 4)[: 2 * h, : 2 * w]


def kernel(f):
    """Weights of the 8 samples -3 ... 4 for a place f between samples 0 and 1."""
    k = np.arange(-3, 5)
    d = f - k
    weights = np.sinc(0.75 * d) * (0.5 + 0.5 * np.cos(np.pi * d / 4))
    return k, weights / weights.sum()


def fine(c, qy, qx, oversampling):
    """(y, x) of the peak in steps of 1 / oversampling from lag (qy, qx) on, -oversampling - 1 ... oversampling - 1."""
    box = np.zeros((8, 8))
    for i in range(8):
        for j in range(8):
            y, x = qy - 4 + i, qx - 4 + j
            if 0 <= y < c.shape[0] and 0 <= x < c.shape[1]:
                box[i, j] = abs(c[y, x]) / c[qy, qx]
    steps = {
        s: (s // oversampling, *kernel(s % oversampling / oversampling)) for s in range(-oversampling - 1, oversampling)
    }
    best, where = -np.inf, (0, 0)
    for sx, (base, k, weights) in steps.items():
        column = np.array([sum(row[(4 + base + a) % 8] * b for a, b in zip(k, weights, strict=True)) for row in box])
        for sy, (below, m, others) in steps.items():
            value = (column[(4 + below + m) % 8] * others).sum()
            if value >= best:
                best, where = value, (sy, sx)
    return where


def window(reference, secondary, y0, x0, size, search, gross=(0, 0), kind="mag", oversampling=32):
    """(dy, dx, snr, cov range, cov azimuth, cov cross), or the word for why there is nothing."""
    (h, w), (sy, sx) = size, search
    if kind == "mag":
        reference, secondary = np.abs(reference), np.abs(secondary)
    t = cut(reference, y0, x0, size)
    s = cut(secondary, y0 - sy + gross[0], x0 - sx + gross[1], (h + 2 * sy, w + 2 * sx))
    if (t != 0).mean() < 0.9 or (s != 0).mean() < 0.9:
        return "coverage"
    c = surface(np.abs(t), np.abs(s))
    py, px = first_peak(c)
    if c[py, px] <= 0:
        return "no peak"
    if py in (0, 2 * sy) or px in (0, 2 * sx):
        return "edge"
    snr = snr_of(c, py, px)
    covariance = covariance_of(c, py, px, h * w)
    if covariance is None or not snr > 1e-6 or max(covariance[:2]) >= 999.999998:
        return "flat"
    sp = min(4, sy, sx)
    piece = s[py - sp : py + h + sp, px - sp : px + w + sp] if min(py, px) >= sp else None
    if piece is None or piece.shape != (h + 2 * sp, w + 2 * sp):
        piece = cut(secondary, y0 - sy + gross[0] + py - sp, x0 - sx + gross[1] + px - sp, (h + 2 * sp, w + 2 * sp))
    if kind == "cpx":
        t, piece = deramped(t), deramped(piece)
    c2 = surface(doubled(t), doubled(piece), holes=False)
    qy, qx = first_peak(c2)
    fy, fx = fine(c2, qy, qx, oversampling)
    dy = fy / (2 * oversampling) + qy / 2 - sp + (py - sy) + gross[0]
    dx = fx / (2 * oversampling) + qx / 2 - sp + (px - sx) + gross[1]
    return (dy, dx, snr, *covariance)
