"""Offsets by ampcor: the fast way against the written description, on speckle of a known motion."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import ampcor_plain as plain
from sensetrack.errors import ConfigError, InputError
from sensetrack.ot.fields import Flag
from sensetrack.sar import ampcor_stages
from sensetrack.sar.ampcor import ampcor
from sensetrack.sar.lazy import Lazy

SHIFT = (2.7, -4.3)
"""Rows down, columns right; both off the lattice of whole and half pixels."""
SHAPE = (120, 190)


def speckle(shape=SHAPE, shift=SHIFT, *, seed=3, noise=0.25, band=(0.8, 0.65)):
    """Return two complex images of speckle of which the second moved by `shift` px and is partly of its own."""
    rng = np.random.default_rng(seed)
    f, g = np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])
    inside = (np.abs(f) < band[0] / 2) & (np.abs(g) < band[1] / 2)

    def field():
        white = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
        return np.fft.fft2(white) * inside

    common = field()
    moved = common * np.exp(-2j * np.pi * (f * shift[0] + g * shift[1]))
    return tuple(40 * np.fft.ifft2(part + noise * field()).astype(np.complex64) for part in (common, moved))


def by_the_text(pair, rows, cols, size, search, gross, **settings):
    """Return (rows, cols, 6) d_row, d_col, snr, var row, var col, cov, and the words for what is missing."""
    numbers = np.full((rows.size, cols.size, 6), np.nan)
    words = np.full((rows.size, cols.size), "", object)
    down, right = (np.broadcast_to(part, words.shape) for part in gross)
    for i, y in enumerate(rows):
        for j, x in enumerate(cols):
            found = plain.window(*pair, y, x, size, search, (down[i, j], right[i, j]), **settings)
            if isinstance(found, str):
                words[i, j] = found
            else:
                dy, dx, snr, across, along, cross = found
                numbers[i, j] = dy, dx, snr, along, across, cross
    return numbers, words


def stacked(result):
    return np.concatenate([np.stack([result.d_row, result.d_col, result.snr], -1), result.covariance], axis=-1)


def with_holes(pair):
    """Some pixels of both images missing, as NaN, as zeros, as infinity, as what no sensor delivers."""
    first, second = pair[0].copy(), pair[1].copy()
    first[30:36, 60:68] = np.nan
    first[70:110, 120:150] = 0
    second[44:50, 90:97] = 0
    second[20, 50] = np.inf
    second[21, 53] = 1e30
    return first, second


CASES = {
    "square": {"size": (16, 16), "search": (8, 8), "rows": (20, 47, 71), "cols": (30, 77, 140)},
    "upright": {"size": (32, 12), "search": (6, 9), "rows": (20, 61), "cols": (21, 80, 150)},
    "lying": {"size": (12, 40), "search": (5, 11), "rows": (18, 52, 85), "cols": (24, 91)},
    "little search": {"size": (16, 20), "search": (4, 6), "rows": (30, 60), "cols": (40, 100)},
    "gross": {"size": (16, 24), "search": (5, 8), "rows": (30, 60), "cols": (50, 110), "gross": (12, -17)},
    "gross of each": {
        "size": (16, 24), "search": (5, 7), "rows": (25, 60), "cols": (50, 110),
        "gross": (np.array([[1, 2], [5, 3]]), np.array([[-6, -4], [-1, 0]])),
    },
    "finer": {"size": (24, 24), "search": (8, 8), "rows": (20, 60), "cols": (40, 120), "oversampling": 64},
    "complex": {"size": (16, 26), "search": (6, 8), "rows": (20, 50), "cols": (40, 90, 130), "kind": "cpx"},
    "holes": {"size": (16, 24), "search": (6, 9), "rows": (18, 26, 40, 66, 82), "cols": (34, 55, 80, 118)},
    "beyond the image": {"size": (20, 20), "search": (8, 8), "rows": (-4, 3, 8, 96, 103), "cols": (-9, 6, 165)},
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_it_says_what_the_description_says(name):
    case = {"gross": (0, 0), **CASES[name]}
    rows, cols, size, search, gross = (case.pop(key) for key in ("rows", "cols", "size", "search", "gross"))
    rows, cols = np.array(rows), np.array(cols)
    moved = tuple(a + b for a, b in zip(SHIFT, gross, strict=True)) if name == "gross" else SHIFT
    pair = speckle(shift=moved)
    if name == "holes":
        pair = with_holes(pair)
    finite = tuple(np.where(np.abs(image) < 1e15, image, np.nan) for image in pair)
    expected, words = by_the_text(finite, rows, cols, size, search, gross, **case)
    result = ampcor(*pair, window=size, search=search, starts=(rows, cols), gross=gross, **case)
    got = stacked(result)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_array_equal(got[..., :2], expected[..., :2])
    np.testing.assert_allclose(got[..., 2:5], expected[..., 2:5], rtol=1e-3)
    scale = np.sqrt(expected[..., 3] * expected[..., 4])
    np.testing.assert_allclose(got[..., 5] / scale, expected[..., 5] / scale, atol=1e-3)
    np.testing.assert_array_equal(result.flags & Flag.NO_DATA.bit > 0, words == "coverage")
    np.testing.assert_array_equal(result.flags & Flag.PEAK_AT_EDGE.bit > 0, words == "edge")
    np.testing.assert_array_equal(result.flags == 0, words == "")
    np.testing.assert_array_equal(np.isnan(result.score), words != "")
    if name not in {"holes", "beyond the image"}:
        assert (words == "").all()
        np.testing.assert_allclose(np.median(got[..., 0]), moved[0], atol=0.25)
        np.testing.assert_allclose(np.median(got[..., 1]), moved[1], atol=0.25)
    else:
        assert 0.1 < (words == "coverage").mean() < 0.9


def test_a_motion_beyond_the_search_is_at_the_edge_or_elsewhere():
    pair = speckle(shift=(8.0, -4.3))
    starts = np.array([30, 60]), np.array([40, 90, 130])
    result = ampcor(*pair, window=(24, 24), search=(8, 9), starts=starts)
    assert (result.flags == Flag.PEAK_AT_EDGE).any()
    assert np.isnan(result.d_row[result.flags > 0]).all()
    assert np.isnan(result.covariance[result.flags > 0]).all()
    _, words = by_the_text(pair, *starts, (24, 24), (8, 9), (0, 0))
    np.testing.assert_array_equal(result.flags == Flag.PEAK_AT_EDGE, words == "edge")


def test_an_image_without_texture_is_flagged():
    first, second = (np.abs(image) for image in speckle())
    first[20:60] = 7.5
    result = ampcor(first, second, window=(16, 16), search=(8, 8), starts=([30, 80], [60]))
    assert result.flags[:, 0].tolist() == [Flag.LOW_TEXTURE, 0]
    flat = np.full_like(second, 1234.567)
    assert ampcor(first, flat, window=(16, 16), search=(8, 8), starts=([80], [60])).flags == Flag.LOW_TEXTURE


def test_an_image_found_in_itself_has_no_variance():
    image, _ = speckle()
    result = ampcor(image, image, window=(16, 16), search=(8, 8), starts=([30], [60]))
    assert (np.abs([result.d_row, result.d_col]) <= 1 / 64).all()  # the 8 samples around a peak are not symmetric
    assert result.score > 0.99999
    assert (result.covariance[..., :2] < 1e-6).all()


def test_where_nothing_can_be_compiled_the_result_is_the_same(monkeypatch):
    pair, starts = speckle(), (np.array([20, 60]), np.array([30, 90, 140]))
    settings = {"window": (16, 24), "search": (7, 9), "starts": starts, "kind": "cpx"}
    fast = ampcor(*pair, **settings)
    monkeypatch.setattr(ampcor_stages, "best_kernel", lambda: "opencv")
    slow = ampcor(*pair, **settings)
    np.testing.assert_array_equal(slow.d_row, fast.d_row)
    np.testing.assert_array_equal(slow.d_col, fast.d_col)
    np.testing.assert_allclose(slow.snr, fast.snr, rtol=1e-4)
    np.testing.assert_allclose(slow.covariance, fast.covariance, rtol=1e-3, atol=1e-7)


class Watched(Lazy):
    """An image that remembers what was read of it."""

    def __init__(self, pixels):
        self.pixels, self.shape, self.dtype, self.read_px = pixels, pixels.shape, pixels.dtype, []

    def read(self, rows, cols):
        self.read_px.append((rows.stop - rows.start) * (cols.stop - cols.start))
        return self.pixels[rows, cols]


def test_blocks_threads_and_sources_change_nothing():
    rng = np.random.default_rng(8)
    image = rng.gamma(2, 1, (140, 2600)).astype(np.float32)
    pair = image[:, 10:], np.ascontiguousarray(image[3:, :-10])
    pair[0].setflags(write=False)
    pair[1].setflags(write=False)
    starts = np.arange(10, 100, 15), np.arange(30, 2540, 30)
    settings = {"window": (16, 20), "search": (5, 12), "starts": starts}
    plain_result = ampcor(*pair, **settings)
    assert (plain_result.flags == 0).all()
    np.testing.assert_allclose(plain_result.d_row, -3, atol=1 / 16)
    np.testing.assert_allclose(plain_result.d_col, 10, atol=1 / 16)
    watched, seen = [Watched(part) for part in pair], []
    with ThreadPoolExecutor(2) as threads:
        result = ampcor(*watched, **settings, mapper=threads.map, advance=lambda *now: seen.append(now))
    for name in ("d_row", "d_col", "snr", "covariance", "score", "flags"):
        np.testing.assert_array_equal(getattr(result, name), getattr(plain_result, name), name)
    assert seen == [(1, 2), (2, 2)]
    assert max(watched[1].read_px) < pair[1].size


def test_gross_offsets_far_apart_are_read_window_by_window(monkeypatch):
    pair = speckle()
    settings = {"window": (16, 16), "search": (8, 8), "starts": (np.array([30, 60]), np.array([50, 100]))}
    wild = np.array([[0, 0], [10**6, 0]]), np.array([[0, -(10**6)], [0, 0]])
    result = ampcor(*pair, **settings, gross=wild)
    usual = ampcor(*pair, **settings)
    assert result.flags.tolist() == [[0, Flag.NO_DATA], [Flag.NO_DATA, 0]]
    np.testing.assert_array_equal(result.d_row[[0, 1], [0, 1]], usual.d_row[[0, 1], [0, 1]])


def test_places_of_windows():
    pair = speckle()
    result = ampcor(*pair, window=(16, 20), search=(8, 8), starts=([20, 33, 46], [40, 51]))
    assert [part.tolist() for part in result.centre] == [[28, 41, 54], [50, 61]]
    assert [part.tolist() for part in result.reported] == [[29, 42, 55], [50, 61]]
    field = result.field()
    assert (field.start, field.step, field.grid.shape) == ((28, 50), (13, 11), (3, 2))
    np.testing.assert_array_equal(field.d_col, result.d_col)
    np.testing.assert_array_equal(field.covariance, result.covariance)
    with pytest.raises(InputError, match="rows of windows at even distances"):
        ampcor(*pair, window=(16, 20), search=(8, 8), starts=([20, 33, 47], [40])).field()


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"window": (16, 15)}, ConfigError, "even number of columns, instead got 15"),
        ({"search": (0, 8)}, ConfigError, "at least 1 px along the rows, instead got 0"),
        ({"oversampling": 24}, ConfigError, "power of two, instead got 24"),
        ({"kind": "complex"}, ConfigError, "kind must be one of mag, cpx"),
        ({"kind": "cpx"}, InputError, "must be complex"),
        ({"starts": ([1.5], [2])}, ConfigError, "whole numbers of pixels"),
        ({"gross": (0, np.zeros((2, 1), int))}, ConfigError, r"shape \(1, 1\) of the result, instead got \(2, 1\)"),
        ({"starts": ([[1]], [2])}, ConfigError, "one row of numbers"),
    ],
)
def test_what_cannot_be_is_refused(change, error, said):
    settings = {"window": (16, 16), "search": (8, 8), "starts": ([20], [30])} | change
    with pytest.raises(error, match=said):
        ampcor(np.ones((90, 90)), np.ones((90, 90)), **settings)


def test_no_windows_are_no_result():
    result = ampcor(*speckle(), window=(16, 16), search=(8, 8), starts=(np.zeros(0, int), [3]))
    assert result.d_row.shape == (0, 1)
