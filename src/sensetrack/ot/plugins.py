"""What other packages add: algorithms and filters, found through entry points."""

from __future__ import annotations

import logging
import sys
from importlib import metadata

log = logging.getLogger(__name__)


def load_plugins(group: str) -> None:
    """Import what other packages offer under an entry point group; their classes register themselves.

    A package that cannot be imported, or would take a name of ours, is named in a warning and left out: one broken
    plug-in does not stop a job that does not use it.
    """
    for point in metadata.entry_points(group=group):
        if point.module in sys.modules:  # imported, or importing us just now
            continue
        try:
            point.load()
        except Exception as error:  # whatever other people's code raises
            log.warning("plug-in %s of %s cannot be used (%s: %s)", point.name, group, type(error).__name__, error)
