"""`sensetrack algorithms` and `sensetrack preprocessors`: what there is, with parameters, defaults and units."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from sensetrack.cli.common import Debug, Json, Quiet, Verbose, echo, echo_json

Name = Annotated[str | None, Parameter(help="Only this one.")]


def algorithms(
    name: Name = None,
    /,
    *,
    json: Json = False,
    quiet: Quiet = False,  # noqa: ARG001  read before the commands are known
    verbose: Verbose = False,  # noqa: ARG001
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """List the algorithms, or describe one: its parameters, their defaults and units."""
    from sensetrack.ot.algorithms import ALGORITHMS, get_algorithm

    return _list([get_algorithm(name)] if name else [ALGORITHMS[key] for key in sorted(ALGORITHMS)], name, json)


def preprocessors(
    name: Name = None,
    /,
    *,
    json: Json = False,
    quiet: Quiet = False,  # noqa: ARG001  read before the commands are known
    verbose: Verbose = False,  # noqa: ARG001
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """List the filters for --preprocess, or describe one: its parameters, their defaults and units."""
    from sensetrack.ot.image_processing import PREPROCESSORS, get_preprocessor

    chosen = [get_preprocessor(name)] if name else [PREPROCESSORS[key] for key in sorted(PREPROCESSORS)]
    return _list(chosen, name, json)


def _list(chosen: list[Any], name: str | None, json: bool) -> int:  # noqa: FBT001
    described = [describe(model) for model in chosen]
    if json:
        echo_json(described)
        return 0
    for entry in described:
        library = f" ({entry['library']})" if "library" in entry else ""
        echo(f"{entry['name']:12} {entry['summary']}{library}")
        if name:
            echo(f"\n{entry['description']}\n")
        for key, about in entry["parameters"].items():
            unit = f" {about['unit']}" if about["unit"] else ""
            echo(f"    {key:12} {about['description']} [{about['default']}{unit}]")
        echo()
    return 0


def describe(model: Any) -> dict[str, Any]:
    """Return name, text and parameters of an algorithm or a filter as plain values."""
    text = " ".join((model.__doc__ or "").split())
    parameters = {}
    for key, field in model.model_fields.items():
        extra = field.json_schema_extra or {}
        default = field.default
        parameters[key] = {
            "default": list(default) if isinstance(default, tuple) else default,
            "unit": extra.get("unit"),
            "description": field.description,
        }
    own = {key: getattr(model, key) for key in ("library", "min_score") if hasattr(model, key)}
    return {
        "name": model.name,
        **own,
        "summary": text.split(". ")[0].split(": ")[0].rstrip("."),
        "description": text,
        "parameters": parameters,
        "schema": model.model_json_schema(),
    }
