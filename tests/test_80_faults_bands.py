"""Which bands are looked at: complex numbers, components, grey, all of them; and what must come out all the same.

The numbers in the docstrings are those of the project's list of faults.
"""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from conftest import read_tif, write_tif
from sensetrack import open_image, pair
from sensetrack.errors import ComponentWarning, ConfigError, InputError
from sensetrack.ot.algorithms import get_algorithm
from sensetrack.ot.bands import LUMINANCE
from test_40_pairing import gcp_file
from test_80_faults import follow, no_picture, refuse  # noqa: F401
from test_80_faults_rasters import write_pair
from truth import TALL, UTM, arrays

METHODS = ["ncc", "farneback"]
"""Algorithms that every kind of band and of scene is tracked with."""
PARAMETERS = {
    "ncc": {"chip": 32, "step": 16, "search": 8},
    "pcc": {"winsize": 32, "step_size": 16, "upsmp_fac": 20, "passes": 2},
}
"""What suits small scenes, where the defaults do not."""


def options_of(method: str) -> tuple[object, ...]:
    """An algorithm and its parameters for the command line."""
    settings = (("--set", f"{key}={value}") for key, value in PARAMETERS.get(method, {}).items())
    return ("--algorithm", method, *(part for pair_ in settings for part in pair_))


def median_offset(both, method) -> tuple[float, float]:
    """Median offset of a pair, by an algorithm."""
    field = get_algorithm(method)(**PARAMETERS.get(method, {}))(both.reference, both.secondary)
    return float(np.median(field.d_row[field.good])), float(np.median(field.d_col[field.good]))


def write_bands(path, pixels, names, **profile):
    """Write bands with names."""
    write_tif(path, pixels, **profile)
    with rasterio.open(path, "r+") as file:
        file.descriptions = names
    return path


def speckled(scene) -> np.ndarray:
    """Both images as complex numbers: the amplitude moves with the ground, the phase is new in each."""
    ground = np.stack([(part - part.mean()) / part.std() for part in scene])
    phase = np.random.default_rng(3).uniform(0, 2 * np.pi, ground.shape)
    return (400 * np.exp(ground / 3) * np.exp(1j * phase)).astype(np.complex64)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["complex64", "complex_int16"])
def test_of_complex_numbers_the_amplitude_is_tracked_and_that_is_said(cli, tmp_path, scene, kind, method):
    """52: the real part alone decorrelates with the phase."""
    pixels = speckled(scene)
    files = []
    for name, part in zip(("reference.tif", "secondary.tif"), pixels, strict=True):
        with rasterio.open(
            tmp_path / name, "w", driver="GTiff", width=180, height=140, count=1, dtype=kind, transform=TALL, crs=UTM
        ) as file:
            file.write(part, 1)
        files.append(tmp_path / name)
    product = follow(cli, *files, small=options_of(method)).require(share=0.6, within=0.1, tail=0.4)
    for path in files:
        assert f"{path} is complex, using its amplitude" in product.err
    np.testing.assert_allclose(open_image(files[0]).image, np.abs(read_tif(files[0])), rtol=1e-6)
    real = write_pair(tmp_path, *pixels.real.astype(np.float32))
    assert follow(cli, *real, "--overwrite", small=options_of(method)).good.mean() < 0.2


