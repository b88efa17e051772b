"""Wrong options, wrong areas, outputs in the way and runs that are broken off.

The numbers in the docstrings are those of the project's list of faults.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from conftest import SMALL, read_tif, write_tif
from sensetrack.workflow import pipeline
from test_80_faults import at_most, follow, no_picture, refuse, tree  # noqa: F401
from test_80_faults_pixels import strip
from truth import TALL

SQUARE = [[TALL @ place for place in ((30, 20), (150, 20), (150, 120), (30, 120), (30, 20))]]


def write_area(path: Path, *geometries: dict | None, crs: str | None = "32632") -> Path:
    """Write a GeoJSON."""
    features = [{"type": "Feature", "properties": {}, "geometry": geometry} for geometry in geometries]
    content = {"type": "FeatureCollection", "features": features}
    if crs:
        content["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{crs}"}}
    path.write_text(json.dumps(content))
    return path


def polygon(*places: tuple[float, float]) -> dict:
    """A polygon of (column, row)."""
    return {"type": "Polygon", "coordinates": [[list(TALL @ place) for place in (*places, places[0])]]}


def test_a_product_is_not_overwritten_unasked(cli, pair_files, tmp_path):
    """88."""
    folder = follow(cli, *pair_files).folder
    refuse(
        cli,
        tmp_path,
        *pair_files,
        "-o",
        folder,
        code=2,
        words=("exists already", "--overwrite"),
        path=folder / "displacement.tif",
    )
    (folder / "notes.txt").write_text("mine")
    before = tree(folder)
    follow_up = cli("track", *reversed(pair_files), "-o", folder, *SMALL, "--overwrite")
    assert follow_up.code == 0
    after = tree(folder)
    assert after["notes.txt"] == before["notes.txt"]
    assert after.keys() == before.keys()
    assert np.nanmedian(read_tif(folder / "displacement.tif")) == pytest.approx(-50, abs=0.5)


def test_an_old_product_survives_a_run_that_fails(cli, pair_files, tmp_path, monkeypatch):
    """88."""
    folder = follow(cli, *pair_files).folder
    bad = tmp_path / "bad.tif"
    bad.write_bytes(pair_files[1].read_bytes()[:50_000])
    refuse(cli, tmp_path, pair_files[0], bad, "-o", folder, "--overwrite", code=3, path=bad)

    def full(path, *_):
        raise OSError(28, os.strerror(28), str(path))

    monkeypatch.setattr(pipeline, "write_record", full)
    refuse(cli, tmp_path, *pair_files, "-o", folder, "--overwrite", code=5, words=(os.strerror(28),))
    refuse(cli, tmp_path, *pair_files, "-o", tmp_path / "new" / "sub", code=5, words=(os.strerror(28),))


def test_an_old_product_survives_where_a_name_is_taken_by_a_folder(cli, pair_files, tmp_path):
    """88: all files are replaced or none."""
    folder = follow(cli, *pair_files).folder
    (folder / "run.json").unlink()
    (folder / "run.json").mkdir()
    (folder / "run.json" / "keep").write_text("mine")
    refuse(cli, tmp_path, *reversed(pair_files), "-o", folder, "--overwrite", code=5, words=("run.json",))


def test_nothing_of_an_older_product_stays_among_the_new(cli, pair_files, tmp_path):
    """88: a velocity of another pair beside a new displacement would be a lie."""
    dates = ("--reference-date", "2020-01-01", "--secondary-date", "2020-01-11")
    folder = follow(cli, *pair_files, *dates).folder
    assert (folder / "velocity.tif").exists()
    follow(cli, *pair_files, "--overwrite")
    assert not (folder / "velocity.tif").exists()


@pytest.mark.parametrize("name", ["offsets.tif", "displacement.tif", "velocity.tif"])
@pytest.mark.parametrize("way", ["same", "dots", "link"])
def test_an_input_is_never_replaced(cli, pair_files, tmp_path, name, way):
    """88: the output folder is that of the inputs, under any of its names."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    first = shutil.copy(pair_files[0], folder / name)
    (tmp_path / "link").symlink_to(folder)
    target = {"same": folder, "dots": folder / ".." / "scenes", "link": tmp_path / "link"}[way]
    refuse(cli, tmp_path, first, pair_files[1], "-o", target, code=2, words=("exists already",))
    refuse(cli, tmp_path, first, pair_files[1], "-o", target, "--overwrite", code=2, words=("is an input",))


