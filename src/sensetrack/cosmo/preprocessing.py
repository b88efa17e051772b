"""The command of the first release: ``python -m sensetrack.cosmo.preprocessing --file A.h5 --aoi area.gpkg``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

from sensetrack.cosmo.prepare import CHAIN, CosmoPreprocessor, CSGPreprocessor, CSKPreprocessor

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CSGPreprocessor", "CSKPreprocessor", "CosmoPreprocessor", "main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Prepare products; exit with 0 where all went well (the first release had it the other way round)."""
    from sensetrack.cli.seed_sar import run_preprocessing

    run_preprocessing(CosmoPreprocessor, "sensetrack.cosmo.preprocessing", CHAIN, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
