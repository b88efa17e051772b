"""Elevation models: above the ellipsoid whatever they are above, voids, the sea, any CRS, windows."""

from __future__ import annotations

import logging

import numpy as np
import pyproj
import pytest
from affine import Affine

from conftest import write_tif
from sensetrack.errors import ConfigError, InputError
from sensetrack.files import geoid as geoids
from sensetrack.files.dem import close_voids, flat_dem, open_dem
from sensetrack.files.geoid import geoid
from sensetrack.grid import Grid
from sensetrack.sar.geometry import rdr2geo
from sensetrack.sar.heights import HeightField, Level

PUBLISHED = [
    (38.6281550, 269.7791550, -31.628),
    (-14.6212170, 305.0211140, -2.969),
    (46.8743190, 102.4487290, -43.575),
    (-23.6174460, 133.8747120, 15.871),
    (38.6254730, 359.9995000, 50.066),
    (-0.4667440, 0.0023000, 17.329),
    (90.0, 12.0, 13.606),
    (-90.0, 200.0, -29.535),
]
"""Latitude, longitude and height of EGM96 as its makers give them with the grid."""

DEGREES = Affine(0.001, 0, 9.0, 0, -0.0008, 46.5)
"""Pixels of 77 m x 89 m in the Alps."""


def plane(lon, lat):
    """Heights, m, that rise to the east and fall to the north; degrees."""
    return 800.0 + 900.0 * (lon - 9.0) - 1500.0 * (lat - 46.4)


def degrees_of(affine, shape, crs="EPSG:4326"):
    x, y = Grid(shape, affine, crs).xy(*np.mgrid[: shape[0], : shape[1]])
    if crs == "EPSG:4326":
        return x, y
    return pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(x, y)


def write_dem(path, *, affine=DEGREES, shape=(120, 150), crs="EPSG:4326", change=None, dtype=np.float32, **profile):
    heights = plane(*degrees_of(affine, shape, "EPSG:4326" if pyproj.CRS(crs).is_geographic else crs))
    if change is not None:
        change(heights)
    return write_tif(path, heights.astype(dtype), affine, crs, **profile)


def test_egm96_at_published_places():
    model = geoid("egm96")
    lat, lon, height = np.array(PUBLISHED).T
    found = model.undulation(np.radians(lon), np.radians(lat))
    assert np.abs(found - height).max() < 0.012
    np.testing.assert_allclose(model.undulation(np.radians(lon - 360), np.radians(lat)), found, atol=1e-9)
    assert np.isnan(model.undulation([np.nan, 0.1], [0.1, np.nan])).all()
    assert model.undulation(np.zeros((2, 1)), np.zeros(3)).shape == (2, 3)
    across = model.undulation(np.radians([179.9999, -179.9999]), 0.3)
    assert abs(across[0] - across[1]) < 1e-3


def test_egm2008_where_it_is_installed(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(geoids, "_installed", lambda names: None)
    with caplog.at_level(logging.WARNING):
        assert geoid("egm2008").name == "EGM96 in place of EGM2008"
    assert "EGM2008 is not installed, EGM96 takes its place" in caplog.text
    lon, lat = np.meshgrid(np.arange(-180, 180, 0.5), np.arange(90, -90.1, -0.5))
    values = 20 * np.sin(np.radians(lat)) + 5 * np.cos(np.radians(lon)) * np.cos(np.radians(lat))
    path = write_tif(tmp_path / "us_nga_egm08_25.tif", values.astype(np.float32),
                     Affine(0.5, 0, -180.25, 0, -0.5, 90.25), "EPSG:4326")  # fmt: skip
    monkeypatch.setattr(geoids, "_installed", lambda names: path)
    model = geoid("egm2008")
    assert model.name == "EGM2008"
    lon, lat = np.radians([10.2, -179.9, 181.3, 77]), np.radians([46.1, -33.2, 89.9, -90])
    expected = 20 * np.sin(lat) + 5 * np.cos(lon) * np.cos(lat)
    np.testing.assert_allclose(model.undulation(lon, lat), expected, atol=2e-3)


def test_where_grids_of_proj_are_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(pyproj.datadir, "get_data_dir", lambda: str(tmp_path))
    monkeypatch.setattr(pyproj.datadir, "get_user_data_dir", lambda: str(tmp_path / "user"))
    assert geoids._installed(("us_nga_egm08_25.tif",)) is None
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "us_nga_egm08_25.tif").write_bytes(b"x")
    assert geoids._installed(("us_nga_egm08_25.tif",)) == tmp_path / "user" / "us_nga_egm08_25.tif"


