"""Tables of calibration and noise that come with a Sentinel-1 swath."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sensetrack.errors import MetadataError
from sensetrack.sar.calibration import CalibrationLut
from sensetrack.sar.noise import NoiseAzimuth, NoiseLut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sensetrack.sentinel.s1_xml import Node

_QUANTITIES = {"sigma0": "sigmaNought", "beta0": "betaNought", "gamma0": "gamma"}


def read_calibration(calibration: Node, first_line: int = 0) -> CalibrationLut:
    """Return the amplitudes of a calibration annotation.

    Parameters
    ----------
    calibration : Node
    first_line : int
        Line of the annotation that is line 0 of the image.

    Raises
    ------
    MetadataError
        A tag is missing or cannot be understood.
    """
    vectors = _by_line(calibration, "calibrationVectorList/calibrationVector")
    if not vectors:
        raise MetadataError("calibrationVectorList/calibrationVector is missing", path=calibration.path)
    lines = np.array(list(vectors)) - first_line
    with _named(calibration):
        return CalibrationLut.from_vectors(
            lines,
            [vector.numbers("pixel") for vector in vectors.values()],
            {name: [vector.numbers(tag) for vector in vectors.values()] for name, tag in _QUANTITIES.items()},
        )


def read_noise(noise: Node, shape: tuple[int, int], first_line: int = 0) -> NoiseLut:
    """Return the power of thermal noise: of one table (before 2018), or of range and azimuth vectors.

    Parameters
    ----------
    noise : Node
    shape : (int, int)
        Lines and samples of the image: parts that do not say where they end, end there.
    first_line : int
        Line of the annotation that is line 0 of the image.

    Raises
    ------
    MetadataError
        A tag is missing or cannot be understood.
    """
    where, tag = "noiseRangeVectorList/noiseRangeVector", "noiseRangeLut"
    if noise.maybe(where) is None:
        where, tag = "noiseVectorList/noiseVector", "noiseLut"
    vectors = _by_line(noise, where)
    if not vectors:
        raise MetadataError("noiseRangeVectorList or noiseVectorList is missing or empty", path=noise.path)
    with _named(noise):
        table = NoiseLut.from_vectors(
            np.array(list(vectors)) - first_line,
            [vector.numbers("pixel") for vector in vectors.values()],
            [vector.numbers(tag) for vector in vectors.values()],
        )
        parts = [_part(part, shape, first_line) for part in noise.all("noiseAzimuthVectorList/noiseAzimuthVector")]
        return replace(table, azimuth=tuple(parts))


def _part(part: Node, shape: tuple[int, int], first_line: int) -> NoiseAzimuth:
    last = {"firstAzimuthLine": 0, "lastAzimuthLine": first_line + shape[0] - 1}
    last |= {"firstRangeSample": 0, "lastRangeSample": shape[1] - 1}
    top, bottom, left, right = (part.whole(tag, str(value)) for tag, value in last.items())
    lines, factors = part.numbers("line"), part.numbers("noiseAzimuthLut")
    if lines.size != factors.size:
        message = f"noiseAzimuthLut must have one value per line, instead got {factors.size} for {lines.size}"
        raise MetadataError(message, path=part.path)
    lines, kept = np.unique(lines, return_index=True)
    return NoiseAzimuth(
        top - first_line, bottom - first_line, left, right, lines - first_line, factors[kept], part.text("swath", "")
    )


def _by_line(document: Node, where: str) -> dict[int, Node]:
    """Return vectors by ascending line; of two for the same line, which slices put together have, the first."""
    found: dict[int, Node] = {}
    for vector in document.all(where):
        found.setdefault(vector.whole("line"), vector)
    return dict(sorted(found.items()))


@contextmanager
def _named(document: Node) -> Iterator[None]:
    """Name the document in errors of tables that are built from it."""
    try:
        yield
    except MetadataError as error:
        error.path = error.path or document.path
        raise
