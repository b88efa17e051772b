"""Sentinel-1 products: what a product says is what is read, of every kind and generation."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from products_s1 import NODE, START, Recipe, pixels, write_burst, write_eof, write_safe
from sensetrack.errors import ConfigError, EnvironmentFault, OrbitWarning, ProductNameError
from sensetrack.sentinel import S1ManifestParser, open_sentinel1, reformat_node_time, s1_mean_incidence_angle_rad
from sensetrack.sentinel.s1_names import parse_name
from sensetrack.sentinel.s1_xml import utc

GRD = Recipe(product="GRD", swaths=("IW",), lines=30)
KINDS = {
    "IW SLC": Recipe(),
    "IW GRD": GRD,
    "EW SLC": Recipe(mode="EW", swaths=("EW1", "EW5"), polarisations=("HH", "HV"), letters="DH"),
    "EW GRD": Recipe(mode="EW", product="GRD", swaths=("EW",), polarisations=("HH",), letters="SH", platform="S1B"),
    "SM SLC": Recipe(mode="SM", swaths=("S3",), polarisations=("VV",), letters="SV", platform="S1C"),
    "SM GRD": Recipe(
        mode="SM", product="GRD", swaths=("S6",), polarisations=("HH", "HV"), letters="DH", platform="S1D"
    ),
}
SOME = (slice(3, 11), slice(5, 9))


@pytest.fixture(scope="module")
def slc(tmp_path_factory):
    """A folder, never changed."""
    return write_safe(tmp_path_factory.mktemp("slc"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("zipped", [False, True])
def test_every_kind_of_product(tmp_path, kind, zipped):
    recipe = KINDS[kind]
    product = open_sentinel1(write_safe(tmp_path, recipe, zipped=zipped))
    info = product.info
    assert (info.platform, info.mode, info.product) == (recipe.platform, recipe.mode, recipe.product)
    assert (info.relative_orbit, info.absolute_orbit, info.orbit_pass) == (52, 50174, "descending")
    assert (info.start, info.node_time, info.ipf, info.slices) == (START, NODE, "003.61", (28, 30))
    assert product.epoch == START.replace(microsecond=0)
    assert list(product.swaths) == sorted(f"{swath}/{pol}".lower() for swath, pol in recipe.keys)
    for swath, pol in recipe.keys:
        found = product.swath(f"{swath}/{pol}")
        assert found.shape == (recipe.height, recipe.samples)
        assert len(found.bursts) == (recipe.bursts if recipe.tops else 0)
        truth = pixels(recipe, swath, pol)
        seen = found.read(*SOME)
        assert seen.dtype == (np.complex64 if recipe.product == "SLC" else np.float32)
        np.testing.assert_array_equal(seen, truth[SOME])
        assert found.measurement.read(slice(0, 0), SOME[1]).shape == (0, 4)


def test_names_of_the_first_release(slc):
    info = S1ManifestParser.create_from_filename(slc)
    assert (info.ORBIT_PASS, info.RELATIVE_ORBIT, info.PLATFORM, info.MODE) == ("DESCENDING", 52, "S1A", "IW")
    assert (info.PRODUCT, info.RES, info.LEVEL, info.CLASS) == ("SLC", "_", "1", "S")
    assert (info.POLARIZATION, info.ABSOLUTE_ORBIT, info.DATAID, info.ID) == ("DV", 50174, "0609E3", "DAA1")
    assert info.NODE_TIME == "20230904T055646992390" == reformat_node_time("2023-09-04T05:56:46.992390")
    assert S1ManifestParser.s1slc_orbit_properties(slc) == ("DESCENDING", "20230904T055646992390", 52)
    said = S1ManifestParser.parse_metadata(slc)
    assert (said["NODE_TIME"], said["relative_orbit"]) == (info.NODE_TIME, 52)
    parts = S1ManifestParser.parse_filename_regex(f"folder/{slc.name}")
    start, stop = (datetime(2023, 9, 4, 6, 37, second, tzinfo=UTC) for second in (30, 50))
    assert parts == ("S1A", "IW", "SLC", "_", "1", "S", "DV", start, stop, 50174, "0609E3", "DAA1")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("S2A_MSIL1C_20240618T101559.SAFE", "called like S1A_IW"),
        (
            "S1E_IW_SLC__1SDV_20230904T063730_20230904T063757_050174_0609E3_DAA1",
            "S1A, S1B, S1C, S1D, instead got 'S1E'",
        ),
        ("S1A_WV_SLC__1SSV_20230904T063730_20230904T063757_050174_0609E3_DAA1", "IW, EW, SM, instead got 'WV'"),
        ("S1A_IW_RAW__0SDV_20230904T063730_20230904T063757_050174_0609E3_DAA1", "SLC, GRD, instead got 'RAW'"),
        ("S1A_IW_SLC__1SDV_20231304T063730_20230904T063757_050174_0609E3_DAA1", "instead got '20231304T063730'"),
    ],
)
def test_a_name_that_is_none(name, words):
    with pytest.raises(ProductNameError, match=words):
        parse_name(name)


def test_the_name_of_a_stripmap_product_has_its_beam():
    name = parse_name("S1A_S3_GRDH_1SDV_20230904T063730_20230904T063757_050174_0609E3_DAA1.zip")
    assert (name.mode, name.product, name.resolution) == ("S3", "GRD", "H")


def test_geometry_of_a_tops_swath(slc):
    swath = open_sentinel1(slc).swath("iw2/vv")
    grid, (first, second) = swath.radar_grid, swath.bursts
    ati = 2.055556299999998e-03
    # The second burst begins 10 lines after the first: they share 2 lines.
    assert (grid.lines, grid.samples, swath.info.lines) == (22, 41, 24)
    assert (grid.first_time, grid.line_interval, grid.look) == (1.213065, ati, 1)
    assert (first.line, second.line, first.time) == (0, 12, 1.213065)
    assert second.time - first.time == pytest.approx(10 * ati, abs=1e-6)
    assert grid.near_range == pytest.approx(0.5 * 299_792_458 * 5.5e-3, abs=1e-6)
    assert grid.range_spacing == pytest.approx(2.329562, abs=1e-5)
    assert grid.wavelength == pytest.approx(0.05546576, abs=1e-7)
    assert (first.first_valid[:2].tolist(), first.last_valid[:2].tolist()) == ([-1, 3], [-1, 39])
    assert (first.burst_id, second.burst_id) == (100, 101)
    assert swath.burst_grid(1).first_time == second.time
    assert swath.burst_grid(1).shape == (12, 41)
    # Each record counts from a range time of its own, and the nearest to the middle of the burst serves.
    assert (first.doppler.t0, first.fm_rate.t0) == (5.3e-3, 5.4e-3)
    assert (first.doppler.coefficients[0], second.doppler.coefficients[0]) == (11, 12)
    assert (first.fm_rate.coefficients[0], second.fm_rate.coefficients[0]) == (-2301, -2302)
    speed = np.linalg.norm(grid.orbit.state(first.middle_time)[1])
    assert first.steering == pytest.approx(2 * speed / 299_792_458 * 5.40500045433435e9 * np.radians(1.59), rel=1e-9)
    assert swath.info.range_focusing.processing_bandwidth == 5.65e7
    assert swath.info.azimuth_focusing.processing_bandwidth == 327
    assert swath.geolocation.incidence[0, 2] == pytest.approx(np.radians(34))
    assert swath.geolocation.longitude[1].tolist() == [-8, -9, -10]


def test_geometry_of_a_product_in_ground_range(tmp_path):
    grid = open_sentinel1(write_safe(tmp_path, GRD)).swath("iw/vh").radar_grid
    assert np.isnan(grid.range_spacing)
    assert grid.ground.spacing == 10
    assert grid.shape == (30, 41)
    # One second between the records, and one metre.
    time = (START - START.replace(microsecond=0)).total_seconds() + 0.25
    assert float(grid.slant_range(7.0, time)) == pytest.approx(8e5 + 0.25 + 0.52 * 70 + 1e-7 * 70**2, abs=1e-6)


def test_annotated_orbit(slc):
    orbit = open_sentinel1(slc).swath("iw1/vv").orbit
    assert (orbit.source, orbit.quality, orbit.times.size) == ("annotation", "auxiliary", 14)
    assert orbit.times[6] == 0.213065
    assert np.linalg.norm(orbit.state(0.7)[0]) == pytest.approx(7.07e6, abs=1)


def test_mean_incidence_angle_as_in_the_first_release(slc):
    # Two swaths of the polarisation: six points and one list each, every tag counting once.
    swaths = [[30 + j + k for j in range(3)] * 2 + [np.mean([40 + k, 50])] for k in (1, 2)]
    true = np.radians(np.mean(np.concatenate(swaths)))
    assert s1_mean_incidence_angle_rad(slc) == pytest.approx(true, rel=1e-12)
    assert s1_mean_incidence_angle_rad(slc, "vh") == pytest.approx(true, rel=1e-12)
    with pytest.raises(ConfigError, match="must be one of VV, VH, instead got 'HH'"):
        s1_mean_incidence_angle_rad(slc, "hh")


def test_mean_incidence_angle_without_vv(tmp_path):
    path = write_safe(tmp_path, KINDS["EW SLC"])
    assert 30 < np.degrees(s1_mean_incidence_angle_rad(path)) < 50


def test_calibration_belongs_to_its_swath(slc):
    product = open_sentinel1(slc)
    for key, k in {"iw1/vv": 2, "iw2/vv": 3, "iw1/vh": 12}.items():
        table = product.swath(key).calibration
        assert table.sigma0[1].tolist() == [100 * k, 100 * k + 10, 100 * k + 20]
        assert table.lines.tolist() == [-4, 8, 27]
        assert (table.beta0[0, 0], table.gamma0[0].tolist()) == (237, [30, 31, 32])


@pytest.mark.parametrize(
    ("form", "corner", "known"),
    [("vectors", (300 + 3) * 1.14, True), ("table", 297.0, True), ("zero", 0.0, False)],
)
def test_three_generations_of_noise(tmp_path, form, corner, known):
    noise = open_sentinel1(write_safe(tmp_path, Recipe(noise=form))).swath("iw1/vv").noise
    window = noise.window(slice(3, 5), slice(0, 41))
    assert window[0, 0] == pytest.approx(corner)
    assert noise.known is known


def test_a_product_without_noise_says_so(tmp_path, caplog):
    assert open_sentinel1(write_safe(tmp_path, Recipe(noise="none"))).swath("iw1/vv").noise is None
    assert "has no file of thermal noise of iw1/vv" in caplog.text


def test_old_annotations(tmp_path):
    """22: no numbers of bursts, FM rates as coefficients; a Doppler centroid that was not measured."""
    extra = {"<dataDcPolynomial count='3'>10 -1e4 1e7</dataDcPolynomial>": "<dataDcPolynomial count='0'/>"}
    swath = open_sentinel1(write_safe(tmp_path, Recipe(burst_ids=False, fm_polynomial=False, extra=extra))).swath(
        "iw1/vh"
    )
    assert [burst.burst_id for burst in swath.bursts] == [100, 101]
    assert swath.bursts[0].fm_rate.coefficients.tolist() == [-2301, 4.5e5, -7.8e7]
    assert swath.doppler[0].coefficients.tolist() == [1, 2]
    assert swath.doppler[1].coefficients.tolist() == [11, -1e4, 1e7]


def test_one_burst_of_asf(tmp_path):
    recipe = Recipe()
    whole = open_sentinel1(write_safe(tmp_path, recipe)).swath("iw2/vv")
    for path in (write_burst(tmp_path, recipe, 1), tmp_path / "S1_000101_IW2_20230904T063731_VV_DAA1-BURST.xml"):
        product = open_sentinel1(path)
        assert (list(product.swaths), product.info.relative_orbit) == (["iw2/vv"], 52)
        swath = product.swath("iw2/vv")
        (burst,) = swath.bursts
        assert (burst.line, burst.burst_id, burst.time) == (0, 101, whole.bursts[1].time)
        assert swath.radar_grid.first_time == burst.time
        assert swath.shape == swath.radar_grid.shape == (12, 41)
        np.testing.assert_array_equal(swath.read(*SOME), whole.read(slice(15, 23), SOME[1]))
        there, here = slice(12, 24), slice(0, 12)
        cols = slice(0, 41)
        np.testing.assert_allclose(swath.noise.window(here, cols), whole.noise.window(there, cols))
        np.testing.assert_allclose(
            swath.calibration.table().window(here, cols), whole.calibration.table().window(there, cols)
        )
        assert swath.geolocation.lines[:, 0].tolist() == [-12, 11]


def test_a_burst_whose_metadata_are_called_after_its_product(tmp_path):
    path = write_burst(
        tmp_path, Recipe(), 0, xml="S1A_IW_SLC__1SDV_20230904T063730_20230904T063757_050174_0609E3_DAA1_VV.xml"
    )
    assert open_sentinel1(path).swath("iw2/vv").bursts[0].burst_id == 100


# ---------------------------------------------------------------------------------------------------------------------
# Orbit files


def test_precise_before_restituted_before_annotated(tmp_path, slc):
    folder = tmp_path / "orbits"
    folder.mkdir()
    (folder / "readme.txt").write_text("x")
    with pytest.warns(OrbitWarning, match=r"no precise orbit file \(POEORB\) fits, used auxiliary \(annotation\)"):
        assert open_sentinel1(slc, orbits=folder).swath("iw1/vv").orbit.quality == "auxiliary"
    rest = write_eof(folder, "RESORB", shift=3.0)
    with pytest.warns(OrbitWarning, match="used restituted"):
        assert open_sentinel1(slc, orbits=folder).swath("iw1/vv").orbit.quality == "restituted"
    write_eof(folder, made="20230925T000000", shift=5.0)
    later = write_eof(folder, made="20230926T000000", shift=7.0, zipped=True)
    write_eof(folder, platform="S1B")
    write_eof(folder, start=START + timedelta(days=1), stop=START + timedelta(days=2), made="20231001T000000")
    product = open_sentinel1(slc, orbits=folder)
    for key in ("iw1/vv", "iw2/vh"):
        swath = product.swath(key)
        assert (swath.orbit.quality, swath.orbit.source) == ("precise", later.name)
        annotated = open_sentinel1(slc).swath(key).orbit
        difference = swath.orbit.state(0.9)[0] - annotated.state(0.9)[0]
        np.testing.assert_allclose(difference, [7, 0, 0], atol=0.01)
        assert swath.bursts[0].steering != 0
    assert product.describe()["orbit"] == f"precise ({later.name})"
    with pytest.warns(OrbitWarning):  # one file alone
        assert open_sentinel1(slc, orbits=[rest]).swath("iw1/vv").orbit.source == rest.name


def test_only_the_vectors_around_the_product_are_kept(tmp_path, slc):
    orbit = open_sentinel1(slc, orbits=write_eof(tmp_path)).swath("iw1/vv").orbit
    assert orbit.times[0] >= 0.21 - 60.001
    assert orbit.times[-1] <= 20.3 + 60.001


def test_an_annotated_orbit_from_the_downlink_is_said_once_and_recorded(tmp_path):
    product = open_sentinel1(write_safe(tmp_path, Recipe(orbit_source="Downlink")))
    with pytest.warns(OrbitWarning, match=r"annotated orbit \(Downlink\) is metres off; give an orbit file") as caught:
        assert {swath.orbit.quality for swath in product.swaths.values()} == {"downlink"}
    assert len(caught) == 1
    assert product.about()["orbit_warnings"] == ["its annotated orbit (Downlink) is metres off"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert product.on_orbit(write_eof(tmp_path)).swath("iw1/vv").orbit.quality == "precise"


def test_info_says_what_is_wrong_with_an_orbit_in_one_line(cli, tmp_path):
    said = cli("info", write_safe(tmp_path, Recipe(orbit_source="Downlink")))
    assert said.code == 0
    [line] = said.err.strip().splitlines()
    assert line.startswith("sensetrack: warning: ")
    assert line.endswith("its annotated orbit (Downlink) is metres off; give an orbit file")


def test_a_precise_orbit_can_be_asked_for(tmp_path, slc):
    product = open_sentinel1(slc, orbits=write_eof(tmp_path, "RESORB"), precise=True)
    with pytest.raises(EnvironmentFault, match=r"no precise orbit file \(POEORB\) of it, the best orbit is restituted"):
        product.swath("iw1/vv")
    assert open_sentinel1(slc, orbits=write_eof(tmp_path), precise=True).swath("iw1/vv").orbit.quality == "precise"


def test_an_orbit_file_of_another_day_does_not_serve(tmp_path, slc):
    path = write_eof(tmp_path, start=START + timedelta(seconds=5), stop=START + timedelta(days=1))
    with pytest.warns(OrbitWarning, match="used auxiliary"):
        assert open_sentinel1(slc, orbits=path).swath("iw1/vv").orbit.source == "annotation"


# ---------------------------------------------------------------------------------------------------------------------
# Times, command line


@pytest.mark.parametrize(
    ("text", "true"),
    [
        ("2023-09-04T06:37:30.213065", START),
        ("2023-09-04T06:37:30.213065Z", START),
        ("UTC=2023-09-04T06:37:30.2130650", START),
        ("2023-09-04T08:37:30.213065+02:00", START),
        ("2023-09-04 06:37:30.213065000", START),
        ("2023-09-04T06:37:30", START.replace(microsecond=0)),
        ("2016-12-31T23:59:60.250000", datetime(2017, 1, 1, 0, 0, 0, 250_000, UTC)),
    ],
)
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "UTC"])
def test_times_in_every_spelling(monkeypatch, tmp_path, text, true, zone):
    """85."""
    monkeypatch.setenv("TZ", zone)
    assert utc(text, "startTime", tmp_path) == true


def test_the_command_line_tells_all(cli, tmp_path, slc):
    said = json.loads(cli("info", slc, "--json").out)
    for key, value in {
        "mission": "S1A", "mode": "IW", "product_type": "SLC", "polarisations": ["VV", "VH"], "relative_orbit": 52,
        "orbit_pass": "descending", "absolute_orbit": 50174, "slice": "28 of 30", "processor": "003.61",
        "orbit": "auxiliary (annotation)", "swaths": ["iw1/vh", "iw1/vv", "iw2/vh", "iw2/vv"], "range": "slant",
        "heading_deg": -167.25, "acquired": "2023-09-04T06:37:30.213065+00:00",
    }.items():  # fmt: skip
        assert said[key] == value, key
    assert said["bursts"]["iw1/vv"] == [100, 101]
    assert said["rows_columns"]["iw2/vh"] == [24, 41]
    assert [part[0][0][0] for part in said["footprint"]["coordinates"]] != []  # across the 180th meridian
    text = cli("info", slc / "manifest.safe").out
    assert "relative orbit         52" in text
    assert "iw2/vh 24, 41" in text
    burst = write_burst(tmp_path, Recipe(), 1)
    assert json.loads(cli("info", burst, "--json").out)["bursts"] == {"iw2/vv": [101]}


def test_a_zip_is_read_where_it_is_and_says_that_unzipping_helps(tmp_path, caplog):
    path = write_safe(tmp_path, zipped=True)
    before = sorted(tmp_path.rglob("*"))
    with caplog.at_level("INFO"):
        open_sentinel1(path).swath("iw1/vv").read(*SOME)
    assert "windows come faster once it is unzipped" in caplog.text
    assert sorted(tmp_path.rglob("*")) == before


def test_names_of_files_in_capitals_and_odd_folders(tmp_path):
    """20, 30."""
    safe = write_safe(tmp_path, replace(GRD, polarisations=("VV",), letters="SV"))
    for path in sorted(safe.rglob("*.tiff")):
        path.rename(path.with_name(path.name.upper()))
    odd = safe.rename(tmp_path / "a valley; {$(touch PWNED)} é.SAFE")
    np.testing.assert_array_equal(open_sentinel1(odd).swath("iw/vv").read(*SOME), pixels(GRD, "IW", "VV")[SOME])
