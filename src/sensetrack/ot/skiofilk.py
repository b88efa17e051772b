"""``python -m sensetrack.ot.skiofilk``: iterative Lucas-Kanade flow as the command of the first release."""

from __future__ import annotations

from sensetrack.cli.seed import main

if __name__ == "__main__":
    main("ilk", "sensetrack.ot.skiofilk")