def test_heights_above_the_ellipsoid_are_those_of_the_file(tmp_path):
    dem = open_dem(write_dem(tmp_path / "a.tif"), "ellipsoid")
    assert dem.geoid is None
    heights = dem.read(slice(20, 50), slice(70, 100))
    assert heights.dtype == np.float32
    lon, lat = degrees_of(DEGREES, (120, 150))
    np.testing.assert_array_equal(heights, plane(lon, lat)[20:50, 70:100].astype(np.float32))
    assert dem.notes == ()


@pytest.mark.parametrize(("affine", "crs"), [
    (DEGREES, "EPSG:4326"), (Affine(90, 0, 500_000, 0, -120, 5_150_000), "EPSG:32632"),
])  # fmt: skip
def test_the_sea_level_is_added(tmp_path, affine, crs):
    dem = open_dem(write_dem(tmp_path / "a.tif", affine=affine, crs=crs), "egm96")
    lon, lat = degrees_of(affine, (120, 150), crs)
    expected = plane(lon, lat) + geoid("egm96").undulation(np.radians(lon), np.radians(lat))
    assert expected.mean() - plane(lon, lat).mean() > 45
    np.testing.assert_allclose(dem.read(slice(0, 120), slice(0, 150)), expected, atol=3e-3)
    np.testing.assert_allclose(dem.read(slice(33, 40), slice(100, 149)), expected[33:40, 100:149], atol=3e-3)
    assert dem.source == "a.tif (EGM96)"


@pytest.mark.parametrize(
    ("name", "crs", "dtype", "vertical", "said"),
    [
        (
            "Copernicus_DSM_COG_10_N46_00_E009_00_DEM.tif",
            "EPSG:4326",
            np.float32,
            "egm2008",
            "Copernicus DEM by its name",
        ),
        ("alps_glo30.tif", "EPSG:4326", np.float32, "egm2008", "Copernicus DEM by its name"),
        ("NASADEM_HGT_n46e009.tif", "EPSG:4326", np.int16, "egm96", "SRTM, NASADEM"),
        ("N46E009.tif", "EPSG:4326", np.int16, "egm96", "SRTM, NASADEM"),
        ("TDM1_DEM_04.tif", "EPSG:4326", np.float32, "ellipsoid", "TanDEM-X"),
        ("heights.tif", "EPSG:4326", np.float32, "egm96", "does not say what its heights"),
        ("heights.tif", "EPSG:4326+5773", np.float32, "egm96", None),
        ("NASADEM_n46e009.tif", "EPSG:4326+3855", np.int16, "egm2008", None),
        ("heights.tif", "EPSG:4979", np.float32, "ellipsoid", None),
        ("srtm.tif", "EPSG:4326+5703", np.float32, "egm96", "NAVD88"),
    ],
)
def test_what_heights_are_above_is_never_guessed_silently(tmp_path, caplog, name, crs, dtype, vertical, said):
    path = write_dem(tmp_path / name, crs=crs, dtype=dtype)
    with caplog.at_level(logging.WARNING):
        dem = open_dem(path)
    assert dem.vertical == vertical
    spoken = [record.message for record in caplog.records if "vertical=..." in record.message]
    if said is None:
        assert not spoken
    else:
        assert said in spoken[0]
        assert str(path) in spoken[0]
        assert said in dem.notes[0]
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert open_dem(path, "ellipsoid").vertical == "ellipsoid"
    assert not caplog.records


