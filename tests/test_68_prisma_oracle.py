"""PRISMA files of the simulator, read by a published reader and by ours: both see the same."""

from __future__ import annotations

import numpy as np
import pytest

from sensetrack.prisma import open_prisma
from sensetrack.prisma.simulate import PrismaRecipe, Waves, level_of, write_product

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("default")]  # theirs are not ours to answer for


def test_georeader_reads_the_same_radiance_at_the_same_places_of_level_1(tmp_path):
    reader = pytest.importorskip("georeader.readers.prisma")
    scene = Waves(lengths=(200.0, 700.0))
    path = write_product(tmp_path, scene, PrismaRecipe(level="L1", shape=(110, 130)))
    ours, theirs = open_prisma(path), reader.PRISMA(str(path))
    for wavelength in (850.0, 1600.0):
        (band,) = ours.bands(f"{wavelength:g}nm")
        pixels = ours._pixels(band, "keep", errors=True)[0:110, 0:130]
        raw = theirs.load_wavelengths(np.array([wavelength]), as_reflectance=False, raw=True)
        raw = np.squeeze(np.asarray(getattr(raw, "values", raw)))
        np.testing.assert_allclose(raw.T, pixels, rtol=1e-6)
        place = theirs.load_wavelengths(np.array([wavelength]), as_reflectance=False, raw=False)
        values = np.squeeze(np.asarray(place.values))
        row, col = np.indices(values.shape) + 0.5
        a, b, c, d, e, f = tuple(place.transform)[:6]
        x, y = a * col + b * row + c, d * col + e * row + f
        truth = scene(x, y, 30.0) * level_of(band.cube.title(), band.index) * 150
        inside = np.isfinite(values) & (values > 1)
        error = np.sqrt(np.mean((values - truth)[inside] ** 2))
        assert error < 0.05 * truth[inside].std()  # theirs is interpolated linearly
