"""Which bursts of two products go together, and pairs that do not: all found out before anything is computed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import shapely

from products_s1 import Recipe, write_safe
from sensetrack.errors import ConfigError, InputError, MetadataError, NoOverlapError
from sensetrack.sar.geometry import rdr2geo
from sensetrack.sar.simulate import Scene
from sensetrack.sentinel import open_sentinel1
from sensetrack.sentinel.s1_pair import pair_bursts, spectra
from sensetrack.sentinel.s1_types import Focusing
from sensetrack.sentinel.simulate_s1 import S1Recipe, later, plan, write_pair, write_product

LINES, SAMPLES = 40, 72


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    first = plan(S1Recipe(swaths=("IW1", "IW2"), bursts=3, lines=LINES, samples=SAMPLES))
    return write_pair(tmp_path_factory.mktemp("pair"), Scene(height=300.0), first, later(first, east=40.0))


@pytest.fixture
def products(paths):
    return tuple(open_sentinel1(path) for path in paths)


def with_bursts(product, key, change):
    """Change the bursts of a swath."""
    swath = product.swaths[key]
    product.swaths._known[key] = dataclasses.replace(swath, bursts=tuple(change(list(swath.bursts))))


def numbers(pairs):
    return [(pair.key, pair.first, pair.second) for pair in pairs]


def test_bursts_of_all_swaths_go_together_by_number(products):
    reference, secondary = products
    pairs = pair_bursts(reference, secondary)
    assert numbers(pairs) == [(key, n, n) for key in ("iw1/vv", "iw2/vv") for n in range(3)]
    assert len({pair.id for pair in pairs}) == 6
    pair = pairs[4]
    assert pair.id == f"iw2-vv-{reference.swaths['iw2/vv'].bursts[1].burst_id}"
    assert pair.reference_burst is reference.swaths["iw2/vv"].bursts[1]
    assert pair.secondary_burst is secondary.swaths["iw2/vv"].bursts[1]
    assert pair.reference_grid.first_time == pair.reference_burst.time
    assert pair.reference_grid.shape == pair.secondary_grid.shape == (LINES, SAMPLES)
    assert (pair.secondary_grid.epoch - pair.reference_grid.epoch).days in (11, 12)
    assert pair.bands == pytest.approx((313.0 * 2.0555563e-3, 48.3e6 / 64.34523812571428e6))


@pytest.mark.parametrize("named", [True, False])
def test_products_that_begin_a_burst_apart(products, named):
    """The secondary lacks the first burst, the reference the last: by number, and by the time since the equator."""
    reference, secondary = products

    def unnamed(bursts):
        return [dataclasses.replace(burst, burst_id=burst.burst_id if named else None) for burst in bursts]

    with_bursts(reference, "iw1/vv", lambda bursts: unnamed(bursts)[:2])
    with_bursts(secondary, "iw1/vv", lambda bursts: unnamed(bursts)[1:])
    pairs = pair_bursts(reference, secondary, swaths=("IW1",))
    assert numbers(pairs) == [("iw1/vv", 1, 0)]
    assert pairs[0].id == (f"iw1-vv-{pairs[0].reference_burst.burst_id}" if named else "iw1-vv-2")


def test_times_since_the_equator_may_be_counted_from_another_one(products):
    reference, secondary = products
    orbit = 12 * 86_400 / 175

    def moved(bursts):
        return [dataclasses.replace(b, burst_id=None, anx_time=b.anx_time - orbit + 0.004) for b in bursts]

    with_bursts(secondary, "iw2/vv", moved)
    assert numbers(pair_bursts(reference, secondary, swaths=("iw2",))) == [("iw2/vv", n, n) for n in range(3)]

    def unknown(bursts):
        return [dataclasses.replace(b, burst_id=None, anx_time=float("nan")) for b in bursts]

    with_bursts(secondary, "iw2/vv", unknown)
    with pytest.raises(
        NoOverlapError, match=r"must have a burst of the reference, .* to .*, instead got without numbers"
    ):
        pair_bursts(reference, secondary, swaths=("iw2",))


def test_bursts_that_begin_too_far_apart(products):
    reference, secondary = products
    swath = secondary.swaths["iw1/vv"]
    by = 50 * swath.info.line_interval

    def late(bursts):
        return [dataclasses.replace(burst, time=burst.time + by) for burst in bursts]

    with_bursts(secondary, "iw1/vv", late)
    with pytest.raises(
        InputError, match=r"must begin at most 0.09 s from .*instead got \+0.102 s: too little"
    ) as error:
        pair_bursts(reference, secondary, swaths=("iw1",))
    assert error.value.path == secondary.path


def test_an_area_chooses_bursts(products):
    reference, secondary = products
    grid = reference.swaths["iw2/vv"].burst_grid(1)
    ground = rdr2geo(grid, grid.time(LINES // 2), grid.slant_range(SAMPLES // 2), 300.0)
    lon, lat = float(np.degrees(ground.lon)), float(np.degrees(ground.lat))
    for turn in (0, 360, -360):
        area = shapely.box(lon + turn - 1e-4, lat - 1e-4, lon + turn + 1e-4, lat + 1e-4)
        assert numbers(pair_bursts(reference, secondary, area=area)) == [("iw2/vv", 1, 1)]
    everything = shapely.box(lon - 2, lat - 2, lon + 2, lat + 2)
    assert len(pair_bursts(reference, secondary, area=everything)) == 6
    with pytest.raises(NoOverlapError, match=r"area must reach into a burst .* instead got 20.000 to 21.000 E, 5.000"):
        pair_bursts(reference, secondary, area=shapely.box(20, 5, 21, 6))


def test_swaths_and_polarisations(products):
    reference, secondary = products
    assert {pair.key for pair in pair_bursts(reference, secondary, swaths=("IW2",), polarisation="vv")} == {"iw2/vv"}
    with pytest.raises(ConfigError, match="swath must be one of IW1, IW2, instead got 'IW3'"):
        pair_bursts(reference, secondary, swaths=("iw3",))
    with pytest.raises(InputError, match="polarisation must be one of VV, instead got 'VH'"):
        pair_bursts(reference, secondary, polarisation="VH")


def test_products_without_a_common_burst_or_swath(tmp_path, products):
    reference = products[0]
    recipe = S1Recipe(swaths=("IW1", "IW2"), bursts=1, lines=LINES, samples=SAMPLES)
    far = write_product(tmp_path, Scene(), plan(dataclasses.replace(recipe, place=(7.0, 42.0))))
    with pytest.raises(NoOverlapError, match=r"must have a burst of the reference, \d+ to \d+, instead got \d+ to \d+"):
        pair_bursts(reference, open_sentinel1(far))
    one = write_product(tmp_path / "one", Scene(), plan(dataclasses.replace(recipe, swaths=("IW2",))))
    assert {pair.key for pair in pair_bursts(reference, open_sentinel1(one))} == {"iw2/vv"}
    with pytest.raises(NoOverlapError, match="must have the swaths of the reference, IW1, instead got IW2"):
        pair_bursts(reference, open_sentinel1(one), swaths=("IW1",))


UNLIKE = {
    "track": (Recipe(relative_orbit=53), "relative orbit of the reference, 52, instead got 53"),
    "pass": (Recipe(orbit_pass="ASCENDING"), "pass of the reference, descending, instead got ascending"),
    "mode": (Recipe(mode="EW", swaths=("EW1",)), "mode of the reference, IW, instead got EW"),
    "kind": (Recipe(product="GRD", swaths=("IW",)), "product type of the reference, SLC, instead got GRD"),
    "polarisation": (
        Recipe(polarisations=("HH", "HV"), letters="DH"), "must have a polarisation of the reference, VV, VH, instead",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNLIKE)
def test_products_that_are_not_alike(tmp_path, name):
    recipe, told = UNLIKE[name]
    reference, secondary = write_safe(tmp_path / "a"), write_safe(tmp_path / "b", recipe)
    with pytest.raises(InputError, match=told) as error:
        pair_bursts(open_sentinel1(reference), open_sentinel1(secondary))
    assert error.value.exit_code == 3
    assert error.value.path == secondary


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        (Recipe(product="GRD", swaths=("IW",)), "must be an SLC, instead got a GRD"),
        (Recipe(mode="SM", swaths=("S3",)), r"s3/vv must be made of bursts \(TOPS\), instead it is one image \(SM\)"),
    ],
)
def test_products_that_have_no_bursts(tmp_path, recipe, told):
    products = [open_sentinel1(write_safe(tmp_path / name, recipe)) for name in "ab"]
    with pytest.raises(InputError, match=told):
        pair_bursts(*products)


def test_measurements_that_are_empty_are_named(tmp_path):
    paths = [write_safe(tmp_path / name) for name in "ab"]
    assert len(pair_bursts(*map(open_sentinel1, paths))) == 4
    for file in paths[1].rglob("*.tiff"):
        file.write_bytes(b"")
    with pytest.raises(InputError, match=r"measurements that are empty \(0 bytes\)") as error:
        pair_bursts(*map(open_sentinel1, paths))
    assert error.value.path == paths[1]
    assert all(file.name in str(error.value) for file in paths[1].rglob("*.tiff"))


def test_bandwidths_that_are_missing_or_cannot_be(products):
    info = products[0].swaths["iw1/vv"].info
    azimuth, across = spectra(info)
    assert (azimuth.hamming, across.hamming) == (0.70, 0.75)
    flat = dataclasses.replace(info, range_focusing=Focusing("NONE", 0.75, 6e7, 6e7, 6e7, 1))
    assert spectra(flat)[1].hamming == 1.0
    with pytest.raises(MetadataError, match="bandwidth in azimuth of iw1/vv is missing"):
        spectra(dataclasses.replace(info, azimuth_focusing=None))
    wide = dataclasses.replace(info, range_focusing=Focusing("Hamming", 0.75, 7e7, 7e7, 7e7, 1))
    with pytest.raises(MetadataError, match=r"at most the sampling rate, 6.43452e\+07 Hz, instead got 7e\+07 Hz"):
        spectra(wide)
