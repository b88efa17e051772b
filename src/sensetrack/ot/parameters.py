"""What every set of parameters has in common: frozen, checked, and the same in Python, JSON, YAML and a shell."""

from __future__ import annotations

import json
import math
import os
import reprlib
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo

from sensetrack.errors import ConfigError, OutputError, one_line
from sensetrack.ot.plain_yaml import plain_yaml

PxPair = tuple[
    Annotated[int, Field(ge=1)],
    Annotated[int, Field(ge=1)],
]
"""(rows, columns) in px."""


def _four(value: Any, info: ValidationInfo) -> Any:
    value = tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value
    if value is not None and not (isinstance(value, list | tuple) and len(value) == 4):
        raise ConfigError(f"{info.field_name} must be four numbers, xmin,ymin,xmax,ymax, instead got {brief(value)}")
    return value


def _ordered(value: Any, info: ValidationInfo) -> Any:
    if not (value[0] < value[2] and value[1] < value[3] and all(map(math.isfinite, value))):
        text = ",".join(f"{part:g}" for part in value)
        raise ConfigError(f"{info.field_name} must be xmin,ymin,xmax,ymax, each smallest first, instead got {text}")
    return value


Box = Annotated[tuple[float, float, float, float], BeforeValidator(_four), AfterValidator(_ordered)]
"""xmin, ymin, xmax, ymax, also as text."""


def both(value: Any) -> Any:
    """Read one number as the same number for rows and columns, and text such as ``256x64`` as a pair."""
    if isinstance(value, str):
        value = tuple(part.strip() for part in value.replace("x", ",").split(","))
        value = value[0] if len(value) == 1 else value
    return value if value is None or isinstance(value, (tuple, list)) else (value, value)


class Parameters(BaseModel):
    """Frozen, validated parameters that refuse strangers.

    Positional arguments follow the order of the fields. Bad values and unknown keys raise `ConfigError`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        names = list(type(self).model_fields)
        if len(args) > len(names):
            message = f"{type(self).__name__} takes at most {len(names)} arguments, instead got {len(args)}"
            raise ConfigError(message)
        positional = dict(zip(names, args, strict=False))
        twice = sorted(positional.keys() & kwargs.keys())
        if twice:
            message = f"{type(self).__name__} got {', '.join(twice)} twice"
            raise ConfigError(message)
        try:
            super().__init__(**positional, **kwargs)
        except ValidationError as error:
            own = error.errors()[0].get("ctx", {}).get("error")
            if isinstance(own, ConfigError):  # said by a check of ours, and better
                raise own from None
            raise ConfigError(explain(error, type(self).__name__, names)) from error

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Build from a mapping; unknown keys are errors that name the known ones.

        None means the default, except where it is a value of its own.
        """
        if not isinstance(values, dict):
            message = f"{cls.__name__} must be described by a mapping, instead got {type(values).__name__}"
            raise ConfigError(message)
        own = {key for key, field in cls.model_fields.items() if type(None) in get_args(field.annotation)}
        return cls(**{str(key): value for key, value in values.items() if value is not None or key in own})

    @classmethod
    def from_json(cls, path: str | Path) -> Self:
        """Build from a JSON file."""
        return cls.from_dict(load_mapping(Path(path), json.loads))

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Build from a YAML file."""
        return cls.from_dict(load_mapping(Path(path), plain_yaml))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values (numbers, text, lists) that `from_dict` reads back."""
        values = self.model_dump(mode="json")
        # JSON has no NaN; as text it is read back.
        return {k: "nan" if isinstance(v, float) and v != v else v for k, v in values.items()}  # noqa: PLR0124

    def to_json(self, path: str | Path | None = None) -> str:
        """Return the parameters as JSON text, and write it to `path` where given."""
        return _save(json.dumps(self.to_dict(), indent=2) + "\n", path)

    def to_yaml(self, path: str | Path | None = None) -> str:
        """Return the parameters as YAML text, and write it to `path` where given."""
        import yaml

        return _save(yaml.safe_dump(self.to_dict(), sort_keys=False), path)

    # The spellings of the first release.
    from_JSON: ClassVar = from_json  # noqa: N815
    from_YAML: ClassVar = from_yaml  # noqa: N815

    def toJSON(self, file: str | Path | None = None) -> None:  # noqa: N802
        """Write the parameters as JSON, by default to ``{class}_parms.json`` in the working folder."""
        self.to_json(file or f"{type(self).__name__}_parms.json")


def explain(error: ValidationError, owner: str, known: list[str]) -> str:
    """Say in one sentence what is wrong with parameters: rule and value found, or the keys that exist."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or owner
    if first["type"] == "extra_forbidden":
        return f"{owner} has no parameter {brief(one_line(key))}; it has {', '.join(known)}"
    if first["type"] == "missing":
        return f"{owner} needs {key}"
    rule = first["msg"][0].lower() + first["msg"][1:]
    return f"{owner}.{key}: {rule}, instead got {brief(first['input'])}"


def brief(value: Any) -> str:
    """Show a value in at most 80 characters, however deep it is nested."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother = 2, 60, 60
    return short.repr(value)[:80]


def load_mapping(path: Path, parse: Any) -> dict[str, Any]:
    """Read a small text file of parameters."""
    if path.exists() and not path.is_file():
        raise ConfigError("is not a regular file", path=path)
    try:
        values = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError("not found", path=path) from error
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", path=path) from error
    except Exception as error:  # each parser has errors of its own; all mean the same to the user
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"is not valid ({first})", path=path) from error
    if not isinstance(values, dict) or not isinstance(values.get("configuration", {}), dict):
        message = f"must hold a mapping of parameters, instead got {type(values).__name__}"
        raise ConfigError(message, path=path)
    return values


def settings_of(path: str | Path) -> dict[str, Any]:
    """Read a YAML or JSON file of settings; the record of a run has them under ``configuration``."""
    values = load_mapping(Path(path), plain_yaml)
    return dict(values.get("configuration", values))


def merged(values: Any, changes: dict[str, Any]) -> dict[str, Any]:
    """Return a tree of settings with changes; None changes nothing."""
    out = dict(values) if isinstance(values, dict) else {}
    for key, value in changes.items():
        if isinstance(value, dict):
            out[key] = merged(out.get(key), value)
        elif value is not None:
            out[key] = value
    return out


def put(values: dict[str, Any], dotted: str, value: Any) -> None:
    """Set a value of a tree of settings by its keys, such as ``track.parameters.chip``."""
    keys = dotted.split(".")
    for depth, key in enumerate(keys[:-1]):
        if values.get(key) is None:
            values[key] = {}
        if not isinstance(values[key], dict):
            message = f"{dotted} cannot be set, because {'.'.join(keys[: depth + 1])} has no keys"
            raise ConfigError(message)
        values = values[key]
    values[keys[-1]] = value


def _save(text: str, path: str | Path | None) -> str:
    """Write a text, whole or not at all."""
    if path is not None:
        part = Path(f"{path}.{os.getpid()}.part")
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise OutputError(f"cannot be written ({error.strerror})", path=path) from error
    return text
