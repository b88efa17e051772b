"""`sensetrack slc --fetch`: orbit files and heights that were not given come from the network, and only then."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

import slc_pairs
from archive_answers import bucket
from loopback import internet
from sensetrack.acquire import network
from sensetrack.cli import run
from sensetrack.sentinel.s1 import open_sentinel1
from sensetrack.workflow import slc_fetch
from sensetrack.workflow.slc_config import SlcConfig

ORBITS = "s1-orbits.s3.amazonaws.com"


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    return slc_pairs.pair(tmp_path_factory.mktemp("pair"), swaths=("IW2",), lines=60, samples=120)[:2]


@pytest.fixture
def net(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(network, "first_wait", lambda: 0.0)
    with internet(tmp_path_factory.mktemp("net")) as (hosts, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield hosts


@pytest.fixture
def asked(monkeypatch):
    """What heights were asked for; a file is left in their place."""
    seen = []

    def fetch_elevation(query, area, path):
        seen.append((query.model, area))
        Path(path).write_text("heights")

    monkeypatch.setattr(slc_fetch, "fetch_elevation", fetch_elevation)
    return seen


def names(products):
    for path in products:
        start = open_sentinel1(path).info.start
        day, made = timedelta(days=1), start + timedelta(days=21)
        yield (
            f"AUX_POEORB/S1A_OPER_AUX_POEORB_OPOD_{made:%Y%m%dT080000}_V{start - day:%Y%m%dT225942}_"
            f"{start + day:%Y%m%dT005942}.EOF"
        )


def test_what_is_not_given_is_fetched_once(net, asked, products, tmp_path):
    keys = list(names(products))
    net.hosts[ORBITS] = bucket(keys, dict.fromkeys(keys, b'<?xml version="1.0"?><x/>'))
    config = slc_fetch.with_fetched(*products, SlcConfig(), tmp_path / "new")
    assert config.orbits == str(tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").glob("*.EOF")) == sorted(key[11:] for key in keys)
    assert (config.vertical, Path(config.dem).read_text()) == ("ellipsoid", "heights")
    ((model, (west, south, east, north)),) = asked
    assert model == "glo_30"
    points = open_sentinel1(products[0]).swaths["iw2/vv"].geolocation
    assert (west, east) == pytest.approx((np.min(points.longitude), np.max(points.longitude)), abs=0.003)
    assert (south, north) == pytest.approx((np.min(points.latitude), np.max(points.latitude)), abs=0.003)
    assert slc_fetch.with_fetched(*products, SlcConfig(), tmp_path / "new") == config
    assert len(asked) == 1
    assert len([one for one in net.asked if one.path != "/"]) == 2, "each orbit file once"


def test_what_is_given_stays(net, asked, products, tmp_path):
    given = SlcConfig(orbits="mine", dem="mine.tif")
    assert slc_fetch.with_fetched(*products, given, tmp_path) == given
    assert slc_fetch.with_fetched(*products, SlcConfig(orbits="mine", height=3), tmp_path).dem is None
    assert asked == net.asked == []


def test_without_it_nothing_goes_to_the_network(net, products, tmp_path):
    words = ["slc", *map(str, products), "-o", str(tmp_path / "out"), "--chip", "16x32", "--step", "8x20", "--quiet"]
    assert run([*words, "--search", "3x5"]) in {0, 3}
    assert net.asked == []


def test_no_network_is_said(net, products, tmp_path, monkeypatch, capsys):
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert run(["slc", *map(str, products), "-o", str(tmp_path / "out"), "--fetch"]) == 5
    assert "no connection to s1-orbits.s3.amazonaws.com" in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
