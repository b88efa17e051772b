"""Algorithms and filters of other packages, found through entry points."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sensetrack.errors import ConfigError
from sensetrack.ot.algorithms import ALGORITHMS, NCC, register

PAGE = Path(__file__).parents[1] / "docs/howto/add-an-algorithm.md"


@pytest.fixture
def installed(tmp_path):
    """The package that the how-to page shows, as pip would leave it; a function that runs `sensetrack` with it."""
    text = PAGE.read_text(encoding="utf-8")
    project = tomllib.loads(next(b for b in re.findall(r"```toml\n(.*?)```", text, re.S) if "entry-points" in b))
    module = re.search(r"```\{literalinclude\} (\S+)", text)[1]
    code = (PAGE.parent / module).read_text(encoding="utf-8")
    site = tmp_path / "site"
    info = site / f"{project['project']['name'].replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['project']['name']}\nVersion: 1.0\n")
    lines = []
    for group, points in project["project"]["entry-points"].items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (site / Path(module).name).write_text(code)

    def run(*arguments):
        env = os.environ | {"PYTHONPATH": str(site)}
        return subprocess.run(
            [sys.executable, "-m", "sensetrack", *map(str, arguments)], capture_output=True, encoding="utf-8", env=env,
            check=False,
        )  # fmt: skip

    run.site = site
    return run


def test_the_package_of_the_docs_is_found_and_tracks(installed, pair_files, tmp_path):
    listed = json.loads(installed("algorithms", "--json").stdout)
    assert {entry["name"] for entry in listed} == {*ALGORITHMS, "sad"}
    filters = json.loads(installed("preprocessors", "--json").stdout)
    assert "gradient" in {entry["name"] for entry in filters}
    out = tmp_path / "o"
    done = installed("track", *pair_files, "-o", out, "--algorithm", "sad", "--preprocess", "gradient", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["configuration"]["algorithm"] == "sad"
    assert record["statistics"]["median_offset_px"] == [3, 5]


def test_a_broken_package_is_named_and_stops_nothing(installed):
    module = next(installed.site.glob("*.py"))
    module.write_text("raise OSError('no licence found')\n")
    done = installed("algorithms", "--json")
    assert done.returncode == 0
    assert {entry["name"] for entry in json.loads(done.stdout)} == set(ALGORITHMS)
    assert "cannot be used (OSError: no licence found)" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_of_ours_cannot_be_taken():
    class Other(NCC):
        """Something else."""

    with pytest.raises(ConfigError, match=r"'ncc' belongs to sensetrack\.ot\.algorithms\.ncc\.NCC"):
        register(Other)
    assert ALGORITHMS["ncc"] is NCC
