"""``python -m sensetrack.ot.opencvof``: Farneback's optical flow as the command of the first release."""

from __future__ import annotations

from sensetrack.cli.seed import main

if __name__ == "__main__":
    main("farneback", "sensetrack.ot.opencvof")
