"""``python -m sensetrack.prisma.extract``: a layer of a PRISMA product as a GeoTIFF, by the flags of then."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from sensetrack.cli import guarded
from sensetrack.cli import main as end_with
from sensetrack.cli.common import echo
from sensetrack.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "python -m sensetrack.prisma.extract"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message, advice=f"see {self.prog} --help")


def get_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = _Parser(
        prog=PROGRAM,
        description="Write a layer of a PRISMA product, radiance or reflectance by its level, as a GeoTIFF on a map.",
        epilog="The file is called {stem}[{cube}_{band}].tif. The same, and whole cubes: sensetrack prepare.",
    )
    parser.add_argument("-f", "--file", required=True, help="the product, .he5 or its zip")
    parser.add_argument("-d", "--datacube", default="pan", help="pan, vnir or swir [%(default)s]")
    parser.add_argument(
        "-b", "--band", type=int,
        help="layer, counted from 0 as stored; the first ones of many products hold nothing [of a cube: the first that "
        "holds something]",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, default=Path(), help="folder [the one you are in]")
    parser.add_argument("--overwrite", action="store_true", help="replace a result that exists")
    parser.add_argument("--workers", type=int, help="threads; default: the cores there are")
    for flag, text in (("quiet", "say nothing but errors"), ("verbose", "say more"), ("debug", "say everything")):
        parser.add_argument(f"--{flag}", action="store_true", help=text)
    return parser


def run(tokens: Sequence[str] | None = None) -> int:
    """Run, and return the exit code."""
    return guarded(_extract, list(sys.argv[1:] if tokens is None else tokens))


def _extract(tokens: list[str]) -> int:
    arguments = get_parser().parse_args(tokens)
    from sensetrack.prisma.extract import bands_of
    from sensetrack.prisma.product import open_prisma
    from sensetrack.workflow.prisma import PrismaConfig, prepare_prisma

    product = open_prisma(arguments.file)
    band = bands_of(product, arguments.datacube, arguments.band)[0]
    name = f"{product.path.stem}[{arguments.datacube}_{band.index}].tif"
    done: dict[str, Any] = prepare_prisma(
        product, arguments.output / name, (band.name,), PrismaConfig(), overwrite=arguments.overwrite,
        workers=arguments.workers,
    )  # fmt: skip
    if not arguments.quiet:
        echo(f"written to {done['file']}")
    return 0


def main() -> NoReturn:
    """Run, and end the process with the exit code."""
    end_with(run)
