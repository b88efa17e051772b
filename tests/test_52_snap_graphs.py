"""The SNAP graphs: what they do, and what they are filled with."""

from __future__ import annotations

import json
import math
import re
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from sensetrack.errors import (
    ConfigError,
    InputError,
    MetadataError,
    UnsafeInputError,
)
from sensetrack.snap_gpt import (
    Graph,
    SARPreprocessing,
    graph_names,
)
from sensetrack.snap_gpt.recipes import MEANINGS, RECIPES

PAGE = Path(__file__).parents[1] / "docs/howto/snap.md"
SLC = "S1A_IW_SLC__1SDV_20230101T053452_20230101T053519_046594_059583_AE45"
HOSTILE = [
    "; touch PWNED", "$(touch PWNED)", "`touch PWNED`", "a & b < c > \"d\" 'e'", "--> <x/>", "]]>",
    "two\nlines\r\tx", "中 é", "${output}", "${nobody}", "%PATH%", " lead and trail ",
]  # fmt: skip

# --- the graphs that come with sensetrack


def documented():
    rows = re.findall(r"^\| `(\S+)` \| [^|]+ \| (Read > [^|]+?) \|$", PAGE.read_text(encoding="utf-8"), re.M)
    return {name: tuple(steps.split(" > ")) for name, steps in rows}


def test_the_seven_graphs_are_those_of_the_first_release():
    assert set(graph_names()) == {member.value for member in SARPreprocessing} == set(RECIPES) == set(documented())
    assert len(graph_names()) == 7


@pytest.mark.parametrize("name", graph_names())
def test_graph_has_the_documented_order_and_says_what_it_is_for(name):
    graph = Graph.named(name)
    assert graph.operators == documented()[name]
    assert len(graph.about.split()) > 20
    assert {"input", "output", "geoRegion"} <= set(graph.parameters) <= set(MEANINGS)
    graph.require_ends()
    for one, next_ in zip(graph.nodes, graph.nodes[1:], strict=False):  # nothing hangs in the air
        assert one.id in next_.sources


@pytest.mark.parametrize("name", graph_names())
def test_graph_renders_with_nothing_unresolved(name):
    graph = Graph.named(name)
    text = graph.fill({parameter: f"value of {parameter}" for parameter in graph.parameters})
    assert "${" not in text
    root = ET.fromstring(text)
    assert [node.findtext("operator") for node in root.findall("node")] == list(documented()[name])
    said = "".join(root.itertext())
    for parameter in graph.parameters:
        assert f"value of {parameter}" in said
    assert graph.about.splitlines()[0] in text


def told(name):
    return {node.operator: node.parameters for node in Graph.named(name).nodes}


def test_recipes_differ_exactly_as_documented():
    plain, bare, ratio, both = (
        told(f"s1_slc_default{end}") for end in ("", "_noSF", "+b3", "+b3noSF")
    )  # fmt: skip
    assert set(plain) - set(bare) == {"Speckle-Filter"} == set(ratio) - set(both)
    assert set(ratio) - set(plain) == {"BandMaths", "BandMerge"} == set(both) - set(bare)
    for operator in ratio:
        assert len({str(one[operator]) for one in (plain, bare, ratio, both) if operator in one}) == 1, operator
    grd = told("s1_grd_default")
    assert set(bare) - set(grd) == {"TOPSAR-Deburst", "Multilook"}
    assert all(grd[operator] == bare[operator] for operator in grd)
    cosmo = told("cosmo_scs-b_default")
    assert all(cosmo[operator] == bare[operator] for operator in set(cosmo) - {"Read", "LinearToFromdB"})


@pytest.mark.parametrize("name", [name for name in graph_names() if name.startswith("s1_slc")])
def test_the_ratio_is_cross_over_co_polarised_in_map_geometry(name):
    graph = Graph.named(name)
    if "+b3" not in name:
        assert "copol" not in graph.parameters
        return
    filled = graph.fill(dict.fromkeys(graph.parameters, "x") | {"copol": "VV", "crosspol": "VH"})
    expression = ET.fromstring(filled).findtext(".//expression")
    assert "Sigma0_VH / Sigma0_VV" in expression
    values = {"Sigma0_VV": 0.2, "Sigma0_VH": 0.05, "NaN": math.nan}
    python = re.sub(r"(.+) \? (.+) : (.+)", r"(\2) if (\1) else (\3)", expression.replace("&&", "and"))
    assert eval(python, values) == pytest.approx(0.25)
    assert math.isnan(eval(python, values | {"Sigma0_VV": 0.0}))
    merge = next(node for node in graph.nodes if node.operator == "BandMerge")
    assert merge.sources == ("Terrain-Correction", "BandMaths")


