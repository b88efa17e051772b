"""Which layers a run delivers, and in which files."""
