"""Pairs of real size whose motion is known: on the annotation of a real pair where it is there, else made up."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import slc_truth as st

VERSION = 1
"""Of the pairs: others are not taken from an earlier run."""


class Case(NamedTuple):
    """A pair, and the elevation model it was made with."""

    pair: st.Pair
    dem: Path
    vertical: str
    keys: tuple[str, ...]
    """Of its swaths."""

    def truth(self, key: str, burst: int = 0) -> Any:
        """Return what is true of a burst."""
        return self.pair.burst(self.keys.index(key), burst)


class Pairs:
    """Makes pairs in a folder, which may have them from an earlier run."""

    def __init__(self, folder: Path, data: Path | None, *, quick: bool = False) -> None:
        kind = "quick" if quick else "real" if data else "made-up"
        self.folder, self.data, self.quick = folder / f"pairs-{VERSION}-{kind}", None if quick else data, quick
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def what(self) -> str:
        """What the pairs are like, in words."""
        if self.data:
            return "annotation, orbits and Doppler of a real pair over Morocco, twelve days apart; NASADEM"
        return "a made-up orbit, 110 m of baseline; rolling hills"

    def slide(self) -> Case:
        """A slide and a constant shift: burst 1 of two swaths."""
        return self._case("slide", ("iw1/vv", "iw2/vv"), 1)

    def still(self) -> Case:
        """Nothing moves: burst 1 of the first swath."""
        return self._case("still", ("iw1/vv",), 1, slide=None)

    def seam(self) -> Case:
        """A slide across the seam of bursts 1 and 2, on hills: a part of the swath."""
        return self._case("seam", ("iw1/vv",), 2, share=(0.95, 0.5))

    def _case(self, name: str, keys: tuple[str, ...], bursts: int, **scene: Any) -> Case:
        samples = slice(9000, 15_000) if bursts > 1 else slice(None)
        if self.data:
            plans = st.real(self.data, swaths=keys, bursts=slice(0, bursts), samples=samples)
        else:
            size: dict[str, Any] = {"lines": None, "samples": 6000 if bursts > 1 else None}
            size = {"lines": 320, "samples": 1600} if self.quick else size
            names = tuple(key[:3].upper() for key in keys)
            plans = st.made_up(bursts=bursts, swaths=names, **size)
        dem, vertical = self.folder / f"{name}.tif", "ellipsoid"
        height: Any = st.hills
        if self.data and bursts == 1:
            dem, vertical = self.folder / "nasadem.tif", "egm96"
            if not dem.exists():
                st.mosaic(self.data, dem)
            height = st.Extended.of(dem, vertical)
        elif not dem.exists():
            st.backdrop(dem, height, plans[0])
        if self.quick:
            scene = {"slide": (4.0, -0.2), "size": (2500.0, 2000.0)} | scene
        pair = st.cached(self.folder, name, st.sliding(plans[0], height=height, **scene), plans)
        return Case(pair, dem, vertical, keys)
