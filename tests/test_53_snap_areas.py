"""Areas of interest as SNAP wants them, and how many looks to take."""

from __future__ import annotations

import json
import math
import time

import geopandas
import numpy as np
import pyproj
import pytest
import shapely
from shapely import box

from sensetrack.errors import (
    ConfigError,
    InputError,
    UnsafeInputError,
)
from sensetrack.snap_gpt import (
    AOI,
    GPTSubsetter,
    estimate_multilook,
    looks_for,
)
from sensetrack.snap_gpt.lib import CSG_HIMAGE_SLC, CSK_HIMAGE_SLC, S1_IW_SLC

# --- looks


def test_the_estimate_of_the_first_release():
    degrees = (30, 33, 36, 39, 43)
    assert [estimate_multilook(math.radians(d), S1_IW_SLC)[0] for d in degrees] == [3, 3, 4, 4, 4]
    assert [estimate_multilook(math.radians(d), S1_IW_SLC, 2)[0] for d in degrees] == [6, 7, 7, 8, 8]
    assert estimate_multilook(math.radians(30), CSK_HIMAGE_SLC, 2)[:2] == (1, 2)
    looks = estimate_multilook(math.radians(39), S1_IW_SLC)
    assert looks.Estimated_RangeResolution == pytest.approx(4 * 2.3 / math.sin(math.radians(39)))
    assert looks.Estimated_AzimuthResolution == 14.1
    assert CSG_HIMAGE_SLC == (2.6488857702529085, 2.6488857702529085)


def test_looks_from_the_real_spacing():
    spacing = {"slant_range_spacing": 2.329562, "azimuth_spacing": 13.92}
    looks = looks_for(math.radians(38.5), azimuth_looks=1, **spacing)
    assert looks[:2] == (4, 1)
    assert looks[2:] == pytest.approx((4 * 2.329562 / math.sin(math.radians(38.5)), 13.92))
    assert looks_for(math.radians(38.5), pixel=40, **spacing)[:2] == (11, 3)
    # No limit at 4 as in the estimate: ground pixels grow with the sine, and so do the looks that make them square.
    assert looks_for(math.radians(80), azimuth_looks=1, **spacing)[0] == 6
    # Square within the square root of (n + 1) / n either way, and never more than that off.
    for degrees in range(15, 75, 3):
        looks = looks_for(math.radians(degrees), azimuth_looks=2, slant_range_spacing=1.1, azimuth_spacing=2.2)
        ratio, n = looks[2] / looks[3], looks[0]
        assert math.sqrt(n / (n + 1)) - 1e-9 <= ratio <= math.sqrt(n / (n - 1)) + 1e-9 if n > 1 else ratio > 0.7


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"incidence": 38.5}, "is it in degrees"),
        ({"incidence": 0.0}, "incidence must lie between"),
        ({"incidence": math.nan}, "incidence must lie between"),
        ({"slant_range_spacing": 0}, "spacing must be"),
        ({"azimuth_looks": 0}, "at least 1"),
        ({"pixel": 10}, "one of the two"),
        ({"pixel": -10, "azimuth_looks": None}, "pixel must be"),
    ],
)
def test_looks_of_nonsense(wrong, said):
    given = {"incidence": 0.6, "slant_range_spacing": 2.3, "azimuth_spacing": 14, "azimuth_looks": 1} | wrong
    with pytest.raises(ConfigError, match=said):
        looks_for(given.pop("incidence"), **given)


# --- areas


@pytest.fixture
def vectors(tmp_path):
    """Two fields in UTM, in a GeoPackage with two layers, and one of them as Shapefile and GeoJSON."""
    frame = geopandas.GeoDataFrame(
        geometry=[box(500_000, 5_100_000, 501_000, 5_102_000), box(503_000, 5_101_000, 504_000, 5_104_000)],
        crs="EPSG:32632",
    )
    frame.to_file(tmp_path / "a.gpkg", layer="fields", driver="GPKG")
    frame.iloc[:1].to_file(tmp_path / "a.gpkg", layer="one", driver="GPKG")
    frame.iloc[:1].to_file(tmp_path / "a.shp")
    frame.iloc[:1].to_crs(4326).to_file(tmp_path / "a.geojson", driver="GeoJSON")
    return tmp_path


