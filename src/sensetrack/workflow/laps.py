"""How long the steps of a run take."""

from __future__ import annotations

import time


class Laps:
    """Wall time between calls."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        """By the name of each step."""
        self._last = time.perf_counter()

    def __call__(self, name: str) -> None:
        """End a step."""
        now = time.perf_counter()
        self.seconds[name] = round(now - self._last, 3)
        self._last = now