def test_whole_metres_at_an_arc_second_are_said_to_be_like_srtm(tmp_path, caplog):
    path = write_dem(tmp_path / "d.tif", affine=Affine(1 / 3600, 0, 9, 0, -1 / 3600, 46.5), dtype=np.int16)
    dem = open_dem(path)
    assert dem.vertical == "egm96"
    assert "1 arc second as in SRTM" in caplog.text


@pytest.mark.parametrize(
    ("nodata", "value"), [(-32768.0, -32768), (None, -32768), (-9999.0, -9999), (None, np.nan), (None, 3e38), (7.0, 7)]
)
def test_small_voids_are_closed_and_large_ones_stay(tmp_path, caplog, nodata, value):
    def holes(heights):
        heights[30:36, 40:47] = value
        heights[60:80, 90:140] = value

    path = write_dem(tmp_path / "a.tif", change=holes, nodata=nodata)
    before = path.read_bytes()
    dem = open_dem(path, "ellipsoid")
    heights = dem.read(slice(0, 120), slice(0, 150))
    expected = plane(*degrees_of(DEGREES, (120, 150)))
    np.testing.assert_allclose(heights[30:36, 40:47], expected[30:36, 40:47], atol=1e-3)
    missing = np.zeros((120, 150), bool)
    missing[60:80, 90:140] = True
    np.testing.assert_array_equal(np.isnan(heights), missing)
    np.testing.assert_allclose(heights[~missing], expected[~missing], atol=1e-3)
    assert caplog.text.count("has pixels without a height") == 1
    dem.read(slice(60, 70), slice(90, 100))
    assert caplog.text.count("has pixels without a height") == 1
    assert path.read_bytes() == before
    # windows do not matter
    parts = [dem.read(rows, slice(35, 44)) for rows in (slice(28, 33), slice(33, 34), slice(34, 70))]
    np.testing.assert_array_equal(np.concatenate(parts), heights[28:70, 35:44])


def test_zero_is_a_height(tmp_path):
    path = write_dem(tmp_path / "a.tif", change=lambda heights: heights.__setitem__(slice(0, 60), 0))
    heights = open_dem(path, "egm96").read(slice(0, 60), slice(0, 150))
    assert np.isfinite(heights).all()
    assert 47 < heights.min() < heights.max() < 55


@pytest.mark.parametrize("vertical", ["egm96", "ellipsoid"])
def test_the_sea(tmp_path, caplog, vertical):
    path = write_dem(tmp_path / "a.tif", change=lambda h: h.__setitem__(slice(50, 120), np.nan))
    dem = open_dem(path, vertical, voids="sea")
    heights = dem.read(slice(80, 100), slice(0, 150))
    lon, lat = (np.radians(part[80:100]) for part in degrees_of(DEGREES, (120, 150)))
    np.testing.assert_allclose(heights, geoid("egm96").undulation(lon, lat), atol=3e-3)
    land = dem.read(slice(0, 50), slice(0, 150))
    lon, lat = (part[:50] for part in degrees_of(DEGREES, (120, 150)))
    sea = geoid("egm96").undulation(np.radians(lon), np.radians(lat)) if vertical == "egm96" else 0.0
    np.testing.assert_allclose(land, plane(lon, lat) + sea, atol=3e-3)
    assert "without a height" not in caplog.text
    outside = dem.heights_at(np.radians(12.0), np.radians(46.45))
    assert np.isnan(outside)


CRSS = [
    (DEGREES, "EPSG:4326", 1e-3),
    (Affine(0.001, 0, 9.0, 0, 0.0008, 46.404), "EPSG:4326", 1e-3),
    (Affine(70, 0, 500_000, 0, -90, 5_150_000), "EPSG:32632", 0.02),
    (Affine(60, 20, 500_000, 25, -80, 5_145_000), "EPSG:32632", 0.02),
    (Affine(90, 0, 4_270_000, 0, -80, 2_600_000), "EPSG:3035", 0.02),
]  # fmt: skip


