"""What goes wrong with the metadata of Sentinel-1 products, their pairs, their bursts and their orbits.

The numbers in the docstrings are those of the project's list of faults.
"""

from __future__ import annotations

import re
import shutil
import socket
import zipfile
from datetime import timedelta

import numpy as np
import pytest

from conftest import write_tif
from products_s1 import START, Recipe, list_again, write_burst, write_eof, write_safe
from sensetrack.errors import (
    ConfigError,
    InputError,
    MetadataError,
    NameMismatchWarning,
    UnlikePairWarning,
    UnsafeInputError,
)
from sensetrack.sentinel import open_sentinel1
from sensetrack.sentinel.s1 import require_alike
from sensetrack.sentinel.simulate_s2 import S2Recipe, write_product
from sensetrack.workflow.config import TrackConfig
from sensetrack.workflow.scenes import open_scenes
from test_65_sentinel1_faults import change, fails, one, products, safe  # noqa: F401  fixtures
from test_80_faults import at_most


@pytest.mark.parametrize("place", ["manifest.safe", "annotation/s1a-iw1-slc-vh-*.xml"])
@pytest.mark.parametrize(
    "prolog",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:{port}/x.dtd">',
    ],
)
def test_entities_and_dtds_are_forbidden(cli, safe, place, prolog):
    """78."""
    (path,) = safe.glob(place)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        head, _, rest = path.read_text().partition("?>")
        path.write_text(f"{head}?>{prolog.replace('{port}', str(server.getsockname()[1]))}{rest}")
        if path.name != "manifest.safe":
            list_again(safe, Recipe())
        with at_most(2):
            fails(cli, safe, "forbidden entity or DTD", kind=UnsafeInputError)
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<product><adsHeader>", "is damaged XML"),
        (b"<product>\n\n</adsHeader></product>", "line 3"),
        (b"<?xml version='1.0' encoding='UTF-8'?><product>\xff\xfe</product>", "damaged XML"),
        (b"<?xml version='1.0' encoding='no-such'?><product/>", "no readable XML"),
        (b"<!DOCTYPE html><html></html>", "is an HTML page"),
        (b"   ", "is empty"),
    ],
)
def test_broken_xml_is_not_a_missing_tag(cli, safe, content, words):
    """79."""
    path = one(safe, "annotation/s1a-iw1-slc-vh-*.xml")
    path.write_bytes(content)
    list_again(safe, Recipe())
    fails(cli, safe, words, path.name, kind=MetadataError)


@pytest.mark.parametrize(
    ("pattern", "new", "words"),
    [
        (r"<incidenceAngle>31<", "<incidenceAngle>NaN<", "incidenceAngle must be a number, instead got 'NaN'"),
        (r"<incidenceAngle>\d+<", "<incidenceAngle>steep<", "incidenceAngle must be a number, instead got 'steep'"),
        (r"<incidenceAngle>\d+</incidenceAngle>", "", "incidenceAngle is missing"),
        (r"<geolocationGridPoint>.*</geolocationGridPoint>", "", "geolocationGridPointList must hold a grid"),
        (r"<geolocationGridPoint>", "<other>", None),
        (r"<pixel>20</pixel>", "<pixel>21</pixel>", "must hold a grid of points, instead got 6"),
        (r"<numberOfLines>", "<numberOfLines>9999999999", "must be a number of pixels, instead got 9999"),
        (r"<azimuthTimeInterval>[^<]*", "<azimuthTimeInterval>0", "azimuthTimeInterval must be above 0, instead got 0"),
        (r"<radarFrequency>[^<]*</radarFrequency>", "", "radarFrequency is missing"),
        (r"<productFirstLineUtcTime>[^<]*", "<productFirstLineUtcTime>noon", "productFirstLineUtcTime must be a time"),
        (r"<orbitList.*</orbitList>", "<orbitList/>", "orbitList: an orbit must have at least 4 state"),
        (r"<x>[^<]*", "<x>inf", "position/x must be a number, instead got 'inf'"),
        (r"Earth Fixed", "GM2000", "frame of an orbit must be Earth Fixed, instead got 'GM2000'"),
        (r"<firstValidSample count='12'>-1 ", "<firstValidSample>", "firstValidSample must have 12 values"),
        (r"(lastValidSample count='12'>-1) 39", r"\1 41", "lastValidSample must lie below 41"),
        (r"<linesPerBurst>12", "<linesPerBurst>13", "2 bursts of 13 x 41 must make the image, 24 x 41"),
        (r"<t0>5.3e-03</t0>", "<t0/>", "t0 is empty"),
        (r"<dcEstimate>.*</dcEstimate>", "", "must have Doppler and FM rate records, instead got none"),
        (r"<projection>Slant Range", "<projection>Map", "Slant Range or Ground Range, instead got 'map'"),
        (r"<swath>IW1", "<swath>IW3", "swath must be that of its product, IW1, instead got IW3"),
        (r"<missionId>S1A", "<missionId>S1B", "missionId must be that of its product, S1A, instead got S1B"),
    ],
)  # fmt: skip
def test_what_an_annotation_lacks_is_named(cli, safe, pattern, new, words):
    """22, 80."""
    path = one(safe, "annotation/s1a-iw1-slc-vh-*.xml")
    if words is None:
        pattern, new, words = r"<geolocationGridPoint>.*?</geolocationGridPoint>", "", "instead got 5 that are none"
    change(path, pattern, new)
    fails(cli, safe, words, path.name)


