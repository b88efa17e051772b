"""SNAP processing graphs: XML files with ``${parameters}``, each with a header that says what it is for.

`sensetrack.snap_gpt` reads, fills and runs them.
"""

from pathlib import Path

GRAPHS_WD = Path(__file__).parent
"""Folder of the graphs."""
