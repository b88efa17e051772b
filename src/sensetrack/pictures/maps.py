"""Layers as plain pictures, one dot per post: for slides, for the web, and laid over a map."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import numpy as np
from affine import Affine

from sensetrack.errors import ConfigError, OutputError
from sensetrack.ot.frames import old_wkt
from sensetrack.pictures.ramps import LENGTH, SIGNED, colour_range, ramp

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray

    from sensetrack.ot.fields import Displacement, OffsetField

    Array = NDArray[Any]

_PAPER = 255
"""Grey of what is not good, in pictures that cannot be transparent."""
_KINDS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}


def displacement_picture(
    path: str | PathLike[str],
    values: Array,
    good: Array | None = None,
    *,
    name: str = "magnitude",
    unit: str = "m",
    signed: bool = False,
    limits: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Draw one layer as a picture of 8 bits per colour, one dot per value.

    Parameters
    ----------
    path : path-like
        A PNG (transparent where not good) or a JPEG (white there), told by the suffix; replaced where it exists.
    values : ndarray
        (rows, cols), row 0 on top; NaN = not measured.
    good : ndarray of bool, optional
        True where the value can be trusted; by default everywhere.
    name, unit : str
        What is shown.
    signed : bool
        True: colours for both signs, white at 0; False: colours for lengths from 0.
    limits : (float, float), optional
        Values at both ends of the colours, those beyond get the last one; by default what 99.5 % of the good
        values need, rounded up.

    Returns
    -------
    dict
        layer, unit, range and ramp; a PNG says them in its text chunks.

    Raises
    ------
    ConfigError
        The suffix is of another kind.
    OutputError
        The picture cannot be written.
    """
    target = Path(path)
    kind = _KINDS.get(target.suffix.lower())
    if kind is None:
        message = f"a picture must end in {', '.join(_KINDS)}, instead got {target.suffix or 'nothing'}"
        raise ConfigError(message, path=target)
    shown = np.isfinite(values) if good is None else np.asarray(good, bool) & np.isfinite(values)
    low, high = limits or colour_range(values, shown, signed=signed)
    colours = SIGNED if signed else LENGTH
    pixels = _coloured(values, shown, (low, high), ramp(colours), opaque=kind == "jpeg")
    text = {
        "Title": name,
        "Description": f"{name}: {colours} from {low:g} to {high:g} {unit}; transparent where it is not to be trusted",
        "Unit": unit,
        "Range": f"{low:g} {high:g}",
        "Ramp": colours,
    }
    _save(target, pixels, kind, text)
    return {"layer": name, "unit": unit, "range": [low, high], "ramp": colours}


def draw_maps(folder: Path, offsets: OffsetField, displacement: Displacement | None) -> dict[str, dict[str, Any]]:
    """Draw the components of the motion and its length, each with a world file; return what the colours mean.

    In metres, or in px where there is no georeference; then the world file puts the posts at (col, -row) px,
    where QGIS shows the images.
    """
    if displacement is None:
        unit, good = "px", offsets.good
        layers = {"d_row": offsets.d_row, "d_col": offsets.d_col, "magnitude": offsets.magnitude}
        place = (
            Affine.translation(offsets.start[1], -offsets.start[0])
            @ Affine.scale(offsets.step[1], -offsets.step[0])
            @ Affine.translation(-0.5, -0.5)
        )
    else:
        unit, good = "m", displacement.good
        layers = {"dx": displacement.dx, "dy": displacement.dy, "magnitude": displacement.magnitude}
        place = displacement.grid.transform
    # Both components get one range, so that their colours can be compared.
    widest = max(colour_range(values, good, signed=True)[1] for name, values in layers.items() if name != "magnitude")
    drawn = {}
    for name, values in layers.items():
        path = folder / f"{name}.png"
        both: dict[str, Any] = {} if name == "magnitude" else {"signed": True, "limits": (-widest, widest)}
        drawn[path.name] = displacement_picture(path, values, good, name=name, unit=unit, **both)
        _write_world_file(path, place)
        if displacement is not None:
            _write_crs(path, displacement.grid.crs)
    return drawn


def _coloured(
    values: Array, shown: Array, limits: tuple[float, float], colours: NDArray[np.uint8], *, opaque: bool
) -> NDArray[np.uint8]:
    """Turn values into RGBA or RGB, some rows at a time."""
    low, high = limits
    out = np.full((*values.shape, 3 if opaque else 4), _PAPER if opaque else 0, np.uint8)
    every = max(1, 4_000_000 // max(1, values.shape[1]))
    for top in range(0, values.shape[0], every):
        part, there = values[top : top + every], shown[top : top + every]
        share = (part[there].astype(np.float64) - low) / (high - low if high > low else 1.0)
        picked = colours[np.clip(share * 256, 0, 255).astype(np.uint8)]
        out[top : top + every][there, :3] = picked
        if not opaque:
            out[top : top + every][there, 3] = 255
    return out


def _save(path: Path, pixels: NDArray[np.uint8], kind: str, text: dict[str, str]) -> None:
    from PIL import Image, PngImagePlugin

    options: dict[str, Any] = {"quality": 92}
    if kind == "png":
        chunks = PngImagePlugin.PngInfo()
        for key, value in text.items():
            chunks.add_text(key, value)
        options = {"pnginfo": chunks}
    try:
        Image.fromarray(pixels).save(path, format=kind, **options)
    except OSError as error:
        raise OutputError("cannot be written", path=path, advice="check space and permission of the disk") from error


def _write_world_file(path: Path, affine: Affine) -> None:
    """Write where a PNG lies on the map; a world file counts from the centre of the first pixel."""
    x, y = affine @ (0.5, 0.5)
    terms = (affine.a, affine.d, affine.b, affine.e, x, y)
    path.with_suffix(".pgw").write_text("".join(f"{float(term)!r}\n" for term in terms), encoding="ascii")


def _write_crs(path: Path, crs: Any) -> None:
    """Write the CRS of a PNG where GDAL and QGIS look for it: a world file has no place for it."""
    text = f"<PAMDataset>\n  <SRS>{escape(old_wkt(crs))}</SRS>\n</PAMDataset>\n"
    path.with_name(f"{path.name}.aux.xml").write_text(text, encoding="utf-8")
