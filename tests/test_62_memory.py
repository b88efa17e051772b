"""A limit of memory costs workers, never results; what cannot fit is refused before anything is computed."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import read_tif
from sensetrack.errors import ConfigError
from sensetrack.ot.algorithms import NCC, OpenCVOpticalFlow
from sensetrack.workflow.memory import workers_within


def test_workers_are_what_the_limit_allows():
    shape = (10_980, 10_980)
    assert workers_within(2 * 10**9, 2, NCC(), shape) == 2
    assert workers_within(400 * 10**6, 8, NCC(), shape) < 4
    assert workers_within(10**12, 8, NCC(), shape) == 8
    with pytest.raises(
        ConfigError, match=r"10980 x 10980 posts and a tile need about 19\.\d GB, more than the 2\.0 GB"
    ):
        workers_within(2 * 10**9, 2, OpenCVOpticalFlow(), shape)
    assert workers_within(2 * 10**9, 2, OpenCVOpticalFlow(), (1000, 1100)) == 2


def test_the_command_line_keeps_within_it(cli, pair_files, tmp_path):
    small = ("--chip", 32, "--step", 16, "--search", 8)
    assert cli("track", *pair_files, "-o", tmp_path / "a", *small, "--workers", 3, "--max-memory", "15MB").code == 0
    assert cli("track", *pair_files, "-o", tmp_path / "b", *small, "--workers", 3).code == 0
    np.testing.assert_array_equal(*(read_tif(tmp_path / name / "offsets.tif") for name in "ab"))
    refused = cli("track", *pair_files, "-o", tmp_path / "c", *small, "--max-memory", "1MB")
    assert refused.code == 2
    assert "more than the 1 MB of --max-memory" in refused.error
    assert not (tmp_path / "c").exists()
    assert cli("track", *pair_files, "-o", tmp_path / "c", "--max-memory", "much").code == 2
