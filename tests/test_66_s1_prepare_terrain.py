"""Terrain correction on arrays: where pixels are seen, what is sampled there, what is hidden."""

from datetime import UTC, datetime

import numpy as np
import pyproj
import pytest
from affine import Affine

from sensetrack.errors import ConfigError
from sensetrack.grid import Grid
from sensetrack.sar import lattice, layover, terrain
from sensetrack.sar.geometry import geo2rdr, incidence, rdr2geo
from sensetrack.sar.heights import HeightField
from sensetrack.sar.lattice import Parabolas, nodes_of, sample
from sensetrack.sar.layover import LAYOVER, SHADOW, layover_shadow
from sensetrack.sar.radargrid import GroundRange, RadarGrid
from sensetrack.sar.simulated_orbit import CircularOrbit
from sensetrack.sar.terrain import LAYERS, MapToRadar, RadarImage, TerrainCorrected

EPOCH = datetime(2024, 6, 1, 5, 26, 23, tzinfo=UTC)
LON, LAT = 9.5, 46.2


def radar(*, ascending: bool = True, look: int = 1, ground: bool = False) -> RadarGrid:
    """A made-up image of 4 m x 2.3 m pixels whose middle shows LON, LAT."""
    circle = CircularOrbit(LON + (6.5 if ascending == (look < 0) else -6.5), LAT - 0.3, ascending=ascending)
    orbit = circle.vectors(EPOCH, -60, 60)
    seen = geo2rdr(orbit, np.radians(LON), np.radians(LAT), 900.0)
    time, near = seen.time.item(), seen.slant_range.item() - 5000
    if not ground:
        return RadarGrid(5000, 4400, EPOCH, time - 1.5, 6e-4, near, 2.3, look, 0.0555, orbit)
    times = np.array([time - 3, time + 2.5])
    slopes = np.array([[0.0, 1.9, -4e-6, 3e-12], [-7.0, 1.91, -4e-6, 2e-12]])
    polynomials = GroundRange(times, np.array([near, near]), slopes, None, 10.0)
    return RadarGrid(5000, 1900, EPOCH, time - 1.5, 6e-4, near, np.nan, look, 0.0555, orbit, polynomials)


class Hills:
    """Relief of some hundred metres in all directions; a void in the north."""

    def __init__(self, size: float = 150.0, void: float | None = None) -> None:
        lon, lat = LON + np.arange(-0.3, 0.3, 1 / 1800), LAT + np.arange(0.25, -0.25, -1 / 1800)
        x, y = lon[None] - LON, lat[:, None] - LAT
        heights = 900 + size * np.sin(260 * x + 60 * y) * np.cos(70 * y) + size / 2 * np.sin(250 * y - 40 * x)
        if void is not None:
            heights = np.where(y > void, np.nan, heights)
        step = np.radians(1 / 1800)
        self.all = HeightField(heights, np.radians(lon[0]), np.radians(lat[0]), step, -step)

    def field(self, *bounds: float) -> HeightField:
        return self.all


def utm(pixel: float = 10.0, shape=(190, 260), turned: float = 0.0) -> Grid:
    x, y = pyproj.Transformer.from_crs(4326, 32632, always_xy=True).transform(LON, LAT)
    corner = Affine.translation(x - pixel * shape[1] / 2, y + pixel * shape[0] / 2)
    return Grid(shape, corner @ Affine.rotation(turned) @ Affine.scale(pixel, -pixel), "EPSG:32632")


def lonlat(grid: Grid, rows: slice, cols: slice):
    row, col = np.mgrid[rows, cols].astype(float)
    lon, lat = pyproj.Transformer.from_crs(grid.crs, 4326, always_xy=True).transform(*grid.xy(row, col))
    return np.radians(lon), np.radians(lat)


