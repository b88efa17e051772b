"""Styles for QGIS, which loads a ``.qml`` beside a raster by itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np

from sensetrack.ot.fields import Flag
from sensetrack.pictures.ramps import LENGTH, SHARE, SIGNED, colour_range, hexadecimal, ramp

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from sensetrack.products.layers import Layer

    Array = NDArray[Any]

_STOPS = 11
"""Classes of a ramp; QGIS mixes colours between them."""
_VERSION = "3.22.0"
"""The QGIS whose words are used; later ones read them."""


@dataclass(frozen=True)
class _Look:
    """Which band of a file is shown, and how."""

    band: str
    ramp: str


_LOOKS = {
    "displacement.tif": _Look("magnitude", LENGTH),
    "velocity.tif": _Look("speed", LENGTH),
    "offsets.tif": _Look("d_row", SIGNED),
    "quality.tif": _Look("score", SHARE),
    "geometry.tif": _Look("incidence", LENGTH),
}
_FLAG_COLOURS = {
    Flag.NO_DATA: "#bdbdbd", Flag.LOW_TEXTURE: "#8c6d31", Flag.PEAK_AT_EDGE: "#9467bd", Flag.LOW_SCORE: "#ff7f0e",
    Flag.OUTLIER: "#d62728", Flag.FILLED: "#17becf", Flag.OUT_OF_AOI: "#e0e0e0", Flag.LAYOVER: "#e377c2",
    Flag.SHADOW: "#4d4d4d", Flag.CLOUD: "#aec7e8", Flag.SNOW: "#c7e9f1",
}  # fmt: skip
_TELLING = (
    Flag.NO_DATA, Flag.OUT_OF_AOI, Flag.LAYOVER, Flag.SHADOW, Flag.CLOUD, Flag.SNOW, Flag.LOW_TEXTURE,
    Flag.PEAK_AT_EDGE, Flag.LOW_SCORE, Flag.OUTLIER, Flag.FILLED,
)  # fmt: skip
"""Where reasons add up, the first of these gives the colour: what lies at the root of the others."""


def write_styles(folder: Path, layers: list[Layer], looks: dict[str, tuple[str, str]] | None = None) -> None:
    """Write a style beside every file of a product, with the same stem.

    Parameters
    ----------
    folder : Path
    layers : list of Layer
    looks : dict, optional
        Band and ramp (LENGTH, SIGNED or SHARE of `sensetrack.pictures.ramps`) by which a file is shown; those of
        `track` and `slc` are known.
    """
    known = _LOOKS | {file: _Look(*look) for file, look in (looks or {}).items()}
    flags = next((values for layer in layers for name, _, values in layer.bands if name == "flags"), None)
    for layer in layers:
        look = known.get(layer.file)
        renderer = _palette(layer.bands[0][2]) if look is None else _pseudocolour(layer, look, flags)
        tree = ET.ElementTree(_document(renderer))
        ET.indent(tree)
        path = (folder / layer.file).with_suffix(".qml")
        with path.open("wb") as file:
            file.write(b"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n")
            tree.write(file, encoding="utf-8", xml_declaration=False)


def _document(renderer: ET.Element) -> ET.Element:
    root = ET.Element("qgis", version=_VERSION, styleCategories="Symbology", hasScaleBasedVisibilityFlag="0")
    pipe = ET.SubElement(root, "pipe")
    provider = ET.SubElement(pipe, "provider")
    # Posts are samples: neither mixed with their neighbours nor with nodata.
    ET.SubElement(
        provider, "resampling", enabled="false", maxOversampling="2",
        zoomedInResamplingMethod="nearestNeighbour", zoomedOutResamplingMethod="nearestNeighbour",
    )  # fmt: skip
    pipe.append(renderer)
    ET.SubElement(pipe, "brightnesscontrast", brightness="0", contrast="0", gamma="1")
    ET.SubElement(pipe, "rasterresampler", maxOversampling="2")
    ET.SubElement(pipe, "resamplingStage").text = "resamplingFilter"
    ET.SubElement(root, "blendMode").text = "0"
    return root


def _renderer(kind: str, band: int, **more: str) -> ET.Element:
    renderer = ET.Element("rasterrenderer", type=kind, band=str(band), opacity="1", alphaBand="-1", nodataColor="")
    renderer.attrib.update(more)
    ET.SubElement(renderer, "rasterTransparency")
    origin = ET.SubElement(renderer, "minMaxOrigin")
    # The classes are as written here: QGIS must not stretch them to what is on the screen.
    for tag, text in (("limits", "None"), ("extent", "WholeRaster"), ("statAccuracy", "Exact")):
        ET.SubElement(origin, tag).text = text
    return renderer


def _pseudocolour(layer: Layer, look: _Look, flags: Array | None) -> ET.Element:
    names = [name for name, _, _ in layer.bands]
    band = names.index(look.band)
    _, unit, values = layer.bands[band]
    suffix = "" if unit == "1" else f" {unit}"
    classes = _classes(values, np.isfinite(values) if flags is None else flags == 0, look.ramp)
    low, high = classes[0][0], classes[-1][0]
    ends = {"classificationMin": repr(low), "classificationMax": repr(high)}
    renderer = _renderer("singlebandpseudocolor", band + 1, **ends)
    shader = ET.SubElement(
        ET.SubElement(renderer, "rastershader"), "colorrampshader", colorRampType="INTERPOLATED",
        classificationMode="1", clip="0", labelPrecision="6", minimumValue=repr(low), maximumValue=repr(high),
    )  # fmt: skip
    shader.append(_gradient(classes))
    for value, colour in classes:
        label = f"{value:.4g}{suffix}"
        ET.SubElement(shader, "item", value=repr(value), label=label, color=colour, alpha="255")
    ET.SubElement(shader, "rampLegendSettings", useContinuousLegend="0", suffix=suffix, prefix="")
    return renderer


def _classes(values: Array, good: Array, name: str) -> list[tuple[float, str]]:
    """Values and colours of the classes.

    The ramp spans what most good posts need; the few values beyond get its end colours in classes of their own,
    so that the classes cover every value there is.
    """
    low, high = (0.0, 1.0) if name == SHARE else colour_range(values, good, signed=name == SIGNED)
    classes = [(float(low + share * (high - low)), colour) for share, colour in _stops(name)]
    finite = values[np.isfinite(values)]
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (low, high)
    if least < low:
        classes.insert(0, (least, classes[0][1]))
    if most > high:
        classes.append((most, classes[-1][1]))
    return classes


@lru_cache
def _stops(name: str) -> list[tuple[float, str]]:
    """Shares of the way along a ramp, and the colours there."""
    colours = ramp(name)
    return [(share, hexadecimal(colours[min(255, int(share * 256))])) for share in np.linspace(0, 1, _STOPS)]


def _gradient(classes: list[tuple[float, str]]) -> ET.Element:
    """Return the ramp the classes were taken from, for those who want others."""
    low, span = classes[0][0], classes[-1][0] - classes[0][0]

    def rgba(colour: str) -> str:
        return ",".join(str(int(colour[k : k + 2], 16)) for k in (1, 3, 5)) + ",255"

    stops = ":".join(f"{(value - low) / span:.6g};{rgba(colour)}" for value, colour in classes[1:-1])
    element = ET.Element("colorramp", type="gradient", name="[source]")
    options = ET.SubElement(element, "Option", type="Map")
    for key, text in (
        ("color1", rgba(classes[0][1])),
        ("color2", rgba(classes[-1][1])),
        ("discrete", "0"),
        ("rampType", "gradient"),
        ("stops", stops),
    ):
        ET.SubElement(options, "Option", type="QString", name=key, value=text)
    return element


def _palette(flags: Array) -> ET.Element:
    """One class for every sum of reasons that occurs; good posts are clear."""
    renderer = _renderer("paletted", 1)
    palette = ET.SubElement(renderer, "colorPalette")
    for value in sorted({0, *np.unique(flags).tolist()}):
        raised = [flag for flag in Flag if value & flag]
        label = " + ".join(str(flag.name) for flag in raised) or "good"
        first = next((flag for flag in _TELLING if value & flag), None)
        colour = _FLAG_COLOURS[first] if first is not None else "#ffffff"
        ET.SubElement(
            palette, "paletteEntry", value=str(value), label=label, color=colour, alpha="255" if value else "0"
        )
    return renderer
