"""The commands of the first release: ``python -m sensetrack.ot.opencvof`` and its sisters.

Their flags are generated from the parameters of the algorithms; what they write has the names of then and the signs of
now. argparse, because of ``-prep``: one dash and several letters.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from sensetrack.cli import guarded
from sensetrack.cli import main as end_with
from sensetrack.cli.common import echo, progress
from sensetrack.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sensetrack.ot.interfaces import OTAlgorithm


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message, advice=f"see {self.prog} --help")


class BaseCLI:
    """One algorithm as a command.

    Parameters
    ----------
    algorithm : str
        Name of a registered algorithm.
    module : str
        What the command is called: ``python -m {module}``.
    """

    output = "output.tif"

    def __init__(self, algorithm: str, module: str = "sensetrack.ot") -> None:
        from sensetrack.ot.algorithms import get_algorithm

        self.algorithm, self.module = get_algorithm(algorithm), module
        if self.algorithm.name == "pcc":
            self.output = "output.gpkg"

    def add_common_args(self, parser: argparse.ArgumentParser) -> None:
        """Add the flags every command has."""
        parser.add_argument("-r", "--reference", required=True, help="the first image")
        parser.add_argument("-t", "--target", "--secondary", required=True, help="the second image")
        parser.add_argument(
            "-o", "--output", type=Path, default=Path(self.output),
            help="file of the results: .tif, .png or .jpg for {stem}_dxx and {stem}_dyy, .gpkg or .shp for points; "
            "existing ones are refused without --overwrite [%(default)s]",
        )  # fmt: skip
        parser.add_argument(
            "-b", "--band", type=int, help="band, counted from 0; without it the grey of the first three bands"
        )
        parser.add_argument("--nodata", type=float, help="value without measurement; overrides the files")
        parser.add_argument(
            "-prep", "--preprocessing", default="equalize",
            help="filter before the algorithm, none for none; see sensetrack preprocessors [%(default)s]",
        )  # fmt: skip
        parser.add_argument("--resultant_displacement", action="store_true", help="write the length only, to OUTPUT")
        parser.add_argument("--overwrite", action="store_true", help="replace results that exist")
        parser.add_argument("--workers", type=int, help="threads; default: the cores there are")
        for flag, text in (("quiet", "say nothing but errors"), ("verbose", "say more"), ("debug", "say everything")):
            parser.add_argument(f"--{flag}", action="store_true", help=text)

    def get_parser(self) -> argparse.ArgumentParser:
        """Return the parser: common flags, and one for each parameter of the algorithm."""
        parser = _Parser(
            prog=f"python -m {self.module}",
            description=" ".join((self.algorithm.__doc__ or "").split("\n\n")[0].split()),
            epilog="dxx is positive east, dyy positive north, in metres on the ground; without georeference dxx counts "
            "px to the right and dyy px up. NaN where a pixel cannot be trusted.",
        )
        self.add_common_args(parser)
        group = parser.add_argument_group("parameters of the algorithm")
        for name, field in self.algorithm.model_fields.items():
            unit = (field.json_schema_extra or {}).get("unit")  # type: ignore[union-attr]
            shown = field.default
            if isinstance(shown, tuple):
                shown = shown[0] if len(set(shown)) == 1 else ",".join(map(str, shown)) or "none"
            text = f"{field.description} [{shown}{f' {unit}' if unit else ''}]".replace("%", "%%")
            options: dict[str, Any] = {"metavar": "VALUE", "type": _value}
            if isinstance(field.default, bool):
                options = {"action": argparse.BooleanOptionalAction}
            group.add_argument(f"--{name}", help=text, default=argparse.SUPPRESS, **options)
        return parser

    def get_algorithm(self, **values: Any) -> OTAlgorithm:
        """Return the algorithm with those of `values` that are parameters of it."""
        return self.algorithm.from_dict({k: v for k, v in values.items() if k in self.algorithm.model_fields})

    def run(self, arguments: Sequence[str] | None = None) -> int:
        """Run the command and return its exit code; errors become one line on stderr."""
        return guarded(self._run, list(sys.argv[1:] if arguments is None else arguments))

    def _run(self, tokens: list[str]) -> int:
        from sensetrack.workflow.config import TrackConfig
        from sensetrack.workflow.seed import run_seed

        given = self.get_parser().parse_args(tokens)
        if given.band is not None and given.band < 0:
            raise ConfigError(f"bands are counted from 0 here, instead got band {given.band}")
        config = TrackConfig(
            algorithm=self.algorithm.name,
            parameters=self.get_algorithm(**vars(given)).to_dict(),
            preprocess=self._filter(given.preprocessing),
            band="grey" if given.band is None else given.band + 1,
            nodata=given.nodata,
        )
        with progress("matching", quiet=given.quiet) as advance:
            written = run_seed(
                given.reference, given.target, given.output, config, resultant=given.resultant_displacement,
                overwrite=given.overwrite, workers=given.workers, advance=advance,
            )  # fmt: skip
        if not given.quiet:
            echo("\n".join(str(path) for path in written))
        return 0

    def _filter(self, name: str) -> str:
        """Return the name of the filter in the flavour of the algorithm's library, where there is one."""
        from sensetrack.ot.image_processing import PREPROCESSORS

        own = f"{self.algorithm.library}_{name}".lower()
        return own if own in PREPROCESSORS else name


def _value(text: str) -> Any:
    """Read a value as YAML does; None means the default."""
    import yaml

    try:
        return None if text in ("None", "") else yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be read") from error


def main(algorithm: str, module: str) -> NoReturn:
    """Entry point of the commands of the first release."""
    end_with(lambda: BaseCLI(algorithm, module).run())