def test_nothing_that_is_not_linear_comes_before_multilooking_and_all_is_calibrated():
    for name in graph_names():
        steps = Graph.named(name).operators
        if "Multilook" in steps:
            assert set(steps[: steps.index("Multilook")]) <= {
                "Read", "Apply-Orbit-File", "ThermalNoiseRemoval", "Calibration", "TOPSAR-Deburst",
            }  # fmt: skip
            assert told(name)["Multilook"]["grSquarePixel"] == "false", "the looks are those that are given"
        if name != "s2_l2a_default":
            assert "Calibration" in steps
            terrain = told(name)["Terrain-Correction"]
            assert terrain["pixelSpacingInMeter"] == "${pixelSpacing}"
            assert (terrain["alignToStandardGrid"], terrain["nodataValueAtSea"]) == ("true", "false")


def test_the_offset_of_sentinel_2_is_added_to_what_was_measured():
    maths = told("s2_l2a_default")["BandMaths"]
    expressions = {key.rpartition(".")[0]: text for key, text in maths.items() if key.endswith("expression")}
    assert len(expressions) == 4
    for where, text in expressions.items():
        band = maths[f"{where}.name"]
        assert text == f"{band} == 0 ? NaN : {band} + (${{offset}})"


@pytest.mark.parametrize(
    ("name", "product", "key", "value"),
    [
        ("s2_l2a_default", "S2A_MSIL2A_20211230T104441_N0301_R008_T32TLS_20211230T132423.SAFE", "offset", "0"),
        ("s2_l2a_default", "S2B_MSIL2A_20230104T104329_N0509_R008_T32TLS_20230104T130811.SAFE", "offset", "-0.1"),
        ("s1_slc_default+b3", SLC, "crosspol", "VH"),
        ("s1_slc_default+b3", SLC.replace("1SDV", "1SDH"), "copol", "HH"),
    ],
)
def test_what_follows_from_the_name_of_a_product(name, product, key, value):
    from sensetrack.snap_gpt.recipes import defaults_for

    assert defaults_for(name, product)[key] == value


def test_names_of_the_first_release():
    from sensetrack.snap_gpt.lib import MultiLook

    assert SARPreprocessing.validate("S1_IW_SLC_DFLT_B3_NOSF").name == "s1_slc_default+b3noSF.xml"
    assert SARPreprocessing.validate("s2_l2a_dflt") == SARPreprocessing.validate("s2_l2a_default")
    assert SARPreprocessing.validate("COSMO_HIMAGE_SLCB_DFLT").is_file()
    assert MultiLook._fields[:2] == ("Num_Range_LOOKS", "Num_Azimuth_LOOKS")
    for bad in ("NONEXISTENT", "__import__('os').abort()", "", "mro"):
        with pytest.raises(ConfigError, match=r"there is no graph .* there are cosmo_scs-b_default, s1_grd"):
            SARPreprocessing.validate(bad)


# --- filling

SMALL = """<?xml version="1.0" encoding="UTF-8"?>
<!-- Copies a product. -->
<graph id="copy"><version>1.0</version>
  <node id="R"><operator>Read</operator><sources/><parameters><file>${input}</file></parameters></node>
  <!-- on the way -->
  <node id="M"><operator>Maths</operator><sources><sourceProduct refid="R"/></sources>
    <parameters mode="${mode}"><expression>a ${gain} ${gain}</expression></parameters></node>
  <node id="W"><operator>Write</operator><sources><sourceProduct refid="M"/></sources>
    <parameters><file>${output}</file><formatName>GeoTIFF</formatName></parameters></node>
</graph>
"""


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "copy.xml"
    path.write_text(SMALL, encoding="utf-8")
    return path


def test_a_graph_lists_and_checks_its_parameters(small):
    graph = Graph.of(str(small))
    assert (graph.name, graph.parameters) == ("copy", ("input", "mode", "gain", "output"))
    assert (graph.operators, graph.about) == (("Read", "Maths", "Write"), "Copies a product.")
    full = {"input": "i", "mode": True, "gain": 2.5, "output": Path("o")}
    assert "a 2.5 2.5" in graph.fill(full)
    assert 'mode="true"' in graph.fill(full)
    with pytest.raises(ConfigError, match="graph copy needs mode, output"):
        graph.fill({"input": "i", "gain": 1})
    with pytest.raises(ConfigError, match="has no parameter 'gian'; it has input, mode, gain, output"):
        graph.fill(full | {"gian": 1})
    with pytest.raises(ConfigError, match="gain must be text or a number"):
        graph.fill(full | {"gain": [1]})
    assert graph.parameters == ("input", "mode", "gain", "output"), "filling changes nothing"


@pytest.mark.parametrize("value", HOSTILE)
def test_values_stand_in_a_graph_as_they_are(small, value):
    text = Graph.read(small).fill({"input": value, "mode": value, "gain": value, "output": "o"})
    root = ET.fromstring(text)
    assert root.findtext(".//file") == value
    assert root.find(".//parameters[@mode]").get("mode") == value
    assert root.findtext(".//expression") == f"a {value} {value}"
    assert [node.get("id") for node in root] == [None, "R", "M", "W"]