@pytest.mark.parametrize(
    ("ascending", "look", "ground", "grid"),
    [
        (True, 1, False, utm()),
        (False, 1, True, utm(12.5, turned=20)),
        (False, -1, False, utm(7.0)),
        (True, 1, True, Grid((150, 200), Affine(1e-4, 0, LON, 0, -1.3e-4, LAT), "EPSG:4326")),
        (True, 1, False, Grid((30, 40), Affine(60, 0, 4_281_000, 0, -60, 2_564_000), "EPSG:3035")),
    ],
    ids=["utm", "ground-turned", "left", "degrees", "coarse"],
)
def test_places_are_those_of_every_single_pixel(ascending, look, ground, grid):
    grid_of_radar, hills = radar(ascending=ascending, look=look, ground=ground), Hills()
    rows, cols = slice(11, grid.shape[0] - 3), slice(5, grid.shape[1])
    found = MapToRadar(grid, grid_of_radar, hills).places(rows, cols)
    lon, lat = lonlat(grid, rows, cols)
    np.testing.assert_allclose(found.height, hills.all.heights_at(lon, lat), atol=5e-3)
    exact = geo2rdr(grid_of_radar, lon, lat, found.height)
    assert found.line.dtype == found.sample.dtype == np.float64
    assert np.isfinite(found.line).all()
    np.testing.assert_allclose(found.line, grid_of_radar.line(exact.time), atol=2e-3)
    np.testing.assert_allclose(found.sample, grid_of_radar.sample(exact.slant_range, exact.time), atol=1e-2)


def test_a_window_has_the_same_pixels_whatever_else_is_computed():
    places = MapToRadar(utm(), radar(), Hills(), LAYERS)
    whole, part = places.places(slice(0, 190), slice(0, 260)), places.places(slice(48, 101), slice(33, 97))
    np.testing.assert_allclose(whole.line[48:101, 33:97], part.line, atol=1e-4)
    np.testing.assert_allclose(whole.sample[48:101, 33:97], part.sample, atol=5e-3)
    for name in LAYERS:
        share = np.mean(np.abs(whole.layers[name][48:101, 33:97] - part.layers[name]) > 0.02)
        assert share < 0.002, name


def test_incidence_is_that_of_the_geometry():
    grid, at, hills = utm(), radar(ascending=False), Hills()
    rows, cols = slice(20, 120), slice(30, 200)
    layers = MapToRadar(grid, at, hills, LAYERS).places(rows, cols).layers
    lon, lat = lonlat(grid, rows, cols)
    height = hills.all.heights_at(lon, lat)
    np.testing.assert_allclose(layers["height"], height, atol=1e-2)
    np.testing.assert_allclose(layers["incidence"], np.degrees(incidence(at, lon, lat, height)), atol=1e-3)
    step = 2e-6
    east = 6_378_137 * np.cos(lat) / np.sqrt(1 - 0.00669438 * np.sin(lat) ** 2)
    north = 6_378_137 * (1 - 0.00669438) / (1 - 0.00669438 * np.sin(lat) ** 2) ** 1.5
    slope = (
        (hills.all.heights_at(lon + step, lat) - hills.all.heights_at(lon - step, lat)) / (2 * step * east),
        (hills.all.heights_at(lon, lat + step) - hills.all.heights_at(lon, lat - step)) / (2 * step * north),
    )
    local = np.degrees(incidence(at, lon, lat, height, slope=slope))
    assert np.ptp(local) > 25, "the relief matters"
    off = np.abs(layers["local_incidence"] - local)
    assert np.median(off) < 0.2
    assert np.percentile(off, 98) < 2.5  # facets of the model have edges


def test_unknown_heights_and_places_beyond_the_orbit_are_nan():
    found = MapToRadar(utm(), radar(), Hills(void=0.002)).places(slice(0, 190), slice(0, 260))
    lost = np.isnan(found.line)
    assert 0.2 < lost.mean() < 0.6
    assert lost[0].all()
    assert not lost[-1].any()
    np.testing.assert_array_equal(lost, np.isnan(found.sample) | np.isnan(found.height))
    far = Grid((40, 50), Affine(10, 0, 500_000, 0, -10, 1_000_000), "EPSG:32632")
    assert np.isnan(MapToRadar(far, radar(), Hills()).places(slice(0, 40), slice(0, 50)).line).all()


