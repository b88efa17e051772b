"""How far to look at each post: an array of half widths, or a raster of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from affine import Affine

from conftest import read_tif, write_tif
from sensetrack import Flag, Image
from sensetrack.blocks import plan
from sensetrack.errors import InputError
from sensetrack.ot.algorithms import ALGORITHMS, NCC, ncc
from sensetrack.ot.chips import ChipGrid
from sensetrack.ot.looks import Scene, looks
from sensetrack.workflow.executors import threads
from test_63_prior import DATES, PRIORS, SMALL, WIDE, K, far, write_prior  # noqa: F401  `far` is a fixture
from truth import TALL, UTM, arrays, uniform

SHAPE = (260, 330)
CHIPS = {"chip": 32, "step": 16}


@pytest.fixture(scope="module")
def stripes():
    """The same ground twice in the secondary: at its place, and brighter 11 rows down and 7 columns right."""
    rng = np.random.default_rng(5)
    ground = arrays(SHAPE, uniform(0, 0), seed=21)[0]
    secondary = 0.8 * ground + np.roll(ground, (11, 7), (0, 1)) + 0.02 * ground.std() * rng.normal(size=SHAPE)
    return Image(ground), Image(secondary)


def half_widths(matcher, rows, cols):
    return np.broadcast_to(np.array([rows, cols], float)[:, None, None], (2, *matcher.chips(SHAPE).shape)).copy()


def shares(field, d_row, d_col):
    return (field.good & (np.hypot(field.d_row - d_row, field.d_col - d_col) < 0.3)).mean()


def test_a_limit_keeps_each_post_from_what_is_likelier_but_too_far(stripes):
    matcher = NCC(**CHIPS, search=16)
    assert shares(matcher(*stripes), 11, 7) > 0.8
    limits = half_widths(matcher, 3, 5)
    limits[:, :, :6] = np.nan  # as far as the search
    limits[0, :, 12:], limits[1, :, 12:] = 13, 2  # the columns are too far
    field = matcher(*stripes, limits=limits)
    assert shares(field, 11, 7) == pytest.approx(6 / field.flags.shape[1], abs=0.1)
    inside = np.s_[:, 6:]
    right = field.good & (np.hypot(field.d_row, field.d_col) < 0.3)
    assert right[inside].mean() > 0.9
    good = field.good
    assert (np.abs(field.d_row) <= np.where(np.isnan(limits[0]), 17, limits[0]) + 1e-3)[good].all()
    assert (np.abs(field.d_col) <= np.where(np.isnan(limits[1]), 17, limits[1]) + 1e-3)[good].all()


def test_inside_its_limit_a_post_is_judged_by_what_lies_inside(stripes):
    """As a search that is no wider than that says: place, score, SNR and peak ratio."""
    narrow = NCC(**CHIPS, search=(4, 6))(*stripes)
    # Whole pixels within a limit lie inside the search, the next one is its rim.
    field = NCC(**CHIPS, search=16)(*stripes, limits=half_widths(NCC(**CHIPS), 3, 5))
    both = narrow.good & field.good
    assert (narrow.good == field.good).mean() > 0.98
    for name in ("d_row", "d_col", "score"):
        np.testing.assert_allclose(getattr(field, name)[both], getattr(narrow, name)[both], atol=2e-3)
    for name in ("snr", "peak_ratio"):
        np.testing.assert_allclose(getattr(field, name)[both], getattr(narrow, name)[both], rtol=0.02)


def test_what_lies_just_beyond_is_at_the_edge(stripes):
    matcher = NCC(**CHIPS, search=16)
    limits = half_widths(matcher, 11.2, 7.2)
    assert shares(matcher(*stripes, limits=limits), 11, 7) > 0.8
    field = matcher(*stripes, limits=half_widths(matcher, 10.4, 8))
    edge = (field.flags & Flag.PEAK_AT_EDGE.bit) > 0
    assert edge.mean() > 0.8
    assert shares(field, 11, 7) == 0


@pytest.mark.parametrize("limit", [0.0, 0.3, 1.0])
def test_least_limit_is_a_pixel_around_the_prior(stripes, limit):
    matcher = NCC(**CHIPS, search=16)
    prior = half_widths(matcher, 10.4, 7.3)
    prior[:, -3:] = np.nan  # not known: around the shift of the whole image
    field = matcher(*stripes, prior=prior, limits=half_widths(matcher, limit, limit))
    known = np.s_[:-4]
    assert shares_of(field, 11, 7)[known].mean() > 0.85
    assert shares_of(field, 0, 0)[-3:].mean() > 0.6


def shares_of(field, d_row, d_col):
    return field.good & (np.hypot(field.d_row - d_row, field.d_col - d_col) < 0.3)


def test_limits_make_searches_small(stripes, monkeypatch):
    """One far post among near ones costs a search of its own, not one for all."""
    seen = []
    original = ncc.correlate_tile

    def watched(*args, **kwargs):
        seen.append((kwargs["posts"], kwargs["search"]))
        return original(*args, **kwargs)

    monkeypatch.setattr(ncc, "correlate_tile", watched)
    matcher = NCC(**CHIPS, search=64, pyramid=False)
    limits = half_widths(matcher, 3, 5)
    limits[:, 4, 7] = 60
    field = matcher(*stripes, limits=limits)
    assert shares_of(field, 0, 0).mean() > 0.9
    work = sum(np.prod(posts) * np.prod(np.multiply(search, 2) + 1) for posts, search in seen)
    assert work < 0.1 * field.flags.size * 129**2
    assert sum(np.prod(posts) for posts, search in seen if max(search) > 50) < 0.1 * field.flags.size


def test_smaller_images_are_looked_at_within_limits(stripes):
    """A wide limit still leaves the small images worth looking at; what they say is cut to what the limits allow."""
    matcher = NCC(**CHIPS, search=40)
    limits = half_widths(matcher, 30, 34)
    assert shares(matcher(*stripes, limits=limits), 11, 7) > 0.8
    limits[:, :7] = 4
    field = matcher(*stripes, limits=limits)
    assert shares_of(field, 0, 0)[:6].mean() > 0.9
    assert shares_of(field, 11, 7)[8:-1].mean() > 0.8


def test_workers_change_nothing(stripes):
    class Small(NCC):
        block = (5, 6)

    matcher = Small(**CHIPS, search=24)
    limits = np.random.default_rng(3).uniform(0, 24, (2, *matcher.chips(SHAPE).shape))
    with threads(2) as mapper:
        several = matcher(*stripes, limits=limits, mapper=mapper)
    alone, one_tile = matcher(*stripes, limits=limits), NCC(**CHIPS, search=24)(*stripes, limits=limits)
    for name in ("d_row", "d_col", "flags", "score", "peak_ratio", "snr"):
        np.testing.assert_array_equal(getattr(several, name), getattr(alone, name))
    # Which posts are looked for together changes what is summed in which order, and no more.
    good = alone.good & one_tile.good
    assert (alone.good == one_tile.good).mean() > 0.98
    np.testing.assert_allclose(alone.d_row[good], one_tile.d_row[good], atol=5e-3)


@pytest.mark.parametrize("name", sorted(set(ALGORITHMS) - {"ncc"}))
def test_other_algorithms_flag_what_lies_beyond(name):
    images = [Image(part) for part in arrays((150, 190), seed=3)]  # 3 rows down, 5 columns right
    matcher = ALGORITHMS[name]()
    shape = matcher.chips((150, 190)).shape
    limits = np.full((2, *shape), 8.0)
    half = shape[1] // 2
    limits[1, :, half:] = 3.0
    free, field = matcher(*images), matcher(*images, limits=limits)
    np.testing.assert_array_equal(field.d_col, free.d_col)
    edge = (field.flags & Flag.PEAK_AT_EDGE.bit) > 0
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(edge, (np.abs(free.d_row) > 8.001) | (np.abs(free.d_col) > limits[1] + 1e-3))
    assert edge[:, half:].mean() > 0.8
    assert edge[:, :half].mean() < 0.1
    # Around a prior.
    prior = np.stack([np.full(shape, 3.0), np.full(shape, 5.0)])
    assert matcher(*images, prior=prior, limits=limits).good.mean() > 0.7


def test_limits_must_fit(stripes):
    matcher = NCC(**CHIPS)
    with pytest.raises(InputError, match=r"limits must be .* one value per post"):
        matcher(*stripes, limits=half_widths(matcher, 3, 5)[:, 1:])
    with pytest.raises(InputError, match="limits must be at least 0 px, instead got -2"):
        matcher(*stripes, limits=half_widths(matcher, 3, -2))


def test_looks_cover_every_box_once(stripes):
    chips = ChipGrid((900, 1300), (32, 32), (16, 16))
    scaled = stripes[0].scaled, stripes[1].scaled
    rng = np.random.default_rng(2)
    limits = rng.uniform(0, 4, (2, *chips.shape))
    limits[:, 20:26, 3:12] = 40
    prior = np.stack(
        np.meshgrid(np.linspace(-30, 50, chips.shape[0]), np.linspace(0, 9, chips.shape[1]), indexing="ij")
    )
    prior[:, 9:20, 30:40] += 150
    scene = Scene(scaled, chips, (2, -3), prior, limits)
    work = single = 0
    for block in plan(chips.shape, (32, 64)):
        boxes = scene.boxes(block, (64, 64))
        assert (boxes[::2] < boxes[1::2]).all()
        wanted = rng.uniform(size=block.shape) < 0.7
        times = np.zeros(block.shape, int)
        for look in looks(block, boxes, wanted, chips):
            rows = slice(look.block.rows.start - block.rows.start, look.block.rows.stop - block.rows.start)
            cols = slice(look.block.cols.start - block.cols.start, look.block.cols.stop - block.cols.start)
            times[rows, cols] += look.wanted
            away = boxes[:, rows, cols][:, look.wanted] - np.repeat(look.shift, 2)[:, None]
            assert (np.abs(away) <= np.repeat(look.search, 2)[:, None]).all()
            work += look.wanted.size * np.prod(np.multiply(look.search, 2) + 1)
        np.testing.assert_array_equal(times, wanted)
        single += wanted.size * np.prod(boxes[1::2].max(axis=(1, 2)) - boxes[::2].min(axis=(1, 2)) + 1)
    assert work < 0.1 * single


LIMITS = {
    "pixels": (("d_row", "d_col"), (24, 20)),
    "metres": (("dx", "dy"), (200 / K, 480 / K)),
    "velocity": (("vx", "vy"), (20 / K, 48 / K)),
    "one in pixels": (("d_row",), (24,)),
    "one in metres": (("magnitude",), (480 / K,)),
    "one velocity": (("speed",), (48 / K,)),
}
"""Half widths of 24 rows and 20 columns, or more, on pixels of 10 m x 20 m."""


@pytest.mark.parametrize("kind", LIMITS)
def test_a_raster_says_how_far_to_look(cli, far, tmp_path, kind):
    names, values = LIMITS[kind]
    wide = ("--chip", 32, "--step", 16, "--search", 28, "--gross", "none", *DATES)
    enough = write_prior(tmp_path / "enough.tif", names, values)
    little = write_prior(tmp_path / "little.tif", names, np.multiply(values, 0.4))
    result = cli("track", *far, "-o", tmp_path / "o", *wide, "--search-limit", enough, "--json")
    assert result.code == 0
    record = json.loads(result.out)
    assert record["configuration"]["search_limit"] == str(enough)
    assert str(enough) in [entry["path"] for entry in record["inputs"]]
    assert record["statistics"]["good_share"] > 0.6
    assert record["statistics"]["median_offset_px"] == pytest.approx([21, -17], abs=0.03)
    # 21 rows and 17 columns lie beyond.
    assert cli("track", *far, "-o", tmp_path / "p", *wide, "--search-limit", little).code == 0
    assert (read_tif(tmp_path / "p" / "flags.tif") == 0).mean() < 0.1
    # Around a prior they do not.
    prior = write_prior(tmp_path / "prior.tif", *PRIORS["pixels"])
    given = ("--prior", prior, "--search-limit", little)
    assert cli("track", *far, "-o", tmp_path / "q", *wide, *given).code == 0
    good = read_tif(tmp_path / "q" / "flags.tif") == 0
    assert good.mean() > 0.6
    assert np.median(read_tif(tmp_path / "q" / "offsets.tif", 2)[good]) == pytest.approx(-17, abs=0.03)


def test_half_widths_along_turned_axes_hold_the_whole_box(tmp_path):
    from sensetrack.files.prior import limits_at_posts
    from sensetrack.grid import Grid

    turned = Affine.translation(600_000, 4_950_000) @ Affine.rotation(30) @ Affine.scale(10, -20)
    images, chips = Grid((180, 220), turned, UTM), ChipGrid((180, 220), (32, 32), (16, 16))
    frame = Affine.translation(590_000, 4_960_000) @ Affine.scale(500, -500)
    path = write_prior(tmp_path / "limit.tif", ("dx", "dy"), (60 / K, 100 / K), frame, UTM, (40, 40))
    rows, cols = limits_at_posts(path, images, chips, None)
    c, s = np.cos(np.radians(30)), np.sin(np.radians(30))
    np.testing.assert_allclose(rows, (60 * s + 100 * c) / 20, rtol=1e-3)
    np.testing.assert_allclose(cols, (60 * c + 100 * s) / 10, rtol=1e-3)


@pytest.mark.parametrize(
    ("names", "values", "options", "said"),
    [
        (("a",), (3,), {}, "its only band must be described as one of magnitude, speed, d_row"),
        (("magnitude", "d_row"), (3, 3), {}, "must be described d_row and d_col, or dx and dy, or vx and vy"),
        (("d_row", "d_col"), (3, -1), {}, "half widths must be at least 0, instead got -1 px"),
        (("speed",), (3,), {}, "velocities need the dates"),
        (("dx", "dy"), (3, 3), {"affine": None, "crs": None}, "search limit and images must both have a georeference"),
        (("d_row",), (3,), {"affine": TALL @ Affine.translation(9000, 0)}, "says nothing about the ground"),
    ],
)
def test_what_is_no_limit_is_refused(cli, far, tmp_path, names, values, options, said):
    path = write_prior(tmp_path / "limit.tif", names, values, **options)
    result = cli("track", *far, "-o", tmp_path / "o", *SMALL, "--search-limit", path)
    assert result.code == 3
    assert said in result.error
    assert str(path) in result.error
    assert not (tmp_path / "o").exists()


def stated(path, units, nodata=None):
    """Let the bands of a raster state their unit."""
    with rasterio.open(path, "r+") as file:
        file.units = units
        if nodata is not None:
            file.nodata = nodata
    return path


def test_a_stated_unit_and_nodata_value_count(cli, far, tmp_path):
    """Velocities per year, missing where the declared value stands."""
    names, values = PRIORS["velocity"]
    bands = np.stack([np.full((8, 8), value * 365.25, np.float32) for value in values])
    bands[:, :, :1] = -32767
    path = write_tif(tmp_path / "prior.tif", bands, WIDE, UTM, nodata=-32767)
    with rasterio.open(path, "r+") as file:
        file.descriptions = names
    stated(path, ("m/yr", "m/yr"))
    assert cli("track", *far, "-o", tmp_path / "o", *SMALL, *DATES, "--prior", path).code == 0
    good = read_tif(tmp_path / "o" / "flags.tif") == 0
    assert np.median(read_tif(tmp_path / "o" / "offsets.tif")[good]) == pytest.approx(21, abs=0.03)
    stated(path, ("km/yr", "km/yr"))
    result = cli("track", *far, "-o", tmp_path / "p", *SMALL, *DATES, "--prior", path)
    assert result.code == 3
    assert "the unit of vx and vy must be one of m/day" in result.error
