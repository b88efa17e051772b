"""What careless and malicious users give to studies ends in one line that names file, rule and value."""

from __future__ import annotations

import csv
import json

import pytest
import yaml

from sensetrack.cli import run
from study_scenes import write_scene, write_study

DAYS = 1, 11, 21
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    study = write_study(tmp_path_factory.mktemp("done"), DAYS)
    assert run(["run", str(study), "--quiet"]) == 0
    return study.parent / "results"


def said(capsys) -> str:
    """The one line on stderr."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert "Traceback" not in lines[0]
    assert len(lines[0]) < 600
    return lines[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, "aliases stand for more than"),
        (BOMB + "scenes: {files: *i}\n", "aliases stand for more than"),
        ("scenes: &a {files: *a}\n", "line 1"),
        ("scenes:\n  files: &a [*a]\n", "line 2"),
        ("output: mine\noutput: yours\n", "line 2: output is said twice, first in line 1"),
        ("scenes:\n\tfiles: [a]\n", "line 2, column 1"),
        (f"# {'x' * 4_100_000}\n", "characters"),
        ("[" * 3000 + "]" * 3000, "not valid"),
    ],
    ids=["bomb", "used bomb", "holds itself", "list holds itself", "twice", "tab", "large", "deep"],
)
def test_yaml_that_nobody_writes(tmp_path, capsys, text, words):
    path = tmp_path / "study.yaml"
    path.write_text(text, encoding="utf-8")
    assert run(["run", str(path), "--quiet", "--dry-run"]) == 2
    line = said(capsys)
    assert str(path) in line
    assert words in line


def test_a_setting_that_holds_itself(tmp_path, capsys):
    study = write_study(tmp_path, DAYS[:2])
    assert run(["run", str(study), "--quiet", "--dry-run", "--set", "scenes.files=&a [*a]"]) == 2
    assert str(study) in said(capsys)


def test_aliases_and_merges_of_people(tmp_path):
    study = write_study(tmp_path, DAYS[:2])
    values = yaml.safe_load(study.read_text(encoding="utf-8"))
    chip = values["track"].pop("parameters")
    text = yaml.safe_dump(values | {"track": None, "scenes": None})
    text = text.replace("scenes: null\n", "scenes: {files: &files ['scenes/*.tif'], exclude: *files}\n")
    text = text.replace(
        "track: null\n", f"track: {{parameters: {{<<: &chip {json.dumps(chip)}, step: 32}}, gross: none}}\n"
    )
    study.write_text(text, encoding="utf-8")
    assert run(["run", str(study), "--quiet", "--dry-run"]) == 0


def test_links_to_nothing_are_bad_scenes(tmp_path, capsys):
    study = write_study(tmp_path, DAYS)
    link, loop = (tmp_path / "scenes" / f"scene_202401{day}.tif" for day in (29, 30))
    link.symlink_to(tmp_path / "nowhere.tif")
    loop.symlink_to(loop)
    assert run(["run", str(study), "--quiet"]) == 4
    report = json.loads((tmp_path / "results/report.json").read_text(encoding="utf-8"))
    assert {row["path"] for row in report["scenes"] if row["status"] == "failed"} == {
        "scenes/scene_20240129.tif",
        "scenes/scene_20240130.tif",
    }
    assert [row["status"] for row in report["pairs"]] == ["done"] * 3
    assert "2 failed" in capsys.readouterr().err


def test_a_pattern_that_has_the_results_too(tmp_path):
    study = write_study(tmp_path, DAYS[:2])
    values = yaml.safe_load(study.read_text(encoding="utf-8"))
    values["scenes"]["files"] = ["**/*.tif"]
    study.write_text(yaml.safe_dump(values), encoding="utf-8")
    for _ in range(2):
        assert run(["run", str(study), "--quiet"]) == 0
        report = json.loads((tmp_path / "results/report.json").read_text(encoding="utf-8"))
        assert [row["path"] for row in report["scenes"]] == ["scenes/scene_20240101.tif", "scenes/scene_20240111.tif"]
    assert run(["run", str(study), "--quiet", "--output", str(tmp_path / "scenes"), "--keep", "pairs"]) == 2


def test_a_name_of_two_lines_is_one_line_of_the_table(tmp_path):
    study = write_study(tmp_path, DAYS[:1])
    write_scene(tmp_path / "scenes", 11).rename(tmp_path / "scenes" / "=a\nb_20240111.tif")
    assert run(["run", str(study), "--quiet"]) == 0
    text = (tmp_path / "results/report.csv").read_text(encoding="utf-8")
    assert text.count("\n") == 2
    (row,) = csv.DictReader(text.splitlines())
    assert row["secondary"] == r"'=a\nb_20240111"


@pytest.mark.parametrize(
    "told",
    [{}, {"moment": "x"}, {"moment": None, "stranger": 1}, {"moment": 5}],
    ids=["empty", "no date", "stranger", "number"],
)
def test_what_is_remembered_of_scenes_is_damaged(done, told):
    cache = done / ".study/scenes.json"
    text = cache.read_text(encoding="utf-8")
    values = json.loads(text)
    first = min(values["scenes"])
    values["scenes"][first]["told"] = told
    cache.write_text(json.dumps(values), encoding="utf-8")
    assert run(["run", str(done.parent / "study.yaml"), "--quiet"]) == 0
    assert json.loads(cache.read_text(encoding="utf-8")) == json.loads(text)


@pytest.mark.parametrize("crs", ["", "x" * 2000, "EPSG:99999"], ids=["empty", "long", "unknown"])
def test_a_crs_that_is_none(done, tmp_path, capsys, crs):
    assert run(["stack", str(done), "-o", str(tmp_path / "out"), "--quiet", f"--crs={crs}"]) == 2
    assert "crs must be one that PROJ knows" in said(capsys)
    pairs = [str(done / "pairs" / name) for name in ("20240101-20240111", "20240111-20240121")]
    assert run(["decompose", *pairs, "-o", str(tmp_path / "out"), "--quiet", f"--crs={crs[:50]}"]) in {2, 3}
    assert "crs must be one that PROJ knows" in said(capsys)
    assert not (tmp_path / "out").exists()