@pytest.mark.parametrize(("affine", "crs", "error"), CRSS)
def test_heights_at_places_in_any_crs(tmp_path, affine, crs, error):
    dem = open_dem(write_dem(tmp_path / "a.tif", affine=affine, crs=crs), "ellipsoid")
    lon, lat = degrees_of(affine, (120, 150), crs)
    some = np.random.default_rng(5).permutation(np.arange(10, 100))
    x = lon[some, some] + 0.0003
    y = lat[some, some] - 0.0002
    found = dem.heights_at(np.radians(x), np.radians(y))
    np.testing.assert_allclose(found, plane(x, y), atol=error)
    assert np.isnan(dem.heights_at(np.radians([3.0, np.nan, x[0]]), np.radians([40.0, y[0], np.nan]))).all()
    assert dem.heights_at(np.radians(x[0]), np.radians(y[0])).shape == ()


@pytest.mark.parametrize(("affine", "crs", "error"), CRSS)
def test_a_field_covers_what_was_asked_for(tmp_path, affine, crs, error):
    dem = open_dem(write_dem(tmp_path / "a.tif", affine=affine, crs=crs), "ellipsoid")
    lon, lat = degrees_of(affine, (120, 150), crs)
    x, y = lon[45:70, 60:90], lat[45:70, 60:90]
    part = dem.field(*np.radians([x.min(), y.min(), x.max(), y.max()]))
    assert part.heights.size < 20_000
    np.testing.assert_allclose(part.heights_at(np.radians(x), np.radians(y)), plane(x, y), atol=error)
    away = dem.field(0.0, 0.1, 0.02, 0.13)
    assert np.isnan(away.heights).all()


def test_beyond_the_date_line(tmp_path):
    east = Affine(0.01, 0, 179.5, 0, -0.01, 10.0)  # to 180.5 degrees
    dem = open_dem(write_tif(tmp_path / "a.tif", np.tile(np.arange(100, dtype=np.float32), (80, 1)), east, "EPSG:4326"),
                   "ellipsoid")  # fmt: skip
    lon = np.radians([179.8, -179.8, 180.2])
    np.testing.assert_allclose(dem.heights_at(lon, np.radians(9.7)), [29.5, 69.5, 69.5], atol=1e-4)
    part = dem.field(*np.radians([-180.3, 9.5, -179.7, 9.9]))
    np.testing.assert_allclose(part.heights_at(lon, np.radians(9.7)), [29.5, 69.5, 69.5], atol=1e-4)


def test_single_places_are_read_in_bounded_windows(tmp_path, monkeypatch):
    monkeypatch.setattr("sensetrack.files.dem._LARGEST", 2000)
    dem = open_dem(write_dem(tmp_path / "a.tif"), "ellipsoid")
    sizes = []
    read = type(dem).read
    monkeypatch.setattr(type(dem), "read", lambda self, r, c: sizes.append((r, c)) or read(self, r, c))
    lon, lat = (part[3:-3:10, 3:-3:10] for part in degrees_of(DEGREES, (120, 150)))
    np.testing.assert_allclose(dem.heights_at(np.radians(lon), np.radians(lat)), plane(lon, lat), atol=1e-3)
    assert len(sizes) > 5
    assert max((r.stop - r.start) * (c.stop - c.start) for r, c in sizes) < 3000


