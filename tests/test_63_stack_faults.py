"""What a stack refuses: each in one sentence that names the file, the rule and the value found."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from sensetrack.cli import run
from sensetrack.errors import ConfigError, GridMismatchError, InputError, NoOverlapError
from sensetrack.files.atomic import output_folder
from sensetrack.ot.parameters import merged
from sensetrack.workflow.stack_config import StackConfig
from sensetrack.workflow.stacking import run_stack
from stack_folders import Scenes, write_pair

TINY = {"count": 3, "reach": 2, "missing": 9, "shape": (5, 7), "blunders": 0}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    Scenes(**TINY).write_all(folder)
    return folder


@pytest.fixture
def pairs(source, tmp_path):
    shutil.copytree(source, tmp_path / "pairs")
    return tmp_path / "pairs"


def refused(pairs, error, said, config=None, out="out"):
    """Check that nothing is written."""
    target = pairs.parent / out
    with pytest.raises(error, match=said) as caught:
        run_stack([pairs], target, config)
    assert not target.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def first(pairs):
    return sorted(pairs.iterdir())[0]


# --- damaged folders ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "is not a run record .no valid JSON."),
        (b"[1, 2]", "is not a run record .no mapping."),
        (b"\xff\xfe\x00", "is not a run record .no valid JSON."),
        (b"[" * 100_000, "is not a run record .no valid JSON."),
        (b"", "empty file"),
        (b"{}", "does not say when both images were taken; track the pair again with --reference-date"),
        (b'{"acquired": [null, "2023-03-07"]}', "does not say when both images were taken"),
        (b'{"acquired": "2023-03-07"}', "does not say when both images were taken"),
        (b'{"acquired": ["yesterday", "2023-03-07"]}', "must be ISO 8601 .* instead got 'yesterday'"),
        (b'{"acquired": ["2023-03-07", "2023-03-07T00:00:00Z"]}', "taken at the same time, 2023-03-07 00:00:00"),
    ],
)
def test_a_damaged_record_is_named(pairs, content, said):
    path = first(pairs) / "run.json"
    path.write_bytes(content)
    assert refused(pairs, InputError, said).startswith(str(path))


@pytest.mark.parametrize("values", [3, None, "x", {"parameters": {"chip": "x", "step": [0, -1]}}, {"chip": [1, 2, 3]}])
def test_what_is_not_needed_of_a_record_may_be_anything(pairs, values):
    path = first(pairs) / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"configuration": values, "inputs": values, "grid": values}))
    record = run_stack([pairs], pairs.parent / "out", StackConfig(formats="cog", pictures=False))
    assert record["pairs"][0]["scenes"] == ["", ""]


@pytest.mark.parametrize("name", ["displacement.tif", "quality.tif"])
@pytest.mark.parametrize("keep", [0, 100, -200])
def test_a_cut_raster_is_named(pairs, name, keep):
    path = first(pairs) / name
    path.write_bytes(path.read_bytes()[:keep])
    assert refused(pairs, InputError, "is damaged|is truncated|empty file|block").startswith(str(path))


def test_a_flipped_bit_is_found(pairs):
    path = first(pairs) / "displacement.tif"
    content = bytearray(path.read_bytes())
    place = len(content) - 40
    content[place] ^= 0xFF
    path.write_bytes(bytes(content))
    assert refused(pairs, InputError, "damaged").startswith(str(path))


def test_missing_files_and_bands_are_named(pairs):
    folder = first(pairs)
    (folder / "quality.tif").rename(folder / "q")
    assert "quality.tif: not found" in refused(pairs, InputError, "not found")
    (folder / "q").rename(folder / "quality.tif")
    shutil.copy(folder / "quality.tif", folder / "displacement.tif")
    assert refused(pairs, InputError, "has no band dx, instead got score, snr").startswith(str(folder))
    (folder / "displacement.tif").unlink()
    refused(pairs, InputError, "holds neither displacement.tif nor offsets.tif; give a folder of a pair")


def test_quality_on_other_posts_is_refused(pairs):
    other = Scenes(**TINY | {"shape": (5, 8)})
    folder = other.write(pairs.parent / "other", 0, 1)
    shutil.copy(folder / "quality.tif", first(pairs) / "quality.tif")
    refused(pairs, InputError, "quality.tif: must have the posts of displacement.tif")


def test_what_is_no_pair(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "empty", InputError, "empty: holds no pair: no run.json, and no folder with one")
    refused(tmp_path / "file", InputError, "file: is a file, not a folder of pairs")
    refused(tmp_path / "nowhere", InputError, "nowhere: not found")
    with pytest.raises(InputError, match="there is no folder of a pair"):
        run_stack([], tmp_path / "out")


# --- pairs that do not belong together ---------------------------------------------------------------------------


def test_metres_and_pixels_do_not_mix(pairs):
    Scenes(**TINY | {"affine": None, "crs": None}).write(pairs / "x", 1, 2)
    (pairs / "x" / "20230319-20230331").rename(pairs / "zz")
    refused(pairs, GridMismatchError, r"zz: is in px while others are in m; stack them apart")


def test_pixels_of_other_posts_do_not_mix(tmp_path):
    plain = TINY | {"affine": None, "crs": None}
    scenes = Scenes(**plain)
    scenes.write_all(tmp_path / "pairs")
    Scenes(**plain | {"shape": (5, 6)}).write(tmp_path / "other", 0, 2)
    shutil.copytree(next((tmp_path / "other").iterdir()), tmp_path / "pairs" / "zz")
    said = r"zz: pairs without georeference must have the same posts, instead got \(5, 7\) and \(5, 6\)"
    refused(tmp_path / "pairs", GridMismatchError, said)
    shutil.rmtree(tmp_path / "pairs" / "zz")
    path = first(tmp_path / "pairs") / "run.json"
    path.write_text(path.read_text().replace('"step_px": [8, 12]', '"step_px": [8, 8]'))
    refused(tmp_path / "pairs", GridMismatchError, r"has posts every .* px while others have them every .* px")


def test_a_pair_within_one_pass_is_refused(pairs):
    scenes = Scenes(**TINY)
    write_pair(pairs, scenes.field(0, 1), scenes.dates[0], scenes.dates[0] + timedelta(minutes=3))
    refused(pairs, InputError, "is a pair of two images of one pass; leave it out")


def test_pairs_without_a_measurement(tmp_path):
    scenes = Scenes(**TINY)
    for i, j in scenes.pairs():
        field = scenes.field(i, j)
        scenes.write(tmp_path / "pairs", i, j, replace(field, flags=np.full(field.flags.shape, 8, np.uint16)))
    refused(tmp_path / "pairs", NoOverlapError, "not one of the pairs has a measurement on the common grid")


# --- settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"inversions": {}}, "StackConfig has no parameter 'inversions'; it has inversion, motion, thresholds"),
        ({"inversion": {"los": 1}}, "InversionParameters has no parameter 'los'; it has loss, tuning"),
        ({"inversion": {"smooth": 1}}, "smooth 1 needs a roughness"),
        ({"motion": {"period": 0}}, "period: .* instead got 0"),
        ({"motion": 3}, "StackConfig.motion: .* instead got 3"),
        ({"thresholds": {"limits": {"a": 2, "b": 1}}}, r"limits must be above 0 and grow, instead got \[2.0, 1.0\]"),
        (
            {"image_noise": -1},
            "image_noise must be one of one, per_date, none, or a number of at least 0, instead got -1",
        ),
        ({"image_noise": "nan"}, "image_noise must be one of .* instead got 'nan'"),
        ({"image_noise": True}, "image_noise must be one of .* instead got True"),
        ({"image_noise": [1]}, "image_noise must be one of"),
        ({"formats": "cog,tif"}, "formats must be some of cog, netcdf, .* instead got 'tif'"),
        ({"formats": ""}, "formats must be some of"),
        ({"bounds": "1,2,3"}, "bounds must be four numbers, xmin,ymin,xmax,ymax, instead got"),
        ({"bounds": [3, 2, 1, 4]}, "each smallest first, instead got 3,2,1,4"),
        ({"posting": 0}, "posting: .* instead got 0"),
        ({"crs": "EPSG:9"}, "crs must be one that PROJ knows, instead got 'EPSG:9'"),
        ({"stable_ground": "a", "unstable_ground": "b"}, "say the same thing twice"),
        ({"points": "a: 1, 2; a: 3, 4"}, "points must have names of their own, instead got 'a' twice"),
        ({"points": []}, "points must have names of their own, instead got none"),
        ({"points": [{"name": "", "x": 1, "y": 2}]}, "name"),
        ({"max_memory": "much"}, "max_memory"),
    ],
)
def test_wrong_settings_fail_before_anything_is_read(values, said):
    with pytest.raises(ConfigError, match=said):
        StackConfig.from_dict(values)


def test_settings_survive_a_file_and_changes_reach_deep(tmp_path):
    config = StackConfig(
        inversion={"loss": "huber", "turns": 3}, motion={"steps": ["2023-05-01"]}, image_noise=0.25, bounds="1,2,3,4",
        points="a: 1, 2",
    )  # fmt: skip
    for path in (tmp_path / "c.yaml", tmp_path / "c.json"):
        getattr(config, f"to_{path.suffix[1:]}")(path)
        assert StackConfig.from_file(path) == config
    changed = StackConfig.from_file(path, inversion={"turns": 5, "loss": None}, bounds=None)
    assert changed.inversion.turns == 5
    assert changed.inversion.loss == "huber"
    assert changed.bounds == (1, 2, 3, 4)
    assert merged({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": {"e": 3}}}) == {"a": {"b": 1, "c": 2, "d": {"e": 3}}}


@pytest.mark.parametrize(
    ("values", "error", "said"),
    [
        ({"points": "1,2"}, InputError, "point 1, at x 1 and y 2, lies outside the posts"),
        ({"points": "nowhere.csv"}, InputError, "nowhere.csv: not found"),
        ({"stable_ground": "nowhere.gpkg"}, InputError, "nowhere.gpkg: not found"),
        ({"bounds": "1,2,3,4"}, NoOverlapError, "bounds must hold posts, which lie at x 600100 to"),
        ({"posting": 1e-3}, ConfigError, "more than the 200,000,000 allowed"),
        ({"posting": 1, "max_memory": "10MB"}, ConfigError, "need about .* GB, more than the 0.0 GB of max_memory"),
    ],
)
def test_settings_that_do_not_fit_the_pairs(pairs, values, error, said):
    refused(pairs, error, said, StackConfig(**values))


def test_formats_that_cannot_hold_it_are_refused_before_anything_is_computed(tmp_path):
    scenes = Scenes(**TINY | {"affine": None, "crs": None})
    scenes.write_all(tmp_path / "pairs")
    for name in ("ticoi", "itslive", "mintpy"):
        said = f"formats: {name} holds metres, and the pairs have no georeference; leave it out"
        refused(tmp_path / "pairs", ConfigError, said, StackConfig(formats=name))
    refused(
        tmp_path / "pairs",
        ConfigError,
        "crs, posting and bounds need pairs with a georeference",
        StackConfig(posting=3),
    )
    late = Scenes(**TINY)
    late.write(tmp_path / "day", 0, 2)
    late.dates[0] += timedelta(hours=11)
    late.write(tmp_path / "day" / "pairs", 0, 2)
    shutil.move(next((tmp_path / "day" / "pairs").iterdir()), tmp_path / "day" / "later")
    refused(tmp_path / "day", ConfigError, "formats: csv names dates by their day, and 2023-03-07 is there twice")
    turned = Scenes(**TINY)
    turned.affine = turned.affine.rotation(10) @ turned.affine
    turned.write_all(tmp_path / "turned")
    refused(tmp_path / "turned", ConfigError, "netcdf needs rows that run along the axes of the CRS", out="x")
    config = StackConfig(posting=100, formats="netcdf", pictures=False)  # as it says
    assert run_stack([tmp_path / "turned"], tmp_path / "y", config)["statistics"]["known_share"] > 0.2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,x,y\nrock,600500,5099000\nrock,600500,5099000\n", "names of their own, instead got 'rock' twice"),
        ("name,x\nrock,600500\n", "must have columns x and y, or lon and lat"),
        ("name,x,y\nrock,here,there\n", "x and y must be numbers"),
        ("name,x,y\n", "has no points"),
        ("name,x,y\nrock,,5\n", "has no points, or some without a place"),
        ("name,x,y\n,600500,5099000\n", "names of points must have 1 to 60 characters"),
        ("name,x,y\nrock,1,1\n", "p.csv: point 1, at x 1 and y 1, lies outside the posts"),
    ],
)
def test_wrong_points_are_named(pairs, tmp_path, text, said):
    (tmp_path / "p.csv").write_text(text)
    refused(pairs, InputError, said, StackConfig(points=str(tmp_path / "p.csv")))


# --- output ------------------------------------------------------------------------------------------------------


def test_results_are_replaced_only_when_asked_for(pairs, tmp_path):
    out = tmp_path / "out"
    config = StackConfig(formats="zarr,csv", pictures=False)
    run_stack([pairs], out, config)
    with pytest.raises(ConfigError, match=r"points_dx.csv: exists already; choose another folder or say --overwrite"):
        run_stack([pairs], out, config)
    (out / "series.zarr" / "stale").write_text("x")
    (out / "mine.txt").write_text("x")
    run_stack([pairs], out, config, overwrite=True)
    assert not (out / "series.zarr" / "stale").exists()
    run_stack([pairs], out, StackConfig(formats="cog", pictures=False), overwrite=True)
    assert {one.name for one in out.iterdir()} == {
        "velocity.tif", "velocity.qml", "quality.tif", "quality.qml", "stack.json", "mine.txt",
    }  # fmt: skip
    with pytest.raises(ConfigError, match="is a folder of a pair; choose another folder"):
        run_stack([pairs], first(pairs), config, overwrite=True)


def test_whole_folders_appear_and_go_as_a_whole(tmp_path):
    names = ("a.txt", "cube/")
    with output_folder(tmp_path, names) as part:
        (part / "cube" / "deep" / "er").mkdir(parents=True)
        (part / "cube" / "deep" / "er" / "0").write_text("old")
        (part / "a.txt").write_text("a")
    assert (tmp_path / "cube" / "deep" / "er" / "0").read_text() == "old"
    with pytest.raises(ConfigError, match="cube: exists already"), output_folder(tmp_path, ("cube/",)):
        pass
    with pytest.raises(ZeroDivisionError), output_folder(tmp_path, names, overwrite=True) as part:
        (part / f"cube{1 // 0}").mkdir()
    assert (tmp_path / "cube" / "deep").exists()
    with output_folder(tmp_path, names, overwrite=True) as part:
        (part / "cube").mkdir()
        (part / "cube" / "new").write_text("new")
    assert [one.name for one in (tmp_path / "cube").iterdir()] == ["new"]
    with output_folder(tmp_path, names, overwrite=True):
        pass
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "cube").write_text("a file")
    with (
        pytest.raises(Exception, match="is a file where a folder of results belongs"),
        output_folder(tmp_path, names, overwrite=True),
    ):
        pass


# --- the command -------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_found(pairs, tmp_path, capsys):
    words = ["stack", str(pairs), "-o", str(tmp_path / "out"), "--format", "cog", "--no-pictures", "--quiet"]
    assert run([*words, "--set", "inversion.loss=huber", "--set", "thresholds.repeats=2"]) == 0
    assert capsys.readouterr() == ("", "")
    record = json.loads((tmp_path / "out" / "stack.json").read_text())
    assert record["configuration"]["inversion"]["loss"] == "huber"
    assert record["configuration"]["thresholds"]["repeats"] == 2
    words = [word for word in words if word != "--quiet"]
    assert run([*words, "--overwrite", "--points=rock: 600500, 5099500"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("3 pairs of 3 dates, 0 left out; 35 posts, 100.0 % with a velocity\nmedian velocity vx +")
    assert "\nrock " in out
    assert run([*words, "--overwrite", "--config", str(tmp_path / "out" / "stack.json"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["points"][0]["name"] == "rock"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "PAIRS"),
        (["PAIRS"], 2, "output"),
        (["PAIRS", "--set", "x"], 2, "--set must be key=value, instead got 'x'"),
        (["PAIRS", "--set", "x.y=1"], 2, "StackConfig has no parameter 'x'; it has inversion"),
        (["PAIRS", "--set", "inversion.x=1"], 2, "InversionParameters has no parameter 'x'"),
        (["PAIRS", "--set", "inversion..loss=huber"], 2, "no parameter"),
        (["PAIRS", "--set", "inversion=[{"], 2, "--set inversion cannot be read"),
        (["PAIRS", "--image-noise", "loud"], 2, "image_noise must be one of"),
        (["PAIRS", "--bounds=-1,2"], 2, "bounds must be four numbers"),
        (["PAIRS", "--workers", "0"], 2, "workers must be at least 1"),
        (["PAIRS", "--config", "nowhere.yaml"], 2, "nowhere.yaml: not found"),
        (["PAIRS", "--color", "red"], 2, "--color"),
        (["nowhere"], 3, "nowhere: not found; give folders that track or slc has written"),
    ],
)
def test_garbage_on_the_command_line_is_one_line(pairs, tmp_path, capsys, words, code, said):
    words = [str(pairs) if word == "PAIRS" else word for word in words]
    if len(words) != 1 or words == ["nowhere"]:
        words += ["-o", str(tmp_path / "out"), "--quiet"]
    assert run(["stack", *words]) == code
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    assert said in error[0]
    assert not (tmp_path / "out").exists()