def test_without_compiled_code_all_is_the_same(monkeypatch):
    rng = np.random.default_rng(4)
    places, parts = MapToRadar(utm(shape=(45, 70)), radar(), Hills(), LAYERS), (slice(3, 45), slice(1, 70))
    image = rng.random((30, 40)).astype(np.float32)
    image[7, 9] = np.nan
    line, column = rng.uniform(-2, 31, (50, 60)), rng.uniform(-2, 41, (50, 60))
    line[0, :3], column[0, :3] = (0, 29, 3), (0, 39, 4)
    sources = [rng.random(size).astype(np.float32) for size in ((40, 60), (33, 21))]
    sources[1][10:14, 3:9] = np.nan
    middle = float(np.median(places.places(*parts).line)), float(np.median(places.places(*parts).sample))
    images = (
        RadarImage((sources[0], -sources[0]), (middle[0] - 40, 2.0), (middle[1] - 60, 2.0), (-np.inf, middle[1] + 7)),
        RadarImage((sources[1], -sources[1]), (middle[0] - 30, 1.7), (middle[1] - 5, 2.5), (middle[1] + 7, np.inf)),
    )
    methods = "nearest", "bilinear", "cubic"

    def everything():
        filled = [band for m in methods for band in TerrainCorrected(places, images, m).block(*parts)[0]]
        return places.places(*parts), [sample(image, line, column, m) for m in methods], filled

    before = everything()
    for module in (lattice, layover, terrain):
        monkeypatch.setattr(module, "WORKS", False)
    after = everything()
    for one, other in zip(before[2], after[2], strict=True):
        assert 0.2 < np.isfinite(one).mean() < 1
        # Where places lie on the edge of a pixel or of an image, rounding decides.
        assert (np.isclose(one, other, atol=1e-4, equal_nan=True)).mean() > 0.995
    np.testing.assert_allclose(before[0].line, after[0].line, atol=1e-7)
    np.testing.assert_allclose(before[0].sample, after[0].sample, atol=1e-7)
    for name in LAYERS:
        np.testing.assert_allclose(before[0].layers[name], after[0].layers[name], atol=1e-3)
    for one, other in zip(before[1], after[1], strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)
    assert before[1][1][0, :3] == pytest.approx([image[0, 0], image[29, 39], image[3, 4]])


@pytest.mark.parametrize("method", ["bilinear", "cubic"])
def test_sampling_is_exact_for_what_it_can_represent(method):
    row, col = np.mgrid[0:20, 0:33].astype(float)
    image = (2 + 0.7 * row - 0.3 * col).astype(np.float32)
    line, column = np.array([[2.25, 5.0, 17.9, 0.1]]), np.array([[30.5, 6.0, 3.7, 0.2]])
    np.testing.assert_allclose(sample(image, line, column, method), 2 + 0.7 * line - 0.3 * column, rtol=1e-6)
    image[5, 6] = np.nan
    hole = sample(image, np.array([[5.0, 4.5, 5.0, 4.0, 3.0]]), np.array([[6.0, 5.5, 5.0, 6.0, 5.5]]), method)
    np.testing.assert_array_equal(np.isnan(hole), [[True, True, False, False, False]])


def test_parabolas_are_exact_in_height_and_linear_between_nodes():
    rows, cols = slice(4, 40), slice(100, 133)
    r, c = np.meshgrid(nodes_of(rows, 16), nodes_of(cols, 16), indexing="ij")
    assert r.shape == (4, 3)

    def truth(row, col, h):
        return 3.0 * row - 2.0 * col + 0.01 * h + 1e-4 * h**2 + 1e-3 * row * h

    found = Parabolas.through(np.stack([truth(r, c, h) for h in (300.0, 800.0, 1300.0)])[None], 16, 800.0, 500.0)
    row, col = np.mgrid[rows, cols].astype(float)
    height = 800 + 450 * np.sin(row * col)
    np.testing.assert_allclose(found.at(height)[0], truth(row, col, height), rtol=1e-12)