@pytest.mark.parametrize(
    ("tag", "new", "words"),
    [
        (r"<\w+:relativeOrbitNumber.*?</\w+:relativeOrbitNumber>", "", "relativeOrbitNumber[@type='start'] is missing"),
        (r"pass>DESCENDING", "pass>SIDEWAYS", "pass must be ASCENDING or DESCENDING, instead got 'sideways'"),
        (r"ascendingNodeTime>[^<]*", "ascendingNodeTime>", "ascendingNodeTime is empty"),
        (r"<\w+:transmitter.*</\w+:transmitterReceiverPolarisation>", "", "must be VV, VH, HH or HV, instead got none"),
        (r"SENTINEL-1", "SENTINEL-2", "familyName must be SENTINEL-1"),
    ],
)
def test_what_a_manifest_lacks_is_named(cli, safe, tag, new, words):
    """80."""
    change(safe / "manifest.safe", tag, new)
    fails(cli, safe, words, kind=MetadataError)


@pytest.mark.parametrize(
    ("place", "pattern", "new", "words"),
    [
        ("calibration-*iw1*vv*", r"<sigmaNought count='3'>\w+ ", "<sigmaNought count='3'>", "one value per pixel"),
        ("calibration-*iw1*vv*", r"<betaNought count='3'>237", "<betaNought count='3'>0", "numbers above 0"),
        ("calibration-*iw1*vv*", r"<gamma count='3'>30", "<gamma count='3'>x", "gamma must be a list of numbers"),
        ("calibration-*iw1*vv*", r"<calibrationVector>.*</calibrationVector>", "", "calibrationVector is missing"),
        ("noise-*iw1*vv*", r"<noiseRangeVector>.*</noiseRangeVector>", "", "noiseVectorList is missing or empty"),
        (
            "noise-*iw1*vv*",
            r"<noiseAzimuthLut count='3'>1.2 ",
            "<noiseAzimuthLut>",
            "one value per line, instead got 2",
        ),
        ("noise-*iw1*vv*", r"<pixel count='3'>0 20 40", "<pixel>0 40 20", "must be finite and ascending"),
    ],
)
def test_tables_that_do_not_fit_are_named(safe, place, pattern, new, words):
    path = one(safe, f"annotation/calibration/{place}.xml")
    change(path, pattern, new)
    swath = open_sentinel1(safe).swath("iw1/vv")
    with pytest.raises(MetadataError, match=re.escape(words)) as caught:
        _ = swath.calibration if place.startswith("calibration") else swath.noise
    assert path.name in str(caught.value)


@pytest.mark.parametrize("kind", ["calibration", "noise"])
def test_a_table_of_another_swath(safe, kind):
    path, other = (one(safe, f"annotation/calibration/{kind}-*{swath}*vv*.xml") for swath in ("iw1", "iw2"))
    shutil.copy(other, path)
    list_again(safe, Recipe())
    swath = open_sentinel1(safe).swath("iw1/vv")
    with pytest.raises(InputError, match="must be of swath iw1/vv, as its name says, instead got iw2/vv") as caught:
        getattr(swath, kind)
    assert path.name in str(caught.value)


@pytest.mark.parametrize("kind", ["calibration", "noise"])
def test_a_table_that_the_manifest_lists_is_missing(safe, kind):
    path = one(safe, f"annotation/calibration/{kind}-*iw1*vv*.xml")
    path.unlink()
    swath = open_sentinel1(safe).swath("iw1/vv")
    with pytest.raises(MetadataError, match=f"{path.name} is missing"):
        getattr(swath, kind)


# ---------------------------------------------------------------------------------------------------------------------
# Names, pairs, bursts, orbits


