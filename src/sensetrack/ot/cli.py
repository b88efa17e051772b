"""The commands of the first release; they live in `sensetrack.cli.seed`, where commands live."""

from __future__ import annotations

from sensetrack.cli.seed import BaseCLI

__all__ = ["BaseCLI"]