@pytest.mark.parametrize("direction", [(0, 1), (0, -1), (1, 0), (-1, 0), (0.2, 1), (-0.3, -1), (1, -0.4)])
def test_layover_and_shadow_of_a_wall(direction):
    """A ridge across the line of sight, on flat ground, under parallel rays 40 degrees from the vertical."""
    size, pixel, theta = 161, 10.0, np.radians(40)
    unit = np.array(direction) / np.hypot(*direction)
    row, col = np.mgrid[:size, :size] - size // 2
    along = pixel * (row * unit[0] + col * unit[1])
    height = np.clip(300 - np.abs(along) * 1.9, 0, None)  # slopes of 62 degrees
    distance = along * np.sin(theta) - height * np.cos(theta)
    look = along * np.cos(theta) + height * np.sin(theta)  # grows with the angle
    mask = layover_shadow(distance, look, direction)
    inner = np.hypot(row, col) < 60
    foot = 300 / 1.9
    top = -300 * np.cos(theta)  # range of the crest: where flat ground has it, layover begins
    begins, shade = top / np.sin(theta), 300 * np.tan(theta)
    # Behind the crest ranges grow again; what has the range of the front foot is the last that is seen double.
    ends = min(
        x
        for x in np.linspace(0, foot, 2000)
        if x * np.sin(theta) - (300 - 1.9 * x) * np.cos(theta) > -foot * np.sin(theta)
    )
    clear = 3 * pixel
    double, hidden = (mask & LAYOVER) > 0, (mask & SHADOW) > 0
    assert double[inner & (along > begins + clear) & (along < ends - clear)].all()
    assert not double[inner & ((along < begins - clear) | (along > ends + clear))].any()
    assert hidden[inner & (along > clear) & (along < shade - clear)].all()
    assert not hidden[inner & ((along < -clear) | (along > shade + clear))].any()


def test_flat_ground_is_seen_once_whatever_the_direction():
    grid = utm(shape=(100, 130))
    layers = MapToRadar(grid, radar(), Hills(size=0.0), ("mask",)).places(slice(0, 100), slice(0, 130)).layers
    assert (layers["mask"] == 0).all()
    steep = MapToRadar(grid, radar(), Hills(size=400.0), ("mask",)).places(slice(0, 100), slice(0, 130)).layers["mask"]
    assert set(np.unique(steep)) >= {0, 1}
    assert 0.1 < (steep > 0).mean() < 0.9


def test_images_of_other_looks_and_swaths_fit_together():
    """Two images whose values say where they are: the seam is where it should be, and gaps are filled."""
    grid, at = utm(), radar()
    places = MapToRadar(grid, at, Hills())
    line, column = np.mgrid[: at.lines, : at.samples].astype(np.float32)
    cut = 2210.3
    # One image of 2 x 3 looks of the near half and a little more, one of 1 x 1 looks that begins at sample 2000.
    near = tuple(band[:, :2400].reshape(at.lines // 2, 2, 800, 3).mean(axis=(1, 3)) for band in (line, column))
    far = [band[700:, 2000:].copy() for band in (line, column)]
    for band in far:
        band[1750:1850] = np.nan
    images = [
        RadarImage(near, (0.5, 2.0), (1.0, 3.0), (-np.inf, cut)),
        RadarImage(tuple(far), (700.0, 1.0), (2000.0, 1.0), (cut, np.inf)),
    ]
    terrain = TerrainCorrected(places, images)
    (rows, cols), found = (slice(0, 190), slice(0, 260)), places.places(slice(0, 190), slice(0, 260))
    seen = [terrain.band(k)[rows, cols] for k in (0, 1)]
    known = np.isfinite(seen[0])
    np.testing.assert_array_equal(known, np.isfinite(seen[1]))
    np.testing.assert_allclose(seen[0][known], found.line[known], atol=2e-2)
    np.testing.assert_allclose(seen[1][known], found.sample[known], atol=2e-2)
    gap = (found.line > 2450) & (found.line < 2549) & (found.sample > cut)
    assert gap.any()
    assert known[gap & (found.sample < 2390)].all(), "the near image fills what the far one lacks"
    assert not known[gap & (found.sample > 2400)].any()
    piece = terrain.band(0)[20:60, 100:150]
    np.testing.assert_allclose(piece, seen[0][20:60, 100:150], atol=2e-2)


def test_names_that_are_not_known_are_refused():
    with pytest.raises(ConfigError, match="there is no layer 'slope'; there are incidence"):
        MapToRadar(utm(), radar(), Hills(), ("slope",))
    with pytest.raises(ConfigError, match="method must be nearest, bilinear, cubic, instead got 'sinc'"):
        TerrainCorrected(MapToRadar(utm(), radar(), Hills()), (), "sinc")


def test_the_middle_of_the_image_is_where_the_map_says():
    at = radar()
    place = rdr2geo(at, at.time(2500.0), at.slant_range(2173.9), 900.0)
    assert np.degrees([place.lon.item(), place.lat.item()]) == pytest.approx([LON, LAT], abs=1e-4)
