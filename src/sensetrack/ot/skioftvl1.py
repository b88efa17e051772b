"""``python -m sensetrack.ot.skioftvl1``: TV-L1 optical flow as the command of the first release."""

from __future__ import annotations

from sensetrack.cli.seed import main

if __name__ == "__main__":
    main("tvl1", "sensetrack.ot.skioftvl1")
