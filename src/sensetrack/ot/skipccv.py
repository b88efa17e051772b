"""``python -m sensetrack.ot.skipccv``: windowed phase cross-correlation as the command of the first release."""

from __future__ import annotations

from sensetrack.cli.seed import main

if __name__ == "__main__":
    main("pcc", "sensetrack.ot.skipccv")
