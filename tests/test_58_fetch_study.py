"""A study whose scenes come from the network: said first, fetched only where that is allowed, and then done."""

from __future__ import annotations

import json

import yaml

from archive_answers import optical_catalogue, optical_item
from sensetrack.cli import run
from study_scenes import CHIP, begun, write_scene
from test_58_fetch import net  # noqa: F401  a fixture

AREA = "8.0,46.2,8.4,46.5"
CLOUD = "sentinel-cogs.s3.us-west-2.amazonaws.com"


def test_scenes_are_fetched_and_the_study_is_done(net, tmp_path, capsys):
    items = [optical_item("S2A", "2024-01-01T10:25:00"), optical_item("S2B", "2024-01-11T10:25:00")]
    net.hosts["earth-search.aws.element84.com"] = optical_catalogue(items)
    pixels = [write_scene(tmp_path / "archive", day).read_bytes() for day in (1, 11)]
    net.file(CLOUD, {f"/{item['id']}/B08.tif": content for item, content in zip(items, pixels, strict=True)})
    study = tmp_path / "study.yaml"
    values = {
        "fetch": {"kind": "s2", "aoi": AREA, "query": {"start": "2024-01-01", "end": "2024-02-01", "tile": "32TLR"}},
        "track": {"parameters": dict(CHIP), "gross": "none", "quicklook": False},
        "stack": None,
    }
    study.write_text(yaml.safe_dump(values), encoding="utf-8")
    assert run(["run", str(study), "--quiet"]) == 2
    assert "--fetch" in capsys.readouterr().err
    assert not net.asked
    assert run(["run", str(study), "--dry-run", "--fetch"]) == 0
    said = capsys.readouterr().out
    assert "2 scenes to fetch" in said
    assert "S2A_32TLR_20240101_0_L2A" in said
    assert not (tmp_path / "fetched").exists()
    assert run(["run", str(study), "--dry-run", "--fetch", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["fetch"]["scenes"]) == 2
    assert run(["run", str(study), "--quiet", "--fetch"]) == 0
    assert begun(tmp_path / "results") == {"20240101-20240111": 1}
    # What was fetched is enough without the network.
    asked = len(net.asked)
    assert run(["run", str(study), "--quiet"]) == 0
    assert len(net.asked) == asked
    assert begun(tmp_path / "results") == {"20240101-20240111": 1}
