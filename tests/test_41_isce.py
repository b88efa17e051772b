"""The files of ISCE2's dense offsets: what GDAL reads of them, and what comes back."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

from sensetrack.errors import ConfigError, InputError, MetadataError, OutputError, UnsafeInputError
from sensetrack.files.isce import DenseOffsets, dense_offsets_names, read_dense_offsets, write_dense_offsets
from sensetrack.files.isce_raw import read_raw, write_raw
from sensetrack.grid import Grid
from sensetrack.ot.fields import OffsetField

SHAPE = (5, 7)
MAP = Affine(0.0012, 0, 38.25, 0, -0.0005, -69.875)
"""Degrees; south, steps of different sizes."""


@pytest.fixture
def offsets():
    rng = np.random.default_rng(6)
    d_row, d_col = (rng.normal(level, 1, SHAPE).astype(np.float32) for level in (3, -5))
    d_row[1, 2] = d_col[1, 2] = 0
    snr, (a, b, c) = rng.gamma(3, 2, SHAPE).astype(np.float32), rng.gamma(2, 1e-3, (3, *SHAPE))
    covariance = np.stack([a, 2 * b, -c], axis=-1).astype(np.float32)
    filtered = tuple(part + np.float32(0.25) for part in (d_row, d_col))
    for part in (d_row, d_col, snr, covariance):
        part[3, 4:6] = np.nan
    filtered[0][0, 1] = filtered[1][0, 1] = np.nan
    return DenseOffsets(d_row, d_col, snr, covariance, filtered)


def opened(path):
    """Return driver, pixels, null values and transform as GDAL sees them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            return file.driver, file.read(), file.nodatavals, file.transform, file.crs, file.descriptions


def filled(array, value):
    return np.where(np.isnan(array), np.float32(value), array)


def same(first, second):
    for name in ("d_row", "d_col", "snr", "covariance"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), name)
    for one, other in zip(first.filtered, second.filtered, strict=True):
        np.testing.assert_array_equal(one, other)


def test_gdal_reads_what_was_written(tmp_path, offsets):
    before = offsets.d_row.copy()
    written = write_dense_offsets(tmp_path, offsets)
    np.testing.assert_array_equal(offsets.d_row, before)
    assert tuple(path.name for path in written) == dense_offsets_names(offsets)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(dense_offsets_names(offsets))
    cov = offsets.covariance
    expected = {
        "dense_offsets": (-10000, [offsets.d_row, offsets.d_col], ("azimuth offset (px)", "range offset (px)")),
        "dense_offsets_snr": (0, [offsets.snr], ("snr",)),
        "dense_offsets_cov": (
            999,
            [cov[..., 1], cov[..., 0], cov[..., 2]],
            ("variance of range (px2)", "variance of azimuth (px2)", "covariance (px2)"),
        ),
        "filt_dense_offsets": (-10000, list(offsets.filtered), ("azimuth offset (px)", "range offset (px)")),
    }
    for name, (null, bands, called) in expected.items():
        pixels = np.stack([filled(band, null) for band in bands])
        assert (tmp_path / f"{name}.bil").stat().st_size == pixels.size * 4
        driver, found, *_ = opened(tmp_path / f"{name}.bil")
        assert driver == "ISCE"
        np.testing.assert_array_equal(found, pixels)
        driver, found, nulls, _, _, descriptions = opened(tmp_path / f"{name}.bil.vrt")
        assert (driver, nulls, descriptions) == ("VRT", (null,) * len(bands), called)
        np.testing.assert_array_equal(found, pixels)


def test_it_comes_back(tmp_path, offsets):
    write_dense_offsets(tmp_path, offsets)
    found = read_dense_offsets(tmp_path)
    same(found, offsets)
    assert found.geo is None
    assert found.d_row[1, 2] == 0, "no motion is a measurement"


def test_a_folder_may_be_moved(tmp_path, offsets):
    (tmp_path / "here").mkdir()
    write_dense_offsets(tmp_path / "here", offsets)
    moved = (tmp_path / "here").rename(tmp_path / "there")
    np.testing.assert_array_equal(opened(moved / "dense_offsets.bil.vrt")[1][0], filled(offsets.d_row, -10000))
    same(read_dense_offsets(moved), offsets)