def test_the_folder_of_the_inputs_may_be_the_output(cli, pair_files, tmp_path):
    """88."""
    before = tree(tmp_path)
    assert cli("track", *pair_files, "-o", tmp_path, *SMALL).code == 0
    assert {name: tree(tmp_path)[name] for name in before} == before
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--workers", "0"), ("workers",)),
        (("--workers", "-1"), ("workers",)),
        (("--chip", "0"), ("chip",)),
        (("--chip", "-5"), ("chip",)),
        (("--chip", "x"), ("chip",)),
        (("--chip", "32x"), ("chip",)),
        (("--chip", "1,2,3"), ("chip",)),
        (("--chip", ""), ("chip",)),
        (("--step", "0"), ("step",)),
        (("--search", "-8"), ("search",)),
        (("--search", "1e3"), ("search",)),
        (("--gross", "some"), ("gross",)),
        (("--set", "chip"), ("--set", "key=value")),
        (("--set", "=5"), ("--set", "key=value")),
        (("--set", "colour=3"), ("colour", "min_valid")),
        (("--set", "chip=[1"), ("--set chip",)),
        (("--set", "chip=!!python/object/apply:os.system ['touch PWNED']"), ("--set chip",)),
        (("--algorithm", "best"), ("best", "farneback", "ncc")),
        (("--algorithm", "farneback"), ("chip", "winsize")),
        (("--preprocess", "magic"), ("magic", "equalize")),
        (("--bias", "spline"), ("bias",)),
        (("--min-score", "nan"), ("min_score",)),
        (("--outlier-threshold", "-1"), ("outlier_threshold",)),
        (("--max-pixels", "0"), ("max_pixels",)),
        (("--nodata", "x"), ("nodata",)),
        (("--reference-date", "yesterday"), ("ISO 8601", "yesterday")),
        (("--reference-date", "2020-13-01"), ("ISO 8601",)),
        (("--stable-ground", "a.gpkg", "--unstable-ground", "b.gpkg"), ("stable_ground",)),
        (("--colour",), ("--colour",)),
        (("third.tif",), ("third.tif",)),
    ],
)  # fmt: skip
def test_a_wrong_option_is_a_matter_of_usage(cli, pair_files, tmp_path, monkeypatch, options, words):
    """Exit 2, the option named, before anything is read."""
    monkeypatch.chdir(tmp_path)
    names = {option for option in options if option in ("--chip", "--step", "--search")}
    rest = [part for i in (0, 2, 4) for part in SMALL[i : i + 2] if SMALL[i] not in names]
    refuse(cli, tmp_path, *pair_files, code=2, words=words, options=(*rest, *options))


def laughs(depth: int) -> str:
    return "a0: &a0 [lol, lol]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, depth + 1)
    )


