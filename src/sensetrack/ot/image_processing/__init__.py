"""Contrast and texture filters before matching: fitted once on the whole image, applied window by window.

A filter never touches `valid`, and invalid pixels never reach it: what is where nothing was measured cannot
change what is beside it.
"""

from __future__ import annotations

from sensetrack.ot.image_processing.base import (
    PREPROCESSORS,
    Preprocessor,
    get_preprocessor,
    preprocess,
    register,
)
from sensetrack.ot.image_processing.clahe import Clahe
from sensetrack.ot.image_processing.contrast import Decibel, Equalize, LogNorm, MinMax, NoPreprocessing, ZScore
from sensetrack.ot.image_processing.flavours import (
    OpenCVClahe,
    OpenCVEqualize,
    OpenCVLogNorm,
    OpenCVMinMax,
    OpenCVSvdDenoise,
    OpenCVZScore,
    SkimageClahe,
    SkimageEqualize,
    SkimageLogNorm,
    SkimageMinMax,
    SkimageZScore,
)
from sensetrack.ot.image_processing.local import (
    DifferenceOfGaussians,
    HighPass,
    LocalZScore,
    NearAnisotropicOrientation,
    Orientation,
    Wallis,
)
from sensetrack.ot.image_processing.svd import SvdDenoise
from sensetrack.ot.plugins import load_plugins

__all__ = [
    "PREPROCESSORS",
    "Clahe",
    "Decibel",
    "DifferenceOfGaussians",
    "Equalize",
    "HighPass",
    "LocalZScore",
    "LogNorm",
    "MinMax",
    "NearAnisotropicOrientation",
    "NoPreprocessing",
    "OpenCVClahe",
    "OpenCVEqualize",
    "OpenCVLogNorm",
    "OpenCVMinMax",
    "OpenCVSvdDenoise",
    "OpenCVZScore",
    "Orientation",
    "Preprocessor",
    "SkimageClahe",
    "SkimageEqualize",
    "SkimageLogNorm",
    "SkimageMinMax",
    "SkimageZScore",
    "SvdDenoise",
    "Wallis",
    "ZScore",
    "get_preprocessor",
    "preprocess",
    "register",
]

load_plugins("sensetrack.preprocessors")