def test_maps_are_never_zero_where_nothing_is(tmp_path, offsets):
    write_dense_offsets(tmp_path, offsets, geo=MAP)
    names = dense_offsets_names(offsets, geo=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    for name in ("dense_offsets", "dense_offsets_snr", "dense_offsets_cov", "filt_dense_offsets"):
        raw, *_ = read_raw(tmp_path / f"{name}.bil.geo")
        for path in (tmp_path / f"{name}.bil.geo", tmp_path / f"{name}.bil.geo.vrt"):
            _, pixels, nulls, transform, crs, _ = opened(path)
            np.testing.assert_array_equal(pixels, raw)
            assert transform.almost_equals(MAP, 1e-12)
            if path.suffix == ".vrt":
                assert set(nulls) == {-10000}
                assert crs.to_epsg() == 4326
        if name != "filt_dense_offsets":
            assert (raw[:, 3, 4:6] == -10000).all()
    found = read_dense_offsets(tmp_path, geo=True)
    same(found, offsets)
    assert found.geo == MAP
    again = tmp_path / "again"
    again.mkdir()
    written = write_dense_offsets(again, found)
    assert tuple(path.name for path in written) == names == dense_offsets_names(found)
    assert (again / names[0]).read_bytes() == (tmp_path / names[0]).read_bytes()


def test_zeros_around_the_maps_of_isce2_are_no_measurements(tmp_path, offsets):
    outside = np.zeros(SHAPE, bool)
    outside[:, :2] = True
    d_row, d_col, snr = (np.where(outside, 0, part) for part in (offsets.d_row, offsets.d_col, offsets.snr))
    write_dense_offsets(tmp_path, DenseOffsets(d_row, d_col, snr), geo=MAP)
    found = read_dense_offsets(tmp_path, geo=True)
    assert np.isnan([found.d_row[:, :2], found.d_col[:, :2], found.snr[:, :2]]).all()
    assert found.d_row[1, 2] == 0
    np.testing.assert_array_equal(found.d_row[:, 2:], offsets.d_row[:, 2:])


def test_variances_of_both_programs_of_isce2(tmp_path, offsets):
    """The one for graphics cards writes azimuth before range, and pixel by pixel (BIP)."""
    write_dense_offsets(tmp_path, offsets)
    cpu = read_dense_offsets(tmp_path)
    for name, bands in (("dense_offsets", [offsets.d_row, offsets.d_col]), ("dense_offsets_cov", offsets.covariance)):
        layers = np.stack(bands, axis=-1) if isinstance(bands, list) else bands
        (tmp_path / f"{name}.bil").unlink()
        header = (tmp_path / f"{name}.bil.xml").read_text().replace("<value>BIL<", "<value>BIP<")
        (tmp_path / f"{name}.bip.xml").write_text(header)
        filled(layers, 999 if "cov" in name else -10000).astype("<f4").tofile(tmp_path / f"{name}.bip")
    same(read_dense_offsets(tmp_path, order="gpu"), cpu)
    swapped = read_dense_offsets(tmp_path)
    np.testing.assert_array_equal(swapped.covariance, cpu.covariance[..., [1, 0, 2]])


def test_what_is_not_there_is_not_written(tmp_path, offsets):
    few = replace(offsets, snr=None, covariance=None, filtered=None)
    assert dense_offsets_names(few) == ("dense_offsets.bil", "dense_offsets.bil.xml", "dense_offsets.bil.vrt")
    write_dense_offsets(tmp_path, few)
    found = read_dense_offsets(tmp_path)
    assert (found.snr, found.covariance, found.filtered) == (None, None, None)
    np.testing.assert_array_equal(found.d_col, offsets.d_col)


def test_a_field_of_offsets_is_taken_as_it_is(tmp_path, offsets):
    flags = np.zeros(SHAPE, np.uint16)
    field = OffsetField(
        offsets.d_row, offsets.d_col, flags, Grid(SHAPE), snr=offsets.snr, covariance=offsets.covariance
    )
    write_dense_offsets(tmp_path, DenseOffsets.of(field, offsets.filtered))
    same(read_dense_offsets(tmp_path), offsets)


def test_nan_may_be_the_null_value(tmp_path, offsets):
    write_dense_offsets(tmp_path, offsets, null=np.nan)
    raw, _ = read_raw(tmp_path / "dense_offsets.bil")
    np.testing.assert_array_equal(raw, np.stack([offsets.d_row, offsets.d_col]))
    assert np.isnan(opened(tmp_path / "dense_offsets.bil.vrt")[2]).all()
    same(read_dense_offsets(tmp_path), offsets)


@pytest.mark.parametrize(
    ("null", "said"), [(0, "must not be 0"), (400.0, "must not be among the measurements of dense_offsets")]
)
def test_null_values_that_are_measurements_are_refused(tmp_path, offsets, null, said):
    offsets.d_row[0, 0] = 400
    with pytest.raises(ConfigError, match=said):
        write_dense_offsets(tmp_path, offsets, null=null)


def test_layers_of_other_shapes_are_refused(tmp_path, offsets):
    with pytest.raises(InputError, match=r"dense_offsets_snr must have the shape \(5, 7\) .* instead got \(4, 7\)"):
        write_dense_offsets(tmp_path, replace(offsets, snr=offsets.snr[1:]))
    with pytest.raises(InputError, match="must not be rotated"):
        write_dense_offsets(tmp_path, offsets, geo=MAP @ Affine.rotation(10))
    with pytest.raises(OutputError, match="cannot be written"):
        write_dense_offsets(tmp_path / "nowhere", offsets)


@pytest.mark.parametrize(
    ("byte_order", "scheme", "kind", "dtype"),
    [
        ("b", "BSQ", "SHORT", ">i2"),
        ("l", "BIP", "DOUBLE", "<f8"),
        ("l", "BIL", "CFLOAT", "<c8"),
        ("b", "bil", "Float", ">f4"),
    ],
)
def test_raw_images_of_every_layout(tmp_path, byte_order, scheme, kind, dtype):
    pixels = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    order = {"BSQ": (0, 1, 2), "BIL": (1, 0, 2), "BIP": (1, 2, 0)}[scheme.upper()]
    np.ascontiguousarray(pixels.transpose(order)).astype(dtype).tofile(tmp_path / "image")
    # As some versions of ISCE2 spell it: capitals, blanks, sizes with the coordinates only.
    said = {"Byte_Order": byte_order, "Scheme": f" {scheme} ", "DATA_TYPE": kind, "number_bands": 2}
    axes = "".join(
        f'<component name="Coordinate{n}"><property name="SIZE"><value> {size} </value></property></component>'
        for n, size in ((1, 4), (2, 3))
    )
    body = "".join(f'<property name="{key}"><value>{value}</value></property>' for key, value in said.items())
    (tmp_path / "image.xml").write_text(f"<imageFile>{axes}{body}</imageFile>")
    found, where = read_raw(tmp_path / "image")
    np.testing.assert_array_equal(found, pixels)
    assert where is None
    assert found.dtype == np.dtype(dtype).newbyteorder("=")


@pytest.mark.parametrize(
    ("find", "put", "error", "said"),
    [
        ("FLOAT", "PICKLE", MetadataError, "data_type must be one of .* instead got 'PICKLE'"),
        ("<value>BIL<", "<value>BOX<", MetadataError, "scheme must be one of BIL, BIP, BSQ"),
        (
            'length"><value>5',
            'length"><value>6',
            InputError,
            r"must have 336 bytes \(2 x 6 x 7 FLOAT.* instead got 280",
        ),
        ('length"><value>5', 'length"><value>-5', MetadataError, "length must be a number of pixels, instead got '-5'"),
        ('width"><value>7', 'width"><value>99999999999', MetadataError, "width must be a number of pixels"),
        ('delta"><value>0.0012', 'delta"><value>wide', MetadataError, "coordinates must be numbers"),
        ("<imageFile>", "<!DOCTYPE a [<!ENTITY b 'c'>]><imageFile>", UnsafeInputError, "forbidden"),
        ("</imageFile>", "", MetadataError, "damaged XML"),
    ],
)
def test_headers_that_do_not_fit_are_errors(tmp_path, offsets, find, put, error, said):
    write_dense_offsets(tmp_path, replace(offsets, snr=None, covariance=None, filtered=None), geo=MAP)
    header = tmp_path / "dense_offsets.bil.geo.xml"
    text = header.read_text()
    assert find in text
    header.write_text(text.replace(find, put))
    with pytest.raises(error, match=said):
        read_dense_offsets(tmp_path, geo=True)


def test_file_names_in_a_header_are_not_followed(tmp_path, offsets):
    write_dense_offsets(tmp_path, offsets)
    header = tmp_path / "dense_offsets.bil.xml"
    header.write_text(header.read_text().replace("<value>dense_offsets.bil<", "<value>/etc/passwd<"))
    same(read_dense_offsets(tmp_path), offsets)


def test_folders_without_offsets_or_with_strangers(tmp_path, offsets):
    with pytest.raises(InputError, match=r"has no dense_offsets.bil"):
        read_dense_offsets(tmp_path)
    write_dense_offsets(tmp_path, offsets)
    with pytest.raises(ConfigError, match="cpu or gpu"):
        read_dense_offsets(tmp_path, order="tpu")
    write_raw(tmp_path / "dense_offsets_snr.bil", [offsets.snr[1:]], ["snr"], null=None)
    with pytest.raises(
        InputError, match=r"dense_offsets_snr must have the shape of the offsets \(5, 7\), instead got \(4, 7\)"
    ):
        read_dense_offsets(tmp_path)
    write_raw(tmp_path / "dense_offsets.bil", [offsets.d_row], ["azimuth"], null=None)
    with pytest.raises(InputError, match="must have 2 bands, instead got 1"):
        read_dense_offsets(tmp_path)
    (tmp_path / "dense_offsets.bil.xml").unlink()
    with pytest.raises(InputError, match=r"dense_offsets.bil.xml: not found"):
        read_dense_offsets(tmp_path)
