"""`sensetrack algorithms`: what there is, with parameters, defaults and units."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from sensetrack.cli.common import Debug, Json, Quiet, Verbose, echo, echo_json


def algorithms(
    name: Annotated[str | None, Parameter(help="Only this one.")] = None,
    /,
    *,
    json: Json = False,
    quiet: Quiet = False,  # noqa: ARG001  read before the commands are known
    verbose: Verbose = False,  # noqa: ARG001
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """List the algorithms, or describe one: its parameters, their defaults and units."""
    from sensetrack.ot.algorithms import ALGORITHMS, get_algorithm

    chosen = [get_algorithm(name)] if name else [ALGORITHMS[key] for key in sorted(ALGORITHMS)]
    described = [describe(algorithm) for algorithm in chosen]
    if json:
        echo_json(described)
        return 0
    for entry in described:
        echo(f"{entry['name']:12} {entry['summary']} ({entry['library']})")
        if name:
            echo(f"\n{entry['description']}\n")
        for key, about in entry["parameters"].items():
            unit = f" {about['unit']}" if about["unit"] else ""
            echo(f"    {key:12} {about['description']} [{about['default']}{unit}]")
        echo()
    return 0


def describe(algorithm: Any) -> dict[str, Any]:
    """Return name, text and parameters of an algorithm as plain values."""
    text = " ".join((algorithm.__doc__ or "").split())
    parameters = {}
    for key, field in algorithm.model_fields.items():
        extra = field.json_schema_extra or {}
        default = field.default
        parameters[key] = {
            "default": list(default) if isinstance(default, tuple) else default,
            "unit": extra.get("unit"),
            "description": field.description,
        }
    return {
        "name": algorithm.name,
        "library": algorithm.library,
        "summary": text.split(". ")[0].split(": ")[0].rstrip("."),
        "description": text,
        "min_score": algorithm.min_score,
        "parameters": parameters,
        "schema": algorithm.model_json_schema(),
    }