@pytest.mark.parametrize(
    "names", [("i_VV", "q_VV"), ("Real", "Imaginary"), ("Q", "I"), ("i_HH", "q_HH", "i_HV", "q_HV")]
)
def test_a_component_is_never_taken_for_an_amplitude_silently(cli, tmp_path, scene, names):
    """53."""
    pixels = speckled(scene)
    files = []
    for name, part in zip(("reference.tif", "secondary.tif"), pixels, strict=True):
        bands = np.stack([part.real, part.imag] * (len(names) // 2)).astype(np.float32)
        files.append(write_bands(tmp_path / name, bands, names))
    product = follow(cli, *files, "--band", 2)
    told = f"band {names[1]!r} is one component of complex data, not an amplitude"
    assert product.record["warnings"][:2] == [f"{path}: {told}" for path in files]
    assert product.err.count(told) == 2
    with pytest.warns(ComponentWarning, match=repr(names[0])):
        open_image(files[0])


@pytest.mark.parametrize(
    "names",
    [
        ("i_VV", "i_HH"),  # no other component
        ("i_VV", "q_HH"),  # of another polarisation
        ("red", "infrared"),
        ("q", "quality"),
        (None, None),
        ("intensity_VV", "intensity_VH"),
    ],
)
def test_other_names_are_not_components(tmp_path, scene, names):
    """53: warnings are errors here."""
    open_image(write_bands(tmp_path / "a.tif", np.stack(scene).astype(np.float32), names))


def colours(scene) -> np.ndarray:
    """(2, 3, rows, cols): red and blue are noise, new in each image, green is the ground."""
    rng = np.random.default_rng(1)
    ground = np.stack([(part - part.mean()) / part.std() for part in scene])
    noise = rng.normal(size=(2, 2, *ground.shape[1:]))
    bands = np.stack([noise[:, 0], ground, noise[:, 1]], axis=1)
    return np.clip(120 + 25 * bands, 1, 254).astype(np.uint8)


@pytest.mark.parametrize("method", METHODS)
def test_grey_is_the_luminance_of_the_colours(tmp_path, scene, method):
    pixels = colours(scene)
    files = write_pair(tmp_path, *pixels)
    expected = sum(w * band.astype(float) for w, band in zip((0.2125, 0.7154, 0.0721), pixels[0], strict=True))
    np.testing.assert_allclose(open_image(files[0], "grey").image, expected, rtol=1e-6)
    assert median_offset(pair(*files, band="grey"), method) == pytest.approx((3, 5), abs=0.1)


def test_grey_is_a_band_on_the_command_line(cli, tmp_path, scene):
    """48: and what has two bands has no grey."""
    files = write_pair(tmp_path, *colours(scene))
    product = follow(cli, *files, "--band", "grey").require()
    assert product.record["configuration"]["band"] == "grey"
    assert f"{files[0]}: grey of bands 1, 2, 3" in product.err
    two = write_tif(tmp_path / "two.tif", colours(scene)[0, :2])
    options = ("--band", "grey", "-o", tmp_path / "b")
    refuse(cli, tmp_path, files[0], two, *options, code=3, words=("grey needs three bands", "got 2 usable"), path=two)
    refuse(cli, tmp_path, *files, "--band", "all", "-o", tmp_path / "b", code=2, words=("band", "all"))


@pytest.mark.parametrize(("driver", "suffix"), [("PNG", ".png"), ("JPEG", ".jpg")])
def test_so_it_is_of_pictures(tmp_path, scene, driver, suffix):
    quality = {"quality": 95} if driver == "JPEG" else {}
    path = tmp_path / f"a{suffix}"
    write_tif(path, colours(scene)[0], affine=None, crs=None, driver=driver, **quality)
    stored = np.stack([read_tif(path, band) for band in (1, 2, 3)]).astype(float)
    grey = np.tensordot(LUMINANCE, stored, 1)
    np.testing.assert_allclose(open_image(path, "grey").image, grey, rtol=1e-6)
    np.testing.assert_array_equal(open_image(path, "all").image, np.moveaxis(stored, 0, -1))


def test_grey_looks_for_colours_by_their_names(tmp_path, scene):
    """A file whose bands are blue, green, red, infrared, alpha."""
    first = colours(scene)[0]
    roles = [ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined, ColorInterp.alpha]
    alpha = np.full_like(first[0], 255)
    alpha[:20] = 0
    path = tmp_path / "bgr.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=180, height=140, count=5, dtype="uint8", transform=TALL, crs=UTM
    ) as file:
        file.colorinterp = roles
        file.write(np.concatenate([first[::-1], first[:1], alpha[None]]))
    image = open_image(path, "grey")
    expected = np.tensordot(LUMINANCE, first.astype(float), 1)
    np.testing.assert_allclose(image.image[20:], expected[20:], rtol=1e-6)
    assert not image.valid[:20].any()
    assert image.valid[20:].all()
    every = open_image(path, "all")
    assert every.band_names == ("B1", "B2", "B3", "B4")
    assert not every.valid[:20].any()


def test_what_is_grey_of_other_numbers_of_bands(tmp_path, scene, caplog):
    caplog.set_level("INFO", "sensetrack")
    first = scene[0].astype(np.float32)
    one = write_tif(tmp_path / "one.tif", first)
    np.testing.assert_array_equal(open_image(one, "grey").image, first)
    thirteen = write_tif(tmp_path / "many.tif", np.stack([first + i for i in range(13)]))
    np.testing.assert_allclose(open_image(thirteen, "grey").image, first + 0.7154 + 2 * 0.0721, atol=1e-3)
    assert f"{thirteen}: grey of bands 1, 2, 3" in caplog.messages
    two = write_tif(tmp_path / "two.tif", np.stack([first, first]))
    with pytest.raises(InputError, match=r"two.tif: grey needs three bands, or one, instead got 2 usable"):
        open_image(two, "grey")
    with pytest.raises(InputError, match="2 usable bands"):
        pair(thirteen, two, band="grey")
    masked = tmp_path / "masked.tif"
    with rasterio.open(
        masked, "w", driver="GTiff", width=180, height=140, count=2, dtype="float32", transform=TALL, crs=UTM
    ) as file:
        file.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
        file.write(np.stack([first, np.ones_like(first)]))
    np.testing.assert_array_equal(open_image(masked, "grey").image, first)


def test_grey_is_valid_where_all_its_bands_are(tmp_path):
    """A declared value counts in any band; undeclared black is black in all of them, or else a colour."""
    pixels = np.full((3, 40, 50), 90, np.uint8)
    pixels[0, :10] = 0  # cyan
    pixels[:, 20:, 30:] = 0  # black
    image = open_image(write_tif(tmp_path / "a.tif", pixels), "grey")
    black = np.zeros((40, 50), bool)
    black[20:, 30:] = True
    np.testing.assert_array_equal(image.valid, ~black)
    assert image.image[0, 0] == pytest.approx(90 * (0.7154 + 0.0721))
    declared = open_image(write_tif(tmp_path / "b.tif", pixels, nodata=0), "grey")
    assert not declared.valid[:10].any()
    fill = pixels.astype(np.float32)
    fill[2, 15, 7] = -9999
    assert np.argwhere(~open_image(write_tif(tmp_path / "c.tif", fill), "grey").valid[:20]).tolist() == [[15, 7]]


def test_all_bands_are_one_lazy_image(tmp_path, monkeypatch):
    pixels = np.random.default_rng(5).integers(1, 60_000, (3, 600, 700)).astype(np.uint16)
    pixels[1, 5, 6] = 7
    path = write_bands(
        tmp_path / "a.tif", pixels, ("B02", None, "B08"), tiled=True, nodata=7, tags={"ACQUIRED": "2024-06-18"}
    )
    largest = []
    from sensetrack.files import raster
    from sensetrack.files.raster import RasterFile

    monkeypatch.setattr(raster, "_SMALL", 0)  # or so small a raster would be read at once
    read = RasterFile.read
    monkeypatch.setattr(
        RasterFile,
        "read",
        lambda file, band, rows, cols: (
            largest.append((rows.stop - rows.start) * (cols.stop - cols.start)) or read(file, band, rows, cols)
        ),
    )
    image = open_image(path, "all")
    assert not largest
    assert image.shape == (600, 700, 3)
    assert image.count == 3
    assert image.band_names == ("B02", "B2", "B08")
    assert image.grid.affine == TALL
    assert image.acquired.year == 2024
    window = image.data[slice(100, 140), slice(200, 260)]
    np.testing.assert_array_equal(window, np.moveaxis(pixels[:, 100:140, 200:260], 0, -1))
    np.testing.assert_array_equal(image.data[:10, 600:, 2], pixels[2, :10, 600:])
    assert max(largest) < 10_000
    assert np.argwhere(~image.valid).tolist() == np.argwhere((pixels == 7).any(axis=0)).tolist()
    assert open_image(path, "all", nodata=float("nan")).valid.all()
    with pytest.raises(InputError, match="one band, instead got 3"):
        get_algorithm("ncc")()(image, image)


def test_all_bands_of_a_file_with_control_points(tmp_path):
    """Every band is warped as one is."""
    first, second = (part.astype(np.float32) for part in arrays((120, 130), seed=2))
    one = gcp_file(tmp_path / "one.tif", second, TALL, UTM)
    with rasterio.open(one) as file:
        points, crs = file.gcps
    path = tmp_path / "two.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=130, height=120, count=2, dtype="float32", gcps=points, crs=crs
    ) as file:
        file.write(np.stack([first, second]))
    image, alone = open_image(path, "all"), open_image(one)
    assert image.grid.same_as(alone.grid)
    np.testing.assert_array_equal(image.image[..., 1], alone.image)
    assert np.isfinite(image.image[..., 0]).mean() > 0.8


@pytest.mark.parametrize("band", ["red", "", "Grey", 1.5, None, True, "2"])
def test_other_words_are_no_bands(tmp_path, band):
    """49."""
    path = write_tif(tmp_path / "a.tif", np.ones((20, 30), np.float32))
    with pytest.raises(ConfigError, match="band must be a number from 1 or 'grey' or 'all', instead got"):
        open_image(path, band)
    with pytest.raises(ConfigError, match="band must be a number from 1 or 'grey', instead got"):
        pair(path, path, band=band)


def test_a_pair_needs_one_band(tmp_path):
    path = write_tif(tmp_path / "a.tif", np.ones((3, 20, 30), np.float32))
    with pytest.raises(ConfigError, match="instead got 'all'"):
        pair(path, path, band="all")
    with pytest.raises(ConfigError, match="counted from 1, instead got band 0"):
        open_image(path, 0)