def test_radar_places_on_a_file(tmp_path):
    """From times and ranges to the ground of a file in UTM: the place found is on its surface."""
    from sar_truth import radar_grid

    grid = radar_grid()
    middle = rdr2geo(grid, grid.middle_time, 840_000.0, 0.0)
    crs = pyproj.CRS(f"EPSG:{32600 + int((np.degrees(middle.lon) + 180) // 6) + 1}")
    x, y = pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(*np.degrees([middle.lon, middle.lat]))
    row, col = np.mgrid[:700, :900]
    heights = 400 + 250 * np.sin(row / 50) * np.cos(col / 70)
    affine = Affine(50, 0, round(x) - 22_000, 0, -60, round(y) + 20_000)
    dem = open_dem(write_tif(tmp_path / "a.tif", heights.astype(np.float32), affine, crs.to_wkt()), "ellipsoid")
    time = grid.time(np.linspace(600, 900, 13))[:, None]
    places = rdr2geo(grid, time, np.linspace(835_000, 845_000, 17), dem)
    assert np.isfinite(places.height).all()
    assert np.ptp(places.height) > 300
    np.testing.assert_allclose(dem.heights_at(places.lon, places.lat), places.height, atol=1.0)


def test_voids_are_closed_from_the_rim():
    heights = np.add.outer(10.0 * np.arange(20), 3.0 * np.arange(30))
    holed = heights.copy()
    holed[5:9, 6:14] = np.nan
    holed[12:14, 2:25] = np.nan  # too wide
    holed[16:, 28:] = np.nan  # at the edge
    closed = close_voids(holed)
    np.testing.assert_allclose(closed[5:9, 6:14], heights[5:9, 6:14], atol=1e-9)
    assert np.isnan(closed[12:14, 2:25]).all()
    assert np.isnan(closed[16:, 28:]).all()
    assert np.isnan(closed).sum() == 2 * 23 + 4 * 2


def test_one_height_everywhere():
    level = flat_dem(250)
    assert isinstance(level, Level)
    np.testing.assert_array_equal(level.heights_at([0.1, 0.2], 0.3), [250, 250])
    part = level.field(3.1, 0.2, 3.2, 0.2)
    np.testing.assert_array_equal(part.heights_at([3.15, 3.1 - 2 * np.pi], [0.2, 0.2]), [250, 250])
    assert part.relief == (250, 250)


def test_fields_that_make_no_sense():
    for heights in (np.zeros((1, 5)), np.zeros(5)):
        with pytest.raises(InputError, match="at least 2 x 2"):
            HeightField(heights, 0, 0, 0.1, 0.1)
    with pytest.raises(InputError, match="other than 0"):
        HeightField(np.zeros((2, 2)), 0, 0, 0.1, 0.0)
    assert HeightField(np.full((2, 2), np.nan), 0, 0, 0.1, 0.1).relief is None


def test_files_that_are_no_elevation_models(tmp_path):
    with pytest.raises(InputError, match=r"bare\.tif: has no georeference"):
        open_dem(write_tif(tmp_path / "bare.tif", np.ones((5, 6), np.float32), None, None))
    with pytest.raises(InputError, match="real numbers, instead got complex64"):
        open_dem(write_tif(tmp_path / "c.tif", np.ones((5, 6), np.complex64), DEGREES, "EPSG:4326"))
    with pytest.raises(InputError, match=r"metres, instead got units of 0\.3048"):
        open_dem(write_dem(tmp_path / "feet.tif", crs="EPSG:4326+6360"))
    with pytest.raises(InputError, match="not found"):
        open_dem(tmp_path / "none.tif")
    path = write_dem(tmp_path / "a.tif")
    with pytest.raises(ConfigError, match="ellipsoid, egm96, egm2008, instead got 'wgs84'"):
        open_dem(path, "wgs84")
    with pytest.raises(ConfigError, match="mask or sea, instead got 'zero'"):
        open_dem(path, voids="zero")
    dem = open_dem(path, "ellipsoid")
    with pytest.raises(InputError, match="radians, instead got 46"):
        dem.heights_at(9.05, 46.45)
    with pytest.raises(InputError, match="west and south"):
        dem.field(0.2, 0.1, 0.1, 0.2)
