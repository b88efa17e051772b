"""Directives that write tables and help texts from the code itself, so that they cannot drift from it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx

from sensetrack import Flag
from sensetrack.cli import COMMANDS, PARTS
from sensetrack.ot.algorithms import ALGORITHMS
from sensetrack.ot.image_processing import PREPROCESSORS
from sensetrack.ot.parameters import Parameters

FLAG_MEANING = {
    "NO_DATA": "too few usable pixels in one of the images",
    "LOW_TEXTURE": "the chip, or all there is to compare it with, is of one brightness",
    "PEAK_AT_EDGE": "the best match lies at the end of the search,"
    " or beyond the search limit of the post: the true one may lie further",
    "LOW_SCORE": "the score is below the threshold",
    "OUTLIER": "the offset disagrees with those around it",
    "FILLED": "the value was interpolated from neighbours, not measured",
    "OUT_OF_AOI": "the post lies outside the area of interest",
    "LAYOVER": "radar layover",
    "SHADOW": "radar or cast shadow",
    "CLOUD": "cloud",
    "SNOW": "snow",
    "INCONSISTENT": "tracked back, the post does not return to where it started (dense flows)",
}


def shown(value: Any) -> str:
    """Return a default as a user would type it on the command line."""
    if value is None or value in ({}, ()):
        return "-"
    if isinstance(value, Parameters):
        return "its defaults"
    if isinstance(value, tuple):
        return "`" + (str(value[0]) if len(set(value)) == 1 else ", ".join(map(str, value))) + "`"
    return f"`{value}`"


def parameter_rows(model: type[Parameters]) -> list[tuple[str, str, str, str]]:
    """Name, default, unit and description of every parameter of a model."""
    rows = []
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra
        unit = str(extra.get("unit", "")) if isinstance(extra, dict) else ""
        default = "required" if field.is_required() else shown(field.get_default(call_default_factory=True))
        rows.append((name, default, unit, field.description or ""))
    return rows


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Lines of a Markdown table."""
    return ["| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows)]


class Living(Directive):
    """A directive whose content is Markdown written by `lines`."""

    has_content = False

    def lines(self) -> list[str]:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        node = nodes.section()
        node.document = self.state.document
        self.state.nested_parse(StringList(self.lines(), source="living_tables"), 0, node, match_titles=True)
        return node.children


class Flags(Living):
    """Every flag with its number and meaning."""

    def lines(self) -> list[str]:
        rows = [(f"`{flag.name}`", str(flag.value), FLAG_MEANING[flag.name or ""]) for flag in Flag]
        return table(("flag", "value", "what it says"), rows)


class Registered(Living):
    """A section for every class of a registry: what it is, and its parameters."""

    registries: ClassVar[dict[str, Any]] = {"algorithms": ALGORITHMS, "preprocessors": PREPROCESSORS}
    required_arguments = 1

    def lines(self) -> list[str]:
        out = []
        for name, model in sorted(self.registries[self.arguments[0]].items()):
            doc = [line.strip() for line in (model.__doc__ or "").strip().splitlines()]
            out += [f"## `{name}`", "", *doc, "", f"In Python: `{model.__module__}.{model.__name__}`."]
            if library := getattr(model, "library", None):
                out[-1] += f" Done by: {library}."
            rows = parameter_rows(model)
            head = ("parameter", "default", "unit", "what it is")
            out += ["", *(table(head, rows) if rows else ["It has no parameters."]), ""]
        return out


class ParameterTable(Living):
    """The parameters of one model, named as ``module.Class``."""

    required_arguments = 1

    def lines(self) -> list[str]:
        module, _, name = self.arguments[0].rpartition(".")
        model = getattr(import_module(module), name)
        return table(("key", "default", "unit", "what it is"), parameter_rows(model))


class CliHelp(Directive):
    """What the command line prints when asked for help."""

    optional_arguments = 8

    def run(self) -> list[nodes.Node]:
        env = os.environ | {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb", "PYTHONIOENCODING": "utf-8"}
        command = [sys.executable, "-m", "sensetrack", *self.arguments, "--help"]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", env=env, check=False)
        if done.returncode != 0:
            message = f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-500:]}"
            raise self.error(message)
        text = f"$ sensetrack {' '.join([*self.arguments, '--help'])}\n{done.stdout.rstrip()}"
        return [nodes.literal_block(text, text, language="text")]


class CliCommands(Living):
    """A section for every command: its help."""

    def lines(self) -> list[str]:
        out = []
        for name in COMMANDS:
            for words in [f"{name} {part}" for part in PARTS.get(name, ())] or [name]:
                out += [f"## `sensetrack {words}`", "", f"```{{cli-help}} {words}", "```", ""]
        return out


class ImportContracts(Living):
    """The contracts on imports, from pyproject.toml."""

    def lines(self) -> list[str]:
        text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
        out = []
        for contract in tomllib.loads(text)["tool"]["importlinter"]["contracts"]:
            if contract["type"] == "layers":
                order = " > ".join(layer.replace("sensetrack.", "") for layer in contract["layers"])
                out.append(f"- **{contract['name']}**: `{order}`")
            else:
                who, what = (
                    ", ".join(name.replace("sensetrack.", "") for name in contract[f"{kind}_modules"])
                    for kind in ("source", "forbidden")
                )
                out.append(f"- **{contract['name']}**: `{who}` never import `{what}`")
        return out


def describe_parameters(_app: Sphinx, what: str, _name: str, thing: Any, _options: Any, lines: list[str]) -> None:
    """Append the parameters of a model to its docstring, in the numpydoc form."""
    if what != "class" or not (isinstance(thing, type) and issubclass(thing, Parameters)):
        return
    if not thing.model_fields or any(line.strip() == "Parameters" for line in lines):
        return
    lines += ["", "Parameters", "----------"]
    for name, default, unit, text in parameter_rows(thing):
        notes = ", ".join(part for part in (unit, f"default {default.replace('`', '')}") if part)
        lines += [f"{name} : {notes}", f"    {text}"]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("flags", Flags)
    app.add_directive("registered", Registered)
    app.add_directive("parameters", ParameterTable)
    app.add_directive("import-contracts", ImportContracts)
    app.add_directive("cli-help", CliHelp)
    app.add_directive("cli-commands", CliCommands)
    app.connect("autodoc-process-docstring", describe_parameters, priority=400)  # before numpydoc
    return {"parallel_read_safe": True, "version": "1"}