def test_a_name_that_contradicts_the_manifest_is_said_and_the_manifest_counts(safe):
    """81."""
    path = safe.rename(safe.with_name(safe.name.replace("S1A_IW", "S1B_EW").replace("0609E3", "0609E4")))
    with pytest.warns(NameMismatchWarning) as caught:
        product = open_sentinel1(path)
    told = str(caught[0].message)
    for word in ("platform S1B (manifest: S1A)", "mode EW (manifest: IW)", "datatake 0609E4 (manifest: 0609E3)"):
        assert word in told
    assert "start" not in told
    assert product.info.platform == "S1A"


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (Recipe(relative_orbit=53), "relative orbit of the reference, 52, instead got 53"),
        (Recipe(orbit_pass="ASCENDING"), "pass of the reference, descending, instead got ascending"),
        (Recipe(mode="EW", swaths=("EW1",)), "mode of the reference, IW, instead got EW"),
        (Recipe(product="GRD", swaths=("IW",)), "product type of the reference, SLC, instead got GRD"),
        (
            Recipe(polarisations=("HH", "HV"), letters="DH"),
            "polarisation of the reference, VV, VH, instead got HH, HV",
        ),
    ],
)
def test_products_that_are_no_pair(products, tmp_path, recipe, words):
    """83."""
    first, second = open_sentinel1(products[0]), open_sentinel1(write_safe(tmp_path, recipe))
    with pytest.raises(InputError, match=words) as caught:
        require_alike(first, second)
    assert str(second.path) in str(caught.value)
    with pytest.warns(UnlikePairWarning, match=words):
        require_alike(first, second, force=True)
    with pytest.raises(InputError, match=words):
        open_scenes(first.path, second.path, TrackConfig())


def test_radar_with_something_else_is_no_pair(products, tmp_path):
    """83."""
    optical = write_product(tmp_path, {"B08": np.full((30, 42), 0.2, np.float32)}, S2Recipe())
    for first, second, name in ((products[0], optical, "Sentinel2"), (optical, products[0], "Sentinel1")):
        words = f"must be of the mission of the reference.*instead got {name.replace('l', 'l-')}"
        with pytest.raises(InputError, match=words):
            open_scenes(first, second, TrackConfig())
    raster = write_tif(tmp_path / "a.tif", np.ones((30, 42), np.float32))
    with pytest.raises(ConfigError, match="is in the geometry of its radar, not on a map; prepare it first"):
        open_scenes(raster, products[0], TrackConfig())


def test_another_satellite_and_day_of_the_same_track_are_a_pair(products, tmp_path):
    """82: either order."""
    later = Recipe(platform="S1C", start=START + timedelta(days=6))
    first, second = open_sentinel1(products[0]), open_sentinel1(write_safe(tmp_path, later))
    require_alike(first, second)
    require_alike(second, first)
    require_alike(first, first)
    assert second.info.start - first.info.start == timedelta(days=6)


def test_a_burst_alone_and_a_burst_of_another(cli, tmp_path):
    path = write_burst(tmp_path, Recipe(), 1)
    xml = path.with_suffix(".xml")
    other = path.with_name(path.name.replace("000101", "000109"))
    shutil.copy(path, other)
    shutil.copy(xml, other.with_suffix(".xml"))
    fails(cli, other, "must be one of those of its metadata, 100, 101, instead got 109")
    text = xml.read_text()
    xml.write_text(text.replace("<swath>IW2</swath>", "<swath>IW3</swath>"))
    fails(cli, xml, "metadata/product of IW2 VV is missing", kind=MetadataError)
    xml.unlink()
    fails(cli, path, f"{xml.name} is missing")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("EARTH_FIXED", "INERTIAL", "Ref_Frame must be EARTH_FIXED, instead got 'INERTIAL'"),
        ("Sentinel-1A", "Sentinel-1B", "Mission must be Sentinel-1A, instead got 'Sentinel-1B'"),
        ("<File_Type>AUX_POEORB", "<File_Type>AUX_RESORB", "File_Type must be AUX_POEORB, instead got 'AUX_RESORB'"),
        ("NOMINAL", "DEGRADED", "Quality of state vectors must be NOMINAL, instead got DEGRADED"),
        ("<Data_Block", "<!DOCTYPE x []><Data_Block", "damaged XML"),
        ("<X unit='m'>", "<X unit='m'>x", "X must be a number"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_orbit_files_that_are_not_what_they_say(products, tmp_path, old, new, words, zipped):
    """86."""
    path = write_eof(tmp_path, extra={old: new}, zipped=zipped)
    product = open_sentinel1(products[0], orbits=tmp_path)
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        product.swath("iw1/vv")
    assert path.name in str(caught.value)


def test_an_orbit_file_that_ends_too_early_is_named(products, tmp_path):
    """86: its name says it covers the product, its state vectors do not."""
    path = write_eof(tmp_path, step=0.1)
    with pytest.raises(MetadataError, match="its state vectors must cover 2023-09-04T06:37:30 to 06:37:50") as caught:
        open_sentinel1(products[0], orbits=path).swath("iw1/vv")
    assert path.name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"), [("none.EOF", "not found"), ("orbit.xml", "an orbit file is called like S1A_OPER_AUX_POEORB")]
)
def test_orbit_places_that_are_none(products, tmp_path, name, words):
    """86."""
    if name == "orbit.xml":
        (tmp_path / name).write_text("<x/>")
    with pytest.raises(InputError, match=words):
        open_sentinel1(products[0], orbits=tmp_path / name).swath("iw1/vv")


def test_a_zip_of_orbits_with_two_files(products, tmp_path):
    path = write_eof(tmp_path, zipped=True)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("another.EOF", "x")
    with pytest.raises(InputError, match="must hold one file that is called like"):
        open_sentinel1(products[0], orbits=path).swath("iw1/vv")
