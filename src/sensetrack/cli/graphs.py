"""`sensetrack graphs`: what SNAP can be asked to do."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from sensetrack.cli.common import Debug, Json, Quiet, Verbose, echo, echo_json


def graphs(
    name: Annotated[str | None, Parameter(help="One of them, or the file of a graph of your own.")] = None,
    /,
    *,
    json: Json = False,
    quiet: Quiet = False,  # noqa: ARG001  read before the commands are known
    verbose: Verbose = False,  # noqa: ARG001
    debug: Debug = False,  # noqa: ARG001
) -> int:
    """List the SNAP graphs, or describe one: what it is for, its steps, its parameters and their defaults."""
    from sensetrack.snap_gpt.graph import graph_names
    from sensetrack.snap_gpt.recipes import describe

    found = [describe(one) for one in ([name] if name is not None else graph_names())]
    if json:
        echo_json(found if name is None else found[0])
        return 0
    if name is None:
        for graph in found:
            echo(f"{graph['name']:24} {' > '.join(graph['steps'])}")
        return 0
    graph = found[0]
    echo(graph["name"])
    echo()
    echo(graph["about"] or "(it has no header that says what it is for)")
    echo()
    echo(" > ".join(graph["steps"]))
    echo()
    for parameter in graph["parameters"]:
        default = parameter["default"]
        shown = "" if default is None else f" [{default or 'empty'}]"
        echo(f"    {parameter['name']:24} {parameter['description'] or ''}{shown}")
    return 0
