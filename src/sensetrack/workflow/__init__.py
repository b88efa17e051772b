"""Whole jobs: configuration, the straight line from files to product, and who runs the tiles."""
