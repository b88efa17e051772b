"""Files of studies to begin with: every setting with what it means, made from the settings themselves."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel

from sensetrack.errors import ConfigError
from sensetrack.files.atomic import write_whole
from sensetrack.workflow.study_config import StudyConfig

Use = Literal["optical", "sentinel1", "sentinel2", "slc"]
_WIDTH = 116
_PER_PAIR = ("reference_date", "secondary_date")

SAMPLES: dict[Use, tuple[str, dict[str, Any]]] = {
    "optical": (
        "images on a map, or photos: GeoTIFF, JPEG 2000, JPEG, PNG; the date of each in its header or its name",
        {
            "scenes": {"files": ["scenes/*.tif"]},
            "pairs": {"kind": "days", "max_days": 60},
            "track": {"parameters": {"chip": 64, "step": 16, "search": 16}},
            "stack": {"motion": {"seasonal": False}},
        },
    ),
    "sentinel1": (
        "products of Sentinel-1 (SLC or GRD), brought to a map once each, and tracked there",
        {
            "scenes": {"files": ["scenes/S1*.zip"]},
            "prepare": {"resolution": 10, "radar": {"dem": "dem.tif", "orbits": "orbits"}},
            "pairs": {"kind": "redundant", "neighbours": 3},
            "track": {"parameters": {"chip": 64, "step": 16, "search": 16}},
            "stack": {"motion": {"seasonal": False}},
        },
    ),
    "sentinel2": (
        "products of Sentinel-2, one tile of one orbit; clouds that the product knows are not valid",
        {
            "scenes": {"files": ["scenes/S2*.SAFE"]},
            "pairs": {"kind": "days", "max_days": 60},
            "track": {"band": "B08", "clouds": "opaque", "parameters": {"chip": 64, "step": 16, "search": 16}},
            "stack": {"motion": {"seasonal": True}},
        },
    ),
    "slc": (
        "Sentinel-1 SLCs of one track, matched in radar geometry, as topsApp of ISCE2 does",
        {
            "scenes": {"files": ["scenes/S1*_SLC_*.zip"]},
            "pairs": {"kind": "redundant", "neighbours": 3, "search_days": 12},
            "slc": {"dem": "dem.tif", "orbits": "orbits", "step": [32, 64], "search": [10, 30]},
            "stack": {"motion": {"seasonal": False}},
        },
    ),
}
"""What each is for, and what it says; the rest is there as comments."""


def write_sample(path: Path, use: Use, *, overwrite: bool = False) -> None:
    """Write a file of a study to begin with.

    Raises
    ------
    ConfigError
        It exists, or there is no such sample.
    """
    if path.exists() and not overwrite:
        raise ConfigError("exists already", path=path, advice="choose another name or say --overwrite")
    path.absolute().parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, sample(use))


def sample(use: Use) -> str:
    """Return the text of a study to begin with, YAML.

    Raises
    ------
    ConfigError
        There is no such sample.
    """
    if use not in SAMPLES:
        raise ConfigError(f"there is no sample {use!r}; there are {', '.join(SAMPLES)}")
    purpose, values = SAMPLES[use]
    head = [
        f"# A study of {purpose}.",
        "# Lines that are comments show what holds if nothing is said. Paths count from where this file is.",
        "# sensetrack run FILE --dry-run   lists what would be done",
        "# sensetrack run FILE             does it; broken off anywhere, it goes on there",
        "",
    ]
    skipped = ("track",) if use == "slc" else ("slc",)
    return "\n".join(head + _block(StudyConfig, values, 0, skipped)) + "\n"


def _block(model: type[BaseModel], values: dict[str, Any], depth: int, skipped: tuple[str, ...] = ()) -> list[str]:
    """Return the lines of the settings of a model."""
    lines: list[str] = []
    pad = "  " * depth
    for name, field in model.model_fields.items():
        if name in skipped or name in _PER_PAIR:
            continue
        unit = (field.json_schema_extra or {}).get("unit") if isinstance(field.json_schema_extra, dict) else None
        text = f"{field.description or ''}{f' ({unit})' if unit else ''}"
        lines += [f"{pad}# {line}" for line in textwrap.wrap(text, _WIDTH - len(pad))]
        inner = _model_of(field.annotation)
        given = values.get(name)
        if inner is not None:
            lines.append(f"{pad}{name}:" if given is not None else f"{pad}# {name}:")
            lines += _block(inner, given or {}, depth + 1)
        elif name in values:
            lines.append(f"{pad}{_shown(name, given)}")
        else:
            default = field.get_default(call_default_factory=True)
            lines.append(f"{pad}# {_shown(name, _plain(default))}")
        if depth == 0:
            lines.append("")
    return lines


def _model_of(annotation: Any) -> type[BaseModel] | None:
    for one in (annotation, *get_args(annotation)):
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    return value


def _shown(name: str, value: Any) -> str:
    """Return a key and its value as YAML, on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    text = text.strip().removesuffix("...").strip()  # which ends a bare value
    return f"{name}: {text}"
