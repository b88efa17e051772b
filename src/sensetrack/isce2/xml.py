"""The three files that `topsApp.py` reads, written and read back.

ISCE2 minds neither case nor blanks in the names of properties, and neither does the reader.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET  # to write; what is read goes through files.markup

from sensetrack.errors import ConfigError, InputError, OutputError
from sensetrack.files.markup import LARGEST, parse_xml
from sensetrack.files.safe import check_file, read_head
from sensetrack.isce2.settings import Scene, TopsApp

if TYPE_CHECKING:
    import os

SCENE = {
    "orbit directory": "orbit_directory", "auxiliary data directory": "auxiliary_data_directory",
    "output directory": "output_directory", "safe": "safe", "polarization": "polarization",
    "region of interest": "region_of_interest",
}  # fmt: skip
"""Properties of a date, and what they are called here."""
PROPERTIES: dict[str, tuple[str, int | None]] = {
    "Sensor name": ("sensor", None),
    "swaths": ("swaths", None),
    "region of interest": ("region_of_interest", None),
    "demFilename": ("dem", None),
    "azimuth looks": ("azimuth_looks", None),
    "range looks": ("range_looks", None),
    "do interferogram": ("do_interferogram", None),
    "do ESD": ("do_esd", None),
    "do unwrap": ("do_unwrap", None),
    "do unwrap 2 stage": ("do_unwrap_2stage", None),
    "do ionosphere correction": ("do_ionosphere", None),
    "do dense offsets": ("dense_offsets", None),
    "Ampcor window width": ("window", 1),
    "Ampcor window height": ("window", 0),
    "Ampcor search window width": ("search", 1),
    "Ampcor search window height": ("search", 0),
    "Ampcor skip width": ("skip", 1),
    "Ampcor skip height": ("skip", 0),
    "Ampcor margin": ("margin", None),
    "Ampcor oversampling factor": ("oversampling", None),
    "Range shift": ("gross", 1),
    "Azimuth shift": ("gross", 0),
    "SNR Threshold factor": ("snr_threshold", None),
    "Filter NULL factor": ("null", None),
    "Filter window size": ("median", None),
    "offset geocode list": ("geocode_list", None),
    "geocode bounding box": ("geocode_box", None),
    "use GPU": ("use_gpu", None),
}
"""Properties of a run, and what they are called here: a field, or one side (0 rows, 1 columns) of a pair."""
_PAIRS = {"window": (64, 64), "search": (20, 20), "skip": (32, 32), "gross": (0, 0)}
_DEFAULTS = {
    "do_interferogram": True, "do_esd": True, "dense_offsets": False, "do_unwrap": False, "do_unwrap_2stage": False
}  # fmt: skip
"""What ISCE2 takes where a file says nothing."""
FILES = ("reference.xml", "secondary.xml", "topsApp.xml")


def write_topsapp(folder: str | os.PathLike[str], settings: TopsApp) -> tuple[Path, ...]:
    """Write ``reference.xml``, ``secondary.xml`` and ``topsApp.xml``, and return their paths.

    Raises
    ------
    OutputError
        They cannot be written.
    """
    place = Path(folder)
    root = ET.Element("topsApp")
    application = ET.SubElement(root, "component", name="topsinsar")
    documents = {}
    for name in ("reference", "secondary"):
        scene: Scene = getattr(settings, name)
        inner = ET.SubElement(application, "component", name=name)
        ET.SubElement(inner, "catalog").text = f"{name}.xml"
        documents[f"{name}.xml"] = element = ET.Element("component", name=name)
        said = scene.model_copy(update={"output_directory": scene.output_directory or name})
        for title, field in SCENE.items():
            _put(element, title, getattr(said, field))
    for title, (field, side) in PROPERTIES.items():
        value = getattr(settings, field)
        _put(application, title, value if side is None else value[side])
    documents["topsApp.xml"] = root
    try:
        place.mkdir(parents=True, exist_ok=True)
        for name, element in documents.items():
            ET.indent(element, "    ")
            text = ET.tostring(element, encoding="unicode")
            (place / name).write_text(f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n', encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot be written ({error.strerror})", path=place) from error
    return tuple(place / name for name in FILES)


def _put(element: ET.Element, title: str, value: Any) -> None:
    """Add a property; what has no value is left to ISCE2."""
    if value is None or value == ():
        return
    text = str(list(value)) if isinstance(value, tuple) else str(value)
    ET.SubElement(element, "property", name=title).text = text


def read_topsapp(path: str | os.PathLike[str]) -> TopsApp:
    """Read ``topsApp.xml`` and the catalogues it names beside it.

    What a file does not say is what ISCE2 takes then, not what sensetrack would.

    Raises
    ------
    InputError
        No such file, no topsApp.xml, or a catalogue that lies elsewhere.
    ConfigError
        A value of the wrong kind, or one that ISCE2 refuses.
    """
    file = check_file(path)
    root = parse_xml(read_head(file, LARGEST + 1), file)
    application = next((one for one in root.iter("component") if _same(one.get("name"), "topsinsar")), None)
    if application is None:
        raise InputError("has no component topsinsar", path=file, advice="is it the topsApp.xml of a run?")
    fields: dict[str, Any] = dict(_DEFAULTS)
    pairs: dict[str, list[Any]] = {name: list(sides) for name, sides in _PAIRS.items()}
    known = {_key(title): place for title, place in PROPERTIES.items()} | {
        _key("do denseoffsets"): ("dense_offsets", None)
    }
    for title, text in _properties(application):
        place = known.get(_key(title))
        if place is None:
            continue
        field, side = place
        value = _value(text, file, title)
        if side is None:
            fields[field] = value
        else:
            pairs[field][side] = value
    scenes = {name: _scene(application, name, file) for name in ("reference", "secondary")}
    return TopsApp.from_dict(fields | {name: tuple(pair) for name, pair in pairs.items()} | scenes)


def _scene(application: Any, name: str, file: Path) -> Scene:
    element = next((one for one in application.findall("component") if _same(one.get("name"), name)), None)
    if element is None:
        raise InputError(f"has no component {name}", path=file)
    catalogue = element.findtext("catalog")
    if catalogue is not None:
        beside = file.parent / catalogue.strip()
        if Path(catalogue.strip()).name != catalogue.strip():
            raise InputError(
                f"the catalogue of {name} must lie beside it, instead got {catalogue.strip()!r}", path=file
            )
        file = check_file(beside)
        element = parse_xml(read_head(file, LARGEST + 1), file)
    known = {_key(title): field for title, field in SCENE.items()}
    said = {
        known[_key(title)]: _value(text, file, title) for title, text in _properties(element) if _key(title) in known
    }
    return Scene.from_dict(said)


def _properties(element: Any) -> list[tuple[str, str]]:
    """Return names and texts of the properties directly under an element."""
    found = []
    for one in element.findall("property"):
        text = one.text if one.findtext("value") is None else one.findtext("value")
        found.append((one.get("name", ""), (text or "").strip()))
    return found


def _value(text: str, file: Path, title: str) -> Any:
    """Read a value as ISCE2 does: Python's numbers, lists and truths, with or without brackets; else text."""
    if len(text) > 65536:
        raise ConfigError(f"{title} must have at most 65536 characters", path=file)
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        lowered = text.lower()
        if lowered in {"true", "false", "none"}:
            return {"true": True, "false": False, "none": None}[lowered]
        return text
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _key(name: str) -> str:
    return "".join(name.lower().split())


def _same(name: str | None, wanted: str) -> bool:
    return _key(name or "") == wanted