@pytest.mark.parametrize("value", ["a\0b", "bell\a", "half \ud83d pair"])
def test_what_xml_cannot_hold_is_refused(small, value):
    with pytest.raises(ConfigError, match=r"input holds .* which XML cannot"):
        Graph.read(small).fill({"input": value, "mode": "", "gain": "", "output": ""})


def test_a_step_can_be_left_out(small):
    graph = Graph.read(small)
    shorter = graph.without("Maths")
    assert shorter.operators == ("Read", "Write")
    assert shorter.nodes[1].sources == ("R",)
    assert shorter.parameters == ("input", "output")
    assert graph.operators == ("Read", "Maths", "Write")
    with pytest.raises(ConfigError, match="has no 'Meths'; it has Read, Maths, Write"):
        graph.without("Meths")
    with pytest.raises(ConfigError, match="R of graph copy cannot be left out: it has 0 sources"):
        graph.without("Read")
    merged = Graph.named("s1_slc_default+b3")
    with pytest.raises(ConfigError, match="cannot be left out: it has 2 sources"):
        merged.without("BandMerge")
    assert merged.without("Speckle-Filter").operators == Graph.named("s1_slc_default+b3noSF").operators


BOMB = (
    '<!DOCTYPE g [<!ENTITY a "ha"><!ENTITY b "' + "&a;" * 50 + '">]>' + SMALL.partition("?>")[2].replace("copy", "&b;")
)


TWICE = """<node id="W2"><operator>Write</operator><sources><sourceProduct refid="M"/></sources>
  <parameters><file>${output}</file></parameters></node></graph>"""


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (BOMB, UnsafeInputError, "forbidden"),
        ('<!DOCTYPE g [<!ENTITY x SYSTEM "file:///etc/passwd">]><graph>&x;</graph>', UnsafeInputError, "forbidden"),
        ('<!DOCTYPE graph SYSTEM "http://localhost:9/x.dtd"><graph/>', UnsafeInputError, "forbidden"),
        ("<graph>" + "<a>" * 60 + "</a>" * 60 + "</graph>", UnsafeInputError, "at most 50 levels"),
        ("<graph>" + " " * 2**21 + "</graph>", UnsafeInputError, "at most"),
        (SMALL[:300], MetadataError, "line"),
        ("<html><body>log in</body></html>", MetadataError, "HTML"),
        ("<project/>", InputError, "first element is <'project'>"),
        ("<graph><version>1.0</version></graph>", InputError, "has no steps"),
        (SMALL.replace('refid="R"', 'refid="X"'), InputError, "M takes its images from 'X'"),
        (SMALL.replace('refid="R"', 'refid="M"'), InputError, "steps M, W wait for each other"),
        (SMALL.replace('id="M"', 'id="R"'), InputError, "two steps called 'R'"),
        (SMALL.replace("<operator>Maths</operator>", ""), InputError, "step 2 has no id or no operator"),
    ],
    ids=["bomb", "file", "dtd", "deep", "long", "cut", "html", "root", "empty", "lost", "loop", "twice", "nameless"],
)
def test_hostile_and_broken_graphs_are_refused(tmp_path, text, error, said):
    path = tmp_path / "g.xml"
    path.write_text(text, encoding="utf-8")
    begin = time.monotonic()
    with pytest.raises(error, match=re.escape(said)) as caught:
        Graph.read(path)
    assert time.monotonic() - begin < 1
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("<file>${output}</file>", "<file>/etc/passwd</file>", "the file of its step W must be ${output}, instead"),
        ("<file>${input}</file>", "<file>mine.zip</file>", "the file of its step R must be ${input}"),
        ("<operator>Write</operator>", "<operator>Show</operator>", "has no Write step"),
        ("</graph>", TWICE, "must have one Write step, instead got 2"),
    ],
)  # fmt: skip
def test_a_graph_reads_the_product_and_writes_the_result_and_nothing_else(small, old, new, said):
    small.write_text(SMALL.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(said)):
        Graph.read(small).require_ends()


# --- the command line


def test_the_graphs_are_listed_and_described(cli):
    listed = cli("graphs")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines()] == list(graph_names())
    one = cli("graphs", "S1_IW_SLC_DFLT_NOSF").out
    assert "without a speckle filter" in one
    assert "Multilook > Terrain-Correction" in one
    assert re.search(r"nRgLooks +looks in range \[4\]", one)
    told = json.loads(cli("graphs", "s1_grd_default", "--json").out)
    assert told["steps"][3] == "Calibration"
    assert {"name": "pixelSpacing", "default": "10", "description": "pixel of the result, m"} in told["parameters"]
    assert len(json.loads(cli("graphs", "--json").out)) == 7
    wrong = cli("graphs", "s3")
    assert (wrong.code, "there is no graph 's3'" in wrong.error) == (2, True)


def test_a_graph_of_your_own_is_described(cli, small):
    assert "Copies a product." in cli("graphs", small).out
    small.write_text(BOMB, encoding="utf-8")
    assert cli("graphs", small).code == 3
