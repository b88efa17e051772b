"""What `sensetrack prepare --engine snap` does: products through a graph of SNAP, one after another."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from sensetrack.cli.common import progress
from sensetrack.errors import ConfigError
from sensetrack.notices import collected, say

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

log = logging.getLogger(__name__)


def prepare_with_snap(
    products: Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    *,
    graph: str | None,
    settings: Sequence[str] = (),
    dry_run: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    **options: Any,
) -> list[Path]:
    """Put products through a graph and return the results, or with `dry_run` the filled graphs.

    Parameters
    ----------
    products : sequence of path-like
    folder : path-like
    graph : str or None
        Name or file; None is an error that names those there are.
    settings : sequence of str
        Parameters of the graph as they stand on a command line, ``name=value``.
    dry_run, overwrite, quiet : bool
    **options
        Other fields of `SnapConfig`; None means the default.
    """
    from sensetrack.snap_gpt.graph import graph_names
    from sensetrack.snap_gpt.prepare import SnapConfig, plan, run_graph

    if graph is None:
        raise ConfigError("engine snap needs a graph", advice=f"say --graph with one of {', '.join(graph_names())}")
    given = {key: value for key, value in options.items() if value is not None}
    config = SnapConfig(graph=graph, values=dict(_setting(text) for text in settings), **given)
    done = []
    with collected():
        for product in products:  # what is wrong with the last is said before the first has taken an hour
            plan(product, config)
    for product in products:
        with collected() as caught, progress(f"SNAP {graph}", quiet=quiet) as report:
            done.append(run_graph(product, folder, config, dry_run=dry_run, overwrite=overwrite, report=report))
        say(caught, log)
    return done


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set must be name=value, instead got {text!r}")
    return key.strip(), value
