"""`sensetrack decompose`: a known motion east, north and up, seen from several sides, comes back."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import rasterio

import slc_pairs
from conftest import write_tif
from decompose_folders import ASCENDING, DESCENDING, START, Writer, grid_at, places, velocity
from radar_posts import posts_of, seen_again
from sar_truth import radar_grid
from sensetrack.errors import InputError, UnlikePairWarning
from sensetrack.grid import Grid
from sensetrack.sar.heights import Level
from sensetrack.sar.map_layers import map_layers
from sensetrack.sar.velocity import displacement
from sensetrack.stack.decompose import Look, Sums, along_track_direction, slant_range_direction
from sensetrack.workflow import decomposing
from sensetrack.workflow.decompose_config import DecomposeConfig
from sensetrack.workflow.decompose_output import DECOMPOSE_FILES
from sensetrack.workflow.decomposing import decompose_folders
from sensetrack.workflow.executors import threads

AXES = ("east", "north", "up")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def write(tmp_path, store):
    return Writer(tmp_path / "pairs", store=store)


def bands(path):
    """Bands by name, the grid, and units and nodata."""
    with rasterio.open(path) as file:
        grid = Grid(file.shape, file.transform, file.crs.to_wkt())
        return dict(zip(file.descriptions, file.read(), strict=True)), grid, (file.units, file.nodata)


def errors(result, motion=velocity):
    """Errors of each axis and their standard errors, of a folder or of what was found; NaN where not known."""
    if isinstance(result, Path):
        found, grid, _ = bands(result / "decomposed.tif")
    else:
        grid = result.grid
        found = {name: getattr(result.motion, name) for name in AXES}
        found |= {f"sigma_{name}": sigma for name, sigma in zip(AXES, result.motion.sigma, strict=True)}
    truth = motion(*places(grid))
    return {name: (found[name] - value, found[f"sigma_{name}"]) for name, value in zip(AXES, truth, strict=True)}


def assert_true(result, *, within=2e-4, axes=AXES, share=0.9):
    """Everything that is known is right, and most is known."""
    for name, (error, sigma) in errors(result).items():
        known = np.isfinite(error)
        np.testing.assert_array_equal(known, np.isfinite(sigma))
        if name in axes:
            assert known.mean() > share, name
            assert np.abs(error[known]).max() < within, name
            assert sigma[known].min() > 0
        else:
            assert not known.any(), name


# --- directions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", [1, -1], ids=["right", "left"])
@pytest.mark.parametrize("argument", [0.6, np.pi - 0.6], ids=["up", "down"])
def test_what_a_radar_measures_is_the_motion_along_these_directions(look, argument):
    """Against places that are moved and seen again by an orbit: no formula for directions is in that."""
    motion = np.array([31.0, -22.0, -17.0])
    posts = seen_again(posts_of(radar_grid(look=look, argument=argument)), Level(321.0), tuple(motion))
    seen = displacement(posts, Level(321.0))
    away = slant_range_direction(seen.incidence, seen.heading, "right" if look > 0 else "left")
    along = along_track_direction(seen.heading, seen.flight_heading, seen.flight_climb)
    np.testing.assert_allclose(seen.slant_range, np.tensordot(motion, away, 1), atol=2e-3)
    np.testing.assert_allclose(seen.along_track, np.tensordot(motion, along, 1), atol=2e-3)
    square = np.tensordot(motion, along_track_direction(seen.heading), 1)
    assert np.abs(seen.along_track - square).max() > 0.05, "else heading alone would do"


def test_headings_on_a_map_have_no_jump():
    """Between 179 and -179 degrees nothing could be interpolated."""
    seen = displacement(posts_of(radar_grid()), Level(321.0))
    turned = (np.linspace(178.0, 182.0, seen.heading.size).reshape(seen.heading.shape) + 180) % 360 - 180
    layers = map_layers(replace(seen, heading=turned.astype(np.float32), flight_heading=turned - 0.3), "EPSG:32632")
    for name, value in (("heading", turned), ("flight_heading", turned - 0.3)):
        assert np.ptp(layers[name]) == pytest.approx(4.0, abs=1e-3)
        np.testing.assert_allclose((layers[name] - value + 180) % 360, 180, atol=1e-3)


def test_looks_of_other_posts_are_not_added():
    sums = Sums((2, 3))
    there = sums.add(Look(np.array([[1.0, np.nan, 2.0], [3.0, 4.0, 5.0]]), 0.5, (1.0, 0.0, 0.0)))
    assert there.tolist() == [[True, False, True], [True, True, True]]
    assert sums.solve().east[1].tolist() == [3, 4, 5]
    with pytest.raises(InputError, match="must share one grid of posts"):
        sums.add(Look(np.zeros((3, 2)), 0.5, (1.0, 0.0, 0.0)))


# --- what comes back -------------------------------------------------------------------------------------------------


def test_two_tracks_and_an_optical_pair_on_three_maps(write, tmp_path, cli):
    folders = [
        write.slc("ascending", ASCENDING),
        write.slc("descending", DESCENDING, grid_at(pixel=(90.0, 120.0), shift=(0.3, 0.4)), start=START, days=24.0),
        write.track("optical", grid_at("EPSG:3035", (60, 70), (61.0, 83.0))),
    ]
    before = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in write.folder.rglob("*.*")}
    done = cli("decompose", *folders, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert before == {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in write.folder.rglob("*.*")}
    assert_true(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(DECOMPOSE_FILES)
    found, grid, (units, nodata) = bands(tmp_path / "out" / "decomposed.tif")
    assert units == ("m/day",) * 6
    assert np.isnan(nodata)
    widest = bands(folders[0] / "displacement.tif")[1]
    assert grid.same_as(widest.crop(slice(0, 31), slice(0, grid.shape[1]))), "the widest posts, as they are"
    quality, _, _ = bands(tmp_path / "out" / "quality.tif")
    assert quality["ways"].max() == 3
    assert quality["looks"].max() == 6
    assert (quality["rank"] == 3).mean() > 0.9
    known = np.isfinite(found["east"])
    assert np.nanmax(quality["misfit"][known]) < 0.05, "no noise, no misfit"
    assert "median -0.08" in done.out
    assert "ascending, right-looking, +12.00 days, slant_range, along_track" in done.out


def test_left_and_right_of_one_flight_and_a_pair_that_leads_back(write):
    back = {"days": -24.0, "start": START + timedelta(days=24)}
    folders = [write.slc("right", ASCENDING, **back), write.slc("left", ASCENDING, side="left")]
    assert_true(decompose_folders(folders))


def test_the_side_to_which_a_radar_looks_matters(write):
    folders = [write.slc("a", ASCENDING), write.slc("d", DESCENDING)]
    text = (folders[1] / "run.json").read_text(encoding="utf-8")
    right = decompose_folders(folders).motion.up
    (folders[1] / "run.json").write_text(text.replace('"right"', '"left"'), encoding="utf-8")
    with np.errstate(invalid="ignore"):
        assert np.nanmedian(np.abs(decompose_folders(folders).motion.up - right)) > 0.05


def test_standard_errors_hold_68_per_cent(tmp_path, store):
    write = Writer(tmp_path / "pairs", noise=True, store=store)
    folders = [write.slc("a", ASCENDING), write.slc("d", DESCENDING, sigma=(0.14, 0.4)), write.track("o")]
    found = decompose_folders(folders)
    for name, (error, sigma) in errors(found).items():
        known = np.isfinite(error)
        assert known.mean() > 0.95
        assert np.mean(np.abs(error[known]) < sigma[known]) == pytest.approx(0.683, abs=0.04), name
    assert np.sqrt(np.nanmean(found.motion.misfit**2)) == pytest.approx(1, abs=0.05)
    off = errors(found)
    both = np.nanmean(off["east"][0] * off["up"][0])
    assert both == pytest.approx(np.nanmedian(found.motion.covariance[0, 2]), rel=0.3)


def test_the_axes_of_every_map_are_turned_to_north(write):
    """Axes 30 degrees from north, and some that are not square to each other on the ground."""
    folders = [write.track("polar", grid_at("EPSG:3413")), write.slc("a", ASCENDING, grid_at("EPSG:3413"))]
    found = decompose_folders(folders)
    assert found.grid.crs.to_epsg() == 3413
    assert_true(found)
    skew = "+proj=sinu +lon_0=-40 +datum=WGS84"
    folders = [write.track("skew", grid_at(skew)), write.slc("d", DESCENDING)]
    assert_true(decompose_folders(folders), share=0.5)


def test_where_a_look_is_missing_the_others_say_what_they_can(write):
    result = decompose_folders([write.slc("a", ASCENDING), write.track("o")])
    found = result.motion
    only = (result.ways == 1) & (found.looks == 2)
    optical = only & np.isfinite(found.east)
    assert np.isnan(found.up[only]).all()
    assert np.isfinite(found.north[optical]).all()
    assert (found.rank[only] == 2).all()
    assert optical.sum() > 5
    assert (only & ~optical).sum() > 5, "one track alone knows no axis"


# --- what is assumed ------------------------------------------------------------------------------------------------


@pytest.fixture
def slope(tmp_path):
    """An elevation model that rises 0.21 m per m to the east, and falls 0.34 to the north."""
    lon, lat = np.arange(7.9, 8.1, 0.0005), np.arange(46.5, 46.3, -0.0005)
    x, y = (lon - 8) * 76_700, (lat - 46.4) * 111_200
    heights = (900 + 0.21 * x - 0.34 * y[:, None]).astype(np.float32)
    return write_tif(tmp_path / "dem.tif", heights, rasterio.Affine(0.0005, 0, lon[0], 0, -0.0005, lat[0]), "EPSG:4979")


def parallel(lon, lat):
    """Motion along that slope."""
    east, north, _ = velocity(lon, lat)
    return east, north, 0.21 * east - 0.34 * north


def test_one_optical_pair_or_one_track_on_a_known_slope(tmp_path, slope, cli):
    write = Writer(tmp_path / "pairs", motion=parallel)
    for folder in (write.track("o"), write.slc("d", DESCENDING)):
        alone = cli("decompose", folder, "-o", tmp_path / "out")
        assert (alone.code, "one look cannot tell" in alone.error) == (2, True)
        found = decompose_folders([folder], DecomposeConfig(dem=str(slope), surface_sigma=0.001))
        for error, sigma in errors(found, parallel).values():
            known = np.isfinite(error)
            assert 0.9 < known.mean() < 1, "nothing where nothing was measured"
            assert np.abs(error[known]).max() < 3e-3
            assert np.isfinite(sigma[known]).all()


def test_by_default_the_slope_counts_as_much_as_a_typical_look(tmp_path, slope, cli):
    write = Writer(tmp_path / "pairs", motion=parallel)
    folders = [write.slc("a", ASCENDING), write.track("o")]
    done = cli("decompose", *folders, "-o", tmp_path / "out", "--dem", slope, "--json")
    record = json.loads(done.out)
    # 0.09 and 0.31 m in 12 days, 0.4 and 0.7 in 30: the median of 0.0075, 0.0258, 0.0133, 0.0233.
    assert record["surface"] == {"sigma": pytest.approx((0.4 / 30 + 0.7 / 30) / 2, rel=0.01), "unit": "m/day"}
    assert record["inputs"][-1]["path"] == str(slope)
    assert "follows the slope of dem.tif" in record["stated"]


# --- what is not told -----------------------------------------------------------------------------------------------


def test_optical_pairs_alone_tell_nothing_of_up(write, tmp_path, cli):
    folders = [write.track("one"), write.track("two", days=60.0)]
    done = cli("decompose", *folders, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert "up cannot be told anywhere" in done.err
    assert "up     not known" in done.out
    assert_true(tmp_path / "out", axes=("east", "north"))


def test_slant_range_alone_of_two_tracks_tells_east(write):
    flat = [{**radar, "incidence": (37.0, 37.0)} for radar in (ASCENDING, DESCENDING)]
    folders = [write.slc("a", flat[0]), write.slc("d", flat[1])]
    with pytest.warns(UnlikePairWarning, match="north and up cannot be told anywhere"):
        found = decompose_folders(folders, DecomposeConfig(along_track=False))
    assert_true(found, axes=("east",), share=0.8)
    assert found.motion.looks.max() == 2


def test_two_pairs_of_one_track_tell_nothing(write, tmp_path, cli):
    folders = [write.slc("one", ASCENDING), write.slc("two", ASCENDING, days=24.0)]
    done = cli("decompose", *folders, "-o", tmp_path / "out")
    assert done.code == 3
    assert "no place is seen from enough directions" in done.error
    assert "ascending, right-looking" in done.error
    assert not (tmp_path / "out").exists()


def test_times_that_do_not_overlap_are_said(write, tmp_path, cli):
    folders = [write.slc("a", ASCENDING), write.slc("d", DESCENDING, start=START + timedelta(days=40))]
    done = cli("decompose", *folders, "-o", tmp_path / "out")
    assert done.code == 0
    said = (
        "what was seen ascending, right-looking (2024-06-01 to 2024-06-13) and descending, right-looking (2024-07-11 "
        "to 2024-07-23) does not overlap in time"
    )
    assert said in done.err
    assert any(said in text for text in json.loads((tmp_path / "out" / "run.json").read_text())["warnings"])


def test_displacements_of_one_span(write, tmp_path, cli):
    folders = [write.slc("a", ASCENDING), write.slc("d", DESCENDING)]
    assert cli("decompose", *folders, "-o", tmp_path / "out", "--quantity", "displacement").code == 0
    moved, _, (units, _) = bands(tmp_path / "out" / "decomposed.tif")
    assert units == ("m",) * 6
    np.testing.assert_allclose(moved["up"], decompose_folders(folders).motion.up * 12, rtol=1e-4)
    longer = write.track("o", days=30.0)
    with pytest.warns(UnlikePairWarning, match="of 12 and of 30 days are taken for the same"):
        decompose_folders([*folders, longer], DecomposeConfig(quantity="displacement"))
    back = write.slc("b", ASCENDING, days=-12.0)
    done = cli("decompose", *folders, back, "-o", tmp_path / "no", "--quantity", "displacement")
    assert (done.code, "instead got -12 and 12 days" in done.error) == (3, True)


# --- the map, settings, workers ------------------------------------------------------------------------------------


def test_the_map_can_be_chosen_and_a_record_repeats_it(write, tmp_path, cli):
    folders = [write.slc("a", ASCENDING), write.slc("d", DESCENDING)]
    whole = bands(folders[0] / "displacement.tif")[1].bounds
    x, y = np.array(whole).reshape(2, 2).mean(axis=0)
    box = ",".join(f"{part:.1f}" for part in (x - 900, y - 700, x + 500, y + 1100))
    done = cli("decompose", *folders, "-o", tmp_path / "out", "--posting", "70", "--bounds", box, "--worst", "20")
    assert done.code == 0, done.err
    _, grid, _ = bands(tmp_path / "out" / "decomposed.tif")
    assert (grid.transform.a, grid.transform.e) == (70, -70)
    assert grid.shape == (pytest.approx(1800 / 70, abs=1), pytest.approx(1400 / 70, abs=1))
    assert_true(tmp_path / "out", share=0.7)
    again = cli(
        "decompose", write.folder, "-o", tmp_path / "again", "--config", tmp_path / "out" / "run.json", "--json"
    )
    assert again.code == 0, again.err
    assert json.loads(again.out)["configuration"]["worst"] == 20
    one, two = (bands(tmp_path / name / "decomposed.tif")[0] for name in ("out", "again"))
    for name, values in one.items():
        np.testing.assert_array_equal(values, two[name])
    assert_true(decompose_folders(folders, DecomposeConfig(crs="EPSG:3035")), share=0.5)


def test_only_ground_that_two_folders_show_is_written(write):
    wide = write.slc("a", ASCENDING, grid_at(shape=(70, 90)))
    assert decompose_folders([wide, write.slc("d", DESCENDING)]).grid.shape == (31, 43)


def test_workers_and_strips_change_nothing(write, monkeypatch):
    folders = [write.slc("a", ASCENDING), write.slc("d", DESCENDING), write.track("o", grid_at("EPSG:3035"))]
    whole = decompose_folders(folders).motion
    monkeypatch.setattr(decomposing, "_POSTS_AT_ONCE", 43 * 16)
    done = []
    with threads(3) as mapper:
        strips = decompose_folders(folders, mapper=mapper, advance=lambda *at: done.append(at)).motion
    assert done == [(step, 8) for step in (1, 2, 3, 4, 5, 6, 7, 8)]
    for name in AXES:
        np.testing.assert_allclose(getattr(strips, name), getattr(whole, name), atol=2e-5)
    np.testing.assert_allclose(strips.sigma, whole.sigma, rtol=1e-4)
    np.testing.assert_array_equal(strips.looks, whole.looks)


# --- what is refused ------------------------------------------------------------------------------------------------


def broken(folder, name="run.json", text="{"):
    (folder / name).write_text(text, encoding="utf-8")


def as_radar_map(folder):
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    record["inputs"][0]["product"] = {"caution": "apparent: vertical motion leaks into range"}
    broken(folder, text=json.dumps(record))


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        (lambda d, o: shutil.rmtree(d), 3, "not found"),
        (lambda d, o: (d / "run.json").unlink(), 3, "holds no pair"),
        (lambda d, o: broken(d), 3, "no valid JSON"),
        (lambda d, o: broken(d, text='{"acquired": null}'), 3, "does not say when"),
        (lambda d, o: (d / "geometry.tif").unlink(), 3, "has no geometry.tif"),
        (lambda d, o: (d / "quality.tif").unlink(), 3, "quality.tif"),
        (lambda d, o: broken(d, "quality.tif", "garbage"), 3, "quality.tif"),
        (lambda d, o: shutil.copy(d / "flags.tif", d / "quality.tif"), 3, "has no band slant_range"),
        (lambda d, o: broken(d, text=(d / "run.json").read_text().replace('"right"', '"up"')), 3, "right or left"),
        (lambda d, o: as_radar_map(o), 3, "does not show horizontal motion (apparent"),
    ],
)  # fmt: skip
def test_a_folder_that_is_no_result_is_refused(write, tmp_path, cli, spoil, code, said):
    descending, optical = write.slc("d", DESCENDING), write.track("o")
    spoil(descending, optical)
    done = cli("decompose", descending, optical, "-o", tmp_path / "out")
    assert (done.code, said in done.error) == (code, True), done.error
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_decomposed_is_refused(write, tmp_path, cli):
    ascending = write.slc("a", ASCENDING)
    away = write.slc("d", DESCENDING, Grid((9, 11), grid_at().transform @ rasterio.Affine.translation(90, 0), 32632))
    done = cli("decompose", ascending, away, "-o", tmp_path / "out")
    assert (done.code, "no two of 2 folders show the same ground" in done.error) == (3, True), done.error
    pixels = write.track("px", georeference=False)
    done = cli("decompose", ascending, pixels, "-o", tmp_path / "out")
    assert (done.code, "has no georeference" in done.error) == (3, True), done.error
    done = cli("decompose", ascending, write.track("o"), "-o", tmp_path / "out", "--bounds", "0,0,9,9")
    assert (done.code, "bounds must hold posts" in done.error) == (3, True), done.error
    assert cli("decompose", "-o", tmp_path / "out").code == 3
    for flags in (["--worst", "1"], ["--surface-sigma", "1"], ["--bounds", "1,2,3"], ["--crs", "EPSG:1"]):
        assert cli("decompose", ascending, write.folder / "o", "-o", tmp_path / "out", *flags).code in (2, 3)
    assert not (tmp_path / "out").exists()


def test_an_elevation_model_of_somewhere_else(write, tmp_path, cli):
    heights = np.zeros((20, 30), np.float32)
    dem = write_tif(tmp_path / "dem.tif", heights, rasterio.Affine(0.001, 0, 20, 0, -0.001, 50), "EPSG:4979")
    done = cli("decompose", write.slc("a", ASCENDING), "-o", tmp_path / "out", "--dem", dem)
    assert (done.code, "does the elevation model cover the ground?" in done.error) == (3, True), done.error


def test_looks_that_are_nowhere_together(tmp_path, cli):
    write = Writer(tmp_path / "pairs", holes=False)
    folders = [write.slc("a", ASCENDING), write.slc("d", DESCENDING)]
    for folder, cols in zip(folders, (slice(0, 20), slice(20, None)), strict=True):
        with rasterio.open(folder / "quality.tif") as file:
            profile, values, names = file.profile, file.read(), file.descriptions
        values[:, :, cols] = np.nan
        profile.update(driver="GTiff")
        with rasterio.open(folder / "quality.tif", "w", **{k: profile[k] for k in (
            "driver", "width", "height", "count", "dtype", "crs", "transform", "nodata")}) as file:  # fmt: skip
            file.write(values)
            file.descriptions = names
    done = cli("decompose", *folders, "-o", tmp_path / "out")
    assert (done.code, "no two of them measured the same ground" in done.error) == (3, True), done.error


def test_values_without_a_standard_error_need_one(write, tmp_path, cli):
    folders = [write.slc("a", ASCENDING), write.track("o", sigma=(0.0, 0.0))]
    done = cli("decompose", *folders, "-o", tmp_path / "out")
    assert (done.code, "has no standard error of dx" in done.error, "--sigma" in done.error) == (3, True, True)
    assert cli("decompose", *folders, "-o", tmp_path / "out", "--sigma", "0.5").code == 0
    assert_true(tmp_path / "out")


def test_results_are_not_replaced_unless_asked_and_inputs_never(write, tmp_path, cli):
    folders = [write.slc("a", ASCENDING), write.slc("d", DESCENDING)]
    assert cli("decompose", *folders, "-o", tmp_path / "out").code == 0
    again = cli("decompose", *folders, "-o", tmp_path / "out")
    assert (again.code, "exists already" in again.error) == (2, True)
    assert cli("decompose", *folders, "-o", tmp_path / "out", "--overwrite", "--quiet").code == 0
    into = cli("decompose", *folders, "-o", folders[0], "--overwrite")
    assert (into.code, "is an input and would be replaced" in into.error) == (2, True)


# --- the whole way --------------------------------------------------------------------------------------------------


def test_from_scenes_of_two_tracks_to_east_north_and_up(tmp_path, cli):
    """Simulated SLCs, ascending and descending, of ground that moves 6 m east, 11 m south and 4 m down."""
    motion = (6.0, -11.0, -4.0)
    small = {"swaths": ("IW1",), "bursts": 1, "lines": 170, "samples": 680}
    folders = []
    for name in ("ascending", "descending"):
        (tmp_path / name).mkdir()
        reference, secondary, dem = slc_pairs.pair(
            tmp_path / name, lambda lon, lat: tuple(np.full(np.shape(lon), part) for part in motion),
            ascending=name == "ascending", **small,
        )  # fmt: skip
        folders.append(tmp_path / name / "out")
        windows = ("--chip", "32x80", "--step", "12x40", "--search", "4x9")
        done = cli("slc", reference, secondary, "-o", folders[-1], "--dem", dem, *windows)
        assert done.code == 0, done.err
    done = cli("decompose", *folders, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    found, _, _ = bands(tmp_path / "out" / "decomposed.tif")
    for name, value, within in zip(AXES, motion, (0.03, 0.06, 0.03), strict=True):
        known = np.isfinite(found[name])
        assert known.sum() > 20
        assert np.median(found[name][known]) * 12 == pytest.approx(value, abs=within)
        assert np.std(found[name][known]) * 12 < 2 * within
