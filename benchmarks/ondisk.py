"""Match, or track to a product, one pair that stays on disk; print what that took as JSON. Run by scaling.py."""

from __future__ import annotations

import argparse
import importlib
import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

CHIP, STEP, SEARCH = 64, 16, 16


class Matched(NamedTuple):
    """What one pair took."""

    windows: int
    wall: float
    """Seconds from opening the files to the last result."""
    cpu: float
    """The same, of all threads."""
    start: float
    """Resident bytes before, with everything loaded and compiled."""
    peak: float
    """Most resident bytes."""
    result: float
    """Bytes of what was found; 0 where it went to disk."""
    rmse: float
    """Over inliers, px; NaN where it was not compared."""
    outliers: float
    """Share; of a product that of posts with a flag."""
    again: float
    """CPU seconds of matching the open pair once more, every code path loaded; NaN where it was tracked."""

    def best(self, other: Matched) -> Matched:
        """Return the least time and the most memory of two runs."""
        least = {name: min(getattr(self, name), getattr(other, name)) for name in ("wall", "cpu", "again")}
        return self._replace(**least, peak=max(self.peak, other.peak))


About = tuple[int, int, float, float, float]
"""Windows, bytes of the result, RMSE, outliers, CPU seconds of a second time."""


def match(given: argparse.Namespace, matcher: Any) -> Callable[[], About]:
    """Match a pair; return what says how that went."""
    from machine import cpu_seconds
    from scenes import accuracy, found_by, truth

    from sensetrack.files.pairing import pair
    from sensetrack.workflow.executors import threads

    images = pair(given.reference, given.secondary)
    with threads(given.workers) as mapper:
        field = matcher(images.reference, images.secondary, mapper=mapper)

    def about() -> About:
        with threads(given.workers) as mapper:
            before = cpu_seconds()
            matcher(images.reference, images.secondary, mapper=mapper)
            again = cpu_seconds() - before
        layers = (field.d_row, field.d_col, field.score, field.snr, field.peak_ratio, field.covariance, field.flags)
        motion, rows, cols = found_by(field)
        error = accuracy(motion, truth(rows, cols, (CHIP, CHIP)))
        held = sum(layer.nbytes for layer in layers if layer is not None)
        return field.flags.size, held, error.rmse, error.outliers, again

    return about


def track(given: argparse.Namespace) -> Callable[[], About]:
    """Track a pair to a whole product, as `sensetrack track` does; return what says how that went."""
    from sensetrack.workflow.config import TrackConfig
    from sensetrack.workflow.pipeline import run_track

    config = TrackConfig(parameters={"chip": CHIP, "step": STEP, "search": SEARCH})
    record = run_track(given.reference, given.secondary, given.product, config, workers=given.workers)
    numbers = record["statistics"]
    return lambda: (numbers["posts"], 0, float("nan"), 1 - numbers["good_share"], float("nan"))


def main() -> None:
    """Do it; the limit comes before the libraries, which count as well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reference")
    parser.add_argument("secondary")
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--memory", type=int, default=None, help="address space, bytes")
    parser.add_argument("--product", default=None, help="folder to track to")
    given = parser.parse_args()
    if given.memory:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (given.memory, given.memory))
    from machine import Watch, cpu_seconds
    from scenes import arrays

    from sensetrack import Image
    from sensetrack.ot.algorithms import NCC

    # Libraries are no part of what a pair costs.
    for module in ("files.pairing", "workflow.executors", "workflow.pipeline"):
        importlib.import_module(f"sensetrack.{module}")
    importlib.import_module("pyproj")
    matcher = NCC(chip=CHIP, step=STEP, search=SEARCH)
    matcher(*(Image(pixels) for pixels in arrays("texture", 4 * CHIP, 0)))
    with Watch() as watch:
        wall, cpu = time.perf_counter(), cpu_seconds()
        about = track(given) if given.product else match(given, matcher)
        wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    windows, held, rmse, outliers, again = about()
    print(json.dumps(Matched(windows, wall, cpu, watch.start, watch.peak, held, rmse, outliers, again)))


if __name__ == "__main__":
    main()
