"""The commands of the first release that prepare SAR products: ``python -m sensetrack.cosmo.preprocessing``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from sensetrack.cli import guarded
from sensetrack.cli import main as end_with
from sensetrack.cli.common import echo, progress
from sensetrack.errors import ConfigError
from sensetrack.notices import collected

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sensetrack.snap_gpt.lib import SARPreprocessor


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message, advice=f"see {self.prog} --help")


def preprocessing_parser(module: str, graph: str) -> argparse.ArgumentParser:
    """Return the parser: the flags of the first release, and where results go."""
    parser = _Parser(prog=f"python -m {module}", description="Bring a SAR product to a map.")
    parser.add_argument("--file", required=True, help="the product")
    parser.add_argument("--graph_name", default=graph, help="what is done [%(default)s]")
    parser.add_argument("--aoi", help="area of interest; without it all of the product")
    parser.add_argument("--crs", help="CRS of the result; by default the UTM zone of its middle")
    parser.add_argument("--dem", help="elevation model; engine native")
    parser.add_argument("--engine", choices=("native", "snap"), default="native", help="who does it [%(default)s]")
    parser.add_argument("-o", "--output", type=Path, default=Path(), help="folder of the result [%(default)s]")
    parser.add_argument("--overwrite", action="store_true", help="replace a result that exists")
    for flag, text in (("quiet", "say nothing but errors"), ("verbose", "say more"), ("debug", "say everything")):
        parser.add_argument(f"--{flag}", action="store_true", help=text)
    return parser


def run_preprocessing(
    preprocessor: Callable[..., SARPreprocessor], module: str, graph: str, arguments: Sequence[str] | None = None
) -> NoReturn:
    """Run the command and end with its exit code; errors become one line on stderr.

    Parameters
    ----------
    preprocessor : type
        Of the mission.
    module : str
        What the command is called: ``python -m {module}``.
    graph : str
        Default of ``--graph_name``.
    arguments : sequence of str, optional
        By default those of the process.
    """

    def run(tokens: list[str]) -> int:
        from sensetrack.workflow.pipeline import notes_of

        given = preprocessing_parser(module, graph).parse_args(tokens)
        made = preprocessor(given.aoi, given.graph_name, engine=given.engine)
        settings: dict[str, Any] = {} if given.dem is None else {"dem": given.dem}
        with collected() as caught, progress("preparing", quiet=given.quiet) as advance:
            if given.engine == "native":
                settings["advance"] = advance
            path = made.run(given.file, given.crs, folder=given.output, overwrite=given.overwrite, **settings)
        notes_of(caught)  # says them
        if not given.quiet:
            echo(str(path))
        return 0

    end_with(lambda: guarded(run, list(sys.argv[1:] if arguments is None else arguments)))
