"""Settings of `sensetrack slc`, and bursts that are kept between runs: no pixel is touched."""

import os
import subprocess
import sys

import numpy as np
import pytest

from sensetrack.errors import ConfigError, OutputError
from sensetrack.workflow.slc_config import SlcConfig
from sensetrack.workflow.slc_kept import Kept


def test_the_defaults_are_the_windows_of_the_study():
    config = SlcConfig()
    assert (config.chip, config.step, config.search) == ((64, 256), (8, 44), (10, 30))
    assert (config.coherent, config.compat, config.assumption) == (True, None, "level")
    settings = config.matching(12.0)
    assert (settings.chip, settings.step, settings.search) == (config.chip, config.step, config.search)


@pytest.mark.parametrize(
    ("days", "times"),
    [(6, 1), (12, 1), (11.9999, 1), (12.0001, 1), (13, 2), (-24, 2), (24.0003, 2), (36, 3)],
)
def test_the_search_grows_with_the_days_it_is_for(days, times):
    assert SlcConfig(search=(10, 30), search_days=12).matching(days).search == (10 * times, 30 * times)
    assert SlcConfig(search=(10, 30)).matching(days).search == (10, 30)


@pytest.mark.parametrize(
    ("given", "found"),
    [("iw2", ("iw2",)), (2, ("iw2",)), ("2,IW1", ("iw2", "iw1")), ([1, 3, 1], ("iw1", "iw3")), ("EW4", ("ew4",))],
)
def test_swaths_are_read_however_they_are_written(given, found):
    assert SlcConfig(swaths=given).swaths == found


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"swaths": "iw9"}, "swaths must be some of iw1, iw2, iw3 (or 1, 2, 3), instead got 'iw9'"),
        ({"swaths": []}, "swaths must be some of"),
        ({"polarization": "VX"}, "polarization must be VV, VH, HH or HV, instead got 'VX'"),
        ({"clip": "5,0,1,1"}, "clip must be xmin,ymin,xmax,ymax, each smallest first, instead got 5,0,1,1"),
        ({"clip": "0,0,1"}, "clip must be four numbers, xmin,ymin,xmax,ymax, instead got"),
        ({"median": 4}, "median must be odd, so that it has a middle, instead got 4"),
        ({"search_days": 0}, "search_days"),
        ({"dem": "d.tif", "height": 5.0}, "dem and height say the same thing twice"),
        ({"vertical": "egm96"}, "vertical is about an elevation model, and none is given"),
        ({"stable_ground": "a", "unstable_ground": "b"}, "say the same thing twice"),
        ({"parameters": {"chip": 3}}, "chip has a key of its own; say chip, not parameters.chip"),
        ({"parameters": {"frobnicate": 3}}, "SlcOffsets has no parameter 'frobnicate'"),
        ({"chips": 3}, "SlcConfig has no parameter 'chips'; it has swaths, polarization"),
        ({"compat": "gamma"}, "compat"),
    ],
)
def test_bad_values_are_said(values, said):
    with pytest.raises(ConfigError) as caught:
        SlcConfig.from_dict(values)
    assert said in str(caught.value)


def test_a_configuration_comes_back_from_yaml_json_and_a_record(tmp_path):
    config = SlcConfig(
        swaths="2", polarization="hh", aoi=[1, 2, 3, 4], chip="48x192", search_days=12, clip="0,1,2,3",
        parameters={"min_valid": 0.7}, isce_layout=True, max_memory="1GB",
    )  # fmt: skip
    assert (config.chip, config.aoi, config.max_memory) == ((48, 192), "1,2,3,4", 10**9)
    config.to_yaml(tmp_path / "run.yaml")
    config.to_json(tmp_path / "run.json")
    (tmp_path / "record.json").write_text(f'{{"configuration": {config.to_json()}, "seconds": 3}}', encoding="utf-8")
    for name in ("run.yaml", "run.json", "record.json"):
        assert SlcConfig.from_file(tmp_path / name) == config
    changed = SlcConfig.from_file(tmp_path / "run.yaml", step=(16, 64), parameters={"min_valid": 0.9}, crs=None)
    assert changed == config.model_copy(update={"step": (16, 64), "parameters": {"min_valid": 0.9}})


ARRAYS = {"d_row": np.arange(6, dtype=np.float32).reshape(2, 3), "flags": np.ones((2, 3), np.uint16)}


def test_what_is_kept_comes_back_and_goes(tmp_path):
    out = tmp_path / "out"
    kept = Kept(out, "abc")
    assert kept.load("iw1-vv-1") is None
    assert not out.exists(), "nothing is made before the first burst is finished"
    kept.save("iw1-vv-1", ARRAYS)
    found = Kept(out, "abc").load("iw1-vv-1")
    assert found.keys() == ARRAYS.keys()
    for name, values in ARRAYS.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)
    assert Kept(out, "abd").load("iw1-vv-1") is None, "other settings, other results"
    assert sorted(file.suffix for file in kept.folder.iterdir()) == ["", ".npz"]
    kept.clear()
    assert list(out.iterdir()) == []


def test_what_is_damaged_is_measured_again(tmp_path):
    kept = Kept(tmp_path, "abc")
    kept.save("one", ARRAYS)
    path = kept.folder / "one.npz"
    path.write_bytes(path.read_bytes()[:-40])
    assert kept.load("one") is None
    path.write_bytes(b"")
    assert kept.load("one") is None


def test_pickled_objects_are_not_read(tmp_path):
    kept = Kept(tmp_path, "abc")
    kept.save("one", {"d_row": np.array([os.getcwd], dtype=object)})
    assert kept.load("one") is None


def test_folders_of_stopped_runs_go_and_those_of_running_ones_stay(tmp_path):
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    for key, owner in (("stopped", done.pid), ("running", os.getppid()), ("unknown", "")):
        folder = Kept(tmp_path, key).folder
        folder.mkdir()
        (folder / "owner").write_text(str(owner), encoding="ascii")
    Kept(tmp_path, "mine").clear()
    assert [path.name for path in tmp_path.iterdir()] == [Kept(tmp_path, "running").folder.name]


def test_a_disk_that_cannot_be_written_to_is_said(tmp_path):
    (tmp_path / "out").write_text("a file", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be written"):
        Kept(tmp_path / "out", "abc").save("one", ARRAYS)
