"""``python -m sensetrack`` is ``sensetrack``."""

from sensetrack.cli import main

if __name__ == "__main__":
    main()