def test_areas_from_files(vectors):
    area = AOI.of(f"{vectors / 'a.gpkg'}|fields")
    assert area.name == "fields"
    west, south, east, north = area.bounds
    assert (west, east) == pytest.approx((9.0, 9.0517), abs=2e-4), "all features count"
    assert (south, north) == pytest.approx((46.0536, 46.0896), abs=2e-4)
    assert area.utm == "EPSG:32632"
    one = AOI.of(f"{vectors / 'a.gpkg'}|one")
    assert one.bounds[2] == pytest.approx(9.0129, abs=2e-4)
    for file in ("a.shp", "a.geojson"):
        assert AOI.of(vectors / file).name == "a"
        assert AOI.of(str(vectors / file)).bounds == pytest.approx(one.bounds, abs=1e-6)
    subset = GPTSubsetter.get_subset(f"{vectors / 'a.gpkg'}|one")
    assert (subset.name, subset.geometry.bounds) == ("one", pytest.approx(one.bounds))
    assert GPTSubsetter.get_subset(str(vectors / "a.shp")).name is None


def test_areas_from_text_agree():
    wkt = "POLYGON ((9 46, 9.5 46, 9.5 46.25, 9 46.25, 9 46))"
    ring = [[9, 46, 100], [9.5, 46, 100], [9.5, 46.25, 0], [9, 46.25, 0], [9, 46, 100]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "properties": {}, "geometry": geometry}
    spellings = [
        wkt, f" srid=4326; {wkt.lower()}", wkt.replace("POLYGON", "MULTIPOLYGON(") + ")",
        "POLYGON Z ((9 46 1, 9.5 46 1, 9.5 46.25 1, 9 46.25 1, 9 46 1))",
        json.dumps(geometry), json.dumps(feature),
        json.dumps({"type": "FeatureCollection", "features": [feature, feature]}),
        "9,46,9.5,46.25", "9 46 9.5 46.25", (9, 46, 9.5, 46.25), shapely.from_wkt(wkt), AOI.of(wkt),
    ]  # fmt: skip
    for text in spellings:
        area = AOI.of(text)
        assert area.geometry.equals(shapely.from_wkt(wkt)), text
        assert not area.geometry.has_z
        assert shapely.from_wkt(area.wkt).equals(area.geometry)
    utm = AOI.of("SRID=32632;POLYGON ((5e5 5.1e6, 5.4e5 5.1e6, 5.4e5 5.13e6, 5e5 5.13e6, 5e5 5.1e6))")
    same = AOI.of("500000,5100000,540000,5130000", crs="EPSG:32632")
    assert utm.geometry.equals(same.geometry)
    # Edges of another CRS are not straight in longitude and latitude: the area is that of the curved ones.
    to_map = pyproj.Transformer.from_crs(4326, 32632, always_xy=True).transform
    there = shapely.transform(utm.geometry, to_map, interleaved=False)
    assert there.symmetric_difference(box(5e5, 5.1e6, 5.4e5, 5.13e6)).area < 2 * (4e4 + 3e4) * 2


