"""The command line: what it prints, how it ends, and how quick it is to start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from pydantic import TypeAdapter

import sensetrack
from conftest import SMALL, read_tif
from sensetrack.ot.algorithms import ALGORITHMS, NCC


def test_track_prints_a_summary_to_stdout_and_messages_to_stderr(cli, pair_files, tmp_path):
    result = cli("track", *pair_files, "-o", tmp_path / "o", *SMALL)
    assert result.code == 0
    assert "+3.00 rows, +5.00 columns px" in result.out
    assert "dx +50.0" in result.out
    assert all(line.startswith("sensetrack: ") for line in result.err.splitlines())


def test_json_is_the_record_and_nothing_else(cli, pair_files, tmp_path):
    result = cli("track", *pair_files, "-o", tmp_path / "o", *SMALL, "--json")
    assert json.loads(result.out) == json.loads((tmp_path / "o" / "run.json").read_text())


def test_quiet_is_quiet(cli, pair_files, tmp_path):
    result = cli("track", *pair_files, "-o", tmp_path / "o", *SMALL, "--quiet")
    assert (result.code, result.out, result.err) == (0, "", "")


def test_every_setting_reaches_the_run(cli, pair_files, tmp_path):
    result = cli(
        "track", *pair_files, "-o", tmp_path / "o", "--chip", "48x32", "--step", "12,16", "--set", "search=6,9",
        "--set", "min_valid=0.7", "--preprocess", "none", "--gross", "1,2", "--min-score", "0.5",
        "--outlier-threshold", 3, "--outlier-noise", 0.3, "--min-peak-ratio", 1.1, "--no-warp",
        "--reference-date", "2024-01-01", "--secondary-date", "2024-01-03T12:00:00Z", "--max-pixels", 100_000,
        "--workers", 1, "--json",
    )  # fmt: skip
    record = json.loads(result.out)
    configuration = record["configuration"]
    given = {"chip": [48, 32], "step": [12, 16], "search": [6, 9], "min_valid": 0.7}
    assert configuration["parameters"] == NCC().to_dict() | given
    assert configuration["gross"] == [1, 2]
    assert configuration["warp"] is False
    assert (configuration["preprocess"], configuration["min_score"]) == ("none", 0.5)
    assert (configuration["outlier_threshold"], configuration["outlier_noise"]) == (3, 0.3)
    assert record["dt_days"] == 2.5
    assert record["statistics"]["median_offset_px"] == pytest.approx([3, 5], abs=0.05)


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_every_algorithm_tracks(cli, pair_files, tmp_path, name):
    result = cli("track", *pair_files, "-o", tmp_path / "o", "--algorithm", name)
    assert result.code == 0
    good = read_tif(tmp_path / "o" / "flags.tif") == 0
    assert np.median(read_tif(tmp_path / "o" / "offsets.tif", 1)[good]) == pytest.approx(3, abs=0.05)
    assert np.median(read_tif(tmp_path / "o" / "offsets.tif", 2)[good]) == pytest.approx(5, abs=0.05)


def test_algorithms_are_listed_with_defaults_and_units(cli):
    listed = json.loads(cli("algorithms", "--json").out)
    assert [entry["name"] for entry in listed] == sorted(ALGORITHMS)
    ncc = next(entry for entry in listed if entry["name"] == "ncc")
    assert ncc["parameters"]["chip"] == {
        "default": [64, 64],
        "unit": "px",
        "description": "size of the chips that are looked for, rows and columns",
    }
    text = cli("algorithms", "farneback").out
    assert "winsize" in text
    assert "[16 px]" in text
    assert "there are farneback, ilk, ncc, pcc, tvl1" in cli("algorithms", "magic").error


def test_info_says_what_a_file_is(cli, pair_files):
    found = json.loads(cli("info", pair_files[0], "--json").out)
    assert (found["rows"], found["columns"], found["crs"]) == (140, 180, "EPSG:32632")
    assert found["pixel_on_ground_m"] == pytest.approx([20, 10], rel=1e-3)
    assert "EPSG:32632" in cli("info", pair_files[0]).out


def test_doctor_finds_what_is_needed(cli, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine x login someone password SECRET")
    netrc.chmod(0o644)
    result = cli("doctor", "--json")
    found = json.loads(result.out)
    assert found["versions"]["sensetrack"] == sensetrack.__version__
    assert found["drivers"]["COG"] == "ok"
    assert "SECRET" not in result.out
    if os.name != "nt":
        assert "readable by others" in found["credentials"][str(netrc)]
    assert "workers" in cli("doctor").out


def test_the_demo_finds_its_landslide(cli, tmp_path):
    result = cli("demo", "-o", tmp_path / "demo", "--json")
    assert result.code == 0
    found = json.loads(result.out)
    slide, still = found["rows"]
    assert slide[1] > 1000
    assert np.abs(slide[2:4]).max() < 0.05
    assert np.max(slide[4:6]) < 0.15
    assert np.abs(still[2:4]).max() < 0.02
    assert np.max(still[4:6]) < 0.1
    assert found["cloud_share"] < 0.06
    # 6.5 rows and 3.8 columns of 10 m at the peak.
    assert 60 < found["largest_m"] < 90
    assert (tmp_path / "demo" / "quicklook.png").stat().st_size > 100_000
    refused = cli("demo", "-o", tmp_path / "demo")
    assert refused.code == 2
    assert "exists already" in refused.error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["track", "a.tif", "b.tif"], "--output"),
        (["track", "a.tif", "-o", "x"], "SECONDARY|secondary"),
        (["track", "a.tif", "b.tif", "-o", "x", "--frobnicate"], "--frobnicate"),
        (["track", "a.tif", "b.tif", "-o", "x", "--band", "two"], "two"),
        (["track", "a.tif", "b.tif", "-o", "x", "--chip", "3.5"], "chip.*'3.5'"),
        (["track", "a.tif", "b.tif", "-o", "x", "--set", "chip"], "key=value"),
        (["track", "a.tif", "b.tif", "-o", "x", "--algorithm", "farneback", "--chip", "32"], "it has flow, pyr_scale"),
        (["track", "a.tif", "b.tif", "-o", "x", "--bias", "cubic"], "cubic"),
        (["frobnicate"], "frobnicate"),
        (["demo", "extra"], "extra"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(cli, arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = cli(*arguments)
    assert result.code == 2
    assert len(result.err.strip().splitlines()) == 1
    import re

    assert re.search(said, result.error), result.error
    assert list(tmp_path.iterdir()) == []


def test_a_traceback_only_with_debug(cli, tmp_path):
    assert "Traceback" not in cli("info", tmp_path / "nix.tif").err
    assert "Traceback" in cli("info", tmp_path / "nix.tif", "--debug").err


def test_a_bug_of_ours_is_exit_1_and_says_so(cli, monkeypatch, pair_files):
    import sensetrack.files.raster

    monkeypatch.setattr(sensetrack.files.raster, "open_raster", lambda path: 1 / 0)
    result = cli("info", pair_files[0])
    assert result.code == 1
    assert "bug in sensetrack (ZeroDivisionError" in result.error


def python(code: str) -> list[str]:
    """Heavy modules that are loaded after `code` has run in a fresh interpreter."""
    heavy = ("numpy", "scipy", "rasterio", "cv2", "pydantic", "geopandas", "pandas", "matplotlib", "pyproj", "yaml",
             "shapely", "skimage", "numba", "xarray", "dask", "h5py")  # fmt: skip
    script = f"{code}\nimport sys; print('LOADED', *[m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    return out.rsplit("LOADED", 1)[1].split()


def test_importing_and_helping_load_nothing_heavy():
    assert python("import sensetrack") == []
    assert python("from sensetrack.cli import run; run(['--help'])") == []
    assert python("from sensetrack.cli import run; run(['track', '--help'])") == []


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_nothing(tmp_path, sent, code):
    out = tmp_path / "demo"
    # Tests that run in the background may have inherited that Ctrl-C is ignored.
    start = "import signal as s; s.signal(s.SIGINT, s.default_int_handler); from sensetrack.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", start, "demo", "-o", str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    for _ in range(600):
        if (out / "scene" / "truth.tif").exists():  # rendered; tracking has begun
            break
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(sent)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert b"Traceback" not in err
    assert [path.name for path in out.iterdir()] == ["scene"]


def test_the_options_of_track_are_its_settings(cli, monkeypatch):
    """Names and defaults stand in the help for speed; here they are held against the one model."""
    from sensetrack import TrackConfig

    monkeypatch.setenv("COLUMNS", "400")
    text = cli("track", "--help").out
    for name, field in TrackConfig.model_fields.items():
        if name in ("parameters", "preprocess_parameters"):  # --set
            continue
        option = {"formats": "format"}.get(name, name).replace("_", "-")
        line = next(line for line in text.splitlines() if f"--{option} " in line)
        if field.default is not None and not isinstance(field.default, bool):
            shown = line.split("[default: ")[1].split("]")[0].split(",")[0]
            default = field.default[0] if isinstance(field.default, tuple) else field.default
            kind = str if isinstance(field.default, tuple) else field.annotation
            assert TypeAdapter(kind).validate_python(shown) == default, name
    for name in ALGORITHMS:
        assert f"{name}: {ALGORITHMS[name].min_score:g}" in text
