"""Bursts and swaths put together: one lattice, no steps, nothing lost, nothing invented."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from radar_posts import DT
from sar_truth import circular_orbit, radar_grid
from sensetrack.errors import InputError
from sensetrack.grid import Grid
from sensetrack.ot.fields import Flag, OffsetField
from sensetrack.sar.merge import Part, frame_of, frame_posts, lattice_posts, merge, place_of, seams

CHIP, STEP = (64, 128), (8, 22)
WINDOWS = (
    (slice(0, 400), slice(0, 1100)),
    (slice(303, 703), slice(0, 1100)),
    (slice(606, 1006), slice(0, 1100)),
    (slice(151, 551), slice(917, 2017)),
    (slice(454, 854), slice(917, 2017)),
)
"""Three bursts of one swath, two of the next; all but the first begin beside the lattice."""


def bursts(radar):
    """The grids of the bursts; those of the second swath lie beside the lines of the first."""
    grids = [radar.crop(*window) for window in WINDOWS]
    return [
        grid if k < 3 else replace(grid, first_time=grid.first_time + 0.37 * grid.line_interval,
                                   near_range=grid.near_range - 0.24 * grid.range_spacing)
        for k, grid in enumerate(grids)
    ]  # fmt: skip


def smooth(line, sample):
    """Offsets that bend and are not symmetric."""
    d_row = 3 + 1e-3 * line - 4e-4 * sample + 0.5 * np.sin(line / 170 + sample / 900)
    return d_row, -5 + 2e-3 * sample + 3e-4 * line * np.cos(sample / 700)


def part_of(frame, grid, number, *, bias=(0.0, 0.0), variance=(4e-4, 9e-4), window=None):
    """What a burst measures of the smooth field."""
    posts = lattice_posts(frame, grid, CHIP, STEP, window)
    shape = posts.posts
    start = posts.start[0] + CHIP[0] / 2, posts.start[1] + CHIP[1] / 2
    offset = place_of(frame, grid)
    line = offset[0] + start[0] + STEP[0] * np.arange(shape[0])[:, None]
    sample = offset[1] + start[1] + STEP[1] * np.arange(shape[1])
    d_row, d_col = (
        np.asarray(part + more, np.float32) + np.zeros(shape, np.float32)
        for part, more in zip(smooth(line, sample), bias, strict=True)
    )
    covariance = np.zeros((*shape, 3), np.float32)
    covariance[:] = *variance, 1e-5
    field = OffsetField(
        d_row, d_col, np.zeros(shape, np.uint16), Grid(shape), step=STEP, start=start,
        score=np.full(shape, 0.5 + 0.1 * number, np.float32), covariance=covariance,
    )  # fmt: skip
    return Part(posts, field, np.full(shape, number % 2 == 0), number)


def everything(**changes):
    radar = radar_grid()
    grids = bursts(radar)
    frame = frame_of(grids)
    return frame, [
        part_of(frame, grid, k, **{name: value[k] for name, value in changes.items()}) for k, grid in enumerate(grids)
    ]


def truth_of(posts):
    return smooth(posts.lines[:, None] + 0.5, posts.samples + 0.5)


def covered(posts, parts):
    out = np.zeros(posts.shape, int)
    for part in parts:
        out[part.posts.rows, part.posts.cols] += 1
    return out


def test_a_frame_holds_all_bursts():
    radar = radar_grid()
    grids = bursts(radar)
    frame = frame_of(grids[::-1])
    assert (frame.line_interval, frame.range_spacing) == (radar.line_interval, radar.range_spacing)
    for grid in grids:
        line, sample = place_of(frame, grid)
        assert line >= 0
        assert sample >= 0
        assert line + grid.lines <= frame.lines
        assert sample + grid.samples <= frame.samples
        assert abs(frame.line(grid.first_time) - line) <= 0.5
        assert abs(frame.sample(grid.near_range) - sample) <= 0.5
    # the first gives the lattice of pixels
    frame = frame_of(grids)
    assert frame.shape == (1006, 2017)
    assert frame.first_time == pytest.approx(radar.first_time, abs=1e-12)
    assert [place_of(frame, grid) for grid in grids] == [(0, 0), (303, 0), (606, 0), (151, 917), (454, 917)]


def test_epochs_and_orbits_of_several_products():
    radar = radar_grid()
    grids = bursts(radar)
    later = radar.epoch + timedelta(seconds=25)
    short = circular_orbit(start=-70, count=8)  # to 0 s: not all of the image
    other = replace(grids[2], epoch=later, first_time=grids[2].first_time - 25)
    assert frame_of([grids[0], other]).lines == 1006
    frame = frame_of([replace(grids[0], orbit=short), other])
    assert frame.epoch == radar.epoch
    assert frame.orbit.covers(frame.first_time, frame.last_time)
    with pytest.raises(InputError, match="an orbit must cover the times of all bursts"):
        frame_of([replace(grids[0], orbit=short)])


def test_strangers_have_no_frame():
    radar = radar_grid()
    with pytest.raises(InputError, match="at least one burst"):
        frame_of([])
    with pytest.raises(InputError, match="range_spacing of all bursts must be the same, instead got 30 and 15"):
        frame_of([radar, replace(radar, range_spacing=15.0)])
    with pytest.raises(InputError, match="same side"):
        frame_of([radar, replace(radar, look=-1)])


def test_posts_of_all_bursts_share_a_lattice():
    frame, parts = everything()
    limits = frame_posts(frame, CHIP, STEP)
    assert limits == ((1006 - 64) // 8 + 1, (2017 - 128) // 22 + 1)
    for part, (rows, cols) in zip(parts, WINDOWS, strict=True):
        (line, sample), posts, down, across = part.posts
        assert (rows.start + line) == down.start * 8
        assert (cols.start + sample) == across.start * 22
        assert 0 <= line < 8
        assert 0 <= sample < 22
        assert (down.stop - down.start, across.stop - across.start) == posts
        # as many as fit, none over the edge
        assert line + (posts[0] - 1) * 8 + 64 <= 400 < line + posts[0] * 8 + 64
        assert sample + (posts[1] - 1) * 22 + 128 <= 1100
    some = lattice_posts(frame, bursts(radar_grid())[1], CHIP, STEP, (slice(50, 60), slice(3, 9)))
    assert some.posts == (10, 6)
    assert (303 + some.start[0], some.start[1]) == (50 * 8, 3 * 22)
    none = lattice_posts(frame, bursts(radar_grid())[0], CHIP, STEP, (slice(100, 110), slice(3, 9)))
    assert none.posts[0] == 0
    small = lattice_posts(frame, radar_grid().crop(slice(0, 50), slice(0, 300)), CHIP, STEP)
    assert small.posts[0] == 0


def test_parts_of_one_field_give_it_back():
    frame, parts = everything()
    found = merge(frame, parts[::-1], dt=DT)
    number = covered(found, parts)
    assert number.max() == 3
    assert (found.field.flags == np.where(number, 0, Flag.NO_DATA)).all()
    for values, true in zip((found.field.d_row, found.field.d_col), truth_of(found), strict=True):
        assert np.isnan(values[number == 0]).all()
        np.testing.assert_allclose(values[number > 0], true[number > 0], atol=2e-6)
    assert found.dt == DT
    assert found.radar is frame
    np.testing.assert_allclose(
        found.field.covariance[number == 1], [[4e-4, 9e-4, 1e-5]] * (number == 1).sum(), rtol=1e-5
    )
    # of two independent measurements the mean is better than one, and not better than by half
    ratio = found.field.covariance[..., 0][number == 2] / 4e-4
    assert ratio.min() == pytest.approx(0.5, abs=0.01)
    assert ratio.max() < 1
    assert (found.burst[number == 0] == -1).all()
    assert set(np.unique(found.burst)) == {-1, 0, 1, 2, 3, 4}
    np.testing.assert_array_equal(found.coherent[number > 0], (found.burst % 2 == 0)[number > 0])
    np.testing.assert_allclose([np.nanmin(found.field.score), np.nanmax(found.field.score)], [0.5, 0.9], rtol=1e-6)


def test_there_is_no_step_where_bursts_disagree():
    """Bursts that are off by 0.05 px and more: neighbours in the merged field differ by a fraction of that."""
    frame, parts = everything(bias=[(0.05, 0), (-0.03, 0.02), (0.04, -0.06), (-0.05, 0.05), (0.02, -0.03)])
    found = merge(frame, parts)
    for k, (values, true) in enumerate(zip((found.field.d_row, found.field.d_col), truth_of(found), strict=True)):
        rest = values - true
        low = min(b[k] for b in [(0.05, 0), (-0.03, 0.02), (0.04, -0.06), (-0.05, 0.05), (0.02, -0.03)])
        assert np.nanmin(rest) > low - 1e-5
        # at two corners one swath ends where the other begins: beside them 0.1 px have no room to be spread
        inside = rest.copy()
        for row in (parts[3].posts.rows.start, parts[4].posts.rows.stop):
            inside[row - 5 : row + 5, 41:48] = np.nan
        assert max(np.nanmax(np.abs(np.diff(inside, axis=axis))) for axis in (0, 1)) < 0.03
        # along the seam of two bursts, inside their swath, where 0.1 px are spread over 4 or 5 posts
        assert np.nanmax(np.abs(np.diff(rest[:, 5]))) < 0.1 / 5 + 1e-6
    (first, second, posts, median, scatter), *_ = seams(parts)
    assert (first, second, posts) == (0, 1, 5 * 45)
    np.testing.assert_allclose(median, (-0.08, 0.02), atol=1e-6)
    np.testing.assert_allclose(scatter, 0, atol=1e-6)
    assert {(s.first, s.second) for s in seams(parts)} == {(0, 1), (1, 2), (3, 4), (0, 3), (1, 3), (1, 4), (2, 4)}


def test_the_better_burst_counts_more():
    frame, parts = everything(variance=[(1e-4, 1e-4), (4e-4, 4e-4)] + 3 * [(1e-4, 1e-4)],
                              bias=[(0.1, 0.1), (0.0, 0.0)] + 3 * [(0.0, 0.0)])  # fmt: skip
    rest = merge(frame, parts).field.d_row[:, 5] - truth_of(merge(frame, parts))[0][:, 5]
    both = np.flatnonzero((rest > 1e-4) & (rest < 0.1 - 1e-4))
    # in the middle of the overlap four fifths are those of the burst with a quarter of the variance
    assert both.size >= 4
    np.testing.assert_allclose(np.interp(both.mean(), both, rest[both]), 0.08, atol=2e-3)


def test_islands_and_flags():
    frame, parts = everything(bias=[(0.0, 0.0), (0.02, -0.02), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)])
    one, two = parts[:2]
    row = two.posts.rows.start + 2  # of the frame; in both
    top, low = row - one.posts.rows.start, 2

    def changed(part, at, flag, value):
        d_row, d_col, flags = part.field.d_row.copy(), part.field.d_col.copy(), part.field.flags.copy()
        flags[at] |= np.uint16(flag)
        if value is not None:
            d_row[at], d_col[at] = value
        return replace(part, field=replace(part.field, d_row=d_row, d_col=d_col, flags=flags))

    nothing = np.nan, np.nan
    one = changed(one, np.s_[top, 3:5], Flag.LOW_TEXTURE, nothing)  # only the other has it
    two = changed(two, np.s_[low, 7], Flag.NO_DATA, nothing)
    one = changed(one, np.s_[top, 9], Flag.LOW_SCORE, (40.0, 50.0))  # the good one counts alone
    one = changed(one, np.s_[top, 12], Flag.LOW_SCORE, None)  # none is good: both count
    two = changed(two, np.s_[low, 12], Flag.OUTLIER, None)
    one = changed(one, np.s_[top, 14], Flag.LOW_TEXTURE, nothing)  # nowhere
    two = changed(two, np.s_[low, 14], Flag.NO_DATA, nothing)
    one = changed(one, np.s_[top, 16], 0, (-11.0, 13.0))  # both good, and apart
    one = changed(one, np.s_[2:5, 20:23], Flag.LOW_TEXTURE, nothing)  # an island where there is no other
    merged = merge(frame, [one, two, *parts[2:]])
    field, true = merged.field, np.stack(truth_of(merged))
    at = np.stack([field.d_row, field.d_col])
    for col in (3, 4, 9):
        np.testing.assert_allclose(at[:, row, col], true[:, row, col] + [0.02, -0.02], atol=2e-6)
        assert field.flags[row, col] == 0
        assert merged.burst[row, col] == 1
    np.testing.assert_allclose(at[:, row, 7], true[:, row, 7], atol=2e-6)
    assert (field.flags[row, 7], merged.burst[row, 7]) == (0, 0)
    assert field.flags[row, 12] == Flag.LOW_SCORE | Flag.OUTLIER
    assert true[0, row, 12] < field.d_row[row, 12] < true[0, row, 12] + 0.02
    assert np.isnan(at[:, row, 14]).all()
    assert field.flags[row, 14] == Flag.LOW_TEXTURE | Flag.NO_DATA
    assert merged.burst[row, 14] == -1
    assert field.flags[row, 16] == Flag.INCONSISTENT
    assert at[:, row, 16].tolist() == [-11.0, 13.0]  # the row is deeper in the first
    hole = np.s_[one.posts.rows.start + 2 : one.posts.rows.start + 5, 20:23]
    assert np.isnan(at[:, *hole]).all()
    assert (field.flags[hole] == Flag.LOW_TEXTURE).all()
    known = np.isfinite(field.d_row) & (field.flags == 0)
    assert np.abs((at - true)[:, known]).max() < 0.0201
    assert np.isnan(field.covariance[row, 14]).all()


def test_layers_that_some_parts_lack():
    frame, parts = everything()
    bare = replace(parts[1], field=replace(parts[1].field, covariance=None, score=None))
    found = merge(frame, [parts[0], bare])
    np.testing.assert_allclose(np.nanmax(found.field.score), 0.5)
    only = np.zeros(found.shape, bool)
    only[bare.posts.rows, bare.posts.cols] = True
    only[parts[0].posts.rows, parts[0].posts.cols] = False
    assert np.isnan(found.field.covariance[only]).all()
    assert np.isfinite(found.field.d_row[only]).all()
    alone = merge(frame, [bare])
    assert alone.field.covariance is None
    assert alone.field.score is None


def test_a_part_without_posts_says_nothing():
    frame, parts = everything()
    none = part_of(frame, bursts(radar_grid())[0], 9, window=(slice(100, 110), slice(3, 9)))
    assert none.field.d_row.shape == (0, 6)
    missing = np.full_like(parts[2].field.d_row, np.nan)
    lost = replace(parts[2].field, d_row=missing, flags=parts[2].field.flags | np.uint16(Flag.LOW_TEXTURE))
    found = merge(frame, [none, *parts[:2], replace(parts[2], field=lost)])
    two = merge(frame, parts[:2])
    for name in ("d_row", "d_col", "score", "covariance"):
        np.testing.assert_array_equal(getattr(found.field, name), getattr(two.field, name))
    only = parts[2].posts.rows.start + 10, 4
    assert (found.field.flags[only], two.field.flags[only]) == (Flag.LOW_TEXTURE, Flag.NO_DATA)
    assert not any(seam.posts for seam in seams([none, parts[0]]))


def test_parts_that_do_not_fit():
    frame, parts = everything()
    with pytest.raises(InputError, match="at least one, instead got none"):
        merge(frame, [])
    field = parts[1].field
    with pytest.raises(InputError, match="one chip and step, instead got 2"):
        merge(frame, [parts[0], replace(parts[1], field=replace(field, step=(4, 22)))])


def test_inputs_stay():
    frame, parts = everything(bias=[(0.05, 0), (-0.03, 0.02), (0.04, -0.06), (-0.05, 0.05), (0.02, -0.03)])
    before = [part.field.d_row.copy() for part in parts]
    merge(frame, parts)
    for part, old in zip(parts, before, strict=True):
        np.testing.assert_array_equal(part.field.d_row, old)
        assert not part.field.flags.any()
