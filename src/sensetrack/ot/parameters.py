"""What every set of parameters has in common: frozen, checked, and the same in Python, JSON, YAML and a shell."""

from __future__ import annotations

import json
import os
import reprlib
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sensetrack.errors import ConfigError, OutputError, one_line

PxPair = tuple[
    Annotated[int, Field(ge=1)],
    Annotated[int, Field(ge=1)],
]
"""(rows, columns) in px."""


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
        import yaml

        return cls.from_dict(load_mapping(Path(path), yaml.safe_load))

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