@pytest.mark.parametrize(
    "text",
    [
        "179.5,-17,-179.25,-16.5",
        "179.5,-17,180.75,-16.5",
        "POLYGON ((179.5 -17, -179.25 -17, -179.25 -16.5, 179.5 -16.5, 179.5 -17))",
        "POLYGON ((-180.5 -17, -179.25 -17, -179.25 -16.5, -180.5 -16.5, -180.5 -17))",
        # Two parts that meet there, as GeoJSON wants them.
        (
            "MULTIPOLYGON (((179.5 -17, 180 -17, 180 -16.5, 179.5 -16.5, 179.5 -17)), "
            "((-180 -17, -179.25 -17, -179.25 -16.5, -180 -16.5, -180 -17)))"
        ),
    ],
)
def test_an_area_across_the_180th_meridian(text):
    area = AOI.of(text)
    assert area.bounds == (179.5, -17, -179.25, -16.5)
    parts = sorted(shapely.get_parts(shapely.from_wkt(area.wkt)), key=lambda part: part.bounds)
    assert [part.bounds for part in parts] == [(-180, -17, -179.25, -16.5), (179.5, -17, 180, -16.5)]
    assert area.utm == "EPSG:32701", "its middle lies at -179.875"


def test_an_area_from_a_map_across_the_meridian_and_around_a_pole():
    fiji = AOI.of("780000,8100000,860000,8180000", crs="EPSG:32760")
    west, south, east, north = fiji.bounds
    assert (west, east) == pytest.approx((179.622, -179.617), abs=0.01)
    degrees = 111_320 * math.cos(math.radians(16.8)), 110_650  # m
    assert fiji.geometry.area == pytest.approx(80_000**2 / math.prod(degrees), rel=0.005)
    assert (south, north) == pytest.approx((-17.168, -16.435), abs=0.001)
    pole = AOI.of("-1e6,-9e5,1e6,9e5", crs="EPSG:3031")
    assert pole.bounds == pytest.approx((-180, -90, 180, -77.66), abs=0.1)
    assert pole.utm == "EPSG:3031"


def test_a_very_long_outline_becomes_its_hull(tmp_path):
    angle = np.linspace(0, 2 * np.pi, 20_001)
    radius = 0.2 + 0.05 * np.cos(400 * angle)
    shape = shapely.Polygon(np.stack([9 + radius * np.cos(angle), 46 + radius * np.sin(angle)], axis=1))
    area = AOI.of(shape)
    sent = shapely.from_wkt(area.wkt)
    assert len(area.wkt) < 40_000
    assert sent.buffer(1e-6).covers(shape), "nothing of the area may be cut off"
    assert sent.area < 1.01 * shape.convex_hull.area
    round_ = shapely.Point(9, 46).buffer(0.2, quad_segs=500)  # its hull has as many corners
    assert shapely.from_wkt(AOI.of(round_).wkt).equals(box(*round_.bounds))


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("POLYGON EMPTY", InputError, "must hold polygons"),
        ("POLYGON ((0 0, 1 1, 0 0))", InputError, "area"),
        ("POLYGON ((0 0, 1", InputError, "no well-known text"),
        ("POINT (9 46)", InputError, "must be a polygon"),
        ("GEOMETRYCOLLECTION (" * 50_000, InputError, "must be a polygon"),
        ('{"type": "Point", "coordinates": [9, 46]}', InputError, "must hold polygons, instead got Point"),
        ('{"type": "FeatureCollection"}', InputError, "no GeoJSON"),
        ('{"a":' * 100_000, InputError, "no GeoJSON"),
        ('{"type": "Polygon", "crs": {}, "coordinates": 5}', InputError, "no GeoJSON"),
        ("500000,5100000,540000,5130000", InputError, "must lie in longitude and latitude"),
        ("9,47,10,46", ConfigError, "a box must be west,south,east,north"),
        ("nan,46,10,47", ConfigError, "a box must be"),
        ("9,46,9,47", ConfigError, "a box must be"),
        ("nowhere.gpkg", InputError, "not found"),
        ("http://host/x.gpkg", UnsafeInputError, "only local files"),
        ("x" * 5000, ConfigError, "an area must be"),
        (42, ConfigError, "an area must be"),
    ],
)
def test_what_is_no_area(text, error, said):
    begin = time.monotonic()
    with pytest.raises(error, match=said) as caught:
        AOI.of(text)
    assert len(str(caught.value)) < 400
    assert time.monotonic() - begin < 2