CONFIGS = {
    "binary": (bytes(range(256)), ()),
    "html": (b"<!DOCTYPE html><html></html>", ()),
    "list": (b"- 1\n- 2\n", ("mapping",)),
    "empty": (b"", ("mapping",)),
    "open bracket": (b"chip: [1, 2", ()),
    "tabs": (b"algorithm:\tncc\n\tx: 1", ()),
    "unknown key": (b"chip: 32", ("chip", "parameters")),
    "wrong type": (b"parameters: 5", ("parameters",)),
    "list for a name": (b"algorithm: [ncc]", ("algorithm",)),
    "map for a number": (b"band: {a: 1}", ("band",)),
    "one of two": (b"gross: [1]", ("gross",)),
    "number for a file": (b"aoi: 5", ("aoi",)),
    "number for a key": (b"1: 2", ("1",)),
    "configuration is no map": (b"configuration: 5", ()),
    "object": (b"algorithm: !!python/object/apply:os.system ['touch PWNED']", ()),
    "deep": (b"algorithm: " + b"[" * 3000, ()),
    "laughs": (laughs(5).encode() + b"band: *a5\n", ()),
    "laughing key": (laughs(5).encode() + b"algorithm: *a5\n", ()),
    "band zero": (b"band: 0", ("counted from 1",)),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_bad_settings_file_is_a_matter_of_configuration(cli, pair_files, tmp_path, monkeypatch, name):
    """Exit 2 and one short line, whatever the file holds."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "run.yaml"
    path.write_bytes(CONFIGS[name][0])
    with at_most(20):
        line = refuse(cli, tmp_path, *pair_files, "--config", path, code=2, words=CONFIGS[name][1], options=())
    assert len(line) < 2000


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "device"])
def test_settings_that_are_no_file_are_refused_without_waiting(cli, pair_files, tmp_path, kind):
    """29: as for images."""
    path = tmp_path / "run.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/null")
    with at_most(5):
        before = tree(tmp_path)
        result = cli("track", *pair_files, "-o", tmp_path / "out", "--config", path)
    assert result.code in (2, 3), result.err
    assert "still not done" not in result.err
    assert str(path) in result.error
    assert tree(tmp_path) == before


FAR = [[1e300, 0], [1e300, 1e300], [-1e300, 1], [1e300, 0]]
TRIANGLE = polygon((30, 20), (150, 20), (150, 120))
AREAS = {
    "outside": ([polygon((900, 900), (950, 900), (950, 950))], "32632", 3, "outside"),
    "other side of the earth": ([TRIANGLE], "32701", 3, ""),
    "point": ([{"type": "Point", "coordinates": [600_500, 4_949_000]}], "32632", 3, "got Point"),
    "line": ([{"type": "LineString", "coordinates": SQUARE[0]}], "32632", 3, "got LineString"),
    "mixed": ([TRIANGLE, {"type": "Point", "coordinates": [0, 0]}], "32632", 3, "Point"),
    "none": ([], "32632", 3, "nothing"),
    "null": ([None], "32632", 3, "nothing"),
    "empty": ([{"type": "Polygon", "coordinates": []}], "32632", 3, "nothing"),
    "not finite": ([{"type": "Polygon", "coordinates": [FAR]}], "32632", 3, ""),
    "flat": ([polygon((30, 20), (150, 20), (90, 20))], "32632", 3, ""),
}  # fmt: skip


@pytest.mark.parametrize("option", ["--aoi", "--stable-ground"])
@pytest.mark.parametrize("name", AREAS)
def test_an_area_that_is_none_is_bad_input(cli, pair_files, tmp_path, name, option):
    """84."""
    geometries, crs, code, words = AREAS[name]
    path = write_area(tmp_path / "area.geojson", *geometries, crs=crs)
    words = (words,) if option == "--aoi" or "outside" not in words else ("nothing of the images",)
    refuse(cli, tmp_path, *pair_files, option, path, code=code, words=words, path=path)


@pytest.mark.parametrize("text", ["{", "{}", '{"type": "FeatureCollection"}', '{"error": "quota"}', "[" * 100_000])
def test_an_area_that_is_damaged_is_bad_input(cli, pair_files, tmp_path, text):
    """84."""
    path = tmp_path / "area.geojson"
    path.write_text(text)
    refuse(cli, tmp_path, *pair_files, "--aoi", path, code=3, path=path)


def test_a_layer_that_is_not_there_is_bad_input(cli, pair_files, tmp_path):
    """84."""
    path = write_area(tmp_path / "area.geojson", TRIANGLE)
    refuse(cli, tmp_path, *pair_files, "--aoi", f"{path}|other", code=3, path=f"{path}|other")


def test_a_crooked_area_is_mended_and_used(cli, pair_files, tmp_path):
    """84: a bow tie."""
    path = write_area(tmp_path / "area.geojson", polygon((20, 20), (160, 120), (160, 20), (20, 120)))
    product = follow(cli, *pair_files, "--aoi", path)
    assert 0.1 < product.good.mean() < 0.9
    assert np.nanmax(product.error(3, 5)) < 0.2


def test_too_little_stable_ground_is_said(cli, pair_files, tmp_path):
    """Fewer than ten posts."""
    path = write_area(tmp_path / "rock.geojson", polygon((10, 10), (60, 10), (60, 60), (10, 60)))
    refuse(cli, tmp_path, *pair_files, "--stable-ground", path, code=3, words=("at least 10 good posts",))


def test_an_area_needs_images_that_say_where_they_are(cli, tmp_path, scene):
    files = [write_tif(tmp_path / f"{i}.tif", part.astype(np.float32), None, None) for i, part in enumerate(scene)]
    path = write_area(tmp_path / "area.geojson", TRIANGLE)
    for option in ("--aoi", "--stable-ground"):
        refuse(cli, tmp_path, *files, option, path, code=3, words=("georeference",), path=path)


@pytest.mark.parametrize(("second", "days"), [("2020-01-11", 10), ("2019-12-22T00:00:00Z", -10), ("2020-01-01", 0)])
def test_a_velocity_has_the_sign_of_time(cli, pair_files, tmp_path, second, days):
    """82."""
    product = follow(cli, *pair_files, "--reference-date", "2020-01-01", "--secondary-date", second).require()
    product.require_metres(50, -60, within=0.5)
    assert product.record["dt_days"] == days
    assert (product.folder / "velocity.tif").exists() == (days != 0)
    if days:
        assert np.nanmedian(read_tif(product.folder / "velocity.tif")) == pytest.approx(50 / days, rel=0.01)


def test_a_date_in_a_file_that_is_none_is_bad_input(cli, tmp_path, scene):
    """80."""
    first = write_tif(tmp_path / "a.tif", scene[0].astype(np.float32), tags={"ACQUIRED": "31/12/2020"})
    second = write_tif(tmp_path / "b.tif", scene[1].astype(np.float32))
    refuse(cli, tmp_path, first, second, code=3, words=("31/12/2020",), path=first)


START = [sys.executable, "-m", "sensetrack"]


def begin(*arguments: object) -> subprocess.Popen:
    """Start the command in another process, interruptible even where the tests are not."""
    return subprocess.Popen(
        [*START, *map(str, arguments)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )  # fmt: skip


@pytest.fixture
def long_run(tmp_path):
    """A run that takes long enough to be broken off: started, and in the middle."""
    files = [write_tif(tmp_path / f"{i}.tif", part) for i, part in enumerate(strip(900, 1000))]
    process = begin("track", *files, "-o", tmp_path / "out", "--step", 2, "--search", 24)
    try:
        for _ in range(300):
            if (tmp_path / "out").exists():
                break
            time.sleep(0.05)
        time.sleep(0.5)
        assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_broken_off_leaves_nothing(long_run, tmp_path, number, code):
    """91."""
    long_run.send_signal(number)
    start = time.monotonic()
    err = long_run.communicate(timeout=20)[1]
    assert long_run.returncode == code, err
    assert time.monotonic() - start < 5
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_a_run_that_was_killed_is_swept_up_by_the_next(cli, long_run, pair_files, tmp_path):
    """91."""
    long_run.kill()
    long_run.communicate(timeout=20)
    assert not list((tmp_path / "out").glob("*.tif"))
    follow(cli, *pair_files)
    assert not [path for path in (tmp_path / "out").iterdir() if "part" in path.name]


LIMITED = (
    "import resource, sys; resource.setrlimit(resource.RLIMIT_{0}, ({1}, {1})); from sensetrack.cli import main; main()"
)


def limited(what: str, limit: int, *arguments: object) -> subprocess.CompletedProcess:
    """Run with a limit of the operating system."""
    code = LIMITED.format(what, limit)
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")
@pytest.mark.parametrize("options", [("--search", 100_000), ("--chip", 10**9)])
def test_absurd_sizes_do_not_take_the_machine(pair_files, tmp_path, options):
    """92: within 3 GB or an error."""
    result = limited("AS", 3 * 10**9, "track", *pair_files, "-o", tmp_path / "out", *options)
    assert result.returncode in (2, 3, 5), result.stderr
    assert result.stderr.count("sensetrack: error: ") == 1
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")
def test_a_disk_that_is_full_leaves_nothing(tmp_path):
    """89, 90."""
    files = [write_tif(tmp_path / f"{i}.tif", part) for i, part in enumerate(strip(300, 300))]
    result = limited("FSIZE", 10_000, "track", *files, "-o", tmp_path / "out", *SMALL[:2], "--step", 6, "--search", 6)
    assert result.returncode == 5, result.stderr
    assert [line for line in result.stderr.splitlines() if "error: " in line and str(tmp_path / "out") in line]
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()
